#include "controller/hold_watch.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "common/log.h"
#include "common/memory.h"
#include "proto/hold.h"
#include "proto/keys.h"

enum { KIND_SIZE = 16, HOLDS_MAX = 100000 };

/* A key that is in force, wanted, or both. */
struct hold_key {
    char *key;
    char kind[KIND_SIZE];
    char *name;
    char *reason, *by; /* of one in force */
    bool is_held;
    bool is_wanted;
    struct wall until, since;
    UT_hash_handle hh;
};

struct hold_watch {
    struct decider_port port;
    struct redis_session *session;
    struct warning_limiter *warnings;
    struct hold_key *keys;
    size_t wanted;
};

struct hold_read {
    struct hold_watch *watch;
    size_t count;
    char **keys;
};

struct hold_watch *hold_watch_new(const struct decider_port *port, struct redis_session *session,
                                  struct warning_limiter *warnings)
{
    struct hold_watch *watch = memory_alloc(sizeof *watch);
    *watch = (struct hold_watch){.port = *port, .session = session, .warnings = warnings};
    return watch;
}

static void drop(struct hold_watch *watch, struct hold_key *hold)
{
    HASH_DEL(watch->keys, hold);
    free(hold->key);
    free(hold->name);
    free(hold->reason);
    free(hold->by);
    free(hold);
}

void hold_watch_free(struct hold_watch *watch)
{
    if (watch == NULL) {
        return;
    }
    struct hold_key *hold, *next;
    HASH_ITER (hh, watch->keys, hold, next) {
        drop(watch, hold);
    }
    free(watch);
}

static struct hold_key *find(struct hold_watch *watch, const char *key)
{
    struct hold_key *hold;
    HASH_FIND_STR(watch->keys, key, hold);
    return hold;
}

static struct hold_key *find_or_add(struct hold_watch *watch, const char *kind, const char *name)
{
    char key[KEY_SIZE];
    key_hold(key, kind, name);
    struct hold_key *hold = find(watch, key);
    if (hold == NULL && HASH_COUNT(watch->keys) < HOLDS_MAX) {
        hold = memory_alloc(sizeof *hold);
        hold->key = memory_copy_text(key);
        hold->name = memory_copy_text(name);
        memory_set_text(hold->kind, sizeof hold->kind, kind);
        HASH_ADD_KEYPTR(hh, watch->keys, hold->key, strlen(hold->key), hold);
    }
    return hold;
}

static void tell(struct hold_watch *watch, const struct hold_key *hold)
{
    decider_hold(watch->port.decider, hold->kind, hold->name, hold->is_held, hold->until,
                 decider_port_now(&watch->port), clock_wall_now());
}

static void set(struct hold_watch *watch, struct hold_key *hold, const char *value, size_t len)
{
    struct hold read;
    struct err err;
    if (hold_decode(value, len, &read, &err) != 0) {
        warning_limiter_warn(watch->warnings, hold->key, decider_port_now(&watch->port),
                             "Key %s cannot be read: %s; it holds until it is deleted", hold->key, err.text);
    }
    free(hold->reason);
    free(hold->by);
    hold->reason = memory_copy_text(read.reason);
    hold->by = memory_copy_text(read.by);
    hold->since = read.since;
    if (!hold->is_held || hold->until.ms != read.until.ms) {
        log_info("Hold on %s %s%s%s%s%s", hold->kind, hold->name, read.by[0] == '\0' ? "" : " by ", read.by,
                 read.reason[0] == '\0' ? "" : ": ", read.reason);
        hold->is_held = true;
        hold->until = read.until;
        tell(watch, hold);
    }
}

static void release(struct hold_watch *watch, struct hold_key *hold)
{
    if (hold->is_held) {
        log_info("Hold on %s %s released", hold->kind, hold->name);
        hold->is_held = false;
        hold->until = (struct wall){0};
        tell(watch, hold);
    }
    if (!hold->is_wanted) {
        drop(watch, hold);
    }
}

/* "health:hold:container:web-1" -> kind and name. */
static bool split(const char *key, size_t len, char kind[KIND_SIZE], char name[LIMIT_NAME_SIZE])
{
    static const char *const kinds[] = {"all", "host", "service", "container"};
    char rest[KIND_SIZE + LIMIT_NAME_SIZE];
    size_t prefix_len = strlen(KEY_HOLD_PREFIX);
    if (len <= prefix_len || len - prefix_len >= sizeof rest || memchr(key, '\0', len) != NULL) {
        return false;
    }
    memcpy(rest, key + prefix_len, len - prefix_len);
    rest[len - prefix_len] = '\0';
    char *colon = strchr(rest, ':');
    if (colon == NULL || colon[1] == '\0') {
        return false;
    }
    *colon = '\0';
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(rest, kinds[i]) == 0) {
            memory_set_text(kind, KIND_SIZE, kinds[i]);
            return memory_set_text(name, LIMIT_NAME_SIZE, colon + 1);
        }
    }
    return false;
}

