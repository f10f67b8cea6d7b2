/* What goes wrong, and what operators do. Each fault ends by itself, so that any subset of a list is one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "proto/command.h"
#include "proto/envelope.h"
#include "proto/keys.h"
#include "tests/sim/faults.h"

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

void faults_end_after(const struct fault *fault, int64_t ms, void (*fn)(const struct fault *fault))
{
    struct ending *ending = memory_alloc(sizeof *ending);
    *ending = (struct ending){fn, *fault};
    sim_at(sim->now + ms, NULL, on_ending, free, ending);
}

/* ---- hosts, agents, controllers ---- */

static const int64_t TILTING_MS = 4000; /* what a stall or a jump must exceed to be noticed for sure */

static void daemon_back(const struct fault *fault)
{
    struct docker *docker = sim->dockers[fault->host];
    if (!docker->is_listening && docker->is_up && !docker->is_starting) {
        faults_end_after(fault, 1000, daemon_back); /* it still goes down */
        return;
    }
    docker_daemon(docker, true, true);
    docker_hang(docker, false);
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
    faults_end_after(fault, fault->a, agent_back);
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
        sim->controller_started_at = controller == sim->leader ? sim->now : sim->controller_started_at;
    }
    faults_end_after(fault, fault->a, controller_back);
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
    bool is_leaders = fault->kind == FAULT_CUT_RPC && fault->b == 2;
    for (int controller = 0; controller < sim->plan->controllers; controller++) {
        struct link_state *link = &sim->links[controller][fault->host];
        if (is_leaders && controller != sim->leader) {
            continue;
        }
        link->is_cut = is_cut;
        link->is_frozen = is_frozen;
        link->loss = noise;
        link->twice = noise;
        link->spread_ms = noise ? 4000 : 2;
    }
    sim->link_disturbed_at[fault->host] = sim->now;
    faults_end_after(fault, fault->a, cut_over);
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

/* A controller's or a host's. */
static int64_t *clock_of(const struct fault *fault)
{
    int controller = fault->host % sim->plan->controllers;
    return fault->b == 1 ? &sim->dockers[fault->host]->wall_offset_ms
                         : &sim->controller_wall_offset[controller];
}

static void clock_back(const struct fault *fault)
{
    *clock_of(fault) -= fault->a;
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
        bool is_budget = strncmp(key, KEY_RESTART_PREFIX, strlen(KEY_RESTART_PREFIX)) == 0;
        struct box *box = is_budget ? sim_box(key + strlen(KEY_RESTART_PREFIX)) : NULL;
        if (box && sim->plan->controllers > 1) {
            check_note_reset(box); /* one that takes over before it is written anew has never seen it */
        }
        redis_evict(key);
        count = redis_keys("health:", keys, 4096);
    }
}

