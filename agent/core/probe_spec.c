#include "agent/core/probe_spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"

#define PREFIX "defib.check."

#define TARGETS                                                                                          \
    "http://[host][:port][/path], https://…, tcp://[host]:port, redis://[[user]:pass@][host][:port], " \
    "postgres://[user@][host][:port][/db] and exec:command"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static const struct probe_spec defaults = {
    .path = "/",
    .statuses = {{200, 399}},
    .status_count = 1,
    .interval_ms = 10 * 1000,
    .timeout_ms = 3 * 1000, /* a full backlog costs one SYN retry at 1.02 s: less gives false alarms */
    .retries = 3,
};

static const struct scheme {
    const char *text;
    int port; /* 0: must be said */
} schemes[PROBE_KIND_N] = {
    [PROBE_HTTP] = {"http", 80},     [PROBE_HTTPS] = {"https", 443},        [PROBE_TCP] = {"tcp", 0},
    [PROBE_REDIS] = {"redis", 6379}, [PROBE_POSTGRES] = {"postgres", 5432}, [PROBE_EXEC] = {"exec", 0},
};

const char *probe_spec_kind_name(enum probe_kind kind)
{
    return schemes[kind].text;
}

/* ---- targets ---- */

static bool copy(char *out, size_t size, const char *text, size_t len)
{
    if (len >= size) {
        return false;
    }
    memcpy(out, text, len);
    out[len] = '\0';
    return true;
}

