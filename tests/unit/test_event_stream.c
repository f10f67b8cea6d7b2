#include "agent/event_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/agent.h"
#include "agent/core/container_table.h"
#include "agent/engine_client.h"
#include "common/log.h"
#include "common/memory.h"

#define SEC  1000000000LL
#define HOUR (3600 * SEC)
#define DAY  (24 * HOUR)
#define ID   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/*
 * The stream over a loop and an Engine that are these functions: time runs when the test says so. The Engine
 * has one container, remembers 256 events and replays them as dockerd does (daemon/events: from the newest
 * back to the first that is older than `since`). Its wall clock is set at will.
 */
enum { RING = 256, TIMERS = 8, CALLS = 8, ANSWER_MS = 2 };

struct loop_timer {
    void (*fn)(void *arg);
    void *arg;
    int64_t at_ms, repeat_ms; /* at_ms 0: stopped */
};

enum call_kind { CALL_NONE, CALL_INFO, CALL_RUN, CALL_LIST, CALL_INSPECT, CALL_PING };

struct engine_call {
    enum call_kind kind;
    int64_t at_ms;
    engine_info_callback on_info;
    engine_run_callback on_run;
    engine_list_callback on_list;
    engine_inspect_callback on_inspect;
    engine_callback on_ping;
    void *arg;
};

static struct {
    int64_t now_ms, clock_offset_ns;
    struct loop_timer timers[TIMERS];
    size_t timer_count;
    struct engine_call calls[CALLS], stream;
    struct engine_events_handlers handlers;
    bool has_stream, is_refusing, is_live_restore;
    const char *run_id; /* "": --bridge none */
    int64_t since_ns;   /* as it was asked for last */
    char ring[RING][512];
    int64_t ring_ns[RING];
    size_t ring_count;
    enum container_state state;
    char started_at[LIMIT_TIME_SIZE];
    int64_t started_ns;
    unsigned starts;
    int exit_code;
    struct agent agent;
    struct name_patterns none;
} the;

/* ---- the loop ---- */

struct mono loop_now(const struct loop *loop)
{
    (void)loop;
    return (struct mono){the.now_ms};
}

struct loop_timer *loop_timer_new(struct loop *loop, void (*on_timer)(void *arg), void *arg)
{
    (void)loop;
    assert_true(the.timer_count < TIMERS);
    struct loop_timer *timer = &the.timers[the.timer_count++];
    *timer = (struct loop_timer){.fn = on_timer, .arg = arg};
    return timer;
}

void loop_timer_start(struct loop_timer *timer, int64_t delay_ms, int64_t repeat_ms)
{
    timer->at_ms = the.now_ms + delay_ms + 1;
    timer->repeat_ms = repeat_ms;
}

void loop_timer_stop(struct loop_timer *timer)
{
    timer->at_ms = 0;
}

void loop_timer_free(struct loop_timer *timer)
{
    timer->at_ms = 0;
}

/* ---- the Engine ---- */

static int64_t clock_ns(void)
{
    return 1700000000 * SEC + the.now_ms * 1000000 + the.clock_offset_ns;
}

static void tell_from(int64_t since_ns)
{
    size_t first = the.ring_count;
    while (first > 0 && the.ring_ns[first - 1] >= since_ns) {
        first--;
    }
    for (size_t i = first; i < the.ring_count && the.has_stream; i++) {
        the.handlers.on_line(the.handlers.arg, the.ring[i], strlen(the.ring[i]));
    }
}

static void keep_event(const char *line)
{
    if (the.ring_count == RING) {
        memmove(the.ring, the.ring + 1, sizeof the.ring - sizeof the.ring[0]);
        memmove(the.ring_ns, the.ring_ns + 1, sizeof the.ring_ns - sizeof the.ring_ns[0]);
        the.ring_count--;
    }
    memory_set_text(the.ring[the.ring_count], sizeof the.ring[0], line);
    the.ring_ns[the.ring_count++] = clock_ns();
}

