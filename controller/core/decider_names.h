/* Whose a name is: one container, on one host, with one heartbeat key. Where two claim it, neither is
 * touched. Pure. */
#ifndef DEFIB_CONTROLLER_CORE_DECIDER_NAMES_H
#define DEFIB_CONTROLLER_CORE_DECIDER_NAMES_H

#include "controller/core/decider_inner.h"

/* May this host's word change what we hold of the container? Claims it where nobody else does. */
bool decider_names_claim(struct decider *decider, struct container *container, struct host *host,
                         bool is_alive);

/* A container was removed: another host may have one of its name that counted for nothing, or moved away. */
void decider_names_freed(struct decider *decider);

/* Its host is live and says that it runs. */
bool decider_names_is_alive(const struct decider *decider, const struct container *container);

/* Two containers that run claim one heartbeat key: whose beat it is, nobody can tell. */
void decider_names_collide_on_key(struct decider *decider, struct container *container,
                                  struct container *holder);

#endif
