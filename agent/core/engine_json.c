#include "agent/core/engine_json.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "common/memory.h"
#include "common/timestamp.h"
#include "proto/text.h"

#define NS_PER_MS  1000000LL
#define NS_PER_SEC 1000000000LL

/* Docker's own defaults for a HEALTHCHECK that does not say. */
#define HEALTH_INTERVAL_NS (30 * NS_PER_SEC)
#define HEALTH_RETRIES     3

/* ---- reading ---- */

/* Brackets outside of strings, counted before cJSON recurses on them. */
static bool is_too_deep(const char *bytes, size_t len)
{
    int depth = 0;
    bool is_text = false;
    for (size_t i = 0; i < len; i++) {
        char byte = bytes[i];
        if (is_text) {
            i += byte == '\\';
            is_text = byte != '"';
        } else if (byte == '"') {
            is_text = true;
        } else if (byte == '{' || byte == '[') {
            if (++depth > LIMIT_JSON_DEPTH) {
                return true;
            }
        } else if (byte == '}' || byte == ']') {
            depth--;
        }
    }
    return false;
}

static int parse(const char *bytes, size_t len, const char *what, cJSON **out, struct err *err)
{
    if (len > LIMIT_ENGINE_BODY_BYTES) {
        return err_set(err, EMSGSIZE, "%s of %zu bytes is too large", what, len);
    }
    if (is_too_deep(bytes, len)) {
        return err_set(err, EINVAL, "%s is nested too deeply", what);
    }
    cJSON *tree = cJSON_ParseWithLength(bytes, len);
    if (tree == NULL) {
        char excerpt[TEXT_EXCERPT_SIZE];
        text_excerpt(excerpt, bytes, len);
        return err_set(err, EINVAL, "%s is no JSON: %s", what, excerpt);
    }
    *out = tree;
    return 0;
}

static void cleanup_tree(cJSON **tree)
{
    cJSON_Delete(*tree);
}
#define cleanup_json __attribute__((cleanup(cleanup_tree)))

static const cJSON *get(const cJSON *tree, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(tree, name);
}

static const char *text_of(const cJSON *tree, const char *name)
{
    const cJSON *item = get(tree, name);
    return cJSON_IsString(item) ? item->valuestring : "";
}

static int64_t number_of(const cJSON *tree, const char *name, int64_t otherwise)
{
    const cJSON *item = get(tree, name);
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= -9e18 && item->valuedouble <= 9e18)) {
        return otherwise;
    }
    return (int64_t)item->valuedouble;
}

static int small_number_of(const cJSON *tree, const char *name)
{
    int64_t value = number_of(tree, name, 0);
    return value < INT_MIN || value > INT_MAX ? 0 : (int)value;
}

static bool is_true(const cJSON *tree, const char *name)
{
    return cJSON_IsTrue(get(tree, name));
}

/* A thing's name: whole or not at all. */
static bool copy_name(char *out, size_t size, const char *text)
{
    if (strlen(text) >= size) {
        out[0] = '\0';
        return false;
    }
    return memory_set_text(out, size, text);
}

static bool copy_id(char out[LIMIT_ID_SIZE], const char *text)
{
    size_t len = strlen(text);
    return len > 0 && text_is_hex(text, len) && copy_name(out, LIMIT_ID_SIZE, text);
}

static bool copy_container_name(char out[LIMIT_NAME_SIZE], const char *text)
{
    text += text[0] == '/';
    return text_is_name(text, strlen(text)) && copy_name(out, LIMIT_NAME_SIZE, text);
}

static void read_labels(const cJSON *labels, struct label_list *out)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, labels)
    {
        if (cJSON_IsString(item) && item->string != NULL) {
            label_list_add(out, item->string, item->valuestring);
        }
    }
}

int64_t engine_json_time_ns(const char *text)
{
    size_t len = strlen(text);
    struct wall when;
    if (timestamp_parse(text, len, &when) != 0 || when.ms == 0 || when.ms / 1000 >= INT64_MAX / NS_PER_SEC) {
        return 0;
    }
    int64_t ns = when.ms / 1000 * NS_PER_SEC;
    const char *fraction = strchr(text, '.');
    int64_t unit = NS_PER_SEC / 10;
    for (const char *digit = fraction == NULL ? "" : fraction + 1; *digit >= '0' && *digit <= '9'; digit++) {
        ns += (*digit - '0') * unit;
        unit /= 10;
    }
    return ns;
}

