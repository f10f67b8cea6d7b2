/*
 * JSON from outside, bounded: wraps cJSON's parser. Pure.
 *
 * Sizes, depth, number of values, UTF-8 and the spelling of numbers are checked in one pass before cJSON
 * sees the text; what cJSON would let through (control characters, \u0000, "01", trailing bytes) is refused.
 * Python's NaN and Infinity, which json.dumps() writes, are read as null: one odd metric must not make a
 * living service look dead.
 *
 * An integer from 2^53 on, or a number that no double holds, keeps its exact spelling in `valuestring` beside
 * `valuedouble`; json_writer writes it back from there.
 */
#ifndef DEFIB_PROTO_JSON_READER_H
#define DEFIB_PROTO_JSON_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/err.h"

struct cJSON;

struct json_bounds {
    const char *what; /* "heartbeat": for errors */
    size_t max_bytes;
    size_t max_values; /* cJSON takes about 100 bytes for each */
};

/* The root must be an object. *out is given. 0, -EMSGSIZE, or -EINVAL with the place and an excerpt. */
int json_reader_parse(const char *bytes, size_t len, const struct json_bounds *bounds, struct cJSON **out,
                      struct err *err);

/* What our own writer wrote: a failure is our bug. Given. */
struct cJSON *json_reader_parse_own(const char *text, size_t len);

void json_reader_cleanup(struct cJSON **tree);
#define cleanup_json __attribute__((cleanup(json_reader_cleanup)))

/* Walking: the member of this name, the first item, the next one; NULL where there is none. All borrowed. */
const struct cJSON *json_reader_member(const struct cJSON *object, const char *name);
const struct cJSON *json_reader_first(const struct cJSON *tree);
const struct cJSON *json_reader_next(const struct cJSON *item);
const char *json_reader_label(const struct cJSON *item); /* its name in its object, "" in an array */

/* -EINVAL: "FIELD is WHAT CAME, wanted WANTED". An item that is not there is NULL, here and below. */
int json_reader_refuse(const struct cJSON *item, const char *field, const char *wanted, struct err *err);

/* A text that names something: 0, or -EINVAL for another type, empty, too long or control characters. */
int json_reader_name(const struct cJSON *item, const char *field, char *out, size_t size, struct err *err);

/* The rest return false, and leave *out alone, where the item is not of that kind. */
bool json_reader_text(const struct cJSON *item, char *out, size_t size); /* cut to fit */
bool json_reader_signed(const struct cJSON *item, int64_t min, int64_t max, int64_t *out);
bool json_reader_unsigned(const struct cJSON *item, uint64_t *out); /* below 2^53 */
bool json_reader_real(const struct cJSON *item, double *out);
bool json_reader_bool(const struct cJSON *item, bool *out);
bool json_reader_time(const struct cJSON *item, struct wall *out); /* null: 0 */

/* Unlinks `item` from `parent` and links it into *into, made where NULL; keeps its name. Constant time. */
void json_reader_move(struct cJSON *parent, struct cJSON *item, struct cJSON **into);

/* Adds a deep copy of `item` under its name to *into, made where NULL. */
void json_reader_add_copy(const struct cJSON *item, struct cJSON **into);

/* Deep copy; NULL stays NULL. */
struct cJSON *json_reader_copy(const struct cJSON *tree);

#endif
