#include "agent/core/stop_cause.h"

#include <signal.h>
#include <stddef.h>

/* How often to look whether the proof that dockerd stayed up has come. */
#define PROOF_WAIT_MS 500

/* How long before a death a kill may have come and still belong to it: a stop waits up to its stop timeout
 * between SIGTERM and SIGKILL, and long timeouts are minutes. A reload by SIGHUP yesterday is no evidence. */
#define KILL_MEMORY_MS (600 * 1000)

/* An OOM of a child that the container survived is no evidence of a death much later. */
#define OOM_MEMORY_MS (5 * 1000)

/* An Engine that cleans up or answers so slowly is not waited for. */
#define LOOK_WAIT_MS (30 * 1000)

/* Docker removes what died with --rm as soon as it has cleaned up. */
#define AUTO_REMOVE_WAIT_MS (10 * 1000)

void stop_cause_kill(struct stop_evidence *evidence, int signal, struct mono now)
{
    bool is_new = evidence->first_signal == 0 || mono_diff(now, evidence->killed_at) > KILL_MEMORY_MS;
    if (is_new || mono_diff(now, evidence->first_killed_at) < 0) {
        evidence->first_signal = signal;
        evidence->first_killed_at = now;
    }
    if (is_new || mono_reached(now, evidence->killed_at)) {
        evidence->last_signal = signal;
        evidence->killed_at = now;
    }
}

void stop_cause_die(struct stop_evidence *evidence, struct mono now)
{
    if (!evidence->has_died) {
        evidence->has_died = true;
        evidence->died_at = now;
    }
    evidence->is_blind = false;
}

void stop_cause_stop(struct stop_evidence *evidence, struct mono now)
{
    if (!evidence->has_stopped) {
        evidence->has_stopped = true;
        evidence->stopped_at = now;
    }
}

void stop_cause_oom(struct stop_evidence *evidence, struct mono now)
{
    evidence->has_oom = true;
    evidence->oomed_at = now;
}

void stop_cause_looked(struct stop_evidence *evidence, struct mono now)
{
    if (evidence->has_died && !evidence->is_looked) {
        evidence->is_looked = true;
        evidence->looked_at = now;
    }
}

void stop_cause_started(struct stop_evidence *evidence)
{
    *evidence = (struct stop_evidence){0};
}

void stop_cause_start_missed(struct stop_evidence *evidence, bool is_down)
{
    if (is_down && evidence->has_died && !evidence->is_blind) {
        return;
    }
    *evidence = (struct stop_evidence){.first_signal = evidence->first_signal,
                                       .last_signal = evidence->last_signal,
                                       .first_killed_at = evidence->first_killed_at,
                                       .killed_at = evidence->killed_at};
}

/* A kill of this incarnation, near enough to the death to have to do with it. */
static bool has_kill(const struct stop_evidence *evidence)
{
    return evidence->first_signal != 0 &&
           (!evidence->has_died || mono_diff(evidence->died_at, evidence->killed_at) <= KILL_MEMORY_MS);
}

bool stop_cause_has_api_kill(const struct stop_evidence *evidence)
{
    return has_kill(evidence) || evidence->has_stopped;
}

static bool is_oom(const struct stop_evidence *evidence, const struct stop_facts *facts)
{
    return facts->oom_killed || (evidence->has_oom && evidence->has_died &&
                                 mono_diff(evidence->died_at, evidence->oomed_at) <= OOM_MEMORY_MS);
}

/* Signals that end a process which does not care about them; others only where the exit code says so. */
static bool is_terminating(int signal, int exit_code)
{
    switch (signal) {
    case SIGINT:
    case SIGQUIT:
    case SIGKILL:
    case SIGTERM:
        return true;
    default:
        return exit_code == 128 + signal;
    }
}

