#include "controller/core/decider_attempt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "common/memory.h"
#include "controller/core/decider_breaker.h"
#include "controller/core/decider_budget.h"
#include "controller/core/decider_edges.h"
#include "controller/core/decider_gates.h"
#include "controller/core/decider_input.h"
#include "controller/core/decider_judge.h"
#include "controller/core/decider_say.h"
#include "controller/core/decider_step.h"
#include "controller/core/decider_terms.h"

static const int64_t STORE_ANSWER_MS = 10000; /* then it is stored again, under a new token */
static const int64_t STORE_RETRY_MS = 2000;
static const int64_t SEND_ANSWER_MS = 5000;
static const int64_t SEND_RETRY_MS = 1000;
static const int64_t ASK_ANSWER_MS = 2000;
static const int64_t ANSWER_SLACK_MS = 1000; /* after which an answer that the shell owes us never comes */
static const int64_t COMMAND_TTL_MS = 15000;
static const int64_t OUTCOME_EXTRA_MS = 60000; /* beside the stop timeout */
static const int64_t ask_delays_ms[] = {250, 500, 1000, 2000};

enum phase { PHASE_STORING, PHASE_SENDING, PHASE_ASKING };

struct attempt {
    struct command command;
    struct container *container;
    struct host *host; /* whose place it takes; NULL: none */
    enum phase phase;
    uint64_t token;     /* STORING */
    bool is_answer_due; /* a SEND or ASK is out */
    bool is_counted;    /* among the running restarts */
    size_t asked;
    struct mono next_at;  /* store again, send again, ask again, or give the answer up */
    struct mono deadline; /* for the outcome; MONO_NEVER before it was sent */
    UT_hash_handle hh;
};

struct attempts {
    struct attempt *by_id;
};

/* ---- making and ending ---- */

static void take_place(struct decider *decider, struct attempt *attempt)
{
    attempt->host = attempt->container->host;
    attempt->is_counted = true;
    decider->in_flight++;
    if (attempt->host) {
        attempt->host->in_flight++;
    }
}

static void leave_place(struct decider *decider, struct attempt *attempt)
{
    if (!attempt->is_counted) {
        return;
    }
    attempt->is_counted = false;
    decider->in_flight--;
    if (attempt->host) {
        attempt->host->in_flight--;
    }
    decider->is_place_free = decider->has_waiting;
}

static struct attempt *add(struct decider *decider, struct container *container,
                           const struct command *command)
{
    if (!decider->attempts) {
        decider->attempts = memory_alloc(sizeof *decider->attempts);
    }
    struct attempt *attempt = memory_alloc(sizeof *attempt);
    attempt->command = *command;
    attempt->container = container;
    attempt->deadline = MONO_NEVER;
    container->attempt = attempt;
    HASH_ADD(hh, decider->attempts->by_id, command.id, sizeof attempt->command.id, attempt);
    take_place(decider, attempt);
    return attempt;
}

void decider_attempt_drop(struct decider *decider, struct container *container)
{
    struct attempt *attempt = container->attempt;
    if (!attempt) {
        return;
    }
    HASH_DEL(decider->attempts->by_id, attempt);
    leave_place(decider, attempt);
    container->attempt = NULL;
    free(attempt);
}

void decider_attempt_fini(struct decider *decider)
{
    while (decider->attempts && decider->attempts->by_id) {
        decider_attempt_drop(decider, decider->attempts->by_id->container);
    }
    free(decider->attempts);
    decider->attempts = NULL;
}

static int64_t outcome_ms(const struct attempt *attempt)
{
    return attempt->command.stop_timeout_ms + OUTCOME_EXTRA_MS;
}

/* ---- storing ---- */

static void store(struct decider *decider, struct attempt *attempt)
{
    attempt->token = ++decider->next_token;
    attempt->next_at = mono_add(decider->now, STORE_ANSWER_MS);
    decider_budget_store(decider, attempt->container, attempt->token);
}

static void make_id(struct decider *decider, struct command_id *out)
{
    for (size_t i = 0; i < sizeof out->bytes; i++) {
        out->bytes[i] = (uint8_t)(decider_step_random(decider) >> 11);
    }
}

static struct command make_command(struct decider *decider, const struct container *container)
{
    struct policy_terms terms;
    decider_terms_of(decider, container, &terms);
    struct command command = {
        .op = liveness_is_dead_state(container->state) ? OP_START : OP_RESTART,
        .attempt = container->policy.attempts,
        .max_attempts = terms.max_attempts,
        .stop_timeout_ms = terms.stop_timeout_ms,
        .ttl_ms = COMMAND_TTL_MS,
    };
    make_id(decider, &command.id);
    memory_set_text(command.host, sizeof command.host, container->host ? container->host->name : "");
    memory_set_text(command.container, sizeof command.container, container->name);
    memory_set_text(command.container_id, sizeof command.container_id, container->container_id);
    memory_set_text(command.expect_started_at, sizeof command.expect_started_at, container->incarnation);
    memory_set_text(command.reason, sizeof command.reason, policy_cause_name(container->policy.cause));
    return command;
}

