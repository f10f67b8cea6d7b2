/* How many containers are healthy, missing and so on: kept up to date with each step. Pure. */
#ifndef DEFIB_CONTROLLER_CORE_DECIDER_TOTALS_H
#define DEFIB_CONTROLLER_CORE_DECIDER_TOTALS_H

#include "controller/core/decider_inner.h"

/* Counts it as what it is now, and no longer as what it was. */
void decider_totals_count(struct decider *decider, struct container *container);
void decider_totals_uncount(struct decider *decider, struct container *container); /* before it is freed */

#endif
