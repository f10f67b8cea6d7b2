/*
 * A controller: its own decider, redis_session, restart_store, hold_watch and leader_epoch; played here are
 * what controller.c wires, and agent_link, heartbeat_consumer and fleet_loader, step by step as they do it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/redis_link.h"
#include "common/redis_url.h"
#include "controller/core/decider.h"
#include "controller/decider_port.h"
#include "controller/hold_watch.h"
#include "controller/leader_epoch.h"
#include "controller/redis_session.h"
#include "controller/restart_store.h"
#include "controller/warning_limiter.h"
#include "proto/envelope.h"
#include "proto/keys.h"
#include "tests/sim/sim.h"

enum { PING_MAX_MS = 15000, ASK_MAX_MS = 1000, WATCH_MAX_MS = 1000, STEP_MS = 250 };
enum { QUERY_TIMEOUT_MS = 5000, INVENTORY_TIMEOUT_MS = 10000, LOAD_MS = 20 };
enum { CALLS_MAX = 256, WANTED_MAX = 1024, KEYS_MAX = 8192 };

struct node_agent {
    bool is_known, wants_inventory;
    uint64_t pinging, asking; /* tokens; 0: none */
    int64_t ping_at, ask_at, registered_at, ping_until, ask_until;
    uint64_t change;
    /* the consumer's */
    bool is_wanted;
    uint64_t document;
};

struct call {
    uint64_t token;
    int host;
    struct command_id id;
    enum command_op op;
    struct event *timeout;
    struct controller_node *node;
};

struct wanted {
    char container[NAME_BYTES], key[KEY_SIZE];
};

struct controller_node {
    int index;
    struct process process;
    struct disk *disk;
    char dir[32], name[24];
    bool runs, is_performing, is_watching, is_amnesic, has_told;
    struct loop *loop;
    struct policy_config config;
    struct decider *decider, *shadow;
    struct decider_port port;
    struct warning_limiter *warnings;
    struct redis_session *session;
    struct leader_epoch *epoch;
    struct hold_watch *holds;
    struct restart_store *store;
    struct loop_timer *tick, *step, *check, *load;
    int64_t tick_at;
    struct node_agent agents[HOSTS_MAX];
    struct call calls[CALLS_MAX];
    uint64_t next_token;
    struct wanted wanted[WANTED_MAX];
    size_t wanted_count;
    bool is_redis_away;
};

static struct controller_node nodes[NODES_MAX];

static void perform_all(void *arg);

static struct wall wall_of(const struct controller_node *node)
{
    return sim_wall(*node->process.wall_offset_ms);
}

static struct mono now(void)
{
    return (struct mono){sim->now};
}

/* ---- the consumer ---- */

static void want_host(struct controller_node *node, const char *host)
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

static bool is_news(struct controller_node *node, const struct heartbeat *beat)
{
    struct decider_view view;
    if (beat->container[0] == '\0') {
        return false;
    }
    bool is_down = beat->state != CONTAINER_RUNNING && beat->state != CONTAINER_UNKNOWN;
    return is_down || !decider_look(node->decider, beat->container, &view) ||
           (beat->container_id[0] != '\0' && strcmp(view.container_id, beat->container_id) != 0);
}

static void observe(struct controller_node *node, const struct heartbeat *beat)
{
    struct heartbeat decoded;
    bool is_text = sim->plan->is_json && through_json_beat(beat, &decoded);
    const struct heartbeat *told = is_text ? &decoded : beat;
    if (told->host[0] != '\0' && is_news(node, told)) {
        want_host(node, told->host);
    }
    check_told(told->last_command, told->last_command_code);
    decider_observe_beat(node->decider, told, now(), wall_of(node));
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
        observe(node, &doc->beat);
        redis_doc_drop(doc);
        return KEY_PRESENT;
    }
    struct heartbeat beat;
    struct err err;
    uint64_t before = sum_of_others(node, wanted->container);
    bool is_beat = doc->kind == DOC_TEXT && heartbeat_decode(doc->text, doc->len, &beat, &err) == 0;
    if (is_beat) {
        heartbeat_fini(&beat); /* not of this key: as decode_at refuses it */
    }
    inv(23, sum_of_others(node, wanted->container) == before, "rubbish under %s moved others", wanted->key);
    return KEY_INVALID;
}

