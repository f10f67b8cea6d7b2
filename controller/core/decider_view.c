#include "controller/core/decider_view.h"

#include "controller/core/decider_breaker.h"
#include "controller/core/decider_gates.h"
#include "controller/core/decider_hold.h"
#include "controller/core/decider_inner.h"
#include "controller/core/decider_lead.h"
#include "controller/core/decider_step.h"
#include "controller/core/decider_terms.h"
#include "controller/core/dependencies.h"

static const char *text_or_none(const char *text)
{
    return text ? text : "";
}

/* ---- the fleet ---- */

void decider_view_fleet(const struct decider *decider, struct mono now, struct decider_view_fleet *out)
{
    const struct liveness *liveness = &decider->liveness;
    *out = (struct decider_view_fleet){
        .is_enabled = decider->config->is_enabled,
        .is_leader = decider_lead_may_send(decider, now),
        .is_redis_up = liveness->is_redis_up,
        .is_tilted = decider->tilt.is_on,
        .is_breaker_open = decider->fuse.breaker.is_open,
        .is_settled = mono_reached(now, liveness->settled_at),
        .redis_since = liveness->redis_since,
        .settled_at = liveness->settled_at,
        .epoch = decider->epoch,
        .containers = liveness->count,
        .in_flight = decider->in_flight,
        .max_per_host = decider->config->max_per_host,
        .max_fleet = decider->config->max_fleet,
        .totals = decider->totals,
    };
    for (int action = 0; action < POLICY_ACTION_N; action++) {
        out->verdicts[action] = decider->verdicts[action];
    }
    for (const struct host *each = liveness_first_host(liveness); each; each = liveness_next_host(each)) {
        out->hosts++;
    }
    for (const struct container *each = liveness_first(liveness); each; each = liveness_next(each)) {
        out->states[each->policy.state]++;
    }
}

/* ---- hosts ---- */

static struct decider_view_host view_of_host(const struct decider *decider, const struct host *host,
                                             struct mono now)
{
    struct decider_view_host view = {
        .name = host->name,
        .agent = host->agent,
        .is_live = liveness_is_host_live(&decider->liveness, host, now),
        .is_silent = liveness_is_silent(&decider->liveness, host, now),
        .is_frozen = host->is_frozen,
        .is_engine_up = host->is_engine_up,
        .is_breaker_open = host->fuse.breaker.is_open,
        .in_flight = host->in_flight,
    };
    for (int path = 0; path < PATH_N; path++) {
        view.heard[path] = host->heard[path];
    }
    for (const struct container *each = host->containers; each; each = each->host_next) {
        view.containers++;
    }
    return view;
}

void decider_view_each_host(const struct decider *decider, struct mono now,
                            bool (*visit)(void *arg, const struct decider_view_host *host), void *arg)
{
    for (const struct host *each = liveness_first_host(&decider->liveness); each;
         each = liveness_next_host(each)) {
        struct decider_view_host view = view_of_host(decider, each, now);
        if (!visit(arg, &view)) {
            return;
        }
    }
}

/* ---- containers ---- */

static const char *category_name(uint8_t category)
{
    static const char *const names[] = {
        [CATEGORY_NONE] = "",
        [CATEGORY_HEALTHY] = "healthy",
        [CATEGORY_DEGRADED] = "degraded",
        [CATEGORY_UNHEALTHY] = "unhealthy",
        [CATEGORY_MISSING] = "missing",
        [CATEGORY_STARTING] = "starting",
        [CATEGORY_HELD] = "held",
    };
    return category < sizeof names / sizeof names[0] ? names[category] : "";
}

static struct decider_view_container view_of(const struct decider *decider, const struct container *container)
{
    struct policy_terms terms;
    decider_terms_of(decider, container, &terms);
    const struct policy_memory *policy = &container->policy;
    const struct container *parent = dependencies_parent(container);
    const struct host *host = container->host;
    return (struct decider_view_container){
        .name = container->name,
        .host = host ? host->name : "",
        .service = text_or_none(container->service),
        .instance = text_or_none(container->instance),
        .container_id = container->container_id,
        .incarnation = container->incarnation,
        .state = policy->state,
        .category = category_name(container->category),
        .status = beat_status_name(liveness_status(container)),
        .parent = parent ? parent->name : "",
        .parent_state = parent ? parent->policy.state : STATE_NONE,
        .is_parent_gone = dependencies_is_parent_gone(container),
        .docker_state = container_state_name(container->state),
        .docker_health = container_health_name(container->health),
        .stop_class = stop_class_name(container->stop_class),
        .reason = text_or_none(policy->reason),
        .cause = policy->cause,
        .gate = container->gate,
        .has_exit_code = container->has_exit_code,
        .exit_code = container->exit_code,
        .attempts = policy->attempts,
        .max_attempts = terms.max_attempts,
        .misses = policy->misses,
        .miss_threshold = terms.miss_threshold,
        .bad = policy->bad,
        .unhealthy_threshold = terms.unhealthy_threshold,
        .agent_heard_at = container->agent_at,
        .app_heard_at = container->app_at,
        .state_since = container->state_since,
        .broken_at = policy->broken_at,
        .healthy_since = policy->healthy_since,
        .grace_until = policy->grace_until,
        .deadline_at = policy->deadline_at,
        .docker_acts_until = policy->acting_until,
        .next_attempt_at = policy->next_attempt_at,
        .cooldown_until = policy->cooldown_until,
        .wake_at = decider_step_look_at(decider, container),
        .breaker_turn_at = decider_breaker_turn_at(decider, container),
        .is_held = container->is_held,
        .held_until = container->is_held ? decider_hold_end(decider, container) : (struct mono){0},
        .has_collision = container->collision_until.ms > decider->now.ms,
        .is_frozen = host && host->is_frozen,
        .is_engine_down = host && !host->is_engine_up,
        .is_agent_silent = host && liveness_is_silent(&decider->liveness, host, decider->now),
        .host_heard_at = host ? liveness_heard_at(host) : (struct mono){0},
        .is_in_flight = container->attempt != NULL,
        .is_listed = liveness_is_listed(container),
    };
}

bool decider_view_container(const struct decider *decider, const char *name,
                            struct decider_view_container *out)
{
    const struct container *found = liveness_find(&decider->liveness, name);
    if (found) {
        *out = view_of(decider, found);
    }
    return found != NULL;
}

void decider_view_each_container(const struct decider *decider,
                                 bool (*visit)(void *arg, const struct decider_view_container *container),
                                 void *arg)
{
    for (const struct container *each = liveness_first(&decider->liveness); each;
         each = liveness_next(each)) {
        struct decider_view_container view = view_of(decider, each);
        if (!visit(arg, &view)) {
            return;
        }
    }
}

bool decider_view_gates(const struct decider *decider, const char *name, struct mono now,
                        bool is_open[GATE_N])
{
    const struct container *found = liveness_find(&decider->liveness, name);
    if (!found) {
        return false;
    }
    struct gate_inputs inputs = decider_gates_inputs(decider, found);
    gates_look(&inputs, now, is_open);
    return true;
}
