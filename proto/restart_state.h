/*
 * `health:restart:{container}`: the runbook's four fields and defib's additions. Pure.
 *
 * Unknown fields survive a round trip. A field of the wrong type or out of range makes the document invalid
 * as a whole: the caller says so once and treats the container as if no state were stored.
 */
#ifndef DEFIB_PROTO_RESTART_STATE_H
#define DEFIB_PROTO_RESTART_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/err.h"
#include "proto/limits.h"
#include "proto/vocabulary.h"

struct cJSON;

/* Times have second precision as text: cooldown_until and last_completed_at are rounded up, so that nothing
 * happens early, last_attempt_at down. */
struct restart_state {
    int64_t attempt_count;                       /* 0..1000000 */
    struct wall last_attempt_at;                 /* 0: null */
    char last_failure_reason[LIMIT_REASON_SIZE]; /* "": null */
    struct wall cooldown_until;                  /* 0: null */
    /* additions */
    char container_id[LIMIT_ID_SIZE]; /* the id that the count belongs to */
    char host[LIMIT_NAME_SIZE];
    char command_id[LIMIT_COMMAND_ID_SIZE]; /* of the last attempt, hex */
    enum command_op command_op;
    char incarnation[LIMIT_TIME_SIZE]; /* that the last command was aimed at */
    bool is_in_flight;                 /* sent or about to be, outcome not yet known */
    bool is_exhausted_alerted;
    bool is_recovery_due;          /* something was announced that SERVICE_RECOVERED closes */
    struct wall last_completed_at; /* backoff counts from here */
    uint64_t epoch;
    bool has_clock_ahead; /* told is, … */
    int64_t
        clock_ahead_ms;  /* … by how much the clock of these times was ahead of Redis' (negative: behind) */
    struct cJSON *extra; /* unknown fields, owned, or NULL */
};

void restart_state_init(struct restart_state *state);
void restart_state_fini(struct restart_state *state);
/* Deep copy; out was not initialised. */
void restart_state_copy(const struct restart_state *state, struct restart_state *out);

int restart_state_decode(const char *bytes, size_t len, struct restart_state *out, struct err *err);

/* Fresh text, given; always short enough to be decoded: unknown fields that no longer fit are left out. */
char *restart_state_encode(const struct restart_state *state, size_t *len);

/* All times in it, by another clock that is so much further ahead. */
void restart_state_shift(struct restart_state *state, int64_t ms);

/* After a Redis outage: the higher count (its attempt's fields with it), the later cooldown and completion.
 * Where the two belong to different container ids, the later attempt wins whole. One attempt known twice is
 * in flight only where both say so. */
void restart_state_merge(struct restart_state *into, const struct restart_state *other);

#endif
