#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <string.h>

#include "agent/core/stop_cause.h"

static const struct stop_cause_config CONFIG = {.stop_settle_ms = 2000, .intent_settle_ms = 15000};
static const struct mono NOW = {5000000}; /* it dies now */

struct seen {
    char what;     /* k d s o: kill, die, stop, oom; 0: none */
    int64_t at_ms; /* beside the death */
    int signal;
};

enum { SEEN_MAX = 5 };

struct row {
    const char *name;
    struct seen seen[SEEN_MAX];
    struct stop_facts facts;
    enum stop_class at_once; /* once all events are in */
    enum stop_class settled; /* after STOP_SETTLE and INTENT_SETTLE, dockerd up */
    enum stop_class down;    /* the stream ended instead */
};

/* Every row of policy.md, section 3, as facts.md saw the events. */
static const struct row ROWS[] = {
    {"docker stop",
     {{'k', -100, 15}, {'d', 0, 0}, {'s', 50, 0}},
     {.exit_code = 0},
     STOP_SETTLING,
     STOP_OPERATOR,
     STOP_SHUTDOWN},
    {"docker stop, TERM ignored",
     {{'k', -10000, 15}, {'k', -10, 9}, {'d', 0, 0}, {'s', 50, 0}},
     {.exit_code = 137},
     STOP_SETTLING,
     STOP_OPERATOR,
     STOP_SHUTDOWN},
    {"26.1: stop before die",
     {{'k', -100, 15}, {'s', -5, 0}, {'d', 0, 0}},
     {.exit_code = 143},
     STOP_SETTLING,
     STOP_OPERATOR,
     STOP_SHUTDOWN},
    {"StopSignal KILL",
     {{'k', -1, 9}, {'d', 0, 0}, {'s', 50, 0}},
     {.exit_code = 137},
     STOP_SETTLING,
     STOP_OPERATOR,
     STOP_SHUTDOWN},
    {"StopSignal QUIT",
     {{'k', -1, 3}, {'d', 0, 0}, {'s', 50, 0}},
     {.exit_code = 0},
     STOP_SETTLING,
     STOP_OPERATOR,
     STOP_SHUTDOWN},
    {"a stop that waits four minutes",
     {{'k', -240000, 15}, {'k', -10, 9}, {'d', 0, 0}, {'s', 50, 0}},
     {.exit_code = 137},
     STOP_SETTLING,
     STOP_OPERATOR,
     STOP_SHUTDOWN},
    {"docker kill", {{'k', -10, 9}, {'d', 0, 0}}, {.exit_code = 137}, STOP_KILLED, STOP_KILLED, STOP_KILLED},
    {"TERM ignored, then docker kill",
     {{'k', -5000, 15}, {'k', -10, 9}, {'d', 0, 0}},
     {.exit_code = 137},
     STOP_SETTLING,
     STOP_KILLED,
     STOP_KILLED},
    {"docker kill -s TERM",
     {{'k', -10, 15}, {'d', 0, 0}},
     {.exit_code = 0},
     STOP_SETTLING,
     STOP_KILLED,
     STOP_KILLED},
    {"docker kill -s HUP",
     {{'k', -10, 1}, {'d', 0, 0}},
     {.exit_code = 129},
     STOP_SETTLING,
     STOP_KILLED,
     STOP_KILLED},
    {"HUP, then a crash",
     {{'k', -5000, 1}, {'d', 0, 0}},
     {.exit_code = 3},
     STOP_SETTLING,
     STOP_CRASH,
     STOP_CRASH},
    {"HUP an hour ago",
     {{'k', -3600000, 1}, {'d', 0, 0}},
     {.exit_code = 129},
     STOP_CRASH,
     STOP_CRASH,
     STOP_CRASH},
    {"crash", {{'d', 0, 0}}, {.exit_code = 1}, STOP_CRASH, STOP_CRASH, STOP_CRASH},
    {"exit 0", {{'d', 0, 0}}, {.exit_code = 0}, STOP_CRASH, STOP_CRASH, STOP_CRASH},
    {"kill -9 from the host", {{'d', 0, 0}}, {.exit_code = 137}, STOP_CRASH, STOP_CRASH, STOP_CRASH},
    {"oom event", {{'o', -20, 0}, {'d', 0, 0}}, {.exit_code = 137}, STOP_OOM, STOP_OOM, STOP_OOM},
    {"oom by inspect", {{'d', 0, 0}}, {.exit_code = 137, .oom_killed = true}, STOP_OOM, STOP_OOM, STOP_OOM},
    {"oom of a child, long ago",
     {{'o', -60000, 0}, {'d', 0, 0}},
     {.exit_code = 1},
     STOP_CRASH,
     STOP_CRASH,
     STOP_CRASH},
    {"oom wins over kill",
     {{'k', -500, 15}, {'o', -20, 0}, {'d', 0, 0}},
     {.exit_code = 137},
     STOP_OOM,
     STOP_OOM,
     STOP_OOM},
    {"stop wins over oom",
     {{'k', -500, 15}, {'o', -20, 0}, {'d', 0, 0}, {'s', 9, 0}},
     {.exit_code = 137},
     STOP_SETTLING,
     STOP_OPERATOR,
     STOP_SHUTDOWN},
    {"one-off",
     {{'d', 0, 0}},
     {.exit_code = 0, .is_oneshot = true},
     STOP_COMPLETED,
     STOP_COMPLETED,
     STOP_COMPLETED},
    {"one-off that failed",
     {{'d', 0, 0}},
     {.exit_code = 1, .is_oneshot = true},
     STOP_CRASH,
     STOP_CRASH,
     STOP_CRASH},
    {"one-off that was killed",
     {{'k', -10, 9}, {'d', 0, 0}},
     {.exit_code = 0, .is_oneshot = true},
     STOP_KILLED,
     STOP_KILLED,
     STOP_KILLED},
    {"exit 125", {{'d', 0, 0}}, {.exit_code = 125}, STOP_START_ERROR, STOP_START_ERROR, STOP_START_ERROR},
    {"exit 127", {{'d', 0, 0}}, {.exit_code = 127}, STOP_START_ERROR, STOP_START_ERROR, STOP_START_ERROR},
    {"exit 124", {{'d', 0, 0}}, {.exit_code = 124}, STOP_CRASH, STOP_CRASH, STOP_CRASH},
    {"State.Error",
     {{'d', 0, 0}},
     {.exit_code = 1, .has_error = true},
     STOP_START_ERROR,
     STOP_START_ERROR,
     STOP_START_ERROR},
};

