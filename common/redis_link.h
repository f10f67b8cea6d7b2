/*
 * One connection to Redis that comes back for ever: hiredis' buffers and parser on our loop. hiredis 0.14 and
 * 1.x.
 *
 * What hiredis leaves to us is done here: connect deadline, a deadline for every command, a PING when idle
 * (a silent partition is noticed by nobody else), reconnect with exponential backoff and full jitter
 * (100 ms to 5 s), AUTH, SELECT and CLIENT SETNAME, and re-subscribing. A link is up only after the server
 * answered PING with PONG; while it says LOADING or MASTERDOWN it is not up.
 *
 * All calls and callbacks are on the loop's thread; nothing blocks. Commands that are queued in one turn of
 * the loop leave in one write. A callback gets `reply == NULL` when the link went down, timed out or was
 * closed before the answer came: the command may or may not have run. Every accepted command's callback runs
 * exactly once. A callback may call anything here, redis_link_close of its own link included.
 *
 * A host name is looked up anew for each round of tries, off the loop's thread; all its addresses are tried.
 * After a stall of this process answers that have arrived meanwhile are read before a deadline counts.
 */
#ifndef DEFIB_COMMON_REDIS_LINK_H
#define DEFIB_COMMON_REDIS_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/latency.h"
#include "common/loop.h"
#include "common/redis_reply.h"
#include "common/redis_url.h"

struct redis_link;

struct redis_link_options {
    const struct redis_url *url; /* borrows: copied */
    const char *client_name;     /* borrows: copied; for CLIENT LIST */
    const char *subscribe;       /* a channel: the link only listens; NULL: a command link */
    int64_t connect_timeout_ms;  /* 0 = 3000 */
    int64_t command_timeout_ms;  /* 0 = 3000; from the call to the whole answer */
    int64_t ping_interval_ms;    /* 0 = 5000; a silent link is down after this + the deadline */
    size_t max_pending;          /* commands without an answer; 0 = 200000 */
    size_t max_reply_bytes;   /* of one answer or message; a larger one costs the connection; 0 = 160 MiB */
    struct latency *latency;  /* of every command that was answered, within a turn of the loop; or NULL */
    void (*on_up)(void *arg); /* connected, authenticated, subscribed where asked for */
    void (*on_down)(void *arg, const char *reason); /* once for each loss, and once if the first connect fails
                                                       (then at every changed reason, not at every try);
                                                       "host:port/db: connection refused", "…: LOADING …" */
    void (*on_message)(void *arg, const char *payload, size_t len); /* subscribing links; borrowed bytes */
    void *arg;
};

/* Starts connecting at once; on_up and on_down come later, never from within this call. Never fails:
 * what cannot be reached is tried again for ever. */
struct redis_link *redis_link_open(struct loop *loop, const struct redis_link_options *options);

/* Pending callbacks run with NULL before it returns; no on_down. NULL is allowed. */
void redis_link_close(struct redis_link *link);

bool redis_link_is_up(const struct redis_link *link);

/* Since when it is up, MONO_NEVER while it is not. */
struct mono redis_link_up_since(const struct redis_link *link);

/* The server's run_id as INFO told at the last connect, "" before. It changes when Redis restarts. */
const char *redis_link_run_id(const struct redis_link *link);

/* The peer of the TCP connection as numeric text ("172.17.0.2", 6379), false while down or on a Unix socket.
 */
bool redis_link_peer(const struct redis_link *link, char *host, size_t size, int *port);

/* The reply is borrowed for the length of the callback. */
typedef void (*redis_link_callback)(void *arg, const struct redis_reply *reply);

/* Queues one command; argv and argv_len are borrowed for the call (argv_len NULL: C strings). `on_reply` may
 * be NULL. 0; -ENOTCONN while down; -ENOBUFS at max_pending; then no callback runs. */
int redis_link_command(struct redis_link *link, redis_link_callback on_reply, void *arg, int argc,
                       const char *const *argv, const size_t *argv_len);

/* The caller saw an answer that means this server is of no use now (READONLY, a lost marker): drop the
 * connection and start over with backoff. Pending callbacks (with NULL) and on_down run before it returns;
 * on_down gets "where: reason". Nothing happens while the link is down. */
void redis_link_fail(struct redis_link *link, const char *reason);

#endif
