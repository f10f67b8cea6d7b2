/*
 * For tests: sends one request to an agent and prints each answer as one line of JSON.
 *
 *   defib_send URL OP [name=value...]
 *
 * OP: ping inventory restart start outcome, or raw (sends the bytes of the file raw=PATH as they are).
 * id (32 hex digits, random) epoch (1) host (host name) container container_id started_at reason attempt
 * max_attempts stop_timeout_ms (10000) ttl_ms (10000) if_change key_file timeout_ms (5000)
 * save (PATH: the request's bytes go there) times (1: that many copies at once) payload (PATH: the inventory
 * goes there)
 *
 * Exit: 0 when every copy was answered, 1 when not, 2 for bad usage.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/key_file.h"
#include "common/loop.h"
#include "common/memory.h"
#include "common/rpc.h"
#include "proto/command.h"
#include "proto/envelope.h"

struct sender {
    struct loop *loop;
    struct command command;
    struct key_ring keys;
    const char *url, *key_file, *raw, *payload, *save;
    int64_t timeout_ms;
    int64_t times;
    int64_t open;
    bool has_failed;
    struct rpc_client *client;
    const uint8_t *bytes; /* the request */
    size_t len;
    struct mono until; /* so long what never left is sent again */
};

static void print_text(const char *name, const char *text)
{
    printf(", \"%s\": \"", name);
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\') {
            printf("\\%c", *at);
        } else if ((unsigned char)*at < 0x20) {
            printf("\\u%04x", (unsigned)*at);
        } else {
            putchar(*at);
        }
    }
    putchar('"');
}

static const char *const redis_words[] = {
    [REDIS_WORD_UNKNOWN] = "unknown", [REDIS_WORD_UP] = "up", [REDIS_WORD_DOWN] = "down"};

static void print_answer(const struct sender *sender, const struct answer *answer, bool is_signed)
{
    char id[LIMIT_COMMAND_ID_SIZE];
    command_id_format(&answer->id, id);
    printf("{\"id\": \"%s\", \"signed\": %s", id, is_signed ? "true" : "false");
    print_text("code", answer_code_name(answer->code));
    print_text("detail", answer->detail);
    print_text("container_id", answer->container_id);
    print_text("started_at", answer->started_at);
    print_text("host", answer->host);
    print_text("agent", answer->agent);
    print_text("redis", redis_words[answer->redis]);
    printf(", \"took_ms\": %lld, \"epoch\": %llu, \"change\": %llu, \"payload_len\": %zu}\n",
           (long long)answer->took_ms, (unsigned long long)answer->epoch, (unsigned long long)answer->change,
           answer->payload_len);
    if (sender->payload != NULL && answer->payload != NULL) {
        FILE *file = fopen(sender->payload, "w");
        if (file != NULL) {
            fwrite(answer->payload, 1, answer->payload_len, file);
            fclose(file);
        }
    }
}

static void read_answer(struct sender *sender, const uint8_t *bytes, size_t len)
{
    static const struct key_ring NONE;
    const uint8_t *body;
    size_t body_len;
    struct err err = {0};
    const char *host = sender->command.host;
    bool is_signed = sender->keys.count > 0;
    int code = envelope_open(&sender->keys, ENVELOPE_ANSWER, host, bytes, len, &body, &body_len, &err);
    if (code != 0 && is_signed) {
        is_signed = false;
        code = envelope_open(&NONE, ENVELOPE_ANSWER, host, bytes, len, &body, &body_len, &err);
    }
    struct answer answer;
    if (code == 0) {
        code = answer_decode(body, body_len, &answer, &err);
    }
    if (code == 0) {
        print_answer(sender, &answer, is_signed);
        answer_fini(&answer);
        return;
    }
    sender->has_failed = true;
    printf("{\"status\": %d", code);
    print_text("error", err.text);
    printf("}\n");
}

static void on_answer(void *arg, int status, const uint8_t *bytes, size_t len)
{
    struct sender *sender = arg;
    int64_t left = mono_diff(sender->until, clock_mono_now());
    if (status == -ENOTCONN && left > 0 &&
        rpc_client_call(sender->client, sender->bytes, sender->len, left, on_answer, sender) == 0) {
        return;
    }
    if (status == 0) {
        read_answer(sender, bytes, len);
    } else {
        sender->has_failed = true;
        printf("{\"status\": %d", status);
        print_text("error", strerror(-status));
        printf("}\n");
    }
    fflush(stdout);
    if (--sender->open == 0) {
        loop_stop(sender->loop);
    }
}

