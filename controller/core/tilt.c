#include "controller/core/tilt.h"

#include <stddef.h>

/* How far the wall clock ran from the monotonic one since the last look. A slow drift is none. */
static int64_t parted_ms(struct tilt *tilt, struct mono now, const struct wall *wall)
{
    if (wall == NULL) {
        return 0;
    }
    int64_t parted = tilt->has_clocks ? wall->ms - tilt->wall.ms - mono_diff(now, tilt->mono) : 0;
    tilt->has_clocks = true;
    tilt->mono = now;
    tilt->wall = *wall;
    return parted;
}

enum tilt_change tilt_look(struct tilt *tilt, struct mono now, const struct wall *wall, int64_t *by_ms)
{
    int64_t parted = parted_ms(tilt, now, wall);
    bool is_awaited = tilt->wanted.ms != 0 && tilt->wanted.ms != MONO_NEVER.ms;
    int64_t late = is_awaited ? mono_diff(now, tilt->wanted) : 0;
    bool is_stalled = late > TILT_STALL_MS;
    bool is_parted = parted > TILT_PART_MS || parted < -TILT_PART_MS;
    if (is_stalled || is_parted) {
        tilt->is_on = true;
        tilt->until = mono_add(now, TILT_MS);
        *by_ms = is_stalled ? late : parted;
        return is_stalled ? TILT_STALLED : TILT_PARTED;
    }
    if (tilt->is_on && mono_reached(now, tilt->until)) {
        tilt->is_on = false;
        return TILT_OVER;
    }
    return TILT_AS_IT_WAS;
}

void tilt_expect(struct tilt *tilt, struct mono now, struct mono wanted)
{
    tilt->wanted = wanted.ms < now.ms ? now : wanted;
}
