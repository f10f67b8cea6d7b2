/*
 * The file of agent/core/outcome_log under DEFIB_STATE_DIR, `commands.log`: appended to, now and then
 * replaced.
 *
 * A thread of its own writes and syncs, so that a disk that hangs holds up neither beats nor other commands;
 * the loop's thread calls and is called back. Order is kept. A write that fails leaves the file as it was:
 * the next one goes to the same place. One agent at a time: the file is locked while it is open.
 */
#ifndef DEFIB_AGENT_OUTCOME_FILE_H
#define DEFIB_AGENT_OUTCOME_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/loop.h"

struct outcome_file;

/* LAZY survives the end of the process, SYNCED a power cut as well. */
enum outcome_file_safety { OUTCOME_FILE_LAZY, OUTCOME_FILE_SYNCED };

/* status 0, or -errno with one line that names the file. */
typedef void (*outcome_file_callback)(void *arg, int status, const char *detail);

/* Blocks while it reads; for start-up. Both results are given: the file, and the bytes in it. 0, or -errno
 * with one line (-EBUSY: another agent has it). */
int outcome_file_open(struct loop *loop, const char *dir, struct outcome_file **out, uint8_t **bytes,
                      size_t *len, struct err *err);

/* Copies the bytes. on_done may be NULL; it never comes from within the call. */
void outcome_file_append(struct outcome_file *file, const uint8_t *bytes, size_t len,
                         enum outcome_file_safety safety, outcome_file_callback on_done, void *arg);

/* Takes the bytes; the file holds exactly them afterwards, or is as it was. A failure is logged. */
void outcome_file_replace(struct outcome_file *file, uint8_t *bytes, size_t len);

/* Writes what is queued, for 2 s at most; no callback comes any more. NULL is allowed. */
void outcome_file_close(struct outcome_file *file);

#endif
