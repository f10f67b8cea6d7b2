/*
 * Which events were seen already. Pure.
 *
 * The Engine keeps its last 256 events and tells all of them to a stream that asks for the past; what is new
 * among them is what was not seen. Times do not tell: a wall clock that was set back makes news look old, and
 * the stream itself is not sorted by them (events of several containers overtake each other).
 */
#ifndef DEFIB_AGENT_CORE_EVENT_WINDOW_H
#define DEFIB_AGENT_CORE_EVENT_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/core/engine_json.h"
#include "proto/limits.h"

/* Over the Engine's 256, as a few may have come in another order than it keeps them. */
enum { EVENT_WINDOW_SIZE = 320 };

/* A plain value; zeroed is "none seen". */
struct event_window {
    uint64_t marks[EVENT_WINDOW_SIZE];
    uint64_t total;             /* ever added; the last EVENT_WINDOW_SIZE of them are remembered */
    char run_id[LIMIT_ID_SIZE]; /* the daemon's run that was listened to last (engine_client_run), or "" */
};

/* Stands for the event: equal for what the Engine tells twice, different for everything else. Never 0. */
uint64_t event_window_mark(const struct engine_event *event);

/* True where it was not there; the oldest makes room for it. */
bool event_window_add(struct event_window *window, uint64_t mark);

/* The remembered ones, oldest first. */
size_t event_window_count(const struct event_window *window);
uint64_t event_window_at(const struct event_window *window, size_t index);

#endif
