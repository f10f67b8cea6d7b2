/*
 * What the policy needs of the settings, in its own units: milliseconds and counts. A plain value; the
 * pattern lists are borrowed and must outlive it.
 */
#ifndef DEFIB_CONTROLLER_CORE_POLICY_CONFIG_H
#define DEFIB_CONTROLLER_CORE_POLICY_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/name_patterns.h"
#include "proto/limits.h"

struct policy_config {
    bool is_enabled;      /* SUPERVISOR_ENABLED */
    int64_t max_attempts; /* 0: alerts only */
    int64_t backoff_ms[LIMIT_BACKOFF_STEPS];
    size_t backoff_count; /* at least 1 */
    int64_t cooldown_ms;
    int64_t heartbeat_ttl_ms;
    int64_t miss_threshold;
    int64_t unhealthy_threshold;
    int64_t check_interval_ms;
    int64_t fast_check_ms; /* 0: a death is acted on at once */
    int64_t start_grace_ms;
    int64_t start_deadline_ms;
    int64_t stop_settle_ms;
    int64_t intent_settle_ms;
    int64_t stable_ms;
    int64_t jitter_pct;
    int64_t docker_policy_grace_ms;
    int64_t stop_timeout_ms;
    int64_t max_per_host;
    int64_t max_fleet;
    double breaker_fraction; /* of what is managed; see breaker.h */
    int64_t breaker_min;
    int64_t agent_lost_ms;
    int64_t settle_ms; /* after our own start: silence is not acted on */
    int64_t alert_repeat_ms;
    const struct name_patterns *allow;
    const struct name_patterns *deny;
};

#endif
