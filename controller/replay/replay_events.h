/* What is to come in a replay beside the recorded inputs: a queue by time. */
#ifndef DEFIB_CONTROLLER_REPLAY_REPLAY_EVENTS_H
#define DEFIB_CONTROLLER_REPLAY_REPLAY_EVENTS_H

#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "controller/core/decider.h"

struct replay_host;
struct replay_track;

enum replay_event_kind {
    REPLAY_ITEM,     /* an input that a command of the replay put at another time */
    REPLAY_KEY_READ, /* answers that were not recorded */
    REPLAY_IS_STORED,
    REPLAY_ENDED_WELL, /* a restart that was never tried in the recording */
    REPLAY_HOST,       /* rows that go on */
    REPLAY_SERVICE,
    REPLAY_AGENT
};

/* A plain value; what is not said is 0. Borrows. */
struct replay_event {
    struct mono when;
    uint64_t order; /* given by replay_events_add: of two at one time the earlier one comes first */
    enum replay_event_kind kind;
    struct replay_track *track;
    size_t segment; /* of the track, or its row: void in another one */
    size_t item;
    uint64_t token;
    enum key_finding finding;
    struct replay_host *host;
    int path;
    unsigned row;
};

/* Zeroed: empty. */
struct replay_events {
    struct replay_event *heap; /* owned; the first one on top */
    size_t count, size;
    uint64_t order;
};

void replay_events_fini(struct replay_events *events);
void replay_events_add(struct replay_events *events, struct replay_event event);
struct replay_event replay_events_take(struct replay_events *events); /* there must be one */
struct mono replay_events_next(const struct replay_events *events);   /* MONO_NEVER: there is none */

#endif
