/*
 * Operators' holds by container, service, host or everything. Pure.
 */
#ifndef DEFIB_CONTROLLER_CORE_DECIDER_HOLD_H
#define DEFIB_CONTROLLER_CORE_DECIDER_HOLD_H

#include "controller/core/decider_inner.h"

void decider_hold_set(struct decider *decider, const char *kind, const char *name, struct wall until);
void decider_hold_clear(struct decider *decider, const char *kind, const char *name);
bool decider_hold_covers(const struct decider *decider, const struct container *container);

/* When the last of those that cover it ends; MONO_NEVER: by a release; 0: none does. */
struct mono decider_hold_end(const struct decider *decider, const struct container *container);

/* Its names changed: is it in or out of a hold now? */
void decider_hold_apply(struct decider *decider, struct container *container);

/* `until` 0: for ever. */
void decider_hold_each(const struct decider *decider,
                       void (*visit)(void *arg, const char *kind, const char *name, struct wall until),
                       void *arg);

/* Ends those whose time is over. */
void decider_hold_due(struct decider *decider);
void decider_hold_fini(struct decider *decider);

#endif
