#include "controller/replay/replay_script.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"

bool replay_script_is_agents(const struct heartbeat *beat)
{
    return strcmp(beat->source, "agent") == 0 && beat->host[0] != '\0' && beat->container[0] != '\0';
}

struct replay_track *replay_script_find(const struct replay_script *script, const char *name)
{
    struct replay_track *track;
    HASH_FIND_STR(script->tracks, name, track);
    return track;
}

struct replay_track *replay_script_need(struct replay_script *script, const char *name)
{
    struct replay_track *track = replay_script_find(script, name);
    if (track == NULL) {
        track = memory_alloc(sizeof *track);
        track->name = memory_copy_text(name);
        HASH_ADD_KEYPTR(hh, script->tracks, track->name, strlen(track->name), track);
    }
    return track;
}

const char *replay_script_subject(const struct journal_input *input)
{
    return input->container[0] == '\0' ? NULL : input->container;
}

/* ---- in the order of time ---- */

/* A silence is noticed after it began, and stands in the journal where it was noticed. */
static struct mono when_of(const struct journal_input *input)
{
    return input->kind == JOURNAL_HEARD ? input->since : input->at;
}

static int compare(const void *left, const void *right)
{
    const struct journal_input *one = *(struct journal_input *const *)left;
    const struct journal_input *other = *(struct journal_input *const *)right;
    int64_t a = when_of(one).ms, b = when_of(other).ms;
    return a != b ? (a < b ? -1 : 1) : one < other ? -1 : one > other;
}

static void sort(struct replay_script *script, struct replay_stretch *stretch)
{
    script->count = stretch->count;
    script->inputs = memory_grow(NULL, stretch->count, sizeof *script->inputs);
    script->when = memory_grow(NULL, stretch->count, sizeof *script->when);
    for (size_t i = 0; i < stretch->count; i++) {
        script->inputs[i] = &stretch->inputs[i];
    }
    qsort(script->inputs, script->count, sizeof(struct journal_input *), compare);
    for (size_t i = 0; i < script->count; i++) {
        script->when[i] = when_of(script->inputs[i]);
    }
}

/* ---- by container ---- */

static void add_item(struct replay_script *script, const char *name, size_t at,
                     const struct registration_entry *entry)
{
    struct replay_track *track = replay_script_need(script, name);
    if (track->count == track->size) {
        track->size = track->size == 0 ? 8 : 2 * track->size;
        track->items = memory_grow(track->items, track->size, sizeof *track->items);
    }
    track->items[track->count++] = (struct replay_item){.at = at, .entry = entry};
}

static void add_items(struct replay_script *script, size_t at)
{
    const struct journal_input *input = script->inputs[at];
    const char *name = replay_script_subject(input);
    if (input->kind == JOURNAL_INVENTORY) {
        for (size_t i = 0; i < input->registration->count; i++) {
            add_item(script, input->registration->entries[i].beat.container, at,
                     &input->registration->entries[i]);
        }
        for (size_t i = 0; i < input->gone_count; i++) {
            add_item(script, input->gone[i], at, NULL);
        }
    } else if (name != NULL) {
        add_item(script, name, at, NULL);
    }
}

static void cut(const struct replay_script *script, struct replay_track *track)
{
    for (size_t i = 0; i < track->count; i++) {
        const struct journal_input *input = script->inputs[track->items[i].at];
        track->items[i].segment = track->sent_count;
        if (input->kind != JOURNAL_SENT) {
            continue;
        }
        if (track->sent_count == track->sent_size) {
            track->sent_size = track->sent_size == 0 ? 4 : 2 * track->sent_size;
            track->sent = memory_grow(track->sent, track->sent_size, sizeof *track->sent);
        }
        track->sent[track->sent_count++] = (struct replay_sent){script->when[track->items[i].at], input->id};
    }
}

void replay_script_init(struct replay_script *script, struct replay_stretch *stretch)
{
    *script = (struct replay_script){0};
    sort(script, stretch);
    for (size_t at = 0; at < script->count; at++) {
        add_items(script, at);
    }
    struct replay_track *track, *next;
    HASH_ITER (hh, script->tracks, track, next) {
        cut(script, track);
    }
}

void replay_script_fini(struct replay_script *script)
{
    struct replay_track *track, *next;
    HASH_ITER (hh, script->tracks, track, next) {
        HASH_DEL(script->tracks, track);
        free(track->items);
        free(track->sent);
        free(track->word);
        free(track->beat);
        free(track->name);
        free(track);
    }
    free(script->inputs);
    free(script->when);
    *script = (struct replay_script){0};
}
