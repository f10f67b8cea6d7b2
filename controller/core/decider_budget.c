#include "controller/core/decider_budget.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "common/memory.h"
#include "controller/core/decider_attempt.h"
#include "controller/core/decider_say.h"
#include "controller/core/decider_step.h"
#include "controller/core/decider_terms.h"

enum { PENDING_MAX = 100000 };

static const int64_t SECOND_MS = 1000; /* stored times are cut to seconds */

/* A state whose container was not seen yet. */
struct pending_states {
    char *name;
    struct restart_state state;
    UT_hash_handle hh;
};

struct restart_state *decider_budget_state(struct container *container)
{
    if (!container->stored) {
        container->stored = memory_alloc(sizeof *container->stored);
        restart_state_init(container->stored);
    }
    return container->stored;
}

static void free_state(struct container *container)
{
    if (container->stored) {
        restart_state_fini(container->stored);
    }
    free(container->stored);
    container->stored = NULL;
}

void decider_budget_forget_name(struct decider *decider, const struct container *container, const char *name)
{
    struct action action = {
        .kind = ACTION_FORGET, .container = name, .host = container->host ? container->host->name : ""};
    action_queue_add(&decider->actions, &action);
}

void decider_budget_forget(struct decider *decider, struct container *container)
{
    free_state(container);
    decider_budget_forget_name(decider, container, container->name);
}

static struct wall wall_of(const struct decider *decider, struct mono when)
{
    return (struct wall){when.ms == 0 ? 0 : decider->wall.ms + mono_diff(when, decider->now)};
}

void decider_budget_store(struct decider *decider, struct container *container, uint64_t token)
{
    const struct policy_memory *policy = &container->policy;
    if (policy->attempts == 0 && policy->cooldown_until.ms == 0 && !container->attempt) {
        if (container->stored) {
            decider_budget_forget(decider, container);
        }
        return;
    }
    struct restart_state *state = decider_budget_state(container);
    state->attempt_count = policy->attempts;
    if (policy->cause != CAUSE_NONE) {
        memory_set_text(state->last_failure_reason, sizeof state->last_failure_reason,
                        policy_cause_name(policy->cause));
    }
    state->cooldown_until = wall_of(decider, policy->cooldown_until);
    memory_set_text(state->container_id, sizeof state->container_id, container->container_id);
    memory_set_text(state->host, sizeof state->host, container->host ? container->host->name : "");
    state->is_in_flight = container->attempt != NULL;
    state->is_recovery_due = policy->is_closing_due;
    state->epoch = decider->epoch;
    struct action action = {.kind = ACTION_STORE,
                            .container = container->name,
                            .host = state->host,
                            .token = token,
                            .state = state};
    action_queue_add(&decider->actions, &action);
}

/* Wall-clock values of another life, on our clock; never further away than they could be. */
static struct mono mono_of(const struct decider *decider, struct wall when, int64_t most_ms)
{
    int64_t left_ms = when.ms - decider->wall.ms;
    left_ms = left_ms > most_ms ? most_ms : left_ms;
    return mono_add(decider->now, left_ms > 0 ? left_ms : 0);
}

/* Merged of two: nothing is attempted in a cooldown, so this attempt came behind that one. Both are cut to
 * seconds, away from each other. */
static bool is_attempted_since(const struct restart_state *state, const struct policy_terms *terms)
{
    int64_t cut_ms = terms->cooldown_ms / 2 < 2 * SECOND_MS ? terms->cooldown_ms / 2 : 2 * SECOND_MS;
    return state->last_attempt_at.ms != 0 && state->last_attempt_at.ms >= state->cooldown_until.ms - cut_ms;
}

