/*
 * What was done, or would have been: decisions, changes of state and alerts, from the documents of
 * `health:events`, and how two lists of them differ.
 */
#ifndef DEFIB_CONTROLLER_REPLAY_REPLAY_DEEDS_H
#define DEFIB_CONTROLLER_REPLAY_REPLAY_DEEDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/clock.h"

struct cJSON;

struct replay_deed {
    struct wall at; /* whole seconds, as documents have them */
    char *subject;  /* a container, "host …", or "the fleet" */
    char *what, *why;
    bool is_paired;
};

/* Zeroed: empty. */
struct replay_deeds {
    struct replay_deed *items;
    size_t count, size;
};

void replay_deeds_fini(struct replay_deeds *deeds);

/* Adds what the document tells; one of another kind, or that no decider makes, adds nothing. Borrows. */
void replay_deeds_add(struct replay_deeds *deeds, const struct cJSON *document);
void replay_deeds_add_text(struct replay_deeds *deeds, const char *json, size_t len);

/* The one at `at` changes hands; an empty one, which is never told, stays in its place. */
void replay_deeds_move(struct replay_deeds *into, struct replay_deeds *from, size_t at);

void replay_deeds_print(const struct replay_deeds *deeds, FILE *out);

/* Prints what only one of them has, and what both have at times further apart than `most_ms`, or for other
 * reasons. Returns how many lines that were. */
size_t replay_deeds_compare(struct replay_deeds *done, struct replay_deeds *replayed, int64_t most_ms,
                            FILE *out);

#endif
