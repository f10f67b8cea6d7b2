/* The runbook's tests as a plan: what may come, in what order, and what must not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "controller/ctl/drill_plan.h"

#define MISS(n) "Service c missing heartbeat (" #n " consecutive misses)"
#define TRY(n)  "Attempting restart of c (attempt " #n "/2)"

static bool take(struct drill_plan *plan, const char *line)
{
    return drill_plan_take(plan, DRILL_LINE, line) != NULL;
}

static void tests_are_named(void **state)
{
    (void)state;
    assert_int_equal(drill_plan_test("test1"), DRILL_KILL);
    assert_int_equal(drill_plan_test("test3"), DRILL_DENY);
    assert_int_equal(drill_plan_test("test"), DRILL_TESTS);
}

static void lines_come_in_order(void **state)
{
    (void)state;
    struct drill_plan plan;
    drill_plan_make(&plan, DRILL_KILL, "c", 2, 2);
    assert_false(take(&plan, MISS(2))); /* too early */
    assert_false(take(&plan, "Service d missing heartbeat (1 consecutive misses)"));
    assert_true(take(&plan, MISS(1)));
    assert_false(take(&plan, MISS(1))); /* twice */
    assert_false(take(&plan, TRY(1)));  /* the second miss is missing */
    assert_true(take(&plan, MISS(2)));
    assert_true(take(&plan, TRY(1)));
    assert_false(drill_plan_is_complete(&plan));
    assert_false(drill_plan_is_forbidden(&plan, TRY(2)));
    assert_true(take(&plan, "Successfully restarted c"));
    assert_true(drill_plan_is_complete(&plan));
    assert_true(drill_plan_is_forbidden(&plan, TRY(2)));
}

static void without_misses_they_are_passed_over(void **state)
{
    (void)state;
    struct drill_plan plan;
    drill_plan_make(&plan, DRILL_KILL, "c", 3, 2);
    assert_true(take(&plan, TRY(1)));
    assert_int_equal(plan.steps[0].state, DRILL_PASSED_OVER);
    assert_false(take(&plan, MISS(1)));
    assert_true(take(&plan, "Successfully restarted c"));
    assert_true(drill_plan_is_complete(&plan));
}

static void failures_end_in_an_alert(void **state)
{
    (void)state;
    struct drill_plan plan;
    drill_plan_make(&plan, DRILL_FAILURES, "c", 3, 2);
    assert_true(take(&plan, TRY(1)));
    assert_false(drill_plan_is_forbidden(&plan, TRY(2)));
    assert_true(take(&plan, TRY(2)));
    assert_non_null(drill_plan_take(&plan, DRILL_ALERT, "SERVICE_RESTART_FAILED max_attempts_exhausted"));
    assert_true(take(&plan, "Service c exhausted restart attempts (2/2)"));
    assert_true(drill_plan_is_complete(&plan));
    assert_true(drill_plan_is_forbidden(&plan, TRY(1)));
}

static void what_is_denied_is_never_tried(void **state)
{
    (void)state;
    struct drill_plan plan;
    drill_plan_make(&plan, DRILL_DENY, "c", 3, 2);
    assert_true(drill_plan_is_forbidden(&plan, TRY(1)));
    assert_false(drill_plan_is_forbidden(&plan, "Attempting restart of cc (attempt 1/2)"));
    assert_true(take(&plan, "Service c is unhealthy but in deny list - alerting only"));
    assert_null(drill_plan_take(&plan, DRILL_ALERT, "SERVICE_RESTART_FAILED not_in_allowlist"));
    assert_non_null(drill_plan_take(&plan, DRILL_ALERT, "SERVICE_RESTART_FAILED deny_list"));
    assert_true(drill_plan_is_complete(&plan));
}

/* The most that is allowed fits. */
static void the_largest_fits(void **state)
{
    (void)state;
    struct drill_plan plan;
    for (int test = 0; test < DRILL_TESTS; test++) {
        drill_plan_make(&plan, (enum drill_test)test, "c", DRILL_COUNT_MAX, DRILL_COUNT_MAX);
        assert_true(plan.count <= DRILL_STEPS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tests_are_named),
        cmocka_unit_test(lines_come_in_order),
        cmocka_unit_test(without_misses_they_are_passed_over),
        cmocka_unit_test(failures_end_in_an_alert),
        cmocka_unit_test(what_is_denied_is_never_tried),
        cmocka_unit_test(the_largest_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
