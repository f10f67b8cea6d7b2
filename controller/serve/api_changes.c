#include "controller/serve/api_changes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/log.h"
#include "common/memory.h"
#include "common/timestamp.h"
#include "controller/core/decider_view.h"
#include "controller/serve/api_documents.h"
#include "controller/serve/explanation.h"
#include "proto/hold.h"
#include "proto/json_reader.h"
#include "proto/json_writer.h"
#include "proto/keys.h"

enum {
    BODY_VALUES = 32,
    MESSAGE_SIZE = 512,
    ANSWER_MS = 5000,
    COMMAND_TTL_MS = 10000,
    KEPT_BEHIND_SECS = 60
};

static const int64_t HOLD_MAX_MS = (int64_t)366 * 86400000;

struct change {
    struct api_changes *owner; /* NULL: it is gone */
    struct change *previous, *next;
    struct http_exchange *exchange;
    bool is_at_redis; /* else at an agent */
    bool is_decommission;
    char kind[LIMIT_WORD_SIZE], name[LIMIT_NAME_SIZE]; /* of a hold */
    struct event_record record;
};

struct api_changes {
    struct controller *controller;
    struct controller_parts parts;
    struct event_feed *feed;
    struct change *open;
};

struct api_changes *api_changes_new(struct controller *controller, const struct controller_parts *parts,
                                    struct event_feed *feed)
{
    struct api_changes *changes = memory_alloc(sizeof *changes);
    *changes = (struct api_changes){.controller = controller, .parts = *parts, .feed = feed};
    return changes;
}

/* ---- answers ---- */

static void refuse(struct http_exchange *exchange, int status, const char *code, const char *message)
{
    size_t len;
    char *text = api_documents_error(code, message, &len);
    http_server_answer(exchange, &(struct http_answer){
                                     .status = status, .type = "application/json", .text = text, .len = len});
}

static void confirm(struct http_exchange *exchange, int status, const char *done, const char *detail)
{
    struct json_writer writer;
    size_t len;
    json_writer_init(&writer, JSON_COMPACT, 128);
    json_writer_open(&writer, NULL, '{');
    json_writer_text(&writer, "done", done);
    json_writer_text(&writer, "detail", detail);
    json_writer_close(&writer, '}');
    char *text = json_writer_take(&writer, &len);
    http_server_answer(exchange, &(struct http_answer){
                                     .status = status, .type = "application/json", .text = text, .len = len});
}

/* ---- changes under way ---- */

static struct change *open_change(struct api_changes *changes, struct http_exchange *exchange)
{
    struct change *change = memory_alloc(sizeof *change);
    change->owner = changes;
    change->exchange = exchange;
    change->next = changes->open;
    if (changes->open != NULL) {
        changes->open->previous = change;
    }
    changes->open = change;
    event_record_init(&change->record);
    memory_set_text(change->record.kind, sizeof change->record.kind, "operator");
    return change;
}

static void free_change(struct change *change)
{
    if (change->owner != NULL) {
        *(change->previous != NULL ? &change->previous->next : &change->owner->open) = change->next;
        if (change->next != NULL) {
            change->next->previous = change->previous;
        }
    }
    free(change);
}

void api_changes_free(struct api_changes *changes)
{
    if (changes == NULL) {
        return;
    }
    struct change *next;
    for (struct change *each = changes->open; each != NULL; each = next) {
        next = each->next;
        each->owner = NULL;
        refuse(each->exchange, 503, "stopping", "the controller is stopping");
        if (!each->is_at_redis) { /* Redis' callback still comes, an agent's does not */
            free(each);
        }
    }
    free(changes);
}

/* On the stream, to those who listen, and in the log. */
static void tell(struct change *change)
{
    struct api_changes *changes = change->owner;
    struct event_record *record = &change->record;
    record->timestamp = clock_wall_now();
    alert_outbox_record(changes->parts.outbox, record);
    event_feed_tell(changes->feed, &(struct action){.kind = ACTION_RECORD, .record = record});
    log_info("Operator: %s %s: %s", record->action,
             record->container[0] != '\0' ? record->container : record->reason, record->detail);
}

/* ---- reading a request ---- */

struct request {
    struct cJSON *tree;
    char by[LIMIT_NAME_SIZE], reason[LIMIT_DETAIL_SIZE];
};

static void request_cleanup(struct request *request)
{
    json_reader_cleanup(&request->tree);
}
#define cleanup_request __attribute__((cleanup(request_cleanup)))

