#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "common/redis_tls.h"
#include "common/settings.h"
#include "common/version.h"

#define AGENT      SETTINGS_AGENT
#define CONTROLLER SETTINGS_CONTROLLER
#define BOTH       SETTINGS_BOTH

enum { OUTPUT_SIZE = 16384 };

static const char *look_up(void *arg, const char *name)
{
    size_t len = strlen(name);
    for (const char *const *at = arg; *at != NULL; at++) {
        if (strncmp(*at, name, len) == 0 && (*at)[len] == '=') {
            return *at + len + 1;
        }
    }
    return NULL;
}

/* `environment` holds NAME=value parts with a blank between them; no value here has one. */
static int load(enum settings_program program, const char *environment, struct settings *out, struct err *err)
{
    char copy[1024];
    const char *parts[16] = {NULL};
    size_t count = 0;
    snprintf(copy, sizeof copy, "%s", environment);
    for (char *part = strtok(copy, " "); part != NULL; part = strtok(NULL, " ")) {
        parts[count++] = part;
    }
    return settings_load(program, look_up, parts, out, err);
}

static void must_load(enum settings_program program, const char *environment, struct settings *out)
{
    struct err err;
    if (load(program, environment, out, &err) != 0) {
        fail_msg("%s: %s", environment, err.text);
    }
}

static char *printed(enum settings_program program, const struct settings *settings)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    settings_print(program, settings, out);
    fclose(out);
    return text;
}

/* runbook.md and contract.md, row by row. */
static const struct {
    const char *name, *value; /* NULL: differs from host to host */
    int programs;
} CONTRACT[] = {
    {"HEARTBEAT_INTERVAL_SECS", "10", BOTH},
    {"HEARTBEAT_TTL_SECS", "35", BOTH},
    {"HEARTBEAT_MISS_THRESHOLD", "3", BOTH},
    {"SUPERVISOR_ENABLED", "true", BOTH},
    {"MAX_RESTART_ATTEMPTS", "3", BOTH},
    {"RESTART_BACKOFF_SECS", "5,15,45", BOTH},
    {"RESTART_COOLDOWN_SECS", "600", BOTH},
    {"SUPERVISOR_CHECK_INTERVAL_SECS", "15", BOTH},
    {"REDIS_URL", "redis://127.0.0.1:6379", BOTH},
    {"RESTART_ALLOW_SERVICES", "", CONTROLLER},
    {"RESTART_DENY_SERVICES", "", BOTH},
    {"UNHEALTHY_THRESHOLD", "3", CONTROLLER},
    {"START_GRACE_SECS", "60", CONTROLLER},
    {"START_DEADLINE_SECS", "300", CONTROLLER},
    {"STOP_SETTLE_SECS", "2", BOTH},
    {"INTENT_SETTLE_SECS", "15", BOTH},
    {"FAST_CHECK_SECS", "2", CONTROLLER},
    {"RESTART_STABLE_SECS", "600", CONTROLLER},
    {"RESTART_JITTER_PCT", "20", CONTROLLER},
    {"DOCKER_POLICY_GRACE_SECS", "90", CONTROLLER},
    {"RESTART_STOP_TIMEOUT_SECS", "10", CONTROLLER},
    {"RESTART_MAX_PER_HOST", "1", CONTROLLER},
    {"RESTART_MAX_FLEET", "3", CONTROLLER},
    {"BREAKER_FRACTION", "0.4", CONTROLLER},
    {"BREAKER_MIN", "3", CONTROLLER},
    {"AGENT_LOST_SECS", "35", CONTROLLER},
    {"SETTLE_SECS", "45", CONTROLLER},
    {"LEADER_LEASE_SECS", "15", CONTROLLER},
    {"ALERT_REPEAT_SECS", "600", CONTROLLER},
    {"DEFIB_HOST", NULL, AGENT},
    {"DEFIB_ID", NULL, CONTROLLER},
    {"DEFIB_NAME_PREFIX", "", AGENT},
    {"DEFIB_WATCH", "all", AGENT},
    {"DEFIB_LISTEN", "tcp://127.0.0.1:7411", AGENT},
    {"DEFIB_ADVERTISE", "", AGENT},
    {"DOCKER_HOST", "unix:///var/run/docker.sock", AGENT},
    {"DOCKER_TLS_VERIFY", "", AGENT},
    {"DOCKER_CERT_PATH", "", AGENT},
    {"DEFIB_KEY_FILE", "", BOTH},
    {"DEFIB_TLS_CA_FILE", "", BOTH},
    {"DEFIB_TLS_CERT_FILE", "", BOTH},
    {"DEFIB_TLS_KEY_FILE", "", BOTH},
    {"DEFIB_AGENTS", "", CONTROLLER},
    {"DEFIB_HTTP_LISTEN", "127.0.0.1:7410", CONTROLLER},
    {"DEFIB_URL", "", SETTINGS_CTL}, /* an addition */
    {"DEFIB_HTTP_TOKEN_FILE", "", CONTROLLER},
    {"DEFIB_HTTP_CERT_FILE", "", CONTROLLER}, /* additions */
    {"DEFIB_HTTP_KEY_FILE", "", CONTROLLER},
    {"DEFIB_HTTP_CA_FILE", "", SETTINGS_CTL},
    {"DEFIB_WEBHOOK_URL", "", CONTROLLER},
    {"DEFIB_WEBHOOK_TEMPLATE", "json", CONTROLLER}, /* an addition */
    {"DEFIB_HEARTBEAT_URL", "", CONTROLLER},
    {"DEFIB_STATE_DIR", "/var/lib/defib", BOTH},
    {"LOG_LEVEL", "info", BOTH},
    {"LOG_FORMAT", "text", BOTH},
};

