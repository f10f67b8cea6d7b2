/*
 * hiredis formats, buffers and parses; the connection, its deadlines and its callbacks are ours. Its own
 * async layer is not used: it frees the context under the caller in six places, looks up every published
 * message in a table of channels, and never calls back for a server killed under pipelined load.
 */
#include "common/redis_link.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <hiredis/hiredis.h>
#include <hiredis/sds.h>

#include "common/memory.h"
#include "common/pending_queue.h"
#include "common/redis_tls.h"
#include "common/resolver.h"
#include "common/sentinel_query.h"

enum {
    DEFAULT_TIMEOUT_MS = 3000,
    DEFAULT_PING_MS = 5000,
    DEFAULT_MAX_REPLY_BYTES = 160 << 20, /* sixteen registrations, and what hiredis keeps beside */
    DEFAULT_MAX_PENDING = 200000,
    BACKOFF_MIN_MS = 100,
    BACKOFF_MAX_MS = 5000,
    SENTINEL_MS = 1000, /* for each */
    WRITE_EARLY_BYTES = 64 * 1024,
    READS_PER_TURN = 32,
    LAST_LOOK_READS = 4096 /* of 16 KiB */
};

enum state {
    STATE_WAITING,
    STATE_ASKING,
    STATE_RESOLVING,
    STATE_CONNECTING,
    STATE_GREETING,
    STATE_UP,
    STATE_CLOSED
};

struct redis_link {
    struct loop *loop;
    struct redis_link_options options;
    struct redis_url url;
    char where[400];
    char *client_name;
    char *channel;

    enum state state;
    unsigned depth; /* frames of ours on the stack: closing frees the link when the last one leaves */
    unsigned failures;
    struct mono up_since;
    struct mono last_heard;
    char run_id[64];
    char told[768]; /* the last reason given to on_down since the link was up */

    struct loop_timer *phase_timer; /* waiting: the next try; until up: the connect deadline */
    struct loop_timer *deadline_timer;
    struct loop_timer *ping_timer;
    bool is_deadline_armed;

    struct sentinel_query *query; /* where Sentinels know the master */
    size_t queries;
    struct resolver *resolver; /* may outlive the try that started it */
    struct resolver_address addresses[RESOLVER_ADDRESSES_MAX];
    size_t address_count;
    size_t address_at;

    int fd; /* while connecting; afterwards the context owns it */
    struct loop_poll *poll;
    redisContext *context; /* from the greeting on */
    size_t unfinished;     /* bytes of the answer that has not come whole yet, about */
    struct pending_queue queue;
    struct redis_tls *tls; /* from the first connection on that needs it */
};

static void drop(struct redis_link *link, const char *reason);

/* ---- life of the struct ---- */

static void free_link(struct redis_link *link)
{
    redis_tls_free(link->tls);
    pending_queue_fini(&link->queue);
    free(link->client_name);
    free(link->channel);
    free(link);
}

static void enter(struct redis_link *link)
{
    link->depth++;
}

static void leave(struct redis_link *link)
{
    if (--link->depth == 0 && link->state == STATE_CLOSED) {
        free_link(link);
    }
}

/* ---- losing the connection ---- */

static void disconnect(struct redis_link *link)
{
    loop_timer_stop(link->phase_timer);
    loop_timer_stop(link->deadline_timer);
    loop_timer_stop(link->ping_timer);
    link->is_deadline_armed = false;
    sentinel_query_free(link->query);
    link->query = NULL;
    loop_poll_free(link->poll);
    link->poll = NULL;
    if (link->context != NULL) {
        redisFree(link->context);
        link->context = NULL;
        link->unfinished = 0;
    } else if (link->fd >= 0) {
        close(link->fd);
    }
    link->fd = -1;
    link->up_since = MONO_NEVER;
}

static void fail_pending(struct redis_link *link)
{
    struct pending pending;
    while (pending_queue_pop(&link->queue, &pending)) {
        if (pending.on_reply != NULL) {
            pending.on_reply(pending.arg, NULL);
        }
    }
}

