#include "controller/restart_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "common/log.h"
#include "common/memory.h"
#include "controller/restart_journal.h"
#include "proto/keys.h"

enum { TTL_BEYOND_COOLDOWN_MS = 3600 * 1000, WATCH_CHUNK = 500, ENTRIES_MAX = 100000, TTL_SIZE = 24 };

struct entry {
    char *container;
    struct restart_state state;
    char *text;         /* as we wrote it, or as it was read */
    bool is_pending;    /* Redis may lack it */
    bool is_deleted;    /* the key is yet to be deleted; state and text are empty */
    bool was_seen;      /* by the load under way */
    bool is_edited;     /* so did the load find it */
    bool is_unreadable; /* what stands in Redis is none; ours counts */
    uint64_t changed;   /* store->change at the last write: answers to older looks are stale */
    struct mono written_at;
    UT_hash_handle hh;
};

struct restart_store {
    struct restart_store_options options;
    struct restart_journal *journal;
    struct loop_timer *watch;
    struct entry *entries;
    uint64_t change;
    bool is_amnesic; /* the load under way */
    size_t pending;
    size_t looks; /* watch requests under way */
};

/* One write or look under way. */
struct request {
    struct restart_store *store;
    char *container;
    char *text;     /* SET: what was written; NULL: DEL */
    bool has_token; /* the decider waits for it */
    uint64_t token;
    uint64_t change;
    size_t count; /* looks */
    char **names;
};

static struct mono store_now(const struct restart_store *store)
{
    return decider_port_now(&store->options.port);
}

static int64_t ttl_ms(const struct restart_store *store)
{
    return store->options.cooldown_ms + TTL_BEYOND_COOLDOWN_MS;
}

static struct entry *find(const struct restart_store *store, const char *container)
{
    struct entry *entry;
    HASH_FIND_STR(store->entries, container, entry);
    return entry;
}

static struct entry *find_or_add(struct restart_store *store, const char *container)
{
    struct entry *entry = find(store, container);
    if (entry == NULL) {
        entry = memory_alloc(sizeof *entry);
        entry->container = memory_copy_text(container);
        restart_state_init(&entry->state);
        HASH_ADD_KEYPTR(hh, store->entries, entry->container, strlen(entry->container), entry);
    }
    return entry;
}

static void drop_entry(struct restart_store *store, struct entry *entry)
{
    HASH_DEL(store->entries, entry);
    restart_state_fini(&entry->state);
    free(entry->container);
    free(entry->text);
    free(entry);
}

static void set_state(struct entry *entry, const struct restart_state *state)
{
    struct restart_state copy;
    restart_state_copy(state, &copy);
    restart_state_fini(&entry->state);
    entry->state = copy;
    free(entry->text);
    size_t len;
    entry->text = restart_state_encode(state, &len);
    entry->is_deleted = false;
}

static void free_request(struct request *request)
{
    for (size_t i = 0; i < request->count; i++) {
        free(request->names[i]);
    }
    free(request->names);
    free(request->container);
    free(request->text);
    free(request);
}

static bool write_journal(struct restart_store *store, const char *container, enum journal_mark mark,
                          const char *text)
{
    struct err err;
    if (restart_journal_put(store->journal, container, mark, text, &err) == 0) {
        return true;
    }
    warning_limiter_warn(store->options.warnings, RESTART_JOURNAL_FILE, store_now(store),
                         "Cannot write the restart journal: %s", err.text);
    return false;
}

static void keep_in_journal(struct restart_store *store, const struct entry *entry, enum journal_mark mark)
{
    size_t len;
    cleanup_free char *text = restart_state_encode(&entry->state, &len);
    write_journal(store, entry->container, mark, text);
}

static void drop_from_journal(struct restart_store *store, const char *container)
{
    struct err err;
    if (restart_journal_drop(store->journal, container, &err) != 0) {
        warning_limiter_warn(store->options.warnings, RESTART_JOURNAL_FILE, store_now(store),
                             "Cannot write the restart journal: %s", err.text);
    }
}

static void tell_stored(struct restart_store *store, const char *container, uint64_t token, bool is_safe)
{
    decider_stored(store->options.port.decider, container, token, is_safe, store_now(store),
                   clock_wall_now());
    decider_port_told(&store->options.port);
}

