/*
 * Docker hosts: containers that run, die and are acted on, with the events of 20.10 and 26.1 in their order,
 * and agent/engine_client played over it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <uthash.h>

#include "agent/engine_client.h"
#include "common/memory.h"
#include "proto/keys.h"
#include "tests/sim/sim.h"

enum { EVENTS_KEPT = 256, EVENT_BYTES = 1024 };
enum { DIE_MS = 20, STOP_EVENT_MS = 50 };

struct docker_event {
    int64_t time_ns;
    char line[EVENT_BYTES];
};

/* ---- events ---- */

static void deliver_event(struct docker *docker, const struct docker_event *event);

int64_t docker_next_ns(struct docker *docker)
{
    int64_t ns = sim_wall(docker->wall_offset_ms).ms * 1000000;
    if (ns <= docker->last_ns && docker->last_ns - ns < 1000000000) {
        ns = docker->last_ns + 1000;
    }
    docker->last_ns = ns;
    return ns;
}

static void format_ns(int64_t ns, char out[LIMIT_TIME_SIZE])
{
    time_t secs = (time_t)(ns / 1000000000);
    struct tm tm;
    gmtime_r(&secs, &tm);
    size_t len = strftime(out, LIMIT_TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + len, LIMIT_TIME_SIZE - len, ".%09dZ", (int)(ns % 1000000000));
}

static int labels_text(const struct box *box, char *out, size_t size)
{
    return snprintf(out, size, "%s%s%s%s%s%s", box->service[0] ? ",\"defib.service\":\"" : "",
                    box->service[0] ? box->service : "", box->service[0] ? "\",\"defib.instance\":\"" : "",
                    box->service[0] ? box->instance : "", box->service[0] ? "\"" : "",
                    box->is_agent_beating ? ",\"defib.heartbeat\":\"agent\"" : "");
}

static void emit(struct box *box, const char *action, int signal, int code)
{
    struct docker *docker = box->docker;
    if (!docker->is_up) {
        return;
    }
    struct docker_event event = {.time_ns = docker_next_ns(docker)};
    char labels[300], extra[64] = "";
    labels_text(box, labels, sizeof labels);
    if (signal) {
        snprintf(extra, sizeof extra, ",\"signal\":\"%d\"", signal);
    } else if (code >= 0) {
        snprintf(extra, sizeof extra, ",\"exitCode\":\"%d\"", code);
    }
    snprintf(event.line, sizeof event.line,
             "{\"Type\":\"container\",\"Action\":\"%s\",\"Actor\":{\"ID\":\"%s\",\"Attributes\":{\"name\":\"%"
             "s\"%s%s}},"
             "\"time\":%lld,\"timeNano\":%lld}",
             action, box->id, box->name, extra, labels, (long long)(event.time_ns / 1000000000),
             (long long)event.time_ns);
    if (docker->event_count == EVENTS_KEPT) {
        memmove(docker->events, docker->events + 1, (EVENTS_KEPT - 1) * sizeof *docker->events);
        docker->event_count--;
    }
    docker->events[docker->event_count++] = event;
    sim_say("docker %s: %s %s", docker->host, action, box->name);
    deliver_event(docker, &event);
}

/* ---- the truth ---- */

static bool is_good(const struct box *box)
{
    return box->state == CONTAINER_RUNNING && !box->is_hung && box->health != HEALTH_UNHEALTHY;
}

void docker_truth(struct box *box)
{
    bool is_now = is_good(box);
    if (is_now == (box->good_since != 0)) {
        return;
    }
    if (is_now) {
        box->good_since = sim->now;
        box->bad_at = sim->now;
    } else {
        box->good_since = 0;
        box->bad_at = sim->now;
    }
}

static void set_state(struct box *box, enum container_state state)
{
    box->state = state;
    docker_truth(box);
}

/* ---- one box ---- */

/* What happens in a run of it, unless that run is over by then. */
struct happening {
    struct box *box;
    uint64_t life;
    void (*fn)(struct box *box, int64_t value);
    int64_t value;
};

static void on_happening(void *arg)
{
    struct happening happening = *(struct happening *)arg;
    free(arg);
    if (happening.box->life == happening.life && !happening.box->is_removed) {
        happening.fn(happening.box, happening.value);
    }
}

static void later(struct box *box, int64_t ms, void (*fn)(struct box *box, int64_t value), int64_t value)
{
    struct happening *happening = memory_alloc(sizeof *happening);
    *happening = (struct happening){box, box->life, fn, value};
    sim_at(sim->now + ms, NULL, on_happening, free, happening);
}

