#include "controller/ctl/change_command.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/nearest.h"
#include "common/timestamp.h"
#include "controller/ctl/fleet.h"
#include "controller/ctl/operator_note.h"
#include "controller/ctl/option_reader.h"
#include "controller/ctl/phrase.h"
#include "proto/hold.h"
#include "proto/json_reader.h"
#include "proto/json_writer.h"
#include "proto/keys.h"

enum { KEPT_BEHIND_SECS = 60 };

struct change {
    const char *action;      /* hold release reset restart */
    const char *kind, *name; /* reset and restart: container */
    const char *reason;
    char by[LIMIT_NAME_SIZE];
    int64_t for_ms; /* hold: 0 for ever */
};

static const char *const kinds[] = {"all", "host", "service", "container"};

/* ---- by the API ---- */

static char *make_body(const struct change *change)
{
    struct json_writer writer;
    json_writer_init(&writer, JSON_COMPACT, 256);
    json_writer_open(&writer, NULL, '{');
    json_writer_text(&writer, "by", change->by);
    json_writer_text(&writer, "reason", change->reason);
    bool is_hold = strcmp(change->action, "hold") == 0;
    if (is_hold || strcmp(change->action, "release") == 0) {
        json_writer_text(&writer, "kind", change->kind);
        json_writer_text(&writer, "name", change->name);
    } else {
        json_writer_text(&writer, change->kind, change->name); /* container, or host */
    }
    if (is_hold && change->for_ms == 0) {
        json_writer_bool(&writer, "forever", true);
    } else if (is_hold) {
        json_writer_real(&writer, "for_secs", (double)change->for_ms / 1000.0);
    }
    json_writer_close(&writer, '}');
    return json_writer_take(&writer, NULL);
}

static void print_done(const struct change *change, const char *detail)
{
    bool is_all = strcmp(change->kind, "all") == 0;
    printf("%s %s%s%s: done, %s\n", change->action, is_all ? "all" : change->kind, is_all ? "" : " ",
           is_all ? "" : change->name, detail);
}

/* -1 where the API is of no use for this: *why then tells. */
static int change_by_api(struct ctl *ctl, const struct change *change, char *why, size_t size)
{
    if (!api_client_has_token(ctl->api)) {
        snprintf(why, size, "no token of the controller here (DEFIB_HTTP_TOKEN_FILE)");
        return -1;
    }
    char path[64], detail[512];
    struct err err;
    cleanup_free char *body = make_body(change);
    cleanup_reply struct api_reply reply;
    snprintf(path, sizeof path, "/api/v1/%s", change->action);
    if (api_client_call(ctl->api, "POST", path, body, &reply, &err) != 0) {
        snprintf(why, size, "the controller at %.200s does not answer", ctl->settings->url);
        return -1;
    }
    if (reply.status == 403) {
        snprintf(why, size, "the controller has no token set");
        return -1;
    }
    if (reply.status < 200 || reply.status > 299 ||
        !json_reader_text(json_reader_member(reply.tree, "detail"), detail, sizeof detail)) {
        ctl_complain("%s", reply.message);
        return CTL_FAILED;
    }
    print_done(change, detail);
    return CTL_FINE;
}

/* ---- by Redis ---- */

static int write_hold(struct ctl *ctl, const struct change *change, struct wall until, struct err *err)
{
    char key[KEY_SIZE], secs[32];
    struct hold hold = {.until = until, .since = clock_wall_now()};
    memory_set_text(hold.by, sizeof hold.by, change->by);
    memory_set_text(hold.reason, sizeof hold.reason, change->reason);
    size_t len;
    cleanup_free char *value = hold_encode(&hold, &len);
    key_hold(key, change->kind, change->name);
    int64_t kept_secs = change->for_ms / 1000 + KEPT_BEHIND_SECS;
    snprintf(secs, sizeof secs, "%" PRId64, kept_secs);
    const char *argv[] = {"SET", key, value, "EX", secs};
    cleanup_desk_reply struct desk_reply reply;
    return redis_desk_call(ctl->redis, change->for_ms == 0 ? 3 : 5, argv, &reply, err);
}

static int delete_key(struct ctl *ctl, const struct change *change, bool *was_there, struct err *err)
{
    char key[KEY_SIZE];
    if (strcmp(change->action, "reset") == 0) {
        key_restart(key, change->name);
    } else {
        key_hold(key, change->kind, change->name);
    }
    const char *argv[] = {"DEL", key};
    cleanup_desk_reply struct desk_reply reply;
    int result = redis_desk_call(ctl->redis, 2, argv, &reply, err);
    *was_there = result == 0 && reply.number > 0;
    return result;
}

