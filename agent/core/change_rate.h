/*
 * When each container was changed by a command, for the gate's bound on the rate. Pure.
 *
 * Remembers the last COMMAND_GATE_LONG_MAX changes of a name; a name whose last change is older than
 * COMMAND_GATE_LONG_MS is forgotten.
 */
#ifndef DEFIB_AGENT_CORE_CHANGE_RATE_H
#define DEFIB_AGENT_CORE_CHANGE_RATE_H

#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"

struct change_rate;

struct change_rate *change_rate_new(void);
void change_rate_free(struct change_rate *rate); /* NULL is allowed */

void change_rate_note(struct change_rate *rate, const char *container, struct mono now);
size_t change_rate_count(const struct change_rate *rate, const char *container, int64_t within_ms,
                         struct mono now);
size_t change_rate_names(const struct change_rate *rate);

#endif
