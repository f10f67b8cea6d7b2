#include "controller/core/decider_totals.h"

static enum category category_of(const struct container *container)
{
    const struct policy_memory *policy = &container->policy;
    switch (policy->state) {
    case STATE_STARTING:
        return CATEGORY_STARTING;
    case STATE_UP: {
        enum beat_status status = liveness_status(container);
        return status == BEAT_DEGRADED || status == BEAT_UNKNOWN ? CATEGORY_DEGRADED : CATEGORY_HEALTHY;
    }
    case STATE_SUSPECT:
        return policy->misses > 0 ? CATEGORY_MISSING : CATEGORY_UNHEALTHY;
    case STATE_DOWN:
        return CATEGORY_MISSING;
    case STATE_FAILED:
    case STATE_RESTARTING:
    case STATE_COOLDOWN:
        return policy->cause == CAUSE_MISSING || policy->cause == CAUSE_DEATH ? CATEGORY_MISSING
                                                                              : CATEGORY_UNHEALTHY;
    case STATE_HELD:
        return CATEGORY_HELD;
    case STATE_NONE:
    case STATE_REMOVED:
    case STATE_N:
        break;
    }
    return CATEGORY_NONE;
}

static int64_t *count_of(struct alert_totals *totals, enum category category)
{
    switch (category) {
    case CATEGORY_HEALTHY:
        return &totals->healthy;
    case CATEGORY_DEGRADED:
        return &totals->degraded;
    case CATEGORY_UNHEALTHY:
        return &totals->unhealthy;
    case CATEGORY_MISSING:
        return &totals->missing;
    case CATEGORY_STARTING:
        return &totals->starting;
    case CATEGORY_HELD:
        return &totals->held;
    case CATEGORY_NONE:
        break;
    }
    return NULL;
}

static void add(struct alert_totals *totals, enum category category, int by)
{
    int64_t *count = count_of(totals, category);
    if (count) {
        *count += by;
        totals->total += by;
    }
}

static void set_category(struct decider *decider, struct container *container, enum category category)
{
    if (container->category == category) {
        return;
    }
    add(&decider->totals, (enum category)container->category, -1);
    add(&decider->totals, category, 1);
    container->category = (uint8_t)category;
}

void decider_totals_count(struct decider *decider, struct container *container)
{
    set_category(decider, container, category_of(container));
}

void decider_totals_uncount(struct decider *decider, struct container *container)
{
    set_category(decider, container, CATEGORY_NONE);
}
