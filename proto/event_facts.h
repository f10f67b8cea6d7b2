/*
 * How a container stood when a record was written to `health:events`: its member `facts`, from which
 * `defibctl explain --at` tells the past. Pure.
 *
 *   {"state":"FAILED","cause":"missing_heartbeat","closed":"deny","docker":"exited","health":"none",
 *    "stop_class":"crash","exit_code":1,"status":"unknown","misses":3,"miss_threshold":3,
 *    "agent_heard_secs":1.2,"broken_secs":0.4,"next_secs":10}
 *
 * Small and bounded: what says nothing is left out, times are seconds before or after the record's own.
 */
#ifndef DEFIB_PROTO_EVENT_FACTS_H
#define DEFIB_PROTO_EVENT_FACTS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/json_writer.h"
#include "proto/limits.h"

enum { EVENT_FACTS_CLOSED_SIZE = 192 };

/* A plain value. */
struct event_facts {
    char state[LIMIT_WORD_SIZE];          /* the policy's; "": no facts */
    char cause[LIMIT_REASON_SIZE];        /* of the trouble at hand */
    char closed[EVENT_FACTS_CLOSED_SIZE]; /* the gates that refused, in order, a blank between two */
    char docker[LIMIT_WORD_SIZE], health[LIMIT_WORD_SIZE], stop_class[LIMIT_WORD_SIZE];
    char status[LIMIT_WORD_SIZE]; /* what service and Docker say together */
    char parent[LIMIT_NAME_SIZE], parent_state[LIMIT_WORD_SIZE];
    bool has_exit_code;
    int exit_code;
    int64_t misses, miss_threshold;                      /* the second only where the first is not 0 */
    int64_t bad, unhealthy_threshold;                    /* the same: beats that said unhealthy */
    int64_t agent_heard_ms, service_heard_ms, broken_ms; /* so long ago; -1: never */
    int64_t next_ms;                                     /* until something comes by itself; -1: not known */
};

/* Writes nothing where there are none. */
void event_facts_write(struct json_writer *writer, const char *key, const struct event_facts *facts);

/* False where the item is none: an older controller wrote it. */
bool event_facts_read(const struct cJSON *item, struct event_facts *out);

#endif
