#include "controller/core/policy.h"

#include <assert.h>

static const int64_t STOPPING_EXTRA_MS = 30000;

typedef struct policy_verdict policy_handler(const struct policy_terms *terms, struct policy_memory *memory,
                                             const struct policy_event *event, struct mono now);

static struct policy_verdict answer(struct policy_memory *memory, enum policy_action action,
                                    const char *reason, struct mono wake_at)
{
    memory->reason = reason;
    memory->wake_at = wake_at;
    return (struct policy_verdict){.action = action, .reason = reason, .wake_at = wake_at};
}

static struct policy_verdict unmoved(struct policy_memory *memory)
{
    return answer(memory, POLICY_NOTHING, memory->reason, memory->wake_at);
}

static bool is_set(struct mono when)
{
    return when.ms != 0;
}

static void note_trouble(struct policy_memory *memory, struct mono now)
{
    if (!is_set(memory->broken_at)) {
        memory->broken_at = now;
    }
}

static void renew_budget(struct policy_memory *memory)
{
    memory->attempts = 0;
    memory->is_given_back = false;
    memory->cooldown_until = (struct mono){0};
    memory->next_attempt_at = (struct mono){0};
}

static void complete(const struct policy_terms *terms, struct policy_memory *memory,
                     const struct policy_event *event, struct mono now)
{
    int64_t delay_ms = policy_backoff_ms(terms, memory->attempts);
    double share = (double)event->random / (double)UINT32_MAX;
    delay_ms += (int64_t)((double)delay_ms * (double)terms->jitter_pct / 100.0 * share);
    memory->next_attempt_at = mono_add(now, delay_ms);
    memory->is_sent = false;
}

/* While it is watched: the start deadline, Docker's HEALTHCHECK with a grace of its own, the stable time. */
static struct mono watch_wake(const struct policy_terms *terms, const struct policy_memory *memory)
{
    struct mono wake = MONO_NEVER;
    if (memory->state == STATE_STARTING) {
        wake = memory->deadline_at;
    }
    if (memory->state == STATE_UP && (memory->attempts > 0 || is_set(memory->cooldown_until))) {
        wake = mono_add(memory->healthy_since, terms->stable_ms);
    }
    if (is_set(memory->sick_since)) {
        wake = mono_min(wake, mono_add(memory->sick_since, terms->unhealthy_grace_ms));
    }
    return wake;
}

static struct policy_verdict begin_at(const struct policy_terms *terms, struct policy_memory *memory,
                                      int64_t age_ms, enum policy_action action, const char *reason,
                                      struct mono now)
{
    int64_t deadline_ms = terms->deadline_ms > terms->grace_ms ? terms->deadline_ms : terms->grace_ms;
    memory->state = STATE_STARTING;
    memory->misses = 0;
    memory->bad = 0;
    memory->suspended_until = (struct mono){0};
    memory->sick_since = (struct mono){0};
    memory->is_renewed = false;
    memory->stop_class = STOP_NONE;
    memory->grace_until = mono_add(now, terms->grace_ms - (age_ms > 0 ? age_ms : 0));
    memory->deadline_at = mono_add(now, deadline_ms);
    return answer(memory, action, reason, watch_wake(terms, memory));
}

static struct policy_verdict begin(const struct policy_terms *terms, struct policy_memory *memory,
                                   const struct policy_event *event, struct mono now)
{
    if (event->is_late) {
        complete(terms, memory, event, now);
    }
    return begin_at(terms, memory, event->kind == EVENT_RUNNING ? event->age_ms : 0, POLICY_NOTHING,
                    "started", now);
}

/* COOLDOWN, HELD: only somebody's hand gives the budget back. */
static struct policy_verdict begin_held(const struct policy_terms *terms, struct policy_memory *memory,
                                        const struct policy_event *event, struct mono now)
{
    if (event->maker != MADE_BY_OPERATOR) {
        return begin(terms, memory, event, now);
    }
    renew_budget(memory);
    return begin_at(terms, memory, event->age_ms, POLICY_FORGET, "operator_start", now);
}

