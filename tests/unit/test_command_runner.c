#include "agent/command_runner.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/memory.h"

/* A host with a Docker, a disk and a clock that do only what the test says, when it says so. */

enum { CONTAINERS = 3, IDS = 64, CALLS = 64, WRITES = 256, DISK_BYTES = 4 * 1024 * 1024 };

struct call {
    bool is_open;
    enum command_op act; /* OP_UNKNOWN: an inspect */
    unsigned container;
    int64_t stop_timeout_secs, timeout_ms;
    engine_inspect_callback on_inspect;
    engine_callback on_act;
    void *arg; /* NULL: whoever asked is dead */
};

struct pending_write {
    uint8_t *bytes;
    size_t len;
    bool is_replace;
    outcome_file_callback on_done;
    void *arg;
};

struct world {
    struct mono now;
    struct command_facts containers[CONTAINERS];
    bool is_gone[CONTAINERS];
    bool is_unlisted; /* the agent's table is not filled yet */
    unsigned starts;  /* incarnations made */
    unsigned acts_asked;
    const struct command *working[CONTAINERS]; /* what was accepted for it and has not ended; or NULL */
    unsigned asked[IDS];                       /* times Docker was asked for this id */
    struct call calls[CALLS];
    struct pending_write writes[WRITES];
    size_t write_count;
    uint8_t *disk;
    size_t disk_len;
    bool is_disk_full;
    bool is_disk_quick; /* writes are done from within append */
    int own_depth;
    unsigned ended;
    struct command_id ended_id;
    enum answer_code ended_code;
    struct command_runner *runner;
    bool has_evidence; /* evidence is collected, and ends when the test says so */
    unsigned captures, captures_dropped;
    int doubts;
    void (*on_captured)(void *arg); /* NULL: none is under way */
    void *captured_arg;
};

static void container_start(struct world *world, unsigned number)
{
    struct command_facts *facts = &world->containers[number];
    facts->state = CONTAINER_RUNNING;
    facts->stop_class = STOP_NONE;
    world->starts++;
    snprintf(facts->started_at, sizeof facts->started_at, "2026-01-23T19:05:30.%09uZ", world->starts);
}

static void container_die(struct world *world, unsigned number, enum stop_class class)
{
    world->containers[number].state = CONTAINER_EXITED;
    world->containers[number].stop_class = class;
}

static unsigned number_of(const struct world *world, const char *container_id)
{
    for (unsigned i = 0; i < CONTAINERS; i++) {
        if (strcmp(world->containers[i].container_id, container_id) == 0) {
            return i;
        }
    }
    fail_msg("no container %s", container_id);
    return 0;
}

/* ---- ports ---- */

static struct mono port_now(void *arg)
{
    return ((struct world *)arg)->now;
}

static struct wall port_wall(void *arg)
{
    return (struct wall){((struct world *)arg)->now.ms + 1700000000000};
}

static bool port_find(void *arg, const char *container, struct command_facts *out)
{
    const struct world *world = arg;
    unsigned number = (unsigned)(container[strlen(container) - 1] - '0');
    if (number >= CONTAINERS || world->is_gone[number]) {
        return false;
    }
    *out = world->containers[number];
    return true;
}

static bool port_is_listed(void *arg)
{
    return !((struct world *)arg)->is_unlisted;
}

static struct call *new_call(struct world *world, const char *container_id, void *arg)
{
    for (size_t i = 0; i < CALLS; i++) {
        if (!world->calls[i].is_open) {
            world->calls[i] =
                (struct call){.is_open = true, .container = number_of(world, container_id), .arg = arg};
            return &world->calls[i];
        }
    }
    fail_msg("too many calls");
    return NULL;
}

static struct engine_call *port_inspect(void *arg, const char *container_id, engine_inspect_callback on_done,
                                        void *done_arg)
{
    struct call *call = new_call(arg, container_id, done_arg);
    call->on_inspect = on_done;
    return (struct engine_call *)call;
}

static struct engine_call *port_act(void *arg, enum command_op act, const char *container_id,
                                    int64_t stop_timeout_secs, int64_t timeout_ms, engine_callback on_done,
                                    void *done_arg)
{
    struct world *world = arg;
    struct call *call = new_call(world, container_id, done_arg);
    call->act = act;
    call->on_act = on_done;
    call->stop_timeout_secs = stop_timeout_secs;
    call->timeout_ms = timeout_ms;
    world->acts_asked++;
    assert_true(world->own_depth > 0);
    const struct command_facts *facts = &world->containers[call->container];
    const struct command *command = world->working[call->container];
    assert_null(facts->denied);
    assert_non_null(command);
    assert_string_equal(facts->container_id, command->container_id);
    assert_string_equal(facts->started_at, command->expect_started_at);
    assert_true(facts->state == CONTAINER_RUNNING ||
                (facts->stop_class != STOP_OPERATOR && facts->stop_class != STOP_SETTLING));
    unsigned id;
    memcpy(&id, command->id.bytes, sizeof id);
    assert_int_equal(world->asked[id % IDS]++, 0);
    return (struct engine_call *)call;
}

