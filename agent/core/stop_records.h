/*
 * What the agent keeps on its own disk about dead containers, as text: one record a line. Pure.
 *
 * Without it a restart of the agent would turn a crash into an unknown stop and an operator's stop into a
 * crash.
 */
#ifndef DEFIB_AGENT_CORE_STOP_RECORDS_H
#define DEFIB_AGENT_CORE_STOP_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/core/event_window.h"
#include "agent/core/stop_cause.h"
#include "proto/limits.h"

/* A dead container: evidence of this incarnation. Our own clock does not travel: of its times only those
 * between an event and the death do. */
struct stop_record {
    char id[LIMIT_ID_SIZE];
    char incarnation[LIMIT_TIME_SIZE];
    struct stop_evidence evidence;
};

/* All that the file holds. */
struct stop_records {
    char boot_id[LIMIT_ID_SIZE];
    char redis[LIMIT_NAME_SIZE]; /* stands for REDIS_URL */
    bool has_seen;               /* the text tells what was seen, be it nothing */
    struct event_window seen;
    struct stop_record *dead; /* owned, like the two lists below */
    size_t dead_count;
    char (*app_beating)[LIMIT_ID_SIZE];
    size_t app_count;
    char (*redis_names)[LIMIT_NAME_SIZE];
    size_t redis_count;
};

void stop_records_fini(struct stop_records *records); /* empty afterwards */
void stop_records_add_dead(struct stop_records *records, const char *id, const char *incarnation,
                           const struct stop_evidence *evidence);
void stop_records_add_app(struct stop_records *records, const char *id);
void stop_records_add_redis(struct stop_records *records, const char *docker_name);

/* Fresh text, given. Tells what was seen whether has_seen is set or not. */
char *stop_records_encode(const struct stop_records *records, size_t *len);

/* Lines that do not parse are skipped; *out was not initialised. At most LIMIT_REGISTRATION_CONTAINERS of a
 * kind. */
void stop_records_decode(const char *text, size_t len, struct stop_records *out);

#endif
