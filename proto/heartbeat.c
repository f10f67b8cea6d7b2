#include "proto/heartbeat.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "common/memory.h"
#include "proto/heartbeat_fields.h"
#include "proto/json_reader.h"
#include "proto/json_writer.h"

#define DETAILS "check_details"

enum { FIRST_SIZE = 1024, MAX_VALUES = 4096 };

static const struct json_bounds bounds = {"heartbeat", LIMIT_HEARTBEAT_BYTES, MAX_VALUES};

/* First bytes alone: the struct has 2 KB. */
void heartbeat_init(struct heartbeat *beat)
{
    for (unsigned each = 0; each < HEARTBEAT_FIELDS; each++) {
        if (heartbeat_fields_table[each].kind == FIELD_NAME ||
            heartbeat_fields_table[each].kind == FIELD_TEXT) {
            ((char *)beat)[heartbeat_fields_table[each].offset] = '\0';
        }
    }
    beat->instance_id[0] = '\0';
    beat->status = BEAT_UNKNOWN;
    beat->status_word[0] = '\0';
    beat->started_at = beat->timestamp = beat->finished_at = (struct wall){0};
    beat->seq = 0;
    beat->state = CONTAINER_UNKNOWN;
    beat->health = HEALTH_UNKNOWN;
    beat->stop_class = STOP_UNKNOWN;
    beat->is_docker_restarting = false;
    beat->has_exit_code = false;
    beat->exit_code = 0;
    beat->oom_killed = false;
    beat->restart_count = -1;
    beat->last_command_code = ANSWER_UNKNOWN;
    beat->last_command_unstored = 0;
    beat->last_command_at = (struct wall){0};
    beat->checks = beat->metrics = beat->extra = NULL;
}

void heartbeat_fini(struct heartbeat *beat)
{
    cJSON_Delete(beat->checks);
    cJSON_Delete(beat->metrics);
    cJSON_Delete(beat->extra);
    beat->checks = beat->metrics = beat->extra = NULL;
}

/* ---- reading ---- */

static int read_instance(const cJSON *item, struct heartbeat *out, struct err *err)
{
    if (!cJSON_IsNumber(item)) {
        return json_reader_name(item, "instance_id", out->instance_id, sizeof out->instance_id, err);
    }
    struct json_writer writer;
    json_writer_init(&writer, JSON_COMPACT, 32);
    json_writer_tree(&writer, NULL, item);
    cleanup_free char *text = json_writer_take(&writer, NULL);
    memory_set_text(out->instance_id, sizeof out->instance_id, text);
    return 0;
}

static int read_status(const cJSON *item, struct heartbeat *out, struct err *err)
{
    if (!json_reader_text(item, out->status_word, sizeof out->status_word)) {
        return json_reader_refuse(item, "status", "text", err);
    }
    out->status = beat_status_parse(out->status_word);
    return 0;
}

/* Known words are taken; others, also "unknown" itself, are left to `extra`. */
#define TAKE_WORD(out_member, parse, item) \
    (cJSON_IsString(item) && ((out_member) = parse((item)->valuestring)) != 0)

static bool read_time(const cJSON *item, struct wall *out)
{
    return cJSON_IsString(item) && json_reader_time(item, out) && out->ms != 0;
}

static bool read_exit_code(const cJSON *item, struct heartbeat *out)
{
    int64_t code;
    if (!json_reader_signed(item, INT_MIN, INT_MAX, &code)) {
        return false;
    }
    out->exit_code = (int)code;
    out->has_exit_code = true;
    return true;
}

