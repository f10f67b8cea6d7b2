#include "controller/serve/api_documents.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "common/memory.h"
#include "common/nearest.h"
#include "common/version.h"
#include "controller/core/decider_view.h"
#include "controller/serve/explanation.h"
#include "proto/json_writer.h"

static void write_mono(struct json_writer *writer, const struct scene *scene, const char *key,
                       struct mono when)
{
    json_writer_time(writer, key, scene_wall(scene, when), JSON_ROUND_DOWN);
}

static void open_document(struct json_writer *writer, const struct scene *scene)
{
    json_writer_init(writer, JSON_COMPACT, 4096);
    json_writer_open(writer, NULL, '{');
    json_writer_time(writer, "timestamp", scene->wall, JSON_ROUND_DOWN);
}

static char *close_document(struct json_writer *writer, size_t *len)
{
    json_writer_close(writer, '}');
    return json_writer_take(writer, len);
}

/* ---- the fleet at a glance ---- */

static void write_totals(struct json_writer *writer, const struct alert_totals *totals)
{
    json_writer_open(writer, "totals", '{');
    json_writer_signed(writer, "total", totals->total);
    json_writer_signed(writer, "healthy", totals->healthy);
    json_writer_signed(writer, "degraded", totals->degraded);
    json_writer_signed(writer, "unhealthy", totals->unhealthy);
    json_writer_signed(writer, "missing", totals->missing);
    json_writer_signed(writer, "starting", totals->starting);
    json_writer_signed(writer, "held", totals->held);
    json_writer_close(writer, '}');
}

static void write_hold(void *arg, const struct hold_watch_hold *hold)
{
    struct json_writer *writer = arg;
    json_writer_open(writer, NULL, '{');
    json_writer_text(writer, "kind", hold->kind);
    json_writer_text(writer, "name", hold->name);
    json_writer_text_or_null(writer, "reason", hold->reason);
    json_writer_text_or_null(writer, "by", hold->by);
    json_writer_time(writer, "until", hold->until, JSON_ROUND_UP);
    json_writer_time(writer, "since", hold->since, JSON_ROUND_DOWN);
    json_writer_close(writer, '}');
}

static void write_holds(struct json_writer *writer, const struct scene *scene)
{
    json_writer_open(writer, "holds", '[');
    hold_watch_each(scene->parts.holds, write_hold, writer);
    json_writer_close(writer, ']');
}

static void write_names(struct json_writer *writer, const char *key, const struct name_patterns *names)
{
    json_writer_open(writer, key, '[');
    for (size_t i = 0; i < names->count; i++) {
        json_writer_text(writer, NULL, names->items[i]);
    }
    json_writer_close(writer, ']');
}

static void write_controller(struct json_writer *writer, const struct scene *scene,
                             const struct decider_view_fleet *fleet)
{
    json_writer_open(writer, "controller", '{');
    json_writer_text(writer, "id", scene->settings->id);
    json_writer_text(writer, "version", DEFIB_VERSION);
    json_writer_time(writer, "started_at", scene->started_at, JSON_ROUND_DOWN);
    json_writer_bool(writer, "leader", fleet->is_leader);
    json_writer_text_or_null(writer, "leader_id", scene->health.leader);
    json_writer_unsigned(writer, "epoch", fleet->epoch);
    json_writer_bool(writer, "enabled", fleet->is_enabled && scene->settings->max_restart_attempts > 0);
    json_writer_bool(writer, "watching", scene->health.is_watching);
    json_writer_bool(writer, "settled", fleet->is_settled);
    json_writer_bool(writer, "tilted", fleet->is_tilted);
    json_writer_bool(writer, "breaker_open", fleet->is_breaker_open);
    json_writer_signed(writer, "restarts_in_flight", fleet->in_flight);
    json_writer_signed(writer, "restarts_max", fleet->max_fleet);
    json_writer_real(writer, "heartbeat_ttl_secs", (double)scene->settings->heartbeat_ttl_ms / 1000.0);
    write_names(writer, "allow", &scene->settings->restart_allow);
    write_names(writer, "deny", &scene->settings->restart_deny);
    json_writer_close(writer, '}');
}

