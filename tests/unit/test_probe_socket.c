#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "agent/probe_socket.h"
#include "common/memory.h"
#include "tests/unit/redis_server.h"

/* A server that gives one answer to whoever comes, after the first bytes of theirs where it waits for them.
 */
struct script {
    const char *answer;
    size_t len;
    bool is_hung, is_closing;
};

static pid_t serve(const struct script *script, int *port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    assert_int_equal(0, bind(fd, (struct sockaddr *)&address, sizeof address));
    assert_int_equal(0, listen(fd, 4));
    assert_int_equal(0, getsockname(fd, (struct sockaddr *)&address, &len));
    *port = ntohs(address.sin_port);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int peer = accept(fd, NULL, NULL);
        char drop[1024];
        if (!script->is_closing && read(peer, drop, sizeof drop) >= 0 && !script->is_hung) {
            for (size_t i = 0; i < script->len; i++) { /* byte by byte */
                send(peer, script->answer + i, 1, MSG_NOSIGNAL);
                poll(NULL, 0, i < 16);
            }
        }
        if (script->is_hung) {
            pause();
        }
        close(peer);
        _exit(0);
    }
    close(fd);
    return pid;
}

struct result {
    struct loop *loop;
    int count;
    char failure[256]; /* "": well */
};

static void on_done(void *arg, const char *failure)
{
    struct result *result = arg;
    result->count++;
    snprintf(result->failure, sizeof result->failure, "%s", failure == NULL ? "" : failure);
    loop_stop(result->loop);
}

static void run(const struct probe_spec *spec, const char *host, struct result *result)
{
    *result = (struct result){.loop = loop_new()};
    assert_non_null(probe_socket_start(result->loop, spec, host, on_done, result));
    assert_int_equal(0, result->count); /* never from within start */
    loop_run(result->loop);
    loop_free(result->loop);
    assert_int_equal(1, result->count);
}

static void expect(const char *failure, const struct result *result)
{
    if (failure == NULL ? result->failure[0] != '\0' : strstr(result->failure, failure) == NULL) {
        fail_msg("it says \"%s\", should say \"%s\"", result->failure, failure == NULL ? "" : failure);
    }
}

#define ANSWER(text) .answer = text, .len = sizeof text - 1

