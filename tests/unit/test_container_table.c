#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/container_table.h"
#include "common/memory.h"

#define SEC  1000000000LL
#define BORN (1000 * SEC)

static const char ID_A[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
static const char ID_B[] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
static const char ID_C[] = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";

/* ---- a table with a clock of its own ---- */

struct fixture {
    struct name_patterns globs, deny;
    struct container_table_config config;
    struct container_table *table;
    struct mono now;
    int complaints;
};

static void count_complaint(void *arg, const char *text)
{
    struct fixture *fixture = arg;
    assert_non_null(strstr(text, "Container "));
    fixture->complaints++;
}

static void open_table(struct fixture *fixture)
{
    *fixture = (struct fixture){.now = {100000}};
    fixture->config = (struct container_table_config){
        .name_prefix = "",
        .watch = CONTAINER_WATCH_ALL,
        .watch_globs = &fixture->globs,
        .deny = &fixture->deny,
        .stop = {.stop_settle_ms = 2000, .intent_settle_ms = 15000},
        .self_id = "",
        .complain = count_complaint,
        .complain_arg = fixture,
    };
    fixture->table = container_table_new(&fixture->config);
}

static void close_table(struct fixture *fixture)
{
    container_table_free(fixture->table);
    name_patterns_free(&fixture->globs);
    name_patterns_free(&fixture->deny);
}

static void event_at(struct fixture *fixture, const char *id, enum engine_action action, int64_t at_ns,
                     int number, bool is_history)
{
    struct engine_event event = {.action = action, .time_ns = at_ns};
    memory_set_text(event.id, sizeof event.id, id);
    memory_set_text(event.name, sizeof event.name, id == ID_A ? "a" : "b");
    event.signal = action == ENGINE_ACTION_KILL ? number : 0;
    event.has_exit_code = action == ENGINE_ACTION_DIE;
    event.exit_code = number;
    event.health = action == ENGINE_ACTION_HEALTH ? (enum container_health)number : HEALTH_UNKNOWN;
    container_table_event(fixture->table, &event, is_history, fixture->now);
}

static void event(struct fixture *fixture, const char *id, enum engine_action action, int64_t at_ns,
                  int number)
{
    event_at(fixture, id, action, at_ns, number, false);
}

static struct engine_container facts_of(const char *id, enum container_state state, int64_t started_ns)
{
    struct engine_container facts = {
        .state = state, .health = HEALTH_NONE, .started_ns = started_ns, .stop_timeout_secs = -1};
    memory_set_text(facts.id, sizeof facts.id, id);
    memory_set_text(facts.name, sizeof facts.name, id == ID_A ? "a" : "b");
    snprintf(facts.started_at, sizeof facts.started_at, "T%lld", (long long)started_ns);
    facts.policy = DOCKER_POLICY_NO;
    bool is_down = state == CONTAINER_EXITED || state == CONTAINER_RESTARTING;
    facts.finished_ns = is_down ? started_ns + SEC : 0;
    facts.pid = state == CONTAINER_RUNNING ? 42 : 0;
    return facts;
}

/* Asks for nothing: as if the table had wanted it. */
static void inspected(struct fixture *fixture, const char *id, enum container_state state, int64_t started_ns,
                      int exit_code)
{
    struct engine_container facts = facts_of(id, state, started_ns);
    facts.exit_code = exit_code;
    container_table_inspected(fixture->table, &facts, fixture->now);
}

static void list_one(struct fixture *fixture, const char *id, enum container_state state,
                     enum container_sweep what)
{
    struct engine_summary row = {.state = state, .health = HEALTH_NONE};
    memory_set_text(row.id, sizeof row.id, id);
    memory_set_text(row.name, sizeof row.name, id == ID_A ? "a" : "b");
    container_table_sweep_begin(fixture->table);
    container_table_sweep(fixture->table, &row, 1, what, fixture->now);
}

static void drain(struct fixture *fixture)
{
    bool is_removed;
    while (container_table_next_changed(fixture->table, &is_removed) != NULL) {
    }
}

static const struct container *look(const struct fixture *fixture, const char *id)
{
    const struct container *container = container_table_by_id(fixture->table, id);
    assert_non_null(container);
    return container;
}

/* A running container `a`, born at BORN, nothing pending. */
static void open_running(struct fixture *fixture)
{
    open_table(fixture);
    list_one(fixture, ID_A, CONTAINER_RUNNING, CONTAINER_SWEEP_ALL);
    assert_string_equal(ID_A, container_table_next_inspect(fixture->table));
    inspected(fixture, ID_A, CONTAINER_RUNNING, BORN, 0);
    drain(fixture);
}

static void pass(struct fixture *fixture, int64_t ms)
{
    fixture->now = mono_add(fixture->now, ms);
    container_table_tick(fixture->table, fixture->now);
}

static void expect(const struct fixture *fixture, const char *id, enum container_state state,
                   enum stop_class class)
{
    const struct container *container = look(fixture, id);
    assert_string_equal(container_state_name(state), container_state_name(container->state));
    assert_string_equal(stop_class_name(class), stop_class_name(container->stop_class));
}

static void operator_stops(struct fixture *fixture)
{
    event(fixture, ID_A, ENGINE_ACTION_KILL, BORN + 5 * SEC, 15);
    event(fixture, ID_A, ENGINE_ACTION_DIE, BORN + 6 * SEC, 0);
    event(fixture, ID_A, ENGINE_ACTION_STOP, BORN + 6 * SEC + 50000000, 0);
    assert_string_equal(ID_A, container_table_next_inspect(fixture->table));
    inspected(fixture, ID_A, CONTAINER_EXITED, BORN, 0);
}

/* ---- facts ---- */

static void a_death_is_told_at_once_and_inspected(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    uint64_t change = container_table_change(fixture.table);
    event(&fixture, ID_A, ENGINE_ACTION_DIE, BORN + 5 * SEC, 7);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_CRASH);
    assert_true(container_table_change(fixture.table) > change);
    assert_int_equal(7, look(&fixture, ID_A)->exit_code);
    bool is_removed;
    const struct container *changed = container_table_next_changed(fixture.table, &is_removed);
    assert_non_null(changed);
    assert_false(is_removed);
    assert_string_equal(ID_A, container_table_next_inspect(fixture.table));
    assert_null(container_table_next_inspect(fixture.table));
    struct engine_container facts = facts_of(ID_A, CONTAINER_EXITED, BORN);
    facts.exit_code = 7;
    facts.oom_killed = true;
    container_table_inspected(fixture.table, &facts, fixture.now);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_OOM);
    assert_non_null(container_table_next_changed(fixture.table, &is_removed));
    assert_null(container_table_next_changed(fixture.table, &is_removed));
    close_table(&fixture);
}

static void an_inspect_from_before_an_event_is_thrown_away(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    event(&fixture, ID_A, ENGINE_ACTION_UPDATE, BORN + 4 * SEC, 0);
    assert_string_equal(ID_A, container_table_next_inspect(fixture.table));
    event(&fixture, ID_A, ENGINE_ACTION_DIE, BORN + 5 * SEC, 1);
    inspected(&fixture, ID_A, CONTAINER_RUNNING, BORN, 0);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_CRASH);
    assert_string_equal(ID_A, container_table_next_inspect(fixture.table));
    inspected(&fixture, ID_A, CONTAINER_EXITED, BORN, 1);
    assert_null(container_table_next_inspect(fixture.table));
    close_table(&fixture);
}

/* Between `start` and its inspect nobody knows the incarnation: the table keeps still. */
static void a_start_shows_with_its_incarnation(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    event(&fixture, ID_A, ENGINE_ACTION_DIE, BORN + 5 * SEC, 1);
    assert_string_equal(ID_A, container_table_next_inspect(fixture.table));
    inspected(&fixture, ID_A, CONTAINER_EXITED, BORN, 1);
    drain(&fixture);
    event(&fixture, ID_A, ENGINE_ACTION_START, BORN + 9 * SEC, 0);
    bool is_removed;
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_CRASH);
    assert_null(container_table_next_changed(fixture.table, &is_removed));
    assert_string_equal(ID_A, container_table_next_inspect(fixture.table));
    inspected(&fixture, ID_A, CONTAINER_RUNNING, BORN + 8 * SEC, 0);
    expect(&fixture, ID_A, CONTAINER_RUNNING, STOP_NONE);
    assert_string_equal("T1008000000000", look(&fixture, ID_A)->incarnation);
    assert_false(look(&fixture, ID_A)->has_exit_code);
    assert_non_null(container_table_next_changed(fixture.table, &is_removed));
    close_table(&fixture);
}

