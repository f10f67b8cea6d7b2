/* What a run consists of: drawn from a seed, or read from a scenario file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "tests/sim/sim.h"

void plan_defaults(struct plan *plan)
{
    *plan = (struct plan){.hosts = 1,
                          .controllers = 1,
                          .duration_ms = 3600000,
                          .beat_interval_ms = 10000,
                          .version = ENGINE_20,
                          .policy = {.is_enabled = true,
                                     .max_attempts = 3,
                                     .backoff_ms = {5000, 15000, 45000},
                                     .backoff_count = 3,
                                     .cooldown_ms = 600000,
                                     .heartbeat_ttl_ms = 35000,
                                     .miss_threshold = 3,
                                     .unhealthy_threshold = 3,
                                     .check_interval_ms = 15000,
                                     .fast_check_ms = 2000,
                                     .start_grace_ms = 60000,
                                     .start_deadline_ms = 300000,
                                     .stop_settle_ms = 2000,
                                     .intent_settle_ms = 15000,
                                     .stable_ms = 600000,
                                     .jitter_pct = 20,
                                     .docker_policy_grace_ms = 90000,
                                     .stop_timeout_ms = 10000,
                                     .max_per_host = 1,
                                     .max_fleet = 3,
                                     .breaker_fraction = 0.4,
                                     .breaker_min = 3,
                                     .agent_lost_ms = 35000,
                                     .settle_ms = 45000,
                                     .alert_repeat_ms = 600000}};
    memory_set_text(plan->allow, sizeof plan->allow, "web-*,api-*,job-*");
    memory_set_text(plan->deny, sizeof plan->deny, "db-*");
}

/* ---- from a seed ---- */

static void draw_policy(struct plan *plan, struct dice *dice)
{
    struct policy_config *policy = &plan->policy;
    policy->max_attempts = dice_hits(dice, 50) ? 0 : dice_range(dice, 1, 4);
    policy->is_enabled = !dice_hits(dice, 30);
    policy->fast_check_ms = dice_hits(dice, 200) ? 0 : 2000;
    policy->miss_threshold = dice_range(dice, 2, 4);
    policy->jitter_pct = dice_hits(dice, 300) ? 0 : 20;
    policy->max_per_host = dice_range(dice, 1, 2);
    policy->max_fleet = dice_range(dice, 1, 4);
    if (dice_hits(dice, 300)) {
        memory_set_text(plan->allow, sizeof plan->allow, "web-*,api-*");
    }
    if (dice_hits(dice, 300)) {
        policy->cooldown_ms = 120000;
        policy->stable_ms = 180000;
    }
}

/* Slower beats than the default, with all that hangs on them. */
static void draw_pace(struct plan *plan, struct dice *dice)
{
    static const int64_t intervals[] = {10000, 20000, 30000, 60000};
    struct policy_config *policy = &plan->policy;
    plan->beat_interval_ms = intervals[dice_below(dice, 4)];
    policy->heartbeat_ttl_ms = plan->beat_interval_ms * 7 / 2;
    policy->agent_lost_ms = policy->heartbeat_ttl_ms;
    policy->check_interval_ms =
        plan->beat_interval_ms * 3 / 2 < 60000 ? plan->beat_interval_ms * 3 / 2 : 60000;
    policy->settle_ms = policy->heartbeat_ttl_ms + plan->beat_interval_ms;
}

static int64_t draw_length(struct dice *dice)
{
    static const int64_t lengths[] = {200, 1500, 4000, 10000, 30000, 40000, 90000, 300000, 900000};
    return lengths[dice_below(dice, 9)] + dice_below(dice, 1000);
}

