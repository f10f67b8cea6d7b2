#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "common/redis_link.h"
#include "common/redis_tls.h"
#include "tests/unit/redis_server.h"

enum { PATIENCE_MS = 20000 };

struct fixture {
    struct redis_server server;
    struct redis_url url;
    struct loop *loop;
    struct loop_timer *watch;
    struct mono give_up;
    bool (*is_reached)(struct fixture *fixture);
    struct redis_link *link;
    struct redis_link *other;
    int ups;
    int downs;
    char reason[800];
    int answers;
    int losses;
    int refused;
    int wanted;
    long messages;
    bool is_order_broken;
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
        fail_msg("gave up: ups %d downs %d answers %d losses %d reason '%s'", fixture->ups, fixture->downs,
                 fixture->answers, fixture->losses, fixture->reason);
    }
}

static bool is_up(struct fixture *fixture)
{
    return redis_link_is_up(fixture->link);
}

static bool is_down_told(struct fixture *fixture)
{
    return fixture->downs >= fixture->wanted;
}

static bool is_answered(struct fixture *fixture)
{
    return fixture->answers + fixture->losses >= fixture->wanted;
}

static bool is_link_gone(struct fixture *fixture)
{
    return fixture->link == NULL;
}

static void count_up(void *arg)
{
    ((struct fixture *)arg)->ups++;
}

static void count_down(void *arg, const char *reason)
{
    struct fixture *fixture = arg;
    fixture->downs++;
    snprintf(fixture->reason, sizeof fixture->reason, "%s", reason);
}

static void count_answer(void *arg, const struct redis_reply *reply)
{
    struct fixture *fixture = arg;
    if (reply == NULL) {
        fixture->losses++;
    } else {
        fixture->answers++;
    }
}

static struct redis_link_options options_of(struct fixture *fixture)
{
    return (struct redis_link_options){.url = &fixture->url,
                                       .client_name = "unit-test",
                                       .on_up = count_up,
                                       .on_down = count_down,
                                       .arg = fixture};
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    redis_server_prepare(&fixture->server);
    strcpy(fixture->url.path, fixture->server.path);
    fixture->loop = loop_new();
    fixture->watch = loop_timer_new(fixture->loop, check_goal, fixture);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    redis_link_close(fixture->link);
    redis_link_close(fixture->other);
    loop_timer_free(fixture->watch);
    loop_free(fixture->loop);
    redis_server_remove(&fixture->server);
    free(fixture);
    return 0;
}

static void use_tcp(struct fixture *fixture, const char *host)
{
    fixture->url = (struct redis_url){.port = fixture->server.port};
    strcpy(fixture->url.host, host);
}

static void open_link(struct fixture *fixture)
{
    struct redis_link_options options = options_of(fixture);
    fixture->link = redis_link_open(fixture->loop, &options);
}

static void open_up(struct fixture *fixture)
{
    redis_server_start(&fixture->server, NULL);
    open_link(fixture);
    run_until(fixture, is_up);
}

static int command(struct redis_link *link, redis_link_callback on_reply, void *arg, const char *a,
                   const char *b, const char *c)
{
    const char *argv[] = {a, b, c};
    return redis_link_command(link, on_reply, arg, c != NULL ? 3 : b != NULL ? 2 : 1, argv, NULL);
}

static void assert_reason(const struct fixture *fixture, const char *part)
{
    if (strstr(fixture->reason, part) == NULL) {
        fail_msg("'%s' lacks '%s'", fixture->reason, part);
    }
}

/* ---- what answers look like ---- */

static void expect_text(void *arg, const struct redis_reply *reply)
{
    size_t len = 0;
    assert_int_equal(REDIS_REPLY_TEXT, redis_reply_type(reply));
    assert_string_equal("some value", redis_reply_text(reply, &len));
    assert_int_equal(10, len);
    count_answer(arg, reply);
}

static void expect_none(void *arg, const struct redis_reply *reply)
{
    assert_int_equal(REDIS_REPLY_NONE, redis_reply_type(reply));
    assert_null(redis_reply_text(reply, NULL));
    count_answer(arg, reply);
}

static void expect_number(void *arg, const struct redis_reply *reply)
{
    assert_int_equal(REDIS_REPLY_NUMBER, redis_reply_type(reply));
    assert_int_equal(1, redis_reply_number(reply));
    count_answer(arg, reply);
}