enum { CONTRACT_COUNT = sizeof CONTRACT / sizeof CONTRACT[0] };

static void every_setting_of_the_contract_is_there(void **state)
{
    (void)state;
    size_t rows;
    settings_rows(&rows);
    assert_int_equal(CONTRACT_COUNT, rows);
    for (int program = AGENT; program <= CONTROLLER; program++) {
        struct settings settings;
        must_load((enum settings_program)program, "", &settings);
        char *text = printed((enum settings_program)program, &settings);
        for (size_t i = 0; i < CONTRACT_COUNT; i++) {
            char line[128];
            bool is_ours = (CONTRACT[i].programs & program) != 0;
            snprintf(line, sizeof line, "%s%s=%s%s", i == 0 ? "" : "\n", CONTRACT[i].name,
                     CONTRACT[i].value == NULL ? "" : CONTRACT[i].value,
                     CONTRACT[i].value == NULL ? "" : "\n");
            if ((strstr(text, line) != NULL) != is_ours) {
                fail_msg("program %d, %s, in\n%s", program, line, text);
            }
        }
        free(text);
        settings_free(&settings);
    }
}

static void every_row_is_fit_for_help(void **state)
{
    (void)state;
    size_t count;
    const struct config_row *rows = settings_rows(&count);
    for (size_t i = 0; i < count; i++) {
        assert_non_null(rows[i].help);
        assert_non_null(rows[i].unit);
        assert_true(strlen(rows[i].help) > 10 && strlen(rows[i].help) < 110);
        assert_null(strchr(rows[i].help, '\n'));
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(rows[k].name, rows[i].name);
            assert_true(rows[k].offset != rows[i].offset);
        }
    }
}

