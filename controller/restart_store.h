/*
 * `health:restart:{container}`: written before a command is sent, in Redis or, while Redis is away, in the
 * local journal. Also the watch over these keys: an operator's DEL is a fresh budget, an edited value is
 * taken, rubbish is told once and written over at the next store.
 *
 * Every state is kept in memory and in the journal, with a mark whether Redis has it. So a flush, a crash of
 * Redis, of the controller, or of both, loses no attempt; and a key that is gone although Redis had it, and
 * marker and run id stand, was deleted by an operator, also where that happened while we were down. Where
 * Redis evicted keys since ours was last seen, or its clock was set forward, nobody can tell: it is written
 * anew.
 */
#ifndef DEFIB_CONTROLLER_RESTART_STORE_H
#define DEFIB_CONTROLLER_RESTART_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "controller/decider_port.h"
#include "controller/redis_session.h"
#include "controller/warning_limiter.h"
#include "proto/restart_state.h"

struct restart_store;

struct restart_store_options {
    struct decider_port port; /* all borrowed */
    struct redis_session *session;
    struct warning_limiter *warnings;
    const char *state_dir;
    int64_t cooldown_ms;
    int64_t watch_ms; /* how often the keys are looked after */
};

/* Reads the journal; -errno where its file can neither be read nor written. *out is given. */
int restart_store_open(const struct restart_store_options *options, struct restart_store **out,
                       struct err *err);
void restart_store_close(struct restart_store *store); /* after the session was closed */

/* Without Redis: tells the decider what the journal holds. */
void restart_store_recall(struct restart_store *store);

/* Another one leads, and the keys are its own: nothing goes to Redis. What we still owe from when we led its
 * agents tell it. */
void restart_store_follow(struct restart_store *store);

/* We lead, under `epoch`. `has_other_led`, since we wrote last: all but what we owe of the last cooldown
 * period is void. A load follows, or a recall. */
void restart_store_lead(struct restart_store *store, uint64_t epoch, bool has_other_led);

/* ACTION_STORE; ends in decider_stored, now (journal) or when Redis has answered. Borrows all. */
void restart_store_save(struct restart_store *store, const char *container, uint64_t token,
                        const struct restart_state *state);

/* ACTION_FORGET. */
void restart_store_forget(struct restart_store *store, const char *container);

/* Redis is back: begin, each key that was found, end. Where Redis may have lost something, or lacks
 * what we stored meanwhile, both sides are merged (higher count, later cooldown); else Redis' word counts.
 * The end writes back what Redis lacks and tells the decider. */
void restart_store_load_begin(struct restart_store *store, bool is_amnesic);
void restart_store_load_value(struct restart_store *store, const char *container, const char *bytes,
                              size_t len);
void restart_store_load_end(struct restart_store *store);

/* Writes that Redis has not answered yet. */
size_t restart_store_pending(const struct restart_store *store);

#endif