static void expect_list(void *arg, const struct redis_reply *reply)
{
    assert_int_equal(REDIS_REPLY_LIST, redis_reply_type(reply));
    assert_int_equal(2, redis_reply_count(reply));
    assert_string_equal("some value", redis_reply_text(redis_reply_at(reply, 0), NULL));
    assert_int_equal(REDIS_REPLY_NONE, redis_reply_type(redis_reply_at(reply, 1)));
    assert_null(redis_reply_at(reply, 2));
    count_answer(arg, reply);
}

static void expect_failure(void *arg, const struct redis_reply *reply)
{
    assert_int_equal(REDIS_REPLY_FAILURE, redis_reply_type(reply));
    assert_non_null(strstr(redis_reply_text(reply, NULL), "unknown command"));
    count_answer(arg, reply);
}

static void answers_have_their_types(void **state)
{
    struct fixture *fixture = *state;
    open_up(fixture);
    struct redis_link *link = fixture->link;
    assert_int_equal(40, strlen(redis_link_run_id(link)));
    assert_true(redis_link_up_since(link).ms != MONO_NEVER.ms);
    char host[64];
    int port;
    assert_false(redis_link_peer(link, host, sizeof host, &port));
    assert_int_equal(0, command(link, NULL, NULL, "SET", "k", "some value"));
    assert_int_equal(0, command(link, expect_text, fixture, "GET", "k", NULL));
    assert_int_equal(0, command(link, expect_none, fixture, "GET", "nothing", NULL));
    assert_int_equal(0, command(link, expect_number, fixture, "INCR", "n", NULL));
    assert_int_equal(0, command(link, expect_list, fixture, "MGET", "k", "nothing"));
    assert_int_equal(0, command(link, expect_failure, fixture, "NOSUCH", NULL, NULL));
    fixture->wanted = 5;
    run_until(fixture, is_answered);
    assert_int_equal(5, fixture->answers);
    assert_int_equal(REDIS_REPLY_FAILURE, redis_reply_type(NULL));
    assert_int_equal(0, redis_reply_count(NULL));
}

/* Random pipelines of binary arguments of random sizes: each answer is the one of its own question. */
struct echo {
    struct fixture *fixture;
    size_t len;
    char bytes[];
};

static void expect_echo(void *arg, const struct redis_reply *reply)
{
    struct echo *echo = arg;
    size_t len = 0;
    const char *text = redis_reply_text(reply, &len);
    assert_int_equal(REDIS_REPLY_TEXT, redis_reply_type(reply));
    assert_int_equal(echo->len, len);
    assert_memory_equal(echo->bytes, text, len);
    echo->fixture->answers++;
    free(echo);
}

static void send_echo(struct fixture *fixture)
{
    size_t len = (size_t)(rand() % 10 == 0 ? rand() % 300000 : rand() % 200);
    struct echo *echo = calloc(1, sizeof *echo + len);
    echo->fixture = fixture;
    echo->len = len;
    for (size_t i = 0; i < len; i++) {
        echo->bytes[i] = (char)rand();
    }
    const char *argv[] = {"ECHO", echo->bytes};
    const size_t lens[] = {4, len};
    assert_int_equal(0, redis_link_command(fixture->link, expect_echo, echo, 2, argv, lens));
    fixture->wanted++;
}

static void every_answer_belongs_to_its_question(void **state)
{
    struct fixture *fixture = *state;
    srand(7);
    open_up(fixture);
    for (int round = 0; round < 40; round++) {
        for (int i = rand() % 60; i >= 0; i--) {
            send_echo(fixture);
        }
        run_until(fixture, is_answered);
    }
    assert_int_equal(0, fixture->downs);
}

/* ---- connecting ---- */

static void tcp_peer_by_name_with_every_address_tried(void **state)
{
    struct fixture *fixture = *state;
    use_tcp(fixture, "localhost"); /* ::1 first where there is one; the server listens on 127.0.0.1 alone */
    open_up(fixture);
    char host[64];
    int port = 0;
    assert_true(redis_link_peer(fixture->link, host, sizeof host, &port));
    assert_string_equal("127.0.0.1", host);
    assert_int_equal(fixture->server.port, port);
    assert_int_equal(0, fixture->downs);
    assert_false(redis_link_peer(fixture->link, host, 3, &port));
}

static bool has_waited(struct fixture *fixture)
{
    return mono_reached(loop_now(fixture->loop), (struct mono){fixture->messages});
}

