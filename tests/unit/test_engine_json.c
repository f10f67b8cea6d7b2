#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/engine_json.h"
#include "agent/core/self_finder.h"
#include "common/memory.h"

#define ID  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ID2 "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"

/* ---- list ---- */

static void reads_the_list(void **state)
{
    (void)state;
    static const char TEXT[] =
        "[{\"Id\":\"" ID
        "\",\"Names\":[\"/other/alias\",\"/web\"],\"State\":\"running\",\"Status\":\"Up 2 minutes "
        "(unhealthy)\",\"Labels\":{\"defib.restart\":\"allow\",\"org.x\":\"y\"}},"
        "{\"Id\":\"not hex\",\"Names\":[\"/x\"],\"State\":\"running\"},"
        "{\"Id\":\"" ID2 "\",\"Names\":[],\"State\":\"exited\"},"
        "17,{\"Id\":\"" ID2
        "\",\"Names\":[\"/db\"],\"State\":\"exited\",\"Status\":\"Exited (0)\",\"Labels\":null}]";
    struct engine_summary *rows;
    size_t count;
    assert_int_equal(0, engine_json_list(TEXT, strlen(TEXT), &rows, &count, NULL));
    assert_int_equal(2, count);
    assert_string_equal("web", rows[0].name);
    assert_int_equal(CONTAINER_RUNNING, rows[0].state);
    assert_int_equal(HEALTH_UNHEALTHY, rows[0].health);
    assert_int_equal(1, rows[0].labels.count);
    assert_string_equal("allow", label_list_get(&rows[0].labels, "defib.restart"));
    assert_string_equal("db", rows[1].name);
    assert_int_equal(CONTAINER_EXITED, rows[1].state);
    assert_int_equal(HEALTH_NONE, rows[1].health);
    engine_summaries_free(rows, count);
}

/* ---- inspect ---- */

static const char INSPECT[] =
    "{\"Id\":\"" ID "\",\"Path\":\"/usr/bin/tini\",\"Args\":[\"--\",\"/opt/redis-server\",\"*:6379\"],"
    "\"State\":{\"Status\":\"running\",\"Pid\":4711,\"ExitCode\":0,\"OOMKilled\":true,\"Error\":\"\","
    "\"StartedAt\":\"2026-11-24T08:51:20.121457606Z\",\"FinishedAt\":\"0001-01-01T00:00:00Z\","
    "\"Health\":{\"Status\":\"starting\",\"Log\":[]}},\"Name\":\"/cache\",\"RestartCount\":3,"
    "\"HostConfig\":{\"NetworkMode\":\"container:" ID2 "\",\"Memory\":67108864,\"AutoRemove\":true,"
    "\"PortBindings\":{\"6379/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"16379\"}],\"1/tcp\":null},"
    "\"RestartPolicy\":{\"Name\":\"on-failure\",\"MaximumRetryCount\":5}},"
    "\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/run/redis\",\"Destination\":\"/run\"}],"
    "\"Config\":{\"Hostname\":\"cachehost\",\"StopTimeout\":77,\"Labels\":{\"defib.oneshot\":\"true\"},"
    "\"Healthcheck\":{\"Test\":[\"CMD\",\"true\"],\"Interval\":5000000000,\"Retries\":4,\"StartPeriod\":"
    "1500000000}},"
    "\"NetworkSettings\":{\"Ports\":{\"6379/tcp\":[{\"HostIp\":\"0.0.0.0\",\"HostPort\":\"32768\"}]},"
    "\"Networks\":{\"n1\":{\"IPAddress\":\"172.18.0.2\",\"GlobalIPv6Address\":\"fd00::2\",\"Aliases\":["
    "\"redis\",7]}}}}";

