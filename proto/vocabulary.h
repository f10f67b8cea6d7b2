/*
 * The closed sets of words that travel, each an enum with its spelling. Pure; nothing allocates.
 *
 * `_name` never returns NULL. `_parse` returns the enum for the exact word and the `…_UNKNOWN` member for any
 * other.
 */
#ifndef DEFIB_PROTO_VOCABULARY_H
#define DEFIB_PROTO_VOCABULARY_H

#include <stdbool.h>
#include <stddef.h>

/* What a heartbeat says of its service (runbook.md, contract.md). Order: none. */
#define BEAT_STATUS_WORDS(X)       \
    X(BEAT_UNKNOWN, "unknown")     \
    X(BEAT_STARTING, "starting")   \
    X(BEAT_HEALTHY, "healthy")     \
    X(BEAT_DEGRADED, "degraded")   \
    X(BEAT_UNHEALTHY, "unhealthy") \
    X(BEAT_STOPPING, "stopping")

/* Docker's State.Status. */
#define CONTAINER_STATE_WORDS(X)          \
    X(CONTAINER_UNKNOWN, "unknown")       \
    X(CONTAINER_CREATED, "created")       \
    X(CONTAINER_RUNNING, "running")       \
    X(CONTAINER_PAUSED, "paused")         \
    X(CONTAINER_RESTARTING, "restarting") \
    X(CONTAINER_REMOVING, "removing")     \
    X(CONTAINER_EXITED, "exited")         \
    X(CONTAINER_DEAD, "dead")

/* Docker's State.Health.Status; none: no HEALTHCHECK. */
#define CONTAINER_HEALTH_WORDS(X)  \
    X(HEALTH_UNKNOWN, "unknown")   \
    X(HEALTH_NONE, "none")         \
    X(HEALTH_STARTING, "starting") \
    X(HEALTH_HEALTHY, "healthy")   \
    X(HEALTH_UNHEALTHY, "unhealthy")

/* Why it stopped: the classes of policy.md, section 3. `none` while it runs; `settling` while the evidence
 * may still change; `unknown_stop` where the agent was blind and the exit code may be an operator's. */
#define STOP_CLASS_WORDS(X)            \
    X(STOP_UNKNOWN, "unknown")         \
    X(STOP_NONE, "none")               \
    X(STOP_SETTLING, "settling")       \
    X(STOP_OWN, "own")                 \
    X(STOP_OPERATOR, "operator_stop")  \
    X(STOP_SHUTDOWN, "shutdown")       \
    X(STOP_OOM, "oom")                 \
    X(STOP_KILLED, "killed")           \
    X(STOP_COMPLETED, "completed")     \
    X(STOP_START_ERROR, "start_error") \
    X(STOP_UNSEEN, "unknown_stop")     \
    X(STOP_CRASH, "crash")

/* Docker's HostConfig.RestartPolicy.Name. */
#define DOCKER_POLICY_WORDS(X)                        \
    X(DOCKER_POLICY_UNKNOWN, "unknown")               \
    X(DOCKER_POLICY_NO, "no")                         \
    X(DOCKER_POLICY_ALWAYS, "always")                 \
    X(DOCKER_POLICY_UNLESS_STOPPED, "unless-stopped") \
    X(DOCKER_POLICY_ON_FAILURE, "on-failure")

/* policy.md, section 6. */
#define COMMAND_OP_WORDS(X)      \
    X(OP_UNKNOWN, "unknown")     \
    X(OP_PING, "ping")           \
    X(OP_INVENTORY, "inventory") \
    X(OP_RESTART, "restart")     \
    X(OP_START, "start")         \
    X(OP_OUTCOME, "outcome")

/* policy.md, section 6; `bad_request` and `unknown_id` are additions: a request that says nothing usable,
 * and an outcome asked for that this agent does not remember. */
