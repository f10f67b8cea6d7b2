/*
 * The whole screen of a terminal, and its keys, for as long as a program is on it.
 *
 * However the program ends (a return, exit(), SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGABRT), the terminal is as
 * it was; SIGTSTP gives it back until SIGCONT. One at a time in a process: signals know no argument.
 */
#ifndef DEFIB_CONTROLLER_CTL_TERMINAL_H
#define DEFIB_CONTROLLER_CTL_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/* Standard input and output are terminals, of a kind that moves its cursor (TERM is neither "dumb" nor
 * missing). */
bool terminal_is_able(void);

/* Takes the screen: no echo, no lines, no cursor. 0, or -errno with one line. */
int terminal_open(struct err *err);
void terminal_close(void); /* also where it is not open */

void terminal_size(int *rows, int *columns); /* 24 and 80 where it is not told */

/* A byte stands for itself. */
enum terminal_key {
    TERMINAL_ENTER = '\n',
    TERMINAL_ESCAPE = 27,
    TERMINAL_ERASE = 127,
    TERMINAL_UP = 256,
    TERMINAL_DOWN,
    TERMINAL_PAGE_UP,
    TERMINAL_PAGE_DOWN,
    TERMINAL_HOME,
    TERMINAL_END,
    TERMINAL_UNKNOWN, /* a sequence of no meaning here */
    TERMINAL_NOTHING, /* the time is over */
    TERMINAL_RESIZED, /* or it is ours again: draw anew */
    TERMINAL_GONE     /* nobody is there any more */
};

/* Blocks for the next key, at most so long. */
int terminal_wait(int64_t timeout_ms);

/* The first key of these bytes (len > 0), and how many it took. Pure. */
int terminal_decode(const char *bytes, size_t len, size_t *used);

/* Draws a frame: lines as they are, cut at the screen's edge; what stood there before is gone. Colors may be
 * within. False where nobody is there any more. */
bool terminal_draw(const char *text, size_t len);

#endif
