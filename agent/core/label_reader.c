#include "agent/core/label_reader.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/memory.h"
#include "common/nearest.h"
#include "proto/vocabulary.h"

#define COMPOSE_PROJECT    "com.docker.compose.project"
#define COMPOSE_SERVICE    "com.docker.compose.service"
#define COMPOSE_NUMBER     "com.docker.compose.container-number"
#define COMPOSE_ONEOFF     "com.docker.compose.oneoff"
#define COMPOSE_DEPENDS_ON "com.docker.compose.depends_on"
#define AUTOHEAL           "autoheal"
#define AUTOHEAL_TIMEOUT   "autoheal.stop.timeout"
#define DEUNHEALTH         "deunhealth.restart.on.unhealthy"

#define SECONDS_MAX  86400
#define ATTEMPTS_MAX 1000

static const char *const defib_labels[] = {
    "defib.enable",          "defib.service",         "defib.instance",
    "defib.restart",         "defib.heartbeat",       "defib.stop_timeout",
    "defib.start_grace",     "defib.unhealthy_grace", "defib.restart.max_attempts",
    "defib.restart.backoff", "defib.depends_on",      "defib.oneshot",
    "defib.progress",        "defib.check.",          "defib.limit.",
};

static const char *const other_labels[] = {
    COMPOSE_PROJECT,    COMPOSE_SERVICE, COMPOSE_NUMBER,   COMPOSE_ONEOFF,
    COMPOSE_DEPENDS_ON, AUTOHEAL,        AUTOHEAL_TIMEOUT, DEUNHEALTH,
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ---- the list ---- */

static bool is_read(const char *name)
{
    /* Also what is meant to be one of ours: it is reported. */
    if (strncmp(name, "defib.", 6) == 0 || strncmp(name, AUTOHEAL, sizeof AUTOHEAL - 1) == 0 ||
        strncmp(name, "deunhealth", 10) == 0) {
        return true;
    }
    for (size_t i = 0; i < COUNT_OF(other_labels); i++) {
        if (strcmp(name, other_labels[i]) == 0) {
            return true;
        }
    }
    return false;
}

static char *copy_cut(const char *text, size_t size)
{
    size_t len = strnlen(text, size - 1);
    char *copy = memory_alloc(len + 1);
    memcpy(copy, text, len);
    return copy;
}

void label_list_add(struct label_list *list, const char *name, const char *value)
{
    if (!is_read(name) || list->count == LABEL_LIST_MAX) {
        return;
    }
    list->items = memory_grow(list->items, list->count + 1, sizeof *list->items);
    list->items[list->count++] =
        (struct label){copy_cut(name, LABEL_NAME_SIZE), copy_cut(value, LABEL_VALUE_SIZE)};
}

const char *label_list_get(const struct label_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i].name, name) == 0) {
            return list->items[i].value;
        }
    }
    return NULL;
}

void label_list_fini(struct label_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].name);
        free(list->items[i].value);
    }
    free(list->items);
    *list = (struct label_list){0};
}

/* ---- values ---- */

/* 1 true, 0 false, -1 neither. */
static int parse_bool(const char *value)
{
    static const char *const words[][2] = {{"true", "false"}, {"yes", "no"}, {"on", "off"}, {"1", "0"}};
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (strcasecmp(value, words[i][0]) == 0) {
            return 1;
        }
        if (strcasecmp(value, words[i][1]) == 0) {
            return 0;
        }
    }
    return -1;
}

/* Plain decimals only: strtod alone would also take "inf", "0x10" and blanks in front. */
static bool parse_seconds(const char *value, size_t len, int64_t *out_ms)
{
    char text[32];
    if (len == 0 || len >= sizeof text || strspn(value, "0123456789.") < len) {
        return false;
    }
    memcpy(text, value, len);
    text[len] = '\0';
    char *end;
    double seconds = strtod(text, &end);
    if (end == text || *end != '\0' || !(seconds >= 0 && seconds <= SECONDS_MAX)) {
        return false;
    }
    *out_ms = (int64_t)llround(seconds * 1000);
    return true;
}

static bool parse_count(const char *value, int64_t max, int64_t *out)
{
    size_t len = strlen(value);
    if (len == 0 || len > 9 || strspn(value, "0123456789") < len) {
        return false;
    }
    int64_t count = strtol(value, NULL, 10);
    if (count > max) {
        return false;
    }
    *out = count;
    return true;
}

