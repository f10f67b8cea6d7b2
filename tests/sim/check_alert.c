/* At each alert. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "controller/core/decider.h"
#include "tests/sim/check.h"
#include "tests/sim/sim.h"

struct told {
    enum alert_type type;
    char name[NAME_BYTES], action[LIMIT_REASON_SIZE];
    int64_t at;
    int controller;
    bool is_by_former; /* another one led already, which knows nothing of it */
};

enum { TOLD_MAX = 1024 };
static struct told told[TOLD_MAX];
static size_t told_count;
static bool is_lost_told[NODES_MAX][HOSTS_MAX];
static int64_t told_controller_at;

static struct told *find_told(const struct alert *alert, const char *name)
{
    for (size_t i = 0; i < told_count; i++) {
        if (told[i].type == alert->type && strcmp(told[i].name, name) == 0 &&
            strcmp(told[i].action, alert->action) == 0) {
            return &told[i];
        }
    }
    struct told *new = told_count < TOLD_MAX ? &told[told_count++] : &told[0];
    *new = (struct told){.type = alert->type, .at = INT64_MIN / 2};
    memory_set_text(new->name, sizeof new->name, name);
    memory_set_text(new->action, sizeof new->action, alert->action);
    return new;
}

static void check_host_alert(int controller, const struct alert *alert)
{
    int host = -1;
    if (sscanf(alert->host, "host-%d", &host) != 1 || host < 0 || host >= sim->plan->hosts) {
        return;
    }
    bool is_lost = alert->type == ALERT_AGENT_LOST;
    bool *state = &is_lost_told[controller][host];
    INV(16, *state != is_lost, "%s of %s twice in one episode", alert_type_name(alert->type), alert->host);
    INV(25, *state != is_lost, "%s of %s without its other half", alert_type_name(alert->type), alert->host);
    *state = is_lost;
}

static bool is_limited(const struct alert *alert)
{
    bool is_gate = strcmp(alert->action, "deny_list") == 0 ||
                   strcmp(alert->action, "not_in_allowlist") == 0 || strcmp(alert->action, "disabled") == 0;
    return (alert->type == ALERT_SERVICE_RESTART_FAILED && is_gate) || alert->type == ALERT_NAME_COLLISION ||
           alert->type == ALERT_CRASH_LOOP;
}

void check_alert(int controller, const struct alert *alert)
{
    if (alert->type == ALERT_HEALTH_SUMMARY) {
        return;
    }
    const char *name = alert->container[0] ? alert->container : alert->host;
    sim_say("ALERT %s %s %s %s %s", alert_type_name(alert->type), name, alert->action, alert->reason,
            alert->detail);
    check_expect("alert", name, alert_type_name(alert->type));
    if (told_controller_at != sim->controller_started_at) { /* who begins to lead knows of nothing told */
        told_controller_at = sim->controller_started_at;
        memset(is_lost_told[sim->leader], 0, sizeof is_lost_told[sim->leader]);
        told_count = 0;
    }
    check_many_alert(alert);
    if (alert->type == ALERT_AGENT_LOST || alert->type == ALERT_AGENT_RECOVERED) {
        check_host_alert(controller, alert);
        return;
    }
    struct told *last = find_told(alert, name);
    struct box *box = sim_box(alert->container);
    bool is_over = box && box->good_since != 0 && box->good_since > last->at; /* another episode */
    is_over |= box && box->reset_at > last->at;
    for (size_t i = 0; i < told_count; i++) { /* or what was told of the last one is closed */
        is_over |= told[i].type == ALERT_SERVICE_RECOVERED && strcmp(told[i].name, name) == 0 &&
                   told[i].at >= last->at;
    }
    /* A lease that was evicted has two holders for as long as the first one does not look. */
    bool is_by_former = controller != sim->leader;
    bool are_two = last->controller != controller && (last->is_by_former || is_by_former);
    if (is_limited(alert)) {
        INV(25,
            sim->now - last->at >= sim->policy.alert_repeat_ms || is_over || are_two ||
                (box && box->good_since == 0 && box->bad_at > last->at),
            "%s %s of %s again after %lld ms", alert_type_name(alert->type), alert->action, name,
            (long long)(sim->now - last->at));
    } else {
        INV(25, sim->now > last->at || are_two, "%s of %s twice at once", alert_type_name(alert->type), name);
    }
    last->at = sim->now;
    last->controller = controller;
    last->is_by_former = is_by_former;
    struct box *target = sim_box_by_id(alert->container_id);
    if (alert->type == ALERT_SERVICE_RESTART_FAILED && target) {
        bool is_gone = target->is_removed && sim->now - target->removed_at > CHECK_KNOWN_MS &&
                       sim_calm_since(target->docker->index) < target->removed_at - check_calm_ms();
        INV(13, !is_gone, "a failure alert about %s, which was removed", target->name);
    }
    if (alert->type == ALERT_SERVICE_RESTART_FAILED && strcmp(alert->action, "max_attempts_exhausted") == 0 &&
        target) {
        target->cooldown_until = sim->now + sim->policy.cooldown_ms;
        target->reset_at = 0;
        target->started_by_operator_at = 0;
        sim_at(target->cooldown_until + 180000, NULL, check_after_cooldown, NULL,
               (void *)(intptr_t)target->index);
    }
}

static void check_closed(struct decider *decider)
{
    for (size_t i = 0; i < told_count; i++) {
        const struct told *opening = &told[i];
        struct box *box = sim_box(opening->name);
        struct decider_view view;
        /* What was removed is over with its removal. */
        bool is_open = opening->type == ALERT_SERVICE_RESTART_FAILED && box && box->good_since != 0 &&
                       opening->at > box->created_at + 1000 && opening->at > box->renamed_at + 1000 &&
                       sim->now - box->good_since > 120000 &&
                       check_is_calm(sim_calm_since(box->docker->index)) &&
                       decider_look(decider, opening->name, &view) && strcmp(view.state, "UP") == 0;
        if (!is_open) {
            continue;
        }
        bool is_closed = false;
        for (size_t j = 0; j < told_count; j++) {
            is_closed |= told[j].type == ALERT_SERVICE_RECOVERED &&
                         strcmp(told[j].name, opening->name) == 0 && told[j].at >= opening->at;
        }
        INV(25, is_closed, "SERVICE_RESTART_FAILED %s of %s was never closed", opening->action,
            opening->name);
    }
}

void check_alert_end(void)
{
    struct decider *decider = controller_node_decider(sim->leader);
    if (decider && told_controller_at == sim->controller_started_at) {
        check_closed(decider);
    }
}

void check_alert_begin(void)
{
    told_count = 0;
    told_controller_at = -1;
    memset(is_lost_told, 0, sizeof is_lost_told);
}
