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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "controller/redis_session.h"
#include "proto/alert.h"

#define ALERT_OUTBOX_FILE "alerts.spool"

enum { ALERT_OUTBOX_ENTRIES = 10000, ALERT_OUTBOX_BYTES = 4 * 1024 * 1024 };

/* Inputs for replays, beside that: while Redis is away, and while it takes them. */
enum { ALERT_OUTBOX_INPUT_BYTES = 2 * 1024 * 1024, ALERT_OUTBOX_INPUT_FLOW = 16 * 1024 * 1024 };

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

/* A JSON list's inside, of the journal for replays (proto/journal.h); `run` names this life of the
 * controller, `part` counts on even where one is lost. Kept while Redis is away like records, but up to
 * ALERT_OUTBOX_INPUT_BYTES, and never in place of an alert or a record: false where it does not fit. */
bool alert_outbox_inputs(struct alert_outbox *outbox, const char *run, uint64_t part, const char *inputs);

/* Some that were accepted had to go after all. */
bool alert_outbox_has_lost_inputs(const struct alert_outbox *outbox);
void alert_outbox_forget_lost_inputs(struct alert_outbox *outbox);

/* Redis takes writes again: sends what waits. */
void alert_outbox_redis_back(struct alert_outbox *outbox);
void alert_outbox_redis_away(struct alert_outbox *outbox);

size_t alert_outbox_count(const struct alert_outbox *outbox);     /* waiting or under way */
uint64_t alert_outbox_dropped(const struct alert_outbox *outbox); /* since the start */
uint64_t alert_outbox_added(const struct alert_outbox *outbox);   /* stream entries accepted since then */

#endif
