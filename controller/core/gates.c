#include "controller/core/gates.h"

#include <stddef.h>
#include <string.h>

void gates_look(const struct gate_inputs *inputs, struct mono now, bool out[GATE_N])
{
    const bool is_open[GATE_N] = {
        [GATE_ENABLED] = inputs->is_enabled,
        [GATE_LEADER] = inputs->is_leader,
        [GATE_SETTLED] = !inputs->is_tilted && !inputs->is_settling,
        [GATE_HOST] = inputs->is_host_live,
        [GATE_DENY] = !inputs->is_denied,
        [GATE_OWN] = !inputs->is_own,
        [GATE_REDIS] = !inputs->is_redis_in_use,
        [GATE_IDENTITY] = !inputs->has_collision,
        [GATE_ALLOW] = inputs->is_allowed,
        [GATE_HOLD] = !inputs->is_held,
        [GATE_ANCESTOR] = !inputs->has_failed_ancestor,
        [GATE_BREAKER] = !inputs->is_breaker_open,
        [GATE_HOST_LIMIT] = inputs->host_in_flight < inputs->max_per_host,
        [GATE_FLEET_LIMIT] = inputs->fleet_in_flight < inputs->max_fleet,
        [GATE_BACKOFF] = mono_reached(now, inputs->backoff_until),
    };
    memcpy(out, is_open, sizeof is_open);
}

enum gate gates_check(const struct gate_inputs *inputs, struct mono now)
{
    bool is_open[GATE_N];
    gates_look(inputs, now, is_open);
    for (int gate = 0; gate < GATE_N; gate++) {
        if (!is_open[gate]) {
            return (enum gate)gate;
        }
    }
    return GATE_N;
}

enum gate gates_check_again(const struct gate_inputs *inputs, struct mono now)
{
    enum gate gate = gates_check(inputs, now);
    return gate < GATE_HOST_LIMIT ? gate : GATE_N;
}

#define GATE_NAME(gate, name, reason)   [GATE_##gate] = name,
#define GATE_REASON(gate, name, reason) [GATE_##gate] = reason,
static const char *const names[GATE_N] = {GATE_WORDS(GATE_NAME)};
static const char *const reasons[GATE_N] = {GATE_WORDS(GATE_REASON)};

const char *gates_name(enum gate gate)
{
    return (size_t)gate < GATE_N ? names[gate] : "";
}

const char *gates_reason(enum gate gate)
{
    return (size_t)gate < GATE_N ? reasons[gate] : "";
}
