#include "proto/journal.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "common/memory.h"
#include "proto/container_spec.h"
#include "proto/json_reader.h"
#include "proto/json_writer.h"

enum { FIRST_SIZE = 256, SEED_SIZE = 17 };

#define MOST_MS (INT64_C(1) << 52)

#define KIND_BIT(kind) (1u << JOURNAL_##kind)

#define KIND_NAME(member, word) word,
static const char *const kind_names[] = {JOURNAL_KIND_WORDS(KIND_NAME)};
#undef KIND_NAME

enum field_kind {
    FIELD_TEXT,
    FIELD_SIGNED,
    FIELD_UNSIGNED,
    FIELD_TIME, /* milliseconds, of either clock */
    FIELD_FLAG
};

struct field {
    const char *name;
    unsigned kinds; /* that have it, all of them always */
    enum field_kind kind;
    size_t offset;
};

#define FIELD(text, what, kinds, member)                          \
    {                                                             \
        text, kinds, what, offsetof(struct journal_input, member) \
    }

static const struct field fields[] = {
    FIELD("container", FIELD_TEXT,
          KIND_BIT(BEAT) | KIND_BIT(AGAIN) | KIND_BIT(KEY) | KIND_BIT(STATE) | KIND_BIT(RESET) |
              KIND_BIT(STORED) | KIND_BIT(SENT) | KIND_BIT(ANSWER) | KIND_BIT(HEARD),
          container),
    FIELD("host", FIELD_TEXT, KIND_BIT(INVENTORY) | KIND_BIT(UNCHANGED) | KIND_BIT(HEARD) | KIND_BIT(FORGET),
          host),
    FIELD("agent", FIELD_TEXT, KIND_BIT(INVENTORY) | KIND_BIT(UNCHANGED) | KIND_BIT(AGAIN), agent),
    FIELD("change", FIELD_UNSIGNED, KIND_BIT(INVENTORY) | KIND_BIT(UNCHANGED), change),
    FIELD("seq", FIELD_UNSIGNED, KIND_BIT(INVENTORY) | KIND_BIT(AGAIN), seq),
    FIELD("path", FIELD_SIGNED, KIND_BIT(INVENTORY) | KIND_BIT(UNCHANGED) | KIND_BIT(HEARD), path),
    FIELD("since", FIELD_TIME, KIND_BIT(HEARD) | KIND_BIT(TILT) | KIND_BIT(TICK), since),
    FIELD("value", FIELD_SIGNED, KIND_BIT(REDIS) | KIND_BIT(KEY) | KIND_BIT(STORED) | KIND_BIT(HOLD), value),
    FIELD("token", FIELD_UNSIGNED, KIND_BIT(STORED) | KIND_BIT(START), token),
    FIELD("word_seq", FIELD_UNSIGNED, KIND_BIT(INVENTORY), word_seq),
    FIELD("id", FIELD_TEXT, KIND_BIT(SENT) | KIND_BIT(ANSWER), id),
    FIELD("status", FIELD_SIGNED, KIND_BIT(ANSWER), status),
    FIELD("code", FIELD_SIGNED, KIND_BIT(ANSWER), code),
    FIELD("detail", FIELD_TEXT, KIND_BIT(ANSWER), detail),
    FIELD("hold", FIELD_TEXT, KIND_BIT(HOLD), hold),
    FIELD("name", FIELD_TEXT, KIND_BIT(HOLD) | KIND_BIT(HEARD), name),
    FIELD("until", FIELD_TIME, KIND_BIT(HOLD), until),
    FIELD("stamp", FIELD_TIME, KIND_BIT(BEAT) | KIND_BIT(AGAIN), stamp),
    FIELD("leader", FIELD_FLAG, KIND_BIT(LEADER) | KIND_BIT(START), is_leader),
    FIELD("epoch", FIELD_UNSIGNED, KIND_BIT(LEADER) | KIND_BIT(START), epoch),
    FIELD("check_at", FIELD_TIME, KIND_BIT(START), check_at),
    FIELD("hosts_at", FIELD_TIME, KIND_BIT(START), hosts_at),
    FIELD("settled_at", FIELD_TIME, KIND_BIT(START), settled_at),
    FIELD("redis_up", FIELD_FLAG, KIND_BIT(START), is_redis_up),
    FIELD("redis_since", FIELD_TIME, KIND_BIT(START), redis_since),
};
enum { FIELDS = sizeof fields / sizeof fields[0] };

