/* What is told to people is what the decider holds; and looking changes nothing. */
#include "controller/core/decider_view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/memory.h"
#include "controller/core/decider_hold.h"
#include "controller/ctl/past.h"
#include "controller/serve/explanation.h"
#include "controller/serve/tally.h"
#include "tests/unit/fleet_driver.h"

#define FIRST  "2026-11-24T10:00:00.000000001Z"
#define SECOND "2026-11-24T10:10:00.000000001Z"

static struct decider_view_container look(const char *name)
{
    struct decider_view_container view;
    assert_true(decider_view_container(fleet.decider, name, &view));
    return view;
}

static bool is_open(const char *name, enum gate gate)
{
    bool open[GATE_N];
    assert_true(decider_view_gates(fleet.decider, name, fleet_now(), open));
    return open[gate];
}

/* Up, past its grace and the controller's own settling. */
static void begin_up(const char *allow, const char *deny)
{
    fleet_begin(allow, deny);
    fleet_go_on(70000, "web-1", CONTAINER_RUNNING, FIRST, NULL);
    fleet_say("web-1", CONTAINER_RUNNING, FIRST);
}

static void test_one_that_is_up(void **state)
{
    (void)state;
    begin_up("web-*", "");
    struct decider_view_container view = look("web-1");
    assert_string_equal(view.host, "h1");
    assert_int_equal(view.state, STATE_UP);
    assert_string_equal(view.category, "healthy");
    assert_string_equal(view.docker_state, "running");
    assert_string_equal(view.incarnation, FIRST);
    assert_int_equal(view.max_attempts, 3);
    assert_int_equal(view.agent_heard_at.ms, fleet.ms);
    assert_int_equal(view.gate, GATE_N);
    for (int gate = 0; gate < GATE_N; gate++) {
        assert_true(is_open("web-1", (enum gate)gate));
    }
    struct decider_view_container none;
    bool open[GATE_N];
    assert_false(decider_view_container(fleet.decider, "web-2", &none));
    assert_false(decider_view_gates(fleet.decider, "web-2", fleet_now(), open));
}

static void test_one_that_is_denied(void **state)
{
    (void)state;
    begin_up("", "web-1");
    fleet_die("web-1", FIRST, STOP_CRASH, 1);
    fleet_run(20000);
    struct decider_view_container view = look("web-1");
    assert_int_equal(view.state, STATE_FAILED);
    assert_int_equal(view.gate, GATE_DENY);
    assert_int_equal(view.cause, CAUSE_DEATH);
    assert_string_equal(view.stop_class, "crash");
    assert_true(view.has_exit_code);
    assert_int_equal(view.exit_code, 1);
    assert_false(is_open("web-1", GATE_DENY));
    assert_false(is_open("web-1", GATE_ALLOW));
    assert_true(is_open("web-1", GATE_HOST));
}

static bool count_container(void *arg, const struct decider_view_container *view)
{
    (void)view;
    return ++*(int *)arg < 2;
}

static bool take_host(void *arg, const struct decider_view_host *host)
{
    *(struct decider_view_host *)arg = *host;
    return true;
}

static void test_fleet_and_hosts(void **state)
{
    (void)state;
    begin_up("web-*", "");
    struct heartbeat beats[] = {fleet_word("h1", "web-1", CONTAINER_RUNNING, FIRST),
                                fleet_word("h1", "web-2", CONTAINER_RUNNING, FIRST),
                                fleet_word("h1", "web-3", CONTAINER_EXITED, FIRST)};
    fleet_inventory("h1", beats, 3, NULL);
    struct decider_view_fleet view;
    decider_view_fleet(fleet.decider, fleet_now(), &view);
    assert_int_equal(view.containers, 3);
    assert_int_equal(view.hosts, 1);
    assert_true(view.is_enabled && view.is_leader && view.is_redis_up && view.is_settled);
    assert_int_equal(view.states[STATE_UP], 2);
    assert_int_equal(view.totals.total, 3);
    int met = 0;
    decider_view_each_container(fleet.decider, count_container, &met);
    assert_int_equal(met, 2); /* it ends where the visitor says so */
    struct decider_view_host host;
    decider_view_each_host(fleet.decider, fleet_now(), take_host, &host);
    assert_string_equal(host.name, "h1");
    assert_int_equal(host.containers, 3);
    assert_true(host.is_live && host.is_engine_up);
    fleet_run(120000);
    decider_view_each_host(fleet.decider, fleet_now(), take_host, &host);
    assert_false(host.is_live);
    assert_true(host.is_silent && host.is_frozen);
}

