/*
 * `health:hold:{all|host|service|container}:{name}`: an operator's hold. Pure.
 *
 *   {"reason": "migration", "by": "anna", "until": "2026-01-23T21:00:00Z", "since": "2026-01-23T19:00:00Z"}
 *
 * until null: until released. since: for people; who writes by hand may leave it out.
 */
#ifndef DEFIB_PROTO_HOLD_H
#define DEFIB_PROTO_HOLD_H

#include <stddef.h>

#include "common/clock.h"
#include "common/err.h"
#include "proto/limits.h"

/* A plain value. */
struct hold {
    char reason[LIMIT_DETAIL_SIZE];
    char by[LIMIT_NAME_SIZE];
    struct wall until; /* 0: no end */
    struct wall since; /* 0: not said */
};

/* Borrows the bytes. 0, or -EINVAL / -EMSGSIZE with one line: *out is then a hold without reason and end, for
 * whoever wrote the key meant one. */
int hold_decode(const char *bytes, size_t len, struct hold *out, struct err *err);
char *hold_encode(const struct hold *hold, size_t *len); /* fresh text, given */

#endif
