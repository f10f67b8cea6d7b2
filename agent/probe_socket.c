#include "agent/probe_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/memory.h"
#include "common/resolver.h"
#include "common/version.h"

enum { OUT_SIZE = 1024, IN_SIZE = 1024, FAILURE_SIZE = 256, DROPPED_MAX = 64 * 1024 };

struct probe_socket {
    struct loop *loop;
    const struct probe_spec *spec;
    probe_callback on_done;
    void *arg;
    struct resolver *resolver;
    struct resolver_address addresses[RESOLVER_ADDRESSES_MAX];
    size_t address_count, address_next;
    struct loop_poll *poll;
    struct loop_timer *deadline;
    int fd;
    bool is_connected;
    bool is_starting; /* within start: nobody is called back yet */
    char out[OUT_SIZE];
    size_t out_len, out_sent;
    char in[IN_SIZE];
    size_t in_len;
    unsigned answers; /* of Redis, so far */
    bool is_judged;   /* it is known how it ends; over HTTP what follows is read and dropped */
    size_t dropped;
    char address[LIMIT_NAME_SIZE]; /* or name, as it was given */
    char failure[FAILURE_SIZE];
};

static void hang_up(struct probe_socket *probe)
{
    loop_poll_free(probe->poll);
    probe->poll = NULL;
    if (probe->fd >= 0) {
        close(probe->fd);
    }
    probe->fd = -1;
}

void probe_socket_cancel(struct probe_socket *probe)
{
    if (probe != NULL) {
        hang_up(probe);
        resolver_free(probe->resolver);
        loop_timer_free(probe->deadline);
        free(probe);
    }
}

static void end(struct probe_socket *probe, const char *failure)
{
    probe_callback on_done = probe->on_done;
    void *arg = probe->arg;
    char text[FAILURE_SIZE];
    memory_set_text(text, sizeof text, failure == NULL ? "" : failure);
    if (probe->is_starting) {
        memory_set_text(probe->failure, FAILURE_SIZE, text);
        probe->is_judged = true;
        hang_up(probe);
        loop_timer_start(probe->deadline, 0, 0);
        return;
    }
    probe_socket_cancel(probe);
    on_done(arg, failure == NULL ? NULL : text);
}

/* ---- what is said, and what must come back ---- */

static void put_words(struct probe_socket *probe, const char *const words[], size_t count)
{
    size_t used = probe->out_len;
    used += (size_t)snprintf(probe->out + used, OUT_SIZE - used, "*%zu\r\n", count);
    for (size_t i = 0; i < count; i++) {
        used += (size_t)snprintf(probe->out + used, OUT_SIZE - used, "$%zu\r\n%s\r\n", strlen(words[i]),
                                 words[i]);
    }
    probe->out_len = used;
}

static void say_to_redis(struct probe_socket *probe)
{
    const struct probe_spec *spec = probe->spec;
    if (spec->password[0] != '\0') {
        const char *const named[] = {"AUTH", spec->user, spec->password};
        const char *const plain[] = {"AUTH", spec->password};
        bool has_user = spec->user[0] != '\0';
        put_words(probe, has_user ? named : plain, has_user ? 3 : 2);
    }
    const char *const ping[] = {"PING"};
    put_words(probe, ping, 1);
}

static size_t put_pair(char *out, size_t used, const char *name, const char *value)
{
    memcpy(out + used, name, strlen(name) + 1);
    used += strlen(name) + 1;
    memcpy(out + used, value, strlen(value) + 1);
    return used + strlen(value) + 1;
}

/* StartupMessage of protocol 3.0: length, version, pairs of C strings, an empty one. */
static void say_to_postgres(struct probe_socket *probe)
{
    const struct probe_spec *spec = probe->spec;
    size_t used = 8;
    used = put_pair(probe->out, used, "user", spec->user[0] != '\0' ? spec->user : "postgres");
    if (spec->database[0] != '\0') {
        used = put_pair(probe->out, used, "database", spec->database);
    }
    probe->out[used++] = '\0';
    uint32_t head[2] = {htonl((uint32_t)used), htonl(3 << 16)};
    memcpy(probe->out, head, sizeof head);
    probe->out_len = used;
}

