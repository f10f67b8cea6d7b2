#include "agent/command_runner.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/change_rate.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/memory.h"

enum {
    JOBS_MAX = 256,
    ACT_MARGIN_MS = 60 * 1000,       /* over the stop timeout, for Docker's answer */
    RECOVER_MARGIN_MS = 10 * 1000,   /* over the stop timeout, from the first look */
    RECOVER_GIVE_UP_MS = 600 * 1000, /* Docker cannot be asked for so long */
    WRITE_DEADLINE_MS = 10 * 1000,
    STOP_TIMEOUT_MAX_MS = 3600 * 1000,
    COMPACT_MIN_BYTES = 256 * 1024
};

enum job_state {
    JOB_RECEIVED,
    JOB_LOOKING,
    JOB_CAPTURING,
    JOB_WRITING,
    JOB_ACTING,
    JOB_PROVING,
    JOB_WATCHING, /* nobody knows whether Docker was asked, or what it did: wait for the incarnation to change
                   */
    JOB_ABANDONED /* ended while the disk still owes a callback */
};

struct command_job {
    struct command_runner *runner;
    struct command_job *next;
    struct command command;
    enum job_state state;
    enum command_op act;
    struct mono received_at;
    struct mono state_since;
    struct mono watch_until;          /* MONO_NEVER until Docker answered once */
    struct engine_call *call;         /* open, or NULL */
    struct evidence_capture *capture; /* under way, or NULL */
    char before[LIMIT_TIME_SIZE];     /* incarnation at the intent; "" before it */
    bool is_own_begun;
    bool is_from_disk;
    char cause[LIMIT_DETAIL_SIZE / 2]; /* WATCHING: why nobody knows */
};

struct command_runner {
    struct command_ports ports;
    const char *host;
    struct outcome_log *log;
    size_t file_bytes; /* about; failed writes count too */
    struct command_job *jobs;
    size_t job_count;
    struct change_rate *rate;
};

static struct mono now_of(const struct command_runner *runner)
{
    return runner->ports.now(runner->ports.arg);
}

/* ---- memory and disk ---- */

static void append(struct command_runner *runner, const uint8_t *bytes, size_t len,
                   enum outcome_file_safety safety, outcome_file_callback on_done, void *arg)
{
    size_t image_bytes = outcome_log_image_bytes(runner->log);
    runner->file_bytes += len;
    /* The memory already holds what is appended here, so the image does as well: the order does not matter.
     */
    runner->ports.append(runner->ports.arg, bytes, len, safety, on_done, arg);
    if (runner->file_bytes > COMPACT_MIN_BYTES && runner->file_bytes > 2 * image_bytes) {
        size_t image_len;
        uint8_t *image = outcome_log_image(runner->log, &image_len);
        runner->file_bytes = image_len;
        runner->ports.replace(runner->ports.arg, image, image_len);
    }
}

static void remember(struct command_runner *runner, const struct outcome *outcome,
                     enum outcome_file_safety safety, outcome_file_callback on_done, void *arg)
{
    uint8_t record[OUTCOME_RECORD_MAX];
    size_t len = outcome_log_put(runner->log, outcome, record);
    append(runner, record, len, safety, on_done, arg);
}

static struct outcome outcome_of(struct command_runner *runner, const struct command *command)
{
    struct outcome outcome = {.id = command->id,
                              .op = command->op,
                              .epoch = command->epoch,
                              .unstored_attempt = command->unstored_attempt,
                              .at = runner->ports.wall(runner->ports.arg),
                              .stop_timeout_ms = command->stop_timeout_ms};
    memory_set_text(outcome.container, sizeof outcome.container, command->container);
    memory_set_text(outcome.container_id, sizeof outcome.container_id, command->container_id);
    return outcome;
}

/* ---- jobs ---- */

static struct command_job *find_job(const struct command_runner *runner, const struct command_id *id)
{
    for (struct command_job *job = runner->jobs; job != NULL; job = job->next) {
        if (job->state != JOB_ABANDONED && memcmp(&job->command.id, id, sizeof *id) == 0) {
            return job;
        }
    }
    return NULL;
}

