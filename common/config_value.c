#include "common/config_value.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/memory.h"
#include "common/name_patterns.h"

enum { TEXT_MAX = 64 * 1024, NUMBER_SIZE = 48 };

void *config_value_at(const struct config_row *row, void *values)
{
    return (char *)values + row->offset;
}

static const void *value_of(const struct config_row *row, const void *values)
{
    return (const char *)values + row->offset;
}

/* ---- showing ---- */

static void format_ms(int64_t ms, char out[NUMBER_SIZE])
{
    int len = snprintf(out, NUMBER_SIZE, "%lld.%03lld", (long long)ms / 1000, (long long)ms % 1000);
    while (out[len - 1] == '0') {
        len--;
    }
    out[out[len - 1] == '.' ? len - 1 : len] = '\0';
}

static char *append(char *out, const char *from, const char *to)
{
    return mempcpy(out, from, (size_t)(to - from));
}

/* Hides the password of scheme://user:password@host (or the whole login where it has no colon), and of a
 * secret also any query but ?db=, and the path unless it is Redis'. Errs to the side of hiding: the last @
 * counts. */
static char *mask_url(const char *text, const char *behind_scheme, bool is_secret)
{
    char *out = memory_alloc(strlen(text) + sizeof "***" + sizeof "/***");
    const char *from = behind_scheme;
    char *to = append(out, text, behind_scheme);
    const char *at = strrchr(from, '@');
    if (at != NULL) {
        const char *colon = memchr(from, ':', (size_t)(at - from));
        to = stpcpy(append(to, from, colon == NULL ? from : colon + 1), "***");
        from = at;
    }
    bool keeps_path = strncasecmp(text, "redis", 5) == 0 || strncasecmp(text, "unix", 4) == 0;
    const char *hidden = !is_secret ? NULL : strpbrk(from, keeps_path ? "?" : "/?#");
    if (hidden == NULL || strncmp(hidden, "?db=", 4) == 0) {
        stpcpy(to, from);
    } else {
        stpcpy(append(to, from, hidden), keeps_path ? "?***" : "/***");
    }
    return out;
}

static char *mask(const char *text, bool is_secret)
{
    const char *scheme_end = strstr(text, "://");
    if (scheme_end != NULL) {
        return mask_url(text, scheme_end + 3, is_secret);
    }
    return memory_copy_text(is_secret && *text != '\0' ? "***" : text);
}

static char *show_durations(const struct config_durations *durations)
{
    char out[CONFIG_DURATIONS_MAX * (NUMBER_SIZE + 1)] = "";
    size_t used = 0;
    for (size_t i = 0; i < durations->count; i++) {
        char number[NUMBER_SIZE];
        format_ms(durations->ms[i], number);
        used += (size_t)snprintf(out + used, sizeof out - used, "%s%s", i == 0 ? "" : ",", number);
    }
    return memory_copy_text(out);
}

static char *show_patterns(const struct name_patterns *patterns)
{
    size_t size = 1;
    for (size_t i = 0; i < patterns->count; i++) {
        size += strlen(patterns->items[i]) + 1;
    }
    char *out = memory_alloc(size);
    char *at = out;
    for (size_t i = 0; i < patterns->count; i++) {
        at = stpcpy(i == 0 ? at : stpcpy(at, ","), patterns->items[i]);
    }
    return out;
}

char *config_value_show(const struct config_row *row, const void *values)
{
    const void *value = value_of(row, values);
    char number[NUMBER_SIZE] = "";
    switch (row->type) {
    case CONFIG_BOOL:
        return memory_copy_text(*(const bool *)value ? "true" : "false");
    case CONFIG_INT:
        snprintf(number, sizeof number, "%lld", (long long)*(const int64_t *)value);
        return memory_copy_text(number);
    case CONFIG_REAL:
        snprintf(number, sizeof number, "%.10g", *(const double *)value);
        return memory_copy_text(number);
    case CONFIG_SECONDS:
        format_ms(*(const int64_t *)value, number);
        return memory_copy_text(number);
    case CONFIG_SECONDS_LIST:
        return show_durations(value);
    case CONFIG_TEXT:
        return mask(*(char *const *)value == NULL ? "" : *(char *const *)value, row->is_secret);
    case CONFIG_PATTERNS:
        return show_patterns(value);
    case CONFIG_CHOICE:
        return memory_copy_text(row->choices[*(const int *)value]);
    }
    abort();
}

