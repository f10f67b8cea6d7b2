/* The server on a real socket: a plain client in a child process would hide nothing, so it is one of ours. */
#include "controller/serve/http_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/memory.h"

enum { CLIENTS = 200, PATIENCE_MS = 5000 };

struct client {
    int fd;
    char *bytes; /* all that came */
    size_t len;
    bool is_ended;
};

struct world {
    struct loop *loop;
    struct http_server *server;
    struct loop_timer *timer;
    char listen[64];
    int port;
    struct client clients[CLIENTS];
    size_t count;
    struct http_exchange *kept; /* not answered yet */
    struct http_document *document;
    struct http_stream *stream;
    int requests, gone;
    char last[256]; /* what the last request said */
    bool (*is_done)(struct world *world);
    int64_t waited_ms;
};

/* ---- the server's side ---- */

static void on_gone(void *arg)
{
    struct world *world = arg;
    world->gone++;
    world->stream = NULL;
}

static void answer(struct http_exchange *exchange, int status, const char *text)
{
    http_server_answer(exchange, &(struct http_answer){.status = status,
                                                       .type = "text/plain",
                                                       .headers = "X-One: 1\nX-Two: 2",
                                                       .text = memory_copy_text(text),
                                                       .len = strlen(text)});
}

static void on_request(void *arg, struct http_exchange *exchange)
{
    struct world *world = arg;
    const char *path = http_server_path(exchange);
    const char *query = http_server_query(exchange, "q");
    const char *header = http_server_header(exchange, "x-question");
    size_t len;
    const char *body = http_server_body(exchange, &len);
    world->requests++;
    snprintf(world->last, sizeof world->last, "%d %.40s q=%.40s h=%.40s b=%.40s",
             http_server_method(exchange), path, query == NULL ? "-" : query, header == NULL ? "-" : header,
             body);
    if (strcmp(path, "/later") == 0) {
        world->kept = exchange;
    } else if (strcmp(path, "/document") == 0) {
        http_server_answer_document(exchange, world->document);
    } else if (strcmp(path, "/stream") == 0) {
        world->stream = http_server_answer_stream(exchange, on_gone, world);
    } else {
        answer(exchange, 200, "hello");
    }
}

/* ---- the client's side ---- */

