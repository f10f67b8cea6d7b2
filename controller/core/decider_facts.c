#include "controller/core/decider_facts.h"

#include <stdio.h>
#include <string.h>

#include "common/memory.h"
#include "common/timestamp.h"
#include "controller/core/decider_attempt.h"
#include "controller/core/decider_budget.h"
#include "controller/core/decider_edges.h"
#include "controller/core/decider_hold.h"
#include "controller/core/decider_hosts.h"
#include "controller/core/decider_input.h"
#include "controller/core/decider_judge.h"
#include "controller/core/decider_names.h"
#include "controller/core/decider_say.h"
#include "controller/core/decider_step.h"
#include "controller/core/decider_told.h"

static const int64_t CRASH_LOOP_MS = 300000;
static const int64_t START_AHEAD_MS = 1000; /* a start may be rounded up */

/* ---- one container's facts ---- */

static struct container *add_container(struct decider *decider, const char *name)
{
    struct container *container = liveness_add(&decider->liveness, name);
    container->seen_at = decider->now;
    decider_told_recall(decider, container);
    return container;
}

static bool is_alive_word(const struct heartbeat *beat)
{
    return !liveness_is_dead_state(beat->state) && beat->state != CONTAINER_REMOVING;
}

static void note_docker_start(struct decider *decider, struct container *container)
{
    struct mono *starts = container->docker_starts;
    starts[0] = starts[1];
    starts[1] = starts[2];
    starts[2] = decider->now;
    bool is_loop = starts[0].ms != 0 && mono_diff(decider->now, starts[0]) <= CRASH_LOOP_MS;
    if (!is_loop || !decider_say_may_repeat(decider, &container->crash_loop_said_at)) {
        return;
    }
    struct alert alert;
    decider_say_fill_alert(decider, container, ALERT_CRASH_LOOP, &alert);
    memory_set_text(alert.reason, sizeof alert.reason, "docker_restarts");
    memory_set_text(alert.detail, sizeof alert.detail,
                    "Docker's own policy restarted it 3 times within 5 minutes");
    decider_say_line(decider, container, ACTION_WARNING, "Service %s is in a crash loop: %s", container->name,
                     alert.detail);
    decider_say_alert(decider, &alert);
    container->is_aside_said = true;
}

bool decider_facts_is_looping(const struct decider *decider, const struct container *container)
{
    struct mono last = container->docker_starts[2];
    return last.ms != 0 && mono_diff(decider->now, last) < CRASH_LOOP_MS;
}

/* Nobody saw that start: where Docker has a policy, it was Docker. A hand is believed when it was seen. */
static bool is_dockers_unseen(const struct container *container, const struct news *news)
{
    return news->is_first_since_gap && container->terms.docker_policy != DOCKER_POLICY_NO;
}

/* Docker counts a restart when the container dies, before it starts it again. */
static int64_t count_at_start(const struct heartbeat *beat)
{
    bool is_counted = beat->state == CONTAINER_RESTARTING || beat->is_docker_restarting;
    return is_counted && beat->restart_count > 0 ? beat->restart_count - 1 : beat->restart_count;
}

static enum start_maker maker_of(const struct container *container, const struct heartbeat *beat,
                                 const struct news *news)
{
    if (container->incarnation[0] == '\0') {
        return MADE_BEFORE;
    }
    if (container->is_own_start_due || container->is_command_lost ||
        (container->attempt && container->policy.state == STATE_RESTARTING && container->policy.is_sent)) {
        return MADE_BY_US;
    }
    bool has_docker_counted = container->started_count >= 0 && beat->restart_count > container->started_count;
    return has_docker_counted || is_dockers_unseen(container, news) ? MADE_BY_DOCKER : MADE_BY_OPERATOR;
}

