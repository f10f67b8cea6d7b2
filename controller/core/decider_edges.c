#include "controller/core/decider_edges.h"

#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "controller/core/decider_gates.h"
#include "controller/core/decider_say.h"
#include "controller/core/decider_step.h"
#include "controller/core/dependencies.h"

void decider_edges_want(struct decider *decider, struct host *host)
{
    if (host && !LIST_EMPTY(&host->dependents)) {
        host->is_edges_due = true;
        decider->is_edges_due = true;
    }
}

/* ---- a parent that is gone ---- */

static void remember_parent(struct container *child)
{
    const struct container *parent = dependencies_parent(child);
    struct edges *edges = child->edges;
    if (parent && (!edges->parent_name || strcmp(edges->parent_name, parent->name) != 0)) {
        free(edges->parent_name);
        edges->parent_name = memory_copy_text(parent->name);
    }
}

/* Whoever replaced the parent may be about to replace the child too. */
static bool is_gone_for_long(struct decider *decider, struct container *child)
{
    struct mono *gone_at = &child->edges->parent_gone_at;
    if (!dependencies_is_parent_gone(child)) {
        *gone_at = (struct mono){0};
        return false;
    }
    if (gone_at->ms == 0) {
        *gone_at = decider->now;
    }
    return mono_diff(decider->now, *gone_at) >= 2 * decider->config->check_interval_ms;
}

static void say_recreate(struct decider *decider, struct container *child)
{
    if (child->is_recreate_said || child->policy.state == STATE_HELD || !liveness_is_listed(child) ||
        !is_gone_for_long(decider, child)) {
        return;
    }
    child->is_recreate_said = true;
    struct alert alert;
    decider_say_fill_alert(decider, child, ALERT_NEEDS_RECREATE, &alert);
    memory_set_text(alert.reason, sizeof alert.reason, "parent_gone");
    dependencies_recreate_command(child, alert.detail);
    decider_say_line(decider, child, ACTION_ERROR,
                     "Service %s lives in container %.12s, which is gone; only a new one helps: %s",
                     child->name, child->edges->parent_id, alert.detail);
    decider_say_alert(decider, &alert);
}

void decider_edges_note_error(struct decider *decider, struct container *container, const char *detail)
{
    struct edges *edges = container->edges;
    if (edges && edges->parent_id[0] && strstr(detail, "No such container") &&
        strstr(detail, edges->parent_id)) {
        edges->is_parent_missed = true;
        decider_edges_want(decider, container->host);
    }
}

/* ---- a parent that was started anew ---- */

static void follow(struct decider *decider, struct container *child)
{
    enum policy_state state = child->policy.state;
    bool is_watched = state == STATE_STARTING || state == STATE_UP || state == STATE_SUSPECT;
    const struct container *parent = NULL;
    /* Until its host spoke of it again, it may have been started anew itself meanwhile. */
    bool is_heard = child->seen_at.ms >= child->host->resumed_at.ms;
    if (!is_watched || child->is_held || !liveness_is_listed(child) || !is_heard) {
        return;
    }
    enum failure_cause cause = dependencies_stale(child, &parent);
    if (cause == CAUSE_NONE || parent->policy.state != STATE_UP ||
        !decider_gates_is_managed(decider, child)) {
        return;
    }
    memory_set_text(child->edges->stale_for, sizeof child->edges->stale_for, parent->incarnation);
    decider_say_line(decider, child, ACTION_WARNING, "Service %s follows %s, which was started anew: %s",
                     child->name, parent->name, policy_cause_name(cause));
    decider_step_event(decider, child, &(struct policy_event){.kind = EVENT_STALE, .cause = cause});
}

static void look(struct decider *decider, struct host *host)
{
    struct edges *next = NULL;
    for (struct edges *edges = LIST_FIRST(&host->dependents); edges; edges = next) {
        struct container *each = edges->container;
        next = LIST_NEXT(edges, of_host);
        remember_parent(each);
        say_recreate(decider, each);
        if (each->policy.state == STATE_FAILED && each->gate == GATE_ANCESTOR) {
            decider_step_look_again(decider, each);
        }
        follow(decider, each);
    }
}

void decider_edges_due(struct decider *decider)
{
    decider->is_edges_due = false;
    for (struct host *host = liveness_first_host(&decider->liveness); host; host = liveness_next_host(host)) {
        if (host->is_edges_due && !host->is_frozen && host->is_engine_up) {
            host->is_edges_due = false;
            look(decider, host);
        }
    }
}

void decider_edges_note(struct decider *decider, struct container *container, enum policy_state from,
                        enum policy_event_kind kind)
{
    enum policy_state to = container->policy.state;
    bool is_done = from == STATE_RESTARTING && to == STATE_STARTING;
    if (is_done && container->edges && (kind == EVENT_DONE || kind == EVENT_UNCHANGED)) {
        memory_set_text(container->edges->repaired_for, sizeof container->edges->repaired_for,
                        container->edges->stale_for);
    }
    if (to == STATE_UP && from != to) {
        decider_edges_want(decider, container->host);
    }
}
