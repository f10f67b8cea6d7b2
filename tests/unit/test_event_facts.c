/* What a record tells of how its container stood. */
#include "proto/event_facts.h"

#include "proto/json_reader.h"
#include "tests/unit/vectors.h"

enum { ROUNDS = 20000 };

static char *write_facts(const struct event_facts *facts)
{
    struct json_writer writer;
    json_writer_init(&writer, JSON_COMPACT, 64);
    json_writer_open(&writer, NULL, '{');
    event_facts_write(&writer, "facts", facts);
    json_writer_close(&writer, '}');
    return json_writer_take(&writer, NULL);
}

static bool read_facts(const char *text, struct event_facts *out)
{
    cleanup_json struct cJSON *tree = json_reader_parse_own(text, strlen(text));
    return event_facts_read(json_reader_member(tree, "facts"), out);
}

static int64_t random_ms(uint64_t *seed)
{
    return (int64_t)vector_below(seed, 1000000001) - 1;
}

static void random_facts_round_trip(void **state)
{
    (void)state;
    uint64_t seed = 21;
    for (int round = 0; round < ROUNDS; round++) {
        struct event_facts facts = {
            .state = "FAILED",
            .has_exit_code = vector_below(&seed, 2) == 1,
            .misses = (int64_t)vector_below(&seed, 3),
            .bad = (int64_t)vector_below(&seed, 3),
            .agent_heard_ms = random_ms(&seed),
            .service_heard_ms = random_ms(&seed),
            .broken_ms = random_ms(&seed),
            .next_ms = random_ms(&seed),
        };
        facts.exit_code = facts.has_exit_code ? (int)vector_below(&seed, 256) : 0;
        facts.miss_threshold = facts.misses > 0 ? 3 : 0;
        facts.unhealthy_threshold = facts.bad > 0 ? 4 : 0;
        vector_random_text(&seed, facts.cause, sizeof facts.cause);
        vector_random_text(&seed, facts.closed, sizeof facts.closed);
        vector_random_text(&seed, facts.docker, sizeof facts.docker);
        vector_random_text(&seed, facts.parent, sizeof facts.parent);
        struct event_facts again;
        cleanup_free char *text = write_facts(&facts);
        assert_true(read_facts(text, &again));
        assert_string_equal(again.state, facts.state);
        assert_string_equal(again.cause, facts.cause);
        assert_string_equal(again.closed, facts.closed);
        assert_string_equal(again.docker, facts.docker);
        assert_string_equal(again.parent, facts.parent);
        assert_int_equal(again.has_exit_code, facts.has_exit_code);
        assert_int_equal(again.exit_code, facts.exit_code);
        assert_int_equal(again.misses, facts.misses);
        assert_int_equal(again.miss_threshold, facts.miss_threshold);
        assert_int_equal(again.bad, facts.bad);
        assert_int_equal(again.unhealthy_threshold, facts.unhealthy_threshold);
        assert_int_equal(again.agent_heard_ms, facts.agent_heard_ms);
        assert_int_equal(again.service_heard_ms, facts.service_heard_ms);
        assert_int_equal(again.broken_ms, facts.broken_ms);
        assert_int_equal(again.next_ms, facts.next_ms);
    }
}

/* Anybody can write to the stream, and older controllers wrote none. */
static void odd_facts_are_none(void **state)
{
    (void)state;
    static const char *const none[] = {"{}",
                                       "{\"facts\":null}",
                                       "{\"facts\":\"deny\"}",
                                       "{\"facts\":[]}",
                                       "{\"facts\":{}}",
                                       "{\"facts\":{\"state\":7}}"};
    struct event_facts facts;
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_false(read_facts(none[i], &facts));
    }
    assert_true(read_facts("{\"facts\":{\"state\":\"UP\",\"exit_code\":1e99,\"misses\":-1,"
                           "\"next_secs\":1e300,\"agent_heard_secs\":-5,\"closed\":17}}",
                           &facts));
    assert_string_equal(facts.closed, "");
    assert_false(facts.has_exit_code);
    assert_int_equal(facts.misses, 0);
    assert_int_equal(facts.next_ms, -1);
    assert_int_equal(facts.agent_heard_ms, -1);
    cleanup_free char *text = write_facts(&(struct event_facts){.misses = 1});
    assert_string_equal(text, "{}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_facts_round_trip),
        cmocka_unit_test(odd_facts_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
