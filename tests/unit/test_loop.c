#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/loop.h"

struct fixture {
    struct loop *loop;
    struct loop_timer *timer;
    struct loop_timer *other;
    struct loop_poll *poll;
    struct loop_wake *wake;
    struct loop_signal *signal;
    int fds[2];
    int count;
    int limit;
    int events;
    struct mono seen;
};

static void start(struct fixture *fixture)
{
    *fixture = (struct fixture){.loop = loop_new()};
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fixture->fds));
}

static void finish(struct fixture *fixture)
{
    loop_timer_free(fixture->timer);
    loop_timer_free(fixture->other);
    loop_poll_free(fixture->poll);
    loop_wake_free(fixture->wake);
    loop_signal_free(fixture->signal);
    loop_free(fixture->loop);
    close(fixture->fds[0]);
    close(fixture->fds[1]);
}

static void count_and_stop_at_limit(void *arg)
{
    struct fixture *fixture = arg;
    fixture->seen = loop_now(fixture->loop);
    if (++fixture->count == fixture->limit) {
        loop_stop(fixture->loop);
    }
}

static void never(void *arg)
{
    (void)arg;
    fail_msg("a callback ran after its handle was freed");
}

static void timer_keeps_its_delay_after_a_late_start(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    fixture.limit = 1;
    fixture.timer = loop_timer_new(fixture.loop, count_and_stop_at_limit, &fixture);
    usleep(60 * 1000); /* work between loop_new and loop_run */
    struct mono before = clock_mono_now();
    loop_timer_start(fixture.timer, 40, 0);
    loop_run(fixture.loop);
    assert_in_range(mono_diff(clock_mono_now(), before), 39, 2000);
    assert_in_range(mono_diff(fixture.seen, before), 39, 2000);
    finish(&fixture);
}

static void timer_repeats_and_negative_delay_is_zero(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    fixture.limit = 5;
    fixture.timer = loop_timer_new(fixture.loop, count_and_stop_at_limit, &fixture);
    loop_timer_start(fixture.timer, -7, 1);
    loop_run(fixture.loop);
    assert_int_equal(5, fixture.count);
    finish(&fixture);
}

static void timer_without_repeat_fires_once_and_the_loop_ends_by_itself(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    fixture.timer = loop_timer_new(fixture.loop, count_and_stop_at_limit, &fixture);
    loop_timer_start(fixture.timer, 5000, 0);
    loop_timer_start(fixture.timer, 1, 0); /* moves it */
    loop_run(fixture.loop);
    assert_int_equal(1, fixture.count);
    finish(&fixture);
}

static void free_both_timers(void *arg)
{
    struct fixture *fixture = arg;
    fixture->count++;
    loop_timer_free(fixture->timer);
    fixture->timer = NULL;
    loop_timer_free(fixture->other);
    fixture->other = NULL;
}

static void a_freed_timer_due_in_the_same_turn_stays_silent(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    fixture.timer = loop_timer_new(fixture.loop, free_both_timers, &fixture);
    fixture.other = loop_timer_new(fixture.loop, never, &fixture);
    loop_timer_start(fixture.timer, 1, 0);
    loop_timer_start(fixture.other, 1, 1);
    loop_run(fixture.loop);
    assert_int_equal(1, fixture.count);
    finish(&fixture);
}

static void note_events_and_stop(void *arg, int events)
{
    struct fixture *fixture = arg;
    fixture->events = events;
    fixture->count++;
    loop_stop(fixture->loop);
}

static void poll_tells_what_is_watched(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    fixture.poll = loop_poll_new(fixture.loop, fixture.fds[0], note_events_and_stop, &fixture);
    loop_poll_watch(fixture.poll, LOOP_WRITABLE);
    loop_run(fixture.loop);
    assert_int_equal(LOOP_WRITABLE, fixture.events);
    loop_poll_watch(fixture.poll, LOOP_READABLE);
    assert_int_equal(1, write(fixture.fds[1], "x", 1));
    loop_run(fixture.loop);
    assert_int_equal(LOOP_READABLE, fixture.events);
    loop_poll_watch(fixture.poll, 0);
    loop_run(fixture.loop); /* ends at once: nothing is watched */
    assert_int_equal(2, fixture.count);
    finish(&fixture);
}

