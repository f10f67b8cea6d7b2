/*
 * How a container stood at a time in the past, in words, from what was recorded of it. Pure.
 */
#ifndef DEFIB_CONTROLLER_CTL_PAST_H
#define DEFIB_CONTROLLER_CTL_PAST_H

#include <stdbool.h>
#include <stddef.h>

#include "common/clock.h"
#include "controller/serve/explanation.h"

enum { PAST_TEXT_SIZE = 1024 };

/* The JSON documents of its entries on health:events before `at`, oldest first. */
void past_describe(const char *const *documents, size_t count, const char *container, struct wall at,
                   char out[PAST_TEXT_SIZE]);

/* What the last of them that carries facts tells, as `explain` would have told it then: evidence, gates, what
 * stood against a restart and what was to come; `next_at` is wall-clock time, *known_at that of the entry.
 * False where none carries facts: an older controller wrote them. */
bool past_explain(const char *const *documents, size_t count, const char *container, struct explanation *out,
                  struct wall *known_at);

#endif
