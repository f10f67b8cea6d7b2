#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/http_client.h"

enum { PATIENCE_MS = 20000 };

/* ---- a small HTTP server: a thread for each connection; the path says how to answer ---- */

struct server {
    char dir[64];
    char path[96];
    int listener;
    pthread_t acceptor;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int requests; /* under the mutex, like all below */
    int posts;
    int connections;
    int open_connections;
    bool may_go_on; /* what /held answers waits for */
    char last_head[4096];
    char last_body[4096];
};

struct connection {
    struct server *server;
    int fd;
};

static void say(int fd, const char *text)
{
    size_t len = strlen(text);
    while (len > 0) {
        ssize_t written = send(fd, text, len, MSG_NOSIGNAL);
        if (written <= 0) {
            return;
        }
        text += written;
        len -= (size_t)written;
    }
}

static void say_body(int fd, int status, const char *body, size_t len)
{
    char head[128];
    snprintf(head, sizeof head, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n\r\n", status, len);
    say(fd, head);
    say(fd, body);
}

static void wait_to_go_on(struct server *server)
{
    pthread_mutex_lock(&server->mutex);
    while (!server->may_go_on) {
        pthread_cond_wait(&server->changed, &server->mutex);
    }
    pthread_mutex_unlock(&server->mutex);
}

static void let_go_on(struct server *server)
{
    pthread_mutex_lock(&server->mutex);
    server->may_go_on = true;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->mutex);
}

static void say_big(int fd, size_t len)
{
    char *body = malloc(len + 1);
    for (size_t i = 0; i < len; i++) {
        body[i] = (char)('a' + i % 26);
    }
    body[len] = '\0';
    say_body(fd, 200, body, len);
    free(body);
}

static bool answer(struct server *server, int fd, const char *path)
{
    if (strcmp(path, "/hello") == 0) {
        say_body(fd, 200, "hello", 5);
    } else if (strcmp(path, "/empty") == 0) {
        say(fd, "HTTP/1.1 204 No Content\r\n\r\n");
    } else if (strcmp(path, "/missing") == 0) {
        say_body(fd, 404, "{\"message\":\"none\"}", 18);
    } else if (strcmp(path, "/moved") == 0) {
        say(fd, "HTTP/1.1 302 Found\r\nLocation: /hello\r\nContent-Length: 0\r\n\r\n");
    } else if (strncmp(path, "/big/", 5) == 0) {
        say_big(fd, (size_t)strtol(path + 5, NULL, 10));
    } else if (strcmp(path, "/stream") == 0) {
        say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nfirst\n\r\n");
        wait_to_go_on(server);
        say(fd, "7\r\nsecond\n\r\n0\r\n\r\n");
    } else if (strcmp(path, "/broken") == 0) {
        say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nfirst\n\r\n");
        return false;
    } else if (strcmp(path, "/short") == 0) {
        say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnot all");
        return false;
    } else if (strcmp(path, "/held") == 0) {
        wait_to_go_on(server);
        say_body(fd, 200, "late", 4);
    } else if (strcmp(path, "/garbage") == 0) {
        say(fd, "this is no HTTP at all\r\n\r\n");
        return false;
    } else { /* "/hangup": closes unanswered */
        return false;
    }
    return true;
}

/* Reads one request into head and body. False at the end of the connection. */
static bool read_request(int fd, char *head, size_t head_size, char *body, size_t body_size)
{
    size_t len = 0;
    head[0] = '\0';
    while (strstr(head, "\r\n\r\n") == NULL) {
        if (len + 1 >= head_size || read(fd, head + len, 1) != 1) {
            return false;
        }
        head[++len] = '\0';
    }
    const char *field = strstr(head, "Content-Length: ");
    size_t wanted = field != NULL ? (size_t)strtol(field + 16, NULL, 10) : 0;
    wanted = wanted < body_size ? wanted : body_size - 1;
    for (size_t got = 0; got < wanted; got++) {
        if (read(fd, body + got, 1) != 1) {
            return false;
        }
    }
    body[wanted] = '\0';
    return true;
}

