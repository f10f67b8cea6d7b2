#include "controller/serve/explanation.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const gate_words[GATE_N] = {
    [GATE_ENABLED] = "automatic restarts are disabled (SUPERVISOR_ENABLED=false)",
    [GATE_LEADER] = "this controller is not the leader",
    [GATE_SETTLED] = "silence is not acted on yet: the way it would have come by is not proven live",
    [GATE_HOST] = "no command can reach its host: the agent is silent, lost, or its Docker Engine is down",
    [GATE_DENY] =
        "it is in the deny list (RESTART_DENY_SERVICES, label defib.restart=deny, or the agent's list)",
    [GATE_OWN] = "it is a part of defib",
    [GATE_REDIS] = "it is the Redis that defib uses",
    [GATE_IDENTITY] = "another container claims the same name or heartbeat key",
    [GATE_ALLOW] = "it is not in the allow list (RESTART_ALLOW_SERVICES, or label defib.restart=allow)",
    [GATE_HOLD] = "an operator's hold covers it",
    [GATE_ANCESTOR] = "a container that it depends on has failed: that one comes first",
    [GATE_BREAKER] = "the breaker is open: too much fails at once to be the containers' own fault",
    [GATE_HOST_LIMIT] = "another restart is under way on its host (RESTART_MAX_PER_HOST)",
    [GATE_FLEET_LIMIT] = "enough restarts are under way in the fleet (RESTART_MAX_FLEET)",
    [GATE_BACKOFF] = "the backoff after the last attempt is not over",
};

void explanation_of_gate(const struct scene *scene, enum gate gate, char *out, size_t size)
{
    const char *leader = scene->health.leader;
    if ((size_t)gate >= GATE_N) {
        out[0] = '\0';
    } else if (gate == GATE_LEADER && leader != NULL && leader[0] != '\0') {
        snprintf(out, size, "this controller is not the leader: %.100s leads, ask it", leader);
    } else {
        snprintf(out, size, "%s", gate_words[gate] != NULL ? gate_words[gate] : gates_reason(gate));
    }
}

void explanation_duration(int64_t ms, char out[32])
{
    int64_t secs = ms < 0 ? 0 : ms / 1000;
    if (ms < 10000) {
        snprintf(out, 32, "%.1f s", ms < 0 ? 0.0 : (double)ms / 1000.0);
    } else if (secs < 120) {
        snprintf(out, 32, "%lld s", (long long)secs);
    } else if (secs < 7200) {
        snprintf(out, 32, "%lld min", (long long)(secs / 60));
    } else if (secs < 172800) {
        snprintf(out, 32, "%lld h", (long long)(secs / 3600));
    } else {
        snprintf(out, 32, "%lld d", (long long)(secs / 86400));
    }
}

