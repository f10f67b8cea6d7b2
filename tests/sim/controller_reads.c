/* What a simulated controller reads in Redis, step by step as heartbeat_consumer.c does it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/redis_link.h"
#include "tests/sim/controller_node.h"

/* ---- the consumer ---- */

void controller_reads_want_host(struct controller_node *node, const char *host)
{
    int index = -1;
    if (sscanf(host, "host-%d", &index) == 1 && index >= 0 && index < sim->plan->hosts) {
        node->agents[index].is_wanted = true;
    }
}

/* Through text, as in production. */
static bool through_json_beat(const struct heartbeat *in, struct heartbeat *out)
{
    size_t len;
    cleanup_free char *text = heartbeat_encode(in, &len);
    return heartbeat_decode(text, len, out, NULL) == 0;
}

void controller_reads_observe(struct controller_node *node, const struct heartbeat *beat)
{
    struct heartbeat decoded;
    bool is_text = sim->plan->is_json && through_json_beat(beat, &decoded);
    const struct heartbeat *told = is_text ? &decoded : beat;
    check_told(told->last_command, told->last_command_code);
    bool is_strange =
        decider_observe_beat(node->decider, told, (struct mono){sim->now}, controller_node_wall(node));
    bool is_down =
        told->container[0] != '\0' && told->state != CONTAINER_RUNNING && told->state != CONTAINER_UNKNOWN;
    if (told->host[0] != '\0' && (is_strange || is_down)) {
        controller_reads_want_host(node, told->host);
    }
    if (is_text) {
        heartbeat_fini(&decoded);
    }
}

/* Rubbish moves nobody else: what is known of all others is the same before and after. */
static uint64_t others_sum;
static const char *others_but;

static bool add_other(void *arg, const struct decider_view *view)
{
    (void)arg;
    if (strcmp(view->container, others_but) == 0) {
        return true;
    }
    uint64_t sum = 14695981039346656037u;
    const char *texts[] = {view->container, view->state, view->reason, view->container_id};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        for (const char *at = texts[i]; *at; at++) {
            sum = (sum ^ (unsigned char)*at) * 1099511628211u;
        }
    }
    others_sum += sum ^ (uint64_t)view->attempts ^ ((uint64_t)view->misses << 32);
    return true;
}

static uint64_t sum_of_others(const struct controller_node *node, const char *name)
{
    others_sum = 0;
    others_but = name;
    decider_each(node->decider, add_other, NULL);
    return others_sum;
}

static enum key_finding take_key(struct controller_node *node, const struct wanted *wanted)
{
    struct redis_doc *doc = redis_get(wanted->key);
    if (!doc) {
        return KEY_ABSENT;
    }
    if (doc->kind == DOC_BEAT) {
        doc->refs++;
        controller_reads_observe(node, &doc->beat);
        redis_doc_drop(doc);
        return KEY_PRESENT;
    }
    struct heartbeat beat;
    struct err err;
    bool is_beat = doc->kind == DOC_TEXT && heartbeat_decode(doc->text, doc->len, &beat, &err) == 0;
    if (is_beat) {
        heartbeat_fini(&beat); /* not of this key: as decode_at refuses it */
    }
    return KEY_INVALID;
}

void controller_reads_registration(struct controller_node *node, struct redis_doc *doc, enum path path)
{
    struct registration *registration = &doc->registration;
    for (size_t i = 0; i < registration->count; i++) {
        struct heartbeat *beat = &registration->entries[i].beat;
        beat->seq = doc->beat_seq;
        beat->timestamp = registration->timestamp;
        check_told(beat->last_command, beat->last_command_code);
    }
    struct registration decoded;
    if (sim->plan->is_json) {
        size_t len, bad = 0;
        cleanup_free char *text = registration_encode(registration, &len);
        if (registration_decode(text, len, &decoded, &bad, NULL) == 0) {
            decider_observe_registration(node->decider, &decoded, path, (struct mono){sim->now},
                                         controller_node_wall(node));
            registration_fini(&decoded);
        }
        return;
    }
    decider_observe_registration(node->decider, registration, path, (struct mono){sim->now},
                                 controller_node_wall(node));
}

void controller_reads_host(struct controller_node *node, int host)
{
    struct node_agent *agent = &node->agents[host];
    char key[KEY_SIZE];
    key_agent(key, sim->dockers[host]->host);
    struct redis_doc *doc = redis_get(key);
    if (!doc || doc->kind != DOC_REGISTRATION || doc->serial == agent->document) {
        return;
    }
    agent->document = doc->serial;
    struct registration *registration = &doc->registration;
    doc->refs++;
    if (!decider_observe_unchanged(node->decider, registration->host, registration->agent,
                                   registration->change, PATH_REDIS, (struct mono){sim->now})) {
        controller_reads_registration(node, doc, PATH_REDIS);
        leader_lease_heard(node->lease, registration->epoch, REDIS_WORD_UNKNOWN);
    }
    agent->is_known = true;
    agent->registered_at = sim->now;
    redis_doc_drop(doc);
}