void hold_watch_take(struct hold_watch *watch, const char *key, size_t key_len, const char *value, size_t len)
{
    char kind[KIND_SIZE], name[LIMIT_NAME_SIZE];
    if (!split(key, key_len, kind, name)) {
        warning_limiter_warn(watch->warnings, KEY_HOLD_PREFIX, decider_port_now(&watch->port),
                             "Key %.*s names nothing that can be held", (int)(key_len < 200 ? key_len : 200),
                             key);
        return;
    }
    struct hold_key *hold = find_or_add(watch, kind, name);
    if (hold != NULL) {
        set(watch, hold, value, len);
    }
}

static void want(struct hold_watch *watch, const char *kind, const char *name)
{
    struct hold_key *hold = *name == '\0' ? NULL : find_or_add(watch, kind, name);
    if (hold != NULL && !hold->is_wanted) {
        hold->is_wanted = true;
        watch->wanted++;
    }
}

void hold_watch_want(struct hold_watch *watch, const char *container, const char *service, const char *host)
{
    want(watch, "all", "all");
    want(watch, "container", container);
    want(watch, "service", service);
    want(watch, "host", host);
}

static bool want_busy(void *arg, const struct decider_view *view)
{
    if (strcmp(view->state, "UP") != 0) {
        hold_watch_want(arg, view->container, view->service, view->host);
    }
    return true;
}

void hold_watch_want_all(struct hold_watch *watch)
{
    struct hold_key *hold, *next;
    want(watch, "all", "all");
    HASH_ITER (hh, watch->keys, hold, next) {
        want(watch, hold->kind, hold->name);
    }
    decider_each(watch->port.decider, want_busy, watch);
}

static void free_read(struct hold_read *read)
{
    for (size_t i = 0; i < read->count; i++) {
        free(read->keys[i]);
    }
    free(read->keys);
    free(read);
}

static void on_read(void *arg, const struct redis_reply *reply)
{
    struct hold_read *read = arg;
    struct hold_watch *watch = read->watch;
    if (redis_reply_type(reply) == REDIS_REPLY_LIST && redis_reply_count(reply) == read->count + 1 &&
        redis_session_has_marker(watch->session, redis_reply_at(reply, 0))) {
        for (size_t i = 0; i < read->count; i++) {
            struct hold_key *hold = find(watch, read->keys[i]);
            const struct redis_reply *value = redis_reply_at(reply, i + 1);
            size_t len;
            const char *text = redis_reply_text(value, &len);
            if (hold != NULL && redis_reply_type(value) == REDIS_REPLY_TEXT) {
                set(watch, hold, text, len);
            } else if (hold != NULL && redis_reply_type(value) == REDIS_REPLY_NONE) {
                release(watch, hold);
            }
        }
        decider_port_told(&watch->port);
    }
    free_read(read);
}

void hold_watch_flush(struct hold_watch *watch)
{
    if (watch->wanted == 0) {
        return;
    }
    struct hold_read *read = memory_alloc(sizeof *read);
    read->watch = watch;
    read->keys = memory_grow(NULL, watch->wanted, sizeof *read->keys);
    cleanup_free const char **argv = memory_grow(NULL, watch->wanted + 2, sizeof *argv);
    argv[0] = "MGET";
    argv[1] = KEY_MARKER;
    struct hold_key *hold, *next;
    HASH_ITER (hh, watch->keys, hold, next) {
        if (hold->is_wanted && read->count < watch->wanted) {
            hold->is_wanted = false;
            read->keys[read->count] = memory_copy_text(hold->key);
            argv[read->count + 2] = read->keys[read->count];
            read->count++;
        }
    }
    watch->wanted = 0;
    if (!redis_session_is_ready(watch->session) ||
        redis_session_command(watch->session, on_read, read, (int)read->count + 2, argv, NULL) != 0) {
        for (size_t i = 0; i < read->count; i++) {
            hold = find(watch, read->keys[i]);
            if (hold != NULL && !hold->is_held) {
                drop(watch, hold);
            }
        }
        free_read(read);
    }
}

void hold_watch_look(struct hold_watch *watch, const char *kind, const char *name)
{
    want(watch, kind, name);
    hold_watch_flush(watch);
}

void hold_watch_each(const struct hold_watch *watch,
                     void (*visit)(void *arg, const struct hold_watch_hold *hold), void *arg)
{
    for (const struct hold_key *each = watch->keys; each != NULL; each = each->hh.next) {
        if (each->is_held) {
            visit(arg, &(struct hold_watch_hold){each->kind, each->name, each->reason, each->by, each->until,
                                                 each->since});
        }
    }
}
