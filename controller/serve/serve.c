#include "controller/serve/serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/memory.h"
#include "controller/serve/api_changes.h"
#include "controller/serve/api_documents.h"
#include "controller/serve/documents.h"
#include "controller/serve/event_feed.h"
#include "controller/serve/event_history.h"
#include "controller/serve/explain_desk.h"
#include "controller/serve/gatekeeper.h"
#include "controller/serve/http_server.h"
#include "controller/serve/metrics.h"
#include "controller/serve/page.h"
#include "controller/serve/tally.h"

#define API "/api/v1/"

static const char *const JSON_TYPE = "application/json";

/* CACHE_MS: what is the same for all askers is rendered at most so often, however many ask. */
enum { RETRY_MS = 5000, CACHE_MS = 250, MESSAGE_SIZE = 384, LATE_LIMIT_MS = 10000 };

struct cached {
    struct http_document *document;
    struct mono made_at;
};

struct serve {
    struct loop *loop;
    const struct settings *settings;
    struct controller *controller;
    struct controller_parts parts;
    struct http_server *server; /* NULL: the address cannot be listened on, yet */
    struct loop_timer *retry;
    struct event_feed *feed;
    struct event_history *history;
    struct explain_desk *explanations;
    struct api_changes *changes;
    struct gatekeeper gatekeeper;
    struct tally tally;
    struct wall started_at;
    uint64_t requests;
    struct http_document *page;
    struct cached metrics, containers, status;
    bool is_failure_told;
};

static struct scene scene_now(const struct serve *serve)
{
    struct scene scene = {.settings = serve->settings,
                          .parts = serve->parts,
                          .tally = &serve->tally,
                          .started_at = serve->started_at,
                          .connections = http_server_connections(serve->server),
                          .requests = serve->requests,
                          .now = loop_now(serve->loop),
                          .wall = clock_wall_now()};
    controller_health(serve->controller, &scene.health);
    return scene;
}

static struct scene look(void *arg)
{
    return scene_now(arg);
}

/* ---- answers ---- */

static void answer_text(struct http_exchange *exchange, int status, const char *type, char *text, size_t len)
{
    http_server_answer(exchange,
                       &(struct http_answer){.status = status, .type = type, .text = text, .len = len});
}

static void answer_json(struct http_exchange *exchange, int status, char *text, size_t len)
{
    answer_text(exchange, status, JSON_TYPE, text, len);
}

static void refuse(struct http_exchange *exchange, int status, const char *code, const char *message,
                   const char *headers)
{
    size_t len;
    char *text = api_documents_error(code, message, &len);
    http_server_answer(
        exchange, &(struct http_answer){
                      .status = status, .type = JSON_TYPE, .headers = headers, .text = text, .len = len});
}

static bool is_fresh(const struct serve *serve, const struct cached *cached)
{
    return cached->document != NULL && mono_diff(loop_now(serve->loop), cached->made_at) < CACHE_MS;
}

static void keep(const struct serve *serve, struct cached *cached, const char *type, char *text, size_t len)
{
    http_server_document_free(cached->document);
    cached->document = http_server_document_new(
        &(struct http_answer){.status = 200, .type = type, .text = text, .len = len});
    cached->made_at = loop_now(serve->loop);
}

/* ---- GET ---- */

static void get_page(struct serve *serve, struct http_exchange *exchange, const char *rest)
{
    (void)rest;
    http_server_answer_document(exchange, serve->page);
}

static void get_health(struct serve *serve, struct http_exchange *exchange, const char *rest)
{
    (void)rest;
    struct scene scene = scene_now(serve);
    bool is_well = scene.health.late_ms < LATE_LIMIT_MS;
    const char *text = is_well ? "ok\n" : "late\n";
    answer_text(exchange, is_well ? 200 : 503, "text/plain; charset=utf-8", memory_copy_text(text),
                strlen(text));
}

static void get_ready(struct serve *serve, struct http_exchange *exchange, const char *rest)
{
    (void)rest;
    struct scene scene = scene_now(serve);
    bool is_ready = scene.health.is_watching && !scene.health.is_stopping;
    const char *text = is_ready ? "ready\n" : scene.health.is_stopping ? "stopping\n" : "waiting for Redis\n";
    answer_text(exchange, is_ready ? 200 : 503, "text/plain; charset=utf-8", memory_copy_text(text),
                strlen(text));
}

