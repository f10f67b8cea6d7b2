/*
 * One Redis as its clients meet it, and common/redis_link played over it. Plain commands run when they arrive
 * and answer when the answer arrives; beats and registrations are handed over as they are (sim.h).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "common/memory.h"
#include "common/redis_link.h"
#include "proto/heartbeat.h"
#include "proto/keys.h"
#include "tests/sim/sim.h"

enum { COMMAND_TIMEOUT_MS = 3000, PING_MS = 5000, RETRY_MIN_MS = 100, RETRY_MAX_MS = 5000, CUTS_MAX = 16 };

struct key {
    char *name;
    struct redis_doc *doc;
    int64_t expire_at;         /* 0: never */
    struct redis_lease *lease; /* NULL: none; else that tells when it expires */
    UT_hash_handle hh;
};

static struct server {
    struct key *keys;
    struct key *replica; /* what it had at the last snapshot */
    bool is_up, is_hanging, is_readonly;
    int64_t loading_until, latency_ms;
    struct pending **waiting; /* what arrived while it hangs, in order */
    size_t waiting_count;
    char run_id[24];
    uint64_t life, next_serial, evicted;
    size_t holds; /* keys of holds */
    struct dice dice;
    const struct process *cuts[CUTS_MAX];
    struct redis_link *links;
} server;

int64_t redis_disturbed_at, redis_lost_at;

struct redis_reply {
    enum redis_reply_type type;
    char *text;
    size_t len;
    int64_t number;
    struct redis_reply *items;
    size_t count;
};

/* One command: held by its link until it is answered or given up, and by the wire until it ran or was lost.
 */
struct pending {
    int refs;
    struct redis_link *link; /* NULL: nobody waits any more */
    struct process *process;
    redis_link_callback on_reply;
    void *arg;
    uint64_t server_life;
    int64_t times_out_at;
    struct redis_reply reply;
    struct pending *next, *previous;
    int argc;
    char *argv[]; /* and behind it what they point to */
};

struct redis_link {
    struct process *process;
    struct redis_link_options options;
    bool is_up, is_first_told;
    uint64_t server_life;
    int64_t up_since, retry_ms, arrives_at, replies_at;
    char run_id[24];
    struct event *connect, *watch;
    struct event *timeout;          /* not after that of `pending` */
    struct pending *pending, *last; /* in the order in which they were sent */
    struct redis_link *next;
};

/* ---- documents ---- */

struct redis_doc *redis_doc_new(enum doc_kind kind)
{
    struct redis_doc *doc =
        memory_alloc(kind == DOC_TEXT ? offsetof(struct redis_doc, beat) : sizeof(struct redis_doc));
    doc->refs = 1;
    doc->kind = kind;
    doc->serial = ++server.next_serial;
    return doc;
}

struct redis_doc *redis_doc_text(const char *bytes, size_t len)
{
    struct redis_doc *doc = redis_doc_new(DOC_TEXT);
    doc->text = memory_alloc(len + 1);
    memcpy(doc->text, bytes, len);
    doc->len = len;
    return doc;
}

void redis_doc_drop(struct redis_doc *doc)
{
    if (!doc || --doc->refs > 0) {
        return;
    }
    free(doc->text);
    if (doc->kind == DOC_BEAT) {
        heartbeat_fini(&doc->beat);
    } else if (doc->kind == DOC_REGISTRATION) {
        registration_fini(&doc->registration);
    }
    free(doc);
}

/* ---- keys ---- */

static struct key *find(const char *name)
{
    struct key *key = NULL;
    HASH_FIND_STR(server.keys, name, key);
    return key;
}

static void end_lease(struct key *key)
{
    if (key->lease) {
        key->expire_at = key->lease->expire_at;
        key->lease->broken++;
        key->lease = NULL;
    }
}

static bool is_hold(const char *name)
{
    return strncmp(name, KEY_HOLD_PREFIX, strlen(KEY_HOLD_PREFIX)) == 0;
}

