#include "common/thread.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

static int start(pthread_t *out, const pthread_attr_t *attr, void *(*run)(void *arg), void *arg)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(out, attr, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

int thread_start(pthread_t *out, void *(*run)(void *arg), void *arg)
{
    return start(out, NULL, run, arg);
}

int thread_start_detached(size_t stack_bytes, void *(*run)(void *arg), void *arg)
{
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    if (stack_bytes > 0) {
        pthread_attr_setstacksize(&attr, stack_bytes);
    }
    int code = start(&thread, &attr, run, arg);
    pthread_attr_destroy(&attr);
    return code;
}

bool thread_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, struct mono until)
{
    struct timespec end = {.tv_sec = until.ms / 1000, .tv_nsec = until.ms % 1000 * 1000000};
    return pthread_cond_clockwait(cond, mutex, CLOCK_MONOTONIC, &end) != ETIMEDOUT;
}
