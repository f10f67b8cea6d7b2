/* clang-format off */
/*
 * The fleet as the controller knows it, and what is to be done about it. Pure: facts and `now` go in, a
 * queue of actions comes out; no call here does anything to the world, blocks, logs or reads a clock.
 *
 * The circle for one container that died:
 *
 *   decider_observe_*  ->  decider_tick  ->  ACTION_READ_KEY   -> decider_key_read
 *                                            ACTION_LOG           "... missing heartbeat (1 consecutive ...)"
 *                                            ACTION_STORE      -> decider_stored      before it is sent
 *                                            ACTION_SEND       -> decider_answered    the receipt
 *                                            ACTION_ASK        -> decider_answered    the outcome
 *                                            ACTION_ALERT, ACTION_RECORD
 *
 * The shell drains decider_next_action after every call, and calls decider_tick at decider_wake_at. Each
 * answering call may come late, twice, or never: the decider then goes by its own deadlines.
 *
 * Every `now` is the loop's monotonic time and `wall` the clock at the same moment; wall-clock values only
 * travel into documents and back out of stored ones.
 */
/* clang-format on */
#ifndef DEFIB_CONTROLLER_CORE_DECIDER_H
#define DEFIB_CONTROLLER_CORE_DECIDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "controller/core/policy_config.h"
#include "proto/alert.h"
#include "proto/command.h"
#include "proto/heartbeat.h"
#include "proto/registration.h"
#include "proto/restart_state.h"

struct decider;

/* How something came to us. Silence on a path counts only while that path is proven live. */
enum path { PATH_REDIS, PATH_RPC, PATH_N };

/* config and what it borrows must outlive the decider. `seed` makes jitter and command ids; the shell takes
 * it from getrandom(), tests fix it. It starts settling at `now` (SETTLE_SECS). */
struct decider *decider_new(const struct policy_config *config, const uint64_t seed[2], struct mono now);
void decider_free(struct decider *decider);

/* ---- facts in; all arguments are borrowed ---- */

/* A beat from the channel, or from a key that was read. True where it comes from another process of the agent
 * than the registration, or names a container that was not known, or by another id: the registration tells
 * more. */
bool decider_observe_beat(struct decider *decider, const struct heartbeat *beat, struct mono now,
                          struct wall wall);

/* An agent's inventory, by either path: containers that no longer stand in it are gone (two in a row). */
void decider_observe_registration(struct decider *decider, const struct registration *registration,
                                  enum path path, struct mono now, struct wall wall);

/* The agent spoke and has nothing new: its process and change are those we know. False: we know others;
 * the shell must then fetch the whole document. */
bool decider_observe_unchanged(struct decider *decider, const char *host, const char *agent, uint64_t change,
                               enum path path, struct mono now);

/* Redis came up (same data as before, or amnesic: run id changed, marker gone) or went away. While it is
 * away, and for one TTL after it returned, its silence counts for nothing. */
enum redis_state { REDIS_AWAY, REDIS_BACK, REDIS_BACK_AMNESIC };
void decider_redis(struct decider *decider, enum redis_state state, struct mono now, struct wall wall);

/* The answer to ACTION_READ_KEY: the key is there (observe the beat first), is not there, holds something
 * that is no heartbeat, or could not be read. */
enum key_finding { KEY_PRESENT, KEY_ABSENT, KEY_INVALID, KEY_UNREADABLE };
void decider_key_read(struct decider *decider, const char *container, enum key_finding finding,
                      struct mono now, struct wall wall);

/* A stored restart state: at start-up, after a takeover, or when Redis returned (then merged). */
void decider_state_loaded(struct decider *decider, const char *container, const struct restart_state *state,
                          struct mono now, struct wall wall);

/* The operator deleted `health:restart:{container}`: a fresh budget. */
void decider_state_reset(struct decider *decider, const char *container, struct mono now, struct wall wall);

/* The answer to ACTION_STORE of that token. */
enum stored_in { STORED_NOWHERE, STORED_IN_REDIS, STORED_ON_DISK };
void decider_stored(struct decider *decider, const char *container, uint64_t token, enum stored_in where,
                    struct mono now, struct wall wall);

/* The answer to ACTION_SEND or ACTION_ASK. status 0 with an answer; else -ETIMEDOUT, -ECONNREFUSED …, NULL.
 */
void decider_answered(struct decider *decider, const struct command_id *id, int status,
                      const struct answer *answer, struct mono now, struct wall wall);

/* An operator's hold: kind "all", "host", "service" or "container". `until` 0: until it is released. */
void decider_hold(struct decider *decider, const char *kind, const char *name, bool is_held,
                  struct wall until, struct mono now, struct wall wall);

/* The lease: commands carry that epoch, and may leave before `until`. A new decider leads for ever, under 0.
 */
void decider_lead(struct decider *decider, uint64_t epoch, struct mono until, struct mono now);