static void port_cancel(void *arg, struct engine_call *handle)
{
    (void)arg;
    struct call *call = (struct call *)handle;
    assert_true(call->is_open);
    call->is_open = call->act != OP_UNKNOWN; /* Docker goes on with what it was asked for */
    call->arg = NULL;
}

static void port_doubt(void *arg)
{
    ((struct world *)arg)->doubts++;
}

static void port_own(void *arg, const char *container_id, enum command_own what)
{
    struct world *world = arg;
    number_of(world, container_id);
    world->own_depth += what == COMMAND_OWN_BEGIN ? 1 : -1;
    assert_true(world->own_depth >= 0);
}

static void port_ended(void *arg, const struct outcome *outcome)
{
    struct world *world = arg;
    world->working[number_of(world, outcome->container_id)] = NULL;
    world->ended++;
    world->ended_id = outcome->id;
    world->ended_code = outcome->code;
}

static void disk_put(struct world *world, const uint8_t *bytes, size_t len, bool is_replace)
{
    world->disk_len = is_replace ? 0 : world->disk_len;
    assert_true(world->disk_len + len <= DISK_BYTES);
    memcpy(world->disk + world->disk_len, bytes, len);
    world->disk_len += len;
}

static void world_write(struct world *world)
{
    struct pending_write write = world->writes[0];
    world->write_count--;
    memmove(world->writes, world->writes + 1, world->write_count * sizeof write);
    if (!world->is_disk_full) {
        disk_put(world, write.bytes, write.len, write.is_replace);
    }
    free(write.bytes);
    if (write.on_done != NULL) {
        write.on_done(write.arg, world->is_disk_full ? -ENOSPC : 0,
                      world->is_disk_full ? "cannot write commands.log: No space left on device" : "");
    }
}

static void world_write_all(struct world *world)
{
    while (world->write_count > 0) {
        world_write(world);
    }
}

static void queue_write(struct world *world, struct pending_write write)
{
    assert_true(world->write_count < WRITES);
    world->writes[world->write_count++] = write;
    if (world->is_disk_quick) {
        world_write_all(world);
    }
}

static void port_append(void *arg, const uint8_t *bytes, size_t len, enum outcome_file_safety safety,
                        outcome_file_callback on_done, void *done_arg)
{
    (void)safety;
    struct pending_write write = {
        .bytes = memory_alloc(len), .len = len, .on_done = on_done, .arg = done_arg};
    memcpy(write.bytes, bytes, len);
    queue_write(arg, write);
}

static void port_replace(void *arg, uint8_t *bytes, size_t len)
{
    queue_write(arg, (struct pending_write){.bytes = bytes, .len = len, .is_replace = true});
}

/* ---- the test's hand ---- */

static struct evidence_capture *port_capture(void *arg, const struct command *command,
                                             const struct engine_container *facts, void (*on_done)(void *arg),
                                             void *done_arg)
{
    struct world *world = arg;
    assert_string_equal(command->container_id, facts->id);
    assert_null(world->on_captured);
    world->captures++;
    world->on_captured = on_done;
    world->captured_arg = done_arg;
    return (struct evidence_capture *)(void *)world;
}

static void port_drop_capture(void *arg, struct evidence_capture *capture)
{
    struct world *world = arg;
    assert_ptr_equal(world, capture);
    world->captures_dropped++;
    world->on_captured = NULL;
}

static void world_captured(struct world *world)
{
    void (*on_captured)(void *arg) = world->on_captured;
    assert_non_null(on_captured);
    world->on_captured = NULL;
    on_captured(world->captured_arg);
}

static void world_boot(struct world *world)
{
    const struct command_ports ports = {.arg = world,
                                        .capture = world->has_evidence ? port_capture : NULL,
                                        .drop_capture = port_drop_capture,
                                        .now = port_now,
                                        .wall = port_wall,
                                        .find = port_find,
                                        .is_listed = port_is_listed,
                                        .inspect = port_inspect,
                                        .act = port_act,
                                        .cancel = port_cancel,
                                        .doubt = port_doubt,
                                        .own = port_own,
                                        .ended = port_ended,
                                        .append = port_append,
                                        .replace = port_replace};
    world->runner = command_runner_new(&ports, "h1", world->disk, world->disk_len);
    command_runner_recover(world->runner);
}

/* Power goes or kill -9 comes: of what was not yet written some whole writes and a part of one reach the
 * disk. */
static void world_crash(struct world *world, size_t writes_done, size_t bytes_of_next)
{
    for (size_t i = 0; i < world->write_count; i++) {
        const struct pending_write *write = &world->writes[i];
        if (i < writes_done) {
            disk_put(world, write->bytes, write->len, write->is_replace);
        } else if (i == writes_done && !write->is_replace) {
            disk_put(world, write->bytes, bytes_of_next < write->len ? bytes_of_next : write->len, false);
        }
        free(write->bytes);
    }
    world->write_count = 0;
    world->own_depth = 0;
    memset(world->working, 0, sizeof world->working);
    command_runner_free(world->runner);
    world->runner = NULL;
}