/* Tests of whole systems run at a hundredth of the real pace. */
static void small_times_are_allowed(void **state)
{
    (void)state;
    static const char *const NAMES[] = {
        "HEARTBEAT_INTERVAL_SECS",  "SUPERVISOR_CHECK_INTERVAL_SECS",
        "RESTART_COOLDOWN_SECS",    "START_GRACE_SECS",
        "START_DEADLINE_SECS",      "STOP_SETTLE_SECS",
        "INTENT_SETTLE_SECS",       "FAST_CHECK_SECS",
        "DOCKER_POLICY_GRACE_SECS", "RESTART_STOP_TIMEOUT_SECS",
        "AGENT_LOST_SECS",          "SETTLE_SECS",
        "LEADER_LEASE_SECS",        "ALERT_REPEAT_SECS",
    };
    static const char *const ZERO[] = {
        "START_GRACE_SECS",          "STOP_SETTLE_SECS",         "INTENT_SETTLE_SECS",
        "FAST_CHECK_SECS",           "DOCKER_POLICY_GRACE_SECS", "SETTLE_SECS",
        "RESTART_STOP_TIMEOUT_SECS", "RESTART_BACKOFF_SECS",     "RESTART_JITTER_PCT",
        "MAX_RESTART_ATTEMPTS",
    };
    struct settings settings;
    char text[128];
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        snprintf(text, sizeof text, "%s=0.2", NAMES[i]);
        must_load(CONTROLLER, text, &settings);
        settings_free(&settings);
    }
    for (size_t i = 0; i < sizeof ZERO / sizeof ZERO[0]; i++) {
        snprintf(text, sizeof text, "%s=0", ZERO[i]);
        must_load(CONTROLLER, text, &settings);
        settings_free(&settings);
    }
    must_load(AGENT, "HEARTBEAT_INTERVAL_SECS=0.2 HEARTBEAT_TTL_SECS=0.7", &settings);
    assert_int_equal(200, settings.heartbeat_interval_ms);
    assert_int_equal(700, settings.heartbeat_ttl_ms);
    settings_free(&settings);
}

static void values_follow_from_others(void **state)
{
    (void)state;
    struct settings settings;
    must_load(CONTROLLER, "HEARTBEAT_TTL_SECS=7 HEARTBEAT_INTERVAL_SECS=2.5 RESTART_COOLDOWN_SECS=3600",
              &settings);
    assert_int_equal(9500, settings.settle_ms);
    assert_int_equal(3600000, settings.restart_stable_ms);
    char id[300], host[256];
    assert_int_equal(0, gethostname(host, sizeof host));
    snprintf(id, sizeof id, "%s-%ld", host, (long)getpid());
    assert_string_equal(id, settings.id);
    settings_free(&settings);

    must_load(CONTROLLER, "SETTLE_SECS=0 RESTART_STABLE_SECS=5 RESTART_COOLDOWN_SECS=5 DEFIB_ID=c1",
              &settings);
    assert_int_equal(0, settings.settle_ms);
    assert_int_equal(5000, settings.restart_stable_ms);
    assert_string_equal("c1", settings.id);
    settings_free(&settings);

    must_load(AGENT, "DEFIB_NAME_PREFIX=auto DEFIB_WATCH=web-*,db REDIS_URL=redis://u:p@r:7/2", &settings);
    assert_string_equal(host, settings.host);
    strcat(host, "/");
    assert_string_equal(host, settings.name_prefix);
    assert_int_equal(2, settings.watch.count);
    assert_true(name_patterns_match(&settings.watch, "web-1"));
    assert_string_equal("r", settings.redis_url.host);
    assert_string_equal("p", settings.redis_url.password);
    assert_int_equal(2, settings.redis_url.db);
    settings_free(&settings);

    must_load(AGENT, "DEFIB_HOST=h1 DEFIB_NAME_PREFIX=auto DEFIB_WATCH=label LOG_LEVEL=ERROR LOG_FORMAT=json",
              &settings);
    assert_string_equal("h1/", settings.name_prefix);
    assert_int_equal(0, settings.watch.count);
    assert_string_equal("label", settings.watch_text);
    assert_int_equal(LOG_LEVEL_ERROR, settings.log_level);
    assert_int_equal(LOG_FORMAT_JSON, settings.log_format);
    settings_free(&settings);
    assert_null(settings.host);
}

