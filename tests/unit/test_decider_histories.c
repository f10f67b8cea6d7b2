/* Histories that once went wrong, each with the rule that it broke (policy.md, section 8). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/timestamp.h"
#include "tests/unit/fleet_driver.h"

static int end(void **state)
{
    (void)state;
    fleet_end();
    return 0;
}

static void beat_for_itself(struct container_spec *spec)
{
    spec->is_app_beating = true;
}

static void say_service(const char *service, const char *container, enum beat_status status)
{
    struct heartbeat beat;
    heartbeat_init(&beat);
    snprintf(beat.service, sizeof beat.service, "%s", service);
    snprintf(beat.instance_id, sizeof beat.instance_id, "1");
    snprintf(beat.container, sizeof beat.container, "%s", container);
    beat.status = status;
    beat.timestamp = fleet_wall();
    fleet_beat(&beat);
}

static bool say_unchanged(void)
{
    bool is_known =
        decider_observe_unchanged(fleet.decider, "h1", "agent-of-h1", fleet.change, PATH_RPC, fleet_now());
    fleet_drain();
    return is_known;
}

static void say_status(const char *name, enum beat_status status)
{
    struct heartbeat word = fleet_word("h1", name, CONTAINER_RUNNING, "i1");
    word.status = status;
    fleet_beat(&word);
    fleet_inventory("h1", &word, 1, NULL);
}

/* Section 2: the start deadline is one. */
static void a_start_timeout_stands(void **state)
{
    (void)state;
    fleet_settings("web", "");
    fleet.config.max_per_host = 0; /* it waits at the gates for ever */
    fleet_begin_decider();
    bool has_failed = false;
    for (int i = 0; i < 45; i++) {
        say_status("web", BEAT_STARTING);
        fleet_run(10000);
        has_failed |= strcmp(fleet_look("web").state, "FAILED") == 0;
        assert_string_equal(fleet_look("web").state, has_failed ? "FAILED" : "STARTING");
    }
    assert_true(has_failed);
}

/* The word `starting` between others buys no time beyond that deadline. */
static void turns_of_starting_and_unhealthy_end(void **state)
{
    (void)state;
    fleet_begin("web", "");
    for (int i = 0; i < 90 && fleet.sends == 0; i++) {
        say_status("web", i % 2 ? BEAT_UNHEALTHY : BEAT_STARTING);
        fleet_run(5000);
    }
    assert_int_equal(fleet.sends, 1);
}

/* 25 */
static void a_failure_told_is_closed_though_the_next_command_never_left(void **state)
{
    (void)state;
    fleet_begin("web", "");
    fleet_go_on(70000, "web", CONTAINER_RUNNING, "i1", NULL);
    fleet.ask_code = ANSWER_DOCKER_ERROR;
    struct heartbeat word = fleet_word("h1", "web", CONTAINER_RUNNING, "i1");
    word.health = HEALTH_UNHEALTHY;
    word.status = BEAT_UNHEALTHY;
    fleet_beat(&word);
    fleet_run(3000);
    assert_int_equal(fleet_count_alerts(ALERT_SERVICE_RESTART_FAILED, "restart_failed"), 1);
    fleet.is_store_failing = true;
    fleet_run(8000);
    assert_string_equal(fleet_look("web").state, "RESTARTING");
    fleet_say("web", CONTAINER_RUNNING, "i1");
    assert_string_equal(fleet_look("web").state, "UP");
    assert_int_equal(fleet_look("web").attempts, 1);
    assert_int_equal(fleet_count_alerts(ALERT_SERVICE_RECOVERED, NULL), 1);
    fleet_go_on(60000, "web", CONTAINER_RUNNING, "i1", NULL);
    assert_int_equal(fleet_count_alerts(ALERT_SERVICE_RECOVERED, NULL), 1);
}

/* 25: what was never told is not closed. */
static void an_attempt_given_back_unsent_closes_nothing(void **state)
{
    (void)state;
    fleet_begin("web", "");
    fleet_list("web", CONTAINER_RUNNING, "i1", NULL);
    fleet.is_store_failing = true;
    fleet_die("web", "i1", STOP_CRASH, 1);
    fleet_run(8000);
    assert_string_equal(fleet_look("web").state, "RESTARTING");
    fleet_go_on(30000, "web", CONTAINER_RUNNING, "i1", NULL);
    assert_int_equal(fleet_look("web").attempts, 0);
    assert_int_equal(fleet_count_alerts(ALERT_SERVICE_RECOVERED, NULL), 0);
}

