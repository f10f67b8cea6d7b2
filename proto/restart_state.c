#include "proto/restart_state.h"

#include <errno.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "common/memory.h"
#include "proto/json_reader.h"
#include "proto/json_writer.h"
#include "proto/text.h"

enum { FIRST_SIZE = 512, MAX_VALUES = 1024 };

static const int64_t CLOCK_AHEAD_MAX_MS = 100LL * 366 * 24 * 3600 * 1000; /* a clock that was never set */

static const struct json_bounds bounds = {"restart state", LIMIT_RESTART_STATE_BYTES, MAX_VALUES};

void restart_state_init(struct restart_state *state)
{
    *state = (struct restart_state){0};
}

void restart_state_fini(struct restart_state *state)
{
    cJSON_Delete(state->extra);
    state->extra = NULL;
}

void restart_state_copy(const struct restart_state *state, struct restart_state *out)
{
    *out = *state;
    out->extra = json_reader_copy(state->extra);
}

/* ---- reading ---- */

/* Each reads one field; null means "not said". 0 or -EINVAL. */

static int read_count(const cJSON *item, int64_t *out, struct err *err)
{
    return json_reader_signed(item, 0, LIMIT_ATTEMPTS, out)
               ? 0
               : json_reader_refuse(item, item->string, "a whole number from 0 to 1000000", err);
}

static int read_time(const cJSON *item, struct wall *out, struct err *err)
{
    return json_reader_time(item, out) ? 0 : json_reader_refuse(item, item->string, "a time or null", err);
}

static int read_text(const cJSON *item, char *out, size_t size, struct err *err)
{
    if (cJSON_IsNull(item)) {
        out[0] = '\0';
        return 0;
    }
    return json_reader_text(item, out, size) ? 0
                                             : json_reader_refuse(item, item->string, "text or null", err);
}

static int read_name(const cJSON *item, char *out, size_t size, struct err *err)
{
    bool is_unsaid = cJSON_IsNull(item) || (cJSON_IsString(item) && item->valuestring[0] == '\0');
    if (is_unsaid) {
        out[0] = '\0';
        return 0;
    }
    return json_reader_name(item, item->string, out, size, err);
}

static int read_command_id(const cJSON *item, char out[LIMIT_COMMAND_ID_SIZE], struct err *err)
{
    int status = read_name(item, out, LIMIT_COMMAND_ID_SIZE, err);
    size_t len = strlen(out);
    bool is_id = len == 0 || (len == LIMIT_COMMAND_ID_SIZE - 1 && text_is_hex(out, len));
    return status != 0 || is_id ? status : json_reader_refuse(item, item->string, "32 hex digits", err);
}

static int read_op(const cJSON *item, enum command_op *out, struct err *err)
{
    char word[LIMIT_WORD_SIZE];
    int status = read_text(item, word, sizeof word, err);
    if (status == 0) {
        *out = command_op_parse(word);
    }
    return status;
}

static int read_bool(const cJSON *item, bool *out, struct err *err)
{
    return json_reader_bool(item, out) ? 0 : json_reader_refuse(item, item->string, "true or false", err);
}

static int read_epoch(const cJSON *item, uint64_t *out, struct err *err)
{
    return json_reader_unsigned(item, out) ? 0
                                           : json_reader_refuse(item, item->string, "a whole number", err);
}

static int read_clock_ahead(const cJSON *item, struct restart_state *out, struct err *err)
{
    out->has_clock_ahead =
        json_reader_signed(item, -CLOCK_AHEAD_MAX_MS, CLOCK_AHEAD_MAX_MS, &out->clock_ahead_ms);
    return out->has_clock_ahead
               ? 0
               : json_reader_refuse(item, item->string, "milliseconds, at most a century", err);
}

