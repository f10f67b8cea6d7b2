#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/rpc.h"
#include "common/rpc_probe.h"

enum { PATIENCE_MS = 60000, MAX_BYTES = 4096, HELD_MAX = 64, STATUS_NONE = 1 };

struct fixture {
    struct loop *loop;
    struct loop_timer *watch;
    struct mono give_up;
    bool (*is_reached)(struct fixture *fixture);
    char dir[64];
    char url[128];
    struct rpc_server *server;
    struct rpc_client *client;
    struct rpc_request *held[HELD_MAX];
    size_t held_count;
    int seen; /* requests that the server got */
    int wanted;
    int answered;
    int failed;
    int status; /* of the last answer */
    size_t answer_len;
};

/* ---- running the loop until something holds ---- */

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
    if (!is_reached(fixture)) {
        fail_msg("gave up: seen %d answered %d failed %d status %d", fixture->seen, fixture->answered,
                 fixture->failed, fixture->status);
    }
}

static bool is_finished(struct fixture *fixture)
{
    return fixture->answered + fixture->failed >= fixture->wanted;
}

static bool is_seen(struct fixture *fixture)
{
    return fixture->seen >= fixture->wanted;
}

static bool is_server_gone(struct fixture *fixture)
{
    return fixture->server == NULL;
}

static bool is_client_gone(struct fixture *fixture)
{
    return fixture->client == NULL;
}

static bool is_time_over(struct fixture *fixture)
{
    return mono_reached(loop_now(fixture->loop), (struct mono){fixture->wanted});
}

static void run_for(struct fixture *fixture, int ms)
{
    int before = fixture->wanted;
    fixture->wanted = (int)clock_mono_now().ms + ms;
    run_until(fixture, is_time_over);
    fixture->wanted = before;
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    strcpy(fixture->dir, "/tmp/defib-test-rpc-XXXXXX");
    assert_non_null(mkdtemp(fixture->dir));
    snprintf(fixture->url, sizeof fixture->url, "ipc://%s/socket", fixture->dir);
    fixture->loop = loop_new();
    fixture->watch = loop_timer_new(fixture->loop, check_goal, fixture);
    fixture->status = STATUS_NONE;
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    rpc_client_close(fixture->client);
    rpc_server_close(fixture->server);
    for (size_t i = 0; i < fixture->held_count; i++) {
        rpc_request_reply(fixture->held[i], (const uint8_t *)"late", 4);
    }
    loop_timer_free(fixture->watch);
    loop_free(fixture->loop);
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", fixture->dir);
    assert_int_equal(0, system(command));
    free(fixture);
    return 0;
}

static void echo(void *arg, struct rpc_request *request, const uint8_t *bytes, size_t len)
{
    ((struct fixture *)arg)->seen++;
    rpc_request_reply(request, bytes == NULL ? (const uint8_t *)"" : bytes, len);
}

static void hold(void *arg, struct rpc_request *request, const uint8_t *bytes, size_t len)
{
    (void)bytes;
    (void)len;
    struct fixture *fixture = arg;
    assert_true(fixture->held_count < HELD_MAX);
    fixture->held[fixture->held_count++] = request;
    fixture->seen++;
}

static void reply_to_held(struct fixture *fixture)
{
    for (size_t i = 0; i < fixture->held_count; i++) {
        rpc_request_reply(fixture->held[i], (const uint8_t *)"done", 4);
    }
    fixture->held_count = 0;
}

static void count_answer(void *arg, int status, const uint8_t *bytes, size_t len)
{
    (void)bytes;
    struct fixture *fixture = arg;
    fixture->status = status;
    fixture->answer_len = len;
    if (status == 0) {
        fixture->answered++;
    } else {
        fixture->failed++;
    }
}

