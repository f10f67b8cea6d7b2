/*
 * A journal that was exported from `health:events`, read from a file: each document on a line of its own, as
 * `redis-cli --raw XRANGE health:events - +` prints them (the lines between them, ids and field names, are
 * skipped), or as {"data": document}. Blocks on the file.
 */
#ifndef DEFIB_CONTROLLER_REPLAY_REPLAY_JOURNAL_H
#define DEFIB_CONTROLLER_REPLAY_REPLAY_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "controller/replay/replay_deeds.h"
#include "proto/journal.h"

/* Inputs without a gap, from a JOURNAL_START on. */
struct replay_stretch {
    struct journal_input *inputs;
    size_t count, size;
    bool is_torn; /* what came behind it is lost */
};

struct replay_journal {
    struct replay_stretch *stretches; /* oldest first */
    size_t count, size;
    struct replay_deeds done; /* what was done within them */
    size_t deeds_outside;     /* … and what before or between them: it cannot be compared */
    struct wall end;          /* the last time that is told */
};

/* When what is known of that stretch ends. */
struct wall replay_journal_end(const struct replay_journal *journal, size_t at);

/* 0, or -errno with one line that names the file, the line and what is wrong; *out is then empty. */
int replay_journal_read(const char *path, struct replay_journal *out, struct err *err);
void replay_journal_fini(struct replay_journal *journal);

#endif
