#include "agent/core/container_entry.h"

#include <string.h>

#include "common/memory.h"

bool container_entry_is_down(const struct container_entry *entry)
{
    enum container_state state = entry->pub.state;
    return state == CONTAINER_EXITED || state == CONTAINER_DEAD || state == CONTAINER_RESTARTING;
}

void container_entry_disturb(struct container_entry *entry, bool is_wanted)
{
    if (entry->need == INSPECT_ASKED || entry->need == INSPECT_STALE) {
        entry->need = INSPECT_STALE;
    } else if (is_wanted) {
        entry->need = INSPECT_WANTED;
    }
}

/* ---- events ---- */

/* Docker's own policy acts on this death, unless an API kill or stop cancelled it. The inspect that follows
 * has the last word. */
static bool will_docker_restart(const struct container_entry *entry)
{
    const struct container *pub = &entry->pub;
    if (stop_cause_has_api_kill(&entry->evidence)) {
        return false;
    }
    switch (pub->spec.docker_policy) {
    case DOCKER_POLICY_ALWAYS:
    case DOCKER_POLICY_UNLESS_STOPPED:
        return true;
    case DOCKER_POLICY_ON_FAILURE:
        return pub->exit_code != 0 &&
               (pub->spec.docker_policy_max == 0 || pub->restart_count < pub->spec.docker_policy_max);
    case DOCKER_POLICY_NO:
    case DOCKER_POLICY_UNKNOWN:
    case DOCKER_POLICY_N:
        break;
    }
    return false;
}

/* What is dead can neither die nor be killed: a `start` in between was lost. */
static void note_lost_start(struct container_entry *entry)
{
    if (entry->evidence.has_died && !entry->evidence.is_blind) {
        stop_cause_started(&entry->evidence);
    }
}

static void on_die(struct container_entry *entry, const struct engine_event *event, struct mono now)
{
    note_lost_start(entry);
    stop_cause_die(&entry->evidence, now);
    entry->evidence.is_own |= !mono_reached(now, entry->own_until);
    container_entry_disturb(entry, true);
    if (entry->is_start_pending || !entry->pub.is_inspected) {
        return; /* of an incarnation that no inspect has told yet */
    }
    entry->pub.state = CONTAINER_EXITED;
    entry->pub.finished_ns = event->time_ns;
    entry->pub.pid = 0;
    entry->pub.has_exit_code = event->has_exit_code;
    entry->pub.exit_code = event->exit_code;
    entry->pub.is_docker_restarting = will_docker_restart(entry);
}

static void on_start(struct container_entry *entry)
{
    stop_cause_started(&entry->evidence);
    entry->own_until = (struct mono){0};
    entry->is_start_pending = true;
    entry->wake_at = MONO_NEVER;
    container_entry_disturb(entry, true);
}

static void on_stop(struct container_entry *entry, enum container_stopper stopper, struct mono now)
{
    stop_cause_stop(&entry->evidence, now);
    entry->evidence.is_own |= !mono_reached(now, entry->own_until);
    entry->evidence.is_daemon_gone |= stopper == CONTAINER_STOPPER_DAEMON;
    entry->evidence.is_doubtful |= stopper == CONTAINER_STOPPER_UNKNOWN;
    entry->pub.is_docker_restarting = false;
    container_entry_disturb(entry, false);
}

static void set_state(struct container_entry *entry, enum container_state state)
{
    if (!entry->is_start_pending && !container_entry_is_down(entry)) {
        entry->pub.state = state;
    }
    container_entry_disturb(entry, false);
}

static void on_health(struct container_entry *entry, enum container_health health)
{
    if (!entry->is_start_pending && !container_entry_is_down(entry)) {
        entry->pub.health = health;
    }
    container_entry_disturb(entry, health == HEALTH_UNHEALTHY); /* for what the check said */
}

/* Never dropped by its time: order of arrival is the truth, and an inspect follows. A wall clock that was set
 * back would hide every stop until it has caught up with the last start. */
