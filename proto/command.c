#include "proto/command.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <msgpack.h>

#include "common/memory.h"
#include "proto/msgpack_walk.h"
#include "proto/text.h"

void command_id_format(const struct command_id *id, char out[LIMIT_COMMAND_ID_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t each = 0; each < LIMIT_COMMAND_ID_BYTES; each++) {
        out[2 * each] = digits[id->bytes[each] >> 4];
        out[2 * each + 1] = digits[id->bytes[each] & 15];
    }
    out[LIMIT_COMMAND_ID_SIZE - 1] = '\0';
}

static unsigned hex_value(char digit)
{
    if (digit <= '9') {
        return (unsigned)(digit - '0');
    }
    return (unsigned)((digit | 0x20) - 'a') + 10;
}

int command_id_parse(const char *hex, struct command_id *out)
{
    size_t len = strnlen(hex, LIMIT_COMMAND_ID_SIZE);
    if (len != LIMIT_COMMAND_ID_SIZE - 1 || !text_is_hex(hex, len)) {
        return -EINVAL;
    }
    for (size_t each = 0; each < LIMIT_COMMAND_ID_BYTES; each++) {
        out->bytes[each] = (uint8_t)(hex_value(hex[2 * each]) << 4 | hex_value(hex[2 * each + 1]));
    }
    return 0;
}

void answer_init(struct answer *answer)
{
    *answer = (struct answer){0};
}

void answer_fini(struct answer *answer)
{
    free(answer->payload);
    answer->payload = NULL;
    answer->payload_len = 0;
}

/* ---- the fields of both messages, in the order in which they are written ---- */

enum field_kind {
    FIELD_VERSION,
    FIELD_ID,
    FIELD_OP,
    FIELD_CODE,
    FIELD_NAME,     /* refused where it is too long or no name; may be empty unless required */
    FIELD_TEXT,     /* cut to fit */
    FIELD_UNSIGNED, /* uint64_t */
    FIELD_SIGNED,   /* int64_t, never negative */
    FIELD_SECONDS,  /* int64_t milliseconds, seconds in the message */
    FIELD_REDIS,    /* up, down; another word is unknown */
    FIELD_PAYLOAD
};

enum need {
    NEED_NEVER,  /* left out where it says nothing */
    NEED_ACTION, /* required, and always written, where something in Docker is to change */
    NEED_ALWAYS
};

struct field {
    const char *name;
    enum field_kind kind;
    enum need need;
    size_t offset, size;
};

#define COMMAND_FIELD(text, what, need, member)                                                 \
    {                                                                                           \
        text, what, need, offsetof(struct command, member), sizeof((struct command *)0)->member \
    }
static const struct field command_fields[] = {
    {"v", FIELD_VERSION, NEED_ALWAYS, 0, 0},
    COMMAND_FIELD("id", FIELD_ID, NEED_ALWAYS, id),
    COMMAND_FIELD("op", FIELD_OP, NEED_ALWAYS, op),
    COMMAND_FIELD("epoch", FIELD_UNSIGNED, NEED_ALWAYS, epoch),
    COMMAND_FIELD("host", FIELD_NAME, NEED_ALWAYS, host),
    COMMAND_FIELD("container", FIELD_NAME, NEED_ACTION, container),
    COMMAND_FIELD("container_id", FIELD_NAME, NEED_ACTION, container_id),
    COMMAND_FIELD("expect_started_at", FIELD_NAME, NEED_ACTION, expect_started_at),
    COMMAND_FIELD("attempt", FIELD_SIGNED, NEED_ACTION, attempt),
    COMMAND_FIELD("max_attempts", FIELD_SIGNED, NEED_ACTION, max_attempts),
    COMMAND_FIELD("reason", FIELD_TEXT, NEED_NEVER, reason),
    COMMAND_FIELD("stop_timeout", FIELD_SECONDS, NEED_ACTION, stop_timeout_ms),
    COMMAND_FIELD("ttl_ms", FIELD_SIGNED, NEED_ALWAYS, ttl_ms),
    COMMAND_FIELD("sent_at_ms", FIELD_UNSIGNED, NEED_NEVER, sent_at_ms),
    COMMAND_FIELD("if_change", FIELD_UNSIGNED, NEED_NEVER, if_change),
    COMMAND_FIELD("unstored_attempt", FIELD_SIGNED, NEED_NEVER, unstored_attempt),
};

