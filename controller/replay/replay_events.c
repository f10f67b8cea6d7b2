#include "controller/replay/replay_events.h"

#include <stdbool.h>
#include <stdlib.h>

#include "common/memory.h"

static bool is_before(const struct replay_event *left, const struct replay_event *right)
{
    return left->when.ms != right->when.ms ? left->when.ms < right->when.ms : left->order < right->order;
}

static void swap(struct replay_event *left, struct replay_event *right)
{
    struct replay_event kept = *left;
    *left = *right;
    *right = kept;
}

void replay_events_add(struct replay_events *events, struct replay_event event)
{
    if (events->count == events->size) {
        events->size = events->size == 0 ? 64 : 2 * events->size;
        events->heap = memory_grow(events->heap, events->size, sizeof *events->heap);
    }
    event.order = ++events->order;
    size_t at = events->count++;
    events->heap[at] = event;
    while (at > 0 && is_before(&events->heap[at], &events->heap[(at - 1) / 2])) {
        swap(&events->heap[at], &events->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
}

struct replay_event replay_events_take(struct replay_events *events)
{
    struct replay_event first = events->heap[0];
    events->heap[0] = events->heap[--events->count];
    for (size_t at = 0;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < events->count && is_before(&events->heap[child + 1], &events->heap[child])) {
            child++;
        }
        if (child >= events->count || !is_before(&events->heap[child], &events->heap[at])) {
            return first;
        }
        swap(&events->heap[at], &events->heap[child]);
        at = child;
    }
}

struct mono replay_events_next(const struct replay_events *events)
{
    return events->count > 0 ? events->heap[0].when : MONO_NEVER;
}

void replay_events_fini(struct replay_events *events)
{
    free(events->heap);
    *events = (struct replay_events){0};
}