static struct policy_verdict begin_in_cooldown(const struct policy_terms *terms, struct policy_memory *memory,
                                               const struct policy_event *event, struct mono now)
{
    if (event->maker == MADE_BY_OPERATOR) {
        return begin_held(terms, memory, event, now);
    }
    memory->is_renewed = true;
    memory->cause = CAUSE_MISSING;
    return unmoved(memory);
}

static struct policy_verdict fail(struct policy_memory *memory, enum failure_cause cause, struct mono now)
{
    note_trouble(memory, now);
    memory->cause = cause;
    memory->is_renewed = false;
    memory->sick_since = (struct mono){0};
    if (is_set(memory->cooldown_until) && !mono_reached(now, memory->cooldown_until)) {
        memory->state = STATE_COOLDOWN;
        return answer(memory, POLICY_NOTHING, "cooldown", memory->cooldown_until);
    }
    if (is_set(memory->cooldown_until)) {
        renew_budget(memory);
    }
    memory->state = STATE_FAILED;
    return answer(memory, POLICY_NOTHING, policy_cause_name(cause), now);
}

static struct policy_verdict good(const struct policy_terms *terms, struct policy_memory *memory,
                                  const struct policy_event *event, struct mono now)
{
    (void)event;
    bool is_recovery = memory->is_closing_due;
    if (memory->state != STATE_UP) {
        memory->healthy_since = now;
    }
    memory->state = STATE_UP;
    memory->misses = 0;
    memory->bad = 0;
    memory->cause = CAUSE_NONE;
    memory->is_given_back = false;
    memory->is_closing_due = false;
    memory->suspended_until = (struct mono){0};
    memory->sick_since = (struct mono){0};
    memory->deadline_at = (struct mono){0};
    return answer(memory, is_recovery ? POLICY_RECOVERED : POLICY_NOTHING, "healthy",
                  watch_wake(terms, memory));
}

/* A failure of its own is over; what it depends on is as it was. */
static struct policy_verdict good_failed(const struct policy_terms *terms, struct policy_memory *memory,
                                         const struct policy_event *event, struct mono now)
{
    return policy_is_cascade(memory) ? unmoved(memory) : good(terms, memory, event, now);
}

/* Nothing left us yet: the attempt was not used. */
static struct policy_verdict good_before_sending(const struct policy_terms *terms,
                                                 struct policy_memory *memory,
                                                 const struct policy_event *event, struct mono now)
{
    if (memory->is_sent || policy_is_cascade(memory)) {
        return unmoved(memory);
    }
    if (memory->attempts > 0) {
        memory->attempts--;
    }
    struct policy_verdict verdict = good(terms, memory, event, now);
    verdict.action = verdict.action == POLICY_RECOVERED ? POLICY_RECOVERED_UNSENT : POLICY_GIVEN_BACK;
    return verdict;
}

static bool is_patient(const struct policy_memory *memory, struct mono now)
{
    bool is_in_grace = memory->state == STATE_STARTING && !mono_reached(now, memory->grace_until);
    return is_in_grace || !mono_reached(now, memory->suspended_until);
}

static struct policy_verdict bad(const struct policy_terms *terms, struct policy_memory *memory,
                                 const struct policy_event *event, struct mono now)
{
    (void)event;
    if (is_patient(memory, now)) {
        return unmoved(memory);
    }
    note_trouble(memory, now);
    memory->state = STATE_SUSPECT;
    memory->misses = 0;
    memory->bad++;
    if (memory->bad >= terms->unhealthy_threshold) {
        return fail(memory, CAUSE_UNHEALTHY, now);
    }
    return answer(memory, POLICY_NOTHING, "status_unhealthy", watch_wake(terms, memory));
}

