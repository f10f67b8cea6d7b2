#include "proto/text.h"

#include "tests/unit/vectors.h"

static size_t plain_by_the_byte(const char *text, size_t len)
{
    size_t at = 0;
    while (at < len && strchr("\"\\\x7f", text[at]) == NULL && (unsigned char)text[at] >= 0x20 &&
           (unsigned char)text[at] < 0x80) {
        at++;
    }
    return at;
}

/* Mostly plain, so that runs are long; one odd byte of any kind at any place. */
static void plain_bytes_are_counted(void **state)
{
    (void)state;
    uint64_t seed = 7;
    for (int round = 0; round < 200000; round++) {
        size_t len = vector_below(&seed, 40);
        char *text = memory_grow(NULL, len, 1); /* of that size, so that a step past it shows */
        for (size_t at = 0; at < len; at++) {
            text[at] = (char)(' ' + vector_below(&seed, 95));
        }
        for (size_t odd = vector_below(&seed, 3); odd > 0 && len > 0; odd--) {
            text[vector_below(&seed, len)] = (char)vector_below(&seed, 256);
        }
        assert_int_equal(text_plain_bytes(text, len), plain_by_the_byte(text, len));
        free(text);
    }
}

static void names_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_name;
    } cases[] = {
        {"", false},
        {"web", true},
        {"a name, longer than eight bytes", true},
        {"with \"quotes\" and \\ in it", true},
        {"\xc3\xa9t\xc3\xa9, na\xc3\xafve \xf0\x9f\x98\x80", true},
        {"tab\there", false},
        {"plain for eight bytes\x7f", false},
        {"plain for eight bytes\n", false},
        {"a C1 control \xc2\x85", false},
        {"cut \xc3", false},
        {"overlong \xc0\xaf", false},
    };
    for (size_t each = 0; each < sizeof cases / sizeof cases[0]; each++) {
        if (text_is_name(cases[each].text, strlen(cases[each].text)) != cases[each].is_name) {
            fail_msg("%s", cases[each].text);
        }
    }
}

static void controls_are_replaced_and_nothing_else(void **state)
{
    (void)state;
    char text[] = "a\x1b[2Jb\r\n\x7f\xc3\xa9 \"~";
    text_replace_controls(text, '?');
    assert_string_equal(text, "a?[2Jb???\xc3\xa9 \"~");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_bytes_are_counted),
        cmocka_unit_test(names_are_told_apart),
        cmocka_unit_test(controls_are_replaced_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
