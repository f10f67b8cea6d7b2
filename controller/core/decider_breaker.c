#include "controller/core/decider_breaker.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/memory.h"
#include "controller/core/decider_gates.h"
#include "controller/core/decider_say.h"
#include "controller/core/decider_step.h"
#include "controller/core/dependencies.h"

static const int64_t LOOK_MS = 1000;
static const int64_t COUNT_KEPT_MS = 5000; /* how many are managed changes slowly and costs a walk */

enum { SCOPES = 2 }; /* the fleet, the host */

/* One that the breakers count; on the list while it is recent. */
struct failure {
    struct container *container;
    struct host *host;
    struct mono at;
    bool is_recent;
    bool is_over;            /* it was well since, or somebody started it anew */
    bool is_lasting[SCOPES]; /* grew old in an open breaker */
    struct failure *prev, *next;
};

static struct fuse *fuse_of(struct decider *decider, struct host *host, int scope)
{
    return scope == 0 ? &decider->fuse : &host->fuse;
}

static const struct fuse *fuse_at(const struct decider *decider, const struct host *host, int scope)
{
    return scope == 0 ? &decider->fuse : &host->fuse;
}

/* ---- the list ---- */

static void unlink_failure(struct decider *decider, struct failure *failure)
{
    *(failure->prev ? &failure->prev->next : &decider->first_failure) = failure->next;
    *(failure->next ? &failure->next->prev : &decider->last_failure) = failure->prev;
    failure->prev = NULL;
    failure->next = NULL;
}

static void append_failure(struct decider *decider, struct failure *failure)
{
    failure->prev = decider->last_failure;
    *(failure->prev ? &failure->prev->next : &decider->first_failure) = failure;
    decider->last_failure = failure;
}

static void set_recent(struct decider *decider, struct failure *failure, bool is_recent)
{
    if (failure->is_recent == is_recent) {
        return;
    }
    failure->is_recent = is_recent;
    for (int scope = 0; scope < SCOPES; scope++) {
        fuse_of(decider, failure->host, scope)->breaker.recent += is_recent ? 1 : -1;
    }
    if (is_recent) {
        append_failure(decider, failure);
    } else {
        unlink_failure(decider, failure);
    }
}

static void set_lasting(struct decider *decider, struct failure *failure, int scope, bool is_lasting)
{
    if (failure->is_lasting[scope] != is_lasting) {
        failure->is_lasting[scope] = is_lasting;
        fuse_of(decider, failure->host, scope)->breaker.lasting += is_lasting ? 1 : -1;
    }
}

static void drop_failure(struct decider *decider, struct failure *failure)
{
    set_recent(decider, failure, false);
    for (int scope = 0; scope < SCOPES; scope++) {
        set_lasting(decider, failure, scope, false);
    }
    failure->container->failure = NULL;
    free(failure);
}

static void drop_if_idle(struct decider *decider, struct failure *failure)
{
    if (!failure->is_recent && !failure->is_lasting[0] && !failure->is_lasting[1]) {
        drop_failure(decider, failure);
    }
}

static void expire(struct decider *decider)
{
    while (decider->first_failure &&
           mono_diff(decider->now, decider->first_failure->at) >= BREAKER_WINDOW_MS) {
        struct failure *failure = decider->first_failure;
        set_recent(decider, failure, false);
        for (int scope = 0; scope < SCOPES; scope++) {
            bool is_open = fuse_of(decider, failure->host, scope)->breaker.is_open;
            set_lasting(decider, failure, scope, is_open && !failure->is_over);
        }
        drop_if_idle(decider, failure);
    }
}

/* ---- who counts ---- */

static bool is_managed(const struct decider *decider, const struct container *container)
{
    enum policy_state state = container->policy.state;
    return state != STATE_NONE && state != STATE_HELD && state != STATE_REMOVED && !container->is_held &&
           liveness_is_listed(container) && decider_gates_is_managed(decider, container);
}