static int change_by_redis(struct ctl *ctl, const struct change *change, const char *why)
{
    char detail[LIMIT_DETAIL_SIZE], end[TIMESTAMP_SIZE + 16] = "";
    struct err err;
    bool is_hold = strcmp(change->action, "hold") == 0, is_change = true;
    struct wall until = {change->for_ms == 0 ? 0 : clock_wall_now().ms + change->for_ms};
    if (is_hold) {
        char text[TIMESTAMP_SIZE];
        timestamp_format(until, text);
        snprintf(end, sizeof end, ", until %s", until.ms == 0 ? "released" : text);
    }
    snprintf(detail, sizeof detail, "by %.80s%s%.100s%s", change->by, change->reason[0] == '\0' ? "" : ": ",
             change->reason, end);
    int result = is_hold ? write_hold(ctl, change, until, &err) : delete_key(ctl, change, &is_change, &err);
    if (result == 0 && is_change) {
        result = operator_note_write(ctl, change->action, change->kind, change->name, detail, &err);
    }
    if (result != 0) {
        ctl_complain("%s; %s", why, err.text);
        return CTL_FAILED;
    }
    fprintf(stderr, "defibctl: %s: written straight to Redis\n", why);
    print_done(change, is_change ? detail : "there was nothing to change");
    return CTL_FINE;
}

/* A hold on what nobody knows would hold nothing. */
static bool is_target_known(struct ctl *ctl, const struct change *change)
{
    cleanup_fleet struct fleet fleet = {.json = NULL};
    struct err err;
    if (strcmp(change->kind, "all") == 0 || fleet_load(ctl, &fleet, &err) != 0) {
        return true; /* what could not be asked is told when it is written */
    }
    for (size_t i = 0; i < fleet.row_count; i++) {
        const struct fleet_row *row = &fleet.rows[i];
        const char *name = strcmp(change->kind, "host") == 0      ? row->host
                           : strcmp(change->kind, "service") == 0 ? row->service
                                                                  : row->name;
        if (strcmp(name, change->name) == 0) {
            return true;
        }
    }
    const char *nearest = fleet_nearest(&fleet, change->name);
    ctl_complain("%s \"%.100s\" is not known%s%s", change->kind, change->name,
                 nearest == NULL ? "" : "; the nearest name is ", nearest == NULL ? "" : nearest);
    return false;
}

static int perform(struct ctl *ctl, struct change *change)
{
    char why[256];
    change->reason = change->reason == NULL ? "" : change->reason;
    operator_note_who(change->by);
    int code = change_by_api(ctl, change, why, sizeof why);
    if (code >= 0) {
        return code;
    }
    bool is_release = strcmp(change->action, "release") == 0;
    if (!is_release && !is_target_known(ctl, change)) {
        return CTL_FAILED;
    }
    return change_by_redis(ctl, change, why);
}

/* ---- the commands ---- */

/* `all`, `NAME` (a container), or `KIND NAME`. */
static bool read_scope(const struct option_reader *words, struct change *change, const char *usage)
{
    if (words->count == 1) {
        bool is_all = strcmp(words->names[0], "all") == 0;
        change->kind = is_all ? "all" : "container";
        change->name = words->names[0];
        return true;
    }
    for (size_t i = 1; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(words->names[0], kinds[i]) == 0) {
            change->kind = kinds[i];
            change->name = words->names[1];
            return true;
        }
    }
    ctl_complain("\"%.80s\": allowed are host, service and container; usage: defibctl %s", words->names[0],
                 usage);
    return false;
}

int change_command_hold(struct ctl *ctl, int argc, char **argv)
{
    struct change change = {.action = "hold"};
    const char *span = NULL;
    bool is_forever = false;
    const struct option_row rows[] = {{"--for", &span, NULL},
                                      {"--forever", NULL, &is_forever},
                                      {"--reason", &change.reason, NULL},
                                      {NULL, NULL, NULL}};
    struct option_reader words;
    if (!option_reader_read(&words, rows, argc, argv, 1, 2, CHANGE_COMMAND_HOLD_USAGE) ||
        !read_scope(&words, &change, CHANGE_COMMAND_HOLD_USAGE)) {
        return CTL_USAGE;
    }
    if ((span != NULL) == is_forever) {
        ctl_complain("a hold ends: --for 30m, or says that it does not: --forever");
        return CTL_USAGE;
    }
    if (span != NULL && !phrase_parse_duration(span, &change.for_ms)) {
        ctl_complain("--for \"%.40s\": allowed are durations such as 30s, 15m, 2h, 1d, up to 366d", span);
        return CTL_USAGE;
    }
    return perform(ctl, &change);
}