static bool read_request(struct http_exchange *exchange, struct request *out)
{
    static const struct json_bounds bounds = {"request", HTTP_SERVER_BODY_BYTES, BODY_VALUES};
    size_t len;
    const char *body = http_server_body(exchange, &len);
    struct err err;
    *out = (struct request){.tree = NULL};
    if (json_reader_parse(body, len, &bounds, &out->tree, &err) != 0) {
        refuse(exchange, 400, "bad_request", err.text);
        return false;
    }
    if (!json_reader_text(json_reader_member(out->tree, "by"), out->by, sizeof out->by) ||
        out->by[0] == '\0') {
        refuse(exchange, 400, "bad_request", "\"by\" is missing: who does this");
        return false;
    }
    json_reader_text(json_reader_member(out->tree, "reason"), out->reason, sizeof out->reason);
    return true;
}

/* A text member that names something known. */
static bool read_known(const struct scene *scene, struct http_exchange *exchange,
                       const struct request *request, const char *kind, const char *field,
                       char out[LIMIT_NAME_SIZE])
{
    struct err err;
    char message[MESSAGE_SIZE];
    if (json_reader_name(json_reader_member(request->tree, field), field, out, LIMIT_NAME_SIZE, &err) != 0) {
        refuse(exchange, 400, "bad_request", err.text);
        return false;
    }
    if (!api_documents_is_known(scene, kind, out)) {
        snprintf(message, sizeof message, "unknown_%s", kind);
        char text[MESSAGE_SIZE];
        api_documents_unknown(scene, kind, out, text, sizeof text);
        refuse(exchange, 404, message, text);
        return false;
    }
    return true;
}

static void note_who(struct change *change, const struct request *request, const char *more)
{
    snprintf(change->record.detail, sizeof change->record.detail, "by %.80s%s%.120s%s", request->by,
             request->reason[0] == '\0' ? "" : ": ", request->reason, more);
}

static void note_target(struct change *change, const char *kind, const char *name)
{
    struct event_record *record = &change->record;
    memory_set_text(change->kind, sizeof change->kind, kind);
    memory_set_text(change->name, sizeof change->name, name);
    if (strcmp(kind, "container") == 0) {
        memory_set_text(record->container, sizeof record->container, name);
        return;
    }
    bool is_all = strcmp(kind, "all") == 0;
    memory_set_text(record->host, sizeof record->host, strcmp(kind, "host") == 0 ? name : "");
    snprintf(record->reason, sizeof record->reason, "%.20s%s%.40s", kind, is_all ? "" : " ",
             is_all ? "" : name);
}

/* ---- Redis ---- */

static void on_redis(void *arg, const struct redis_reply *reply)
{
    struct change *change = arg;
    struct api_changes *changes = change->owner;
    if (changes == NULL) {
        free(change);
        return;
    }
    if (!redis_session_took_write(changes->parts.session, reply)) {
        refuse(change->exchange, 503, "redis_away", "Redis did not take it; nothing was changed");
        free_change(change);
        return;
    }
    bool is_change = redis_reply_type(reply) != REDIS_REPLY_NUMBER || redis_reply_number(reply) > 0;
    if (change->is_decommission) {
        is_change = controller_forget_host(changes->controller, change->name);
    }
    if (is_change) {
        tell(change);
    }
    if (change->kind[0] != '\0') {
        hold_watch_look(changes->parts.holds, change->kind, change->name);
    }
    confirm(change->exchange, 200, change->record.action,
            is_change ? change->record.detail : "there was nothing to change");
    free_change(change);
}

static void send_to_redis(struct change *change, int argc, const char *const *argv)
{
    change->is_at_redis = true;
    if (redis_session_command(change->owner->parts.session, on_redis, change, argc, argv, NULL) != 0) {
        refuse(change->exchange, 503, "redis_away",
               "Redis is away, and this is kept there; nothing was changed");
        free_change(change);
    }
}

/* ---- holds ---- */

static bool is_kind(const char *kind)
{
    return strcmp(kind, "all") == 0 || strcmp(kind, "host") == 0 || strcmp(kind, "service") == 0 ||
           strcmp(kind, "container") == 0;
}