/* ---- /containers/json ---- */

static enum container_health health_of_status(const char *status)
{
    static const struct {
        const char *part;
        enum container_health health;
    } parts[] = {{"(healthy)", HEALTH_HEALTHY},
                 {"(unhealthy)", HEALTH_UNHEALTHY},
                 {"(health: starting)", HEALTH_STARTING}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (strstr(status, parts[i].part) != NULL) {
            return parts[i].health;
        }
    }
    return HEALTH_NONE;
}

/* A container that is linked to has several names; its own has no second slash. */
static const char *own_name(const cJSON *row)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, get(row, "Names"))
    {
        if (cJSON_IsString(item) && item->valuestring[0] == '/' &&
            strchr(item->valuestring + 1, '/') == NULL) {
            return item->valuestring;
        }
    }
    return "";
}

static bool read_summary(const cJSON *row, struct engine_summary *out)
{
    if (!copy_id(out->id, text_of(row, "Id")) || !copy_container_name(out->name, own_name(row))) {
        return false;
    }
    out->state = container_state_parse(text_of(row, "State"));
    out->health = health_of_status(text_of(row, "Status"));
    read_labels(get(row, "Labels"), &out->labels);
    return true;
}

int engine_json_list(const char *bytes, size_t len, struct engine_summary **out, size_t *count,
                     struct err *err)
{
    cleanup_json cJSON *tree = NULL;
    int status = parse(bytes, len, "container list", &tree, err);
    if (status != 0) {
        return status;
    }
    if (!cJSON_IsArray(tree)) {
        return err_set(err, EINVAL, "container list is no array");
    }
    size_t used = 0;
    struct engine_summary *rows = memory_alloc((size_t)cJSON_GetArraySize(tree) * sizeof *rows);
    const cJSON *row;
    cJSON_ArrayForEach(row, tree)
    {
        used += read_summary(row, &rows[used]);
    }
    *out = rows;
    *count = used;
    return 0;
}

void engine_summaries_free(struct engine_summary *summaries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        label_list_fini(&summaries[i].labels);
    }
    free(summaries);
}

/* ---- inspect ---- */

static enum engine_program program_of(const char *path)
{
    static const struct {
        const char *name;
        enum engine_program program;
    } programs[] = {
        {"defib-agent", ENGINE_PROGRAM_DEFIB},  {"defib-controller", ENGINE_PROGRAM_DEFIB},
        {"redis-server", ENGINE_PROGRAM_REDIS}, {"valkey-server", ENGINE_PROGRAM_REDIS},
        {"keydb-server", ENGINE_PROGRAM_REDIS},
    };
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        if (strcmp(name, programs[i].name) == 0) {
            return programs[i].program;
        }
    }
    return ENGINE_PROGRAM_OTHER;
}

/* Images start their program directly, by tini and the like, or by a docker-entrypoint.sh. */
static enum engine_program read_program(const cJSON *tree)
{
    enum engine_program program = program_of(text_of(tree, "Path"));
    const cJSON *item;
    cJSON_ArrayForEach(item, get(tree, "Args"))
    {
        if (program == ENGINE_PROGRAM_OTHER && cJSON_IsString(item)) {
            program = program_of(item->valuestring);
        }
    }
    return program;
}

/* The last of the few results that Docker keeps. */
static void read_health(const cJSON *health, struct engine_container *out)
{
    const cJSON *log = get(health, "Log");
    const cJSON *last = cJSON_GetArrayItem(log, cJSON_GetArraySize(log) - 1);
    const char *text = text_of(last, "Output");
    size_t len = strlen(text);
    size_t skip = len > ENGINE_HEALTH_OUTPUT_BYTES ? len - ENGINE_HEALTH_OUTPUT_BYTES : 0;
    while (((unsigned char)text[skip] & 0xc0) == 0x80) { /* never from within a character */
        skip++;
    }
    out->health_output = text[0] != '\0' ? memory_copy_text(text + skip) : NULL;
    out->health_exit_code = small_number_of(last, "ExitCode");
}