int change_command_release(struct ctl *ctl, int argc, char **argv)
{
    struct change change = {.action = "release"};
    const struct option_row rows[] = {{"--reason", &change.reason, NULL}, {NULL, NULL, NULL}};
    struct option_reader words;
    if (!option_reader_read(&words, rows, argc, argv, 1, 2, CHANGE_COMMAND_RELEASE_USAGE) ||
        !read_scope(&words, &change, CHANGE_COMMAND_RELEASE_USAGE)) {
        return CTL_USAGE;
    }
    return perform(ctl, &change);
}

static bool read_container(struct change *change, int argc, char **argv, const char *usage)
{
    const struct option_row rows[] = {{"--reason", &change->reason, NULL}, {NULL, NULL, NULL}};
    struct option_reader words;
    if (!option_reader_read(&words, rows, argc, argv, 1, 1, usage)) {
        return false;
    }
    change->kind = "container";
    change->name = words.names[0];
    return true;
}

int change_command_reset(struct ctl *ctl, int argc, char **argv)
{
    struct change change = {.action = "reset"};
    return read_container(&change, argc, argv, CHANGE_COMMAND_RESET_USAGE) ? perform(ctl, &change)
                                                                           : CTL_USAGE;
}

/* Only with the controller away: what lives in its memory it would write back. */
static int decommission_by_redis(struct ctl *ctl, const struct change *change, const char *why)
{
    char agent[KEY_SIZE], hold[KEY_SIZE], detail[LIMIT_DETAIL_SIZE];
    struct err err;
    cleanup_desk_reply struct desk_reply there, deleted;
    key_agent(agent, change->name);
    key_hold(hold, "host", change->name);
    const char *ask[] = {"EXISTS", agent}, *delete[] = {"DEL", hold};
    deleted = (struct desk_reply){.type = REDIS_REPLY_NONE};
    int result = redis_desk_call(ctl->redis, 2, ask, &there, &err);
    if (result == 0 && there.number != 0) {
        ctl_complain("host %.100s still speaks: end its agent, and wait until its key %s is gone",
                     change->name, agent);
        return CTL_FAILED;
    }
    snprintf(detail, sizeof detail, "by %.80s%s%.120s", change->by, change->reason[0] == '\0' ? "" : ": ",
             change->reason);
    result = result != 0 ? result : redis_desk_call(ctl->redis, 2, delete, &deleted, &err);
    result = result != 0 ? result
                         : operator_note_write(ctl, change->action, change->kind, change->name, detail, &err);
    if (result != 0) {
        ctl_complain("%s; %s", why, err.text);
        return CTL_FAILED;
    }
    fprintf(stderr, "defibctl: %s: written straight to Redis\n", why);
    print_done(change, detail);
    return CTL_FINE;
}

int change_command_decommission(struct ctl *ctl, int argc, char **argv)
{
    struct change change = {.action = "decommission"};
    char why[256];
    if (!read_container(&change, argc, argv, CHANGE_COMMAND_DECOMMISSION_USAGE)) {
        return CTL_USAGE;
    }
    change.kind = "host";
    change.reason = change.reason == NULL ? "" : change.reason;
    operator_note_who(change.by);
    int code = change_by_api(ctl, &change, why, sizeof why);
    if (code >= 0) {
        return code;
    }
    struct err err;
    cleanup_reply struct api_reply reply;
    if (api_client_call(ctl->api, "GET", "/healthz", NULL, &reply, &err) == 0) {
        ctl_complain("%s, and to decommission a host needs it while the controller runs", why);
        return CTL_FAILED;
    }
    return decommission_by_redis(ctl, &change, why);
}

int change_command_restart(struct ctl *ctl, int argc, char **argv)
{
    struct change change = {.action = "restart", .reason = ""};
    char why[256];
    if (!read_container(&change, argc, argv, CHANGE_COMMAND_RESTART_USAGE)) {
        return CTL_USAGE;
    }
    operator_note_who(change.by);
    int code = change_by_api(ctl, &change, why, sizeof why);
    if (code < 0) {
        ctl_complain("%s, and a restart needs it; on its host: docker restart %s", why, change.name);
        return CTL_FAILED;
    }
    return code;
}