static void only_an_unhealthy_one_is_inspected_for_health_or_pause(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    event(&fixture, ID_A, ENGINE_ACTION_HEALTH, BORN + 2 * SEC, HEALTH_HEALTHY);
    assert_int_equal(HEALTH_HEALTHY, look(&fixture, ID_A)->health);
    event(&fixture, ID_A, ENGINE_ACTION_PAUSE, BORN + 3 * SEC, 0);
    expect(&fixture, ID_A, CONTAINER_PAUSED, STOP_NONE);
    event(&fixture, ID_A, ENGINE_ACTION_UNPAUSE, BORN + 4 * SEC, 0);
    expect(&fixture, ID_A, CONTAINER_RUNNING, STOP_NONE);
    assert_null(container_table_next_inspect(fixture.table));
    event(&fixture, ID_A, ENGINE_ACTION_HEALTH, BORN + 5 * SEC, HEALTH_UNHEALTHY);
    assert_int_equal(HEALTH_UNHEALTHY, look(&fixture, ID_A)->health);
    assert_string_equal(ID_A, container_table_next_inspect(fixture.table)); /* what did the check say? */
    close_table(&fixture);
}

/* With DEFIB_WATCH=label a misspelt `true` would leave a container alone without a word. */
static void an_unwatched_one_with_an_odd_label_is_told_once(void **state)
{
    (void)state;
    struct fixture fixture;
    open_table(&fixture);
    fixture.config.watch = CONTAINER_WATCH_LABEL;
    for (int round = 0; round < 3; round++) {
        struct engine_summary rows[3] = {
            {.state = CONTAINER_RUNNING}, {.state = CONTAINER_RUNNING}, {.state = CONTAINER_RUNNING}};
        memory_set_text(rows[2].id, sizeof rows[2].id, ID_C); /* nothing of it is odd */
        memory_set_text(rows[2].name, sizeof rows[2].name, "c");
        memory_set_text(rows[0].id, sizeof rows[0].id, ID_A);
        memory_set_text(rows[0].name, sizeof rows[0].name, "a");
        label_list_add(&rows[0].labels, "autoheal", "ture");
        memory_set_text(rows[1].id, sizeof rows[1].id, ID_B);
        memory_set_text(rows[1].name, sizeof rows[1].name, "b");
        label_list_add(&rows[1].labels, "autoheall", "true");
        label_list_add(&rows[1].labels, "defib.enable", "false"); /* it wants to be left alone */
        container_table_sweep_begin(fixture.table);
        container_table_sweep(fixture.table, rows, 3, CONTAINER_SWEEP_ALL, fixture.now);
        label_list_fini(&rows[0].labels);
        label_list_fini(&rows[1].labels);
        assert_int_equal(1, fixture.complaints);
        assert_int_equal(0, container_table_count(fixture.table));
    }
    /* destroyed, it is forgotten: what comes under its id then is told of again */
    struct engine_event odd = {.action = ENGINE_ACTION_START, .id = "", .name = "a", .time_ns = BORN};
    memory_set_text(odd.id, sizeof odd.id, ID_A);
    label_list_add(&odd.labels, "autoheal", "ture");
    container_table_event(fixture.table, &odd, false, fixture.now);
    assert_int_equal(1, fixture.complaints);
    event(&fixture, ID_A, ENGINE_ACTION_DESTROY, BORN, 0);
    container_table_event(fixture.table, &odd, false, fixture.now);
    assert_int_equal(2, fixture.complaints);
    fixture.config.complain = NULL; /* nobody listens */
    event(&fixture, ID_A, ENGINE_ACTION_DESTROY, BORN, 0);
    container_table_event(fixture.table, &odd, false, fixture.now);
    assert_int_equal(2, fixture.complaints);
    fixture.config.complain = count_complaint;
    container_table_event(fixture.table, &odd, false, fixture.now);
    assert_int_equal(3, fixture.complaints);
    engine_event_fini(&odd);
    assert_int_equal(0, container_table_count(fixture.table));
    close_table(&fixture);
}

static void dockers_own_policy_is_foreseen(void **state)
{
    (void)state;
    static const struct {
        enum docker_policy policy;
        int64_t max, count;
        int exit_code, signal;
        bool wanted;
    } CASES[] = {
        {DOCKER_POLICY_NO, 0, 0, 1, 0, false},        {DOCKER_POLICY_ALWAYS, 0, 0, 0, 0, true},
        {DOCKER_POLICY_ALWAYS, 0, 0, 137, 9, false},  {DOCKER_POLICY_UNLESS_STOPPED, 0, 0, 1, 0, true},
        {DOCKER_POLICY_ON_FAILURE, 0, 9, 1, 0, true}, {DOCKER_POLICY_ON_FAILURE, 0, 0, 0, 0, false},
        {DOCKER_POLICY_ON_FAILURE, 3, 2, 1, 0, true}, {DOCKER_POLICY_ON_FAILURE, 3, 3, 1, 0, false},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct fixture fixture;
        open_table(&fixture);
        list_one(&fixture, ID_A, CONTAINER_RUNNING, CONTAINER_SWEEP_ALL);
        struct engine_container facts = facts_of(ID_A, CONTAINER_RUNNING, BORN);
        facts.policy = CASES[i].policy;
        facts.policy_max = CASES[i].max;
        facts.restart_count = CASES[i].count;
        container_table_inspected(fixture.table, &facts, fixture.now);
        if (CASES[i].signal != 0) {
            event(&fixture, ID_A, ENGINE_ACTION_KILL, BORN + SEC, CASES[i].signal);
        }
        event(&fixture, ID_A, ENGINE_ACTION_DIE, BORN + SEC, CASES[i].exit_code);
        assert_int_equal(CASES[i].wanted, look(&fixture, ID_A)->is_docker_restarting);
        close_table(&fixture);
    }
}

static void a_failed_first_start_counts_as_dead(void **state)
{
    (void)state;
    struct fixture fixture;
    open_table(&fixture);
    list_one(&fixture, ID_A, CONTAINER_CREATED, CONTAINER_SWEEP_ALL);
    struct engine_container facts = facts_of(ID_A, CONTAINER_CREATED, 0);
    container_table_inspected(fixture.table, &facts, fixture.now);
    expect(&fixture, ID_A, CONTAINER_CREATED, STOP_NONE);
    memory_set_text(facts.error, sizeof facts.error, "no such program");
    facts.exit_code = 127;
    container_table_inspected(fixture.table, &facts, fixture.now);
    pass(&fixture, 2000);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_START_ERROR);
    close_table(&fixture);
}

/* ---- a wall clock that is set while all this happens ---- */

static const int64_t JUMPS[] = {0, -3600 * SEC, -86400 * SEC, 86400 * SEC};
enum { JUMP_COUNT = sizeof JUMPS / sizeof JUMPS[0] };

/* An operator's stop, the clock set between each two of its events. */
static void a_stop_is_a_stop_by_any_clock(void **state)
{
    (void)state;
    for (size_t i = 0; i < JUMP_COUNT * 3; i++) {
        struct fixture fixture;
        open_running(&fixture);
        int64_t jump = JUMPS[i % JUMP_COUNT], clock = BORN + 5 * SEC;
        clock += i / JUMP_COUNT == 0 ? jump : 0;
        event(&fixture, ID_A, ENGINE_ACTION_KILL, clock, 15);
        clock += i / JUMP_COUNT == 1 ? jump : 0;
        event(&fixture, ID_A, ENGINE_ACTION_DIE, clock, 137);
        expect(&fixture, ID_A, CONTAINER_EXITED, STOP_SETTLING);
        clock += i / JUMP_COUNT == 2 ? jump : 0;
        event(&fixture, ID_A, ENGINE_ACTION_STOP, clock, 0);
        assert_string_equal(ID_A, container_table_next_inspect(fixture.table));
        inspected(&fixture, ID_A, CONTAINER_EXITED, BORN, 137);
        pass(&fixture, 15000);
        container_table_daemon_answered(fixture.table, fixture.now, fixture.now);
        expect(&fixture, ID_A, CONTAINER_EXITED, STOP_OPERATOR);
        close_table(&fixture);
    }
}

/* What is over is over, also where the clock says that it is still to come. */
static void a_start_ends_a_stop_by_any_clock(void **state)
{
    (void)state;
    for (size_t i = 0; i < JUMP_COUNT; i++) {
        struct fixture fixture;
        open_running(&fixture);
        operator_stops(&fixture);
        int64_t clock = BORN + 60 * SEC + JUMPS[i];
        event(&fixture, ID_A, ENGINE_ACTION_START, clock + 1000, 0);
        assert_string_equal(ID_A, container_table_next_inspect(fixture.table));
        inspected(&fixture, ID_A, CONTAINER_RUNNING, clock, 0);
        expect(&fixture, ID_A, CONTAINER_RUNNING, STOP_NONE);
        event(&fixture, ID_A, ENGINE_ACTION_DIE, clock + 2 * SEC, 1);
        expect(&fixture, ID_A, CONTAINER_EXITED, STOP_CRASH);
        close_table(&fixture);
    }
}