/* Looking at everything at every moment leaves the same history behind. */
static void run_history(bool is_watched, struct decider_view_container *out)
{
    begin_up("web-*", "");
    fleet_die("web-1", FIRST, STOP_CRASH, 1);
    for (int second = 0; second < 60; second++) {
        fleet_run(1000);
        if (is_watched) {
            struct decider_view_fleet view;
            struct decider_view_host host;
            int met = 0;
            decider_view_fleet(fleet.decider, fleet_now(), &view);
            decider_view_each_host(fleet.decider, fleet_now(), take_host, &host);
            decider_view_each_container(fleet.decider, count_container, &met);
            is_open("web-1", GATE_HOST);
        }
    }
    *out = look("web-1");
}

static void test_looking_changes_nothing(void **state)
{
    (void)state;
    struct decider_view_container without, with;
    run_history(false, &without);
    int sends = fleet.sends;
    size_t lines = fleet.line_count;
    run_history(true, &with);
    assert_int_equal(fleet.sends, sends);
    assert_int_equal(fleet.line_count, lines);
    assert_int_equal(with.state, without.state);
    assert_int_equal(with.attempts, without.attempts);
    assert_int_equal(with.wake_at.ms, without.wake_at.ms);
}

/* ---- the tally ---- */

static struct tally tally;

static void count_actions(void)
{
    const struct action *action;
    while ((action = decider_next_action(fleet.decider)) != NULL) {
        tally_count(&tally, fleet.decider, action, fleet_now());
        fleet_perform(action);
    }
}

static void count_for(int64_t ms)
{
    for (int64_t end = fleet.ms + ms; fleet.ms < end; fleet.ms += 100) {
        decider_tick(fleet.decider, fleet_now(), fleet_wall());
        count_actions();
    }
}

static void test_a_restart_is_counted(void **state)
{
    (void)state;
    begin_up("web-*", "");
    tally = (struct tally){.exhausted = 0};
    struct heartbeat death = fleet_word("h1", "web-1", CONTAINER_EXITED, FIRST);
    decider_observe_beat(fleet.decider, &death, fleet_now(), fleet_wall());
    count_actions();
    count_for(15000);
    assert_int_equal(tally.attempts[CAUSE_DEATH], 1);
    assert_int_equal(tally.attempts[CAUSE_MISSING], 0);
    assert_int_equal(tally.restarts[TALLY_RESTARTED][CAUSE_DEATH], 1);
    assert_int_equal(tally.detect_secs.count, 1);
    assert_true(tally.detect_secs.sum > 3.9 && tally.detect_secs.sum < 6.5); /* three quick misses */
    assert_int_equal(tally.alerts[ALERT_SERVICE_RESTARTED], 1);
    struct heartbeat back = fleet_word("h1", "web-1", CONTAINER_RUNNING, SECOND);
    decider_observe_beat(fleet.decider, &back, fleet_now(), fleet_wall());
    count_actions();
    assert_int_equal(tally.recovery_secs.count, 1);
    assert_int_equal(tally.alerts[ALERT_SERVICE_RECOVERED], 1);
    struct decider_view_fleet view;
    decider_view_fleet(fleet.decider, fleet_now(), &view);
    assert_int_equal(view.verdicts[POLICY_COUNT_MISS], 3);
    assert_int_equal(view.verdicts[POLICY_RESTARTED], 1);
}

static void test_a_refusal_is_counted_once(void **state)
{
    (void)state;
    begin_up("", "");
    tally = (struct tally){.exhausted = 0};
    struct heartbeat death = fleet_word("h1", "web-1", CONTAINER_EXITED, FIRST);
    decider_observe_beat(fleet.decider, &death, fleet_now(), fleet_wall());
    count_actions();
    count_for(30000);
    assert_int_equal(tally.refusals[GATE_ALLOW], 1);
    assert_int_equal(tally.attempts[CAUSE_DEATH], 0);
    assert_int_equal(tally.alerts[ALERT_SERVICE_RESTART_FAILED], 1);
}

static void test_buckets(void **state)
{
    (void)state;
    struct tally_histogram histogram = {.count = 0};
    tally_observe(&histogram, 0.1);
    tally_observe(&histogram, 0.2);
    tally_observe(&histogram, 5000);
    assert_int_equal(histogram.buckets[0], 1);
    assert_int_equal(histogram.buckets[1], 1);
    assert_int_equal(histogram.buckets[TALLY_BUCKETS], 1);
    assert_int_equal(histogram.count, 3);
}

/* ---- the explanation ---- */

static struct check_report report;

