#include "controller/core/decider_step.h"

#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "controller/core/decider_attempt.h"
#include "controller/core/decider_budget.h"
#include "controller/core/decider_say.h"

enum { STEPS_AT_ONCE = 200 };

static const int64_t READ_WAIT_MS = 1000; /* for the answer to ACTION_READ_KEY before a death counts on */
static const int64_t LIMIT_RETRY_MS = 1000;
static const int64_t STRANGER_KEPT_MS = 3600000; /* a silent service that no agent knows */

/* ---- what applies to a container ---- */

static int64_t label_or(int64_t label, int64_t setting)
{
    return label >= 0 ? label : setting;
}

static int64_t larger(int64_t left, int64_t right)
{
    return left > right ? left : right;
}

void decider_step_terms(const struct decider *decider, const struct container *container,
                        struct policy_terms *out)
{
    const struct policy_config *config = decider->config;
    const struct container_terms *labels = &container->terms;
    *out = (struct policy_terms){
        .miss_threshold = config->miss_threshold,
        .unhealthy_threshold = config->unhealthy_threshold,
        .check_interval_ms = config->check_interval_ms,
        .fast_check_ms = config->fast_check_ms,
        .cooldown_ms = config->cooldown_ms,
        .stable_ms = larger(config->stable_ms, config->cooldown_ms),
        .grace_ms =
            larger(larger(config->start_grace_ms, labels->start_grace_ms), labels->healthcheck_grace_ms),
        .deadline_ms = config->start_deadline_ms,
        .stop_timeout_ms = label_or(labels->stop_timeout_ms, config->stop_timeout_ms),
        .unhealthy_grace_ms = label_or(labels->unhealthy_grace_ms, 0),
        .docker_policy_grace_ms = config->docker_policy_grace_ms,
        .jitter_pct = config->jitter_pct,
        .backoff_ms = labels->backoff_count ? labels->backoff_ms : config->backoff_ms,
        .backoff_count = labels->backoff_count ? labels->backoff_count : config->backoff_count,
    };
    /* MAX_RESTART_ATTEMPTS=0 sends no command, ever: no label undoes that. */
    out->max_attempts = config->max_attempts > 0 ? label_or(labels->max_attempts, config->max_attempts) : 0;
}

uint32_t decider_step_random(struct decider *decider)
{
    /* xorshift128+ */
    uint64_t x = decider->random_state[0];
    uint64_t y = decider->random_state[1];
    decider->random_state[0] = y;
    x ^= x << 23;
    decider->random_state[1] = x ^ y ^ (x >> 17) ^ (y >> 26);
    return (uint32_t)((decider->random_state[1] + y) >> 32);
}

/* ---- totals ---- */

static enum category category_of(const struct container *container)
{
    const struct policy_memory *policy = &container->policy;
    switch (policy->state) {
    case STATE_STARTING:
        return CATEGORY_STARTING;
    case STATE_UP: {
        enum beat_status status = liveness_status(container);
        return status == BEAT_DEGRADED || status == BEAT_UNKNOWN ? CATEGORY_DEGRADED : CATEGORY_HEALTHY;
    }
    case STATE_SUSPECT:
        return policy->misses > 0 ? CATEGORY_MISSING : CATEGORY_UNHEALTHY;
    case STATE_DOWN:
        return CATEGORY_MISSING;
    case STATE_FAILED:
    case STATE_RESTARTING:
    case STATE_COOLDOWN:
        return policy->cause == CAUSE_MISSING || policy->cause == CAUSE_DEATH ? CATEGORY_MISSING
                                                                              : CATEGORY_UNHEALTHY;
    case STATE_HELD:
        return CATEGORY_HELD;
    case STATE_NONE:
    case STATE_REMOVED:
    case STATE_N:
        break;
    }
    return CATEGORY_NONE;
}

static int64_t *count_of(struct alert_totals *totals, enum category category)
{
    switch (category) {
    case CATEGORY_HEALTHY:
        return &totals->healthy;
    case CATEGORY_DEGRADED:
        return &totals->degraded;
    case CATEGORY_UNHEALTHY:
        return &totals->unhealthy;
    case CATEGORY_MISSING:
        return &totals->missing;
    case CATEGORY_STARTING:
        return &totals->starting;
    case CATEGORY_HELD:
        return &totals->held;
    case CATEGORY_NONE:
        break;
    }
    return NULL;
}