static int64_t count_managed(const struct decider *decider, const struct host *host)
{
    int64_t count = 0;
    if (liveness_is_host_live(&decider->liveness, host, decider->now)) {
        for (const struct container *each = host->containers; each; each = each->host_next) {
            count += is_managed(decider, each);
        }
    }
    return count;
}

static void recount(struct decider *decider, struct fuse *fuse, const struct host *host)
{
    if (fuse->counted_at.ms != 0 && mono_diff(decider->now, fuse->counted_at) < COUNT_KEPT_MS) {
        return;
    }
    fuse->counted_at = decider->now;
    fuse->managed = host ? count_managed(decider, host) : 0;
    const struct host *each = host ? NULL : liveness_first_host(&decider->liveness);
    for (; each; each = liveness_next_host(each)) {
        fuse->managed += count_managed(decider, each);
    }
}

/* A shutdown of the daemon, what follows from a parent, and what we may not touch are no failures here. */
static bool is_root(const struct decider *decider, const struct container *container)
{
    const struct policy_memory *policy = &container->policy;
    bool is_shutdown =
        policy->state == STATE_FAILED && policy->cause == CAUSE_DEATH && policy->stop_class == STOP_SHUTDOWN;
    return !is_shutdown && !policy_is_cascade(policy) &&
           liveness_is_host_live(&decider->liveness, container->host, decider->now) &&
           is_managed(decider, container) && !dependencies_has_failed_ancestor(container);
}

/* ---- opening and closing ---- */

static void say(struct decider *decider, struct fuse *fuse, const struct host *host, bool is_open)
{
    fuse->is_told = decider->is_following ? fuse->is_told : is_open; /* a follower says it to nobody */
    struct alert alert;
    alert_init(&alert);
    alert.type = is_open ? ALERT_BREAKER_OPEN : ALERT_BREAKER_CLOSED;
    alert.timestamp = decider->wall;
    memory_set_text(alert.host, sizeof alert.host, host ? host->name : "");
    memory_set_text(alert.reason, sizeof alert.reason, host ? "host" : "fleet");
    if (is_open && fuse->managed == 0) { /* nobody was counted yet */
        memory_set_text(alert.detail, sizeof alert.detail, "it was open before this controller led");
    } else if (is_open) {
        snprintf(alert.detail, sizeof alert.detail, "%lld of %lld containers failed within %d s",
                 (long long)fuse->breaker.recent, (long long)fuse->managed, BREAKER_WINDOW_MS / 1000);
    } else {
        snprintf(alert.detail, sizeof alert.detail, "it was open for %.0f s",
                 (double)mono_diff(decider->now, fuse->breaker.opened_at) / 1000.0);
    }
    decider_say_general(decider, is_open ? ACTION_ERROR : ACTION_INFO, "Breaker of %s%s %s: %s%s",
                        host ? "host " : "the fleet", host ? host->name : "", is_open ? "opened" : "closed",
                        alert.detail, is_open ? "; no running container is restarted" : "");
    decider_say_alert(decider, &alert);
}

static void close_books(struct decider *decider, struct fuse *fuse, const struct host *host)
{
    int scope = host ? 1 : 0;
    fuse->canary = NULL;
    fuse->failed = NULL;
    struct container *next = NULL;
    for (struct container *each = liveness_first(&decider->liveness); each; each = next) {
        next = liveness_next(each);
        if (each->failure && (!host || each->host == host)) {
            set_lasting(decider, each->failure, scope, false);
            drop_if_idle(decider, each->failure);
        }
    }
}

/* True where it closed. */
static bool look(struct decider *decider, struct fuse *fuse, const struct host *host)
{
    const struct breaker_limits limits = {decider->config->breaker_fraction, decider->config->breaker_min};
    if (!fuse->breaker.is_open && fuse->breaker.recent < limits.min) {
        return false;
    }
    recount(decider, fuse, host);
    enum breaker_change change = breaker_look(&fuse->breaker, &limits, fuse->managed, decider->now);
    if (change == BREAKER_AS_IT_WAS) {
        return false;
    }
    say(decider, fuse, host, change == BREAKER_OPENED);
    if (change == BREAKER_CLOSED) {
        close_books(decider, fuse, host);
    }
    return change == BREAKER_CLOSED;
}

