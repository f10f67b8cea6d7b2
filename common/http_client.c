#include "common/http_client.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "common/memory.h"
#include "common/version.h"

enum {
    DEFAULT_CONNECTIONS = 16,
    DEFAULT_CONNECT_MS = 5000,
    DEFAULT_MAX_BYTES = 16 * 1024 * 1024,
    BUFFER_KEPT_BYTES = 64 * 1024
};

struct bytes {
    char *data; /* with room for a NUL behind len */
    size_t len;
    size_t capacity;
};

struct http_call {
    struct http_client *client;
    struct http_call *previous;
    struct http_call *next;
    struct http_call *next_news;
    bool has_news;

    CURL *easy;
    struct curl_slist *headers;
    char *title;                 /* "GET /path", for errors */
    struct http_request request; /* its strings are not kept */
    char curl_text[CURL_ERROR_SIZE];

    bool is_stream; /* a 2xx answer to a call with on_data */
    bool is_open_due;
    bool is_too_large;
    bool is_finished;
    CURLcode result;
    struct bytes body;
    struct bytes fresh; /* of a stream: came since the last on_data */
};

struct http_client {
    struct loop *loop;
    struct loop_timer *timer;
    CURLM *multi;
    char *unix_path;
    char *base_url;
    char *ca_file;
    char *cert_file;
    char *key_file;
    bool verify_peer;
    struct http_call *calls;
    struct http_call *news_head; /* calls whose callbacks are due, in order */
    struct http_call *news_tail;
    struct http_call *current; /* whose callback runs; NULL once it was cancelled there */
    bool is_closed;
    unsigned depth;
};

struct watch {
    struct http_client *client;
    struct loop_poll *poll;
    curl_socket_t fd;
};

static void must(bool is_fine, const char *what)
{
    if (!is_fine) {
        fprintf(stderr, "libcurl: %s failed\n", what);
        abort();
    }
}

static void append(struct bytes *bytes, const char *data, size_t len)
{
    if (bytes->len + len + 1 > bytes->capacity) {
        size_t capacity = bytes->capacity == 0 ? 1024 : bytes->capacity;
        while (capacity < bytes->len + len + 1) {
            capacity *= 2;
        }
        bytes->data = memory_grow(bytes->data, capacity, 1);
        bytes->capacity = capacity;
    }
    memcpy(bytes->data + bytes->len, data, len);
    bytes->len += len;
    bytes->data[bytes->len] = '\0';
}

/* ---- what libcurl tells in its callbacks is only noted: nothing of ours may be called from there ---- */

static void note_news(struct http_call *call)
{
    struct http_client *client = call->client;
    if (call->has_news) {
        return;
    }
    call->has_news = true;
    call->next_news = NULL;
    if (client->news_tail != NULL) {
        client->news_tail->next_news = call;
    } else {
        client->news_head = call;
    }
    client->news_tail = call;
}

static void forget_news(struct http_call *call)
{
    struct http_client *client = call->client;
    struct http_call *before = NULL;
    for (struct http_call *at = client->news_head; at != NULL; before = at, at = at->next_news) {
        if (at == call) {
            *(before != NULL ? &before->next_news : &client->news_head) = at->next_news;
            client->news_tail = client->news_tail == at ? before : client->news_tail;
            break;
        }
    }
    call->has_news = false;
}

static int status_of(const struct http_call *call)
{
    long status = 0;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

static size_t on_header(char *line, size_t size, size_t count, void *arg)
{
    struct http_call *call = arg;
    size_t len = size * count;
    bool is_end = len > 0 && (line[0] == '\r' || line[0] == '\n');
    int status = is_end ? status_of(call) : 0;
    if (call->request.on_data != NULL && status >= 200 && status < 300) {
        call->is_stream = true;
        call->is_open_due = true;
        note_news(call);
    }
    return len;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct http_call *call = arg;
    size_t len = size * count;
    if (call->is_stream) {
        append(&call->fresh, data, len);
        note_news(call);
        return len;
    }
    if (len > call->request.max_bytes - call->body.len) {
        call->is_too_large = true;
        return 0;
    }
    append(&call->body, data, len);
    return len;
}

/* ---- the end of a call ---- */

/* libcurl has a hundred results, none of the others of which we would treat apart. */
static int code_of(const struct http_call *call)
{
    CURLcode result = call->result;
    if (result == CURLE_OK) {
        return 0;
    }
    if (result == CURLE_COULDNT_CONNECT) {
        long system_code = 0;
        curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &system_code);
        return system_code != 0 ? (int)system_code : ECONNREFUSED;
    }
    if (result == CURLE_OPERATION_TIMEDOUT) {
        return ETIMEDOUT;
    }
    if (result == CURLE_WRITE_ERROR && call->is_too_large) {
        return EMSGSIZE;
    }
    bool is_broken_off = result == CURLE_PARTIAL_FILE || result == CURLE_GOT_NOTHING ||
                         result == CURLE_RECV_ERROR || result == CURLE_SEND_ERROR;
    return is_broken_off ? EPIPE : EIO;
}