static void add(struct explanation_lines *lines, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void add(struct explanation_lines *lines, const char *format, ...)
{
    if (lines->count == EXPLANATION_LINES) {
        return;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(lines->text[lines->count++], EXPLANATION_LINE_SIZE, format, args);
    va_end(args);
}

/* ---- the holds that cover it ---- */

struct hold_search {
    const struct scene *scene;
    const struct decider_view_container *view;
    struct explanation_lines *out;
    void (*say)(const struct hold_search *search, const struct hold_watch_hold *hold);
};

static bool is_all(const struct hold_watch_hold *hold)
{
    return strcmp(hold->kind, "all") == 0;
}

static void meet_hold(void *arg, const struct hold_watch_hold *hold)
{
    const struct hold_search *search = arg;
    const struct decider_view_container *view = search->view;
    bool covers = is_all(hold) ||
                  (strcmp(hold->kind, "container") == 0 && strcmp(hold->name, view->name) == 0) ||
                  (strcmp(hold->kind, "service") == 0 && strcmp(hold->name, view->service) == 0) ||
                  (strcmp(hold->kind, "host") == 0 && strcmp(hold->name, view->host) == 0);
    if (covers) {
        search->say(search, hold);
    }
}

static void say_hold(const struct hold_search *search, const struct hold_watch_hold *hold)
{
    char what[128] = "It", end[64] = "until it is released", left[32], since[64] = "", age[32];
    if (is_all(hold)) {
        snprintf(what, sizeof what, "Everything");
    } else if (strcmp(hold->kind, "container") != 0) {
        snprintf(what, sizeof what, "Its %s %.80s", hold->kind, hold->name);
    }
    if (hold->until.ms != 0) {
        explanation_duration(hold->until.ms - search->scene->wall.ms, left);
        snprintf(end, sizeof end, "for %s more", left);
    }
    if (hold->since.ms != 0) {
        explanation_duration(search->scene->wall.ms - hold->since.ms, age);
        snprintf(since, sizeof since, " %s ago", age);
    }
    add(search->out, "%s was put on hold%s%s%.80s, %s%s%.160s.", what, since,
        hold->by[0] == '\0' ? "" : " by ", hold->by, end, hold->reason[0] == '\0' ? "" : ": ", hold->reason);
}

static void say_hold_help(const struct hold_search *search, const struct hold_watch_hold *hold)
{
    char who[160] = "";
    if (hold->by[0] != '\0') {
        snprintf(who, sizeof who, "   (held by %.100s)", hold->by);
    }
    add(search->out, "defibctl release %s%s%s%s", hold->kind, is_all(hold) ? "" : " ",
        is_all(hold) ? "" : hold->name, who);
}

static void each_hold(const struct scene *scene, const struct decider_view_container *view,
                      void (*say)(const struct hold_search *search, const struct hold_watch_hold *hold),
                      struct explanation_lines *out)
{
    struct hold_search search = {scene, view, out, say};
    if (view->is_held) {
        hold_watch_each(scene->parts.holds, meet_hold, &search);
    }
}

/* ---- the headline ---- */

static const char *trouble(const struct decider_view_container *view)
{
    switch (view->cause) {
    case CAUSE_MISSING:
        return "its heartbeats are missing";
    case CAUSE_UNHEALTHY:
        return "it reports that it is unhealthy";
    case CAUSE_START_TIMEOUT:
        return "it did not become healthy in time";
    case CAUSE_DEATH:
        return "it died";
    case CAUSE_STALE_NETWORK:
        return "the container whose network it uses was started after it";
    case CAUSE_DEPENDENCY:
        return "a container that it depends on was restarted";
    case CAUSE_NONE:
        break;
    }
    return "something is wrong";
}

struct reason_words {
    const char *reason, *words;
};

/* NULL: none of them is about it. */
static const char *words_for(const struct reason_words *rows, size_t count, const char *reason)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(reason, rows[i].reason) == 0) {
            return rows[i].words;
        }
    }
    return NULL;
}

/* Why it is held, from the policy's reason. */
static const char *why_held(const struct decider_view_container *view)
{
    static const struct reason_words rows[] = {
        {"hold", "an operator's hold covers it"},
        {"operator_stop", "an operator stopped it"},
        {"refused_stopped", "its agent says that it was stopped on purpose"},
        {"refused_held", "its agent says that it is not to be touched now"},
        {"paused", "it is paused"},
        {"created", "it was created and never started"},
        {"completed", "it was a one-off and is done"},
        {"unknown_stop", "it stopped while the agent could not see why; it may have been an operator"},
    };
    const char *words = words_for(rows, sizeof rows / sizeof rows[0], view->reason);
    return words ? words : view->is_held ? rows[0].words : view->reason;
}

/* Why it is still judged, from the policy's reason. */
static const char *why_down(const struct decider_view_container *view)
{
    static const struct reason_words rows[] = {
        {"settling", "whether somebody stopped it is not certain yet"},
        {"shutdown", "its Docker Engine is going down; that is waited for"},
        {"docker_restarting", "Docker itself is about to start it again"},
        {"docker_policy", "Docker's own restart policy may start it, and goes first"},
        {"missing_heartbeat", "the checks without a heartbeat are counted"},
    };
    const char *words = words_for(rows, sizeof rows / sizeof rows[0], view->reason);
    return words ? words : "what ended it is being looked at";
}

