#include "common/settings.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/memory.h"
#include "common/version.h"

/* ---- the table ---- */

static const char *const LOG_LEVELS[] = {"debug", "info", "warning", "error", NULL};
static const char *const LOG_FORMATS[] = {"text", "json", NULL};

_Static_assert(LOG_LEVEL_DEBUG == 0 && LOG_LEVEL_ERROR == 3, "LOG_LEVELS follows enum log_level");
_Static_assert(LOG_FORMAT_TEXT == 0 && LOG_FORMAT_JSON == 1, "LOG_FORMATS follows enum log_format");

enum { AGENT = SETTINGS_AGENT, CONTROLLER = SETTINGS_CONTROLLER, BOTH = SETTINGS_BOTH };

#define DAY   86400
#define MONTH 2592000

#define AT(member) .offset = offsetof(struct settings, member), .set_offset = SIZE_MAX
#define AT_SET(member, is) \
    .offset = offsetof(struct settings, member), .set_offset = offsetof(struct settings, is)

#define BOOL_ROW(text, who, member, start, words)                                                    \
    {                                                                                                \
        .name = (text), .type = CONFIG_BOOL, .programs = (who), AT(member), .default_text = (start), \
        .unit = "", .help = (words)                                                                  \
    }
#define INT_ROW(text, who, member, start, low, high, in, words)                                     \
    {                                                                                               \
        .name = (text), .type = CONFIG_INT, .programs = (who), AT(member), .default_text = (start), \
        .min = (low), .max = (high), .unit = (in), .help = (words)                                  \
    }
#define REAL_ROW(text, who, member, start, low, high, words)                                         \
    {                                                                                                \
        .name = (text), .type = CONFIG_REAL, .programs = (who), AT(member), .default_text = (start), \
        .min = (low), .max = (high), .unit = "", .help = (words)                                     \
    }
#define SECONDS_ROW(text, who, place, start, low, high, words)                                     \
    {                                                                                              \
        .name = (text), .type = CONFIG_SECONDS, .programs = (who), place, .default_text = (start), \
        .min = (low), .max = (high), .unit = "s", .help = (words)                                  \
    }
#define TEXT_ROW(text, who, member, start, words)                                                    \
    {                                                                                                \
        .name = (text), .type = CONFIG_TEXT, .programs = (who), AT(member), .default_text = (start), \
        .unit = "", .help = (words)                                                                  \
    }
#define SECRET_ROW(text, who, member, start, words)                                                  \
    {                                                                                                \
        .name = (text), .type = CONFIG_TEXT, .programs = (who), AT(member), .default_text = (start), \
        .is_secret = true, .unit = "", .help = (words)                                               \
    }
#define NAMES_ROW(text, who, member, words)                                                                 \
    {                                                                                                       \
        .name = (text), .type = CONFIG_PATTERNS, .programs = (who), AT(member), .unit = "", .help = (words) \
    }
#define CHOICE_ROW(text, who, member, start, words_allowed, words)                                     \
    {                                                                                                  \
        .name = (text), .type = CONFIG_CHOICE, .programs = (who), AT(member), .default_text = (start), \
        .choices = (words_allowed), .unit = "", .help = (words)                                        \
    }

