#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/core/container_beat.h"

/* What the word of a beat is, by all that the agent knows of it. */
static void the_word_follows_from_the_facts(void **state)
{
    (void)state;
    static const struct {
        enum container_state state;
        enum container_health health;
        enum stop_class class;
        enum beat_status probes, wanted;
        bool is_up;
    } CASES[] = {
        {CONTAINER_RUNNING, HEALTH_NONE, STOP_NONE, BEAT_UNKNOWN, BEAT_HEALTHY, true},
        {CONTAINER_RUNNING, HEALTH_HEALTHY, STOP_NONE, BEAT_UNKNOWN, BEAT_HEALTHY, true},
        {CONTAINER_RUNNING, HEALTH_UNKNOWN, STOP_NONE, BEAT_UNKNOWN, BEAT_HEALTHY, true},
        {CONTAINER_RUNNING, HEALTH_STARTING, STOP_NONE, BEAT_UNKNOWN, BEAT_STARTING, true},
        {CONTAINER_RUNNING, HEALTH_UNHEALTHY, STOP_NONE, BEAT_UNKNOWN, BEAT_UNHEALTHY, true},
        /* the worse of a HEALTHCHECK and the probes */
        {CONTAINER_RUNNING, HEALTH_HEALTHY, STOP_NONE, BEAT_UNHEALTHY, BEAT_UNHEALTHY, true},
        {CONTAINER_RUNNING, HEALTH_NONE, STOP_NONE, BEAT_DEGRADED, BEAT_DEGRADED, true},
        {CONTAINER_RUNNING, HEALTH_UNHEALTHY, STOP_NONE, BEAT_HEALTHY, BEAT_UNHEALTHY, true},
        /* which say nothing about one that does not run */
        {CONTAINER_EXITED, HEALTH_NONE, STOP_CRASH, BEAT_HEALTHY, BEAT_UNHEALTHY, false},
        {CONTAINER_PAUSED, HEALTH_NONE, STOP_NONE, BEAT_UNKNOWN, BEAT_DEGRADED, true},
        {CONTAINER_CREATED, HEALTH_NONE, STOP_NONE, BEAT_UNKNOWN, BEAT_STARTING, false},
        {CONTAINER_RESTARTING, HEALTH_NONE, STOP_CRASH, BEAT_UNKNOWN, BEAT_UNHEALTHY, false},
        {CONTAINER_REMOVING, HEALTH_NONE, STOP_NONE, BEAT_UNKNOWN, BEAT_STOPPING, false},
        {CONTAINER_DEAD, HEALTH_NONE, STOP_KILLED, BEAT_UNKNOWN, BEAT_UNHEALTHY, false},
        {CONTAINER_UNKNOWN, HEALTH_NONE, STOP_NONE, BEAT_UNHEALTHY, BEAT_UNKNOWN, false},
        {CONTAINER_EXITED, HEALTH_NONE, STOP_SETTLING, BEAT_UNKNOWN, BEAT_STOPPING, false},
        {CONTAINER_EXITED, HEALTH_NONE, STOP_OWN, BEAT_UNKNOWN, BEAT_STOPPING, false},
        {CONTAINER_EXITED, HEALTH_NONE, STOP_OPERATOR, BEAT_UNKNOWN, BEAT_STOPPING, false},
        {CONTAINER_EXITED, HEALTH_NONE, STOP_SHUTDOWN, BEAT_UNKNOWN, BEAT_STOPPING, false},
        {CONTAINER_EXITED, HEALTH_NONE, STOP_COMPLETED, BEAT_UNKNOWN, BEAT_STOPPING, false},
        {CONTAINER_EXITED, HEALTH_NONE, STOP_OOM, BEAT_UNKNOWN, BEAT_UNHEALTHY, false},
        {CONTAINER_EXITED, HEALTH_NONE, STOP_UNSEEN, BEAT_UNKNOWN, BEAT_UNHEALTHY, false},
        {CONTAINER_EXITED, HEALTH_NONE, STOP_START_ERROR, BEAT_UNKNOWN, BEAT_UNHEALTHY, false},
        {CONTAINER_EXITED, HEALTH_NONE, STOP_UNKNOWN, BEAT_UNKNOWN, BEAT_UNHEALTHY, false},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        const struct container container = {.state = CASES[i].state,
                                            .health = CASES[i].health,
                                            .stop_class = CASES[i].class,
                                            .probe_status = CASES[i].probes};
        if (container_beat_status(&container) != CASES[i].wanted) {
            fail_msg("case %zu: %s", i, beat_status_name(container_beat_status(&container)));
        }
        assert_int_equal(CASES[i].is_up, container_beat_is_up(&container));
    }
    const struct container asked_to_end = {
        .state = CONTAINER_RUNNING, .health = HEALTH_UNHEALTHY, .is_stopping = true};
    assert_int_equal(BEAT_STOPPING, container_beat_status(&asked_to_end));
}

