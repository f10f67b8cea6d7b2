#include "controller/ctl/fleet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/nearest.h"
#include "controller/ctl/agent_desk.h"
#include "proto/hold.h"
#include "proto/json_reader.h"
#include "proto/keys.h"
#include "proto/registration.h"
#include "proto/restart_state.h"

static struct fleet_row *add_row(struct fleet *fleet)
{
    fleet->rows = memory_add(fleet->rows, fleet->row_count, sizeof *fleet->rows);
    fleet->rows[fleet->row_count] = (struct fleet_row){.max_attempts = -1};
    return &fleet->rows[fleet->row_count++];
}

static struct fleet_host *add_host(struct fleet *fleet)
{
    fleet->hosts = memory_add(fleet->hosts, fleet->host_count, sizeof *fleet->hosts);
    fleet->hosts[fleet->host_count] = (struct fleet_host){.containers = 0};
    return &fleet->hosts[fleet->host_count++];
}

static struct fleet_hold *add_hold(struct fleet *fleet)
{
    fleet->holds = memory_add(fleet->holds, fleet->hold_count, sizeof *fleet->holds);
    fleet->holds[fleet->hold_count] = (struct fleet_hold){.until = {0}};
    return &fleet->holds[fleet->hold_count++];
}

void fleet_fini(struct fleet *fleet)
{
    free(fleet->rows);
    free(fleet->hosts);
    free(fleet->holds);
    free(fleet->json);
    *fleet = (struct fleet){.json = NULL};
}

const char *fleet_nearest(const struct fleet *fleet, const char *name)
{
    struct nearest nearest;
    nearest_init(&nearest, name);
    for (size_t i = 0; i < fleet->row_count; i++) {
        nearest_offer(&nearest, fleet->rows[i].name);
        if (fleet->rows[i].service[0] != '\0') {
            nearest_offer(&nearest, fleet->rows[i].service);
        }
    }
    for (size_t i = 0; i < fleet->host_count; i++) {
        nearest_offer(&nearest, fleet->hosts[i].name);
    }
    return nearest_name(&nearest);
}

const char *fleet_nearest_host(const struct fleet *fleet, const char *name)
{
    struct nearest nearest;
    nearest_init(&nearest, name);
    for (size_t i = 0; i < fleet->host_count; i++) {
        nearest_offer(&nearest, fleet->hosts[i].name);
    }
    return nearest_name(&nearest);
}

/* ---- from the API ---- */

static void get_text(const struct cJSON *object, const char *name, char *out, size_t size)
{
    if (!json_reader_text(json_reader_member(object, name), out, size)) {
        out[0] = '\0';
    }
}

static struct wall get_time(const struct cJSON *object, const char *name)
{
    struct wall when = {0};
    json_reader_time(json_reader_member(object, name), &when);
    return when;
}

static int64_t get_number(const struct cJSON *object, const char *name)
{
    int64_t value = 0;
    json_reader_signed(json_reader_member(object, name), INT64_MIN, INT64_MAX, &value);
    return value;
}

static bool get_bool(const struct cJSON *object, const char *name)
{
    bool value = false;
    json_reader_bool(json_reader_member(object, name), &value);
    return value;
}

static struct wall next_of(const struct cJSON *object, const char *state)
{
    if (strcmp(state, "COOLDOWN") == 0) {
        return get_time(object, "cooldown_until");
    }
    if (strcmp(state, "HELD") == 0) {
        return get_time(object, "held_until");
    }
    bool is_waiting = strcmp(state, "UP") != 0;
    return is_waiting ? get_time(object, "next_look_at") : (struct wall){0};
}

static bool covers(const struct fleet_hold *hold, const struct fleet_row *row)
{
    return strcmp(hold->kind, "all") == 0 ||
           (strcmp(hold->kind, "container") == 0 && strcmp(hold->name, row->name) == 0) ||
           (strcmp(hold->kind, "service") == 0 && strcmp(hold->name, row->service) == 0) ||
           (strcmp(hold->kind, "host") == 0 && strcmp(hold->name, row->host) == 0);
}

/* Since when it is as it is. A hold may be older than the controller. */
static struct wall since_of(const struct fleet *fleet, const struct fleet_row *row,
                            const struct cJSON *object)
{
    bool is_held = strcmp(row->state, "HELD") == 0, is_up = strcmp(row->state, "UP") == 0;
    struct wall trouble =
        is_held ? (struct wall){0} : get_time(object, is_up ? "healthy_since" : "broken_at");
    struct wall since = trouble.ms != 0 ? trouble : get_time(object, "state_since");
    for (size_t i = 0; is_held && get_bool(object, "held_by_operator") && i < fleet->hold_count; i++) {
        const struct fleet_hold *hold = &fleet->holds[i];
        if (covers(hold, row) && hold->since.ms != 0 && hold->since.ms < since.ms) {
            since = hold->since;
        }
    }
    return since;
}

