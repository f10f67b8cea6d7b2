/*
 * What the parts of the decider share: decider_facts (what was heard), decider_hosts and decider_names (of
 * whom), decider_judge (what that means), decider_step (events and time), decider_gates (may it be),
 * decider_attempt (commands in flight), decider_budget (stored states), decider_breaker, decider_edges,
 * decider_hold, decider_say, decider_told (said aloud), decider_input (what it was told). Pure. Nobody else
 * includes it.
 */
#ifndef DEFIB_CONTROLLER_CORE_DECIDER_INNER_H
#define DEFIB_CONTROLLER_CORE_DECIDER_INNER_H

#include <stdbool.h>
#include <stdint.h>

#include "controller/core/action_queue.h"
#include "controller/core/decider.h"
#include "controller/core/liveness.h"
#include "controller/core/policy.h"
#include "controller/core/tilt.h"
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
    bool have_others_led;    /* before it leads now */
    bool is_following;       /* another one leads: nothing that we say is heard */
    struct mono leads_until; /* commands may leave before then */
    uint64_t epoch;
    int64_t in_flight;
    struct mono check_at, hosts_at, holds_at, breaker_at;
    struct tilt tilt;
    struct fuse fuse;                             /* the fleet's */
    struct failure *first_failure, *last_failure; /* of the last minute, oldest first */
    bool is_ticking;                              /* from the first tick on, one is awaited */
    bool is_edges_due;                            /* a host's is_edges_due is set */
    struct alert_totals totals, said_totals;
    struct mono totals_said_at;
    uint64_t verdicts[POLICY_ACTION_N]; /* how often the policy answered so */
    bool is_place_free;                 /* one of them ended: those that wait look again */
    bool has_waiting;                   /* a container waits for a place among the running restarts */
    struct attempts *attempts;
    struct holds *holds;
    struct pending_states *pending;
    struct told *told; /* from before a pause; see decider_told.h */
    bool is_recording, is_tick_written, is_lead_written;
    uint64_t epoch_written;
    uint32_t start_count;             /* of the starts written down */
    uint64_t moves;                   /* grows with whatever changes; see decider_input.h */
    struct journal_tick *quiet_ticks; /* that looked and moved nothing, not yet written; owned, or NULL */
    size_t quiet_count;
    bool is_word_same; /* the beat under way says what the last one said */
};

/* After a turn that was reached: in step with those before it, however late this one was, so that turns do
 * not drift. */
static inline struct mono next_turn(struct mono turn, int64_t interval_ms, struct mono now)
{
    return mono_add(turn, (mono_diff(now, turn) / interval_ms + 1) * interval_ms);
}

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
