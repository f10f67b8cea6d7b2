#include "controller/replay/replay_inputs.h"

#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "controller/replay/replay_words.h"

/* ---- inventories ---- */

/* Another id, or none at all, is not of our making: what was recorded goes on from there. */
static void resync(struct replay_track *track, const struct replay_item *item)
{
    track->is_parted = false;
    track->segment = item->segment;
    track->source = item->segment;
}

static const struct replay_item *item_of(const struct replay_track *track, size_t at)
{
    size_t i = track->next;
    while (i > 0 && i < track->count && track->items[i].at > at) {
        i--;
    }
    while (i < track->count && track->items[i].at < at) {
        i++;
    }
    return i < track->count && track->items[i].at == at ? &track->items[i] : NULL;
}

/* A command that was recorded and is not sent now: what came of it does not come. */
static void part_where_behind(struct replay_track *track, const struct replay_item *item)
{
    if (item->segment > track->segment) {
        track->is_parted = true;
    }
}

/* A beat of the same process was quicker than the inventory that tells of the container first. */
static bool is_older(const struct heartbeat *word, const struct heartbeat *beat)
{
    return strcmp(word->agent, beat->agent) == 0 && beat->seq < word->seq;
}

static void take_entries(struct replay_world *world, struct replay_host *host,
                         const struct journal_input *input)
{
    for (size_t i = 0; i < input->registration->count; i++) {
        const struct registration_entry *entry = &input->registration->entries[i];
        struct replay_track *track = replay_script_need(&world->script, entry->beat.container);
        const struct replay_item *item = item_of(track, world->at);
        replay_words_join_host(track, host);
        track->entry = entry;
        if (item != NULL && track->is_parted && replay_words_is_other_id(track, &entry->beat)) {
            resync(track, item);
        } else if (item != NULL) {
            part_where_behind(track, item);
        }
        if (track->word == NULL || (!track->is_parted && !is_older(track->word, &entry->beat))) {
            struct heartbeat word = entry->beat;
            replay_words_translate_command(track, &word);
            replay_words_keep(world, track, &word);
        }
    }
    for (size_t i = 0; i < input->gone_count; i++) {
        struct replay_track *track = replay_script_need(&world->script, input->gone[i]);
        const struct replay_item *item = item_of(track, world->at);
        if (item != NULL) {
            resync(track, item);
        }
        replay_words_end_service(track);
        replay_words_leave_host(track);
    }
}

static void play_inventory(struct replay_world *world, const struct journal_input *input)
{
    struct replay_host *host = replay_words_host(world, input->host);
    take_entries(world, host, input);
    memory_set_text(host->agent, sizeof host->agent, input->agent);
    host->change = input->change;
    struct registration registration = *input->registration;
    cleanup_free struct registration_entry *entries = memory_grow(NULL, host->count + 1, sizeof *entries);
    for (size_t i = 0; i < host->count; i++) {
        const struct replay_track *track = host->tracks[i];
        entries[i] = *track->entry;
        entries[i].beat = *track->word; /* a beat may have been quicker than what the inventory told first */
        entries[i].beat.seq = track->is_parted ? 0 : input->word_seq;
    }
    registration.entries = entries;
    registration.count = host->count;
    decider_observe_registration(world->decider, &registration, (enum path)input->path, world->now,
                                 world->wall);
    host->is_heard[PATH_N] = true;
    replay_words_hear_again(world, host, (int)input->path);
}

/* ---- recorded inputs ---- */

/* The agent's last beats were in the same write. */
static void tell_last_beats(struct replay_world *world, const struct replay_host *host)
{
    struct mono near = mono_add(world->now, world->interval_ms / 50);
    for (size_t i = 0; i < host->count; i++) {
        struct replay_track *track = host->tracks[i];
        bool is_due = track->is_told && track->next_at.ms <= near.ms && track->told_at.ms != world->now.ms;
        if (is_due && track->word->state == CONTAINER_RUNNING &&
            (world->is_same || !replay_words_is_first_in_state(world, track))) {
            replay_words_say_again(world, track);
        }
    }
}

static void play_heard(struct replay_world *world, const struct journal_input *input)
{
    struct replay_host *host = replay_words_host(world, input->host);
    if (input->path == PATH_REDIS) {
        tell_last_beats(world, host);
    }
    if (input->path < PATH_N) {
        replay_words_hear(world, host, (int)input->path);
        host->row[input->path]++;
    } else {
        decider_heard(world->decider, host->name, PATH_N, true, world->now);
    }
    host->is_heard[input->path] = false;
}

