/*
 * defibctl doctor: the runbook's Troubleshooting as checks that run. Each finding says what to do.
 */
#ifndef DEFIB_CONTROLLER_CTL_DOCTOR_COMMAND_H
#define DEFIB_CONTROLLER_CTL_DOCTOR_COMMAND_H

#include "controller/ctl/ctl.h"

#define DOCTOR_COMMAND_USAGE "doctor [--json]"

/* CTL_FINE where nothing was found, CTL_FAILED where something was. */
int doctor_command_run(struct ctl *ctl, int argc, char **argv);

#endif
