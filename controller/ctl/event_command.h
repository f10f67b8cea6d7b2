/*
 * defibctl events, alerts: what happened, from the stream health:events in Redis.
 */
#ifndef DEFIB_CONTROLLER_CTL_EVENT_COMMAND_H
#define DEFIB_CONTROLLER_CTL_EVENT_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "common/clock.h"
#include "controller/ctl/ctl.h"

#define EVENT_COMMAND_OPTIONS \
    "[--container NAME] [--host HOST] [--since 2h|HH:MM|TIME] [--last N] [--follow] [--json]"
#define EVENT_COMMAND_EVENTS_USAGE "events " EVENT_COMMAND_OPTIONS
#define EVENT_COMMAND_ALERTS_USAGE "alerts --test | " EVENT_COMMAND_OPTIONS

int event_command_events(struct ctl *ctl, int argc, char **argv);
int event_command_alerts(struct ctl *ctl, int argc, char **argv);

/* Documents, oldest first. */
struct event_history {
    char **documents;
    size_t count;
};
void event_command_history_fini(struct event_history *history);
#define cleanup_history __attribute__((cleanup(event_command_history_fini)))

/* The last `count` of this container up to `until` (0: now), given. -errno where Redis is not reached. */
int event_command_history(struct ctl *ctl, const char *container, size_t count, struct wall until,
                          struct event_history *out, struct err *err);

/* The last `count` of them: as lines for people, or as a JSON list `events`. */
struct json_writer;
void event_command_print(const struct event_history *history, size_t count);
void event_command_write(struct json_writer *writer, const struct event_history *history, size_t count);

/* Where nothing is found of a name: CTL_FAILED, told with the nearest one, where the fleet does not know it.
 * NULL: not asked for. */
int event_command_check_names(struct ctl *ctl, const char *container, const char *host);

/* The tree, given; NULL where it is no JSON object, or too large for an entry. */
struct cJSON *event_command_parse(const char *document);

/* One entry of the stream as a line for people; false where it is none. Pure. */
bool event_command_line(const char *json, size_t len, char *out, size_t size);

#endif
