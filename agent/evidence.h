/*
 * How a container was before it is changed: its last 100 log lines, what its health check and the probes
 * said, exit code, OOM, memory. Collected between the last look and the restart, within EVIDENCE_MS; what has
 * not come by then is left out, with the reason.
 *
 * Kept as a file of DEFIB_STATE_DIR/evidence (the newest EVIDENCE_FILES, at most EVIDENCE_LOG_BYTES of log
 * each), written on a thread of its own, and in short as an entry of the stream health:events, kind
 * `evidence`. Both carry the command's id, as the decision's record and the alert do.
 */
#ifndef DEFIB_AGENT_EVIDENCE_H
#define DEFIB_AGENT_EVIDENCE_H

#include "agent/core/engine_json.h"
#include "proto/command.h"

struct agent;
struct evidence;
struct evidence_capture;

enum {
    EVIDENCE_MS = 250, /* of the 300 that it may take */
    EVIDENCE_LINES = 100,
    EVIDENCE_LOG_BYTES = 64 * 1024,
    EVIDENCE_STREAM_LOG_BYTES = 4 * 1024,
    EVIDENCE_FILES = 100
};

/* Uses the agent's loop, settings, engine, prober, maker and publisher, which outlive it. */
struct evidence *evidence_new(struct agent *agent);
void evidence_free(
    struct evidence *evidence); /* captures that are under way end without on_done; NULL is allowed */

/* command and facts (a fresh inspect) are borrowed for the call. on_done comes once, later, and ends the
 * capture. */
struct evidence_capture *evidence_begin(struct evidence *evidence, const struct command *command,
                                        const struct engine_container *facts, void (*on_done)(void *arg),
                                        void *arg);
void evidence_cancel(struct evidence_capture *capture); /* NULL is allowed */

#endif
