#include "controller/ctl/operator_note.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/memory.h"
#include "proto/alert.h"
#include "proto/keys.h"

void operator_note_who(char out[LIMIT_NAME_SIZE])
{
    char machine[128] = "";
    const char *name = getenv("SUDO_USER");
    const struct passwd *entry = name == NULL ? getpwuid(getuid()) : NULL;
    name = entry != NULL ? entry->pw_name : name;
    gethostname(machine, sizeof machine - 1);
    snprintf(out, LIMIT_NAME_SIZE, "%.100s@%.100s", name == NULL ? "somebody" : name, machine);
}

int operator_note_write(struct ctl *ctl, const char *action, const char *kind, const char *name,
                        const char *detail, struct err *err)
{
    struct event_record record;
    event_record_init(&record);
    memory_set_text(record.kind, sizeof record.kind, "operator");
    memory_set_text(record.action, sizeof record.action, action);
    if (strcmp(kind, "container") == 0) {
        memory_set_text(record.container, sizeof record.container, name);
    } else {
        memory_set_text(record.host, sizeof record.host, strcmp(kind, "host") == 0 ? name : "");
        snprintf(record.reason, sizeof record.reason, "%.20s %.40s", kind, name);
    }
    memory_set_text(record.detail, sizeof record.detail, detail);
    record.timestamp = clock_wall_now();
    size_t len;
    cleanup_free char *text = event_record_encode(&record, &len);
    const char *argv[] = {"XADD", KEY_STREAM_EVENTS, "MAXLEN", "~", KEY_STREAM_EVENTS_KEPT, "*", "data",
                          text};
    cleanup_desk_reply struct desk_reply reply;
    return redis_desk_call(ctl->redis, 8, argv, &reply, err);
}