static void say_to_http(struct probe_socket *probe)
{
    const struct probe_spec *spec = probe->spec;
    const char *host = spec->host[0] != '\0' ? spec->host : probe->address;
    bool is_v6 = strchr(host, ':') != NULL;
    int used = snprintf(probe->out, OUT_SIZE,
                        "GET %s HTTP/1.1\r\nHost: %s%s%s:%d\r\nUser-Agent: defib/" DEFIB_VERSION
                        "\r\nAccept: */*\r\nConnection: close\r\n\r\n",
                        spec->path, is_v6 ? "[" : "", host, is_v6 ? "]" : "", spec->port);
    probe->out_len = used < OUT_SIZE ? (size_t)used : OUT_SIZE - 1;
}

static bool is_wanted_status(const struct probe_spec *spec, int status)
{
    for (size_t i = 0; i < spec->status_count; i++) {
        if (status >= spec->statuses[i].low && status <= spec->statuses[i].high) {
            return true;
        }
    }
    return false;
}

/* "HTTP/1.1 200 OK": judged once the three digits are there. The rest is read to its end, within bounds, so
 * that the server is not cut off while it writes. */
static bool hear_http(struct probe_socket *probe)
{
    enum { STATUS_AT = 9, STATUS_END = 12 };
    static const char start[] = "HTTP/1.";
    size_t len = probe->in_len < sizeof start - 1 ? probe->in_len : sizeof start - 1;
    if (memcmp(probe->in, start, len) != 0) {
        end(probe, "it does not speak HTTP/1");
        return true;
    }
    if (probe->in_len <= STATUS_END) {
        return false;
    }
    int status = 0;
    for (size_t at = STATUS_AT; at < STATUS_END; at++) {
        bool is_digit = probe->in[at] >= '0' && probe->in[at] <= '9';
        status = is_digit && status >= 0 ? status * 10 + (probe->in[at] - '0') : -1;
    }
    if (status < 100) {
        end(probe, "it does not speak HTTP/1");
        return true;
    }
    probe->is_judged = true;
    if (!is_wanted_status(probe->spec, status)) {
        snprintf(probe->failure, FAILURE_SIZE, "status %d is none that was asked for", status);
    }
    return false;
}

static void end_judged(struct probe_socket *probe)
{
    end(probe, probe->failure[0] != '\0' ? probe->failure : NULL);
}

/* True where the probe is over. */
static bool hear_redis(struct probe_socket *probe)
{
    unsigned wanted = probe->spec->password[0] != '\0' ? 2 : 1;
    char *newline;
    while ((newline = memmem(probe->in, probe->in_len, "\r\n", 2)) != NULL) {
        *newline = '\0';
        bool is_last = ++probe->answers == wanted;
        bool is_well = strcmp(probe->in, is_last ? "+PONG" : "+OK") == 0;
        if (!is_well) {
            snprintf(probe->failure, FAILURE_SIZE, "Redis says: %.200s", probe->in + (probe->in[0] == '-'));
        }
        if (is_last || !is_well) {
            end(probe, is_well ? NULL : probe->failure);
            return true;
        }
        size_t used = (size_t)(newline - probe->in) + 2;
        memmove(probe->in, probe->in + used, probe->in_len - used);
        probe->in_len -= used;
    }
    return false;
}

/* A field of an ErrorResponse: type byte, C string; NULL where it is not there. */
static const char *error_field(const char *body, size_t len, char type)
{
    const char *end_of_body = body + len;
    while (body < end_of_body && *body != '\0') {
        const char *stop = memchr(body, '\0', (size_t)(end_of_body - body));
        if (stop == NULL) {
            return NULL;
        }
        if (*body == type) {
            return body + 1;
        }
        body = stop + 1;
    }
    return NULL;
}

/* 57Pxx: starting up, shutting down; 53xxx: no more connections; 58xxx, XXxxx: it is broken. A refusal for
 * who we are shows a server that serves. */
static bool is_trouble(const char *code)
{
    return strncmp(code, "57P", 3) == 0 || strncmp(code, "53", 2) == 0 || strncmp(code, "58", 2) == 0 ||
           strncmp(code, "XX", 2) == 0;
}

