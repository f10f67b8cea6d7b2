/*
 * Names of keys and channels in Redis (contract.md). Pure.
 *
 * The builders write NUL-terminated text and return its length; a name that does not fit is a bug of the
 * caller, who keeps names within LIMIT_NAME_SIZE: they assert.
 */
#ifndef DEFIB_PROTO_KEYS_H
#define DEFIB_PROTO_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/limits.h"

#define KEY_CHANNEL_HEARTBEATS "health:heartbeats"
#define KEY_CHANNEL_ALERTS     "system:alerts"
#define KEY_STREAM_EVENTS      "health:events"
#define KEY_STREAM_EVENTS_KEPT "10000" /* MAXLEN ~ */
#define KEY_LEADER             "health:leader"
#define KEY_LEADER_EPOCH       "health:leader:epoch"
#define KEY_CONTROLLERS        "health:controllers"
#define KEY_MARKER             "health:marker"
#define KEY_HEARTBEAT_PREFIX   "health:hb:"
#define KEY_RESTART_PREFIX     "health:restart:"
#define KEY_AGENT_PREFIX       "health:agent:"
#define KEY_INTENT_PREFIX      "health:intent:"
#define KEY_HOLD_PREFIX        "health:hold:"
#define KEY_CONTROLLER_PREFIX  "health:controller:"

#define KEY_SIZE (2 * LIMIT_NAME_SIZE + 32)

size_t key_heartbeat(char out[KEY_SIZE], const char *service, const char *instance);
size_t key_restart(char out[KEY_SIZE], const char *container);
size_t key_agent(char out[KEY_SIZE], const char *host);
size_t key_intent(char out[KEY_SIZE], const char *container);
size_t key_controller(char out[KEY_SIZE], const char *id);

/* kind is "all", "host", "service" or "container"; for all the name is "all" as well. */
size_t key_hold(char out[KEY_SIZE], const char *kind, const char *name);

/* Takes `health:hb:{service}:{instance}` apart at the last colon, other prefixed keys behind the prefix.
 * False where the key is not of that kind, or a part is empty, too long, not UTF-8 or holds control
 * characters; the outputs are then undefined. */
bool key_split_heartbeat(const char *key, size_t len, char service[LIMIT_NAME_SIZE],
                         char instance[LIMIT_NAME_SIZE]);
bool key_strip_prefix(const char *key, size_t len, const char *prefix, char name[LIMIT_NAME_SIZE]);

#endif
