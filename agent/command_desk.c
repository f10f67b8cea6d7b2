#include "agent/command_desk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/memory.h"
#include "proto/command.h"

enum { COMPLAINT_INTERVAL_MS = 10 * 1000 };

struct command_desk {
    struct command_desk_options options;
    struct key_ring keys;
    struct command_desk_counters counters;
    struct mono may_complain_at;
    int64_t unsaid;
};

struct command_desk *command_desk_new(const struct command_desk_options *options)
{
    struct command_desk *desk = memory_alloc(sizeof *desk);
    desk->options = *options;
    desk->may_complain_at = options->now(options->arg);
    return desk;
}

void command_desk_free(struct command_desk *desk)
{
    if (desk != NULL) {
        key_ring_wipe(&desk->keys);
        free(desk);
    }
}

void command_desk_set_keys(struct command_desk *desk, const struct key_ring *keys)
{
    desk->keys = *keys;
}

struct command_desk_counters command_desk_counters(const struct command_desk *desk)
{
    return desk->counters;
}

static void complain(struct command_desk *desk, const struct err *err)
{
    struct mono now = desk->options.now(desk->options.arg);
    if (!mono_reached(now, desk->may_complain_at)) {
        desk->unsaid++;
        return;
    }
    log_warning("Request refused: %s (%lld more since the last such line)", err->text,
                (long long)desk->unsaid);
    desk->may_complain_at = mono_add(now, COMPLAINT_INTERVAL_MS);
    desk->unsaid = 0;
}

static uint8_t *seal(const struct command_desk *desk, const struct key_ring *keys, struct answer *answer,
                     size_t *len)
{
    memory_set_text(answer->host, sizeof answer->host, desk->options.host);
    memory_set_text(answer->agent, sizeof answer->agent, desk->options.agent);
    answer->epoch = command_runner_epoch(desk->options.runner);
    answer->change = desk->options.change(desk->options.arg);
    answer->redis = desk->options.redis(desk->options.arg);
    size_t body_len;
    cleanup_free uint8_t *body = answer_encode(answer, &body_len);
    return envelope_seal(keys, ENVELOPE_ANSWER, desk->options.host, body, body_len, len);
}

/* Unsigned and without an id: a stranger gets nothing out of us that our key has signed. */
static uint8_t *turn_away(struct command_desk *desk, const struct err *err, size_t *len)
{
    static const struct key_ring NO_KEYS;
    desk->counters.unauthorized++;
    complain(desk, err);
    struct answer answer;
    answer_init(&answer);
    answer.code = ANSWER_UNAUTHORIZED;
    memory_set_text(answer.detail, sizeof answer.detail, "not signed with a key of this agent");
    memory_set_text(answer.host, sizeof answer.host, desk->options.host);
    size_t body_len;
    cleanup_free uint8_t *body = answer_encode(&answer, &body_len);
    answer_fini(&answer);
    return envelope_seal(&NO_KEYS, ENVELOPE_ANSWER, desk->options.host, body, body_len, len);
}

static void answer_inventory(struct command_desk *desk, const struct command *command, struct answer *out)
{
    out->code = ANSWER_OK;
    if (command->if_change != 0 && command->if_change == desk->options.change(desk->options.arg)) {
        return;
    }
    out->payload = desk->options.inventory(desk->options.arg, &out->payload_len);
    if (out->payload == NULL) {
        out->code = ANSWER_DOCKER_ERROR;
        memory_set_text(out->detail, sizeof out->detail, "the inventory is too large");
    }
}

static struct command_job *answer_change(struct command_desk *desk, const struct command *command,
                                         struct answer *out)
{
    struct command_job *job = command_runner_receive(desk->options.runner, command, out);
    if (out->code == ANSWER_ACCEPTED) {
        desk->counters.accepted += job != NULL;
    } else {
        desk->counters.refused++;
    }
    return job;
}

static struct command_job *serve(struct command_desk *desk, const struct command *command, struct answer *out)
{
    out->id = command->id;
    if (strcmp(command->host, desk->options.host) != 0) {
        out->code = ANSWER_BAD_REQUEST;
        memory_set_text(out->detail, sizeof out->detail, "meant for another host");
        return NULL;
    }
    switch (command->op) {
    case OP_RESTART:
    case OP_START:
        return answer_change(desk, command, out);
    case OP_PING:
        out->code = ANSWER_OK;
        break;
    case OP_INVENTORY:
        answer_inventory(desk, command, out);
        break;
    case OP_OUTCOME:
        command_runner_outcome(desk->options.runner, &command->id, out);
        break;
    case OP_UNKNOWN:
    case COMMAND_OP_N:
        out->code = ANSWER_BAD_REQUEST;
        memory_set_text(out->detail, sizeof out->detail, "an operation nobody knows");
        return NULL;
    }
    command_runner_raise_epoch(desk->options.runner, command->epoch);
    return NULL;
}

uint8_t *command_desk_answer(struct command_desk *desk, const uint8_t *bytes, size_t len, size_t *answer_len,
                             struct command_job **job)
{
    struct err err = {0};
    const uint8_t *body;
    size_t body_len;
    *job = NULL;
    desk->counters.requests++;
    int code =
        envelope_open(&desk->keys, ENVELOPE_REQUEST, desk->options.host, bytes, len, &body, &body_len, &err);
    if (code == -EACCES) {
        return turn_away(desk, &err, answer_len);
    }
    if (code != 0) {
        desk->counters.garbage++;
        complain(desk, &err);
        return NULL;
    }
    struct command command;
    struct answer answer;
    answer_init(&answer);
    if (command_decode(body, body_len, &command, &err) != 0) {
        desk->counters.garbage++;
        complain(desk, &err);
        answer.code = ANSWER_BAD_REQUEST;
        memory_set_text(answer.detail, sizeof answer.detail, err.text);
    } else {
        *job = serve(desk, &command, &answer);
    }
    uint8_t *out = seal(desk, &desk->keys, &answer, answer_len);
    answer_fini(&answer);
    return out;
}
