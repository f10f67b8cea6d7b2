#include "controller/ctl/event_command.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/memory.h"
#include "common/timestamp.h"
#include "controller/ctl/alert_test.h"
#include "controller/ctl/fleet.h"
#include "controller/ctl/option_reader.h"
#include "controller/ctl/phrase.h"
#include "proto/json_reader.h"
#include "proto/json_writer.h"
#include "proto/keys.h"
#include "proto/limits.h"
#include "proto/text.h"

enum {
    PAGE = 500,
    LAST_DEFAULT = 50,
    LAST_MAX = 10000,
    ENTRY_VALUES = 256,
    ENTRY_BYTES = 64 * 1024,
    LINE_SIZE = 1024,
    LOG_SIZE = 8 * 1024
};

static const struct timespec FOLLOW_PAUSE = {.tv_nsec = 300 * 1000 * 1000};

/* ---- one entry ---- */

struct entry {
    struct cJSON *tree;
    char kind[LIMIT_WORD_SIZE], type[LIMIT_WORD_SIZE], timestamp[LIMIT_TIME_SIZE];
    char container[LIMIT_NAME_SIZE], host[LIMIT_NAME_SIZE];
};

static void get(const struct entry *entry, const char *name, char *out, size_t size)
{
    if (!json_reader_text(json_reader_member(entry->tree, name), out, size)) {
        out[0] = '\0';
    }
}

static bool parse(const char *json, size_t len, struct entry *out)
{
    static const struct json_bounds bounds = {"entry", ENTRY_BYTES, ENTRY_VALUES};
    *out = (struct entry){.tree = NULL};
    if (json_reader_parse(json, len, &bounds, &out->tree, NULL) != 0) {
        return false;
    }
    get(out, "kind", out->kind, sizeof out->kind);
    get(out, "type", out->type, sizeof out->type);
    get(out, "timestamp", out->timestamp, sizeof out->timestamp);
    get(out, "container", out->container, sizeof out->container);
    get(out, "host", out->host, sizeof out->host);
    return true;
}

static const char *in_brackets(const char *text, char out[LINE_SIZE])
{
    out[0] = '\0';
    if (text[0] != '\0') {
        snprintf(out, LINE_SIZE, " (%.300s)", text);
    }
    return out;
}

/* The last line of its log, without the time that Docker put before it. */
static void get_last_words(const struct entry *entry, char out[LINE_SIZE])
{
    char log[LOG_SIZE];
    get(entry, "log", log, sizeof log);
    size_t end = strlen(log);
    while (end > 0 && strchr("\r\n ", log[end - 1]) != NULL) {
        log[--end] = '\0';
    }
    const char *newline = strrchr(log, '\n');
    const char *line = newline == NULL ? log : newline + 1;
    struct wall when;
    size_t len = strcspn(line, " ");
    if (line[len] == ' ' && timestamp_parse(line, len, &when) == 0) {
        line += len + 1;
    }
    snprintf(out, LINE_SIZE, "%.300s", line);
}

static void tell_evidence(const struct entry *entry, const char *reason, char *out, size_t size)
{
    char state[LIMIT_WORD_SIZE], words[LINE_SIZE], ending[64] = "";
    int64_t code;
    bool is_oom = false;
    get(entry, "state", state, sizeof state);
    get_last_words(entry, words);
    json_reader_bool(json_reader_member(entry->tree, "oom_killed"), &is_oom);
    if (json_reader_signed(json_reader_member(entry->tree, "exit_code"), INT32_MIN, INT32_MAX, &code)) {
        snprintf(ending, sizeof ending, ", exit code %" PRId64 "%s", code, is_oom ? ", out of memory" : "");
    }
    snprintf(out, size, "evidence %s: %s%s%s%.300s%s", reason, state, ending,
             words[0] == '\0' ? "" : "; it said last: \"", words, words[0] == '\0' ? "" : "\"");
}

