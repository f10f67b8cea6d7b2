#include "controller/serve/http_server.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <microhttpd.h>

#include "common/config.h"
#include "common/fingerprint.h"
#include "common/memory.h"
#include "controller/serve/listen_socket.h"

enum {
    CONNECTION_MEMORY_BYTES = 16 * 1024,
    LOOK_MS = 1000,
    STREAM_BLOCK_BYTES = 4096,
    PEM_BYTES = 256 * 1024
};

static const unsigned IDLE_SECS = 20;

struct connection {
    struct http_server *server;
    struct connection *previous, *next;
    int fd;
    bool is_stream;
    struct mono busy_since; /* or idle */
};

struct http_server {
    struct loop *loop;
    struct MHD_Daemon *daemon;
    struct loop_poll *poll;
    struct loop_timer *timer; /* libmicrohttpd's own */
    struct loop_timer *look;  /* ours: exchanges that take too long */
    void (*on_request)(void *arg, struct http_exchange *exchange);
    void *arg;
    struct connection *connections;
    size_t connection_count, stream_count;
    struct http_exchange *waiting; /* suspended */
    struct http_stream *streams;
    uint64_t tls_files; /* fingerprint of certificate and key */
};

struct http_exchange {
    struct http_server *server; /* NULL: it closed */
    struct MHD_Connection *connection;
    enum http_method method;
    char *path;
    char *body;
    size_t body_len;
    bool is_too_large, is_handed_out, is_answered, is_suspended;
    bool is_shared;                /* the response is a document's */
    struct MHD_Response *response; /* to be queued */
    unsigned status;
    struct http_exchange *previous, *next; /* among the waiting */
};

struct http_document {
    struct MHD_Response *response;
    unsigned status;
};

struct http_stream {
    struct http_server *server; /* NULL: it closed */
    struct MHD_Connection *connection;
    char *bytes;
    size_t len, size;
    bool is_suspended, is_cut_off;
    void (*on_gone)(void *arg);
    void *arg;
    struct http_stream *previous, *next;
};

/* ---- turning ---- */

static void run(struct http_server *server)
{
    size_t before;
    do { /* at the limit it accepts again only in the turn after one has left */
        before = server->connection_count;
        MHD_run(server->daemon);
    } while (server->connection_count < before);
    MHD_UNSIGNED_LONG_LONG wait_ms;
    if (MHD_get_timeout(server->daemon, &wait_ms) == MHD_YES) {
        loop_timer_start(server->timer, wait_ms > LOOK_MS ? LOOK_MS : (int64_t)wait_ms, 0);
    } else {
        loop_timer_stop(server->timer);
    }
}

static void on_ready(void *arg, int events)
{
    (void)events;
    run(arg);
}

static void on_timer(void *arg)
{
    run(arg);
}

/* libmicrohttpd's own time limit counts silence: a client that dribbles would stay for ever. */
static void on_look(void *arg)
{
    struct http_server *server = arg;
    struct mono now = loop_now(server->loop);
    for (struct connection *each = server->connections; each != NULL; each = each->next) {
        if (!each->is_stream && mono_diff(now, each->busy_since) > HTTP_SERVER_EXCHANGE_MS) {
            shutdown(each->fd, SHUT_RDWR);
        }
    }
}

/* Without threads of its own libmicrohttpd does not wake itself. */
static void resume(struct http_server *server, struct MHD_Connection *connection)
{
    MHD_resume_connection(connection);
    loop_timer_start(server->timer, 0, 0);
}

/* ---- connections ---- */

static void add_connection(struct http_server *server, struct MHD_Connection *handle, void **socket_context)
{
    struct connection *connection = memory_alloc(sizeof *connection);
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(handle, MHD_CONNECTION_INFO_CONNECTION_FD);
    *connection = (struct connection){.server = server,
                                      .next = server->connections,
                                      .fd = info->connect_fd,
                                      .busy_since = loop_now(server->loop)};
    if (server->connections != NULL) {
        server->connections->previous = connection;
    }
    server->connections = connection;
    server->connection_count++;
    *socket_context = connection;
}

static void remove_connection(struct http_server *server, struct connection *connection)
{
    *(connection->previous != NULL ? &connection->previous->next : &server->connections) = connection->next;
    if (connection->next != NULL) {
        connection->next->previous = connection->previous;
    }
    server->connection_count--;
    free(connection);
}

