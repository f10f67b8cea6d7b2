/*
 * May this agent carry this command out, on what it sees right now? Pure: facts in, one answer with a reason
 * out. Asked twice for each command: with the container table's facts at receipt, and with a fresh inspect
 * just before Docker is asked.
 *
 * The checks are a list and the first that objects is the answer. Whatever is not plainly known is refused: a
 * command that was refused wrongly costs the controller one more look, one carried out wrongly an outage.
 */
#ifndef DEFIB_AGENT_CORE_COMMAND_GATE_H
#define DEFIB_AGENT_CORE_COMMAND_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/core/outcome_log.h"
#include "proto/command.h"
#include "proto/limits.h"
#include "proto/vocabulary.h"

/*
 * How often one container may be changed, whoever asks and with whatever ids. Far above any sane policy (the
 * runbook's is 3 in 600 s): every command must name an incarnation that died or is sick, so this only catches
 * a controller gone wild on a container that keeps dying, and whoever stole its key.
 */
enum {
    COMMAND_GATE_SHORT_MS = 10 * 1000,
    COMMAND_GATE_SHORT_MAX = 30,
    COMMAND_GATE_LONG_MS = 600 * 1000,
    COMMAND_GATE_LONG_MAX = 60
};

/* One container as the agent sees it. A plain value. */
struct command_facts {
    char container_id[LIMIT_ID_SIZE];
    char started_at[LIMIT_TIME_SIZE]; /* Docker's State.StartedAt; "": not inspected yet */
    enum container_state state;
    enum stop_class stop_class;
    bool is_stopping;          /* it runs, and somebody just asked it to end */
    bool is_docker_restarting; /* Docker's own policy is about to start it */
    bool is_parent_down;       /* what it shares a namespace with does not run: it cannot be started */
    bool is_engine_up;         /* its events are heard; false while Docker or the host shuts down */
    const char *denied;        /* borrowed: why it is never touched (container_table_is_denied), or NULL */
};

struct command_gate_input {
    const struct command *command;     /* op is OP_RESTART or OP_START */
    const char *host;                  /* ours */
    int64_t age_ms;                    /* since the command came in */
    uint64_t epoch;                    /* the highest seen */
    const struct outcome *known;       /* what is remembered of this id, or NULL */
    bool is_in_flight;                 /* this very id is being worked on */
    const struct command_facts *facts; /* NULL: no watched container has this name */
    bool is_listed;                    /* all containers were listed: what is not known does not exist */
    bool is_busy;                      /* another command for this container is being worked on */
    size_t changes_short;              /* of this container within COMMAND_GATE_SHORT_MS */
    size_t changes_long;               /* within COMMAND_GATE_LONG_MS */
};

struct command_verdict {
    enum answer_code code;          /* ANSWER_ACCEPTED with an act: go ahead */
    enum command_op act;            /* OP_START, OP_RESTART; OP_UNKNOWN: nothing is to be done */
    bool is_replay;                 /* the answer is what is remembered of this id */
    char detail[LIMIT_DETAIL_SIZE]; /* "" only for ANSWER_ACCEPTED with an act */
};

void command_gate_judge(const struct command_gate_input *input, struct command_verdict *out);

#endif
