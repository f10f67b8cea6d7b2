#include "common/beat/beat_document.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/timestamp.h"
#include "proto/text.h"

static const char *const status_words[] = {"starting", "healthy", "degraded", "unhealthy", "stopping"};

const char *beat_document_status_word(enum defib_beat_status status)
{
    size_t at = (size_t)status;
    return at < sizeof status_words / sizeof status_words[0] ? status_words[at] : NULL;
}

bool beat_document_is_name(const char *text, size_t size)
{
    size_t len = strnlen(text, size);
    return len < size && text_is_name(text, len);
}

static bool is_field_name(const char *name)
{
    size_t len = strnlen(name, BEAT_FIELD_NAME_SIZE);
    for (size_t i = 0; i < len; i++) {
        if (name[i] <= ' ' || name[i] > '~' || name[i] == '"' || name[i] == '\\') {
            return false;
        }
    }
    return len > 0 && len < BEAT_FIELD_NAME_SIZE;
}

int beat_document_spell(double value, char out[BEAT_NUMBER_SIZE])
{
    if (!isfinite(value)) {
        return -EINVAL;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, BEAT_NUMBER_SIZE, "%.*g", digits, value);
        if (strtod(out, NULL) == value) {
            break;
        }
    }
    /* Whatever the program's locale writes as its decimal point. */
    size_t point = strspn(out, "-0123456789");
    size_t rest = strcspn(out + point, "0123456789e");
    if (rest > 0) {
        out[point] = '.';
        memmove(out + point + 1, out + point + rest, strlen(out + point + rest) + 1);
    }
    return 0;
}

int beat_document_set(struct beat_fields *fields, const char *name, const char *value, bool *is_changed)
{
    if (!is_field_name(name)) {
        return -EINVAL;
    }
    size_t at = 0;
    while (at < fields->count && strcmp(fields->items[at].name, name) != 0) {
        at++;
    }
    if (at < fields->count) {
        *is_changed |= strcmp(fields->items[at].value, value) != 0;
        snprintf(fields->items[at].value, BEAT_NUMBER_SIZE, "%s", value);
        return 0;
    }
    if (fields->count == BEAT_FIELDS_MAX) {
        return -ENOSPC;
    }
    struct beat_field *items = realloc(fields->items, (fields->count + 1) * sizeof *items);
    if (items == NULL) {
        return -ENOMEM;
    }
    fields->items = items;
    snprintf(items[at].name, BEAT_FIELD_NAME_SIZE, "%s", name);
    snprintf(items[at].value, BEAT_NUMBER_SIZE, "%s", value);
    fields->count++;
    *is_changed = true;
    return 0;
}

void beat_document_fini(struct beat_document *document)
{
    free(document->checks.items);
    free(document->metrics.items);
}

/* ---- as text ---- */

/* What was checked by text_is_name needs two escapes. */
static void put_text(FILE *out, const char *key, const char *text)
{
    fprintf(out, "\"%s\":\"", key);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            fputc('\\', out);
        }
        fputc(*text, out);
    }
    fputs("\",", out);
}

static void put_time(FILE *out, const char *key, struct wall when, bool is_precise)
{
    char text[TIMESTAMP_SIZE];
    if (is_precise) {
        timestamp_format_ms(when, text);
    } else {
        timestamp_format(when, text);
    }
    put_text(out, key, text);
}

static void put_fields(FILE *out, const char *key, const struct beat_fields *fields)
{
    fprintf(out, "\"%s\":{", key);
    for (size_t i = 0; i < fields->count; i++) {
        fprintf(out, "%s\"%s\":%s", i == 0 ? "" : ",", fields->items[i].name, fields->items[i].value);
    }
    fputs("},", out);
}

char *beat_document_encode(const struct beat_document *document, struct wall now, size_t *len)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, len);
    if (out == NULL) {
        return NULL;
    }
    fputc('{', out);
    put_text(out, "service", document->service);
    put_text(out, "instance_id", document->instance);
    put_text(out, "status", beat_document_status_word(document->status));
    put_time(out, "started_at", document->started_at, false);
    put_time(out, "timestamp", now, document->is_precise);
    put_fields(out, "checks", &document->checks);
    put_fields(out, "metrics", &document->metrics);
    if (document->version[0] != '\0') {
        put_text(out, "version", document->version);
    }
    if (document->hostname[0] != '\0') {
        put_text(out, "hostname", document->hostname);
    }
    fputs("\"source\":\"app\"}", out);
    bool is_whole = ferror(out) == 0;
    if (fclose(out) != 0 || !is_whole) {
        free(text);
        return NULL;
    }
    return text;
}