static bool take_setting(struct sender *sender, const char *text)
{
    const char *value = strchr(text, '=');
    if (value == NULL) {
        return false;
    }
    struct command *command = &sender->command;
    const struct {
        const char *name;
        char *text;
        size_t size;
        int64_t *number;
        uint64_t *count;
        const char **word;
    } SETTINGS[] = {
        {"epoch", NULL, 0, NULL, &command->epoch, NULL},
        {"host", command->host, sizeof command->host, NULL, NULL, NULL},
        {"container", command->container, sizeof command->container, NULL, NULL, NULL},
        {"container_id", command->container_id, sizeof command->container_id, NULL, NULL, NULL},
        {"started_at", command->expect_started_at, sizeof command->expect_started_at, NULL, NULL, NULL},
        {"reason", command->reason, sizeof command->reason, NULL, NULL, NULL},
        {"attempt", NULL, 0, &command->attempt, NULL, NULL},
        {"max_attempts", NULL, 0, &command->max_attempts, NULL, NULL},
        {"stop_timeout_ms", NULL, 0, &command->stop_timeout_ms, NULL, NULL},
        {"ttl_ms", NULL, 0, &command->ttl_ms, NULL, NULL},
        {"if_change", NULL, 0, NULL, &command->if_change, NULL},
        {"timeout_ms", NULL, 0, &sender->timeout_ms, NULL, NULL},
        {"times", NULL, 0, &sender->times, NULL, NULL},
        {"key_file", NULL, 0, NULL, NULL, &sender->key_file},
        {"raw", NULL, 0, NULL, NULL, &sender->raw},
        {"payload", NULL, 0, NULL, NULL, &sender->payload},
        {"save", NULL, 0, NULL, NULL, &sender->save},
    };
    size_t len = (size_t)(value++ - text);
    if (len == 2 && memcmp(text, "id", 2) == 0) {
        return command_id_parse(value, &command->id) == 0;
    }
    for (size_t i = 0; i < sizeof SETTINGS / sizeof SETTINGS[0]; i++) {
        if (strlen(SETTINGS[i].name) != len || memcmp(SETTINGS[i].name, text, len) != 0) {
            continue;
        }
        if (SETTINGS[i].text != NULL) {
            return memory_set_text(SETTINGS[i].text, SETTINGS[i].size, value);
        }
        if (SETTINGS[i].number != NULL) {
            *SETTINGS[i].number = strtoll(value, NULL, 10);
        } else if (SETTINGS[i].count != NULL) {
            *SETTINGS[i].count = strtoull(value, NULL, 10);
        } else {
            *SETTINGS[i].word = value;
        }
        return true;
    }
    return false;
}

static bool read_arguments(struct sender *sender, int argc, char **argv)
{
    if (argc < 3) {
        return false;
    }
    sender->url = argv[1];
    sender->command.op = command_op_parse(argv[2]);
    for (int i = 3; i < argc; i++) {
        if (!take_setting(sender, argv[i])) {
            fprintf(stderr, "defib_send: what is %s?\n", argv[i]);
            return false;
        }
    }
    return sender->command.op != OP_UNKNOWN || sender->raw != NULL;
}

static uint8_t *make_request(const struct sender *sender, size_t *len)
{
    if (sender->raw != NULL) {
        FILE *file = fopen(sender->raw, "r");
        if (file == NULL) {
            return NULL;
        }
        uint8_t *bytes = memory_alloc(64U << 20);
        *len = fread(bytes, 1, 64U << 20, file);
        fclose(file);
        return bytes;
    }
    size_t body_len;
    cleanup_free uint8_t *body = command_encode(&sender->command, &body_len);
    uint8_t *bytes =
        envelope_seal(&sender->keys, ENVELOPE_REQUEST, sender->command.host, body, body_len, len);
    FILE *file = sender->save == NULL ? NULL : fopen(sender->save, "w");
    if (file != NULL) {
        fwrite(bytes, 1, *len, file);
        fclose(file);
    }
    return bytes;
}

static int send_all(struct sender *sender, struct err *err)
{
    cleanup_free uint8_t *bytes = make_request(sender, &sender->len);
    if (bytes == NULL) {
        return err_set(err, ENOENT, "cannot read %s", sender->raw);
    }
    sender->bytes = bytes;
    sender->until = mono_add(clock_mono_now(), sender->timeout_ms);
    const struct rpc_client_options options = {
        .url = sender->url, .max_bytes = LIMIT_ANSWER_BYTES + 1024, .max_calls = (size_t)sender->times};
    int code = rpc_client_open(sender->loop, &options, &sender->client, err);
    for (int64_t i = 0; code == 0 && i < sender->times; i++) {
        sender->open++;
        code = rpc_client_call(sender->client, bytes, sender->len, sender->timeout_ms, on_answer, sender);
        if (code != 0) {
            err_set(err, -code, "cannot send: %s", strerror(-code));
        }
    }
    if (code == 0) {
        loop_run(sender->loop);
    }
    rpc_client_close(sender->client);
    return code;
}

int main(int argc, char **argv)
{
    struct sender sender = {.command = {.epoch = 1,
                                        .reason = "test",
                                        .attempt = 1,
                                        .max_attempts = 3,
                                        .stop_timeout_ms = 10000,
                                        .ttl_ms = 10000},
                            .timeout_ms = 5000,
                            .times = 1};
    struct err err = {0};
    gethostname(sender.command.host, sizeof sender.command.host - 1);
    if (getrandom(sender.command.id.bytes, sizeof sender.command.id.bytes, 0) < 0 ||
        !read_arguments(&sender, argc, argv) || key_file_load(sender.key_file, &sender.keys, &err) != 0) {
        fprintf(stderr, "usage: defib_send URL OP [name=value...] %s\n", err.text);
        return 2;
    }
    sender.loop = loop_new();
    int code = send_all(&sender, &err);
    loop_free(sender.loop);
    key_ring_wipe(&sender.keys);
    if (code != 0) {
        fprintf(stderr, "defib_send: %s\n", err.text);
    }
    return code != 0 || sender.has_failed ? 1 : 0;
}
