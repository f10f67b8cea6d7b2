#include "controller/replay/replay_journal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "proto/json_reader.h"
#include "proto/text.h"

enum { LINE_MAX_BYTES = 64 * 1024 * 1024, LINE_MAX_VALUES = 4 * 1000 * 1000 };

static const struct json_bounds bounds = {"document", LINE_MAX_BYTES, LINE_MAX_VALUES};

/* One life of a controller, as far as it was read. */
struct run {
    char name[JOURNAL_RUN_SIZE];
    uint64_t part;  /* the last that was read */
    size_t stretch; /* where it goes on; SIZE_MAX: nowhere before its next start */
    struct run *next;
};

struct reader {
    struct replay_journal *journal;
    struct replay_deeds deeds; /* of all documents */
    struct run *runs;
};

void replay_journal_fini(struct replay_journal *journal)
{
    for (size_t i = 0; i < journal->count; i++) {
        struct replay_stretch *stretch = &journal->stretches[i];
        for (size_t at = 0; at < stretch->count; at++) {
            journal_input_fini(&stretch->inputs[at]);
        }
        free(stretch->inputs);
    }
    free(journal->stretches);
    replay_deeds_fini(&journal->done);
    *journal = (struct replay_journal){0};
}

/* ---- inputs ---- */

static struct run *need_run(struct reader *reader, const char *name)
{
    struct run *run = reader->runs;
    while (run != NULL && strcmp(run->name, name) != 0) {
        run = run->next;
    }
    if (run == NULL) {
        run = memory_alloc(sizeof *run);
        memory_set_text(run->name, sizeof run->name, name);
        run->stretch = SIZE_MAX;
        run->next = reader->runs;
        reader->runs = run;
    }
    return run;
}

static size_t add_stretch(struct replay_journal *journal)
{
    if (journal->count == journal->size) {
        journal->size = journal->size == 0 ? 4 : 2 * journal->size;
        journal->stretches = memory_grow(journal->stretches, journal->size, sizeof *journal->stretches);
    }
    journal->stretches[journal->count] = (struct replay_stretch){0};
    return journal->count++;
}

static void add_input(struct replay_stretch *stretch, const struct journal_input *input)
{
    if (stretch->count == stretch->size) {
        stretch->size = stretch->size == 0 ? 64 : 2 * stretch->size;
        stretch->inputs = memory_grow(stretch->inputs, stretch->size, sizeof *stretch->inputs);
    }
    stretch->inputs[stretch->count++] = *input;
}

static void add_ticks(struct replay_stretch *stretch, struct journal_input *input)
{
    for (size_t i = 0; i < input->tick_count; i++) {
        struct journal_input tick;
        journal_input_init(&tick, JOURNAL_TICK, input->ticks[i].at, (struct wall){0}); /* as the clock runs */
        tick.since = input->ticks[i].due;
        add_input(stretch, &tick);
    }
    journal_input_fini(input);
}

static void take_input(struct reader *reader, struct run *run, struct journal_input *input)
{
    struct replay_journal *journal = reader->journal;
    bool is_start = input->kind == JOURNAL_START;
    if (is_start && run->stretch == SIZE_MAX) {
        run->stretch = add_stretch(journal);
    } else if (is_start || run->stretch == SIZE_MAX) {
        journal_input_fini(input); /* it goes on as it did, or its beginning is lost */
        return;
    }
    if (input->wall.ms > journal->end.ms) {
        journal->end = input->wall;
    }
    struct replay_stretch *stretch = &journal->stretches[run->stretch];
    if (input->kind == JOURNAL_TICKS) {
        add_ticks(stretch, input);
    } else {
        add_input(stretch, input);
    }
}

static int take_inputs(struct reader *reader, struct cJSON *document, struct err *err)
{
    char name[JOURNAL_RUN_SIZE];
    uint64_t part;
    int result = journal_document_head(document, name, &part, err);
    if (result != 0) {
        return result;
    }
    struct run *run = need_run(reader, name);
    if (part <= run->part) {
        return 0; /* delivered twice */
    }
    if (part != run->part + 1 && run->stretch != SIZE_MAX) {
        reader->journal->stretches[run->stretch].is_torn = true;
        run->stretch = SIZE_MAX;
    }
    run->part = part;
    struct cJSON *tree;
    for (size_t at = 1; (tree = journal_document_next(document)) != NULL; at++) {
        struct journal_input input;
        result = journal_input_from_json(tree, &input, err);
        if (result != 0) {
            return err_wrap(err, "input %zu", at);
        }
        take_input(reader, run, &input);
    }
    return 0;
}

/* ---- documents ---- */

