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
        "{\"Id\":\"" ID2 "\",\"Names\":[7,\"nameless\",\"/a/b\"],\"State\":\"exited\"},"
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

/* Cut it would name another thing; and what is too much is left out, not the container. */
static void what_is_out_of_bounds_reads_as_absent(void **state)
{
    (void)state;
    static const struct {
        const char *code, *count;
        int exit_code;
        int64_t restart_count;
    } NUMBERS[] = {{"137", "9000000000", 137, 9000000000},
                   {"3000000000", "1e300", 0, 0},
                   {"-3000000000", "-1e300", 0, 0},
                   {"-1", "9e18", -1, 9000000000000000000}};
    for (size_t i = 0; i < sizeof NUMBERS / sizeof NUMBERS[0]; i++) {
        char text[512];
        snprintf(text, sizeof text,
                 "{\"Id\":\"" ID "\",\"Name\":\"/x\",\"State\":{\"ExitCode\":%s},\"RestartCount\":%s}",
                 NUMBERS[i].code, NUMBERS[i].count);
        struct engine_container container;
        assert_int_equal(0, engine_json_container(text, strlen(text), &container, NULL));
        assert_int_equal(NUMBERS[i].exit_code, container.exit_code);
        assert_int_equal(NUMBERS[i].restart_count, container.restart_count);
        engine_container_fini(&container);
    }
    static const struct {
        int id_len, name_len, status;
    } NAMES[] = {{LIMIT_ID_SIZE - 1, LIMIT_NAME_SIZE - 1, 0},
                 {LIMIT_ID_SIZE, 1, -EINVAL},
                 {1, LIMIT_NAME_SIZE, -EINVAL}};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        char text[1024];
        snprintf(text, sizeof text, "{\"Id\":\"%0*d\",\"Name\":\"/%0*d\"}", NAMES[i].id_len, 0,
                 NAMES[i].name_len, 0);
        struct engine_container container;
        assert_int_equal(NAMES[i].status, engine_json_container(text, strlen(text), &container, NULL));
        engine_container_fini(&container);
    }
}

/* Whatever a container has of these, so many are kept; each is whole, and the others are no reason to stop.
 */
static void lists_are_bounded(void **state)
{
    (void)state;
    enum { MANY = 100 };
    static char text[128 * 1024];
    char long_name[LIMIT_NAME_SIZE + 1];
    memset(long_name, 'n', LIMIT_NAME_SIZE);
    long_name[LIMIT_NAME_SIZE] = '\0';
    size_t used = (size_t)snprintf(text, sizeof text,
                                   "{\"Id\":\"" ID "\",\"Name\":\"/x\",\"Mounts\":["
                                   "{\"Source\":\"vol\"},{\"Source\":\"/%s\"}",
                                   long_name);
    for (int i = 0; i < MANY; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, ",{\"Source\":\"/m%d\"}", i);
    }
    used += (size_t)snprintf(text + used, sizeof text - used,
                             "],\"NetworkSettings\":{\"Ports\":{\"1\":["
                             "{\"HostPort\":\"0\"},{\"HostPort\":\"65536\"},{\"HostPort\":\"-1\"}");
    for (int i = 0; i < MANY; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, ",{\"HostPort\":\"%d\"}", i + 1);
    }
    used += (size_t)snprintf(text + used, sizeof text - used, "]},\"Networks\":{\"n\":{\"IPAddress\":\"%s\"}",
                             long_name);
    for (int i = 0; i < MANY; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used,
                                 ",\"n%d\":{\"IPAddress\":\"10.0.0.%d\","
                                 "\"Aliases\":[\"%s\",\"a%d\"]}",
                                 i, i, long_name, i);
    }
    used += (size_t)snprintf(text + used, sizeof text - used, "}}}");
    struct engine_container container;
    assert_int_equal(0, engine_json_container(text, used, &container, NULL));
    assert_int_equal(ENGINE_MOUNTS, container.mount_count);
    assert_string_equal("/m0", container.mounts[0]);
    assert_int_equal(ENGINE_PORTS, container.host_port_count);
    assert_int_equal(1, container.host_ports[0]);
    assert_int_equal(ENGINE_ADDRESSES, container.address_count);
    assert_string_equal("10.0.0.0", container.addresses[0]);
    assert_int_equal(ENGINE_ALIASES, container.alias_count);
    assert_string_equal("a0", container.aliases[0]);
    engine_container_fini(&container);
}

