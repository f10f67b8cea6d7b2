/*
 * What the decider holds, for those who tell it to people: the API, metrics, explanations. Pure, and
 * read-only: nothing here changes a state, a counter or a deadline.
 *
 * All texts are borrowed until the next call that changes the decider, and "" where there is nothing to say.
 * A `struct mono` of 0 ms means "not set", MONO_NEVER "no time".
 */
#ifndef DEFIB_CONTROLLER_CORE_DECIDER_VIEW_H
#define DEFIB_CONTROLLER_CORE_DECIDER_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controller/core/decider.h"
#include "controller/core/gates.h"
#include "controller/core/policy.h"

struct decider_view_fleet {
    bool is_enabled, is_leader, is_redis_up, is_settled;
    bool is_tilted;       /* after a stall or a jump of the clock: it watches and does not act */
    bool is_breaker_open; /* the fleet's */
    struct mono redis_since, settled_at;
    uint64_t epoch;
    size_t containers, hosts;
    int64_t in_flight, max_per_host, max_fleet;
    struct alert_totals totals;
    size_t states[STATE_N];
    uint64_t verdicts[POLICY_ACTION_N]; /* how often the policy answered so, since the start */
};
void decider_view_fleet(const struct decider *decider, struct mono now, struct decider_view_fleet *out);

struct decider_view_host {
    const char *name, *agent; /* agent: the id of its process */
    bool is_live;             /* commands may go there */
    bool is_silent;           /* nothing was heard of its agent for a TTL */
    bool is_frozen;           /* nothing of it is counted */
    bool is_engine_up;
    bool is_breaker_open; /* this host's own */
    struct mono heard[PATH_N];
    int64_t in_flight;
    size_t containers;
};
/* Calls visit for each, in no order, until it returns false. */
void decider_view_each_host(const struct decider *decider, struct mono now,
                            bool (*visit)(void *arg, const struct decider_view_host *host), void *arg);

struct decider_view_container {
    const char *name, *host, *service, *instance, *container_id, *incarnation;
    enum policy_state state;
    const char *category; /* as the summary counts it: healthy degraded unhealthy missing starting held */
    const char *status;   /* what service and Docker say together */
    const char *parent;   /* whose network, pid or ipc namespace it lives in */
    enum policy_state parent_state;
    bool is_parent_gone;       /* only a new container helps */
    const char *docker_state;  /* State.Status */
    const char *docker_health; /* State.Health.Status */
    const char *stop_class;    /* why it stopped */
    const char *reason;        /* the policy's last answer, also for "no" */
    enum failure_cause cause;  /* of the trouble at hand */
    enum gate gate;            /* the last that refused; GATE_N: none */
    bool has_exit_code;
    int exit_code;
    int64_t attempts, max_attempts;
    int64_t misses, miss_threshold;
    int64_t bad, unhealthy_threshold;
    struct mono agent_heard_at, app_heard_at; /* the last beat of its agent, of itself */
    struct mono state_since;                  /* as far as this controller saw it */
    struct mono broken_at, healthy_since;
    struct mono grace_until, deadline_at, docker_acts_until, next_attempt_at, cooldown_until;
    struct mono wake_at;
    struct mono breaker_turn_at; /* when an open breaker lets it through; 0: none is open */
    bool is_held;                /* an operator's hold covers it … */
    struct mono held_until;      /* … until then, by the last that ends; MONO_NEVER: until it is released */
    bool has_collision;          /* another one claims its name or key: neither is touched */
    bool is_frozen;              /* its host is */
    bool is_engine_down;         /* its agent tells so, or told so last */
    bool is_agent_silent;        /* nothing was heard of its agent for a TTL … */
    struct mono host_heard_at;   /* … since then; 0: no agent knows it */
    bool is_in_flight;
    bool is_listed; /* stood in its host's last inventory */
};
bool decider_view_container(const struct decider *decider, const char *name,
                            struct decider_view_container *out);
void decider_view_each_container(const struct decider *decider,
                                 bool (*visit)(void *arg, const struct decider_view_container *container),
                                 void *arg);

/* Each gate as it would answer for this container now. False where the container is not known. */
bool decider_view_gates(const struct decider *decider, const char *name, struct mono now,
                        bool is_open[GATE_N]);

#endif
