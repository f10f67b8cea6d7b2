#include "agent/core/outcome_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/memory.h"

static struct command_id id_of(unsigned number)
{
    struct command_id id = {{0}};
    memcpy(id.bytes, &number, sizeof number);
    id.bytes[15] = 0xA5;
    return id;
}

static struct outcome outcome_of(unsigned number, enum answer_code code)
{
    struct outcome outcome = {.id = id_of(number),
                              .op = OP_RESTART,
                              .code = code,
                              .epoch = 3,
                              .unstored_attempt = number,
                              .at = {1700000000000},
                              .took_ms = 231,
                              .stop_timeout_ms = 10000};
    snprintf(outcome.container, sizeof outcome.container, "shard-%u", number);
    memset(outcome.container_id, 'c', 64);
    snprintf(outcome.before, sizeof outcome.before, "2026-01-23T19:05:30.%09uZ", number);
    if (code != ANSWER_ACCEPTED) {
        snprintf(outcome.started_at, sizeof outcome.started_at, "2026-01-23T19:06:30.%09uZ", number);
        snprintf(outcome.detail, sizeof outcome.detail, "detail %u", number);
    }
    return outcome;
}

static void assert_same(const struct outcome *left, const struct outcome *right)
{
    assert_memory_equal(&left->id, &right->id, sizeof left->id);
    assert_int_equal(left->op, right->op);
    assert_int_equal(left->code, right->code);
    assert_int_equal(left->epoch, right->epoch);
    assert_int_equal(left->unstored_attempt, right->unstored_attempt);
    assert_int_equal(left->at.ms, right->at.ms);
    assert_int_equal(left->took_ms, right->took_ms);
    assert_int_equal(left->stop_timeout_ms, right->stop_timeout_ms);
    assert_string_equal(left->container, right->container);
    assert_string_equal(left->container_id, right->container_id);
    assert_string_equal(left->before, right->before);
    assert_string_equal(left->started_at, right->started_at);
    assert_string_equal(left->detail, right->detail);
}

/* A growing file. */
struct image {
    uint8_t bytes[64 * 1024];
    size_t len;
};

static void write_outcome(struct outcome_log *log, struct image *image, const struct outcome *outcome)
{
    uint8_t record[OUTCOME_RECORD_MAX];
    size_t len = outcome_log_put(log, outcome, record);
    assert_true(image->len + len <= sizeof image->bytes);
    memcpy(image->bytes + image->len, record, len);
    image->len += len;
}

static void remembers_and_reads_back(void **state)
{
    (void)state;
    static struct image image;
    image.len = 0;
    struct outcome_log *log = outcome_log_new(16);
    struct outcome intent = outcome_of(1, ANSWER_ACCEPTED);
    struct outcome end = outcome_of(1, ANSWER_OK);
    struct outcome open = outcome_of(2, ANSWER_ACCEPTED);
    write_outcome(log, &image, &intent);
    write_outcome(log, &image, &end);
    write_outcome(log, &image, &open);

    struct outcome_log *again = outcome_log_new(16);
    assert_int_equal(outcome_log_load(again, image.bytes, image.len), 0);
    struct outcome found;
    struct command_id id = id_of(1);
    assert_true(outcome_log_find(again, &id, &found));
    assert_same(&found, &end);
    id = id_of(2);
    assert_true(outcome_log_find(again, &id, &found));
    assert_same(&found, &open);
    id = id_of(3);
    assert_false(outcome_log_find(again, &id, &found));
    assert_int_equal(outcome_log_count(again), 2);
    assert_int_equal(outcome_log_epoch(again), 3);
    outcome_log_free(log);
    outcome_log_free(again);
}

static void keeps_the_longest_texts(void **state)
{
    (void)state;
    struct outcome outcome = outcome_of(1, ANSWER_ALREADY_RESTARTED);
    memset(outcome.container, 'n', sizeof outcome.container - 1);
    memset(outcome.container_id, 'i', sizeof outcome.container_id - 1);
    memset(outcome.before, 'b', sizeof outcome.before - 1);
    memset(outcome.started_at, 's', sizeof outcome.started_at - 1);
    memset(outcome.detail, 'd', sizeof outcome.detail - 1);
    outcome.took_ms = INT64_MAX;
    outcome.epoch = UINT64_MAX;
    outcome.at.ms = INT64_MIN;
    struct outcome_log *log = outcome_log_new(1);
    uint8_t record[OUTCOME_RECORD_MAX];
    outcome_log_put(log, &outcome, record);
    struct outcome found;
    assert_true(outcome_log_find(log, &outcome.id, &found));
    assert_same(&found, &outcome);
    outcome_log_free(log);
}

