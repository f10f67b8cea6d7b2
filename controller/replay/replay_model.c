#include "controller/replay/replay_model.h"

#include <stdio.h>
#include <string.h>

#include "common/memory.h"
#include "controller/replay/replay_words.h"

enum {
    IN_STEP_MS = 100,       /* a command sent so near to a recorded one is that one */
    KEY_WAIT_MS = 2000,     /* a recorded answer that comes later is that to another question */
    STORED_WAIT_MS = 10000, /* the same */
    MODEL_ANSWER_MS = 1,
    ASSUMED_RESTART_MS = 1000
};

/* ---- what the decider wants ---- */

static void skip_past(const struct replay_world *world, struct replay_track *track)
{
    while (track->next < track->count && track->items[track->next].at < world->at) {
        track->next++;
    }
}

/* The next recorded answer of that kind, not later than that, and nobody's yet; SIZE_MAX: none. */
static size_t find_answer(const struct replay_world *world, struct replay_track *track,
                          enum journal_kind kind, int64_t within_ms)
{
    skip_past(world, track);
    for (size_t i = track->next; !track->is_parted && i < track->count; i++) {
        size_t at = track->items[i].at;
        if (mono_diff(world->script.when[at], world->now) > within_ms) {
            return SIZE_MAX;
        }
        if (world->script.inputs[at]->kind == kind && !world->is_claimed[at]) {
            return at;
        }
    }
    return SIZE_MAX;
}

static void read_key(struct replay_world *world, struct replay_track *track)
{
    if (find_answer(world, track, JOURNAL_KEY, KEY_WAIT_MS) != SIZE_MAX) {
        return;
    }
    bool is_vouched = track->word != NULL && track->word->state == CONTAINER_RUNNING && track->host != NULL &&
                      track->host->is_heard[PATH_REDIS];
    enum key_finding finding = track->beat != NULL || is_vouched ? KEY_PRESENT : KEY_ABSENT;
    replay_events_add(&world->events,
                      (struct replay_event){.when = mono_add(world->now, MODEL_ANSWER_MS),
                                            .kind = REPLAY_KEY_READ,
                                            .track = track,
                                            .finding = world->is_redis_up ? finding : KEY_UNREADABLE});
}

static void store(struct replay_world *world, struct replay_track *track, uint64_t token)
{
    size_t recorded = token == 0 ? SIZE_MAX : find_answer(world, track, JOURNAL_STORED, STORED_WAIT_MS);
    if (recorded != SIZE_MAX) {
        world->script.inputs[recorded]->token = token;
        world->is_claimed[recorded] = true;
    } else if (token != 0) {
        replay_events_add(&world->events, (struct replay_event){.when = mono_add(world->now, MODEL_ANSWER_MS),
                                                                .kind = REPLAY_IS_STORED,
                                                                .track = track,
                                                                .token = token});
    }
}

/* What followed the recorded command follows this one. */
static void play_later(struct replay_world *world, struct replay_track *track)
{
    int64_t shift_ms = mono_diff(world->now, track->sent[track->source - 1].at);
    for (size_t i = 0; i < track->count; i++) {
        if (track->items[i].segment == track->source) {
            replay_events_add(
                &world->events,
                (struct replay_event){.when = mono_add(world->script.when[track->items[i].at], shift_ms),
                                      .kind = REPLAY_ITEM,
                                      .track = track,
                                      .segment = track->segment,
                                      .item = i});
        }
    }
}

static void send(struct replay_world *world, struct replay_track *track, const struct command *command)
{
    char id[LIMIT_COMMAND_ID_SIZE];
    command_id_format(&command->id, id);
    if (strcmp(id, track->command) == 0 && track->source > 0) {
        return; /* once more: its answers are on their way */
    }
    memory_set_text(track->command, sizeof track->command, id);
    memory_set_text(track->aimed_at, sizeof track->aimed_at, command->expect_started_at);
    track->segment++;
    world->told->commands++;
    bool is_recorded = track->segment <= track->sent_count;
    int64_t off_ms = is_recorded ? mono_diff(world->now, track->sent[track->segment - 1].at) : 0;
    bool is_in_step = is_recorded && !track->is_parted && off_ms <= IN_STEP_MS && off_ms >= -IN_STEP_MS;
    track->source = is_recorded ? track->segment : track->sent_count;
    if (is_in_step) {
        return;
    }
    track->is_parted = true;
    if (track->source > 0) {
        play_later(world, track);
        return;
    }
    world->told->assumed++;
    replay_events_add(&world->events, (struct replay_event){.when = mono_add(world->now, ASSUMED_RESTART_MS),
                                                            .kind = REPLAY_ENDED_WELL,
                                                            .track = track,
                                                            .segment = track->segment});
}

void replay_model_drain(struct replay_world *world)
{
    const struct action *action;
    while ((action = decider_next_action(world->decider)) != NULL) {
        size_t len = 0;
        cleanup_free char *text = NULL;
        struct replay_track *track = replay_script_need(&world->script, action->container);
        switch (action->kind) {
        case ACTION_READ_KEY:
            read_key(world, track);
            break;
        case ACTION_STORE:
            store(world, track, action->token);
            break;
        case ACTION_SEND:
            send(world, track, action->command);
            break;
        case ACTION_ALERT:
            text = alert_encode(action->alert, &len);
            replay_deeds_add_text(world->deeds, text, len);
            break;
        case ACTION_RECORD:
            text = event_record_encode(action->record, &len);
            replay_deeds_add_text(world->deeds, text, len);
            break;
        case ACTION_ASK:
        case ACTION_LOG:
        case ACTION_FORGET:
        case ACTION_INPUT:
            break;
        }
    }
}

