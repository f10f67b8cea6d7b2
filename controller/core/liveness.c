#include "controller/core/liveness.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "common/memory.h"
#include "proto/heartbeat.h"

struct container_entry {
    struct container container; /* first: one is the other */
    UT_hash_handle by_name, by_key;
};

struct host_entry {
    struct host host; /* first */
    UT_hash_handle by_name;
};

struct liveness_tables {
    struct container_entry *by_name, *by_key;
    struct host_entry *hosts;
};

static struct container_entry *entry_of(const struct container *container)
{
    return (struct container_entry *)(uintptr_t)container;
}

void liveness_init(struct liveness *liveness, const struct policy_config *config, struct mono now)
{
    *liveness = (struct liveness){
        .config = config,
        .redis_since = now,
        .settled_at = mono_add(now, config->settle_ms),
        .tables = memory_alloc(sizeof(struct liveness_tables)),
    };
}

void liveness_fini(struct liveness *liveness)
{
    while (liveness->tables->by_name) {
        liveness_remove(liveness, &liveness->tables->by_name->container);
    }
    while (liveness->tables->hosts) {
        liveness_remove_host(liveness, &liveness->tables->hosts->host);
    }
    free(liveness->tables);
}

/* ---- containers ---- */

struct container *liveness_find(const struct liveness *liveness, const char *name)
{
    struct container_entry *entry = NULL;
    HASH_FIND(by_name, liveness->tables->by_name, name, strlen(name), entry);
    return entry ? &entry->container : NULL;
}

struct container *liveness_find_on(const struct liveness *liveness, struct host *host, const char *name)
{
    bool is_likely = host->likely && strcmp(host->likely->name, name) == 0;
    struct container *container = is_likely ? host->likely : liveness_find(liveness, name);
    if (container && container->host == host) {
        host->likely = container->host_prev;
    }
    return container;
}

static size_t join_key(char out[2 * LIMIT_NAME_SIZE], const char *service, const char *instance)
{
    size_t service_size = strlen(service) + 1;
    size_t instance_size = strlen(instance) + 1;
    assert(service_size <= LIMIT_NAME_SIZE && instance_size <= LIMIT_NAME_SIZE);
    memcpy(out, service, service_size);
    memcpy(out + service_size, instance, instance_size);
    return service_size + instance_size;
}

struct container *liveness_find_by_key(const struct liveness *liveness, const char *service,
                                       const char *instance)
{
    char key[2 * LIMIT_NAME_SIZE];
    struct container_entry *entry = NULL;
    HASH_FIND(by_key, liveness->tables->by_key, key, join_key(key, service, instance), entry);
    return entry ? &entry->container : NULL;
}

struct container *liveness_add(struct liveness *liveness, const char *name)
{
    struct container_entry *entry = memory_alloc(sizeof *entry);
    struct container *container = &entry->container;
    container->name = memory_copy_text(name);
    container->gate = GATE_N;
    container->announced_gate = GATE_N;
    container->restart_count = -1;
    container->started_count = -1;
    container->wake.owner = container;
    container->terms = (struct container_terms){
        .max_attempts = -1,
        .stop_timeout_ms = -1,
        .start_grace_ms = -1,
        .unhealthy_grace_ms = -1,
    };
    policy_init(&container->policy);
    HASH_ADD_KEYPTR(by_name, liveness->tables->by_name, container->name, strlen(container->name), entry);
    liveness->count++;
    return container;
}

/* What was found among the containers of its host is to be looked for again. */
static void note_members(const struct container *container)
{
    if (container->host) {
        container->host->members++;
    }
}

static void drop_key(struct liveness *liveness, struct container *container)
{
    if (container->identity_len > 0) {
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): an entry in the table has its neighbours */
        HASH_DELETE(by_key, liveness->tables->by_key, entry_of(container));
    }
    container->identity_len = 0;
}

static void free_edges(struct edges *edges)
{
    if (!edges) {
        return;
    }
    free(edges->parent_name);
    free(edges->project);
    free(edges->compose_service);
    free(edges->depends_on);
    free(edges);
}

void liveness_remove(struct liveness *liveness, struct container *container)
{
    assert(!container->attempt && !container->failure);
    drop_key(liveness, container);
    liveness_set_host(container, NULL);
    HASH_DELETE(by_name, liveness->tables->by_name, entry_of(container));
    liveness->count--;
    if (container->stored) {
        restart_state_fini(container->stored);
    }
    free(container->stored);
    free_edges(container->edges);
    free(container->terms.backoff_ms);
    free(container->service);
    free(container->name);
    free(entry_of(container));
}

