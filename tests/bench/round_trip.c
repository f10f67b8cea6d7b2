/*
 * How long a signed or unsigned request takes to an agent and back, one after the other, and what signing
 * costs.
 *
 *   round_trip URL HOST COUNT [KEY_FILE]     pings: prints "COUNT P50 P99 MEAN", microseconds
 *   round_trip sign COUNT KEY_FILE           prints the microseconds of the four MACs that a command and its
 * receipt cost
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "common/key_file.h"
#include "common/loop.h"
#include "common/memory.h"
#include "common/rpc.h"
#include "proto/command.h"
#include "proto/envelope.h"

enum { TIMEOUT_MS = 10000, WARM_UP = 200 };

struct run {
    struct loop *loop;
    struct rpc_client *client;
    struct key_ring keys;
    struct command command;
    int64_t *took_ns;
    size_t done, wanted;
    int64_t sent_ns;
    bool has_failed;
};

static int64_t read_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static int64_t now_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

static void send_next(struct run *run);

static void on_answer(void *arg, int status, const uint8_t *bytes, size_t len)
{
    struct run *run = arg;
    const uint8_t *body;
    size_t body_len;
    struct answer answer;
    struct err err = {0};
    answer_init(&answer);
    if (status != 0 ||
        envelope_open(&run->keys, ENVELOPE_ANSWER, run->command.host, bytes, len, &body, &body_len, &err) !=
            0 ||
        answer_decode(body, body_len, &answer, &err) != 0 || answer.code != ANSWER_OK) {
        fprintf(stderr, "round_trip: %d %s %s\n", status, err.text, answer_code_name(answer.code));
        run->has_failed = true;
        loop_stop(run->loop);
        answer_fini(&answer);
        return;
    }
    answer_fini(&answer);
    run->took_ns[run->done++] = now_ns() - run->sent_ns;
    if (run->done == run->wanted) {
        loop_stop(run->loop);
    } else {
        send_next(run);
    }
}

static void send_next(struct run *run)
{
    size_t body_len, len;
    if (getrandom(run->command.id.bytes, sizeof run->command.id.bytes, 0) < 0) {
        abort();
    }
    run->sent_ns = now_ns();
    cleanup_free uint8_t *body = command_encode(&run->command, &body_len);
    cleanup_free uint8_t *bytes =
        envelope_seal(&run->keys, ENVELOPE_REQUEST, run->command.host, body, body_len, &len);
    if (rpc_client_call(run->client, bytes, len, TIMEOUT_MS, on_answer, run) != 0) {
        run->has_failed = true;
        loop_stop(run->loop);
    }
}

static int by_size(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static void print_result(struct run *run)
{
    int64_t *took = run->took_ns + WARM_UP;
    size_t count = run->wanted - WARM_UP;
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += (double)took[i];
    }
    qsort(took, count, sizeof *took, by_size);
    printf("%zu %.1f %.1f %.1f\n", count, (double)took[count / 2] / 1e3, (double)took[count * 99 / 100] / 1e3,
           sum / (double)count / 1e3);
}

static int ping(struct run *run, const char *url)
{
    struct err err = {0};
    const struct rpc_client_options options = {.url = url, .max_bytes = LIMIT_COMMAND_BYTES};
    run->took_ns = memory_grow(NULL, run->wanted, sizeof *run->took_ns);
    run->loop = loop_new();
    if (rpc_client_open(run->loop, &options, &run->client, &err) != 0) {
        fprintf(stderr, "round_trip: %s\n", err.text);
        return 1;
    }
    send_next(run);
    loop_run(run->loop);
    rpc_client_close(run->client);
    loop_free(run->loop);
    if (!run->has_failed) {
        print_result(run);
    }
    free(run->took_ns);
    return run->has_failed ? 1 : 0;
}

/* A request sealed and opened, its receipt sealed and opened. */
static int measure_signing(const struct key_ring *ring, size_t count)
{
    struct command command = {.op = OP_RESTART, .epoch = 7, .attempt = 1, .max_attempts = 3, .ttl_ms = 10000};
    strcpy(command.host, "host-1");
    strcpy(command.container, "arbees-game-shard-1");
    memset(command.container_id, 'a', 64);
    strcpy(command.expect_started_at, "2026-01-23T19:05:30.123456789Z");
    strcpy(command.reason, "missing_heartbeat");
    size_t body_len, len;
    cleanup_free uint8_t *body = command_encode(&command, &body_len);
    const uint8_t *opened;
    size_t opened_len;
    struct err err;
    int64_t start = read_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (size_t i = 0; i < 2 * count; i++) {
        enum envelope_direction direction = i % 2 == 0 ? ENVELOPE_REQUEST : ENVELOPE_ANSWER;
        cleanup_free uint8_t *frame = envelope_seal(ring, direction, command.host, body, body_len, &len);
        if (envelope_open(ring, direction, command.host, frame, len, &opened, &opened_len, &err) != 0) {
            return 1;
        }
    }
    printf("%.2f\n", (double)(read_ns(CLOCK_PROCESS_CPUTIME_ID) - start) / (double)count / 1e3);
    return 0;
}

int main(int argc, char **argv)
{
    static struct run run = {.command = {.op = OP_PING, .epoch = 1, .ttl_ms = TIMEOUT_MS}};
    struct err err = {0};
    bool is_signing = argc == 4 && strcmp(argv[1], "sign") == 0;
    if (!is_signing && argc != 4 && argc != 5) {
        fputs("usage: round_trip URL HOST COUNT [KEY_FILE] | sign COUNT KEY_FILE\n", stderr);
        return 2;
    }
    const char *key_file = is_signing ? argv[3] : argc == 5 ? argv[4] : NULL;
    if (key_file_load(key_file, &run.keys, &err) != 0) {
        fprintf(stderr, "round_trip: %s\n", err.text);
        return 2;
    }
    if (is_signing) {
        static const struct key_ring NONE;
        size_t count = strtoul(argv[2], NULL, 10);
        /* the same without keys: what the frame costs anyway */
        return measure_signing(&run.keys, count) != 0 || measure_signing(&NONE, count) != 0;
    }
    memory_set_text(run.command.host, sizeof run.command.host, argv[2]);
    run.wanted = strtoul(argv[3], NULL, 10) + WARM_UP;
    return ping(&run, argv[1]);
}
