#include "agent/core/command_gate.h"

#include <stdio.h>
#include <string.h>

#include "common/memory.h"

/* Each returns true where it objects, and has then filled the verdict. */
typedef bool (*gate_check)(const struct command_gate_input *input, struct command_verdict *out);

static bool object(struct command_verdict *out, enum answer_code code, const char *detail)
{
    out->code = code;
    memory_set_text(out->detail, sizeof out->detail, detail);
    return true;
}

static bool is_same(const char *left, const char *right)
{
    return strcmp(left, right) == 0;
}

static bool check_request(const struct command_gate_input *input, struct command_verdict *out)
{
    const struct command *command = input->command;
    if (command->op != OP_RESTART && command->op != OP_START) {
        return object(out, ANSWER_BAD_REQUEST, "neither start nor restart");
    }
    if (command->container[0] == '\0' || command->container_id[0] == '\0' ||
        command->expect_started_at[0] == '\0') {
        return object(out, ANSWER_BAD_REQUEST, "names no container, id and incarnation");
    }
    if (command->stop_timeout_ms < 0) {
        return object(out, ANSWER_BAD_REQUEST, "stop timeout below 0");
    }
    return false;
}

static bool check_host(const struct command_gate_input *input, struct command_verdict *out)
{
    if (is_same(input->command->host, input->host)) {
        return false;
    }
    object(out, ANSWER_BAD_REQUEST, "");
    snprintf(out->detail, sizeof out->detail, "meant for host %.64s, this is %.64s", input->command->host,
             input->host);
    return true;
}

/* Before age and epoch: what was done stays the truth, and "expired" or "stale_epoch" for an id that did
 * restart a container would tell its sender that nothing was changed. */
static bool check_memory(const struct command_gate_input *input, struct command_verdict *out)
{
    if (!input->is_in_flight && input->known == NULL) {
        return false;
    }
    out->is_replay = true;
    if (input->is_in_flight) {
        return object(out, ANSWER_ACCEPTED, "already being worked on");
    }
    return object(out, input->known->code, input->known->detail);
}

static bool check_age(const struct command_gate_input *input, struct command_verdict *out)
{
    if (input->command->ttl_ms > 0 && input->age_ms <= input->command->ttl_ms) {
        return false;
    }
    object(out, ANSWER_EXPIRED, "");
    snprintf(out->detail, sizeof out->detail, "waited %lld ms, good for %lld ms", (long long)input->age_ms,
             (long long)input->command->ttl_ms);
    return true;
}

static bool check_epoch(const struct command_gate_input *input, struct command_verdict *out)
{
    if (input->command->epoch >= input->epoch) {
        return false;
    }
    object(out, ANSWER_STALE_EPOCH, "");
    snprintf(out->detail, sizeof out->detail, "epoch %llu, a controller with %llu was here",
             (unsigned long long)input->command->epoch, (unsigned long long)input->epoch);
    return true;
}

static bool check_target(const struct command_gate_input *input, struct command_verdict *out)
{
    if (input->facts == NULL && !input->is_listed) {
        return object(out, ANSWER_BUSY, "the agent has not listed the containers yet");
    }
    if (input->facts == NULL) {
        return object(out, ANSWER_NOT_FOUND, "no watched container has this name");
    }
    if (!is_same(input->facts->container_id, input->command->container_id)) {
        object(out, ANSWER_STALE_TARGET, "");
        snprintf(out->detail, sizeof out->detail, "the container is %.12s now", input->facts->container_id);
        return true;
    }
    if (input->facts->state == CONTAINER_REMOVING || input->facts->state == CONTAINER_DEAD) {
        return object(out, ANSWER_NOT_FOUND, "the container is being removed");
    }
    return false;
}

static bool check_denied(const struct command_gate_input *input, struct command_verdict *out)
{
    if (input->facts->denied == NULL) {
        return false;
    }
    object(out, ANSWER_REFUSED_DENIED, "");
    snprintf(out->detail, sizeof out->detail, "never touched here: %.64s", input->facts->denied);
    return true;
}

static bool check_incarnation(const struct command_gate_input *input, struct command_verdict *out)
{
    if (is_same(input->facts->started_at, input->command->expect_started_at)) {
        return false;
    }
    if (input->facts->started_at[0] == '\0') {
        return object(out, ANSWER_BUSY, "the agent has not looked at it yet");
    }
    bool is_up = input->facts->state == CONTAINER_RUNNING || input->facts->state == CONTAINER_PAUSED;
    object(out, is_up ? ANSWER_ALREADY_RESTARTED : ANSWER_STALE_TARGET, "");
    snprintf(out->detail, sizeof out->detail, "started since, at %s", input->facts->started_at);
    return true;
}

