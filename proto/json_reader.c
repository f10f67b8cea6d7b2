#include "proto/json_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "common/memory.h"
#include "common/timestamp.h"
#include "proto/limits.h"
#include "proto/text.h"

enum {
    NUMBER_MAX_BYTES = 63,   /* cJSON reads no more of one */
    NUMBER_EXACT_DIGITS = 15 /* any integer this long is exact in a double */
};

/* A number that needs a second look after parsing; or NaN, Infinity, to be replaced before. */
struct odd_number {
    size_t ordinal; /* among the numbers of the document */
    size_t at, len;
};

struct scan {
    const char *bytes;
    size_t len, at;
    size_t depth, values, numbers;
    struct odd_number *odd; /* owned */
    size_t odd_count;
    struct odd_number *absent; /* NaN and the like; owned */
    size_t absent_count;
};

static void scan_fini(struct scan *scan)
{
    free(scan->odd);
    free(scan->absent);
}
#define cleanup_scan __attribute__((cleanup(scan_fini)))

static void remember(struct odd_number **list, size_t *count, struct odd_number number)
{
    if ((*count & (*count - 1)) == 0) {
        *list = memory_grow(*list, *count == 0 ? 1 : 2 * *count, sizeof number);
    }
    (*list)[(*count)++] = number;
}

/* Past the string whose opening quote is at scan->at. */
static bool scan_string(struct scan *scan)
{
    const char *bytes = scan->bytes;
    size_t at = scan->at + 1;
    while (at < scan->len) {
        at += text_plain_bytes(bytes + at, scan->len - at);
        if (at == scan->len) {
            break;
        }
        unsigned char byte = (unsigned char)bytes[at];
        if (byte == '"') {
            scan->at = at + 1;
            return true;
        }
        if (byte == '\\') {
            /* An escaped NUL would end the text early in C. */
            bool is_nul = scan->len - at >= 6 && memcmp(bytes + at, "\\u0000", 6) == 0;
            if (is_nul) {
                break;
            }
            at += 2;
        } else if (byte < 0x20) {
            break;
        } else if (byte < 0x80) {
            at++;
        } else {
            size_t character = text_character_bytes(bytes + at, scan->len - at);
            if (character == 0) {
                break;
            }
            at += character;
        }
    }
    scan->at = at < scan->len ? at : scan->len;
    return false;
}

static size_t count_digits(const struct scan *scan, size_t at)
{
    size_t start = at;
    while (at < scan->len && scan->bytes[at] >= '0' && scan->bytes[at] <= '9') {
        at++;
    }
    return at - start;
}

static bool is_word_at(const struct scan *scan, size_t at, const char *word)
{
    size_t len = strlen(word);
    return scan->len - at >= len && memcmp(scan->bytes + at, word, len) == 0;
}

/* NaN, Infinity, -Infinity: no JSON, but Python writes them. */
static bool scan_absent(struct scan *scan, size_t sign)
{
    size_t at = scan->at + sign;
    size_t len = sign == 0 && is_word_at(scan, at, "NaN") ? 3 : is_word_at(scan, at, "Infinity") ? 8 : 0;
    if (len == 0) {
        return false;
    }
    remember(&scan->absent, &scan->absent_count, (struct odd_number){.at = scan->at, .len = sign + len});
    scan->at = at + len;
    return true;
}

static bool scan_number(struct scan *scan)
{
    size_t at = scan->at;
    if (scan->bytes[at] == '-') {
        if (scan_absent(scan, 1)) {
            return true;
        }
        at++;
    }
    size_t digits = count_digits(scan, at);
    if (digits == 0 || (digits > 1 && scan->bytes[at] == '0')) {
        return false;
    }
    at += digits;
    bool is_whole = true;
    bool has_exponent = false;
    if (at < scan->len && scan->bytes[at] == '.') {
        size_t decimals = count_digits(scan, at + 1);
        if (decimals == 0) {
            return false;
        }
        at += 1 + decimals;
        is_whole = false;
    }
    if (at < scan->len && (scan->bytes[at] | 0x20) == 'e') {
        at++;
        at += at < scan->len && (scan->bytes[at] == '+' || scan->bytes[at] == '-');
        size_t exponent = count_digits(scan, at);
        if (exponent == 0) {
            return false;
        }
        at += exponent;
        has_exponent = true;
    }
    size_t len = at - scan->at;
    if (len > NUMBER_MAX_BYTES) {
        return false;
    }
    if (has_exponent || (is_whole && digits > NUMBER_EXACT_DIGITS)) {
        remember(&scan->odd, &scan->odd_count, (struct odd_number){scan->numbers, scan->at, len});
    }
    scan->numbers++;
    scan->at = at;
    return true;
}