void decider_attempt_begin(struct decider *decider, struct container *container)
{
    struct command command = make_command(decider, container);
    struct attempt *attempt = add(decider, container, &command);
    struct restart_state *state = decider_budget_state(container);
    command_id_format(&command.id, state->command_id);
    state->command_op = command.op;
    memory_set_text(state->incarnation, sizeof state->incarnation, container->incarnation);
    state->last_attempt_at = decider->wall;
    state->is_exhausted_alerted = false;
    store(decider, attempt);
}

/* ---- sending and asking ---- */

static void emit(struct decider *decider, struct attempt *attempt, enum action_kind kind, int64_t timeout_ms)
{
    struct command command = attempt->command;
    if (kind == ACTION_ASK) {
        command.op = OP_OUTCOME;
    }
    struct action action = {
        .kind = kind,
        .container = attempt->container->name,
        .host = command.host,
        .command = &command,
        .timeout_ms = timeout_ms,
    };
    attempt->is_answer_due = true;
    attempt->next_at = mono_add(decider->now, timeout_ms + ANSWER_SLACK_MS);
    action_queue_add(&decider->actions, &action);
}

/* The last look before a command leaves, and before each try of one that never left. False: it was given up,
 * and the attempt is gone. */
static bool may_leave(struct decider *decider, struct container *container)
{
    enum gate gate = decider_gates_check_again(decider, container);
    bool is_cooling = !mono_reached(decider->now, container->policy.cooldown_until); /* loaded meanwhile */
    if (gate == GATE_N && !is_cooling) {
        decider_breaker_take(decider, container); /* it may have opened since the decision */
        return true;
    }
    const char *reason = gate == GATE_N ? "cooldown" : gates_reason(gate);
    decider_say_decision(decider, container, "none", reason, gates_name(gate), "", "", (struct mono){0});
    decider_step_kind(decider, container, EVENT_ABORTED);
    return false;
}

static void send(struct decider *decider, struct attempt *attempt)
{
    attempt->container->policy.is_sent = true;
    attempt->command.epoch = decider->epoch;
    emit(decider, attempt, ACTION_SEND, SEND_ANSWER_MS);
}

static void ask(struct decider *decider, struct attempt *attempt)
{
    attempt->command.epoch = decider->epoch;
    attempt->asked++;
    emit(decider, attempt, ACTION_ASK, ASK_ANSWER_MS);
}

static void ask_later(struct decider *decider, struct attempt *attempt)
{
    size_t last = sizeof ask_delays_ms / sizeof ask_delays_ms[0] - 1;
    attempt->phase = PHASE_ASKING;
    attempt->is_answer_due = false;
    attempt->next_at = mono_add(decider->now, ask_delays_ms[attempt->asked < last ? attempt->asked : last]);
}

static void announce(struct decider *decider, struct container *container, const struct attempt *attempt)
{
    const struct command *command = &attempt->command;
    char id[LIMIT_COMMAND_ID_SIZE];
    char trouble[LIMIT_DETAIL_SIZE];
    command_id_format(&command->id, id);
    decider_say_trouble_detail(container, trouble);
    decider_say_line(decider, container, ACTION_WARNING, "Attempting restart of %s (attempt %lld/%lld)",
                     container->name, (long long)command->attempt, (long long)command->max_attempts);
    decider_say_decision(decider, container, command_op_name(command->op), command->reason, "", trouble, id,
                         (struct mono){0});
}

void decider_attempt_stored(struct decider *decider, struct container *container, uint64_t token,
                            enum stored_in where)
{
    struct attempt *attempt = container->attempt;
    if (!attempt || attempt->phase != PHASE_STORING || attempt->token != token) {
        return;
    }
    if (where == STORED_NOWHERE) {
        if (!container->is_store_said) {
            decider_say_line(decider, container, ACTION_ERROR,
                             "Restart of %s waits: its attempt can be stored neither in Redis nor on disk",
                             container->name);
        }
        container->is_store_said = true;
        attempt->next_at = mono_add(decider->now, STORE_RETRY_MS);
        decider_step_rearm(decider, container);
        return;
    }
    container->is_store_said = false;
    if (!may_leave(decider, container)) {
        return;
    }
    attempt->command.unstored_attempt = where == STORED_ON_DISK ? attempt->command.attempt : 0;
    attempt->phase = PHASE_SENDING;
    attempt->deadline = mono_add(decider->now, outcome_ms(attempt));
    announce(decider, container, attempt);
    decider_input_sent(decider, container->name, &attempt->command.id);
    send(decider, attempt);
    decider_step_rearm(decider, container);
}

