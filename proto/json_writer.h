/*
 * Writes JSON text straight into a growing buffer. Pure.
 *
 * `key` is NULL within an array and for the outermost value. Text that is not UTF-8 (a detail cut within a
 * character) comes out with U+FFFD in place of each bad byte, so that our own reader takes what we wrote.
 */
#ifndef DEFIB_PROTO_JSON_WRITER_H
#define DEFIB_PROTO_JSON_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"

struct cJSON;

enum json_spacing {
    JSON_COMPACT, /* {"a":1,"b":2} */
    JSON_SPACED   /* {"a": 1, "b": 2}, as Python writes it and the runbook shows it */
};

struct json_writer {
    char *text; /* owned */
    size_t len, size;
    enum json_spacing spacing;
    bool needs_comma;
};

void json_writer_init(struct json_writer *writer, enum json_spacing spacing, size_t first_size);
char *json_writer_take(struct json_writer *writer, size_t *len); /* NUL-terminated, given; len may be NULL */
void json_writer_fini(struct json_writer *writer);

void json_writer_open(struct json_writer *writer, const char *key, char bracket); /* '{' or '[' */
void json_writer_close(struct json_writer *writer, char bracket);                 /* '}' or ']' */

void json_writer_text(struct json_writer *writer, const char *key, const char *text);
/* An empty text is null, or no member at all. */
void json_writer_text_or_null(struct json_writer *writer, const char *key, const char *text);
void json_writer_text_if_any(struct json_writer *writer, const char *key, const char *text);
void json_writer_signed(struct json_writer *writer, const char *key, int64_t value);
void json_writer_unsigned(struct json_writer *writer, const char *key, uint64_t value);
/* The shortest spelling that reads back as the same double; whole numbers without a fraction; null where
 * it is not finite. */
void json_writer_real(struct json_writer *writer, const char *key, double value);
void json_writer_bool(struct json_writer *writer, const char *key, bool value);
void json_writer_null(struct json_writer *writer, const char *key);

/* Second precision. A time of 0 is null. ROUND_UP for deadlines: never earlier than meant. */
enum json_rounding { JSON_ROUND_DOWN, JSON_ROUND_UP };
void json_writer_time(struct json_writer *writer, const char *key, struct wall when,
                      enum json_rounding rounding);

/* JSON text as it is: the caller knows that it is one whole value. */
void json_writer_raw(struct json_writer *writer, const char *key, const char *json, size_t len);

/* The tree with all below it; its own name (item->string) is not used. */
void json_writer_tree(struct json_writer *writer, const char *key, const struct cJSON *tree);

#endif