static void reads_an_inspect(void **state)
{
    (void)state;
    struct engine_container container;
    assert_int_equal(0, engine_json_container(INSPECT, strlen(INSPECT), &container, NULL));
    assert_string_equal(ID, container.id);
    assert_string_equal("cache", container.name);
    assert_int_equal(CONTAINER_RUNNING, container.state);
    assert_int_equal(HEALTH_STARTING, container.health);
    assert_string_equal("2026-11-24T08:51:20.121457606Z", container.started_at);
    assert_int_equal(1795510280121457606, container.started_ns);
    assert_int_equal(0, container.finished_ns);
    assert_int_equal(4711, container.pid);
    assert_true(container.oom_killed);
    assert_int_equal(3, container.restart_count);
    assert_int_equal(DOCKER_POLICY_ON_FAILURE, container.policy);
    assert_int_equal(5, container.policy_max);
    assert_true(container.is_auto_remove);
    assert_int_equal(77, container.stop_timeout_secs);
    assert_true(container.has_healthcheck);
    assert_int_equal(1500 + 4 * 5000, container.healthcheck_grace_ms);
    assert_string_equal(ID2, container.network_parent);
    assert_false(container.is_host_network);
    assert_int_equal(ENGINE_PROGRAM_REDIS, container.program);
    assert_string_equal("cachehost", container.hostname);
    assert_int_equal(67108864, container.memory_limit_bytes);
    assert_string_equal("true", label_list_get(&container.labels, "defib.oneshot"));
    assert_int_equal(2, container.address_count);
    assert_string_equal("fd00::2", container.addresses[1]);
    assert_int_equal(2, container.host_port_count);
    assert_int_equal(16379, container.host_ports[0]);
    assert_int_equal(1, container.alias_count);
    assert_string_equal("/run/redis", container.mounts[0]);
    engine_container_fini(&container);
}

static void fields_of_another_type_read_as_absent(void **state)
{
    (void)state;
    static const char TEXT[] =
        "{\"Id\":\"" ID
        "\",\"Name\":\"/x\",\"Path\":7,\"Args\":\"no\",\"State\":[],\"RestartCount\":\"many\","
        "\"HostConfig\":{\"RestartPolicy\":null,\"Memory\":-5,\"PortBindings\":[1,[2]]},"
        "\"Config\":{\"Healthcheck\":{\"Test\":[\"NONE\"]},\"Labels\":[1]},\"NetworkSettings\":null,"
        "\"Mounts\":{}}";
    struct engine_container container;
    assert_int_equal(0, engine_json_container(TEXT, strlen(TEXT), &container, NULL));
    assert_int_equal(CONTAINER_UNKNOWN, container.state);
    assert_int_equal(DOCKER_POLICY_NO, container.policy);
    assert_int_equal(-1, container.stop_timeout_secs);
    assert_int_equal(0, container.memory_limit_bytes);
    assert_false(container.has_healthcheck);
    assert_int_equal(0, container.restart_count);
    engine_container_fini(&container);
}

static void refuses_what_is_no_container(void **state)
{
    (void)state;
    static const char *const TEXTS[] = {"",
                                        "{}",
                                        "[]",
                                        "null",
                                        "{\"Id\":\"" ID "\"}",
                                        "{\"Id\":\"\",\"Name\":\"/x\"}",
                                        "{\"Id\":\"" ID "\",\"Name\":\"/\"}",
                                        "{\"Id\":\"" ID "\",\"Name\":\"/a\\nb\"}",
                                        "{\"Id\":\"../" ID "\",\"Name\":\"/x\"}"};
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
        struct engine_container container;
        struct err err = {0};
        assert_int_equal(-EINVAL, engine_json_container(TEXTS[i], strlen(TEXTS[i]), &container, &err));
        assert_true(err.text[0] != '\0');
        engine_container_fini(&container);
    }
}

/* ---- events ---- */

#define EVENT(action, attributes)                                                                \
    "{\"status\":\"x\",\"Type\":\"container\",\"Action\":\"" action "\",\"Actor\":{\"ID\":\"" ID \
    "\",\"Attributes\":{" attributes                                                             \
    "}},\"scope\":\"local\",\"time\":1795510280,\"timeNano\":1795510280121457606}"

