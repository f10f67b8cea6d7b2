/*
 * REDIS_URL, taken apart. Pure.
 *
 *   redis://[user[:pass]@]host[:port][/db]     rediss://…  (TLS)     unix:///path[?db=N]
 *   redis+sentinel://[user[:pass]@]host[:port][,host[:port]…]/master-name[/db]     rediss+sentinel://…
 * User and password may be percent-encoded; `redis://:pass@host` has a password and no user; an IPv6 host
 * stands in brackets. The login is for the server; Sentinels (port 26379 by default, at most eight) are asked
 * without one.
 */
#ifndef DEFIB_COMMON_REDIS_URL_H
#define DEFIB_COMMON_REDIS_URL_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

enum { REDIS_SENTINELS_MAX = 8 };

struct redis_sentinel {
    char host[256];
    int port;
};

struct redis_url {
    char host[256]; /* empty for a Unix socket, and where Sentinels know it */
    int port;       /* 1..65535; 0 as above */
    char path[108]; /* of the Unix socket, else empty (sun_path's size on Linux) */
    char user[128]; /* empty: the default user */
    char password[512];
    int db; /* 0..65535 */
    bool is_tls;
    char master[128]; /* the name that Sentinels know; empty: host and port are the server */
    struct redis_sentinel sentinels[REDIS_SENTINELS_MAX];
    size_t sentinel_count;
};

/* 0, or -EINVAL with a text that names the part which is wrong and what is allowed; never shows a password.
 */
int redis_url_parse(const char *text, struct redis_url *out, struct err *err);

/* "host:port/db", "unix:path/db" or "Sentinel master-name", for log lines; no secrets. Truncates to size. */
void redis_url_describe(const struct redis_url *url, char *out, int size);

#endif