/* ---- canaries ---- */

static void end_canary(struct decider *decider, struct container *container, enum canary_fate fate)
{
    for (int scope = 0; scope < SCOPES && container->host; scope++) {
        struct fuse *fuse = fuse_of(decider, container->host, scope);
        if (fuse->canary == container) {
            fuse->canary = NULL;
            fuse->failed = fate == CANARY_FAILED ? container : NULL;
            breaker_end_canary(&fuse->breaker, fate, decider->now);
        }
    }
}

static void note_canary(struct decider *decider, struct container *container, enum policy_event_kind kind)
{
    enum policy_state to = container->policy.state;
    bool is_untried = kind == EVENT_ABORTED || kind == EVENT_UNCHANGED;
    if (to == STATE_HELD || (to == STATE_FAILED && is_untried)) {
        end_canary(decider, container, CANARY_VOID);
    } else if (to == STATE_FAILED || to == STATE_COOLDOWN) {
        end_canary(decider, container, CANARY_FAILED);
    }
}

static bool is_canary_well(const struct decider *decider, const struct fuse *fuse)
{
    const struct policy_memory *policy = fuse->canary ? &fuse->canary->policy : NULL;
    return policy && policy->state == STATE_UP &&
           mono_diff(decider->now, policy->healthy_since) >= BREAKER_HEALTHY_MS;
}

/* ---- failures ---- */

static void count_failure(struct decider *decider, struct container *container)
{
    struct failure *failure = container->failure;
    if (!failure) {
        failure = memory_alloc(sizeof *failure);
        failure->container = container;
        failure->host = container->host;
        container->failure = failure;
    }
    set_recent(decider, failure, false); /* to the end of the list */
    failure->at = decider->now;
    failure->is_over = false;
    set_recent(decider, failure, true);
    decider->breaker_at = mono_min(decider->breaker_at, mono_add(decider->now, LOOK_MS));
    if (!decider->fuse.breaker.is_open) {
        look(decider, &decider->fuse, NULL);
    }
    if (!container->host->fuse.breaker.is_open) {
        look(decider, &container->host->fuse, container->host);
    }
}

/* Those that live in it were no roots: what they suffer from is known now. */
static void uncount_children(struct decider *decider, struct container *parent)
{
    struct edges *edges = parent->host ? LIST_FIRST(&parent->host->dependents) : NULL;
    for (; edges; edges = LIST_NEXT(edges, of_host)) {
        const struct container *each = edges->container;
        if (each->failure && each != parent && dependencies_has_failed_ancestor(each)) {
            drop_failure(decider, each->failure);
        }
    }
}

static void end_failure(struct decider *decider, struct failure *failure)
{
    failure->is_over = true;
    for (int scope = 0; scope < SCOPES; scope++) {
        set_lasting(decider, failure, scope, false);
    }
    drop_if_idle(decider, failure);
}

void decider_breaker_note(struct decider *decider, struct container *container, enum policy_state from,
                          enum policy_event_kind kind)
{
    enum policy_state to = container->policy.state;
    if (from == to) {
        return;
    }
    if (from == STATE_RESTARTING) {
        container->is_granted = false;
    }
    note_canary(decider, container, kind);
    bool is_untried = kind == EVENT_ABORTED || kind == EVENT_UNCHANGED;
    if ((to == STATE_SUSPECT || to == STATE_FAILED || to == STATE_DOWN) && container->host) {
        uncount_children(decider, container);
    }
    bool is_entry = (to == STATE_SUSPECT || to == STATE_FAILED) && !is_untried && container->host;
    if (is_entry && is_root(decider, container)) {
        count_failure(decider, container);
    } else if (to == STATE_HELD && container->failure) {
        drop_failure(decider, container->failure);
    } else if (container->failure && (to == STATE_UP || (to == STATE_STARTING && kind != EVENT_DONE))) {
        end_failure(decider, container->failure);
    }
}

