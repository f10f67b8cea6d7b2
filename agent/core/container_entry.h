/*
 * One container of the table with what the table alone needs: how facts and events change it. Pure; used by
 * container_table.c only.
 */
#ifndef DEFIB_AGENT_CORE_CONTAINER_ENTRY_H
#define DEFIB_AGENT_CORE_CONTAINER_ENTRY_H

#include <stdbool.h>

#include <uthash.h>

#include "agent/core/container_table.h"
#include "agent/core/stop_cause.h"

enum inspect_need {
    INSPECT_NONE,
    INSPECT_WANTED,
    INSPECT_ASKED,
    INSPECT_STALE, /* asked, and something happened since: its answer is thrown away */
    INSPECT_FAILED
};

struct container_entry {
    struct container pub; /* first: the table hands it out */
    struct stop_evidence evidence;
    struct mono wake_at; /* judge again; MONO_NEVER */
    enum inspect_need need;
    bool is_auto_remove;
    bool is_start_pending; /* `start` was seen, the new incarnation is not known yet: pub is the old one */
    struct mono own_until; /* what happens before is our own doing; 0: no command in flight */
    bool is_shutdown_expected; /* its daemon or host went down under it: found dead, it was not an operator */
    bool is_accused;           /* is_daemon_gone since the last loss of the stream: not proven yet */
    bool is_marked;
    bool is_changed;
    bool is_removed;
    bool are_labels_reported;
    UT_hash_handle hh;
};

/* Exited, dead, or waiting for Docker's own restart. */
bool container_entry_is_down(const struct container_entry *entry);

/* Whose doing a `stop` is. */
enum container_stopper {
    CONTAINER_STOPPER_OPERATOR,
    CONTAINER_STOPPER_DAEMON, /* it happened before our stream, under a daemon that was restarted */
    CONTAINER_STOPPER_UNKNOWN /* ... under a daemon of which nobody knows whether it was */
};
void container_entry_event(struct container_entry *entry, const struct engine_event *event,
                           enum container_stopper stopper, struct mono now);

/* Facts of Docker alone; name, identity and spec are the table's. */
void container_entry_inspected(struct container_entry *entry, const struct engine_container *facts,
                               struct mono now);

/* A record from an earlier life of the agent (stop_records.h), before the first inspect. */
void container_entry_restore(struct container_entry *entry, const struct stop_evidence *evidence,
                             struct mono died_at, struct mono now);

/* MONO_NEVER: our own command begins. A time: it ended, but its events may still be on their way. */
void container_entry_own_until(struct container_entry *entry, struct mono until);

/* Sets stop_class and wake_at. */
void container_entry_judge(struct container_entry *entry, const struct stop_cause_config *config,
                           struct mono daemon_seen_at, struct mono now);

/* An inspect that is under way has become stale; with `is_wanted` one is asked for in any case. */
void container_entry_disturb(struct container_entry *entry, bool is_wanted);

#endif
