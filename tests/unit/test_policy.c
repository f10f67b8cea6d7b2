#include "controller/core/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const int64_t BACKOFF[] = {5000, 15000, 45000};
static const struct policy_terms TERMS = {
    .miss_threshold = 3,
    .unhealthy_threshold = 3,
    .check_interval_ms = 15000,
    .fast_check_ms = 2000,
    .max_attempts = 3,
    .cooldown_ms = 600000,
    .stable_ms = 600000,
    .grace_ms = 60000,
    .deadline_ms = 300000,
    .stop_timeout_ms = 10000,
    .docker_policy_grace_ms = 90000,
    .jitter_pct = 20,
    .backoff_ms = BACKOFF,
    .backoff_count = 3,
};

static struct policy_verdict step(struct policy_memory *memory, struct policy_event event, int64_t ms)
{
    return policy_step(&TERMS, memory, &event, (struct mono){ms});
}

static void kind(struct policy_memory *memory, enum policy_event_kind event_kind, int64_t ms)
{
    step(memory, (struct policy_event){.kind = event_kind, .age_ms = -1}, ms);
}

static struct policy_event died(enum stop_class class, int exit_code)
{
    return (struct policy_event){
        .kind = EVENT_DIED, .stop_class = class, .has_exit_code = true, .exit_code = exit_code};
}

/* A memory in that state at 1,000,000 ms, by the shortest way there. */
static struct policy_memory in(enum policy_state state)
{
    struct policy_memory memory;
    policy_init(&memory);
    if (state == STATE_NONE) {
        return memory;
    }
    kind(&memory, EVENT_RUNNING, 100000);
    if (state == STATE_STARTING) {
        kind(&memory, EVENT_RUNNING, 999000);
        return memory;
    }
    kind(&memory, EVENT_GOOD, 200000);
    if (state == STATE_SUSPECT) {
        kind(&memory, EVENT_MISS, 999000);
    } else if (state == STATE_HELD) {
        step(&memory, died(STOP_OPERATOR, 143), 999000);
    } else if (state == STATE_REMOVED) {
        kind(&memory, EVENT_GONE, 999000);
    } else if (state != STATE_UP) {
        step(&memory, died(STOP_CRASH, 1), 990000);
    }
    if (state == STATE_FAILED || state == STATE_RESTARTING || state == STATE_COOLDOWN) {
        for (int64_t ms = 992000; memory.state == STATE_DOWN; ms += 2000) {
            kind(&memory, EVENT_TIMER, ms);
        }
    }
    if (state == STATE_COOLDOWN) {
        memory.attempts = 3;
    }
    if (state == STATE_RESTARTING || state == STATE_COOLDOWN) {
        kind(&memory, EVENT_OPEN, 999000);
    }
    assert_int_equal(state, memory.state);
    return memory;
}

