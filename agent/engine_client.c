#include "agent/engine_client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/http_client.h"
#include "common/memory.h"
#include "proto/limits.h"

enum { MESSAGE_SIZE = 320, PATH_SIZE = 1024, VERSION_SIZE = 16 };

struct engine_client {
    struct loop *loop;
    struct http_client *http;
    char describe[LIMIT_URL_SIZE];
    char version[VERSION_SIZE]; /* of the API, in every path */
    struct engine_counters counters;
    struct engine_call *calls;
};

struct engine_call {
    struct engine_client *client;
    struct engine_call *previous, *next;
    struct http_call *http;
    struct mono started;
    void (*deliver)(struct engine_call *call, struct engine_answer *answer,
                    const struct http_response *response);
    union {
        engine_inspect_callback inspect;
        engine_list_callback list;
        engine_info_callback info;
        engine_run_callback run;
        engine_callback plain;
        engine_bytes_callback bytes;
    } on_done;
    void *arg;
    struct engine_events_handlers events;
    char *line; /* of the stream: what came since the last newline */
    size_t line_len, line_size;
    bool is_line_dropped; /* it grew too long */
};

/* ---- the client ---- */

static const char *or_null(const char *text)
{
    return text != NULL && text[0] != '\0' ? text : NULL;
}

static int refuse_host(const char *value, struct err *err)
{
    return err_set(
        err, EINVAL,
        "DOCKER_HOST=%s: allowed are unix:///path, tcp://host:port, http://host:port and https://host:port",
        value);
}

/* Where the Engine is, as options for the HTTP client. `base` holds the URL. */
static int read_place(const struct settings *settings, char base[LIMIT_URL_SIZE],
                      struct http_client_options *out, struct err *err)
{
    const char *host = settings->docker_host;
    if (strncmp(host, "unix://", 7) == 0) {
        out->unix_path = host + 7;
        out->base_url = "http://localhost";
        return host[7] == '/' ? 0 : refuse_host(host, err);
    }
    const char *address = strstr(host, "://");
    if (address == NULL || address[3] == '\0' || strlen(host) >= LIMIT_URL_SIZE - 8) {
        return refuse_host(host, err);
    }
    bool is_tcp = strncmp(host, "tcp://", 6) == 0;
    bool is_https = strncmp(host, "https://", 8) == 0;
    if (!is_tcp && !is_https && strncmp(host, "http://", 7) != 0) {
        return refuse_host(host, err);
    }
    bool is_tls = is_https || (is_tcp && or_null(settings->docker_tls_verify) != NULL);
    snprintf(base, LIMIT_URL_SIZE, "http%s://%s", is_tls ? "s" : "", address + 3);
    size_t len = strlen(base);
    if (base[len - 1] == '/') {
        base[len - 1] = '\0';
    }
    out->base_url = base;
    return 0;
}

static int find_certificate(const char *folder, const char *name, char out[LIMIT_URL_SIZE], struct err *err)
{
    int len = snprintf(out, LIMIT_URL_SIZE, "%s/%s", folder, name);
    if (len >= LIMIT_URL_SIZE) {
        return err_set(err, ENAMETOOLONG, "DOCKER_CERT_PATH: allowed are %d bytes", LIMIT_URL_SIZE - 16);
    }
    if (access(out, R_OK) != 0) {
        return err_set(err, errno,
                       "DOCKER_CERT_PATH=%s: cannot read %s: %s; wanted are ca.pem, cert.pem and key.pem",
                       folder, out, strerror(errno));
    }
    return 0;
}

int engine_client_new(struct loop *loop, const struct settings *settings, struct engine_client **out,
                      struct err *err)
{
    char base[LIMIT_URL_SIZE];
    char ca[LIMIT_URL_SIZE], cert[LIMIT_URL_SIZE], key[LIMIT_URL_SIZE];
    struct http_client_options options = {.verify_peer = true};
    int status = read_place(settings, base, &options, err);
    if (status != 0) {
        return status;
    }
    const char *certs = or_null(settings->docker_cert_path);
    if (certs != NULL && options.unix_path == NULL) {
        if (find_certificate(certs, "ca.pem", ca, err) != 0 ||
            find_certificate(certs, "cert.pem", cert, err) != 0 ||
            find_certificate(certs, "key.pem", key, err) != 0) {
            return -EINVAL;
        }
        options.ca_file = ca;
        options.cert_file = cert;
        options.key_file = key;
    }
    struct engine_client *client = memory_alloc(sizeof *client);
    client->loop = loop;
    client->http = http_client_new(loop, &options);
    memory_set_text(client->describe, sizeof client->describe, settings->docker_host);
    memory_set_text(client->version, sizeof client->version, "1.41");
    *out = client;
    return 0;
}

