#include "agent/core/metric_rules.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"

#define PROGRESS "defib.progress"
#define LIMIT    "defib.limit."
#define REQUIRED ".required"

#define PROGRESS_ALLOWED "<metric>:<seconds>, up to 16 with a comma between, seconds from 1 to 86400"
#define LIMIT_ALLOWED    "<max>, <min>..<max>, <min>.. and ..<max> for up to 16 metrics"

/* ---- labels ---- */

struct reading {
    struct metric_rules *out;
    label_complaint complain;
    void *arg;
};

static void complain(const struct reading *reading, const struct label *label, const char *allowed)
{
    if (reading->complain != NULL) {
        char text[384];
        snprintf(text, sizeof text, "label %.100s=%.64s is not used: allowed are %s", label->name,
                 label->value, allowed);
        reading->complain(reading->arg, text);
    }
}

static bool copy_name(char out[METRIC_NAME_SIZE], const char *text, size_t len)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    if (len == 0 || len >= METRIC_NAME_SIZE || strspn(text, allowed) < len) {
        return false;
    }
    memcpy(out, text, len);
    out[len] = '\0';
    return true;
}

static bool read_number(const char *text, size_t len, double *out)
{
    char copy[40], *end;
    if (len == 0 || len >= sizeof copy || strspn(text, "+-.0123456789eE") < len) {
        return false;
    }
    memcpy(copy, text, len);
    copy[len] = '\0';
    *out = strtod(copy, &end);
    return *end == '\0' && end != copy && isfinite(*out);
}

static void add(struct metric_rules *rules, const struct metric_rule *rule)
{
    rules->items = memory_grow(rules->items, rules->count + 1, sizeof *rules->items);
    rules->items[rules->count++] = *rule;
}

static bool read_progress(struct metric_rules *rules, const char *part, size_t len)
{
    struct metric_rule rule = {.is_required = true};
    const char *colon = memchr(part, ':', len);
    double seconds;
    if (colon == NULL || rules->count == METRIC_RULES_MAX ||
        !copy_name(rule.metric, part, (size_t)(colon - part)) ||
        !read_number(colon + 1, len - (size_t)(colon - part) - 1, &seconds) ||
        !(seconds >= 1 && seconds <= 86400)) {
        return false;
    }
    rule.stall_ms = llround(seconds * 1000);
    snprintf(rule.check, sizeof rule.check, "progress_%s", rule.metric);
    add(rules, &rule);
    return true;
}

/* Whole or not at all. */
static void read_progresses(const struct reading *reading, const struct label *label)
{
    size_t before = reading->out->count;
    const char *part = label->value;
    for (;;) {
        size_t len = strcspn(part, ",");
        if (!read_progress(reading->out, part, len)) {
            reading->out->count = before;
            complain(reading, label, PROGRESS_ALLOWED);
            return;
        }
        if (part[len] == '\0') {
            return;
        }
        part += len + 1;
    }
}

static bool read_range(const char *value, struct metric_rule *rule)
{
    const char *dots = strstr(value, "..");
    rule->low = -INFINITY;
    rule->high = INFINITY;
    if (dots == NULL) {
        return read_number(value, strlen(value), &rule->high);
    }
    const char *high = dots + 2;
    bool is_low_well = dots == value || read_number(value, (size_t)(dots - value), &rule->low);
    bool is_high_well = *high == '\0' || read_number(high, strlen(high), &rule->high);
    return is_low_well && is_high_well && rule->low <= rule->high && strcmp(value, "..") != 0;
}

static void read_limit(const struct reading *reading, const struct label *label)
{
    const char *name = label->name + sizeof LIMIT - 1;
    struct metric_rule rule = {.stall_ms = 0};
    if (reading->out->count == METRIC_RULES_MAX || !copy_name(rule.metric, name, strlen(name)) ||
        !read_range(label->value, &rule)) {
        complain(reading, label, LIMIT_ALLOWED);
        return;
    }
    snprintf(rule.check, sizeof rule.check, "limit_%s", rule.metric);
    add(reading->out, &rule);
}

