/*
 * What the agent knows of the containers on its host. Pure: Docker's facts and `now` go in; the changed
 * containers, the ids to inspect and the time of the next look come out.
 *
 * A fact comes from an inspect; an event is evidence (stop_cause.h), a first sight of a change, and the
 * reason to inspect. An inspect that was asked for before the last event of its container is stale and asked
 * again. Only watched containers are in the table (DEFIB_WATCH, defib.enable).
 */
#ifndef DEFIB_AGENT_CORE_CONTAINER_TABLE_H
#define DEFIB_AGENT_CORE_CONTAINER_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/core/engine_json.h"
#include "agent/core/event_window.h"
#include "agent/core/outcome_log.h"
#include "agent/core/self_finder.h"
#include "agent/core/stop_cause.h"
#include "common/clock.h"
#include "common/name_patterns.h"
#include "proto/container_spec.h"
#include "proto/limits.h"
#include "proto/vocabulary.h"

struct container_table;

/* One container. Callers read it; only the table writes. Borrowed until the next call that takes facts in. */
struct container {
    char id[LIMIT_ID_SIZE];
    char name[LIMIT_NAME_SIZE]; /* fleet-wide: prefix + Docker's */
    char docker_name[LIMIT_NAME_SIZE];
    char service[LIMIT_NAME_SIZE];
    char instance[LIMIT_NAME_SIZE];
    bool is_inspected; /* false: only an event or the list told of it so far */
    enum container_state state;
    enum container_health health;
    enum stop_class stop_class;        /* STOP_NONE while it runs */
    bool is_stopping;                  /* it runs, and was just asked to end, not by us */
    char incarnation[LIMIT_TIME_SIZE]; /* Docker's State.StartedAt, byte for byte; "": not known yet */
    int64_t started_ns, finished_ns;   /* 0: never */
    int64_t pid;                       /* 0 where it does not run */
    bool has_exit_code;
    int exit_code;
    bool oom_killed;
    bool is_docker_restarting; /* Docker's own policy will start it again */
    char error[LIMIT_DETAIL_SIZE];
    int64_t restart_count;
    int64_t engine_stop_timeout_secs; /* Config.StopTimeout; -1: not set */
    int64_t memory_limit_bytes;       /* HostConfig.Memory; 0: none */
    enum beat_status probe_status;    /* what its probes say together; BEAT_UNKNOWN: nothing */
    struct container_spec spec;       /* labels and flags: is_own, is_redis_in_use, is_denied_by_agent, … */
    char last_command[LIMIT_COMMAND_ID_SIZE]; /* hex; "": none */
    enum answer_code last_command_code;
    int64_t last_command_unstored; /* its unstored_attempt (command.h) */
    struct wall last_command_at;
    uint64_t change; /* the table's change counter when this one changed last */
};

struct container_table_config {
    const char *name_prefix;
    enum container_watch { CONTAINER_WATCH_ALL, CONTAINER_WATCH_LABEL, CONTAINER_WATCH_GLOBS } watch;
    const struct name_patterns *watch_globs; /* on Docker's or the fleet-wide name */
    const struct name_patterns *deny;        /* on the fleet-wide name */
    struct stop_cause_config stop;
    const char *self_id;      /* the container this agent runs in; "": none */
    label_complaint complain; /* a line about a container's labels, once per id; may be NULL */
    void *complain_arg;
};

/* config and what it borrows must outlive the table. */
struct container_table *container_table_new(const struct container_table_config *config);
void container_table_free(struct container_table *table);

/* ---- looking ---- */

const struct container *container_table_by_id(const struct container_table *table, const char *id);

/* Two ids may share a name for a moment (recreate): the one that runs, else the one that was seen later. */
const struct container *container_table_by_name(const struct container_table *table, const char *fleet_name);
size_t container_table_count(const struct container_table *table);

/* Walks in the order of first sight; NULL starts and NULL ends. */
const struct container *container_table_next(const struct container_table *table,
                                             const struct container *previous);

/* Never touched: ours, our Redis, or on the agent's own deny list, or labelled defib.restart=deny. *why gets
 * a word for the answer's detail ("own", "redis_in_use", "deny_list", "label"). */
bool container_table_is_denied(const struct container *container, const char **why);

/* It shares a namespace with a container that is known and does not run. */
bool container_table_is_parent_down(const struct container_table *table, const struct container *container);

/* Grows with every change of a fact; counts within this process. */
uint64_t container_table_change(const struct container_table *table);

/* ---- facts in ---- */

/* A line of the event stream, each only once. `is_history`: it happened before the stream was opened. */
void container_table_event(struct container_table *table, const struct engine_event *event, bool is_history,
                           struct mono now);

/* One whole list: rows that are new or differ are inspected; what is not listed is gone. Marks are set at
 * begin, so that what appears in between stays. `begin` also says whether everything shall be inspected. */