void container_entry_event(struct container_entry *entry, const struct engine_event *event,
                           enum container_stopper stopper, struct mono now)
{
    switch (event->action) {
    case ENGINE_ACTION_KILL:
        note_lost_start(entry);
        stop_cause_kill(&entry->evidence, event->signal, now);
        break;
    case ENGINE_ACTION_DIE:
        on_die(entry, event, now);
        break;
    case ENGINE_ACTION_STOP:
        on_stop(entry, stopper, now);
        break;
    case ENGINE_ACTION_OOM:
        stop_cause_oom(&entry->evidence, now);
        break;
    case ENGINE_ACTION_START:
        on_start(entry);
        break;
    case ENGINE_ACTION_PAUSE:
        set_state(entry, CONTAINER_PAUSED);
        break;
    case ENGINE_ACTION_UNPAUSE:
        set_state(entry, CONTAINER_RUNNING);
        break;
    case ENGINE_ACTION_HEALTH:
        on_health(entry, event->health);
        break;
    case ENGINE_ACTION_CREATE:
    case ENGINE_ACTION_RENAME:
    case ENGINE_ACTION_UPDATE:
        container_entry_disturb(entry, true);
        break;
    case ENGINE_ACTION_RESTART:
    case ENGINE_ACTION_DESTROY:
    case ENGINE_ACTION_OTHER:
        break;
    }
}

/* ---- inspect ---- */

static void copy_facts(struct container *pub, const struct engine_container *facts)
{
    /* One whose start failed is left as `created`; it died all the same, and a start may mend it. */
    bool is_failed_start = facts->state == CONTAINER_CREATED && facts->error[0] != '\0';
    pub->state = is_failed_start ? CONTAINER_EXITED : facts->state;
    pub->health = facts->health;
    memory_set_text(pub->incarnation, sizeof pub->incarnation, facts->started_at);
    pub->started_ns = facts->started_ns;
    pub->finished_ns = facts->finished_ns;
    pub->pid = facts->pid;
    pub->exit_code = facts->exit_code;
    pub->has_exit_code = is_failed_start || facts->finished_ns != 0;
    pub->oom_killed = facts->oom_killed;
    memory_set_text(pub->error, sizeof pub->error, facts->error);
    pub->restart_count = facts->restart_count;
    pub->is_docker_restarting = facts->state == CONTAINER_RESTARTING;
    pub->engine_stop_timeout_secs = facts->stop_timeout_secs;
    pub->memory_limit_bytes = facts->memory_limit_bytes;
    pub->spec.docker_policy = facts->policy;
    pub->spec.docker_policy_max = facts->policy_max;
}

/* No event told of this death: it happened while nobody looked, or its event is still on its way. */
static void found_dead(struct container_entry *entry, bool is_same_incarnation, struct mono now)
{
    stop_cause_die(&entry->evidence, now);
    entry->evidence.is_blind = true;
    entry->evidence.is_daemon_gone |= entry->is_shutdown_expected && is_same_incarnation;
}

static void found_up(struct container_entry *entry)
{
    /* A stop that comes before its die (Docker 26.1) stays; the rest belongs to what is over. */
    struct stop_evidence *evidence = &entry->evidence;
    evidence->has_died = evidence->is_looked = evidence->is_own = evidence->is_blind = false;
    evidence->is_intended = evidence->is_doubtful = evidence->is_daemon_gone = false;
    entry->pub.has_exit_code = false;
    entry->pub.exit_code = 0;
    entry->pub.oom_killed = false;
}