static struct policy_verdict sick(const struct policy_terms *terms, struct policy_memory *memory,
                                  const struct policy_event *event, struct mono now)
{
    (void)event;
    if (is_patient(memory, now)) {
        return unmoved(memory);
    }
    note_trouble(memory, now);
    if (!is_set(memory->sick_since)) {
        memory->sick_since = now;
    }
    memory->misses = 0;
    if (mono_diff(now, memory->sick_since) >= terms->unhealthy_grace_ms) {
        return fail(memory, CAUSE_UNHEALTHY, now);
    }
    memory->state = STATE_SUSPECT;
    return answer(memory, POLICY_NOTHING, "unhealthy_grace", watch_wake(terms, memory));
}

static struct policy_verdict warming(const struct policy_terms *terms, struct policy_memory *memory,
                                     const struct policy_event *event, struct mono now)
{
    struct mono deadline_at = memory->deadline_at;
    bool is_over = is_set(deadline_at) && mono_reached(now, deadline_at);
    bool is_cascade = memory->state == STATE_FAILED && policy_is_cascade(memory);
    if (memory->state == STATE_STARTING || is_cascade || is_over) {
        return unmoved(memory);
    }
    struct policy_verdict verdict = begin(terms, memory, event, now);
    if (!is_set(deadline_at)) {
        return verdict;
    }
    memory->deadline_at = deadline_at; /* it never was healthy since: the word alone buys no time */
    return answer(memory, verdict.action, verdict.reason, watch_wake(terms, memory));
}

/* The first of a row suspends judgement; the rest do not prolong it. */
static struct policy_verdict stopping(const struct policy_terms *terms, struct policy_memory *memory,
                                      const struct policy_event *event, struct mono now)
{
    (void)event;
    if (!is_set(memory->suspended_until)) {
        memory->suspended_until = mono_add(now, terms->stop_timeout_ms + STOPPING_EXTRA_MS);
    }
    memory->misses = 0;
    return answer(memory, POLICY_NOTHING, "stopping", memory->wake_at);
}

static struct policy_verdict miss(const struct policy_terms *terms, struct policy_memory *memory,
                                  const struct policy_event *event, struct mono now)
{
    (void)event;
    if (is_patient(memory, now)) {
        return unmoved(memory);
    }
    note_trouble(memory, now);
    memory->state = STATE_SUSPECT;
    memory->bad = 0;
    memory->misses++;
    struct policy_verdict verdict;
    if (memory->misses >= terms->miss_threshold) {
        verdict = fail(memory, CAUSE_MISSING, now);
    } else {
        verdict = answer(memory, POLICY_NOTHING, "missing_heartbeat", watch_wake(terms, memory));
    }
    verdict.action = POLICY_COUNT_MISS;
    return verdict;
}

/* ---- dependencies ---- */

static struct policy_verdict stale(const struct policy_terms *terms, struct policy_memory *memory,
                                   const struct policy_event *event, struct mono now)
{
    (void)terms;
    memory->misses = 0;
    memory->bad = 0;
    return fail(memory, event->cause, now);
}

static struct policy_verdict fresh(const struct policy_terms *terms, struct policy_memory *memory,
                                   const struct policy_event *event, struct mono now)
{
    return policy_is_cascade(memory) ? begin(terms, memory, event, now) : unmoved(memory);
}

/* ---- deaths ---- */

static bool is_stop_exit(const struct policy_memory *memory)
{
    return memory->has_exit_code &&
           (memory->exit_code == 0 || memory->exit_code == 130 || memory->exit_code == 143);
}

/* What an agent did not tell is judged like what it did not see. */
static bool is_held_class(const struct policy_memory *memory)
{
    enum stop_class class = memory->stop_class;
    return class == STOP_OPERATOR || class == STOP_COMPLETED || class == STOP_UNSEEN ||
           ((class == STOP_UNKNOWN || class == STOP_NONE) && !memory->is_docker_acting &&
            is_stop_exit(memory));
}

static const char *held_reason(const struct policy_memory *memory)
{
    if (memory->stop_class == STOP_OPERATOR || memory->stop_class == STOP_COMPLETED) {
        return stop_class_name(memory->stop_class);
    }
    return "unknown_stop";
}

static struct policy_verdict hold_for(struct policy_memory *memory, const char *reason)
{
    memory->state = STATE_HELD;
    memory->misses = 0;
    memory->bad = 0;
    memory->sick_since = (struct mono){0};
    return answer(memory, POLICY_HELD, reason, MONO_NEVER);
}

