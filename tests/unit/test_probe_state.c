#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "agent/core/docker_stream.h"
#include "agent/core/probe_state.h"

static const struct probe_spec plain = {.interval_ms = 10000, .retries = 3};
static const struct probe_spec required = {
    .interval_ms = 10000, .retries = 2, .start_period_ms = 60000, .is_required = true};

static void fails_after_so_many_in_a_row(void **state)
{
    (void)state;
    struct probe_state probe = {.verdict = PROBE_PENDING};
    assert_int_equal(BEAT_UNKNOWN, probe_state_status(&probe, &plain, 0));
    assert_false(probe_state_take(&probe, &plain, "refused", 5, 0));
    assert_false(probe_state_take(&probe, &plain, "refused", 5, 0));
    assert_int_equal(BEAT_UNKNOWN, probe_state_status(&probe, &plain, 0));
    assert_true(probe_state_take(&probe, &plain, NULL, 5, 0));
    assert_int_equal(BEAT_HEALTHY, probe_state_status(&probe, &plain, 0));
    assert_string_equal("", probe.detail);
    for (int i = 0; i < 2; i++) {
        assert_false(probe_state_take(&probe, &plain, "refused", 5, 0));
        assert_int_equal(BEAT_HEALTHY, probe_state_status(&probe, &plain, 0));
    }
    assert_true(probe_state_take(&probe, &plain, "timed out", 5, 0));
    assert_int_equal(BEAT_DEGRADED, probe_state_status(&probe, &plain, 0));
    assert_string_equal("timed out", probe.detail);
    assert_false(probe_state_take(&probe, &plain, "refused", 5, 0));
    assert_true(probe_state_take(&probe, &plain, NULL, 7, 0));
    assert_int_equal(BEAT_HEALTHY, probe_state_status(&probe, &plain, 0));
    assert_int_equal(7, probe.took_ms);
}

static void the_start_period_forgives_until_it_passed_once(void **state)
{
    (void)state;
    struct probe_state probe = {.verdict = PROBE_PENDING};
    for (int i = 0; i < 10; i++) {
        assert_false(probe_state_take(&probe, &required, "refused", 1, 59999));
        assert_int_equal(BEAT_STARTING, probe_state_status(&probe, &required, 59999));
    }
    assert_int_equal(BEAT_STARTING, probe_state_status(&probe, &required, 79999));
    assert_int_equal(BEAT_UNKNOWN, probe_state_status(&probe, &required, 80000));
    assert_false(probe_state_take(&probe, &required, "refused", 1, 60000));
    assert_true(probe_state_take(&probe, &required, "refused", 1, 60000));
    assert_int_equal(BEAT_UNHEALTHY, probe_state_status(&probe, &required, 60000));
    /* one that passed is held to it, also within the period */
    probe = (struct probe_state){.verdict = PROBE_PENDING};
    assert_true(probe_state_take(&probe, &required, NULL, 1, 1000));
    assert_false(probe_state_take(&probe, &required, "refused", 1, 2000));
    assert_true(probe_state_take(&probe, &required, "refused", 1, 3000));
    assert_int_equal(BEAT_UNHEALTHY, probe_state_status(&probe, &required, 3000));
}

static void each_keeps_its_place_in_the_interval(void **state)
{
    (void)state;
    for (uint64_t phase = 0; phase < 25000; phase += 1237) {
        struct mono at = {123456789};
        struct mono first = probe_state_next(&plain, phase, at);
        assert_true(first.ms > at.ms && first.ms <= at.ms + 10000);
        assert_int_equal(phase % 10000, (uint64_t)first.ms % 10000);
        assert_int_equal(first.ms + 10000, probe_state_next(&plain, phase, first).ms);
        struct mono late = {first.ms + 9999}; /* it took almost the interval: no place is skipped … */
        assert_int_equal(first.ms + 10000, probe_state_next(&plain, phase, late).ms);
        late.ms = first.ms + 25000; /* … and none is made up for */
        assert_int_equal(first.ms + 30000, probe_state_next(&plain, phase, late).ms);
    }
}

