/*
 * Two clocks that the compiler keeps apart.
 *
 * Durations and deadlines run on `struct mono`; `struct wall` is for people, for keys in Redis and for
 * reload. A clock is read once per turn of the loop and passed down as `now`; cores never read one.
 */
#ifndef DEFIB_COMMON_CLOCK_H
#define DEFIB_COMMON_CLOCK_H

#include <stdint.h>

/* Milliseconds on CLOCK_MONOTONIC. The epoch means nothing; only differences do. */
struct mono {
    int64_t ms;
};

/* Milliseconds since 1970-01-01T00:00:00Z. 0 means "no time known". */
struct wall {
    int64_t ms;
};

#define MONO_NEVER ((struct mono){INT64_MAX})

struct mono clock_mono_now(void);
struct wall clock_wall_now(void);

static inline struct mono mono_add(struct mono base, int64_t ms)
{
    return ms >= INT64_MAX - base.ms ? MONO_NEVER : (struct mono){base.ms + ms};
}

/* Milliseconds from `from` to `to`; negative when `to` is earlier. */
static inline int64_t mono_diff(struct mono to, struct mono from)
{
    return to.ms - from.ms;
}

static inline int mono_reached(struct mono now, struct mono when)
{
    return now.ms >= when.ms;
}

static inline struct mono mono_min(struct mono left, struct mono right)
{
    return left.ms < right.ms ? left : right;
}

#endif
