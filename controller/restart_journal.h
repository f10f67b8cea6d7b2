/*
 * Restart states on the local disk, for the time when Redis is away or has forgotten them.
 *
 * A log of lines, one change a line: `<FNV-1a of the rest, 16 hex digits> <mark> <container> <JSON>`. The
 * last line of a container counts; a damaged line costs only itself. When the log has grown to twice what it
 * holds it is rewritten as a whole. At most RESTART_JOURNAL_ENTRIES containers. Every change is on the disk
 * (fdatasync) before the call returns.
 */
#ifndef DEFIB_CONTROLLER_RESTART_JOURNAL_H
#define DEFIB_CONTROLLER_RESTART_JOURNAL_H

#include <stddef.h>

#include "common/err.h"

#define RESTART_JOURNAL_FILE "restart.journal"

enum { RESTART_JOURNAL_ENTRIES = 10000 };

enum journal_mark {
    JOURNAL_STORED = 'R',  /* Redis has it under the marker that redis_session remembers */
    JOURNAL_PENDING = 'P', /* Redis has yet to be told */
    JOURNAL_DELETE = 'D'   /* the key in Redis is yet to be deleted; no text */
};

struct restart_journal;

/* Reads what is there. *damaged (may be NULL) counts lines that were skipped. The dir is copied. 0, or -errno
 * where the file can neither be read nor replaced. *out is given. */
int restart_journal_open(const char *dir, struct restart_journal **out, size_t *damaged, struct err *err);
void restart_journal_close(struct restart_journal *journal);

/* `text` is one line of JSON (NULL for JOURNAL_DELETE). 0; -EINVAL: text with a newline, -ENOSPC at the
 * bound, or what the disk says: then nothing is promised, and the next call writes the whole file anew. */
int restart_journal_put(struct restart_journal *journal, const char *container, enum journal_mark mark,
                        const char *text, struct err *err);
int restart_journal_drop(struct restart_journal *journal, const char *container, struct err *err);

/* Calls visit for each entry, in no order; it must not change the journal. */
void restart_journal_each(const struct restart_journal *journal,
                          void (*visit)(void *arg, const char *container, enum journal_mark mark,
                                        const char *text),
                          void *arg);
size_t restart_journal_count(const struct restart_journal *journal);

#endif
