/*
 * The event loop of both processes: one thread, libuv underneath, its header in loop.c alone.
 *
 * Everything here is called on the loop's thread, except loop_wake_send. Callbacks run on the loop's thread.
 * A `_free` takes its handle at once: no callback of that handle runs afterwards, also when it is called
 * from within that very callback. NULL is allowed in every `_free`. Nothing blocks but loop_run. Running out
 * of memory or of descriptors ends the process. loop_new has SIGPIPE ignored in the whole process: a peer
 * that left is an EPIPE to whoever wrote.
 */
#ifndef DEFIB_COMMON_LOOP_H
#define DEFIB_COMMON_LOOP_H

#include <stdint.h>

#include "common/clock.h"

struct loop;
struct loop_timer;
struct loop_poll;
struct loop_wake;
struct loop_signal;

struct loop *loop_new(void);
void loop_run(struct loop *loop);  /* until loop_stop, or until no active handle is left */
void loop_stop(struct loop *loop); /* from within a callback: loop_run returns after this turn */
void loop_free(struct loop *loop); /* all handles were freed before; runs their closing to the end */

/* The time read at the start of this turn, on the clock of clock_mono_now(). Outside loop_run: now. */
struct mono loop_now(const struct loop *loop);

/* Timers. Starting a running timer moves it. A repeat of 0 fires once. Delays below 0 count as 0. */
struct loop_timer *loop_timer_new(struct loop *loop, void (*on_timer)(void *arg), void *arg);
void loop_timer_start(struct loop_timer *timer, int64_t delay_ms, int64_t repeat_ms);
void loop_timer_stop(struct loop_timer *timer);
void loop_timer_free(struct loop_timer *timer);

/* Readiness of a descriptor that somebody else owns. A poll error is told as readable and writable at once,
 * so that the owner's next read finds the cause (hiredis' own adapter swallows it). Free it before close().
 */
enum { LOOP_READABLE = 1, LOOP_WRITABLE = 2 };
struct loop_poll *loop_poll_new(struct loop *loop, int fd, void (*on_ready)(void *arg, int events),
                                void *arg);
void loop_poll_watch(struct loop_poll *poll, int events); /* replaces the set; 0 watches nothing */
void loop_poll_free(struct loop_poll *poll);

/* Wake-up from another thread: several sends may become one call. Send is for any thread, but no signal
 * handler. */
struct loop_wake *loop_wake_new(struct loop *loop, void (*on_wake)(void *arg), void *arg);
void loop_wake_send(struct loop_wake *wake);
void loop_wake_free(struct loop_wake *wake);

struct loop_signal *loop_signal_new(struct loop *loop, int signal_number, void (*on_signal)(void *arg),
                                    void *arg);
void loop_signal_free(struct loop_signal *watched);

#endif