static void set_category(struct decider *decider, struct container *container, enum category category)
{
    if (container->category == category) {
        return;
    }
    int64_t *old = count_of(&decider->totals, (enum category)container->category);
    int64_t *new = count_of(&decider->totals, category);
    if (old) {
        (*old)--;
    }
    if (new) {
        (*new)++;
    }
    decider->totals.total += (new ? 1 : 0) - (old ? 1 : 0);
    container->category = (uint8_t)category;
}

void decider_step_uncount(struct decider *decider, struct container *container)
{
    set_category(decider, container, CATEGORY_NONE);
}

/* ---- gates ---- */

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

static struct gate_inputs gate_inputs(const struct decider *decider, const struct container *container)
{
    const struct policy_config *config = decider->config;
    const struct host *host = container->host;
    enum failure_cause cause = container->policy.cause;
    bool is_silence = cause == CAUSE_MISSING || cause == CAUSE_START_TIMEOUT;
    return (struct gate_inputs){
        .is_enabled = config->is_enabled,
        .is_leader = decider->is_leader,
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
        .host_in_flight = host ? host->in_flight : 0,
        .max_per_host = config->max_per_host,
        .fleet_in_flight = decider->in_flight,
        .max_fleet = config->max_fleet,
        .backoff_until = container->policy.next_attempt_at,
    };
}

enum gate decider_step_gate(const struct decider *decider, const struct container *container)
{
    struct gate_inputs inputs = gate_inputs(decider, container);
    return gates_check(&inputs, decider->now);
}

