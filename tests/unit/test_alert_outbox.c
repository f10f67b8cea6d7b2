#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <stdbool.h>

#include "common/memory.h"
#include "controller/alert_outbox.h"
#include "controller/disk_file.h"
#include "controller/redis_session.h"
#include "tests/unit/redis_server.h"

enum { PATIENCE_MS = 20000, LINES_SIZE = 1 << 20 };

struct fixture {
    struct redis_server server;
    struct redis_url url;
    char state_dir[64];
    struct loop *loop;
    struct loop_timer *watch;
    struct mono give_up;
    bool (*is_reached)(struct fixture *fixture);
    struct redis_session *session;
    struct alert_outbox *outbox;
    int writables, aways;
    bool is_amnesic;
    size_t wanted;
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
    assert_true(is_reached(fixture));
}

static bool is_ready(struct fixture *fixture)
{
    return redis_session_is_ready(fixture->session);
}

static bool is_away(struct fixture *fixture)
{
    return !redis_session_is_writable(fixture->session);
}

static bool is_drained(struct fixture *fixture)
{
    return alert_outbox_count(fixture->outbox) == 0;
}

static void on_writable(void *arg, bool is_amnesic)
{
    struct fixture *fixture = arg;
    fixture->writables++;
    fixture->is_amnesic = is_amnesic;
    redis_session_commit(fixture->session);
    if (fixture->outbox != NULL) {
        alert_outbox_redis_back(fixture->outbox);
    }
}

static void on_away(void *arg, const char *reason)
{
    struct fixture *fixture = arg;
    assert_non_null(reason);
    fixture->aways++;
    if (fixture->outbox != NULL) {
        alert_outbox_redis_away(fixture->outbox);
    }
}

static void on_message(void *arg, const char *payload, size_t len)
{
    (void)arg, (void)payload, (void)len;
}

static void open_outbox(struct fixture *fixture)
{
    struct redis_session_options options = {.url = &fixture->url,
                                            .client_name = "test",
                                            .state_dir = fixture->state_dir,
                                            .on_writable = on_writable,
                                            .on_away = on_away,
                                            .on_message = on_message,
                                            .arg = fixture};
    fixture->session = redis_session_open(fixture->loop, &options);
    fixture->outbox = alert_outbox_open(fixture->state_dir, fixture->session);
}

/* As after kill -9: what is on the disk stays, the process' memory does not. `is_killed` skips the closing.
 */
static void close_outbox(struct fixture *fixture)
{
    redis_session_close(fixture->session);
    alert_outbox_close(fixture->outbox);
    fixture->session = NULL;
    fixture->outbox = NULL;
}

static int set_up(void **state)
{
    struct fixture *fixture = memory_alloc(sizeof *fixture);
    redis_server_prepare(&fixture->server);
    redis_server_start(&fixture->server, NULL);
    snprintf(fixture->url.path, sizeof fixture->url.path, "%s", fixture->server.path);
    strcpy(fixture->state_dir, "/tmp/defib-test-outbox-XXXXXX");
    assert_non_null(mkdtemp(fixture->state_dir));
    fixture->loop = loop_new();
    fixture->watch = loop_timer_new(fixture->loop, check_goal, fixture);
    open_outbox(fixture);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    close_outbox(fixture);
    loop_timer_free(fixture->watch);
    loop_free(fixture->loop);
    redis_server_remove(&fixture->server);
    disk_file_remove(fixture->state_dir, ALERT_OUTBOX_FILE, NULL);
    disk_file_remove(fixture->state_dir, "redis.marker", NULL);
    assert_int_equal(0, rmdir(fixture->state_dir));
    free(fixture);
    return 0;
}

static char *cli(struct fixture *fixture, const char *words)
{
    char line[1024];
    snprintf(line, sizeof line, "redis-cli -s %s %s", fixture->server.path, words);
    FILE *in = popen(line, "re");
    assert_non_null(in);
    char *text = memory_alloc(LINES_SIZE);
    size_t len = fread(text, 1, LINES_SIZE - 1, in);
    text[len] = '\0';
    assert_int_equal(0, pclose(in));
    return text;
}

static void alert(struct fixture *fixture, enum alert_type type, int number)
{
    struct alert alert;
    alert_init(&alert);
    alert.type = type;
    snprintf(alert.container, sizeof alert.container, "web-%d", number);
    snprintf(alert.action, sizeof alert.action, "max_attempts_exhausted");
    alert.timestamp = (struct wall){1700000000000};
    alert_outbox_alert(fixture->outbox, &alert);
}

static void record(struct fixture *fixture, int number)
{
    struct event_record record;
    event_record_init(&record);
    snprintf(record.kind, sizeof record.kind, "decision");
    snprintf(record.container, sizeof record.container, "record-%d", number);
    alert_outbox_record(fixture->outbox, &record);
}