static void on_connection(void *arg, struct MHD_Connection *handle, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        add_connection(arg, handle, socket_context);
    } else if (*socket_context != NULL) {
        remove_connection(arg, *socket_context);
        *socket_context = NULL;
    }
}

static struct connection *connection_of(struct MHD_Connection *handle)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(handle, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info == NULL ? NULL : info->socket_context;
}

/* ---- exchanges ---- */

static enum http_method method_of(const char *word)
{
    if (strcmp(word, "GET") == 0 || strcmp(word, "HEAD") == 0) {
        return HTTP_GET;
    }
    return strcmp(word, "POST") == 0 ? HTTP_POST : strcmp(word, "DELETE") == 0 ? HTTP_DELETE : HTTP_OTHER;
}

static void link_waiting(struct http_exchange *exchange)
{
    struct http_server *server = exchange->server;
    exchange->is_suspended = true;
    exchange->next = server->waiting;
    if (server->waiting != NULL) {
        server->waiting->previous = exchange;
    }
    server->waiting = exchange;
}

static void unlink_waiting(struct http_exchange *exchange)
{
    struct http_server *server = exchange->server;
    *(exchange->previous != NULL ? &exchange->previous->next : &server->waiting) = exchange->next;
    if (exchange->next != NULL) {
        exchange->next->previous = exchange->previous;
    }
    exchange->previous = exchange->next = NULL;
    exchange->is_suspended = false;
}

static void free_exchange(struct http_exchange *exchange)
{
    if (exchange->response != NULL && !exchange->is_shared) {
        MHD_destroy_response(exchange->response);
    }
    free(exchange->path);
    free(exchange->body);
    free(exchange);
}

static struct MHD_Response *make_response(const struct http_answer *answer)
{
    struct MHD_Response *response =
        answer->text == NULL
            ? MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT)
            : MHD_create_response_from_buffer(answer->len, answer->text, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        abort();
    }
    MHD_add_response_header(response, "Content-Type", answer->type);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    cleanup_free char *headers = memory_copy_text(answer->headers == NULL ? "" : answer->headers);
    char *save;
    for (char *line = strtok_r(headers, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
        char *colon = strstr(line, ": ");
        *colon = '\0';
        MHD_add_response_header(response, line, colon + 2);
    }
    return response;
}

static void answer_text(struct http_exchange *exchange, unsigned status, const char *text)
{
    http_server_answer(exchange, &(struct http_answer){.status = (int)status,
                                                       .type = "text/plain; charset=utf-8",
                                                       .text = memory_copy_text(text),
                                                       .len = strlen(text)});
}

/* The response is there: now, within the handler, or by resuming it. */
static void set_response(struct http_exchange *exchange, unsigned status, struct MHD_Response *response)
{
    exchange->status = status;
    exchange->response = response;
    exchange->is_answered = true;
    if (exchange->server == NULL) {
        free_exchange(exchange); /* to nobody */
    } else if (exchange->is_suspended) {
        unlink_waiting(exchange);
        resume(exchange->server, exchange->connection);
    }
}

void http_server_answer(struct http_exchange *exchange, const struct http_answer *answer)
{
    set_response(exchange, (unsigned)answer->status, make_response(answer));
}

struct http_document *http_server_document_new(const struct http_answer *answer)
{
    struct http_document *document = memory_alloc(sizeof *document);
    *document = (struct http_document){make_response(answer), (unsigned)answer->status};
    return document;
}

void http_server_document_free(struct http_document *document)
{
    if (document != NULL) {
        MHD_destroy_response(document->response);
        free(document);
    }
}

void http_server_answer_document(struct http_exchange *exchange, const struct http_document *document)
{
    assert(!exchange->is_suspended && "a document is answered at once or not at all");
    exchange->is_shared = true;
    set_response(exchange, document->status, document->response);
}

/* libmicrohttpd counts the uses of a response: queueing it adds one, and a document's own stays. */
static enum MHD_Result queue(struct http_exchange *exchange)
{
    struct MHD_Response *response = exchange->response;
    exchange->response = NULL;
    enum MHD_Result result = MHD_queue_response(exchange->connection, exchange->status, response);
    if (!exchange->is_shared) {
        MHD_destroy_response(response);
    }
    return result;
}