static void apply(struct stop_evidence *evidence, const struct seen *seen)
{
    struct mono at = mono_add(NOW, seen->at_ms);
    switch (seen->what) {
    case 'k':
        stop_cause_kill(evidence, seen->signal, at);
        break;
    case 'd':
        stop_cause_die(evidence, at);
        break;
    case 's':
        stop_cause_stop(evidence, at);
        break;
    case 'o':
        stop_cause_oom(evidence, at);
        break;
    default:
        break;
    }
}

static void expect(const struct row *row, const struct stop_evidence *evidence, struct mono seen_at,
                   struct mono now, enum stop_class wanted)
{
    struct stop_facts facts = row->facts;
    facts.daemon_seen_at = seen_at;
    struct stop_verdict verdict = stop_cause_judge(&CONFIG, evidence, &facts, now);
    if (verdict.class != wanted) {
        fail_msg("%s: %s, not %s", row->name, stop_class_name(verdict.class), stop_class_name(wanted));
    }
    assert_true((verdict.class == STOP_SETTLING) == (verdict.wake_at.ms != MONO_NEVER.ms));
    assert_true(verdict.class != STOP_SETTLING || verdict.wake_at.ms > now.ms);
}

static void check_order(const struct row *row, const int *order, int count)
{
    struct stop_evidence evidence = {0};
    for (int i = 0; i < count; i++) {
        apply(&evidence, &row->seen[order[i]]);
    }
    stop_cause_looked(&evidence, NOW);
    struct mono late = mono_add(NOW, 16000);
    expect(row, &evidence, (struct mono){0}, NOW, row->at_once);
    expect(row, &evidence, late, late, row->settled);
    struct stop_evidence down = evidence;
    down.is_daemon_gone = down.has_stopped;
    expect(row, &down, late, late, row->down);
}

static void permute(const struct row *row, int *order, int from, int count)
{
    if (from == count) {
        check_order(row, order, count);
    }
    for (int i = from; i < count; i++) {
        int kept = order[from];
        order[from] = order[i];
        order[i] = kept;
        permute(row, order, from + 1, count);
        order[i] = order[from];
        order[from] = kept;
    }
}