/* The lower bounds keep loops from spinning, and are low enough for tests at a hundredth of the real pace. */
/* clang-format off */
static const struct config_row ROWS[] = {
    SECONDS_ROW("HEARTBEAT_INTERVAL_SECS", BOTH, AT(heartbeat_interval_ms), "10", 0.05, 3600,
                "how often heartbeats are published"),
    SECONDS_ROW("HEARTBEAT_TTL_SECS", BOTH, AT(heartbeat_ttl_ms), "35", 0.1, DAY,
                "life of a heartbeat's key in Redis; more than the interval, better three times that"),
    INT_ROW("HEARTBEAT_MISS_THRESHOLD", BOTH, heartbeat_miss_threshold, "3", 1, 1000, "",
            "consecutive misses before action"),
    BOOL_ROW("SUPERVISOR_ENABLED", BOTH, supervisor_enabled, "true",
             "false watches and reports, and never restarts"),
    INT_ROW("MAX_RESTART_ATTEMPTS", BOTH, max_restart_attempts, "3", 0, 1000, "",
            "attempts before the cooldown; 0 only alerts"),
    {.name = "RESTART_BACKOFF_SECS", .type = CONFIG_SECONDS_LIST, .programs = BOTH, AT(restart_backoff),
     .default_text = "5,15,45", .min = 0, .max = DAY, .unit = "s",
     .help = "wait after attempt 1, 2, ...; the last one repeats"},
    SECONDS_ROW("RESTART_COOLDOWN_SECS", BOTH, AT(restart_cooldown_ms), "600", 0.1, MONTH,
                "pause once the attempts are used up"),
    SECONDS_ROW("SUPERVISOR_CHECK_INTERVAL_SECS", BOTH, AT(check_interval_ms), "15", 0.05, 3600,
                "how often the controller looks for heartbeats that are missing"),

    SECRET_ROW("REDIS_URL", BOTH, redis_url_text, "redis://127.0.0.1:6379",
               "redis://[user:pass@]host:port/db, rediss:// (TLS) or unix:///path; or REDIS_URL_FILE"),
    NAMES_ROW("RESTART_ALLOW_SERVICES", CONTROLLER, restart_allow,
              "containers that may be restarted; with none, all are only reported"),
    NAMES_ROW("RESTART_DENY_SERVICES", BOTH, restart_deny,
              "containers that are never restarted; wins over allow"),

    INT_ROW("UNHEALTHY_THRESHOLD", CONTROLLER, unhealthy_threshold, "3", 1, 1000, "",
            "distinct unhealthy heartbeats before action"),
    SECONDS_ROW("START_GRACE_SECS", CONTROLLER, AT(start_grace_ms), "60", 0, DAY,
                "nothing is counted for so long after a start"),
    SECONDS_ROW("START_DEADLINE_SECS", CONTROLLER, AT(start_deadline_ms), "300", 0.05, DAY,
                "a container that was not healthy by then has failed to start"),
    SECONDS_ROW("STOP_SETTLE_SECS", BOTH, AT(stop_settle_ms), "2", 0, 300,
                "how long to wait for the evidence of why a container stopped"),
    SECONDS_ROW("INTENT_SETTLE_SECS", BOTH, AT(intent_settle_ms), "15", 0, 600,
                "dockerd must live on for so long before a stop counts as an operator's"),
    SECONDS_ROW("FAST_CHECK_SECS", CONTROLLER, AT(fast_check_ms), "2", 0, 3600,
                "check interval for a container that was reported dead; 0 acts at once"),
    SECONDS_ROW("RESTART_STABLE_SECS", CONTROLLER, AT_SET(restart_stable_ms, restart_stable_given), "600", 0.1, MONTH,
                "healthy for so long returns all attempts; at least the cooldown"),
    INT_ROW("RESTART_JITTER_PCT", CONTROLLER, restart_jitter_pct, "20", 0, 1000, "%",
            "random extra on every backoff"),
    SECONDS_ROW("DOCKER_POLICY_GRACE_SECS", CONTROLLER, AT(docker_policy_grace_ms), "90", 0, DAY,
                "how long Docker's own restart policy goes first"),
    SECONDS_ROW("RESTART_STOP_TIMEOUT_SECS", CONTROLLER, AT(restart_stop_timeout_ms), "10", 0, 3600,
                "time to end before SIGKILL; label defib.stop_timeout overrides"),
    INT_ROW("RESTART_MAX_PER_HOST", CONTROLLER, restart_max_per_host, "1", 1, 1000, "",
            "restarts at the same time on one host"),
    INT_ROW("RESTART_MAX_FLEET", CONTROLLER, restart_max_fleet, "3", 1, 10000, "",
            "restarts at the same time in all"),
    REAL_ROW("BREAKER_FRACTION", CONTROLLER, breaker_fraction, "0.4", 0, 1,
             "share of the containers that must fail together to open the breaker"),
    INT_ROW("BREAKER_MIN", CONTROLLER, breaker_min, "3", 1, 100000, "",
            "fewer failures never open the breaker"),
    SECONDS_ROW("AGENT_LOST_SECS", CONTROLLER, AT(agent_lost_ms), "35", 0.1, DAY,
                "an agent that is silent on both paths for so long is lost"),
    SECONDS_ROW("SETTLE_SECS", CONTROLLER, AT_SET(settle_ms, settle_given), NULL, 0, DAY,
                "patience with silence after a start or takeover; else HEARTBEAT_TTL_SECS + HEARTBEAT_INTERVAL_SECS"),
    SECONDS_ROW("LEADER_LEASE_SECS", CONTROLLER, AT(leader_lease_ms), "15", 0.1, 3600,
                "a leader that is silent for so long is replaced"),
    SECONDS_ROW("ALERT_REPEAT_SECS", CONTROLLER, AT(alert_repeat_ms), "600", 0.05, MONTH,
                "an alert or line that says the same again waits so long"),

    TEXT_ROW("DEFIB_HOST", AGENT, host, NULL, "name of this host in the fleet; else the host's name"),
    TEXT_ROW("DEFIB_ID", CONTROLLER, id, NULL, "name of this controller; else the host's name and the pid"),
    TEXT_ROW("DEFIB_NAME_PREFIX", AGENT, name_prefix, NULL,
             "put in front of container names in the fleet; \"auto\": the host and a slash"),
    TEXT_ROW("DEFIB_WATCH", AGENT, watch_text, "all",
             "all, label (only defib.enable=true and the like) or names and globs"),
    TEXT_ROW("DEFIB_LISTEN", AGENT, listen_url, "tcp://127.0.0.1:7411",
             "where commands come in: tcp://host:port, tls+tcp://host:port or ipc:///path"),
    TEXT_ROW("DEFIB_ADVERTISE", AGENT, advertise_url, NULL, "the URL that controllers dial; else from DEFIB_LISTEN"),
    TEXT_ROW("DOCKER_HOST", AGENT, docker_host, "unix:///var/run/docker.sock",
             "the Engine: unix:///path, tcp://host:port, http:// or https://"),
    TEXT_ROW("DOCKER_TLS_VERIFY", AGENT, docker_tls_verify, NULL, "not empty: TLS to the Engine, certificate checked"),
    TEXT_ROW("DOCKER_CERT_PATH", AGENT, docker_cert_path, NULL, "folder of ca.pem, cert.pem and key.pem for the Engine"),
    TEXT_ROW("DEFIB_KEY_FILE", BOTH, key_file, NULL,
             "keys that sign every message, one id:hex a line, the first signs; needed to listen beyond loopback"),
    TEXT_ROW("DEFIB_TLS_CA_FILE", BOTH, tls_ca_file, NULL, "CA of the other side's certificate, for tls+tcp://"),
    TEXT_ROW("DEFIB_TLS_CERT_FILE", BOTH, tls_cert_file, NULL, "our certificate, for tls+tcp://"),
    TEXT_ROW("DEFIB_TLS_KEY_FILE", BOTH, tls_key_file, NULL, "our certificate's private key, for tls+tcp://"),
    TEXT_ROW("DEFIB_AGENTS", CONTROLLER, agents_text, NULL, "host=url,...: agents to know without discovery"),
    TEXT_ROW("DEFIB_HTTP_LISTEN", CONTROLLER, http_listen, "127.0.0.1:7410", "host:port of the API, metrics and dashboard"),
    TEXT_ROW("DEFIB_HTTP_TOKEN_FILE", CONTROLLER, http_token_file, NULL,
             "token for changes over HTTP; needed to listen beyond loopback"),
    SECRET_ROW("DEFIB_WEBHOOK_URL", CONTROLLER, webhook_url, NULL, "alerts are posted there; or DEFIB_WEBHOOK_URL_FILE"),
    SECRET_ROW("DEFIB_HEARTBEAT_URL", CONTROLLER, heartbeat_url, NULL,
               "fetched while all is well, for a dead man's switch; or DEFIB_HEARTBEAT_URL_FILE"),
    TEXT_ROW("DEFIB_STATE_DIR", BOTH, state_dir, "/var/lib/defib", "folder for what must outlive a restart; small"),
    CHOICE_ROW("LOG_LEVEL", BOTH, log_level, "info", LOG_LEVELS, "lowest level that is logged"),
    CHOICE_ROW("LOG_FORMAT", BOTH, log_format, "text", LOG_FORMATS, "form of the log lines on stderr"),
};
/* clang-format on */

