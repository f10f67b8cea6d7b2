/*
 * What labels and Docker's configuration say about how a container is to be treated: read once by the agent,
 * carried in its registration, used by the policy. Pure.
 */
#ifndef DEFIB_PROTO_CONTAINER_SPEC_H
#define DEFIB_PROTO_CONTAINER_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "proto/limits.h"
#include "proto/vocabulary.h"

struct cJSON;
struct json_writer;

/* A plain value. -1 means "no label": the setting applies. */
struct container_spec {
    enum restart_label restart; /* defib.restart, autoheal=true, deunhealth.restart.on.unhealthy=true */
    enum beat_mode beat_mode;   /* as labelled */
    bool is_app_beating;        /* the agent found that the service beats for itself on its key */
    bool is_own;                /* one of defib's own programs runs in it: never touched */
    bool is_redis_in_use;       /* the agent's Redis lives in it: never touched */
    bool is_denied_by_agent;    /* the agent's own deny list */
    bool is_oneshot;            /* defib.oneshot or com.docker.compose.oneoff */
    bool has_healthcheck;
    bool has_checks; /* by label: defib.check, defib.progress, defib.limit */
    int64_t stop_timeout_ms;
    int64_t start_grace_ms;
    int64_t healthcheck_grace_ms; /* start period + interval x retries, 0 without a HEALTHCHECK */
    int64_t unhealthy_grace_ms;
    int64_t max_attempts;
    int64_t backoff_ms[LIMIT_BACKOFF_STEPS];
    size_t backoff_count; /* 0: the setting applies */
    enum docker_policy docker_policy;
    int64_t docker_policy_max;          /* on-failure:N; 0: no bound */
    char network_parent[LIMIT_ID_SIZE]; /* container:<id> of NetworkMode, PidMode or IpcMode; else empty */
    char compose_project[LIMIT_NAME_SIZE];
    char compose_service[LIMIT_NAME_SIZE]; /* where the beat's service is another, by label; else empty */
    /* Soft edges: "db,cache:restart": fleet names or, within one compose project, services; `:restart` where
     * compose says `restart: true`. Comma-separated, no blanks. */
    char depends_on[LIMIT_DEPENDS_ON_SIZE];
    char complaint[LIMIT_DETAIL_SIZE]; /* of the first label that is of no use, for people; ASCII */
    int64_t complaint_count;           /* labels that are of no use */
};

void container_spec_init(struct container_spec *spec); /* no label at all */

/* Fresh object, given; leaves out what says nothing. */
struct cJSON *container_spec_to_json(const struct container_spec *spec);

/* Writes the same object under `key`. */
void container_spec_write(struct json_writer *writer, const char *key, const struct container_spec *spec);

/* Borrows the tree; unknown fields are ignored. 0, or -EINVAL naming the field. */
int container_spec_from_json(const struct cJSON *tree, struct container_spec *out, struct err *err);

#endif
