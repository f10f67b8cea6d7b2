/* What a run consists of: drawn from a seed, or read from a scenario file. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "tests/sim/sim.h"

static const int64_t START_MS = 1000000;

static void set_defaults(struct plan *plan)
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
        policy->cooldown_ms = 120000;
        policy->stable_ms = 180000;
    }
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

static struct fault draw_fault(struct plan *plan, struct dice *dice, int64_t at)
{
    struct fault fault = {.at = at,
                          .kind = (enum fault_kind)dice_below(dice, FAULT_N),
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

void plan_from_seed(struct plan *plan, uint64_t seed, int64_t hours, int hosts, int boxes)
{
    set_defaults(plan);
    plan->seed = seed;
    struct dice dice = dice_of(seed, 1);
    plan->hosts = hosts > 0 ? hosts : (int)dice_range(&dice, 1, 3);
    plan->boxes = boxes > 0 ? boxes : (int)dice_range(&dice, 3, 14);
    plan->duration_ms = hours * 3600000;
    plan->is_noisy_quiet = boxes > 0;
    plan->is_json = boxes == 0 && dice_hits(&dice, 120);
    plan->is_all_beats = boxes == 0 && dice_hits(&dice, 300);
    plan->version = dice_hits(&dice, 500) ? ENGINE_26 : ENGINE_20;
    plan->is_live_restore = dice_hits(&dice, 400);
    draw_policy(plan, &dice);
    /* Bursts of trouble, and hours of peace between them. */
    size_t count = (size_t)dice_range(&dice, 2, boxes > 0 ? 2 + hours / 4 : 4 + 3 * hours);
    plan->faults = memory_alloc(count * sizeof *plan->faults);
    int64_t burst = 0;
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || dice_hits(&dice, 400)) {
            burst = dice_range(&dice, 300000, plan->duration_ms - 600000);
        }
        plan->faults[plan->fault_count++] = draw_fault(plan, &dice, burst + dice_below(&dice, 60000));
    }
    qsort(plan->faults, count, sizeof *plan->faults, by_time);
    snprintf(plan->title, sizeof plan->title, "seed %llu", (unsigned long long)seed);
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

/* ---- from a file ---- */

/* "90", "90s", "5m", "2h" -> ms; -1: no time. */
static int64_t time_of(const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || value < 0) {
        return -1;
    }
    switch (*end) {
    case 'h':
        return (int64_t)(value * 3600000);
    case 'm':
        return end[1] == 's' ? (int64_t)value : (int64_t)(value * 60000);
    case 's':
    case '\0':
        return (int64_t)(value * 1000);
    default:
        return -1;
    }
}