static void whole_registration(struct controller_node *node, struct redis_doc *doc, enum path path)
{
    struct registration *registration = &doc->registration;
    for (size_t i = 0; i < registration->count; i++) {
        struct heartbeat *beat = &registration->entries[i].beat;
        beat->seq = doc->beat_seq;
        check_told(beat->last_command, beat->last_command_code);
    }
    struct registration decoded;
    if (sim->plan->is_json) {
        size_t len, bad = 0;
        cleanup_free char *text = registration_encode(registration, &len);
        if (registration_decode(text, len, &decoded, &bad, NULL) == 0) {
            decider_observe_registration(node->decider, &decoded, path, now(), wall_of(node));
            registration_fini(&decoded);
        }
        return;
    }
    decider_observe_registration(node->decider, registration, path, now(), wall_of(node));
}

static void take_registration(struct controller_node *node, int host)
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
                                   registration->change, PATH_REDIS, now())) {
        whole_registration(node, doc, PATH_REDIS);
        leader_epoch_heard(node->epoch, registration->epoch);
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
            take_registration(node, host);
        }
    }
}

struct reading {
    struct controller_node *node;
    size_t count;
    struct wanted *wanted;
};

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
        decider_key_read(node->decider, reading->wanted[i].container, finding, now(), wall_of(node));
    }
    free(reading->wanted);
    free(reading);
    perform_all(node);
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

static bool flush_reads(struct controller_node *node)
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
        decider_key_read(node->decider, wanted[i].container, KEY_UNREADABLE, now(), wall_of(node));
    }
    free(wanted);
    return count > 0;
}

static void on_check(void *arg)
{
    struct controller_node *node = arg;
    if (!redis_session_is_ready(node->session)) {
        return;
    }
    for (int host = 0; host < sim->plan->hosts; host++) {
        node->agents[host].is_wanted |= node->agents[host].is_known;
    }
    /* hold_watch asks for the holds of all that are not UP, and those in force. */
    const char *some[1];
    struct alert_totals totals;
    decider_totals(node->decider, now(), &totals);
    bool is_busy = totals.healthy + totals.degraded < (int64_t)decider_count(node->decider);
    if (is_busy || redis_keys(KEY_HOLD_PREFIX, some, 1) > 0 || sim->now - sim->released_any_at < 60000) {
        hold_watch_want_all(node->holds);
    }
    flush_reads(node);
}

void controller_node_message(struct process *process, struct redis_doc *doc)
{
    for (int i = 0; i < NODES_MAX; i++) {
        struct controller_node *node = &nodes[i];
        if (node->runs && &node->process == process) {
            observe(node, &doc->beat);
            perform_all(node);
        }
    }
}

/* ---- agents ---- */

static struct call *call_of(struct controller_node *node, uint64_t token)
{
    for (size_t i = 0; i < CALLS_MAX; i++) {
        if (node->calls[i].token == token) {
            return &node->calls[i];
        }
    }
    return NULL;
}

struct arriving {
    int host;
    struct rpc_query query;
};

static void arriving_drop(void *arg)
{
    free(((struct arriving *)arg)->query.bytes);
    free(arg);
}

static void *arriving_copy(const void *arg)
{
    const struct arriving *arriving = arg;
    struct arriving *copy = memory_alloc(sizeof *copy);
    *copy = *arriving;
    if (arriving->query.bytes) {
        copy->query.bytes = memory_alloc(arriving->query.len + 1);
        memcpy(copy->query.bytes, arriving->query.bytes, arriving->query.len);
    }
    return copy;
}

static void on_arrived(void *arg)
{
    struct arriving *arriving = arg;
    agent_node_query(arriving->host, &arriving->query);
    arriving_drop(arg);
}