/* What an entry tells, without its time and its container. */
static void tell(const struct entry *entry, char *out, size_t size)
{
    char action[LIMIT_REASON_SIZE], reason[LIMIT_REASON_SIZE], gate[LIMIT_WORD_SIZE],
        detail[LIMIT_DETAIL_SIZE];
    char from[LIMIT_WORD_SIZE], to[LIMIT_WORD_SIZE], event[LIMIT_WORD_SIZE], more[LINE_SIZE];
    get(entry, "action", action, sizeof action);
    get(entry, "reason", reason, sizeof reason);
    get(entry, "gate", gate, sizeof gate);
    get(entry, "detail", detail, sizeof detail);
    get(entry, "from", from, sizeof from);
    get(entry, "to", to, sizeof to);
    get(entry, "event", event, sizeof event);
    if (entry->type[0] != '\0') {
        const char *why = action[0] == '\0' ? reason : action;
        snprintf(out, size, "ALERT %s%s%s%s", entry->type, why[0] == '\0' ? "" : " ", why,
                 in_brackets(detail, more));
    } else if (strcmp(entry->kind, "transition") == 0) {
        snprintf(out, size, "%s -> %s: %s%s", from, to, reason, in_brackets(detail, more));
    } else if (strcmp(entry->kind, "decision") == 0 && gate[0] != '\0') {
        snprintf(out, size, "not restarted: %s, gate %s%s", reason, gate, in_brackets(detail, more));
    } else if (strcmp(entry->kind, "decision") == 0) {
        int64_t attempt = 0;
        json_reader_signed(json_reader_member(entry->tree, "attempt"), 0, INT64_MAX, &attempt);
        snprintf(out, size, "%s: attempt %" PRId64 ", %s%s", action, attempt, reason,
                 in_brackets(detail, more));
    } else if (strcmp(entry->kind, "operator") == 0) {
        snprintf(out, size, "operator: %s%s%s, %s", action, reason[0] == '\0' ? "" : " ", reason, detail);
    } else if (strcmp(entry->kind, "evidence") == 0) {
        tell_evidence(entry, reason, out, size);
    } else {
        snprintf(out, size, "%s %s%s%s", entry->kind, event, reason, in_brackets(detail, more));
    }
}

bool event_command_line(const char *json, size_t len, char *out, size_t size)
{
    struct entry entry;
    bool is_entry = parse(json, len, &entry);
    if (is_entry) {
        char what[LINE_SIZE];
        tell(&entry, what, sizeof what);
        snprintf(out, size, "%s  %s  %s", entry.timestamp,
                 entry.container[0] != '\0' ? entry.container
                 : entry.host[0] != '\0'    ? entry.host
                                            : "-",
                 what);
        text_replace_controls(out, '?'); /* nothing from outside moves the cursor */
    }
    json_reader_cleanup(&entry.tree);
    return is_entry;
}

/* ---- what is wanted of the stream ---- */

struct query {
    const char *container, *host;
    bool is_alerts_only, is_following, is_json;
    struct wall since, until;
    size_t last;
};

static bool is_wanted(const struct query *query, const char *json, size_t len)
{
    struct entry entry;
    bool is_entry = parse(json, len, &entry);
    bool is_wanted = is_entry && strcmp(entry.kind, "inputs") != 0 && /* those are for --replay */
                     (query->container == NULL || strcmp(query->container, entry.container) == 0) &&
                     (query->host == NULL || strcmp(query->host, entry.host) == 0) &&
                     (!query->is_alerts_only || entry.type[0] != '\0');
    json_reader_cleanup(&entry.tree);
    return is_wanted;
}

/* "1795521600000-0" and what stands under `data`; false for an entry of another shape. */
static bool open_entry(const struct desk_reply *item, const char **id, const struct desk_reply **data)
{
    if (item->count != 2 || item->items[0].text == NULL || item->items[1].count < 2 ||
        item->items[1].items[1].text == NULL) {
        return false;
    }
    *id = item->items[0].text;
    *data = &item->items[1].items[1];
    return true;
}

static void print_entry(const struct query *query, const struct desk_reply *data)
{
    char line[3 * LINE_SIZE];
    if (query->is_json) {
        puts(data->text);
    } else if (event_command_line(data->text, data->len, line, sizeof line)) {
        puts(line);
    }
}

/* ---- backwards through the stream ---- */

struct found {
    struct desk_reply **pages;
    size_t page_count;
    const struct desk_reply **entries; /* newest first */
    size_t count;
    char newest[64]; /* id */
};

static void free_found(struct found *found)
{
    for (size_t i = 0; i < found->page_count; i++) {
        redis_desk_reply_fini(found->pages[i]);
        free(found->pages[i]);
    }
    free(found->pages);
    free(found->entries);
}