static void answers_are_judged(void **state)
{
    (void)state;
    static const struct {
        enum probe_kind kind;
        struct script script;
        const char *password;
        const char *failure; /* NULL: well */
    } cases[] = {
        {PROBE_HTTP, {ANSWER("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")}, "", NULL},
        {PROBE_HTTP, {ANSWER("HTTP/1.0 302 Found\r\n\r\n")}, "", NULL},
        {PROBE_HTTP, {ANSWER("HTTP/1.1 503 No\r\n\r\n")}, "", "status 503 is none that was asked for"},
        {PROBE_HTTP, {ANSWER("HTTP/1.1 2x0 OK\r\n\r\n")}, "", "it does not speak HTTP/1"},
        {PROBE_HTTP, {ANSWER("HTTP/2 200 OK\r\n\r\n")}, "", "it does not speak HTTP/1"},
        {PROBE_HTTP, {ANSWER("SSH-2.0-x\r\n")}, "", "it does not speak HTTP/1"},
        {PROBE_HTTP, {ANSWER("HTTP/1.1 20")}, "", "broken off: the connection was closed"},
        {PROBE_HTTP, {.is_hung = true}, "", "no answer within 0.3 s"},
        {PROBE_TCP, {.is_closing = true}, "", NULL},
        {PROBE_REDIS, {ANSWER("+PONG\r\n")}, "", NULL},
        {PROBE_REDIS, {ANSWER("+OK\r\n+PONG\r\n")}, "pw", NULL},
        {PROBE_REDIS, {ANSWER("-WRONGPASS no\r\n-NOAUTH no\r\n")}, "pw", "Redis says: WRONGPASS no"},
        {PROBE_REDIS, {ANSWER("-LOADING wait\r\n")}, "", "Redis says: LOADING wait"},
        {PROBE_REDIS, {ANSWER("HTTP/1.1 400\r\n")}, "", "Redis says: HTTP/1.1 400"},
        {PROBE_REDIS, {ANSWER("+PON")}, "", "broken off: the connection was closed"},
        {PROBE_REDIS, {.is_closing = true}, "", "broken off"},
        {PROBE_REDIS, {.is_hung = true}, "", "no answer within 0.3 s"},
        {PROBE_POSTGRES, {ANSWER("R\0\0\0\10\0\0\0\0")}, "", NULL},
        {PROBE_POSTGRES, {ANSWER("E\0\0\0\44SFATAL\0C28P01\0Mwrong password\0\0\0")}, "", NULL},
        {PROBE_POSTGRES,
         {ANSWER("E\0\0\0\46SFATAL\0C57P03\0Mstarting up, wait\0\0")},
         "",
         "Postgres says: starting up, wait"},
        {PROBE_POSTGRES,
         {ANSWER("E\0\0\0\46SFATAL\0C53300\0Mtoo many clients!\0\0")},
         "",
         "Postgres says: too many clients!"},
        {PROBE_POSTGRES, {ANSWER("E\0\0\0\1")}, "", "does not speak the protocol"},
        {PROBE_POSTGRES, {ANSWER("E\377\377\377\377SFATAL")}, "", "broken off"},
        {PROBE_POSTGRES, {ANSWER("HTTP/1.1 400 Bad Request\r\n")}, "", "does not speak the protocol"},
        {PROBE_POSTGRES, {.is_hung = true}, "", "no answer within 0.3 s"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct probe_spec spec = {.kind = cases[i].kind, .timeout_ms = cases[i].script.is_hung ? 300 : 3000};
        struct result result;
        spec.statuses[0] = (struct probe_range){200, 399};
        spec.status_count = 1;
        memory_set_text(spec.path, sizeof spec.path, "/");
        memory_set_text(spec.password, sizeof spec.password, cases[i].password);
        pid_t pid = serve(&cases[i].script, &spec.port);
        run(&spec, "127.0.0.1", &result);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        expect(cases[i].failure, &result);
    }
}

static void nobody_there_is_told(void **state)
{
    (void)state;
    struct probe_spec spec = {.kind = PROBE_TCP, .port = redis_server_free_port(), .timeout_ms = 3000};
    struct result result;
    run(&spec, "127.0.0.1", &result);
    expect("cannot connect: Connection refused", &result);
    run(&spec, "no-such-host.invalid", &result);
    expect("no-such-host.invalid is not found", &result);
    run(&spec, "localhost", &result); /* by the thread, and all its addresses */
    expect("cannot connect: Connection refused", &result);
}

static void a_full_backlog_is_a_timeout(void **state)
{
    (void)state;
    struct probe_spec spec = {.kind = PROBE_TCP, .timeout_ms = 200};
    struct result result = {.count = 0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    assert_int_equal(0, bind(fd, (struct sockaddr *)&address, sizeof address));
    assert_int_equal(0, listen(fd, 0));
    assert_int_equal(0, getsockname(fd, (struct sockaddr *)&address, &len));
    spec.port = ntohs(address.sin_port);
    for (int i = 0; i < 3; i++) {
        run(&spec, "127.0.0.1", &result);
        if (result.failure[0] != '\0') {
            break;
        }
    }
    expect("cannot connect within 0.2 s", &result);
    close(fd);
}

static void a_real_redis_with_a_password(void **state)
{
    (void)state;
    struct redis_server server;
    struct result result;
    static const char *const extra[] = {"--requirepass", "secret", NULL};
    redis_server_prepare(&server);
    redis_server_start(&server, extra);
    struct probe_spec spec = {.kind = PROBE_REDIS, .port = server.port, .timeout_ms = 3000};
    run(&spec, "127.0.0.1", &result);
    expect("Redis says: NOAUTH", &result);
    memory_set_text(spec.password, sizeof spec.password, "secret");
    run(&spec, "127.0.0.1", &result);
    expect(NULL, &result);
    redis_server_remove(&server);
}

static void cancelling_leaves_nothing_behind(void **state)
{
    (void)state;
    struct result result = {.loop = loop_new()};
    struct probe_spec spec = {.kind = PROBE_TCP, .port = 1, .timeout_ms = 60000};
    probe_socket_cancel(probe_socket_start(result.loop, &spec, "127.0.0.1", on_done, &result));
    probe_socket_cancel(probe_socket_start(result.loop, &spec, "no-such-host.invalid", on_done, &result));
    loop_run(result.loop); /* would wait for the deadline of one that is left */
    loop_free(result.loop);
    assert_int_equal(0, result.count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_judged),
        cmocka_unit_test(nobody_there_is_told),
        cmocka_unit_test(a_full_backlog_is_a_timeout),
        cmocka_unit_test(a_real_redis_with_a_password),
        cmocka_unit_test(cancelling_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
