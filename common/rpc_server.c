#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/supplemental/tls/tls.h>

#include "common/memory.h"
#include "common/rpc.h"
#include "common/rpc_door.h"
#include "common/rpc_socket.h"
#include "common/rpc_tls.h"

enum {
    DEFAULT_CONTEXTS = 16,
    DOOR_MS = 5000,     /* between two looks at who is at the door; */
    DOOR_BUSY_MS = 1000 /* while strangers are there */
};

enum slot_state { SLOT_RECEIVING, SLOT_OPEN, SLOT_SENDING };

/* One REP context. Owned by nng's threads while receiving or sending, by the loop's while open. */
struct slot {
    struct rpc_server *server;
    nng_ctx ctx;
    nng_aio *aio;
    enum slot_state state;
    nng_msg *arrived;
    STAILQ_ENTRY(slot) place; /* among those ready */
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
    struct rpc_socket_pipes *pipes;
    struct loop_wake *wake;
    struct loop_timer *look; /* at the door; NULL for ipc */
    nng_tls_config *renewed; /* is to be listened with as soon as the address is free; NULL: nothing to do */
    struct slot *slots;
    size_t slot_count;
    pthread_mutex_t mutex;
    STAILQ_HEAD(, slot) ready; /* under the mutex: arrived, the loop has not seen them */
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
    pthread_mutex_lock(&server->mutex);
    STAILQ_INSERT_TAIL(&server->ready, slot, place);
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
    struct slot *slot = STAILQ_FIRST(&server->ready);
    if (slot != NULL) {
        STAILQ_REMOVE_HEAD(&server->ready, place);
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
    rpc_socket_must(nng_msg_alloc(&message, 0), "message");
    rpc_socket_must(nng_msg_append(message, bytes, len), "message");
    slot->state = SLOT_SENDING;
    nng_aio_set_msg(slot->aio, message);
    nng_ctx_send(slot->ctx, slot->aio);
}

static void set_url(struct rpc_server *server, const char *url, nng_listener listener)
{
    const char *colon = strrchr(url, ':');
    int port = 0;
    if (strncmp(url, "ipc://", strlen("ipc://")) == 0 || strcmp(colon, ":0") != 0 ||
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
        rpc_socket_must(nng_listener_set_ptr(listener, NNG_OPT_TLS_CONFIG, tls), "TLS of the listener");
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
    if (rpc_socket_is_tls(options->url)) {
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
    struct rpc_door_view view = rpc_door_look(rpc_socket_pipes_door(server->pipes), loop_now(server->loop));
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
    if (rpc_socket_is_tls(server->url) &&
        nng_listener_get_addr(server->listener, NNG_OPT_LOCADDR, &own) == 0 &&
        rpc_socket_address(&own, &address)) {
        rpc_door_set_address(rpc_socket_pipes_door(server->pipes), (const struct sockaddr *)&address);
        server->look = loop_timer_new(server->loop, on_look, server);
        loop_timer_start(server->look, DOOR_MS, 0);
    }
}

int rpc_server_renew(struct rpc_server *server, const struct rpc_tls *tls, struct err *err)
{
    nng_tls_config *config;
    if (!rpc_socket_is_tls(server->url)) {
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
        rpc_socket_must(nng_ctx_open(&slot->ctx, server->socket), "context");
        rpc_socket_must(nng_aio_alloc(&slot->aio, on_slot, slot), "aio");
    }
    for (size_t i = 0; i < server->slot_count; i++) {
        receive(&server->slots[i]);
    }
}

int rpc_server_open(struct loop *loop, const struct rpc_server_options *options, struct rpc_server **out,
                    struct err *err)
{
    int status = rpc_socket_check_url(options->url, options->tls, err);
    if (status != 0) {
        return status;
    }
    rpc_socket_prepare();
    struct rpc_server *server = memory_alloc(sizeof *server);
    server->loop = loop;
    server->options = *options;
    pthread_mutex_init(&server->mutex, NULL);
    STAILQ_INIT(&server->ready);
    int code = nng_rep0_open(&server->socket);
    if (code != 0) {
        free_server(server);
        return rpc_tls_fail(err, code, options->url, "no socket");
    }
    rpc_socket_must(
        nng_socket_set_size(server->socket, NNG_OPT_RECVMAXSZ, options->max_bytes + RPC_HEADER_BYTES),
        "size limit");
    server->pipes = rpc_socket_pipes_new(rpc_door_new());
    rpc_socket_pipes_watch(&server->socket, server->pipes);
    status = listen_at(server, err);
    if (status != 0) {
        rpc_socket_bury(&server->socket, server->pipes, 0);
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
    rpc_socket_bury(&server->socket, server->pipes, 0);
    loop_wake_free(server->wake);
    server->is_closed = true;
    if (server->depth == 0) {
        free_server(server);
    }
}
