/*
 * The fleet as defibctl shows it, from the controller's API or, where that does not answer, from what Redis
 * holds. From Redis alone come Docker's words and the stored attempts, not what the policy makes of them.
 */
#ifndef DEFIB_CONTROLLER_CTL_FLEET_H
#define DEFIB_CONTROLLER_CTL_FLEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/err.h"
#include "controller/ctl/ctl.h"
#include "proto/limits.h"

struct fleet_row {
    char name[LIMIT_NAME_SIZE], host[LIMIT_NAME_SIZE], service[LIMIT_NAME_SIZE];
    char state[LIMIT_WORD_SIZE]; /* the policy's in capitals, or Docker's */
    char status[LIMIT_WORD_SIZE];
    char reason[LIMIT_REASON_SIZE];
    char gate[LIMIT_WORD_SIZE];
    int64_t attempts, max_attempts; /* -1: not known */
    bool is_host_lost;
    bool has_collision; /* another one claims its name: neither is restarted */
    struct wall since, next_at;
};

struct fleet_host {
    char name[LIMIT_NAME_SIZE];
    char state[LIMIT_WORD_SIZE];
    bool is_engine_up, is_breaker_open;
    int64_t containers, in_flight;
    struct wall heard_at;
};

struct fleet_hold {
    char kind[LIMIT_WORD_SIZE], name[LIMIT_NAME_SIZE], reason[LIMIT_DETAIL_SIZE], by[LIMIT_NAME_SIZE];
    struct wall until, since;
};

struct fleet {
    const char *source;                 /* controller, redis or agents */
    char note[512];                     /* why it is not from the controller */
    char leader[512];                   /* who leads, and how Redis is, in words */
    char warning[256];                  /* what stops restarts everywhere, or "" */
    char lease_holder[LIMIT_NAME_SIZE]; /* from Redis: the controller that leads, or "" */
    struct fleet_row *rows;
    size_t row_count;
    struct fleet_host *hosts;
    size_t host_count;
    struct fleet_hold *holds;
    size_t hold_count;
    char *json; /* as it came from the API: status and containers; NULL from Redis */
};

/* 0, or -errno where neither answers. To be finished either way. */
int fleet_load(struct ctl *ctl, struct fleet *out, struct err *err);
void fleet_fini(struct fleet *fleet);
#define cleanup_fleet __attribute__((cleanup(fleet_fini)))

/* The controller that holds the lease, by Redis; "" where none does. 0, or -errno. */
int fleet_read_leader(struct ctl *ctl, char out[LIMIT_NAME_SIZE], struct err *err);

/* The nearest known container, host or service name to this one, or NULL; borrowed from the fleet. */
const char *fleet_nearest(const struct fleet *fleet, const char *name);
const char *fleet_nearest_host(const struct fleet *fleet, const char *name);

#endif
