#include "tests/unit/fleet_driver.h"

#include <setjmp.h>
#include <stddef.h>

#include <cmocka.h>

#include "controller/core/decider_hold.h"
#include "controller/core/decider_view.h"

#define RUNNING CONTAINER_RUNNING
#define EXITED  CONTAINER_EXITED

static int end(void **state)
{
    (void)state;
    fleet_end();
    return 0;
}

/* The lines are there, in this order. */
static void assert_lines(const char *const *wanted)
{
    size_t at = 0;
    for (; *wanted != NULL; wanted++) {
        while (at < fleet.line_count && strcmp(fleet.lines[at], *wanted) != 0) {
            at++;
        }
        if (at++ >= fleet.line_count) {
            fail_msg("not said, or not in this place: %s", *wanted);
        }
    }
}

static void assert_state(const char *name, const char *state, const char *reason)
{
    struct decider_view view = fleet_look(name);
    assert_string_equal(view.state, state);
    if (reason != NULL) {
        assert_string_equal(view.reason, reason);
    }
}

static void app(struct container_spec *spec)
{
    spec->is_app_beating = true;
}

static void allow_label(struct container_spec *spec)
{
    spec->restart = RESTART_LABEL_ALLOW;
}

static void deny_label(struct container_spec *spec)
{
    spec->restart = RESTART_LABEL_DENY;
}

static void own(struct container_spec *spec)
{
    spec->is_own = true;
}

static void redis_in_use(struct container_spec *spec)
{
    spec->is_redis_in_use = true;
}

static void always(struct container_spec *spec)
{
    spec->docker_policy = DOCKER_POLICY_ALWAYS;
}

/* ---- the runbook ---- */

static void test_1_kill(void **state)
{
    (void)state;
    static const char *const LINES[] = {
        "Service web missing heartbeat (1 consecutive misses)",
        "Service web missing heartbeat (2 consecutive misses)",
        "Service web missing heartbeat (3 consecutive misses)",
        "Attempting restart of web (attempt 1/3)",
        "Successfully restarted web",
        NULL,
    };
    fleet_begin("web", "");
    fleet_go_on(100000, "web", RUNNING, "i1", NULL);
    fleet_die("web", "i1", STOP_KILLED, 137);
    fleet_run(9000);
    assert_lines(LINES);
    assert_int_equal(1, fleet.sends);
    assert_true(fleet.was_stored_before_send);
    assert_int_equal(OP_START, fleet.last.op);
    assert_string_equal("id-of-web", fleet.last.container_id);
    assert_string_equal("i1", fleet.last.expect_started_at);
    assert_string_equal("missing_heartbeat", fleet.stored.last_failure_reason);
    fleet_go_on(20000, "web", RUNNING, "i2", NULL);
    assert_state("web", "UP", "healthy");
    assert_int_equal(1, fleet_count_alerts(ALERT_SERVICE_RESTARTED, NULL));
    assert_int_equal(1, fleet_count_alerts(ALERT_SERVICE_RECOVERED, NULL));
    assert_int_equal(1, fleet_look("web").attempts);
    fleet_go_on(700000, "web", RUNNING, "i2", NULL);
    assert_int_equal(0, fleet_look("web").attempts);
    assert_int_equal(1, fleet.forgets);
}

static void test_1_at_once(void **state)
{
    (void)state;
    fleet_settings("web", "");
    fleet.config.fast_check_ms = 0;
    fleet_begin_decider();
    fleet_list("web", RUNNING, "i1", NULL);
    fleet_die("web", "i1", STOP_CRASH, 1);
    assert_int_equal(3, fleet_count_lines("missing heartbeat"));
    assert_int_equal(1, fleet.sends);
}

/* It crashes right after every start. Returns the times of the attempts. */
static size_t crash_on(int64_t ms, int64_t *at, size_t room)
{
    size_t count = 0;
    int seen = fleet.sends;
    char incarnation[16];
    snprintf(incarnation, sizeof incarnation, "i%d", fleet.sends);
    for (int64_t passed = 0; passed < ms; passed += 500) {
        fleet_run(500);
        if (fleet.sends > seen && count < room) {
            seen = fleet.sends;
            at[count++] = fleet.ms;
            fleet_run(300);
            snprintf(incarnation, sizeof incarnation, "i%d", seen);
            fleet_die("web", incarnation, STOP_CRASH, 1);
        } else if (passed % 10000 == 0) {
            struct heartbeat word = fleet_word("h1", "web", EXITED, incarnation);
            word.stop_class = STOP_CRASH;
            word.exit_code = 1;
            fleet_inventory("h1", &word, 1, NULL);
        }
    }
    return count;
}

static void test_2_repeated_failures(void **state)
{
    (void)state;
    int64_t at[16];
    fleet_begin("web", "");
    fleet_list("web", RUNNING, "i0", NULL);
    fleet_die("web", "i0", STOP_CRASH, 1);
    size_t count = crash_on(500000, at, 16);
    assert_int_equal(3, count);
    assert_true(at[1] - at[0] >= 5000 && at[2] - at[1] >= 15000);
    static const char *const LINES[] = {
        "Attempting restart of web (attempt 1/3)",
        "Attempting restart of web (attempt 2/3)",
        "Attempting restart of web (attempt 3/3)",
        "Service web exhausted restart attempts (3/3)",
        NULL,
    };
    assert_lines(LINES);
    assert_int_equal(1, fleet_count_alerts(ALERT_SERVICE_RESTART_FAILED, "max_attempts_exhausted"));
    assert_state("web", "COOLDOWN", "max_attempts_exhausted");
    assert_true(fleet.stored.cooldown_until.ms > fleet_wall().ms);
    count = crash_on(500000, at, 16);
    assert_int_equal(3, count); /* the next budget */
    assert_true(at[0] > 600000);
}

static void test_2_reset_by_the_operator(void **state)
{
    (void)state;
    int64_t at[16];
    fleet_begin("web", "");
    fleet_list("web", RUNNING, "i0", NULL);
    fleet_die("web", "i0", STOP_CRASH, 1);
    crash_on(150000, at, 16);
    assert_state("web", "COOLDOWN", NULL);
    decider_state_reset(fleet.decider, "web", fleet_now(), fleet_wall());
    fleet_drain();
    assert_int_equal(4, fleet.sends);
    assert_int_equal(1, fleet_look("web").attempts);
}

static void test_3_deny_list(void **state)
{
    (void)state;
    static const char *const LINES[] = {
        "Service redis missing heartbeat (3 consecutive misses)",
        "Service redis is unhealthy but in deny list - alerting only",
        NULL,
    };
    fleet_begin("*", "redis");
    fleet_list("redis", RUNNING, "i1", NULL);
    fleet_die("redis", "i1", STOP_KILLED, 137);
    fleet_go_on(3600000, "redis", EXITED, "i1", NULL);
    assert_lines(LINES);
    assert_int_equal(0, fleet.sends);
    int alerts = fleet_count_alerts(ALERT_SERVICE_RESTART_FAILED, "deny_list");
    assert_true(alerts >= 1 && alerts <= 7); /* once, then every ALERT_REPEAT_SECS */
    assert_int_equal(0, fleet_look("redis").attempts);
}

/* ---- who may be touched ---- */

