/*
 * Wall-clock times as text. Pure.
 *
 * defib writes `2026-01-23T19:05:30Z` (contract.md). It reads every RFC 3339 form and what Python's
 * datetime.isoformat() makes: `T` or a space, any number of fraction digits, `Z`, `+01:00`, `+0100`, or no
 * zone at all, which is taken as UTC.
 */
#ifndef DEFIB_COMMON_TIMESTAMP_H
#define DEFIB_COMMON_TIMESTAMP_H

#include <stddef.h>

#include "common/clock.h"

#define TIMESTAMP_SIZE 32

/* Writes the time with second precision, NUL-terminated. A time of 0 ms or before becomes "". */
void timestamp_format(struct wall when, char out[TIMESTAMP_SIZE]);

/* The same with milliseconds: 2026-01-23T19:05:30.123Z. */
void timestamp_format_ms(struct wall when, char out[TIMESTAMP_SIZE]);

/* Reads `len` bytes of text. 0, or -EINVAL and *out untouched. Docker's zero time 0001-01-01T00:00:00Z is
 * read as 0 ("no time known"); so is anything before 1970. Fractions are cut to milliseconds. */
int timestamp_parse(const char *text, size_t len, struct wall *out);

#endif
