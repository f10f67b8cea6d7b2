/*
 * Tells those who guard the guard that it is well: systemd (READY=1, WATCHDOG=1) and whoever listens at
 * DEFIB_HEARTBEAT_URL, which is fetched every minute (at a quicker pace of checks four of them).
 *
 * Well means: the fleet is watched, and decisions are made in time. One that is not well says nothing:
 * systemd then starts it anew, and the dead man's switch tells people.
 */
#ifndef DEFIB_CONTROLLER_LIFE_SIGN_H
#define DEFIB_CONTROLLER_LIFE_SIGN_H

#include "common/loop.h"
#include "common/settings.h"
#include "controller/controller.h"

struct life_sign;

/* Borrows all until it is freed. */
struct life_sign *life_sign_new(struct loop *loop, const struct settings *settings,
                                const struct controller *controller);
void life_sign_free(struct life_sign *sign);

#endif