static void lists_and_labels(void **state)
{
    (void)state;
    static const struct {
        const char *allow, *deny;
        void (*label)(struct container_spec *spec);
        bool is_restarted;
        const char *action;
    } CASES[] = {
        {"web", "", NULL, true, NULL},
        {"w*", "", NULL, true, NULL},
        {"", "", NULL, false, "not_in_allowlist"},
        {"api", "", NULL, false, "not_in_allowlist"},
        {"", "", allow_label, true, NULL},
        {"web", "web", NULL, false, "deny_list"},
        {"", "web", allow_label, false, "deny_list"},
        {"web", "", deny_label, false, "deny_list"},
        {"*", "", own, false, "deny_list"},
        {"*", "", redis_in_use, false, "deny_list"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        fleet_begin(CASES[i].allow, CASES[i].deny);
        fleet_list("web", RUNNING, "i1", CASES[i].label);
        fleet_die("web", "i1", STOP_CRASH, 1);
        fleet_run(20000);
        assert_int_equal(CASES[i].is_restarted, fleet.sends);
        assert_int_equal(!CASES[i].is_restarted,
                         fleet_count_alerts(ALERT_SERVICE_RESTART_FAILED, CASES[i].action));
    }
}

static void disabled_both_ways(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++) {
        fleet_settings("web", "");
        fleet.config.is_enabled = way == 0 ? false : true;
        fleet.config.max_attempts = way == 0 ? 3 : 0;
        fleet_begin_decider();
        fleet_list("web", RUNNING, "i1", NULL);
        fleet_die("web", "i1", STOP_CRASH, 1);
        fleet_go_on(1300000, "web", EXITED, "i1", NULL);
        assert_int_equal(0, fleet.sends);
        assert_true(fleet_count_alerts(ALERT_SERVICE_RESTART_FAILED, NULL) >= 1);
    }
}

static void an_operators_stop_is_respected(void **state)
{
    (void)state;
    static const struct {
        enum stop_class class;
        int exit_code;
        int sends, held;
    } CASES[] = {
        {STOP_OPERATOR, 143, 0, 0},    {STOP_COMPLETED, 0, 0, 0}, {STOP_UNSEEN, 143, 0, 1},
        {STOP_KILLED, 137, 1, 0},      {STOP_OOM, 137, 1, 0},     {STOP_CRASH, 0, 1, 0},
        {STOP_START_ERROR, 127, 1, 0},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        fleet_begin("web", "");
        fleet_list("web", RUNNING, "i1", NULL);
        fleet_die("web", "i1", STOP_SETTLING, CASES[i].exit_code);
        fleet_run(60000);
        assert_int_equal(0, fleet.sends); /* not while it may still be an operator's */
        fleet_die("web", "i1", CASES[i].class, CASES[i].exit_code);
        fleet_run(9000);
        assert_int_equal(CASES[i].sends, fleet.sends);
        assert_int_equal(CASES[i].held, fleet_count_alerts(ALERT_SERVICE_HELD, NULL));
        if (CASES[i].sends == 0) {
            assert_state("web", "HELD", NULL);
            fleet_list("web", RUNNING, "i2", NULL); /* the operator starts it */
            assert_state("web", "UP", NULL);
        }
    }
}

static void start_error_gets_one_attempt(void **state)
{
    (void)state;
    fleet_begin("web", "");
    fleet_list("web", RUNNING, "i1", NULL);
    fleet.ask_code = ANSWER_DOCKER_ERROR;
    struct heartbeat word = fleet_word("h1", "web", EXITED, "i1");
    word.stop_class = STOP_START_ERROR;
    word.exit_code = 127;
    fleet_beat(&word);
    for (int i = 0; i < 30; i++) {
        fleet_inventory("h1", &word, 1, NULL);
        fleet_run(10000);
    }
    assert_int_equal(1, fleet.sends);
    assert_int_equal(1, fleet_count_lines("Failed to restart web"));
    assert_state("web", "COOLDOWN", NULL);
}

static void docker_goes_first(void **state)
{
    (void)state;
    fleet_begin("web", "");
    fleet_list("web", RUNNING, "i1", always);
    struct heartbeat word = fleet_word("h1", "web", EXITED, "i1");
    word.stop_class = STOP_CRASH;
    fleet_beat(&word);
    for (int i = 0; i < 12; i++) {
        fleet_inventory("h1", &word, 1, always);
        assert_int_equal(i * 10000 >= fleet.config.docker_policy_grace_ms, fleet.sends);
        fleet_run(10000);
    }
    assert_int_equal(1, fleet.sends);
}

/* As Docker's own policy does it: RestartCount rises when it dies, not when it is started. */
static void docker_restarts(int count, const char *before, const char *after)
{
    struct heartbeat word = fleet_word("h1", "web", CONTAINER_RESTARTING, before);
    word.stop_class = STOP_CRASH;
    word.exit_code = 1;
    word.is_docker_restarting = true;
    word.restart_count = count;
    fleet_beat(&word);
    fleet_run(500);
    word = fleet_word("h1", "web", RUNNING, after);
    word.restart_count = count;
    fleet_beat(&word);
    fleet_run(500);
}

static void dockers_crash_loop_is_told_and_closed(void **state)
{
    (void)state;
    fleet_begin("web", "");
    fleet_list("web", RUNNING, "i0", always);
    fleet_go_on(70000, "web", RUNNING, "i0", NULL);
    docker_restarts(1, "i0", "i1");
    docker_restarts(2, "i1", "i2");
    assert_int_equal(0, fleet_count_alerts(ALERT_CRASH_LOOP, NULL));
    docker_restarts(3, "i2", "i3");
    assert_int_equal(1, fleet_count_alerts(ALERT_CRASH_LOOP, NULL));
    docker_restarts(4, "i3", "i4");
    assert_int_equal(1, fleet_count_alerts(ALERT_CRASH_LOOP, NULL)); /* told once */
    struct heartbeat word = fleet_word("h1", "web", RUNNING, "i4");
    word.restart_count = 4;
    for (int i = 0; i < 29; i++) {
        fleet_inventory("h1", &word, 1, always);
        fleet_run(10000);
    }
    assert_int_equal(0, fleet_count_alerts(ALERT_SERVICE_RECOVERED, NULL)); /* it may go on */
    fleet_inventory("h1", &word, 1, always);
    fleet_run(30000);
    assert_int_equal(1, fleet_count_alerts(ALERT_SERVICE_RECOVERED, NULL)); /* quiet for five minutes */
    fleet_inventory("h1", &word, 1, always);
    fleet_run(30000);
    assert_int_equal(1, fleet_count_alerts(ALERT_SERVICE_RECOVERED, NULL));
    docker_restarts(5, "i4", "i5");
    docker_restarts(6, "i5", "i6");
    docker_restarts(7, "i6", "i7");
    assert_int_equal(2, fleet_count_alerts(ALERT_CRASH_LOOP, NULL)); /* another one */
    fleet_inventory("h1", NULL, 0, NULL);
    fleet_inventory("h1", NULL, 0, NULL);
    assert_int_equal(2, fleet_count_alerts(ALERT_SERVICE_RECOVERED, NULL));
}

/* In a cooldown only somebody's hand gives the budget back. */
static void docker_gives_no_budget_back(void **state)
{
    (void)state;
    for (int is_hand = 0; is_hand < 2; is_hand++) {
        fleet_begin("web", "");
        fleet.config.max_attempts = 1;
        fleet.ask_code = ANSWER_DOCKER_ERROR;
        fleet_list("web", RUNNING, "i0", NULL);
        fleet_go_on(70000, "web", RUNNING, "i0", NULL);
        fleet_die("web", "i0", STOP_CRASH, 1);
        fleet_run(60000);
        assert_state("web", "COOLDOWN", NULL);
        struct heartbeat word = fleet_word("h1", "web", CONTAINER_RESTARTING, "i0");
        word.stop_class = STOP_CRASH;
        word.is_docker_restarting = is_hand == 0;
        word.restart_count = is_hand == 0;
        fleet_beat(&word);
        word = fleet_word("h1", "web", RUNNING, "i1");
        word.restart_count = is_hand == 0;
        fleet_beat(&word);
        fleet_run(100);
        assert_int_equal(is_hand == 0, fleet_look("web").attempts);
    }
}