static void every_row_in_every_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        int order[SEEN_MAX] = {0, 1, 2, 3, 4};
        int count = 0;
        while (count < SEEN_MAX && ROWS[i].seen[count].what != 0) {
            count++;
        }
        permute(&ROWS[i], order, 0, count);
    }
}

/* One kill, one death; the class at `ms` after the death, looked at (-1: not) so long after it. */
static void expect_at(int signal, int64_t looked_ms, int64_t ms, enum stop_class wanted, int64_t wake_ms)
{
    struct stop_facts facts = {.exit_code = 0};
    struct stop_evidence evidence = {0};
    stop_cause_kill(&evidence, signal, mono_add(NOW, -1000));
    stop_cause_die(&evidence, NOW);
    if (looked_ms >= 0) {
        stop_cause_looked(&evidence, mono_add(NOW, looked_ms));
        stop_cause_looked(&evidence, mono_add(NOW, looked_ms + 100000)); /* only the first counts */
    }
    struct stop_verdict verdict = stop_cause_judge(&CONFIG, &evidence, &facts, mono_add(NOW, ms));
    assert_string_equal(stop_class_name(wanted), stop_class_name(verdict.class));
    if (wanted == STOP_SETTLING) {
        assert_int_equal(NOW.ms + wake_ms, verdict.wake_at.ms);
    }
}

static void settles_at_the_right_times(void **state)
{
    (void)state;
    expect_at(SIGTERM, 0, 0, STOP_SETTLING, 2000);
    expect_at(SIGTERM, 0, 1999, STOP_SETTLING, 2000);
    expect_at(SIGTERM, 0, 2000, STOP_KILLED, 0);
    /* The Engine still cleans up: a stop's own event is not due. */
    expect_at(SIGTERM, -1, 2000, STOP_SETTLING, 32000);
    expect_at(SIGTERM, 9000, 10999, STOP_SETTLING, 11000);
    expect_at(SIGTERM, 9000, 11000, STOP_KILLED, 0);
    expect_at(SIGTERM, -1, 32000, STOP_KILLED, 0);
    /* It may be on its way to be removed. */
    expect_at(SIGKILL, -1, 0, STOP_SETTLING, 30000);
    expect_at(SIGKILL, -1, 30000, STOP_KILLED, 0);
    expect_at(SIGKILL, 20, 20, STOP_KILLED, 0);
}

static void a_stop_is_never_too_late_for_what_settles(void **state)
{
    (void)state;
    struct stop_facts facts = {.exit_code = 0};
    struct stop_evidence evidence = {0};
    stop_cause_kill(&evidence, SIGTERM, mono_add(NOW, -1000));
    stop_cause_die(&evidence, NOW);
    stop_cause_stop(&evidence, mono_add(NOW, 1000));
    struct stop_verdict verdict = stop_cause_judge(&CONFIG, &evidence, &facts, mono_add(NOW, 2000));
    assert_int_equal(STOP_SETTLING, verdict.class);
    assert_int_equal(NOW.ms + 16000, verdict.wake_at.ms);
}

static void what_docker_removes_by_itself_did_not_crash(void **state)
{
    (void)state;
    struct stop_facts facts = {.exit_code = 1, .is_auto_remove = true};
    struct stop_evidence evidence = {0};
    stop_cause_die(&evidence, NOW);
    struct stop_verdict verdict = stop_cause_judge(&CONFIG, &evidence, &facts, mono_add(NOW, 9999));
    assert_int_equal(STOP_SETTLING, verdict.class);
    assert_int_equal(NOW.ms + 10000, verdict.wake_at.ms);
    assert_int_equal(STOP_CRASH, stop_cause_judge(&CONFIG, &evidence, &facts, mono_add(NOW, 10000)).class);
}

/* A dockerd that shuts down for a minute must not make operator stops of what it stops. */
static void an_operator_stop_needs_the_daemons_answer(void **state)
{
    (void)state;
    struct stop_facts facts = {.daemon_seen_at = mono_add(NOW, 14999)};
    struct stop_evidence evidence = {0};
    stop_cause_die(&evidence, NOW);
    stop_cause_stop(&evidence, NOW);
    assert_int_equal(STOP_SETTLING, stop_cause_judge(&CONFIG, &evidence, &facts, mono_add(NOW, 60000)).class);
    facts.daemon_seen_at = mono_add(NOW, 15000);
    assert_int_equal(STOP_OPERATOR, stop_cause_judge(&CONFIG, &evidence, &facts, mono_add(NOW, 15000)).class);
}

