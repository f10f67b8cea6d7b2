/*
 * Which controller commands: the lease `health:leader` and the epoch `health:leader:epoch` in Redis, and
 * what follows where Redis is away (controller/core/leadership.h).
 *
 * The lease is one JSON text with a random token of ours in it and a time to live, renewed four times in its
 * length. One script takes or extends it, so that nothing stands between looking and writing: SET NX PX
 * alone could take it, but no command of Redis extends a key only while its value is ours. The same script
 * counts the epoch up: over what stands in Redis, over our last one and over all that agents told of.
 *
 * An emptied Redis says nothing about who leads: a standby takes no lease there, but finds its session at a
 * loss, and waits as after any other one (leadership_may_take). The last leader goes first, and writes the
 * attempts anew.
 *
 * Nor does a standby's request take a lease that the answer before it did not find free: one that lies in
 * front of a Redis that hangs would take it when the lease has run out meanwhile, and who led then comes too
 * late.
 *
 * The token lies in DEFIB_STATE_DIR: a controller that was killed takes its own lease up again at once,
 * under a new epoch. Each controller also tells its state in `health:controller:{id}` and stands in the
 * sorted set `health:controllers`.
 */
#ifndef DEFIB_CONTROLLER_LEADER_LEASE_H
#define DEFIB_CONTROLLER_LEADER_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/loop.h"
#include "controller/core/leadership.h"
#include "controller/redis_session.h"

struct leader_lease;

struct leader_lease_options {
    struct loop *loop; /* all borrowed */
    struct redis_session *session;
    const char *state_dir;
    const char *id; /* DEFIB_ID */
    int64_t lease_ms;
    int64_t word_ms; /* so long an agent's word about Redis counts */
    /* From now on we lead, under leader_lease_epoch: RESUMED or TAKEN. */
    void (*on_leading)(void *arg, enum lease_grant grant);
    /* Commands may leave until then (0: none may); told at every change, after on_leading. */
    void (*on_until)(void *arg, struct mono until);
    /* Another one leads, or may. */
    void (*on_standby)(void *arg);
    const char *(*state)(void *arg); /* the word for health:controller:{id} */
    void *arg;
};

/* Reads the last epoch and token from the folder. No callback comes before the loop runs. */
struct leader_lease *leader_lease_open(const struct leader_lease_options *options);
void leader_lease_close(struct leader_lease *lease); /* after the session was closed */

/* The role as of now, before something is decided: a process that stood still for long finds that it leads no
 * more, and does not say again what the next one said meanwhile. */
void leader_lease_look(struct leader_lease *lease);

/* Redis takes writes: asks at once. Redis went away. */
void leader_lease_redis_there(struct leader_lease *lease);
void leader_lease_redis_away(struct leader_lease *lease);

/* An agent's word, see leadership_heard. */
void leader_lease_heard(struct leader_lease *lease, uint64_t epoch, enum redis_word redis);

/* The end: gives the lease back, so that another can take it at once. */
void leader_lease_release(struct leader_lease *lease);

/* Not STANDBY: it may speak. */
bool leader_lease_leads(const struct leader_lease *lease);

/* The id of who holds the lease, as far as it is known; else "". Borrowed. */
const char *leader_lease_holder(const struct leader_lease *lease);

/* Another one led while we were here. */
bool leader_lease_has_seen_other(const struct leader_lease *lease);

/* Our own last epoch, which commands and queries carry; 0: never any. */
uint64_t leader_lease_epoch(const struct leader_lease *lease);

/* "leader, epoch 7, renewed 1.2 s ago, 1 other controller" for people. */
void leader_lease_describe(const struct leader_lease *lease, char *out, size_t size);

#endif
