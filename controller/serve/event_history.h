/*
 * What happened within the last hour, for those who come later: GET /api/v1/events.
 *
 * The truth is the stream health:events in Redis, which holds what every controller and operator did. While
 * Redis is away it is what this controller itself told since its start, as far as it is kept here.
 *
 * Bounded: EVENT_HISTORY_MAX events an answer, one question to Redis at a time and at most one in
 * EVENT_HISTORY_FRESH_MS, however many ask.
 */
#ifndef DEFIB_CONTROLLER_SERVE_EVENT_HISTORY_H
#define DEFIB_CONTROLLER_SERVE_EVENT_HISTORY_H

#include "common/loop.h"
#include "controller/redis_session.h"
#include "controller/serve/http_server.h"

enum {
    EVENT_HISTORY_MAX = 1000,
    EVENT_HISTORY_KEPT = 500, /* in memory */
    EVENT_HISTORY_MS = 3600000,
    EVENT_HISTORY_FRESH_MS = 500
};

struct event_history;

/* Borrows both. */
struct event_history *event_history_new(struct loop *loop, struct redis_session *session);

/* Before the server is closed: who still waits is answered 503. */
void event_history_free(struct event_history *history);

/* An event as JSON, borrowed. */
void event_history_note(struct event_history *history, const char *json);

/* Answers the exchange, at once or when Redis has answered. */
void event_history_answer(struct event_history *history, struct http_exchange *exchange);

#endif
