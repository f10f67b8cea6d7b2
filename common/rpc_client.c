#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/queue.h>

#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <nng/supplemental/tls/tls.h>

#include "common/memory.h"
#include "common/rpc.h"
#include "common/rpc_probe.h"
#include "common/rpc_socket.h"
#include "common/rpc_tls.h"

enum {
    DEFAULT_CALLS = 64,
    RECONNECT_MIN_MS = 100,
    RECONNECT_MAX_MS = 5000,
    TROUBLE_FIRST_MS = 2000, /* not connected for so long: why? */
    TROUBLE_MS = 30 * 1000
};

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
    STAILQ_ENTRY(call) place; /* among the free ones, or the done ones */
};

STAILQ_HEAD(calls, call);

struct rpc_client {
    struct loop *loop;
    nng_socket socket;
    struct loop_wake *wake;
    size_t max_calls;
    size_t call_count; /* calls made so far, free or not */
    struct call **calls;
    struct calls free_calls;
    pthread_mutex_t mutex;
    struct calls done; /* under the mutex */
    struct rpc_socket_pipes *pipes;
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
    STAILQ_INSERT_TAIL(&client->done, call, place);
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

/* nng itself would hold the request until somebody connects, and deliver it then. */
static void on_connect_timer(void *arg)
{
    struct call *call = arg;
    struct rpc_client *client = call->client;
    pthread_mutex_lock(&client->mutex);
    bool is_sending = call->phase == CALL_SENDING;
    pthread_mutex_unlock(&client->mutex);
    if (is_sending && !rpc_socket_pipes_stand(client->pipes)) {
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
    STAILQ_INSERT_HEAD(&client->free_calls, call, place);
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
    struct call *call = STAILQ_FIRST(&client->done);
    if (call != NULL) {
        STAILQ_REMOVE_HEAD(&client->done, place);
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
    struct call *call = STAILQ_FIRST(&client->free_calls);
    if (call != NULL) {
        STAILQ_REMOVE_HEAD(&client->free_calls, place);
        return call;
    }
    if (client->call_count == client->max_calls) {
        return NULL;
    }
    call = memory_alloc(sizeof *call);
    call->client = client;
    rpc_socket_must(nng_aio_alloc(&call->aio, on_call, call), "aio");
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
    rpc_socket_must(nng_msg_alloc(&message, 0), "message");
    rpc_socket_must(nng_msg_append(message, bytes, len), "message");
    rpc_socket_must(nng_ctx_open(&call->ctx, client->socket), "context");
    rpc_socket_must(nng_ctx_set_ms(call->ctx, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE), "resend off");
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
    if (rpc_socket_is_tls(options->url)) {
        nng_tls_config *tls = NULL;
        int status = rpc_tls_make(options->url, options->tls, RPC_TLS_CLIENT, &tls, err);
        if (status != 0) {
            return status;
        }
        code = nng_dialer_set_ptr(dialer, NNG_OPT_TLS_CONFIG, tls);
        nng_tls_config_free(tls);
        rpc_socket_must(code, "TLS of the dialer");
    }
    code = nng_dialer_start(dialer, NNG_FLAG_NONBLOCK);
    return code == 0 ? 0 : rpc_tls_fail(err, code, options->url, "cannot dial");
}

static void on_trouble_timer(void *arg)
{
    struct rpc_client *client = arg;
    if (!rpc_socket_pipes_stand(client->pipes)) {
        rpc_probe_run(client->probe);
    }
}

static void watch_trouble(struct rpc_client *client, const struct rpc_client_options *options)
{
    if (rpc_socket_is_tls(options->url) && options->on_trouble != NULL) {
        client->probe =
            rpc_probe_new(client->loop, options->url, options->tls, options->on_trouble, options->arg);
        client->trouble = loop_timer_new(client->loop, on_trouble_timer, client);
        loop_timer_start(client->trouble, TROUBLE_FIRST_MS, TROUBLE_MS);
    }
}

int rpc_client_open(struct loop *loop, const struct rpc_client_options *options, struct rpc_client **out,
                    struct err *err)
{
    int status = rpc_socket_check_url(options->url, options->tls, err);
    if (status != 0) {
        return status;
    }
    rpc_socket_prepare();
    struct rpc_client *client = memory_alloc(sizeof *client);
    client->loop = loop;
    client->max_calls = options->max_calls == 0 ? DEFAULT_CALLS : options->max_calls;
    client->pipes = rpc_socket_pipes_new(NULL);
    pthread_mutex_init(&client->mutex, NULL);
    STAILQ_INIT(&client->free_calls);
    STAILQ_INIT(&client->done);
    int code = nng_req0_open(&client->socket);
    if (code != 0) {
        rpc_socket_pipes_free(client->pipes);
        free_client(client);
        return rpc_tls_fail(err, code, options->url, "no socket");
    }
    rpc_socket_must(
        nng_socket_set_size(client->socket, NNG_OPT_RECVMAXSZ, options->max_bytes + RPC_HEADER_BYTES),
        "size limit");
    rpc_socket_must(nng_socket_set_ms(client->socket, NNG_OPT_RECONNMINT, RECONNECT_MIN_MS), "redial");
    rpc_socket_must(nng_socket_set_ms(client->socket, NNG_OPT_RECONNMAXT, RECONNECT_MAX_MS), "redial");
    rpc_socket_must(nng_socket_set_ms(client->socket, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE),
                    "resend off");
    rpc_socket_pipes_watch(&client->socket, client->pipes);
    status = dial(client, options, err);
    if (status != 0) {
        rpc_socket_bury(&client->socket, client->pipes, 0);
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
        delay_ms = client->calls[i]->phase == CALL_FREE ? delay_ms : RPC_QUIET_MS;
        pthread_mutex_unlock(&client->mutex);
        nng_aio_stop(client->calls[i]->aio); /* no callback of it runs any more */
    }
    loop_wake_free(client->wake);
    rpc_socket_bury(&client->socket, client->pipes, delay_ms);
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