static enum stop_class class_of_exit(const struct stop_evidence *evidence, const struct stop_facts *facts)
{
    int code = facts->exit_code;
    if (code == 0 && facts->is_oneshot) {
        return STOP_COMPLETED;
    }
    if ((code >= 125 && code <= 127) || facts->has_error) {
        return STOP_START_ERROR;
    }
    if (evidence->is_blind && (code == 0 || code == 130 || code == 143)) {
        return STOP_UNSEEN;
    }
    return STOP_CRASH;
}

/* Docker's default, and what the STOPSIGNAL of common images says. SIGKILL waits for nobody. */
static bool is_asking(int signal)
{
    return signal == SIGINT || signal == SIGQUIT || signal == SIGTERM || signal == SIGWINCH;
}

struct mono stop_cause_stopping_until(const struct stop_evidence *evidence, int64_t patience_ms)
{
    bool is_asked =
        !evidence->has_died && (is_asking(evidence->first_signal) || is_asking(evidence->last_signal));
    return is_asked ? mono_add(evidence->killed_at, patience_ms) : MONO_NEVER;
}

static struct stop_verdict settled(enum stop_class class)
{
    return (struct stop_verdict){class, MONO_NEVER};
}

static struct stop_verdict settling(struct mono wake_at)
{
    return (struct stop_verdict){STOP_SETTLING, wake_at};
}

static struct stop_verdict judge_stop(const struct stop_cause_config *config,
                                      const struct stop_evidence *evidence, const struct stop_facts *facts,
                                      struct mono now)
{
    if (evidence->is_daemon_gone) {
        return settled(STOP_SHUTDOWN);
    }
    if (evidence->is_doubtful) {
        return settled(STOP_UNSEEN);
    }
    struct mono until = mono_add(evidence->stopped_at, config->intent_settle_ms);
    if (!mono_reached(now, until)) {
        return settling(until);
    }
    bool is_proven = mono_reached(facts->daemon_seen_at, until);
    return is_proven ? settled(STOP_OPERATOR) : settling(mono_add(now, PROOF_WAIT_MS));
}

static struct stop_verdict judge_kill(const struct stop_cause_config *config,
                                      const struct stop_evidence *evidence, const struct stop_facts *facts,
                                      struct mono now)
{
    struct mono until = evidence->is_looked ? evidence->looked_at : mono_add(evidence->died_at, LOOK_WAIT_MS);
    until = mono_add(until, evidence->first_signal == SIGKILL ? 0 : config->stop_settle_ms);
    if (!mono_reached(now, until)) {
        return settling(until);
    }
    if (evidence->first_signal == SIGKILL) {
        return settled(STOP_KILLED);
    }
    bool is_killed = is_terminating(evidence->first_signal, facts->exit_code) ||
                     is_terminating(evidence->last_signal, facts->exit_code);
    return settled(is_killed ? STOP_KILLED : class_of_exit(evidence, facts));
}

struct stop_verdict stop_cause_judge(const struct stop_cause_config *config,
                                     const struct stop_evidence *evidence, const struct stop_facts *facts,
                                     struct mono now)
{
    if (evidence->is_own) {
        return settled(STOP_OWN);
    }
    if (evidence->is_intended) {
        return settled(STOP_OPERATOR);
    }
    if (evidence->has_stopped || evidence->is_daemon_gone) {
        return judge_stop(config, evidence, facts, now);
    }
    struct mono removed_by = mono_add(evidence->died_at, AUTO_REMOVE_WAIT_MS);
    if (facts->is_auto_remove && !mono_reached(now, removed_by)) {
        return settling(removed_by);
    }
    if (is_oom(evidence, facts)) {
        return settled(STOP_OOM);
    }
    if (has_kill(evidence)) {
        return judge_kill(config, evidence, facts, now);
    }
    /* The event of what an inspect found first may still be on its way. */
    struct mono until = mono_add(evidence->died_at, config->stop_settle_ms);
    if (evidence->is_blind && !mono_reached(now, until)) {
        return settling(until);
    }
    return settled(class_of_exit(evidence, facts));
}
