#include "controller/core/decider.h"

#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "controller/core/decider_attempt.h"
#include "controller/core/decider_breaker.h"
#include "controller/core/decider_budget.h"
#include "controller/core/decider_edges.h"
#include "controller/core/decider_facts.h"
#include "controller/core/decider_hold.h"
#include "controller/core/decider_hosts.h"
#include "controller/core/decider_inner.h"
#include "controller/core/decider_input.h"
#include "controller/core/decider_lead.h"
#include "controller/core/decider_say.h"
#include "controller/core/decider_step.h"
#include "controller/core/decider_terms.h"
#include "controller/core/decider_told.h"

/* ---- life ---- */

struct decider *decider_new(const struct policy_config *config, const uint64_t seed[2], struct mono now)
{
    struct decider *decider = memory_alloc(sizeof *decider);
    decider->config = config;
    decider->now = now;
    decider->random_state[0] = seed[0];
    decider->random_state[1] = seed[1] | 1; /* all zero would stay zero */
    decider->next_alert = 1;
    decider->next_record = 1;
    decider->leads_until = MONO_NEVER;
    decider->check_at = mono_add(now, config->check_interval_ms);
    decider->hosts_at = now;
    decider->holds_at = MONO_NEVER;
    decider->breaker_at = MONO_NEVER;
    liveness_init(&decider->liveness, config, now);
    return decider;
}

void decider_free(struct decider *decider)
{
    if (!decider) {
        return;
    }
    decider_attempt_fini(decider);
    struct container *each = liveness_first(&decider->liveness);
    for (; each; each = liveness_next(each)) {
        decider_breaker_drop(decider, each);
    }
    decider_hold_fini(decider);
    decider_input_fini(decider);
    decider_budget_fini(decider);
    decider_told_fini(decider);
    liveness_fini(&decider->liveness);
    wake_queue_fini(&decider->wakes);
    action_queue_fini(&decider->actions);
    free(decider);
}

static void tilt(struct decider *decider, enum tilt_change change, bool was_on, int64_t by_ms)
{
    if (change == TILT_OVER) {
        decider_say_general(decider, ACTION_INFO, "Watched for %d s: restarts go on", TILT_MS / 1000);
        return;
    }
    if (!was_on) {
        decider_say_general(decider, ACTION_WARNING, "%s by %.1f s: for %d s it watches and restarts nothing",
                            change == TILT_STALLED ? "The loop stalled" : "Wall and monotonic clock parted",
                            (double)by_ms / 1000.0, TILT_MS / 1000);
    }
    decider_step_tilt(decider);
}

/* Every call begins and ends like this. */
static void enter(struct decider *decider, struct mono now, const struct wall *wall)
{
    bool was_tilted = decider->tilt.is_on;
    struct mono before = decider->now;
    int64_t by_ms = 0;
    enum tilt_change change = tilt_look(&decider->tilt, now, wall, &by_ms);
    if (wall) {
        decider->wall = *wall;
    } else {
        decider->wall.ms += mono_diff(now, decider->now);
    }
    decider->now = now;
    decider_input_leader(decider);
    if (change == TILT_STALLED || change == TILT_PARTED) {
        decider_input_tilt(decider, before);
    }
    if (change != TILT_AS_IT_WAS) {
        tilt(decider, change, was_tilted, by_ms);
    }
}

static void leave(struct decider *decider)
{
    while (decider->is_place_free || decider->is_edges_due) {
        if (decider->is_edges_due) {
            decider_edges_due(decider);
        }
        if (decider->is_place_free) {
            decider->is_place_free = false;
            decider_step_wake_failed(decider);
        }
    }
    if (decider->is_ticking) {
        tilt_expect(&decider->tilt, decider->now, decider_wake_at(decider));
    }
}

/* ---- facts ---- */

bool decider_observe_beat(struct decider *decider, const struct heartbeat *beat, struct mono now,
                          struct wall wall)
{
    enter(decider, now, &wall);
    uint64_t mark = decider_input_mark(decider);
    decider->is_word_same = false;
    bool is_strange = decider_facts_beat(decider, beat);
    decider_input_beat(decider, beat, mark);
    leave(decider);
    return is_strange;
}

void decider_observe_registration(struct decider *decider, const struct registration *registration,
                                  enum path path, struct mono now, struct wall wall)
{
    enter(decider, now, &wall);
    uint64_t mark = decider_input_mark(decider);
    decider_hosts_meet(decider, registration, path);
    bool *is_changed = decider_input_compare(decider, registration);
    decider_facts_registration(decider, registration, path);
    decider_input_registration(decider, registration, path, is_changed, mark);
    leave(decider);
}

