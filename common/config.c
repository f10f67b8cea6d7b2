#include "common/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/config_value.h"
#include "common/memory.h"
#include "common/name_patterns.h"

enum { SECRET_FILE_MAX = 16 * 1024 };

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
    } else if (*out == NULL || **out == '\0') {
        fault = "the file is empty; allowed is a file with the value in it";
    }
    if (fault == NULL) {
        return 0;
    }
    char shown[CONFIG_VALUE_QUOTED_SIZE];
    config_value_quote(path, false, shown);
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
    return text == NULL ? 0 : config_value_parse(row, text, config_value_at(row, values), err);
}

int config_load(const struct config_row *rows, size_t count, unsigned program, config_lookup lookup,
                void *arg, void *out, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        if (rows[i].type == CONFIG_TEXT) {
            *(char **)config_value_at(&rows[i], out) = memory_copy_text("");
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
            char **text = config_value_at(&rows[i], values);
            free(*text);
            *text = NULL;
        } else if (rows[i].type == CONFIG_PATTERNS) {
            name_patterns_free(config_value_at(&rows[i], values));
        }
    }
}

int config_refuse(const struct config_row *rows, size_t count, const void *values, const char *name,
                  struct err *err, const char *allowed)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            cleanup_free char *shown = config_value_show(&rows[i], values);
            char quoted[CONFIG_VALUE_QUOTED_SIZE];
            config_value_quote(shown, false, quoted);
            return err_set(err, EINVAL, "%s=\"%s\": %s", name, quoted, allowed);
        }
    }
    return err_set(err, EINVAL, "%s: %s", name, allowed);
}

/* ---- printing ---- */

void config_print(const struct config_row *rows, size_t count, unsigned program, const void *values,
                  FILE *out)
{
    for (size_t i = 0; i < count; i++) {
        if ((rows[i].programs & program) != 0) {
            cleanup_free char *text = config_value_show(&rows[i], values);
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
