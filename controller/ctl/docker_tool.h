/*
 * Runs the `docker` command, which knows every way to an Engine (sockets, TLS, ssh, contexts), and waits for
 * it. It runs in a process group of its own: a Ctrl-C at our terminal does not reach it, cleaning up goes on.
 */
#ifndef DEFIB_CONTROLLER_CTL_DOCKER_TOOL_H
#define DEFIB_CONTROLLER_CTL_DOCKER_TOOL_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum { DOCKER_TOOL_OUTPUT = 4096, DOCKER_TOOL_WORDS = 32 };

/* engine: as `docker -H` takes it; NULL: as DOCKER_HOST and its context say. argv: what follows,
 * NULL-terminated. 0 with the first line of what it printed; -errno with one line where it cannot be run,
 * fails (-EIO, with its own words) or takes too long (-ETIMEDOUT; it is killed). Blocks. */
int docker_tool_run(const char *engine, const char *const *argv, int64_t timeout_ms,
                    char out[DOCKER_TOOL_OUTPUT], struct err *err);

#endif