/* Another one leads: facts are taken in as before, but of the actions only READ_KEY comes out. */
void decider_follow(struct decider *decider);

/* It leads, having followed or not: what it held of containers is void, and it settles anew; the shell reads
 * all and has all agents asked. Of hosts it keeps when they were heard, and open breakers stay so. Where
 * others led since it did, what is still wrong is told anew; else only what it has not told. No command
 * before decider_lead. */
enum led_between { LED_BY_NOBODY, LED_BY_OTHERS };
void decider_take_over(struct decider *decider, enum led_between between, struct mono now, struct wall wall);

/* The last that it led under; 0: none. */
uint64_t decider_epoch(const struct decider *decider);

/* "standby", "frozen" (no lease, or tilt), "settling" or "leader". */
const char *decider_condition(const struct decider *decider, struct mono now);

/* An operator took this host away for good: it and its containers are forgotten, what was alerted of them is
 * closed. False where it is not known, or not lost: its agent would bring it back. */
bool decider_forget_host(struct decider *decider, const char *host, struct mono now, struct wall wall);

/* Replaces the configuration (SIGHUP). */
void decider_set_config(struct decider *decider, const struct policy_config *config, struct mono now);

/* ---- for the journal ---- */

/* From now on ACTION_INPUT tells all that decider_resume and the same calls need to come to the same answers:
 * `settings`, a JSON object, is written with it. Called again, it begins anew with what is known now: agents
 * are then asked for their whole inventories (decider_observe_unchanged says false). Nothing while another
 * one leads; decider_follow ends it. */
void decider_record(struct decider *decider, const char *settings, struct mono now, struct wall wall);

/* A new decider is as the recorded one was at that JOURNAL_START. */
struct journal_input;
void decider_resume(struct decider *decider, const struct journal_input *start);

/* For a replay, whose recording leaves out words of which nothing came. An agent was heard; it also vouched
 * for its inventory. A beat was heard. */
void decider_heard(struct decider *decider, const char *host, enum path path, bool has_vouched,
                   struct mono now);
void decider_heard_beat(struct decider *decider, const struct heartbeat *beat, struct mono now);

/* ---- time ---- */

/* Does all that is due. */
void decider_tick(struct decider *decider, struct mono now, struct wall wall);
struct mono decider_wake_at(const struct decider *decider);

/* ---- actions out ---- */

enum action_kind {
    ACTION_READ_KEY, /* read the beat key of this service and instance, and the registration of this host */
    ACTION_LOG,
    ACTION_STORE,  /* `state` under health:restart:{container}; answer with the token */
    ACTION_FORGET, /* delete health:restart:{container}: the budget is whole, or the container gone */
    ACTION_SEND,   /* `command` to the agent of `host` */
    ACTION_ASK,    /* the outcome of `command.id` (op is OP_OUTCOME) */
    ACTION_ALERT,
    ACTION_RECORD, /* an entry for the health:events stream */
    ACTION_INPUT   /* `text` is what it was told, as JSON (proto/journal.h); while it records */
};

enum action_level { ACTION_INFO, ACTION_WARNING, ACTION_ERROR };

struct action {
    enum action_kind kind;
    const char *container, *host, *service, *instance; /* "" where not said */
    uint64_t token;                                    /* STORE */
    const struct restart_state *state;                 /* STORE */
    const struct command *command;                     /* SEND, ASK */
    int64_t timeout_ms;                                /* SEND, ASK: for the answer */
    const struct alert *alert;                         /* ALERT */
    const struct event_record *record;                 /* RECORD */
    int cause;                                         /* RECORD: what was wrong, enum failure_cause */
    enum action_level level;                           /* LOG */
    const char *text;                                  /* LOG, INPUT */
};

/* The oldest action, or NULL. It and all it points to live until the next call of any decider function but
 * the read-only ones below. */
const struct action *decider_next_action(struct decider *decider);

/* ---- looking ---- */

void decider_totals(const struct decider *decider, struct mono now, struct alert_totals *out);

/* What the policy holds about one container: its state, the last reason given, the gate that refused and when
 * it looks again. False where it does not know the container. */
struct decider_view {
    const char *container, *host, *service, *instance, *container_id; /* borrowed until the next change */
    const char *state;                                                /* "STARTING" … */
    const char *reason;                                               /* last answer, also for "no" */
    const char *gate;                                                 /* "" where none refused */
    int64_t attempts, max_attempts, misses;
    struct mono wake_at;
    struct wall cooldown_until;
};
bool decider_look(const struct decider *decider, const char *container, struct decider_view *out);
size_t decider_count(const struct decider *decider);

/* Calls visit for each known container, in no order, until it returns false. */
void decider_each(const struct decider *decider, bool (*visit)(void *arg, const struct decider_view *view),
                  void *arg);

#endif