static void remember_death(const struct policy_terms *terms, struct policy_memory *memory,
                           const struct policy_event *event, struct mono now)
{
    bool is_docker_expected = event->is_docker_acting || event->will_docker_act;
    bool was_acting = memory->is_docker_acting && !event->is_docker_acting;
    if (is_docker_expected && (was_acting || !is_set(memory->acting_until))) {
        memory->acting_until = mono_add(now, terms->docker_policy_grace_ms);
    }
    memory->stop_class = event->stop_class;
    memory->has_exit_code = event->has_exit_code;
    memory->exit_code = event->exit_code;
    memory->is_docker_acting = event->is_docker_acting;
    memory->will_docker_act = event->will_docker_act;
}

static struct policy_verdict die(const struct policy_terms *terms, struct policy_memory *memory,
                                 const struct policy_event *event, struct mono now)
{
    memory->acting_until = (struct mono){0};
    memory->is_docker_acting = false;
    remember_death(terms, memory, event, now);
    if (is_held_class(memory)) {
        return hold_for(memory, held_reason(memory));
    }
    note_trouble(memory, now);
    memory->misses = memory->state == STATE_FAILED ? (int32_t)terms->miss_threshold : 0;
    memory->bad = 0;
    memory->sick_since = (struct mono){0};
    memory->cause = CAUSE_DEATH;
    memory->state = STATE_DOWN;
    return answer(memory, POLICY_NOTHING, stop_class_name(memory->stop_class),
                  mono_add(now, terms->fast_check_ms));
}

/* DOWN: the class changed or settled. */
static struct policy_verdict die_again(const struct policy_terms *terms, struct policy_memory *memory,
                                       const struct policy_event *event, struct mono now)
{
    remember_death(terms, memory, event, now);
    if (is_held_class(memory)) {
        return hold_for(memory, held_reason(memory));
    }
    bool is_counted = memory->misses >= terms->miss_threshold;
    return answer(memory, POLICY_NOTHING, stop_class_name(memory->stop_class),
                  is_counted ? now : memory->wake_at);
}

/* FAILED: reports of the death that brought it here are no news. */
static struct policy_verdict die_failed(const struct policy_terms *terms, struct policy_memory *memory,
                                        const struct policy_event *event, struct mono now)
{
    if (memory->cause == CAUSE_DEATH && memory->stop_class == event->stop_class && !event->is_docker_acting) {
        return unmoved(memory);
    }
    return die(terms, memory, event, now);
}

static struct policy_verdict die_in_cooldown(const struct policy_terms *terms, struct policy_memory *memory,
                                             const struct policy_event *event, struct mono now)
{
    remember_death(terms, memory, event, now);
    memory->cause = CAUSE_DEATH;
    memory->is_renewed = false;
    return is_held_class(memory) ? hold_for(memory, held_reason(memory)) : unmoved(memory);
}

/* HELD by a pause, by an agent's last look or because nobody saw it stop: better evidence may still come. An
 * operator's stop stands. */
static struct policy_verdict die_held(const struct policy_terms *terms, struct policy_memory *memory,
                                      const struct policy_event *event, struct mono now)
{
    bool is_final = memory->stop_class == STOP_OPERATOR || memory->stop_class == STOP_COMPLETED;
    if (is_final || memory->stop_class == event->stop_class) {
        return unmoved(memory);
    }
    return die(terms, memory, event, now);
}

/* Not sent: an operator's stop wins. Sent: it is judged when the outcome is known. */
static struct policy_verdict die_before_sending(const struct policy_terms *terms,
                                                struct policy_memory *memory,
                                                const struct policy_event *event, struct mono now)
{
    if (memory->is_sent) {
        return unmoved(memory);
    }
    remember_death(terms, memory, event, now);
    memory->cause = CAUSE_DEATH;
    if (!is_held_class(memory)) {
        return unmoved(memory);
    }
    if (memory->attempts > 0) {
        memory->attempts--;
    }
    struct policy_verdict verdict = hold_for(memory, held_reason(memory));
    verdict.action = POLICY_GIVEN_BACK;
    return verdict;
}