/* No two of 100 in the same 10 ms more than chance: of 1000 places 4.9 pairs are expected, 20 are no chance.
 */
static void a_hundred_are_spread_out(void **state)
{
    (void)state;
    int64_t places[100];
    int pairs = 0, halves = 0;
    for (int i = 0; i < 100; i++) {
        char id[72];
        snprintf(id, sizeof id, "%064x", i * 7919);
        struct mono now = {1000000};
        places[i] = (probe_state_next(&plain, probe_state_phase(id, "web"), now).ms - now.ms - 1) / 10;
        halves += places[i] < 500;
        for (int j = 0; j < i; j++) {
            pairs += places[i] == places[j];
        }
    }
    assert_true(pairs <= 15);
    assert_true(halves > 30 && halves < 70);
}

static void the_end_of_a_stream_is_kept(void **state)
{
    (void)state;
    char out[16];
    static const char frames[] = "\1\0\0\0\0\0\0\5hello\2\0\0\0\0\0\0\6 world";
    assert_int_equal(11, docker_stream_tail(frames, sizeof frames - 1, out, sizeof out));
    assert_string_equal("hello world", out);
    assert_int_equal(4, docker_stream_tail(frames, sizeof frames - 1, out, 5));
    assert_string_equal("orld", out);
    /* a TTY has no frames; broken off within one */
    docker_stream_tail("plain\r\ntext", 11, out, sizeof out);
    assert_string_equal("plain \ntext", out);
    docker_stream_tail("\1\0\0\0\0\0\1\0abc", 11, out, sizeof out);
    assert_string_equal("abc", out);
    docker_stream_tail("\1\0\0\0\xff\xff\xff\xff", 8, out, sizeof out);
    assert_string_equal("", out);
    assert_int_equal(0, docker_stream_tail("", 0, out, sizeof out));
    assert_int_equal(4, docker_stream_last_line("one\ntwo!\n \n", out, sizeof out));
    assert_string_equal("two!", out);
    assert_int_equal(0, docker_stream_last_line("\n\n", out, sizeof out));
    assert_int_equal(3, docker_stream_last_line("one two", out, 4));
    assert_int_equal(3, docker_stream_last_line("one\r\n", out, sizeof out));
    /* of two frames the oldest bytes go */
    static const char pair[] = "\1\0\0\0\0\0\0\4abcd\1\0\0\0\0\0\0\3efg";
    assert_int_equal(5, docker_stream_tail(pair, sizeof pair - 1, out, 6));
    assert_string_equal("cdefg", out);
    assert_int_equal(7, docker_stream_tail("a\tb\x7f\033c\n", 7, out, sizeof out));
    assert_string_equal("a\tb  c\n", out);
    /* what only begins like a frame is text */
    static const char *const texts[] = {"\1xyz5678", "\1\0yz5678", "\1\0\0z5678"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_int_equal(8, docker_stream_tail(texts[i], 8, out, sizeof out));
        assert_string_equal("5678", out + 4);
    }
    /* nothing but the inside of characters: four bytes of it go, as in no text of UTF-8 */
    assert_int_equal(2, docker_stream_tail("\x80\x80\x80\x80\x80\x80", 6, out, sizeof out));
    assert_int_equal(0, docker_stream_tail("\x80\x80", 2, out, sizeof out));
    /* never from within a character */
    docker_stream_tail("\1\0\0\0\0\0\0\6\xc3\xa4"
                       "bcde",
                       14, out, 6);
    assert_string_equal("bcde", out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fails_after_so_many_in_a_row),
        cmocka_unit_test(the_start_period_forgives_until_it_passed_once),
        cmocka_unit_test(each_keeps_its_place_in_the_interval),
        cmocka_unit_test(a_hundred_are_spread_out),
        cmocka_unit_test(the_end_of_a_stream_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
