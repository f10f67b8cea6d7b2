/*
 * The restart policy: one table of states and events (policy.md, section 2). Pure.
 *
 * policy_step changes the memory of one container and answers with the one thing to do, why, and when it
 * wants to look again. It knows no names, no fleet and no wire: who may be restarted is for gates.h, what was
 * seen is for liveness.h, and decider.h joins them. Where an answer's wake_at is not after `now`, the
 * caller steps EVENT_TIMER again at once: several misses at FAST_CHECK_SECS=0 are several answers.
 */
#ifndef DEFIB_CONTROLLER_CORE_POLICY_H
#define DEFIB_CONTROLLER_CORE_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "proto/vocabulary.h"

#define POLICY_STATE_WORDS(X) \
    X(NONE)                   \
    X(STARTING)               \
    X(UP)                     \
    X(SUSPECT)                \
    X(DOWN)                   \
    X(FAILED)                 \
    X(RESTARTING)             \
    X(COOLDOWN)               \
    X(HELD)                   \
    X(REMOVED)

#define POLICY_EVENT_WORDS(X)                                              \
    X(RUNNING)   /* an incarnation runs that did not, as far as we knew */ \
    X(GOOD)      /* a beat: healthy, degraded */                           \
    X(WARMING)   /* a beat: starting */                                    \
    X(BAD)       /* a new beat: unhealthy */                               \
    X(SICK)      /* Docker's HEALTHCHECK says unhealthy */                 \
    X(STOPPING)  /* a beat: stopping */                                    \
    X(MISS)      /* a check found no live beat on a live path */           \
    X(DIED)      /* a death report, or a new class of the death we know */ \
    X(PAUSED)    /* paused, or created and never started */                \
    X(TIMER)     /* wake_at was reached */                                 \
    X(OPEN)      /* all gates are open */                                  \
    X(REFUSED)   /* a gate is not */                                       \
    X(DONE)      /* outcome ok */                                          \
    X(UNCHANGED) /* outcome: nothing was changed in Docker */              \
    X(BROKEN)    /* outcome: Docker error, or none by the deadline */      \
    X(ABORTED)   /* the command was never sent */                          \
    X(RESUME)    /* a stored attempt is still in flight */                 \
    X(RESET)     /* operator: fresh budget */                              \
    X(HOLD)                                                                \
    X(RELEASE)                                                             \
    X(THAW)  /* the host is observed again */                              \
    X(STALE) /* what it depends on was started anew under it */            \
    X(FRESH) /* that is no longer so */                                    \
    X(GONE)

#define POLICY_ACTION_WORDS(X)                    \
    X(NOTHING)                                    \
    X(COUNT_MISS)                                 \
    X(ASK_GATES)                                  \
    X(ATTEMPT) /* store the attempt, then send */ \
    X(EXHAUSTED)                                  \
    X(RESTARTED)                                  \
    X(GIVEN_BACK)                                 \
    X(FAILED_TO_RESTART)                          \
    X(RECOVERED)                                  \
    X(RECOVERED_UNSENT) /* and GIVEN_BACK */      \
    X(HELD)                                       \
    X(FORGET) /* the budget is whole again */     \
    X(REMOVE)

#define POLICY_STATE_MEMBER(word)  STATE_##word,
#define POLICY_EVENT_MEMBER(word)  EVENT_##word,
#define POLICY_ACTION_MEMBER(word) POLICY_##word,
enum policy_state { POLICY_STATE_WORDS(POLICY_STATE_MEMBER) STATE_N };
enum policy_event_kind { POLICY_EVENT_WORDS(POLICY_EVENT_MEMBER) EVENT_N };
enum policy_action { POLICY_ACTION_WORDS(POLICY_ACTION_MEMBER) POLICY_ACTION_N };
#undef POLICY_STATE_MEMBER
#undef POLICY_EVENT_MEMBER
#undef POLICY_ACTION_MEMBER

