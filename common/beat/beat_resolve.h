/*
 * A host name to addresses on a thread of its own: getaddrinfo may wait for ten seconds. Part of
 * libdefib-beat; without a loop, so it is asked whether it is done.
 */
#ifndef DEFIB_COMMON_BEAT_BEAT_RESOLVE_H
#define DEFIB_COMMON_BEAT_BEAT_RESOLVE_H

#include <stddef.h>
#include <sys/socket.h>

enum { BEAT_ADDRESSES_MAX = 8 };

struct beat_address {
    struct sockaddr_storage address;
    socklen_t len;
};

struct beat_resolve;

/* NULL: no memory, or no thread. A numeric host is answered at once. */
struct beat_resolve *beat_resolve_start(const char *host, int port);

/* False while it is under way. *failure: NULL, or why there are no addresses. */
_Bool beat_resolve_poll(struct beat_resolve *resolve, struct beat_address out[BEAT_ADDRESSES_MAX],
                        size_t *count, const char **failure);

/* A thread that is still asking ends by itself. NULL is allowed. */
void beat_resolve_free(struct beat_resolve *resolve);

#endif
