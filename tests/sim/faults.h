/* What the faults of containers and those of everything else share. */
#ifndef DEFIB_TESTS_SIM_FAULTS_H
#define DEFIB_TESTS_SIM_FAULTS_H

#include "tests/sim/sim.h"

typedef void faults_box_fn(struct box *box, const struct fault *fault);
extern faults_box_fn *const faults_of_boxes[FAULT_N]; /* NULL: it is none of a container's */

/* Each fault ends by itself, so that any subset of a list is one. */
void faults_end_after(const struct fault *fault, int64_t ms, void (*fn)(const struct fault *fault));

void faults_hang(struct box *box, const struct fault *fault);
void faults_start(struct box *box);
void faults_heal(const struct fault *fault);
void faults_unpause(const struct fault *fault);
void faults_release(const struct fault *fault);

#endif
