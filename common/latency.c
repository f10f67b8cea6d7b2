#include "common/latency.h"

#include <stddef.h>

const int64_t latency_bounds_ms[LATENCY_BUCKETS] = {1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000};

void latency_observe(struct latency *latency, int64_t ms)
{
    size_t bucket = 0;
    while (bucket < LATENCY_BUCKETS && ms > latency_bounds_ms[bucket]) {
        bucket++;
    }
    latency->buckets[bucket]++;
    latency->count++;
    latency->sum_ms += ms;
}
