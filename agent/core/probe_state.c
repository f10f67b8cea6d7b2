#include "agent/core/probe_state.h"

#include <string.h>

#include "common/memory.h"

enum { FIRST_WITHIN_MS = 1000 };

uint64_t probe_state_phase(const char *container_id, const char *name)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *container_id != '\0'; container_id++) {
        hash = (hash ^ (unsigned char)*container_id) * 0x100000001b3u;
    }
    for (; *name != '\0'; name++) {
        hash = (hash ^ (unsigned char)*name) * 0x100000001b3u;
    }
    hash ^= hash >> 29; /* the low bits of FNV alone are not spread well */
    return hash * 0xbf58476d1ce4e5b9u >> 16;
}

struct mono probe_state_next(const struct probe_spec *spec, uint64_t phase, struct mono now)
{
    int64_t offset = (int64_t)(phase % (uint64_t)spec->interval_ms);
    int64_t into = (now.ms - offset) % spec->interval_ms;
    return mono_add(now, spec->interval_ms - (into < 0 ? into + spec->interval_ms : into));
}

struct mono probe_state_first(const struct probe_spec *spec, uint64_t phase, struct mono now)
{
    int64_t within_ms = spec->interval_ms < FIRST_WITHIN_MS ? spec->interval_ms : FIRST_WITHIN_MS;
    return mono_add(now, (int64_t)(phase % (uint64_t)within_ms));
}

bool probe_state_take(struct probe_state *state, const struct probe_spec *spec, const char *failure,
                      int64_t took_ms, int64_t age_ms)
{
    enum probe_verdict before = state->verdict;
    bool is_early = !state->has_passed && age_ms < spec->start_period_ms;
    state->took_ms = took_ms;
    state->runs++;
    memory_set_text(state->detail, sizeof state->detail, failure == NULL ? "" : failure);
    if (failure == NULL) {
        state->failures = 0;
        state->has_passed = true;
        state->verdict = PROBE_PASSING;
    } else if (!is_early) {
        state->failures += state->failures < spec->retries;
        state->verdict = state->failures >= spec->retries ? PROBE_FAILING : state->verdict;
    }
    return state->verdict != before;
}

/* One that has just started is not well before its required checks were; one that ran before the agent did
 * is. */
static bool is_new(const struct probe_spec *spec, int64_t age_ms)
{
    return age_ms < spec->start_period_ms + spec->retries * spec->interval_ms + spec->timeout_ms;
}

enum beat_status probe_state_status(const struct probe_state *state, const struct probe_spec *spec,
                                    int64_t age_ms)
{
    switch (state->verdict) {
    case PROBE_PENDING:
        return spec->is_required && is_new(spec, age_ms) ? BEAT_STARTING : BEAT_UNKNOWN;
    case PROBE_PASSING:
        return BEAT_HEALTHY;
    case PROBE_FAILING:
        break;
    }
    return spec->is_required ? BEAT_UNHEALTHY : BEAT_DEGRADED;
}
