/* A decider that follows, takes over, and leads no longer than it may. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/fleet_driver.h"

#define RUNNING CONTAINER_RUNNING
#define EXITED  CONTAINER_EXITED

static int tear_down(void **state)
{
    (void)state;
    fleet_end();
    return 0;
}

static void take_over(uint64_t epoch)
{
    decider_take_over(fleet.decider, fleet_now(), fleet_wall());
    decider_lead(fleet.decider, epoch, MONO_NEVER, fleet_now());
    fleet_drain();
}

static void a_follower_knows_all_and_says_nothing(void **state)
{
    (void)state;
    fleet_begin("*", "");
    decider_follow(fleet.decider);
    fleet_go_on(100000, "web", RUNNING, "i1", NULL);
    assert_string_equal("UP", fleet_look("web").state);
    assert_string_equal("standby", decider_condition(fleet.decider, fleet_now()));
    fleet_die("web", "i1", STOP_CRASH, 1);
    fleet_run(20000);
    assert_string_equal("FAILED", fleet_look("web").state);
    assert_string_equal("leader", fleet_look("web").gate);
    fleet_run(600000); /* its host is lost meanwhile */
    assert_int_equal(0, fleet.line_count + fleet.alert_count);
    assert_int_equal(0, fleet.sends + fleet.asks + fleet.stores + fleet.forgets);
}

static void what_died_before_is_healed_after(void **state)
{
    (void)state;
    fleet_begin("*", "");
    decider_follow(fleet.decider);
    fleet_go_on(100000, "web", RUNNING, "i1", NULL);
    fleet_die("web", "i1", STOP_CRASH, 1);
    fleet_run(10000);
    take_over(9);
    assert_int_equal(0, decider_count(fleet.decider));
    assert_string_equal("settling", decider_condition(fleet.decider, fleet_now()));
    fleet_run(5000);
    assert_int_equal(0, fleet.sends);
    fleet_list("web", EXITED, "i1", NULL); /* an agent told what Docker said: no silence, no patience */
    fleet_run(8000);
    assert_int_equal(1, fleet.sends);
    assert_int_equal(9, fleet.last.epoch);
    assert_int_equal(1, fleet.last.attempt);
}

static void the_account_is_what_was_stored(void **state)
{
    (void)state;
    fleet_begin("*", "");
    decider_follow(fleet.decider);
    fleet_list("web", EXITED, "i1", NULL);
    fleet_run(10000);
    take_over(9);
    struct restart_state stored;
    restart_state_init(&stored);
    stored.attempt_count = 2;
    decider_state_loaded(fleet.decider, "web", &stored, fleet_now(), fleet_wall());
    fleet_list("web", EXITED, "i1", NULL);
    fleet_run(8000);
    assert_int_equal(1, fleet.sends);
    assert_int_equal(3, fleet.last.attempt);
}

static void silence_is_no_reason_to_act_at_once(void **state)
{
    (void)state;
    fleet_begin("*", "");
    decider_follow(fleet.decider);
    fleet_go_on(100000, "web", RUNNING, "i1", NULL);
    take_over(2);
    fleet_go_on(30000, "web", RUNNING, "i1", NULL);
    int64_t settled_ms = fleet.ms + 15000;
    assert_string_equal("settling", decider_condition(fleet.decider, fleet_now()));
    fleet_go_on(60000, "web", RUNNING, "i1", NULL);
    assert_true(fleet.ms > settled_ms);
    assert_string_equal("leader", decider_condition(fleet.decider, fleet_now()));
    assert_int_equal(0, fleet.sends);
    assert_int_equal(0, fleet_count_lines("missing heartbeat"));
}

/* Heard as a follower, and never again: the leader that died with it could not tell. */
static void a_host_lost_with_its_leader_is_told(void **state)
{
    (void)state;
    fleet_begin("*", "");
    decider_follow(fleet.decider);
    fleet_go_on(100000, "web", RUNNING, "i1", NULL);
    fleet_run(15000);
    take_over(2);
    fleet_run(5000);
    assert_int_equal(0, fleet_count_alerts(ALERT_AGENT_LOST, NULL));
    fleet_run(10000); /* 35 s after its last word, whoever led then */
    assert_int_equal(1, fleet_count_alerts(ALERT_AGENT_LOST, NULL));
    fleet_run(600000);
    assert_int_equal(1, fleet_count_alerts(ALERT_AGENT_LOST, NULL));
    fleet_list("web", RUNNING, "i1", NULL);
    assert_int_equal(1, fleet_count_alerts(ALERT_AGENT_RECOVERED, NULL));
    assert_int_equal(0, fleet.sends);
}

/* By its own clock: no word of the shell is needed. */
static void a_lease_ends_by_itself(void **state)
{
    (void)state;
    fleet_begin("*", "");
    fleet_go_on(100000, "web", RUNNING, "i1", NULL);
    decider_lead(fleet.decider, 5, mono_add(fleet_now(), 1000), fleet_now());
    fleet_die("web", "i1", STOP_CRASH, 1);
    fleet_run(20000);
    assert_int_equal(0, fleet.sends);
    assert_string_equal("frozen", decider_condition(fleet.decider, fleet_now()));
    assert_true(fleet.line_count > 0); /* its voice is kept */
    decider_lead(fleet.decider, 5, mono_add(fleet_now(), 10000), fleet_now());
    fleet_drain();
    assert_int_equal(1, fleet.sends);
}

/* The attempt was stored, but its command had not left. */
static void an_attempt_that_did_not_leave_is_given_back(void **state)
{
    (void)state;
    fleet_begin("*", "");
    fleet_go_on(100000, "web", RUNNING, "i1", NULL);
    fleet.send_status = -ECONNREFUSED;
    fleet_die("web", "i1", STOP_CRASH, 1);
    fleet_run(8000);
    int sends = fleet.sends;
    assert_true(sends > 0);
    decider_lead(fleet.decider, 0, fleet_now(), fleet_now());
    fleet_list("web", EXITED, "i1", NULL);
    fleet_run(10000);
    assert_int_equal(sends, fleet.sends);
    assert_int_equal(0, fleet_look("web").attempts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_follower_knows_all_and_says_nothing, tear_down),
        cmocka_unit_test_teardown(what_died_before_is_healed_after, tear_down),
        cmocka_unit_test_teardown(the_account_is_what_was_stored, tear_down),
        cmocka_unit_test_teardown(silence_is_no_reason_to_act_at_once, tear_down),
        cmocka_unit_test_teardown(a_host_lost_with_its_leader_is_told, tear_down),
        cmocka_unit_test_teardown(a_lease_ends_by_itself, tear_down),
        cmocka_unit_test_teardown(an_attempt_that_did_not_leave_is_given_back, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
