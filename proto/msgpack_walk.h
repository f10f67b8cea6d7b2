/*
 * Looks over msgpack bytes before msgpack-c sees them. Pure; nothing allocates.
 *
 * msgpack-c reserves memory by the counts that a message claims: 256 GiB for 17 bytes. Here every count, size
 * and depth is held against limits.h and against the bytes that are there.
 */
#ifndef DEFIB_PROTO_MSGPACK_WALK_H
#define DEFIB_PROTO_MSGPACK_WALK_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/* 0 where `len` bytes are exactly one value, at most LIMIT_MSGPACK_DEPTH containers deep, with at most
 * LIMIT_MSGPACK_ITEMS elements in each container and a few hundred values in all; else -EINVAL. */
int msgpack_walk_check(const uint8_t *bytes, size_t len, struct err *err);

#endif
