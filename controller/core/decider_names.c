#include "controller/core/decider_names.h"

#include <stdio.h>

#include "common/memory.h"
#include "controller/core/decider_attempt.h"
#include "controller/core/decider_breaker.h"
#include "controller/core/decider_say.h"
#include "controller/core/decider_step.h"

/* Two claim one name or one key: neither is touched. */
static void collide(struct decider *decider, struct container *container, const char *reason,
                    const char *detail)
{
    container->collision_until = mono_add(decider->now, 2 * decider->config->heartbeat_ttl_ms);
    if (!decider_say_may_repeat(decider, &container->collision_said_at)) {
        return;
    }
    struct alert alert;
    decider_say_fill_alert(decider, container, ALERT_NAME_COLLISION, &alert);
    memory_set_text(alert.reason, sizeof alert.reason, reason);
    memory_set_text(alert.detail, sizeof alert.detail, detail);
    decider_say_line(decider, container, ACTION_WARNING, "Container %s collides: %s; neither is restarted",
                     container->name, detail);
    decider_say_alert(decider, &alert);
    container->is_aside_said = true;
}

static void collide_on_name(struct decider *decider, struct container *container, const struct host *other)
{
    char detail[LIMIT_DETAIL_SIZE];
    snprintf(detail, sizeof detail,
             "the name is in use on %.60s and on %.60s (DEFIB_NAME_PREFIX=auto tells them apart)",
             container->host->name, other->name);
    collide(decider, container, "two_hosts", detail);
}

bool decider_names_is_alive(const struct decider *decider, const struct container *container)
{
    return liveness_is_host_live(&decider->liveness, container->host, decider->now) &&
           liveness_is_listed(container) && !liveness_is_dead_state(container->state);
}

static void move_to(struct decider *decider, struct container *container, struct host *host)
{
    bool is_under_way = container->policy.state == STATE_RESTARTING;
    decider_attempt_drop(decider, container);
    decider_breaker_drop(decider, container);
    if (container->host) {
        container->host->has_outdone = true;
    }
    liveness_set_host(container, host);
    container->agent_at = (struct mono){0};
    if (is_under_way) {
        decider_step_kind(decider, container, EVENT_ABORTED);
    }
}

bool decider_names_claim(struct decider *decider, struct container *container, struct host *host,
                         bool is_alive)
{
    struct host *holder = container->host;
    if (holder == host) {
        return true;
    }
    if (!holder) {
        move_to(decider, container, host);
        return true;
    }
    bool is_held_alive = decider_names_is_alive(decider, container);
    if (is_alive && is_held_alive) {
        collide_on_name(decider, container, host);
        return false;
    }
    if (!is_alive) {
        host->has_outdone = true;
        return false;
    }
    move_to(decider, container, host);
    return true;
}

void decider_names_freed(struct decider *decider)
{
    for (struct host *host = liveness_first_host(&decider->liveness); host; host = liveness_next_host(host)) {
        host->is_stale |= host->has_outdone;
    }
}

void decider_names_collide_on_key(struct decider *decider, struct container *container,
                                  struct container *holder)
{
    char detail[LIMIT_DETAIL_SIZE];
    snprintf(detail, sizeof detail, "%.100s has the same heartbeat key", holder->name);
    collide(decider, container, "two_writers", detail);
    snprintf(detail, sizeof detail, "%.100s has the same heartbeat key", container->name);
    collide(decider, holder, "two_writers", detail);
}