/* ---- outcomes ---- */

static void finish(struct decider *decider, struct container *container, const struct policy_event *event)
{
    decider_budget_state(container)->last_completed_at = decider->wall;
    decider_attempt_drop(decider, container);
    decider_step_event(decider, container, event);
}

static void succeed(struct decider *decider, struct container *container)
{
    const char *target = container->attempt->command.expect_started_at;
    memory_set_text(container->acted_on, sizeof container->acted_on, target);
    container->is_own_start_due = strcmp(container->incarnation, target) == 0;
    struct policy_event event = {.kind = EVENT_DONE, .random = decider_step_random(decider)};
    finish(decider, container, &event);
    if (!container->is_own_start_due) {
        decider_judge_again(decider, container); /* what the new incarnation did meanwhile */
    }
}

static void fail(struct decider *decider, struct container *container, const char *reason, const char *detail)
{
    decider_say_line(decider, container, ACTION_ERROR, "Failed to restart %s: %s", container->name,
                     detail[0] ? detail : reason);
    decider_say_failure(decider, container, "restart_failed", detail[0] ? detail : reason);
    decider_edges_note_error(decider, container, detail);
    struct policy_event event = {
        .kind = EVENT_BROKEN, .reason = reason, .random = decider_step_random(decider)};
    finish(decider, container, &event);
}

static enum unchanged_kind where_to(enum answer_code code)
{
    if (code == ANSWER_ALREADY_RESTARTED || code == ANSWER_NOT_NEEDED) {
        return UNCHANGED_RUNS;
    }
    return code == ANSWER_REFUSED_STOPPED || code == ANSWER_REFUSED_HELD ? UNCHANGED_HELD : UNCHANGED_RETRY;
}

static void change_nothing(struct decider *decider, struct container *container, enum answer_code code,
                           const char *detail)
{
    char id[LIMIT_COMMAND_ID_SIZE];
    command_id_format(&container->attempt->command.id, id);
    decider_say_line(decider, container, ACTION_INFO, "Restart of %s changed nothing: %s%s%s",
                     container->name, answer_code_name(code), detail[0] ? ": " : "", detail);
    decider_say_decision(decider, container, "given_back", answer_code_name(code), "agent", detail, id,
                         (struct mono){0});
    struct policy_event event = {
        .kind = EVENT_UNCHANGED,
        .unchanged = where_to(code),
        .reason = answer_code_name(code),
        .random = decider_step_random(decider),
    };
    finish(decider, container, &event);
}

static void conclude(struct decider *decider, struct container *container, enum answer_code code,
                     const char *detail)
{
    /* The agent promises that an id it does not know will not be carried out any more. */
    if (answer_code_changed_nothing(code) || code == ANSWER_UNKNOWN_ID) {
        change_nothing(decider, container, code, detail);
    } else if (code == ANSWER_OK) {
        succeed(decider, container);
    } else {
        fail(decider, container, answer_code_name(code), detail);
    }
}

static bool cannot_have_arrived(int status)
{
    return status == -ECONNREFUSED || status == -ENOTCONN || status == -ENOENT || status == -EHOSTUNREACH ||
           status == -ENOBUFS;
}

static void miss_answer(struct decider *decider, struct attempt *attempt, int status)
{
    if (attempt->phase == PHASE_SENDING && cannot_have_arrived(status)) {
        attempt->container->policy.is_sent = false;
        attempt->is_answer_due = false;
        attempt->next_at = mono_add(decider->now, SEND_RETRY_MS);
        return;
    }
    ask_later(decider, attempt);
}

struct container *decider_attempt_find(const struct decider *decider, const struct command_id *id)
{
    struct attempt *attempt = NULL;
    if (decider->attempts) {
        HASH_FIND(hh, decider->attempts->by_id, id, sizeof *id, attempt);
    }
    return attempt && attempt->phase != PHASE_STORING ? attempt->container : NULL;
}

void decider_attempt_answered(struct decider *decider, const struct command_id *id, int status,
                              const struct answer *answer)
{
    struct container *container = decider_attempt_find(decider, id);
    if (!container) {
        return;
    }
    struct attempt *attempt = container->attempt;
    if (status != 0 || !answer) {
        miss_answer(decider, attempt, status);
    } else if (answer->code == ANSWER_ACCEPTED) {
        ask_later(decider, attempt);
    } else {
        conclude(decider, container, answer->code, answer->detail);
        return;
    }
    decider_step_rearm(decider, container);
}

