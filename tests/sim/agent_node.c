/*
 * An agent: its own table, event_stream, command_runner and command_desk; played here are what agent.c wires
 * and what heartbeat_publisher.c does, step by step as they do it, on documents instead of bytes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "tests/sim/agent_node.h"

enum { FLUSH_SPACING_MS = 10, SAVE_SEEN_MS = 30000 };

static struct agent_node nodes[HOSTS_MAX];

struct agent_node *agent_node_of(int host)
{
    return &nodes[host];
}

/* ---- the turn of the loop, as in agent.c ---- */

struct saving {
    struct agent_node *node;
    char *text;
    size_t len;
};

static void saving_free(void *arg)
{
    free(((struct saving *)arg)->text);
    free(arg);
}

static void on_saved(void *arg)
{
    struct saving *saving = arg;
    if (process_effect(&saving->node->process)) {
        disk_write(saving->node->disk, STATE_FILE, saving->text, saving->len);
    }
    saving_free(arg);
}

static void save_state(struct agent_node *node)
{
    struct agent *agent = &node->agent;
    uint64_t change = container_table_save_change(agent->table);
    const struct event_window *seen = event_stream_seen(agent->stream);
    bool is_seen_old = seen->total != agent->saved_events && sim->now - agent->saved_at.ms >= SAVE_SEEN_MS;
    if (!container_table_has_swept(agent->table) || (change == agent->saved_change && !is_seen_old)) {
        return;
    }
    struct saving *saving = memory_alloc(sizeof *saving);
    saving->node = node;
    saving->text = container_table_save(agent->table, agent->boot_id, "redis", seen, &saving->len);
    agent->saved_change = change;
    agent->saved_events = seen->total;
    agent->saved_at = (struct mono){sim->now};
    sim_at(sim->now + 5, &node->process, on_saved, saving_free, saving);
}

static void wake_when_due(struct agent_node *node)
{
    struct mono at = container_table_wake_at(node->agent.table);
    if (at.ms == MONO_NEVER.ms) {
        loop_timer_stop(node->agent.tick_timer);
    } else {
        loop_timer_start(node->agent.tick_timer, at.ms - sim->now, 0);
    }
}

static void on_flush(void *arg)
{
    struct agent_node *node = arg;
    node->agent.is_flush_due = false;
    node->agent.flushed_at = (struct mono){sim->now};
    agent_beats_flush(node);
    event_stream_facts_wanted(node->agent.stream);
    save_state(node);
    wake_when_due(node);
    if (!node->is_recovered && container_table_has_swept(node->agent.table)) {
        node->is_recovered = true;
        command_runner_recover(node->runner);
    }
}

static void on_tick(void *arg)
{
    struct agent_node *node = arg;
    container_table_tick(node->agent.table, (struct mono){sim->now});
    event_stream_prove(node->agent.stream);
    agent_facts_changed(&node->agent);
}

void agent_facts_changed(struct agent *agent)
{
    if (!agent->is_flush_due && agent->flush_timer) {
        int64_t since_ms = sim->now - agent->flushed_at.ms;
        agent->is_flush_due = true;
        loop_timer_start(agent->flush_timer, since_ms >= FLUSH_SPACING_MS ? 0 : FLUSH_SPACING_MS - since_ms,
                         0);
    }
}

/* ---- life ---- */

static void on_redis_up(void *arg)
{
    struct agent_node *node = arg;
    struct memory *memory, *next;
    HASH_ITER (hh, node->memories, memory, next) {
        memory->intent = INTENT_UNKNOWN;
    }
    node->is_quiet = false;
    agent_beats_all(node);
    agent_facts_changed(&node->agent);
}

static void on_redis_down(void *arg, const char *reason)
{
    struct agent_node *node = arg;
    (void)reason;
    node->has_lost_redis = true;
}

static void make_id(struct agent_node *node)
{
    snprintf(node->agent.id, sizeof node->agent.id, "%016llx%016llx",
             (unsigned long long)dice_next(&node->docker->dice),
             (unsigned long long)dice_next(&node->docker->dice));
}

static bool load_state(struct agent_node *node, struct event_window *seen)
{
    size_t len;
    const char *text = disk_read(node->disk, STATE_FILE, &len);
    if (!text) {
        return false;
    }
    char boot_id[LIMIT_ID_SIZE];
    bool has_seen = container_table_load(node->agent.table, text, len, "redis", boot_id, seen);
    if (boot_id[0] && strcmp(boot_id, node->agent.boot_id) != 0) {
        container_table_host_booted(node->agent.table);
    }
    return has_seen;
}

static void again(void *arg)
{
    struct agent_node *node = arg;
    if (!node->docker->is_off) {
        agent_node_start(node->host);
    }
}

/* systemd starts it again. */
static void node_end(void *arg)
{
    struct agent_node *node = arg;
    agent_node_stop(node->host, true);
    sim_at(sim->now + 3000, NULL, again, NULL, node);
}