/* ---- commands and their answers ---- */

static void give_back_once(void **state)
{
    (void)state;
    static const enum answer_code CODES[] = {
        ANSWER_ALREADY_RESTARTED, ANSWER_NOT_NEEDED,   ANSWER_STALE_TARGET,   ANSWER_NOT_FOUND,
        ANSWER_REFUSED_STOPPED,   ANSWER_REFUSED_HELD, ANSWER_REFUSED_DENIED, ANSWER_STALE_EPOCH,
        ANSWER_EXPIRED,           ANSWER_BUSY,         ANSWER_UNKNOWN_ID};
    for (size_t i = 0; i < sizeof CODES / sizeof CODES[0]; i++) {
        fleet_begin("web", "");
        fleet_list("web", RUNNING, "i1", NULL);
        fleet_die("web", "i1", STOP_CRASH, 1);
        fleet.is_silent = true;
        fleet_run(7000);
        assert_int_equal(1, fleet.sends);
        assert_int_equal(1, fleet_look("web").attempts);
        fleet_answer(&fleet.last, 0, CODES[i]);
        fleet_answer(&fleet.last, 0, CODES[i]); /* twice */
        fleet_drain();
        assert_int_equal(0, fleet_look("web").attempts);
        assert_int_equal(0, fleet_count_lines("Failed to restart"));
    }
}

static void late_and_double_answers(void **state)
{
    (void)state;
    fleet_begin("web", "");
    fleet_list("web", RUNNING, "i1", NULL);
    fleet_die("web", "i1", STOP_CRASH, 1);
    fleet.is_silent = true;
    fleet_run(7000);
    struct command first = fleet.last;
    fleet_answer(&first, -ETIMEDOUT, ANSWER_UNKNOWN);
    fleet_run(10000);
    assert_int_equal(1, fleet.sends); /* asks, and sends nothing new */
    assert_true(fleet.asks >= 2);
    fleet_answer(&first, 0, ANSWER_OK);
    fleet_answer(&first, 0, ANSWER_DOCKER_ERROR);
    fleet_answer(&first, 0, ANSWER_OK);
    fleet_drain();
    assert_int_equal(1, fleet_count_lines("Successfully restarted web"));
    assert_int_equal(0, fleet_count_lines("Failed to restart web"));
    assert_int_equal(1, fleet_look("web").attempts);
}

static void what_never_left_is_sent_again(void **state)
{
    (void)state;
    fleet_begin("web", "");
    fleet.send_status = -ECONNREFUSED;
    fleet_list("web", RUNNING, "i1", NULL);
    fleet_die("web", "i1", STOP_CRASH, 1);
    fleet_run(7000);
    struct command first = fleet.last;
    fleet_run(20000);
    assert_true(fleet.sends > 5);
    assert_memory_equal(&first.id, &fleet.last.id, sizeof first.id);
    assert_int_equal(1, fleet_count_lines("Attempting restart"));
    fleet.send_status = 0;
    fleet_run(5000);
    assert_int_equal(1, fleet_count_lines("Successfully restarted web"));
}

/* What the link says: it cannot have arrived, and is sent again; else it may have, and is asked about. */
static void what_the_link_says_tells_whether_it_left(void **state)
{
    (void)state;
    static const struct {
        int status;
        bool can_have_arrived;
    } CASES[] = {{-ECONNREFUSED, false}, {-ENOTCONN, false}, {-ENOENT, false},   {-EHOSTUNREACH, false},
                 {-ENOBUFS, false},      {-ETIMEDOUT, true}, {-ECONNRESET, true}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        fleet_begin("web", "");
        fleet.send_status = CASES[i].status;
        fleet_list("web", RUNNING, "i1", NULL);
        fleet_die("web", "i1", STOP_CRASH, 1);
        fleet_run(20000);
        assert_int_equal(CASES[i].can_have_arrived, fleet.sends == 1);
        assert_int_equal(CASES[i].can_have_arrived, fleet.asks > 0);
    }
}

/* web crashed, and its start was sent; no answer comes. */
static void command_in_silence(void)
{
    fleet_begin("web", "");
    fleet.is_silent = true;
    fleet_list("web", RUNNING, "i1", NULL);
    fleet_die("web", "i1", STOP_CRASH, 1);
    fleet_run(7000);
}

/* A beat that names the command without an end of it, or another command, ends nothing. */
static void a_beat_tells_only_an_end(void **state)
{
    (void)state;
    static const struct {
        enum answer_code code;
        bool is_other;
        bool is_end;
    } CASES[] = {{ANSWER_ACCEPTED, false, false},
                 {ANSWER_UNKNOWN, false, false},
                 {ANSWER_UNKNOWN_ID, false, false},
                 {ANSWER_DOCKER_ERROR, true, false},
                 {ANSWER_DOCKER_ERROR, false, true}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        command_in_silence();
        struct heartbeat word = fleet_word("h1", "web", EXITED, "i1");
        word.stop_class = STOP_CRASH;
        word.exit_code = 1;
        command_id_format(&fleet.last.id, word.last_command);
        word.last_command[0] =
            CASES[i].is_other ? (word.last_command[0] == 'a' ? 'b' : 'a') : word.last_command[0];
        word.last_command_code = CASES[i].code;
        fleet_beat(&word);
        assert_int_equal(CASES[i].is_end, fleet_count_lines("Failed to restart web: docker_error"));
        assert_state("web", CASES[i].is_end ? "FAILED" : "RESTARTING", NULL);
    }
}

static void slow_and_many(struct container_spec *spec)
{
    spec->max_attempts = 2;
    spec->backoff_count = 1;
    spec->backoff_ms[0] = 90000;
    spec->stop_timeout_ms = 44000;
}

/* The labels of a container win over the settings: how often, how soon, how gently. */
static void labels_win_over_settings(void **state)
{
    (void)state;
    fleet_begin("web", "");
    fleet.ask_code = ANSWER_DOCKER_ERROR;
    fleet_list("web", RUNNING, "i1", slow_and_many);
    fleet_die("web", "i1", STOP_CRASH, 1);
    fleet_run(8000);
    assert_int_equal(1, fleet.sends);
    assert_int_equal(44000, fleet.last.stop_timeout_ms);
    assert_int_equal(2, fleet.last.max_attempts);
    struct heartbeat word = fleet_word("h1", "web", EXITED, "i1");
    word.stop_class = STOP_CRASH;
    word.exit_code = 1;
    for (int passed = 0; passed < 80000; passed += 10000) {
        fleet_inventory("h1", &word, 1, slow_and_many);
        fleet_run(10000);
    }
    assert_int_equal(1, fleet.sends); /* 5 s say the settings */
    for (int passed = 0; passed < 240000; passed += 10000) {
        fleet_inventory("h1", &word, 1, slow_and_many);
        fleet_run(10000);
    }
    assert_int_equal(2, fleet.sends);
    assert_int_equal(1, fleet_count_lines("exhausted restart attempts (2/2)"));
}

