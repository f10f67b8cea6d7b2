/*
 * What the decider tells people: log lines, alerts, records, each at its measured pace. Pure.
 */
#ifndef DEFIB_CONTROLLER_CORE_DECIDER_SAY_H
#define DEFIB_CONTROLLER_CORE_DECIDER_SAY_H

#include "controller/core/decider_inner.h"

/* A line about one container; one that says the same as its last is repeated at most every
 * ALERT_REPEAT_SECS. */
void decider_say_line(struct decider *decider, struct container *container, enum action_level level,
                      const char *format, ...) __attribute__((format(printf, 4, 5)));

/* A line about everything. */
void decider_say_general(struct decider *decider, enum action_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* An alert with the container's names, budget and trouble filled in; `edit` what is missing, then hand it to
 * decider_say_alert. */
void decider_say_fill_alert(const struct decider *decider, const struct container *container,
                            enum alert_type type, struct alert *out);
void decider_say_alert(struct decider *decider, struct alert *alert);

/* May what was said at *said_at (0 ms: never) be said again? Then it is said now. */
bool decider_say_may_repeat(const struct decider *decider, struct mono *said_at);

/* The common case. */
void decider_say_failure(struct decider *decider, const struct container *container, const char *action,
                         const char *detail);
void decider_say_host(struct decider *decider, enum alert_type type, const char *host, const char *reason);

void decider_say_transition(struct decider *decider, const struct container *container,
                            enum policy_state from, enum policy_event_kind event,
                            const struct policy_verdict *verdict);

/* `next_at`: when the gates are asked again; 0: not by a clock. */
void decider_say_decision(struct decider *decider, const struct container *container, const char *action,
                          const char *reason, const char *gate, const char *detail, const char *command_id,
                          struct mono next_at);

/* The summary: the alert at each check, the line when it changed or is old. */
void decider_say_summary(struct decider *decider);

/* "oom", "exit_1", "killed" … of a death; "" for other troubles. */
void decider_say_trouble_detail(const struct container *container, char out[LIMIT_DETAIL_SIZE]);

#endif