/* policy.md, section 2. `to` is the state, STATE_N: it stays; action; reason, NULL: not looked at. */
static const struct {
    enum policy_state from;
    struct policy_event event;
    enum policy_state to;
    enum policy_action action;
    const char *reason;
} CELLS[] = {
#define E(k, ...)                                    \
    {                                                \
        .kind = EVENT_##k, .age_ms = -1, __VA_ARGS__ \
    }
    {STATE_NONE, E(RUNNING), STATE_STARTING, POLICY_NOTHING, "started"},
    {STATE_NONE, E(DIED, .stop_class = STOP_OPERATOR), STATE_HELD, POLICY_HELD, "operator_stop"},
    {STATE_NONE, E(DIED, .stop_class = STOP_CRASH), STATE_DOWN, POLICY_NOTHING, "crash"},
    {STATE_NONE, E(DIED, .stop_class = STOP_UNSEEN), STATE_HELD, POLICY_HELD, "unknown_stop"},
    {STATE_NONE, E(PAUSED, .reason = "paused"), STATE_HELD, POLICY_HELD, "paused"},
    {STATE_NONE, E(GONE), STATE_REMOVED, POLICY_REMOVE, "removed"},
    {STATE_NONE, E(MISS), STATE_N, POLICY_NOTHING, NULL},
    {STATE_STARTING, E(GOOD), STATE_UP, POLICY_NOTHING, "healthy"},
    {STATE_STARTING, E(WARMING), STATE_N, POLICY_NOTHING, NULL},
    {STATE_STARTING, E(BAD), STATE_N, POLICY_NOTHING, NULL},  /* within grace */
    {STATE_STARTING, E(MISS), STATE_N, POLICY_NOTHING, NULL}, /* within grace */
    {STATE_STARTING, E(SICK), STATE_N, POLICY_NOTHING, NULL}, /* within grace */
    {STATE_STARTING, E(DIED, .stop_class = STOP_OOM), STATE_DOWN, POLICY_NOTHING, "oom"},
    {STATE_UP, E(MISS), STATE_SUSPECT, POLICY_COUNT_MISS, "missing_heartbeat"},
    {STATE_UP, E(BAD), STATE_SUSPECT, POLICY_NOTHING, "status_unhealthy"},
    {STATE_UP, E(SICK), STATE_FAILED, POLICY_NOTHING, "status_unhealthy"},
    {STATE_UP, E(WARMING), STATE_STARTING, POLICY_NOTHING, "started"},
    {STATE_UP, E(STOPPING), STATE_N, POLICY_NOTHING, "stopping"},
    {STATE_UP, E(RUNNING), STATE_STARTING, POLICY_NOTHING, "started"},
    {STATE_UP, E(DIED, .stop_class = STOP_KILLED), STATE_DOWN, POLICY_NOTHING, "killed"},
    {STATE_UP, E(DIED, .stop_class = STOP_SETTLING), STATE_DOWN, POLICY_NOTHING, "settling"},
    {STATE_UP, E(DIED, .stop_class = STOP_COMPLETED), STATE_HELD, POLICY_HELD, "completed"},
    {STATE_UP, E(PAUSED, .reason = "paused"), STATE_HELD, POLICY_HELD, "paused"},
    {STATE_UP, E(HOLD, .reason = "hold"), STATE_HELD, POLICY_HELD, "hold"},
    {STATE_UP, E(THAW), STATE_STARTING, POLICY_NOTHING, "started"},
    {STATE_STARTING, E(STALE, .cause = CAUSE_STALE_NETWORK), STATE_FAILED, POLICY_NOTHING, "stale_network"},
    {STATE_UP, E(STALE, .cause = CAUSE_STALE_NETWORK), STATE_FAILED, POLICY_NOTHING, "stale_network"},
    {STATE_UP, E(STALE, .cause = CAUSE_DEPENDENCY), STATE_FAILED, POLICY_NOTHING, "dependency_restarted"},
    {STATE_UP, E(FRESH), STATE_N, POLICY_NOTHING, NULL},
    {STATE_DOWN, E(STALE, .cause = CAUSE_STALE_NETWORK), STATE_N, POLICY_NOTHING, NULL},
    {STATE_FAILED, E(STALE, .cause = CAUSE_STALE_NETWORK), STATE_N, POLICY_NOTHING, NULL},
    {STATE_FAILED, E(FRESH), STATE_N, POLICY_NOTHING, NULL}, /* its failure is its own */
    {STATE_HELD, E(STALE, .cause = CAUSE_STALE_NETWORK), STATE_N, POLICY_NOTHING, NULL},
    {STATE_UP, E(GONE), STATE_REMOVED, POLICY_REMOVE, "removed"},
    {STATE_UP, E(DONE), STATE_N, POLICY_NOTHING, NULL},
    {STATE_SUSPECT, E(GOOD), STATE_UP, POLICY_NOTHING, "healthy"},
    {STATE_SUSPECT, E(MISS), STATE_N, POLICY_COUNT_MISS, "missing_heartbeat"},
    {STATE_DOWN, E(RUNNING), STATE_STARTING, POLICY_NOTHING, "started"},
    {STATE_DOWN, E(TIMER), STATE_N, POLICY_COUNT_MISS, "missing_heartbeat"},
    {STATE_DOWN, E(DIED, .stop_class = STOP_OPERATOR), STATE_HELD, POLICY_HELD, "operator_stop"},
    {STATE_DOWN, E(HOLD, .reason = "hold"), STATE_HELD, POLICY_HELD, "hold"},
    {STATE_FAILED, E(GOOD), STATE_UP, POLICY_NOTHING, "healthy"},
    {STATE_FAILED, E(TIMER), STATE_N, POLICY_ASK_GATES, "missing_heartbeat"},
    {STATE_FAILED, E(REFUSED, .reason = "deny_list"), STATE_N, POLICY_NOTHING, "deny_list"},
    {STATE_FAILED, E(OPEN), STATE_RESTARTING, POLICY_ATTEMPT, "missing_heartbeat"},
    {STATE_FAILED, E(RESET), STATE_DOWN, POLICY_NOTHING, "operator_reset"},
    {STATE_RESTARTING, E(GOOD), STATE_UP, POLICY_GIVEN_BACK, "healthy"}, /* not sent yet */
    {STATE_RESTARTING, E(DONE), STATE_STARTING, POLICY_RESTARTED, "restarted"},
    {STATE_RESTARTING, E(BROKEN, .reason = "docker_error"), STATE_FAILED, POLICY_FAILED_TO_RESTART,
     "docker_error"},
    {STATE_RESTARTING, E(UNCHANGED, .unchanged = UNCHANGED_RUNS, .reason = "not_needed"), STATE_STARTING,
     POLICY_GIVEN_BACK, "not_needed"},
    {STATE_RESTARTING, E(UNCHANGED, .unchanged = UNCHANGED_HELD, .reason = "refused_stopped"), STATE_HELD,
     POLICY_GIVEN_BACK, "refused_stopped"},
    {STATE_RESTARTING, E(UNCHANGED, .unchanged = UNCHANGED_RETRY, .reason = "busy"), STATE_FAILED,
     POLICY_GIVEN_BACK, "busy"},
    {STATE_RESTARTING, E(ABORTED), STATE_FAILED, POLICY_GIVEN_BACK, "not_sent"},
    {STATE_RESTARTING, E(HOLD, .reason = "hold"), STATE_HELD, POLICY_GIVEN_BACK, "hold"},
    {STATE_RESTARTING, E(TIMER), STATE_N, POLICY_NOTHING, NULL},
    {STATE_COOLDOWN, E(GOOD), STATE_UP, POLICY_RECOVERED, "healthy"},
    {STATE_COOLDOWN, E(TIMER), STATE_N, POLICY_NOTHING, "cooldown"},
    {STATE_COOLDOWN, E(RUNNING, .maker = MADE_BY_OPERATOR), STATE_STARTING, POLICY_FORGET, "operator_start"},
    {STATE_COOLDOWN, E(RUNNING, .maker = MADE_BY_DOCKER), STATE_N, POLICY_NOTHING, NULL},
    {STATE_COOLDOWN, E(RESET), STATE_DOWN, POLICY_NOTHING, "operator_reset"},
    {STATE_HELD, E(RUNNING, .maker = MADE_BY_OPERATOR), STATE_STARTING, POLICY_FORGET, "operator_start"},
    {STATE_HELD, E(RELEASE), STATE_STARTING, POLICY_NOTHING, "started"},
    {STATE_HELD, E(DIED, .stop_class = STOP_CRASH), STATE_N, POLICY_NOTHING,
     NULL}, /* an operator's stop stands */
    {STATE_HELD, E(MISS), STATE_N, POLICY_NOTHING, NULL},
    {STATE_REMOVED, E(GOOD), STATE_N, POLICY_NOTHING, NULL},
#undef E
};

