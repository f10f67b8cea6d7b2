#include "agent/command_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/core/container_table.h"
#include "agent/engine_client.h"
#include "agent/event_stream.h"
#include "common/fault.h"
#include "agent/outcome_file.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/rpc.h"

enum {
    TICK_MS = 1000,
    CUT_LINE_MS = 60 * 1000,
    INSPECT_TIMEOUT_MS = 10 * 1000,
    REQUEST_MAX_BYTES = LIMIT_COMMAND_BYTES + 1024
};

struct command_server {
    struct agent *agent;
    struct outcome_file *file; /* NULL: could not be opened, err tells why */
    struct err file_err;
    struct command_runner *runner;
    struct command_desk *desk;
    struct rpc_server *rpc;
    struct loop_timer *tick;
    bool is_ticking;
    size_t cut; /* connections, since the last line about them */
    struct mono may_tell_cut_at;
};

/* ---- what the runner and the desk see of the agent ---- */

static struct mono port_now(void *arg)
{
    const struct command_server *server = arg;
    return loop_now(server->agent->loop);
}

static struct wall port_wall(void *arg)
{
    (void)arg;
    return clock_wall_now();
}

static bool port_find(void *arg, const char *name, struct command_facts *out)
{
    const struct command_server *server = arg;
    const struct container *container = container_table_by_name(server->agent->table, name);
    if (container == NULL) {
        return false;
    }
    *out = (struct command_facts){.state = container->state,
                                  .stop_class = container->stop_class,
                                  .is_stopping = container->is_stopping,
                                  .is_docker_restarting = container->is_docker_restarting,
                                  .is_parent_down =
                                      container_table_is_parent_down(server->agent->table, container),
                                  .is_engine_up = event_stream_is_up(server->agent->stream)};
    memory_set_text(out->container_id, sizeof out->container_id, container->id);
    if (container->is_inspected) {
        memory_set_text(out->started_at, sizeof out->started_at, container->incarnation);
    }
    const char *why;
    out->denied = container_table_is_denied(container, &why) ? why : NULL;
    return true;
}

static bool port_is_listed(void *arg)
{
    return container_table_has_swept(((const struct command_server *)arg)->agent->table);
}

static struct engine_call *port_inspect(void *arg, const char *container_id, engine_inspect_callback on_done,
                                        void *done_arg)
{
    const struct command_server *server = arg;
    return engine_client_inspect(server->agent->engine, container_id, INSPECT_TIMEOUT_MS, on_done, done_arg);
}

static struct engine_call *port_act(void *arg, enum command_op act, const char *container_id,
                                    int64_t stop_timeout_secs, int64_t timeout_ms, engine_callback on_done,
                                    void *done_arg)
{
    struct engine_client *engine = ((const struct command_server *)arg)->agent->engine;
    return act == OP_RESTART
               ? engine_client_restart(engine, container_id, stop_timeout_secs, timeout_ms, on_done, done_arg)
               : engine_client_start(engine, container_id, timeout_ms, on_done, done_arg);
}

static struct evidence_capture *port_capture(void *arg, const struct command *command,
                                             const struct engine_container *facts, void (*on_done)(void *arg),
                                             void *done_arg)
{
    struct agent *agent = ((struct command_server *)arg)->agent;
    return agent->begin_evidence(agent->evidence, command, facts, on_done, done_arg);
}

static void port_drop_capture(void *arg, struct evidence_capture *capture)
{
    ((struct command_server *)arg)->agent->cancel_evidence(capture);
}

static void port_cancel(void *arg, struct engine_call *call)
{
    (void)arg;
    engine_call_cancel(call);
}

static void port_doubt(void *arg)
{
    event_stream_doubt(((struct command_server *)arg)->agent->stream);
}

static void port_own(void *arg, const char *container_id, enum command_own what)
{
    struct agent *agent = ((struct command_server *)arg)->agent;
    if (what == COMMAND_OWN_BEGIN) {
        container_table_own_command_begin(agent->table, container_id);
    } else {
        container_table_own_command_end(agent->table, container_id, loop_now(agent->loop));
        agent_facts_changed(agent);
    }
}

static void port_ended(void *arg, const struct outcome *outcome)
{
    agent_command_ended(((struct command_server *)arg)->agent, outcome);
}

static void port_append(void *arg, const uint8_t *bytes, size_t len, enum outcome_file_safety safety,
                        outcome_file_callback on_done, void *done_arg)
{
    struct command_server *server = arg;
    if (server->file != NULL) {
        outcome_file_append(server->file, bytes, len, safety, on_done, done_arg);
    } else if (on_done != NULL) {
        on_done(done_arg, -server->file_err.code, server->file_err.text);
    }
}

static void port_replace(void *arg, uint8_t *bytes, size_t len)
{
    struct command_server *server = arg;
    if (server->file != NULL) {
        outcome_file_replace(server->file, bytes, len);
    } else {
        free(bytes);
    }
}

static uint64_t desk_change(void *arg)
{
    return agent_change(((const struct command_server *)arg)->agent);
}

static char *desk_inventory(void *arg, size_t *len)
{
    return agent_inventory(((struct command_server *)arg)->agent, len);
}

static enum redis_word desk_redis(void *arg)
{
    return agent_redis(((struct command_server *)arg)->agent);
}

/* ---- the door ---- */

