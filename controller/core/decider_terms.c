#include "controller/core/decider_terms.h"

static int64_t label_or(int64_t label, int64_t setting)
{
    return label >= 0 ? label : setting;
}

static int64_t larger(int64_t left, int64_t right)
{
    return left > right ? left : right;
}

void decider_terms_of(const struct decider *decider, const struct container *container,
                      struct policy_terms *out)
{
    const struct policy_config *config = decider->config;
    const struct container_terms *labels = &container->terms;
    *out = (struct policy_terms){
        .miss_threshold = config->miss_threshold,
        .unhealthy_threshold = config->unhealthy_threshold,
        .check_interval_ms = config->check_interval_ms,
        .fast_check_ms = config->fast_check_ms,
        .cooldown_ms = config->cooldown_ms,
        .stable_ms = larger(config->stable_ms, config->cooldown_ms),
        .grace_ms =
            larger(larger(config->start_grace_ms, labels->start_grace_ms), labels->healthcheck_grace_ms),
        .deadline_ms = config->start_deadline_ms,
        .stop_timeout_ms = label_or(labels->stop_timeout_ms, config->stop_timeout_ms),
        .unhealthy_grace_ms = label_or(labels->unhealthy_grace_ms, 0),
        .docker_policy_grace_ms = config->docker_policy_grace_ms,
        .jitter_pct = config->jitter_pct,
        .backoff_ms = labels->backoff_count ? labels->backoff_ms : config->backoff_ms,
        .backoff_count = labels->backoff_count ? labels->backoff_count : config->backoff_count,
    };
    /* MAX_RESTART_ATTEMPTS=0 sends no command, ever: no label undoes that. */
    out->max_attempts = config->max_attempts > 0 ? label_or(labels->max_attempts, config->max_attempts) : 0;
}