static struct client *send_text(struct world *world, const char *text)
{
    struct client *client = &world->clients[world->count++];
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)world->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(client->fd >= 0);
    assert_int_equal(connect(client->fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(send(client->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    client->bytes = memory_copy_text("");
    return client;
}

static void receive(struct client *client)
{
    char part[65536];
    ssize_t got = -1;
    while (client->fd >= 0 && (got = recv(client->fd, part, sizeof part, MSG_DONTWAIT)) > 0) {
        client->bytes = memory_grow(client->bytes, client->len + (size_t)got + 1, 1);
        memcpy(client->bytes + client->len, part, (size_t)got);
        client->len += (size_t)got;
        client->bytes[client->len] = '\0';
    }
    client->is_ended = client->is_ended || got == 0 || (got < 0 && errno != EAGAIN);
}

static void on_timer(void *arg)
{
    struct world *world = arg;
    for (size_t i = 0; i < world->count; i++) {
        if (!world->clients[i].is_ended) {
            receive(&world->clients[i]);
        }
    }
    world->waited_ms += 5;
    if (world->is_done(world) || world->waited_ms > PATIENCE_MS) {
        loop_stop(world->loop);
    }
}

static bool run_until(struct world *world, bool (*is_done)(struct world *world))
{
    world->is_done = is_done;
    world->waited_ms = 0;
    loop_timer_start(world->timer, 5, 5);
    loop_run(world->loop);
    loop_timer_stop(world->timer);
    return world->is_done(world);
}

static bool all_ended(struct world *world)
{
    for (size_t i = 0; i < world->count; i++) {
        if (!world->clients[i].is_ended) {
            return false;
        }
    }
    return true;
}

static bool is_kept(struct world *world)
{
    return world->kept != NULL;
}

static int set_up(void **state)
{
    struct world *world = memory_alloc(sizeof *world);
    struct http_server_options options = {.on_request = on_request, .arg = world};
    struct err err = {.code = 0};
    world->loop = loop_new();
    world->timer = loop_timer_new(world->loop, on_timer, world);
    options.loop = world->loop;
    options.listen = world->listen;
    for (int tries = 0; tries < 50 && world->server == NULL; tries++) {
        world->port = 20000 + (int)((getpid() * 7 + tries * 131) % 30000);
        snprintf(world->listen, sizeof world->listen, "127.0.0.1:%d", world->port);
        http_server_open(&options, &world->server, &err);
    }
    assert_non_null(world->server);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    http_server_close(world->server);
    http_server_document_free(world->document);
    loop_timer_free(world->timer);
    loop_free(world->loop);
    for (size_t i = 0; i < world->count; i++) {
        close(world->clients[i].fd);
        free(world->clients[i].bytes);
    }
    free(world);
    return 0;
}

#define CLOSE "Host: x\r\nConnection: close\r\n\r\n"

static void test_a_request_and_its_answer(void **state)
{
    struct world *world = *state;
    struct client *client = send_text(world, "GET /a%20b/c?q=1%2B1 HTTP/1.1\r\nX-Question: why\r\n" CLOSE);
    assert_true(run_until(world, all_ended));
    assert_string_equal(world->last, "0 /a b/c q=1+1 h=why b=");
    assert_int_equal(strncmp(client->bytes, "HTTP/1.1 200 ", 13), 0);
    assert_non_null(strstr(client->bytes, "Cache-Control: no-store\r\n"));
    assert_non_null(strstr(client->bytes, "X-Content-Type-Options: nosniff\r\n"));
    assert_non_null(strstr(client->bytes, "X-One: 1\r\n"));
    assert_non_null(strstr(client->bytes, "X-Two: 2\r\n"));
    assert_non_null(strstr(client->bytes, "\r\n\r\nhello"));
}

static void test_bodies(void **state)
{
    struct world *world = *state;
    send_text(world, "POST /x HTTP/1.1\r\nContent-Length: 4\r\nHost: x\r\nConnection: close\r\n\r\nbody");
    assert_true(run_until(world, all_ended));
    assert_string_equal(world->last, "1 /x q=- h=- b=body");
    send_text(world, "DELETE /x HTTP/1.1\r\n" CLOSE);
    assert_true(run_until(world, all_ended));
    assert_string_equal(world->last, "2 /x q=- h=- b=");
}

/* Neither one that says its size, nor one that does not, gets more than its share in. */
static void test_too_large(void **state)
{
    struct world *world = *state;
    char head[256];
    snprintf(head, sizeof head, "POST /x HTTP/1.1\r\nContent-Length: 1000000000\r\n" CLOSE);
    struct client *said = send_text(world, head);
    assert_true(run_until(world, all_ended));
    assert_int_equal(strncmp(said->bytes, "HTTP/1.1 413 ", 13), 0);

    size_t size = HTTP_SERVER_BODY_BYTES + 1;
    cleanup_free char *text = memory_alloc(size + 256);
    int used = snprintf(text, 256,
                        "POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: x\r\n"
                        "Connection: close\r\n\r\n%zx\r\n",
                        size);
    memset(text + used, 'x', size);
    memcpy(text + used + size, "\r\n0\r\n\r\n", 8);
    struct client *unsaid = send_text(world, text);
    assert_true(run_until(world, all_ended));
    assert_int_equal(strncmp(unsaid->bytes, "HTTP/1.1 413 ", 13), 0);
    assert_int_equal(world->requests, 0);

    cleanup_free char *header = memory_alloc(40000);
    used = snprintf(header, 256, "GET / HTTP/1.1\r\nX-Long: ");
    memset(header + used, 'x', 30000);
    memcpy(header + used + 30000, "\r\n\r\n", 5);
    struct client *long_header = send_text(world, header);
    assert_true(run_until(world, all_ended));
    assert_true(strncmp(long_header->bytes, "HTTP/1.1 431 ", 13) == 0 || long_header->len == 0);
    assert_int_equal(world->requests, 0);
}

static void test_an_answer_that_comes_later(void **state)
{
    struct world *world = *state;
    struct client *client = send_text(world, "GET /later HTTP/1.1\r\n" CLOSE);
    assert_true(run_until(world, is_kept));
    assert_int_equal(client->len, 0);
    answer(world->kept, 202, "at last");
    assert_true(run_until(world, all_ended));
    assert_int_equal(strncmp(client->bytes, "HTTP/1.1 202 ", 13), 0);
    assert_non_null(strstr(client->bytes, "at last"));
}

/* Whoever asked is gone, or the server is: the answer goes to nobody, and nothing is touched that was freed.
 */
static void test_an_answer_to_nobody(void **state)
{
    struct world *world = *state;
    struct client *client = send_text(world, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(run_until(world, is_kept));
    close(client->fd);
    client->fd = -1;
    client->is_ended = true;
    answer(world->kept, 200, "anybody?");
    world->kept = NULL;
    send_text(world, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(run_until(world, is_kept));
    http_server_close(world->server);
    world->server = NULL;
    answer(world->kept, 200, "anybody?");
}

static void test_one_document_for_many(void **state)
{
    struct world *world = *state;
    cleanup_free char *pattern = memory_alloc(200001);
    memset(pattern, 'd', 200000);
    world->document = http_server_document_new(&(struct http_answer){
        .status = 200, .type = "text/plain", .text = memory_copy_text(pattern), .len = 200000});
    for (int i = 0; i < 20; i++) {
        send_text(world, "GET /document HTTP/1.1\r\n" CLOSE);
    }
    assert_true(run_until(world, all_ended));
    for (size_t i = 0; i < world->count; i++) {
        assert_non_null(strstr(world->clients[i].bytes, pattern));
    }
}

static bool has_second(struct world *world)
{
    return strstr(world->clients[0].bytes, "second") != NULL;
}

static bool is_gone_or_20_ms(struct world *world)
{
    return world->gone > 0 || world->waited_ms >= 20;
}

static bool has_stream(struct world *world)
{
    return world->stream != NULL && strstr(world->clients[0].bytes, "event-stream") != NULL;
}

static void test_a_stream(void **state)
{
    struct world *world = *state;
    struct client *client = send_text(world, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(run_until(world, has_stream));
    http_server_stream_send(world->stream, "first", 5);
    http_server_stream_send(world->stream, "second", 6);
    assert_true(run_until(world, has_second));
    assert_non_null(strstr(client->bytes, "first"));
    close(client->fd);
    client->fd = -1;
    client->is_ended = true;
    for (int i = 0; i < 100 && world->gone == 0; i++) { /* noticed when written to */
        http_server_stream_send(world->stream, "third", 5);
        run_until(world, is_gone_or_20_ms);
    }
    assert_int_equal(world->gone, 1);
}

/* A reader that does not read is cut off at its bound; nobody else notices. */
static void test_a_stream_that_is_not_read(void **state)
{
    struct world *world = *state;
    struct client *client = send_text(world, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(run_until(world, has_stream));
    client->is_ended = true; /* reads no more */
    cleanup_free char *part = memory_alloc(65536);
    memset(part, 'p', 65536);
    for (int i = 0; i < 400 && world->stream != NULL; i++) {
        http_server_stream_send(world->stream, part, 65536);
    }
    send_text(world, "GET / HTTP/1.1\r\n" CLOSE);
    assert_true(run_until(world, all_ended));
    assert_int_equal(world->requests, 2);
}

static void test_too_many_streams(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < HTTP_SERVER_STREAMS; i++) {
        send_text(world, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    assert_true(run_until(world, has_stream));
    struct client *client = send_text(world, "GET /stream HTTP/1.1\r\n" CLOSE);
    for (size_t i = 0; i + 1 < world->count; i++) {
        world->clients[i].is_ended = true;
    }
    assert_true(run_until(world, all_ended));
    assert_int_equal(strncmp(client->bytes, "HTTP/1.1 503 ", 13), 0);
}

static bool are_at_limit(struct world *world)
{
    return http_server_connections(world->server) == HTTP_SERVER_CONNECTIONS;
}

static bool is_never(struct world *world)
{
    return world->waited_ms > 300;
}

/* Those past the limit wait outside, and are served when others leave. */
static void test_connections_are_bounded(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < HTTP_SERVER_CONNECTIONS; i++) {
        send_text(world, "GET / HTTP/1.1\r\nHost:");
    }
    assert_true(run_until(world, are_at_limit));
    struct client *client = send_text(world, "GET / HTTP/1.1\r\n" CLOSE);
    run_until(world, is_never);
    assert_int_equal(client->len, 0);
    assert_int_equal(http_server_connections(world->server), HTTP_SERVER_CONNECTIONS);
    for (size_t i = 0; i + 1 < world->count; i++) {
        close(world->clients[i].fd);
        world->clients[i].fd = -1;
        world->clients[i].is_ended = true;
    }
    assert_true(run_until(world, all_ended));
    assert_non_null(strstr(client->bytes, "hello"));
}

static void test_an_address_that_is_taken(void **state)
{
    struct world *world = *state;
    struct http_server *second;
    struct err err;
    struct http_server_options options = {
        .loop = world->loop, .listen = world->listen, .on_request = on_request};
    assert_int_equal(http_server_open(&options, &second, &err), -EADDRINUSE);
    assert_non_null(strstr(err.text, world->listen));
    options.listen = "192.0.2.1:7410";
    assert_int_equal(http_server_open(&options, &second, &err), -EADDRNOTAVAIL);
    options.listen = "nonsense";
    assert_int_equal(http_server_open(&options, &second, &err), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_request_and_its_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bodies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_too_large, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_answer_that_comes_later, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_answer_to_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_document_for_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_stream, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_stream_that_is_not_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_too_many_streams, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_connections_are_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_address_that_is_taken, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