static struct world *world_new(void)
{
    struct world *world = memory_alloc(sizeof *world);
    world->now.ms = 1000000;
    world->disk = memory_alloc(DISK_BYTES);
    world->is_disk_quick = true;
    for (unsigned i = 0; i < CONTAINERS; i++) {
        memset(world->containers[i].container_id, 'a' + (int)i, 64);
        container_start(world, i);
    }
    world_boot(world);
    return world;
}

static void world_free(struct world *world)
{
    command_runner_free(world->runner);
    for (size_t i = 0; i < world->write_count; i++) {
        free(world->writes[i].bytes);
    }
    free(world->disk);
    free(world);
}

static struct call *open_call(struct world *world, bool is_act)
{
    for (size_t i = 0; i < CALLS; i++) {
        if (world->calls[i].is_open && (world->calls[i].act != OP_UNKNOWN) == is_act) {
            return &world->calls[i];
        }
    }
    return NULL;
}

static void finish_inspect(struct world *world, struct call *call, enum engine_result result)
{
    const struct command_facts *facts = &world->containers[call->container];
    struct engine_container container = {.state = facts->state};
    memory_set_text(container.id, sizeof container.id, facts->container_id);
    memory_set_text(container.started_at, sizeof container.started_at, facts->started_at);
    if (result == ENGINE_OK && world->is_gone[call->container]) {
        result = ENGINE_NOT_FOUND;
    }
    struct engine_answer answer = {.result = result, .message = result == ENGINE_OK ? "" : "no luck"};
    call->is_open = false;
    call->on_inspect(call->arg, &answer, result == ENGINE_OK ? &container : NULL);
}

/* Docker does it, and who asked hears `result`. */
static void finish_act(struct world *world, struct call *call, bool is_done, enum engine_result result)
{
    bool is_running = world->containers[call->container].state == CONTAINER_RUNNING;
    int status = result != ENGINE_OK ? 500 : call->act == OP_START && is_running ? 304 : 204;
    if (is_done && status != 304 && !world->is_gone[call->container]) {
        container_start(world, call->container);
    }
    struct engine_answer answer = {
        .result = result, .status = status, .message = result == ENGINE_OK ? "" : "Docker said no"};
    call->is_open = false;
    if (call->arg != NULL) {
        call->on_act(call->arg, &answer);
    }
}

static struct command_id id_of(unsigned number)
{
    struct command_id id = {{0}};
    memcpy(id.bytes, &number, sizeof number);
    return id;
}

static struct command command_for(const struct world *world, unsigned id, unsigned container,
                                  enum command_op op)
{
    struct command command = {.id = id_of(id),
                              .op = op,
                              .epoch = 1,
                              .host = "h1",
                              .attempt = 1,
                              .max_attempts = 3,
                              .reason = "missing_heartbeat",
                              .stop_timeout_ms = 10000,
                              .ttl_ms = 5000};
    snprintf(command.container, sizeof command.container, "shard-%u", container);
    memory_set_text(command.container_id, sizeof command.container_id,
                    world->containers[container].container_id);
    memory_set_text(command.expect_started_at, sizeof command.expect_started_at,
                    world->containers[container].started_at);
    return command;
}

/* As the server does it: the receipt leaves, then the work begins. */
static enum answer_code send(struct world *world, const struct command *command)
{
    struct answer answer;
    answer_init(&answer);
    unsigned asked = world->acts_asked;
    struct command_job *job = command_runner_receive(world->runner, command, &answer);
    enum answer_code code = answer.code;
    assert_memory_equal(&answer.id, &command->id, sizeof answer.id);
    assert_int_equal(world->acts_asked, asked);
    answer_fini(&answer);
    if (job != NULL) {
        assert_int_equal(code, ANSWER_ACCEPTED);
        unsigned container = number_of(world, command->container_id);
        assert_null(world->working[container]);
        world->working[container] = command;
        command_runner_begin(world->runner, job);
    }
    return code;
}

static struct answer ask(struct world *world, unsigned id)
{
    struct answer answer;
    answer_init(&answer);
    struct command_id key = id_of(id);
    command_runner_outcome(world->runner, &key, &answer);
    return answer; /* without a payload there is nothing to free */
}

static void pass(struct world *world, int64_t ms)
{
    world->now.ms += ms;
    command_runner_tick(world->runner);
}

static struct world *setup(void **state)
{
    (void)state;
    return world_new();
}

/* ---- one command ---- */