/* Nothing that could end a line of a request, or a log. */
static bool is_printable(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text <= ' ' || *text == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool read_port(const char *text, int *out)
{
    size_t len = strlen(text);
    if (len == 0 || len > 5 || strspn(text, "0123456789") < len) {
        return false;
    }
    *out = (int)strtol(text, NULL, 10);
    return *out > 0 && *out <= 65535;
}

/* "host", "host:port", ":port", "[v6]:port" or nothing. */
static bool read_place(const char *text, struct probe_spec *out)
{
    bool is_bracketed = text[0] == '[';
    const char *host = text + is_bracketed;
    size_t len = strcspn(host, is_bracketed ? "]" : ":");
    const char *rest = host + len;
    if (is_bracketed) {
        if (*rest != ']' || len == 0) {
            return false;
        }
        rest++;
    }
    out->port = schemes[out->kind].port;
    bool is_port_well = *rest == '\0' ? out->port != 0 : *rest == ':' && read_port(rest + 1, &out->port);
    return is_port_well && copy(out->host, sizeof out->host, host, len);
}

/* user, user:password or :password, as they are. */
static bool read_user(const char *text, size_t len, struct probe_spec *out)
{
    const char *colon = memchr(text, ':', len);
    size_t user_len = colon == NULL ? len : (size_t)(colon - text);
    if (out->kind == PROBE_POSTGRES) {
        return colon == NULL && len > 0 && copy(out->user, sizeof out->user, text, len);
    }
    return out->kind == PROBE_REDIS && colon != NULL && user_len + 1 < len &&
           copy(out->user, sizeof out->user, text, user_len) &&
           copy(out->password, sizeof out->password, colon + 1, len - user_len - 1);
}

static bool read_tail(const char *slash, struct probe_spec *out)
{
    if (out->kind == PROBE_HTTP || out->kind == PROBE_HTTPS) {
        return copy(out->path, sizeof out->path, slash, strlen(slash));
    }
    if (out->kind == PROBE_POSTGRES) {
        return strchr(slash + 1, '/') == NULL &&
               copy(out->database, sizeof out->database, slash + 1, strlen(slash + 1));
    }
    return slash[1] == '\0';
}

static bool read_url(const char *rest, struct probe_spec *out)
{
    char place[LABEL_VALUE_SIZE];
    size_t len = strcspn(rest, "/?");
    if (!is_printable(rest) || !copy(place, sizeof place, rest, len)) {
        return false;
    }
    if (rest[len] == '?' || (rest[len] == '/' && !read_tail(rest + len, out))) {
        return false;
    }
    char *at = strrchr(place, '@');
    if (at != NULL && !read_user(place, (size_t)(at - place), out)) {
        return false;
    }
    return read_place(at == NULL ? place : at + 1, out);
}

/* Words as a shell would see them, without its expansions: blanks between them, 'as it is', "with \" in it".
 */
static bool read_words(const char *text, struct probe_spec *out)
{
    size_t used = 0;
    for (;;) {
        text += strspn(text, " \t");
        if (*text == '\0') {
            return out->word_count > 0;
        }
        char quote = '\0';
        for (; *text != '\0' && (quote != '\0' || (*text != ' ' && *text != '\t')); text++) {
            if (*text == quote) {
                quote = '\0';
            } else if (quote == '\0' && (*text == '\'' || *text == '"')) {
                quote = *text;
            } else {
                text += *text == '\\' && quote != '\'' && text[1] != '\0';
                out->command[used++] = *text;
            }
        }
        out->command[used++] = '\0';
        if (quote != '\0' || ++out->word_count > PROBE_WORDS_MAX) {
            return false;
        }
    }
}

static bool read_target(const char *value, struct probe_spec *out)
{
    for (size_t kind = 0; kind < PROBE_KIND_N; kind++) {
        size_t len = strlen(schemes[kind].text);
        if (strncmp(value, schemes[kind].text, len) != 0) {
            continue;
        }
        out->kind = (enum probe_kind)kind;
        if (kind == PROBE_EXEC && value[len] == ':') {
            return read_words(value + len + 1, out);
        }
        if (kind != PROBE_EXEC && strncmp(value + len, "://", 3) == 0) {
            return read_url(value + len + 3, out);
        }
    }
    return false;
}

/* ---- options ---- */

static bool read_seconds(const char *value, double low, double high, int64_t *out_ms)
{
    char *end;
    if (value[0] == '\0' || strlen(value) > 16 || strspn(value, "0123456789.") < strlen(value)) {
        return false;
    }
    double seconds = strtod(value, &end);
    if (end == value || *end != '\0' || !(seconds >= low && seconds <= high)) {
        return false;
    }
    *out_ms = (int64_t)(seconds * 1000 + 0.5);
    return true;
}

static bool read_interval(const char *value, struct probe_spec *out)
{
    return read_seconds(value, 0.1, 86400, &out->interval_ms);
}

static bool read_timeout(const char *value, struct probe_spec *out)
{
    return read_seconds(value, 0.1, 60, &out->timeout_ms);
}

static bool read_start_period(const char *value, struct probe_spec *out)
{
    return read_seconds(value, 0, 86400, &out->start_period_ms);
}

static bool read_retries(const char *value, struct probe_spec *out)
{
    size_t len = strlen(value);
    long retries = len > 0 && len < 4 && strspn(value, "0123456789") == len ? strtol(value, NULL, 10) : 0;
    if (retries < 1 || retries > 100) {
        return false;
    }
    out->retries = (int)retries;
    return true;
}

static bool read_required(const char *value, struct probe_spec *out)
{
    bool is_true = strcmp(value, "true") == 0;
    if (!is_true && strcmp(value, "false") != 0) {
        return false;
    }
    out->is_required = is_true;
    return true;
}

/* "204", "200-299" or "2xx". */
static bool read_range(const char *text, size_t len, struct probe_range *out)
{
    bool is_class = len == 3 && text[0] >= '1' && text[0] <= '5' && text[1] == 'x' && text[2] == 'x';
    bool is_one = len == 3 && strspn(text, "0123456789") >= 3;
    bool is_two =
        len == 7 && strspn(text, "0123456789") == 3 && text[3] == '-' && strspn(text + 4, "0123456789") >= 3;
    if (is_class) {
        *out = (struct probe_range){(text[0] - '0') * 100, (text[0] - '0') * 100 + 99};
    } else if (is_one || is_two) {
        out->low = (int)strtol(text, NULL, 10);
        out->high = is_two ? (int)strtol(text + 4, NULL, 10) : out->low;
    }
    return (is_class || is_one || is_two) && out->low >= 100 && out->low <= out->high && out->high <= 599;
}

static bool read_status(const char *value, struct probe_spec *out)
{
    struct probe_range ranges[PROBE_RANGES_MAX];
    size_t count = 0;
    for (;;) {
        size_t len = strcspn(value, ",");
        if (count == PROBE_RANGES_MAX || !read_range(value, len, &ranges[count])) {
            return false;
        }
        count++;
        if (value[len] == '\0') {
            memcpy(out->statuses, ranges, sizeof ranges[0] * count);
            out->status_count = count;
            return true;
        }
        value += len + 1;
    }
}

static bool read_body(const char *value, struct probe_spec *out)
{
    return value[0] != '\0' && copy(out->body, sizeof out->body, value, strlen(value));
}

static bool read_ca(const char *value, struct probe_spec *out)
{
    out->is_unverified = strcmp(value, "none") == 0;
    bool is_file = value[0] == '/' && copy(out->ca_file, sizeof out->ca_file, value, strlen(value));
    return is_file || out->is_unverified || strcmp(value, "system") == 0;
}

static const struct option {
    const char *name;
    bool (*read)(const char *value, struct probe_spec *out);
    const char *allowed;
} options[] = {
    {"interval", read_interval, "seconds from 0.1 to 86400"},
    {"timeout", read_timeout, "seconds from 0.1 to 60"},
    {"start_period", read_start_period, "seconds from 0 to 86400"},
    {"retries", read_retries, "whole numbers from 1 to 100"},
    {"required", read_required, "true and false"},
    {"status", read_status, "up to 8 comma-separated statuses, each like 204, 200-299 or 2xx"},
    {"body", read_body, "1 to 255 bytes"},
    {"ca", read_ca, "an absolute path, system and none"},
};

/* ---- labels ---- */

struct reading {
    struct probe_list *out;
    label_complaint complain;
    void *arg;
};

static void complain(const struct reading *reading, const struct label *label, const char *allowed)
{
    if (reading->complain != NULL) {
        char text[512];
        snprintf(text, sizeof text, "label %.100s=%.64s is not used: allowed are %s", label->name,
                 label->value, allowed);
        reading->complain(reading->arg, text);
    }
}

static bool is_name(const char *text, size_t len)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    return len > 0 && len < PROBE_NAME_SIZE && strspn(text, allowed) >= len;
}

