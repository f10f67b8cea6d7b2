#include "agent/command_desk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/memory.h"

#define CONTAINER_ID "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define INCARNATION  "2026-01-23T19:05:30.123456789Z"

/* The desk before a runner whose Docker never answers: what gets there has been asked to look. */
struct fixture {
    struct mono now;
    unsigned looks;
    uint64_t change;
    enum redis_word redis;
    struct command_runner *runner;
    struct command_desk *desk;
    struct key_ring keys;
};

static struct mono port_now(void *arg)
{
    return ((struct fixture *)arg)->now;
}

static struct wall port_wall(void *arg)
{
    (void)arg;
    return (struct wall){1};
}

static bool port_find(void *arg, const char *container, struct command_facts *out)
{
    (void)arg;
    *out = (struct command_facts){.container_id = CONTAINER_ID,
                                  .started_at = INCARNATION,
                                  .state = CONTAINER_RUNNING,
                                  .stop_class = STOP_NONE};
    return strcmp(container, "shard-1") == 0;
}

static bool port_is_listed(void *arg)
{
    (void)arg;
    return true;
}

static struct engine_call *port_inspect(void *arg, const char *container_id, engine_inspect_callback on_done,
                                        void *done_arg)
{
    (void)container_id, (void)on_done, (void)done_arg;
    ((struct fixture *)arg)->looks++;
    return NULL;
}

static void port_append(void *arg, const uint8_t *bytes, size_t len, enum outcome_file_safety safety,
                        outcome_file_callback on_done, void *done_arg)
{
    (void)arg, (void)bytes, (void)len, (void)safety, (void)done_arg;
    assert_null(on_done);
}

static uint64_t desk_change(void *arg)
{
    return ((struct fixture *)arg)->change;
}

static char *desk_inventory(void *arg, size_t *len)
{
    (void)arg;
    *len = strlen("{\"host\":\"h1\"}");
    return memory_copy_text("{\"host\":\"h1\"}");
}

static enum redis_word desk_redis(void *arg)
{
    return ((struct fixture *)arg)->redis;
}

static struct key_ring ring_of(const char *text)
{
    struct key_ring ring;
    assert_int_equal(key_ring_parse(text, strlen(text), &ring, NULL), 0);
    return ring;
}

#define KEY_1 "k1:1111111111111111111111111111111111111111111111111111111111111111\n"
#define KEY_2 "k2:2222222222222222222222222222222222222222222222222222222222222222\n"

static int setup(void **state)
{
    struct fixture *fixture = memory_alloc(sizeof *fixture);
    const struct command_ports ports = {.arg = fixture,
                                        .now = port_now,
                                        .wall = port_wall,
                                        .find = port_find,
                                        .is_listed = port_is_listed,
                                        .inspect = port_inspect,
                                        .append = port_append};
    fixture->runner = command_runner_new(&ports, "h1", NULL, 0);
    const struct command_desk_options options = {.runner = fixture->runner,
                                                 .host = "h1",
                                                 .agent = "0123456789abcdef0123456789abcdef",
                                                 .arg = fixture,
                                                 .now = port_now,
                                                 .change = desk_change,
                                                 .inventory = desk_inventory,
                                                 .redis = desk_redis};
    fixture->desk = command_desk_new(&options);
    fixture->keys = ring_of(KEY_1);
    fixture->change = 7;
    fixture->redis = REDIS_WORD_UP;
    command_desk_set_keys(fixture->desk, &fixture->keys);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    command_desk_free(fixture->desk);
    command_runner_free(fixture->runner);
    free(fixture);
    return 0;
}

static struct command command_for(unsigned id, enum command_op op)
{
    struct command command = {.op = op,
                              .epoch = 3,
                              .host = "h1",
                              .container = "shard-1",
                              .container_id = CONTAINER_ID,
                              .expect_started_at = INCARNATION,
                              .stop_timeout_ms = 1000,
                              .ttl_ms = 1000};
    memcpy(command.id.bytes, &id, sizeof id);
    return command;
}

