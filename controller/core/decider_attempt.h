/*
 * Commands in flight: stored before they are sent, sent once under one id, asked about until their outcome
 * is known or the deadline passed. Pure.
 */
#ifndef DEFIB_CONTROLLER_CORE_DECIDER_ATTEMPT_H
#define DEFIB_CONTROLLER_CORE_DECIDER_ATTEMPT_H

#include "controller/core/decider_inner.h"

/* The policy decided on an attempt and counted it: asks for it to be stored. */
void decider_attempt_begin(struct decider *decider, struct container *container);

/* An attempt that another run of the controller stored and perhaps sent: asks for its outcome. */
void decider_attempt_restore(struct decider *decider, struct container *container);

void decider_attempt_stored(struct decider *decider, struct container *container, uint64_t token,
                            enum stored_in where);
/* Whose command it is, once it was sent; NULL: nobody's. */
struct container *decider_attempt_find(const struct decider *decider, const struct command_id *id);

void decider_attempt_answered(struct decider *decider, const struct command_id *id, int status,
                              const struct answer *answer);

/* The outcome as a beat tells it; nothing where it is of another command. */
void decider_attempt_told(struct decider *decider, struct container *container, const char *command_id,
                          enum answer_code code);

/* What is due by `now`. */
void decider_attempt_due(struct decider *decider, struct container *container);
struct mono decider_attempt_wake_at(const struct container *container);

/* It is called otherwise now: what is being stored is stored under its new name; false: nothing is. */
bool decider_attempt_rename(struct decider *decider, struct container *container);

/* The host is back: asks at once and waits for the answer anew. */
void decider_attempt_refresh(struct decider *decider, struct container *container);

/* Its attempt counts among the running restarts. */
bool decider_attempt_has_place(const struct container *container);

/* Its host is not heard: once its outcome is overdue, or while nothing was sent, it takes no place among the
 * running restarts. */
void decider_attempt_release(struct decider *decider, struct container *container);

/* No answer matters any more. */
void decider_attempt_drop(struct decider *decider, struct container *container);
void decider_attempt_fini(struct decider *decider);

#endif
