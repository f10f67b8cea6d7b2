#include "common/settings.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/settings_rules.h"
#include "common/version.h"

/* ---- the table ---- */

static const char *const LOG_LEVELS[] = {"debug", "info", "warning", "error", NULL};
static const char *const LOG_FORMATS[] = {"text", "json", NULL};

_Static_assert(LOG_LEVEL_DEBUG == 0 && LOG_LEVEL_ERROR == 3, "LOG_LEVELS follows enum log_level");
_Static_assert(LOG_FORMAT_TEXT == 0 && LOG_FORMAT_JSON == 1, "LOG_FORMATS follows enum log_format");

enum { AGENT = SETTINGS_AGENT, CONTROLLER = SETTINGS_CONTROLLER, BOTH = SETTINGS_BOTH, CTL = SETTINGS_CTL };

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

    SECRET_ROW("REDIS_URL", BOTH | CTL, redis_url_text, "redis://127.0.0.1:6379",
               "redis://[user:pass@]host:port/db, rediss://, redis+sentinel://host,host/name, unix:///path; or its _FILE"),
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
             "share of the managed containers that must fail within a minute to open the breaker"),
    INT_ROW("BREAKER_MIN", CONTROLLER, breaker_min, "3", 1, 100000, "",
            "fewer failures never open the breaker"),
    SECONDS_ROW("AGENT_LOST_SECS", CONTROLLER, AT(agent_lost_ms), "35", 0.1, DAY,
                "an agent that is silent on both paths for so long is lost"),
    SECONDS_ROW("SETTLE_SECS", CONTROLLER, AT_SET(settle_ms, settle_given), NULL, 0, DAY,
                "patience with silence after a start or takeover; else HEARTBEAT_TTL_SECS + HEARTBEAT_INTERVAL_SECS"),
    SECONDS_ROW("LEADER_LEASE_SECS", CONTROLLER, AT(leader_lease_ms), "15", 0.1, 3600,
                "a leader that is silent for so long is replaced; it stops by itself after two thirds"),
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
    TEXT_ROW("DEFIB_KEY_FILE", BOTH | CTL, key_file, NULL,
             "keys that sign every message, one id:hex a line, the first signs; needed to listen beyond loopback"),
    TEXT_ROW("DEFIB_TLS_CA_FILE", BOTH | CTL, tls_ca_file, NULL, "CA of the other side's certificate, for tls+tcp://"),
    TEXT_ROW("DEFIB_TLS_CERT_FILE", BOTH | CTL, tls_cert_file, NULL, "our certificate, for tls+tcp://"),
    TEXT_ROW("DEFIB_TLS_KEY_FILE", BOTH | CTL, tls_key_file, NULL, "our certificate's private key, for tls+tcp://"),
    TEXT_ROW("DEFIB_AGENTS", CONTROLLER | CTL, agents_text, NULL, "host=url,...: agents to know without discovery"),
    TEXT_ROW("DEFIB_HTTP_LISTEN", CONTROLLER | CTL, http_listen, "127.0.0.1:7410", "host:port of the API and metrics"),
    TEXT_ROW("DEFIB_URL", CTL, url, NULL, "where the controller answers, http://host:port; else from DEFIB_HTTP_LISTEN"),
    TEXT_ROW("DEFIB_HTTP_TOKEN_FILE", CONTROLLER | CTL, http_token_file, NULL,
             "token for changes over HTTP; needed to listen beyond loopback"),
    TEXT_ROW("DEFIB_HTTP_CERT_FILE", CONTROLLER, http_cert_file, NULL,
             "certificate of the API, PEM: it is HTTPS then; read again at SIGHUP"),
    TEXT_ROW("DEFIB_HTTP_KEY_FILE", CONTROLLER, http_key_file, NULL, "private key of that certificate"),
    TEXT_ROW("DEFIB_HTTP_CA_FILE", CTL, http_ca_file, NULL, "CA of the controller's certificate, for https:// in DEFIB_URL"),
    SECRET_ROW("DEFIB_WEBHOOK_URL", CONTROLLER, webhook_url, NULL, "alerts are posted there; or DEFIB_WEBHOOK_URL_FILE"),
    TEXT_ROW("DEFIB_WEBHOOK_TEMPLATE", CONTROLLER, webhook_template, "json",
             "form of what is posted: json, slack, alertmanager, apprise, or the path of a template"),
    SECRET_ROW("DEFIB_HEARTBEAT_URL", CONTROLLER, heartbeat_url, NULL,
               "fetched every minute while all is well, for a dead man's switch; or DEFIB_HEARTBEAT_URL_FILE"),
    TEXT_ROW("DEFIB_STATE_DIR", BOTH | CTL, state_dir, "/var/lib/defib", "folder for what must outlive a restart; small"),
    CHOICE_ROW("LOG_LEVEL", BOTH, log_level, "info", LOG_LEVELS, "lowest level that is logged"),
    CHOICE_ROW("LOG_FORMAT", BOTH, log_format, "text", LOG_FORMATS, "form of the log lines on stderr"),
};
/* clang-format on */

enum { ROW_COUNT = sizeof ROWS / sizeof ROWS[0] };

/* ---- loading and printing ---- */

const struct config_row *settings_rows(size_t *count)
{
    *count = ROW_COUNT;
    return ROWS;
}

int settings_load(enum settings_program program, config_lookup lookup, void *arg, struct settings *out,
                  struct err *err)
{
    *out = (struct settings){.log_level = LOG_LEVEL_INFO};
    int status = config_load(ROWS, ROW_COUNT, program, lookup, arg, out, err);
    if (status == 0) {
        status = settings_rules_apply(program, out, err);
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

/* ---- the command line ---- */

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

bool settings_is_local_url(const char *url)
{
    return settings_rules_is_local(url);
}