static void free_call(struct engine_call *call)
{
    if (call->previous != NULL) {
        call->previous->next = call->next;
    } else {
        call->client->calls = call->next;
    }
    if (call->next != NULL) {
        call->next->previous = call->previous;
    }
    free(call->line);
    free(call);
}

void engine_client_free(struct engine_client *client)
{
    if (client == NULL) {
        return;
    }
    while (client->calls != NULL) {
        engine_call_cancel(client->calls);
    }
    http_client_free(client->http);
    free(client);
}

const char *engine_client_describe(const struct engine_client *client)
{
    return client->describe;
}

struct engine_counters engine_client_counters(const struct engine_client *client)
{
    return client->counters;
}

void engine_call_cancel(struct engine_call *call)
{
    if (call != NULL) {
        http_call_cancel(call->http);
        free_call(call);
    }
}

/* ---- answers ---- */

static enum engine_result result_of(const struct http_response *response)
{
    if (response->status == 0 || response->err.code != 0) {
        switch (response->err.code) {
        case ECONNREFUSED:
        case ENOENT:
        case EACCES:
            return ENGINE_UNREACHABLE;
        case EMSGSIZE:
            return ENGINE_FAILED;
        default:
            return ENGINE_LOST;
        }
    }
    if ((response->status >= 200 && response->status < 300) || response->status == 304) {
        return ENGINE_OK;
    }
    return response->status == 404   ? ENGINE_NOT_FOUND
           : response->status == 409 ? ENGINE_CONFLICT
                                     : ENGINE_FAILED;
}

static const char *hint_of(int code)
{
    switch (code) {
    case ENOENT:
        return "; is dockerd running, and in a container the socket mounted? DOCKER_HOST says where to look";
    case EACCES:
        return "; run as root or in the group that owns the socket";
    case ECONNREFUSED:
        return "; nothing listens there: is dockerd running?";
    default:
        return "";
    }
}

static void describe(const struct http_response *response, enum engine_result result, char out[MESSAGE_SIZE])
{
    out[0] = '\0';
    if (result == ENGINE_OK) {
        return;
    }
    if (response->status != 0 && response->err.code == 0) {
        engine_json_message(response->body, response->len, out, MESSAGE_SIZE);
    } else {
        snprintf(out, MESSAGE_SIZE, "%.200s%s", response->err.text, hint_of(response->err.code));
    }
}

/* An Engine too new for our version names the oldest that it still speaks; the next call uses that one. */
static void learn_version(struct engine_client *client, const struct http_response *response,
                          const char *message)
{
    static const char words[] = "Minimum supported API version is ";
    const char *at = response->status == 400 ? strstr(message, words) : NULL;
    if (at != NULL) {
        at += sizeof words - 1;
        size_t len = strspn(at, "0123456789.");
        while (len > 0 && at[len - 1] == '.') {
            len--;
        }
        if (len > 0 && len < VERSION_SIZE) {
            memcpy(client->version, at, len);
            client->version[len] = '\0';
        }
    }
}

static void on_response(void *arg, const struct http_response *response)
{
    struct engine_call *call = arg;
    struct engine_client *client = call->client;
    char message[MESSAGE_SIZE];
    struct engine_answer answer = {
        .result = result_of(response), .status = response->status, .message = message};
    answer.took_ms = mono_diff(loop_now(client->loop), call->started);
    describe(response, answer.result, message);
    learn_version(client, response, message);
    client->counters.errors += answer.result != ENGINE_OK && answer.result != ENGINE_NOT_FOUND;
    call->deliver(call, &answer, response);
    free_call(call);
}

/* Docker said yes, but with bytes that say nothing to us. */
static void fail_answer(struct engine_call *call, struct engine_answer *answer, const struct err *err)
{
    call->client->counters.errors++;
    answer->result = ENGINE_FAILED;
    answer->message = err->text;
}

static void deliver_plain(struct engine_call *call, struct engine_answer *answer,
                          const struct http_response *response)
{
    (void)response;
    call->on_done.plain(call->arg, answer);
}

static void deliver_inspect(struct engine_call *call, struct engine_answer *answer,
                            const struct http_response *response)
{
    struct engine_container container = {.pid = 0};
    struct err err = {0};
    if (answer->result == ENGINE_OK &&
        engine_json_container(response->body, response->len, &container, &err) != 0) {
        fail_answer(call, answer, &err);
    }
    call->on_done.inspect(call->arg, answer, answer->result == ENGINE_OK ? &container : NULL);
    engine_container_fini(&container);
}

