#include "proto/heartbeat_facts.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/timestamp.h"
#include "proto/heartbeat_fields.h"
#include "proto/text.h"

enum {
    SHAPE_BYTES = 4096, /* so short that it cannot have more values than heartbeat_decode takes */
    SHAPE_DIGITS = 15   /* exact in a double, as heartbeat_decode keeps numbers */
};

struct cursor {
    const char *at, *end;
};

static size_t left(const struct cursor *cursor)
{
    return (size_t)(cursor->end - cursor->at);
}

static bool take(struct cursor *cursor, const char *literal, size_t len)
{
    if (left(cursor) < len || memcmp(cursor->at, literal, len) != 0) {
        return false;
    }
    cursor->at += len;
    return true;
}

static bool take_byte(struct cursor *cursor, char byte)
{
    return take(cursor, &byte, 1);
}

/* "text": printable ASCII without escapes, not empty. *text is in the document. */
static bool take_text(struct cursor *cursor, const char **text, size_t *len)
{
    if (!take_byte(cursor, '"')) {
        return false;
    }
    *text = cursor->at;
    *len = text_plain_bytes(cursor->at, left(cursor));
    cursor->at += *len;
    return *len > 0 && take_byte(cursor, '"');
}

static bool take_copy(struct cursor *cursor, char *out, size_t size)
{
    const char *text;
    size_t len;
    if (!take_text(cursor, &text, &len) || len >= size) {
        return false;
    }
    memcpy(out, text, len);
    out[len] = '\0';
    return true;
}

static bool take_time(struct cursor *cursor, struct wall *out)
{
    const char *text;
    size_t len;
    return take_text(cursor, &text, &len) && timestamp_parse(text, len, out) == 0;
}

/* Digits, without a zero in front. */
static bool take_whole(struct cursor *cursor, int64_t *out)
{
    const char *start = cursor->at;
    *out = 0;
    while (left(cursor) > 0 && *cursor->at >= '0' && *cursor->at <= '9' &&
           cursor->at - start <= SHAPE_DIGITS) {
        *out = *out * 10 + (*cursor->at++ - '0');
    }
    ptrdiff_t digits = cursor->at - start;
    return digits > 0 && digits <= SHAPE_DIGITS && (digits == 1 || *start != '0');
}

static bool take_signed(struct cursor *cursor, int64_t *out)
{
    bool is_negative = take_byte(cursor, '-');
    bool is_taken = take_whole(cursor, out);
    *out = is_negative ? -*out : *out;
    return is_taken;
}

static bool take_flag(struct cursor *cursor, bool *out)
{
    *out = take(cursor, "true", 4);
    return *out || take(cursor, "false", 5);
}

static bool skip_value(struct cursor *cursor)
{
    int64_t whole;
    bool flag;
    if (take_flag(cursor, &flag)) {
        return true;
    }
    if (!take_signed(cursor, &whole)) {
        return false;
    }
    if (!take_byte(cursor, '.')) {
        return true;
    }
    const char *start = cursor->at;
    while (left(cursor) > 0 && *cursor->at >= '0' && *cursor->at <= '9') {
        cursor->at++;
    }
    return cursor->at > start && cursor->at - start <= SHAPE_DIGITS;
}

/* {"name":value,...}: numbers and flags, one at least. */
static bool skip_tree(struct cursor *cursor)
{
    char before = '{';
    do {
        const char *name;
        size_t len;
        if (!take_byte(cursor, before) || !take_text(cursor, &name, &len) || !take_byte(cursor, ':') ||
            !skip_value(cursor)) {
            return false;
        }
        before = ',';
    } while (!take_byte(cursor, '}'));
    return true;
}

/* Members with 0 for the word that nobody knows. */
#define TAKE_WORD(cursor, member, parse) \
    (take_copy(cursor, word, sizeof word) && ((member) = parse(word)) != 0)

static bool take_number(struct cursor *cursor, enum field_kind kind, struct heartbeat *out)
{
    int64_t value;
    if (!take_signed(cursor, &value)) {
        return false;
    }
    if (kind == FIELD_EXIT_CODE) {
        out->exit_code = (int)value;
        out->has_exit_code = true;
        return out->exit_code == value;
    }
    if (kind == FIELD_SEQ) {
        out->seq = (uint64_t)value;
        return value > 0;
    }
    if (kind == FIELD_ATTEMPT) {
        out->last_command_unstored = value;
        return value > 0 && value <= LIMIT_ATTEMPTS;
    }
    out->restart_count = value;
    return value >= 0;
}

static bool take_value(struct cursor *cursor, const struct heartbeat_field *field, struct heartbeat *out)
{
    void *member = (char *)out + field->offset;
    char word[LIMIT_WORD_SIZE];
    switch ((enum field_kind)field->kind) {
    case FIELD_NAME:
    case FIELD_INSTANCE:
    case FIELD_TEXT:
        return take_copy(cursor, member, field->size);
    case FIELD_TIME:
        return take_time(cursor, member);
    case FIELD_TREE:
        return skip_tree(cursor);
    case FIELD_STATUS:
        return take_copy(cursor, out->status_word, sizeof out->status_word) &&
               (out->status = beat_status_parse(out->status_word)) != BEAT_UNKNOWN;
    case FIELD_STATE:
        return TAKE_WORD(cursor, out->state, container_state_parse);
    case FIELD_HEALTH:
        return TAKE_WORD(cursor, out->health, container_health_parse);
    case FIELD_STOP_CLASS:
        return TAKE_WORD(cursor, out->stop_class, stop_class_parse);
    case FIELD_COMMAND_CODE:
        return TAKE_WORD(cursor, out->last_command_code, answer_code_parse);
    case FIELD_RESTARTING:
        return take_flag(cursor, &out->is_docker_restarting);
    case FIELD_OOM:
        return take_flag(cursor, &out->oom_killed);
    case FIELD_SEQ:
    case FIELD_EXIT_CODE:
    case FIELD_RESTART_COUNT:
    case FIELD_ATTEMPT:
        return take_number(cursor, (enum field_kind)field->kind, out);
    }
    return false;
}

/* "name": and all, or nothing. */
static bool take_name(struct cursor *cursor, const struct heartbeat_field *field)
{
    struct cursor ahead = *cursor;
    bool is_there = take_byte(&ahead, '"') && take(&ahead, field->name, field->len) && take(&ahead, "\":", 2);
    if (is_there) {
        *cursor = ahead;
    }
    return is_there;
}

/* True where the bytes have the shape. Else *out is of no use, but owns nothing. */
static bool match(const char *bytes, size_t len, struct heartbeat *out)
{
    struct cursor cursor = {bytes, bytes + len};
    heartbeat_init(out);
    if (len > SHAPE_BYTES || !take_byte(&cursor, '{')) {
        return false;
    }
    for (unsigned at = 0; at < HEARTBEAT_FIELDS; at++) {
        const struct heartbeat_field *field = &heartbeat_fields_table[at];
        if (!take_name(&cursor, field)) {
            continue;
        }
        if (!take_value(&cursor, field, out)) {
            return false;
        }
        if (!take_byte(&cursor, ',')) {
            return take_byte(&cursor, '}') && left(&cursor) == 0 && out->service[0] != '\0' &&
                   out->instance_id[0] != '\0';
        }
    }
    return false;
}

int heartbeat_facts_decode(const char *bytes, size_t len, struct heartbeat *out, struct err *err)
{
    return match(bytes, len, out) ? 0 : heartbeat_decode(bytes, len, out, err);
}