static void a_restart_runs_its_whole_way(void **state)
{
    struct world *world = setup(state);
    struct command command = command_for(world, 1, 0, OP_RESTART);
    assert_int_equal(send(world, &command), ANSWER_ACCEPTED);
    assert_int_equal(ask(world, 1).code, ANSWER_ACCEPTED);
    assert_int_equal(send(world, &command), ANSWER_ACCEPTED); /* a copy: no second job */
    assert_int_equal(command_runner_in_flight(world->runner), 1);
    finish_inspect(world, open_call(world, false), ENGINE_OK);
    struct call *act = open_call(world, true);
    assert_non_null(act);
    assert_int_equal(act->act, OP_RESTART);
    assert_int_equal(act->stop_timeout_secs, 10);
    assert_int_equal(act->timeout_ms, 70000);
    world->now.ms += 230;
    finish_act(world, act, true, ENGINE_OK);
    finish_inspect(world, open_call(world, false), ENGINE_OK);
    struct answer answer = ask(world, 1);
    assert_int_equal(answer.code, ANSWER_OK);
    assert_string_equal(answer.started_at, world->containers[0].started_at);
    assert_int_equal(answer.took_ms, 230);
    assert_int_equal(world->ended, 1);
    assert_int_equal(world->ended_code, ANSWER_OK);
    assert_int_equal(world->own_depth, 0);
    assert_int_equal(command_runner_in_flight(world->runner), 0);
    assert_int_equal(send(world, &command), ANSWER_OK); /* the copy after the end is told the end */
    assert_int_equal(world->acts_asked, 1);
    world_free(world);
}

static void a_dead_container_is_started_whatever_was_believed(void **state)
{
    struct world *world = setup(state);
    struct command command = command_for(world, 1, 0, OP_RESTART);
    container_die(world, 0, STOP_CRASH);
    assert_int_equal(send(world, &command), ANSWER_ACCEPTED);
    finish_inspect(world, open_call(world, false), ENGINE_OK);
    assert_int_equal(open_call(world, true)->act, OP_START);
    assert_int_equal(open_call(world, true)->timeout_ms, 60000);
    world_free(world);
}

static void one_command_for_a_container_at_a_time(void **state)
{
    struct world *world = setup(state);
    struct command first = command_for(world, 1, 0, OP_RESTART);
    struct command second = command_for(world, 2, 0, OP_RESTART);
    struct command other = command_for(world, 3, 1, OP_RESTART);
    assert_int_equal(send(world, &first), ANSWER_ACCEPTED);
    assert_int_equal(send(world, &second), ANSWER_BUSY);
    assert_int_equal(send(world, &other), ANSWER_ACCEPTED);
    world_free(world);
}

static void a_refusal_stays_the_answer(void **state)
{
    struct world *world = setup(state);
    struct command command = command_for(world, 1, 0, OP_RESTART);
    world->containers[0].state = CONTAINER_PAUSED;
    assert_int_equal(send(world, &command), ANSWER_REFUSED_HELD);
    world->containers[0].state = CONTAINER_RUNNING;
    assert_int_equal(send(world, &command), ANSWER_REFUSED_HELD);
    world_crash(world, 0, 0);
    world_boot(world);
    assert_int_equal(send(world, &command), ANSWER_REFUSED_HELD);
    assert_int_equal(world->ended, 0);
    world_free(world);
}

static void the_last_look_counts(void **state)
{
    static const struct {
        enum container_state state;
        enum stop_class class;
        bool is_gone, is_restarted, is_late;
        enum answer_code code;
    } CASES[] = {
        {CONTAINER_EXITED, STOP_OPERATOR, false, false, false, ANSWER_REFUSED_STOPPED},
        {CONTAINER_EXITED, STOP_NONE, false, false, false,
         ANSWER_REFUSED_STOPPED}, /* the event is not here yet */
        {CONTAINER_PAUSED, STOP_NONE, false, false, false, ANSWER_REFUSED_HELD},
        {CONTAINER_RUNNING, STOP_NONE, true, false, false, ANSWER_NOT_FOUND},
        {CONTAINER_RUNNING, STOP_NONE, false, true, false, ANSWER_ALREADY_RESTARTED},
        {CONTAINER_RUNNING, STOP_NONE, false, false, true, ANSWER_EXPIRED},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        for (int is_at_write = 0; is_at_write <= 1; is_at_write++) {
            struct world *world = setup(state);
            world->is_disk_quick = false;
            struct command command = command_for(world, 1, 0, OP_RESTART);
            assert_int_equal(send(world, &command), ANSWER_ACCEPTED);
            if (is_at_write) {
                finish_inspect(world, open_call(world, false), ENGINE_OK);
            }
            if (CASES[i].is_restarted) {
                container_start(world, 0);
            }
            world->containers[0].state = CASES[i].state;
            world->containers[0].stop_class = CASES[i].class;
            world->is_gone[0] = CASES[i].is_gone;
            world->now.ms += CASES[i].is_late ? 5001 : 1;
            if (!is_at_write) {
                finish_inspect(world, open_call(world, false), ENGINE_OK);
            }
            world_write_all(world);
            assert_int_equal(ask(world, 1).code, CASES[i].code);
            assert_int_equal(world->ended_code, CASES[i].code);
            assert_int_equal(world->acts_asked, 0);
            world_free(world);
        }
    }
}

/* An agent that has just started says nothing about what it does not know yet. */
static void before_the_first_list_it_is_busy(void **state)
{
    struct world *world = setup(state);
    world->is_gone[0] = world->is_unlisted = true;
    struct command command = command_for(world, 1, 0, OP_RESTART);
    assert_int_equal(send(world, &command), ANSWER_BUSY);
    world->is_unlisted = false;
    command = command_for(world, 2, 0, OP_RESTART);
    assert_int_equal(send(world, &command), ANSWER_NOT_FOUND);
    assert_int_equal(world->acts_asked, 0);
    world_free(world);
}

