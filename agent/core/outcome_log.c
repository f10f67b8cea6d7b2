#include "agent/core/outcome_log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define uthash_malloc(size) memory_alloc(size)
#define uthash_fatal(text)  abort()
#include <uthash.h>

#include "common/memory.h"

enum { MARK_1 = 'D', MARK_2 = 0xF1, HEAD_BYTES = 5, CRC_BYTES = 4 };
enum record_kind { RECORD_OUTCOME = 1, RECORD_EPOCH = 2 };

/* The record is kept as it is written: a fifth of the plain struct's size, and the image is a copy of them.
 */
struct entry {
    struct command_id id;
    bool is_open;
    size_t len;
    uint8_t *record;
    UT_hash_handle hh;
};

struct outcome_log {
    size_t capacity;
    uint64_t epoch;
    size_t record_bytes;   /* of all entries */
    struct entry *entries; /* uthash keeps the order of insertion */
};

/* ---- bytes ---- */

static uint32_t crc32_of(const uint8_t *bytes, size_t len)
{
    static const uint32_t nibble[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < len; i++) {
        crc = nibble[(crc ^ bytes[i]) & 15] ^ (crc >> 4);
        crc = nibble[(crc ^ (uint32_t)(bytes[i] >> 4)) & 15] ^ (crc >> 4);
    }
    return ~crc;
}

/* Writes and reads at the same place; reading past the end yields zeros and sets is_short. */
struct cursor {
    uint8_t *out;
    const uint8_t *in;
    size_t at, len;
    bool is_short;
};

static void put_number(struct cursor *cursor, uint64_t value, size_t bytes)
{
    assert(cursor->at + bytes <= cursor->len);
    for (size_t i = 0; i < bytes; i++) {
        cursor->out[cursor->at++] = (uint8_t)(value >> (8 * i));
    }
}

static uint64_t get_number(struct cursor *cursor, size_t bytes)
{
    if (cursor->len - cursor->at < bytes) {
        cursor->is_short = true;
        return 0;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++) {
        value |= (uint64_t)cursor->in[cursor->at++] << (8 * i);
    }
    return value;
}

static void put_text(struct cursor *cursor, const char *text)
{
    size_t len = strlen(text);
    put_number(cursor, len, 2);
    assert(cursor->at + len <= cursor->len);
    memcpy(cursor->out + cursor->at, text, len);
    cursor->at += len;
}

static void get_text(struct cursor *cursor, char *out, size_t size)
{
    size_t len = (size_t)get_number(cursor, 2);
    if (len >= size || cursor->len - cursor->at < len) {
        cursor->is_short = true;
        len = 0;
    }
    memcpy(out, cursor->in + cursor->at, len);
    out[len] = '\0';
    cursor->at += len;
}

static struct cursor begin_record(uint8_t out[OUTCOME_RECORD_MAX], enum record_kind kind)
{
    struct cursor cursor = {.out = out, .len = OUTCOME_RECORD_MAX};
    put_number(&cursor, MARK_1, 1);
    put_number(&cursor, MARK_2, 1);
    put_number(&cursor, kind, 1);
    put_number(&cursor, 0, 2);
    return cursor;
}

static size_t end_record(struct cursor *cursor)
{
    size_t len = cursor->at;
    cursor->at = 3;
    put_number(cursor, len - HEAD_BYTES, 2);
    cursor->at = len;
    put_number(cursor, crc32_of(cursor->out, len), CRC_BYTES);
    return cursor->at;
}

static size_t encode_outcome(const struct outcome *outcome, uint8_t out[OUTCOME_RECORD_MAX])
{
    struct cursor cursor = begin_record(out, RECORD_OUTCOME);
    memcpy(out + cursor.at, outcome->id.bytes, sizeof outcome->id.bytes);
    cursor.at += sizeof outcome->id.bytes;
    put_number(&cursor, outcome->epoch, 8);
    put_number(&cursor, (uint64_t)outcome->at.ms, 8);
    put_number(&cursor, (uint64_t)outcome->took_ms, 8);
    put_number(&cursor, (uint64_t)outcome->stop_timeout_ms, 8);
    put_text(&cursor, command_op_name(outcome->op));
    put_text(&cursor, answer_code_name(outcome->code));
    put_text(&cursor, outcome->container);
    put_text(&cursor, outcome->container_id);
    put_text(&cursor, outcome->before);
    put_text(&cursor, outcome->started_at);
    put_text(&cursor, outcome->detail);
    put_number(&cursor, (uint64_t)outcome->unstored_attempt, 8);
    return end_record(&cursor);
}

