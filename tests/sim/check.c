/*
 * The 30 invariants of policy.md, section 8, against the truth. Each check names its number; what cannot be
 * judged (a path was cut, the world changed a moment ago) is not counted.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/core/decider.h"
#include "tests/sim/check.h"
#include "tests/sim/sim.h"

static const int64_t CALM_MS = 120000; /* nothing was disturbed for so long */

struct invariant invariants[INVARIANTS + 1] = {
    {0, "", "", 0},
    {1, "No command targets a denied container, ourselves or our Redis", "at each command sent and each act",
     0},
    {2, "Every target is allowed when sent and again at the agent", "at each command sent and each act", 0},
    {3, "Attempts in any cooldown period <= MAX", "sliding window over sent commands, by container id", 0},
    {4, "Backoff from completion; nothing inside a cooldown",
     "at each command: time since Docker acted, cooldown told", 0},
    {5, "Disabled or MAX = 0: no commands", "at each command; each failure in such a run", 0},
    {6, "attempt_count falls only for a reason, given back once", "at each stored or forgotten state", 0},
    {7, "The attempt is stored before the command leaves",
     "at each command: Redis' key or the journal on disk", 0},
    {8, "One command in flight per container; caps hold", "at each command", 0},
    {9, "One id, at most one change; stale ones none", "at each act of Docker for us", 0},
    {10, "docker stop: no start until an operator says so", "at each act", 0},
    {11, "docker kill leads to an attempt in time", "deadline after each kill that nothing else disturbs", 0},
    {12, "Our own stops, shutdowns and daemon restarts are no operator's", "at each class an agent publishes",
     0},
    {13, "Removed, recreated, renamed: no command, no alert", "at each command and failure alert", 0},
    {14, "starting, stopping, degraded alone cause no command",
     "at each command: was the container bad lately?", 0},
    {15, "Redis outages of any kind restart nothing", "as 14, after a fault of Redis", 0},
    {16, "Lost agents: no commands there, one alert an episode", "at each command and AGENT_LOST", 0},
    {17, "Controller restart or failover with all healthy: no commands; two leaders never both act",
     "as 14, after a controller starts or begins to lead; at each act: no higher epoch was heard before it "
     "came",
     0},
    {18, "Clock jumps change nothing; no command for the tilt time",
     "as 14, after a jump or a stall; each command in the half minute after one", 0},
    {19, "Breaker open: at most one canary, no other running container; few never open it; it closes",
     "each command while one is open; each opening: how many were bad; whether it closed", 0},
    {20, "Ancestors first; cascades follow, once, and end",
     "at each command: whether an ancestor is bad, whether it follows the same start again, how long it goes "
     "on",
     0},
    {21, "Holds: no command in scope", "at each command", 0},
    {22, "What still fails is tried again after each cooldown", "deadline after each cooldown", 0},
    {23, "Any bytes affect that container alone",
     "what is known of all others, before and after rubbish is read", 0},
    {24, "JSON round-trips, unknown fields, all time forms", "random documents through the codecs", 0},
    {25, "Alerts: once per transition, closed, not repeated too soon", "at each alert, and at the end", 0},
    {26, "The death of one replica is found", "as 11, for containers that share a service", 0},
    {27, "Beats never slip > 1 s while a stop is in flight",
     "each interval of an agent with a job; deaths of others told within 1 s meanwhile", 0},
    {28, "Same history, same answers", "whole runs twice, hash of every action", 0},
    {29, "Memory stays bounded under churn", "sizes of the tables, every five minutes", 0},
    {30, "Nothing unauthenticated reaches Docker", "forged bytes at the agent's door; acts without a command",
     0},
};

bool inv(int number, bool holds, const char *format, ...)
{
    invariants[number].exercised++;
    bool is_wanted = sim->want == 0 || sim->want == number;
    if (holds || sim->failed != 0 || sim->is_ending || !is_wanted) {
        return holds;
    }
    va_list args;
    va_start(args, format);
    int len = snprintf(sim->failure, sizeof sim->failure, "invariant %d at %.3f s: ", number,
                       (double)sim->now / 1000.0);
    vsnprintf(sim->failure + len, sizeof sim->failure - (size_t)len, format, args);
    va_end(args);
    sim->failed = number;
    sim_say("VIOLATED: %s", sim->failure);
    return false;
}

void inv_met(int number)
{
    invariants[number].exercised++;
}

int64_t check_calm_ms(void)
{
    int64_t known_ms = 2 * sim->policy.heartbeat_ttl_ms + 50000;
    return known_ms > CALM_MS ? known_ms : CALM_MS;
}

int64_t check_silence_ms(void)
{
    return sim->policy.heartbeat_ttl_ms + (sim->policy.miss_threshold + 1) * sim->policy.check_interval_ms +
           10000;
}

bool check_is_calm(int64_t at)
{
    return sim->now - at >= check_calm_ms();
}

int64_t sim_calm_since(int host)
{
    int64_t since = redis_disturbed_at;
    int64_t others[] = {sim->dockers[host]->disturbed_at,
                        sim->link_disturbed_at[host],
                        sim->agent_down_at[host],
                        sim->agent_back_at[host],
                        sim->controller_started_at,
                        sim->stall_until,
                        sim->clock_jumped_at};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        since = others[i] > since ? others[i] : since;
    }
    const struct link_state *link = &sim->links[sim->leader][host];
    bool is_cut_off = link->is_cut || link->is_frozen || link->loss > 0 ||
                      !redis_is_linked(agent_node_process(host)) ||
                      !redis_is_linked(controller_node_process(sim->leader));
    if (is_cut_off || !redis_is_there() || !agent_node_sees(host) || !controller_node_runs(sim->leader)) {
        since = sim->now;
    }
    return since;
}

/* ---- now and then, and at the end ---- */

void check_periodic(void)
{
    check_many_periodic();
    size_t there = 0;
    for (int i = 0; i < sim->box_count; i++) {
        struct box *box = sim->boxes[i];
        there += !box->is_removed || sim->now - box->removed_at < 900000;
        there += box->renamed_at > 0 && box->renamed_at > sim->now - 900000;
        there += box->is_app; /* a service that nobody knows yet */
        if (box->good_since == 0 && !box->is_removed && !check_may_restart(box)) {
            inv_met(sim->policy.is_enabled && sim->policy.max_attempts > 0 ? 1 : 5);
        }
    }
    for (int controller = 0; controller < sim->plan->controllers; controller++) {
        struct decider *decider = controller_node_decider(controller);
        if (decider && sim->now - sim->controller_started_at > 900000) {
            INV(29, decider_count(decider) <= there + 2, "controller %d holds %zu containers of %zu",
                controller, decider_count(decider), there);
        }
    }
    for (int host = 0; host < sim->plan->hosts; host++) {
        if (check_is_calm(sim_calm_since(host))) {
            agent_node_check(host);
        }
    }
}

void check_begin(void)
{
    check_expect_begin();
    check_act_begin();
    check_alert_begin();
    check_many_begin();
}

void check_end(void)
{
    check_many_periodic();
    check_alert_end();
    check_expect_end();
}
