/* What was said aloud and is still open when this controller stops leading, so that it goes on there where it
 * leads again and nobody else did meanwhile: nothing is told twice, and what ended unheard is closed. Pure.
 */
#ifndef DEFIB_CONTROLLER_CORE_DECIDER_TOLD_H
#define DEFIB_CONTROLLER_CORE_DECIDER_TOLD_H

#include "controller/core/decider_inner.h"

/* It is about to be silent, or its containers to be forgotten: what it said of them is kept. */
void decider_told_keep(struct decider *decider);

/* It leads, its containers are forgotten: hosts and breakers of which the last word is not what holds now are
 * told of. After others led nothing that was said before counts. */
void decider_told_settle(struct decider *decider, enum led_between between);

/* A container that was just added takes back what was kept of its name. */
void decider_told_recall(struct decider *decider, struct container *container);

/* Closes what was said of those that did not come back although their host was heard. At the regular check.
 */
void decider_told_check(struct decider *decider);

void decider_told_fini(struct decider *decider);

#endif
