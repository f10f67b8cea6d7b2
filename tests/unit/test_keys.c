#include "proto/keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void builds_the_contract_s_names(void **state)
{
    (void)state;
    char key[KEY_SIZE];
    size_t len = key_heartbeat(key, "game_shard", "shard-1");
    assert_string_equal(key, "health:hb:game_shard:shard-1");
    assert_int_equal(len, strlen(key));
    len = key_restart(key, "arbees-api");
    assert_string_equal(key, "health:restart:arbees-api");
    assert_int_equal(len, strlen(key));
    len = key_agent(key, "host-1");
    assert_string_equal(key, "health:agent:host-1");
    assert_int_equal(len, strlen(key));
    len = key_intent(key, "arbees-api");
    assert_string_equal(key, "health:intent:arbees-api");
    assert_int_equal(len, strlen(key));
    len = key_hold(key, "all", "all");
    assert_string_equal(key, "health:hold:all:all");
    assert_int_equal(len, strlen(key));
}

static void splits_at_the_last_colon(void **state)
{
    (void)state;
    static const struct {
        const char *key, *service, *instance; /* NULL: refused */
    } cases[] = {
        {"health:hb:game_shard:shard-1", "game_shard", "shard-1"},
        {"health:hb:a:b:c", "a:b", "c"},
        {"health:hb:a::c", "a:", "c"},
        {"health:hb:s:\xc3\xa9", "s", "\xc3\xa9"},
        {"health:hb:a:", NULL, NULL},
        {"health:hb::b", NULL, NULL},
        {"health:hb:ab", NULL, NULL},
        {"health:hb:", NULL, NULL},
        {"health:h", NULL, NULL},
        {"", NULL, NULL},
        {"health:restart:a:b", NULL, NULL},
        {"health:hb:a\nb:c", NULL, NULL},
        {"health:hb:a:\xff", NULL, NULL},
    };
    for (size_t each = 0; each < sizeof cases / sizeof cases[0]; each++) {
        char service[LIMIT_NAME_SIZE];
        char instance[LIMIT_NAME_SIZE];
        bool is_taken = key_split_heartbeat(cases[each].key, strlen(cases[each].key), service, instance);
        assert_int_equal(is_taken, cases[each].service != NULL);
        if (is_taken) {
            assert_string_equal(service, cases[each].service);
            assert_string_equal(instance, cases[each].instance);
        }
    }
    char service[LIMIT_NAME_SIZE];
    char instance[LIMIT_NAME_SIZE];
    assert_false(key_split_heartbeat("health:hb:a\0b:c", 15, service, instance));
}

static void holds_the_longest_names(void **state)
{
    (void)state;
    char longest[LIMIT_NAME_SIZE];
    memset(longest, 'n', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    char key[KEY_SIZE];
    size_t len = key_heartbeat(key, longest, longest);
    char service[LIMIT_NAME_SIZE];
    char instance[LIMIT_NAME_SIZE];
    assert_true(key_split_heartbeat(key, len, service, instance));
    assert_string_equal(service, longest);
    assert_string_equal(instance, longest);
    key[len] = 'x'; /* one byte more than a name may have; the NUL is not read */
    assert_false(key_split_heartbeat(key, len + 1, service, instance));
}

static void strips_prefixes(void **state)
{
    (void)state;
    char name[LIMIT_NAME_SIZE];
    assert_true(key_strip_prefix("health:restart:a:b", 18, KEY_RESTART_PREFIX, name));
    assert_string_equal(name, "a:b");
    assert_true(key_strip_prefix("health:restart:a:b", 16, KEY_RESTART_PREFIX, name));
    assert_string_equal(name, "a");
    assert_false(key_strip_prefix("health:restart:", 15, KEY_RESTART_PREFIX, name));
    assert_false(key_strip_prefix("health:agent:a", 14, KEY_RESTART_PREFIX, name));
    assert_false(key_strip_prefix("health:res", 10, KEY_RESTART_PREFIX, name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(builds_the_contract_s_names),
        cmocka_unit_test(splits_at_the_last_colon),
        cmocka_unit_test(holds_the_longest_names),
        cmocka_unit_test(strips_prefixes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
