#include "controller/serve/tally.h"

#include <string.h>

#include "controller/core/decider_view.h"

const double tally_bounds[TALLY_BUCKETS] = {0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900};

void tally_observe(struct tally_histogram *histogram, double value)
{
    size_t bucket = 0;
    while (bucket < TALLY_BUCKETS && value > tally_bounds[bucket]) {
        bucket++;
    }
    histogram->buckets[bucket]++;
    histogram->count++;
    histogram->sum += value;
}

const char *tally_outcome_name(enum tally_outcome outcome)
{
    static const char *const names[] = {
        [TALLY_RESTARTED] = "restarted", [TALLY_GIVEN_BACK] = "given_back", [TALLY_FAILED] = "failed"};
    return (size_t)outcome < TALLY_OUTCOMES ? names[outcome] : "";
}

const char *tally_cause_name(enum failure_cause cause)
{
    static const char *const names[] = {[CAUSE_NONE] = "none",
                                        [CAUSE_MISSING] = "missing_heartbeat",
                                        [CAUSE_UNHEALTHY] = "status_unhealthy",
                                        [CAUSE_START_TIMEOUT] = "start_timeout",
                                        [CAUSE_DEATH] = "died",
                                        [CAUSE_STALE_NETWORK] = "stale_network",
                                        [CAUSE_DEPENDENCY] = "dependency"};
    return (size_t)cause < TALLY_CAUSES ? names[cause] : "";
}

static void count_refusal(struct tally *tally, const char *gate)
{
    for (int each = 0; each < GATE_N; each++) {
        tally->refusals[each] += strcmp(gate, gates_name((enum gate)each)) == 0;
    }
    tally->refusals_by_agent += strcmp(gate, "agent") == 0;
}

static void count_decision(struct tally *tally, const struct event_record *record, int cause)
{
    if (record->gate[0] != '\0') {
        count_refusal(tally, record->gate);
    } else if (record->command_id[0] != '\0') {
        tally->attempts[cause]++;
    }
}

static void count_transition(struct tally *tally, const struct event_record *record, int cause,
                             struct mono broken_at, struct mono now)
{
    static const enum policy_action actions[] = {[TALLY_RESTARTED] = POLICY_RESTARTED,
                                                 [TALLY_GIVEN_BACK] = POLICY_GIVEN_BACK,
                                                 [TALLY_FAILED] = POLICY_FAILED_TO_RESTART};
    for (int outcome = 0; outcome < TALLY_OUTCOMES; outcome++) {
        if (strcmp(record->action, policy_action_name(actions[outcome])) == 0) {
            tally->restarts[outcome][cause]++;
        }
    }
    tally->exhausted += strcmp(record->action, policy_action_name(POLICY_EXHAUSTED)) == 0;
    bool is_found = strcmp(record->to, policy_state_name(STATE_FAILED)) == 0;
    bool is_first = record->attempt == 0 && strcmp(record->from, policy_state_name(STATE_COOLDOWN)) != 0;
    if (is_found && is_first && broken_at.ms != 0) {
        tally_observe(&tally->detect_secs, (double)mono_diff(now, broken_at) / 1000.0);
    }
}

static void count_record(struct tally *tally, const struct decider *decider, const struct action *action,
                         struct mono now)
{
    const struct event_record *record = action->record;
    int cause = action->cause >= 0 && action->cause < TALLY_CAUSES ? action->cause : CAUSE_NONE;
    struct decider_view_container container;
    if (strcmp(record->kind, "decision") == 0) {
        count_decision(tally, record, cause);
    } else if (strcmp(record->kind, "transition") == 0) {
        bool is_known = decider_view_container(decider, record->container, &container);
        count_transition(tally, record, cause, is_known ? container.broken_at : (struct mono){0}, now);
    }
}

void tally_count(struct tally *tally, const struct decider *decider, const struct action *action,
                 struct mono now)
{
    if (action->kind == ACTION_RECORD) {
        count_record(tally, decider, action, now);
    } else if (action->kind == ACTION_ALERT && (size_t)action->alert->type < ALERT_TYPE_N) {
        tally->alerts[action->alert->type]++;
        if (action->alert->type == ALERT_SERVICE_RECOVERED && action->alert->recovery_secs >= 0) {
            tally_observe(&tally->recovery_secs, action->alert->recovery_secs);
        }
    }
}
