#include "common/rpc.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <nng/supplemental/tls/tls.h>
#include <nng/supplemental/util/platform.h>

#include "common/memory.h"
#include "common/rpc_door.h"
#include "common/rpc_probe.h"
#include "common/rpc_tls.h"
#include "common/thread.h"

enum {
    DEFAULT_CONTEXTS = 16,
    DEFAULT_CALLS = 64,
    RECONNECT_MIN_MS = 100,
    RECONNECT_MAX_MS = 5000,
    QUIET_MS = 2000,
    CLOSE_PATIENCE_S = 15,
    DOOR_MS = 5000,          /* between two looks at who is at the door; */
    DOOR_BUSY_MS = 1000,     /* while strangers are there */
    TROUBLE_FIRST_MS = 2000, /* not connected for so long: why? */
    TROUBLE_MS = 30 * 1000,
    HEADER_BYTES = 4 /* the request's number travels in front and counts */
};

static void must(int code, const char *what)
{
    if (code != 0) {
        fprintf(stderr, "nng: %s: %s\n", what, nng_strerror(code));
        abort();
    }
}

/* nng starts two threads for each core by default; the work here is microseconds of copying. 1.5 cannot be
 * told. */
static void limit_threads(void)
{
#if NNG_MAJOR_VERSION == 1 && NNG_MINOR_VERSION >= 8
    nng_init_set_parameter(NNG_INIT_NUM_TASK_THREADS, 2);
    nng_init_set_parameter(NNG_INIT_NUM_EXPIRE_THREADS, 1);
    nng_init_set_parameter(NNG_INIT_NUM_POLLER_THREADS, 1);
    nng_init_set_parameter(NNG_INIT_NUM_RESOLVER_THREADS, 1);
#endif
}

/* Connections cost descriptors, and strangers open them too: take all that the hard limit allows. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void prepare(void)
{
    limit_threads();
    raise_descriptors();
}

/* ---- closing sockets ---- */

/* Connections of a socket that stand. It outlives client and server: nng's callbacks write here until the
 * socket is closed. */
struct pipe_count {
    pthread_mutex_t mutex;
    int pipes;
    bool is_closing;       /* losses are ours */
    struct rpc_door *door; /* owned; NULL for clients and ipc */
};

struct funeral {
    nng_socket socket;
    struct pipe_count *pipe_count; /* taken; may be NULL */
    int delay_ms;
    pthread_mutex_t mutex;
    pthread_cond_t is_over;
    bool is_closed;
};

static struct funeral *funeral_new(nng_socket socket, struct pipe_count *pipe_count, int delay_ms)
{
    struct funeral *funeral = memory_alloc(sizeof *funeral);
    funeral->socket = socket;
    funeral->pipe_count = pipe_count;
    funeral->delay_ms = delay_ms;
    pthread_mutex_init(&funeral->mutex, NULL);
    pthread_cond_init(&funeral->is_over, NULL);
    return funeral;
}

static struct pipe_count *pipe_count_new(void)
{
    struct pipe_count *count = memory_alloc(sizeof *count);
    pthread_mutex_init(&count->mutex, NULL);
    return count;
}

static void pipe_count_free(struct pipe_count *count)
{
    if (count != NULL) {
        pthread_mutex_destroy(&count->mutex);
        rpc_door_free(count->door);
        free(count);
    }
}

static void *run_close(void *arg)
{
    struct funeral *funeral = arg;
    nng_close(funeral->socket);
    pthread_mutex_lock(&funeral->mutex);
    funeral->is_closed = true;
    pthread_cond_signal(&funeral->is_over);
    pthread_mutex_unlock(&funeral->mutex);
    return NULL;
}

/* In steps of a second, so that a process that was stopped meanwhile is not taken for a hang. */
static bool wait_for_close(struct funeral *funeral)
{
    pthread_mutex_lock(&funeral->mutex);
    for (int second = 0; second < CLOSE_PATIENCE_S && !funeral->is_closed; second++) {
        thread_wait(&funeral->is_over, &funeral->mutex, mono_add(clock_mono_now(), 1000));
    }
    bool is_closed = funeral->is_closed;
    pthread_mutex_unlock(&funeral->mutex);
    return is_closed;
}

