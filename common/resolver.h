/*
 * Host names to addresses without blocking the loop: getaddrinfo on a thread of its own, because it may wait
 * for a name server for ten seconds and cannot be interrupted. A numeric address needs no thread.
 *
 * Called and calling back on the loop's thread. libuv's own pool is not used: it is joined at exit.
 */
#ifndef DEFIB_COMMON_RESOLVER_H
#define DEFIB_COMMON_RESOLVER_H

#include <stddef.h>
#include <sys/socket.h>

#include "common/loop.h"

enum { RESOLVER_ADDRESSES_MAX = 8 };

struct resolver_address {
    struct sockaddr_storage address;
    socklen_t len;
};

struct resolver;

/* failure: NULL, or why there are none. Both are borrowed for the call. Runs once, never from within start.
 */
typedef void (*resolver_callback)(void *arg, const char *failure, const struct resolver_address *addresses,
                                  size_t count);

/* Gives the resolver: free it, from within the callback at the earliest useful moment. host is copied. */
struct resolver *resolver_start(struct loop *loop, const char *host, int port, resolver_callback on_done,
                                void *arg);

/* No callback runs afterwards; a thread that is still asking ends by itself. NULL is allowed. */
void resolver_free(struct resolver *resolver);

#endif