static void drop_key(struct key **table, struct key *key)
{
    end_lease(key);
    server.holds -= table == &server.keys && is_hold(key->name);
    HASH_DEL(*table, key);
    redis_doc_drop(key->doc);
    free(key->name);
    free(key);
}

static struct key *live(const char *name)
{
    struct key *key = find(name);
    int64_t expire_at = !key ? 0 : key->lease ? key->lease->expire_at : key->expire_at;
    if (expire_at != 0 && expire_at <= sim->now) {
        drop_key(&server.keys, key);
        return NULL;
    }
    return key;
}

static void clear(struct key **table)
{
    struct key *key, *next;
    HASH_ITER (hh, *table, key, next) {
        drop_key(table, key);
    }
}

static void put_into(struct key **table, const char *name, struct redis_doc *doc, int64_t expire_at)
{
    struct key *key = NULL;
    HASH_FIND_STR(*table, name, key);
    if (!key) {
        key = memory_alloc(sizeof *key);
        key->name = memory_copy_text(name);
        HASH_ADD_KEYPTR(hh, *table, key->name, strlen(key->name), key);
        server.holds += table == &server.keys && is_hold(name);
    }
    end_lease(key);
    redis_doc_drop(key->doc);
    key->doc = doc;
    key->expire_at = expire_at;
}

void redis_put(const char *key, struct redis_doc *doc, int64_t ttl_ms)
{
    put_into(&server.keys, key, doc, ttl_ms > 0 ? sim->now + ttl_ms : 0);
}

struct redis_doc *redis_get(const char *name)
{
    struct key *key = live(name);
    bool is_leased = key && key->lease && key->doc->kind == DOC_BEAT && key->doc->refs == 1;
    if (is_leased) { /* as its last beat left it; that was published, and what is read is no news */
        key->doc->beat.timestamp = key->lease->timestamp;
    }
    return key ? key->doc : NULL;
}

void redis_lease(const char *name, struct redis_lease *lease)
{
    struct key *key = live(name);
    if (key) {
        key->lease = lease;
    }
}

void redis_lease_end(const struct redis_lease *lease)
{
    for (struct key *key = server.keys; key; key = key->hh.next) {
        if (key->lease == lease) {
            end_lease(key);
        }
    }
}

size_t redis_hold_count(void)
{
    return server.holds;
}

void redis_delete(const char *name)
{
    struct key *key = find(name);
    if (key) {
        drop_key(&server.keys, key);
    }
}

void redis_touch(const char *name, int64_t ttl_ms)
{
    struct key *key = live(name);
    if (key) {
        key->expire_at = sim->now + ttl_ms;
    }
}

size_t redis_keys(const char *prefix, const char **out, size_t max)
{
    struct key *key, *next;
    size_t count = 0, len = strlen(prefix);
    HASH_ITER (hh, server.keys, key, next) {
        if (count < max && strncmp(key->name, prefix, len) == 0 && live(key->name)) {
            out[count++] = key->name;
        }
    }
    return count;
}

void redis_snapshot(void)
{
    clear(&server.replica);
    struct key *key, *next;
    HASH_ITER (hh, server.keys, key, next) {
        key->doc->refs++;
        put_into(&server.replica, key->name, key->doc, key->lease ? key->lease->expire_at : key->expire_at);
    }
}

/* ---- whom it reaches ---- */

static bool is_cut(const struct process *process)
{
    for (size_t i = 0; i < CUTS_MAX; i++) {
        if (server.cuts[i] == process) {
            return true;
        }
    }
    return false;
}

bool redis_is_linked(const struct process *process)
{
    return !is_cut(process);
}

void redis_set_linked(const struct process *process, bool is_linked)
{
    redis_disturbed_at = sim->now;
    for (size_t i = 0; i < CUTS_MAX; i++) {
        if (is_linked ? server.cuts[i] == process : server.cuts[i] == NULL) {
            server.cuts[i] = is_linked ? NULL : process;
            if (!is_linked) {
                return;
            }
        }
    }
}

