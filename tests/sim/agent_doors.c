/* A simulated agent's doors: commands as command_server.c takes them, and inventories. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/redis_link.h"
#include "tests/sim/agent_node.h"

enum { TICK_MS = 1000, INSPECT_TIMEOUT_MS = 10000 };

/* ---- commands: as in command_server.c ---- */

static struct mono port_now(void *arg)
{
    (void)arg;
    return (struct mono){sim->now};
}

static struct wall port_wall(void *arg)
{
    return sim_wall(((struct agent_node *)arg)->docker->wall_offset_ms);
}

static bool port_find(void *arg, const char *name, struct command_facts *out)
{
    struct agent_node *node = arg;
    const struct container *container = container_table_by_name(node->agent.table, name);
    if (!container) {
        return false;
    }
    const char *why;
    *out =
        (struct command_facts){.state = container->state,
                               .stop_class = container->stop_class,
                               .is_stopping = container->is_stopping,
                               .is_docker_restarting = container->is_docker_restarting,
                               .is_parent_down = container_table_is_parent_down(node->agent.table, container),
                               .is_engine_up = event_stream_is_up(node->agent.stream)};
    memory_set_text(out->container_id, sizeof out->container_id, container->id);
    if (container->is_inspected) {
        memory_set_text(out->started_at, sizeof out->started_at, container->incarnation);
    }
    out->denied = container_table_is_denied(container, &why) ? why : NULL;
    return true;
}

static bool port_is_listed(void *arg)
{
    return container_table_has_swept(((struct agent_node *)arg)->agent.table);
}

static struct engine_call *port_inspect(void *arg, const char *id, engine_inspect_callback on_done,
                                        void *done_arg)
{
    return engine_client_inspect(((struct agent_node *)arg)->agent.engine, id, INSPECT_TIMEOUT_MS, on_done,
                                 done_arg);
}

static struct engine_call *port_act(void *arg, enum command_op act, const char *id, int64_t stop_timeout_secs,
                                    int64_t timeout_ms, engine_callback on_done, void *done_arg)
{
    struct engine_client *engine = ((struct agent_node *)arg)->agent.engine;
    return act == OP_RESTART
               ? engine_client_restart(engine, id, stop_timeout_secs, timeout_ms, on_done, done_arg)
               : engine_client_start(engine, id, timeout_ms, on_done, done_arg);
}

static void port_cancel(void *arg, struct engine_call *call)
{
    (void)arg;
    engine_call_cancel(call);
}

static void port_doubt(void *arg)
{
    event_stream_doubt(((struct agent_node *)arg)->agent.stream);
}

static void port_own(void *arg, const char *id, enum command_own what)
{
    struct agent_node *node = arg;
    if (what == COMMAND_OWN_BEGIN) {
        container_table_own_command_begin(node->agent.table, id);
    } else {
        container_table_own_command_end(node->agent.table, id, (struct mono){sim->now});
        agent_facts_changed(&node->agent);
    }
}

static void port_ended(void *arg, const struct outcome *outcome)
{
    struct agent_node *node = arg;
    container_table_set_last_command(node->agent.table, outcome);
    agent_facts_changed(&node->agent);
}

struct written {
    outcome_file_callback on_done;
    void *arg;
    struct agent_node *node;
};

static void on_written(void *arg)
{
    struct written written = *(struct written *)arg;
    free(arg);
    written.node->unsynced = 0;
    if (written.on_done) {
        written.on_done(written.arg, 0, "");
    }
}

static void port_append(void *arg, const uint8_t *bytes, size_t len, enum outcome_file_safety safety,
                        outcome_file_callback on_done, void *done_arg)
{
    struct agent_node *node = arg;
    bool was_dead = node->process.is_dead;
    if (process_effect(&node->process)) {
        disk_append(node->disk, LOG_FILE, bytes, len);
        node->unsynced += len;
    } else if (!was_dead) {
        disk_append(node->disk, LOG_FILE, bytes, (size_t)dice_below(&sim->dice, (int64_t)len));
    }
    if (safety == OUTCOME_FILE_SYNCED || on_done) {
        struct written *written = memory_alloc(sizeof *written);
        *written = (struct written){on_done, done_arg, node};
        sim_at(sim->now + dice_range(&node->docker->dice, 2, 15), &node->process, on_written, free, written);
    }
}

static void port_replace(void *arg, uint8_t *bytes, size_t len)
{
    struct agent_node *node = arg;
    if (process_effect(&node->process)) {
        disk_write(node->disk, LOG_FILE, bytes, len);
        node->unsynced = 0;
    }
    free(bytes);
}

static void keep_ticking(struct agent_node *node)
{
    bool is_wanted = command_runner_in_flight(node->runner) > 0;
    if (is_wanted && !node->is_ticking) {
        loop_timer_start(node->command_tick, TICK_MS, TICK_MS);
    } else if (!is_wanted && node->is_ticking) {
        loop_timer_stop(node->command_tick);
    }
    node->is_ticking = is_wanted;
}

