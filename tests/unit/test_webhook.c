/* What people and programs are told by webhook, and that it gets there. */
#include "controller/webhook.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <unistd.h>

#include "common/memory.h"
#include "controller/disk_file.h"
#include "controller/serve/http_server.h"
#include "controller/webhook_text.h"
#include "proto/json_reader.h"

static struct alert make(enum alert_type type, const char *container, const char *host, const char *action)
{
    struct alert alert;
    alert_init(&alert);
    alert.type = type;
    memory_set_text(alert.container, sizeof alert.container, container);
    memory_set_text(alert.host, sizeof alert.host, host);
    memory_set_text(alert.action, sizeof alert.action, action);
    memory_set_text(alert.reason, sizeof alert.reason, "missing_heartbeat");
    alert.timestamp = (struct wall){1795521600000};
    return alert;
}

/* ---- the words ---- */

static char *render(enum webhook_form form, const char *template, const struct alert *alerts, size_t count)
{
    char *documents[64] = {NULL};
    for (size_t i = 0; i < count; i++) {
        documents[i] = webhook_text_alert(&alerts[i]);
        assert_null(strchr(documents[i], '\n')); /* one line each in the spool */
    }
    char *text = webhook_text_message(form, template, (const char *const *)documents, count);
    for (size_t i = 0; i < count; i++) {
        free(documents[i]);
    }
    return text;
}

static void expect_part(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("%s\n   does not hold   %s", text, part);
    }
}

/* One that was removed is not called healthy. */
static void test_what_is_over(void **state)
{
    (void)state;
    struct alert alert = make(ALERT_SERVICE_RECOVERED, "web-1", "h1", "");
    char *text = render(WEBHOOK_APPRISE, NULL, &alert, 1);
    expect_part(text, "RESOLVED: web-1 on h1 is healthy again");
    free(text);
    memory_set_text(alert.reason, sizeof alert.reason, "removed");
    text = render(WEBHOOK_APPRISE, NULL, &alert, 1);
    expect_part(text, "RESOLVED: web-1 on h1 was removed");
    free(text);
}

/* What a container or Docker says can mention nobody: Slack reads <!channel> and the like. */
static void test_slack_is_told_plain_text(void **state)
{
    (void)state;
    struct alert alert = make(ALERT_SERVICE_RESTART_FAILED, "web-1", "h1", "restart_failed");
    memory_set_text(alert.detail, sizeof alert.detail, "exec: <!channel> & co");
    char *text = render(WEBHOOK_SLACK, NULL, &alert, 1);
    expect_part(text, "(exec: &lt;!channel&gt; &amp; co)*\\n");
    expect_part(text, "(exec: &lt;!channel&gt; &amp; co); next");
    assert_null(strchr(text, '<'));
    free(text);
    text = render(WEBHOOK_APPRISE, NULL, &alert, 1);
    expect_part(text, "exec: <!channel> & co");
    free(text);
}

static void test_slack(void **state)
{
    (void)state;
    struct alert alert = make(ALERT_SERVICE_RESTART_FAILED, "web-1", "h1", "max_attempts_exhausted");
    char *text = render(WEBHOOK_SLACK, NULL, &alert, 1);
    expect_part(text,
                "{\"text\":\"*defib: web-1 on h1 still fails after all attempts (missing_heartbeat)*\\n");
    expect_part(text, "next: it is tried again after the cooldown  [defibctl explain web-1]");
    free(text);
}

/* One message for fifty, the first ten in words. */
static void test_many_become_one(void **state)
{
    (void)state;
    struct alert alerts[50];
    for (size_t i = 0; i < 50; i++) {
        char name[16];
        snprintf(name, sizeof name, "web-%zu", i);
        alerts[i] = make(ALERT_SERVICE_RESTART_FAILED, name, "h1", "restart_failed");
    }
    char *text = render(WEBHOOK_SLACK, NULL, alerts, 50);
    expect_part(text, "*defib: 50 alerts on h1*");
    expect_part(text, "web-9 on h1 could not be restarted");
    assert_null(strstr(text, "web-10 on"));
    expect_part(text, "and 40 more");
    free(text);
}

