/*
 * What happened since the start, counted from the decider's actions as they pass by. The label sets are
 * bounded: causes, gates, outcomes and alert types, never a name.
 */
#ifndef DEFIB_CONTROLLER_SERVE_TALLY_H
#define DEFIB_CONTROLLER_SERVE_TALLY_H

#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "controller/core/decider.h"
#include "controller/core/gates.h"
#include "controller/core/policy.h"
#include "proto/alert.h"

enum { TALLY_BUCKETS = 12, TALLY_CAUSES = CAUSE_DEPENDENCY + 1 };

/* How a restart ended. */
enum tally_outcome { TALLY_RESTARTED, TALLY_GIVEN_BACK, TALLY_FAILED, TALLY_OUTCOMES };

struct tally_histogram {
    uint64_t buckets[TALLY_BUCKETS + 1]; /* not cumulative; the last one is +Inf */
    uint64_t count;
    double sum;
};

/* A plain value; zeroed at the start. */
struct tally {
    uint64_t attempts[TALLY_CAUSES];
    uint64_t restarts[TALLY_OUTCOMES][TALLY_CAUSES];
    uint64_t refusals[GATE_N];
    uint64_t refusals_by_agent; /* its last look said no */
    uint64_t exhausted;
    uint64_t alerts[ALERT_TYPE_N];
    struct tally_histogram
        detect_secs; /* from the first sign of trouble to "failed", where no attempt was made yet */
    struct tally_histogram recovery_secs; /* from the first sign of trouble to healthy again */
};

/* Upper bounds in seconds. */
extern const double tally_bounds[TALLY_BUCKETS];

void tally_count(struct tally *tally, const struct decider *decider, const struct action *action,
                 struct mono now);

void tally_observe(struct tally_histogram *histogram, double value);
const char *tally_outcome_name(enum tally_outcome outcome);
const char *tally_cause_name(enum failure_cause cause); /* "none" missing_heartbeat status_unhealthy … */

#endif
