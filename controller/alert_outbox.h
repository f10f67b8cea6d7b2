/*
 * Alerts and decision records on their way out: one ordered queue to `system:alerts` and `health:events`.
 *
 * An entry leaves the queue when Redis has answered for it. While Redis is away entries are kept, in memory
 * and in DEFIB_STATE_DIR, and delivered later in order, alerts marked `delayed`. At least once: after a lost
 * connection or a crash the last ones may come twice, with the same seq. The queue is bounded
 * (ALERT_OUTBOX_ENTRIES, ALERT_OUTBOX_BYTES); what does not fit pushes out the oldest, counted and told.
 *
 * HEALTH_SUMMARY is only published, and only while Redis is there: a stale one is of no use to anybody.
 */
#ifndef DEFIB_CONTROLLER_ALERT_OUTBOX_H
#define DEFIB_CONTROLLER_ALERT_OUTBOX_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "controller/redis_session.h"
#include "proto/alert.h"

#define ALERT_OUTBOX_FILE "alerts.spool"

enum { ALERT_OUTBOX_ENTRIES = 10000, ALERT_OUTBOX_BYTES = 4 * 1024 * 1024 };

struct alert_outbox;

/* Takes in what an earlier process could not deliver. The dir is copied. Never fails for a damaged file:
 * its bad lines are skipped and told. */
struct alert_outbox *alert_outbox_open(const char *state_dir, struct redis_session *session);

/* After the session was closed. What is still here lies on the disk afterwards. */
void alert_outbox_close(struct alert_outbox *outbox);

/* Borrow; the seq is given here. An alert is logged: "Published alert: {…}" once Redis has it, or at once
 * "Alert kept for Redis: {…}", at the level of its severity. */
void alert_outbox_alert(struct alert_outbox *outbox, const struct alert *alert);
void alert_outbox_record(struct alert_outbox *outbox, const struct event_record *record);

/* Redis takes writes again: sends what waits. */
void alert_outbox_redis_back(struct alert_outbox *outbox);
void alert_outbox_redis_away(struct alert_outbox *outbox);

size_t alert_outbox_count(const struct alert_outbox *outbox);     /* waiting or under way */
uint64_t alert_outbox_dropped(const struct alert_outbox *outbox); /* since the start */

#endif