static bool is_busy(const struct command_runner *runner, const struct command_job *self,
                    const struct command *command)
{
    for (const struct command_job *job = runner->jobs; job != NULL; job = job->next) {
        if (job != self && job->state != JOB_ABANDONED &&
            (strcmp(job->command.container, command->container) == 0 ||
             strcmp(job->command.container_id, command->container_id) == 0)) {
            return true;
        }
    }
    return false;
}

static struct command_job *job_new(struct command_runner *runner, const struct command *command)
{
    struct command_job *job = memory_alloc(sizeof *job);
    job->runner = runner;
    job->command = *command;
    job->received_at = job->state_since = now_of(runner);
    job->watch_until = MONO_NEVER;
    job->next = runner->jobs;
    runner->jobs = job;
    runner->job_count++;
    return job;
}

static void job_free(struct command_job *job)
{
    struct command_runner *runner = job->runner;
    struct command_job **link = &runner->jobs;
    while (*link != job) {
        link = &(*link)->next;
    }
    *link = job->next;
    runner->job_count--;
    free(job);
}

static void job_enter(struct command_job *job, enum job_state state)
{
    job->state = state;
    job->state_since = now_of(job->runner);
}

static void job_own(struct command_job *job, enum command_own what)
{
    if (job->is_own_begun != (what == COMMAND_OWN_BEGIN)) {
        job->is_own_begun = what == COMMAND_OWN_BEGIN;
        job->runner->ports.own(job->runner->ports.arg, job->command.container_id, what);
    }
}

static void log_end(const struct command_job *job, enum answer_code code, const char *detail, int64_t took_ms)
{
    char id[LIMIT_COMMAND_ID_SIZE];
    command_id_format(&job->command.id, id);
    enum log_level level = code == ANSWER_OK ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING;
    log_line(level, "Command %.8s: %s of %s: %s in %lld ms%s%s", id, command_op_name(job->command.op),
             job->command.container, answer_code_name(code), (long long)took_ms,
             detail[0] == '\0' ? "" : ": ", detail);
}

/* The one way out for a job; it is freed, unless the disk still owes it a callback. */
static void job_end(struct command_job *job, enum answer_code code, const char *started_at,
                    const char *detail)
{
    struct command_runner *runner = job->runner;
    struct outcome outcome = outcome_of(runner, &job->command);
    outcome.code = code;
    outcome.took_ms = job->is_from_disk ? 0 : mono_diff(now_of(runner), job->received_at);
    memory_set_text(outcome.before, sizeof outcome.before, job->before);
    memory_set_text(outcome.started_at, sizeof outcome.started_at, started_at);
    memory_set_text(outcome.detail, sizeof outcome.detail, detail);
    log_end(job, code, outcome.detail, outcome.took_ms);
    /* Lazy: should the record be lost in a power cut, the intent is there and Docker tells how it ended. */
    remember(runner, &outcome, OUTCOME_FILE_LAZY, NULL, NULL);
    FAULT_POINT("agent_ended");
    job_own(job, COMMAND_OWN_END);
    if (job->state == JOB_WRITING) {
        job_enter(job, JOB_ABANDONED);
    } else {
        job_free(job);
    }
    runner->ports.ended(runner->ports.arg, &outcome);
}

/* What both judgements have in common; `job` is NULL at receipt. */
static struct command_gate_input gate_input(const struct command_runner *runner,
                                            const struct command_job *job, const struct command *command,
                                            const struct command_facts *facts)
{
    struct mono now = now_of(runner);
    return (struct command_gate_input){
        .command = command,
        .host = runner->host,
        .age_ms = job == NULL ? 0 : mono_diff(now, job->received_at),
        .epoch = outcome_log_epoch(runner->log),
        .facts = facts,
        .is_listed = runner->ports.is_listed(runner->ports.arg),
        .is_busy = is_busy(runner, job, command),
        .changes_short = change_rate_count(runner->rate, command->container, COMMAND_GATE_SHORT_MS, now),
        .changes_long = change_rate_count(runner->rate, command->container, COMMAND_GATE_LONG_MS, now)};
}

