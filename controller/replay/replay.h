/*
 * What if: a recorded journal once more through the core, with other settings. Blocks; needs no Redis, no
 * agents.
 */
#ifndef DEFIB_CONTROLLER_REPLAY_REPLAY_H
#define DEFIB_CONTROLLER_REPLAY_REPLAY_H

#include <stdio.h>

#include "common/config.h"
#include "common/err.h"

/* Settings are those of the recording, but for those that `lookup` knows. Prints what would have been done
 * and how that differs from what was done. 0, or -errno with one line on a journal that cannot be read, or a
 * setting that is not allowed. */
int replay_run(const char *path, config_lookup lookup, void *arg, FILE *out, struct err *err);

#endif
