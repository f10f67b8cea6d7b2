#include "controller/core/decider_hosts.h"

#include <string.h>

#include "common/memory.h"
#include "controller/core/decider_attempt.h"
#include "controller/core/decider_breaker.h"
#include "controller/core/decider_input.h"
#include "controller/core/decider_say.h"
#include "controller/core/decider_step.h"

static const int64_t HOSTS_LOOK_MS = 500;
/* An answer over nng is less old than this: what its agent is known to have said before that is not newer. */
static const int64_t ANSWER_AGE_MS = 15000;
static const int64_t HOST_KEPT_MS = 7LL * 24 * 3600 * 1000; /* a lost one; then it is forgotten */

/* What a follower says nobody hears. */
static void note_told(const struct decider *decider, struct host *host, bool is_lost)
{
    host->is_lost_told = decider->is_following ? host->is_lost_told : is_lost;
}

void decider_hosts_say_back(struct decider *decider, struct host *host)
{
    note_told(decider, host, false);
    decider_say_general(decider, ACTION_INFO, "Agent of host %s is back after %.0f s", host->name,
                        (double)mono_diff(decider->now, host->frozen_at) / 1000.0);
    decider_say_host(decider, ALERT_AGENT_RECOVERED, host->name, "heard_again");
}

static void thaw(struct decider *decider, struct host *host)
{
    host->is_frozen = false;
    host->resumed_at = decider->now;
    decider_hosts_say_back(decider, host);
    struct container *next = NULL;
    for (struct container *each = host->containers; each; each = next) {
        next = each->host_next;
        decider_step_kind(decider, each, EVENT_THAW);
        decider_attempt_refresh(decider, each);
    }
}

void decider_hosts_hear(struct decider *decider, struct host *host, enum path path)
{
    decider_input_heard(decider, host, (int)path);
    liveness_hear(&decider->liveness, host, path, decider->now);
    if (host->is_frozen) {
        thaw(decider, host);
    }
}

bool decider_hosts_take_agent(struct host *host, const char *agent, const struct registration *registration)
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

static bool is_long_ago(const struct decider *decider, struct mono at)
{
    return mono_diff(decider->now, at) > ANSWER_AGE_MS;
}

/* By its own signed word, what was believed of this agent for a while was not said by it. */
static bool is_contradicted(const struct decider *decider, const struct host *host,
                            const struct registration *registration)
{
    if (host->denied_since.ms != 0 && is_long_ago(decider, host->denied_since)) {
        return true;
    }
    bool is_newer_known = strcmp(host->agent, registration->agent) == 0
                              ? registration->change < host->change
                              : strcmp(host->previous_agent, registration->agent) == 0 &&
                                    registration->seq <= host->previous_seq;
    return is_newer_known && is_long_ago(decider, host->registered_at);
}

void decider_hosts_meet(struct decider *decider, const struct registration *registration, enum path path)
{
    struct host *host = liveness_find_host(&decider->liveness, registration->host);
    if (!host || path != PATH_RPC || !is_contradicted(decider, host, registration)) {
        return;
    }
    decider_say_general(
        decider, ACTION_WARNING,
        "Agent of host %s denies what stood in Redis in its name: its own word over nng is taken",
        host->name);
    host->previous_agent[0] = '\0';
    host->generation++;
    host->change = host->seq = 0;
}

void decider_hosts_doubt(struct decider *decider, struct host *host)
{
    if (!host->is_doubted) {
        host->is_doubted = true;
        decider_input_note(decider);
    }
}

struct host *decider_hosts_need(struct decider *decider, const char *name)
{
    struct host *host = liveness_find_host(&decider->liveness, name);
    return host ? host : liveness_add_host(&decider->liveness, name, decider->now);
}

void decider_hosts_say_lost(struct decider *decider, struct host *host)
{
    note_told(decider, host, true);
    decider_say_general(
        decider, ACTION_ERROR,
        "Agent of host %s is lost: nothing heard from it for %.0f s; its containers are not judged",
        host->name, (double)mono_diff(decider->now, liveness_heard_at(host)) / 1000.0);
    decider_say_host(decider, ALERT_AGENT_LOST, host->name, "silent");
}

static void freeze(struct decider *decider, struct host *host)
{
    host->is_frozen = true;
    host->frozen_at = decider->now;
    decider_hosts_say_lost(decider, host);
    for (struct container *each = host->containers; each; each = each->host_next) {
        decider_breaker_drop(decider, each);
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

bool decider_hosts_forget(struct decider *decider, const char *name)
{
    struct host *host = liveness_find_host(&decider->liveness, name);
    if (!host || !host->is_frozen) {
        return false;
    }
    decider_say_general(decider, ACTION_INFO, "Host %s is decommissioned and forgotten", name);
    decider_say_host(decider, ALERT_AGENT_RECOVERED, name, "decommissioned");
    forget(decider, host);
    return true;
}

void decider_hosts_due(struct decider *decider)
{
    if (!mono_reached(decider->now, decider->hosts_at)) {
        return;
    }
    int64_t lost_ms = decider->config->agent_lost_ms;
    int64_t look_ms = lost_ms / 4 < HOSTS_LOOK_MS ? lost_ms / 4 + 1 : HOSTS_LOOK_MS;
    decider->hosts_at = next_turn(decider->hosts_at, look_ms, decider->now);
    struct host *next = NULL;
    for (struct host *host = liveness_first_host(&decider->liveness); host; host = next) {
        next = liveness_next_host(host);
        decider_input_host(decider, host);
        struct mono heard = liveness_heard_at(host);
        bool is_deaf = decider->tilt.is_on; /* it may have been us who did not hear */
        if (!is_deaf && !host->is_frozen && heard.ms != 0 && mono_diff(decider->now, heard) >= lost_ms) {
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