static void emit(const char *action, const char *attribute, int value)
{
    char line[512];
    the.now_ms++;
    snprintf(line, sizeof line,
             "{\"Type\":\"container\",\"Action\":\"%s\",\"Actor\":{\"ID\":\"" ID "\",\"Attributes\":"
             "{\"name\":\"a\",\"%s\":\"%d\"}},\"timeNano\":%lld}",
             action, attribute, value, (long long)clock_ns());
    keep_event(line);
    if (the.has_stream) {
        the.handlers.on_line(the.handlers.arg, line, strlen(line));
    }
}

static struct engine_call *ask(enum call_kind kind, void *arg)
{
    for (size_t i = 0; i < CALLS; i++) {
        if (the.calls[i].kind == CALL_NONE) {
            the.calls[i] = (struct engine_call){.kind = kind, .at_ms = the.now_ms + ANSWER_MS, .arg = arg};
            return &the.calls[i];
        }
    }
    fail_msg("too many calls at once");
    return NULL;
}

struct engine_call *engine_client_info(struct engine_client *client, int64_t timeout_ms,
                                       engine_info_callback on_done, void *arg)
{
    (void)client, (void)timeout_ms;
    struct engine_call *call = ask(CALL_INFO, arg);
    call->on_info = on_done;
    return call;
}

struct engine_call *engine_client_run(struct engine_client *client, int64_t timeout_ms,
                                      engine_run_callback on_done, void *arg)
{
    (void)client, (void)timeout_ms;
    struct engine_call *call = ask(CALL_RUN, arg);
    call->on_run = on_done;
    return call;
}

struct engine_call *engine_client_list(struct engine_client *client, int64_t timeout_ms,
                                       engine_list_callback on_done, void *arg)
{
    (void)client, (void)timeout_ms;
    struct engine_call *call = ask(CALL_LIST, arg);
    call->on_list = on_done;
    return call;
}

struct engine_call *engine_client_inspect(struct engine_client *client, const char *id, int64_t timeout_ms,
                                          engine_inspect_callback on_done, void *arg)
{
    (void)client, (void)timeout_ms;
    assert_string_equal(ID, id);
    struct engine_call *call = ask(CALL_INSPECT, arg);
    call->on_inspect = on_done;
    return call;
}

struct engine_call *engine_client_ping(struct engine_client *client, int64_t timeout_ms,
                                       engine_callback on_done, void *arg)
{
    (void)client, (void)timeout_ms;
    struct engine_call *call = ask(CALL_PING, arg);
    call->on_ping = on_done;
    return call;
}

struct engine_call *engine_client_events(struct engine_client *client, int64_t since_ns,
                                         const struct engine_events_handlers *handlers)
{
    (void)client;
    the.handlers = *handlers;
    the.has_stream = true;
    the.since_ns = since_ns;
    the.stream.at_ms = the.now_ms + 1;
    return &the.stream;
}

void engine_call_cancel(struct engine_call *call)
{
    if (call == &the.stream) {
        the.has_stream = false;
        call->at_ms = 0;
    } else if (call != NULL) {
        call->kind = CALL_NONE;
    }
}

const char *engine_client_describe(const struct engine_client *client)
{
    (void)client;
    return "the Engine";
}

void agent_facts_changed(struct agent *agent)
{
    (void)agent;
}

static void answer_list(const struct engine_call *call, const struct engine_answer *answer)
{
    struct engine_summary row = {.id = ID, .name = "a", .state = the.state, .health = HEALTH_NONE};
    call->on_list(call->arg, answer, &row, 1);
}

static void answer_inspect(const struct engine_call *call, const struct engine_answer *answer)
{
    struct engine_container facts = {.id = ID,
                                     .name = "a",
                                     .state = the.state,
                                     .health = HEALTH_NONE,
                                     .started_ns = the.started_ns,
                                     .stop_timeout_secs = -1,
                                     .exit_code = the.exit_code,
                                     .policy = DOCKER_POLICY_NO};
    memory_set_text(facts.started_at, sizeof facts.started_at, the.started_at);
    call->on_inspect(call->arg, answer, &facts);
}

