/*
 * What the runbook's three tests expect, line by line, and how far a drill has come. Pure.
 *
 * Lines must come in their order, and so must alerts, beside each other. The three misses of a death are only
 * counted where FAST_CHECK_SECS is not 0: then none of them comes, and they are passed over.
 */
#ifndef DEFIB_CONTROLLER_CTL_DRILL_PLAN_H
#define DEFIB_CONTROLLER_CTL_DRILL_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/limits.h"

enum drill_test { DRILL_KILL, DRILL_FAILURES, DRILL_DENY, DRILL_TESTS };

enum drill_kind { DRILL_LINE, DRILL_ALERT };
enum drill_state { DRILL_AWAITED, DRILL_SEEN, DRILL_PASSED_OVER };

enum { DRILL_STEPS = 40, DRILL_COUNT_MAX = 16, DRILL_TEXT_SIZE = LIMIT_NAME_SIZE + 80 };

struct drill_step {
    enum drill_kind kind;
    enum drill_state state;
    bool is_miss;
    char text[DRILL_TEXT_SIZE]; /* of the line; of an alert its type and action */
};

/* A plain value. */
struct drill_plan {
    struct drill_step steps[DRILL_STEPS];
    size_t count;
    char forbidden[DRILL_TEXT_SIZE]; /* the beginning of a line that must not come, once all have come; "" */
};

/* DRILL_TESTS where none is called so. */
enum drill_test drill_plan_test(const char *name);

/* misses: HEARTBEAT_MISS_THRESHOLD; attempts: what the container has in all. Both up to DRILL_COUNT_MAX. */
void drill_plan_make(struct drill_plan *plan, enum drill_test test, const char *container, int64_t misses,
                     int64_t attempts);

/* The step that this is, now seen; NULL: none that is awaited. */
const struct drill_step *drill_plan_take(struct drill_plan *plan, enum drill_kind kind, const char *text);

bool drill_plan_is_complete(const struct drill_plan *plan);

/* It must not come: at any time in a drill of the deny list, else once all is complete. */
bool drill_plan_is_forbidden(const struct drill_plan *plan, const char *line);

#endif
