/*
 * Looks at the metrics that labels make rules for (defib.progress, defib.limit.<metric>), every heartbeat
 * interval: what the agent measures, and for a service that beats for itself what its beat in Redis says,
 * which comes first. The prober holds the rules and makes checks of them. Connects to Redis once there is a
 * rule that needs it.
 */
#ifndef DEFIB_AGENT_METRIC_READER_H
#define DEFIB_AGENT_METRIC_READER_H

struct agent;
struct metric_reader;

/* Uses the agent's loop, settings, table, prober and maker, which outlive it. */
struct metric_reader *metric_reader_new(struct agent *agent);
void metric_reader_free(struct metric_reader *reader); /* NULL is allowed */

#endif