void liveness_rename(struct liveness *liveness, struct container *container, const char *name)
{
    struct container_entry *entry = entry_of(container);
    HASH_DELETE(by_name, liveness->tables->by_name, entry);
    free(container->name);
    container->name = memory_copy_text(name);
    HASH_ADD_KEYPTR(by_name, liveness->tables->by_name, container->name, strlen(container->name), entry);
    note_members(container);
}

struct container *liveness_find_id(const struct host *host, const char *id)
{
    for (struct container *each = host->containers; id[0] && each; each = each->host_next) {
        bool is_likely = each->container_id[0] == id[0] && each->container_id[1] == id[1]; /* most are not */
        if (is_likely && strcmp(each->container_id, id) == 0) {
            return each;
        }
    }
    return NULL;
}

struct container *liveness_first(const struct liveness *liveness)
{
    return liveness->tables->by_name ? &liveness->tables->by_name->container : NULL;
}

struct container *liveness_next(const struct container *container)
{
    struct container_entry *next = entry_of(container)->by_name.next;
    if (!next) {
        return NULL;
    }
    __builtin_prefetch(&next->by_name); /* thousands are walked, and little is done with each */
    __builtin_prefetch(&next->container.policy);
    return &next->container;
}

void liveness_set_key(struct liveness *liveness, struct container *container, const char *service,
                      const char *instance)
{
    char key[2 * LIMIT_NAME_SIZE];
    size_t len = join_key(key, service, instance);
    struct container *holder = liveness_find_by_key(liveness, service, instance);
    if (holder == container) {
        return;
    }
    if (holder) {
        drop_key(liveness, holder);
    }
    drop_key(liveness, container);
    free(container->service);
    container->service = memory_grow(NULL, len, 1);
    memcpy(container->service, key, len);
    container->instance = container->service + strlen(service) + 1;
    container->identity_len = len;
    struct container_entry *entry = entry_of(container);
    note_members(container);
    HASH_ADD_KEYPTR(by_key, liveness->tables->by_key, container->service, len, entry);
}

bool liveness_has_key(const struct container *container, const char *service, const char *instance)
{
    return container->identity_len > 0 && strcmp(container->service, service) == 0 &&
           strcmp(container->instance, instance) == 0;
}

void liveness_set_terms(struct container *container, const struct container_spec *spec)
{
    struct container_terms *terms = &container->terms;
    int64_t *backoff_ms = terms->backoff_ms;
    if (spec->backoff_count != terms->backoff_count) {
        free(backoff_ms);
        backoff_ms = spec->backoff_count ? memory_alloc(spec->backoff_count * sizeof *backoff_ms) : NULL;
    }
    if (spec->backoff_count) {
        memcpy(backoff_ms, spec->backoff_ms, spec->backoff_count * sizeof *backoff_ms);
    }
    *terms = (struct container_terms){
        .restart = spec->restart,
        .beat_mode = spec->beat_mode,
        .docker_policy = spec->docker_policy,
        .is_app_beating = spec->is_app_beating,
        .is_own = spec->is_own,
        .is_redis_in_use = spec->is_redis_in_use,
        .is_denied_by_agent = spec->is_denied_by_agent,
        .max_attempts = spec->max_attempts > INT32_MAX ? INT32_MAX : (int32_t)spec->max_attempts,
        .docker_policy_max = spec->docker_policy_max,
        .stop_timeout_ms = spec->stop_timeout_ms,
        .start_grace_ms = spec->start_grace_ms,
        .healthcheck_grace_ms = spec->healthcheck_grace_ms,
        .unhealthy_grace_ms = spec->unhealthy_grace_ms,
        .backoff_ms = backoff_ms,
        .backoff_count = spec->backoff_count,
    };
}

static void set_dependent(struct container *container, bool is_dependent)
{
    struct edges *edges = container->edges;
    if (!edges || edges->is_dependent == is_dependent) {
        return;
    }
    edges->is_dependent = is_dependent;
    if (is_dependent) {
        LIST_INSERT_HEAD(&container->host->dependents, edges, of_host);
    } else {
        LIST_REMOVE(edges, of_host);
    }
}

static void note_dependent(struct container *container)
{
    const struct edges *edges = container->edges;
    set_dependent(container, edges && container->host && (edges->parent_id[0] || edges->depends_on));
}

static bool is_text(const char *held, const char *text)
{
    return strcmp(held ? held : "", text) == 0;
}

static void set_text(char **held, const char *text)
{
    if (!is_text(*held, text)) {
        free(*held);
        *held = text[0] ? memory_copy_text(text) : NULL;
    }
}