static void read_check(const struct reading *reading, const struct label *label)
{
    const char *name = label->name + sizeof PREFIX - 1;
    struct probe_list *list = reading->out;
    struct probe_spec spec = defaults;
    if (!is_name(name, strlen(name))) {
        complain(reading, label, PREFIX "<name> with 1 to 63 letters, digits, _ and -");
    } else if (list->count == PROBES_MAX) {
        complain(reading, label, "16 checks of one container");
    } else if (!read_target(label->value, &spec)) {
        complain(reading, label, TARGETS);
    } else {
        memory_set_text(spec.name, sizeof spec.name, name);
        list->items = memory_grow(list->items, list->count + 1, sizeof *list->items);
        list->items[list->count++] = spec;
    }
}

static struct probe_spec *find(const struct probe_list *list, const char *name, size_t len)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strlen(list->items[i].name) == len && memcmp(list->items[i].name, name, len) == 0) {
            return &list->items[i];
        }
    }
    return NULL;
}

static void read_option(const struct reading *reading, const struct label *label, const char *dot)
{
    const char *name = label->name + sizeof PREFIX - 1;
    const struct option *option = NULL;
    for (size_t i = 0; i < COUNT_OF(options); i++) {
        option = strcmp(options[i].name, dot + 1) == 0 ? &options[i] : option;
    }
    struct probe_spec *spec = find(reading->out, name, (size_t)(dot - name));
    if (option == NULL) {
        complain(
            reading, label,
            ".interval, .timeout, .start_period, .retries, .required, .status, .body and .ca behind " PREFIX
            "<name>");
    } else if (spec == NULL) {
        complain(reading, label, "options of a check that is there and can be used");
    } else {
        struct probe_spec changed = *spec;
        if (option->read(label->value, &changed)) {
            *spec = changed;
        } else {
            complain(reading, label, option->allowed);
        }
    }
}

void probe_spec_read(const struct label_list *labels, struct probe_list *out, label_complaint on_complaint,
                     void *arg)
{
    *out = (struct probe_list){0};
    const struct reading reading = {out, on_complaint, arg};
    enum { CHECKS, OPTIONS };
    for (int round = CHECKS; round <= OPTIONS; round++) {
        for (size_t i = 0; i < labels->count; i++) {
            const struct label *label = &labels->items[i];
            if (strncmp(label->name, PREFIX, sizeof PREFIX - 1) != 0) {
                continue;
            }
            const char *dot = strchr(label->name + sizeof PREFIX - 1, '.');
            if (round == CHECKS && dot == NULL) {
                read_check(&reading, label);
            } else if (round == OPTIONS && dot != NULL) {
                read_option(&reading, label, dot);
            }
        }
    }
}

void probe_spec_free(struct probe_list *list)
{
    free(list->items);
    *list = (struct probe_list){0};
}
