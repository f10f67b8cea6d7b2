/*
 * defibctl export: the stream health:events as it stands in Redis, on stdout, in the form of
 * `redis-cli --raw XRANGE health:events - +`: what `defib-controller --replay` reads.
 */
#ifndef DEFIB_CONTROLLER_CTL_EXPORT_COMMAND_H
#define DEFIB_CONTROLLER_CTL_EXPORT_COMMAND_H

#include "controller/ctl/ctl.h"

#define EXPORT_COMMAND_USAGE "export [--since 2h|HH:MM|TIME] [--until 2h|HH:MM|TIME]"

int export_command_run(struct ctl *ctl, int argc, char **argv);

#endif
