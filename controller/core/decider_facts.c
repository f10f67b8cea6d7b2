#include "controller/core/decider_facts.h"

#include <stdio.h>
#include <string.h>

#include "common/memory.h"
#include "controller/core/decider_attempt.h"
#include "controller/core/decider_budget.h"
#include "controller/core/decider_hold.h"
#include "controller/core/decider_say.h"
#include "controller/core/decider_step.h"

static const int64_t HOSTS_LOOK_MS = 500;
static const int64_t HOST_KEPT_MS = 7LL * 24 * 3600 * 1000; /* a lost one; then it is forgotten */
static const int64_t CRASH_LOOP_MS = 300000;

/* ---- hosts ---- */

static void thaw(struct decider *decider, struct host *host)
{
    host->is_frozen = false;
    decider_say_general(decider, ACTION_INFO, "Agent of host %s is back after %.0f s", host->name,
                        (double)mono_diff(decider->now, host->frozen_at) / 1000.0);
    decider_say_host(decider, ALERT_AGENT_RECOVERED, host->name, "heard_again");
    struct container *next = NULL;
    for (struct container *each = host->containers; each; each = next) {
        next = each->host_next;
        decider_step_kind(decider, each, EVENT_THAW);
        decider_attempt_refresh(decider, each);
    }
}

static void hear(struct decider *decider, struct host *host, enum path path)
{
    liveness_hear(&decider->liveness, host, path, decider->now);
    if (host->is_frozen) {
        thaw(decider, host);
    }
}

/* The agent's process may be a new one: what its counters say starts over. False: a late word of an older
 * one. Who is new and who is late cannot be told from a beat: keys of a dead process outlive it. So once
 * there is a registration only another one changes the process, and one that was taken for late is back in
 * its place with its next document. */
static bool take_agent(struct host *host, const char *agent, const struct registration *registration)
{
    if (strcmp(host->agent, agent) == 0) {
        return true;
    }
    if (!registration && host->registered_at.ms != 0) {
        return false;
    }
    bool is_previous = agent[0] != '\0' && strcmp(host->previous_agent, agent) == 0;
    if (is_previous && (!registration || registration->seq <= host->previous_seq)) {
        return false;
    }
    host->previous_seq = host->seq;
    memory_set_text(host->previous_agent, sizeof host->previous_agent, host->agent);
    memory_set_text(host->agent, sizeof host->agent, agent);
    host->generation++;
    host->change = 0;
    host->seq = 0;
    return true;
}

static struct host *need_host(struct decider *decider, const char *name)
{
    struct host *host = liveness_find_host(&decider->liveness, name);
    return host ? host : liveness_add_host(&decider->liveness, name, decider->now);
}

static void freeze(struct decider *decider, struct host *host)
{
    host->is_frozen = true;
    host->frozen_at = decider->now;
    decider_say_general(
        decider, ACTION_ERROR,
        "Agent of host %s is lost: nothing heard from it for %.0f s; its containers are not judged",
        host->name, (double)mono_diff(decider->now, liveness_heard_at(host)) / 1000.0);
    decider_say_host(decider, ALERT_AGENT_LOST, host->name, "silent");
    for (struct container *each = host->containers; each; each = each->host_next) {
        decider_step_rearm(decider, each);
    }
}

static void forget(struct decider *decider, struct host *host)
{
    while (host->containers) {
        decider_step_kind(decider, host->containers, EVENT_GONE);
    }
    liveness_remove_host(&decider->liveness, host);
}

void decider_facts_hosts_due(struct decider *decider)
{
    if (!mono_reached(decider->now, decider->hosts_at)) {
        return;
    }
    int64_t lost_ms = decider->config->agent_lost_ms;
    decider->hosts_at = mono_add(decider->now, lost_ms / 4 < HOSTS_LOOK_MS ? lost_ms / 4 + 1 : HOSTS_LOOK_MS);
    struct host *next = NULL;
    for (struct host *host = liveness_first_host(&decider->liveness); host; host = next) {
        next = liveness_next_host(host);
        struct mono heard = liveness_heard_at(host);
        if (!host->is_frozen && heard.ms != 0 && mono_diff(decider->now, heard) >= lost_ms) {
            freeze(decider, host);
        }
        if (!host->is_frozen) {
            continue;
        }
        for (struct container *each = host->containers; each; each = each->host_next) {
            decider_attempt_release(decider, each);
        }
        if (mono_diff(decider->now, host->frozen_at) >= HOST_KEPT_MS) {
            forget(decider, host);
        }
    }
}

