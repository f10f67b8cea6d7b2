#include "common/settings_rules.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/memory.h"
#include "common/redis_tls.h"

__attribute__((format(printf, 4, 5))) static int refuse(const struct settings *settings, const char *name,
                                                        struct err *err, const char *format, ...)
{
    char allowed[256];
    va_list args;
    va_start(args, format);
    vsnprintf(allowed, sizeof allowed, format, args);
    va_end(args);
    size_t count;
    const struct config_row *rows = settings_rows(&count);
    return config_refuse(rows, count, settings, name, err, allowed);
}

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

bool settings_rules_is_local(const char *url)
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
        memory_set_text(out, HOST_NAME_MAX + 1, "localhost");
    }
    out[HOST_NAME_MAX] = '\0';
}

/* ---- what goes together; each 0 or -EINVAL ---- */

static int check_times(enum settings_program program, struct settings *settings, struct err *err)
{
    if (settings->heartbeat_ttl_ms <= settings->heartbeat_interval_ms) {
        return refuse(settings, "HEARTBEAT_TTL_SECS", err,
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
            return refuse(settings, "RESTART_STABLE_SECS", err,
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
        return !settings->redis_url.is_tls || redis_tls_is_there()
                   ? 0
                   : refuse(settings, "REDIS_URL", err,
                            "allowed are redis://, redis+sentinel:// and unix://: "
                            "this build's hiredis has no TLS");
    }
    return refuse(settings, "REDIS_URL", err,
                  "allowed are redis://[user:pass@]host:port/db, rediss://, "
                  "redis+sentinel://host:port,…/name and unix:///path, but %s",
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
        return refuse(settings, "DEFIB_HOST", err, "allowed are up to 128 letters, digits, dots, _ and -");
    }
    if (strcmp(settings->name_prefix, "auto") == 0) {
        char prefix[130];
        snprintf(prefix, sizeof prefix, "%.128s/", settings->host);
        set_text(&settings->name_prefix, memory_copy_text(prefix));
    }
    size_t len = strlen(settings->name_prefix);
    if (len > 0 && len != strlen(settings->host) + 1 &&
        !is_name(settings->name_prefix, len, NAME_BYTES ":/@+")) {
        return refuse(settings, "DEFIB_NAME_PREFIX", err,
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
        return refuse(settings, "DEFIB_ID", err, "allowed are up to 128 letters, digits and . _ - : / @ +");
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
        return refuse(settings, "DEFIB_WATCH", err, "allowed are all, label, or names and globs, but %.128s",
                      cause.text);
    }
    if (settings->watch.count == 0) {
        return refuse(settings, "DEFIB_WATCH", err, "allowed are all, label, or names and globs");
    }
    return 0;
}

#define RPC_FORMS "tcp://host:port, tls+tcp://host:port and ipc:///path"

static int check_listen(struct settings *settings, struct err *err)
{
    if (!is_rpc_url(settings->listen_url, URL_LISTEN)) {
        return refuse(settings, "DEFIB_LISTEN", err, "allowed are " RPC_FORMS);
    }
    if (settings->advertise_url[0] != '\0' && !is_rpc_url(settings->advertise_url, URL_DIAL)) {
        return refuse(settings, "DEFIB_ADVERTISE", err, "allowed are " RPC_FORMS);
    }
    if (settings->key_file[0] == '\0' && !settings_rules_is_local(settings->listen_url)) {
        return refuse(
            settings, "DEFIB_LISTEN", err,
            "allowed without DEFIB_KEY_FILE are loopback (tcp://127.0.0.1:port) and ipc:///path only");
    }
    bool has_tls = settings->tls_ca_file[0] != '\0' && settings->tls_cert_file[0] != '\0';
    if (skip_prefix(settings->listen_url, "tls+tcp://") != NULL && !has_tls) {
        return refuse(
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
    return refuse(settings, has_cert ? "DEFIB_TLS_CERT_FILE" : "DEFIB_TLS_KEY_FILE", err,
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
               : refuse(settings, "DOCKER_HOST", err,
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
            return refuse(settings, "DEFIB_AGENTS", err, "part %d: allowed are host=url with url " RPC_FORMS,
                          number);
        }
        if (is_named_before(settings->agents_text, part)) {
            return refuse(settings, "DEFIB_AGENTS", err, "part %d: allowed is one URL for a host", number);
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
    return is_good ? 0 : refuse(settings, name, err, "allowed are http:// and https:// addresses");
}

static int check_http(struct settings *settings, struct err *err)
{
    char host[256];
    long port;
    if (!split_address(settings->http_listen, host, &port)) {
        return refuse(settings, "DEFIB_HTTP_LISTEN", err, "allowed is host:port, such as 127.0.0.1:7410");
    }
    if (settings->http_token_file[0] == '\0' && !is_loopback(host)) {
        return refuse(settings, "DEFIB_HTTP_LISTEN", err,
                      "allowed without DEFIB_HTTP_TOKEN_FILE is loopback only, such as 127.0.0.1:7410");
    }
    bool has_cert = settings->http_cert_file[0] != '\0';
    if (has_cert != (settings->http_key_file[0] != '\0')) {
        return refuse(settings, has_cert ? "DEFIB_HTTP_CERT_FILE" : "DEFIB_HTTP_KEY_FILE", err,
                      "allowed only together with %s",
                      has_cert ? "DEFIB_HTTP_KEY_FILE" : "DEFIB_HTTP_CERT_FILE");
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

/* Where to dial what the controller listens on: all addresses are reached by loopback. */
static int check_ctl(struct settings *settings, struct err *err)
{
    char host[256];
    long port;
    if (!split_address(settings->http_listen, host, &port)) {
        return refuse(settings, "DEFIB_HTTP_LISTEN", err, "allowed is host:port, such as 127.0.0.1:7410");
    }
    if (settings->url[0] == '\0') {
        bool is_any = host[0] == '\0' || strcmp(host, "*") == 0 || strcmp(host, "0.0.0.0") == 0;
        bool is_v6 = strchr(host, ':') != NULL;
        char url[300];
        snprintf(url, sizeof url, "http://%s%s%s:%ld", is_v6 ? "[" : "", is_any ? "127.0.0.1" : host,
                 is_v6 ? "]" : "", port);
        set_text(&settings->url, memory_copy_text(url));
    }
    size_t len = strlen(settings->url);
    if (settings->url[len - 1] == '/') {
        settings->url[len - 1] = '\0';
    }
    return check_web_url(settings, "DEFIB_URL", settings->url, err);
}

int settings_rules_apply(enum settings_program program, struct settings *settings, struct err *err)
{
    int status = program == SETTINGS_CTL ? 0 : check_times(program, settings, err);
    status = status != 0 ? status : check_redis(settings, err);
    if (program == SETTINGS_CTL) {
        return status != 0 ? status : check_ctl(settings, err);
    }
    status = status != 0 ? status : check_tls_files(settings, err);
    if (status == 0 && (program & SETTINGS_AGENT) != 0) {
        status = check_agent(settings, err);
    }
    if (status == 0 && (program & SETTINGS_CONTROLLER) != 0) {
        status = check_controller(settings, err);
    }
    return status;
}