static void lists_are_loaded(void **state)
{
    (void)state;
    struct settings settings;
    must_load(CONTROLLER,
              "RESTART_ALLOW_SERVICES=web-*,api RESTART_DENY_SERVICES=web-9 RESTART_BACKOFF_SECS=0.2,1",
              &settings);
    assert_true(name_patterns_match(&settings.restart_allow, "web-9"));
    assert_false(name_patterns_match(&settings.restart_allow, "db"));
    assert_true(name_patterns_match(&settings.restart_deny, "web-9"));
    assert_int_equal(2, settings.restart_backoff.count);
    assert_int_equal(200, settings.restart_backoff.ms[0]);
    settings_free(&settings);
}

#define KEY " DEFIB_KEY_FILE=/k"
#define TLS " DEFIB_TLS_CA_FILE=/a DEFIB_TLS_CERT_FILE=/b DEFIB_TLS_KEY_FILE=/c"

static void good_ones_pass(void **state)
{
    (void)state;
    static const struct {
        int program;
        const char *environment;
    } CASES[] = {
        {AGENT, "DEFIB_LISTEN=tcp://127.9.9.9:1"},
        {AGENT, "DEFIB_LISTEN=tcp://[::1]:0"},
        {AGENT, "DEFIB_LISTEN=tcp://localhost:7411"},
        {AGENT, "DEFIB_LISTEN=ipc:///run/defib.sock"},
        {AGENT, "DEFIB_LISTEN=tcp://0.0.0.0:7411" KEY},
        {AGENT, "DEFIB_LISTEN=tcp://*:7411" KEY},
        {AGENT, "DEFIB_LISTEN=tls+tcp://127.0.0.1:7411" TLS},
        {AGENT, "DEFIB_LISTEN=tls+tcp://[::]:7411 DEFIB_ADVERTISE=tls+tcp://h1.example.com:7411" TLS KEY},
        {AGENT, "DOCKER_HOST=tcp://10.0.0.5:2376 DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=/c"},
        {AGENT, "DEFIB_HTTP_LISTEN=junk DEFIB_ID=:: RESTART_STABLE_SECS=1"}, /* not the agent's */
        {CONTROLLER, "DEFIB_AGENTS=a=tcp://h:1,b.c=ipc:///x,d_e=tls+tcp://[::1]:9"},
        {CONTROLLER, "DEFIB_HTTP_LISTEN=0.0.0.0:80 DEFIB_HTTP_TOKEN_FILE=/t"},
        {CONTROLLER, "DEFIB_HTTP_LISTEN=[::1]:80"},
        {CONTROLLER, "DEFIB_WEBHOOK_URL=https://h/x?y DEFIB_HEARTBEAT_URL=http://h"},
        {CONTROLLER, "DEFIB_LISTEN=tcp://0.0.0.0:1 DOCKER_HOST=junk DEFIB_HOST=,"}, /* not the controller's */
        {CONTROLLER, "REDIS_URL=redis://:p@h MAX_RESTART_ATTEMPTS=1000"},
        {CONTROLLER, "RESTART_COOLDOWN_SECS=601 RESTART_STABLE_SECS=601"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct settings settings;
        must_load((enum settings_program)CASES[i].program, CASES[i].environment, &settings);
        settings_free(&settings);
    }
}

/* Debian 12's hiredis has none: told at once, and not as a Redis that never answers. */
static void tls_to_redis_is_refused_where_it_is_not_built_in(void **state)
{
    (void)state;
    static const char *const urls[] = {"REDIS_URL=rediss://:hush@h", "REDIS_URL=rediss+sentinel://:hush@h/m"};
    static const enum settings_program programs[] = {AGENT, CONTROLLER, SETTINGS_CTL};
    for (size_t i = 0; i < 6; i++) {
        struct settings settings;
        struct err err;
        int result = load(programs[i / 2], urls[i % 2], &settings, &err);
        if (redis_tls_is_there()) {
            assert_int_equal(0, result);
            settings_free(&settings);
        } else {
            assert_int_equal(-EINVAL, result);
            assert_non_null(strstr(err.text, "REDIS_URL=\"rediss"));
            assert_non_null(strstr(err.text, "this build's hiredis has no TLS"));
            assert_null(strstr(err.text, "hush"));
        }
    }
}

static void defibctl_finds_the_controller(void **state)
{
    (void)state;
    static const struct {
        const char *environment, *url;
    } CASES[] = {
        {"", "http://127.0.0.1:7410"},
        {"DEFIB_HTTP_LISTEN=0.0.0.0:80", "http://127.0.0.1:80"}, /* no token needed to ask */
        {"DEFIB_HTTP_LISTEN=:7410", "http://127.0.0.1:7410"},
        {"DEFIB_HTTP_LISTEN=[::1]:7410", "http://[::1]:7410"},
        {"DEFIB_HTTP_LISTEN=10.0.0.5:7410", "http://10.0.0.5:7410"},
        {"DEFIB_URL=https://ctl.internal/", "https://ctl.internal"},
        {"DEFIB_HTTP_LISTEN=10.0.0.5:7410 DEFIB_URL=http://x:1", "http://x:1"},
        {"HEARTBEAT_TTL_SECS=junk DEFIB_ID=, LOG_LEVEL=loud", "http://127.0.0.1:7410"}, /* not its own */
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct settings settings;
        must_load(SETTINGS_CTL, CASES[i].environment, &settings);
        assert_string_equal(settings.url, CASES[i].url);
        settings_free(&settings);
    }
}

static void bad_ones_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        int programs;
        const char *environment, *begins, *allowed;
    } CASES[] = {
        {BOTH, "HEARTBEAT_TTL_SECS=10", "HEARTBEAT_TTL_SECS=\"10\"", "HEARTBEAT_INTERVAL_SECS, which is 10"},
        {BOTH, "HEARTBEAT_INTERVAL_SECS=35", "HEARTBEAT_TTL_SECS=\"35\"", "which is 35"},
        {BOTH, "HEARTBEAT_INTERVAL_SECS=0", "HEARTBEAT_INTERVAL_SECS=\"0\"", "0.05 to 3600"},
        {BOTH, "HEARTBEAT_MISS_THRESHOLD=0", "HEARTBEAT_MISS_THRESHOLD=\"0\"", "1 to 1000"},
        {BOTH, "MAX_RESTART_ATTEMPTS=1001", "MAX_RESTART_ATTEMPTS=\"1001\"", "0 to 1000"},
        {BOTH, "RESTART_BACKOFF_SECS=fast", "RESTART_BACKOFF_SECS=\"fast\"", "commas"},
        {BOTH, "SUPERVISOR_ENABLED=ja", "SUPERVISOR_ENABLED=\"ja\"", "true"},
        {BOTH, "LOG_LEVEL=loud", "LOG_LEVEL=\"loud\"", "debug, info, warning or error"},
        {BOTH, "LOG_FORMAT=xml", "LOG_FORMAT=\"xml\"", "text or json"},
        {BOTH, "REDIS_URL=redis://u:hush@h:99999", "REDIS_URL=\"redis://u:***@h:99999\"", "1 to 65535"},
        {BOTH, "REDIS_URL=redis+sentinel://h", "REDIS_URL=\"redis+sentinel://h\"", "name"},
        {BOTH, "RESTART_DENY_SERVICES=a,[", "RESTART_DENY_SERVICES=\"a,[\"", "bracket"},
        {BOTH, "DEFIB_TLS_CERT_FILE=/c", "DEFIB_TLS_CERT_FILE=\"/c\"", "DEFIB_TLS_KEY_FILE"},
        {BOTH, "DEFIB_TLS_KEY_FILE=/c", "DEFIB_TLS_KEY_FILE=\"/c\"", "DEFIB_TLS_CERT_FILE"},
        {CONTROLLER, "RESTART_STABLE_SECS=599.9", "RESTART_STABLE_SECS=\"599.9\"", "which is 600"},
        {CONTROLLER, "DEFIB_ID=a,b", "DEFIB_ID=\"a,b\"", "letters"},
        {CONTROLLER, "DEFIB_AGENTS=a", "DEFIB_AGENTS=\"a\"", "part 1"},
        {CONTROLLER, "DEFIB_AGENTS=a=tcp://h:1,b=h:2", "DEFIB_AGENTS=", "part 2"},
        {CONTROLLER, "DEFIB_AGENTS=a=tcp://h:1,,b=tcp://h:2", "DEFIB_AGENTS=", "part 2"},
        {CONTROLLER, "DEFIB_AGENTS=a=tcp://h:1,a=tcp://h:2", "DEFIB_AGENTS=", "one URL for a host"},
        {CONTROLLER, "DEFIB_AGENTS=a=tcp://h:0", "DEFIB_AGENTS=", "part 1"},
        {CONTROLLER, "DEFIB_AGENTS=a=tcp://*:1", "DEFIB_AGENTS=", "part 1"},
        {CONTROLLER, "DEFIB_AGENTS=a/b=tcp://h:1", "DEFIB_AGENTS=", "part 1"},
        {CONTROLLER, "DEFIB_HTTP_LISTEN=0.0.0.0:80", "DEFIB_HTTP_LISTEN=\"0.0.0.0:80\"",
         "DEFIB_HTTP_TOKEN_FILE"},
        {CONTROLLER, "DEFIB_HTTP_CERT_FILE=/c", "DEFIB_HTTP_CERT_FILE=\"/c\"", "DEFIB_HTTP_KEY_FILE"},
        {CONTROLLER, "DEFIB_HTTP_KEY_FILE=/k", "DEFIB_HTTP_KEY_FILE=\"/k\"", "DEFIB_HTTP_CERT_FILE"},
        {CONTROLLER, "DEFIB_HTTP_LISTEN=7410", "DEFIB_HTTP_LISTEN=\"7410\"", "host:port"},
        {CONTROLLER, "DEFIB_WEBHOOK_URL=ftp://h/hush", "DEFIB_WEBHOOK_URL=\"ftp://h/***\"", "https://"},
        {CONTROLLER, "DEFIB_HEARTBEAT_URL=hush", "DEFIB_HEARTBEAT_URL=\"***\"", "https://"},
        {SETTINGS_CTL, "DEFIB_URL=ctl:7410", "DEFIB_URL=\"ctl:7410\"", "http://"},
        {SETTINGS_CTL, "DEFIB_HTTP_LISTEN=7410", "DEFIB_HTTP_LISTEN=\"7410\"", "host:port"},
        {AGENT, "DEFIB_HOST=a/b", "DEFIB_HOST=\"a/b\"", "letters"},
        {AGENT, "DEFIB_NAME_PREFIX=a*", "DEFIB_NAME_PREFIX=\"a*\"", "auto"},
        {AGENT, "DEFIB_WATCH=[x", "DEFIB_WATCH=\"[x\"", "bracket"},
        {AGENT, "DEFIB_WATCH=,", "DEFIB_WATCH=\",\"", "label"},
        {AGENT, "DEFIB_LISTEN=tcp://0.0.0.0:7411", "DEFIB_LISTEN=\"tcp://0.0.0.0:7411\"", "DEFIB_KEY_FILE"},
        {AGENT, "DEFIB_LISTEN=tcp://127.0.0.1.nip.io:1", "DEFIB_LISTEN=", "DEFIB_KEY_FILE"},
        {AGENT, "DEFIB_LISTEN=tls+tcp://10.0.0.1:1" TLS, "DEFIB_LISTEN=", "DEFIB_KEY_FILE"},
        {AGENT, "DEFIB_LISTEN=tls+tcp://127.0.0.1:1", "DEFIB_LISTEN=", "DEFIB_TLS_CA_FILE"},
        {AGENT, "DEFIB_LISTEN=tcp://127.0.0.1", "DEFIB_LISTEN=", "host:port"},
        {AGENT, "DEFIB_LISTEN=tcp://127.0.0.1:65536", "DEFIB_LISTEN=", "host:port"},
        {AGENT, "DEFIB_LISTEN=tcp://127.0.0.1:1x", "DEFIB_LISTEN=", "host:port"},
        {AGENT, "DEFIB_LISTEN=ipc://relative", "DEFIB_LISTEN=", "ipc:///path"},
        {AGENT, "DEFIB_LISTEN=inproc://x", "DEFIB_LISTEN=", "ipc:///path"},
        {AGENT, "DEFIB_LISTEN=udp://127.0.0.1:1", "DEFIB_LISTEN=", "tcp://host:port"},
        {AGENT, "DEFIB_ADVERTISE=tcp://*:1", "DEFIB_ADVERTISE=", "tcp://host:port"},
        {AGENT, "DOCKER_HOST=ssh://h", "DOCKER_HOST=\"ssh://h\"", "unix:///path"},
        {AGENT, "DOCKER_HOST=unix://run", "DOCKER_HOST=", "unix:///path"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        for (int program = AGENT; program <= CONTROLLER; program++) {
            if ((CASES[i].programs & program) == 0) {
                continue;
            }
            struct settings settings;
            struct err err = {.code = 0};
            int status = load((enum settings_program)program, CASES[i].environment, &settings, &err);
            if (status != -EINVAL || strncmp(err.text, CASES[i].begins, strlen(CASES[i].begins)) != 0 ||
                strstr(err.text, CASES[i].allowed) == NULL || strstr(err.text, "hush") != NULL) {
                fail_msg("%s: %d, %s", CASES[i].environment, status, err.text);
            }
            assert_null(settings.redis_url_text);
        }
    }
}