bool decider_observe_unchanged(struct decider *decider, const char *host, const char *agent, uint64_t change,
                               enum path path, struct mono now)
{
    enter(decider, now, NULL);
    uint64_t mark = decider_input_mark(decider);
    bool is_known = !decider_input_wants_whole(decider, host) &&
                    decider_facts_unchanged(decider, host, agent, change, path);
    decider_input_unchanged(decider, host, agent, change, path, mark);
    leave(decider);
    return is_known;
}

void decider_redis(struct decider *decider, enum redis_state state, struct mono now, struct wall wall)
{
    enter(decider, now, &wall);
    decider_input_redis(decider, state);
    decider_facts_redis(decider, state);
    leave(decider);
}

void decider_key_read(struct decider *decider, const char *container, enum key_finding finding,
                      struct mono now, struct wall wall)
{
    enter(decider, now, &wall);
    struct container *found = liveness_find(&decider->liveness, container);
    if (found) {
        decider_input_key(decider, container, finding);
        decider_step_key_read(decider, found, finding);
    }
    leave(decider);
}

void decider_state_loaded(struct decider *decider, const char *container, const struct restart_state *state,
                          struct mono now, struct wall wall)
{
    enter(decider, now, &wall);
    decider_input_state(decider, container, state);
    decider_budget_load(decider, container, state);
    leave(decider);
}

void decider_state_reset(struct decider *decider, const char *container, struct mono now, struct wall wall)
{
    enter(decider, now, &wall);
    decider_input_reset(decider, container);
    decider_budget_reset(decider, container);
    leave(decider);
}

bool decider_forget_host(struct decider *decider, const char *host, struct mono now, struct wall wall)
{
    enter(decider, now, &wall);
    decider_input_forget(decider, host);
    bool is_forgotten = decider_hosts_forget(decider, host);
    leave(decider);
    return is_forgotten;
}

void decider_stored(struct decider *decider, const char *container, uint64_t token, enum stored_in where,
                    struct mono now, struct wall wall)
{
    enter(decider, now, &wall);
    decider_input_stored(decider, container, token, where);
    struct container *found = token == 0 ? NULL : liveness_find(&decider->liveness, container);
    if (found) {
        decider_attempt_stored(decider, found, token, where);
    }
    leave(decider);
}

void decider_answered(struct decider *decider, const struct command_id *id, int status,
                      const struct answer *answer, struct mono now, struct wall wall)
{
    enter(decider, now, &wall);
    const struct container *target = decider_attempt_find(decider, id);
    if (target) {
        decider_input_answer(decider, target->name, id, status, answer);
    }
    decider_attempt_answered(decider, id, status, answer);
    leave(decider);
}

void decider_hold(struct decider *decider, const char *kind, const char *name, bool is_held,
                  struct wall until, struct mono now, struct wall wall)
{
    enter(decider, now, &wall);
    decider_input_hold(decider, kind, name, is_held, until);
    bool is_over = until.ms != 0 && until.ms <= wall.ms;
    if (is_held && !is_over) {
        decider_hold_set(decider, kind, name, until);
    } else {
        decider_hold_clear(decider, kind, name);
    }
    leave(decider);
}

void decider_lead(struct decider *decider, uint64_t epoch, struct mono until, struct mono now)
{
    enter(decider, now, NULL);
    bool was_open = decider_lead_may_send(decider, now);
    decider->is_following = false;
    decider->leads_until = until;
    decider->epoch = epoch;
    decider_input_leader(decider);
    if (!was_open && decider_lead_may_send(decider, now)) {
        decider_step_wake_failed(decider);
    }
    leave(decider);
}

void decider_follow(struct decider *decider)
{
    if (!decider->is_following) {
        decider_told_keep(decider);
    }
    decider->is_following = true;
    decider_input_end(decider);
    action_queue_fini(&decider->actions);
}

void decider_take_over(struct decider *decider, enum led_between between, struct mono now, struct wall wall)
{
    enter(decider, now, &wall);
    if (!decider->is_following) {
        decider_told_keep(decider);
    }
    decider_lead_forget(decider);
    decider->is_following = false;
    decider->leads_until = (struct mono){0};
    decider->have_others_led |= between == LED_BY_OTHERS;
    decider_told_settle(decider, between);
    leave(decider);
}

uint64_t decider_epoch(const struct decider *decider)
{
    return decider->epoch;
}

const char *decider_condition(const struct decider *decider, struct mono now)
{
    if (decider->is_following) {
        return "standby";
    }
    if (decider->tilt.is_on || !decider_lead_may_send(decider, now)) {
        return "frozen";
    }
    return mono_reached(now, decider->liveness.settled_at) ? "leader" : "settling";
}

