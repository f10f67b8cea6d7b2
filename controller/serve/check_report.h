/*
 * Which checks of a container fail, and why, in words: from its heartbeat's key and from its entry in the
 * agent's registration, as Redis holds them. Bytes in, lines out; what is no such document says nothing.
 */
#ifndef DEFIB_CONTROLLER_SERVE_CHECK_REPORT_H
#define DEFIB_CONTROLLER_SERVE_CHECK_REPORT_H

#include <stddef.h>

#include "proto/limits.h"

enum { CHECK_REPORT_LINES = 8, CHECK_REPORT_LINE_SIZE = LIMIT_DETAIL_SIZE + 128 };

struct check_report {
    size_t count;
    size_t more; /* that fail as well, and have no line */
    struct {
        char check[LIMIT_WORD_SIZE * 2];
        char text[CHECK_REPORT_LINE_SIZE];
    } lines[CHECK_REPORT_LINES];
};

/* `report` is zeroed before the first. A check is told once: the beat is read first. NULL, 0: nothing. */
void check_report_beat(struct check_report *report, const char *bytes, size_t len);
void check_report_registration(struct check_report *report, const char *bytes, size_t len,
                               const char *container);

#endif
