/*
 * An agent: its own table, event_stream, command_runner and command_desk; played here are what agent.c wires
 * and what heartbeat_publisher.c does, step by step as they do it, on documents instead of bytes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "agent/agent.h"
#include "agent/command_desk.h"
#include "agent/core/container_beat.h"
#include "agent/event_stream.h"
#include "common/memory.h"
#include "common/redis_link.h"
#include "proto/intent.h"
#include "proto/keys.h"
#include "tests/sim/sim.h"

#define STATE_FILE "agent.state"
#define LOG_FILE   "commands.log"

enum { FLUSH_SPACING_MS = 10, SAVE_POSITION_MS = 30000, TICK_MS = 1000, INSPECT_TIMEOUT_MS = 10000 };
enum { TOUCH_EVERY = 3 };

enum owner { OWNER_UNKNOWN, OWNER_OURS };
enum intent_known { INTENT_UNKNOWN, INTENT_WRITTEN, INTENT_ABSENT };
enum writer { WRITER_NONE, WRITER_US, WRITER_OTHER_AGENT, WRITER_APP };

struct memory {
    char id[LIMIT_ID_SIZE];
    char key[KEY_SIZE];
    enum owner owner;
    uint64_t written; /* serial of our document; 0: nothing */
    enum intent_known intent;
    UT_hash_handle hh;
};

struct agent_node {
    struct agent agent; /* first */
    int host;
    struct docker *docker;
    struct process process;
    struct disk *disk;
    char dir[32], name[24];
    bool runs, is_restarting;
    struct redis_link *link;
    struct command_runner *runner;
    struct command_desk *desk;
    struct loop_timer *interval, *command_tick;
    bool is_ticking, is_recovered;
    struct memory *memories;
    uint64_t seq, registration_seq, intervals;
    struct redis_doc *registration; /* the last one; ours is one reference */
    uint64_t registration_change;
    size_t unsynced; /* of the outcome file */
    int64_t interval_due;
};

static struct agent_node nodes[HOSTS_MAX];

/* ---- keys and whose they are ---- */

static struct memory *memory_of(struct agent_node *node, const char *id)
{
    struct memory *memory;
    HASH_FIND_STR(node->memories, id, memory);
    if (!memory) {
        memory = memory_alloc(sizeof *memory);
        memory_set_text(memory->id, sizeof memory->id, id);
        HASH_ADD_STR(node->memories, id, memory);
    }
    return memory;
}

static void forget_memory(struct agent_node *node, const char *id)
{
    struct memory *memory;
    HASH_FIND_STR(node->memories, id, memory);
    if (memory) {
        HASH_DEL(node->memories, memory);
        free(memory);
    }
}

static enum writer writer_of(const struct agent_node *node, const struct container *container,
                             const struct redis_doc *doc)
{
    if (!doc || doc->kind != DOC_BEAT) {
        return WRITER_NONE; /* rubbish is nobody's */
    }
    if (strcmp(doc->beat.source, "agent") != 0) {
        return WRITER_APP;
    }
    bool is_us =
        strcmp(doc->beat.host, node->docker->host) == 0 && strcmp(doc->beat.container, container->name) == 0;
    return is_us ? WRITER_US : WRITER_OTHER_AGENT;
}

/* A write to Redis takes place. */
static bool may_write(struct agent_node *node)
{
    return redis_link_passes(node->link) && process_effect(&node->process);
}

static void delete_key(struct agent_node *node, const char *key)
{
    if (may_write(node)) {
        redis_delete(key);
    }
}

static void found_app(struct agent_node *node, const struct container *container)
{
    container_table_set_app_beating(node->agent.table, container->id);
    agent_facts_changed(&node->agent);
}

static struct redis_doc *make_beat(struct agent_node *node, const struct container *container)
{
    struct redis_doc *doc = redis_doc_new(DOC_BEAT);
    heartbeat_init(&doc->beat);
    container_beat_fill(container, node->docker->host, node->agent.id, ++node->seq,
                        sim_wall(node->docker->wall_offset_ms), &doc->beat);
    return doc;
}

