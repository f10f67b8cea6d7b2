/* dockerd and its host: they come and go, and what runs on them with them. */
#include <stdio.h>
#include <stdlib.h>

#include "common/memory.h"
#include "tests/sim/docker.h"
#include "tests/sim/sim.h"

static void daemon_gone(struct docker *docker)
{
    docker->is_up = docker->is_starting = false;
    docker->is_listening = false;
    docker->event_count = 0;
    docker->disturbed_at = sim->now;
    docker_client_end(docker);
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
    for (struct box *box = docker->boxes; box; box = box->next) {
        if (!box->is_removed && (docker_has_process(box) || box->is_acting)) {
            sim_at(sim->now + 50, NULL, shutdown_step, NULL, docker);
            return;
        }
    }
    sim_at(sim->now, NULL, (event_fn)daemon_gone, NULL, docker);
}

static void stop_boxes(struct docker *docker)
{
    for (struct box *box = docker->boxes; box; box = box->next) {
        if (!box->is_removed && docker_has_process(box) && !box->is_acting) {
            docker_begin_stop(box, 10000, false, true, NULL, NULL);
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
    for (struct box *box = docker->boxes; box; box = box->next) {
        bool is_wanted = box->policy == DOCKER_POLICY_ALWAYS ||
                         (box->policy == DOCKER_POLICY_UNLESS_STOPPED && !box->is_api_stopped);
        if (!box->is_removed && is_wanted && !docker_has_process(box) && !box->is_acting) {
            docker_start_now(box);
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
    for (struct box *box = docker->boxes; box; box = box->next) {
        if (!box->is_removed && (docker_has_process(box) || box->is_acting)) {
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
    docker->runs += docker->is_off || !docker->is_live_restore;
    docker->is_listening = docker->is_live_restore;
    docker->is_starting = !docker->is_live_restore;
    docker->is_hanging = false;
    docker->events_missed = 0;
    docker->disturbed_at = sim->now;
    docker->is_off = false;
    for (struct box *box = docker->boxes; box; box = box->next) {
        if (box->state == CONTAINER_RESTARTING) {
            docker_set_state(box, CONTAINER_EXITED);
        }
    }
    if (!docker->is_live_restore) {
        stop_boxes(docker); /* survivors of a daemon that was killed */
        starting_step(docker);
    }
    sim_at(sim->now + 1500, NULL, restart_boxes, NULL, docker);
}

/* A stop that is not settled yet cannot be told from those of a daemon that goes; nor does one settle while
 * it answers nobody. */
void docker_unsettle_stops(const struct docker *docker)
{
    int64_t answered_at = docker->is_hanging ? docker->disturbed_at : sim->now;
    for (struct box *box = docker->boxes; box; box = box->next) {
        bool is_settled = answered_at - box->stopped_at > sim->policy.intent_settle_ms + 15000;
        box->is_stop_seen = box->is_stop_seen && is_settled;
        box->is_stop_told = box->is_stop_told && is_settled;
    }
}

/* It answers nobody for a while; what happened meanwhile its streams tell afterwards. */
void docker_hang(struct docker *docker, bool is_hanging)
{
    size_t missed = docker->events_missed < docker->event_count ? docker->events_missed : docker->event_count;
    docker->disturbed_at = sim->now;
    docker->is_hanging = is_hanging;
    docker->events_missed = 0;
    for (size_t i = docker->event_count - missed; !is_hanging && i < docker->event_count; i++) {
        docker_client_event(docker, &docker->events[i]);
    }
}

void docker_daemon(struct docker *docker, bool is_up, bool is_clean)
{
    docker_unsettle_stops(docker);
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
    docker_unsettle_stops(docker);
    docker->is_up = docker->is_listening = docker->is_starting = false;
    docker->is_off = true;
    docker->event_count = 0;
    docker->disturbed_at = sim->now;
    for (struct box *box = docker->boxes; box; box = box->next) {
        if (!box->is_removed && (docker_has_process(box) || box->state == CONTAINER_RESTARTING)) {
            box->life++;
            box->exit_code = 255;
            box->finished_ns = docker_next_ns(docker);
            box->is_acting = false;
            docker_set_state(box, CONTAINER_EXITED);
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
    docker_rows_drop(docker->rows);
    free(docker);
}
