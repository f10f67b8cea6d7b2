#include "controller/restart_watch.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/memory.h"
#include "controller/restart_entries.h"
#include "proto/keys.h"

enum { WATCH_CHUNK = 500 };

static bool is_empty(const struct restart_state *state)
{
    return state->attempt_count == 0 && state->cooldown_until.ms == 0 && !state->is_in_flight;
}

/* Redis threw keys away since this one was known to stand, and does not tell which. A server that never did
 * has no doubt of it, nor has one that counts for nobody to read. */
static bool may_be_evicted(const struct restart_signs *before, const struct restart_signs *now)
{
    return now->evicted != 0 && now->evicted != REDIS_EVICTED_UNKNOWN && now->evicted != before->evicted;
}

/* Keys run out by Redis' wall clock. Ours have half of their time left at least, until somebody sets it. */
static bool may_have_run_out(const struct restart_store *store, const struct restart_signs *before,
                             const struct restart_signs *now)
{
    return before->ahead_ms != RESTART_CLOCK_UNKNOWN && now->ahead_ms != RESTART_CLOCK_UNKNOWN &&
           now->ahead_ms - before->ahead_ms > restart_entries_ttl_ms(store) / 4;
}

static void judge_gone(struct restart_store *store, struct restart_entry *entry,
                       const struct restart_signs *before)
{
    bool is_evicted = may_be_evicted(before, &store->now);
    if (!is_evicted && !may_have_run_out(store, before, &store->now)) {
        restart_entries_reset(store, entry);
        decider_port_told(&store->options.port);
        return;
    }
    char key[KEY_SIZE];
    key_restart(key, entry->container);
    warning_limiter_warn(
        store->options.warnings, key, restart_entries_now(store),
        "Key %s is gone, and Redis %s meanwhile: written anew, no fresh budget (defibctl reset gives one)",
        key, is_evicted ? "has evicted keys" : "had its clock set forward");
    restart_entries_write_back(store, entry);
}

/* The key is gone although the marker stood in the same answer. Only a key of another type looks like that
 * too; TYPE tells them apart. */
static void on_type(void *arg, const struct redis_reply *reply)
{
    struct restart_request *request = arg;
    struct restart_store *store = request->store;
    store->looks--;
    struct restart_entry *entry = restart_entries_find(store, request->container);
    size_t len;
    const char *type = redis_reply_text(reply, &len);
    if (entry != NULL && entry->changed <= request->change && !entry->is_deleted &&
        redis_reply_type(reply) == REDIS_REPLY_TEXT && redis_session_is_ready(store->options.session)) {
        if (strcmp(type, "none") == 0) {
            judge_gone(store, entry, &request->before);
        } else if (strcmp(type, "string") != 0) {
            restart_entries_warn_unreadable(store, entry->container, "it is no string");
        }
    }
    restart_entries_free_request(request);
}

/* Before the keys are read: one that is found to stand was not among those that were evicted by then. */
static void on_evicted_at_first(void *arg, const struct redis_reply *reply)
{
    struct restart_store *store = arg;
    store->before = store->since;
    store->since.evicted = redis_session_read_evicted(reply);
    redis_session_remember_evicted(store->options.session, store->before.evicted);
}

static int64_t read_ahead_ms(const struct restart_store *store, const struct redis_reply *reply)
{
    const char *secs = redis_reply_text(redis_reply_at(reply, 0), NULL);
    return secs == NULL ? RESTART_CLOCK_UNKNOWN
                        : strtoll(secs, NULL, 10) * 1000 - restart_entries_now(store).ms;
}

static void on_time_at_first(void *arg, const struct redis_reply *reply)
{
    struct restart_store *store = arg;
    store->since.ahead_ms = read_ahead_ms(store, reply);
}

static void on_evicted(void *arg, const struct redis_reply *reply)
{
    struct restart_store *store = arg;
    store->now.evicted = redis_session_read_evicted(reply);
}

static void on_time(void *arg, const struct redis_reply *reply)
{
    struct restart_store *store = arg;
    store->now.ahead_ms = read_ahead_ms(store, reply);
}

static void ask_signs(struct restart_store *store, redis_link_callback on_stats, redis_link_callback on_clock)
{
    const char *stats[] = {"INFO", "stats"}, *clock[] = {"TIME"};
    redis_session_command(store->options.session, on_stats, store, 2, stats, NULL);
    redis_session_command(store->options.session, on_clock, store, 1, clock, NULL);
}