/* The next beat is recorded, as something came of it. Of the one before nothing did, wherever in its interval
 * it came: it is better left out than told at the wrong moment. */
static bool is_beat_near(const struct replay_world *world, struct replay_track *track, bool is_agents)
{
    int64_t near_ms = world->interval_ms / 4 * 5;
    skip_past(world, track);
    for (size_t i = track->next; !track->is_parted && i < track->count; i++) {
        const struct journal_input *input = world->script.inputs[track->items[i].at];
        if (mono_diff(world->script.when[track->items[i].at], world->now) > near_ms) {
            return false;
        }
        bool is_agents_word = input->kind == JOURNAL_AGAIN ||
                              (input->kind == JOURNAL_BEAT && replay_script_is_agents(input->beat));
        if ((input->kind == JOURNAL_BEAT || input->kind == JOURNAL_AGAIN) && is_agents_word == is_agents) {
            return true;
        }
    }
    return false;
}

static void go_on_host(struct replay_world *world, const struct replay_event *event)
{
    struct replay_host *host = event->host;
    if (event->row != host->row[event->path] || !host->is_heard[event->path]) {
        return;
    }
    if (event->path != PATH_REDIS || world->is_redis_up) {
        replay_words_hear(world, host, event->path);
    }
    replay_words_hear_again(world, host, event->path);
}

/* Where it moves the policy it must not come at the wrong moment. */
static bool may_come(const struct replay_world *world, struct replay_track *track, bool is_agents)
{
    bool moves_nothing = world->is_same && !track->is_parted;
    return moves_nothing ||
           (!is_beat_near(world, track, is_agents) && !replay_words_is_first_in_state(world, track));
}

static void go_on_service(struct replay_world *world, const struct replay_event *event)
{
    struct replay_track *track = event->track;
    if (track->beat == NULL || event->segment != track->row[JOURNAL_SERVICE]) {
        return;
    }
    track->beat->timestamp.ms += world->interval_ms;
    if (world->is_redis_up && may_come(world, track, false)) {
        replay_words_tell_service_again(world, track, track->beat);
    }
    replay_words_go_on(world, track, REPLAY_SERVICE);
}

static void go_on_agent(struct replay_world *world, const struct replay_event *event)
{
    struct replay_track *track = event->track;
    if (!track->is_told || event->segment != track->row[JOURNAL_AGENT]) {
        return;
    }
    const struct replay_host *host = replay_words_host(world, track->word->host);
    if (world->is_redis_up && host->is_heard[PATH_REDIS] && track->word->state == CONTAINER_RUNNING &&
        may_come(world, track, true)) {
        replay_words_say_again(world, track);
    }
    replay_words_go_on(world, track, REPLAY_AGENT);
}

/* A restart that was never tried in the recording is taken to succeed. */
static void end_well(struct replay_world *world, struct replay_track *track)
{
    struct answer answer;
    answer_init(&answer);
    answer.code = ANSWER_OK;
    if (track->word != NULL) {
        struct heartbeat word = *track->word;
        word.seq = 0;
        word.state = CONTAINER_RUNNING;
        word.status = BEAT_HEALTHY;
        word.health = word.health == HEALTH_UNHEALTHY ? HEALTH_HEALTHY : word.health;
        word.stop_class = STOP_NONE;
        word.has_exit_code = false;
        snprintf(word.incarnation, sizeof word.incarnation, "%.30s+%zu", track->aimed_at,
                 track->segment % 1000000);
        replay_words_keep(world, track, &word);
    }
    if (command_id_parse(track->command, &answer.id) == 0) {
        decider_answered(world->decider, &answer.id, 0, &answer, world->now, world->wall);
        replay_model_drain(world);
    }
    if (track->word != NULL) {
        replay_words_tell(world, track->word);
    }
}

void replay_model_happen(struct replay_world *world, const struct replay_event *event)
{
    struct replay_track *track = event->track;
    switch (event->kind) {
    case REPLAY_ITEM:
        if (event->segment == track->segment && track->is_parted) {
            replay_words_play(world, track, &track->items[event->item]);
        }
        break;
    case REPLAY_KEY_READ:
        decider_key_read(world->decider, track->name, event->finding, world->now, world->wall);
        break;
    case REPLAY_IS_STORED:
        decider_stored(world->decider, track->name, event->token, STORED_IN_REDIS, world->now, world->wall);
        break;
    case REPLAY_ENDED_WELL:
        if (event->segment == track->segment && track->is_parted) {
            end_well(world, track);
        }
        break;
    case REPLAY_HOST:
        go_on_host(world, event);
        break;
    case REPLAY_SERVICE:
        go_on_service(world, event);
        break;
    case REPLAY_AGENT:
        go_on_agent(world, event);
        break;
    }
}
