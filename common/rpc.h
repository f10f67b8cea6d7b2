/*
 * Requests and answers over nng REQ/REP, its headers in rpc*.c alone. nng 1.5.2 and 1.10.
 *
 * Bytes in, bytes out; what they mean is proto/'s affair. nng's threads only fill a mutexed queue and wake
 * the loop: every callback here runs on the loop's thread, and nothing blocks for more than the moment in
 * which an nng callback ends. nng's sockets are closed behind the scenes (its close may hang: see
 * rpc_socket.h). Resending is off on both levels (NNG_OPT_REQ_RESENDTIME infinite, and a context of its own
 * for each call): by default nng repeats a request after 60 s and on reconnect, which would restart a
 * container twice. NNG_OPT_RECVMAXSZ and RECONNMINT/MAXT are always set. Everything may be called from within
 * every callback, the close of its own server or client included.
 */
#ifndef DEFIB_COMMON_RPC_H
#define DEFIB_COMMON_RPC_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/loop.h"

/* For tls+tcp:// URLs, which are refused without it; NULL in an options struct means none was given. Other
 * URLs do not look at it. Borrowed, read at open. Mutual: both sides show a certificate that the CA signed.
 */
struct rpc_tls {
    const char *ca_file; /* PEM, all three */
    const char *cert_file;
    const char *key_file;
    const char *server_name; /* client: checked against the server's certificate; NULL: the URL's host */
};

struct rpc_server;
struct rpc_request;

struct rpc_server_options {
    const char *url; /* tcp://host:port (port 0: any), ipc:///path, tls+tcp://host:port */
    const struct rpc_tls *tls;
    size_t contexts;  /* requests that may be open at once; 0 = 16 */
    size_t max_bytes; /* of one request; larger ones end their connection */
    /* Must lead to exactly one rpc_request_reply, now or later. `bytes` are borrowed for the call. */
    void (*on_request)(void *arg, struct rpc_request *request, const uint8_t *bytes, size_t len);
    /* So many connections never finished their handshake and were cut (rpc_door.h); may be NULL. */
    void (*on_cut)(void *arg, size_t count, const char *last_peer);
    void *arg;
};

/* 0, or -errno with the URL and the cause in err (-EADDRINUSE, -EACCES, -EINVAL …). *out is given. */
int rpc_server_open(struct loop *loop, const struct rpc_server_options *options, struct rpc_server **out,
                    struct err *err);

/* Where it listens, with the real port where 0 was asked for. Borrowed, lives with the server. */
const char *rpc_server_url(const struct rpc_server *server);

/* Takes the request; the bytes are borrowed. NULL bytes drop the request unanswered. A peer that left is no
 * error: nng reports success. Also allowed (and then only frees) after rpc_server_close. */
void rpc_request_reply(struct rpc_request *request, const uint8_t *bytes, size_t len);

/* Listens with the files as they are now: for fresh certificates. Connections that stand may end, and are
 * made anew by their clients. 0, also where the URL is not TLS; or -errno, and all stays as it was. */
int rpc_server_renew(struct rpc_server *server, const struct rpc_tls *tls, struct err *err);

void rpc_server_close(struct rpc_server *server);

struct rpc_client;

struct rpc_client_options {
    const char *url;
    const struct rpc_tls *tls;
    size_t max_bytes; /* of one answer */
    size_t max_calls; /* open at once; 0 = 64 */
    /* TLS only, may be NULL: why no connection comes about, one line without the URL, again every 30 s. Must
     * not close the client. */
    void (*on_trouble)(void *arg, const char *text);
    void *arg;
};

/* Dials in the background and redials for ever: an agent that is away is no error here, a URL that does not
 * parse is (-EINVAL). *out is given. */
int rpc_client_open(struct loop *loop, const struct rpc_client_options *options, struct rpc_client **out,
                    struct err *err);

/* status: 0 with the answer's bytes (borrowed), or
 *   -ENOTCONN   the request never left this process: nobody was connected within RPC_CONNECT_WAIT_MS of the
 * call (so that a call right after open works), or the connection took nothing for the whole timeout;
 *   -ETIMEDOUT  it left, and no answer came. It may still be carried out later: links that hang deliver late;
 *   -ECONNRESET it left, and the connection ended before the answer: it may have been carried out;
 *   -ECANCELED  by close: as -ETIMEDOUT;
 *   others (-ENOMEM, -EIO): as -ETIMEDOUT. */
enum { RPC_CONNECT_WAIT_MS = 250 };
typedef void (*rpc_callback)(void *arg, int status, const uint8_t *bytes, size_t len);

/* Borrows bytes. 0, then the callback runs exactly once, never from within this call; -ENOBUFS at max_calls;
 * -ECANCELED from within a callback of rpc_client_close. */
int rpc_client_call(struct rpc_client *client, const uint8_t *bytes, size_t len, int64_t timeout_ms,
                    rpc_callback on_answer, void *arg);

/* Open calls get -ECANCELED before it returns. NULL is allowed. */
void rpc_client_close(struct rpc_client *client);

#endif
