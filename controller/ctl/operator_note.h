/*
 * Who did what, when and why, on the stream health:events: written by defibctl where it is not the controller
 * that does it.
 */
#ifndef DEFIB_CONTROLLER_CTL_OPERATOR_NOTE_H
#define DEFIB_CONTROLLER_CTL_OPERATOR_NOTE_H

#include "controller/ctl/ctl.h"
#include "proto/limits.h"

/* user@machine: the one behind sudo. */
void operator_note_who(char out[LIMIT_NAME_SIZE]);

/* kind: all, host, service or container. 0, or -errno with one line. */
int operator_note_write(struct ctl *ctl, const char *action, const char *kind, const char *name,
                        const char *detail, struct err *err);

#endif