/* The key is gone: to the controller as if an operator had deleted it. */
static void garbage_over(const struct fault *fault)
{
    struct box *box = sim_box_of(fault->box);
    if (box) {
        check_note_reset(box);
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
    redis_put(key, redis_doc_text(text, strlen(text)),
              (fault->a % 2 == 0 ? 10 : 1) * sim->policy.heartbeat_ttl_ms);
    if (fault->a % 2 == 0 && fault->b % 3 == 0) {
        struct fault silent = *fault;
        silent.a = 600000;
        silent.b = 0;
        faults_hang(box, &silent); /* so that the key is looked at */
    }
    if (fault->a % 2 == 1) {
        check_note_reset(box); /* an edited budget is an operator's */
        faults_end_after(fault, sim->policy.heartbeat_ttl_ms, garbage_over);
        redis_disturbed_at = sim->now;
    }
    inv_met(23);
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
    INV(30, !agent_node_take_bytes(box->docker->index, bytes, len), "forged bytes became a command for %s",
        box->name);
    uint8_t noise[200];
    size_t size = (size_t)dice_below(&sim->dice, sizeof noise);
    for (size_t i = 0; i < size; i++) {
        noise[i] = (uint8_t)dice_next(&sim->dice);
    }
    INV(30, !agent_node_take_bytes(box->docker->index, noise, size), "noise became a command");
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
            faults_hang(box, &one);
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
    faults_end_after(fault, fault->a, host_back);
}

typedef void world_fault(const struct fault *fault);

static void f_daemon_stop(const struct fault *fault)
{
    docker_daemon(sim->dockers[fault->host], false, true);
    faults_end_after(fault, fault->a, daemon_back);
}

static void f_daemon_kill(const struct fault *fault)
{
    docker_daemon(sim->dockers[fault->host], false, false);
    faults_end_after(fault, fault->a, daemon_back);
}

static void f_daemon_hang(const struct fault *fault)
{
    docker_hang(sim->dockers[fault->host], true);
    faults_end_after(fault, fault->a, daemon_back);
}

static void f_host_off(const struct fault *fault)
{
    docker_host_off(sim->dockers[fault->host]);
    agent_node_stop(fault->host, true);
    faults_end_after(fault, fault->a, daemon_back);
}

static void f_controller_crash(const struct fault *fault)
{
    inv_met(17);
    controller_crash(fault);
}

static void f_stall(const struct fault *fault)
{
    struct process *process =
        fault->b == 1 ? agent_node_process(fault->host) : controller_node_process(sim->leader);
    bool runs = fault->b == 1 ? agent_node_runs(fault->host) : controller_node_runs(sim->leader);
    int64_t until = sim->now + fault->a;
    if (!runs) {
        return; /* who is not there cannot stand still */
    }
    process->stalled_until = until > process->stalled_until ? until : process->stalled_until;
    sim->stall_until = sim->now + fault->a;
    if (fault->b == 1) {
        sim->agent_back_at[fault->host] = sim->now + fault->a;
        docker_unsettle_stops(sim->dockers[fault->host]);
    } else if (fault->a > TILTING_MS) {
        sim->tilting_at = sim->now;
        sim->tilted_at = process->stalled_until;
        sim->tilted = sim->leader;
    }
    inv_met(18);
}

static void f_clock_jump(const struct fault *fault)
{
    *clock_of(fault) += fault->a;
    sim->clock_jumped_at = sim->now;
    bool is_leaders = fault->b != 1 && fault->host % sim->plan->controllers == sim->leader;
    if (is_leaders && (fault->a > TILTING_MS || fault->a < -TILTING_MS)) {
        sim->tilting_at = sim->tilted_at = sim->now;
        sim->tilted = sim->leader;
    }
    inv_met(18);
    faults_end_after(fault, 1800000, clock_back);
}

static void f_redis_kill(const struct fault *fault)
{
    redis_set_up(false, true);
    faults_end_after(fault, fault->a, redis_back);
}

static void f_redis_flush(const struct fault *fault)
{
    (void)fault;
    redis_flush();
}

static void f_redis_hang(const struct fault *fault)
{
    redis_set_hanging(true);
    faults_end_after(fault, fault->a, redis_unhang);
}

static void f_redis_slow(const struct fault *fault)
{
    redis_set_slow(fault->b);
    faults_end_after(fault, fault->a, redis_quick);
}

static void f_redis_readonly(const struct fault *fault)
{
    redis_set_readonly(true);
    faults_end_after(fault, fault->a, redis_writable);
}

static void f_redis_failover(const struct fault *fault)
{
    (void)fault;
    redis_failover();
}

static void f_cut_rpc(const struct fault *fault)
{
    cut(fault, fault->b == 0, fault->b != 0, 0);
}

static void f_noisy_rpc(const struct fault *fault)
{
    cut(fault, false, false, 200);
}

static void f_cut_redis(const struct fault *fault)
{
    redis_set_linked(redis_client(fault), false);
    faults_end_after(fault, fault->a, redis_linked);
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

/* In a calm fleet somebody looks after what nobody else may touch, or cannot help. */
static void repair(const struct fault *fault)
{
    struct box *box = sim_box_of(fault->box);
    if (!box) {
        return;
    }
    box->is_start_failing = box->is_sick_sticky = false;
    box->crashes_left = 0;
    faults_heal(fault);
    faults_unpause(fault);
    if (box->is_held) {
        faults_release(fault);
    }
    faults_start(box);
}

void fault_apply(const struct fault *fault)
{
    sim->last_fault_at = sim->now;
    sim_say("--- %s host %d box %d %lld %lld", fault_name(fault->kind), fault->host, fault->box,
            (long long)fault->a, (long long)fault->b);
    struct box *box = sim_box_of(fault->box);
    if (box && faults_of_boxes[fault->kind]) {
        faults_of_boxes[fault->kind](box, fault);
        if (sim->plan->is_calm) {
            faults_end_after(fault, 1200000 + fault->at % 2400000, repair);
        }
    } else if (world_faults[fault->kind]) {
        bool is_redis = fault->kind >= FAULT_REDIS_KILL && fault->kind <= FAULT_REDIS_FAILOVER;
        if (is_redis || fault->kind == FAULT_CUT_REDIS) {
            inv_met(15);
        }
        world_faults[fault->kind](fault);
    }
}
