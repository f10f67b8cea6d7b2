#include "controller/core/decider_told.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "common/memory.h"
#include "controller/core/decider_breaker.h"
#include "controller/core/decider_hosts.h"
#include "controller/core/decider_say.h"

/* One container's. */
struct told {
    char *name, *host;
    bool is_closing_due, is_recreate_said, is_aside_said;
    enum gate gate;
    struct mono gate_at, broken_at, crash_loop_at, collision_at, line_at;
    uint64_t line;
    UT_hash_handle hh;
};

static void drop(struct decider *decider, struct told *told)
{
    HASH_DEL(decider->told, told);
    free(told->name);
    free(told->host);
    free(told);
}

static struct told *find(const struct decider *decider, const char *name)
{
    struct told *told = NULL;
    HASH_FIND_STR(decider->told, name, told);
    return told;
}

static void keep_container(struct decider *decider, const struct container *container)
{
    const struct policy_memory *policy = &container->policy;
    bool is_any = policy->is_closing_due || container->is_recreate_said ||
                  container->announced_gate != GATE_N || container->crash_loop_said_at.ms != 0 ||
                  container->collision_said_at.ms != 0;
    if (!is_any) {
        return;
    }
    struct told *told = memory_alloc(sizeof *told);
    *told = (struct told){
        .name = memory_copy_text(container->name),
        .host = memory_copy_text(container->host ? container->host->name : ""),
        .is_closing_due = policy->is_closing_due,
        .is_recreate_said = container->is_recreate_said,
        .is_aside_said = container->is_aside_said,
        .gate = container->announced_gate,
        .gate_at = container->announced_at,
        .broken_at = policy->broken_at,
        .crash_loop_at = container->crash_loop_said_at,
        .collision_at = container->collision_said_at,
        .line = container->last_line,
        .line_at = container->last_line_at,
    };
    HASH_ADD_KEYPTR(hh, decider->told, told->name, strlen(told->name), told);
}

void decider_told_keep(struct decider *decider)
{
    const struct container *each = liveness_first(&decider->liveness);
    for (; each; each = liveness_next(each)) {
        struct told *old = find(decider, each->name);
        if (old) {
            drop(decider, old);
        }
        keep_container(decider, each);
    }
}

void decider_told_recall(struct decider *decider, struct container *container)
{
    /* One that follows forgets all containers before it leads again, and this with them. */
    struct told *told = decider->told && !decider->is_following ? find(decider, container->name) : NULL;
    if (!told) {
        return;
    }
    container->policy.is_closing_due = told->is_closing_due;
    container->policy.broken_at = told->broken_at;
    container->is_recreate_said = told->is_recreate_said;
    container->is_aside_said = told->is_aside_said;
    container->announced_gate = told->gate;
    container->announced_at = told->gate_at;
    container->crash_loop_said_at = told->crash_loop_at;
    container->collision_said_at = told->collision_at;
    container->last_line = told->line;
    container->last_line_at = told->line_at;
    drop(decider, told);
}

static void settle_host(struct decider *decider, struct host *host, enum led_between between)
{
    bool was_told = host->is_lost_told && between == LED_BY_NOBODY;
    host->is_lost_told = was_told;
    if (host->is_frozen && !was_told) {
        decider_hosts_say_lost(decider, host);
    } else if (!host->is_frozen && was_told) {
        decider_hosts_say_back(decider, host);
    }
    decider_breaker_settle(decider, host, between);
}

void decider_told_settle(struct decider *decider, enum led_between between)
{
    if (between == LED_BY_OTHERS) {
        decider_told_fini(decider);
    }
    decider_breaker_settle(decider, NULL, between);
    struct host *host = liveness_first_host(&decider->liveness);
    for (; host; host = liveness_next_host(host)) {
        settle_host(decider, host, between);
    }
}

static void close(struct decider *decider, const struct told *told)
{
    struct alert alert;
    alert_init(&alert);
    alert.type = ALERT_SERVICE_RECOVERED;
    alert.timestamp = decider->wall;
    memory_set_text(alert.container, sizeof alert.container, told->name);
    memory_set_text(alert.host, sizeof alert.host, told->host);
    memory_set_text(alert.reason, sizeof alert.reason, "removed");
    alert.recovery_secs = -1.0;
    decider_say_alert(decider, &alert);
}

void decider_told_check(struct decider *decider)
{
    if (!decider->told || decider->is_following ||
        !mono_reached(decider->now, decider->liveness.settled_at)) {
        return;
    }
    struct told *each, *next;
    HASH_ITER (hh, decider->told, each, next) {
        const struct host *host = liveness_find_host(&decider->liveness, each->host);
        if (host && host->registered_at.ms == 0) {
            continue;
        }
        if (each->is_closing_due || each->is_recreate_said || each->is_aside_said) {
            close(decider, each);
        }
        drop(decider, each);
    }
}

void decider_told_fini(struct decider *decider)
{
    struct told *each, *next;
    HASH_ITER (hh, decider->told, each, next) {
        drop(decider, each);
    }
}
