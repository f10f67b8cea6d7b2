#include "controller/policy_settings.h"

#include <stdbool.h>
#include <stdint.h>

#include "common/config_value.h"
#include "common/memory.h"
#include "proto/json_writer.h"

enum { FIRST_SIZE = 2048 };

void policy_settings_fill(const struct settings *settings, struct policy_config *out)
{
    *out = (struct policy_config){.is_enabled = settings->supervisor_enabled,
                                  .max_attempts = settings->max_restart_attempts,
                                  .cooldown_ms = settings->restart_cooldown_ms,
                                  .heartbeat_ttl_ms = settings->heartbeat_ttl_ms,
                                  .miss_threshold = settings->heartbeat_miss_threshold,
                                  .unhealthy_threshold = settings->unhealthy_threshold,
                                  .check_interval_ms = settings->check_interval_ms,
                                  .fast_check_ms = settings->fast_check_ms,
                                  .start_grace_ms = settings->start_grace_ms,
                                  .start_deadline_ms = settings->start_deadline_ms,
                                  .stop_settle_ms = settings->stop_settle_ms,
                                  .intent_settle_ms = settings->intent_settle_ms,
                                  .stable_ms = settings->restart_stable_ms,
                                  .jitter_pct = settings->restart_jitter_pct,
                                  .docker_policy_grace_ms = settings->docker_policy_grace_ms,
                                  .stop_timeout_ms = settings->restart_stop_timeout_ms,
                                  .max_per_host = settings->restart_max_per_host,
                                  .max_fleet = settings->restart_max_fleet,
                                  .breaker_fraction = settings->breaker_fraction,
                                  .breaker_min = settings->breaker_min,
                                  .agent_lost_ms = settings->agent_lost_ms,
                                  .settle_ms = settings->settle_ms,
                                  .alert_repeat_ms = settings->alert_repeat_ms,
                                  .allow = &settings->restart_allow,
                                  .deny = &settings->restart_deny};
    for (size_t i = 0; i < settings->restart_backoff.count && i < LIMIT_BACKOFF_STEPS; i++) {
        out->backoff_ms[out->backoff_count++] = settings->restart_backoff.ms[i];
    }
}

static bool is_for_policy(const struct config_row *row, const struct settings *settings)
{
    bool is_derived =
        row->set_offset != SIZE_MAX && !*(const bool *)((const char *)settings + row->set_offset);
    bool is_policy = row->type == CONFIG_BOOL || row->type == CONFIG_INT || row->type == CONFIG_REAL ||
                     row->type == CONFIG_SECONDS || row->type == CONFIG_SECONDS_LIST ||
                     row->type == CONFIG_PATTERNS;
    return (row->programs & SETTINGS_CONTROLLER) != 0 && is_policy && !row->is_secret && !is_derived;
}

char *policy_settings_to_json(const struct settings *settings)
{
    size_t count;
    const struct config_row *rows = settings_rows(&count);
    struct json_writer writer;
    json_writer_init(&writer, JSON_COMPACT, FIRST_SIZE);
    json_writer_open(&writer, NULL, '{');
    for (size_t i = 0; i < count; i++) {
        if (is_for_policy(&rows[i], settings)) {
            cleanup_free char *text = config_value_show(&rows[i], settings);
            json_writer_text(&writer, rows[i].name, text);
        }
    }
    json_writer_close(&writer, '}');
    return json_writer_take(&writer, NULL);
}