enum { ROW_COUNT = sizeof ROWS / sizeof ROWS[0] };

#define REFUSE(settings, name, err, ...) \
    config_refuse(ROWS, ROW_COUNT, (settings), (name), (err), __VA_ARGS__)

/* ---- URLs and addresses ---- */

static const char *skip_prefix(const char *text, const char *prefix)
{
    size_t len = strlen(prefix);
    return strncmp(text, prefix, len) == 0 ? text + len : NULL;
}

/* host:port taken apart; an IPv6 host loses its brackets. False where the form or the port is wrong. */
static bool split_address(const char *text, char host[256], long *port)
{
    bool has_brackets = text[0] == '[';
    const char *end = has_brackets ? strchr(text, ']') : strchr(text, ':');
    const char *start = text + has_brackets;
    if (end == NULL || end - start >= 256) {
        return false;
    }
    const char *digits = end + has_brackets;
    if (*digits++ != ':') {
        return false;
    }
    size_t count = strspn(digits, "0123456789");
    if (count == 0 || count > 5 || digits[count] != '\0') {
        return false;
    }
    memcpy(host, start, (size_t)(end - start));
    host[end - start] = '\0';
    *port = strtol(digits, NULL, 10);
    return *port <= 65535 && strpbrk(host, "/@ ,") == NULL;
}

