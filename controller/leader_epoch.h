/*
 * The epoch that commands carry: it only grows, and agents refuse older ones. Kept on disk, in Redis
 * (`health:leader:epoch`), and by the agents; the highest of the three counts. Every start takes a new one.
 */
#ifndef DEFIB_CONTROLLER_LEADER_EPOCH_H
#define DEFIB_CONTROLLER_LEADER_EPOCH_H

#include <stdint.h>

#include "controller/decider_port.h"
#include "controller/redis_session.h"

struct leader_epoch;

/* Takes the disk's epoch plus one, writes it, and tells the decider. The dir is copied. */
struct leader_epoch *leader_epoch_open(const char *state_dir, const struct decider_port *port,
                                       struct redis_session *session);
void leader_epoch_close(struct leader_epoch *epoch); /* after the session was closed */

uint64_t leader_epoch_now(const struct leader_epoch *epoch);

/* An agent knows of this one. */
void leader_epoch_heard(struct leader_epoch *epoch, uint64_t heard);

/* Redis takes writes again: the first time since our start it counts us in; later only if it fell behind. */
void leader_epoch_redis_back(struct leader_epoch *epoch);

#endif
