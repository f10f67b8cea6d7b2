#include "common/redis_url.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
    DEFAULT_PORT = 6379,
    SENTINEL_PORT = 26379,
    PORT_MAX = 65535,
    HOST_SIZE = sizeof((struct redis_url *)0)->host,
    DB_MAX = 65535
};

/* A stretch of the text. */
struct part {
    const char *at;
    size_t len;
};

static struct part part_until(const char *at, const char *stops)
{
    return (struct part){at, strcspn(at, stops)};
}

/* Cuts `whole` at its first (or last) `byte`: *head in front, *whole behind it. False where there is none. */
enum side { FIRST, LAST };
static bool part_cut(struct part *whole, char byte, enum side side, struct part *head)
{
    const char *found =
        side == FIRST ? memchr(whole->at, byte, whole->len) : memrchr(whole->at, byte, whole->len);
    if (found == NULL) {
        return false;
    }
    *head = (struct part){whole->at, (size_t)(found - whole->at)};
    *whole = (struct part){found + 1, whole->len - head->len - 1};
    return true;
}

static int hex_digit(char byte)
{
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* Undoes percent-encoding. `what` names the part in the message. */
static int decode(struct part part, char *out, size_t size, const char *what, struct err *err)
{
    size_t used = 0;
    for (size_t i = 0; i < part.len; i++) {
        int byte = (unsigned char)part.at[i];
        if (byte == '%') {
            bool is_whole = part.len - i > 2;
            int high = is_whole ? hex_digit(part.at[i + 1]) : -1;
            int low = is_whole ? hex_digit(part.at[i + 2]) : -1;
            if (high < 0 || low < 0 || high + low == 0) {
                return err_set(err, EINVAL,
                               "the %s has a %% without two hex digits behind it (%%00 is refused)", what);
            }
            byte = high * 16 + low;
            i += 2;
        }
        if (used + 1 >= size) {
            return err_set(err, EINVAL, "the %s is over %zu bytes long", what, size - 1);
        }
        out[used++] = (char)byte;
    }
    out[used] = '\0';
    return 0;
}

static int parse_number(struct part part, int low, int high, const char *what, int *out, struct err *err)
{
    int value = part.len == 0 || part.len > 6 ? -1 : 0;
    for (size_t i = 0; i < part.len && value >= 0; i++) {
        value = part.at[i] >= '0' && part.at[i] <= '9' ? value * 10 + (part.at[i] - '0') : -1;
    }
    if (value < low || value > high) {
        return err_set(err, EINVAL, "the %s must be a number from %d to %d", what, low, high);
    }
    *out = value;
    return 0;
}

static int parse_login(struct part *authority, struct redis_url *url, struct err *err)
{
    struct part login, user;
    if (!part_cut(authority, '@', LAST, &login)) {
        return 0;
    }
    if (!part_cut(&login, ':', FIRST, &user)) {
        return decode(login, url->user, sizeof url->user, "user", err);
    }
    int status = decode(user, url->user, sizeof url->user, "user", err);
    return status != 0 ? status : decode(login, url->password, sizeof url->password, "password", err);
}

static int copy_host(struct part host, const char *allowed, char *out, struct err *err)
{
    if (host.len == 0) {
        return err_set(err, EINVAL, "the host is missing");
    }
    if (host.len >= HOST_SIZE) {
        return err_set(err, EINVAL, "the host is over %d bytes long", HOST_SIZE - 1);
    }
    memcpy(out, host.at, host.len);
    out[host.len] = '\0';
    if (out[strspn(out, allowed)] != '\0') {
        return err_set(err, EINVAL, "the host must be a name or an address, IPv6 in [brackets]");
    }
    return 0;
}

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS  "0123456789"

/* *out_port keeps its value where none is said. */
static int parse_host(struct part authority, char *out, int *out_port, struct err *err)
{
    struct part host = authority, port = {NULL, 0};
    const char *allowed = LETTERS DIGITS "._-";
    if (authority.len > 0 && authority.at[0] == '[') {
        struct part rest = {authority.at + 1, authority.len - 1};
        if (!part_cut(&rest, ']', FIRST, &host) || (rest.len > 0 && rest.at[0] != ':')) {
            return err_set(err, EINVAL, "the IPv6 host must stand in [brackets]");
        }
        allowed = LETTERS DIGITS ":.%_-"; /* with a zone: fe80::1%eth0 */
        port = rest.len > 0 ? (struct part){rest.at + 1, rest.len - 1} : port;
    } else if (part_cut(&authority, ':', FIRST, &host)) {
        port = authority;
    }
    int status = copy_host(host, allowed, out, err);
    if (status != 0) {
        return status;
    }
    return port.at == NULL ? 0 : parse_number(port, 1, PORT_MAX, "port", out_port, err);
}

/* `?db=N`, and nothing else: an option that has no effect here had better not look as if it had. */
static int parse_query(const char *query, struct redis_url *url, struct err *err)
{
    if (*query == '\0') {
        return 0;
    }
    if (strncmp(query, "?db=", 4) != 0) {
        return err_set(err, EINVAL, "behind the address only ?db=N may stand");
    }
    return parse_number(part_until(query + 4, ""), 0, DB_MAX, "database number", &url->db, err);
}

static int parse_tcp(const char *rest, struct redis_url *url, struct err *err)
{
    struct part authority = part_until(rest, "/?#");
    rest += authority.len;
    int status = parse_login(&authority, url, err);
    url->port = DEFAULT_PORT;
    status = status != 0 ? status : parse_host(authority, url->host, &url->port, err);
    if (status != 0) {
        return status;
    }
    if (*rest == '/') {
        struct part db = part_until(rest + 1, "?");
        rest += 1 + db.len;
        status = db.len == 0 ? 0 : parse_number(db, 0, DB_MAX, "database number", &url->db, err);
    }
    return status != 0 ? status : parse_query(rest, url, err);
}

static int parse_sentinels(struct part list, struct redis_url *url, struct err *err)
{
    bool is_last = false;
    while (!is_last) {
        if (url->sentinel_count == REDIS_SENTINELS_MAX) {
            return err_set(err, EINVAL, "at most %d Sentinels may be named", REDIS_SENTINELS_MAX);
        }
        struct part each = list;
        is_last = !part_cut(&list, ',', FIRST, &each);
        struct redis_sentinel *sentinel = &url->sentinels[url->sentinel_count++];
        sentinel->port = SENTINEL_PORT;
        int status = parse_host(each, sentinel->host, &sentinel->port, err);
        if (status != 0) {
            return status;
        }
    }
    return 0;
}

static int parse_sentinel(const char *rest, struct redis_url *url, struct err *err)
{
    struct part authority = part_until(rest, "/?#");
    rest += authority.len;
    int status = parse_login(&authority, url, err);
    status = status != 0 ? status : parse_sentinels(authority, url, err);
    if (status != 0) {
        return status;
    }
    struct part master = part_until(*rest == '/' ? rest + 1 : rest, "/?#");
    if (*rest != '/' || master.len == 0) {
        return err_set(err, EINVAL,
                       "the master's name is missing: redis+sentinel://host:port,host:port/name");
    }
    rest = master.at + master.len;
    status = decode(master, url->master, sizeof url->master, "master's name", err);
    if (status == 0 && *rest == '/') {
        struct part db = part_until(rest + 1, "?");
        rest += 1 + db.len;
        status = db.len == 0 ? 0 : parse_number(db, 0, DB_MAX, "database number", &url->db, err);
    }
    return status != 0 ? status : parse_query(rest, url, err);
}

static int parse_unix(const char *rest, struct redis_url *url, struct err *err)
{
    struct part authority = part_until(rest, "/?#");
    rest += authority.len;
    int status = parse_login(&authority, url, err);
    if (status != 0) {
        return status;
    }
    struct part path = part_until(rest, "?");
    if (authority.len > 0 || path.len < 2 || path.at[0] != '/') {
        return err_set(err, EINVAL, "the socket's path must be absolute: unix:///path");
    }
    status = decode(path, url->path, sizeof url->path, "socket's path", err);
    return status != 0 ? status : parse_query(rest + path.len, url, err);
}

static const char *after_scheme(const char *text, const char *scheme)
{
    size_t len = strlen(scheme);
    return strncasecmp(text, scheme, len) == 0 ? text + len : NULL;
}

static int parse(const char *text, struct redis_url *url, struct err *err)
{
    const char *rest;
    if ((rest = after_scheme(text, "redis://")) != NULL) {
        return parse_tcp(rest, url, err);
    }
    if ((rest = after_scheme(text, "rediss://")) != NULL) {
        url->is_tls = true;
        return parse_tcp(rest, url, err);
    }
    if ((rest = after_scheme(text, "unix://")) != NULL) {
        return parse_unix(rest, url, err);
    }
    if ((rest = after_scheme(text, "redis+sentinel://")) != NULL) {
        return parse_sentinel(rest, url, err);
    }
    if ((rest = after_scheme(text, "rediss+sentinel://")) != NULL) {
        url->is_tls = true;
        return parse_sentinel(rest, url, err);
    }
    return err_set(
        err, EINVAL,
        "it must begin with redis://, rediss://, redis+sentinel://, rediss+sentinel:// or unix://");
}

int redis_url_parse(const char *text, struct redis_url *out, struct err *err)
{
    struct redis_url url = {.port = 0};
    int status = parse(text, &url, err);
    if (status == 0) {
        *out = url;
    }
    return status;
}

void redis_url_describe(const struct redis_url *url, char *out, int size)
{
    size_t room = size > 0 ? (size_t)size : 0;
    if (url->path[0] != '\0') {
        snprintf(out, room, "unix:%s/%d", url->path, url->db);
        return;
    }
    if (url->host[0] == '\0') {
        snprintf(out, room, "Sentinel %s", url->master);
        return;
    }
    bool is_ipv6 = strchr(url->host, ':') != NULL;
    snprintf(out, room, "%s%s%s:%d/%d", is_ipv6 ? "[" : "", url->host, is_ipv6 ? "]" : "", url->port,
             url->db);
}
