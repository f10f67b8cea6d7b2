#include "agent/command_server.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/agent.h"
#include "agent/core/container_table.h"
#include "agent/engine_client.h"
#include "agent/event_stream.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/rpc.h"

#define CONTAINER_ID "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/*
 * The server with real sockets, a real file and a real container table; the rest of the agent and the Engine
 * are these functions, which stand in for agent.c and engine_client.c. The Engine needs a turn of the loop
 * for each answer, and for a restart as long as the test says.
 */
struct fixture {
    struct agent agent;
    struct settings settings;
    struct name_patterns none;
    char dir[64];
    struct loop *loop;
    struct loop_timer *deadline;
    struct command_server *server;
    struct rpc_client *client;
    /* the Engine */
    unsigned incarnation;
    unsigned inspects, restarts, starts;
    int64_t restart_ms;
    struct loop_timer *engine_timer, *restart_timer;
    engine_inspect_callback on_inspect;
    engine_callback on_restart;
    void *inspect_arg, *restart_arg;
    /* what came back */
    unsigned answers, wanted;
    struct answer answer;
    int status;
    enum answer_code ended;
    unsigned ended_count;
};

static struct fixture *the;

static void fill_container(struct engine_container *out)
{
    *out = (struct engine_container){.id = CONTAINER_ID,
                                     .name = "shard-1",
                                     .state = CONTAINER_RUNNING,
                                     .health = HEALTH_NONE,
                                     .stop_timeout_secs = -1,
                                     .pid = 4};
    snprintf(out->started_at, sizeof out->started_at, "2026-01-23T19:05:30.%09uZ", the->incarnation);
    out->started_ns = engine_json_time_ns(out->started_at);
}

static void on_engine_timer(void *arg)
{
    (void)arg;
    struct engine_container container;
    fill_container(&container);
    const struct engine_answer answer = {.result = ENGINE_OK, .status = 200, .message = ""};
    the->on_inspect(the->inspect_arg, &answer, &container);
}

static void on_restart_timer(void *arg)
{
    (void)arg;
    the->incarnation++;
    const struct engine_answer answer = {.result = ENGINE_OK, .status = 204, .message = ""};
    the->on_restart(the->restart_arg, &answer);
}

struct engine_call *engine_client_inspect(struct engine_client *client, const char *id, int64_t timeout_ms,
                                          engine_inspect_callback on_done, void *arg)
{
    (void)client;
    assert_string_equal(id, CONTAINER_ID);
    assert_true(timeout_ms > 0);
    the->inspects++;
    the->on_inspect = on_done;
    the->inspect_arg = arg;
    loop_timer_start(the->engine_timer, 0, 0);
    return (struct engine_call *)the->engine_timer;
}

struct engine_call *engine_client_restart(struct engine_client *client, const char *id,
                                          int64_t stop_timeout_secs, int64_t timeout_ms,
                                          engine_callback on_done, void *arg)
{
    (void)client, (void)id, (void)stop_timeout_secs, (void)timeout_ms;
    the->restarts++;
    the->on_restart = on_done;
    the->restart_arg = arg;
    loop_timer_start(the->restart_timer, the->restart_ms, 0);
    return (struct engine_call *)the->restart_timer;
}

struct engine_call *engine_client_start(struct engine_client *client, const char *id, int64_t timeout_ms,
                                        engine_callback on_done, void *arg)
{
    (void)client, (void)id, (void)timeout_ms, (void)on_done, (void)arg;
    the->starts++;
    return NULL;
}

void engine_call_cancel(struct engine_call *call)
{
    loop_timer_stop((struct loop_timer *)call);
}

uint64_t agent_change(const struct agent *agent)
{
    return container_table_change(agent->table);
}

void event_stream_doubt(struct event_stream *stream)
{
    (void)stream;
}

bool event_stream_is_up(const struct event_stream *stream)
{
    (void)stream;
    return true;
}

void agent_facts_changed(struct agent *agent)
{
    assert_ptr_equal(agent, &the->agent);
}

