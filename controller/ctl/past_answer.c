#include "controller/ctl/past_answer.h"

#include <stdio.h>
#include <string.h>

#include "common/memory.h"
#include "common/timestamp.h"
#include "controller/ctl/fleet_json.h"
#include "controller/ctl/phrase.h"
#include "controller/ctl/table.h"
#include "proto/json_writer.h"

void past_answer_fini(struct past_answer *past)
{
    event_command_history_fini(&past->history);
}

void past_answer_print_gate(const struct ctl *ctl, const char *gate, bool is_open, const char *says)
{
    char first[64];
    snprintf(first, sizeof first, says[0] == '\0' ? "  %s %s" : "  %s %-12s", is_open ? "open  " : "CLOSED",
             gate);
    fputs(table_paint(is_open ? TABLE_DIM : TABLE_BAD, ctl->has_color), stdout);
    phrase_print(stdout, first, "                     ", says, ctl->width);
    fputs(table_unpaint(ctl->has_color), stdout);
}

static struct wall next_of(const struct past_answer *past)
{
    return (struct wall){past->told.next_at.ms}; /* a wall-clock time there */
}

static void print_next(const struct past_answer *past, int width)
{
    char text[EXPLANATION_LINE_SIZE + 160], at[TIMESTAMP_SIZE];
    struct wall next = next_of(past);
    if (past->told.next[0] == '\0') {
        return;
    }
    timestamp_format(next, at);
    snprintf(text, sizeof text, "Next: %s%s%s%s.", past->told.next, next.ms == 0 ? "" : ", at ",
             next.ms == 0 ? "" : at,
             next.ms != 0 && next.ms <= past->at.ms ? "; by then nothing new had come of it" : "");
    phrase_print(stdout, "", "", text, width);
}

static void print_gates(const struct ctl *ctl, const bool is_open[GATE_N])
{
    const struct scene nobody = {.wall = {0}};
    for (int gate = 0; gate < GATE_N; gate++) {
        char says[EXPLANATION_LINE_SIZE] = "";
        if (!is_open[gate]) {
            explanation_of_gate(&nobody, (enum gate)gate, says, sizeof says);
        }
        past_answer_print_gate(ctl, gates_name((enum gate)gate), is_open[gate], says);
    }
}

void past_answer_describe(struct past_answer *past)
{
    const char *const *documents = (const char *const *)past->history.documents;
    past_describe(documents, past->history.count, past->name, past->at, past->headline);
    past_explain(documents, past->history.count, past->name, &past->told, &past->known_at);
}

/* What it knew at the last of these events. */
static void print_told(const struct ctl *ctl, const struct past_answer *past)
{
    char known_at[TIMESTAMP_SIZE], text[EXPLANATION_VERDICT_SIZE + 96];
    timestamp_format(past->known_at, known_at);
    snprintf(text, sizeof text, "The answer as it was written down at %s: %s", known_at, past->told.verdict);
    phrase_print(stdout, "", "", text, ctl->width);
    print_next(past, ctl->width);
    printf("\nWhat was known then:\n");
    for (size_t i = 0; i < past->told.evidence.count; i++) {
        phrase_print(stdout, "  - ", "    ", past->told.evidence.text[i], ctl->width);
    }
    printf("\nThe gates then, in order:\n");
    print_gates(ctl, past->told.is_open);
}

void past_answer_print(const struct ctl *ctl, const struct past_answer *past)
{
    size_t count = past->shown < past->history.count ? past->shown : past->history.count;
    phrase_print(stdout, "", "", past->headline, ctl->width);
    if (past->known_at.ms != 0) {
        print_told(ctl, past);
    } else if (count > 0) {
        phrase_print(stdout, "", "",
                     "Evidence and gates were not written down with what is recorded of that time.",
                     ctl->width);
    }
    if (count > 0) {
        printf("\nThe last %zu events before:\n", count);
    }
    event_command_print(&past->history, past->shown);
}

static void write_gates(struct json_writer *writer, const bool is_open[GATE_N])
{
    const struct scene nobody = {.wall = {0}};
    json_writer_open(writer, "gates", '[');
    for (int gate = 0; gate < GATE_N; gate++) {
        char says[EXPLANATION_LINE_SIZE] = "";
        if (!is_open[gate]) {
            explanation_of_gate(&nobody, (enum gate)gate, says, sizeof says);
        }
        json_writer_open(writer, NULL, '{');
        json_writer_text(writer, "gate", gates_name((enum gate)gate));
        json_writer_bool(writer, "open", is_open[gate]);
        json_writer_text_or_null(writer, "says", says);
        json_writer_close(writer, '}');
    }
    json_writer_close(writer, ']');
}

static void write_told(struct json_writer *writer, const struct past_answer *past)
{
    json_writer_text(writer, "verdict", past->told.verdict);
    json_writer_open(writer, "next", '{');
    json_writer_text_or_null(writer, "what", past->told.next);
    json_writer_time(writer, "at", next_of(past), JSON_ROUND_UP);
    json_writer_close(writer, '}');
    json_writer_open(writer, "evidence", '[');
    for (size_t i = 0; i < past->told.evidence.count; i++) {
        json_writer_text(writer, NULL, past->told.evidence.text[i]);
    }
    json_writer_close(writer, ']');
    write_gates(writer, past->told.is_open);
}

void past_answer_print_json(const struct past_answer *past)
{
    struct json_writer writer;
    json_writer_init(&writer, JSON_COMPACT, 4096);
    json_writer_open(&writer, NULL, '{');
    json_writer_text(&writer, "container", past->name);
    json_writer_time(&writer, "at", past->at, JSON_ROUND_DOWN);
    if (past->row != NULL) {
        json_writer_text(&writer, "source", past->source);
        json_writer_text(&writer, "note", past->note);
        json_writer_text_or_null(&writer, "host", past->row->host);
        json_writer_text(&writer, "docker_state", past->row->state);
        fleet_json_attempts(&writer, past->row);
    }
    json_writer_text(&writer, "headline", past->headline);
    json_writer_time(&writer, "known_at", past->known_at, JSON_ROUND_DOWN); /* null: the rest is not known */
    if (past->known_at.ms != 0) {
        write_told(&writer, past);
    }
    event_command_write(&writer, &past->history, past->shown);
    json_writer_close(&writer, '}');
    cleanup_free char *text = json_writer_take(&writer, NULL);
    puts(text);
}
