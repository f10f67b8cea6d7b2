/*
 * The controller's Redis as one thing: two links (one listens, one commands), and the question whether it
 * still holds what it held before.
 *
 * AWAY -> both links up -> the marker is asked for with a write -> on_writable -> (the controller loads) ->
 * redis_session_commit -> READY. The marker key and the server's run id are remembered on disk: if either
 * changed, Redis has lost data, or may have, and on_writable says so. A write that is refused (READONLY, OOM,
 * LOADING …) and a marker that vanished while connected are losses too: on_away, then from the start.
 *
 * A Redis that is short of memory throws single keys away, and the marker may stand all the same. It counts
 * them, and that count is remembered beside the marker.
 */
#ifndef DEFIB_CONTROLLER_REDIS_SESSION_H
#define DEFIB_CONTROLLER_REDIS_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/loop.h"
#include "common/redis_link.h"
#include "common/redis_url.h"

struct redis_session;

struct redis_session_options {
    const struct redis_url *url; /* borrowed: copied */
    const char *client_name;
    const char *state_dir;
    /* Both links up, and writes are taken. is_amnesic: what we wrote before may be gone. */
    void (*on_writable)(void *arg, bool is_amnesic);
    /* Once for each loss, also when Redis cannot be reached at the start. */
    void (*on_away)(void *arg, const char *reason);
    void (*on_message)(void *arg, const char *payload, size_t len); /* health:heartbeats; borrowed */
    void *arg;
};

struct redis_session *redis_session_open(struct loop *loop, const struct redis_session_options *options);
void redis_session_close(struct redis_session *session); /* pending callbacks run with NULL; no on_away */

/* The load is complete: the marker and run id are remembered as those our data lies under. */
void redis_session_commit(struct redis_session *session);

bool redis_session_is_writable(const struct redis_session *session); /* from on_writable to on_away */
bool redis_session_is_ready(const struct redis_session *session);    /* from commit to on_away */

/* Of the command link. */
const struct latency *redis_session_latency(const struct redis_session *session);

/* On the command link; -ENOTCONN unless writable. */
int redis_session_command(struct redis_session *session, redis_link_callback on_reply, void *arg, int argc,
                          const char *const *argv, const size_t *argv_len);

/* The answer to a write: true where it was done. A refusal that says that this server is of no use now drops
 * the connection (on_away comes, from within this call). `reply` may be NULL. */
bool redis_session_took_write(struct redis_session *session, const struct redis_reply *reply);

/* Redis' own clock, as leader_lease hears of it with each answer: it read `wall` at `at`. All controllers
 * share it, and it outlives a clock of ours that is set. False from _wall: never heard of. Kept while Redis
 * is away. */
void redis_session_set_wall(struct redis_session *session, struct wall wall, struct mono at);
bool redis_session_wall(const struct redis_session *session, struct mono now, struct wall *out);

/* The marker that stood in Redis when it was last found writable. Borrowed until the next on_writable. */
const char *redis_session_marker(const struct redis_session *session);

/* `reply` is what GET health:marker, or an MGET beginning with it, says. True where the marker stands; else
 * on_away comes, from within this call, and nothing else in that answer may be believed. A failure reply is
 * false too, without a loss. */
bool redis_session_has_marker(struct redis_session *session, const struct redis_reply *marker);

/* How many keys a server has evicted since it was started. REDIS_EVICTED_UNKNOWN: nobody has said. */
#define REDIS_EVICTED_UNKNOWN UINT64_MAX
uint64_t redis_session_read_evicted(const struct redis_reply *reply); /* the answer to INFO stats */

/* As it was remembered for this marker and run id; the caller says from when a count is good. */
uint64_t redis_session_known_evicted(const struct redis_session *session);
void redis_session_remember_evicted(struct redis_session *session, uint64_t count);

#endif
