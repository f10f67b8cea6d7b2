/*
 * The heartbeat as text: status, checks, metrics. Pure but for its memory; part of libdefib-beat.
 */
#ifndef DEFIB_COMMON_BEAT_BEAT_DOCUMENT_H
#define DEFIB_COMMON_BEAT_BEAT_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/beat/defib_beat.h"

enum { BEAT_FIELD_NAME_SIZE = 64, BEAT_FIELDS_MAX = 128, BEAT_NUMBER_SIZE = 32 };

/* One check or metric, spelled as JSON. */
struct beat_field {
    char name[BEAT_FIELD_NAME_SIZE];
    char value[BEAT_NUMBER_SIZE];
};

struct beat_fields {
    struct beat_field *items; /* owned */
    size_t count;
};

struct beat_document {
    char service[256], instance[256], version[64], hostname[256];
    enum defib_beat_status status;
    struct wall started_at;
    bool is_precise; /* milliseconds in the timestamp: several beats a second must differ */
    struct beat_fields checks, metrics;
};

void beat_document_fini(struct beat_document *document);

/* Text for JSON: names of services and the like. */
bool beat_document_is_name(const char *text, size_t size);

/* *is_changed is left alone where the value is what it was. 0, -EINVAL, -ENOSPC, -ENOMEM. */
int beat_document_set(struct beat_fields *fields, const char *name, const char *value, bool *is_changed);

/* Shortest spelling that reads back as the same double, whatever the locale. -EINVAL: not finite. */
int beat_document_spell(double value, char out[BEAT_NUMBER_SIZE]);

const char *beat_document_status_word(enum defib_beat_status status); /* NULL: none of the enum's */

/* Fresh text, given; NULL: out of memory. */
char *beat_document_encode(const struct beat_document *document, struct wall now, size_t *len);

#endif
