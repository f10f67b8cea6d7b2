/*
 * The life of a command at the agent, from the receipt to its end:
 *
 *   receive   judged on what the table says; the answer is the receipt, or the refusal
 *   look      a fresh inspect, and the gate once more: the last look
 *   capture   how it is now is kept as evidence, within 300 ms
 *   write     the intent, synced to disk
 *   act       Docker is asked, start or restart, once
 *   prove     another inspect: which incarnation runs now
 *   end       remembered, written, published
 *
 * One id leads to at most one change in Docker, also when the agent dies at any point: an intent without an
 * end is never carried out again. Where nobody can know how it ended (the agent died, Docker's answer was
 * lost) the container is watched until its incarnation changes or the time for it has passed.
 *
 * Everything it touches is behind `struct command_ports`, so that tests put a Docker, a disk and a clock of
 * their own there. On the loop's thread; nothing blocks.
 */
#ifndef DEFIB_AGENT_COMMAND_RUNNER_H
#define DEFIB_AGENT_COMMAND_RUNNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/core/command_gate.h"
#include "agent/core/outcome_log.h"
#include "agent/engine_client.h"
#include "agent/outcome_file.h"
#include "common/clock.h"
#include "proto/command.h"

enum command_own { COMMAND_OWN_BEGIN, COMMAND_OWN_END };

struct evidence_capture;

struct command_ports {
    void *arg;
    struct mono (*now)(void *arg);
    struct wall (*wall)(void *arg);
    /* What the table says now; false: no watched container has this name. */
    bool (*find)(void *arg, const char *container, struct command_facts *out);
    bool (*is_listed)(void *arg); /* the table holds all containers: what is not found does not exist */
    /* As engine_client.h: the callback comes exactly once and later. */
    struct engine_call *(*inspect)(void *arg, const char *container_id, engine_inspect_callback on_done,
                                   void *done_arg);
    struct engine_call *(*act)(void *arg, enum command_op act, const char *container_id,
                               int64_t stop_timeout_secs, int64_t timeout_ms, engine_callback on_done,
                               void *done_arg);
    void (*cancel)(void *arg, struct engine_call *call);
    /* Docker could not be asked: it may be going, or hang, while its events still seem to be heard. */
    void (*doubt)(void *arg);
    /* Keeps how the container is before it is changed; facts are borrowed for the call. on_done comes once,
     * later and within 300 ms. capture may be NULL: nothing is kept. */
    struct evidence_capture *(*capture)(void *arg, const struct command *command,
                                        const struct engine_container *facts, void (*on_done)(void *arg),
                                        void *done_arg);
    void (*drop_capture)(void *arg, struct evidence_capture *capture); /* no on_done any more */
    /* Between the two, deaths and stops of this container are our own doing. */
    void (*own)(void *arg, const char *container_id, enum command_own what);
    /* A command that was accepted has ended. */
    void (*ended)(void *arg, const struct outcome *outcome);
    /* As outcome_file.h; on_done (may be NULL) may also come from within append. */
    void (*append)(void *arg, const uint8_t *bytes, size_t len, enum outcome_file_safety safety,
                   outcome_file_callback on_done, void *done_arg);
    void (*replace)(void *arg, uint8_t *bytes, size_t len); /* takes the bytes */
};

struct command_runner;
struct command_job;

/* Copies the ports; borrows the host. `image` is what the disk held. */
struct command_runner *command_runner_new(const struct command_ports *ports, const char *host,
                                          const uint8_t *image, size_t len);

/* Cancels what is open; the file's callbacks must not come any more. NULL is allowed. */
void command_runner_free(struct command_runner *runner);

/* Looks after the commands that were open when the last agent ended. Once, when Docker can be asked. */
void command_runner_recover(struct command_runner *runner);

/* Fills id, code, detail, container_id, started_at and took_ms of the initialised answer. A job comes back
 * where the answer is a receipt: it begins with command_runner_begin, after the receipt has been sent. */
struct command_job *command_runner_receive(struct command_runner *runner, const struct command *command,
                                           struct answer *out);
void command_runner_begin(struct command_runner *runner, struct command_job *job);

/* How this id ended; ANSWER_ACCEPTED while it is being worked on. ANSWER_UNKNOWN_ID is a promise: should the
 * command come in after all, it is not carried out. */
void command_runner_outcome(struct command_runner *runner, const struct command_id *id, struct answer *out);

/* A controller with this epoch was heard. */
void command_runner_raise_epoch(struct command_runner *runner, uint64_t epoch);
uint64_t command_runner_epoch(const struct command_runner *runner);

/* About once a second while command_runner_in_flight() is not 0. */
void command_runner_tick(struct command_runner *runner);
size_t command_runner_in_flight(const struct command_runner *runner);

#endif