static void on_call_timeout(void *arg)
{
    struct call *call = arg;
    struct controller_node *node = call->node;
    call->timeout = NULL;
    struct call copy = *call;
    call->token = 0;
    struct node_agent *agent = &node->agents[copy.host];
    if (copy.op == OP_PING) {
        agent->pinging = 0;
    } else if (copy.op == OP_INVENTORY) {
        agent->asking = 0;
    } else {
        decider_answered(node->decider, &copy.id, -ETIMEDOUT, NULL, now(), wall_of(node));
        perform_all(node);
    }
}

/* The token, or 0: nobody can be asked. */
static uint64_t send_query(struct controller_node *node, int host, struct rpc_query *query,
                           int64_t timeout_ms)
{
    struct call *call = call_of(node, 0);
    if (!call || !process_effect(&node->process)) {
        free(query->bytes);
        return 0;
    }
    query->controller = node->index;
    query->token = ((uint64_t)node->index << 56) | (++node->next_token & 0xffffffffffff) |
                   ((node->process.life & 0xff) << 48);
    *call = (struct call){query->token, host, query->id, query->op, NULL, node};
    call->timeout = sim_at(sim->now + timeout_ms, &node->process, on_call_timeout, NULL, call);
    struct arriving *arriving = memory_alloc(sizeof *arriving);
    *arriving = (struct arriving){host, *query};
    uint64_t token = query->token;
    net_send(node->index, host, agent_node_process(host), on_arrived, arriving_drop, arriving_copy, arriving);
    return token;
}

static bool is_only_path(const struct controller_node *node, const struct node_agent *agent)
{
    int64_t silence_ms = 2 * sim->plan->beat_interval_ms + node->config.check_interval_ms;
    return node->is_redis_away || agent->registered_at == 0 || sim->now - agent->registered_at > silence_ms;
}

static int64_t ping_ms(const struct controller_node *node)
{
    int64_t most =
        node->config.check_interval_ms < PING_MAX_MS ? node->config.check_interval_ms : PING_MAX_MS;
    return node->config.agent_lost_ms / 3 < most ? node->config.agent_lost_ms / 3 : most;
}

static void send_due(struct controller_node *node, int host)
{
    struct node_agent *agent = &node->agents[host];
    int64_t ask_ms = node->config.fast_check_ms > 0 ? node->config.fast_check_ms : ASK_MAX_MS;
    bool is_ask_due = agent->wants_inventory || (is_only_path(node, agent) && sim->now >= agent->ask_at);
    if (is_ask_due && !agent->asking) {
        agent->ask_at = sim->now + ask_ms;
        struct rpc_query query = {.op = OP_INVENTORY,
                                  .epoch = leader_epoch_now(node->epoch),
                                  .if_change = agent->wants_inventory ? 0 : agent->change};
        agent->asking = send_query(node, host, &query, INVENTORY_TIMEOUT_MS);
        if (agent->asking) {
            agent->ping_at = sim->now + ping_ms(node);
        }
    }
    if (sim->now >= agent->ping_at && !agent->pinging && !agent->asking) {
        agent->ping_at = sim->now + ping_ms(node);
        struct rpc_query query = {.op = OP_PING, .epoch = leader_epoch_now(node->epoch)};
        agent->pinging = send_query(node, host, &query, QUERY_TIMEOUT_MS);
    }
}

/* As often as agent_link looks, but asleep while nothing can be due. */
static void on_step(void *arg)
{
    struct controller_node *node = arg;
    int64_t next = INT64_MAX;
    for (int host = 0; host < sim->plan->hosts; host++) {
        struct node_agent *agent = &node->agents[host];
        if (!agent->is_known) {
            continue;
        }
        send_due(node, host);
        int64_t at = agent->ping_at;
        if (is_only_path(node, agent) || agent->wants_inventory) {
            at = agent->ask_at < at ? agent->ask_at : at;
        } else {
            int64_t silent =
                agent->registered_at + 2 * sim->plan->beat_interval_ms + node->config.check_interval_ms;
            at = silent < at ? silent + 1 : at;
        }
        next = at < next ? at : next;
    }
    int64_t wait = next == INT64_MAX ? STEP_MS : next - sim->now;
    loop_timer_start(node->step, wait < STEP_MS ? STEP_MS : wait, 0);
}