static void say_headline(const struct scene *scene, const struct decider_view_container *view,
                         struct explanation *out)
{
    char age[32];
    char *text = out->headline;
    size_t size = sizeof out->headline;
    if (view->is_frozen) {
        struct mono last =
            view->agent_heard_at.ms > view->app_heard_at.ms ? view->agent_heard_at : view->app_heard_at;
        explanation_duration(mono_diff(scene->now, last), age);
        snprintf(text, size, "%s: its host %s is lost; it was %s when it was last heard%s%s%s.", view->name,
                 view->host, policy_state_name(view->state), last.ms == 0 ? "" : ", ",
                 last.ms == 0 ? "" : age, last.ms == 0 ? "" : " ago");
        return;
    }
    switch (view->state) {
    case STATE_UP:
        explanation_duration(mono_diff(scene->now, view->healthy_since), age);
        snprintf(text, size, "%s is up (%s) for %s.", view->name, view->status, age);
        break;
    case STATE_STARTING:
        snprintf(text, size, "%s is starting: nothing is counted during its grace.", view->name);
        break;
    case STATE_SUSPECT:
        snprintf(text, size, "%s is suspect: %s.", view->name,
                 view->misses > 0 ? "its heartbeats are missing" : "it reports that it is unhealthy");
        break;
    case STATE_DOWN:
        snprintf(text, size, "%s is down: %s.", view->name, why_down(view));
        break;
    case STATE_FAILED:
        snprintf(text, size, "%s has failed (%s) and was not restarted.", view->name, trouble(view));
        break;
    case STATE_RESTARTING:
        snprintf(text, size, "%s has failed (%s) and is being restarted, attempt %lld of %lld.", view->name,
                 trouble(view), (long long)view->attempts, (long long)view->max_attempts);
        break;
    case STATE_COOLDOWN:
        snprintf(text, size, "%s is in its cooldown: %lld of %lld attempts did not help.", view->name,
                 (long long)view->attempts, (long long)view->max_attempts);
        break;
    case STATE_HELD:
        snprintf(text, size, "%s is left alone: %s.", view->name, why_held(view));
        break;
    case STATE_NONE:
    case STATE_REMOVED:
    case STATE_N:
        snprintf(text, size, "%s was heard of, and nothing is known of it yet.", view->name);
        break;
    }
}

/* ---- the evidence ---- */

static void say_docker(const struct decider_view_container *view, struct explanation_lines *out)
{
    if (view->host[0] == '\0') {
        add(out, "No agent knows it: it beats for itself, and no host is known to run it.");
        return;
    }
    char ending[96] = "";
    bool is_dead = strcmp(view->docker_state, "exited") == 0 || strcmp(view->docker_state, "dead") == 0 ||
                   strcmp(view->docker_state, "restarting") == 0;
    if (is_dead && view->has_exit_code) {
        snprintf(ending, sizeof ending, ", exit code %d, judged %s", view->exit_code, view->stop_class);
    } else if (is_dead) {
        snprintf(ending, sizeof ending, ", judged %s", view->stop_class);
    } else if (strcmp(view->docker_health, "none") != 0 && strcmp(view->docker_health, "unknown") != 0) {
        snprintf(ending, sizeof ending, ", its HEALTHCHECK says %s", view->docker_health);
    }
    add(out, "Docker on %s says %s%s.", view->host, view->docker_state, ending);
}

static void say_age(const struct scene *scene, struct mono when, const char *who, const char *never,
                    struct explanation_lines *out)
{
    char age[32];
    if (when.ms == 0) {
        if (never != NULL) {
            add(out, "%s", never);
        }
        return;
    }
    explanation_duration(mono_diff(scene->now, when), age);
    add(out, "%s %s ago.", who, age);
}

static void say_counts(const struct decider_view_container *view, struct explanation_lines *out)
{
    if (view->misses > 0) {
        add(out, "Checks without a live heartbeat: %lld, it takes %lld.", (long long)view->misses,
            (long long)view->miss_threshold);
    }
    if (view->bad > 0) {
        add(out, "Unhealthy heartbeats: %lld, it takes %lld.", (long long)view->bad,
            (long long)view->unhealthy_threshold);
    }
    add(out, "Attempts used: %lld of %lld.", (long long)view->attempts, (long long)view->max_attempts);
}

static void say_checks(const struct check_report *report, struct explanation_lines *out)
{
    for (size_t i = 0; i < report->count; i++) {
        add(out, "%s.", report->lines[i].text);
    }
    if (report->more > 0) {
        add(out, "%zu more check%s.", report->more, report->more == 1 ? " fails" : "s fail");
    }
}

