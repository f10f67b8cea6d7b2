/*
 * Error values for calls that cross a library or process boundary.
 *
 * A function that can fail returns 0 or -errno. One that also takes a `struct err *` fills it at the cause
 * (err_set) and each caller on the way up may put its own context in front (err_wrap). Whoever stops the
 * error from travelling logs it: log or return, never both.
 *
 * None of these block, allocate or fail. A NULL `struct err *` is allowed everywhere and drops the text.
 */
#ifndef DEFIB_COMMON_ERR_H
#define DEFIB_COMMON_ERR_H

/* A plain value on the caller's stack. `code` is a positive errno, 0 while nothing went wrong. */
struct err {
    int code;
    char text[384]; /* one line, no newline, NUL-terminated; truncated with "..." where too long */
};

/* Records the cause. `code` is a positive errno. Returns -code, so that `return err_set(...)` reads well. */
int err_set(struct err *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Puts "context: " in front of the text that is there. Returns -err->code (-EIO where err is NULL). */
int err_wrap(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
