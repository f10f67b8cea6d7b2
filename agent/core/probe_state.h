/*
 * When a probe runs next, and what its results say together. Pure.
 *
 * Each probe has a place of its own within its interval, by a hash of its container and name: a hundred of
 * them are spread out over it by chance, and stay so, whenever the agent or their containers started.
 */
#ifndef DEFIB_AGENT_CORE_PROBE_STATE_H
#define DEFIB_AGENT_CORE_PROBE_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/core/probe_spec.h"
#include "common/clock.h"
#include "proto/limits.h"
#include "proto/vocabulary.h"

enum probe_verdict {
    PROBE_PENDING, /* nothing known yet: it neither passed, nor failed often enough */
    PROBE_PASSING,
    PROBE_FAILING
};

/* A plain value; zeroed is fresh. Begins anew with each incarnation of the container. */
struct probe_state {
    enum probe_verdict verdict;
    bool has_passed;
    int failures;                   /* in a row, that count */
    char detail[LIMIT_DETAIL_SIZE]; /* why the last one failed; "" where it passed */
    int64_t took_ms;
    int64_t runs;
};

uint64_t probe_state_phase(const char *container_id, const char *name);

/* The next time that is its own, after `now`. */
struct mono probe_state_next(const struct probe_spec *spec, uint64_t phase, struct mono now);

/* The first one comes soon: within a second, or the interval where that is shorter. */
struct mono probe_state_first(const struct probe_spec *spec, uint64_t phase, struct mono now);

/* A run has ended; age_ms is the container's. failure: NULL, or one line why. Within the start period
 * failures do not count before it passed once. True where the verdict changed. */
bool probe_state_take(struct probe_state *state, const struct probe_spec *spec, const char *failure,
                      int64_t took_ms, int64_t age_ms);

/* What this probe says of its container. BEAT_UNKNOWN: nothing. */
enum beat_status probe_state_status(const struct probe_state *state, const struct probe_spec *spec,
                                    int64_t age_ms);

#endif
