#include "agent/core/command_gate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/memory.h"

#define INCARNATION "2026-01-23T19:05:30.123456789Z"
#define LATER       "2026-01-23T19:06:00.000000001Z"
#define ID_A        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_B        "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

/* A restart of a running container that everything speaks for; each case changes one or two things. */
struct scene {
    struct command command;
    struct command_facts facts;
    struct outcome known;
    struct command_gate_input input;
};

static void scene_init(struct scene *scene)
{
    memset(scene, 0, sizeof *scene);
    scene->command = (struct command){.op = OP_RESTART,
                                      .epoch = 5,
                                      .host = "h1",
                                      .container = "shard-1",
                                      .container_id = ID_A,
                                      .expect_started_at = INCARNATION,
                                      .stop_timeout_ms = 10000,
                                      .ttl_ms = 1000};
    scene->facts = (struct command_facts){
        .container_id = ID_A, .started_at = INCARNATION, .state = CONTAINER_RUNNING, .stop_class = STOP_NONE};
    scene->input = (struct command_gate_input){
        .command = &scene->command, .host = "h1", .epoch = 5, .facts = &scene->facts};
}

static struct command_verdict verdict_of(const struct scene *scene)
{
    struct command_verdict verdict;
    command_gate_judge(&scene->input, &verdict);
    bool is_go = verdict.code == ANSWER_ACCEPTED && !verdict.is_replay;
    assert_int_equal(is_go, verdict.act == OP_START || verdict.act == OP_RESTART);
    assert_true(verdict.is_replay || is_go == (verdict.detail[0] == '\0'));
    return verdict;
}

static void lets_a_good_restart_through(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene);
    assert_int_equal(verdict_of(&scene).act, OP_RESTART);
}