static void set_failure(const struct http_call *call, struct err *err)
{
    int code = code_of(call);
    const char *text = call->curl_text[0] != '\0' ? call->curl_text : curl_easy_strerror(call->result);
    if (code == EMSGSIZE) {
        err_set(err, code, "%s: the answer is larger than %zu bytes", call->title, call->request.max_bytes);
    } else if (call->result == CURLE_COULDNT_CONNECT && call->client->unix_path != NULL) {
        err_set(err, code, "%s: %s: %s", call->title, call->client->unix_path, strerror(code));
    } else {
        err_set(err, code, "%s: %s", call->title, text);
    }
}

static void unlink_call(struct http_call *call)
{
    struct http_client *client = call->client;
    if (call->previous != NULL) {
        call->previous->next = call->next;
    } else {
        client->calls = call->next;
    }
    if (call->next != NULL) {
        call->next->previous = call->previous;
    }
    if (client->current == call) {
        client->current = NULL;
    }
    forget_news(call);
}

static void free_call(struct http_call *call)
{
    curl_multi_remove_handle(call->client->multi, call->easy);
    curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->headers);
    free(call->title);
    free(call->body.data);
    free(call->fresh.data);
    free(call);
}

void http_call_cancel(struct http_call *call)
{
    if (call != NULL) {
        unlink_call(call);
        free_call(call);
    }
}

static void finish(struct http_call *call)
{
    struct http_response response = {.status = status_of(call), .body = "", .len = 0};
    if (call->result != CURLE_OK) {
        set_failure(call, &response.err);
    } else if (call->body.len > 0) {
        response.body = call->body.data;
        response.len = call->body.len;
    }
    void (*on_done)(void *arg, const struct http_response *response) = call->request.on_done;
    void *arg = call->request.arg;
    /* The call is over before its last callback, which may free the client. Only the body lives on. */
    char *body = memory_steal(call->body.data);
    http_call_cancel(call);
    if (on_done != NULL) {
        on_done(arg, &response);
    }
    free(body);
}

/* ---- our callbacks, outside of libcurl ---- */

static void give_back(struct bytes *place, struct bytes used)
{
    if (place->data == NULL && used.capacity <= BUFFER_KEPT_BYTES) {
        used.len = 0;
        *place = used;
    } else {
        free(used.data);
    }
}

/* After each callback the call may be gone: then `current` is no longer it. */
static void deliver_one(struct http_client *client, struct http_call *call)
{
    client->current = call;
    if (call->is_open_due) {
        call->is_open_due = false;
        if (call->request.on_open != NULL) {
            call->request.on_open(call->request.arg);
        }
    }
    if (client->current == call && call->fresh.len > 0) {
        struct bytes fresh = call->fresh;
        call->fresh = (struct bytes){0};
        call->request.on_data(call->request.arg, fresh.data, fresh.len);
        if (client->current == call) {
            give_back(&call->fresh, fresh);
        } else {
            free(fresh.data);
        }
    }
    if (client->current == call && call->is_finished) {
        finish(call);
    }
}

static void deliver(struct http_client *client)
{
    while (!client->is_closed && client->news_head != NULL) {
        struct http_call *call = client->news_head;
        forget_news(call);
        deliver_one(client, call);
    }
}

static void collect_finished(struct http_client *client)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
        if (message->msg == CURLMSG_DONE) {
            struct http_call *call = NULL;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
            call->is_finished = true;
            call->result = message->data.result;
            note_news(call);
        }
    }
}

static void turn(struct http_client *client, curl_socket_t fd, int events)
{
    int running;
    client->depth++;
    curl_multi_socket_action(client->multi, fd, events, &running);
    collect_finished(client);
    deliver(client);
    if (--client->depth == 0 && client->is_closed) {
        free(client);
    }
}

/* ---- libcurl's sockets and its timer on the loop ---- */

static void on_ready(void *arg, int events)
{
    const struct watch *watch = arg;
    turn(watch->client, watch->fd,
         (events & LOOP_READABLE ? CURL_CSELECT_IN : 0) | (events & LOOP_WRITABLE ? CURL_CSELECT_OUT : 0));
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    (void)easy;
    struct http_client *client = arg;
    struct watch *watch = socket_arg;
    if (what == CURL_POLL_REMOVE) {
        if (watch != NULL) {
            loop_poll_free(watch->poll);
            free(watch);
            curl_multi_assign(client->multi, fd, NULL);
        }
        return 0;
    }
    if (watch == NULL) {
        watch = memory_alloc(sizeof *watch);
        watch->client = client;
        watch->fd = fd;
        watch->poll = loop_poll_new(client->loop, fd, on_ready, watch);
        curl_multi_assign(client->multi, fd, watch);
    }
    loop_poll_watch(watch->poll,
                    (what & CURL_POLL_IN ? LOOP_READABLE : 0) | (what & CURL_POLL_OUT ? LOOP_WRITABLE : 0));
    return 0;
}