static void read_option(const struct reading *reading, const struct label *label, const char *dot)
{
    const char *name = label->name + sizeof LIMIT - 1;
    struct metric_rule *rule = NULL;
    for (size_t i = 0; i < reading->out->count; i++) {
        struct metric_rule *each = &reading->out->items[i];
        bool is_it = each->stall_ms == 0 && strlen(each->metric) == (size_t)(dot - name) &&
                     strncmp(each->metric, name, (size_t)(dot - name)) == 0;
        rule = is_it ? each : rule;
    }
    bool is_true = strcmp(label->value, "true") == 0;
    if (strcmp(dot, REQUIRED) != 0) {
        complain(reading, label, REQUIRED " alone behind " LIMIT "<metric>");
    } else if (!is_true && strcmp(label->value, "false") != 0) {
        complain(reading, label, "true and false");
    } else if (rule == NULL) {
        complain(reading, label, "options of a limit that is there and can be used");
    } else {
        rule->is_required = is_true;
    }
}

void metric_rules_read(const struct label_list *labels, struct metric_rules *out,
                       label_complaint on_complaint, void *arg)
{
    *out = (struct metric_rules){0};
    const struct reading reading = {out, on_complaint, arg};
    for (size_t i = 0; i < labels->count; i++) {
        const struct label *label = &labels->items[i];
        bool is_limit = strncmp(label->name, LIMIT, sizeof LIMIT - 1) == 0;
        if (strcmp(label->name, PROGRESS) == 0) {
            read_progresses(&reading, label);
        } else if (is_limit && strchr(label->name + sizeof LIMIT - 1, '.') == NULL) {
            read_limit(&reading, label);
        }
    }
    for (size_t i = 0; i < labels->count; i++) {
        const struct label *label = &labels->items[i];
        bool is_limit = strncmp(label->name, LIMIT, sizeof LIMIT - 1) == 0;
        const char *dot = is_limit ? strchr(label->name + sizeof LIMIT - 1, '.') : NULL;
        if (dot != NULL) {
            read_option(&reading, label, dot);
        }
    }
}

void metric_rules_free(struct metric_rules *rules)
{
    free(rules->items);
    *rules = (struct metric_rules){0};
}

void metric_rules_reset(struct metric_rules *rules)
{
    for (size_t i = 0; i < rules->count; i++) {
        struct metric_rule *rule = &rules->items[i];
        rule->verdict = METRIC_UNSAID;
        rule->detail[0] = '\0';
        rule->has_value = false;
        rule->stood_ms = 0;
    }
}

/* ---- values ---- */

static void judge_progress(struct metric_rule *rule, double value, bool is_claimed, int64_t gap_ms,
                           struct mono now)
{
    int64_t passed_ms = mono_diff(now, rule->seen_at);
    bool has_moved = !rule->has_value || value != rule->value;
    if (has_moved || !is_claimed) {
        rule->stood_ms = 0;
    } else if (passed_ms <= gap_ms) {
        rule->stood_ms += passed_ms;
    }
    rule->verdict = rule->stood_ms >= rule->stall_ms ? METRIC_BAD : METRIC_WELL;
    if (rule->verdict == METRIC_BAD) {
        snprintf(rule->detail, sizeof rule->detail, "stalled: %s has stood at %.15g for %lld s", rule->metric,
                 value, (long long)(rule->stood_ms / 1000));
    }
}

static void judge_limit(struct metric_rule *rule, double value)
{
    bool is_over = value > rule->high, is_under = value < rule->low;
    rule->verdict = is_over || is_under ? METRIC_BAD : METRIC_WELL;
    if (rule->verdict == METRIC_BAD) {
        snprintf(rule->detail, sizeof rule->detail, "%s is %.15g, allowed is at %s %.15g", rule->metric,
                 value, is_over ? "most" : "least", is_over ? rule->high : rule->low);
    }
}

bool metric_rules_take(struct metric_rule *rule, const double *value, bool is_claimed, int64_t gap_ms,
                       struct mono now)
{
    enum metric_verdict before = rule->verdict;
    rule->detail[0] = '\0';
    if (value == NULL) {
        rule->verdict = METRIC_UNSAID;
        rule->has_value = false;
    } else {
        if (rule->stall_ms > 0) {
            judge_progress(rule, *value, is_claimed, gap_ms, now);
        } else {
            judge_limit(rule, *value);
        }
        rule->has_value = true;
        rule->value = *value;
        rule->seen_at = now;
    }
    return rule->verdict != before;
}

enum beat_status metric_rules_status(const struct metric_rule *rule)
{
    switch (rule->verdict) {
    case METRIC_UNSAID:
        return BEAT_UNKNOWN;
    case METRIC_WELL:
        return BEAT_HEALTHY;
    case METRIC_BAD:
        break;
    }
    return rule->is_required ? BEAT_UNHEALTHY : BEAT_DEGRADED;
}