static void write_redis(struct json_writer *writer, const struct scene *scene,
                        const struct decider_view_fleet *fleet)
{
    json_writer_open(writer, "redis", '{');
    json_writer_bool(writer, "up", fleet->is_redis_up);
    write_mono(writer, scene, "since", fleet->redis_since);
    json_writer_unsigned(writer, "outbox_waiting", alert_outbox_count(scene->parts.outbox));
    json_writer_unsigned(writer, "outbox_dropped", alert_outbox_dropped(scene->parts.outbox));
    json_writer_close(writer, '}');
}

static void write_webhook(struct json_writer *writer, const struct scene *scene)
{
    struct webhook_counts counts = webhook_counts(scene->parts.webhook);
    json_writer_open(writer, "webhook", '{');
    json_writer_bool(writer, "set", scene->parts.webhook != NULL);
    json_writer_unsigned(writer, "waiting", counts.waiting);
    json_writer_unsigned(writer, "sent", counts.sent);
    json_writer_unsigned(writer, "failed", counts.failed);
    json_writer_unsigned(writer, "dropped", counts.dropped);
    json_writer_close(writer, '}');
}

static void write_states(struct json_writer *writer, const struct decider_view_fleet *fleet)
{
    json_writer_open(writer, "states", '{');
    for (int state = STATE_NONE + 1; state < STATE_REMOVED; state++) {
        json_writer_unsigned(writer, policy_state_name((enum policy_state)state), fleet->states[state]);
    }
    json_writer_close(writer, '}');
}

/* ---- hosts ---- */

struct rows {
    struct json_writer *writer;
    const struct scene *scene;
    const struct api_filter *filter;
};

static bool write_host(void *arg, const struct decider_view_host *host)
{
    struct rows *rows = arg;
    struct json_writer *writer = rows->writer;
    json_writer_open(writer, NULL, '{');
    json_writer_text(writer, "host", host->name);
    json_writer_text(writer, "state", host->is_frozen ? "LOST" : host->is_silent ? "SILENT" : "LIVE");
    json_writer_bool(writer, "engine_up", host->is_engine_up);
    json_writer_bool(writer, "breaker_open", host->is_breaker_open);
    write_mono(writer, rows->scene, "heard_by_redis_at", host->heard[PATH_REDIS]);
    write_mono(writer, rows->scene, "heard_by_rpc_at", host->heard[PATH_RPC]);
    json_writer_signed(writer, "restarts_in_flight", host->in_flight);
    json_writer_unsigned(writer, "containers", host->containers);
    json_writer_close(writer, '}');
    return true;
}

static void write_hosts(struct json_writer *writer, const struct scene *scene)
{
    struct rows rows = {.writer = writer, .scene = scene};
    json_writer_open(writer, "hosts", '[');
    decider_view_each_host(scene->parts.decider, scene->now, write_host, &rows);
    json_writer_close(writer, ']');
}

char *api_documents_status(const struct scene *scene, size_t *len)
{
    struct json_writer writer;
    struct decider_view_fleet fleet;
    decider_view_fleet(scene->parts.decider, scene->now, &fleet);
    open_document(&writer, scene);
    write_controller(&writer, scene, &fleet);
    write_redis(&writer, scene, &fleet);
    write_webhook(&writer, scene);
    write_totals(&writer, &fleet.totals);
    write_states(&writer, &fleet);
    write_holds(&writer, scene);
    write_hosts(&writer, scene);
    return close_document(&writer, len);
}

char *api_documents_hosts(const struct scene *scene, size_t *len)
{
    struct json_writer writer;
    open_document(&writer, scene);
    write_hosts(&writer, scene);
    return close_document(&writer, len);
}

char *api_documents_holds(const struct scene *scene, size_t *len)
{
    struct json_writer writer;
    open_document(&writer, scene);
    write_holds(&writer, scene);
    return close_document(&writer, len);
}

/* ---- containers ---- */

static void write_docker(struct json_writer *writer, const struct decider_view_container *view)
{
    json_writer_open(writer, "docker", '{');
    json_writer_text(writer, "state", view->docker_state);
    json_writer_text(writer, "health", view->docker_health);
    json_writer_text(writer, "stop_class", view->stop_class);
    if (view->has_exit_code) {
        json_writer_signed(writer, "exit_code", view->exit_code);
    } else {
        json_writer_null(writer, "exit_code");
    }
    json_writer_text_or_null(writer, "started_at", view->incarnation);
    json_writer_close(writer, '}');
}