/* Full jitter: a fleet that lost the same server does not come back in step. */
static int64_t backoff_ms(struct redis_link *link)
{
    int64_t cap = BACKOFF_MAX_MS;
    if (link->failures < 6) {
        cap = (int64_t)BACKOFF_MIN_MS << link->failures;
        cap = cap < BACKOFF_MAX_MS ? cap : BACKOFF_MAX_MS;
    }
    link->failures++;
    uint32_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random) {
        random = (uint32_t)clock_mono_now().ms * 2654435761u;
    }
    return 1 + random % cap;
}

static void tell_down(struct redis_link *link, bool was_up, const char *reason)
{
    char text[sizeof link->told];
    snprintf(text, sizeof text, "%s: %s", link->where, reason);
    if (!was_up && strcmp(text, link->told) == 0) {
        return;
    }
    memory_set_text(link->told, sizeof link->told, text);
    if (link->options.on_down != NULL) {
        link->options.on_down(link->options.arg, text);
    }
}

static void drop(struct redis_link *link, const char *reason)
{
    char kept[256]; /* the reason may lie in what is freed here */
    memory_set_text(kept, sizeof kept, reason);
    bool was_up = link->state == STATE_UP;
    bool has_more = !was_up && link->address_at < link->address_count;
    if (was_up && mono_diff(loop_now(link->loop), link->up_since) >= BACKOFF_MAX_MS) {
        link->failures = 0;
    }
    disconnect(link);
    link->state = STATE_WAITING;
    if (!has_more) {
        link->address_count = 0;
        link->address_at = 0;
    }
    loop_timer_start(link->phase_timer, has_more ? 0 : backoff_ms(link), 0);
    fail_pending(link);
    if (link->state != STATE_CLOSED && !has_more) {
        tell_down(link, was_up, kept);
    }
}

static void drop_for_errno(struct redis_link *link, const char *what, int code)
{
    char reason[160];
    const char *text = strerror(code);
    snprintf(reason, sizeof reason, "%s%c%s", what, tolower((unsigned char)text[0]), text + 1);
    drop(link, reason);
}

static void drop_for_context(struct redis_link *link)
{
    int code = errno;
    switch (link->context->err) {
    case REDIS_ERR_EOF:
        drop(link, "closed by server");
        break;
    case REDIS_ERR_IO:
        if (link->url.is_tls) {
            drop(link, redis_tls_reason(link->tls, link->context));
        } else {
            drop_for_errno(link, "", code);
        }
        break;
    default:
        drop(link, link->context->errstr);
        break;
    }
}

/* ---- commands ---- */

static void arm_deadline(struct redis_link *link, struct mono when)
{
    link->is_deadline_armed = true;
    loop_timer_start(link->deadline_timer, mono_diff(when, loop_now(link->loop)), 0);
}

/* What makes a burst of commands writes it in pieces: the buffer stays in the processor's cache, and the heap
 * small. An error stays in the context, where the next turn meets it. */
static void write_early(struct redis_link *link)
{
    int is_done = 0;
    if (sdslen(link->context->obuf) >= WRITE_EARLY_BYTES) {
        (void)redisBufferWrite(link->context, &is_done);
    }
}

static void queue_command(struct redis_link *link, redis_link_callback on_reply, void *arg, int argc,
                          const char *const *argv, const size_t *argv_len)
{
    /* hiredis takes an array of pointers that it does not change, without saying so. */
    if (redisAppendCommandArgv(link->context, argc, (const char **)argv, argv_len) != REDIS_OK) {
        fputs("out of memory\n", stderr);
        abort();
    }
    struct mono deadline = mono_add(loop_now(link->loop), link->options.command_timeout_ms);
    pending_queue_push(&link->queue, &(struct pending){on_reply, arg, deadline});
    loop_poll_watch(link->poll, LOOP_READABLE | LOOP_WRITABLE);
    if (!link->is_deadline_armed) {
        arm_deadline(link, deadline);
    }
    write_early(link);
}

int redis_link_command(struct redis_link *link, redis_link_callback on_reply, void *arg, int argc,
                       const char *const *argv, const size_t *argv_len)
{
    assert(link->channel == NULL && "a subscribing link takes no commands");
    if (link->state != STATE_UP) {
        return -ENOTCONN;
    }
    if (link->queue.count >= link->options.max_pending) {
        return -ENOBUFS;
    }
    queue_command(link, on_reply, arg, argc, argv, argv_len);
    return 0;
}