/* By address, not by how it begins: 127.0.0.1.example.com is somebody else. */
static bool is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (strcmp(host, "localhost") == 0) {
        return true;
    }
    if (inet_pton(AF_INET, host, &v4) == 1) {
        return ntohl(v4.s_addr) >> 24 == 127;
    }
    return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static const char *tcp_address(const char *url)
{
    const char *address = skip_prefix(url, "tcp://");
    return address != NULL ? address : skip_prefix(url, "tls+tcp://");
}

bool settings_is_local_url(const char *url)
{
    if (skip_prefix(url, "ipc://") != NULL || skip_prefix(url, "inproc://") != NULL) {
        return true;
    }
    const char *address = tcp_address(url);
    char host[256];
    long port;
    return address != NULL && split_address(address, host, &port) && is_loopback(host);
}

enum url_use { URL_LISTEN, URL_DIAL };

static bool is_rpc_url(const char *url, enum url_use use)
{
    const char *path = skip_prefix(url, "ipc://");
    if (path != NULL) {
        return path[0] == '/' && path[1] != '\0';
    }
    const char *address = tcp_address(url);
    char host[256];
    long port;
    if (address == NULL || !split_address(address, host, &port)) {
        return false;
    }
    return use == URL_LISTEN || (port > 0 && host[0] != '\0' && strcmp(host, "*") != 0);
}

/* ---- names ---- */

#define NAME_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

/* Hosts and ids become parts of keys in Redis and of lists in settings. */
static bool is_name(const char *text, size_t len, const char *allowed)
{
    return len > 0 && len <= 128 && strspn(text, allowed) >= len;
}

static void set_text(char **member, char *text)
{
    free(*member);
    *member = text;
}

static void host_name(char out[HOST_NAME_MAX + 1])
{
    if (gethostname(out, HOST_NAME_MAX + 1) != 0) {
        strcpy(out, "localhost");
    }
    out[HOST_NAME_MAX] = '\0';
}

/* ---- what goes together; each 0 or -EINVAL ---- */

static int check_times(enum settings_program program, struct settings *settings, struct err *err)
{
    if (settings->heartbeat_ttl_ms <= settings->heartbeat_interval_ms) {
        return REFUSE(settings, "HEARTBEAT_TTL_SECS", err,
                      "allowed is more than HEARTBEAT_INTERVAL_SECS, which is %.10g",
                      (double)settings->heartbeat_interval_ms / 1000);
    }
    if ((program & SETTINGS_CONTROLLER) == 0) {
        return 0;
    }
    if (!settings->settle_given) {
        settings->settle_ms = settings->heartbeat_ttl_ms + settings->heartbeat_interval_ms;
    }
    if (settings->restart_stable_ms < settings->restart_cooldown_ms) {
        if (settings->restart_stable_given) {
            return REFUSE(settings, "RESTART_STABLE_SECS", err,
                          "allowed is at least RESTART_COOLDOWN_SECS, which is %.10g",
                          (double)settings->restart_cooldown_ms / 1000);
        }
        settings->restart_stable_ms = settings->restart_cooldown_ms;
    }
    return 0;
}

