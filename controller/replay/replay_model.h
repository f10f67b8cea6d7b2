/* What was not recorded: answers that the decider now wants, and rows of words in which nothing changed. */
#ifndef DEFIB_CONTROLLER_REPLAY_REPLAY_MODEL_H
#define DEFIB_CONTROLLER_REPLAY_REPLAY_MODEL_H

#include "controller/replay/replay_inner.h"

/* Performs what the decider wants. */
void replay_model_drain(struct replay_world *world);

/* It is time. */
void replay_model_happen(struct replay_world *world, const struct replay_event *event);

#endif