static int read_field(cJSON *tree, cJSON *item, struct restart_state *out, struct err *err)
{
    const char *name = item->string;
    if (strcmp(name, "attempt_count") == 0) {
        return read_count(item, &out->attempt_count, err);
    }
    if (strcmp(name, "last_attempt_at") == 0) {
        return read_time(item, &out->last_attempt_at, err);
    }
    if (strcmp(name, "last_failure_reason") == 0) {
        return read_text(item, out->last_failure_reason, sizeof out->last_failure_reason, err);
    }
    if (strcmp(name, "cooldown_until") == 0) {
        return read_time(item, &out->cooldown_until, err);
    }
    if (strcmp(name, "container_id") == 0) {
        return read_name(item, out->container_id, sizeof out->container_id, err);
    }
    if (strcmp(name, "host") == 0) {
        return read_name(item, out->host, sizeof out->host, err);
    }
    if (strcmp(name, "command_id") == 0) {
        return read_command_id(item, out->command_id, err);
    }
    if (strcmp(name, "command_op") == 0) {
        return read_op(item, &out->command_op, err);
    }
    if (strcmp(name, "incarnation") == 0) {
        return read_name(item, out->incarnation, sizeof out->incarnation, err);
    }
    if (strcmp(name, "in_flight") == 0) {
        return read_bool(item, &out->is_in_flight, err);
    }
    if (strcmp(name, "exhausted_alerted") == 0) {
        return read_bool(item, &out->is_exhausted_alerted, err);
    }
    if (strcmp(name, "recovery_due") == 0) {
        return read_bool(item, &out->is_recovery_due, err);
    }
    if (strcmp(name, "last_completed_at") == 0) {
        return read_time(item, &out->last_completed_at, err);
    }
    if (strcmp(name, "epoch") == 0) {
        return read_epoch(item, &out->epoch, err);
    }
    if (strcmp(name, "clock_ahead_ms") == 0) {
        return read_clock_ahead(item, out, err);
    }
    json_reader_move(tree, item, &out->extra);
    return 0;
}

int restart_state_decode(const char *bytes, size_t len, struct restart_state *out, struct err *err)
{
    restart_state_init(out);
    cleanup_json cJSON *tree = NULL;
    int status = json_reader_parse(bytes, len, &bounds, &tree, err);
    if (status != 0) {
        return status;
    }
    cJSON *next;
    for (cJSON *item = tree->child; item != NULL; item = next) {
        next = item->next;
        status = read_field(tree, item, out, err);
        if (status != 0) {
            restart_state_fini(out);
            restart_state_init(out);
            err_wrap(err, "restart state");
            return status;
        }
    }
    return 0;
}

/* ---- writing ---- */

static void write_runbook_fields(struct json_writer *writer, const struct restart_state *state)
{
    json_writer_signed(writer, "attempt_count", state->attempt_count);
    json_writer_time(writer, "last_attempt_at", state->last_attempt_at, JSON_ROUND_DOWN);
    json_writer_text_or_null(writer, "last_failure_reason", state->last_failure_reason);
    json_writer_time(writer, "cooldown_until", state->cooldown_until, JSON_ROUND_UP);
}

static void write_additions(struct json_writer *writer, const struct restart_state *state)
{
    json_writer_text_if_any(writer, "container_id", state->container_id);
    json_writer_text_if_any(writer, "host", state->host);
    json_writer_text_if_any(writer, "command_id", state->command_id);
    if (state->command_op != OP_UNKNOWN) {
        json_writer_text(writer, "command_op", command_op_name(state->command_op));
    }
    json_writer_text_if_any(writer, "incarnation", state->incarnation);
    if (state->is_in_flight) {
        json_writer_bool(writer, "in_flight", true);
    }
    if (state->is_exhausted_alerted) {
        json_writer_bool(writer, "exhausted_alerted", true);
    }
    if (state->is_recovery_due) {
        json_writer_bool(writer, "recovery_due", true);
    }
    if (state->last_completed_at.ms > 0) {
        json_writer_time(writer, "last_completed_at", state->last_completed_at, JSON_ROUND_UP);
    }
    if (state->epoch != 0) {
        json_writer_unsigned(writer, "epoch", state->epoch);
    }
    if (state->has_clock_ahead) {
        json_writer_signed(writer, "clock_ahead_ms", state->clock_ahead_ms);
    }
}

/* Escaped anew, foreign fields may have grown: those that would make the text one that nobody reads are left
 * out. */
