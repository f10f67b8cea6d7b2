#include "controller/ctl/explain_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/timestamp.h"
#include "controller/ctl/event_command.h"
#include "controller/ctl/option_reader.h"
#include "controller/ctl/past_answer.h"
#include "controller/ctl/phrase.h"
#include "controller/ctl/status_command.h"
#include "controller/ctl/table.h"
#include "proto/json_reader.h"
#include "proto/json_writer.h"

enum { HISTORY_DEFAULT = 20, HISTORY_MAX = 1000 };

/* ---- why ---- */

static void print_lines(const struct cJSON *list, int width)
{
    char text[1024];
    for (const struct cJSON *item = json_reader_first(list); item != NULL; item = json_reader_next(item)) {
        if (json_reader_text(item, text, sizeof text)) {
            phrase_print(stdout, "  - ", "    ", text, width);
        }
    }
}

static void print_gates(const struct ctl *ctl, const struct cJSON *list)
{
    for (const struct cJSON *item = json_reader_first(list); item != NULL; item = json_reader_next(item)) {
        char gate[LIMIT_WORD_SIZE] = "", says[1024] = "";
        bool is_open = false;
        json_reader_text(json_reader_member(item, "gate"), gate, sizeof gate);
        json_reader_text(json_reader_member(item, "says"), says, sizeof says);
        json_reader_bool(json_reader_member(item, "open"), &is_open);
        past_answer_print_gate(ctl, gate, is_open, says);
    }
}

static void print_next(const struct cJSON *next, int width)
{
    char what[512], text[640], left[PHRASE_SIZE];
    struct wall at = {0};
    if (!json_reader_text(json_reader_member(next, "what"), what, sizeof what)) {
        return;
    }
    json_reader_time(json_reader_member(next, "at"), &at);
    phrase_in(at, clock_wall_now(), left);
    bool is_soon = strcmp(left, "now") == 0;
    snprintf(text, sizeof text, "Next: %s%s%s.", what, left[0] == '\0' || is_soon ? "" : ", in ",
             is_soon ? "" : left);
    phrase_print(stdout, "", "", text, width);
}

static void print_explanation(const struct ctl *ctl, const struct cJSON *tree)
{
    char text[1100] = "";
    json_reader_text(json_reader_member(tree, "headline"), text, sizeof text);
    phrase_print(stdout, "", "", text, ctl->width);
    json_reader_text(json_reader_member(tree, "verdict"), text, sizeof text);
    phrase_print(stdout, "", "", text, ctl->width);
    print_next(json_reader_member(tree, "next"), ctl->width);
    printf("\nWhat is known:\n");
    print_lines(json_reader_member(tree, "evidence"), ctl->width);
    printf("\nThe gates, in order:\n");
    print_gates(ctl, json_reader_member(tree, "gates"));
    const struct cJSON *help = json_reader_member(tree, "help");
    if (json_reader_first(help) != NULL) {
        printf("\nWhat you can do:\n");
        print_lines(help, ctl->width);
    }
}

/* ---- from the stream ---- */

static int load_history(struct ctl *ctl, const char *name, size_t count, struct wall until,
                        struct event_history *out)
{
    struct err err;
    int result = event_command_history(ctl, name, count, until, out, &err);
    if (result != 0) {
        ctl_complain("what happened stands in Redis, and %s", err.text);
        return CTL_FAILED;
    }
    if (out->count == 0) {
        return event_command_check_names(ctl, name, NULL);
    }
    return CTL_FINE;
}

/* The last one alone may be of a kind that tells no state. */
static size_t wanted_of(size_t count)
{
    return count < HISTORY_DEFAULT ? HISTORY_DEFAULT : count;
}

/* How it stood then, as far as the stream tells. */
static int explain_past(struct ctl *ctl, const char *name, const char *at, size_t count)
{
    cleanup_past_answer struct past_answer past = {.name = name, .shown = count};
    if (!phrase_parse_time(at, clock_wall_now(), &past.at)) {
        ctl_complain("--at \"%.40s\": allowed are " PHRASE_TIMES, at);
        return CTL_USAGE;
    }
    int code = load_history(ctl, name, wanted_of(count), past.at, &past.history);
    if (code != CTL_FINE) {
        return code;
    }
    past_answer_describe(&past);
    if (ctl->is_json) {
        past_answer_print_json(&past);
    } else {
        past_answer_print(ctl, &past);
    }
    return CTL_FINE;
}

/* ---- the answer of now ---- */

