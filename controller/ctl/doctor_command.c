#include "controller/ctl/doctor_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/nearest.h"
#include "controller/ctl/doctor.h"
#include "controller/ctl/fleet.h"
#include "controller/ctl/option_reader.h"
#include "controller/ctl/phrase.h"
#include "controller/ctl/table.h"
#include "proto/json_reader.h"
#include "proto/json_writer.h"
#include "proto/keys.h"
#include "proto/limits.h"

enum { TEXT_SIZE = 640 };

static bool get_bool(const struct cJSON *object, const char *name)
{
    bool value = false;
    json_reader_bool(json_reader_member(object, name), &value);
    return value;
}

static int64_t get_number(const struct cJSON *object, const char *name)
{
    int64_t value = 0;
    json_reader_signed(json_reader_member(object, name), INT64_MIN, INT64_MAX, &value);
    return value;
}

static void get_text(const struct cJSON *object, const char *name, char *out, size_t size)
{
    if (!json_reader_text(json_reader_member(object, name), out, size)) {
        out[0] = '\0';
    }
}

/* ---- the controller ---- */

static void check_controller(struct doctor *doctor, const struct cJSON *tree)
{
    const struct cJSON *controller = json_reader_member(tree, "controller");
    struct wall theirs;
    size_t before = doctor->findings;
    if (!get_bool(controller, "enabled")) {
        doctor_say(doctor, DOCTOR_WARNING, "enabled",
                   "unset SUPERVISOR_ENABLED=false, or MAX_RESTART_ATTEMPTS=0",
                   "Automatic restarts are disabled: failures are only alerted.");
    }
    bool is_leader = get_bool(controller, "leader");
    char leader[LIMIT_NAME_SIZE];
    get_text(controller, "leader_id", leader, sizeof leader);
    if (!is_leader && leader[0] == '\0') {
        doctor_say(doctor, DOCTOR_WARNING, "leader",
                   "wait LEADER_LEASE_SECS; then read its log: does Redis take writes?",
                   "This controller does not lead, and knows nobody who does.");
    }
    if (get_bool(controller, "breaker_open")) {
        doctor_say(doctor, DOCTOR_BAD, "breaker",
                   "look for what the failures share: a host, a network, a database",
                   "The breaker is open: too much fails at once.");
    }
    if (get_bool(controller, "tilted")) {
        doctor_say(doctor, DOCTOR_WARNING, "tilt", "look for a stalled machine or a clock that jumped",
                   "After a stall or a jump of the clock the controller does not act for 30 s.");
    }
    if (json_reader_time(json_reader_member(tree, "timestamp"), &theirs)) {
        doctor_check_clock(doctor, "the controller", theirs.ms);
    }
    if (doctor->findings == before) {
        doctor_say(doctor, DOCTOR_FINE, "controller", "", "The controller at %s %s%s%s.",
                   doctor->ctl->settings->url, is_leader ? "watches and decides" : "stands by, and ",
                   is_leader ? "" : leader, is_leader ? "" : " leads and decides");
    }
    double ttl_secs = 0;
    json_reader_real(json_reader_member(controller, "heartbeat_ttl_secs"), &ttl_secs);
    doctor->ttl_ms = (int64_t)(1000 * ttl_secs);
    if (!api_client_has_token(doctor->ctl->api)) {
        doctor_say(doctor, DOCTOR_NOTE, "token", "set DEFIB_HTTP_TOKEN_FILE for defibctl and the controller",
                   "No token is set here: changes go straight to Redis, and restart is not to be had.");
    }
}