/* ---- names ---- */

static struct container *add_container(struct decider *decider, const char *name)
{
    struct container *container = liveness_add(&decider->liveness, name);
    container->seen_at = decider->now;
    return container;
}

static bool is_alive_word(const struct heartbeat *beat)
{
    return !liveness_is_dead_state(beat->state) && beat->state != CONTAINER_REMOVING;
}

/* Two claim one name or one key: neither is touched. */
static void collide(struct decider *decider, struct container *container, const char *reason,
                    const char *detail)
{
    container->collision_until = mono_add(decider->now, 2 * decider->config->heartbeat_ttl_ms);
    bool is_recent = container->collision_said_at.ms != 0 &&
                     mono_diff(decider->now, container->collision_said_at) < decider->config->alert_repeat_ms;
    if (is_recent) {
        return;
    }
    container->collision_said_at = decider->now;
    struct alert alert;
    decider_say_fill_alert(decider, container, ALERT_NAME_COLLISION, &alert);
    memory_set_text(alert.reason, sizeof alert.reason, reason);
    memory_set_text(alert.detail, sizeof alert.detail, detail);
    decider_say_line(decider, container, ACTION_WARNING, "Container %s collides: %s; neither is restarted",
                     container->name, detail);
    decider_say_alert(decider, &alert);
}

static void collide_on_name(struct decider *decider, struct container *container, const struct host *other)
{
    char detail[LIMIT_DETAIL_SIZE];
    snprintf(detail, sizeof detail,
             "the name is in use on %.60s and on %.60s (DEFIB_NAME_PREFIX=auto tells them apart)",
             container->host->name, other->name);
    collide(decider, container, "two_hosts", detail);
}

static bool is_alive_there(const struct decider *decider, const struct container *container)
{
    return liveness_is_host_live(&decider->liveness, container->host, decider->now) &&
           liveness_is_listed(container) && !liveness_is_dead_state(container->state);
}

static void move_to(struct decider *decider, struct container *container, struct host *host)
{
    bool is_under_way = container->policy.state == STATE_RESTARTING;
    decider_attempt_drop(decider, container);
    liveness_set_host(container, host);
    container->agent_at = (struct mono){0};
    if (is_under_way) {
        decider_step_kind(decider, container, EVENT_ABORTED);
    }
}

/* May this host's word change what we hold of the container? Claims it where nobody else does. */
static bool claim(struct decider *decider, struct container *container, struct host *host, bool is_alive)
{
    struct host *holder = container->host;
    if (holder == host) {
        return true;
    }
    if (!holder) {
        move_to(decider, container, host);
        return true;
    }
    bool is_held_alive = is_alive_there(decider, container);
    if (is_alive && is_held_alive) {
        collide_on_name(decider, container, host);
        return false;
    }
    if (!is_alive) {
        return false;
    }
    move_to(decider, container, host);
    return true;
}

/* ---- one container's facts ---- */

static void note_docker_start(struct decider *decider, struct container *container)
{
    struct mono *starts = container->docker_starts;
    starts[0] = starts[1];
    starts[1] = starts[2];
    starts[2] = decider->now;
    bool is_recent =
        container->crash_loop_said_at.ms != 0 &&
        mono_diff(decider->now, container->crash_loop_said_at) < decider->config->alert_repeat_ms;
    if (starts[0].ms == 0 || mono_diff(decider->now, starts[0]) > CRASH_LOOP_MS || is_recent) {
        return;
    }
    container->crash_loop_said_at = decider->now;
    struct alert alert;
    decider_say_fill_alert(decider, container, ALERT_CRASH_LOOP, &alert);
    memory_set_text(alert.reason, sizeof alert.reason, "docker_restarts");
    memory_set_text(alert.detail, sizeof alert.detail,
                    "Docker's own policy restarted it 3 times within 5 minutes");
    decider_say_line(decider, container, ACTION_WARNING, "Service %s is in a crash loop: %s", container->name,
                     alert.detail);
    decider_say_alert(decider, &alert);
}

static enum start_maker maker_of(const struct container *container, const struct heartbeat *beat)
{
    if (container->incarnation[0] == '\0') {
        return MADE_BEFORE;
    }
    if (container->is_own_start_due ||
        (container->attempt && container->policy.state == STATE_RESTARTING && container->policy.is_sent)) {
        return MADE_BY_US;
    }
    bool has_docker_counted = container->restart_count >= 0 && beat->restart_count > container->restart_count;
    return has_docker_counted ? MADE_BY_DOCKER : MADE_BY_OPERATOR;
}

