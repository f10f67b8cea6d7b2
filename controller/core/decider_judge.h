/* From a container's facts to the event that the policy is to be stepped with. Pure. */
#ifndef DEFIB_CONTROLLER_CORE_DECIDER_JUDGE_H
#define DEFIB_CONTROLLER_CORE_DECIDER_JUDGE_H

#include "controller/core/decider_inner.h"

/* What is new about a container. */
struct news {
    bool is_new_incarnation;
    bool is_new_beat;        /* a beat that was not counted before */
    bool is_first_since_gap; /* the host was not observed for a while before it */
    bool is_late;            /* the incarnation was made by a command that was given up before */
    enum start_maker maker;
    int64_t age_ms; /* of the incarnation; -1: not known */
};

/* Derives the event from the container's facts and steps it. May free the container. */
void decider_judge_facts(struct decider *decider, struct container *container, const struct news *news);
void decider_judge_again(struct decider *decider, struct container *container);

#endif