static void a_refused_connection_is_told_once_and_tried_again(void **state)
{
    struct fixture *fixture = *state;
    use_tcp(fixture, "127.0.0.1");
    open_link(fixture);
    assert_int_equal(0, fixture->downs); /* never from within open */
    fixture->wanted = 1;
    run_until(fixture, is_down_told);
    assert_reason(fixture, "connection refused");
    char where[64];
    snprintf(where, sizeof where, "127.0.0.1:%d", fixture->server.port);
    assert_reason(fixture, where);
    assert_int_equal(-ENOTCONN, command(fixture->link, NULL, NULL, "PING", NULL, NULL));
    fixture->messages = mono_add(clock_mono_now(), 600).ms; /* several tries */
    run_until(fixture, has_waited);
    assert_int_equal(1, fixture->downs);
    redis_server_start(&fixture->server, NULL);
    run_until(fixture, is_up);
    assert_int_equal(1, fixture->ups);
    assert_int_equal(1, fixture->downs);
}

static void a_missing_socket_is_named(void **state)
{
    struct fixture *fixture = *state;
    open_link(fixture);
    fixture->wanted = 1;
    run_until(fixture, is_down_told);
    assert_reason(fixture, "no such file");
}

static void a_name_that_is_not_there_is_told(void **state)
{
    struct fixture *fixture = *state;
    use_tcp(fixture, "no-such-host.invalid");
    struct redis_link_options options = options_of(fixture);
    options.connect_timeout_ms = 1000;
    fixture->link = redis_link_open(fixture->loop, &options);
    fixture->wanted = 1;
    run_until(fixture, is_down_told);
    if (strstr(fixture->reason, "timed out while resolving") == NULL) {
        assert_reason(fixture, "name not resolved");
    }
}

static void a_listener_that_never_answers_is_a_timeout(void **state)
{
    struct fixture *fixture = *state;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, fixture->server.path);
    assert_int_equal(0, bind(fd, (struct sockaddr *)&address, sizeof address));
    assert_int_equal(0, listen(fd, 8));
    struct redis_link_options options = options_of(fixture);
    options.connect_timeout_ms = 150;
    fixture->link = redis_link_open(fixture->loop, &options);
    fixture->wanted = 1;
    run_until(fixture, is_down_told);
    assert_reason(fixture, "timed out");
    assert_int_equal(0, fixture->ups);
    close(fd);
}

/* ---- the greeting ---- */