bool redis_is_there(void)
{
    return server.is_up && !server.is_hanging && !server.is_readonly && server.loading_until <= sim->now &&
           server.latency_ms < COMMAND_TIMEOUT_MS;
}

bool redis_link_passes(const struct redis_link *link)
{
    return link->is_up && link->server_life == server.life && redis_is_there() && !is_cut(link->process);
}

static bool is_reachable(const struct redis_link *link)
{
    return server.is_up && !server.is_hanging && server.loading_until <= sim->now && !is_cut(link->process);
}

/* ---- links ---- */

static void reply_fini(struct redis_reply *reply)
{
    for (size_t i = 0; i < reply->count; i++) {
        reply_fini(&reply->items[i]);
    }
    free(reply->items);
    free(reply->text);
    *reply = (struct redis_reply){0};
}

static void pending_drop(void *arg)
{
    struct pending *pending = arg;
    if (--pending->refs > 0) {
        return;
    }
    reply_fini(&pending->reply);
    free(pending);
}

static void unlink_pending(struct redis_link *link, struct pending *pending)
{
    if (pending->next) {
        pending->next->previous = pending->previous;
    } else {
        link->last = pending->previous;
    }
    if (pending->previous) {
        pending->previous->next = pending->next;
    } else {
        link->pending = pending->next;
    }
    pending->link = NULL;
}

/* The link's part of it ends. */
static void answer(struct pending *pending, const struct redis_reply *reply)
{
    unlink_pending(pending->link, pending);
    if (pending->on_reply) {
        pending->on_reply(pending->arg, reply);
    }
    pending_drop(pending);
}

static void fail_pending(struct redis_link *link)
{
    while (link->pending) {
        answer(link->pending, NULL);
    }
}

static void try_connect(void *arg);

static void retry(struct redis_link *link)
{
    if (!link->connect) {
        int64_t delay_ms = dice_range(&server.dice, link->retry_ms / 2, link->retry_ms);
        link->retry_ms = link->retry_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : link->retry_ms * 2;
        link->connect = sim_at(sim->now + delay_ms, link->process, try_connect, NULL, link);
    }
}

static void go_down(struct redis_link *link, const char *reason)
{
    bool was_up = link->is_up;
    link->is_up = false;
    sim_cancel(link->watch);
    link->watch = NULL;
    fail_pending(link);
    retry(link);
    if ((was_up || !link->is_first_told) && link->options.on_down) {
        link->is_first_told = true;
        link->options.on_down(link->options.arg, reason);
    }
}

static void on_watch(void *arg)
{
    struct redis_link *link = arg;
    link->watch = NULL;
    if (!is_reachable(link) || link->server_life != server.life) {
        go_down(link, "no answer to PING");
        return;
    }
    int64_t ping_ms = link->options.ping_interval_ms ? link->options.ping_interval_ms : PING_MS;
    link->watch = sim_at(sim->now + ping_ms + COMMAND_TIMEOUT_MS, link->process, on_watch, NULL, link);
}

static void try_connect(void *arg)
{
    struct redis_link *link = arg;
    link->connect = NULL;
    if (!is_reachable(link) || server.latency_ms >= COMMAND_TIMEOUT_MS) {
        if (!link->is_first_told) {
            go_down(link, "connection refused");
        } else {
            retry(link);
        }
        return;
    }
    link->is_up = true;
    link->is_first_told = true;
    link->server_life = server.life;
    link->up_since = sim->now;
    link->retry_ms = RETRY_MIN_MS;
    memory_set_text(link->run_id, sizeof link->run_id, server.run_id);
    on_watch(link);
    link->options.on_up(link->options.arg);
}

struct redis_link *redis_link_open(struct loop *loop, const struct redis_link_options *options)
{
    struct redis_link *link = memory_alloc(sizeof *link);
    link->process = fake_loop_process(loop);
    link->options = *options;
    link->retry_ms = RETRY_MIN_MS;
    link->next = server.links;
    server.links = link;
    link->connect = sim_at(sim->now + 1, link->process, try_connect, NULL, link);
    return link;
}

