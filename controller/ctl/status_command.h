/*
 * defibctl status, show: what is.
 */
#ifndef DEFIB_CONTROLLER_CTL_STATUS_COMMAND_H
#define DEFIB_CONTROLLER_CTL_STATUS_COMMAND_H

#include "controller/ctl/ctl.h"
#include "controller/ctl/fleet.h"
#include "controller/ctl/fleet_view.h"

#define STATUS_COMMAND_USAGE      "status [--host HOST] [--service SERVICE] [--state STATE] [--json]"
#define STATUS_COMMAND_SHOW_USAGE "show CONTAINER [--json]"

/* Each gets the words behind the command's own and returns the exit code. */
int status_command_run(struct ctl *ctl, int argc, char **argv);
int status_command_show(struct ctl *ctl, int argc, char **argv);

/* GET prefix + name: CTL_FINE with a 200 in *out; CTL_FAILED, told; -1 where the controller does not answer.
 */
int status_command_ask(struct ctl *ctl, const char *prefix, const char *name, struct api_reply *out);

/* A container in a fleet that is loaded here; else CTL_FAILED, told, with the nearest name. */
int status_command_find(struct ctl *ctl, const char *name, struct fleet *fleet, const struct fleet_row **out);

/* What `status` and `watch` share: a state that may be asked for (true for NULL), and names of a filter that
 * are known; else it was told. */
bool status_command_is_state(const char *state);
int status_command_check_filter(const struct fleet *fleet, const struct fleet_view_filter *filter);
void status_command_print(const struct ctl *ctl, const struct fleet *fleet,
                          const struct fleet_view_filter *filter);

#endif
