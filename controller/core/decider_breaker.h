/*
 * Keeps the breakers' books: who failed within the last minute, on which host, and what an open breaker lets
 * through. One breaker for the fleet, one for each host; both must let it. Pure.
 */
#ifndef DEFIB_CONTROLLER_CORE_DECIDER_BREAKER_H
#define DEFIB_CONTROLLER_CORE_DECIDER_BREAKER_H

#include "controller/core/decider_inner.h"

/* The container was stepped from `from` by `kind`. */
void decider_breaker_note(struct decider *decider, struct container *container, enum policy_state from,
                          enum policy_event_kind kind);

/* It is out of all books: removed, moved to another host, or its host is not observed. */
void decider_breaker_drop(struct decider *decider, struct container *container);

/* May not be commanded, for an open breaker; and when to ask again. */
bool decider_breaker_blocks(const struct decider *decider, const struct container *container);
struct mono decider_breaker_turn_at(const struct decider *decider, const struct container *container);

/* It goes: takes the turn that an open breaker grants. */
void decider_breaker_take(struct decider *decider, struct container *container);

/* The containers of a new lead begin anew, an open breaker does not: it closes when they were well for its
 * time. */
void decider_breaker_forget(struct decider *decider, struct fuse *fuse);

/* Of the fleet (NULL) or of a host: told of where what was last said aloud is not how it stands. */
void decider_breaker_settle(struct decider *decider, struct host *host, enum led_between between);

/* Looks, when it is time; true where a breaker was open. */
bool decider_breaker_due(struct decider *decider);

#endif
