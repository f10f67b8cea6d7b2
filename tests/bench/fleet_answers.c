/*
 * The agents' side of beat_load's hosts: answers every ping and inventory that a controller sends to any of
 * them as an agent does that has nothing new to tell. Says "ready"; runs until killed. Where SOCKET is given,
 * the agents have Redis as long as that file is there.
 *
 *   fleet_answers URL AGENT_ID [SOCKET]
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/err.h"
#include "common/loop.h"
#include "common/memory.h"
#include "common/rpc.h"
#include "proto/command.h"
#include "proto/envelope.h"

static const struct key_ring NO_KEYS;
static const char *redis_socket;

static void on_request(void *arg, struct rpc_request *request, const uint8_t *bytes, size_t len)
{
    const char *agent_id = arg;
    struct command command;
    struct err err;
    const uint8_t *body;
    size_t body_len, answer_len, sealed_len;
    if (envelope_open(&NO_KEYS, ENVELOPE_REQUEST, "", bytes, len, &body, &body_len, &err) != 0 ||
        command_decode(body, body_len, &command, &err) != 0) {
        fprintf(stderr, "fleet_answers: %s\n", err.text);
        rpc_request_reply(request, NULL, 0);
        return;
    }
    struct answer answer;
    answer_init(&answer);
    answer.id = command.id;
    answer.code = ANSWER_OK;
    answer.change = 1;
    if (redis_socket != NULL) {
        answer.redis = access(redis_socket, F_OK) == 0 ? REDIS_WORD_UP : REDIS_WORD_DOWN;
    }
    memory_set_text(answer.host, sizeof answer.host, command.host);
    memory_set_text(answer.agent, sizeof answer.agent, agent_id);
    cleanup_free uint8_t *encoded = answer_encode(&answer, &answer_len);
    cleanup_free uint8_t *sealed =
        envelope_seal(&NO_KEYS, ENVELOPE_ANSWER, command.host, encoded, answer_len, &sealed_len);
    rpc_request_reply(request, sealed, sealed_len);
    answer_fini(&answer);
}

int main(int argc, char **argv)
{
    if (argc != 3 && argc != 4) {
        return 2;
    }
    redis_socket = argv[3];
    struct loop *loop = loop_new();
    struct rpc_server_options options = {
        .url = argv[1], .contexts = 64, .max_bytes = 65536, .on_request = on_request, .arg = argv[2]};
    struct rpc_server *server;
    struct err err;
    if (rpc_server_open(loop, &options, &server, &err) != 0) {
        fprintf(stderr, "fleet_answers: %s\n", err.text);
        return 1;
    }
    puts("ready");
    fflush(stdout);
    loop_run(loop);
    rpc_server_close(server);
    loop_free(loop);
    return 0;
}