static pthread_t need_thread(void *(*run)(void *arg), void *arg)
{
    pthread_t thread;
    int code = thread_start(&thread, run, arg);
    if (code != 0) {
        fprintf(stderr, "rpc: no thread: %s\n", strerror(code));
        abort();
    }
    return thread;
}

static void *run_funeral(void *arg)
{
    struct funeral *funeral = arg;
    nng_msleep(funeral->delay_ms);
    pthread_t closer = need_thread(run_close, funeral);
    if (!wait_for_close(funeral)) {
        fputs("rpc: nng hangs in closing a socket, and no connection would be made again: giving up\n",
              stderr);
        abort();
    }
    pthread_join(closer, NULL);
    pipe_count_free(funeral->pipe_count);
    pthread_mutex_destroy(&funeral->mutex);
    pthread_cond_destroy(&funeral->is_over);
    free(funeral);
    return NULL;
}

/*
 * nng 1.5 to 1.7 may hang for ever in ending a connection while a message is on its way (nng issues 1543 and
 * 1813; here on 1.5.2 once in some hundred peers killed under load). That takes its one thread that ends
 * connections along: nng_close does not return, and worse, nothing is redialled in the whole process any
 * more. So nng_close is never called on the loop's thread, sockets with open calls wait until those are
 * quiet, and every close, and a probe after every loss of a connection, is watched: where nng hangs, the
 * process ends, to be started anew, instead of going deaf.
 */
static void bury_socket(nng_socket socket, struct pipe_count *pipe_count, int delay_ms)
{
    if (pipe_count != NULL) {
        pthread_mutex_lock(&pipe_count->mutex);
        pipe_count->is_closing = true;
        pthread_mutex_unlock(&pipe_count->mutex);
    }
    pthread_detach(need_thread(run_funeral, funeral_new(socket, pipe_count, delay_ms)));
}

enum probe_state { PROBE_IDLE, PROBE_RUNNING, PROBE_ASKED_AGAIN };

/* Process-wide, as what it watches is. */
static _Atomic int probe_state;

/* A listener is ended by the same thread as connections are: its socket only closes while that thread lives.
 */
static void probe_once(void)
{
    char url[64];
    snprintf(url, sizeof url, "inproc://defib-probe-%d", getpid());
    nng_msleep(QUIET_MS);
    nng_socket socket;
    nng_listener listener;
    if (nng_rep0_open(&socket) != 0) {
        return;
    }
    (void)nng_listen(socket, url, &listener, 0);
    run_funeral(funeral_new(socket, NULL, 0));
}

static void *run_probe(void *arg)
{
    (void)arg;
    int was;
    do {
        atomic_store(&probe_state, PROBE_RUNNING);
        probe_once();
        was = PROBE_RUNNING;
    } while (!atomic_compare_exchange_strong(&probe_state, &was, PROBE_IDLE));
    return NULL;
}

static void start_probe(void)
{
    if (atomic_exchange(&probe_state, PROBE_ASKED_AGAIN) == PROBE_IDLE) {
        pthread_detach(need_thread(run_probe, NULL));
    }
}

/* False for what is no TCP. */
static bool read_address(const nng_sockaddr *from, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (from->s_family == NNG_AF_INET) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)out;
        v4->sin_family = AF_INET;
        v4->sin_port = from->s_in.sa_port;
        v4->sin_addr.s_addr = from->s_in.sa_addr;
        return true;
    }
    if (from->s_family == NNG_AF_INET6) {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
        v6->sin6_family = AF_INET6;
        v6->sin6_port = from->s_in6.sa_port;
        memcpy(&v6->sin6_addr, from->s_in6.sa_addr, sizeof v6->sin6_addr);
        return true;
    }
    return false;
}