static void write_beat(struct agent_node *node, const struct container *container, struct memory *memory,
                       struct redis_doc *doc)
{
    struct redis_doc *old = redis_get(memory->key);
    bool is_foreign = old && old->serial != memory->written;
    if (!may_write(node)) {
        return;
    }
    enum writer writer = is_foreign ? writer_of(node, container, old) : WRITER_US;
    doc->refs++;
    redis_put(memory->key, doc, sim->policy.heartbeat_ttl_ms);
    memory->written = doc->serial;
    if (is_foreign && writer == WRITER_APP && container->spec.beat_mode == BEAT_MODE_AUTO &&
        !container->spec.is_app_beating) {
        found_app(node, container);
    }
}

static void publish(struct agent_node *node, const struct container *container, bool is_change);

static void look_first(struct agent_node *node, const struct container *container, struct memory *memory)
{
    if (memory->owner != OWNER_UNKNOWN || !redis_link_passes(node->link)) {
        return;
    }
    enum writer writer = writer_of(node, container, redis_get(memory->key));
    memory->owner = OWNER_OURS;
    if (container_beat_is_up(container)) {
        if (writer == WRITER_APP) {
            found_app(node, container);
        } else {
            publish(node, container, false);
        }
    } else if (writer == WRITER_US) {
        delete_key(node, memory->key);
    } else {
        memory->owner = OWNER_UNKNOWN;
    }
}

static void drop_key(struct agent_node *node, const struct container *container, struct memory *memory)
{
    memory->written = 0;
    if (memory->owner == OWNER_OURS) {
        delete_key(node, memory->key);
        memory->owner = OWNER_UNKNOWN;
    } else if (container->state != CONTAINER_CREATED) {
        look_first(node, container, memory);
    }
}

static void follow_key(struct agent_node *node, const struct container *container, struct memory *memory)
{
    if (memory->key[0] && !memory->written) {
        memory->key[0] = '\0';
    }
    char key[KEY_SIZE];
    key_heartbeat(key, container->service, container->instance);
    if (strcmp(key, memory->key) != 0) {
        if (memory->owner == OWNER_OURS && memory->key[0]) {
            delete_key(node, memory->key);
            memory->owner = OWNER_UNKNOWN;
        }
        memory_set_text(memory->key, sizeof memory->key, key);
        memory->written = 0;
    }
}

static void publish(struct agent_node *node, const struct container *container, bool is_change)
{
    struct memory *memory = memory_of(node, container->id);
    follow_key(node, container, memory);
    bool is_up = container_beat_is_up(container);
    bool is_ours = container_beat_is_by_agent(container);
    if (is_up && is_ours && container->spec.beat_mode == BEAT_MODE_AGENT) {
        memory->owner = OWNER_OURS;
    }
    bool is_written = is_up && is_ours && memory->owner == OWNER_OURS;
    if (!is_written && !is_change) {
        if (is_up && is_ours) {
            look_first(node, container, memory);
        }
        return;
    }
    struct redis_doc *doc = make_beat(node, container);
    if (is_written) {
        write_beat(node, container, memory, doc);
    } else if (is_up && is_ours) {
        look_first(node, container, memory);
    } else if (!is_up && is_ours) {
        drop_key(node, container, memory);
    }
    if (may_write(node)) {
        redis_publish(doc);
    }
    redis_doc_drop(doc);
}

/* An ordinary beat of one that beats on: the key lives on with it. */
static void touch(struct agent_node *node, const struct container *container)
{
    struct memory *memory = memory_of(node, container->id);
    struct redis_doc *doc = memory->owner == OWNER_OURS && memory->written ? redis_get(memory->key) : NULL;
    bool is_plain = doc && doc->serial == memory->written && doc->refs == 1 &&
                    container_beat_is_up(container) && doc->beat.state == container->state &&
                    doc->beat.health == container->health;
    if (!is_plain) {
        publish(node, container, false);
        return;
    }
    doc->beat.seq = ++node->seq;
    doc->beat.timestamp = sim_wall(node->docker->wall_offset_ms);
    redis_touch(memory->key, sim->policy.heartbeat_ttl_ms);
}

/* ---- intents ---- */

static void write_intent(struct agent_node *node, const struct container *container, const char *key)
{
    struct intent intent = {.at = {container->finished_ns / 1000000}};
    memory_set_text(intent.container_id, sizeof intent.container_id, container->id);
    memory_set_text(intent.reason, sizeof intent.reason, "operator_stop");
    size_t len;
    cleanup_free char *text = intent_encode(&intent, &len);
    if (may_write(node)) {
        redis_put(key, redis_doc_text(text, len), 0);
    }
}

