#include "controller/core/decider_lead.h"

#include "controller/core/decider_attempt.h"
#include "controller/core/decider_breaker.h"
#include "controller/core/decider_budget.h"
#include "controller/core/decider_totals.h"

bool decider_lead_may_send(const struct decider *decider, struct mono now)
{
    return !decider->is_following && now.ms < decider->leads_until.ms;
}

bool decider_lead_is_heard(const struct decider *decider, const struct action *action)
{
    return !decider->is_following || action->kind == ACTION_READ_KEY;
}

static void forget_container(struct decider *decider, struct container *container)
{
    decider_attempt_drop(decider, container);
    decider_breaker_drop(decider, container);
    decider_totals_uncount(decider, container);
    wake_queue_remove(&decider->wakes, &container->wake);
    liveness_remove(&decider->liveness, container);
}

/* Its next document is read as a whole. */
static void forget_host(struct decider *decider, struct host *host)
{
    host->change = host->seq = 0;
    host->round = 0;
    host->registered_at = host->vouched_at = (struct mono){0};
    host->is_edges_due = false;
    decider_breaker_forget(decider, &host->fuse);
}

void decider_lead_forget(struct decider *decider)
{
    struct liveness *liveness = &decider->liveness;
    struct container *container;
    liveness->settled_at = mono_add(decider->now, decider->config->settle_ms);
    while ((container = liveness_first(liveness)) != NULL) {
        forget_container(decider, container);
    }
    for (struct host *host = liveness_first_host(liveness); host; host = liveness_next_host(host)) {
        forget_host(decider, host);
    }
    decider_breaker_forget(decider, &decider->fuse);
    decider_budget_fini(decider);
    action_queue_fini(&decider->actions);
    decider->is_edges_due = false;
    decider->totals_said_at = (struct mono){0};
    decider->hosts_at = decider->now;
}
