/*
 * libdefib-beat: a program that says by itself how it is.
 *
 * Publishes the heartbeat that defib's runbook describes: `SET health:hb:{service}:{instance} … PX ttl` and
 * `PUBLISH health:heartbeats`, every interval and at once when the status or a check changes. defib's agent
 * finds out that the service beats for itself and keeps off its key.
 *
 *     struct defib_beat_options options = {.service = "game_shard", .instance = "shard-1"};
 *     char why[DEFIB_BEAT_WHY];
 *     struct defib_beat *beat = defib_beat_new(&options, why);       NULL: `why` says what is wrong
 *     for (;;) {
 *         do_some_work();
 *         defib_beat_check(beat, "db_ok", db_is_up());
 *         defib_beat_count(beat, "games_monitored", games);
 *         defib_beat_step(beat);                                     often: once a second or more
 *     }
 *
 * It never blocks and never fails the program that it serves. Redis away, slow, unreachable or full: beats
 * are lost, nothing is queued, and the newest state is published once Redis is back (tried again after
 * 0.1 to 5 s). No call but defib_beat_end waits for anything; host names are looked up on a thread of their
 * own, the only one, which lives no longer than the look-up. Nothing is logged, no signal is raised or
 * caught, no global is changed, running out of memory is an error code.
 *
 * There is no thread that beats in the background, on purpose: it would go on while the program hangs. Call
 * defib_beat_step from the loop that does the work, so that a loop which hangs is a service which is silent.
 *
 * Needs libc alone. Any thread may use a beat, but one at a time. Sockets are close-on-exec; after fork()
 * only the parent may go on using it.
 */
#ifndef DEFIB_COMMON_BEAT_DEFIB_BEAT_H
#define DEFIB_COMMON_BEAT_DEFIB_BEAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

enum { DEFIB_BEAT_WHY = 384 }; /* bytes of a message, with its NUL */

struct defib_beat; /* opaque */

enum defib_beat_status {
    DEFIB_BEAT_STARTING,
    DEFIB_BEAT_HEALTHY,
    DEFIB_BEAT_DEGRADED,  /* never restarted for it */
    DEFIB_BEAT_UNHEALTHY, /* restarted, after some beats in a row that say so */
    DEFIB_BEAT_STOPPING   /* on its way down: not missed for a while */
};

/* Zeroed fields mean "default". All text is copied. */
struct defib_beat_options {
    const char *service;   /* required; 1 to 255 bytes of UTF-8 without control characters, like all names */
    const char *instance;  /* NULL: the host's name */
    const char *version;   /* of the program; NULL: not said */
    const char *redis_url; /* redis://[user:pass@]host[:port][/db] or unix:///path[?db=N]; NULL: $REDIS_URL,
                              else redis://127.0.0.1:6379. No TLS. */
    int64_t interval_ms;   /* 50 to 3600000; 0: $HEARTBEAT_INTERVAL_SECS, else 10000 */
    int64_t ttl_ms; /* of the key, longer than the interval; 0: $HEARTBEAT_TTL_SECS, else 3.5 intervals */
    enum defib_beat_status status; /* the first one is `starting` where this is left zero */
};

/* NULL with one line in why[DEFIB_BEAT_WHY] where an option cannot be used (EINVAL) or memory ran out
 * (ENOMEM); errno tells. Nothing is sent yet. */
struct defib_beat *defib_beat_new(const struct defib_beat_options *options, char *why);

/* Closes the connection; sends nothing more: the key runs out after its TTL. NULL is allowed. */
void defib_beat_free(struct defib_beat *beat);

/* ---- what the next beat says ---- */

/* 0, or -EINVAL for a value that is none of the enum's. */
int defib_beat_set_status(struct defib_beat *beat, enum defib_beat_status status);

/* Each keeps its value until it is set again. A name has 1 to 63 printable ASCII characters without blank,
 * quote and backslash; there may be 128 checks and 128 metrics. 0; -EINVAL (name, or a value that is not
 * finite), -ENOSPC, -ENOMEM: then nothing changed. */
int defib_beat_check(struct defib_beat *beat, const char *name, bool is_ok);
int defib_beat_metric(struct defib_beat *beat, const char *name, double value);
int defib_beat_count(struct defib_beat *beat, const char *name, int64_t value); /* a whole number, exact */

/* ---- time passes ---- */

/* Does whatever can be done without waiting: connects, writes, reads answers. Returns after how many
 * milliseconds it wants to be called again at the latest, 0 to 1000. Calling it more often does no harm and
 * costs a few hundred nanoseconds. */
int defib_beat_step(struct defib_beat *beat);

/* For programs that poll(2): the descriptor to watch and the events to watch it for, after each step; -1:
 * none now. Whoever does without just steps once a second. */
int defib_beat_fd(const struct defib_beat *beat, short *events);

/* The program ends: publishes `stopping` and waits until Redis has it, at most timeout_ms (0: one try without
 * waiting). The one call that may wait. 0, or -ETIMEDOUT. */
int defib_beat_end(struct defib_beat *beat, int timeout_ms);

/* ---- how it goes ---- */

struct defib_beat_counters {
    uint64_t confirmed; /* beats that Redis has taken */
    uint64_t lost;      /* beats that were due and could not be delivered */
    uint64_t connects;
};
struct defib_beat_counters defib_beat_counters(const struct defib_beat *beat);

/* Why no beat gets through, one line; "" while they do. Borrowed until the next call. */
const char *defib_beat_trouble(const struct defib_beat *beat);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif

#endif