static void test_alertmanager(void **state)
{
    (void)state;
    struct alert alerts[] = {make(ALERT_AGENT_LOST, "", "h2", ""), make(ALERT_AGENT_RECOVERED, "", "h2", ""),
                             make(ALERT_SERVICE_RESTARTED, "web-1", "h1", "")};
    char *text = render(WEBHOOK_ALERTMANAGER, NULL, alerts, 3);
    static const char labels[] = "\"labels\":{\"alertname\":\"AGENT_LOST\",\"severity\":\"critical\","
                                 "\"source\":\"defib\",\"host\":\"h2\"}";
    char *opening = strstr(text, labels);
    assert_non_null(opening);
    assert_non_null(strstr(opening + 1, labels)); /* the closing is known by the same labels */
    expect_part(opening, "\"startsAt\":\"2026-11-24T12:00:00Z\"");
    expect_part(strstr(opening + 1, labels), "\"endsAt\":\"2026-11-24T12:00:00Z\"");
    assert_null(strstr(text, "web-1")); /* news, no alert */
    free(text);
}

/* Whatever was said of a container is closed once it is well. */
static void test_alertmanager_closes_all(void **state)
{
    (void)state;
    static const enum alert_type openings[] = {ALERT_SERVICE_RESTART_FAILED, ALERT_NEEDS_RECREATE,
                                               ALERT_CRASH_LOOP, ALERT_NAME_COLLISION};
    struct alert recovered = make(ALERT_SERVICE_RECOVERED, "web-1", "h1", "");
    char *closing = render(WEBHOOK_ALERTMANAGER, NULL, &recovered, 1);
    for (size_t i = 0; i < sizeof openings / sizeof openings[0]; i++) {
        struct alert alert = make(openings[i], "web-1", "h1", "");
        char *opening = render(WEBHOOK_ALERTMANAGER, NULL, &alert, 1);
        const char *labels = strstr(opening, "\"labels\"");
        char same[512];
        snprintf(same, sizeof same, "%.*s", (int)(strchr(labels, '}') + 1 - labels), labels);
        const char *closed = strstr(closing, same);
        assert_non_null(closed);
        assert_non_null(strstr(closed, "\"endsAt\""));
        free(opening);
    }
    free(closing);
}

/* A test goes every way that a real one goes, and says what it is. */
static void test_a_test_alert(void **state)
{
    (void)state;
    static const struct {
        enum webhook_form form;
        const char *part;
    } rows[] = {{WEBHOOK_SLACK, "*defib: this is a test, nothing is wrong (by anna)*"},
                {WEBHOOK_ALERTMANAGER, "\"alertname\":\"TEST\",\"severity\":\"info\""},
                {WEBHOOK_APPRISE, "\"title\":\"defib: this is a test, nothing is wrong (by anna)\""},
                {WEBHOOK_JSON, "\"type\":\"TEST\""}};
    struct alert alert = make(ALERT_TEST, "", "", "");
    snprintf(alert.detail, sizeof alert.detail, "by anna");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *text = render(rows[i].form, NULL, &alert, 1);
        expect_part(text, rows[i].part);
        free(text);
    }
}

static void test_apprise(void **state)
{
    (void)state;
    static const struct {
        enum alert_type type;
        const char *word;
    } rows[] = {{ALERT_REDIS_LOST, "\"type\":\"failure\""},
                {ALERT_NAME_COLLISION, "\"type\":\"warning\""},
                {ALERT_REDIS_RECOVERED, "\"type\":\"success\""},
                {ALERT_SERVICE_RESTARTED, "\"type\":\"info\""}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct alert alert = make(rows[i].type, "web-1", "h1", "");
        char *text = render(WEBHOOK_APPRISE, NULL, &alert, 1);
        expect_part(text, rows[i].word);
        free(text);
    }
}

static void test_json(void **state)
{
    (void)state;
    struct alert alert = make(ALERT_SERVICE_RESTART_FAILED, "web-1", "h1", "deny_list");
    char *text = render(WEBHOOK_JSON, NULL, &alert, 1);
    expect_part(text, "{\"source\":\"defib\",");
    expect_part(text, "\"status\":\"firing\",\"severity\":\"critical\"");
    expect_part(text, "\"explain\":\"defibctl explain web-1\"");
    expect_part(text, "\"action\":\"deny_list\"");
    cleanup_json struct cJSON *tree = json_reader_parse_own(text, strlen(text));
    assert_non_null(tree);
    free(text);
}