static void write_identity(struct json_writer *writer, const struct decider_view_container *view)
{
    json_writer_text(writer, "container", view->name);
    json_writer_text_or_null(writer, "host", view->host);
    json_writer_text_or_null(writer, "service", view->service);
    json_writer_text_or_null(writer, "instance", view->instance);
    json_writer_text_or_null(writer, "container_id", view->container_id);
}

static void write_container(struct json_writer *writer, const struct scene *scene, const char *key,
                            const struct decider_view_container *view)
{
    json_writer_open(writer, key, '{');
    write_identity(writer, view);
    json_writer_text(writer, "state", policy_state_name(view->state));
    json_writer_text_or_null(writer, "health", view->category);
    json_writer_text(writer, "status", view->status);
    write_docker(writer, view);
    json_writer_text_or_null(writer, "reason", view->reason);
    json_writer_text_or_null(writer, "cause",
                             view->cause == CAUSE_NONE ? "" : policy_cause_name(view->cause));
    json_writer_text_or_null(writer, "parent", view->parent);
    json_writer_text_or_null(writer, "gate", gates_name(view->gate));
    json_writer_signed(writer, "attempts", view->attempts);
    json_writer_signed(writer, "max_attempts", view->max_attempts);
    json_writer_signed(writer, "misses", view->misses);
    json_writer_signed(writer, "miss_threshold", view->miss_threshold);
    json_writer_signed(writer, "unhealthy_beats", view->bad);
    json_writer_signed(writer, "unhealthy_threshold", view->unhealthy_threshold);
    write_mono(writer, scene, "agent_heard_at", view->agent_heard_at);
    write_mono(writer, scene, "service_heard_at", view->app_heard_at);
    write_mono(writer, scene, "state_since", view->state_since);
    write_mono(writer, scene, "broken_at", view->broken_at);
    write_mono(writer, scene, "healthy_since",
               view->state == STATE_UP ? view->healthy_since : (struct mono){0});
    write_mono(writer, scene, "next_attempt_at", view->next_attempt_at);
    write_mono(writer, scene, "cooldown_until", view->cooldown_until);
    write_mono(writer, scene, "next_look_at", view->wake_at);
    write_mono(writer, scene, "held_until", view->held_until);
    json_writer_bool(writer, "held_by_operator", view->is_held);
    json_writer_bool(writer, "host_lost", view->is_frozen);
    json_writer_bool(writer, "name_collision", view->has_collision);
    json_writer_bool(writer, "restart_in_flight", view->is_in_flight);
    json_writer_close(writer, '}');
}

static bool is_wanted(const struct api_filter *filter, const struct decider_view_container *view)
{
    return (filter->host == NULL || strcmp(filter->host, view->host) == 0) &&
           (filter->service == NULL || strcmp(filter->service, view->service) == 0) &&
           (filter->state == NULL || strcasecmp(filter->state, policy_state_name(view->state)) == 0) &&
           (filter->name == NULL || fnmatch(filter->name, view->name, 0) == 0);
}

static bool write_row(void *arg, const struct decider_view_container *view)
{
    struct rows *rows = arg;
    if (is_wanted(rows->filter, view)) {
        write_container(rows->writer, rows->scene, NULL, view);
    }
    return true;
}

char *api_documents_containers(const struct scene *scene, const struct api_filter *filter, size_t *len)
{
    struct json_writer writer;
    struct rows rows = {.writer = &writer, .scene = scene, .filter = filter};
    open_document(&writer, scene);
    json_writer_open(&writer, "containers", '[');
    decider_view_each_container(scene->parts.decider, write_row, &rows);
    json_writer_close(&writer, ']');
    return close_document(&writer, len);
}

char *api_documents_container(const struct scene *scene, const char *name, size_t *len)
{
    struct decider_view_container view;
    if (!decider_view_container(scene->parts.decider, name, &view)) {
        return NULL;
    }
    struct json_writer writer;
    open_document(&writer, scene);
    write_container(&writer, scene, "container", &view);
    return close_document(&writer, len);
}

