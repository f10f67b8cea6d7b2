/* At each thing that Docker is asked to do for us, and at each cause that an agent names. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "tests/sim/check.h"
#include "tests/sim/sim.h"

struct known_command {
    struct command command;
    int host, acts;
    uint64_t passed; /* the highest epoch that its agent had heard when it came */
    int64_t received_at;
};

enum { KNOWN_MAX = 512 };
static struct known_command known[KNOWN_MAX];
static size_t known_count;
static uint64_t heard_epoch[HOSTS_MAX]; /* the highest that an agent heard */

void check_act_begin(void)
{
    known_count = 0;
    memset(heard_epoch, 0, sizeof heard_epoch);
}

void check_note_epoch(int host, uint64_t epoch)
{
    heard_epoch[host] = epoch > heard_epoch[host] ? epoch : heard_epoch[host];
}

void check_forget_epochs(int host, uint64_t epoch)
{
    heard_epoch[host] = epoch;
}

void check_note_command(int host, const struct command *command, bool is_job)
{
    if (!is_job && command->op != OP_OUTCOME && command->epoch < heard_epoch[host]) {
        check_completed(0, &command->id, true); /* it was refused, and whoever sent it may never hear */
    }
    if (!is_job || command->op == OP_OUTCOME) {
        return;
    }
    struct known_command *place = &known[known_count++ % KNOWN_MAX];
    *place = (struct known_command){*command, host, 0, heard_epoch[host], sim->now};
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
    peer_count_act(box);
    check_expect("act", box->name, command_op_name(act));
    check_target(box, "an act");
    if (!INV(30, command != NULL, "Docker was asked to %s %s without a command", command_op_name(act),
             box->name)) {
        return;
    }
    command->acts++;
    INV(17, command->command.epoch >= command->passed, "%s is touched under epoch %llu, behind %llu",
        box->name, (unsigned long long)command->command.epoch, (unsigned long long)command->passed);
    INV(9, command->acts <= 1, "one command changed %s %d times", box->name, command->acts);
    bool is_race = sim->now - box->started_ms < 1000;
    INV(9, is_race || strcmp(command->command.expect_started_at, started_at) == 0,
        "%s of %s was meant for another incarnation", command_op_name(act), box->name);
    INV(9,
        sim->now - command->received_at <= command->command.ttl_ms + 11000 ||
            box->docker->disturbed_at + 60000 > sim->now,
        "a command for %s was carried out %lld ms after it came", box->name,
        (long long)(sim->now - command->received_at));
    bool is_fresh = sim->now - box->stopped_at < 1000;
    INV(10, !box->is_operator_stopped || is_fresh || !is_stop_certain(box),
        "%s is started; an operator stopped it", box->name);
    box->acted_at = sim->now;
}

void check_class(int host, const char *id, enum stop_class class)
{
    struct box *box = sim_box_by_id(id);
    const struct docker *docker = sim->dockers[host];
    if (!box || class == STOP_NONE) {
        return;
    }
    /* An agent that died in the middle of a shutdown cannot know how it ended. */
    bool is_blind = sim->now - docker->disturbed_at < 600000 && sim->now - sim->agent_down_at[host] < 600000;
    box->is_excused |= is_blind && class == STOP_OPERATOR;
    INV(12,
        class != STOP_OPERATOR || box->is_excused || box->is_operator_stopped || box->is_removed ||
            box->state == CONTAINER_RUNNING,
        "the agent of %s says an operator stopped %s", docker->host, box->name);
}
