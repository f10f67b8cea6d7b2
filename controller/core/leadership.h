/*
 * May this controller command? What is known of the lease in Redis, of the other controllers and of the
 * epochs that agents have heard, and what follows. Pure; a plain value.
 *
 *   STANDBY  another one leads, or may: it watches, and is silent
 *   LEADER   it holds the lease, renewed less than 2/3 of its length ago
 *   ALONE    the lease cannot be renewed, and nobody else can have got it: commands go on
 *   FROZEN   the lease cannot be renewed, and somebody else may get it: no commands, but its voice is kept
 *
 * Without Redis a lease cannot change hands, so the last leader goes on as long as that is all there is to
 * it: no other controller was there when Redis was last heard, or Redis takes no writes of those agents
 * either that answer over nng. One agent that has Redis, or that has heard a higher epoch, ends it. A
 * process that starts while Redis is away leads only where agents know its own last epoch as the highest:
 * no standby can take over then. Whatever both sides believe, an agent obeys the highest epoch it has
 * heard, and a new leader makes its own known to all agents before it acts.
 */
#ifndef DEFIB_CONTROLLER_CORE_LEADERSHIP_H
#define DEFIB_CONTROLLER_CORE_LEADERSHIP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"
#include "proto/command.h"

/* Doubles and JSON readers hold whole numbers up to here: a wild value from outside stays without effect.
 * What lies in Redis, where anybody may write, is believed up to far less, so that it can never use the
 * epochs up: from there on they grow by what agents and our own folder tell. */
#define LEADERSHIP_EPOCH_MAX        ((uint64_t)1 << 52)
#define LEADERSHIP_EPOCH_STORED_MAX ((uint64_t)1 << 40)

enum leader_role { ROLE_STANDBY, ROLE_LEADER, ROLE_ALONE, ROLE_FROZEN };

struct leadership {
    int64_t lease_ms;
    int64_t word_ms; /* so long an agent's word about Redis counts */
    enum leader_role role;
    uint64_t granted; /* our last epoch; 0: never any */
    uint64_t known;   /* the highest that anybody told of */
    int64_t others;   /* controllers beside us when Redis was last heard; -1: not known */
    bool has_redis;
    bool has_seen_other;                /* another one led, in our time … */
    bool is_outdone;                    /* … and since we did */
    struct mono renewed_at;             /* when the last request that was granted left; 0: none */
    struct mono led_at;                 /* the last time that it might command; 0: never */
    struct mono may_take_at;            /* a free lease is not taken before */
    struct mono up_at, down_at, kin_at; /* an agent had Redis; had not; had not, and knew our epoch best; 0 */
};

/* What a grant means. */
enum lease_grant {
    GRANT_RENEWED,   /* as before */
    GRANT_CONTINUED, /* under the next epoch; nobody led between */
    GRANT_RESUMED,   /* we are back, or another process of ours: all is read anew, but nobody led since */
    GRANT_TAKEN      /* others may have led since: what we remember is old */
};

void leadership_init(struct leadership *leadership, int64_t lease_ms, int64_t word_ms, uint64_t granted);

/* Redis takes our writes from now on, or does not. */
void leadership_redis(struct leadership *leadership, bool has_redis, struct mono now);

/* What Redis gave us. */
struct lease_terms {
    uint64_t epoch;
    int64_t others;       /* controllers beside us */
    bool was_ours;        /* the lease stood, and was ours: nobody led between */
    struct mono asked_at; /* when the request left */
};
enum lease_grant leadership_granted(struct leadership *leadership, const struct lease_terms *terms);

/* Redis says that another one holds it. */
void leadership_refused(struct leadership *leadership);

/* An agent's word over nng; UNKNOWN also for its registration, which lies in Redis. */
void leadership_heard(struct leadership *leadership, uint64_t epoch, enum redis_word redis, struct mono now);

/* The role as of now. Does not mind being asked late: who had a right to command is taken to have used it. */
enum leader_role leadership_look(struct leadership *leadership, struct mono now);

/* After a look: before that moment another one finds the same, unless something is told. MONO_NEVER: so it
 * stays.
 */
struct mono leadership_changes_at(const struct leadership *leadership, struct mono now);

/* Commands may leave before this moment, without another look; 0: none may. */
struct mono leadership_until(const struct leadership *leadership);

/* A lease that is free may be asked for. One who saw another lead since it did, or hears from agents that one
 * did, waits a whole lease, and at least 8 s, after Redis came back: the last leader goes first, and hands on
 * the attempts that it made without Redis. */
bool leadership_may_take(const struct leadership *leadership, struct mono now);

/* For the request: the epoch to go on under; 0: a new one. */
uint64_t leadership_claim(const struct leadership *leadership);

const char *leadership_role_name(enum leader_role role); /* "standby" … */

#endif