static void blind_deaths_go_by_the_exit_code(void **state)
{
    (void)state;
    static const struct {
        int exit_code;
        bool is_oneshot, oom_killed;
        enum stop_class wanted;
    } CASES[] = {{0, false, false, STOP_UNSEEN},        {130, false, false, STOP_UNSEEN},
                 {143, false, false, STOP_UNSEEN},      {137, false, false, STOP_CRASH},
                 {1, false, false, STOP_CRASH},         {0, true, false, STOP_COMPLETED},
                 {127, false, false, STOP_START_ERROR}, {137, false, true, STOP_OOM}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct stop_facts facts = {.exit_code = CASES[i].exit_code,
                                   .is_oneshot = CASES[i].is_oneshot,
                                   .oom_killed = CASES[i].oom_killed};
        struct stop_evidence evidence = {.has_died = true, .died_at = NOW, .is_blind = true};
        struct stop_verdict verdict = stop_cause_judge(&CONFIG, &evidence, &facts, NOW);
        assert_int_equal(CASES[i].oom_killed ? STOP_OOM : STOP_SETTLING, verdict.class);
        verdict = stop_cause_judge(&CONFIG, &evidence, &facts, mono_add(NOW, 2000));
        assert_int_equal(CASES[i].wanted, verdict.class);
        stop_cause_die(&evidence, NOW);
        assert_false(evidence.is_blind);
    }
}

static void own_and_intended_win_over_everything(void **state)
{
    (void)state;
    struct stop_facts facts = {.exit_code = 137, .oom_killed = true, .has_error = true};
    struct stop_evidence evidence = {0};
    stop_cause_kill(&evidence, SIGKILL, NOW);
    stop_cause_die(&evidence, NOW);
    stop_cause_stop(&evidence, NOW);
    evidence.is_daemon_gone = true;
    evidence.is_intended = true;
    assert_int_equal(STOP_OPERATOR, stop_cause_judge(&CONFIG, &evidence, &facts, NOW).class);
    evidence.is_own = true;
    assert_int_equal(STOP_OWN, stop_cause_judge(&CONFIG, &evidence, &facts, NOW).class);
}

static struct stop_evidence killed_and_stopped(void)
{
    struct stop_evidence evidence = {.is_intended = true};
    for (int i = 0; i < 4; i++) {
        apply(&evidence, &ROWS[1].seen[i]);
    }
    return evidence;
}

static void a_start_ends_what_came_before(void **state)
{
    (void)state;
    struct stop_evidence nothing = {0}, evidence = killed_and_stopped();
    stop_cause_started(&evidence);
    assert_memory_equal(&nothing, &evidence, sizeof nothing);
}

/* Whose death was it that we heard of? */
static void a_start_that_was_missed(void **state)
{
    (void)state;
    struct stop_evidence evidence = killed_and_stopped();
    stop_cause_start_missed(&evidence, true);
    assert_true(evidence.has_died && evidence.has_stopped && evidence.first_signal == SIGTERM);
    stop_cause_start_missed(&evidence, false);
    assert_false(evidence.has_died || evidence.has_stopped || evidence.is_intended);
    assert_int_equal(SIGTERM, evidence.first_signal);
    assert_int_equal(SIGKILL, evidence.last_signal);
    evidence = killed_and_stopped();
    evidence.is_blind = true; /* the old death was found, not heard */
    stop_cause_start_missed(&evidence, true);
    assert_false(evidence.has_died || evidence.has_stopped || evidence.is_intended);
}