static void the_intent_is_written_before_docker_is_asked(void **state)
{
    struct world *world = setup(state);
    world->is_disk_quick = false;
    struct command command = command_for(world, 1, 0, OP_RESTART);
    send(world, &command);
    finish_inspect(world, open_call(world, false), ENGINE_OK);
    assert_int_equal(world->acts_asked, 0);
    world_write_all(world);
    assert_int_equal(world->acts_asked, 1);
    world_free(world);
}

/* How it was is kept first; it is judged once more behind it, and nothing is collected for what is refused.
 */
static void evidence_is_collected_before_docker_is_asked(void **state)
{
    struct world *world = setup(state);
    command_runner_free(world->runner);
    world->has_evidence = true;
    world->is_disk_quick = false;
    world_boot(world);
    struct command command = command_for(world, 1, 0, OP_RESTART);
    assert_int_equal(ANSWER_ACCEPTED, send(world, &command));
    size_t writes = world->write_count;
    assert_int_equal(0, world->captures);
    finish_inspect(world, open_call(world, false), ENGINE_OK);
    assert_int_equal(1, world->captures);
    assert_int_equal(writes, world->write_count);
    assert_null(open_call(world, true));
    command_runner_tick(world->runner);
    world_captured(world);
    assert_int_equal(writes + 1, world->write_count);
    world_write_all(world);
    finish_act(world, open_call(world, true), true, ENGINE_OK);
    finish_inspect(world, open_call(world, false), ENGINE_OK);
    world_write_all(world);
    assert_int_equal(ANSWER_OK, world->ended_code);
    /* an operator was quicker than the evidence */
    command = command_for(world, 2, 1, OP_RESTART);
    assert_int_equal(ANSWER_ACCEPTED, send(world, &command));
    finish_inspect(world, open_call(world, false), ENGINE_OK);
    container_die(world, 1, STOP_OPERATOR);
    world_captured(world);
    world_write_all(world);
    assert_int_equal(ANSWER_REFUSED_STOPPED, world->ended_code);
    assert_null(open_call(world, true));
    /* the agent ends meanwhile */
    command = command_for(world, 3, 2, OP_RESTART);
    assert_int_equal(ANSWER_ACCEPTED, send(world, &command));
    finish_inspect(world, open_call(world, false), ENGINE_OK);
    command_runner_free(world->runner);
    world->runner = NULL;
    assert_int_equal(1, world->captures_dropped);
    assert_int_equal(1, world->acts_asked);
    world_free(world);
}

static void a_full_disk_refuses(void **state)
{
    struct world *world = setup(state);
    world->is_disk_full = true;
    struct command command = command_for(world, 1, 0, OP_RESTART);
    assert_int_equal(send(world, &command), ANSWER_ACCEPTED);
    finish_inspect(world, open_call(world, false), ENGINE_OK);
    struct answer answer = ask(world, 1);
    assert_int_equal(answer.code, ANSWER_DOCKER_ERROR);
    assert_non_null(strstr(answer.detail, "cannot write"));
    assert_int_equal(world->acts_asked, 0);
    world->is_disk_full = false;
    struct command again = command_for(world, 2, 0, OP_RESTART);
    assert_int_equal(send(world, &again), ANSWER_ACCEPTED);
    finish_inspect(world, open_call(world, false), ENGINE_OK);
    assert_int_equal(world->acts_asked, 1);
    world_free(world);
}

static void a_disk_that_hangs_refuses(void **state)
{
    struct world *world = setup(state);
    world->is_disk_quick = false;
    struct command command = command_for(world, 1, 0, OP_RESTART);
    send(world, &command);
    finish_inspect(world, open_call(world, false), ENGINE_OK);
    pass(world, 9999);
    assert_int_equal(ask(world, 1).code, ANSWER_ACCEPTED);
    pass(world, 1);
    assert_int_equal(ask(world, 1).code, ANSWER_DOCKER_ERROR);
    assert_int_equal(world->ended, 1);
    world_write_all(world); /* now it answers: too late */
    assert_int_equal(world->acts_asked, 0);
    assert_int_equal(command_runner_in_flight(world->runner), 0);
    world_free(world);
}

static void docker_says_no(void **state)
{
    static const struct {
        enum engine_result result;
        enum answer_code code;
    } CASES[] = {{ENGINE_FAILED, ANSWER_DOCKER_ERROR},
                 {ENGINE_CONFLICT, ANSWER_DOCKER_ERROR},
                 {ENGINE_UNREACHABLE, ANSWER_DOCKER_ERROR},
                 {ENGINE_NOT_FOUND, ANSWER_NOT_FOUND}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct world *world = setup(state);
        struct command command = command_for(world, 1, 0, OP_RESTART);
        send(world, &command);
        finish_inspect(world, open_call(world, false), ENGINE_OK);
        finish_act(world, open_call(world, true), false, CASES[i].result);
        struct answer answer = ask(world, 1);
        assert_int_equal(answer.code, CASES[i].code);
        assert_non_null(strstr(answer.detail, "Docker said no"));
        assert_int_equal(world->own_depth, 0);
        world_free(world);
    }
}

