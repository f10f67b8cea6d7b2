/*
 * Keeps the container table true to Docker: the event stream, the list and the inspects, for ever.
 *
 * On every connect: ask the Engine's clock, subscribe with all that it remembers, list, inspect everything.
 * What was seen already is told by content (event_window.h) and passed over, so that nothing falls between
 * two connections, nor between the list and the subscription, whatever the Engine's wall clock does. Then a
 * list every few minutes, with inspects where it differs, and a ping that notices an Engine which hangs. An
 * Engine that is away or comes later is tried again for ever.
 */
#ifndef DEFIB_AGENT_EVENT_STREAM_H
#define DEFIB_AGENT_EVENT_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/core/event_window.h"
#include "proto/limits.h"

struct agent;
struct event_stream;

/* Uses the agent's loop, table and engine, which outlive it. `seen`: the events that an earlier life of the
 * agent saw (copied), NULL: there was none, and what the Engine remembers is no news. Starts at once; nothing
 * is called back from within. */
struct event_stream *event_stream_new(struct agent *agent, const struct event_window *seen);
void event_stream_free(struct event_stream *stream); /* NULL is allowed */

/* The Engine answers. False: the table holds what was last known. */
bool event_stream_is_up(const struct event_stream *stream);

/* How often is_up changed. */
uint64_t event_stream_turns(const struct event_stream *stream);

/* After a tick of the table: asks the daemon for the proof that a stop waits for, where one does. */
void event_stream_prove(struct event_stream *stream);

/* Another call did not reach the Engine: asks now whether it is there, and does not wait for the next ping.
 */
void event_stream_doubt(struct event_stream *stream);

/* The table wants inspects for another reason than an event. */
void event_stream_facts_wanted(struct event_stream *stream);
const char *event_stream_engine_version(const struct event_stream *stream); /* "" before the first contact */
const struct event_window *event_stream_seen(const struct event_stream *stream); /* borrowed */

struct event_stream_counters {
    int64_t events;
    int64_t bad_events;
    int64_t connects;
    int64_t resyncs;
};
struct event_stream_counters event_stream_counters(const struct event_stream *stream);

#endif
