#include "agent/core/container_table.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "agent/core/container_entry.h"
#include "agent/core/container_labels.h"
#include "agent/core/stop_records.h"
#include "common/memory.h"

struct container_table {
    const struct container_table_config *config;
    struct container_labels *labels;
    struct container_entry *entries;      /* by id, in the order of first sight */
    struct container_entry *removed;      /* by id, not yet handed out */
    struct container_entry *last_removed; /* handed out: freed at the next call */
    uint64_t change;
    uint64_t save_change;
    uint64_t drained_at;        /* the change up to which all were handed out */
    uint64_t calls;             /* that may have made an inspect necessary */
    uint64_t inspected_at;      /* of those, when none was */
    uint64_t all_up_at;         /* of those, when none was down */
    struct mono wake_at;        /* not later than the first entry's */
    struct stop_records loaded; /* from disk, and the sticky names of Redis containers */
    struct self_finder_redis redis;
    bool has_redis;
    enum container_daemon daemon;
    struct mono daemon_seen_at; /* asked then over a new connection, it answered */
    bool is_daemon_going;       /* nobody listens any more, although the stream is still there */
    bool is_booted;             /* the host or dockerd was started since the records were written */
    bool has_swept, is_whole;
    char (*own_ids)[LIMIT_ID_SIZE]; /* own commands in flight */
    size_t own_count;
};

struct container_table *container_table_new(const struct container_table_config *config)
{
    struct container_table *table = memory_alloc(sizeof *table);
    table->config = config;
    table->labels = container_labels_new(config);
    table->daemon = CONTAINER_DAEMON_UNKNOWN;
    table->wake_at = MONO_NEVER;
    return table;
}

static void free_all(struct container_entry **entries)
{
    struct container_entry *entry, *next;
    HASH_ITER (hh, *entries, entry, next) {
        HASH_DEL(*entries, entry);
        free(entry);
    }
}

void container_table_free(struct container_table *table)
{
    if (table == NULL) {
        return;
    }
    container_labels_free(table->labels);
    free_all(&table->entries);
    free_all(&table->removed);
    free(table->last_removed);
    free(table->own_ids);
    stop_records_fini(&table->loaded);
    free(table);
}

/* ---- looking ---- */

static struct container_entry *find(const struct container_table *table, const char *id)
{
    struct container_entry *entry;
    HASH_FIND_STR(table->entries, id, entry);
    return entry;
}

const struct container *container_table_by_id(const struct container_table *table, const char *id)
{
    const struct container_entry *entry = find(table, id);
    return entry == NULL ? NULL : &entry->pub;
}

/* `left` was seen first later. */
static bool is_better(const struct container_entry *left, const struct container_entry *right)
{
    return !container_entry_is_down(left) || container_entry_is_down(right);
}

const struct container *container_table_by_name(const struct container_table *table, const char *fleet_name)
{
    const struct container_entry *best = NULL;
    for (const struct container_entry *entry = table->entries; entry != NULL; entry = entry->hh.next) {
        bool is_named = strcmp(entry->pub.name, fleet_name) == 0;
        if (is_named && (best == NULL || is_better(entry, best))) {
            best = entry;
        }
    }
    return best == NULL ? NULL : &best->pub;
}

size_t container_table_count(const struct container_table *table)
{
    return HASH_COUNT(table->entries);
}

const struct container *container_table_next(const struct container_table *table,
                                             const struct container *previous)
{
    const struct container_entry *entry = table->entries;
    if (previous != NULL) {
        entry = ((const struct container_entry *)previous)->hh.next;
    }
    return entry == NULL ? NULL : &entry->pub;
}

bool container_table_is_denied(const struct container *container, const char **why)
{
    const struct container_spec *spec = &container->spec;
    *why = spec->is_own                          ? "own"
           : spec->is_redis_in_use               ? "redis_in_use"
           : spec->is_denied_by_agent            ? "deny_list"
           : spec->restart == RESTART_LABEL_DENY ? "label"
                                                 : "";
    return (*why)[0] != '\0';
}

bool container_table_is_parent_down(const struct container_table *table, const struct container *container)
{
    const struct container *parent = container_table_by_id(table, container->spec.network_parent);
    return parent != NULL && parent->state != CONTAINER_RUNNING && parent->state != CONTAINER_PAUSED;
}

uint64_t container_table_change(const struct container_table *table)
{
    return table->change;
}

uint64_t container_table_save_change(const struct container_table *table)
{
    return table->save_change;
}

