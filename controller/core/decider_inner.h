/*
 * What the parts of the decider share: decider_facts (what was heard), decider_step (events, gates, time),
 * decider_attempt (commands in flight), decider_budget (stored states), decider_hold, decider_say. Pure.
 * Nobody else includes it.
 */
#ifndef DEFIB_CONTROLLER_CORE_DECIDER_INNER_H
#define DEFIB_CONTROLLER_CORE_DECIDER_INNER_H

#include <stdbool.h>
#include <stdint.h>

#include "controller/core/action_queue.h"
#include "controller/core/decider.h"
#include "controller/core/liveness.h"
#include "controller/core/policy.h"
#include "controller/core/wake_queue.h"

struct decider {
    const struct policy_config *config;
    struct liveness liveness;
    struct wake_queue wakes;
    struct action_queue actions;
    struct mono now; /* of the call under way */
    struct wall wall;
    uint64_t random_state[2];
    uint64_t next_token, next_alert, next_record;
    bool is_leader;
    uint64_t epoch;
    int64_t in_flight;
    struct mono check_at, hosts_at, holds_at;
    struct alert_totals totals, said_totals;
    struct mono totals_said_at;
    bool is_place_free; /* one of them ended: those that wait look again */
    bool has_waiting;   /* a container waits for a place among the running restarts */
    struct attempts *attempts;
    struct holds *holds;
    struct pending_states *pending;
};

/* What a container counts as in the totals. */
enum category {
    CATEGORY_NONE,
    CATEGORY_HEALTHY,
    CATEGORY_DEGRADED,
    CATEGORY_UNHEALTHY,
    CATEGORY_MISSING,
    CATEGORY_STARTING,
    CATEGORY_HELD
};

#endif