static void get_metrics(struct serve *serve, struct http_exchange *exchange, const char *rest)
{
    (void)rest;
    if (!is_fresh(serve, &serve->metrics)) {
        struct scene scene = scene_now(serve);
        size_t len;
        char *text = metrics_render(&scene, &len);
        keep(serve, &serve->metrics, "text/plain; version=0.0.4; charset=utf-8", text, len);
    }
    http_server_answer_document(exchange, serve->metrics.document);
}

static void get_status(struct serve *serve, struct http_exchange *exchange, const char *rest)
{
    (void)rest;
    if (!is_fresh(serve, &serve->status)) {
        struct scene scene = scene_now(serve);
        size_t len;
        char *text = api_documents_status(&scene, &len);
        keep(serve, &serve->status, JSON_TYPE, text, len);
    }
    http_server_answer_document(exchange, serve->status.document);
}

static void get_hosts(struct serve *serve, struct http_exchange *exchange, const char *rest)
{
    (void)rest;
    struct scene scene = scene_now(serve);
    size_t len;
    char *text = api_documents_hosts(&scene, &len);
    answer_json(exchange, 200, text, len);
}

static void get_holds(struct serve *serve, struct http_exchange *exchange, const char *rest)
{
    (void)rest;
    struct scene scene = scene_now(serve);
    size_t len;
    char *text = api_documents_holds(&scene, &len);
    answer_json(exchange, 200, text, len);
}

static void get_containers(struct serve *serve, struct http_exchange *exchange, const char *rest)
{
    (void)rest;
    struct api_filter filter = {.host = http_server_query(exchange, "host"),
                                .service = http_server_query(exchange, "service"),
                                .state = http_server_query(exchange, "state"),
                                .name = http_server_query(exchange, "name")};
    bool is_filtered =
        filter.host != NULL || filter.service != NULL || filter.state != NULL || filter.name != NULL;
    size_t len;
    if (is_filtered) {
        struct scene scene = scene_now(serve);
        char *text = api_documents_containers(&scene, &filter, &len);
        answer_json(exchange, 200, text, len);
        return;
    }
    if (!is_fresh(serve, &serve->containers)) {
        struct scene scene = scene_now(serve);
        char *text = api_documents_containers(&scene, &filter, &len);
        keep(serve, &serve->containers, JSON_TYPE, text, len);
    }
    http_server_answer_document(exchange, serve->containers.document);
}

static void answer_named(struct serve *serve, struct http_exchange *exchange, const char *name,
                         char *(*render)(const struct scene *scene, const char *name, size_t *len))
{
    struct scene scene = scene_now(serve);
    size_t len;
    char *text = render(&scene, name, &len);
    if (text != NULL) {
        answer_json(exchange, 200, text, len);
        return;
    }
    char message[MESSAGE_SIZE];
    api_documents_unknown(&scene, "container", name, message, sizeof message);
    refuse(exchange, 404, "unknown_container", message, NULL);
}

static void get_container(struct serve *serve, struct http_exchange *exchange, const char *rest)
{
    answer_named(serve, exchange, rest, api_documents_container);
}

static void get_explanation(struct serve *serve, struct http_exchange *exchange, const char *rest)
{
    explain_desk_answer(serve->explanations, exchange, rest);
}

static void get_openapi(struct serve *serve, struct http_exchange *exchange, const char *rest)
{
    (void)serve, (void)rest;
    size_t len;
    const char *bytes = documents_openapi(&len);
    char *copy = memory_alloc(len);
    memcpy(copy, bytes, len);
    answer_json(exchange, 200, copy, len);
}

static void get_events(struct serve *serve, struct http_exchange *exchange, const char *rest)
{
    (void)rest;
    event_history_answer(serve->history, exchange);
}

static void get_stream(struct serve *serve, struct http_exchange *exchange, const char *rest)
{
    (void)rest;
    event_feed_join(serve->feed, exchange);
}

/* ---- changes ---- */

static void post_hold(struct serve *serve, struct http_exchange *exchange, const char *rest)
{
    (void)rest;
    struct scene scene = scene_now(serve);
    api_changes_hold(serve->changes, &scene, exchange);
}

static void post_release(struct serve *serve, struct http_exchange *exchange, const char *rest)
{
    (void)rest;
    struct scene scene = scene_now(serve);
    api_changes_release(serve->changes, &scene, exchange);
}

