/*
 * The probes that labels ask for (defib.check.<name>), run from the host's side: each in its own place within
 * its interval, a bounded number at once, each with a deadline; a probe is never begun while its last run is
 * under way.
 *
 * What they say goes into the container's beats as `checks` (why one fails: `check_details`) and, the worst
 * of all, into its status: a required check that fails makes it unhealthy, another degraded. They run while
 * the container runs, begin anew with each incarnation, and say nothing for one that does not run.
 */
#ifndef DEFIB_AGENT_PROBER_H
#define DEFIB_AGENT_PROBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/core/engine_json.h"

struct agent;
struct heartbeat;
struct prober;

/* Uses the agent's loop, table and engine, which outlive it. */
struct prober *prober_new(struct agent *agent);
void prober_free(struct prober *prober); /* NULL is allowed */

/* Docker told of this container: labels, address, whether it runs. Behind container_table_inspected. */
void prober_inspected(struct prober *prober, const struct engine_container *facts);
void prober_forget(struct prober *prober, const char *container_id); /* it is gone */

/* Labels make rules for metrics of this container (core/metric_rules.h). */
bool prober_has_rules(const struct prober *prober, const char *container_id);

/* A look at them: what the agent measured, and what the service's own beat says (NULL: there is none), which
 * comes first. */
void prober_take_metrics(struct prober *prober, const char *container_id, const struct heartbeat *agents,
                         const struct heartbeat *apps);

/* Adds the checks of this container that are known. */
void prober_fill(const struct prober *prober, const char *container_id, struct heartbeat *beat);

/* The same for evidence: an object `probes`, of each its verdict, why it fails, and what an exec put out. */
struct json_writer;
void prober_write(const struct prober *prober, const char *container_id, struct json_writer *writer);

struct prober_counters {
    int64_t probes; /* that ran to their end */
    int64_t failures;
};
struct prober_counters prober_counters(const struct prober *prober);

#endif
