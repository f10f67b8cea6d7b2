#include "agent/evidence.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/beat_maker.h"
#include "agent/core/docker_stream.h"
#include "agent/engine_client.h"
#include "agent/evidence_file.h"
#include "agent/heartbeat_publisher.h"
#include "agent/prober.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/timestamp.h"
#include "proto/json_writer.h"
#include "proto/keys.h"

enum { ANSWER_MAX_BYTES = 4 * 1024 * 1024 };

struct evidence_capture {
    struct evidence *evidence;
    struct evidence_capture *next;
    struct command command;
    struct wall at;
    enum container_state state;
    enum container_health health;
    char *health_output; /* owned, or NULL */
    char started_at[LIMIT_TIME_SIZE];
    int64_t finished_ns, restart_count, memory_bytes, memory_limit_bytes;
    int exit_code, health_exit_code;
    bool oom_killed;
    char error[LIMIT_DETAIL_SIZE];
    struct engine_call *call;
    void (*on_done)(void *arg);
    void *arg;
};

struct evidence {
    struct agent *agent;
    struct evidence_file *files;
    struct evidence_capture *captures;
};

struct evidence *evidence_new(struct agent *agent)
{
    struct evidence *evidence = memory_alloc(sizeof *evidence);
    evidence->agent = agent;
    evidence->files = evidence_file_new(agent->settings->state_dir);
    return evidence;
}

void evidence_cancel(struct evidence_capture *capture)
{
    if (capture == NULL) {
        return;
    }
    struct evidence_capture **link = &capture->evidence->captures;
    while (*link != capture) {
        link = &(*link)->next;
    }
    *link = capture->next;
    engine_call_cancel(capture->call);
    free(capture->health_output);
    free(capture);
}

void evidence_free(struct evidence *evidence)
{
    if (evidence == NULL) {
        return;
    }
    while (evidence->captures != NULL) {
        evidence_cancel(evidence->captures);
    }
    evidence_file_free(evidence->files);
    free(evidence);
}

/* ---- the document ---- */

static void write_time_of(struct json_writer *writer, const char *key, int64_t ns)
{
    if (ns > 0) {
        json_writer_time(writer, key, (struct wall){ns / 1000000}, JSON_ROUND_DOWN);
    }
}

static void write_state(struct json_writer *writer, const struct evidence_capture *capture)
{
    json_writer_text(writer, "state", container_state_name(capture->state));
    json_writer_text(writer, "incarnation", capture->started_at);
    write_time_of(writer, "finished_at", capture->finished_ns);
    if (capture->state != CONTAINER_RUNNING) {
        json_writer_signed(writer, "exit_code", capture->exit_code);
    }
    json_writer_bool(writer, "oom_killed", capture->oom_killed);
    json_writer_signed(writer, "restart_count", capture->restart_count);
    if (capture->error[0] != '\0') {
        json_writer_text(writer, "error", capture->error);
    }
    if (capture->memory_bytes >= 0) {
        json_writer_signed(writer, "memory_bytes", capture->memory_bytes);
    }
    if (capture->memory_limit_bytes > 0) {
        json_writer_signed(writer, "memory_limit_bytes", capture->memory_limit_bytes);
    }
    json_writer_text(writer, "health", container_health_name(capture->health));
    if (capture->health_output != NULL) {
        json_writer_signed(writer, "health_exit_code", capture->health_exit_code);
        json_writer_text(writer, "health_output", capture->health_output);
    }
}

/* `file` and `log` may be NULL: not said. */
static char *encode(const struct evidence_capture *capture, const char *file, const char *log,
                    const char *log_failure, size_t *len)
{
    struct json_writer writer;
    char id[LIMIT_COMMAND_ID_SIZE];
    const struct command *command = &capture->command;
    command_id_format(&command->id, id);
    json_writer_init(&writer, JSON_COMPACT, 8192);
    json_writer_open(&writer, NULL, '{');
    json_writer_text(&writer, "kind", "evidence");
    json_writer_time(&writer, "timestamp", capture->at, JSON_ROUND_DOWN);
    json_writer_text(&writer, "container", command->container);
    json_writer_text(&writer, "host", capture->evidence->agent->settings->host);
    json_writer_text(&writer, "container_id", command->container_id);
    json_writer_text(&writer, "action", command_op_name(command->op));
    json_writer_text(&writer, "reason", command->reason);
    json_writer_text(&writer, "command_id", id);
    json_writer_signed(&writer, "attempt", command->attempt);
    json_writer_signed(&writer, "max_attempts", command->max_attempts);
    if (file != NULL) {
        json_writer_text(&writer, "file", file);
    }
    write_state(&writer, capture);
    prober_write(capture->evidence->agent->prober, command->container_id, &writer);
    if (log != NULL) {
        json_writer_text(&writer, "log", log);
    } else {
        json_writer_text(&writer, "log_failure", log_failure);
    }
    json_writer_close(&writer, '}');
    return json_writer_take(&writer, len);
}