static void tell_door(struct rpc_door *door, nng_pipe pipe, nng_pipe_ev event)
{
    nng_sockaddr peer;
    struct sockaddr_storage address;
    if (event == NNG_PIPE_EV_REM_POST) {
        rpc_door_left(door, (uint32_t)nng_pipe_id(pipe));
    } else if (nng_pipe_get_addr(pipe, NNG_OPT_REMADDR, &peer) == 0 && read_address(&peer, &address)) {
        rpc_door_let_in(door, (uint32_t)nng_pipe_id(pipe), (const struct sockaddr *)&address);
    }
}

/* On nng's thread that ends connections, before it ends this one. */
static void on_pipe(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    struct pipe_count *count = arg;
    if (count->door != NULL) {
        tell_door(count->door, pipe, event);
    }
    pthread_mutex_lock(&count->mutex);
    count->pipes += event == NNG_PIPE_EV_ADD_POST ? 1 : -1;
    bool is_lost = event == NNG_PIPE_EV_REM_POST && !count->is_closing;
    pthread_mutex_unlock(&count->mutex);
    if (is_lost) {
        start_probe();
    }
}

static void watch_pipes(nng_socket socket, struct pipe_count *count)
{
    must(nng_pipe_notify(socket, NNG_PIPE_EV_ADD_POST, on_pipe, count), "notify");
    must(nng_pipe_notify(socket, NNG_PIPE_EV_REM_POST, on_pipe, count), "notify");
}

/* ---- URLs ---- */

static bool begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static bool is_tls_url(const char *url)
{
    return begins_with(url, "tls+tcp://");
}

static int check_url(const char *url, const struct rpc_tls *tls, struct err *err)
{
    if (!begins_with(url, "tcp://") && !begins_with(url, "ipc://") && !is_tls_url(url)) {
        return err_set(err, EINVAL, "%s: must begin with tcp://, ipc:// or tls+tcp://", url);
    }
    if (is_tls_url(url) &&
        (tls == NULL || tls->ca_file == NULL || tls->cert_file == NULL || tls->key_file == NULL)) {
        return err_set(err, EINVAL, "%s: needs a CA, a certificate and a key file", url);
    }
    return 0;
}

/* ---- the server ---- */

enum slot_state { SLOT_RECEIVING, SLOT_OPEN, SLOT_SENDING };

/* One REP context. Owned by nng's threads while receiving or sending, by the loop's while open. */
struct slot {
    struct rpc_server *server;
    nng_ctx ctx;
    nng_aio *aio;
    enum slot_state state;
    nng_msg *arrived;
    struct slot *next_ready;
    struct rpc_request *request;
};

struct rpc_request {
    struct slot *slot; /* NULL once the server was closed */
};

struct rpc_server {
    struct loop *loop;
    struct rpc_server_options options;
    char *url;
    nng_socket socket;
    nng_listener listener;
    struct pipe_count *pipe_count;
    struct loop_wake *wake;
    struct loop_timer *look; /* at the door; NULL for ipc */
    nng_tls_config *renewed; /* is to be listened with as soon as the address is free; NULL: nothing to do */
    struct slot *slots;
    size_t slot_count;
    pthread_mutex_t mutex;
    struct slot *ready_head; /* under the mutex: arrived, the loop has not seen them */
    struct slot *ready_tail;
    bool is_closed;
    unsigned depth;
};

static void receive(struct slot *slot)
{
    slot->state = SLOT_RECEIVING;
    nng_ctx_recv(slot->ctx, slot->aio);
}

static void hand_over(struct slot *slot)
{
    struct rpc_server *server = slot->server;
    slot->arrived = nng_aio_get_msg(slot->aio);
    nng_aio_set_msg(slot->aio, NULL);
    slot->state = SLOT_OPEN;
    slot->next_ready = NULL;
    pthread_mutex_lock(&server->mutex);
    if (server->ready_tail != NULL) {
        server->ready_tail->next_ready = slot;
    } else {
        server->ready_head = slot;
    }
    server->ready_tail = slot;
    loop_wake_send(server->wake);
    pthread_mutex_unlock(&server->mutex);
}