void container_entry_inspected(struct container_entry *entry, const struct engine_container *facts,
                               struct mono now)
{
    bool was_inspected = entry->pub.is_inspected;
    bool is_same = !was_inspected || strcmp(entry->pub.incarnation, facts->started_at) == 0;
    copy_facts(&entry->pub, facts);
    if (!is_same && !entry->is_start_pending) {
        stop_cause_start_missed(&entry->evidence, container_entry_is_down(entry));
        entry->own_until = (struct mono){0};
    }
    entry->pub.is_inspected = true;
    entry->is_auto_remove = facts->is_auto_remove;
    entry->is_start_pending = false;
    entry->need = INSPECT_NONE;
    if (!container_entry_is_down(entry)) {
        found_up(entry);
    } else {
        if (!entry->evidence.has_died) {
            found_dead(entry, is_same, now);
        }
        stop_cause_looked(&entry->evidence, now);
    }
    entry->is_shutdown_expected = false;
}

/* Our own kill and stop explain nothing about why it is not running now. */
static void drop_own(struct container_entry *entry)
{
    entry->evidence.is_own = false;
    entry->evidence.has_stopped = false;
    entry->evidence.first_signal = entry->evidence.last_signal = 0;
}

void container_entry_restore(struct container_entry *entry, const struct stop_evidence *evidence,
                             struct mono died_at, struct mono now)
{
    entry->evidence = *evidence;
    entry->evidence.first_killed_at = mono_add(died_at, evidence->first_killed_at.ms);
    entry->evidence.killed_at = mono_add(died_at, evidence->killed_at.ms);
    entry->evidence.oomed_at = mono_add(died_at, evidence->oomed_at.ms);
    entry->evidence.died_at = died_at;
    entry->evidence.stopped_at = now;
    stop_cause_looked(&entry->evidence, died_at);
    if (evidence->is_own) {
        drop_own(entry);
    }
}

void container_entry_own_until(struct container_entry *entry, struct mono until)
{
    entry->own_until = until;
}

/* ---- judgement ---- */

static const int64_t ENGINE_STOP_MS = 10000;    /* where nothing else is set */
static const int64_t STOPPING_EXTRA_MS = 30000; /* as the controller waits */

static int64_t stop_patience_ms(const struct container *pub)
{
    int64_t engine_ms =
        pub->engine_stop_timeout_secs >= 0 ? pub->engine_stop_timeout_secs * 1000 : ENGINE_STOP_MS;
    int64_t label_ms = pub->spec.stop_timeout_ms;
    return (label_ms > engine_ms ? label_ms : engine_ms) + STOPPING_EXTRA_MS;
}

/* Our own restart sends the same signal. */
static void judge_running(struct container_entry *entry, struct mono now)
{
    struct mono until = stop_cause_stopping_until(&entry->evidence, stop_patience_ms(&entry->pub));
    entry->pub.stop_class = STOP_NONE;
    entry->pub.is_stopping =
        until.ms != MONO_NEVER.ms && !mono_reached(now, until) && mono_reached(now, entry->own_until);
    if (entry->pub.is_stopping) {
        entry->wake_at = until;
    }
}

void container_entry_judge(struct container_entry *entry, const struct stop_cause_config *config,
                           struct mono daemon_seen_at, struct mono now)
{
    struct container *pub = &entry->pub;
    entry->wake_at = MONO_NEVER;
    if (entry->is_start_pending) {
        return;
    }
    pub->is_stopping = false;
    if (!container_entry_is_down(entry)) {
        judge_running(entry, now);
        return;
    }
    if (entry->evidence.is_own && mono_reached(now, entry->own_until)) {
        drop_own(entry);
    }
    const struct stop_facts facts = {
        .exit_code = pub->exit_code,
        .oom_killed = pub->oom_killed,
        .has_error = pub->error[0] != '\0',
        .is_oneshot = pub->spec.is_oneshot,
        .is_auto_remove = entry->is_auto_remove,
        .daemon_seen_at = daemon_seen_at,
    };
    struct stop_verdict verdict = stop_cause_judge(config, &entry->evidence, &facts, now);
    pub->stop_class = verdict.class;
    entry->wake_at = verdict.class == STOP_OWN ? entry->own_until : verdict.wake_at;
    /* Once it is an operator's stop it stays one, also when the daemon goes away later. */
    entry->evidence.is_intended |= verdict.class == STOP_OPERATOR;
}