static void read_state(const cJSON *state, struct engine_container *out)
{
    out->state = container_state_parse(text_of(state, "Status"));
    const cJSON *health = get(state, "Health");
    out->health = cJSON_IsObject(health) ? container_health_parse(text_of(health, "Status")) : HEALTH_NONE;
    read_health(health, out);
    copy_name(out->started_at, sizeof out->started_at, text_of(state, "StartedAt"));
    out->started_ns = engine_json_time_ns(out->started_at);
    out->finished_ns = engine_json_time_ns(text_of(state, "FinishedAt"));
    out->pid = number_of(state, "Pid", 0);
    out->exit_code = small_number_of(state, "ExitCode");
    out->oom_killed = is_true(state, "OOMKilled");
    const char *error = text_of(state, "Error");
    text_cut(out->error, sizeof out->error, error, strlen(error));
}

static void read_healthcheck(const cJSON *check, struct engine_container *out)
{
    const cJSON *test = cJSON_GetArrayItem(get(check, "Test"), 0);
    if (!cJSON_IsString(test) || strcmp(test->valuestring, "NONE") == 0) {
        return;
    }
    int64_t interval = number_of(check, "Interval", 0);
    int64_t retries = number_of(check, "Retries", 0);
    int64_t start_ms = number_of(check, "StartPeriod", 0) / NS_PER_MS;
    int64_t interval_ms = (interval > 0 ? interval : HEALTH_INTERVAL_NS) / NS_PER_MS;
    retries = retries <= 0 ? HEALTH_RETRIES : retries > 1000 ? 1000 : retries;
    out->has_healthcheck = true;
    out->healthcheck_grace_ms = (start_ms > 0 ? start_ms : 0) + interval_ms * retries;
}

static void read_parent(const cJSON *host, const char *mode, struct engine_container *out)
{
    const char *text = text_of(host, mode);
    if (strncmp(text, "container:", 10) == 0 && out->network_parent[0] == '\0') {
        copy_id(out->network_parent, text + 10);
    }
}

static void add_ports(const cJSON *bindings, struct engine_container *out)
{
    const cJSON *list, *item;
    cJSON_ArrayForEach(list, bindings)
    {
        cJSON_ArrayForEach(item, list)
        {
            long port = strtol(text_of(item, "HostPort"), NULL, 10);
            if (port > 0 && port <= 65535 && out->host_port_count < ENGINE_PORTS) {
                out->host_ports =
                    memory_grow(out->host_ports, out->host_port_count + 1, sizeof *out->host_ports);
                out->host_ports[out->host_port_count++] = (int)port;
            }
        }
    }
}

static void read_host_config(const cJSON *host, struct engine_container *out)
{
    const cJSON *policy = get(host, "RestartPolicy");
    const char *name = text_of(policy, "Name");
    out->policy = name[0] == '\0' ? DOCKER_POLICY_NO : docker_policy_parse(name);
    out->policy_max = number_of(policy, "MaximumRetryCount", 0);
    out->is_auto_remove = is_true(host, "AutoRemove");
    int64_t memory = number_of(host, "Memory", 0);
    out->memory_limit_bytes = memory > 0 ? memory : 0;
    read_parent(host, "NetworkMode", out);
    read_parent(host, "PidMode", out);
    read_parent(host, "IpcMode", out);
    out->is_host_network = strcmp(text_of(host, "NetworkMode"), "host") == 0;
    add_ports(get(host, "PortBindings"), out);
}

static void add_address(struct engine_container *out, const char *address)
{
    if (address[0] != '\0' && strlen(address) < sizeof out->addresses[0] &&
        out->address_count < ENGINE_ADDRESSES) {
        out->addresses = memory_grow(out->addresses, out->address_count + 1, sizeof *out->addresses);
        memory_set_text(out->addresses[out->address_count++], sizeof out->addresses[0], address);
    }
}

static void read_networks(const cJSON *settings, struct engine_container *out)
{
    const cJSON *network, *alias;
    cJSON_ArrayForEach(network, get(settings, "Networks"))
    {
        add_address(out, text_of(network, "IPAddress"));
        add_address(out, text_of(network, "GlobalIPv6Address"));
        cJSON_ArrayForEach(alias, get(network, "Aliases"))
        {
            if (cJSON_IsString(alias) && strlen(alias->valuestring) < LIMIT_NAME_SIZE &&
                out->alias_count < ENGINE_ALIASES) {
                out->aliases = memory_grow(out->aliases, out->alias_count + 1, sizeof *out->aliases);
                memory_set_text(out->aliases[out->alias_count++], LIMIT_NAME_SIZE, alias->valuestring);
            }
        }
    }
    add_ports(get(settings, "Ports"), out);
}

