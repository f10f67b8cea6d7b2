#include "proto/alert.h"

#include <stdio.h>

#include "proto/json_writer.h"

enum { FIRST_SIZE = 512 };

#define TYPE_NAME(type, severity) #type,
static const char *const type_names[] = {ALERT_TYPE_WORDS(TYPE_NAME)};
#undef TYPE_NAME
#define TYPE_SEVERITY(type, severity) severity,
static const char *const type_severities[] = {ALERT_TYPE_WORDS(TYPE_SEVERITY)};
#undef TYPE_SEVERITY

void alert_init(struct alert *alert)
{
    *alert = (struct alert){.recovery_secs = -1};
}

const char *alert_type_name(enum alert_type type)
{
    return (unsigned)type < ALERT_TYPE_N ? type_names[type] : "UNKNOWN";
}

const char *alert_severity(enum alert_type type)
{
    return (unsigned)type < ALERT_TYPE_N ? type_severities[type] : "warning";
}

static void write_summary(struct json_writer *writer, const struct alert *alert)
{
    const struct alert_totals *totals = &alert->totals;
    json_writer_time(writer, "timestamp", alert->timestamp, JSON_ROUND_DOWN);
    json_writer_signed(writer, "total", totals->total);
    json_writer_signed(writer, "healthy", totals->healthy);
    json_writer_signed(writer, "degraded", totals->degraded);
    json_writer_signed(writer, "unhealthy", totals->unhealthy);
    json_writer_signed(writer, "missing", totals->missing);
    json_writer_bool(writer, "all_healthy", totals->healthy == totals->total);
    json_writer_signed(writer, "starting", totals->starting);
    json_writer_signed(writer, "held", totals->held);
}

/* What a receiver groups by: the opening and repeats of one trouble share it. */
static void write_dedup_key(struct json_writer *writer, const struct alert *alert)
{
    const char *subject = alert->container[0] != '\0' ? alert->container : alert->host;
    char key[LIMIT_NAME_SIZE + 64];
    snprintf(key, sizeof key, "%s%s%s", alert_type_name(alert->type), subject[0] != '\0' ? ":" : "", subject);
    json_writer_text(writer, "dedup_key", key);
}

static void write_alert(struct json_writer *writer, const struct alert *alert)
{
    json_writer_text_or_null(writer, "container", alert->container);
    json_writer_text_or_null(writer, "reason", alert->reason);
    json_writer_text_or_null(writer, "action", alert->action);
    json_writer_signed(writer, "attempts", alert->attempts);
    json_writer_time(writer, "last_attempt", alert->last_attempt, JSON_ROUND_DOWN);
    json_writer_time(writer, "cooldown_until", alert->cooldown_until, JSON_ROUND_UP);
    json_writer_time(writer, "timestamp", alert->timestamp, JSON_ROUND_DOWN);
    json_writer_text(writer, "severity", alert_severity(alert->type));
    json_writer_text_or_null(writer, "host", alert->host);
    json_writer_text_or_null(writer, "service", alert->service);
    json_writer_text_or_null(writer, "container_id", alert->container_id);
    write_dedup_key(writer, alert);
    json_writer_unsigned(writer, "seq", alert->seq);
    json_writer_bool(writer, "delayed", alert->is_delayed);
    json_writer_text_if_any(writer, "detail", alert->detail);
    json_writer_text_if_any(writer, "evidence", alert->evidence);
    if (alert->recovery_secs >= 0) {
        json_writer_real(writer, "recovery_secs", alert->recovery_secs);
    }
}

char *alert_encode(const struct alert *alert, size_t *len)
{
    struct json_writer writer;
    json_writer_init(&writer, JSON_SPACED, FIRST_SIZE);
    json_writer_open(&writer, NULL, '{');
    json_writer_text(&writer, "type", alert_type_name(alert->type));
    if (alert->type == ALERT_HEALTH_SUMMARY) {
        write_summary(&writer, alert);
    } else {
        write_alert(&writer, alert);
    }
    json_writer_close(&writer, '}');
    return json_writer_take(&writer, len);
}

void event_record_init(struct event_record *record)
{
    *record = (struct event_record){0};
}

char *event_record_encode(const struct event_record *record, size_t *len)
{
    struct json_writer writer;
    json_writer_init(&writer, JSON_COMPACT, FIRST_SIZE);
    json_writer_open(&writer, NULL, '{');
    json_writer_text(&writer, "kind", record->kind);
    json_writer_time(&writer, "timestamp", record->timestamp, JSON_ROUND_DOWN);
    json_writer_text_if_any(&writer, "container", record->container);
    json_writer_text_if_any(&writer, "host", record->host);
    json_writer_text_if_any(&writer, "container_id", record->container_id);
    json_writer_text_if_any(&writer, "from", record->from);
    json_writer_text_if_any(&writer, "to", record->to);
    json_writer_text_if_any(&writer, "event", record->event);
    json_writer_text_if_any(&writer, "action", record->action);
    json_writer_text_if_any(&writer, "reason", record->reason);
    json_writer_text_if_any(&writer, "gate", record->gate);
    json_writer_text_if_any(&writer, "detail", record->detail);
    json_writer_text_if_any(&writer, "command_id", record->command_id);
    if (record->max_attempts > 0 || record->attempt > 0) {
        json_writer_signed(&writer, "attempt", record->attempt);
        json_writer_signed(&writer, "max_attempts", record->max_attempts);
    }
    event_facts_write(&writer, "facts", &record->facts);
    json_writer_unsigned(&writer, "seq", record->seq);
    json_writer_close(&writer, '}');
    return json_writer_take(&writer, len);
}