static void the_outcome_rides_in_a_beat(void **state)
{
    (void)state;
    command_in_silence();
    struct heartbeat word = fleet_word("h1", "web", RUNNING, "i2");
    command_id_format(&fleet.last.id, word.last_command);
    word.last_command_code = ANSWER_OK;
    int before = fleet.transitions;
    fleet_beat(&word);
    assert_int_equal(1, fleet_count_lines("Successfully restarted web"));
    assert_state("web", "UP", NULL);
    assert_int_equal(2, fleet.transitions - before); /* to STARTING, to UP: its start is told once */
}

static void the_outcome_of_one_that_is_dead_again_rides_in_a_beat(void **state)
{
    (void)state;
    command_in_silence();
    struct heartbeat word = fleet_word("h1", "web", EXITED, "i2");
    word.stop_class = STOP_CRASH;
    word.exit_code = 1;
    command_id_format(&fleet.last.id, word.last_command);
    word.last_command_code = ANSWER_OK;
    int before = fleet.transitions;
    fleet_beat(&word);
    assert_int_equal(1, fleet_count_lines("Successfully restarted web"));
    assert_state("web", "DOWN", NULL);
    assert_int_equal(2, fleet.transitions - before); /* to STARTING, to DOWN */
    fleet.is_silent = false;
    fleet_run(30000);
    assert_int_equal(2, fleet.sends);
}

static void nobody_tells_the_outcome(void **state)
{
    (void)state;
    for (int is_back = 0; is_back < 2; is_back++) {
        command_in_silence();
        fleet_go_on(80000, "web", is_back ? RUNNING : EXITED, is_back ? "i2" : "i1", NULL);
        assert_int_equal(is_back, fleet_count_lines("Successfully restarted web"));
        assert_int_equal(!is_back, fleet_count_lines("Failed to restart web: no_outcome"));
    }
}

static void nothing_is_sent_that_is_not_stored(void **state)
{
    (void)state;
    fleet_begin("web", "");
    fleet.is_store_failing = true;
    fleet_list("web", RUNNING, "i1", NULL);
    fleet_die("web", "i1", STOP_CRASH, 1);
    fleet_run(30000);
    assert_int_equal(0, fleet.sends);
    assert_int_equal(1, fleet_count_lines("can be stored neither"));
    fleet.is_store_failing = false;
    fleet_run(5000);
    assert_int_equal(1, fleet.sends);
    assert_true(fleet.was_stored_before_send);
}

static void a_beat_before_the_command_saves_the_attempt(void **state)
{
    (void)state;
    fleet_begin("web", "");
    fleet.is_store_failing = true;
    fleet_list("web", RUNNING, "i1", NULL);
    struct heartbeat sick = fleet_word("h1", "web", RUNNING, "i1");
    fleet_run(70000);
    fleet_list("web", RUNNING, "i1", NULL);
    sick.health = HEALTH_UNHEALTHY;
    sick.status = BEAT_UNHEALTHY;
    sick.seq = ++fleet.seq;
    fleet_beat(&sick);
    assert_state("web", "RESTARTING", NULL);
    fleet_say("web", RUNNING, "i1");
    assert_state("web", "UP", NULL);
    assert_int_equal(0, fleet_look("web").attempts);
    assert_int_equal(0, fleet.sends);
}

/* ---- what a controller remembers ---- */

static void stored_state_is_taken_up(void **state)
{
    (void)state;
    struct restart_state stored;
    restart_state_init(&stored);
    stored.attempt_count = 3;
    snprintf(stored.container_id, sizeof stored.container_id, "id-of-web");
    fleet_begin("web", "");
    stored.cooldown_until = (struct wall){fleet_wall().ms + 300000};
    decider_state_loaded(fleet.decider, "web", &stored, fleet_now(), fleet_wall());
    fleet_list("web", EXITED, "i1", NULL);
    fleet_go_on(290000, "web", EXITED, "i1", NULL);
    assert_state("web", "COOLDOWN", NULL);
    assert_int_equal(0, fleet.sends);
    fleet_go_on(30000, "web", EXITED, "i1", NULL);
    assert_int_equal(1, fleet.sends);
    /* of another id: a fresh budget */
    fleet_begin("web", "");
    snprintf(stored.container_id, sizeof stored.container_id, "id-of-an-older-web");
    stored.cooldown_until = (struct wall){fleet_wall().ms + 300000};
    decider_state_loaded(fleet.decider, "web", &stored, fleet_now(), fleet_wall());
    fleet_list("web", EXITED, "i1", NULL);
    fleet_run(9000);
    assert_int_equal(1, fleet.sends);
    assert_int_equal(1, fleet.last.attempt);
}

static void a_command_in_flight_is_asked_about_first(void **state)
{
    (void)state;
    struct restart_state stored;
    restart_state_init(&stored);
    stored.attempt_count = 1;
    stored.is_in_flight = true;
    stored.command_op = OP_START;
    snprintf(stored.container_id, sizeof stored.container_id, "id-of-web");
    snprintf(stored.command_id, sizeof stored.command_id, "00112233445566778899aabbccddeeff");
    snprintf(stored.incarnation, sizeof stored.incarnation, "i1");
    fleet_begin("web", "");
    decider_state_loaded(fleet.decider, "web", &stored, fleet_now(), fleet_wall());
    fleet_list("web", EXITED, "i1", NULL);
    fleet_run(5000);
    assert_int_equal(0, fleet.sends);
    assert_int_equal(1, fleet.asks);
    assert_int_equal(1, fleet_count_lines("Successfully restarted web"));
    assert_int_equal(1, fleet_look("web").attempts);
}

/* Why it was sent is what the state says; where it is dead, that is why. An id that is none is not asked
 * about. */
static void a_command_in_flight_keeps_its_cause(void **state)
{
    (void)state;
    static const struct {
        const char *reason, *id;
        enum container_state state;
        enum failure_cause cause;
        int asks;
    } CASES[] = {
        {"status_unhealthy", "00112233445566778899aabbccddeeff", RUNNING, CAUSE_UNHEALTHY, 1},
        {"start_timeout", "00112233445566778899aabbccddeeff", RUNNING, CAUSE_START_TIMEOUT, 1},
        {"missing_heartbeat", "00112233445566778899aabbccddeeff", RUNNING, CAUSE_MISSING, 1},
        {"status_unhealthy", "00112233445566778899aabbccddeeff", EXITED, CAUSE_DEATH, 1},
        {"status_unhealthy", "rubbish", RUNNING, CAUSE_NONE, 0},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct restart_state stored;
        restart_state_init(&stored);
        stored.attempt_count = 1;
        stored.is_in_flight = true;
        stored.command_op = OP_RESTART;
        snprintf(stored.container_id, sizeof stored.container_id, "id-of-web");
        snprintf(stored.command_id, sizeof stored.command_id, "%s", CASES[i].id);
        snprintf(stored.incarnation, sizeof stored.incarnation, "i1");
        snprintf(stored.last_failure_reason, sizeof stored.last_failure_reason, "%s", CASES[i].reason);
        fleet_begin("web", "");
        fleet.is_silent = true;
        fleet_list("web", CASES[i].state, "i1", NULL);
        decider_state_loaded(fleet.decider, "web", &stored, fleet_now(), fleet_wall());
        fleet_drain();
        fleet_run(1);
        struct decider_view_container view;
        assert_true(decider_view_container(fleet.decider, "web", &view));
        assert_int_equal(CASES[i].asks, fleet.asks);
        assert_int_equal(CASES[i].asks, view.state == STATE_RESTARTING);
        assert_int_equal(CASES[i].cause, view.cause);
        assert_int_equal(1, view.attempts);
    }
}

