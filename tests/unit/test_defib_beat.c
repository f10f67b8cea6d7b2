#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/beat/defib_beat.h"
#include "proto/heartbeat.h"
#include "tests/unit/redis_server.h"

enum { WAIT_MS = 8000, STEP_LIMIT_MS = 60 };

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* CPU of this thread: what a step costs, whatever else this machine does. */
static int64_t cpu_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static struct defib_beat *make(const char *url, int64_t interval_ms)
{
    const struct defib_beat_options options = {.service = "game_shard",
                                               .instance = "shard-1",
                                               .version = "1.2",
                                               .redis_url = url,
                                               .interval_ms = interval_ms,
                                               .ttl_ms = interval_ms * 4,
                                               .status = DEFIB_BEAT_HEALTHY};
    char why[DEFIB_BEAT_WHY];
    struct defib_beat *beat = defib_beat_new(&options, why);
    if (beat == NULL) {
        fail_msg("%s", why);
    }
    return beat;
}

static void step_once(struct defib_beat *beat)
{
    struct pollfd watched = {.events = 0};
    int wait_ms = defib_beat_step(beat);
    assert_true(wait_ms >= 0 && wait_ms <= 1000);
    watched.fd = defib_beat_fd(beat, &watched.events);
    poll(&watched, 1, wait_ms < 5 ? wait_ms : 5);
}

static void step_until_confirmed(struct defib_beat *beat, uint64_t count)
{
    int64_t until = now_ms() + WAIT_MS;
    while (defib_beat_counters(beat).confirmed < count) {
        if (now_ms() >= until) {
            fail_msg("only %d beats after %d ms: %s", (int)defib_beat_counters(beat).confirmed, WAIT_MS,
                     defib_beat_trouble(beat));
        }
        step_once(beat);
    }
}

static void step_until_trouble(struct defib_beat *beat, const char *part)
{
    int64_t until = now_ms() + WAIT_MS;
    while (strstr(defib_beat_trouble(beat), part) == NULL) {
        if (now_ms() >= until) {
            fail_msg("trouble is \"%s\", should say \"%s\"", defib_beat_trouble(beat), part);
        }
        step_once(beat);
    }
}

/* ---- options ---- */

static void says_what_is_wrong_with_an_option(void **state)
{
    (void)state;
    static const struct {
        struct defib_beat_options options;
        const char *why;
    } cases[] = {
        {{.instance = "i"}, "service is missing"},
        {{.service = ""}, "service : allowed are"},
        {{.service = "a\nb"}, "without control characters"},
        {{.service = "s", .instance = "\xff"}, "instance"},
        {{.service = "s", .interval_ms = 49}, "the interval is 49 ms: allowed are 0.05 to 3600 s"},
        {{.service = "s", .interval_ms = 1000, .ttl_ms = 1000}, "the TTL is 1000 ms: allowed is more than"},
        {{.service = "s", .redis_url = "http://x"}, "REDIS_URL: "},
        {{.service = "s", .redis_url = "rediss://x"}, "rediss:// is not supported here"},
        {{.service = "s", .status = (enum defib_beat_status)9}, "status 9"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char why[DEFIB_BEAT_WHY];
        errno = 0;
        assert_null(defib_beat_new(&cases[i].options, why));
        assert_int_equal(EINVAL, errno);
        if (strstr(why, cases[i].why) == NULL) {
            fail_msg("case %zu says: %s", i, why);
        }
    }
}

static void reads_the_environment(void **state)
{
    (void)state;
    const struct defib_beat_options options = {.service = "s"};
    char why[DEFIB_BEAT_WHY];
    setenv("HEARTBEAT_INTERVAL_SECS", "0.5x", 1);
    assert_null(defib_beat_new(&options, why));
    assert_non_null(strstr(why, "HEARTBEAT_INTERVAL_SECS=0.5x"));
    setenv("HEARTBEAT_INTERVAL_SECS", "0.5", 1);
    setenv("HEARTBEAT_TTL_SECS", "0.25", 1);
    assert_null(defib_beat_new(&options, why));
    assert_non_null(strstr(why, "the TTL is 250 ms, HEARTBEAT_TTL_SECS=0.25"));
    setenv("HEARTBEAT_TTL_SECS", "2", 1);
    struct defib_beat *beat = defib_beat_new(&options, why);
    assert_non_null(beat);
    defib_beat_free(beat);
    unsetenv("HEARTBEAT_INTERVAL_SECS");
    unsetenv("HEARTBEAT_TTL_SECS");
}

static void refuses_values_that_are_none(void **state)
{
    (void)state;
    struct defib_beat *beat = make("redis://127.0.0.1:1", 1000);
    char name[65];
    memset(name, 'n', 64);
    name[64] = '\0';
    assert_int_equal(-EINVAL, defib_beat_check(beat, name, true));
    assert_int_equal(0, defib_beat_check(beat, name + 1, true));
    assert_int_equal(-EINVAL, defib_beat_check(beat, "", true));
    assert_int_equal(-EINVAL, defib_beat_check(beat, "a b", true));
    assert_int_equal(-EINVAL, defib_beat_count(beat, "a\"b", 1));
    assert_int_equal(-EINVAL, defib_beat_metric(beat, "nan", NAN));
    assert_int_equal(-EINVAL, defib_beat_metric(beat, "inf", INFINITY));
    assert_int_equal(-EINVAL, defib_beat_set_status(beat, (enum defib_beat_status) - 1));
    for (int i = 0; i < 127; i++) {
        snprintf(name, sizeof name, "check_%d", i);
        assert_int_equal(0, defib_beat_check(beat, name, true));
    }
    assert_int_equal(-ENOSPC, defib_beat_check(beat, "one_more", true));
    assert_int_equal(0, defib_beat_check(beat, "check_126", false));
    defib_beat_free(beat);
}

/* ---- a real Redis ---- */

static struct redis_server server;

static int start_server(void **state)
{
    (void)state;
    redis_server_prepare(&server);
    return 0;
}

static int remove_server(void **state)
{
    (void)state;
    redis_server_remove(&server);
    return 0;
}

/* One inline command; the raw answer. */
static void ask(const char *command, char *answer, size_t size)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", server.path);
    assert_int_equal(0, connect(fd, (struct sockaddr *)&address, sizeof address));
    assert_int_equal(strlen(command), write(fd, command, strlen(command)));
    shutdown(fd, SHUT_WR);
    size_t used = 0;
    ssize_t got;
    while (used < size - 1 && (got = read(fd, answer + used, size - 1 - used)) > 0) {
        used += (size_t)got;
    }
    answer[used] = '\0';
    close(fd);
}

