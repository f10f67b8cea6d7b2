#include "proto/restart_state.h"

#include <errno.h>

#include <cjson/cJSON.h>

#include "tests/unit/vectors.h"

static int decode_checked(const uint8_t *bytes, size_t len)
{
    struct restart_state state;
    struct err err = {0};
    int status = restart_state_decode((const char *)bytes, len, &state, &err);
    if (status != 0) {
        assert_int_equal(err.code, -status);
        assert_null(state.extra);
        assert_int_equal(state.attempt_count, 0);
        return status;
    }
    assert_in_range(state.attempt_count, 0, 1000000);
    size_t first_len = 0;
    cleanup_free char *first = restart_state_encode(&state, &first_len);
    struct restart_state again;
    assert_int_equal(restart_state_decode(first, first_len, &again, &err), 0);
    cleanup_free char *second = restart_state_encode(&again, NULL);
    assert_string_equal(first, second);
    restart_state_fini(&again);
    restart_state_fini(&state);
    return 0;
}

static void vectors_hold(void **state)
{
    (void)state;
    vectors_check("restart_state", decode_checked);
    vectors_truncate("restart_state", decode_checked);
}

static void mutations_do_no_harm(void **state)
{
    (void)state;
    vectors_mutate("restart_state", decode_checked, 100000);
}

static void decode_text(const char *text, struct restart_state *out)
{
    struct err err = {0};
    if (restart_state_decode(text, strlen(text), out, &err) != 0) {
        fail_msg("%s: %s", text, err.text);
    }
}

static void assert_encodes(const struct restart_state *value, const char *wanted)
{
    size_t len = 0;
    cleanup_free char *text = restart_state_encode(value, &len);
    assert_string_equal(text, wanted);
    assert_int_equal(len, strlen(wanted));
}

static void keeps_documents_to_the_letter(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"attempt_count\": 2, \"last_attempt_at\": \"2026-01-23T19:10:00Z\", "
        "\"last_failure_reason\": \"missing_heartbeat\", \"cooldown_until\": null}",
        "{\"attempt_count\": 0, \"last_attempt_at\": null, \"last_failure_reason\": null, "
        "\"cooldown_until\": null, "
        "\"note\": {\"by\": [\"ops\", 9007199254740993, {}]}}",
        "{\"attempt_count\": 3, \"last_attempt_at\": \"2026-01-23T19:10:00Z\", \"last_failure_reason\": "
        "\"oom\", "
        "\"cooldown_until\": \"2026-01-23T19:20:00Z\", \"container_id\": \"abc\", \"host\": \"h\", "
        "\"command_id\": \"00112233445566778899aabbccddeeff\", \"command_op\": \"start\", "
        "\"incarnation\": \"2026-01-23T19:00:00.5Z\", \"in_flight\": true, \"exhausted_alerted\": true, "
        "\"recovery_due\": true, "
        "\"last_completed_at\": \"2026-01-23T19:10:05Z\", \"epoch\": 7}",
    };
    for (size_t each = 0; each < sizeof texts / sizeof texts[0]; each++) {
        struct restart_state value;
        decode_text(texts[each], &value);
        assert_encodes(&value, texts[each]);
        struct restart_state copy;
        restart_state_copy(&value, &copy);
        restart_state_fini(&value);
        assert_encodes(&copy, texts[each]);
        restart_state_fini(&copy);
    }
}

/* A deadline that is cut would let something happen early. */
static void rounds_deadlines_up(void **state)
{
    (void)state;
    struct restart_state value;
    restart_state_init(&value);
    value.attempt_count = 1;
    value.last_attempt_at.ms = 1769195400999;
    value.cooldown_until.ms = 1769196000001;
    value.last_completed_at.ms = 1769195405001;
    assert_encodes(&value, "{\"attempt_count\": 1, \"last_attempt_at\": \"2026-01-23T19:10:00Z\", "
                           "\"last_failure_reason\": null, \"cooldown_until\": \"2026-01-23T19:20:01Z\", "
                           "\"last_completed_at\": \"2026-01-23T19:10:06Z\"}");
}

static void errors_name_the_field(void **state)
{
    (void)state;
    struct restart_state value;
    struct err err = {0};
    const char *text = "{\"attempt_count\": \"two\"}";
    assert_int_equal(restart_state_decode(text, strlen(text), &value, &err), -EINVAL);
    assert_string_equal(err.text,
                        "restart state: attempt_count is \"two\", wanted a whole number from 0 to 1000000");
}

