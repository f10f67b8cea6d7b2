/*
 * Settings from environment variables, driven by a table: parsing, `--help`, `--check-config` and the
 * settings section of the man pages all read the same rows.
 *
 * A row's value comes from the variable NAME; a secret may instead come from the file that NAME_FILE names
 * (trailing newlines dropped; both set is an error). An empty variable counts as not set. The whole text must
 * parse, else -EINVAL and one line that names the setting, its value and what is allowed:
 *
 *   HEARTBEAT_TTL_SECS="abc": allowed are seconds from 0.1 to 86400, fractions such as 0.2 too
 */
#ifndef DEFIB_COMMON_CONFIG_H
#define DEFIB_COMMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/err.h"

enum config_type {
    CONFIG_BOOL,         /* bool: true/false, yes/no, on/off, 1/0, any case */
    CONFIG_INT,          /* int64_t within min..max */
    CONFIG_REAL,         /* double within min..max */
    CONFIG_SECONDS,      /* int64_t milliseconds from decimal seconds ("0.2"); min and max are seconds */
    CONFIG_SECONDS_LIST, /* struct config_durations: "5,15,45" */
    CONFIG_TEXT,         /* char * (owned), never NULL; "" when not set */
    CONFIG_PATTERNS,     /* struct name_patterns */
    CONFIG_CHOICE        /* int: index into `choices` */
};

#define CONFIG_DURATIONS_MAX 16

struct config_durations {
    int64_t ms[CONFIG_DURATIONS_MAX];
    size_t count; /* at least 1 */
};

struct config_row {
    const char *name;
    enum config_type type;
    unsigned programs;          /* bit set: which programs read it; the caller's own bits */
    bool is_secret;             /* masked in --check-config; NAME_FILE is read too */
    const char *default_text;   /* parsed like a value; NULL: derived later by the caller */
    double min, max;            /* INT, REAL, SECONDS, and each part of SECONDS_LIST */
    const char *const *choices; /* CHOICE: NULL-terminated */
    const char *unit;           /* "s", "%", "" … */
    const char *help;           /* one line */
    size_t offset;              /* of the value within the settings struct */
    size_t set_offset;          /* of a bool told whether it was given; SIZE_MAX: nobody asks */
};

/* Looks variables up; `getenv` in production. */
typedef const char *(*config_lookup)(void *arg, const char *name);

/* Fills every row of `program` in the zeroed struct at `out`, defaults included; a row without a default
 * becomes 0, "" or empty, and so does every text and list of rows that other programs read. 0 or -EINVAL; on
 * failure everything that was allocated is freed. Blocks on the files of NAME_FILE, reads no others. */
int config_load(const struct config_row *rows, size_t count, unsigned program, config_lookup lookup,
                void *arg, void *out, struct err *err);
void config_free(const struct config_row *rows, size_t count, void *values);

/* For cross-checks: fills err with `NAME="value": ` and `allowed`, from the row's present value. Returns
 * -EINVAL. */
int config_refuse(const struct config_row *rows, size_t count, const void *values, const char *name,
                  struct err *err, const char *allowed);

/* One variable NAME=value a line, effective values; secrets, and logins inside URLs, are masked by "***". */
void config_print(const struct config_row *rows, size_t count, unsigned program, const void *values,
                  FILE *out);

/* The `--help` table: name, default, range, help. */
void config_print_help(const struct config_row *rows, size_t count, unsigned program, FILE *out);

/* Reads a whole small file (at most max_bytes) into a fresh string, trailing newlines dropped. Blocks. 0, or
 * -errno with the path and the cause: -EFBIG where it is larger, -EINVAL where it has a NUL byte. */
int config_read_file(const char *path, size_t max_bytes, char **out, struct err *err);

#endif