static bool scan_token(struct scan *scan)
{
    switch (scan->bytes[scan->at]) {
    case '"':
        return scan_string(scan);
    case '{':
    case '[':
        scan->values++;
        scan->at++;
        return ++scan->depth <= LIMIT_JSON_DEPTH;
    case '}':
    case ']':
        scan->at++;
        return scan->depth-- > 0;
    case ',':
        scan->values++;
        scan->at++;
        return true;
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        return scan_number(scan);
    case 'N':
    case 'I':
        return scan_absent(scan, 0);
    case ' ':
    case '\t':
    case '\r':
    case '\n':
    case ':':
        scan->at++;
        return true;
    default:
        break;
    }
    /* A letter: part of true, false or null, which cJSON checks. */
    bool is_letter = scan->bytes[scan->at] >= 'a' && scan->bytes[scan->at] <= 'z';
    scan->at += is_letter;
    return is_letter;
}

static int refuse_at(const struct scan *scan, size_t at, const struct json_bounds *bounds,
                     const char *problem, struct err *err)
{
    char excerpt[TEXT_EXCERPT_SIZE];
    text_excerpt(excerpt, scan->bytes + at, scan->len - at);
    return err_set(err, EINVAL, "%s: %s at byte %zu: %s", bounds->what, problem, at,
                   at < scan->len ? excerpt : "(end)");
}

static int scan_document(struct scan *scan, const struct json_bounds *bounds, struct err *err)
{
    while (scan->at < scan->len) {
        size_t start = scan->at;
        if (!scan_token(scan)) {
            bool is_deep = scan->depth > LIMIT_JSON_DEPTH;
            return refuse_at(scan, start, bounds, is_deep ? "too deeply nested" : "no JSON", err);
        }
        if (scan->values > bounds->max_values) {
            return err_set(err, EMSGSIZE, "%s: more than %zu values", bounds->what, bounds->max_values);
        }
    }
    return 0;
}

/* A copy with null in place of what is no number; *len is its length. */
static char *replace_absent(const struct scan *scan, size_t *len)
{
    char *text = memory_grow(NULL, scan->len + 4 * scan->absent_count, 1);
    size_t from = 0;
    size_t to = 0;
    for (size_t each = 0; each < scan->absent_count; each++) {
        const struct odd_number *absent = &scan->absent[each];
        memcpy(text + to, scan->bytes + from, absent->at - from);
        to += absent->at - from;
        memcpy(text + to, "null", 4);
        to += 4;
        from = absent->at + absent->len;
    }
    memcpy(text + to, scan->bytes + from, scan->len - from);
    *len = to + scan->len - from;
    return text;
}

struct restorer {
    const struct scan *scan;
    size_t numbers; /* seen so far */
    size_t next;    /* of scan->odd */
};

/* Puts the exact spelling beside each number that its double does not hold. Document order is tree order. */
static void restore_numbers(struct restorer *restorer, cJSON *parent)
{
    for (cJSON *item = parent->child; item != NULL; item = item->next) {
        restore_numbers(restorer, item);
        if (!cJSON_IsNumber(item)) {
            continue;
        }
        const struct scan *scan = restorer->scan;
        size_t ordinal = restorer->numbers++;
        if (restorer->next == scan->odd_count || scan->odd[restorer->next].ordinal != ordinal) {
            continue;
        }
        const struct odd_number *odd = &scan->odd[restorer->next++];
        double largest = 9007199254740992.0; /* 2^53 */
        if (!(item->valuedouble > -largest && item->valuedouble < largest)) {
            item->valuestring = memory_grow(NULL, odd->len + 1, 1);
            memcpy(item->valuestring, scan->bytes + odd->at, odd->len);
            item->valuestring[odd->len] = '\0';
        }
    }
}

static bool is_blank(const char *from, const char *end)
{
    while (from < end && memchr(" \t\r\n", *from, 4) != NULL) {
        from++;
    }
    return from == end;
}

static int parse_scanned(const struct scan *scan, const char *bytes, size_t len,
                         const struct json_bounds *bounds, cJSON **out, struct err *err)
{
    const char *end = bytes;
    cleanup_json cJSON *tree = cJSON_ParseWithLengthOpts(bytes, len, &end, 0);
    struct scan place = {.bytes = bytes, .len = len};
    if (tree == NULL || !is_blank(end, bytes + len)) {
        return refuse_at(&place, (size_t)(end - bytes), bounds, "no JSON", err);
    }
    if (!cJSON_IsObject(tree)) {
        return refuse_at(&place, 0, bounds, "no object", err);
    }
    if (scan->odd_count > 0) {
        restore_numbers(&(struct restorer){.scan = scan}, tree);
    }
    *out = memory_steal(tree);
    return 0;
}

int json_reader_parse(const char *bytes, size_t len, const struct json_bounds *bounds, cJSON **out,
                      struct err *err)
{
    if (len > bounds->max_bytes) {
        return err_set(err, EMSGSIZE, "%s: %zu bytes, at most %zu", bounds->what, len, bounds->max_bytes);
    }
    cleanup_scan struct scan scan = {.bytes = bytes, .len = len};
    int status = scan_document(&scan, bounds, err);
    if (status != 0) {
        return status;
    }
    if (len == 0) {
        return err_set(err, EINVAL, "%s: empty", bounds->what);
    }
    if (scan.absent_count == 0) {
        return parse_scanned(&scan, bytes, len, bounds, out, err);
    }
    size_t patched_len = 0;
    cleanup_free char *patched = replace_absent(&scan, &patched_len);
    return parse_scanned(&scan, patched, patched_len, bounds, out, err);
}