static struct explanation explain(const char *name)
{
    static struct hold_watch *holds;
    static const struct settings settings;
    struct decider_port port = {.decider = fleet.decider};
    hold_watch_free(holds);
    holds = hold_watch_new(&port, NULL, NULL);
    struct scene scene = {.settings = &settings,
                          .parts = {.decider = fleet.decider, .holds = holds},
                          .tally = &tally,
                          .now = fleet_now(),
                          .wall = fleet_wall()};
    struct decider_view_container view = look(name);
    struct explanation explanation;
    explanation_make(&scene, &view, &report, &explanation);
    hold_watch_free(holds);
    holds = NULL;
    return explanation;
}

static bool says(const struct explanation_lines *lines, const char *part)
{
    for (size_t i = 0; i < lines->count; i++) {
        if (strstr(lines->text[i], part) != NULL) {
            return true;
        }
    }
    return false;
}

static void test_explanations(void **state)
{
    (void)state;
    begin_up("web-*", "");
    struct explanation text = explain("web-1");
    assert_non_null(strstr(text.headline, "web-1 is up (healthy)"));
    assert_string_equal(text.verdict,
                        "All gates are open: nothing stands against a restart, should it fail.");
    assert_int_equal(text.help.count, 0);

    begin_up("", "web-1");
    fleet_die("web-1", FIRST, STOP_CRASH, 3);
    fleet_run(20000);
    text = explain("web-1");
    assert_string_equal(text.headline, "web-1 has failed (it died) and was not restarted.");
    assert_true(says(&text.evidence, "Docker on h1 says exited, exit code 3, judged crash."));
    assert_non_null(strstr(text.verdict, "It is not restarted because it is in the deny list"));
    assert_non_null(strstr(text.verdict, "besides, it is not in the allow list"));
    assert_true(says(&text.help, "RESTART_DENY_SERVICES"));
    assert_string_equal(text.next, "nothing, until somebody restarts it or changes what forbids it");
    assert_int_equal(text.next_at.ms, 0);

    report = (struct check_report){.count = 1, .more = 1, .lines = {{"db", "Check db fails: refused"}}};
    text = explain("web-1");
    report = (struct check_report){.count = 0};
    assert_true(says(&text.evidence, "Check db fails: refused."));
    assert_true(says(&text.evidence, "1 more check fails."));

    begin_up("web-*", "");
    fleet_die("web-1", FIRST, STOP_OPERATOR, 0);
    fleet_run(20000);
    text = explain("web-1");
    assert_string_equal(text.headline, "web-1 is left alone: an operator stopped it.");
    assert_string_equal(text.verdict, "It is not restarted by itself: an operator stopped it.");
    assert_true(says(&text.help, "docker start web-1"));
}

static void test_every_gate_has_its_words(void **state)
{
    (void)state;
    struct scene scene = {.settings = NULL};
    char words[EXPLANATION_LINE_SIZE];
    for (int gate = 0; gate < GATE_N; gate++) {
        explanation_of_gate(&scene, (enum gate)gate, words, sizeof words);
        assert_true(strlen(words) > 10);
        assert_string_not_equal(words, gates_reason((enum gate)gate));
    }
    scene.health.leader = "c2";
    explanation_of_gate(&scene, GATE_LEADER, words, sizeof words);
    assert_string_equal(words, "this controller is not the leader: c2 leads, ask it");
}

