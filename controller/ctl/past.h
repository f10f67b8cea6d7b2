/*
 * How a container stood at a time in the past, in words, from what was recorded of it. Pure.
 */
#ifndef DEFIB_CONTROLLER_CTL_PAST_H
#define DEFIB_CONTROLLER_CTL_PAST_H

#include <stddef.h>

#include "common/clock.h"

enum { PAST_TEXT_SIZE = 1024 };

/* The JSON documents of its entries on health:events before `at`, oldest first. */
void past_describe(const char *const *documents, size_t count, const char *container, struct wall at,
                   char out[PAST_TEXT_SIZE]);

#endif