#define ANSWER_CODE_WORDS(X)                         \
    X(ANSWER_UNKNOWN, "unknown")                     \
    X(ANSWER_OK, "ok")                               \
    X(ANSWER_ACCEPTED, "accepted")                   \
    X(ANSWER_ALREADY_RESTARTED, "already_restarted") \
    X(ANSWER_NOT_NEEDED, "not_needed")               \
    X(ANSWER_STALE_TARGET, "stale_target")           \
    X(ANSWER_NOT_FOUND, "not_found")                 \
    X(ANSWER_REFUSED_STOPPED, "refused_stopped")     \
    X(ANSWER_REFUSED_HELD, "refused_held")           \
    X(ANSWER_REFUSED_DENIED, "refused_denied")       \
    X(ANSWER_STALE_EPOCH, "stale_epoch")             \
    X(ANSWER_EXPIRED, "expired")                     \
    X(ANSWER_BUSY, "busy")                           \
    X(ANSWER_UNAUTHORIZED, "unauthorized")           \
    X(ANSWER_DOCKER_ERROR, "docker_error")           \
    X(ANSWER_BAD_REQUEST, "bad_request")             \
    X(ANSWER_UNKNOWN_ID, "unknown_id")

/* defib.restart */
#define RESTART_LABEL_WORDS(X)      \
    X(RESTART_LABEL_NONE, "none")   \
    X(RESTART_LABEL_ALLOW, "allow") \
    X(RESTART_LABEL_DENY, "deny")

/* defib.heartbeat */
#define BEAT_MODE_WORDS(X)      \
    X(BEAT_MODE_AUTO, "auto")   \
    X(BEAT_MODE_AGENT, "agent") \
    X(BEAT_MODE_APP, "app")

#define VOCABULARY_MEMBER(member, word) member,
enum beat_status { BEAT_STATUS_WORDS(VOCABULARY_MEMBER) BEAT_STATUS_N };
enum container_state { CONTAINER_STATE_WORDS(VOCABULARY_MEMBER) CONTAINER_STATE_N };
enum container_health { CONTAINER_HEALTH_WORDS(VOCABULARY_MEMBER) CONTAINER_HEALTH_N };
enum stop_class { STOP_CLASS_WORDS(VOCABULARY_MEMBER) STOP_CLASS_N };
enum docker_policy { DOCKER_POLICY_WORDS(VOCABULARY_MEMBER) DOCKER_POLICY_N };
enum command_op { COMMAND_OP_WORDS(VOCABULARY_MEMBER) COMMAND_OP_N };
enum answer_code { ANSWER_CODE_WORDS(VOCABULARY_MEMBER) ANSWER_CODE_N };
enum restart_label { RESTART_LABEL_WORDS(VOCABULARY_MEMBER) RESTART_LABEL_N };
enum beat_mode { BEAT_MODE_WORDS(VOCABULARY_MEMBER) BEAT_MODE_N };
#undef VOCABULARY_MEMBER

const char *beat_status_name(enum beat_status status);
const char *container_state_name(enum container_state state);
const char *container_health_name(enum container_health health);
const char *stop_class_name(enum stop_class class);
const char *docker_policy_name(enum docker_policy policy);
const char *command_op_name(enum command_op op);
const char *answer_code_name(enum answer_code code);
const char *restart_label_name(enum restart_label label);
const char *beat_mode_name(enum beat_mode mode);

/* NULL counts as an unknown word. For restart_label and beat_mode the unknown member is the first. */
enum beat_status beat_status_parse(const char *word);
enum container_state container_state_parse(const char *word);
enum container_health container_health_parse(const char *word);
enum stop_class stop_class_parse(const char *word);
enum docker_policy docker_policy_parse(const char *word);
enum command_op command_op_parse(const char *word);
enum answer_code answer_code_parse(const char *word);
enum restart_label restart_label_parse(const char *word);
enum beat_mode beat_mode_parse(const char *word);

/* True where nothing was changed in Docker, so the attempt is given back (policy.md, section 2). */
bool answer_code_changed_nothing(enum answer_code code);

#endif