void redis_link_close(struct redis_link *link)
{
    if (!link) {
        return;
    }
    fail_pending(link);
    sim_cancel(link->connect);
    sim_cancel(link->watch);
    sim_cancel(link->timeout);
    struct redis_link **place = &server.links;
    while (*place != link) {
        place = &(*place)->next;
    }
    *place = link->next;
    free(link);
}

bool redis_link_is_up(const struct redis_link *link)
{
    return link->is_up;
}

const char *redis_link_run_id(const struct redis_link *link)
{
    return link->run_id;
}

void redis_link_fail(struct redis_link *link, const char *reason)
{
    if (link->is_up) {
        go_down(link, reason);
    }
}

static void on_reset(void *arg)
{
    struct redis_link *link = NULL;
    /* Links may go and come while they are told. */
    for (link = server.links; link; link = link->next) {
        if (link == arg) {
            break;
        }
    }
    if (link && link->is_up && link->server_life != server.life) {
        go_down(link, "connection reset");
    }
}

static void reset_all(void)
{
    for (struct redis_link *link = server.links; link; link = link->next) {
        if (!is_cut(link->process)) {
            sim_at(sim->now + dice_range(&server.dice, 1, 5), link->process, on_reset, NULL, link);
        }
    }
}

/* ---- commands ---- */

static void set_failure(struct redis_reply *reply, const char *text)
{
    reply->type = REDIS_REPLY_FAILURE;
    reply->text = memory_copy_text(text);
    reply->len = strlen(text);
}

static void set_status(struct redis_reply *reply, const char *text)
{
    reply->type = REDIS_REPLY_TEXT;
    reply->text = memory_copy_text(text);
    reply->len = strlen(text);
}

static void set_value(struct redis_reply *reply, const char *key)
{
    const struct redis_doc *doc = redis_get(key);
    reply->type = doc && doc->kind == DOC_TEXT ? REDIS_REPLY_TEXT : REDIS_REPLY_NONE;
    if (reply->type == REDIS_REPLY_TEXT) {
        reply->text = memory_alloc(doc->len + 1);
        memcpy(reply->text, doc->text, doc->len);
        reply->len = doc->len;
    }
}

static void run_set(struct pending *pending)
{
    const char *key = pending->argv[1], *value = pending->argv[2];
    int64_t ttl_ms = 0;
    bool is_new_only = false;
    for (int i = 3; i < pending->argc; i++) {
        if (strcmp(pending->argv[i], "PX") == 0) {
            ttl_ms = atoll(pending->argv[++i]);
        } else {
            is_new_only |= strcmp(pending->argv[i], "NX") == 0;
        }
    }
    if (is_new_only && redis_get(key)) {
        pending->reply.type = REDIS_REPLY_NONE;
        return;
    }
    redis_put(key, redis_doc_text(value, strlen(value)), ttl_ms);
    set_status(&pending->reply, "OK");
}

static void run_mget(struct pending *pending)
{
    struct redis_reply *reply = &pending->reply;
    reply->type = REDIS_REPLY_LIST;
    reply->count = (size_t)pending->argc - 1;
    reply->items = memory_alloc(reply->count * sizeof *reply->items);
    for (size_t i = 0; i < reply->count; i++) {
        set_value(&reply->items[i], pending->argv[i + 1]);
    }
}

/* The scripts of leader_lease.c, known by their first key's use. */
static void set_list(struct redis_reply *reply, int64_t first, int64_t second, const char *text,
                     int64_t others, bool was_ours)
{
    reply->type = REDIS_REPLY_LIST;
    reply->count = 5;
    reply->items = memory_alloc(5 * sizeof *reply->items);
    reply->items[4] = (struct redis_reply){.type = REDIS_REPLY_NUMBER, .number = sim_wall(0).ms};
    reply->items[0] = (struct redis_reply){.type = REDIS_REPLY_NUMBER, .number = first};
    reply->items[1] = (struct redis_reply){.type = REDIS_REPLY_NUMBER, .number = second};
    reply->items[3] = (struct redis_reply){.type = REDIS_REPLY_NUMBER, .number = was_ours};
    if (text) {
        set_status(&reply->items[2], text);
    } else {
        reply->items[2] = (struct redis_reply){.type = REDIS_REPLY_NUMBER, .number = others};
    }
}

