#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/config.h"
#include "common/name_patterns.h"

enum { LEFT = 1, RIGHT = 2 };

struct values {
    bool flag;
    int64_t count;
    double share;
    int64_t wait_ms;
    bool wait_given;
    struct config_durations steps;
    char *text;
    char *secret;
    struct name_patterns names;
    int colour;
    int64_t right_only;
    char *right_text;
};

static const char *const COLOURS[] = {"red", "green", "blue", NULL};

#define AT(member) \
    .offset = offsetof(struct values, member), .set_offset = SIZE_MAX, .unit = "", .help = "help"

static const struct config_row ROWS[] = {
    {.name = "FLAG", .type = CONFIG_BOOL, .programs = LEFT, .default_text = "true", AT(flag)},
    {.name = "COUNT",
     .type = CONFIG_INT,
     .programs = LEFT,
     .default_text = "3",
     .min = -5,
     .max = 1000,
     AT(count)},
    {.name = "SHARE",
     .type = CONFIG_REAL,
     .programs = LEFT,
     .default_text = "0.4",
     .min = 0,
     .max = 1,
     AT(share)},
    {.name = "WAIT",
     .type = CONFIG_SECONDS,
     .programs = LEFT,
     .default_text = "10",
     .min = 0.05,
     .max = 86400,
     .unit = "s",
     .help = "how long",
     .offset = offsetof(struct values, wait_ms),
     .set_offset = offsetof(struct values, wait_given)},
    {.name = "STEPS",
     .type = CONFIG_SECONDS_LIST,
     .programs = LEFT,
     .default_text = "5,15,45",
     .max = 3600,
     AT(steps)},
    {.name = "TEXT", .type = CONFIG_TEXT, .programs = LEFT, .default_text = "hello", AT(text)},
    {.name = "SECRET", .type = CONFIG_TEXT, .programs = LEFT, .is_secret = true, AT(secret)},
    {.name = "NAMES", .type = CONFIG_PATTERNS, .programs = LEFT | RIGHT, AT(names)},
    {.name = "COLOUR",
     .type = CONFIG_CHOICE,
     .programs = LEFT,
     .choices = COLOURS,
     .default_text = "green",
     AT(colour)},
    {.name = "RIGHT_ONLY",
     .type = CONFIG_INT,
     .programs = RIGHT,
     .default_text = "9",
     .max = 10,
     AT(right_only)},
    {.name = "RIGHT_TEXT", .type = CONFIG_TEXT, .programs = RIGHT, .default_text = "right", AT(right_text)},
};

enum { ROW_COUNT = sizeof ROWS / sizeof ROWS[0] };

/* "NAME=value" strings, ended by NULL. */
static const char *look_up(void *arg, const char *name)
{
    size_t len = strlen(name);
    for (const char *const *at = arg; *at != NULL; at++) {
        if (strncmp(*at, name, len) == 0 && (*at)[len] == '=') {
            return *at + len + 1;
        }
    }
    return NULL;
}

static int load(unsigned program, const char *const *environment, struct values *out, struct err *err)
{
    memset(out, 0, sizeof *out);
    return config_load(ROWS, ROW_COUNT, program, look_up, (void *)(uintptr_t)environment, out, err);
}

static int load_one(const char *assignment, struct values *out, struct err *err)
{
    return load(LEFT, (const char *const[]){assignment, NULL}, out, err);
}

static void unload(struct values *values)
{
    config_free(ROWS, ROW_COUNT, values);
}

static char *printed(unsigned program, const struct values *values)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    config_print(ROWS, ROW_COUNT, program, values, out);
    fclose(out);
    return text;
}

