#include "proto/command.h"

#include <errno.h>

#include "tests/unit/vectors.h"

static int decode_command(const uint8_t *bytes, size_t len)
{
    struct command command;
    memset(&command, 0x5a, sizeof command);
    struct command untouched = command;
    struct err err = {0};
    int status = command_decode(bytes, len, &command, &err);
    if (status != 0) {
        assert_int_equal(err.code, -status);
        assert_memory_equal(&command, &untouched, sizeof command);
        return status;
    }
    size_t first_len = 0;
    cleanup_free uint8_t *first = command_encode(&command, &first_len);
    struct command again;
    assert_int_equal(command_decode(first, first_len, &again, &err), 0);
    size_t second_len = 0;
    cleanup_free uint8_t *second = command_encode(&again, &second_len);
    assert_int_equal(first_len, second_len);
    assert_memory_equal(first, second, first_len);
    return 0;
}

static int decode_answer(const uint8_t *bytes, size_t len)
{
    struct answer answer;
    struct err err = {0};
    int status = answer_decode(bytes, len, &answer, &err);
    if (status != 0) {
        assert_int_equal(err.code, -status);
        return status;
    }
    size_t first_len = 0;
    cleanup_free uint8_t *first = answer_encode(&answer, &first_len);
    struct answer again;
    assert_int_equal(answer_decode(first, first_len, &again, &err), 0);
    size_t second_len = 0;
    cleanup_free uint8_t *second = answer_encode(&again, &second_len);
    assert_int_equal(first_len, second_len);
    assert_memory_equal(first, second, first_len);
    answer_fini(&again);
    answer_fini(&answer);
    return 0;
}

static void command_vectors_hold(void **state)
{
    (void)state;
    vectors_check("command", decode_command);
    vectors_truncate("command", decode_command);
}

static void answer_vectors_hold(void **state)
{
    (void)state;
    vectors_check("answer", decode_answer);
    vectors_truncate("answer", decode_answer);
}

static void mutations_do_no_harm(void **state)
{
    (void)state;
    vectors_mutate("command", decode_command, 100000);
    vectors_mutate("answer", decode_answer, 100000);
}

/* What another program wrote after WIRE.md, we write byte for byte. */
static void encodes_the_golden_restart(void **state)
{
    (void)state;
    struct vector vector;
    vector_read("command", "good_restart.msgpack", &vector);
    struct command command = {.op = OP_RESTART,
                              .epoch = 3,
                              .host = "host-1",
                              .container = "arbees-game-shard-1",
                              .container_id =
                                  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                              .expect_started_at = "2026-01-23T19:00:00.123456789Z",
                              .attempt = 1,
                              .max_attempts = 3,
                              .reason = "missing_heartbeat",
                              .stop_timeout_ms = 10000,
                              .ttl_ms = 30000,
                              .sent_at_ms = 1769194800123};
    for (uint8_t each = 0; each < LIMIT_COMMAND_ID_BYTES; each++) {
        command.id.bytes[each] = each;
    }
    size_t len = 0;
    cleanup_free uint8_t *bytes = command_encode(&command, &len);
    assert_int_equal(len, vector.len);
    assert_memory_equal(bytes, vector.bytes, len);
    free(vector.bytes);
}

static void expect_refusal(const char *name, int wanted, const char *told)
{
    struct vector vector;
    vector_read("command", name, &vector);
    struct command command;
    struct err err = {0};
    assert_int_equal(command_decode(vector.bytes, vector.len, &command, &err), wanted);
    if (strstr(err.text, told) == NULL) {
        fail_msg("%s: %s", name, err.text);
    }
    free(vector.bytes);
}