static void check_redis_path(struct doctor *doctor, const struct cJSON *tree)
{
    const struct cJSON *redis = json_reader_member(tree, "redis");
    if (!get_bool(redis, "up")) {
        doctor_say(doctor, DOCTOR_BAD, "redis",
                   "start Redis, or mend the way to it: REDIS_URL of the controller",
                   "Redis is away for the controller; %lld alerts and records wait.",
                   (long long)get_number(redis, "outbox_waiting"));
    }
    if (get_number(redis, "outbox_dropped") > 0) {
        doctor_say(doctor, DOCTOR_WARNING, "outbox", "read the controller's log for what was lost",
                   "%lld alerts and records were dropped while Redis was away.",
                   (long long)get_number(redis, "outbox_dropped"));
    }
}

/* ---- hosts ---- */

static void check_host(struct doctor *doctor, const struct cJSON *host)
{
    char name[LIMIT_NAME_SIZE], state[LIMIT_WORD_SIZE];
    get_text(host, "host", name, sizeof name);
    get_text(host, "state", state, sizeof state);
    struct wall by_rpc = {0};
    json_reader_time(json_reader_member(host, "heard_by_rpc_at"), &by_rpc);
    if (strcmp(state, "LIVE") != 0) {
        doctor_say(doctor, DOCTOR_BAD, "agent",
                   "on that host: systemctl status defib-agent; is the host itself up?",
                   "The agent of %s is %s: nothing there is restarted.", name,
                   strcmp(state, "LOST") == 0 ? "lost on both paths" : "silent");
    } else if (!get_bool(host, "engine_up")) {
        doctor_say(doctor, DOCTOR_BAD, "engine",
                   "on that host: systemctl status docker; may defib-agent use the Docker socket?",
                   "The agent of %s does not reach its Docker Engine.", name);
    } else if (by_rpc.ms == 0) {
        doctor_say(doctor, DOCTOR_BAD, "commands",
                   "is its DEFIB_ADVERTISE reachable from the controller, with the same keys?",
                   "The agent of %s never answered a command: nothing there can be restarted.", name);
    }
    if (get_bool(host, "breaker_open")) {
        doctor_say(doctor, DOCTOR_BAD, "breaker", "look at that host: its disk, memory and network",
                   "The breaker of %s is open: too much fails there at once.", name);
    }
}

static void check_hosts(struct doctor *doctor, const struct cJSON *tree)
{
    size_t count = 0, before = doctor->findings;
    const struct cJSON *host = json_reader_first(json_reader_member(tree, "hosts"));
    for (; host != NULL; host = json_reader_next(host)) {
        check_host(doctor, host);
        count++;
    }
    if (count == 0) {
        doctor_say(doctor, DOCTOR_BAD, "agents",
                   "start defib-agent on the Docker hosts, with the same REDIS_URL",
                   "No agent is known: nothing can be restarted.");
    } else if (doctor->findings == before) {
        doctor_say(doctor, DOCTOR_FINE, "agents", "", "%zu agent%s, all of them answering, their Engines up.",
                   count, count == 1 ? "" : "s");
    }
}

/* ---- containers ---- */

static const char *docker_name(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash == NULL ? name : slash + 1;
}

static bool is_one_of(const char *word, const char *const *words)
{
    while (*words != NULL && strcmp(word, *words) != 0) {
        words++;
    }
    return *words != NULL;
}

