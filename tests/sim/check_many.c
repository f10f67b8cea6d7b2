/* What many suffer at once: breaker and tilt (18, 19), what depends on each other (20). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/core/breaker.h"
#include "controller/core/tilt.h"
#include "tests/sim/check.h"
#include "tests/sim/sim.h"

static const int64_t CLOSED_MS =
    BREAKER_WINDOW_MS + BREAKER_CALM_MS + 30000; /* so long after the last is well */

/* ---- the breaker, as its alerts tell of it ---- */

struct scope {
    bool is_open;
    int64_t opened_at, start_at, canary_at; /* the last of each */
    const struct box *canary, *start;
    int canaries, starts;
};

static struct scope fleet, hosts[HOSTS_MAX];
static int64_t controller_at;

static struct scope *scope_of(const struct alert *alert)
{
    int host = -1;
    if (alert->host[0] == '\0') {
        return &fleet;
    }
    return sscanf(alert->host, "host-%d", &host) == 1 && host >= 0 && host < HOSTS_MAX ? &hosts[host] : NULL;
}

static bool is_in(const struct scope *scope, const struct box *box)
{
    return scope == &fleet || scope == &hosts[box->docker->index];
}

/* It was bad within the breaker's window, as far as anybody could know by now; or nobody can say. */
static bool was_bad(const struct box *box)
{
    int64_t known_ms = BREAKER_WINDOW_MS + check_silence_ms();
    bool is_lately =
        box->good_since == 0 || sim->now - box->bad_at < known_ms || sim->now - box->started_ms < known_ms;
    return is_lately || docker_is_stale(box) || !check_is_calm(sim_calm_since(box->docker->index));
}

static void opened(struct scope *scope)
{
    int bad = 0;
    for (int i = 0; i < sim->box_count; i++) {
        const struct box *box = sim->boxes[i];
        bad += is_in(scope, box) && was_bad(box);
    }
    INV(19, bad >= sim->policy.breaker_min, "the breaker opened although only %d were bad", bad);
    INV(25, !scope->is_open, "the breaker opened twice");
    /* One that takes over tells of what opened while it followed, nobody knows when. */
    bool is_old = sim->now == sim->led_at;
    *scope = (struct scope){.is_open = true, .opened_at = is_old ? sim->now - BREAKER_WAIT_MS : sim->now};
}

/* A new controller begins with closed ones. */
static void begin_with_controller(void)
{
    if (controller_at != sim->controller_started_at) {
        check_many_begin();
    }
}

void check_many_alert(const struct alert *alert)
{
    bool is_open = alert->type == ALERT_BREAKER_OPEN;
    begin_with_controller();
    struct scope *scope = is_open || alert->type == ALERT_BREAKER_CLOSED ? scope_of(alert) : NULL;
    if (scope && is_open) {
        opened(scope);
    } else if (scope) {
        INV(25, scope->is_open, "the breaker closed, but was not open");
        scope->is_open = false;
    }
}

static void check_open(struct scope *scope, const struct box *box, enum command_op op)
{
    if (!scope->is_open || !is_in(scope, box)) {
        return;
    }
    if (op == OP_RESTART) {
        int64_t since = scope->canaries > 0 ? scope->canary_at : scope->opened_at;
        INV(19, sim->now - since >= BREAKER_WAIT_MS, "%s, which runs, is restarted %lld ms after %s",
            box->name, (long long)(sim->now - since),
            scope->canaries > 0 ? "another canary" : "the breaker opened");
        scope->canaries++;
        scope->canary = box;
        scope->canary_at = sim->now;
    } else {
        bool is_earlier = sim->now - scope->opened_at < 1000; /* decided before it opened */
        INV(19, is_earlier || scope->starts == 0 || sim->now - scope->start_at >= BREAKER_START_MS - 1000,
            "%s is started %lld ms after another one, the breaker is open", box->name,
            (long long)(sim->now - scope->start_at));
        scope->starts++;
        scope->start_at = sim->now;
    }
}

/* A canary that was never tried leaves its place to the next. */
void check_many_given_back(const struct box *box)
{
    struct scope *both[] = {&fleet, &hosts[box->docker->index]};
    for (size_t i = 0; i < 2; i++) {
        if (both[i]->canary == box) {
            both[i]->canaries = 0;
            both[i]->opened_at -= BREAKER_WAIT_MS;
        }
    }
}

