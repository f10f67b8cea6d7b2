/*
 * The controller's shell: brings facts from Redis and the agents to the decider, performs what it answers,
 * and wakes it when it wants to be woken. It decides nothing.
 *
 *   heartbeat_consumer, hold_watch, restart_store, agent_link  ->  decider  ->  restart_store, agent_link,
 *                                                                               alert_outbox, log
 */
#ifndef DEFIB_CONTROLLER_CONTROLLER_H
#define DEFIB_CONTROLLER_CONTROLLER_H

#include "common/err.h"
#include "common/loop.h"
#include "common/settings.h"

struct controller;

/* Makes the state folder, reads what an earlier process left there, and starts connecting. Borrows the
 * settings. 0, or -errno with one line that names the setting. *out is given. */
int controller_open(struct loop *loop, const struct settings *settings, struct controller **out,
                    struct err *err);

/* SIGHUP: the key file, anew. What cannot be read leaves the old keys in force and says so. */
void controller_reload(struct controller *controller);

/* Ends the loop once Redis has answered what is under way, within a second; called again: at once. */
void controller_stop(struct controller *controller);

void controller_close(struct controller *controller);

#endif
