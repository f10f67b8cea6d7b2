/*
 * The 30 invariants of policy.md, section 8, against the truth. Each check names its number; what cannot be
 * judged (a path was cut, the world changed a moment ago) is not counted.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "controller/core/decider.h"
#include "controller/restart_journal.h"
#include "proto/keys.h"
#include "proto/restart_state.h"
#include "tests/sim/sim.h"

static const int64_t GOOD_WINDOW_MS = 60000; /* so long after it got well a command may still be on its way */
static const int64_t KNOWN_MS = 5000;        /* so long after a change the controller may not know it */
static const int64_t CALM_MS = 120000;       /* nothing was disturbed for so long */
static const int64_t OUTCOME_MS = 60000;     /* beside the stop timeout; as in decider_attempt.c */

struct invariant invariants[INVARIANTS + 1] = {
    {0, "", "", 0},
    {1, "No command targets a denied container, ourselves or our Redis", "at each command sent and each act",
     0},
    {2, "Every target is allowed when sent and again at the agent", "at each command sent and each act", 0},
    {3, "Attempts in any cooldown period <= MAX", "sliding window over sent commands, by container id", 0},
    {4, "Backoff from completion; nothing inside a cooldown",
     "at each command: time since Docker acted, cooldown told", 0},
    {5, "Disabled or MAX = 0: no commands", "at each command; each failure in such a run", 0},
    {6, "attempt_count falls only for a reason, given back once", "at each stored or forgotten state", 0},
    {7, "The attempt is stored before the command leaves",
     "at each command: Redis' key or the journal on disk", 0},
    {8, "One command in flight per container; caps hold", "at each command", 0},
    {9, "One id, at most one change; stale ones none", "at each act of Docker for us", 0},
    {10, "docker stop: no start until an operator says so", "at each act", 0},
    {11, "docker kill leads to an attempt in time", "deadline after each kill that nothing else disturbs", 0},
    {12, "Our own stops, shutdowns and daemon restarts are no operator's", "at each class an agent publishes",
     0},
    {13, "Removed, recreated, renamed: no command, no alert", "at each command and failure alert", 0},
    {14, "starting, stopping, degraded alone cause no command",
     "at each command: was the container bad lately?", 0},
    {15, "Redis outages of any kind restart nothing", "as 14, after a fault of Redis", 0},
    {16, "Lost agents: no commands there, one alert an episode", "at each command and AGENT_LOST", 0},
    {17, "Controller restart with all healthy: no commands", "as 14, after a start of a controller", 0},
    {18, "Clock jumps change nothing", "as 14, after a jump or a stall", 0},
    {19, "Breaker", "", 0},
    {20, "Ancestors first", "", 0},
    {21, "Holds: no command in scope", "at each command", 0},
    {22, "What still fails is tried again after each cooldown", "deadline after each cooldown", 0},
    {23, "Any bytes affect that container alone", "all other views before and after rubbish", 0},
    {24, "JSON round-trips, unknown fields, all time forms", "random documents through the codecs", 0},
    {25, "Alerts: once per transition, closed, not repeated too soon", "at each alert, and at the end", 0},
    {26, "The death of one replica is found", "as 11, for containers that share a service", 0},
    {27, "Beats never slip > 1 s while a stop is in flight", "at each interval of an agent with a job", 0},
    {28, "Same history, same answers", "whole runs twice, hash of every action", 0},
    {29, "Memory stays bounded under churn", "sizes of the tables, each minute", 0},
    {30, "Nothing unauthenticated reaches Docker", "forged bytes at the agent's door; acts without a command",
     0},
};

bool inv(int number, bool holds, const char *format, ...)
{
    invariants[number].exercised++;
    if (holds || sim->failed != 0 || sim->is_ending) {
        return holds;
    }
    va_list args;
    va_start(args, format);
    int len = snprintf(sim->failure, sizeof sim->failure, "invariant %d at %.3f s: ", number,
                       (double)sim->now / 1000.0);
    vsnprintf(sim->failure + len, sizeof sim->failure - (size_t)len, format, args);
    va_end(args);
    sim->failed = number;
    sim_say("VIOLATED: %s", sim->failure);
    return false;
}

