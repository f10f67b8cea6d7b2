#include "common/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/memory.h"
#include "common/name_patterns.h"

enum { TEXT_MAX = 64 * 1024, SECRET_FILE_MAX = 16 * 1024, SHOWN_MAX = 96, NUMBER_SIZE = 48 };

static void *place(const struct config_row *row, const void *values)
{
    return (char *)(uintptr_t)values + row->offset;
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

char *config_show(const struct config_row *row, const void *values)
{
    const void *value = place(row, values);
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

/* The value as it may stand in a message: one line, not too long, nothing secret. */
static void quote(const char *text, bool is_secret, char out[SHOWN_MAX])
{
    cleanup_free char *shown = mask(text, is_secret);
    size_t used = 0;
    for (const char *at = shown; *at != '\0'; at++) {
        if (used + 8 > SHOWN_MAX) {
            strcpy(out + used, "...");
            return;
        }
        bool is_plain = ((unsigned char)*at >= 0x20 && *at != 0x7f);
        used +=
            (size_t)snprintf(out + used, SHOWN_MAX - used, is_plain ? "%c" : "\\x%02x", (unsigned char)*at);
    }
    out[used] = '\0';
}

static int refuse(const struct config_row *row, const char *text, struct err *err, const char *allowed)
{
    char shown[SHOWN_MAX];
    quote(text, row->is_secret, shown);
    return err_set(err, EINVAL, "%s=\"%s\": %s", row->name, shown, allowed);
}

int config_refuse(const struct config_row *rows, size_t count, const void *values, const char *name,
                  struct err *err, const char *format, ...)
{
    char allowed[256];
    va_list args;
    va_start(args, format);
    vsnprintf(allowed, sizeof allowed, format, args);
    va_end(args);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            cleanup_free char *shown = config_show(&rows[i], values);
            char quoted[SHOWN_MAX];
            quote(shown, false, quoted);
            return err_set(err, EINVAL, "%s=\"%s\": %s", name, quoted, allowed);
        }
    }
    return err_set(err, EINVAL, "%s: %s", name, allowed);
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

static int parse_value(const struct config_row *row, const char *text, void *value, struct err *err)
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

/* ---- loading ---- */

static const char *look_up(config_lookup lookup, void *arg, const char *name)
{
    const char *text = lookup(arg, name);
    return text == NULL || *text == '\0' ? NULL : text;
}

/* The text of a secret out of the file that NAME_FILE names; NULL where there is none. */
static int read_secret(const struct config_row *row, config_lookup lookup, void *arg, char **out,
                       struct err *err)
{
    char file_variable[128];
    snprintf(file_variable, sizeof file_variable, "%s_FILE", row->name);
    const char *path = look_up(lookup, arg, file_variable);
    *out = NULL;
    if (path == NULL) {
        return 0;
    }
    struct err cause = {.code = 0};
    const char *fault = NULL;
    if (look_up(lookup, arg, row->name) != NULL) {
        fault = "allowed is either this or the variable without _FILE, not both";
    } else if (config_read_file(path, SECRET_FILE_MAX, out, &cause) != 0) {
        fault = "allowed is the path of a readable file";
    } else if (**out == '\0') {
        fault = "the file is empty; allowed is a file with the value in it";
    }
    if (fault == NULL) {
        return 0;
    }
    char shown[SHOWN_MAX];
    quote(path, false, shown);
    const char *reason = cause.code == 0 ? "" : strerrordesc_np(cause.code);
    return err_set(err, EINVAL, "%s=\"%s\": %s%s%s", file_variable, shown, fault, *reason == '\0' ? "" : ": ",
                   reason);
}

static int load_row(const struct config_row *row, config_lookup lookup, void *arg, void *values,
                    struct err *err)
{
    cleanup_free char *secret = NULL;
    int status = row->is_secret ? read_secret(row, lookup, arg, &secret, err) : 0;
    if (status != 0) {
        return status;
    }
    const char *text = secret != NULL ? secret : look_up(lookup, arg, row->name);
    if (row->set_offset != SIZE_MAX) {
        *(bool *)((char *)values + row->set_offset) = text != NULL;
    }
    text = text == NULL ? row->default_text : text;
    return text == NULL ? 0 : parse_value(row, text, place(row, values), err);
}

int config_load(const struct config_row *rows, size_t count, unsigned program, config_lookup lookup,
                void *arg, void *out, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        if (rows[i].type == CONFIG_TEXT) {
            *(char **)place(&rows[i], out) = memory_copy_text("");
        }
    }
    for (size_t i = 0; i < count; i++) {
        int status = (rows[i].programs & program) == 0 ? 0 : load_row(&rows[i], lookup, arg, out, err);
        if (status != 0) {
            config_free(rows, count, out);
            return status;
        }
    }
    return 0;
}

