#include "controller/replay/replay_words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"

/* ---- hosts ---- */

struct replay_host *replay_words_host(struct replay_world *world, const char *name)
{
    struct replay_host *host;
    HASH_FIND_STR(world->hosts, name, host);
    if (host == NULL) {
        host = memory_alloc(sizeof *host);
        host->name = memory_copy_text(name);
        HASH_ADD_KEYPTR(hh, world->hosts, host->name, strlen(host->name), host);
    }
    return host;
}

void replay_words_leave_host(struct replay_track *track)
{
    struct replay_host *host = track->host;
    for (size_t i = 0; host != NULL && i < host->count; i++) {
        if (host->tracks[i] == track) {
            host->count--;
            memmove(&host->tracks[i], &host->tracks[i + 1],
                    (host->count - i) * sizeof(struct replay_track *));
        }
    }
    track->host = NULL;
    track->entry = NULL;
}

void replay_words_join_host(struct replay_track *track, struct replay_host *host)
{
    if (track->host == host) {
        return;
    }
    replay_words_leave_host(track);
    if (host->count == host->size) {
        host->size = host->size == 0 ? 16 : 2 * host->size;
        host->tracks = memory_grow(host->tracks, host->size, sizeof(struct replay_track *));
    }
    host->tracks[host->count++] = track;
    track->host = host;
}

void replay_words_hear_again(struct replay_world *world, struct replay_host *host, int path)
{
    host->is_heard[path] = true;
    replay_events_add(&world->events, (struct replay_event){.when = mono_add(world->now, world->interval_ms),
                                                            .kind = REPLAY_HOST,
                                                            .host = host,
                                                            .path = path,
                                                            .row = ++host->row[path]});
}

void replay_words_hear(struct replay_world *world, struct replay_host *host, int path)
{
    bool has_vouched = host->is_heard[PATH_N];
    if (has_vouched && !world->is_same) {
        decider_observe_unchanged(world->decider, host->name, host->agent, host->change, (enum path)path,
                                  world->now);
    } else {
        decider_heard(world->decider, host->name, (enum path)path, has_vouched, world->now);
    }
}

/* ---- words ---- */

void replay_words_keep_copy(struct heartbeat **place, const struct heartbeat *beat)
{
    if (*place == NULL) {
        *place = memory_alloc(sizeof **place);
    }
    **place = *beat;
    (*place)->checks = (*place)->metrics = (*place)->extra = NULL;
}

bool replay_words_is_other_id(const struct replay_track *track, const struct heartbeat *beat)
{
    return track->word != NULL && beat->container_id[0] != '\0' &&
           strcmp(track->word->container_id, beat->container_id) != 0;
}

/* A service that beat before its agent told of it stands under the name of its key. */
static struct replay_track *find_stranger(const struct replay_world *world, const struct heartbeat *beat)
{
    char name[2 * LIMIT_NAME_SIZE];
    snprintf(name, sizeof name, "%s:%s", beat->service, beat->instance_id);
    name[LIMIT_NAME_SIZE - 1] = '\0';
    return replay_script_find(&world->script, name);
}

void replay_words_end_service(struct replay_track *track)
{
    free(track->beat);
    track->beat = NULL;
}

void replay_words_end_services(const struct replay_world *world, struct replay_track *track)
{
    struct replay_track *stranger = track->word == NULL ? NULL : find_stranger(world, track->word);
    if (stranger != NULL) {
        replay_words_end_service(stranger);
    }
    replay_words_end_service(track);
}

/* Its agent's word. What its service said under another id ended with that. */
void replay_words_keep(const struct replay_world *world, struct replay_track *track,
                       const struct heartbeat *beat)
{
    bool is_renewed = replay_words_is_other_id(track, beat) ||
                      (track->word != NULL && strcmp(track->word->incarnation, beat->incarnation) != 0);
    if (is_renewed) { /* what its service said before ended with that */
        struct replay_track *stranger = find_stranger(world, beat);
        replay_words_end_service(stranger != NULL ? stranger : track);
        replay_words_end_service(track);
    }
    replay_words_keep_copy(&track->word, beat);
}