/* ---- writes ---- */

static void on_set(void *arg, const struct redis_reply *reply)
{
    struct request *request = arg;
    struct restart_store *store = request->store;
    store->pending--;
    struct entry *entry = find(store, request->container);
    bool is_newest = entry != NULL && entry->changed == request->change;
    bool is_safe = redis_session_took_write(store->options.session, reply);
    if (is_safe) {
        if (is_newest) {
            entry->is_pending = false;
            write_journal(store, request->container, JOURNAL_STORED, request->text);
        }
    } else if (is_newest) {
        entry->is_pending = true;
        is_safe = write_journal(store, request->container, JOURNAL_PENDING, request->text);
    }
    if (request->has_token) {
        tell_stored(store, request->container, request->token, is_safe);
    }
    free_request(request);
}

static bool send_set(struct restart_store *store, struct entry *entry, const uint64_t *token)
{
    struct request *request = memory_alloc(sizeof *request);
    *request = (struct request){.store = store,
                                .container = memory_copy_text(entry->container),
                                .text = memory_copy_text(entry->text),
                                .has_token = token != NULL,
                                .token = token == NULL ? 0 : *token,
                                .change = ++store->change};
    char key[KEY_SIZE], ttl[TTL_SIZE];
    key_restart(key, entry->container);
    snprintf(ttl, sizeof ttl, "%" PRId64, ttl_ms(store));
    const char *argv[] = {"SET", key, entry->text, "PX", ttl};
    entry->changed = request->change;
    entry->written_at = store_now(store);
    if (redis_session_command(store->options.session, on_set, request, 5, argv, NULL) != 0) {
        free_request(request);
        return false;
    }
    store->pending++;
    return true;
}

static void on_deleted(void *arg, const struct redis_reply *reply)
{
    struct request *request = arg;
    struct restart_store *store = request->store;
    store->pending--;
    struct entry *entry = find(store, request->container);
    bool is_done = redis_session_took_write(store->options.session, reply);
    if (entry != NULL && entry->is_deleted && entry->changed == request->change) {
        if (is_done) {
            drop_from_journal(store, request->container);
            drop_entry(store, entry);
        } else {
            write_journal(store, request->container, JOURNAL_DELETE, NULL);
        }
    }
    free_request(request);
}

static bool send_delete(struct restart_store *store, struct entry *entry)
{
    struct request *request = memory_alloc(sizeof *request);
    *request = (struct request){
        .store = store, .container = memory_copy_text(entry->container), .change = ++store->change};
    char key[KEY_SIZE];
    key_restart(key, entry->container);
    const char *argv[] = {"DEL", key};
    entry->changed = request->change;
    if (redis_session_command(store->options.session, on_deleted, request, 2, argv, NULL) != 0) {
        free_request(request);
        return false;
    }
    store->pending++;
    return true;
}

void restart_store_save(struct restart_store *store, const char *container, uint64_t token,
                        const struct restart_state *state)
{
    struct entry *entry = find_or_add(store, container);
    set_state(entry, state);
    entry->is_unreadable = false;
    if (redis_session_is_ready(store->options.session) && send_set(store, entry, &token)) {
        return;
    }
    entry->changed = ++store->change;
    entry->is_pending = true;
    bool is_safe = write_journal(store, entry->container, JOURNAL_PENDING, entry->text);
    cleanup_free char *name = memory_copy_text(container); /* the decider's own text may go away */
    tell_stored(store, name, token, is_safe);
}

void restart_store_forget(struct restart_store *store, const char *container)
{
    struct entry *entry = find(store, container);
    if (entry == NULL) {
        return;
    }
    restart_state_fini(&entry->state);
    restart_state_init(&entry->state);
    free(entry->text);
    entry->text = NULL;
    entry->is_deleted = true;
    if (!redis_session_is_ready(store->options.session) || !send_delete(store, entry)) {
        entry->changed = ++store->change;
        write_journal(store, entry->container, JOURNAL_DELETE, NULL);
    }
}

/* ---- start-up and return of Redis ---- */

