/*
 * Who depends on whom (policy.md, section 7). Pure: looks at the tables of liveness.h, changes nothing.
 *
 * Hard edge: a container lives in the network, pid or ipc namespace of another one, by its id, on one host.
 * Soft edge: depends_on, by the fleet's name or, within one compose project and host, by the compose service.
 */
#ifndef DEFIB_CONTROLLER_CORE_DEPENDENCIES_H
#define DEFIB_CONTROLLER_CORE_DEPENDENCIES_H

#include <stdbool.h>

#include "controller/core/liveness.h"
#include "controller/core/policy.h"

/* Two State.StartedAt of one host, to the nanosecond: below, above or 0; also 0 where one of them is not in
 * Docker's form (RFC 3339, UTC, trailing zeros of the fraction cut off). */
int dependencies_compare_starts(const char *left, const char *right);

/* The hard parent; NULL where it has none, or it is not known. */
struct container *dependencies_parent(const struct container *child);

/* The parent's id was known and is gone, or Docker said so: nothing but a new container helps. */
bool dependencies_is_parent_gone(const struct container *child);

/* A hard ancestor that is known is not UP, or gone for good. */
bool dependencies_has_failed_ancestor(const struct container *container);

/* Of a running container: the cause for which it has to be restarted after a parent that was started anew,
 * and that parent; CAUSE_NONE where there is none. Hard edges: the parent's start is later, as it was
 * seen or, where that leaves it open, by the host's clock. Soft ones:
 * `:restart` stands there, and an earlier incarnation of the same id was seen. Edges of a cycle never. */
enum failure_cause dependencies_stale(const struct container *child, const struct container **parent);

/* What people are to type for a child whose parent is gone. */
void dependencies_recreate_command(const struct container *child, char out[LIMIT_DETAIL_SIZE]);

#endif
