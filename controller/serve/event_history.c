#include "controller/serve/event_history.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "proto/json_reader.h"
#include "proto/json_writer.h"
#include "proto/keys.h"

enum { ENTRY_BYTES = 16 * 1024, ENTRY_VALUES = 256 };

struct asker {
    struct http_exchange *exchange;
    struct asker *next;
};

/* A question to Redis; its answer may come when nobody wants it any more. */
struct reading {
    struct event_history *owner; /* NULL: it is gone */
};

struct event_history {
    struct loop *loop;
    struct redis_session *session;
    struct {
        struct mono at;
        char *json;
    } kept[EVENT_HISTORY_KEPT]; /* a ring */
    size_t next_kept;
    struct reading *reading; /* NULL: none is under way */
    struct asker *askers;    /* that wait for it */
    struct http_document *document;
    struct mono made_at;
};

struct event_history *event_history_new(struct loop *loop, struct redis_session *session)
{
    struct event_history *history = memory_alloc(sizeof *history);
    history->loop = loop;
    history->session = session;
    return history;
}

void event_history_note(struct event_history *history, const char *json)
{
    free(history->kept[history->next_kept].json);
    history->kept[history->next_kept].json = memory_copy_text(json);
    history->kept[history->next_kept].at = loop_now(history->loop);
    history->next_kept = (history->next_kept + 1) % EVENT_HISTORY_KEPT;
}

/* ---- the document ---- */

static void open_document(struct json_writer *writer, const char *source, bool is_cut)
{
    json_writer_init(writer, JSON_COMPACT, 4096);
    json_writer_open(writer, NULL, '{');
    json_writer_time(writer, "timestamp", clock_wall_now(), JSON_ROUND_DOWN);
    json_writer_text(writer, "source", source);
    json_writer_bool(writer, "cut", is_cut);
    json_writer_open(writer, "events", '[');
}

static char *close_document(struct json_writer *writer, size_t *len)
{
    json_writer_close(writer, ']');
    json_writer_close(writer, '}');
    return json_writer_take(writer, len);
}

static char *render_kept(const struct event_history *history, size_t *len)
{
    struct json_writer writer;
    struct mono now = loop_now(history->loop);
    open_document(&writer, "controller", history->kept[history->next_kept].json != NULL);
    for (size_t i = 1; i <= EVENT_HISTORY_KEPT; i++) {
        size_t at = (history->next_kept + EVENT_HISTORY_KEPT - i) % EVENT_HISTORY_KEPT;
        const char *json = history->kept[at].json;
        if (json == NULL || mono_diff(now, history->kept[at].at) > EVENT_HISTORY_MS) {
            break;
        }
        json_writer_raw(&writer, NULL, json, strlen(json));
    }
    return close_document(&writer, len);
}

/* Who writes Redis writes the stream: what is no JSON object is left out. */
static void write_entry(struct json_writer *writer, const struct redis_reply *entry)
{
    static const struct json_bounds bounds = {"event", ENTRY_BYTES, ENTRY_VALUES};
    const struct redis_reply *fields = redis_reply_count(entry) == 2 ? redis_reply_at(entry, 1) : NULL;
    size_t len;
    const char *json =
        redis_reply_count(fields) < 2 ? NULL : redis_reply_text(redis_reply_at(fields, 1), &len);
    cleanup_json struct cJSON *tree = NULL;
    if (json != NULL && json_reader_parse(json, len, &bounds, &tree, NULL) == 0) {
        json_writer_raw(writer, NULL, json, len);
    }
}

static char *render_stream(const struct redis_reply *reply, size_t *len)
{
    struct json_writer writer;
    size_t count = redis_reply_count(reply);
    open_document(&writer, "redis", count == EVENT_HISTORY_MAX);
    for (size_t i = 0; i < count; i++) {
        write_entry(&writer, redis_reply_at(reply, i));
    }
    return close_document(&writer, len);
}

/* ---- answering ---- */

static void answer_json(struct http_exchange *exchange, int status, const char *text, size_t len)
{
    char *copy = memory_alloc(len);
    memcpy(copy, text, len);
    http_server_answer(exchange, &(struct http_answer){
                                     .status = status, .type = "application/json", .text = copy, .len = len});
}

static void answer_askers(struct event_history *history, int status, const char *text, size_t len)
{
    while (history->askers != NULL) {
        struct asker *asker = history->askers;
        history->askers = asker->next;
        answer_json(asker->exchange, status, text, len);
        free(asker);
    }
}

static void keep_document(struct event_history *history, char *text, size_t len)
{
    http_server_document_free(history->document);
    history->document = http_server_document_new(
        &(struct http_answer){.status = 200, .type = "application/json", .text = text, .len = len});
    history->made_at = loop_now(history->loop);
}

static void on_stream(void *arg, const struct redis_reply *reply)
{
    struct reading *reading = arg;
    struct event_history *history = reading->owner;
    free(reading);
    if (history == NULL) {
        return;
    }
    history->reading = NULL;
    size_t len;
    char *text =
        redis_reply_type(reply) == REDIS_REPLY_LIST ? render_stream(reply, &len) : render_kept(history, &len);
    answer_askers(history, 200, text, len);
    keep_document(history, text, len);
}

static bool ask_redis(struct event_history *history)
{
    char since[32], count[16];
    snprintf(since, sizeof since, "%" PRId64, clock_wall_now().ms - EVENT_HISTORY_MS);
    snprintf(count, sizeof count, "%d", EVENT_HISTORY_MAX);
    const char *argv[] = {"XREVRANGE", KEY_STREAM_EVENTS, "+", since, "COUNT", count};
    struct reading *reading = memory_alloc(sizeof *reading);
    reading->owner = history;
    if (redis_session_command(history->session, on_stream, reading, 6, argv, NULL) != 0) {
        free(reading);
        return false;
    }
    history->reading = reading;
    return true;
}

void event_history_answer(struct event_history *history, struct http_exchange *exchange)
{
    bool is_fresh = history->document != NULL &&
                    mono_diff(loop_now(history->loop), history->made_at) < EVENT_HISTORY_FRESH_MS;
    if (!is_fresh && (history->reading != NULL || ask_redis(history))) {
        struct asker *asker = memory_alloc(sizeof *asker);
        *asker = (struct asker){exchange, history->askers};
        history->askers = asker;
        return;
    }
    if (!is_fresh) {
        size_t len;
        char *text = render_kept(history, &len);
        keep_document(history, text, len);
    }
    http_server_answer_document(exchange, history->document);
}

void event_history_free(struct event_history *history)
{
    static const char stopping[] =
        "{\"error\":{\"code\":\"stopping\",\"message\":\"the controller is stopping\"}}";
    if (history == NULL) {
        return;
    }
    if (history->reading != NULL) {
        history->reading->owner = NULL;
    }
    answer_askers(history, 503, stopping, strlen(stopping));
    for (size_t i = 0; i < EVENT_HISTORY_KEPT; i++) {
        free(history->kept[i].json);
    }
    http_server_document_free(history->document);
    free(history);
}