static bool is_calm(int64_t at)
{
    return sim->now - at >= CALM_MS;
}

int64_t sim_calm_since(int host)
{
    int64_t since = redis_disturbed_at;
    int64_t others[] = {sim->dockers[host]->disturbed_at,
                        sim->link_disturbed_at[host],
                        sim->agent_down_at[host],
                        sim->agent_back_at[host],
                        sim->controller_started_at,
                        sim->stall_until,
                        sim->clock_jumped_at};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        since = others[i] > since ? others[i] : since;
    }
    if (!redis_is_there() || !agent_node_sees(host) || !controller_node_runs(0)) {
        since = sim->now;
    }
    return since;
}

/* ---- what was received by agents ---- */

struct known_command {
    struct command command;
    int host, acts;
    int64_t received_at;
};

enum { KNOWN_MAX = 512 };
static struct known_command known[KNOWN_MAX];
static size_t known_count;

static struct expectation expectations[64];

void check_begin(void)
{
    known_count = 0;
    memcpy(expectations, sim->plan->expectations, sizeof expectations);
}

void check_note_command(int host, const struct command *command, bool is_job)
{
    if (!is_job || command->op == OP_OUTCOME) {
        return;
    }
    struct known_command *place = &known[known_count++ % KNOWN_MAX];
    *place = (struct known_command){*command, host, 0, sim->now};
}

static struct known_command *last_command_for(const struct box *box)
{
    struct known_command *last = NULL;
    size_t count = known_count < KNOWN_MAX ? known_count : KNOWN_MAX;
    for (size_t i = 0; i < count; i++) {
        bool is_his = strcmp(known[i].command.container_id, box->id) == 0;
        if (is_his && (!last || known[i].received_at >= last->received_at)) {
            last = &known[i];
        }
    }
    return last;
}

/* ---- expectations of scenarios ---- */

static void expect(const char *what, const char *name, const char *word)
{
    for (size_t i = 0; i < sim->plan->expectation_count; i++) {
        struct expectation *each = &expectations[i];
        bool is_name = strcmp(each->name, "*") == 0 || strcmp(each->name, name) == 0;
        bool is_word = each->word[0] == '\0' || strcmp(each->word, word) == 0;
        if (strcmp(each->what, what) != 0 || !is_name || !is_word || sim->now < each->from ||
            sim->now > each->to) {
            continue;
        }
        each->seen++;
        if (each->is_never && sim->failed == 0) {
            sim->failed = -1;
            snprintf(sim->failure, sizeof sim->failure, "at %.3f s: %s %s %s, which must not follow",
                     (double)sim->now / 1000.0, what, name, word);
        }
    }
}

/* ---- commands ---- */

static int64_t backoff_ms(int64_t attempt)
{
    size_t index = attempt > 1 ? (size_t)attempt - 1 : 0;
    size_t count = sim->policy.backoff_count;
    return sim->policy.backoff_ms[index < count ? index : count - 1];
}

static bool is_in_flight(const struct box *box)
{
    return box->in_flight_id[0] != '\0' && box->in_flight_until > sim->now && !box->is_removed;
}

static void check_target(struct box *box, const char *when)
{
    inv(1, !box->is_denied && !box->is_defib && !box->is_redis && !box->is_denied_label,
        "%s of %s, which is denied", when, box->name);
    inv(2, box->is_allowed, "%s of %s, which is not allowed", when, box->name);
    inv(5, sim->policy.is_enabled && sim->policy.max_attempts > 0,
        "%s of %s although nothing may be restarted", when, box->name);
}