void config_free(const struct config_row *rows, size_t count, void *values)
{
    for (size_t i = 0; i < count; i++) {
        if (rows[i].type == CONFIG_TEXT) {
            char **text = place(&rows[i], values);
            free(*text);
            *text = NULL;
        } else if (rows[i].type == CONFIG_PATTERNS) {
            name_patterns_free(place(&rows[i], values));
        }
    }
}

/* ---- printing ---- */

void config_print(const struct config_row *rows, size_t count, unsigned program, const void *values,
                  FILE *out)
{
    for (size_t i = 0; i < count; i++) {
        if ((rows[i].programs & program) != 0) {
            cleanup_free char *text = config_show(&rows[i], values);
            fprintf(out, "%s=%s\n", rows[i].name, text);
        }
    }
}

static void describe_range(const struct config_row *row, char *out, size_t size)
{
    out[0] = '\0';
    switch (row->type) {
    case CONFIG_BOOL:
        snprintf(out, size, "true|false");
        break;
    case CONFIG_INT:
    case CONFIG_REAL:
    case CONFIG_SECONDS:
    case CONFIG_SECONDS_LIST:
        snprintf(out, size, "%.10g..%.10g%s%s%s", row->min, row->max, *row->unit == '\0' ? "" : " ",
                 row->unit, row->type == CONFIG_SECONDS_LIST ? ", ..." : "");
        break;
    case CONFIG_PATTERNS:
        snprintf(out, size, "names, globs");
        break;
    case CONFIG_CHOICE:
        for (size_t i = 0, used = 0; row->choices[i] != NULL && used < size; i++) {
            used += (size_t)snprintf(out + used, size - used, "%s%s", i == 0 ? "" : "|", row->choices[i]);
        }
        break;
    case CONFIG_TEXT:
        break;
    }
}

void config_print_help(const struct config_row *rows, size_t count, unsigned program, FILE *out)
{
    for (size_t i = 0; i < count; i++) {
        if ((rows[i].programs & program) == 0) {
            continue;
        }
        char range[96];
        describe_range(&rows[i], range, sizeof range);
        bool has_default = rows[i].default_text != NULL && rows[i].default_text[0] != '\0';
        fprintf(out, "  %s%s%s%s%s%s\n      %s\n", rows[i].name, has_default ? " = " : "",
                has_default ? rows[i].default_text : "", range[0] != '\0' ? "  (" : "", range,
                range[0] != '\0' ? ")" : "", rows[i].help);
    }
}

/* ---- files ---- */

static int read_descriptor(int fd, size_t max_bytes, char *buffer, size_t *len)
{
    *len = 0;
    for (;;) {
        ssize_t got = read(fd, buffer + *len, max_bytes + 1 - *len);
        if (got < 0 && errno != EINTR) {
            return -errno;
        }
        if (got == 0) {
            return memchr(buffer, '\0', *len) != NULL ? -EINVAL : 0;
        }
        *len += got > 0 ? (size_t)got : 0;
        if (*len > max_bytes) {
            return -EFBIG;
        }
    }
}

int config_read_file(const char *path, size_t max_bytes, char **out, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        int code = errno;
        return err_set(err, code, "%s: %s", path, strerrordesc_np(code));
    }
    cleanup_free char *buffer = memory_alloc(max_bytes + 2);
    size_t len;
    int status = read_descriptor(fd, max_bytes, buffer, &len);
    close(fd);
    if (status == -EFBIG) {
        return err_set(err, EFBIG, "%s: over %zu bytes long", path, max_bytes);
    }
    if (status != 0) {
        return err_set(err, -status, "%s: %s", path,
                       status == -EINVAL ? "has a NUL byte" : strerrordesc_np(-status));
    }
    while (len > 0 && (buffer[len - 1] == '\n' || buffer[len - 1] == '\r')) {
        len--;
    }
    buffer[len] = '\0';
    *out = memory_steal(buffer);
    return 0;
}
