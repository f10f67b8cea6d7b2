/*
 * Heartbeats and registrations, from Redis to the decider: the channel as the hint, the keys as the truth.
 *
 * Every read asks for the marker in the same MGET, so an emptied Redis is never taken for silence. Bad bytes
 * from anywhere are told once per source and period, and touch nothing else. Reads are coalesced: one MGET
 * for all that one turn of the loop wants, one read per host at a time.
 */
#ifndef DEFIB_CONTROLLER_HEARTBEAT_CONSUMER_H
#define DEFIB_CONTROLLER_HEARTBEAT_CONSUMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controller/agent_link.h"
#include "controller/decider_port.h"
#include "controller/hold_watch.h"
#include "controller/redis_session.h"
#include "controller/warning_limiter.h"

struct heartbeat_consumer;

struct heartbeat_consumer_options {
    struct decider_port port; /* all borrowed */
    struct redis_session *session;
    struct agent_link *agents; /* is told where agents are, and knows the hosts */
    struct hold_watch *holds;
    struct warning_limiter *warnings;
    int64_t check_interval_ms;
};

struct heartbeat_consumer *heartbeat_consumer_new(const struct heartbeat_consumer_options *options);
void heartbeat_consumer_free(struct heartbeat_consumer *consumer); /* after the session was closed */

/* A message of health:heartbeats. */
void heartbeat_consumer_message(struct heartbeat_consumer *consumer, const char *payload, size_t len);

/* A health:hb:* or health:agent:* key that the load found. */
void heartbeat_consumer_take_beat(struct heartbeat_consumer *consumer, const char *key, size_t key_len,
                                  const char *value, size_t len);
void heartbeat_consumer_take_registration(struct heartbeat_consumer *consumer, const char *key,
                                          size_t key_len, const char *value, size_t len);

/* Registrations that were read before are news again. */
void heartbeat_consumer_forget(struct heartbeat_consumer *consumer);

/* ACTION_READ_KEY: the beat key, the registration of the host, and the holds that would cover the container
 * are wanted. Borrows all; calls no decider function. */
void heartbeat_consumer_want_key(struct heartbeat_consumer *consumer, const char *container,
                                 const char *service, const char *instance, const char *host);

/* Sends what is wanted. While Redis is away every wanted key is answered KEY_UNREADABLE, at once. True where
 * the decider was told something. */
bool heartbeat_consumer_flush(struct heartbeat_consumer *consumer);

/* Each host whose registration came by Redis, with its agent's own counters as they stood there last, until
 * visit returns false; borrowed for the call. */
typedef bool (*heartbeat_consumer_visit)(void *arg, const char *host,
                                         const struct registration_counter *counters, size_t count);
void heartbeat_consumer_each_agent(const struct heartbeat_consumer *consumer, heartbeat_consumer_visit visit,
                                   void *arg);

#endif
