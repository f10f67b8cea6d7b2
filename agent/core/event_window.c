#include "agent/core/event_window.h"

#include <string.h>

#define FNV_START 14695981039346656037u
#define FNV_PRIME 1099511628211u

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t len)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < len; i++) {
        hash = (hash ^ at[i]) * FNV_PRIME;
    }
    return hash;
}

uint64_t event_window_mark(const struct engine_event *event)
{
    const int numbers[] = {(int)event->action, event->signal, event->exit_code, (int)event->health};
    uint64_t hash = hash_bytes(FNV_START, &event->time_ns, sizeof event->time_ns);
    hash = hash_bytes(hash, numbers, sizeof numbers);
    hash = hash_bytes(hash, event->id, strlen(event->id));
    return hash == 0 ? 1 : hash;
}

size_t event_window_count(const struct event_window *window)
{
    return window->total < EVENT_WINDOW_SIZE ? (size_t)window->total : EVENT_WINDOW_SIZE;
}

uint64_t event_window_at(const struct event_window *window, size_t index)
{
    uint64_t first = window->total - event_window_count(window);
    return window->marks[(first + index) % EVENT_WINDOW_SIZE];
}

bool event_window_add(struct event_window *window, uint64_t mark)
{
    size_t count = event_window_count(window);
    for (size_t i = 0; i < count; i++) {
        if (window->marks[i] == mark) {
            return false;
        }
    }
    window->marks[window->total++ % EVENT_WINDOW_SIZE] = mark;
    return true;
}
