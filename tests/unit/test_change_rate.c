#include "agent/core/change_rate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/core/command_gate.h"

static void counts_within_the_window(void **state)
{
    (void)state;
    struct change_rate *rate = change_rate_new();
    assert_int_equal(change_rate_count(rate, "a", 1000, (struct mono){0}), 0);
    change_rate_note(rate, "a", (struct mono){1000});
    change_rate_note(rate, "a", (struct mono){1500});
    change_rate_note(rate, "b", (struct mono){1600});
    assert_int_equal(change_rate_count(rate, "a", 1000, (struct mono){1999}), 2);
    assert_int_equal(change_rate_count(rate, "a", 1000, (struct mono){2000}), 1);
    assert_int_equal(change_rate_count(rate, "a", 1000, (struct mono){2500}), 0);
    assert_int_equal(change_rate_count(rate, "b", 1000, (struct mono){2500}), 1);
    change_rate_free(rate);
}

static void forgets_names_that_rest(void **state)
{
    (void)state;
    struct change_rate *rate = change_rate_new();
    for (int i = 0; i < 100000; i++) {
        char name[32];
        snprintf(name, sizeof name, "churn-%d", i);
        change_rate_note(rate, name, (struct mono){(int64_t)i * 1000});
        assert_true(change_rate_names(rate) <= COMMAND_GATE_LONG_MS / 1000);
    }
    change_rate_free(rate);
}

/* Against a plain list of all changes there ever were. */
static void equals_a_plain_list(void **state)
{
    (void)state;
    enum { STEPS = 3000 };
    static struct mono times[STEPS];
    static unsigned names[STEPS];
    srand(9);
    struct change_rate *rate = change_rate_new();
    struct mono now = {0};
    for (int i = 0; i < STEPS; i++) {
        now.ms += rand() % 3 == 0 ? rand() % 20000 : rand() % 300;
        names[i] = (unsigned)rand() % 3;
        times[i] = now;
        const char name[2] = {(char)('a' + names[i]), '\0'};
        change_rate_note(rate, name, now);
        size_t expected = 0;
        for (int j = 0; j <= i; j++) {
            expected += names[j] == names[i] && now.ms - times[j].ms < COMMAND_GATE_LONG_MS;
        }
        expected = expected < COMMAND_GATE_LONG_MAX ? expected : COMMAND_GATE_LONG_MAX;
        assert_int_equal(change_rate_count(rate, name, COMMAND_GATE_LONG_MS, now), expected);
    }
    change_rate_free(rate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_within_the_window),
        cmocka_unit_test(forgets_names_that_rest),
        cmocka_unit_test(equals_a_plain_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