/* The write end of a pipe without a reader shows POLLERR, for which libuv reports an error and stops. */
static void poll_error_is_readable_and_writable_and_keeps_coming(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    int ends[2];
    assert_int_equal(0, pipe2(ends, O_CLOEXEC));
    while (fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0 && write(ends[1], "xxxxxxxx", 8) > 0) {
    }
    close(ends[0]);
    fixture.poll = loop_poll_new(fixture.loop, ends[1], note_events_and_stop, &fixture);
    loop_poll_watch(fixture.poll, LOOP_WRITABLE);
    for (int round = 1; round <= 3; round++) {
        fixture.events = 0;
        loop_run(fixture.loop);
        assert_int_equal(round, fixture.count);
        assert_int_equal(LOOP_READABLE | LOOP_WRITABLE, fixture.events);
    }
    loop_poll_free(fixture.poll);
    fixture.poll = NULL;
    close(ends[1]);
    finish(&fixture);
}

static void *send_many(void *arg)
{
    struct loop_wake *wake = arg;
    for (int i = 0; i < 1000; i++) {
        loop_wake_send(wake);
    }
    return NULL;
}

static void wake_from_another_thread(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    fixture.limit = 1;
    fixture.wake = loop_wake_new(fixture.loop, count_and_stop_at_limit, &fixture);
    pthread_t thread;
    assert_int_equal(0, pthread_create(&thread, NULL, send_many, fixture.wake));
    loop_run(fixture.loop);
    pthread_join(thread, NULL);
    assert_in_range(fixture.count, 1, 1000);
    finish(&fixture);
}

enum { WAKES = 4 };

struct bell {
    struct fixture *fixture;
    struct loop_wake *wake, *victim; /* victim: freed when this one is heard */
    bool is_endless;                 /* sends itself again */
    int heard;
};

static void hear(void *arg)
{
    struct bell *bell = arg;
    bell->heard++;
    loop_wake_free(bell->victim);
    bell->victim = NULL;
    if (bell->is_endless) {
        loop_wake_send(bell->wake);
    }
    count_and_stop_at_limit(bell->fixture);
}

static void ring(struct fixture *fixture, struct bell bells[WAKES])
{
    start(fixture);
    for (int i = 0; i < WAKES; i++) {
        bells[i] = (struct bell){.fixture = fixture};
        bells[i].wake = loop_wake_new(fixture->loop, hear, &bells[i]);
    }
}

static void each_wake_is_heard_once_and_in_order(void **state)
{
    (void)state;
    struct fixture fixture;
    struct bell bells[WAKES];
    ring(&fixture, bells);
    fixture.limit = WAKES - 1;
    for (int i = 1; i < WAKES; i++) {
        loop_wake_send(bells[i].wake);
        loop_wake_send(bells[i].wake);
    }
    loop_run(fixture.loop);
    for (int i = 0; i < WAKES; i++) {
        assert_int_equal(i > 0, bells[i].heard);
        loop_wake_free(bells[i].wake);
    }
    loop_run(fixture.loop); /* ends at once: no wake is left */
    finish(&fixture);
}

static void a_wake_freed_in_anothers_callback_stays_silent(void **state)
{
    (void)state;
    struct fixture fixture;
    struct bell bells[WAKES];
    ring(&fixture, bells);
    fixture.limit = 3;
    bells[0].victim = bells[2].wake;
    for (int i = 0; i < WAKES; i++) {
        loop_wake_send(bells[i].wake);
    }
    loop_run(fixture.loop);
    assert_int_equal(0, bells[2].heard);
    assert_int_equal(3, bells[0].heard + bells[1].heard + bells[3].heard);
    for (int i = 0; i < WAKES; i++) {
        loop_wake_free(i == 2 ? NULL : bells[i].wake);
    }
    finish(&fixture);
}

