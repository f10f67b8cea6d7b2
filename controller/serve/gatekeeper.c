#include "controller/serve/gatekeeper.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the token's file ---- */

static bool is_printable(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] <= ' ' || text[i] > '~') {
            return false;
        }
    }
    return true;
}

static int read_token(const char *path, char out[GATEKEEPER_TOKEN_MAX + 1], struct err *err)
{
    char text[GATEKEEPER_TOKEN_MAX + 3];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat about;
    if (fd < 0 || fstat(fd, &about) != 0) {
        int cause = errno;
        if (fd >= 0) {
            close(fd);
        }
        return err_set(err, cause, "DEFIB_HTTP_TOKEN_FILE=%s: %s", path, strerror(cause));
    }
    ssize_t got = read(fd, text, sizeof text);
    close(fd);
    if ((about.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        return err_set(err, EACCES, "DEFIB_HTTP_TOKEN_FILE=%s: others may read it: chmod 600", path);
    }
    while (got > 0 && (text[got - 1] == '\n' || text[got - 1] == '\r')) {
        got--;
    }
    if (got < GATEKEEPER_TOKEN_MIN || got > GATEKEEPER_TOKEN_MAX || !is_printable(text, (size_t)got)) {
        return err_set(
            err, EINVAL,
            "DEFIB_HTTP_TOKEN_FILE=%s: allowed is one line of %d to %d printable characters without "
            "blanks",
            path, GATEKEEPER_TOKEN_MIN, GATEKEEPER_TOKEN_MAX);
    }
    memcpy(out, text, (size_t)got);
    out[got] = '\0';
    explicit_bzero(text, sizeof text);
    return 0;
}

/* ---- loopback ---- */

/* The host part of host:port, brackets dropped. */
static void host_part(const char *text, char out[256])
{
    bool is_bracketed = *text == '[';
    text += is_bracketed;
    size_t len = strcspn(text, is_bracketed ? "]" : ":");
    len = len < 255 ? len : 255;
    memcpy(out, text, len);
    out[len] = '\0';
}

static bool is_loopback(const char *text)
{
    char host[256];
    struct in_addr v4;
    struct in6_addr v6;
    host_part(text, host);
    if (strcasecmp(host, "localhost") == 0) {
        return true;
    }
    if (inet_pton(AF_INET, host, &v4) == 1) {
        return ntohl(v4.s_addr) >> 24 == 127;
    }
    return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

int gatekeeper_load(struct gatekeeper *gatekeeper, const char *listen, const char *token_file,
                    struct err *err)
{
    gatekeeper->is_loopback = is_loopback(listen);
    if (token_file[0] == '\0') {
        gatekeeper->token[0] = '\0';
        return 0;
    }
    return read_token(token_file, gatekeeper->token, err);
}

/* ---- judging ---- */

/* Takes as long for any text of this length, whatever the token is. */
static bool is_token(const struct gatekeeper *gatekeeper, const char *text, size_t len)
{
    size_t token_len = strlen(gatekeeper->token);
    unsigned char difference = token_len != len || token_len == 0;
    for (size_t i = 0; i < len; i++) {
        difference |= (unsigned char)(text[i] ^ gatekeeper->token[token_len == 0 ? 0 : i % token_len]);
    }
    return difference == 0;
}

static int base64_value(char digit)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = digit == '\0' ? NULL : strchr(digits, digit);
    return at == NULL ? -1 : (int)(at - digits);
}

static size_t decode_base64(const char *text, char *out, size_t size)
{
    size_t len = 0;
    uint32_t bits = 0;
    int count = 0;
    for (; base64_value(*text) >= 0 && len < size; text++) {
        bits = bits << 6 | (uint32_t)base64_value(*text);
        count += 6;
        if (count >= 8) {
            count -= 8;
            out[len++] = (char)(bits >> count & 0xff);
        }
    }
    return len;
}

static bool is_basic_token(const struct gatekeeper *gatekeeper, const char *credentials)
{
    char pair[GATEKEEPER_TOKEN_MAX + 128];
    size_t len = decode_base64(credentials, pair, sizeof pair);
    char *colon = memchr(pair, ':', len);
    return colon != NULL && is_token(gatekeeper, colon + 1, len - (size_t)(colon + 1 - pair));
}

static enum gatekeeper_verdict judge_token(const struct gatekeeper *gatekeeper, bool is_change,
                                           const char *authorization)
{
    if (authorization == NULL) {
        return GATEKEEPER_NEEDS_TOKEN;
    }
    bool is_good = false;
    if (strncasecmp(authorization, "Bearer ", 7) == 0) {
        is_good = is_token(gatekeeper, authorization + 7, strlen(authorization + 7));
    } else if (strncasecmp(authorization, "Basic ", 6) == 0 && !is_change) {
        is_good = is_basic_token(gatekeeper, authorization + 6);
    }
    return is_good ? GATEKEEPER_OPEN : GATEKEEPER_BAD_TOKEN;
}

enum gatekeeper_verdict gatekeeper_judge(const struct gatekeeper *gatekeeper, bool is_change,
                                         const char *authorization, const char *host)
{
    if (gatekeeper->is_loopback && (host == NULL || !is_loopback(host))) {
        return GATEKEEPER_BAD_HOST;
    }
    if (is_change && gatekeeper->token[0] == '\0') {
        return GATEKEEPER_NO_TOKEN_SET;
    }
    if (gatekeeper->is_loopback && !is_change) {
        return GATEKEEPER_OPEN;
    }
    return judge_token(gatekeeper, is_change, authorization);
}
