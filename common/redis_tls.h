/*
 * TLS below a connection of hiredis, with the peer's certificate and name checked against the system's
 * authorities. Without hiredis' TLS (Debian 12 has none) everything is refused, with the reason.
 */
#ifndef DEFIB_COMMON_REDIS_TLS_H
#define DEFIB_COMMON_REDIS_TLS_H

#include <stdbool.h>

struct redisContext;
struct redis_tls;

/* Whether rediss:// works. A link to such a URL without it never gets up. */
bool redis_tls_is_there(void);

struct redis_tls *redis_tls_new(void);
void redis_tls_free(struct redis_tls *tls); /* after the context; NULL is allowed */

/* Begins the handshake as the client of `host`; NULL, or why not: borrowed until the next call. */
const char *redis_tls_start(struct redis_tls *tls, struct redisContext *context, const char *host);

/* Why the context failed. */
const char *redis_tls_reason(const struct redis_tls *tls, const struct redisContext *context);

#endif
