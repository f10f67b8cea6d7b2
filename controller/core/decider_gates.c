#include "controller/core/decider_gates.h"

#include "controller/core/decider_attempt.h"
#include "controller/core/decider_breaker.h"
#include "controller/core/decider_lead.h"
#include "controller/core/decider_say.h"
#include "controller/core/dependencies.h"

static const int64_t LIMIT_RETRY_MS = 1000;

static bool is_denied(const struct decider *decider, const struct container *container)
{
    return name_patterns_match(decider->config->deny, container->name) ||
           container->terms.restart == RESTART_LABEL_DENY || container->terms.is_denied_by_agent;
}

static bool is_allowed(const struct decider *decider, const struct container *container)
{
    return name_patterns_match(decider->config->allow, container->name) ||
           container->terms.restart == RESTART_LABEL_ALLOW;
}

bool decider_gates_is_managed(const struct decider *decider, const struct container *container)
{
    const struct container_terms *terms = &container->terms;
    return !terms->is_own && !terms->is_redis_in_use && is_allowed(decider, container) &&
           !is_denied(decider, container);
}

struct gate_inputs decider_gates_inputs(const struct decider *decider, const struct container *container)
{
    const struct policy_config *config = decider->config;
    const struct host *host = container->host;
    enum failure_cause cause = container->policy.cause;
    bool is_silence = cause == CAUSE_MISSING || cause == CAUSE_START_TIMEOUT;
    int64_t own =
        decider_attempt_has_place(container) ? 1 : 0; /* its own restart does not stand in its way */
    return (struct gate_inputs){
        .is_enabled = config->is_enabled,
        .is_leader = decider_lead_may_send(decider, decider->now),
        .is_tilted = decider->tilt.is_on,
        .is_settling =
            is_silence && (!mono_reached(decider->now, decider->liveness.settled_at) ||
                           liveness_observe(&decider->liveness, container, decider->now) == OBSERVED_UNKNOWN),
        .is_host_live = liveness_is_host_live(&decider->liveness, host, decider->now),
        .is_denied = is_denied(decider, container),
        .is_own = container->terms.is_own,
        .is_redis_in_use = container->terms.is_redis_in_use,
        .has_collision = container->collision_until.ms > decider->now.ms,
        .is_allowed = is_allowed(decider, container),
        .is_held = container->is_held,
        .has_failed_ancestor = dependencies_has_failed_ancestor(container),
        .is_breaker_open = decider_breaker_blocks(decider, container),
        .host_in_flight = host ? host->in_flight - own : 0,
        .max_per_host = config->max_per_host,
        .fleet_in_flight = decider->in_flight - own,
        .max_fleet = config->max_fleet,
        .backoff_until = container->policy.next_attempt_at,
    };
}

enum gate decider_gates_check_again(const struct decider *decider, const struct container *container)
{
    struct gate_inputs inputs = decider_gates_inputs(decider, container);
    return gates_check_again(&inputs, decider->now);
}

static const char *refusal_reason(const struct decider *decider, const struct container *container,
                                  enum gate gate)
{
    if (gate == GATE_SETTLED && decider->tilt.is_on) {
        return "tilt";
    }
    bool is_gone = gate == GATE_ANCESTOR && dependencies_is_parent_gone(container);
    return is_gone ? "parent_gone" : gates_reason(gate);
}

/* A service that no agent knows cannot be commanded at all: say what its lists say. */
static enum gate announced_gate(const struct decider *decider, const struct container *container,
                                enum gate gate)
{
    if (gate != GATE_HOST || container->host) {
        return gate;
    }
    if (is_denied(decider, container)) {
        return GATE_DENY;
    }
    return is_allowed(decider, container) ? GATE_HOST : GATE_ALLOW;
}

struct announcement {
    const char *why, *action;
};

static struct announcement announcement_of(const struct container *container, enum gate gate)
{
    if (gate == GATE_DENY || gate == GATE_OWN || gate == GATE_REDIS) {
        return (struct announcement){"in deny list", "deny_list"};
    }
    if (gate == GATE_ALLOW) {
        return (struct announcement){"not in allow list", "not_in_allowlist"};
    }
    if (gate == GATE_ENABLED) {
        return (struct announcement){"auto-restart is disabled", "disabled"};
    }
    if (gate == GATE_HOST && !container->host) {
        return (struct announcement){"no agent knows it", "no_agent"};
    }
    return (struct announcement){NULL, NULL};
}

static void announce(struct decider *decider, struct container *container, enum gate refusing)
{
    enum gate gate = announced_gate(decider, container, refusing);
    struct announcement announcement = announcement_of(container, gate);
    bool is_recent = container->announced_gate == gate &&
                     mono_diff(decider->now, container->announced_at) < decider->config->alert_repeat_ms;
    if (!announcement.why || is_recent || dependencies_has_failed_ancestor(container)) {
        return;
    }
    container->announced_gate = gate;
    container->announced_at = decider->now;
    container->policy.is_closing_due = true;
    decider_say_line(decider, container, ACTION_WARNING, "Service %s is unhealthy but %s - alerting only",
                     container->name, announcement.why);
    decider_say_failure(decider, container, announcement.action, NULL);
}

static struct mono retry_at(struct decider *decider, const struct container *container, enum gate gate)
{
    struct mono check = mono_add(decider->now, decider->config->check_interval_ms);
    if (gate == GATE_BACKOFF) {
        return container->policy.next_attempt_at;
    }
    if (gate == GATE_SETTLED && !mono_reached(decider->now, decider->liveness.settled_at)) {
        return decider->liveness.settled_at;
    }
    if (gate == GATE_BREAKER) {
        return mono_min(check, decider_breaker_turn_at(decider, container));
    }
    if (gate != GATE_HOST_LIMIT && gate != GATE_FLEET_LIMIT) {
        return check;
    }
    decider->has_waiting = true;
    return mono_min(check, mono_add(decider->now, LIMIT_RETRY_MS));
}

struct policy_event decider_gates_ask(struct decider *decider, struct container *container)
{
    const struct container *parent = NULL;
    bool is_cascade = policy_is_cascade(&container->policy);
    if (is_cascade && dependencies_stale(container, &parent) == CAUSE_NONE) {
        return (struct policy_event){.kind = EVENT_FRESH};
    }
    struct gate_inputs inputs = decider_gates_inputs(decider, container);
    enum gate gate = gates_check(&inputs, decider->now);
    if (gate == GATE_N) {
        container->gate = GATE_N;
        return (struct policy_event){.kind = EVENT_OPEN};
    }
    const char *reason = refusal_reason(decider, container, gate);
    struct mono until = retry_at(decider, container, gate);
    if (container->gate != gate) {
        struct mono next = gate == GATE_BREAKER ? decider_breaker_turn_at(decider, container) : until;
        decider_say_decision(decider, container, "none", reason, gates_name(gate), "", "", next);
    }
    container->gate = gate;
    announce(decider, container, gate);
    return (struct policy_event){
        .kind = EVENT_REFUSED,
        .reason = reason,
        .until = until,
    };
}
