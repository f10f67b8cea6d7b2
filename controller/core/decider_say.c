#include "controller/core/decider_say.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/fingerprint.h"
#include "common/memory.h"
#include "controller/core/decider_gates.h"
#include "controller/core/decider_hold.h"
#include "controller/core/decider_step.h"
#include "controller/core/decider_terms.h"
#include "controller/core/dependencies.h"

enum { LINE_BYTES = 1024 };

static void add_line(struct decider *decider, const struct container *container, enum action_level level,
                     const char *text)
{
    struct action action = {.kind = ACTION_LOG, .level = level, .text = text};
    if (container) {
        action.container = container->name;
        action.host = container->host ? container->host->name : "";
    }
    action_queue_add(&decider->actions, &action);
}

void decider_say_line(struct decider *decider, struct container *container, enum action_level level,
                      const char *format, ...)
{
    char text[LINE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    uint64_t hash = fingerprint_of(text, strlen(text));
    if (hash == container->last_line &&
        mono_diff(decider->now, container->last_line_at) < decider->config->alert_repeat_ms) {
        return;
    }
    container->last_line = hash;
    container->last_line_at = decider->now;
    add_line(decider, container, level, text);
}

void decider_say_general(struct decider *decider, enum action_level level, const char *format, ...)
{
    char text[LINE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    add_line(decider, NULL, level, text);
}

void decider_say_trouble_detail(const struct container *container, char out[LIMIT_DETAIL_SIZE])
{
    const struct policy_memory *policy = &container->policy;
    out[0] = '\0';
    if (policy->cause != CAUSE_DEATH) {
        return;
    }
    bool is_plain_exit = policy->stop_class == STOP_CRASH || policy->stop_class == STOP_UNKNOWN ||
                         policy->stop_class == STOP_NONE;
    if (is_plain_exit && policy->has_exit_code) {
        snprintf(out, LIMIT_DETAIL_SIZE, "exit_%d", policy->exit_code);
    } else {
        memory_set_text(out, LIMIT_DETAIL_SIZE, stop_class_name(policy->stop_class));
    }
}

void decider_say_fill_alert(const struct decider *decider, const struct container *container,
                            enum alert_type type, struct alert *out)
{
    alert_init(out);
    out->type = type;
    out->timestamp = decider->wall;
    memory_set_text(out->container, sizeof out->container, container->name);
    memory_set_text(out->host, sizeof out->host, container->host ? container->host->name : "");
    memory_set_text(out->service, sizeof out->service, container->service ? container->service : "");
    memory_set_text(out->container_id, sizeof out->container_id, container->container_id);
    memory_set_text(out->reason, sizeof out->reason, policy_cause_name(container->policy.cause));
    decider_say_trouble_detail(container, out->detail);
    out->attempts = container->policy.attempts;
    bool is_about_attempt = type == ALERT_SERVICE_RESTARTED || type == ALERT_SERVICE_RESTART_FAILED;
    if (container->stored && is_about_attempt && container->policy.attempts > 0) {
        memory_set_text(out->evidence, sizeof out->evidence, container->stored->command_id);
    }
    if (container->stored) {
        out->last_attempt = container->stored->last_attempt_at;
        out->cooldown_until = container->stored->cooldown_until;
    }
}

void decider_say_alert(struct decider *decider, struct alert *alert)
{
    alert->seq = decider->next_alert++;
    struct action action = {.kind = ACTION_ALERT,
                            .container = alert->container,
                            .host = alert->host,
                            .service = alert->service,
                            .alert = alert};
    action_queue_add(&decider->actions, &action);
}

bool decider_say_may_repeat(const struct decider *decider, struct mono *said_at)
{
    if (said_at->ms != 0 && mono_diff(decider->now, *said_at) < decider->config->alert_repeat_ms) {
        return false;
    }
    *said_at = decider->now;
    return true;
}

void decider_say_failure(struct decider *decider, const struct container *container, const char *action,
                         const char *detail)
{
    struct alert alert;
    decider_say_fill_alert(decider, container, ALERT_SERVICE_RESTART_FAILED, &alert);
    memory_set_text(alert.action, sizeof alert.action, action);
    if (detail) {
        memory_set_text(alert.detail, sizeof alert.detail, detail);
    }
    decider_say_alert(decider, &alert);
}

void decider_say_host(struct decider *decider, enum alert_type type, const char *host, const char *reason)
{
    struct alert alert;
    alert_init(&alert);
    alert.type = type;
    alert.timestamp = decider->wall;
    memory_set_text(alert.host, sizeof alert.host, host);
    memory_set_text(alert.reason, sizeof alert.reason, reason);
    decider_say_alert(decider, &alert);
}

/* ---- records ---- */

static int64_t age_ms(const struct decider *decider, struct mono when)
{
    int64_t ms = mono_diff(decider->now, when);
    return when.ms == 0 ? -1 : ms < 0 ? 0 : ms;
}

static int64_t left_ms(const struct decider *decider, struct mono when)
{
    int64_t ms = mono_diff(when, decider->now);
    return when.ms == 0 || when.ms == MONO_NEVER.ms ? -1 : ms < 0 ? 0 : ms;
}

/* When something comes by itself, as the state has it. */
static struct mono next_of(const struct decider *decider, const struct container *container)
{
    const struct policy_memory *policy = &container->policy;
    if (policy->state == STATE_STARTING) {
        return policy->grace_until;
    }
    if (policy->state == STATE_COOLDOWN) {
        return policy->cooldown_until;
    }
    if (policy->state == STATE_HELD) {
        return decider_hold_end(decider, container);
    }
    bool is_looked_at =
        policy->state == STATE_SUSPECT || policy->state == STATE_DOWN || policy->state == STATE_FAILED;
    return is_looked_at ? decider_step_look_at(decider, container) : (struct mono){0};
}

static void fill_closed(const struct decider *decider, const struct container *container,
                        char out[EVENT_FACTS_CLOSED_SIZE])
{
    bool is_open[GATE_N];
    size_t used = 0;
    struct gate_inputs inputs = decider_gates_inputs(decider, container);
    gates_look(&inputs, decider->now, is_open);
    for (int gate = 0; gate < GATE_N; gate++) {
        if (!is_open[gate] && used < EVENT_FACTS_CLOSED_SIZE) {
            used += (size_t)snprintf(out + used, EVENT_FACTS_CLOSED_SIZE - used, "%s%s", used == 0 ? "" : " ",
                                     gates_name((enum gate)gate));
        }
    }
}

static void fill_facts(const struct decider *decider, const struct container *container, struct mono next_at,
                       struct event_facts *out)
{
    const struct policy_memory *policy = &container->policy;
    const struct container *parent = dependencies_parent(container);
    *out = (struct event_facts){
        .has_exit_code = container->has_exit_code,
        .exit_code = container->exit_code,
        .misses = policy->misses,
        .bad = policy->bad,
        .agent_heard_ms = age_ms(decider, container->agent_at),
        .service_heard_ms = age_ms(decider, container->app_at),
        .broken_ms = age_ms(decider, policy->broken_at),
        .next_ms = left_ms(decider, next_at),
    };
    memory_set_text(out->state, sizeof out->state, policy_state_name(policy->state));
    if (policy->cause != CAUSE_NONE) {
        memory_set_text(out->cause, sizeof out->cause, policy_cause_name(policy->cause));
    }
    if (container->host) {
        memory_set_text(out->docker, sizeof out->docker, container_state_name(container->state));
        memory_set_text(out->health, sizeof out->health, container_health_name(container->health));
    }
    if (container->stop_class != STOP_NONE) {
        memory_set_text(out->stop_class, sizeof out->stop_class, stop_class_name(container->stop_class));
    }
    memory_set_text(out->status, sizeof out->status, beat_status_name(liveness_status(container)));
    if (parent) {
        memory_set_text(out->parent, sizeof out->parent, parent->name);
        memory_set_text(out->parent_state, sizeof out->parent_state, policy_state_name(parent->policy.state));
    }
    fill_closed(decider, container, out->closed);
}

static void add_record(struct decider *decider, const struct container *container, struct mono next_at,
                       struct event_record *record)
{
    struct policy_terms terms;
    decider_terms_of(decider, container, &terms);
    fill_facts(decider, container, next_at, &record->facts);
    record->facts.miss_threshold = terms.miss_threshold;
    record->facts.unhealthy_threshold = terms.unhealthy_threshold;
    record->attempt = container->policy.attempts;
    record->max_attempts = terms.max_attempts;
    memory_set_text(record->container, sizeof record->container, container->name);
    memory_set_text(record->host, sizeof record->host, container->host ? container->host->name : "");
    memory_set_text(record->container_id, sizeof record->container_id, container->container_id);
    record->timestamp = decider->wall;
    record->seq = decider->next_record++;
    struct action action = {.kind = ACTION_RECORD,
                            .container = container->name,
                            .host = record->host,
                            .record = record,
                            .cause = (int)container->policy.cause};
    action_queue_add(&decider->actions, &action);
}

void decider_say_transition(struct decider *decider, const struct container *container,
                            enum policy_state from, enum policy_event_kind event,
                            const struct policy_verdict *verdict)
{
    enum policy_state to = container->policy.state;
    bool is_ordinary = (from == STATE_NONE && to == STATE_STARTING) ||
                       (from == STATE_STARTING && to == STATE_UP && verdict->action == POLICY_NOTHING);
    if (from == to || is_ordinary) {
        return;
    }
    struct event_record record;
    event_record_init(&record);
    memory_set_text(record.kind, sizeof record.kind, "transition");
    memory_set_text(record.from, sizeof record.from, policy_state_name(from));
    memory_set_text(record.to, sizeof record.to, policy_state_name(to));
    memory_set_text(record.event, sizeof record.event, policy_event_name(event));
    memory_set_text(record.action, sizeof record.action, policy_action_name(verdict->action));
    memory_set_text(record.reason, sizeof record.reason, verdict->reason);
    decider_say_trouble_detail(container, record.detail);
    add_record(decider, container, next_of(decider, container), &record);
}

void decider_say_decision(struct decider *decider, const struct container *container, const char *action,
                          const char *reason, const char *gate, const char *detail, const char *command_id,
                          struct mono next_at)
{
    struct event_record record;
    event_record_init(&record);
    memory_set_text(record.kind, sizeof record.kind, "decision");
    memory_set_text(record.action, sizeof record.action, action);
    memory_set_text(record.reason, sizeof record.reason, reason);
    memory_set_text(record.gate, sizeof record.gate, gate);
    memory_set_text(record.detail, sizeof record.detail, detail);
    memory_set_text(record.command_id, sizeof record.command_id, command_id);
    add_record(decider, container, next_at, &record);
}

/* ---- the summary ---- */

static bool is_same(const struct alert_totals *left, const struct alert_totals *right)
{
    return left->healthy == right->healthy && left->degraded == right->degraded &&
           left->unhealthy == right->unhealthy && left->missing == right->missing;
}

void decider_say_summary(struct decider *decider)
{
    const struct alert_totals *totals = &decider->totals;
    struct alert alert;
    alert_init(&alert);
    alert.type = ALERT_HEALTH_SUMMARY;
    alert.timestamp = decider->wall;
    alert.totals = *totals;
    decider_say_alert(decider, &alert);
    bool is_old = mono_diff(decider->now, decider->totals_said_at) >= decider->config->alert_repeat_ms;
    if (decider->totals_said_at.ms != 0 && !is_old && is_same(totals, &decider->said_totals)) {
        return;
    }
    decider->said_totals = *totals;
    decider->totals_said_at = decider->now;
    decider_say_general(decider, ACTION_INFO,
                        "Health summary: %lld healthy, %lld degraded, %lld unhealthy, %lld missing",
                        (long long)totals->healthy, (long long)totals->degraded, (long long)totals->unhealthy,
                        (long long)totals->missing);
}