static void every_cell(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof CELLS / sizeof CELLS[0]; i++) {
        struct policy_memory memory = in(CELLS[i].from);
        struct policy_verdict verdict = step(&memory, CELLS[i].event, 1000000);
        enum policy_state to = CELLS[i].to == STATE_N ? CELLS[i].from : CELLS[i].to;
        bool is_as_written = memory.state == to && verdict.action == CELLS[i].action &&
                             (CELLS[i].reason == NULL || strcmp(CELLS[i].reason, verdict.reason) == 0);
        if (!is_as_written) {
            fail_msg("%s, %s: went to %s, %s, \"%s\"", policy_state_name(CELLS[i].from),
                     policy_event_name(CELLS[i].event.kind), policy_state_name(memory.state),
                     policy_action_name(verdict.action), verdict.reason);
        }
    }
}

static void misses_and_bad_beats_reach_their_thresholds(void **state)
{
    (void)state;
    struct policy_memory memory = in(STATE_UP);
    kind(&memory, EVENT_MISS, 1000000);
    kind(&memory, EVENT_MISS, 1015000);
    assert_int_equal(STATE_SUSPECT, memory.state);
    struct policy_verdict verdict = step(&memory, (struct policy_event){.kind = EVENT_MISS}, 1030000);
    assert_int_equal(STATE_FAILED, memory.state);
    assert_int_equal(POLICY_COUNT_MISS, verdict.action);
    assert_int_equal(CAUSE_MISSING, memory.cause);
    memory = in(STATE_UP);
    kind(&memory, EVENT_BAD, 1000000);
    kind(&memory, EVENT_BAD, 1010000);
    assert_int_equal(STATE_SUSPECT, memory.state);
    kind(&memory, EVENT_BAD, 1020000);
    assert_int_equal(STATE_FAILED, memory.state);
    assert_int_equal(CAUSE_UNHEALTHY, memory.cause);
}