/* On a thread of nng's. */
static void on_slot(void *arg)
{
    struct slot *slot = arg;
    int code = nng_aio_result(slot->aio);
    if (slot->state == SLOT_SENDING && code != 0) {
        nng_msg_free(nng_aio_get_msg(slot->aio)); /* ours again when it was not sent */
        nng_aio_set_msg(slot->aio, NULL);
    }
    if (code == NNG_ECLOSED || code == NNG_ECANCELED) {
        return;
    }
    if (slot->state == SLOT_RECEIVING && code == 0) {
        hand_over(slot);
    } else {
        receive(slot);
    }
}

static struct slot *take_ready(struct rpc_server *server)
{
    pthread_mutex_lock(&server->mutex);
    struct slot *slot = server->ready_head;
    if (slot != NULL) {
        server->ready_head = slot->next_ready;
        if (server->ready_head == NULL) {
            server->ready_tail = NULL;
        }
    }
    pthread_mutex_unlock(&server->mutex);
    return slot;
}

static void free_server(struct rpc_server *server)
{
    pthread_mutex_destroy(&server->mutex);
    free(server->slots);
    free(server->url);
    free(server);
}

static void on_requests(void *arg)
{
    struct rpc_server *server = arg;
    server->depth++;
    struct slot *slot;
    while (!server->is_closed && (slot = take_ready(server)) != NULL) {
        nng_msg *message = memory_steal(slot->arrived);
        slot->request = memory_alloc(sizeof *slot->request);
        slot->request->slot = slot;
        server->options.on_request(server->options.arg, slot->request, nng_msg_body(message),
                                   nng_msg_len(message));
        nng_msg_free(message);
    }
    if (--server->depth == 0 && server->is_closed) {
        free_server(server);
    }
}

void rpc_request_reply(struct rpc_request *request, const uint8_t *bytes, size_t len)
{
    struct slot *slot = request->slot;
    free(request);
    if (slot == NULL) {
        return;
    }
    slot->request = NULL;
    if (bytes == NULL) {
        receive(slot); /* forgets the one before */
        return;
    }
    nng_msg *message;
    must(nng_msg_alloc(&message, 0), "message");
    must(nng_msg_append(message, bytes, len), "message");
    slot->state = SLOT_SENDING;
    nng_aio_set_msg(slot->aio, message);
    nng_ctx_send(slot->ctx, slot->aio);
}

static void set_url(struct rpc_server *server, const char *url, nng_listener listener)
{
    const char *colon = strrchr(url, ':');
    int port = 0;
    if (begins_with(url, "ipc://") || strcmp(colon, ":0") != 0 ||
        nng_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port) != 0) {
        server->url = memory_copy_text(url);
        return;
    }
    char text[512];
    snprintf(text, sizeof text, "%.*s:%d", (int)(colon - url), url, port);
    server->url = memory_copy_text(text);
}

/* `tls` may be NULL; not taken. */
static int start_listener(struct rpc_server *server, const char *url, nng_tls_config *tls, struct err *err)
{
    nng_listener listener;
    int code = nng_listener_create(&listener, server->socket, url);
    if (code != 0) {
        return rpc_tls_fail(err, code, url, "not a usable address");
    }
    if (tls != NULL) {
        must(nng_listener_set_ptr(listener, NNG_OPT_TLS_CONFIG, tls), "TLS of the listener");
    }
    code = nng_listener_start(listener, 0);
    if (code != 0) {
        nng_listener_close(listener);
        return rpc_tls_fail(err, code, url, "cannot listen");
    }
    server->listener = listener;
    return 0;
}

static int listen_at(struct rpc_server *server, struct err *err)
{
    const struct rpc_server_options *options = &server->options;
    nng_tls_config *tls = NULL;
    int status = 0;
    if (is_tls_url(options->url)) {
        status = rpc_tls_make(options->url, options->tls, RPC_TLS_SERVER, &tls, err);
    }
    if (status == 0) {
        status = start_listener(server, options->url, tls, err);
    }
    if (tls != NULL) {
        nng_tls_config_free(tls);
    }
    if (status == 0) {
        set_url(server, options->url, server->listener);
    }
    return status;
}

/* ---- the door ---- */

static void relisten(struct rpc_server *server)
{
    struct err err;
    if (start_listener(server, server->url, server->renewed, &err) == 0) {
        nng_tls_config_free(server->renewed);
        server->renewed = NULL;
    }
}

