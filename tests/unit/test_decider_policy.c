/* The decider's breaker, tilt and dependencies, against a small played world. */
#include "tests/unit/fleet_driver.h"

#include <setjmp.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

enum { BOXES = 40 };

/* One container of the played world. */
struct box {
    char name[40], host[16], parent[40], depends_on[80];
    char id[48];
    char started[LIMIT_TIME_SIZE];
    bool is_app, is_silent, stays_bad; /* the service beats for itself; it does not now; a restart heals it */
    bool is_denied, is_lost;           /* is_lost: not in the inventory any more */
    enum container_state state;
    enum stop_class stop_class;
    int restarts;
    int64_t restarted_at;
};

static struct box boxes[BOXES];
static size_t box_count, line_at;
static char order[1024]; /* "a b c": who was restarted, in order */
static bool is_deaf;     /* nobody is heard */

static struct box *box_of(const char *name)
{
    for (size_t i = 0; i < box_count; i++) {
        if (strcmp(boxes[i].name, name) == 0) {
            return &boxes[i];
        }
    }
    return NULL;
}

static void start(struct box *box)
{
    int64_t ms = fleet_wall().ms;
    time_t seconds = (time_t)(ms / 1000);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    size_t len = strftime(box->started, sizeof box->started, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(box->started + len, sizeof box->started - len, ".%03dZ", (int)(ms % 1000));
    box->state = CONTAINER_RUNNING;
    box->stop_class = STOP_NONE;
    box->is_silent = box->is_silent && box->stays_bad;
}

static struct box *add_box(const char *host, const char *name, const char *parent)
{
    struct box *box = &boxes[box_count++];
    memset(box, 0, sizeof *box);
    snprintf(box->name, sizeof box->name, "%s", name);
    snprintf(box->host, sizeof box->host, "%s", host);
    snprintf(box->id, sizeof box->id, "id-of-%.40s", name);
    if (parent[0]) {
        snprintf(box->parent, sizeof box->parent, "id-of-%.30s", parent);
    }
    start(box);
    fleet.ms += 10; /* each is later than the last */
    return box;
}

static void kill_box(struct box *box, enum stop_class class)
{
    box->state = CONTAINER_EXITED;
    box->stop_class = class;
}

static struct heartbeat word_of(const struct box *box)
{
    struct heartbeat word = fleet_word(box->host, box->name, box->state, box->started);
    memcpy(word.container_id, box->id, sizeof box->id);
    word.stop_class = box->stop_class;
    return word;
}

static void tell_host(const char *host)
{
    struct registration registration;
    registration_init(&registration);
    snprintf(registration.host, sizeof registration.host, "%s", host);
    snprintf(registration.agent, sizeof registration.agent, "agent-of-%.16s", host);
    registration.change = ++fleet.change;
    registration.seq = ++fleet.seq;
    registration.is_engine_up = true;
    registration.entries = calloc(BOXES, sizeof *registration.entries);
    for (size_t i = 0; i < box_count; i++) {
        if (strcmp(boxes[i].host, host) != 0 || boxes[i].is_lost) {
            continue;
        }
        struct registration_entry *entry = &registration.entries[registration.count++];
        entry->beat = word_of(&boxes[i]);
        container_spec_init(&entry->spec);
        entry->spec.is_app_beating = boxes[i].is_app;
        memcpy(entry->spec.network_parent, boxes[i].parent, sizeof boxes[i].parent);
        memcpy(entry->spec.depends_on, boxes[i].depends_on, sizeof boxes[i].depends_on);
        entry->spec.restart = boxes[i].is_denied ? RESTART_LABEL_DENY : RESTART_LABEL_NONE;
    }
    decider_observe_registration(fleet.decider, &registration, PATH_REDIS, fleet_now(), fleet_wall());
    free(registration.entries);
    fleet_drain();
}

static void tell_services(void)
{
    for (size_t i = 0; i < box_count; i++) {
        if (!boxes[i].is_app || boxes[i].is_silent || boxes[i].state != CONTAINER_RUNNING) {
            continue;
        }
        struct heartbeat beat;
        heartbeat_init(&beat);
        memcpy(beat.service, boxes[i].name, sizeof boxes[i].name);
        snprintf(beat.instance_id, sizeof beat.instance_id, "1");
        beat.status = BEAT_HEALTHY;
        beat.timestamp = fleet_wall();
        fleet_beat(&beat);
    }
}

/* What was commanded happens. */
static void obey(void)
{
    for (; line_at < fleet.line_count; line_at++) {
        char name[40];
        if (sscanf(fleet.lines[line_at], "Attempting restart of %39s (", name) == 1) {
            struct box *box = box_of(name);
            fleet.ms += 10;
            start(box);
            box->restarts++;
            box->restarted_at = fleet.ms;
            snprintf(order + strlen(order), sizeof order - strlen(order), "%s%s", order[0] ? " " : "", name);
            tell_host(box->host);
        }
    }
}

static void tell_all(void)
{
    tell_services();
    tell_host("h1");
    tell_host("h2");
}

/* Time goes by; everybody speaks every 5 s. */
static void live(int64_t seconds)
{
    for (int64_t passed = 0; passed < seconds; passed++) {
        if (!is_deaf && passed % 5 == 0) {
            tell_all();
        }
        fleet_run(1000);
        obey();
    }
}

static void begin_world(const char *deny)
{
    fleet_settings("*", deny);
    fleet.config.max_per_host = 3;
    fleet.config.start_grace_ms = 10000;
    fleet.config.jitter_pct = 0;
    fleet_begin_decider();
    memset(boxes, 0, sizeof boxes);
    box_count = 0;
    line_at = 0;
    order[0] = '\0';
    is_deaf = false;
}

static int end(void **state)
{
    (void)state;
    fleet_end();
    return 0;
}

static void add_services(const char *host, const char *name, int count)
{
    for (int i = 0; i < count; i++) {
        char full[40];
        snprintf(full, sizeof full, "%s%d", name, i);
        add_box(host, full, "")->is_app = true;
    }
}

static int restarts(void)
{
    int count = 0;
    for (size_t i = 0; i < box_count; i++) {
        count += boxes[i].restarts;
    }
    return count;
}

static void fall_silent(const char *host, bool stays_bad)
{
    for (size_t i = 0; i < box_count; i++) {
        if (strcmp(boxes[i].host, host) == 0) {
            boxes[i].is_silent = true;
            boxes[i].stays_bad = stays_bad;
        }
    }
}

static int opened(const char *host)
{
    int count = 0;
    for (size_t i = 0; i < fleet.alert_count; i++) {
        count += fleet.alerts[i].type == ALERT_BREAKER_OPEN && strcmp(fleet.alerts[i].host, host) == 0;
    }
    return count;
}

/* Runs until a condition on the number of restarts, or fails; returns the seconds it took. */
static int64_t live_until_restarts(int wanted, int64_t most)
{
    int64_t seconds = 0;
    for (; restarts() < wanted; seconds++) {
        assert_true(seconds < most);
        live(1);
        if (seconds % 5 != 0) {
            continue;
        }
        tell_all();
    }
    return seconds;
}

/* ---- the breaker ---- */

static void a_fleet_wide_silence_restarts_one_canary(void **state)
{
    (void)state;
    begin_world("");
    add_services("h1", "web", 6);
    live(120);
    fall_silent("h1", false);
    live(90); /* TTL and three checks; it opens at the first miss */
    assert_int_equal(1, opened(""));
    assert_int_equal(1, opened("h1"));
    /* at the third of the first misses, before anything was confirmed */
    assert_int_equal(1,
                     fleet_count_lines("Breaker of the fleet opened: 3 of 6 containers failed within 60 s"));
    assert_int_equal(0, restarts());
    assert_string_equal("breaker", fleet_look("web0").gate);
    assert_int_equal(0, fleet_look("web0").attempts);
    live_until_restarts(1, 60);
    live(55);
    assert_int_equal(1, restarts()); /* the canary has to stay healthy for 60 s */
    live_until_restarts(2, 30);
    live(900);
    assert_int_equal(6, restarts());
    assert_int_equal(2, fleet_count_alerts(ALERT_BREAKER_CLOSED, NULL));
    assert_int_equal(1, fleet_count_lines("Breaker of host h1 closed"));
    for (size_t i = 0; i < box_count; i++) {
        assert_string_equal("UP", fleet_look(boxes[i].name).state);
    }
}

static void it_closes_by_itself_when_all_heal(void **state)
{
    (void)state;
    begin_world("");
    add_services("h1", "web", 6);
    live(120);
    fall_silent("h1", false);
    live(60);
    assert_int_equal(2, fleet_count_alerts(ALERT_BREAKER_OPEN, NULL));
    for (size_t i = 0; i < box_count; i++) {
        boxes[i].is_silent = false;
    }
    live(60 + 30 + 20);
    assert_int_equal(2, fleet_count_alerts(ALERT_BREAKER_CLOSED, NULL));
    assert_int_equal(0, restarts());
}

/* Those that a canary does not heal: the waits double, and never is more than one tried. */
static void canaries_that_fail_wait_longer(void **state)
{
    (void)state;
    int64_t at[8] = {0};
    begin_world("");
    fleet.config.start_deadline_ms = 30000;
    fleet.config.cooldown_ms = 60000;
    add_services("h1", "web", 6);
    live(120);
    fall_silent("h1", true);
    const char *last = "";
    for (int i = 0; i < 6; i++) {
        live_until_restarts(i + 1, 1000);
        at[i] = fleet.ms;
        assert_string_not_equal(last, fleet.last.container); /* each time another one */
        last = box_of(fleet.last.container)->name;
    }
    int64_t waits[5];
    for (int i = 0; i < 5; i++) {
        waits[i] = (at[i + 1] - at[i]) / 1000;
    }
    assert_true(waits[0] >= 120 && waits[0] < 220); /* 30 s to fail, and then the wait */
    assert_true(waits[1] >= 240 && waits[1] < 340);
    assert_true(waits[2] >= 480 && waits[2] < 580);
    assert_true(waits[3] >= 600 && waits[3] < 700);
    assert_true(waits[4] >= 600 && waits[4] < 700);
    assert_int_equal(0, fleet_count_alerts(ALERT_BREAKER_CLOSED, NULL));
}

static void too_few_never_open_it(void **state)
{
    (void)state;
    begin_world("");
    add_services("h1", "web", 2);
    live(120);
    fall_silent("h1", false);
    live(150);
    assert_int_equal(0, fleet_count_alerts(ALERT_BREAKER_OPEN, NULL));
    assert_int_equal(2, restarts());
}

/* Four of ten on one host of two: the host's breaker opens, the fleet's does not. */
static void one_host_alone(void **state)
{
    (void)state;
    begin_world("");
    add_services("h1", "web", 4);
    add_services("h2", "api", 12);
    live(120);
    fall_silent("h1", false);
    box_of("api3")->is_silent = true;
    live(100);
    assert_int_equal(1, opened("h1"));
    assert_int_equal(0, opened("h2"));
    assert_int_equal(0, opened(""));
    assert_int_equal(1, restarts());
    assert_int_equal(1, box_of("api3")->restarts); /* where it is closed, work goes on */
}

static void dead_ones_are_started_one_by_one(void **state)
{
    (void)state;
    begin_world("");
    add_services("h1", "web", 6);
    live(120);
    for (size_t i = 0; i < 5; i++) {
        kill_box(&boxes[i], STOP_KILLED);
    }
    int64_t at[4];
    for (int i = 0; i < 4; i++) {
        live_until_restarts(i + 1, 100);
        at[i] = fleet.ms;
    }
    assert_int_equal(2, fleet_count_alerts(ALERT_BREAKER_OPEN, NULL));
    for (int i = 1; i < 4; i++) {
        assert_in_range(at[i] - at[i - 1], 29000, 32000);
    }
    /* two had been decided on before there were three to see, and were called back, unspent */
    assert_int_equal(1, fleet_look("web0").attempts + fleet_look("web1").attempts);
    live(60);
    assert_int_equal(5, restarts());
}

/* Decided on before it opened, sent behind that: they take turns like all others. */
static void those_on_their_way_take_turns_too(void **state)
{
    (void)state;
    begin_world("");
    add_services("h1", "web", 6);
    live(120);
    fleet.is_store_failing = true;
    box_of("web2")->is_silent = true;
    live(30);
    kill_box(box_of("web0"), STOP_KILLED);
    kill_box(box_of("web1"), STOP_KILLED);
    for (int i = 0; i < 60 && fleet_count_alerts(ALERT_BREAKER_OPEN, NULL) < 2; i++) {
        live(1);
    }
    assert_int_equal(2, fleet_count_alerts(ALERT_BREAKER_OPEN, NULL)); /* at the first miss of web2 */
    assert_string_equal("RESTARTING", fleet_look("web0").state);
    assert_string_equal("RESTARTING", fleet_look("web1").state);
    fleet.is_store_failing = false;
    live(10);
    assert_int_equal(1, restarts());
}

/* What is no failure does not count. */
static void who_does_not_count(void **state)
{
    (void)state;
    begin_world("db*");
    add_services("h1", "web", 6);
    add_services("h1", "db", 6);
    add_services("h2", "api", 6);
    live(120);
    for (size_t i = 0; i < 4; i++) {
        kill_box(&boxes[i], STOP_OPERATOR);
    }
    live(20);
    assert_string_equal("HELD", fleet_look("web0").state);
    for (size_t i = 6; i < 12; i++) {
        boxes[i].is_silent = true; /* denied ones */
    }
    live(120);
    assert_string_equal("FAILED", fleet_look("db0").state);
    assert_int_equal(0, fleet_count_alerts(ALERT_BREAKER_OPEN, NULL));
    assert_int_equal(0, restarts());
    for (int64_t i = 0; i < 60; i++) { /* the agent of h2 is lost */
        tell_services();
        tell_host("h1");
        fleet_run(1000);
    }
    assert_int_equal(1, fleet_count_alerts(ALERT_AGENT_LOST, NULL));
    assert_int_equal(0, fleet_count_alerts(ALERT_BREAKER_OPEN, NULL));
    live(60);
    for (size_t i = 12; i < 18; i++) {
        kill_box(&boxes[i], STOP_SHUTDOWN); /* the daemon went down and did not start them again */
    }
    live(150);
    assert_int_equal(6, restarts());
    assert_int_equal(0, fleet_count_alerts(ALERT_BREAKER_OPEN, NULL));
}

/* ---- tilt ---- */

static void a_stall_is_watched_out(void **state)
{
    (void)state;
    begin_world("");
    add_services("h1", "web", 2);
    live(120);
    box_of("web0")->is_silent = true;
    live(56);
    assert_true(fleet_look("web0").misses > 0);
    fleet.ms += 4500;
    tell_all();
    assert_int_equal(1, fleet_count_lines("The loop stalled by"));
    assert_int_equal(0, fleet_look("web0").misses);
    kill_box(box_of("web1"), STOP_KILLED);
    live(29);
    assert_int_equal(0, restarts());
    assert_string_equal("FAILED", fleet_look("web1").state);
    assert_string_equal("settled", fleet_look("web1").gate);
    assert_string_equal("tilt", fleet_look("web1").reason);
    live(5);
    assert_int_equal(1, box_of("web1")->restarts);
    assert_int_equal(1, fleet_count_lines("Watched for 30 s: restarts go on"));
    live(90);
    assert_int_equal(1, box_of("web0")->restarts); /* its silence was counted anew */
}

/* We heard nobody for a while, and nobody is lost for that. */
static void a_long_stall_loses_no_agent(void **state)
{
    (void)state;
    begin_world("");
    add_services("h1", "web", 6);
    add_services("h2", "api", 6);
    live(120);
    fleet.ms += 600000;
    decider_tick(fleet.decider, fleet_now(), fleet_wall());
    fleet_drain();
    live(400);
    assert_int_equal(0, fleet_count_alerts(ALERT_AGENT_LOST, NULL));
    assert_int_equal(0, fleet_count_lines("missing heartbeat"));
    assert_int_equal(0, restarts());
}

static void clocks_that_part(void **state)
{
    (void)state;
    begin_world("");
    add_services("h1", "web", 2);
    live(120);
    decider_tick(fleet.decider, fleet_now(), (struct wall){fleet_wall().ms + 86400000});
    fleet_drain();
    assert_int_equal(1, fleet_count_lines("Wall and monotonic clock parted by 86400.0 s"));
    decider_tick(fleet.decider, fleet_now(), fleet_wall()); /* and back: still one line */
    fleet_drain();
    kill_box(&boxes[0], STOP_KILLED);
    live(29);
    assert_int_equal(0, restarts());
    live(5);
    assert_int_equal(1, restarts());
    assert_int_equal(1, fleet_count_lines("for 30 s it watches"));
}

/* ---- dependencies ---- */

static void add_chain(void)
{
    add_box("h1", "vpn", "");
    add_box("h1", "proxy", "vpn");
    add_box("h1", "web", "proxy");
    add_box("h1", "api", "vpn");
    add_box("h1", "other", "");
    live(120);
    assert_int_equal(0, restarts());
}

/* By an operator here; nothing of it failed, so no breaker opens either. */
static void children_follow_their_parent_in_order(void **state)
{
    (void)state;
    begin_world("");
    add_chain();
    start(box_of("vpn"));
    live(120);
    assert_int_equal(0, box_of("vpn")->restarts);
    assert_int_equal(1, box_of("proxy")->restarts);
    assert_int_equal(1, box_of("web")->restarts);
    assert_int_equal(1, box_of("api")->restarts);
    assert_int_equal(0, box_of("other")->restarts);
    assert_true(strcmp(box_of("web")->started, box_of("proxy")->started) > 0);
    assert_true(strcmp(box_of("proxy")->started, box_of("vpn")->started) > 0);
    assert_int_equal(OP_RESTART, fleet.last.op);
    assert_string_equal("stale_network", fleet.last.reason);
    assert_int_equal(0, fleet_count_alerts(ALERT_BREAKER_OPEN, NULL));
    live(900);
    assert_int_equal(3, restarts()); /* once per incarnation of the parent */
    start(box_of("vpn"));
    live(120);
    assert_int_equal(6, restarts());
}

static void children_wait_for_a_failed_parent(void **state)
{
    (void)state;
    begin_world("vpn");
    add_chain();
    kill_box(box_of("vpn"), STOP_KILLED);
    live(20);
    kill_box(box_of("web"), STOP_CRASH);
    kill_box(box_of("api"), STOP_CRASH);
    size_t alerts = fleet.alert_count;
    live(300);
    assert_int_equal(0, restarts());
    assert_int_equal(alerts, fleet.alert_count); /* the parent's alone */
    assert_string_equal("ancestor", fleet_look("api").gate);
    assert_string_equal("failed_ancestor", fleet_look("web").reason);
    assert_int_equal(0, fleet_look("api").attempts);
    start(box_of("vpn")); /* a hand; the parent itself is denied */
    live(60);
    assert_int_equal(0, box_of("vpn")->restarts);
    assert_int_equal(1, box_of("api")->restarts);
    assert_int_equal(1, box_of("web")->restarts);
    assert_int_equal(1, box_of("proxy")->restarts); /* it ran on, in a network that is no more */
    assert_true(strcmp(box_of("web")->started, box_of("proxy")->started) > 0);
}

static void add_family(int children)
{
    add_box("h1", "vpn", "");
    for (int i = 0; i < children; i++) {
        char name[16];
        snprintf(name, sizeof name, "web%d", i);
        add_box("h1", name, "vpn")->is_app = true;
    }
    live(120);
}

/* They failed with their parent: one root, no breaker. */
static void children_are_no_roots(void **state)
{
    (void)state;
    begin_world("");
    add_family(5);
    kill_box(box_of("vpn"), STOP_KILLED);
    live(3);
    fall_silent("h1", false);
    live(200);
    assert_int_equal(0, fleet_count_alerts(ALERT_BREAKER_OPEN, NULL));
    assert_int_equal(0, strncmp(order, "vpn", 3));
    assert_int_equal(6, restarts());
}

/* The parent stays dead, being denied: whatever its children do is no failure of theirs. */
static void children_of_a_dead_parent_are_no_roots(void **state)
{
    (void)state;
    begin_world("vpn");
    add_family(6);
    kill_box(box_of("vpn"), STOP_KILLED);
    live(10);
    fall_silent("h1", false);
    live(120);
    assert_string_equal("FAILED", fleet_look("web0").state);
    assert_int_equal(0, fleet_count_alerts(ALERT_BREAKER_OPEN, NULL));
}

/* Two of them were seen failing first; with the parent they are one root, not three. */
static void children_that_failed_first_leave_the_count(void **state)
{
    (void)state;
    begin_world("");
    add_family(6);
    box_of("web0")->is_silent = true;
    box_of("web1")->is_silent = true;
    live(56);
    assert_string_equal("SUSPECT", fleet_look("web1").state);
    kill_box(box_of("vpn"), STOP_KILLED);
    live(60);
    assert_int_equal(1, box_of("vpn")->restarts);
    assert_int_equal(0, fleet_count_alerts(ALERT_BREAKER_OPEN, NULL));
}

static void a_denied_child_is_left_alone(void **state)
{
    (void)state;
    begin_world("proxy");
    add_chain();
    start(box_of("vpn"));
    live(200);
    assert_string_equal("api", order);
    assert_string_equal("UP", fleet_look("proxy").state);
}

static void soft_edges(void **state)
{
    (void)state;
    begin_world("");
    add_box("h1", "db", "");
    snprintf(add_box("h1", "web", "")->depends_on, 80, "db");
    snprintf(add_box("h1", "job", "")->depends_on, 80, "cache,db:restart");
    live(120);
    start(box_of("db"));
    live(120);
    assert_string_equal("job", order);
    assert_string_equal("dependency_restarted", fleet.last.reason);
    live(300);
    assert_string_equal("job", order);
}

static void a_ring_ends(void **state)
{
    (void)state;
    begin_world("");
    snprintf(add_box("h1", "a", "")->depends_on, 80, "c:restart");
    snprintf(add_box("h1", "b", "")->depends_on, 80, "a:restart");
    snprintf(add_box("h1", "c", "")->depends_on, 80, "b:restart");
    live(120);
    start(box_of("a"));
    live(600);
    assert_int_equal(0, restarts());
}

static void a_parent_that_is_gone_needs_people(void **state)
{
    (void)state;
    begin_world("");
    add_chain();
    snprintf(box_of("vpn")->id, 48, "another-id"); /* recreated under its name */
    start(box_of("vpn"));
    live(10);
    assert_int_equal(
        0, fleet_count_alerts(ALERT_NEEDS_RECREATE, NULL)); /* the rest may be recreated right now */
    live(900);
    assert_int_equal(2, fleet_count_alerts(ALERT_NEEDS_RECREATE, NULL)); /* proxy and api, each once */
    assert_int_equal(
        1, fleet_count_lines("docker rm -f api, then docker run as before with --network container:vpn"));
    kill_box(box_of("api"), STOP_CRASH);
    live(120);
    assert_int_equal(0, restarts());
    assert_string_equal("parent_gone", fleet_look("api").reason);
    snprintf(box_of("api")->id, 48, "a-new-api");
    snprintf(box_of("api")->parent, 40, "another-id");
    start(box_of("api"));
    live(30);
    assert_int_equal(1, fleet_count_alerts(ALERT_SERVICE_RECOVERED, NULL));
    start(box_of("vpn"));
    live(60);
    assert_string_equal("api", order);
}

/* Renamed after its parent went: no attempt is spent on it under its new name either. */
static void a_renamed_child_of_a_parent_that_is_gone_waits(void **state)
{
    (void)state;
    begin_world("");
    add_chain();
    snprintf(box_of("vpn")->id, 48, "another-id");
    live(120);
    kill_box(box_of("api"), STOP_CRASH);
    live(30);
    assert_string_equal("parent_gone", fleet_look("api").reason);
    snprintf(box_of("api")->name, 40, "api-2");
    live(120);
    assert_string_equal("parent_gone", fleet_look("api-2").reason);
    assert_int_equal(0, restarts());
}

/* A controller that never saw the parent hears it from what Docker said at the last start. */
static void an_error_tells_of_a_parent_that_is_gone(void **state)
{
    (void)state;
    begin_world("");
    struct box *child = add_box("h1", "child", "nobody");
    live(10);
    kill_box(child, STOP_START_ERROR);
    struct heartbeat word = word_of(child);
    snprintf(word.error, sizeof word.error, "No such container: %s", child->parent);
    fleet_beat(&word);
    fleet_run(20000);
    assert_string_equal("parent_gone", fleet_look("child").reason);
    assert_int_equal(0, fleet.sends);
}

/* Both were started anew while their host was lost, and the parent's beat comes first. */
static void a_child_not_heard_since_its_host_is_back_does_not_follow(void **state)
{
    (void)state;
    begin_world("");
    add_chain();
    is_deaf = true;
    live(60);
    assert_true(fleet_count_alerts(ALERT_AGENT_LOST, NULL) > 0);
    static const char *const names[] = {"vpn", "proxy", "api", "web"};
    for (size_t i = 0; i < 4; i++) {
        fleet.ms += 10;
        start(box_of(names[i]));
    }
    struct heartbeat beat = word_of(box_of("vpn"));
    fleet_beat(&beat);
    assert_string_equal("UP", fleet_look("vpn").state);
    assert_int_equal(0, fleet.sends);
    is_deaf = false;
    live(120);
    assert_int_equal(0, fleet.sends);
}

static void a_restart_that_fails_is_tried_again(void **state)
{
    (void)state;
    begin_world("");
    add_chain();
    fleet.ask_code = ANSWER_DOCKER_ERROR;
    start(box_of("vpn"));
    tell_all();
    fleet_run(3000);
    assert_int_equal(2, fleet.sends);
    line_at = fleet.line_count; /* they did not happen */
    live(1);
    assert_string_equal("FAILED", fleet_look("api").state); /* a healthy beat changes nothing about it */
    fleet.ask_code = ANSWER_OK;
    live(120);
    assert_int_equal(3, restarts());
    assert_string_equal("UP", fleet_look("api").state);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_fleet_wide_silence_restarts_one_canary, end),
        cmocka_unit_test_teardown(it_closes_by_itself_when_all_heal, end),
        cmocka_unit_test_teardown(canaries_that_fail_wait_longer, end),
        cmocka_unit_test_teardown(too_few_never_open_it, end),
        cmocka_unit_test_teardown(one_host_alone, end),
        cmocka_unit_test_teardown(dead_ones_are_started_one_by_one, end),
        cmocka_unit_test_teardown(those_on_their_way_take_turns_too, end),
        cmocka_unit_test_teardown(who_does_not_count, end),
        cmocka_unit_test_teardown(a_stall_is_watched_out, end),
        cmocka_unit_test_teardown(a_long_stall_loses_no_agent, end),
        cmocka_unit_test_teardown(clocks_that_part, end),
        cmocka_unit_test_teardown(children_follow_their_parent_in_order, end),
        cmocka_unit_test_teardown(children_wait_for_a_failed_parent, end),
        cmocka_unit_test_teardown(children_are_no_roots, end),
        cmocka_unit_test_teardown(children_of_a_dead_parent_are_no_roots, end),
        cmocka_unit_test_teardown(children_that_failed_first_leave_the_count, end),
        cmocka_unit_test_teardown(a_denied_child_is_left_alone, end),
        cmocka_unit_test_teardown(soft_edges, end),
        cmocka_unit_test_teardown(a_ring_ends, end),
        cmocka_unit_test_teardown(a_parent_that_is_gone_needs_people, end),
        cmocka_unit_test_teardown(a_renamed_child_of_a_parent_that_is_gone_waits, end),
        cmocka_unit_test_teardown(a_child_not_heard_since_its_host_is_back_does_not_follow, end),
        cmocka_unit_test_teardown(an_error_tells_of_a_parent_that_is_gone, end),
        cmocka_unit_test_teardown(a_restart_that_fails_is_tried_again, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