static void say_evidence(const struct scene *scene, const struct decider_view_container *view,
                         const struct check_report *report, struct explanation_lines *out)
{
    say_docker(view, out);
    say_checks(report, out);
    say_age(scene, view->agent_heard_at, "The last heartbeat by its agent came", NULL, out);
    say_age(scene, view->app_heard_at, "The service's own last heartbeat came", NULL, out);
    if (view->agent_heard_at.ms == 0 && view->app_heard_at.ms == 0) {
        add(out, "No heartbeat of it was heard since this controller started.");
    }
    say_counts(view, out);
    if (view->is_parent_gone) {
        add(out, "The container whose namespaces it lives in is gone: only a new one of both helps.");
    } else if (view->parent[0] != '\0') {
        add(out, "It lives in the namespaces of %s, which is %s.", view->parent,
            policy_state_name(view->parent_state));
    }
    if (view->state == STATE_DOWN && view->docker_acts_until.ms > scene->now.ms) {
        char left[32];
        explanation_duration(mono_diff(view->docker_acts_until, scene->now), left);
        add(out, "Docker's own restart policy applies to it: Docker has %s to start it.", left);
    }
    if (view->state != STATE_UP && view->state != STATE_HELD) {
        say_age(scene, view->broken_at, "The trouble began", NULL, out);
    }
    if (view->is_frozen) {
        add(out, "Its host is lost: nothing of it is counted until the agent is heard again.");
    } else if (view->is_agent_silent) {
        say_age(scene, view->host_heard_at, "Its agent is silent; it was last heard", NULL, out);
    } else if (view->is_engine_down) {
        add(out, "The Docker Engine on %s does not answer, says its agent.", view->host);
    } else if (!view->is_listed) {
        add(out, "Its agent's last inventory left it out: it is about to be known as removed.");
    }
}

static void say_redis(const struct scene *scene, struct explanation_lines *out)
{
    struct decider_view_fleet fleet;
    decider_view_fleet(scene->parts.decider, scene->now, &fleet);
    if (!fleet.is_redis_up) {
        add(out, "Redis is away: silence counts for nothing; deaths are told by the agents.");
    }
}

/* ---- the verdict ---- */

static enum gate first_closed(const bool is_open[GATE_N])
{
    int gate = 0;
    while (gate < GATE_N && is_open[gate]) {
        gate++;
    }
    return (enum gate)gate;
}

static bool is_in_trouble(enum policy_state state)
{
    return state == STATE_FAILED || state == STATE_RESTARTING || state == STATE_DOWN ||
           state == STATE_SUSPECT;
}

/* All that refuse, the reported one first; the backoff only where it is the one. */
static void list_closed(const struct scene *scene, const bool is_open[GATE_N], char *out, size_t size)
{
    char words[EXPLANATION_LINE_SIZE];
    size_t used = 0;
    for (int gate = 0; gate < GATE_N; gate++) {
        bool is_told = !is_open[gate] && (used == 0 || gate != GATE_BACKOFF);
        if (is_told && used < size) {
            explanation_of_gate(scene, (enum gate)gate, words, sizeof words);
            used += (size_t)snprintf(out + used, size - used, "%s%s", used == 0 ? "" : "; besides, ", words);
        }
    }
}

static void say_verdict(const struct scene *scene, const struct decider_view_container *view,
                        struct explanation *out)
{
    char why[EXPLANATION_VERDICT_SIZE - 64] = "";
    list_closed(scene, out->is_open, why, sizeof why);
    char *text = out->verdict;
    size_t size = sizeof out->verdict;
    if (view->state == STATE_HELD && !view->is_held) {
        snprintf(text, size, "It is not restarted by itself: %s.", why_held(view));
    } else if (view->max_attempts == 0) {
        snprintf(text, size, "It is never restarted: MAX_RESTART_ATTEMPTS=0 only alerts.");
    } else if (why[0] == '\0' && view->state == STATE_COOLDOWN) {
        snprintf(text, size, "All gates are open, but its attempts are used up until the cooldown ends.");
    } else if (why[0] == '\0') {
        snprintf(text, size, "All gates are open: nothing stands against a restart%s.",
                 is_in_trouble(view->state) ? "" : ", should it fail");
    } else if (is_in_trouble(view->state)) {
        snprintf(text, size, "It is not restarted because %s.", why);
    } else {
        snprintf(text, size, "If it failed now it would not be restarted: %s.", why);
    }
}

/* ---- what comes next ---- */

static void set_next(struct explanation *out, struct mono at, const char *what)
{
    out->next_at = at.ms == MONO_NEVER.ms ? (struct mono){0} : at;
    snprintf(out->next, sizeof out->next, "%s", what);
}

/* By the gate that stands in its way. */
static void say_next_failed(const struct decider_view_container *view, struct explanation *out)
{
    enum gate gate = first_closed(out->is_open);
    bool is_forbidden = gate == GATE_ENABLED || gate == GATE_DENY || gate == GATE_OWN || gate == GATE_REDIS ||
                        gate == GATE_ALLOW;
    if (is_forbidden) {
        set_next(out, (struct mono){0}, "nothing, until somebody restarts it or changes what forbids it");
    } else if (gate == GATE_BREAKER) {
        set_next(out, view->breaker_turn_at, "the breaker lets one more through, one at a time");
    } else if (gate == GATE_BACKOFF) {
        set_next(out, view->wake_at, "the backoff ends, and it is tried again");
    } else {
        set_next(out, view->wake_at, "the gates are asked again");
    }
}

