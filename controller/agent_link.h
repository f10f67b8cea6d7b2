/*
 * The second path: one REQ socket per agent, for commands, their outcomes, and the question how things are.
 *
 * Every agent is pinged regularly, which proves the path; its answer tells the inventory's change, and only
 * where that is new the document itself is asked for. While Redis is away, or a host's registration is
 * silent, the inventory is asked for several times within a fast check. Requests are signed; an answer counts
 * only with a good MAC, the request's id and the right host.
 */
#ifndef DEFIB_CONTROLLER_AGENT_LINK_H
#define DEFIB_CONTROLLER_AGENT_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/latency.h"
#include "common/rpc.h"
#include "controller/decider_port.h"
#include "controller/leader_lease.h"
#include "controller/warning_limiter.h"
#include "proto/envelope.h"

struct agent_link;

struct agent_link_options {
    struct decider_port port; /* all borrowed */
    struct leader_lease *lease;
    struct warning_limiter *warnings;
    const char *state_dir;
    const char *agents_text; /* DEFIB_AGENTS */
    const struct rpc_tls
        *tls; /* copied, the files' names borrowed; NULL: none. Its server_name is not used */
    const struct key_ring *keys; /* copied */
    int64_t ping_ms;
    int64_t ask_ms;     /* the inventory, while it is the only path */
    int64_t silence_ms; /* a registration older than this is silent */
};

/* -EINVAL for DEFIB_AGENTS. Opens what it names and what the disk remembers. *out is given. */
int agent_link_open(const struct agent_link_options *options, struct agent_link **out, struct err *err);
void agent_link_close(struct agent_link *link); /* open requests end without a word to the decider */

void agent_link_set_keys(struct agent_link *link, const struct key_ring *keys);

/* Connections over TLS are made anew, with the certificate files as they are now. */
void agent_link_renew(struct agent_link *link);

/* A fresh registration of this host came by Redis: where it is reached, and that this path is not silent. */
void agent_link_learn(struct agent_link *link, const char *host, const char *url, uint64_t epoch);

/* All agents are asked for their whole inventory now, and hear our epoch. */
void agent_link_ask_all(struct agent_link *link);

void agent_link_redis_away(struct agent_link *link, bool is_away);

/* ACTION_SEND and ACTION_ASK; ends in decider_answered, also at once where there is no way. Borrows all. */
void agent_link_send(struct agent_link *link, const char *host, const struct command *command,
                     int64_t timeout_ms);

/* An operator's command, which is none of the decider's; the epoch is given here. The callback comes once,
 * unless the link is closed before: status and answer as in decider_answered. -ENOTCONN where there is no
 * way. Borrows all. */
typedef void (*agent_link_callback)(void *arg, int status, const struct answer *answer);
int agent_link_ask(struct agent_link *link, const char *host, const struct command *command,
                   int64_t timeout_ms, agent_link_callback callback, void *arg);

/* Of all answers that count, inventories left out: those are as long as they are. */
const struct latency *agent_link_latency(const struct agent_link *link);

/* It is no longer asked, nor remembered, unless DEFIB_AGENTS names it. */
void agent_link_forget(struct agent_link *link, const char *host);

/* Calls visit for every host that is known here. */
void agent_link_each(const struct agent_link *link, void (*visit)(void *arg, const char *host), void *arg);

#endif