/* 25, 17 */
static void a_failure_told_is_closed_by_the_next_controller(void **state)
{
    (void)state;
    fleet_begin("web", "");
    fleet_list("web", CONTAINER_RUNNING, "i1", NULL);
    fleet.ask_code = ANSWER_DOCKER_ERROR;
    fleet_die("web", "i1", STOP_CRASH, 1);
    for (int i = 0; i < 200 && strcmp(fleet_look("web").state, "COOLDOWN") != 0; i++) {
        fleet_list("web", CONTAINER_EXITED, "i1", NULL);
        fleet_run(1000);
    }
    assert_int_equal(fleet_count_alerts(ALERT_SERVICE_RESTART_FAILED, "max_attempts_exhausted"), 1);
    struct restart_state stored = fleet.stored;
    assert_true(stored.is_recovery_due);
    decider_free(fleet.decider);
    fleet_begin_decider();
    decider_state_loaded(fleet.decider, "web", &stored, fleet_now(), fleet_wall());
    fleet_list("web", CONTAINER_EXITED, "i1", NULL);
    fleet_go_on(60000, "web", CONTAINER_RUNNING, "i2", NULL);
    assert_int_equal(fleet_count_alerts(ALERT_SERVICE_RECOVERED, NULL), 1);
    assert_false(fleet.stored.is_recovery_due);
}

/* 6 */
static void no_budget_comes_back_unheard(void **state)
{
    (void)state;
    fleet_begin("web", "");
    for (int i = 0; i < 12; i++) {
        say_service("web", "", BEAT_HEALTHY);
        fleet_list("web", CONTAINER_RUNNING, "i1", beat_for_itself);
        fleet_run(10000);
    }
    fleet_die("web", "i1", STOP_CRASH, 1);
    fleet_run(9000);
    for (int i = 0; i < 3; i++) {
        fleet_list("web", CONTAINER_RUNNING, "i2", beat_for_itself);
        say_service("web", "", BEAT_HEALTHY);
        fleet_run(10000);
    }
    assert_int_equal(fleet_look("web").attempts, 1);
    decider_redis(fleet.decider, REDIS_AWAY, fleet_now(), fleet_wall());
    for (int i = 0; i < 150; i++) {
        assert_true(say_unchanged());
        fleet_run(5000);
    }
    assert_int_equal(fleet_look("web").attempts, 1);
    decider_redis(fleet.decider, REDIS_BACK, fleet_now(), fleet_wall());
    for (int i = 0; i < 65; i++) {
        assert_int_equal(fleet_look("web").attempts, i < 60 ? 1 : 0);
        fleet_list("web", CONTAINER_RUNNING, "i2", beat_for_itself);
        say_service("web", "", BEAT_HEALTHY);
        fleet_run(10000);
    }
}

/* Section 2: distinct bad beats add up, whatever key their service writes. */
static void a_service_may_beat_under_another_name(void **state)
{
    (void)state;
    fleet_begin("web", "");
    fleet_go_on(100000, "web", CONTAINER_RUNNING, "i1", NULL);
    for (int bad = 1; bad <= 3; bad++) {
        assert_int_equal(fleet.sends, 0);
        say_service("other-name", "web", BEAT_UNHEALTHY);
        for (int i = 0; i < 3; i++) { /* its agent's beats are not the service's */
            fleet_run(2000);
            fleet_say("web", CONTAINER_RUNNING, "i1");
        }
    }
    assert_int_equal(fleet.sends, 1);
    assert_string_equal(fleet.last.reason, "status_unhealthy");
}