/* Its start was lost; what is heard after the known death is of another incarnation. */
static void a_lost_start_takes_no_stop_along(void **state)
{
    (void)state;
    for (size_t i = 0; i < JUMP_COUNT; i++) {
        struct fixture fixture;
        open_running(&fixture);
        operator_stops(&fixture);
        pass(&fixture, 15000);
        container_table_daemon_answered(fixture.table, fixture.now, fixture.now);
        expect(&fixture, ID_A, CONTAINER_EXITED, STOP_OPERATOR);
        int64_t clock = BORN + 60 * SEC + JUMPS[i];
        event(&fixture, ID_A, ENGINE_ACTION_DIE, clock + 2 * SEC, 1);
        assert_string_equal(ID_A, container_table_next_inspect(fixture.table));
        inspected(&fixture, ID_A, CONTAINER_EXITED, clock, 1);
        expect(&fixture, ID_A, CONTAINER_EXITED, STOP_CRASH);
        close_table(&fixture);
    }
}

/* ... and a stop that is heard is this one's. */
static void a_lost_start_loses_no_stop(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    event(&fixture, ID_A, ENGINE_ACTION_DIE, BORN + SEC, 1);
    assert_string_equal(ID_A, container_table_next_inspect(fixture.table));
    inspected(&fixture, ID_A, CONTAINER_EXITED, BORN, 1);
    event(&fixture, ID_A, ENGINE_ACTION_KILL, BORN + 8 * SEC, 15);
    event(&fixture, ID_A, ENGINE_ACTION_DIE, BORN + 9 * SEC, 137);
    event(&fixture, ID_A, ENGINE_ACTION_STOP, BORN + 9 * SEC, 0);
    assert_string_equal(ID_A, container_table_next_inspect(fixture.table));
    inspected(&fixture, ID_A, CONTAINER_EXITED, BORN + 5 * SEC, 137);
    pass(&fixture, 15000);
    container_table_daemon_answered(fixture.table, fixture.now, fixture.now);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_OPERATOR);
    close_table(&fixture);
}

/* ... and one that an inspect shows to be over is not. */
static void another_incarnation_runs_without_the_old_stop(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    event(&fixture, ID_A, ENGINE_ACTION_KILL, BORN + SEC, 15);
    event(&fixture, ID_A, ENGINE_ACTION_STOP, BORN + SEC, 0);
    inspected(&fixture, ID_A, CONTAINER_RUNNING, BORN + 5 * SEC, 0);
    pass(&fixture, 700000);
    event(&fixture, ID_A, ENGINE_ACTION_DIE, BORN + 6 * SEC, 1);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_CRASH);
    close_table(&fixture);
}

/* ---- stops ---- */

static void an_operator_stop_settles_when_the_daemon_proves_alive(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    operator_stops(&fixture);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_SETTLING);
    assert_true(container_table_wants_proof(fixture.table));
    assert_int_equal(fixture.now.ms + 15000, container_table_wake_at(fixture.table).ms);
    pass(&fixture, 15000);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_SETTLING);
    container_table_daemon_answered(fixture.table, fixture.now, fixture.now);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_OPERATOR);
    assert_false(container_table_wants_proof(fixture.table));
    assert_int_equal(MONO_NEVER.ms, container_table_wake_at(fixture.table).ms);
    /* A daemon that goes away later changes nothing. */
    container_table_stream_lost(fixture.table, fixture.now);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_OPERATOR);
    close_table(&fixture);
}

/* `docker kill` and `docker rm -f` begin alike; the inspect behind the death tells them apart. */
static void a_kill_is_told_from_a_removal(void **state)
{
    (void)state;
    for (int is_removal = 0; is_removal < 2; is_removal++) {
        struct fixture fixture;
        open_running(&fixture);
        event(&fixture, ID_A, ENGINE_ACTION_KILL, BORN + 5 * SEC, 9);
        event(&fixture, ID_A, ENGINE_ACTION_DIE, BORN + 5 * SEC, 137);
        expect(&fixture, ID_A, CONTAINER_EXITED, STOP_SETTLING);
        pass(&fixture, 10000); /* Docker takes the network down */
        expect(&fixture, ID_A, CONTAINER_EXITED, STOP_SETTLING);
        assert_string_equal(ID_A, container_table_next_inspect(fixture.table));
        inspected(&fixture, ID_A, is_removal ? CONTAINER_REMOVING : CONTAINER_EXITED, BORN, 137);
        if (is_removal) {
            expect(&fixture, ID_A, CONTAINER_REMOVING, STOP_NONE);
        } else {
            expect(&fixture, ID_A, CONTAINER_EXITED, STOP_KILLED);
        }
        close_table(&fixture);
    }
}

/* `docker stop` on an Engine so busy that its own event comes long after the death. */
static void a_late_stop_is_a_stop(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    event(&fixture, ID_A, ENGINE_ACTION_KILL, BORN + 5 * SEC, 15);
    event(&fixture, ID_A, ENGINE_ACTION_DIE, BORN + 6 * SEC, 0);
    assert_string_equal(ID_A, container_table_next_inspect(fixture.table));
    container_table_inspect_failed(fixture.table, ID_A);
    pass(&fixture, 12000);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_SETTLING);
    inspected(&fixture, ID_A, CONTAINER_EXITED, BORN, 0);
    pass(&fixture, 1999);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_SETTLING);
    event(&fixture, ID_A, ENGINE_ACTION_STOP, BORN + 20 * SEC, 0);
    pass(&fixture, 15000);
    container_table_daemon_answered(fixture.table, fixture.now, fixture.now);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_OPERATOR);
    close_table(&fixture);
}

static void one_with_rm_is_removed_by_docker(void **state)
{
    (void)state;
    struct fixture fixture;
    open_table(&fixture);
    list_one(&fixture, ID_A, CONTAINER_RUNNING, CONTAINER_SWEEP_ALL);
    struct engine_container facts = facts_of(ID_A, CONTAINER_RUNNING, BORN);
    facts.is_auto_remove = true;
    container_table_inspected(fixture.table, &facts, fixture.now);
    event(&fixture, ID_A, ENGINE_ACTION_DIE, BORN + SEC, 1);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_SETTLING);
    close_table(&fixture);
}

static void a_daemons_shutdown_is_no_operator(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    operator_stops(&fixture);
    container_table_stream_lost(fixture.table, fixture.now);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_SHUTDOWN);
    container_table_stream_back(fixture.table, CONTAINER_DAEMON_NEW, false, fixture.now);
    pass(&fixture, 60000);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_SHUTDOWN);
    close_table(&fixture);
}

static void a_broken_connection_is_no_shutdown(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    operator_stops(&fixture);
    container_table_stream_lost(fixture.table, fixture.now);
    pass(&fixture, 1000);
    container_table_stream_back(fixture.table, CONTAINER_DAEMON_SAME, false, fixture.now);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_SETTLING);
    pass(&fixture, 14000);
    container_table_daemon_answered(fixture.table, fixture.now, fixture.now);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_OPERATOR);
    close_table(&fixture);
}

static void a_closed_listener_tells_a_shutdown_at_once(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    container_table_daemon_going(fixture.table, fixture.now);
    expect(&fixture, ID_A, CONTAINER_RUNNING, STOP_NONE);
    operator_stops(&fixture);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_SHUTDOWN);
    close_table(&fixture);
}

static void what_a_new_daemon_stopped_before_we_looked(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    container_table_stream_lost(fixture.table, fixture.now);
    container_table_stream_back(fixture.table, CONTAINER_DAEMON_NEW, false, fixture.now);
    event_at(&fixture, ID_A, ENGINE_ACTION_KILL, BORN + 5 * SEC, 15, true);
    event_at(&fixture, ID_A, ENGINE_ACTION_DIE, BORN + 5 * SEC, 0, true);
    event_at(&fixture, ID_A, ENGINE_ACTION_STOP, BORN + 5 * SEC, 0, true);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_SHUTDOWN);
    close_table(&fixture);
}

static void found_dead(enum container_daemon daemon, bool is_live_restore, int exit_code,
                       enum stop_class wanted)
{
    struct fixture fixture;
    open_running(&fixture);
    container_table_stream_lost(fixture.table, fixture.now);
    container_table_stream_back(fixture.table, daemon, is_live_restore, fixture.now);
    list_one(&fixture, ID_A, CONTAINER_EXITED, CONTAINER_SWEEP_ALL);
    assert_string_equal(ID_A, container_table_next_inspect(fixture.table));
    inspected(&fixture, ID_A, CONTAINER_EXITED, BORN, exit_code);
    pass(&fixture, 2000);
    expect(&fixture, ID_A, CONTAINER_EXITED, wanted);
    close_table(&fixture);
}