/* Sends it signed with `ring`, reads the answer with `answer_ring`, begins the job as the server does. */
static struct answer exchange(struct fixture *fixture, const struct key_ring *ring,
                              const struct key_ring *answer_ring, const struct command *command)
{
    size_t body_len, frame_len, answer_len;
    cleanup_free uint8_t *body = command_encode(command, &body_len);
    cleanup_free uint8_t *frame = envelope_seal(ring, ENVELOPE_REQUEST, "h1", body, body_len, &frame_len);
    struct command_job *job;
    cleanup_free uint8_t *bytes = command_desk_answer(fixture->desk, frame, frame_len, &answer_len, &job);
    assert_non_null(bytes);
    if (job != NULL) {
        command_runner_begin(fixture->runner, job);
    }
    const uint8_t *answer_body;
    struct err err = {0};
    struct answer answer;
    assert_int_equal(
        envelope_open(answer_ring, ENVELOPE_ANSWER, "h1", bytes, answer_len, &answer_body, &body_len, &err),
        0);
    assert_int_equal(answer_decode(answer_body, body_len, &answer, &err), 0);
    return answer;
}

static void answers_ping_inventory_restart_and_outcome(void **state)
{
    struct fixture *fixture = *state;
    struct command command = command_for(1, OP_PING);
    struct answer answer = exchange(fixture, &fixture->keys, &fixture->keys, &command);
    assert_int_equal(answer.code, ANSWER_OK);
    assert_memory_equal(&answer.id, &command.id, sizeof answer.id);
    assert_string_equal(answer.host, "h1");
    assert_string_equal(answer.agent, "0123456789abcdef0123456789abcdef");
    assert_int_equal(answer.epoch, 3);
    assert_int_equal(answer.change, 7);
    assert_int_equal(answer.redis, REDIS_WORD_UP);
    assert_null(answer.payload);
    answer_fini(&answer);

    static const enum redis_word words[] = {REDIS_WORD_DOWN, REDIS_WORD_UNKNOWN};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        fixture->redis = words[i];
        answer = exchange(fixture, &fixture->keys, &fixture->keys, &command);
        assert_int_equal(answer.redis, words[i]);
        answer_fini(&answer);
    }

    command = command_for(2, OP_INVENTORY);
    answer = exchange(fixture, &fixture->keys, &fixture->keys, &command);
    assert_int_equal(answer.payload_len, 13);
    assert_memory_equal(answer.payload, "{\"host\":\"h1\"}", 13);
    answer_fini(&answer);
    command.if_change = 7;
    answer = exchange(fixture, &fixture->keys, &fixture->keys, &command);
    assert_int_equal(answer.code, ANSWER_OK);
    assert_null(answer.payload);
    answer_fini(&answer);
    fixture->change = 8;
    answer = exchange(fixture, &fixture->keys, &fixture->keys, &command);
    assert_non_null(answer.payload);
    answer_fini(&answer);

    command = command_for(3, OP_RESTART);
    answer = exchange(fixture, &fixture->keys, &fixture->keys, &command);
    assert_int_equal(answer.code, ANSWER_ACCEPTED);
    answer_fini(&answer);
    assert_int_equal(fixture->looks, 1);
    command = command_for(3, OP_OUTCOME);
    answer = exchange(fixture, &fixture->keys, &fixture->keys, &command);
    assert_int_equal(answer.code, ANSWER_ACCEPTED);
    answer_fini(&answer);
    command = command_for(4, OP_START);
    answer = exchange(fixture, &fixture->keys, &fixture->keys, &command);
    assert_int_equal(answer.code, ANSWER_BUSY);
    answer_fini(&answer);
    struct command_desk_counters counters = command_desk_counters(fixture->desk);
    assert_int_equal(counters.requests, 9);
    assert_int_equal(counters.accepted, 1);
    assert_int_equal(counters.refused, 1);
    assert_int_equal(counters.unauthorized + counters.garbage, 0);
}