/* The first of the three that names a container; a host's network is no container's. */
static void whose_namespaces_it_lives_in(void **state)
{
    (void)state;
    static const struct {
        const char *host, *parent;
        bool is_host_network;
    } CASES[] = {
        {"\"NetworkMode\":\"container:" ID "\",\"PidMode\":\"container:" ID2 "\"", ID, false},
        {"\"NetworkMode\":\"host\",\"IpcMode\":\"container:" ID2 "\"", ID2, true},
        {"\"NetworkMode\":\"container:web\"", "", false}, /* an id it is, once Docker has made it */
        {"\"NetworkMode\":\"default\"", "", false},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        char text[512];
        snprintf(text, sizeof text, "{\"Id\":\"" ID "\",\"Name\":\"/x\",\"HostConfig\":{%s}}", CASES[i].host);
        struct engine_container container;
        assert_int_equal(0, engine_json_container(text, strlen(text), &container, NULL));
        assert_string_equal(CASES[i].parent, container.network_parent);
        assert_int_equal(CASES[i].is_host_network, container.is_host_network);
        engine_container_fini(&container);
    }
}

/* The end of what the last check said, and never from within a character. */
static void reads_what_the_last_check_said(void **state)
{
    (void)state;
    for (size_t more = 0; more < 3; more++) {
        static char text[3 * ENGINE_HEALTH_OUTPUT_BYTES];
        char output[ENGINE_HEALTH_OUTPUT_BYTES + 8] = "";
        memset(output, 'o', ENGINE_HEALTH_OUTPUT_BYTES - 4 + more);
        memcpy(output, "\xc3\xa4", 2);
        memcpy(output + strlen(output), "\xc3\xb6nd", 5);
        snprintf(text, sizeof text,
                 "{\"Id\":\"" ID
                 "\",\"Name\":\"/x\",\"State\":{\"Health\":{\"Status\":\"unhealthy\",\"Log\":["
                 "{\"ExitCode\":7,\"Output\":\"before\"},{\"ExitCode\":3,\"Output\":\"%s\"}]}}}",
                 output);
        struct engine_container container;
        assert_int_equal(0, engine_json_container(text, strlen(text), &container, NULL));
        assert_int_equal(3, container.health_exit_code);
        assert_string_equal(more == 0 ? output : output + 2, container.health_output);
        engine_container_fini(&container);
    }
}

static void programs_are_known_by_their_last_part(void **state)
{
    (void)state;
    static const struct {
        const char *path, *args;
        enum engine_program program;
    } CASES[] = {
        {"/usr/bin/defib-agent", "[]", ENGINE_PROGRAM_DEFIB},
        {"tini", "[7,\"redis-server\"]", ENGINE_PROGRAM_REDIS},
        {"valkey-server", "[\"defib-agent\"]", ENGINE_PROGRAM_REDIS},
        {"sh", "[\"-c\",\"redis-server-not\"]", ENGINE_PROGRAM_OTHER},
        {"sh", "{}", ENGINE_PROGRAM_OTHER},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        char text[512];
        snprintf(text, sizeof text, "{\"Id\":\"" ID "\",\"Name\":\"/x\",\"Path\":\"%s\",\"Args\":%s}",
                 CASES[i].path, CASES[i].args);
        struct engine_container container;
        assert_int_equal(0, engine_json_container(text, strlen(text), &container, NULL));
        assert_int_equal(CASES[i].program, container.program);
        engine_container_fini(&container);
    }
}