static void found_dead_after_a_loss(void **state)
{
    (void)state;
    found_dead(CONTAINER_DAEMON_NEW, false, 0, STOP_SHUTDOWN);
    found_dead(CONTAINER_DAEMON_NEW, true, 0, STOP_UNSEEN);
    found_dead(CONTAINER_DAEMON_NEW, true, 1, STOP_CRASH);
    found_dead(CONTAINER_DAEMON_UNKNOWN, false, 143, STOP_UNSEEN);
    found_dead(CONTAINER_DAEMON_UNKNOWN, false, 137, STOP_CRASH);
}

/* ---- our own commands ---- */

static void our_own_restart_is_nobodys_stop(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    container_table_own_command_begin(fixture.table, ID_A);
    operator_stops(&fixture);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_OWN);
    pass(&fixture, 100000);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_OWN);
    event(&fixture, ID_A, ENGINE_ACTION_START, BORN + 9 * SEC, 0);
    assert_string_equal(ID_A, container_table_next_inspect(fixture.table));
    inspected(&fixture, ID_A, CONTAINER_RUNNING, BORN + 9 * SEC - 1, 0);
    /* Started: what comes now is somebody else's, also before the command's end is known. */
    event(&fixture, ID_A, ENGINE_ACTION_KILL, BORN + 10 * SEC, 9);
    event(&fixture, ID_A, ENGINE_ACTION_DIE, BORN + 10 * SEC, 137);
    assert_string_equal(ID_A, container_table_next_inspect(fixture.table));
    inspected(&fixture, ID_A, CONTAINER_EXITED, BORN + 9 * SEC - 1, 137);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_KILLED);
    container_table_own_command_end(fixture.table, ID_A, fixture.now);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_KILLED);
    close_table(&fixture);
}

/* For the stop timeout and half a minute; not where it is our own restart. */
static void a_stop_under_way_is_told(void **state)
{
    (void)state;
    for (int is_own = 0; is_own < 2; is_own++) {
        struct fixture fixture;
        open_running(&fixture);
        if (is_own) {
            container_table_own_command_begin(fixture.table, ID_A);
        }
        event(&fixture, ID_A, ENGINE_ACTION_KILL, BORN + 5 * SEC, 15);
        assert_int_equal(!is_own, look(&fixture, ID_A)->is_stopping);
        event(&fixture, ID_A, ENGINE_ACTION_HEALTH, BORN + 6 * SEC, HEALTH_UNHEALTHY);
        pass(&fixture, 39000);
        assert_int_equal(!is_own, look(&fixture, ID_A)->is_stopping);
        drain(&fixture);
        pass(&fixture, 1000); /* it outlived the signal */
        assert_false(look(&fixture, ID_A)->is_stopping);
        bool is_removed;
        const struct container *changed = container_table_next_changed(fixture.table, &is_removed);
        assert_int_equal(!is_own, changed != NULL);
        event(&fixture, ID_A, ENGINE_ACTION_KILL, BORN + 70 * SEC, 15);
        event(&fixture, ID_A, ENGINE_ACTION_DIE, BORN + 71 * SEC, 0);
        assert_false(look(&fixture, ID_A)->is_stopping);
        close_table(&fixture);
    }
}

static void our_own_restart_that_failed_is_a_failure(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    container_table_own_command_begin(fixture.table, ID_A);
    operator_stops(&fixture);
    container_table_own_command_end(fixture.table, ID_A, fixture.now);
    /* Docker tells no event of a failed start: it has to be looked at. */
    assert_string_equal(ID_A, container_table_next_inspect(fixture.table));
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_OWN);
    pass(&fixture, 2000);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_CRASH);
    assert_false(container_table_wants_proof(fixture.table));
    close_table(&fixture);
}

static void a_command_may_begin_before_its_container_is_known(void **state)
{
    (void)state;
    struct fixture fixture;
    open_table(&fixture);
    container_table_own_command_begin(fixture.table, ID_A);
    container_table_own_command_begin(fixture.table, ID_A);
    list_one(&fixture, ID_A, CONTAINER_RUNNING, CONTAINER_SWEEP_ALL);
    assert_string_equal(ID_A, container_table_next_inspect(fixture.table));
    inspected(&fixture, ID_A, CONTAINER_RUNNING, BORN, 0);
    operator_stops(&fixture);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_OWN);
    container_table_own_command_end(fixture.table, ID_A, fixture.now);
    container_table_own_command_end(fixture.table, ID_B, fixture.now);
    close_table(&fixture);
}

static void a_parent_that_does_not_run_is_told_of(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    struct container child = {.state = CONTAINER_RUNNING};
    assert_false(container_table_is_parent_down(fixture.table, &child));
    memory_set_text(child.spec.network_parent, sizeof child.spec.network_parent, ID_A);
    assert_false(container_table_is_parent_down(fixture.table, &child));
    inspected(&fixture, ID_A, CONTAINER_PAUSED, BORN, 0);
    assert_false(container_table_is_parent_down(fixture.table, &child));
    inspected(&fixture, ID_A, CONTAINER_EXITED, BORN, 1);
    assert_true(container_table_is_parent_down(fixture.table, &child));
    memory_set_text(child.spec.network_parent, sizeof child.spec.network_parent, ID_B); /* not watched */
    assert_false(container_table_is_parent_down(fixture.table, &child));
    close_table(&fixture);
}

static void the_last_command_rides_along(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    struct outcome outcome = {.code = ANSWER_DOCKER_ERROR, .unstored_attempt = 2, .at = {7000}};
    memory_set_text(outcome.container_id, sizeof outcome.container_id, ID_A);
    assert_int_equal(0, command_id_parse("00112233445566778899aabbccddeeff", &outcome.id));
    container_table_set_last_command(fixture.table, &outcome);
    bool is_removed;
    const struct container *container = container_table_next_changed(fixture.table, &is_removed);
    assert_non_null(container);
    assert_string_equal("00112233445566778899aabbccddeeff", container->last_command);
    assert_int_equal(ANSWER_DOCKER_ERROR, container->last_command_code);
    assert_int_equal(2, container->last_command_unstored);
    assert_int_equal(7000, container->last_command_at.ms);
    memory_set_text(outcome.container_id, sizeof outcome.container_id, ID_B);
    container_table_set_last_command(fixture.table, &outcome);
    assert_null(container_table_next_changed(fixture.table, &is_removed));
    close_table(&fixture);
}

/* ---- coming and going ---- */

static void what_is_not_listed_is_gone(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    container_table_sweep_begin(fixture.table);
    event(&fixture, ID_B, ENGINE_ACTION_CREATE, BORN, 0); /* after the list was asked for */
    container_table_sweep(fixture.table, NULL, 0, CONTAINER_SWEEP_DIFFERENCES, fixture.now);
    assert_null(container_table_by_id(fixture.table, ID_A));
    assert_non_null(container_table_by_id(fixture.table, ID_B));
    bool is_removed = false;
    const struct container *gone = container_table_next_changed(fixture.table, &is_removed);
    assert_non_null(gone);
    assert_true(is_removed);
    assert_string_equal(ID_A, gone->id);
    assert_int_equal(CONTAINER_REMOVING, gone->state);
    assert_null(container_table_next_changed(fixture.table, &is_removed));
    close_table(&fixture);
}

static void a_list_asks_only_for_differences(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    list_one(&fixture, ID_A, CONTAINER_RUNNING, CONTAINER_SWEEP_DIFFERENCES);
    assert_null(container_table_next_inspect(fixture.table));
    list_one(&fixture, ID_A, CONTAINER_EXITED, CONTAINER_SWEEP_DIFFERENCES);
    assert_string_equal(ID_A, container_table_next_inspect(fixture.table));
    container_table_inspect_failed(fixture.table, ID_A);
    assert_null(container_table_next_inspect(fixture.table));
    container_table_retry_inspects(fixture.table);
    assert_string_equal(ID_A, container_table_next_inspect(fixture.table));
    container_table_inspect_gone(fixture.table, ID_A, fixture.now);
    assert_int_equal(0, container_table_count(fixture.table));
    close_table(&fixture);
}