#define ANSWER_FIELD(text, what, need, member)                                                \
    {                                                                                         \
        text, what, need, offsetof(struct answer, member), sizeof((struct answer *)0)->member \
    }
static const struct field answer_fields[] = {
    {"v", FIELD_VERSION, NEED_ALWAYS, 0, 0},
    ANSWER_FIELD("id", FIELD_ID, NEED_ALWAYS, id),
    ANSWER_FIELD("code", FIELD_CODE, NEED_ALWAYS, code),
    ANSWER_FIELD("detail", FIELD_TEXT, NEED_NEVER, detail),
    ANSWER_FIELD("container_id", FIELD_NAME, NEED_NEVER, container_id),
    ANSWER_FIELD("started_at", FIELD_NAME, NEED_NEVER, started_at),
    ANSWER_FIELD("took_ms", FIELD_SIGNED, NEED_NEVER, took_ms),
    ANSWER_FIELD("epoch", FIELD_UNSIGNED, NEED_NEVER, epoch),
    ANSWER_FIELD("host", FIELD_NAME, NEED_NEVER, host),
    ANSWER_FIELD("agent", FIELD_NAME, NEED_NEVER, agent),
    ANSWER_FIELD("change", FIELD_UNSIGNED, NEED_NEVER, change),
    ANSWER_FIELD("redis", FIELD_REDIS, NEED_NEVER, redis),
    ANSWER_FIELD("payload", FIELD_PAYLOAD, NEED_NEVER, payload),
};

enum {
    COMMAND_FIELDS = sizeof command_fields / sizeof command_fields[0],
    ANSWER_FIELDS = sizeof answer_fields / sizeof answer_fields[0],
    MAX_FIELDS = 32
};
_Static_assert(COMMAND_FIELDS <= MAX_FIELDS && ANSWER_FIELDS <= MAX_FIELDS, "a set of fields is 32 bits");

struct message {
    const struct field *fields;
    size_t count;
    size_t max_bytes;
};

static const struct message command_message = {command_fields, COMMAND_FIELDS, LIMIT_COMMAND_BYTES};
static const struct message answer_message = {answer_fields, ANSWER_FIELDS, LIMIT_ANSWER_BYTES};

/* ---- writing ---- */

static void pack_text(msgpack_packer *packer, const char *text)
{
    size_t len = strlen(text);
    msgpack_pack_str(packer, len);
    msgpack_pack_str_body(packer, text, len);
}

static void pack_bytes(msgpack_packer *packer, const void *bytes, size_t len)
{
    msgpack_pack_bin(packer, len);
    msgpack_pack_bin_body(packer, bytes, len);
}

static void pack_seconds(msgpack_packer *packer, int64_t ms)
{
    if (ms % 1000 == 0) {
        msgpack_pack_int64(packer, ms / 1000);
    } else {
        msgpack_pack_double(packer, (double)ms / 1000);
    }
}

static bool is_said(const struct field *field, const void *record)
{
    const void *member = (const char *)record + field->offset;
    switch (field->kind) {
    case FIELD_VERSION:
    case FIELD_ID:
    case FIELD_OP:
    case FIELD_CODE:
        return true;
    case FIELD_NAME:
    case FIELD_TEXT:
        return *(const char *)member != '\0';
    case FIELD_UNSIGNED:
        return *(const uint64_t *)member != 0;
    case FIELD_SIGNED:
    case FIELD_SECONDS:
        return *(const int64_t *)member != 0;
    case FIELD_REDIS:
        return *(const enum redis_word *)member != REDIS_WORD_UNKNOWN;
    case FIELD_PAYLOAD:
        return *(char *const *)member != NULL;
    }
    return false;
}