static const char *why_still_down(const struct policy_memory *memory, struct mono now)
{
    if (memory->stop_class == STOP_SETTLING) {
        return "settling";
    }
    if (memory->is_docker_acting) {
        return memory->stop_class == STOP_SHUTDOWN ? "shutdown" : "docker_restarting";
    }
    if (memory->will_docker_act && !mono_reached(now, memory->acting_until)) {
        return "docker_policy";
    }
    return NULL;
}

static struct policy_verdict down_timer(const struct policy_terms *terms, struct policy_memory *memory,
                                        const struct policy_event *event, struct mono now)
{
    (void)event;
    if (memory->misses < terms->miss_threshold) {
        memory->misses++;
        bool is_counted = memory->misses >= terms->miss_threshold;
        return answer(memory, POLICY_COUNT_MISS, "missing_heartbeat",
                      is_counted ? now : mono_add(now, terms->fast_check_ms));
    }
    const char *why = why_still_down(memory, now);
    if (!why) {
        return fail(memory, CAUSE_DEATH, now);
    }
    struct mono wake = mono_add(now, terms->check_interval_ms);
    if (!memory->is_docker_acting && memory->will_docker_act && memory->stop_class != STOP_SETTLING) {
        wake = memory->acting_until;
    }
    return answer(memory, POLICY_NOTHING, why, wake);
}

/* ---- timers of the watched states ---- */

static struct policy_verdict watch_timer(const struct policy_terms *terms, struct policy_memory *memory,
                                         const struct policy_event *event, struct mono now)
{
    (void)event;
    if (is_set(memory->sick_since) && mono_diff(now, memory->sick_since) >= terms->unhealthy_grace_ms) {
        return fail(memory, CAUSE_UNHEALTHY, now);
    }
    if (memory->state == STATE_STARTING && mono_reached(now, memory->deadline_at)) {
        return fail(memory, CAUSE_START_TIMEOUT, now);
    }
    bool is_stable = memory->state == STATE_UP && (memory->attempts > 0 || is_set(memory->cooldown_until)) &&
                     mono_diff(now, memory->healthy_since) >= terms->stable_ms;
    if (!is_stable) {
        return answer(memory, POLICY_NOTHING, memory->reason, watch_wake(terms, memory));
    }
    renew_budget(memory);
    return answer(memory, POLICY_FORGET, "stable", watch_wake(terms, memory));
}

static struct policy_verdict cooldown_timer(const struct policy_terms *terms, struct policy_memory *memory,
                                            const struct policy_event *event, struct mono now)
{
    if (!mono_reached(now, memory->cooldown_until)) {
        return answer(memory, POLICY_NOTHING, "cooldown", memory->cooldown_until);
    }
    renew_budget(memory);
    if (memory->is_renewed) {
        return begin(terms, memory, event, now);
    }
    if (memory->cause != CAUSE_DEATH) {
        return fail(memory, memory->cause, now);
    }
    memory->state = STATE_DOWN;
    memory->misses = (int32_t)terms->miss_threshold;
    return answer(memory, POLICY_NOTHING, "cooldown_over", now);
}

/* ---- at the gates ---- */

static struct policy_verdict ask_gates(const struct policy_terms *terms, struct policy_memory *memory,
                                       const struct policy_event *event, struct mono now)
{
    (void)event;
    return answer(memory, POLICY_ASK_GATES, policy_cause_name(memory->cause),
                  mono_add(now, terms->check_interval_ms));
}

static struct policy_verdict refused(const struct policy_terms *terms, struct policy_memory *memory,
                                     const struct policy_event *event, struct mono now)
{
    (void)terms;
    (void)now;
    return answer(memory, POLICY_NOTHING, event->reason, event->until);
}

