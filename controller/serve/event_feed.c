#include "controller/serve/event_feed.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "proto/json_writer.h"

enum { TICK_MS = 1000 };

struct listener {
    struct event_feed *feed;
    struct http_stream *stream;
    struct listener *previous, *next;
};

struct event_feed {
    struct loop *loop;
    const struct decider *decider;
    struct event_history *history;
    struct loop_timer *timer;
    struct listener *listeners;
};

static void drop(struct listener *listener)
{
    struct event_feed *feed = listener->feed;
    *(listener->previous != NULL ? &listener->previous->next : &feed->listeners) = listener->next;
    if (listener->next != NULL) {
        listener->next->previous = listener->previous;
    }
    free(listener);
}

static void on_gone(void *arg)
{
    struct listener *listener = arg;
    struct event_feed *feed = listener->feed;
    drop(listener);
    if (feed->listeners == NULL) {
        loop_timer_stop(feed->timer);
    }
}

static void send(struct event_feed *feed, const char *kind, const char *data)
{
    if (feed->listeners == NULL) {
        return;
    }
    char *text = NULL;
    int len = asprintf(&text, "event: %s\ndata: %s\n\n", kind, data);
    if (len < 0) {
        abort();
    }
    for (struct listener *each = feed->listeners; each != NULL; each = each->next) {
        http_server_stream_send(each->stream, text, (size_t)len);
    }
    free(text);
}

static void on_tick(void *arg)
{
    struct event_feed *feed = arg;
    struct alert_totals totals;
    struct json_writer writer;
    decider_totals(feed->decider, loop_now(feed->loop), &totals);
    json_writer_init(&writer, JSON_COMPACT, 256);
    json_writer_open(&writer, NULL, '{');
    json_writer_time(&writer, "timestamp", clock_wall_now(), JSON_ROUND_DOWN);
    json_writer_signed(&writer, "total", totals.total);
    json_writer_signed(&writer, "healthy", totals.healthy);
    json_writer_signed(&writer, "degraded", totals.degraded);
    json_writer_signed(&writer, "unhealthy", totals.unhealthy);
    json_writer_signed(&writer, "missing", totals.missing);
    json_writer_signed(&writer, "starting", totals.starting);
    json_writer_signed(&writer, "held", totals.held);
    json_writer_close(&writer, '}');
    cleanup_free char *text = json_writer_take(&writer, NULL);
    send(feed, "tick", text);
}

struct event_feed *event_feed_new(struct loop *loop, const struct decider *decider,
                                  struct event_history *history)
{
    struct event_feed *feed = memory_alloc(sizeof *feed);
    *feed = (struct event_feed){.loop = loop, .decider = decider, .history = history};
    feed->timer = loop_timer_new(loop, on_tick, feed);
    return feed;
}

void event_feed_free(struct event_feed *feed)
{
    if (feed == NULL) {
        return;
    }
    while (feed->listeners != NULL) {
        drop(feed->listeners);
    }
    loop_timer_free(feed->timer);
    free(feed);
}

void event_feed_join(struct event_feed *feed, struct http_exchange *exchange)
{
    struct listener *listener = memory_alloc(sizeof *listener);
    *listener = (struct listener){.feed = feed, .next = feed->listeners};
    listener->stream = http_server_answer_stream(exchange, on_gone, listener);
    if (listener->stream == NULL) {
        free(listener);
        return;
    }
    if (feed->listeners != NULL) {
        feed->listeners->previous = listener;
    } else {
        loop_timer_start(feed->timer, 0, TICK_MS);
    }
    feed->listeners = listener;
}

static char *encode_line(const struct action *action)
{
    static const char *const levels[] = {
        [ACTION_INFO] = "INFO", [ACTION_WARNING] = "WARNING", [ACTION_ERROR] = "ERROR"};
    struct json_writer writer;
    json_writer_init(&writer, JSON_COMPACT, 256);
    json_writer_open(&writer, NULL, '{');
    json_writer_time(&writer, "timestamp", clock_wall_now(), JSON_ROUND_DOWN);
    json_writer_text(&writer, "level", levels[action->level]);
    json_writer_text(&writer, "container", action->container == NULL ? "" : action->container);
    json_writer_text(&writer, "host", action->host == NULL ? "" : action->host);
    json_writer_text(&writer, "text", action->text);
    json_writer_close(&writer, '}');
    return json_writer_take(&writer, NULL);
}

void event_feed_tell(struct event_feed *feed, const struct action *action)
{
    size_t len;
    cleanup_free char *text = NULL;
    bool is_record = action->kind == ACTION_RECORD;
    if (is_record) {
        text = event_record_encode(action->record, &len);
    } else if (action->kind == ACTION_ALERT && action->alert->type != ALERT_HEALTH_SUMMARY) {
        text = alert_encode(action->alert, &len);
    } else {
        if (action->kind == ACTION_LOG && feed->listeners != NULL) {
            text = encode_line(action);
            send(feed, "log", text);
        }
        return;
    }
    event_history_note(feed->history, text);
    send(feed, is_record ? "record" : "alert", text);
}
