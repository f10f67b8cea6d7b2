#include "controller/core/decider_step.h"

#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "controller/core/decider_attempt.h"
#include "controller/core/decider_breaker.h"
#include "controller/core/decider_budget.h"
#include "controller/core/decider_edges.h"
#include "controller/core/decider_facts.h"
#include "controller/core/decider_gates.h"
#include "controller/core/decider_hold.h"
#include "controller/core/decider_input.h"
#include "controller/core/decider_names.h"
#include "controller/core/decider_say.h"
#include "controller/core/decider_terms.h"
#include "controller/core/decider_totals.h"

enum { STEPS_AT_ONCE = 200 };

static const int64_t READ_WAIT_MS = 1000; /* for the answer to ACTION_READ_KEY before a death counts on */
static const int64_t STRANGER_KEPT_MS = 3600000; /* a silent service that no agent knows */

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

/* ---- answers performed ---- */

static void say_exhausted(struct decider *decider, struct container *container)
{
    struct policy_terms terms;
    decider_terms_of(decider, container, &terms);
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
    if (container->stored) {
        decider_budget_store(decider, container, 0);
    }
}

/* What was told of it beside its trouble is over: Docker leaves it alone again, nobody else claims its name.
 */
static void say_quiet(struct decider *decider, struct container *container)
{
    if (!container->is_aside_said || container->policy.state != STATE_UP ||
        !mono_reached(decider->now, container->collision_until) ||
        decider_facts_is_looping(decider, container)) {
        return;
    }
    struct alert alert;
    decider_say_fill_alert(decider, container, ALERT_SERVICE_RECOVERED, &alert);
    alert.recovery_secs = -1.0;
    decider_say_alert(decider, &alert);
    decider_say_line(decider, container, ACTION_INFO, "Service %s is quiet again: its alerts are closed",
                     container->name);
    container->is_aside_said = false;
    container->crash_loop_said_at = (struct mono){0};
    container->collision_said_at = (struct mono){0};
    decider_input_note(decider);
}

/* Whatever was told of it is over. */
static void say_removed(struct decider *decider, struct container *container)
{
    if (!container->policy.is_closing_due && !container->is_recreate_said && !container->is_aside_said) {
        return;
    }
    struct alert alert;
    decider_say_fill_alert(decider, container, ALERT_SERVICE_RECOVERED, &alert);
    memory_set_text(alert.reason, sizeof alert.reason, "removed");
    alert.recovery_secs = -1.0;
    decider_say_alert(decider, &alert);
    decider_say_line(decider, container, ACTION_INFO, "Service %s was removed: its alerts are closed",
                     container->name);
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
    say_removed(decider, container);
    decider_breaker_drop(decider, container);
    decider_edges_want(decider, container->host);
    if (container->stored) {
        decider_budget_forget(decider, container);
    }
    decider_totals_uncount(decider, container);
    wake_queue_remove(&decider->wakes, &container->wake);
    liveness_remove(&decider->liveness, container);
    decider_names_freed(decider);
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
        *next = decider_gates_ask(decider, container);
        break;
    case POLICY_ATTEMPT:
        decider_breaker_take(decider, container);
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
    case POLICY_RECOVERED_UNSENT:
        decider_attempt_drop(decider, container);
        say_recovered(decider, container);
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
    decider_totals_count(decider, container);
    decider_step_rearm(decider, container);
}

/* ---- time ---- */

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

/* A quick miss of a dead container is counted after one more look, which need not answer; while Redis is away
 * none is taken, and what the agent says is the only word there is. */
