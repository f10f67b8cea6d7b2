/*
 * Server-sent events: what the decider records and alerts, as it happens, to everyone who listens.
 *
 *   event: record     data: an event record, as on health:events
 *   event: alert      data: an alert, as on system:alerts
 *   event: log        data: {"timestamp", "level", "container", "host", "text"}, a line of its log
 *   event: tick       data: {"timestamp": …, "totals": …}, every second: the reader sees that it is not cut
 * off
 */
#ifndef DEFIB_CONTROLLER_SERVE_EVENT_FEED_H
#define DEFIB_CONTROLLER_SERVE_EVENT_FEED_H

#include "common/loop.h"
#include "controller/core/decider.h"
#include "controller/serve/event_history.h"
#include "controller/serve/http_server.h"

struct event_feed;

/* What is told is noted in the history too. Borrows all. */
struct event_feed *event_feed_new(struct loop *loop, const struct decider *decider,
                                  struct event_history *history);
void event_feed_free(struct event_feed *feed); /* after the server was closed */

void event_feed_join(struct event_feed *feed, struct http_exchange *exchange);
void event_feed_tell(struct event_feed *feed, const struct action *action);

#endif