static struct policy_verdict open(const struct policy_terms *terms, struct policy_memory *memory,
                                  const struct policy_event *event, struct mono now)
{
    (void)event;
    if (is_set(memory->cooldown_until) && !mono_reached(now, memory->cooldown_until)) {
        return fail(memory, memory->cause, now);
    }
    if (memory->attempts >= policy_attempt_limit(terms, memory)) {
        memory->is_closing_due = true;
        memory->state = STATE_COOLDOWN;
        memory->is_renewed = false;
        memory->cooldown_until = mono_add(now, terms->cooldown_ms);
        return answer(memory, POLICY_EXHAUSTED, "max_attempts_exhausted", memory->cooldown_until);
    }
    memory->attempts++;
    memory->is_sent = false;
    memory->state = STATE_RESTARTING;
    return answer(memory, POLICY_ATTEMPT, policy_cause_name(memory->cause), MONO_NEVER);
}

/* ---- outcomes ---- */

static struct policy_verdict done(const struct policy_terms *terms, struct policy_memory *memory,
                                  const struct policy_event *event, struct mono now)
{
    complete(terms, memory, event, now);
    memory->is_closing_due = true;
    memory->is_given_back = false;
    return begin_at(terms, memory, 0, POLICY_RESTARTED, "restarted", now);
}

static struct policy_verdict unchanged(const struct policy_terms *terms, struct policy_memory *memory,
                                       const struct policy_event *event, struct mono now)
{
    complete(terms, memory, event, now);
    if (!memory->is_given_back && memory->attempts > 0) {
        memory->attempts--;
    }
    memory->is_given_back = true;
    if (event->unchanged == UNCHANGED_RUNS) {
        return begin_at(terms, memory, 0, POLICY_GIVEN_BACK, event->reason, now);
    }
    if (event->unchanged == UNCHANGED_HELD) {
        struct policy_verdict held = hold_for(memory, event->reason);
        held.action = POLICY_GIVEN_BACK;
        return held;
    }
    memory->state = STATE_FAILED;
    return answer(memory, POLICY_GIVEN_BACK, event->reason, now);
}

static struct policy_verdict broken(const struct policy_terms *terms, struct policy_memory *memory,
                                    const struct policy_event *event, struct mono now)
{
    complete(terms, memory, event, now);
    memory->is_closing_due = true;
    memory->is_given_back = false;
    memory->state = STATE_FAILED;
    return answer(memory, POLICY_FAILED_TO_RESTART, event->reason, now);
}

static struct policy_verdict aborted(const struct policy_terms *terms, struct policy_memory *memory,
                                     const struct policy_event *event, struct mono now)
{
    (void)terms;
    (void)event;
    if (memory->attempts > 0) {
        memory->attempts--;
    }
    memory->state = STATE_FAILED;
    return answer(memory, POLICY_GIVEN_BACK, "not_sent", now);
}

static struct policy_verdict resume(const struct policy_terms *terms, struct policy_memory *memory,
                                    const struct policy_event *event, struct mono now)
{
    (void)terms;
    (void)event;
    note_trouble(memory, now);
    memory->is_sent = true;
    memory->state = STATE_RESTARTING;
    return answer(memory, POLICY_NOTHING, "in_flight", MONO_NEVER);
}

/* ---- operators ---- */

static struct policy_verdict reset(const struct policy_terms *terms, struct policy_memory *memory,
                                   const struct policy_event *event, struct mono now)
{
    (void)event;
    renew_budget(memory);
    if (memory->state == STATE_COOLDOWN && memory->is_renewed) {
        return begin(terms, memory, event, now);
    }
    if (memory->state == STATE_COOLDOWN || memory->state == STATE_FAILED) {
        bool is_dead = memory->cause == CAUSE_DEATH;
        memory->state = is_dead ? STATE_DOWN : STATE_FAILED;
        memory->misses = (int32_t)terms->miss_threshold;
        return answer(memory, POLICY_NOTHING, "operator_reset", now);
    }
    bool is_watched = memory->state == STATE_UP || memory->state == STATE_STARTING;
    return answer(memory, POLICY_NOTHING, "operator_reset",
                  is_watched ? watch_wake(terms, memory) : memory->wake_at);
}