/* The set of controllers, as keys that expire by themselves. */
static int64_t other_controllers(const char *set, const char *id, int64_t lease_ms)
{
    char name[256];
    const char *members[NODES_MAX];
    if (sim->plan->controllers == 1) {
        return 0;
    }
    snprintf(name, sizeof name, "%.120s:%.120s", set, id);
    redis_put(name, redis_doc_text("", 0), 2 * lease_ms);
    name[strlen(set) + 1] = '\0';
    return (int64_t)redis_keys(name, members, NODES_MAX) - 1;
}

static void run_lease(struct pending *pending)
{
    char **argv = pending->argv;
    const char *token = argv[7];
    uint64_t epoch = strtoull(argv[8], NULL, 10), floor = strtoull(argv[9], NULL, 10);
    int64_t lease_ms = atoll(argv[10]);
    int64_t others = other_controllers(argv[5], argv[12], lease_ms);
    struct redis_doc *held = redis_get(argv[3]);
    bool is_ours = held && held->kind == DOC_TEXT && strstr(held->text, token);
    if (held && !is_ours) {
        set_list(&pending->reply, 0, 1000, held->text, 0, false);
        return;
    }
    if (!is_ours && strcmp(argv[11], "1") != 0) {
        set_list(&pending->reply, 0, 0, "", 0, false);
        return;
    }
    const struct redis_doc *marker = redis_get(argv[6]);
    if (!is_ours && argv[15][0] && (!marker || strcmp(marker->text, argv[15]) != 0)) {
        set_list(&pending->reply, -1, 0, marker ? marker->text : NULL, 0, false);
        return;
    }
    const struct redis_doc *doc = redis_get(argv[4]);
    uint64_t known = doc && doc->kind == DOC_TEXT ? strtoull(doc->text, NULL, 10) : 0;
    floor = known > floor ? known : floor;
    char text[512];
    if (!is_ours || epoch == 0 || epoch < floor) {
        epoch = floor + 1;
        int len = snprintf(text, sizeof text, "%llu", (unsigned long long)epoch);
        redis_put(argv[4], redis_doc_text(text, (size_t)len), 0);
    }
    int len = snprintf(text, sizeof text, "%s%llu%s", argv[13], (unsigned long long)epoch, argv[14]);
    redis_put(argv[3], redis_doc_text(text, (size_t)len), lease_ms);
    set_list(&pending->reply, 1, (int64_t)epoch, NULL, others, is_ours);
}

static void execute(struct pending *pending)
{
    const char *name = pending->argv[0];
    bool is_read = strcmp(name, "GET") == 0 || strcmp(name, "MGET") == 0 || strcmp(name, "TYPE") == 0 ||
                   strcmp(name, "INFO") == 0;
    struct redis_reply *reply = &pending->reply;
    if (!is_read && server.is_readonly) {
        set_failure(reply, "READONLY You can't write against a read only replica.");
    } else if (strcmp(name, "GET") == 0) {
        set_value(reply, pending->argv[1]);
    } else if (strcmp(name, "MGET") == 0) {
        run_mget(pending);
    } else if (strcmp(name, "SET") == 0) {
        run_set(pending);
    } else if (strcmp(name, "DEL") == 0) {
        reply->type = REDIS_REPLY_NUMBER;
        reply->number = redis_get(pending->argv[1]) != NULL;
        redis_delete(pending->argv[1]);
    } else if (strcmp(name, "INFO") == 0) {
        char text[64];
        snprintf(text, sizeof text, "# Stats\r\nevicted_keys:%llu\r\n", (unsigned long long)server.evicted);
        set_status(reply, text);
    } else if (strcmp(name, "TYPE") == 0) {
        set_status(reply, redis_get(pending->argv[1]) ? "string" : "none");
    } else if (strcmp(name, "EVAL") == 0 && pending->argc == 16) {
        run_lease(pending);
    } else {
        set_failure(reply, "ERR unknown command");
    }
}