static void *run_connection(void *arg)
{
    struct connection *connection = arg;
    struct server *server = connection->server;
    char head[4096];
    char body[4096];
    bool is_open = true;
    while (is_open && read_request(connection->fd, head, sizeof head, body, sizeof body)) {
        char path[256] = "";
        sscanf(head, "%*s %255s", path);
        pthread_mutex_lock(&server->mutex);
        server->requests++;
        server->posts += strncmp(head, "POST ", 5) == 0;
        strcpy(server->last_head, head);
        strcpy(server->last_body, body);
        pthread_mutex_unlock(&server->mutex);
        is_open = answer(server, connection->fd, path);
    }
    close(connection->fd);
    pthread_mutex_lock(&server->mutex);
    server->open_connections--;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->mutex);
    free(connection);
    return NULL;
}

static void *run_acceptor(void *arg)
{
    struct server *server = arg;
    int fd;
    while ((fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        struct connection *connection = calloc(1, sizeof *connection);
        connection->server = server;
        connection->fd = fd;
        pthread_mutex_lock(&server->mutex);
        server->connections++;
        server->open_connections++;
        pthread_mutex_unlock(&server->mutex);
        pthread_t thread; /* not in the connection: that one may be freed before pthread_create returns */
        pthread_create(&thread, NULL, run_connection, connection);
        pthread_detach(thread);
    }
    return NULL;
}

static int listen_at(const char *path)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    assert_int_equal(0, bind(fd, (struct sockaddr *)&address, sizeof address));
    assert_int_equal(0, listen(fd, 64));
    return fd;
}

static void server_start(struct server *server)
{
    strcpy(server->dir, "/tmp/defib-test-http-XXXXXX");
    assert_non_null(mkdtemp(server->dir));
    snprintf(server->path, sizeof server->path, "%s/engine.sock", server->dir);
    pthread_mutex_init(&server->mutex, NULL);
    pthread_cond_init(&server->changed, NULL);
    server->listener = listen_at(server->path);
    assert_int_equal(0, pthread_create(&server->acceptor, NULL, run_acceptor, server));
}

static void server_stop(struct server *server)
{
    let_go_on(server);
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->acceptor, NULL);
    close(server->listener);
    pthread_mutex_lock(&server->mutex);
    while (server->open_connections > 0) {
        pthread_cond_wait(&server->changed, &server->mutex);
    }
    pthread_mutex_unlock(&server->mutex);
    unlink(server->path);
    rmdir(server->dir);
}

/* ---- the fixture ---- */

struct fixture {
    struct server server;
    struct loop *loop;
    struct loop_timer *watch;
    struct mono give_up;
    bool (*is_reached)(struct fixture *fixture);
    struct http_client *client;
    struct http_call *victim;
    int wanted;
    int done;
    int opens;
    int status;
    int code;
    char text[400];
    char *body;
    size_t len;
    char streamed[256];
};

static void check_goal(void *arg)
{
    struct fixture *fixture = arg;
    if (fixture->is_reached(fixture) || mono_reached(loop_now(fixture->loop), fixture->give_up)) {
        loop_stop(fixture->loop);
    }
}

static void run_until(struct fixture *fixture, bool (*is_reached)(struct fixture *fixture))
{
    fixture->is_reached = is_reached;
    fixture->give_up = mono_add(clock_mono_now(), PATIENCE_MS);
    loop_timer_start(fixture->watch, 0, 2);
    loop_run(fixture->loop);
    loop_timer_stop(fixture->watch);
    /* what the server wrote before it answered is visible from here on */
    pthread_mutex_lock(&fixture->server.mutex);
    pthread_mutex_unlock(&fixture->server.mutex);
    if (!is_reached(fixture)) {
        fail_msg("gave up: done %d status %d code %d '%s' streamed '%s'", fixture->done, fixture->status,
                 fixture->code, fixture->text, fixture->streamed);
    }
}

static bool is_done(struct fixture *fixture)
{
    return fixture->done >= fixture->wanted;
}

static bool is_client_gone(struct fixture *fixture)
{
    return fixture->client == NULL;
}

static bool has_streamed_first(struct fixture *fixture)
{
    return strcmp(fixture->streamed, "first\n") == 0;
}