/* And once it falls silent, its agent's word counts again. */
static void a_name_given_up_is_forgotten(void **state)
{
    (void)state;
    fleet_begin("web", "");
    fleet_go_on(100000, "web", CONTAINER_RUNNING, "i1", NULL);
    say_service("other-name", "web", BEAT_UNHEALTHY);
    for (int i = 0; i < 12; i++) {
        fleet_run(10000);
        fleet_say("web", CONTAINER_RUNNING, "i1");
    }
    assert_string_equal(fleet_look("web").state, "UP");
    assert_int_equal(fleet.sends, 0);
}

/* 11 */
static void a_death_outlasts_its_lost_agent(void **state)
{
    (void)state;
    fleet_settings("web", "");
    fleet.config.max_per_host = 0;
    fleet_begin_decider();
    fleet_list("web", CONTAINER_RUNNING, "i1", NULL);
    fleet_die("web", "i1", STOP_CRASH, 1);
    fleet_list("web", CONTAINER_EXITED, "i1", NULL);
    fleet_run(70000);
    assert_int_equal(fleet_count_alerts(ALERT_AGENT_LOST, NULL), 1);
    fleet.config.max_per_host = 1;
    for (int i = 0; i < 20; i++) {
        assert_true(say_unchanged());
        fleet_run(1000);
    }
    assert_int_equal(fleet.sends, 1);
}

/* 18, 22 */
static void a_cooldown_read_again_by_another_clock_is_the_same_one(void **state)
{
    (void)state;
    fleet_begin("web", "");
    fleet_list("web", CONTAINER_RUNNING, "i1", NULL);
    fleet.ask_code = ANSWER_DOCKER_ERROR;
    fleet_die("web", "i1", STOP_CRASH, 1);
    for (int i = 0; i < 200 && strcmp(fleet_look("web").state, "COOLDOWN") != 0; i++) {
        fleet_list("web", CONTAINER_EXITED, "i1", NULL);
        fleet_run(1000);
    }
    int sends = fleet.sends;
    struct restart_state stored = fleet.stored;
    fleet_go_on(300000, "web", CONTAINER_EXITED, "i1", NULL);
    struct wall day_ago = {fleet_wall().ms - 86400000};
    decider_redis(fleet.decider, REDIS_AWAY, fleet_now(), day_ago);
    decider_redis(fleet.decider, REDIS_BACK, fleet_now(), day_ago);
    decider_state_loaded(fleet.decider, "web", &stored, fleet_now(), day_ago);
    fleet_drain();
    fleet_go_on(350000, "web", CONTAINER_EXITED, "i1", NULL);
    assert_true(fleet.sends > sends);
}

/* 3, 6: the link held our last command back, and gave it up only when nobody waited for it any more. */
static void a_late_command_is_no_operator(void **state)
{
    (void)state;
    fleet_begin("web", "");
    fleet_list("web", CONTAINER_RUNNING, "i1", NULL);
    fleet_die("web", "i1", STOP_CRASH, 1);
    fleet.ask_code = ANSWER_ACCEPTED; /* for ever: the outcome is never told */
    for (int i = 0; i < 600 && strcmp(fleet_look("web").state, "COOLDOWN") != 0; i++) {
        fleet_list("web", CONTAINER_EXITED, "i1", NULL);
        fleet_run(1000);
    }
    assert_string_equal(fleet_look("web").state, "COOLDOWN");
    fleet_say("web", CONTAINER_RUNNING, "i2");
    assert_int_equal(fleet_look("web").attempts, 3);
    fleet_die("web", "i2", STOP_CRASH, 1);
    fleet_run(10000);
    assert_string_equal(fleet_look("web").state, "COOLDOWN");
    fleet_say("web", CONTAINER_RUNNING, "i3"); /* one command, one start: this is somebody's hand */
    assert_int_equal(fleet_look("web").attempts, 0);
}

