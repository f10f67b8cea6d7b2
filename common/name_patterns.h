/*
 * A comma-separated list of names and globs (`arbees-*`, `web-?`, `[ab]*`), as in the allow and deny lists.
 * Pure.
 *
 * Blanks around a name are dropped, empty parts skipped. A pattern without glob characters matches by
 * equality. Matching is case-sensitive and over the whole name.
 */
#ifndef DEFIB_COMMON_NAME_PATTERNS_H
#define DEFIB_COMMON_NAME_PATTERNS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

struct name_patterns {
    char **items; /* owned */
    size_t count;
};

/* 0, or -EINVAL for a part with control characters, an unclosed bracket or over 255 bytes; names it. */
int name_patterns_parse(const char *text, struct name_patterns *out, struct err *err);
bool name_patterns_match(const struct name_patterns *patterns, const char *name);
void name_patterns_free(struct name_patterns *patterns); /* frees the items; empty afterwards */

#endif