static bool may_count_on(struct decider *decider, struct container *container)
{
    const struct policy_memory *policy = &container->policy;
    if (policy->state != STATE_DOWN || policy->misses >= decider->config->miss_threshold) {
        return true;
    }
    bool is_burst = decider->config->fast_check_ms == 0 && policy->misses > 0;
    if (is_burst || container->is_read_done || !decider->liveness.is_redis_up ||
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

/* Nor does the time run in which it has to be well. */
static void postpone_stable(struct decider *decider, struct container *container)
{
    struct policy_memory *policy = &container->policy;
    if (policy->state == STATE_UP && mono_reached(decider->now, policy->wake_at) &&
        liveness_observe(&decider->liveness, container, decider->now) != OBSERVED_ALIVE) {
        policy->healthy_since = decider->now;
    }
}

static bool is_timer_due(struct decider *decider, struct container *container)
{
    postpone_deadline(decider, container);
    postpone_stable(decider, container);
    return mono_reached(decider->now, container->policy.wake_at) && !liveness_is_suspended(container) &&
           may_count_on(decider, container);
}

struct mono decider_step_look_at(const struct decider *decider, const struct container *container)
{
    struct mono wake = container->policy.wake_at;
    return container->policy.state == STATE_SUSPECT ? mono_min(wake, decider->check_at) : wake;
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
    if (liveness_is_suspended(container) && !(container->attempt && !container->host->is_frozen)) {
        wake = MONO_NEVER;
    }
    wake_queue_set(&decider->wakes, &container->wake, wake);
}

static void note_move(struct decider *decider, const struct policy_memory *before,
                      const struct policy_memory *after)
{
    if (before->state != after->state || before->misses != after->misses || before->bad != after->bad ||
        before->attempts != after->attempts || before->cause != after->cause ||
        before->suspended_until.ms != after->suspended_until.ms ||
        before->sick_since.ms != after->sick_since.ms) {
        decider_input_note(decider);
    }
}

void decider_step_event(struct decider *decider, struct container *container,
                        const struct policy_event *event)
{
    struct policy_event current = *event;
    struct policy_memory before = container->policy;
    for (int steps = 0; steps < STEPS_AT_ONCE; steps++) {
        struct policy_terms terms;
        decider_terms_of(decider, container, &terms);
        enum policy_state from = container->policy.state;
        struct policy_verdict verdict = policy_step(&terms, &container->policy, &current, decider->now);
        decider->verdicts[verdict.action]++;
        if (container->policy.state != from) {
            container->state_since = decider->now;
        }
        decider_say_transition(decider, container, from, current.kind, &verdict);
        decider_breaker_note(decider, container, from, current.kind);
        decider_edges_note(decider, container, from, current.kind);
        struct policy_event next = {.kind = EVENT_TIMER};
        if (!perform(decider, container, &verdict, &next)) {
            return;
        }
        if (next.kind == EVENT_TIMER && !is_timer_due(decider, container)) {
            break;
        }
        current = next;
    }
    note_move(decider, &before, &container->policy);
    tidy(decider, container);
}

void decider_step_kind(struct decider *decider, struct container *container, enum policy_event_kind kind)
{
    decider_step_event(decider, container, &(struct policy_event){.kind = kind, .age_ms = -1});
}

void decider_step_pump(struct decider *decider, struct container *container)
{
    if (container->attempt) {
        if (!container->host || !container->host->is_frozen) {
            decider_attempt_due(decider, container);
        }
    } else if (is_timer_due(decider, container)) {
        decider_step_kind(decider, container, EVENT_TIMER);
        return;
    }
    decider_step_rearm(decider, container);
}

bool decider_step_due(struct decider *decider)
{
    struct wake_node *node = wake_queue_first(&decider->wakes);
    bool is_any_due = node && mono_reached(decider->now, node->at);
    while (node && mono_reached(decider->now, node->at)) {
        wake_queue_remove(&decider->wakes, node);
        decider_step_pump(decider, node->owner);
        node = wake_queue_first(&decider->wakes);
    }
    return is_any_due;
}

void decider_step_look_again(struct decider *decider, struct container *container)
{
    container->policy.wake_at = decider->now;
    decider_step_pump(decider, container);
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
        decider_step_look_again(decider, each);
    }
}

/* Deaths that Docker told of stand; what rests on silence, or on a row of beats, begins anew. */
static void tilt_container(struct decider *decider, struct container *container)
{
    struct policy_memory *policy = &container->policy;
    bool is_own_failure = policy->cause != CAUSE_DEATH && !policy_is_cascade(policy);
    if (policy->state == STATE_STARTING || policy->state == STATE_SUSPECT ||
        (policy->state == STATE_FAILED && is_own_failure)) {
        decider_step_kind(decider, container, EVENT_THAW);
    } else if (policy->state == STATE_DOWN) {
        policy->misses = 0;
        policy->wake_at = mono_add(decider->now, decider->config->fast_check_ms);
        decider_step_rearm(decider, container);
    } else if (policy->state == STATE_UP) {
        policy->healthy_since = decider->now; /* whether it was well meanwhile, nobody knows */
    }
    decider_attempt_refresh(decider, container);
}

void decider_step_tilt(struct decider *decider)
{
    struct mono *settled_at = &decider->liveness.settled_at;
    *settled_at = decider->tilt.until.ms > settled_at->ms ? decider->tilt.until : *settled_at;
    struct container *next = NULL;
    for (struct container *each = liveness_first(&decider->liveness); each; each = next) {
        next = liveness_next(each);
        each->is_reading = false;
        tilt_container(decider, each);
    }
}

void decider_step_renew(struct decider *decider, struct container *container)
{
    decider_attempt_drop(decider, container);
    decider_breaker_drop(decider, container);
    liveness_set_restarted(container, false);
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
    container->is_command_lost = false;
    container->is_docker_held = false;
    container->is_reading = false;
    container->is_read_done = false;
    container->is_last_beat_apps = false;
    container->restart_count = -1;
    container->started_count = -1;
    container->app_at = (struct mono){0};
    container->app_status = BEAT_UNKNOWN;
    memset(container->docker_starts, 0, sizeof container->docker_starts);
    decider_step_rearm(decider, container);
}

void decider_step_rename(struct decider *decider, struct container *container, const char *name)
{
    cleanup_free char *old = memory_copy_text(container->name);
    say_removed(decider, container);
    liveness_rename(&decider->liveness, container, name);
    decider_say_line(decider, container, ACTION_INFO, "Container %s is called %s now", old, name);
    container->policy.is_closing_due = false;
    container->is_recreate_said = false;
    container->is_aside_said = false;
    container->announced_gate = GATE_N;
    container->written = 0; /* under this name it was not */
    container->spec_print = 0;
    container->is_app_written = container->is_agent_written = false;
    if (container->stored) {
        if (!decider_attempt_rename(decider, container)) {
            decider_budget_store(decider, container, 0);
        }
        decider_budget_forget_name(decider, container, old);
    }
    decider_hold_apply(decider, container);
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
    decider_input_container(decider, container);
    if (!liveness_is_suspended(container)) {
        say_quiet(decider, container);
    }
    if (!is_watched(container) || liveness_is_suspended(container)) {
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
    for (struct host *host = liveness_first_host(&decider->liveness); host; host = liveness_next_host(host)) {
        decider_edges_want(decider, host);
    }
}

void decider_step_key_read(struct decider *decider, struct container *container, enum key_finding finding)
{
    if (!container->is_reading) {
        return;
    }
    container->is_reading = false;
    if (container->policy.state == STATE_DOWN) {
        container->is_read_done = true;
        decider_step_pump(decider, container);
        return;
    }
    if (finding == KEY_INVALID && !container->is_invalid_said) {
        container->is_invalid_said = true;
        decider_say_line(decider, container, ACTION_WARNING,
                         "Service %s writes something that is no heartbeat", container->name);
    }
    bool is_silent = liveness_observe(&decider->liveness, container, decider->now) == OBSERVED_SILENT;
    if (finding == KEY_ABSENT && is_silent && is_watched(container) && !liveness_is_suspended(container)) {
        decider_step_kind(decider, container, EVENT_MISS);
    }
}