static void read_beat(const char *command, struct heartbeat *out)
{
    char answer[32768];
    struct err err = {0};
    ask(command, answer, sizeof answer);
    char *body = strchr(answer, '{'), *end = strrchr(answer, '}');
    if (body == NULL || end == NULL || heartbeat_decode(body, (size_t)(end + 1 - body), out, &err) != 0) {
        fail_msg("no heartbeat: %s (%s)", answer, err.text);
    }
}

static double metric(const struct heartbeat *beat, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(beat->metrics, name);
    assert_true(cJSON_IsNumber(item));
    return item->valuedouble;
}

static void beats_arrive_with_all_that_was_said(void **state)
{
    (void)state;
    char url[160], answer[512];
    redis_server_start(&server, NULL);
    snprintf(url, sizeof url, "redis://localhost:%d/2", server.port);
    struct defib_beat *beat = make(url, 5000);
    assert_int_equal(0, defib_beat_check(beat, "db_ok", true));
    assert_int_equal(0, defib_beat_check(beat, "ws_ok", false));
    assert_int_equal(0, defib_beat_count(beat, "big", INT64_C(9007199254740993)));
    assert_int_equal(0, defib_beat_metric(beat, "tenth", 0.1));
    assert_int_equal(0, defib_beat_metric(beat, "tiny", -1e-300));
    step_until_confirmed(beat, 1);
    struct heartbeat read;
    read_beat("SELECT 2\r\nGET health:hb:game_shard:shard-1\r\n", &read);
    assert_string_equal("game_shard", read.service);
    assert_string_equal("shard-1", read.instance_id);
    assert_int_equal(BEAT_HEALTHY, read.status);
    assert_string_equal("1.2", read.version);
    assert_true(read.timestamp.ms > 0 && read.started_at.ms > 0);
    assert_true(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(read.checks, "db_ok")));
    assert_true(cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(read.checks, "ws_ok")));
    assert_true(metric(&read, "tenth") == 0.1 && metric(&read, "tiny") == -1e-300);
    heartbeat_fini(&read);
    ask("SELECT 2\r\nGET health:hb:game_shard:shard-1\r\nPTTL health:hb:game_shard:shard-1\r\n", answer,
        sizeof answer);
    assert_non_null(strstr(answer, "\"big\":9007199254740993,\"tenth\":0.1,"));
    long ttl_ms = strtol(strrchr(answer, ':') + 1, NULL, 10);
    assert_true(ttl_ms > 15000 && ttl_ms <= 20000);
    /* a change leaves at once, a number waits for its turn */
    assert_int_equal(0, defib_beat_count(beat, "big", 1));
    for (int i = 0; i < 20; i++) {
        step_once(beat);
    }
    assert_int_equal(1, defib_beat_counters(beat).confirmed);
    assert_int_equal(0, defib_beat_set_status(beat, DEFIB_BEAT_DEGRADED));
    step_until_confirmed(beat, 2);
    assert_int_equal(0, defib_beat_end(beat, 2000));
    read_beat("SELECT 2\r\nGET health:hb:game_shard:shard-1\r\n", &read);
    assert_int_equal(BEAT_STOPPING, read.status);
    heartbeat_fini(&read);
    assert_int_equal(1, defib_beat_counters(beat).connects);
    defib_beat_free(beat);
}

