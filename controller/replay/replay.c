#include "controller/replay/replay.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "common/memory.h"
#include "common/settings.h"
#include "common/timestamp.h"
#include "controller/policy_settings.h"
#include "controller/replay/replay_journal.h"
#include "controller/replay/replay_world.h"
#include "proto/json_reader.h"

enum { ROUNDING_MS = 1000 }; /* documents have whole seconds */

struct replay {
    struct replay_journal journal;
    struct replay_deeds deeds;
    struct replay_told told;
    config_lookup lookup;
    void *arg;
    const struct cJSON *recorded; /* settings of the stretch at hand */
    const struct cJSON *told_of;  /* those whose difference was told last */
    FILE *out;
};

static const char *look_up(void *arg, const char *name)
{
    const struct replay *replay = arg;
    const char *text = replay->lookup(replay->arg, name);
    return text != NULL ? text : journal_text(replay->recorded, name);
}

static bool is_told(const struct replay *replay)
{
    return replay->told_of != NULL && journal_is_same(replay->told_of, replay->recorded);
}

/* Of the recording and of now; true where they are the same. */
static bool tell_settings(struct replay *replay, const struct settings *settings)
{
    size_t count = 0;
    cleanup_free char *text = policy_settings_to_json(settings);
    cleanup_json struct cJSON *now = json_reader_parse_own(text, strlen(text));
    const struct cJSON *each = is_told(replay) ? NULL : json_reader_first(now);
    for (; each != NULL; each = json_reader_next(each)) {
        const char *name = json_reader_label(each);
        const char *value = journal_text(now, name);
        const char *then = journal_text(replay->recorded, name);
        if (then == NULL || strcmp(then, value) != 0) {
            fprintf(replay->out, "%s  %s=%s, was %s\n", count++ == 0 ? "Settings that differ:\n" : "", name,
                    value,
                    then == NULL      ? "derived from others"
                    : then[0] == '\0' ? "empty"
                                      : then);
        }
    }
    if (count == 0 && !is_told(replay)) {
        fputs("Settings: those of the recording\n", replay->out);
    }
    bool is_same = journal_is_same(now, replay->recorded);
    replay->told_of = replay->recorded;
    return is_same;
}

static int run_stretch(struct replay *replay, size_t at, struct err *err)
{
    struct replay_stretch *stretch = &replay->journal.stretches[at];
    struct settings settings;
    struct policy_config config;
    replay->recorded = stretch->inputs[0].set;
    int result = settings_load(SETTINGS_CONTROLLER, look_up, replay, &settings, err);
    if (result != 0) {
        return result;
    }
    bool is_same = tell_settings(replay, &settings);
    policy_settings_fill(&settings, &config);
    replay_world_run(stretch, &config, is_same, replay_journal_end(&replay->journal, at), &replay->deeds,
                     &replay->told);
    settings_free(&settings);
    return 0;
}

/* Its start was written in the midst of a run, not by a controller that began, or began to lead. */
static bool is_midway(const struct replay_stretch *stretch)
{
    const struct journal_input *start = &stretch->inputs[0];
    return start->settled_at.ms <= start->at.ms;
}

static void tell_midway(const struct replay *replay)
{
    const struct replay_journal *journal = &replay->journal;
    for (size_t i = 0; i < journal->count; i++) {
        if (is_midway(&journal->stretches[i])) {
            char from[TIMESTAMP_SIZE];
            timestamp_format(journal->stretches[i].inputs[0].wall, from);
            fprintf(replay->out,
                    "  From %s it begins in the midst of a run. Budgets, holds and what is to be closed are "
                    "known;\n"
                    "  misses counted by then, commands under way, open breakers, lost hosts and what was "
                    "told are\n"
                    "  not: differences soon after may come of that\n",
                    from);
        }
    }
}

static void tell_journal(const struct replay *replay)
{
    const struct replay_journal *journal = &replay->journal;
    char from[TIMESTAMP_SIZE], to[TIMESTAMP_SIZE];
    size_t inputs = 0;
    for (size_t i = 0; i < journal->count; i++) {
        inputs += journal->stretches[i].count;
    }
    timestamp_format(journal->stretches[0].inputs[0].wall, from);
    timestamp_format(journal->end, to);
    fprintf(replay->out, "Journal: %s to %s, %zu inputs", from, to, inputs);
    if (journal->count > 1) {
        fprintf(replay->out, " in %zu parts", journal->count);
    }
    if (journal->deeds_outside > 0) {
        fprintf(replay->out, "; %zu entries lie outside of what was recorded and are left out",
                journal->deeds_outside);
    }
    fputc('\n', replay->out);
    tell_midway(replay);
}

static void tell_difference(struct replay *replay)
{
    FILE *out = replay->out;
    fputs("\nWhat would have been done:\n", out);
    replay_deeds_print(&replay->deeds, out);
    fputs(replay->deeds.count == 0 ? "  nothing\n" : "", out);
    if (replay->told.assumed > 0) {
        fprintf(out, "  (%zu restarts were never tried in the recording: they are taken to succeed)\n",
                replay->told.assumed);
    }
    fputs(
        "\nDifference to what was done (- only then, + only now, ~ at another time or for another reason):\n",
        out);
    if (replay_deeds_compare(&replay->journal.done, &replay->deeds, ROUNDING_MS, out) == 0) {
        fputs("  none\n", out);
    }
}

int replay_run(const char *path, config_lookup lookup, void *arg, FILE *out, struct err *err)
{
    struct replay replay = {.lookup = lookup, .arg = arg, .out = out};
    int result = replay_journal_read(path, &replay.journal, err);
    if (result == 0) {
        tell_journal(&replay);
    }
    for (size_t at = 0; result == 0 && at < replay.journal.count; at++) {
        result = run_stretch(&replay, at, err);
    }
    if (result == 0) {
        tell_difference(&replay);
    }
    replay_deeds_fini(&replay.deeds);
    replay_journal_fini(&replay.journal);
    return result;
}