void agent_command_ended(struct agent *agent, const struct outcome *outcome)
{
    container_table_set_last_command(agent->table, outcome);
    the->ended = outcome->code;
    the->ended_count++;
    loop_stop(the->loop);
}

char *agent_inventory(struct agent *agent, size_t *len)
{
    (void)agent;
    *len = 2;
    return memory_copy_text("{}");
}

enum redis_word agent_redis(const struct agent *agent)
{
    (void)agent;
    return REDIS_WORD_UP;
}

/* ---- the test's hand ---- */

static void list_container(void)
{
    struct engine_summary row = {
        .id = CONTAINER_ID, .name = "shard-1", .state = CONTAINER_RUNNING, .health = HEALTH_NONE};
    struct mono now = loop_now(the->loop);
    struct engine_container container;
    container_table_sweep_begin(the->agent.table);
    container_table_sweep(the->agent.table, &row, 1, CONTAINER_SWEEP_ALL, now);
    while (container_table_next_inspect(the->agent.table) != NULL) {
        fill_container(&container);
        container_table_inspected(the->agent.table, &container, now);
    }
}

static void open_client(void)
{
    const struct rpc_client_options options = {.url = command_server_url(the->server), .max_bytes = 1 << 20};
    assert_int_equal(rpc_client_open(the->loop, &options, &the->client, NULL), 0);
}

static int open_server(struct err *err)
{
    return command_server_open(&the->agent, &the->server, err);
}

static void on_deadline(void *arg)
{
    (void)arg;
    fail_msg("nothing came within 10 s");
}

static int setup(void **state)
{
    the = memory_alloc(sizeof *the);
    *state = the;
    strcpy(the->dir, "/tmp/defib-command-server.XXXXXX");
    assert_non_null(mkdtemp(the->dir));
    the->loop = loop_new();
    the->incarnation = 1;
    the->settings.host = "h1";
    the->settings.listen_url = "tcp://127.0.0.1:0";
    the->settings.state_dir = the->dir;
    the->agent.settings = &the->settings;
    the->agent.loop = the->loop;
    memory_set_text(the->agent.id, sizeof the->agent.id, "0123456789abcdef0123456789abcdef");
    the->agent.table_config = (struct container_table_config){
        .name_prefix = "", .watch_globs = &the->none, .deny = &the->none, .self_id = ""};
    the->agent.table = container_table_new(&the->agent.table_config);
    the->engine_timer = loop_timer_new(the->loop, on_engine_timer, NULL);
    the->restart_timer = loop_timer_new(the->loop, on_restart_timer, NULL);
    the->deadline = loop_timer_new(the->loop, on_deadline, NULL);
    loop_timer_start(the->deadline, 10000, 0);
    answer_init(&the->answer);
    list_container();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rpc_client_close(the->client);
    command_server_close(the->server);
    container_table_free(the->agent.table);
    loop_timer_free(the->engine_timer);
    loop_timer_free(the->restart_timer);
    loop_timer_free(the->deadline);
    loop_free(the->loop);
    answer_fini(&the->answer);
    char path[128];
    snprintf(path, sizeof path, "%s/commands.log", the->dir);
    unlink(path);
    rmdir(the->dir);
    free(the);
    return 0;
}

static void on_answer(void *arg, int status, const uint8_t *bytes, size_t len)
{
    (void)arg;
    the->answers++;
    the->status = status;
    if (status == 0) {
        const struct key_ring none = {0};
        const struct key_ring *keys = the->agent.keys.count > 0 ? &the->agent.keys : &none;
        const uint8_t *body;
        size_t body_len;
        answer_fini(&the->answer);
        answer_init(&the->answer);
        assert_int_equal(envelope_open(keys, ENVELOPE_ANSWER, "h1", bytes, len, &body, &body_len, NULL), 0);
        assert_int_equal(answer_decode(body, body_len, &the->answer, NULL), 0);
    }
    if (the->answers == the->wanted) {
        loop_stop(the->loop);
    }
}