static void a_wake_that_sends_itself_leaves_the_others_their_turn(void **state)
{
    (void)state;
    struct fixture fixture;
    struct bell bells[WAKES];
    ring(&fixture, bells);
    fixture.limit = 100;
    bells[0].is_endless = bells[1].is_endless = true;
    loop_wake_send(bells[0].wake);
    loop_wake_send(bells[1].wake);
    loop_run(fixture.loop);
    assert_in_range(bells[0].heard, 48, 54);
    assert_in_range(bells[1].heard, 48, 54);
    for (int i = 0; i < WAKES; i++) {
        loop_wake_free(bells[i].wake);
    }
    finish(&fixture);
}

static void free_wake(void *arg)
{
    struct fixture *fixture = arg;
    fixture->count++;
    loop_wake_send(fixture->wake);
    loop_wake_free(fixture->wake);
    fixture->wake = NULL;
}

static void a_wake_freed_in_its_own_callback_stays_silent(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    fixture.wake = loop_wake_new(fixture.loop, free_wake, &fixture);
    loop_wake_send(fixture.wake);
    loop_run(fixture.loop);
    assert_int_equal(1, fixture.count);
    finish(&fixture);
}

/* CPU time, not wall time: a loop that turns without end uses all that it gets. */
static void the_loop_sleeps_when_the_last_wake_is_gone(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    fixture.wake = loop_wake_new(fixture.loop, never, NULL);
    loop_wake_send(fixture.wake);
    loop_wake_free(fixture.wake);
    fixture.wake = NULL;
    fixture.timer = loop_timer_new(fixture.loop, count_and_stop_at_limit, &fixture);
    fixture.limit = 1;
    loop_timer_start(fixture.timer, 1000, 0);
    clock_t before = clock();
    loop_run(fixture.loop);
    assert_int_equal(1, fixture.count);
    assert_true(clock() - before < CLOCKS_PER_SEC / 10);
    finish(&fixture);
}

static void signal_reaches_the_loop(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    fixture.limit = 1;
    fixture.signal = loop_signal_new(fixture.loop, SIGUSR1, count_and_stop_at_limit, &fixture);
    raise(SIGUSR1);
    loop_run(fixture.loop);
    assert_int_equal(1, fixture.count);
    finish(&fixture);
}

static void sigpipe_is_ignored(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    close(fixture.fds[1]);
    assert_int_equal(-1, write(fixture.fds[0], "x", 1));
    fixture.fds[1] = -1;
    finish(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timer_keeps_its_delay_after_a_late_start),
        cmocka_unit_test(timer_repeats_and_negative_delay_is_zero),
        cmocka_unit_test(timer_without_repeat_fires_once_and_the_loop_ends_by_itself),
        cmocka_unit_test(a_freed_timer_due_in_the_same_turn_stays_silent),
        cmocka_unit_test(poll_tells_what_is_watched),
        cmocka_unit_test(poll_error_is_readable_and_writable_and_keeps_coming),
        cmocka_unit_test(wake_from_another_thread),
        cmocka_unit_test(each_wake_is_heard_once_and_in_order),
        cmocka_unit_test(a_wake_freed_in_anothers_callback_stays_silent),
        cmocka_unit_test(a_wake_that_sends_itself_leaves_the_others_their_turn),
        cmocka_unit_test(a_wake_freed_in_its_own_callback_stays_silent),
        cmocka_unit_test(the_loop_sleeps_when_the_last_wake_is_gone),
        cmocka_unit_test(signal_reaches_the_loop),
        cmocka_unit_test(sigpipe_is_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
