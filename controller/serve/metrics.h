/*
 * The Prometheus text format, version 0.0.4. Label sets are bounded: words of ours, and hosts up to
 * METRICS_HOSTS; what a container is called never stands here.
 */
#ifndef DEFIB_CONTROLLER_SERVE_METRICS_H
#define DEFIB_CONTROLLER_SERVE_METRICS_H

#include <stddef.h>

#include "controller/serve/scene.h"

enum { METRICS_HOSTS = 500 };

char *metrics_render(const struct scene *scene, size_t *len); /* fresh text, given */

#endif