/* ---- changes ---- */

static void touch(struct container_table *table, struct container_entry *entry)
{
    entry->is_changed = true;
    entry->pub.change = ++table->change;
}

/* Judges, and tells whether anything is different from `before`. */
static void settle(struct container_table *table, struct container_entry *entry,
                   const struct container *before, struct mono now)
{
    container_entry_judge(entry, &table->config->stop, table->daemon_seen_at, now);
    table->wake_at = mono_min(table->wake_at, entry->wake_at);
    const struct container *pub = &entry->pub;
    bool is_saved_different = before->stop_class != pub->stop_class || before->state != pub->state ||
                              before->spec.is_redis_in_use != pub->spec.is_redis_in_use;
    table->save_change += is_saved_different;
    /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): stray padding costs one needless change */
    if (memcmp(before, pub, sizeof *pub) != 0) {
        touch(table, entry);
    }
}

const struct container *container_table_next_changed(struct container_table *table, bool *is_removed)
{
    free(table->last_removed);
    table->last_removed = table->removed;
    if (table->last_removed != NULL) {
        HASH_DEL(table->removed, table->last_removed);
        *is_removed = true;
        return &table->last_removed->pub;
    }
    *is_removed = false;
    if (table->drained_at == table->change) {
        return NULL;
    }
    bool has_unready = false;
    for (struct container_entry *entry = table->entries; entry != NULL; entry = entry->hh.next) {
        if (entry->is_changed && entry->pub.is_inspected && !entry->is_start_pending) {
            entry->is_changed = false;
            return &entry->pub;
        }
        has_unready |= entry->is_changed;
    }
    table->drained_at = has_unready ? UINT64_MAX : table->change;
    return NULL;
}

/* ---- entries ---- */

static bool is_own_open(const struct container_table *table, const char *id)
{
    for (size_t i = 0; i < table->own_count; i++) {
        if (strcmp(table->own_ids[i], id) == 0) {
            return true;
        }
    }
    return false;
}

static const struct stop_record *find_record(const struct container_table *table, const char *id)
{
    for (size_t i = 0; i < table->loaded.dead_count; i++) {
        if (strcmp(table->loaded.dead[i].id, id) == 0) {
            return &table->loaded.dead[i];
        }
    }
    return NULL;
}

static bool was_app_beating(const struct container_table *table, const char *id)
{
    for (size_t i = 0; i < table->loaded.app_count; i++) {
        if (strcmp(table->loaded.app_beating[i], id) == 0) {
            return true;
        }
    }
    return false;
}

static struct container_entry *add(struct container_table *table, const char *id)
{
    struct container_entry *entry = memory_alloc(sizeof *entry);
    struct container *pub = &entry->pub;
    memory_set_text(pub->id, sizeof pub->id, id);
    container_spec_init(&pub->spec);
    pub->stop_class = STOP_NONE;
    pub->engine_stop_timeout_secs = -1;
    pub->spec.is_app_beating = was_app_beating(table, id);
    entry->wake_at = MONO_NEVER;
    entry->need = INSPECT_WANTED;
    entry->own_until = is_own_open(table, id) ? MONO_NEVER : (struct mono){0};
    entry->is_shutdown_expected = table->is_booted;
    HASH_ADD_STR(table->entries, pub.id, entry);
    return entry;
}

/* The record of an earlier life counts for the incarnation that it was written about. */
static void use_record(struct container_table *table, struct container_entry *entry, const char *incarnation,
                       struct mono now)
{
    const struct stop_record *record = find_record(table, entry->pub.id);
    if (record == NULL || strcmp(record->incarnation, incarnation) != 0 || entry->evidence.has_died) {
        return;
    }
    /* Whatever event was still to come has come while nobody looked. */
    struct mono died_at = mono_add(now, -table->config->stop.stop_settle_ms);
    container_entry_restore(entry, &record->evidence, died_at, now);
    /* A stop that was not settled yet, and the daemon did not stay: nobody saw its stream end. */
    bool is_shutdown = entry->is_shutdown_expected || table->daemon == CONTAINER_DAEMON_NEW;
    entry->evidence.is_daemon_gone |= is_shutdown && entry->evidence.has_stopped;
}

static void remove_entry(struct container_table *table, struct container_entry *entry)
{
    HASH_DEL(table->entries, entry);
    table->save_change++;
    if (!entry->pub.is_inspected) {
        free(entry);
        return;
    }
    entry->pub.state = CONTAINER_REMOVING;
    entry->pub.change = ++table->change;
    HASH_ADD_STR(table->removed, pub.id, entry);
}