static void check_budget(struct box *box, const struct command *command)
{
    int64_t since = sim->now - sim->policy.cooldown_ms;
    int count = 0;
    for (int i = 0; i < box->send_count; i++) {
        count += box->sends[i] > since && box->sends[i] > box->reset_at &&
                 box->sends[i] > box->started_by_operator_at;
    }
    inv(3, count < sim->policy.max_attempts, "attempt %lld of %s is number %d within the cooldown period",
        (long long)command->attempt, box->name, count + 1);
    inv(4, box->cooldown_until <= sim->now || box->reset_at > 0, "%s is commanded inside its cooldown",
        box->name);
    if (command->attempt > 1 && box->acted_at > box->reset_at &&
        box->acted_at > box->started_by_operator_at) {
        inv(4, sim->now - box->acted_at >= backoff_ms(command->attempt - 1),
            "attempt %lld of %s only %lld ms after Docker acted on the one before",
            (long long)command->attempt, box->name, (long long)(sim->now - box->acted_at));
    }
}

static void check_stored(int controller, const struct box *box, const struct command *command)
{
    char key[KEY_SIZE], hex[LIMIT_COMMAND_ID_SIZE];
    command_id_format(&command->id, hex);
    key_restart(key, command->container);
    const struct redis_doc *doc = redis_get(key);
    bool is_there = doc && doc->kind == DOC_TEXT && strstr(doc->text, hex);
    size_t len = 0;
    const char *journal = disk_read(controller_node_disk(controller), RESTART_JOURNAL_FILE, &len);
    is_there = is_there || (journal && memmem(journal, len, hex, strlen(hex)));
    /* Redis may have lost it a moment after it had said OK. */
    bool is_excused = sim->now - redis_disturbed_at < 1000;
    inv(7, is_there || is_excused, "attempt %lld of %s is sent, but stored nowhere",
        (long long)command->attempt, box->name);
}

static void check_places(int controller, const struct box *box, const char *hex)
{
    int fleet = 0, host = 0;
    inv(8,
        !is_in_flight(box) || strcmp(box->in_flight_id, hex) == 0 || box->in_flight_controller != controller,
        "a second command for %s while one is in flight", box->name);
    for (int i = 0; i < sim->box_count; i++) {
        const struct box *each = sim->boxes[i];
        bool counts = each != box && is_in_flight(each) && each->in_flight_controller == controller &&
                      is_calm(sim_calm_since(each->docker->index));
        fleet += counts;
        host += counts && each->docker == box->docker;
    }
    inv(8, fleet < sim->policy.max_fleet && host < sim->policy.max_per_host,
        "%s: %d others in flight on its host, %d in the fleet", box->name, host, fleet);
}

/* Which promise it would break: the youngest disturbance names it. */
static int number_of_now(int host)
{
    int64_t window_ms = 300000;
    int64_t ages[][2] = {{15, sim->now - redis_disturbed_at},
                         {16, sim->now - sim->agent_back_at[host]},
                         {17, sim->now - sim->controller_started_at},
                         {18, sim->now - sim->clock_jumped_at},
                         {18, sim->now - sim->stall_until}};
    int number = 14;
    for (size_t i = 0; i < sizeof ages / sizeof ages[0]; i++) {
        if (ages[i][1] < window_ms) {
            window_ms = ages[i][1];
            number = (int)ages[i][0];
        }
    }
    return number;
}

static void check_need(const struct box *box)
{
    bool is_well = !box->is_removed && box->good_since != 0 && sim->now - box->bad_at > GOOD_WINDOW_MS;
    sim->wrong_restarts += is_well;
    inv(number_of_now(box->docker->index), !is_well, "%s is commanded, but well for %.1f s", box->name,
        (double)(sim->now - box->bad_at) / 1000.0);
    inv(14, !is_well || sim->failed != 0, "%s", box->name);
}

static void check_identity(const struct box *box, const struct command *command)
{
    int64_t calm = sim_calm_since(box->docker->index);
    bool is_gone =
        box->is_removed && sim->now - box->removed_at > KNOWN_MS && calm < box->removed_at - CALM_MS;
    inv(13, !is_gone, "a command for %s, removed %lld ms ago", box->name,
        (long long)(sim->now - box->removed_at));
    bool is_renamed = box->renamed_at > 0 && sim->now - box->renamed_at > KNOWN_MS &&
                      strcmp(box->name, command->container) != 0 && calm < box->renamed_at - CALM_MS;
    inv(13, !is_renamed, "a command for %s, which is %s now", command->container, box->name);
}

