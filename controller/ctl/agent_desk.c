#include "controller/ctl/agent_desk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/key_file.h"
#include "common/memory.h"
#include "common/rpc.h"
#include "controller/agent_book.h"
#include "proto/command.h"

enum { ANSWER_MS = 3000 };

struct question {
    struct loop *loop;
    const char *host;
    const struct key_ring *keys;
    struct command_id id;
    struct registration *out;
    struct err *err;
    int result;
};

void agent_desk_each(const struct settings *settings,
                     void (*visit)(void *arg, const char *host, const char *url), void *arg)
{
    struct err err;
    agent_book_parse(settings->agents_text, visit, arg,
                     &err); /* a bad part ends it: the rest is the disk's */
    agent_book_read(settings->state_dir, visit, arg);
}

static int take_answer(struct question *question, const uint8_t *bytes, size_t len)
{
    const uint8_t *body;
    size_t body_len;
    struct answer answer;
    struct err *err = question->err;
    answer_init(&answer);
    int result =
        envelope_open(question->keys, ENVELOPE_ANSWER, question->host, bytes, len, &body, &body_len, err);
    result = result != 0 ? result : answer_decode(body, body_len, &answer, err);
    if (result == 0 && memcmp(&answer.id, &question->id, sizeof answer.id) != 0) {
        result = err_set(err, EBADMSG, "it answers another request");
    } else if (result == 0 && (answer.code != ANSWER_OK || answer.payload == NULL)) {
        result = err_set(err, EPROTO, "it answers %s: %s", answer_code_name(answer.code), answer.detail);
    }
    if (result == 0) {
        result = registration_decode(answer.payload, answer.payload_len, question->out, NULL, err);
    }
    if (result == 0 && strcmp(question->out->host, question->host) != 0) {
        result = err_set(err, EBADMSG, "it says that it is host %.100s", question->out->host);
        registration_fini(question->out);
    }
    answer_fini(&answer);
    return result;
}

static void on_answer(void *arg, int status, const uint8_t *bytes, size_t len)
{
    struct question *question = arg;
    question->result = status == 0 ? take_answer(question, bytes, len)
                                   : err_set(question->err, -status, "%s", strerrordesc_np(-status));
    loop_stop(question->loop);
}

static int send_question(struct question *question, struct rpc_client *client)
{
    struct command command = {
        .op = OP_INVENTORY, .ttl_ms = ANSWER_MS, .sent_at_ms = (uint64_t)clock_wall_now().ms};
    size_t body_len, len;
    memory_set_text(command.host, sizeof command.host, question->host);
    if (getrandom(command.id.bytes, sizeof command.id.bytes, 0) != (ssize_t)sizeof command.id.bytes) {
        abort();
    }
    question->id = command.id;
    cleanup_free uint8_t *body = command_encode(&command, &body_len);
    cleanup_free uint8_t *bytes =
        envelope_seal(question->keys, ENVELOPE_REQUEST, question->host, body, body_len, &len);
    int result = rpc_client_call(client, bytes, len, ANSWER_MS, on_answer, question);
    if (result != 0) {
        return err_set(question->err, -result, "%s", strerrordesc_np(-result));
    }
    loop_run(question->loop);
    return question->result;
}

int agent_desk_ask(struct loop *loop, const struct settings *settings, const char *host, const char *url,
                   struct registration *out, struct err *err)
{
    struct key_ring keys = {0};
    struct rpc_client *client = NULL;
    int result = key_file_load(settings->key_file, &keys, err);
    if (result == 0) {
        struct rpc_tls tls = {.ca_file = settings->tls_ca_file,
                              .cert_file = settings->tls_cert_file,
                              .key_file = settings->tls_key_file};
        struct rpc_client_options options = {.url = url,
                                             .tls = settings->tls_ca_file[0] == '\0' ? NULL : &tls,
                                             .max_bytes = LIMIT_ANSWER_BYTES};
        result = rpc_client_open(loop, &options, &client, err);
    }
    if (result == 0) {
        struct question question = {.loop = loop, .host = host, .keys = &keys, .out = out, .err = err};
        result = send_question(&question, client);
        rpc_client_close(client);
    }
    key_ring_wipe(&keys);
    return result;
}