static void read_row(struct fleet *fleet, const struct cJSON *object)
{
    struct fleet_row *row = add_row(fleet);
    get_text(object, "container", row->name, sizeof row->name);
    get_text(object, "host", row->host, sizeof row->host);
    get_text(object, "service", row->service, sizeof row->service);
    get_text(object, "state", row->state, sizeof row->state);
    get_text(object, "status", row->status, sizeof row->status);
    get_text(object, "reason", row->reason, sizeof row->reason);
    get_text(object, "gate", row->gate, sizeof row->gate);
    row->is_host_lost = get_bool(object, "host_lost");
    row->has_collision = get_bool(object, "name_collision");
    row->attempts = get_number(object, "attempts");
    row->max_attempts = get_number(object, "max_attempts");
    row->since = since_of(fleet, row, object);
    row->next_at = next_of(object, row->state);
}

static void read_host(struct fleet *fleet, const struct cJSON *object)
{
    struct fleet_host *host = add_host(fleet);
    get_text(object, "host", host->name, sizeof host->name);
    get_text(object, "state", host->state, sizeof host->state);
    host->is_engine_up = get_bool(object, "engine_up");
    host->is_breaker_open = get_bool(object, "breaker_open");
    host->containers = get_number(object, "containers");
    host->in_flight = get_number(object, "restarts_in_flight");
    struct wall by_redis = get_time(object, "heard_by_redis_at"),
                by_rpc = get_time(object, "heard_by_rpc_at");
    host->heard_at = by_redis.ms > by_rpc.ms ? by_redis : by_rpc;
}

static void read_hold(struct fleet *fleet, const struct cJSON *object)
{
    struct fleet_hold *hold = add_hold(fleet);
    get_text(object, "kind", hold->kind, sizeof hold->kind);
    get_text(object, "name", hold->name, sizeof hold->name);
    get_text(object, "reason", hold->reason, sizeof hold->reason);
    get_text(object, "by", hold->by, sizeof hold->by);
    hold->until = get_time(object, "until");
    hold->since = get_time(object, "since");
}

static void read_each(struct fleet *fleet, const struct cJSON *tree, const char *name,
                      void (*read)(struct fleet *fleet, const struct cJSON *object))
{
    const struct cJSON *item = json_reader_first(json_reader_member(tree, name));
    for (; item != NULL; item = json_reader_next(item)) {
        read(fleet, item);
    }
}

static void read_controller(struct fleet *fleet, const struct cJSON *tree)
{
    const struct cJSON *controller = json_reader_member(tree, "controller");
    const struct cJSON *redis = json_reader_member(tree, "redis");
    char id[LIMIT_NAME_SIZE], leader[LIMIT_NAME_SIZE];
    get_text(controller, "id", id, sizeof id);
    get_text(controller, "leader_id", leader, sizeof leader);
    bool is_leading = get_bool(controller, "leader");
    if (is_leading) {
        snprintf(fleet->leader, sizeof fleet->leader, "controller %.100s leads, epoch %lld, Redis %s", id,
                 (long long)get_number(controller, "epoch"), get_bool(redis, "up") ? "up" : "AWAY");
    } else {
        snprintf(fleet->leader, sizeof fleet->leader, "controller %.100s stands by, %.100s leads, Redis %s",
                 id, leader[0] == '\0' ? "nobody known" : leader, get_bool(redis, "up") ? "up" : "AWAY");
    }
    const char *warning = "";
    if (!is_leading && leader[0] != '\0') {
        warning = "Attempts, gates and what comes next are as the leader decides: ask it.";
    } else if (!get_bool(controller, "enabled")) {
        warning = "Automatic restarts are disabled: nothing is restarted.";
    } else if (get_bool(controller, "breaker_open")) {
        warning = "The breaker is open: too much fails at once; restarts go one by one.";
    } else if (get_bool(controller, "tilted")) {
        warning = "After a stall or a jump of the clock it watches and does not act.";
    } else if (!get_bool(controller, "settled")) {
        warning = "The controller has just started: silence is not acted on yet.";
    }
    memory_set_text(fleet->warning, sizeof fleet->warning, warning);
}

/* The members of both documents as one. */
static char *join_json(const struct api_reply *status, const struct api_reply *containers)
{
    char *text = NULL;
    int end = (int)status->len - 1; /* its last bracket */
    const char *list = strstr(containers->text, "\"containers\":");
    if (list == NULL || asprintf(&text, "%.*s,%s", end, status->text, list) < 0) {
        return memory_copy_text(status->text);
    }
    return text;
}