/* What was commanded, what is there, what comes of it. */
static void judges_by_state(void **state)
{
    (void)state;
    static const struct {
        enum command_op op;
        enum container_state state;
        enum stop_class class;
        enum answer_code code;
        enum command_op act;
    } CASES[] = {
        {OP_RESTART, CONTAINER_RUNNING, STOP_NONE, ANSWER_ACCEPTED, OP_RESTART},
        {OP_RESTART, CONTAINER_RUNNING, STOP_OPERATOR, ANSWER_ACCEPTED, OP_RESTART}, /* an old class */
        {OP_START, CONTAINER_RUNNING, STOP_NONE, ANSWER_NOT_NEEDED, OP_UNKNOWN},
        {OP_START, CONTAINER_EXITED, STOP_CRASH, ANSWER_ACCEPTED, OP_START},
        {OP_RESTART, CONTAINER_EXITED, STOP_CRASH, ANSWER_ACCEPTED, OP_START},
        {OP_START, CONTAINER_EXITED, STOP_OOM, ANSWER_ACCEPTED, OP_START},
        {OP_START, CONTAINER_EXITED, STOP_KILLED, ANSWER_ACCEPTED, OP_START},
        {OP_START, CONTAINER_EXITED, STOP_OWN, ANSWER_ACCEPTED, OP_START},
        {OP_START, CONTAINER_EXITED, STOP_START_ERROR, ANSWER_ACCEPTED, OP_START},
        {OP_START, CONTAINER_CREATED, STOP_START_ERROR, ANSWER_ACCEPTED, OP_START},
        {OP_START, CONTAINER_CREATED, STOP_NONE, ANSWER_REFUSED_STOPPED, OP_UNKNOWN},
        {OP_START, CONTAINER_EXITED, STOP_OPERATOR, ANSWER_REFUSED_STOPPED, OP_UNKNOWN},
        {OP_RESTART, CONTAINER_EXITED, STOP_OPERATOR, ANSWER_REFUSED_STOPPED, OP_UNKNOWN},
        {OP_START, CONTAINER_EXITED, STOP_SETTLING, ANSWER_REFUSED_STOPPED, OP_UNKNOWN},
        {OP_START, CONTAINER_EXITED, STOP_SHUTDOWN, ANSWER_REFUSED_STOPPED, OP_UNKNOWN},
        {OP_START, CONTAINER_EXITED, STOP_COMPLETED, ANSWER_REFUSED_STOPPED, OP_UNKNOWN},
        {OP_START, CONTAINER_EXITED, STOP_UNSEEN, ANSWER_REFUSED_STOPPED, OP_UNKNOWN},
        {OP_START, CONTAINER_EXITED, STOP_NONE, ANSWER_REFUSED_STOPPED, OP_UNKNOWN},
        {OP_START, CONTAINER_EXITED, STOP_UNKNOWN, ANSWER_REFUSED_STOPPED, OP_UNKNOWN},
        {OP_RESTART, CONTAINER_PAUSED, STOP_NONE, ANSWER_REFUSED_HELD, OP_UNKNOWN},
        {OP_RESTART, CONTAINER_RESTARTING, STOP_CRASH, ANSWER_REFUSED_HELD, OP_UNKNOWN},
        {OP_START, CONTAINER_UNKNOWN, STOP_CRASH, ANSWER_REFUSED_HELD, OP_UNKNOWN},
        {OP_START, CONTAINER_REMOVING, STOP_CRASH, ANSWER_NOT_FOUND, OP_UNKNOWN},
        {OP_START, CONTAINER_DEAD, STOP_CRASH, ANSWER_NOT_FOUND, OP_UNKNOWN},
        {OP_PING, CONTAINER_RUNNING, STOP_NONE, ANSWER_BAD_REQUEST, OP_UNKNOWN},
        {OP_START, CONTAINER_STATE_N, STOP_CRASH, ANSWER_REFUSED_HELD, OP_UNKNOWN}, /* no state there is */
        {OP_START, CONTAINER_EXITED, STOP_CLASS_N, ANSWER_REFUSED_STOPPED, OP_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct scene scene;
        scene_init(&scene);
        scene.command.op = CASES[i].op;
        scene.facts.state = CASES[i].state;
        scene.facts.stop_class = CASES[i].class;
        struct command_verdict verdict = verdict_of(&scene);
        if (verdict.code != CASES[i].code || verdict.act != CASES[i].act) {
            fail_msg("case %zu: %s, act %s", i, answer_code_name(verdict.code), command_op_name(verdict.act));
        }
    }
}

static void a_shutdown_is_undone_once_docker_is_back(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene);
    scene.command.op = OP_START;
    scene.facts.state = CONTAINER_EXITED;
    scene.facts.stop_class = STOP_SHUTDOWN;
    assert_int_equal(verdict_of(&scene).code, ANSWER_REFUSED_STOPPED);
    scene.facts.is_engine_up = true;
    assert_int_equal(verdict_of(&scene).act, OP_START);
}

static void a_stop_under_way_is_not_undone(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene);
    scene.facts.is_stopping = true;
    assert_int_equal(verdict_of(&scene).code, ANSWER_BUSY);
}

static void a_child_waits_for_what_it_lives_in(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene);
    scene.facts.is_parent_down = true;
    assert_int_equal(verdict_of(&scene).code, ANSWER_BUSY);
    scene.facts.state = CONTAINER_EXITED;
    scene.facts.stop_class = STOP_CRASH;
    assert_int_equal(verdict_of(&scene).code, ANSWER_BUSY);
    scene.facts.is_parent_down = false;
    assert_int_equal(verdict_of(&scene).act, OP_START);
}

static void waits_for_dockers_own_policy(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene);
    scene.facts.state = CONTAINER_EXITED;
    scene.facts.stop_class = STOP_CRASH;
    scene.facts.is_docker_restarting = true;
    assert_int_equal(verdict_of(&scene).code, ANSWER_REFUSED_HELD);
}

/* Each brake, and that an earlier one wins over all behind it: brakes are pulled from the last to the first.
 */