/* What its containers' services say begins anew. */
static void play_forget(struct replay_world *world, const struct journal_input *input)
{
    struct replay_host *host = replay_words_host(world, input->host);
    if (!decider_forget_host(world->decider, input->host, world->now, world->wall)) {
        return;
    }
    while (host->count > 0) {
        struct replay_track *track = host->tracks[host->count - 1];
        replay_words_end_services(world, track);
        replay_words_leave_host(track);
        track->is_told = false;
        track->state = NULL;
        track->row[JOURNAL_AGENT]++;
    }
}

static void play_redis(struct replay_world *world, const struct journal_input *input)
{
    world->is_redis_up = input->value != REDIS_AWAY;
    decider_redis(world->decider, (enum redis_state)input->value, world->now, world->wall);
}

static void play_unchanged(struct replay_world *world, const struct journal_input *input)
{
    struct replay_host *host = replay_words_host(world, input->host);
    decider_observe_unchanged(world->decider, input->host, input->agent, input->change,
                              (enum path)input->path, world->now);
    host->is_heard[PATH_N] = true;
    replay_words_hear_again(world, host, (int)input->path);
}

static enum stored_in where_of(int64_t value)
{
    return value == STORED_NOWHERE || value == STORED_ON_DISK ? (enum stored_in)value : STORED_IN_REDIS;
}

static void play_stored(struct replay_world *world, const struct journal_input *input)
{
    if (world->is_claimed[world->at]) {
        decider_stored(world->decider, input->container, input->token, where_of(input->value), world->now,
                       world->wall);
    }
}

/* One container's, that it said or that was said to it: void where the replay parted from the recording. */
static void play_own(struct replay_world *world, const char *name)
{
    struct replay_track *track = replay_script_need(&world->script, name);
    const struct replay_item *item = item_of(track, world->at);
    const struct journal_input *input = world->script.inputs[world->at];
    if (item == NULL) {
        return;
    }
    if (track->is_parted && input->kind == JOURNAL_BEAT && replay_script_is_agents(input->beat) &&
        replay_words_is_other_id(track, input->beat)) {
        resync(track, item);
    }
    part_where_behind(track, item);
    if (!track->is_parted) {
        replay_words_play(world, track, item);
    }
}

static void play_key(struct replay_world *world, const struct journal_input *input)
{
    if (!replay_script_need(&world->script, input->container)->is_parted) {
        decider_key_read(world->decider, input->container, (enum key_finding)input->value, world->now,
                         world->wall);
    }
}

void replay_inputs_play(struct replay_world *world)
{
    const struct journal_input *input = world->script.inputs[world->at];
    struct decider *decider = world->decider;
    switch (input->kind) {
    case JOURNAL_START:
        break;
    case JOURNAL_BEAT:
    case JOURNAL_AGAIN:
    case JOURNAL_ANSWER:
        play_own(world, input->container);
        break;
    case JOURNAL_HEARD:
        if (input->container[0] != '\0') {
            play_own(world, input->container);
        } else {
            play_heard(world, input);
        }
        break;
    case JOURNAL_INVENTORY:
        play_inventory(world, input);
        break;
    case JOURNAL_UNCHANGED:
        play_unchanged(world, input);
        break;
    case JOURNAL_REDIS:
        play_redis(world, input);
        break;
    case JOURNAL_KEY:
        play_key(world, input);
        break;
    case JOURNAL_STATE:
        decider_state_loaded(decider, input->container, input->state, world->now, world->wall);
        break;
    case JOURNAL_RESET:
        decider_state_reset(decider, input->container, world->now, world->wall);
        break;
    case JOURNAL_FORGET:
        play_forget(world, input);
        break;
    case JOURNAL_STORED:
        play_stored(world, input);
        break;
    case JOURNAL_HOLD:
        decider_hold(decider, input->hold, input->name, input->value != 0, input->until, world->now,
                     world->wall);
        break;
    case JOURNAL_LEADER:
        decider_lead(decider, input->epoch, input->is_leader ? MONO_NEVER : (struct mono){0}, world->now);
        break;
    case JOURNAL_TILT:
        decider_stored(decider, "", 0, STORED_NOWHERE, world->now,
                       world->wall); /* changes nothing but the time */
        break;
    case JOURNAL_TICK:
        world->is_ticking = true;
        decider_tick(decider, world->now, world->wall);
        break;
    case JOURNAL_SENT:
    case JOURNAL_TICKS:
    case JOURNAL_KIND_N:
        break;
    }
}