static void step_soon(struct controller_node *node)
{
    loop_timer_start(node->step, 1, 0);
}

static void take_inventory(struct controller_node *node, int host, const struct rpc_answer *answer)
{
    struct node_agent *agent = &node->agents[host];
    if (!answer->doc) {
        agent->wants_inventory = !decider_observe_unchanged(node->decider, sim->dockers[host]->host,
                                                            answer->agent, answer->change, PATH_RPC, now());
        return;
    }
    agent->wants_inventory = false;
    struct registration *registration = &answer->doc->registration;
    agent->change = registration->change;
    whole_registration(node, answer->doc, PATH_RPC);
}

static void take_command(struct controller_node *node, const struct call *call,
                         const struct rpc_answer *answer)
{
    const uint8_t *body;
    size_t len;
    struct answer decoded;
    answer_init(&decoded);
    int status = envelope_open(sim_keys(), ENVELOPE_ANSWER, sim->dockers[call->host]->host, answer->bytes,
                               answer->len, &body, &len, NULL);
    if (status == 0) {
        status = answer_decode(body, len, &decoded, NULL);
    }
    if (status == 0 && memcmp(&decoded.id, &call->id, sizeof call->id) != 0) {
        status = -EBADMSG;
    }
    if (status == 0) {
        leader_epoch_heard(node->epoch, decoded.epoch);
        sim_say("answer %s of %s: %s", answer_code_name(decoded.code), sim->dockers[call->host]->host,
                decoded.detail);
        bool is_over = decoded.code != ANSWER_ACCEPTED;
        bool is_nothing = answer_code_changed_nothing(decoded.code) || decoded.code == ANSWER_UNKNOWN_ID;
        if (is_over) {
            check_completed(node->index, &call->id, is_nothing);
        }
    }
    decider_answered(node->decider, &call->id, status, status == 0 ? &decoded : NULL, now(), wall_of(node));
    answer_fini(&decoded);
}

void controller_node_take(int controller, struct rpc_answer *answer)
{
    struct controller_node *node = &nodes[controller];
    struct call *found = node->runs ? call_of(node, answer->token) : NULL;
    if (found && answer->token) {
        struct call call = *found;
        sim_cancel(found->timeout);
        *found = (struct call){0};
        struct node_agent *agent = &node->agents[call.host];
        if (call.op == OP_PING || call.op == OP_INVENTORY) {
            *(call.op == OP_PING ? &agent->pinging : &agent->asking) = 0;
            leader_epoch_heard(node->epoch, answer->epoch);
            if (answer->is_ok && call.op == OP_PING) {
                agent->wants_inventory |=
                    !decider_observe_unchanged(node->decider, sim->dockers[call.host]->host, answer->agent,
                                               answer->change, PATH_RPC, now());
            } else if (answer->is_ok) {
                take_inventory(node, call.host, answer);
            }
            send_due(node, call.host);
            if (agent->wants_inventory || is_only_path(node, agent)) {
                step_soon(node);
            }
        } else {
            take_command(node, &call, answer);
        }
        perform_all(node);
    }
    redis_doc_drop(answer->doc);
    free(answer->bytes);
    free(answer);
}

static int host_index(const char *host)
{
    int index = -1;
    return sscanf(host, "host-%d", &index) == 1 && index >= 0 && index < sim->plan->hosts ? index : -1;
}

static void send_command(struct controller_node *node, const struct action *action)
{
    struct command command = *action->command;
    int host = host_index(action->host);
    int status = -ENOTCONN;
    if (host >= 0 && node->agents[host].is_known) {
        size_t len;
        cleanup_free uint8_t *body = command_encode(&command, &len);
        struct rpc_query query = {.op = command.op, .id = command.id, .command = command};
        query.bytes = envelope_seal(sim_keys(), ENVELOPE_REQUEST, action->host, body, len, &query.len);
        status = send_query(node, host, &query, action->timeout_ms) ? 0 : -ENOBUFS;
    }
    if (status != 0) {
        decider_answered(node->decider, &command.id, status, NULL, now(), wall_of(node));
    }
}