static void refusals_say_why(void **state)
{
    (void)state;
    expect_refusal("hostile_version_2.msgpack", -EPROTONOSUPPORT, "version 2");
    expect_refusal("hostile_version_2_last.msgpack", -EPROTONOSUPPORT, "version 2");
    expect_refusal("hostile_no_container_id.msgpack", -EINVAL, "container_id is missing");
    expect_refusal("hostile_no_started_at.msgpack", -EINVAL, "expect_started_at is missing");
    expect_refusal("hostile_id_15.msgpack", -EINVAL, "id is not 16 bytes of binary");
    expect_refusal("hostile_attempt_negative.msgpack", -EINVAL, "attempt is not");
    expect_refusal("hostile_twice.msgpack", -EINVAL, "epoch is there twice");
    expect_refusal("hostile_claims_map.msgpack", -EINVAL, "too many elements");
    expect_refusal("hostile_deep.msgpack", -EINVAL, "too deeply nested");
    expect_refusal("hostile_many_values.msgpack", -EINVAL, "too many");
    expect_refusal("hostile_trailing.msgpack", -EINVAL, "bytes follow");
    expect_refusal("hostile_too_long.msgpack", -EMSGSIZE, "bytes, at most");
}

static void reads_every_width(void **state)
{
    (void)state;
    struct vector vector;
    vector_read("command", "good_wide_integers.msgpack", &vector);
    struct command command;
    assert_int_equal(command_decode(vector.bytes, vector.len, &command, NULL), 0);
    assert_int_equal(command.attempt, 1);
    assert_int_equal(command.max_attempts, 3);
    assert_int_equal(command.ttl_ms, 30000);
    assert_int_equal(command.stop_timeout_ms, 10000);
    free(vector.bytes);
    vector_read("command", "good_unknown_op.msgpack", &vector);
    assert_int_equal(command_decode(vector.bytes, vector.len, &command, NULL), 0);
    assert_int_equal(command.op, OP_UNKNOWN);
    free(vector.bytes);
}

static void ids_round_trip(void **state)
{
    (void)state;
    uint64_t seed = 3;
    for (int round = 0; round < 1000; round++) {
        struct command_id id;
        for (size_t each = 0; each < sizeof id.bytes; each++) {
            id.bytes[each] = (uint8_t)vector_below(&seed, 256);
        }
        char hex[LIMIT_COMMAND_ID_SIZE];
        command_id_format(&id, hex);
        struct command_id again;
        assert_int_equal(command_id_parse(hex, &again), 0);
        assert_memory_equal(&id, &again, sizeof id);
        hex[vector_below(&seed, 32)] = 'g';
        assert_int_equal(command_id_parse(hex, &again), -EINVAL);
    }
    struct command_id id;
    assert_int_equal(command_id_parse("", &id), -EINVAL);
    assert_int_equal(command_id_parse("00112233445566778899aabbccddeef", &id), -EINVAL);
    assert_int_equal(command_id_parse("00112233445566778899aabbccddeeff0", &id), -EINVAL);
    assert_int_equal(command_id_parse("00112233445566778899AABBCCDDEEFF", &id), 0);
    assert_int_equal(id.bytes[15], 0xff);
}

static void random_id(uint64_t *seed, struct command_id *out)
{
    for (size_t each = 0; each < sizeof out->bytes; each++) {
        out->bytes[each] = (uint8_t)vector_below(seed, 256);
    }
}