static void local_urls(void **state)
{
    (void)state;
    static const char *const LOCAL[] = {"tcp://127.0.0.1:1", "tls+tcp://127.255.0.9:1",
                                        "tcp://[::1]:1",     "tcp://localhost:1",
                                        "ipc:///x",          "inproc://x"};
    static const char *const FAR[] = {"tcp://10.0.0.1:1",
                                      "tcp://0.0.0.0:1",
                                      "tcp://*:1",
                                      "tcp://:1",
                                      "tcp://[::]:1",
                                      "tcp://127.example.com:1",
                                      "tcp://localhost.x.y:1",
                                      "",
                                      "127.0.0.1:1",
                                      "tcp://128.0.0.1:1",
                                      "tcp://[::2]:1"};
    for (size_t i = 0; i < sizeof LOCAL / sizeof LOCAL[0]; i++) {
        assert_true(settings_is_local_url(LOCAL[i]));
    }
    for (size_t i = 0; i < sizeof FAR / sizeof FAR[0]; i++) {
        if (settings_is_local_url(FAR[i])) {
            fail_msg("%s", FAR[i]);
        }
    }
}

/* ---- the command line, in a child whose output is caught ---- */

struct run {
    int code;
    char out[OUTPUT_SIZE], err[OUTPUT_SIZE];
};