/* ---- what the decider wants done ---- */

static void mix(uint64_t value)
{
    sim->trace = (sim->trace ^ value) * 0x100000001b3u;
}

static void mix_text(const char *text)
{
    for (; *text; text++) {
        mix((unsigned char)*text);
    }
}

static void want_key(struct controller_node *node, const struct action *action)
{
    if (node->wanted_count < WANTED_MAX) {
        struct wanted *wanted = &node->wanted[node->wanted_count++];
        memory_set_text(wanted->container, sizeof wanted->container, action->container);
        key_heartbeat(wanted->key, action->service, action->instance);
    }
    want_host(node, action->host);
    hold_watch_want(node->holds, action->container, action->service, action->host);
}

static void perform(struct controller_node *node, const struct action *action)
{
    mix(action->kind);
    mix((uint64_t)sim->now);
    switch (action->kind) {
    case ACTION_READ_KEY:
        want_key(node, action);
        break;
    case ACTION_LOG:
        mix_text(action->text);
        sim_say("%s: %s", node->name, action->text);
        break;
    case ACTION_STORE:
        check_count(action->container, action->state->attempt_count, false);
        hold_watch_want(node->holds, action->container, action->service, action->host);
        hold_watch_flush(node->holds);
        restart_store_save(node->store, action->container, action->token, action->state);
        break;
    case ACTION_FORGET:
        check_count(action->container, 0, true);
        restart_store_forget(node->store, action->container);
        break;
    case ACTION_SEND:
        check_send(node->index, action->command);
        send_command(node, action);
        break;
    case ACTION_ASK:
        send_command(node, action);
        break;
    case ACTION_ALERT:
        check_alert(node->index, action->alert);
        break;
    case ACTION_RECORD:
        mix_text(action->record->reason);
        if (strcmp(action->record->kind, "transition") == 0) {
            sim_say("%s: %s %s -> %s on %s (%s)", node->name, action->container, action->record->from,
                    action->record->to, action->record->event, action->record->reason);
        } else {
            sim_say("%s: %s decision %s: %s %s %s", node->name, action->container, action->record->action,
                    action->record->reason, action->record->gate, action->record->detail);
        }
        break;
    }
}

static void on_tick(void *arg)
{
    struct controller_node *node = arg;
    node->tick_at = INT64_MAX;
    decider_tick(node->decider, now(), wall_of(node));
    perform_all(node);
}

static void arm_tick(struct controller_node *node)
{
    if (!node->is_watching) {
        return;
    }
    int64_t wake = decider_wake_at(node->decider).ms;
    if (wake == node->tick_at) {
        return;
    }
    node->tick_at = wake;
    if (wake == INT64_MAX) {
        loop_timer_stop(node->tick);
    } else {
        loop_timer_start(node->tick, wake - sim->now < 1 ? 1 : wake - sim->now, 0);
    }
}

static void perform_all(void *arg)
{
    struct controller_node *node = arg;
    if (node->is_performing) {
        return;
    }
    node->is_performing = true;
    do {
        const struct action *action;
        while ((action = decider_next_action(node->decider)) != NULL) {
            perform(node, action);
        }
    } while (flush_reads(node));
    node->is_performing = false;
    arm_tick(node);
}

/* ---- Redis comes and goes ---- */

static void on_away(void *arg, const char *reason)
{
    struct controller_node *node = arg;
    sim_say("%s: Redis is away: %s", node->name, reason);
    loop_timer_stop(node->load);
    decider_redis(node->decider, REDIS_AWAY, now(), wall_of(node));
    node->is_redis_away = true;
    step_soon(node);
    node->is_watching = true;
    node->tick_at = INT64_MAX;
    perform_all(node);
}