static size_t encode_epoch(uint64_t epoch, uint8_t out[OUTCOME_RECORD_MAX])
{
    struct cursor cursor = begin_record(out, RECORD_EPOCH);
    put_number(&cursor, epoch, 8);
    return end_record(&cursor);
}

static struct cursor payload_of(const uint8_t *record, size_t len)
{
    return (struct cursor){.in = record + HEAD_BYTES, .len = len - HEAD_BYTES - CRC_BYTES};
}

static bool decode_outcome(const uint8_t *record, size_t len, struct outcome *out)
{
    struct cursor cursor = payload_of(record, len);
    if (cursor.len < sizeof out->id.bytes) {
        return false;
    }
    memcpy(out->id.bytes, cursor.in, sizeof out->id.bytes);
    cursor.at += sizeof out->id.bytes;
    out->epoch = get_number(&cursor, 8);
    out->at.ms = (int64_t)get_number(&cursor, 8);
    out->took_ms = (int64_t)get_number(&cursor, 8);
    out->stop_timeout_ms = (int64_t)get_number(&cursor, 8);
    char op[LIMIT_WORD_SIZE];
    char code[LIMIT_WORD_SIZE];
    get_text(&cursor, op, sizeof op);
    get_text(&cursor, code, sizeof code);
    out->op = command_op_parse(op);
    out->code = answer_code_parse(code);
    get_text(&cursor, out->container, sizeof out->container);
    get_text(&cursor, out->container_id, sizeof out->container_id);
    get_text(&cursor, out->before, sizeof out->before);
    get_text(&cursor, out->started_at, sizeof out->started_at);
    get_text(&cursor, out->detail, sizeof out->detail);
    bool tells_unstored = cursor.at < cursor.len; /* older agents did not write it */
    out->unstored_attempt = tells_unstored ? (int64_t)get_number(&cursor, 8) : 0;
    return !cursor.is_short;
}

/* The length of the whole record that begins here, or 0. */
static size_t record_at(const uint8_t *bytes, size_t len)
{
    if (len < HEAD_BYTES + CRC_BYTES || bytes[0] != MARK_1 || bytes[1] != MARK_2) {
        return 0;
    }
    size_t body = HEAD_BYTES + ((size_t)bytes[3] | (size_t)bytes[4] << 8);
    if (body + CRC_BYTES > len || body + CRC_BYTES > OUTCOME_RECORD_MAX) {
        return 0;
    }
    struct cursor crc = {.in = bytes + body, .len = CRC_BYTES};
    return get_number(&crc, CRC_BYTES) == crc32_of(bytes, body) ? body + CRC_BYTES : 0;
}

/* ---- memory ---- */

struct outcome_log *outcome_log_new(size_t capacity)
{
    assert(capacity > 0);
    struct outcome_log *log = memory_alloc(sizeof *log);
    log->capacity = capacity;
    return log;
}

static void drop_entry(struct outcome_log *log, struct entry *entry)
{
    HASH_DEL(log->entries, entry);
    log->record_bytes -= entry->len;
    free(entry->record);
    free(entry);
}

void outcome_log_free(struct outcome_log *log)
{
    if (log == NULL) {
        return;
    }
    struct entry *entry, *next;
    HASH_ITER (hh, log->entries, entry, next) {
        drop_entry(log, entry);
    }
    free(log);
}

static struct entry *find_entry(const struct outcome_log *log, const struct command_id *id)
{
    struct entry *entry;
    HASH_FIND(hh, log->entries, id, sizeof *id, entry);
    return entry;
}

static void make_room(struct outcome_log *log)
{
    struct entry *entry, *next;
    HASH_ITER (hh, log->entries, entry, next) {
        if (HASH_COUNT(log->entries) < log->capacity) {
            return;
        }
        if (!entry->is_open) {
            drop_entry(log, entry);
        }
    }
}

