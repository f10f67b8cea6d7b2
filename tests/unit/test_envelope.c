#include "proto/envelope.h"

#include <errno.h>

#include "tests/unit/vectors.h"

static struct key_ring ring; /* "new" and "old", from keys.txt */

static int read_ring(void **state)
{
    (void)state;
    struct vector vector;
    vector_read("envelope", "keys.txt", &vector);
    int status = key_ring_parse((const char *)vector.bytes, vector.len, &ring, NULL);
    free(vector.bytes);
    return status;
}

static int open_request(const uint8_t *bytes, size_t len)
{
    const uint8_t *body = NULL;
    size_t body_len = 0;
    struct err err = {0};
    int status = envelope_open(&ring, ENVELOPE_REQUEST, "host-1", bytes, len, &body, &body_len, &err);
    if (status != 0) {
        assert_int_equal(err.code, -status);
        assert_null(body);
        return status;
    }
    assert_true(body >= bytes && body + body_len <= bytes + len);
    return 0;
}

static void vectors_hold(void **state)
{
    (void)state;
    vectors_check("envelope", open_request);
    vectors_truncate("envelope", open_request);
}

/* The MACs of the vectors were made by another program after WIRE.md. */
static void seals_the_golden_frame(void **state)
{
    (void)state;
    struct vector body;
    vector_read("command", "good_restart.msgpack", &body);
    size_t len = 0;
    cleanup_free uint8_t *frame =
        envelope_seal(&ring, ENVELOPE_REQUEST, "host-1", body.bytes, body.len, &len);
    struct vector wanted;
    vector_read("envelope", "good_new_key.msgpack", &wanted);
    assert_int_equal(len, wanted.len);
    assert_memory_equal(frame, wanted.bytes, len);
    free(body.bytes);
    free(wanted.bytes);
}

static void expect_refusal(const char *name, int wanted)
{
    struct vector vector;
    vector_read("envelope", name, &vector);
    int status = open_request(vector.bytes, vector.len);
    free(vector.bytes);
    if (status != wanted) {
        fail_msg("%s: %d, wanted %d", name, status, wanted);
    }
}

static void refuses_for_the_right_reason(void **state)
{
    (void)state;
    expect_refusal("hostile_body_changed.msgpack", -EACCES);
    expect_refusal("hostile_mac_changed.msgpack", -EACCES);
    expect_refusal("hostile_short_mac.msgpack", -EACCES);
    expect_refusal("hostile_no_mac.msgpack", -EACCES);
    expect_refusal("hostile_unsigned.msgpack", -EACCES);
    expect_refusal("hostile_no_key_id.msgpack", -EACCES);
    expect_refusal("hostile_answer.msgpack", -EACCES);
    expect_refusal("hostile_turned_round.msgpack", -EACCES);
    expect_refusal("hostile_direction_257.msgpack", -EACCES);
    expect_refusal("hostile_other_host.msgpack", -EACCES);
    expect_refusal("hostile_unknown_key.msgpack", -EACCES);
    expect_refusal("hostile_key_swapped.msgpack", -EACCES);
    expect_refusal("hostile_version_2.msgpack", -EPROTONOSUPPORT);
    expect_refusal("hostile_claims.msgpack", -EINVAL);
    expect_refusal("hostile_four.msgpack", -EINVAL);
}

