/*
 * What was heard: beats, inventories, the state of Redis and of hosts. Pure.
 */
#ifndef DEFIB_CONTROLLER_CORE_DECIDER_FACTS_H
#define DEFIB_CONTROLLER_CORE_DECIDER_FACTS_H

#include "controller/core/decider_inner.h"

void decider_facts_beat(struct decider *decider, const struct heartbeat *beat);
void decider_facts_registration(struct decider *decider, const struct registration *registration,
                                enum path path);
bool decider_facts_unchanged(struct decider *decider, const char *host, const char *agent, uint64_t change,
                             enum path path);
void decider_facts_redis(struct decider *decider, enum redis_state state);

/* Freezes hosts that nobody hears any more, forgets those that are gone for good. */
void decider_facts_hosts_due(struct decider *decider);

#endif