/* An inventory before that would leave out what is there, and two of them in a row count as removed. */
static void it_is_whole_when_each_of_the_first_list_was_looked_at(void **state)
{
    (void)state;
    struct fixture fixture;
    open_table(&fixture);
    struct engine_summary rows[2] = {{.state = CONTAINER_RUNNING}, {.state = CONTAINER_RUNNING}};
    memory_set_text(rows[0].id, sizeof rows[0].id, ID_A);
    memory_set_text(rows[1].id, sizeof rows[1].id, ID_B);
    memory_set_text(rows[0].name, sizeof rows[0].name, "a");
    memory_set_text(rows[1].name, sizeof rows[1].name, "b");
    container_table_sweep_begin(fixture.table);
    container_table_sweep(fixture.table, rows, 2, CONTAINER_SWEEP_ALL, fixture.now);
    assert_true(container_table_has_swept(fixture.table));
    assert_false(container_table_is_whole(fixture.table));
    assert_non_null(container_table_next_inspect(fixture.table));
    assert_non_null(container_table_next_inspect(fixture.table));
    inspected(&fixture, ID_A, CONTAINER_RUNNING, BORN, 0);
    assert_false(container_table_is_whole(fixture.table));
    container_table_inspect_failed(fixture.table, ID_B); /* one that Docker fails on holds nobody up */
    assert_true(container_table_is_whole(fixture.table));
    container_table_retry_inspects(fixture.table);
    assert_true(container_table_is_whole(fixture.table));
    close_table(&fixture);
    open_table(&fixture);
    container_table_sweep_begin(fixture.table);
    container_table_sweep(fixture.table, NULL, 0, CONTAINER_SWEEP_ALL, fixture.now);
    assert_true(container_table_is_whole(fixture.table)); /* a host without containers */
    close_table(&fixture);
}

static void destroyed_and_recreated_under_the_same_name(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    event(&fixture, ID_A, ENGINE_ACTION_DIE, BORN + SEC, 0);
    struct engine_container facts = facts_of(ID_B, CONTAINER_RUNNING, BORN + 2 * SEC);
    memory_set_text(facts.name, sizeof facts.name, "a");
    event(&fixture, ID_B, ENGINE_ACTION_CREATE, BORN + 2 * SEC, 0);
    container_table_inspected(fixture.table, &facts, fixture.now);
    assert_string_equal(ID_B, container_table_by_name(fixture.table, "a")->id);
    event(&fixture, ID_A, ENGINE_ACTION_DESTROY, BORN + 3 * SEC, 0);
    assert_null(container_table_by_id(fixture.table, ID_A));
    assert_string_equal(ID_B, container_table_by_name(fixture.table, "a")->id);
    close_table(&fixture);
}

/* Two ids of one name: the one that runs, else the one that was seen later. */
static void of_two_of_one_name_the_running_one_counts(void **state)
{
    (void)state;
    static const struct {
        enum container_state first, second;
        const char *wanted;
    } CASES[] = {{CONTAINER_EXITED, CONTAINER_RUNNING, ID_B},
                 {CONTAINER_RUNNING, CONTAINER_EXITED, ID_A},
                 {CONTAINER_RUNNING, CONTAINER_DEAD, ID_A},
                 {CONTAINER_EXITED, CONTAINER_EXITED, ID_B},
                 {CONTAINER_RUNNING, CONTAINER_RUNNING, ID_B}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct fixture fixture;
        open_table(&fixture);
        struct engine_summary rows[2] = {{.state = CASES[i].first}, {.state = CASES[i].second}};
        memory_set_text(rows[0].id, sizeof rows[0].id, ID_A);
        memory_set_text(rows[1].id, sizeof rows[1].id, ID_B);
        memory_set_text(rows[0].name, sizeof rows[0].name, "a");
        memory_set_text(rows[1].name, sizeof rows[1].name, "a");
        container_table_sweep_begin(fixture.table);
        container_table_sweep(fixture.table, rows, 2, CONTAINER_SWEEP_ALL, fixture.now);
        inspected(&fixture, ID_A, CASES[i].first, BORN, 0);
        struct engine_container second = facts_of(ID_B, CASES[i].second, BORN);
        memory_set_text(second.name, sizeof second.name, "a");
        container_table_inspected(fixture.table, &second, fixture.now);
        assert_string_equal(CASES[i].wanted, container_table_by_name(fixture.table, "a")->id);
        assert_null(container_table_by_name(fixture.table, "b"));
        close_table(&fixture);
    }
}

/* Heard of by an event, it is told of when an inspect has shown what it is; and what is no sign of life of it
 * makes none of it. */
static void an_event_alone_is_not_told_on(void **state)
{
    (void)state;
    struct fixture fixture;
    open_table(&fixture);
    event(&fixture, ID_A, ENGINE_ACTION_OTHER, BORN, 0); /* an exec in one that nobody has told of */
    assert_int_equal(0, container_table_count(fixture.table));
    struct engine_event nameless = {.action = ENGINE_ACTION_DIE, .time_ns = BORN};
    memory_set_text(nameless.id, sizeof nameless.id, ID_B);
    container_table_event(fixture.table, &nameless, false, fixture.now);
    assert_int_equal(0, container_table_count(fixture.table));
    event(&fixture, ID_A, ENGINE_ACTION_DIE, BORN + SEC, 1);
    bool is_removed;
    assert_int_equal(1, container_table_count(fixture.table));
    assert_null(container_table_next_changed(fixture.table, &is_removed));
    assert_string_equal(ID_A, container_table_next_inspect(fixture.table));
    inspected(&fixture, ID_B, CONTAINER_RUNNING, BORN, 0); /* of one that nobody asked for */
    assert_int_equal(1, container_table_count(fixture.table));
    inspected(&fixture, ID_A, CONTAINER_EXITED, BORN, 1);
    assert_non_null(container_table_next_changed(fixture.table, &is_removed));
    close_table(&fixture);
}

/* What an event missed: renamed, or healthy meanwhile, or started and nothing came of it. */
static void a_list_finds_what_no_event_told(void **state)
{
    (void)state;
    static const struct {
        enum container_state state;
        enum container_health health;
        const char *name;
        bool is_inspected;
    } CASES[] = {
        {CONTAINER_RUNNING, HEALTH_NONE, "a", false},   {CONTAINER_RUNNING, HEALTH_NONE, "renamed", true},
        {CONTAINER_RUNNING, HEALTH_HEALTHY, "a", true}, {CONTAINER_PAUSED, HEALTH_NONE, "a", true},
        {CONTAINER_CREATED, HEALTH_NONE, "a", true},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct fixture fixture;
        open_running(&fixture);
        struct engine_summary row = {.state = CASES[i].state, .health = CASES[i].health};
        memory_set_text(row.id, sizeof row.id, ID_A);
        memory_set_text(row.name, sizeof row.name, CASES[i].name);
        container_table_sweep_begin(fixture.table);
        container_table_sweep(fixture.table, &row, 1, CONTAINER_SWEEP_DIFFERENCES, fixture.now);
        assert_int_equal(CASES[i].is_inspected, container_table_next_inspect(fixture.table) != NULL);
        close_table(&fixture);
    }
}

/* A failed inspect is asked again by _retry alone; one that nobody waits for fails nobody. */
static void an_inspect_that_failed_waits(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    container_table_inspect_failed(fixture.table, ID_B);
    container_table_inspect_failed(fixture.table, ID_A);
    container_table_inspect_gone(fixture.table, ID_B, fixture.now);
    container_table_retry_inspects(fixture.table);
    assert_null(container_table_next_inspect(fixture.table));
    assert_int_equal(1, container_table_count(fixture.table));
    event(&fixture, ID_A, ENGINE_ACTION_UPDATE, BORN + SEC, 0);
    assert_string_equal(ID_A, container_table_next_inspect(fixture.table));
    event(&fixture, ID_A, ENGINE_ACTION_UPDATE, BORN + 2 * SEC, 0); /* while it is asked */
    container_table_inspect_failed(fixture.table, ID_A);
    assert_null(container_table_next_inspect(fixture.table));
    container_table_retry_inspects(fixture.table);
    assert_string_equal(ID_A, container_table_next_inspect(fixture.table));
    close_table(&fixture);
}

/* With the prefix it would be cut, and then another container's. */
static void a_name_that_does_not_fit_is_not_watched(void **state)
{
    (void)state;
    for (size_t more = 0; more < 2; more++) {
        struct fixture fixture;
        char prefix[LIMIT_NAME_SIZE + 1] = "";
        open_table(&fixture);
        memset(prefix, 'p', LIMIT_NAME_SIZE - 2 + more);
        fixture.config.name_prefix = prefix;
        event(&fixture, ID_A, ENGINE_ACTION_START, BORN, 0);
        assert_int_equal(1 - more, container_table_count(fixture.table));
        close_table(&fixture);
    }
}