static void take_body(struct http_exchange *exchange, const char *bytes, size_t len)
{
    if (exchange->is_too_large || len > HTTP_SERVER_BODY_BYTES - exchange->body_len) {
        exchange->is_too_large = true;
        return;
    }
    exchange->body = memory_grow(exchange->body, exchange->body_len + len + 1, 1);
    memcpy(exchange->body + exchange->body_len, bytes, len);
    exchange->body_len += len;
    exchange->body[exchange->body_len] = '\0';
}

static enum MHD_Result begin(struct http_server *server, struct MHD_Connection *connection, const char *url,
                             const char *method, void **context)
{
    struct http_exchange *exchange = memory_alloc(sizeof *exchange);
    *exchange = (struct http_exchange){.server = server,
                                       .connection = connection,
                                       .method = method_of(method),
                                       .path = memory_copy_text(url)};
    *context = exchange;
    const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");
    if (length != NULL && strtoull(length, NULL, 10) > HTTP_SERVER_BODY_BYTES) {
        exchange->is_handed_out = true;
        answer_text(exchange, MHD_HTTP_CONTENT_TOO_LARGE, "the request is too large\n");
        return queue(exchange); /* before the body is read: the connection ends */
    }
    return MHD_YES;
}

static enum MHD_Result on_access(void *arg, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *bytes, size_t *len,
                                 void **context)
{
    (void)version;
    struct http_exchange *exchange = *context;
    if (exchange == NULL) {
        return begin(arg, connection, url, method, context);
    }
    if (*len > 0) {
        take_body(exchange, bytes, *len);
        *len = 0;
        return MHD_YES;
    }
    if (!exchange->is_handed_out) {
        exchange->is_handed_out = true;
        if (exchange->is_too_large) {
            answer_text(exchange, MHD_HTTP_CONTENT_TOO_LARGE, "the request is too large\n");
        } else {
            exchange->server->on_request(exchange->server->arg, exchange);
        }
    }
    if (exchange->response != NULL) {
        return queue(exchange);
    }
    link_waiting(exchange);
    MHD_suspend_connection(connection);
    return MHD_YES;
}

static void on_completed(void *arg, struct MHD_Connection *handle, void **context,
                         enum MHD_RequestTerminationCode code)
{
    (void)code;
    struct http_server *server = arg;
    struct http_exchange *exchange = *context;
    struct connection *connection = connection_of(handle);
    if (connection != NULL) {
        connection->busy_since = loop_now(server->loop);
        connection->is_stream = false;
    }
    *context = NULL;
    if (exchange == NULL) {
        return;
    }
    if (exchange->is_suspended) {
        unlink_waiting(exchange);
    }
    if (exchange->is_handed_out && !exchange->is_answered) {
        exchange->server = NULL; /* whoever holds it has yet to answer */
    } else {
        free_exchange(exchange);
    }
}

/* ---- what a request says ---- */

enum http_method http_server_method(const struct http_exchange *exchange)
{
    return exchange->method;
}

const char *http_server_path(const struct http_exchange *exchange)
{
    return exchange->path;
}

const char *http_server_query(const struct http_exchange *exchange, const char *name)
{
    return MHD_lookup_connection_value(exchange->connection, MHD_GET_ARGUMENT_KIND, name);
}

const char *http_server_header(const struct http_exchange *exchange, const char *name)
{
    return MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, name);
}

const char *http_server_body(const struct http_exchange *exchange, size_t *len)
{
    *len = exchange->body_len;
    return exchange->body == NULL ? "" : exchange->body;
}

/* ---- streams ---- */

