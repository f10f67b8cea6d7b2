#include "agent/core/stop_cause.h"

#include <signal.h>
#include <stddef.h>

#define NS_PER_MS 1000000LL

/* How often to look whether the proof that dockerd stayed up has come. */
#define PROOF_WAIT_MS 500

/* How long before a death a kill may have come and still belong to it: a stop waits up to its stop timeout
 * between SIGTERM and SIGKILL, and long timeouts are minutes. A reload by SIGHUP yesterday is no evidence. */
#define KILL_MEMORY_NS (600 * 1000 * NS_PER_MS)

/* An OOM of a child that the container survived is no evidence of a death much later. */
#define OOM_MEMORY_NS (5 * 1000 * NS_PER_MS)

void stop_cause_kill(struct stop_evidence *evidence, int signal, int64_t time_ns)
{
    bool is_new = evidence->first_signal == 0 || time_ns - evidence->kill_ns > KILL_MEMORY_NS;
    if (is_new || time_ns < evidence->first_kill_ns) {
        evidence->first_signal = signal;
        evidence->first_kill_ns = time_ns;
    }
    if (is_new || time_ns >= evidence->kill_ns) {
        evidence->last_signal = signal;
        evidence->kill_ns = time_ns;
    }
}

void stop_cause_die(struct stop_evidence *evidence, int64_t time_ns, struct mono now)
{
    evidence->die_ns = time_ns;
    if (!evidence->has_died) {
        evidence->has_died = true;
        evidence->died_at = now;
    }
    evidence->is_blind = false;
}

void stop_cause_stop(struct stop_evidence *evidence, int64_t time_ns, struct mono now)
{
    evidence->stop_ns = time_ns;
    if (!evidence->has_stopped) {
        evidence->has_stopped = true;
        evidence->stopped_at = now;
    }
}

void stop_cause_oom(struct stop_evidence *evidence, int64_t time_ns)
{
    evidence->oom_ns = time_ns;
}

void stop_cause_started(struct stop_evidence *evidence, int64_t started_ns)
{
    struct stop_evidence kept = {0};
    if (evidence->kill_ns > started_ns) {
        kept.first_kill_ns = evidence->first_kill_ns;
        kept.kill_ns = evidence->kill_ns;
        kept.first_signal = evidence->first_signal;
        kept.last_signal = evidence->last_signal;
    }
    if (evidence->oom_ns > started_ns) {
        kept.oom_ns = evidence->oom_ns;
    }
    if (evidence->die_ns > started_ns) {
        kept.die_ns = evidence->die_ns;
        kept.has_died = true;
        kept.died_at = evidence->died_at;
    }
    if (evidence->stop_ns > started_ns) {
        kept.stop_ns = evidence->stop_ns;
        kept.has_stopped = evidence->has_stopped;
        kept.stopped_at = evidence->stopped_at;
    }
    *evidence = kept;
}

/* A kill of this incarnation, near enough to the death to have to do with it. */
static bool has_kill(const struct stop_evidence *evidence)
{
    return evidence->first_signal != 0 &&
           (evidence->die_ns == 0 || evidence->die_ns - evidence->kill_ns <= KILL_MEMORY_NS);
}

bool stop_cause_has_api_kill(const struct stop_evidence *evidence)
{
    return has_kill(evidence) || evidence->has_stopped;
}

static bool is_oom(const struct stop_evidence *evidence, const struct stop_facts *facts)
{
    return facts->oom_killed || (evidence->oom_ns != 0 && evidence->die_ns != 0 &&
                                 evidence->die_ns - evidence->oom_ns <= OOM_MEMORY_NS);
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
    if (evidence->first_signal == SIGKILL) {
        return settled(STOP_KILLED);
    }
    struct mono until = mono_add(evidence->died_at, config->stop_settle_ms);
    if (!mono_reached(now, until)) {
        return settling(until);
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