void decider_breaker_drop(struct decider *decider, struct container *container)
{
    end_canary(decider, container, CANARY_VOID);
    for (int scope = 0; scope < SCOPES && container->host; scope++) {
        struct fuse *fuse = fuse_of(decider, container->host, scope);
        fuse->failed = fuse->failed == container ? NULL : fuse->failed;
    }
    container->is_granted = false;
    if (container->failure) {
        drop_failure(decider, container->failure);
    }
}

/* ---- a new lead ---- */

void decider_breaker_forget(struct decider *decider, struct fuse *fuse)
{
    fuse->managed = 0;
    fuse->counted_at = (struct mono){0};
    fuse->breaker.below_since = decider->liveness.settled_at; /* silence counts from then on */
}

void decider_breaker_settle(struct decider *decider, struct host *host, enum led_between between)
{
    struct fuse *fuse = host ? &host->fuse : &decider->fuse;
    bool was_told = fuse->is_told && between == LED_BY_NOBODY;
    fuse->is_told = was_told;
    if (fuse->breaker.is_open != was_told) {
        say(decider, fuse, host, fuse->breaker.is_open);
    }
}

/* ---- what an open one lets through ---- */

static enum breaker_turn turn_of(const struct container *container)
{
    return liveness_is_dead_state(container->state) ? BREAKER_START : BREAKER_CANARY;
}

struct mono decider_breaker_turn_at(const struct decider *decider, const struct container *container)
{
    struct mono at = {0};
    for (int scope = 0; scope < SCOPES && container->host; scope++) {
        const struct fuse *fuse = fuse_at(decider, container->host, scope);
        struct mono turn = breaker_turn_at(&fuse->breaker, turn_of(container));
        if (fuse->failed == container && turn_of(container) == BREAKER_CANARY && turn.ms != MONO_NEVER.ms) {
            turn = mono_add(turn, decider->config->check_interval_ms); /* all others look within that time */
        }
        at = turn.ms > at.ms ? turn : at;
    }
    return at;
}

bool decider_breaker_blocks(const struct decider *decider, const struct container *container)
{
    return !container->is_granted && !mono_reached(decider->now, decider_breaker_turn_at(decider, container));
}

void decider_breaker_take(struct decider *decider, struct container *container)
{
    enum breaker_turn turn = turn_of(container);
    /* A start is asked for twice, when it is decided and when it leaves: the next one counts from the latter.
     */
    bool is_done = container->is_granted && turn == BREAKER_CANARY;
    for (int scope = 0; scope < SCOPES && container->host && !is_done; scope++) {
        struct fuse *fuse = fuse_of(decider, container->host, scope);
        if (!fuse->breaker.is_open) {
            continue;
        }
        breaker_take_turn(&fuse->breaker, turn, decider->now);
        container->is_granted = true;
        if (turn == BREAKER_CANARY) {
            fuse->canary = container;
        }
    }
}

/* ---- time ---- */

/* True where those that wait may look again. */
static bool tend(struct decider *decider, struct fuse *fuse, const struct host *host)
{
    if (look(decider, fuse, host)) {
        return true;
    }
    if (!is_canary_well(decider, fuse)) {
        return false;
    }
    fuse->canary = NULL;
    breaker_end_canary(&fuse->breaker, CANARY_HEALTHY, decider->now);
    return true;
}

bool decider_breaker_due(struct decider *decider)
{
    if (!mono_reached(decider->now, decider->breaker_at)) {
        return false;
    }
    expire(decider);
    bool is_free = tend(decider, &decider->fuse, NULL);
    bool is_any_open = decider->fuse.breaker.is_open;
    for (struct host *host = liveness_first_host(&decider->liveness); host; host = liveness_next_host(host)) {
        is_free |= tend(decider, &host->fuse, host);
        is_any_open |= host->fuse.breaker.is_open;
    }
    bool is_busy = is_any_open || decider->first_failure;
    decider->breaker_at = is_busy ? next_turn(decider->breaker_at, LOOK_MS, decider->now) : MONO_NEVER;
    if (is_free) {
        decider_step_wake_failed(decider);
    }
    return is_any_open;
}
