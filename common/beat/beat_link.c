#include "common/beat/beat_link.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKOFF_FIRST_MS = 100, BACKOFF_MAX_MS = 5000, DEADLINE_MS = 3000, RESOLVE_LOOK_MS = 20 };

void beat_link_init(struct beat_link *link, const struct redis_url *url)
{
    *link = (struct beat_link){.url = *url, .fd = -1, .backoff_ms = BACKOFF_FIRST_MS};
}

static void hang_up(struct beat_link *link)
{
    if (link->fd >= 0) {
        close(link->fd);
    }
    link->fd = -1;
    free(link->out);
    link->out = NULL;
    link->out_len = link->out_sent = link->in_len = 0;
    link->awaited = 0;
}

void beat_link_fini(struct beat_link *link)
{
    hang_up(link);
    beat_resolve_free(link->resolve);
    link->resolve = NULL;
}

/* Programs of one kind that lost Redis together shall not all return together. */
static int64_t with_jitter(int64_t ms, const void *salt, int64_t now_ms)
{
    uint64_t mixed =
        ((uint64_t)(uintptr_t)salt ^ (uint64_t)now_ms ^ (uint64_t)getpid() << 32) * 0x9e3779b97f4a7c15u;
    return ms / 2 + (int64_t)((mixed >> 33) % (uint64_t)(ms / 2 + 1));
}

__attribute__((format(printf, 3, 4))) static void fail(struct beat_link *link, int64_t now_ms,
                                                       const char *format, ...)
{
    char where[160];
    va_list args;
    redis_url_describe(&link->url, where, sizeof where);
    int used = snprintf(link->trouble, sizeof link->trouble, "%s: ", where);
    va_start(args, format);
    vsnprintf(link->trouble + used, sizeof link->trouble - (size_t)used, format, args);
    va_end(args);
    hang_up(link);
    link->state = BEAT_LINK_RESTING;
    link->retry_ms = now_ms + with_jitter(link->backoff_ms, link, now_ms);
    link->backoff_ms = link->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : link->backoff_ms * 2;
}

/* ---- greeting ---- */

static size_t put_command(char *out, size_t size, size_t used, const char *const words[], size_t count)
{
    used += (size_t)snprintf(out + used, size - used, "*%zu\r\n", count);
    for (size_t i = 0; i < count; i++) {
        used += (size_t)snprintf(out + used, size - used, "$%zu\r\n%s\r\n", strlen(words[i]), words[i]);
    }
    return used;
}

static void greet(struct beat_link *link, int64_t now_ms)
{
    enum { SIZE = 1024 };
    const struct redis_url *url = &link->url;
    char db[8];
    snprintf(db, sizeof db, "%d", url->db);
    link->out = malloc(SIZE);
    if (link->out == NULL) {
        fail(link, now_ms, "out of memory");
        return;
    }
    if (url->password[0] != '\0') {
        const char *const words[] = {"AUTH", url->user, url->password};
        const char *const plain[] = {"AUTH", url->password};
        bool has_user = url->user[0] != '\0';
        link->out_len =
            put_command(link->out, SIZE, link->out_len, has_user ? words : plain, has_user ? 3 : 2);
        link->awaited++;
    }
    if (url->db != 0) {
        const char *const words[] = {"SELECT", db};
        link->out_len = put_command(link->out, SIZE, link->out_len, words, 2);
        link->awaited++;
    }
    link->state = link->awaited > 0 ? BEAT_LINK_GREETING : BEAT_LINK_READY;
    link->deadline_ms = now_ms + DEADLINE_MS;
}

/* ---- connecting ---- */

static void connected(struct beat_link *link, int64_t now_ms)
{
    int one = 1;
    setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &one,
               sizeof one); /* a Unix socket refuses, and needs it not */
    link->connects++;
    greet(link, now_ms);
}

static void dial(struct beat_link *link, const struct sockaddr *address, socklen_t len, int64_t now_ms)
{
    link->fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (link->fd < 0) {
        fail(link, now_ms, "no socket: %s", strerror(errno));
    } else if (connect(link->fd, address, len) == 0) {
        connected(link, now_ms);
    } else if (errno == EINPROGRESS) {
        link->state = BEAT_LINK_CONNECTING;
        link->deadline_ms = now_ms + DEADLINE_MS;
    } else { /* EAGAIN: the backlog of a Unix socket is full */
        fail(link, now_ms, "%s", strerror(errno));
    }
}

static void dial_next(struct beat_link *link, int64_t now_ms)
{
    const struct beat_address *next = &link->addresses[link->address_next++];
    dial(link, (const struct sockaddr *)&next->address, next->len, now_ms);
}

static void dial_unix(struct beat_link *link, int64_t now_ms)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", link->url.path);
    dial(link, (const struct sockaddr *)&address, sizeof address, now_ms);
}

static void step_resting(struct beat_link *link, int64_t now_ms)
{
    if (now_ms < link->retry_ms) {
        return;
    }
    if (link->url.path[0] != '\0') {
        dial_unix(link, now_ms);
        return;
    }
    link->resolve = beat_resolve_start(link->url.host, link->url.port);
    if (link->resolve == NULL) {
        fail(link, now_ms, "the name cannot be looked up");
        return;
    }
    link->state = BEAT_LINK_RESOLVING;
}

static void step_resolving(struct beat_link *link, int64_t now_ms)
{
    const char *failure = NULL;
    if (!beat_resolve_poll(link->resolve, link->addresses, &link->address_count, &failure)) {
        return;
    }
    beat_resolve_free(link->resolve);
    link->resolve = NULL;
    link->address_next = 0;
    if (failure != NULL || link->address_count == 0) {
        fail(link, now_ms, "%s", failure != NULL ? failure : "no address");
    } else {
        dial_next(link, now_ms);
    }
}