static void who_writes_the_key(void **state)
{
    (void)state;
    static const struct {
        enum beat_mode mode;
        bool is_app_beating, is_by_agent;
    } CASES[] = {
        {BEAT_MODE_AUTO, false, true},  {BEAT_MODE_AUTO, true, false}, {BEAT_MODE_AGENT, true, true},
        {BEAT_MODE_AGENT, false, true}, {BEAT_MODE_APP, false, false}, {BEAT_MODE_APP, true, false},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct container container = {.id = ""};
        container.spec.beat_mode = CASES[i].mode;
        container.spec.is_app_beating = CASES[i].is_app_beating;
        assert_int_equal(CASES[i].is_by_agent, container_beat_is_by_agent(&container));
    }
}

static void a_beat_tells_what_the_table_knows(void **state)
{
    (void)state;
    const struct container container = {.id = "aaaa",
                                        .name = "h/web",
                                        .service = "web",
                                        .instance = "h/1",
                                        .state = CONTAINER_EXITED,
                                        .stop_class = STOP_OOM,
                                        .incarnation = "T1",
                                        .started_ns = 5000999999,
                                        .finished_ns = 7000000000,
                                        .has_exit_code = true,
                                        .exit_code = 137,
                                        .oom_killed = true,
                                        .error = "no memory",
                                        .restart_count = 4,
                                        .last_command = "00ff",
                                        .last_command_code = ANSWER_OK,
                                        .last_command_unstored = 2,
                                        .last_command_at = {6000}};
    struct heartbeat beat;
    heartbeat_init(&beat);
    container_beat_fill(&container, "h", "agent-1", 9, (struct wall){8000}, &beat);
    assert_string_equal("web", beat.service);
    assert_string_equal("h/1", beat.instance_id);
    assert_int_equal(BEAT_UNHEALTHY, beat.status);
    assert_int_equal(5000, beat.started_at.ms);
    assert_int_equal(7000, beat.finished_at.ms);
    assert_int_equal(8000, beat.timestamp.ms);
    assert_string_equal("agent", beat.source);
    assert_string_equal("h/web", beat.container);
    assert_string_equal("aaaa", beat.container_id);
    assert_string_equal("T1", beat.incarnation);
    assert_string_equal("agent-1", beat.agent);
    assert_int_equal(9, beat.seq);
    assert_int_equal(STOP_OOM, beat.stop_class);
    assert_true(beat.has_exit_code && beat.oom_killed);
    assert_int_equal(137, beat.exit_code);
    assert_int_equal(4, beat.restart_count);
    assert_string_equal("no memory", beat.error);
    assert_string_equal("00ff", beat.last_command);
    assert_int_equal(ANSWER_OK, beat.last_command_code);
    assert_int_equal(2, beat.last_command_unstored);
    assert_int_equal(6000, beat.last_command_at.ms);
    heartbeat_fini(&beat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_word_follows_from_the_facts),
        cmocka_unit_test(who_writes_the_key),
        cmocka_unit_test(a_beat_tells_what_the_table_knows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
