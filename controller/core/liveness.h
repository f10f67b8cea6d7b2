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
#include <sys/queue.h>

#include "common/clock.h"
#include "controller/core/breaker.h"
#include "controller/core/decider.h"
#include "controller/core/gates.h"
#include "controller/core/policy.h"
#include "controller/core/policy_config.h"
#include "controller/core/wake_queue.h"
#include "proto/container_spec.h"

struct attempt;
struct failure;

enum observation { OBSERVED_UNKNOWN, OBSERVED_ALIVE, OBSERVED_SILENT, OBSERVED_DEAD };

/* A breaker with what it is asked about: one for the fleet, one for each host. */
struct fuse {
    struct breaker breaker;
    struct container *canary; /* NULL: none */
    struct container *failed; /* the last canary that failed, behind all others; NULL: none */
    bool is_told;             /* BREAKER_OPEN was said aloud, and no BREAKER_CLOSED since */
    int64_t managed;          /* as counted at `counted_at` */
    struct mono counted_at;   /* 0: never */
};

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
    struct mono denied_since; /* its inventories over nng were older words since then; 0: they are not */
    struct mono proven_since; /* heard without a gap of a TTL since then */
    bool is_engine_up, is_frozen;
    bool is_lost_told;      /* AGENT_LOST was said aloud, and no AGENT_RECOVERED since */
    struct mono resumed_at; /* since then it is observed again, or its Engine is back */
    struct mono frozen_at;
    bool is_edges_due; /* something changed that dependents may have to follow */
    bool has_unlisted; /* its last inventory left one of its containers out */
    bool has_outdone;  /* it has, or had, a container whose name another host holds now */
    bool is_stale;     /* a name became free that it may have: its inventory is wanted once more */
    bool is_doubted;   /* see decider_hosts_doubt */
    uint32_t written;  /* its inventory stands in the journal since this start; see decider_input.h */
    bool is_silence_written[PATH_N + 1];
    int64_t in_flight;
    uint64_t members; /* grows when one comes, goes, restarts, or is called otherwise; from 1 */
    struct fuse fuse;
    struct container *containers;            /* the last that was added first */
    struct container *likely;                /* whose beat probably comes next, or NULL */
    LIST_HEAD(dependents, edges) dependents; /* of those that depend on others */
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

