/*
 * Probes that need no library: a TCP connect, a PING to Redis, the first exchange with Postgres, and over
 * plain HTTP the status line alone, which costs little more than the connection itself (with TLS or a wanted
 * body see probe_http.h). Never blocks; names are looked up on a thread of their own (common/resolver).
 *
 * TCP is well once connected. Redis is well when it answers PONG (behind AUTH, where a password is given).
 * Postgres is well when it takes a start-up message, as pg_isready sees it: a demand for a password will do;
 * "starting up", "shutting down", "too many connections" will not.
 */
#ifndef DEFIB_AGENT_PROBE_SOCKET_H
#define DEFIB_AGENT_PROBE_SOCKET_H

#include <stdint.h>

#include "agent/core/probe_spec.h"
#include "common/loop.h"

struct probe_socket;

/* failure: NULL, or why, one line, borrowed for the call. Exactly once, never from within start, unless
 * cancelled. The probe is over by then. */
typedef void (*probe_callback)(void *arg, const char *failure);

/* kind PROBE_TCP, PROBE_REDIS, PROBE_POSTGRES or PROBE_HTTP; spec is borrowed until the end, host is copied:
 * a name or an address. */
struct probe_socket *probe_socket_start(struct loop *loop, const struct probe_spec *spec, const char *host,
                                        probe_callback on_done, void *arg);
void probe_socket_cancel(struct probe_socket *probe); /* no callback any more; NULL is allowed */

#endif
