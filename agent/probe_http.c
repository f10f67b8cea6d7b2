#include "agent/probe_http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/http_client.h"
#include "common/memory.h"

enum { BODY_MAX_BYTES = 256 * 1024, CONNECTIONS = 64, URL_SIZE = 1024, FAILURE_SIZE = 384 };

/* Whom to trust belongs to the client: there is one for each choice. */
struct truster {
    struct truster *next;
    char ca_file[LIMIT_NAME_SIZE];
    bool is_unverified;
    struct http_client *client;
};

struct probe_http {
    struct loop *loop;
    struct truster *trusters;
};

struct probe_http_call {
    struct http_call *call;
    const struct probe_spec *spec;
    void (*on_done)(void *arg, const char *failure);
    void *arg;
};

struct probe_http *probe_http_new(struct loop *loop)
{
    struct probe_http *http = memory_alloc(sizeof *http);
    http->loop = loop;
    return http;
}

void probe_http_free(struct probe_http *http)
{
    while (http->trusters != NULL) {
        struct truster *first = http->trusters;
        http->trusters = first->next;
        http_client_free(first->client);
        free(first);
    }
    free(http);
}

static struct http_client *client_for(struct probe_http *http, const struct probe_spec *spec)
{
    struct truster *truster = http->trusters;
    while (truster != NULL &&
           (strcmp(truster->ca_file, spec->ca_file) != 0 || truster->is_unverified != spec->is_unverified)) {
        truster = truster->next;
    }
    if (truster == NULL) {
        const struct http_client_options options = {
            .base_url = "",
            .ca_file = spec->ca_file[0] != '\0' ? spec->ca_file : NULL,
            .verify_peer = !spec->is_unverified,
            .max_connections = CONNECTIONS,
        };
        truster = memory_alloc(sizeof *truster);
        memory_set_text(truster->ca_file, sizeof truster->ca_file, spec->ca_file);
        truster->is_unverified = spec->is_unverified;
        truster->client = http_client_new(http->loop, &options);
        truster->next = http->trusters;
        http->trusters = truster;
    }
    return truster->client;
}

/* ---- the answer ---- */

static bool is_wanted_status(const struct probe_spec *spec, int status)
{
    for (size_t i = 0; i < spec->status_count; i++) {
        if (status >= spec->statuses[i].low && status <= spec->statuses[i].high) {
            return true;
        }
    }
    return false;
}

/* False: failure tells. */
static bool is_well(const struct probe_spec *spec, const struct http_response *response,
                    char failure[FAILURE_SIZE])
{
    bool is_long = response->err.code == EMSGSIZE && response->status != 0;
    if (response->err.code != 0 && !is_long) {
        snprintf(failure, FAILURE_SIZE, "%s", response->err.text);
        return false;
    }
    if (!is_wanted_status(spec, response->status)) {
        snprintf(failure, FAILURE_SIZE, "status %d is none that was asked for", response->status);
        return false;
    }
    if (spec->body[0] == '\0') {
        return true;
    }
    if (is_long) {
        snprintf(failure, FAILURE_SIZE, "the body is longer than %d bytes", BODY_MAX_BYTES);
        return false;
    }
    if (memmem(response->body, response->len, spec->body, strlen(spec->body)) == NULL) {
        snprintf(failure, FAILURE_SIZE, "\"%.100s\" does not stand in the body of %zu bytes", spec->body,
                 response->len);
        return false;
    }
    return true;
}

static void on_response(void *arg, const struct http_response *response)
{
    struct probe_http_call *call = arg;
    void (*on_done)(void *done_arg, const char *failure) = call->on_done;
    void *done_arg = call->arg;
    char failure[FAILURE_SIZE];
    bool is_fine = is_well(call->spec, response, failure);
    free(call);
    on_done(done_arg, is_fine ? NULL : failure);
}

struct probe_http_call *probe_http_start(struct probe_http *http, const struct probe_spec *spec,
                                         const char *host, void (*on_done)(void *arg, const char *failure),
                                         void *arg)
{
    char url[URL_SIZE];
    bool is_v6 = strchr(host, ':') != NULL;
    snprintf(url, sizeof url, "%s://%s%s%s:%d%s", probe_spec_kind_name(spec->kind), is_v6 ? "[" : "", host,
             is_v6 ? "]" : "", spec->port, spec->path);
    struct probe_http_call *call = memory_alloc(sizeof *call);
    call->spec = spec;
    call->on_done = on_done;
    call->arg = arg;
    const struct http_request request = {
        .method = "GET",
        .path = url,
        .timeout_ms = spec->timeout_ms,
        .connect_timeout_ms = spec->timeout_ms,
        .max_bytes = BODY_MAX_BYTES,
        .is_fresh = true,
        .on_done = on_response,
        .arg = call,
    };
    call->call = http_client_send(client_for(http, spec), &request);
    return call;
}

void probe_http_cancel(struct probe_http_call *call)
{
    if (call != NULL) {
        http_call_cancel(call->call);
        free(call);
    }
}
