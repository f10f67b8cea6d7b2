/*
 * What client and server of rpc.h share of nng: sockets that are closed without anybody waiting for it, their
 * connections, and URLs.
 *
 * nng 1.5 to 1.7 may hang for ever in ending a connection while a message is on its way (nng issues 1543 and
 * 1813; here on 1.5.2 once in some hundred peers killed under load). That takes its one thread that ends
 * connections along: nng_close does not return, and worse, nothing is redialled in the whole process any
 * more. So nng_close is never called on the loop's thread, sockets with open calls wait until those are
 * quiet, and every close, and a probe after every loss of a connection, is watched: where nng hangs, the
 * process ends, to be started anew, instead of going deaf.
 *
 * nng_close in the middle of a handshake of ours leaves that connection behind for ever, with its descriptor
 * (1.5.2 and 1.10: a step of the handshake that is just done asks for the next of a connection that was
 * closed, and hears nothing). So a client that has no connection is closed when it has one, or 12 to 20 s
 * later.
 */
#ifndef DEFIB_COMMON_RPC_SOCKET_H
#define DEFIB_COMMON_RPC_SOCKET_H

#include <stdbool.h>
#include <sys/socket.h>

#include "common/err.h"
#include "common/rpc.h"
#include "common/rpc_door.h"

enum {
    RPC_QUIET_MS = 2000, /* after which calls that were ended make no more noise */
    RPC_HEADER_BYTES = 4 /* the request's number travels in front and counts for NNG_OPT_RECVMAXSZ */
};

struct nng_socket_s; /* an nng_socket: nng's headers stand in no header of ours */
union nng_sockaddr;

/* Ends the process with a line where nng says that it has no memory, or that we misuse it. */
void rpc_socket_must(int code, const char *what);

/* Before the first socket, and as often as wanted: few threads for nng, and all the descriptors that the hard
 * limit allows. */
void rpc_socket_prepare(void);

/* The connections of a socket. It outlives client and server: nng's callbacks write there until the socket is
 * closed. */
struct rpc_socket_pipes;

/* door: taken, told of who comes and goes; NULL for clients. Freed (NULL is allowed) only while no socket
 * knows it: see rpc_socket_bury. */
struct rpc_socket_pipes *rpc_socket_pipes_new(struct rpc_door *door);
void rpc_socket_pipes_free(struct rpc_socket_pipes *pipes);
void rpc_socket_pipes_watch(const struct nng_socket_s *socket, struct rpc_socket_pipes *pipes);
bool rpc_socket_pipes_stand(struct rpc_socket_pipes *pipes);            /* at least one does */
struct rpc_door *rpc_socket_pipes_door(struct rpc_socket_pipes *pipes); /* borrowed */

/* Closes the socket when delay_ms are over and no handshake of it is under way, on another thread, and takes
 * the pipes with it. Does not block. */
void rpc_socket_bury(const struct nng_socket_s *socket, struct rpc_socket_pipes *pipes, int delay_ms);

/* False for what is no TCP. */
bool rpc_socket_address(const union nng_sockaddr *from, struct sockaddr_storage *out);

bool rpc_socket_is_tls(const char *url);

/* 0, or -EINVAL: no scheme of ours, or TLS without its files. */
int rpc_socket_check_url(const char *url, const struct rpc_tls *tls, struct err *err);

#endif