static void pack_field(msgpack_packer *packer, const struct field *field, const void *record)
{
    const void *member = (const char *)record + field->offset;
    pack_text(packer, field->name);
    switch (field->kind) {
    case FIELD_VERSION:
        msgpack_pack_uint64(packer, COMMAND_VERSION);
        break;
    case FIELD_ID:
        pack_bytes(packer, member, LIMIT_COMMAND_ID_BYTES);
        break;
    case FIELD_OP:
        pack_text(packer, command_op_name(*(const enum command_op *)member));
        break;
    case FIELD_CODE:
        pack_text(packer, answer_code_name(*(const enum answer_code *)member));
        break;
    case FIELD_NAME:
    case FIELD_TEXT:
        pack_text(packer, member);
        break;
    case FIELD_UNSIGNED:
        msgpack_pack_uint64(packer, *(const uint64_t *)member);
        break;
    case FIELD_SIGNED:
        msgpack_pack_int64(packer, *(const int64_t *)member);
        break;
    case FIELD_SECONDS:
        pack_seconds(packer, *(const int64_t *)member);
        break;
    case FIELD_REDIS:
        pack_text(packer, *(const enum redis_word *)member == REDIS_WORD_UP ? "up" : "down");
        break;
    case FIELD_PAYLOAD:
        pack_bytes(packer, *(char *const *)member, ((const struct answer *)record)->payload_len);
        break;
    }
}

static bool changes_docker(enum command_op op)
{
    return op == OP_RESTART || op == OP_START;
}

static uint8_t *encode(const struct message *message, enum need least, const void *record, size_t *len)
{
    bool is_written[MAX_FIELDS];
    size_t count = 0;
    for (size_t each = 0; each < message->count; each++) {
        const struct field *field = &message->fields[each];
        is_written[each] = field->need >= least || is_said(field, record);
        count += is_written[each];
    }
    msgpack_sbuffer buffer;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer packer;
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    msgpack_pack_map(&packer, count);
    for (size_t each = 0; each < message->count; each++) {
        if (is_written[each]) {
            pack_field(&packer, &message->fields[each], record);
        }
    }
    *len = buffer.size;
    return (uint8_t *)msgpack_sbuffer_release(&buffer);
}

uint8_t *command_encode(const struct command *command, size_t *len)
{
    return encode(&command_message, changes_docker(command->op) ? NEED_ACTION : NEED_ALWAYS, command, len);
}

uint8_t *answer_encode(const struct answer *answer, size_t *len)
{
    return encode(&answer_message, NEED_ALWAYS, answer, len);
}

/* ---- reading ---- */

static int refuse(const struct field *field, const char *wanted, struct err *err)
{
    return err_set(err, EINVAL, "%s is not %s", field->name, wanted);
}

static int read_version(const msgpack_object *value, const struct field *field, struct err *err)
{
    if (value->type != MSGPACK_OBJECT_POSITIVE_INTEGER) {
        return refuse(field, "a whole number", err);
    }
    if (value->via.u64 != COMMAND_VERSION) {
        return err_set(err, EPROTONOSUPPORT, "version %llu, not %d", (unsigned long long)value->via.u64,
                       COMMAND_VERSION);
    }
    return 0;
}

static int read_id(const msgpack_object *value, const struct field *field, struct command_id *out,
                   struct err *err)
{
    if (value->type != MSGPACK_OBJECT_BIN || value->via.bin.size != LIMIT_COMMAND_ID_BYTES) {
        return refuse(field, "16 bytes of binary", err);
    }
    memcpy(out->bytes, value->via.bin.ptr, LIMIT_COMMAND_ID_BYTES);
    return 0;
}

/* Text without NUL, in UTF-8, cut to fit. */
static int read_text(const msgpack_object *value, const struct field *field, char *out, size_t size,
                     struct err *err)
{
    const char *text = value->via.str.ptr;
    if (value->type != MSGPACK_OBJECT_STR) {
        return refuse(field, "text", err);
    }
    size_t len = value->via.str.size;
    if (memchr(text, '\0', len) != NULL || !text_is_utf8(text, len)) {
        return refuse(field, "text in UTF-8", err);
    }
    text_cut(out, size, text, len);
    return 0;
}