static void the_start_deadline(void **state)
{
    (void)state;
    struct policy_memory memory = in(STATE_STARTING);
    kind(&memory, EVENT_TIMER, 999000 + 299999);
    assert_int_equal(STATE_STARTING, memory.state);
    kind(&memory, EVENT_TIMER, 999000 + 300000);
    assert_int_equal(STATE_FAILED, memory.state);
    assert_int_equal(CAUSE_START_TIMEOUT, memory.cause);
}

static void stopping_suspends_and_ends(void **state)
{
    (void)state;
    struct policy_memory memory = in(STATE_UP);
    kind(&memory, EVENT_STOPPING, 1000000);
    kind(&memory, EVENT_MISS, 1039999);
    assert_int_equal(STATE_UP, memory.state);
    kind(&memory, EVENT_STOPPING, 1039999); /* saying it again prolongs nothing */
    kind(&memory, EVENT_MISS, 1040000);
    assert_int_equal(STATE_SUSPECT, memory.state);
}

static void backoff_only_grows_by_jitter(void **state)
{
    (void)state;
    static const uint32_t RANDOMS[] = {0, UINT32_MAX / 2, UINT32_MAX};
    for (int attempts = 1; attempts <= 5; attempts++) {
        int64_t delay_ms = policy_backoff_ms(&TERMS, attempts);
        assert_int_equal(attempts == 1 ? 5000 : attempts == 2 ? 15000 : 45000, delay_ms);
        for (size_t i = 0; i < sizeof RANDOMS / sizeof RANDOMS[0]; i++) {
            struct policy_memory memory = in(STATE_RESTARTING);
            memory.attempts = attempts;
            step(&memory, (struct policy_event){.kind = EVENT_DONE, .random = RANDOMS[i]}, 1000000);
            int64_t wait_ms = memory.next_attempt_at.ms - 1000000;
            assert_true(wait_ms >= delay_ms && wait_ms <= delay_ms + delay_ms / 5);
        }
    }
}

static void a_gift_is_given_back_once(void **state)
{
    (void)state;
    struct policy_memory memory = in(STATE_FAILED);
    for (int i = 0; i < 3; i++) {
        kind(&memory, EVENT_OPEN, 1000000 + i);
        step(&memory,
             (struct policy_event){.kind = EVENT_UNCHANGED, .unchanged = UNCHANGED_RETRY, .reason = "busy"},
             1000000 + i);
    }
    assert_int_equal(2, memory.attempts);
}

static void stable_returns_the_budget(void **state)
{
    (void)state;
    struct policy_memory memory = in(STATE_UP);
    memory.attempts = 2;
    memory.healthy_since = (struct mono){1000000};
    struct policy_verdict verdict = step(&memory, (struct policy_event){.kind = EVENT_TIMER}, 1599999);
    assert_int_equal(POLICY_NOTHING, verdict.action);
    verdict = step(&memory, (struct policy_event){.kind = EVENT_TIMER}, 1600000);
    assert_int_equal(POLICY_FORGET, verdict.action);
    assert_int_equal(0, memory.attempts);
}

static void a_relapse_returns_to_its_cooldown(void **state)
{
    (void)state;
    struct policy_memory memory = in(STATE_COOLDOWN);
    struct mono until = memory.cooldown_until;
    kind(&memory, EVENT_GOOD, 1100000);
    step(&memory, died(STOP_CRASH, 1), 1200000);
    for (int64_t ms = 1202000; memory.state == STATE_DOWN; ms += 2000) {
        kind(&memory, EVENT_TIMER, ms);
    }
    assert_int_equal(STATE_COOLDOWN, memory.state);
    assert_int_equal(until.ms, memory.cooldown_until.ms);
    kind(&memory, EVENT_TIMER, until.ms);
    assert_int_equal(0, memory.attempts);
    kind(&memory, EVENT_TIMER, until.ms);
    assert_int_equal(STATE_FAILED, memory.state);
}