static struct command command_for(unsigned id, enum command_op op)
{
    struct command command = {.op = op,
                              .epoch = 3,
                              .host = "h1",
                              .container = "shard-1",
                              .container_id = CONTAINER_ID,
                              .stop_timeout_ms = 1000,
                              .ttl_ms = 5000};
    snprintf(command.expect_started_at, sizeof command.expect_started_at, "2026-01-23T19:05:30.%09uZ",
             the->incarnation);
    memcpy(command.id.bytes, &id, sizeof id);
    return command;
}

static void call(const struct command *command)
{
    size_t body_len, len;
    cleanup_free uint8_t *body = command_encode(command, &body_len);
    cleanup_free uint8_t *frame =
        envelope_seal(&the->agent.keys, ENVELOPE_REQUEST, "h1", body, body_len, &len);
    the->wanted++;
    assert_int_equal(rpc_client_call(the->client, frame, len, 5000, on_answer, NULL), 0);
}

static enum answer_code exchange(const struct command *command)
{
    call(command);
    while (the->answers < the->wanted) {
        loop_run(the->loop);
    }
    assert_int_equal(the->status, 0);
    return the->answer.code;
}

static enum answer_code wait_end(unsigned id)
{
    unsigned before = the->ended_count;
    struct command ask = command_for(id, OP_OUTCOME);
    while (exchange(&ask) == ANSWER_ACCEPTED) {
        while (the->ended_count == before) {
            loop_run(the->loop);
        }
    }
    return the->answer.code;
}

static void a_restart_goes_its_whole_way(void **state)
{
    (void)state;
    assert_int_equal(open_server(NULL), 0);
    open_client();
    struct command command = command_for(1, OP_RESTART);
    assert_int_equal(exchange(&command), ANSWER_ACCEPTED);
    assert_int_equal(wait_end(1), ANSWER_OK);
    assert_int_equal(the->restarts, 1);
    assert_string_equal(the->answer.started_at, "2026-01-23T19:05:30.000000002Z");
    assert_string_equal(the->answer.agent, "0123456789abcdef0123456789abcdef");
    assert_int_equal(the->ended, ANSWER_OK);
    assert_int_equal(command_server_epoch(the->server), 3);
    assert_int_equal(command_server_counters(the->server).accepted, 1);
    assert_int_equal(container_table_by_id(the->agent.table, CONTAINER_ID)->last_command_code, ANSWER_OK);
}

/* While a restart takes its time, others are answered; three copies of it are one. */
static void a_long_restart_holds_up_nobody(void **state)
{
    (void)state;
    the->restart_ms = 700;
    assert_int_equal(open_server(NULL), 0);
    open_client();
    struct command command = command_for(1, OP_RESTART), ping = command_for(2, OP_PING);
    call(&command);
    call(&command);
    assert_int_equal(exchange(&command), ANSWER_ACCEPTED); /* all three are */
    unsigned pings = 0;
    while (the->ended_count == 0) {
        assert_int_equal(exchange(&ping), ANSWER_OK);
        pings += command_server_in_flight(the->server) > 0;
    }
    assert_true(pings > 20);
    assert_int_equal(the->restarts, 1);
    assert_int_equal(exchange(&command), ANSWER_OK);
    assert_int_equal(the->restarts, 1);
}

static void the_memory_outlives_the_server(void **state)
{
    (void)state;
    assert_int_equal(open_server(NULL), 0);
    open_client();
    struct command done = command_for(1, OP_RESTART);
    assert_int_equal(exchange(&done), ANSWER_ACCEPTED);
    assert_int_equal(wait_end(1), ANSWER_OK);
    /* the next one is cut off while Docker works on it, and Docker ends it alone */
    list_container();
    the->restart_ms = 60000;
    struct command open = command_for(2, OP_RESTART);
    assert_int_equal(exchange(&open), ANSWER_ACCEPTED);
    while (the->restarts < 2) {
        struct command ping = command_for(9, OP_PING);
        exchange(&ping);
    }
    rpc_client_close(the->client);
    command_server_close(the->server);
    the->server = NULL;
    the->incarnation++;
    assert_int_equal(open_server(NULL), 0);
    open_client();
    assert_int_equal(exchange(&done), ANSWER_OK);
    assert_int_equal(wait_end(2), ANSWER_OK);
    assert_int_equal(exchange(&open), ANSWER_OK);
    assert_int_equal(the->restarts, 2);
    assert_int_equal(command_server_epoch(the->server), 3);
}