static void judge(struct command_job *job, const struct command_facts *facts, struct command_verdict *out)
{
    const struct command_gate_input input = gate_input(job->runner, job, &job->command, facts);
    command_gate_judge(&input, out);
}

/* ---- watching: did the incarnation change? ---- */

static void on_watched(void *arg, const struct engine_answer *answer,
                       const struct engine_container *container)
{
    struct command_job *job = arg;
    struct mono now = now_of(job->runner);
    char detail[LIMIT_DETAIL_SIZE];
    job->call = NULL;
    if (answer->result == ENGINE_NOT_FOUND) {
        snprintf(detail, sizeof detail, "%s; the container is gone", job->cause);
        job_end(job, ANSWER_DOCKER_ERROR, "", detail);
        return;
    }
    if (answer->result == ENGINE_OK && strcmp(container->started_at, job->before) != 0) {
        snprintf(detail, sizeof detail, "%s; it was started since", job->cause);
        job_end(job, ANSWER_OK, container->started_at, detail);
        return;
    }
    if (answer->result == ENGINE_OK && job->watch_until.ms == MONO_NEVER.ms) {
        job->watch_until = mono_add(now, job->command.stop_timeout_ms + RECOVER_MARGIN_MS);
    }
    if (mono_reached(now, job->watch_until) || mono_diff(now, job->state_since) >= RECOVER_GIVE_UP_MS) {
        snprintf(detail, sizeof detail, "interrupted: unknown whether Docker was asked (%s)", job->cause);
        job_end(job, ANSWER_DOCKER_ERROR, "", detail);
    }
}

static void job_watch(struct command_job *job)
{
    const struct command_ports *ports = &job->runner->ports;
    job->call = ports->inspect(ports->arg, job->command.container_id, on_watched, job);
}

/* ---- prove ---- */

static void on_proved(void *arg, const struct engine_answer *answer, const struct engine_container *container)
{
    struct command_job *job = arg;
    FAULT_POINT("agent_proved");
    job->call = NULL;
    if (answer->result != ENGINE_OK) {
        job_end(job, ANSWER_OK, "", "done; which incarnation runs is not known yet");
    } else if (strcmp(container->started_at, job->before) == 0) {
        job_end(job, ANSWER_DOCKER_ERROR, container->started_at, "Docker says done, but it was not started");
    } else {
        job_end(job, ANSWER_OK, container->started_at, "");
    }
}

/* ---- act ---- */

static void on_lost(struct command_job *job, const struct engine_answer *answer)
{
    snprintf(job->cause, sizeof job->cause, "no answer from Docker: %.80s", answer->message);
    job_enter(job, JOB_WATCHING);
    job_watch(job);
}

static void on_acted(void *arg, const struct engine_answer *answer)
{
    struct command_job *job = arg;
    const struct command_ports *ports = &job->runner->ports;
    char detail[LIMIT_DETAIL_SIZE];
    FAULT_POINT("agent_acted");
    job->call = NULL;
    switch (answer->result) {
    case ENGINE_OK:
        if (answer->status == 304) {
            job_end(job, ANSWER_NOT_NEEDED, "", "Docker says it runs already");
            return;
        }
        job_enter(job, JOB_PROVING);
        job->call = ports->inspect(ports->arg, job->command.container_id, on_proved, job);
        return;
    case ENGINE_NOT_FOUND:
        job_end(job, ANSWER_NOT_FOUND, "", answer->message);
        return;
    case ENGINE_LOST:
        on_lost(job, answer);
        return;
    case ENGINE_UNREACHABLE:
        snprintf(detail, sizeof detail, "Docker could not be asked: %.160s", answer->message);
        job_end(job, ANSWER_DOCKER_ERROR, "", detail);
        return;
    case ENGINE_CONFLICT:
    case ENGINE_FAILED:
        break;
    }
    job_end(job, ANSWER_DOCKER_ERROR, "", answer->message);
}

