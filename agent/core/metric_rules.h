/*
 * Metrics turned into checks, as labels ask for it. Pure.
 *
 *   defib.progress=<metric>:<secs>[,…]    one that has not changed for so long, while the service says that
 * it is well: stalled defib.limit.<metric>=<max>            or <min>..<max>, <min>.., ..<max>
 *   defib.limit.<metric>.required=true    outside it the container is unhealthy; else degraded
 *
 * The checks are called progress_<metric> and limit_<metric>. Stalled is unhealthy.
 */
#ifndef DEFIB_AGENT_CORE_METRIC_RULES_H
#define DEFIB_AGENT_CORE_METRIC_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/core/label_reader.h"
#include "common/clock.h"
#include "proto/limits.h"
#include "proto/vocabulary.h"

enum { METRIC_NAME_SIZE = 64, METRIC_RULES_MAX = 16 };

enum metric_verdict { METRIC_UNSAID, METRIC_WELL, METRIC_BAD };

/* A rule and what is known of its metric. */
struct metric_rule {
    char check[METRIC_NAME_SIZE + 16]; /* the name of the check */
    char metric[METRIC_NAME_SIZE];
    int64_t stall_ms; /* progress; 0: a limit */
    double low, high; /* limit; either may be infinite */
    bool is_required;
    enum metric_verdict verdict;
    char detail[LIMIT_DETAIL_SIZE]; /* why it is bad; else "" */
    bool has_value;
    double value;
    int64_t stood_ms; /* seen to stand at `value` for so long */
    struct mono seen_at;
};

struct metric_rules {
    struct metric_rule *items; /* owned */
    size_t count;
};

void metric_rules_read(const struct label_list *labels, struct metric_rules *out,
                       label_complaint on_complaint, void *arg);
void metric_rules_free(struct metric_rules *rules);

/* A new incarnation: nothing is known. */
void metric_rules_reset(struct metric_rules *rules);

/* A look at the metric: value NULL: nobody tells it. `is_claimed`: the service says that it is well. Time
 * between two looks that are more than gap_ms apart does not count as standing still. True where the verdict
 * changed. */
bool metric_rules_take(struct metric_rule *rule, const double *value, bool is_claimed, int64_t gap_ms,
                       struct mono now);

enum beat_status metric_rules_status(const struct metric_rule *rule); /* BEAT_UNKNOWN: nothing said */

#endif
