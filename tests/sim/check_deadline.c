/* What must have been done by some time, where nothing else happened meanwhile. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "tests/sim/check.h"
#include "tests/sim/sim.h"

enum { HOLD_SEEN_MS = 30000 }; /* two looks at the holds */

bool check_may_restart(const struct box *box)
{
    return sim->policy.is_enabled && sim->policy.max_attempts > 0 && box->is_allowed && !box->is_denied &&
           !box->is_defib && !box->is_redis && !box->is_denied_label && !box->is_held && !box->is_removed &&
           box->parent < 0;
}

bool check_is_quiet(const struct box *but)
{
    for (int i = 0; i < sim->box_count; i++) {
        const struct box *each = sim->boxes[i];
        bool is_trouble = each != but && !each->is_removed && !each->is_operator_stopped &&
                          each->good_since == 0 && each->state != CONTAINER_PAUSED &&
                          each->state != CONTAINER_CREATED;
        if (is_trouble || (each != but && check_is_in_flight(each))) {
            return false;
        }
    }
    return true;
}

struct deadline {
    struct box *box;
    int number;
    int64_t since, due;
    uint64_t life;
};

static void on_deadline(void *arg)
{
    struct deadline deadline = *(struct deadline *)arg;
    free(arg);
    struct box *box = deadline.box;
    bool is_void = sim->last_fault_at > deadline.since || !check_may_restart(box) ||
                   box->is_operator_stopped || sim_calm_since(box->docker->index) > deadline.since - 1 ||
                   !controller_node_runs(sim->leader);
    if (is_void) {
        return;
    }
    bool has_sent = box->send_count > 0 && box->sends[0] >= deadline.since;
    inv(deadline.number, has_sent || box->good_since != 0, "%s: no attempt within %lld ms", box->name,
        (long long)(deadline.due - deadline.since));
    if (deadline.number == 11 && box->service[0]) {
        INV(26, has_sent || box->good_since != 0, "the death of one replica, %s, was not found", box->name);
    }
}

void check_deadline(struct box *box, int number, int64_t ms)
{
    struct deadline *deadline = memory_alloc(sizeof *deadline);
    *deadline = (struct deadline){box, number, sim->now, sim->now + ms, box->life};
    sim_at(sim->now + ms, NULL, on_deadline, free, deadline);
}

/* Nothing stands in its way, and nothing else is going on. */
static bool is_fair_death(const struct box *box)
{
    int64_t window = sim->now - sim->policy.cooldown_ms;
    bool has_budget = (box->send_count == 0 || box->sends[0] < window) && box->cooldown_until < sim->now &&
                      box->last_count == 0;
    return check_may_restart(box) && has_budget && check_is_quiet(box) && box->state == CONTAINER_RUNNING &&
           check_is_calm(sim_calm_since(box->docker->index)) && sim->now - box->good_since > 30000;
}

static int64_t found_ms(void)
{
    return sim->policy.stop_settle_ms + sim->policy.miss_threshold * sim->policy.fast_check_ms + 5000;
}

void check_kill(struct box *box)
{
    if (is_fair_death(box)) {
        check_deadline(box, 11, found_ms());
    }
}

void check_crash(struct box *box)
{
    if (is_fair_death(box) && box->service[0] && box->policy == DOCKER_POLICY_NO) {
        check_deadline(box, 26, found_ms());
    }
}

/* 27: while a long stop is under way the agent hears and tells of the others as ever. */
static void on_death_told(void *arg)
{
    struct deadline deadline = *(struct deadline *)arg;
    free(arg);
    const struct box *box = deadline.box;
    int host = box->docker->index;
    bool is_steady = agent_node_sees(host) && sim->link_disturbed_at[host] < deadline.since &&
                     box->docker->disturbed_at < deadline.since && !box->docker->is_hanging &&
                     sim->stall_until < deadline.since && box->life == deadline.life &&
                     sim->agent_back_at[host] < deadline.since && sim->agent_down_at[host] < deadline.since;
    if (is_steady) {
        INV(27, !agent_node_holds_running(host, box->id),
            "%s died a second ago, and its agent, which waits for a stop, does not say so", box->name);
    }
}

void check_death(struct box *box)
{
    if (agent_node_is_acting(box->docker->index) && !check_is_in_flight(box)) {
        struct deadline *deadline = memory_alloc(sizeof *deadline);
        *deadline = (struct deadline){box, 27, sim->now, sim->now + 1000, box->life};
        sim_at(sim->now + 1000, NULL, on_death_told, free, deadline);
    }
}

void check_after_cooldown(void *arg)
{
    struct box *box = sim->boxes[(int)(intptr_t)arg];
    /* A hold that is over is asked about again once that is seen. */
    if (box->released_at != 0 && sim->now < box->released_at + HOLD_SEEN_MS) {
        sim_at(box->released_at + HOLD_SEEN_MS, NULL, check_after_cooldown, NULL, arg);
        return;
    }
    bool is_bad = box->good_since == 0 && !box->is_operator_stopped && box->state != CONTAINER_PAUSED;
    int64_t calm_ms = sim->now - sim_calm_since(box->docker->index);
    /* After an outage each begins with fresh grace. */
    bool is_calm = check_is_calm(sim->now - calm_ms) && calm_ms > box->grace_label_ms + check_silence_ms();
    /* Started anew by Docker meanwhile, it begins with fresh grace when the cooldown is over. */
    bool is_patient =
        box->grace_label_ms > 0 && box->started_ms > box->cooldown_until - sim->policy.cooldown_ms;
    /* Read again by a clock that was set back meanwhile, or by another one's, it may begin anew. */
    int64_t begun = box->cooldown_until - sim->policy.cooldown_ms;
    bool is_apart = sim->controller_wall_offset[0] != sim->controller_wall_offset[1];
    bool is_reread = sim->led_at > begun && (sim->clock_jumped_at > begun || is_apart);
    bool is_fair = check_may_restart(box) && is_bad && is_calm && !is_patient && !is_reread &&
                   sim->now - sim->last_fault_at > 200000 && box->sends[0] < box->cooldown_until;
    if (is_fair && box->cooldown_until != 0 && box->cooldown_until <= sim->now - 170000) {
        INV(22, false, "%s still fails %lld s after its cooldown, and nobody tries again", box->name,
            (long long)(sim->now - box->cooldown_until) / 1000);
    } else {
        inv_met(22);
    }
}