/* While a start has not shown its incarnation, and while it is down, it is neither paused nor healthy. */
static void what_is_down_is_neither_paused_nor_healthy(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    event(&fixture, ID_A, ENGINE_ACTION_DIE, BORN + SEC, 1);
    for (int is_started = 0; is_started < 2; is_started++) {
        event(&fixture, ID_A, ENGINE_ACTION_PAUSE, BORN + 2 * SEC, 0);
        event(&fixture, ID_A, ENGINE_ACTION_HEALTH, BORN + 2 * SEC, HEALTH_HEALTHY);
        expect(&fixture, ID_A, CONTAINER_EXITED, STOP_CRASH);
        assert_int_equal(HEALTH_NONE, look(&fixture, ID_A)->health);
        event(&fixture, ID_A, ENGINE_ACTION_START, BORN + 3 * SEC, 0);
    }
    close_table(&fixture);
    static const enum container_state DOWN[] = {CONTAINER_DEAD, CONTAINER_RESTARTING};
    for (size_t i = 0; i < 2; i++) {
        open_running(&fixture);
        inspected(&fixture, ID_A, DOWN[i], BORN, 1);
        event(&fixture, ID_A, ENGINE_ACTION_HEALTH, BORN + 2 * SEC, HEALTH_HEALTHY);
        assert_int_equal(DOWN[i], look(&fixture, ID_A)->state);
        assert_int_equal(HEALTH_NONE, look(&fixture, ID_A)->health);
        close_table(&fixture);
    }
}

/* ---- what its probes say, who beats, where Redis is ---- */

static void what_the_probes_say_is_a_change_once(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    bool is_removed;
    assert_true(container_table_set_probe_status(fixture.table, ID_A, BEAT_DEGRADED));
    const struct container *changed = container_table_next_changed(fixture.table, &is_removed);
    assert_non_null(changed);
    assert_int_equal(BEAT_DEGRADED, changed->probe_status);
    assert_false(container_table_set_probe_status(fixture.table, ID_A, BEAT_DEGRADED));
    assert_false(container_table_set_probe_status(fixture.table, ID_B, BEAT_DEGRADED));
    assert_null(container_table_next_changed(fixture.table, &is_removed));
    close_table(&fixture);
}

static void who_beats_is_a_change_once(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    container_table_set_app_beating(fixture.table, ID_A);
    uint64_t change = container_table_change(fixture.table);
    container_table_set_app_beating(fixture.table, ID_A);
    container_table_set_app_beating(fixture.table, ID_B);
    assert_int_equal(change, container_table_change(fixture.table));
    assert_true(look(&fixture, ID_A)->spec.is_app_beating);
    close_table(&fixture);
}

static void where_redis_is_makes_all_be_looked_at_again(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    const char *why;
    assert_false(container_table_is_denied(look(&fixture, ID_A), &why));
    assert_string_equal("", why);
    uint64_t saved = container_table_save_change(fixture.table);
    struct self_finder_redis place;
    memset(&place, 0, sizeof place);
    place.port = 6379;
    memory_set_text(place.host, sizeof place.host, "a");
    container_table_redis_place(fixture.table, &place);
    assert_string_equal(ID_A, container_table_next_inspect(fixture.table));
    inspected(&fixture, ID_A, CONTAINER_RUNNING, BORN, 0);
    assert_true(look(&fixture, ID_A)->spec.is_redis_in_use);
    assert_true(container_table_save_change(fixture.table) > saved);
    container_table_redis_place(fixture.table, &place); /* where it was */
    assert_null(container_table_next_inspect(fixture.table));
    place.port = 6380;
    container_table_redis_place(fixture.table, &place);
    assert_string_equal(ID_A, container_table_next_inspect(fixture.table));
    close_table(&fixture);
}

static void a_label_denies(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    struct engine_container facts = facts_of(ID_A, CONTAINER_RUNNING, BORN);
    label_list_add(&facts.labels, "defib.restart", "deny");
    container_table_inspected(fixture.table, &facts, fixture.now);
    const char *why;
    assert_true(container_table_is_denied(look(&fixture, ID_A), &why));
    assert_string_equal("label", why);
    engine_container_fini(&facts);
    close_table(&fixture);
}

/* Those of checks and metrics too, for `defibctl doctor`; their log lines are the prober's. */
static void what_labels_are_of_no_use_is_kept(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    struct engine_container facts = facts_of(ID_A, CONTAINER_RUNNING, BORN);
    container_table_inspected(fixture.table, &facts, fixture.now);
    assert_false(look(&fixture, ID_A)->spec.has_checks);
    assert_int_equal(look(&fixture, ID_A)->spec.complaint_count, 0);
    label_list_add(&facts.labels, "defib.check.web", "ftp://x");
    label_list_add(&facts.labels, "defib.progress", "prices");
    label_list_add(&facts.labels, "defib.limit.memory_pct", "90");
    for (int i = 0; i < 2; i++) {
        container_table_inspected(fixture.table, &facts, fixture.now);
        const struct container_spec *spec = &look(&fixture, ID_A)->spec;
        assert_true(spec->has_checks);
        assert_int_equal(spec->complaint_count, 2);
        assert_non_null(strstr(spec->complaint, "label defib.check.web=ftp://x is not used"));
    }
    assert_int_equal(fixture.complaints, 0);
    engine_container_fini(&facts);
    close_table(&fixture);
}

/* ---- a daemon that is going, and comes back ---- */

/* Nobody listened for a moment, no more: what was stopped meanwhile may be an operator's. */
static void a_daemon_that_answers_again_was_not_going(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    container_table_daemon_going(fixture.table, fixture.now);
    container_table_daemon_going(fixture.table, fixture.now);
    operator_stops(&fixture);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_SHUTDOWN);
    container_table_daemon_answered(fixture.table, fixture.now, fixture.now);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_SETTLING);
    pass(&fixture, 15000);
    container_table_daemon_answered(fixture.table, fixture.now, fixture.now);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_OPERATOR);
    close_table(&fixture);
    /* also where all were up, and a stop comes after the answer */
    open_running(&fixture);
    container_table_daemon_answered(fixture.table, fixture.now, fixture.now);
    container_table_daemon_going(fixture.table, fixture.now);
    container_table_daemon_answered(fixture.table, fixture.now, fixture.now);
    operator_stops(&fixture);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_SETTLING);
    close_table(&fixture);
}

/* What went down with one daemon is not made an operator's stop by a later loss of the connection. */
static void what_an_earlier_daemon_stopped_stays_a_shutdowns(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    container_table_stream_lost(fixture.table, fixture.now);
    container_table_stream_back(fixture.table, CONTAINER_DAEMON_NEW, false, fixture.now);
    inspected(&fixture, ID_A, CONTAINER_EXITED, BORN, 0);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_SHUTDOWN);
    container_table_stream_lost(fixture.table, fixture.now);
    container_table_stream_back(fixture.table, CONTAINER_DAEMON_SAME, false, fixture.now);
    pass(&fixture, 60000);
    container_table_daemon_answered(fixture.table, fixture.now, fixture.now);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_SHUTDOWN);
    close_table(&fixture);
}

/* Only what ran goes down with the daemon: one that was dead, or is not known yet, does not. */
static void what_did_not_run_is_no_shutdowns(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    event(&fixture, ID_A, ENGINE_ACTION_DIE, BORN + SEC, 1);
    inspected(&fixture, ID_A, CONTAINER_EXITED, BORN, 1);
    event(&fixture, ID_B, ENGINE_ACTION_CREATE, BORN, 0);
    container_table_stream_lost(fixture.table, fixture.now);
    container_table_stream_back(fixture.table, CONTAINER_DAEMON_NEW, false, fixture.now);
    inspected(&fixture, ID_A, CONTAINER_EXITED, BORN, 1);
    inspected(&fixture, ID_B, CONTAINER_EXITED, BORN, 1);
    pass(&fixture, 2000);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_CRASH);
    expect(&fixture, ID_B, CONTAINER_EXITED, STOP_CRASH);
    close_table(&fixture);
}

/* It ran when the daemon was replaced; found dead as another incarnation it died of something else. */
static void another_incarnation_did_not_go_down_with_the_daemon(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    container_table_stream_lost(fixture.table, fixture.now);
    container_table_stream_back(fixture.table, CONTAINER_DAEMON_NEW, false, fixture.now);
    inspected(&fixture, ID_A, CONTAINER_EXITED, BORN + 60 * SEC, 1);
    pass(&fixture, 2000);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_CRASH);
    close_table(&fixture);
}

static void only_what_is_watched(void **state)
{
    (void)state;
    struct fixture fixture;
    open_table(&fixture);
    assert_int_equal(0, name_patterns_parse("host/b", &fixture.globs, NULL));
    fixture.config.name_prefix = "host/";
    fixture.config.watch = CONTAINER_WATCH_GLOBS;
    event(&fixture, ID_A, ENGINE_ACTION_START, BORN, 0);
    event(&fixture, ID_B, ENGINE_ACTION_START, BORN, 0);
    assert_null(container_table_by_id(fixture.table, ID_A));
    assert_string_equal("host/b", look(&fixture, ID_B)->name);
    assert_int_equal(0, name_patterns_parse("a", &fixture.deny, NULL));
    fixture.config.watch_globs = &fixture.deny; /* Docker's own name will do */
    event(&fixture, ID_A, ENGINE_ACTION_START, BORN, 0);
    assert_string_equal("host/a", look(&fixture, ID_A)->name);
    fixture.config.watch = CONTAINER_WATCH_LABEL;
    inspected(&fixture, ID_B, CONTAINER_RUNNING, BORN, 0);
    assert_null(container_table_by_id(fixture.table, ID_B));
    close_table(&fixture);
}