/* ---- the greeting ---- */

static bool begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static void drop_for_reply(struct redis_link *link, const char *what, const struct redis_reply *reply)
{
    const char *text = redis_reply_text(reply, NULL);
    char reason[256];
    snprintf(reason, sizeof reason, "%s%s", what, text == NULL ? "unexpected answer" : text);
    drop(link, reason);
}

static void on_auth(void *arg, const struct redis_reply *reply)
{
    if (reply != NULL && redis_reply_type(reply) == REDIS_REPLY_FAILURE) {
        drop_for_reply(arg, "AUTH: ", reply);
    }
}

static void on_select(void *arg, const struct redis_reply *reply)
{
    if (reply != NULL && redis_reply_type(reply) == REDIS_REPLY_FAILURE) {
        drop_for_reply(arg, "SELECT: ", reply);
    }
}

/* What a server may refuse to a narrow user, or not know, without being of no use to us. */
static bool is_harmless(const char *text)
{
    return begins_with(text, "NOPERM") || begins_with(text, "ERR unknown");
}

static void on_name(void *arg, const struct redis_reply *reply)
{
    if (reply == NULL || redis_reply_type(reply) != REDIS_REPLY_FAILURE) {
        return;
    }
    if (!is_harmless(redis_reply_text(reply, NULL))) {
        drop_for_reply(arg, "", reply);
    }
}

static void read_run_id(struct redis_link *link, const char *info)
{
    static const char field[] = "run_id:";
    const char *found = strstr(info, field);
    link->run_id[0] = '\0';
    if (found != NULL) {
        found += sizeof field - 1;
        size_t len = strcspn(found, "\r\n");
        len = len < sizeof link->run_id ? len : sizeof link->run_id - 1;
        memcpy(link->run_id, found, len);
        link->run_id[len] = '\0';
    }
}

static void on_info(void *arg, const struct redis_reply *reply)
{
    struct redis_link *link = arg;
    if (reply == NULL) {
        return;
    }
    const char *text = redis_reply_text(reply, NULL);
    if (redis_reply_type(reply) == REDIS_REPLY_TEXT) {
        read_run_id(link, text);
    } else if (redis_reply_type(reply) == REDIS_REPLY_FAILURE && is_harmless(text)) {
        link->run_id[0] = '\0';
    } else {
        drop_for_reply(link, "INFO: ", reply);
    }
}

/* Sentinel's word may be older than a failover. */
static void on_role(void *arg, const struct redis_reply *reply)
{
    if (reply == NULL) {
        return;
    }
    const char *failure = redis_reply_text(reply, NULL);
    const char *role = redis_reply_text(redis_reply_at(reply, 0), NULL);
    bool is_master = role != NULL && strcmp(role, "master") == 0;
    bool is_unknown = redis_reply_type(reply) == REDIS_REPLY_FAILURE && is_harmless(failure);
    if (!is_master && !is_unknown) {
        drop(arg, failure != NULL ? failure : "it is not the master, as a Sentinel said");
    }
}

static void become_up(struct redis_link *link)
{
    link->state = STATE_UP;
    link->up_since = loop_now(link->loop);
    link->told[0] = '\0';
    link->address_at = 0;
    link->address_count = 0;
    loop_timer_stop(link->phase_timer);
    loop_timer_start(link->ping_timer, link->options.ping_interval_ms, link->options.ping_interval_ms);
    if (link->options.on_up != NULL) {
        link->options.on_up(link->options.arg);
    }
}

static void on_first_pong(void *arg, const struct redis_reply *reply)
{
    struct redis_link *link = arg;
    const char *text = redis_reply_text(reply, NULL);
    if (reply == NULL) {
        return;
    }
    if (text == NULL || strcmp(text, "PONG") != 0) {
        drop_for_reply(link, "", reply);
    } else if (link->channel == NULL) {
        become_up(link);
    }
}