static void on_look(void *arg)
{
    struct rpc_server *server = arg;
    if (server->renewed != NULL) {
        relisten(server);
    }
    struct rpc_door_view view = rpc_door_look(server->pipe_count->door, loop_now(server->loop));
    bool is_busy = view.strangers > 0 || server->renewed != NULL;
    loop_timer_start(server->look, is_busy ? DOOR_BUSY_MS : DOOR_MS, 0);
    if (view.cut > 0 && server->options.on_cut != NULL) {
        server->options.on_cut(server->options.arg, view.cut, view.last);
    }
}

static void watch_door(struct rpc_server *server)
{
    nng_sockaddr own;
    struct sockaddr_storage address;
    /* nng itself cuts plain TCP that says nothing for 10 s. */
    if (is_tls_url(server->url) && nng_listener_get_addr(server->listener, NNG_OPT_LOCADDR, &own) == 0 &&
        read_address(&own, &address)) {
        rpc_door_set_address(server->pipe_count->door, (const struct sockaddr *)&address);
        server->look = loop_timer_new(server->loop, on_look, server);
        loop_timer_start(server->look, DOOR_MS, 0);
    }
}

int rpc_server_renew(struct rpc_server *server, const struct rpc_tls *tls, struct err *err)
{
    nng_tls_config *config;
    if (!is_tls_url(server->url)) {
        return 0;
    }
    int status = rpc_tls_make(server->url, tls, RPC_TLS_SERVER, &config, err);
    if (status != 0) {
        return status;
    }
    if (server->renewed != NULL) {
        nng_tls_config_free(server->renewed);
    } else {
        nng_listener_close(server->listener);
    }
    server->renewed = config;
    loop_timer_start(server->look, 0, 0);
    return 0;
}

static void start_slots(struct rpc_server *server)
{
    for (size_t i = 0; i < server->slot_count; i++) {
        struct slot *slot = &server->slots[i];
        slot->server = server;
        must(nng_ctx_open(&slot->ctx, server->socket), "context");
        must(nng_aio_alloc(&slot->aio, on_slot, slot), "aio");
    }
    for (size_t i = 0; i < server->slot_count; i++) {
        receive(&server->slots[i]);
    }
}

int rpc_server_open(struct loop *loop, const struct rpc_server_options *options, struct rpc_server **out,
                    struct err *err)
{
    int status = check_url(options->url, options->tls, err);
    if (status != 0) {
        return status;
    }
    prepare();
    struct rpc_server *server = memory_alloc(sizeof *server);
    server->loop = loop;
    server->options = *options;
    pthread_mutex_init(&server->mutex, NULL);
    int code = nng_rep0_open(&server->socket);
    if (code != 0) {
        free_server(server);
        return rpc_tls_fail(err, code, options->url, "no socket");
    }
    must(nng_socket_set_size(server->socket, NNG_OPT_RECVMAXSZ, options->max_bytes + HEADER_BYTES),
         "size limit");
    server->pipe_count = pipe_count_new();
    server->pipe_count->door = rpc_door_new();
    watch_pipes(server->socket, server->pipe_count);
    status = listen_at(server, err);
    if (status != 0) {
        bury_socket(server->socket, server->pipe_count, 0);
        free_server(server);
        return status;
    }
    server->options.url = server->url;
    server->options.tls = NULL;
    server->slot_count = options->contexts == 0 ? DEFAULT_CONTEXTS : options->contexts;
    server->slots = memory_alloc(server->slot_count * sizeof *server->slots);
    server->wake = loop_wake_new(loop, on_requests, server);
    watch_door(server);
    start_slots(server);
    *out = server;
    return 0;
}

const char *rpc_server_url(const struct rpc_server *server)
{
    return server->url;
}