/* Of one page; false where it was the last that matters. */
static bool take_page(const struct query *query, struct found *found, const struct desk_reply *page,
                      char *before)
{
    for (size_t i = 0; i < page->count; i++) {
        const char *id;
        const struct desk_reply *data;
        if (!open_entry(&page->items[i], &id, &data)) {
            continue;
        }
        if (found->newest[0] == '\0') {
            memory_set_text(found->newest, sizeof found->newest, id);
        }
        snprintf(before, 64, "(%.60s", id);
        if (strtoll(id, NULL, 10) < query->since.ms) {
            return false;
        }
        if (is_wanted(query, data->text, data->len)) {
            found->entries = memory_add(found->entries, found->count, sizeof(struct desk_reply *));
            found->entries[found->count++] = data;
        }
        if (found->count == query->last) {
            return false;
        }
    }
    return page->count == PAGE;
}

static int search(struct ctl *ctl, const struct query *query, struct found *found, struct err *err)
{
    char before[64] = "+", count[16];
    snprintf(count, sizeof count, "%d", PAGE);
    if (query->until.ms != 0) {
        snprintf(before, sizeof before, "%" PRId64, query->until.ms);
    }
    bool goes_on = true;
    while (goes_on) {
        const char *argv[] = {"XREVRANGE", KEY_STREAM_EVENTS, before, "-", "COUNT", count};
        struct desk_reply *page = memory_alloc(sizeof *page);
        found->pages = memory_grow(found->pages, found->page_count + 1, sizeof *found->pages);
        found->pages[found->page_count++] = page;
        int result = redis_desk_call(ctl->redis, 6, argv, page, err);
        if (result != 0) {
            return result;
        }
        goes_on = take_page(query, found, page, before);
    }
    return 0;
}

/* ---- forwards, as it comes ---- */

static int follow(struct ctl *ctl, const struct query *query, const char *newest, struct err *err)
{
    char after[64], count[16];
    snprintf(count, sizeof count, "%d", PAGE);
    snprintf(after, sizeof after, "(%.60s", newest[0] == '\0' ? "0-0" : newest);
    for (;;) {
        const char *argv[] = {"XRANGE", KEY_STREAM_EVENTS, after, "+", "COUNT", count};
        cleanup_desk_reply struct desk_reply page;
        int result = redis_desk_call(ctl->redis, 6, argv, &page, err);
        if (result != 0) {
            return result;
        }
        for (size_t i = 0; i < page.count; i++) {
            const char *id;
            const struct desk_reply *data;
            if (open_entry(&page.items[i], &id, &data)) {
                snprintf(after, sizeof after, "(%.60s", id);
                if (is_wanted(query, data->text, data->len)) {
                    print_entry(query, data);
                }
            }
        }
        if (fflush(stdout) != 0) {
            return 0; /* nobody reads any more */
        }
        if (page.count < PAGE) {
            nanosleep(&FOLLOW_PAUSE, NULL);
        }
    }
}

int event_command_check_names(struct ctl *ctl, const char *container, const char *host)
{
    cleanup_fleet struct fleet fleet;
    struct err err;
    if ((container == NULL && host == NULL) || fleet_load(ctl, &fleet, &err) != 0) {
        return CTL_FINE; /* nobody knows better */
    }
    bool is_known = false;
    for (size_t i = 0; i < fleet.row_count; i++) {
        is_known = is_known || (container != NULL && strcmp(fleet.rows[i].name, container) == 0);
    }
    for (size_t i = 0; i < fleet.host_count; i++) {
        is_known = is_known || (container == NULL && strcmp(fleet.hosts[i].name, host) == 0);
    }
    if (is_known) {
        return CTL_FINE;
    }
    const char *name = container != NULL ? container : host;
    const char *nearest = container != NULL ? fleet_nearest(&fleet, name) : fleet_nearest_host(&fleet, name);
    ctl_complain("%s \"%.100s\" is not known, and nothing is recorded of it%s%s",
                 container != NULL ? "container" : "host", name,
                 nearest == NULL ? "" : "; the nearest name is ", nearest == NULL ? "" : nearest);
    return CTL_FAILED;
}

struct cJSON *event_command_parse(const char *document)
{
    struct entry entry;
    return parse(document, strlen(document), &entry) ? entry.tree : NULL;
}