static void take_journal_entry(void *arg, const char *container, enum journal_mark mark, const char *text)
{
    struct restart_store *store = arg;
    struct restart_state state;
    struct err err;
    if (mark == JOURNAL_DELETE) {
        find_or_add(store, container)->is_deleted = true;
        return;
    }
    if (restart_state_decode(text, strlen(text), &state, &err) != 0) {
        log_warning("The restart journal's entry of %s cannot be read: %s", container, err.text);
        return;
    }
    struct entry *entry = find_or_add(store, container);
    set_state(entry, &state);
    restart_state_fini(&state);
    entry->is_pending = mark == JOURNAL_PENDING;
}

static struct wall later_wall(struct wall left, struct wall right)
{
    return left.ms > right.ms ? left : right;
}

/* As old as a key that Redis would have dropped: of no use any more, and the journal stays small. */
static bool is_outlived(const struct restart_store *store, const struct restart_state *state,
                        struct wall wall)
{
    struct wall last = later_wall(state->last_attempt_at, state->last_completed_at);
    last = later_wall(last, state->cooldown_until);
    return last.ms > 0 && wall.ms - last.ms > ttl_ms(store);
}

static void drop_outlived(struct restart_store *store)
{
    struct wall wall = clock_wall_now();
    struct entry *entry, *next;
    HASH_ITER (hh, store->entries, entry, next) {
        if (!entry->is_deleted && is_outlived(store, &entry->state, wall)) {
            drop_from_journal(store, entry->container);
            drop_entry(store, entry);
        }
    }
}

static void watch_keys(void *arg);

int restart_store_open(const struct restart_store_options *options, struct restart_store **out,
                       struct err *err)
{
    size_t damaged;
    struct restart_journal *journal;
    int result = restart_journal_open(options->state_dir, &journal, &damaged, err);
    if (result != 0) {
        return result;
    }
    if (damaged > 0) {
        log_warning("The restart journal had %zu damaged lines: they were skipped", damaged);
    }
    struct restart_store *store = memory_alloc(sizeof *store);
    store->options = *options;
    store->journal = journal;
    restart_journal_each(journal, take_journal_entry, store);
    drop_outlived(store);
    store->watch = loop_timer_new(options->port.loop, watch_keys, store);
    loop_timer_start(store->watch, options->watch_ms, options->watch_ms);
    *out = store;
    return 0;
}

void restart_store_close(struct restart_store *store)
{
    if (store == NULL) {
        return;
    }
    struct entry *entry, *next;
    HASH_ITER (hh, store->entries, entry, next) {
        drop_entry(store, entry);
    }
    loop_timer_free(store->watch);
    restart_journal_close(store->journal);
    free(store);
}

static void tell_loaded(struct restart_store *store, const struct entry *entry)
{
    decider_state_loaded(store->options.port.decider, entry->container, &entry->state, store_now(store),
                         clock_wall_now());
}

void restart_store_recall(struct restart_store *store)
{
    struct entry *entry, *next;
    HASH_ITER (hh, store->entries, entry, next) {
        if (!entry->is_deleted) {
            tell_loaded(store, entry);
        }
    }
    decider_port_told(&store->options.port);
}

void restart_store_load_begin(struct restart_store *store, bool is_amnesic)
{
    store->is_amnesic = is_amnesic;
    struct entry *entry, *next;
    HASH_ITER (hh, store->entries, entry, next) {
        entry->was_seen = false;
        entry->is_unreadable = false;
        entry->is_edited = false;
    }
}

static void warn_unreadable(struct restart_store *store, const char *container, const char *cause)
{
    char key[KEY_SIZE];
    key_restart(key, container);
    warning_limiter_warn(store->options.warnings, key, store_now(store),
                         "Key %s cannot be read: %s; taken as absent and written over at the next store", key,
                         cause);
}

static bool is_empty(const struct restart_state *state)
{
    return state->attempt_count == 0 && state->cooldown_until.ms == 0 && !state->is_in_flight;
}

static bool is_text(const struct entry *entry, const char *bytes, size_t len)
{
    return entry->text != NULL && strlen(entry->text) == len && memcmp(entry->text, bytes, len) == 0;
}

/* The text stays as it stands in Redis, so that the watch does not take it for new. */
static void take_from_redis(struct restart_store *store, struct entry *entry,
                            const struct restart_state *state, const char *bytes, size_t len)
{
    set_state(entry, state);
    free(entry->text);
    entry->text = strndup(bytes, len);
    entry->is_pending = false;
    entry->written_at = store_now(store);
}