static void deliver_list(struct engine_call *call, struct engine_answer *answer,
                         const struct http_response *response)
{
    struct engine_summary *rows = NULL;
    size_t count = 0;
    struct err err = {0};
    if (answer->result == ENGINE_OK &&
        engine_json_list(response->body, response->len, &rows, &count, &err) != 0) {
        fail_answer(call, answer, &err);
    }
    call->on_done.list(call->arg, answer, rows, count);
    engine_summaries_free(rows, count);
}

static void deliver_info(struct engine_call *call, struct engine_answer *answer,
                         const struct http_response *response)
{
    struct engine_info info = {.system_time_ns = 0};
    struct err err = {0};
    if (answer->result == ENGINE_OK && engine_json_info(response->body, response->len, &info, &err) != 0) {
        fail_answer(call, answer, &err);
    }
    call->on_done.info(call->arg, answer, answer->result == ENGINE_OK ? &info : NULL);
}

static void deliver_run(struct engine_call *call, struct engine_answer *answer,
                        const struct http_response *response)
{
    char id[LIMIT_ID_SIZE] = "";
    struct err err = {0};
    if (answer->result == ENGINE_OK && engine_json_network_id(response->body, response->len, id, &err) != 0) {
        fail_answer(call, answer, &err);
    }
    call->on_done.run(call->arg, answer, id);
}

static void deliver_bytes(struct engine_call *call, struct engine_answer *answer,
                          const struct http_response *response)
{
    bool is_well = answer->result == ENGINE_OK;
    call->on_done.bytes(call->arg, answer, is_well ? response->body : "", is_well ? response->len : 0);
}

/* ---- calls ---- */

static struct engine_call *new_call(struct engine_client *client, void *arg)
{
    struct engine_call *call = memory_alloc(sizeof *call);
    call->client = client;
    call->arg = arg;
    call->started = loop_now(client->loop);
    call->next = client->calls;
    if (client->calls != NULL) {
        client->calls->previous = call;
    }
    client->calls = call;
    client->counters.calls++;
    return call;
}

__attribute__((format(printf, 4, 5))) static void send(struct engine_call *call, const char *method,
                                                       int64_t timeout_ms, const char *format, ...)
{
    char path[PATH_SIZE];
    int used = snprintf(path, sizeof path, "/v%s", call->client->version);
    va_list args;
    va_start(args, format);
    vsnprintf(path + used, sizeof path - (size_t)used, format, args);
    va_end(args);
    struct http_request request = {
        .method = method,
        .path = path,
        .timeout_ms = timeout_ms,
        .max_bytes = LIMIT_ENGINE_BODY_BYTES,
        .on_done = on_response,
        .arg = call,
    };
    call->http = http_client_send(call->client->http, &request);
}

struct engine_call *engine_client_inspect(struct engine_client *client, const char *id, int64_t timeout_ms,
                                          engine_inspect_callback on_done, void *arg)
{
    struct engine_call *call = new_call(client, arg);
    call->deliver = deliver_inspect;
    call->on_done.inspect = on_done;
    send(call, "GET", timeout_ms, "/containers/%s/json", id);
    return call;
}

struct engine_call *engine_client_list(struct engine_client *client, int64_t timeout_ms,
                                       engine_list_callback on_done, void *arg)
{
    struct engine_call *call = new_call(client, arg);
    call->deliver = deliver_list;
    call->on_done.list = on_done;
    send(call, "GET", timeout_ms, "/containers/json?all=1");
    return call;
}

struct engine_call *engine_client_info(struct engine_client *client, int64_t timeout_ms,
                                       engine_info_callback on_done, void *arg)
{
    struct engine_call *call = new_call(client, arg);
    call->deliver = deliver_info;
    call->on_done.info = on_done;
    send(call, "GET", timeout_ms, "/info");
    return call;
}

struct engine_call *engine_client_run(struct engine_client *client, int64_t timeout_ms,
                                      engine_run_callback on_done, void *arg)
{
    struct engine_call *call = new_call(client, arg);
    call->deliver = deliver_run;
    call->on_done.run = on_done;
    send(call, "GET", timeout_ms, "/networks/bridge");
    return call;
}

struct engine_call *engine_client_ping(struct engine_client *client, int64_t timeout_ms,
                                       engine_callback on_done, void *arg)
{
    struct engine_call *call = new_call(client, arg);
    call->deliver = deliver_plain;
    call->on_done.plain = on_done;
    send(call, "HEAD", timeout_ms, "/_ping");
    return call;
}

