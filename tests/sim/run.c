/* One run: the world is made, the faults happen, the end is looked at. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "tests/sim/sim.h"
#include "tests/sim/world.h"

enum { SILENT_BOOTS = 250 }; /* per mille */

struct box *sim_box(const char *name)
{
    for (int i = sim->box_count - 1; i >= 0; i--) {
        if (!sim->boxes[i]->is_removed && strcmp(sim->boxes[i]->name, name) == 0) {
            return sim->boxes[i];
        }
    }
    return NULL;
}

struct box *sim_box_by_id(const char *id)
{
    unsigned long long index = 0;
    bool is_ours = strlen(id) == 64 && sscanf(id + 48, "%16llx", &index) == 1 && (int)index < sim->box_count;
    return is_ours && strcmp(sim->boxes[index]->id, id) == 0 ? sim->boxes[index] : NULL;
}

struct box *sim_box_of(int index)
{
    if (index < 0 || index >= sim->plan->boxes) {
        return NULL;
    }
    struct box *box = sim->boxes[index];
    while (box->successor) {
        box = sim->boxes[box->successor];
    }
    return box->is_removed ? NULL : box;
}

static void on_fault(void *arg)
{
    fault_apply(arg);
}

static void on_period(void *arg)
{
    check_periodic();
    sim_at(sim->now + 300000, NULL, on_period, NULL, arg);
}

static void on_snapshot(void *arg)
{
    (void)arg;
    redis_snapshot();
}

static void give_lists(struct box *box)
{
    box->is_allowed = name_patterns_match(&sim->allow, box->name);
    box->is_denied = name_patterns_match(&sim->deny, box->name);
}

/* It lives in the network of an earlier one of its host, or follows one, be it that one follows it. */
static void depend(struct dice *dice, struct box *box)
{
    int host = box->docker->index, hosts = sim->plan->hosts;
    int other = host + hosts * (int)dice_below(dice, box->index / hosts + 1);
    if (other < box->index && dice_hits(dice, 600)) {
        box->parent = other;
    } else if (other < box->index) {
        struct box *named = sim->boxes[other];
        snprintf(box->depends_on, sizeof box->depends_on, "%.40s:restart", named->name);
        if (dice_hits(dice, 300) && named->parent < 0) {
            snprintf(named->depends_on, sizeof named->depends_on, "%.40s:restart", box->name);
        }
    }
}

static void make_random_box(struct dice *dice, int index)
{
    static const char *const kinds[] = {"web", "api", "db", "job"};
    const struct plan *plan = sim->plan;
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s-%d", kinds[index % 4], index);
    struct box *box = docker_add(sim->dockers[index % plan->hosts], name, dice_range(dice, 100, 8000));
    int kind = (int)dice_below(dice, 100);
    box->is_app = kind < (plan->is_calm ? 1 : 25);
    box->has_healthcheck = kind >= 25 && kind < 45;
    box->is_agent_beating = kind >= 45 && kind < 50;
    box->is_denied_label = kind == 50 && !plan->is_compared;
    box->is_defib = kind == 51 && !plan->is_compared;
    box->is_redis = kind == 52 && !plan->is_compared;
    if (box->is_app && dice_hits(dice, SILENT_BOOTS)) {
        box->is_boot_silent = true;
        box->boot_ms = dice_range(dice, 60000, 150000);
        box->grace_label_ms = 180000;
    }
    if (box->has_healthcheck && dice_hits(dice, 300)) {
        box->boot_ms = 120000;
    }
    if (dice_hits(dice, 350)) {
        snprintf(box->service, sizeof box->service, "svc-%d", index % 3);
        snprintf(box->instance, sizeof box->instance, "%d", index);
    }
    box->term_ms = dice_hits(dice, 200) ? -1 : dice_range(dice, 10, 3000);
    box->policy = dice_hits(dice, 250)
                      ? (enum docker_policy)dice_range(dice, DOCKER_POLICY_ALWAYS, DOCKER_POLICY_ON_FAILURE)
                      : DOCKER_POLICY_NO;
    if (dice_hits(dice, plan->is_calm ? 30 : 150)) {
        depend(dice, box);
    }
    give_lists(box);
}