static void on_subscribed(void *arg, const struct redis_reply *reply)
{
    if (reply == NULL) {
        return;
    }
    if (redis_reply_type(reply) == REDIS_REPLY_LIST) {
        become_up(arg);
    } else {
        drop_for_reply(arg, "SUBSCRIBE: ", reply);
    }
}

static void queue_words(struct redis_link *link, redis_link_callback on_reply, const char *first,
                        const char *second, const char *third)
{
    const char *words[] = {first, second, third};
    int count = third != NULL ? 3 : second != NULL ? 2 : 1;
    queue_command(link, on_reply, link, count, words, NULL);
}

/* All in one write; the first refusal ends the connection, and the answers behind it with it. */
static void queue_greeting(struct redis_link *link)
{
    const struct redis_url *url = &link->url;
    if (url->user[0] != '\0') {
        queue_words(link, on_auth, "AUTH", url->user, url->password);
    } else if (url->password[0] != '\0') {
        queue_words(link, on_auth, "AUTH", url->password, NULL);
    }
    if (link->client_name != NULL) {
        queue_words(link, on_name, "CLIENT", "SETNAME", link->client_name);
    }
    if (url->db != 0) {
        char db[16];
        snprintf(db, sizeof db, "%d", url->db);
        queue_words(link, on_select, "SELECT", db, NULL);
    }
    queue_words(link, on_info, "INFO", "server", NULL);
    if (url->sentinel_count > 0) {
        queue_words(link, on_role, "ROLE", NULL, NULL);
    }
    queue_words(link, on_first_pong, "PING", NULL, NULL);
    if (link->channel != NULL) {
        queue_words(link, on_subscribed, "SUBSCRIBE", link->channel, NULL);
    }
}

static void greet(struct redis_link *link)
{
    link->context = redisConnectFd(link->fd);
    if (link->context == NULL) {
        fputs("out of memory\n", stderr);
        abort();
    }
    link->context->flags &= ~REDIS_BLOCK;
    link->fd = -1;
    link->state = STATE_GREETING;
    if (link->url.is_tls && link->tls == NULL) {
        link->tls = redis_tls_new();
    }
    const char *refused = link->url.is_tls ? redis_tls_start(link->tls, link->context, link->url.host) : NULL;
    if (refused != NULL) {
        drop(link, refused);
        return;
    }
    queue_greeting(link);
}

/* ---- traffic ---- */

static bool is_published(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 &&
           reply->element[0]->type == REDIS_REPLY_STRING && reply->element[0]->len == 7 &&
           memcmp(reply->element[0]->str, "message", 7) == 0 && reply->element[2]->str != NULL;
}

static void deliver(struct redis_link *link, const redisReply *reply)
{
    if (link->channel != NULL && is_published(reply)) {
        if (link->state == STATE_UP && link->options.on_message != NULL) {
            const redisReply *payload = reply->element[2];
            link->options.on_message(link->options.arg, payload->str, (size_t)payload->len);
        }
        return;
    }
    struct pending pending;
    bool is_asked = pending_queue_pop(&link->queue, &pending);
    if (link->queue.count == 0 && link->is_deadline_armed) {
        /* Nothing is due: no waking up for it. */
        link->is_deadline_armed = false;
        loop_timer_stop(link->deadline_timer);
    }
    if (is_asked && link->options.latency != NULL) {
        struct mono sent_at = mono_add(pending.deadline, -link->options.command_timeout_ms);
        latency_observe(link->options.latency, mono_diff(loop_now(link->loop), sent_at));
    }
    if (!is_asked) {
        drop(link, reply->type == REDIS_REPLY_ERROR ? reply->str : "answer without a question");
    } else if (pending.on_reply != NULL) {
        pending.on_reply(pending.arg, (const struct redis_reply *)reply);
    }
}

static size_t unread(const struct redis_link *link)
{
    return link->context->reader->len - link->context->reader->pos;
}

/* hiredis takes an answer of any size, and anybody who writes Redis could have us read half a gigabyte. */
static void check_size(struct redis_link *link)
{
    if (link->unfinished > link->options.max_reply_bytes) {
        char reason[64];
        snprintf(reason, sizeof reason, "an answer of over %zu bytes", link->options.max_reply_bytes);
        drop(link, reason);
    }
}