static bool hear_postgres(struct probe_socket *probe)
{
    uint32_t length;
    if (probe->in_len < 5) {
        return false;
    }
    memcpy(&length, probe->in + 1, sizeof length);
    size_t body = ntohl(length) - 4u;
    if (probe->in[0] == 'R') {
        end(probe, NULL);
        return true;
    }
    if (probe->in[0] != 'E' || ntohl(length) < 4) {
        end(probe, "it does not speak the protocol of Postgres");
        return true;
    }
    bool is_whole = probe->in_len - 5 >= body || probe->in_len == IN_SIZE;
    if (!is_whole) {
        return false;
    }
    size_t there = probe->in_len - 5 < body ? probe->in_len - 5 : body;
    const char *code = error_field(probe->in + 5, there, 'C');
    const char *message = error_field(probe->in + 5, there, 'M');
    snprintf(probe->failure, FAILURE_SIZE, "Postgres says: %.180s", message == NULL ? "an error" : message);
    end(probe, code == NULL || is_trouble(code) ? probe->failure : NULL);
    return true;
}

/* ---- the connection ---- */

static void dial(struct probe_socket *probe);

/* Another address of the same name may do. */
static void dial_failed(struct probe_socket *probe, int code)
{
    if (probe->address_next < probe->address_count) {
        hang_up(probe);
        dial(probe);
        return;
    }
    snprintf(probe->failure, FAILURE_SIZE, "cannot connect: %s", strerror(code));
    end(probe, probe->failure);
}

static bool write_some(struct probe_socket *probe)
{
    ssize_t sent =
        send(probe->fd, probe->out + probe->out_sent, probe->out_len - probe->out_sent, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        snprintf(probe->failure, FAILURE_SIZE, "broken off: %s", strerror(errno));
        end(probe, probe->failure);
        return false;
    }
    probe->out_sent += sent > 0 ? (size_t)sent : 0;
    bool is_all = probe->out_sent == probe->out_len;
    loop_poll_watch(probe->poll, is_all ? LOOP_READABLE : LOOP_READABLE | LOOP_WRITABLE);
    return true;
}

static void prepare(struct probe_socket *probe)
{
    probe->out_len = probe->out_sent = 0;
    switch (probe->spec->kind) {
    case PROBE_REDIS:
        say_to_redis(probe);
        break;
    case PROBE_POSTGRES:
        say_to_postgres(probe);
        break;
    case PROBE_HTTP:
        say_to_http(probe);
        break;
    case PROBE_TCP:
    case PROBE_HTTPS:
    case PROBE_EXEC:
    case PROBE_KIND_N:
        break;
    }
}

static void on_connected(struct probe_socket *probe)
{
    probe->is_connected = true;
    if (probe->spec->kind == PROBE_TCP) {
        end(probe, NULL);
    } else {
        write_some(probe);
    }
}

