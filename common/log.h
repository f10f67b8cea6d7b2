/*
 * Log lines on stderr: `<time> LEVEL - text`, or one JSON object a line.
 *
 * One write(2) a line. Control characters, and bytes that are not UTF-8, come out escaped (\xNN), so that
 * nothing from outside can forge a line. May be called from any thread. Never fails.
 */
#ifndef DEFIB_COMMON_LOG_H
#define DEFIB_COMMON_LOG_H

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

/* Until it is called: info, text. */
void log_init(enum log_level level, enum log_format format);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...)   log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...)    log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_error(...)   log_line(LOG_LEVEL_ERROR, __VA_ARGS__)

#endif