static int check_redis(struct settings *settings, struct err *err)
{
    struct err cause = {.code = 0};
    if (redis_url_parse(settings->redis_url_text, &settings->redis_url, &cause) == 0) {
        return 0;
    }
    return REFUSE(settings, "REDIS_URL", err,
                  "allowed are redis://[user:pass@]host:port/db, rediss:// and unix:///path, but %s",
                  cause.text);
}

static int check_host(struct settings *settings, struct err *err)
{
    if (settings->host[0] == '\0') {
        char name[HOST_NAME_MAX + 1];
        host_name(name);
        set_text(&settings->host, memory_copy_text(name));
    }
    if (!is_name(settings->host, strlen(settings->host), NAME_BYTES)) {
        return REFUSE(settings, "DEFIB_HOST", err, "allowed are up to 128 letters, digits, dots, _ and -");
    }
    if (strcmp(settings->name_prefix, "auto") == 0) {
        char prefix[130];
        snprintf(prefix, sizeof prefix, "%.128s/", settings->host);
        set_text(&settings->name_prefix, memory_copy_text(prefix));
    }
    size_t len = strlen(settings->name_prefix);
    if (len > 0 && len != strlen(settings->host) + 1 &&
        !is_name(settings->name_prefix, len, NAME_BYTES ":/@+")) {
        return REFUSE(settings, "DEFIB_NAME_PREFIX", err,
                      "allowed are auto, or up to 128 letters, digits and . _ - : / @ +");
    }
    return 0;
}

static int check_id(struct settings *settings, struct err *err)
{
    if (settings->id[0] == '\0') {
        char name[HOST_NAME_MAX + 1], id[HOST_NAME_MAX + 16];
        host_name(name);
        snprintf(id, sizeof id, "%s-%ld", name, (long)getpid());
        set_text(&settings->id, memory_copy_text(id));
    }
    if (!is_name(settings->id, strlen(settings->id), NAME_BYTES ":/@+")) {
        return REFUSE(settings, "DEFIB_ID", err, "allowed are up to 128 letters, digits and . _ - : / @ +");
    }
    return 0;
}

static int check_watch(struct settings *settings, struct err *err)
{
    if (strcmp(settings->watch_text, "all") == 0 || strcmp(settings->watch_text, "label") == 0) {
        return 0;
    }
    struct err cause = {.code = 0};
    if (name_patterns_parse(settings->watch_text, &settings->watch, &cause) != 0) {
        return REFUSE(settings, "DEFIB_WATCH", err, "allowed are all, label, or names and globs, but %.128s",
                      cause.text);
    }
    if (settings->watch.count == 0) {
        return REFUSE(settings, "DEFIB_WATCH", err, "allowed are all, label, or names and globs");
    }
    return 0;
}

#define RPC_FORMS "tcp://host:port, tls+tcp://host:port and ipc:///path"

static int check_listen(struct settings *settings, struct err *err)
{
    if (!is_rpc_url(settings->listen_url, URL_LISTEN)) {
        return REFUSE(settings, "DEFIB_LISTEN", err, "allowed are " RPC_FORMS);
    }
    if (settings->advertise_url[0] != '\0' && !is_rpc_url(settings->advertise_url, URL_DIAL)) {
        return REFUSE(settings, "DEFIB_ADVERTISE", err, "allowed are " RPC_FORMS);
    }
    if (settings->key_file[0] == '\0' && !settings_is_local_url(settings->listen_url)) {
        return REFUSE(
            settings, "DEFIB_LISTEN", err,
            "allowed without DEFIB_KEY_FILE are loopback (tcp://127.0.0.1:port) and ipc:///path only");
    }
    bool has_tls = settings->tls_ca_file[0] != '\0' && settings->tls_cert_file[0] != '\0';
    if (skip_prefix(settings->listen_url, "tls+tcp://") != NULL && !has_tls) {
        return REFUSE(
            settings, "DEFIB_LISTEN", err,
            "tls+tcp:// is allowed with DEFIB_TLS_CA_FILE, DEFIB_TLS_CERT_FILE and DEFIB_TLS_KEY_FILE");
    }
    return 0;
}