/* The look before the deed: where it reaches nobody nothing was changed, which costs no attempt, and the
 * Engine is looked after. */
static void docker_cannot_be_asked(void **state)
{
    static const struct {
        enum engine_result result;
        enum answer_code code;
        int doubts;
    } CASES[] = {{ENGINE_FAILED, ANSWER_DOCKER_ERROR, 0},
                 {ENGINE_UNREACHABLE, ANSWER_BUSY, 1},
                 {ENGINE_LOST, ANSWER_BUSY, 1}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct world *world = setup(state);
        struct command command = command_for(world, 1, 0, OP_RESTART);
        send(world, &command);
        finish_inspect(world, open_call(world, false), CASES[i].result);
        struct answer answer = ask(world, 1);
        assert_int_equal(answer.code, CASES[i].code);
        assert_non_null(strstr(answer.detail, "Docker could not be asked"));
        assert_int_equal(world->doubts, CASES[i].doubts);
        assert_int_equal(world->acts_asked, 0);
        world_free(world);
    }
}

static void somebody_else_was_quicker(void **state)
{
    struct world *world = setup(state);
    container_die(world, 0, STOP_CRASH);
    struct command command = command_for(world, 1, 0, OP_START);
    send(world, &command);
    finish_inspect(world, open_call(world, false), ENGINE_OK);
    container_start(world, 0);
    finish_act(world, open_call(world, true), true, ENGINE_OK); /* 304 */
    assert_int_equal(ask(world, 1).code, ANSWER_NOT_NEEDED);
    world_free(world);
}

static void a_lost_answer_is_watched(void **state)
{
    for (int is_done = 0; is_done <= 1; is_done++) {
        struct world *world = setup(state);
        struct command command = command_for(world, 1, 0, OP_RESTART);
        send(world, &command);
        finish_inspect(world, open_call(world, false), ENGINE_OK);
        finish_act(world, open_call(world, true), false, ENGINE_LOST);
        finish_inspect(world, open_call(world, false), ENGINE_OK);
        assert_int_equal(ask(world, 1).code, ANSWER_ACCEPTED);
        struct command again = command_for(world, 2, 0, OP_RESTART);
        assert_int_equal(send(world, &again), ANSWER_BUSY);
        if (is_done) {
            container_start(world, 0); /* Docker had gone on with it */
        }
        pass(world, 19999);
        finish_inspect(world, open_call(world, false), ENGINE_OK);
        assert_int_equal(ask(world, 1).code, is_done ? ANSWER_OK : ANSWER_ACCEPTED);
        if (!is_done) {
            pass(world, 1);
            finish_inspect(world, open_call(world, false), ENGINE_OK);
            assert_int_equal(ask(world, 1).code, ANSWER_DOCKER_ERROR);
        }
        assert_int_equal(world->own_depth, 0);
        world_free(world);
    }
}

static void unknown_id_is_a_promise(void **state)
{
    struct world *world = setup(state);
    struct command command = command_for(world, 1, 0, OP_RESTART);
    assert_int_equal(ask(world, 1).code, ANSWER_UNKNOWN_ID);
    assert_int_equal(send(world, &command), ANSWER_EXPIRED);
    world_crash(world, 0, 0);
    world_boot(world);
    assert_int_equal(send(world, &command), ANSWER_EXPIRED);
    assert_int_equal(command_runner_in_flight(world->runner), 0);
    world_free(world);
}

static void the_epoch_survives(void **state)
{
    struct world *world = setup(state);
    struct command command = command_for(world, 1, 0, OP_RESTART);
    command_runner_raise_epoch(world->runner, 9);
    assert_int_equal(send(world, &command), ANSWER_STALE_EPOCH);
    world_crash(world, 0, 0);
    world_boot(world);
    assert_int_equal(command_runner_epoch(world->runner), 9);
    command = command_for(world, 2, 0, OP_RESTART);
    command.epoch = 10;
    assert_int_equal(send(world, &command), ANSWER_ACCEPTED);
    finish_inspect(world, open_call(world, false), ENGINE_OK);
    world_crash(world, 0, 0);
    world_boot(world);
    assert_int_equal(command_runner_epoch(world->runner), 10);
    world_free(world);
}

static void the_rate_has_a_bound(void **state)
{
    struct world *world = setup(state);
    for (unsigned i = 0; i < COMMAND_GATE_SHORT_MAX; i++) {
        struct command command = command_for(world, i, 0, OP_RESTART);
        assert_int_equal(send(world, &command), ANSWER_ACCEPTED);
        finish_inspect(world, open_call(world, false), ENGINE_OK);
        finish_act(world, open_call(world, true), true, ENGINE_OK);
        finish_inspect(world, open_call(world, false), ENGINE_OK);
    }
    struct command command = command_for(world, 100, 0, OP_RESTART);
    assert_int_equal(send(world, &command), ANSWER_BUSY);
    struct command other = command_for(world, 101, 1, OP_RESTART);
    assert_int_equal(send(world, &other), ANSWER_ACCEPTED);
    pass(world, COMMAND_GATE_SHORT_MS);
    command = command_for(world, 102, 0, OP_RESTART);
    assert_int_equal(send(world, &command), ANSWER_ACCEPTED);
    world_free(world);
}