/* What applies to one container: the settings with its labels laid over them. Borrowed for the step. */
struct policy_terms {
    int64_t miss_threshold, unhealthy_threshold;
    int64_t check_interval_ms, fast_check_ms;
    int64_t max_attempts, cooldown_ms, stable_ms;
    int64_t grace_ms, deadline_ms;
    int64_t stop_timeout_ms, unhealthy_grace_ms, docker_policy_grace_ms;
    int64_t jitter_pct;
    const int64_t *backoff_ms;
    size_t backoff_count; /* at least 1 */
};

/* Who made the incarnation that now runs. */
enum start_maker { MADE_BY_OPERATOR, MADE_BY_DOCKER, MADE_BY_US, MADE_BEFORE };

/* The last two are no failures of its own: it runs, and what it depends on was started anew under it. */
enum failure_cause {
    CAUSE_NONE,
    CAUSE_MISSING,
    CAUSE_UNHEALTHY,
    CAUSE_START_TIMEOUT,
    CAUSE_DEATH,
    CAUSE_STALE_NETWORK,
    CAUSE_DEPENDENCY
};

/* Where a command that changed nothing leaves the container. */
enum unchanged_kind { UNCHANGED_RUNS, UNCHANGED_HELD, UNCHANGED_RETRY };

struct policy_event {
    enum policy_event_kind kind;
    enum start_maker maker;     /* RUNNING */
    int64_t age_ms;             /* RUNNING: since the incarnation's start; -1: not known */
    bool is_late;               /* RUNNING: made by a command that was given up: its attempt completes now */
    enum stop_class stop_class; /* DIED */
    bool has_exit_code;         /* DIED */
    int exit_code;
    bool is_docker_acting; /* DIED: Docker is about to start it, or dockerd itself is away */
    bool will_docker_act;  /* DIED: its own restart policy applies */
    enum unchanged_kind unchanged;
    struct mono until;        /* REFUSED: look again then */
    const char *reason;       /* REFUSED, HOLD, PAUSED, UNCHANGED, BROKEN: lives for ever */
    uint32_t random;          /* DONE, UNCHANGED, BROKEN, a late RUNNING: for the jitter */
    enum failure_cause cause; /* STALE: one of the last two */
};

/* A plain value. Times of 0 ms mean "not set". */
struct policy_memory {
    enum policy_state state;
    enum failure_cause cause;
    enum stop_class stop_class;
    int exit_code;
    bool has_exit_code;
    bool is_docker_acting, will_docker_act;
    bool is_sent;        /* RESTARTING: the command may have left us */
    bool is_given_back;  /* the last attempt was given back: the next one is not */
    bool is_renewed;     /* COOLDOWN: a new incarnation runs */
    bool is_closing_due; /* something was announced that a recovery closes */
    int32_t attempts, misses, bad;
    const char *reason; /* of the last answer */
    struct mono grace_until, deadline_at;
    struct mono healthy_since;
    struct mono suspended_until; /* `stopping` */
    struct mono sick_since;
    struct mono acting_until;    /* Docker's own policy has until then */
    struct mono next_attempt_at; /* backoff */
    struct mono cooldown_until;
    struct mono broken_at; /* when the trouble began; for SERVICE_RECOVERED */
    struct mono wake_at;
};

struct policy_verdict {
    enum policy_action action;
    const char *reason;
    struct mono wake_at;
};

void policy_init(struct policy_memory *memory);
struct policy_verdict policy_step(const struct policy_terms *terms, struct policy_memory *memory,
                                  const struct policy_event *event, struct mono now);

/* It is to be restarted for what it depends on; its own good health says nothing against that. */
bool policy_is_cascade(const struct policy_memory *memory);

/* The delay after attempt `attempt` (from 1) without jitter. */
int64_t policy_backoff_ms(const struct policy_terms *terms, int64_t attempt);

/* How many attempts the trouble at hand deserves: a start error one, else the setting. */
int64_t policy_attempt_limit(const struct policy_terms *terms, const struct policy_memory *memory);

const char *policy_state_name(enum policy_state state);
const char *policy_event_name(enum policy_event_kind kind);
const char *policy_action_name(enum policy_action action);
const char *policy_cause_name(enum failure_cause cause); /* "missing_heartbeat" … as in last_failure_reason */

#endif