struct side {
    const char *id;
    int64_t count, last_attempt, cooldown, completed;
    const char *command;
    bool in_flight, alerted;
    uint64_t epoch;
};

static struct restart_state state_of(const struct side *side)
{
    struct restart_state value;
    restart_state_init(&value);
    strcpy(value.container_id, side->id);
    strcpy(value.command_id, side->command);
    value.attempt_count = side->count;
    value.last_attempt_at.ms = side->last_attempt;
    value.cooldown_until.ms = side->cooldown;
    value.last_completed_at.ms = side->completed;
    value.is_in_flight = side->in_flight;
    value.is_exhausted_alerted = side->alerted;
    value.epoch = side->epoch;
    return value;
}

static void assert_merged(const struct restart_state *merged, const struct side *wanted)
{
    assert_string_equal(merged->container_id, wanted->id);
    assert_string_equal(merged->command_id, wanted->command);
    assert_int_equal(merged->attempt_count, wanted->count);
    assert_int_equal(merged->last_attempt_at.ms, wanted->last_attempt);
    assert_int_equal(merged->cooldown_until.ms, wanted->cooldown);
    assert_int_equal(merged->last_completed_at.ms, wanted->completed);
    assert_int_equal(merged->is_in_flight, wanted->in_flight);
    assert_int_equal(merged->is_exhausted_alerted, wanted->alerted);
    assert_int_equal(merged->epoch, wanted->epoch);
}

/* Each case both ways round: who calls whom must not matter. */
static void merges(void **state)
{
    (void)state;
    static const struct {
        struct side left, right, wanted;
    } cases[] = {
        /* the higher count with its attempt, the later cooldown and completion */
        {{"a", 2, 100, 900, 50, "c2", true, false, 3},
         {"a", 1, 200, 0, 60, "c1", false, true, 5},
         {"a", 2, 100, 900, 60, "c2", true, true, 5}},
        /* one attempt known twice: the side that knows its outcome */
        {{"a", 2, 100, 0, 0, "c2", true, false, 3},
         {"a", 2, 100, 0, 150, "c2", false, false, 3},
         {"a", 2, 100, 0, 150, "c2", false, false, 3}},
        /* the same count by two commands: the later */
        {{"a", 2, 100, 0, 0, "c2", false, false, 3},
         {"a", 2, 300, 0, 0, "c9", true, false, 4},
         {"a", 2, 300, 0, 0, "c9", true, false, 4}},
        /* another container under the name: the later attempt, whole */
        {{"a", 3, 100, 900, 90, "c3", false, true, 3},
         {"b", 1, 300, 0, 0, "c9", true, false, 3},
         {"b", 1, 300, 0, 0, "c9", true, false, 3}},
        /* no id told: taken as the same container */
        {{"", 3, 100, 900, 90, "", false, false, 0},
         {"b", 1, 300, 0, 0, "c9", true, false, 3},
         {"", 3, 100, 900, 90, "", false, false, 3}},
    };
    for (size_t each = 0; each < sizeof cases / sizeof cases[0]; each++) {
        struct restart_state left = state_of(&cases[each].left);
        struct restart_state right = state_of(&cases[each].right);
        restart_state_merge(&left, &right);
        assert_merged(&left, &cases[each].wanted);
        left = state_of(&cases[each].left);
        restart_state_merge(&right, &left);
        assert_merged(&right, &cases[each].wanted);
    }
}

static void merge_keeps_unknown_fields(void **state)
{
    (void)state;
    struct restart_state left;
    struct restart_state right;
    decode_text("{\"attempt_count\":1,\"x\":1}", &left);
    decode_text("{\"attempt_count\":2,\"x\":2,\"y\":[3]}", &right);
    restart_state_merge(&left, &right);
    assert_encodes(&left, "{\"attempt_count\": 2, \"last_attempt_at\": null, \"last_failure_reason\": null, "
                          "\"cooldown_until\": null, \"x\": 1, \"y\": [3]}");
    restart_state_fini(&left);
    restart_state_fini(&right);
}