void agent_doors_tick(void *arg)
{
    struct agent_node *node = arg;
    command_runner_tick(node->runner);
    keep_ticking(node);
}

static uint64_t desk_change(void *arg)
{
    return agent_change(&((struct agent_node *)arg)->agent);
}

static enum redis_word desk_redis(void *arg)
{
    const struct agent_node *node = arg;
    return redis_link_is_up(node->link) ? REDIS_WORD_UP
           : node->has_lost_redis       ? REDIS_WORD_DOWN
                                        : REDIS_WORD_UNKNOWN;
}

static char *desk_inventory(void *arg, size_t *len)
{
    (void)arg;
    *len = 0;
    return NULL; /* inventories travel as documents */
}

const struct key_ring *sim_keys(void)
{
    static struct key_ring keys;
    if (keys.count == 0) {
        keys.count = 1;
        memory_set_text(keys.keys[0].id, sizeof keys.keys[0].id, "sim");
        memset(keys.keys[0].secret, 0x5a, sizeof keys.keys[0].secret);
    }
    return &keys;
}

bool agent_node_take_bytes(int host, const uint8_t *bytes, size_t len)
{
    struct agent_node *node = agent_node_of(host);
    if (!node->runs) {
        return false;
    }
    struct command_job *job;
    size_t answer_len;
    cleanup_free uint8_t *answer = command_desk_answer(node->desk, bytes, len, &answer_len, &job);
    if (job) {
        command_runner_begin(node->runner, job);
        keep_ticking(node);
    }
    return job != NULL;
}

static void *copy_answer(const void *arg)
{
    const struct rpc_answer *answer = arg;
    struct rpc_answer *copy = memory_alloc(sizeof *copy);
    *copy = *answer;
    if (copy->doc) {
        copy->doc->refs++;
    }
    if (copy->bytes) {
        copy->bytes = memory_alloc(answer->len + 1);
        memcpy(copy->bytes, answer->bytes, answer->len);
    }
    return copy;
}

static void answer_drop(void *arg)
{
    struct rpc_answer *answer = arg;
    redis_doc_drop(answer->doc);
    free(answer->bytes);
    free(answer);
}

static void on_answer_arrived(void *arg)
{
    struct rpc_answer *answer = arg;
    /* The controller is found by the token's upper bits. */
    controller_node_take((int)(answer->token >> 56), answer);
}

static void serve(struct agent_node *node, const struct rpc_query *query, struct rpc_answer *answer)
{
    answer->is_ok = true;
    if (query->op == OP_PING) {
        command_runner_raise_epoch(node->runner, query->epoch);
    } else if (query->op == OP_INVENTORY) {
        bool is_news = query->if_change == 0 || query->if_change != agent_change(&node->agent);
        answer->has_registration = is_news;
        if (is_news && !container_table_is_whole(node->agent.table)) {
            answer->is_ok = false;
            answer->has_registration = false;
        } else if (is_news) {
            answer->doc = agent_beats_registration(node);
            answer->doc->refs++;
        }
        command_runner_raise_epoch(node->runner, query->epoch);
    } else {
        struct command_job *job;
        answer->bytes = command_desk_answer(node->desk, query->bytes, query->len, &answer->len, &job);
        check_note_command(node->host, &query->command, job != NULL);
        check_note_epoch(node->host, query->command.epoch);
        if (job) {
            command_runner_begin(node->runner, job);
            keep_ticking(node);
        }
    }
    check_note_epoch(node->host, query->epoch);
    memory_set_text(answer->agent, sizeof answer->agent, node->agent.id);
    answer->change = agent_change(&node->agent);
    answer->epoch = command_runner_epoch(node->runner);
    answer->redis = desk_redis(node);
}

void agent_node_query(int host, const struct rpc_query *query)
{
    struct agent_node *node = agent_node_of(host);
    if (!node->runs) {
        return;
    }
    struct rpc_answer *answer = memory_alloc(sizeof *answer);
    answer->host = host;
    answer->token = query->token;
    serve(node, query, answer);
    if (!process_effect(&node->process)) {
        answer_drop(answer);
        return;
    }
    net_send(query->controller, host, controller_node_process(query->controller), on_answer_arrived,
             answer_drop, copy_answer, answer);
}

void agent_doors_open(struct agent_node *node)
{
    struct command_ports ports = {.arg = node,
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
    size_t len;
    const char *image = disk_read(node->disk, LOG_FILE, &len);
    cleanup_free uint8_t *copy = memory_alloc(len + 1);
    if (image) {
        memcpy(copy, image, len);
    }
    node->runner = command_runner_new(&ports, node->docker->host, copy, len);
    check_forget_epochs(node->host, command_runner_epoch(node->runner));
    struct command_desk_options desk = {.runner = node->runner,
                                        .host = node->docker->host,
                                        .agent = node->agent.id,
                                        .arg = node,
                                        .now = port_now,
                                        .change = desk_change,
                                        .inventory = desk_inventory,
                                        .redis = desk_redis};
    node->desk = command_desk_new(&desk);
    command_desk_set_keys(node->desk, sim_keys());
}