static ssize_t read_stream(void *arg, uint64_t position, char *out, size_t size)
{
    (void)position;
    struct http_stream *stream = arg;
    if (stream->server == NULL || stream->is_cut_off) {
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    if (stream->len == 0) {
        stream->is_suspended = true;
        MHD_suspend_connection(stream->connection);
        return 0;
    }
    size_t part = stream->len < size ? stream->len : size;
    memcpy(out, stream->bytes, part);
    stream->len -= part;
    memmove(stream->bytes, stream->bytes + part, stream->len);
    return (ssize_t)part;
}

static void free_stream(void *arg)
{
    struct http_stream *stream = arg;
    struct http_server *server = stream->server;
    if (server != NULL) {
        *(stream->previous != NULL ? &stream->previous->next : &server->streams) = stream->next;
        if (stream->next != NULL) {
            stream->next->previous = stream->previous;
        }
        server->stream_count--;
        stream->on_gone(stream->arg);
    }
    free(stream->bytes);
    free(stream);
}

struct http_stream *http_server_answer_stream(struct http_exchange *exchange, void (*on_gone)(void *arg),
                                              void *arg)
{
    struct http_server *server = exchange->server;
    if (server == NULL || server->stream_count >= HTTP_SERVER_STREAMS) {
        answer_text(exchange, MHD_HTTP_SERVICE_UNAVAILABLE, "too many streams are open\n");
        return NULL;
    }
    struct http_stream *stream = memory_alloc(sizeof *stream);
    *stream = (struct http_stream){.server = server,
                                   .connection = exchange->connection,
                                   .on_gone = on_gone,
                                   .arg = arg,
                                   .next = server->streams};
    if (server->streams != NULL) {
        server->streams->previous = stream;
    }
    server->streams = stream;
    server->stream_count++;
    struct connection *connection = connection_of(exchange->connection);
    if (connection != NULL) {
        connection->is_stream = true;
    }
    struct MHD_Response *response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK_BYTES,
                                                                      read_stream, stream, free_stream);
    if (response == NULL) {
        abort();
    }
    MHD_add_response_header(response, "Content-Type", "text/event-stream");
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    set_response(exchange, MHD_HTTP_OK, response);
    return stream;
}

void http_server_stream_send(struct http_stream *stream, const char *bytes, size_t len)
{
    if (stream->is_cut_off) {
        return;
    }
    if (len > HTTP_SERVER_STREAM_BYTES - stream->len) {
        stream->is_cut_off = true;
    } else {
        if (stream->len + len > stream->size) {
            stream->size = stream->len + len;
            stream->bytes = memory_grow(stream->bytes, stream->size, 1);
        }
        memcpy(stream->bytes + stream->len, bytes, len);
        stream->len += len;
    }
    if (stream->is_suspended) {
        stream->is_suspended = false;
        resume(stream->server, stream->connection);
    }
}

/* ---- opening and closing ---- */

/* Texts are owned; NULL: no TLS. */
struct tls_files {
    char *cert, *key;
};

static void tls_files_cleanup(struct tls_files *files)
{
    if (files->key != NULL) {
        explicit_bzero(files->key, strlen(files->key));
    }
    free(files->cert);
    free(files->key);
}

static int read_tls_files(const struct http_server_options *options, struct tls_files *out, struct err *err)
{
    struct stat about;
    if (options->cert_file == NULL || options->cert_file[0] == '\0') {
        return 0;
    }
    if (stat(options->key_file, &about) == 0 && (about.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        return err_set(err, EPERM, "DEFIB_HTTP_KEY_FILE: %s is open to others: chmod 600", options->key_file);
    }
    int result = config_read_file(options->cert_file, PEM_BYTES, &out->cert, err);
    if (result != 0) {
        err_wrap(err, "DEFIB_HTTP_CERT_FILE");
        return result;
    }
    result = config_read_file(options->key_file, PEM_BYTES, &out->key, err);
    if (result != 0) {
        err_wrap(err, "DEFIB_HTTP_KEY_FILE");
    }
    return result;
}

static struct MHD_Daemon *start_daemon(struct http_server *server, int fd, const struct tls_files *files)
{
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, files->cert},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, files->key},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t) "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"},
        {MHD_OPTION_END, 0, NULL}};
    bool is_tls = files->cert != NULL;
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | (is_tls ? MHD_USE_TLS : 0);
    return MHD_start_daemon(flags, 0, NULL, NULL, on_access, server, MHD_OPTION_LISTEN_SOCKET, fd,
                            MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_SERVER_CONNECTIONS,
                            MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                            (size_t)CONNECTION_MEMORY_BYTES, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
                            server, MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_ARRAY,
                            is_tls ? tls : &tls[3], MHD_OPTION_END);
}