/* 20261124T141500Z-web-1a2b3c4d.json: in the order of time, one for each command. */
static void name_file(const struct evidence_capture *capture, char out[EVIDENCE_FILE_NAME_SIZE])
{
    char at[TIMESTAMP_SIZE], id[LIMIT_COMMAND_ID_SIZE], name[101];
    timestamp_format(capture->at, at);
    command_id_format(&capture->command.id, id);
    memory_set_text(name, sizeof name, capture->command.container);
    for (char *byte = name; *byte != '\0'; byte++) {
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-", *byte) == NULL) {
            *byte = '_';
        }
    }
    snprintf(out, EVIDENCE_FILE_NAME_SIZE, "%.4s%.2s%.5s%.2s%.2sZ-%s-%.8s.json", at, at + 5, at + 8, at + 14,
             at + 17, name, id);
}

static void keep(const struct evidence_capture *capture, const char *log, const char *log_failure)
{
    struct evidence *evidence = capture->evidence;
    char name[EVIDENCE_FILE_NAME_SIZE], path[LIMIT_URL_SIZE + EVIDENCE_FILE_NAME_SIZE];
    size_t len;
    name_file(capture, name);
    char *whole = encode(capture, NULL, log, log_failure, &len);
    evidence_file_put(evidence->files, name, whole, len);
    snprintf(path, sizeof path, "%s/%s/%s", evidence->agent->settings->state_dir, EVIDENCE_FOLDER, name);
    size_t log_len = log == NULL ? 0 : strlen(log);
    const char *end = log;
    if (log_len > EVIDENCE_STREAM_LOG_BYTES) {
        end += log_len - EVIDENCE_STREAM_LOG_BYTES;
        end += ((unsigned char)*end & 0xc0) == 0x80; /* the writer mends what is left of a cut character */
    }
    cleanup_free char *brief = encode(capture, path, end, log_failure, &len);
    const char *argv[] = {"XADD", KEY_STREAM_EVENTS, "MAXLEN", "~", KEY_STREAM_EVENTS_KEPT, "*", "data",
                          brief};
    heartbeat_publisher_send(evidence->agent->publisher, 8, argv);
    log_info("Container %s: how it was before its %s is kept in %s", capture->command.container,
             command_op_name(capture->command.op), path);
}

/* ---- collecting ---- */

static void on_log(void *arg, const struct engine_answer *answer, const char *bytes, size_t len)
{
    struct evidence_capture *capture = arg;
    void (*on_done)(void *done_arg) = capture->on_done;
    void *done_arg = capture->arg;
    cleanup_free char *log = NULL;
    capture->call = NULL;
    if (answer->result == ENGINE_OK) {
        log = memory_alloc(EVIDENCE_LOG_BYTES + 1);
        docker_stream_tail(bytes, len, log, EVIDENCE_LOG_BYTES + 1);
    }
    keep(capture, log, answer->message);
    evidence_cancel(capture);
    on_done(done_arg);
}

static void copy_facts(struct evidence_capture *capture, const struct engine_container *facts)
{
    capture->state = facts->state;
    capture->health = facts->health;
    capture->health_output = memory_copy_text(facts->health_output);
    capture->health_exit_code = facts->health_exit_code;
    memory_set_text(capture->started_at, sizeof capture->started_at, facts->started_at);
    memory_set_text(capture->error, sizeof capture->error, facts->error);
    capture->finished_ns = facts->state == CONTAINER_RUNNING ? 0 : facts->finished_ns;
    capture->restart_count = facts->restart_count;
    capture->exit_code = facts->exit_code;
    capture->oom_killed = facts->oom_killed;
    capture->memory_limit_bytes = facts->memory_limit_bytes;
}

struct evidence_capture *evidence_begin(struct evidence *evidence, const struct command *command,
                                        const struct engine_container *facts, void (*on_done)(void *arg),
                                        void *arg)
{
    struct evidence_capture *capture = memory_alloc(sizeof *capture);
    char path[LIMIT_ID_SIZE + 96];
    capture->evidence = evidence;
    capture->command = *command;
    capture->at = clock_wall_now();
    copy_facts(capture, facts);
    capture->memory_bytes = beat_maker_memory_bytes(evidence->agent->maker, facts->id);
    capture->on_done = on_done;
    capture->arg = arg;
    capture->next = evidence->captures;
    evidence->captures = capture;
    snprintf(path, sizeof path, "/containers/%s/logs?stdout=1&stderr=1&timestamps=1&tail=%d", facts->id,
             EVIDENCE_LINES);
    const struct engine_ask ask = {
        .method = "GET", .path = path, .timeout_ms = EVIDENCE_MS, .max_bytes = ANSWER_MAX_BYTES};
    capture->call = engine_client_ask(evidence->agent->engine, &ask, on_log, capture);
    return capture;
}
