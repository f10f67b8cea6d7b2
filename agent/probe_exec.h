/*
 * Probes by `docker exec`: the words run in the container, exit code 0 is well, the end of their output is
 * kept.
 *
 * The Engine cannot end an exec that was begun. One that runs over its time is left to itself and asked after
 * by the next run, which fails without beginning another: there is never more than one of a probe.
 */
#ifndef DEFIB_AGENT_PROBE_EXEC_H
#define DEFIB_AGENT_PROBE_EXEC_H

#include "agent/core/probe_spec.h"
#include "agent/engine_client.h"
#include "common/loop.h"
#include "proto/limits.h"

enum { PROBE_EXEC_OUTPUT_SIZE = 4096 + 1 };

struct probe_exec;

/* What outlives a run of it; zeroed is fresh. */
struct probe_exec_memory {
    char lingering[LIMIT_ID_SIZE];       /* an exec that has not ended in time; "": none */
    char output[PROBE_EXEC_OUTPUT_SIZE]; /* of the last run that ended */
};

/* As probe_socket_start. spec, container_id and memory are borrowed until the end. */
struct probe_exec *probe_exec_start(struct loop *loop, struct engine_client *engine,
                                    const struct probe_spec *spec, const char *container_id,
                                    struct probe_exec_memory *memory,
                                    void (*on_done)(void *arg, const char *failure), void *arg);
void probe_exec_cancel(struct probe_exec *probe); /* NULL is allowed */

#endif
