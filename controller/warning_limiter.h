/*
 * One warning per source and period: a key or a channel full of rubbish fills no log. Pure but for memory.
 *
 * At most WARNING_LIMITER_SOURCES are remembered; further ones share one slot until old ones have aged out.
 */
#ifndef DEFIB_CONTROLLER_WARNING_LIMITER_H
#define DEFIB_CONTROLLER_WARNING_LIMITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"

enum { WARNING_LIMITER_SOURCES = 1024 };

struct warning_limiter;

struct warning_limiter *warning_limiter_new(int64_t repeat_ms);
void warning_limiter_free(struct warning_limiter *limiter);

/* True where a line about `source` may be written now; *suppressed counts those that were not since the
 * last one. */
bool warning_limiter_allows(struct warning_limiter *limiter, const char *source, struct mono now,
                            uint64_t *suppressed);

/* Writes "<text>" as a WARNING where allowed, with " (and N more like it)" behind. */
void warning_limiter_warn(struct warning_limiter *limiter, const char *source, struct mono now,
                          const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
