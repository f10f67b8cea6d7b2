/*
 * A container of the table as a heartbeat document: what the agent says of it, without what only reading the
 * host can tell (metrics). Pure.
 */
#ifndef DEFIB_AGENT_CORE_CONTAINER_BEAT_H
#define DEFIB_AGENT_CORE_CONTAINER_BEAT_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/core/container_table.h"
#include "common/clock.h"
#include "proto/heartbeat.h"

enum beat_status container_beat_status(const struct container *container);

/* Its process runs, paused or not. */
bool container_beat_is_up(const struct container *container);

/* True where the agent writes the container's key: not where the service does so itself, or is labelled to.
 */
bool container_beat_is_by_agent(const struct container *container);

/* host and agent are borrowed for the call. The beat was initialised. */
void container_beat_fill(const struct container *container, const char *host, const char *agent, uint64_t seq,
                         struct wall now, struct heartbeat *beat);

#endif