_Static_assert(sizeof(struct mono) == sizeof(int64_t) && sizeof(struct wall) == sizeof(int64_t),
               "FIELD_TIME reads either clock as a number");

void journal_input_init(struct journal_input *input, enum journal_kind kind, struct mono at, struct wall wall)
{
    *input = (struct journal_input){.kind = kind,
                                    .at = at,
                                    .wall = wall,
                                    .container = "",
                                    .host = "",
                                    .agent = "",
                                    .hold = "",
                                    .name = "",
                                    .id = "",
                                    .detail = ""};
}

void journal_input_fini(struct journal_input *input)
{
    if (input->beat != NULL) {
        heartbeat_fini(input->beat);
    }
    if (input->registration != NULL) {
        registration_fini(input->registration);
    }
    if (input->state != NULL) {
        restart_state_fini(input->state);
    }
    free(input->beat);
    free(input->registration);
    free(input->state);
    free(input->gone);
    free(input->ticks);
    cJSON_Delete(input->tree);
    *input = (struct journal_input){.kind = JOURNAL_KIND_N};
}

const char *journal_kind_name(enum journal_kind kind)
{
    return (unsigned)kind < JOURNAL_KIND_N ? kind_names[kind] : "unknown";
}

/* ---- writing ---- */

static void write_field(struct json_writer *writer, const struct field *field,
                        const struct journal_input *input)
{
    const void *member = (const char *)input + field->offset;
    switch (field->kind) {
    case FIELD_TEXT:
        json_writer_text(writer, field->name, *(const char *const *)member);
        break;
    case FIELD_SIGNED:
    case FIELD_TIME:
        json_writer_signed(writer, field->name, *(const int64_t *)member);
        break;
    case FIELD_UNSIGNED:
        json_writer_unsigned(writer, field->name, *(const uint64_t *)member);
        break;
    case FIELD_FLAG:
        json_writer_bool(writer, field->name, *(const bool *)member);
        break;
    }
}

static void write_start(struct json_writer *writer, const struct journal_input *input)
{
    static const char *const names[] = {"seed", "seed2"};
    if (input->have_others_led) {
        json_writer_bool(writer, "others_led", true);
    }
    for (size_t i = 0; i < 2; i++) {
        char hex[SEED_SIZE]; /* more than a number in JSON holds */
        snprintf(hex, sizeof hex, "%016" PRIx64, input->seed[i]);
        json_writer_text(writer, names[i], hex);
    }
    cleanup_json cJSON *settings = json_reader_parse_own(input->settings, strlen(input->settings));
    json_writer_tree(writer, "settings", settings);
}

static void write_beat(struct json_writer *writer, const struct heartbeat *beat)
{
    json_writer_open(writer, "beat", '{');
    heartbeat_write(writer, beat, false);
    json_writer_close(writer, '}');
}

static void write_inventory(struct json_writer *writer, const struct journal_input *input)
{
    const struct registration *registration = input->registration;
    json_writer_bool(writer, "engine_up", registration->is_engine_up);
    json_writer_open(writer, "entries", '[');
    for (size_t i = 0; i < registration->count; i++) {
        if (input->is_changed != NULL && !input->is_changed[i]) {
            continue;
        }
        json_writer_open(writer, NULL, '{');
        heartbeat_write(writer, &registration->entries[i].beat, false);
        container_spec_write(writer, "spec", &registration->entries[i].spec);
        json_writer_close(writer, '}');
    }
    json_writer_close(writer, ']');
    json_writer_open(writer, "gone", '[');
    for (size_t i = 0; i < input->gone_count; i++) {
        json_writer_text(writer, NULL, input->gone[i]);
    }
    json_writer_close(writer, ']');
}