static bool is_held(struct fixture *fixture)
{
    pthread_mutex_lock(&fixture->server.mutex);
    bool is_held = fixture->server.requests >= fixture->wanted;
    pthread_mutex_unlock(&fixture->server.mutex);
    return is_held;
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    server_start(&fixture->server);
    fixture->loop = loop_new();
    fixture->watch = loop_timer_new(fixture->loop, check_goal, fixture);
    struct http_client_options options = {.unix_path = fixture->server.path, .base_url = "http://localhost"};
    fixture->client = http_client_new(fixture->loop, &options);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    http_client_free(fixture->client);
    server_stop(&fixture->server);
    loop_timer_free(fixture->watch);
    loop_free(fixture->loop);
    free(fixture->body);
    free(fixture);
    return 0;
}

static void note_done(void *arg, const struct http_response *response)
{
    struct fixture *fixture = arg;
    fixture->done++;
    fixture->status = response->status;
    fixture->code = response->err.code;
    snprintf(fixture->text, sizeof fixture->text, "%s", response->err.text);
    free(fixture->body);
    fixture->body = malloc(response->len + 1);
    memcpy(fixture->body, response->body, response->len + 1);
    fixture->len = response->len;
}

static void note_data(void *arg, const char *bytes, size_t len)
{
    struct fixture *fixture = arg;
    strncat(fixture->streamed, bytes, len);
}

static void note_open(void *arg)
{
    struct fixture *fixture = arg;
    assert_string_equal("", fixture->streamed);
    fixture->opens++;
}

static struct http_request request_of(struct fixture *fixture, const char *method, const char *path)
{
    return (struct http_request){
        .method = method, .path = path, .timeout_ms = 10000, .on_done = note_done, .arg = fixture};
}

static struct http_call *send_plain(struct fixture *fixture, const char *method, const char *path)
{
    struct http_request request = request_of(fixture, method, path);
    return http_client_send(fixture->client, &request);
}

static void do_plain(struct fixture *fixture, const char *method, const char *path)
{
    int before = fixture->done;
    send_plain(fixture, method, path);
    assert_int_equal(before, fixture->done);
    fixture->wanted = before + 1;
    run_until(fixture, is_done);
}

/* ---- answers ---- */

static void answers_come_whole(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *method;
        const char *path;
        int status;
        int code;
        const char *body;
    } cases[] = {
        {"GET", "/hello", 200, 0, "hello"}, {"POST", "/hello", 200, 0, "hello"},
        {"POST", "/empty", 204, 0, ""},     {"DELETE", "/missing", 404, 0, "{\"message\":\"none\"}"},
        {"GET", "/moved", 302, 0, ""},      {"GET", "/hangup", 0, EPIPE, ""},
        {"GET", "/short", 200, EPIPE, ""},  {"GET", "/broken", 200, EPIPE, ""},
        {"GET", "/garbage", 0, EIO, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        do_plain(fixture, cases[i].method, cases[i].path);
        if (cases[i].status != fixture->status || cases[i].code != fixture->code) {
            fail_msg("%s: status %d code %d %s", cases[i].path, fixture->status, fixture->code,
                     fixture->text);
        }
        assert_string_equal(cases[i].body, fixture->body);
        assert_int_equal(strlen(cases[i].body), fixture->len);
        assert_true((fixture->text[0] != '\0') == (cases[i].code != 0));
        if (cases[i].code != 0) {
            assert_non_null(strstr(fixture->text, cases[i].path));
        }
    }
}

static void a_body_may_be_just_as_large_as_allowed(void **state)
{
    struct fixture *fixture = *state;
    for (int extra = 0; extra < 2; extra++) {
        struct http_request request = request_of(fixture, "GET", extra ? "/big/200001" : "/big/200000");
        request.max_bytes = 200000;
        http_client_send(fixture->client, &request);
        fixture->wanted++;
        run_until(fixture, is_done);
        assert_int_equal(extra ? EMSGSIZE : 0, fixture->code);
        assert_int_equal(extra ? 0 : 200000, fixture->len);
        for (size_t i = 0; i < fixture->len; i++) {
            assert_int_equal('a' + i % 26, fixture->body[i]);
        }
    }
}