struct engine_call *engine_client_ask(struct engine_client *client, const struct engine_ask *ask,
                                      engine_bytes_callback on_done, void *arg)
{
    struct engine_call *call = new_call(client, arg);
    call->deliver = deliver_bytes;
    call->on_done.bytes = on_done;
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "/v%s%s", client->version, ask->path);
    struct http_request request = {
        .method = ask->method,
        .path = path,
        .body = ask->body,
        .timeout_ms = ask->timeout_ms,
        .max_bytes = ask->max_bytes,
        .on_done = on_response,
        .arg = call,
    };
    call->http = http_client_send(client->http, &request);
    return call;
}

struct engine_call *engine_client_start(struct engine_client *client, const char *id, int64_t timeout_ms,
                                        engine_callback on_done, void *arg)
{
    struct engine_call *call = new_call(client, arg);
    call->deliver = deliver_plain;
    call->on_done.plain = on_done;
    send(call, "POST", timeout_ms, "/containers/%s/start", id);
    return call;
}

struct engine_call *engine_client_restart(struct engine_client *client, const char *id,
                                          int64_t stop_timeout_secs, int64_t timeout_ms,
                                          engine_callback on_done, void *arg)
{
    struct engine_call *call = new_call(client, arg);
    call->deliver = deliver_plain;
    call->on_done.plain = on_done;
    send(call, "POST", timeout_ms, "/containers/%s/restart?t=%" PRId64, id, stop_timeout_secs);
    return call;
}

/* ---- the event stream ---- */

static void keep_part(struct engine_call *call, const char *bytes, size_t len)
{
    if (call->is_line_dropped || call->line_len + len > LIMIT_EVENT_LINE_BYTES) {
        call->is_line_dropped = true;
        return;
    }
    if (call->line_size < call->line_len + len) {
        call->line_size = (call->line_len + len) * 2;
        call->line = memory_grow(call->line, call->line_size, 1);
    }
    memcpy(call->line + call->line_len, bytes, len);
    call->line_len += len;
}

static void on_stream_data(void *arg, const char *bytes, size_t len)
{
    struct engine_call *call = arg;
    const char *end = bytes + len;
    while (bytes < end) {
        const char *newline = memchr(bytes, '\n', (size_t)(end - bytes));
        size_t part = newline == NULL ? (size_t)(end - bytes) : (size_t)(newline - bytes);
        keep_part(call, bytes, part);
        if (newline == NULL) {
            return;
        }
        if (!call->is_line_dropped && call->line_len > 0) {
            call->events.on_line(call->events.arg, call->line, call->line_len);
        }
        call->line_len = 0;
        call->is_line_dropped = false;
        bytes = newline + 1;
    }
}

static void on_stream_open(void *arg)
{
    const struct engine_call *call = arg;
    if (call->events.on_open != NULL) {
        call->events.on_open(call->events.arg);
    }
}

static void deliver_stream_end(struct engine_call *call, struct engine_answer *answer,
                               const struct http_response *response)
{
    (void)response;
    call->events.on_end(call->events.arg, answer);
}

static void percent_encode(const char *text, char *out, size_t size)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t used = 0;
    for (; *text != '\0' && used + 4 < size; text++) {
        unsigned char byte = (unsigned char)*text;
        bool is_plain = (byte >= 'a' && byte <= 'z') || byte == '_';
        if (is_plain) {
            out[used++] = *text;
        } else {
            out[used++] = '%';
            out[used++] = hex[byte >> 4];
            out[used++] = hex[byte & 15];
        }
    }
    out[used] = '\0';
}

struct engine_call *engine_client_events(struct engine_client *client, int64_t since_ns,
                                         const struct engine_events_handlers *handlers)
{
    struct engine_call *call = new_call(client, NULL);
    call->deliver = deliver_stream_end;
    call->events = *handlers;
    char filters[PATH_SIZE - 128], since[64] = "";
    percent_encode(engine_json_event_filter(), filters, sizeof filters);
    if (since_ns > 0) {
        snprintf(since, sizeof since, "since=%" PRId64 ".%09" PRId64 "&", since_ns / 1000000000,
                 since_ns % 1000000000);
    }
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "/v%s/events?%sfilters=%s", client->version, since, filters);
    struct http_request request = {
        .method = "GET",
        .path = path,
        .on_data = on_stream_data,
        .on_open = on_stream_open,
        .on_done = on_response,
        .arg = call,
    };
    call->http = http_client_send(client->http, &request);
    return call;
}