void replay_words_tell(struct replay_world *world, const struct heartbeat *beat)
{
    decider_observe_beat(world->decider, beat, world->now, world->wall);
}

bool replay_words_is_first_in_state(const struct replay_world *world, struct replay_track *track)
{
    struct decider_view view;
    if (!decider_look(world->decider, track->name, &view) || view.state == track->state) {
        return false;
    }
    track->state = view.state;
    return strcmp(view.state, "UP") != 0;
}

void replay_words_go_on(struct replay_world *world, struct replay_track *track, enum replay_event_kind kind)
{
    struct mono when = mono_add(world->now, world->interval_ms);
    track->next_at = kind == REPLAY_AGENT ? when : track->next_at;
    size_t *row = &track->row[kind == REPLAY_AGENT ? JOURNAL_AGENT : JOURNAL_SERVICE];
    replay_events_add(&world->events,
                      (struct replay_event){.when = when, .kind = kind, .track = track, .segment = ++*row});
}

void replay_words_tell_services(struct replay_world *world, struct replay_track *track,
                                const struct heartbeat *beat)
{
    struct replay_track *stranger = find_stranger(world, beat);
    if (stranger != NULL && stranger != track) {
        replay_words_end_service(stranger);
    }
    replay_words_keep_copy(&track->beat, beat);
    replay_words_tell(world, beat);
    replay_words_go_on(world, track, REPLAY_SERVICE);
}

/* The last incarnation that was recorded before that segment; "": none. */
static const char *incarnation_before(const struct replay_world *world, const struct replay_track *track,
                                      size_t segment)
{
    const char *found = "";
    for (size_t i = 0; i < track->count && track->items[i].segment < segment; i++) {
        const struct replay_item *item = &track->items[i];
        const struct journal_input *input = world->script.inputs[item->at];
        const struct heartbeat *beat = item->entry != NULL ? &item->entry->beat : input->beat;
        bool is_word = beat != NULL && beat->incarnation[0] != '\0';
        found = is_word ? beat->incarnation : found;
    }
    return found;
}

/* Which command it tells the end of: ours, for the recorded one in whose place it was sent. */
void replay_words_translate_command(const struct replay_track *track, struct heartbeat *word)
{
    bool is_known = word->last_command[0] != '\0' && track->source > 0;
    if (is_known && strcmp(word->last_command, track->sent[track->source - 1].id) == 0) {
        memory_set_text(word->last_command, sizeof word->last_command, track->command);
    }
}

/* A word that was recorded behind another command than the one that it follows now. */
static struct heartbeat translated(const struct replay_world *world, const struct replay_track *track,
                                   const struct heartbeat *beat)
{
    struct heartbeat word = *beat;
    word.seq = 0; /* in no order with those that were recorded */
    replay_words_translate_command(track, &word);
    if (track->source == track->segment || word.incarnation[0] == '\0') {
        return word;
    }
    if (strcmp(word.incarnation, incarnation_before(world, track, track->source)) == 0) {
        memory_set_text(word.incarnation, sizeof word.incarnation, track->aimed_at);
    } else {
        snprintf(word.incarnation, sizeof word.incarnation, "%.30s+%zu", beat->incarnation,
                 track->segment % 1000000);
    }
    return word;
}

static void tell_agents(struct replay_world *world, struct replay_track *track, const struct heartbeat *beat)
{
    if (track->is_parted) {
        struct heartbeat word = translated(world, track, beat);
        replay_words_keep(world, track, &word);
        replay_words_tell(world, &word);
        return;
    }
    struct heartbeat word = *beat;
    struct decider_view view;
    replay_words_translate_command(track, &word);
    replay_words_tell(world, &word);
    if (decider_look(world->decider, track->name, &view)) { /* a death of one that it never knew is no news */
        replay_words_keep(world, track, &word);
    }
    replay_words_hear_again(world, replay_words_host(world, beat->host), PATH_REDIS);
}