static void apply_times(const struct decider *decider, struct container *container)
{
    struct policy_memory *policy = &container->policy;
    const struct restart_state *state = container->stored;
    struct policy_terms terms;
    decider_terms_of(decider, container, &terms);
    if (state->cooldown_until.ms > decider->wall.ms && !is_attempted_since(state, &terms)) {
        struct mono until = mono_of(decider, state->cooldown_until, terms.cooldown_ms);
        if (until.ms > policy->cooldown_until.ms) {
            policy->cooldown_until = until;
        }
    }
    if (state->last_completed_at.ms != 0) {
        int64_t backoff_ms = policy_backoff_ms(&terms, state->attempt_count);
        struct wall over = {state->last_completed_at.ms + backoff_ms};
        struct mono until = mono_of(decider, over, backoff_ms);
        if (until.ms > policy->next_attempt_at.ms && until.ms > decider->now.ms) {
            policy->next_attempt_at = until;
        }
    }
}

/* Stored ones are rounded up to seconds. */
static bool is_same_deadline(struct wall left, struct wall right)
{
    return (left.ms + 999) / 1000 == (right.ms + 999) / 1000;
}

/* What we hold is in force already, on the monotonic clock: read again by a wall clock that was set back
 * meanwhile, it would begin anew. */
static bool is_same_state(const struct restart_state *held, const struct restart_state *state)
{
    return held->attempt_count == state->attempt_count &&
           is_same_deadline(held->cooldown_until, state->cooldown_until) &&
           is_same_deadline(held->last_completed_at, state->last_completed_at) &&
           strcmp(held->command_id, state->command_id) == 0;
}

/* Its agent told how the stored attempt ended, and nobody wrote down when: the backoff counts from now. */
static void complete_unseen(struct decider *decider, struct container *container)
{
    struct policy_memory *policy = &container->policy;
    struct policy_terms terms;
    decider_terms_of(decider, container, &terms);
    struct mono until = mono_add(decider->now, policy_backoff_ms(&terms, policy->attempts));
    policy->next_attempt_at = until.ms > policy->next_attempt_at.ms ? until : policy->next_attempt_at;
    container->stored->last_completed_at = decider->wall;
    decider_budget_store(decider, container, 0);
}

static void apply(struct decider *decider, struct container *container, const struct restart_state *state)
{
    struct policy_memory *policy = &container->policy;
    bool is_other_id = state->container_id[0] && container->container_id[0] &&
                       strcmp(state->container_id, container->container_id) != 0;
    if (is_other_id) {
        decider_budget_forget(decider, container);
        decider_budget_store(decider, container, 0);
        return;
    }
    bool is_known = container->stored && is_same_state(container->stored, state);
    if (container->stored) {
        restart_state_merge(container->stored, state);
    } else {
        policy->is_closing_due |= state->is_recovery_due; /* of another life; later we know better */
        container->stored = memory_alloc(sizeof *container->stored);
        restart_state_copy(state, container->stored);
    }
    /* What was merged may hold a cooldown that is over, and an attempt that was made since. */
    bool is_over = state->cooldown_until.ms != 0 && state->cooldown_until.ms <= decider->wall.ms &&
                   state->last_attempt_at.ms < state->cooldown_until.ms - SECOND_MS;
    if (!is_known && !is_over && state->attempt_count > policy->attempts) {
        policy->attempts = (int32_t)state->attempt_count;
    }
    if (!is_known) {
        apply_times(decider, container);
    }
    bool is_known_outcome = strcmp(state->command_id, container->last_command) == 0;
    if (state->is_in_flight && !container->attempt && is_known_outcome) {
        complete_unseen(decider, container);
    }
    if (state->is_in_flight && !container->attempt && !is_known_outcome) {
        decider_attempt_restore(decider, container);
    } else if (policy->state == STATE_UP) {
        decider_step_kind(decider, container, EVENT_TIMER);
    }
}

/* Attempts of whoever led before lie in Redis, but for those that it made cut off from it: its own disk has
 * them, and their agents. */
