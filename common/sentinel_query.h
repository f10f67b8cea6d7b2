/*
 * Asks Sentinels where the master is: one after the other, until one knows. Their addresses, the master's
 * name and whether TLS is spoken stand in the URL.
 */
#ifndef DEFIB_COMMON_SENTINEL_QUERY_H
#define DEFIB_COMMON_SENTINEL_QUERY_H

#include <stddef.h>

#include "common/loop.h"
#include "common/redis_url.h"

struct sentinel_query;

/* failure: NULL, or why nobody told. Borrowed for the call. Runs once, never from within start; the query may
 * be freed from within. */
typedef void (*sentinel_query_callback)(void *arg, const char *failure, const char *host, int port);

/* Begins with the Sentinel `first` (modulo their number), so that tries after each other ask different ones.
 * Each has `timeout_ms` to be reached, and again to answer. The URL is copied. */
struct sentinel_query *sentinel_query_start(struct loop *loop, const struct redis_url *url, size_t first,
                                            int64_t timeout_ms, sentinel_query_callback on_done, void *arg);
void sentinel_query_free(struct sentinel_query *query); /* NULL is allowed; no callback runs afterwards */

#endif