/* Pairs: how long after the one before, and how late. */
static void write_ticks(struct json_writer *writer, const struct journal_input *input)
{
    struct mono before = {0};
    json_writer_open(writer, "ticks", '[');
    for (size_t i = 0; i < input->tick_count; i++) {
        json_writer_signed(writer, NULL, mono_diff(input->ticks[i].at, before));
        json_writer_signed(writer, NULL, mono_diff(input->ticks[i].at, input->ticks[i].due));
        before = input->ticks[i].at;
    }
    json_writer_close(writer, ']');
}

char *journal_input_encode(const struct journal_input *input, size_t *len)
{
    struct json_writer writer;
    json_writer_init(&writer, JSON_COMPACT, FIRST_SIZE);
    json_writer_open(&writer, NULL, '{');
    json_writer_text(&writer, "input", journal_kind_name(input->kind));
    json_writer_signed(&writer, "at", input->at.ms);
    json_writer_signed(&writer, "wall", input->wall.ms);
    for (size_t i = 0; i < FIELDS; i++) {
        if ((fields[i].kinds & (1u << input->kind)) != 0) {
            write_field(&writer, &fields[i], input);
        }
    }
    if (input->kind == JOURNAL_START) {
        write_start(&writer, input);
    } else if (input->kind == JOURNAL_BEAT) {
        write_beat(&writer, input->beat);
    } else if (input->kind == JOURNAL_INVENTORY) {
        write_inventory(&writer, input);
    } else if (input->kind == JOURNAL_TICKS) {
        write_ticks(&writer, input);
    } else if (input->kind == JOURNAL_STATE) {
        cleanup_free char *state = restart_state_encode(input->state, NULL);
        json_writer_text(&writer, "state", state);
    }
    json_writer_close(&writer, '}');
    return json_writer_take(&writer, len);
}

/* ---- reading ---- */

static const cJSON *find(const cJSON *tree, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(tree, name);
}

static int read_field(const cJSON *tree, const struct field *field, struct journal_input *out,
                      struct err *err)
{
    static const char *const wanted[] = {[FIELD_TEXT] = "a text",
                                         [FIELD_SIGNED] = "a whole number",
                                         [FIELD_UNSIGNED] = "a whole number from 0",
                                         [FIELD_TIME] = "milliseconds",
                                         [FIELD_FLAG] = "true or false"};
    void *member = (char *)out + field->offset;
    const cJSON *item = find(tree, field->name);
    bool is_read = false;
    switch (field->kind) {
    case FIELD_TEXT:
        is_read = cJSON_IsString(item) && strlen(item->valuestring) < LIMIT_NAME_SIZE;
        if (is_read) {
            *(const char **)member = item->valuestring;
        }
        break;
    case FIELD_SIGNED:
        is_read = json_reader_signed(item, INT32_MIN, INT32_MAX, member);
        break;
    case FIELD_TIME:
        is_read = json_reader_signed(item, 0, MOST_MS, member);
        break;
    case FIELD_UNSIGNED:
        is_read = json_reader_unsigned(item, member);
        break;
    case FIELD_FLAG:
        is_read = json_reader_bool(item, member);
        break;
    }
    return is_read ? 0 : json_reader_refuse(item, field->name, wanted[field->kind], err);
}

static int read_seed(const cJSON *item, uint64_t *out, struct err *err)
{
    char *end = NULL;
    if (cJSON_IsString(item) && strlen(item->valuestring) == SEED_SIZE - 1) {
        *out = strtoull(item->valuestring, &end, 16);
    }
    return end != NULL && *end == '\0' ? 0 : json_reader_refuse(item, "seed", "16 hex digits", err);
}

static int read_start(const cJSON *tree, struct journal_input *out, struct err *err)
{
    out->set = find(tree, "settings");
    if (!cJSON_IsObject(out->set)) {
        return json_reader_refuse(out->set, "settings", "an object", err);
    }
    for (const cJSON *each = out->set->child; each != NULL; each = each->next) {
        if (!cJSON_IsString(each)) {
            return json_reader_refuse(each, each->string, "a text", err);
        }
    }
    const cJSON *others = find(tree, "others_led"); /* only where they did */
    if (others != NULL && !json_reader_bool(others, &out->have_others_led)) {
        return json_reader_refuse(others, others->string, "true or false", err);
    }
    int result = read_seed(find(tree, "seed"), &out->seed[0], err);
    return result != 0 ? result : read_seed(find(tree, "seed2"), &out->seed[1], err);
}

