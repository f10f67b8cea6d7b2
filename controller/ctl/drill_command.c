/*
 * The lines are those that the controller logs, as its stream of events tells them; the effects are asked of
 * Docker itself.
 */
#include "controller/ctl/drill_command.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "common/memory.h"
#include "controller/ctl/docker_tool.h"
#include "controller/ctl/drill_plan.h"
#include "controller/ctl/fleet.h"
#include "controller/ctl/operator_note.h"
#include "controller/ctl/option_reader.h"
#include "controller/ctl/phrase.h"
#include "controller/ctl/table.h"
#include "proto/json_reader.h"

#define LABEL "io.defib.drill=true"

/* As the runbook's Test 2 has it, and ending at once when it is asked to. */
#define SERVICE "[ ! -e /tmp/crash ] || exit 1; trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"

enum {
    DOCKER_MS = 60000,
    TIMEOUT_DEFAULT_MS = 600000,
    SETTLE_MS = 5000, /* for what must not come */
    UP_MS = 60000,
    LOOK_MS = 200,
    DATA_BYTES = 64 * 1024,
    DATA_VALUES = 256
};

static volatile sig_atomic_t is_interrupted;

struct drill {
    struct ctl *ctl;
    enum drill_test test;
    const char *word, *host, *engine, *image;
    int64_t timeout_ms;
    char name[64];                   /* Docker's */
    char container[LIMIT_NAME_SIZE]; /* the fleet's */
    char where[LIMIT_NAME_SIZE];
    char started_at[LIMIT_TIME_SIZE];
    int64_t attempts, misses;
    struct drill_plan plan;
    struct mono began_at, until, settled_at; /* settled_at 0: not complete yet */
    bool is_made, is_held, is_killed, has_failed;
};

/* ---- saying it ---- */