void liveness_set_edges(struct container *container, const struct container_spec *spec)
{
    bool has_any = spec->network_parent[0] || spec->compose_project[0] || spec->depends_on[0];
    note_members(container);
    if (!has_any) {
        set_dependent(container, false);
        free_edges(container->edges);
        container->edges = NULL;
        return;
    }
    if (!container->edges) {
        container->edges = memory_alloc(sizeof *container->edges);
        container->edges->container = container;
    }
    struct edges *edges = container->edges;
    if (strcmp(edges->parent_id, spec->network_parent) != 0) {
        memory_set_text(edges->parent_id, sizeof edges->parent_id, spec->network_parent);
        set_text(&edges->parent_name, "");
        edges->is_parent_missed = false;
    }
    set_text(&edges->project, spec->compose_project);
    set_text(&edges->compose_service, spec->compose_service);
    set_text(&edges->depends_on, spec->depends_on);
    note_dependent(container);
}

void liveness_set_host(struct container *container, struct host *host)
{
    struct host *old = container->host;
    if (old == host) {
        return;
    }
    set_dependent(container, false);
    note_members(container);
    if (old) {
        if (old->likely == container) {
            old->likely = container->host_prev;
        }
        if (container->host_prev) {
            container->host_prev->host_next = container->host_next;
        } else {
            old->containers = container->host_next;
        }
        if (container->host_next) {
            container->host_next->host_prev = container->host_prev;
        }
    }
    container->host = host;
    note_dependent(container);
    note_members(container);
    if (container->edges) {
        container->edges->parent_found_at = container->edges->none_restarted_at = 0;
    }
    container->host_prev = NULL;
    container->host_next = NULL;
    container->round = 0;
    container->generation = 0;
    container->seq = 0;
    if (!host) {
        return;
    }
    container->round = host->round;
    container->host_next = host->containers;
    if (host->containers) {
        host->containers->host_prev = container;
    }
    host->containers = container;
}

void liveness_set_id(struct container *container, const char *id)
{
    if (strcmp(container->container_id, id) != 0) {
        memory_set_text(container->container_id, sizeof container->container_id, id);
        note_members(container);
    }
}

void liveness_set_restarted(struct container *container, bool has_restarted)
{
    if (container->has_restarted != has_restarted) {
        container->has_restarted = has_restarted;
        note_members(container);
    }
}

/* ---- hosts ---- */

struct host *liveness_find_host(const struct liveness *liveness, const char *name)
{
    struct host_entry *entry = NULL;
    HASH_FIND(by_name, liveness->tables->hosts, name, strlen(name), entry);
    return entry ? &entry->host : NULL;
}

struct host *liveness_add_host(struct liveness *liveness, const char *name, struct mono now)
{
    struct host_entry *entry = memory_alloc(sizeof *entry);
    struct host *host = &entry->host;
    host->name = memory_copy_text(name);
    host->is_engine_up = true;
    host->generation = 1;
    host->round = 1;
    host->members = 1;
    host->proven_since = now;
    HASH_ADD_KEYPTR(by_name, liveness->tables->hosts, host->name, strlen(host->name), entry);
    return host;
}

void liveness_remove_host(struct liveness *liveness, struct host *host)
{
    assert(!host->containers);
    struct host_entry *entry = (struct host_entry *)(uintptr_t)host;
    HASH_DELETE(by_name, liveness->tables->hosts, entry);
    free(host->name);
    free(entry);
}

struct host *liveness_first_host(const struct liveness *liveness)
{
    return liveness->tables->hosts ? &liveness->tables->hosts->host : NULL;
}

struct host *liveness_next_host(const struct host *host)
{
    const struct host_entry *entry = (const struct host_entry *)(uintptr_t)host;
    struct host_entry *next = entry->by_name.next;
    return next ? &next->host : NULL;
}

struct mono liveness_heard_at(const struct host *host)
{
    return host->heard[PATH_REDIS].ms > host->heard[PATH_RPC].ms ? host->heard[PATH_REDIS]
                                                                 : host->heard[PATH_RPC];
}

bool liveness_is_silent(const struct liveness *liveness, const struct host *host, struct mono now)
{
    return mono_diff(now, liveness_heard_at(host)) > liveness->config->heartbeat_ttl_ms;
}

void liveness_hear(const struct liveness *liveness, struct host *host, enum path path, struct mono now)
{
    if (liveness_is_silent(liveness, host, now)) {
        host->proven_since = now;
    }
    host->heard[path] = now;
}

bool liveness_is_host_live(const struct liveness *liveness, const struct host *host, struct mono now)
{
    return host && !host->is_frozen && host->is_engine_up && !liveness_is_silent(liveness, host, now);
}

/* ---- observations ---- */

bool liveness_is_dead_state(enum container_state state)
{
    return state == CONTAINER_EXITED || state == CONTAINER_DEAD || state == CONTAINER_RESTARTING;
}