static void check_host(const struct box *box)
{
    int host = box->docker->index;
    int64_t slack_ms = sim->policy.heartbeat_ttl_ms + 15000;
    bool is_lost = !agent_node_runs(host) && sim->now - sim->agent_down_at[host] > slack_ms;
    inv(16, !is_lost, "%s is commanded on %s, whose agent is gone", box->name, box->docker->host);
}

void check_send(int controller, const struct command *command)
{
    char hex[LIMIT_COMMAND_ID_SIZE];
    command_id_format(&command->id, hex);
    struct box *box = sim_box_by_id(command->container_id);
    if (!box) {
        inv(13, false, "a command for an id that never was: %s", command->container);
        return;
    }
    expect("send", command->container, command->reason);
    if (strcmp(box->last_id, hex) == 0) {
        return; /* the same once more: it had not left */
    }
    sim->sends++;
    check_target(box, "a command");
    check_budget(box, command);
    check_stored(controller, box, command);
    check_places(controller, box, hex);
    check_need(box);
    check_identity(box, command);
    check_host(box);
    inv(21, !box->is_held || sim->now - box->held_at < 1500 || redis_disturbed_at > box->held_at - 5000,
        "%s is commanded, but held for %lld ms", box->name, (long long)(sim->now - box->held_at));
    memmove(box->sends + 1, box->sends, sizeof box->sends - sizeof box->sends[0]);
    box->sends[0] = sim->now;
    box->send_count = box->send_count < 64 ? box->send_count + 1 : 64;
    memory_set_text(box->last_id, sizeof box->last_id, hex);
    memory_set_text(box->in_flight_id, sizeof box->in_flight_id, hex);
    box->in_flight_controller = controller;
    box->in_flight_until = sim->now + command->stop_timeout_ms + OUTCOME_MS;
    box->last_attempt = command->attempt;
    box->is_given_back = false;
    box->cooldown_until = 0;
}

static void complete(struct box *box, bool is_given_back)
{
    box->in_flight_id[0] = '\0';
    box->completed_at = sim->now;
    if (is_given_back && box->send_count > 0) {
        memmove(box->sends, box->sends + 1, sizeof box->sends - sizeof box->sends[0]);
        box->send_count--;
        box->is_given_back = true;
    }
}

static struct box *box_in_flight(const char *hex)
{
    for (int i = 0; i < sim->box_count; i++) {
        if (strcmp(sim->boxes[i]->in_flight_id, hex) == 0) {
            return sim->boxes[i];
        }
    }
    return NULL;
}

void check_completed(int controller, const struct command_id *id, bool is_given_back)
{
    (void)controller;
    char hex[LIMIT_COMMAND_ID_SIZE];
    command_id_format(id, hex);
    struct box *box = box_in_flight(hex);
    if (box) {
        complete(box, is_given_back);
    }
}

void check_told(const char *command_hex, enum answer_code code)
{
    struct box *box = command_hex[0] == '\0' || code == ANSWER_ACCEPTED ? NULL : box_in_flight(command_hex);
    if (box) {
        complete(box, answer_code_changed_nothing(code));
    }
}

/* ---- acts ---- */

static bool is_stop_certain(const struct box *box)
{
    int host = box->docker->index;
    int64_t from = box->stopped_at - 10000, settled = box->stopped_at + sim->policy.intent_settle_ms + 15000;
    int64_t times[] = {box->docker->disturbed_at, sim->agent_down_at[host], sim->agent_back_at[host]};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        if (times[i] > from && times[i] < settled) {
            return false;
        }
    }
    return box->is_stop_seen;
}