static void serve(struct fixture *fixture,
                  void (*on_request)(void *, struct rpc_request *, const uint8_t *, size_t))
{
    struct rpc_server_options options = {
        .url = fixture->url, .max_bytes = MAX_BYTES, .on_request = on_request, .arg = fixture};
    struct err err = {0};
    if (rpc_server_open(fixture->loop, &options, &fixture->server, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

enum transport { TRANSPORT_TCP, TRANSPORT_IPC };

static const enum transport transports[] = {TRANSPORT_TCP, TRANSPORT_IPC};

static void serve_over(struct fixture *fixture, enum transport transport)
{
    if (transport == TRANSPORT_TCP) {
        strcpy(fixture->url, "tcp://127.0.0.1:0");
    } else {
        snprintf(fixture->url, sizeof fixture->url, "ipc://%s/socket", fixture->dir);
    }
    serve(fixture, echo);
}

static void dial(struct fixture *fixture, const char *url)
{
    struct rpc_client_options options = {.url = url, .max_bytes = MAX_BYTES};
    struct err err = {0};
    if (rpc_client_open(fixture->loop, &options, &fixture->client, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

static void call(struct fixture *fixture, size_t len, int64_t timeout_ms)
{
    static const uint8_t zeros[MAX_BYTES * 2];
    assert_int_equal(0, rpc_client_call(fixture->client, zeros, len, timeout_ms, count_answer, fixture));
}

/* ---- answers ---- */

struct question {
    struct fixture *fixture;
    size_t len;
    uint8_t bytes[];
};

static void expect_echo(void *arg, int status, const uint8_t *bytes, size_t len)
{
    struct question *question = arg;
    assert_int_equal(0, status);
    assert_int_equal(question->len, len);
    assert_memory_equal(question->bytes, bytes, len);
    question->fixture->answered++;
    free(question);
}

static void ask_random(struct fixture *fixture)
{
    size_t len = rand() % 4 == 0 ? (size_t)(rand() % (MAX_BYTES + 1)) : (size_t)(rand() % 50);
    struct question *question = calloc(1, sizeof *question + len);
    question->fixture = fixture;
    question->len = len;
    for (size_t i = 0; i < len; i++) {
        question->bytes[i] = (uint8_t)rand();
    }
    assert_int_equal(0, rpc_client_call(fixture->client, question->bytes, len, 10000, expect_echo, question));
    fixture->wanted++;
}

static void every_answer_belongs_to_its_question(void **state)
{
    struct fixture *fixture = *state;
    srand(3);
    for (size_t round = 0; round < sizeof transports / sizeof *transports; round++) {
        serve_over(fixture, transports[round]);
        if (transports[round] == TRANSPORT_TCP) {
            assert_string_not_equal(fixture->url, rpc_server_url(fixture->server));
            assert_true(strncmp(rpc_server_url(fixture->server), "tcp://127.0.0.1:", 16) == 0);
        }
        dial(fixture, rpc_server_url(fixture->server)); /* the first calls come before the connection */
        for (int i = 0; i < 100; i++) {
            for (int burst = 1 + rand() % 60; burst > 0; burst--) {
                ask_random(fixture);
            }
            run_until(fixture, is_finished);
        }
        assert_int_equal(fixture->wanted, fixture->seen);
        rpc_client_close(fixture->client);
        rpc_server_close(fixture->server);
        fixture->client = NULL;
        fixture->server = NULL;
    }
}

static void sixteen_requests_are_open_at_once_and_more_wait(void **state)
{
    struct fixture *fixture = *state;
    serve(fixture, hold);
    dial(fixture, fixture->url);
    for (int i = 0; i < 20; i++) {
        call(fixture, 8, 10000);
    }
    fixture->wanted = 16;
    run_until(fixture, is_seen);
    run_for(fixture, 50);
    assert_int_equal(16, fixture->seen);
    reply_to_held(fixture);
    fixture->wanted = 20;
    run_until(fixture, is_seen);
    reply_to_held(fixture);
    run_until(fixture, is_finished);
    assert_int_equal(20, fixture->answered);
    assert_int_equal(4, fixture->answer_len);
}

static void drop_first(void *arg, struct rpc_request *request, const uint8_t *bytes, size_t len)
{
    struct fixture *fixture = arg;
    rpc_request_reply(request, fixture->seen++ == 0 ? NULL : bytes, len);
}

static void a_dropped_request_times_out_and_its_place_is_free_again(void **state)
{
    struct fixture *fixture = *state;
    struct rpc_server_options options = {
        .url = fixture->url, .contexts = 1, .max_bytes = MAX_BYTES, .on_request = drop_first, .arg = fixture};
    assert_int_equal(0, rpc_server_open(fixture->loop, &options, &fixture->server, NULL));
    dial(fixture, fixture->url);
    struct mono before = clock_mono_now();
    call(fixture, 8, 600);
    fixture->wanted = 1;
    run_until(fixture, is_finished);
    assert_int_equal(-ETIMEDOUT, fixture->status);
    assert_in_range(mono_diff(clock_mono_now(), before), 590, 5000);
    call(fixture, 8, 10000);
    fixture->wanted = 2;
    run_until(fixture, is_finished);
    assert_int_equal(0, fixture->status);
    assert_int_equal(8, fixture->answer_len);
}

static void call_again(void *arg, int status, const uint8_t *bytes, size_t len)
{
    struct fixture *fixture = arg;
    count_answer(arg, status, bytes, len);
    if (fixture->answered < 1000) {
        assert_int_equal(0, rpc_client_call(fixture->client, bytes, len, 10000, call_again, fixture));
    }
}

static void a_full_client_refuses_and_a_callback_may_call_again(void **state)
{
    struct fixture *fixture = *state;
    serve(fixture, echo);
    struct rpc_client_options options = {.url = fixture->url, .max_bytes = MAX_BYTES, .max_calls = 1};
    assert_int_equal(0, rpc_client_open(fixture->loop, &options, &fixture->client, NULL));
    const uint8_t bytes[] = "again";
    assert_int_equal(0, rpc_client_call(fixture->client, bytes, 5, 10000, call_again, fixture));
    assert_int_equal(-ENOBUFS, rpc_client_call(fixture->client, bytes, 5, 10000, count_answer, fixture));
    fixture->wanted = 1000;
    run_until(fixture, is_finished);
    assert_int_equal(0, fixture->failed);
    assert_int_equal(1000, fixture->seen);
}

/* ---- what does not arrive ---- */

static void nobody_there_fails_fast_and_nothing_is_delivered_later(void **state)
{
    struct fixture *fixture = *state;
    dial(fixture, fixture->url);
    struct mono before = clock_mono_now();
    call(fixture, 8, 60000);
    assert_int_equal(0, fixture->failed); /* never from within */
    fixture->wanted = 1;
    run_until(fixture, is_finished);
    assert_int_equal(-ENOTCONN, fixture->status);
    assert_in_range(mono_diff(clock_mono_now(), before), RPC_CONNECT_WAIT_MS - 5, 5000);
    call(fixture, 8, 30); /* shorter than the wait for a connection */
    fixture->wanted = 2;
    run_until(fixture, is_finished);
    assert_int_equal(-ENOTCONN, fixture->status);
    serve(fixture, echo);
    while (fixture->answered == 0) { /* redials */
        call(fixture, 8, 1000);
        fixture->wanted++;
        run_until(fixture, is_finished);
    }
    run_for(fixture, 100);
    assert_int_equal(1, fixture->seen);
}

static void a_silent_server_is_a_timeout(void **state)
{
    struct fixture *fixture = *state;
    serve(fixture, hold);
    dial(fixture, fixture->url);
    call(fixture, 8, 700);
    fixture->wanted = 1;
    run_until(fixture, is_finished);
    assert_int_equal(1, fixture->seen);
    assert_int_equal(-ETIMEDOUT, fixture->status);
    reply_to_held(fixture); /* comes to nobody */
    run_for(fixture, 50);
    assert_int_equal(0, fixture->answered);
}

static void a_server_restarted_in_a_call_gets_no_duplicate(void **state)
{
    struct fixture *fixture = *state;
    strcpy(fixture->url, "tcp://127.0.0.1:0");
    serve(fixture, hold);
    strcpy(fixture->url, rpc_server_url(fixture->server));
    dial(fixture, fixture->url);
    call(fixture, 8, 3000);
    fixture->wanted = 1;
    run_until(fixture, is_seen);
    rpc_server_close(fixture->server);
    serve(fixture, echo);
    fixture->wanted = 1;
    run_until(fixture, is_finished);
    assert_int_not_equal(0, fixture->status);
    assert_true(fixture->status == -ECONNRESET || fixture->status == -ETIMEDOUT);
    print_message("a call whose server went away ends with %s\n", strerror(-fixture->status));
    while (fixture->answered == 0) {
        call(fixture, 8, 1000);
        fixture->wanted++;
        run_until(fixture, is_finished);
    }
    assert_int_equal(2, fixture->seen);
}

static void too_large_is_refused_both_ways(void **state)
{
    struct fixture *fixture = *state;
    serve(fixture, echo);
    struct rpc_client_options options = {.url = fixture->url, .max_bytes = 16};
    assert_int_equal(0, rpc_client_open(fixture->loop, &options, &fixture->client, NULL));
    static const struct {
        size_t len;
        bool is_seen;
        bool is_answered;
    } cases[] = {
        {16, true, true}, {17, true, false}, {MAX_BYTES + 1, false, false}, {MAX_BYTES, true, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        /* The connection that carried too much is gone: wait for the next. */
        int before = fixture->answered;
        while (fixture->answered == before) {
            call(fixture, 1, 1000);
            fixture->wanted++;
            run_until(fixture, is_finished);
        }
        fixture->seen = 0;
        call(fixture, cases[i].len, 500);
        fixture->wanted++;
        run_until(fixture, is_finished);
        assert_int_equal(cases[i].is_seen, fixture->seen);
        assert_int_equal(cases[i].is_answered, fixture->status == 0);
    }
}

/* ---- closing ---- */

static void refuse_when_closing(void *arg, int status, const uint8_t *bytes, size_t len)
{
    struct fixture *fixture = arg;
    count_answer(arg, status, bytes, len);
    assert_int_equal(-ECANCELED, status);
    assert_int_equal(-ECANCELED, rpc_client_call(fixture->client, bytes, len, 1000, count_answer, fixture));
}

static void closing_a_client_ends_its_calls(void **state)
{
    struct fixture *fixture = *state;
    serve(fixture, hold);
    dial(fixture, fixture->url);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(0, rpc_client_call(fixture->client, (const uint8_t *)"x", 1, 10000,
                                            refuse_when_closing, fixture));
    }
    fixture->wanted = 5;
    run_until(fixture, is_seen);
    rpc_client_close(fixture->client);
    fixture->client = NULL;
    assert_int_equal(10, fixture->failed);
    run_for(fixture, 20);
    assert_int_equal(10, fixture->failed);
}

static int count_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    int count = 0;
    while (readdir(dir) != NULL) {
        count++;
    }
    closedir(dir);
    return count;
}

static bool are_descriptors_few(struct fixture *fixture)
{
    return count_descriptors() <= fixture->wanted;
}

static void a_client_closed_while_it_dials_leaves_nothing(void **state)
{
    enum { CLIENTS = 200, HANDSHAKE_US = 400 };
    struct fixture *fixture = *state;
    srand(5);
    for (size_t round = 0; round < sizeof transports / sizeof *transports; round++) {
        serve_over(fixture, transports[round]);
        fixture->wanted = count_descriptors();
        for (int i = 0; i < CLIENTS; i++) {
            dial(fixture, rpc_server_url(fixture->server));
            usleep((useconds_t)(rand() % HANDSHAKE_US));
            rpc_client_close(fixture->client);
            fixture->client = NULL;
        }
        run_until(fixture, are_descriptors_few);
        rpc_server_close(fixture->server);
        fixture->server = NULL;
    }
}

static void close_client_in_answer(void *arg, int status, const uint8_t *bytes, size_t len)
{
    struct fixture *fixture = arg;
    count_answer(arg, status, bytes, len);
    struct rpc_client *client = fixture->client;
    if (client != NULL) {
        fixture->client = NULL;
        rpc_client_close(client);
    }
}

static void a_client_may_be_closed_in_an_answer(void **state)
{
    struct fixture *fixture = *state;
    serve(fixture, echo);
    dial(fixture, fixture->url);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(0, rpc_client_call(fixture->client, (const uint8_t *)"x", 1, 10000,
                                            close_client_in_answer, fixture));
    }
    run_until(fixture, is_client_gone);
    run_for(fixture, 20);
    assert_int_equal(10, fixture->answered + fixture->failed);
    assert_int_equal(1, fixture->answered);
}

static void close_server_in_request(void *arg, struct rpc_request *request, const uint8_t *bytes, size_t len)
{
    struct fixture *fixture = arg;
    hold(arg, request, bytes, len);
    if (fixture->server != NULL) {
        struct rpc_server *server = fixture->server;
        fixture->server = NULL;
        rpc_server_close(server);
        assert_int_equal(0, bytes[0]); /* still ours */
    }
}

static void a_server_may_be_closed_with_open_requests(void **state)
{
    struct fixture *fixture = *state;
    serve(fixture, hold);
    dial(fixture, fixture->url);
    for (int i = 0; i < 20; i++) {
        call(fixture, 8, 400);
    }
    fixture->wanted = 16;
    run_until(fixture, is_seen);
    rpc_server_close(fixture->server);
    reply_to_held(fixture); /* frees, and nothing else */
    fixture->wanted = 20;
    run_until(fixture, is_finished);
    assert_int_equal(0, fixture->answered);

    serve(fixture, close_server_in_request);
    for (int i = 0; fixture->server != NULL && i < 20; i++) { /* until it has redialled */
        call(fixture, 8, 400);
        fixture->wanted++;
        run_until(fixture, is_finished);
    }
    run_until(fixture, is_server_gone);
    assert_int_equal(0, fixture->answered);
}

/* ---- opening ---- */

static void what_cannot_be_opened_says_why(void **state)
{
    struct fixture *fixture = *state;
    strcpy(fixture->url, "tcp://127.0.0.1:0");
    serve(fixture, echo);
    const struct rpc_tls missing = {"/nonexistent/ca", "/nonexistent/cert", "/nonexistent/key", NULL};
    const struct {
        const char *url;
        const struct rpc_tls *tls;
        int code;
        const char *part;
    } cases[] = {
        {rpc_server_url(fixture->server), NULL, EADDRINUSE, "in use"},
        {"http://127.0.0.1:1", NULL, EINVAL, "must begin with"},
        {"tcp://127.0.0.1:nonsense", NULL, EINVAL, "tcp://127.0.0.1:nonsense"},
        {"ipc:///nonexistent/socket", NULL, ENOENT, "/nonexistent/socket"},
        {"tls+tcp://127.0.0.1:0", NULL, EINVAL, "needs a CA"},
        {"tls+tcp://127.0.0.1:0", &missing, ENOENT, "/nonexistent/ca"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rpc_server_options options = {
            .url = cases[i].url, .tls = cases[i].tls, .max_bytes = 10, .on_request = echo};
        struct rpc_server *server = NULL;
        struct err err = {0};
        int status = rpc_server_open(fixture->loop, &options, &server, &err);
        print_message("%s\n", err.text);
        assert_int_equal(-cases[i].code, status);
        assert_int_equal(cases[i].code, err.code);
        assert_non_null(strstr(err.text, cases[i].part));
        assert_null(server);
    }
    struct rpc_client_options options = {.url = "tls+tcp://127.0.0.1:1", .max_bytes = 10};
    assert_int_equal(-EINVAL, rpc_client_open(fixture->loop, &options, &fixture->client, NULL));
    options.url = "tcp://";
    assert_int_equal(-EINVAL, rpc_client_open(fixture->loop, &options, &fixture->client, NULL));
}

/* ---- TLS ---- */

struct identity {
    char ca[96];
    char cert[96];
    char key[96];
    struct rpc_tls tls;
};

static void __attribute__((format(printf, 1, 2))) run_openssl(const char *format, ...)
{
    char command[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    if (system(command) != 0) {
        fail_msg("%s", command);
    }
}

#define NEW_KEY "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "

static void make_ca(const char *dir, const char *name)
{
    run_openssl(NEW_KEY "-x509 -days 1 -subj /CN=%s -keyout %s/%s.key -out %s/%s.crt 2>/dev/null", name, dir,
                name, dir, name);
}

static void make_identity(struct identity *out, const char *dir, const char *ca, const char *name)
{
    snprintf(out->ca, sizeof out->ca, "%s/%s.crt", dir, ca);
    snprintf(out->cert, sizeof out->cert, "%s/%s-%s.crt", dir, ca, name);
    snprintf(out->key, sizeof out->key, "%s/%s-%s.key", dir, ca, name);
    run_openssl(NEW_KEY "-subj /CN=%s -addext subjectAltName=DNS:%s -keyout %s -out %s/request 2>/dev/null",
                name, name, out->key, dir);
    run_openssl("openssl x509 -req -days 1 -in %s/request -CA %s -CAkey %s/%s.key -CAcreateserial "
                "-copy_extensions copy -out %s 2>/dev/null",
                dir, out->ca, dir, ca, out->cert);
    out->tls = (struct rpc_tls){out->ca, out->cert, out->key, NULL};
}

static void serve_tls(struct fixture *fixture, const struct rpc_tls *tls)
{
    struct rpc_server_options options = {.url = "tls+tcp://127.0.0.1:0",
                                         .tls = tls,
                                         .max_bytes = MAX_BYTES,
                                         .on_request = echo,
                                         .arg = fixture};
    struct err err = {0};
    if (rpc_server_open(fixture->loop, &options, &fixture->server, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

static void tls_is_mutual_and_checks_the_name(void **state)
{
    struct fixture *fixture = *state;
    struct identity agent;
    struct identity controller;
    struct identity stranger;
    make_ca(fixture->dir, "ours");
    make_ca(fixture->dir, "theirs");
    make_identity(&agent, fixture->dir, "ours", "agent");
    make_identity(&controller, fixture->dir, "ours", "controller");
    make_identity(&stranger, fixture->dir, "theirs", "controller");
    struct rpc_tls mixed = stranger.tls; /* knows our CA, shows a foreign certificate */
    mixed.ca_file = agent.ca;

    serve_tls(fixture, &agent.tls);
    struct err err = {0};
    const char *url = rpc_server_url(fixture->server);
    const struct {
        struct rpc_tls *tls;
        const char *server_name;
        const char *url;
        int status;
    } cases[] = {
        {&controller.tls, "agent", url, 0},
        {&controller.tls, "other", url, -ENOTCONN},
        {&controller.tls, NULL, url, -ENOTCONN}, /* 127.0.0.1 is not in the certificate */
        {&stranger.tls, "agent", url, -ENOTCONN},
        {&mixed, "agent", url, -ENOTCONN},
        {NULL, NULL, url + strlen("tls+"), -ENOTCONN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rpc_client_options options = {
            .url = cases[i].url, .tls = cases[i].tls, .max_bytes = MAX_BYTES};
        if (cases[i].tls != NULL) {
            cases[i].tls->server_name = cases[i].server_name;
        }
        if (rpc_client_open(fixture->loop, &options, &fixture->client, &err) != 0) {
            fail_msg("%s", err.text);
        }
        /* a handshake on a slow machine takes longer than a call waits for its connection */
        for (int tries = 0; tries == 0 || (cases[i].status == 0 && fixture->status != 0 && tries < 20);
             tries++) {
            call(fixture, 8, cases[i].status == 0 ? 10000 : 1000);
            fixture->wanted++;
            run_until(fixture, is_finished);
        }
        if ((cases[i].status == 0) != (fixture->status == 0)) {
            fail_msg("case %zu: status %d", i, fixture->status);
        }
        rpc_client_close(fixture->client);
        fixture->client = NULL;
    }
    assert_int_equal(1, fixture->seen);
}

static void never_troubled(void *arg, const char *text)
{
    (void)arg;
    fail_msg("%s", text);
}

static void a_probe_that_nobody_waits_for_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    make_ca(fixture->dir, "ours");
    struct identity agent, controller;
    make_identity(&agent, fixture->dir, "ours", "agent");
    make_identity(&controller, fixture->dir, "ours", "controller");
    controller.tls.server_name = "agent";
    serve_tls(fixture, &agent.tls);
    fixture->wanted = count_descriptors();
    struct rpc_probe *probe = rpc_probe_new(fixture->loop, rpc_server_url(fixture->server), &controller.tls,
                                            never_troubled, fixture);
    rpc_probe_run(probe);
    for (int i = 0; i < 500 && count_descriptors() < fixture->wanted + 2; i++) {
        usleep(10000);
    }
    assert_in_range(count_descriptors(), fixture->wanted + 2, INT32_MAX); /* both ends stand */
    usleep(200000);                                                       /* nothing tells when nng has it */
    rpc_probe_free(probe);
    run_until(fixture, are_descriptors_few);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_answer_belongs_to_its_question),
        TEST(sixteen_requests_are_open_at_once_and_more_wait),
        TEST(a_dropped_request_times_out_and_its_place_is_free_again),
        TEST(a_full_client_refuses_and_a_callback_may_call_again),
        TEST(nobody_there_fails_fast_and_nothing_is_delivered_later),
        TEST(a_silent_server_is_a_timeout),
        TEST(a_server_restarted_in_a_call_gets_no_duplicate),
        TEST(too_large_is_refused_both_ways),
        TEST(closing_a_client_ends_its_calls),
        TEST(a_client_closed_while_it_dials_leaves_nothing),
        TEST(a_client_may_be_closed_in_an_answer),
        TEST(a_server_may_be_closed_with_open_requests),
        TEST(what_cannot_be_opened_says_why),
        TEST(tls_is_mutual_and_checks_the_name),
        TEST(a_probe_that_nobody_waits_for_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
