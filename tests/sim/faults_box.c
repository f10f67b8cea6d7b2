/* What goes wrong with a container, and what operators do to it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "proto/hold.h"
#include "proto/keys.h"
#include "tests/sim/docker.h"
#include "tests/sim/faults.h"

void faults_heal(const struct fault *fault)
{
    struct box *box = sim_box_of(fault->box);
    if (box && (box->is_hung || box->is_degraded)) {
        box->is_hung = box->is_degraded = box->is_sick_sticky = false;
        if (box->state == CONTAINER_RUNNING) {
            docker_set_health(box, HEALTH_HEALTHY);
        }
        docker_truth(box);
    }
}

static void fail_start_over(const struct fault *fault)
{
    struct box *box = sim_box_of(fault->box);
    if (box) {
        box->is_start_failing = false;
    }
}

void faults_hang(struct box *box, const struct fault *fault)
{
    bool is_heard = box->is_app && !box->is_agent_beating; /* else nobody could see it */
    if (box->state != CONTAINER_RUNNING || (!is_heard && !box->has_healthcheck)) {
        return;
    }
    box->is_hung = is_heard;
    box->is_sick_sticky = fault->b == 1;
    if (box->has_healthcheck) {
        docker_set_health(box, HEALTH_UNHEALTHY);
    }
    docker_truth(box);
    if (fault->a > 0) {
        faults_end_after(fault, fault->a, faults_heal);
    }
}

static void operator_started(struct box *box)
{
    box->started_by_operator_at = sim->now;
    box->cooldown_until = 0;
    box->last_count = 0;
}

static void stop(struct box *box)
{
    if (box->state != CONTAINER_RUNNING || box->is_acting || !docker_takes_calls(box->docker)) {
        return;
    }
    bool is_ours = box->in_flight_id[0] != '\0' && box->in_flight_until > sim->now;
    box->is_operator_stopped = box->is_stop_told = true;
    int host = box->docker->index;
    bool is_watching = agent_node_sees(host) && agent_node_process(host)->stalled_until <= sim->now;
    box->is_stop_seen = is_watching && !is_ours && !box->docker->is_hanging;
    box->stopped_at = sim->now;
    docker_stop(box, 10000);
}

static void restart(struct box *box)
{
    if (box->state == CONTAINER_RUNNING && !box->is_acting && docker_takes_calls(box->docker)) {
        box->is_operator_stopped = true; /* until it runs again */
        box->is_stop_seen = false;
        box->stopped_at = sim->now;
        operator_started(box);
        docker_restart(box, 10000);
    }
}

void faults_start(struct box *box)
{
    if (box->state != CONTAINER_RUNNING && box->state != CONTAINER_PAUSED && !box->is_acting) {
        operator_started(box);
        docker_start(box, "operator");
    }
}

static void recreate(struct box *box)
{
    struct docker *docker = box->docker;
    if (!docker_takes_calls(docker) || box->is_acting) {
        return;
    }
    char name[NAME_BYTES];
    memory_set_text(name, sizeof name, box->name);
    docker_remove(box);
    struct box *new = docker_add(docker, name, box->boot_ms);
    struct box fresh = *new;
    *new = *box;
    memcpy(new->id, fresh.id, sizeof new->id);
    new->index = fresh.index;
    new->successor = 0;
    new->next = fresh.next;
    while (new->parent >= 0 && sim->boxes[new->parent]->successor) {
        new->parent = sim->boxes[new->parent]->successor;
    }
    new->parent = new->parent >= 0 && sim->boxes[new->parent]->is_removed ? -1 : new->parent;
    new->is_removed = new->is_hung = new->is_acting = new->is_operator_stopped = false;
    new->is_start_failing = false;
    new->state = CONTAINER_CREATED;
    new->health = HEALTH_NONE;
    new->started_at[0] = '\0';
    new->started_ns = new->finished_ns = new->started_ms = 0;
    new->restart_count = new->send_count = new->last_count = 0;
    new->good_since = new->removed_at = new->cooldown_until = new->acted_at = new->renamed_at = 0;
    new->reset_at = new->started_by_operator_at = new->in_flight_until = new->stopped_at = 0;
    new->crashes_left = 0;
    new->stopping = NULL;
    new->app_beat = NULL;
    new->in_flight_id[0] = new->last_id[0] = '\0';
    new->bad_at = new->created_at = sim->now;
    box->successor = new->index;
    docker_emit(new, "create", 0, -1);
    docker_start(new, "operator");
}

static void reset(struct box *box)
{
    char key[KEY_SIZE];
    key_restart(key, box->name);
    if (redis_is_there() && redis_get(key)) {
        redis_delete(key);
        check_note_reset(box);
        box->last_count = 0;
    }
}

void faults_release(const struct fault *fault)
{
    struct box *box = sim_box_of(fault->box);
    if (!box) {
        return;
    }
    if (!redis_is_there()) {
        faults_end_after(fault, 1000, faults_release); /* who cannot delete the key tries again */
        return;
    }
    char key[KEY_SIZE];
    key_hold(key, "container", box->name);
    redis_delete(key);
    box->is_held = false;
    box->released_at = sim->released_any_at = sim->now;
}