static int check_tls_files(struct settings *settings, struct err *err)
{
    if ((settings->tls_cert_file[0] == '\0') == (settings->tls_key_file[0] == '\0')) {
        return 0;
    }
    bool has_cert = settings->tls_cert_file[0] != '\0';
    return REFUSE(settings, has_cert ? "DEFIB_TLS_CERT_FILE" : "DEFIB_TLS_KEY_FILE", err,
                  "allowed only together with %s", has_cert ? "DEFIB_TLS_KEY_FILE" : "DEFIB_TLS_CERT_FILE");
}

static int check_docker(struct settings *settings, struct err *err)
{
    const char *path = skip_prefix(settings->docker_host, "unix://");
    bool is_good = path != NULL && path[0] == '/' && strlen(path) < 108;
    static const char *const SCHEMES[] = {"tcp://", "http://", "https://"};
    for (size_t i = 0; i < sizeof SCHEMES / sizeof SCHEMES[0]; i++) {
        const char *address = skip_prefix(settings->docker_host, SCHEMES[i]);
        is_good = is_good || (address != NULL && address[0] != '\0');
    }
    return is_good
               ? 0
               : REFUSE(settings, "DOCKER_HOST", err,
                        "allowed are unix:///path, tcp://host:port, http://host:port and https://host:port");
}

/* One `host=url` of DEFIB_AGENTS. */
static bool is_agent_part(const char *part, size_t len)
{
    cleanup_free char *copy = memory_alloc(len + 1);
    memcpy(copy, part, len);
    char *url = strchr(copy, '=');
    if (url == NULL || len > 1024) {
        return false;
    }
    *url++ = '\0';
    return is_name(copy, strlen(copy), NAME_BYTES) && is_rpc_url(url, URL_DIAL);
}

static bool is_named_before(const char *list, const char *part)
{
    size_t len = strcspn(part, "=") + 1;
    for (const char *at = list; at < part; at += strcspn(at, ",") + 1) {
        if (strncmp(at, part, len) == 0) {
            return true;
        }
    }
    return false;
}

static int check_agents(struct settings *settings, struct err *err)
{
    const char *part = settings->agents_text;
    for (int number = 1; *part != '\0'; number++) {
        size_t len = strcspn(part, ",");
        if (!is_agent_part(part, len)) {
            return REFUSE(settings, "DEFIB_AGENTS", err, "part %d: allowed are host=url with url " RPC_FORMS,
                          number);
        }
        if (is_named_before(settings->agents_text, part)) {
            return REFUSE(settings, "DEFIB_AGENTS", err, "part %d: allowed is one URL for a host", number);
        }
        part += len + (part[len] == ',');
    }
    return 0;
}

static int check_web_url(struct settings *settings, const char *name, const char *url, struct err *err)
{
    const char *address = skip_prefix(url, "http://");
    address = address != NULL ? address : skip_prefix(url, "https://");
    bool is_good = url[0] == '\0' || (address != NULL && address[0] != '\0' && strchr(url, ' ') == NULL);
    return is_good ? 0 : REFUSE(settings, name, err, "allowed are http:// and https:// addresses");
}

static int check_http(struct settings *settings, struct err *err)
{
    char host[256];
    long port;
    if (!split_address(settings->http_listen, host, &port)) {
        return REFUSE(settings, "DEFIB_HTTP_LISTEN", err, "allowed is host:port, such as 127.0.0.1:7410");
    }
    if (settings->http_token_file[0] == '\0' && !is_loopback(host)) {
        return REFUSE(settings, "DEFIB_HTTP_LISTEN", err,
                      "allowed without DEFIB_HTTP_TOKEN_FILE is loopback only, such as 127.0.0.1:7410");
    }
    int status = check_web_url(settings, "DEFIB_WEBHOOK_URL", settings->webhook_url, err);
    return status != 0 ? status
                       : check_web_url(settings, "DEFIB_HEARTBEAT_URL", settings->heartbeat_url, err);
}