/* What a and b mean differs. */
static void shape_fault(struct fault *fault, struct dice *dice)
{
    enum fault_kind kind = fault->kind;
    if (kind == FAULT_CRASH) {
        fault->a = dice_hits(dice, 300) ? 126 : 1;
    } else if (kind == FAULT_CRASH_LOOP) {
        fault->a = dice_range(dice, 1, 12);
    } else if (kind == FAULT_SLOW_START) {
        fault->a = dice_range(dice, 1000, 120000);
    } else if (kind == FAULT_HANG) {
        fault->a = dice_hits(dice, 500) ? 0 : fault->a;
    } else if (kind == FAULT_AGENT_CRASH || kind == FAULT_CONTROLLER_CRASH) {
        fault->b = dice_hits(dice, 700) ? dice_range(dice, 1, 60) : 0;
    } else if (kind == FAULT_CLOCK_JUMP) {
        fault->a = (dice_hits(dice, 500) ? 1 : -1) * dice_range(dice, 1000, 86400000);
    } else if (kind == FAULT_REDIS_EVICT) {
        fault->a = dice_range(dice, 1, 20);
    } else if (kind == FAULT_REDIS_SLOW) {
        fault->b = dice_range(dice, 100, 5000);
    } else if (kind == FAULT_GARBAGE || kind == FAULT_FORGED) {
        fault->a = dice_below(dice, 100);
        fault->b = dice_below(dice, 100);
    } else if (kind == FAULT_MASS) {
        fault->a = dice_range(dice, 2, 8);
    }
}

static enum fault_kind draw_kind(const struct plan *plan, struct dice *dice)
{
    /* In a large fleet most of what goes wrong goes wrong with one container. */
    bool is_small = plan->is_calm && !dice_hits(dice, 120);
    return (enum fault_kind)dice_below(dice, is_small ? FAULT_DAEMON_STOP : FAULT_N);
}

static struct fault draw_fault(struct plan *plan, struct dice *dice, int64_t at)
{
    struct fault fault = {.at = at,
                          .kind = draw_kind(plan, dice),
                          .host = (int)dice_below(dice, plan->hosts),
                          .box = (int)dice_below(dice, plan->boxes)};
    fault.a = draw_length(dice);
    fault.b = dice_below(dice, 2);
    shape_fault(&fault, dice);
    return fault;
}

static int by_time(const void *left, const void *right)
{
    const struct fault *one = left, *two = right;
    return one->at < two->at ? -1 : one->at > two->at;
}

/* Bursts of trouble, and hours of peace between them. */
static void draw_faults(struct plan *plan, struct dice *dice, size_t count)
{
    plan->faults = memory_alloc(count * sizeof *plan->faults);
    int64_t burst = 0;
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || dice_hits(dice, plan->is_calm ? 800 : 400)) {
            burst = dice_range(dice, 300000, plan->duration_ms - 600000);
        }
        plan->faults[plan->fault_count++] = draw_fault(plan, dice, burst + dice_below(dice, 60000));
    }
    qsort(plan->faults, count, sizeof *plan->faults, by_time);
}

void plan_add_controller(struct plan *plan, int64_t hours)
{
    static const enum fault_kind kinds[] = {FAULT_CONTROLLER_CRASH, FAULT_STALL, FAULT_CUT_REDIS,
                                            FAULT_CUT_RPC};
    struct dice dice = dice_of(plan->seed, 5);
    plan->controllers = 2;
    size_t count = (size_t)dice_range(&dice, 1, 1 + hours);
    plan->faults = memory_grow(plan->faults, plan->fault_count + count, sizeof *plan->faults);
    for (size_t i = 0; i < count; i++) {
        enum fault_kind kind = kinds[dice_below(&dice, 4)];
        plan->faults[plan->fault_count++] =
            (struct fault){.at = dice_range(&dice, 300000, plan->duration_ms - 600000),
                           .kind = kind,
                           .host = (int)dice_below(&dice, 2), /* which of them */
                           .box = -1,
                           .a = draw_length(&dice),
                           .b = kind == FAULT_CUT_REDIS ? 1
                                : kind == FAULT_CUT_RPC ? 2
                                                        : 0};
    }
    qsort(plan->faults, plan->fault_count, sizeof *plan->faults, by_time);
}

static void begin_plan(struct plan *plan, uint64_t seed, int64_t hours)
{
    plan_defaults(plan);
    plan->seed = seed;
    plan->duration_ms = hours * 3600000;
    snprintf(plan->title, sizeof plan->title, "seed %llu", (unsigned long long)seed);
}