static void read_mounts(const cJSON *mounts, struct engine_container *out)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, mounts)
    {
        const char *source = text_of(item, "Source");
        if (source[0] == '/' && strlen(source) < LIMIT_NAME_SIZE && out->mount_count < ENGINE_MOUNTS) {
            out->mounts = memory_grow(out->mounts, out->mount_count + 1, sizeof *out->mounts);
            memory_set_text(out->mounts[out->mount_count++], LIMIT_NAME_SIZE, source);
        }
    }
}

int engine_json_container(const char *bytes, size_t len, struct engine_container *out, struct err *err)
{
    *out = (struct engine_container){.stop_timeout_secs = -1};
    cleanup_json cJSON *tree = NULL;
    int status = parse(bytes, len, "container", &tree, err);
    if (status != 0) {
        return status;
    }
    if (!copy_id(out->id, text_of(tree, "Id")) || !copy_container_name(out->name, text_of(tree, "Name"))) {
        return err_set(err, EINVAL, "container without a usable Id and Name");
    }
    const cJSON *config = get(tree, "Config");
    read_state(get(tree, "State"), out);
    read_host_config(get(tree, "HostConfig"), out);
    read_healthcheck(get(config, "Healthcheck"), out);
    read_networks(get(tree, "NetworkSettings"), out);
    read_mounts(get(tree, "Mounts"), out);
    read_labels(get(config, "Labels"), &out->labels);
    copy_name(out->hostname, sizeof out->hostname, text_of(config, "Hostname"));
    out->stop_timeout_secs = number_of(config, "StopTimeout", -1);
    out->restart_count = number_of(tree, "RestartCount", 0);
    out->program = read_program(tree);
    return 0;
}

void engine_container_fini(struct engine_container *container)
{
    label_list_fini(&container->labels);
    free(container->health_output);
    free(container->addresses);
    free(container->host_ports);
    free(container->aliases);
    free(container->mounts);
    *container = (struct engine_container){0};
}

/* ---- events ---- */

static const struct {
    const char *word;
    enum engine_action action;
} actions[] = {
    {"create", ENGINE_ACTION_CREATE},   {"start", ENGINE_ACTION_START},
    {"restart", ENGINE_ACTION_RESTART}, {"kill", ENGINE_ACTION_KILL},
    {"die", ENGINE_ACTION_DIE},         {"stop", ENGINE_ACTION_STOP},
    {"oom", ENGINE_ACTION_OOM},         {"destroy", ENGINE_ACTION_DESTROY},
    {"pause", ENGINE_ACTION_PAUSE},     {"unpause", ENGINE_ACTION_UNPAUSE},
    {"rename", ENGINE_ACTION_RENAME},   {"update", ENGINE_ACTION_UPDATE},
};

const char *engine_json_event_filter(void)
{
    return "{\"type\":[\"container\"],\"event\":[\"create\",\"start\",\"kill\",\"die\",\"stop\",\"oom\","
           "\"destroy\","
           "\"pause\",\"unpause\",\"rename\",\"update\",\"health_status\"]}";
}

/* A double would round nanoseconds since 1970 to steps of 256, and resuming needs the exact ones. Only a real
 * key has a quote right in front of its colon, and only the real one has a bare number behind. */
static int64_t exact_time_ns(const char *bytes, size_t len)
{
    static const char key[] = "\"timeNano\":";
    const char *end = bytes + len;
    for (const char *at = bytes; (at = memmem(at, (size_t)(end - at), key, sizeof key - 1)) != NULL;) {
        at += sizeof key - 1;
        int64_t value = 0;
        int digits = 0;
        while (at < end && *at >= '0' && *at <= '9' && digits < 18 + 1 && value < INT64_MAX / 10 - 9) {
            value = value * 10 + (*at++ - '0');
            digits++;
        }
        if (digits > 0) {
            return value;
        }
    }
    return 0;
}

static void read_action(const char *word, struct engine_event *out)
{
    static const char health[] = "health_status: ";
    if (strncmp(word, health, sizeof health - 1) == 0) {
        out->action = ENGINE_ACTION_HEALTH;
        out->health = container_health_parse(word + sizeof health - 1);
        return;
    }
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        if (strcmp(word, actions[i].word) == 0) {
            out->action = actions[i].action;
            return;
        }
    }
}

