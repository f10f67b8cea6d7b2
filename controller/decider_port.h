/*
 * What every module of the controller's shell needs to bring facts to the decider: the decider itself, the
 * loop's time, and a bell. After one or more decider_* calls a module rings decider_port_told, and the
 * controller performs what has come of them. It may be rung from within an action; it then returns at once.
 */
#ifndef DEFIB_CONTROLLER_DECIDER_PORT_H
#define DEFIB_CONTROLLER_DECIDER_PORT_H

#include "common/clock.h"
#include "common/loop.h"
#include "controller/core/decider.h"

/* A plain value; all borrowed. */
struct decider_port {
    struct decider *decider;
    struct loop *loop;
    void (*on_told)(void *arg);
    void *arg;
};

static inline struct mono decider_port_now(const struct decider_port *port)
{
    return loop_now(port->loop);
}

static inline void decider_port_told(const struct decider_port *port)
{
    port->on_told(port->arg);
}

#endif
