/*
 * "How did it stand then, and why?" for people and as JSON: from what the stream tells of one container.
 */
#ifndef DEFIB_CONTROLLER_CTL_PAST_ANSWER_H
#define DEFIB_CONTROLLER_CTL_PAST_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/clock.h"
#include "controller/ctl/ctl.h"
#include "controller/ctl/event_command.h"
#include "controller/ctl/fleet.h"
#include "controller/ctl/past.h"

/* The caller fills in all but the last three; the history is owned, the rest borrowed. */
struct past_answer {
    const char *name;
    struct wall at;
    struct event_history history; /* up to then */
    size_t shown;                 /* of its events, the last so many */
    const char *source, *note;    /* where the controller does not answer: who told `row` … */
    const struct fleet_row *row;  /* … else NULL */
    char headline[PAST_TEXT_SIZE];
    struct wall known_at; /* when the entry was written that tells the rest; 0: none does */
    struct explanation told;
};

void past_answer_fini(struct past_answer *past);
#define cleanup_past_answer __attribute__((cleanup(past_answer_fini)))

void past_answer_describe(struct past_answer *past);
void past_answer_print(const struct ctl *ctl, const struct past_answer *past);
void past_answer_print_json(const struct past_answer *past);

/* A gate as a line; `says` "": nothing. */
void past_answer_print_gate(const struct ctl *ctl, const char *gate, bool is_open, const char *says);

#endif