static int run(struct ctl *ctl, const struct query *query)
{
    struct found found = {.count = 0};
    struct err err;
    int result = search(ctl, query, &found, &err);
    for (size_t i = found.count; result == 0 && i > 0; i--) {
        print_entry(query, found.entries[i - 1]);
    }
    if (result == 0 && found.count == 0 && !query->is_following &&
        event_command_check_names(ctl, query->container, query->host) != CTL_FINE) {
        free_found(&found);
        return CTL_FAILED;
    }
    if (result == 0 && query->is_following) {
        fflush(stdout);
        result = follow(ctl, query, found.newest, &err);
    }
    free_found(&found);
    if (result != 0) {
        ctl_complain("what happened stands in Redis, and %s", err.text);
        return CTL_FAILED;
    }
    return CTL_FINE;
}

/* ---- the commands ---- */

static bool read_last(const char *text, size_t *out)
{
    char *end;
    long long number = text == NULL ? LAST_DEFAULT : strtoll(text, &end, 10);
    if (text != NULL && (*text == '\0' || *end != '\0' || number < 1 || number > LAST_MAX)) {
        ctl_complain("--last \"%.40s\": allowed are numbers from 1 to %d", text, LAST_MAX);
        return false;
    }
    *out = (size_t)number;
    return true;
}

static int read_and_run(struct ctl *ctl, int argc, char **argv, bool is_alerts_only, const char *usage)
{
    struct query query = {.is_alerts_only = is_alerts_only};
    const char *since = NULL, *last = NULL;
    const struct option_row rows[] = {{"--container", &query.container, NULL},
                                      {"--host", &query.host, NULL},
                                      {"--since", &since, NULL},
                                      {"--last", &last, NULL},
                                      {"--follow", NULL, &query.is_following},
                                      {"--json", NULL, &query.is_json},
                                      {NULL, NULL, NULL}};
    struct option_reader reader;
    if (!option_reader_read(&reader, rows, argc, argv, 0, 0, usage) || !read_last(last, &query.last)) {
        return CTL_USAGE;
    }
    if (since != NULL && !phrase_parse_time(since, clock_wall_now(), &query.since)) {
        ctl_complain("--since \"%.40s\": allowed are " PHRASE_TIMES, since);
        return CTL_USAGE;
    }
    if (since != NULL && last == NULL) {
        query.last = LAST_MAX;
    }
    return run(ctl, &query);
}

int event_command_events(struct ctl *ctl, int argc, char **argv)
{
    return read_and_run(ctl, argc, argv, false, EVENT_COMMAND_EVENTS_USAGE);
}

int event_command_alerts(struct ctl *ctl, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--test") == 0) {
            return alert_test_run(ctl, argc, argv);
        }
    }
    return read_and_run(ctl, argc, argv, true, EVENT_COMMAND_ALERTS_USAGE);
}

void event_command_history_fini(struct event_history *history)
{
    for (size_t i = 0; i < history->count; i++) {
        free(history->documents[i]);
    }
    free(history->documents);
    *history = (struct event_history){.count = 0};
}

int event_command_history(struct ctl *ctl, const char *container, size_t count, struct wall until,
                          struct event_history *out, struct err *err)
{
    struct query query = {.container = container, .last = count, .until = until};
    struct found found = {.count = 0};
    int result = search(ctl, &query, &found, err);
    if (result == 0) {
        out->documents = memory_grow(NULL, found.count + 1, sizeof *out->documents);
        for (; out->count < found.count; out->count++) {
            out->documents[out->count] = memory_copy_text(found.entries[found.count - 1 - out->count]->text);
        }
    }
    free_found(&found);
    return result;
}

/* Where the last so many of them begin. */
static size_t first_of(const struct event_history *history, size_t count)
{
    return history->count > count ? history->count - count : 0;
}

void event_command_print(const struct event_history *history, size_t count)
{
    char line[4096];
    for (size_t i = first_of(history, count); i < history->count; i++) {
        if (event_command_line(history->documents[i], strlen(history->documents[i]), line, sizeof line)) {
            puts(line);
        }
    }
}

void event_command_write(struct json_writer *writer, const struct event_history *history, size_t count)
{
    json_writer_open(writer, "events", '[');
    for (size_t i = first_of(history, count); i < history->count; i++) {
        cleanup_json struct cJSON *tree = event_command_parse(history->documents[i]);
        if (tree != NULL) {
            json_writer_tree(writer, NULL, tree);
        }
    }
    json_writer_close(writer, ']');
}
