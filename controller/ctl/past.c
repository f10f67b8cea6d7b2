#include "controller/ctl/past.h"

#include <stdio.h>
#include <string.h>

#include "common/memory.h"
#include "common/timestamp.h"
#include "controller/core/gates.h"
#include "proto/event_facts.h"
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

static struct cJSON *parse(const char *document)
{
    static const struct json_bounds bounds = {"entry", DOCUMENT_BYTES, DOCUMENT_VALUES};
    struct cJSON *tree = NULL;
    json_reader_parse(document, strlen(document), &bounds, &tree, NULL);
    return tree;
}

static void take(struct past *past, const char *document)
{
    char kind[LIMIT_WORD_SIZE];
    cleanup_json struct cJSON *tree = parse(document);
    if (tree == NULL) {
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

/* ---- with its facts ---- */

/* The last record that has some. */
struct known {
    struct event_facts facts;
    char host[LIMIT_NAME_SIZE], reason[LIMIT_REASON_SIZE];
    int64_t attempt, max_attempts;
    struct wall at;
};

static bool find_facts(const char *const *documents, size_t count, struct known *out)
{
    *out = (struct known){.attempt = 0};
    for (size_t i = count; i > 0; i--) {
        cleanup_json struct cJSON *tree = parse(documents[i - 1]);
        if (tree != NULL && event_facts_read(json_reader_member(tree, "facts"), &out->facts) &&
            json_reader_time(json_reader_member(tree, "timestamp"), &out->at)) {
            get(tree, "host", out->host, sizeof out->host);
            get(tree, "reason", out->reason, sizeof out->reason);
            json_reader_signed(json_reader_member(tree, "attempt"), 0, INT32_MAX, &out->attempt);
            json_reader_signed(json_reader_member(tree, "max_attempts"), 0, INT32_MAX, &out->max_attempts);
            return true;
        }
    }
    return false;
}

static enum policy_state state_of(const char *name)
{
    int state = STATE_NONE;
    while (state < STATE_N && strcmp(policy_state_name((enum policy_state)state), name) != 0) {
        state++;
    }
    return state < STATE_N ? (enum policy_state)state : STATE_NONE;
}

static enum failure_cause cause_of(const char *name)
{
    int cause = CAUSE_DEPENDENCY;
    while (cause > CAUSE_NONE && strcmp(policy_cause_name((enum failure_cause)cause), name) != 0) {
        cause--;
    }
    return (enum failure_cause)cause;
}

static void open_gates(const char *closed, bool is_open[GATE_N])
{
    char words[EVENT_FACTS_CLOSED_SIZE];
    char *rest = words;
    memory_set_text(words, sizeof words, closed);
    for (int gate = 0; gate < GATE_N; gate++) {
        is_open[gate] = true;
    }
    for (const char *word = strsep(&rest, " "); word != NULL; word = strsep(&rest, " ")) {
        for (int gate = 0; gate < GATE_N; gate++) {
            is_open[gate] = is_open[gate] && strcmp(word, gates_name((enum gate)gate)) != 0;
        }
    }
}

static struct mono ago(const struct known *known, int64_t ms)
{
    return (struct mono){ms < 0 ? 0 : known->at.ms - ms};
}

static struct decider_view_container view_of(const struct known *known, const char *container)
{
    const struct event_facts *facts = &known->facts;
    struct mono next = {facts->next_ms < 0 ? 0 : known->at.ms + facts->next_ms};
    return (struct decider_view_container){
        .name = container,
        .host = facts->docker[0] == '\0' ? "" : known->host,
        .service = "",
        .instance = "",
        .container_id = "",
        .incarnation = "",
        .state = state_of(facts->state),
        .category = "",
        .status = facts->status,
        .parent = facts->parent,
        .parent_state = state_of(facts->parent_state),
        .docker_state = facts->docker,
        .docker_health = facts->health[0] == '\0' ? "none" : facts->health,
        .stop_class = facts->stop_class,
        .reason = known->reason,
        .cause = cause_of(facts->cause),
        .gate = GATE_N,
        .has_exit_code = facts->has_exit_code,
        .exit_code = facts->exit_code,
        .attempts = known->attempt,
        .max_attempts = known->max_attempts,
        .misses = facts->misses,
        .miss_threshold = facts->miss_threshold,
        .bad = facts->bad,
        .unhealthy_threshold = facts->unhealthy_threshold,
        .agent_heard_at = ago(known, facts->agent_heard_ms),
        .app_heard_at = ago(known, facts->service_heard_ms),
        .broken_at = ago(known, facts->broken_ms),
        .healthy_since = {known->at.ms},
        .grace_until = next,
        .cooldown_until = next,
        .wake_at = next,
        .breaker_turn_at = next,
        .held_until = next,
        .is_listed = true,
    };
}

bool past_explain(const char *const *documents, size_t count, const char *container, struct explanation *out,
                  struct wall *known_at)
{
    struct known known;
    if (!find_facts(documents, count, &known)) {
        return false;
    }
    bool is_open[GATE_N];
    struct scene scene = {.now = {known.at.ms}, .wall = known.at};
    struct decider_view_container view = view_of(&known, container);
    open_gates(known.facts.closed, is_open);
    view.is_held = !is_open[GATE_HOLD];
    explanation_make_past(&scene, &view, is_open, out);
    *known_at = known.at;
    return true;
}
