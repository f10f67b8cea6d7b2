/*
 * Which containers are never touched because we live in them: defib's own programs, this agent's container,
 * and the Redis that is in use. Pure.
 */
#ifndef DEFIB_AGENT_CORE_SELF_FINDER_H
#define DEFIB_AGENT_CORE_SELF_FINDER_H

#include <stdbool.h>

#include "agent/core/engine_json.h"
#include "proto/limits.h"

/* A plain value. */
struct self_finder_redis {
    char host[LIMIT_NAME_SIZE];   /* of REDIS_URL; "" for a socket */
    char socket[LIMIT_NAME_SIZE]; /* path of a Unix socket, else "" */
    char peer[64];                /* numeric peer of our link; "": not known yet */
    int port;
    bool is_peer_local; /* the peer is loopback or another address of this host */
};

bool self_finder_is_own(const struct engine_container *container, const char *self_id);
bool self_finder_is_redis(const struct engine_container *container, const struct self_finder_redis *redis);

/* The id of the container that a process runs in, by the text of its /proc/self/cgroup and mountinfo (either
 * may be NULL). False: none. With a cgroup namespace only the mounts of /etc/hostname and its like tell. */
bool self_finder_container_id(const char *cgroup, const char *mountinfo, char out[LIMIT_ID_SIZE]);

#endif
