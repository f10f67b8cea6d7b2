/*
 * Who wants to be woken when: a binary heap of nodes that live in their owners. Pure.
 */
#ifndef DEFIB_CONTROLLER_CORE_WAKE_QUEUE_H
#define DEFIB_CONTROLLER_CORE_WAKE_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"

/* Zeroed: in no queue. `owner` is the caller's. */
struct wake_node {
    struct mono at;
    uint64_t order; /* equal times: first come, first woken */
    size_t place;   /* 1-based; 0: not queued */
    void *owner;
};

struct wake_queue {
    struct wake_node **nodes; /* owned array of borrowed nodes */
    size_t count, room;
    uint64_t next_order;
};

void wake_queue_fini(struct wake_queue *queue);

/* Queues the node, moves it, or takes it out (MONO_NEVER). */
void wake_queue_set(struct wake_queue *queue, struct wake_node *node, struct mono at);
void wake_queue_remove(struct wake_queue *queue, struct wake_node *node);

/* The earliest node, or NULL. */
struct wake_node *wake_queue_first(const struct wake_queue *queue);

#endif
