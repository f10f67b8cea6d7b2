#include "proto/heartbeat_fields.h"

#include <string.h>

#include "proto/heartbeat.h"

#define FIELD(text, what, member)                                        \
    {                                                                    \
        text, sizeof text - 1, what, offsetof(struct heartbeat, member), \
            sizeof((struct heartbeat *)0)->member                        \
    }

const struct heartbeat_field heartbeat_fields_table[] = {
    FIELD("service", FIELD_NAME, service),
    FIELD("instance_id", FIELD_INSTANCE, instance_id),
    FIELD("status", FIELD_STATUS, status),
    FIELD("started_at", FIELD_TIME, started_at),
    FIELD("timestamp", FIELD_TIME, timestamp),
    FIELD("checks", FIELD_TREE, checks),
    FIELD("metrics", FIELD_TREE, metrics),
    FIELD("version", FIELD_TEXT, version),
    FIELD("hostname", FIELD_TEXT, hostname),
    FIELD("source", FIELD_TEXT, source),
    FIELD("host", FIELD_NAME, host),
    FIELD("container", FIELD_NAME, container),
    FIELD("container_id", FIELD_NAME, container_id),
    FIELD("incarnation", FIELD_NAME, incarnation),
    FIELD("agent", FIELD_NAME, agent),
    FIELD("seq", FIELD_SEQ, seq),
    FIELD("state", FIELD_STATE, state),
    FIELD("health", FIELD_HEALTH, health),
    FIELD("stop_class", FIELD_STOP_CLASS, stop_class),
    FIELD("docker_restarting", FIELD_RESTARTING, is_docker_restarting),
    FIELD("exit_code", FIELD_EXIT_CODE, exit_code),
    FIELD("oom_killed", FIELD_OOM, oom_killed),
    FIELD("restart_count", FIELD_RESTART_COUNT, restart_count),
    FIELD("finished_at", FIELD_TIME, finished_at),
    FIELD("error", FIELD_TEXT, error),
    FIELD("last_command", FIELD_NAME, last_command),
    FIELD("last_command_code", FIELD_COMMAND_CODE, last_command_code),
    FIELD("last_command_unstored", FIELD_ATTEMPT, last_command_unstored),
    FIELD("last_command_at", FIELD_TIME, last_command_at),
};
_Static_assert(sizeof heartbeat_fields_table / sizeof heartbeat_fields_table[0] == HEARTBEAT_FIELDS,
               "one row each");
_Static_assert(HEARTBEAT_FIELDS <= 32, "a set of fields is 32 bits");

unsigned heartbeat_fields_find(const char *name, size_t len, unsigned likely)
{
    unsigned at = likely;
    for (unsigned tries = 0; tries < HEARTBEAT_FIELDS; tries++) {
        if (at >= HEARTBEAT_FIELDS) {
            at = 0;
        }
        if (heartbeat_fields_table[at].len == len &&
            memcmp(heartbeat_fields_table[at].name, name, len) == 0) {
            return at;
        }
        at++;
    }
    return HEARTBEAT_FIELDS;
}
