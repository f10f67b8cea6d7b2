/*
 * What the documents of the API and the metrics are made from: the parts of the controller, the counts, and
 * the time of the request. A plain value; all borrowed.
 */
#ifndef DEFIB_CONTROLLER_SERVE_SCENE_H
#define DEFIB_CONTROLLER_SERVE_SCENE_H

#include "common/clock.h"
#include "common/settings.h"
#include "controller/controller.h"
#include "controller/serve/tally.h"

struct scene {
    const struct settings *settings;
    struct controller_parts parts;
    struct controller_health health;
    const struct tally *tally;
    struct wall started_at;
    size_t connections; /* of HTTP */
    uint64_t requests;
    struct mono now;
    struct wall wall;
};

/* The wall-clock time of a moment on our clock: 0 for 0 and MONO_NEVER. */
static inline struct wall scene_wall(const struct scene *scene, struct mono when)
{
    if (when.ms == 0 || when.ms == MONO_NEVER.ms) {
        return (struct wall){0};
    }
    return (struct wall){scene->wall.ms + mono_diff(when, scene->now)};
}

#endif
