/* What goes wrong, and what operators do. Each fault ends by itself, so that any subset of a list is one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "proto/command.h"
#include "proto/envelope.h"
#include "proto/hold.h"
#include "proto/keys.h"
#include "tests/sim/sim.h"

#define FAULT_WORD(name, word) word,
static const char *const words[] = {FAULT_WORDS(FAULT_WORD)};

const char *fault_name(enum fault_kind kind)
{
    return kind < FAULT_N ? words[kind] : "?";
}

/* ---- ends ---- */

struct ending {
    void (*fn)(const struct fault *fault);
    struct fault fault;
};

static void on_ending(void *arg)
{
    struct ending *ending = arg;
    ending->fn(&ending->fault);
    free(arg);
}

static void end_after(const struct fault *fault, int64_t ms, void (*fn)(const struct fault *fault))
{
    struct ending *ending = memory_alloc(sizeof *ending);
    *ending = (struct ending){fn, *fault};
    sim_at(sim->now + ms, NULL, on_ending, free, ending);
}

/* ---- boxes ---- */

static void heal(const struct fault *fault)
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

static void hang(struct box *box, const struct fault *fault)
{
    if (box->state != CONTAINER_RUNNING || (!box->is_app && !box->has_healthcheck)) {
        return;
    }
    box->is_hung = box->is_app;
    box->is_sick_sticky = fault->b == 1;
    if (box->has_healthcheck) {
        docker_set_health(box, HEALTH_UNHEALTHY);
    }
    docker_truth(box);
    if (fault->a > 0) {
        end_after(fault, fault->a, heal);
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
    if (box->state != CONTAINER_RUNNING || box->is_acting || !box->docker->is_up ||
        !box->docker->is_listening) {
        return;
    }
    bool is_ours = box->in_flight_id[0] != '\0' && box->in_flight_until > sim->now;
    box->is_operator_stopped = true;
    box->is_stop_seen = agent_node_sees(box->docker->index) && !is_ours && !box->docker->is_hanging;
    box->stopped_at = sim->now;
    docker_stop(box, 10000);
}

static void restart(struct box *box)
{
    if (box->state == CONTAINER_RUNNING && !box->is_acting && box->docker->is_up &&
        box->docker->is_listening) {
        box->is_operator_stopped = true; /* until it runs again */
        box->is_stop_seen = false;
        box->stopped_at = sim->now;
        operator_started(box);
        docker_restart(box, 10000);
    }
}

static void start(struct box *box)
{
    if (box->state != CONTAINER_RUNNING && box->state != CONTAINER_PAUSED && !box->is_acting) {
        operator_started(box);
        docker_start(box, "operator");
    }
}

static void recreate(struct box *box)
{
    struct docker *docker = box->docker;
    if (!docker->is_up || !docker->is_listening || box->is_acting) {
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
    new->app_beat = NULL;
    new->in_flight_id[0] = new->last_id[0] = '\0';
    new->bad_at = new->created_at = sim->now;
    box->successor = new->index;
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

static void release(const struct fault *fault)
{
    struct box *box = sim_box_of(fault->box);
    if (!box) {
        return;
    }
    char key[KEY_SIZE];
    key_hold(key, "container", box->name);
    if (redis_is_there()) {
        redis_delete(key);
    }
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
        end_after(fault, fault->a, release);
    }
}

static void unpause(const struct fault *fault)
{
    struct box *box = sim_box_of(fault->box);
    if (box) {
        docker_pause(box, false);
    }
}

typedef void box_fault(struct box *box, const struct fault *fault);

static void f_kill(struct box *box, const struct fault *fault)
{
    (void)fault;
    if (box->state == CONTAINER_RUNNING && box->docker->is_up && !box->is_acting) {
        check_kill(box);
        docker_kill(box, 9);
    }
}

static void f_crash(struct box *box, const struct fault *fault)
{
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
    heal(fault);
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
    docker_die(box, 1, false);
}

static void f_slow_start(struct box *box, const struct fault *fault)
{
    box->boot_ms = fault->a;
    docker_die(box, 1, false);
}

static void f_fail_start(struct box *box, const struct fault *fault)
{
    box->is_start_failing = true;
    end_after(fault, fault->a, fail_start_over);
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
    start(box);
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
        box->last_count = box->send_count = 0; /* the policy's key is the name */
    }
}

static void f_pause(struct box *box, const struct fault *fault)
{
    docker_pause(box, true);
    end_after(fault, fault->a, unpause);
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
    release(fault);
}

static box_fault *const box_faults[FAULT_N] = {
    [FAULT_KILL] = f_kill,
    [FAULT_CRASH] = f_crash,
    [FAULT_OOM] = f_oom,
    [FAULT_HANG] = hang,
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

/* ---- hosts, agents, controllers ---- */

static void daemon_back(const struct fault *fault)
{
    struct docker *docker = sim->dockers[fault->host];
    if (!docker->is_listening && docker->is_up && !docker->is_starting) {
        end_after(fault, 1000, daemon_back); /* it still goes down */
        return;
    }
    docker_daemon(docker, true, true);
    docker->is_hanging = false;
    docker->disturbed_at = sim->now;
    if (!agent_node_runs(fault->host)) {
        agent_node_start(fault->host);
    }
}

static void agent_back(const struct fault *fault)
{
    if (!sim->dockers[fault->host]->is_off) {
        agent_node_start(fault->host);
    }
}

static void agent_crash(const struct fault *fault)
{
    if (fault->b > 0 && agent_node_runs(fault->host)) {
        agent_node_process(fault->host)->effects_left = fault->b;
    } else {
        agent_node_stop(fault->host, true);
    }
    sim->agent_down_at[fault->host] = sim->now;
    end_after(fault, fault->a, agent_back);
}

static void controller_back(const struct fault *fault)
{
    controller_node_start(fault->host % sim->plan->controllers);
}

static void controller_crash(const struct fault *fault)
{
    int controller = fault->host % sim->plan->controllers;
    if (fault->b > 0 && controller_node_runs(controller)) {
        controller_node_process(controller)->effects_left = fault->b;
    } else {
        controller_node_stop(controller);
    }
    sim->controller_started_at = sim->now;
    end_after(fault, fault->a, controller_back);
}

static void cut_over(const struct fault *fault)
{
    for (int controller = 0; controller < sim->plan->controllers; controller++) {
        struct link_state *link = &sim->links[controller][fault->host];
        link->is_cut = link->is_frozen = false;
        link->loss = link->twice = 0;
        link->delay_ms = 1;
        link->spread_ms = 2;
        net_thaw(controller, fault->host);
    }
    sim->link_disturbed_at[fault->host] = sim->now;
}

static void cut(const struct fault *fault, bool is_cut, bool is_frozen, int noise)
{
    for (int controller = 0; controller < sim->plan->controllers; controller++) {
        struct link_state *link = &sim->links[controller][fault->host];
        link->is_cut = is_cut;
        link->is_frozen = is_frozen;
        link->loss = noise;
        link->twice = noise;
        link->spread_ms = noise ? 4000 : 2;
    }
    sim->link_disturbed_at[fault->host] = sim->now;
    end_after(fault, fault->a, cut_over);
}

static struct process *redis_client(const struct fault *fault)
{
    return fault->b == 1 ? controller_node_process(fault->host % sim->plan->controllers)
                         : agent_node_process(fault->host);
}

static void redis_linked(const struct fault *fault)
{
    redis_set_linked(redis_client(fault), true);
}

static void host_back(const struct fault *fault)
{
    cut_over(fault);
    struct fault other = *fault;
    other.b = 0;
    redis_linked(&other);
}

static void clock_back(const struct fault *fault)
{
    int64_t *offset =
        fault->b == 1 ? &sim->dockers[fault->host]->wall_offset_ms : &sim->controller_wall_offset[0];
    *offset -= fault->a;
    sim->clock_jumped_at = sim->now;
}

/* ---- Redis ---- */

static void redis_back(const struct fault *fault)
{
    redis_set_up(true, fault->b != 1);
}

static void redis_unhang(const struct fault *fault)
{
    (void)fault;
    redis_set_hanging(false);
}

static void redis_quick(const struct fault *fault)
{
    (void)fault;
    redis_set_slow(1);
}

static void redis_writable(const struct fault *fault)
{
    (void)fault;
    redis_set_readonly(false);
}

static void evict_some(const struct fault *fault)
{
    static const char *keys[4096];
    size_t count = redis_keys("health:", keys, 4096);
    for (int64_t i = 0; i < fault->a && count > 0; i++) {
        cleanup_free char *key = memory_copy_text(keys[dice_below(&sim->dice, (int64_t)count)]);
        redis_evict(key);
        count = redis_keys("health:", keys, 4096);
    }
}

static void garbage(const struct fault *fault)
{
    struct box *box = sim_box_of(fault->box);
    if (!box || !redis_is_there()) {
        return;
    }
    static const char *const texts[] = {"",
                                        "{",
                                        "null",
                                        "[1,2",
                                        "{\"service\":17}",
                                        "\x01\xff\xfe",
                                        "{\"attempt_count\":-5}",
                                        "{\"attempt_count\":1e999,\"cooldown_until\":[]}"};
    const char *text = texts[fault->b % 8];
    char key[KEY_SIZE];
    const char *service = box->service[0] ? box->service : box->name;
    const char *instance = box->service[0] ? box->instance : box->name;
    if (fault->a % 2 == 0) {
        key_heartbeat(key, service, instance);
    } else {
        key_restart(key, box->name);
    }
    redis_put(key, redis_doc_text(text, strlen(text)), sim->policy.heartbeat_ttl_ms);
    if (fault->a % 2 == 1) {
        check_note_reset(box); /* an edited budget is an operator's */
        redis_disturbed_at = sim->now;
    }
    inv(23, true, "%s", "");
}

/* A command like ours, signed with another key or broken on the way; and plain noise. */
static void forged(const struct fault *fault)
{
    struct box *box = sim_box_of(fault->box);
    if (!box) {
        return;
    }
    struct key_ring ring = {.count = 1};
    memory_set_text(ring.keys[0].id, sizeof ring.keys[0].id, "sim");
    struct command command = {.op = OP_RESTART, .epoch = 1000000, .ttl_ms = 15000, .attempt = 1};
    memory_set_text(command.host, sizeof command.host, box->docker->host);
    memory_set_text(command.container, sizeof command.container, box->name);
    memory_set_text(command.container_id, sizeof command.container_id, box->id);
    memory_set_text(command.expect_started_at, sizeof command.expect_started_at, box->started_at);
    size_t body_len, len;
    cleanup_free uint8_t *body = command_encode(&command, &body_len);
    bool is_unsigned = fault->a % 3 == 0;
    const struct key_ring none = {.count = 0};
    const struct key_ring *used = is_unsigned ? &none : fault->a % 3 == 1 ? &ring : sim_keys();
    cleanup_free uint8_t *bytes =
        envelope_seal(used, ENVELOPE_REQUEST, box->docker->host, body, body_len, &len);
    if (fault->a % 3 == 2) {
        bytes[dice_below(&sim->dice, (int64_t)len)] ^= (uint8_t)(1 + dice_below(&sim->dice, 255));
    }
    inv(30, !agent_node_take_bytes(box->docker->index, bytes, len), "forged bytes became a command for %s",
        box->name);
    uint8_t noise[200];
    size_t size = (size_t)dice_below(&sim->dice, sizeof noise);
    for (size_t i = 0; i < size; i++) {
        noise[i] = (uint8_t)dice_next(&sim->dice);
    }
    inv(30, !agent_node_take_bytes(box->docker->index, noise, size), "noise became a command");
}

static void mass(const struct fault *fault)
{
    for (int64_t i = 0; i < fault->a; i++) {
        struct box *box = sim_box_of((fault->box + (int)i) % sim->plan->boxes);
        if (!box) {
            continue;
        }
        if (fault->b == 1) {
            struct fault one = *fault;
            one.a = 0;
            one.b = 0;
            one.box = (fault->box + (int)i) % sim->plan->boxes;
            hang(box, &one);
        } else {
            docker_die(box, 1, false);
        }
    }
}

static void host_loss(const struct fault *fault)
{
    cut(fault, true, false, 0);
    sim->link_disturbed_at[fault->host] = sim->now;
    redis_set_linked(agent_node_process(fault->host), false);
    end_after(fault, fault->a, host_back);
}

typedef void world_fault(const struct fault *fault);

static void f_daemon_stop(const struct fault *fault)
{
    docker_daemon(sim->dockers[fault->host], false, true);
    end_after(fault, fault->a, daemon_back);
}

static void f_daemon_kill(const struct fault *fault)
{
    docker_daemon(sim->dockers[fault->host], false, false);
    end_after(fault, fault->a, daemon_back);
}

static void f_daemon_hang(const struct fault *fault)
{
    sim->dockers[fault->host]->is_hanging = true;
    sim->dockers[fault->host]->disturbed_at = sim->now;
    end_after(fault, fault->a, daemon_back);
}

static void f_host_off(const struct fault *fault)
{
    docker_host_off(sim->dockers[fault->host]);
    agent_node_stop(fault->host, true);
    end_after(fault, fault->a, daemon_back);
}

static void f_controller_crash(const struct fault *fault)
{
    inv(17, true, "%s", "");
    controller_crash(fault);
}

static void f_stall(const struct fault *fault)
{
    struct process *process = fault->b == 1 ? agent_node_process(fault->host) : controller_node_process(0);
    process->stalled_until = sim->now + fault->a;
    sim->stall_until = sim->now + fault->a;
    if (fault->b == 1) {
        sim->agent_back_at[fault->host] = sim->now + fault->a;
    }
    inv(18, true, "%s", "");
}

static void f_clock_jump(const struct fault *fault)
{
    *(fault->b == 1 ? &sim->dockers[fault->host]->wall_offset_ms : &sim->controller_wall_offset[0]) +=
        fault->a;
    sim->clock_jumped_at = sim->now;
    inv(18, true, "%s", "");
    end_after(fault, 1800000, clock_back);
}

static void f_redis_kill(const struct fault *fault)
{
    redis_set_up(false, true);
    end_after(fault, fault->a, redis_back);
}

static void f_redis_flush(const struct fault *fault)
{
    (void)fault;
    redis_flush();
}

static void f_redis_hang(const struct fault *fault)
{
    redis_set_hanging(true);
    end_after(fault, fault->a, redis_unhang);
}

static void f_redis_slow(const struct fault *fault)
{
    redis_set_slow(fault->b);
    end_after(fault, fault->a, redis_quick);
}

static void f_redis_readonly(const struct fault *fault)
{
    redis_set_readonly(true);
    end_after(fault, fault->a, redis_writable);
}

static void f_redis_failover(const struct fault *fault)
{
    (void)fault;
    redis_failover();
}

static void f_cut_rpc(const struct fault *fault)
{
    cut(fault, fault->b != 1, fault->b == 1, 0);
}

static void f_noisy_rpc(const struct fault *fault)
{
    cut(fault, false, false, 200);
}

static void f_cut_redis(const struct fault *fault)
{
    redis_set_linked(redis_client(fault), false);
    end_after(fault, fault->a, redis_linked);
}

static world_fault *const world_faults[FAULT_N] = {
    [FAULT_DAEMON_STOP] = f_daemon_stop,
    [FAULT_DAEMON_KILL] = f_daemon_kill,
    [FAULT_DAEMON_HANG] = f_daemon_hang,
    [FAULT_HOST_OFF] = f_host_off,
    [FAULT_AGENT_CRASH] = agent_crash,
    [FAULT_CONTROLLER_CRASH] = f_controller_crash,
    [FAULT_STALL] = f_stall,
    [FAULT_CLOCK_JUMP] = f_clock_jump,
    [FAULT_REDIS_KILL] = f_redis_kill,
    [FAULT_REDIS_FLUSH] = f_redis_flush,
    [FAULT_REDIS_EVICT] = evict_some,
    [FAULT_REDIS_HANG] = f_redis_hang,
    [FAULT_REDIS_SLOW] = f_redis_slow,
    [FAULT_REDIS_READONLY] = f_redis_readonly,
    [FAULT_REDIS_FAILOVER] = f_redis_failover,
    [FAULT_CUT_RPC] = f_cut_rpc,
    [FAULT_CUT_REDIS] = f_cut_redis,
    [FAULT_NOISY_RPC] = f_noisy_rpc,
    [FAULT_GARBAGE] = garbage,
    [FAULT_FORGED] = forged,
    [FAULT_MASS] = mass,
    [FAULT_HOST_LOSS] = host_loss,
};

void fault_apply(const struct fault *fault)
{
    sim->last_fault_at = sim->now;
    sim_say("--- %s host %d box %d %lld %lld", fault_name(fault->kind), fault->host, fault->box,
            (long long)fault->a, (long long)fault->b);
    struct box *box = sim_box_of(fault->box);
    if (box && box_faults[fault->kind]) {
        box_faults[fault->kind](box, fault);
    } else if (world_faults[fault->kind]) {
        bool is_redis = fault->kind >= FAULT_REDIS_KILL && fault->kind <= FAULT_REDIS_FAILOVER;
        if (is_redis || fault->kind == FAULT_CUT_REDIS) {
            inv(15, true, "%s", "");
        }
        world_faults[fault->kind](fault);
    }
}