static void headers_are_those_that_docker_wants(void **state)
{
    struct fixture *fixture = *state;
    struct http_request request = request_of(fixture, "POST", "/hello?filters=%7B%7D");
    request.body = "{\"a\":1}";
    http_client_send(fixture->client, &request);
    fixture->wanted = 1;
    run_until(fixture, is_done);
    const char *head = fixture->server.last_head; /* the answer is here: nobody writes any more */
    assert_non_null(strstr(head, "POST /hello?filters=%7B%7D HTTP/1.1\r\n"));
    assert_non_null(strstr(head, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(head, "Content-Length: 7\r\n"));
    assert_null(strcasestr(head, "expect"));
    assert_string_equal("{\"a\":1}", fixture->server.last_body);
    do_plain(fixture, "POST", "/hello");
    assert_non_null(strstr(fixture->server.last_head, "Content-Length: 0\r\n"));
    assert_null(strcasestr(fixture->server.last_head, "content-type"));
}

static void gets_share_a_connection_and_posts_never_do(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 5; i++) {
        do_plain(fixture, "GET", "/hello");
    }
    assert_int_equal(1, fixture->server.connections);
    for (int i = 0; i < 3; i++) {
        do_plain(fixture, "POST", "/hello");
    }
    do_plain(fixture, "GET", "/hello");
    assert_int_equal(4, fixture->server.connections);
}

static void a_post_that_dies_unanswered_is_not_repeated(void **state)
{
    struct fixture *fixture = *state;
    do_plain(fixture, "GET", "/hello"); /* leaves a connection to reuse */
    do_plain(fixture, "POST", "/hangup");
    assert_int_equal(EPIPE, fixture->code);
    assert_int_equal(0, fixture->status);
    assert_int_equal(1, fixture->server.posts);
}

/* ---- streams ---- */

static struct http_call *send_stream(struct fixture *fixture, const char *path)
{
    struct http_request request = request_of(fixture, "GET", path);
    request.timeout_ms = 0;
    request.on_data = note_data;
    request.on_open = note_open;
    return http_client_send(fixture->client, &request);
}

static void a_stream_gives_each_piece_as_it_comes(void **state)
{
    struct fixture *fixture = *state;
    send_stream(fixture, "/stream");
    run_until(fixture, has_streamed_first); /* the server holds the rest back */
    assert_int_equal(1, fixture->opens);
    do_plain(fixture, "GET", "/hello"); /* beside it */
    assert_int_equal(200, fixture->status);
    let_go_on(&fixture->server);
    fixture->wanted = 2;
    run_until(fixture, is_done);
    assert_string_equal("first\nsecond\n", fixture->streamed);
    assert_int_equal(0, fixture->code);
    assert_int_equal(0, fixture->len);
}

static void a_stream_that_breaks_says_so_after_its_data(void **state)
{
    struct fixture *fixture = *state;
    send_stream(fixture, "/broken");
    fixture->wanted = 1;
    run_until(fixture, is_done);
    assert_string_equal("first\n", fixture->streamed);
    assert_int_equal(EPIPE, fixture->code);
    assert_int_equal(200, fixture->status);
}

static void a_stream_that_is_refused_keeps_the_reason(void **state)
{
    struct fixture *fixture = *state;
    send_stream(fixture, "/missing");
    fixture->wanted = 1;
    run_until(fixture, is_done);
    assert_int_equal(404, fixture->status);
    assert_int_equal(0, fixture->opens);
    assert_string_equal("", fixture->streamed);
    assert_string_equal("{\"message\":\"none\"}", fixture->body);
}

static void a_stream_has_no_limit_in_total(void **state)
{
    struct fixture *fixture = *state;
    struct http_request request = request_of(fixture, "GET", "/big/200");
    request.on_data = note_data;
    request.max_bytes = 10;
    http_client_send(fixture->client, &request);
    fixture->wanted = 1;
    run_until(fixture, is_done);
    assert_int_equal(0, fixture->code);
    assert_int_equal(200, strlen(fixture->streamed));
}

/* ---- failures ---- */

