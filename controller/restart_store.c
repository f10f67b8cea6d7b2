#include "controller/restart_store.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/memory.h"
#include "controller/restart_entries.h"
#include "controller/restart_watch.h"

enum { ENTRIES_MAX = 100000 };

void restart_store_save(struct restart_store *store, const char *container, uint64_t token,
                        const struct restart_state *state)
{
    struct restart_entry *entry = restart_entries_add(store, container);
    struct restart_state stamped = *state; /* borrows what it points to */
    restart_entries_stamp(store, &stamped);
    restart_entries_set(entry, &stamped);
    entry->is_unreadable = false;
    if (redis_session_is_ready(store->options.session) && restart_entries_send_set(store, entry, &token)) {
        return;
    }
    entry->changed = ++store->change;
    entry->is_pending = true;
    bool is_on_disk = restart_entries_journal(store, entry->container, JOURNAL_PENDING, entry->text);
    cleanup_free char *name = memory_copy_text(container); /* the decider's own text may go away */
    restart_entries_tell_stored(store, name, token, is_on_disk ? STORED_ON_DISK : STORED_NOWHERE);
}

void restart_store_forget(struct restart_store *store, const char *container)
{
    struct restart_entry *entry = restart_entries_find(store, container);
    if (entry == NULL) {
        return;
    }
    restart_state_fini(&entry->state);
    restart_state_init(&entry->state);
    free(entry->text);
    entry->text = NULL;
    entry->is_deleted = true;
    entry->is_pending = false; /* whatever was to be written before */
    if (!redis_session_is_ready(store->options.session) || !restart_entries_send_delete(store, entry)) {
        entry->changed = ++store->change;
        restart_entries_journal(store, entry->container, JOURNAL_DELETE, NULL);
    }
}

/* ---- start-up and return of Redis ---- */

static void take_journal_entry(void *arg, const char *container, enum journal_mark mark, const char *text)
{
    struct restart_store *store = arg;
    struct restart_state state;
    struct err err;
    if (mark == JOURNAL_DELETE) {
        restart_entries_add(store, container)->is_deleted = true;
        return;
    }
    if (restart_state_decode(text, strlen(text), &state, &err) != 0) {
        log_warning("The restart journal's entry of %s cannot be read: %s", container, err.text);
        return;
    }
    struct restart_entry *entry = restart_entries_add(store, container);
    restart_entries_set(entry, &state);
    restart_state_fini(&state);
    entry->is_pending = mark == JOURNAL_PENDING;
    entry->is_recalled = true;
}

static struct wall later_wall(struct wall left, struct wall right)
{
    return left.ms > right.ms ? left : right;
}

static bool is_older_than(const struct restart_state *state, int64_t age_ms)
{
    struct wall last = later_wall(state->last_attempt_at, state->last_completed_at);
    last = later_wall(last, state->cooldown_until);
    return last.ms > 0 && clock_wall_now().ms - last.ms > age_ms;
}

/* As old as a key that Redis would have dropped: of no use any more, and the journal stays small. */
static void drop_outlived(struct restart_store *store)
{
    struct restart_entry *entry, *next;
    HASH_ITER (hh, store->entries, entry, next) {
        if (!entry->is_deleted && is_older_than(&entry->state, restart_entries_ttl_ms(store))) {
            restart_entries_unkeep(store, entry->container);
            restart_entries_drop(store, entry);
        }
    }
}

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
    store->watch = loop_timer_new(options->port.loop, restart_watch_look, store);
    loop_timer_start(store->watch, options->watch_ms, options->watch_ms);
    *out = store;
    return 0;
}

void restart_store_close(struct restart_store *store)
{
    if (store == NULL) {
        return;
    }
    struct restart_entry *entry, *next;
    HASH_ITER (hh, store->entries, entry, next) {
        restart_entries_drop(store, entry);
    }
    loop_timer_free(store->watch);
    restart_journal_close(store->journal);
    free(store);
}

void restart_store_recall(struct restart_store *store)
{
    struct restart_entry *entry, *next;
    HASH_ITER (hh, store->entries, entry, next) {
        if (!entry->is_deleted) {
            restart_entries_tell_loaded(store, entry);
        }
    }
    decider_port_told(&store->options.port);
}

void restart_store_follow(struct restart_store *store)
{
    store->is_following = true;
}

