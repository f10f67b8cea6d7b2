/*
 * What the decider wants done, oldest first; each entry owns all that its action points to. Pure.
 */
#ifndef DEFIB_CONTROLLER_CORE_ACTION_QUEUE_H
#define DEFIB_CONTROLLER_CORE_ACTION_QUEUE_H

#include "controller/core/decider.h"

struct action_entry;

/* Zeroed: empty. */
struct action_queue {
    struct action_entry *first, *last;
    struct action_entry *given; /* lent to the caller of action_queue_next */
    uint64_t added;
};

void action_queue_fini(struct action_queue *queue);

/* Copies the action and everything it points to. NULL texts become "". */
void action_queue_add(struct action_queue *queue, const struct action *action);

/* The oldest action or NULL; lives until the next call. */
const struct action *action_queue_next(struct action_queue *queue);

#endif