static int read_beat(cJSON *tree, struct journal_input *out, struct err *err)
{
    cJSON *item = cJSON_GetObjectItemCaseSensitive(tree, "beat");
    if (!cJSON_IsObject(item)) {
        return json_reader_refuse(item, "beat", "an object", err);
    }
    out->beat = memory_alloc(sizeof *out->beat);
    int result = heartbeat_from_json(item, out->beat, err);
    out->beat->timestamp = out->stamp;
    return result;
}

static int read_entry(cJSON *item, struct registration_entry *out, struct err *err)
{
    const cJSON *spec = find(item, "spec");
    heartbeat_init(&out->beat);
    container_spec_init(&out->spec);
    int result = spec == NULL ? 0 : container_spec_from_json(spec, &out->spec, err);
    if (result == 0) {
        result = heartbeat_from_json(item, &out->beat, err);
    }
    if (result == 0 && out->beat.container[0] == '\0') {
        result = err_set(err, EINVAL, "container is missing");
    }
    return result;
}

static int read_gone(const cJSON *array, struct journal_input *out, struct err *err)
{
    out->gone = memory_grow(NULL, (size_t)cJSON_GetArraySize(array) + 1, sizeof *out->gone);
    for (const cJSON *each = array->child; each != NULL; each = each->next) {
        if (!cJSON_IsString(each)) {
            return json_reader_refuse(each, "gone", "names", err);
        }
        out->gone[out->gone_count++] = each->valuestring;
    }
    return 0;
}

static int read_inventory(cJSON *tree, struct journal_input *out, struct err *err)
{
    cJSON *entries = cJSON_GetObjectItemCaseSensitive(tree, "entries");
    const cJSON *gone = find(tree, "gone");
    out->registration = memory_alloc(sizeof *out->registration);
    struct registration *registration = out->registration;
    registration_init(registration);
    if (!cJSON_IsArray(entries) || cJSON_GetArraySize(entries) > LIMIT_REGISTRATION_CONTAINERS) {
        return json_reader_refuse(entries, "entries", "a list of containers", err);
    }
    if (!cJSON_IsArray(gone)) {
        return json_reader_refuse(gone, "gone", "a list of names", err);
    }
    if (!json_reader_bool(find(tree, "engine_up"), &registration->is_engine_up)) {
        return json_reader_refuse(find(tree, "engine_up"), "engine_up", "true or false", err);
    }
    memory_set_text(registration->host, sizeof registration->host, out->host);
    memory_set_text(registration->agent, sizeof registration->agent, out->agent);
    registration->change = out->change;
    registration->seq = out->seq;
    registration->entries =
        memory_grow(NULL, (size_t)cJSON_GetArraySize(entries) + 1, sizeof *registration->entries);
    for (cJSON *each = entries->child; each != NULL; each = each->next) {
        int result = read_entry(each, &registration->entries[registration->count++], err);
        if (result != 0) {
            return err_wrap(err, "entry %zu", registration->count);
        }
    }
    return read_gone(gone, out, err);
}

static int read_state(const cJSON *tree, struct journal_input *out, struct err *err)
{
    const cJSON *item = find(tree, "state");
    if (!cJSON_IsString(item)) {
        return json_reader_refuse(item, "state", "a text", err);
    }
    struct restart_state state;
    int result = restart_state_decode(item->valuestring, strlen(item->valuestring), &state, err);
    if (result == 0) {
        out->state = memory_alloc(sizeof state);
        *out->state = state;
    }
    return result;
}