/* The fields whose odd values do no harm. False: not taken, so it belongs into `extra`. */
static bool read_told(struct cJSON *tree, cJSON *item, const struct heartbeat_field *field,
                      struct heartbeat *out)
{
    void *member = (char *)out + field->offset;
    switch ((enum field_kind)field->kind) {
    case FIELD_TEXT:
        return json_reader_text(item, member, field->size) && ((char *)member)[0] != '\0';
    case FIELD_TIME:
        return read_time(item, member);
    case FIELD_TREE:
        if (!cJSON_IsObject(item)) {
            return false;
        }
        cJSON_Delete(*(cJSON **)member);
        *(cJSON **)member = cJSON_DetachItemViaPointer(tree, item);
        return true;
    case FIELD_SEQ:
        return json_reader_unsigned(item, &out->seq) && out->seq != 0;
    case FIELD_STATE:
        return TAKE_WORD(out->state, container_state_parse, item);
    case FIELD_HEALTH:
        return TAKE_WORD(out->health, container_health_parse, item);
    case FIELD_STOP_CLASS:
        return TAKE_WORD(out->stop_class, stop_class_parse, item);
    case FIELD_COMMAND_CODE:
        return TAKE_WORD(out->last_command_code, answer_code_parse, item);
    case FIELD_RESTARTING:
        return json_reader_bool(item, &out->is_docker_restarting) && out->is_docker_restarting;
    case FIELD_EXIT_CODE:
        return read_exit_code(item, out);
    case FIELD_OOM:
        /* Without a state the encoder would not say a false again. */
        return json_reader_bool(item, &out->oom_killed) &&
               (out->oom_killed || out->state != CONTAINER_UNKNOWN);
    case FIELD_RESTART_COUNT:
        return json_reader_signed(item, 0, INT64_MAX, &out->restart_count);
    case FIELD_ATTEMPT:
        return json_reader_signed(item, 1, LIMIT_ATTEMPTS, &out->last_command_unstored);
    case FIELD_NAME:
    case FIELD_INSTANCE:
    case FIELD_STATUS:
        break;
    }
    return false;
}

/* An empty or null name of an addition says nothing; any other that is none is refused. */
static bool is_unsaid(const cJSON *item)
{
    return cJSON_IsNull(item) || (cJSON_IsString(item) && item->valuestring[0] == '\0');
}

static int read_field(cJSON *tree, cJSON *item, unsigned at, struct heartbeat *out, struct err *err)
{
    if (at == HEARTBEAT_FIELDS) {
        json_reader_move(tree, item, &out->extra);
        return 0;
    }
    const struct heartbeat_field *field = &heartbeat_fields_table[at];
    if (field->kind == FIELD_STATUS) {
        return read_status(item, out, err);
    }
    if (field->kind == FIELD_INSTANCE) {
        return read_instance(item, out, err);
    }
    if (field->kind == FIELD_NAME && (at == 0 || !is_unsaid(item))) {
        return json_reader_name(item, field->name, (char *)out + field->offset, field->size, err);
    }
    if (!read_told(tree, item, field, out)) {
        json_reader_move(tree, item, &out->extra);
    }
    return 0;
}

static int read_tree(cJSON *tree, struct heartbeat *out, struct err *err)
{
    unsigned likely = 0;
    cJSON *next;
    for (cJSON *item = tree->child; item != NULL; item = next) {
        next = item->next;
        unsigned at = heartbeat_fields_find(item->string, strlen(item->string), likely);
        likely = at == HEARTBEAT_FIELDS ? likely : at + 1;
        int status = read_field(tree, item, at, out, err);
        if (status != 0) {
            return status;
        }
    }
    if (out->service[0] == '\0' || out->instance_id[0] == '\0') {
        return err_set(err, EINVAL, "%s is missing", out->service[0] == '\0' ? "service" : "instance_id");
    }
    return 0;
}

int heartbeat_from_json(cJSON *tree, struct heartbeat *out, struct err *err)
{
    heartbeat_init(out);
    int status = cJSON_IsObject(tree) ? read_tree(tree, out, err) : err_set(err, EINVAL, "no object");
    if (status != 0) {
        heartbeat_fini(out);
        heartbeat_init(out);
        err_wrap(err, "heartbeat");
        return status;
    }
    return 0;
}

