/*
 * The world that a replay's decider lives in: tells it what was recorded, when it was, and what the recording
 * leaves out because nothing changed; answers what it asks. Where it commands what was not commanded then, or
 * at another time, the container behaves as it did after its recorded restart of the same number, else the
 * last; where it does not command, the container stays as it was. What other containers and hosts did stays
 * as it was recorded.
 */
#ifndef DEFIB_CONTROLLER_REPLAY_REPLAY_WORLD_H
#define DEFIB_CONTROLLER_REPLAY_REPLAY_WORLD_H

#include "controller/core/policy_config.h"
#include "controller/replay/replay_deeds.h"
#include "controller/replay/replay_journal.h"

struct replay_told {
    size_t commands; /* that the replay sent */
    size_t assumed;  /* of them, those whose outcome no recorded restart of the container shows */
};

/* Runs the stretch to its last input, or to `until` where that is later. Adds what was done to *deeds. */
/* `is_same`: the settings are those of the recording, so that what it leaves out moves nothing here either.
 */
void replay_world_run(struct replay_stretch *stretch, const struct policy_config *config, bool is_same,
                      struct wall until, struct replay_deeds *deeds, struct replay_told *told);

#endif
