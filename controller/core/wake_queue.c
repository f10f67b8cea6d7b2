#include "controller/core/wake_queue.h"

#include <stdbool.h>
#include <stdlib.h>

#include "common/memory.h"

void wake_queue_fini(struct wake_queue *queue)
{
    free(queue->nodes);
    *queue = (struct wake_queue){0};
}

static bool is_earlier(const struct wake_node *left, const struct wake_node *right)
{
    return left->at.ms != right->at.ms ? left->at.ms < right->at.ms : left->order < right->order;
}

static void put(struct wake_queue *queue, size_t place, struct wake_node *node)
{
    queue->nodes[place - 1] = node;
    node->place = place;
}

static void rise(struct wake_queue *queue, struct wake_node *node)
{
    size_t place = node->place;
    while (place > 1 && is_earlier(node, queue->nodes[place / 2 - 1])) {
        put(queue, place, queue->nodes[place / 2 - 1]);
        place /= 2;
    }
    put(queue, place, node);
}

static void sink(struct wake_queue *queue, struct wake_node *node)
{
    size_t place = node->place;
    while (2 * place <= queue->count) {
        size_t child = 2 * place;
        if (child < queue->count && is_earlier(queue->nodes[child], queue->nodes[child - 1])) {
            child++;
        }
        if (!is_earlier(queue->nodes[child - 1], node)) {
            break;
        }
        put(queue, place, queue->nodes[child - 1]);
        place = child;
    }
    put(queue, place, node);
}

void wake_queue_remove(struct wake_queue *queue, struct wake_node *node)
{
    if (node->place == 0) {
        return;
    }
    struct wake_node *last = queue->nodes[--queue->count];
    if (last != node) {
        put(queue, node->place, last);
        rise(queue, last);
        sink(queue, last);
    }
    node->place = 0;
}

void wake_queue_set(struct wake_queue *queue, struct wake_node *node, struct mono at)
{
    if (at.ms == INT64_MAX) {
        wake_queue_remove(queue, node);
        return;
    }
    if (node->place && node->at.ms == at.ms) {
        return;
    }
    node->at = at;
    node->order = queue->next_order++;
    if (node->place == 0) {
        if (queue->count == queue->room) {
            queue->room = queue->room ? 2 * queue->room : 64;
            queue->nodes = memory_grow(queue->nodes, queue->room, sizeof(struct wake_node *));
        }
        queue->count++;
        put(queue, queue->count, node);
    }
    rise(queue, node);
    sink(queue, node);
}

struct wake_node *wake_queue_first(const struct wake_queue *queue)
{
    return queue->count ? queue->nodes[0] : NULL;
}
