/* What the checks of a container say, in words. */
#include "controller/serve/check_report.h"

#include <string.h>

#include "common/memory.h"
#include "proto/registration.h"
#include "tests/unit/vectors.h"

static const char *line(const struct check_report *report, size_t at)
{
    return at < report->count ? report->lines[at].text : "";
}

static void beat(struct check_report *report, const char *text)
{
    check_report_beat(report, text, strlen(text));
}

static void an_agents_beat_says_why(void **state)
{
    (void)state;
    struct check_report report = {.count = 0};
    beat(&report,
         "{\"service\":\"s\",\"instance_id\":\"i\",\"status\":\"unhealthy\",\"source\":\"agent\","
         "\"checks\":{\"running\":false,\"web\":false,\"db\":true,\"odd\":false,\"docker_health\":false},"
         "\"check_details\":{\"web\":\"cannot connect\\tat all\",\"docker_health\":\"disk is full\"}}");
    assert_int_equal(report.count, 3);
    assert_string_equal(line(&report, 0), "Check web fails: cannot connect at all");
    assert_string_equal(line(&report, 1), "Its HEALTHCHECK fails, and said last: disk is full");
    assert_string_equal(line(&report, 2), "Check odd fails");
    /* a failure of late that does not count yet */
    report = (struct check_report){.count = 0};
    beat(&report,
         "{\"service\":\"s\",\"instance_id\":\"i\",\"status\":\"degraded\",\"checks\":{\"web\":true},"
         "\"check_details\":{\"web\":\"timed out\"}}");
    assert_int_equal(report.count, 0);
}

static void a_service_speaks_for_itself_and_its_agent_beside_it(void **state)
{
    (void)state;
    struct check_report report = {.count = 0};
    beat(&report,
         "{\"service\":\"s\",\"instance_id\":\"i\",\"status\":\"degraded\",\"checks\":{\"db_ok\":false}}");
    struct registration_entry entries[2];
    struct registration registration;
    registration_init(&registration);
    memory_set_text(registration.host, sizeof registration.host, "h1");
    memory_set_text(registration.agent, sizeof registration.agent, "3f2a486f2b305cd51c2aed9bb48297df");
    for (size_t i = 0; i < 2; i++) {
        heartbeat_init(&entries[i].beat);
        container_spec_init(&entries[i].spec);
        snprintf(entries[i].beat.service, LIMIT_NAME_SIZE, "s%zu", i);
        snprintf(entries[i].beat.instance_id, LIMIT_NAME_SIZE, "i%zu", i);
        snprintf(entries[i].beat.container, LIMIT_NAME_SIZE, "c%zu", i);
        heartbeat_set_check_detail(&entries[i].beat, "progress_x", i == 1 ? "stalled" : "not ours");
        heartbeat_set_check_detail(&entries[i].beat, "db_ok", "told already");
    }
    registration.entries = entries;
    registration.count = 2;
    size_t len;
    cleanup_free char *text = registration_encode(&registration, &len);
    check_report_registration(&report, text, len, "c1");
    assert_int_equal(report.count, 2);
    assert_string_equal(line(&report, 0), "Check db_ok fails, says the service itself");
    assert_string_equal(line(&report, 1), "Check progress_x fails: stalled");
    heartbeat_fini(&entries[0].beat);
    heartbeat_fini(&entries[1].beat);
}

static void many_are_counted_and_rubbish_says_nothing(void **state)
{
    (void)state;
    struct check_report report = {.count = 0};
    char text[2048] = "{\"service\":\"s\",\"instance_id\":\"i\",\"status\":\"unhealthy\",\"checks\":{";
    for (int i = 0; i < 12; i++) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s\"c%d\":false", i == 0 ? "" : ",", i);
    }
    strcat(text, "}}");
    beat(&report, text);
    assert_int_equal(report.count, CHECK_REPORT_LINES);
    assert_int_equal(report.more, 12 - CHECK_REPORT_LINES);
    report = (struct check_report){.count = 0};
    beat(&report, "{\"service\":1");
    beat(&report, "");
    check_report_beat(&report, NULL, 0);
    check_report_registration(&report, "[]", 2, "c1");
    check_report_registration(&report, NULL, 0, "c1");
    beat(&report,
         "{\"service\":\"s\",\"instance_id\":\"i\",\"status\":\"x\",\"checks\":[],\"check_details\":\"no\"}");
    beat(&report, "{\"service\":\"s\",\"instance_id\":\"i\",\"status\":\"x\",\"checks\":{\"a\":0},\"check_"
                  "details\":{\"a\":1}}");
    assert_int_equal(report.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_agents_beat_says_why),
        cmocka_unit_test(a_service_speaks_for_itself_and_its_agent_beside_it),
        cmocka_unit_test(many_are_counted_and_rubbish_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
