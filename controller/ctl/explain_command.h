/*
 * defibctl explain: why a container is, or is not, being restarted; now, or at a time in the past.
 */
#ifndef DEFIB_CONTROLLER_CTL_EXPLAIN_COMMAND_H
#define DEFIB_CONTROLLER_CTL_EXPLAIN_COMMAND_H

#include "controller/ctl/ctl.h"

#define EXPLAIN_COMMAND_USAGE "explain CONTAINER [--last N] [--at 2h|HH:MM|TIME] [--json]"

int explain_command_run(struct ctl *ctl, int argc, char **argv);

#endif