void plan_storm(struct plan *plan, uint64_t seed, int64_t hours)
{
    begin_plan(plan, seed, hours);
    struct dice dice = dice_of(seed, 1);
    plan->hosts = (int)dice_range(&dice, 1, 3);
    plan->boxes = (int)dice_range(&dice, 3, 14);
    plan->is_json = dice_hits(&dice, 120);
    plan->is_all_beats = dice_hits(&dice, 300);
    plan->version = dice_hits(&dice, 500) ? ENGINE_26 : ENGINE_20;
    plan->is_live_restore = dice_hits(&dice, 400);
    draw_policy(plan, &dice);
    if (dice_hits(&dice, 200)) {
        draw_pace(plan, &dice);
    }
    draw_faults(plan, &dice, (size_t)dice_range(&dice, 2, 4 + 3 * hours));
}

void plan_compared(struct plan *plan, uint64_t seed, int64_t hours, const struct peer *peer)
{
    plan_storm(plan, seed, hours);
    plan->is_compared = true;
    plan->peer = peer;
    plan->policy.is_enabled = true;
    plan->policy.max_attempts = 3;
    memory_set_text(plan->allow, sizeof plan->allow, "*");
    memory_set_text(plan->deny, sizeof plan->deny, "");
}

void plan_calm(struct plan *plan, uint64_t seed, int64_t hours, int hosts, int boxes)
{
    begin_plan(plan, seed, hours);
    struct dice dice = dice_of(seed, 1);
    plan->is_calm = true;
    plan->hosts = hosts > 0 ? hosts : 2;
    plan->boxes = boxes > 0 ? boxes : 250 * plan->hosts;
    plan->version = dice_hits(&dice, 500) ? ENGINE_26 : ENGINE_20;
    plan->is_live_restore = dice_hits(&dice, 400);
    draw_policy(plan, &dice);
    draw_pace(plan, &dice);
    /* One container in fifty has a fault each day. */
    int64_t count = (int64_t)plan->boxes * hours / (24 * 50);
    draw_faults(plan, &dice, (size_t)(count > 2 ? count : 2));
}

void plan_fini(struct plan *plan)
{
    free(plan->faults);
    plan->faults = NULL;
}

void plan_print(const struct plan *plan)
{
    printf("# %s: %d hosts, %d containers, Docker %s%s, MAX_RESTART_ATTEMPTS=%lld, FAST_CHECK_SECS=%lld\n",
           plan->title, plan->hosts, plan->boxes, plan->version == ENGINE_26 ? "26.1" : "20.10",
           plan->is_live_restore ? " with live-restore" : "", (long long)plan->policy.max_attempts,
           (long long)plan->policy.fast_check_ms / 1000);
    for (size_t i = 0; i < plan->fault_count; i++) {
        const struct fault *fault = &plan->faults[i];
        printf("  %10.3f  %-16s host %d  box %d  a %lld  b %lld\n", (double)(fault->at + START_MS) / 1000.0,
               fault_name(fault->kind), fault->host, fault->box, (long long)fault->a, (long long)fault->b);
    }
}

/* A scenario of a seed: what it consists of, and the faults that were left. */
void plan_keep(const struct plan *plan, const char *dir)
{
    char path[512];
    if (!dir) {
        return;
    }
    snprintf(path, sizeof path, "%s/seed-%llu.txt", dir, (unsigned long long)plan->seed);
    FILE *file = fopen(path, "we");
    if (!file) {
        fprintf(stderr, "%s cannot be written\n", path);
        return;
    }
    fprintf(file, "# Found by seed %llu.\nreplay %s %llu %lld %d %d\n", (unsigned long long)plan->seed,
            plan->is_calm ? "calm" : "storm", (unsigned long long)plan->seed,
            (long long)(plan->duration_ms / 3600000), plan->hosts, plan->boxes);
    if (plan->controllers == 2) {
        fputs("config controllers 2\n", file);
    }
    for (size_t i = 0; i < plan->fault_count; i++) {
        const struct fault *fault = &plan->faults[i];
        fprintf(file, "fault %lld %s %d %d %lld %lld\n", (long long)fault->at, fault_name(fault->kind),
                fault->host, fault->box, (long long)fault->a, (long long)fault->b);
    }
    fclose(file);
    printf("kept as %s\n", path);
}