/* Ours and Redis' differ: where Redis had ours and lost nothing, somebody has changed it since. */
static void meet(struct restart_store *store, struct entry *entry, const struct restart_state *state,
                 const char *bytes, size_t len)
{
    if (is_text(entry, bytes, len)) {
        entry->is_pending = false;
    } else if (!entry->is_pending && !store->is_amnesic) {
        take_from_redis(store, entry, state, bytes, len);
        entry->is_edited = true;
    } else {
        struct restart_state merged;
        restart_state_copy(&entry->state, &merged);
        restart_state_merge(&merged, state);
        set_state(entry, &merged);
        restart_state_fini(&merged);
        entry->is_pending = true;
    }
}

void restart_store_load_value(struct restart_store *store, const char *container, const char *bytes,
                              size_t len)
{
    struct restart_state state;
    struct err err;
    struct entry *entry = find(store, container);
    if (restart_state_decode(bytes, len, &state, &err) != 0) {
        warn_unreadable(store, container, err.text);
        if (entry != NULL) {
            entry->was_seen = true;
            entry->is_unreadable = true;
        }
        return;
    }
    if (entry == NULL && HASH_COUNT(store->entries) < ENTRIES_MAX) {
        entry = find_or_add(store, container);
        take_from_redis(store, entry, &state, bytes, len);
    } else if (entry != NULL && !entry->is_deleted) {
        meet(store, entry, &state, bytes, len);
    }
    if (entry != NULL) {
        entry->was_seen = true;
    }
    restart_state_fini(&state);
}

/* Journalled as pending first, so that a crash between here and Redis' answer changes nothing. */
static void write_back(struct restart_store *store, struct entry *entry)
{
    entry->is_pending = true;
    keep_in_journal(store, entry, JOURNAL_PENDING);
    send_set(store, entry, NULL);
}

static void forget_reset(struct restart_store *store, struct entry *entry)
{
    cleanup_free char *name = memory_copy_text(entry->container);
    drop_entry(store, entry);
    drop_from_journal(store, name);
    log_info("The restart state of %s was deleted in Redis: a fresh budget", name);
    decider_state_reset(store->options.port.decider, name, store_now(store), clock_wall_now());
}

void restart_store_load_end(struct restart_store *store)
{
    struct entry *entry, *next;
    HASH_ITER (hh, store->entries, entry, next) {
        if (entry->is_deleted) {
            send_delete(store, entry);
        } else if (!entry->was_seen && !entry->is_pending && !store->is_amnesic) {
            forget_reset(store, entry);
        } else {
            if (entry->is_edited) {
                decider_state_reset(store->options.port.decider, entry->container, store_now(store),
                                    clock_wall_now());
            }
            tell_loaded(store, entry);
            if (!entry->was_seen || entry->is_pending || entry->is_unreadable) {
                write_back(store, entry);
            } else {
                keep_in_journal(store, entry, JOURNAL_STORED);
            }
        }
    }
}

size_t restart_store_pending(const struct restart_store *store)
{
    return store->pending;
}

/* ---- the watch ---- */

/* The key is gone although the marker stood in the same answer. Only a key of another type looks like that
 * too; TYPE tells them apart. */
static void on_type(void *arg, const struct redis_reply *reply)
{
    struct request *request = arg;
    struct restart_store *store = request->store;
    store->looks--;
    struct entry *entry = find(store, request->container);
    size_t len;
    const char *type = redis_reply_text(reply, &len);
    if (entry != NULL && entry->changed <= request->change && !entry->is_deleted &&
        redis_reply_type(reply) == REDIS_REPLY_TEXT && redis_session_is_ready(store->options.session)) {
        if (strcmp(type, "none") == 0) {
            forget_reset(store, entry);
            decider_port_told(&store->options.port);
        } else if (strcmp(type, "string") != 0) {
            warn_unreadable(store, entry->container, "it is no string");
        }
    }
    free_request(request);
}

