/*
 * The agent: all of its modules, wired in the order of the flow. Facts out, commands in; it never decides.
 *
 *   engine_client -> event_stream -> container_table -> heartbeat_publisher -> Redis
 *   command_server -> engine_client
 *
 * One loop, one thread. Modules take a `struct agent *` and use the members made before them.
 *
 * command_server's side of the contract (agent/command_server.h):
 *   int command_server_open(struct agent *agent, struct command_server **out, struct err *err);
 *   void command_server_close(struct command_server *server);                  NULL is allowed
 *   const char *command_server_url(const struct command_server *server);       with the real port
 *   uint64_t command_server_epoch(const struct command_server *server);        the highest accepted
 *   void command_server_set_keys(struct command_server *server, const struct key_ring *keys);   after SIGHUP
 *   size_t command_server_in_flight(const struct command_server *server);
 */
#ifndef DEFIB_AGENT_AGENT_H
#define DEFIB_AGENT_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/core/container_table.h"
#include "common/clock.h"
#include "common/loop.h"
#include "common/settings.h"
#include "proto/command.h"
#include "proto/envelope.h"

struct engine_client;
struct event_stream;
struct heartbeat_publisher;
struct prober;
struct evidence;
struct evidence_capture;
struct command;
struct beat_maker;
struct metric_reader;
struct command_server;
struct state_files_writer;

struct agent {
    const struct settings *settings; /* borrowed from main, outlives the agent */
    struct key_ring keys;            /* count 0: no key file was given */
    char id[LIMIT_COMMAND_ID_SIZE];  /* random, of this process; seq and change count within it */
    char boot_id[LIMIT_ID_SIZE];
    char self_id[LIMIT_ID_SIZE]; /* the container the agent runs in, or "" */
    struct wall started_at;
    struct loop *loop;
    struct container_table_config table_config;
    struct container_table *table;
    struct engine_client *engine;
    struct event_stream *stream;
    struct prober *prober;
    struct evidence *evidence;
    struct beat_maker *maker;
    struct metric_reader *metrics;
    /* As evidence_begin and evidence_cancel. NULL: nothing is collected before a container is changed. */
    struct evidence_capture *(*begin_evidence)(struct evidence *evidence, const struct command *command,
                                               const struct engine_container *facts,
                                               void (*on_done)(void *arg), void *arg);
    void (*cancel_evidence)(struct evidence_capture *capture);
    /* An inspect was taken in; facts are borrowed for the call. NULL: nobody asks. */
    void (*on_inspected)(struct agent *agent, const struct engine_container *facts);
    struct heartbeat_publisher *publisher;
    struct command_server *commands;
    char url[LIMIT_URL_SIZE];       /* what controllers dial */
    struct loop_timer *flush_timer; /* changes leave at the end of the turn in which they came */
    struct loop_timer *tick_timer;
    bool is_flush_due;
    struct mono flushed_at;
    struct state_files_writer *writer;
    uint64_t saved_change;
    uint64_t saved_events; /* how many were seen by then */
    struct mono saved_at;
    bool is_save_failing;
};

/* Everything but loop_run: 0, or -errno with the one line for stderr. The agent must be zeroed. Docker and
 * Redis need not be there. agent_fini is needed in both cases. */
int agent_init(struct agent *agent, const struct settings *settings, struct err *err);
void agent_run(struct agent *agent);
void agent_fini(struct agent *agent);

/* SIGHUP: the key file once more; one that is no good is logged, and the keys stay. */
void agent_reload(struct agent *agent);

/* Facts in the table may have changed: publishes what did, at the end of this turn of the loop. Every caller
 * of a container_table function that takes facts in calls it afterwards. */
void agent_facts_changed(struct agent *agent);

/* How a command ended: into the container's beat and registration entry, published at the end of this turn.
 */
void agent_command_ended(struct agent *agent, const struct outcome *outcome);

/* Grows whenever the registration says something new. */
uint64_t agent_change(const struct agent *agent);

/* The registration document as it stands now, the payload of `inventory`. Fresh text, given; NULL before the
 * first list of containers, and where it would be too large. */
char *agent_inventory(struct agent *agent, size_t *len);

/* Whether Redis takes our writes, as far as the last ones told. */
enum redis_word agent_redis(const struct agent *agent);

#endif