static void an_end_is_never_taken_back(void **state)
{
    (void)state;
    struct outcome_log *log = outcome_log_new(4);
    uint8_t record[OUTCOME_RECORD_MAX];
    struct outcome end = outcome_of(1, ANSWER_OK);
    struct outcome intent = outcome_of(1, ANSWER_ACCEPTED);
    outcome_log_put(log, &end, record);
    outcome_log_put(log, &intent, record);
    struct outcome found;
    assert_true(outcome_log_find(log, &end.id, &found));
    assert_int_equal(found.code, ANSWER_OK);
    outcome_log_free(log);
}

static void forgets_the_oldest_but_no_open_intent(void **state)
{
    (void)state;
    struct outcome_log *log = outcome_log_new(3);
    uint8_t record[OUTCOME_RECORD_MAX];
    struct outcome open = outcome_of(0, ANSWER_ACCEPTED);
    outcome_log_put(log, &open, record);
    for (unsigned i = 1; i <= 5; i++) {
        struct outcome end = outcome_of(i, ANSWER_OK);
        outcome_log_put(log, &end, record);
    }
    static const bool EXPECTED[] = {true, false, false, false, true, true};
    for (unsigned i = 0; i <= 5; i++) {
        struct outcome found;
        struct command_id id = id_of(i);
        assert_int_equal(outcome_log_find(log, &id, &found), EXPECTED[i]);
    }
    assert_int_equal(outcome_log_count(log), 3);
    outcome_log_free(log);
}

static void epoch_only_grows_and_survives(void **state)
{
    (void)state;
    struct outcome_log *log = outcome_log_new(4);
    uint8_t record[OUTCOME_RECORD_MAX];
    size_t len = outcome_log_raise_epoch(log, 7, record);
    assert_true(len > 0);
    struct outcome_log *again = outcome_log_new(4);
    assert_int_equal(outcome_log_load(again, record, len), 0);
    assert_int_equal(outcome_log_epoch(again), 7);
    assert_int_equal(outcome_log_raise_epoch(log, 7, record), 0);
    assert_int_equal(outcome_log_raise_epoch(log, 6, record), 0);
    assert_int_equal(outcome_log_epoch(log), 7);
    struct outcome late = outcome_of(1, ANSWER_STALE_EPOCH);
    outcome_log_put(log, &late, record);
    assert_int_equal(outcome_log_epoch(log), 7);
    outcome_log_free(log);
    outcome_log_free(again);
}

/* The agent may die, or the disk be full, at any byte: exactly the records that are whole are remembered. */
static void survives_a_cut_at_every_byte(void **state)
{
    (void)state;
    static struct image image;
    image.len = 0;
    size_t ends[8];
    struct outcome_log *log = outcome_log_new(16);
    for (unsigned i = 0; i < 8; i++) {
        struct outcome outcome = outcome_of(i / 2, i % 2 == 0 ? ANSWER_ACCEPTED : ANSWER_OK);
        write_outcome(log, &image, &outcome);
        ends[i] = image.len;
    }
    outcome_log_free(log);
    for (size_t cut = 0; cut <= image.len; cut++) {
        size_t whole = 0;
        while (whole < 8 && ends[whole] <= cut) {
            whole++;
        }
        struct outcome_log *again = outcome_log_new(16);
        size_t strange = outcome_log_load(again, image.bytes, cut);
        assert_int_equal(strange, cut - (whole == 0 ? 0 : ends[whole - 1]));
        for (unsigned i = 0; i < 4; i++) {
            struct command_id id = id_of(i);
            struct outcome found;
            assert_int_equal(outcome_log_find(again, &id, &found), whole > (size_t)2 * i);
            if (whole > (size_t)2 * i) {
                assert_int_equal(found.code, whole > (size_t)2 * i + 1 ? ANSWER_OK : ANSWER_ACCEPTED);
            }
        }
        outcome_log_free(again);
    }
}