void decider_set_config(struct decider *decider, const struct policy_config *config, struct mono now)
{
    enter(decider, now, NULL);
    decider->config = config;
    decider->liveness.config = config;
    decider->check_at = mono_min(decider->check_at, mono_add(now, config->check_interval_ms));
    decider_step_wake_failed(decider);
    leave(decider);
}

void decider_record(struct decider *decider, const char *settings, struct mono now, struct wall wall)
{
    if (decider->is_following) {
        return;
    }
    enter(decider, now, &wall);
    decider_input_begin(decider, settings);
    leave(decider);
}

void decider_resume(struct decider *decider, const struct journal_input *start)
{
    decider_input_resume(decider, start);
}

void decider_heard(struct decider *decider, const char *host, enum path path, bool has_vouched,
                   struct mono now)
{
    enter(decider, now, NULL);
    struct host *found = liveness_find_host(&decider->liveness, host);
    if (found && path != PATH_N) {
        decider_hosts_hear(decider, found, path);
    }
    if (found) {
        found->vouched_at = has_vouched && found->is_engine_up ? now : found->vouched_at;
    }
    leave(decider);
}

void decider_heard_beat(struct decider *decider, const struct heartbeat *beat, struct mono now)
{
    enter(decider, now, NULL);
    decider_input_heard_beat(decider, beat);
    leave(decider);
}

/* ---- time ---- */

void decider_tick(struct decider *decider, struct mono now, struct wall wall)
{
    enter(decider, now, &wall);
    uint64_t mark = decider_input_mark(decider);
    struct mono due = decider_wake_at(decider);
    decider->is_ticking = true;
    decider_hold_due(decider);
    decider_hosts_due(decider);
    bool has_looked = decider_breaker_due(decider);
    has_looked |= decider_step_due(decider);
    bool is_check_due = mono_reached(now, decider->check_at);
    if (is_check_due) {
        decider->check_at = next_turn(decider->check_at, decider->config->check_interval_ms, now);
        decider_step_check(decider);
        decider_told_check(decider);
    }
    decider_input_tick(decider, mark, due, has_looked);
    if (is_check_due) {
        decider_say_summary(decider);
    }
    leave(decider);
}

struct mono decider_wake_at(const struct decider *decider)
{
    const struct wake_node *first = wake_queue_first(&decider->wakes);
    struct mono wake = mono_min(decider->check_at, mono_min(decider->hosts_at, decider->holds_at));
    wake = mono_min(wake, decider->breaker_at);
    wake = decider->tilt.is_on ? mono_min(wake, decider->tilt.until) : wake;
    return first ? mono_min(wake, first->at) : wake;
}

const struct action *decider_next_action(struct decider *decider)
{
    const struct action *action;
    do {
        action = action_queue_next(&decider->actions);
    } while (action != NULL && !decider_lead_is_heard(decider, action));
    return action;
}

/* ---- looking ---- */

void decider_totals(const struct decider *decider, struct mono now, struct alert_totals *out)
{
    (void)now;
    *out = decider->totals;
}

static struct decider_view view_of(const struct decider *decider, const struct container *container)
{
    struct policy_terms terms;
    decider_terms_of(decider, container, &terms);
    struct mono cooldown = container->policy.cooldown_until;
    return (struct decider_view){
        .container = container->name,
        .host = container->host ? container->host->name : "",
        .service = container->service ? container->service : "",
        .instance = container->instance ? container->instance : "",
        .container_id = container->container_id,
        .state = policy_state_name(container->policy.state),
        .reason = container->policy.reason,
        .gate = gates_name(container->gate),
        .attempts = container->policy.attempts,
        .max_attempts = terms.max_attempts,
        .misses = container->policy.misses,
        .wake_at = container->policy.wake_at,
        .cooldown_until = {cooldown.ms == 0 ? 0 : decider->wall.ms + mono_diff(cooldown, decider->now)},
    };
}

bool decider_look(const struct decider *decider, const char *container, struct decider_view *out)
{
    const struct container *found = liveness_find(&decider->liveness, container);
    if (found) {
        *out = view_of(decider, found);
    }
    return found != NULL;
}

size_t decider_count(const struct decider *decider)
{
    return decider->liveness.count;
}

void decider_each(const struct decider *decider, bool (*visit)(void *arg, const struct decider_view *view),
                  void *arg)
{
    for (const struct container *each = liveness_first(&decider->liveness); each;
         each = liveness_next(each)) {
        struct decider_view view = view_of(decider, each);
        if (!visit(arg, &view)) {
            return;
        }
    }
}