/* What it depends on, and what others may call it by. */
struct edges {
    struct container *container;        /* whose they are */
    LIST_ENTRY(edges) of_host;          /* among the host's dependents, where is_dependent */
    bool is_dependent;                  /* it depends on something, and has a host */
    char parent_id[LIMIT_ID_SIZE];      /* whose network, pid or ipc namespace it lives in; "": none */
    char *parent_name;                  /* of that id, once it was seen; owned, or NULL */
    char *project;                      /* compose's; owned, or NULL */
    char *compose_service;              /* where it is not the beat's service; owned, or NULL */
    char *depends_on;                   /* as in container_spec.h; owned, or NULL */
    struct mono parent_gone_at;         /* 0: it is there, or was never seen */
    bool is_parent_missed;              /* Docker said that no such container is there */
    char stale_for[LIMIT_TIME_SIZE];    /* the incarnation that it is to be restarted after */
    char repaired_for[LIMIT_TIME_SIZE]; /* the last one that it was restarted after */
    struct container *parent;           /* as found while the host's `members` was … */
    uint64_t parent_found_at;           /* … that; 0: look */
    uint64_t none_restarted_at;         /* nor had any that it depends on restarted; 0: look */
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
    int64_t started_count; /* that of its incarnation's start; -1: not known */
    struct container_terms terms;
    struct wake_node wake;
    struct attempt *attempt;        /* in flight, or NULL */
    struct edges *edges;            /* owned; NULL: none */
    struct failure *failure;        /* as the breakers count it; NULL: they do not */
    struct restart_state *stored;   /* what lies in Redis for it, owned; NULL: nothing */
    char acted_on[LIMIT_TIME_SIZE]; /* the incarnation our last successful command ended */
    char last_command[LIMIT_COMMAND_ID_SIZE];
    bool is_own_start_due; /* our command made an incarnation that no beat showed yet */
    bool is_command_lost;  /* our last command was sent and its outcome never heard: it may still act */
    bool is_docker_held;   /* HELD by a pause: running again ends it, although nothing started */
    bool is_app_elsewhere; /* its service names it, and beats under another key than its agent does */
    bool is_reading, is_read_done, is_word_said, is_invalid_said, is_store_said, is_held;
    bool has_restarted;    /* its incarnation followed another of the same id that we knew */
    bool is_start_ahead;   /* when we first heard of it, its start was still to come by its host's clock */
    bool is_granted;       /* an open breaker let its attempt through */
    bool is_recreate_said; /* NEEDS_RECREATE */
    bool is_aside_said;    /* CRASH_LOOP or NAME_COLLISION, and no closing since: it may well be UP */
    uint8_t category;      /* of the totals */
    enum gate gate;        /* the last that refused; GATE_N: none */
    enum gate announced_gate;
    struct mono announced_at, read_at;
    struct mono incarnation_at; /* when its incarnation was first seen */
    struct mono state_since;    /* of the policy's state */
    struct mono collision_until, collision_said_at;
    struct mono docker_starts[3], crash_loop_said_at;
    uint64_t last_line;
    struct mono last_line_at;
    struct mono seen_at; /* the last sign of any kind */
    uint64_t spec_print; /* what was written down of it: see decider_input.h */
    uint32_t written;
    bool is_app_written, is_agent_written; /* a beat of each since the start that is written */
    bool is_app_silent, is_agent_silent;   /* its silence is written */
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

/* The same, without a search where the beats of the host's containers come in the order of its inventory. */
struct container *liveness_find_on(const struct liveness *liveness, struct host *host, const char *name);

struct container *liveness_find_by_key(const struct liveness *liveness, const char *service,
                                       const char *instance);
struct container *liveness_add(struct liveness *liveness, const char *name);
void liveness_remove(struct liveness *liveness, struct container *container);
void liveness_rename(struct liveness *liveness, struct container *container, const char *name);
struct container *liveness_find_id(const struct host *host, const char *id); /* a walk; NULL: none has it */
struct container *liveness_first(const struct liveness *liveness);
struct container *liveness_next(const struct container *container);

/* The beat key it is found by; another container that had it loses it. */
void liveness_set_key(struct liveness *liveness, struct container *container, const char *service,
                      const char *instance);
bool liveness_has_key(const struct container *container, const char *service, const char *instance);
void liveness_set_terms(struct container *container, const struct container_spec *spec);
void liveness_set_edges(struct container *container, const struct container_spec *spec);
void liveness_set_host(struct container *container, struct host *host); /* NULL: none */
void liveness_set_id(struct container *container, const char *id);
void liveness_set_restarted(struct container *container, bool has_restarted);

/* Not to be judged: its host is not observed, or it is about to be known as removed, as its agent's last
 * inventory left it out. No state and no counter changes. */
bool liveness_is_suspended(const struct container *container);

/* Only its service's own beats count as signs of life. */
bool liveness_is_app_bound(const struct container *container);

/* Its service beats under another key, and did so within a TTL: its agent's beats say nothing against that.
 */
bool liveness_has_named_word(const struct liveness *liveness, const struct container *container,
                             struct mono now);

struct host *liveness_find_host(const struct liveness *liveness, const char *name);
struct host *liveness_add_host(struct liveness *liveness, const char *name, struct mono now);
void liveness_remove_host(struct liveness *liveness, struct host *host); /* without containers by then */
struct host *liveness_first_host(const struct liveness *liveness);
struct host *liveness_next_host(const struct host *host);

/* The agent spoke. */
void liveness_hear(const struct liveness *liveness, struct host *host, enum path path, struct mono now);
struct mono liveness_heard_at(const struct host *host);
/* Not for a TTL. */
bool liveness_is_silent(const struct liveness *liveness, const struct host *host, struct mono now);

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