void check_act(struct box *box, const char *started_at, enum command_op act)
{
    struct known_command *command = last_command_for(box);
    sim->acts++;
    expect("act", box->name, command_op_name(act));
    check_target(box, "an act");
    if (!inv(30, command != NULL, "Docker was asked to %s %s without a command", command_op_name(act),
             box->name)) {
        return;
    }
    command->acts++;
    inv(9, command->acts <= 1, "one command changed %s %d times", box->name, command->acts);
    bool is_race = sim->now - box->started_ms < 1000;
    inv(9, is_race || strcmp(command->command.expect_started_at, started_at) == 0,
        "%s of %s was meant for another incarnation", command_op_name(act), box->name);
    inv(9,
        sim->now - command->received_at <= command->command.ttl_ms + 11000 ||
            box->docker->disturbed_at + 60000 > sim->now,
        "a command for %s was carried out %lld ms after it came", box->name,
        (long long)(sim->now - command->received_at));
    bool is_fresh = sim->now - box->stopped_at < 1000;
    inv(10, !box->is_operator_stopped || is_fresh || !is_stop_certain(box),
        "%s is started; an operator stopped it", box->name);
    box->acted_at = sim->now;
}

void check_class(int host, const char *id, enum stop_class class)
{
    const struct box *box = sim_box_by_id(id);
    const struct docker *docker = sim->dockers[host];
    if (!box || class == STOP_NONE) {
        return;
    }
    /* An agent that died in the middle of a shutdown cannot know how it ended. */
    bool is_blind = sim->now - docker->disturbed_at < 600000 && sim->now - sim->agent_down_at[host] < 600000;
    inv(12,
        class != STOP_OPERATOR || is_blind || box->is_operator_stopped || box->is_removed ||
            box->state == CONTAINER_RUNNING,
        "the agent of %s says an operator stopped %s", docker->host, box->name);
}

/* ---- budgets ---- */

void check_count(const char *container, int64_t count, bool is_forgotten)
{
    struct box *box = sim_box(container);
    (void)is_forgotten;
    if (!box) {
        return;
    }
    if (count < box->last_count) {
        bool is_stable = box->good_since != 0 && sim->now - box->good_since >= sim->policy.stable_ms - 2000;
        bool is_cooled = box->cooldown_until != 0 && sim->now >= box->cooldown_until - 2000;
        bool by_operator = box->reset_at > 0 || box->started_by_operator_at > 0;
        bool is_unsent = count == box->last_count - 1 && box->last_attempt != box->last_count;
        bool is_back = count == box->last_count - 1 && box->is_given_back;
        bool is_new = box->send_count == 0;
        inv(6, is_stable || is_cooled || by_operator || is_unsent || is_back || is_new,
            "the count of %s fell from %d to %lld", box->name, box->last_count, (long long)count);
        box->is_given_back = false;
        box->last_attempt = 0;
    } else {
        inv(6, true, "%s", "");
    }
    box->last_count = (int)count;
}

void check_note_reset(struct box *box)
{
    box->reset_at = sim->now;
    box->cooldown_until = 0;
}

/* ---- deadlines ---- */

static bool may_be_restarted(const struct box *box)
{
    return sim->policy.is_enabled && sim->policy.max_attempts > 0 && box->is_allowed && !box->is_denied &&
           !box->is_defib && !box->is_redis && !box->is_denied_label && !box->is_held && !box->is_removed &&
           box->parent < 0;
}

static bool is_all_quiet(const struct box *but)
{
    for (int i = 0; i < sim->box_count; i++) {
        const struct box *each = sim->boxes[i];
        bool is_trouble = each != but && !each->is_removed && !each->is_operator_stopped &&
                          each->good_since == 0 && each->state != CONTAINER_PAUSED &&
                          each->state != CONTAINER_CREATED;
        if (is_trouble || (each != but && is_in_flight(each))) {
            return false;
        }
    }
    return true;
}

struct deadline {
    struct box *box;
    int number;
    int64_t since, due;
    uint64_t life;
};

static void on_deadline(void *arg)
{
    struct deadline deadline = *(struct deadline *)arg;
    free(arg);
    struct box *box = deadline.box;
    bool is_void = sim->last_fault_at > deadline.since || !may_be_restarted(box) ||
                   box->is_operator_stopped || sim_calm_since(box->docker->index) > deadline.since - 1 ||
                   !controller_node_runs(0);
    if (is_void) {
        return;
    }
    bool has_sent = box->send_count > 0 && box->sends[0] >= deadline.since;
    inv(deadline.number, has_sent || box->good_since != 0, "%s: no attempt within %lld ms", box->name,
        (long long)(deadline.due - deadline.since));
    if (deadline.number == 11 && box->service[0]) {
        inv(26, has_sent || box->good_since != 0, "the death of one replica, %s, was not found", box->name);
    }
}

