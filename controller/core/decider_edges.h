/*
 * What follows from dependencies: dependents restarted after what they live in, people told where only they
 * can help. Pure.
 */
#ifndef DEFIB_CONTROLLER_CORE_DECIDER_EDGES_H
#define DEFIB_CONTROLLER_CORE_DECIDER_EDGES_H

#include "controller/core/decider_inner.h"

/* Something changed on this host: its dependents are looked at before the call returns. */
void decider_edges_want(struct decider *decider, struct host *host);
void decider_edges_due(struct decider *decider);

/* The container was stepped from `from` by `kind`. */
void decider_edges_note(struct decider *decider, struct container *container, enum policy_state from,
                        enum policy_event_kind kind);

/* Docker could not start it, and said why. */
void decider_edges_note_error(struct decider *decider, struct container *container, const char *detail);

#endif