static void answer_call(struct engine_call *place)
{
    const struct engine_call call = *place;
    const struct engine_info info = {
        .version = "20.10.24", .system_time_ns = clock_ns(), .is_live_restore = the.is_live_restore};
    struct engine_answer answer = {.result = the.is_refusing ? ENGINE_UNREACHABLE : ENGINE_OK, .message = ""};
    place->kind = CALL_NONE;
    switch (call.kind) {
    case CALL_INFO:
        call.on_info(call.arg, &answer, the.is_refusing ? NULL : &info);
        break;
    case CALL_RUN:
        answer.result = the.run_id[0] == '\0' ? ENGINE_NOT_FOUND : ENGINE_OK;
        call.on_run(call.arg, &answer, the.run_id);
        break;
    case CALL_LIST:
        answer_list(&call, &answer);
        break;
    case CALL_INSPECT:
        answer_inspect(&call, &answer);
        break;
    case CALL_PING:
        call.on_ping(call.arg, &answer);
        break;
    case CALL_NONE:
        break;
    }
}

static void turn(void)
{
    the.now_ms++;
    if (the.stream.at_ms == the.now_ms) {
        tell_from(the.since_ns);
    }
    for (size_t i = 0; i < CALLS; i++) {
        if (the.calls[i].kind != CALL_NONE && the.now_ms >= the.calls[i].at_ms) {
            answer_call(&the.calls[i]);
        }
    }
    for (size_t i = 0; i < the.timer_count; i++) {
        struct loop_timer *timer = &the.timers[i];
        if (timer->at_ms != 0 && the.now_ms >= timer->at_ms) {
            timer->at_ms = timer->repeat_ms == 0 ? 0 : the.now_ms + timer->repeat_ms;
            timer->fn(timer->arg);
        }
    }
    container_table_tick(the.agent.table, (struct mono){the.now_ms});
    event_stream_prove(the.agent.stream);
}

static void run(int64_t ms)
{
    for (int64_t end = the.now_ms + ms; the.now_ms < end;) {
        turn();
    }
}

static void end_stream(void)
{
    const struct engine_answer answer = {.result = ENGINE_LOST, .message = "cut"};
    the.has_stream = false;
    the.handlers.on_end(the.handlers.arg, &answer);
}

/* ---- the container ---- */

static void start(void)
{
    the.state = CONTAINER_RUNNING;
    the.started_ns = clock_ns();
    snprintf(the.started_at, sizeof the.started_at, "T%u", ++the.starts);
    emit("start", "x", 0);
}

static void die(int exit_code)
{
    the.state = CONTAINER_EXITED;
    the.exit_code = exit_code;
    emit("die", "exitCode", exit_code);
}

static void stop(void)
{
    emit("kill", "signal", 15);
    die(137);
    emit("stop", "x", 0);
}

static void others(int count)
{
    for (int i = 0; i < count; i++) {
        emit("update", "x", i);
    }
}

/* ---- the agent ---- */

/* `state`: as close_agent left it on the disk; NULL: there was no agent before. */
static void open_agent(const char *state)
{
    char boot_id[LIMIT_ID_SIZE];
    struct event_window seen;
    the.agent.table = container_table_new(&the.agent.table_config);
    bool has_seen =
        state != NULL && container_table_load(the.agent.table, state, strlen(state), "redis", boot_id, &seen);
    assert_int_equal(state != NULL, has_seen);
    the.agent.stream = event_stream_new(&the.agent, has_seen ? &seen : NULL);
    run(1500);
}

static const char *close_agent(void)
{
    static char state[16384];
    size_t len = 0;
    char *text = NULL;
    if (the.agent.table != NULL) {
        text =
            container_table_save(the.agent.table, "boot", "redis", event_stream_seen(the.agent.stream), &len);
        assert_true(len < sizeof state);
        memcpy(state, text, len);
    }
    state[len] = '\0';
    free(text);
    event_stream_free(the.agent.stream);
    container_table_free(the.agent.table);
    the.agent.stream = NULL;
    the.agent.table = NULL;
    the.timer_count = 0;
    return state;
}