static void write_extra(struct json_writer *writer, const cJSON *extra)
{
    for (const cJSON *item = extra->child; item != NULL; item = item->next) {
        size_t before = writer->len;
        json_writer_tree(writer, item->string, item);
        if (writer->len >= LIMIT_RESTART_STATE_BYTES) {
            writer->len = before;
        }
    }
}

char *restart_state_encode(const struct restart_state *state, size_t *len)
{
    struct json_writer writer;
    json_writer_init(&writer, JSON_SPACED, FIRST_SIZE);
    json_writer_open(&writer, NULL, '{');
    write_runbook_fields(&writer, state);
    write_additions(&writer, state);
    if (state->extra != NULL) {
        write_extra(&writer, state->extra);
    }
    json_writer_close(&writer, '}');
    return json_writer_take(&writer, len);
}

/* ---- clocks ---- */

void restart_state_shift(struct restart_state *state, int64_t ms)
{
    struct wall *times[] = {&state->last_attempt_at, &state->cooldown_until, &state->last_completed_at};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        if (times[i]->ms != 0) {
            times[i]->ms += ms;
        }
    }
}

/* ---- merging ---- */

static bool is_other_container(const struct restart_state *left, const struct restart_state *right)
{
    return left->container_id[0] != '\0' && right->container_id[0] != '\0' &&
           strcmp(left->container_id, right->container_id) != 0;
}

/* Which of two states tells of the later attempt? */
static bool is_newer(const struct restart_state *state, const struct restart_state *than)
{
    if (!is_other_container(state, than) && state->attempt_count != than->attempt_count) {
        return state->attempt_count > than->attempt_count;
    }
    return state->last_attempt_at.ms > than->last_attempt_at.ms;
}

static bool is_same_attempt(const struct restart_state *left, const struct restart_state *right)
{
    return left->attempt_count == right->attempt_count && strcmp(left->command_id, right->command_id) == 0;
}

static void take_attempt(struct restart_state *into, const struct restart_state *from)
{
    struct restart_state merged = *from;
    merged.cooldown_until = into->cooldown_until;
    merged.last_completed_at = into->last_completed_at;
    merged.is_exhausted_alerted = into->is_exhausted_alerted;
    merged.is_recovery_due = into->is_recovery_due;
    merged.epoch = into->epoch;
    merged.has_clock_ahead = into->has_clock_ahead;
    merged.clock_ahead_ms = into->clock_ahead_ms;
    merged.extra = into->extra;
    *into = merged;
}

static struct wall later(struct wall left, struct wall right)
{
    return right.ms > left.ms ? right : left;
}

static void merge_extra(struct restart_state *into, const struct restart_state *other)
{
    const cJSON *item = other->extra == NULL ? NULL : other->extra->child;
    for (; item != NULL; item = item->next) {
        if (into->extra == NULL || cJSON_GetObjectItemCaseSensitive(into->extra, item->string) == NULL) {
            json_reader_add_copy(item, &into->extra);
        }
    }
}

void restart_state_merge(struct restart_state *into, const struct restart_state *other)
{
    bool is_other_newer = is_newer(other, into);
    if (is_other_container(into, other)) {
        /* Counts, cooldowns and completions of one id say nothing of another. */
        if (is_other_newer) {
            into->cooldown_until = other->cooldown_until;
            into->last_completed_at = other->last_completed_at;
            into->is_exhausted_alerted = other->is_exhausted_alerted;
            into->is_recovery_due = other->is_recovery_due;
            take_attempt(into, other);
        }
    } else {
        /* One side may know the outcome of an attempt that the other still waits for. */
        if (is_same_attempt(into, other)) {
            into->is_in_flight = into->is_in_flight && other->is_in_flight;
        } else if (is_other_newer) {
            take_attempt(into, other);
        }
        into->cooldown_until = later(into->cooldown_until, other->cooldown_until);
        into->last_completed_at = later(into->last_completed_at, other->last_completed_at);
        into->is_exhausted_alerted |= other->is_exhausted_alerted;
        into->is_recovery_due |= other->is_recovery_due; /* told twice is better than never */
    }
    into->epoch = other->epoch > into->epoch ? other->epoch : into->epoch;
    merge_extra(into, other);
}
