#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/timestamp.h"

enum { CAUGHT_SIZE = 128 * 1024, TEXT_TIME_LEN = 20 };

/* Standard error goes into a datagram socket while a test catches it: one datagram is one write(2). */
struct catcher {
    int saved, reader;
    char line[CAUGHT_SIZE];
};

static void catch_begin(struct catcher *catcher)
{
    int pair[2];
    int size = 4 * CAUGHT_SIZE;
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair));
    assert_int_equal(0, setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size));
    catcher->saved = dup(STDERR_FILENO);
    dup2(pair[1], STDERR_FILENO);
    close(pair[1]);
    catcher->reader = pair[0];
}

/* The next written piece, or NULL where there is none. */
static const char *catch_next(struct catcher *catcher)
{
    ssize_t len = recv(catcher->reader, catcher->line, sizeof catcher->line - 1, MSG_DONTWAIT);
    if (len < 0) {
        return NULL;
    }
    catcher->line[len] = '\0';
    return catcher->line;
}

static void catch_end(struct catcher *catcher)
{
    dup2(catcher->saved, STDERR_FILENO);
    close(catcher->saved);
    close(catcher->reader);
    free(catcher);
}

static struct catcher *catch_new(enum log_level level, enum log_format format)
{
    struct catcher *catcher = calloc(1, sizeof *catcher);
    assert_non_null(catcher);
    catch_begin(catcher);
    log_init(level, format);
    return catcher;
}