static int check_agent(struct settings *settings, struct err *err)
{
    int status = check_host(settings, err);
    status = status != 0 ? status : check_watch(settings, err);
    status = status != 0 ? status : check_listen(settings, err);
    return status != 0 ? status : check_docker(settings, err);
}

static int check_controller(struct settings *settings, struct err *err)
{
    int status = check_id(settings, err);
    status = status != 0 ? status : check_agents(settings, err);
    return status != 0 ? status : check_http(settings, err);
}

static int check(enum settings_program program, struct settings *settings, struct err *err)
{
    int status = check_times(program, settings, err);
    status = status != 0 ? status : check_redis(settings, err);
    status = status != 0 ? status : check_tls_files(settings, err);
    if (status == 0 && (program & SETTINGS_AGENT) != 0) {
        status = check_agent(settings, err);
    }
    if (status == 0 && (program & SETTINGS_CONTROLLER) != 0) {
        status = check_controller(settings, err);
    }
    return status;
}

/* ---- outside ---- */

int settings_load(enum settings_program program, config_lookup lookup, void *arg, struct settings *out,
                  struct err *err)
{
    *out = (struct settings){.log_level = LOG_LEVEL_INFO};
    int status = config_load(ROWS, ROW_COUNT, program, lookup, arg, out, err);
    if (status == 0) {
        status = check(program, out, err);
    }
    if (status != 0) {
        settings_free(out);
    }
    return status;
}

void settings_free(struct settings *settings)
{
    config_free(ROWS, ROW_COUNT, settings);
    name_patterns_free(&settings->watch);
    explicit_bzero(settings, sizeof *settings);
}

void settings_print(enum settings_program program, const struct settings *settings, FILE *out)
{
    config_print(ROWS, ROW_COUNT, program, settings, out);
}

void settings_print_help(enum settings_program program, FILE *out)
{
    config_print_help(ROWS, ROW_COUNT, program, out);
}

static const char *look_in_environment(void *arg, const char *name)
{
    (void)arg;
    return getenv(name);
}

static int finish(void)
{
    return fflush(stdout) == 0 ? 0 : 1; /* a full disk is no "fine" */
}

static int print_usage(enum settings_program program, const char *name, const char *summary)
{
    printf("%s: %s\n\n"
           "usage: %s [--help | --version | --check-config]\n"
           "  --help          this text\n"
           "  --version       the version\n"
           "  --check-config  check the settings and print them, secrets masked\n\n"
           "Settings are environment variables:\n",
           name, summary, name);
    settings_print_help(program, stdout);
    return finish();
}

enum request { REQUEST_RUN, REQUEST_HELP, REQUEST_VERSION, REQUEST_CHECK, REQUEST_BAD };

static enum request parse_arguments(const char *name, int argc, char **argv)
{
    enum request request = REQUEST_RUN;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            request = REQUEST_HELP;
        } else if (strcmp(argv[i], "--version") == 0) {
            request = request == REQUEST_HELP ? request : REQUEST_VERSION;
        } else if (strcmp(argv[i], "--check-config") == 0) {
            request = request == REQUEST_RUN ? REQUEST_CHECK : request;
        } else {
            fprintf(stderr, "%s: argument \"%s\": allowed are --help, --version and --check-config\n", name,
                    argv[i]);
            return REQUEST_BAD;
        }
    }
    return request;
}

int settings_from_command_line(enum settings_program program, const char *name, const char *summary, int argc,
                               char **argv, struct settings *out)
{
    enum request request = parse_arguments(name, argc, argv);
    if (request == REQUEST_BAD) {
        return 2;
    }
    if (request == REQUEST_HELP) {
        return print_usage(program, name, summary);
    }
    if (request == REQUEST_VERSION) {
        printf("%s %s\n", name, DEFIB_VERSION);
        return finish();
    }
    struct err err;
    if (settings_load(program, look_in_environment, NULL, out, &err) != 0) {
        fprintf(stderr, "%s: %s\n", name, err.text);
        return 2;
    }
    if (request == REQUEST_RUN) {
        return -1;
    }
    settings_print(program, out, stdout);
    settings_free(out);
    return finish();
}
