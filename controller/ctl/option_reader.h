/*
 * The words behind a command: options from a table, in any order, and names.
 *
 * `--name value` and `--name=value`; `--` ends the options. What is not known is answered with the nearest
 * known.
 */
#ifndef DEFIB_CONTROLLER_CTL_OPTION_READER_H
#define DEFIB_CONTROLLER_CTL_OPTION_READER_H

#include <stdbool.h>
#include <stddef.h>

enum { OPTION_READER_NAMES = 8 };

struct option_row {
    const char *name;   /* "--host" */
    const char **value; /* takes one; NULL: it is a flag */
    bool *flag;
};

struct option_reader {
    const char *names[OPTION_READER_NAMES]; /* what is no option, borrowed */
    size_t count;
};

/* rows end with a name of NULL. The names must be from min to max in number; usage is what is said of a
 * command that was called differently. False where something is wrong: one line was written to stderr. */
bool option_reader_read(struct option_reader *reader, const struct option_row *rows, int argc, char **argv,
                        size_t min, size_t max, const char *usage);

#endif
