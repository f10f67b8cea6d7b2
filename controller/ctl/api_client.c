#include "controller/ctl/api_client.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/http_client.h"
#include "common/memory.h"
#include "proto/json_reader.h"

enum { TIMEOUT_MS = 15000, CONNECT_MS = 3000, MAX_BYTES = 64 * 1024 * 1024, MAX_VALUES = 4 * 1000 * 1000 };

struct api_client {
    struct loop *loop;
    struct http_client *http;
    char *authorization; /* the header, or NULL */
};

struct wait {
    struct api_client *client;
    struct api_reply *reply;
    struct err *err;
    int result;
    /* of a stream */
    bool (*on_event)(void *arg, const char *kind, const char *data);
    void *arg;
    char *pending; /* what came and is no whole event yet */
    size_t pending_len;
    struct http_call *call;
    bool is_over;
};

struct api_client *api_client_new(struct loop *loop, const struct settings *settings)
{
    struct api_client *client = memory_alloc(sizeof *client);
    struct http_client_options options = {.base_url = settings->url, .verify_peer = true};
    options.ca_file = settings->http_ca_file[0] == '\0' ? NULL : settings->http_ca_file;
    cleanup_free char *token = NULL;
    struct err err;
    client->loop = loop;
    client->http = http_client_new(loop, &options);
    if (settings->http_token_file[0] != '\0' &&
        config_read_file(settings->http_token_file, 1024, &token, &err) == 0 &&
        asprintf(&client->authorization, "Authorization: Bearer %s", token) < 0) {
        abort();
    }
    return client;
}

void api_client_free(struct api_client *client)
{
    if (client == NULL) {
        return;
    }
    http_client_free(client->http);
    if (client->authorization != NULL) {
        explicit_bzero(client->authorization, strlen(client->authorization));
    }
    free(client->authorization);
    free(client);
}

bool api_client_has_token(const struct api_client *client)
{
    return client->authorization != NULL;
}

void api_client_reply_fini(struct api_reply *reply)
{
    json_reader_cleanup(&reply->tree);
    free(reply->text);
    *reply = (struct api_reply){.status = 0};
}

/* ---- one question ---- */

static void read_message(struct api_reply *reply)
{
    const struct cJSON *error = json_reader_member(reply->tree, "error");
    if (error == NULL ||
        !json_reader_text(json_reader_member(error, "message"), reply->message, sizeof reply->message)) {
        snprintf(reply->message, sizeof reply->message, "HTTP status %d", reply->status);
    }
}

static void on_done(void *arg, const struct http_response *response)
{
    static const struct json_bounds bounds = {"answer", MAX_BYTES, MAX_VALUES};
    struct wait *wait = arg;
    struct api_reply *reply = wait->reply;
    if (response->err.code != 0) {
        *wait->err = response->err;
        wait->result = -response->err.code;
    } else {
        reply->status = response->status;
        reply->text = memory_alloc(response->len + 1);
        memcpy(reply->text, response->body, response->len);
        reply->len = response->len;
        if (json_reader_parse(reply->text, reply->len, &bounds, &reply->tree, NULL) != 0) {
            reply->tree = NULL;
        }
        if (reply->status < 200 || reply->status > 299) {
            read_message(reply);
        }
    }
    loop_stop(wait->client->loop);
}

static void fill_request(const struct api_client *client, const char *const headers[2],
                         struct http_request *out)
{
    out->connect_timeout_ms = CONNECT_MS;
    out->max_bytes = MAX_BYTES;
    out->headers = client->authorization == NULL ? NULL : headers;
}

int api_client_call(struct api_client *client, const char *method, const char *path, const char *body,
                    struct api_reply *out, struct err *err)
{
    *out = (struct api_reply){.status = 0};
    struct wait wait = {.client = client, .reply = out, .err = err};
    const char *headers[2] = {client->authorization, NULL};
    struct http_request request = {.method = method,
                                   .path = path,
                                   .body = body,
                                   .timeout_ms = TIMEOUT_MS,
                                   .on_done = on_done,
                                   .arg = &wait};
    fill_request(client, headers, &request);
    http_client_send(client->http, &request);
    loop_run(client->loop);
    return wait.result;
}

/* ---- streams ---- */

/* "event: kind\ndata: text", without the blank line behind. */
static bool tell_event(struct wait *wait, char *block)
{
    const char *kind = "message", *data = "";
    char *save;
    for (char *line = strtok_r(block, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
        if (strncmp(line, "event: ", 7) == 0) {
            kind = line + 7;
        } else if (strncmp(line, "data: ", 6) == 0) {
            data = line + 6;
        }
    }
    return wait->on_event(wait->arg, kind, data);
}

static void on_data(void *arg, const char *bytes, size_t len)
{
    struct wait *wait = arg;
    wait->pending = memory_grow(wait->pending, wait->pending_len + len + 1, 1);
    memcpy(wait->pending + wait->pending_len, bytes, len);
    wait->pending_len += len;
    wait->pending[wait->pending_len] = '\0';
    char *end;
    while (!wait->is_over && (end = strstr(wait->pending, "\n\n")) != NULL) {
        *end = '\0';
        wait->is_over = !tell_event(wait, wait->pending);
        size_t used = (size_t)(end + 2 - wait->pending);
        wait->pending_len -= used;
        memmove(wait->pending, wait->pending + used, wait->pending_len + 1);
    }
    if (wait->is_over) {
        http_call_cancel(wait->call);
        loop_stop(wait->client->loop);
    }
}

static void on_stream_done(void *arg, const struct http_response *response)
{
    struct wait *wait = arg;
    if (response->err.code != 0) {
        *wait->err = response->err;
        wait->result = -response->err.code;
    } else if (response->status != 200) {
        wait->result = err_set(wait->err, EIO, "HTTP status %d", response->status);
    }
    loop_stop(wait->client->loop);
}

int api_client_listen(struct api_client *client, const char *path,
                      bool (*on_event)(void *arg, const char *kind, const char *data), void *arg,
                      struct err *err)
{
    struct wait wait = {.client = client, .err = err, .on_event = on_event, .arg = arg};
    const char *headers[2] = {client->authorization, NULL};
    struct http_request request = {
        .method = "GET", .path = path, .on_data = on_data, .on_done = on_stream_done, .arg = &wait};
    fill_request(client, headers, &request);
    wait.call = http_client_send(client->http, &request);
    loop_run(client->loop);
    free(wait.pending);
    return wait.result;
}

char *api_client_path(const char *prefix, const char *name)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    size_t len = strlen(prefix);
    char *out = memory_alloc(len + 3 * strlen(name) + 1);
    memcpy(out, prefix, len);
    for (; *name != '\0'; name++) {
        if (strchr(plain, *name) != NULL) {
            out[len++] = *name;
        } else {
            len += (size_t)sprintf(out + len, "%%%02X", (unsigned char)*name);
        }
    }
    return out;
}
