/* Which hosts are heard, and which process of an agent speaks for each. Pure. */
#ifndef DEFIB_CONTROLLER_CORE_DECIDER_HOSTS_H
#define DEFIB_CONTROLLER_CORE_DECIDER_HOSTS_H

#include "controller/core/decider_inner.h"

/* The host of that name; made where there is none. */
struct host *decider_hosts_need(struct decider *decider, const char *name);

/* It was heard just now: one that was lost is back. */
void decider_hosts_hear(struct decider *decider, struct host *host, enum path path);

/* The agent's process may be a new one: what its counters say starts over. `registration` is NULL for a beat.
 * False: a late word of an older one. Who is new and who is late cannot be told from a beat: keys of a dead
 * process outlive it. So once there is a registration only another one changes the process, and one that was
 * taken for late is back in its place with its next document. */
bool decider_hosts_take_agent(struct host *host, const char *agent, const struct registration *registration);

/* Before an inventory is taken. Redis' word may be forged, an agent's own over nng is signed: where that one
 * says less than what was believed for longer than any answer travels, all that was believed in its name
 * (change, sequence numbers, another process) no longer counts against it. */
void decider_hosts_meet(struct decider *decider, const struct registration *registration, enum path path);

/* An older word says something else than a newer one: it may be late, or that one was forged. Until an
 * inventory over nng tells, decider_observe_unchanged says false to that path. */
void decider_hosts_doubt(struct decider *decider, struct host *host);

/* Its AGENT_LOST and AGENT_RECOVERED: of one that is frozen, or no longer is. */
void decider_hosts_say_lost(struct decider *decider, struct host *host);
void decider_hosts_say_back(struct decider *decider, struct host *host);

/* As decider_forget_host. */
bool decider_hosts_forget(struct decider *decider, const char *name);

/* Loses those that were silent for too long, and forgets those that were lost for days. */
void decider_hosts_due(struct decider *decider);

#endif