/* 4: the backoff counts from when the late one acted, not from when it was given up. */
static void a_late_command_completes_its_attempt(void **state)
{
    (void)state;
    fleet_settings("web", "");
    fleet.config.backoff_ms[0] = 15000;
    fleet_begin_decider();
    fleet_list("web", CONTAINER_RUNNING, "i1", NULL);
    fleet_die("web", "i1", STOP_CRASH, 1);
    fleet.ask_code = ANSWER_ACCEPTED;
    for (int i = 0; i < 100 && strcmp(fleet_look("web").gate, "backoff") != 0; i++) {
        fleet_list("web", CONTAINER_EXITED, "i1", NULL);
        fleet_run(1000);
    }
    assert_string_equal(fleet_look("web").gate, "backoff");
    assert_int_equal(fleet.sends, 1);
    fleet_run(3000);
    fleet_say("web", CONTAINER_RUNNING, "i2");
    int64_t acted_ms = fleet.ms;
    fleet_run(500);
    fleet_die("web", "i2", STOP_CRASH, 1);
    for (int i = 0; i < 600 && fleet.sends == 1; i++) {
        fleet_run(100);
    }
    assert_int_equal(fleet.sends, 2);
    assert_in_range(fleet.ms - acted_ms, 15000, 18100);
}

/* What its agent says of the container "web", which is called otherwise now. */
static struct heartbeat word_renamed(const char *name, enum container_state state, const char *incarnation)
{
    struct heartbeat word = fleet_word("h1", name, state, incarnation);
    snprintf(word.container_id, sizeof word.container_id, "id-of-web");
    word.stop_class = state == CONTAINER_RUNNING ? STOP_NONE : STOP_CRASH;
    return word;
}

/* 3, 6, 8, 13: no new container, no fresh budget, no second command; what was told is closed. */
static void a_renamed_container_is_the_same(void **state)
{
    (void)state;
    for (int is_beat = 0; is_beat < 2; is_beat++) {
        fleet_begin("web*", "");
        fleet_list("web", CONTAINER_RUNNING, "i1", NULL);
        fleet.ask_code = ANSWER_DOCKER_ERROR;
        fleet_die("web", "i1", STOP_CRASH, 1);
        for (int i = 0; i < 30 && fleet.sends < 1; i++) {
            fleet_run(1000);
        }
        fleet_run(2000);
        assert_int_equal(1, fleet_count_alerts(ALERT_SERVICE_RESTART_FAILED, "restart_failed"));
        fleet.is_silent = true;
        for (int i = 0; i < 30 && fleet.sends < 2; i++) {
            fleet_run(1000);
        }
        struct heartbeat late = word_renamed("web", CONTAINER_EXITED, "i1");
        struct heartbeat word = word_renamed("web-2", CONTAINER_EXITED, "i1");
        int forgets = fleet.forgets;
        if (is_beat) {
            fleet_beat(&word);
        } else {
            fleet_inventory("h1", &word, 1, NULL);
        }
        assert_int_equal(1, fleet_count_lines("Container web is called web-2 now"));
        assert_int_equal(1, fleet_count_alerts(ALERT_SERVICE_RECOVERED, NULL));
        assert_int_equal(forgets + 1, fleet.forgets);
        fleet_beat(&late);
        assert_string_equal("gone", fleet_look("web").state);
        assert_string_equal("RESTARTING", fleet_look("web-2").state);
        assert_int_equal(2, fleet_look("web-2").attempts);
        assert_int_equal(2, fleet.stored.attempt_count);
        fleet_run(30000);
        assert_int_equal(2, fleet.sends);
        fleet.is_silent = false;
        fleet.ask_code = ANSWER_OK;
        fleet_run(10000);
        word = word_renamed("web-2", CONTAINER_RUNNING, "i2");
        fleet_beat(&word);
        assert_string_equal("UP", fleet_look("web-2").state);
        assert_int_equal(2, fleet_look("web-2").attempts);
    }
}

/* Renamed while its attempt is being stored: it is stored again, and the command names what it is called now.
 */
static void a_command_not_sent_names_the_new_name(void **state)
{
    (void)state;
    fleet_begin("web*", "");
    fleet_list("web", CONTAINER_RUNNING, "i1", NULL);
    fleet.is_store_failing = true;
    fleet_die("web", "i1", STOP_CRASH, 1);
    fleet_run(10000);
    assert_string_equal("RESTARTING", fleet_look("web").state);
    fleet.is_store_failing = false;
    struct heartbeat word = word_renamed("web-2", CONTAINER_EXITED, "i1");
    fleet_beat(&word);
    fleet_run(3000);
    assert_int_equal(1, fleet.sends);
    assert_string_equal("web-2", fleet.last.container);
    assert_true(fleet.was_stored_before_send);
}