static void app_beat(void *arg)
{
    struct box *box = arg;
    box->app_beat = NULL;
    if (box->is_removed || (box->state != CONTAINER_RUNNING && box->state != CONTAINER_PAUSED)) {
        return;
    }
    box->app_beat = sim_at(sim->now + sim->plan->beat_interval_ms, NULL, app_beat, NULL, box);
    if (!box->is_hung && box->state == CONTAINER_RUNNING && redis_is_there()) {
        agent_node_app_beats(box->docker->index, box);
    }
}

void docker_set_health(struct box *box, enum container_health health)
{
    if (box->health == health || !box->has_healthcheck) {
        return;
    }
    box->health = health;
    docker_truth(box);
    char action[48];
    snprintf(action, sizeof action, "health_status: %s", container_health_name(health));
    emit(box, action, 0, -1);
}

static void booted(struct box *box, int64_t value)
{
    (void)value;
    docker_set_health(box, box->is_hung ? HEALTH_UNHEALTHY : HEALTH_HEALTHY);
}

static void crash(struct box *box, int64_t value)
{
    if (box->crashes_left > 0) {
        box->crashes_left--;
        docker_die(box, (int)value, false);
    }
}

static void run(struct box *box)
{
    box->life++;
    box->started_ns = docker_next_ns(box->docker);
    box->started_ms = sim->now;
    format_ns(box->started_ns, box->started_at);
    box->is_hung = box->is_hung && box->is_sick_sticky;
    box->is_degraded = false;
    box->is_api_stopped = box->is_operator_stopped = false;
    box->oom_killed = false;
    box->error[0] = '\0';
    box->health = box->has_healthcheck ? HEALTH_STARTING : HEALTH_NONE;
    set_state(box, CONTAINER_RUNNING);
    emit(box, "start", 0, -1);
    if (box->has_healthcheck) {
        later(box, box->boot_ms, booted, 0);
    }
    if (box->crash_after_ms > 0 && box->crashes_left > 0) {
        later(box, box->crash_after_ms, crash, box->crash_code);
    }
    if (box->is_app && !box->app_beat) {
        box->app_beat = sim_at(sim->now + 200, NULL, app_beat, NULL, box);
    }
}

static void policy_start(struct box *box, int64_t value)
{
    (void)value;
    if (box->state == CONTAINER_RESTARTING && box->docker->is_up) {
        box->restart_count++;
        run(box);
    }
}

static bool applies(const struct box *box)
{
    if (box->is_api_stopped || !box->docker->is_up || !box->docker->is_listening) {
        return false;
    }
    return box->policy == DOCKER_POLICY_ALWAYS || box->policy == DOCKER_POLICY_UNLESS_STOPPED ||
           (box->policy == DOCKER_POLICY_ON_FAILURE && box->exit_code != 0 &&
            (box->policy_max == 0 || box->restart_count < box->policy_max));
}

static void dead(struct box *box, int code, bool may_restart)
{
    bool was_long = sim->now - box->started_ms > 10000;
    box->life++;
    box->exit_code = code;
    box->finished_ns = docker_next_ns(box->docker);
    box->health = box->has_healthcheck ? HEALTH_UNHEALTHY : HEALTH_NONE;
    bool is_restarted = may_restart && applies(box);
    set_state(box, is_restarted ? CONTAINER_RESTARTING : CONTAINER_EXITED);
    emit(box, "die", 0, code);
    if (is_restarted) {
        box->policy_delay_ms = was_long || box->policy_delay_ms == 0 ? 100 : 2 * box->policy_delay_ms;
        box->policy_delay_ms = box->policy_delay_ms > 60000 ? 60000 : box->policy_delay_ms;
        later(box, box->policy_delay_ms, policy_start, 0);
    }
}

static bool has_process(const struct box *box)
{
    return box->state == CONTAINER_RUNNING || box->state == CONTAINER_PAUSED;
}

void docker_die(struct box *box, int code, bool is_oom)
{
    if (!has_process(box)) {
        return;
    }
    if (is_oom) {
        box->oom_killed = true;
        emit(box, "oom", 0, -1);
    }
    dead(box, code, true);
}

static void killed(struct box *box, int64_t code)
{
    if (has_process(box)) {
        dead(box, (int)code, false);
    }
}

void docker_kill(struct box *box, int signal)
{
    if (!has_process(box) || !box->docker->is_up) {
        return;
    }
    box->is_api_stopped = true;
    emit(box, "kill", signal, -1);
    later(box, DIE_MS, killed, 128 + signal);
}

/* ---- stop, restart ---- */

struct stopping {
    struct box *box;
    uint64_t life;
    bool is_restart, is_shutdown;
    void (*on_done)(void *arg, bool is_done);
    void *arg;
};

