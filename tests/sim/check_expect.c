/* What a scenario says that must and must not follow. */
#include <stdio.h>
#include <string.h>

#include "tests/sim/check.h"
#include "tests/sim/sim.h"

static struct expectation expectations[64];

void check_expect(const char *what, const char *name, const char *word)
{
    for (size_t i = 0; i < sim->plan->expectation_count; i++) {
        struct expectation *each = &expectations[i];
        bool is_name = strcmp(each->name, "*") == 0 || strcmp(each->name, name) == 0;
        bool is_word = each->word[0] == '\0' || strcmp(each->word, word) == 0;
        if (strcmp(each->what, what) != 0 || !is_name || !is_word || sim->now < each->from ||
            sim->now > each->to) {
            continue;
        }
        each->seen++;
        if (each->is_never && sim->failed == 0 && sim->want == 0) {
            sim->failed = -1;
            snprintf(sim->failure, sizeof sim->failure, "at %.3f s: %s %s %s, which must not follow",
                     (double)sim->now / 1000.0, what, name, word);
        }
    }
}

void check_expect_begin(void)
{
    memcpy(expectations, sim->plan->expectations, sizeof expectations);
}

void check_expect_end(void)
{
    for (size_t i = 0; i < sim->plan->expectation_count && sim->failed == 0 && sim->want == 0; i++) {
        const struct expectation *each = &expectations[i];
        if (!each->is_never && (each->seen < each->min || each->seen > each->max)) {
            sim->failed = -1;
            snprintf(sim->failure, sizeof sim->failure,
                     "%s %s %s between %.1f s and %.1f s: seen %d times, not %d to %d", each->what,
                     each->name, each->word, (double)each->from / 1000.0, (double)each->to / 1000.0,
                     each->seen, each->min, each->max);
        }
    }
}