/* Renamed while nobody watched: its state, which lies under its old name, is found by its id. */
static void a_state_of_its_old_name_is_its_own(void **state)
{
    (void)state;
    fleet_begin("web*", "");
    struct heartbeat word = word_renamed("web-2", CONTAINER_RUNNING, "i1");
    fleet_inventory("h1", &word, 1, NULL);
    struct restart_state stored;
    restart_state_init(&stored);
    stored.attempt_count = 2;
    snprintf(stored.host, sizeof stored.host, "h1");
    snprintf(stored.container_id, sizeof stored.container_id, "id-of-web");
    decider_state_loaded(fleet.decider, "web", &stored, fleet_now(), fleet_wall());
    fleet_drain();
    assert_int_equal(2, fleet_look("web-2").attempts);
    assert_int_equal(1, fleet.stores);
    assert_int_equal(1, fleet.forgets);
}

/* 4: the controller died between the outcome, which rides in a beat, and writing it down. */
static void an_outcome_heard_before_the_state_begins_the_backoff(void **state)
{
    (void)state;
    fleet_begin("web", "");
    fleet_run(100000);
    struct heartbeat word = fleet_word("h1", "web", CONTAINER_EXITED, "i2");
    word.stop_class = STOP_CRASH;
    snprintf(word.last_command, sizeof word.last_command, "00112233445566778899aabbccddeeff");
    word.last_command_code = ANSWER_OK;
    fleet_inventory("h1", &word, 1, NULL);
    struct restart_state stored;
    restart_state_init(&stored);
    stored.attempt_count = 2;
    stored.is_in_flight = true;
    stored.last_attempt_at = fleet_wall();
    stored.last_completed_at = (struct wall){fleet_wall().ms - 14000}; /* of the first one */
    snprintf(stored.command_id, sizeof stored.command_id, "%s", word.last_command);
    snprintf(stored.container_id, sizeof stored.container_id, "id-of-web");
    decider_state_loaded(fleet.decider, "web", &stored, fleet_now(), fleet_wall());
    fleet_drain();
    int64_t loaded_ms = fleet.ms;
    for (int i = 0; i < 60 && fleet.sends == 0; i++) {
        fleet_list("web", CONTAINER_EXITED, "i2", NULL);
        fleet_run(1000);
    }
    assert_int_equal(1, fleet.sends);
    assert_int_equal(3, fleet.last.attempt);
    assert_true(fleet.ms - loaded_ms >= 15000);
}

/* 3: two copies were merged: the cooldown of the older one is over, and the newer one counts an attempt
 * since. */
static void an_attempt_after_a_cooldown_counts(void **state)
{
    (void)state;
    for (int64_t attempt_ms = -600000; attempt_ms <= 0; attempt_ms += 600000) {
        fleet_begin("web", "");
        fleet_run(100000);
        fleet_list("web", CONTAINER_RUNNING, "i1", NULL);
        struct restart_state stored;
        restart_state_init(&stored);
        stored.attempt_count = 1;
        stored.cooldown_until = (struct wall){fleet_wall().ms - 5000};
        stored.last_attempt_at = (struct wall){stored.cooldown_until.ms + attempt_ms};
        snprintf(stored.container_id, sizeof stored.container_id, "id-of-web");
        decider_state_loaded(fleet.decider, "web", &stored, fleet_now(), fleet_wall());
        fleet_drain();
        assert_int_equal(attempt_ms == 0 ? 1 : 0, fleet_look("web").attempts);
    }
}

static void always(struct container_spec *spec)
{
    spec->docker_policy = DOCKER_POLICY_ALWAYS;
}

