/* Containers that run, die and are acted on, with the events of 20.10 and 26.1 in their order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/memory.h"
#include "tests/sim/docker.h"
#include "tests/sim/sim.h"

enum { DIE_MS = 20, STOP_EVENT_MS = 50 };

/* ---- events ---- */

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
    return snprintf(out, size, "%s%s%s%s%s%s%s%s%s", box->service[0] ? ",\"defib.service\":\"" : "",
                    box->service[0] ? box->service : "", box->service[0] ? "\",\"defib.instance\":\"" : "",
                    box->service[0] ? box->instance : "", box->service[0] ? "\"" : "",
                    box->is_agent_beating ? ",\"defib.heartbeat\":\"agent\"" : "",
                    box->depends_on[0] ? ",\"defib.depends_on\":\"" : "", box->depends_on,
                    box->depends_on[0] ? "\"" : "");
}

void docker_emit(struct box *box, const char *action, int signal, int code)
{
    struct docker *docker = box->docker;
    docker->change++;
    if (!docker->is_up) {
        return;
    }
    struct docker_event event = {.time_ns = docker_next_ns(docker)};
    char labels[400], extra[64] = "";
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
    docker->events_missed += docker->is_hanging;
    docker_client_event(docker, &event);
}

/* ---- the truth ---- */

static bool is_good(const struct box *box)
{
    return box->state == CONTAINER_RUNNING && !box->is_hung && box->health != HEALTH_UNHEALTHY;
}

static bool is_named_in(const char *list, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        if (strncmp(at, name, len) == 0 && strncmp(at + len, ":restart", 8) == 0) {
            return true;
        }
    }
    return false;
}

/* A daemon starts many within a millisecond, one after the other; and whoever did not see them start goes by
 * the host's clock, which may have been set back between them. */
static bool is_started_later(const struct box *one, const struct box *other)
{
    return one->started_ms > other->started_ms || one->started_ns > other->started_ns;
}

bool docker_is_stale(const struct box *box)
{
    const struct box *parent = box->parent >= 0 ? sim->boxes[box->parent] : NULL;
    if (parent && !parent->is_removed && is_started_later(parent, box)) {
        return true;
    }
    for (const struct box *each = box->depends_on[0] ? box->docker->boxes : NULL; each; each = each->next) {
        bool is_later = !each->is_removed && each != box && is_started_later(each, box);
        if (is_later && is_named_in(box->depends_on, each->name)) {
            return true;
        }
    }
    return false;
}

void docker_truth(struct box *box)
{
    bool is_now = is_good(box);
    if (is_now == (box->good_since != 0)) {
        return;
    }
    if (is_now) {
        /* So short a silence may be seen by nobody. */
        bool is_unseen =
            box->bad_life == box->life && !box->has_healthcheck &&
            sim->now - box->bad_at < sim->policy.heartbeat_ttl_ms + sim->policy.check_interval_ms;
        box->steady_since = is_unseen ? box->steady_since : sim->now;
        box->good_since = sim->now;
        box->bad_at = sim->now;
    } else {
        box->good_since = 0;
        box->bad_at = sim->now;
        box->bad_life = box->life;
    }
}