static void test_templates(void **state)
{
    (void)state;
    struct alert alert = make(ALERT_SERVICE_RESTART_FAILED, "we\"b\\1", "h1", "restart_failed");
    static const char template[] =
        "{\"m\": \"{{container}} {{host}} {{count}} {{severity}}\", \"x\": \"{{status}}\"}";
    struct err err;
    assert_int_equal(webhook_text_check(template, &err), 0);
    char *text = render(WEBHOOK_TEMPLATE, template, &alert, 1);
    assert_string_equal(text, "{\"m\": \"we\\\"b\\\\1 h1 1 critical\", \"x\": \"firing\"}");
    free(text);
    assert_true(webhook_text_check("{{titel}}", &err) < 0);
    assert_non_null(strstr(err.text, "{{titel}}: allowed are {{title}}"));
    assert_true(webhook_text_check("{{title", &err) < 0);
}

/* Every type says something of its own, and no format breaks on any text. */
static void test_every_type_in_every_form(void **state)
{
    (void)state;
    for (int type = ALERT_HEALTH_SUMMARY + 1; type < ALERT_TYPE_N; type++) {
        for (int form = 0; form <= WEBHOOK_TEMPLATE; form++) {
            struct alert alert = make((enum alert_type)type, "w\xff\n\"", "h\t1", "");
            char *text = render((enum webhook_form)form, "{\"t\": \"{{text}}\"}", &alert, 1);
            cleanup_free char *object = NULL;
            assert_true(asprintf(&object, "{\"a\":%s}", text) > 0);
            cleanup_json struct cJSON *tree = json_reader_parse_own(object, strlen(object));
            assert_non_null(tree);
            free(text);
        }
    }
}

/* ---- the way ---- */

struct world {
    struct loop *loop;
    struct loop_timer *end;
    struct http_server *server;
    struct settings settings;
    struct webhook *webhook;
    char listen[64], url[64], dir[64];
    char last[8192];
    int posts, status;
};

static void on_request(void *arg, struct http_exchange *exchange)
{
    struct world *world = arg;
    size_t len;
    world->posts++;
    snprintf(world->last, sizeof world->last, "%s", http_server_body(exchange, &len));
    http_server_answer(exchange, &(struct http_answer){.status = world->status, .type = "text/plain"});
}

static void on_end(void *arg)
{
    struct world *world = arg;
    loop_stop(world->loop);
}

static void run_for(struct world *world, int64_t ms)
{
    loop_timer_start(world->end, ms, 0);
    loop_run(world->loop);
}

static void listen_there(struct world *world)
{
    struct err err = {.code = 0};
    struct http_server_options options = {
        .loop = world->loop, .listen = world->listen, .on_request = on_request, .arg = world};
    assert_int_equal(http_server_open(&options, &world->server, &err), 0);
}

static void open_webhook(struct world *world)
{
    struct err err;
    assert_int_equal(webhook_open(world->loop, &world->settings, &world->webhook, &err), 0);
    assert_non_null(world->webhook);
}

static int set_up(void **state)
{
    struct world *world = memory_alloc(sizeof *world);
    static char form[] = "slack";
    int port = 20000 + (int)((getpid() * 13) % 30000);
    world->status = 200;
    world->loop = loop_new();
    world->end = loop_timer_new(world->loop, on_end, world);
    snprintf(world->listen, sizeof world->listen, "127.0.0.1:%d", port);
    snprintf(world->url, sizeof world->url, "http://127.0.0.1:%d/hook", port);
    snprintf(world->dir, sizeof world->dir, "/tmp/test_webhook.XXXXXX");
    assert_non_null(mkdtemp(world->dir));
    world->settings = (struct settings){.webhook_url = world->url,
                                        .webhook_template = form,
                                        .state_dir = world->dir,
                                        .alert_repeat_ms = 60000};
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    struct err err;
    webhook_close(world->webhook);
    http_server_close(world->server);
    disk_file_remove(world->dir, WEBHOOK_FILE, &err);
    rmdir(world->dir);
    loop_timer_free(world->end);
    loop_free(world->loop);
    free(world);
    return 0;
}

static void tell(struct world *world, const char *container)
{
    struct alert alert = make(ALERT_SERVICE_RESTART_FAILED, container, "h1", "restart_failed");
    webhook_alert(world->webhook, &alert);
}

