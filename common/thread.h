/*
 * Threads beside the loop's. All signals are blocked in them: those are the loop's, or, in libdefib-beat, the
 * program's own. Only thread_wait blocks.
 */
#ifndef DEFIB_COMMON_THREAD_H
#define DEFIB_COMMON_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/clock.h"

/* To be joined or detached. 0, or pthread_create's error, positive; *out is then not set. */
int thread_start(pthread_t *out, void *(*run)(void *arg), void *arg);

/* One that nobody joins. stack_bytes 0: the usual size. */
int thread_start_detached(size_t stack_bytes, void *(*run)(void *arg), void *arg);

/* pthread_cond_wait with an end that no setting of the wall clock moves. False: it is reached. */
bool thread_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, struct mono until);

#endif
