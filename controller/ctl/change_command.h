/*
 * defibctl hold, release, reset, restart: what an operator changes. By the API where the token is there, else
 * by the keys in Redis, and it says so.
 */
#ifndef DEFIB_CONTROLLER_CTL_CHANGE_COMMAND_H
#define DEFIB_CONTROLLER_CTL_CHANGE_COMMAND_H

#include "controller/ctl/ctl.h"

#define CHANGE_COMMAND_HOLD_USAGE \
    "hold all | [host|service|container] NAME (--for 30m | --forever) [--reason TEXT]"
#define CHANGE_COMMAND_RELEASE_USAGE "release all | [host|service|container] NAME [--reason TEXT]"
#define CHANGE_COMMAND_RESET_USAGE   "reset CONTAINER [--reason TEXT]"
#define CHANGE_COMMAND_RESTART_USAGE "restart CONTAINER [--reason TEXT]"

#define CHANGE_COMMAND_DECOMMISSION_USAGE "decommission HOST [--reason TEXT]"

int change_command_hold(struct ctl *ctl, int argc, char **argv);
int change_command_release(struct ctl *ctl, int argc, char **argv);
int change_command_reset(struct ctl *ctl, int argc, char **argv);
int change_command_decommission(struct ctl *ctl, int argc, char **argv);
int change_command_restart(struct ctl *ctl, int argc, char **argv);

#endif
