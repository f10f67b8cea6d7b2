/*
 * Who is there and what was heard of it, when, and by which path: the tables of hosts and containers. Pure.
 *
 * An observation is alive, dead, silent or unknown. Silence counts only while the path it would have come by
 * is proven live: Redis up and past its patience, the host's agent heard well after the container fell
 * silent, our own start settled. Everything else is unknown, which is neither dead nor healthy.
 */
#ifndef DEFIB_CONTROLLER_CORE_LIVENESS_H
#define DEFIB_CONTROLLER_CORE_LIVENESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "controller/core/decider.h"
#include "controller/core/gates.h"
#include "controller/core/policy.h"
#include "controller/core/policy_config.h"
#include "controller/core/wake_queue.h"
#include "proto/container_spec.h"

struct attempt;

enum observation { OBSERVED_UNKNOWN, OBSERVED_ALIVE, OBSERVED_SILENT, OBSERVED_DEAD };

/* An agent and its Docker host. */
struct host {
    char *name;
    char agent[LIMIT_COMMAND_ID_SIZE];
    char previous_agent[LIMIT_COMMAND_ID_SIZE]; /* its late documents are no news … */
    uint64_t previous_seq;                      /* … up to this one */
    uint32_t generation;                        /* grows with each new agent process; from 1 */
    uint32_t round;                             /* grows with each inventory; from 1 */
    uint64_t change, seq;                       /* of the last registration */
    struct mono heard[PATH_N];                  /* 0: never */
    struct mono vouched_at;                     /* the last inventory, or word that nothing changed */
    struct mono registered_at;                  /* the last inventory that was new */
    struct mono proven_since;                   /* heard without a gap of a TTL since then */
    bool is_engine_up, is_frozen;
    struct mono frozen_at;
    int64_t in_flight;
    struct container *containers;
};

/* The labels that the policy needs, without the texts. */
struct container_terms {
    enum restart_label restart;
    enum beat_mode beat_mode;
    enum docker_policy docker_policy;
    bool is_app_beating, is_own, is_redis_in_use, is_denied_by_agent;
    int32_t max_attempts; /* -1: no label */
    int64_t docker_policy_max;
    int64_t stop_timeout_ms, start_grace_ms, healthcheck_grace_ms, unhealthy_grace_ms;
    int64_t *backoff_ms; /* owned, or NULL */
    size_t backoff_count;
};

/* What an ordinary beat reads stands first. */
struct container {
    char *name;
    struct host *host;            /* NULL: no agent knows it */
    struct mono agent_at, app_at; /* when the agent's, the service's own beat was heard */
    uint64_t seq;                 /* of the agent's last document, within `generation` */
    struct wall app_stamp;        /* of the service's last beat */
    uint32_t generation;
    uint32_t round; /* the host's inventory that it last stood in */
    enum beat_status agent_status, app_status;
    enum container_state state;
    enum container_health health;
    enum stop_class stop_class;
    bool is_docker_restarting, has_exit_code, is_last_beat_apps;
    int exit_code;
    struct policy_memory policy;
    char container_id[LIMIT_ID_SIZE];
    char incarnation[LIMIT_TIME_SIZE];

    char *service, *instance; /* one owned block, behind `service` */
    size_t identity_len;
    struct container *host_prev, *host_next;
    int64_t restart_count;
    struct container_terms terms;
    struct wake_node wake;
    struct attempt *attempt;        /* in flight, or NULL */
    struct restart_state *stored;   /* what lies in Redis for it, owned; NULL: nothing */
    char acted_on[LIMIT_TIME_SIZE]; /* the incarnation our last successful command ended */
    char last_command[LIMIT_COMMAND_ID_SIZE];
    bool is_own_start_due; /* our command made an incarnation that no beat showed yet */
    bool is_docker_held;   /* HELD by a pause: running again ends it, although nothing started */
    bool is_reading, is_read_done, is_word_said, is_invalid_said, is_store_said, is_held;
    uint8_t category; /* of the totals */
    enum gate gate;   /* the last that refused; GATE_N: none */
    enum gate announced_gate;
    struct mono announced_at, read_at;
    struct mono collision_until, collision_said_at;
    struct mono docker_starts[3], crash_loop_said_at;
    uint64_t last_line;
    struct mono last_line_at;
    struct mono seen_at; /* the last sign of any kind */
};

struct liveness {
    const struct policy_config *config;
    bool is_redis_up;
    struct mono redis_since, settled_at;
    size_t count;
    struct liveness_tables *tables;
};

void liveness_init(struct liveness *liveness, const struct policy_config *config, struct mono now);
void liveness_fini(struct liveness *liveness); /* frees all hosts and containers; attempts must be gone */

struct container *liveness_find(const struct liveness *liveness, const char *name);
struct container *liveness_find_by_key(const struct liveness *liveness, const char *service,
                                       const char *instance);
struct container *liveness_add(struct liveness *liveness, const char *name);
void liveness_remove(struct liveness *liveness, struct container *container);
struct container *liveness_first(const struct liveness *liveness);
struct container *liveness_next(const struct container *container);

/* The beat key it is found by; another container that had it loses it. */
void liveness_set_key(struct liveness *liveness, struct container *container, const char *service,
                      const char *instance);
void liveness_set_terms(struct container *container, const struct container_spec *spec);
void liveness_set_host(struct container *container, struct host *host); /* NULL: none */

struct host *liveness_find_host(const struct liveness *liveness, const char *name);
struct host *liveness_add_host(struct liveness *liveness, const char *name, struct mono now);
void liveness_remove_host(struct liveness *liveness, struct host *host); /* without containers by then */
struct host *liveness_first_host(const struct liveness *liveness);
struct host *liveness_next_host(const struct host *host);

/* The agent spoke. */
void liveness_hear(const struct liveness *liveness, struct host *host, enum path path, struct mono now);
struct mono liveness_heard_at(const struct host *host);

/* Heard within the TTL, its engine up, and not given up. Commands go to no other host. */
bool liveness_is_host_live(const struct liveness *liveness, const struct host *host, struct mono now);

bool liveness_is_dead_state(enum container_state state);
bool liveness_is_app_beating(const struct container *container);

/* It stood in the host's last inventory, or none came yet. */
bool liveness_is_listed(const struct container *container);

enum observation liveness_observe(const struct liveness *liveness, const struct container *container,
                                  struct mono now);

/* What service and Docker say together: the worse wins. */
enum beat_status liveness_status(const struct container *container);

#endif