static void refuses_what_is_not_signed_with_its_key(void **state)
{
    struct fixture *fixture = *state;
    const struct key_ring none = {0};
    const struct key_ring other = ring_of(KEY_2);
    struct key_ring forged = ring_of(KEY_2);
    memcpy(forged.keys[0].id, "k1", 3);
    const struct key_ring *rings[] = {&none, &other, &forged};
    for (size_t i = 0; i < 3; i++) {
        struct command command = command_for(1, OP_RESTART);
        command.epoch = 99;
        struct answer answer = exchange(fixture, rings[i], &none, &command);
        assert_int_equal(answer.code, ANSWER_UNAUTHORIZED);
        assert_int_not_equal(memcmp(&answer.id, &command.id, sizeof answer.id), 0);
        answer_fini(&answer);
    }
    assert_int_equal(fixture->looks, 0);
    assert_int_equal(command_runner_epoch(fixture->runner), 0);
    assert_int_equal(command_desk_counters(fixture->desk).unauthorized, 3);
}

static void keys_rotate_without_a_gap(void **state)
{
    struct fixture *fixture = *state;
    const struct key_ring old = ring_of(KEY_1), both = ring_of(KEY_2 KEY_1), new = ring_of(KEY_2), none = {0};
    struct command command = command_for(1, OP_PING);
    command_desk_set_keys(fixture->desk, &both);
    struct answer answer = exchange(fixture, &old, &both, &command);
    assert_int_equal(answer.code, ANSWER_OK);
    answer_fini(&answer);
    answer = exchange(fixture, &new, &both, &command);
    assert_int_equal(answer.code, ANSWER_OK);
    answer_fini(&answer);
    command_desk_set_keys(fixture->desk, &new);
    answer = exchange(fixture, &old, &none, &command);
    assert_int_equal(answer.code, ANSWER_UNAUTHORIZED);
    answer_fini(&answer);
}

static void without_keys_nothing_is_signed(void **state)
{
    struct fixture *fixture = *state;
    const struct key_ring none = {0};
    command_desk_set_keys(fixture->desk, &none);
    struct command command = command_for(1, OP_RESTART);
    struct answer answer = exchange(fixture, &none, &none, &command);
    assert_int_equal(answer.code, ANSWER_ACCEPTED);
    answer_fini(&answer);
}

static void a_command_for_another_host_is_none_of_ours(void **state)
{
    struct fixture *fixture = *state;
    const enum command_op ops[] = {OP_PING, OP_INVENTORY, OP_RESTART, OP_START, OP_OUTCOME};
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        struct command command = command_for((unsigned)i, ops[i]);
        memory_set_text(command.host, sizeof command.host, "h2");
        struct answer answer = exchange(fixture, &fixture->keys, &fixture->keys, &command);
        assert_int_equal(answer.code, ANSWER_BAD_REQUEST);
        assert_null(answer.payload);
        answer_fini(&answer);
    }
    assert_int_equal(fixture->looks, 0);
    assert_int_equal(command_runner_epoch(fixture->runner), 0);
}

static void a_signed_frame_with_nonsense_is_a_bad_request(void **state)
{
    struct fixture *fixture = *state;
    size_t len, answer_len, body_len;
    struct command_job *job;
    cleanup_free uint8_t *frame =
        envelope_seal(&fixture->keys, ENVELOPE_REQUEST, "h1", (const uint8_t *)"nonsense", 8, &len);
    cleanup_free uint8_t *bytes = command_desk_answer(fixture->desk, frame, len, &answer_len, &job);
    assert_non_null(bytes);
    assert_null(job);
    const uint8_t *body;
    struct answer answer;
    assert_int_equal(
        envelope_open(&fixture->keys, ENVELOPE_ANSWER, "h1", bytes, answer_len, &body, &body_len, NULL), 0);
    assert_int_equal(answer_decode(body, body_len, &answer, NULL), 0);
    assert_int_equal(answer.code, ANSWER_BAD_REQUEST);
    answer_fini(&answer);
    assert_int_equal(command_desk_counters(fixture->desk).garbage, 1);
}

