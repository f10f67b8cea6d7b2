/*
 * The answer to "why is this container (not) being restarted", in words: what the decider holds goes in,
 * sentences come out, the same for the API, the page and defibctl.
 */
#ifndef DEFIB_CONTROLLER_SERVE_EXPLANATION_H
#define DEFIB_CONTROLLER_SERVE_EXPLANATION_H

#include <stdbool.h>
#include <stddef.h>

#include "controller/core/decider_view.h"
#include "controller/serve/check_report.h"
#include "controller/serve/scene.h"

enum { EXPLANATION_LINES = 20, EXPLANATION_LINE_SIZE = 400, EXPLANATION_VERDICT_SIZE = 1024 };

struct explanation_lines {
    size_t count;
    char text[EXPLANATION_LINES][EXPLANATION_LINE_SIZE];
};

/* A plain value. */
struct explanation {
    char headline[EXPLANATION_LINE_SIZE]; /* what is the matter */
    struct explanation_lines evidence;
    bool is_open[GATE_N];
    char verdict[EXPLANATION_VERDICT_SIZE]; /* what stands against a restart */
    char next[EXPLANATION_LINE_SIZE];       /* what happens next; "": nothing by itself */
    struct mono next_at;                    /* 0: not known */
    struct explanation_lines help;          /* what an operator can do, as commands where there is one */
};

/* `report`: what its checks say. */
void explanation_make(const struct scene *scene, const struct decider_view_container *view,
                      const struct check_report *report, struct explanation *out);

/* The same without the controller, of another time: of the scene only its times count. No help. */
void explanation_make_past(const struct scene *scene, const struct decider_view_container *view,
                           const bool is_open[GATE_N], struct explanation *out);

/* Why this gate refuses. */
void explanation_of_gate(const struct scene *scene, enum gate gate, char *out, size_t size);

/* "4 s", "3 min", "2 h", "5 d": a duration for people; negative counts as 0. */
void explanation_duration(int64_t ms, char out[32]);

#endif
