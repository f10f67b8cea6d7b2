#include "proto/json_writer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "common/memory.h"
#include "common/timestamp.h"
#include "proto/text.h"

void json_writer_init(struct json_writer *writer, enum json_spacing spacing, size_t first_size)
{
    *writer = (struct json_writer){.spacing = spacing, .size = first_size};
    writer->text = memory_grow(NULL, first_size, 1);
}

/* Room for `more` bytes and the NUL. */
static char *reserve(struct json_writer *writer, size_t more)
{
    size_t wanted = writer->len + more + 1;
    if (wanted > writer->size) {
        writer->size = wanted > 2 * writer->size ? wanted : 2 * writer->size;
        writer->text = memory_grow(writer->text, writer->size, 1);
    }
    return writer->text + writer->len;
}

static void put(struct json_writer *writer, const char *bytes, size_t len)
{
    memcpy(reserve(writer, len), bytes, len);
    writer->len += len;
}

static void put_byte(struct json_writer *writer, char byte)
{
    *reserve(writer, 1) = byte;
    writer->len++;
}

char *json_writer_take(struct json_writer *writer, size_t *len)
{
    *reserve(writer, 0) = '\0';
    if (len != NULL) {
        *len = writer->len;
    }
    return memory_steal(writer->text);
}

void json_writer_fini(struct json_writer *writer)
{
    free(writer->text);
    writer->text = NULL;
}

/* The letter behind the backslash, or 0 where only \u will do. */
static char short_escape(unsigned char byte)
{
    switch (byte) {
    case '"':
    case '\\':
        return (char)byte;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 0;
    }
}