/* Known by name alone it waits: read twice, the later counts; reset by an operator, nothing of it does. */
static void what_is_stored_waits_for_its_container(void **state)
{
    (void)state;
    for (int is_reset = 0; is_reset < 2; is_reset++) {
        struct restart_state stored;
        restart_state_init(&stored);
        fleet_begin("web", "");
        for (int count = 1; count <= 2; count++) {
            stored.attempt_count = count;
            decider_state_loaded(fleet.decider, "web", &stored, fleet_now(), fleet_wall());
        }
        if (is_reset) {
            decider_state_reset(fleet.decider, "web", fleet_now(), fleet_wall());
        }
        fleet_list("web", RUNNING, "i1", NULL);
        assert_int_equal(is_reset ? 0 : 2, fleet_look("web").attempts);
    }
}

/* A backoff that was under way goes on by the wall clock, and one that is over is over. */
static void a_stored_backoff_goes_on(void **state)
{
    (void)state;
    static const struct {
        int64_t completed_ago_ms;
        int sends;
    } CASES[] = {{2000, 0}, {60000, 1}, {-7200000, 0}}; /* a clock that was set back: once more, no longer */
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct restart_state stored;
        restart_state_init(&stored);
        stored.attempt_count = 2;
        snprintf(stored.container_id, sizeof stored.container_id, "id-of-web");
        fleet_begin("web", "");
        fleet_list("web", RUNNING, "i1", NULL);
        stored.last_completed_at = (struct wall){fleet_wall().ms - CASES[i].completed_ago_ms};
        decider_state_loaded(fleet.decider, "web", &stored, fleet_now(), fleet_wall());
        fleet_die("web", "i1", STOP_CRASH, 1);
        fleet_run(8000);
        assert_int_equal(CASES[i].sends, fleet.sends);
        fleet_go_on(20000, "web", EXITED, "i1", NULL);
        assert_int_equal(1, fleet.sends);
    }
}

/* ---- losses ---- */

static void redis_outage_restarts_nothing(void **state)
{
    (void)state;
    fleet_begin("*", "");
    struct heartbeat service;
    heartbeat_init(&service);
    snprintf(service.service, sizeof service.service, "web");
    snprintf(service.instance_id, sizeof service.instance_id, "1");
    service.status = BEAT_HEALTHY;
    for (int i = 0; i < 12; i++) {
        service.timestamp = fleet_wall();
        fleet_beat(&service);
        fleet_list("web", RUNNING, "i1", app);
        fleet_run(10000);
    }
    assert_state("web", "UP", NULL);
    decider_redis(fleet.decider, REDIS_AWAY, fleet_now(), fleet_wall());
    for (int i = 0; i < 720; i++) {
        fleet_list("web", RUNNING, "i1", app); /* the agent answers by nng */
        fleet_run(10000);
    }
    decider_redis(fleet.decider, REDIS_BACK_AMNESIC, fleet_now(), fleet_wall());
    fleet_list("web", RUNNING, "i1", app);
    fleet_run(9000);
    service.timestamp = fleet_wall();
    fleet_beat(&service);
    assert_int_equal(0, fleet.sends);
    assert_int_equal(0, fleet_count_lines("missing heartbeat"));
}

/* No look at a key is waited for that nobody can answer: it would be a second with each quick miss. */
static void a_death_is_healed_as_quickly_without_redis(void **state)
{
    (void)state;
    int64_t took_ms[2];
    for (int i = 0; i < 2; i++) {
        fleet_begin("*", "");
        fleet_go_on(120000, "web", RUNNING, "i1", NULL);
        if (i == 1) {
            fleet.is_key_silent = true;
            decider_redis(fleet.decider, REDIS_AWAY, fleet_now(), fleet_wall());
        }
        fleet_list("web", EXITED, "i1", NULL);
        int64_t since = fleet.ms;
        while (fleet.sends == 0 && fleet.ms - since < 60000) {
            fleet_run(10);
        }
        took_ms[i] = fleet.ms - since;
        assert_int_equal(3, fleet_count_lines("missing heartbeat"));
    }
    assert_int_equal(took_ms[0], took_ms[1]);
}

static void a_silent_service_is_missed(void **state)
{
    (void)state;
    fleet_begin("web", "");
    struct heartbeat service;
    heartbeat_init(&service);
    snprintf(service.service, sizeof service.service, "web");
    snprintf(service.instance_id, sizeof service.instance_id, "1");
    service.status = BEAT_HEALTHY;
    fleet_list("web", RUNNING, "i1", app);
    for (int i = 0; i < 12; i++) {
        service.timestamp = fleet_wall();
        fleet_beat(&service);
        fleet_list("web", RUNNING, "i1", app);
        fleet_run(10000);
    }
    int64_t since = fleet.ms;
    while (fleet.sends == 0 && fleet.ms - since < 200000) {
        fleet_list("web", RUNNING, "i1", app);
        fleet_run(1000);
    }
    assert_int_equal(1, fleet.sends);
    assert_int_equal(OP_RESTART, fleet.last.op);
    assert_true(fleet.ms - since <= 35000 + 4 * 15000); /* invariant 11 */
    assert_int_equal(3, fleet_count_lines("missing heartbeat"));
}

static void a_lost_agent_is_one_alert(void **state)
{
    (void)state;
    fleet_begin("*", "");
    struct heartbeat words[8];
    for (int i = 0; i < 8; i++) {
        char name[40];
        snprintf(name, sizeof name, "web%d", i);
        words[i] = fleet_word("h1", name, RUNNING, "i1");
    }
    fleet_inventory("h1", words, 8, app);
    fleet_run(7200000);
    assert_int_equal(1, fleet_count_alerts(ALERT_AGENT_LOST, NULL));
    assert_int_equal(1, (int)fleet.alert_count);
    fleet_inventory("h1", words, 8, NULL);
    fleet_run(30000);
    assert_int_equal(1, fleet_count_alerts(ALERT_AGENT_RECOVERED, NULL));
    assert_int_equal(0, fleet.sends);
    assert_int_equal(0, fleet_count_lines("missing heartbeat"));
}

static void recreate_and_remove(void **state)
{
    (void)state;
    fleet_begin("web", "");
    fleet_list("web", RUNNING, "i1", NULL);
    fleet_die("web", "i1", STOP_KILLED, 137); /* rm -f */
    fleet_run(1000);
    struct heartbeat fresh = fleet_word("h1", "web", RUNNING, "i2");
    snprintf(fresh.container_id, sizeof fresh.container_id, "id-of-another-web");
    fleet_beat(&fresh);
    fleet_run(30000);
    assert_int_equal(0, fleet.sends);
    assert_int_equal(0, (int)fleet.alert_count);
    assert_int_equal(0, fleet_look("web").attempts);
    fleet_begin("web", "");
    fleet_list("web", RUNNING, "i1", NULL);
    fleet_say("web", CONTAINER_REMOVING, "i1");
    assert_int_equal(0, (int)decider_count(fleet.decider));
    fleet_begin("web", "");
    fleet_list("web", RUNNING, "i1", NULL);
    fleet_inventory("h1", NULL, 0, NULL);
    assert_int_equal(1, (int)decider_count(fleet.decider)); /* once may be a mistake */
    fleet_inventory("h1", NULL, 0, NULL);
    assert_int_equal(0, (int)decider_count(fleet.decider));
    assert_int_equal(0, (int)fleet.alert_count);
}