void rpc_server_close(struct rpc_server *server)
{
    if (server == NULL) {
        return;
    }
    if (server->renewed != NULL) {
        nng_tls_config_free(server->renewed);
    } else {
        nng_listener_close(server->listener); /* the address is free at once */
    }
    if (server->look != NULL) {
        loop_timer_free(server->look);
    }
    for (size_t i = 0; i < server->slot_count; i++) {
        struct slot *slot = &server->slots[i];
        nng_aio_stop(slot->aio); /* no callback of it runs any more */
        nng_ctx_close(slot->ctx);
        nng_aio_free(slot->aio);
        nng_msg_free(slot->arrived);
        if (slot->request != NULL) {
            slot->request->slot = NULL;
        }
    }
    bury_socket(server->socket, server->pipe_count, 0);
    loop_wake_free(server->wake);
    server->is_closed = true;
    if (server->depth == 0) {
        free_server(server);
    }
}

/* ---- the client ---- */

enum call_phase { CALL_FREE, CALL_SENDING, CALL_WAITING, CALL_DONE };

/* A place for one call at a time; its aio is kept, its context is new for each call. */
struct call {
    struct rpc_client *client;
    nng_ctx ctx;
    nng_aio *aio;
    struct loop_timer *connect_timer;
    struct mono deadline;
    rpc_callback on_answer;
    void *arg;
    enum call_phase phase; /* under the client's mutex from the sending to the end */
    int status;            /* when done: 0 or -errno */
    nng_msg *answer;
    struct call *next; /* in the list of free ones, or of done ones */
};

struct rpc_client {
    struct loop *loop;
    nng_socket socket;
    struct loop_wake *wake;
    size_t max_calls;
    size_t call_count; /* calls made so far, free or not */
    struct call **calls;
    struct call *free_calls;
    pthread_mutex_t mutex;
    struct call *done_head; /* under the mutex */
    struct call *done_tail;
    struct pipe_count *pipe_count;
    struct rpc_probe *probe; /* TLS with a listener for trouble, else NULL */
    struct loop_timer *trouble;
    bool is_closed;
    unsigned depth;
};

/* A failure while sending means that no connection took the message: nobody can have seen it. */
static int status_of(enum call_phase phase, int code)
{
    if (code == 0) {
        return 0;
    }
    if (code == NNG_ECLOSED || code == NNG_ECANCELED) {
        return -ECANCELED;
    }
    if (phase == CALL_SENDING) {
        return code == NNG_ENOMEM ? -ENOMEM : -ENOTCONN;
    }
    return code == NNG_EUNREACHABLE ? -ETIMEDOUT : -rpc_tls_errno(code);
}

static void finish_locked(struct call *call, int status)
{
    struct rpc_client *client = call->client;
    call->status = status;
    call->phase = CALL_DONE;
    call->next = NULL;
    if (client->done_tail != NULL) {
        client->done_tail->next = call;
    } else {
        client->done_head = call;
    }
    client->done_tail = call;
    loop_wake_send(client->wake);
}

/* On a thread of nng's. */
static void on_call(void *arg)
{
    struct call *call = arg;
    struct rpc_client *client = call->client;
    int code = nng_aio_result(call->aio);
    pthread_mutex_lock(&client->mutex);
    enum call_phase phase = call->phase;
    if (phase == CALL_SENDING && code == 0) {
        call->phase = CALL_WAITING;
        pthread_mutex_unlock(&client->mutex);
        int64_t left = mono_diff(call->deadline, clock_mono_now());
        nng_aio_set_timeout(call->aio, (nng_duration)(left < 1 ? 1 : left));
        nng_ctx_recv(call->ctx, call->aio);
        return;
    }
    nng_msg *message = nng_aio_get_msg(call->aio);
    nng_aio_set_msg(call->aio, NULL);
    if (phase == CALL_WAITING && code == 0) {
        call->answer = message;
    } else if (phase == CALL_SENDING) {
        nng_msg_free(message); /* ours again when it was not sent */
    }
    finish_locked(call, status_of(phase, code));
    pthread_mutex_unlock(&client->mutex);
}

static bool is_connected(struct rpc_client *client)
{
    struct pipe_count *count = client->pipe_count;
    pthread_mutex_lock(&count->mutex);
    bool is_connected = count->pipes > 0;
    pthread_mutex_unlock(&count->mutex);
    return is_connected;
}