static int setup(void **state)
{
    (void)state;
    memset(&the, 0, sizeof the);
    the.now_ms = 100000;
    the.run_id = "";
    the.agent.table_config = (struct container_table_config){
        .name_prefix = "",
        .watch = CONTAINER_WATCH_ALL,
        .watch_globs = &the.none,
        .deny = &the.none,
        .stop = {.stop_settle_ms = 2000, .intent_settle_ms = 15000},
        .self_id = "",
    };
    emit("create", "x", 0);
    start();
    the.now_ms += 60000;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close_agent();
    return 0;
}

static const struct container *look(void)
{
    const struct container *container = container_table_by_id(the.agent.table, ID);
    assert_non_null(container);
    return container;
}

static void expect(enum container_state state, enum stop_class class)
{
    assert_string_equal(container_state_name(state), container_state_name(look()->state));
    assert_string_equal(stop_class_name(class), stop_class_name(look()->stop_class));
    assert_string_equal(the.started_at, look()->incarnation);
}

static int64_t events(void)
{
    return event_stream_counters(the.agent.stream).events;
}

/* ---- tests ---- */

static const int64_t JUMPS[] = {-HOUR, -DAY, DAY, 0};
enum { JUMP_COUNT = sizeof JUMPS / sizeof JUMPS[0] };

static void again(void **state)
{
    teardown(state);
    setup(state);
}

static void what_was_before_the_agent_is_no_news(void **state)
{
    (void)state;
    stop();
    start();
    open_agent(NULL);
    expect(CONTAINER_RUNNING, STOP_NONE);
    assert_int_equal(0, events());
    end_stream();
    run(1000);
    assert_int_equal(0, events());
    expect(CONTAINER_RUNNING, STOP_NONE);
}

static void a_stop_is_seen_by_any_clock(void **state)
{
    for (size_t i = 0; i < JUMP_COUNT; i++, again(state)) {
        open_agent(NULL);
        die(1);
        start();
        run(100);
        the.clock_offset_ns += JUMPS[i];
        stop();
        expect(CONTAINER_EXITED, STOP_SETTLING);
        run(20000);
        expect(CONTAINER_EXITED, STOP_OPERATOR);
    }
}

/* The stream breaks, the clock is set, before or after the stop; nothing is told twice. */
static void a_stop_during_a_break_is_seen_by_any_clock(void **state)
{
    for (size_t i = 0; i < 2 * JUMP_COUNT; i++, again(state)) {
        open_agent(NULL);
        others(10);
        end_stream();
        the.clock_offset_ns += i < JUMP_COUNT ? JUMPS[i] : 0;
        stop();
        the.clock_offset_ns += i < JUMP_COUNT ? 0 : JUMPS[i - JUMP_COUNT];
        run(1000);
        assert_int_equal(13, events());
        expect(CONTAINER_EXITED, STOP_SETTLING);
        run(20000);
        expect(CONTAINER_EXITED, STOP_OPERATOR);
    }
}

/* ... or the agent was away meanwhile. */
static void a_stop_without_an_agent_is_seen_by_any_clock(void **state)
{
    for (size_t i = 0; i < JUMP_COUNT; i++, again(state)) {
        open_agent(NULL);
        others(10);
        const char *state_file = close_agent();
        the.clock_offset_ns += JUMPS[i];
        stop();
        open_agent(state_file);
        assert_int_equal(3, events());
        expect(CONTAINER_EXITED, STOP_SETTLING);
        run(20000);
        expect(CONTAINER_EXITED, STOP_OPERATOR);
    }
}

/* dockerd is killed, its successor stops what it finds: no operator, whatever the clock says by then. */
static void a_new_daemons_stops_are_a_shutdown_by_any_clock(void **state)
{
    for (size_t i = 0; i < JUMP_COUNT; i++, again(state)) {
        open_agent(NULL);
        others(3);
        the.ring_count = 0;
        the.is_refusing = true;
        end_stream();
        run(1000);
        stop();
        the.clock_offset_ns += JUMPS[i];
        the.is_refusing = false;
        run(30000);
        expect(CONTAINER_EXITED, STOP_SHUTDOWN);
        /* What an operator stops afterwards he did stop. */
        start();
        run(1000);
        the.clock_offset_ns += JUMPS[i];
        stop();
        run(30000);
        expect(CONTAINER_EXITED, STOP_OPERATOR);
    }
}