static void greeting_refusals_are_told_in_the_servers_words(void **state)
{
    struct fixture *fixture = *state;
    const char *extra[] = {"--requirepass", "right", NULL};
    redis_server_start(&fixture->server, extra);
    static const struct {
        const char *user;
        const char *password;
        int db;
        const char *reason; /* NULL: gets up */
    } cases[] = {
        {"", "wrong", 0, "WRONGPASS"}, {"nobody", "right", 0, "WRONGPASS"}, {"", "", 0, "NOAUTH"},
        {"", "right", 99, "SELECT: "}, {"default", "right", 3, NULL},       {"", "right", 0, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        strcpy(fixture->url.user, cases[i].user);
        strcpy(fixture->url.password, cases[i].password);
        fixture->url.db = cases[i].db;
        fixture->downs = 0;
        fixture->wanted = 1;
        open_link(fixture);
        run_until(fixture, cases[i].reason != NULL ? is_down_told : is_up);
        if (cases[i].reason != NULL) {
            assert_reason(fixture, cases[i].reason);
            assert_false(redis_link_is_up(fixture->link));
        }
        redis_link_close(fixture->link);
        fixture->link = NULL;
    }
}

static void a_user_who_may_not_ask_for_info_still_gets_up(void **state)
{
    struct fixture *fixture = *state;
    open_up(fixture);
    const char *argv[] = {"ACL", "SETUSER", "narrow", "on", ">pw", "~*", "&*", "+ping", "+get"};
    assert_int_equal(0, redis_link_command(fixture->link, count_answer, fixture, 9, argv, NULL));
    fixture->wanted = 1;
    run_until(fixture, is_answered);
    redis_link_close(fixture->link);
    strcpy(fixture->url.user, "narrow");
    strcpy(fixture->url.password, "pw");
    open_link(fixture);
    run_until(fixture, is_up);
    assert_string_equal("", redis_link_run_id(fixture->link));
    assert_int_equal(0, fixture->downs);
}

static void a_server_that_says_masterdown_is_not_up(void **state)
{
    struct fixture *fixture = *state;
    const char *extra[] = {"--replicaof", "127.0.0.1 1", "--replica-serve-stale-data", "no", NULL};
    redis_server_start(&fixture->server, extra);
    open_link(fixture);
    fixture->wanted = 1;
    run_until(fixture, is_down_told);
    assert_reason(fixture, "MASTERDOWN");
    assert_int_equal(0, fixture->ups);
}

static void a_full_server_says_so(void **state)
{
    struct fixture *fixture = *state;
    open_up(fixture);
    const char *argv[] = {"CONFIG", "SET", "maxclients", "1"};
    assert_int_equal(0, redis_link_command(fixture->link, count_answer, fixture, 4, argv, NULL));
    fixture->wanted = 1;
    run_until(fixture, is_answered);
    struct redis_link_options options = options_of(fixture);
    fixture->other = redis_link_open(fixture->loop, &options);
    run_until(fixture, is_down_told);
    assert_reason(fixture, "max number of clients");
    assert_true(redis_link_is_up(fixture->link));
}

/* ---- losses ---- */

static void count_and_try_again(void *arg, const struct redis_reply *reply)
{
    struct fixture *fixture = arg;
    count_answer(arg, reply);
    if (reply == NULL && command(fixture->link, count_answer, arg, "PING", NULL, NULL) == -ENOTCONN) {
        fixture->refused++;
    }
}

static void kill_under_pipelined_load_answers_every_command_once(void **state)
{
    struct fixture *fixture = *state;
    open_up(fixture);
    int sent = 0;
    for (; sent < 60000; sent++) {
        assert_int_equal(0, command(fixture->link, count_and_try_again, fixture, "SET", "key", "value"));
    }
    fixture->wanted = 100;
    run_until(fixture, is_answered);
    kill(fixture->server.pid, SIGSTOP); /* what follows it does not answer any more */
    for (int more = sent + 30000; sent < more; sent++) {
        assert_int_equal(0, command(fixture->link, count_and_try_again, fixture, "SET", "key", "value"));
    }
    redis_server_kill(&fixture->server);
    for (int more = sent + 50; sent < more; sent++) { /* not yet known to be dead */
        assert_int_equal(0, command(fixture->link, count_and_try_again, fixture, "SET", "key", "value"));
    }
    fixture->wanted = 1;
    run_until(fixture, is_down_told);
    assert_int_equal(sent, fixture->answers + fixture->losses);
    assert_true(fixture->losses >= 30050);
    assert_int_equal(fixture->losses, fixture->refused);
    fixture->messages = mono_add(clock_mono_now(), 100).ms;
    run_until(fixture, has_waited);
    assert_int_equal(sent, fixture->answers + fixture->losses);
}

static void a_restarted_server_has_another_run_id(void **state)
{
    struct fixture *fixture = *state;
    open_up(fixture);
    char before[64];
    snprintf(before, sizeof before, "%s", redis_link_run_id(fixture->link));
    redis_server_kill(&fixture->server);
    fixture->wanted = 1;
    run_until(fixture, is_down_told);
    /* what the kernel says depends on who was about to say something */
    bool is_its_end = strstr(fixture->reason, "closed by server") != NULL ||
                      strstr(fixture->reason, "reset") != NULL || strstr(fixture->reason, "pipe") != NULL;
    if (!is_its_end && fixture->downs == 1) { /* the first try to come back may have failed already */
        fail_msg("'%s'", fixture->reason);
    }
    assert_string_equal(before, redis_link_run_id(fixture->link));
    assert_int_equal(MONO_NEVER.ms, redis_link_up_since(fixture->link).ms);
    redis_server_start(&fixture->server, NULL);
    run_until(fixture, is_up);
    assert_int_equal(2, fixture->ups);
    assert_string_not_equal(before, redis_link_run_id(fixture->link));
}

static void a_stopped_server_meets_the_command_deadline(void **state)
{
    struct fixture *fixture = *state;
    redis_server_start(&fixture->server, NULL);
    struct redis_link_options options = options_of(fixture);
    options.command_timeout_ms = 200;
    options.connect_timeout_ms = 200;
    fixture->link = redis_link_open(fixture->loop, &options);
    run_until(fixture, is_up);
    kill(fixture->server.pid, SIGSTOP);
    struct mono before = clock_mono_now();
    for (int i = 0; i < 10; i++) {
        assert_int_equal(0, command(fixture->link, count_answer, fixture, "GET", "k", NULL));
    }
    fixture->wanted = 1;
    run_until(fixture, is_down_told);
    assert_in_range(mono_diff(clock_mono_now(), before), 199, 3000);
    assert_int_equal(10, fixture->losses);
    assert_reason(fixture, "timed out: no answer for 200 ms");
    kill(fixture->server.pid, SIGCONT);
    run_until(fixture, is_up);
}

static void a_silent_server_is_noticed_when_idle(void **state)
{
    struct fixture *fixture = *state;
    redis_server_start(&fixture->server, NULL);
    for (int is_subscribing = 0; is_subscribing < 2; is_subscribing++) {
        struct redis_link_options options = options_of(fixture);
        options.command_timeout_ms = 150;
        options.ping_interval_ms = 50;
        options.subscribe = is_subscribing ? "channel" : NULL;
        fixture->link = redis_link_open(fixture->loop, &options);
        run_until(fixture, is_up);
        fixture->messages = mono_add(clock_mono_now(), 400).ms; /* answered pings keep it up */
        run_until(fixture, has_waited);
        assert_int_equal(0, fixture->downs);
        kill(fixture->server.pid, SIGSTOP);
        fixture->wanted = 1;
        run_until(fixture, is_down_told);
        assert_reason(fixture, "timed out");
        kill(fixture->server.pid, SIGCONT);
        run_until(fixture, is_up);
        redis_link_close(fixture->link);
        fixture->link = NULL;
        fixture->downs = 0;
    }
}

static int count_pings(const struct fixture *fixture)
{
    char line[512];
    snprintf(line, sizeof line,
             "redis-cli -s %s INFO commandstats | sed -n 's/^cmdstat_ping:calls=\\([0-9]*\\).*/\\1/p'",
             fixture->server.path);
    FILE *file = popen(line, "re");
    int count = -1;
    assert_non_null(file);
    assert_int_equal(1, fscanf(file, "%d", &count));
    pclose(file);
    return count;
}

/* What answers is there: PING is for a server that has been quiet. */
static void a_link_in_use_asks_for_no_sign_of_life(void **state)
{
    struct fixture *fixture = *state;
    redis_server_start(&fixture->server, NULL);
    struct redis_link_options options = options_of(fixture);
    options.ping_interval_ms = 1000;
    fixture->link = redis_link_open(fixture->loop, &options);
    run_until(fixture, is_up);
    int before = count_pings(fixture);
    for (int i = 0; i < 60; i++) {
        fixture->wanted = i + 1;
        assert_int_equal(0, command(fixture->link, count_answer, fixture, "GET", "k", NULL));
        run_until(fixture, is_answered);
        fixture->messages = mono_add(clock_mono_now(), 40).ms;
        run_until(fixture, has_waited);
    }
    assert_int_equal(before, count_pings(fixture));
    fixture->messages = mono_add(clock_mono_now(), 2100).ms;
    run_until(fixture, has_waited);
    assert_true(count_pings(fixture) > before);
}

static void a_stall_of_our_own_is_not_the_servers(void **state)
{
    struct fixture *fixture = *state;
    redis_server_start(&fixture->server, NULL);
    struct redis_link_options options = options_of(fixture);
    options.command_timeout_ms = 100;
    fixture->link = redis_link_open(fixture->loop, &options);
    run_until(fixture, is_up);
    for (int i = 0; i < 5000; i++) {
        assert_int_equal(0,
                         command(fixture->link, count_answer, fixture, "ECHO", "words that come back", NULL));
    }
    fixture->wanted = 1;
    run_until(fixture, is_answered); /* written */
    usleep(300 * 1000);
    fixture->wanted = 5000;
    run_until(fixture, is_answered);
    assert_int_equal(5000, fixture->answers);
    assert_int_equal(0, fixture->downs);
}

static void fail_as_readonly(void *arg, const struct redis_reply *reply)
{
    struct fixture *fixture = arg;
    count_answer(arg, reply);
    if (reply != NULL) {
        redis_link_fail(fixture->link, "READONLY");
        assert_false(redis_link_is_up(fixture->link));
        redis_link_fail(fixture->link, "not told: it is down");
    }
}

static void failing_a_link_in_a_callback_starts_over(void **state)
{
    struct fixture *fixture = *state;
    open_up(fixture);
    assert_int_equal(0, command(fixture->link, fail_as_readonly, fixture, "PING", NULL, NULL));
    for (int i = 0; i < 20; i++) {
        assert_int_equal(0, command(fixture->link, count_answer, fixture, "PING", NULL, NULL));
    }
    fixture->wanted = 1;
    run_until(fixture, is_down_told);
    assert_reason(fixture, ": READONLY");
    assert_int_equal(1, fixture->answers);
    assert_int_equal(20, fixture->losses);
    run_until(fixture, is_up);
    assert_int_equal(1, fixture->downs);
    assert_int_equal(2, fixture->ups);
}

static void a_full_queue_refuses(void **state)
{
    struct fixture *fixture = *state;
    redis_server_start(&fixture->server, NULL);
    struct redis_link_options options = options_of(fixture);
    options.max_pending = 3;
    fixture->link = redis_link_open(fixture->loop, &options);
    run_until(fixture, is_up);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(0, command(fixture->link, count_answer, fixture, "PING", NULL, NULL));
    }
    assert_int_equal(-ENOBUFS, command(fixture->link, count_answer, fixture, "PING", NULL, NULL));
    fixture->wanted = 3;
    run_until(fixture, is_answered);
    assert_int_equal(0, command(fixture->link, count_answer, fixture, "PING", NULL, NULL));
}

