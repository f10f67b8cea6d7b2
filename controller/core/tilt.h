/*
 * Are we fit to judge? When the loop stalled, or the clocks parted, what looks like silence may be our own:
 * for TILT_MS it is watched and nothing is done (policy.md, section 4). Pure; a plain value, zeroed at first.
 */
#ifndef DEFIB_CONTROLLER_CORE_TILT_H
#define DEFIB_CONTROLLER_CORE_TILT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"

enum { TILT_MS = 30000, TILT_STALL_MS = 3000, TILT_PART_MS = 3000 };

struct tilt {
    bool is_on;
    struct mono until;
    struct mono wanted; /* the latest that the next call should come at; MONO_NEVER or 0: no matter */
    bool has_clocks;
    struct mono mono; /* both clocks at the last call that gave both */
    struct wall wall;
};

enum tilt_change { TILT_AS_IT_WAS, TILT_STALLED, TILT_PARTED, TILT_OVER };

/* To be asked at the beginning of every call; wall may be NULL. STALLED and PARTED may come again while it is
 * on, and prolong it; *by_ms is by how much we were late, or the clocks parted (either sign). */
enum tilt_change tilt_look(struct tilt *tilt, struct mono now, const struct wall *wall, int64_t *by_ms);

/* At the end of every call: when the next is wanted. */
void tilt_expect(struct tilt *tilt, struct mono now, struct mono wanted);

#endif
