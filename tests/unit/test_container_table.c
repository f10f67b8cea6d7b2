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

static void health_and_pause_need_no_inspect(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    event(&fixture, ID_A, ENGINE_ACTION_HEALTH, BORN + 2 * SEC, HEALTH_UNHEALTHY);
    assert_int_equal(HEALTH_UNHEALTHY, look(&fixture, ID_A)->health);
    event(&fixture, ID_A, ENGINE_ACTION_PAUSE, BORN + 3 * SEC, 0);
    expect(&fixture, ID_A, CONTAINER_PAUSED, STOP_NONE);
    event(&fixture, ID_A, ENGINE_ACTION_UNPAUSE, BORN + 4 * SEC, 0);
    expect(&fixture, ID_A, CONTAINER_RUNNING, STOP_NONE);
    event(&fixture, ID_A, ENGINE_ACTION_PAUSE, BORN - SEC, 0);
    expect(&fixture, ID_A, CONTAINER_RUNNING, STOP_NONE);
    assert_null(container_table_next_inspect(fixture.table));
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
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_KILLED);
    container_table_own_command_end(fixture.table, ID_A, fixture.now);
    expect(&fixture, ID_A, CONTAINER_EXITED, STOP_KILLED);
    close_table(&fixture);
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

static void the_last_command_rides_along(void **state)
{
    (void)state;
    struct fixture fixture;
    open_running(&fixture);
    container_table_set_last_command(fixture.table, ID_A, "00112233445566778899aabbccddeeff",
                                     ANSWER_DOCKER_ERROR);
    bool is_removed;
    const struct container *container = container_table_next_changed(fixture.table, &is_removed);
    assert_non_null(container);
    assert_string_equal("00112233445566778899aabbccddeeff", container->last_command);
    assert_int_equal(ANSWER_DOCKER_ERROR, container->last_command_code);
    container_table_set_last_command(fixture.table, ID_B, "00", ANSWER_OK);
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
    char *text = container_table_save(fixture->table, "boot-1", "redis-1", BORN + 7 * SEC, &len);
    close_table(fixture);
    open_table(fixture);
    char boot_id[LIMIT_ID_SIZE];
    int64_t last_event_ns;
    container_table_load(fixture->table, text, len, redis, boot_id, &last_event_ns);
    free(text);
    assert_string_equal("boot-1", boot_id);
    assert_int_equal(BORN + 7 * SEC, last_event_ns);
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
    static const char GOOD[] = "defib-agent-state 1\nevent 5\nboot x\napp aaaa\nredis r\n"
                               "dead aaaa T1 1 2 3 4 5 15 9 -ds\ndead bbbb T1 1 2\n\n \ndead\nevent x\n";
    for (int round = 0; round < 2000; round++) {
        char text[sizeof GOOD];
        memcpy(text, GOOD, sizeof text);
        for (int i = 0; i < round % 8; i++) {
            text[(size_t)random() % (sizeof text - 1)] = (char)random();
        }
        struct fixture fixture;
        open_table(&fixture);
        char boot_id[LIMIT_ID_SIZE];
        int64_t last_event_ns;
        container_table_load(fixture.table, text, (size_t)random() % sizeof text, "r", boot_id,
                             &last_event_ns);
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
    model->clock_ns += SEC;
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
        cmocka_unit_test(health_and_pause_need_no_inspect),
        cmocka_unit_test(dockers_own_policy_is_foreseen),
        cmocka_unit_test(a_failed_first_start_counts_as_dead),
        cmocka_unit_test(an_operator_stop_settles_when_the_daemon_proves_alive),
        cmocka_unit_test(a_daemons_shutdown_is_no_operator),
        cmocka_unit_test(a_broken_connection_is_no_shutdown),
        cmocka_unit_test(a_closed_listener_tells_a_shutdown_at_once),
        cmocka_unit_test(what_a_new_daemon_stopped_before_we_looked),
        cmocka_unit_test(found_dead_after_a_loss),
        cmocka_unit_test(our_own_restart_is_nobodys_stop),
        cmocka_unit_test(our_own_restart_that_failed_is_a_failure),
        cmocka_unit_test(a_command_may_begin_before_its_container_is_known),
        cmocka_unit_test(the_last_command_rides_along),
        cmocka_unit_test(what_is_not_listed_is_gone),
        cmocka_unit_test(a_list_asks_only_for_differences),
        cmocka_unit_test(destroyed_and_recreated_under_the_same_name),
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