static void post_reset(struct serve *serve, struct http_exchange *exchange, const char *rest)
{
    (void)rest;
    struct scene scene = scene_now(serve);
    api_changes_reset(serve->changes, &scene, exchange);
}

static void post_decommission(struct serve *serve, struct http_exchange *exchange, const char *rest)
{
    (void)rest;
    struct scene scene = scene_now(serve);
    api_changes_decommission(serve->changes, &scene, exchange);
}

static void post_test_alert(struct serve *serve, struct http_exchange *exchange, const char *rest)
{
    (void)rest;
    struct scene scene = scene_now(serve);
    api_changes_test_alert(serve->changes, &scene, exchange);
}

static void post_restart(struct serve *serve, struct http_exchange *exchange, const char *rest)
{
    (void)rest;
    struct scene scene = scene_now(serve);
    api_changes_restart(serve->changes, &scene, exchange);
}

/* ---- the way to them ---- */

struct route {
    enum http_method method;
    bool has_rest; /* the path goes on with a name */
    const char *path;
    void (*handle)(struct serve *serve, struct http_exchange *exchange, const char *rest);
};

static const struct route routes[] = {
    {HTTP_GET, false, "/", get_page},
    {HTTP_GET, false, API "events", get_events},
    {HTTP_GET, false, "/healthz", get_health},
    {HTTP_GET, false, "/readyz", get_ready},
    {HTTP_GET, false, "/metrics", get_metrics},
    {HTTP_GET, false, API "status", get_status},
    {HTTP_GET, false, API "hosts", get_hosts},
    {HTTP_GET, false, API "holds", get_holds},
    {HTTP_GET, false, API "containers", get_containers},
    {HTTP_GET, true, API "containers/", get_container},
    {HTTP_GET, true, API "explain/", get_explanation},
    {HTTP_GET, false, API "stream", get_stream},
    {HTTP_GET, false, API "openapi.json", get_openapi},
    {HTTP_POST, false, API "hold", post_hold},
    {HTTP_POST, false, API "release", post_release},
    {HTTP_POST, false, API "reset", post_reset},
    {HTTP_POST, false, API "restart", post_restart},
    {HTTP_POST, false, API "decommission", post_decommission},
    {HTTP_POST, false, API "alerts/test", post_test_alert},
};

static const char *match(const struct route *route, const char *path)
{
    size_t len = strlen(route->path);
    if (!route->has_rest) {
        return strcmp(path, route->path) == 0 ? "" : NULL;
    }
    return strncmp(path, route->path, len) == 0 && path[len] != '\0' ? path + len : NULL;
}

static void route_request(struct serve *serve, struct http_exchange *exchange)
{
    const char *path = http_server_path(exchange);
    bool is_known_path = false;
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        const char *rest = match(&routes[i], path);
        if (rest == NULL) {
            continue;
        }
        is_known_path = true;
        if (routes[i].method == http_server_method(exchange)) {
            routes[i].handle(serve, exchange, rest);
            return;
        }
    }
    if (is_known_path) {
        refuse(exchange, 405, "method_not_allowed", "this is not done with that method", NULL);
    } else {
        refuse(exchange, 404, "not_found", "there is nothing here; /api/v1/openapi.json tells what there is",
               NULL);
    }
}

static void on_request(void *arg, struct http_exchange *exchange)
{
    struct serve *serve = arg;
    serve->requests++;
    bool is_change = http_server_method(exchange) != HTTP_GET;
    switch (gatekeeper_judge(&serve->gatekeeper, is_change, http_server_header(exchange, "Authorization"),
                             http_server_header(exchange, "Host"))) {
    case GATEKEEPER_OPEN:
        route_request(serve, exchange);
        break;
    case GATEKEEPER_NEEDS_TOKEN:
        refuse(exchange, 401, "token_needed", "this needs the token: Authorization: Bearer TOKEN",
               is_change ? "WWW-Authenticate: Bearer" : "WWW-Authenticate: Basic realm=\"defib\"");
        break;
    case GATEKEEPER_BAD_TOKEN:
        refuse(exchange, 401, "bad_token", "the token is not the one in DEFIB_HTTP_TOKEN_FILE",
               is_change ? "WWW-Authenticate: Bearer" : "WWW-Authenticate: Basic realm=\"defib\"");
        break;
    case GATEKEEPER_BAD_HOST:
        refuse(exchange, 421, "bad_host", "without a token only requests to a loopback host are answered",
               NULL);
        break;
    case GATEKEEPER_NO_TOKEN_SET:
        refuse(exchange, 403, "changes_off", "nothing can be changed here: DEFIB_HTTP_TOKEN_FILE is not set",
               NULL);
        break;
    }
}

