#include "proto/registration.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "common/memory.h"
#include "proto/json_reader.h"
#include "proto/json_writer.h"
#include "proto/text.h"

enum { HEAD_SIZE = 2048, ENTRY_SIZE = 1024, MAX_VALUES = 64 * LIMIT_REGISTRATION_CONTAINERS };

static const struct json_bounds bounds = {"registration", LIMIT_REGISTRATION_BYTES, MAX_VALUES};

void registration_init(struct registration *registration)
{
    *registration = (struct registration){0};
}

void registration_fini(struct registration *registration)
{
    for (size_t each = 0; each < registration->count; each++) {
        heartbeat_fini(&registration->entries[each].beat);
    }
    free(registration->entries);
    registration->entries = NULL;
    registration->count = 0;
}

/* ---- reading ---- */

static int read_container(cJSON *item, struct registration_entry *out, struct err *err)
{
    container_spec_init(&out->spec);
    cJSON *spec = cJSON_IsObject(item) ? cJSON_GetObjectItemCaseSensitive(item, "spec") : NULL;
    if (spec != NULL) {
        int status = container_spec_from_json(spec, &out->spec, err);
        if (status != 0) {
            return status;
        }
        cJSON_Delete(cJSON_DetachItemViaPointer(item, spec));
    }
    int status = heartbeat_from_json(item, &out->beat, err);
    if (status == 0 && out->beat.container[0] == '\0') {
        heartbeat_fini(&out->beat);
        return err_set(err, EINVAL, "container is missing");
    }
    return status;
}

static void read_entry(cJSON *item, struct registration *out, size_t *bad, struct err *err)
{
    struct err cause = {0};
    if (read_container(item, &out->entries[out->count], &cause) == 0) {
        out->count++;
        return;
    }
    if (*bad == 0 && err != NULL) {
        *err = cause;
        err_wrap(err, "registration: entry %zu", out->count + 1);
    }
    ++*bad;
}

static int read_entries(cJSON *array, struct registration *out, size_t *bad, struct err *err)
{
    size_t count = (size_t)cJSON_GetArraySize(array);
    if (count > LIMIT_REGISTRATION_CONTAINERS) {
        return err_set(err, EMSGSIZE, "registration: %zu containers, at most %d", count,
                       LIMIT_REGISTRATION_CONTAINERS);
    }
    /* Not zeroed: an entry has 4 KB and is initialised field by field. */
    out->entries = memory_grow(NULL, count, sizeof *out->entries);
    for (cJSON *item = array->child; item != NULL; item = item->next) {
        read_entry(item, out, bad, err);
    }
    return 0;
}

static void read_counters(const cJSON *tree, struct registration *out)
{
    out->counter_count = 0;
    for (const cJSON *item = tree->child; item != NULL && out->counter_count < REGISTRATION_COUNTERS;
         item = item->next) {
        struct registration_counter *counter = &out->counters[out->counter_count];
        bool is_short = strlen(item->string) < sizeof counter->name;
        if (is_short && json_reader_signed(item, INT64_MIN, INT64_MAX, &counter->value)) {
            memory_set_text(counter->name, sizeof counter->name, item->string);
            out->counter_count++;
        }
    }
}

static void read_text(const cJSON *tree, const char *name, char *out, size_t size)
{
    json_reader_text(cJSON_GetObjectItemCaseSensitive(tree, name), out, size);
}

static int read_name(const cJSON *tree, const char *name, char *out, size_t size, struct err *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(tree, name);
    int status = item == NULL ? err_set(err, EINVAL, "%s is missing", name)
                              : json_reader_name(item, name, out, size, err);
    if (status != 0) {
        err_wrap(err, "registration");
    }
    return status;
}

