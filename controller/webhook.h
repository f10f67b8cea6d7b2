/*
 * Alerts to DEFIB_WEBHOOK_URL, in the form that DEFIB_WEBHOOK_TEMPLATE names (webhook_text.h).
 *
 * What comes within a second becomes one message. What cannot be delivered is kept, in memory and in
 * DEFIB_STATE_DIR, and tried again with backoff, oldest first, across restarts. At least once: a message
 * whose answer was lost comes twice. Bounded: the oldest are dropped, and counted. A message that the other
 * side calls bad (400, 413, 422) three times is dropped, for it would stand in front of all others for ever.
 */
#ifndef DEFIB_CONTROLLER_WEBHOOK_H
#define DEFIB_CONTROLLER_WEBHOOK_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/loop.h"
#include "common/settings.h"
#include "proto/alert.h"

#define WEBHOOK_FILE "webhook.spool"

enum {
    WEBHOOK_ENTRIES = 1000,
    WEBHOOK_BATCH = 50,
    WEBHOOK_GATHER_MS = 1000,
    WEBHOOK_GAP_MS = 2000, /* between two messages */
    WEBHOOK_RETRY_MIN_MS = 1000,
    WEBHOOK_RETRY_MAX_MS = 300000
};

struct webhook;

/* *out is NULL where no URL is set. -errno with one line for a template that cannot be used. */
int webhook_open(struct loop *loop, const struct settings *settings, struct webhook **out, struct err *err);
void webhook_close(struct webhook *webhook);

/* Borrows. NULL and HEALTH_SUMMARY are allowed, and nothing is sent. */
void webhook_alert(struct webhook *webhook, const struct alert *alert);

struct webhook_counts {
    size_t waiting;
    uint64_t sent, failed, dropped; /* alerts delivered; tries that failed; alerts given up */
};
struct webhook_counts webhook_counts(const struct webhook *webhook); /* NULL: zeros */

#endif
