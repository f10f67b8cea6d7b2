/*
 * `health:intent:{container}`: an operator stopped it, and it shall stay so. Pure.
 */
#ifndef DEFIB_PROTO_INTENT_H
#define DEFIB_PROTO_INTENT_H

#include <stddef.h>

#include "common/clock.h"
#include "common/err.h"
#include "proto/limits.h"

/* A plain value. */
struct intent {
    char container_id[LIMIT_ID_SIZE]; /* the id that was stopped; another one is not meant */
    char reason[LIMIT_REASON_SIZE];
    struct wall at;
};

char *intent_encode(const struct intent *intent, size_t *len); /* fresh JSON text, given */

/* 0, or -EINVAL / -EMSGSIZE with one line. Unknown fields are ignored. */
int intent_decode(const char *bytes, size_t len, struct intent *out, struct err *err);

#endif