int heartbeat_decode(const char *bytes, size_t len, struct heartbeat *out, struct err *err)
{
    cleanup_json cJSON *tree = NULL;
    int status = json_reader_parse(bytes, len, &bounds, &tree, err);
    if (status != 0) {
        heartbeat_init(out);
        return status;
    }
    return heartbeat_from_json(tree, out, err);
}

/* ---- writing ---- */

static bool write_number(struct json_writer *writer, const char *name, bool is_said, int64_t value)
{
    if (is_said) {
        json_writer_signed(writer, name, value);
    }
    return is_said;
}

static bool write_flag(struct json_writer *writer, const char *name, bool is_said, bool value)
{
    if (is_said) {
        json_writer_bool(writer, name, value);
    }
    return is_said;
}

static bool write_word(struct json_writer *writer, const char *name, bool is_said, const char *word)
{
    if (is_said) {
        json_writer_text(writer, name, word);
    }
    return is_said;
}

static bool write_status(struct json_writer *writer, const struct heartbeat *beat)
{
    const char *word = beat->status != BEAT_UNKNOWN ? beat_status_name(beat->status) : beat->status_word;
    return write_word(writer, "status", word[0] != '\0', word);
}

static bool write_time(struct json_writer *writer, const char *name, struct wall when)
{
    if (when.ms > 0) {
        json_writer_time(writer, name, when, JSON_ROUND_DOWN);
    }
    return when.ms > 0;
}

static bool write_details(struct json_writer *writer, const char *name, bool with_details, const cJSON *tree)
{
    bool is_said = with_details && tree != NULL;
    if (is_said) {
        json_writer_tree(writer, name, tree);
    }
    return is_said;
}

/* True where the field was said. */
static bool write_field(struct json_writer *writer, const struct heartbeat_field *field,
                        const struct heartbeat *beat, bool with_details)
{
    const char *name = field->name;
    const void *member = (const char *)beat + field->offset;
    switch ((enum field_kind)field->kind) {
    case FIELD_NAME:
    case FIELD_INSTANCE:
    case FIELD_TEXT:
        return write_word(writer, name, *(const char *)member != '\0', member);
    case FIELD_STATUS:
        return write_status(writer, beat);
    case FIELD_TIME:
        return write_time(writer, name, *(const struct wall *)member);
    case FIELD_TREE:
        return write_details(writer, name, with_details, *(cJSON *const *)member);
    case FIELD_SEQ:
        if (beat->seq != 0) {
            json_writer_unsigned(writer, name, beat->seq);
        }
        return beat->seq != 0;
    case FIELD_STATE:
        return write_word(writer, name, beat->state != CONTAINER_UNKNOWN, container_state_name(beat->state));
    case FIELD_HEALTH:
        return write_word(writer, name, beat->health != HEALTH_UNKNOWN, container_health_name(beat->health));
    case FIELD_STOP_CLASS:
        return write_word(writer, name, beat->stop_class != STOP_UNKNOWN, stop_class_name(beat->stop_class));
    case FIELD_COMMAND_CODE:
        return write_word(writer, name, beat->last_command_code != ANSWER_UNKNOWN,
                          answer_code_name(beat->last_command_code));
    case FIELD_RESTARTING:
        return write_flag(writer, name, beat->is_docker_restarting, true);
    case FIELD_EXIT_CODE:
        return write_number(writer, name, beat->has_exit_code, beat->exit_code);
    case FIELD_OOM:
        return write_flag(writer, name, beat->oom_killed || beat->state != CONTAINER_UNKNOWN,
                          beat->oom_killed);
    case FIELD_RESTART_COUNT:
        return write_number(writer, name, beat->restart_count >= 0, beat->restart_count);
    case FIELD_ATTEMPT:
        return write_number(writer, name, beat->last_command_unstored > 0, beat->last_command_unstored);
    }
    return false;
}

