/* At each command that a controller sends, and when it is over. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "controller/restart_journal.h"
#include "proto/keys.h"
#include "tests/sim/check.h"
#include "tests/sim/sim.h"

static const int64_t GOOD_WINDOW_MS = 60000; /* so long after it got well a command may still be on its way */
static const int64_t OUTCOME_MS = 60000;     /* beside the stop timeout; as in decider_attempt.c */
static const int64_t LOST_MS = 60000;   /* so long after a loss the last leader was not there to mend it */
static const int64_t BLAME_MS = 330000; /* so long after a disturbance a command may come of it */

static int64_t backoff_ms(int64_t attempt)
{
    size_t index = attempt > 1 ? (size_t)attempt - 1 : 0;
    size_t count = sim->policy.backoff_count;
    return sim->policy.backoff_ms[index < count ? index : count - 1];
}

bool check_is_in_flight(const struct box *box)
{
    return box->in_flight_id[0] != '\0' && box->in_flight_until > sim->now && !box->is_removed;
}

void check_target(struct box *box, const char *when)
{
    INV(1, !box->is_denied && !box->is_defib && !box->is_redis && !box->is_denied_label,
        "%s of %s, which is denied", when, box->name);
    INV(2, box->is_allowed, "%s of %s, which is not allowed", when, box->name);
    INV(5, sim->policy.is_enabled && sim->policy.max_attempts > 0,
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
    INV(3, count < sim->policy.max_attempts, "attempt %lld of %s is number %d within the cooldown period",
        (long long)command->attempt, box->name, count + 1);
    INV(4, box->cooldown_until <= sim->now || box->reset_at > 0, "%s is commanded inside its cooldown",
        box->name);
    if (command->attempt > 1 && box->acted_at > box->reset_at &&
        box->acted_at > box->started_by_operator_at) {
        INV(4, sim->now - box->acted_at >= backoff_ms(command->attempt - 1),
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
    INV(7, is_there || is_excused, "attempt %lld of %s is sent, but stored nowhere",
        (long long)command->attempt, box->name);
}

static void check_places(int controller, const struct box *box, const char *hex)
{
    int fleet = 0, host = 0;
    INV(8,
        !check_is_in_flight(box) || strcmp(box->in_flight_id, hex) == 0 ||
            box->in_flight_controller != controller,
        "a second command for %s while one is in flight", box->name);
    for (int i = 0; i < sim->box_count; i++) {
        const struct box *each = sim->boxes[i];
        bool counts = each != box && check_is_in_flight(each) && each->in_flight_controller == controller &&
                      check_is_calm(sim_calm_since(each->docker->index));
        fleet += counts;
        host += counts && each->docker == box->docker;
    }
    INV(8, fleet < sim->policy.max_fleet && host < sim->policy.max_per_host,
        "%s: %d others in flight on its host, %d in the fleet", box->name, host, fleet);
}

/* Which promises it would break: of what was disturbed lately, the youngest first; at least 14. */
struct blame {
    int number;
    int64_t age_ms;
};

static int by_age(const void *left, const void *right)
{
    const struct blame *one = left, *two = right;
    return one->age_ms < two->age_ms ? -1 : one->age_ms > two->age_ms;
}

static void check_need(const struct box *box)
{
    int host = box->docker->index;
    bool is_well = !box->is_removed && box->good_since != 0 && sim->now - box->bad_at > GOOD_WINDOW_MS &&
                   !docker_is_stale(box);
    struct blame blames[] = {
        {15, sim->now - redis_disturbed_at},         {16, sim->now - sim->agent_back_at[host]},
        {17, sim->now - sim->controller_started_at}, {18, sim->now - sim->clock_jumped_at},
        {18, sim->now - sim->stall_until},           {14, BLAME_MS}};
    qsort(blames, sizeof blames / sizeof blames[0], sizeof blames[0], by_age);
    sim->wrong_restarts += is_well;
    for (size_t i = 0; i < sizeof blames / sizeof blames[0] && blames[i].age_ms <= BLAME_MS; i++) {
        inv(blames[i].number, !is_well, "%s is commanded, but well for %.1f s", box->name,
            (double)(sim->now - box->bad_at) / 1000.0);
    }
}

static void check_identity(const struct box *box, const struct command *command)
{
    int64_t calm = sim_calm_since(box->docker->index);
    bool is_gone = box->is_removed && sim->now - box->removed_at > CHECK_KNOWN_MS &&
                   calm < box->removed_at - check_calm_ms();
    INV(13, !is_gone, "a command for %s, removed %lld ms ago", box->name,
        (long long)(sim->now - box->removed_at));
    bool is_renamed = box->renamed_at > 0 && sim->now - box->renamed_at > CHECK_KNOWN_MS &&
                      strcmp(box->name, command->container) != 0 && calm < box->renamed_at - check_calm_ms();
    INV(13, !is_renamed, "a command for %s, which is %s now", command->container, box->name);
}

static void check_host(const struct box *box)
{
    int host = box->docker->index;
    int64_t slack_ms = sim->policy.heartbeat_ttl_ms + 15000;
    /* Who stood still hears what was said meanwhile when it moves again, and takes it for new. */
    int64_t down = sim->agent_down_at[host], since = sim->stall_until > down ? sim->stall_until : down;
    bool is_lost = !agent_node_runs(host) && sim->now - since > slack_ms;
    INV(16, !is_lost, "%s is commanded on %s, whose agent is gone", box->name, box->docker->host);
}

void check_send(int controller, const struct command *command)
{
    char hex[LIMIT_COMMAND_ID_SIZE];
    command_id_format(&command->id, hex);
    struct box *box = sim_box_by_id(command->container_id);
    if (!box) {
        INV(13, false, "a command for an id that never was: %s", command->container);
        return;
    }
    check_expect("send", command->container, command->reason);
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
    check_many_send(controller, box, command);
    INV(21, !box->is_held || sim->now - box->held_at < 1500 || redis_disturbed_at > box->held_at - 5000,
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
        box->followed_ns = 0; /* it has not followed yet */
        check_many_given_back(box);
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

/* ---- budgets ---- */

/* What Docker tells is known so soon: where Redis is away, when its agent is asked next. */
static int64_t news_ms(void)
{
    return 1000 + (redis_is_there() ? 0 : sim->policy.fast_check_ms > 0 ? sim->policy.fast_check_ms : 5000);
}

void check_count(int controller, const char *container, int64_t count, bool is_forgotten)
{
    struct box *box = sim_box(container);
    (void)is_forgotten;
    if (!box || controller != sim->leader) {
        return; /* what one that leads no more believes is asked by nobody */
    }
    if (count < box->last_count) {
        bool is_unheard =
            sim->now - box->bad_at < (box->state == CONTAINER_RUNNING ? check_silence_ms() : news_ms());
        bool is_stable = (box->good_since != 0 || is_unheard) &&
                         sim->now - box->steady_since >= sim->policy.stable_ms - 2000;
        bool is_cooled = box->cooldown_until != 0 && sim->now >= box->cooldown_until - 2000;
        bool by_operator = box->reset_at > 0 || box->started_by_operator_at > 0;
        bool is_unsent = count == box->last_count - 1 && box->last_attempt != box->last_count;
        bool is_back = count == box->last_count - 1 && box->is_given_back;
        bool is_new = box->send_count == 0;
        int host = box->docker->index; /* as far as its agent knows */
        bool is_unseen = box->docker->is_hanging || !agent_node_sees(host) ||
                         agent_node_process(host)->stalled_until > sim->now;
        INV(6, is_unseen || is_stable || is_cooled || by_operator || is_unsent || is_back || is_new,
            "the count of %s fell from %d to %lld", box->name, box->last_count, (long long)count);
        box->is_given_back = false;
        box->last_attempt = 0;
    } else {
        inv_met(6);
    }
    box->last_count = (int)count;
}

void check_lost_budgets(void)
{
    if (sim->now - redis_lost_at > LOST_MS) {
        return;
    }
    for (int i = 0; i < sim->box_count; i++) {
        struct box *box = sim->boxes[i];
        box->last_count = box->send_count = 0;
        box->cooldown_until = 0;
    }
}

void check_note_reset(struct box *box)
{
    box->reset_at = sim->now;
    box->cooldown_until = 0;
}