static void say_next_held(const struct decider_view_container *view, struct explanation *out)
{
    bool has_end = view->held_until.ms != 0 && view->held_until.ms != MONO_NEVER.ms;
    if (view->is_held && has_end) {
        set_next(out, view->held_until, "its hold ends, and it is judged anew");
    } else if (view->is_held) {
        set_next(out, (struct mono){0}, "nothing, until its hold is released");
    } else {
        set_next(out, (struct mono){0}, "nothing, until it runs again");
    }
}

static void say_next(const struct decider_view_container *view, struct explanation *out)
{
    switch (view->state) {
    case STATE_STARTING:
        set_next(out, view->grace_until, "its grace ends and heartbeats are counted");
        break;
    case STATE_SUSPECT:
        set_next(out, view->wake_at, "the next check");
        break;
    case STATE_DOWN:
        set_next(out, view->wake_at, "the evidence is judged again");
        break;
    case STATE_FAILED:
        say_next_failed(view, out);
        break;
    case STATE_RESTARTING:
        set_next(out, (struct mono){0}, "the agent tells how the restart ended");
        break;
    case STATE_COOLDOWN:
        set_next(out, view->cooldown_until, "the cooldown ends, and it has all its attempts again");
        break;
    case STATE_UP:
        if (view->attempts > 0) {
            set_next(out, (struct mono){0},
                     "once it was healthy for RESTART_STABLE_SECS its attempts return");
        }
        break;
    case STATE_HELD:
        say_next_held(view, out);
        break;
    case STATE_NONE:
    case STATE_REMOVED:
    case STATE_N:
        break;
    }
    if (view->is_frozen) {
        set_next(out, (struct mono){0}, "nothing, until its agent is heard again");
    }
}

/* ---- what can be done ---- */

static const char *docker_name(const struct decider_view_container *view)
{
    const char *slash = strrchr(view->name, '/');
    return slash == NULL ? view->name : slash + 1;
}

static void say_help(const struct scene *scene, const struct decider_view_container *view,
                     struct explanation *out)
{
    enum gate gate = first_closed(out->is_open);
    struct explanation_lines *help = &out->help;
    each_hold(scene, view, say_hold_help, help);
    if (!view->is_held && view->state == STATE_HELD && view->host[0] != '\0') {
        add(help, "docker start %s   (on %s)", docker_name(view), view->host);
    }
    if (view->state == STATE_COOLDOWN) {
        add(help, "defibctl reset %s   (a fresh budget, at once)", view->name);
    }
    if (gate == GATE_ALLOW) {
        add(help, "add %s to RESTART_ALLOW_SERVICES, or label it defib.restart=allow", view->name);
    } else if (gate == GATE_DENY) {
        add(help, "take %s out of RESTART_DENY_SERVICES if it may be restarted after all", view->name);
    } else if (gate == GATE_HOST && view->host[0] != '\0') {
        add(help, "systemctl status %s   (on %s)",
            view->is_engine_down && !view->is_agent_silent ? "docker" : "defib-agent", view->host);
    }
    if (view->state == STATE_COOLDOWN || view->state == STATE_FAILED || view->state == STATE_DOWN) {
        add(help, "docker logs %s   (on %s, what it said last)", docker_name(view),
            view->host[0] == '\0' ? "its host" : view->host);
    }
}

void explanation_make_past(const struct scene *scene, const struct decider_view_container *view,
                           const bool is_open[GATE_N], struct explanation *out)
{
    static const struct check_report nothing = {.count = 0};
    *out = (struct explanation){.next = ""};
    memcpy(out->is_open, is_open, sizeof out->is_open);
    say_headline(scene, view, out);
    say_evidence(scene, view, &nothing, &out->evidence);
    say_verdict(scene, view, out);
    say_next(view, out);
}

void explanation_make(const struct scene *scene, const struct decider_view_container *view,
                      const struct check_report *report, struct explanation *out)
{
    *out = (struct explanation){.next = ""};
    decider_view_gates(scene->parts.decider, view->name, scene->now, out->is_open);
    say_headline(scene, view, out);
    say_evidence(scene, view, report, &out->evidence);
    each_hold(scene, view, say_hold, &out->evidence);
    say_redis(scene, &out->evidence);
    say_verdict(scene, view, out);
    say_next(view, out);
    say_help(scene, view, out);
}