static bool check_state(const struct command_gate_input *input, struct command_verdict *out)
{
    switch (input->facts->state) {
    case CONTAINER_PAUSED:
        return object(out, ANSWER_REFUSED_HELD, "it is paused");
    case CONTAINER_RESTARTING:
        return object(out, ANSWER_REFUSED_HELD, "Docker's own restart policy is at work");
    case CONTAINER_UNKNOWN:
    case CONTAINER_STATE_N:
        return object(out, ANSWER_REFUSED_HELD, "its state is not known");
    case CONTAINER_RUNNING:
        return input->command->op == OP_START && object(out, ANSWER_NOT_NEEDED, "it runs");
    case CONTAINER_CREATED:
    case CONTAINER_EXITED:
        return input->facts->is_docker_restarting &&
               object(out, ANSWER_REFUSED_HELD, "Docker's own restart policy is at work");
    case CONTAINER_REMOVING:
    case CONTAINER_DEAD:
        break; /* check_target */
    }
    return object(out, ANSWER_NOT_FOUND, "the container is being removed");
}

/* Only a death whose cause is known to be none of an operator's is undone; nor is a stop that is under way.
 */
static bool check_stop(const struct command_gate_input *input, struct command_verdict *out)
{
    if (input->facts->state == CONTAINER_RUNNING) {
        return input->facts->is_stopping && object(out, ANSWER_BUSY, "somebody is stopping it");
    }
    switch (input->facts->stop_class) {
    case STOP_OOM:
    case STOP_KILLED:
    case STOP_START_ERROR:
    case STOP_CRASH:
    case STOP_OWN: /* our own restart was under way when it died: it is wanted up */
        return false;
    case STOP_OPERATOR:
        return object(out, ANSWER_REFUSED_STOPPED, "an operator stopped it");
    case STOP_SETTLING:
        return object(out, ANSWER_REFUSED_STOPPED, "it just stopped, why is not settled yet");
    case STOP_SHUTDOWN: /* what ran before Docker went down is wanted up once it is back */
        return !input->facts->is_engine_up &&
               object(out, ANSWER_REFUSED_STOPPED, "Docker or the host is shutting down");
    case STOP_COMPLETED:
        return object(out, ANSWER_REFUSED_STOPPED, "it is a one-off and is done");
    case STOP_UNSEEN:
        return object(out, ANSWER_REFUSED_STOPPED, "it stopped unseen, maybe by an operator");
    case STOP_UNKNOWN:
    case STOP_NONE:
    case STOP_CLASS_N:
        break;
    }
    bool is_new = input->facts->state == CONTAINER_CREATED;
    return object(out, ANSWER_REFUSED_STOPPED,
                  is_new ? "it was never started" : "it stopped, why is not known yet");
}

/* Docker would stop it, and then fail to start it. */
static bool check_parent(const struct command_gate_input *input, struct command_verdict *out)
{
    return input->facts->is_parent_down &&
           object(out, ANSWER_BUSY,
                  "the container whose network, pid or ipc namespace it shares does not run");
}

static bool check_busy(const struct command_gate_input *input, struct command_verdict *out)
{
    return input->is_busy && object(out, ANSWER_BUSY, "another command for it is being worked on");
}

static bool check_rate(const struct command_gate_input *input, struct command_verdict *out)
{
    if (input->changes_short < COMMAND_GATE_SHORT_MAX && input->changes_long < COMMAND_GATE_LONG_MAX) {
        return false;
    }
    object(out, ANSWER_BUSY, "");
    snprintf(out->detail, sizeof out->detail, "changed %zu times in %d s and %zu times in %d s",
             input->changes_short, COMMAND_GATE_SHORT_MS / 1000, input->changes_long,
             COMMAND_GATE_LONG_MS / 1000);
    return true;
}

static const gate_check CHECKS[] = {check_host,   check_request, check_memory, check_age,         check_epoch,
                                    check_target, check_denied,  check_busy,   check_incarnation, check_state,
                                    check_stop,   check_parent,  check_rate};

void command_gate_judge(const struct command_gate_input *input, struct command_verdict *out)
{
    *out = (struct command_verdict){.code = ANSWER_ACCEPTED};
    for (size_t i = 0; i < sizeof CHECKS / sizeof CHECKS[0]; i++) {
        if (CHECKS[i](input, out)) {
            return;
        }
    }
    out->act = input->facts->state == CONTAINER_RUNNING ? OP_RESTART : OP_START;
}