static void job_act(struct command_job *job)
{
    const struct command_ports *ports = &job->runner->ports;
    int64_t stop_ms = job->act == OP_RESTART ? job->command.stop_timeout_ms : 0;
    job_enter(job, JOB_ACTING);
    change_rate_note(job->runner->rate, job->command.container, now_of(job->runner));
    job_own(job, COMMAND_OWN_BEGIN);
    job->call = ports->act(ports->arg, job->act, job->command.container_id, (stop_ms + 999) / 1000,
                           stop_ms + ACT_MARGIN_MS, on_acted, job);
    FAULT_POINT("agent_asking");
}

/* ---- write ---- */

/* The table once more: a stop that came in while the disk was busy still counts. */
static void on_written(void *arg, int status, const char *detail)
{
    struct command_job *job = arg;
    FAULT_POINT("agent_intent_written");
    if (job->state == JOB_ABANDONED) {
        job_free(job);
        return;
    }
    job_enter(job, JOB_RECEIVED); /* the disk owes nothing any more */
    if (status != 0) {
        job_end(job, ANSWER_DOCKER_ERROR, "", detail);
        return;
    }
    struct command_facts facts;
    struct command_verdict verdict;
    bool is_there = job->runner->ports.find(job->runner->ports.arg, job->command.container, &facts);
    judge(job, is_there ? &facts : NULL, &verdict);
    if (verdict.code != ANSWER_ACCEPTED) {
        job_end(job, verdict.code, is_there ? facts.started_at : "", verdict.detail);
        return;
    }
    job_act(job);
}

static void job_write(struct command_job *job)
{
    struct outcome intent = outcome_of(job->runner, &job->command);
    intent.code = ANSWER_ACCEPTED;
    memory_set_text(intent.before, sizeof intent.before, job->before);
    job_enter(job, JOB_WRITING);
    remember(job->runner, &intent, OUTCOME_FILE_SYNCED, on_written, job);
    FAULT_POINT("agent_intent_queued");
}

/* ---- capture ---- */

static void on_captured(void *arg)
{
    struct command_job *job = arg;
    job->capture = NULL;
    job_write(job);
}

static void job_capture(struct command_job *job, const struct engine_container *container)
{
    const struct command_ports *ports = &job->runner->ports;
    if (ports->capture == NULL) {
        job_write(job);
        return;
    }
    job_enter(job, JOB_CAPTURING);
    job->capture = ports->capture(ports->arg, &job->command, container, on_captured, job);
}

/* ---- look ---- */

static void on_looked(void *arg, const struct engine_answer *answer, const struct engine_container *container)
{
    struct command_job *job = arg;
    struct command_runner *runner = job->runner;
    char detail[LIMIT_DETAIL_SIZE];
    FAULT_POINT("agent_looked");
    job->call = NULL;
    if (answer->result == ENGINE_NOT_FOUND) {
        job_end(job, ANSWER_NOT_FOUND, "", "Docker knows no such container any more");
        return;
    }
    if (answer->result != ENGINE_OK) {
        bool is_away = answer->result == ENGINE_UNREACHABLE || answer->result == ENGINE_LOST;
        snprintf(detail, sizeof detail, "Docker could not be asked: %.160s", answer->message);
        if (is_away) {
            runner->ports.doubt(runner->ports.arg);
        }
        /* A look changes nothing: an Engine that is away costs no attempt. */
        job_end(job, is_away ? ANSWER_BUSY : ANSWER_DOCKER_ERROR, "", detail);
        return;
    }
    struct command_facts facts;
    struct command_verdict verdict;
    bool is_there = runner->ports.find(runner->ports.arg, job->command.container, &facts);
    if (is_there && strcmp(facts.container_id, container->id) == 0) {
        facts.state = container->state;
        memory_set_text(facts.started_at, sizeof facts.started_at, container->started_at);
    }
    judge(job, is_there ? &facts : NULL, &verdict);
    if (verdict.code != ANSWER_ACCEPTED) {
        job_end(job, verdict.code, container->started_at, verdict.detail);
        return;
    }
    job->act = verdict.act;
    memory_set_text(job->before, sizeof job->before, container->started_at);
    job_capture(job, container);
}

