/* agent/engine_client played over a simulated Docker host. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine_client.h"
#include "common/memory.h"
#include "tests/sim/docker.h"
#include "tests/sim/sim.h"

enum call_kind {
    CALL_INSPECT,
    CALL_LIST,
    CALL_INFO,
    CALL_RUN,
    CALL_PING,
    CALL_START,
    CALL_RESTART,
    CALL_EVENTS
};

struct engine_call {
    struct engine_client *client;
    enum call_kind kind;
    char id[LIMIT_ID_SIZE];
    int64_t stop_ms, asked_at, timeout_ms;
    engine_inspect_callback on_inspect;
    engine_list_callback on_list;
    engine_info_callback on_info;
    engine_run_callback on_run;
    engine_callback on_done;
    struct engine_events_handlers handlers;
    void *arg;
    struct event *event;
    bool is_asked_to_act; /* the daemon works on it */
    enum engine_result result;
    int status;
    char message[128];
    struct engine_container *facts; /* of an inspect; owned */
    struct docker_rows *rows;       /* of a list; one reference is ours */
    struct engine_info info;
    char run_id[LIMIT_ID_SIZE];
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

void docker_rows_drop(struct docker_rows *rows)
{
    if (!rows || --rows->refs > 0) {
        return;
    }
    for (size_t i = 0; i < rows->count; i++) {
        label_list_fini(&rows->rows[i].labels);
    }
    free(rows->rows);
    free(rows);
}

static void call_free_parts(struct engine_call *call)
{
    if (call->facts) {
        engine_container_fini(call->facts);
    }
    free(call->facts);
    docker_rows_drop(call->rows);
}

static void call_free(struct engine_call *call)
{
    struct engine_call **place = &call->client->calls;
    while (*place != call) {
        place = &(*place)->next;
    }
    *place = call->next;
    sim_cancel(call->event);
    call_free_parts(call);
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
    struct engine_call copy = *call; /* which outlives it */
    bool is_ok = copy.result == ENGINE_OK;
    struct engine_answer answer = {.result = copy.result,
                                   .status = copy.status,
                                   .message = is_ok             ? ""
                                              : copy.message[0] ? copy.message
                                                                : "no",
                                   .took_ms = sim->now - copy.asked_at};
    call->facts = NULL;
    call->rows = NULL;
    call_free(call);
    switch (copy.kind) {
    case CALL_INSPECT:
        copy.on_inspect(copy.arg, &answer, is_ok ? copy.facts : NULL);
        break;
    case CALL_LIST:
        copy.on_list(copy.arg, &answer, copy.rows ? copy.rows->rows : NULL, copy.rows ? copy.rows->count : 0);
        break;
    case CALL_INFO:
        copy.on_info(copy.arg, &answer, is_ok ? &copy.info : NULL);
        break;
    case CALL_RUN:
        copy.on_run(copy.arg, &answer, is_ok ? copy.run_id : "");
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
    call_free_parts(&copy);
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
    if (box->depends_on[0]) {
        label_list_add(out, "defib.depends_on", box->depends_on);
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

/* As the Engine tells it; it has a time for one that never ran, too. */
static const char *started_text(const struct box *box)
{
    return box->started_at[0] ? box->started_at : "0001-01-01T00:00:00Z";
}

static void fill_facts(const struct box *box, struct engine_container *out)
{
    memory_set_text(out->id, sizeof out->id, box->id);
    memory_set_text(out->name, sizeof out->name, box->name);
    out->state = box->state;
    out->health = box->health;
    memory_set_text(out->started_at, sizeof out->started_at, started_text(box));
    out->started_ns = box->started_ns;
    out->finished_ns = box->finished_ns;
    out->pid = docker_has_process(box) ? 1000 + box->index : 0;
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

static struct docker_rows *new_rows(const struct docker *docker)
{
    struct docker_rows *rows = memory_alloc(sizeof *rows);
    *rows = (struct docker_rows){.refs = 1, .change = docker->change};
    rows->rows = memory_alloc((docker->box_count + 1) * sizeof *rows->rows);
    for (const struct box *box = docker->boxes; box; box = box->next) {
        if (!box->is_removed) {
            struct engine_summary *row = &rows->rows[rows->count++];
            memory_set_text(row->id, sizeof row->id, box->id);
            memory_set_text(row->name, sizeof row->name, box->name);
            row->state = box->state;
            row->health = box->state == CONTAINER_RUNNING ? box->health : HEALTH_NONE;
            fill_labels(box, &row->labels);
        }
    }
    return rows;
}

/* The last list once more, where nothing happened. */
static void fill_rows(struct engine_call *call)
{
    struct docker *docker = call->client->docker;
    if (!docker->rows || docker->rows->change != docker->change) {
        docker_rows_drop(docker->rows);
        docker->rows = new_rows(docker);
    }
    docker->rows->refs++;
    call->rows = docker->rows;
}

static void acted(void *arg, bool is_done)
{
    struct box *box = arg;
    for (struct engine_call *call = box->docker->client ? box->docker->client->calls : NULL; call;
         call = call->next) {
        if (call->is_asked_to_act && strcmp(call->id, box->id) == 0) {
            call->is_asked_to_act = false;
            memory_set_text(call->message, sizeof call->message, is_done ? "" : box->error);
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
    check_act(box, started_text(box), kind == CALL_START ? OP_START : OP_RESTART);
    if (kind == CALL_RESTART) {
        docker_begin_stop(box, stop_ms, true, false, acted, box);
        return;
    }
    int status = docker_start_now(box);
    for (struct engine_call *call = docker->client ? docker->client->calls : NULL; call; call = call->next) {
        if (call->is_asked_to_act && strcmp(call->id, box->id) == 0) {
            call->is_asked_to_act = false;
            memory_set_text(call->message, sizeof call->message, status == 500 ? box->error : "");
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
        call->facts = memory_alloc(sizeof *call->facts);
        fill_facts(box, call->facts);
    } else if (call->kind == CALL_LIST) {
        fill_rows(call);
    } else if (call->kind == CALL_RUN && docker->index % 2 == 1) {
        answer_in(call, dice_range(dice, 0, 2), ENGINE_NOT_FOUND, 404); /* --bridge none */
        return;
    } else if (call->kind == CALL_RUN) {
        snprintf(call->run_id, sizeof call->run_id, "%d%llu", docker->index,
                 (unsigned long long)docker->runs);
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

struct engine_call *engine_client_run(struct engine_client *client, int64_t timeout_ms,
                                      engine_run_callback on_done, void *arg)
{
    struct engine_call *call = call_new(client, CALL_RUN, "", timeout_ms, arg);
    call->on_run = on_done;
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

void docker_client_event(struct docker *docker, const struct docker_event *event)
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

void docker_client_end(struct docker *docker)
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
