/*
 * What the decider was told, on its way into `health:events`: gathered for at most a second, so that inputs
 * take few places among the decisions that the stream keeps. In DEFIB_STATE_DIR while Redis is away, like
 * alerts, but never in their place: what does not fit is lost, and the journal begins anew.
 */
#ifndef DEFIB_CONTROLLER_INPUT_JOURNAL_H
#define DEFIB_CONTROLLER_INPUT_JOURNAL_H

#include <stdbool.h>

#include "common/loop.h"
#include "controller/alert_outbox.h"

struct input_journal;

/* Borrows both for its life. */
struct input_journal *input_journal_new(struct loop *loop, struct alert_outbox *outbox);

/* Hands on what is gathered. */
void input_journal_flush(struct input_journal *journal);
void input_journal_free(struct input_journal *journal);

/* The text of one ACTION_INPUT; borrowed. */
void input_journal_add(struct input_journal *journal, const char *text);

/* decider_record is due: something was lost, or so much was written since the last that the stream will let
 * go of it. True once for each time. */
bool input_journal_wants_start(struct input_journal *journal);

#endif