static void a_password_is_asked_for_and_given(void **state)
{
    (void)state;
    static const char *const extra[] = {"--requirepass", "se:cret", NULL};
    char url[160];
    redis_server_start(&server, extra);
    snprintf(url, sizeof url, "redis://:wrong@127.0.0.1:%d", server.port);
    struct defib_beat *beat = make(url, 200);
    step_until_trouble(beat, "WRONGPASS");
    assert_null(strstr(defib_beat_trouble(beat), "wrong@"));
    defib_beat_free(beat);
    snprintf(url, sizeof url, "redis://default:se%%3Acret@127.0.0.1:%d", server.port);
    beat = make(url, 200);
    step_until_confirmed(beat, 3);
    assert_string_equal("", defib_beat_trouble(beat));
    defib_beat_free(beat);
}

static void redis_comes_late_goes_and_comes_back(void **state)
{
    (void)state;
    char url[160];
    snprintf(url, sizeof url, "unix://%s", server.path);
    struct defib_beat *beat = make(url, 50);
    step_until_trouble(beat, "No such file");
    int64_t until = now_ms() + 300;
    while (now_ms() < until) {
        step_once(beat);
    }
    assert_true(defib_beat_counters(beat).lost > 0);
    for (uint64_t round = 1; round <= 3; round++) {
        redis_server_start(&server, NULL);
        step_until_confirmed(beat, defib_beat_counters(beat).confirmed + 2);
        assert_string_equal("", defib_beat_trouble(beat));
        assert_int_equal(round, defib_beat_counters(beat).connects);
        redis_server_kill(&server);
        step_until_trouble(beat, ": ");
    }
    defib_beat_free(beat);
}

/* ---- servers that are none ---- */

static int listen_on(int *port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    assert_int_equal(0, bind(fd, (struct sockaddr *)&address, sizeof address));
    assert_int_equal(0, listen(fd, 16));
    assert_int_equal(0, getsockname(fd, (struct sockaddr *)&address, &len));
    *port = ntohs(address.sin_port);
    return fd;
}

static void one_that_never_answers_costs_no_time(void **state)
{
    (void)state;
    int port;
    char url[64];
    int fd = listen_on(&port);
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", port);
    struct defib_beat *beat = make(url, 50);
    int64_t until = now_ms() + WAIT_MS, cpu = cpu_ms();
    while (strstr(defib_beat_trouble(beat), "no answer") == NULL && now_ms() < until) {
        int64_t before = now_ms();
        defib_beat_step(beat);
        assert_true(now_ms() - before < STEP_LIMIT_MS);
        poll(NULL, 0, 5);
    }
    assert_non_null(strstr(defib_beat_trouble(beat), "no answer"));
    assert_int_equal(0, defib_beat_counters(beat).confirmed);
    assert_true(cpu_ms() - cpu < 500);
    int64_t before = now_ms();
    assert_int_equal(-ETIMEDOUT, defib_beat_end(beat, 200));
    assert_true(now_ms() - before >= 200 && now_ms() - before < 1000);
    defib_beat_free(beat);
    close(fd);
}