static void slurp(int fd, char *out)
{
    size_t len = 0;
    for (ssize_t got; (got = read(fd, out + len, OUTPUT_SIZE - 1 - len)) > 0;) {
        len += (size_t)got;
    }
    out[len] = '\0';
    close(fd);
}

/* Exit code 100: told to run on. */
static struct run *run(enum settings_program program, const char *setting, const char *first,
                       const char *second)
{
    int out[2], err[2];
    assert_int_equal(0, pipe(out));
    assert_int_equal(0, pipe(err));
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(out[1], STDOUT_FILENO);
        dup2(err[1], STDERR_FILENO);
        clearenv();
        if (setting != NULL) {
            putenv((char *)(uintptr_t)setting);
        }
        char *arguments[] = {(char[]){"x"}, (char *)(uintptr_t)first, (char *)(uintptr_t)second, NULL};
        int count = first == NULL ? 1 : second == NULL ? 2 : 3;
        struct settings settings;
        int code = settings_from_command_line(program, "defib-test", "tests", count, arguments, &settings);
        if (code == -1) {
            settings_free(&settings);
        }
        _exit(code == -1 ? 100 : code);
    }
    close(out[1]);
    close(err[1]);
    struct run *result = calloc(1, sizeof *result);
    assert_non_null(result);
    slurp(out[0], result->out);
    slurp(err[0], result->err);
    int status;
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_true(WIFEXITED(status));
    result->code = WEXITSTATUS(status);
    return result;
}