/* All are well for so long that it must have closed. */
static bool must_be_closed(const struct scope *scope)
{
    for (int i = 0; i < sim->box_count; i++) {
        const struct box *box = sim->boxes[i];
        bool counts = is_in(scope, box) && !box->is_removed && box->is_allowed && !box->is_denied;
        if (counts && (box->good_since == 0 || sim->now - box->good_since < CLOSED_MS + check_silence_ms())) {
            return false;
        }
    }
    return true;
}

static void check_closed(const struct scope *scope, int64_t calm_since)
{
    if (scope->is_open && check_is_calm(calm_since) &&
        sim->now - scope->opened_at > CLOSED_MS + check_silence_ms()) {
        INV(19, !must_be_closed(scope), "the breaker is still open, %lld s after it opened, and all are well",
            (long long)(sim->now - scope->opened_at) / 1000);
    }
}

void check_many_periodic(void)
{
    int64_t since = INT64_MIN;
    for (int host = 0; host < sim->plan->hosts; host++) {
        int64_t calm = sim_calm_since(host);
        since = calm > since ? calm : since;
        check_closed(&hosts[host], calm);
    }
    check_closed(&fleet, since);
}

/* ---- tilt ---- */

static void check_tilt(int controller, const struct box *box)
{
    int64_t since = sim->now - sim->tilted_at;
    /* another one knows nothing of it, nor does another process of it */
    bool is_same = sim->tilted == controller && sim->tilting_at >= sim->controller_started_at;
    if (is_same && since >= 0 && since < 4 * (int64_t)TILT_MS) {
        INV(18, since >= TILT_MS, "%s is commanded %lld ms after the loop stalled or the clock jumped",
            box->name, (long long)since);
    }
}

/* ---- dependencies ---- */

static const struct box *parent_of(const struct box *box)
{
    return box->parent >= 0 ? sim->boxes[box->parent] : NULL;
}

static void check_ancestors(const struct box *box)
{
    bool is_calm = check_is_calm(sim_calm_since(box->docker->index));
    const struct box *each = parent_of(box);
    for (int depth = 0; each && depth < 8; depth++, each = parent_of(each)) {
        if (each->is_removed && each->removed_at < sim->led_at) {
            return; /* one that begins never saw it: who can say what that lived in? */
        }
        int64_t bad_ms = each->good_since != 0 ? 0 : sim->now - each->bad_at;
        bool is_dead = each->state != CONTAINER_RUNNING;
        bool is_known = is_calm && bad_ms > (is_dead ? CHECK_KNOWN_MS : check_silence_ms());
        INV(20, !is_known, "%s is commanded, but %s, in which it lives, is bad for %lld ms", box->name,
            each->name, (long long)bad_ms);
    }
}

/* A cascade follows each start of a parent once; a cycle of them comes to an end. */
static void check_cascade(struct box *box, const struct command *command)
{
    bool is_hard = strcmp(command->reason, "stale_network") == 0;
    if (!is_hard && strcmp(command->reason, "dependency_restarted") != 0) {
        return;
    }
    if (sim->cascades_since != sim->last_fault_at) {
        sim->cascades_since = sim->last_fault_at;
        sim->cascades = 0;
    }
    sim->cascades++;
    INV(20, sim->cascades <= 4 * sim->plan->boxes, "a cascade does not end: %d restarts", sim->cascades);
    const struct box *parent = parent_of(box);
    if (is_hard && parent) {
        bool is_again = box->followed_ns == parent->started_ns && box->acted_at > 0;
        INV(20, !is_again || box->send_count == 0 || box->followed_attempt != command->attempt,
            "%s follows the same start of %s twice", box->name, parent->name);
        box->followed_ns = parent->started_ns;
        box->followed_attempt = command->attempt;
    }
}

void check_many_send(int controller, struct box *box, const struct command *command)
{
    begin_with_controller();
    check_open(&fleet, box, command->op);
    check_open(&hosts[box->docker->index], box, command->op);
    check_tilt(controller, box);
    check_ancestors(box);
    check_cascade(box, command);
}

void check_many_begin(void)
{
    controller_at = sim->controller_started_at;
    fleet = (struct scope){0};
    memset(hosts, 0, sizeof hosts);
}
