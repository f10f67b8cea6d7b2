/*
 * The fleet as JSON: the controller's own documents as one, or, from Redis or the agents, the same names with
 * `source` and `note` beside them. Pure; fresh texts, given.
 */
#ifndef DEFIB_CONTROLLER_CTL_FLEET_JSON_H
#define DEFIB_CONTROLLER_CTL_FLEET_JSON_H

#include "controller/ctl/fleet.h"
#include "controller/ctl/fleet_view.h"

/* With those containers alone that the filter asks for. */
char *fleet_json_all(const struct fleet *fleet, const struct fleet_view_filter *filter);

/* {"container": …} of one that is not from the controller. */
char *fleet_json_row(const struct fleet *fleet, const struct fleet_row *row);

/* Its member `attempts`: null where they are not known. */
struct json_writer;
void fleet_json_attempts(struct json_writer *writer, const struct fleet_row *row);

#endif
