#include "common/loop.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <uv.h>

#include "common/memory.h"

TAILQ_HEAD(wakes, loop_wake);

struct loop {
    uv_loop_t uv;
    bool is_running;
    uv_async_t async;  /* of all wakes: libuv looks at each async handle that there is, whichever is sent */
    size_t wake_count; /* while there is one the loop has something to wait for */
    pthread_mutex_t mutex;
    struct wakes sent; /* under the mutex */
};

/* The uv handle is the first member of each, so that one closing callback frees them all. */
struct loop_timer {
    uv_timer_t uv;
    struct loop *loop;
    void (*on_timer)(void *arg);
    void *arg;
};

struct loop_poll {
    uv_poll_t uv;
    int events;
    void (*on_ready)(void *arg, int events);
    void *arg;
};

struct loop_wake {
    struct loop *loop;
    void (*on_wake)(void *arg);
    void *arg;
    bool is_sent; /* under the loop's mutex, as is its place among those sent */
    TAILQ_ENTRY(loop_wake) place;
};

struct loop_signal {
    uv_signal_t uv;
    void (*on_signal)(void *arg);
    void *arg;
};

/* What fails here is a descriptor limit at start-up or a bug of ours: there is nothing to go on with. */
static void must(int status, const char *what)
{
    if (status < 0) {
        fprintf(stderr, "event loop: %s: %s\n", what, uv_strerror(status));
        abort();
    }
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

static void close_handle(void *handle)
{
    if (handle != NULL) {
        uv_close(handle, on_closed);
    }
}

static bool has_sent(struct loop *loop)
{
    pthread_mutex_lock(&loop->mutex);
    bool has_any = !TAILQ_EMPTY(&loop->sent);
    pthread_mutex_unlock(&loop->mutex);
    return has_any;
}

static struct loop_wake *take_sent(struct loop *loop)
{
    pthread_mutex_lock(&loop->mutex);
    struct loop_wake *wake = TAILQ_FIRST(&loop->sent);
    if (wake != NULL) {
        TAILQ_REMOVE(&loop->sent, wake, place);
        wake->is_sent = false;
    }
    pthread_mutex_unlock(&loop->mutex);
    return wake;
}

/* At most as many as there are: wakes that are sent again and again leave their turn to the others. */
static void run_wakes(uv_async_t *uv)
{
    struct loop *loop = uv->data;
    struct loop_wake *wake;
    for (size_t left = loop->wake_count; left > 0; left--) {
        if ((wake = take_sent(loop)) == NULL) {
            return;
        }
        wake->on_wake(wake->arg);
    }
    if (has_sent(loop)) {
        uv_async_send(uv);
    }
}

struct loop *loop_new(void)
{
    struct loop *loop = memory_alloc(sizeof *loop);
    must(uv_loop_init(&loop->uv), "init");
    must(uv_async_init(&loop->uv, &loop->async, run_wakes), "wake");
    loop->async.data = loop;
    uv_unref((uv_handle_t *)&loop->async);
    pthread_mutex_init(&loop->mutex, NULL);
    TAILQ_INIT(&loop->sent);
    /* hiredis writes with plain write(2): a peer that left must be EPIPE, not our end. */
    signal(SIGPIPE, SIG_IGN);
    return loop;
}

void loop_run(struct loop *loop)
{
    loop->is_running = true;
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    loop->is_running = false;
}

void loop_stop(struct loop *loop)
{
    uv_stop(&loop->uv);
}

void loop_free(struct loop *loop)
{
    if (loop == NULL) {
        return;
    }
    assert(loop->wake_count == 0 && "a wake was not freed before loop_free");
    uv_close((uv_handle_t *)&loop->async, NULL);
    /* Closing takes a turn, and a signal handle may need one more; a handle that is still open never ends. */
    int status = UV_EBUSY;
    for (int turn = 0; turn < 16 && status == UV_EBUSY; turn++) {
        uv_run(&loop->uv, UV_RUN_NOWAIT);
        status = uv_loop_close(&loop->uv);
    }
    assert(status == 0 && "a handle was not freed before loop_free");
    if (status == 0) {
        pthread_mutex_destroy(&loop->mutex);
        free(loop);
    }
}

struct mono loop_now(const struct loop *loop)
{
    if (!loop->is_running) {
        return clock_mono_now();
    }
    return (struct mono){(int64_t)uv_now(&loop->uv)};
}

static void run_timer(uv_timer_t *uv)
{
    struct loop_timer *timer = (struct loop_timer *)uv;
    timer->on_timer(timer->arg);
}

struct loop_timer *loop_timer_new(struct loop *loop, void (*on_timer)(void *arg), void *arg)
{
    struct loop_timer *timer = memory_alloc(sizeof *timer);
    timer->loop = loop;
    timer->on_timer = on_timer;
    timer->arg = arg;
    must(uv_timer_init(&loop->uv, &timer->uv), "timer");
    return timer;
}

void loop_timer_start(struct loop_timer *timer, int64_t delay_ms, int64_t repeat_ms)
{
    if (!timer->loop->is_running) {
        /* Before the first turn libuv's time is that of loop_new: the timer would come early. */
        uv_update_time(&timer->loop->uv);
    }
    uint64_t delay = delay_ms < 0 ? 0 : (uint64_t)delay_ms;
    uint64_t repeat = repeat_ms < 0 ? 0 : (uint64_t)repeat_ms;
    must(uv_timer_start(&timer->uv, run_timer, delay, repeat), "timer start");
}

void loop_timer_stop(struct loop_timer *timer)
{
    uv_timer_stop(&timer->uv);
}

void loop_timer_free(struct loop_timer *timer)
{
    close_handle(timer);
}

static void run_poll(uv_poll_t *uv, int status, int uv_events);

static void arm_poll(struct loop_poll *poll)
{
    int uv_events =
        (poll->events & LOOP_READABLE ? UV_READABLE : 0) | (poll->events & LOOP_WRITABLE ? UV_WRITABLE : 0);
    must(uv_poll_start(&poll->uv, uv_events, run_poll), "poll start");
}

static void run_poll(uv_poll_t *uv, int status, int uv_events)
{
    struct loop_poll *poll = (struct loop_poll *)uv;
    int events =
        (uv_events & UV_READABLE ? LOOP_READABLE : 0) | (uv_events & UV_WRITABLE ? LOOP_WRITABLE : 0);
    if (status < 0) {
        /* libuv stopped the handle: watch on, or an owner who only reads part of the news waits for ever. */
        arm_poll(poll);
        events = LOOP_READABLE | LOOP_WRITABLE;
    }
    poll->on_ready(poll->arg, events);
}

struct loop_poll *loop_poll_new(struct loop *loop, int fd, void (*on_ready)(void *arg, int events), void *arg)
{
    struct loop_poll *poll = memory_alloc(sizeof *poll);
    poll->on_ready = on_ready;
    poll->arg = arg;
    must(uv_poll_init(&loop->uv, &poll->uv, fd), "poll");
    return poll;
}

void loop_poll_watch(struct loop_poll *poll, int events)
{
    if (events == poll->events) {
        return;
    }
    poll->events = events;
    if (events == 0) {
        uv_poll_stop(&poll->uv);
    } else {
        arm_poll(poll);
    }
}

void loop_poll_free(struct loop_poll *poll)
{
    close_handle(poll);
}

struct loop_wake *loop_wake_new(struct loop *loop, void (*on_wake)(void *arg), void *arg)
{
    struct loop_wake *wake = memory_alloc(sizeof *wake);
    wake->loop = loop;
    wake->on_wake = on_wake;
    wake->arg = arg;
    if (loop->wake_count++ == 0) {
        uv_ref((uv_handle_t *)&loop->async);
    }
    return wake;
}

void loop_wake_send(struct loop_wake *wake)
{
    struct loop *loop = wake->loop;
    pthread_mutex_lock(&loop->mutex);
    if (!wake->is_sent) {
        wake->is_sent = true;
        TAILQ_INSERT_TAIL(&loop->sent, wake, place);
        uv_async_send(&loop->async);
    }
    pthread_mutex_unlock(&loop->mutex);
}

void loop_wake_free(struct loop_wake *wake)
{
    if (wake == NULL) {
        return;
    }
    struct loop *loop = wake->loop;
    pthread_mutex_lock(&loop->mutex);
    if (wake->is_sent) {
        TAILQ_REMOVE(&loop->sent, wake, place);
    }
    pthread_mutex_unlock(&loop->mutex);
    if (--loop->wake_count == 0) {
        uv_unref((uv_handle_t *)&loop->async);
    }
    free(wake);
}

static void run_signal(uv_signal_t *uv, int signal_number)
{
    (void)signal_number;
    struct loop_signal *watched = (struct loop_signal *)uv;
    watched->on_signal(watched->arg);
}

struct loop_signal *loop_signal_new(struct loop *loop, int signal_number, void (*on_signal)(void *arg),
                                    void *arg)
{
    struct loop_signal *watched = memory_alloc(sizeof *watched);
    watched->on_signal = on_signal;
    watched->arg = arg;
    must(uv_signal_init(&loop->uv, &watched->uv), "signal");
    must(uv_signal_start(&watched->uv, run_signal, signal_number), "signal start");
    return watched;
}

void loop_signal_free(struct loop_signal *watched)
{
    close_handle(watched);
}