static void the_first_objection_is_the_answer(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene);
    assert_int_equal(verdict_of(&scene).code, ANSWER_ACCEPTED);
    scene.input.changes_short = COMMAND_GATE_SHORT_MAX;
    assert_int_equal(verdict_of(&scene).code, ANSWER_BUSY);
    scene.input.changes_short = COMMAND_GATE_SHORT_MAX - 1;
    scene.input.changes_long = COMMAND_GATE_LONG_MAX - 1;
    assert_int_equal(verdict_of(&scene).code, ANSWER_ACCEPTED);
    scene.input.changes_long = COMMAND_GATE_LONG_MAX;
    assert_int_equal(verdict_of(&scene).code, ANSWER_BUSY);
    scene.facts.state = CONTAINER_PAUSED;
    assert_int_equal(verdict_of(&scene).code, ANSWER_REFUSED_HELD);
    memory_set_text(scene.facts.started_at, sizeof scene.facts.started_at, LATER);
    assert_int_equal(verdict_of(&scene).code, ANSWER_ALREADY_RESTARTED);
    scene.input.is_busy = true;
    assert_int_equal(verdict_of(&scene).code, ANSWER_BUSY);
    scene.facts.denied = "redis_in_use";
    assert_int_equal(verdict_of(&scene).code, ANSWER_REFUSED_DENIED);
    assert_non_null(strstr(verdict_of(&scene).detail, "redis_in_use"));
    memory_set_text(scene.facts.container_id, sizeof scene.facts.container_id, ID_B);
    assert_int_equal(verdict_of(&scene).code, ANSWER_STALE_TARGET);
    scene.input.facts = NULL;
    assert_int_equal(verdict_of(&scene).code, ANSWER_BUSY);
    scene.input.is_listed = true;
    assert_int_equal(verdict_of(&scene).code, ANSWER_NOT_FOUND);
    scene.input.epoch = 6;
    assert_int_equal(verdict_of(&scene).code, ANSWER_STALE_EPOCH);
    scene.input.age_ms = 1001;
    assert_int_equal(verdict_of(&scene).code, ANSWER_EXPIRED);
    scene.known = (struct outcome){.code = ANSWER_DOCKER_ERROR, .detail = "as it was"};
    scene.input.known = &scene.known;
    assert_int_equal(verdict_of(&scene).code, ANSWER_DOCKER_ERROR);
    assert_string_equal(verdict_of(&scene).detail, "as it was");
    scene.input.is_in_flight = true;
    assert_int_equal(verdict_of(&scene).code, ANSWER_ACCEPTED);
    assert_true(verdict_of(&scene).is_replay);
    scene.command.container_id[0] = '\0';
    assert_int_equal(verdict_of(&scene).code, ANSWER_BAD_REQUEST);
    memory_set_text(scene.command.host, sizeof scene.command.host, "h2");
    assert_int_equal(verdict_of(&scene).code, ANSWER_BAD_REQUEST);
    assert_non_null(strstr(verdict_of(&scene).detail, "h2"));
}

static void what_says_too_little_is_no_command(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene);
    scene.command.container[0] = '\0';
    assert_int_equal(verdict_of(&scene).code, ANSWER_BAD_REQUEST);
    scene_init(&scene);
    scene.command.stop_timeout_ms = -1;
    assert_int_equal(verdict_of(&scene).code, ANSWER_BAD_REQUEST);
    scene.command.stop_timeout_ms = 0;
    assert_int_equal(verdict_of(&scene).act, OP_RESTART);
}

static void an_incarnation_must_be_the_one(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene);
    memory_set_text(scene.facts.started_at, sizeof scene.facts.started_at, LATER);
    assert_int_equal(verdict_of(&scene).code, ANSWER_ALREADY_RESTARTED);
    scene.facts.state = CONTAINER_PAUSED;
    assert_int_equal(verdict_of(&scene).code, ANSWER_ALREADY_RESTARTED);
    scene.facts.state = CONTAINER_EXITED; /* it was started and died again: another death, another decision */
    scene.facts.stop_class = STOP_CRASH;
    assert_int_equal(verdict_of(&scene).code, ANSWER_STALE_TARGET);
    scene.facts.started_at[0] = '\0';
    assert_int_equal(verdict_of(&scene).code, ANSWER_BUSY); /* not inspected yet */
    scene_init(&scene);
    scene.command.expect_started_at[0] = '\0';
    assert_int_equal(verdict_of(&scene).code, ANSWER_BAD_REQUEST);
}