static void follow_intent(struct agent_node *node, const struct container *container)
{
    struct memory *memory = memory_of(node, container->id);
    char key[KEY_SIZE];
    key_intent(key, container->name);
    if (container->stop_class == STOP_OPERATOR) {
        if (memory->intent != INTENT_WRITTEN) {
            write_intent(node, container, key);
            memory->intent = INTENT_WRITTEN;
        }
    } else if (container_beat_is_up(container)) {
        if (memory->intent != INTENT_ABSENT) {
            delete_key(node, key);
            memory->intent = INTENT_ABSENT;
        }
    } else if (memory->intent == INTENT_UNKNOWN && container->stop_class != STOP_NONE &&
               redis_link_passes(node->link)) {
        const struct redis_doc *doc = redis_get(key);
        struct intent intent;
        memory->intent = INTENT_ABSENT;
        if (doc && doc->kind == DOC_TEXT && intent_decode(doc->text, doc->len, &intent, NULL) == 0 &&
            strcmp(intent.container_id, container->id) == 0) {
            memory->intent = INTENT_WRITTEN;
            container_table_intended(node->agent.table, container->id, (struct mono){sim->now});
            agent_facts_changed(&node->agent);
        }
    }
}

/* ---- the registration ---- */

static void fill_entries(struct agent_node *node, struct registration *registration)
{
    struct container_table *table = node->agent.table;
    size_t size = container_table_count(table);
    registration->entries = memory_alloc((size + 1) * sizeof *registration->entries);
    const struct container *container = NULL;
    while ((container = container_table_next(table, container)) != NULL) {
        if (container->is_inspected) {
            struct registration_entry *entry = &registration->entries[registration->count++];
            heartbeat_init(&entry->beat);
            container_beat_fill(container, node->docker->host, node->agent.id, node->seq,
                                sim_wall(node->docker->wall_offset_ms), &entry->beat);
            entry->spec = container->spec;
        }
    }
}

uint64_t agent_change(const struct agent *agent)
{
    return container_table_change(agent->table) + event_stream_turns(agent->stream);
}

static struct redis_doc *new_registration(struct agent_node *node)
{
    struct redis_doc *doc = redis_doc_new(DOC_REGISTRATION);
    struct registration *registration = &doc->registration;
    registration_init(registration);
    memory_set_text(registration->host, sizeof registration->host, node->docker->host);
    snprintf(registration->url, sizeof registration->url, "tcp://%s:7411", node->docker->host);
    memory_set_text(registration->agent, sizeof registration->agent, node->agent.id);
    memory_set_text(registration->boot_id, sizeof registration->boot_id, node->docker->boot_id);
    registration->change = agent_change(&node->agent);
    registration->is_engine_up = event_stream_is_up(node->agent.stream);
    fill_entries(node, registration);
    return doc;
}

/* A fresh document; the old one is written on where nobody else holds it and nothing changed. */
static struct redis_doc *current_registration(struct agent_node *node)
{
    struct redis_doc *doc = node->registration;
    uint64_t change = agent_change(&node->agent);
    int others = doc ? doc->refs - 1 : 0;
    char key[KEY_SIZE];
    key_agent(key, node->docker->host);
    bool is_in_redis = doc && redis_get(key) == doc;
    if (!doc || node->registration_change != change || others > is_in_redis) {
        redis_doc_drop(doc);
        doc = node->registration = new_registration(node);
        node->registration_change = change;
    }
    static uint64_t serials = (uint64_t)1 << 40;
    doc->serial = ++serials;
    doc->beat_seq = node->seq;
    doc->registration.seq = ++node->registration_seq;
    doc->registration.timestamp = sim_wall(node->docker->wall_offset_ms);
    doc->registration.epoch = command_runner_epoch(node->runner);
    return doc;
}

static void publish_registration(struct agent_node *node)
{
    if (!redis_link_is_up(node->link) || !container_table_has_swept(node->agent.table) || !may_write(node)) {
        return;
    }
    struct redis_doc *doc = current_registration(node);
    char key[KEY_SIZE];
    key_agent(key, node->docker->host);
    if (redis_get(key) == doc) {
        redis_touch(key, sim->policy.heartbeat_ttl_ms);
        return;
    }
    doc->refs++;
    redis_put(key, doc, sim->policy.heartbeat_ttl_ms);
}

/* ---- when ---- */

