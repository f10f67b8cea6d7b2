/*
 * HTTP requests over libcurl's multi interface on our loop, its header in http_client.c alone.
 *
 * One client talks to one server: a Unix socket or a TCP address, TLS by CA, certificate and key files.
 * Calls run side by side. A POST always opens a fresh connection: libcurl repeats a POST when a reused
 * connection dies unanswered, and the server would see it twice. All on the loop's thread; nothing blocks.
 * Callbacks run outside of libcurl and may call anything here: send, cancel any call, free the client.
 */
#ifndef DEFIB_COMMON_HTTP_CLIENT_H
#define DEFIB_COMMON_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/loop.h"

struct http_client;
struct http_call;

struct http_client_options {
    const char *unix_path; /* or NULL; all strings are copied */
    const char *base_url;  /* "http://localhost" for a Unix socket, "https://10.0.0.5:2376", … no path; "":
                              each  request's path is a whole URL, and servers may be many */
    const char *ca_file;   /* TLS only; NULL: none of ours */
    const char *cert_file;
    const char *key_file;
    bool verify_peer;       /* TLS only */
    size_t max_connections; /* kept or open at once; 0 = 16. More calls wait in libcurl. */
};

struct http_client *http_client_new(struct loop *loop, const struct http_client_options *options);
void http_client_free(struct http_client *client); /* open calls end without a callback */

struct http_response {
    int status; /* HTTP status; 0 where no answer came: then err tells */
    const char
        *body; /* borrowed, NUL-terminated behind len; whole, or empty where err tells or a stream took it */
    size_t len;
    struct err err; /* code 0 where an HTTP answer came whole; else ECONNREFUSED, ENOENT (no such socket),
                       EACCES, ETIMEDOUT, EMSGSIZE (body over max_bytes), EPIPE (broken off), EIO */
};

struct http_request {
    const char *method;         /* "GET", "POST" */
    const char *path;           /* with its query, percent-encoded */
    const char *body;           /* or NULL; copied; sent as application/json */
    const char *const *headers; /* "Name: value" more of them, NULL-terminated; copied; or NULL */
    int64_t timeout_ms;         /* from the call to the last byte; 0: none (a stream that stays open) */
    int64_t connect_timeout_ms; /* 0 = 5000 */
    size_t max_bytes;           /* of the body; 0 = 16 MiB. A stream may bring any number in total. */
    bool is_fresh;              /* a connection of its own, closed behind it; a POST always has that */
    /* A stream: called for each piece of a 2xx body as it comes, borrowed; NULL: the body is collected. What
     * a stream is answered with another status is collected too. */
    void (*on_data)(void *arg, const char *bytes, size_t len);
    /* A stream: the status line and headers were answered 2xx (before any data). May be NULL. */
    void (*on_open)(void *arg);
    void (*on_done)(void *arg, const struct http_response *response); /* exactly once, unless cancelled */
    void *arg;
};

/* Never fails and never calls back from within; what goes wrong comes to on_done. The call is borrowed from
 * the client and ends with on_done or http_call_cancel. */
struct http_call *http_client_send(struct http_client *client, const struct http_request *request);

/* No callback runs afterwards. The server may carry the request out all the same. */
void http_call_cancel(struct http_call *call);

#endif
