/* What was recorded, told to the replay's decider, as far as it still holds. */
#ifndef DEFIB_CONTROLLER_REPLAY_REPLAY_INPUTS_H
#define DEFIB_CONTROLLER_REPLAY_REPLAY_INPUTS_H

#include "controller/replay/replay_inner.h"

/* The input at world->at. */
void replay_inputs_play(struct replay_world *world);

#endif