static bool is_unstored(const struct decider *decider, const struct heartbeat *beat)
{
    return decider->have_others_led && !decider->is_following && beat->last_command_unstored > 0 &&
           beat->last_command_at.ms != 0 && beat->timestamp.ms != 0 &&
           !answer_code_changed_nothing(beat->last_command_code);
}

void decider_budget_told(struct decider *decider, struct container *container, const struct heartbeat *beat)
{
    struct policy_memory *policy = &container->policy;
    bool is_stored = container->stored && strcmp(container->stored->command_id, beat->last_command) == 0;
    int64_t age_ms = beat->timestamp.ms - beat->last_command_at.ms;
    age_ms = age_ms < 0 ? 0 : age_ms;
    if (is_stored || beat->last_command_unstored <= policy->attempts || !is_unstored(decider, beat)) {
        return;
    }
    struct policy_terms terms;
    decider_terms_of(decider, container, &terms);
    if (age_ms >= terms.cooldown_ms) {
        return;
    }
    policy->attempts = (int32_t)beat->last_command_unstored;
    if (!container->attempt) { /* an older one, of which nobody wrote down how it ended, has its own */
        struct restart_state *state = decider_budget_state(container);
        memory_set_text(state->command_id, sizeof state->command_id, beat->last_command);
        state->last_attempt_at = state->last_completed_at = (struct wall){decider->wall.ms - age_ms};
    }
    struct mono until = mono_add(decider->now, policy_backoff_ms(&terms, policy->attempts) - age_ms);
    policy->next_attempt_at = until.ms > policy->next_attempt_at.ms ? until : policy->next_attempt_at;
    decider_say_line(decider, container, ACTION_INFO,
                     "Attempt %d of %s was made %.0f s ago by who led before, and is counted",
                     policy->attempts, container->name, (double)age_ms / 1000.0);
    decider_budget_store(decider, container, 0);
}

static struct pending_states *find_pending(const struct decider *decider, const char *name)
{
    struct pending_states *pending = NULL;
    HASH_FIND_STR(decider->pending, name, pending);
    return pending;
}

static void free_pending(struct decider *decider, struct pending_states *pending)
{
    if (!pending) {
        return;
    }
    HASH_DEL(decider->pending, pending);
    restart_state_fini(&pending->state);
    free(pending->name);
    free(pending);
}

void decider_budget_load(struct decider *decider, const char *name, const struct restart_state *state)
{
    struct container *container = liveness_find(&decider->liveness, name);
    if (container) {
        apply(decider, container, state);
        return;
    }
    const struct host *host = liveness_find_host(&decider->liveness, state->host);
    container = host ? liveness_find_id(host, state->container_id) : NULL;
    if (container) {
        apply(decider, container, state);
        if (container->stored) {
            decider_budget_store(decider, container, 0);
        }
        decider_budget_forget_name(decider, container, name);
        return;
    }
    free_pending(decider, find_pending(decider, name));
    if (HASH_COUNT(decider->pending) >= PENDING_MAX) {
        return;
    }
    struct pending_states *pending = memory_alloc(sizeof *pending);
    pending->name = memory_copy_text(name);
    restart_state_copy(state, &pending->state);
    HASH_ADD_KEYPTR(hh, decider->pending, pending->name, strlen(pending->name), pending);
}

void decider_budget_adopt(struct decider *decider, struct container *container)
{
    struct pending_states *pending = find_pending(decider, container->name);
    if (!pending) {
        return;
    }
    apply(decider, container, &pending->state);
    free_pending(decider, pending);
}

void decider_budget_reset(struct decider *decider, const char *name)
{
    free_pending(decider, find_pending(decider, name));
    struct container *container = liveness_find(&decider->liveness, name);
    if (!container) {
        return;
    }
    free_state(container);
    container->announced_gate = GATE_N;
    decider_step_kind(decider, container, EVENT_RESET);
}

void decider_budget_fini(struct decider *decider)
{
    while (decider->pending) {
        free_pending(decider, decider->pending);
    }
}