static void finish_stop(struct stopping *stopping, bool is_done)
{
    stopping->box->is_acting = false;
    if (stopping->is_restart && is_done && !stopping->box->is_removed && stopping->box->docker->is_up) {
        if (stopping->box->is_start_failing) {
            memory_set_text(stopping->box->error, sizeof stopping->box->error, "no such device");
            stopping->box->exit_code = 128;
            is_done = false;
        } else {
            run(stopping->box);
            emit(stopping->box, "restart", 0, -1);
        }
    }
    if (stopping->on_done) {
        stopping->on_done(stopping->arg, is_done);
    }
    free(stopping);
}

static void stop_ended(void *arg)
{
    struct stopping *stopping = arg;
    struct box *box = stopping->box;
    if (!box->is_removed && box->state == CONTAINER_EXITED) {
        emit(box, "stop", 0, -1);
    }
    finish_stop(stopping, true);
}

static void stop_died(void *arg)
{
    struct stopping *stopping = arg;
    struct box *box = stopping->box;
    if (box->is_removed || !has_process(box) || box->life != stopping->life) {
        if (!box->is_removed && box->state == CONTAINER_EXITED && box->life == stopping->life + 1) {
            emit(box, "stop", 0, -1); /* it died by itself meanwhile */
        }
        finish_stop(stopping, true);
        return;
    }
    int code = box->term_ms < 0 ? 137 : (box->index % 2 ? 143 : 0);
    bool is_new = box->docker->version == ENGINE_26;
    if (is_new) {
        emit(box, "stop", 0, -1);
    }
    dead(box, code, false);
    if (is_new) {
        finish_stop(stopping, true);
    } else {
        sim_at(sim->now + STOP_EVENT_MS, NULL, stop_ended, free, stopping);
    }
}

static void stop_forced(void *arg)
{
    struct stopping *stopping = arg;
    struct box *box = stopping->box;
    if (!box->is_removed && has_process(box) && box->life == stopping->life) {
        emit(box, "kill", 9, -1);
    }
    sim_at(sim->now + DIE_MS, NULL, stop_died, free, stopping);
}

static void begin_stop(struct box *box, int64_t timeout_ms, bool is_restart, bool is_shutdown,
                       void (*on_done)(void *arg, bool is_done), void *arg)
{
    struct stopping *stopping = memory_alloc(sizeof *stopping);
    *stopping = (struct stopping){box, box->life, is_restart, is_shutdown, on_done, arg};
    box->is_acting = true;
    if (!is_shutdown) {
        box->is_api_stopped = true;
    }
    if (box->state == CONTAINER_RESTARTING) {
        set_state(box, CONTAINER_EXITED);
    }
    if (!has_process(box)) {
        finish_stop(stopping, true);
        return;
    }
    emit(box, "kill", 15, -1);
    if (box->term_ms >= 0 && box->term_ms < timeout_ms) {
        sim_at(sim->now + box->term_ms + DIE_MS, NULL, stop_died, free, stopping);
    } else {
        sim_at(sim->now + timeout_ms, NULL, stop_forced, free, stopping);
    }
}

void docker_stop(struct box *box, int64_t timeout_ms)
{
    if (box->docker->is_up && box->docker->is_listening && !box->is_acting) {
        begin_stop(box, timeout_ms, false, false, NULL, NULL);
    }
}

void docker_restart(struct box *box, int64_t timeout_ms)
{
    if (box->docker->is_up && box->docker->is_listening && !box->is_acting) {
        begin_stop(box, timeout_ms, true, false, NULL, NULL);
    }
}

/* 0; 304; 500 */
static int start_now(struct box *box)
{
    if (has_process(box)) {
        return 304;
    }
    if (box->is_start_failing) {
        memory_set_text(box->error, sizeof box->error, "no such device");
        box->exit_code = 128;
        return 500;
    }
    run(box);
    return 0;
}

void docker_start(struct box *box, const char *who)
{
    (void)who;
    if (box->docker->is_up && box->docker->is_listening && !box->is_acting) {
        start_now(box);
    }
}

void docker_remove(struct box *box)
{
    if (!box->docker->is_up || !box->docker->is_listening || box->is_removed) {
        return;
    }
    if (has_process(box)) {
        emit(box, "kill", 9, -1);
        box->is_api_stopped = true;
        dead(box, 137, false);
    }
    emit(box, "destroy", 0, -1);
    box->is_removed = true;
    box->removed_at = sim->now;
    box->life++;
}