static void reads_events(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum engine_action action;
        int signal, exit_code;
        enum container_health health;
    } CASES[] = {
        {EVENT("start", "\"name\":\"web\""), ENGINE_ACTION_START, 0, 0, HEALTH_UNKNOWN},
        {EVENT("kill", "\"name\":\"web\",\"signal\":\"15\""), ENGINE_ACTION_KILL, 15, 0, HEALTH_UNKNOWN},
        {EVENT("die", "\"name\":\"web\",\"exitCode\":\"137\""), ENGINE_ACTION_DIE, 0, 137, HEALTH_UNKNOWN},
        {EVENT("stop", "\"name\":\"web\""), ENGINE_ACTION_STOP, 0, 0, HEALTH_UNKNOWN},
        {EVENT("oom", "\"name\":\"web\""), ENGINE_ACTION_OOM, 0, 0, HEALTH_UNKNOWN},
        {EVENT("destroy", "\"name\":\"web\""), ENGINE_ACTION_DESTROY, 0, 0, HEALTH_UNKNOWN},
        {EVENT("health_status: unhealthy", "\"name\":\"web\""), ENGINE_ACTION_HEALTH, 0, 0, HEALTH_UNHEALTHY},
        {EVENT("rename", "\"name\":\"web\",\"oldName\":\"/old\""), ENGINE_ACTION_RENAME, 0, 0,
         HEALTH_UNKNOWN},
        {EVENT("exec_create: sh", "\"name\":\"web\""), ENGINE_ACTION_OTHER, 0, 0, HEALTH_UNKNOWN},
        /* A label that looks like the time is text, and is not taken for it. */
        {EVENT("die", "\"timeNano\":\"12\",\"name\":\"web\",\"exitCode\":\"1\",\"x\":\"\\\"timeNano\\\":3\""),
         ENGINE_ACTION_DIE, 0, 1, HEALTH_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct engine_event event;
        assert_int_equal(0, engine_json_event(CASES[i].text, strlen(CASES[i].text), &event, NULL));
        assert_int_equal(CASES[i].action, event.action);
        assert_string_equal("web", event.name);
        assert_int_equal(CASES[i].signal, event.signal);
        assert_int_equal(CASES[i].action == ENGINE_ACTION_DIE, event.has_exit_code);
        assert_int_equal(CASES[i].exit_code, event.exit_code);
        assert_int_equal(CASES[i].health, event.health);
        /* To the nanosecond: resuming needs it, and a double does not hold it. */
        assert_int_equal(1795510280121457606, event.time_ns);
        engine_event_fini(&event);
    }
}

static void events_of_other_things_are_refused(void **state)
{
    (void)state;
    static const char *const TEXTS[] = {
        "{\"Type\":\"network\",\"Action\":\"connect\",\"Actor\":{\"ID\":\"" ID "\"}}",
        "{\"Type\":\"container\",\"Action\":\"die\",\"Actor\":{\"ID\":\"x/y\"}}",
        "{\"Type\":\"container\"}",
        "17",
        "",
        "{\"message\":\"error\"}"};
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
        struct engine_event event;
        assert_int_equal(-EINVAL, engine_json_event(TEXTS[i], strlen(TEXTS[i]), &event, NULL));
        engine_event_fini(&event);
    }
}

/* ---- bounds and garbage ---- */

static void depth_and_size_are_bounded(void **state)
{
    (void)state;
    enum { DEEP = 100000 };
    char *deep = memory_alloc(DEEP + 1);
    memset(deep, '[', DEEP);
    struct engine_summary *rows;
    size_t count;
    assert_int_equal(-EINVAL, engine_json_list(deep, DEEP, &rows, &count, NULL));
    free(deep);
    char *big = memory_alloc(LIMIT_EVENT_LINE_BYTES + 2);
    memset(big, ' ', LIMIT_EVENT_LINE_BYTES + 1);
    struct engine_event event;
    assert_int_equal(-EMSGSIZE, engine_json_event(big, LIMIT_EVENT_LINE_BYTES + 1, &event, NULL));
    free(big);
}

static void any_bytes_are_survived(void **state)
{
    (void)state;
    srandom(3);
    for (int round = 0; round < 20000; round++) {
        char text[sizeof INSPECT];
        memcpy(text, INSPECT, sizeof text);
        size_t len = round % 3 == 0 ? (size_t)random() % sizeof text : sizeof text - 1;
        for (int i = 0; i < round % 6; i++) {
            text[(size_t)random() % (sizeof text - 1)] = "{}[]\",:0\\x"[random() % 10];
        }
        char *exact = memory_alloc(len + 1); /* so that a read past the end is seen */
        memcpy(exact, text, len);
        struct engine_container container;
        struct engine_event event;
        struct engine_info info;
        char message[64];
        engine_json_container(exact, len, &container, NULL);
        engine_container_fini(&container);
        engine_json_event(exact, len, &event, NULL);
        engine_event_fini(&event);
        engine_json_info(exact, len, &info, NULL);
        engine_json_message(exact, len, message, sizeof message);
        free(exact);
    }
}