static void set_deadline(struct box *box, int number, int64_t ms)
{
    struct deadline *deadline = memory_alloc(sizeof *deadline);
    *deadline = (struct deadline){box, number, sim->now, sim->now + ms, box->life};
    sim_at(sim->now + ms, NULL, on_deadline, free, deadline);
}

void check_kill(struct box *box)
{
    int64_t window = sim->now - sim->policy.cooldown_ms;
    bool has_budget = (box->send_count == 0 || box->sends[0] < window) && box->cooldown_until < sim->now &&
                      box->last_count == 0;
    bool is_fair = may_be_restarted(box) && has_budget && is_all_quiet(box) &&
                   is_calm(sim_calm_since(box->docker->index)) && sim->now - box->good_since > 30000;
    if (is_fair) {
        int64_t ms =
            sim->policy.stop_settle_ms + sim->policy.miss_threshold * sim->policy.fast_check_ms + 5000;
        set_deadline(box, 11, ms);
    }
}

static void check_after_cooldown(void *arg)
{
    struct box *box = sim->boxes[(int)(intptr_t)arg];
    bool is_bad = box->good_since == 0 && !box->is_operator_stopped && box->state != CONTAINER_PAUSED;
    bool is_fair = may_be_restarted(box) && is_bad && is_calm(sim_calm_since(box->docker->index)) &&
                   sim->now - sim->last_fault_at > 200000 && box->sends[0] < box->cooldown_until;
    if (is_fair && box->cooldown_until != 0 && box->cooldown_until <= sim->now - 170000) {
        inv(22, false, "%s still fails %lld s after its cooldown, and nobody tries again", box->name,
            (long long)(sim->now - box->cooldown_until) / 1000);
    } else {
        inv(22, true, "%s", "");
    }
}

/* ---- alerts ---- */

struct told {
    enum alert_type type;
    char name[NAME_BYTES], action[LIMIT_REASON_SIZE];
    int64_t at;
};

enum { TOLD_MAX = 1024 };
static struct told told[TOLD_MAX];
static size_t told_count;
static bool is_lost_told[NODES_MAX][HOSTS_MAX];
static int64_t told_controller_at;

static struct told *find_told(const struct alert *alert, const char *name)
{
    for (size_t i = 0; i < told_count; i++) {
        if (told[i].type == alert->type && strcmp(told[i].name, name) == 0 &&
            strcmp(told[i].action, alert->action) == 0) {
            return &told[i];
        }
    }
    struct told *new = told_count < TOLD_MAX ? &told[told_count++] : &told[0];
    *new = (struct told){.type = alert->type, .at = INT64_MIN / 2};
    memory_set_text(new->name, sizeof new->name, name);
    memory_set_text(new->action, sizeof new->action, alert->action);
    return new;
}

static void check_host_alert(int controller, const struct alert *alert)
{
    int host = -1;
    if (sscanf(alert->host, "host-%d", &host) != 1 || host < 0 || host >= sim->plan->hosts) {
        return;
    }
    bool is_lost = alert->type == ALERT_AGENT_LOST;
    bool *state = &is_lost_told[controller][host];
    inv(16, *state != is_lost, "%s of %s twice in one episode", alert_type_name(alert->type), alert->host);
    inv(25, *state != is_lost, "%s of %s without its other half", alert_type_name(alert->type), alert->host);
    *state = is_lost;
}

static bool is_limited(const struct alert *alert)
{
    bool is_gate = strcmp(alert->action, "deny_list") == 0 ||
                   strcmp(alert->action, "not_in_allowlist") == 0 || strcmp(alert->action, "disabled") == 0;
    return (alert->type == ALERT_SERVICE_RESTART_FAILED && is_gate) || alert->type == ALERT_NAME_COLLISION ||
           alert->type == ALERT_CRASH_LOOP;
}