static bool read_target(const struct scene *scene, struct http_exchange *exchange,
                        const struct request *request, char kind[LIMIT_WORD_SIZE], char name[LIMIT_NAME_SIZE])
{
    if (!json_reader_text(json_reader_member(request->tree, "kind"), kind, LIMIT_WORD_SIZE) ||
        !is_kind(kind)) {
        refuse(exchange, 400, "bad_request", "\"kind\": allowed are all, host, service and container");
        return false;
    }
    if (strcmp(kind, "all") == 0) {
        memory_set_text(name, LIMIT_NAME_SIZE, "all");
        return true;
    }
    return read_known(scene, exchange, request, kind, "name", name);
}

/* A hold has an end, or says that it has none. */
static bool read_end(struct http_exchange *exchange, const struct request *request, struct wall now,
                     struct wall *out)
{
    double secs = 0;
    bool is_forever = false;
    json_reader_bool(json_reader_member(request->tree, "forever"), &is_forever);
    bool has_secs = json_reader_real(json_reader_member(request->tree, "for_secs"), &secs);
    if (has_secs == is_forever || (has_secs && (secs < 1 || secs * 1000 > (double)HOLD_MAX_MS))) {
        refuse(exchange, 400, "bad_request",
               "allowed is either \"for_secs\" from 1 to 31622400, or \"forever\": true");
        return false;
    }
    *out = is_forever ? (struct wall){0} : (struct wall){now.ms + (int64_t)(secs * 1000)};
    return true;
}

void api_changes_hold(struct api_changes *changes, const struct scene *scene, struct http_exchange *exchange)
{
    cleanup_request struct request request;
    char kind[LIMIT_WORD_SIZE], name[LIMIT_NAME_SIZE], key[KEY_SIZE];
    struct hold hold = {.since = scene->wall};
    if (!read_request(exchange, &request) || !read_target(scene, exchange, &request, kind, name) ||
        !read_end(exchange, &request, scene->wall, &hold.until)) {
        return;
    }
    memory_set_text(hold.reason, sizeof hold.reason, request.reason);
    memory_set_text(hold.by, sizeof hold.by, request.by);
    struct change *change = open_change(changes, exchange);
    char until[TIMESTAMP_SIZE], more[TIMESTAMP_SIZE + 16];
    timestamp_format(hold.until, until);
    snprintf(more, sizeof more, ", until %s", hold.until.ms == 0 ? "released" : until);
    memory_set_text(change->record.action, sizeof change->record.action, "hold");
    note_target(change, kind, name);
    note_who(change, &request, more);
    size_t len;
    cleanup_free char *value = hold_encode(&hold, &len);
    char secs[32];
    int64_t kept_secs = (hold.until.ms - scene->wall.ms) / 1000 + KEPT_BEHIND_SECS;
    snprintf(secs, sizeof secs, "%" PRId64, kept_secs);
    key_hold(key, kind, name);
    const char *argv[] = {"SET", key, value, "EX", secs};
    send_to_redis(change, hold.until.ms == 0 ? 3 : 5, argv);
}

void api_changes_release(struct api_changes *changes, const struct scene *scene,
                         struct http_exchange *exchange)
{
    (void)scene; /* what is no longer known may still be released */
    cleanup_request struct request request;
    char kind[LIMIT_WORD_SIZE] = "", name[LIMIT_NAME_SIZE] = "all", key[KEY_SIZE];
    struct err err;
    if (!read_request(exchange, &request)) {
        return;
    }
    json_reader_text(json_reader_member(request.tree, "kind"), kind, sizeof kind);
    bool is_all = strcmp(kind, "all") == 0;
    if (!is_kind(kind) || (!is_all && json_reader_name(json_reader_member(request.tree, "name"), "name", name,
                                                       sizeof name, &err) != 0)) {
        refuse(exchange, 400, "bad_request",
               "\"kind\" and \"name\": allowed are all, or host, service and container with a name");
        return;
    }
    struct change *change = open_change(changes, exchange);
    memory_set_text(change->record.action, sizeof change->record.action, "release");
    note_target(change, kind, name);
    note_who(change, &request, "");
    key_hold(key, kind, name);
    const char *argv[] = {"DEL", key};
    send_to_redis(change, 2, argv);
}

/* ---- resets ---- */

void api_changes_reset(struct api_changes *changes, const struct scene *scene, struct http_exchange *exchange)
{
    cleanup_request struct request request;
    char name[LIMIT_NAME_SIZE], key[KEY_SIZE];
    if (!read_request(exchange, &request) ||
        !read_known(scene, exchange, &request, "container", "container", name)) {
        return;
    }
    struct change *change = open_change(changes, exchange);
    memory_set_text(change->record.action, sizeof change->record.action, "reset");
    memory_set_text(change->record.container, sizeof change->record.container, name);
    note_who(change, &request, "");
    key_restart(key, name);
    const char *argv[] = {"DEL", key};
    send_to_redis(change, 2, argv);
}

