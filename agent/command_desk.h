/*
 * Requests in, answers out, as bytes: opens and checks the frame, takes the command apart, hands it to the
 * runner, seals the answer. Knows nothing of nng and nothing of Docker.
 *
 * What cannot be authenticated gets an unsigned `unauthorized` and no further: nothing in it is looked at.
 * What is no frame at all gets no answer. Both are counted, and logged at most once in 10 s.
 */
#ifndef DEFIB_AGENT_COMMAND_DESK_H
#define DEFIB_AGENT_COMMAND_DESK_H

#include <stddef.h>
#include <stdint.h>

#include "agent/command_runner.h"
#include "proto/command.h"
#include "proto/envelope.h"

struct command_desk;

struct command_desk_options {
    struct command_runner *runner; /* borrowed, outlives the desk, like host and agent */
    const char *host;
    const char *agent; /* random id of this process */
    void *arg;
    struct mono (*now)(void *arg);
    uint64_t (*change)(void *arg);              /* of the inventory */
    char *(*inventory)(void *arg, size_t *len); /* fresh text, given; NULL: it cannot be told */
    enum redis_word (*redis)(void *arg);        /* whether Redis takes this agent's writes */
};

struct command_desk_counters {
    int64_t requests; /* everything that came */
    int64_t garbage;  /* no frame, or no command in it */
    int64_t unauthorized;
    int64_t accepted; /* receipts */
    int64_t refused;  /* start and restart that got another answer */
};

struct command_desk *command_desk_new(const struct command_desk_options *options);
void command_desk_free(struct command_desk *desk); /* NULL is allowed */

/* Copies the keys. None: requests and answers are unsigned. */
void command_desk_set_keys(struct command_desk *desk, const struct key_ring *keys);

/* Fresh bytes, given, or NULL where there is nobody to answer. *job is one to begin (command_runner_begin)
 * after the answer has been sent, or NULL. */
uint8_t *command_desk_answer(struct command_desk *desk, const uint8_t *bytes, size_t len, size_t *answer_len,
                             struct command_job **job);

struct command_desk_counters command_desk_counters(const struct command_desk *desk);

#endif