static bool parse_backoff(const char *value, struct container_spec *spec)
{
    int64_t steps[LIMIT_BACKOFF_STEPS];
    size_t count = 0;
    for (;;) {
        size_t len = strcspn(value, ",");
        if (count == LIMIT_BACKOFF_STEPS || !parse_seconds(value, len, &steps[count])) {
            return false;
        }
        count++;
        if (value[len] == '\0') {
            break;
        }
        value += len + 1;
    }
    memcpy(spec->backoff_ms, steps, sizeof steps[0] * count);
    spec->backoff_count = count;
    return true;
}

/* Names that go into keys and log lines: no blanks, no control characters. */
static bool is_name(const char *value)
{
    size_t len = strlen(value);
    if (len == 0 || len >= LIMIT_NAME_SIZE) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)value[i] <= ' ' || value[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

static const char *name_label(const struct label_list *labels, const char *name)
{
    const char *value = label_list_get(labels, name);
    return value != NULL && is_name(value) ? value : NULL;
}

/* ---- identity and watching ---- */

void label_reader_identity(const struct label_list *labels, const char *name, const char *prefix,
                           struct label_identity *out)
{
    char numbered[LIMIT_NAME_SIZE];
    const char *service = name_label(labels, "defib.service");
    const char *instance = name_label(labels, "defib.instance");
    const char *compose_service = name_label(labels, COMPOSE_SERVICE);
    const char *compose_number = name_label(labels, COMPOSE_NUMBER);
    bool is_compose = compose_service != NULL && compose_number != NULL;
    if (service == NULL) {
        service = is_compose ? compose_service : name;
    }
    if (instance == NULL) {
        snprintf(numbered, sizeof numbered, "%s%s", prefix, is_compose ? compose_number : "");
        instance = is_compose ? numbered : name;
    }
    memory_set_text(out->service, sizeof out->service, service);
    memory_set_text(out->instance, sizeof out->instance, instance);
}

static bool is_true_label(const struct label_list *labels, const char *name)
{
    const char *value = label_list_get(labels, name);
    return value != NULL && parse_bool(value) == 1;
}

enum label_watch label_reader_watch(const struct label_list *labels)
{
    const char *value = label_list_get(labels, "defib.enable");
    int said = value == NULL ? -1 : parse_bool(value);
    if (said >= 0) {
        return said ? LABEL_WATCH_YES : LABEL_WATCH_NO;
    }
    bool is_compat = is_true_label(labels, AUTOHEAL) || is_true_label(labels, DEUNHEALTH);
    return is_compat ? LABEL_WATCH_YES : LABEL_WATCH_UNSAID;
}

/* ---- spec ---- */

struct reading {
    const struct label_list *labels;
    struct container_spec *spec;
    label_complaint complain;
    void *arg;
};

/* The first one stays in the spec, for `defibctl doctor`. */
void label_reader_keep_complaint(struct container_spec *spec, const char *text)
{
    char *kept = spec->complaint;
    spec->complaint_count++;
    if (kept[0] == '\0') {
        snprintf(kept, sizeof spec->complaint, "%s", text);
        for (; *kept != '\0'; kept++) {
            if (*kept < ' ' || *kept > '~') {
                *kept = '?'; /* it shall be readable wherever it is cut */
            }
        }
    }
}

static void tell(const struct reading *reading, const char *text)
{
    label_reader_keep_complaint(reading->spec, text);
    if (reading->complain != NULL) {
        reading->complain(reading->arg, text);
    }
}

static void complain(const struct reading *reading, const char *name, const char *value, const char *allowed)
{
    char text[320];
    bool is_quoted = strchr(value, '"') != NULL || strchr(value, '\'') != NULL;
    snprintf(text, sizeof text, "label %.64s=%.64s is not used: allowed are %s%s", name, value, allowed,
             is_quoted ? "; the quotes are part of the value" : "");
    tell(reading, text);
}

static void read_seconds(const struct reading *reading, const char *name, int64_t *out_ms)
{
    const char *value = label_list_get(reading->labels, name);
    if (value != NULL && !parse_seconds(value, strlen(value), out_ms)) {
        complain(reading, name, value, "seconds from 0 to 86400");
    }
}

/* True where the label is there and true. */
static bool read_bool(const struct reading *reading, const char *name)
{
    const char *value = label_list_get(reading->labels, name);
    int said = value == NULL ? 0 : parse_bool(value);
    if (said < 0) {
        complain(reading, name, value, "true and false");
    }
    return said == 1;
}

static void read_restart(const struct reading *reading)
{
    const char *value = label_list_get(reading->labels, "defib.restart");
    /* Both are read in any case, so that a malformed one is reported. */
    bool is_autoheal = read_bool(reading, AUTOHEAL);
    bool is_deunhealth = read_bool(reading, DEUNHEALTH);
    if (is_autoheal || is_deunhealth) {
        reading->spec->restart = RESTART_LABEL_ALLOW;
    }
    if (value == NULL) {
        return;
    }
    enum restart_label said = restart_label_parse(value);
    if (said == RESTART_LABEL_NONE) {
        complain(reading, "defib.restart", value, "allow and deny");
    } else {
        reading->spec->restart = said;
    }
}

static void read_beat_mode(const struct reading *reading)
{
    const char *value = label_list_get(reading->labels, "defib.heartbeat");
    if (value == NULL) {
        return;
    }
    enum beat_mode mode = beat_mode_parse(value);
    if (strcmp(beat_mode_name(mode), value) != 0) {
        complain(reading, "defib.heartbeat", value, "auto, agent and app");
    } else {
        reading->spec->beat_mode = mode;
    }
}

static void read_budget(const struct reading *reading)
{
    const char *attempts = label_list_get(reading->labels, "defib.restart.max_attempts");
    if (attempts != NULL && !parse_count(attempts, ATTEMPTS_MAX, &reading->spec->max_attempts)) {
        complain(reading, "defib.restart.max_attempts", attempts, "whole numbers from 0 to 1000");
    }
    const char *backoff = label_list_get(reading->labels, "defib.restart.backoff");
    if (backoff != NULL && !parse_backoff(backoff, reading->spec)) {
        complain(reading, "defib.restart.backoff", backoff,
                 "up to 16 comma-separated seconds from 0 to 86400");
    }
}

static void read_identity(const struct reading *reading)
{
    static const char *const names[] = {"defib.service", "defib.instance"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const char *value = label_list_get(reading->labels, names[i]);
        if (value != NULL && !is_name(value)) {
            complain(reading, names[i], value, "1 to 255 bytes without blanks");
        }
    }
    const char *enable = label_list_get(reading->labels, "defib.enable");
    if (enable != NULL && parse_bool(enable) < 0) {
        complain(reading, "defib.enable", enable, "true and false");
    }
    const char *project = name_label(reading->labels, COMPOSE_PROJECT);
    if (project != NULL) {
        memory_set_text(reading->spec->compose_project, sizeof reading->spec->compose_project, project);
    }
    const char *service = name_label(reading->labels, COMPOSE_SERVICE);
    bool is_renamed = name_label(reading->labels, "defib.service") != NULL ||
                      name_label(reading->labels, COMPOSE_NUMBER) == NULL;
    if (service != NULL && is_renamed) {
        memory_set_text(reading->spec->compose_service, sizeof reading->spec->compose_service, service);
    }
}

/* ---- edges ---- */

/* Appends "name" or "name:restart"; false where it does not fit. */
static bool add_edge(struct container_spec *spec, const char *name, size_t len, bool is_restart)
{
    size_t used = strlen(spec->depends_on);
    int wanted = snprintf(spec->depends_on + used, sizeof spec->depends_on - used, "%s%.*s%s",
                          used ? "," : "", (int)len, name, is_restart ? ":restart" : "");
    if (wanted < 0 || (size_t)wanted >= sizeof spec->depends_on - used) {
        spec->depends_on[used] = '\0';
        return false;
    }
    return true;
}

static size_t trim(const char **text, size_t len)
{
    while (len > 0 && **text == ' ') {
        (*text)++;
        len--;
    }
    while (len > 0 && (*text)[len - 1] == ' ') {
        len--;
    }
    return len;
}

/* defib.depends_on: "db, cache:restart". */
static bool read_own_edge(struct container_spec *spec, const char *part, size_t len)
{
    static const char suffix[] = ":restart";
    size_t suffix_len = sizeof suffix - 1;
    bool is_restart = len > suffix_len && memcmp(part + len - suffix_len, suffix, suffix_len) == 0;
    size_t name_len = is_restart ? len - suffix_len : len;
    return memchr(part, ' ', name_len) == NULL && memchr(part, ':', name_len) == NULL &&
           add_edge(spec, part, name_len, is_restart);
}

/* com.docker.compose.depends_on: "db:service_healthy:false,cache:service_started:true"; older ones have no
 * third part. */
static bool read_compose_edge(struct container_spec *spec, const char *part, size_t len)
{
    const char *colon = memchr(part, ':', len);
    size_t name_len = colon == NULL ? len : (size_t)(colon - part);
    bool is_restart = len > 5 && memcmp(part + len - 5, ":true", 5) == 0;
    return name_len > 0 && add_edge(spec, part, name_len, is_restart);
}

static void read_edges(const struct reading *reading, const char *label,
                       bool (*read_edge)(struct container_spec *spec, const char *part, size_t len))
{
    const char *rest = label_list_get(reading->labels, label);
    const char *value = rest;
    while (rest != NULL && *rest != '\0') {
        size_t whole = strcspn(rest, ",");
        const char *part = rest;
        size_t len = trim(&part, whole);
        if (len > 0 && !read_edge(reading->spec, part, len)) {
            complain(reading, label, value, "comma-separated names, each with or without :restart");
            return;
        }
        rest += whole + (rest[whole] == ',');
    }
}

/* ---- unknown ones ---- */

/* Exactly one of these, or what one that ends in a dot begins. */
static bool is_one_of(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(names[i]);
        bool is_prefix = names[i][len - 1] == '.';
        if (is_prefix ? strncmp(name, names[i], len) == 0 && name[len] != '\0'
                      : strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void report_unknown(const struct reading *reading, const char *name)
{
    struct nearest nearest;
    char text[256];
    nearest_init(&nearest, name);
    for (size_t i = 0; i < COUNT_OF(defib_labels); i++) {
        nearest_offer(&nearest, defib_labels[i]);
    }
    for (size_t i = 0; i < COUNT_OF(other_labels); i++) {
        nearest_offer(&nearest, other_labels[i]);
    }
    const char *best = nearest_name(&nearest);
    bool is_prefix = best != NULL && best[strlen(best) - 1] == '.';
    snprintf(text, sizeof text, "label %.120s is unknown%s%s%s%s", name,
             best != NULL ? ": did you mean " : "", best != NULL ? best : "", is_prefix ? "<name>" : "",
             best != NULL ? "?" : "");
    tell(reading, text);
}

static void read_unknown(const struct reading *reading)
{
    for (size_t i = 0; i < reading->labels->count; i++) {
        const char *name = reading->labels->items[i].name;
        if (!is_one_of(name, defib_labels, COUNT_OF(defib_labels)) &&
            !is_one_of(name, other_labels, COUNT_OF(other_labels))) {
            report_unknown(reading, name);
        }
    }
}

void label_reader_spec(const struct label_list *labels, struct container_spec *spec,
                       label_complaint on_complaint, void *arg)
{
    const struct reading reading = {labels, spec, on_complaint, arg};
    read_identity(&reading);
    read_restart(&reading);
    read_beat_mode(&reading);
    read_seconds(&reading, AUTOHEAL_TIMEOUT, &spec->stop_timeout_ms);
    read_seconds(&reading, "defib.stop_timeout", &spec->stop_timeout_ms);
    read_seconds(&reading, "defib.start_grace", &spec->start_grace_ms);
    read_seconds(&reading, "defib.unhealthy_grace", &spec->unhealthy_grace_ms);
    read_budget(&reading);
    const char *oneoff = label_list_get(labels, COMPOSE_ONEOFF);
    spec->is_oneshot = read_bool(&reading, "defib.oneshot") || (oneoff != NULL && parse_bool(oneoff) == 1);
    read_edges(&reading, COMPOSE_DEPENDS_ON, read_compose_edge);
    read_edges(&reading, "defib.depends_on", read_own_edge);
    read_unknown(&reading);
}
