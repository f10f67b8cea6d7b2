/* What systemd and a dead man's switch hear, from a controller whose health the test plays. */
#include "controller/life_sign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/memory.h"
#include "common/service_notify.h"
#include "controller/serve/http_server.h"

static struct controller_health health;

void controller_health(const struct controller *controller, struct controller_health *out)
{
    (void)controller;
    *out = health;
}

struct world {
    struct loop *loop;
    struct loop_timer *end;
    struct http_server *server;
    struct settings settings;
    char url[64], dir[64];
    int notify;
    int fetches;
    int status;
};

static void on_request(void *arg, struct http_exchange *exchange)
{
    struct world *world = arg;
    assert_string_equal(http_server_path(exchange), "/ping/secret");
    world->fetches++;
    http_server_answer(exchange, &(struct http_answer){.status = world->status, .type = "text/plain"});
}

static void on_end(void *arg)
{
    struct world *world = arg;
    loop_stop(world->loop);
}

static void open_notify(struct world *world)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(world->dir, sizeof world->dir, "/tmp/test_life_sign.XXXXXX");
    assert_non_null(mkdtemp(world->dir));
    snprintf(address.sun_path, sizeof address.sun_path, "%s/notify", world->dir);
    world->notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(world->notify, (struct sockaddr *)&address, sizeof address), 0);
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
}

static int set_up(void **state)
{
    struct world *world = memory_alloc(sizeof *world);
    struct err err = {.code = 0};
    health = (struct controller_health){.is_watching = true};
    world->status = 200;
    world->loop = loop_new();
    world->end = loop_timer_new(world->loop, on_end, world);
    for (int tries = 0; tries < 50 && world->server == NULL; tries++) {
        char listen[64];
        int port = 20000 + (int)((getpid() * 11 + tries * 137) % 30000);
        snprintf(listen, sizeof listen, "127.0.0.1:%d", port);
        snprintf(world->url, sizeof world->url, "http://127.0.0.1:%d/ping/secret", port);
        struct http_server_options options = {
            .loop = world->loop, .listen = listen, .on_request = on_request, .arg = world};
        http_server_open(&options, &world->server, &err);
    }
    assert_non_null(world->server);
    world->settings.heartbeat_url = world->url;
    world->settings.check_interval_ms = 50; /* fetched every second, the least */
    world->settings.alert_repeat_ms = 60000;
    open_notify(world);
    setenv("WATCHDOG_USEC", "200000", 1);
    unsetenv("WATCHDOG_PID");
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    char path[96];
    snprintf(path, sizeof path, "%s/notify", world->dir);
    unlink(path);
    rmdir(world->dir);
    close(world->notify);
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    http_server_close(world->server);
    loop_timer_free(world->end);
    loop_free(world->loop);
    free(world);
    return 0;
}

static void run_for(struct world *world, int64_t ms)
{
    struct life_sign *sign = life_sign_new(world->loop, &world->settings, NULL);
    loop_timer_start(world->end, ms, 0);
    loop_run(world->loop);
    life_sign_free(sign);
}

/* How many datagrams begin so. */
static int count_heard(struct world *world, const char *begins)
{
    char text[256];
    ssize_t len;
    int count = 0;
    while ((len = recv(world->notify, text, sizeof text - 1, 0)) >= 0) {
        text[len] = '\0';
        count += strncmp(text, begins, strlen(begins)) == 0;
    }
    return count;
}

static void test_all_is_well(void **state)
{
    struct world *world = *state;
    run_for(world, 900);
    assert_int_equal(world->fetches, 1);
    int heard = count_heard(world, "WATCHDOG=1"); /* each 100 ms, on a machine that is quick enough */
    assert_true(heard >= 2 && heard <= 10);
}

static void test_ready_is_told_once(void **state)
{
    struct world *world = *state;
    run_for(world, 300);
    assert_int_equal(count_heard(world, "READY=1"), 1);
    health.is_watching = false;
    run_for(world, 300);
    assert_int_equal(count_heard(world, "READY=1"), 0);
}

static void test_one_that_is_late_says_nothing(void **state)
{
    struct world *world = *state;
    health.late_ms = 60000;
    run_for(world, 300);
    assert_int_equal(world->fetches, 0);
    assert_int_equal(count_heard(world, "WATCHDOG=1"), 0);
}

/* Before the first load it lives, but nobody is to be calmed yet. */
static void test_one_that_does_not_watch_yet(void **state)
{
    struct world *world = *state;
    health.is_watching = false;
    run_for(world, 300);
    assert_int_equal(world->fetches, 0);
    assert_true(count_heard(world, "WATCHDOG=1") >= 2);
}

static void test_a_refusing_switch_is_asked_again(void **state)
{
    struct world *world = *state;
    world->status = 500;
    run_for(world, 2300);
    assert_true(world->fetches == 2 || world->fetches == 3);
}

static void test_the_watchdog_is_another_process(void **state)
{
    (void)state;
    assert_int_equal(service_notify_watchdog_ms(), 100);
    setenv("WATCHDOG_PID", "1", 1);
    assert_int_equal(service_notify_watchdog_ms(), 0);
    unsetenv("WATCHDOG_PID");
    setenv("WATCHDOG_USEC", "junk", 1);
    assert_int_equal(service_notify_watchdog_ms(), 0);
}

static void test_no_systemd(void **state)
{
    struct world *world = *state;
    static const char *const places[] = {"", "/", "relative", "/nonexistent/socket"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        setenv("NOTIFY_SOCKET", places[i], 1);
        service_notify_send("READY=1");
    }
    unsetenv("NOTIFY_SOCKET");
    service_notify_send("READY=1");
    assert_int_equal(count_heard(world, ""), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_is_well, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ready_is_told_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_that_is_late_says_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_that_does_not_watch_yet, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_refusing_switch_is_asked_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_watchdog_is_another_process, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_systemd, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
