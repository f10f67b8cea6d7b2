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

static void take_over_from(enum led_between between, uint64_t epoch)
{
    decider_take_over(fleet.decider, between, fleet_now(), fleet_wall());
    decider_lead(fleet.decider, epoch, MONO_NEVER, fleet_now());
    fleet_drain();
}

static void take_over(uint64_t epoch)
{
    take_over_from(LED_BY_OTHERS, epoch);
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

/* `web` is dead; its agent carried a command out `ago_ms` ago. */
static void tell_last_command(int64_t attempt, enum answer_code code, int64_t ago_ms)
{
    struct heartbeat word = fleet_word("h1", "web", EXITED, "i2");
    word.stop_class = STOP_CRASH;
    snprintf(word.last_command, sizeof word.last_command, "00112233445566778899aabbccddeeff");
    word.last_command_code = code;
    word.last_command_unstored = attempt;
    word.timestamp = fleet_wall();
    word.last_command_at = (struct wall){fleet_wall().ms - ago_ms};
    fleet_inventory("h1", &word, 1, NULL);
}

/* The last leader made it cut off from Redis: its own disk knows of it, and the agent. */
static void an_attempt_that_only_the_agent_knows_counts(void **state)
{
    (void)state;
    static const struct {
        enum answer_code code;
        enum led_between between;
        int64_t ago_ms, attempts;
    } CASES[] = {
        {ANSWER_OK, LED_BY_OTHERS, 7000, 2},   {ANSWER_DOCKER_ERROR, LED_BY_OTHERS, 7000, 2},
        {ANSWER_BUSY, LED_BY_OTHERS, 7000, 0}, /* it changed nothing and was given back */
        {ANSWER_OK, LED_BY_OTHERS, 600000, 0}, /* a cooldown ago */
        {ANSWER_OK, LED_BY_NOBODY, 7000, 0},   /* our own */
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        fleet_begin("*", "");
        decider_follow(fleet.decider);
        fleet_go_on(200000, "web", RUNNING, "i2", NULL);
        take_over_from(CASES[i].between, 9);
        tell_last_command(2, CASES[i].code, CASES[i].ago_ms);
        assert_int_equal(CASES[i].attempts, fleet_look("web").attempts);
        assert_int_equal(CASES[i].attempts > 0, fleet.stores);
        tell_last_command(2, CASES[i].code, CASES[i].ago_ms + 1000);
        assert_int_equal(CASES[i].attempts > 0, fleet.stores); /* once */
        fleet_end();
    }
    fleet_begin("*", "");
}

/* The one before it was stored, and its end was not. */
static void an_unstored_attempt_behind_one_in_flight_counts(void **state)
{
    (void)state;
    fleet_begin("*", "");
    fleet.is_silent = true;
    decider_follow(fleet.decider);
    fleet_go_on(200000, "web", RUNNING, "i2", NULL);
    take_over(9);
    fleet_list("web", EXITED, "i2", NULL);
    struct restart_state stored;
    restart_state_init(&stored);
    stored.attempt_count = 1;
    stored.is_in_flight = true;
    stored.last_attempt_at = fleet_wall();
    snprintf(stored.command_id, sizeof stored.command_id, "ffeeddccbbaa99887766554433221100");
    snprintf(stored.container_id, sizeof stored.container_id, "id-of-web");
    decider_state_loaded(fleet.decider, "web", &stored, fleet_now(), fleet_wall());
    fleet_drain();
    assert_int_equal(1, fleet_look("web").attempts);
    tell_last_command(2, ANSWER_OK, 1000);
    assert_int_equal(2, fleet_look("web").attempts);
    assert_string_equal("ffeeddccbbaa99887766554433221100", fleet.stored.command_id);
}

/* That lies on our own disk alone: its agent is told, and tells it. */
static void a_command_says_where_its_attempt_is_stored(void **state)
{
    (void)state;
    for (int on_disk = 0; on_disk < 2; on_disk++) {
        fleet_begin("*", "");
        fleet.stored_in = on_disk ? STORED_ON_DISK : STORED_IN_REDIS;
        fleet_go_on(200000, "web", RUNNING, "i1", NULL);
        fleet_die("web", "i1", STOP_CRASH, 1);
        fleet_run(20000);
        assert_int_equal(1, fleet.sends);
        assert_int_equal(on_disk ? 1 : 0, fleet.last.unstored_attempt);
        fleet_end();
    }
    fleet_begin("*", "");
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

/* db is denied and down, h2 is lost, and all that was told. */
static void tell_trouble(void)
{
    fleet_begin("*", "db");
    struct heartbeat words[2] = {fleet_word("h1", "web", RUNNING, "i1"),
                                 fleet_word("h1", "db", RUNNING, "i1")};
    struct heartbeat far = fleet_word("h2", "far", RUNNING, "i1");
    fleet_inventory("h2", &far, 1, NULL);
    fleet_inventory("h1", words, 2, NULL);
    for (int i = 0; i < 9; i++) { /* 90 s */
        words[0] = fleet_word("h1", "web", RUNNING, "i1");
        words[1] = fleet_word("h1", "db", i < 3 ? RUNNING : EXITED, "i1");
        fleet_inventory("h1", words, 2, NULL);
        fleet_run(10000);
    }
    assert_int_equal(1, fleet_count_alerts(ALERT_AGENT_LOST, NULL));
    assert_int_equal(1, fleet_count_alerts(ALERT_SERVICE_RESTART_FAILED, "deny_list"));
}

/* For so long all stays as it is. */
static void go_on_with_db(int64_t ms, enum container_state state, const char *incarnation)
{
    for (int64_t passed = 0; passed < ms; passed += 10000) {
        struct heartbeat words[2] = {fleet_word("h1", "web", RUNNING, "i1"),
                                     fleet_word("h1", "db", state, incarnation)};
        fleet_inventory("h1", words, 2, NULL);
        fleet_run(10000);
    }
}

static void what_was_told_before_a_pause_is_not_told_again(void **state)
{
    (void)state;
    tell_trouble();
    decider_follow(fleet.decider);
    go_on_with_db(20000, EXITED, "i1");
    take_over_from(LED_BY_NOBODY, 2);
    go_on_with_db(120000, EXITED, "i1");
    assert_int_equal(1, fleet_count_alerts(ALERT_AGENT_LOST, NULL));
    assert_int_equal(1, fleet_count_alerts(ALERT_SERVICE_RESTART_FAILED, "deny_list"));
    assert_int_equal(1, fleet_count_lines("in deny list - alerting only"));
    go_on_with_db(20000, RUNNING, "i2");
    assert_int_equal(1, fleet_count_alerts(ALERT_SERVICE_RECOVERED, NULL));
    struct heartbeat far = fleet_word("h2", "far", RUNNING, "i1");
    fleet_beat(&far);
    assert_int_equal(1, fleet_count_alerts(ALERT_AGENT_RECOVERED, NULL));
    take_over_from(LED_BY_NOBODY, 3); /* without a pause */
    go_on_with_db(120000, RUNNING, "i2");
    assert_int_equal(1, fleet_count_alerts(ALERT_SERVICE_RECOVERED, NULL));
}

/* It led for a moment between, before it had heard of any container. */
static void what_was_told_before_two_pauses_is_not_told_again(void **state)
{
    (void)state;
    tell_trouble();
    decider_follow(fleet.decider);
    take_over_from(LED_BY_NOBODY, 2);
    decider_follow(fleet.decider);
    go_on_with_db(20000, EXITED, "i1");
    take_over_from(LED_BY_NOBODY, 3);
    go_on_with_db(120000, EXITED, "i1");
    assert_int_equal(1, fleet_count_alerts(ALERT_SERVICE_RESTART_FAILED, "deny_list"));
}

static void what_ended_in_a_pause_is_closed_behind_it(void **state)
{
    (void)state;
    tell_trouble();
    decider_follow(fleet.decider);
    go_on_with_db(20000, RUNNING, "i2");
    struct heartbeat far = fleet_word("h2", "far", RUNNING, "i1");
    fleet_beat(&far);
    assert_int_equal(0, fleet_count_alerts(ALERT_AGENT_RECOVERED, NULL));
    take_over_from(LED_BY_NOBODY, 2);
    assert_int_equal(1, fleet_count_alerts(ALERT_AGENT_RECOVERED, NULL));
    go_on_with_db(30000, RUNNING, "i2");
    assert_int_equal(1, fleet_count_alerts(ALERT_SERVICE_RECOVERED, NULL));
    assert_int_equal(1, fleet_count_alerts(ALERT_SERVICE_RESTART_FAILED, "deny_list"));
}

static void what_was_removed_in_a_pause_is_closed_behind_it(void **state)
{
    (void)state;
    tell_trouble();
    decider_follow(fleet.decider);
    fleet_go_on(20000, "web", RUNNING, "i1", NULL);
    take_over_from(LED_BY_NOBODY, 2);
    fleet_run(30000); /* its host was not heard yet */
    assert_int_equal(0, fleet_count_alerts(ALERT_SERVICE_RECOVERED, NULL));
    fleet_go_on(60000, "web", RUNNING, "i1", NULL);
    assert_int_equal(1, fleet_count_alerts(ALERT_SERVICE_RECOVERED, NULL));
    assert_string_equal("removed", fleet.alerts[fleet.alert_count - 1].reason);
    fleet_go_on(60000, "web", RUNNING, "i1", NULL);
    assert_int_equal(1, fleet_count_alerts(ALERT_SERVICE_RECOVERED, NULL));
}

/* Nobody told of what began while nobody led; and of what began while others led, it is not known whether
 * they told. */
static void what_nobody_told_is_told(void **state)
{
    (void)state;
    for (int pass = 0; pass < 2; pass++) {
        fleet_begin("*", "db");
        if (pass == 1) {
            tell_trouble();
        }
        decider_follow(fleet.decider);
        go_on_with_db(60000, RUNNING, "i0");
        struct heartbeat far = fleet_word("h2", "far", RUNNING, "i1");
        fleet_beat(&far);
        go_on_with_db(60000, EXITED, "i0");
        assert_int_equal(pass, fleet_count_alerts(ALERT_AGENT_LOST, NULL));
        take_over_from(pass == 0 ? LED_BY_NOBODY : LED_BY_OTHERS, 2);
        go_on_with_db(60000, EXITED, "i0");
        assert_int_equal(pass + 1, fleet_count_alerts(ALERT_AGENT_LOST, NULL));
        assert_int_equal(pass + 1, fleet_count_alerts(ALERT_SERVICE_RESTART_FAILED, "deny_list"));
    }
}

/* Three of four fall ill at once, and get well in the pause, or behind it; others led in it, who told theirs.
 */
static void an_open_breaker_stays_open_and_is_closed_once(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "c", "d"};
    for (int pass = 0; pass < 3; pass++) {
        bool is_well_in_pause = pass == 1, have_others_led = pass == 2;
        fleet_begin("*", "");
        struct heartbeat words[4];
        for (int turn = 0; turn < 40; turn++) { /* 400 s */
            bool is_ill = turn >= 6 && turn < (is_well_in_pause ? 12 : 20);
            for (int i = 0; i < 4; i++) {
                words[i] = fleet_word("h1", names[i], RUNNING, "i1");
                words[i].health = is_ill && i > 0 ? HEALTH_UNHEALTHY : HEALTH_HEALTHY;
                words[i].status = is_ill && i > 0 ? BEAT_UNHEALTHY : BEAT_HEALTHY;
            }
            fleet_inventory("h1", words, 4, NULL);
            if (turn == 8) {
                assert_int_equal(2,
                                 fleet_count_alerts(ALERT_BREAKER_OPEN, NULL)); /* the host's, the fleet's */
                decider_follow(fleet.decider);
            } else if (turn == (is_well_in_pause ? 25 : 11)) {
                take_over_from(have_others_led ? LED_BY_OTHERS : LED_BY_NOBODY, 2);
            }
            fleet_run(10000);
        }
        assert_int_equal(have_others_led ? 4 : 2, fleet_count_alerts(ALERT_BREAKER_OPEN, NULL));
        assert_int_equal(have_others_led ? 2 : 0,
                         fleet_count_lines("it was open before this controller led"));
        assert_int_equal(0, fleet_count_lines("0 of 0 containers"));
        assert_int_equal(2, fleet_count_alerts(ALERT_BREAKER_CLOSED, NULL));
    }
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
        cmocka_unit_test_teardown(an_attempt_that_only_the_agent_knows_counts, tear_down),
        cmocka_unit_test_teardown(an_unstored_attempt_behind_one_in_flight_counts, tear_down),
        cmocka_unit_test_teardown(a_command_says_where_its_attempt_is_stored, tear_down),
        cmocka_unit_test_teardown(silence_is_no_reason_to_act_at_once, tear_down),
        cmocka_unit_test_teardown(a_host_lost_with_its_leader_is_told, tear_down),
        cmocka_unit_test_teardown(what_was_told_before_a_pause_is_not_told_again, tear_down),
        cmocka_unit_test_teardown(what_was_told_before_two_pauses_is_not_told_again, tear_down),
        cmocka_unit_test_teardown(what_ended_in_a_pause_is_closed_behind_it, tear_down),
        cmocka_unit_test_teardown(what_was_removed_in_a_pause_is_closed_behind_it, tear_down),
        cmocka_unit_test_teardown(what_nobody_told_is_told, tear_down),
        cmocka_unit_test_teardown(an_open_breaker_stays_open_and_is_closed_once, tear_down),
        cmocka_unit_test_teardown(a_lease_ends_by_itself, tear_down),
        cmocka_unit_test_teardown(an_attempt_that_did_not_leave_is_given_back, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