void decider_attempt_told(struct decider *decider, struct container *container, const char *command_id,
                          enum answer_code code)
{
    struct attempt *attempt = container->attempt;
    if (!attempt || attempt->phase == PHASE_STORING || code == ANSWER_ACCEPTED || code == ANSWER_UNKNOWN ||
        code == ANSWER_UNKNOWN_ID) {
        return;
    }
    char id[LIMIT_COMMAND_ID_SIZE];
    command_id_format(&attempt->command.id, id);
    if (strcmp(id, command_id) == 0) {
        conclude(decider, container, code, "");
    }
}

/* ---- time ---- */

void decider_attempt_due(struct decider *decider, struct container *container)
{
    struct attempt *attempt = container->attempt;
    if (mono_reached(decider->now, attempt->deadline)) {
        /* Nobody told how it ended, but what was to come has come. */
        bool has_come = container->incarnation[0] != '\0' &&
                        strcmp(container->incarnation, attempt->command.expect_started_at) != 0;
        if (has_come) {
            succeed(decider, container);
        } else {
            container->is_command_lost = true;
            fail(decider, container, "no_outcome", "");
        }
        return;
    }
    if (!mono_reached(decider->now, attempt->next_at)) {
        return;
    }
    if (attempt->phase == PHASE_STORING) {
        store(decider, attempt);
    } else if (attempt->is_answer_due) {
        ask_later(decider, attempt);
    } else if (attempt->phase == PHASE_SENDING) {
        if (may_leave(decider, container)) {
            send(decider, attempt);
        }
    } else {
        ask(decider, attempt);
    }
}

struct mono decider_attempt_wake_at(const struct container *container)
{
    return mono_min(container->attempt->next_at, container->attempt->deadline);
}

void decider_attempt_refresh(struct decider *decider, struct container *container)
{
    struct attempt *attempt = container->attempt;
    if (!attempt) {
        return;
    }
    if (!attempt->is_counted) {
        take_place(decider, attempt);
    }
    attempt->next_at = decider->now;
    if (attempt->phase != PHASE_STORING) {
        attempt->phase = PHASE_ASKING;
        attempt->is_answer_due = false;
        attempt->asked = 0;
        attempt->deadline = mono_add(decider->now, outcome_ms(attempt));
    }
    decider_step_rearm(decider, container);
}

bool decider_attempt_has_place(const struct container *container)
{
    return container->attempt && container->attempt->is_counted;
}

void decider_attempt_release(struct decider *decider, struct container *container)
{
    struct attempt *attempt = container->attempt;
    if (attempt && (attempt->phase == PHASE_STORING || mono_reached(decider->now, attempt->deadline))) {
        leave_place(decider, attempt);
    }
}

bool decider_attempt_rename(struct decider *decider, struct container *container)
{
    struct attempt *attempt = container->attempt;
    if (!attempt || attempt->phase != PHASE_STORING) {
        return false;
    }
    memory_set_text(attempt->command.container, sizeof attempt->command.container, container->name);
    store(decider, attempt);
    decider_step_rearm(decider, container);
    return true;
}

/* ---- from another life ---- */

static enum failure_cause cause_of(const struct container *container, const char *reason)
{
    if (liveness_is_dead_state(container->state)) {
        return CAUSE_DEATH;
    }
    if (strcmp(reason, policy_cause_name(CAUSE_UNHEALTHY)) == 0) {
        return CAUSE_UNHEALTHY;
    }
    return strcmp(reason, policy_cause_name(CAUSE_START_TIMEOUT)) == 0 ? CAUSE_START_TIMEOUT : CAUSE_MISSING;
}

void decider_attempt_restore(struct decider *decider, struct container *container)
{
    const struct restart_state *state = container->stored;
    struct policy_terms terms;
    decider_terms_of(decider, container, &terms);
    struct command command = {
        .op = state->command_op,
        .attempt = state->attempt_count,
        .max_attempts = terms.max_attempts,
        .stop_timeout_ms = terms.stop_timeout_ms,
        .ttl_ms = COMMAND_TTL_MS,
    };
    if (command_id_parse(state->command_id, &command.id) != 0) {
        return;
    }
    const char *host = container->host ? container->host->name : state->host;
    memory_set_text(command.host, sizeof command.host, host);
    memory_set_text(command.container, sizeof command.container, container->name);
    memory_set_text(command.container_id, sizeof command.container_id, state->container_id);
    memory_set_text(command.expect_started_at, sizeof command.expect_started_at, state->incarnation);
    memory_set_text(command.reason, sizeof command.reason, state->last_failure_reason);
    struct attempt *attempt = add(decider, container, &command);
    container->policy.cause = cause_of(container, state->last_failure_reason);
    attempt->phase = PHASE_ASKING;
    attempt->next_at = decider->now;
    attempt->deadline = mono_add(decider->now, outcome_ms(attempt));
    decider_step_kind(decider, container, EVENT_RESUME);
}
