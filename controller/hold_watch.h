/*
 * Operators' holds (`health:hold:*`), read where they matter: the one for all, those that are in force, and
 * those that would cover a container about to be judged. A hold key that cannot be read holds, with a
 * warning. While Redis is away the last word counts.
 */
#ifndef DEFIB_CONTROLLER_HOLD_WATCH_H
#define DEFIB_CONTROLLER_HOLD_WATCH_H

#include <stddef.h>

#include "controller/decider_port.h"
#include "controller/redis_session.h"
#include "controller/warning_limiter.h"

struct hold_watch;

struct hold_watch *hold_watch_new(const struct decider_port *port, struct redis_session *session,
                                  struct warning_limiter *warnings);
void hold_watch_free(struct hold_watch *watch); /* after the session was closed */

/* A key that the load found; borrowed. */
void hold_watch_take(struct hold_watch *watch, const char *key, size_t key_len, const char *value,
                     size_t len);

/* The keys that cover this container shall be read. Empty names are skipped. Calls no decider function. */
void hold_watch_want(struct hold_watch *watch, const char *container, const char *service, const char *host);

/* The one for all, those in force, and those of every container that is not simply UP. */
void hold_watch_want_all(struct hold_watch *watch);

/* This key alone, at once: somebody has just written or deleted it. */
void hold_watch_look(struct hold_watch *watch, const char *kind, const char *name);

/* The holds in force, in no order; borrowed for the call. until 0: no end; since 0: not said. */
struct hold_watch_hold {
    const char *kind, *name, *reason, *by;
    struct wall until, since;
};
void hold_watch_each(const struct hold_watch *watch,
                     void (*visit)(void *arg, const struct hold_watch_hold *hold), void *arg);

/* Sends what is wanted as one MGET; answers come before those of commands that are sent afterwards. */
void hold_watch_flush(struct hold_watch *watch);

#endif