void docker_rename(struct box *box, const char *name)
{
    if (box->docker->is_up && box->docker->is_listening) {
        memory_set_text(box->name, sizeof box->name, name);
        box->renamed_at = sim->now;
        emit(box, "rename", 0, -1);
    }
}

void docker_pause(struct box *box, bool is_paused)
{
    if (box->state == (is_paused ? CONTAINER_RUNNING : CONTAINER_PAUSED) && box->docker->is_up) {
        set_state(box, is_paused ? CONTAINER_PAUSED : CONTAINER_RUNNING);
        emit(box, is_paused ? "pause" : "unpause", 0, -1);
    }
}

struct box *docker_add(struct docker *docker, const char *name, int64_t boot_ms)
{
    if (sim->box_count == BOXES_MAX) {
        abort();
    }
    struct box *box = memory_alloc(sizeof *box);
    box->docker = docker;
    box->index = sim->box_count;
    box->boot_ms = boot_ms;
    box->term_ms = 100;
    box->parent = -1;
    box->crash_code = 1;
    box->grace_label_ms = -1;
    box->policy = DOCKER_POLICY_NO;
    box->state = CONTAINER_CREATED;
    box->bad_at = box->created_at = sim->now;
    memory_set_text(box->name, sizeof box->name, name);
    snprintf(box->id, sizeof box->id, "%016llx%016llx%016llx%016llx",
             (unsigned long long)dice_next(&docker->dice), (unsigned long long)dice_next(&docker->dice),
             (unsigned long long)dice_next(&docker->dice), (unsigned long long)box->index);
    sim->boxes[sim->box_count++] = box;
    return box;
}

/* ---- the client ---- */

enum call_kind { CALL_INSPECT, CALL_LIST, CALL_INFO, CALL_PING, CALL_START, CALL_RESTART, CALL_EVENTS };

struct engine_call {
    struct engine_client *client;
    enum call_kind kind;
    char id[LIMIT_ID_SIZE];
    int64_t stop_ms, asked_at, timeout_ms;
    engine_inspect_callback on_inspect;
    engine_list_callback on_list;
    engine_info_callback on_info;
    engine_callback on_done;
    struct engine_events_handlers handlers;
    void *arg;
    struct event *event;
    bool is_asked_to_act; /* the daemon works on it */
    enum engine_result result;
    int status;
    struct engine_container facts;
    struct engine_summary *rows;
    size_t row_count;
    struct engine_info info;
    struct engine_call *next;
    int64_t last_delivery;
};

struct engine_client {
    struct docker *docker;
    struct process *process;
    struct engine_call *calls;
};

struct engine_client *docker_client_new(struct docker *docker, struct process *process)
{
    struct engine_client *client = memory_alloc(sizeof *client);
    client->docker = docker;
    client->process = process;
    docker->client = client;
    return client;
}

void docker_client_free(struct engine_client *client)
{
    while (client->calls) {
        engine_call_cancel(client->calls);
    }
    client->docker->client = NULL;
    free(client);
}

static void call_free(struct engine_call *call)
{
    struct engine_call **place = &call->client->calls;
    while (*place != call) {
        place = &(*place)->next;
    }
    *place = call->next;
    sim_cancel(call->event);
    engine_container_fini(&call->facts);
    for (size_t i = 0; i < call->row_count; i++) {
        label_list_fini(&call->rows[i].labels);
    }
    free(call->rows);
    free(call);
}

void engine_call_cancel(struct engine_call *call)
{
    if (call) {
        call_free(call);
    }
}

static void call_done(void *arg)
{
    struct engine_call *call = arg;
    call->event = NULL;
    struct engine_answer answer = {.result = call->result,
                                   .status = call->status,
                                   .message = call->result == ENGINE_OK ? "" : "no",
                                   .took_ms = sim->now - call->asked_at};
    bool is_ok = call->result == ENGINE_OK;
    struct engine_call copy = *call;
    call->facts = (struct engine_container){0};
    call->rows = NULL;
    call->row_count = 0;
    call_free(call);
    switch (copy.kind) {
    case CALL_INSPECT:
        copy.on_inspect(copy.arg, &answer, is_ok ? &copy.facts : NULL);
        break;
    case CALL_LIST:
        copy.on_list(copy.arg, &answer, copy.rows, copy.row_count);
        break;
    case CALL_INFO:
        copy.on_info(copy.arg, &answer, is_ok ? &copy.info : NULL);
        break;
    case CALL_PING:
    case CALL_START:
    case CALL_RESTART:
        copy.on_done(copy.arg, &answer);
        break;
    case CALL_EVENTS:
        copy.handlers.on_end(copy.handlers.arg, &answer);
        break;
    }
    engine_container_fini(&copy.facts);
    for (size_t i = 0; i < copy.row_count; i++) {
        label_list_fini(&copy.rows[i].labels);
    }
    free(copy.rows);
}