/* ---- a host that is gone for good ---- */

struct key_list {
    const char *host;
    char **argv;
    size_t count;
};

static void add_key(struct key_list *list, const char *key)
{
    list->argv = memory_grow(list->argv, list->count + 1, sizeof *list->argv);
    list->argv[list->count++] = memory_copy_text(key);
}

static bool add_container_keys(void *arg, const struct decider_view_container *view)
{
    struct key_list *list = arg;
    char key[KEY_SIZE];
    if (strcmp(view->host, list->host) == 0) {
        key_intent(key, view->name);
        add_key(list, key);
        if (view->service[0] != '\0' && view->instance[0] != '\0') {
            key_heartbeat(key, view->service, view->instance);
            add_key(list, key);
        }
    }
    return true;
}

/* All that Redis holds of a host but the attempts, which the decider forgets with each container. */
static void delete_host(const struct scene *scene, struct change *change, const char *host)
{
    struct key_list list = {.host = host};
    char key[KEY_SIZE];
    add_key(&list, "DEL");
    key_agent(key, host);
    add_key(&list, key);
    key_hold(key, "host", host);
    add_key(&list, key);
    decider_view_each_container(scene->parts.decider, add_container_keys, &list);
    send_to_redis(change, (int)list.count, (const char *const *)list.argv);
    for (size_t i = 0; i < list.count; i++) {
        free(list.argv[i]);
    }
    free(list.argv);
}

static bool is_lost(void *arg, const struct decider_view_host *host)
{
    struct key_list *search = arg;
    search->count += host->is_frozen && strcmp(host->name, search->host) == 0;
    return true;
}

void api_changes_decommission(struct api_changes *changes, const struct scene *scene,
                              struct http_exchange *exchange)
{
    cleanup_request struct request request;
    char name[LIMIT_NAME_SIZE], message[MESSAGE_SIZE];
    if (!read_request(exchange, &request) || !read_known(scene, exchange, &request, "host", "host", name)) {
        return;
    }
    struct key_list lost = {.host = name};
    decider_view_each_host(scene->parts.decider, scene->now, is_lost, &lost);
    if (lost.count == 0) {
        snprintf(message, sizeof message,
                 "host %.100s still speaks: end its agent, and wait until it is lost (AGENT_LOST_SECS)",
                 name);
        refuse(exchange, 409, "not_lost", message);
        return;
    }
    struct change *change = open_change(changes, exchange);
    change->is_decommission = true;
    memory_set_text(change->record.action, sizeof change->record.action, "decommission");
    note_target(change, "host", name);
    note_who(change, &request, "");
    delete_host(scene, change, name);
}

/* ---- a test alert ---- */

/* By every way that a real one goes. */
void api_changes_test_alert(struct api_changes *changes, const struct scene *scene,
                            struct http_exchange *exchange)
{
    cleanup_request struct request request;
    struct decider_view_fleet fleet;
    decider_view_fleet(scene->parts.decider, scene->now, &fleet);
    if (!read_request(exchange, &request)) {
        return;
    }
    if (!fleet.is_leader) {
        refuse(exchange, 409, "leader",
               "this controller does not lead, and so tells nobody: ask the one that does");
        return;
    }
    struct alert alert;
    alert_init(&alert);
    alert.type = ALERT_TEST;
    alert.timestamp = scene->wall;
    snprintf(alert.detail, sizeof alert.detail, "by %.80s%s%.120s", request.by,
             request.reason[0] == '\0' ? "" : ": ", request.reason);
    alert_outbox_alert(changes->parts.outbox, &alert);
    webhook_alert(changes->parts.webhook, &alert);
    event_feed_tell(changes->feed, &(struct action){.kind = ACTION_ALERT, .alert = &alert});
    confirm(exchange, 202, "alert", alert.detail);
}

/* ---- restarts ---- */

/* What an operator's own wish does not open. The rest (settling, breaker, backoff, ancestors) is advice to a
 * machine. */
