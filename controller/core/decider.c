#include "controller/core/decider.h"

#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "controller/core/decider_attempt.h"
#include "controller/core/decider_budget.h"
#include "controller/core/decider_facts.h"
#include "controller/core/decider_hold.h"
#include "controller/core/decider_inner.h"
#include "controller/core/decider_step.h"

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
    decider->is_leader = true;
    decider->check_at = mono_add(now, config->check_interval_ms);
    decider->hosts_at = now;
    decider->holds_at = MONO_NEVER;
    liveness_init(&decider->liveness, config, now);
    return decider;
}

void decider_free(struct decider *decider)
{
    if (!decider) {
        return;
    }
    decider_attempt_fini(decider);
    decider_hold_fini(decider);
    decider_budget_fini(decider);
    liveness_fini(&decider->liveness);
    wake_queue_fini(&decider->wakes);
    action_queue_fini(&decider->actions);
    free(decider);
}

/* Every call begins and ends like this. */
static void enter(struct decider *decider, struct mono now, const struct wall *wall)
{
    if (wall) {
        decider->wall = *wall;
    } else {
        decider->wall.ms += mono_diff(now, decider->now);
    }
    decider->now = now;
}

static void leave(struct decider *decider)
{
    while (decider->is_place_free) {
        decider->is_place_free = false;
        decider_step_wake_failed(decider);
    }
}

/* ---- facts ---- */

void decider_observe_beat(struct decider *decider, const struct heartbeat *beat, struct mono now,
                          struct wall wall)
{
    enter(decider, now, &wall);
    decider_facts_beat(decider, beat);
    leave(decider);
}

void decider_observe_registration(struct decider *decider, const struct registration *registration,
                                  enum path path, struct mono now, struct wall wall)
{
    enter(decider, now, &wall);
    decider_facts_registration(decider, registration, path);
    leave(decider);
}

bool decider_observe_unchanged(struct decider *decider, const char *host, const char *agent, uint64_t change,
                               enum path path, struct mono now)
{
    enter(decider, now, NULL);
    bool is_known = decider_facts_unchanged(decider, host, agent, change, path);
    leave(decider);
    return is_known;
}

void decider_redis(struct decider *decider, enum redis_state state, struct mono now, struct wall wall)
{
    enter(decider, now, &wall);
    decider_facts_redis(decider, state);
    leave(decider);
}

void decider_key_read(struct decider *decider, const char *container, enum key_finding finding,
                      struct mono now, struct wall wall)
{
    enter(decider, now, &wall);
    struct container *found = liveness_find(&decider->liveness, container);
    if (found) {
        decider_step_key_read(decider, found, finding);
    }
    leave(decider);
}

void decider_state_loaded(struct decider *decider, const char *container, const struct restart_state *state,
                          struct mono now, struct wall wall)
{
    enter(decider, now, &wall);
    decider_budget_load(decider, container, state);
    leave(decider);
}

void decider_state_reset(struct decider *decider, const char *container, struct mono now, struct wall wall)
{
    enter(decider, now, &wall);
    decider_budget_reset(decider, container);
    leave(decider);
}

void decider_stored(struct decider *decider, const char *container, uint64_t token, bool is_safe,
                    struct mono now, struct wall wall)
{
    enter(decider, now, &wall);
    struct container *found = token == 0 ? NULL : liveness_find(&decider->liveness, container);
    if (found) {
        decider_attempt_stored(decider, found, token, is_safe);
    }
    leave(decider);
}

void decider_answered(struct decider *decider, const struct command_id *id, int status,
                      const struct answer *answer, struct mono now, struct wall wall)
{
    enter(decider, now, &wall);
    decider_attempt_answered(decider, id, status, answer);
    leave(decider);
}

void decider_hold(struct decider *decider, const char *kind, const char *name, bool is_held,
                  struct wall until, struct mono now, struct wall wall)
{
    enter(decider, now, &wall);
    bool is_over = until.ms != 0 && until.ms <= wall.ms;
    if (is_held && !is_over) {
        decider_hold_set(decider, kind, name, until);
    } else {
        decider_hold_clear(decider, kind, name);
    }
    leave(decider);
}

void decider_set_leader(struct decider *decider, bool is_leader, uint64_t epoch, struct mono now)
{
    enter(decider, now, NULL);
    bool is_news = decider->is_leader != is_leader;
    decider->is_leader = is_leader;
    decider->epoch = epoch;
    if (is_news) {
        decider_step_wake_failed(decider);
    }
    leave(decider);
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

/* ---- time ---- */

void decider_tick(struct decider *decider, struct mono now, struct wall wall)
{
    enter(decider, now, &wall);
    decider_hold_due(decider);
    decider_facts_hosts_due(decider);
    decider_step_due(decider);
    if (mono_reached(now, decider->check_at)) {
        decider->check_at = mono_add(now, decider->config->check_interval_ms);
        decider_step_check(decider);
    }
    leave(decider);
}

struct mono decider_wake_at(const struct decider *decider)
{
    const struct wake_node *first = wake_queue_first(&decider->wakes);
    struct mono wake = mono_min(decider->check_at, mono_min(decider->hosts_at, decider->holds_at));
    return first ? mono_min(wake, first->at) : wake;
}

const struct action *decider_next_action(struct decider *decider)
{
    return action_queue_next(&decider->actions);
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
    decider_step_terms(decider, container, &terms);
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
