#include "controller/serve/gatekeeper.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define TOKEN "0123456789abcdef"

/* "defib:0123456789abcdef", "x:wrong" */
#define BASIC_GOOD "Basic ZGVmaWI6MDEyMzQ1Njc4OWFiY2RlZg=="
#define BASIC_BAD  "Basic eDp3cm9uZw=="

static char path[64];

static void write_file(const char *text, mode_t mode)
{
    snprintf(path, sizeof path, "/tmp/test_gatekeeper.XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static struct gatekeeper keeper(const char *listen, const char *token)
{
    struct gatekeeper gatekeeper;
    struct err err;
    write_file(token, 0600);
    assert_int_equal(gatekeeper_load(&gatekeeper, listen, token[0] == '\0' ? "" : path, &err), 0);
    unlink(path);
    return gatekeeper;
}

static void test_who_may_what(void **state)
{
    (void)state;
    static const struct {
        const char *listen, *token;
        bool is_change;
        const char *authorization, *host;
        enum gatekeeper_verdict verdict;
    } rows[] = {
        /* loopback without a token: reading is open, to loopback names; changing is off */
        {"127.0.0.1:7410", "", false, NULL, "127.0.0.1:7410", GATEKEEPER_OPEN},
        {"127.0.0.1:7410", "", false, NULL, "localhost:7410", GATEKEEPER_OPEN},
        {"127.0.0.1:7410", "", false, NULL, "LocalHost", GATEKEEPER_OPEN},
        {"[::1]:7410", "", false, NULL, "[::1]:7410", GATEKEEPER_OPEN},
        {"127.0.0.1:7410", "", false, NULL, "evil.example", GATEKEEPER_BAD_HOST},
        {"127.0.0.1:7410", "", false, NULL, "127.0.0.1.evil.example", GATEKEEPER_BAD_HOST},
        {"127.0.0.1:7410", "", false, NULL, NULL, GATEKEEPER_BAD_HOST},
        {"127.0.0.1:7410", "", true, NULL, "127.0.0.1", GATEKEEPER_NO_TOKEN_SET},
        {"127.0.0.1:7410", "", true, "Bearer ", "127.0.0.1", GATEKEEPER_NO_TOKEN_SET},
        /* loopback with one */
        {"127.0.0.1:7410", TOKEN, false, NULL, "127.0.0.1", GATEKEEPER_OPEN},
        {"127.0.0.1:7410", TOKEN, true, NULL, "127.0.0.1", GATEKEEPER_NEEDS_TOKEN},
        {"127.0.0.1:7410", TOKEN, true, "Bearer " TOKEN, "127.0.0.1", GATEKEEPER_OPEN},
        {"127.0.0.1:7410", TOKEN, true, "bearer " TOKEN, "127.0.0.1", GATEKEEPER_OPEN},
        {"127.0.0.1:7410", TOKEN, true, "Bearer " TOKEN "x", "127.0.0.1", GATEKEEPER_BAD_TOKEN},
        {"127.0.0.1:7410", TOKEN, true, "Bearer 0123456789abcdeg", "127.0.0.1", GATEKEEPER_BAD_TOKEN},
        {"127.0.0.1:7410", TOKEN, true, "Bearer 0123456789abcde", "127.0.0.1", GATEKEEPER_BAD_TOKEN},
        {"127.0.0.1:7410", TOKEN, true, "Bearer ", "127.0.0.1", GATEKEEPER_BAD_TOKEN},
        {"127.0.0.1:7410", TOKEN, true, BASIC_GOOD, "127.0.0.1", GATEKEEPER_BAD_TOKEN},
        {"127.0.0.1:7410", TOKEN, true, "Bearer " TOKEN, "evil.example", GATEKEEPER_BAD_HOST},
        /* beyond loopback */
        {"0.0.0.0:7410", TOKEN, false, NULL, "ctl.internal", GATEKEEPER_NEEDS_TOKEN},
        {"0.0.0.0:7410", TOKEN, false, NULL, "127.0.0.1", GATEKEEPER_NEEDS_TOKEN},
        {":7410", TOKEN, false, "Bearer " TOKEN, "ctl.internal", GATEKEEPER_OPEN},
        {"10.0.0.1:7410", TOKEN, false, BASIC_GOOD, "ctl.internal", GATEKEEPER_OPEN},
        {"10.0.0.1:7410", TOKEN, false, BASIC_BAD, "ctl.internal", GATEKEEPER_BAD_TOKEN},
        {"10.0.0.1:7410", TOKEN, false, "Basic", "ctl.internal", GATEKEEPER_BAD_TOKEN},
        {"10.0.0.1:7410", TOKEN, false, "Basic !!!", "ctl.internal", GATEKEEPER_BAD_TOKEN},
        {"10.0.0.1:7410", TOKEN, true, BASIC_GOOD, "ctl.internal", GATEKEEPER_BAD_TOKEN},
        {"10.0.0.1:7410", TOKEN, true, "Bearer " TOKEN, "ctl.internal", GATEKEEPER_OPEN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct gatekeeper gatekeeper = keeper(rows[i].listen, rows[i].token);
        enum gatekeeper_verdict verdict =
            gatekeeper_judge(&gatekeeper, rows[i].is_change, rows[i].authorization, rows[i].host);
        if (verdict != rows[i].verdict) {
            fail_msg("row %zu: %d, not %d", i, verdict, rows[i].verdict);
        }
    }
}

static void test_token_files(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        mode_t mode;
        const char *complaint; /* NULL: taken */
    } rows[] = {
        {TOKEN "\n", 0600, NULL},
        {TOKEN "\r\n", 0400, NULL},
        {TOKEN, 0640, "chmod 600"},
        {TOKEN, 0604, "chmod 600"},
        {"0123456789abcde\n", 0600, "16 to 512"},
        {"0123456789 abcdef\n", 0600, "16 to 512"},
        {"0123456789abcdef\nsecond-line-here\n", 0600, "16 to 512"},
        {"", 0600, "16 to 512"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct gatekeeper gatekeeper = {.token = "the-old-token-stays"};
        struct err err;
        write_file(rows[i].text, rows[i].mode);
        int result = gatekeeper_load(&gatekeeper, "127.0.0.1:7410", path, &err);
        unlink(path);
        if (rows[i].complaint == NULL) {
            assert_int_equal(result, 0);
            assert_string_equal(gatekeeper.token, TOKEN);
        } else {
            assert_true(result < 0);
            assert_non_null(strstr(err.text, "DEFIB_HTTP_TOKEN_FILE="));
            assert_non_null(strstr(err.text, rows[i].complaint));
            assert_string_equal(gatekeeper.token, "the-old-token-stays");
        }
    }
    struct gatekeeper gatekeeper;
    struct err err;
    assert_true(gatekeeper_load(&gatekeeper, "127.0.0.1:7410", "/nonexistent/token", &err) < 0);
    assert_non_null(strstr(err.text, "/nonexistent/token: No such file"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_may_what),
        cmocka_unit_test(test_token_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