static void say(struct drill *drill, bool is_well, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void say(struct drill *drill, bool is_well, const char *format, ...)
{
    const struct ctl *ctl = drill->ctl;
    char text[640], first[48];
    double secs = (double)mono_diff(clock_mono_now(), drill->began_at) / 1000.0;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    drill->has_failed = drill->has_failed || !is_well;
    snprintf(first, sizeof first, "  %-4s %7.1f s  ", is_well ? "ok" : "FAIL", secs);
    fputs(table_paint(is_well ? TABLE_GOOD : TABLE_BAD, ctl->has_color), stdout);
    phrase_print(stdout, first, "                  ", text, ctl->width);
    fputs(table_unpaint(ctl->has_color), stdout);
    fflush(stdout);
}

static int docker(const struct drill *drill, const char *const *argv, char out[DOCKER_TOOL_OUTPUT],
                  struct err *err)
{
    return docker_tool_run(drill->engine, argv, DOCKER_MS, out, err);
}

/* ---- before it ---- */

static bool is_flag(const struct cJSON *object, const char *name)
{
    bool value = false;
    json_reader_bool(json_reader_member(object, name), &value);
    return value;
}

/* What would spoil it, in words; NULL: nothing. */
static const char *find_obstacle(const struct cJSON *tree)
{
    const struct cJSON *controller = json_reader_member(tree, "controller");
    const struct cJSON *hold = json_reader_first(json_reader_member(tree, "holds"));
    char kind[LIMIT_WORD_SIZE] = "";
    for (; hold != NULL; hold = json_reader_next(hold)) {
        json_reader_text(json_reader_member(hold, "kind"), kind, sizeof kind);
        if (strcmp(kind, "all") == 0) {
            return "everything is held; defibctl release all";
        }
    }
    return !is_flag(controller, "leader") ? "that controller does not lead; DEFIB_URL names the one that does"
           : !is_flag(controller, "enabled") ? "automatic restarts are disabled"
           : !is_flag(controller, "settled") ? "the controller has just started; try again in a minute"
           : is_flag(controller, "tilted")
               ? "the controller does not act after a stall; try again in a minute"
           : is_flag(controller, "breaker_open")               ? "the breaker is open"
           : !is_flag(json_reader_member(tree, "redis"), "up") ? "Redis is away"
                                                               : NULL;
}

static bool is_fleet_ready(struct drill *drill)
{
    struct err err;
    cleanup_reply struct api_reply status;
    if (api_client_call(drill->ctl->api, "GET", "/api/v1/status", NULL, &status, &err) != 0) {
        ctl_complain("a drill needs the controller, and %s does not answer (%s)", drill->ctl->settings->url,
                     err.text);
        return false;
    }
    if (status.status != 200 || status.tree == NULL) {
        ctl_complain("%s", status.message);
        return false;
    }
    const char *obstacle = find_obstacle(status.tree);
    if (obstacle != NULL) {
        ctl_complain("no drill now: %s", obstacle);
    }
    return obstacle == NULL;
}

static bool is_host_known(struct drill *drill)
{
    cleanup_fleet struct fleet fleet;
    struct err err;
    if (fleet_load(drill->ctl, &fleet, &err) != 0) {
        ctl_complain("%s", err.text);
        return false;
    }
    bool is_known = drill->host == NULL;
    for (size_t i = 0; !is_known && i < fleet.host_count; i++) {
        is_known = strcmp(fleet.hosts[i].name, drill->host) == 0;
    }
    if (!is_known) {
        const char *nearest = fleet_nearest_host(&fleet, drill->host);
        ctl_complain("host \"%.100s\" is not known%s%s", drill->host,
                     nearest == NULL ? "" : "; the nearest name is ", nearest == NULL ? "" : nearest);
    }
    return is_known;
}

/* ---- its container ---- */

static bool start_container(struct drill *drill)
{
    const char *restart = drill->test == DRILL_DENY ? "defib.restart=deny" : "defib.restart=allow";
    const char *argv[] = {"create",
                          "--name",
                          drill->name,
                          "--pull",
                          "never",
                          "--network",
                          "none",
                          "--label",
                          LABEL,
                          "--label",
                          "defib.enable=true",
                          "--label",
                          restart,
                          "--label",
                          "defib.service=defib-drill",
                          "--label",
                          "defib.heartbeat=agent",
                          "--restart",
                          "no",
                          "--stop-timeout",
                          "1",
                          "--entrypoint",
                          "sh",
                          drill->image,
                          "-c",
                          SERVICE,
                          NULL};
    const char *start[] = {"start", drill->name, NULL};
    char out[DOCKER_TOOL_OUTPUT];
    struct err err;
    int result = docker(drill, argv, out, &err);
    drill->is_made = result == 0 || result == -ETIMEDOUT;
    if (result != 0) {
        say(drill, false, "its container cannot be created: %s", err.text);
    } else if ((result = docker(drill, start, out, &err)) != 0) {
        say(drill, false, "its container cannot be started: %s", err.text);
    }
    return result == 0;
}

/* Both in one answer, "true 2026-…". False, told, where Docker does not say. */
static bool inspect(struct drill *drill, bool *is_running, char started_at[LIMIT_TIME_SIZE])
{
    const char *argv[] = {"inspect", "-f", "{{.State.Running}} {{.State.StartedAt}}", drill->name, NULL};
    char out[DOCKER_TOOL_OUTPUT];
    struct err err;
    if (docker(drill, argv, out, &err) != 0) {
        say(drill, false, "docker inspect: %s", err.text);
        return false;
    }
    char *blank = strchr(out, ' ');
    *is_running = strncmp(out, "true ", 5) == 0;
    memory_set_text(started_at, LIMIT_TIME_SIZE, blank == NULL ? "" : blank + 1);
    return true;
}

static void remove_container(struct drill *drill)
{
    const char *argv[] = {"rm", "-f", drill->name, NULL};
    char out[DOCKER_TOOL_OUTPUT];
    struct err err;
    if (docker(drill, argv, out, &err) != 0 && strstr(err.text, "No such container") == NULL) {
        say(drill, false, "its container is left behind (%s): docker rm -f %s", err.text, drill->name);
    } else {
        printf("Its container is removed.\n");
    }
}

/* ---- until it is up ---- */

/* As the fleet knows it; false where it does not, yet. */
static bool find_container(struct drill *drill, char state[LIMIT_WORD_SIZE])
{
    char path[128];
    struct err err;
    cleanup_reply struct api_reply reply;
    snprintf(path, sizeof path, "/api/v1/containers?name=*%s", drill->name);
    if (api_client_call(drill->ctl->api, "GET", path, NULL, &reply, &err) != 0 || reply.status != 200) {
        return false;
    }
    const struct cJSON *row = json_reader_first(json_reader_member(reply.tree, "containers"));
    json_reader_text(json_reader_member(row, "container"), drill->container, sizeof drill->container);
    json_reader_text(json_reader_member(row, "host"), drill->where, sizeof drill->where);
    json_reader_signed(json_reader_member(row, "max_attempts"), 0, INT64_MAX, &drill->attempts);
    json_reader_signed(json_reader_member(row, "miss_threshold"), 0, INT64_MAX, &drill->misses);
    drill->is_held = is_flag(row, "held_by_operator");
    return json_reader_text(json_reader_member(row, "state"), state, LIMIT_WORD_SIZE);
}

static bool is_over(const struct drill *drill)
{
    return is_interrupted || mono_reached(clock_mono_now(), drill->until);
}

static bool wait_until_up(struct drill *drill)
{
    char state[LIMIT_WORD_SIZE] = "not known to the controller";
    struct mono patience = mono_add(clock_mono_now(), UP_MS);
    while (!is_over(drill) && !drill->is_held && !mono_reached(clock_mono_now(), patience) &&
           !(find_container(drill, state) && strcmp(state, "UP") == 0)) {
        nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000L}, NULL);
    }
    if (is_interrupted) {
        return false;
    }
    if (strcmp(state, "UP") != 0) {
        say(drill, false, "it is %s, and not UP in time", state);
        return false;
    }
    if (drill->host != NULL && strcmp(drill->host, drill->where) != 0) {
        say(drill, false, "it came up on %s, not on %s: --docker names another Engine", drill->where,
            drill->host);
        return false;
    }
    if (drill->attempts < 1 || drill->attempts > DRILL_COUNT_MAX || drill->misses > DRILL_COUNT_MAX) {
        say(drill, false, "a drill is for 1 to %d attempts and misses; here are %lld and %lld",
            DRILL_COUNT_MAX, (long long)drill->attempts, (long long)drill->misses);
        return false;
    }
    say(drill, true, "%s is up on %s", drill->container, drill->where);
    return true;
}

