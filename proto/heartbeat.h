/*
 * The heartbeat: JSON under `health:hb:{service}:{instance}` and on `health:heartbeats`. Pure.
 *
 * The runbook's document, plus what an agent adds (contract.md). Anyone may publish one, so decoding takes
 * whatever a service may sensibly write: every field but `service` and `instance_id` may be missing, times
 * in any form of timestamp.h, a status word nobody knows (BEAT_UNKNOWN, the word kept in status_word).
 * Fields nobody knows, and known ones of an unexpected type, are kept in `extra` and written back.
 */
#ifndef DEFIB_PROTO_HEARTBEAT_H
#define DEFIB_PROTO_HEARTBEAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/err.h"
#include "proto/limits.h"
#include "proto/vocabulary.h"

struct cJSON;
struct json_writer;

/* A plain value but for the three trees, which it owns. Zero it, or start with heartbeat_init. Empty text,
 * a zero time and the UNKNOWN members mean "not said". */
struct heartbeat {
    char service[LIMIT_NAME_SIZE];
    char instance_id[LIMIT_NAME_SIZE];
    enum beat_status status;
    char status_word[LIMIT_WORD_SIZE]; /* as it came; encoded only where `status` is BEAT_UNKNOWN */
    struct wall started_at;
    struct wall timestamp;
    char version[LIMIT_VERSION_SIZE];
    char hostname[LIMIT_NAME_SIZE];

    /* additions; an agent fills all of them */
    char source[LIMIT_WORD_SIZE];      /* "agent", "app", … */
    char host[LIMIT_NAME_SIZE];        /* DEFIB_HOST */
    char container[LIMIT_NAME_SIZE];   /* fleet-wide name */
    char container_id[LIMIT_ID_SIZE];  /* 64 hex digits */
    char incarnation[LIMIT_TIME_SIZE]; /* Docker's State.StartedAt, byte for byte */
    char agent[LIMIT_COMMAND_ID_SIZE]; /* random id of the agent's process; seq counts within it */
    uint64_t seq;                      /* grows with every document this agent publishes; 0: none */
    enum container_state state;
    enum container_health health;
    enum stop_class stop_class;
    bool is_docker_restarting; /* Docker's own policy will start it again */
    bool has_exit_code;
    int exit_code;
    bool oom_killed;
    int64_t restart_count; /* -1: not said */
    struct wall finished_at;
    char error[LIMIT_DETAIL_SIZE];            /* Docker's State.Error, cut */
    char last_command[LIMIT_COMMAND_ID_SIZE]; /* the id as hex, and how it ended */
    enum answer_code last_command_code;
    int64_t last_command_unstored; /* its unstored_attempt (command.h); 0: none */
    struct wall last_command_at;   /* when it ended */

    struct cJSON *checks;  /* an object or NULL */
    struct cJSON *metrics; /* an object or NULL */
    struct cJSON *extra;   /* an object of unknown fields, or NULL */
};

void heartbeat_init(struct heartbeat *beat); /* all "not said" */
void heartbeat_fini(struct heartbeat *beat); /* frees the trees; zeroed fields are fine */

/* Borrows the bytes. 0, or -EINVAL / -EMSGSIZE with one line for people (it names the field, never more
 * than 64 bytes of what came, escaped); *out is then as after heartbeat_init. */
int heartbeat_decode(const char *bytes, size_t len, struct heartbeat *out, struct err *err);

/* The same for a tree that is already parsed (an entry of a registration); takes what it needs out of it. */
int heartbeat_from_json(struct cJSON *tree, struct heartbeat *out, struct err *err);

/* Fresh NUL-terminated text, given to the caller (free()); *len without the NUL. Known fields in the
 * runbook's order, then additions that are said, then extra. */
char *heartbeat_encode(const struct heartbeat *beat, size_t *len);

/* Fresh tree, given; `with_details` false leaves checks, metrics and extra out. */
struct cJSON *heartbeat_to_json(const struct heartbeat *beat, bool with_details);

/* Writes the fields alone into the object that is open; the same `with_details`. */
void heartbeat_write(struct json_writer *writer, const struct heartbeat *beat, bool with_details);

void heartbeat_set_check(struct heartbeat *beat, const char *name, bool is_ok);
/* Why a check is not well: one line in the object `check_details` of `extra`. */
void heartbeat_set_check_detail(struct heartbeat *beat, const char *name, const char *detail);
/* That object, borrowed; NULL where nothing is told. */
const struct cJSON *heartbeat_check_details(const struct heartbeat *beat);
/* False where it tells no such number. */
bool heartbeat_metric(const struct heartbeat *beat, const char *name, double *out);
void heartbeat_set_metric(struct heartbeat *beat, const char *name, double value);

/* The worse of two statuses for the policy: unhealthy > stopping > starting > degraded (and unknown words)
 * > healthy. */
enum beat_status heartbeat_worse(enum beat_status left, enum beat_status right);

#endif