static void apply_outcome(struct outcome_log *log, const struct outcome *outcome, const uint8_t *record,
                          size_t len)
{
    bool is_open = outcome->code == ANSWER_ACCEPTED;
    struct entry *entry = find_entry(log, &outcome->id);
    if (entry == NULL) {
        make_room(log);
        entry = memory_alloc(sizeof *entry);
        entry->id = outcome->id;
        HASH_ADD(hh, log->entries, id, sizeof entry->id, entry);
    } else if (is_open && !entry->is_open) {
        return; /* an end is never taken back */
    }
    entry->is_open = is_open;
    log->record_bytes += len - entry->len;
    entry->record = memory_grow(entry->record, len, 1);
    memcpy(entry->record, record, len);
    entry->len = len;
    log->epoch = outcome->epoch > log->epoch ? outcome->epoch : log->epoch;
}

static bool apply_record(struct outcome_log *log, const uint8_t *record, size_t len)
{
    if (record[2] == RECORD_EPOCH) {
        struct cursor cursor = payload_of(record, len);
        uint64_t epoch = get_number(&cursor, 8);
        log->epoch = epoch > log->epoch ? epoch : log->epoch;
        return !cursor.is_short;
    }
    struct outcome outcome;
    if (record[2] != RECORD_OUTCOME || !decode_outcome(record, len, &outcome)) {
        return false;
    }
    apply_outcome(log, &outcome, record, len);
    return true;
}

size_t outcome_log_load(struct outcome_log *log, const uint8_t *bytes, size_t len)
{
    size_t strange = 0;
    for (size_t at = 0; at < len;) {
        size_t record = record_at(bytes + at, len - at);
        if (record == 0) {
            strange++;
            at++;
            continue;
        }
        if (!apply_record(log, bytes + at, record)) {
            strange += record;
        }
        at += record;
    }
    return strange;
}

size_t outcome_log_put(struct outcome_log *log, const struct outcome *outcome,
                       uint8_t out[OUTCOME_RECORD_MAX])
{
    size_t len = encode_outcome(outcome, out);
    apply_outcome(log, outcome, out, len);
    return len;
}

size_t outcome_log_raise_epoch(struct outcome_log *log, uint64_t epoch, uint8_t out[OUTCOME_RECORD_MAX])
{
    if (epoch <= log->epoch) {
        return 0;
    }
    log->epoch = epoch;
    return encode_epoch(epoch, out);
}

bool outcome_log_find(const struct outcome_log *log, const struct command_id *id, struct outcome *out)
{
    const struct entry *entry = find_entry(log, id);
    return entry != NULL && decode_outcome(entry->record, entry->len, out);
}

uint64_t outcome_log_epoch(const struct outcome_log *log)
{
    return log->epoch;
}

size_t outcome_log_count(const struct outcome_log *log)
{
    return HASH_COUNT(log->entries);
}

void outcome_log_each_open(const struct outcome_log *log,
                           void (*visit)(void *arg, const struct outcome *outcome), void *arg)
{
    for (const struct entry *entry = log->entries; entry != NULL; entry = entry->hh.next) {
        struct outcome outcome;
        if (entry->is_open && decode_outcome(entry->record, entry->len, &outcome)) {
            visit(arg, &outcome);
        }
    }
}

uint8_t *outcome_log_image(const struct outcome_log *log, size_t *len)
{
    uint8_t *image = memory_alloc(log->record_bytes + OUTCOME_RECORD_MAX);
    size_t at = log->epoch == 0 ? 0 : encode_epoch(log->epoch, image);
    for (const struct entry *entry = log->entries; entry != NULL; entry = entry->hh.next) {
        memcpy(image + at, entry->record, entry->len);
        at += entry->len;
    }
    *len = at;
    return image;
}

size_t outcome_log_image_bytes(const struct outcome_log *log)
{
    uint8_t record[OUTCOME_RECORD_MAX];
    return log->record_bytes + (log->epoch == 0 ? 0 : encode_epoch(log->epoch, record));
}