/* ---- the test itself ---- */

static bool kill_it(struct drill *drill)
{
    char out[DOCKER_TOOL_OUTPUT];
    bool is_running;
    struct err err;
    const char *crash[] = {"exec", drill->name, "sh", "-c", "echo invalid > /tmp/crash", NULL};
    const char *end[] = {"kill", drill->name, NULL};
    drill->is_killed = true;
    if (!inspect(drill, &is_running, drill->started_at)) {
        return false;
    }
    if ((drill->test == DRILL_FAILURES && docker(drill, crash, out, &err) != 0) ||
        docker(drill, end, out, &err) != 0) {
        say(drill, false, "%s", err.text);
        return false;
    }
    say(drill, true, "docker kill %s", drill->name);
    return true;
}

static void take_line(struct drill *drill, const struct cJSON *tree)
{
    char text[DRILL_TEXT_SIZE + 256];
    if (!json_reader_text(json_reader_member(tree, "text"), text, sizeof text)) {
        return;
    }
    if (drill_plan_is_forbidden(&drill->plan, text)) {
        say(drill, false, "%s: this must not be", text);
    } else if (drill_plan_take(&drill->plan, DRILL_LINE, text) != NULL) {
        say(drill, true, "%s", text);
    }
}

static void take_alert(struct drill *drill, const struct cJSON *tree)
{
    char type[LIMIT_WORD_SIZE] = "", action[LIMIT_REASON_SIZE] = "", text[DRILL_TEXT_SIZE];
    json_reader_text(json_reader_member(tree, "type"), type, sizeof type);
    json_reader_text(json_reader_member(tree, "action"), action, sizeof action);
    snprintf(text, sizeof text, "%s %s", type, action);
    if (drill_plan_take(&drill->plan, DRILL_ALERT, text) != NULL) {
        say(drill, true, "Published alert: %s", text);
    }
}

static void take_event(struct drill *drill, const char *kind, const char *data)
{
    static const struct json_bounds bounds = {"event", DATA_BYTES, DATA_VALUES};
    char container[LIMIT_NAME_SIZE] = "";
    cleanup_json struct cJSON *tree = NULL;
    if (json_reader_parse(data, strlen(data), &bounds, &tree, NULL) != 0) {
        return;
    }
    json_reader_text(json_reader_member(tree, "container"), container, sizeof container);
    if (strcmp(container, drill->container) != 0) {
        return;
    }
    if (strcmp(kind, "log") == 0) {
        take_line(drill, tree);
    } else if (strcmp(kind, "alert") == 0) {
        take_alert(drill, tree);
    }
}

/* Once all has come it is looked on for a little longer: nothing more must come. */
static bool is_done(struct drill *drill)
{
    struct mono now = clock_mono_now();
    if (!drill_plan_is_complete(&drill->plan)) {
        return false;
    }
    if (drill->settled_at.ms == 0) {
        drill->settled_at = mono_add(now, drill->test == DRILL_KILL ? 0 : SETTLE_MS);
    }
    return mono_reached(now, drill->settled_at);
}

/* A tick comes every second, whatever else. */
static bool on_event(void *arg, const char *kind, const char *data)
{
    struct drill *drill = arg;
    if (!drill->is_killed && !kill_it(drill)) {
        return false;
    }
    take_event(drill, kind, data);
    return !drill->has_failed && !is_over(drill) && !is_done(drill);
}

static void tell_missing(struct drill *drill)
{
    for (size_t i = 0; i < drill->plan.count; i++) {
        const struct drill_step *step = &drill->plan.steps[i];
        if (step->state == DRILL_AWAITED) {
            say(drill, false, "%s%s: it did not come", step->kind == DRILL_ALERT ? "alert " : "", step->text);
        }
    }
}