static void what_a_last_look_refused_may_be_told_better(void **state)
{
    (void)state;
    struct policy_memory memory = in(STATE_RESTARTING);
    step(&memory,
         (struct policy_event){
             .kind = EVENT_UNCHANGED, .unchanged = UNCHANGED_HELD, .reason = "refused_stopped"},
         1000000);
    assert_int_equal(STATE_HELD, memory.state);
    step(&memory, died(STOP_KILLED, 137), 1001000);
    assert_int_equal(STATE_DOWN, memory.state);
}

/* Any events in any order: the count stays within the budget, and no answer is without a reason. */
static void random_events(void **state)
{
    (void)state;
    uint64_t seed = 11;
    struct policy_memory memory;
    policy_init(&memory);
    int64_t ms = 1000;
    for (int i = 0; i < 300000; i++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        uint32_t random = (uint32_t)(seed >> 33);
        ms += random % 7000;
        struct policy_event event = {
            .kind = (enum policy_event_kind)(random % EVENT_N),
            .maker = (enum start_maker)(random / 64 % 4),
            .age_ms = -1,
            .stop_class = (enum stop_class)(random / 256 % STOP_CLASS_N),
            .unchanged = (enum unchanged_kind)(random / 4096 % 3),
            .until = {ms + 1000},
            .reason = "given",
            .random = random,
        };
        int32_t before = memory.attempts;
        enum policy_state from = memory.state;
        struct policy_verdict verdict = policy_step(&TERMS, &memory, &event, (struct mono){ms});
        assert_non_null(verdict.reason);
        assert_true(memory.attempts >= 0 && memory.attempts <= 3);
        assert_true(memory.attempts <= before || verdict.action == POLICY_ATTEMPT);
        assert_true(verdict.action != POLICY_ATTEMPT || (from == STATE_FAILED && event.kind == EVENT_OPEN));
        assert_true(verdict.action != POLICY_ATTEMPT || memory.cooldown_until.ms <= ms);
        if (memory.state == STATE_REMOVED) {
            policy_init(&memory);
        }
    }
}

static void names(void **state)
{
    (void)state;
    assert_string_equal("STARTING", policy_state_name(STATE_STARTING));
    assert_string_equal("GIVEN_BACK", policy_action_name(POLICY_GIVEN_BACK));
    assert_string_equal("MISS", policy_event_name(EVENT_MISS));
    assert_string_equal("", policy_state_name(STATE_N));
    assert_string_equal("start_timeout", policy_cause_name(CAUSE_START_TIMEOUT));
    assert_string_equal("", policy_action_name(POLICY_ACTION_N));
    assert_string_equal("", policy_event_name(EVENT_N));
    assert_string_equal("", policy_cause_name((enum failure_cause)99));
}

/* Docker's HEALTHCHECK has its retries behind it; defib.unhealthy_grace waits all the same. */
static void unhealthy_grace_waits_and_is_measured_from_the_first_word(void **state)
{
    (void)state;
    struct policy_terms terms = TERMS;
    terms.unhealthy_grace_ms = 30000;
    struct policy_memory memory = in(STATE_UP);
    const struct policy_event sick = {.kind = EVENT_SICK}, timer = {.kind = EVENT_TIMER};
    struct policy_verdict verdict = policy_step(&terms, &memory, &sick, (struct mono){1000000});
    assert_int_equal(STATE_SUSPECT, memory.state);
    assert_string_equal("unhealthy_grace", verdict.reason);
    assert_int_equal(1030000, verdict.wake_at.ms);
    policy_step(&terms, &memory, &sick, (struct mono){1020000}); /* said again, it begins nothing anew */
    assert_int_equal(1000000, memory.sick_since.ms);
    policy_step(&terms, &memory, &timer, (struct mono){1029999});
    assert_int_equal(STATE_SUSPECT, memory.state);
    policy_step(&terms, &memory, &timer, (struct mono){1030000});
    assert_int_equal(STATE_FAILED, memory.state);
    assert_int_equal(CAUSE_UNHEALTHY, memory.cause);
    memory = in(STATE_UP); /* well again in time */
    policy_step(&terms, &memory, &sick, (struct mono){1000000});
    const struct policy_event good_word = {.kind = EVENT_GOOD};
    policy_step(&terms, &memory, &good_word, (struct mono){1010000});
    policy_step(&terms, &memory, &timer, (struct mono){1030000});
    assert_int_equal(STATE_UP, memory.state);
    assert_int_equal(0, memory.sick_since.ms);
    memory = in(STATE_UP); /* a word after the time is enough, without a timer */
    policy_step(&terms, &memory, &sick, (struct mono){1000000});
    policy_step(&terms, &memory, &sick, (struct mono){1030000});
    assert_int_equal(STATE_FAILED, memory.state);
}