static void take_incarnation(struct decider *decider, struct container *container,
                             const struct heartbeat *beat, struct news *news)
{
    if (beat->incarnation[0] == '\0' || strcmp(beat->incarnation, container->incarnation) == 0) {
        return;
    }
    news->is_new_incarnation = container->incarnation[0] != '\0' || container->policy.state == STATE_NONE;
    news->maker = maker_of(container, beat);
    if (beat->started_at.ms != 0 && beat->timestamp.ms >= beat->started_at.ms) {
        news->age_ms = beat->timestamp.ms - beat->started_at.ms; /* both are of the agent's clock */
    }
    container->is_own_start_due = false;
    memory_set_text(container->incarnation, sizeof container->incarnation, beat->incarnation);
    if (news->maker == MADE_BY_DOCKER) {
        note_docker_start(decider, container);
    }
}

static void take_state(struct container *container, const struct heartbeat *beat)
{
    container->agent_status = beat->status;
    container->state = beat->state;
    container->health = beat->health;
    container->stop_class = beat->stop_class;
    container->is_docker_restarting = beat->is_docker_restarting;
    container->has_exit_code = beat->has_exit_code;
    container->exit_code = beat->exit_code;
    if (beat->restart_count >= 0) {
        container->restart_count = beat->restart_count;
    }
}

static void take_outcome(struct decider *decider, struct container *container, const struct heartbeat *beat)
{
    if (beat->last_command[0] == '\0' || beat->last_command_code == ANSWER_ACCEPTED ||
        strcmp(beat->last_command, container->last_command) == 0) {
        return;
    }
    memory_set_text(container->last_command, sizeof container->last_command, beat->last_command);
    decider_attempt_told(decider, container, beat->last_command, beat->last_command_code);
}

/* Nothing that the policy would move for. */
static bool is_routine(const struct container *container, const struct news *news)
{
    return container->policy.state == STATE_UP && !news->is_new_incarnation && !container->attempt &&
           !container->is_held && container->state == CONTAINER_RUNNING &&
           container->health != HEALTH_UNHEALTHY && container->agent_status == BEAT_HEALTHY &&
           container->category == CATEGORY_HEALTHY && container->policy.suspended_until.ms == 0 &&
           container->policy.sick_since.ms == 0 && liveness_is_listed(container) &&
           !liveness_is_app_beating(container);
}

/* A service that spoke before its agent did stands under the name of its key: now it has its container's. */
static void adopt_stranger(struct decider *decider, struct container *container, struct container *stranger)
{
    container->app_at = stranger->app_at;
    container->app_stamp = stranger->app_stamp;
    container->app_status = stranger->app_status;
    container->is_last_beat_apps = true;
    decider_step_kind(decider, stranger, EVENT_GONE);
}

/* Two containers that run claim one heartbeat key: whose beat it is, nobody can tell. */
static void collide_on_key(struct decider *decider, struct container *container, struct container *holder)
{
    char detail[LIMIT_DETAIL_SIZE];
    snprintf(detail, sizeof detail, "%.100s has the same heartbeat key", holder->name);
    collide(decider, container, "two_writers", detail);
    snprintf(detail, sizeof detail, "%.100s has the same heartbeat key", container->name);
    collide(decider, holder, "two_writers", detail);
}

static void set_key(struct decider *decider, struct container *container, const struct heartbeat *beat)
{
    bool is_same = container->identity_len > 0 && strcmp(container->service, beat->service) == 0 &&
                   strcmp(container->instance, beat->instance_id) == 0;
    if (is_same) {
        return;
    }
    struct container *holder = liveness_find_by_key(&decider->liveness, beat->service, beat->instance_id);
    if (holder && !holder->host) {
        adopt_stranger(decider, container, holder);
    } else if (holder && is_alive_word(beat) && is_alive_there(decider, holder)) {
        collide_on_key(decider, container, holder);
        if (container->identity_len > 0) {
            return;
        }
    }
    liveness_set_key(&decider->liveness, container, beat->service, beat->instance_id);
}

/* What was known of it before it was seen, stored attempts and holds: before anything is judged. */
static void greet(struct decider *decider, struct container *container)
{
    if (container->policy.state == STATE_NONE) {
        decider_budget_adopt(decider, container);
        decider_hold_apply(decider, container);
    }
}

