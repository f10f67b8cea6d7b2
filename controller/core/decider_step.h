/*
 * From what is known to events, from events to what is done: the policy's caller, the gates' caller, and
 * the checks that time brings. Pure.
 */
#ifndef DEFIB_CONTROLLER_CORE_DECIDER_STEP_H
#define DEFIB_CONTROLLER_CORE_DECIDER_STEP_H

#include "controller/core/decider_inner.h"

/* Steps the policy and performs its answers until it has none. May free the container (removed). */
void decider_step_event(struct decider *decider, struct container *container,
                        const struct policy_event *event);
void decider_step_kind(struct decider *decider, struct container *container, enum policy_event_kind kind);

/* What is new about a container, for decider_step_judge. */
struct news {
    bool is_new_incarnation;
    bool is_new_beat; /* a beat that was not counted before */
    enum start_maker maker;
    int64_t age_ms; /* of the incarnation; -1: not known */
};

/* Derives the event from the container's facts and steps it. False where the container is gone afterwards. */
bool decider_step_judge(struct decider *decider, struct container *container, const struct news *news);
bool decider_step_judge_again(struct decider *decider, struct container *container);

/* A fresh look at a container that has another id now: nothing of the old one is kept. */
void decider_step_renew(struct decider *decider, struct container *container);

void decider_step_terms(const struct decider *decider, const struct container *container,
                        struct policy_terms *out);

/* The gate that refuses, GATE_N where none does. */
enum gate decider_step_gate(const struct decider *decider, const struct container *container);
enum gate decider_step_gate_again(const struct decider *decider, const struct container *container);

/* Something that gates look at changed: all that wait look again now. */
void decider_step_wake_failed(struct decider *decider);
void decider_step_rearm(struct decider *decider, struct container *container);
void decider_step_due(struct decider *decider);
void decider_step_check(struct decider *decider);
void decider_step_key_read(struct decider *decider, struct container *container, enum key_finding finding);
void decider_step_uncount(struct decider *decider, struct container *container);

uint32_t decider_step_random(struct decider *decider);

#endif
