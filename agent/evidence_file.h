/*
 * The files of DEFIB_STATE_DIR/evidence: each written once, whole or not at all, on a thread that lives as
 * long as that takes; the oldest are removed. A disk that hangs holds up nothing: past a few writes under way
 * more are dropped, and told.
 */
#ifndef DEFIB_AGENT_EVIDENCE_FILE_H
#define DEFIB_AGENT_EVIDENCE_FILE_H

#include <stddef.h>

#define EVIDENCE_FOLDER "evidence"

enum { EVIDENCE_FILE_NAME_SIZE = 160 };

struct evidence_file;

struct evidence_file *evidence_file_new(const char *state_dir); /* copied */
void evidence_file_free(struct evidence_file *files);           /* waits for what is under way, 1 s at most */

/* A plain name; names sort by time. Takes the bytes. */
void evidence_file_put(struct evidence_file *files, const char *name, char *bytes, size_t len);

#endif