static bool has_spool(const struct world *world)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", world->dir, WEBHOOK_FILE);
    return access(path, F_OK) == 0;
}

static void test_two_at_once_are_one_message(void **state)
{
    struct world *world = *state;
    listen_there(world);
    open_webhook(world);
    tell(world, "web-1");
    tell(world, "web-2");
    struct alert summary = make(ALERT_HEALTH_SUMMARY, "", "", "");
    webhook_alert(world->webhook, &summary);
    assert_true(has_spool(world));
    run_for(world, 1500);
    assert_int_equal(world->posts, 1);
    expect_part(world->last, "2 alerts on h1");
    assert_int_equal(webhook_counts(world->webhook).sent, 2);
    assert_int_equal(webhook_counts(world->webhook).waiting, 0);
    assert_false(has_spool(world));
}

/* Nobody is there, then this process ends, and the next one delivers. */
static void test_kept_until_it_is_taken(void **state)
{
    struct world *world = *state;
    open_webhook(world);
    tell(world, "web-1");
    run_for(world, 1300);
    assert_int_equal(webhook_counts(world->webhook).failed, 1);
    webhook_close(world->webhook);
    listen_there(world);
    world->status = 503;
    open_webhook(world);
    run_for(world, 1300);
    assert_int_equal(world->posts, 1);
    assert_int_equal(webhook_counts(world->webhook).waiting, 1);
    world->status = 204;
    run_for(world, 1500);
    assert_int_equal(world->posts, 2);
    expect_part(world->last, "web-1 on h1");
    assert_int_equal(webhook_counts(world->webhook).waiting, 0);
    assert_false(has_spool(world));
}

static void test_one_that_is_called_bad_is_given_up(void **state)
{
    struct world *world = *state;
    world->status = 400;
    listen_there(world);
    open_webhook(world);
    tell(world, "web-1");
    run_for(world, 4600); /* 1 s, then 1 s and 2 s later */
    assert_int_equal(world->posts, 3);
    assert_int_equal(webhook_counts(world->webhook).dropped, 1);
    assert_int_equal(webhook_counts(world->webhook).waiting, 0);
}

static void test_the_queue_is_bounded(void **state)
{
    struct world *world = *state;
    open_webhook(world);
    for (int i = 0; i < WEBHOOK_ENTRIES + 5; i++) {
        char name[16];
        snprintf(name, sizeof name, "web-%d", i);
        tell(world, name);
    }
    assert_int_equal(webhook_counts(world->webhook).waiting, WEBHOOK_ENTRIES);
    assert_int_equal(webhook_counts(world->webhook).dropped, 5);
    webhook_close(world->webhook);
    open_webhook(world);
    assert_int_equal(webhook_counts(world->webhook).waiting, WEBHOOK_ENTRIES);
}

static void test_bad_templates(void **state)
{
    struct world *world = *state;
    static char relative[] = "slak", missing[] = "/nonexistent/template";
    struct err err;
    world->settings.webhook_template = relative;
    assert_int_equal(webhook_open(world->loop, &world->settings, &world->webhook, &err), -EINVAL);
    expect_part(err.text, "DEFIB_WEBHOOK_TEMPLATE=\"slak\": allowed are json, slack, alertmanager, apprise");
    world->settings.webhook_template = missing;
    assert_int_equal(webhook_open(world->loop, &world->settings, &world->webhook, &err), -ENOENT);
    expect_part(err.text, "DEFIB_WEBHOOK_TEMPLATE=\"/nonexistent/template\"");
    assert_null(world->webhook);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slack),
        cmocka_unit_test(test_slack_is_told_plain_text),
        cmocka_unit_test(test_what_is_over),
        cmocka_unit_test(test_many_become_one),
        cmocka_unit_test(test_alertmanager),
        cmocka_unit_test(test_alertmanager_closes_all),
        cmocka_unit_test(test_a_test_alert),
        cmocka_unit_test(test_apprise),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_templates),
        cmocka_unit_test(test_every_type_in_every_form),
        cmocka_unit_test_setup_teardown(test_two_at_once_are_one_message, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_kept_until_it_is_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_that_is_called_bad_is_given_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_queue_is_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bad_templates, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