/* ---- refusing ---- */

void config_value_quote(const char *text, bool is_secret, char out[CONFIG_VALUE_QUOTED_SIZE])
{
    cleanup_free char *shown = mask(text, is_secret);
    size_t used = 0;
    for (const char *at = shown; *at != '\0'; at++) {
        if (used + 8 > CONFIG_VALUE_QUOTED_SIZE) {
            memcpy(out + used, "...", 4);
            return;
        }
        bool is_plain = ((unsigned char)*at >= 0x20 && *at != 0x7f);
        used += (size_t)snprintf(out + used, CONFIG_VALUE_QUOTED_SIZE - used, is_plain ? "%c" : "\\x%02x",
                                 (unsigned char)*at);
    }
    out[used] = '\0';
}

static int refuse(const struct config_row *row, const char *text, struct err *err, const char *allowed)
{
    char shown[CONFIG_VALUE_QUOTED_SIZE];
    config_value_quote(text, row->is_secret, shown);
    return err_set(err, EINVAL, "%s=\"%s\": %s", row->name, shown, allowed);
}

static void describe_choices(const char *const *choices, char *out, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; choices[i] != NULL && used < size; i++) {
        const char *joint = i == 0 ? "" : choices[i + 1] == NULL ? " or " : ", ";
        used += (size_t)snprintf(out + used, size - used, "%s%s", joint, choices[i]);
    }
}

static int refuse_form(const struct config_row *row, const char *text, struct err *err)
{
    char allowed[200] = "allowed are ";
    char *at = allowed + strlen(allowed);
    size_t room = sizeof allowed - strlen(allowed);
    switch (row->type) {
    case CONFIG_BOOL:
        snprintf(at, room, "true, yes, on, 1 and false, no, off, 0");
        break;
    case CONFIG_INT:
        snprintf(at, room, "whole numbers from %.10g to %.10g", row->min, row->max);
        break;
    case CONFIG_REAL:
        snprintf(at, room, "numbers from %.10g to %.10g", row->min, row->max);
        break;
    case CONFIG_SECONDS:
        snprintf(at, room, "seconds from %.10g to %.10g, fractions such as 0.2 too", row->min, row->max);
        break;
    case CONFIG_SECONDS_LIST:
        snprintf(at, room, "1 to %d numbers of seconds from %.10g to %.10g with commas between them",
                 CONFIG_DURATIONS_MAX, row->min, row->max);
        break;
    case CONFIG_TEXT:
    case CONFIG_PATTERNS:
        snprintf(at, room, "up to %d bytes without control characters", TEXT_MAX);
        break;
    case CONFIG_CHOICE:
        describe_choices(row->choices, at, room);
        break;
    }
    return refuse(row, text, err, allowed);
}

/* ---- parsing; each returns whether the whole text is a value of its type and within its range ---- */

static bool parse_bool(const char *text, bool *out)
{
    static const char *const WORDS[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0]; i++) {
        if (strcasecmp(text, WORDS[i]) == 0) {
            *out = i % 2 == 1;
            return true;
        }
    }
    return false;
}

static bool parse_int(const struct config_row *row, const char *text, int64_t *out)
{
    size_t sign = text[0] == '-';
    size_t digits = strspn(text + sign, "0123456789");
    if (digits == 0 || digits > 18 || text[sign + digits] != '\0') {
        return false;
    }
    int64_t value = strtoll(text, NULL, 10);
    if ((double)value < row->min || (double)value > row->max) {
        return false;
    }
    *out = value;
    return true;
}

