/*
 * defibctl drill: the runbook's tests on a container of their own, which is removed again, also at Ctrl-C.
 */
#ifndef DEFIB_CONTROLLER_CTL_DRILL_COMMAND_H
#define DEFIB_CONTROLLER_CTL_DRILL_COMMAND_H

#include "controller/ctl/ctl.h"

#define DRILL_COMMAND_USAGE \
    "drill test1|test2|test3 [--host HOST] [--docker ENGINE] [--image IMAGE] [--timeout 10m]"

/* CTL_FINE where all that the runbook expects came, CTL_FAILED where something did not. */
int drill_command_run(struct ctl *ctl, int argc, char **argv);

#endif
