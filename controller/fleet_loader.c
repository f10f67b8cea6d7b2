#include "controller/fleet_loader.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/memory.h"
#include "proto/keys.h"

/* Registrations are large: a few in one answer. */
enum { SMALL_CHUNK = 1000, LARGE_CHUNK = 16, RETRY_MS = 1000, CURSOR_SIZE = 32 };

struct fleet_loader {
    struct fleet_loader_options options;
    struct loop_timer *retry;
    uint64_t generation;
    char cursor[CURSOR_SIZE];
    size_t pending; /* MGETs of this page */
    bool has_failed;
};

struct page_read {
    struct fleet_loader *loader;
    uint64_t generation;
    size_t count;
    char **keys;
    size_t *lens;
};

static void scan(void *arg);

static void free_read(struct page_read *read)
{
    for (size_t i = 0; i < read->count; i++) {
        free(read->keys[i]);
    }
    free(read->keys);
    free(read->lens);
    free(read);
}

static void try_again(struct fleet_loader *loader, const struct redis_reply *reply)
{
    if (reply == NULL) {
        return; /* the link is down: the next on_writable starts anew */
    }
    const char *text = redis_reply_text(reply, NULL);
    log_warning("Cannot read the fleet from Redis: %s", text == NULL ? "an answer of another kind" : text);
    loader->generation++;
    loop_timer_start(loader->retry, RETRY_MS, 0);
}

static void end_page(struct fleet_loader *loader)
{
    uint64_t generation = loader->generation;
    loader->options.on_page(loader->options.arg);
    if (generation != loader->generation) {
        return;
    }
    if (strcmp(loader->cursor, "0") == 0) {
        loader->options.on_done(loader->options.arg);
    } else {
        scan(loader);
    }
}

static void on_values(void *arg, const struct redis_reply *reply)
{
    struct page_read *read = arg;
    struct fleet_loader *loader = read->loader;
    if (read->generation == loader->generation) {
        if (redis_reply_type(reply) != REDIS_REPLY_LIST || redis_reply_count(reply) != read->count) {
            try_again(loader, reply);
        } else {
            for (size_t i = 0; i < read->count; i++) {
                size_t len;
                const struct redis_reply *item = redis_reply_at(reply, i);
                const char *value = redis_reply_text(item, &len);
                if (redis_reply_type(item) == REDIS_REPLY_TEXT) {
                    loader->options.on_value(loader->options.arg, read->keys[i], read->lens[i], value, len);
                }
            }
            if (--loader->pending == 0) {
                end_page(loader);
            }
        }
    }
    free_read(read);
}

static struct page_read *new_read(struct fleet_loader *loader, size_t size)
{
    struct page_read *read = memory_alloc(sizeof *read);
    *read = (struct page_read){.loader = loader, .generation = loader->generation};
    read->keys = memory_grow(NULL, size, sizeof *read->keys);
    read->lens = memory_grow(NULL, size, sizeof *read->lens);
    return read;
}

static void send_read(struct fleet_loader *loader, struct page_read *read)
{
    cleanup_free const char **argv = memory_grow(NULL, read->count + 1, sizeof *argv);
    cleanup_free size_t *lens = memory_grow(NULL, read->count + 1, sizeof *lens);
    argv[0] = "MGET";
    lens[0] = 4;
    for (size_t i = 0; i < read->count; i++) {
        argv[i + 1] = read->keys[i];
        lens[i + 1] = read->lens[i];
    }
    if (redis_session_command(loader->options.session, on_values, read, (int)read->count + 1, argv, lens) ==
        0) {
        loader->pending++;
    } else {
        free_read(read);
        loader->has_failed = true;
    }
}

static void add_key(struct page_read *read, const char *key, size_t len)
{
    char *copy = memory_alloc(len + 1);
    memcpy(copy, key, len);
    read->keys[read->count] = copy;
    read->lens[read->count++] = len;
}