static int read_name(const msgpack_object *value, const struct field *field, char *out, struct err *err)
{
    if (value->type == MSGPACK_OBJECT_STR && value->via.str.size >= field->size) {
        return err_set(err, EINVAL, "%s has %u bytes, at most %zu", field->name, value->via.str.size,
                       field->size - 1);
    }
    int status = read_text(value, field, out, field->size, err);
    size_t len = status == 0 ? strlen(out) : 0;
    return status != 0 || len == 0 || text_is_name(out, len)
               ? status
               : refuse(field, "text without control characters", err);
}

static int read_seconds(const msgpack_object *value, const struct field *field, int64_t *out, struct err *err)
{
    double seconds = -1;
    if (value->type == MSGPACK_OBJECT_POSITIVE_INTEGER) {
        seconds = (double)value->via.u64;
    } else if (value->type == MSGPACK_OBJECT_FLOAT32 || value->type == MSGPACK_OBJECT_FLOAT64) {
        seconds = value->via.f64;
    }
    if (!(seconds >= 0 && seconds <= 1e9)) {
        return refuse(field, "seconds from 0 to 1e9", err);
    }
    *out = (int64_t)(seconds * 1000 + 0.5);
    return 0;
}

static int read_unsigned(const msgpack_object *value, const struct field *field, uint64_t max, void *out,
                         struct err *err)
{
    if (value->type != MSGPACK_OBJECT_POSITIVE_INTEGER || value->via.u64 > max) {
        return refuse(field, "a whole number in range", err);
    }
    memcpy(out, &value->via.u64, sizeof value->via.u64);
    return 0;
}

static int read_payload(const msgpack_object *value, const struct field *field, struct answer *out,
                        struct err *err)
{
    if (value->type != MSGPACK_OBJECT_BIN || value->via.bin.size > LIMIT_REGISTRATION_BYTES) {
        return refuse(field, "binary within the size of a registration", err);
    }
    out->payload_len = value->via.bin.size;
    out->payload = memory_grow(NULL, out->payload_len + 1, 1);
    memcpy(out->payload, value->via.bin.ptr, out->payload_len);
    out->payload[out->payload_len] = '\0';
    return 0;
}

static int read_word(const msgpack_object *value, const struct field *field, void *out, struct err *err)
{
    char word[LIMIT_WORD_SIZE];
    int status = read_text(value, field, word, sizeof word, err);
    if (status == 0 && field->kind == FIELD_OP) {
        *(enum command_op *)out = command_op_parse(word);
    } else if (status == 0) {
        *(enum answer_code *)out = answer_code_parse(word);
    }
    return status;
}

static int read_redis(const msgpack_object *value, const struct field *field, enum redis_word *out,
                      struct err *err)
{
    char word[LIMIT_WORD_SIZE];
    int status = read_text(value, field, word, sizeof word, err);
    if (status == 0) {
        *out = strcmp(word, "up") == 0     ? REDIS_WORD_UP
               : strcmp(word, "down") == 0 ? REDIS_WORD_DOWN
                                           : REDIS_WORD_UNKNOWN;
    }
    return status;
}

static int read_field(const msgpack_object *value, const struct field *field, void *record, struct err *err)
{
    void *member = (char *)record + field->offset;
    switch (field->kind) {
    case FIELD_VERSION:
        return 0; /* checked before */
    case FIELD_ID:
        return read_id(value, field, member, err);
    case FIELD_OP:
    case FIELD_CODE:
        return read_word(value, field, member, err);
    case FIELD_NAME:
        return read_name(value, field, member, err);
    case FIELD_TEXT:
        return read_text(value, field, member, field->size, err);
    case FIELD_UNSIGNED:
        return read_unsigned(value, field, UINT64_MAX, member, err);
    case FIELD_SIGNED:
        return read_unsigned(value, field, INT64_MAX, member, err);
    case FIELD_SECONDS:
        return read_seconds(value, field, member, err);
    case FIELD_REDIS:
        return read_redis(value, field, member, err);
    case FIELD_PAYLOAD:
        return read_payload(value, field, record, err);
    }
    return 0;
}

