#include "controller/core/tilt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const int64_t EPOCH_MS = 1790000000000LL;

/* One call at `ms`, the wall clock `ahead_ms` before the monotonic one; the next is wanted in 500 ms. */
static enum tilt_change call(struct tilt *tilt, int64_t ms, int64_t ahead_ms, int64_t *by_ms)
{
    struct wall wall = {EPOCH_MS + ms + ahead_ms};
    enum tilt_change change = tilt_look(tilt, (struct mono){ms}, &wall, by_ms);
    tilt_expect(tilt, (struct mono){ms}, (struct mono){ms + 500});
    return change;
}

static void late_ones(void **state)
{
    (void)state;
    int64_t by_ms = 0;
    struct tilt tilt = {.is_on = false};
    assert_int_equal(TILT_AS_IT_WAS, call(&tilt, 100000, 0, &by_ms)); /* the first was not awaited */
    assert_int_equal(TILT_AS_IT_WAS, call(&tilt, 103500, 0, &by_ms)); /* 3 s late */
    assert_int_equal(TILT_STALLED, call(&tilt, 107001, 0, &by_ms));
    assert_int_equal(3001, by_ms);
    assert_true(tilt.is_on);
    assert_int_equal(137001, tilt.until.ms);
    for (int64_t ms = 108000; ms < 137000; ms += 1000) {
        assert_int_equal(TILT_AS_IT_WAS, call(&tilt, ms, 0, &by_ms));
    }
    assert_true(tilt.is_on);
    assert_int_equal(TILT_OVER, call(&tilt, 137001, 0, &by_ms));
    assert_false(tilt.is_on);
    assert_int_equal(TILT_AS_IT_WAS, call(&tilt, 137500, 0, &by_ms));
}

static void a_second_stall_prolongs(void **state)
{
    (void)state;
    int64_t by_ms = 0;
    struct tilt tilt = {.is_on = false};
    call(&tilt, 1000, 0, &by_ms);
    assert_int_equal(TILT_STALLED, call(&tilt, 10000, 0, &by_ms));
    assert_int_equal(TILT_STALLED, call(&tilt, 60000, 0, &by_ms)); /* also past the first one's end */
    assert_true(tilt.is_on);
    assert_int_equal(90000, tilt.until.ms);
}

static void nobody_is_late_where_nothing_is_wanted(void **state)
{
    (void)state;
    int64_t by_ms = 0;
    struct tilt tilt = {.is_on = false};
    call(&tilt, 1000, 0, &by_ms);
    tilt_expect(&tilt, (struct mono){1000}, MONO_NEVER);
    assert_int_equal(TILT_AS_IT_WAS, call(&tilt, 1000000, 0, &by_ms));
    /* a wish for the past is one for now */
    tilt_expect(&tilt, (struct mono){1000000}, (struct mono){1});
    assert_int_equal(TILT_AS_IT_WAS, call(&tilt, 1003000, 0, &by_ms));
}

static void parted_clocks(void **state)
{
    (void)state;
    static const struct {
        int64_t before_ms, after_ms;
        bool is_tilt;
    } CASES[] = {{0, 3000, false},  {0, 3001, true},      {0, -3000, false},          {0, -3001, true},
                 {500, 500, false}, {0, 86400000, true},  {86400000, 0, true},        {1000, -2500, true},
                 {0, 2999, false},  {-86400000, 0, true}, {86400000, 86400001, false}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        int64_t by_ms = 0;
        struct tilt tilt = {.is_on = false};
        assert_int_equal(TILT_AS_IT_WAS, call(&tilt, 1000, CASES[i].before_ms, &by_ms));
        assert_int_equal(CASES[i].is_tilt ? TILT_PARTED : TILT_AS_IT_WAS,
                         call(&tilt, 1500, CASES[i].after_ms, &by_ms));
        assert_int_equal(CASES[i].is_tilt ? CASES[i].after_ms - CASES[i].before_ms : 0, by_ms);
        assert_int_equal(TILT_AS_IT_WAS,
                         call(&tilt, 2000, CASES[i].after_ms, &by_ms)); /* it is what it is now */
    }
}

/* Slewing half a second a call is no jump. Calls without the wall clock change nothing about that. */
static void a_drift_is_no_jump(void **state)
{
    (void)state;
    int64_t by_ms = 0;
    struct tilt tilt = {.is_on = false};
    for (int64_t i = 0; i < 100; i++) {
        assert_int_equal(TILT_AS_IT_WAS, call(&tilt, 1000 + i * 1000, i * 500, &by_ms));
        assert_int_equal(TILT_AS_IT_WAS, tilt_look(&tilt, (struct mono){1500 + i * 1000}, NULL, &by_ms));
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(late_ones),
        cmocka_unit_test(a_second_stall_prolongs),
        cmocka_unit_test(nobody_is_late_where_nothing_is_wanted),
        cmocka_unit_test(parted_clocks),
        cmocka_unit_test(a_drift_is_no_jump),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