/* One flipped bit loses its own record and no other; nothing is made up. */
static void survives_a_flipped_bit(void **state)
{
    (void)state;
    static struct image image;
    image.len = 0;
    size_t ends[5];
    struct outcome_log *log = outcome_log_new(16);
    for (unsigned i = 0; i < 5; i++) {
        struct outcome outcome = outcome_of(i, ANSWER_OK);
        write_outcome(log, &image, &outcome);
        ends[i] = image.len;
    }
    outcome_log_free(log);
    for (size_t bit = 0; bit < image.len * 8; bit++) {
        image.bytes[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        struct outcome_log *again = outcome_log_new(16);
        assert_true(outcome_log_load(again, image.bytes, image.len) > 0);
        assert_int_equal(outcome_log_count(again), 4);
        for (unsigned i = 0; i < 5; i++) {
            struct command_id id = id_of(i);
            struct outcome found;
            bool is_hit = bit / 8 < ends[i] && (i == 0 || bit / 8 >= ends[i - 1]);
            assert_int_equal(outcome_log_find(again, &id, &found), !is_hit);
        }
        outcome_log_free(again);
        image.bytes[bit / 8] ^= (uint8_t)(1U << (bit % 8));
    }
}

static void count_open(void *arg, const struct outcome *outcome)
{
    assert_int_equal(outcome->code, ANSWER_ACCEPTED);
    ++*(size_t *)arg;
}

/* Any sequence of records: what is read back from the file, and from the compact image, is what is
 * remembered. */
static void file_and_image_equal_the_memory(void **state)
{
    (void)state;
    srand(7);
    for (int round = 0; round < 200; round++) {
        static struct image image;
        image.len = 0;
        struct outcome_log *log = outcome_log_new(6);
        for (int step = 0; step < 40; step++) {
            unsigned number = (unsigned)rand() % 20;
            struct outcome outcome =
                outcome_of(number, number < 4 && rand() % 3 == 0 ? ANSWER_ACCEPTED : ANSWER_OK);
            write_outcome(log, &image, &outcome);
        }
        struct outcome_log *from_file = outcome_log_new(6);
        struct outcome_log *from_image = outcome_log_new(6);
        size_t len;
        cleanup_free uint8_t *compact = outcome_log_image(log, &len);
        assert_true(len <= image.len + OUTCOME_RECORD_MAX);
        assert_int_equal(len, outcome_log_image_bytes(log));
        assert_int_equal(outcome_log_load(from_file, image.bytes, image.len), 0);
        assert_int_equal(outcome_log_load(from_image, compact, len), 0);
        for (unsigned number = 0; number < 20; number++) {
            struct command_id id = id_of(number);
            struct outcome found[3];
            bool is_found = outcome_log_find(log, &id, &found[0]);
            assert_int_equal(outcome_log_find(from_file, &id, &found[1]), is_found);
            assert_int_equal(outcome_log_find(from_image, &id, &found[2]), is_found);
            if (is_found) {
                assert_same(&found[0], &found[1]);
                assert_same(&found[0], &found[2]);
            }
        }
        size_t open = 0, open_again = 0;
        outcome_log_each_open(log, count_open, &open);
        outcome_log_each_open(from_image, count_open, &open_again);
        assert_int_equal(open, open_again);
        outcome_log_free(log);
        outcome_log_free(from_file);
        outcome_log_free(from_image);
    }
}

static void noise_is_never_a_record(void **state)
{
    (void)state;
    srand(11);
    for (int round = 0; round < 2000; round++) {
        uint8_t noise[300];
        size_t len = (size_t)rand() % sizeof noise;
        for (size_t i = 0; i < len; i++) {
            noise[i] = rand() % 4 == 0 ? 'D' : rand() % 3 == 0 ? 0xF1 : (uint8_t)rand();
        }
        struct outcome_log *log = outcome_log_new(4);
        assert_int_equal(outcome_log_load(log, noise, len), len);
        assert_int_equal(outcome_log_count(log), 0);
        outcome_log_free(log);
    }
}

/* A bit-exact record that says what none of ours does: of another kind, or shorter than its fields. */
static size_t seal(uint8_t *record, uint8_t kind, size_t body)
{
    record[0] = 'D';
    record[1] = 0xF1;
    record[2] = kind;
    record[3] = (uint8_t)body;
    record[4] = (uint8_t)(body >> 8);
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < 5 + body; i++) {
        crc ^= record[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (0xedb88320 & -(crc & 1));
        }
    }
    for (size_t i = 0; i < 4; i++) {
        record[5 + body + i] = (uint8_t)(~crc >> 8 * i);
    }
    return 5 + body + 4;
}

