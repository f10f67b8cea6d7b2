#include "controller/input_journal.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/log.h"
#include "common/memory.h"

enum { GATHER_MS = 1000, GATHER_BYTES = 32 * 1024, RUN_SIZE = 17, AGAIN_MS = 60000 };

/* The stream keeps some 10000 entries: there is always a start among them. */
enum { ENTRIES_PER_START = 2500 };

struct input_journal {
    struct loop *loop;
    struct alert_outbox *outbox;
    struct loop_timer *timer;
    char run[RUN_SIZE]; /* tells controllers, and lives of one, apart */
    char *text;
    size_t len, size;
    uint64_t part;
    bool is_torn; /* something was lost since the last start */
    uint64_t entries_at_start;
    struct mono started_at;
};

static void on_timer(void *arg)
{
    input_journal_flush(arg);
}

struct input_journal *input_journal_new(struct loop *loop, struct alert_outbox *outbox)
{
    struct input_journal *journal = memory_alloc(sizeof *journal);
    uint64_t run;
    if (getrandom(&run, sizeof run, 0) != (ssize_t)sizeof run) {
        abort();
    }
    journal->loop = loop;
    journal->outbox = outbox;
    journal->timer = loop_timer_new(loop, on_timer, journal);
    journal->started_at = loop_now(loop);
    snprintf(journal->run, sizeof journal->run, "%016" PRIx64, run);
    return journal;
}

void input_journal_free(struct input_journal *journal)
{
    if (journal == NULL) {
        return;
    }
    loop_timer_free(journal->timer);
    free(journal->text);
    free(journal);
}

void input_journal_flush(struct input_journal *journal)
{
    if (journal->len == 0) {
        return;
    }
    loop_timer_stop(journal->timer);
    if (!alert_outbox_inputs(journal->outbox, journal->run, ++journal->part, journal->text) &&
        !journal->is_torn) {
        journal->is_torn = true;
        log_warning("More happens than the journal for replays takes: it has a gap");
    }
    journal->len = 0;
}

void input_journal_add(struct input_journal *journal, const char *text)
{
    size_t len = strlen(text);
    if (journal->len + len + 2 > journal->size) {
        journal->size = 2 * (journal->len + len + 2);
        journal->text = memory_grow(journal->text, journal->size, 1);
    }
    if (journal->len == 0) {
        loop_timer_start(journal->timer, GATHER_MS, 0);
    } else {
        journal->text[journal->len++] = ',';
    }
    memcpy(journal->text + journal->len, text, len + 1);
    journal->len += len;
    if (journal->len >= GATHER_BYTES) {
        input_journal_flush(journal);
    }
}

bool input_journal_wants_start(struct input_journal *journal)
{
    struct mono now = loop_now(journal->loop);
    bool is_torn = (journal->is_torn || alert_outbox_has_lost_inputs(journal->outbox)) &&
                   mono_diff(now, journal->started_at) >= AGAIN_MS;
    bool is_old = alert_outbox_added(journal->outbox) - journal->entries_at_start >= ENTRIES_PER_START;
    if (!is_torn && !is_old) {
        return false;
    }
    input_journal_flush(journal);
    alert_outbox_forget_lost_inputs(journal->outbox);
    journal->is_torn = false;
    journal->started_at = now;
    journal->entries_at_start = alert_outbox_added(journal->outbox);
    return true;
}
