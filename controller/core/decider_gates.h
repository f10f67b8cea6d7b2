/* Asks gates.h about a container, and tells people of a refusal that they have to know of. Pure. */
#ifndef DEFIB_CONTROLLER_CORE_DECIDER_GATES_H
#define DEFIB_CONTROLLER_CORE_DECIDER_GATES_H

#include "controller/core/decider_inner.h"

/* We may restart it at all: allowed, not denied, neither ours nor our Redis. */
bool decider_gates_is_managed(const struct decider *decider, const struct container *container);

/* What the gates are asked with, now. */
struct gate_inputs decider_gates_inputs(const struct decider *decider, const struct container *container);

/* The last look at a command whose turn was granted: the gate that refuses, GATE_N where none does. */
enum gate decider_gates_check_again(const struct decider *decider, const struct container *container);

/* FAILED: what the gates say, as the event to step next; records and announces a refusal. */
struct policy_event decider_gates_ask(struct decider *decider, struct container *container);

#endif