/* nng itself would hold the request until somebody connects, and deliver it then. */
static void on_connect_timer(void *arg)
{
    struct call *call = arg;
    struct rpc_client *client = call->client;
    pthread_mutex_lock(&client->mutex);
    bool is_sending = call->phase == CALL_SENDING;
    pthread_mutex_unlock(&client->mutex);
    if (is_sending && !is_connected(client)) {
        nng_aio_abort(call->aio, NNG_EUNREACHABLE);
    }
}

static void free_client(struct rpc_client *client)
{
    pthread_mutex_destroy(&client->mutex);
    free(client->calls);
    free(client);
}

/* Gives the call's place back and tells the caller. */
static void deliver(struct call *call, int status)
{
    struct rpc_client *client = call->client;
    nng_msg *answer = memory_steal(call->answer);
    rpc_callback on_answer = call->on_answer;
    void *arg = call->arg;
    loop_timer_stop(call->connect_timer);
    nng_ctx_close(call->ctx);
    call->phase = CALL_FREE;
    call->next = client->free_calls;
    client->free_calls = call;
    if (status == 0) {
        on_answer(arg, 0, nng_msg_body(answer), nng_msg_len(answer));
    } else {
        on_answer(arg, status, NULL, 0);
    }
    nng_msg_free(answer);
}

static struct call *take_done(struct rpc_client *client)
{
    pthread_mutex_lock(&client->mutex);
    struct call *call = client->done_head;
    if (call != NULL) {
        client->done_head = call->next;
        if (client->done_head == NULL) {
            client->done_tail = NULL;
        }
    }
    pthread_mutex_unlock(&client->mutex);
    return call;
}

static void on_answers(void *arg)
{
    struct rpc_client *client = arg;
    client->depth++;
    struct call *call;
    while (!client->is_closed && (call = take_done(client)) != NULL) {
        deliver(call, call->status);
    }
    if (--client->depth == 0 && client->is_closed) {
        free_client(client);
    }
}

static struct call *take_call(struct rpc_client *client)
{
    struct call *call = client->free_calls;
    if (call != NULL) {
        client->free_calls = call->next;
        return call;
    }
    if (client->call_count == client->max_calls) {
        return NULL;
    }
    call = memory_alloc(sizeof *call);
    call->client = client;
    must(nng_aio_alloc(&call->aio, on_call, call), "aio");
    call->connect_timer = loop_timer_new(client->loop, on_connect_timer, call);
    client->calls = memory_grow(client->calls, client->call_count + 1, sizeof *client->calls);
    client->calls[client->call_count++] = call;
    return call;
}

int rpc_client_call(struct rpc_client *client, const uint8_t *bytes, size_t len, int64_t timeout_ms,
                    rpc_callback on_answer, void *arg)
{
    assert(timeout_ms > 0 && timeout_ms <= INT32_MAX);
    if (client->is_closed) {
        return -ECANCELED;
    }
    struct call *call = take_call(client);
    if (call == NULL) {
        return -ENOBUFS;
    }
    nng_msg *message;
    must(nng_msg_alloc(&message, 0), "message");
    must(nng_msg_append(message, bytes, len), "message");
    must(nng_ctx_open(&call->ctx, client->socket), "context");
    must(nng_ctx_set_ms(call->ctx, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE), "resend off");
    call->on_answer = on_answer;
    call->arg = arg;
    call->deadline = mono_add(clock_mono_now(), timeout_ms);
    call->phase = CALL_SENDING;
    nng_aio_set_msg(call->aio, message);
    nng_aio_set_timeout(call->aio, (nng_duration)timeout_ms);
    loop_timer_start(call->connect_timer, RPC_CONNECT_WAIT_MS, 0);
    nng_ctx_send(call->ctx, call->aio);
    return 0;
}

