#include "proto/hold.h"

#include <errno.h>

#include "proto/intent.h"
#include "tests/unit/vectors.h"

enum { ROUNDS = 20000 };

static void random_holds_round_trip(void **state)
{
    (void)state;
    uint64_t seed = 11;
    for (int round = 0; round < ROUNDS; round++) {
        struct hold hold = {.until = {(int64_t)vector_below(&seed, 4102444800) * 1000},
                            .since = {(int64_t)vector_below(&seed, 2) * 1769195130000}};
        struct hold again;
        vector_random_text(&seed, hold.reason, sizeof hold.reason);
        vector_random_text(&seed, hold.by, sizeof hold.by);
        size_t len;
        cleanup_free char *text = hold_encode(&hold, &len);
        assert_int_equal(hold_decode(text, len, &again, NULL), 0);
        assert_string_equal(again.reason, hold.reason);
        assert_string_equal(again.by, hold.by);
        assert_int_equal(again.until.ms, hold.until.ms);
        assert_int_equal(again.since.ms, hold.since.ms);
    }
}

static void random_intents_round_trip(void **state)
{
    (void)state;
    uint64_t seed = 12;
    for (int round = 0; round < ROUNDS; round++) {
        struct intent intent = {.at = {(int64_t)vector_below(&seed, 4102444800) * 1000}};
        struct intent again;
        vector_random_text(&seed, intent.container_id, sizeof intent.container_id);
        vector_random_text(&seed, intent.reason, sizeof intent.reason);
        size_t len;
        cleanup_free char *text = intent_encode(&intent, &len);
        assert_int_equal(intent_decode(text, len, &again, NULL), 0);
        assert_string_equal(again.container_id, intent.container_id);
        assert_string_equal(again.reason, intent.reason);
        assert_int_equal(again.at.ms, intent.at.ms);
    }
}

/* Anybody can write such a key. */
static void refuses_intents_that_name_nobody(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } CASES[] = {{"{}", "container_id is missing, wanted text"},
                 {"{\"container_id\":null}", "container_id is null, wanted text"},
                 {"{\"container_id\":17}", "container_id is a number, wanted text"},
                 {"{\"container_id\":\"\"}", "container_id"},
                 {"[]", "intent"},
                 {"", "intent"}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct intent intent;
        struct err err;
        assert_int_equal(intent_decode(CASES[i].text, strlen(CASES[i].text), &intent, &err), -EINVAL);
        if (strstr(err.text, CASES[i].says) == NULL) {
            fail_msg("%s: %s", CASES[i].text, err.text);
        }
    }
}

/* Whoever wrote the key meant a hold. */
static void a_hold_that_cannot_be_read_has_no_end(void **state)
{
    (void)state;
    static const char *const TEXTS[] = {"", "x", "[]", "{\"until\":17}", "{\"until\":\"tomorrow\"}"};
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
        struct hold hold;
        struct err err;
        assert_int_equal(hold_decode(TEXTS[i], strlen(TEXTS[i]), &hold, &err), -EINVAL);
        assert_int_equal(hold.until.ms, 0);
        assert_true(err.text[0] != '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_holds_round_trip),
        cmocka_unit_test(random_intents_round_trip),
        cmocka_unit_test(refuses_intents_that_name_nobody),
        cmocka_unit_test(a_hold_that_cannot_be_read_has_no_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