static void hold(struct box *box, const struct fault *fault)
{
    if (!redis_is_there()) {
        return;
    }
    struct hold text = {.until = {0}};
    memory_set_text(text.reason, sizeof text.reason, "work");
    size_t len;
    cleanup_free char *bytes = hold_encode(&text, &len);
    char key[KEY_SIZE];
    key_hold(key, "container", box->name);
    redis_put(key, redis_doc_text(bytes, len), 0);
    box->is_held = true;
    box->held_at = sim->now;
    if (fault->a > 0) {
        faults_end_after(fault, fault->a, faults_release);
    }
}

void faults_unpause(const struct fault *fault)
{
    struct box *box = sim_box_of(fault->box);
    if (box) {
        docker_pause(box, false);
    }
}

static void f_kill(struct box *box, const struct fault *fault)
{
    (void)fault;
    if (box->state == CONTAINER_RUNNING && docker_takes_calls(box->docker) && !box->is_acting) {
        check_kill(box);
        docker_kill(box, 9);
    }
}

static void f_crash(struct box *box, const struct fault *fault)
{
    check_crash(box);
    docker_die(box, fault->a > 0 ? (int)fault->a : 1, false);
}

static void f_oom(struct box *box, const struct fault *fault)
{
    (void)fault;
    docker_die(box, 137, true);
}

static void f_heal(struct box *box, const struct fault *fault)
{
    (void)box;
    faults_heal(fault);
}

static void f_degrade(struct box *box, const struct fault *fault)
{
    (void)fault;
    box->is_degraded = box->is_app;
}

static void f_crash_loop(struct box *box, const struct fault *fault)
{
    box->crash_after_ms = 3000;
    box->crashes_left = fault->a;
    box->crash_code = fault->b > 1 ? (int)fault->b : 1;
    docker_die(box, box->crash_code, false);
}

static void f_slow_start(struct box *box, const struct fault *fault)
{
    box->boot_ms = fault->a;
    docker_die(box, 1, false);
}

static void f_fail_start(struct box *box, const struct fault *fault)
{
    box->is_start_failing = true;
    faults_end_after(fault, fault->a, fail_start_over);
    docker_die(box, 1, false);
}

static void f_stop(struct box *box, const struct fault *fault)
{
    (void)fault;
    stop(box);
}

static void f_start(struct box *box, const struct fault *fault)
{
    (void)fault;
    faults_start(box);
}

static void f_restart(struct box *box, const struct fault *fault)
{
    (void)fault;
    restart(box);
}

static void f_remove(struct box *box, const struct fault *fault)
{
    (void)fault;
    docker_remove(box);
}

static void f_recreate(struct box *box, const struct fault *fault)
{
    (void)fault;
    recreate(box);
}

static void f_rename(struct box *box, const struct fault *fault)
{
    (void)fault;
    char name[NAME_BYTES + 16];
    snprintf(name, sizeof name, "%.40s-r", box->name);
    if (strlen(box->name) < 40) {
        docker_rename(box, name);
        box->is_allowed = name_patterns_match(&sim->allow, box->name);
        box->is_denied = name_patterns_match(&sim->deny, box->name);
        box->is_held = false; /* holds are by name; budgets go with the id */
        box->released_at = sim->released_any_at = sim->now;
    }
}

static void f_pause(struct box *box, const struct fault *fault)
{
    docker_pause(box, true);
    faults_end_after(fault, fault->a, faults_unpause);
}

static void f_unpause(struct box *box, const struct fault *fault)
{
    (void)fault;
    docker_pause(box, false);
}

static void f_reset(struct box *box, const struct fault *fault)
{
    (void)fault;
    reset(box);
}

static void f_release(struct box *box, const struct fault *fault)
{
    (void)box;
    faults_release(fault);
}

faults_box_fn *const faults_of_boxes[FAULT_N] = {
    [FAULT_KILL] = f_kill,
    [FAULT_CRASH] = f_crash,
    [FAULT_OOM] = f_oom,
    [FAULT_HANG] = faults_hang,
    [FAULT_HEAL] = f_heal,
    [FAULT_DEGRADE] = f_degrade,
    [FAULT_CRASH_LOOP] = f_crash_loop,
    [FAULT_SLOW_START] = f_slow_start,
    [FAULT_FAIL_START] = f_fail_start,
    [FAULT_STOP] = f_stop,
    [FAULT_START] = f_start,
    [FAULT_RESTART] = f_restart,
    [FAULT_REMOVE] = f_remove,
    [FAULT_RECREATE] = f_recreate,
    [FAULT_RENAME] = f_rename,
    [FAULT_PAUSE] = f_pause,
    [FAULT_UNPAUSE] = f_unpause,
    [FAULT_RESET] = f_reset,
    [FAULT_HOLD] = hold,
    [FAULT_RELEASE] = f_release,
};