static struct policy_verdict hold(const struct policy_terms *terms, struct policy_memory *memory,
                                  const struct policy_event *event, struct mono now)
{
    (void)terms;
    (void)now;
    return hold_for(memory, event->reason);
}

static struct policy_verdict hold_before_sending(const struct policy_terms *terms,
                                                 struct policy_memory *memory,
                                                 const struct policy_event *event, struct mono now)
{
    (void)terms;
    (void)now;
    if (memory->is_sent) {
        return unmoved(memory);
    }
    if (memory->attempts > 0) {
        memory->attempts--;
    }
    struct policy_verdict verdict = hold_for(memory, event->reason);
    verdict.action = POLICY_GIVEN_BACK;
    return verdict;
}

/* The silence that it was to be restarted for proves nothing any more. */
static struct policy_verdict thaw_before_sending(const struct policy_terms *terms,
                                                 struct policy_memory *memory,
                                                 const struct policy_event *event, struct mono now)
{
    bool is_silence = memory->cause == CAUSE_MISSING || memory->cause == CAUSE_START_TIMEOUT;
    if (memory->is_sent || !is_silence) {
        return unmoved(memory);
    }
    if (memory->attempts > 0) {
        memory->attempts--;
    }
    struct policy_verdict verdict = begin(terms, memory, event, now);
    verdict.action = POLICY_GIVEN_BACK;
    return verdict;
}

static struct policy_verdict gone(const struct policy_terms *terms, struct policy_memory *memory,
                                  const struct policy_event *event, struct mono now)
{
    (void)terms;
    (void)event;
    (void)now;
    memory->state = STATE_REMOVED;
    return answer(memory, POLICY_REMOVE, "removed", MONO_NEVER);
}

/* policy.md, section 2. An empty field: the event changes nothing in that state. */
/* clang-format off */
#define WATCHED(running_)                                                                                    \
    [EVENT_RUNNING] = running_, [EVENT_GOOD] = good, [EVENT_WARMING] = warming, [EVENT_BAD] = bad,           \
    [EVENT_SICK] = sick, [EVENT_STOPPING] = stopping, [EVENT_MISS] = miss, [EVENT_DIED] = die,               \
    [EVENT_PAUSED] = hold, [EVENT_TIMER] = watch_timer, [EVENT_RESUME] = resume, [EVENT_RESET] = reset,      \
    [EVENT_HOLD] = hold, [EVENT_THAW] = begin, [EVENT_STALE] = stale, [EVENT_GONE] = gone

static policy_handler *const table[][EVENT_N] = {
    [STATE_NONE] = {[EVENT_RUNNING] = begin, [EVENT_DIED] = die, [EVENT_PAUSED] = hold,
                    [EVENT_RESUME] = resume, [EVENT_HOLD] = hold, [EVENT_GONE] = gone},
    [STATE_STARTING] = {WATCHED(begin)},
    [STATE_UP]       = {WATCHED(begin)},
    [STATE_SUSPECT]  = {WATCHED(begin)},
    [STATE_DOWN] = {[EVENT_RUNNING] = begin, [EVENT_DIED] = die_again, [EVENT_PAUSED] = hold,
                    [EVENT_TIMER] = down_timer, [EVENT_RESUME] = resume, [EVENT_RESET] = reset,
                    [EVENT_HOLD] = hold, [EVENT_THAW] = begin, [EVENT_GONE] = gone},
    [STATE_FAILED] = {[EVENT_RUNNING] = begin, [EVENT_GOOD] = good_failed, [EVENT_WARMING] = warming,
                      [EVENT_DIED] = die_failed, [EVENT_PAUSED] = hold, [EVENT_TIMER] = ask_gates,
                      [EVENT_OPEN] = open, [EVENT_REFUSED] = refused, [EVENT_RESUME] = resume,
                      [EVENT_RESET] = reset, [EVENT_HOLD] = hold, [EVENT_THAW] = begin,
                      [EVENT_FRESH] = fresh, [EVENT_GONE] = gone},
    [STATE_RESTARTING] = {[EVENT_GOOD] = good_before_sending, [EVENT_DIED] = die_before_sending,
                          [EVENT_DONE] = done, [EVENT_UNCHANGED] = unchanged, [EVENT_BROKEN] = broken,
                          [EVENT_ABORTED] = aborted, [EVENT_RESET] = reset,
                          [EVENT_HOLD] = hold_before_sending, [EVENT_PAUSED] = hold_before_sending,
                          [EVENT_THAW] = thaw_before_sending,
                          [EVENT_GONE] = gone},
    [STATE_COOLDOWN] = {[EVENT_RUNNING] = begin_in_cooldown, [EVENT_GOOD] = good_failed,
                        [EVENT_DIED] = die_in_cooldown, [EVENT_PAUSED] = hold, [EVENT_TIMER] = cooldown_timer,
                        [EVENT_RESUME] = resume, [EVENT_RESET] = reset, [EVENT_HOLD] = hold,
                        [EVENT_GONE] = gone},
    [STATE_HELD] = {[EVENT_RUNNING] = begin_held, [EVENT_DIED] = die_held, [EVENT_RELEASE] = begin,
                    [EVENT_RESET] = reset, [EVENT_GONE] = gone},
    [STATE_REMOVED] = {NULL},
};
/* clang-format on */
_Static_assert(sizeof table / sizeof table[0] == STATE_N, "a row for every state");