static void text_lines_have_time_level_and_text(void **state)
{
    (void)state;
    struct catcher *catcher = catch_new(LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
    int64_t before = clock_wall_now().ms / 1000 * 1000;
    log_debug("a %d", 1);
    log_info("Supervisor started (auto-restart %s)", "enabled");
    log_warning("w");
    log_error("Published alert: {\"type\": \"X\\n\"}");
    static const char *const WANTED[] = {
        " DEBUG - a 1\n", " INFO - Supervisor started (auto-restart enabled)\n", " WARNING - w\n",
        " ERROR - Published alert: {\"type\": \"X\\n\"}\n"};
    for (size_t i = 0; i < 4; i++) {
        const char *line = catch_next(catcher);
        assert_non_null(line);
        assert_string_equal(WANTED[i], line + TEXT_TIME_LEN);
        struct wall when;
        assert_int_equal(0, timestamp_parse(line, TEXT_TIME_LEN, &when));
        assert_in_range(when.ms, before, clock_wall_now().ms);
    }
    assert_null(catch_next(catcher));
    catch_end(catcher);
}

static void lower_levels_are_silent(void **state)
{
    (void)state;
    struct catcher *catcher = catch_new(LOG_LEVEL_WARNING, LOG_FORMAT_TEXT);
    log_debug("d");
    log_info("i");
    assert_null(catch_next(catcher));
    log_warning("w");
    assert_non_null(catch_next(catcher));
    log_init(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    log_warning("w");
    assert_null(catch_next(catcher));
    log_error("e");
    assert_non_null(catch_next(catcher));
    catch_end(catcher);
}

static const struct {
    const char *bytes, *as_text, *as_json;
} ESCAPES[] = {
    {"plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80", "plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80",
     "plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80"},
    {"a\nb\r\tc", "a\\x0ab\\x0d\\x09c", "a\\u000ab\\u000d\\u0009c"},
    {"\x1b[31m\x7f", "\\x1b[31m\\x7f", "\\u001b[31m\\u007f"},
    {"say \"x\\y\"", "say \"x\\y\"", "say \\\"x\\\\y\\\""},
    {"\xc2\x9b", "\\xc2\\x9b", "\\u009b"},        /* C1: a terminal's CSI */
    {"\xc2\xa0", "\xc2\xa0", "\xc2\xa0"},         /* the first behind C1 */
    {"\x80", "\\x80", "\\\\x80"},                 /* a lone continuation */
    {"\xc3(", "\\xc3(", "\\\\xc3("},              /* broken off by another byte */
    {"\xe2\x82", "\\xe2\\x82", "\\\\xe2\\\\x82"}, /* broken off by the end */
    {"\xc0\xaf", "\\xc0\\xaf", "\\\\xc0\\\\xaf"}, /* overlong */
    {"\xe0\x80\x8a", "\\xe0\\x80\\x8a", "\\\\xe0\\\\x80\\\\x8a"},
    {"\xed\xa0\x80", "\\xed\\xa0\\x80", "\\\\xed\\\\xa0\\\\x80"},                 /* a surrogate */
    {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80", "\\\\xf4\\\\x90\\\\x80\\\\x80"}, /* past U+10FFFF */
    {"\xff\xfe", "\\xff\\xfe", "\\\\xff\\\\xfe"},
};

static void nothing_from_outside_forges_a_line(void **state)
{
    (void)state;
    struct catcher *catcher = catch_new(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    for (size_t i = 0; i < sizeof ESCAPES / sizeof ESCAPES[0]; i++) {
        char wanted[128];
        snprintf(wanted, sizeof wanted, " INFO - <%s>\n", ESCAPES[i].as_text);
        log_info("<%s>", ESCAPES[i].bytes);
        const char *line = catch_next(catcher);
        assert_non_null(line);
        assert_string_equal(wanted, line + TEXT_TIME_LEN);
    }
    catch_end(catcher);
}

static void json_lines_have_milliseconds_and_are_escaped(void **state)
{
    (void)state;
    struct catcher *catcher = catch_new(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    for (size_t i = 0; i < sizeof ESCAPES / sizeof ESCAPES[0]; i++) {
        char wanted[128];
        snprintf(wanted, sizeof wanted, "\",\"level\":\"WARNING\",\"text\":\"%s\"}\n", ESCAPES[i].as_json);
        log_warning("%s", ESCAPES[i].bytes);
        const char *line = catch_next(catcher);
        assert_non_null(line);
        assert_memory_equal("{\"time\":\"", line, 9);
        struct wall when;
        assert_int_equal(0, timestamp_parse(line + 9, 24, &when));
        assert_string_equal(wanted, line + 9 + 24);
    }
    catch_end(catcher);
}

/* Around the bound: one write, the end marked, no UTF-8 sequence torn apart, worst growth included. */
static void long_texts_are_cut(void **state)
{
    (void)state;
    struct catcher *catcher = catch_new(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    char text[3 * 4096];
    for (size_t shift = 0; shift < 3; shift++) {
        for (size_t i = 0; i < sizeof text; i++) {
            text[i] = "xxx\xe2\x82\xac"[i < shift ? 0 : 3 + (i - shift) % 3];
        }
        log_info("%.*s", (int)sizeof text, text);
        const char *line = catch_next(catcher);
        assert_non_null(line);
        assert_null(strstr(line, "\\x"));
        assert_string_equal("\xe2\x82\xac...\n", line + strlen(line) - 7);
        assert_true(strlen(line) > 8000);
        assert_null(catch_next(catcher));
    }
    log_init(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    memset(text, '\x01', sizeof text);
    log_info("%.*s", (int)sizeof text, text);
    const char *line = catch_next(catcher);
    assert_non_null(line);
    assert_string_equal("\\u0001...\"}\n", line + strlen(line) - 12);
    catch_end(catcher);
}

static void errno_survives_and_a_closed_stderr_is_no_end(void **state)
{
    (void)state;
    struct catcher *catcher = catch_new(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    close(STDERR_FILENO);
    errno = ENOTTY;
    log_error("nobody reads this");
    assert_int_equal(ENOTTY, errno);
    catch_end(catcher);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_lines_have_time_level_and_text),
        cmocka_unit_test(lower_levels_are_silent),
        cmocka_unit_test(nothing_from_outside_forges_a_line),
        cmocka_unit_test(json_lines_have_milliseconds_and_are_escaped),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(errno_survives_and_a_closed_stderr_is_no_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