/* An agent's word on one container, by beat or by inventory. */
static void take_agents_word(struct decider *decider, struct container *container, struct host *host,
                             const struct heartbeat *beat, bool is_beat)
{
    bool is_ordered = beat->seq != 0 && container->generation == host->generation;
    bool is_old = is_ordered && (is_beat ? beat->seq <= container->seq : beat->seq < container->seq);
    if (is_old) {
        return;
    }
    container->generation = host->generation;
    container->seq = beat->seq;
    container->seen_at = decider->now;
    bool is_other_id = beat->container_id[0] && container->container_id[0] &&
                       strcmp(beat->container_id, container->container_id) != 0;
    if (is_other_id) {
        decider_step_renew(decider, container);
    }
    if (beat->container_id[0]) {
        memory_set_text(container->container_id, sizeof container->container_id, beat->container_id);
    }
    if (beat->state == CONTAINER_REMOVING && !is_other_id) {
        decider_step_kind(decider, container, EVENT_GONE);
        return;
    }
    set_key(decider, container, beat);
    struct news news = {.is_new_beat = is_beat, .maker = MADE_BEFORE, .age_ms = -1};
    take_incarnation(decider, container, beat, &news);
    take_state(container, beat);
    if (is_beat) {
        container->agent_at = decider->now;
        container->is_last_beat_apps = false;
    }
    if (is_routine(container, &news)) {
        return;
    }
    greet(decider, container);
    take_outcome(decider, container, beat);
    decider_step_judge(decider, container, &news);
}

static void take_agents_beat(struct decider *decider, const struct heartbeat *beat)
{
    struct host *host = need_host(decider, beat->host);
    if (!take_agent(host, beat->agent, NULL)) {
        return;
    }
    struct container *container = liveness_find(&decider->liveness, beat->container);
    bool is_new = !container;
    bool is_news =
        is_new || beat->seq == 0 || container->generation != host->generation || beat->seq > container->seq;
    if (is_news) {
        hear(decider, host, PATH_REDIS);
    }
    if (is_new && !is_alive_word(beat)) {
        return; /* the inventory tells of it, if it is still there */
    }
    if (is_new) {
        container = add_container(decider, beat->container);
    }
    if (claim(decider, container, host, is_alive_word(beat))) {
        take_agents_word(decider, container, host, beat, true);
    }
}

/* ---- a service's own beats ---- */

static struct container *find_speaker(struct decider *decider, const struct heartbeat *beat, bool *is_new)
{
    struct container *container = liveness_find_by_key(&decider->liveness, beat->service, beat->instance_id);
    if (!container && beat->container[0]) {
        container = liveness_find(&decider->liveness, beat->container);
    }
    *is_new = !container;
    if (container) {
        return container;
    }
    char name[2 * LIMIT_NAME_SIZE];
    snprintf(name, sizeof name, "%s:%s", beat->service, beat->instance_id);
    name[LIMIT_NAME_SIZE - 1] = '\0';
    container = liveness_find(&decider->liveness, name);
    if (container) {
        return container;
    }
    container = add_container(decider, name);
    liveness_set_key(&decider->liveness, container, beat->service, beat->instance_id);
    return container;
}

static void say_odd_word(struct decider *decider, struct container *container, const struct heartbeat *beat)
{
    if (beat->status != BEAT_UNKNOWN || container->is_word_said) {
        return;
    }
    container->is_word_said = true;
    decider_say_line(decider, container, ACTION_WARNING,
                     "Service %s says status \"%s\", which nobody knows: read as degraded", container->name,
                     beat->status_word);
}

static void take_services_beat(struct decider *decider, const struct heartbeat *beat)
{
    bool is_new = false;
    struct container *container = find_speaker(decider, beat, &is_new);
    bool is_known = container->app_at.ms != 0 && beat->timestamp.ms != 0 &&
                    beat->timestamp.ms == container->app_stamp.ms && beat->status == container->app_status;
    if (is_known) {
        return;
    }
    container->app_at = decider->now;
    container->app_stamp = beat->timestamp;
    container->app_status = beat->status;
    container->is_last_beat_apps = true;
    container->seen_at = decider->now;
    say_odd_word(decider, container, beat);
    struct news news = {.is_new_beat = true, .maker = MADE_BEFORE, .age_ms = -1};
    decider_step_judge(decider, container, &news);
    if (is_new) {
        decider_hold_apply(decider, container);
    }
}

void decider_facts_beat(struct decider *decider, const struct heartbeat *beat)
{
    bool is_agents = strcmp(beat->source, "agent") == 0 && beat->host[0] && beat->container[0];
    if (is_agents) {
        take_agents_beat(decider, beat);
    } else {
        take_services_beat(decider, beat);
    }
}

/* ---- inventories ---- */

