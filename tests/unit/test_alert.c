#include "proto/alert.h"

#include "tests/unit/vectors.h"

static void assert_alert(const struct alert *alert, const char *wanted)
{
    size_t len = 0;
    cleanup_free char *text = alert_encode(alert, &len);
    assert_string_equal(text, wanted);
    assert_int_equal(len, strlen(wanted));
}

static void spells_the_summary(void **state)
{
    (void)state;
    struct alert alert;
    alert_init(&alert);
    alert.type = ALERT_HEALTH_SUMMARY;
    alert.timestamp.ms = 1769195130000;
    alert.totals = (struct alert_totals){.total = 8, .healthy = 7, .degraded = 1, .held = 2};
    assert_alert(&alert,
                 "{\"type\": \"HEALTH_SUMMARY\", \"timestamp\": \"2026-01-23T19:05:30Z\", \"total\": 8, "
                 "\"healthy\": 7, \"degraded\": 1, \"unhealthy\": 0, \"missing\": 0, "
                 "\"all_healthy\": false, \"starting\": 0, \"held\": 2}");
    alert.totals.healthy = 8;
    cleanup_free char *text = alert_encode(&alert, NULL);
    assert_non_null(strstr(text, "\"all_healthy\": true"));
}

static void spells_a_failure(void **state)
{
    (void)state;
    struct alert alert;
    alert_init(&alert);
    alert.type = ALERT_SERVICE_RESTART_FAILED;
    strcpy(alert.container, "arbees-api");
    strcpy(alert.reason, "missing_heartbeat");
    strcpy(alert.action, "max_attempts_exhausted");
    strcpy(alert.host, "host-1");
    strcpy(alert.service, "api");
    strcpy(alert.container_id, "abc");
    strcpy(alert.detail, "say \"why\"\n");
    alert.attempts = 3;
    alert.last_attempt.ms = 1769195130999;
    alert.cooldown_until.ms = 1769195730001;
    alert.timestamp.ms = 1769195131000;
    alert.seq = 17;
    alert.is_delayed = true;
    assert_alert(&alert,
                 "{\"type\": \"SERVICE_RESTART_FAILED\", \"container\": \"arbees-api\", "
                 "\"reason\": \"missing_heartbeat\", \"action\": \"max_attempts_exhausted\", "
                 "\"attempts\": 3, \"last_attempt\": \"2026-01-23T19:05:30Z\", "
                 "\"cooldown_until\": \"2026-01-23T19:15:31Z\", "
                 "\"timestamp\": \"2026-01-23T19:05:31Z\", \"severity\": \"critical\", "
                 "\"host\": \"host-1\", \"service\": \"api\", \"container_id\": \"abc\", "
                 "\"dedup_key\": \"SERVICE_RESTART_FAILED:arbees-api\", \"seq\": 17, \"delayed\": true, "
                 "\"detail\": \"say \\\"why\\\"\\n\"}");
}

static void leaves_nothing_undefined(void **state)
{
    (void)state;
    struct alert alert;
    alert_init(&alert);
    alert.type = ALERT_AGENT_LOST;
    strcpy(alert.host, "host-1");
    assert_alert(&alert,
                 "{\"type\": \"AGENT_LOST\", \"container\": null, \"reason\": null, \"action\": null, "
                 "\"attempts\": 0, \"last_attempt\": null, \"cooldown_until\": null, "
                 "\"timestamp\": null, \"severity\": \"critical\", \"host\": \"host-1\", "
                 "\"service\": null, \"container_id\": null, \"dedup_key\": \"AGENT_LOST:host-1\", "
                 "\"seq\": 0, \"delayed\": false}");
}

static void tells_the_recovery_time(void **state)
{
    (void)state;
    struct alert alert;
    alert_init(&alert);
    alert.type = ALERT_SERVICE_RECOVERED;
    alert.recovery_secs = 2.25;
    cleanup_free char *text = alert_encode(&alert, NULL);
    assert_non_null(strstr(text, ", \"recovery_secs\": 2.25}"));
    assert_non_null(strstr(text, "\"dedup_key\": \"SERVICE_RECOVERED\""));
}

static void names_every_type(void **state)
{
    (void)state;
    for (unsigned type = 0; type < ALERT_TYPE_N; type++) {
        const char *severity = alert_severity((enum alert_type)type);
        assert_true(strcmp(severity, "info") == 0 || strcmp(severity, "warning") == 0 ||
                    strcmp(severity, "critical") == 0);
        assert_string_not_equal(alert_type_name((enum alert_type)type), "UNKNOWN");
    }
    assert_string_equal(alert_type_name(ALERT_NAME_COLLISION), "NAME_COLLISION");
    assert_string_equal(alert_type_name(ALERT_TYPE_N), "UNKNOWN");
}

static void spells_event_records(void **state)
{
    (void)state;
    struct event_record record;
    event_record_init(&record);
    strcpy(record.kind, "decision");
    strcpy(record.container, "arbees-api");
    strcpy(record.action, "wait");
    strcpy(record.gate, "backoff");
    record.timestamp.ms = 1769195130000;
    record.seq = 4;
    size_t len = 0;
    cleanup_free char *short_text = event_record_encode(&record, &len);
    assert_string_equal(short_text,
                        "{\"kind\":\"decision\",\"timestamp\":\"2026-01-23T19:05:30Z\","
                        "\"container\":\"arbees-api\",\"action\":\"wait\",\"gate\":\"backoff\",\"seq\":4}");
    assert_int_equal(len, strlen(short_text));
    strcpy(record.from, "SUSPECT");
    strcpy(record.to, "FAILED");
    strcpy(record.event, "beat");
    strcpy(record.reason, "status_unhealthy");
    strcpy(record.detail, "d");
    strcpy(record.host, "h");
    strcpy(record.container_id, "c");
    strcpy(record.command_id, "00");
    record.max_attempts = 3;
    cleanup_free char *long_text = event_record_encode(&record, NULL);
    assert_string_equal(long_text,
                        "{\"kind\":\"decision\",\"timestamp\":\"2026-01-23T19:05:30Z\","
                        "\"container\":\"arbees-api\",\"host\":\"h\",\"container_id\":\"c\","
                        "\"from\":\"SUSPECT\",\"to\":\"FAILED\",\"event\":\"beat\",\"action\":\"wait\","
                        "\"reason\":\"status_unhealthy\",\"gate\":\"backoff\",\"detail\":\"d\","
                        "\"command_id\":\"00\",\"attempt\":0,\"max_attempts\":3,\"seq\":4}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spells_the_summary),       cmocka_unit_test(spells_a_failure),
        cmocka_unit_test(leaves_nothing_undefined), cmocka_unit_test(tells_the_recovery_time),
        cmocka_unit_test(names_every_type),         cmocka_unit_test(spells_event_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