static void confirm_gone(struct restart_store *store, const char *container, uint64_t change)
{
    char key[KEY_SIZE];
    key_restart(key, container);
    const char *argv[] = {"TYPE", key};
    struct restart_request *request = memory_alloc(sizeof *request);
    *request = (struct restart_request){
        .store = store, .container = memory_copy_text(container), .change = change, .before = store->before};
    ask_signs(store, on_evicted, on_time);
    if (redis_session_command(store->options.session, on_type, request, 2, argv, NULL) == 0) {
        store->looks++;
    } else {
        restart_entries_free_request(request);
    }
}

/* No operator's edit. What was made under another epoch its agent tells to who leads. */
static void keep_ours(struct restart_store *store, struct restart_entry *entry,
                      const struct restart_state *state)
{
    if (restart_entries_author(store, state) == AUTHOR_BEFORE) {
        log_info("The restart state of %s was overwritten under epoch %" PRIu64
                 ", which is over: written again",
                 entry->container, state->epoch);
        restart_entries_send_set(store, entry, NULL);
    }
}

static void take_edited(struct restart_store *store, struct restart_entry *entry, const char *bytes,
                        size_t len)
{
    struct restart_state state;
    struct err err;
    if (restart_state_decode(bytes, len, &state, &err) != 0) {
        restart_entries_warn_unreadable(store, entry->container, err.text);
        return;
    }
    bool is_of_ours = state.epoch == entry->state.epoch; /* which we may lead on behind, under the next one */
    if (!is_of_ours && restart_entries_author(store, &state) != AUTHOR_HERE) {
        keep_ours(store, entry, &state);
        restart_state_fini(&state);
        return;
    }
    log_info("The restart state of %s was changed in Redis: taken over", entry->container);
    restart_entries_align(store, &state);
    restart_entries_take(store, entry, &state, bytes, len);
    restart_state_fini(&state);
    restart_entries_keep(store, entry, JOURNAL_STORED);
    decider_state_reset(store->options.port.decider, entry->container, restart_entries_now(store),
                        clock_wall_now());
    restart_entries_tell_loaded(store, entry);
}

static void judge_key(struct restart_store *store, struct restart_entry *entry,
                      const struct redis_reply *value, uint64_t change)
{
    size_t len;
    const char *bytes = redis_reply_text(value, &len);
    if (redis_reply_type(value) == REDIS_REPLY_NONE) {
        confirm_gone(store, entry->container, change);
    } else if (bytes != NULL && !restart_entries_is_text(entry, bytes, len)) {
        take_edited(store, entry, bytes, len);
    }
}

static void on_looked(void *arg, const struct redis_reply *reply)
{
    struct restart_request *look = arg;
    struct restart_store *store = look->store;
    store->looks--;
    if (redis_reply_type(reply) == REDIS_REPLY_LIST && redis_reply_count(reply) == look->count + 1 &&
        redis_session_has_marker(store->options.session, redis_reply_at(reply, 0))) {
        for (size_t i = 0; i < look->count; i++) {
            struct restart_entry *entry = restart_entries_find(store, look->names[i]);
            if (entry != NULL && entry->changed <= look->change && !entry->is_deleted && !entry->is_pending) {
                judge_key(store, entry, redis_reply_at(reply, i + 1), look->change);
            }
        }
        decider_port_told(&store->options.port);
    }
    restart_entries_free_request(look);
}

static void send_look(struct restart_store *store, struct restart_request *look)
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
        restart_entries_free_request(look);
    }
}

static struct restart_request *new_look(struct restart_store *store)
{
    struct restart_request *look = memory_alloc(sizeof *look);
    *look = (struct restart_request){.store = store, .change = store->change};
    look->names = memory_grow(NULL, WATCH_CHUNK, sizeof *look->names);
    return look;
}

/* Our own keys do not run out while their container is judged: an expired key would look deleted. */
static void refresh(struct restart_store *store, struct restart_entry *entry)
{
    struct decider_view view;
    if (mono_diff(restart_entries_now(store), entry->written_at) > restart_entries_ttl_ms(store) / 2 &&
        !is_empty(&entry->state) && decider_look(store->options.port.decider, entry->container, &view)) {
        restart_entries_send_set(store, entry, NULL);
    }
}

void restart_watch_look(void *arg)
{
    struct restart_store *store = arg;
    if (store->is_following || !redis_session_is_ready(store->options.session) || store->looks > 0) {
        return;
    }
    struct restart_request *look = NULL;
    bool has_begun = false;
    struct restart_entry *entry, *next;
    HASH_ITER (hh, store->entries, entry, next) {
        if (entry->is_deleted) {
            continue;
        }
        if (entry->is_pending) {
            restart_entries_send_set(store, entry, NULL);
            continue;
        }
        refresh(store, entry);
        if (!has_begun) {
            ask_signs(store, on_evicted_at_first, on_time_at_first);
            has_begun = true;
        }
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