static int dial(struct rpc_client *client, const struct rpc_client_options *options, struct err *err)
{
    nng_dialer dialer;
    int code = nng_dialer_create(&dialer, client->socket, options->url);
    if (code != 0) {
        return rpc_tls_fail(err, code, options->url, "not a usable address");
    }
    if (is_tls_url(options->url)) {
        nng_tls_config *tls = NULL;
        int status = rpc_tls_make(options->url, options->tls, RPC_TLS_CLIENT, &tls, err);
        if (status != 0) {
            return status;
        }
        code = nng_dialer_set_ptr(dialer, NNG_OPT_TLS_CONFIG, tls);
        nng_tls_config_free(tls);
        must(code, "TLS of the dialer");
    }
    code = nng_dialer_start(dialer, NNG_FLAG_NONBLOCK);
    return code == 0 ? 0 : rpc_tls_fail(err, code, options->url, "cannot dial");
}

static void on_trouble_timer(void *arg)
{
    struct rpc_client *client = arg;
    if (!is_connected(client)) {
        rpc_probe_run(client->probe);
    }
}

static void watch_trouble(struct rpc_client *client, const struct rpc_client_options *options)
{
    if (is_tls_url(options->url) && options->on_trouble != NULL) {
        client->probe =
            rpc_probe_new(client->loop, options->url, options->tls, options->on_trouble, options->arg);
        client->trouble = loop_timer_new(client->loop, on_trouble_timer, client);
        loop_timer_start(client->trouble, TROUBLE_FIRST_MS, TROUBLE_MS);
    }
}

int rpc_client_open(struct loop *loop, const struct rpc_client_options *options, struct rpc_client **out,
                    struct err *err)
{
    int status = check_url(options->url, options->tls, err);
    if (status != 0) {
        return status;
    }
    prepare();
    struct rpc_client *client = memory_alloc(sizeof *client);
    client->loop = loop;
    client->max_calls = options->max_calls == 0 ? DEFAULT_CALLS : options->max_calls;
    client->pipe_count = pipe_count_new();
    pthread_mutex_init(&client->mutex, NULL);
    int code = nng_req0_open(&client->socket);
    if (code != 0) {
        pipe_count_free(client->pipe_count);
        free_client(client);
        return rpc_tls_fail(err, code, options->url, "no socket");
    }
    must(nng_socket_set_size(client->socket, NNG_OPT_RECVMAXSZ, options->max_bytes + HEADER_BYTES),
         "size limit");
    must(nng_socket_set_ms(client->socket, NNG_OPT_RECONNMINT, RECONNECT_MIN_MS), "redial");
    must(nng_socket_set_ms(client->socket, NNG_OPT_RECONNMAXT, RECONNECT_MAX_MS), "redial");
    must(nng_socket_set_ms(client->socket, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE), "resend off");
    watch_pipes(client->socket, client->pipe_count);
    status = dial(client, options, err);
    if (status != 0) {
        bury_socket(client->socket, client->pipe_count, 0);
        free_client(client);
        return status;
    }
    client->wake = loop_wake_new(loop, on_answers, client);
    watch_trouble(client, options);
    *out = client;
    return 0;
}

static void cancel_calls(struct rpc_client *client)
{
    for (size_t i = 0; i < client->call_count; i++) {
        struct call *call = client->calls[i];
        if (call->phase != CALL_FREE) {
            deliver(call, -ECANCELED);
        }
    }
}

void rpc_client_close(struct rpc_client *client)
{
    if (client == NULL) {
        return;
    }
    client->depth++;
    client->is_closed = true;
    rpc_probe_free(client->probe);
    if (client->trouble != NULL) {
        loop_timer_free(client->trouble);
    }
    int delay_ms = 0;
    for (size_t i = 0; i < client->call_count; i++) {
        pthread_mutex_lock(&client->mutex);
        delay_ms = client->calls[i]->phase == CALL_FREE ? delay_ms : QUIET_MS;
        pthread_mutex_unlock(&client->mutex);
        nng_aio_stop(client->calls[i]->aio); /* no callback of it runs any more */
    }
    loop_wake_free(client->wake);
    bury_socket(client->socket, client->pipe_count, delay_ms);
    cancel_calls(client);
    for (size_t i = 0; i < client->call_count; i++) {
        loop_timer_free(client->calls[i]->connect_timer);
        nng_aio_free(client->calls[i]->aio);
        free(client->calls[i]);
    }
    client->call_count = 0;
    if (--client->depth == 0) {
        free_client(client);
    }
}