/* An agent that gave no cause: an exit that an operator's stop has as well is held, any other is a failure.
 */
static void without_a_cause_the_exit_code_decides(void **state)
{
    (void)state;
    static const struct {
        enum stop_class class;
        bool has_exit_code, is_docker_acting;
        int exit_code;
        enum policy_state wanted;
    } CASES[] = {
        {STOP_UNKNOWN, true, false, 0, STATE_HELD}, {STOP_UNKNOWN, true, false, 130, STATE_HELD},
        {STOP_NONE, true, false, 143, STATE_HELD},  {STOP_UNKNOWN, true, false, 137, STATE_DOWN},
        {STOP_NONE, true, false, 1, STATE_DOWN},    {STOP_UNKNOWN, false, false, 0, STATE_DOWN},
        {STOP_UNKNOWN, true, true, 0, STATE_DOWN},  {STOP_CRASH, true, false, 0, STATE_DOWN},
    };
    static const enum policy_state FROM[] = {STATE_UP, STATE_DOWN, STATE_COOLDOWN};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0] * 3; i++) {
        size_t row = i / 3;
        struct policy_memory memory = in(FROM[i % 3]);
        struct policy_event event = died(CASES[row].class, CASES[row].exit_code);
        event.has_exit_code = CASES[row].has_exit_code;
        event.is_docker_acting = CASES[row].is_docker_acting;
        step(&memory, event, 1000000);
        bool stays = FROM[i % 3] == STATE_COOLDOWN && CASES[row].wanted == STATE_DOWN;
        assert_int_equal(stays ? STATE_COOLDOWN : CASES[row].wanted, memory.state);
        assert_true(memory.state != STATE_HELD || strcmp(memory.reason, "unknown_stop") == 0);
    }
}

/* The thaw takes a silence back, and nothing else; what was sent is judged by its outcome. */
static void a_thaw_takes_back_what_only_silence_told(void **state)
{
    (void)state;
    struct policy_memory memory = in(STATE_UP);
    for (int64_t ms = 1000000; memory.state != STATE_FAILED; ms += 15000) {
        kind(&memory, EVENT_MISS, ms);
    }
    assert_int_equal(CAUSE_MISSING, memory.cause);
    kind(&memory, EVENT_OPEN, 1100000);
    struct policy_memory sent = memory;
    struct policy_verdict verdict = step(&memory, (struct policy_event){.kind = EVENT_THAW}, 1100001);
    assert_int_equal(POLICY_GIVEN_BACK, verdict.action);
    assert_int_equal(STATE_STARTING, memory.state);
    assert_int_equal(0, memory.attempts);
    sent.is_sent = true;
    kind(&sent, EVENT_THAW, 1100002);
    assert_int_equal(STATE_RESTARTING, sent.state);
    assert_int_equal(1, sent.attempts);
    struct policy_memory dead = in(STATE_RESTARTING);
    kind(&dead, EVENT_THAW, 1000001);
    assert_int_equal(STATE_RESTARTING, dead.state);
}

/* After a cooldown that it lived through, it is begun anew where it was started meanwhile; else tried again.
 */
