/*
 * An HTTP/1.1 server on the controller's loop: libmicrohttpd without threads of its own, its epoll descriptor
 * watched by the loop. Its header is in http_server.c alone.
 *
 * Bounded in every direction: connections, header bytes, body bytes, time for one exchange, streams, and the
 * bytes that wait for a slow reader. What exceeds a bound costs its own connection alone.
 *
 * An exchange is one request until it is answered, within on_request or later. All on the loop's thread;
 * nothing blocks.
 */
#ifndef DEFIB_CONTROLLER_SERVE_HTTP_SERVER_H
#define DEFIB_CONTROLLER_SERVE_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/loop.h"

enum {
    HTTP_SERVER_CONNECTIONS = 128,
    HTTP_SERVER_STREAMS = 32,
    HTTP_SERVER_BODY_BYTES = 16 * 1024,
    HTTP_SERVER_STREAM_BYTES = 256 * 1024, /* waiting for one reader; past that it is cut off */
    HTTP_SERVER_EXCHANGE_MS = 30000        /* from the first byte, or the last answer, to the next answer */
};

struct http_server;
struct http_exchange;
struct http_stream;
struct http_document;

enum http_method { HTTP_GET, HTTP_POST, HTTP_DELETE, HTTP_OTHER }; /* HEAD comes as GET */

struct http_server_options {
    struct loop *loop;
    const char *listen;    /* "127.0.0.1:7410", "[::1]:0", "localhost:7410", ":7410" (all addresses) */
    const char *cert_file; /* PEM, with its key: HTTPS, TLS 1.2 and up; NULL or "": HTTP. Read at open */
    const char *key_file;  /* not readable by others */
    void (*on_request)(void *arg, struct http_exchange *exchange);
    void *arg;
};

/* 0, or -errno with one line (in use, not permitted, no such address). *out is given. */
int http_server_open(const struct http_server_options *options, struct http_server **out, struct err *err);

/* Reads certificate and key again. Where they are others than before: a new server at the same socket, that
 * knows no connection of the old one's, which is closed as by http_server_close; streams are told gone. 0; or
 * -errno with one line: all stays as it was. */
int http_server_renew(struct http_server **server, const struct http_server_options *options,
                      struct err *err);

/* Streams end; exchanges that are not answered yet may still be answered, to nobody. */
void http_server_close(struct http_server *server);

size_t http_server_connections(const struct http_server *server);

/* ---- a request; query and header within on_request only, the rest until it is answered ---- */

enum http_method http_server_method(const struct http_exchange *exchange);
const char *http_server_path(const struct http_exchange *exchange); /* percent-decoded, without the query */
const char *http_server_query(const struct http_exchange *exchange, const char *name);  /* NULL: not there */
const char *http_server_header(const struct http_exchange *exchange, const char *name); /* NULL: not there */
const char *http_server_body(const struct http_exchange *exchange, size_t *len);        /* NUL-terminated */

/* ---- answers: each exchange gets exactly one ---- */

struct http_answer {
    int status;
    const char *type;    /* Content-Type */
    const char *headers; /* "Name: value\n…" more of them, or NULL */
    char *text;          /* taken; NULL: empty */
    size_t len;
};
void http_server_answer(struct http_exchange *exchange, const struct http_answer *answer);

/* A body that several answers share: rendered once, sent to many. Answered within on_request only. */
struct http_document *http_server_document_new(const struct http_answer *answer);
void http_server_document_free(struct http_document *document); /* answers under way keep it */
void http_server_answer_document(struct http_exchange *exchange, const struct http_document *document);

/* Server-sent events: 200, and what is sent until it is closed. on_gone comes once, unless the stream was
 * closed by us. NULL where there are too many: the exchange was then answered 503. */
struct http_stream *http_server_answer_stream(struct http_exchange *exchange, void (*on_gone)(void *arg),
                                              void *arg);
void http_server_stream_send(struct http_stream *stream, const char *bytes, size_t len);

#endif