/* ---- what it came to ---- */

static void judge_effect(struct drill *drill)
{
    bool is_running;
    char started_at[LIMIT_TIME_SIZE];
    if (!inspect(drill, &is_running, started_at)) {
        return;
    }
    bool is_same = strcmp(started_at, drill->started_at) == 0;
    if (drill->test == DRILL_KILL) {
        say(drill, is_running && !is_same, "Docker says that it %s",
            is_running ? (is_same ? "was never down" : "runs again") : "does not run");
    } else if (drill->test == DRILL_FAILURES) {
        say(drill, !is_running && !is_same, "Docker says that it %s",
            is_running ? "runs"
            : is_same  ? "was never started again"
                       : "was started again, and is left down now");
    } else {
        say(drill, !is_running && is_same, "Docker says that it %s",
            is_running || !is_same ? "was started again" : "was left as it is");
    }
}

static void perform(struct drill *drill)
{
    struct err err = {.code = 0};
    drill_plan_make(&drill->plan, drill->test, drill->container, drill->misses, drill->attempts);
    int result = api_client_listen(drill->ctl->api, "/api/v1/stream", on_event, drill, &err);
    if (is_interrupted) {
        return;
    }
    if (result != 0) {
        say(drill, false, "the controller was lost: %s", err.text);
    }
    if (!drill->has_failed) {
        tell_missing(drill);
    }
    judge_effect(drill);
}

/* ---- the command ---- */

static void on_signal(int number)
{
    (void)number;
    is_interrupted = 1;
}

static void watch_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        sigaction(numbers[i], &action, NULL);
    }
}

static void make_name(struct drill *drill)
{
    unsigned char bytes[4];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes) {
        abort();
    }
    snprintf(drill->name, sizeof drill->name, "defib-drill-%02x%02x%02x%02x", bytes[0], bytes[1], bytes[2],
             bytes[3]);
}

static void leave_note(struct drill *drill, const char *result)
{
    char who[LIMIT_NAME_SIZE], detail[LIMIT_DETAIL_SIZE];
    struct err err;
    operator_note_who(who);
    snprintf(detail, sizeof detail, "by %.100s: %s, %s", who, drill->word, result);
    const char *name = drill->container[0] == '\0' ? drill->name : drill->container;
    if (operator_note_write(drill->ctl, "drill", "container", name, detail, &err) != 0) {
        ctl_complain("the drill is not noted on the stream: %s", err.text);
    }
}

static int drill_it(struct drill *drill)
{
    make_name(drill);
    drill->began_at = clock_mono_now();
    drill->until = mono_add(drill->began_at, drill->timeout_ms);
    printf("%s, container %s of %s\n", drill->word, drill->name, drill->image);
    watch_signals();
    if (start_container(drill) && wait_until_up(drill)) {
        perform(drill);
    }
    if (drill->is_made) {
        remove_container(drill);
    }
    const char *result = is_interrupted ? "interrupted" : drill->has_failed ? "FAILED" : "passed";
    leave_note(drill, result);
    printf("%s %s\n", drill->word, result);
    return is_interrupted || drill->has_failed ? CTL_FAILED : CTL_FINE;
}

int drill_command_run(struct ctl *ctl, int argc, char **argv)
{
    struct drill drill = {.ctl = ctl, .image = "busybox", .timeout_ms = TIMEOUT_DEFAULT_MS};
    const char *timeout = NULL;
    const struct option_row rows[] = {{"--host", &drill.host, NULL},
                                      {"--docker", &drill.engine, NULL},
                                      {"--image", &drill.image, NULL},
                                      {"--timeout", &timeout, NULL},
                                      {NULL, NULL, NULL}};
    struct option_reader words;
    if (!option_reader_read(&words, rows, argc, argv, 1, 1, DRILL_COMMAND_USAGE)) {
        return CTL_USAGE;
    }
    drill.word = words.names[0];
    drill.test = drill_plan_test(drill.word);
    if (drill.test == DRILL_TESTS) {
        ctl_complain(
            "drill \"%.40s\": allowed are test1 (a kill), test2 (it fails again and again) and test3 "
            "(the deny list)",
            drill.word);
        return CTL_USAGE;
    }
    if (timeout != NULL && !phrase_parse_duration(timeout, &drill.timeout_ms)) {
        ctl_complain("--timeout \"%.40s\": allowed are durations such as 30s, 10m, 1h", timeout);
        return CTL_USAGE;
    }
    return is_fleet_ready(&drill) && is_host_known(&drill) ? drill_it(&drill) : CTL_FAILED;
}