/* True where the probe is over. */
static bool read_some(struct probe_socket *probe)
{
    if (probe->is_judged) {
        probe->in_len = 0;
    }
    ssize_t got = recv(probe->fd, probe->in + probe->in_len, IN_SIZE - probe->in_len, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    if (probe->is_judged) {
        probe->dropped += got > 0 ? (size_t)got : 0;
        bool is_over = got <= 0 || probe->dropped > DROPPED_MAX;
        if (is_over) {
            end_judged(probe);
        }
        return is_over;
    }
    if (got <= 0) {
        snprintf(probe->failure, FAILURE_SIZE, "broken off: %s",
                 got == 0 ? "the connection was closed" : strerror(errno));
        end(probe, probe->failure);
        return true;
    }
    probe->in_len += (size_t)got;
    bool is_over = probe->spec->kind == PROBE_REDIS      ? hear_redis(probe)
                   : probe->spec->kind == PROBE_POSTGRES ? hear_postgres(probe)
                                                         : hear_http(probe);
    if (!is_over && !probe->is_judged && probe->in_len == IN_SIZE) {
        end(probe, "the answer is none that was asked for");
        return true;
    }
    return is_over;
}

static void on_ready(void *arg, int events)
{
    struct probe_socket *probe = arg;
    if (!probe->is_connected) {
        int code = 0;
        socklen_t len = sizeof code;
        getsockopt(probe->fd, SOL_SOCKET, SO_ERROR, &code, &len);
        if (code != 0) {
            dial_failed(probe, code);
        } else {
            on_connected(probe);
        }
        return;
    }
    if ((events & LOOP_WRITABLE) && probe->out_sent < probe->out_len && !write_some(probe)) {
        return;
    }
    /* A server that has answered mostly has closed as well: no turn of the loop for that. */
    if ((events & LOOP_READABLE) && !read_some(probe) && probe->is_judged) {
        read_some(probe);
    }
}

static void on_timer(void *arg)
{
    struct probe_socket *probe = arg;
    if (probe->is_judged) {
        end_judged(probe);
        return;
    }
    if (probe->failure[0] == '\0') {
        snprintf(probe->failure, FAILURE_SIZE, "%s within %g s",
                 probe->is_connected       ? "no answer"
                 : probe->resolver != NULL ? "the name was not found"
                                           : "cannot connect",
                 (double)probe->spec->timeout_ms / 1000);
    }
    end(probe, probe->failure);
}

/* Next door the handshake is over before connect returns: a turn of the loop less. */
static bool is_writable(int fd)
{
    struct pollfd watched = {.fd = fd, .events = POLLOUT};
    return poll(&watched, 1, 0) > 0;
}

/* … and where there is something to say, the first write tells whether it is: no poll, no question for the
 * error. */
static void begin_by_writing(struct probe_socket *probe)
{
    ssize_t sent = send(probe->fd, probe->out, probe->out_len, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        dial_failed(probe, errno);
        return;
    }
    probe->is_connected = sent >= 0;
    probe->out_sent = sent > 0 ? (size_t)sent : 0;
    bool is_all = probe->out_sent == probe->out_len;
    loop_poll_watch(probe->poll, is_all                ? LOOP_READABLE
                                 : probe->is_connected ? LOOP_READABLE | LOOP_WRITABLE
                                                       : LOOP_WRITABLE);
}

static void dial(struct probe_socket *probe)
{
    const struct resolver_address *next = &probe->addresses[probe->address_next++];
    probe->fd = socket(next->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int code = probe->fd < 0 ? errno : 0;
    if (code == 0 && connect(probe->fd, (const struct sockaddr *)&next->address, next->len) != 0 &&
        errno != EINPROGRESS) {
        code = errno;
    }
    if (code != 0) {
        dial_failed(probe, code);
        return;
    }
    prepare(probe);
    probe->poll = loop_poll_new(probe->loop, probe->fd, on_ready, probe);
    if (probe->out_len > 0) {
        begin_by_writing(probe);
    } else if (is_writable(probe->fd)) {
        on_ready(probe, LOOP_WRITABLE);
    } else {
        loop_poll_watch(probe->poll, LOOP_WRITABLE);
    }
}

static void on_resolved(void *arg, const char *failure, const struct resolver_address *addresses,
                        size_t count)
{
    struct probe_socket *probe = arg;
    memcpy(probe->addresses, addresses, count * sizeof *addresses);
    probe->address_count = count;
    if (failure != NULL || count == 0) {
        snprintf(probe->failure, FAILURE_SIZE, "%.100s is not found: %.100s", probe->address,
                 failure != NULL ? failure : "no address");
    }
    resolver_free(probe->resolver);
    probe->resolver = NULL;
    if (probe->failure[0] != '\0') {
        end(probe, probe->failure);
    } else {
        dial(probe);
    }
}

/* A container's address mostly; false for a name. */
static bool read_address(const char *host, int port, struct resolver_address *out)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)&out->address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out->address;
    *out = (struct resolver_address){.len = sizeof *v4};
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        return true;
    }
    out->len = sizeof *v6;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons((uint16_t)port);
    return inet_pton(AF_INET6, host, &v6->sin6_addr) == 1;
}

struct probe_socket *probe_socket_start(struct loop *loop, const struct probe_spec *spec, const char *host,
                                        probe_callback on_done, void *arg)
{
    struct probe_socket *probe = memory_alloc(sizeof *probe);
    probe->loop = loop;
    probe->spec = spec;
    probe->on_done = on_done;
    probe->arg = arg;
    probe->fd = -1;
    memory_set_text(probe->address, sizeof probe->address, host);
    probe->deadline = loop_timer_new(loop, on_timer, probe);
    loop_timer_start(probe->deadline, spec->timeout_ms, 0);
    if (read_address(host, spec->port, &probe->addresses[0])) {
        probe->address_count = 1;
        probe->is_starting = true;
        dial(probe);
        probe->is_starting = false;
    } else {
        probe->resolver = resolver_start(loop, host, spec->port, on_resolved, probe);
    }
    return probe;
}