/* 3, 6: what dockerd starts when it comes up was started by nobody's hand. */
static void a_start_at_boot_is_no_operator(void **state)
{
    (void)state;
    fleet_begin("web", "");
    fleet_list("web", CONTAINER_RUNNING, "i1", always);
    fleet.ask_code = ANSWER_DOCKER_ERROR;
    fleet_die("web", "i1", STOP_KILLED, 137);
    for (int i = 0; i < 200 && strcmp(fleet_look("web").state, "COOLDOWN") != 0; i++) {
        fleet_list("web", CONTAINER_EXITED, "i1", always);
        fleet_run(1000);
    }
    assert_int_equal(fleet_look("web").attempts, 3);
    fleet_run(60000); /* the host is off */
    assert_int_equal(fleet_count_alerts(ALERT_AGENT_LOST, NULL), 1);
    fleet_say("web", CONTAINER_RUNNING, "i2");
    assert_int_equal(fleet_look("web").attempts, 3);
    fleet_list("web", CONTAINER_RUNNING, "i2", always);
    fleet_die("web", "i2", STOP_KILLED, 137);
    fleet_run(10000);
    fleet_say("web", CONTAINER_RUNNING, "i3"); /* seen from beginning to end: somebody's hand */
    assert_int_equal(fleet_look("web").attempts, 0);
}

/* 14, "a 120 s boot is never killed": what the last incarnation said is no word of the new one. */
static void a_silent_boot_is_not_up_by_an_old_beat(void **state)
{
    (void)state;
    fleet_settings("web", "");
    fleet.config.start_grace_ms = 180000;
    fleet_begin_decider();
    for (int i = 0; i < 30; i++) {
        say_service("web", "", BEAT_HEALTHY);
        fleet_list("web", CONTAINER_RUNNING, "i1", beat_for_itself);
        fleet_run(10000);
    }
    fleet_die("web", "i1", STOP_CRASH, 1);
    for (int i = 0; i < 10 && fleet.sends == 0; i++) {
        fleet_run(1000);
    }
    assert_int_equal(fleet.sends, 1);
    fleet_run(1000);
    for (int i = 0; i < 15; i++) {
        fleet_list("web", CONTAINER_RUNNING, "i2", beat_for_itself);
        assert_string_equal(fleet_look("web").state, "STARTING");
        fleet_run(10000);
    }
    for (int i = 0; i < 5; i++) {
        say_service("web", "", BEAT_HEALTHY);
        fleet_list("web", CONTAINER_RUNNING, "i2", beat_for_itself);
        fleet_run(10000);
    }
    assert_string_equal(fleet_look("web").state, "UP");
    assert_int_equal(fleet.sends, 1);
}

/* The same where the old beat was held back on its way, be it of the very second of the start; but no clock
 * that was set back silences a service. */
static void a_beat_held_back_is_of_the_last_life(void **state)
{
    (void)state;
    static const int64_t gaps_ms[] = {5000, 300};
    for (size_t i = 0; i < sizeof gaps_ms / sizeof gaps_ms[0]; i++) {
        char old[LIMIT_TIME_SIZE], new[LIMIT_TIME_SIZE];
        fleet_begin("web", "");
        timestamp_format_ms(fleet_wall(), old);
        fleet_list("web", CONTAINER_RUNNING, old, beat_for_itself);
        fleet_run(10000);
        struct heartbeat beat;
        heartbeat_init(&beat);
        snprintf(beat.service, sizeof beat.service, "web");
        snprintf(beat.instance_id, sizeof beat.instance_id, "1");
        beat.status = BEAT_HEALTHY;
        beat.timestamp = fleet_wall();
        fleet_run(gaps_ms[i]);
        timestamp_format_ms(fleet_wall(), new);
        fleet_list("web", CONTAINER_RUNNING, new, beat_for_itself);
        fleet_beat(&beat);
        assert_string_equal(fleet_look("web").state, "STARTING");
        fleet_go_on(36000, "web", CONTAINER_RUNNING, new, beat_for_itself);
        beat.timestamp.ms -= 86400000;
        fleet_beat(&beat);
        assert_string_equal(fleet_look("web").state, "UP");
    }
}

/* And where the container was made anew meanwhile: its key lives on for a while, and longer in a stale
 * replica. */
