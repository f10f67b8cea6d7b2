/* Peers in the simulated world: nobody but the peer looks after the containers; and what counts for all. */
#include <stdlib.h>

#include "common/memory.h"
#include "tests/sim/sim.h"

static const int64_t SAMPLE_MS = 1000, JUST_MS = 10000;

/* ---- what counts ---- */

static bool is_wanted(const struct box *box)
{
    return !box->is_removed && !box->is_operator_stopped && box->state != CONTAINER_PAUSED &&
           box->state != CONTAINER_CREATED;
}

static void on_sample(void *arg)
{
    for (int i = 0; i < sim->box_count; i++) {
        const struct box *box = sim->boxes[i];
        if (is_wanted(box) && (box->good_since == 0 || docker_is_stale(box))) {
            sim->downtime_ms += SAMPLE_MS;
        }
    }
    sim_at(sim->now + SAMPLE_MS, NULL, on_sample, NULL, arg);
}

void peer_count_act(const struct box *box)
{
    bool is_well = box->good_since != 0 && sim->now - box->good_since > JUST_MS && !docker_is_stale(box);
    bool is_on_purpose =
        box->is_operator_stopped && box->is_stop_told && sim->now - box->stopped_at > JUST_MS;
    bool is_wrong = is_well || is_on_purpose || box->state == CONTAINER_PAUSED;
    sim->peer_acts++;
    sim->peer_wrong += is_wrong;
    if (is_wrong) {
        sim_say("WRONG: %s is touched", box->name);
    }
}

/* ---- the peer ---- */

static struct peer_view view_of(const struct box *box)
{
    const char *status = NULL;
    bool has_beat = redis_is_there() && agent_node_app_status(box, &status);
    return (struct peer_view){.is_running = box->state == CONTAINER_RUNNING,
                              .is_unhealthy = box->health == HEALTH_UNHEALTHY,
                              .has_beat = has_beat,
                              .is_beat_good = has_beat && status == NULL};
}

static void act(struct box *box)
{
    if (!docker_takes_calls(box->docker) || box->is_acting) {
        return;
    }
    peer_count_act(box);
    if (box->state == CONTAINER_RUNNING || box->state == CONTAINER_PAUSED) {
        docker_restart(box, 10000);
    } else {
        docker_start(box, "peer");
    }
}

static void on_look(void *arg)
{
    const struct peer *peer = sim->plan->peer;
    for (int i = 0; i < sim->box_count; i++) {
        struct box *box = sim->boxes[i];
        struct peer_view view = view_of(box);
        if (!box->is_removed && peer->step(&box->peer, &view, sim->now)) {
            act(box);
        }
    }
    sim_at(sim->now + peer->interval_ms, NULL, on_look, NULL, arg);
}

/* What an agent would write for those that do not beat for themselves. */
static void on_beats(void *arg)
{
    for (int i = 0; i < sim->box_count; i++) {
        struct box *box = sim->boxes[i];
        if (!box->is_removed && !box->is_app && box->state == CONTAINER_RUNNING && redis_is_there()) {
            agent_node_app_beats(box->docker->index, box);
        }
    }
    sim_at(sim->now + sim->plan->beat_interval_ms, NULL, on_beats, NULL, arg);
}

void peer_begin(void)
{
    const struct peer *peer = sim->plan->peer;
    on_sample(NULL);
    if (!peer) {
        return;
    }
    for (int i = 0; i < sim->box_count && peer->has_docker_policy; i++) {
        sim->boxes[i]->policy = DOCKER_POLICY_UNLESS_STOPPED;
    }
    if (peer->interval_ms > 0) {
        on_beats(NULL);
        sim_at(sim->now + peer->interval_ms, NULL, on_look, NULL, NULL);
    }
}