enum container_sweep { CONTAINER_SWEEP_DIFFERENCES, CONTAINER_SWEEP_ALL };
void container_table_sweep_begin(struct container_table *table);
void container_table_sweep(struct container_table *table, const struct engine_summary *rows, size_t count,
                           enum container_sweep what, struct mono now);

/* A whole list came in since the table was made: what is not in it does not exist. */
bool container_table_has_swept(const struct container_table *table);

/* And each of them was inspected, or could not be. Before that an inventory would leave out what is there.
 * True for ever once it was. */
bool container_table_is_whole(const struct container_table *table);

/* The next id to inspect, marked as asked; NULL: none. Ends with one of the three behind it. */
const char *container_table_next_inspect(struct container_table *table);
void container_table_inspected(struct container_table *table, const struct engine_container *facts,
                               struct mono now);
void container_table_inspect_gone(struct container_table *table, const char *id, struct mono now); /* 404 */
void container_table_inspect_failed(struct container_table *table,
                                    const char *id); /* asked again by _retry */
void container_table_retry_inspects(struct container_table *table);

/* The event stream ended; and is there again, with what we know of the daemon behind it. */
enum container_daemon {
    CONTAINER_DAEMON_SAME,   /* an interrupted connection; or what ran lived on without it (live-restore) */
    CONTAINER_DAEMON_NEW,    /* it was restarted */
    CONTAINER_DAEMON_UNKNOWN /* first contact, or nothing proves either */
};
void container_table_stream_lost(struct container_table *table, struct mono now);
void container_table_stream_back(struct container_table *table, enum container_daemon daemon,
                                 bool is_live_restore, struct mono now);

/* Asked at `asked_at` over a new connection, the daemon answered: it was not shutting down then. Or nobody
 * listened, although the stream is still open: what stops now is a shutdown's, until it answers again. */
void container_table_daemon_answered(struct container_table *table, struct mono asked_at, struct mono now);
void container_table_daemon_going(struct container_table *table, struct mono now);

/* A stop waits for the proof that the daemon stayed up: ask it after every tick while this is true. */
bool container_table_wants_proof(const struct container_table *table);

/* The host was booted since the records that were loaded were written. */
void container_table_host_booted(struct container_table *table);

/* Where our Redis is, for spec.is_redis_in_use. Borrowed for the call. Flags only grow (sticky by name). */
void container_table_redis_place(struct container_table *table, const struct self_finder_redis *place);

/* A durable intent was found for this id (Redis): it is an operator's stop. */
void container_table_intended(struct container_table *table, const char *id, struct mono now);

/* The service was found beating for itself: sticky for this id. */
void container_table_set_app_beating(struct container_table *table, const char *id);

/* Its probes say so, together. Allows an id that is not there. True where it is another word than before. */
bool container_table_set_probe_status(struct container_table *table, const char *id, enum beat_status status);

/* ---- for commands ---- */

/* From begin on, kill, die and stop of this id are ours (class `own`), until it starts again or `end`. Begin
 * before Docker is asked; also at start-up for a command that was in flight when the agent died. `end` when
 * the outcome is known: a container that is then still dead counts as crashed or start_error, never as an
 * operator's stop. Both allow an id that is not there. */
void container_table_own_command_begin(struct container_table *table, const char *id);
void container_table_own_command_end(struct container_table *table, const char *id, struct mono now);

/* Rides in the beats and the registration from now on; counts as a change. */
void container_table_set_last_command(struct container_table *table, const struct outcome *outcome);

/* ---- time ---- */

void container_table_tick(struct container_table *table, struct mono now);
struct mono container_table_wake_at(struct container_table *table); /* MONO_NEVER: nothing settles */

/* ---- changes out ---- */

/* The next container that changed since it was handed out last; NULL: none. A removed one comes out once
 * with state CONTAINER_REMOVING and is_removed true, and is freed at the next call. */
const struct container *container_table_next_changed(struct container_table *table, bool *is_removed);

/* ---- across restarts of the agent ---- */

/* What must survive: stop records of dead containers, who beats for itself, where Redis lives, and which
 * events were seen. Fresh text, given. `redis` is a text that stands for REDIS_URL: sticky Redis flags are
 * dropped when it changes. */
char *container_table_save(const struct container_table *table, const char *boot_id, const char *redis,
                           const struct event_window *seen, size_t *len);

/* Before any fact came in. Lines that do not parse are skipped. True where the text tells which events were
 * seen; *boot_id is "" where it does not tell. */
bool container_table_load(struct container_table *table, const char *text, size_t len, const char *redis,
                          char boot_id[LIMIT_ID_SIZE], struct event_window *seen);

/* Grows whenever the text of container_table_save would differ by more than the events. */
uint64_t container_table_save_change(const struct container_table *table);

#endif
