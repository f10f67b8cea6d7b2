/*
 * The settings of the programs, as contract.md and runbook.md name them. One table, one struct; each
 * program reads the rows that are its own.
 */
#ifndef DEFIB_COMMON_SETTINGS_H
#define DEFIB_COMMON_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/config.h"
#include "common/err.h"
#include "common/name_patterns.h"
#include "common/redis_url.h"

enum settings_program { SETTINGS_AGENT = 1, SETTINGS_CONTROLLER = 2, SETTINGS_BOTH = 3, SETTINGS_CTL = 4 };

struct settings {
    /* the runbook's eight */
    int64_t heartbeat_interval_ms;
    int64_t heartbeat_ttl_ms;
    int64_t heartbeat_miss_threshold;
    bool supervisor_enabled;
    int64_t max_restart_attempts;
    struct config_durations restart_backoff;
    int64_t restart_cooldown_ms;
    int64_t check_interval_ms;

    char *redis_url_text;
    struct redis_url redis_url; /* parsed from the text */
    struct name_patterns restart_allow;
    struct name_patterns restart_deny;

    int64_t unhealthy_threshold;
    int64_t start_grace_ms;
    int64_t start_deadline_ms;
    int64_t stop_settle_ms;
    int64_t intent_settle_ms;
    int64_t fast_check_ms;     /* 0: acts at once */
    int64_t restart_stable_ms; /* at least the cooldown */
    bool restart_stable_given;
    int64_t restart_jitter_pct;
    int64_t docker_policy_grace_ms;
    int64_t restart_stop_timeout_ms;
    int64_t restart_max_per_host;
    int64_t restart_max_fleet;
    double breaker_fraction;
    int64_t breaker_min;
    int64_t agent_lost_ms;
    int64_t settle_ms;
    bool settle_given;
    int64_t leader_lease_ms;
    int64_t alert_repeat_ms;

    char *host;                 /* agent: DEFIB_HOST, or the host's name */
    char *id;                   /* controller: DEFIB_ID, or host name and pid */
    char *name_prefix;          /* agent: "auto" was already turned into "<host>/" */
    char *watch_text;           /* "all", "label" or globs */
    struct name_patterns watch; /* the globs; empty for all and label */
    char *listen_url;
    char *advertise_url; /* empty: from the listen URL */
    char *docker_host;
    char *docker_tls_verify;
    char *docker_cert_path;
    char *key_file;
    char *tls_ca_file;
    char *tls_cert_file;
    char *tls_key_file;
    char *agents_text;
    char *http_listen;
    char *http_token_file;
    char *http_cert_file; /* controller: with its key, HTTPS */
    char *http_key_file;
    char *http_ca_file; /* defibctl */
    char *url;          /* defibctl: where the controller is; "http://…" from http_listen where not set */
    char *webhook_url;
    char *webhook_template;
    char *heartbeat_url;
    char *state_dir;
    int log_level;  /* enum log_level */
    int log_format; /* enum log_format */
};

/* Loads and cross-checks (TTL over interval, stable at least the cooldown, listen beyond loopback needs a
 * key, …). 0, or -EINVAL with the one line for stderr; *out is then empty. */
int settings_load(enum settings_program program, config_lookup lookup, void *arg, struct settings *out,
                  struct err *err);
void settings_free(struct settings *settings);

void settings_print(enum settings_program program, const struct settings *settings, FILE *out);
void settings_print_help(enum settings_program program, FILE *out);

/* For main(): handles --help, --version and --check-config and bad arguments (messages, exit code); returns
 * -1 where the program shall run on with *out loaded, else the exit code: 0, 1 (stdout failed) or 2. Uses the
 * environment. `summary` is the one-line purpose for --help. */
int settings_from_command_line(enum settings_program program, const char *name, const char *summary, int argc,
                               char **argv, struct settings *out);

/* The table itself, for what is made from it. Borrowed, static. */
const struct config_row *settings_rows(size_t *count);

/* True for tcp://127.x, tcp://[::1], tcp://localhost (and tls+tcp), ipc://, inproc://. Pure. */
bool settings_is_local_url(const char *url);

#endif
