#include "common/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void mark_truncated(char *text, size_t size, int wanted)
{
    if (wanted >= 0 && (size_t)wanted >= size) {
        memcpy(text + size - 4, "...", 4);
    }
}

int err_set(struct err *err, int code, const char *format, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        int wanted = vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
        mark_truncated(err->text, sizeof err->text, wanted);
        err->code = code;
    }
    return -code;
}

int err_wrap(struct err *err, const char *format, ...)
{
    if (err == NULL) {
        return -EIO;
    }
    char cause[sizeof err->text];
    memcpy(cause, err->text, sizeof cause);
    char context[sizeof err->text];
    va_list args;
    va_start(args, format);
    int wanted = vsnprintf(context, sizeof context, format, args);
    va_end(args);
    mark_truncated(context, sizeof context, wanted);
    wanted = snprintf(err->text, sizeof err->text, "%s: %s", context, cause);
    mark_truncated(err->text, sizeof err->text, wanted);
    return -err->code;
}
