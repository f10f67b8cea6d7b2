/*
 * Docker Engine's JSON (API 1.41) taken apart into plain values: the container list, inspect, info, event
 * lines and error messages. Pure. Everything is checked against proto/limits.h before it is kept; fields that
 * defib does not need are skipped, fields of an unexpected type read as absent.
 */
#ifndef DEFIB_AGENT_CORE_ENGINE_JSON_H
#define DEFIB_AGENT_CORE_ENGINE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/core/label_reader.h"
#include "common/err.h"
#include "proto/limits.h"
#include "proto/vocabulary.h"

enum {
    ENGINE_HEALTH_OUTPUT_BYTES = 4096,
    ENGINE_LABELS =
        64, /* of those that label_reader reads: defib.*, com.docker.compose.*, autoheal, deunhealth */
    ENGINE_ADDRESSES = 32,
    ENGINE_PORTS = 64,
    ENGINE_ALIASES = 64,
    ENGINE_MOUNTS = 64
};

/* One row of /containers/json. */
struct engine_summary {
    char id[LIMIT_ID_SIZE];
    char name[LIMIT_NAME_SIZE]; /* without the slash */
    enum container_state state;
    enum container_health health; /* out of "Up 2 minutes (healthy)"; HEALTH_NONE where it does not say */
    struct label_list labels;     /* owned */
};

/* 0 and a fresh array, given (free with engine_summaries_free); rows that name no container are left out. */
int engine_json_list(const char *bytes, size_t len, struct engine_summary **out, size_t *count,
                     struct err *err);
void engine_summaries_free(struct engine_summary *summaries, size_t count);

enum engine_program { ENGINE_PROGRAM_OTHER, ENGINE_PROGRAM_DEFIB, ENGINE_PROGRAM_REDIS };

/* /containers/{id}/json. Owns its lists. */
struct engine_container {
    char id[LIMIT_ID_SIZE];
    char name[LIMIT_NAME_SIZE]; /* without the slash */
    enum container_state state;
    enum container_health health;
    char *health_output; /* owned: the end of what its HEALTHCHECK said last; NULL: nothing */
    int health_exit_code;
    char started_at[LIMIT_TIME_SIZE]; /* byte for byte: the incarnation */
    int64_t started_ns;               /* the same as a number; 0: never */
    int64_t finished_ns;
    int64_t pid; /* 0 where it does not run */
    int exit_code;
    bool oom_killed;
    char error[LIMIT_DETAIL_SIZE];
    int64_t restart_count;
    enum docker_policy policy;
    int64_t policy_max;
    bool is_auto_remove;
    int64_t stop_timeout_secs;    /* Config.StopTimeout, -1 where not set */
    int64_t healthcheck_grace_ms; /* start period + interval x retries; 0 without a HEALTHCHECK */
    bool has_healthcheck;
    char network_parent[LIMIT_ID_SIZE]; /* container:<id> of NetworkMode, PidMode or IpcMode */
    bool is_host_network;
    enum engine_program program; /* by the base name of Path or of one of Args */
    char hostname[LIMIT_NAME_SIZE];
    int64_t memory_limit_bytes; /* 0: none */
    struct label_list labels;
    char (*addresses)[64]; /* of all networks, numeric */
    size_t address_count;
    int *host_ports; /* published: HostConfig.PortBindings and NetworkSettings.Ports */
    size_t host_port_count;
    char (*aliases)[LIMIT_NAME_SIZE];
    size_t alias_count;
    char (*mounts)[LIMIT_NAME_SIZE]; /* sources of its mounts on the host */
    size_t mount_count;
};

int engine_json_container(const char *bytes, size_t len, struct engine_container *out, struct err *err);
void engine_container_fini(struct engine_container *container); /* a zeroed one is fine */

enum engine_action {
    ENGINE_ACTION_OTHER,
    ENGINE_ACTION_CREATE,
    ENGINE_ACTION_START,
    ENGINE_ACTION_RESTART,
    ENGINE_ACTION_KILL,
    ENGINE_ACTION_DIE,
    ENGINE_ACTION_STOP,
    ENGINE_ACTION_OOM,
    ENGINE_ACTION_DESTROY,
    ENGINE_ACTION_PAUSE,
    ENGINE_ACTION_UNPAUSE,
    ENGINE_ACTION_RENAME,
    ENGINE_ACTION_UPDATE,
    ENGINE_ACTION_HEALTH
};

/* One line of /events. Owns its labels. */
struct engine_event {
    enum engine_action action;
    char id[LIMIT_ID_SIZE];
    char name[LIMIT_NAME_SIZE]; /* for a rename: the new one */
    int64_t time_ns;            /* on the Engine's clock */
    int signal;                 /* KILL; 0: not said */
    bool has_exit_code;         /* DIE */
    int exit_code;
    enum container_health health; /* HEALTH */
    struct label_list labels;
};

/* 0, or -EINVAL for a line that is no container event. */
int engine_json_event(const char *bytes, size_t len, struct engine_event *out, struct err *err);
void engine_event_fini(struct engine_event *event);

/* /info */
struct engine_info {
    char id[LIMIT_DETAIL_SIZE];
    char version[LIMIT_VERSION_SIZE];
    int64_t system_time_ns; /* the Engine's clock; 0: not said */
    bool is_live_restore;
};

int engine_json_info(const char *bytes, size_t len, struct engine_info *out, struct err *err);

/* The Id of /networks/{name}; -EINVAL where there is none. */
int engine_json_network_id(const char *bytes, size_t len, char out[LIMIT_ID_SIZE], struct err *err);

/* The answer to `POST /containers/{id}/exec`: the id of the run; -EINVAL where it is none. */
int engine_json_exec_id(const char *bytes, size_t len, char out[LIMIT_ID_SIZE], struct err *err);

/* /exec/{id}/json */
struct engine_exec {
    bool is_running;
    int exit_code; /* of one that has ended */
};
int engine_json_exec(const char *bytes, size_t len, struct engine_exec *out, struct err *err);

/* {"message": "…"} of an error answer, one line; the raw text where it is no such JSON. */
void engine_json_message(const char *bytes, size_t len, char *out, size_t size);

/* The action filter of the event stream, as JSON for the query, not percent-encoded. A literal. */
const char *engine_json_event_filter(void);

/* RFC 3339 with up to nine fraction digits to nanoseconds since 1970; 0 for Docker's zero time, for years
 * past 2261 and for what does not parse. */
int64_t engine_json_time_ns(const char *text);

#endif