static void the_file_stays_small(void **state)
{
    struct world *world = setup(state);
    world->containers[2].denied = "own";
    size_t most = 0;
    for (unsigned i = 0; i < 60000; i++) {
        struct command command = command_for(world, i, 2, OP_RESTART);
        command.ttl_ms = 0;
        struct answer answer;
        answer_init(&answer);
        command_runner_receive(world->runner, &command, &answer);
        most = world->disk_len > most ? world->disk_len : most;
    }
    assert_in_range(most, 256 * 1024, 3 * 1024 * 1024);
    world_free(world);
}

/* The agent dies with the intent's record cut at any byte, or whole, and Docker asked or not, done or not. */
static void dies_at_every_byte_of_the_intent(void **state)
{
    for (size_t cut = 0; cut < OUTCOME_RECORD_MAX; cut++) {
        struct world *world = setup(state);
        world->is_disk_quick = false;
        struct command command = command_for(world, 1, 0, OP_RESTART);
        send(world, &command);
        world_write_all(world); /* the epoch */
        finish_inspect(world, open_call(world, false), ENGINE_OK);
        size_t record = world->writes[0].len;
        world_crash(world, 0, cut);
        world_boot(world);
        if (cut < record) {
            world_write_all(world); /* the file is made whole again */
            assert_int_equal(ask(world, 1).code, ANSWER_UNKNOWN_ID);
            world_free(world);
            continue;
        }
        assert_int_equal(send(world, &command), ANSWER_ACCEPTED); /* being watched, not done again */
        assert_int_equal(world->own_depth, 1);
        finish_inspect(world, open_call(world, false), ENGINE_OK);
        pass(world, 20000);
        finish_inspect(world, open_call(world, false), ENGINE_OK);
        assert_int_equal(send(world, &command), ANSWER_DOCKER_ERROR);
        assert_non_null(strstr(ask(world, 1).detail, "unknown whether Docker was asked"));
        assert_int_equal(world->acts_asked, 0);
        assert_int_equal(world->own_depth, 0);
        world_free(world);
        break;
    }
}

static void dies_while_docker_works(void **state)
{
    static const enum engine_result RESULTS[] = {ENGINE_OK, ENGINE_UNREACHABLE};
    for (size_t i = 0; i < 2; i++) {
        struct world *world = setup(state);
        struct command command = command_for(world, 1, 0, OP_RESTART);
        send(world, &command);
        finish_inspect(world, open_call(world, false), ENGINE_OK);
        world_crash(world, 0, 0);
        world_boot(world);
        finish_inspect(world, open_call(world, false), RESULTS[i]); /* the Engine may be away for a while */
        assert_int_equal(ask(world, 1).code, ANSWER_ACCEPTED);
        finish_act(world, open_call(world, true), true, ENGINE_OK);
        pass(world, 1000);
        finish_inspect(world, open_call(world, false), ENGINE_OK);
        assert_int_equal(ask(world, 1).code, ANSWER_OK);
        assert_string_equal(ask(world, 1).started_at, world->containers[0].started_at);
        assert_int_equal(world->ended_code, ANSWER_OK);
        assert_int_equal(world->acts_asked, 1);
        world_crash(world, 0, 0);
        world_boot(world);
        assert_int_equal(send(world, &command), ANSWER_OK);
        assert_int_equal(world->acts_asked, 1);
        world_free(world);
    }
}

/* ---- any history ---- */

struct history {
    struct command commands[IDS];
    bool is_made[IDS];
    enum answer_code told[IDS]; /* the last end that was told in this life of the agent */
    bool has_crashed;
};

static void step_docker(struct world *world)
{
    unsigned first = (unsigned)rand() % CALLS;
    struct call *call = &world->calls[first];
    for (unsigned i = 0; i < CALLS && !call->is_open; i++) {
        call = &world->calls[(first + i) % CALLS];
    }
    if (!call->is_open) {
        return;
    }
    if (call->act == OP_UNKNOWN) {
        finish_inspect(world, call, rand() % 8 == 0 ? ENGINE_UNREACHABLE : ENGINE_OK);
    } else {
        static const enum engine_result RESULTS[] = {ENGINE_OK, ENGINE_OK, ENGINE_OK, ENGINE_LOST,
                                                     ENGINE_FAILED};
        enum engine_result result = RESULTS[rand() % 5];
        finish_act(world, call, result == ENGINE_OK || (result == ENGINE_LOST && rand() % 2 == 0), result);
    }
}

