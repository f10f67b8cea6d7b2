/*
 * How long answers take: a histogram of milliseconds. A plain value; zeroed at the start. Pure.
 */
#ifndef DEFIB_COMMON_LATENCY_H
#define DEFIB_COMMON_LATENCY_H

#include <stdint.h>

enum { LATENCY_BUCKETS = 12 };

struct latency {
    uint64_t buckets[LATENCY_BUCKETS + 1]; /* not cumulative; the last one is +Inf */
    uint64_t count;
    int64_t sum_ms;
};

extern const int64_t latency_bounds_ms[LATENCY_BUCKETS]; /* upper ones, each within its bucket */

void latency_observe(struct latency *latency, int64_t ms);

#endif
