/*
 * A connection to Redis that never waits: RESP by hand, since hiredis would be a dependency of every program
 * that beats. Part of libdefib-beat.
 *
 * One exchange at a time: what beat_link_send was given must be answered before the next. A failure of any
 * kind closes the connection; it is opened again after 0.1 to 5 s.
 */
#ifndef DEFIB_COMMON_BEAT_BEAT_LINK_H
#define DEFIB_COMMON_BEAT_BEAT_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/beat/beat_resolve.h"
#include "common/redis_url.h"

enum beat_link_state {
    BEAT_LINK_RESTING, /* until retry_ms */
    BEAT_LINK_RESOLVING,
    BEAT_LINK_CONNECTING,
    BEAT_LINK_GREETING, /* AUTH, SELECT: under way */
    BEAT_LINK_READY,
    BEAT_LINK_BUSY /* an exchange is under way */
};

/* Everything of it is private but `state` and `trouble`. Times are milliseconds of CLOCK_MONOTONIC. */
struct beat_link {
    struct redis_url url;
    enum beat_link_state state;
    char trouble[256]; /* "" while all is well */
    struct beat_resolve *resolve;
    struct beat_address addresses[BEAT_ADDRESSES_MAX];
    size_t address_count, address_next;
    int fd;
    int64_t retry_ms, deadline_ms, backoff_ms;
    uint64_t connects;
    char *out; /* owned */
    size_t out_len, out_sent;
    unsigned awaited; /* answers */
    char in[512];
    size_t in_len;
};

void beat_link_init(struct beat_link *link, const struct redis_url *url);
void beat_link_fini(struct beat_link *link);

/* Moves on as far as it can without waiting. True where an exchange has just ended well. */
bool beat_link_step(struct beat_link *link, int64_t now_ms);

/* Only while READY. Takes the bytes (malloc'ed), which make `answers` answers. */
void beat_link_send(struct beat_link *link, char *bytes, size_t len, unsigned answers, int64_t now_ms);

/* When it wants to be stepped again though nothing becomes readable or writable; INT64_MAX: never. */
int64_t beat_link_wake_ms(const struct beat_link *link, int64_t now_ms);

short beat_link_events(const struct beat_link *link); /* for poll(2) on link->fd */

#endif