static void publish_removed(struct agent_node *node, const struct container *container)
{
    struct memory *memory = memory_of(node, container->id);
    if (redis_link_is_up(node->link)) {
        publish(node, container, true);
        if (memory->intent == INTENT_WRITTEN) {
            char key[KEY_SIZE];
            key_intent(key, container->name);
            delete_key(node, key);
        }
    }
    forget_memory(node, container->id);
}

static void flush_changes(struct agent_node *node)
{
    const struct container *container;
    bool is_removed;
    while ((container = container_table_next_changed(node->agent.table, &is_removed)) != NULL) {
        if (is_removed) {
            publish_removed(node, container);
            continue;
        }
        check_class(node->host, container->id, container->stop_class);
        if (redis_link_is_up(node->link)) {
            publish(node, container, true);
            follow_intent(node, container);
        }
    }
    publish_registration(node);
}

static void publish_all(struct agent_node *node)
{
    if (!redis_link_is_up(node->link)) {
        return;
    }
    bool is_quiet = !sim->plan->is_all_beats;
    bool is_skipped = is_quiet && node->intervals % TOUCH_EVERY != 0;
    const struct container *container = NULL;
    while (!is_skipped && (container = container_table_next(node->agent.table, container)) != NULL) {
        if (container->is_inspected) {
            if (is_quiet && redis_link_passes(node->link)) {
                touch(node, container);
            } else {
                publish(node, container, false);
            }
            follow_intent(node, container);
        }
    }
    publish_registration(node);
}

