#include "controller/ctl/drill_plan.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum drill_test drill_plan_test(const char *name)
{
    static const char *const names[DRILL_TESTS] = {
        [DRILL_KILL] = "test1", [DRILL_FAILURES] = "test2", [DRILL_DENY] = "test3"};
    int test = 0;
    while (test < DRILL_TESTS && strcmp(names[test], name) != 0) {
        test++;
    }
    return (enum drill_test)test;
}

static struct drill_step *add(struct drill_plan *plan, enum drill_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static struct drill_step *add(struct drill_plan *plan, enum drill_kind kind, const char *format, ...)
{
    assert(plan->count < DRILL_STEPS);
    struct drill_step *step = &plan->steps[plan->count++];
    *step = (struct drill_step){.kind = kind};
    va_list args;
    va_start(args, format);
    vsnprintf(step->text, sizeof step->text, format, args);
    va_end(args);
    return step;
}

static void add_misses(struct drill_plan *plan, const char *container, int64_t misses)
{
    for (int64_t i = 1; i <= misses; i++) {
        add(plan, DRILL_LINE, "Service %s missing heartbeat (%lld consecutive misses)", container,
            (long long)i)
            ->is_miss = true;
    }
}

static void add_attempt(struct drill_plan *plan, const char *container, int64_t number, int64_t attempts)
{
    add(plan, DRILL_LINE, "Attempting restart of %s (attempt %lld/%lld)", container, (long long)number,
        (long long)attempts);
}

void drill_plan_make(struct drill_plan *plan, enum drill_test test, const char *container, int64_t misses,
                     int64_t attempts)
{
    assert(misses <= DRILL_COUNT_MAX && attempts <= DRILL_COUNT_MAX);
    *plan = (struct drill_plan){.count = 0};
    snprintf(plan->forbidden, sizeof plan->forbidden, "Attempting restart of %s ", container);
    switch (test) {
    case DRILL_KILL:
        add_misses(plan, container, misses);
        add_attempt(plan, container, 1, attempts);
        add(plan, DRILL_LINE, "Successfully restarted %s", container);
        break;
    case DRILL_FAILURES:
        for (int64_t i = 1; i <= attempts; i++) {
            add_attempt(plan, container, i, attempts);
        }
        add(plan, DRILL_LINE, "Service %s exhausted restart attempts (%lld/%lld)", container,
            (long long)attempts, (long long)attempts);
        add(plan, DRILL_ALERT, "SERVICE_RESTART_FAILED max_attempts_exhausted");
        break;
    case DRILL_DENY:
        add(plan, DRILL_LINE, "Service %s is unhealthy but in deny list - alerting only", container);
        add(plan, DRILL_ALERT, "SERVICE_RESTART_FAILED deny_list");
        break;
    case DRILL_TESTS:
        break;
    }
}

/* All misses up to that step are passed over, if not one of them has come. */
static bool may_pass_over(const struct drill_plan *plan, size_t until)
{
    for (size_t i = 0; i < until; i++) {
        const struct drill_step *step = &plan->steps[i];
        if (step->is_miss ? step->state == DRILL_SEEN : step->state == DRILL_AWAITED) {
            return false;
        }
    }
    return true;
}

static void pass_over(struct drill_plan *plan, size_t until)
{
    for (size_t i = 0; i < until; i++) {
        if (plan->steps[i].is_miss) {
            plan->steps[i].state = DRILL_PASSED_OVER;
        }
    }
}

const struct drill_step *drill_plan_take(struct drill_plan *plan, enum drill_kind kind, const char *text)
{
    for (size_t i = 0; i < plan->count; i++) {
        struct drill_step *step = &plan->steps[i];
        if (step->kind != kind || step->state != DRILL_AWAITED) {
            continue;
        }
        if (strcmp(step->text, text) == 0) {
            step->state = DRILL_SEEN;
            return step;
        }
        if (!step->is_miss) {
            return NULL;
        }
        size_t behind = i;
        while (behind < plan->count && plan->steps[behind].is_miss) {
            behind++;
        }
        bool is_next = behind < plan->count && strcmp(plan->steps[behind].text, text) == 0;
        if (!is_next || !may_pass_over(plan, behind)) {
            return NULL;
        }
        pass_over(plan, behind);
    }
    return NULL;
}

bool drill_plan_is_complete(const struct drill_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->steps[i].state == DRILL_AWAITED) {
            return false;
        }
    }
    return true;
}

static bool expects_attempts(const struct drill_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        if (strncmp(plan->steps[i].text, plan->forbidden, strlen(plan->forbidden)) == 0) {
            return true;
        }
    }
    return false;
}

bool drill_plan_is_forbidden(const struct drill_plan *plan, const char *line)
{
    bool is_attempt = strncmp(line, plan->forbidden, strlen(plan->forbidden)) == 0;
    return is_attempt && (!expects_attempts(plan) || drill_plan_is_complete(plan));
}
