/*
 * Cuts connections to a TLS listener that never finish their handshake.
 *
 * nng never closes a connection whose TLS handshake does not come (1.5.2 and 1.10): 500 silent ones stay for
 * ever, 32 KB each, and enough of them use up the descriptors and shut the good controller out. nng tells of
 * connections that made it; what else is connected to the listener's port, by the kernel's word, is a
 * stranger. Strangers older than RPC_DOOR_PATIENCE_MS are shut down, which nng takes for a peer that left;
 * from RPC_DOOR_CROWD of them on, those older than RPC_DOOR_CROWDED_MS. Peers that were let in are never
 * touched.
 */
#ifndef DEFIB_COMMON_RPC_DOOR_H
#define DEFIB_COMMON_RPC_DOOR_H

#include <stddef.h>
#include <stdint.h>

#include <sys/socket.h>

#include "common/clock.h"

enum {
    RPC_DOOR_PATIENCE_MS = 10 * 1000,
    RPC_DOOR_CROWD = 32,
    RPC_DOOR_CROWDED_MS = 1000,
    RPC_DOOR_PEER_SIZE = 64 /* "[address]:port" */
};

struct rpc_door;

struct rpc_door *rpc_door_new(void);
void rpc_door_free(struct rpc_door *door); /* NULL is allowed */

/* Where the listener really listens: IPv4 or IPv6, any address or one. Before it is said a look sees nobody.
 */
void rpc_door_set_address(struct rpc_door *door, const struct sockaddr *listening);

/* From any thread: the connection from this IPv4 or IPv6 peer has finished its handshake; and is no more. */
void rpc_door_let_in(struct rpc_door *door, uint32_t id, const struct sockaddr *peer);
void rpc_door_left(struct rpc_door *door, uint32_t id);

/* One look over this process's sockets, on the loop's thread. Blocks for microseconds. */
struct rpc_door_view {
    size_t strangers;              /* that are still there */
    size_t cut;                    /* by this look */
    char last[RPC_DOOR_PEER_SIZE]; /* whom it cut last; "" */
};
struct rpc_door_view rpc_door_look(struct rpc_door *door, struct mono now);

#endif