/* Cut and flipped frames, and noise: never a job, never a crash, never signed. */
static void garbage_goes_nowhere(void **state)
{
    struct fixture *fixture = *state;
    struct command command = command_for(1, OP_RESTART);
    size_t body_len, len, answer_len;
    cleanup_free uint8_t *body = command_encode(&command, &body_len);
    cleanup_free uint8_t *frame = envelope_seal(&fixture->keys, ENVELOPE_REQUEST, "h1", body, body_len, &len);
    srand(5);
    for (size_t i = 0; i < len * 8 + len + 500; i++) {
        cleanup_free uint8_t *copy = memory_alloc(len);
        memcpy(copy, frame, len);
        size_t used = len;
        if (i < len * 8) {
            copy[i / 8] ^= (uint8_t)(1U << (i % 8));
        } else if (i < len * 9) {
            used = i - len * 8;
        } else {
            for (size_t j = 0; j < len; j++) {
                copy[j] = (uint8_t)rand();
            }
        }
        struct command_job *job;
        cleanup_free uint8_t *bytes = command_desk_answer(fixture->desk, copy, used, &answer_len, &job);
        assert_null(job);
        const uint8_t *answer_body;
        assert_true(bytes == NULL || envelope_open(&fixture->keys, ENVELOPE_ANSWER, "h1", bytes, answer_len,
                                                   &answer_body, &body_len, NULL) != 0);
    }
    assert_int_equal(fixture->looks, 0);
    struct command_desk_counters counters = command_desk_counters(fixture->desk);
    assert_int_equal(counters.garbage + counters.unauthorized, counters.requests);
}

/* Runs `count` noise requests and gives back what was logged. */
static size_t logged_lines(struct fixture *fixture, int count, char *text, size_t size)
{
    FILE *file = tmpfile();
    int saved = dup(STDERR_FILENO);
    assert_true(file != NULL && saved >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0);
    log_init(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    for (int i = 0; i < count; i++) {
        size_t answer_len;
        struct command_job *job;
        assert_null(command_desk_answer(fixture->desk, (const uint8_t *)"noise", 5, &answer_len, &job));
    }
    log_init(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    dup2(saved, STDERR_FILENO);
    close(saved);
    rewind(file);
    size_t len = fread(text, 1, size - 1, file), lines = 0;
    text[len] = '\0';
    fclose(file);
    for (size_t i = 0; i < len; i++) {
        lines += text[i] == '\n';
    }
    return lines;
}

static void a_flood_of_noise_is_one_line_in_ten_seconds(void **state)
{
    struct fixture *fixture = *state;
    char text[4096];
    assert_int_equal(logged_lines(fixture, 100, text, sizeof text), 1);
    fixture->now.ms += 9999;
    assert_int_equal(logged_lines(fixture, 1, text, sizeof text), 0);
    fixture->now.ms += 1;
    assert_int_equal(logged_lines(fixture, 1, text, sizeof text), 1);
    assert_non_null(strstr(text, "100 more"));
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    log_init(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    const struct CMUnitTest tests[] = {
        CASE(answers_ping_inventory_restart_and_outcome),
        CASE(refuses_what_is_not_signed_with_its_key),
        CASE(keys_rotate_without_a_gap),
        CASE(without_keys_nothing_is_signed),
        CASE(a_command_for_another_host_is_none_of_ours),
        CASE(a_signed_frame_with_nonsense_is_a_bad_request),
        CASE(garbage_goes_nowhere),
        CASE(a_flood_of_noise_is_one_line_in_ten_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