static void make_named_box(const struct box_plan *plan)
{
    struct box *box = docker_add(sim->dockers[plan->host], plan->name, plan->boot_ms);
    box->term_ms = plan->term_ms;
    box->is_app = plan->is_app;
    box->has_healthcheck = plan->has_healthcheck;
    box->is_denied_label = plan->is_denied_label;
    box->is_redis = plan->is_redis;
    box->is_defib = plan->is_defib;
    box->policy = plan->policy;
    box->parent = plan->parent;
    box->is_boot_silent = plan->is_boot_silent;
    box->grace_label_ms = plan->grace_ms;
    memory_set_text(box->depends_on, sizeof box->depends_on, plan->depends_on);
    if (plan->service[0]) {
        memory_set_text(box->service, sizeof box->service, plan->service);
        memory_set_text(box->instance, sizeof box->instance, plan->name);
    }
    give_lists(box);
}

static void make_world(void)
{
    const struct plan *plan = sim->plan;
    struct dice dice = dice_of(plan->seed, 2);
    for (int host = 0; host < plan->hosts; host++) {
        sim->dockers[host] = docker_new(host, plan->version);
        sim->dockers[host]->is_live_restore = plan->is_live_restore;
        for (int controller = 0; controller < plan->controllers; controller++) {
            sim->links[controller][host] = (struct link_state){.delay_ms = 1, .spread_ms = 2};
        }
    }
    for (int i = 0; i < plan->boxes; i++) {
        if (plan->is_scenario && !plan->is_replay) {
            make_named_box(&plan->named[i]);
        } else {
            make_random_box(&dice, i);
        }
    }
    for (int i = 0; i < plan->boxes; i++) {
        sim->now++; /* a child later than its parent */
        docker_start(sim->boxes[i], "operator");
    }
    for (int host = 0; host < plan->hosts; host++) {
        agent_node_start(host);
    }
    for (int controller = 0; controller < plan->controllers; controller++) {
        controller_node_start(controller);
    }
}

static void end_world(void)
{
    sim->is_ending = true;
    for (int controller = 0; controller < sim->plan->controllers; controller++) {
        controller_node_free(controller);
    }
    for (int host = 0; host < sim->plan->hosts; host++) {
        agent_node_free(host);
    }
    net_clear();
    world_clear();
    redis_fini();
    for (int i = 0; i < sim->box_count; i++) {
        free(sim->boxes[i]);
    }
    for (int host = 0; host < sim->plan->hosts; host++) {
        docker_free(sim->dockers[host]);
    }
    name_patterns_free(&sim->allow);
    name_patterns_free(&sim->deny);
}

void sim_run(const struct plan *plan, bool is_verbose, int want, struct sim *out)
{
    static struct sim world;
    memset(&world, 0, sizeof world);
    sim = &world;
    sim->now = START_MS;
    sim->plan = plan;
    sim->policy = plan->policy;
    sim->is_verbose = is_verbose;
    sim->want = want;
    sim->dice = dice_of(plan->seed, 3);
    sim->trace = 14695981039346656037u;
    sim->stall_until = sim->clock_jumped_at = INT64_MIN / 2;
    sim->tilting_at = sim->tilted_at = INT64_MIN / 2;
    for (int host = 0; host < HOSTS_MAX; host++) {
        sim->agent_down_at[host] = INT64_MIN / 2;
    }
    struct err err;
    if (name_patterns_parse(plan->allow, &sim->allow, &err) != 0 ||
        name_patterns_parse(plan->deny, &sim->deny, &err) != 0) {
        abort();
    }
    sim->policy.allow = &sim->allow;
    sim->policy.deny = &sim->deny;
    redis_reset(plan->seed);
    check_begin();
    check_codecs(&sim->dice);
    make_world();
    for (size_t i = 0; i < plan->fault_count; i++) {
        if (plan->faults[i].kind == FAULT_REDIS_FAILOVER) {
            sim_at(START_MS + plan->faults[i].at - dice_range(&sim->dice, 0, 15000), NULL, on_snapshot, NULL,
                   NULL);
        }
        sim_at(START_MS + plan->faults[i].at, NULL, on_fault, NULL, &plan->faults[i]);
    }
    on_period(NULL);
    if (plan->is_compared) {
        peer_begin();
    }
    while (sim->failed == 0 && world_step(START_MS + plan->duration_ms)) {
    }
    if (sim->failed == 0) {
        sim->now = START_MS + plan->duration_ms;
        check_end();
    }
    sim->box_hours = (double)plan->boxes * (double)(sim->now - START_MS) / 3600000.0;
    *out = *sim;
    end_world();
    sim = NULL;
}