static void tell_agents_beat(struct replay_world *world, struct replay_track *track,
                             const struct heartbeat *beat)
{
    tell_agents(world, track, beat);
    track->is_told = track->word != NULL;
    track->told_at = world->now;
    replay_words_go_on(world, track, REPLAY_AGENT);
}

static void play_beat(struct replay_world *world, struct replay_track *track, const struct heartbeat *beat)
{
    if (replay_script_is_agents(beat)) {
        tell_agents_beat(world, track, beat);
    } else {
        replay_words_tell_services(world, track, beat);
    }
}

static void play_again(struct replay_world *world, struct replay_track *track,
                       const struct journal_input *input)
{
    if (track->word != NULL) {
        struct heartbeat beat = *track->word;
        beat.seq = input->seq;
        beat.timestamp = input->stamp;
        memory_set_text(beat.agent, sizeof beat.agent, input->agent);
        tell_agents_beat(world, track, &beat);
    }
}

static void play_answer(struct replay_world *world, struct replay_track *track,
                        const struct journal_input *input, size_t segment)
{
    struct answer answer;
    answer_init(&answer);
    bool is_of_segment = segment > 0 && strcmp(track->sent[segment - 1].id, input->id) == 0;
    if (command_id_parse(is_of_segment ? track->command : input->id, &answer.id) != 0) {
        return;
    }
    answer.code = (enum answer_code)(input->code < 0 ? 0 : input->code);
    memory_set_text(answer.detail, sizeof answer.detail, input->detail);
    decider_answered(world->decider, &answer.id, (int)input->status, input->code < 0 ? NULL : &answer,
                     world->now, world->wall);
}

void replay_words_say_again(struct replay_world *world, struct replay_track *track)
{
    if (world->is_same && !track->is_parted) {
        decider_heard_beat(world->decider, track->word, world->now);
        return;
    }
    struct heartbeat beat = *track->word;
    const struct replay_host *host = replay_words_host(world, beat.host);
    beat.seq = 0;
    if (host->agent[0] != '\0') { /* which may be another process by now */
        memory_set_text(beat.agent, sizeof beat.agent, host->agent);
    }
    replay_words_tell(world, &beat);
}

/* `track` is the one it speaks for, or the name of its key. */
void replay_words_tell_service_again(struct replay_world *world, const struct replay_track *track,
                                     const struct heartbeat *beat)
{
    if (world->is_same && !track->is_parted) {
        decider_heard_beat(world->decider, beat, world->now);
    } else {
        replay_words_tell(world, beat);
    }
}

/* The last sign before a silence. */
static void end_agents_beats(struct replay_world *world, struct replay_track *track)
{
    bool is_there = track->word != NULL && track->word->state == CONTAINER_RUNNING;
    if (track->is_told && is_there && track->told_at.ms != world->now.ms) {
        replay_words_say_again(world, track);
    }
    track->is_told = false;
}

static void end_services_beats(struct replay_world *world, struct replay_track *container, const char *key)
{
    struct replay_track *stranger = container->beat != NULL ? NULL : replay_script_find(&world->script, key);
    struct replay_track *track = stranger != NULL ? stranger : container;
    if (track->beat != NULL) {
        struct heartbeat beat = *track->beat;
        beat.timestamp = world->wall;
        replay_words_tell_service_again(world, container, &beat);
        replay_words_end_service(track);
    }
}

/* What concerns one container; at its own time, or where a command of the replay put it. */
void replay_words_play(struct replay_world *world, struct replay_track *track, const struct replay_item *item)
{
    const struct journal_input *input = world->script.inputs[item->at];
    if (item->entry != NULL) {
        tell_agents(world, track, &item->entry->beat);
    } else if (input->kind == JOURNAL_BEAT) {
        play_beat(world, track, input->beat);
    } else if (input->kind == JOURNAL_AGAIN) {
        play_again(world, track, input);
    } else if (input->kind == JOURNAL_ANSWER) {
        play_answer(world, track, input, item->segment);
    } else if (input->kind == JOURNAL_HEARD) {
        if (input->path == JOURNAL_AGENT) {
            end_agents_beats(world, track);
        } else {
            end_services_beats(world, track, input->name);
        }
    }
}