static void a_beat_of_the_container_before_is_of_the_last_life(void **state)
{
    (void)state;
    char old[LIMIT_TIME_SIZE], new[LIMIT_TIME_SIZE];
    fleet_begin("web", "");
    timestamp_format(fleet_wall(), old);
    fleet_list("web", CONTAINER_RUNNING, old, beat_for_itself);
    struct heartbeat beat;
    heartbeat_init(&beat);
    snprintf(beat.service, sizeof beat.service, "web");
    snprintf(beat.instance_id, sizeof beat.instance_id, "1");
    beat.status = BEAT_HEALTHY;
    for (int i = 0; i < 3; i++) {
        fleet_run(10000);
        beat.timestamp = fleet_wall();
        fleet_beat(&beat);
    }
    assert_string_equal(fleet_look("web").state, "UP");
    fleet_run(3000);
    timestamp_format(fleet_wall(), new);
    struct heartbeat word = fleet_word("h1", "web", CONTAINER_RUNNING, new);
    snprintf(word.container_id, sizeof word.container_id, "id-of-another-web");
    fleet_inventory("h1", &word, 1, beat_for_itself);
    decider_redis(fleet.decider, REDIS_BACK_AMNESIC, fleet_now(), fleet_wall());
    fleet_run(20000);
    fleet_inventory("h1", &word, 1, beat_for_itself);
    beat.timestamp.ms -= 10000;
    fleet_beat(&beat);
    assert_string_equal(fleet_look("web").state, "STARTING");
    beat.timestamp = fleet_wall();
    fleet_beat(&beat);
    assert_string_equal(fleet_look("web").state, "UP");
}

/* A controller that starts may read the key before its agent tells of the container: the same. */
static void a_beat_read_before_its_container_was_known_may_be_old(void **state)
{
    (void)state;
    static const int64_t ages_ms[] = {50000, 10000, 19700};
    for (size_t i = 0; i < sizeof ages_ms / sizeof ages_ms[0]; i++) {
        fleet_begin("web", "");
        fleet_run(100000);
        struct heartbeat beat;
        heartbeat_init(&beat);
        snprintf(beat.service, sizeof beat.service, "web");
        snprintf(beat.instance_id, sizeof beat.instance_id, "1");
        beat.status = BEAT_HEALTHY;
        beat.timestamp.ms = fleet_wall().ms - 20000;
        fleet_beat(&beat);
        struct heartbeat word = fleet_word("h1", "web", CONTAINER_RUNNING, "i1");
        word.started_at.ms = fleet_wall().ms - ages_ms[i];
        fleet_inventory("h1", &word, 1, beat_for_itself);
        assert_string_equal(fleet_look("web").state, ages_ms[i] < 20000 ? "STARTING" : "UP");
    }
}

static void live_in_vpn(struct container_spec *spec)
{
    snprintf(spec->network_parent, sizeof spec->network_parent, "id-of-vpn");
}

/* 17, 18: a host's clock was set back between two starts. A controller that saw neither cannot tell their
 * order by them: the later one bears a time that is still to come. */
static void a_start_that_is_still_to_come_orders_nothing(void **state)
{
    (void)state;
    for (int is_ahead = 0; is_ahead < 2; is_ahead++) {
        fleet_begin("web", "");
        struct heartbeat words[] = {fleet_word("h1", "vpn", CONTAINER_RUNNING, ""),
                                    fleet_word("h1", "web", CONTAINER_RUNNING, "")};
        words[0].started_at.ms = fleet_wall().ms + (is_ahead ? 11 * 3600 * 1000 : -60000);
        words[1].started_at.ms = fleet_wall().ms - 120000;
        for (int passed = 0; passed < 120000; passed += 10000) {
            for (size_t i = 0; i < 2; i++) {
                timestamp_format_ms(words[i].started_at, words[i].incarnation);
                words[i].timestamp = fleet_wall();
            }
            fleet_inventory("h1", words, 2, live_in_vpn);
            fleet_run(10000);
        }
        assert_int_equal(is_ahead ? 0 : 1, fleet.sends);
    }
}