bool liveness_is_app_beating(const struct container *container)
{
    const struct container_terms *terms = &container->terms;
    if (terms->beat_mode == BEAT_MODE_AGENT) {
        return false;
    }
    return terms->is_app_beating || terms->beat_mode == BEAT_MODE_APP || container->is_last_beat_apps;
}

bool liveness_is_listed(const struct container *container)
{
    return !container->host || container->round == container->host->round;
}

static struct mono later(struct mono left, struct mono right)
{
    return left.ms > right.ms ? left : right;
}

bool liveness_is_suspended(const struct container *container)
{
    return (container->host && container->host->is_frozen) || !liveness_is_listed(container);
}

bool liveness_is_app_bound(const struct container *container)
{
    const struct container_terms *terms = &container->terms;
    return terms->beat_mode != BEAT_MODE_AGENT &&
           (terms->is_app_beating || terms->beat_mode == BEAT_MODE_APP);
}

/* The last sign of life of those that count for it. */
static struct mono alive_at(const struct container *container)
{
    if (liveness_is_app_bound(container)) {
        return container->app_at;
    }
    struct mono alive = later(container->agent_at, container->app_at);
    bool is_vouched = !liveness_is_app_beating(container) && container->host &&
                      liveness_is_listed(container) && container->state == CONTAINER_RUNNING;
    return is_vouched ? later(alive, container->host->vouched_at) : alive;
}

static bool is_proven(const struct liveness *liveness, struct mono since, struct mono now)
{
    return mono_diff(now, since) > liveness->config->heartbeat_ttl_ms;
}

/* A third of a TTL is an interval of beats. */
static int64_t outlived_ms(const struct policy_config *config)
{
    int64_t ms = config->heartbeat_ttl_ms / 3 + config->check_interval_ms;
    return ms < config->heartbeat_ttl_ms ? ms : config->heartbeat_ttl_ms;
}

enum observation liveness_observe(const struct liveness *liveness, const struct container *container,
                                  struct mono now)
{
    const struct host *host = container->host;
    int64_t ttl_ms = liveness->config->heartbeat_ttl_ms;
    if (liveness_is_dead_state(container->state)) {
        return OBSERVED_DEAD;
    }
    if (host && host->is_frozen) {
        return OBSERVED_UNKNOWN;
    }
    struct mono alive = alive_at(container);
    if (alive.ms != 0 && mono_diff(now, alive) <= ttl_ms) {
        return OBSERVED_ALIVE;
    }
    if (!liveness->is_redis_up || !is_proven(liveness, liveness->redis_since, now) ||
        !mono_reached(now, liveness->settled_at)) {
        return OBSERVED_UNKNOWN;
    }
    if (!host) {
        return liveness_is_app_beating(container) ? OBSERVED_SILENT : OBSERVED_UNKNOWN;
    }
    if (!host->is_engine_up && !liveness_is_app_beating(container)) {
        return OBSERVED_UNKNOWN;
    }
    /* The agent must have spoken well after the container's last sign: both may have died together, and its
     * document is heard when it is read, up to a check after it was written. And what a service would have
     * said comes by Redis alone: one that takes no writes lets keys run out unseen. */
    struct mono heard =
        liveness_is_app_beating(container) ? host->heard[PATH_REDIS] : liveness_heard_at(host);
    bool is_agent_later = mono_diff(heard, alive) >= outlived_ms(liveness->config);
    bool is_host_proven = mono_diff(now, heard) <= ttl_ms && is_proven(liveness, host->proven_since, now);
    return is_agent_later && is_host_proven ? OBSERVED_SILENT : OBSERVED_UNKNOWN;
}

bool liveness_has_named_word(const struct liveness *liveness, const struct container *container,
                             struct mono now)
{
    return container->is_app_elsewhere && container->app_at.ms != 0 &&
           mono_diff(now, container->app_at) <= liveness->config->heartbeat_ttl_ms;
}

/* BEAT_STATUS_N: nobody said anything yet. */
enum beat_status liveness_status(const struct container *container)
{
    bool is_app = liveness_is_app_beating(container);
    bool has_agent = container->agent_at.ms != 0 || container->host;
    bool has_app = container->app_at.ms != 0;
    if (!is_app) {
        return has_agent ? container->agent_status : BEAT_STATUS_N;
    }
    if (!has_app) {
        return container->agent_status == BEAT_UNHEALTHY ? BEAT_UNHEALTHY : BEAT_STATUS_N;
    }
    if (!has_agent || container->agent_status == BEAT_UNKNOWN) {
        return container->app_status;
    }
    return heartbeat_worse(container->app_status, container->agent_status);
}
