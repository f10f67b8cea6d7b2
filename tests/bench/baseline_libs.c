/*
 * What the libraries cost before anybody uses them: links and initialises what the agent does, says "ready",
 * and sleeps. The agent's memory is measured against this.
 */
#include <stdio.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <hiredis/async.h>
#include <msgpack.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <uv.h>

enum { CONTEXTS = 16 };

static int listen_for_commands(const char *url)
{
    static nng_ctx contexts[CONTEXTS];
    static nng_aio *operations[CONTEXTS];
    nng_socket socket;
    if (nng_rep0_open(&socket) != 0 || nng_listen(socket, url, NULL, 0) != 0) {
        return -1;
    }
    for (int i = 0; i < CONTEXTS; i++) {
        nng_ctx_open(&contexts[i], socket);
        nng_aio_alloc(&operations[i], NULL, NULL);
        nng_ctx_recv(contexts[i], operations[i]);
    }
    return 0;
}

int main(int argc, char **argv)
{
    uv_loop_t loop;
    if (argc != 2 || uv_loop_init(&loop) != 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != 0) {
        return 1;
    }
    CURLM *multi = curl_multi_init();
    CURL *easy = curl_easy_init();
    redisReader *reader = redisReaderCreate();
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int digest_len = 0;
    HMAC(EVP_sha256(), "key", 3, (const unsigned char *)"text", 4, digest, &digest_len);
    msgpack_sbuffer packed;
    msgpack_sbuffer_init(&packed);
    cJSON *tree = cJSON_Parse("{}");
    if (multi == NULL || easy == NULL || reader == NULL || tree == NULL || digest_len != 32 ||
        listen_for_commands(argv[1]) != 0) {
        return 1;
    }
    puts("ready");
    fflush(stdout);
    for (;;) {
        pause();
    }
}