static void on_writable(void *arg, bool is_amnesic)
{
    struct controller_node *node = arg;
    node->is_amnesic = is_amnesic;
    restart_store_load_begin(node->store, is_amnesic);
    loop_timer_start(node->load, LOAD_MS, 0);
}

static void load_beats(struct controller_node *node, const char **keys, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct redis_doc *doc = redis_get(keys[i]);
        if (doc && doc->kind == DOC_BEAT) {
            doc->refs++;
            observe(node, &doc->beat);
            redis_doc_drop(doc);
        }
    }
}

static void load_texts(struct controller_node *node, const char *prefix, const char **keys, size_t count,
                       bool is_hold)
{
    for (size_t i = 0; i < count; i++) {
        struct redis_doc *doc = redis_get(keys[i]);
        if (doc && doc->kind == DOC_TEXT && is_hold) {
            hold_watch_take(node->holds, keys[i], strlen(keys[i]), doc->text, doc->len);
        } else if (doc && doc->kind == DOC_TEXT) {
            restart_store_load_value(node->store, keys[i] + strlen(prefix), doc->text, doc->len);
        }
    }
}

static void on_marker_for_load(void *arg, const struct redis_reply *reply)
{
    struct controller_node *node = arg;
    if (redis_reply_type(reply) != REDIS_REPLY_LIST || !redis_session_is_writable(node->session)) {
        return;
    }
    static const char *keys[KEYS_MAX];
    for (int host = 0; host < sim->plan->hosts; host++) {
        take_registration(node, host);
    }
    load_beats(node, keys, redis_keys(KEY_HEARTBEAT_PREFIX, keys, KEYS_MAX));
    load_texts(node, KEY_HOLD_PREFIX, keys, redis_keys(KEY_HOLD_PREFIX, keys, KEYS_MAX), true);
    load_texts(node, KEY_RESTART_PREFIX, keys, redis_keys(KEY_RESTART_PREFIX, keys, KEYS_MAX), false);
    restart_store_load_end(node->store);
    redis_session_commit(node->session);
    decider_redis(node->decider, node->is_amnesic ? REDIS_BACK_AMNESIC : REDIS_BACK, now(), wall_of(node));
    sim_say("%s: Redis is there%s", node->name, node->is_amnesic ? ", amnesic" : "");
    node->is_redis_away = false;
    step_soon(node);
    leader_epoch_redis_back(node->epoch);
    hold_watch_want_all(node->holds);
    node->is_watching = true;
    node->tick_at = INT64_MAX;
    perform_all(node);
}

static void on_load(void *arg)
{
    struct controller_node *node = arg;
    const char *argv[] = {"MGET", KEY_MARKER};
    redis_session_command(node->session, on_marker_for_load, node, 2, argv, NULL);
}

static void on_session_message(void *arg, const char *payload, size_t len)
{
    (void)arg;
    (void)payload;
    (void)len;
}

/* ---- life ---- */

static void node_end(void *arg)
{
    controller_node_stop(((struct controller_node *)arg)->index);
}

static void open_parts(struct controller_node *node)
{
    static const struct redis_url url;
    struct redis_session_options session = {.url = &url,
                                            .client_name = node->name,
                                            .state_dir = node->dir,
                                            .on_writable = on_writable,
                                            .on_away = on_away,
                                            .on_message = on_session_message,
                                            .arg = node};
    node->session = redis_session_open(node->loop, &session);
    int64_t watch_ms =
        node->config.check_interval_ms < WATCH_MAX_MS ? node->config.check_interval_ms : WATCH_MAX_MS;
    struct restart_store_options store = {.port = node->port,
                                          .session = node->session,
                                          .warnings = node->warnings,
                                          .state_dir = node->dir,
                                          .cooldown_ms = node->config.cooldown_ms,
                                          .watch_ms = watch_ms};
    struct err err;
    if (restart_store_open(&store, &node->store, &err) != 0) {
        abort();
    }
    node->epoch = leader_epoch_open(node->dir, &node->port, node->session);
    node->holds = hold_watch_new(&node->port, node->session, node->warnings);
}