static void read_head(const cJSON *tree, struct registration *out)
{
    json_reader_unsigned(cJSON_GetObjectItemCaseSensitive(tree, "change"), &out->change);
    read_text(tree, "url", out->url, sizeof out->url);
    read_text(tree, "version", out->version, sizeof out->version);
    json_reader_unsigned(cJSON_GetObjectItemCaseSensitive(tree, "seq"), &out->seq);
    json_reader_time(cJSON_GetObjectItemCaseSensitive(tree, "started_at"), &out->started_at);
    json_reader_time(cJSON_GetObjectItemCaseSensitive(tree, "timestamp"), &out->timestamp);
    read_text(tree, "boot_id", out->boot_id, sizeof out->boot_id);
    json_reader_bool(cJSON_GetObjectItemCaseSensitive(tree, "engine_up"), &out->is_engine_up);
    read_text(tree, "engine_version", out->engine_version, sizeof out->engine_version);
    json_reader_unsigned(cJSON_GetObjectItemCaseSensitive(tree, "epoch"), &out->epoch);
    const cJSON *counters = cJSON_GetObjectItemCaseSensitive(tree, "counters");
    if (cJSON_IsObject(counters)) {
        read_counters(counters, out);
    }
}

static int read_document(cJSON *tree, struct registration *out, size_t *bad, struct err *err)
{
    int status = read_name(tree, "host", out->host, sizeof out->host, err);
    if (status == 0) {
        status = read_name(tree, "agent", out->agent, sizeof out->agent, err);
    }
    if (status != 0) {
        return status;
    }
    read_head(tree, out);
    /* An inventory without its list would look as if every container were gone. */
    cJSON *containers = cJSON_GetObjectItemCaseSensitive(tree, "containers");
    if (!cJSON_IsArray(containers)) {
        return err_set(err, EINVAL, "registration: containers is no array");
    }
    return read_entries(containers, out, bad, err);
}

int registration_decode(const char *bytes, size_t len, struct registration *out, size_t *bad, struct err *err)
{
    registration_init(out);
    size_t bad_entries = 0;
    cleanup_json cJSON *tree = NULL;
    int status = json_reader_parse(bytes, len, &bounds, &tree, err);
    if (status == 0) {
        status = read_document(tree, out, &bad_entries, err);
    }
    if (status != 0) {
        registration_fini(out);
        registration_init(out);
    }
    if (bad != NULL) {
        *bad = bad_entries;
    }
    return status;
}

/* ---- peeking ---- */

struct peek {
    const char *at, *end;
};

static bool peek_literal(struct peek *peek, const char *literal)
{
    size_t len = strlen(literal);
    if ((size_t)(peek->end - peek->at) < len || memcmp(peek->at, literal, len) != 0) {
        return false;
    }
    peek->at += len;
    return true;
}

/* A name without escapes, up to its closing quote. */
static bool peek_name(struct peek *peek, char *out, size_t size)
{
    const char *quote = memchr(peek->at, '"', (size_t)(peek->end - peek->at));
    size_t len = quote == NULL ? 0 : (size_t)(quote - peek->at);
    if (quote == NULL || len >= size || memchr(peek->at, '\\', len) != NULL || !text_is_name(peek->at, len)) {
        return false;
    }
    memcpy(out, peek->at, len);
    out[len] = '\0';
    peek->at = quote + 1;
    return true;
}

static bool peek_unsigned(struct peek *peek, uint64_t *out)
{
    const char *start = peek->at;
    uint64_t value = 0;
    while (peek->at < peek->end && *peek->at >= '0' && *peek->at <= '9') {
        value = value * 10 + (uint64_t)(*peek->at - '0');
        peek->at++;
        if (value >= UINT64_C(1) << 53) {
            return false;
        }
    }
    *out = value;
    return peek->at > start && peek->at < peek->end && (*peek->at == ',' || *peek->at == '}');
}

int registration_peek(const char *bytes, size_t len, char host[LIMIT_NAME_SIZE],
                      char agent[LIMIT_COMMAND_ID_SIZE], uint64_t *change)
{
    struct peek peek = {bytes, bytes + len};
    bool is_there = peek_literal(&peek, "{\"host\":\"") && peek_name(&peek, host, LIMIT_NAME_SIZE) &&
                    peek_literal(&peek, ",\"agent\":\"") && peek_name(&peek, agent, LIMIT_COMMAND_ID_SIZE) &&
                    peek_literal(&peek, ",\"change\":") && peek_unsigned(&peek, change);
    return is_there ? 0 : -EINVAL;
}

static bool peek_signed(struct peek *peek, int64_t *out)
{
    uint64_t value;
    bool is_negative = peek_literal(peek, "-");
    if (!peek_unsigned(peek, &value)) {
        return false;
    }
    *out = is_negative ? -(int64_t)value : (int64_t)value;
    return true;
}

