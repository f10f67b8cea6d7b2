#include "common/nearest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *find(const char *wanted, const char *const *names)
{
    struct nearest nearest;
    nearest_init(&nearest, wanted);
    for (; *names != NULL; names++) {
        nearest_offer(&nearest, *names);
    }
    return nearest_name(&nearest);
}

static void test_the_nearest_is_found(void **state)
{
    (void)state;
    static const char *const names[] = {"web-1", "web-2", "postgres", "arbees-game-shard-1", "status", NULL};
    static const struct {
        const char *wanted, *found;
    } rows[] = {
        {"wbe-1", "web-1"},      {"web-1", "web-1"},   {"web-22", "web-2"},
        {"postgre", "postgres"}, {"stauts", "status"}, {"game-shard-1", "arbees-game-shard-1"},
        {"xyzzy", NULL},         {"", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *found = find(rows[i].wanted, names);
        if (rows[i].found == NULL) {
            assert_null(found);
        } else {
            assert_non_null(found);
            assert_string_equal(found, rows[i].found);
        }
    }
}

static void test_swaps_count_once(void **state)
{
    (void)state;
    static const char *const names[] = {"abdc", "axyd", NULL};
    assert_string_equal(find("abcd", names), "abdc");
}

static void test_long_names_and_none(void **state)
{
    (void)state;
    char name[400];
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    const char *const names[] = {name, NULL};
    assert_ptr_equal(find(name, names), name);
    assert_null(find("web", &names[1]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_nearest_is_found),
        cmocka_unit_test(test_swaps_count_once),
        cmocka_unit_test(test_long_names_and_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
