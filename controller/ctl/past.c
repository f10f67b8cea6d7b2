#include "controller/ctl/past.h"

#include <stdio.h>
#include <string.h>

#include "common/timestamp.h"
#include "proto/json_reader.h"
#include "proto/limits.h"

enum { DOCUMENT_BYTES = 64 * 1024, DOCUMENT_VALUES = 256 };

/* The last of each that was recorded. */
struct past {
    char state[LIMIT_WORD_SIZE], why[LIMIT_REASON_SIZE], since[LIMIT_TIME_SIZE];
    char refusal[LIMIT_REASON_SIZE], gate[LIMIT_WORD_SIZE], refused_at[LIMIT_TIME_SIZE];
    char tried_at[LIMIT_TIME_SIZE];
    char operator[LIMIT_REASON_SIZE], operator_detail[LIMIT_DETAIL_SIZE], operator_at[LIMIT_TIME_SIZE];
    int64_t attempt;
};

static void get(const struct cJSON *tree, const char *name, char *out, size_t size)
{
    if (!json_reader_text(json_reader_member(tree, name), out, size)) {
        out[0] = '\0';
    }
}

static void take_decision(struct past *past, const struct cJSON *tree)
{
    char gate[LIMIT_WORD_SIZE];
    get(tree, "gate", gate, sizeof gate);
    if (gate[0] != '\0') {
        get(tree, "gate", past->gate, sizeof past->gate);
        get(tree, "reason", past->refusal, sizeof past->refusal);
        get(tree, "timestamp", past->refused_at, sizeof past->refused_at);
    } else {
        past->gate[0] = '\0'; /* it was let through */
        get(tree, "timestamp", past->tried_at, sizeof past->tried_at);
        json_reader_signed(json_reader_member(tree, "attempt"), 0, INT64_MAX, &past->attempt);
    }
}

static void take_transition(struct past *past, const struct cJSON *tree)
{
    get(tree, "to", past->state, sizeof past->state);
    get(tree, "reason", past->why, sizeof past->why);
    get(tree, "timestamp", past->since, sizeof past->since);
    if (strcmp(past->state, "UP") == 0 || strcmp(past->state, "HELD") == 0) {
        past->gate[0] = '\0'; /* that trouble is over */
    }
}

static void take(struct past *past, const char *document)
{
    static const struct json_bounds bounds = {"entry", DOCUMENT_BYTES, DOCUMENT_VALUES};
    char kind[LIMIT_WORD_SIZE];
    cleanup_json struct cJSON *tree = NULL;
    if (json_reader_parse(document, strlen(document), &bounds, &tree, NULL) != 0) {
        return;
    }
    get(tree, "kind", kind, sizeof kind);
    if (strcmp(kind, "decision") == 0) {
        take_decision(past, tree);
    } else if (strcmp(kind, "transition") == 0) {
        take_transition(past, tree);
    } else if (strcmp(kind, "operator") == 0) {
        get(tree, "action", past->operator, sizeof past->operator);
        get(tree, "detail", past->operator_detail, sizeof past->operator_detail);
        get(tree, "timestamp", past->operator_at, sizeof past->operator_at);
    }
}

/* That a start went well is ordinary, and not recorded. */
static const char *state_words(const struct past *past)
{
    return past->state[0] == '\0'                 ? "in a state that is not recorded"
           : strcmp(past->state, "STARTING") == 0 ? "STARTING or UP"
                                                  : past->state;
}

void past_describe(const char *const *documents, size_t count, const char *container, struct wall at,
                   char out[PAST_TEXT_SIZE])
{
    struct past past = {.attempt = 0};
    char when[TIMESTAMP_SIZE];
    timestamp_format(at, when);
    for (size_t i = 0; i < count; i++) {
        take(&past, documents[i]);
    }
    if (count == 0) {
        snprintf(out, PAST_TEXT_SIZE,
                 "Nothing is recorded of %s before %s: nothing changed that anybody kept.", container, when);
        return;
    }
    size_t used = (size_t)snprintf(out, PAST_TEXT_SIZE, "At %s %s was %s%s%s%s%s%s.", when, container,
                                   state_words(&past), past.since[0] == '\0' ? "" : " since ", past.since,
                                   past.why[0] == '\0' ? "" : " (", past.why, past.why[0] == '\0' ? "" : ")");
    if (past.gate[0] != '\0') {
        used += (size_t)snprintf(out + used, PAST_TEXT_SIZE - used,
                                 " It was not restarted: %s (gate %s, since %s).", past.refusal, past.gate,
                                 past.refused_at);
    }
    if (past.tried_at[0] != '\0') {
        used +=
            (size_t)snprintf(out + used, PAST_TEXT_SIZE - used, " Its last attempt, number %lld, was at %s.",
                             (long long)past.attempt, past.tried_at);
    }
    if (past.operator[0] != '\0') {
        snprintf(out + used, PAST_TEXT_SIZE - used, " An operator's last word was %s at %s, %s.",
                 past.operator, past.operator_at, past.operator_detail);
    }
}