static void test_durations(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {{-5, "0.0 s"},     {1500, "1.5 s"},  {59999, "59 s"},   {119999, "119 s"},
                {120000, "2 min"}, {7200000, "2 h"}, {172800000, "2 d"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[32];
        explanation_duration(rows[i].ms, text);
        assert_string_equal(text, rows[i].text);
    }
}

static int tear_down(void **state)
{
    (void)state;
    fleet_end();
    return 0;
}

/* ---- the explanation of the past ---- */

/* As it is told from the last record. */
static struct explanation explain_past(const char *name)
{
    struct explanation told;
    struct wall known_at;
    cleanup_free char *text = event_record_encode(&fleet.record, NULL);
    const char *const documents[] = {text};
    assert_true(past_explain(documents, 1, name, &told, &known_at));
    assert_int_equal(known_at.ms, fleet.record.timestamp.ms / 1000 * 1000);
    return told;
}

/* A record tells evidence, every gate and what comes next as the explanation of that moment did. */
static void test_the_past_is_told_like_the_present(void **state)
{
    (void)state;
    begin_up("", "web-1");
    fleet_die("web-1", FIRST, STOP_CRASH, 1);
    while (look("web-1").gate == GATE_N) {
        fleet_run(10);
    }
    struct explanation now = explain("web-1"), then = explain_past("web-1");
    assert_string_equal(fleet.record.kind, "decision");
    assert_memory_equal(then.is_open, now.is_open, sizeof now.is_open);
    assert_false(then.is_open[GATE_DENY] || then.is_open[GATE_ALLOW]);
    assert_string_equal(then.verdict, now.verdict);
    assert_string_equal(then.next, now.next);
    assert_string_equal(then.next, "nothing, until somebody restarts it or changes what forbids it");
    assert_int_equal(then.next_at.ms, 0);
    assert_int_equal(then.evidence.count, now.evidence.count);
    assert_true(says(&then.evidence, "Docker on h1 says exited, exit code 1, judged crash."));
    assert_true(says(&then.evidence, "Attempts used: 0 of 3."));
    cleanup_free char *text = event_record_encode(&fleet.record, NULL);
    assert_true(strlen(text) < 640);
}

/* What comes next is what the gate that refuses waits for, and when. */
static void test_what_a_gate_waits_for(void **state)
{
    (void)state;
    begin_up("web-*", "");
    struct heartbeat beats[4];
    char name[24];
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "web-%d", i + 1);
        beats[i] = fleet_word("h1", name, CONTAINER_RUNNING, FIRST);
    }
    fleet_inventory("h1", beats, 4, NULL);
    for (int i = 0; i < 3; i++) {
        fleet_die(beats[i].container, FIRST, STOP_CRASH, 1);
    }
    while (strcmp(fleet.record.gate, "breaker") != 0) {
        fleet_run(10);
    }
    char held[LIMIT_NAME_SIZE];
    memory_set_text(held, sizeof held, fleet.record.container);
    struct explanation then = explain_past(held), now = explain(held);
    int64_t recorded_at = fleet.record.timestamp.ms - fleet_wall().ms + fleet.ms;
    assert_string_equal(now.next, "the breaker lets one more through, one at a time");
    assert_int_equal(now.next_at.ms, look(held).breaker_turn_at.ms);
    assert_in_range(mono_diff(now.next_at, fleet_now()), 15001, 30000);
    assert_string_equal(then.next, now.next);
    assert_int_equal(then.next_at.ms - fleet.record.timestamp.ms / 1000 * 1000, now.next_at.ms - recorded_at);

    begin_up("web-*", "");
    fleet.ask_code = ANSWER_DOCKER_ERROR;
    fleet_die("web-1", FIRST, STOP_CRASH, 1);
    while (strcmp(fleet.record.gate, "backoff") != 0) {
        fleet_run(10);
    }
    then = explain_past("web-1"), now = explain("web-1");
    assert_string_equal(now.next, "the backoff ends, and it is tried again");
    assert_int_equal(now.next_at.ms, look("web-1").next_attempt_at.ms);
    assert_string_equal(then.next, now.next);
    assert_true(then.next_at.ms > fleet.record.timestamp.ms + 4000);
}

/* It is looked at again at the next check, and that is when. */
static void test_one_that_is_suspect(void **state)
{
    (void)state;
    begin_up("web-*", "");
    struct heartbeat word = fleet_word("h1", "web-1", CONTAINER_RUNNING, FIRST);
    word.status = BEAT_UNHEALTHY;
    fleet_beat(&word);
    assert_int_equal(look("web-1").state, STATE_SUSPECT);
    struct explanation now = explain("web-1"), then = explain_past("web-1");
    assert_string_equal(now.next, "the next check");
    assert_in_range(mono_diff(now.next_at, fleet_now()), 1, fleet.config.check_interval_ms);
    assert_string_equal(then.next, now.next);
    assert_int_equal(then.next_at.ms - fleet.record.timestamp.ms / 1000 * 1000,
                     mono_diff(now.next_at, fleet_now()));
}

static void always(struct container_spec *spec)
{
    spec->docker_policy = DOCKER_POLICY_ALWAYS;
}

/* Docker goes first: that is said, and how long it has. */
static void test_one_that_docker_restarts(void **state)
{
    (void)state;
    begin_up("web-*", "");
    struct heartbeat word = fleet_word("h1", "web-1", CONTAINER_RUNNING, FIRST);
    fleet_inventory("h1", &word, 1, always);
    word = fleet_word("h1", "web-1", CONTAINER_RESTARTING, FIRST);
    word.stop_class = STOP_CRASH;
    word.exit_code = 3;
    word.is_docker_restarting = true;
    fleet_beat(&word);
    fleet_run(8000);
    struct explanation text = explain("web-1");
    assert_string_equal(text.headline, "web-1 is down: Docker itself is about to start it again.");
    assert_true(says(&text.evidence, "Docker on h1 says restarting, exit code 3, judged crash."));
    assert_true(
        says(&text.evidence, "Docker's own restart policy applies to it: Docker has 82 s to start it."));
}