static int box_of(const struct plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->named_count; i++) {
        if (strcmp(plan->named[i].name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static int set_config(struct plan *plan, const char *name, const char *value)
{
    struct policy_config *policy = &plan->policy;
    int64_t number = atoll(value), ms = time_of(value);
    if (strcmp(name, "hosts") == 0) {
        plan->hosts = (int)number;
    } else if (strcmp(name, "hours") == 0) {
        plan->duration_ms = number * 3600000;
    } else if (strcmp(name, "engine") == 0) {
        plan->version = number >= 26 ? ENGINE_26 : ENGINE_20;
    } else if (strcmp(name, "live_restore") == 0) {
        plan->is_live_restore = number != 0;
    } else if (strcmp(name, "enabled") == 0) {
        policy->is_enabled = number != 0;
    } else if (strcmp(name, "max_attempts") == 0) {
        policy->max_attempts = number;
    } else if (strcmp(name, "max_per_host") == 0) {
        policy->max_per_host = number;
    } else if (strcmp(name, "max_fleet") == 0) {
        policy->max_fleet = number;
    } else if (strcmp(name, "cooldown") == 0) {
        policy->cooldown_ms = ms;
    } else if (strcmp(name, "stable") == 0) {
        policy->stable_ms = ms;
    } else if (strcmp(name, "fast_check") == 0) {
        policy->fast_check_ms = ms;
    } else if (strcmp(name, "allow") == 0) {
        memory_set_text(plan->allow, sizeof plan->allow, value);
    } else if (strcmp(name, "deny") == 0) {
        memory_set_text(plan->deny, sizeof plan->deny, value);
    } else {
        return -1;
    }
    return 0;
}

static int add_box(struct plan *plan, char **words, size_t count)
{
    if (plan->named_count == 64 || count < 2) {
        return -1;
    }
    struct box_plan *box = &plan->named[plan->named_count];
    *box = (struct box_plan){.boot_ms = 1000, .term_ms = 100, .policy = DOCKER_POLICY_NO, .parent = -1};
    memory_set_text(box->name, sizeof box->name, words[1]);
    for (size_t i = 2; i < count; i++) {
        char *value = strchr(words[i], '=');
        if (value) {
            *value++ = '\0';
        }
        if (strcmp(words[i], "host") == 0 && value) {
            box->host = atoi(value);
        } else if (strcmp(words[i], "boot") == 0 && value) {
            box->boot_ms = time_of(value);
        } else if (strcmp(words[i], "ignores_term") == 0) {
            box->term_ms = -1;
        } else if (strcmp(words[i], "app") == 0) {
            box->is_app = true;
        } else if (strcmp(words[i], "healthcheck") == 0) {
            box->has_healthcheck = true;
        } else if (strcmp(words[i], "redis") == 0) {
            box->is_redis = true;
        } else if (strcmp(words[i], "defib") == 0) {
            box->is_defib = true;
        } else if (strcmp(words[i], "policy") == 0 && value) {
            box->policy = docker_policy_parse(value);
        } else if (strcmp(words[i], "service") == 0 && value) {
            memory_set_text(box->service, sizeof box->service, value);
        } else if (strcmp(words[i], "network_of") == 0 && value) {
            box->parent = box_of(plan, value);
        } else {
            return -1;
        }
    }
    plan->named_count++;
    return 0;
}

/* at TIME FAULT [box|host=N|controller] [for=TIME] [a=N] [b=N] */
static int add_fault(struct plan *plan, char **words, size_t count)
{
    if (count < 3) {
        return -1;
    }
    struct fault fault = {.at = time_of(words[1]), .kind = FAULT_N, .box = -1};
    for (int kind = 0; kind < FAULT_N; kind++) {
        if (strcmp(words[2], fault_name((enum fault_kind)kind)) == 0) {
            fault.kind = (enum fault_kind)kind;
        }
    }
    if (fault.at < 0 || fault.kind == FAULT_N) {
        return -1;
    }
    for (size_t i = 3; i < count; i++) {
        if (strncmp(words[i], "host=", 5) == 0) {
            fault.host = atoi(words[i] + 5);
        } else if (strncmp(words[i], "for=", 4) == 0) {
            fault.a = time_of(words[i] + 4);
        } else if (strncmp(words[i], "a=", 2) == 0) {
            fault.a = atoll(words[i] + 2);
        } else if (strncmp(words[i], "b=", 2) == 0) {
            fault.b = atoll(words[i] + 2);
        } else if ((fault.box = box_of(plan, words[i])) >= 0) {
            fault.host = plan->named[fault.box].host;
        } else {
            return -1;
        }
    }
    plan->faults = memory_grow(plan->faults, plan->fault_count + 1, sizeof *plan->faults);
    plan->faults[plan->fault_count++] = fault;
    return 0;
}

/* never|expect send|act|alert NAME|* [WORD] [from=TIME] [to=TIME] [count=N|min=N|max=N] */
static int add_expectation(struct plan *plan, char **words, size_t count)
{
    if (count < 3 || plan->expectation_count == 64) {
        return -1;
    }
    struct expectation *each = &plan->expectations[plan->expectation_count++];
    *each = (struct expectation){
        .is_never = strcmp(words[0], "never") == 0, .from = 0, .to = INT64_MAX, .min = 1, .max = 1000000};
    memory_set_text(each->what, sizeof each->what, words[1]);
    memory_set_text(each->name, sizeof each->name, words[2]);
    for (size_t i = 3; i < count; i++) {
        if (strncmp(words[i], "from=", 5) == 0) {
            each->from = START_MS + time_of(words[i] + 5);
        } else if (strncmp(words[i], "to=", 3) == 0) {
            each->to = START_MS + time_of(words[i] + 3);
        } else if (strncmp(words[i], "count=", 6) == 0) {
            each->min = each->max = atoi(words[i] + 6);
        } else if (strncmp(words[i], "min=", 4) == 0) {
            each->min = atoi(words[i] + 4);
        } else if (strncmp(words[i], "max=", 4) == 0) {
            each->max = atoi(words[i] + 4);
        } else {
            memory_set_text(each->word, sizeof each->word, words[i]);
        }
    }
    return 0;
}

static int read_line(struct plan *plan, char *line)
{
    char *words[16], *save = NULL;
    size_t count = 0;
    line[strcspn(line, "#\n")] = '\0';
    for (char *word = strtok_r(line, " \t", &save); word && count < 16; word = strtok_r(NULL, " \t", &save)) {
        words[count++] = word;
    }
    if (count == 0) {
        return 0;
    }
    if (strcmp(words[0], "config") == 0 && count == 3) {
        return set_config(plan, words[1], words[2]);
    }
    if (strcmp(words[0], "box") == 0) {
        return add_box(plan, words, count);
    }
    if (strcmp(words[0], "at") == 0) {
        return add_fault(plan, words, count);
    }
    bool is_expected = strcmp(words[0], "expect") == 0 || strcmp(words[0], "never") == 0;
    return is_expected ? add_expectation(plan, words, count) : -1;
}

int plan_from_file(struct plan *plan, const char *path)
{
    set_defaults(plan);
    plan->is_scenario = true;
    plan->seed = 1;
    memory_set_text(plan->allow, sizeof plan->allow, "*");
    memory_set_text(plan->deny, sizeof plan->deny, "");
    const char *name = strrchr(path, '/');
    memory_set_text(plan->title, sizeof plan->title, name ? name + 1 : path);
    FILE *file = fopen(path, "re");
    if (!file) {
        fprintf(stderr, "%s cannot be read\n", path);
        return -1;
    }
    char line[512];
    int number = 0, result = 0;
    while (result == 0 && fgets(line, sizeof line, file)) {
        char copy[512];
        memory_set_text(copy, sizeof copy, line);
        number++;
        result = read_line(plan, line);
        if (result != 0) {
            fprintf(stderr, "%s:%d: cannot be understood: %s", path, number, copy);
        }
    }
    fclose(file);
    plan->boxes = (int)plan->named_count;
    return result;
}