static void confirm_gone(struct restart_store *store, const char *container, uint64_t change)
{
    char key[KEY_SIZE];
    key_restart(key, container);
    const char *argv[] = {"TYPE", key};
    struct request *request = memory_alloc(sizeof *request);
    *request = (struct request){.store = store, .container = memory_copy_text(container), .change = change};
    if (redis_session_command(store->options.session, on_type, request, 2, argv, NULL) == 0) {
        store->looks++;
    } else {
        free_request(request);
    }
}

static void take_edited(struct restart_store *store, struct entry *entry, const char *bytes, size_t len)
{
    struct restart_state state;
    struct err err;
    if (restart_state_decode(bytes, len, &state, &err) != 0) {
        warn_unreadable(store, entry->container, err.text);
        return;
    }
    log_info("The restart state of %s was changed in Redis: taken over", entry->container);
    take_from_redis(store, entry, &state, bytes, len);
    restart_state_fini(&state);
    keep_in_journal(store, entry, JOURNAL_STORED);
    decider_state_reset(store->options.port.decider, entry->container, store_now(store), clock_wall_now());
    tell_loaded(store, entry);
}

static void judge_key(struct restart_store *store, struct entry *entry, const struct redis_reply *value,
                      uint64_t change)
{
    size_t len;
    const char *bytes = redis_reply_text(value, &len);
    if (redis_reply_type(value) == REDIS_REPLY_NONE) {
        confirm_gone(store, entry->container, change);
    } else if (bytes != NULL && !is_text(entry, bytes, len)) {
        take_edited(store, entry, bytes, len);
    }
}

static void on_looked(void *arg, const struct redis_reply *reply)
{
    struct request *look = arg;
    struct restart_store *store = look->store;
    store->looks--;
    if (redis_reply_type(reply) == REDIS_REPLY_LIST && redis_reply_count(reply) == look->count + 1 &&
        redis_session_has_marker(store->options.session, redis_reply_at(reply, 0))) {
        for (size_t i = 0; i < look->count; i++) {
            struct entry *entry = find(store, look->names[i]);
            if (entry != NULL && entry->changed <= look->change && !entry->is_deleted && !entry->is_pending) {
                judge_key(store, entry, redis_reply_at(reply, i + 1), look->change);
            }
        }
        decider_port_told(&store->options.port);
    }
    free_request(look);
}

static void send_look(struct restart_store *store, struct request *look)
{
    cleanup_free const char **argv = memory_grow(NULL, look->count + 2, sizeof *argv);
    cleanup_free char(*keys)[KEY_SIZE] = memory_grow(NULL, look->count, KEY_SIZE);
    argv[0] = "MGET";
    argv[1] = KEY_MARKER;
    for (size_t i = 0; i < look->count; i++) {
        key_restart(keys[i], look->names[i]);
        argv[i + 2] = keys[i];
    }
    if (redis_session_command(store->options.session, on_looked, look, (int)look->count + 2, argv, NULL) ==
        0) {
        store->looks++;
    } else {
        free_request(look);
    }
}

static struct request *new_look(struct restart_store *store)
{
    struct request *look = memory_alloc(sizeof *look);
    *look = (struct request){.store = store, .change = store->change};
    look->names = memory_grow(NULL, WATCH_CHUNK, sizeof *look->names);
    return look;
}

/* Our own keys do not run out while their container is judged: an expired key would look deleted. */
static void refresh(struct restart_store *store, struct entry *entry)
{
    struct decider_view view;
    if (mono_diff(store_now(store), entry->written_at) > ttl_ms(store) / 2 && !is_empty(&entry->state) &&
        decider_look(store->options.port.decider, entry->container, &view)) {
        send_set(store, entry, NULL);
    }
}

static void watch_keys(void *arg)
{
    struct restart_store *store = arg;
    if (!redis_session_is_ready(store->options.session) || store->looks > 0) {
        return;
    }
    struct request *look = NULL;
    struct entry *entry, *next;
    HASH_ITER (hh, store->entries, entry, next) {
        if (entry->is_deleted) {
            continue;
        }
        if (entry->is_pending) {
            send_set(store, entry, NULL);
            continue;
        }
        refresh(store, entry);
        look = look == NULL ? new_look(store) : look;
        look->names[look->count++] = memory_copy_text(entry->container);
        if (look->count == WATCH_CHUNK) {
            send_look(store, look);
            look = NULL;
        }
    }
    if (look != NULL) {
        send_look(store, look);
    }
}