/* ---- closing from within ---- */

static void close_link(struct fixture *fixture)
{
    struct redis_link *link = fixture->link;
    fixture->link = NULL;
    redis_link_close(link);
}

static void close_in_reply(void *arg, const struct redis_reply *reply)
{
    count_answer(arg, reply);
    if (reply != NULL) {
        close_link(arg);
    }
}

static void close_in_loss(void *arg, const struct redis_reply *reply)
{
    struct fixture *fixture = arg;
    count_answer(arg, reply);
    if (reply == NULL && fixture->link != NULL) {
        close_link(fixture);
    }
}

static void close_in_up(void *arg)
{
    close_link(arg);
}

static void close_in_down(void *arg, const char *reason)
{
    count_down(arg, reason);
    close_link(arg);
}

static void close_in_message(void *arg, const char *payload, size_t len)
{
    assert_int_equal(5, len);
    assert_memory_equal("words", payload, 5);
    close_link(arg);
}

static void a_link_may_be_closed_in_every_callback(void **state)
{
    struct fixture *fixture = *state;
    open_up(fixture);
    assert_int_equal(0, command(fixture->link, close_in_reply, fixture, "PING", NULL, NULL));
    for (int i = 0; i < 9; i++) {
        assert_int_equal(0, command(fixture->link, count_answer, fixture, "PING", NULL, NULL));
    }
    run_until(fixture, is_link_gone);
    assert_int_equal(1, fixture->answers);
    assert_int_equal(9, fixture->losses);

    struct redis_link_options options = options_of(fixture);
    options.on_up = close_in_up;
    fixture->link = redis_link_open(fixture->loop, &options);
    run_until(fixture, is_link_gone);

    options = options_of(fixture);
    options.subscribe = "c";
    options.on_message = close_in_message;
    fixture->link = redis_link_open(fixture->loop, &options);
    run_until(fixture, is_up);
    options = options_of(fixture);
    fixture->other = redis_link_open(fixture->loop, &options);
    struct redis_link *listener = fixture->link;
    fixture->link = fixture->other;
    run_until(fixture, is_up);
    fixture->link = listener;
    assert_int_equal(0, command(fixture->other, NULL, NULL, "PUBLISH", "c", "words"));
    run_until(fixture, is_link_gone);

    open_link(fixture);
    run_until(fixture, is_up);
    fixture->losses = 0;
    for (int i = 0; i < 9; i++) {
        assert_int_equal(0, command(fixture->link, close_in_loss, fixture, "BLPOP", "none", "0"));
    }
    redis_server_kill(&fixture->server);
    fixture->downs = 0;
    redis_link_close(fixture->other);
    fixture->other = NULL;
    run_until(fixture, is_link_gone);
    assert_int_equal(9, fixture->losses);
    assert_int_equal(0, fixture->downs);

    options = options_of(fixture);
    options.on_down = close_in_down;
    fixture->link = redis_link_open(fixture->loop, &options);
    run_until(fixture, is_link_gone);
    assert_int_equal(1, fixture->downs);

    open_link(fixture);
    close_link(fixture); /* before its first turn */
    use_tcp(fixture, "no-such-host.invalid");
    open_link(fixture);
    fixture->messages = mono_add(clock_mono_now(), 5).ms;
    run_until(fixture, has_waited);
    close_link(fixture); /* while the name is asked for */
}

