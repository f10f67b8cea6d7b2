/* What applies to one container: the settings, with its labels laid over them. Pure. */
#ifndef DEFIB_CONTROLLER_CORE_DECIDER_TERMS_H
#define DEFIB_CONTROLLER_CORE_DECIDER_TERMS_H

#include "controller/core/decider_inner.h"

/* Borrows from the settings and from the container. */
void decider_terms_of(const struct decider *decider, const struct container *container,
                      struct policy_terms *out);

#endif