/* Every single bit of a signed frame counts: none may be flipped unnoticed. */
static void every_bit_is_guarded(void **state)
{
    (void)state;
    struct vector vector;
    vector_read("envelope", "good_new_key.msgpack", &vector);
    for (size_t bit = 0; bit < 8 * vector.len; bit++) {
        vector.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (open_request(vector.bytes, vector.len) == 0) {
            fail_msg("bit %zu of byte %zu", bit % 8, bit / 8);
        }
        vector.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(open_request(vector.bytes, vector.len), 0);
    free(vector.bytes);
}

/* What opens after a mutation is a body that one of the keys signed. */
static int open_genuine(const uint8_t *bytes, size_t len)
{
    const uint8_t *body = NULL;
    size_t body_len = 0;
    int status = envelope_open(&ring, ENVELOPE_REQUEST, "host-1", bytes, len, &body, &body_len, NULL);
    if (status == 0 && body_len > 0) {
        struct vector genuine;
        vector_read("command", "good_restart.msgpack", &genuine);
        assert_int_equal(body_len, genuine.len);
        assert_memory_equal(body, genuine.bytes, body_len);
        free(genuine.bytes);
    }
    return status;
}

static void mutations_forge_nothing(void **state)
{
    (void)state;
    vectors_mutate("envelope", open_genuine, 100000);
}

static int open_with(const struct key_ring *opener, const uint8_t *frame, size_t len)
{
    const uint8_t *body;
    size_t body_len;
    return envelope_open(opener, ENVELOPE_ANSWER, "h", frame, len, &body, &body_len, NULL);
}

static void unsigned_only_where_nobody_has_keys(void **state)
{
    (void)state;
    static const struct key_ring none;
    size_t plain_len = 0;
    cleanup_free uint8_t *plain =
        envelope_seal(&none, ENVELOPE_ANSWER, "h", (const uint8_t *)"x", 1, &plain_len);
    size_t signed_len = 0;
    cleanup_free uint8_t *sealed =
        envelope_seal(&ring, ENVELOPE_ANSWER, "h", (const uint8_t *)"x", 1, &signed_len);
    assert_int_equal(open_with(&none, plain, plain_len), 0);
    assert_int_equal(open_with(NULL, plain, plain_len), 0);
    assert_int_equal(open_with(&ring, sealed, signed_len), 0);
    assert_int_equal(open_with(&ring, plain, plain_len), -EACCES);
    assert_int_equal(open_with(&none, sealed, signed_len), -EACCES);
}

static void large_bodies_pass(void **state)
{
    (void)state;
    size_t size = 3 * 1024 * 1024;
    cleanup_free uint8_t *body = memory_alloc(size);
    size_t len = 0;
    cleanup_free uint8_t *frame = envelope_seal(&ring, ENVELOPE_ANSWER, "h", body, size, &len);
    assert_int_equal(open_with(&ring, frame, len), 0);
    frame[len / 2] ^= 1;
    assert_int_equal(open_with(&ring, frame, len), -EACCES);
}

/* ---- keys ---- */

#define SECRET "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"

static void reads_key_files(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int status;
        const char *told;
    } cases[] = {
        {"a:" SECRET, 0, ""},
        {"# x\n\n  a:" SECRET " \r\nb.2_-:" SECRET "\n", 0, ""},
        {"", -EINVAL, "no key"},
        {"# only this\n", -EINVAL, "no key"},
        {"a:" SECRET "\na:" SECRET, -EINVAL, "line 2: an id that stood before"},
        {"a:" SECRET "0", -EINVAL, "line 1: the secret"},
        {"a:0011", -EINVAL, "line 1: the secret"},
        {"a:g0112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", -EINVAL, "line 1: the secret"},
        {":" SECRET, -EINVAL, "line 1: wanted id"},
        {"a b:" SECRET, -EINVAL, "line 1: wanted id"},
        {SECRET, -EINVAL, "line 1: wanted id"},
        {"x23456789012345678901234567890123:" SECRET, -EINVAL, "line 1: wanted id"},
        {"\n\n1:" SECRET "\n2:" SECRET "\n3:" SECRET "\n4:" SECRET "\n5:" SECRET "\n6:" SECRET "\n7:" SECRET
         "\n8:" SECRET "\n9:" SECRET,
         -EINVAL, "line 11: more than 8"},
    };
    for (size_t each = 0; each < sizeof cases / sizeof cases[0]; each++) {
        struct key_ring parsed;
        struct err err = {0};
        int status = key_ring_parse(cases[each].text, strlen(cases[each].text), &parsed, &err);
        if (status != cases[each].status || strstr(err.text, cases[each].told) == NULL) {
            fail_msg("case %zu: %d %s", each, status, err.text);
        }
        /* Not a part of the secret may reach a log. */
        assert_null(strstr(err.text, "00112233"));
        assert_null(strstr(err.text, "0011"));
        if (status == 0) {
            assert_int_equal(parsed.keys[0].secret[1], 0x11);
            assert_int_equal(parsed.keys[0].secret[31], 0xff);
        } else {
            assert_int_equal(parsed.count, 0);
            assert_int_equal(parsed.keys[0].secret[1], 0);
        }
    }
}

static void wipes(void **state)
{
    (void)state;
    struct key_ring copy = ring;
    static const struct key_ring zero;
    key_ring_wipe(&copy);
    assert_memory_equal(&copy, &zero, sizeof copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_hold),
        cmocka_unit_test(seals_the_golden_frame),
        cmocka_unit_test(refuses_for_the_right_reason),
        cmocka_unit_test(every_bit_is_guarded),
        cmocka_unit_test(mutations_forge_nothing),
        cmocka_unit_test(unsigned_only_where_nobody_has_keys),
        cmocka_unit_test(large_bodies_pass),
        cmocka_unit_test(reads_key_files),
        cmocka_unit_test(wipes),
    };
    return cmocka_run_group_tests(tests, read_ring, NULL);
}
