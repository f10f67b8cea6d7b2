/*
 * What the settings must be beside each other and beyond their type: addresses, names, lists, and the values
 * that follow from others. The inside of settings.c.
 */
#ifndef DEFIB_COMMON_SETTINGS_RULES_H
#define DEFIB_COMMON_SETTINGS_RULES_H

#include <stdbool.h>

#include "common/err.h"
#include "common/settings.h"

/* Checks the program's own settings and fills in what they leave open (host name, id, prefix, SETTLE_SECS,
 * RESTART_STABLE_SECS, redis_url, watch). Reads the host's name and the pid. 0, or -EINVAL with the one line
 * for people. */
int settings_rules_apply(enum settings_program program, struct settings *settings, struct err *err);

/* See settings_is_local_url. Pure. */
bool settings_rules_is_local(const char *url);

#endif