static void a_slow_answer_meets_the_timeout(void **state)
{
    struct fixture *fixture = *state;
    struct http_request request = request_of(fixture, "POST", "/held");
    request.timeout_ms = 200;
    struct mono before = clock_mono_now();
    http_client_send(fixture->client, &request);
    fixture->wanted = 1;
    run_until(fixture, is_done);
    assert_int_equal(ETIMEDOUT, fixture->code);
    assert_int_equal(0, fixture->status);
    assert_in_range(mono_diff(clock_mono_now(), before), 195, 5000);
}

static void use_socket(struct fixture *fixture, const char *path)
{
    http_client_free(fixture->client);
    struct http_client_options options = {.unix_path = path, .base_url = "http://localhost"};
    fixture->client = http_client_new(fixture->loop, &options);
}

static void a_socket_that_cannot_be_reached_is_named_with_the_cause(void **state)
{
    struct fixture *fixture = *state;
    char path[128];
    snprintf(path, sizeof path, "%s/missing.sock", fixture->server.dir);
    use_socket(fixture, path);
    do_plain(fixture, "GET", "/hello");
    assert_int_equal(ENOENT, fixture->code);
    assert_non_null(strstr(fixture->text, path));
    assert_non_null(strstr(fixture->text, "GET /hello"));

    snprintf(path, sizeof path, "%s/dead.sock", fixture->server.dir);
    close(listen_at(path)); /* stays behind without a listener */
    use_socket(fixture, path);
    do_plain(fixture, "GET", "/hello");
    assert_int_equal(ECONNREFUSED, fixture->code);
    assert_int_equal(0, fixture->status);
    unlink(path);
}

/* Root passes every permission: a child that is nobody tries, in a process of its own. */
static int try_as_nobody(const char *path)
{
    if (setgid(65534) != 0 || setuid(65534) != 0) {
        return 200;
    }
    struct fixture fixture = {.loop = loop_new()};
    fixture.watch = loop_timer_new(fixture.loop, check_goal, &fixture);
    use_socket(&fixture, path);
    do_plain(&fixture, "GET", "/hello");
    http_client_free(fixture.client);
    loop_timer_free(fixture.watch);
    loop_free(fixture.loop);
    free(fixture.body);
    return fixture.code;
}

static void a_socket_without_permission_is_eacces(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(0, chmod(fixture->server.dir, 0711));
    assert_int_equal(0, chmod(fixture->server.path, 0600));
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        _exit(try_as_nobody(fixture->server.path));
    }
    int status = 0;
    assert_int_equal(pid, waitpid(pid, &status, 0));
    assert_true(WIFEXITED(status));
    assert_int_equal(geteuid() == 0 ? EACCES : 200, WEXITSTATUS(status));
}

static void a_refused_tcp_connection_is_told(void **state)
{
    struct fixture *fixture = *state;
    http_client_free(fixture->client);
    struct http_client_options options = {.base_url = "http://127.0.0.1:1"};
    fixture->client = http_client_new(fixture->loop, &options);
    do_plain(fixture, "GET", "/hello");
    assert_int_equal(ECONNREFUSED, fixture->code);
}

/* ---- many at once, and ends from within ---- */

static void more_calls_than_connections_wait_their_turn(void **state)
{
    struct fixture *fixture = *state;
    http_client_free(fixture->client);
    struct http_client_options options = {
        .unix_path = fixture->server.path, .base_url = "http://localhost", .max_connections = 3};
    fixture->client = http_client_new(fixture->loop, &options);
    for (int i = 0; i < 40; i++) {
        send_plain(fixture, i % 2 ? "GET" : "POST", "/hello");
    }
    fixture->wanted = 40;
    run_until(fixture, is_done);
    assert_int_equal(200, fixture->status);
    assert_int_equal(40, fixture->server.requests);
    assert_int_equal(20, fixture->server.posts);
}

static void a_cancelled_call_says_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct http_call *call = send_plain(fixture, "POST", "/held");
    http_call_cancel(send_plain(fixture, "GET", "/hello")); /* before its first turn */
    fixture->wanted = 1;
    run_until(fixture, is_held);
    http_call_cancel(call);
    let_go_on(&fixture->server);
    do_plain(fixture, "GET", "/hello");
    assert_int_equal(1, fixture->done);
}