/* ---- events and lists ---- */

static enum container_stopper stopper_of(const struct container_table *table, bool is_history)
{
    if (table->is_daemon_going || (is_history && table->daemon == CONTAINER_DAEMON_NEW)) {
        return CONTAINER_STOPPER_DAEMON;
    }
    bool is_proven = !is_history || table->daemon == CONTAINER_DAEMON_SAME;
    return is_proven ? CONTAINER_STOPPER_OPERATOR : CONTAINER_STOPPER_UNKNOWN;
}

void container_table_event(struct container_table *table, const struct engine_event *event, bool is_history,
                           struct mono now)
{
    table->calls++;
    struct container_entry *entry = find(table, event->id);
    if (event->action == ENGINE_ACTION_DESTROY) {
        container_labels_forget(table->labels, event->id);
        if (entry != NULL) {
            remove_entry(table, entry);
        }
        return;
    }
    if (entry == NULL) {
        if (event->action == ENGINE_ACTION_OTHER ||
            !container_labels_is_watched(table->labels, event->name, &event->labels)) {
            container_labels_report_unwatched(table->labels, event->id, event->name, &event->labels);
            return;
        }
        entry = add(table, event->id);
        container_labels_name(table->labels, event->name, &event->labels, &entry->pub);
    }
    struct container before = entry->pub;
    bool was_gone = entry->evidence.is_daemon_gone;
    container_entry_event(entry, event, stopper_of(table, is_history), now);
    entry->is_accused |= table->is_daemon_going && entry->evidence.is_daemon_gone && !was_gone;
    settle(table, entry, &before, now);
}

void container_table_sweep_begin(struct container_table *table)
{
    for (struct container_entry *entry = table->entries; entry != NULL; entry = entry->hh.next) {
        entry->is_marked = true;
    }
}

static bool is_different(const struct container_entry *entry, const struct engine_summary *row)
{
    const struct container *pub = &entry->pub;
    bool is_up = row->state == CONTAINER_RUNNING;
    /* A start that failed leaves it as `created`, without an event: only an inspect shows the error. */
    bool is_created = row->state == CONTAINER_CREATED;
    return !pub->is_inspected || is_created || strcmp(pub->docker_name, row->name) != 0 ||
           pub->state != row->state || (is_up && pub->health != row->health);
}

static void sweep_row(struct container_table *table, const struct engine_summary *row,
                      enum container_sweep what)
{
    struct container_entry *entry = find(table, row->id);
    if (entry == NULL) {
        if (container_labels_is_watched(table->labels, row->name, &row->labels)) {
            entry = add(table, row->id);
            container_labels_name(table->labels, row->name, &row->labels, &entry->pub);
        } else {
            container_labels_report_unwatched(table->labels, row->id, row->name, &row->labels);
        }
        return;
    }
    entry->is_marked = false;
    bool is_idle = entry->need == INSPECT_NONE || entry->need == INSPECT_FAILED;
    if (is_idle && (what == CONTAINER_SWEEP_ALL || is_different(entry, row))) {
        entry->need = INSPECT_WANTED;
    }
}

static bool is_awaited(const struct container_entry *entry)
{
    return !entry->pub.is_inspected && entry->need != INSPECT_FAILED;
}

static void check_whole(struct container_table *table)
{
    if (table->is_whole || !table->has_swept) {
        return;
    }
    for (const struct container_entry *entry = table->entries; entry != NULL; entry = entry->hh.next) {
        if (is_awaited(entry)) {
            return;
        }
    }
    table->is_whole = true;
}

bool container_table_is_whole(const struct container_table *table)
{
    return table->is_whole;
}

void container_table_sweep(struct container_table *table, const struct engine_summary *rows, size_t count,
                           enum container_sweep what, struct mono now)
{
    table->calls++;
    (void)now;
    for (size_t i = 0; i < count; i++) {
        sweep_row(table, &rows[i], what);
    }
    struct container_entry *entry, *next;
    HASH_ITER (hh, table->entries, entry, next) {
        if (entry->is_marked) {
            remove_entry(table, entry);
        }
    }
    table->is_booted = false;
    table->has_swept = true;
    check_whole(table);
}

bool container_table_has_swept(const struct container_table *table)
{
    return table->has_swept;
}

/* ---- inspects ---- */

