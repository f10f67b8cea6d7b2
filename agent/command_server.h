/*
 * The agent's door for controllers: nng REP on DEFIB_LISTEN, wired to the desk, the runner, the disk and
 * Docker.
 *
 * All on the loop's thread; only opening and closing block (the file's start-up read, nng's joins).
 */
#ifndef DEFIB_AGENT_COMMAND_SERVER_H
#define DEFIB_AGENT_COMMAND_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "agent/command_desk.h"
#include "common/err.h"
#include "proto/envelope.h"

struct agent;
struct command_server;

/* Uses the agent's loop, table, engine, settings and keys, which outlive it; agent->engine is freed after it.
 * 0 and a server, given; or -errno with one line. A state directory that cannot be used is logged and no
 * error: the agent watches on, and refuses every command. */
int command_server_open(struct agent *agent, struct command_server **out, struct err *err);
void command_server_close(struct command_server *server); /* NULL is allowed */

/* With the real port. Borrowed. */
const char *command_server_url(const struct command_server *server);

/* The highest that was heard. */
uint64_t command_server_epoch(const struct command_server *server);

/* After SIGHUP. Copies them; requests in flight are not affected. */
void command_server_set_keys(struct command_server *server, const struct key_ring *keys);

/* After SIGHUP. The certificate files are read again, if TLS is in use. 0, or -errno: all stays as it was. */
int command_server_renew(struct command_server *server, struct err *err);

size_t command_server_in_flight(const struct command_server *server);
struct command_desk_counters command_server_counters(const struct command_server *server);

#endif