/* A form feed is two bytes here and six as we write it. */
static void never_writes_what_it_cannot_read(void **state)
{
    (void)state;
    static char text[LIMIT_RESTART_STATE_BYTES];
    size_t len = (size_t)sprintf(text, "{\"attempt_count\": 2, \"note\": \"kept\", \"big\": \"");
    while (len < sizeof text - 8) {
        text[len++] = '\\';
        text[len++] = 'f';
    }
    len += (size_t)sprintf(text + len, "\"}");
    struct restart_state value, again;
    assert_int_equal(restart_state_decode(text, len, &value, NULL), 0);
    size_t written = 0;
    cleanup_free char *copy = restart_state_encode(&value, &written);
    assert_int_equal(restart_state_decode(copy, written, &again, NULL), 0);
    assert_int_equal(again.attempt_count, 2);
    assert_non_null(strstr(copy, "\"note\": \"kept\""));
    restart_state_fini(&value);
    restart_state_fini(&again);
}

static void random_states_round_trip(void **state)
{
    (void)state;
    uint64_t seed = 7;
    for (int round = 0; round < 5000; round++) {
        struct restart_state value;
        restart_state_init(&value);
        value.attempt_count = (int64_t)vector_below(&seed, 1000001);
        value.last_attempt_at.ms = 1000 * (int64_t)vector_below(&seed, 4000000000);
        value.cooldown_until.ms = 1000 * (int64_t)vector_below(&seed, 4000000000);
        value.last_completed_at.ms = 1000 * (int64_t)vector_below(&seed, 4000000000);
        vector_random_text(&seed, value.last_failure_reason, sizeof value.last_failure_reason);
        vector_random_text(&seed, value.container_id, sizeof value.container_id);
        vector_random_text(&seed, value.host, sizeof value.host);
        vector_random_text(&seed, value.incarnation, sizeof value.incarnation);
        snprintf(value.command_id, sizeof value.command_id, "%016llx%016llx",
                 (unsigned long long)vector_random(&seed), (unsigned long long)vector_random(&seed));
        value.command_op = (enum command_op)vector_below(&seed, COMMAND_OP_N);
        value.is_in_flight = vector_below(&seed, 2) == 0;
        value.is_exhausted_alerted = vector_below(&seed, 2) == 0;
        value.is_recovery_due = vector_below(&seed, 2) == 0;
        value.epoch = vector_random(&seed) >> 12;
        value.has_clock_ahead = vector_below(&seed, 2) == 0;
        value.clock_ahead_ms =
            value.has_clock_ahead ? (int64_t)vector_below(&seed, 2000000000) - 1000000000 : 0;
        cleanup_free char *text = restart_state_encode(&value, NULL);
        struct restart_state again;
        decode_text(text, &again);
        assert_int_equal(again.attempt_count, value.attempt_count);
        assert_int_equal(again.last_attempt_at.ms, value.last_attempt_at.ms);
        assert_int_equal(again.cooldown_until.ms, value.cooldown_until.ms);
        assert_int_equal(again.last_completed_at.ms, value.last_completed_at.ms);
        assert_string_equal(again.last_failure_reason, value.last_failure_reason);
        assert_string_equal(again.container_id, value.container_id);
        assert_string_equal(again.host, value.host);
        assert_string_equal(again.incarnation, value.incarnation);
        assert_string_equal(again.command_id, value.command_id);
        assert_int_equal(again.command_op, value.command_op);
        assert_int_equal(again.is_in_flight, value.is_in_flight);
        assert_int_equal(again.is_exhausted_alerted, value.is_exhausted_alerted);
        assert_int_equal(again.is_recovery_due, value.is_recovery_due);
        assert_true(again.epoch == value.epoch);
        assert_int_equal(again.has_clock_ahead, value.has_clock_ahead);
        assert_int_equal(again.clock_ahead_ms, value.clock_ahead_ms);
        assert_null(again.extra);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_documents_to_the_letter), cmocka_unit_test(rounds_deadlines_up),
        cmocka_unit_test(errors_name_the_field),         cmocka_unit_test(merges),
        cmocka_unit_test(merge_keeps_unknown_fields),    cmocka_unit_test(never_writes_what_it_cannot_read),
        cmocka_unit_test(random_states_round_trip),      cmocka_unit_test(vectors_hold),
        cmocka_unit_test(mutations_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