static void fields_of_another_type_read_as_absent(void **state)
{
    (void)state;
    static const char TEXT[] =
        "{\"Id\":\"" ID
        "\",\"Name\":\"/x\",\"Path\":7,\"Args\":\"no\",\"State\":[],\"RestartCount\":\"many\","
        "\"HostConfig\":{\"RestartPolicy\":null,\"Memory\":-5,\"PortBindings\":[1,[2]]},"
        "\"Config\":{\"Healthcheck\":{\"Test\":[\"NONE\"]},\"Labels\":[1,\"autoheal\"]},\"NetworkSettings\":"
        "null,"
        "\"Mounts\":{}}";
    struct engine_container container;
    assert_int_equal(0, engine_json_container(TEXT, strlen(TEXT), &container, NULL));
    assert_int_equal(CONTAINER_UNKNOWN, container.state);
    assert_int_equal(DOCKER_POLICY_NO, container.policy);
    assert_int_equal(-1, container.stop_timeout_secs);
    assert_int_equal(0, container.memory_limit_bytes);
    assert_false(container.has_healthcheck);
    assert_int_equal(0, container.restart_count);
    assert_int_equal(0, container.labels.count);
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

/* One without a time, or whose numbers are none, is heard of all the same. */
static void an_event_may_lack_anything_but_its_container(void **state)
{
    (void)state;
    static const struct {
        const char *attributes, *time;
        int64_t time_ns;
    } CASES[] = {
        {"\"exitCode\":\"\",\"signal\":\"\"", "", 0},
        {"\"exitCode\":\"1000000000\",\"signal\":\"x\"", ",\"timeNano\":\"12\"", 0},
        {"\"exitCode\":\"-1\"", ",\"timeNano\":0,\"x\":1", 0},
        {"\"exitCode\":\"1x\"", ",\"timeNano\":12.5", 12},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        char text[512];
        snprintf(text, sizeof text,
                 "{\"Type\":\"container\",\"Action\":\"die\",\"Actor\":{\"ID\":\"" ID
                 "\",\"Attributes\":{%s}}%s}",
                 CASES[i].attributes, CASES[i].time);
        struct engine_event event;
        assert_int_equal(0, engine_json_event(text, strlen(text), &event, NULL));
        assert_int_equal(ENGINE_ACTION_DIE, event.action);
        assert_string_equal("", event.name);
        assert_false(event.has_exit_code);
        assert_int_equal(0, event.signal);
        assert_int_equal(CASES[i].time_ns, event.time_ns);
        engine_event_fini(&event);
    }
}

static void reads_what_an_exec_came_to(void **state)
{
    (void)state;
    char id[LIMIT_ID_SIZE];
    static const char CREATED[] = "{\"Id\":\"" ID "\"}";
    assert_int_equal(0, engine_json_exec_id(CREATED, strlen(CREATED), id, NULL));
    assert_string_equal(ID, id);
    assert_int_equal(-EINVAL, engine_json_exec_id("{\"Id\":\"x\"}", 10, id, NULL));
    assert_int_equal(-EINVAL, engine_json_exec_id("[", 1, id, NULL));
    static const struct {
        const char *text;
        struct engine_exec wanted;
    } CASES[] = {
        {"{\"Running\":true,\"ExitCode\":null}", {true, 0}},
        {"{\"Running\":false,\"ExitCode\":3}", {false, 3}},
        {"{\"Running\":true,\"ExitCode\":0}", {true, 0}},
        {"{\"Running\":false,\"ExitCode\":null}", {true, 0}}, /* it has not begun */
    };
    struct engine_exec exec;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        assert_int_equal(0, engine_json_exec(CASES[i].text, strlen(CASES[i].text), &exec, NULL));
        assert_int_equal(CASES[i].wanted.is_running, exec.is_running);
        assert_int_equal(CASES[i].wanted.exit_code, exec.exit_code);
    }
    assert_int_equal(-EINVAL, engine_json_exec("", 0, &exec, NULL));
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
    struct engine_container container;
    assert_int_equal(-EMSGSIZE, engine_json_container("{", LIMIT_ENGINE_BODY_BYTES + 1, &container, NULL));
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
    char id[LIMIT_ID_SIZE];
    static const char NETWORK[] = "{\"Name\":\"bridge\",\"Id\":\"48c9260323fa\"}",
                      NO_ID[] = "{\"Id\":\"x y\"}";
    assert_int_equal(0, engine_json_network_id(NETWORK, strlen(NETWORK), id, NULL));
    assert_string_equal("48c9260323fa", id);
    assert_int_equal(-EINVAL, engine_json_network_id(NO_ID, strlen(NO_ID), id, NULL));
    assert_int_equal(-EINVAL, engine_json_network_id("[", 1, id, NULL));
    char message[64];
    static const char REFUSAL[] = "{\"message\":\"No such container: x\"}";
    engine_json_message(REFUSAL, strlen(REFUSAL), message, sizeof message);
    assert_string_equal("No such container: x", message);
    engine_json_message("404 page\n", 9, message, sizeof message);
    assert_non_null(strstr(message, "404 page"));
    static const char LINES[] = "{\"message\":\"no\\n\\u001b[2Jspace\\u007f\"}";
    engine_json_message(LINES, strlen(LINES), message, sizeof message);
    assert_string_equal("no  [2Jspace ", message);
    assert_int_equal(0, engine_json_time_ns("0001-01-01T00:00:00Z"));
    assert_int_equal(0, engine_json_time_ns("0001-01-01T00:00:00.5Z"));
    assert_int_equal(0, engine_json_time_ns("yesterday"));
    assert_int_equal(0, engine_json_time_ns("9026-11-24T08:51:20Z")); /* past what nanoseconds can count */
    assert_int_equal(1795510280000000001, engine_json_time_ns("2026-11-24T08:51:20.000000001Z"));
    assert_int_equal(1795510280000000000, engine_json_time_ns("2026-11-24T08:51:20Z"));
    assert_int_equal(1795510280250000000, engine_json_time_ns("2026-11-24T08:51:20.25"));
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
        {{.socket = "/run/redis"}, false, true},
        {{.socket = "/srv/redis.sock"}, true, true}, /* it may be any file of the host's */
        {{.peer = "127.0.0.1", .port = 6380, .is_peer_local = true}, false, false},
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
    assert_false(self_finder_is_own(&container, ID2));
    container.program = ENGINE_PROGRAM_OTHER; /* what shares a directory or a network with Redis is not it */
    container.is_host_network = true;
    static const struct self_finder_redis SOCKET = {.socket = "/run/redis/redis.sock"};
    static const struct self_finder_redis LOCAL = {.peer = "127.0.0.1", .port = 6379, .is_peer_local = true};
    assert_false(self_finder_is_redis(&container, &SOCKET));
    assert_false(self_finder_is_redis(&container, &LOCAL));
    container.program = ENGINE_PROGRAM_DEFIB;
    assert_true(self_finder_is_own(&container, ""));
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
        {"0::/docker/" ID, NULL, ID}, /* the last line may lack its end */
        {"0::/kubepods/x-" ID, NULL, ""},
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
        cmocka_unit_test(what_is_out_of_bounds_reads_as_absent),
        cmocka_unit_test(lists_are_bounded),
        cmocka_unit_test(whose_namespaces_it_lives_in),
        cmocka_unit_test(reads_what_the_last_check_said),
        cmocka_unit_test(programs_are_known_by_their_last_part),
        cmocka_unit_test(fields_of_another_type_read_as_absent),
        cmocka_unit_test(refuses_what_is_no_container),
        cmocka_unit_test(reads_events),
        cmocka_unit_test(events_of_other_things_are_refused),
        cmocka_unit_test(an_event_may_lack_anything_but_its_container),
        cmocka_unit_test(reads_what_an_exec_came_to),
        cmocka_unit_test(depth_and_size_are_bounded),
        cmocka_unit_test(any_bytes_are_survived),
        cmocka_unit_test(the_rest),
        cmocka_unit_test(finds_our_redis),
        cmocka_unit_test(finds_our_own_container),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