static void cancel_victim(struct fixture *fixture)
{
    struct http_call *victim = fixture->victim;
    fixture->victim = NULL;
    http_call_cancel(victim);
}

static void cancel_in_done(void *arg, const struct http_response *response)
{
    note_done(arg, response);
    cancel_victim(arg);
    send_plain(arg, "GET", "/hello");
}

static void cancel_in_data(void *arg, const char *bytes, size_t len)
{
    note_data(arg, bytes, len);
    cancel_victim(arg);
    assert_memory_equal("first\n", bytes, 6); /* still ours */
    send_plain(arg, "GET", "/hello");
}

static void cancel_in_open(void *arg)
{
    note_open(arg);
    cancel_victim(arg);
    send_plain(arg, "GET", "/hello");
}

static void callbacks_may_cancel_and_send(void **state)
{
    struct fixture *fixture = *state;
    fixture->victim = send_plain(fixture, "POST", "/held");
    struct http_request request = request_of(fixture, "GET", "/hello");
    request.on_done = cancel_in_done;
    http_client_send(fixture->client, &request);
    fixture->wanted = 2;
    run_until(fixture, is_done);
    assert_null(fixture->victim);

    request = request_of(fixture, "GET", "/broken"); /* itself, though its end is already known */
    request.on_data = cancel_in_data;
    fixture->victim = http_client_send(fixture->client, &request);
    fixture->wanted = 3;
    run_until(fixture, is_done);
    assert_string_equal("first\n", fixture->streamed);

    fixture->streamed[0] = '\0';
    request.on_data = note_data;
    request.on_open = cancel_in_open;
    fixture->victim = http_client_send(fixture->client, &request);
    fixture->wanted = 4;
    run_until(fixture, is_done);
    assert_int_equal(1, fixture->opens);
    assert_string_equal("", fixture->streamed);
}

static void free_client(struct fixture *fixture)
{
    struct http_client *client = fixture->client;
    fixture->client = NULL;
    http_client_free(client);
}

static void free_in_done(void *arg, const struct http_response *response)
{
    note_done(arg, response);
    free_client(arg);
    assert_memory_equal("hello", response->body, 5); /* still ours */
}

static void free_in_data(void *arg, const char *bytes, size_t len)
{
    note_data(arg, bytes, len);
    free_client(arg);
    assert_memory_equal("first\n", bytes, 6);
}

static void a_client_may_be_freed_in_every_callback(void **state)
{
    struct fixture *fixture = *state;
    send_plain(fixture, "POST", "/held");
    struct http_request request = request_of(fixture, "GET", "/hello");
    request.on_done = free_in_done;
    http_client_send(fixture->client, &request);
    run_until(fixture, is_client_gone);
    assert_int_equal(1, fixture->done);

    struct http_client_options options = {.unix_path = fixture->server.path, .base_url = "http://localhost"};
    fixture->client = http_client_new(fixture->loop, &options);
    request = request_of(fixture, "GET", "/broken");
    request.on_data = free_in_data;
    http_client_send(fixture->client, &request);
    run_until(fixture, is_client_gone);
    assert_int_equal(1, fixture->done);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(answers_come_whole),
        TEST(a_body_may_be_just_as_large_as_allowed),
        TEST(headers_are_those_that_docker_wants),
        TEST(gets_share_a_connection_and_posts_never_do),
        TEST(a_post_that_dies_unanswered_is_not_repeated),
        TEST(a_stream_gives_each_piece_as_it_comes),
        TEST(a_stream_that_breaks_says_so_after_its_data),
        TEST(a_stream_that_is_refused_keeps_the_reason),
        TEST(a_stream_has_no_limit_in_total),
        TEST(a_slow_answer_meets_the_timeout),
        TEST(a_socket_that_cannot_be_reached_is_named_with_the_cause),
        TEST(a_socket_without_permission_is_eacces),
        TEST(a_refused_tcp_connection_is_told),
        TEST(more_calls_than_connections_wait_their_turn),
        TEST(a_cancelled_call_says_nothing),
        TEST(callbacks_may_cancel_and_send),
        TEST(a_client_may_be_freed_in_every_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