static void take_entry(struct decider *decider, struct host *host, const struct registration_entry *entry)
{
    const struct heartbeat *beat = &entry->beat;
    if (!beat->container[0]) {
        return;
    }
    struct container *container = liveness_find(&decider->liveness, beat->container);
    bool is_new = !container;
    if (is_new) {
        container = add_container(decider, beat->container);
    }
    if (!claim(decider, container, host, is_alive_word(beat))) {
        return;
    }
    container->round = host->round;
    liveness_set_terms(container, &entry->spec);
    take_agents_word(decider, container, host, beat, false);
}

/* Those that two inventories in a row left out are gone. */
static void sweep(struct decider *decider, struct host *host)
{
    struct container *next = NULL;
    for (struct container *each = host->containers; each; each = next) {
        next = each->host_next;
        if (host->round - each->round >= 2) {
            decider_step_kind(decider, each, EVENT_GONE);
        } else if (each->round != host->round) {
            decider_step_rearm(decider, each);
        }
    }
}

/* The last inventory still stands: what it left out is left out for the second time. */
static void sweep_unlisted(struct decider *decider, struct host *host)
{
    struct container *next = NULL;
    for (struct container *each = host->containers; each; each = next) {
        next = each->host_next;
        if (!liveness_is_listed(each)) {
            decider_step_kind(decider, each, EVENT_GONE);
        }
    }
}

void decider_facts_registration(struct decider *decider, const struct registration *registration,
                                enum path path)
{
    struct host *host = need_host(decider, registration->host);
    if (!take_agent(host, registration->agent, registration)) {
        return;
    }
    hear(decider, host, path);
    bool is_first = host->registered_at.ms == 0;
    bool is_copy = !is_first && registration->seq == host->seq && registration->change == host->change;
    if (is_copy || registration->change < host->change) {
        return; /* the other path was quicker */
    }
    host->change = registration->change;
    host->seq = registration->seq;
    host->registered_at = decider->now;
    host->is_engine_up = registration->is_engine_up;
    if (!host->is_engine_up) {
        return; /* its entries are what it last knew, and so do we */
    }
    host->vouched_at = decider->now;
    host->round++;
    if (is_first) {
        for (struct container *each = host->containers; each; each = each->host_next) {
            each->round = host->round - 1;
        }
    }
    for (size_t i = 0; i < registration->count; i++) {
        take_entry(decider, host, &registration->entries[i]);
    }
    sweep(decider, host);
}

/* Its agent vouches for what it said of it before: as good as a beat, for one that no beat has reached since.
 */
static void vouch(struct decider *decider, struct host *host)
{
    struct container *next = NULL;
    for (struct container *each = host->containers; each; each = next) {
        next = each->host_next;
        enum policy_state state = each->policy.state;
        bool is_waiting = state == STATE_STARTING || state == STATE_SUSPECT || state == STATE_FAILED;
        if (is_waiting && each->state == CONTAINER_RUNNING && !liveness_is_app_beating(each)) {
            decider_step_judge_again(decider, each);
        }
    }
}

bool decider_facts_unchanged(struct decider *decider, const char *host_name, const char *agent,
                             uint64_t change, enum path path)
{
    struct host *host = liveness_find_host(&decider->liveness, host_name);
    if (!host || host->registered_at.ms == 0 || strcmp(host->agent, agent) != 0 || host->change != change) {
        return false;
    }
    hear(decider, host, path);
    if (host->is_engine_up) {
        host->vouched_at = decider->now;
        sweep_unlisted(decider, host);
        vouch(decider, host);
    }
    return true;
}

/* ---- Redis ---- */

void decider_facts_redis(struct decider *decider, enum redis_state state)
{
    struct liveness *liveness = &decider->liveness;
    liveness->is_redis_up = state != REDIS_AWAY;
    liveness->redis_since = decider->now;
    struct container *next = NULL;
    for (struct container *each = liveness_first(liveness); each; each = next) {
        next = liveness_next(each);
        each->is_reading = false;
        /* Silence that was counted so far proves nothing any more. */
        const struct policy_memory *policy = &each->policy;
        bool is_silence = policy->cause == CAUSE_MISSING || policy->cause == CAUSE_START_TIMEOUT;
        bool is_counting = policy->state == STATE_SUSPECT && policy->misses > 0;
        bool is_waiting =
            policy->state == STATE_FAILED || (policy->state == STATE_RESTARTING && !policy->is_sent);
        if (is_counting || (is_waiting && is_silence)) {
            decider_step_kind(decider, each, EVENT_THAW);
        }
    }
}
