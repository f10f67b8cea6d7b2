#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <time.h>

#include "common/name_patterns.h"

static void matches_whole_names(void **state)
{
    (void)state;
    static const struct {
        const char *list, *name;
        bool is_match;
    } CASES[] = {
        {"", "web", false},
        {" , ,", "web", false},
        {"web", "web", true},
        {"web", "Web", false},
        {"web", "web2", false},
        {"web", "we", false},
        {"web", "", false},
        {"db, web ,cache", "web", true},
        {"\tweb\t", "web", true},
        {"arbees-*", "arbees-", true},
        {"arbees-*", "arbees-game-shard-1", true},
        {"arbees-*", "xarbees-1", false},
        {"*-1", "host-a/web-1", true},
        {"*", "host-a/web-1", true},
        {"*", ".hidden", true},
        {"web-?", "web-1", true},
        {"web-?", "web-10", false},
        {"[ab]*", "beta", true},
        {"[ab]*", "gamma", false},
        {"[!a]x", "bx", true},
        {"[!a]x", "ax", false},
        {"[^a]x", "bx", true},
        {"[]x]y", "]y", true},
        {"[0-9]", "7", true},
        {"web\\*", "web*", true},
        {"web\\*", "web1", false},
        {"one,tw*", "two", true},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct name_patterns patterns;
        assert_int_equal(0, name_patterns_parse(CASES[i].list, &patterns, NULL));
        if (name_patterns_match(&patterns, CASES[i].name) != CASES[i].is_match) {
            fail_msg("\"%s\" against \"%s\"", CASES[i].list, CASES[i].name);
        }
        name_patterns_free(&patterns);
        assert_int_equal(0, patterns.count);
        assert_null(patterns.items);
    }
}

static void keeps_the_parts_in_order(void **state)
{
    (void)state;
    struct name_patterns patterns;
    assert_int_equal(0, name_patterns_parse(",a, b c ,,d*,", &patterns, NULL));
    assert_int_equal(3, patterns.count);
    assert_string_equal("a", patterns.items[0]);
    assert_string_equal("b c", patterns.items[1]);
    assert_string_equal("d*", patterns.items[2]);
    name_patterns_free(&patterns);
}

static void refuses_and_names_the_part(void **state)
{
    (void)state;
    char too_long[300];
    memset(too_long, 'x', 256);
    too_long[256] = '\0';
    const struct {
        const char *list, *said;
    } CASES[] = {
        {"web,[ab", "\"[ab\""}, {"[", "\"[\""},         {"[]", "\"[]\""},     {"[!]", "\"[!]\""},
        {"a,b\nc", "number 2"}, {"a,\x7f", "number 2"}, {"a\\", "ends with"}, {too_long, "255"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct name_patterns patterns = {NULL, 77};
        struct err err = {.code = 0};
        assert_int_equal(-EINVAL, name_patterns_parse(CASES[i].list, &patterns, &err));
        if (strstr(err.text, CASES[i].said) == NULL || strchr(err.text, '\n') != NULL) {
            fail_msg("%s: %s", CASES[i].list, err.text);
        }
        assert_int_equal(77, patterns.count);
    }
    struct name_patterns patterns;
    too_long[255] = '\0';
    assert_int_equal(0, name_patterns_parse(too_long, &patterns, NULL));
    name_patterns_free(&patterns);
}

/* Many stars against a name that nearly fits must not take for ever. */
static void many_stars_are_quick(void **state)
{
    (void)state;
    struct name_patterns patterns;
    assert_int_equal(0, name_patterns_parse("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", &patterns, NULL));
    char name[256];
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    clock_t before = clock();
    assert_false(name_patterns_match(&patterns, name));
    assert_true(clock() - before < CLOCKS_PER_SEC / 10);
    name_patterns_free(&patterns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_whole_names),
        cmocka_unit_test(keeps_the_parts_in_order),
        cmocka_unit_test(refuses_and_names_the_part),
        cmocka_unit_test(many_stars_are_quick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