/* Before records told of unstored attempts. */
static void what_an_older_version_wrote_is_read(void **state)
{
    (void)state;
    static const uint8_t record[] = {
        0x44, 0xf1, 0x01, 0x50, 0x00, 0x01, 0x02, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x68, 0xe5, 0xcf, 0x8b, 0x01, 0x00, 0x00, 0xe7, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x10, 0x27, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x07, 0x00, 0x72, 0x65, 0x73, 0x74, 0x61,
        0x72, 0x74, 0x02, 0x00, 0x6f, 0x6b, 0x03, 0x00, 0x77, 0x65, 0x62, 0x02, 0x00, 0x63, 0x63,
        0x02, 0x00, 0x54, 0x31, 0x02, 0x00, 0x54, 0x32, 0x00, 0x00, 0x7a, 0xa6, 0xcc, 0xec,
    };
    struct outcome_log *log = outcome_log_new(4);
    assert_int_equal(outcome_log_load(log, record, sizeof record), 0);
    struct command_id id = {{1, 2, 3}};
    struct outcome found;
    assert_true(outcome_log_find(log, &id, &found));
    assert_string_equal(found.started_at, "T2");
    assert_int_equal(found.unstored_attempt, 0);
    outcome_log_free(log);
}

static void what_a_later_version_wrote_is_passed_over(void **state)
{
    (void)state;
    struct outcome good = outcome_of(1, ANSWER_OK);
    uint8_t whole[OUTCOME_RECORD_MAX], file[3 * OUTCOME_RECORD_MAX];
    struct outcome_log *log = outcome_log_new(4);
    size_t whole_len = outcome_log_put(log, &good, whole);
    outcome_log_free(log);
    static const struct {
        uint8_t kind;
        size_t body;
    } CASES[] = {{3, 20}, {1, 15}, {1, 30}, {1, 60}, {2, 7}, {2, 0}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        memcpy(file, whole, whole_len);
        memset(file, 0xff, CASES[i].body + 9);
        memcpy(file + 5, whole + 5, CASES[i].body); /* as a good one begins */
        size_t strange = seal(file, CASES[i].kind, CASES[i].body);
        memcpy(file + strange, whole, whole_len);
        log = outcome_log_new(4);
        assert_int_equal(strange, outcome_log_load(log, file, strange + whole_len));
        assert_int_equal(1, outcome_log_count(log));
        struct outcome found;
        assert_true(outcome_log_find(log, &good.id, &found));
        assert_same(&good, &found);
        assert_int_equal(3, outcome_log_epoch(log));
        outcome_log_free(log);
    }
    /* a text that claims more than there is room for, or than there is */
    for (uint8_t claim = 0; claim < 2; claim++) {
        memcpy(file, whole, whole_len);
        size_t op_at = 5 + 16 + 4 * 8;
        file[op_at] = claim == 0 ? 60 : 0;
        file[op_at + 1] = claim == 0 ? 0 : 9;
        size_t strange = seal(file, 1, whole_len - 9);
        log = outcome_log_new(4);
        assert_int_equal(strange, outcome_log_load(log, file, strange));
        assert_int_equal(0, outcome_log_count(log));
        outcome_log_free(log);
    }
}

static void a_record_longer_than_any_of_ours_is_none(void **state)
{
    (void)state;
    static uint8_t file[2 * OUTCOME_RECORD_MAX];
    size_t len = seal(file, 2, OUTCOME_RECORD_MAX);
    struct outcome_log *log = outcome_log_new(4);
    assert_int_equal(len, outcome_log_load(log, file, len));
    assert_int_equal(0, outcome_log_epoch(log));
    outcome_log_free(log);
}

static void all_open_intents_are_kept_past_the_bound(void **state)
{
    (void)state;
    struct outcome_log *log = outcome_log_new(2);
    uint8_t record[OUTCOME_RECORD_MAX];
    for (unsigned i = 0; i < 4; i++) {
        struct outcome open = outcome_of(i, ANSWER_ACCEPTED);
        outcome_log_put(log, &open, record);
    }
    assert_int_equal(4, outcome_log_count(log));
    size_t open = 0;
    outcome_log_each_open(log, count_open, &open);
    assert_int_equal(4, open);
    outcome_log_free(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(remembers_and_reads_back),
        cmocka_unit_test(keeps_the_longest_texts),
        cmocka_unit_test(an_end_is_never_taken_back),
        cmocka_unit_test(forgets_the_oldest_but_no_open_intent),
        cmocka_unit_test(epoch_only_grows_and_survives),
        cmocka_unit_test(survives_a_cut_at_every_byte),
        cmocka_unit_test(survives_a_flipped_bit),
        cmocka_unit_test(file_and_image_equal_the_memory),
        cmocka_unit_test(noise_is_never_a_record),
        cmocka_unit_test(what_an_older_version_wrote_is_read),
        cmocka_unit_test(what_a_later_version_wrote_is_passed_over),
        cmocka_unit_test(a_record_longer_than_any_of_ours_is_none),
        cmocka_unit_test(all_open_intents_are_kept_past_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
