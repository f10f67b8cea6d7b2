/*
 * Small files under DEFIB_STATE_DIR, each replaced as a whole: written beside, renamed over. A reader after a
 * crash finds the old text or the new one, never half of one.
 *
 * state_files_* block for as long as the disk needs: they are for start-up and the end. In between a
 * state_files_writer does it on a thread of its own, so that a disk that hangs holds up no beat.
 */
#ifndef DEFIB_AGENT_STATE_FILES_H
#define DEFIB_AGENT_STATE_FILES_H

#include <stddef.h>

#include "common/err.h"
#include "common/loop.h"

/* SYNCED survives a power cut (fsync of file and directory); LAZY only the end of the process. */
enum state_files_safety { STATE_FILES_LAZY, STATE_FILES_SYNCED };

enum { STATE_FILES_MAX_BYTES = 8 * 1024 * 1024 };

/* Makes the directory (0700, parents too) where it is missing, and proves that a file can be written and
 * renamed in it. 0, or -errno with one line that names the directory and what to do. */
int state_files_prepare(const char *dir, struct err *err);

/* `name` is a plain file name. Borrows all. The file is 0600. 0 or -errno, err names the path. */
int state_files_write(const char *dir, const char *name, const void *bytes, size_t len,
                      enum state_files_safety safety, struct err *err);

/* Fresh bytes with a NUL behind them, given. 0; -ENOENT where there is none; -EFBIG over
 * STATE_FILES_MAX_BYTES; other -errno. */
int state_files_read(const char *dir, const char *name, char **out, size_t *len, struct err *err);

struct state_files_writer;

/* Writes one file again and again, synced. on_error (may be NULL) comes on the loop's thread with one line,
 * borrowed; with NULL when a write worked again. dir and name are copied. */
struct state_files_writer *state_files_writer_new(struct loop *loop, const char *dir, const char *name,
                                                  void (*on_result)(void *arg, const char *failure),
                                                  void *arg);

/* Takes the bytes. One write is under way at a time; while it is, only the newest text waits. */
void state_files_writer_put(struct state_files_writer *writer, char *bytes, size_t len);

/* Waits for what was put, 2 s at most. NULL is allowed. */
void state_files_writer_free(struct state_files_writer *writer);

#endif
