/*
 * The controller's HTTP side: the page at /, /healthz, /readyz, /metrics, /api/v1/… It looks on and never
 * decides: what it changes it changes as an operator would, by keys in Redis and commands to agents.
 *
 * The controller works the same without it. An address that cannot be listened on is told, and tried again.
 */
#ifndef DEFIB_CONTROLLER_SERVE_SERVE_H
#define DEFIB_CONTROLLER_SERVE_SERVE_H

#include "common/err.h"
#include "common/loop.h"
#include "common/settings.h"
#include "controller/controller.h"

struct serve;

/* Borrows all until it is closed. -errno with one line where DEFIB_HTTP_TOKEN_FILE is of no use. */
int serve_open(struct loop *loop, const struct settings *settings, struct controller *controller,
               struct serve **out, struct err *err);

void serve_reload(struct serve *serve); /* SIGHUP: the token, anew */

/* After loop_run, before controller_close. */
void serve_close(struct serve *serve);

#endif