/* 25, 13: removal is no failure, and closes what was told. */
static void removal_closes_what_was_told(void **state)
{
    (void)state;
    fleet_begin("", "web");
    fleet_list("web", CONTAINER_RUNNING, "i1", NULL);
    fleet_die("web", "i1", STOP_CRASH, 1);
    fleet_list("web", CONTAINER_EXITED, "i1", NULL);
    fleet_run(15000);
    assert_int_equal(fleet_count_alerts(ALERT_SERVICE_RESTART_FAILED, "deny_list"), 1);
    struct heartbeat word = fleet_word("h1", "web", CONTAINER_REMOVING, "i1");
    fleet_beat(&word);
    assert_string_equal(fleet_look("web").state, "gone");
    assert_int_equal(fleet_count_alerts(ALERT_SERVICE_RECOVERED, NULL), 1);
    assert_string_equal(fleet.alerts[fleet.alert_count - 1].reason, "removed");
    fleet_list("web", CONTAINER_RUNNING, "i2", NULL);
    word = fleet_word("h1", "web", CONTAINER_REMOVING, "i2");
    fleet_beat(&word);
    assert_int_equal(fleet_count_alerts(ALERT_SERVICE_RECOVERED, NULL), 1);
}

static void leave_to_the_app(struct container_spec *spec)
{
    spec->beat_mode = BEAT_MODE_APP;
}

/* Section 2: its grace is whole, though its agent's word came before the word that it does not count. */
static void a_service_that_is_to_beat_has_its_grace(void **state)
{
    (void)state;
    fleet_begin("web", "");
    fleet_list("old", CONTAINER_RUNNING, "i1", NULL);
    fleet_run(70000);
    fleet_say("web", CONTAINER_RUNNING, "i1");
    assert_string_equal(fleet_look("web").state, "UP");
    for (int i = 0; i < 5; i++) {
        fleet_list("web", CONTAINER_RUNNING, "i1", leave_to_the_app);
        assert_string_equal(fleet_look("web").state, "STARTING");
        fleet_run(10000);
    }
    for (int i = 0; i < 30; i++) {
        say_service("web", "", BEAT_HEALTHY);
        fleet_list("web", CONTAINER_RUNNING, "i1", leave_to_the_app);
        fleet_run(10000);
    }
    assert_string_equal(fleet_look("web").state, "UP");
    assert_int_equal(fleet.sends, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_start_timeout_stands, end),
        cmocka_unit_test_teardown(turns_of_starting_and_unhealthy_end, end),
        cmocka_unit_test_teardown(a_failure_told_is_closed_though_the_next_command_never_left, end),
        cmocka_unit_test_teardown(an_attempt_given_back_unsent_closes_nothing, end),
        cmocka_unit_test_teardown(a_failure_told_is_closed_by_the_next_controller, end),
        cmocka_unit_test_teardown(no_budget_comes_back_unheard, end),
        cmocka_unit_test_teardown(a_service_may_beat_under_another_name, end),
        cmocka_unit_test_teardown(a_name_given_up_is_forgotten, end),
        cmocka_unit_test_teardown(a_death_outlasts_its_lost_agent, end),
        cmocka_unit_test_teardown(a_cooldown_read_again_by_another_clock_is_the_same_one, end),
        cmocka_unit_test_teardown(a_late_command_is_no_operator, end),
        cmocka_unit_test_teardown(a_late_command_completes_its_attempt, end),
        cmocka_unit_test_teardown(a_renamed_container_is_the_same, end),
        cmocka_unit_test_teardown(a_command_not_sent_names_the_new_name, end),
        cmocka_unit_test_teardown(a_state_of_its_old_name_is_its_own, end),
        cmocka_unit_test_teardown(an_outcome_heard_before_the_state_begins_the_backoff, end),
        cmocka_unit_test_teardown(an_attempt_after_a_cooldown_counts, end),
        cmocka_unit_test_teardown(a_start_at_boot_is_no_operator, end),
        cmocka_unit_test_teardown(a_silent_boot_is_not_up_by_an_old_beat, end),
        cmocka_unit_test_teardown(a_beat_held_back_is_of_the_last_life, end),
        cmocka_unit_test_teardown(a_start_that_is_still_to_come_orders_nothing, end),
        cmocka_unit_test_teardown(a_beat_read_before_its_container_was_known_may_be_old, end),
        cmocka_unit_test_teardown(a_beat_of_the_container_before_is_of_the_last_life, end),
        cmocka_unit_test_teardown(removal_closes_what_was_told, end),
        cmocka_unit_test_teardown(a_service_that_is_to_beat_has_its_grace, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