static void answer_in(struct engine_call *call, int64_t ms, enum engine_result result, int status)
{
    call->result = result;
    call->status = status;
    sim_cancel(call->event);
    call->event = sim_at(sim->now + ms, call->client->process, call_done, NULL, call);
}

static void fill_labels(const struct box *box, struct label_list *out)
{
    if (box->service[0]) {
        label_list_add(out, "defib.service", box->service);
        label_list_add(out, "defib.instance", box->instance);
    }
    if (box->is_denied_label) {
        label_list_add(out, "defib.restart", "deny");
    }
    if (box->is_oneshot) {
        label_list_add(out, "defib.oneshot", "true");
    }
    if (box->is_agent_beating) {
        label_list_add(out, "defib.heartbeat", "agent");
    }
    if (box->grace_label_ms >= 0) {
        char text[32];
        snprintf(text, sizeof text, "%lld", (long long)(box->grace_label_ms / 1000));
        label_list_add(out, "defib.start_grace", text);
    }
}

static struct box *find(const struct docker *docker, const char *id)
{
    struct box *box = sim_box_by_id(id);
    return box && box->docker == docker && !box->is_removed ? box : NULL;
}

static void fill_facts(const struct box *box, struct engine_container *out)
{
    memory_set_text(out->id, sizeof out->id, box->id);
    memory_set_text(out->name, sizeof out->name, box->name);
    out->state = box->state;
    out->health = box->health;
    memory_set_text(out->started_at, sizeof out->started_at,
                    box->started_at[0] ? box->started_at : "0001-01-01T00:00:00Z");
    out->started_ns = box->started_ns;
    out->finished_ns = box->finished_ns;
    out->pid = has_process(box) ? 1000 + box->index : 0;
    out->exit_code = box->exit_code;
    out->oom_killed = box->oom_killed;
    memory_set_text(out->error, sizeof out->error, box->error);
    out->restart_count = box->restart_count;
    out->policy = box->policy;
    out->policy_max = box->policy_max;
    out->stop_timeout_secs = -1;
    out->has_healthcheck = box->has_healthcheck;
    out->healthcheck_grace_ms = box->has_healthcheck ? box->boot_ms + 30000 : 0;
    out->program = box->is_defib   ? ENGINE_PROGRAM_DEFIB
                   : box->is_redis ? ENGINE_PROGRAM_REDIS
                                   : ENGINE_PROGRAM_OTHER;
    if (box->parent >= 0) {
        memory_set_text(out->network_parent, sizeof out->network_parent, sim->boxes[box->parent]->id);
    }
    fill_labels(box, &out->labels);
    if (box->is_redis) {
        out->addresses = memory_alloc(sizeof *out->addresses);
        memory_set_text(out->addresses[0], sizeof out->addresses[0], "10.9.9.9");
        out->address_count = 1;
    }
}

static void fill_rows(struct engine_call *call)
{
    call->rows = memory_alloc((size_t)sim->box_count * sizeof *call->rows);
    for (int i = 0; i < sim->box_count; i++) {
        const struct box *box = sim->boxes[i];
        if (box->docker == call->client->docker && !box->is_removed) {
            struct engine_summary *row = &call->rows[call->row_count++];
            memory_set_text(row->id, sizeof row->id, box->id);
            memory_set_text(row->name, sizeof row->name, box->name);
            row->state = box->state;
            row->health = box->state == CONTAINER_RUNNING ? box->health : HEALTH_NONE;
            fill_labels(box, &row->labels);
        }
    }
}

static void acted(void *arg, bool is_done)
{
    struct box *box = arg;
    for (struct engine_call *call = box->docker->client ? box->docker->client->calls : NULL; call;
         call = call->next) {
        if (call->is_asked_to_act && strcmp(call->id, box->id) == 0) {
            call->is_asked_to_act = false;
            answer_in(call, 1, is_done ? ENGINE_OK : ENGINE_FAILED, is_done ? 204 : 500);
            return;
        }
    }
}

/* start or restart, at the daemon: it goes on also where nobody waits for it any more. */
struct acting {
    struct docker *docker;
    struct box *box;
    enum call_kind kind;
    int64_t stop_ms;
};

