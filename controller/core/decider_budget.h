/*
 * The part of a container's memory that outlives us: what lies under health:restart:{container}. Pure.
 */
#ifndef DEFIB_CONTROLLER_CORE_DECIDER_BUDGET_H
#define DEFIB_CONTROLLER_CORE_DECIDER_BUDGET_H

#include "controller/core/decider_inner.h"

/* The document to fill; made where there is none yet. */
struct restart_state *decider_budget_state(struct container *container);

/* Brings the document up to date with the policy's memory and asks for it to be stored under `token`; 0:
 * nobody waits for the answer. Where the budget is whole it asks for it to be forgotten. */
void decider_budget_store(struct decider *decider, struct container *container, uint64_t token);
void decider_budget_forget(struct decider *decider, struct container *container);

/* Asks for what is stored under its name of before to be forgotten. */
void decider_budget_forget_name(struct decider *decider, const struct container *container, const char *name);

/* Where the container is known by its id alone it was renamed since: the state goes under its new name. */
void decider_budget_load(struct decider *decider, const char *name, const struct restart_state *state);
void decider_budget_reset(struct decider *decider, const char *name);

/* The last command that its agent tells of counts where whoever led before us could not store it in Redis. */
void decider_budget_told(struct decider *decider, struct container *container, const struct heartbeat *beat);

/* The container is there now: a state that was loaded before it was seen applies. */
void decider_budget_adopt(struct decider *decider, struct container *container);
void decider_budget_fini(struct decider *decider);

#endif
