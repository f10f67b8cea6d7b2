#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/timestamp.h"

static void reads_every_form(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } CASES[] = {
        {"2026-01-23T19:05:30Z", 1769195130000},
        {"2026-01-23t19:05:30z", 1769195130000},
        {"2026-01-23 19:05:30", 1769195130000},
        {"2026-01-23T19:05:30", 1769195130000},
        {"2026-01-23T19:05:30.5Z", 1769195130500},
        {"2026-01-23T19:05:30.123456", 1769195130123},
        {"2026-01-23T19:05:30.999999999Z", 1769195130999},
        {"2026-01-23T19:05:30.001999999999999999999999999999Z", 1769195130001},
        {"2026-01-23T20:05:30+01:00", 1769195130000},
        {"2026-01-23T20:05:30+0100", 1769195130000},
        {"2026-01-23T13:35:30.250-05:30", 1769195130250},
        {"2026-01-24T00:00:00+00:00", 1769212800000},
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01T00:00:00.001Z", 1},
        {"1970-01-01T00:30:00+01:00", 0},
        {"0001-01-01T00:00:00Z", 0},
        {"0000-03-01T00:00:00Z", 0},
        {"1969-12-31T23:59:59.999Z", 0},
        {"2000-02-29T12:00:00Z", 951825600000},
        {"2016-12-31T23:59:60Z", 1483228800000},
        {"2038-01-19T03:14:08Z", 2147483648000},
        {"9999-12-31T23:59:59.999Z", 253402300799999},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct wall got = {-7};
        if (timestamp_parse(CASES[i].text, strlen(CASES[i].text), &got) != 0 || got.ms != CASES[i].ms) {
            fail_msg("%s reads as %lld, not %lld", CASES[i].text, (long long)got.ms, (long long)CASES[i].ms);
        }
    }
}

static void refuses_what_is_no_time(void **state)
{
    (void)state;
    static const char *const CASES[] = {
        "",
        "null",
        "1769195130",
        "2026-01-23",
        "2026-01-23T",
        "2026-01-23T19:05Z",
        "2026-01-23T19:05:30ZZ",
        "2026-01-23T19:05:30Z ",
        " 2026-01-23T19:05:30Z",
        "2026-1-23T19:05:30Z",
        "2026-01-23T19:05:30.Z",
        "2026-01-23T19:05:30,5Z",
        "2026-01-23X19:05:30Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-32T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-01-23T24:00:00Z",
        "2026-01-23T23:60:00Z",
        "2026-01-23T23:00:61Z",
        "2026-01-23T19:05:30+1:00",
        "2026-01-23T19:05:30+01:",
        "2026-01-23T19:05:30+24:00",
        "2026-01-23T19:05:30+01:60",
        "2026-01-23T19:05:30*01:00",
        "-026-01-23T19:05:30Z",
        "+2026-01-23T19:05:30Z",
        "20x6-01-23T19:05:30Z",
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct wall got = {-7};
        if (timestamp_parse(CASES[i], strlen(CASES[i]), &got) != -EINVAL || got.ms != -7) {
            fail_msg("\"%s\" reads as %lld", CASES[i], (long long)got.ms);
        }
    }
}

/* The length counts, not a NUL: every cut of a good text is refused or a shorter good one, and read inside
 * it. */
static void keeps_within_the_length(void **state)
{
    (void)state;
    static const char TEXT[] = "2026-01-23T19:05:30.250+01:00 and more";
    for (size_t len = 0; len < 29; len++) {
        char cut[29];
        memcpy(cut, TEXT, len);
        memset(cut + len, '9', sizeof cut - len);
        struct wall got = {0};
        int status = timestamp_parse(cut, len, &got);
        bool is_good = len == 19 || (len >= 21 && len <= 23);
        assert_int_equal(status, is_good ? 0 : -EINVAL);
    }
    struct wall got = {0};
    assert_int_equal(0, timestamp_parse(TEXT, 29, &got));
    assert_int_equal(1769191530250, got.ms);
    assert_int_equal(-EINVAL, timestamp_parse("2026-01-23T19:05:30\0Z", 21, &got));
}

static void writes_seconds_and_milliseconds(void **state)
{
    (void)state;
    char text[TIMESTAMP_SIZE];
    timestamp_format((struct wall){1769195130999}, text);
    assert_string_equal("2026-01-23T19:05:30Z", text);
    timestamp_format_ms((struct wall){1769195130007}, text);
    assert_string_equal("2026-01-23T19:05:30.007Z", text);
    timestamp_format_ms((struct wall){1}, text);
    assert_string_equal("1970-01-01T00:00:00.001Z", text);
    timestamp_format((struct wall){0}, text);
    assert_string_equal("", text);
    timestamp_format((struct wall){-1000}, text);
    assert_string_equal("", text);
    timestamp_format_ms((struct wall){INT64_MAX}, text);
    assert_string_equal("9999-12-31T23:59:59.999Z", text);
}

/* libc's calendar is the model: each day for 400 years, then random times. */
static void agrees_with_libc(void **state)
{
    (void)state;
    uint64_t random = 88172645463325252;
    for (int64_t i = 0; i < 400 * 366 + 20000; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        int64_t span = 253402300799999;
        int64_t ms = i < 400 * 366 ? i * 86400000 + 86399001 : 1 + (int64_t)(random % (uint64_t)span);
        time_t seconds = (time_t)(ms / 1000);
        struct tm tm;
        gmtime_r(&seconds, &tm);
        char wanted[64];
        size_t len = strftime(wanted, sizeof wanted, "%Y-%m-%dT%H:%M:%S", &tm);
        snprintf(wanted + len, sizeof wanted - len, ".%03dZ", (int)(ms % 1000));
        char text[TIMESTAMP_SIZE];
        timestamp_format_ms((struct wall){ms}, text);
        struct wall back = {0};
        if (strcmp(wanted, text) != 0 || timestamp_parse(text, strlen(text), &back) != 0 || back.ms != ms) {
            fail_msg("%lld ms: %s, libc says %s, read back as %lld", (long long)ms, text, wanted,
                     (long long)back.ms);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_form),        cmocka_unit_test(refuses_what_is_no_time),
        cmocka_unit_test(keeps_within_the_length), cmocka_unit_test(writes_seconds_and_milliseconds),
        cmocka_unit_test(agrees_with_libc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