static uint64_t fingerprint_of_files(const struct tls_files *files)
{
    return files->cert == NULL ? 0
                               : fingerprint_of(files->cert, strlen(files->cert)) ^
                                     fingerprint_of(files->key, strlen(files->key)) >> 1;
}

/* The descriptor is taken, also where it fails. */
static struct http_server *open_at(const struct http_server_options *options, int fd,
                                   const struct tls_files *files)
{
    struct http_server *server = memory_alloc(sizeof *server);
    server->loop = options->loop;
    server->on_request = options->on_request;
    server->arg = options->arg;
    server->tls_files = fingerprint_of_files(files);
    server->daemon = start_daemon(server, fd, files);
    const union MHD_DaemonInfo *info =
        server->daemon == NULL ? NULL : MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (info == NULL) {
        close(fd);
        free(server);
        return NULL;
    }
    server->timer = loop_timer_new(server->loop, on_timer, server);
    server->look = loop_timer_new(server->loop, on_look, server);
    server->poll = loop_poll_new(server->loop, info->epoll_fd, on_ready, server);
    loop_poll_watch(server->poll, LOOP_READABLE);
    loop_timer_start(server->look, LOOK_MS, LOOK_MS);
    return server;
}

static int refuse_files(const struct http_server_options *options, const struct tls_files *files,
                        struct err *err)
{
    return err_set(err, EIO, "%s: libmicrohttpd does not start%s", options->listen,
                   files->cert == NULL ? "" : "; are DEFIB_HTTP_CERT_FILE and its key a pair?");
}

int http_server_open(const struct http_server_options *options, struct http_server **out, struct err *err)
{
    __attribute__((cleanup(tls_files_cleanup))) struct tls_files files = {NULL, NULL};
    int result = read_tls_files(options, &files, err);
    int fd = result != 0 ? result : listen_socket_open(options->listen, err);
    if (fd < 0) {
        return fd;
    }
    struct http_server *server = open_at(options, fd, &files);
    if (server == NULL) {
        return refuse_files(options, &files, err);
    }
    *out = server;
    return 0;
}

/* Files that libmicrohttpd does not take must not cost the server that runs: tried on a socket that does not
 * listen. */
static bool are_usable(const struct tls_files *files)
{
    struct http_server trial = {.loop = NULL};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct MHD_Daemon *daemon = fd < 0 ? NULL : start_daemon(&trial, fd, files);
    if (daemon != NULL) {
        MHD_stop_daemon(daemon); /* closes it */
    } else if (fd >= 0) {
        close(fd);
    }
    return daemon != NULL;
}

int http_server_renew(struct http_server **server, const struct http_server_options *options, struct err *err)
{
    __attribute__((cleanup(tls_files_cleanup))) struct tls_files files = {NULL, NULL};
    int result = read_tls_files(options, &files, err);
    if (result != 0 || fingerprint_of_files(&files) == (*server)->tls_files) {
        return result;
    }
    if (!are_usable(&files)) {
        return refuse_files(options, &files, err);
    }
    int fd = MHD_quiesce_daemon((*server)->daemon);
    struct http_server *fresh = fd < 0 ? NULL : open_at(options, fd, &files);
    if (fresh == NULL) {
        return refuse_files(options, &files, err);
    }
    for (struct http_stream *stream = (*server)->streams; stream != NULL; stream = stream->next) {
        stream->on_gone(stream->arg);
    }
    http_server_close(*server);
    *server = fresh;
    return 0;
}

void http_server_close(struct http_server *server)
{
    if (server == NULL) {
        return;
    }
    loop_poll_free(server->poll);
    loop_timer_free(server->timer);
    loop_timer_free(server->look);
    /* libmicrohttpd asks for nothing suspended when it is stopped */
    while (server->waiting != NULL) {
        struct http_exchange *exchange = server->waiting;
        unlink_waiting(exchange);
        MHD_resume_connection(exchange->connection);
    }
    for (struct http_stream *stream = server->streams; stream != NULL; stream = stream->next) {
        stream->server = NULL;
        if (stream->is_suspended) {
            MHD_resume_connection(stream->connection);
        }
    }
    MHD_stop_daemon(server->daemon);
    while (server->connections != NULL) {
        remove_connection(server, server->connections);
    }
    free(server);
}

size_t http_server_connections(const struct http_server *server)
{
    return server->connection_count;
}
