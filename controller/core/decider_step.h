/* Events in, deeds out: the policy's caller, and the checks that time brings. Pure. */
#ifndef DEFIB_CONTROLLER_CORE_DECIDER_STEP_H
#define DEFIB_CONTROLLER_CORE_DECIDER_STEP_H

#include "controller/core/decider_inner.h"

/* Steps the policy and performs its answers until it has none. May free the container (removed). */
void decider_step_event(struct decider *decider, struct container *container,
                        const struct policy_event *event);
void decider_step_kind(struct decider *decider, struct container *container, enum policy_event_kind kind);

/* A fresh look at a container that has another id now: nothing of the old one is kept. */
void decider_step_renew(struct decider *decider, struct container *container);

/* It is called otherwise now. Its budget, what it suffers from and a command on its way go with it; what was
 * said aloud under its old name is closed, and holds are by name. */
void decider_step_rename(struct decider *decider, struct container *container, const char *name);

/* We were not fit to judge, and are not until the tilt is over: what was counted so far is dropped. */
void decider_step_tilt(struct decider *decider);

/* Does what is due for it: its command in flight, or its timer. May free the container. */
void decider_step_pump(struct decider *decider, struct container *container);

/* FAILED: asks the gates again now. */
void decider_step_look_again(struct decider *decider, struct container *container);

/* Something that gates look at changed: all that wait look again now. */
void decider_step_wake_failed(struct decider *decider);

/* When it is looked at again: by its own deadline, or at the next check. */
struct mono decider_step_look_at(const struct decider *decider, const struct container *container);

void decider_step_rearm(struct decider *decider, struct container *container);
bool decider_step_due(struct decider *decider);
void decider_step_check(struct decider *decider);
void decider_step_key_read(struct decider *decider, struct container *container, enum key_finding finding);

uint32_t decider_step_random(struct decider *decider);

#endif