void command_runner_begin(struct command_runner *runner, struct command_job *job)
{
    assert(job->state == JOB_RECEIVED);
    job_enter(job, JOB_LOOKING);
    job->call = runner->ports.inspect(runner->ports.arg, job->command.container_id, on_looked, job);
}

/* ---- receive ---- */

static void fill_answer(struct answer *out, const struct outcome *outcome)
{
    out->id = outcome->id;
    out->code = outcome->code;
    out->took_ms = outcome->took_ms;
    memory_set_text(out->detail, sizeof out->detail, outcome->detail);
    memory_set_text(out->container_id, sizeof out->container_id, outcome->container_id);
    memory_set_text(out->started_at, sizeof out->started_at, outcome->started_at);
}

static void answer_working(struct answer *out, const struct command_job *job)
{
    out->id = job->command.id;
    out->code = ANSWER_ACCEPTED;
    out->took_ms = mono_diff(now_of(job->runner), job->received_at);
    memory_set_text(out->container_id, sizeof out->container_id, job->command.container_id);
}

static void log_refusal(const struct command *command, const struct command_verdict *verdict)
{
    char id[LIMIT_COMMAND_ID_SIZE];
    command_id_format(&command->id, id);
    log_warning("Command %.8s: %s of %s: %s: %s", id, command_op_name(command->op), command->container,
                answer_code_name(verdict->code), verdict->detail);
}

/* The first answer to an id stays its answer: a copy that comes later, when the state has changed, must not
 * do what its sender was told had not been done. A request that is nonsense or not for us is not worth a
 * place. */
static void refuse(struct command_runner *runner, const struct command *command,
                   const struct command_facts *facts, const struct command_verdict *verdict,
                   struct answer *out)
{
    struct outcome outcome = outcome_of(runner, command);
    outcome.code = verdict->code;
    memory_set_text(outcome.detail, sizeof outcome.detail, verdict->detail);
    if (facts != NULL) {
        memory_set_text(outcome.container_id, sizeof outcome.container_id, facts->container_id);
        memory_set_text(outcome.started_at, sizeof outcome.started_at, facts->started_at);
    }
    log_refusal(command, verdict);
    if (verdict->code != ANSWER_BAD_REQUEST) {
        remember(runner, &outcome, OUTCOME_FILE_LAZY, NULL, NULL);
    }
    fill_answer(out, &outcome);
}

struct command_job *command_runner_receive(struct command_runner *runner, const struct command *command,
                                           struct answer *out)
{
    struct command_job *working = find_job(runner, &command->id);
    if (working != NULL) {
        answer_working(out, working);
        return NULL;
    }
    struct outcome known;
    struct command_facts facts;
    bool is_known = outcome_log_find(runner->log, &command->id, &known);
    bool is_there = runner->ports.find(runner->ports.arg, command->container, &facts);
    struct command_gate_input input = gate_input(runner, NULL, command, is_there ? &facts : NULL);
    input.known = is_known ? &known : NULL;
    input.is_busy = input.is_busy || runner->job_count >= JOBS_MAX;
    struct command_verdict verdict;
    command_gate_judge(&input, &verdict);
    if (verdict.is_replay) {
        fill_answer(out, &known);
        return NULL;
    }
    if (verdict.code != ANSWER_ACCEPTED) {
        refuse(runner, command, input.facts, &verdict, out);
        return NULL;
    }
    command_runner_raise_epoch(runner, command->epoch);
    FAULT_POINT("agent_received");
    struct command_job *job = job_new(runner, command);
    job->command.stop_timeout_ms =
        command->stop_timeout_ms < STOP_TIMEOUT_MAX_MS ? command->stop_timeout_ms : STOP_TIMEOUT_MAX_MS;
    answer_working(out, job);
    return job;
}

/* ---- the rest ---- */