static void a_state_directory_that_cannot_be_used_refuses(void **state)
{
    (void)state;
    the->settings.state_dir = "/nonexistent/defib";
    log_init(LOG_LEVEL_ERROR + 1, LOG_FORMAT_TEXT);
    assert_int_equal(open_server(NULL), 0);
    log_init(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    open_client();
    struct command command = command_for(1, OP_RESTART), ping = command_for(2, OP_PING);
    assert_int_equal(exchange(&ping), ANSWER_OK);
    assert_int_equal(exchange(&command), ANSWER_ACCEPTED);
    assert_int_equal(wait_end(1), ANSWER_DOCKER_ERROR);
    assert_non_null(strstr(the->answer.detail, "/nonexistent/defib"));
    assert_int_equal(the->restarts, 0);
}

static void opening_says_what_is_wrong(void **state)
{
    (void)state;
    assert_int_equal(open_server(NULL), 0);
    struct command_server *other;
    struct err err = {0};
    assert_int_equal(command_server_open(&the->agent, &other, &err), -EBUSY);
    assert_non_null(strstr(err.text, "DEFIB_STATE_DIR"));
    char dir[] = "/tmp/defib-command-server.XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    the->settings.state_dir = dir;
    the->settings.listen_url = memory_copy_text(command_server_url(the->server));
    assert_int_equal(command_server_open(&the->agent, &other, &err), -EADDRINUSE);
    assert_non_null(strstr(err.text, the->settings.listen_url));
    free(the->settings.listen_url);
    snprintf(path, sizeof path, "%s/commands.log", dir);
    unlink(path);
    rmdir(dir);
}

static void keys_are_swapped_while_it_runs(void **state)
{
    (void)state;
    static const char KEY[] = "k1:1111111111111111111111111111111111111111111111111111111111111111\n";
    assert_int_equal(open_server(NULL), 0);
    open_client();
    struct command command = command_for(1, OP_RESTART), ping = command_for(2, OP_PING);
    assert_int_equal(exchange(&ping), ANSWER_OK);
    struct key_ring keys;
    assert_int_equal(key_ring_parse(KEY, strlen(KEY), &keys, NULL), 0);
    command_server_set_keys(the->server, &keys);
    assert_int_equal(exchange(&command), ANSWER_UNAUTHORIZED);
    the->agent.keys = keys;
    assert_int_equal(exchange(&ping), ANSWER_OK);
    assert_int_equal(command_server_counters(the->server).unauthorized, 1);
    assert_int_equal(the->inspects, 0);
}

static void too_much_and_noise_are_passed_over(void **state)
{
    (void)state;
    assert_int_equal(open_server(NULL), 0);
    open_client();
    static uint8_t much[200000];
    static const size_t SIZES[] = {100, sizeof much};
    for (size_t i = 0; i < 2; i++) {
        the->wanted++;
        assert_int_equal(rpc_client_call(the->client, much, SIZES[i], 300, on_answer, NULL), 0);
        while (the->answers < the->wanted) {
            loop_run(the->loop);
        }
        assert_int_not_equal(the->status, 0);
    }
    rpc_client_close(the->client);
    open_client();
    struct command ping = command_for(2, OP_PING);
    assert_int_equal(exchange(&ping), ANSWER_OK);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    log_init(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    const struct CMUnitTest tests[] = {
        CASE(a_restart_goes_its_whole_way),       CASE(a_long_restart_holds_up_nobody),
        CASE(the_memory_outlives_the_server),     CASE(a_state_directory_that_cannot_be_used_refuses),
        CASE(opening_says_what_is_wrong),         CASE(keys_are_swapped_while_it_runs),
        CASE(too_much_and_noise_are_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
