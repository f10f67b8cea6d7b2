/* The settings that the policy goes by: for the decider, and for the journal. */
#ifndef DEFIB_CONTROLLER_POLICY_SETTINGS_H
#define DEFIB_CONTROLLER_POLICY_SETTINGS_H

#include "common/settings.h"
#include "controller/core/policy_config.h"

/* *out borrows the lists of the settings. */
void policy_settings_fill(const struct settings *settings, struct policy_config *out);

/* A JSON object NAME -> text; those that were derived from others are left out. Fresh text, given. */
char *policy_settings_to_json(const struct settings *settings);

#endif