static void defaults_fill_the_programs_rows(void **state)
{
    (void)state;
    struct values values;
    assert_int_equal(0, load(LEFT, (const char *const[]){"WAIT=", "RIGHT_ONLY=junk", NULL}, &values, NULL));
    assert_true(values.flag);
    assert_int_equal(3, values.count);
    assert_true(values.share > 0.39 && values.share < 0.41);
    assert_int_equal(10000, values.wait_ms);
    assert_false(values.wait_given);
    assert_int_equal(3, values.steps.count);
    assert_int_equal(45000, values.steps.ms[2]);
    assert_string_equal("hello", values.text);
    assert_string_equal("", values.secret);
    assert_int_equal(0, values.names.count);
    assert_int_equal(1, values.colour);
    assert_int_equal(0, values.right_only);
    assert_string_equal("", values.right_text);
    unload(&values);
    assert_null(values.text);

    assert_int_equal(0, load(RIGHT, (const char *const[]){"COUNT=junk", NULL}, &values, NULL));
    assert_int_equal(9, values.right_only);
    assert_int_equal(0, values.count);
    unload(&values);
}

static void good_values_print_back(void **state)
{
    (void)state;
    static const struct {
        const char *given, *shown;
    } CASES[] = {
        {"FLAG=false", "FLAG=false\n"},
        {"FLAG=NO", "FLAG=false\n"},
        {"FLAG=0", "FLAG=false\n"},
        {"FLAG=Off", "FLAG=false\n"},
        {"FLAG=yes", "FLAG=true\n"},
        {"COUNT=-5", "COUNT=-5\n"},
        {"COUNT=1000", "COUNT=1000\n"},
        {"COUNT=007", "COUNT=7\n"},
        {"SHARE=0", "SHARE=0\n"},
        {"SHARE=1", "SHARE=1\n"},
        {"SHARE=.25", "SHARE=0.25\n"},
        {"WAIT=0.05", "WAIT=0.05\n"},
        {"WAIT=0.2", "WAIT=0.2\n"},
        {"WAIT=86400", "WAIT=86400\n"},
        {"WAIT=1.2345", "WAIT=1.235\n"},
        {"WAIT=100.", "WAIT=100\n"},
        {"STEPS=0", "STEPS=0\n"},
        {"STEPS=0.2, 1 ,3", "STEPS=0.2,1,3\n"},
        {"TEXT=a b=c", "TEXT=a b=c\n"},
        {"NAMES=a*, b,,c", "NAMES=a*,b,c\n"},
        {"COLOUR=BLUE", "COLOUR=blue\n"},
        {"SECRET=hunter2", "SECRET=***\n"},
        {"STEPS=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16", "STEPS=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16\n"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct values values;
        struct err err = {.code = 0};
        if (load_one(CASES[i].given, &values, &err) != 0) {
            fail_msg("%s: %s", CASES[i].given, err.text);
        }
        char *text = printed(LEFT, &values);
        if (strstr(text, CASES[i].shown) == NULL) {
            fail_msg("%s gives %s", CASES[i].given, text);
        }
        assert_null(strstr(text, "RIGHT"));
        free(text);
        unload(&values);
    }
}

static void bad_values_are_named_with_what_is_allowed(void **state)
{
    (void)state;
    static const struct {
        const char *given, *said;
    } CASES[] = {
        {"FLAG=maybe", "true, yes"},
        {"FLAG=true ", "FLAG=\"true \""},
        {"COUNT=-6", "whole numbers from -5 to 1000"},
        {"COUNT=1001", "-5 to 1000"},
        {"COUNT=3x", "COUNT=\"3x\""},
        {"COUNT= 3", "-5 to 1000"},
        {"COUNT=+3", "-5 to 1000"},
        {"COUNT=1.0", "whole"},
        {"COUNT=-", "whole"},
        {"COUNT=99999999999999999999999", "whole"},
        {"SHARE=1.01", "numbers from 0 to 1"},
        {"SHARE=-0.1", "from 0"},
        {"SHARE=nan", "from 0"},
        {"SHARE=inf", "from 0"},
        {"SHARE=0x1", "from 0"},
        {"SHARE=1e-1", "from 0"},
        {"WAIT=0.04", "seconds from 0.05 to 86400"},
        {"WAIT=86400.001", "0.05 to 86400"},
        {"WAIT=10s", "WAIT=\"10s\""},
        {"WAIT=.", "0.05"},
        {"WAIT=1.2.3", "0.05"},
        {"WAIT=-1", "0.05"},
        {"WAIT=1,5", "0.05"},
        {"STEPS=5,,15", "1 to 16"},
        {"STEPS=,", "1 to 16"},
        {"STEPS=5,15,", "1 to 16"},
        {"STEPS=5 15", "1 to 16"},
        {"STEPS=1,3601", "from 0 to 3600"},
        {"STEPS=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", "1 to 16"},
        {"TEXT=a\nb", "TEXT=\"a\\x0ab\""},
        {"NAMES=a,[b", "\"[b\""},
        {"NAMES=a\tb", "NAMES=\"a\\x09b\""},
        {"COLOUR=pink", "red, green or blue"},
        {"COLOUR=gree", "red, green or blue"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct values values;
        struct err err = {.code = 0};
        if (load_one(CASES[i].given, &values, &err) != -EINVAL) {
            fail_msg("%s was taken", CASES[i].given);
        }
        size_t name = strcspn(CASES[i].given, "=") + 1;
        if (strncmp(err.text, CASES[i].given, name) != 0 || strstr(err.text, CASES[i].said) == NULL ||
            strchr(err.text, '\n') != NULL) {
            fail_msg("%s: %s", CASES[i].given, err.text);
        }

        assert_null(values.text); /* all is freed */
        assert_null(values.names.items);
    }
}

static void long_values_do_not_crowd_out_the_message(void **state)
{
    (void)state;
    char given[3000] = "COLOUR=";
    memset(given + 7, '\x01', sizeof given - 8);
    struct values values;
    struct err err;
    assert_int_equal(-EINVAL, load_one(given, &values, &err));
    assert_non_null(strstr(err.text, "...\": allowed are red"));
}

static void urls_lose_what_is_secret(void **state)
{
    (void)state;
    static const struct {
        const char *given, *shown;
    } CASES[] = {
        {"SECRET=redis://127.0.0.1:6379", "SECRET=redis://127.0.0.1:6379\n"},
        {"SECRET=redis://u:pw@h:1/2?db=3", "SECRET=redis://u:***@h:1/2?db=3\n"},
        {"SECRET=redis://:p@w:d/x@h/2", "SECRET=redis://:***@h/2\n"},
        {"SECRET=redis://pw@h", "SECRET=redis://***@h\n"},
        {"SECRET=redis://h?password=pw", "SECRET=redis://h?***\n"},
        {"SECRET=unix:///run/redis", "SECRET=unix:///run/redis\n"},
        {"SECRET=https://hooks.example.com/pw", "SECRET=https://hooks.example.com/***\n"},
        {"SECRET=https://u:pw@h/pw?pw", "SECRET=https://u:***@h/***\n"},
        {"SECRET=https://h?pw", "SECRET=https://h/***\n"},
        {"SECRET=https://h", "SECRET=https://h\n"},
        {"SECRET=pw", "SECRET=***\n"},
        {"TEXT=tcp://u:pw@h:1/x", "TEXT=tcp://u:***@h:1/x\n"},
        {"TEXT=https://h/x?y", "TEXT=https://h/x?y\n"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct values values;
        assert_int_equal(0, load_one(CASES[i].given, &values, NULL));
        char *text = printed(LEFT, &values);
        if (strstr(text, CASES[i].shown) == NULL || strstr(text, "pw") != NULL) {
            fail_msg("%s gives %s", CASES[i].given, text);
        }
        free(text);
        unload(&values);
    }
    struct values values;
    struct err err;
    assert_int_equal(-EINVAL, load_one("SECRET=pw\n", &values, &err));
    assert_non_null(strstr(err.text, "SECRET=\"***\""));
    assert_null(strstr(err.text, "pw"));
}

static void write_file(char path[64], const char *bytes, size_t len)
{
    strcpy(path, "/tmp/test_config.XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(len, write(fd, bytes, len));
    close(fd);
}

static void secrets_come_from_files_too(void **state)
{
    (void)state;
    char path[64], variable[128];
    write_file(path, "hunter2 \r\n\n", 11);
    snprintf(variable, sizeof variable, "SECRET_FILE=%s", path);
    struct values values;
    struct err err;
    assert_int_equal(0, load_one(variable, &values, &err));
    assert_string_equal("hunter2 ", values.secret);
    unload(&values);

    assert_int_equal(-EINVAL, load(LEFT, (const char *const[]){variable, "SECRET=x", NULL}, &values, &err));
    assert_non_null(strstr(err.text, "SECRET_FILE=\"/tmp/"));
    assert_non_null(strstr(err.text, "not both"));
    assert_int_equal(0, load(LEFT, (const char *const[]){variable, "SECRET=", NULL}, &values, &err));
    unload(&values);
    assert_int_equal(0, load(RIGHT, (const char *const[]){variable, "SECRET=x", NULL}, &values, &err));
    unload(&values);

    unlink(path);
    assert_int_equal(-EINVAL, load_one(variable, &values, &err));
    assert_non_null(strstr(err.text, "No such file"));
    assert_int_equal(0, load_one("TEXT_FILE=/nowhere", &values, &err)); /* no secret */
    unload(&values);

    write_file(path, "\n", 1);
    snprintf(variable, sizeof variable, "SECRET_FILE=%s", path);
    assert_int_equal(-EINVAL, load_one(variable, &values, &err));
    assert_non_null(strstr(err.text, "empty"));
    unlink(path);
}

static void whether_it_was_given(void **state)
{
    (void)state;
    struct values values;
    assert_int_equal(0, load_one("WAIT=10", &values, NULL));
    assert_true(values.wait_given);
    unload(&values);
}

static void files_are_read_whole_and_bounded(void **state)
{
    (void)state;
    char path[64], *text = NULL;
    struct err err;
    write_file(path, "12345\n\r\n", 8);
    assert_int_equal(0, config_read_file(path, 8, &text, &err));
    assert_string_equal("12345", text);
    free(text);
    assert_int_equal(-EFBIG, config_read_file(path, 7, &text, &err));
    assert_non_null(strstr(err.text, path));
    unlink(path);
    assert_int_equal(-ENOENT, config_read_file(path, 8, &text, &err));
    assert_int_equal(-EISDIR, config_read_file("/tmp", 8, &text, &err));
    write_file(path, "a\0b", 3);
    assert_int_equal(-EINVAL, config_read_file(path, 8, &text, &err));
    unlink(path);
    write_file(path, "", 0);
    assert_int_equal(0, config_read_file(path, 8, &text, &err));
    assert_string_equal("", text);
    free(text);
    unlink(path);
}

static void help_has_each_row_of_the_program(void **state)
{
    (void)state;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    config_print_help(ROWS, ROW_COUNT, LEFT, out);
    fclose(out);
    assert_non_null(strstr(text, "  WAIT = 10  (0.05..86400 s)\n      how long\n"));
    assert_non_null(strstr(text, "COLOUR = green  (red|green|blue)\n"));
    assert_non_null(strstr(text, "STEPS = 5,15,45"));
    assert_null(strstr(text, "RIGHT_ONLY"));
    free(text);
}

static void cross_checks_show_the_present_value(void **state)
{
    (void)state;
    struct values values;
    struct err err;
    assert_int_equal(0, load_one("SECRET=redis://u:pw@h", &values, NULL));
    assert_int_equal(-EINVAL, config_refuse(ROWS, ROW_COUNT, &values, "WAIT", &err, "allowed is more"));
    assert_string_equal("WAIT=\"10\": allowed is more", err.text);
    assert_int_equal(EINVAL, err.code);
    config_refuse(ROWS, ROW_COUNT, &values, "SECRET", &err, "allowed is 100%");
    assert_string_equal("SECRET=\"redis://u:***@h\": allowed is 100%", err.text);
    unload(&values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_fill_the_programs_rows),
        cmocka_unit_test(good_values_print_back),
        cmocka_unit_test(bad_values_are_named_with_what_is_allowed),
        cmocka_unit_test(long_values_do_not_crowd_out_the_message),
        cmocka_unit_test(urls_lose_what_is_secret),
        cmocka_unit_test(secrets_come_from_files_too),
        cmocka_unit_test(whether_it_was_given),
        cmocka_unit_test(files_are_read_whole_and_bounded),
        cmocka_unit_test(help_has_each_row_of_the_program),
        cmocka_unit_test(cross_checks_show_the_present_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