/* Agent and dockerd were both restarted, and more happened since than it remembers. */
static void reopen_agent(const char *run_id, int count)
{
    const char *state = close_agent();
    the.ring_count = strcmp(run_id, the.run_id) == 0 ? the.ring_count : 0;
    the.run_id = run_id;
    stop();
    others(count);
    open_agent(state);
    run(30000);
}

static void a_stop_while_nobody_looked(void **state)
{
    static const struct {
        const char *before, *after;
        bool is_live_restore;
        int count;
        enum stop_class wanted;
    } CASES[] = {
        {"aa", "aa", false, 10, STOP_OPERATOR},      {"aa", "aa", false, RING - 3, STOP_OPERATOR},
        {"aa", "bb", false, 10, STOP_SHUTDOWN},      {"aa", "bb", false, RING - 3, STOP_SHUTDOWN},
        {"aa", "bb", false, RING, STOP_SHUTDOWN},    {"", "", false, 10, STOP_OPERATOR},
        {"", "", false, RING - 3, STOP_UNSEEN},      {"aa", "", false, RING - 3, STOP_UNSEEN},
        {"aa", "aa", true, RING - 3, STOP_OPERATOR},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++, again(state)) {
        the.run_id = CASES[i].before;
        the.is_live_restore = CASES[i].is_live_restore;
        open_agent(NULL);
        others(1);
        reopen_agent(CASES[i].after, CASES[i].count);
        expect(CONTAINER_EXITED, CASES[i].wanted);
    }
}

/* What the Engine tells twice, and what comes in another order than its times say. */
static void each_event_counts_once_in_the_order_of_arrival(void **state)
{
    (void)state;
    open_agent(NULL);
    others(RING + 50);
    assert_int_equal(RING + 50, events());
    tell_from(0);
    assert_int_equal(RING + 50, events());
    for (int i = 0; i < 20; i++) {
        end_stream();
        run(1000);
        others(1);
        the.clock_offset_ns -= 10 * SEC;
    }
    assert_int_equal(RING + 70, events());
}

/* Any history of container and clock, breaks of the stream and of the agent: the table ends where Docker is.
 */
static void ends_where_docker_is(void **state)
{
    srandom(5);
    for (int round = 0; round < 300; round++, again(state)) {
        open_agent(NULL);
        for (int step = 0; step < 30; step++) {
            switch (random() % 8) {
            case 0:
                the.clock_offset_ns += JUMPS[random() % JUMP_COUNT];
                break;
            case 1:
                if (the.has_stream) {
                    end_stream();
                }
                break;
            case 2:
                open_agent(close_agent());
                break;
            case 3:
                run(random() % 3000);
                break;
            case 4:
                others((int)(random() % 300));
                break;
            default:
                if (the.state != CONTAINER_RUNNING) {
                    start();
                } else if (random() % 2 == 0) {
                    die(1);
                } else {
                    stop();
                }
                break;
            }
        }
        run(10000);
        if (the.state != CONTAINER_RUNNING) {
            start();
            run(100);
            stop();
            run(30000);
        }
        expect(the.state, the.state == CONTAINER_RUNNING ? STOP_NONE : STOP_OPERATOR);
    }
}

int main(void)
{
    log_init(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_was_before_the_agent_is_no_news),
        TEST(a_stop_is_seen_by_any_clock),
        TEST(a_stop_during_a_break_is_seen_by_any_clock),
        TEST(a_stop_without_an_agent_is_seen_by_any_clock),
        TEST(a_new_daemons_stops_are_a_shutdown_by_any_clock),
        TEST(a_stop_while_nobody_looked),
        TEST(each_event_counts_once_in_the_order_of_arrival),
        TEST(ends_where_docker_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