static size_t count_of(const char *text, const char *word)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at += strlen(word)) {
        count++;
    }
    return count;
}

static void expect_order(const char *text, const char *const *words, size_t count)
{
    const char *at = text;
    for (size_t i = 0; i < count; i++) {
        at = strstr(at, words[i]);
        if (at == NULL) {
            fail_msg("%s is not in its place in %s", words[i], text);
            return;
        }
        at += strlen(words[i]);
    }
}

static void goes_to_the_stream_in_order(void **state)
{
    struct fixture *fixture = *state;
    run_until(fixture, is_ready);
    alert(fixture, ALERT_SERVICE_RESTART_FAILED, 1);
    record(fixture, 2);
    alert(fixture, ALERT_SERVICE_RECOVERED, 3);
    alert(fixture, ALERT_HEALTH_SUMMARY, 4);
    run_until(fixture, is_drained);
    cleanup_free char *text = cli(fixture, "XRANGE health:events - +");
    static const char *const words[] = {"data", "web-1", "data", "record-2", "data", "web-3"};
    expect_order(text, words, 6);
    assert_null(strstr(text, "HEALTH_SUMMARY"));
    assert_null(strstr(text, "\"delayed\": true"));
    assert_int_equal(3, count_of(text, "\"seq\""));
}

static void is_kept_while_redis_is_away(void **state)
{
    struct fixture *fixture = *state;
    run_until(fixture, is_ready);
    redis_server_kill(&fixture->server);
    run_until(fixture, is_away);
    for (int i = 0; i < 300; i++) {
        record(fixture, i);
    }
    alert(fixture, ALERT_SERVICE_RESTART_FAILED, 7);
    alert(fixture, ALERT_HEALTH_SUMMARY, 8);
    alert(fixture, ALERT_SERVICE_RECOVERED, 9);
    assert_int_equal(302, alert_outbox_count(fixture->outbox));
    redis_server_start(&fixture->server, NULL);
    run_until(fixture, is_ready);
    run_until(fixture, is_drained);
    assert_true(fixture->is_amnesic);
    cleanup_free char *text = cli(fixture, "XRANGE health:events - +");
    static const char *const words[] = {"record-0", "record-150", "record-299", "web-7", "web-9"};
    expect_order(text, words, 5);
    assert_int_equal(302, count_of(text, "\"seq\""));
    assert_int_equal(2, count_of(text, "\"delayed\": true"));
    char path[128];
    snprintf(path, sizeof path, "%s/%s", fixture->state_dir, ALERT_OUTBOX_FILE);
    assert_int_not_equal(0, access(path, F_OK)); /* delivered: no file is left */
}

static void outlives_the_process(void **state)
{
    struct fixture *fixture = *state;
    run_until(fixture, is_ready);
    redis_server_kill(&fixture->server);
    run_until(fixture, is_away);
    alert(fixture, ALERT_SERVICE_RESTART_FAILED, 1);
    record(fixture, 2);
    /* What a kill -9 at this moment leaves is the file as it stands now, with a torn line behind. */
    cleanup_free char *kept = NULL;
    size_t len;
    struct err err;
    assert_int_equal(0, disk_file_read(fixture->state_dir, ALERT_OUTBOX_FILE, LINES_SIZE, &kept, &len, &err));
    close_outbox(fixture);
    assert_int_equal(0, disk_file_replace(fixture->state_dir, ALERT_OUTBOX_FILE, kept, len, &err));
    assert_int_equal(0, disk_file_append(fixture->state_dir, ALERT_OUTBOX_FILE, "A 3 99 {\"type\": \"SERV",
                                         21, DISK_FILE_NOW, &err));
    open_outbox(fixture);
    assert_int_equal(2, alert_outbox_count(fixture->outbox));
    record(fixture, 3);
    redis_server_start(&fixture->server, NULL);
    run_until(fixture, is_drained);
    cleanup_free char *text = cli(fixture, "XRANGE health:events - +");
    static const char *const words[] = {"web-1", "record-2", "record-3"};
    expect_order(text, words, 3);
    assert_int_equal(1, count_of(text, "\"delayed\": true"));
}

