/* Beats, intents and registrations of a simulated agent, step by step as heartbeat_publisher.c does it, on
 * documents instead of bytes; and what services say of themselves. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/container_beat.h"
#include "common/memory.h"
#include "proto/intent.h"
#include "proto/keys.h"
#include "tests/sim/agent_node.h"

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
    node->writes++;
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
    memory->written = doc->serial;
    memory->change = container->change;
    if (is_foreign && writer == WRITER_APP && container->spec.beat_mode == BEAT_MODE_AUTO &&
        !container->spec.is_app_beating) {
        found_app(node, container); /* and puts back what it displaced */
        return;
    }
    doc->refs++;
    redis_put(memory->key, doc, sim->policy.heartbeat_ttl_ms);
}

static void publish(struct agent_node *node, const struct container *container, bool is_change);

static void look_first(struct agent_node *node, const struct container *container, struct memory *memory)
{
    if (memory->owner != OWNER_UNKNOWN || !redis_link_passes(node->link)) {
        return;
    }
    node->writes++;
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

/* An ordinary beat of one that beats on: the key lives on with the others. */
static void touch(struct agent_node *node, const struct container *container)
{
    struct memory *memory = memory_of(node, container->id);
    struct redis_doc *doc = memory->owner == OWNER_OURS && memory->written ? redis_get(memory->key) : NULL;
    bool is_plain = doc && doc->serial == memory->written && doc->refs == 1 &&
                    memory->change == container->change && container_beat_is_up(container) &&
                    doc->beat.state == container->state && doc->beat.health == container->health;
    if (is_plain) {
        redis_lease(memory->key, &node->lease);
    } else {
        publish(node, container, false);
    }
}

static void renew_lease(struct agent_node *node)
{
    if (node->lease.expire_at <= sim->now) {
        redis_lease_end(&node->lease); /* what ran out stays so */
    }
    node->lease.expire_at = sim->now + sim->policy.heartbeat_ttl_ms;
    node->seq++;
    node->lease.timestamp = sim_wall(node->docker->wall_offset_ms);
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
struct redis_doc *agent_beats_registration(struct agent_node *node)
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
    if (!redis_link_is_up(node->link) || !container_table_is_whole(node->agent.table) || !may_write(node)) {
        return;
    }
    struct redis_doc *doc = agent_beats_registration(node);
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

void agent_beats_flush(struct agent_node *node)
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

/* Looks at every container; what there is to do about its key is done. */
static void publish_each(struct agent_node *node, bool is_leased)
{
    const struct container *container = NULL;
    while ((container = container_table_next(node->agent.table, container)) != NULL) {
        if (container->is_inspected) {
            if (is_leased) {
                touch(node, container);
            } else {
                publish(node, container, false);
            }
            follow_intent(node, container);
        }
    }
}

/* In peace a beat of all is one act: looked at again is only what somebody touched. */
void agent_beats_all(struct agent_node *node)
{
    if (!redis_link_is_up(node->link)) {
        return;
    }
    bool is_leased = !sim->plan->is_all_beats && redis_link_passes(node->link);
    if (is_leased) {
        renew_lease(node);
    }
    uint64_t change = agent_change(&node->agent), writes = node->writes;
    bool is_quiet = is_leased && node->is_quiet && node->quiet_change == change &&
                    node->quiet_broken == node->lease.broken;
    if (!is_quiet) {
        publish_each(node, is_leased);
        node->quiet_change = change;
        node->quiet_broken = node->lease.broken;
        node->is_quiet = is_leased && node->writes == writes && agent_change(&node->agent) == change;
    }
    publish_registration(node);
}

void agent_beats_interval(void *arg)
{
    struct agent_node *node = arg;
    bool was_stalled = node->process.stalled_until > node->interval_due;
    if (command_runner_in_flight(node->runner) > 0 && !was_stalled) {
        INV(27, sim->now - node->interval_due <= 1000, "beats of %s slipped %lld ms", node->docker->host,
            (long long)(sim->now - node->interval_due));
    }
    node->interval_due = sim->now + sim->plan->beat_interval_ms;
    agent_beats_all(node);
}

/* ---- a service's own beats ---- */

static enum beat_status app_status(const struct box *box)
{
    return sim->now - box->started_ms < box->boot_ms ? BEAT_STARTING
           : box->is_degraded                        ? BEAT_DEGRADED
           : box->health == HEALTH_UNHEALTHY         ? BEAT_UNHEALTHY
                                                     : BEAT_HEALTHY;
}

static struct redis_doc *new_app_beat(struct box *box)
{
    struct redis_doc *doc = redis_doc_new(DOC_BEAT);
    struct heartbeat *beat = &doc->beat;
    heartbeat_init(beat);
    const char *service = box->service[0] ? box->service : box->name;
    const char *instance = box->service[0] ? box->instance : box->name;
    memory_set_text(beat->service, sizeof beat->service, service);
    memory_set_text(beat->instance_id, sizeof beat->instance_id, instance);
    memory_set_text(beat->source, sizeof beat->source, "app");
    key_heartbeat(box->beat_key, service, instance);
    doc->refs++;
    redis_put(box->beat_key, doc, sim->policy.heartbeat_ttl_ms);
    box->beat_serial = doc->serial;
    return doc;
}

/* The last one once more, where nobody else holds it. */
static struct redis_doc *same_app_beat(struct box *box)
{
    struct redis_doc *doc = box->beat_key[0] ? redis_get(box->beat_key) : NULL;
    if (!doc || doc->serial != box->beat_serial || doc->refs != 1) {
        return NULL;
    }
    redis_touch(box->beat_key, sim->policy.heartbeat_ttl_ms);
    doc->refs++;
    return doc;
}

void agent_node_app_beats(int host, struct box *box)
{
    (void)host;
    struct redis_doc *doc = same_app_beat(box);
    doc = doc ? doc : new_app_beat(box);
    doc->beat.status = app_status(box);
    doc->beat.timestamp = sim_wall(box->docker->wall_offset_ms);
    redis_publish(doc);
    redis_doc_drop(doc);
}

bool agent_node_app_status(const struct box *box, const char **status)
{
    char key[KEY_SIZE];
    key_heartbeat(key, box->service[0] ? box->service : box->name,
                  box->service[0] ? box->instance : box->name);
    const struct redis_doc *doc = redis_get(key);
    bool is_beat = doc && doc->kind == DOC_BEAT;
    *status = is_beat && doc->beat.status == BEAT_HEALTHY ? NULL : "bad";
    return is_beat;
}