/* Plain decimals only: strtod would take "inf", "0x10" and "1e9" as well. */
static bool is_decimal(const char *text, size_t len)
{
    size_t digits = 0, dots = 0;
    for (size_t i = 0; i < len; i++) {
        digits += text[i] >= '0' && text[i] <= '9';
        dots += text[i] == '.';
    }
    return digits > 0 && dots <= 1 && digits + dots == len && len < NUMBER_SIZE;
}

static bool parse_real(const struct config_row *row, const char *text, size_t len, double *out)
{
    if (!is_decimal(text, len)) {
        return false;
    }
    char number[NUMBER_SIZE];
    memcpy(number, text, len);
    number[len] = '\0';
    double value = strtod(number, NULL);
    if (value < row->min || value > row->max) {
        return false;
    }
    *out = value;
    return true;
}

static bool parse_seconds(const struct config_row *row, const char *text, size_t len, int64_t *out)
{
    double seconds;
    if (!parse_real(row, text, len, &seconds)) {
        return false;
    }
    *out = (int64_t)(seconds * 1000.0 + 0.5);
    return true;
}

static bool parse_durations(const struct config_row *row, const char *text, struct config_durations *out)
{
    struct config_durations list = {.count = 0};
    for (const char *at = text;; at++) {
        at += strspn(at, " ");
        size_t whole = strcspn(at, ",");
        size_t len = whole;
        while (len > 0 && at[len - 1] == ' ') {
            len--;
        }
        if (list.count == CONFIG_DURATIONS_MAX || !parse_seconds(row, at, len, &list.ms[list.count])) {
            return false;
        }
        list.count++;
        at += whole;
        if (*at == '\0') {
            *out = list;
            return true;
        }
    }
}

static bool parse_choice(const struct config_row *row, const char *text, int *out)
{
    for (int i = 0; row->choices[i] != NULL; i++) {
        if (strcasecmp(text, row->choices[i]) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

static bool is_text(const char *text)
{
    size_t len = 0;
    for (; text[len] != '\0'; len++) {
        if ((unsigned char)text[len] < 0x20 || text[len] == 0x7f) {
            return false;
        }
    }
    return len <= TEXT_MAX;
}

static bool parse_text(const char *text, char **out)
{
    if (!is_text(text)) {
        return false;
    }
    free(*out);
    *out = memory_copy_text(text);
    return true;
}

static int parse_patterns(const struct config_row *row, const char *text, struct name_patterns *out,
                          struct err *err)
{
    struct err cause = {.code = 0};
    if (!is_text(text)) {
        return refuse_form(row, text, err);
    }
    if (name_patterns_parse(text, out, &cause) == 0) {
        return 0;
    }
    char allowed[256];
    snprintf(allowed, sizeof allowed, "allowed are names and globs with commas between them, but %.180s",
             cause.text);
    return refuse(row, text, err, allowed);
}

int config_value_parse(const struct config_row *row, const char *text, void *value, struct err *err)
{
    bool is_good = false;
    switch (row->type) {
    case CONFIG_BOOL:
        is_good = parse_bool(text, value);
        break;
    case CONFIG_INT:
        is_good = parse_int(row, text, value);
        break;
    case CONFIG_REAL:
        is_good = parse_real(row, text, strlen(text), value);
        break;
    case CONFIG_SECONDS:
        is_good = parse_seconds(row, text, strlen(text), value);
        break;
    case CONFIG_SECONDS_LIST:
        is_good = parse_durations(row, text, value);
        break;
    case CONFIG_TEXT:
        is_good = parse_text(text, value);
        break;
    case CONFIG_PATTERNS:
        return parse_patterns(row, text, value, err);
    case CONFIG_CHOICE:
        is_good = parse_choice(row, text, value);
        break;
    }
    return is_good ? 0 : refuse_form(row, text, err);
}