void check_alert(int controller, const struct alert *alert)
{
    if (alert->type == ALERT_HEALTH_SUMMARY) {
        return;
    }
    const char *name = alert->container[0] ? alert->container : alert->host;
    sim_say("ALERT %s %s %s %s %s", alert_type_name(alert->type), name, alert->action, alert->reason,
            alert->detail);
    expect("alert", name, alert_type_name(alert->type));
    if (told_controller_at != sim->controller_started_at) {
        told_controller_at = sim->controller_started_at;
        memset(is_lost_told, 0, sizeof is_lost_told);
        told_count = 0;
    }
    if (alert->type == ALERT_AGENT_LOST || alert->type == ALERT_AGENT_RECOVERED) {
        check_host_alert(controller, alert);
        return;
    }
    struct told *last = find_told(alert, name);
    struct box *box = sim_box(alert->container);
    bool is_over = box && box->good_since != 0 && box->good_since > last->at; /* another episode */
    if (is_limited(alert)) {
        inv(25,
            sim->now - last->at >= sim->policy.alert_repeat_ms || is_over ||
                (box && box->good_since == 0 && box->bad_at > last->at),
            "%s %s of %s again after %lld ms", alert_type_name(alert->type), alert->action, name,
            (long long)(sim->now - last->at));
    } else {
        inv(25, sim->now > last->at, "%s of %s twice at once", alert_type_name(alert->type), name);
    }
    last->at = sim->now;
    struct box *target = sim_box_by_id(alert->container_id);
    if (alert->type == ALERT_SERVICE_RESTART_FAILED && target) {
        bool is_gone = target->is_removed && sim->now - target->removed_at > KNOWN_MS &&
                       sim_calm_since(target->docker->index) < target->removed_at - CALM_MS;
        inv(13, !is_gone, "a failure alert about %s, which was removed", target->name);
    }
    if (alert->type == ALERT_SERVICE_RESTART_FAILED && strcmp(alert->action, "max_attempts_exhausted") == 0 &&
        target) {
        target->cooldown_until = sim->now + sim->policy.cooldown_ms;
        target->reset_at = 0;
        target->started_by_operator_at = 0;
        sim_at(target->cooldown_until + 180000, NULL, check_after_cooldown, NULL,
               (void *)(intptr_t)target->index);
    }
}

/* ---- now and then, and at the end ---- */

void check_periodic(void)
{
    size_t there = 0;
    for (int i = 0; i < sim->box_count; i++) {
        struct box *box = sim->boxes[i];
        there += !box->is_removed || sim->now - box->removed_at < 900000;
        there += box->renamed_at > 0 && box->renamed_at > sim->now - 900000;
        there += box->is_app; /* a service that nobody knows yet */
        if (box->good_since == 0 && !box->is_removed && !may_be_restarted(box)) {
            inv(sim->policy.is_enabled && sim->policy.max_attempts > 0 ? 1 : 5, true, "%s", "");
        }
        if (box->good_since == 0) {
            box->bad_at = sim->now;
        }
    }
    for (int controller = 0; controller < sim->plan->controllers; controller++) {
        struct decider *decider = controller_node_decider(controller);
        if (decider && sim->now - sim->controller_started_at > 900000) {
            inv(29, decider_count(decider) <= there + 8, "controller %d holds %zu containers of %zu",
                controller, decider_count(decider), there);
        }
    }
    for (int host = 0; host < sim->plan->hosts; host++) {
        if (is_calm(sim_calm_since(host))) {
            agent_node_check(host);
        }
    }
}

static void check_closed(struct decider *decider)
{
    for (size_t i = 0; i < told_count; i++) {
        const struct told *opening = &told[i];
        struct box *box = sim_box(opening->name);
        struct decider_view view;
        /* What was removed is over with its removal. */
        bool is_open = opening->type == ALERT_SERVICE_RESTART_FAILED && box && box->good_since != 0 &&
                       opening->at > box->created_at && opening->at > box->renamed_at &&
                       sim->now - box->good_since > 120000 && is_calm(sim_calm_since(box->docker->index)) &&
                       decider_look(decider, opening->name, &view) && strcmp(view.state, "UP") == 0;
        if (!is_open) {
            continue;
        }
        bool is_closed = false;
        for (size_t j = 0; j < told_count; j++) {
            is_closed |= told[j].type == ALERT_SERVICE_RECOVERED &&
                         strcmp(told[j].name, opening->name) == 0 && told[j].at >= opening->at;
        }
        inv(25, is_closed, "SERVICE_RESTART_FAILED %s of %s was never closed", opening->action,
            opening->name);
    }
}