static void the_rest(void **state)
{
    (void)state;
    static const char INFO[] =
        "{\"ID\":\"AAAA:BBBB\",\"ServerVersion\":\"20.10.24\",\"LiveRestoreEnabled\":true,"
        "\"SystemTime\":\"2026-11-24T09:51:20.5+01:00\"}";
    struct engine_info info;
    assert_int_equal(0, engine_json_info(INFO, strlen(INFO), &info, NULL));
    assert_string_equal("20.10.24", info.version);
    assert_true(info.is_live_restore);
    assert_int_equal(1795510280500000000, info.system_time_ns);
    char message[64];
    static const char REFUSAL[] = "{\"message\":\"No such container: x\"}";
    engine_json_message(REFUSAL, strlen(REFUSAL), message, sizeof message);
    assert_string_equal("No such container: x", message);
    engine_json_message("404 page\n", 9, message, sizeof message);
    assert_non_null(strstr(message, "404 page"));
    assert_int_equal(0, engine_json_time_ns("0001-01-01T00:00:00Z"));
    assert_int_equal(0, engine_json_time_ns("yesterday"));
    assert_int_equal(1795510280000000001, engine_json_time_ns("2026-11-24T08:51:20.000000001Z"));
}

/* ---- whom we live in ---- */

static void finds_our_redis(void **state)
{
    (void)state;
    static const struct {
        struct self_finder_redis redis;
        bool is_host_network, wanted;
    } CASES[] = {
        {{.peer = "172.18.0.2", .port = 6379}, false, true},
        {{.peer = "172.18.0.3", .port = 6379}, false, false},
        {{.peer = "127.0.0.1", .port = 16379, .is_peer_local = true}, false, true},
        {{.peer = "10.0.0.9", .port = 16379}, false, false},
        {{.peer = "127.0.0.1", .port = 6379, .is_peer_local = true}, false, false},
        {{.peer = "127.0.0.1", .port = 6379, .is_peer_local = true}, true, true},
        {{.host = "cache", .port = 6379}, false, true},
        {{.host = "cachehost", .port = 6379}, false, true},
        {{.host = "redis", .port = 6379}, false, true},
        {{.host = "db", .port = 6379}, false, false},
        {{.host = "", .port = 6379}, false, false},
        {{.socket = "/run/redis/redis.sock"}, false, true},
        {{.socket = "/run/redis2/redis.sock"}, false, false},
    };
    struct engine_container container;
    assert_int_equal(0, engine_json_container(INSPECT, strlen(INSPECT), &container, NULL));
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        container.is_host_network = CASES[i].is_host_network;
        if (self_finder_is_redis(&container, &CASES[i].redis) != CASES[i].wanted) {
            fail_msg("case %zu", i);
        }
    }
    assert_true(self_finder_is_own(&container, ID));
    assert_false(self_finder_is_own(&container, ""));
    engine_container_fini(&container);
}

static void finds_our_own_container(void **state)
{
    (void)state;
    static const struct {
        const char *cgroup, *mounts, *wanted;
    } CASES[] = {
        {"4:memory:/docker/" ID "\n0::/\n", NULL, ID},
        {"0::/system.slice/docker-" ID ".scope\n", NULL, ID},
        {"0::/\n", "1 2 0:1 /var/lib/docker/containers/" ID "/hostname /etc/hostname rw - ext4 /dev/x rw\n",
         ID},
        {"0::/\n", "1 2 0:1 / /var/lib/docker/containers/" ID "/mounts/shm rw - tmpfs shm rw\n", ""},
        {"0::/user.slice\n", "1 2 0:1 /x /etc/hostname rw - ext4 /dev/x rw\n", ""},
        {"0::/docker/" ID "0\n", NULL, ""},
        {NULL, NULL, ""},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        char id[LIMIT_ID_SIZE];
        bool is_found = self_finder_container_id(CASES[i].cgroup, CASES[i].mounts, id);
        assert_string_equal(CASES[i].wanted, id);
        assert_int_equal(CASES[i].wanted[0] != '\0', is_found);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_list),
        cmocka_unit_test(reads_an_inspect),
        cmocka_unit_test(fields_of_another_type_read_as_absent),
        cmocka_unit_test(refuses_what_is_no_container),
        cmocka_unit_test(reads_events),
        cmocka_unit_test(events_of_other_things_are_refused),
        cmocka_unit_test(depth_and_size_are_bounded),
        cmocka_unit_test(any_bytes_are_survived),
        cmocka_unit_test(the_rest),
        cmocka_unit_test(finds_our_redis),
        cmocka_unit_test(finds_our_own_container),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
