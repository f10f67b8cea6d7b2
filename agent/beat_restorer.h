/*
 * Puts back what a beat of ours displaced: that of a service which has just begun to beat for itself.
 *
 * Only where our own beat still stands there (WATCH, GET, then MULTI, SET, EXEC): one that the service wrote
 * in the meantime wins. One key at a time, as a connection has one set of watched keys.
 */
#ifndef DEFIB_AGENT_BEAT_RESTORER_H
#define DEFIB_AGENT_BEAT_RESTORER_H

#include <stddef.h>
#include <stdint.h>

#include "common/redis_link.h"

struct beat_restorer;

/* Borrows the link, which nobody else may use for transactions. */
struct beat_restorer *beat_restorer_new(struct redis_link *link);
void beat_restorer_free(struct beat_restorer *restorer); /* after the link was closed; NULL is allowed */

/* `ours` is the fingerprint of what we wrote. Everything is copied. A link that goes down meanwhile ends it.
 */
void beat_restorer_put_back(struct beat_restorer *restorer, const char *key, uint64_t ours, const char *beat,
                            size_t len, const char *ttl_ms);

#endif
