#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/timestamp.h"

/* A byte of the text grows to six at most ("\u0000" in JSON). */
enum { TEXT_SIZE = 8192, LINE_SIZE = 6 * TEXT_SIZE + 128 };

static _Atomic int lowest = LOG_LEVEL_INFO;
static _Atomic int line_format = LOG_FORMAT_TEXT;

void log_init(enum log_level level, enum log_format format)
{
    atomic_store(&lowest, (int)level);
    atomic_store(&line_format, (int)format);
}

/* Length of the well-formed UTF-8 sequence at `at` (RFC 3629: no surrogates, no overlong forms), else 0. */
static size_t sequence_length(const unsigned char *at, size_t left)
{
    static const struct {
        unsigned char first_low, first_high, second_low, second_high;
        size_t length;
    } FORMS[] = {
        {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
        {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
        {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    if (at[0] < 0x80) {
        return 1;
    }
    for (size_t i = 0; i < sizeof FORMS / sizeof FORMS[0]; i++) {
        if (at[0] < FORMS[i].first_low || at[0] > FORMS[i].first_high || left < FORMS[i].length) {
            continue;
        }
        bool is_good = at[1] >= FORMS[i].second_low && at[1] <= FORMS[i].second_high;
        for (size_t k = 2; k < FORMS[i].length; k++) {
            is_good = is_good && (at[k] & 0xc0) == 0x80;
        }
        return is_good ? FORMS[i].length : 0;
    }
    return 0;
}

/* C0, DEL, and C1: terminals take U+009B as the start of an escape sequence. */
static bool is_control(const unsigned char *at, size_t length)
{
    return (length == 1 && (at[0] < 0x20 || at[0] == 0x7f)) || (length == 2 && at[0] == 0xc2 && at[1] < 0xa0);
}

/* Writes the escaped form of what stands at `at`, tells how many bytes of the text it took. */
static size_t escape(const unsigned char *at, size_t left, enum log_format format, char **out)
{
    size_t length = sequence_length(at, left);
    if (length > 0 && !is_control(at, length)) {
        if (format == LOG_FORMAT_JSON && (at[0] == '"' || at[0] == '\\')) {
            *(*out)++ = '\\';
        }
        memcpy(*out, at, length);
        *out += length;
        return length;
    }
    if (format == LOG_FORMAT_JSON && length > 0) {
        *out += sprintf(*out, "\\u%04x", length == 1 ? at[0] : at[1]);
        return length;
    }
    *out += sprintf(*out, format == LOG_FORMAT_JSON ? "\\\\x%02x" : "\\x%02x", at[0]);
    return 1;
}

static size_t compose(enum log_level level, enum log_format format, const char *text, size_t len, char *line)
{
    static const char *const NAMES[] = {"DEBUG", "INFO", "WARNING", "ERROR"};
    char time[TIMESTAMP_SIZE];
    char *at = line;
    if (format == LOG_FORMAT_JSON) {
        timestamp_format_ms(clock_wall_now(), time);
        at += sprintf(at, "{\"time\":\"%s\",\"level\":\"%s\",\"text\":\"", time, NAMES[level]);
    } else {
        timestamp_format(clock_wall_now(), time);
        at += sprintf(at, "%s %s - ", time, NAMES[level]);
    }
    for (size_t i = 0; i < len;) {
        i += escape((const unsigned char *)text + i, len - i, format, &at);
    }
    if (format == LOG_FORMAT_JSON) {
        *at++ = '"';
        *at++ = '}';
    }
    *at++ = '\n';
    return (size_t)(at - line);
}

/* Where the text was too long: cuts before the sequence that would have been torn apart. */
static size_t cut(char *text)
{
    size_t len = TEXT_SIZE - 4;
    while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80) {
        len--;
    }
    memcpy(text + len, "...", 4);
    return len + 3;
}

static void write_whole(const char *line, size_t len)
{
    while (len > 0) {
        ssize_t wrote = write(STDERR_FILENO, line, len);
        if (wrote < 0 && errno != EINTR) {
            return; /* nowhere to tell it */
        }
        if (wrote > 0) {
            line += wrote;
            len -= (size_t)wrote;
        }
    }
}

void log_line(enum log_level level, const char *format, ...)
{
    if ((int)level < atomic_load(&lowest)) {
        return;
    }
    int saved_errno = errno;
    char text[TEXT_SIZE];
    va_list args;
    va_start(args, format);
    int wanted = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t len = wanted < 0 ? 0 : (size_t)wanted < sizeof text ? (size_t)wanted : cut(text);
    char line[LINE_SIZE];
    len = compose(level, (enum log_format)atomic_load(&line_format), text, len, line);
    write_whole(line, len);
    errno = saved_errno;
}