static void keep_ticking(struct command_server *server)
{
    bool is_wanted = command_runner_in_flight(server->runner) > 0;
    if (is_wanted && !server->is_ticking) {
        loop_timer_start(server->tick, TICK_MS, TICK_MS);
    } else if (!is_wanted && server->is_ticking) {
        loop_timer_stop(server->tick);
    }
    server->is_ticking = is_wanted;
}

static void on_tick(void *arg)
{
    struct command_server *server = arg;
    command_runner_tick(server->runner);
    keep_ticking(server);
}

static void on_request(void *arg, struct rpc_request *request, const uint8_t *bytes, size_t len)
{
    struct command_server *server = arg;
    struct command_job *job;
    size_t answer_len = 0;
    cleanup_free uint8_t *answer = command_desk_answer(server->desk, bytes, len, &answer_len, &job);
    rpc_request_reply(request, answer, answer_len);
    if (job != NULL) {
        FAULT_POINT("agent_receipt_sent");
        command_runner_begin(server->runner, job);
        keep_ticking(server);
    }
}

static void on_cut(void *arg, size_t count, const char *last_peer)
{
    struct command_server *server = arg;
    struct mono now = loop_now(server->agent->loop);
    server->cut += count;
    if (mono_reached(now, server->may_tell_cut_at)) {
        log_warning("%zu connections to the command port never finished their handshake and were closed, the "
                    "last from %s",
                    server->cut, last_peer);
        server->cut = 0;
        server->may_tell_cut_at = mono_add(now, CUT_LINE_MS);
    }
}

static int open_memory(struct command_server *server, struct err *err)
{
    static const struct command_ports PORTS = {.now = port_now,
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
    const struct settings *settings = server->agent->settings;
    cleanup_free uint8_t *image = NULL;
    size_t len = 0;
    int code = outcome_file_open(server->agent->loop, settings->state_dir, &server->file, &image, &len,
                                 &server->file_err);
    if (code == -EBUSY) {
        *err = server->file_err;
        return code;
    }
    if (code != 0) {
        log_error("Every command will be refused: %s", server->file_err.text);
    }
    struct command_ports ports = PORTS;
    ports.arg = server;
    if (server->agent->begin_evidence != NULL) {
        ports.capture = port_capture;
        ports.drop_capture = port_drop_capture;
    }
    server->runner = command_runner_new(&ports, settings->host, image, len);
    return 0;
}

static void open_desk(struct command_server *server)
{
    const struct command_desk_options options = {.runner = server->runner,
                                                 .host = server->agent->settings->host,
                                                 .agent = server->agent->id,
                                                 .arg = server,
                                                 .now = port_now,
                                                 .change = desk_change,
                                                 .inventory = desk_inventory,
                                                 .redis = desk_redis};
    server->desk = command_desk_new(&options);
    command_desk_set_keys(server->desk, &server->agent->keys);
}

static const char *or_null(const char *text)
{
    return text != NULL && text[0] != '\0' ? text : NULL;
}

static struct rpc_tls tls_files(const struct settings *settings)
{
    return (struct rpc_tls){.ca_file = or_null(settings->tls_ca_file),
                            .cert_file = or_null(settings->tls_cert_file),
                            .key_file = or_null(settings->tls_key_file)};
}

static int open_door(struct command_server *server, struct err *err)
{
    const struct settings *settings = server->agent->settings;
    const struct rpc_tls tls = tls_files(settings);
    const struct rpc_server_options options = {.url = settings->listen_url,
                                               .tls = &tls,
                                               .max_bytes = REQUEST_MAX_BYTES,
                                               .on_request = on_request,
                                               .on_cut = on_cut,
                                               .arg = server};
    server->may_tell_cut_at = loop_now(server->agent->loop);
    return rpc_server_open(server->agent->loop, &options, &server->rpc, err);
}

int command_server_renew(struct command_server *server, struct err *err)
{
    const struct rpc_tls tls = tls_files(server->agent->settings);
    return rpc_server_renew(server->rpc, &tls, err);
}

int command_server_open(struct agent *agent, struct command_server **out, struct err *err)
{
    struct command_server *server = memory_alloc(sizeof *server);
    server->agent = agent;
    server->tick = loop_timer_new(agent->loop, on_tick, server);
    int code = open_memory(server, err);
    if (code == 0) {
        open_desk(server);
        code = open_door(server, err);
    }
    if (code != 0) {
        command_server_close(server);
        return code;
    }
    command_runner_recover(server->runner);
    keep_ticking(server);
    *out = server;
    return 0;
}

void command_server_close(struct command_server *server)
{
    if (server == NULL) {
        return;
    }
    if (server->rpc != NULL) {
        rpc_server_close(server->rpc);
    }
    loop_timer_free(server->tick);
    /* The file first: its callbacks point at the runner's jobs. */
    outcome_file_close(server->file);
    server->file = NULL;
    command_desk_free(server->desk);
    command_runner_free(server->runner);
    free(server);
}

const char *command_server_url(const struct command_server *server)
{
    return rpc_server_url(server->rpc);
}

uint64_t command_server_epoch(const struct command_server *server)
{
    return command_runner_epoch(server->runner);
}

void command_server_set_keys(struct command_server *server, const struct key_ring *keys)
{
    command_desk_set_keys(server->desk, keys);
}

size_t command_server_in_flight(const struct command_server *server)
{
    return command_runner_in_flight(server->runner);
}

struct command_desk_counters command_server_counters(const struct command_server *server)
{
    return command_desk_counters(server->desk);
}
