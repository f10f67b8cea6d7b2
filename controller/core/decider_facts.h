/* What was heard: beats, inventories, the state of Redis. Pure. */
#ifndef DEFIB_CONTROLLER_CORE_DECIDER_FACTS_H
#define DEFIB_CONTROLLER_CORE_DECIDER_FACTS_H

#include "controller/core/decider_inner.h"

bool decider_facts_beat(struct decider *decider, const struct heartbeat *beat);
void decider_facts_registration(struct decider *decider, const struct registration *registration,
                                enum path path);
bool decider_facts_unchanged(struct decider *decider, const char *host, const char *agent, uint64_t change,
                             enum path path);
void decider_facts_redis(struct decider *decider, enum redis_state state);

/* Docker's own policy restarted it within the last five minutes. */
bool decider_facts_is_looping(const struct decider *decider, const struct container *container);

#endif