void docker_set_state(struct box *box, enum container_state state)
{
    box->state = state;
    box->docker->change++;
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
    bool is_mute = box->is_hung || (box->is_boot_silent && sim->now - box->started_ms < box->boot_ms);
    if (!is_mute && box->state == CONTAINER_RUNNING && redis_is_there()) {
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
    docker_emit(box, action, 0, -1);
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
    box->is_api_stopped = box->is_operator_stopped = box->is_excused = false;
    box->oom_killed = false;
    box->error[0] = '\0';
    box->health = box->has_healthcheck ? HEALTH_STARTING : HEALTH_NONE;
    docker_set_state(box, CONTAINER_RUNNING);
    docker_emit(box, "start", 0, -1);
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
    const struct box *parent = box->parent >= 0 ? sim->boxes[box->parent] : NULL;
    if (box->state == CONTAINER_RESTARTING && parent && parent->state != CONTAINER_RUNNING) {
        box->restart_count++;
        later(box, box->policy_delay_ms, policy_start, value);
    } else if (box->state == CONTAINER_RESTARTING && box->docker->is_up) {
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
    docker_set_state(box, is_restarted ? CONTAINER_RESTARTING : CONTAINER_EXITED);
    docker_emit(box, "die", 0, code);
    check_death(box);
    if (is_restarted) {
        box->restart_count++; /* as seen: at the death, not at the start */
        box->policy_delay_ms = was_long || box->policy_delay_ms == 0 ? 100 : 2 * box->policy_delay_ms;
        box->policy_delay_ms = box->policy_delay_ms > 60000 ? 60000 : box->policy_delay_ms;
        later(box, box->policy_delay_ms, policy_start, 0);
    }
}

bool docker_has_process(const struct box *box)
{
    return box->state == CONTAINER_RUNNING || box->state == CONTAINER_PAUSED;
}

static void end_wait(struct box *box);

void docker_die(struct box *box, int code, bool is_oom)
{
    if (!docker_has_process(box)) {
        return;
    }
    if (is_oom) {
        box->oom_killed = true;
        docker_emit(box, "oom", 0, -1);
    }
    dead(box, code, true);
    end_wait(box);
}

static void killed(struct box *box, int64_t code)
{
    if (docker_has_process(box)) {
        dead(box, (int)code, false);
        end_wait(box);
    }
}

void docker_kill(struct box *box, int signal)
{
    if (!docker_has_process(box) || !docker_takes_calls(box->docker)) {
        return;
    }
    box->is_api_stopped = true;
    docker_emit(box, "kill", signal, -1);
    later(box, DIE_MS, killed, 128 + signal);
}

/* ---- stop, restart ---- */

struct stopping {
    struct box *box;
    uint64_t life;
    bool is_restart, is_shutdown;
    void (*on_done)(void *arg, bool is_done);
    void *arg;
    struct event *wait; /* for its end, or the end of patience */
};

/* A container in another one's network starts only where that one runs. */
static bool refuse_start(struct box *box)
{
    const struct box *parent = box->parent >= 0 ? sim->boxes[box->parent] : NULL;
    if (parent && parent->is_removed) {
        snprintf(box->error, sizeof box->error, "No such container: %s", parent->id);
    } else if (parent && parent->state != CONTAINER_RUNNING) {
        snprintf(box->error, sizeof box->error, "cannot join network of a non running container: %.12s",
                 parent->id);
    } else if (box->is_start_failing) {
        memory_set_text(box->error, sizeof box->error, "no such device");
    } else {
        return false;
    }
    box->exit_code = 128;
    return true;
}

static void finish_stop(struct stopping *stopping, bool is_done)
{
    stopping->box->is_acting = false;
    if (stopping->box->stopping == stopping) {
        stopping->box->stopping = NULL;
    }
    if (stopping->is_restart && is_done && !stopping->box->is_removed && stopping->box->docker->is_up) {
        if (refuse_start(stopping->box)) {
            is_done = false;
        } else {
            run(stopping->box);
            docker_emit(stopping->box, "restart", 0, -1);
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
        docker_emit(box, "stop", 0, -1);
    }
    finish_stop(stopping, true);
}

static void stop_died(void *arg)
{
    struct stopping *stopping = arg;
    struct box *box = stopping->box;
    stopping->wait = NULL;
    if (box->is_removed || !docker_has_process(box) || box->life != stopping->life) {
        if (!box->is_removed && box->state == CONTAINER_EXITED && box->life == stopping->life + 1) {
            docker_emit(box, "stop", 0, -1); /* it died by itself meanwhile */
        }
        finish_stop(stopping, true);
        return;
    }
    int code = box->term_ms < 0 ? 137 : (box->index % 2 ? 143 : 0);
    bool is_new = box->docker->version == ENGINE_26;
    if (is_new) {
        docker_emit(box, "stop", 0, -1);
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
    if (!box->is_removed && docker_has_process(box) && box->life == stopping->life) {
        docker_emit(box, "kill", 9, -1);
    }
    stopping->wait = sim_at(sim->now + DIE_MS, NULL, stop_died, free, stopping);
}

/* It died of something else meanwhile: Docker waits no longer. */
static void end_wait(struct box *box)
{
    struct stopping *stopping = box->stopping;
    if (stopping && stopping->wait) {
        sim_cancel(stopping->wait);
        stopping->wait = sim_at(sim->now + STOP_EVENT_MS, NULL, stop_died, free, stopping);
    }
}

void docker_begin_stop(struct box *box, int64_t timeout_ms, bool is_restart, bool is_shutdown,
                       void (*on_done)(void *arg, bool is_done), void *arg)
{
    struct stopping *stopping = memory_alloc(sizeof *stopping);
    *stopping = (struct stopping){box, box->life, is_restart, is_shutdown, on_done, arg, NULL};
    box->is_acting = true;
    box->stopping = stopping;
    if (!is_shutdown) {
        box->is_api_stopped = true;
    }
    if (box->state == CONTAINER_RESTARTING) {
        docker_set_state(box, CONTAINER_EXITED);
    }
    if (!docker_has_process(box)) {
        finish_stop(stopping, true);
        return;
    }
    docker_emit(box, "kill", 15, -1);
    if (box->term_ms >= 0 && box->term_ms < timeout_ms) {
        stopping->wait = sim_at(sim->now + box->term_ms + DIE_MS, NULL, stop_died, free, stopping);
    } else {
        stopping->wait = sim_at(sim->now + timeout_ms, NULL, stop_forced, free, stopping);
    }
}

bool docker_takes_calls(const struct docker *docker)
{
    return docker->is_up && docker->is_listening && !docker->is_hanging;
}

void docker_stop(struct box *box, int64_t timeout_ms)
{
    if (docker_takes_calls(box->docker) && !box->is_acting) {
        docker_begin_stop(box, timeout_ms, false, false, NULL, NULL);
    }
}

void docker_restart(struct box *box, int64_t timeout_ms)
{
    if (docker_takes_calls(box->docker) && !box->is_acting) {
        docker_begin_stop(box, timeout_ms, true, false, NULL, NULL);
    }
}

/* 0; 304; 500 */
int docker_start_now(struct box *box)
{
    if (docker_has_process(box)) {
        return 304;
    }
    if (refuse_start(box)) {
        return 500;
    }
    box->restart_count = 0; /* as seen: a hand begins the count anew */
    run(box);
    return 0;
}

void docker_start(struct box *box, const char *who)
{
    (void)who;
    if (docker_takes_calls(box->docker) && !box->is_acting) {
        docker_start_now(box);
    }
}

void docker_remove(struct box *box)
{
    if (!docker_takes_calls(box->docker) || box->is_removed) {
        return;
    }
    if (docker_has_process(box)) {
        docker_emit(box, "kill", 9, -1);
        box->is_api_stopped = true;
        dead(box, 137, false);
    }
    docker_emit(box, "destroy", 0, -1);
    box->is_removed = true;
    box->removed_at = sim->now;
    box->life++;
}

void docker_rename(struct box *box, const char *name)
{
    if (docker_takes_calls(box->docker)) {
        memory_set_text(box->name, sizeof box->name, name);
        box->beat_key[0] = '\0';
        box->renamed_at = sim->now;
        docker_emit(box, "rename", 0, -1);
    }
}

void docker_pause(struct box *box, bool is_paused)
{
    if (box->state == (is_paused ? CONTAINER_RUNNING : CONTAINER_PAUSED) && docker_takes_calls(box->docker)) {
        docker_set_state(box, is_paused ? CONTAINER_PAUSED : CONTAINER_RUNNING);
        docker_emit(box, is_paused ? "pause" : "unpause", 0, -1);
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
    docker->change++;
    *(docker->last_box ? &docker->last_box->next : &docker->boxes) = box;
    docker->last_box = box;
    docker->box_count++;
    sim->boxes[sim->box_count++] = box;
    return box;
}