void command_runner_outcome(struct command_runner *runner, const struct command_id *id, struct answer *out)
{
    const struct command_job *job = find_job(runner, id);
    struct outcome known = {.id = *id, .op = OP_OUTCOME, .code = ANSWER_EXPIRED};
    if (job != NULL) {
        answer_working(out, job);
    } else if (outcome_log_find(runner->log, id, &known)) {
        fill_answer(out, &known);
    } else {
        memory_set_text(known.detail, sizeof known.detail, "its outcome was asked for before it came");
        known.at = runner->ports.wall(runner->ports.arg);
        remember(runner, &known, OUTCOME_FILE_LAZY, NULL, NULL);
        out->id = *id;
        out->code = ANSWER_UNKNOWN_ID;
    }
}

void command_runner_raise_epoch(struct command_runner *runner, uint64_t epoch)
{
    uint8_t record[OUTCOME_RECORD_MAX];
    size_t len = outcome_log_raise_epoch(runner->log, epoch, record);
    if (len > 0) {
        append(runner, record, len, OUTCOME_FILE_SYNCED, NULL, NULL);
    }
}

uint64_t command_runner_epoch(const struct command_runner *runner)
{
    return outcome_log_epoch(runner->log);
}

static void recover_one(void *arg, const struct outcome *outcome)
{
    struct command_runner *runner = arg;
    struct command command = {.id = outcome->id,
                              .op = outcome->op,
                              .epoch = outcome->epoch,
                              .unstored_attempt = outcome->unstored_attempt,
                              .stop_timeout_ms = outcome->stop_timeout_ms};
    memory_set_text(command.container, sizeof command.container, outcome->container);
    memory_set_text(command.container_id, sizeof command.container_id, outcome->container_id);
    struct command_job *job = job_new(runner, &command);
    memory_set_text(job->before, sizeof job->before, outcome->before);
    memory_set_text(job->cause, sizeof job->cause, "the agent ended in between");
    job->is_from_disk = true;
    job_own(job, COMMAND_OWN_BEGIN);
    job_enter(job, JOB_WATCHING);
    log_info("Command for %s was under way when the agent ended: watching how it came out",
             command.container);
    job_watch(job);
}

void command_runner_recover(struct command_runner *runner)
{
    outcome_log_each_open(runner->log, recover_one, runner);
}

void command_runner_tick(struct command_runner *runner)
{
    struct mono now = now_of(runner);
    struct command_job *next;
    for (struct command_job *job = runner->jobs; job != NULL; job = next) {
        next = job->next;
        if (job->state == JOB_WATCHING && job->call == NULL) {
            job_watch(job);
        } else if (job->state == JOB_WRITING && mono_diff(now, job->state_since) >= WRITE_DEADLINE_MS) {
            job_end(job, ANSWER_DOCKER_ERROR, "", "cannot write the intent: the disk does not answer");
        }
    }
}

size_t command_runner_in_flight(const struct command_runner *runner)
{
    return runner->job_count;
}

struct command_runner *command_runner_new(const struct command_ports *ports, const char *host,
                                          const uint8_t *image, size_t len)
{
    struct command_runner *runner = memory_alloc(sizeof *runner);
    runner->ports = *ports;
    runner->host = host;
    runner->log = outcome_log_new(OUTCOME_LOG_CAPACITY);
    runner->rate = change_rate_new();
    runner->file_bytes = len;
    size_t strange = outcome_log_load(runner->log, image, len);
    if (strange > 0) {
        log_warning("The memory of commands held %zu bytes that are no whole record (a write was cut off)",
                    strange);
        size_t image_len;
        uint8_t *whole = outcome_log_image(runner->log, &image_len);
        runner->file_bytes = image_len;
        runner->ports.replace(runner->ports.arg, whole, image_len);
    }
    return runner;
}

void command_runner_free(struct command_runner *runner)
{
    if (runner == NULL) {
        return;
    }
    while (runner->jobs != NULL) {
        if (runner->jobs->call != NULL) {
            runner->ports.cancel(runner->ports.arg, runner->jobs->call);
        }
        if (runner->jobs->capture != NULL) {
            runner->ports.drop_capture(runner->ports.arg, runner->jobs->capture);
        }
        job_free(runner->jobs);
    }
    change_rate_free(runner->rate);
    outcome_log_free(runner->log);
    free(runner);
}