static bool is_one_line(const char *text)
{
    const char *newline = strchr(text, '\n');
    return newline != NULL && newline[1] == '\0';
}

static void the_command_line(void **state)
{
    (void)state;
    struct run *got = run(SETTINGS_AGENT, NULL, NULL, NULL);
    assert_int_equal(100, got->code);
    assert_string_equal("", got->out);
    assert_string_equal("", got->err);
    free(got);

    got = run(SETTINGS_AGENT, "LOG_LEVEL=junk", "--version", NULL);
    assert_int_equal(0, got->code);
    assert_string_equal("defib-test " DEFIB_VERSION "\n", got->out);
    free(got);

    got = run(SETTINGS_CONTROLLER, "LOG_LEVEL=junk", "--help", NULL);
    assert_int_equal(0, got->code);
    assert_string_equal("", got->err);
    for (size_t i = 0; i < CONTRACT_COUNT; i++) {
        char name[64];
        snprintf(name, sizeof name, "\n  %s ", CONTRACT[i].name);
        char *at = strstr(got->out, name);
        if (at == NULL) {
            name[strlen(name) - 1] = '\n';
            at = strstr(got->out, name);
        }
        assert_int_equal((CONTRACT[i].programs & CONTROLLER) != 0, at != NULL);
    }
    free(got);

    got = run(SETTINGS_AGENT, "REDIS_URL=redis://u:hush@h", "--check-config", NULL);
    assert_int_equal(0, got->code);
    assert_string_equal("", got->err);
    assert_non_null(strstr(got->out, "\nREDIS_URL=redis://u:***@h\n"));
    assert_null(strstr(got->out, "hush"));
    free(got);
}

