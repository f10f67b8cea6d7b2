#include "common/rpc_probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nng/nng.h>
#include <nng/supplemental/tls/tls.h>

#include "common/memory.h"
#include "common/rpc_tls.h"

enum { STEP_TIMEOUT_MS = 4000, TEXT_SIZE = 384, NAME_SIZE = 256 };

enum probe_step {
    PROBE_IDLE,
    PROBE_DIALLING,
    PROBE_GREETING /* the server speaks first: its first byte proves the handshake */
};

/* Everything happens on the loop's thread, between two calls of nng's. */
struct rpc_probe {
    struct loop_wake *wake;
    rpc_probe_callback on_trouble;
    void *arg;
    char *url, *ca_file, *cert_file, *key_file, *name;
    struct rpc_tls tls;
    nng_aio *aio;
    nng_stream_dialer *dialer;
    nng_stream *stream;
    uint8_t greeting[8];
    enum probe_step step;
    enum rpc_tls_role role; /* RPC_TLS_UNCHECKED: the second attempt */
    int failure;            /* nng's code of the first */
};

/* The dialer first: a connection holds it by a count of nng's that TSan does not see, and whoever drops the
 * connection would be said to race. */
static void drop_connection(struct rpc_probe *probe)
{
    nng_stream_dialer_free(probe->dialer);
    probe->dialer = NULL;
    nng_stream_free(probe->stream);
    probe->stream = NULL;
    probe->step = PROBE_IDLE;
}

static void say(struct rpc_probe *probe, const char *text)
{
    drop_connection(probe);
    probe->on_trouble(probe->arg, text);
}

static void dial(struct rpc_probe *probe, enum rpc_tls_role role)
{
    struct err err;
    nng_tls_config *config;
    if (rpc_tls_make(probe->url, &probe->tls, role, &config, &err) != 0) {
        say(probe, err.text);
        return;
    }
    int code = nng_stream_dialer_alloc(&probe->dialer, probe->url);
    code = code != 0 ? code : nng_stream_dialer_set_ptr(probe->dialer, NNG_OPT_TLS_CONFIG, config);
    nng_tls_config_free(config);
    if (code != 0) {
        say(probe, nng_strerror(code));
        return;
    }
    probe->role = role;
    probe->step = PROBE_DIALLING;
    nng_aio_set_timeout(probe->aio, STEP_TIMEOUT_MS);
    nng_stream_dialer_dial(probe->dialer, probe->aio);
}

static void await_greeting(struct rpc_probe *probe)
{
    nng_iov iov = {.iov_buf = probe->greeting, .iov_len = sizeof probe->greeting};
    probe->stream = nng_aio_get_output(probe->aio, 0);
    probe->step = PROBE_GREETING;
    nng_aio_set_iov(probe->aio, 1, &iov);
    nng_stream_recv(probe->stream, probe->aio);
}

static void explain(struct rpc_probe *probe, int code)
{
    char text[TEXT_SIZE];
    if (code == 0) {
        snprintf(text, sizeof text,
                 "its certificate is refused: not signed by the CA in %s, expired, or not made out to %s",
                 probe->ca_file, probe->name);
    } else {
        snprintf(
            text, sizeof text,
            "no TLS comes about (%s): it refuses the certificate in %s (other CA, expired), or speaks no TLS",
            nng_strerror(probe->failure), probe->cert_file);
    }
    say(probe, text);
}

static void on_step(void *arg)
{
    struct rpc_probe *probe = arg;
    if (probe->step == PROBE_IDLE) {
        return;
    }
    int code = nng_aio_result(probe->aio);
    if (probe->step == PROBE_DIALLING) {
        if (code == 0) {
            await_greeting(probe);
        } else {
            say(probe, nng_strerror(code));
        }
    } else if (probe->role == RPC_TLS_UNCHECKED) {
        explain(probe, code);
    } else if (code == 0) {
        drop_connection(probe);
    } else {
        probe->failure = code;
        drop_connection(probe);
        dial(probe, RPC_TLS_UNCHECKED);
    }
}

/* On a thread of nng's. */
static void on_nng(void *arg)
{
    struct rpc_probe *probe = arg;
    loop_wake_send(probe->wake);
}

struct rpc_probe *rpc_probe_new(struct loop *loop, const char *url, const struct rpc_tls *tls,
                                rpc_probe_callback on_trouble, void *arg)
{
    struct rpc_probe *probe = memory_alloc(sizeof *probe);
    char name[NAME_SIZE];
    rpc_tls_server_name(url, tls, name, sizeof name);
    probe->on_trouble = on_trouble;
    probe->arg = arg;
    probe->url = memory_copy_text(url);
    probe->ca_file = memory_copy_text(tls->ca_file);
    probe->cert_file = memory_copy_text(tls->cert_file);
    probe->key_file = memory_copy_text(tls->key_file);
    probe->name = memory_copy_text(name);
    probe->tls = (struct rpc_tls){probe->ca_file, probe->cert_file, probe->key_file, probe->name};
    probe->wake = loop_wake_new(loop, on_step, probe);
    if (nng_aio_alloc(&probe->aio, on_nng, probe) != 0) {
        fputs("rpc: no memory\n", stderr);
        abort();
    }
    return probe;
}

void rpc_probe_run(struct rpc_probe *probe)
{
    if (probe->step == PROBE_IDLE) {
        dial(probe, RPC_TLS_CLIENT);
    }
}

void rpc_probe_free(struct rpc_probe *probe)
{
    if (probe == NULL) {
        return;
    }
    nng_aio_stop(probe->aio); /* no step of it runs any more */
    if (probe->step == PROBE_DIALLING && nng_aio_result(probe->aio) == 0) {
        probe->stream = nng_aio_get_output(probe->aio, 0); /* made, and not told yet */
    }
    drop_connection(probe);
    nng_aio_free(probe->aio);
    loop_wake_free(probe->wake);
    free(probe->url);
    free(probe->ca_file);
    free(probe->cert_file);
    free(probe->key_file);
    free(probe->name);
    free(probe);
}