static int take_document(struct reader *reader, struct cJSON *document, struct err *err)
{
    const char *kind = journal_text(document, "kind");
    if (kind != NULL && strcmp(kind, "inputs") == 0) {
        return take_inputs(reader, document, err);
    }
    if (kind == NULL && journal_text(document, "type") == NULL) {
        return err_set(err, EINVAL, "it is no document of health:events: it has neither kind nor type");
    }
    replay_deeds_add(&reader->deeds, document);
    return 0;
}

static bool is_stream_id(const char *line)
{
    char *end;
    unsigned long long ms = strtoull(line, &end, 10);
    if (end == line || *end != '-' || ms == 0) {
        return false;
    }
    line = end + 1;
    strtoull(line, &end, 10);
    return end != line && *end == '\0';
}

static int take_line(struct reader *reader, char *line, size_t len, struct err *err)
{
    while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r')) {
        line[--len] = '\0';
    }
    if (len == 0 || is_stream_id(line) || strcmp(line, "data") == 0) {
        return 0;
    }
    if (line[0] != '{') {
        char excerpt[TEXT_EXCERPT_SIZE];
        text_excerpt(excerpt, line, len);
        return err_set(err, EINVAL, "\"%s\" is no JSON document", excerpt);
    }
    cleanup_json struct cJSON *document = NULL;
    int result = json_reader_parse(line, len, &bounds, &document, err);
    if (result != 0) {
        return result;
    }
    return take_document(reader, journal_document_within(document), err);
}

static int read_lines(struct reader *reader, FILE *file, struct err *err)
{
    cleanup_free char *line = NULL;
    size_t size = 0;
    int result = 0;
    ssize_t len;
    for (size_t number = 1; result == 0 && (len = getline(&line, &size, file)) >= 0; number++) {
        result = take_line(reader, line, (size_t)len, err);
        if (result != 0) {
            err_wrap(err, "line %zu", number);
        }
    }
    if (result == 0 && ferror(file)) {
        result = err_set(err, errno, "%s", strerrordesc_np(errno));
    }
    return result;
}

/* ---- the whole ---- */

static int compare_stretches(const void *left, const void *right)
{
    const struct replay_stretch *one = left, *other = right;
    int64_t a = one->inputs[0].wall.ms, b = other->inputs[0].wall.ms;
    return a < b ? -1 : a > b;
}

struct wall replay_journal_end(const struct replay_journal *journal, size_t at)
{
    const struct replay_stretch *stretch = &journal->stretches[at];
    if (at + 1 == journal->count && !stretch->is_torn) {
        return journal->end;
    }
    struct wall last = stretch->inputs[0].wall;
    for (size_t i = 0; i < stretch->count; i++) {
        last = stretch->inputs[i].wall.ms > last.ms ? stretch->inputs[i].wall : last;
    }
    return last;
}

/* Documents have whole seconds: an instant counts as within where its second does. */
static bool is_within(const struct replay_journal *journal, struct wall at)
{
    for (size_t i = 0; i < journal->count; i++) {
        const struct replay_stretch *stretch = &journal->stretches[i];
        if (at.ms >= stretch->inputs[0].wall.ms - 999 && at.ms <= replay_journal_end(journal, i).ms) {
            return true;
        }
    }
    return false;
}

static void sort_deeds(struct reader *reader)
{
    struct replay_journal *journal = reader->journal;
    for (size_t i = 0; i < reader->deeds.count; i++) {
        struct replay_deed *deed = &reader->deeds.items[i];
        journal->end = deed->at.ms > journal->end.ms ? deed->at : journal->end;
    }
    for (size_t i = 0; i < reader->deeds.count; i++) {
        bool is_in = is_within(journal, reader->deeds.items[i].at);
        journal->deeds_outside += !is_in;
        if (is_in) {
            replay_deeds_move(&journal->done, &reader->deeds, i);
        }
    }
}

static int finish(struct reader *reader, struct err *err)
{
    struct replay_journal *journal = reader->journal;
    if (journal->count == 0) {
        return err_set(err, EINVAL, "it holds no start of a controller: nothing can be replayed");
    }
    qsort(journal->stretches, journal->count, sizeof *journal->stretches, compare_stretches);
    sort_deeds(reader);
    return 0;
}

int replay_journal_read(const char *path, struct replay_journal *out, struct err *err)
{
    *out = (struct replay_journal){0};
    struct reader reader = {.journal = out};
    FILE *file = fopen(path, "re");
    int result =
        file == NULL ? err_set(err, errno, "%s", strerrordesc_np(errno)) : read_lines(&reader, file, err);
    if (result == 0) {
        result = finish(&reader, err);
    }
    if (file != NULL) {
        fclose(file);
    }
    while (reader.runs != NULL) {
        struct run *next = reader.runs->next;
        free(reader.runs);
        reader.runs = next;
    }
    replay_deeds_fini(&reader.deeds);
    if (result != 0) {
        err_wrap(err, "%s", path);
        replay_journal_fini(out);
    }
    return result;
}
