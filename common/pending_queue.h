/*
 * The commands of one connection to Redis that have no answer yet, in the order in which they were sent:
 * answers come in that order. A plain value; all zero is empty.
 */
#ifndef DEFIB_COMMON_PENDING_QUEUE_H
#define DEFIB_COMMON_PENDING_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/clock.h"
#include "common/redis_link.h"

struct pending {
    redis_link_callback on_reply;
    void *arg;
    struct mono deadline;
};

/* A ring, oldest first; the capacity is a power of two or 0. */
struct pending_queue {
    struct pending *ring;
    size_t capacity;
    size_t head;
    size_t count;
};

void pending_queue_push(struct pending_queue *queue, const struct pending *pending);
bool pending_queue_pop(struct pending_queue *queue,
                       struct pending *out); /* the oldest; false: there is none */
const struct pending *pending_queue_first(const struct pending_queue *queue); /* NULL: there is none */
void pending_queue_fini(struct pending_queue *queue);

#endif