static int read_ticks(const cJSON *tree, struct journal_input *out, struct err *err)
{
    const cJSON *array = find(tree, "ticks");
    if (!cJSON_IsArray(array) || cJSON_GetArraySize(array) % 2 != 0) {
        return json_reader_refuse(array, "ticks", "a list of pairs", err);
    }
    struct mono at = {0};
    out->ticks = memory_grow(NULL, (size_t)cJSON_GetArraySize(array) / 2 + 1, sizeof *out->ticks);
    for (const cJSON *each = array->child; each != NULL; each = each->next->next) {
        int64_t later_ms, late_ms;
        if (!json_reader_signed(each, 0, MOST_MS, &later_ms) ||
            !json_reader_signed(each->next, 0, MOST_MS, &late_ms)) {
            return err_set(err, EINVAL, "ticks: pair %zu: wanted two times in milliseconds",
                           out->tick_count + 1);
        }
        at = mono_add(at, later_ms);
        out->ticks[out->tick_count++] = (struct journal_tick){at, {at.ms - late_ms}};
    }
    return 0;
}

static int read_head(const cJSON *tree, struct journal_input *out, struct err *err)
{
    static const struct field head[] = {FIELD("at", FIELD_TIME, 0, at), FIELD("wall", FIELD_TIME, 0, wall)};
    const cJSON *word = find(tree, "input");
    unsigned kind = 0;
    while (kind < JOURNAL_KIND_N &&
           !(cJSON_IsString(word) && strcmp(word->valuestring, kind_names[kind]) == 0)) {
        kind++;
    }
    if (kind == JOURNAL_KIND_N) {
        return json_reader_refuse(word, "input", "a kind that is known", err);
    }
    journal_input_init(out, kind, (struct mono){0}, (struct wall){0});
    int result = read_field(tree, &head[0], out, err);
    return result != 0 ? result : read_field(tree, &head[1], out, err);
}

static int read_rest(cJSON *tree, struct journal_input *out, struct err *err)
{
    for (size_t i = 0; i < FIELDS; i++) {
        int result = (fields[i].kinds & (1u << out->kind)) == 0 ? 0 : read_field(tree, &fields[i], out, err);
        if (result != 0) {
            return result;
        }
    }
    return out->kind == JOURNAL_START       ? read_start(tree, out, err)
           : out->kind == JOURNAL_BEAT      ? read_beat(tree, out, err)
           : out->kind == JOURNAL_INVENTORY ? read_inventory(tree, out, err)
           : out->kind == JOURNAL_TICKS     ? read_ticks(tree, out, err)
           : out->kind == JOURNAL_STATE     ? read_state(tree, out, err)
                                            : 0;
}

int journal_input_from_json(cJSON *tree, struct journal_input *out, struct err *err)
{
    *out = (struct journal_input){.kind = JOURNAL_KIND_N};
    int result = read_head(tree, out, err);
    if (result == 0) {
        result = read_rest(tree, out, err);
        if (result != 0) {
            err_wrap(err, "%s", journal_kind_name(out->kind));
        }
    }
    out->tree = tree;
    if (result != 0) {
        journal_input_fini(out);
    }
    return result;
}

/* ---- documents ---- */

const char *journal_text(const cJSON *object, const char *name)
{
    const cJSON *item = find(object, name);
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

bool journal_is_same(const cJSON *left, const cJSON *right)
{
    return cJSON_Compare(left, right, true);
}

int journal_document_head(const cJSON *document, char run[JOURNAL_RUN_SIZE], uint64_t *part, struct err *err)
{
    const cJSON *number = find(document, "part");
    const cJSON *inputs = find(document, "inputs");
    int result = json_reader_name(find(document, "run"), "run", run, JOURNAL_RUN_SIZE, err);
    if (result != 0) {
        return result;
    }
    if (!json_reader_unsigned(number, part)) {
        return json_reader_refuse(number, "part", "a whole number", err);
    }
    return cJSON_IsArray(inputs) ? 0 : json_reader_refuse(inputs, "inputs", "a list", err);
}

cJSON *journal_document_next(cJSON *document)
{
    cJSON *inputs = cJSON_GetObjectItemCaseSensitive(document, "inputs");
    return cJSON_DetachItemViaPointer(inputs, inputs->child);
}

cJSON *journal_document_within(cJSON *document)
{
    cJSON *data = cJSON_GetObjectItemCaseSensitive(document, "data");
    return cJSON_IsObject(data) ? data : document;
}
