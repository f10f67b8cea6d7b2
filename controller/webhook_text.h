/*
 * What is posted to a webhook: alerts, told for people and for programs, in the form that the other side
 * takes. Pure.
 *
 * An alert becomes a document of its own (webhook_text_alert), which may lie on the disk for a while; a
 * message is rendered from one or several of them.
 *
 *   json          {"source": "defib", "title": …, "alerts": [document, …]}
 *   slack         {"text": …}, also for Mattermost, Rocket.Chat and Discord's /slack
 *   alertmanager  an array for POST /api/v2/alerts; what is resolved ends there
 *   apprise       {"title": …, "body": …, "type": …} for apprise-api
 *   template      the user's own text, with {{title}} {{text}} {{status}} {{severity}} {{host}} {{container}}
 *                 {{count}} replaced, each escaped for a JSON string
 */
#ifndef DEFIB_CONTROLLER_WEBHOOK_TEXT_H
#define DEFIB_CONTROLLER_WEBHOOK_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "proto/alert.h"

enum webhook_form { WEBHOOK_JSON, WEBHOOK_SLACK, WEBHOOK_ALERTMANAGER, WEBHOOK_APPRISE, WEBHOOK_TEMPLATE };

enum { WEBHOOK_TEXT_LINES = 10 }; /* of a message for people; the rest is counted */

/* json, slack, alertmanager, apprise; anything else names a file: WEBHOOK_TEMPLATE. */
enum webhook_form webhook_text_form(const char *word);

/* 0, or -EINVAL with one line: a placeholder that nobody knows, or one that is not closed. */
int webhook_text_check(const char *template, struct err *err);

/* Fresh JSON of one line, given: the alert, and beside it `status` (firing, resolved, info), `opening` (the
 * type that it belongs to), `summary`, `next` and `explain`. */
char *webhook_text_alert(const struct alert *alert);

/* One message from these documents, oldest first; given. template: for WEBHOOK_TEMPLATE, else not used. */
char *webhook_text_message(enum webhook_form form, const char *template, const char *const *documents,
                           size_t count);

#endif