static void read_some(struct redis_link *link)
{
    size_t before = unread(link);
    if (redisBufferRead(link->context) != REDIS_OK) {
        drop_for_context(link);
        return;
    }
    link->last_heard = loop_now(link->loop);
    link->unfinished += unread(link) - before;
    for (;;) {
        void *reply = NULL;
        if (redisGetReplyFromReader(link->context, &reply) != REDIS_OK) {
            drop_for_context(link);
            return;
        }
        if (reply == NULL) {
            check_size(link);
            return;
        }
        deliver(link, reply);
        freeReplyObject(reply);
        if (link->context == NULL) {
            return; /* a callback closed or failed the link */
        }
        link->unfinished = unread(link);
    }
}

static bool has_input(const struct redis_link *link)
{
    int bytes = 0;
    return ioctl(link->context->fd, FIONREAD, &bytes) == 0 && bytes > 0;
}

/* Several buffers a turn: a listener that took one would fall behind a publisher who writes megabytes at
 * once, until the server cuts it off. Not without end: other handles want their turn. */
static void read_turn(struct redis_link *link)
{
    read_some(link);
    for (int i = 1; i < READS_PER_TURN && link->context != NULL && has_input(link); i++) {
        read_some(link);
    }
}

static void write_some(struct redis_link *link)
{
    int is_done = 0;
    size_t before = sdslen(link->context->obuf);
    if (redisBufferWrite(link->context, &is_done) != REDIS_OK) {
        drop_for_context(link);
        return;
    }
    /* TLS that takes nothing from a writable socket waits for the peer's bytes: watching on would spin. */
    bool is_stuck = link->url.is_tls && sdslen(link->context->obuf) == before;
    loop_poll_watch(link->poll, is_done || is_stuck ? LOOP_READABLE : LOOP_READABLE | LOOP_WRITABLE);
}

static void finish_connect(struct redis_link *link)
{
    int code = 0;
    socklen_t size = sizeof code;
    getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &code, &size);
    if (code != 0) {
        drop_for_errno(link, "", code);
    } else {
        greet(link);
    }
}

static void on_ready(void *arg, int events)
{
    struct redis_link *link = arg;
    enter(link);
    if (link->state == STATE_CONNECTING) {
        finish_connect(link);
    } else {
        /* Reading comes first: a server that refuses says why before it hangs up. */
        if (events & LOOP_READABLE) {
            read_turn(link);
        }
        if (((events & LOOP_WRITABLE) || link->url.is_tls) && link->context != NULL) {
            write_some(link);
        }
    }
    leave(link);
}

/* ---- connecting ---- */