void policy_init(struct policy_memory *memory)
{
    *memory = (struct policy_memory){.reason = "", .wake_at = MONO_NEVER};
}

struct policy_verdict policy_step(const struct policy_terms *terms, struct policy_memory *memory,
                                  const struct policy_event *event, struct mono now)
{
    assert((size_t)memory->state < STATE_N && (size_t)event->kind < EVENT_N);
    policy_handler *handler = table[memory->state][event->kind];
    return handler ? handler(terms, memory, event, now) : unmoved(memory);
}

bool policy_is_cascade(const struct policy_memory *memory)
{
    return memory->cause == CAUSE_STALE_NETWORK || memory->cause == CAUSE_DEPENDENCY;
}

int64_t policy_backoff_ms(const struct policy_terms *terms, int64_t attempt)
{
    size_t index = attempt > 1 ? (size_t)attempt - 1 : 0;
    return terms->backoff_ms[index < terms->backoff_count ? index : terms->backoff_count - 1];
}

int64_t policy_attempt_limit(const struct policy_terms *terms, const struct policy_memory *memory)
{
    bool is_start_error = memory->cause == CAUSE_DEATH && memory->stop_class == STOP_START_ERROR;
    return is_start_error && terms->max_attempts > 1 ? 1 : terms->max_attempts;
}

#define POLICY_WORD(word) #word,
static const char *const state_names[] = {POLICY_STATE_WORDS(POLICY_WORD)};
static const char *const event_names[] = {POLICY_EVENT_WORDS(POLICY_WORD)};
static const char *const action_names[] = {POLICY_ACTION_WORDS(POLICY_WORD)};
static const char *const cause_names[] = {
    [CAUSE_NONE] = "",
    [CAUSE_MISSING] = "missing_heartbeat",
    [CAUSE_UNHEALTHY] = "status_unhealthy",
    [CAUSE_START_TIMEOUT] = "start_timeout",
    [CAUSE_DEATH] = "missing_heartbeat",
    [CAUSE_STALE_NETWORK] = "stale_network",
    [CAUSE_DEPENDENCY] = "dependency_restarted",
};

const char *policy_state_name(enum policy_state state)
{
    return (size_t)state < STATE_N ? state_names[state] : "";
}

const char *policy_event_name(enum policy_event_kind kind)
{
    return (size_t)kind < EVENT_N ? event_names[kind] : "";
}

const char *policy_action_name(enum policy_action action)
{
    return (size_t)action < POLICY_ACTION_N ? action_names[action] : "";
}

const char *policy_cause_name(enum failure_cause cause)
{
    return (size_t)cause < sizeof cause_names / sizeof cause_names[0] ? cause_names[cause] : "";
}
