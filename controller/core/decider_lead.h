/* Leading and following: whether commands may leave, and how one begins who did not lead before. Pure. */
#ifndef DEFIB_CONTROLLER_CORE_DECIDER_LEAD_H
#define DEFIB_CONTROLLER_CORE_DECIDER_LEAD_H

#include "controller/core/decider_inner.h"

bool decider_lead_may_send(const struct decider *decider, struct mono now);

/* Somebody who only follows reads keys; all else is the leader's to say and to do. */
bool decider_lead_is_heard(const struct decider *decider, const struct action *action);

/* All containers are forgotten, as if we had just started; hosts and holds are kept. */
void decider_lead_forget(struct decider *decider);

#endif