static void act_now(void *arg)
{
    struct acting *acting = arg;
    struct box *box = acting->box;
    struct docker *docker = acting->docker;
    if (!docker->is_up || docker->is_hanging) {
        if (docker->is_up) {
            sim_at(sim->now + 500, NULL, act_now, free, acting);
        } else {
            free(acting);
        }
        return;
    }
    if (box->is_acting && !box->is_removed) {
        sim_at(sim->now + 100, NULL, act_now, free, acting); /* Docker's lock of this container */
        return;
    }
    enum call_kind kind = acting->kind;
    int64_t stop_ms = acting->stop_ms;
    free(acting);
    if (box->is_removed) {
        acted(box, false);
        return;
    }
    check_act(box, box->started_at, kind == CALL_START ? OP_START : OP_RESTART);
    if (kind == CALL_RESTART) {
        begin_stop(box, stop_ms, true, false, acted, box);
        return;
    }
    int status = start_now(box);
    for (struct engine_call *call = docker->client ? docker->client->calls : NULL; call; call = call->next) {
        if (call->is_asked_to_act && strcmp(call->id, box->id) == 0) {
            call->is_asked_to_act = false;
            answer_in(call, 1, status == 500 ? ENGINE_FAILED : ENGINE_OK, status == 0 ? 204 : status);
            return;
        }
    }
}

static void ask_to_act(struct engine_call *call, struct box *box)
{
    struct acting *acting = memory_alloc(sizeof *acting);
    *acting = (struct acting){box->docker, box, call->kind, call->stop_ms};
    call->is_asked_to_act = true;
    sim_at(sim->now + dice_range(&box->docker->dice, 20, 150), NULL, act_now, free, acting);
    sim_cancel(call->event);
    call->result = ENGINE_LOST;
    call->event = sim_at(sim->now + call->timeout_ms, call->client->process, call_done, NULL, call);
}

static void call_arrived(void *arg)
{
    struct engine_call *call = arg;
    struct docker *docker = call->client->docker;
    struct dice *dice = &docker->dice;
    call->event = NULL;
    if (!docker->is_up || docker->is_starting || (!docker->is_listening && call->kind != CALL_INSPECT)) {
        answer_in(call, 1, ENGINE_UNREACHABLE, 0);
        return;
    }
    struct box *box = find(docker, call->id);
    bool is_act = call->kind == CALL_START || call->kind == CALL_RESTART;
    if (docker->is_hanging) {
        if (is_act && box) {
            ask_to_act(call, box);
        } else {
            answer_in(call, call->timeout_ms, ENGINE_LOST, 0);
        }
        return;
    }
    if ((call->kind == CALL_INSPECT || is_act) && !box) {
        answer_in(call, dice_range(dice, 0, 2), ENGINE_NOT_FOUND, 404);
        return;
    }
    if (is_act) {
        ask_to_act(call, box);
        return;
    }
    if (call->kind == CALL_INSPECT) {
        fill_facts(box, &call->facts);
    } else if (call->kind == CALL_LIST) {
        fill_rows(call);
    } else if (call->kind == CALL_INFO) {
        memory_set_text(call->info.version, sizeof call->info.version,
                        docker->version == ENGINE_26 ? "26.1.5" : "20.10.24");
        memory_set_text(call->info.id, sizeof call->info.id, docker->host);
        call->info.system_time_ns = sim_wall(docker->wall_offset_ms).ms * 1000000;
        call->info.is_live_restore = docker->is_live_restore;
    }
    answer_in(call, dice_range(dice, 0, 4), ENGINE_OK, 200);
}

static struct engine_call *call_new(struct engine_client *client, enum call_kind kind, const char *id,
                                    int64_t timeout_ms, void *arg)
{
    struct engine_call *call = memory_alloc(sizeof *call);
    call->client = client;
    call->kind = kind;
    call->asked_at = sim->now;
    call->timeout_ms = timeout_ms;
    call->arg = arg;
    memory_set_text(call->id, sizeof call->id, id);
    call->next = client->calls;
    client->calls = call;
    if (process_effect(client->process)) {
        call->event = sim_at(sim->now + dice_range(&client->docker->dice, 0, 3), client->process,
                             call_arrived, NULL, call);
    }
    return call;
}

struct engine_call *engine_client_inspect(struct engine_client *client, const char *id, int64_t timeout_ms,
                                          engine_inspect_callback on_done, void *arg)
{
    struct engine_call *call = call_new(client, CALL_INSPECT, id, timeout_ms, arg);
    call->on_inspect = on_done;
    return call;
}

struct engine_call *engine_client_list(struct engine_client *client, int64_t timeout_ms,
                                       engine_list_callback on_done, void *arg)
{
    struct engine_call *call = call_new(client, CALL_LIST, "", timeout_ms, arg);
    call->on_list = on_done;
    return call;
}

