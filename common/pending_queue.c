#include "common/pending_queue.h"

#include <stdlib.h>

#include "common/memory.h"

enum { KEPT = 1024 }; /* a larger ring is given back once it is empty */

void pending_queue_push(struct pending_queue *queue, const struct pending *pending)
{
    if (queue->count == queue->capacity) {
        size_t capacity = queue->capacity == 0 ? 64 : queue->capacity * 2;
        struct pending *ring = memory_grow(NULL, capacity, sizeof *ring);
        for (size_t i = 0; i < queue->count; i++) {
            ring[i] = queue->ring[(queue->head + i) & (queue->capacity - 1)];
        }
        free(queue->ring);
        queue->ring = ring;
        queue->capacity = capacity;
        queue->head = 0;
    }
    queue->ring[(queue->head + queue->count++) & (queue->capacity - 1)] = *pending;
}

bool pending_queue_pop(struct pending_queue *queue, struct pending *out)
{
    if (queue->count == 0) {
        return false;
    }
    *out = queue->ring[queue->head];
    queue->head = (queue->head + 1) & (queue->capacity - 1);
    if (--queue->count == 0 && queue->capacity > KEPT) {
        free(queue->ring);
        *queue = (struct pending_queue){0};
    }
    return true;
}

const struct pending *pending_queue_first(const struct pending_queue *queue)
{
    return queue->count == 0 ? NULL : &queue->ring[queue->head];
}

void pending_queue_fini(struct pending_queue *queue)
{
    free(queue->ring);
    *queue = (struct pending_queue){0};
}
