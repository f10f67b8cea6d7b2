/*
 * Why did it stop? Evidence for one container id, judged by policy.md, section 3. Pure.
 *
 * That dockerd stays up is proven by an answer over a new connection: one that shuts down closes its listener
 * first, then stops the containers, for as long as they need, and serves old connections to the end.
 *
 * The order of events proves nothing (Docker 26.1 sends `stop` before `die`, 20.10 after), presence does:
 * every event is kept with its time, and the judgement is a function of the set.
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

/* A plain value; zeroed is "no evidence". Engine times are nanoseconds on the Engine's clock, 0: not seen. */
struct stop_evidence {
    int64_t die_ns;
    int64_t stop_ns;
    int64_t oom_ns;
    int64_t first_kill_ns;
    int64_t kill_ns;  /* of the last kill */
    int first_signal; /* of the kills that still count; 0: none */
    int last_signal;
    struct mono died_at; /* by our clock: settling runs from here */
    struct mono stopped_at;
    bool has_died; /* died_at is set */
    bool has_stopped;
    bool is_own;         /* our own command was in flight */
    bool is_blind;       /* found dead: no event told */
    bool is_intended;    /* a durable intent: operator stop, whatever else */
    bool is_daemon_gone; /* after `stop`, the stream ended or the boot id changed */
};

/* Facts beside the events, from `die` and inspect. */
struct stop_facts {
    int exit_code;
    bool oom_killed;
    bool has_error; /* State.Error */
    bool is_oneshot;
    struct mono daemon_seen_at; /* asked at that time over a new connection, dockerd answered; 0: never */
};

struct stop_verdict {
    enum stop_class class; /* STOP_SETTLING where more may come */
    struct mono wake_at;   /* judge again; MONO_NEVER where it stands */
};

void stop_cause_kill(struct stop_evidence *evidence, int signal, int64_t time_ns);
void stop_cause_die(struct stop_evidence *evidence, int64_t time_ns, struct mono now);
void stop_cause_stop(struct stop_evidence *evidence, int64_t time_ns, struct mono now);
void stop_cause_oom(struct stop_evidence *evidence, int64_t time_ns);

/* It started at that time: what is older belongs to an earlier incarnation. */
void stop_cause_started(struct stop_evidence *evidence, int64_t started_ns);

/* Judges a container that is dead. */
struct stop_verdict stop_cause_judge(const struct stop_cause_config *config,
                                     const struct stop_evidence *evidence, const struct stop_facts *facts,
                                     struct mono now);

/* An API kill or stop cancels Docker's own restart policy. */
bool stop_cause_has_api_kill(const struct stop_evidence *evidence);

#endif