static void put_escaped(struct json_writer *writer, unsigned char byte)
{
    char named = short_escape(byte);
    if (named != 0) {
        put(writer, (char[2]){'\\', named}, 2);
        return;
    }
    static const char digits[] = "0123456789abcdef";
    put(writer, (char[6]){'\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 15]}, 6);
}

static void put_string(struct json_writer *writer, const char *text)
{
    size_t left = strlen(text);
    char *room = reserve(writer, left + 2);
    if (text_plain_bytes(text, left) == left) {
        room[0] = room[left + 1] = '"';
        memcpy(room + 1, text, left);
        writer->len += left + 2;
        return;
    }
    put_byte(writer, '"');
    while (left > 0) {
        size_t run = text_plain_bytes(text, left);
        put(writer, text, run);
        text += run;
        left -= run;
        if (left == 0) {
            break;
        }
        size_t bytes = text_character_bytes(text, left);
        if (bytes > 1 || *text == 0x7f) {
            put(writer, text, bytes);
        } else if (bytes == 1) {
            put_escaped(writer, (unsigned char)*text);
        } else {
            put(writer, "\xef\xbf\xbd", 3);
            bytes = 1;
        }
        text += bytes;
        left -= bytes;
    }
    put_byte(writer, '"');
}

static void put_mark(struct json_writer *writer, char mark, bool is_spaced)
{
    char *room = reserve(writer, 2);
    room[0] = mark;
    room[1] = ' ';
    writer->len += is_spaced ? 2 : 1;
}

/* Comma, name and colon, whatever is due in front of a value. */
static void lead_in(struct json_writer *writer, const char *key)
{
    bool is_spaced = writer->spacing == JSON_SPACED;
    if (writer->needs_comma) {
        put_mark(writer, ',', is_spaced);
    }
    if (key != NULL) {
        put_string(writer, key);
        put_mark(writer, ':', is_spaced);
    }
    writer->needs_comma = true;
}

void json_writer_open(struct json_writer *writer, const char *key, char bracket)
{
    lead_in(writer, key);
    put_byte(writer, bracket);
    writer->needs_comma = false;
}

void json_writer_close(struct json_writer *writer, char bracket)
{
    put_byte(writer, bracket);
    writer->needs_comma = true;
}

void json_writer_raw(struct json_writer *writer, const char *key, const char *json, size_t len)
{
    lead_in(writer, key);
    put(writer, json, len);
}

void json_writer_text(struct json_writer *writer, const char *key, const char *text)
{
    lead_in(writer, key);
    put_string(writer, text);
}

static void put_unsigned(struct json_writer *writer, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    put(writer, digits + at, sizeof digits - at);
}

static void put_signed(struct json_writer *writer, int64_t value)
{
    if (value < 0) {
        put_byte(writer, '-');
    }
    put_unsigned(writer, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void json_writer_signed(struct json_writer *writer, const char *key, int64_t value)
{
    lead_in(writer, key);
    put_signed(writer, value);
}

void json_writer_unsigned(struct json_writer *writer, const char *key, uint64_t value)
{
    lead_in(writer, key);
    put_unsigned(writer, value);
}

/* Up to three decimals, as most metrics have. The division of two exact integers is correctly rounded, so
 * it is the double that this decimal spelling reads as; with at most 15 digits no shorter one exists. */
static bool put_short_decimal(struct json_writer *writer, double value)
{
    double size = value < 0 ? -value : value;
    if (!(size < 1e12)) {
        return false;
    }
    uint64_t thousandths = (uint64_t)(size * 1000 + 0.5);
    if ((double)thousandths / 1000 != size) {
        return false;
    }
    if (value < 0) {
        put_byte(writer, '-');
    }
    put_unsigned(writer, thousandths / 1000);
    unsigned rest = (unsigned)(thousandths % 1000);
    if (rest != 0) {
        char decimals[4] = {'.', (char)('0' + rest / 100), (char)('0' + rest / 10 % 10),
                            (char)('0' + rest % 10)};
        put(writer, decimals, rest % 10 != 0 ? 4 : rest % 100 != 0 ? 3 : 2);
    }
    return true;
}

static void put_real(struct json_writer *writer, double value)
{
    if (!isfinite(value)) {
        put(writer, "null", 4);
        return;
    }
    double exact_up_to = 9007199254740992.0; /* 2^53 */
    if (value >= -exact_up_to && value <= exact_up_to && (double)(int64_t)value == value) {
        put_signed(writer, (int64_t)value);
        return;
    }
    if (put_short_decimal(writer, value)) {
        return;
    }
    char text[32];
    int len = 0;
    for (int digits = 15; digits <= 17; digits++) {
        len = snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) {
            break;
        }
    }
    put(writer, text, (size_t)len);
}

void json_writer_real(struct json_writer *writer, const char *key, double value)
{
    lead_in(writer, key);
    put_real(writer, value);
}

void json_writer_bool(struct json_writer *writer, const char *key, bool value)
{
    lead_in(writer, key);
    put(writer, value ? "true" : "false", value ? 4 : 5);
}

void json_writer_null(struct json_writer *writer, const char *key)
{
    lead_in(writer, key);
    put(writer, "null", 4);
}

void json_writer_text_or_null(struct json_writer *writer, const char *key, const char *text)
{
    if (text[0] == '\0') {
        json_writer_null(writer, key);
    } else {
        json_writer_text(writer, key, text);
    }
}

void json_writer_text_if_any(struct json_writer *writer, const char *key, const char *text)
{
    if (text[0] != '\0') {
        json_writer_text(writer, key, text);
    }
}

void json_writer_time(struct json_writer *writer, const char *key, struct wall when,
                      enum json_rounding rounding)
{
    if (rounding == JSON_ROUND_UP && when.ms > 0 && when.ms % 1000 != 0) {
        when.ms += 1000 - when.ms % 1000;
    }
    char text[TIMESTAMP_SIZE];
    timestamp_format(when, text);
    if (text[0] == '\0') {
        json_writer_null(writer, key);
    } else {
        json_writer_text(writer, key, text);
    }
}

static void put_value(struct json_writer *writer, const cJSON *item);

static void put_children(struct json_writer *writer, const cJSON *parent)
{
    bool has_names = cJSON_IsObject(parent);
    put_byte(writer, has_names ? '{' : '[');
    writer->needs_comma = false;
    for (const cJSON *child = parent->child; child != NULL; child = child->next) {
        lead_in(writer, has_names ? child->string : NULL);
        put_value(writer, child);
    }
    json_writer_close(writer, has_names ? '}' : ']');
}

static void put_value(struct json_writer *writer, const cJSON *item)
{
    switch (item->type & 0xff) {
    case cJSON_True:
        put(writer, "true", 4);
        break;
    case cJSON_False:
        put(writer, "false", 5);
        break;
    case cJSON_Number:
        /* The reader leaves the spelling beside a number that a double cannot hold. */
        if (item->valuestring != NULL) {
            put(writer, item->valuestring, strlen(item->valuestring));
        } else {
            put_real(writer, item->valuedouble);
        }
        break;
    case cJSON_String:
        put_string(writer, item->valuestring);
        break;
    case cJSON_Array:
    case cJSON_Object:
        put_children(writer, item);
        break;
    default:
        put(writer, "null", 4);
        break;
    }
}

void json_writer_tree(struct json_writer *writer, const char *key, const struct cJSON *tree)
{
    lead_in(writer, key);
    put_value(writer, tree);
}