const char *container_table_next_inspect(struct container_table *table)
{
    if (table->inspected_at == table->calls) {
        return NULL;
    }
    for (struct container_entry *entry = table->entries; entry != NULL; entry = entry->hh.next) {
        if (entry->need == INSPECT_WANTED) {
            entry->need = INSPECT_ASKED;
            return entry->pub.id;
        }
    }
    table->inspected_at = table->calls;
    return NULL;
}

static bool is_sticky_redis(const struct container_table *table, const char *docker_name)
{
    for (size_t i = 0; i < table->loaded.redis_count; i++) {
        if (strcmp(table->loaded.redis_names[i], docker_name) == 0) {
            return true;
        }
    }
    return false;
}

static void set_spec(struct container_table *table, struct container_entry *entry,
                     const struct engine_container *facts)
{
    struct container *pub = &entry->pub;
    struct container_spec spec;
    memset(&spec, 0, sizeof spec); /* bytes between and behind its texts too: settle compares all of them */
    container_spec_init(&spec);
    container_labels_spec(table->labels, pub->name, !entry->are_labels_reported, &facts->labels, &spec);
    entry->are_labels_reported = true;
    bool is_redis = table->has_redis && self_finder_is_redis(facts, &table->redis);
    if (is_redis && !is_sticky_redis(table, facts->name) && table->loaded.redis_count < ENGINE_ALIASES) {
        stop_records_add_redis(&table->loaded, facts->name);
    }
    spec.is_app_beating = pub->spec.is_app_beating;
    spec.is_own = self_finder_is_own(facts, table->config->self_id);
    spec.is_redis_in_use = is_redis || pub->spec.is_redis_in_use || is_sticky_redis(table, facts->name);
    spec.is_denied_by_agent = name_patterns_match(table->config->deny, pub->name);
    spec.has_healthcheck = facts->has_healthcheck;
    spec.healthcheck_grace_ms = facts->healthcheck_grace_ms;
    spec.docker_policy = facts->policy;
    spec.docker_policy_max = facts->policy_max;
    memory_set_text(spec.network_parent, sizeof spec.network_parent, facts->network_parent);
    pub->spec = spec;
}

void container_table_inspected(struct container_table *table, const struct engine_container *facts,
                               struct mono now)
{
    table->calls++;
    struct container_entry *entry = find(table, facts->id);
    if (entry == NULL) {
        return;
    }
    if (entry->need == INSPECT_STALE) {
        entry->need = INSPECT_WANTED;
        return;
    }
    if (!container_labels_is_watched(table->labels, facts->name, &facts->labels)) {
        remove_entry(table, entry);
        check_whole(table);
        return;
    }
    struct container before = entry->pub;
    if (!entry->pub.is_inspected) {
        use_record(table, entry, facts->started_at, now);
    }
    container_labels_name(table->labels, facts->name, &facts->labels, &entry->pub);
    set_spec(table, entry, facts);
    container_entry_inspected(entry, facts, now);
    settle(table, entry, &before, now);
    check_whole(table);
}

void container_table_inspect_gone(struct container_table *table, const char *id, struct mono now)
{
    (void)now;
    struct container_entry *entry = find(table, id);
    if (entry != NULL) {
        remove_entry(table, entry);
        check_whole(table);
    }
}

void container_table_inspect_failed(struct container_table *table, const char *id)
{
    struct container_entry *entry = find(table, id);
    if (entry != NULL && (entry->need == INSPECT_ASKED || entry->need == INSPECT_STALE)) {
        entry->need = INSPECT_FAILED;
        check_whole(table);
    }
}

void container_table_retry_inspects(struct container_table *table)
{
    table->calls++;
    for (struct container_entry *entry = table->entries; entry != NULL; entry = entry->hh.next) {
        if (entry->need == INSPECT_FAILED) {
            entry->need = INSPECT_WANTED;
        }
    }
}

/* ---- the daemon and the host ---- */

/* What was stopped so far was stopped by a daemon that goes down. */
static void accuse_daemon(struct container_table *table, struct mono now)
{
    for (struct container_entry *entry = table->entries; entry != NULL; entry = entry->hh.next) {
        struct container before = entry->pub;
        entry->is_accused |= entry->evidence.has_stopped && !entry->evidence.is_daemon_gone;
        entry->evidence.is_daemon_gone |= entry->evidence.has_stopped;
        settle(table, entry, &before, now);
    }
}

/* An interrupted connection, nothing more: the stop before it may well be an operator's. What an earlier
 * daemon stopped stays a shutdown's. */
