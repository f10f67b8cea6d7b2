#include "common/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define SECRET "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static char dir[64];
static char path[128];

static int setup(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/defib-key-file.XXXXXX");
    snprintf(path, sizeof path, "%s/key", mkdtemp(dir));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    rmdir(dir);
    return 0;
}

static void write_key(const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(path, mode), 0);
}

static void no_path_is_no_key(void **state)
{
    (void)state;
    struct key_ring ring = {.count = 3};
    assert_int_equal(key_file_load(NULL, &ring, NULL), 0);
    assert_int_equal(ring.count, 0);
    ring.count = 3;
    assert_int_equal(key_file_load("", &ring, NULL), 0);
    assert_int_equal(ring.count, 0);
}

static void reads_keys_in_order(void **state)
{
    (void)state;
    write_key("# fleet\nnew:" SECRET "\n\nold:" SECRET "\n", 0600);
    struct key_ring ring;
    struct err err = {0};
    assert_int_equal(key_file_load(path, &ring, &err), 0);
    assert_int_equal(ring.count, 2);
    assert_string_equal(ring.keys[0].id, "new");
    assert_string_equal(ring.keys[1].id, "old");
    assert_int_equal(ring.keys[0].secret[1], 0x11);
}

static void refuses_a_file_that_others_may_read(void **state)
{
    (void)state;
    static const struct {
        mode_t mode;
        int code;
    } CASES[] = {{0600, 0},       {0400, 0},       {0700, 0},       {0640, -EACCES}, {0604, -EACCES},
                 {0644, -EACCES}, {0620, -EACCES}, {0602, -EACCES}, {0610, -EACCES}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        write_key("k:" SECRET "\n", CASES[i].mode);
        struct key_ring ring = {.count = 7};
        struct err err = {0};
        assert_int_equal(key_file_load(path, &ring, &err), CASES[i].code);
        if (CASES[i].code != 0) {
            assert_int_equal(ring.count, 7);
            assert_non_null(strstr(err.text, "DEFIB_KEY_FILE"));
            assert_non_null(strstr(err.text, path));
            assert_non_null(strstr(err.text, "chmod 600"));
        }
    }
}

static void refuses_a_file_of_somebody_else(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        return; /* only root can give a file away; CI is root */
    }
    write_key("k:" SECRET "\n", 0600);
    assert_int_equal(chown(path, 12345, 12345), 0);
    struct key_ring ring;
    struct err err = {0};
    assert_int_equal(key_file_load(path, &ring, &err), -EACCES);
    assert_non_null(strstr(err.text, "12345"));
}

static void says_what_is_wrong_and_no_secret(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } CASES[] = {{"", "DEFIB_KEY_FILE"},
                 {"# nothing\n", "DEFIB_KEY_FILE"},
                 {"k:" SECRET "0\n", "line 1"},
                 {"k:" SECRET "\nk:" SECRET "\n", "line 2"},
                 {SECRET "\n", "line 1"}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        write_key(CASES[i].text, 0600);
        struct key_ring ring;
        struct err err = {0};
        assert_int_equal(key_file_load(path, &ring, &err), -EINVAL);
        assert_int_equal(err.code, EINVAL);
        assert_non_null(strstr(err.text, CASES[i].says));
        assert_null(strstr(err.text, "0011223344"));
    }
}

static void refuses_what_is_no_small_plain_file(void **state)
{
    (void)state;
    struct key_ring ring;
    struct err err = {0};
    assert_int_equal(key_file_load("/nonexistent/key", &ring, &err), -ENOENT);
    assert_non_null(strstr(err.text, "/nonexistent/key"));
    assert_int_equal(key_file_load(dir, &ring, &err), -EINVAL);
    assert_int_equal(mkfifo(path, 0600), 0); /* must not block */
    assert_int_equal(key_file_load(path, &ring, &err), -EINVAL);
    unlink(path);
    write_key("k:" SECRET "\n", 0600);
    assert_int_equal(truncate(path, KEY_FILE_MAX_BYTES + 1), 0);
    assert_int_equal(key_file_load(path, &ring, &err), -EFBIG);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_path_is_no_key),       CASE(reads_keys_in_order),
        CASE(refuses_a_file_that_others_may_read), CASE(refuses_a_file_of_somebody_else),
        CASE(says_what_is_wrong_and_no_secret),    CASE(refuses_what_is_no_small_plain_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