static void claim_twice(void)
{
    fleet_begin("web", "");
    for (int i = 0; i < 6; i++) {
        struct heartbeat here = fleet_word("h1", "web", RUNNING, "i1");
        fleet_inventory("h1", &here, 1, NULL);
        struct heartbeat there = fleet_word("h2", "web", RUNNING, "j1");
        snprintf(there.container_id, sizeof there.container_id, "another");
        fleet_inventory("h2", &there, 1, NULL);
        fleet_run(10000);
    }
}

static void one_name_on_two_hosts(void **state)
{
    (void)state;
    claim_twice();
    assert_int_equal(1, fleet_count_alerts(ALERT_NAME_COLLISION, NULL));
    assert_int_equal(0, fleet_count_alerts(ALERT_SERVICE_RECOVERED, NULL));
    for (int i = 0; i < 10; i++) { /* only one claims it still */
        fleet_list("web", RUNNING, "i1", NULL);
        fleet_run(10000);
    }
    assert_int_equal(1, fleet_count_alerts(ALERT_SERVICE_RECOVERED, NULL));
    claim_twice();
    fleet_die("web", "i1", STOP_CRASH, 1);
    fleet_run(20000);
    assert_int_equal(0, fleet.sends);
}

/* It is restarted on h1 when h1 falls silent; once it is found alive on h2, it is h2's, and no attempt was
 * used there. A word from h2 that it is dead takes nothing away from h1. */
static void who_is_found_on_another_host_moves(void **state)
{
    (void)state;
    command_in_silence();
    assert_state("web", "RESTARTING", NULL);
    struct heartbeat there = fleet_word("h2", "web", EXITED, "j1");
    fleet_inventory("h2", &there, 1, NULL);
    struct decider_view_container view;
    assert_true(decider_view_container(fleet.decider, "web", &view));
    assert_string_equal("h1", view.host);
    there = fleet_word("h2", "web", RUNNING, "j2");
    fleet_inventory("h2", &there, 1, NULL); /* h1's is dead: nobody else holds the name */
    assert_true(decider_view_container(fleet.decider, "web", &view));
    assert_string_equal("h2", view.host);
    assert_false(view.is_in_flight);
    assert_int_equal(0, view.attempts);
    assert_int_equal(0, fleet_count_alerts(ALERT_NAME_COLLISION, NULL));
}

/* A host that nobody hears for a week was taken down; what lived there is forgotten without an alert. */
static void a_host_lost_for_a_week_is_forgotten(void **state)
{
    (void)state;
    fleet_settings("web", "");
    fleet.config.agent_lost_ms = 1000; /* looked at as often as it has to be */
    fleet_begin_decider();
    fleet_list("web", RUNNING, "i1", NULL);
    fleet_run(1600);
    assert_int_equal(1, fleet_count_alerts(ALERT_AGENT_LOST, NULL));
    fleet_run(7LL * 24 * 3600 * 1000 - 10000);
    assert_int_equal(1, (int)decider_count(fleet.decider));
    fleet_run(20000);
    assert_int_equal(0, (int)decider_count(fleet.decider));
    assert_int_equal(1, (int)fleet.alert_count);
    assert_int_equal(0, fleet.sends);
}

static void caps_hold(void **state)
{
    (void)state;
    fleet_settings("*", "");
    fleet.config.breaker_min = 100;
    fleet_begin_decider();
    fleet.is_silent = true;
    struct heartbeat words[4];
    for (int host = 1; host <= 5; host++) {
        char host_name[32];
        snprintf(host_name, sizeof host_name, "h%d", host);
        for (int i = 0; i < 4; i++) {
            char name[40];
            snprintf(name, sizeof name, "web%d-%d", host, i);
            words[i] = fleet_word(host_name, name, RUNNING, "i1");
        }
        fleet_inventory(host_name, words, 4, NULL);
        for (int i = 0; i < 4; i++) {
            words[i].state = EXITED;
            words[i].status = BEAT_UNHEALTHY;
            words[i].stop_class = STOP_CRASH;
            words[i].seq = ++fleet.seq;
            fleet_beat(&words[i]);
        }
    }
    fleet_run(15000);
    assert_int_equal(3, fleet.sends); /* one a host, three in all */
}

static void quiet_words_restart_nothing(void **state)
{
    (void)state;
    static const enum beat_status WORDS[] = {BEAT_DEGRADED, BEAT_UNKNOWN, BEAT_STARTING, BEAT_STOPPING};
    for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0]; i++) {
        fleet_begin("web", "");
        for (int k = 0; k < 25; k++) {
            struct heartbeat word = fleet_word("h1", "web", RUNNING, "i1");
            word.status = WORDS[i];
            fleet_beat(&word);
            fleet_inventory("h1", &word, 1, NULL);
            fleet_run(10000);
        }
        assert_int_equal(0, fleet.sends);
    }
}

static void unhealthy_beats_count_once_each(void **state)
{
    (void)state;
    fleet_begin("web", "");
    fleet_go_on(90000, "web", RUNNING, "i1", NULL);
    struct heartbeat word = fleet_word("h1", "web", RUNNING, "i1");
    word.status = BEAT_UNHEALTHY;
    for (int i = 0; i < 10; i++) {
        fleet_beat(&word); /* the same one */
    }
    assert_int_equal(0, fleet.sends);
    for (int i = 0; i < 2; i++) {
        word.seq = ++fleet.seq;
        fleet_beat(&word);
    }
    assert_int_equal(1, fleet.sends);
    assert_string_equal("status_unhealthy", fleet.last.reason);
}

static void a_hold_holds(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *name;
    } SCOPES[] = {{"all", "all"}, {"host", "h1"}, {"service", "web"}, {"container", "web"}};
    for (size_t i = 0; i < sizeof SCOPES / sizeof SCOPES[0]; i++) {
        fleet_begin("web", "");
        fleet_list("web", RUNNING, "i1", NULL);
        decider_hold(fleet.decider, SCOPES[i].kind, SCOPES[i].name, true,
                     (struct wall){fleet_wall().ms + 60000}, fleet_now(), fleet_wall());
        fleet_die("web", "i1", STOP_CRASH, 1);
        fleet_go_on(50000, "web", EXITED, "i1", NULL);
        assert_int_equal(0, fleet.sends);
        struct heartbeat word = fleet_word("h1", "web", EXITED, "i1");
        word.stop_class = STOP_CRASH;
        for (int k = 0; k < 4; k++) {
            fleet_inventory("h1", &word, 1, NULL);
            fleet_run(10000);
        }
        assert_int_equal(1, fleet.sends); /* it ended by itself */
    }
}

static void note_hold(void *arg, const char *kind, const char *name, struct wall until)
{
    char *text = arg;
    size_t used = strlen(text);
    snprintf(text + used, 256 - used, "%s %s %d;", kind, name, until.ms == 0 ? 0 : 1);
}