static void set_socket_options(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

static void connect_to(struct redis_link *link, const struct sockaddr *address, socklen_t len)
{
    link->state = STATE_CONNECTING;
    link->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (link->fd < 0) {
        drop_for_errno(link, "socket: ", errno);
        return;
    }
    if (address->sa_family != AF_UNIX) {
        set_socket_options(link->fd);
    }
    if (connect(link->fd, address, len) != 0 && errno != EINPROGRESS) {
        drop_for_errno(link, "", errno);
        return;
    }
    link->poll = loop_poll_new(link->loop, link->fd, on_ready, link);
    loop_poll_watch(link->poll, LOOP_WRITABLE);
}

static void connect_next(struct redis_link *link)
{
    const struct resolver_address *next = &link->addresses[link->address_at++];
    connect_to(link, (const struct sockaddr *)&next->address, next->len);
}

static void on_resolved(void *arg, const char *failure, const struct resolver_address *addresses,
                        size_t count)
{
    struct redis_link *link = arg;
    enter(link);
    if (link->state == STATE_RESOLVING && failure == NULL) {
        memcpy(link->addresses, addresses, count * sizeof *addresses);
        link->address_count = count;
        link->address_at = 0;
    }
    resolver_free(link->resolver);
    link->resolver = NULL;
    if (link->state == STATE_RESOLVING) {
        if (failure != NULL) {
            char reason[160];
            snprintf(reason, sizeof reason, "name not resolved: %s", failure);
            drop(link, reason);
        } else {
            connect_next(link);
        }
    }
    leave(link);
}

static void resolve(struct redis_link *link)
{
    link->state = STATE_RESOLVING;
    if (link->resolver == NULL) {
        link->resolver = resolver_start(link->loop, link->url.host, link->url.port, on_resolved, link);
    }
}

static void on_master(void *arg, const char *failure, const char *host, int port)
{
    struct redis_link *link = arg;
    enter(link);
    if (failure != NULL) {
        char reason[320];
        snprintf(reason, sizeof reason, "no Sentinel tells where %s is: %s", link->url.master, failure);
        drop(link, reason);
    } else {
        memory_set_text(link->url.host, sizeof link->url.host, host);
        link->url.port = port;
        redis_url_describe(&link->url, link->where, sizeof link->where);
        sentinel_query_free(link->query);
        link->query = NULL;
        loop_timer_start(link->phase_timer, link->options.connect_timeout_ms, 0);
        resolve(link);
    }
    leave(link);
}

static void ask_sentinels(struct redis_link *link)
{
    int64_t patience_ms = (int64_t)link->url.sentinel_count * 2 * SENTINEL_MS + SENTINEL_MS;
    loop_timer_start(link->phase_timer, patience_ms, 0);
    link->state = STATE_ASKING;
    link->query = sentinel_query_start(link->loop, &link->url, link->queries++, SENTINEL_MS, on_master, link);
}

static void attempt(struct redis_link *link)
{
    loop_timer_start(link->phase_timer, link->options.connect_timeout_ms, 0);
    if (link->url.path[0] != '\0') {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        _Static_assert(sizeof address.sun_path >= sizeof link->url.path, "path fits");
        memcpy(address.sun_path, link->url.path, sizeof link->url.path);
        connect_to(link, (const struct sockaddr *)&address, sizeof address);
    } else if (link->address_at < link->address_count) {
        connect_next(link);
    } else if (link->url.sentinel_count > 0) {
        ask_sentinels(link);
    } else {
        resolve(link);
    }
}

/* ---- timers ---- */

static void on_phase_timer(void *arg)
{
    struct redis_link *link = arg;
    enter(link);
    switch (link->state) {
    case STATE_WAITING:
        attempt(link);
        break;
    case STATE_ASKING:
        drop(link, "timed out while asking the Sentinels");
        break;
    case STATE_RESOLVING:
        drop(link, "timed out while resolving the name");
        break;
    case STATE_CONNECTING:
        drop(link, "timed out while connecting");
        break;
    case STATE_GREETING:
        drop(link, "timed out: connected, but no answer");
        break;
    case STATE_UP:
    case STATE_CLOSED:
        break;
    }
    leave(link);
}

/* A busy channel in front of the PONG proves that the server lives; a command link has a harder promise. */
static struct mono oldest_deadline(const struct redis_link *link)
{
    struct mono deadline = pending_queue_first(&link->queue)->deadline;
    if (link->channel != NULL && link->state == STATE_UP) {
        struct mono heard = mono_add(link->last_heard, link->options.command_timeout_ms);
        deadline = mono_reached(heard, deadline) ? heard : deadline;
    }
    return deadline;
}

static bool is_overdue(const struct redis_link *link)
{
    return link->context != NULL && link->queue.count > 0 &&
           mono_reached(loop_now(link->loop), oldest_deadline(link));
}

/* After a stall of our own (a stopped process, a suspended machine) timers run before the answers that have
 * long been here are read: do not blame the server for that. */
static void take_last_look(struct redis_link *link)
{
    for (int i = 0; i < LAST_LOOK_READS && is_overdue(link) && has_input(link); i++) {
        read_some(link);
    }
}

static void on_deadline_timer(void *arg)
{
    struct redis_link *link = arg;
    enter(link);
    link->is_deadline_armed = false;
    size_t waiting = link->queue.count;
    take_last_look(link);
    bool has_answered = link->queue.count < waiting;
    if (is_overdue(link) && has_answered) {
        /* It was us who did not look: some of it may not even have been written yet. */
        arm_deadline(link, mono_add(loop_now(link->loop), link->options.command_timeout_ms));
    } else if (is_overdue(link)) {
        /* Answers come in order: what is behind the late one is late as well. */
        char reason[96];
        snprintf(reason, sizeof reason, "timed out: no answer for %lld ms",
                 (long long)link->options.command_timeout_ms);
        drop(link, reason);
    } else if (link->context != NULL && link->queue.count > 0 && !link->is_deadline_armed) {
        arm_deadline(link, oldest_deadline(link));
    }
    leave(link);
}

static void on_ping_timer(void *arg)
{
    struct redis_link *link = arg;
    int64_t interval_ms = link->options.ping_interval_ms;
    int64_t quiet_ms = mono_diff(loop_now(link->loop), link->last_heard);
    if (quiet_ms < interval_ms / 2) {
        /* It spoke meanwhile: asked when it has been quiet for a whole interval. */
        loop_timer_start(link->ping_timer, interval_ms - quiet_ms, interval_ms);
    } else if (link->queue.count == 0) {
        queue_words(link, NULL, "PING", NULL, NULL);
    }
}

/* ---- the rest of the interface ---- */

static int64_t or_default(int64_t value, int64_t otherwise)
{
    return value == 0 ? otherwise : value;
}

struct redis_link *redis_link_open(struct loop *loop, const struct redis_link_options *options)
{
    struct redis_link *link = memory_alloc(sizeof *link);
    link->loop = loop;
    link->options = *options;
    link->options.connect_timeout_ms = or_default(options->connect_timeout_ms, DEFAULT_TIMEOUT_MS);
    link->options.command_timeout_ms = or_default(options->command_timeout_ms, DEFAULT_TIMEOUT_MS);
    link->options.ping_interval_ms = or_default(options->ping_interval_ms, DEFAULT_PING_MS);
    link->options.max_pending = options->max_pending == 0 ? DEFAULT_MAX_PENDING : options->max_pending;
    link->options.max_reply_bytes =
        options->max_reply_bytes == 0 ? DEFAULT_MAX_REPLY_BYTES : options->max_reply_bytes;
    link->url = *options->url;
    link->client_name = memory_copy_text(options->client_name);
    link->channel = memory_copy_text(options->subscribe);
    redis_url_describe(&link->url, link->where, sizeof link->where);
    link->up_since = MONO_NEVER;
    link->fd = -1;
    link->phase_timer = loop_timer_new(loop, on_phase_timer, link);
    link->deadline_timer = loop_timer_new(loop, on_deadline_timer, link);
    link->ping_timer = loop_timer_new(loop, on_ping_timer, link);
    loop_timer_start(link->phase_timer, 0, 0);
    return link;
}

void redis_link_close(struct redis_link *link)
{
    if (link == NULL) {
        return;
    }
    enter(link);
    disconnect(link);
    link->state = STATE_CLOSED;
    resolver_free(link->resolver);
    loop_timer_free(link->phase_timer);
    loop_timer_free(link->deadline_timer);
    loop_timer_free(link->ping_timer);
    fail_pending(link);
    leave(link);
}

void redis_link_fail(struct redis_link *link, const char *reason)
{
    if (link->state == STATE_UP) {
        enter(link);
        drop(link, reason);
        leave(link);
    }
}

bool redis_link_is_up(const struct redis_link *link)
{
    return link->state == STATE_UP;
}

struct mono redis_link_up_since(const struct redis_link *link)
{
    return link->up_since;
}

const char *redis_link_run_id(const struct redis_link *link)
{
    return link->run_id;
}

bool redis_link_peer(const struct redis_link *link, char *host, size_t size, int *port)
{
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof peer;
    if (link->state != STATE_UP || getpeername(link->context->fd, (struct sockaddr *)&peer, &len) != 0) {
        return false;
    }
    if (peer.ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&peer;
        *port = ntohs(v4->sin_port);
        return inet_ntop(AF_INET, &v4->sin_addr, host, (socklen_t)size) != NULL;
    }
    if (peer.ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&peer;
        *port = ntohs(v6->sin6_port);
        return inet_ntop(AF_INET6, &v6->sin6_addr, host, (socklen_t)size) != NULL;
    }
    return false;
}