struct engine_call *engine_client_info(struct engine_client *client, int64_t timeout_ms,
                                       engine_info_callback on_done, void *arg)
{
    struct engine_call *call = call_new(client, CALL_INFO, "", timeout_ms, arg);
    call->on_info = on_done;
    return call;
}

struct engine_call *engine_client_ping(struct engine_client *client, int64_t timeout_ms,
                                       engine_callback on_done, void *arg)
{
    struct engine_call *call = call_new(client, CALL_PING, "", timeout_ms, arg);
    call->on_done = on_done;
    return call;
}

struct engine_call *engine_client_start(struct engine_client *client, const char *id, int64_t timeout_ms,
                                        engine_callback on_done, void *arg)
{
    struct engine_call *call = call_new(client, CALL_START, id, timeout_ms, arg);
    call->on_done = on_done;
    return call;
}

struct engine_call *engine_client_restart(struct engine_client *client, const char *id,
                                          int64_t stop_timeout_secs, int64_t timeout_ms,
                                          engine_callback on_done, void *arg)
{
    struct engine_call *call = call_new(client, CALL_RESTART, id, timeout_ms, arg);
    call->on_done = on_done;
    call->stop_ms = stop_timeout_secs * 1000;
    return call;
}

const char *engine_client_describe(const struct engine_client *client)
{
    return client->docker->host;
}

struct engine_counters engine_client_counters(const struct engine_client *client)
{
    (void)client;
    return (struct engine_counters){0};
}

/* ---- the event stream ---- */

struct line {
    struct engine_client *client;
    struct engine_call *call;
    char text[EVENT_BYTES];
};

static void on_line(void *arg)
{
    struct line *line = arg;
    for (struct engine_call *call = line->client->calls; call; call = call->next) {
        if (call == line->call) {
            call->handlers.on_line(call->handlers.arg, line->text, strlen(line->text));
            break;
        }
    }
    free(line);
}

static void send_line(struct engine_call *call, const struct docker_event *event)
{
    struct line *line = memory_alloc(sizeof *line);
    line->client = call->client;
    line->call = call;
    memory_set_text(line->text, sizeof line->text, event->line);
    int64_t at = sim->now + dice_range(&call->client->docker->dice, 0, 10);
    call->last_delivery = at > call->last_delivery ? at : call->last_delivery;
    sim_at(call->last_delivery, call->client->process, on_line, free, line);
}

static void deliver_event(struct docker *docker, const struct docker_event *event)
{
    for (struct engine_call *call = docker->client ? docker->client->calls : NULL; call; call = call->next) {
        if (call->kind == CALL_EVENTS && !call->event && !docker->is_hanging) {
            send_line(call, event);
        }
    }
}

struct engine_call *engine_client_events(struct engine_client *client, int64_t since_ns,
                                         const struct engine_events_handlers *handlers)
{
    struct docker *docker = client->docker;
    struct engine_call *call = memory_alloc(sizeof *call);
    call->client = client;
    call->kind = CALL_EVENTS;
    call->asked_at = sim->now;
    call->handlers = *handlers;
    call->next = client->calls;
    client->calls = call;
    if (!docker->is_up || !docker->is_listening) {
        answer_in(call, 1, ENGINE_UNREACHABLE, 0);
        return call;
    }
    for (size_t i = 0; i < docker->event_count; i++) {
        if (docker->events[i].time_ns >= since_ns) {
            send_line(call, &docker->events[i]);
        }
    }
    return call;
}

static void end_streams(struct docker *docker)
{
    for (struct engine_call *call = docker->client ? docker->client->calls : NULL; call; call = call->next) {
        if (call->kind == CALL_EVENTS && !call->event) {
            answer_in(call, call->last_delivery > sim->now ? call->last_delivery - sim->now + 1 : 1,
                      ENGINE_LOST, 0);
        } else if (call->is_asked_to_act) {
            call->is_asked_to_act = false;
            answer_in(call, 1, ENGINE_LOST, 0);
        }
    }
}

/* ---- the daemon and the host ---- */

static void daemon_gone(struct docker *docker)
{
    docker->is_up = docker->is_starting = false;
    docker->is_listening = false;
    docker->event_count = 0;
    docker->disturbed_at = sim->now;
    end_streams(docker);
}

struct going {
    struct docker *docker;
    int waits;
};

static void shutdown_step(void *arg)
{
    struct docker *docker = arg;
    if (docker->is_listening || docker->is_starting || !docker->is_up) {
        return;
    }
    for (int i = 0; i < sim->box_count; i++) {
        struct box *box = sim->boxes[i];
        if (box->docker == docker && !box->is_removed && (has_process(box) || box->is_acting)) {
            sim_at(sim->now + 50, NULL, shutdown_step, NULL, docker);
            return;
        }
    }
    sim_at(sim->now, NULL, (event_fn)daemon_gone, NULL, docker);
}

