/*
 * Alerts on `system:alerts` and decisions on `health:events`. Pure. Fields as contract.md names them.
 */
#ifndef DEFIB_PROTO_ALERT_H
#define DEFIB_PROTO_ALERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "proto/event_facts.h"
#include "proto/limits.h"

#define ALERT_TYPE_WORDS(X)               \
    X(HEALTH_SUMMARY, "info")             \
    X(SERVICE_RESTART_FAILED, "critical") \
    X(SERVICE_RESTARTED, "info")          \
    X(SERVICE_RECOVERED, "info")          \
    X(SERVICE_HELD, "info")               \
    X(NEEDS_RECREATE, "critical")         \
    X(CRASH_LOOP, "warning")              \
    X(AGENT_LOST, "critical")             \
    X(AGENT_RECOVERED, "info")            \
    X(REDIS_LOST, "critical")             \
    X(REDIS_RECOVERED, "info")            \
    X(BREAKER_OPEN, "critical")           \
    X(BREAKER_CLOSED, "info")             \
    X(NAME_COLLISION, "warning")          \
    X(TEST, "info") /* an operator wants to see that alerts arrive */

#define ALERT_MEMBER(type, severity) ALERT_##type,
enum alert_type { ALERT_TYPE_WORDS(ALERT_MEMBER) ALERT_TYPE_N };
#undef ALERT_MEMBER

struct alert_totals {
    int64_t total, healthy, degraded, unhealthy, missing; /* the runbook's and contract's */
    int64_t starting, held;                               /* additions */
};

/* A plain value. Empty text is written as null where the contract names the field. */
struct alert {
    enum alert_type type;
    char container[LIMIT_NAME_SIZE];
    char host[LIMIT_NAME_SIZE];
    char service[LIMIT_NAME_SIZE];
    char container_id[LIMIT_ID_SIZE];
    char reason[LIMIT_REASON_SIZE]; /* missing_heartbeat, status_unhealthy, oom, exit_1, … */
    char action[LIMIT_REASON_SIZE]; /* deny_list, not_in_allowlist, restart_failed, max_attempts_exhausted, …
                                     */
    char detail[LIMIT_DETAIL_SIZE];
    char evidence[LIMIT_COMMAND_ID_SIZE]; /* the command before which it was collected; "": none */
    int64_t attempts;
    struct wall last_attempt;
    struct wall cooldown_until;
    struct wall timestamp;
    double recovery_secs;       /* SERVICE_RECOVERED; negative: not said */
    uint64_t seq;               /* grows with every alert of this controller */
    bool is_delayed;            /* came out of the spool */
    struct alert_totals totals; /* HEALTH_SUMMARY */
};

void alert_init(struct alert *alert);
const char *alert_type_name(enum alert_type type);
const char *alert_severity(enum alert_type type);

/* Fresh text, given, spelled `{"type": "…", "container": "…", …}`: one space behind colon and comma, as the
 * runbook shows it in the log. */
char *alert_encode(const struct alert *alert, size_t *len);

/* One entry of `health:events`. A plain value. */
struct event_record {
    char kind[LIMIT_WORD_SIZE]; /* decision, transition, alert, operator, controller */
    char container[LIMIT_NAME_SIZE];
    char host[LIMIT_NAME_SIZE];
    char container_id[LIMIT_ID_SIZE];
    char from[LIMIT_WORD_SIZE]; /* states, where one changed */
    char to[LIMIT_WORD_SIZE];
    char event[LIMIT_WORD_SIZE];    /* what came in */
    char action[LIMIT_REASON_SIZE]; /* restart, start, wait, none, … */
    char reason[LIMIT_REASON_SIZE];
    char gate[LIMIT_WORD_SIZE]; /* the gate that refused, if one did */
    char detail[LIMIT_DETAIL_SIZE];
    char command_id[LIMIT_COMMAND_ID_SIZE];
    int64_t attempt, max_attempts; /* 0, 0: not said */
    struct event_facts facts;      /* of transitions and decisions */
    struct wall timestamp;
    uint64_t seq;
};

void event_record_init(struct event_record *record);
char *event_record_encode(const struct event_record *record, size_t *len); /* fresh JSON text, given */

#endif