/* Each scope stands for itself: one of another name or kind holds nobody, and is cleared without harm. */
static void a_hold_holds_only_its_own(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *name;
    } SCOPES[] = {{"host", "h2"}, {"service", "db"}, {"container", "db"}, {"project", "web"}};
    for (size_t i = 0; i < sizeof SCOPES / sizeof SCOPES[0]; i++) {
        fleet_begin("web", "");
        fleet_list("web", RUNNING, "i1", NULL);
        decider_hold(fleet.decider, SCOPES[i].kind, SCOPES[i].name, true, (struct wall){0}, fleet_now(),
                     fleet_wall());
        decider_hold(fleet.decider, SCOPES[i].kind, "else", false, (struct wall){0}, fleet_now(),
                     fleet_wall());
        fleet_die("web", "i1", STOP_CRASH, 1);
        fleet_run(20000);
        assert_int_equal(1, fleet.sends);
    }
    fleet_begin("web", "");
    fleet_list("web", RUNNING, "i1", NULL);
    const struct wall soon = {fleet_wall().ms + 60000};
    decider_hold(fleet.decider, "container", "web", true, (struct wall){0}, fleet_now(), fleet_wall());
    decider_hold(fleet.decider, "container", "db", true, soon, fleet_now(), fleet_wall());
    decider_hold(fleet.decider, "host", "web", true, soon, fleet_now(), fleet_wall());
    char text[256] = "";
    decider_hold_each(fleet.decider, note_hold, text);
    assert_non_null(strstr(text, "container web 0;"));
    assert_non_null(strstr(text, "container db 1;"));
    assert_non_null(strstr(text, "host web 1;"));
    fleet_run(61000); /* those of a time end, the lasting one stays */
    text[0] = '\0';
    decider_hold_each(fleet.decider, note_hold, text);
    assert_string_equal("container web 0;", text);
    fleet_die("web", "i1", STOP_CRASH, 1);
    fleet_run(20000);
    assert_int_equal(0, fleet.sends);
}

/* The same world, the same actions. */
static void the_same_again(void **state)
{
    (void)state;
    struct command first = {.op = OP_UNKNOWN};
    for (int i = 0; i < 2; i++) {
        int64_t at[16];
        fleet_begin("web", "");
        fleet_list("web", RUNNING, "i0", NULL);
        fleet_die("web", "i0", STOP_CRASH, 1);
        crash_on(100000, at, 16);
        if (i == 0) {
            first = fleet.last;
        }
    }
    assert_memory_equal(&first.id, &fleet.last.id, sizeof first.id);
}

/* ---- what a review and the simulator found ---- */

static bool say_unchanged(void)
{
    bool is_known =
        decider_observe_unchanged(fleet.decider, "h1", "agent-of-h1", fleet.change, PATH_RPC, fleet_now());
    fleet_drain();
    return is_known;
}

static void say_unchanged_for(int64_t ms)
{
    for (int64_t passed = 0; passed < ms; passed += 5000) {
        say_unchanged();
        fleet_run(5000);
    }
}

static void service_beats(void)
{
    struct heartbeat service;
    heartbeat_init(&service);
    snprintf(service.service, sizeof service.service, "web");
    snprintf(service.instance_id, sizeof service.instance_id, "1");
    service.status = BEAT_HEALTHY;
    service.timestamp = fleet_wall();
    fleet_beat(&service);
}

/* Redis away, and the agent too for a minute: no start deadline may run out for what nobody heard. */
static void an_agent_lost_while_redis_is_away(void **state)
{
    (void)state;
    fleet_begin("web", "");
    fleet_go_on(120000, "web", RUNNING, "i1", NULL);
    decider_redis(fleet.decider, REDIS_AWAY, fleet_now(), fleet_wall());
    fleet_drain();
    say_unchanged_for(100000);
    fleet_run(60000);
    say_unchanged_for(600000);
    assert_int_equal(1, fleet_count_alerts(ALERT_AGENT_LOST, NULL));
    assert_int_equal(0, fleet.sends);
    assert_state("web", "UP", NULL);
}

static void a_stored_cooldown_comes_before_the_first_word(void **state)
{
    (void)state;
    struct restart_state stored;
    restart_state_init(&stored);
    stored.attempt_count = 3;
    snprintf(stored.container_id, sizeof stored.container_id, "id-of-web");
    fleet_begin("web", "");
    fleet_run(100000);
    stored.cooldown_until = (struct wall){fleet_wall().ms + 300000};
    decider_state_loaded(fleet.decider, "web", &stored, fleet_now(), fleet_wall());
    struct heartbeat sick = fleet_word("h1", "web", RUNNING, "i1");
    sick.health = HEALTH_UNHEALTHY;
    sick.status = BEAT_UNHEALTHY;
    sick.started_at = (struct wall){sick.timestamp.ms - 3600000};
    fleet_inventory("h1", &sick, 1, NULL);
    fleet_run(1000);
    assert_int_equal(0, fleet.sends);
    assert_state("web", "COOLDOWN", NULL);
}

static void a_cooldown_that_ends_unheard(void **state)
{
    (void)state;
    fleet_begin("web", "");
    for (int i = 0; i < 12; i++) {
        service_beats();
        fleet_list("web", RUNNING, "i1", app);
        fleet_run(10000);
    }
    for (int i = 0; i < 3000 && strcmp(fleet_look("web").state, "COOLDOWN") != 0; i++) {
        fleet_list("web", RUNNING, "i1", app);
        fleet_run(1000);
    }
    assert_state("web", "COOLDOWN", NULL);
    int before = fleet.sends;
    decider_redis(fleet.decider, REDIS_AWAY, fleet_now(), fleet_wall());
    fleet_drain();
    say_unchanged_for(1000000);
    assert_int_equal(before, fleet.sends);
}

static void a_resend_passes_the_gates_again(void **state)
{
    (void)state;
    for (int change = 0; change < 4; change++) {
        fleet_begin("web", "");
        fleet.send_status = -ECONNREFUSED;
        fleet_list("web", RUNNING, "i1", NULL);
        fleet_die("web", "i1", STOP_CRASH, 1);
        fleet_run(8000);
        int before = fleet.sends;
        assert_true(before > 0);
        struct err err;
        if (change == 0) {
            name_patterns_free(&fleet.deny);
            assert_int_equal(0, name_patterns_parse("web", &fleet.deny, &err));
        } else if (change == 1) {
            decider_lead(fleet.decider, 1, fleet_now(), fleet_now());
        } else if (change == 2) {
            fleet.config.is_enabled = false;
        } else {
            decider_hold(fleet.decider, "all", "all", true, (struct wall){0}, fleet_now(), fleet_wall());
        }
        fleet_drain();
        fleet.send_status = 0;
        fleet_run(10000);
        assert_int_equal(before, fleet.sends);
        assert_int_equal(0, fleet_look("web").attempts); /* it was never used */
    }
}

static void stopping_alone_is_no_start_timeout(void **state)
{
    (void)state;
    fleet_begin("web", "");
    for (int i = 0; i < 60; i++) {
        struct heartbeat word = fleet_word("h1", "web", RUNNING, "i1");
        word.status = BEAT_STOPPING;
        fleet_beat(&word);
        fleet_inventory("h1", &word, 1, NULL);
        fleet_run(10000);
    }
    assert_int_equal(0, fleet.sends);
}

/* 10: on its way out its HEALTHCHECK fails; what still fails when the stop must be over is judged. */
static void a_stop_under_way_suspends_judgement(void **state)
{
    (void)state;
    for (int is_listed = 0; is_listed < 2; is_listed++) {
        fleet_begin("web", "");
        fleet_list("web", RUNNING, "i1", NULL);
        fleet_say("web", RUNNING, "i1");
        fleet_go_on(100000, "web", RUNNING, "i1", NULL);
        for (int i = 0; i < 8; i++) {
            struct heartbeat word = fleet_word("h1", "web", RUNNING, "i1");
            word.status = i < 4 ? BEAT_STOPPING : BEAT_UNHEALTHY;
            word.health = HEALTH_UNHEALTHY;
            if (is_listed) {
                fleet_inventory("h1", &word, 1, NULL);
            } else {
                fleet_beat(&word);
            }
            fleet_run(10000);
            assert_true(i >= 3 || fleet.sends == 0);
        }
        assert_true(fleet.sends > 0);
    }
}