/* The explanation's document, with what happened before as one more member. */
static int print_json(struct ctl *ctl, const char *name, const struct api_reply *reply, size_t count)
{
    struct json_writer writer;
    cleanup_history struct event_history history = {.count = 0};
    int code = load_history(ctl, name, count, (struct wall){0}, &history);
    if (code != CTL_FINE) {
        return code;
    }
    json_writer_init(&writer, JSON_COMPACT, 4096);
    json_writer_open(&writer, NULL, '{');
    for (const struct cJSON *item = json_reader_first(reply->tree); item != NULL;
         item = json_reader_next(item)) {
        json_writer_tree(&writer, json_reader_label(item), item);
    }
    event_command_write(&writer, &history, count);
    json_writer_close(&writer, '}');
    cleanup_free char *text = json_writer_take(&writer, NULL);
    puts(text);
    return CTL_FINE;
}

/* ---- without the controller ---- */

static void print_row(const struct ctl *ctl, const struct fleet *fleet, const struct fleet_row *row)
{
    char text[PAST_TEXT_SIZE + 256], who[LIMIT_NAME_SIZE + 160], attempts[64] = "";
    if (fleet->lease_holder[0] != '\0') {
        snprintf(who, sizeof who,
                 "Controller %s leads, and decides: ask there for its reasons (DEFIB_URL, or defibctl on its "
                 "machine).",
                 fleet->lease_holder);
    } else if (strcmp(fleet->source, "redis") == 0) {
        snprintf(who, sizeof who, "Nobody restarts anything: no controller leads.");
    } else {
        snprintf(who, sizeof who, "Nobody restarts anything, unless another controller leads.");
    }
    phrase_print(stdout, "", "", fleet->note, ctl->width);
    if (row->attempts >= 0) {
        snprintf(attempts, sizeof attempts, "; %lld attempts are on its account", (long long)row->attempts);
    }
    snprintf(text, sizeof text, "%s is %s on %s%s%s%s. %s", row->name, row->state,
             row->host[0] == '\0' ? "no known host" : row->host, row->reason[0] == '\0' ? "" : ", ",
             row->reason, attempts, who);
    phrase_print(stdout, "", "", text, ctl->width);
}

static int explain_without_controller(struct ctl *ctl, const char *name, size_t count)
{
    cleanup_fleet struct fleet fleet;
    const struct fleet_row *row;
    int code = status_command_find(ctl, name, &fleet, &row);
    if (code != CTL_FINE) {
        return code;
    }
    cleanup_past_answer struct past_answer past = {.name = name,
                                                   .at = clock_wall_now(),
                                                   .shown = count,
                                                   .source = fleet.source,
                                                   .note = fleet.note,
                                                   .row = row};
    struct err err;
    if (event_command_history(ctl, name, wanted_of(count), (struct wall){0}, &past.history, &err) == 0) {
        past_answer_describe(&past);
    } else {
        snprintf(past.headline, sizeof past.headline, "What was recorded of it stands in Redis, and %s.",
                 err.text);
    }
    if (ctl->is_json) {
        past_answer_print_json(&past);
        return CTL_FINE;
    }
    print_row(ctl, &fleet, row);
    past_answer_print(ctl, &past);
    return CTL_FINE;
}

/* ---- the command ---- */

int explain_command_run(struct ctl *ctl, int argc, char **argv)
{
    const char *last = NULL, *at = NULL;
    const struct option_row rows[] = {
        {"--last", &last, NULL}, {"--at", &at, NULL}, {"--json", NULL, &ctl->is_json}, {NULL, NULL, NULL}};
    struct option_reader reader;
    if (!option_reader_read(&reader, rows, argc, argv, 1, 1, EXPLAIN_COMMAND_USAGE)) {
        return CTL_USAGE;
    }
    char *end = NULL;
    long count = last == NULL ? HISTORY_DEFAULT : strtol(last, &end, 10);
    if (count < 1 || count > HISTORY_MAX || (end != NULL && *end != '\0')) {
        ctl_complain("--last \"%.40s\": allowed are numbers from 1 to %d", last, HISTORY_MAX);
        return CTL_USAGE;
    }
    const char *name = reader.names[0];
    if (at != NULL) {
        return explain_past(ctl, name, at, (size_t)count);
    }
    cleanup_reply struct api_reply reply = {.status = 0};
    int code = status_command_ask(ctl, "/api/v1/explain/", name, &reply);
    if (code < 0) {
        return explain_without_controller(ctl, name, (size_t)count);
    }
    if (code != CTL_FINE) {
        return code;
    }
    if (ctl->is_json && last != NULL) {
        return print_json(ctl, name, &reply, (size_t)count);
    }
    if (ctl->is_json) {
        puts(reply.text);
        return CTL_FINE;
    }
    print_explanation(ctl, reply.tree);
    if (last == NULL) {
        return CTL_FINE;
    }
    cleanup_history struct event_history history = {.count = 0};
    code = load_history(ctl, name, (size_t)count, (struct wall){0}, &history);
    if (code == CTL_FINE) {
        printf("\nThe last %zu events of %s:\n", history.count, name);
        event_command_print(&history, history.count);
    }
    return code;
}