static void take_hosts(struct controller_node *node)
{
    for (int host = 0; host < sim->plan->hosts; host++) {
        if (node->agents[host].is_wanted) {
            node->agents[host].is_wanted = false;
            controller_reads_host(node, host);
        }
    }
}

struct reading {
    struct controller_node *node;
    size_t count;
    struct wanted *wanted;
};

static void tell_finding(struct controller_node *node, const char *container, enum key_finding finding)
{
    bool is_rubbish = finding == KEY_INVALID;
    uint64_t before = is_rubbish ? sum_of_others(node, container) : 0;
    decider_key_read(node->decider, container, finding, (struct mono){sim->now}, controller_node_wall(node));
    if (is_rubbish) {
        INV(23, sum_of_others(node, container) == before, "rubbish under the key of %s moved others",
            container);
    }
}

/* One answer: the marker, registrations and keys of the same moment. */
static void on_read(void *arg, const struct redis_reply *reply)
{
    struct reading *reading = arg;
    struct controller_node *node = reading->node;
    bool is_whole = redis_reply_type(reply) == REDIS_REPLY_LIST &&
                    redis_session_has_marker(node->session, redis_reply_at(reply, 0));
    if (is_whole) {
        take_hosts(node);
    }
    for (size_t i = 0; i < reading->count; i++) {
        enum key_finding finding = is_whole ? take_key(node, &reading->wanted[i]) : KEY_UNREADABLE;
        tell_finding(node, reading->wanted[i].container, finding);
    }
    free(reading->wanted);
    free(reading);
    controller_node_perform(node);
}

static bool send_read(struct controller_node *node)
{
    struct reading *reading = memory_alloc(sizeof *reading);
    *reading = (struct reading){node, node->wanted_count, NULL};
    reading->wanted = memory_alloc((node->wanted_count + 1) * sizeof *reading->wanted);
    memcpy(reading->wanted, node->wanted, node->wanted_count * sizeof *reading->wanted);
    const char *argv[] = {"MGET", KEY_MARKER};
    if (redis_session_is_ready(node->session) &&
        redis_session_command(node->session, on_read, reading, 2, argv, NULL) == 0) {
        node->wanted_count = 0;
        return true;
    }
    free(reading->wanted);
    free(reading);
    return false;
}

static bool has_wanted_host(const struct controller_node *node)
{
    for (int host = 0; host < sim->plan->hosts; host++) {
        if (node->agents[host].is_wanted) {
            return true;
        }
    }
    return false;
}

bool controller_reads_flush(struct controller_node *node)
{
    hold_watch_flush(node->holds);
    if (node->wanted_count == 0 && !has_wanted_host(node)) {
        return false;
    }
    if (send_read(node)) {
        return false;
    }
    size_t count = node->wanted_count;
    struct wanted *wanted = memory_alloc((count + 1) * sizeof *wanted);
    memcpy(wanted, node->wanted, count * sizeof *wanted);
    node->wanted_count = 0;
    for (size_t i = 0; i < count; i++) {
        decider_key_read(node->decider, wanted[i].container, KEY_UNREADABLE, (struct mono){sim->now},
                         controller_node_wall(node));
    }
    free(wanted);
    return count > 0;
}

void controller_reads_check(void *arg)
{
    struct controller_node *node = arg;
    if (!redis_session_is_ready(node->session)) {
        return;
    }
    for (int host = 0; host < sim->plan->hosts; host++) {
        node->agents[host].is_wanted |= node->agents[host].is_known;
    }
    /* hold_watch asks for the holds of all that are not UP, and those in force. */
    struct alert_totals totals;
    decider_totals(node->decider, (struct mono){sim->now}, &totals);
    bool is_busy = totals.healthy + totals.degraded < (int64_t)decider_count(node->decider);
    if (is_busy || redis_hold_count() > 0 || sim->now - sim->released_any_at < 60000) {
        hold_watch_want_all(node->holds);
    }
    controller_reads_flush(node);
}

void controller_node_message(struct process *process, struct redis_doc *doc)
{
    for (int i = 0; i < NODES_MAX; i++) {
        struct controller_node *node = controller_node_of(i);
        if (node->runs && &node->process == process) {
            controller_reads_observe(node, &doc->beat);
            controller_node_perform(node);
        }
    }
}