/* ---- opening and closing ---- */

static void on_action(void *arg, const struct action *action)
{
    struct serve *serve = arg;
    tally_count(&serve->tally, serve->parts.decider, action, loop_now(serve->loop));
    event_feed_tell(serve->feed, action);
}

static struct http_server_options server_options(struct serve *serve)
{
    return (struct http_server_options){.loop = serve->loop,
                                        .listen = serve->settings->http_listen,
                                        .cert_file = serve->settings->http_cert_file,
                                        .key_file = serve->settings->http_key_file,
                                        .on_request = on_request,
                                        .arg = serve};
}

static void listen_or_retry(void *arg)
{
    struct serve *serve = arg;
    struct err err;
    struct http_server_options options = server_options(serve);
    if (http_server_open(&options, &serve->server, &err) == 0) {
        log_info("HTTP%s on %s", options.cert_file[0] == '\0' ? "" : "S", serve->settings->http_listen);
        return;
    }
    if (!serve->is_failure_told) {
        bool is_named = strncmp(err.text, "DEFIB_", 6) == 0; /* another setting than the address */
        log_error("No HTTP: %s%s; it is tried again, all else goes on",
                  is_named ? "" : "DEFIB_HTTP_LISTEN=", err.text);
        serve->is_failure_told = true;
    }
    loop_timer_start(serve->retry, RETRY_MS, 0);
}

static struct http_document *make_page(void)
{
    size_t len;
    const char *bytes = page_document(&len);
    char *copy = memory_alloc(len);
    memcpy(copy, bytes, len);
    cleanup_free char *headers = page_headers();
    return http_server_document_new(&(struct http_answer){
        .status = 200, .type = "text/html; charset=utf-8", .headers = headers, .text = copy, .len = len});
}

int serve_open(struct loop *loop, const struct settings *settings, struct controller *controller,
               struct serve **out, struct err *err)
{
    struct gatekeeper gatekeeper = {.is_loopback = false};
    int result = gatekeeper_load(&gatekeeper, settings->http_listen, settings->http_token_file, err);
    if (result != 0) {
        return result;
    }
    struct serve *serve = memory_alloc(sizeof *serve);
    serve->loop = loop;
    serve->settings = settings;
    serve->controller = controller;
    serve->gatekeeper = gatekeeper;
    serve->started_at = clock_wall_now();
    controller_parts(controller, &serve->parts);
    serve->retry = loop_timer_new(loop, listen_or_retry, serve);
    serve->page = make_page();
    serve->history = event_history_new(loop, serve->parts.session);
    serve->explanations = explain_desk_new(serve->parts.session, look, serve);
    serve->feed = event_feed_new(loop, serve->parts.decider, serve->history);
    serve->changes = api_changes_new(controller, &serve->parts, serve->feed);
    controller_watch(controller, on_action, serve);
    listen_or_retry(serve);
    *out = serve;
    return 0;
}

void serve_reload(struct serve *serve)
{
    struct err err;
    if (gatekeeper_load(&serve->gatekeeper, serve->settings->http_listen, serve->settings->http_token_file,
                        &err) != 0) {
        log_error("SIGHUP: the token stays as it was: %s", err.text);
    }
    struct http_server_options options = server_options(serve);
    const struct http_server *before = serve->server;
    if (before != NULL && http_server_renew(&serve->server, &options, &err) != 0) {
        log_error("SIGHUP: the certificate of HTTPS stays as it was: %s", err.text);
    } else if (serve->server != before) {
        log_info("SIGHUP: a new certificate for HTTPS");
    }
}

void serve_close(struct serve *serve)
{
    if (serve == NULL) {
        return;
    }
    controller_watch(serve->controller, NULL, NULL);
    api_changes_free(serve->changes);
    event_history_free(serve->history);
    explain_desk_free(serve->explanations);
    http_server_close(serve->server);
    event_feed_free(serve->feed);
    loop_timer_free(serve->retry);
    http_server_document_free(serve->page);
    http_server_document_free(serve->metrics.document);
    http_server_document_free(serve->containers.document);
    http_server_document_free(serve->status.document);
    explicit_bzero(&serve->gatekeeper, sizeof serve->gatekeeper);
    free(serve);
}