static bool read_digits(const char *text, int *out)
{
    size_t len = strlen(text);
    if (len == 0 || len > 9 || strspn(text, "0123456789") < len) {
        return false;
    }
    *out = (int)strtol(text, NULL, 10);
    return true;
}

int engine_json_event(const char *bytes, size_t len, struct engine_event *out, struct err *err)
{
    *out = (struct engine_event){0};
    cleanup_json cJSON *tree = NULL;
    int status = len > LIMIT_EVENT_LINE_BYTES ? err_set(err, EMSGSIZE, "event of %zu bytes is too large", len)
                                              : parse(bytes, len, "event", &tree, err);
    if (status != 0) {
        return status;
    }
    const cJSON *actor = get(tree, "Actor");
    const cJSON *attributes = get(actor, "Attributes");
    bool is_container = strcmp(text_of(tree, "Type"), "container") == 0;
    if (!is_container || !copy_id(out->id, text_of(actor, "ID"))) {
        return err_set(err, EINVAL, "event of no container");
    }
    copy_container_name(out->name, text_of(attributes, "name"));
    read_action(text_of(tree, "Action"), out);
    out->time_ns = exact_time_ns(bytes, len);
    read_digits(text_of(attributes, "signal"), &out->signal);
    out->has_exit_code = read_digits(text_of(attributes, "exitCode"), &out->exit_code);
    read_labels(attributes, &out->labels);
    return 0;
}

void engine_event_fini(struct engine_event *event)
{
    label_list_fini(&event->labels);
}

/* ---- the rest ---- */

int engine_json_info(const char *bytes, size_t len, struct engine_info *out, struct err *err)
{
    *out = (struct engine_info){0};
    cleanup_json cJSON *tree = NULL;
    int status = parse(bytes, len, "info", &tree, err);
    if (status != 0) {
        return status;
    }
    memory_set_text(out->id, sizeof out->id, text_of(tree, "ID"));
    memory_set_text(out->version, sizeof out->version, text_of(tree, "ServerVersion"));
    out->system_time_ns = engine_json_time_ns(text_of(tree, "SystemTime"));
    out->is_live_restore = is_true(tree, "LiveRestoreEnabled");
    return 0;
}

int engine_json_network_id(const char *bytes, size_t len, char out[LIMIT_ID_SIZE], struct err *err)
{
    cleanup_json cJSON *tree = NULL;
    int status = parse(bytes, len, "network", &tree, err);
    if (status != 0) {
        return status;
    }
    return copy_id(out, text_of(tree, "Id")) ? 0 : err_set(err, EINVAL, "network without a usable Id");
}

int engine_json_exec_id(const char *bytes, size_t len, char out[LIMIT_ID_SIZE], struct err *err)
{
    cleanup_json cJSON *tree = NULL;
    int status = parse(bytes, len, "exec", &tree, err);
    if (status == 0 && !copy_id(out, text_of(tree, "Id"))) {
        status = err_set(err, EINVAL, "exec without a usable Id");
    }
    return status;
}

int engine_json_exec(const char *bytes, size_t len, struct engine_exec *out, struct err *err)
{
    cleanup_json cJSON *tree = NULL;
    int status = parse(bytes, len, "exec", &tree, err);
    if (status == 0) {
        bool has_code = cJSON_IsNumber(get(tree, "ExitCode"));
        *out = (struct engine_exec){is_true(tree, "Running") || !has_code, small_number_of(tree, "ExitCode")};
    }
    return status;
}

void engine_json_message(const char *bytes, size_t len, char *out, size_t size)
{
    cleanup_json cJSON *tree = NULL;
    const char *text = "";
    if (len > 0 && parse(bytes, len, "error", &tree, NULL) == 0) {
        text = text_of(tree, "message");
    }
    if (text[0] != '\0') {
        text_cut(out, size, text, strlen(text));
        for (char *at = out; *at != '\0'; at++) {
            *at = (char)((unsigned char)*at < 0x20 || *at == 0x7f ? ' ' : *at);
        }
    } else {
        char excerpt[TEXT_EXCERPT_SIZE];
        text_excerpt(excerpt, bytes, len);
        memory_set_text(out, size, excerpt);
    }
}