void check_end(void)
{
    struct decider *decider = controller_node_decider(0);
    if (decider && told_controller_at == sim->controller_started_at) {
        check_closed(decider);
    }
    for (size_t i = 0; i < sim->plan->expectation_count && sim->failed == 0; i++) {
        const struct expectation *each = &expectations[i];
        if (!each->is_never && (each->seen < each->min || each->seen > each->max)) {
            sim->failed = -1;
            snprintf(sim->failure, sizeof sim->failure,
                     "%s %s %s between %.1f s and %.1f s: seen %d times, not %d to %d", each->what,
                     each->name, each->word, (double)each->from / 1000.0, (double)each->to / 1000.0,
                     each->seen, each->min, each->max);
        }
    }
}

void check_fini(void)
{
    told_count = 0;
    told_controller_at = -1;
    memset(is_lost_told, 0, sizeof is_lost_told);
}

/* ---- 24 ---- */

static void check_times(struct dice *dice)
{
    int64_t ms = 1700000000000 + dice_below(dice, 100000000) * 1000;
    struct wall wall = {ms};
    struct heartbeat beat, again;
    static const char *const suffixes[] = {"Z", "+00:00", "", ".000Z", ".000000000+00:00"};
    heartbeat_init(&beat);
    memory_set_text(beat.service, sizeof beat.service, "s");
    memory_set_text(beat.instance_id, sizeof beat.instance_id, "i");
    beat.status = BEAT_HEALTHY;
    beat.timestamp = wall;
    size_t len;
    cleanup_free char *text = heartbeat_encode(&beat, &len);
    char *at = strstr(text, "\"timestamp\"");
    char *end = at ? strchr(at, 'Z') : NULL;
    if (!inv(24, end != NULL, "no timestamp in %s", text)) {
        return;
    }
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        char other[2048];
        snprintf(other, sizeof other, "%.*s%s%.*s", (int)(end - text), text, suffixes[i],
                 (int)strlen(end) - 2, end + 1);
        size_t other_len = strlen(other);
        memory_set_text(other + other_len, sizeof other - other_len, ",\"zebra\":{\"x\":[1,2]}}");
        bool is_read = heartbeat_decode(other, strlen(other), &again, NULL) == 0;
        if (!inv(24, is_read && again.timestamp.ms == ms, "%s is not read", other) || !is_read) {
            return;
        }
        cleanup_free char *back = heartbeat_encode(&again, &len);
        inv(24, strstr(back, "zebra") != NULL, "an unknown field was lost: %s", back);
        heartbeat_fini(&again);
    }
    heartbeat_fini(&beat);
}

static void check_state(struct dice *dice)
{
    struct restart_state state, again;
    restart_state_init(&state);
    state.attempt_count = dice_below(dice, 9);
    state.cooldown_until.ms = 1700000000000 + dice_below(dice, 100000) * 1000;
    state.is_in_flight = dice_hits(dice, 500);
    memory_set_text(state.last_failure_reason, sizeof state.last_failure_reason, "missing_heartbeat");
    size_t len;
    cleanup_free char *text = restart_state_encode(&state, &len);
    bool is_read = restart_state_decode(text, len, &again, NULL) == 0;
    inv(24,
        is_read && again.attempt_count == state.attempt_count &&
            again.cooldown_until.ms == state.cooldown_until.ms && again.is_in_flight == state.is_in_flight,
        "a restart state changed on its way: %s", text);
    if (is_read) {
        restart_state_fini(&again);
    }
    restart_state_fini(&state);
}

void check_codecs(struct dice *dice)
{
    check_times(dice);
    check_state(dice);
}