static void stop_boxes(struct docker *docker)
{
    for (int i = 0; i < sim->box_count; i++) {
        struct box *box = sim->boxes[i];
        if (box->docker == docker && !box->is_removed && has_process(box) && !box->is_acting) {
            begin_stop(box, 10000, false, true, NULL, NULL);
        }
    }
}

static void restart_boxes(void *arg)
{
    struct docker *docker = arg;
    if (docker->is_starting) {
        sim_at(sim->now + 500, NULL, restart_boxes, NULL, docker);
        return;
    }
    if (!docker->is_up || !docker->is_listening) {
        return;
    }
    for (int i = 0; i < sim->box_count; i++) {
        struct box *box = sim->boxes[i];
        bool is_wanted = box->policy == DOCKER_POLICY_ALWAYS ||
                         (box->policy == DOCKER_POLICY_UNLESS_STOPPED && !box->is_api_stopped);
        if (box->docker == docker && !box->is_removed && is_wanted && !has_process(box) && !box->is_acting) {
            start_now(box);
        }
    }
}

/* It answers nobody before those that it found alive are stopped. */
static void starting_step(void *arg)
{
    struct docker *docker = arg;
    if (!docker->is_starting) {
        return;
    }
    for (int i = 0; i < sim->box_count; i++) {
        struct box *box = sim->boxes[i];
        if (box->docker == docker && !box->is_removed && (has_process(box) || box->is_acting)) {
            sim_at(sim->now + 50, NULL, starting_step, NULL, docker);
            return;
        }
    }
    docker->is_starting = false;
    docker->is_listening = true;
    docker->disturbed_at = sim->now;
}

static void daemon_up(struct docker *docker)
{
    docker->is_up = true;
    docker->is_listening = docker->is_live_restore;
    docker->is_starting = !docker->is_live_restore;
    docker->is_hanging = false;
    docker->disturbed_at = sim->now;
    docker->is_off = false;
    for (int i = 0; i < sim->box_count; i++) {
        struct box *box = sim->boxes[i];
        if (box->docker == docker && box->state == CONTAINER_RESTARTING) {
            set_state(box, CONTAINER_EXITED);
        }
    }
    if (!docker->is_live_restore) {
        stop_boxes(docker); /* survivors of a daemon that was killed */
        starting_step(docker);
    }
    sim_at(sim->now + 1500, NULL, restart_boxes, NULL, docker);
}

void docker_daemon(struct docker *docker, bool is_up, bool is_clean)
{
    docker->disturbed_at = sim->now;
    if (docker->is_starting || (is_up == docker->is_up && docker->is_listening == is_up)) {
        return;
    }
    if (is_up) {
        daemon_up(docker);
    } else if (is_clean && !docker->is_live_restore) {
        docker->is_listening = false;
        stop_boxes(docker);
        shutdown_step(docker);
    } else {
        daemon_gone(docker);
    }
}

void docker_host_off(struct docker *docker)
{
    docker->is_up = docker->is_listening = docker->is_starting = false;
    docker->is_off = true;
    docker->event_count = 0;
    docker->disturbed_at = sim->now;
    for (int i = 0; i < sim->box_count; i++) {
        struct box *box = sim->boxes[i];
        if (box->docker == docker && !box->is_removed &&
            (has_process(box) || box->state == CONTAINER_RESTARTING)) {
            box->life++;
            box->exit_code = 255;
            box->finished_ns = docker_next_ns(docker);
            box->is_acting = false;
            set_state(box, CONTAINER_EXITED);
        }
    }
    snprintf(docker->boot_id, sizeof docker->boot_id, "boot-%llx",
             (unsigned long long)dice_next(&docker->dice));
}

struct docker *docker_new(int index, enum engine_version version)
{
    struct docker *docker = memory_alloc(sizeof *docker);
    docker->index = index;
    docker->version = version;
    docker->is_up = docker->is_listening = true;
    docker->dice = dice_of(sim->plan->seed, 100 + (uint64_t)index);
    docker->events = memory_alloc(EVENTS_KEPT * sizeof *docker->events);
    docker->disturbed_at = sim->now;
    snprintf(docker->host, sizeof docker->host, "host-%d", index);
    snprintf(docker->boot_id, sizeof docker->boot_id, "boot-%d", index);
    return docker;
}

void docker_free(struct docker *docker)
{
    free(docker->events);
    free(docker);
}