/* A known field stands in `extra` where it came with an odd value; what we say ourselves goes first. */
static void write_extra(struct json_writer *writer, const cJSON *extra, unsigned said)
{
    for (const cJSON *item = extra->child; item != NULL; item = item->next) {
        unsigned at = heartbeat_fields_find(item->string, strlen(item->string), 0);
        if (at == HEARTBEAT_FIELDS || (said & (1u << at)) == 0) {
            json_writer_tree(writer, item->string, item);
        }
    }
}

void heartbeat_write(struct json_writer *writer, const struct heartbeat *beat, bool with_details)
{
    unsigned said = 0;
    for (unsigned at = 0; at < HEARTBEAT_FIELDS; at++) {
        said |= (unsigned)write_field(writer, &heartbeat_fields_table[at], beat, with_details) << at;
    }
    if (with_details && beat->extra != NULL) {
        write_extra(writer, beat->extra, said);
    }
}

static char *encode(const struct heartbeat *beat, bool with_details, size_t *len)
{
    struct json_writer writer;
    json_writer_init(&writer, JSON_COMPACT, FIRST_SIZE);
    json_writer_open(&writer, NULL, '{');
    heartbeat_write(&writer, beat, with_details);
    json_writer_close(&writer, '}');
    return json_writer_take(&writer, len);
}

char *heartbeat_encode(const struct heartbeat *beat, size_t *len)
{
    return encode(beat, true, len);
}

cJSON *heartbeat_to_json(const struct heartbeat *beat, bool with_details)
{
    size_t len = 0;
    cleanup_free char *text = encode(beat, with_details, &len);
    return json_reader_parse_own(text, len);
}

static void set_item(cJSON **tree, const char *name, cJSON *value)
{
    if (*tree == NULL) {
        *tree = cJSON_CreateObject();
    }
    if (*tree == NULL || value == NULL) {
        abort();
    }
    if (cJSON_GetObjectItemCaseSensitive(*tree, name) != NULL) {
        cJSON_ReplaceItemInObjectCaseSensitive(*tree, name, value);
    } else {
        cJSON_AddItemToObject(*tree, name, value);
    }
}

void heartbeat_set_check(struct heartbeat *beat, const char *name, bool is_ok)
{
    set_item(&beat->checks, name, cJSON_CreateBool(is_ok));
}

static cJSON *find_details(const struct heartbeat *beat)
{
    cJSON *details = beat->extra == NULL ? NULL : cJSON_GetObjectItemCaseSensitive(beat->extra, DETAILS);
    return cJSON_IsObject(details) ? details : NULL;
}

void heartbeat_set_check_detail(struct heartbeat *beat, const char *name, const char *detail)
{
    cJSON *details = find_details(beat);
    if (details == NULL) {
        set_item(&beat->extra, DETAILS, cJSON_CreateObject());
        details = find_details(beat);
    }
    set_item(&details, name, cJSON_CreateString(detail));
}

const cJSON *heartbeat_check_details(const struct heartbeat *beat)
{
    return find_details(beat);
}

bool heartbeat_metric(const struct heartbeat *beat, const char *name, double *out)
{
    const cJSON *item = beat->metrics == NULL ? NULL : cJSON_GetObjectItemCaseSensitive(beat->metrics, name);
    if (item == NULL || !cJSON_IsNumber(item)) {
        return false;
    }
    *out = item->valuedouble;
    return true;
}

void heartbeat_set_metric(struct heartbeat *beat, const char *name, double value)
{
    set_item(&beat->metrics, name, cJSON_CreateNumber(value));
}

enum beat_status heartbeat_worse(enum beat_status left, enum beat_status right)
{
    static const int badness[BEAT_STATUS_N] = {
        [BEAT_HEALTHY] = 0,  [BEAT_DEGRADED] = 1, [BEAT_UNKNOWN] = 1,
        [BEAT_STARTING] = 2, [BEAT_STOPPING] = 3, [BEAT_UNHEALTHY] = 4,
    };
    return badness[right] > badness[left] ? right : left;
}