void controller_node_start(int controller)
{
    struct controller_node *node = &nodes[controller];
    if (node->runs) {
        return;
    }
    uint64_t life = node->process.life + 1;
    struct disk *disk = node->disk;
    uint64_t token = node->next_token;
    bool was_known[HOSTS_MAX];
    for (int i = 0; i < HOSTS_MAX; i++) {
        was_known[i] = node->agents[i].is_known; /* agent_book */
    }
    memset(node, 0, sizeof *node);
    node->index = controller;
    node->next_token = token;
    snprintf(node->dir, sizeof node->dir, "controller-%d", controller);
    snprintf(node->name, sizeof node->name, "controller %d", controller);
    node->disk = disk ? disk : disk_new(node->dir);
    node->process = (struct process){.name = node->name,
                                     .life = life,
                                     .wall_offset_ms = &sim->controller_wall_offset[controller],
                                     .on_death = node_end,
                                     .arg = node};
    disk_use(node->disk, &node->process);
    sim->current = &node->process;
    node->loop = fake_loop_new(&node->process);
    node->config = sim->policy;
    node->tick_at = INT64_MAX;
    node->is_redis_away = true;
    uint64_t seed[2] = {dice_next(&sim->dice), dice_next(&sim->dice)};
    node->decider = decider_new(&node->config, seed, now());
    node->port = (struct decider_port){node->decider, node->loop, perform_all, node};
    node->is_performing = true;
    node->warnings = warning_limiter_new(node->config.alert_repeat_ms);
    node->tick = loop_timer_new(node->loop, on_tick, node);
    node->step = loop_timer_new(node->loop, on_step, node);
    node->check = loop_timer_new(node->loop, on_check, node);
    node->load = loop_timer_new(node->loop, on_load, node);
    open_parts(node);
    for (int i = 0; i < HOSTS_MAX; i++) {
        node->agents[i].is_known = was_known[i] || i < sim->plan->hosts; /* DEFIB_AGENTS names them */
        node->agents[i].ping_at = node->agents[i].ask_at = sim->now;
    }
    loop_timer_start(node->step, 1, 0);
    loop_timer_start(node->check, node->config.check_interval_ms, node->config.check_interval_ms);
    node->runs = true;
    restart_store_recall(node->store);
    node->is_performing = false;
    perform_all(node);
    sim->current = NULL;
    sim->controller_started_at = sim->now;
    sim_say("%s starts", node->name);
}

void controller_node_stop(int controller)
{
    struct controller_node *node = &nodes[controller];
    if (!node->runs) {
        return;
    }
    sim_say("%s is gone", node->name);
    node->runs = false;
    node->process.is_dead = true;
    node->process.life++;
    node->is_performing = true;
    for (size_t i = 0; i < CALLS_MAX; i++) {
        sim_cancel(node->calls[i].timeout);
        node->calls[i] = (struct call){0};
    }
    redis_session_close(node->session);
    hold_watch_free(node->holds);
    leader_epoch_close(node->epoch);
    restart_store_close(node->store);
    warning_limiter_free(node->warnings);
    decider_free(node->decider);
    fake_loop_free(node->loop);
    node->decider = NULL;
    disk_use(node->disk, NULL);
}

void controller_node_free(int controller)
{
    controller_node_stop(controller);
    if (nodes[controller].disk) {
        disk_free(nodes[controller].disk);
    }
    uint64_t life = nodes[controller].process.life;
    memset(&nodes[controller], 0, sizeof nodes[controller]);
    nodes[controller].process.life = life;
}

bool controller_node_runs(int controller)
{
    return nodes[controller].runs;
}

struct process *controller_node_process(int controller)
{
    return &nodes[controller].process;
}

struct decider *controller_node_decider(int controller)
{
    return nodes[controller].runs ? nodes[controller].decider : NULL;
}

struct disk *controller_node_disk(int controller)
{
    return nodes[controller].disk;
}