static int load_from_api(struct ctl *ctl, struct fleet *fleet, struct err *err)
{
    cleanup_reply struct api_reply status, containers = {.status = 0};
    int result = api_client_call(ctl->api, "GET", "/api/v1/status", NULL, &status, err);
    if (result == 0 && status.status == 200) {
        result = api_client_call(ctl->api, "GET", "/api/v1/containers", NULL, &containers, err);
    }
    if (result != 0) {
        return result;
    }
    if (status.status != 200 || containers.status != 200 || status.tree == NULL) {
        const struct api_reply *bad = status.status != 200 ? &status : &containers;
        return err_set(err, EACCES, "%s answers: %s", ctl->settings->url, bad->message);
    }
    read_controller(fleet, status.tree);
    read_each(fleet, status.tree, "hosts", read_host);
    read_each(fleet, status.tree, "holds", read_hold);
    read_each(fleet, containers.tree, "containers", read_row);
    fleet->json = join_json(&status, &containers);
    return 0;
}

/* ---- from Redis ---- */

static int get_key(struct ctl *ctl, const char *key, struct desk_reply *out, struct err *err)
{
    const char *argv[] = {"GET", key};
    return redis_desk_call(ctl->redis, 2, argv, out, err);
}

/* Calls read for each key of this pattern that holds a text. */
static int each_key(struct ctl *ctl, struct fleet *fleet, const char *pattern,
                    void (*read)(struct fleet *fleet, const char *key, const char *value, size_t len),
                    struct err *err)
{
    cleanup_desk_reply struct desk_reply keys;
    int result = redis_desk_scan(ctl->redis, pattern, &keys, err);
    for (size_t i = 0; result == 0 && i < keys.count; i++) {
        cleanup_desk_reply struct desk_reply value;
        result = get_key(ctl, keys.items[i].text, &value, err);
        if (result == 0 && value.type == REDIS_REPLY_TEXT) {
            read(fleet, keys.items[i].text, value.text, value.len);
        }
        result = result == -EIO ? 0 : result; /* a key of another type */
    }
    return result;
}

static void read_entry(struct fleet *fleet, const struct registration *registration,
                       const struct heartbeat *beat)
{
    struct fleet_row *row = add_row(fleet);
    memory_set_text(row->name, sizeof row->name, beat->container);
    memory_set_text(row->host, sizeof row->host, registration->host);
    memory_set_text(row->service, sizeof row->service, beat->service);
    memory_set_text(row->state, sizeof row->state, container_state_name(beat->state));
    memory_set_text(row->status, sizeof row->status, beat_status_name(beat->status));
    if (beat->state != CONTAINER_RUNNING) {
        memory_set_text(row->reason, sizeof row->reason, stop_class_name(beat->stop_class));
    } else if (beat->health == HEALTH_UNHEALTHY) {
        memory_set_text(row->reason, sizeof row->reason, "status_unhealthy");
    }
    row->since = beat->state == CONTAINER_RUNNING ? beat->started_at : beat->finished_at;
}

/* Takes it: finished afterwards. */
static void take_registration(struct fleet *fleet, struct registration *registration)
{
    struct fleet_host *host = add_host(fleet);
    memory_set_text(host->name, sizeof host->name, registration->host);
    memory_set_text(host->state, sizeof host->state, "LIVE"); /* its key has not run out */
    host->is_engine_up = registration->is_engine_up;
    host->containers = (int64_t)registration->count;
    host->heard_at = registration->timestamp;
    for (size_t i = 0; i < registration->count; i++) {
        read_entry(fleet, registration, &registration->entries[i].beat);
    }
    registration_fini(registration);
}

static void read_registration(struct fleet *fleet, const char *key, const char *value, size_t len)
{
    struct registration registration;
    (void)key;
    if (registration_decode(value, len, &registration, NULL, NULL) == 0) {
        take_registration(fleet, &registration);
    }
}
static void read_hold_key(struct fleet *fleet, const char *key, const char *value, size_t len)
{
    struct hold hold;
    const char *kind = key + strlen(KEY_HOLD_PREFIX);
    const char *colon = strchr(kind, ':');
    if (colon == NULL || colon - kind >= LIMIT_WORD_SIZE) {
        return;
    }
    hold_decode(value, len, &hold, NULL);
    struct fleet_hold *row = add_hold(fleet);
    memcpy(row->kind, kind, (size_t)(colon - kind));
    memory_set_text(row->name, sizeof row->name, colon + 1);
    memory_set_text(row->reason, sizeof row->reason, hold.reason);
    memory_set_text(row->by, sizeof row->by, hold.by);
    row->until = hold.until;
    row->since = hold.since;
}

static void read_restart(struct fleet *fleet, const char *key, const char *value, size_t len)
{
    struct restart_state state;
    const char *name = key + strlen(KEY_RESTART_PREFIX);
    if (restart_state_decode(value, len, &state, NULL) != 0) {
        return;
    }
    for (size_t i = 0; i < fleet->row_count; i++) {
        if (strcmp(fleet->rows[i].name, name) == 0) {
            fleet->rows[i].attempts = state.attempt_count;
            fleet->rows[i].next_at = state.cooldown_until;
        }
    }
    restart_state_fini(&state);
}