static void forgive_loss(struct container_entry *entry)
{
    if (entry->is_accused && !entry->evidence.is_blind) {
        entry->evidence.is_daemon_gone = false;
    }
    entry->is_accused = false;
}

void container_table_stream_lost(struct container_table *table, struct mono now)
{
    table->daemon = CONTAINER_DAEMON_UNKNOWN;
    table->is_daemon_going = false;
    accuse_daemon(table, now);
}

void container_table_daemon_going(struct container_table *table, struct mono now)
{
    if (!table->is_daemon_going) {
        table->is_daemon_going = true;
        accuse_daemon(table, now);
    }
}

void container_table_daemon_answered(struct container_table *table, struct mono asked_at, struct mono now)
{
    table->daemon_seen_at = asked_at;
    if (table->all_up_at == table->calls && !table->is_daemon_going) {
        return;
    }
    bool is_any_down = false;
    for (struct container_entry *entry = table->entries; entry != NULL; entry = entry->hh.next) {
        if (table->is_daemon_going) {
            forgive_loss(entry);
        }
        if (container_entry_is_down(entry)) { /* only a stop is judged by it */
            struct container before = entry->pub;
            settle(table, entry, &before, now);
            is_any_down = true;
        }
    }
    table->is_daemon_going = false;
    table->all_up_at = is_any_down ? 0 : table->calls;
}

bool container_table_wants_proof(const struct container_table *table)
{
    for (const struct container_entry *entry = table->entries; entry != NULL; entry = entry->hh.next) {
        if (entry->pub.stop_class == STOP_SETTLING && entry->evidence.has_stopped) {
            return true;
        }
    }
    return false;
}

void container_table_stream_back(struct container_table *table, enum container_daemon daemon,
                                 bool is_live_restore, struct mono now)
{
    table->daemon = daemon;
    /* As after a boot: what an earlier life of ours left running went down with the daemon. */
    bool is_first = !table->has_swept && table->loaded.has_seen;
    table->is_booted |= is_first && daemon == CONTAINER_DAEMON_NEW && !is_live_restore;
    for (struct container_entry *entry = table->entries; entry != NULL; entry = entry->hh.next) {
        struct container before = entry->pub;
        if (daemon == CONTAINER_DAEMON_SAME) {
            forgive_loss(entry);
        } else if (daemon == CONTAINER_DAEMON_NEW && !is_live_restore) {
            entry->is_shutdown_expected = entry->pub.is_inspected && !container_entry_is_down(entry);
        }
        entry->is_accused = false;
        settle(table, entry, &before, now);
    }
}

void container_table_host_booted(struct container_table *table)
{
    table->is_booted = true;
}

void container_table_redis_place(struct container_table *table, const struct self_finder_redis *place)
{
    table->calls++;
    /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): stray padding costs one needless look */
    bool is_same = table->has_redis && memcmp(&table->redis, place, sizeof *place) == 0;
    table->redis = *place;
    table->has_redis = true;
    for (struct container_entry *entry = table->entries; !is_same && entry != NULL; entry = entry->hh.next) {
        container_entry_disturb(entry, true);
    }
}

void container_table_intended(struct container_table *table, const char *id, struct mono now)
{
    struct container_entry *entry = find(table, id);
    if (entry != NULL && container_entry_is_down(entry)) {
        struct container before = entry->pub;
        entry->evidence.is_intended = true;
        settle(table, entry, &before, now);
    }
}

void container_table_set_app_beating(struct container_table *table, const char *id)
{
    struct container_entry *entry = find(table, id);
    if (entry != NULL && !entry->pub.spec.is_app_beating) {
        entry->pub.spec.is_app_beating = true;
        table->save_change++;
        touch(table, entry);
    }
}

bool container_table_set_probe_status(struct container_table *table, const char *id, enum beat_status status)
{
    struct container_entry *entry = find(table, id);
    bool is_changed = entry != NULL && entry->pub.probe_status != status;
    if (is_changed) {
        entry->pub.probe_status = status;
        touch(table, entry);
    }
    return is_changed;
}

/* ---- own commands ---- */

void container_table_own_command_begin(struct container_table *table, const char *id)
{
    struct container_entry *entry = find(table, id);
    if (entry != NULL) {
        container_entry_own_until(entry, MONO_NEVER);
    }
    if (!is_own_open(table, id)) {
        table->own_ids = memory_grow(table->own_ids, table->own_count + 1, sizeof *table->own_ids);
        memory_set_text(table->own_ids[table->own_count++], LIMIT_ID_SIZE, id);
    }
}

