/*
 * What restart_store and restart_watch share: the table of restart states, its journal, and the writes to
 * Redis that answer later. Nobody else includes it.
 */
#ifndef DEFIB_CONTROLLER_RESTART_ENTRIES_H
#define DEFIB_CONTROLLER_RESTART_ENTRIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uthash.h>

#include "common/clock.h"
#include "common/loop.h"
#include "controller/restart_journal.h"
#include "controller/restart_store.h"
#include "proto/restart_state.h"

struct restart_entry {
    char *container;
    struct restart_state state;
    char *text;         /* as we wrote it, or as it was read */
    bool is_pending;    /* Redis may lack it */
    bool is_recalled;   /* from the journal; our clock may have been set since it was written */
    bool is_deleted;    /* the key is yet to be deleted; state and text are empty */
    bool was_seen;      /* by the load under way */
    bool is_edited;     /* so did the load find it */
    bool is_moved;      /* and written by another clock: it is written by ours */
    bool is_unreadable; /* what stands in Redis is none; ours counts */
    uint64_t changed;   /* store->change at the last write: answers to older looks are stale */
    struct mono written_at;
    UT_hash_handle hh;
};

/* Of keys that are gone although nobody deleted them. */
#define RESTART_CLOCK_UNKNOWN INT64_MIN
struct restart_signs {
    uint64_t evicted; /* keys, by this run of Redis */
    int64_t ahead_ms; /* its wall clock, by which keys run out, before our monotonic one */
};

struct restart_store {
    struct restart_store_options options;
    struct restart_journal *journal;
    struct loop_timer *watch;
    struct restart_entry *entries;
    uint64_t change;
    bool is_following;
    uint64_t led_under; /* the epoch when we began to lead */
    bool is_amnesic;    /* the load under way */
    size_t pending;     /* writes without an answer */
    size_t looks;       /* of the watch, without an answer */
    /* When the look before began, when the last one began, and by now. */
    struct restart_signs before, since, now;
};

/* One write or look under way. */
struct restart_request {
    struct restart_store *store;
    char *container;
    char *text;     /* SET: what was written; NULL: DEL */
    bool has_token; /* the decider waits for it */
    uint64_t token;
    uint64_t change;
    struct restart_signs before; /* looks after what is gone */
    size_t count;                /* looks */
    char **names;
};

struct mono restart_entries_now(const struct restart_store *store);
int64_t restart_entries_ttl_ms(const struct restart_store *store);

struct restart_entry *restart_entries_find(const struct restart_store *store, const char *container);
struct restart_entry *restart_entries_add(struct restart_store *store, const char *container); /* or finds */
void restart_entries_drop(struct restart_store *store, struct restart_entry *entry);

/* A copy, with the text that it encodes to. */
void restart_entries_set(struct restart_entry *entry, const struct restart_state *state);

/* Notes how our clock stands to Redis' where that is known, for whoever reads the state by another clock. */
void restart_entries_stamp(const struct restart_store *store, struct restart_state *state);

/* Read by our clock from now on. True where it was written by another one, or by ours before it was set: its
 * times were moved. */
bool restart_entries_align(const struct restart_store *store, struct restart_state *state);

/* Ours; the decider hears of the first one late. */
uint64_t restart_entries_epoch(const struct restart_store *store);

/* Who wrote it: an operator, or we; one who leads no more, and does not know it yet; one who leads since. */
enum restart_author { AUTHOR_HERE, AUTHOR_BEFORE, AUTHOR_SINCE };
enum restart_author restart_entries_author(const struct restart_store *store,
                                           const struct restart_state *state);

/* As it stands in Redis, with those very bytes, so that the watch does not take them for new. */
void restart_entries_take(struct restart_store *store, struct restart_entry *entry,
                          const struct restart_state *state, const char *bytes, size_t len);
bool restart_entries_is_text(const struct restart_entry *entry, const char *bytes, size_t len);

/* The journal; what it cannot write is warned of here. */
bool restart_entries_journal(struct restart_store *store, const char *container, enum journal_mark mark,
                             const char *text);
void restart_entries_keep(struct restart_store *store, const struct restart_entry *entry,
                          enum journal_mark mark);
void restart_entries_unkeep(struct restart_store *store, const char *container);

/* False where Redis is away. `token` NULL: the decider does not wait for it. */
bool restart_entries_send_set(struct restart_store *store, struct restart_entry *entry,
                              const uint64_t *token);
bool restart_entries_send_delete(struct restart_store *store, struct restart_entry *entry);
void restart_entries_free_request(struct restart_request *request);

void restart_entries_tell_stored(struct restart_store *store, const char *container, uint64_t token,
                                 enum stored_in where);
void restart_entries_tell_loaded(struct restart_store *store, const struct restart_entry *entry);
void restart_entries_warn_unreadable(struct restart_store *store, const char *container, const char *cause);

/* Redis lacks it, and nobody deleted it. Journalled as pending first, so that a crash between here and Redis'
 * answer changes nothing. */
void restart_entries_write_back(struct restart_store *store, struct restart_entry *entry);

/* Somebody deleted the key: drops the entry, tells the decider. */
void restart_entries_reset(struct restart_store *store, struct restart_entry *entry);

#endif