/* Whoever does not answer here: another controller may well lead. */
static void read_leader(struct ctl *ctl, struct fleet *fleet)
{
    struct err err;
    fleet_read_leader(ctl, fleet->lease_holder, &err);
    if (fleet->lease_holder[0] != '\0') {
        snprintf(fleet->leader, sizeof fleet->leader, "Redis up; controller %.100s leads",
                 fleet->lease_holder);
    } else {
        snprintf(fleet->leader, sizeof fleet->leader, "Redis up; no controller leads");
    }
}

int fleet_read_leader(struct ctl *ctl, char out[LIMIT_NAME_SIZE], struct err *err)
{
    cleanup_desk_reply struct desk_reply value;
    out[0] = '\0';
    int result = get_key(ctl, KEY_LEADER, &value, err);
    if (result == 0 && value.type == REDIS_REPLY_TEXT) {
        static const struct json_bounds bounds = {"lease", 4096, 64};
        cleanup_json struct cJSON *tree = NULL;
        if (json_reader_parse(value.text, value.len, &bounds, &tree, NULL) == 0) {
            json_reader_text(json_reader_member(tree, "id"), out, LIMIT_NAME_SIZE);
        }
    }
    return result;
}

static int load_from_redis(struct ctl *ctl, struct fleet *fleet, struct err *err)
{
    fleet->source = "redis";
    read_leader(ctl, fleet);
    int result = each_key(ctl, fleet, KEY_AGENT_PREFIX "*", read_registration, err);
    result = result != 0 ? result : each_key(ctl, fleet, KEY_HOLD_PREFIX "*", read_hold_key, err);
    return result != 0 ? result : each_key(ctl, fleet, KEY_RESTART_PREFIX "*", read_restart, err);
}

/* ---- from the agents ---- */

struct asking {
    struct ctl *ctl;
    struct fleet *fleet;
    size_t asked, answered;
    char trouble[256]; /* of the last that did not answer */
};

static void ask_agent(void *arg, const char *host, const char *url)
{
    struct asking *asking = arg;
    struct registration registration;
    struct err err;
    for (size_t i = 0; i < asking->fleet->host_count; i++) {
        if (strcmp(asking->fleet->hosts[i].name, host) == 0) {
            return; /* known by both ways */
        }
    }
    asking->asked++;
    if (agent_desk_ask(asking->ctl->loop, asking->ctl->settings, host, url, &registration, &err) != 0) {
        struct fleet_host *silent = add_host(asking->fleet);
        memory_set_text(silent->name, sizeof silent->name, host);
        memory_set_text(silent->state, sizeof silent->state, "SILENT");
        snprintf(asking->trouble, sizeof asking->trouble, "%.60s at %.80s: %.100s", host, url, err.text);
        return;
    }
    asking->answered++;
    take_registration(asking->fleet, &registration);
}

static bool load_from_agents(struct ctl *ctl, struct fleet *fleet, const char *why)
{
    struct asking asking = {.ctl = ctl, .fleet = fleet};
    fleet->source = "agents";
    agent_desk_each(ctl->settings, ask_agent, &asking);
    for (size_t i = 0; i < fleet->row_count; i++) {
        fleet->rows[i].attempts = -1; /* those stand in Redis */
    }
    snprintf(fleet->leader, sizeof fleet->leader, "as %zu of %zu agents tell it", asking.answered,
             asking.asked);
    snprintf(
        fleet->note, sizeof fleet->note,
        "Neither the controller nor Redis answers (%.140s): this is what the agents say themselves.%s%.200s",
        why, asking.trouble[0] == '\0' ? "" : " Silent is ", asking.trouble);
    return asking.answered > 0;
}

int fleet_load(struct ctl *ctl, struct fleet *out, struct err *err)
{
    struct err api = {.code = 0};
    *out = (struct fleet){.source = "controller"};
    int result = load_from_api(ctl, out, &api);
    if (result == 0 || result == -EACCES) {
        *err = api;
        return result;
    }
    result = load_from_redis(ctl, out, err);
    if (result != 0) {
        struct err redis = *err;
        fleet_fini(out);
        if (load_from_agents(ctl, out, redis.text)) {
            return 0;
        }
        return err_set(err, -result, "the controller at %s does not answer (%s); %s", ctl->settings->url,
                       api.text, redis.text);
    }
    snprintf(
        out->note, sizeof out->note,
        "The controller at %s does not answer (%.160s): this is what Redis holds, without its judgement.",
        ctl->settings->url, api.text);
    return 0;
}