/* ---- publish and subscribe ---- */

enum { PUBLISHED = 100000 };

static void count_message(void *arg, const char *payload, size_t len)
{
    struct fixture *fixture = arg;
    fixture->is_order_broken |= len != 448 || strtol(payload, NULL, 10) != fixture->messages;
    fixture->messages++;
}

static bool are_both_up(struct fixture *fixture)
{
    return redis_link_is_up(fixture->link) && redis_link_is_up(fixture->other);
}

static bool is_heard(struct fixture *fixture)
{
    return fixture->messages >= fixture->wanted;
}

static bool is_all_heard(struct fixture *fixture)
{
    return fixture->messages >= PUBLISHED;
}

static double cpu_us(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void published_messages_come_whole_and_in_order(void **state)
{
    struct fixture *fixture = *state;
    redis_server_start(&fixture->server, NULL);
    struct redis_link_options options = options_of(fixture);
    options.subscribe = "health:heartbeats";
    options.on_message = count_message;
    options.ping_interval_ms = 20; /* answers to PING in between */
    fixture->other = redis_link_open(fixture->loop, &options);
    open_link(fixture);
    run_until(fixture, are_both_up);
    double before = cpu_us();
    char payload[449];
    for (long i = 0; i < PUBLISHED; i++) {
        snprintf(payload, sizeof payload, "%-448ld", i);
        assert_int_equal(
            0, command(fixture->link, count_answer, fixture, "PUBLISH", "health:heartbeats", payload));
        if (i % 500 == 499) {
            fixture->wanted = (int)i - 20000;
            run_until(fixture, is_answered);
            run_until(fixture, is_heard); /* or Redis cuts who listens too slowly */
        }
    }
    run_until(fixture, is_all_heard);
    print_message("%.2f us of CPU a message, publishing and hearing\n", (cpu_us() - before) / PUBLISHED);
    assert_int_equal(PUBLISHED, fixture->messages);
    assert_false(fixture->is_order_broken);
    assert_int_equal(0, fixture->downs);
    assert_int_equal(0, fixture->losses);
}

static void a_listener_comes_back_after_a_restart(void **state)
{
    struct fixture *fixture = *state;
    redis_server_start(&fixture->server, NULL);
    struct redis_link_options options = options_of(fixture);
    options.subscribe = "c";
    options.on_message = close_in_message;
    fixture->link = redis_link_open(fixture->loop, &options);
    run_until(fixture, is_up);
    redis_server_kill(&fixture->server);
    fixture->wanted = 1;
    run_until(fixture, is_down_told);
    redis_server_start(&fixture->server, NULL);
    struct redis_link_options plain = options_of(fixture);
    fixture->other = redis_link_open(fixture->loop, &plain);
    run_until(fixture, are_both_up);
    assert_int_equal(0, command(fixture->other, NULL, NULL, "PUBLISH", "c", "words"));
    run_until(fixture, is_link_gone);
}

static void tls_is_refused_where_it_is_not_built_in(void **state)
{
    struct fixture *fixture = *state;
    use_tcp(fixture, "127.0.0.1");
    fixture->url.is_tls = true;
    redis_server_start(&fixture->server, NULL);
    open_link(fixture);
    fixture->wanted = 1;
    run_until(fixture, is_down_told);
    assert_int_equal(0, fixture->ups);
    if (!redis_tls_is_there()) {
        assert_reason(fixture, "built without TLS");
    }
}

static void make_certificate(const char *dir)
{
    char command[512];
    snprintf(
        command, sizeof command,
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=localhost "
        "-addext subjectAltName=DNS:localhost -keyout %s/key.pem -out %s/cert.pem 2>/dev/null",
        dir, dir);
    assert_int_equal(0, system(command));
}

/* Where hiredis has TLS (Debian 13); the case above is the other half. */
static void tls_carries_traffic_and_checks_the_name(void **state)
{
    struct fixture *fixture = *state;
    if (!redis_tls_is_there()) {
        return;
    }
    char cert[96];
    char key[96];
    char port[16];
    make_certificate(fixture->server.dir);
    snprintf(cert, sizeof cert, "%s/cert.pem", fixture->server.dir);
    snprintf(key, sizeof key, "%s/key.pem", fixture->server.dir);
    int tls_port = redis_server_free_port();
    snprintf(port, sizeof port, "%d", tls_port);
    const char *extra[] = {"--tls-port",
                           port,
                           "--tls-cert-file",
                           cert,
                           "--tls-key-file",
                           key,
                           "--tls-ca-cert-file",
                           cert,
                           "--tls-auth-clients",
                           "no",
                           NULL};
    redis_server_start(&fixture->server, extra);
    setenv("SSL_CERT_FILE", cert, 1);
    use_tcp(fixture, "localhost");
    fixture->url.port = tls_port;
    fixture->url.is_tls = true;
    open_link(fixture);
    run_until(fixture, is_up);
    for (int i = 0; i < 300; i++) {
        send_echo(fixture);
    }
    run_until(fixture, is_answered);
    assert_int_equal(0, fixture->downs);
    close_link(fixture);

    strcpy(fixture->url.host, "127.0.0.1"); /* is not in the certificate */
    fixture->wanted = 1;
    open_link(fixture);
    run_until(fixture, is_down_told);
    assert_reason(fixture, "mismatch");
    assert_int_equal(1, fixture->ups);
    close_link(fixture);

    unsetenv("SSL_CERT_FILE"); /* nor is its CA known by then */
    strcpy(fixture->url.host, "localhost");
    fixture->downs = 0;
    open_link(fixture);
    run_until(fixture, is_down_told);
    assert_reason(fixture, "self-signed");
    assert_int_equal(1, fixture->ups);
    unlink(cert);
    unlink(key);
}

/* hiredis alone would read whatever somebody wrote there, half a gigabyte if he likes. */
static void an_answer_that_is_too_large_costs_the_connection(void **state)
{
    struct fixture *fixture = *state;
    enum { LIMIT = 100000 };
    static char value[2 * LIMIT];
    memset(value, 'x', sizeof value);
    redis_server_start(&fixture->server, NULL);
    struct redis_link_options options = options_of(fixture);
    options.max_reply_bytes = LIMIT;
    fixture->link = redis_link_open(fixture->loop, &options);
    run_until(fixture, is_up);
    const char *set[] = {"SET", "key", value};
    const size_t lens[] = {3, 3, LIMIT - 1000};
    const char *get[] = {"GET", "key"};
    const char *append[] = {"APPEND", "key", "0123456789"};
    for (int i = 0; i < 20; i++) { /* each within the limit, all together far over it */
        assert_int_equal(redis_link_command(fixture->link, count_answer, fixture, 3, set, lens), 0);
        assert_int_equal(redis_link_command(fixture->link, count_answer, fixture, 2, get, NULL), 0);
    }
    fixture->wanted = 40;
    run_until(fixture, is_answered);
    assert_int_equal(fixture->losses, 0);
    const size_t more[] = {6, 3, 10};
    assert_int_equal(redis_link_command(fixture->link, count_answer, fixture, 3, append, more), 0);
    for (int i = 0; i < 4; i++) {
        const size_t large[] = {6, 3, LIMIT / 2};
        const char *grow[] = {"APPEND", "key", value};
        assert_int_equal(redis_link_command(fixture->link, count_answer, fixture, 3, grow, large), 0);
    }
    assert_int_equal(redis_link_command(fixture->link, count_answer, fixture, 2, get, NULL), 0);
    fixture->wanted = 46;
    run_until(fixture, is_answered);
    assert_int_equal(fixture->losses, 1);
    fixture->wanted = 1;
    run_until(fixture, is_down_told);
    assert_non_null(strstr(fixture->reason, "an answer of over 100000 bytes"));
    run_until(fixture, is_up);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_answer_that_is_too_large_costs_the_connection),
        TEST(answers_have_their_types),
        TEST(every_answer_belongs_to_its_question),
        TEST(tcp_peer_by_name_with_every_address_tried),
        TEST(a_refused_connection_is_told_once_and_tried_again),
        TEST(a_missing_socket_is_named),
        TEST(a_name_that_is_not_there_is_told),
        TEST(a_listener_that_never_answers_is_a_timeout),
        TEST(greeting_refusals_are_told_in_the_servers_words),
        TEST(a_user_who_may_not_ask_for_info_still_gets_up),
        TEST(a_server_that_says_masterdown_is_not_up),
        TEST(a_full_server_says_so),
        TEST(kill_under_pipelined_load_answers_every_command_once),
        TEST(a_restarted_server_has_another_run_id),
        TEST(a_stopped_server_meets_the_command_deadline),
        TEST(a_silent_server_is_noticed_when_idle),
        TEST(a_link_in_use_asks_for_no_sign_of_life),
        TEST(a_stall_of_our_own_is_not_the_servers),
        TEST(failing_a_link_in_a_callback_starts_over),
        TEST(a_full_queue_refuses),
        TEST(a_link_may_be_closed_in_every_callback),
        TEST(published_messages_come_whole_and_in_order),
        TEST(a_listener_comes_back_after_a_restart),
        TEST(tls_is_refused_where_it_is_not_built_in),
        TEST(tls_carries_traffic_and_checks_the_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