static void a_command_without_time_to_live_is_expired(void **state)
{
    (void)state;
    static const struct {
        int64_t ttl, age;
        enum answer_code code;
    } CASES[] = {{1000, 0, ANSWER_ACCEPTED}, {1000, 1000, ANSWER_ACCEPTED}, {1000, 1001, ANSWER_EXPIRED},
                 {0, 0, ANSWER_EXPIRED},     {-1, 0, ANSWER_EXPIRED},       {INT64_MAX, 1, ANSWER_ACCEPTED}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct scene scene;
        scene_init(&scene);
        scene.command.ttl_ms = CASES[i].ttl;
        scene.input.age_ms = CASES[i].age;
        assert_int_equal(verdict_of(&scene).code, CASES[i].code);
    }
}

static void a_newer_epoch_is_welcome(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene);
    scene.command.epoch = UINT64_MAX;
    assert_int_equal(verdict_of(&scene).code, ANSWER_ACCEPTED);
    scene.command.epoch = 4;
    assert_int_equal(verdict_of(&scene).code, ANSWER_STALE_EPOCH);
}

/* Whatever the facts: what goes through meets every condition at once. */
static void nothing_goes_through_against_the_rules(void **state)
{
    (void)state;
    srand(3);
    size_t passed = 0;
    for (int round = 0; round < 200000; round++) {
        struct scene scene;
        scene_init(&scene);
        scene.command.op = (enum command_op)(rand() % COMMAND_OP_N);
        scene.command.epoch = (uint64_t)(rand() % 3 + 4);
        scene.command.ttl_ms = rand() % 4 * 500;
        scene.input.age_ms = rand() % 1200;
        scene.facts.state = (enum container_state)(rand() % CONTAINER_STATE_N);
        scene.facts.stop_class = (enum stop_class)(rand() % STOP_CLASS_N);
        scene.facts.is_docker_restarting = rand() % 4 == 0;
        scene.facts.denied = rand() % 4 == 0 ? "own" : NULL;
        scene.input.is_busy = rand() % 4 == 0;
        scene.input.is_in_flight = rand() % 8 == 0;
        scene.input.known = rand() % 8 == 0 ? &scene.known : NULL;
        scene.input.changes_short = (size_t)rand() % (COMMAND_GATE_SHORT_MAX + 2);
        memory_set_text(scene.facts.container_id, sizeof scene.facts.container_id,
                        rand() % 4 == 0 ? ID_B : ID_A);
        memory_set_text(scene.facts.started_at, sizeof scene.facts.started_at,
                        rand() % 4 == 0 ? LATER : INCARNATION);
        scene.input.facts = rand() % 8 == 0 ? NULL : &scene.facts;
        struct command_verdict verdict = verdict_of(&scene);
        if (verdict.act == OP_UNKNOWN) {
            continue;
        }
        passed++;
        assert_non_null(scene.input.facts);
        assert_null(scene.facts.denied);
        assert_null(scene.input.known);
        assert_false(scene.input.is_in_flight || scene.input.is_busy);
        assert_string_equal(scene.facts.container_id, ID_A);
        assert_string_equal(scene.facts.started_at, INCARNATION);
        assert_true(scene.command.epoch >= 5 && scene.input.age_ms <= scene.command.ttl_ms);
        assert_true(scene.input.changes_short < COMMAND_GATE_SHORT_MAX);
        bool is_up = scene.facts.state == CONTAINER_RUNNING;
        enum stop_class class = scene.facts.stop_class;
        assert_true(is_up || class == STOP_CRASH || class == STOP_KILLED || class == STOP_OOM ||
                    class == STOP_START_ERROR || class == STOP_OWN);
        assert_int_equal(verdict.act, is_up ? OP_RESTART : OP_START);
    }
    assert_true(passed > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lets_a_good_restart_through),
        cmocka_unit_test(judges_by_state),
        cmocka_unit_test(a_shutdown_is_undone_once_docker_is_back),
        cmocka_unit_test(a_stop_under_way_is_not_undone),
        cmocka_unit_test(a_child_waits_for_what_it_lives_in),
        cmocka_unit_test(waits_for_dockers_own_policy),
        cmocka_unit_test(the_first_objection_is_the_answer),
        cmocka_unit_test(what_says_too_little_is_no_command),
        cmocka_unit_test(an_incarnation_must_be_the_one),
        cmocka_unit_test(a_command_without_time_to_live_is_expired),
        cmocka_unit_test(a_newer_epoch_is_welcome),
        cmocka_unit_test(nothing_goes_through_against_the_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
