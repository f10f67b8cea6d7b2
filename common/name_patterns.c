#include "common/name_patterns.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"

enum { PATTERN_LEN_MAX = 255 };

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

static bool has_control(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            return true;
        }
    }
    return false;
}

/* The end of the bracket expression at `at`, or NULL. A `]` right at its start stands for itself. */
static const char *bracket_end(const char *at)
{
    at++;
    if (*at == '!' || *at == '^') {
        at++;
    }
    return *at == '\0' ? NULL : strchr(at + 1, ']');
}

/* fnmatch would quietly take an open bracket or a lone backslash as itself: more likely a slip. */
static const char *find_fault(const char *pattern)
{
    for (const char *at = pattern; *at != '\0'; at++) {
        if (*at == '[') {
            at = bracket_end(at);
            if (at == NULL) {
                return "has an unclosed bracket";
            }
        } else if (*at == '\\' && *++at == '\0') {
            return "ends with a backslash";
        }
    }
    return NULL;
}

static int add_part(struct name_patterns *patterns, const char *part, size_t len, struct err *err)
{
    if (len > PATTERN_LEN_MAX) {
        return err_set(err, EINVAL, "name \"%.32s...\" is over %d bytes long", part, PATTERN_LEN_MAX);
    }
    if (has_control(part, len)) {
        return err_set(err, EINVAL, "name number %zu has control characters", patterns->count + 1);
    }
    cleanup_free char *item = memory_alloc(len + 1);
    memcpy(item, part, len);
    const char *fault = find_fault(item);
    if (fault != NULL) {
        return err_set(err, EINVAL, "name \"%s\" %s", item, fault);
    }
    patterns->items = memory_grow(patterns->items, patterns->count + 1, sizeof *patterns->items);
    patterns->items[patterns->count++] = memory_steal(item);
    return 0;
}

int name_patterns_parse(const char *text, struct name_patterns *out, struct err *err)
{
    struct name_patterns patterns = {NULL, 0};
    while (*text != '\0') {
        size_t whole = strcspn(text, ",");
        const char *part = text;
        size_t len = whole;
        while (len > 0 && is_blank(*part)) {
            part++;
            len--;
        }
        while (len > 0 && is_blank(part[len - 1])) {
            len--;
        }
        int status = len == 0 ? 0 : add_part(&patterns, part, len, err);
        if (status != 0) {
            name_patterns_free(&patterns);
            return status;
        }
        text += whole + (text[whole] == ',');
    }
    *out = patterns;
    return 0;
}

bool name_patterns_match(const struct name_patterns *patterns, const char *name)
{
    for (size_t i = 0; i < patterns->count; i++) {
        const char *pattern = patterns->items[i];
        bool is_glob = strpbrk(pattern, "*?[\\") != NULL;
        if (is_glob ? fnmatch(pattern, name, 0) == 0 : strcmp(pattern, name) == 0) {
            return true;
        }
    }
    return false;
}

void name_patterns_free(struct name_patterns *patterns)
{
    for (size_t i = 0; i < patterns->count; i++) {
        free(patterns->items[i]);
    }
    free(patterns->items);
    *patterns = (struct name_patterns){NULL, 0};
}