/* What is down and nobody brings back. */
static void check_failed(struct doctor *doctor, const struct cJSON *container, const char *name,
                         const char *host)
{
    static const char *const refusing[] = {"deny", "allow", "own", "redis", "enabled", NULL};
    char state[LIMIT_WORD_SIZE], gate[LIMIT_WORD_SIZE], reason[LIMIT_REASON_SIZE], remedy[TEXT_SIZE];
    get_text(container, "state", state, sizeof state);
    get_text(container, "gate", gate, sizeof gate);
    get_text(container, "reason", reason, sizeof reason);
    if (strcmp(state, "FAILED") == 0 && is_one_of(gate, refusing)) {
        snprintf(remedy, sizeof remedy, "on %.100s: docker start %.100s%s", host, docker_name(name),
                 strcmp(gate, "allow") == 0 ? ", or put it on the allow list" : "");
        doctor_say(doctor, DOCTOR_BAD, "nobody_restarts", remedy, "%s is down, and nobody restarts it: %s.",
                   name, reason);
    } else if (get_bool(container, "name_collision")) {
        doctor_say(doctor, DOCTOR_BAD, "collision",
                   "set DEFIB_NAME_PREFIX=auto on the agents, or defib.instance labels",
                   "%s: two containers claim the same name or heartbeat key; neither is touched.", name);
    } else if (strcmp(state, "COOLDOWN") == 0) {
        snprintf(remedy, sizeof remedy, "on %.100s: docker logs %.100s; then: defibctl reset %.100s", host,
                 docker_name(name), name);
        doctor_say(doctor, DOCTOR_BAD, "cooldown", remedy, "%s still fails after all attempts, and waits.",
                   name);
    } else if (strcmp(state, "HELD") == 0 && strcmp(reason, "unknown_stop") == 0) {
        snprintf(remedy, sizeof remedy, "on %.100s: docker start %.100s, if it is wanted", host,
                 docker_name(name));
        doctor_say(doctor, DOCTOR_WARNING, "unseen_stop", remedy,
                   "%s stopped while its agent was away, and is left alone.", name);
    }
}

static void check_containers(struct doctor *doctor, const struct cJSON *tree)
{
    char name[LIMIT_NAME_SIZE], host[LIMIT_NAME_SIZE];
    size_t count = 0, before = doctor->findings;
    const struct cJSON *container = json_reader_first(json_reader_member(tree, "containers"));
    for (; container != NULL; container = json_reader_next(container)) {
        get_text(container, "container", name, sizeof name);
        get_text(container, "host", host, sizeof host);
        check_failed(doctor, container, name, host[0] == '\0' ? "its host" : host);
        count++;
    }
    if (doctor->findings == before) {
        doctor_say(doctor, DOCTOR_FINE, "containers", "",
                   "%zu containers, none of them down with nobody to restart it.", count);
    }
}

/* A name on the allow list that is no glob and that no container has: mistyped, or never started. */
static void check_allowed(struct doctor *doctor, const struct cJSON *controller, const struct cJSON *tree)
{
    char wanted[LIMIT_NAME_SIZE], name[LIMIT_NAME_SIZE], remedy[TEXT_SIZE];
    const struct cJSON *item = json_reader_first(json_reader_member(controller, "allow"));
    for (; item != NULL; item = json_reader_next(item)) {
        if (!json_reader_text(item, wanted, sizeof wanted) || strpbrk(wanted, "*?[") != NULL) {
            continue;
        }
        struct nearest nearest;
        char best[LIMIT_NAME_SIZE] = "";
        bool is_there = false;
        nearest_init(&nearest, wanted);
        const struct cJSON *each = json_reader_first(json_reader_member(tree, "containers"));
        for (; each != NULL && !is_there; each = json_reader_next(each)) {
            get_text(each, "container", name, sizeof name);
            is_there = strcmp(name, wanted) == 0 || strcmp(docker_name(name), wanted) == 0;
            nearest_offer(&nearest, name);
            if (nearest.best == name) { /* the next one is read there */
                memory_set_text(best, sizeof best, name);
                nearest.best = best;
            }
        }
        const char *meant = nearest_name(&nearest);
        if (!is_there) {
            snprintf(remedy, sizeof remedy, "start it, or mend RESTART_ALLOW_SERVICES%s%.200s%s",
                     meant == NULL ? "" : ": is ", meant == NULL ? "" : meant,
                     meant == NULL ? "" : " meant?");
            doctor_say(doctor, DOCTOR_WARNING, "allowed_unknown", remedy,
                       "%s is on the allow list, and no agent knows such a container.", wanted);
        }
    }
}