cJSON *json_reader_parse_own(const char *text, size_t len)
{
    static const struct json_bounds own = {"own document", SIZE_MAX, SIZE_MAX};
    cJSON *tree = NULL;
    if (json_reader_parse(text, len, &own, &tree, NULL) != 0) {
        abort();
    }
    return tree;
}

void json_reader_cleanup(cJSON **tree)
{
    cJSON_Delete(*tree);
}

static const char *kind_of(const cJSON *item)
{
    switch (item->type & 0xff) {
    case cJSON_True:
    case cJSON_False:
        return "a boolean";
    case cJSON_Number:
        return "a number";
    case cJSON_Array:
        return "an array";
    case cJSON_Object:
        return "an object";
    default:
        return "null";
    }
}

const struct cJSON *json_reader_member(const struct cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

const struct cJSON *json_reader_first(const struct cJSON *tree)
{
    return tree == NULL ? NULL : tree->child;
}

const struct cJSON *json_reader_next(const struct cJSON *item)
{
    return item->next;
}

const char *json_reader_label(const struct cJSON *item)
{
    return item->string == NULL ? "" : item->string;
}

int json_reader_refuse(const cJSON *item, const char *field, const char *wanted, struct err *err)
{
    if (item == NULL) {
        return err_set(err, EINVAL, "%s is missing, wanted %s", field, wanted);
    }
    if (!cJSON_IsString(item)) {
        return err_set(err, EINVAL, "%s is %s, wanted %s", field, kind_of(item), wanted);
    }
    char excerpt[TEXT_EXCERPT_SIZE];
    text_excerpt(excerpt, item->valuestring, strlen(item->valuestring));
    return err_set(err, EINVAL, "%s is \"%s\", wanted %s", field, excerpt, wanted);
}

int json_reader_name(const cJSON *item, const char *field, char *out, size_t size, struct err *err)
{
    if (!cJSON_IsString(item)) {
        return json_reader_refuse(item, field, "text", err);
    }
    size_t len = strlen(item->valuestring);
    if (len >= size) {
        return err_set(err, EINVAL, "%s has %zu bytes, at most %zu", field, len, size - 1);
    }
    if (!text_is_name(item->valuestring, len)) {
        return json_reader_refuse(item, field, "text without control characters, not empty", err);
    }
    memcpy(out, item->valuestring, len + 1);
    return 0;
}

bool json_reader_text(const cJSON *item, char *out, size_t size)
{
    if (!cJSON_IsString(item)) {
        return false;
    }
    text_cut(out, size, item->valuestring, strlen(item->valuestring));
    return true;
}

bool json_reader_signed(const cJSON *item, int64_t min, int64_t max, int64_t *out)
{
    double exact_up_to = 9007199254740992.0; /* 2^53 */
    if (!cJSON_IsNumber(item) || !(item->valuedouble > -exact_up_to && item->valuedouble < exact_up_to)) {
        return false;
    }
    int64_t value = (int64_t)item->valuedouble;
    if ((double)value != item->valuedouble || value < min || value > max) {
        return false;
    }
    *out = value;
    return true;
}

bool json_reader_unsigned(const cJSON *item, uint64_t *out)
{
    int64_t value;
    if (!json_reader_signed(item, 0, INT64_MAX, &value)) {
        return false;
    }
    *out = (uint64_t)value;
    return true;
}

bool json_reader_real(const struct cJSON *item, double *out)
{
    if (!cJSON_IsNumber(item)) {
        return false;
    }
    *out = item->valuedouble;
    return true;
}

bool json_reader_bool(const cJSON *item, bool *out)
{
    if (!cJSON_IsBool(item)) {
        return false;
    }
    *out = cJSON_IsTrue(item) != 0;
    return true;
}

bool json_reader_time(const cJSON *item, struct wall *out)
{
    if (cJSON_IsNull(item)) {
        *out = (struct wall){0};
        return true;
    }
    return cJSON_IsString(item) && timestamp_parse(item->valuestring, strlen(item->valuestring), out) == 0;
}

cJSON *json_reader_copy(const cJSON *tree)
{
    if (tree == NULL) {
        return NULL;
    }
    cJSON *copy = cJSON_Duplicate(tree, 1);
    if (copy == NULL) {
        abort();
    }
    return copy;
}

/* The array's way of linking keeps the name that the item has. */
static void link_into(cJSON **into, cJSON *item)
{
    if (*into == NULL) {
        *into = cJSON_CreateObject();
        if (*into == NULL) {
            abort();
        }
    }
    cJSON_AddItemToArray(*into, item);
}

void json_reader_move(cJSON *parent, cJSON *item, cJSON **into)
{
    link_into(into, cJSON_DetachItemViaPointer(parent, item));
}

void json_reader_add_copy(const cJSON *item, cJSON **into)
{
    link_into(into, json_reader_copy(item));
}
