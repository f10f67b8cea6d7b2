/* A plan read from a scenario file; tests/sim/README.md tells what may stand there. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "tests/sim/sim.h"

static enum fault_kind fault_parse(const char *word)
{
    int kind = 0;
    while (kind < FAULT_N && strcmp(word, fault_name((enum fault_kind)kind)) != 0) {
        kind++;
    }
    return (enum fault_kind)kind;
}

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
    } else if (strcmp(name, "controllers") == 0) {
        plan->controllers = number == 2 ? 2 : 1;
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
    *box = (struct box_plan){
        .boot_ms = 1000, .term_ms = 100, .policy = DOCKER_POLICY_NO, .parent = -1, .grace_ms = -1};
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
        } else if (strcmp(words[i], "grace") == 0 && value) {
            box->grace_ms = time_of(value);
        } else if (strcmp(words[i], "silent_boot") == 0) {
            box->is_boot_silent = true;
        } else if (strcmp(words[i], "depends_on") == 0 && value) {
            memory_set_text(box->depends_on, sizeof box->depends_on, value);
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
    struct fault fault = {.at = time_of(words[1]), .kind = fault_parse(words[2]), .box = -1};
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

/* replay storm|calm SEED HOURS HOSTS BOXES: the world of a seed, without its faults */
static int replay(struct plan *plan, char **words, size_t count)
{
    if (count != 6) {
        return -1;
    }
    uint64_t seed = strtoull(words[2], NULL, 10);
    plan_fini(plan);
    if (strcmp(words[1], "calm") == 0) {
        plan_calm(plan, seed, atoll(words[3]), atoi(words[4]), atoi(words[5]));
    } else {
        plan_storm(plan, seed, atoll(words[3]));
    }
    plan->fault_count = 0;
    plan->is_scenario = plan->is_replay = true;
    return 0;
}

/* fault MS KIND HOST BOX A B */
static int add_kept_fault(struct plan *plan, char **words, size_t count)
{
    enum fault_kind kind = count == 7 ? fault_parse(words[2]) : FAULT_N;
    if (kind == FAULT_N) {
        return -1;
    }
    plan->faults = memory_grow(plan->faults, plan->fault_count + 1, sizeof *plan->faults);
    plan->faults[plan->fault_count++] = (struct fault){.at = atoll(words[1]),
                                                       .kind = kind,
                                                       .host = atoi(words[3]),
                                                       .box = atoi(words[4]),
                                                       .a = atoll(words[5]),
                                                       .b = atoll(words[6])};
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
    if (strcmp(words[0], "replay") == 0) {
        return replay(plan, words, count);
    }
    if (strcmp(words[0], "fault") == 0) {
        return add_kept_fault(plan, words, count);
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
    plan_defaults(plan);
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
    if (!plan->is_replay) {
        plan->boxes = (int)plan->named_count;
    }
    return result;
}
