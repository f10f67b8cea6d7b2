/*
 * Why did it stop? Evidence for one container id, judged by policy.md, section 3. Pure.
 *
 * That dockerd stays up is proven by an answer over a new connection: one that shuts down closes its listener
 * first, then stops the containers, for as long as they need, and serves old connections to the end.
 *
 * The order of kill, die and stop proves nothing (Docker 26.1 sends `stop` before `die`, 20.10 after),
 * presence does: every event is kept with the time at which we heard it, and the judgement is a function of
 * the set. Only `start` is in order: Docker holds the container's lock from there to the next `die`. The
 * Engine's own times are not used at all: its wall clock may be set while a container stops.
 */
#ifndef DEFIB_AGENT_CORE_STOP_CAUSE_H
#define DEFIB_AGENT_CORE_STOP_CAUSE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"
#include "proto/vocabulary.h"

struct stop_cause_config {
    int64_t stop_settle_ms;
    int64_t intent_settle_ms;
};

/* A plain value; zeroed is "no evidence". Times are by our clock, when it was heard. */
struct stop_evidence {
    int first_signal; /* of the kills that still count; 0: none */
    int last_signal;
    struct mono first_killed_at, killed_at; /* the first and the last of them */
    struct mono oomed_at;
    struct mono died_at; /* settling runs from here */
    struct mono stopped_at;
    struct mono looked_at; /* the first inspect after the death was answered */
    bool has_oom;
    bool has_died;
    bool is_looked;
    bool has_stopped;
    bool is_own;         /* our own command was in flight */
    bool is_blind;       /* found dead: no event told */
    bool is_intended;    /* a durable intent: operator stop, whatever else */
    bool is_doubtful;    /* `stop` may be an operator's or a shutdown's, and nobody can tell any more */
    bool is_daemon_gone; /* after `stop`, the stream ended or the boot id changed */
};

/* Facts beside the events, from `die` and inspect. */
struct stop_facts {
    int exit_code;
    bool oom_killed;
    bool has_error; /* State.Error */
    bool is_oneshot;
    bool is_auto_remove;        /* Docker removes it when it dies (--rm) */
    struct mono daemon_seen_at; /* asked at that time over a new connection, dockerd answered; 0: never */
};

struct stop_verdict {
    enum stop_class class; /* STOP_SETTLING where more may come */
    struct mono wake_at;   /* judge again; MONO_NEVER where it stands */
};

void stop_cause_kill(struct stop_evidence *evidence, int signal, struct mono now);
void stop_cause_die(struct stop_evidence *evidence, struct mono now);
void stop_cause_stop(struct stop_evidence *evidence, struct mono now);
void stop_cause_oom(struct stop_evidence *evidence, struct mono now);
void stop_cause_looked(struct stop_evidence *evidence, struct mono now); /* an inspect found it dead */

/* It started: what was heard so far belongs to an earlier incarnation. */
void stop_cause_started(struct stop_evidence *evidence);

/* An inspect shows another incarnation and no `start` was heard: it is on its way, and will end this, or it
 * was lost. Where it is down the death that was heard may be this incarnation's, a kill may be in any case.
 */
void stop_cause_start_missed(struct stop_evidence *evidence, bool is_down);

/* It runs, and was sent a signal by which Docker's stop asks for an end: so long, counted from that signal,
 * it is likely to be on its way out; MONO_NEVER: nothing says so. `patience_ms`: the stop timeout and more.
 */
struct mono stop_cause_stopping_until(const struct stop_evidence *evidence, int64_t patience_ms);

/* Judges a container that is dead. */
struct stop_verdict stop_cause_judge(const struct stop_cause_config *config,
                                     const struct stop_evidence *evidence, const struct stop_facts *facts,
                                     struct mono now);

/* An API kill or stop cancels Docker's own restart policy. */
bool stop_cause_has_api_kill(const struct stop_evidence *evidence);

#endif