static void is_bounded_and_says_so(void **state)
{
    struct fixture *fixture = *state;
    run_until(fixture, is_ready);
    redis_server_kill(&fixture->server);
    run_until(fixture, is_away);
    enum { MORE = 50 };
    for (int i = 0; i < ALERT_OUTBOX_ENTRIES + MORE; i++) {
        record(fixture, i);
    }
    assert_true(alert_outbox_dropped(fixture->outbox) >= MORE);
    assert_int_equal(ALERT_OUTBOX_ENTRIES + MORE,
                     alert_outbox_count(fixture->outbox) + alert_outbox_dropped(fixture->outbox));
    redis_server_start(&fixture->server, NULL);
    run_until(fixture, is_ready);
    run_until(fixture, is_drained);
    cleanup_free char *text = cli(fixture, "XREVRANGE health:events + - COUNT 2");
    static const char *const words[] = {"outbox_overflow", "record-10049"};
    expect_order(text, words, 2);
}

/* What replays need is worth less than one alert. */
static void inputs_take_the_place_of_no_alert(void **state)
{
    struct fixture *fixture = *state;
    run_until(fixture, is_ready);
    redis_server_kill(&fixture->server);
    run_until(fixture, is_away);
    alert(fixture, ALERT_SERVICE_RESTART_FAILED, 1);
    enum { INPUT_BYTES = 100000 };
    cleanup_free char *input = memory_alloc(INPUT_BYTES + 1);
    memset(input, ' ', INPUT_BYTES);
    memcpy(input, "{}", 2);
    uint64_t part = 0;
    while (alert_outbox_inputs(fixture->outbox, "run-1", ++part, input)) {
        assert_true(part * INPUT_BYTES <= ALERT_OUTBOX_INPUT_BYTES);
    }
    assert_true(part * INPUT_BYTES > ALERT_OUTBOX_INPUT_BYTES);
    assert_int_equal(alert_outbox_dropped(fixture->outbox), 0);
    assert_false(alert_outbox_has_lost_inputs(fixture->outbox));
    assert_int_equal(alert_outbox_count(fixture->outbox), part);
    /* they outlive the process, and come behind the alert that was there first */
    close_outbox(fixture);
    open_outbox(fixture);
    assert_int_equal(alert_outbox_count(fixture->outbox), part);
    redis_server_start(&fixture->server, NULL);
    run_until(fixture, is_ready);
    run_until(fixture, is_drained);
    cleanup_free char *text = cli(fixture, "XRANGE health:events - + COUNT 3");
    static const char *const words[] = {"web-1", "\"kind\":\"inputs\",\"run\":\"run-1\",\"part\":1,",
                                        "\"part\":2,"};
    expect_order(text, words, 3);
}

/* Overflowing records push out the oldest entries, inputs among them: that is known afterwards. */
static void lost_inputs_are_known(void **state)
{
    struct fixture *fixture = *state;
    run_until(fixture, is_ready);
    redis_server_kill(&fixture->server);
    run_until(fixture, is_away);
    assert_true(alert_outbox_inputs(fixture->outbox, "run-1", 1, "{}"));
    for (int i = 0; i < ALERT_OUTBOX_ENTRIES + 1; i++) {
        record(fixture, i);
    }
    assert_true(alert_outbox_has_lost_inputs(fixture->outbox));
    assert_int_equal(alert_outbox_dropped(fixture->outbox), 1);
    alert_outbox_forget_lost_inputs(fixture->outbox);
    assert_false(alert_outbox_has_lost_inputs(fixture->outbox));
}

static void a_stream_of_another_type_holds_up_nothing(void **state)
{
    struct fixture *fixture = *state;
    run_until(fixture, is_ready);
    cleanup_free char *set = cli(fixture, "SET health:events rubbish");
    alert(fixture, ALERT_SERVICE_RESTART_FAILED, 1);
    record(fixture, 2);
    run_until(fixture, is_drained);
    assert_int_equal(0, fixture->aways);
}

static void a_replica_is_of_no_use(void **state)
{
    struct fixture *fixture = *state;
    run_until(fixture, is_ready);
    cleanup_free char *role = cli(fixture, "REPLICAOF 127.0.0.1 1");
    cleanup_free char *broken = cli(fixture, "CONFIG SET replica-serve-stale-data yes");
    alert(fixture, ALERT_SERVICE_RESTART_FAILED, 1);
    run_until(fixture, is_away);
    assert_int_equal(1, fixture->aways);
    assert_int_equal(1, alert_outbox_count(fixture->outbox));
    cleanup_free char *back = cli(fixture, "REPLICAOF NO ONE");
    run_until(fixture, is_drained);
    assert_int_equal(1, fixture->aways);
    assert_int_equal(2, fixture->writables);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(goes_to_the_stream_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(is_kept_while_redis_is_away, set_up, tear_down),
        cmocka_unit_test_setup_teardown(outlives_the_process, set_up, tear_down),
        cmocka_unit_test_setup_teardown(is_bounded_and_says_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(inputs_take_the_place_of_no_alert, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lost_inputs_are_known, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stream_of_another_type_holds_up_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_replica_is_of_no_use, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