/* ---- random histories: what must never be, never is ---- */

struct world {
    bool is_running, is_stopped, has_died;
    int incarnation;
    int64_t sent_at[64];
    size_t sent;
};

static uint32_t next_random(uint64_t *random_state)
{
    *random_state = *random_state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(*random_state >> 33);
}

static void tell(struct world *world)
{
    char incarnation[16];
    snprintf(incarnation, sizeof incarnation, "i%d", world->incarnation);
    struct heartbeat word = fleet_word("h1", "web", world->is_running ? RUNNING : EXITED, incarnation);
    word.stop_class = world->is_running ? STOP_NONE : world->is_stopped ? STOP_OPERATOR : STOP_CRASH;
    fleet_inventory("h1", &word, 1, NULL);
}

static void check_sends(struct world *world, int before)
{
    if (fleet.sends == before) {
        return;
    }
    assert_int_equal(before + 1, fleet.sends);          /* 8: one at a time */
    assert_true(fleet.was_stored_before_send);          /* 7 */
    assert_true(world->has_died && !world->is_running); /* 15: nothing that runs */
    assert_false(world->is_stopped);                    /* 10 */
    size_t recent = 0;
    for (size_t i = 0; i < world->sent; i++) {
        recent += fleet.ms - world->sent_at[i] < fleet.config.cooldown_ms;
    }
    assert_true((int64_t)recent < fleet.config.max_attempts); /* 3 */
    if (world->sent > 0) {
        assert_true(fleet.ms - world->sent_at[world->sent - 1] >= fleet.config.backoff_ms[0]); /* 4 */
    }
    if (world->sent < 64) {
        world->sent_at[world->sent++] = fleet.ms;
    }
    world->is_running = fleet.ask_code == ANSWER_OK;
    world->incarnation += world->is_running;
}

static void random_history(uint64_t seed)
{
    uint64_t random_state = seed;
    struct world world = {.is_running = true, .incarnation = 1};
    bool is_redis_up = true;
    fleet_begin("web", "");
    tell(&world);
    for (int step = 0; step < 200; step++) {
        int before = fleet.sends;
        switch (next_random(&random_state) % 12) {
        case 0:
            world.has_died = world.is_running || world.has_died;
            world.is_stopped = world.is_running ? false : world.is_stopped;
            world.is_running = false;
            break;
        case 1:
            world.is_stopped = world.is_running ? true : world.is_stopped;
            world.is_running = false;
            break;
        case 2:
            decider_redis(fleet.decider, is_redis_up ? REDIS_AWAY : REDIS_BACK_AMNESIC, fleet_now(),
                          fleet_wall());
            is_redis_up = !is_redis_up;
            break;
        case 3:
            fleet.send_status = next_random(&random_state) % 2 == 0 ? 0 : -ECONNREFUSED;
            break;
        case 4:
            fleet_answer(&fleet.last, 0, ANSWER_OK); /* late or double */
            break;
        default:
            break;
        }
        tell(&world);
        check_sends(&world, before);
        int64_t pause_ms = (int64_t)(next_random(&random_state) % 12000);
        for (int64_t passed = 0; passed < pause_ms; passed += 500) {
            before = fleet.sends;
            fleet.send_status = 0;
            fleet_run(500);
            check_sends(&world, before);
        }
    }
}

static void random_histories(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        random_history(seed);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_1_kill, end),
        cmocka_unit_test_teardown(test_1_at_once, end),
        cmocka_unit_test_teardown(test_2_repeated_failures, end),
        cmocka_unit_test_teardown(test_2_reset_by_the_operator, end),
        cmocka_unit_test_teardown(test_3_deny_list, end),
        cmocka_unit_test_teardown(lists_and_labels, end),
        cmocka_unit_test_teardown(disabled_both_ways, end),
        cmocka_unit_test_teardown(an_operators_stop_is_respected, end),
        cmocka_unit_test_teardown(start_error_gets_one_attempt, end),
        cmocka_unit_test_teardown(docker_goes_first, end),
        cmocka_unit_test_teardown(dockers_crash_loop_is_told_and_closed, end),
        cmocka_unit_test_teardown(docker_gives_no_budget_back, end),
        cmocka_unit_test_teardown(give_back_once, end),
        cmocka_unit_test_teardown(late_and_double_answers, end),
        cmocka_unit_test_teardown(what_never_left_is_sent_again, end),
        cmocka_unit_test_teardown(the_outcome_rides_in_a_beat, end),
        cmocka_unit_test_teardown(the_outcome_of_one_that_is_dead_again_rides_in_a_beat, end),
        cmocka_unit_test_teardown(nobody_tells_the_outcome, end),
        cmocka_unit_test_teardown(nothing_is_sent_that_is_not_stored, end),
        cmocka_unit_test_teardown(a_beat_before_the_command_saves_the_attempt, end),
        cmocka_unit_test_teardown(stored_state_is_taken_up, end),
        cmocka_unit_test_teardown(a_command_in_flight_is_asked_about_first, end),
        cmocka_unit_test_teardown(redis_outage_restarts_nothing, end),
        cmocka_unit_test_teardown(a_death_is_healed_as_quickly_without_redis, end),
        cmocka_unit_test_teardown(a_silent_service_is_missed, end),
        cmocka_unit_test_teardown(a_lost_agent_is_one_alert, end),
        cmocka_unit_test_teardown(recreate_and_remove, end),
        cmocka_unit_test_teardown(one_name_on_two_hosts, end),
        cmocka_unit_test_teardown(caps_hold, end),
        cmocka_unit_test_teardown(what_the_link_says_tells_whether_it_left, end),
        cmocka_unit_test_teardown(a_beat_tells_only_an_end, end),
        cmocka_unit_test_teardown(labels_win_over_settings, end),
        cmocka_unit_test_teardown(a_command_in_flight_keeps_its_cause, end),
        cmocka_unit_test_teardown(what_is_stored_waits_for_its_container, end),
        cmocka_unit_test_teardown(a_stored_backoff_goes_on, end),
        cmocka_unit_test_teardown(a_hold_holds_only_its_own, end),
        cmocka_unit_test_teardown(who_is_found_on_another_host_moves, end),
        cmocka_unit_test_teardown(a_host_lost_for_a_week_is_forgotten, end),
        cmocka_unit_test_teardown(quiet_words_restart_nothing, end),
        cmocka_unit_test_teardown(unhealthy_beats_count_once_each, end),
        cmocka_unit_test_teardown(a_hold_holds, end),
        cmocka_unit_test_teardown(the_same_again, end),
        cmocka_unit_test_teardown(an_agent_lost_while_redis_is_away, end),
        cmocka_unit_test_teardown(a_stored_cooldown_comes_before_the_first_word, end),
        cmocka_unit_test_teardown(a_cooldown_that_ends_unheard, end),
        cmocka_unit_test_teardown(a_resend_passes_the_gates_again, end),
        cmocka_unit_test_teardown(stopping_alone_is_no_start_timeout, end),
        cmocka_unit_test_teardown(a_stop_under_way_suspends_judgement, end),
        cmocka_unit_test_teardown(random_histories, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