static void random_commands_round_trip(void **state)
{
    (void)state;
    uint64_t seed = 19;
    for (int round = 0; round < 5000; round++) {
        struct command command = {.op = (enum command_op)vector_below(&seed, COMMAND_OP_N)};
        random_id(&seed, &command.id);
        command.epoch = vector_random(&seed);
        vector_random_text(&seed, command.host, sizeof command.host);
        vector_random_text(&seed, command.container, sizeof command.container);
        vector_random_text(&seed, command.container_id, sizeof command.container_id);
        vector_random_text(&seed, command.expect_started_at, sizeof command.expect_started_at);
        vector_random_text(&seed, command.reason, sizeof command.reason);
        command.attempt = (int64_t)(vector_random(&seed) >> 1);
        command.max_attempts = (int64_t)vector_below(&seed, 10);
        command.stop_timeout_ms = (int64_t)vector_below(&seed, 1000000000);
        command.ttl_ms = (int64_t)vector_below(&seed, 1000000);
        command.sent_at_ms = vector_random(&seed);
        command.if_change = vector_random(&seed);
        size_t len = 0;
        cleanup_free uint8_t *bytes = command_encode(&command, &len);
        struct command again;
        assert_int_equal(command_decode(bytes, len, &again, NULL), 0);
        assert_memory_equal(&command.id, &again.id, sizeof command.id);
        assert_int_equal(command.op, again.op);
        assert_true(command.epoch == again.epoch && command.sent_at_ms == again.sent_at_ms);
        assert_true(command.if_change == again.if_change && command.attempt == again.attempt);
        assert_string_equal(command.host, again.host);
        assert_string_equal(command.container, again.container);
        assert_string_equal(command.container_id, again.container_id);
        assert_string_equal(command.expect_started_at, again.expect_started_at);
        assert_string_equal(command.reason, again.reason);
        assert_int_equal(command.max_attempts, again.max_attempts);
        assert_int_equal(command.stop_timeout_ms, again.stop_timeout_ms);
        assert_int_equal(command.ttl_ms, again.ttl_ms);
    }
}

static void random_answers_round_trip(void **state)
{
    (void)state;
    uint64_t seed = 23;
    for (int round = 0; round < 2000; round++) {
        struct answer answer;
        answer_init(&answer);
        random_id(&seed, &answer.id);
        answer.code = (enum answer_code)vector_below(&seed, ANSWER_CODE_N);
        vector_random_text(&seed, answer.detail, sizeof answer.detail);
        vector_random_text(&seed, answer.container_id, sizeof answer.container_id);
        vector_random_text(&seed, answer.started_at, sizeof answer.started_at);
        vector_random_text(&seed, answer.host, sizeof answer.host);
        vector_random_text(&seed, answer.agent, sizeof answer.agent);
        answer.took_ms = (int64_t)(vector_random(&seed) >> 1);
        answer.epoch = vector_random(&seed);
        answer.change = vector_random(&seed);
        answer.redis = (enum redis_word)vector_below(&seed, 3);
        if (vector_below(&seed, 2) == 0) {
            answer.payload_len = vector_below(&seed, 70000);
            answer.payload = memory_alloc(answer.payload_len);
            memset(answer.payload, 'p', answer.payload_len);
        }
        size_t len = 0;
        cleanup_free uint8_t *bytes = answer_encode(&answer, &len);
        struct answer again;
        assert_int_equal(answer_decode(bytes, len, &again, NULL), 0);
        assert_memory_equal(&answer.id, &again.id, sizeof answer.id);
        assert_int_equal(answer.code, again.code);
        assert_string_equal(answer.detail, again.detail);
        assert_string_equal(answer.container_id, again.container_id);
        assert_string_equal(answer.started_at, again.started_at);
        assert_string_equal(answer.host, again.host);
        assert_string_equal(answer.agent, again.agent);
        assert_true(answer.took_ms == again.took_ms && answer.epoch == again.epoch);
        assert_true(answer.change == again.change);
        assert_int_equal(answer.payload == NULL, again.payload == NULL);
        assert_int_equal(answer.payload_len, again.payload_len);
        if (answer.payload != NULL) {
            assert_memory_equal(answer.payload, again.payload, answer.payload_len);
            assert_int_equal(again.payload[again.payload_len], 0);
        }
        answer_fini(&again);
        answer_fini(&answer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes_the_golden_restart), cmocka_unit_test(refusals_say_why),
        cmocka_unit_test(reads_every_width),          cmocka_unit_test(ids_round_trip),
        cmocka_unit_test(random_commands_round_trip), cmocka_unit_test(random_answers_round_trip),
        cmocka_unit_test(command_vectors_hold),       cmocka_unit_test(answer_vectors_hold),
        cmocka_unit_test(mutations_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