static void labels_are_complained_of_once(void **state)
{
    (void)state;
    struct fixture fixture;
    open_table(&fixture);
    list_one(&fixture, ID_A, CONTAINER_RUNNING, CONTAINER_SWEEP_ALL);
    for (int i = 0; i < 3; i++) {
        struct engine_container facts = facts_of(ID_A, CONTAINER_RUNNING, BORN);
        label_list_add(&facts.labels, "defib.restart", "perhaps");
        container_table_inspected(fixture.table, &facts, fixture.now);
        engine_container_fini(&facts);
    }
    assert_int_equal(1, fixture.complaints);
    close_table(&fixture);
}

static void what_is_never_touched(void **state)
{
    (void)state;
    struct fixture fixture;
    open_table(&fixture);
    assert_int_equal(0, name_patterns_parse("b*", &fixture.deny, NULL));
    struct self_finder_redis place = {.peer = "172.17.0.9", .port = 6379};
    container_table_redis_place(fixture.table, &place);
    struct engine_container facts = facts_of(ID_A, CONTAINER_RUNNING, BORN);
    char address[1][64] = {"172.17.0.9"};
    facts.addresses = address;
    facts.address_count = 1;
    list_one(&fixture, ID_A, CONTAINER_RUNNING, CONTAINER_SWEEP_ALL);
    container_table_inspected(fixture.table, &facts, fixture.now);
    const char *why;
    assert_true(container_table_is_denied(look(&fixture, ID_A), &why));
    assert_string_equal("redis_in_use", why);
    /* A dead one has no address any more: the flag stays. */
    inspected(&fixture, ID_A, CONTAINER_EXITED, BORN, 0);
    assert_true(container_table_is_denied(look(&fixture, ID_A), &why));
    event(&fixture, ID_B, ENGINE_ACTION_CREATE, BORN, 0);
    struct engine_container own = facts_of(ID_B, CONTAINER_RUNNING, BORN);
    container_table_inspected(fixture.table, &own, fixture.now);
    assert_true(container_table_is_denied(look(&fixture, ID_B), &why));
    assert_string_equal("deny_list", why);
    own.program = ENGINE_PROGRAM_DEFIB;
    container_table_inspected(fixture.table, &own, fixture.now);
    assert_true(container_table_is_denied(look(&fixture, ID_B), &why));
    assert_string_equal("own", why);
    close_table(&fixture);
}

/* ---- across restarts of the agent ---- */

static void reopen(struct fixture *fixture, const char *redis, bool is_booted)
{
    size_t len;
    struct event_window seen = {.total = 0};
    for (uint64_t mark = 1; mark <= EVENT_WINDOW_SIZE + 5; mark++) {
        event_window_add(&seen, mark << 40);
    }
    char *text = container_table_save(fixture->table, "boot-1", "redis-1", &seen, &len);
    close_table(fixture);
    open_table(fixture);
    char boot_id[LIMIT_ID_SIZE];
    struct event_window loaded;
    assert_true(container_table_load(fixture->table, text, len, redis, boot_id, &loaded));
    free(text);
    assert_string_equal("boot-1", boot_id);
    assert_int_equal(EVENT_WINDOW_SIZE, event_window_count(&loaded));
    for (size_t i = 0; i < EVENT_WINDOW_SIZE; i++) {
        assert_int_equal(event_window_at(&seen, i), event_window_at(&loaded, i));
    }
    if (is_booted) {
        container_table_host_booted(fixture->table);
    }
}

static void records_survive_the_agent(void **state)
{
    (void)state;
    static const struct {
        bool is_settled, is_booted;
        int64_t found_started_ns;
        int exit_code;
        enum stop_class wanted;
    } CASES[] = {
        {true, false, BORN, 0, STOP_OPERATOR},
        {true, true, BORN, 0, STOP_OPERATOR},
        {false, true, BORN, 0, STOP_SHUTDOWN},
        {false, false, BORN, 0, STOP_SETTLING},
        /* Started and died again while nobody looked: the record is about another incarnation. */
        {true, false, BORN + 60 * SEC, 0, STOP_UNSEEN},
        {true, false, BORN + 60 * SEC, 1, STOP_CRASH},
        {true, true, BORN + 60 * SEC, 1, STOP_SHUTDOWN},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct fixture fixture;
        open_running(&fixture);
        operator_stops(&fixture);
        if (CASES[i].is_settled) {
            pass(&fixture, 15000);
            container_table_daemon_answered(fixture.table, fixture.now, fixture.now);
        }
        reopen(&fixture, "redis-1", CASES[i].is_booted);
        list_one(&fixture, ID_A, CONTAINER_EXITED, CONTAINER_SWEEP_ALL);
        inspected(&fixture, ID_A, CONTAINER_EXITED, CASES[i].found_started_ns, CASES[i].exit_code);
        pass(&fixture, 2000);
        expect(&fixture, ID_A, CONTAINER_EXITED, CASES[i].wanted);
        close_table(&fixture);
    }
}

/* The agent died while it stopped one: that stop is ours, and explains nothing once it is back. */
static void our_own_stop_is_nobodys_after_a_restart_of_ours(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    container_table_own_command_begin(fixture.table, ID_A);
    operator_stops(&fixture);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_OWN);
    reopen(&fixture, "redis-1", false);
    list_one(&fixture, ID_A, CONTAINER_EXITED, CONTAINER_SWEEP_ALL);
    inspected(&fixture, ID_A, CONTAINER_EXITED, BORN, 1);
    pass(&fixture, 60000);
    container_table_daemon_answered(fixture.table, fixture.now, fixture.now);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_CRASH);
    close_table(&fixture);
}

/* A stop that was not settled when the agent went, and the daemon is another one now. */
static void a_record_of_a_stop_goes_with_its_daemon(void **state)
{
    (void)state;
    static const struct {
        enum container_daemon daemon;
        enum stop_class wanted;
    } CASES[] = {{CONTAINER_DAEMON_NEW, STOP_SHUTDOWN}, {CONTAINER_DAEMON_SAME, STOP_SETTLING}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct fixture fixture;
        open_running(&fixture);
        operator_stops(&fixture);
        reopen(&fixture, "redis-1", false);
        container_table_stream_back(fixture.table, CASES[i].daemon, true, fixture.now);
        list_one(&fixture, ID_A, CONTAINER_EXITED, CONTAINER_SWEEP_ALL);
        inspected(&fixture, ID_A, CONTAINER_EXITED, BORN, 0);
        expect(&fixture, ID_A, CONTAINER_EXITED, CASES[i].wanted);
        close_table(&fixture);
    }
}

/* What is heard of its death now is better than what was written about the one before. */
static void a_death_that_is_heard_needs_no_record(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    operator_stops(&fixture);
    pass(&fixture, 15000);
    container_table_daemon_answered(fixture.table, fixture.now, fixture.now);
    reopen(&fixture, "redis-1", false);
    event(&fixture, ID_A, ENGINE_ACTION_START, BORN + 60 * SEC, 0);
    event(&fixture, ID_A, ENGINE_ACTION_DIE, BORN + 61 * SEC, 1);
    inspected(&fixture, ID_A, CONTAINER_EXITED, BORN, 1); /* a clock that stands still */
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_CRASH);
    close_table(&fixture);
}

static void who_beats_and_where_redis_is_survive(void **state)
{
    (void)state;
    for (int is_moved = 0; is_moved < 2; is_moved++) {
        struct fixture fixture;
        open_table(&fixture);
        struct self_finder_redis place = {.host = "a", .port = 6379};
        container_table_redis_place(fixture.table, &place);
        list_one(&fixture, ID_A, CONTAINER_RUNNING, CONTAINER_SWEEP_ALL);
        inspected(&fixture, ID_A, CONTAINER_RUNNING, BORN, 0);
        uint64_t change = container_table_save_change(fixture.table);
        container_table_set_app_beating(fixture.table, ID_A);
        assert_true(container_table_save_change(fixture.table) > change);
        reopen(&fixture, is_moved ? "redis-2" : "redis-1", false);
        list_one(&fixture, ID_A, CONTAINER_EXITED, CONTAINER_SWEEP_ALL);
        inspected(&fixture, ID_A, CONTAINER_EXITED, BORN, 0);
        assert_true(look(&fixture, ID_A)->spec.is_app_beating);
        assert_int_equal(!is_moved, look(&fixture, ID_A)->spec.is_redis_in_use);
        close_table(&fixture);
    }
}

