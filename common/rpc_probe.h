/*
 * Why does a TLS connection not come about? nng redials in silence; this dials once more, beside it, and
 * says.
 *
 * First as the client does; where the handshake fails, once more without a check of the server's certificate:
 * if that goes through, it was ours to refuse, else it is theirs. Nothing is sent over either connection.
 */
#ifndef DEFIB_COMMON_RPC_PROBE_H
#define DEFIB_COMMON_RPC_PROBE_H

#include "common/err.h"
#include "common/loop.h"
#include "common/rpc.h"

struct rpc_probe;

/* `text` is one line without the URL; never called when the connection comes about. On the loop's thread;
 * must not free the probe. */
typedef void (*rpc_probe_callback)(void *arg, const char *text);

/* All is copied, the files are read at each run. */
struct rpc_probe *rpc_probe_new(struct loop *loop, const char *url, const struct rpc_tls *tls,
                                rpc_probe_callback on_trouble, void *arg);

/* One run of a few seconds; does nothing while one is under way. */
void rpc_probe_run(struct rpc_probe *probe);

/* A run under way ends without a word. NULL is allowed. */
void rpc_probe_free(struct rpc_probe *probe);

#endif