static void a_cooldown_ends_by_what_is_known_then(void **state)
{
    (void)state;
    struct policy_memory memory = in(STATE_COOLDOWN);
    struct mono until = memory.cooldown_until;
    step(&memory, (struct policy_event){.kind = EVENT_RUNNING, .maker = MADE_BY_DOCKER, .age_ms = 0},
         1001000);
    assert_int_equal(STATE_COOLDOWN, memory.state);
    struct policy_memory dead = memory;
    kind(&memory, EVENT_TIMER, until.ms);
    assert_int_equal(STATE_STARTING, memory.state);
    assert_int_equal(0, memory.attempts);
    step(&dead, died(STOP_CRASH, 1), until.ms - 1); /* and died again before its end */
    kind(&dead, EVENT_TIMER, until.ms);
    assert_int_equal(STATE_DOWN, dead.state);
    kind(&dead, EVENT_TIMER, until.ms);
    assert_int_equal(STATE_FAILED, dead.state);
    struct policy_memory silent = in(STATE_COOLDOWN);
    silent.cause = CAUSE_UNHEALTHY;
    kind(&silent, EVENT_TIMER, silent.cooldown_until.ms);
    assert_int_equal(STATE_FAILED, silent.state);
    assert_int_equal(CAUSE_UNHEALTHY, silent.cause);
}

/* A cooldown that was loaded while it stood at the gates holds it there, too. */
static void no_attempt_begins_inside_a_cooldown(void **state)
{
    (void)state;
    struct policy_memory memory = in(STATE_FAILED);
    memory.cooldown_until = (struct mono){2000000};
    struct policy_verdict verdict = step(&memory, (struct policy_event){.kind = EVENT_OPEN}, 1000000);
    assert_int_equal(STATE_COOLDOWN, memory.state);
    assert_int_equal(POLICY_NOTHING, verdict.action);
    assert_int_equal(2000000, verdict.wake_at.ms);
    assert_int_equal(0, memory.attempts);
    memory = in(STATE_FAILED);
    memory.attempts = 3;
    memory.cooldown_until = (struct mono){1000000}; /* it is over: a fresh budget with the next failure */
    kind(&memory, EVENT_GOOD, 1000001);
    step(&memory, (struct policy_event){.kind = EVENT_SICK}, 1000002);
    assert_int_equal(STATE_FAILED, memory.state);
    assert_int_equal(0, memory.attempts);
}

/* It is to be restarted for its parent: its own good health says nothing against that. */
static void a_cascade_is_not_healed_by_beats(void **state)
{
    (void)state;
    const struct policy_event stale = {.kind = EVENT_STALE, .cause = CAUSE_STALE_NETWORK};
    struct policy_memory memory = in(STATE_UP);
    step(&memory, stale, 1000000);
    kind(&memory, EVENT_GOOD, 1001000);
    kind(&memory, EVENT_WARMING, 1001000);
    assert_int_equal(STATE_FAILED, memory.state);
    kind(&memory, EVENT_OPEN, 1002000);
    assert_int_equal(STATE_RESTARTING, memory.state);
    kind(&memory, EVENT_GOOD, 1003000);
    assert_int_equal(STATE_RESTARTING, memory.state);
    assert_int_equal(1, memory.attempts);
    kind(&memory, EVENT_ABORTED, 1004000);
    kind(&memory, EVENT_FRESH, 1005000);
    assert_int_equal(STATE_STARTING, memory.state);
    assert_int_equal(0, memory.attempts);
    kind(&memory, EVENT_GOOD, 1006000);
    assert_int_equal(STATE_UP, memory.state);
    step(&memory, stale, 1007000);
    step(&memory, died(STOP_CRASH, 1), 1008000); /* now it has a failure of its own */
    assert_int_equal(STATE_DOWN, memory.state);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cascade_is_not_healed_by_beats),
        cmocka_unit_test(unhealthy_grace_waits_and_is_measured_from_the_first_word),
        cmocka_unit_test(without_a_cause_the_exit_code_decides),
        cmocka_unit_test(a_thaw_takes_back_what_only_silence_told),
        cmocka_unit_test(a_cooldown_ends_by_what_is_known_then),
        cmocka_unit_test(no_attempt_begins_inside_a_cooldown),
        cmocka_unit_test(every_cell),
        cmocka_unit_test(misses_and_bad_beats_reach_their_thresholds),
        cmocka_unit_test(the_start_deadline),
        cmocka_unit_test(stopping_suspends_and_ends),
        cmocka_unit_test(backoff_only_grows_by_jitter),
        cmocka_unit_test(a_gift_is_given_back_once),
        cmocka_unit_test(stable_returns_the_budget),
        cmocka_unit_test(a_relapse_returns_to_its_cooldown),
        cmocka_unit_test(what_a_last_look_refused_may_be_told_better),
        cmocka_unit_test(random_events),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