/* A reload by SIGHUP and an OOM of a child that it survived, both long ago, are no cause of this death. */
static void what_is_long_ago_is_no_cause(void **state)
{
    (void)state;
    struct stop_facts facts = {.exit_code = 1};
    struct stop_evidence evidence = {0};
    stop_cause_looked(&evidence, NOW); /* it is not dead: nothing was looked at */
    assert_false(evidence.is_looked);
    stop_cause_kill(&evidence, SIGTERM, mono_add(NOW, -600001));
    stop_cause_oom(&evidence, mono_add(NOW, -5001));
    stop_cause_die(&evidence, NOW);
    assert_false(stop_cause_has_api_kill(&evidence));
    assert_int_equal(STOP_CRASH, stop_cause_judge(&CONFIG, &evidence, &facts, NOW).class);
    evidence = (struct stop_evidence){0};
    stop_cause_kill(&evidence, SIGTERM, mono_add(NOW, -600000));
    stop_cause_oom(&evidence, mono_add(NOW, -5000));
    stop_cause_die(&evidence, NOW);
    assert_true(stop_cause_has_api_kill(&evidence));
    assert_int_equal(STOP_OOM, stop_cause_judge(&CONFIG, &evidence, &facts, NOW).class);
    evidence = (struct stop_evidence){0};
    stop_cause_kill(&evidence, SIGHUP, mono_add(NOW, -700000)); /* another one, and not the first of a row */
    stop_cause_kill(&evidence, SIGKILL, mono_add(NOW, -1));
    assert_int_equal(SIGKILL, evidence.first_signal);
    stop_cause_stop(&evidence, NOW);
    evidence.first_signal = 0;
    assert_true(stop_cause_has_api_kill(&evidence)); /* Docker was asked to stop it, whatever it sent */
}

/* SIGUSR1 ends most programs, and its exit code then says so; the last signal counts as well as the first. */
static void a_signal_is_the_cause_where_the_exit_code_says_so(void **state)
{
    (void)state;
    static const struct {
        int first, last, exit_code;
        enum stop_class wanted;
    } CASES[] = {{SIGUSR1, SIGUSR1, 128 + SIGUSR1, STOP_KILLED},
                 {SIGUSR1, SIGUSR1, 3, STOP_CRASH},
                 {SIGHUP, SIGTERM, 3, STOP_KILLED},
                 {SIGHUP, SIGUSR1, 128 + SIGUSR1, STOP_KILLED}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct stop_facts facts = {.exit_code = CASES[i].exit_code};
        struct stop_evidence evidence = {0};
        stop_cause_kill(&evidence, CASES[i].first, mono_add(NOW, -20));
        stop_cause_kill(&evidence, CASES[i].last, mono_add(NOW, -10));
        stop_cause_die(&evidence, NOW);
        stop_cause_looked(&evidence, NOW);
        assert_int_equal(CASES[i].wanted,
                         stop_cause_judge(&CONFIG, &evidence, &facts, mono_add(NOW, 2000)).class);
    }
}

/* A reload is none, nor is a signal that waits for nobody; one that died is beyond it. */
static void who_was_asked_to_end_is_stopping(void **state)
{
    (void)state;
    static const struct {
        int first, last;
        bool is_stopping;
    } CASES[] = {{SIGTERM, SIGTERM, true}, {SIGINT, SIGKILL, true},  {SIGHUP, SIGTERM, true},
                 {SIGQUIT, SIGQUIT, true}, {SIGHUP, SIGHUP, false},  {SIGKILL, SIGKILL, false},
                 {SIGUSR1, SIGHUP, false}, {SIGWINCH, SIGTERM, true}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct stop_evidence evidence = {0};
        stop_cause_kill(&evidence, CASES[i].first, mono_add(NOW, -20));
        stop_cause_kill(&evidence, CASES[i].last, mono_add(NOW, -10));
        int64_t wanted = CASES[i].is_stopping ? NOW.ms - 10 + 40000 : MONO_NEVER.ms;
        assert_int_equal(wanted, stop_cause_stopping_until(&evidence, 40000).ms);
        stop_cause_die(&evidence, NOW);
        assert_int_equal(MONO_NEVER.ms, stop_cause_stopping_until(&evidence, 40000).ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_in_every_order),
        cmocka_unit_test(settles_at_the_right_times),
        cmocka_unit_test(a_stop_is_never_too_late_for_what_settles),
        cmocka_unit_test(what_docker_removes_by_itself_did_not_crash),
        cmocka_unit_test(an_operator_stop_needs_the_daemons_answer),
        cmocka_unit_test(blind_deaths_go_by_the_exit_code),
        cmocka_unit_test(own_and_intended_win_over_everything),
        cmocka_unit_test(a_start_ends_what_came_before),
        cmocka_unit_test(a_start_that_was_missed),
        cmocka_unit_test(what_is_long_ago_is_no_cause),
        cmocka_unit_test(a_signal_is_the_cause_where_the_exit_code_says_so),
        cmocka_unit_test(who_was_asked_to_end_is_stopping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