static void bad_usage_is_one_line_and_exit_2(void **state)
{
    (void)state;
    static const struct {
        const char *setting, *first, *second, *said;
    } CASES[] = {
        {NULL, "--verbose", NULL, "\"--verbose\""},
        {NULL, "start", NULL, "\"start\""},
        {NULL, "--help", "--nope", "\"--nope\""},
        {NULL, "", NULL, "\"\""},
        {"HEARTBEAT_TTL_SECS=abc", NULL, NULL, "defib-test: HEARTBEAT_TTL_SECS=\"abc\": allowed are seconds"},
        {"HEARTBEAT_TTL_SECS=abc", "--check-config", NULL, "HEARTBEAT_TTL_SECS=\"abc\""},
        {"DEFIB_LISTEN=tcp://0.0.0.0:7411", "--check-config", NULL, "DEFIB_LISTEN=\"tcp://0.0.0.0:7411\""},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct run *got = run(SETTINGS_AGENT, CASES[i].setting, CASES[i].first, CASES[i].second);
        if (got->code != 2 || got->out[0] != '\0' || !is_one_line(got->err) ||
            strstr(got->err, CASES[i].said) == NULL) {
            fail_msg("case %zu: %d, %s, %s", i, got->code, got->out, got->err);
        }
        free(got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_setting_of_the_contract_is_there),
        cmocka_unit_test(every_row_is_fit_for_help),
        cmocka_unit_test(small_times_are_allowed),
        cmocka_unit_test(values_follow_from_others),
        cmocka_unit_test(lists_are_loaded),
        cmocka_unit_test(good_ones_pass),
        cmocka_unit_test(tls_to_redis_is_refused_where_it_is_not_built_in),
        cmocka_unit_test(defibctl_finds_the_controller),
        cmocka_unit_test(bad_ones_are_refused_by_name),
        cmocka_unit_test(local_urls),
        cmocka_unit_test(the_command_line),
        cmocka_unit_test(bad_usage_is_one_line_and_exit_2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
