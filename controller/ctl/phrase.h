/*
 * Small pieces of text for people: ages, countdowns, commands that nearly exist.
 */
#ifndef DEFIB_CONTROLLER_CTL_PHRASE_H
#define DEFIB_CONTROLLER_CTL_PHRASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/clock.h"

enum { PHRASE_SIZE = 48 };

/* "12s", "4m", "3h", "2d"; "" for a time of 0. phrase_in: "now" where it is over. */
void phrase_age(struct wall when, struct wall now, char out[PHRASE_SIZE]);
void phrase_in(struct wall when, struct wall now, char out[PHRASE_SIZE]);

/* "30s", "15m", "2h", "1d", "1h30m", "90" (seconds). False where it is none of these, 0, or over a year. */
bool phrase_parse_duration(const char *text, int64_t *ms);

/* "15m", "2h", "1d" back (as age), or a time as RFC 3339 ("2026-01-23T19:05:30Z"), or HH:MM[:SS] in UTC,
 * today or, where that is still to come, yesterday. False where it is none of these. */
#define PHRASE_TIMES "15m, 2h, 1d, HH:MM, or a time such as 2026-01-23T19:05:30Z"
bool phrase_parse_time(const char *text, struct wall now, struct wall *out);

/* Text over lines of at most `width` columns: `first` in front of the first, `rest` of the others. */
void phrase_print(FILE *out, const char *first, const char *rest, const char *text, int width);

#endif