static bool has_prefix(const char *key, size_t len, const char *prefix)
{
    size_t prefix_len = strlen(prefix);
    return len > prefix_len && memcmp(key, prefix, prefix_len) == 0;
}

static bool is_wanted_small(const char *key, size_t len)
{
    return len < KEY_SIZE &&
           (has_prefix(key, len, KEY_HEARTBEAT_PREFIX) || has_prefix(key, len, KEY_RESTART_PREFIX) ||
            has_prefix(key, len, KEY_HOLD_PREFIX));
}

static bool is_wanted_large(const char *key, size_t len)
{
    return len < KEY_SIZE && has_prefix(key, len, KEY_AGENT_PREFIX);
}

static void read_kind(struct fleet_loader *loader, const struct redis_reply *keys,
                      bool (*is_wanted)(const char *key, size_t len), size_t chunk)
{
    struct page_read *read = NULL;
    for (size_t i = 0; i < redis_reply_count(keys); i++) {
        size_t len;
        const char *key = redis_reply_text(redis_reply_at(keys, i), &len);
        if (key == NULL || !is_wanted(key, len)) {
            continue;
        }
        read = read == NULL ? new_read(loader, chunk) : read;
        add_key(read, key, len);
        if (read->count == chunk) {
            send_read(loader, read);
            read = NULL;
        }
    }
    if (read != NULL) {
        send_read(loader, read);
    }
}

static void on_page(void *arg, const struct redis_reply *reply)
{
    struct page_read *read = arg;
    struct fleet_loader *loader = read->loader;
    bool is_current = read->generation == loader->generation;
    free_read(read);
    if (!is_current || reply == NULL) {
        return;
    }
    size_t len = 0;
    const char *cursor = redis_reply_text(redis_reply_at(reply, 0), &len);
    const struct redis_reply *keys = redis_reply_at(reply, 1);
    if (redis_reply_count(reply) != 2 || cursor == NULL || len >= CURSOR_SIZE || keys == NULL) {
        try_again(loader, reply);
        return;
    }
    memory_set_text(loader->cursor, sizeof loader->cursor, cursor);
    loader->has_failed = false;
    loader->pending = 0;
    /* Registrations first: they tell what the beats and states are about. */
    read_kind(loader, keys, is_wanted_large, LARGE_CHUNK);
    read_kind(loader, keys, is_wanted_small, SMALL_CHUNK);
    if (loader->has_failed) {
        loader->generation++;
        loop_timer_start(loader->retry, RETRY_MS, 0);
    } else if (loader->pending == 0) {
        end_page(loader);
    }
}

static void scan(void *arg)
{
    struct fleet_loader *loader = arg;
    const char *argv[] = {"SCAN", loader->cursor, "MATCH", "health:*", "COUNT", "1000"};
    struct page_read *read = new_read(loader, 1);
    if (redis_session_command(loader->options.session, on_page, read, 6, argv, NULL) != 0) {
        free_read(read);
        loop_timer_start(loader->retry, RETRY_MS, 0);
    }
}

static void on_retry(void *arg)
{
    fleet_loader_start(arg);
}

struct fleet_loader *fleet_loader_new(struct loop *loop, const struct fleet_loader_options *options)
{
    struct fleet_loader *loader = memory_alloc(sizeof *loader);
    loader->options = *options;
    loader->retry = loop_timer_new(loop, on_retry, loader);
    return loader;
}

void fleet_loader_free(struct fleet_loader *loader)
{
    if (loader == NULL) {
        return;
    }
    loop_timer_free(loader->retry);
    free(loader);
}

void fleet_loader_start(struct fleet_loader *loader)
{
    fleet_loader_stop(loader);
    memory_set_text(loader->cursor, sizeof loader->cursor, "0");
    if (redis_session_is_writable(loader->options.session)) {
        scan(loader);
    }
}

void fleet_loader_stop(struct fleet_loader *loader)
{
    loader->generation++;
    loop_timer_stop(loader->retry);
}