static void on_interval(void *arg)
{
    struct agent_node *node = arg;
    if (command_runner_in_flight(node->runner) > 0) {
        inv(27, sim->now - node->interval_due <= 1000, "beats of %s slipped %lld ms", node->docker->host,
            (long long)(sim->now - node->interval_due));
    }
    node->intervals++;
    node->interval_due = sim->now + sim->plan->beat_interval_ms;
    publish_all(node);
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
    int64_t event_ns = event_stream_last_event_ns(agent->stream);
    bool is_position_old =
        event_ns != agent->saved_event_ns && sim->now - agent->saved_at.ms >= SAVE_POSITION_MS;
    if (!container_table_has_swept(agent->table) || (change == agent->saved_change && !is_position_old)) {
        return;
    }
    struct saving *saving = memory_alloc(sizeof *saving);
    saving->node = node;
    saving->text = container_table_save(agent->table, agent->boot_id, "redis", event_ns, &saving->len);
    agent->saved_change = change;
    agent->saved_event_ns = event_ns;
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
    flush_changes(node);
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
    *out = (struct command_facts){.state = container->state,
                                  .stop_class = container->stop_class,
                                  .is_docker_restarting = container->is_docker_restarting,
                                  .is_engine_up = event_stream_is_up(node->agent.stream)};
    memory_set_text(out->container_id, sizeof out->container_id, container->id);
    memory_set_text(out->started_at, sizeof out->started_at, container->incarnation);
    out->denied = container_table_is_denied(container, &why) ? why : NULL;
    return true;
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

static void port_ended(void *arg, const char *id, const struct command_id *command, enum answer_code code)
{
    struct agent_node *node = arg;
    char hex[LIMIT_COMMAND_ID_SIZE];
    command_id_format(command, hex);
    container_table_set_last_command(node->agent.table, id, hex, code);
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

static void on_command_tick(void *arg)
{
    struct agent_node *node = arg;
    command_runner_tick(node->runner);
    keep_ticking(node);
}

static uint64_t desk_change(void *arg)
{
    return agent_change(&((struct agent_node *)arg)->agent);
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
    struct agent_node *node = &nodes[host];
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
        if (is_news && !container_table_has_swept(node->agent.table)) {
            answer->is_ok = false;
            answer->has_registration = false;
        } else if (is_news) {
            answer->doc = current_registration(node);
            answer->doc->refs++;
        }
        command_runner_raise_epoch(node->runner, query->epoch);
    } else {
        struct command_job *job;
        answer->bytes = command_desk_answer(node->desk, query->bytes, query->len, &answer->len, &job);
        check_note_command(node->host, &query->command, job != NULL);
        if (job) {
            command_runner_begin(node->runner, job);
            keep_ticking(node);
        }
    }
    memory_set_text(answer->agent, sizeof answer->agent, node->agent.id);
    answer->change = agent_change(&node->agent);
    answer->epoch = command_runner_epoch(node->runner);
}

void agent_node_query(int host, const struct rpc_query *query)
{
    struct agent_node *node = &nodes[host];
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

/* ---- a service's own beats ---- */

void agent_node_app_beats(int host, struct box *box)
{
    (void)host;
    struct redis_doc *doc = redis_doc_new(DOC_BEAT);
    struct heartbeat *beat = &doc->beat;
    heartbeat_init(beat);
    const char *service = box->service[0] ? box->service : box->name;
    const char *instance = box->service[0] ? box->instance : box->name;
    memory_set_text(beat->service, sizeof beat->service, service);
    memory_set_text(beat->instance_id, sizeof beat->instance_id, instance);
    memory_set_text(beat->source, sizeof beat->source, "app");
    beat->status = sim->now - box->started_ms < box->boot_ms ? BEAT_STARTING
                   : box->is_degraded                        ? BEAT_DEGRADED
                                                             : BEAT_HEALTHY;
    beat->timestamp = sim_wall(box->docker->wall_offset_ms);
    char key[KEY_SIZE];
    key_heartbeat(key, service, instance);
    doc->refs++;
    redis_put(key, doc, sim->policy.heartbeat_ttl_ms);
    redis_publish(doc);
    redis_doc_drop(doc);
}

/* ---- life ---- */

static void on_redis_up(void *arg)
{
    struct agent_node *node = arg;
    struct memory *memory, *next;
    HASH_ITER (hh, node->memories, memory, next) {
        memory->intent = INTENT_UNKNOWN;
    }
    publish_all(node);
    agent_facts_changed(&node->agent);
}

static void on_redis_down(void *arg, const char *reason)
{
    (void)arg;
    (void)reason;
}

static void make_id(struct agent_node *node)
{
    snprintf(node->agent.id, sizeof node->agent.id, "%016llx%016llx",
             (unsigned long long)dice_next(&node->docker->dice),
             (unsigned long long)dice_next(&node->docker->dice));
}

static void load_state(struct agent_node *node, int64_t *last_event_ns)
{
    size_t len;
    const char *text = disk_read(node->disk, STATE_FILE, &len);
    *last_event_ns = 0;
    if (!text) {
        return;
    }
    char boot_id[LIMIT_ID_SIZE];
    container_table_load(node->agent.table, text, len, "redis", boot_id, last_event_ns);
    if (boot_id[0] && strcmp(boot_id, node->agent.boot_id) != 0) {
        container_table_host_booted(node->agent.table);
    }
}

static void open_commands(struct agent_node *node)
{
    struct command_ports ports = {.arg = node,
                                  .now = port_now,
                                  .wall = port_wall,
                                  .find = port_find,
                                  .inspect = port_inspect,
                                  .act = port_act,
                                  .cancel = port_cancel,
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
    struct command_desk_options desk = {.runner = node->runner,
                                        .host = node->docker->host,
                                        .agent = node->agent.id,
                                        .arg = node,
                                        .now = port_now,
                                        .change = desk_change,
                                        .inventory = desk_inventory};
    node->desk = command_desk_new(&desk);
    command_desk_set_keys(node->desk, sim_keys());
}

static void node_end(void *arg)
{
    struct agent_node *node = arg;
    agent_node_stop(node->host, true);
}

void agent_node_start(int host)
{
    struct agent_node *node = &nodes[host];
    struct agent *agent = &node->agent;
    if (node->runs) {
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
    int64_t last_event_ns;
    load_state(node, &last_event_ns);
    node->seq = node->registration_seq = node->intervals = 0;
    node->is_ticking = node->is_recovered = false;
    node->registration_change = 0;
    open_commands(node);
    agent->engine = docker_client_new(node->docker, &node->process);
    agent->saved_event_ns = last_event_ns;
    agent->stream = event_stream_new(agent, last_event_ns);
    node->interval = loop_timer_new(agent->loop, on_interval, node);
    node->command_tick = loop_timer_new(agent->loop, on_command_tick, node);
    node->interval_due = sim->now + sim->plan->beat_interval_ms;
    loop_timer_start(node->interval, sim->plan->beat_interval_ms, sim->plan->beat_interval_ms);
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
    for (int i = 0; i < sim->box_count; i++) {
        there += sim->boxes[i]->docker == node->docker &&
                 (!sim->boxes[i]->is_removed || sim->now - sim->boxes[i]->removed_at < 400000);
    }
    inv(29, container_table_count(node->agent.table) <= there, "the agent of %s holds %zu containers of %zu",
        node->docker->host, container_table_count(node->agent.table), there);
}