/* A quote within a text is written with a backslash: these bytes are no text's. */
size_t registration_peek_counters(const char *bytes, size_t len,
                                  struct registration_counter out[REGISTRATION_COUNTERS])
{
    static const char start[] = ",\"counters\":{";
    const char *at = memmem(bytes, len < HEAD_SIZE ? len : HEAD_SIZE, start, sizeof start - 1);
    size_t count = 0;
    if (at == NULL) {
        return 0;
    }
    struct peek peek = {at + sizeof start - 1, bytes + len};
    while (count < REGISTRATION_COUNTERS && peek_literal(&peek, "\"") &&
           peek_name(&peek, out[count].name, sizeof out[count].name) && peek_literal(&peek, ":") &&
           peek_signed(&peek, &out[count].value)) {
        count++;
        if (!peek_literal(&peek, ",")) {
            break;
        }
    }
    return count;
}

/* ---- writing ---- */

static void write_counters(struct json_writer *writer, const struct registration *registration)
{
    json_writer_open(writer, "counters", '{');
    for (size_t each = 0; each < registration->counter_count; each++) {
        json_writer_signed(writer, registration->counters[each].name, registration->counters[each].value);
    }
    json_writer_close(writer, '}');
}

static void write_head(struct json_writer *writer, const struct registration *registration)
{
    json_writer_text(writer, "host", registration->host);
    json_writer_text(writer, "agent", registration->agent);
    json_writer_unsigned(writer, "change", registration->change);
    json_writer_text_if_any(writer, "url", registration->url);
    json_writer_text_if_any(writer, "version", registration->version);
    json_writer_unsigned(writer, "seq", registration->seq);
    json_writer_time(writer, "started_at", registration->started_at, JSON_ROUND_DOWN);
    json_writer_time(writer, "timestamp", registration->timestamp, JSON_ROUND_DOWN);
    json_writer_text_if_any(writer, "boot_id", registration->boot_id);
    json_writer_bool(writer, "engine_up", registration->is_engine_up);
    json_writer_text_if_any(writer, "engine_version", registration->engine_version);
    json_writer_unsigned(writer, "epoch", registration->epoch);
    write_counters(writer, registration);
}

char *registration_encode_each(const struct registration *registration, registration_next next, void *arg,
                               size_t expected, size_t *len)
{
    struct json_writer writer;
    json_writer_init(&writer, JSON_COMPACT, HEAD_SIZE + expected * ENTRY_SIZE);
    json_writer_open(&writer, NULL, '{');
    write_head(&writer, registration);
    json_writer_open(&writer, "containers", '[');
    struct registration_lent entry;
    size_t count = 0;
    while (writer.len <= LIMIT_REGISTRATION_BYTES && next(arg, &entry)) {
        json_writer_open(&writer, NULL, '{');
        heartbeat_write(&writer, entry.beat, false);
        const struct cJSON *details = heartbeat_check_details(entry.beat);
        if (details != NULL) {
            json_writer_tree(&writer, "check_details", details);
        }
        container_spec_write(&writer, "spec", entry.spec);
        json_writer_close(&writer, '}');
        count++;
    }
    json_writer_close(&writer, ']');
    json_writer_close(&writer, '}');
    if (writer.len > LIMIT_REGISTRATION_BYTES || count > LIMIT_REGISTRATION_CONTAINERS) {
        json_writer_fini(&writer);
        return NULL;
    }
    return json_writer_take(&writer, len);
}

struct array_source {
    const struct registration *registration;
    size_t next;
};

static bool next_of_array(void *arg, struct registration_lent *out)
{
    struct array_source *source = arg;
    if (source->next == source->registration->count) {
        return false;
    }
    const struct registration_entry *entry = &source->registration->entries[source->next++];
    *out = (struct registration_lent){&entry->beat, &entry->spec};
    return true;
}

char *registration_encode(const struct registration *registration, size_t *len)
{
    struct array_source source = {.registration = registration};
    return registration->count > LIMIT_REGISTRATION_CONTAINERS
               ? NULL
               : registration_encode_each(registration, next_of_array, &source, registration->count, len);
}