static void take_incarnation(struct decider *decider, struct container *container,
                             const struct heartbeat *beat, struct news *news)
{
    if (beat->incarnation[0] == '\0' || strcmp(beat->incarnation, container->incarnation) == 0) {
        return;
    }
    /* Its key was read before its agent told of it, and is of the life before: it lives on for a TTL. */
    bool is_app_old = container->app_stamp.ms != 0 && container->app_stamp.ms < beat->started_at.ms;
    news->is_new_incarnation =
        container->incarnation[0] != '\0' || container->policy.state == STATE_NONE || is_app_old;
    news->maker = maker_of(container, beat, news);
    if (beat->started_at.ms != 0 && beat->timestamp.ms >= beat->started_at.ms) {
        news->age_ms = beat->timestamp.ms - beat->started_at.ms; /* both are of the agent's clock */
    }
    news->is_late = container->is_command_lost && news->maker == MADE_BY_US;
    container->is_own_start_due = false;
    container->is_command_lost = false;
    liveness_set_restarted(container, container->incarnation[0] != '\0');
    if (container->has_restarted || is_app_old) { /* what the last one said is no sign of this one's life */
        container->app_at = (struct mono){0};
        container->app_status = BEAT_UNKNOWN;
    }
    container->is_start_ahead =
        beat->timestamp.ms != 0 && beat->started_at.ms > beat->timestamp.ms + START_AHEAD_MS;
    container->incarnation_at = decider->now;
    memory_set_text(container->incarnation, sizeof container->incarnation, beat->incarnation);
    container->started_count = count_at_start(beat);
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

/* True where an attempt of ours succeeded by it: with that its new incarnation has begun, and was judged. */
static bool take_outcome(struct decider *decider, struct container *container, const struct heartbeat *beat)
{
    if (beat->last_command[0] == '\0' || beat->last_command_code == ANSWER_ACCEPTED ||
        strcmp(beat->last_command, container->last_command) == 0) {
        return false;
    }
    memory_set_text(container->last_command, sizeof container->last_command, beat->last_command);
    const struct restart_state *stored = container->stored;
    bool is_over = stored && strcmp(stored->command_id, beat->last_command) == 0;
    bool is_start_due = is_over && beat->last_command_code == ANSWER_OK &&
                        strcmp(stored->incarnation, container->incarnation) == 0; /* it will show */
    container->is_command_lost = container->is_command_lost && (!is_over || is_start_due);
    bool was_trying = container->attempt != NULL;
    decider_attempt_told(decider, container, beat->last_command, beat->last_command_code);
    decider_budget_told(decider, container, beat);
    return was_trying && !container->attempt && beat->last_command_code == ANSWER_OK &&
           !container->is_own_start_due;
}

/* Nothing that the policy would move for. */
static bool is_routine(const struct container *container, const struct news *news)
{
    return container->policy.state == STATE_UP && !news->is_new_incarnation && !container->attempt &&
           !container->is_held && container->state == CONTAINER_RUNNING &&
           container->health != HEALTH_UNHEALTHY && container->agent_status == BEAT_HEALTHY &&
           container->category == CATEGORY_HEALTHY && container->policy.suspended_until.ms == 0 &&
           container->policy.sick_since.ms == 0 && !container->policy.is_closing_due &&
           liveness_is_listed(container) && !liveness_is_app_beating(container);
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

static void set_key(struct decider *decider, struct container *container, const struct heartbeat *beat)
{
    if (liveness_has_key(container, beat->service, beat->instance_id)) {
        return;
    }
    struct container *holder = liveness_find_by_key(&decider->liveness, beat->service, beat->instance_id);
    if (holder && !holder->host) {
        adopt_stranger(decider, container, holder);
    } else if (holder && is_alive_word(beat) && decider_names_is_alive(decider, holder)) {
        decider_names_collide_on_key(decider, container, holder);
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

/* Something newer of this agent process was heard of it before. */
static bool is_old_word(const struct container *container, const struct host *host,
                        const struct heartbeat *beat, bool is_beat)
{
    bool is_ordered = beat->seq != 0 && container->generation == host->generation;
    return is_ordered && (is_beat ? beat->seq <= container->seq : beat->seq < container->seq);
}

static struct container *rename_container(struct decider *decider, struct container *container,
                                          const char *name)
{
    decider_step_rename(decider, container, name);
    return container;
}

/* An agent's word on one container, by beat or by inventory. */
static void take_agents_word(struct decider *decider, struct container *container, struct host *host,
                             const struct heartbeat *beat, bool is_beat)
{
    if (is_old_word(container, host, beat, is_beat)) {
        if (!decider_input_is_same_word(container, beat)) {
            decider_hosts_doubt(decider, host);
        }
        return;
    }
    bool is_first_since_gap = !host->is_engine_up || container->generation != host->generation ||
                              container->seen_at.ms < host->resumed_at.ms;
    container->generation = host->generation;
    container->seq = beat->seq;
    container->seen_at = decider->now;
    bool is_other_id = beat->container_id[0] && container->container_id[0] &&
                       strcmp(beat->container_id, container->container_id) != 0;
    if (is_other_id) {
        decider_step_renew(decider, container);
        container->policy.is_closing_due |= container->is_recreate_said;
        container->is_recreate_said = false;
    }
    if (beat->container_id[0]) {
        liveness_set_id(container, beat->container_id);
    }
    if (beat->state == CONTAINER_REMOVING && !is_other_id) {
        decider_step_kind(decider, container, EVENT_GONE);
        return;
    }
    set_key(decider, container, beat);
    /* Beats that add up are those of one speaker. */
    bool is_speaker = is_beat && !liveness_has_named_word(&decider->liveness, container, decider->now);
    struct news news = {.is_new_beat = is_speaker,
                        .is_first_since_gap = is_first_since_gap,
                        .maker = MADE_BEFORE,
                        .age_ms = -1};
    decider_input_word(decider, container, beat);
    take_incarnation(decider, container, beat, &news);
    take_state(container, beat);
    decider_edges_note_error(decider, container, beat->error);
    if (is_beat) {
        decider_input_heard_agent(decider, container);
        container->agent_at = decider->now;
        container->is_last_beat_apps = liveness_has_named_word(&decider->liveness, container, decider->now);
    }
    if (is_routine(container, &news)) {
        return;
    }
    greet(decider, container);
    if (take_outcome(decider, container, beat)) {
        news.is_new_incarnation = false;
    }
    decider_judge_facts(decider, container, &news);
}

/* It names a container that was not known, or is known by another name or id. */
static bool is_about_stranger(const struct heartbeat *beat, const struct container *container, bool is_new)
{
    bool is_other = strcmp(beat->container, container->name) != 0 ||
                    (beat->container_id[0] && strcmp(beat->container_id, container->container_id) != 0);
    return beat->container[0] && (is_new || is_other);
}

static bool take_agents_beat(struct decider *decider, const struct heartbeat *beat)
{
    struct host *host = decider_hosts_need(decider, beat->host);
    if (!decider_hosts_take_agent(host, beat->agent, NULL)) {
        return true;
    }
    struct container *container = liveness_find_on(&decider->liveness, host, beat->container);
    bool is_new = !container;
    struct container *renamed = is_new ? liveness_find_id(host, beat->container_id) : NULL;
    if (renamed && is_old_word(renamed, host, beat, true)) {
        return false; /* its name of before, held back on its way */
    }
    bool is_news =
        is_new || beat->seq == 0 || container->generation != host->generation || beat->seq > container->seq;
    if (is_news) {
        decider_hosts_hear(decider, host, PATH_REDIS);
    }
    if (is_new && !renamed && !is_alive_word(beat)) {
        return true; /* the inventory tells of it, if it is still there */
    }
    if (is_new) {
        container = renamed ? rename_container(decider, renamed, beat->container)
                            : add_container(decider, beat->container);
    }
    bool is_strange = is_about_stranger(beat, container, is_new);
    if (decider_names_claim(decider, container, host, is_alive_word(beat))) {
        take_agents_word(decider, container, host, beat, true);
    }
    return is_strange;
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

/* Written before the incarnation that runs was started, and held back on its way. Both times are of one host,
 * whose clock may have been set back between them: for longer than a TTL that is not believed. One that is
 * cut to seconds may be of the very second of the start, and of either life: the next one tells. */
static bool is_of_the_last_life(const struct decider *decider, const struct container *container,
                                const struct heartbeat *beat)
{
    struct wall started;
    return container->host && beat->timestamp.ms != 0 &&
           mono_diff(decider->now, container->incarnation_at) <= decider->config->heartbeat_ttl_ms &&
           timestamp_parse(container->incarnation, strlen(container->incarnation), &started) == 0 &&
           beat->timestamp.ms < started.ms;
}

static bool take_services_beat(struct decider *decider, const struct heartbeat *beat)
{
    bool is_new = false;
    struct container *container = find_speaker(decider, beat, &is_new);
    bool is_strange = is_about_stranger(beat, container, is_new);
    bool is_known = beat->timestamp.ms != 0 && beat->timestamp.ms == container->app_stamp.ms &&
                    (beat->status == container->app_status || container->app_at.ms == 0);
    if (is_known || is_of_the_last_life(decider, container, beat)) {
        return is_strange;
    }
    if (container->app_status != beat->status || container->is_app_silent || !container->is_last_beat_apps ||
        container->app_at.ms == 0) {
        decider_input_note(decider);
    }
    container->is_app_silent = false;
    container->app_at = decider->now;
    container->app_stamp = beat->timestamp;
    container->app_status = beat->status;
    container->is_last_beat_apps = true;
    container->is_app_elsewhere = !liveness_has_key(container, beat->service, beat->instance_id);
    container->seen_at = decider->now;
    say_odd_word(decider, container, beat);
    struct news news = {.is_new_beat = true, .maker = MADE_BEFORE, .age_ms = -1};
    decider_judge_facts(decider, container, &news);
    if (is_new) {
        decider_hold_apply(decider, container);
    }
    return is_strange;
}

bool decider_facts_beat(struct decider *decider, const struct heartbeat *beat)
{
    bool is_agents = strcmp(beat->source, "agent") == 0 && beat->host[0] && beat->container[0];
    return is_agents ? take_agents_beat(decider, beat) : take_services_beat(decider, beat);
}

/* ---- inventories ---- */

static void take_entry(struct decider *decider, struct host *host, const struct registration_entry *entry)
{
    const struct heartbeat *beat = &entry->beat;
    if (!beat->container[0]) {
        return;
    }
    struct container *container = liveness_find(&decider->liveness, beat->container);
    struct container *renamed = container ? NULL : liveness_find_id(host, beat->container_id);
    if (renamed && is_old_word(renamed, host, beat, false)) {
        renamed->round = host->round; /* by its name of before */
        return;
    }
    if (renamed) {
        container = rename_container(decider, renamed, beat->container);
    } else if (!container) {
        container = add_container(decider, beat->container);
    }
    if (!decider_names_claim(decider, container, host, is_alive_word(beat))) {
        return;
    }
    container->round = host->round;
    bool was_app_bound = liveness_is_app_bound(container);
    liveness_set_terms(container, &entry->spec);
    bool is_unheard = !was_app_bound && liveness_is_app_bound(container) && container->app_at.ms == 0;
    if (is_unheard && container->policy.state == STATE_UP) {
        decider_step_kind(decider, container,
                          EVENT_THAW); /* well by its agent's word, which does not count */
    }
    liveness_set_edges(container, &entry->spec);
    take_agents_word(decider, container, host, beat, false);
}

/* Those that two inventories in a row left out are gone. */
static void sweep(struct decider *decider, struct host *host)
{
    struct container *next = NULL;
    host->has_unlisted = false;
    for (struct container *each = host->containers; each; each = next) {
        next = each->host_next;
        if (host->round - each->round >= 2) {
            decider_step_kind(decider, each, EVENT_GONE);
        } else if (each->round != host->round) {
            host->has_unlisted = true;
            decider_step_rearm(decider, each);
        }
    }
}

/* The last inventory still stands: what it left out is left out for the second time. */
static void sweep_unlisted(struct decider *decider, struct host *host)
{
    struct container *next = NULL;
    for (struct container *each = host->has_unlisted ? host->containers : NULL; each; each = next) {
        next = each->host_next;
        if (!liveness_is_listed(each)) {
            decider_step_kind(decider, each, EVENT_GONE);
        }
    }
    host->has_unlisted = false;
}

void decider_facts_registration(struct decider *decider, const struct registration *registration,
                                enum path path)
{
    struct host *host = decider_hosts_need(decider, registration->host);
    if (!decider_hosts_take_agent(host, registration->agent, registration)) {
        return;
    }
    decider_hosts_hear(decider, host, path);
    bool is_first = host->registered_at.ms == 0;
    bool is_copy = !is_first && registration->seq == host->seq && registration->change == host->change;
    if (is_copy || registration->change < host->change) {
        return; /* the other path was quicker */
    }
    host->change = registration->change;
    host->seq = registration->seq;
    host->registered_at = decider->now;
    if (!host->is_engine_up && registration->is_engine_up) {
        host->resumed_at = decider->now;
    }
    host->is_engine_up = registration->is_engine_up;
    if (!host->is_engine_up) {
        return; /* its entries are what it last knew, and so do we */
    }
    decider_input_heard(decider, host, PATH_N);
    host->vouched_at = decider->now;
    host->round++;
    host->has_outdone = host->is_stale = false;
    if (is_first) {
        for (struct container *each = host->containers; each; each = each->host_next) {
            each->round = host->round - 1;
        }
    }
    host->is_doubted &= path != PATH_RPC;
    for (size_t i = 0; i < registration->count; i++) {
        take_entry(decider, host, &registration->entries[i]);
    }
    if (path == PATH_RPC) {
        host->denied_since = !host->is_doubted            ? (struct mono){0}
                             : host->denied_since.ms == 0 ? decider->now
                                                          : host->denied_since;
    }
    sweep(decider, host);
    decider_edges_want(decider, host);
}

/* Its agent vouches for what it said of it before: as good as a beat, for one that no beat has reached since.
 */
static void vouch(struct decider *decider, struct host *host)
{
    const struct alert_totals *totals = &decider->totals;
    bool is_any_waiting = totals->starting + totals->unhealthy + totals->missing > 0;
    struct container *next = NULL;
    for (struct container *each = is_any_waiting ? host->containers : NULL; each; each = next) {
        next = each->host_next;
        enum policy_state state = each->policy.state;
        bool is_waiting = state == STATE_STARTING || state == STATE_SUSPECT || state == STATE_FAILED;
        bool is_well = is_waiting && each->state == CONTAINER_RUNNING && !liveness_is_app_beating(each);
        bool is_dead = state == STATE_STARTING && liveness_is_dead_state(each->state); /* as it was left */
        if (is_well || is_dead) {
            decider_judge_again(decider, each);
        }
    }
}

bool decider_facts_unchanged(struct decider *decider, const char *host_name, const char *agent,
                             uint64_t change, enum path path)
{
    struct host *host = liveness_find_host(&decider->liveness, host_name);
    if (!host || host->registered_at.ms == 0 || strcmp(host->agent, agent) != 0 || host->change != change ||
        host->is_stale || (host->is_doubted && path == PATH_RPC)) {
        return false;
    }
    decider_hosts_hear(decider, host, path);
    if (host->is_engine_up) {
        decider_input_heard(decider, host, PATH_N);
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
        if (policy->state == STATE_UP && liveness_is_app_beating(each)) {
            each->policy.healthy_since = decider->now; /* whether it was well meanwhile, nobody knows */
        }
    }
}