static void on_replied(void *arg)
{
    struct pending *pending = arg;
    if (pending->link) {
        answer(pending, &pending->reply);
    }
    pending_drop(pending);
}

static void on_timeout(void *arg);

static void await(struct redis_link *link)
{
    if (link->pending && !link->timeout) {
        link->timeout = sim_at(link->pending->times_out_at, link->process, on_timeout, NULL, link);
    }
}

static void on_timeout(void *arg)
{
    struct redis_link *link = arg;
    link->timeout = NULL;
    if (link->pending && link->pending->times_out_at <= sim->now) {
        go_down(link, "a command got no answer");
    } else {
        await(link);
    }
}

static void on_arrival(void *arg);

static void wait_for_it(struct pending *pending)
{
    server.waiting = memory_grow(server.waiting, server.waiting_count + 1, sizeof *server.waiting);
    server.waiting[server.waiting_count++] = pending;
}

static void wait_no_longer(void)
{
    for (size_t i = 0; i < server.waiting_count; i++) {
        sim_at(sim->now, NULL, on_arrival, pending_drop, server.waiting[i]);
    }
    server.waiting_count = 0;
}

static void on_arrival(void *arg)
{
    struct pending *pending = arg;
    if (server.life != pending->server_life || is_cut(pending->process)) {
        pending_drop(pending);
        return;
    }
    if (server.is_hanging) {
        wait_for_it(pending);
        return;
    }
    execute(pending);
    struct redis_link *link = pending->link;
    if (!link) {
        pending_drop(pending); /* done, but nobody waits for it */
        return;
    }
    int64_t at = sim->now + 1 + server.latency_ms / 2;
    link->replies_at = at > link->replies_at ? at : link->replies_at;
    sim_at(link->replies_at, link->process, on_replied, pending_drop, pending);
}

static void send_out(struct redis_link *link, struct pending *pending)
{
    if (!process_effect(link->process)) {
        return;
    }
    int64_t at = sim->now + server.latency_ms / 2;
    link->arrives_at = at > link->arrives_at ? at : link->arrives_at;
    pending->refs++;
    sim_at(link->arrives_at, NULL, on_arrival, pending_drop, pending);
}

int redis_link_command(struct redis_link *link, redis_link_callback on_reply, void *arg, int argc,
                       const char *const *argv, const size_t *argv_len)
{
    (void)argv_len;
    if (!link->is_up) {
        return -ENOTCONN;
    }
    bool is_script = strcmp(argv[0], "EVAL") == 0; /* known by its arguments, and long */
    size_t size = sizeof(struct pending) + (size_t)argc * sizeof(char *);
    for (int i = 0; i < argc; i++) {
        size += is_script && i == 1 ? 1 : strlen(argv[i]) + 1;
    }
    struct pending *pending = memory_alloc(size);
    *pending = (struct pending){.refs = 1,
                                .link = link,
                                .process = link->process,
                                .argc = argc,
                                .on_reply = on_reply,
                                .arg = arg,
                                .server_life = link->server_life,
                                .times_out_at = sim->now + COMMAND_TIMEOUT_MS,
                                .previous = link->last};
    char *text = (char *)&pending->argv[argc];
    for (int i = 0; i < argc; i++) {
        pending->argv[i] = text;
        text = stpcpy(text, is_script && i == 1 ? "" : argv[i]) + 1;
    }
    if (link->last) {
        link->last->next = pending;
    } else {
        link->pending = pending;
    }
    link->last = pending;
    await(link);
    send_out(link, pending);
    return 0;
}

/* ---- replies ---- */

enum redis_reply_type redis_reply_type(const struct redis_reply *reply)
{
    return reply ? reply->type : REDIS_REPLY_FAILURE;
}