/* Its own restart does not stand in its way. */
static void test_one_that_is_restarted_now(void **state)
{
    (void)state;
    begin_up("web-*", "");
    fleet.is_silent = true;
    fleet_die("web-1", FIRST, STOP_CRASH, 1);
    while (look("web-1").state != STATE_RESTARTING || fleet.sends == 0) {
        fleet_run(10);
    }
    struct explanation now = explain("web-1"), then = explain_past("web-1");
    assert_true(is_open("web-1", GATE_HOST_LIMIT) && is_open("web-1", GATE_FLEET_LIMIT));
    assert_string_equal(now.verdict, "All gates are open: nothing stands against a restart.");
    assert_string_equal(then.verdict, now.verdict);
    assert_string_equal(then.next, "the agent tells how the restart ended");
    assert_int_equal(then.next_at.ms, 0);
}

/* A hold tells since when and until when, in the view and in the record. */
static void test_one_that_is_held(void **state)
{
    (void)state;
    begin_up("web-*", "");
    int64_t held_at = fleet.ms;
    struct wall until = {fleet_wall().ms + 60000}, later = {fleet_wall().ms + 90000};
    decider_hold(fleet.decider, "container", "web-1", true, until, fleet_now(), fleet_wall());
    fleet_drain();
    struct decider_view_container view = look("web-1");
    assert_int_equal(view.state, STATE_HELD);
    assert_int_equal(view.state_since.ms, held_at);
    assert_int_equal(view.held_until.ms, held_at + 60000);
    struct explanation now = explain("web-1"), then = explain_past("web-1");
    assert_string_equal(now.next, "its hold ends, and it is judged anew");
    assert_int_equal(now.next_at.ms, held_at + 60000);
    assert_string_equal(then.next, now.next);
    assert_false(then.is_open[GATE_HOLD]);
    assert_string_equal(then.verdict, now.verdict);
    fleet_run(5000);
    decider_hold(fleet.decider, "host", "h1", true, later, fleet_now(), fleet_wall());
    decider_hold(fleet.decider, "host", "h2", true, (struct wall){0}, fleet_now(), fleet_wall());
    assert_int_equal(look("web-1").held_until.ms, held_at + 90000); /* the last that covers it */
    assert_int_equal(look("web-1").state_since.ms, held_at);
    decider_hold(fleet.decider, "all", "all", true, (struct wall){0}, fleet_now(), fleet_wall());
    assert_int_equal(look("web-1").held_until.ms, MONO_NEVER.ms);
    now = explain("web-1");
    assert_string_equal(now.next, "nothing, until its hold is released");
    assert_int_equal(now.next_at.ms, 0);
    decider_hold(fleet.decider, "all", "all", false, (struct wall){0}, fleet_now(), fleet_wall());
    decider_hold(fleet.decider, "host", "h1", false, (struct wall){0}, fleet_now(), fleet_wall());
    fleet_run(1000);
    decider_hold(fleet.decider, "container", "web-1", false, (struct wall){0}, fleet_now(), fleet_wall());
    fleet_drain();
    assert_int_equal(look("web-1").held_until.ms, 0);
    assert_int_equal(look("web-1").state_since.ms, fleet.ms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_one_that_is_up, tear_down),
        cmocka_unit_test_teardown(test_one_that_is_denied, tear_down),
        cmocka_unit_test_teardown(test_fleet_and_hosts, tear_down),
        cmocka_unit_test_teardown(test_looking_changes_nothing, tear_down),
        cmocka_unit_test_teardown(test_a_restart_is_counted, tear_down),
        cmocka_unit_test_teardown(test_a_refusal_is_counted_once, tear_down),
        cmocka_unit_test(test_buckets),
        cmocka_unit_test_teardown(test_explanations, tear_down),
        cmocka_unit_test(test_every_gate_has_its_words),
        cmocka_unit_test(test_durations),
        cmocka_unit_test_teardown(test_the_past_is_told_like_the_present, tear_down),
        cmocka_unit_test_teardown(test_what_a_gate_waits_for, tear_down),
        cmocka_unit_test_teardown(test_one_that_is_suspect, tear_down),
        cmocka_unit_test_teardown(test_one_that_docker_restarts, tear_down),
        cmocka_unit_test_teardown(test_one_that_is_restarted_now, tear_down),
        cmocka_unit_test_teardown(test_one_that_is_held, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