static size_t find_field(const struct message *message, const msgpack_object *key)
{
    for (size_t each = 0; key->type == MSGPACK_OBJECT_STR && each < message->count; each++) {
        const char *name = message->fields[each].name;
        if (strlen(name) == key->via.str.size && memcmp(name, key->via.str.ptr, key->via.str.size) == 0) {
            return each;
        }
    }
    return message->count;
}

/* First of all: what another version says else may mean something else. */
static int check_version(const struct message *message, const msgpack_object_map *map, struct err *err)
{
    for (uint32_t each = 0; each < map->size; each++) {
        size_t at = find_field(message, &map->ptr[each].key);
        if (at < message->count && message->fields[at].kind == FIELD_VERSION) {
            return read_version(&map->ptr[each].val, &message->fields[at], err);
        }
    }
    return err_set(err, EINVAL, "v is missing");
}

/* Fills `seen`, a bit for each field. The same key twice would let two readers understand two things. */
static int read_map(const struct message *message, const msgpack_object_map *map, void *record,
                    unsigned *seen, struct err *err)
{
    for (uint32_t each = 0; each < map->size; each++) {
        size_t at = find_field(message, &map->ptr[each].key);
        if (at == message->count) {
            continue;
        }
        const struct field *field = &message->fields[at];
        if ((*seen & (1u << at)) != 0) {
            return err_set(err, EINVAL, "%s is there twice", field->name);
        }
        *seen |= 1u << at;
        int status = read_field(&map->ptr[each].val, field, record, err);
        if (status != 0) {
            return status;
        }
    }
    return 0;
}

static int check_needed(const struct message *message, enum need least, const void *record, unsigned seen,
                        struct err *err)
{
    for (size_t each = 0; each < message->count; each++) {
        const struct field *field = &message->fields[each];
        if (field->need < least) {
            continue;
        }
        bool is_empty_name = field->kind == FIELD_NAME && !is_said(field, record);
        if ((seen & (1u << each)) == 0 || is_empty_name) {
            return err_set(err, EINVAL, "%s is missing", field->name);
        }
    }
    return 0;
}

static int read_unpacked(const struct message *message, const msgpack_object *root, void *record,
                         unsigned *seen, struct err *err)
{
    if (root->type != MSGPACK_OBJECT_MAP) {
        return err_set(err, EINVAL, "no map");
    }
    int status = check_version(message, &root->via.map, err);
    return status != 0 ? status : read_map(message, &root->via.map, record, seen, err);
}

static int decode(const struct message *message, const uint8_t *bytes, size_t len, void *record,
                  unsigned *seen, struct err *err)
{
    if (len > message->max_bytes) {
        return err_set(err, EMSGSIZE, "%zu bytes, at most %zu", len, message->max_bytes);
    }
    int status = msgpack_walk_check(bytes, len, err);
    if (status != 0) {
        return status;
    }
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    size_t offset = 0;
    if (msgpack_unpack_next(&unpacked, (const char *)bytes, len, &offset) == MSGPACK_UNPACK_SUCCESS) {
        status = read_unpacked(message, &unpacked.data, record, seen, err);
    } else {
        status = err_set(err, EINVAL, "no msgpack");
    }
    msgpack_unpacked_destroy(&unpacked);
    return status;
}

int command_decode(const uint8_t *bytes, size_t len, struct command *out, struct err *err)
{
    struct command command = {0};
    unsigned seen = 0;
    int status = decode(&command_message, bytes, len, &command, &seen, err);
    if (status == 0) {
        enum need least = changes_docker(command.op) ? NEED_ACTION : NEED_ALWAYS;
        status = check_needed(&command_message, least, &command, seen, err);
    }
    if (status != 0) {
        err_wrap(err, "command");
        return status;
    }
    *out = command;
    return 0;
}

int answer_decode(const uint8_t *bytes, size_t len, struct answer *out, struct err *err)
{
    struct answer answer = {0};
    unsigned seen = 0;
    int status = decode(&answer_message, bytes, len, &answer, &seen, err);
    if (status == 0) {
        status = check_needed(&answer_message, NEED_ALWAYS, &answer, seen, err);
    }
    if (status != 0) {
        answer_fini(&answer);
        err_wrap(err, "answer");
        return status;
    }
    *out = answer;
    return 0;
}