static void step_connecting(struct beat_link *link, int64_t now_ms)
{
    struct pollfd watched = {.fd = link->fd, .events = POLLOUT};
    int code = 0;
    socklen_t len = sizeof code;
    if (poll(&watched, 1, 0) > 0) {
        getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &code, &len);
        if (code == 0) {
            connected(link, now_ms);
            return;
        }
    } else if (now_ms < link->deadline_ms) {
        return;
    }
    bool is_last = link->address_next >= link->address_count;
    if (is_last) {
        fail(link, now_ms, "%s", code != 0 ? strerror(code) : "no answer");
    } else {
        hang_up(link);
        dial_next(link, now_ms);
    }
}

/* ---- talking ---- */

static bool write_some(struct beat_link *link, int64_t now_ms)
{
    while (link->out_sent < link->out_len) {
        ssize_t sent =
            send(link->fd, link->out + link->out_sent, link->out_len - link->out_sent, MSG_NOSIGNAL);
        if (sent >= 0) {
            link->out_sent += (size_t)sent;
        } else if (errno != EINTR) {
            bool is_full = errno == EAGAIN;
            if (!is_full) {
                fail(link, now_ms, "%s", strerror(errno));
            }
            return is_full;
        }
    }
    return true;
}

/* Only simple answers come to what is asked here: +OK, :1, -ERR …. */
static bool take_line(struct beat_link *link, const char *line, int64_t now_ms)
{
    if (line[0] == '-' || (line[0] != '+' && line[0] != ':') || link->awaited == 0) {
        fail(link, now_ms, line[0] == '-' ? "%.150s" : "is no Redis: %.40s", line + (line[0] == '-'));
        return false;
    }
    link->awaited--;
    return true;
}

static bool take_lines(struct beat_link *link, int64_t now_ms)
{
    char *end;
    while ((end = memmem(link->in, link->in_len, "\r\n", 2)) != NULL) {
        *end = '\0';
        if (!take_line(link, link->in, now_ms)) {
            return false;
        }
        size_t used = (size_t)(end - link->in) + 2;
        memmove(link->in, link->in + used, link->in_len - used);
        link->in_len -= used;
    }
    if (link->in_len == sizeof link->in) {
        fail(link, now_ms, "an answer is too long");
        return false;
    }
    return true;
}

static bool read_some(struct beat_link *link, int64_t now_ms)
{
    for (;;) {
        ssize_t got = recv(link->fd, link->in + link->in_len, sizeof link->in - link->in_len, 0);
        if (got > 0) {
            link->in_len += (size_t)got;
            if (!take_lines(link, now_ms)) {
                return false;
            }
        } else if (got == 0) {
            fail(link, now_ms, "closed the connection");
            return false;
        } else if (errno != EINTR) {
            bool is_empty = errno == EAGAIN;
            if (!is_empty) {
                fail(link, now_ms, "%s", strerror(errno));
            }
            return is_empty;
        }
    }
}

/* What arrived counts before a deadline does: the program may not have stepped for long. */
static bool step_talking(struct beat_link *link, int64_t now_ms)
{
    if (!write_some(link, now_ms) || !read_some(link, now_ms) || link->state == BEAT_LINK_READY) {
        return false;
    }
    bool is_done = link->out_sent == link->out_len && link->awaited == 0;
    if (!is_done) {
        if (now_ms >= link->deadline_ms) {
            fail(link, now_ms, "no answer");
        }
        return false;
    }
    bool is_exchange = link->state == BEAT_LINK_BUSY;
    free(link->out);
    link->out = NULL;
    link->out_len = link->out_sent = 0;
    link->state = BEAT_LINK_READY;
    if (is_exchange) {
        link->backoff_ms = BACKOFF_FIRST_MS;
        link->trouble[0] = '\0';
    }
    return is_exchange;
}

bool beat_link_step(struct beat_link *link, int64_t now_ms)
{
    if (link->state == BEAT_LINK_RESTING) {
        step_resting(link, now_ms);
    }
    if (link->state == BEAT_LINK_RESOLVING) {
        step_resolving(link, now_ms);
    }
    if (link->state == BEAT_LINK_CONNECTING) {
        step_connecting(link, now_ms);
    }
    bool is_talking =
        link->state == BEAT_LINK_GREETING || link->state == BEAT_LINK_READY || link->state == BEAT_LINK_BUSY;
    return is_talking && step_talking(link, now_ms);
}

void beat_link_send(struct beat_link *link, char *bytes, size_t len, unsigned answers, int64_t now_ms)
{
    free(link->out);
    link->out = bytes;
    link->out_len = len;
    link->out_sent = 0;
    link->awaited = answers;
    link->state = BEAT_LINK_BUSY;
    link->deadline_ms = now_ms + DEADLINE_MS;
}

int64_t beat_link_wake_ms(const struct beat_link *link, int64_t now_ms)
{
    switch (link->state) {
    case BEAT_LINK_RESTING:
        return link->retry_ms;
    case BEAT_LINK_RESOLVING:
        return now_ms + RESOLVE_LOOK_MS;
    case BEAT_LINK_CONNECTING:
    case BEAT_LINK_GREETING:
    case BEAT_LINK_BUSY:
        return link->deadline_ms;
    case BEAT_LINK_READY:
        break;
    }
    return INT64_MAX;
}

short beat_link_events(const struct beat_link *link)
{
    bool is_writing = link->state == BEAT_LINK_CONNECTING || link->out_sent < link->out_len;
    return (short)(POLLIN | (is_writing ? POLLOUT : 0));
}
