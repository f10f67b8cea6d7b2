/*
 * What the decider is told, written down as ACTION_INPUT for a later replay: only what it moved for, and
 * where a row of words that changed nothing ends. Pure. Does nothing until recording begins.
 */
#ifndef DEFIB_CONTROLLER_CORE_DECIDER_INPUT_H
#define DEFIB_CONTROLLER_CORE_DECIDER_INPUT_H

#include "controller/core/decider_inner.h"
#include "proto/journal.h"

/* The work of decider_record, decider_resume and decider_heard_beat. */
void decider_input_begin(struct decider *decider, const char *settings);
void decider_input_resume(struct decider *decider, const struct journal_input *start);

void decider_input_heard_beat(struct decider *decider, const struct heartbeat *beat);

/* Something moved: a fact, a state, a count. Words under way when this is called are written down. */
void decider_input_note(struct decider *decider);

/* What was noted and asked for until now; for decider_input_has_moved. */
uint64_t decider_input_mark(const struct decider *decider);
bool decider_input_has_moved(const struct decider *decider, uint64_t mark);

/* An agent's word on this container: is it what the last one said, and is that written down? */
bool decider_input_is_same_word(const struct container *container, const struct heartbeat *beat);

/* Before it is taken. */
void decider_input_word(struct decider *decider, const struct container *container,
                        const struct heartbeat *beat);

void decider_input_beat(struct decider *decider, const struct heartbeat *beat, uint64_t mark);

/* Before the inventory is taken: what of it is new. Given; NULL where nothing is recorded, or all of it was.
 */
bool *decider_input_compare(const struct decider *decider, const struct registration *registration);

/* Behind it. Takes the comparison. */
void decider_input_registration(struct decider *decider, const struct registration *registration,
                                enum path path, bool *is_changed, uint64_t mark);

/* The host's inventory is not written down yet: it shall be sent as a whole. */
bool decider_input_wants_whole(const struct decider *decider, const char *host);
void decider_input_unchanged(struct decider *decider, const char *host, const char *agent, uint64_t change,
                             enum path path, uint64_t mark);

/* A host was heard by this path, or (PATH_N) its inventory vouched for. */
void decider_input_heard(struct decider *decider, struct host *host, int path);

void decider_input_heard_agent(struct decider *decider, struct container *container); /* by a beat */

/* Looks for silences; at the regular looks after hosts and containers. */
void decider_input_host(struct decider *decider, struct host *host);
void decider_input_container(struct decider *decider, struct container *container);

void decider_input_tilt(struct decider *decider, struct mono since);

/* `has_looked`: a container's turn came, although it may have moved nothing. */
void decider_input_tick(struct decider *decider, uint64_t mark, struct mono due, bool has_looked);

/* Another one leads: nothing is recorded until it begins anew. */
void decider_input_end(struct decider *decider);
void decider_input_fini(struct decider *decider);

void decider_input_redis(struct decider *decider, enum redis_state state);
void decider_input_key(struct decider *decider, const char *container, enum key_finding finding);
void decider_input_state(struct decider *decider, const char *container, const struct restart_state *state);
void decider_input_reset(struct decider *decider, const char *container);
void decider_input_forget(struct decider *decider, const char *host);
void decider_input_stored(struct decider *decider, const char *container, uint64_t token,
                          enum stored_in where);
void decider_input_sent(struct decider *decider, const char *container, const struct command_id *id);
void decider_input_answer(struct decider *decider, const char *container, const struct command_id *id,
                          int status, const struct answer *answer);
void decider_input_hold(struct decider *decider, const char *kind, const char *name, bool is_held,
                        struct wall until);

/* The lease is ours, or its time is over: written down where that is new. */
void decider_input_leader(struct decider *decider);

#endif
