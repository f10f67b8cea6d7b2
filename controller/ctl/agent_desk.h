/*
 * Asks agents directly, over nng, and waits for the answer, turning the loop meanwhile: for what defibctl
 * does while nobody else answers. It only asks how things are: who does not lead commands nothing.
 */
#ifndef DEFIB_CONTROLLER_CTL_AGENT_DESK_H
#define DEFIB_CONTROLLER_CTL_AGENT_DESK_H

#include <stdbool.h>

#include "common/err.h"
#include "common/loop.h"
#include "common/settings.h"
#include "proto/registration.h"

/* Calls visit for each agent of which it is known here where it is reached: DEFIB_AGENTS, and what a
 * controller of this machine remembered in DEFIB_STATE_DIR. Some may come twice. */
void agent_desk_each(const struct settings *settings,
                     void (*visit)(void *arg, const char *host, const char *url), void *arg);

/* Its inventory, to be finished where 0 is returned. Else -errno with one line: no way there, no good MAC,
 * another host than it should be. */
int agent_desk_ask(struct loop *loop, const struct settings *settings, const char *host, const char *url,
                   struct registration *out, struct err *err);

#endif
