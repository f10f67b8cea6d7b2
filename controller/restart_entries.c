#include "controller/restart_entries.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fault.h"
#include "common/log.h"
#include "common/memory.h"
#include "proto/keys.h"

enum { TTL_BEYOND_COOLDOWN_MS = 3600 * 1000, TTL_SIZE = 24 };

/* An answer of Redis' takes its time, and stored times are cut to seconds. */
static const int64_t CLOCK_TOLERANCE_MS = 2000;

struct mono restart_entries_now(const struct restart_store *store)
{
    return decider_port_now(&store->options.port);
}

int64_t restart_entries_ttl_ms(const struct restart_store *store)
{
    return store->options.cooldown_ms + TTL_BEYOND_COOLDOWN_MS;
}

struct restart_entry *restart_entries_find(const struct restart_store *store, const char *container)
{
    struct restart_entry *entry;
    HASH_FIND_STR(store->entries, container, entry);
    return entry;
}

struct restart_entry *restart_entries_add(struct restart_store *store, const char *container)
{
    struct restart_entry *entry = restart_entries_find(store, container);
    if (entry == NULL) {
        entry = memory_alloc(sizeof *entry);
        entry->container = memory_copy_text(container);
        restart_state_init(&entry->state);
        HASH_ADD_KEYPTR(hh, store->entries, entry->container, strlen(entry->container), entry);
    }
    return entry;
}

void restart_entries_drop(struct restart_store *store, struct restart_entry *entry)
{
    HASH_DEL(store->entries, entry);
    restart_state_fini(&entry->state);
    free(entry->container);
    free(entry->text);
    free(entry);
}

void restart_entries_set(struct restart_entry *entry, const struct restart_state *state)
{
    struct restart_state copy;
    restart_state_copy(state, &copy);
    restart_state_fini(&entry->state);
    entry->state = copy;
    free(entry->text);
    size_t len;
    entry->text = restart_state_encode(state, &len);
    entry->is_deleted = false;
    entry->is_recalled = false;
}

static bool clock_ahead_ms(const struct restart_store *store, int64_t *out)
{
    struct wall theirs;
    if (!redis_session_wall(store->options.session, restart_entries_now(store), &theirs)) {
        return false;
    }
    *out = clock_wall_now().ms - theirs.ms;
    return true;
}

void restart_entries_stamp(const struct restart_store *store, struct restart_state *state)
{
    state->has_clock_ahead = clock_ahead_ms(store, &state->clock_ahead_ms);
}

bool restart_entries_align(const struct restart_store *store, struct restart_state *state)
{
    int64_t ahead_ms;
    if (!state->has_clock_ahead || !clock_ahead_ms(store, &ahead_ms)) {
        return false;
    }
    int64_t shift_ms = ahead_ms - state->clock_ahead_ms;
    if (shift_ms >= -CLOCK_TOLERANCE_MS && shift_ms <= CLOCK_TOLERANCE_MS) {
        return false;
    }
    restart_state_shift(state, shift_ms);
    state->clock_ahead_ms = ahead_ms;
    return true;
}

uint64_t restart_entries_epoch(const struct restart_store *store)
{
    uint64_t told = decider_epoch(store->options.port.decider);
    return told > store->led_under ? told : store->led_under;
}

enum restart_author restart_entries_author(const struct restart_store *store,
                                           const struct restart_state *state)
{
    uint64_t ours = restart_entries_epoch(store);
    if (state->epoch == 0 || state->epoch == ours) {
        return AUTHOR_HERE;
    }
    return state->epoch < ours ? AUTHOR_BEFORE : AUTHOR_SINCE;
}

void restart_entries_free_request(struct restart_request *request)
{
    for (size_t i = 0; i < request->count; i++) {
        free(request->names[i]);
    }
    free(request->names);
    free(request->container);
    free(request->text);
    free(request);
}

bool restart_entries_journal(struct restart_store *store, const char *container, enum journal_mark mark,
                             const char *text)
{
    struct err err;
    if (restart_journal_put(store->journal, container, mark, text, &err) == 0) {
        return true;
    }
    warning_limiter_warn(store->options.warnings, RESTART_JOURNAL_FILE, restart_entries_now(store),
                         "Cannot write the restart journal: %s", err.text);
    return false;
}

void restart_entries_keep(struct restart_store *store, const struct restart_entry *entry,
                          enum journal_mark mark)
{
    size_t len;
    cleanup_free char *text = restart_state_encode(&entry->state, &len);
    restart_entries_journal(store, entry->container, mark, text);
}

void restart_entries_unkeep(struct restart_store *store, const char *container)
{
    struct err err;
    if (restart_journal_drop(store->journal, container, &err) != 0) {
        warning_limiter_warn(store->options.warnings, RESTART_JOURNAL_FILE, restart_entries_now(store),
                             "Cannot write the restart journal: %s", err.text);
    }
}

void restart_entries_tell_stored(struct restart_store *store, const char *container, uint64_t token,
                                 enum stored_in where)
{
    decider_stored(store->options.port.decider, container, token, where, restart_entries_now(store),
                   clock_wall_now());
    decider_port_told(&store->options.port);
}

