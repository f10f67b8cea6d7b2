/*
 * REDIS_URL, taken apart. Pure.
 *
 *   redis://[user[:pass]@]host[:port][/db]     rediss://…  (TLS)     unix:///path[?db=N]
 * User and password may be percent-encoded; `redis://:pass@host` has a password and no user; an IPv6 host
 * stands in brackets. `redis+sentinel://` is recognised and refused by name until Sentinel is built in.
 */
#ifndef DEFIB_COMMON_REDIS_URL_H
#define DEFIB_COMMON_REDIS_URL_H

#include <stdbool.h>

#include "common/err.h"

struct redis_url {
    char host[256]; /* empty for a Unix socket */
    int port;       /* 1..65535; 0 for a Unix socket */
    char path[108]; /* of the Unix socket, else empty (sun_path's size on Linux) */
    char user[128]; /* empty: the default user */
    char password[512];
    int db; /* 0..65535 */
    bool is_tls;
};

/* 0, or -EINVAL with a text that names the part which is wrong and what is allowed; never shows a password.
 */
int redis_url_parse(const char *text, struct redis_url *out, struct err *err);

/* "host:port/db" or "unix:path/db", for log lines; no secrets. Truncates to size. */
void redis_url_describe(const struct redis_url *url, char *out, int size);

#endif
