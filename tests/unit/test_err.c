#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "common/err.h"

static void sets_and_wraps(void **state)
{
    (void)state;
    struct err err;
    assert_int_equal(-ENOENT, err_set(&err, ENOENT, "no file %s", "x"));
    assert_int_equal(ENOENT, err.code);
    assert_string_equal("no file x", err.text);
    assert_int_equal(-ENOENT, err_wrap(&err, "step %d", 2));
    assert_int_equal(-ENOENT, err_wrap(&err, "job"));
    assert_string_equal("job: step 2: no file x", err.text);
    assert_int_equal(ENOENT, err.code);
}

static void takes_null(void **state)
{
    (void)state;
    assert_int_equal(-EACCES, err_set(NULL, EACCES, "%s", "dropped"));
    assert_int_equal(-EIO, err_wrap(NULL, "%s", "dropped"));
}

/* Around the size of the buffer: all that fits is there, else it ends with "..." and fills the buffer. */
static void cuts_what_is_too_long(void **state)
{
    (void)state;
    char long_text[1024];
    memset(long_text, 'a', sizeof long_text);
    struct err err;
    enum { ROOM = sizeof err.text - 1 };
    for (int len = ROOM - 2; len <= ROOM + 3; len++) {
        err_set(&err, EINVAL, "%.*s", len, long_text);
        assert_int_equal(len < ROOM ? len : ROOM, strlen(err.text));
        assert_int_equal(len <= ROOM ? 'a' : '.', err.text[strlen(err.text) - 1]);
        assert_int_equal('a', err.text[ROOM - 4]);
    }
    err_set(&err, EINVAL, "%.*s", 380, long_text);
    assert_int_equal(-EINVAL, err_wrap(&err, "context"));
    assert_int_equal(ROOM, strlen(err.text));
    assert_memory_equal("context: aaa", err.text, 12);
    assert_string_equal("aaa...", err.text + ROOM - 6);
    err_set(&err, EINVAL, "cause");
    err_wrap(&err, "%.*s", 1000, long_text);
    assert_int_equal(ROOM, strlen(err.text));
    assert_string_equal("...", err.text + ROOM - 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_and_wraps),
        cmocka_unit_test(takes_null),
        cmocka_unit_test(cuts_what_is_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