void agent_node_start(int host)
{
    struct agent_node *node = &nodes[host];
    struct agent *agent = &node->agent;
    if (node->runs || sim->plan->peer) {
        return;
    }
    if (!node->disk) {
        snprintf(node->dir, sizeof node->dir, "agent-%d", host);
        snprintf(node->name, sizeof node->name, "agent %d", host);
        node->disk = disk_new(node->dir);
    }
    node->host = host;
    node->docker = sim->dockers[host];
    uint64_t life = node->process.life + 1;
    node->process = (struct process){.name = node->name,
                                     .life = life,
                                     .wall_offset_ms = &node->docker->wall_offset_ms,
                                     .on_death = node_end,
                                     .arg = node};
    disk_use(node->disk, &node->process);
    memset(agent, 0, sizeof *agent);
    make_id(node);
    memory_set_text(agent->boot_id, sizeof agent->boot_id, node->docker->boot_id);
    agent->loop = fake_loop_new(&node->process);
    agent->flush_timer = loop_timer_new(agent->loop, on_flush, node);
    agent->tick_timer = loop_timer_new(agent->loop, on_tick, node);
    agent->table_config =
        (struct container_table_config){.name_prefix = "",
                                        .deny = &sim->deny,
                                        .stop = {.stop_settle_ms = sim->policy.stop_settle_ms,
                                                 .intent_settle_ms = sim->policy.intent_settle_ms},
                                        .self_id = ""};
    agent->table = container_table_new(&agent->table_config);
    struct self_finder_redis place = {.port = 6379};
    memory_set_text(place.host, sizeof place.host, "redis.example");
    memory_set_text(place.peer, sizeof place.peer, "10.9.9.9");
    container_table_redis_place(agent->table, &place);
    struct event_window seen = {.total = 0};
    bool has_seen = load_state(node, &seen);
    node->seq = node->registration_seq = node->writes = 0;
    node->lease = (struct redis_lease){0};
    node->is_quiet = false;
    node->is_ticking = node->is_recovered = false;
    node->registration_change = 0;
    agent_doors_open(node);
    agent->engine = docker_client_new(node->docker, &node->process);
    agent->saved_events = seen.total;
    agent->stream = event_stream_new(agent, has_seen ? &seen : NULL);
    node->interval = loop_timer_new(agent->loop, agent_beats_interval, node);
    node->command_tick = loop_timer_new(agent->loop, agent_doors_tick, node);
    node->interval_due = sim->now + sim->plan->beat_interval_ms;
    loop_timer_start(node->interval, sim->plan->beat_interval_ms, sim->plan->beat_interval_ms);
    node->has_lost_redis = false;
    struct redis_link_options options = {.on_up = on_redis_up, .on_down = on_redis_down, .arg = node};
    node->link = redis_link_open(agent->loop, &options);
    node->runs = true;
    sim->agent_back_at[host] = sim->now;
    sim_say("agent of %s starts", node->docker->host);
}

void agent_node_stop(int host, bool is_torn)
{
    struct agent_node *node = &nodes[host];
    struct agent *agent = &node->agent;
    if (!node->runs) {
        return;
    }
    node->runs = false;
    node->process.is_dead = true;
    node->process.life++;
    sim->agent_down_at[host] = sim->now;
    sim_say("agent of %s is gone", node->docker->host);
    if (is_torn && node->docker->is_off && node->unsynced > 0) {
        disk_tear(node->disk, LOG_FILE, (size_t)dice_below(&sim->dice, (int64_t)node->unsynced + 1));
    }
    node->unsynced = 0;
    redis_lease_end(&node->lease);
    redis_link_close(node->link);
    command_desk_free(node->desk);
    command_runner_free(node->runner);
    event_stream_free(agent->stream);
    docker_client_free(agent->engine);
    container_table_free(agent->table);
    fake_loop_free(agent->loop);
    redis_doc_drop(node->registration);
    node->registration = NULL;
    struct memory *memory, *next;
    HASH_ITER (hh, node->memories, memory, next) {
        HASH_DEL(node->memories, memory);
        free(memory);
    }
    disk_use(node->disk, NULL);
}

void agent_node_free(int host)
{
    agent_node_stop(host, false);
    if (nodes[host].disk) {
        disk_free(nodes[host].disk);
    }
    nodes[host] = (struct agent_node){.process.life = nodes[host].process.life};
}

bool agent_node_runs(int host)
{
    return nodes[host].runs;
}

struct process *agent_node_process(int host)
{
    return &nodes[host].process;
}

bool agent_node_is_acting(int host)
{
    return nodes[host].runs && command_runner_in_flight(nodes[host].runner) > 0;
}

/* As it tells it: running, unless it heard otherwise. */
bool agent_node_holds_running(int host, const char *id)
{
    const struct container *container = container_table_by_id(nodes[host].agent.table, id);
    return container && container->state == CONTAINER_RUNNING;
}

size_t agent_node_count(int host)
{
    return nodes[host].runs ? container_table_count(nodes[host].agent.table) : 0;
}

bool agent_node_sees(int host)
{
    return nodes[host].runs && event_stream_is_up(nodes[host].agent.stream);
}

void agent_node_check(int host)
{
    const struct agent_node *node = &nodes[host];
    if (!node->runs) {
        return;
    }
    size_t there = 0;
    for (const struct box *box = node->docker->boxes; box; box = box->next) {
        there += !box->is_removed || sim->now - box->removed_at < 400000;
    }
    INV(29, container_table_count(node->agent.table) <= there, "the agent of %s holds %zu containers of %zu",
        node->docker->host, container_table_count(node->agent.table), there);
}