void container_table_own_command_end(struct container_table *table, const char *id, struct mono now)
{
    table->calls++;
    for (size_t i = 0; i < table->own_count; i++) {
        if (strcmp(table->own_ids[i], id) == 0) {
            memcpy(table->own_ids[i], table->own_ids[--table->own_count], LIMIT_ID_SIZE);
            break;
        }
    }
    struct container_entry *entry = find(table, id);
    if (entry != NULL) {
        struct container before = entry->pub;
        /* Docker tells no event of a start that failed. */
        container_entry_disturb(entry, true);
        if (entry->own_until.ms != 0) {
            container_entry_own_until(entry, mono_add(now, table->config->stop.stop_settle_ms));
        }
        settle(table, entry, &before, now);
    }
}

void container_table_set_last_command(struct container_table *table, const struct outcome *outcome)
{
    struct container_entry *entry = find(table, outcome->container_id);
    if (entry != NULL) {
        command_id_format(&outcome->id, entry->pub.last_command);
        entry->pub.last_command_code = outcome->code;
        bool is_number = outcome->unstored_attempt > 0 && outcome->unstored_attempt <= LIMIT_ATTEMPTS;
        entry->pub.last_command_unstored = is_number ? outcome->unstored_attempt : 0;
        entry->pub.last_command_at = outcome->at;
        touch(table, entry);
    }
}

/* ---- time ---- */

void container_table_tick(struct container_table *table, struct mono now)
{
    if (!mono_reached(now, table->wake_at)) {
        return;
    }
    struct mono first = MONO_NEVER;
    for (struct container_entry *entry = table->entries; entry != NULL; entry = entry->hh.next) {
        if (mono_reached(now, entry->wake_at)) {
            struct container before = entry->pub;
            settle(table, entry, &before, now);
        }
        first = mono_min(first, entry->wake_at);
    }
    table->wake_at = first;
}

struct mono container_table_wake_at(struct container_table *table)
{
    struct mono first = MONO_NEVER;
    bool is_any = table->wake_at.ms != MONO_NEVER.ms;
    for (const struct container_entry *entry = is_any ? table->entries : NULL; entry != NULL;
         entry = entry->hh.next) {
        first = mono_min(first, entry->wake_at);
    }
    table->wake_at = first; /* what settled meanwhile is not looked for again */
    return first;
}

/* ---- across restarts of the agent ---- */

/* A record of a container that no inspect has told of yet is still good. */
static void keep_unused(const struct container_table *table, struct stop_records *out)
{
    for (size_t i = 0; i < table->loaded.dead_count; i++) {
        const struct stop_record *record = &table->loaded.dead[i];
        const struct container_entry *entry = find(table, record->id);
        if (entry != NULL && !entry->pub.is_inspected) {
            stop_records_add_dead(out, record->id, record->incarnation, &record->evidence);
        }
    }
}

char *container_table_save(const struct container_table *table, const char *boot_id, const char *redis,
                           const struct event_window *seen, size_t *len)
{
    struct stop_records records = {.seen = *seen};
    memory_set_text(records.boot_id, sizeof records.boot_id, boot_id);
    memory_set_text(records.redis, sizeof records.redis, redis);
    for (size_t i = 0; i < table->loaded.redis_count; i++) {
        stop_records_add_redis(&records, table->loaded.redis_names[i]);
    }
    for (const struct container_entry *entry = table->entries; entry != NULL; entry = entry->hh.next) {
        if (entry->pub.spec.is_app_beating) {
            stop_records_add_app(&records, entry->pub.id);
        }
        if (entry->pub.is_inspected && container_entry_is_down(entry)) {
            stop_records_add_dead(&records, entry->pub.id, entry->pub.incarnation, &entry->evidence);
        }
    }
    keep_unused(table, &records);
    char *text = stop_records_encode(&records, len);
    stop_records_fini(&records);
    return text;
}

bool container_table_load(struct container_table *table, const char *text, size_t len, const char *redis,
                          char boot_id[LIMIT_ID_SIZE], struct event_window *seen)
{
    stop_records_fini(&table->loaded);
    stop_records_decode(text, len, &table->loaded);
    if (strcmp(table->loaded.redis, redis) != 0) {
        table->loaded.redis_count = 0;
    }
    memory_set_text(boot_id, LIMIT_ID_SIZE, table->loaded.boot_id);
    *seen = table->loaded.seen;
    return table->loaded.has_seen;
}