/* ---- writes ---- */

static void on_set(void *arg, const struct redis_reply *reply)
{
    struct restart_request *request = arg;
    struct restart_store *store = request->store;
    store->pending--;
    struct restart_entry *entry = restart_entries_find(store, request->container);
    bool is_newest = entry != NULL && entry->changed == request->change;
    enum stored_in where =
        redis_session_took_write(store->options.session, reply) ? STORED_IN_REDIS : STORED_NOWHERE;
    if (where == STORED_IN_REDIS) {
        if (is_newest) {
            entry->is_pending = false;
            restart_entries_journal(store, request->container, JOURNAL_STORED, request->text);
        }
    } else if (is_newest) {
        entry->is_pending = true;
        where = restart_entries_journal(store, request->container, JOURNAL_PENDING, request->text)
                    ? STORED_ON_DISK
                    : STORED_NOWHERE;
    }
    if (request->has_token) {
        FAULT_POINT("controller_stored");
        restart_entries_tell_stored(store, request->container, request->token, where);
    }
    restart_entries_free_request(request);
}

bool restart_entries_send_set(struct restart_store *store, struct restart_entry *entry, const uint64_t *token)
{
    struct restart_request *request = memory_alloc(sizeof *request);
    *request = (struct restart_request){.store = store,
                                        .container = memory_copy_text(entry->container),
                                        .text = memory_copy_text(entry->text),
                                        .has_token = token != NULL,
                                        .token = token == NULL ? 0 : *token,
                                        .change = ++store->change};
    char key[KEY_SIZE], ttl[TTL_SIZE];
    key_restart(key, entry->container);
    snprintf(ttl, sizeof ttl, "%" PRId64, restart_entries_ttl_ms(store));
    const char *argv[] = {"SET", key, entry->text, "PX", ttl};
    entry->changed = request->change;
    entry->written_at = restart_entries_now(store);
    if (redis_session_command(store->options.session, on_set, request, 5, argv, NULL) != 0) {
        restart_entries_free_request(request);
        return false;
    }
    store->pending++;
    return true;
}

void restart_entries_write_back(struct restart_store *store, struct restart_entry *entry)
{
    entry->is_pending = true;
    restart_entries_keep(store, entry, JOURNAL_PENDING);
    restart_entries_send_set(store, entry, NULL);
}

static void on_deleted(void *arg, const struct redis_reply *reply)
{
    struct restart_request *request = arg;
    struct restart_store *store = request->store;
    store->pending--;
    struct restart_entry *entry = restart_entries_find(store, request->container);
    bool is_done = redis_session_took_write(store->options.session, reply);
    if (entry != NULL && entry->is_deleted && entry->changed == request->change) {
        if (is_done) {
            restart_entries_unkeep(store, request->container);
            restart_entries_drop(store, entry);
        } else {
            restart_entries_journal(store, request->container, JOURNAL_DELETE, NULL);
        }
    }
    restart_entries_free_request(request);
}

bool restart_entries_send_delete(struct restart_store *store, struct restart_entry *entry)
{
    struct restart_request *request = memory_alloc(sizeof *request);
    *request = (struct restart_request){
        .store = store, .container = memory_copy_text(entry->container), .change = ++store->change};
    char key[KEY_SIZE];
    key_restart(key, entry->container);
    const char *argv[] = {"DEL", key};
    entry->changed = request->change;
    if (redis_session_command(store->options.session, on_deleted, request, 2, argv, NULL) != 0) {
        restart_entries_free_request(request);
        return false;
    }
    store->pending++;
    return true;
}

void restart_entries_tell_loaded(struct restart_store *store, const struct restart_entry *entry)
{
    decider_state_loaded(store->options.port.decider, entry->container, &entry->state,
                         restart_entries_now(store), clock_wall_now());
}

void restart_entries_warn_unreadable(struct restart_store *store, const char *container, const char *cause)
{
    char key[KEY_SIZE];
    key_restart(key, container);
    warning_limiter_warn(store->options.warnings, key, restart_entries_now(store),
                         "Key %s cannot be read: %s; taken as absent and written over at the next store", key,
                         cause);
}

bool restart_entries_is_text(const struct restart_entry *entry, const char *bytes, size_t len)
{
    return entry->text != NULL && strlen(entry->text) == len && memcmp(entry->text, bytes, len) == 0;
}

void restart_entries_take(struct restart_store *store, struct restart_entry *entry,
                          const struct restart_state *state, const char *bytes, size_t len)
{
    restart_entries_set(entry, state);
    free(entry->text);
    entry->text = strndup(bytes, len);
    entry->is_pending = false;
    entry->written_at = restart_entries_now(store);
}

void restart_entries_reset(struct restart_store *store, struct restart_entry *entry)
{
    cleanup_free char *name = memory_copy_text(entry->container);
    restart_entries_drop(store, entry);
    restart_entries_unkeep(store, name);
    log_info("The restart state of %s was deleted in Redis: a fresh budget", name);
    decider_state_reset(store->options.port.decider, name, restart_entries_now(store), clock_wall_now());
}