const char *redis_reply_text(const struct redis_reply *reply, size_t *len)
{
    bool has_text = reply && reply->text;
    if (len) {
        *len = has_text ? reply->len : 0;
    }
    return has_text ? reply->text : NULL;
}

int64_t redis_reply_number(const struct redis_reply *reply)
{
    return reply && reply->type == REDIS_REPLY_NUMBER ? reply->number : 0;
}

size_t redis_reply_count(const struct redis_reply *reply)
{
    return reply && reply->type == REDIS_REPLY_LIST ? reply->count : 0;
}

const struct redis_reply *redis_reply_at(const struct redis_reply *reply, size_t index)
{
    return index < redis_reply_count(reply) ? &reply->items[index] : NULL;
}

/* ---- beats on the channel ---- */

struct delivery {
    struct process *process;
    struct redis_doc *doc;
};

static void delivery_drop(void *arg)
{
    redis_doc_drop(((struct delivery *)arg)->doc);
    free(arg);
}

static void on_delivery(void *arg)
{
    struct delivery *delivery = arg;
    controller_node_message(delivery->process, delivery->doc);
    delivery_drop(delivery);
}

void redis_publish(struct redis_doc *doc)
{
    for (struct redis_link *link = server.links; link; link = link->next) {
        if (link->options.subscribe && redis_link_passes(link)) {
            struct delivery *delivery = memory_alloc(sizeof *delivery);
            *delivery = (struct delivery){link->process, doc};
            doc->refs++;
            sim_at(sim->now + 1 + server.latency_ms / 2, link->process, on_delivery, delivery_drop, delivery);
        }
    }
}

/* ---- what happens to it ---- */

static void new_run(void)
{
    server.life++;
    server.evicted = 0;
    snprintf(server.run_id, sizeof server.run_id, "run-%llu", (unsigned long long)server.life);
}

void redis_reset(uint64_t seed)
{
    memset(&server, 0, sizeof server);
    server.dice = dice_of(seed, 4);
    server.is_up = true;
    server.latency_ms = 1;
    redis_disturbed_at = sim->now;
    redis_lost_at = INT64_MIN / 2;
    new_run();
}

void redis_fini(void)
{
    for (size_t i = 0; i < server.waiting_count; i++) {
        pending_drop(server.waiting[i]);
    }
    free(server.waiting);
    server.waiting = NULL;
    server.waiting_count = 0;
    clear(&server.keys);
    clear(&server.replica);
}

void redis_set_up(bool is_up, bool keeps_data)
{
    redis_disturbed_at = sim->now;
    server.is_hanging = false;
    wait_no_longer(); /* those of another life are lost */
    if (!is_up) {
        server.is_up = false;
        new_run();
        reset_all();
        return;
    }
    server.is_up = true;
    server.is_readonly = false;
    server.loading_until = sim->now + dice_range(&server.dice, 0, 3000);
    if (!keeps_data) {
        redis_lost_at = sim->now;
        clear(&server.keys);
    }
}

void redis_flush(void)
{
    redis_disturbed_at = redis_lost_at = sim->now;
    clear(&server.keys);
}

void redis_evict(const char *key)
{
    redis_disturbed_at = sim->now;
    redis_delete(key);
    server.evicted++;
}

void redis_set_slow(int64_t latency_ms)
{
    redis_disturbed_at = sim->now;
    server.latency_ms = latency_ms;
}

void redis_set_hanging(bool is_hanging)
{
    redis_disturbed_at = sim->now;
    server.is_hanging = is_hanging;
    if (!is_hanging) {
        wait_no_longer();
    }
}

void redis_set_readonly(bool is_readonly)
{
    redis_disturbed_at = sim->now;
    server.is_readonly = is_readonly;
}

void redis_failover(void)
{
    redis_disturbed_at = redis_lost_at = sim->now;
    clear(&server.keys);
    server.keys = server.replica;
    server.replica = NULL;
    server.holds = 0;
    for (const struct key *key = server.keys; key; key = key->hh.next) {
        server.holds += is_hold(key->name);
    }
    server.is_readonly = false;
    new_run();
    reset_all();
}