void restart_store_lead(struct restart_store *store, uint64_t epoch, bool has_other_led)
{
    store->is_following = false;
    store->led_under = epoch;
    struct restart_entry *entry, *next;
    HASH_ITER (hh, store->entries, entry, next) {
        bool is_owed = entry->is_pending && !is_older_than(&entry->state, store->options.cooldown_ms);
        if (has_other_led && !is_owed) {
            restart_entries_unkeep(store, entry->container);
            restart_entries_drop(store, entry);
        }
    }
}

void restart_store_load_begin(struct restart_store *store, bool is_amnesic)
{
    store->is_amnesic = is_amnesic;
    store->since =
        (struct restart_signs){redis_session_known_evicted(store->options.session), RESTART_CLOCK_UNKNOWN};
    struct restart_entry *entry, *next;
    HASH_ITER (hh, store->entries, entry, next) {
        entry->was_seen = false;
        entry->is_unreadable = false;
        entry->is_edited = false;
        entry->is_moved = entry->is_recalled && restart_entries_align(store, &entry->state);
        entry->is_recalled = false;
    }
}

/* Ours and Redis' differ: where Redis had ours and lost nothing, somebody has changed it since. */
static void meet(struct restart_store *store, struct restart_entry *entry, const struct restart_state *state,
                 bool is_moved, const char *bytes, size_t len)
{
    if (restart_entries_is_text(entry, bytes, len)) {
        entry->is_pending = false;
    } else if (!entry->is_pending && restart_entries_author(store, state) == AUTHOR_BEFORE &&
               restart_entries_author(store, &entry->state) == AUTHOR_HERE) {
        entry->is_pending = true; /* ours is newer */
    } else if (!entry->is_pending && !store->is_amnesic) {
        restart_entries_take(store, entry, state, bytes, len);
        entry->is_edited = true;
        entry->is_moved = is_moved;
    } else {
        struct restart_state merged;
        restart_state_copy(&entry->state, &merged);
        restart_state_merge(&merged, state);
        restart_entries_set(entry, &merged);
        restart_state_fini(&merged);
        entry->is_pending = true;
    }
}

void restart_store_load_value(struct restart_store *store, const char *container, const char *bytes,
                              size_t len)
{
    struct restart_state state;
    struct err err;
    struct restart_entry *entry = restart_entries_find(store, container);
    if (store->is_following) {
        return;
    }
    if (restart_state_decode(bytes, len, &state, &err) != 0) {
        restart_entries_warn_unreadable(store, container, err.text);
        if (entry != NULL) {
            entry->was_seen = true;
            entry->is_unreadable = true;
        }
        return;
    }
    bool is_moved = restart_entries_align(store, &state);
    if (entry == NULL && HASH_COUNT(store->entries) < ENTRIES_MAX) {
        entry = restart_entries_add(store, container);
        restart_entries_take(store, entry, &state, bytes, len);
        entry->is_moved = is_moved;
    } else if (entry != NULL && !entry->is_deleted) {
        meet(store, entry, &state, is_moved, bytes, len);
    }
    if (entry != NULL) {
        entry->was_seen = true;
    }
    restart_state_fini(&state);
}

void restart_store_load_end(struct restart_store *store)
{
    struct restart_entry *entry, *next;
    HASH_ITER (hh, store->entries, entry, next) {
        if (store->is_following) {
            continue;
        }
        if (entry->is_deleted) {
            restart_entries_send_delete(store, entry);
        } else {
            /* Whether somebody deleted it is for the watch to find out. */
            bool is_gone = !entry->was_seen && !entry->is_pending && !store->is_amnesic;
            if (entry->is_edited) {
                decider_state_reset(store->options.port.decider, entry->container, restart_entries_now(store),
                                    clock_wall_now());
            }
            restart_entries_tell_loaded(store, entry);
            bool is_to_be_ours =
                entry->is_moved || restart_entries_author(store, &entry->state) != AUTHOR_HERE;
            if (is_to_be_ours) {
                entry->state.epoch = restart_entries_epoch(store);
                restart_entries_set(entry, &entry->state);
            }
            if (is_gone) {
                entry->written_at = restart_entries_now(store);
                loop_timer_start(store->watch, 0, store->options.watch_ms);
            } else if (!entry->was_seen || entry->is_pending || entry->is_unreadable || is_to_be_ours) {
                restart_entries_write_back(store, entry);
            } else {
                restart_entries_keep(store, entry, JOURNAL_STORED);
            }
        }
    }
}

size_t restart_store_pending(const struct restart_store *store)
{
    return store->pending;
}