static void on_timer(void *arg)
{
    turn(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timer_change(CURLM *multi, long timeout_ms, void *arg)
{
    (void)multi;
    struct http_client *client = arg;
    if (timeout_ms < 0) {
        loop_timer_stop(client->timer);
    } else {
        loop_timer_start(client->timer, timeout_ms, 0);
    }
    return 0;
}

/* ---- clients ---- */

struct http_client *http_client_new(struct loop *loop, const struct http_client_options *options)
{
    must(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK, "init"); /* counted */
    struct http_client *client = memory_alloc(sizeof *client);
    client->loop = loop;
    client->timer = loop_timer_new(loop, on_timer, client);
    client->unix_path = memory_copy_text(options->unix_path);
    client->base_url = memory_copy_text(options->base_url);
    client->ca_file = memory_copy_text(options->ca_file);
    client->cert_file = memory_copy_text(options->cert_file);
    client->key_file = memory_copy_text(options->key_file);
    client->verify_peer = options->verify_peer;
    client->multi = curl_multi_init();
    must(client->multi != NULL, "multi");
    long connections = options->max_connections == 0 ? DEFAULT_CONNECTIONS : (long)options->max_connections;
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_timer_change);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, connections);
    curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, connections);
    return client;
}

void http_client_free(struct http_client *client)
{
    if (client == NULL) {
        return;
    }
    client->depth++;
    client->is_closed = true;
    while (client->calls != NULL) {
        http_call_cancel(client->calls);
    }
    curl_multi_cleanup(client->multi);
    loop_timer_free(client->timer);
    free(client->unix_path);
    free(client->base_url);
    free(client->ca_file);
    free(client->cert_file);
    free(client->key_file);
    curl_global_cleanup();
    if (--client->depth == 0) {
        free(client);
    }
}

/* ---- calls ---- */

static void set_server(struct http_call *call, const char *path)
{
    const struct http_client *client = call->client;
    CURL *easy = call->easy;
    size_t size = strlen(client->base_url) + strlen(path) + 1;
    cleanup_free char *url = memory_alloc(size);
    snprintf(url, size, "%s%s", client->base_url, path);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    if (client->unix_path != NULL) {
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, client->unix_path);
    } else {
        curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
        curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 30L);
        curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 10L);
    }
    if (client->ca_file != NULL) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, client->ca_file);
    }
    if (client->cert_file != NULL) {
        curl_easy_setopt(easy, CURLOPT_SSLCERT, client->cert_file);
        curl_easy_setopt(easy, CURLOPT_SSLKEY, client->key_file);
    }
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, client->verify_peer ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, client->verify_peer ? 2L : 0L);
}

static void set_habits(CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "defib/" DEFIB_VERSION);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
    /* Do not wait for a name that is still being looked up when the call is dropped. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
}

static void set_headers(struct http_call *call, const struct http_request *request)
{
    call->headers = curl_slist_append(NULL, "Expect:");
    call->headers = curl_slist_append(call->headers, request->body != NULL ? "Content-Type: application/json"
                                                                           : "Content-Type:");
    for (const char *const *each = request->headers; each != NULL && *each != NULL; each++) {
        call->headers = curl_slist_append(call->headers, *each);
    }
    must(call->headers != NULL, "headers");
    curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
}

static void set_method(struct http_call *call, const char *method, const char *body)
{
    CURL *easy = call->easy;
    bool is_get = strcmp(method, "GET") == 0;
    if (strcmp(method, "POST") == 0 || body != NULL) {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)(body != NULL ? strlen(body) : 0));
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, body != NULL ? body : "");
    }
    if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (!is_get) {
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
    }
    if (!is_get || call->request.is_fresh) {
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
        curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    }
}

static void set_call(struct http_call *call)
{
    struct http_request *request = &call->request;
    CURL *easy = call->easy;
    request->max_bytes = request->max_bytes == 0 ? DEFAULT_MAX_BYTES : request->max_bytes;
    int64_t connect_ms = request->connect_timeout_ms == 0 ? DEFAULT_CONNECT_MS : request->connect_timeout_ms;
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->curl_text);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
}

static char *make_title(const struct http_request *request)
{
    size_t path_len = strcspn(request->path, "?");
    size_t size = strlen(request->method) + path_len + 2;
    char *title = memory_alloc(size);
    snprintf(title, size, "%s %.*s", request->method, (int)path_len, request->path);
    return title;
}

struct http_call *http_client_send(struct http_client *client, const struct http_request *request)
{
    assert(!client->is_closed);
    struct http_call *call = memory_alloc(sizeof *call);
    call->client = client;
    call->request = *request;
    call->request.method = call->request.path = call->request.body = NULL;
    call->request.headers = NULL;
    call->title = make_title(request);
    call->easy = curl_easy_init();
    must(call->easy != NULL, "handle");
    set_server(call, request->path);
    set_habits(call->easy);
    set_method(call, request->method, request->body);
    set_headers(call, request);
    set_call(call);
    call->next = client->calls;
    if (call->next != NULL) {
        call->next->previous = call;
    }
    client->calls = call;
    must(curl_multi_add_handle(client->multi, call->easy) == CURLM_OK, "add");
    return call;
}
