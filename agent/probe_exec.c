#include "agent/probe_exec.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/docker_stream.h"
#include "common/memory.h"
#include "proto/json_writer.h"

enum { ANSWER_MAX_BYTES = 64 * 1024, OUTPUT_MAX_BYTES = 1024 * 1024, FAILURE_SIZE = 256 };

struct probe_exec {
    struct loop *loop;
    struct engine_client *engine;
    const struct probe_spec *spec;
    const char *container_id;
    struct probe_exec_memory *memory;
    void (*on_done)(void *arg, const char *failure);
    void *arg;
    struct engine_call *call;
    struct mono deadline;
    char id[LIMIT_ID_SIZE];
};

void probe_exec_cancel(struct probe_exec *probe)
{
    if (probe != NULL) {
        engine_call_cancel(probe->call);
        free(probe);
    }
}

static void well(struct probe_exec *probe)
{
    void (*on_done)(void *arg, const char *failure) = probe->on_done;
    void *arg = probe->arg;
    probe_exec_cancel(probe);
    on_done(arg, NULL);
}

__attribute__((format(printf, 2, 3))) static void fail(struct probe_exec *probe, const char *format, ...)
{
    char failure[FAILURE_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(failure, sizeof failure, format, args);
    va_end(args);
    void (*on_done)(void *arg, const char *text) = probe->on_done;
    void *arg = probe->arg;
    probe_exec_cancel(probe);
    on_done(arg, failure);
}

__attribute__((format(printf, 6, 7))) static void ask(struct probe_exec *probe, const char *method,
                                                      const char *body, size_t max_bytes,
                                                      engine_bytes_callback on_answer, const char *format,
                                                      ...)
{
    char path[LIMIT_ID_SIZE + 64];
    va_list args;
    va_start(args, format);
    vsnprintf(path, sizeof path, format, args);
    va_end(args);
    int64_t left_ms = mono_diff(probe->deadline, loop_now(probe->loop));
    const struct engine_ask wanted = {method, path, body, left_ms < 1 ? 1 : left_ms, max_bytes};
    probe->call = engine_client_ask(probe->engine, &wanted, on_answer, probe);
}

/* ---- how it ended ---- */

static void on_end_known(void *arg, const struct engine_answer *answer, const char *bytes, size_t len)
{
    struct probe_exec *probe = arg;
    struct engine_exec exec = {.is_running = false};
    struct err err = {0};
    probe->call = NULL;
    if (answer->result != ENGINE_OK) {
        fail(probe, "Docker does not tell how it ended: %.160s", answer->message);
    } else if (engine_json_exec(bytes, len, &exec, &err) != 0) {
        fail(probe, "%.200s", err.text);
    } else if (exec.is_running) {
        memory_set_text(probe->memory->lingering, LIMIT_ID_SIZE, probe->id);
        fail(probe, "its output ended, but it did not");
    } else if (exec.exit_code != 0) {
        char line[160];
        docker_stream_last_line(probe->memory->output, line, sizeof line);
        fail(probe, "exit code %d%s%s", exec.exit_code, line[0] != '\0' ? ": " : "", line);
    } else {
        well(probe);
    }
}

static void on_output(void *arg, const struct engine_answer *answer, const char *bytes, size_t len)
{
    struct probe_exec *probe = arg;
    probe->call = NULL;
    if (answer->result == ENGINE_LOST) {
        memory_set_text(probe->memory->lingering, LIMIT_ID_SIZE, probe->id);
        fail(probe, "not ended within %g s", (double)probe->spec->timeout_ms / 1000);
        return;
    }
    if (answer->result != ENGINE_OK) {
        fail(probe, "Docker says: %.200s", answer->message);
        return;
    }
    docker_stream_tail(bytes, len, probe->memory->output, PROBE_EXEC_OUTPUT_SIZE);
    ask(probe, "GET", NULL, ANSWER_MAX_BYTES, on_end_known, "/exec/%s/json", probe->id);
}

/* ---- how it begins ---- */

static void on_created(void *arg, const struct engine_answer *answer, const char *bytes, size_t len)
{
    struct probe_exec *probe = arg;
    struct err err = {0};
    probe->call = NULL;
    if (answer->result != ENGINE_OK) {
        fail(probe, "Docker says: %.200s", answer->message);
    } else if (engine_json_exec_id(bytes, len, probe->id, &err) != 0) {
        fail(probe, "%.200s", err.text);
    } else {
        ask(probe, "POST", "{\"Detach\":false,\"Tty\":false}", OUTPUT_MAX_BYTES, on_output, "/exec/%s/start",
            probe->id);
    }
}

static void create(struct probe_exec *probe)
{
    struct json_writer writer;
    json_writer_init(&writer, JSON_COMPACT, 256);
    json_writer_open(&writer, NULL, '{');
    json_writer_bool(&writer, "AttachStdout", true);
    json_writer_bool(&writer, "AttachStderr", true);
    json_writer_open(&writer, "Cmd", '[');
    const char *word = probe->spec->command;
    for (size_t i = 0; i < probe->spec->word_count; i++) {
        json_writer_text(&writer, NULL, word);
        word += strlen(word) + 1;
    }
    json_writer_close(&writer, ']');
    json_writer_close(&writer, '}');
    cleanup_free char *body = json_writer_take(&writer, NULL);
    ask(probe, "POST", body, ANSWER_MAX_BYTES, on_created, "/containers/%s/exec", probe->container_id);
}

static void on_lingering(void *arg, const struct engine_answer *answer, const char *bytes, size_t len)
{
    struct probe_exec *probe = arg;
    struct engine_exec exec = {.is_running = false};
    probe->call = NULL;
    bool is_known = answer->result == ENGINE_OK && engine_json_exec(bytes, len, &exec, NULL) == 0;
    if (is_known && exec.is_running) {
        fail(probe, "the run before has not ended yet");
    } else if (!is_known && answer->result != ENGINE_NOT_FOUND) {
        fail(probe, "Docker does not tell whether the run before has ended: %.160s", answer->message);
    } else {
        probe->memory->lingering[0] = '\0';
        create(probe);
    }
}

struct probe_exec *probe_exec_start(struct loop *loop, struct engine_client *engine,
                                    const struct probe_spec *spec, const char *container_id,
                                    struct probe_exec_memory *memory,
                                    void (*on_done)(void *arg, const char *failure), void *arg)
{
    struct probe_exec *probe = memory_alloc(sizeof *probe);
    *probe =
        (struct probe_exec){loop, engine, spec, container_id, memory, on_done, arg, NULL, MONO_NEVER, ""};
    probe->deadline = mono_add(loop_now(loop), spec->timeout_ms);
    if (memory->lingering[0] != '\0') {
        ask(probe, "GET", NULL, ANSWER_MAX_BYTES, on_lingering, "/exec/%s/json", memory->lingering);
    } else {
        create(probe);
    }
    return probe;
}