static void a_program_that_stepped_late_reads_what_had_come(void **state)
{
    (void)state;
    char url[160];
    redis_server_start(&server, NULL);
    snprintf(url, sizeof url, "unix://%s", server.path);
    struct defib_beat *beat = make(url, 4000);
    defib_beat_step(beat); /* connects and writes */
    poll(NULL, 0, 3200);   /* longer than an answer may take */
    defib_beat_step(beat);
    assert_int_equal(1, defib_beat_counters(beat).confirmed);
    assert_string_equal("", defib_beat_trouble(beat));
    defib_beat_free(beat);
}

/* Each answers the first connection in one way, byte by byte; the link must end with that trouble. */
static void odd_answers_are_told_and_tried_again(void **state)
{
    (void)state;
    static const struct {
        const char *answer, *trouble;
    } cases[] = {
        {"HTTP/1.1 400 Bad Request\r\n", "is no Redis: HTTP/1.1 400"},
        {"-READONLY You can't write against a read only replica.\r\n", "READONLY"},
        {"-LOADING Redis is loading the dataset in memory\r\n", "LOADING"},
        {"+OK\r\n:1\r\n:1\r\n", "is no Redis: :1"},
        {"", "closed the connection"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int port, peer = -1;
        char url[64];
        int fd = listen_on(&port);
        snprintf(url, sizeof url, "redis://127.0.0.1:%d", port);
        struct defib_beat *beat = make(url, 60000);
        for (int tries = 0; peer < 0 && tries < 1000; tries++) {
            step_once(beat);
            peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        }
        assert_true(peer >= 0);
        char drop[4096];
        while (recv(peer, drop, sizeof drop, MSG_DONTWAIT) < 0) { /* it has spoken first */
            step_once(beat);
        }
        for (const char *at = cases[i].answer; *at != '\0'; at++) {
            send(peer, at, 1, MSG_NOSIGNAL);
            step_once(beat);
        }
        if (cases[i].answer[0] == '\0') {
            close(peer);
            peer = -1;
        }
        step_until_trouble(beat, cases[i].trouble);
        peer = peer < 0 ? peer : close(peer);
        /* it comes again, although the next beat by the clock is a minute away */
        struct pollfd watched = {.fd = fd, .events = POLLIN};
        int64_t until = now_ms() + WAIT_MS;
        while (poll(&watched, 1, 0) == 0 && now_ms() < until) {
            step_once(beat);
        }
        assert_int_equal(1, poll(&watched, 1, 0));
        defib_beat_free(beat);
        close(fd);
    }
}

static void an_answer_without_end_is_not_collected(void **state)
{
    (void)state;
    int port, peer = -1;
    char url[64], junk[4096];
    int fd = listen_on(&port);
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", port);
    struct defib_beat *beat = make(url, 60000);
    while (peer < 0) {
        step_once(beat);
        peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    }
    memset(junk, '+', sizeof junk);
    assert_int_equal(sizeof junk, send(peer, junk, sizeof junk, MSG_NOSIGNAL));
    step_until_trouble(beat, "an answer is too long");
    defib_beat_free(beat);
    close(peer);
    close(fd);
}

/* The look-up of a name that leads nowhere runs beside: freeing does not wait for it. */
static void a_name_that_leads_nowhere_is_told(void **state)
{
    (void)state;
    struct defib_beat *beat = make("redis://no-such-host.invalid", 100);
    int64_t before = now_ms();
    defib_beat_step(beat);
    assert_true(now_ms() - before < STEP_LIMIT_MS);
    step_until_trouble(beat, "no-such-host.invalid:6379/0: ");
    defib_beat_free(beat);
    beat = make("redis://no-such-host.invalid", 100);
    defib_beat_step(beat);
    before = now_ms();
    defib_beat_free(beat);
    assert_true(now_ms() - before < STEP_LIMIT_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_is_wrong_with_an_option),
        cmocka_unit_test(reads_the_environment),
        cmocka_unit_test(refuses_values_that_are_none),
        cmocka_unit_test_setup_teardown(beats_arrive_with_all_that_was_said, start_server, remove_server),
        cmocka_unit_test_setup_teardown(a_password_is_asked_for_and_given, start_server, remove_server),
        cmocka_unit_test_setup_teardown(redis_comes_late_goes_and_comes_back, start_server, remove_server),
        cmocka_unit_test_setup_teardown(a_program_that_stepped_late_reads_what_had_come, start_server,
                                        remove_server),
        cmocka_unit_test(one_that_never_answers_costs_no_time),
        cmocka_unit_test(odd_answers_are_told_and_tried_again),
        cmocka_unit_test(an_answer_without_end_is_not_collected),
        cmocka_unit_test(a_name_that_leads_nowhere_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
