#include "controller/core/breaker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct breaker_limits LIMITS = {0.4, 3};

static struct mono at(int64_t seconds)
{
    return (struct mono){1000 + seconds * 1000};
}

static enum breaker_change look(struct breaker *breaker, int64_t recent, int64_t managed, int64_t seconds)
{
    breaker->recent = recent;
    return breaker_look(breaker, &LIMITS, managed, at(seconds));
}

/* max(BREAKER_MIN, BREAKER_FRACTION x P) */
static void the_mark(void **state)
{
    (void)state;
    static const struct {
        int64_t managed, failures;
        bool is_too_many;
    } CASES[] = {
        {0, 0, false}, {1, 1, false}, {2, 2, false},   {3, 2, false},  {3, 3, true},       {7, 3, true},
        {8, 3, false}, {8, 4, true},  {10, 3, false},  {10, 4, true},  {100, 39, false},   {100, 40, true},
        {5, 4, true},  {0, 3, true},  {35, 13, false}, {35, 14, true}, {1000, 399, false},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        assert_int_equal(CASES[i].is_too_many,
                         breaker_is_too_many(&LIMITS, CASES[i].managed, CASES[i].failures));
    }
    const struct breaker_limits all = {1.0, 1};
    assert_false(breaker_is_too_many(&all, 5, 4));
    assert_true(breaker_is_too_many(&all, 5, 5));
    const struct breaker_limits inexact = {0.07, 3}; /* x 100 is 7.000000000000001 */
    assert_true(breaker_is_too_many(&inexact, 100, 7));
    assert_false(breaker_is_too_many(&inexact, 100, 6));
}

static void closed_it_stops_nobody(void **state)
{
    (void)state;
    struct breaker breaker = {.recent = 0};
    assert_int_equal(BREAKER_AS_IT_WAS, look(&breaker, 2, 3, 0));
    assert_int_equal(0, breaker_turn_at(&breaker, BREAKER_START).ms);
    breaker_take_turn(&breaker, BREAKER_CANARY, at(0));
    assert_false(breaker.has_canary);
    assert_int_equal(0, breaker_turn_at(&breaker, BREAKER_CANARY).ms);
}

static void dead_ones_go_one_per_30_s(void **state)
{
    (void)state;
    struct breaker breaker = {.recent = 0};
    assert_int_equal(BREAKER_OPENED, look(&breaker, 4, 10, 0));
    assert_int_equal(at(0).ms, breaker_turn_at(&breaker, BREAKER_START).ms);
    breaker_take_turn(&breaker, BREAKER_START, at(2));
    assert_int_equal(at(32).ms, breaker_turn_at(&breaker, BREAKER_START).ms);
    assert_int_equal(at(60).ms, breaker_turn_at(&breaker, BREAKER_CANARY).ms); /* not moved by that */
}

static void canaries(void **state)
{
    (void)state;
    struct breaker breaker = {.recent = 0};
    look(&breaker, 4, 10, 0);
    int64_t now = 60, waits[] = {120, 240, 480, 600, 600};
    for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) {
        assert_int_equal(at(now).ms, breaker_turn_at(&breaker, BREAKER_CANARY).ms);
        breaker_take_turn(&breaker, BREAKER_CANARY, at(now));
        assert_int_equal(MONO_NEVER.ms, breaker_turn_at(&breaker, BREAKER_CANARY).ms); /* one at a time */
        now += 5;
        breaker_end_canary(&breaker, CANARY_FAILED, at(now));
        now += waits[i];
    }
    breaker_take_turn(&breaker, BREAKER_CANARY, at(now));
    breaker_end_canary(&breaker, CANARY_VOID, at(now + 1));
    assert_int_equal(at(now + 1).ms, breaker_turn_at(&breaker, BREAKER_CANARY).ms);
    breaker_take_turn(&breaker, BREAKER_CANARY, at(now + 1));
    breaker_end_canary(&breaker, CANARY_HEALTHY, at(now + 90));
    assert_int_equal(at(now + 90).ms, breaker_turn_at(&breaker, BREAKER_CANARY).ms);
    breaker_take_turn(&breaker, BREAKER_CANARY, at(now + 90)); /* the wait begins anew */
    breaker_end_canary(&breaker, CANARY_FAILED, at(now + 100));
    assert_int_equal(at(now + 220).ms, breaker_turn_at(&breaker, BREAKER_CANARY).ms);
    breaker_end_canary(&breaker, CANARY_FAILED, at(now + 101)); /* of no canary: nothing */
    assert_int_equal(at(now + 220).ms, breaker_turn_at(&breaker, BREAKER_CANARY).ms);
}

static void closes_behind_a_calm(void **state)
{
    (void)state;
    struct breaker breaker = {.recent = 0};
    look(&breaker, 4, 10, 0);
    breaker.lasting = 1;
    assert_int_equal(BREAKER_AS_IT_WAS, look(&breaker, 3, 10, 10)); /* 3 + 1 */
    breaker.lasting = 0;
    assert_int_equal(BREAKER_AS_IT_WAS, look(&breaker, 3, 10, 20));
    assert_int_equal(BREAKER_AS_IT_WAS, look(&breaker, 4, 10, 40)); /* a break */
    assert_int_equal(BREAKER_AS_IT_WAS, look(&breaker, 3, 10, 50));
    assert_int_equal(BREAKER_AS_IT_WAS, look(&breaker, 3, 10, 79));
    assert_true(breaker.is_open);
    assert_int_equal(BREAKER_CLOSED, look(&breaker, 3, 10, 80));
    assert_int_equal(BREAKER_AS_IT_WAS, look(&breaker, 3, 10, 81));
    assert_int_equal(BREAKER_OPENED, look(&breaker, 4, 10, 82));
    assert_int_equal(at(142).ms, breaker_turn_at(&breaker, BREAKER_CANARY).ms);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_mark),
        cmocka_unit_test(closed_it_stops_nobody),
        cmocka_unit_test(dead_ones_go_one_per_30_s),
        cmocka_unit_test(canaries),
        cmocka_unit_test(closes_behind_a_calm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