static void a_durable_intent_makes_it_an_operator_stop(void **state)
{
    (void)state;
    struct fixture fixture;
    open_table(&fixture);
    list_one(&fixture, ID_A, CONTAINER_EXITED, CONTAINER_SWEEP_ALL);
    inspected(&fixture, ID_A, CONTAINER_EXITED, BORN, 137);
    pass(&fixture, 2000);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_CRASH);
    container_table_intended(fixture.table, ID_A, fixture.now);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_OPERATOR);
    close_table(&fixture);
}

static void any_state_file_is_survived(void **state)
{
    (void)state;
    srandom(7);
    static const char GOOD[] = "defib-agent-state 2\nseen - 00000000000000ff 1 x\nboot x\napp aaaa\nredis r\n"
                               "dead aaaa T1 1 2 15 9 -ds\ndead bbbb T1 1 2\n\n \ndead\nseen -\nseen\n";
    for (int round = 0; round < 2000; round++) {
        char text[sizeof GOOD];
        memcpy(text, GOOD, sizeof text);
        for (int i = 0; i < round % 8; i++) {
            text[(size_t)random() % (sizeof text - 1)] = (char)random();
        }
        struct fixture fixture;
        open_table(&fixture);
        char boot_id[LIMIT_ID_SIZE];
        struct event_window seen;
        container_table_load(fixture.table, text, (size_t)random() % sizeof text, "r", boot_id, &seen);
        close_table(&fixture);
    }
}

/* ---- against a Docker that is only a state and a few lies ---- */

struct model {
    enum container_state state;
    int64_t clock_ns, started_ns;
    int exit_code;
};

/* What Docker does, and the events it sends for it, of which the agent misses some. */
static void model_step(struct fixture *fixture, struct model *model, bool is_heard)
{
    /* Never twice at the same time: a StartedAt names an incarnation. */
    model->clock_ns += SEC + (random() % 5 == 0 ? JUMPS[random() % JUMP_COUNT] + random() % SEC : 0);
    bool is_up = model->state == CONTAINER_RUNNING;
    switch (random() % 4) {
    case 0:
        if (is_up) {
            model->state = CONTAINER_EXITED;
            model->exit_code = (int)(random() % 3);
            if (is_heard) {
                event(fixture, ID_A, ENGINE_ACTION_DIE, model->clock_ns, model->exit_code);
            }
        }
        break;
    case 1:
        if (!is_up) {
            model->state = CONTAINER_RUNNING;
            model->started_ns = model->clock_ns;
            if (is_heard) {
                event(fixture, ID_A, ENGINE_ACTION_START, model->clock_ns + 1000, 0);
            }
        }
        break;
    case 2:
        if (is_up && is_heard) {
            event(fixture, ID_A, ENGINE_ACTION_KILL, model->clock_ns, 1);
        }
        break;
    default:
        pass(fixture, random() % 4000);
        break;
    }
}

/* An answer was true when it was asked for; it may come when it is not any more. */
static void model_answer(struct fixture *fixture, const struct model *model)
{
    inspected(fixture, ID_A, model->state, model->started_ns, model->exit_code);
}

static void ends_where_docker_is(void **state)
{
    (void)state;
    srandom(11);
    for (int round = 0; round < 3000; round++) {
        struct fixture fixture;
        open_running(&fixture);
        struct model model = {CONTAINER_RUNNING, BORN, BORN, 0};
        struct model asked = model;
        bool is_asked = false;
        for (int step = 0; step < 30; step++) {
            model_step(&fixture, &model, random() % 8 != 0);
            if (is_asked && random() % 2 == 0) {
                model_answer(&fixture, &asked);
                is_asked = false;
            }
            if (!is_asked && container_table_next_inspect(fixture.table) != NULL) {
                asked = model;
                is_asked = true;
            }
        }
        if (is_asked) {
            model_answer(&fixture, &asked);
        }
        list_one(&fixture, ID_A, model.state, CONTAINER_SWEEP_ALL);
        while (container_table_next_inspect(fixture.table) != NULL) {
            model_answer(&fixture, &model);
        }
        pass(&fixture, 20000);
        const struct container *container = look(&fixture, ID_A);
        assert_int_equal(model.state, container->state);
        assert_int_equal(model.started_ns, container->started_ns);
        bool is_down = model.state == CONTAINER_EXITED;
        assert_int_equal(is_down, container->stop_class != STOP_NONE);
        assert_true(container->stop_class != STOP_SETTLING && container->stop_class != STOP_OPERATOR);
        assert_true(!is_down || container->exit_code == model.exit_code);
        close_table(&fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_death_is_told_at_once_and_inspected),
        cmocka_unit_test(an_inspect_from_before_an_event_is_thrown_away),
        cmocka_unit_test(a_start_shows_with_its_incarnation),
        cmocka_unit_test(only_an_unhealthy_one_is_inspected_for_health_or_pause),
        cmocka_unit_test(an_unwatched_one_with_an_odd_label_is_told_once),
        cmocka_unit_test(dockers_own_policy_is_foreseen),
        cmocka_unit_test(a_failed_first_start_counts_as_dead),
        cmocka_unit_test(a_stop_is_a_stop_by_any_clock),
        cmocka_unit_test(a_start_ends_a_stop_by_any_clock),
        cmocka_unit_test(a_lost_start_takes_no_stop_along),
        cmocka_unit_test(a_lost_start_loses_no_stop),
        cmocka_unit_test(another_incarnation_runs_without_the_old_stop),
        cmocka_unit_test(an_operator_stop_settles_when_the_daemon_proves_alive),
        cmocka_unit_test(a_kill_is_told_from_a_removal),
        cmocka_unit_test(a_late_stop_is_a_stop),
        cmocka_unit_test(one_with_rm_is_removed_by_docker),
        cmocka_unit_test(a_daemons_shutdown_is_no_operator),
        cmocka_unit_test(a_broken_connection_is_no_shutdown),
        cmocka_unit_test(a_closed_listener_tells_a_shutdown_at_once),
        cmocka_unit_test(what_a_new_daemon_stopped_before_we_looked),
        cmocka_unit_test(found_dead_after_a_loss),
        cmocka_unit_test(our_own_restart_is_nobodys_stop),
        cmocka_unit_test(a_stop_under_way_is_told),
        cmocka_unit_test(our_own_restart_that_failed_is_a_failure),
        cmocka_unit_test(a_command_may_begin_before_its_container_is_known),
        cmocka_unit_test(a_parent_that_does_not_run_is_told_of),
        cmocka_unit_test(the_last_command_rides_along),
        cmocka_unit_test(what_is_not_listed_is_gone),
        cmocka_unit_test(a_list_asks_only_for_differences),
        cmocka_unit_test(it_is_whole_when_each_of_the_first_list_was_looked_at),
        cmocka_unit_test(destroyed_and_recreated_under_the_same_name),
        cmocka_unit_test(of_two_of_one_name_the_running_one_counts),
        cmocka_unit_test(an_event_alone_is_not_told_on),
        cmocka_unit_test(a_list_finds_what_no_event_told),
        cmocka_unit_test(an_inspect_that_failed_waits),
        cmocka_unit_test(a_name_that_does_not_fit_is_not_watched),
        cmocka_unit_test(what_is_down_is_neither_paused_nor_healthy),
        cmocka_unit_test(what_the_probes_say_is_a_change_once),
        cmocka_unit_test(who_beats_is_a_change_once),
        cmocka_unit_test(where_redis_is_makes_all_be_looked_at_again),
        cmocka_unit_test(a_label_denies),
        cmocka_unit_test(what_labels_are_of_no_use_is_kept),
        cmocka_unit_test(a_daemon_that_answers_again_was_not_going),
        cmocka_unit_test(what_an_earlier_daemon_stopped_stays_a_shutdowns),
        cmocka_unit_test(what_did_not_run_is_no_shutdowns),
        cmocka_unit_test(another_incarnation_did_not_go_down_with_the_daemon),
        cmocka_unit_test(our_own_stop_is_nobodys_after_a_restart_of_ours),
        cmocka_unit_test(a_record_of_a_stop_goes_with_its_daemon),
        cmocka_unit_test(a_death_that_is_heard_needs_no_record),
        cmocka_unit_test(only_what_is_watched),
        cmocka_unit_test(labels_are_complained_of_once),
        cmocka_unit_test(what_is_never_touched),
        cmocka_unit_test(records_survive_the_agent),
        cmocka_unit_test(who_beats_and_where_redis_is_survive),
        cmocka_unit_test(a_durable_intent_makes_it_an_operator_stop),
        cmocka_unit_test(any_state_file_is_survived),
        cmocka_unit_test(ends_where_docker_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
