/*
 * The fields of a heartbeat, for the two that read them: heartbeat.c and heartbeat_facts.c. Pure.
 */
#ifndef DEFIB_PROTO_HEARTBEAT_FIELDS_H
#define DEFIB_PROTO_HEARTBEAT_FIELDS_H

#include <stddef.h>

enum field_kind {
    FIELD_NAME, /* refused where it is no name */
    FIELD_INSTANCE,
    FIELD_TEXT, /* cut to fit */
    FIELD_STATUS,
    FIELD_TIME,
    FIELD_TREE,
    FIELD_SEQ,
    FIELD_STATE,
    FIELD_HEALTH,
    FIELD_STOP_CLASS,
    FIELD_RESTARTING,
    FIELD_EXIT_CODE,
    FIELD_OOM,
    FIELD_RESTART_COUNT,
    FIELD_COMMAND_CODE,
    FIELD_ATTEMPT
};

struct heartbeat_field {
    const char *name;
    unsigned char len;
    unsigned char kind;          /* enum field_kind */
    unsigned short offset, size; /* of the member of struct heartbeat */
};

/* In the order in which they are written; the first is `service`. */
enum { HEARTBEAT_FIELDS = 29 };
extern const struct heartbeat_field heartbeat_fields_table[HEARTBEAT_FIELDS];

/* Documents mostly have the fields in our order: the search starts at the one that is likely next.
 * HEARTBEAT_FIELDS where there is none of that name. */
unsigned heartbeat_fields_find(const char *name, size_t len, unsigned likely);

#endif