/* ---- the answer to "why" ---- */

static void write_gates(struct json_writer *writer, const struct scene *scene,
                        const struct explanation *explanation)
{
    char says[EXPLANATION_LINE_SIZE];
    json_writer_open(writer, "gates", '[');
    for (int gate = 0; gate < GATE_N; gate++) {
        json_writer_open(writer, NULL, '{');
        json_writer_text(writer, "gate", gates_name((enum gate)gate));
        json_writer_bool(writer, "open", explanation->is_open[gate]);
        explanation_of_gate(scene, (enum gate)gate, says, sizeof says);
        json_writer_text_or_null(writer, "says", explanation->is_open[gate] ? "" : says);
        json_writer_close(writer, '}');
    }
    json_writer_close(writer, ']');
}

static void write_lines(struct json_writer *writer, const char *key, const struct explanation_lines *lines)
{
    json_writer_open(writer, key, '[');
    for (size_t i = 0; i < lines->count; i++) {
        json_writer_text(writer, NULL, lines->text[i]);
    }
    json_writer_close(writer, ']');
}

char *api_documents_explanation(const struct scene *scene, const char *name,
                                const struct check_report *report, size_t *len)
{
    struct explanation explanation;
    struct decider_view_container view;
    if (!decider_view_container(scene->parts.decider, name, &view)) {
        return NULL;
    }
    explanation_make(scene, &view, report, &explanation);
    struct json_writer writer;
    open_document(&writer, scene);
    json_writer_text(&writer, "headline", explanation.headline);
    write_lines(&writer, "evidence", &explanation.evidence);
    write_gates(&writer, scene, &explanation);
    json_writer_text(&writer, "verdict", explanation.verdict);
    json_writer_open(&writer, "next", '{');
    json_writer_text_or_null(&writer, "what", explanation.next);
    write_mono(&writer, scene, "at", explanation.next_at);
    json_writer_close(&writer, '}');
    write_lines(&writer, "help", &explanation.help);
    write_container(&writer, scene, "container", &view);
    return close_document(&writer, len);
}

/* ---- what is not there ---- */

char *api_documents_error(const char *code, const char *message, size_t *len)
{
    struct json_writer writer;
    json_writer_init(&writer, JSON_COMPACT, 256);
    json_writer_open(&writer, NULL, '{');
    json_writer_open(&writer, "error", '{');
    json_writer_text(&writer, "code", code);
    json_writer_text(&writer, "message", message);
    json_writer_close(&writer, '}');
    return close_document(&writer, len);
}

struct search {
    const char *kind, *name;
    struct nearest nearest;
    bool is_found;
};

static void meet(struct search *search, const char *name)
{
    search->is_found = search->is_found || strcmp(search->name, name) == 0;
    nearest_offer(&search->nearest, name);
}

static bool meet_container(void *arg, const struct decider_view_container *view)
{
    struct search *search = arg;
    if (strcmp(search->kind, "container") == 0) {
        meet(search, view->name);
    } else if (view->service[0] != '\0') {
        meet(search, view->service);
    }
    return true;
}

static bool meet_host(void *arg, const struct decider_view_host *host)
{
    meet(arg, host->name);
    return true;
}

static void look(const struct scene *scene, struct search *search)
{
    nearest_init(&search->nearest, search->name);
    if (strcmp(search->kind, "host") == 0) {
        decider_view_each_host(scene->parts.decider, scene->now, meet_host, search);
    } else {
        decider_view_each_container(scene->parts.decider, meet_container, search);
    }
}

void api_documents_unknown(const struct scene *scene, const char *kind, const char *name, char *out,
                           size_t size)
{
    struct search search = {.kind = kind, .name = name};
    look(scene, &search);
    const char *nearest = nearest_name(&search.nearest);
    if (nearest == NULL) {
        snprintf(out, size, "%s \"%.100s\" is not known", kind, name);
    } else {
        snprintf(out, size, "%s \"%.100s\" is not known; the nearest name is \"%.100s\"", kind, name,
                 nearest);
    }
}

bool api_documents_is_known(const struct scene *scene, const char *kind, const char *name)
{
    struct search search = {.kind = kind, .name = name};
    look(scene, &search);
    return search.is_found;
}
