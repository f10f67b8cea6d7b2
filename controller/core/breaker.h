/*
 * The breaker: when many fail together the cause is seldom in each of them, and restarting all of them makes
 * it worse (policy.md, section 4). Pure; a plain value, zeroed it is closed.
 *
 * The caller counts. `recent` are F, the roots that entered FAILED or SUSPECT within BREAKER_WINDOW_MS;
 * `lasting` are those that were in F while it was open, grew older than that and are still not well. It
 * opens where recent >= max(BREAKER_MIN, BREAKER_FRACTION x managed). It closes once recent + lasting were
 * below that mark for BREAKER_CALM_MS without a break: what healed leaves F after at most the window, so it
 * closes at most window + calm after the last of them healed.
 *
 * While it is open a dead container may be started each BREAKER_START_MS, and a running one restarted as the
 * canary: the first BREAKER_WAIT_MS after the opening, the next when the last was healthy for
 * BREAKER_HEALTHY_MS. Each canary that fails doubles the wait, up to BREAKER_WAIT_MAX_MS.
 */
#ifndef DEFIB_CONTROLLER_CORE_BREAKER_H
#define DEFIB_CONTROLLER_CORE_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"

enum {
    BREAKER_WINDOW_MS = 60000,
    BREAKER_CALM_MS = 30000,
    BREAKER_START_MS = 30000,
    BREAKER_HEALTHY_MS = 60000,
    BREAKER_WAIT_MS = 60000,
    BREAKER_WAIT_MAX_MS = 600000
};

struct breaker {
    bool is_open, has_canary;
    int64_t recent, lasting; /* kept by the caller */
    struct mono opened_at;
    struct mono below_since; /* 0: not below the mark */
    struct mono start_at;    /* the next dead one may be started */
    struct mono canary_at;   /* the next canary may go */
    int64_t wait_ms;
};

struct breaker_limits {
    double fraction;
    int64_t min;
};

/* Do so many failures of so many open it? */
bool breaker_is_too_many(const struct breaker_limits *limits, int64_t managed, int64_t failures);

enum breaker_change { BREAKER_AS_IT_WAS, BREAKER_OPENED, BREAKER_CLOSED };
enum breaker_change breaker_look(struct breaker *breaker, const struct breaker_limits *limits,
                                 int64_t managed, struct mono now);

enum breaker_turn { BREAKER_START, BREAKER_CANARY }; /* of a dead one, of one that runs */

/* When such a turn is free; MONO_NEVER while that depends on the canary's fate. `now` and earlier: now. */
struct mono breaker_turn_at(const struct breaker *breaker, enum breaker_turn turn);
void breaker_take_turn(struct breaker *breaker, enum breaker_turn turn, struct mono now);

/* void: it proved nothing (held, removed, never sent). */
enum canary_fate { CANARY_HEALTHY, CANARY_FAILED, CANARY_VOID };
void breaker_end_canary(struct breaker *breaker, enum canary_fate fate, struct mono now);

#endif