enum gate decider_step_gate_again(const struct decider *decider, const struct container *container)
{
    struct gate_inputs inputs = gate_inputs(decider, container);
    return gates_check_again(&inputs, decider->now);
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
    if (!announcement.why || is_recent) {
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
    if (gate != GATE_HOST_LIMIT && gate != GATE_FLEET_LIMIT) {
        return check;
    }
    decider->has_waiting = true;
    return mono_min(check, mono_add(decider->now, LIMIT_RETRY_MS));
}

static struct policy_event ask_gates(struct decider *decider, struct container *container)
{
    enum gate gate = decider_step_gate(decider, container);
    if (gate == GATE_N) {
        container->gate = GATE_N;
        return (struct policy_event){.kind = EVENT_OPEN};
    }
    if (container->gate != gate) {
        decider_say_decision(decider, container, "none", gates_reason(gate), gates_name(gate), "", "");
    }
    container->gate = gate;
    announce(decider, container, gate);
    return (struct policy_event){
        .kind = EVENT_REFUSED,
        .reason = gates_reason(gate),
        .until = retry_at(decider, container, gate),
    };
}

/* ---- answers performed ---- */

static void say_exhausted(struct decider *decider, struct container *container)
{
    struct policy_terms terms;
    decider_step_terms(decider, container, &terms);
    decider_say_line(decider, container, ACTION_ERROR, "Service %s exhausted restart attempts (%d/%lld)",
                     container->name, container->policy.attempts, (long long)terms.max_attempts);
    if (container->policy.attempts > 0) {
        decider_budget_state(container)->is_exhausted_alerted = true;
        decider_budget_store(decider, container, 0);
    }
    decider_say_failure(decider, container, "max_attempts_exhausted",
                        terms.max_attempts == 0 ? "alert_only" : NULL);
}

static void say_recovered(struct decider *decider, struct container *container)
{
    struct alert alert;
    double secs = (double)mono_diff(decider->now, container->policy.broken_at) / 1000.0;
    decider_say_fill_alert(decider, container, ALERT_SERVICE_RECOVERED, &alert);
    alert.recovery_secs = container->policy.broken_at.ms ? secs : -1.0;
    decider_say_alert(decider, &alert);
    decider_say_line(decider, container, ACTION_INFO, "Service %s recovered after %.1f s", container->name,
                     secs);
}

static void say_held(struct decider *decider, struct container *container, const char *reason)
{
    if (strcmp(reason, "unknown_stop") != 0) {
        return;
    }
    struct alert alert;
    decider_say_fill_alert(decider, container, ALERT_SERVICE_HELD, &alert);
    memory_set_text(alert.reason, sizeof alert.reason, reason);
    decider_say_alert(decider, &alert);
}

static void say_restarted(struct decider *decider, struct container *container)
{
    struct alert alert;
    decider_say_line(decider, container, ACTION_INFO, "Successfully restarted %s", container->name);
    decider_budget_store(decider, container, 0);
    decider_say_fill_alert(decider, container, ALERT_SERVICE_RESTARTED, &alert);
    decider_say_alert(decider, &alert);
}

static void remove_container(struct decider *decider, struct container *container)
{
    decider_attempt_drop(decider, container);
    if (container->stored) {
        decider_budget_forget(decider, container);
    }
    decider_step_uncount(decider, container);
    wake_queue_remove(&decider->wakes, &container->wake);
    liveness_remove(&decider->liveness, container);
}

/* False where the container is gone. */
static bool perform(struct decider *decider, struct container *container,
                    const struct policy_verdict *verdict, struct policy_event *next)
{
    switch (verdict->action) {
    case POLICY_COUNT_MISS:
        decider_say_line(decider, container, ACTION_WARNING,
                         "Service %s missing heartbeat (%d consecutive misses)", container->name,
                         container->policy.misses);
        break;
    case POLICY_ASK_GATES:
        *next = ask_gates(decider, container);
        break;
    case POLICY_ATTEMPT:
        decider_attempt_begin(decider, container);
        break;
    case POLICY_EXHAUSTED:
        say_exhausted(decider, container);
        break;
    case POLICY_RESTARTED:
        say_restarted(decider, container);
        break;
    case POLICY_GIVEN_BACK:
        decider_attempt_drop(decider, container);
        decider_budget_store(decider, container, 0);
        break;
    case POLICY_FAILED_TO_RESTART:
        decider_budget_store(decider, container, 0);
        break;
    case POLICY_RECOVERED:
        say_recovered(decider, container);
        break;
    case POLICY_HELD:
        say_held(decider, container, verdict->reason);
        break;
    case POLICY_FORGET:
        decider_budget_forget(decider, container);
        break;
    case POLICY_REMOVE:
        remove_container(decider, container);
        return false;
    case POLICY_NOTHING:
    case POLICY_ACTION_N:
        break;
    }
    return true;
}

static void tidy(struct decider *decider, struct container *container)
{
    struct policy_memory *policy = &container->policy;
    if (policy->state != STATE_FAILED) {
        container->gate = GATE_N;
    }
    if (policy->state == STATE_UP) {
        container->announced_gate = GATE_N;
        policy->broken_at = (struct mono){0};
    }
    if (policy->state != STATE_DOWN) {
        container->is_read_done = false;
    }
    if (container->attempt && policy->state != STATE_RESTARTING) {
        decider_attempt_drop(decider, container);
    }
    set_category(decider, container, category_of(container));
    decider_step_rearm(decider, container);
}

/* ---- time ---- */

/* A host that is not observed changes no state and no counter; nor does a container that its agent's last
 * inventory left out, which is about to be known as removed. */
static bool is_suspended(const struct container *container)
{
    return (container->host && container->host->is_frozen) || !liveness_is_listed(container);
}

static void ask_key(struct decider *decider, struct container *container)
{
    container->is_reading = true;
    container->read_at = decider->now;
    struct action action = {
        .kind = ACTION_READ_KEY,
        .container = container->name,
        .host = container->host ? container->host->name : "",
        .service = container->service,
        .instance = container->instance,
    };
    action_queue_add(&decider->actions, &action);
}

static bool is_read_overdue(const struct decider *decider, const struct container *container)
{
    return mono_diff(decider->now, container->read_at) >= READ_WAIT_MS;
}

/* A quick miss of a dead container is counted after one more look, which need not answer. */
static bool may_count_on(struct decider *decider, struct container *container)
{
    const struct policy_memory *policy = &container->policy;
    if (policy->state != STATE_DOWN || policy->misses >= decider->config->miss_threshold) {
        return true;
    }
    bool is_burst = decider->config->fast_check_ms == 0 && policy->misses > 0;
    if (is_burst || container->is_read_done ||
        (container->is_reading && is_read_overdue(decider, container))) {
        container->is_read_done = false;
        container->is_reading = false;
        return true;
    }
    if (!container->is_reading) {
        ask_key(decider, container);
    }
    return false;
}

/* While nothing could be heard of it, its start deadline does not run out: nobody can tell. Nor for one that
 * says that it is stopping: Docker's state decides. */
static void postpone_deadline(struct decider *decider, struct container *container)
{
    struct policy_memory *policy = &container->policy;
    bool is_over = policy->state == STATE_STARTING && mono_reached(decider->now, policy->deadline_at);
    if (!is_over) {
        return;
    }
    enum observation observation = liveness_observe(&decider->liveness, container, decider->now);
    bool is_stopping = observation == OBSERVED_ALIVE && liveness_status(container) == BEAT_STOPPING;
    if (observation == OBSERVED_UNKNOWN || is_stopping) {
        policy->deadline_at = mono_add(decider->now, decider->config->check_interval_ms);
        policy->wake_at = policy->deadline_at;
    }
}

static bool is_timer_due(struct decider *decider, struct container *container)
{
    postpone_deadline(decider, container);
    return mono_reached(decider->now, container->policy.wake_at) && !is_suspended(container) &&
           may_count_on(decider, container);
}

void decider_step_rearm(struct decider *decider, struct container *container)
{
    struct mono wake = container->policy.wake_at;
    bool is_waiting_for_key =
        container->policy.state == STATE_DOWN && container->is_reading && mono_reached(decider->now, wake);
    if (container->attempt) {
        wake = decider_attempt_wake_at(container);
    } else if (is_waiting_for_key) {
        wake = mono_add(container->read_at, READ_WAIT_MS);
    }
    if (is_suspended(container) && !(container->attempt && !container->host->is_frozen)) {
        wake = MONO_NEVER;
    }
    wake_queue_set(&decider->wakes, &container->wake, wake);
}

void decider_step_event(struct decider *decider, struct container *container,
                        const struct policy_event *event)
{
    struct policy_event current = *event;
    for (int steps = 0; steps < STEPS_AT_ONCE; steps++) {
        struct policy_terms terms;
        decider_step_terms(decider, container, &terms);
        enum policy_state from = container->policy.state;
        struct policy_verdict verdict = policy_step(&terms, &container->policy, &current, decider->now);
        decider_say_transition(decider, container, from, current.kind, &verdict);
        struct policy_event next = {.kind = EVENT_TIMER};
        if (!perform(decider, container, &verdict, &next)) {
            return;
        }
        if (next.kind == EVENT_TIMER && !is_timer_due(decider, container)) {
            break;
        }
        current = next;
    }
    tidy(decider, container);
}

void decider_step_kind(struct decider *decider, struct container *container, enum policy_event_kind kind)
{
    decider_step_event(decider, container, &(struct policy_event){.kind = kind, .age_ms = -1});
}

static void pump(struct decider *decider, struct container *container)
{
    if (container->attempt) {
        if (!container->host || !container->host->is_frozen) {
            if (!decider_attempt_due(decider, container)) {
                return;
            }
        }
    } else if (is_timer_due(decider, container)) {
        decider_step_kind(decider, container, EVENT_TIMER);
        return;
    }
    decider_step_rearm(decider, container);
}

void decider_step_due(struct decider *decider)
{
    struct wake_node *node = wake_queue_first(&decider->wakes);
    while (node && mono_reached(decider->now, node->at)) {
        wake_queue_remove(&decider->wakes, node);
        pump(decider, node->owner);
        node = wake_queue_first(&decider->wakes);
    }
}

void decider_step_wake_failed(struct decider *decider)
{
    decider->has_waiting = false;
    struct container *next = NULL;
    for (struct container *each = liveness_first(&decider->liveness); each; each = next) {
        next = liveness_next(each);
        if (each->policy.state != STATE_FAILED) {
            continue;
        }
        each->policy.wake_at = decider->now;
        pump(decider, each);
    }
}

/* ---- facts judged ---- */

static bool will_docker_act(const struct container *container)
{
    const struct container_terms *terms = &container->terms;
    if (container->stop_class == STOP_SHUTDOWN) {
        return true; /* dockerd starts it again, or we do after the same patience */
    }
    if (container->stop_class != STOP_CRASH && container->stop_class != STOP_OOM) {
        return false;
    }
    if (terms->docker_policy == DOCKER_POLICY_ALWAYS ||
        terms->docker_policy == DOCKER_POLICY_UNLESS_STOPPED) {
        return true;
    }
    bool is_failure = !container->has_exit_code || container->exit_code != 0;
    bool has_tries = terms->docker_policy_max == 0 || container->restart_count < terms->docker_policy_max;
    return terms->docker_policy == DOCKER_POLICY_ON_FAILURE && is_failure && has_tries;
}

static struct policy_event death_event(const struct container *container)
{
    bool is_engine_away = container->host && !container->host->is_engine_up;
    return (struct policy_event){
        .kind = EVENT_DIED,
        .stop_class = container->stop_class,
        .has_exit_code = container->has_exit_code,
        .exit_code = container->exit_code,
        .is_docker_acting = container->state == CONTAINER_RESTARTING || container->is_docker_restarting ||
                            (container->stop_class == STOP_SHUTDOWN && is_engine_away),
        .will_docker_act = will_docker_act(container),
    };
}

static void step_running(struct decider *decider, struct container *container, const struct news *news)
{
    struct policy_event event = {.kind = EVENT_RUNNING, .maker = news->maker, .age_ms = news->age_ms};
    container->is_docker_held = false;
    decider_step_event(decider, container, &event);
}

static void judge_dead(struct decider *decider, struct container *container, const struct news *news)
{
    bool is_old_news = container->acted_on[0] && strcmp(container->acted_on, container->incarnation) == 0 &&
                       container->policy.state == STATE_STARTING;
    container->is_docker_held = false;
    if (container->stop_class == STOP_OWN || is_old_news) {
        return;
    }
    if (news->is_new_incarnation && container->policy.state != STATE_NONE) {
        step_running(decider, container, news);
    }
    struct policy_event event = death_event(container);
    decider_step_event(decider, container, &event);
}

static void judge_word(struct decider *decider, struct container *container, bool is_new_beat)
{
    const struct policy_memory *policy = &container->policy;
    if (container->health == HEALTH_UNHEALTHY) {
        decider_step_kind(decider, container, EVENT_SICK);
        return;
    }
    if (liveness_observe(&decider->liveness, container, decider->now) != OBSERVED_ALIVE) {
        return;
    }
    switch (liveness_status(container)) {
    case BEAT_HEALTHY:
    case BEAT_DEGRADED:
    case BEAT_UNKNOWN:
        decider_step_kind(decider, container, EVENT_GOOD);
        break;
    case BEAT_STARTING:
        if (policy->state != STATE_STARTING) {
            decider_step_kind(decider, container, EVENT_WARMING);
        }
        break;
    case BEAT_UNHEALTHY:
        if (is_new_beat) {
            decider_step_kind(decider, container, EVENT_BAD);
        }
        break;
    case BEAT_STOPPING:
        decider_step_kind(decider, container, EVENT_STOPPING);
        break;
    case BEAT_STATUS_N:
        break;
    }
}

static void judge_running(struct decider *decider, struct container *container, const struct news *news)
{
    enum policy_state state = container->policy.state;
    bool was_known_dead =
        state == STATE_DOWN || (state == STATE_FAILED && container->policy.cause == CAUSE_DEATH);
    bool is_back = state == STATE_HELD && news->maker != MADE_BEFORE;
    bool is_unpaused = state == STATE_HELD && container->is_docker_held;
    if (is_unpaused && !news->is_new_incarnation) {
        step_running(decider, container,
                     &(struct news){.maker = MADE_BEFORE}); /* the same one, with fresh grace */
    } else if (news->is_new_incarnation || state == STATE_NONE || was_known_dead || is_back) {
        step_running(decider, container, news);
    }
    judge_word(decider, container, news->is_new_beat);
}

static void hold_by_docker(struct decider *decider, struct container *container, const char *reason)
{
    if (container->policy.state == STATE_HELD) {
        return;
    }
    decider_step_event(decider, container, &(struct policy_event){.kind = EVENT_PAUSED, .reason = reason});
    container->is_docker_held = container->policy.state == STATE_HELD;
}

bool decider_step_judge(struct decider *decider, struct container *container, const struct news *news)
{
    if (container->is_held) {
        if (container->policy.state != STATE_HELD) {
            decider_step_event(decider, container,
                               &(struct policy_event){.kind = EVENT_HOLD, .reason = "hold"});
        }
        return true;
    }
    if (is_suspended(container)) {
        return true;
    }
    switch (container->state) {
    case CONTAINER_EXITED:
    case CONTAINER_DEAD:
    case CONTAINER_RESTARTING:
        judge_dead(decider, container, news);
        break;
    case CONTAINER_PAUSED:
        hold_by_docker(decider, container, "paused");
        break;
    case CONTAINER_CREATED:
        hold_by_docker(decider, container, "created");
        break;
    case CONTAINER_RUNNING:
    case CONTAINER_UNKNOWN:
        judge_running(decider, container, news);
        break;
    case CONTAINER_REMOVING:
    case CONTAINER_STATE_N:
        break;
    }
    pump(decider, container);
    return true;
}

bool decider_step_judge_again(struct decider *decider, struct container *container)
{
    return decider_step_judge(decider, container, &(struct news){.maker = MADE_BEFORE, .age_ms = -1});
}

void decider_step_renew(struct decider *decider, struct container *container)
{
    decider_attempt_drop(decider, container);
    if (container->stored) {
        decider_budget_forget(decider, container);
    }
    struct policy_memory old = container->policy;
    policy_init(&container->policy);
    container->policy.is_closing_due = old.is_closing_due; /* what was announced is closed by its successor */
    container->policy.broken_at = old.broken_at;
    container->gate = GATE_N;
    container->announced_gate = GATE_N;
    container->incarnation[0] = '\0';
    container->acted_on[0] = '\0';
    container->last_command[0] = '\0';
    container->is_own_start_due = false;
    container->is_docker_held = false;
    container->is_reading = false;
    container->is_read_done = false;
    container->is_last_beat_apps = false;
    container->restart_count = -1;
    container->app_at = (struct mono){0};
    container->app_status = BEAT_UNKNOWN;
    memset(container->docker_starts, 0, sizeof container->docker_starts);
    decider_step_rearm(decider, container);
}

/* ---- the regular check ---- */

static bool is_watched(const struct container *container)
{
    enum policy_state state = container->policy.state;
    return state == STATE_UP || state == STATE_SUSPECT || state == STATE_STARTING;
}

static void check_container(struct decider *decider, struct container *container)
{
    bool is_stranger = !container->host && mono_diff(decider->now, container->seen_at) > STRANGER_KEPT_MS;
    if (is_stranger) {
        decider_step_kind(decider, container, EVENT_GONE);
        return;
    }
    if (!is_watched(container) || is_suspended(container)) {
        return;
    }
    if (container->health == HEALTH_UNHEALTHY && container->state == CONTAINER_RUNNING) {
        decider_step_kind(decider, container, EVENT_SICK);
        return;
    }
    if (liveness_observe(&decider->liveness, container, decider->now) != OBSERVED_SILENT) {
        return;
    }
    if (container->policy.state == STATE_STARTING &&
        !mono_reached(decider->now, container->policy.grace_until)) {
        return;
    }
    if (!container->is_reading || is_read_overdue(decider, container)) {
        ask_key(decider, container);
    }
}

void decider_step_check(struct decider *decider)
{
    struct container *next = NULL;
    for (struct container *each = liveness_first(&decider->liveness); each; each = next) {
        next = liveness_next(each);
        check_container(decider, each);
    }
    decider_say_summary(decider);
}

void decider_step_key_read(struct decider *decider, struct container *container, enum key_finding finding)
{
    if (!container->is_reading) {
        return;
    }
    container->is_reading = false;
    if (container->policy.state == STATE_DOWN) {
        container->is_read_done = true;
        pump(decider, container);
        return;
    }
    if (finding == KEY_INVALID && !container->is_invalid_said) {
        container->is_invalid_said = true;
        decider_say_line(decider, container, ACTION_WARNING,
                         "Service %s writes something that is no heartbeat", container->name);
    }
    bool is_silent = liveness_observe(&decider->liveness, container, decider->now) == OBSERVED_SILENT;
    if (finding == KEY_ABSENT && is_silent && is_watched(container) && !is_suspended(container)) {
        decider_step_kind(decider, container, EVENT_MISS);
    }
}