static void check_holds(struct doctor *doctor, const struct cJSON *tree)
{
    const struct cJSON *hold = json_reader_first(json_reader_member(tree, "holds"));
    for (; hold != NULL; hold = json_reader_next(hold)) {
        char kind[LIMIT_WORD_SIZE], name[LIMIT_NAME_SIZE], by[LIMIT_NAME_SIZE], until[LIMIT_TIME_SIZE];
        char remedy[TEXT_SIZE];
        get_text(hold, "kind", kind, sizeof kind);
        get_text(hold, "name", name, sizeof name);
        get_text(hold, "by", by, sizeof by);
        get_text(hold, "until", until, sizeof until);
        bool is_all = strcmp(kind, "all") == 0;
        snprintf(remedy, sizeof remedy, "defibctl release %s%s%.200s", kind, is_all ? "" : " ",
                 is_all ? "" : name);
        bool is_grave = is_all || until[0] == '\0';
        doctor_say(doctor, is_grave ? DOCTOR_WARNING : DOCTOR_NOTE, "hold", remedy,
                   "%s %s is held by %s %s%s: nothing of it is restarted.", kind, is_all ? "" : name,
                   by[0] == '\0' ? "somebody" : by, until[0] == '\0' ? "without an end" : "until ", until);
    }
}

/* ---- all of it ---- */

static void check_fleet(struct doctor *doctor)
{
    struct ctl *ctl = doctor->ctl;
    struct err err;
    cleanup_reply struct api_reply status, containers = {.status = 0};
    if (api_client_call(ctl->api, "GET", "/api/v1/status", NULL, &status, &err) != 0) {
        char leader[LIMIT_NAME_SIZE];
        bool has_leader = fleet_read_leader(ctl, leader, &err) == 0 && leader[0] != '\0';
        doctor_say(doctor, DOCTOR_BAD, "controller", "systemctl status defib-controller; is DEFIB_URL right?",
                   "The controller at %s does not answer: %s%s.", ctl->settings->url,
                   has_leader ? leader : "nothing is restarted while none leads",
                   has_leader ? " leads and decides meanwhile" : "");
        return;
    }
    if (status.status != 200 || status.tree == NULL) {
        doctor_say(doctor, DOCTOR_BAD, "controller", "set DEFIB_HTTP_TOKEN_FILE, or ask on its own host",
                   "The controller at %s answers: %s.", ctl->settings->url, status.message);
        return;
    }
    check_controller(doctor, status.tree);
    check_redis_path(doctor, status.tree);
    check_hosts(doctor, status.tree);
    check_holds(doctor, status.tree);
    if (api_client_call(ctl->api, "GET", "/api/v1/containers", NULL, &containers, &err) == 0 &&
        containers.status == 200) {
        check_containers(doctor, containers.tree);
        check_allowed(doctor, json_reader_member(status.tree, "controller"), containers.tree);
    }
}

int doctor_command_run(struct ctl *ctl, int argc, char **argv)
{
    const struct option_row rows[] = {{"--json", NULL, &ctl->is_json}, {NULL, NULL, NULL}};
    struct option_reader reader;
    if (!option_reader_read(&reader, rows, argc, argv, 0, 0, DOCTOR_COMMAND_USAGE)) {
        return CTL_USAGE;
    }
    struct doctor doctor = {.ctl = ctl};
    json_writer_init(&doctor.writer, JSON_COMPACT, 1024);
    json_writer_open(&doctor.writer, NULL, '{');
    json_writer_open(&doctor.writer, "findings", '[');
    check_fleet(&doctor);
    doctor_redis_check(&doctor);
    doctor_files_check(&doctor);
    json_writer_close(&doctor.writer, ']');
    json_writer_close(&doctor.writer, '}');
    cleanup_free char *text = json_writer_take(&doctor.writer, NULL);
    if (ctl->is_json) {
        puts(text);
    }
    return doctor.findings == 0 ? CTL_FINE : CTL_FAILED;
}
