#include "common/clock.h"

#include <time.h>

static int64_t read_ms(clockid_t which)
{
    struct timespec spec;
    clock_gettime(which, &spec);
    return (int64_t)spec.tv_sec * 1000 + spec.tv_nsec / 1000000;
}

struct mono clock_mono_now(void)
{
    return (struct mono){read_ms(CLOCK_MONOTONIC)};
}

struct wall clock_wall_now(void)
{
    return (struct wall){read_ms(CLOCK_REALTIME)};
}
