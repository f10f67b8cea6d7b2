/*
 * The controller's shell: brings facts from Redis and the agents to the decider, performs what it answers,
 * and wakes it when it wants to be woken. It decides nothing.
 *
 *   heartbeat_consumer, hold_watch, restart_store, agent_link  ->  decider  ->  restart_store, agent_link,
 *                                                                               alert_outbox, log
 */
#ifndef DEFIB_CONTROLLER_CONTROLLER_H
#define DEFIB_CONTROLLER_CONTROLLER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/loop.h"
#include "common/settings.h"
#include "controller/agent_link.h"
#include "controller/alert_outbox.h"
#include "controller/core/decider.h"
#include "controller/heartbeat_consumer.h"
#include "controller/hold_watch.h"
#include "controller/redis_session.h"
#include "controller/webhook.h"

struct controller;

/* Makes the state folder, reads what an earlier process left there, and starts connecting. Borrows the
 * settings. 0, or -errno with one line that names the setting. *out is given. */
int controller_open(struct loop *loop, const struct settings *settings, struct controller **out,
                    struct err *err);

/* SIGHUP: the key file, anew. What cannot be read leaves the old keys in force and says so. */
void controller_reload(struct controller *controller);

/* SIGUSR1: what it is and what it knows, into the log. */
void controller_describe(struct controller *controller);

/* Ends the loop once Redis has answered what is under way, within a second; called again: at once. */
void controller_stop(struct controller *controller);

void controller_close(struct controller *controller);

/* ---- for those who look on (serve/); the controller works the same without them ---- */

/* Each action of the decider, before it is performed; borrowed for the call, which must change nothing of the
 * controller's. NULL: nobody any more. */
void controller_watch(struct controller *controller,
                      void (*on_action)(void *arg, const struct action *action), void *arg);

/* The parts, borrowed until it is closed. */
struct controller_parts {
    const struct decider *decider;
    struct redis_session *session;
    struct hold_watch *holds;
    struct agent_link *agents;
    struct alert_outbox *outbox;
    const struct heartbeat_consumer *consumer;
    struct webhook *webhook; /* NULL: none */
};
void controller_parts(const struct controller *controller, struct controller_parts *out);

/* What an operator may want of it: decider_forget_host, and its agent is no longer asked. */
bool controller_forget_host(struct controller *controller, const char *host);

struct controller_health {
    bool is_watching; /* the first load is complete, or Redis is away: it decides */
    bool is_stopping;
    int64_t late_ms;     /* how long the decider waits for its turn */
    int64_t late_max_ms; /* the most it ever had to */
    uint64_t heartbeats; /* messages of health:heartbeats since the start */
    const char *leader;  /* the id of the controller that leads, ours too; "" where it is not known */
};
void controller_health(const struct controller *controller, struct controller_health *out);

#endif
