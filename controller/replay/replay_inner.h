/*
 * What the parts of a replay share: replay_words (what agents and services say), replay_inputs (what was
 * recorded), replay_model (what was not), replay_world (time). Nobody else includes it.
 */
#ifndef DEFIB_CONTROLLER_REPLAY_REPLAY_INNER_H
#define DEFIB_CONTROLLER_REPLAY_REPLAY_INNER_H

#include "controller/core/decider.h"
#include "controller/replay/replay_events.h"
#include "controller/replay/replay_script.h"
#include "controller/replay/replay_world.h"

/* An agent and its inventory. */
struct replay_host {
    char *name;
    char agent[LIMIT_COMMAND_ID_SIZE];
    uint64_t change;
    bool is_heard[JOURNAL_PATHS]; /* goes on being heard, or vouching */
    unsigned row[PATH_N];         /* of that; an event of an older row is void */
    struct replay_track **tracks;
    size_t count, size;
    UT_hash_handle hh;
};

struct replay_world {
    struct replay_script script;
    struct decider *decider;
    struct replay_deeds *deeds;
    struct replay_told *told;
    struct replay_host *hosts;
    struct replay_events events;
    bool *is_claimed;      /* of the inputs: a STORED that answers the replay's own question */
    size_t at, tick, tilt; /* the next input; the next TICK and TILT among those */
    struct mono now;
    struct wall wall;
    int64_t interval_ms;
    bool is_redis_up, is_ticking;
    bool is_same; /* settings as recorded */
};

#endif
