#include "controller/core/decider_judge.h"

#include <string.h>

#include "controller/core/decider_budget.h"
#include "controller/core/decider_step.h"

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
    struct policy_event event = {.kind = EVENT_RUNNING,
                                 .maker = news->maker,
                                 .age_ms = news->age_ms,
                                 .is_late = news->is_late,
                                 .random = news->is_late ? decider_step_random(decider) : 0};
    container->is_docker_held = false;
    decider_step_event(decider, container, &event);
    if (news->is_late && container->stored) {
        container->stored->last_completed_at = decider->wall;
        decider_budget_store(decider, container, 0);
    }
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
    if (container->state == CONTAINER_RUNNING && container->agent_status == BEAT_STOPPING) {
        decider_step_kind(decider, container, EVENT_STOPPING); /* whatever it says of itself on its way out */
    }
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

void decider_judge_facts(struct decider *decider, struct container *container, const struct news *news)
{
    if (container->is_held) {
        if (container->policy.state != STATE_HELD) {
            decider_step_event(decider, container,
                               &(struct policy_event){.kind = EVENT_HOLD, .reason = "hold"});
        }
        return;
    }
    if (liveness_is_suspended(container)) {
        return;
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
    decider_step_pump(decider, container);
}

void decider_judge_again(struct decider *decider, struct container *container)
{
    decider_judge_facts(decider, container, &(struct news){.maker = MADE_BEFORE, .age_ms = -1});
}