static bool is_binding(enum gate gate)
{
    static const enum gate binding[] = {GATE_ENABLED, GATE_LEADER,     GATE_HOST,       GATE_DENY,
                                        GATE_OWN,     GATE_REDIS,      GATE_IDENTITY,   GATE_ALLOW,
                                        GATE_HOLD,    GATE_HOST_LIMIT, GATE_FLEET_LIMIT};
    for (size_t i = 0; i < sizeof binding / sizeof binding[0]; i++) {
        if (binding[i] == gate) {
            return true;
        }
    }
    return false;
}

static bool may_restart(const struct scene *scene, struct http_exchange *exchange,
                        const struct decider_view_container *view)
{
    bool is_open[GATE_N];
    char message[MESSAGE_SIZE], why[EXPLANATION_LINE_SIZE];
    decider_view_gates(scene->parts.decider, view->name, scene->now, is_open);
    for (int gate = 0; gate < GATE_N; gate++) {
        if (!is_open[gate] && is_binding((enum gate)gate)) {
            explanation_of_gate(scene, (enum gate)gate, why, sizeof why);
            snprintf(message, sizeof message, "%.100s is not restarted: %.200s", view->name, why);
            refuse(exchange, 409, gates_name((enum gate)gate), message);
            return false;
        }
    }
    if (view->is_in_flight || view->max_attempts == 0) {
        refuse(exchange, 409, view->is_in_flight ? "busy" : "enabled",
               view->is_in_flight ? "a restart of it is under way"
                                  : "MAX_RESTART_ATTEMPTS=0: nothing is commanded");
        return false;
    }
    return true;
}

static void on_agent(void *arg, int status, const struct answer *answer)
{
    struct change *change = arg;
    char message[MESSAGE_SIZE];
    if (status != 0) {
        snprintf(message, sizeof message, "the agent of %.100s does not answer: %s", change->record.host,
                 strerror(-status));
        refuse(change->exchange, 504, "no_answer", message);
    } else if (answer->code == ANSWER_ACCEPTED || answer->code == ANSWER_OK) {
        tell(change);
        confirm(change->exchange, 202, "restart", change->record.command_id);
    } else {
        snprintf(message, sizeof message, "the agent refuses (%s): %.200s", answer_code_name(answer->code),
                 answer->detail);
        refuse(change->exchange, 409, answer_code_name(answer->code), message);
    }
    free_change(change);
}

static void fill_command(const struct scene *scene, const struct decider_view_container *view,
                         struct command *out)
{
    bool is_running = strcmp(view->docker_state, container_state_name(CONTAINER_RUNNING)) == 0;
    *out = (struct command){.op = is_running ? OP_RESTART : OP_START,
                            .attempt = view->attempts,
                            .max_attempts = view->max_attempts,
                            .stop_timeout_ms = scene->settings->restart_stop_timeout_ms,
                            .ttl_ms = COMMAND_TTL_MS,
                            .sent_at_ms = (uint64_t)scene->wall.ms};
    if (getrandom(out->id.bytes, sizeof out->id.bytes, 0) != (ssize_t)sizeof out->id.bytes) {
        abort();
    }
    memory_set_text(out->host, sizeof out->host, view->host);
    memory_set_text(out->container, sizeof out->container, view->name);
    memory_set_text(out->container_id, sizeof out->container_id, view->container_id);
    memory_set_text(out->expect_started_at, sizeof out->expect_started_at, view->incarnation);
    memory_set_text(out->reason, sizeof out->reason, "operator");
}

void api_changes_restart(struct api_changes *changes, const struct scene *scene,
                         struct http_exchange *exchange)
{
    cleanup_request struct request request;
    char name[LIMIT_NAME_SIZE];
    struct decider_view_container view;
    if (!read_request(exchange, &request) ||
        !read_known(scene, exchange, &request, "container", "container", name) ||
        !decider_view_container(scene->parts.decider, name, &view) || !may_restart(scene, exchange, &view)) {
        return;
    }
    struct command command;
    fill_command(scene, &view, &command);
    struct change *change = open_change(changes, exchange);
    memory_set_text(change->record.action, sizeof change->record.action, "restart");
    memory_set_text(change->record.container, sizeof change->record.container, name);
    memory_set_text(change->record.host, sizeof change->record.host, view.host);
    memory_set_text(change->record.container_id, sizeof change->record.container_id, view.container_id);
    command_id_format(&command.id, change->record.command_id);
    note_who(change, &request, "");
    int result = agent_link_ask(changes->parts.agents, view.host, &command, ANSWER_MS, on_agent, change);
    if (result != 0) {
        on_agent(change, result, NULL);
    }
}