static void step_containers(struct world *world)
{
    static const enum stop_class CLASSES[] = {STOP_CRASH, STOP_KILLED, STOP_OPERATOR, STOP_SETTLING};
    unsigned number = (unsigned)rand() % CONTAINERS;
    switch (rand() % 4) {
    case 0:
        container_start(world, number);
        break;
    case 1:
        world->is_gone[number] = !world->is_gone[number] && rand() % 8 == 0;
        break;
    default:
        container_die(world, number, CLASSES[rand() % 4]);
        break;
    }
}

static void check_told(const struct world *world, struct history *history, unsigned id, enum answer_code code)
{
    bool is_end = code != ANSWER_ACCEPTED && code != ANSWER_UNKNOWN_ID && code != ANSWER_BAD_REQUEST;
    if (history->told[id] != ANSWER_UNKNOWN) {
        assert_int_equal(code, history->told[id]); /* an end stays as it was told */
    }
    if (is_end) {
        history->told[id] = code;
    }
    /* "ok" from an agent that was restarted in between may be somebody else's start: the wanted thing is so.
     */
    if (code == ANSWER_OK && !history->has_crashed) {
        assert_int_equal(world->asked[id], 1);
    }
    if (is_end && code != ANSWER_OK && code != ANSWER_DOCKER_ERROR && code != ANSWER_NOT_FOUND &&
        code != ANSWER_NOT_NEEDED) {
        assert_int_equal(world->asked[id], 0);
    }
}

static void step_send(struct world *world, struct history *history)
{
    unsigned id = (unsigned)rand() % IDS;
    if (!history->is_made[id]) {
        history->is_made[id] = true;
        history->commands[id] =
            command_for(world, id, (unsigned)rand() % CONTAINERS, rand() % 2 == 0 ? OP_RESTART : OP_START);
        history->commands[id].epoch = 1 + (uint64_t)(rand() % 16 == 0) - (uint64_t)(rand() % 16 == 0);
        history->commands[id].ttl_ms = rand() % 8 * 1000;
        if (rand() % 4 == 0) {
            return; /* it will come late */
        }
    }
    check_told(world, history, id, send(world, &history->commands[id]));
}

static void step(struct world *world, struct history *history)
{
    switch (rand() % 10) {
    case 0:
    case 1:
    case 2:
        step_send(world, history);
        break;
    case 3:
    case 4:
    case 5:
        step_docker(world);
        break;
    case 6:
        for (int i = rand() % 6; i > 0 && world->write_count > 0; i--) {
            world->is_disk_full = rand() % 16 == 0;
            world_write(world);
        }
        break;
    case 7:
        if (rand() % 6 == 0) {
            step_containers(world);
        }
        break;
    case 8:
        pass(world, rand() % 8 == 0 ? 10000 : rand() % 500);
        break;
    default: {
        unsigned id = (unsigned)rand() % IDS;
        if (history->is_made[id]) {
            check_told(world, history, id, ask(world, id).code);
        }
        break;
    }
    }
}

static void one_id_one_act_whatever_happens(void **state)
{
    unsigned acts = 0, crashes = 0;
    for (unsigned seed = 1; seed <= 3000; seed++) {
        srand(seed);
        struct world *world = setup(state);
        world->is_disk_quick = false;
        world->containers[2].denied = "own";
        static struct history history;
        memset(&history, 0, sizeof history);
        for (int i = 0; i < 400; i++) {
            step(world, &history);
            if (rand() % 100 == 0) {
                crashes++;
                history.has_crashed = true;
                world_crash(world, world->write_count == 0 ? 0 : (unsigned)rand() % (world->write_count + 1),
                            (unsigned)rand() % 300);
                world_boot(world);
                memset(history.told, 0, sizeof history.told);
            }
        }
        acts += world->acts_asked;
        world_free(world);
    }
    print_message("%u acts, %u crashes\n", acts, crashes);
    assert_true(acts > 3000);
    assert_true(crashes > 3000);
}

int main(void)
{
    log_init(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_restart_runs_its_whole_way),
        cmocka_unit_test(a_dead_container_is_started_whatever_was_believed),
        cmocka_unit_test(one_command_for_a_container_at_a_time),
        cmocka_unit_test(a_refusal_stays_the_answer),
        cmocka_unit_test(the_last_look_counts),
        cmocka_unit_test(before_the_first_list_it_is_busy),
        cmocka_unit_test(the_intent_is_written_before_docker_is_asked),
        cmocka_unit_test(evidence_is_collected_before_docker_is_asked),
        cmocka_unit_test(a_full_disk_refuses),
        cmocka_unit_test(a_disk_that_hangs_refuses),
        cmocka_unit_test(docker_says_no),
        cmocka_unit_test(docker_cannot_be_asked),
        cmocka_unit_test(somebody_else_was_quicker),
        cmocka_unit_test(a_lost_answer_is_watched),
        cmocka_unit_test(unknown_id_is_a_promise),
        cmocka_unit_test(the_epoch_survives),
        cmocka_unit_test(the_rate_has_a_bound),
        cmocka_unit_test(the_file_stays_small),
        cmocka_unit_test(dies_at_every_byte_of_the_intent),
        cmocka_unit_test(dies_while_docker_works),
        cmocka_unit_test(one_id_one_act_whatever_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
