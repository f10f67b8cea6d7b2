/*
 * The one place that can veto a command (policy.md, section 4). Pure.
 *
 * Everything that must hold is an input here, also what others own: no module asks "am I the leader" on its
 * own. The first refusal in the order of the list is the reported one.
 */
#ifndef DEFIB_CONTROLLER_CORE_GATES_H
#define DEFIB_CONTROLLER_CORE_GATES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"

/* gate, its name in views and metrics, the reason given when it refuses; in order */
#define GATE_WORDS(X)                           \
    X(ENABLED, "enabled", "disabled")           \
    X(LEADER, "leader", "not_leader")           \
    X(SETTLED, "settled", "settling")           \
    X(HOST, "host", "host_not_live")            \
    X(DENY, "deny", "deny_list")                \
    X(OWN, "own", "own_container")              \
    X(REDIS, "redis", "redis_in_use")           \
    X(IDENTITY, "identity", "name_collision")   \
    X(ALLOW, "allow", "not_in_allowlist")       \
    X(HOLD, "hold", "held")                     \
    X(ANCESTOR, "ancestor", "failed_ancestor")  \
    X(BREAKER, "breaker", "breaker_open")       \
    X(HOST_LIMIT, "host_limit", "host_busy")    \
    X(FLEET_LIMIT, "fleet_limit", "fleet_busy") \
    X(BACKOFF, "backoff", "backoff")

#define GATE_MEMBER(gate, name, reason) GATE_##gate,
enum gate { GATE_WORDS(GATE_MEMBER) GATE_N }; /* GATE_N: all are open */
#undef GATE_MEMBER

struct gate_inputs {
    bool is_enabled;
    bool is_leader;
    bool is_tilted;   /* clocks or loop cannot be trusted */
    bool is_settling; /* and the trouble is mere silence */
    bool is_host_live;
    bool is_denied; /* deny list, label, or the agent's own list */
    bool is_own;
    bool is_redis_in_use;
    bool has_collision;
    bool is_allowed;
    bool is_held;
    bool has_failed_ancestor;
    bool is_breaker_open;
    int64_t host_in_flight, max_per_host;
    int64_t fleet_in_flight, max_fleet;
    struct mono backoff_until; /* 0: none */
};

/* Each gate by itself, for whoever explains. */
void gates_look(const struct gate_inputs *inputs, struct mono now, bool out[GATE_N]);

/* The first gate that refuses, or GATE_N. */
enum gate gates_check(const struct gate_inputs *inputs, struct mono now);

/* The same for a command whose turn was granted before: limits and backoff are behind it. */
enum gate gates_check_again(const struct gate_inputs *inputs, struct mono now);

const char *gates_name(enum gate gate);   /* "" for GATE_N */
const char *gates_reason(enum gate gate); /* "" for GATE_N */

#endif
