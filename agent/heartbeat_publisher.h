/*
 * Beats and the registration into Redis: all containers every HEARTBEAT_INTERVAL_SECS in one pipelined write,
 * what changed at the end of the turn of the loop in which it changed.
 *
 * Keys belong to whoever beats: with `auto` the key is read before it is first written, and every write
 * brings back what stood there (SET … GET; Redis before 6.2: GET, then SET). Somebody else's beat means that
 * the service beats for itself; from then on the agent keeps off. While Redis is away nothing queues up: on
 * its return everything is published afresh.
 */
#ifndef DEFIB_AGENT_HEARTBEAT_PUBLISHER_H
#define DEFIB_AGENT_HEARTBEAT_PUBLISHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/command.h"

struct agent;
struct heartbeat_publisher;

/* Uses the agent's loop, table, stream and settings, which outlive it. Starts connecting at once. */
struct heartbeat_publisher *heartbeat_publisher_new(struct agent *agent);
void heartbeat_publisher_free(struct heartbeat_publisher *publisher); /* NULL is allowed */

/* Publishes what changed in the table and, where something did, the registration. */
void heartbeat_publisher_flush(struct heartbeat_publisher *publisher);

/* The registration as it stands now. Fresh text, given; NULL where it would be too large. */
char *heartbeat_publisher_registration(struct heartbeat_publisher *publisher, size_t *len);

/* A command over its connection, whatever comes of it; dropped while Redis is away. Borrows. */
void heartbeat_publisher_send(struct heartbeat_publisher *publisher, int argc, const char *const *argv);

/* Up: connected, and the last write was taken. Unknown until the first try to connect has ended: a "down" is
 * evidence that nobody has Redis, and a controller may lead on by it. */
enum redis_word heartbeat_publisher_redis(const struct heartbeat_publisher *publisher);

#endif
