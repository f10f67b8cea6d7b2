#include "controller/replay/replay.h"

#include <unistd.h>

#include "common/memory.h"
#include "common/timestamp.h"
#include "common/settings.h"
#include "controller/policy_settings.h"
#include "tests/unit/fleet_driver.h"
#include "tests/unit/vectors.h"

/*
 * A small fleet in which anything happens at any time, its decider recorded as in production; what was
 * recorded must decide the same again.
 */

enum { BOXES = 7, HOSTS = 2, QUEUE = 64, STEPS = 400 };

struct box {
    char name[16];
    int host;
    enum container_state state;
    enum beat_status status;
    enum stop_class stop_class;
    int starts;
    bool is_service_beating, is_mute; /* beats for itself; says nothing */
    char last_command[LIMIT_COMMAND_ID_SIZE];
    int64_t beat_at, started_ms;
    int recreated;
};

struct pending {
    enum { NOTHING, READ, STORED, ANSWERED } kind;
    int64_t at;
    char name[32];
    uint64_t token;
    struct command command;
};

static struct {
    uint64_t random;
    struct box boxes[BOXES];
    struct pending queue[QUEUE];
    uint64_t seq[HOSTS], change[HOSTS], told_change[HOSTS];
    int64_t registered_at[HOSTS], pinged_at[HOSTS];
    int agents[HOSTS];
    bool is_host_off[HOSTS], is_engine_down[HOSTS], is_redis_away;
    bool is_kind; /* all commands succeed */
    FILE *journal;
    uint64_t part;
    int64_t wall_ms;
    char path[64];
    size_t decisions, forgotten;
    struct settings settings;
} world;

static uint32_t draw(uint32_t below)
{
    world.random ^= world.random << 13;
    world.random ^= world.random >> 7;
    world.random ^= world.random << 17;
    return (uint32_t)(world.random >> 33) % below;
}

static struct wall now_wall(void)
{
    return (struct wall){world.wall_ms + fleet.ms};
}

/* ---- the world's answers ---- */

static void later(struct pending pending)
{
    pending.at = fleet.ms + 1 + draw(40);
    for (size_t i = 0; i < QUEUE; i++) {
        if (world.queue[i].kind == NOTHING) {
            world.queue[i] = pending;
            return;
        }
    }
    fail();
}

static struct box *find_box(const char *name)
{
    for (size_t i = 0; i < BOXES; i++) {
        if (strcmp(world.boxes[i].name, name) == 0) {
            return &world.boxes[i];
        }
    }
    return NULL;
}

static void write_document(const char *text)
{
    fprintf(world.journal, "%lld-0\ndata\n%s\n", (long long)now_wall().ms, text);
}

static void take_action(const struct action *action)
{
    struct pending pending = {.token = action->token};
    snprintf(pending.name, sizeof pending.name, "%s", action->container);
    size_t len;
    switch (action->kind) {
    case ACTION_READ_KEY:
        pending.kind = READ;
        later(pending);
        break;
    case ACTION_STORE:
        pending.kind = STORED;
        later(pending);
        break;
    case ACTION_SEND:
    case ACTION_ASK:
        pending.kind = ANSWERED;
        pending.command = *action->command;
        later(pending);
        break;
    case ACTION_ALERT: {
        cleanup_free char *text = alert_encode(action->alert, &len);
        if (action->alert->type != ALERT_HEALTH_SUMMARY) {
            write_document(text);
        }
        break;
    }
    case ACTION_RECORD: {
        cleanup_free char *text = event_record_encode(action->record, &len);
        world.decisions += strcmp(action->record->kind, "decision") == 0;
        write_document(text);
        break;
    }
    case ACTION_INPUT:
        fprintf(world.journal,
                "{\"kind\":\"inputs\",\"run\":\"r\",\"part\":%llu,\"seq\":1,\"inputs\":[%s]}\n",
                (unsigned long long)++world.part, action->text);
        break;
    case ACTION_LOG:
    case ACTION_FORGET:
        break;
    }
}

static void drain_actions(void)
{
    const struct action *action;
    while ((action = decider_next_action(fleet.decider)) != NULL) {
        take_action(action);
    }
}

/* ---- what agents and services say ---- */

static struct heartbeat word_of(struct box *box)
{
    struct heartbeat beat;
    heartbeat_init(&beat);
    snprintf(beat.service, sizeof beat.service, "%s", box->name);
    snprintf(beat.instance_id, sizeof beat.instance_id, "1");
    snprintf(beat.source, sizeof beat.source, "agent");
    snprintf(beat.host, sizeof beat.host, "h%d", box->host);
    snprintf(beat.container, sizeof beat.container, "%s", box->name);
    snprintf(beat.container_id, sizeof beat.container_id, "id-%s-%d", box->name, box->recreated);
    snprintf(beat.incarnation, sizeof beat.incarnation, "start-%d", box->starts);
    snprintf(beat.agent, sizeof beat.agent, "agent-%d-%d", box->host, world.agents[box->host]);
    snprintf(beat.last_command, sizeof beat.last_command, "%s", box->last_command);
    beat.last_command_code = box->last_command[0] != '\0' ? ANSWER_OK : ANSWER_UNKNOWN;
    beat.seq = ++world.seq[box->host];
    beat.state = box->state;
    beat.health = HEALTH_NONE;
    beat.status = box->state == CONTAINER_RUNNING ? box->status : BEAT_UNHEALTHY;
    beat.stop_class = box->state == CONTAINER_RUNNING ? STOP_NONE : box->stop_class;
    beat.restart_count = 0;
    beat.timestamp.ms = now_wall().ms / 1000 * 1000;
    beat.started_at.ms = (world.wall_ms + box->started_ms) / 1000 * 1000;
    beat.has_exit_code = box->state != CONTAINER_RUNNING;
    beat.exit_code = beat.has_exit_code ? 137 : 0;
    return beat;
}

static void say(struct box *box)
{
    if (world.is_redis_away || world.is_host_off[box->host]) {
        return;
    }
    struct heartbeat beat = word_of(box);
    decider_observe_beat(fleet.decider, &beat, (struct mono){fleet.ms}, now_wall());
    drain_actions();
}

static void serve(struct box *box)
{
    if (world.is_redis_away || box->is_mute || box->state != CONTAINER_RUNNING) {
        return;
    }
    struct heartbeat beat;
    heartbeat_init(&beat);
    snprintf(beat.service, sizeof beat.service, "%s", box->name);
    snprintf(beat.instance_id, sizeof beat.instance_id, "1");
    beat.status = box->status;
    beat.timestamp = now_wall();
    decider_observe_beat(fleet.decider, &beat, (struct mono){fleet.ms}, now_wall());
    drain_actions();
}

static void kill_box(struct box *box);

static void register_host(int host, enum path path)
{
    struct registration registration;
    registration_init(&registration);
    snprintf(registration.host, sizeof registration.host, "h%d", host);
    snprintf(registration.agent, sizeof registration.agent, "agent-%d-%d", host, world.agents[host]);
    registration.change = world.change[host];
    registration.seq = ++world.seq[host];
    registration.is_engine_up = !world.is_engine_down[host];
    registration.entries = calloc(BOXES, sizeof *registration.entries);
    for (size_t i = 0; i < BOXES; i++) {
        struct registration_entry *entry = &registration.entries[registration.count];
        if (world.boxes[i].host == host) {
            entry->beat = word_of(&world.boxes[i]);
            container_spec_init(&entry->spec);
            entry->spec.is_app_beating = world.boxes[i].is_service_beating;
            registration.count++;
        }
    }
    if (!world.is_kind && draw(6) == 0) {
        kill_box(&world.boxes[draw(BOXES)]); /* its beat overtakes the inventory */
    }
    decider_observe_registration(fleet.decider, &registration, path, (struct mono){fleet.ms}, now_wall());
    free(registration.entries);
    drain_actions();
}

static void speak(int host, enum path path)
{
    char name[8], agent[32];
    snprintf(name, sizeof name, "h%d", host);
    snprintf(agent, sizeof agent, "agent-%d-%d", host, world.agents[host]);
    bool is_cut = world.is_host_off[host] || (path == PATH_REDIS && world.is_redis_away);
    if (!is_cut && !decider_observe_unchanged(fleet.decider, name, agent, world.change[host], path,
                                              (struct mono){fleet.ms})) {
        register_host(host, path);
    }
    drain_actions();
}

/* ---- time ---- */

static void start_box(struct box *box)
{
    box->state = CONTAINER_RUNNING;
    box->status = !world.is_kind && draw(3) == 0 ? BEAT_STARTING : BEAT_HEALTHY;
    box->starts++;
    box->started_ms = fleet.ms;
    world.change[box->host]++;
}

static void answer(const struct pending *pending)
{
    struct answer answer;
    answer_init(&answer);
    answer.id = pending->command.id;
    struct box *box = find_box(pending->command.container);
    uint32_t chance = world.is_kind ? 9 : draw(10);
    if (chance == 0 || world.is_host_off[box->host]) {
        decider_answered(fleet.decider, &answer.id, chance == 1 ? -ECONNREFUSED : -ETIMEDOUT, NULL,
                         (struct mono){fleet.ms}, now_wall());
        return;
    }
    bool is_send = pending->command.op != OP_OUTCOME;
    answer.code = is_send ? ANSWER_ACCEPTED : chance == 2 ? ANSWER_DOCKER_ERROR : ANSWER_OK;
    if (answer.code == ANSWER_OK && chance > 4) {
        command_id_format(&answer.id, box->last_command);
        start_box(box);
    }
    decider_answered(fleet.decider, &answer.id, 0, &answer, (struct mono){fleet.ms}, now_wall());
}

static void happen(const struct pending *pending)
{
    struct mono now = {fleet.ms};
    if (pending->kind == READ) {
        const struct box *box = find_box(pending->name);
        bool is_there = box != NULL && box->state == CONTAINER_RUNNING && !box->is_mute;
        decider_key_read(fleet.decider, pending->name,
                         world.is_redis_away ? KEY_UNREADABLE
                         : is_there          ? KEY_PRESENT
                                             : KEY_ABSENT,
                         now, now_wall());
    } else if (pending->kind == STORED) {
        decider_stored(fleet.decider, pending->name, pending->token,
                       world.is_kind || draw(12) != 0 ? STORED_IN_REDIS : STORED_NOWHERE, now, now_wall());
    } else {
        answer(pending);
    }
    drain_actions();
}

static void beat_all(void)
{
    for (size_t i = 0; i < BOXES; i++) {
        struct box *box = &world.boxes[i];
        if (fleet.ms - box->beat_at < 10000) {
            continue;
        }
        box->beat_at = fleet.ms;
        if (box->is_service_beating) {
            serve(box);
        } else if (box->state == CONTAINER_RUNNING) {
            say(box);
        }
    }
    for (int host = 0; host < HOSTS; host++) {
        if (fleet.ms - world.registered_at[host] >= 10000) {
            world.registered_at[host] = fleet.ms;
            speak(host, PATH_REDIS);
        }
        if (fleet.ms - world.pinged_at[host] >= 7000) {
            world.pinged_at[host] = fleet.ms;
            speak(host, PATH_RPC);
        }
    }
}

/* As the loop does it: ticks come a little late. */
static void live(int64_t ms)
{
    static int64_t late;
    for (int64_t end = fleet.ms + ms; fleet.ms < end; fleet.ms++) {
        beat_all();
        for (size_t i = 0; i < QUEUE; i++) {
            if (world.queue[i].kind != NOTHING && world.queue[i].at <= fleet.ms) {
                struct pending pending = world.queue[i];
                world.queue[i].kind = NOTHING;
                happen(&pending);
            }
        }
        if (decider_wake_at(fleet.decider).ms + late <= fleet.ms) {
            decider_tick(fleet.decider, (struct mono){fleet.ms}, now_wall());
            drain_actions();
            late = draw(4);
        }
    }
}

/* ---- what may happen ---- */

static void kill_box(struct box *box)
{
    static const enum stop_class classes[] = {STOP_KILLED, STOP_CRASH, STOP_OPERATOR, STOP_OOM};
    if (box->state == CONTAINER_RUNNING) {
        box->state = CONTAINER_EXITED;
        box->stop_class = classes[draw(4)];
        world.change[box->host]++;
        say(box);
    }
}

/* An operator does so where it is lost. */
static void forget_host(int host)
{
    char name[8];
    snprintf(name, sizeof name, "h%d", host);
    world.forgotten += decider_forget_host(fleet.decider, name, (struct mono){fleet.ms}, now_wall());
    drain_actions();
}

static void do_something(void)
{
    struct box *box = &world.boxes[draw(BOXES)];
    int host = (int)draw(HOSTS);
    struct mono now = {fleet.ms};
    static const enum beat_status statuses[] = {BEAT_HEALTHY, BEAT_HEALTHY, BEAT_DEGRADED, BEAT_UNHEALTHY,
                                                BEAT_STOPPING};
    switch (draw(17)) {
    case 16:
        forget_host(host);
        break;
    case 0:
    case 1:
    case 2:
        kill_box(box);
        break;
    case 3:
        if (box->state != CONTAINER_RUNNING) {
            start_box(box);
            say(box);
        }
        break;
    case 4:
    case 5:
        box->status = statuses[draw(5)];
        world.change[box->host]++;
        break;
    case 6:
        box->is_mute = !box->is_mute;
        break;
    case 7:
        world.is_host_off[host] = !world.is_host_off[host];
        break;
    case 8:
        world.is_redis_away = !world.is_redis_away;
        decider_redis(fleet.decider,
                      world.is_redis_away ? REDIS_AWAY
                      : draw(2)           ? REDIS_BACK
                                          : REDIS_BACK_AMNESIC,
                      now, now_wall());
        drain_actions();
        break;
    case 9:
        decider_hold(fleet.decider, "container", box->name, draw(2),
                     (struct wall){draw(2) ? 0 : now_wall().ms + 30000}, now, now_wall());
        drain_actions();
        break;
    case 10:
        decider_state_reset(fleet.decider, box->name, now, now_wall());
        drain_actions();
        break;
    case 11:
        world.agents[host]++;
        world.change[host] = 1;
        world.seq[host] = 0;
        register_host(host, PATH_REDIS);
        break;
    case 12:
        box->recreated++;
        box->last_command[0] = '\0';
        start_box(box);
        break;
    case 13:
        fleet.ms += draw(3) == 0 ? 5000 : 0; /* the loop stood still */
        break;
    case 14:
        world.wall_ms += draw(3) == 0 ? 3600000 : 0;
        break;
    default:
        world.is_engine_down[host] = !world.is_engine_down[host];
        world.change[host]++;
        break;
    }
}

/* ---- the test ---- */

static const char *look_up_recorded(void *arg, const char *name)
{
    static const char *const pairs[][2] = {{"RESTART_ALLOW_SERVICES", "*"}, {"RESTART_DENY_SERVICES", "b6"}};
    (void)arg;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        if (strcmp(pairs[i][0], name) == 0) {
            return pairs[i][1];
        }
    }
    return NULL;
}

static const char *look_up_nothing(void *arg, const char *name)
{
    (void)arg;
    (void)name;
    return NULL;
}

static void begin(uint64_t seed, bool is_kind)
{
    settings_free(&world.settings);
    memset(&world, 0, sizeof world);
    world.is_kind = is_kind;
    world.random = seed * 0x9e3779b97f4a7c15u + 1;
    world.wall_ms = 1790000000000;
    snprintf(world.path, sizeof world.path, "/tmp/defib-replay-%d", (int)getpid());
    world.journal = fopen(world.path, "w");
    fleet_settings("*", "b6");
    struct err err = {0};
    assert_int_equal(settings_load(SETTINGS_CONTROLLER, look_up_recorded, NULL, &world.settings, &err), 0);
    policy_settings_fill(&world.settings, &fleet.config);
    cleanup_free char *recorded = policy_settings_to_json(&world.settings);
    uint64_t seeds[2] = {seed, seed * 3};
    fleet.decider = decider_new(&fleet.config, seeds, (struct mono){fleet.ms});
    decider_record(fleet.decider, recorded, (struct mono){fleet.ms}, now_wall());
    decider_redis(fleet.decider, REDIS_BACK, (struct mono){fleet.ms}, now_wall());
    drain_actions();
    for (size_t i = 0; i < BOXES; i++) {
        struct box *box = &world.boxes[i];
        snprintf(box->name, sizeof box->name, "b%zu", i);
        box->host = (int)i % HOSTS;
        box->is_service_beating = i % 3 == 0;
        box->beat_at = (int64_t)i * -1000;
        start_box(box);
    }
}

static void replay(config_lookup lookup, void *arg, char **text, size_t *len)
{
    struct err err = {0};
    FILE *out = open_memstream(text, len);
    int result = replay_run(world.path, lookup, arg, out, &err);
    fclose(out);
    if (result != 0) {
        fail_msg("%s", err.text);
    }
}

static int64_t seconds_at(const char *line, const char *before)
{
    int hour, minute, second;
    const char *at = strstr(line, before);
    at = at == NULL ? NULL : strchr(at, 'T');
    if (at == NULL || sscanf(at, "T%d:%d:%d", &hour, &minute, &second) != 3) {
        fail_msg("%.200s", line);
    }
    return hour * 3600 + minute * 60 + second;
}

/* "- TIME NAME: UP -> DOWN …" and then "+ TIME NAME: STARTING -> DOWN …": nothing else differs. */
static bool is_other_way_of_dying(const char *line)
{
    static const char WAS[] = ": UP -> DOWN ", IS[] = ": STARTING -> DOWN ";
    const char *was = strstr(line, WAS), *was_end = strchr(line, '\n');
    const char *now = was_end + 1, *is = strstr(now, IS), *is_end = strchr(now, '\n');
    return line[0] == '-' && now[0] == '+' && was != NULL && was < was_end && is != NULL && is < is_end &&
           was - line == is - now && memcmp(line + 1, now + 1, (size_t)(was - line) - 1) == 0 &&
           was_end - was - (ptrdiff_t)strlen(WAS) == is_end - is - (ptrdiff_t)strlen(IS) &&
           memcmp(was + strlen(WAS), is + strlen(IS), (size_t)(was_end - was) - strlen(WAS)) == 0;
}

/* The same deeds, and none further off than a check: when a beat that changed nothing came is not recorded,
 * and so neither is whether one that just began to be well was already well when it died. */
static bool is_same_within_a_check(const char *difference)
{
    for (const char *line = strchr(difference + 1, '\n') + 1; *line != '\0'; line = strchr(line, '\n') + 1) {
        if (is_other_way_of_dying(line)) {
            line = strchr(line, '\n') + 1;
            continue;
        }
        bool is_moved =
            line[0] == '~' && llabs(seconds_at(line, "~ ") - seconds_at(line, "would have been at")) <= 15;
        if (line[0] != ' ' && !is_moved) {
            return false;
        }
    }
    return true;
}

/* Ends the journal and replays it: as it was lived. What the replay printed, given. */
static char *expect_the_same(const char *what, uint64_t which)
{
    fclose(world.journal);
    char *text = NULL;
    size_t len;
    replay(look_up_nothing, NULL, &text, &len);
    const char *difference = strstr(text, "\nDifference");
    assert_non_null(difference);
    if (!is_same_within_a_check(difference)) {
        print_error("%.3000s\n", difference);
        fail_msg("%s %llu: the replay differs, %s", what, (unsigned long long)which, world.path);
    }
    return text;
}

static size_t decides_the_same(uint64_t seed)
{
    begin(seed, false);
    for (int step = 0; step < STEPS; step++) {
        do_something();
        live(draw(8) == 0 ? 60000 : draw(4000));
    }
    free(expect_the_same("seed", seed));
    unlink(world.path);
    return world.decisions;
}

static void any_history_decides_the_same_again(void **state)
{
    (void)state;
    const char *first = getenv("SEED");
    uint64_t seed = first != NULL ? strtoull(first, NULL, 10) : 1;
    size_t decisions = 0, forgotten = 0;
    for (uint64_t end = seed + (first != NULL ? 1 : 60); seed < end; seed++) {
        decisions += decides_the_same(seed);
        forgotten += world.forgotten;
    }
    assert_true(first != NULL || (decisions > 1000 && forgotten > 20));
    fleet_end();
}

static int count_in(const char *text, const char *part)
{
    int count = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at++) {
        count++;
    }
    return count;
}

static void die(struct box *box)
{
    box->state = CONTAINER_EXITED;
    box->stop_class = STOP_KILLED;
    world.change[box->host]++;
    say(box);
}

/* A host that is lost, forgotten, and back after all: what died on it meanwhile, or dies there then, is
 * healed. */
static void a_forgotten_host_decides_the_same_again(void **state)
{
    (void)state;
    for (int pass = 0; pass < 4; pass++) {
        begin(7, true);
        live(70000);
        world.is_host_off[1] = true;
        live(20000);
        if (pass & 1) {
            die(&world.boxes[3]); /* its service beats for itself */
        }
        live(40000);
        forget_host(1);
        assert_int_equal(world.forgotten, 1);
        live(pass & 2 ? 200000 : 5000);
        world.is_host_off[1] = false;
        live(60000);
        die(&world.boxes[1]);
        live(60000);
        cleanup_free char *text = expect_the_same("pass", (uint64_t)pass);
        assert_int_equal(count_in(text, "AGENT_LOST"), 1);
        assert_int_equal(count_in(text, "AGENT_RECOVERED"), 1);
        assert_int_equal(count_in(text, "b1: start, attempt 1"), 1);
        unlink(world.path);
    }
    fleet_end();
}

/* ---- other settings ---- */

static const char *look_up_pair(void *arg, const char *name)
{
    const char *const *pair = arg;
    return strcmp(pair[0], name) == 0 ? pair[1] : NULL;
}

/* b1 dies three times; each time it is started, and stays up for a minute. */
static void record_three_deaths(void)
{
    begin(7, true);
    live(70000);
    for (int death = 0; death < 3; death++) {
        die(&world.boxes[1]);
        live(60000);
    }
    live(60000);
    fclose(world.journal);
}

static void other_settings_decide_otherwise(void **state)
{
    (void)state;
    record_three_deaths();
    static const struct {
        const char *name, *value;
        int starts, lost, gained; /* attempts in all; lines of the difference that tell of attempts */
        const char *says;
    } cases[] = {
        {"ALERT_REPEAT_SECS", "601", 3, 0, 0, "  none\n"},
        {"MAX_RESTART_ATTEMPTS", "1", 1, 2, 0, "b1: alert SERVICE_RESTART_FAILED max_attempts_exhausted"},
        {"MAX_RESTART_ATTEMPTS", "0", 0, 3, 0, "b1: alert SERVICE_RESTART_FAILED max_attempts_exhausted"},
        {"RESTART_DENY_SERVICES", "b1", 0, 3, 0, "b1: alert SERVICE_RESTART_FAILED deny_list"},
        {"RESTART_ALLOW_SERVICES", "b2", 0, 3, 0, "b1: alert SERVICE_RESTART_FAILED not_in_allowlist"},
        {"SUPERVISOR_ENABLED", "false", 0, 3, 0, "held back by gate enabled"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *pair[] = {cases[i].name, cases[i].value};
        cleanup_free char *text = NULL;
        size_t len;
        replay(look_up_pair, pair, &text, &len);
        char *difference = strstr(text, "\nDifference");
        assert_non_null(difference);
        *difference++ = '\0';
        if (count_in(text, "b1: start, attempt") != cases[i].starts ||
            strstr(difference, cases[i].says) == NULL) {
            fail_msg("%s=%s: %.3000s\n%.3000s", pair[0], pair[1], text, difference);
        }
        assert_int_equal(count_in(difference, "b1: start, attempt"), cases[i].lost + cases[i].gained);
        assert_non_null(strstr(text, pair[0]));
    }
    unlink(world.path);
    fleet_end();
}

/* What follows a start follows it wherever it is: each later attempt comes later, and the deaths behind it
 * too. */
static void a_longer_backoff_moves_what_follows(void **state)
{
    (void)state;
    record_three_deaths();
    const char *pair[] = {"RESTART_BACKOFF_SECS", "100"};
    cleanup_free char *text = NULL;
    size_t len;
    replay(look_up_pair, pair, &text, &len);
    assert_non_null(strstr(text, "RESTART_BACKOFF_SECS=100, was 5,15,45"));
    assert_null(strstr(text, "in the midst of a run")); /* but with its controller */
    assert_int_equal(count_in(text, "~ 2026-09-21T14:15:37Z b1: start, attempt 2"), 1);
    unlink(world.path);
    fleet_end();
}

/* ---- journals that cannot be read ---- */

static void names_the_line_and_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "holds no start of a controller: nothing can be replayed"},
        {"hello\n", "line 1: \"hello\" is no JSON document"},
        {"1-0\ndata\n{\"kind\":\"decision\"\n", "line 3: document: "},
        {"{\"a\":1}\n", "line 1: it is no document of health:events"},
        {"\n{\"kind\":\"inputs\",\"part\":1,\"inputs\":[]}\n", "line 2: run is missing"},
        {"{\"kind\":\"inputs\",\"run\":\"r\",\"inputs\":[]}\n",
         "line 1: part is missing, wanted a whole number"},
        {"{\"kind\":\"inputs\",\"run\":\"r\",\"part\":1}\n", "line 1: inputs is missing, wanted a list"},
        {"{\"kind\":\"inputs\",\"run\":\"r\",\"part\":1,\"inputs\":[{\"input\":\"odd\"}]}\n",
         "line 1: input 1: input is \"odd\", wanted a kind that is known"},
        {"{\"kind\":\"inputs\",\"run\":\"r\",\"part\":1,\"inputs\":[{\"input\":\"redis\",\"at\":1,\"wall\":1}"
         "]}\n",
         "line 1: input 1: redis: value is missing, wanted a whole number"},
        {"{\"kind\":\"inputs\",\"run\":\"r\",\"part\":1,\"inputs\":[{\"input\":\"start\",\"at\":-1,\"wall\":"
         "1}]}\n",
         "line 1: input 1: at is "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(world.path, sizeof world.path, "/tmp/defib-replay-%d", (int)getpid());
        FILE *file = fopen(world.path, "w");
        fputs(cases[i].text, file);
        fclose(file);
        struct err err = {0};
        assert_int_equal(replay_run(world.path, look_up_nothing, NULL, stdout, &err), -EINVAL);
        if (strstr(err.text, cases[i].says) == NULL || strstr(err.text, world.path) != err.text) {
            fail_msg("%s: %s", cases[i].text, err.text);
        }
    }
    unlink(world.path);
    struct err err = {0};
    assert_int_equal(replay_run(world.path, look_up_nothing, NULL, stdout, &err), -ENOENT);
    assert_non_null(strstr(err.text, "No such file"));
}

/* What is before a start, or behind a gap, was decided from what nobody knows. */
static void leaves_out_what_has_no_beginning(void **state)
{
    (void)state;
    record_three_deaths();
    char command[512]; /* without the last death */
    snprintf(command, sizeof command,
             "sed -i \"$(grep -n 'inputs.*\"exited\"' %s | tail -n 1 | cut -d: -f1)d\" %s", world.path,
             world.path);
    assert_int_equal(system(command), 0);
    cleanup_free char *text = NULL;
    size_t len;
    replay(look_up_nothing, NULL, &text, &len);
    assert_non_null(strstr(text, "lie outside of what was recorded"));
    assert_non_null(strstr(text, "\n  none\n"));
    unlink(world.path);
    fleet_end();
}

/* ---- from the middle of a run ---- */

static void begin_anew(void)
{
    cleanup_free char *recorded = policy_settings_to_json(&world.settings);
    decider_record(fleet.decider, recorded, (struct mono){fleet.ms}, now_wall());
    drain_actions();
}

/* As a stream is trimmed: the oldest documents are gone, up to `share` of those before `middle`. */
static void cut_beginning(long middle, double share)
{
    char cut[sizeof world.path + 8];
    snprintf(cut, sizeof cut, "%s.cut", world.path);
    FILE *in = fopen(world.path, "r"), *out = fopen(cut, "w");
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, in) > 0) {
        if ((double)ftell(in) > share * (double)middle) {
            fputs(line, out);
        }
    }
    free(line);
    fclose(in);
    fclose(out);
    assert_int_equal(rename(cut, world.path), 0);
}

/* What was so already is told once more, as by a new controller, and within moments; nothing else, and
 * nothing is missing. */
static bool is_only_told_again(const char *difference, struct wall begun)
{
    char by[TIMESTAMP_SIZE];
    timestamp_format_ms((struct wall){begun.ms + 15000}, by);
    for (const char *line = strchr(difference + 1, '\n') + 1; *line != '\0'; line = strchr(line, '\n') + 1) {
        bool is_early = strncmp(line + 2, by, 19) <= 0;
        if (line[0] != ' ' && (line[0] == '-' || !is_early)) {
            return false;
        }
    }
    return true;
}

/* The start that is written in the midst of a run holds what was used of the budgets, who is held, and what
 * was announced and is to be closed: b1 has one attempt behind it, b2 is held, and b6, which is denied, was
 * told of. */
static void a_run_is_taken_up_in_its_middle(void **state)
{
    (void)state;
    static const double shares[] = {0.2, 0.9, 1};
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        begin(7, true);
        live(70000);
        die(&world.boxes[1]);
        die(&world.boxes[6]);
        live(60000);
        decider_hold(fleet.decider, "container", "b2", true, (struct wall){0}, (struct mono){fleet.ms},
                     now_wall());
        live(30000);
        start_box(&world.boxes[6]);
        live(1000);
        fflush(world.journal);
        long middle = ftell(world.journal);
        struct wall begun = now_wall();
        begin_anew();
        live(30000);
        die(&world.boxes[2]);
        for (int death = 0; death < 2; death++) {
            live(60000);
            die(&world.boxes[1]);
        }
        live(90000);
        fclose(world.journal);
        cut_beginning(middle, shares[i]);
        cleanup_free char *text = NULL;
        size_t len;
        replay(look_up_nothing, NULL, &text, &len);
        char *difference = strstr(text, "\nDifference");
        assert_non_null(difference);
        if (!is_only_told_again(difference, begun)) {
            fail_msg("%.3000s", difference);
        }
        assert_int_equal(shares[i] < 1, strstr(text, "lie outside of what was recorded") != NULL);
        assert_int_equal(1, count_in(text, "it begins in the midst of a run"));
        *difference = '\0';
        assert_int_equal(count_in(text, "b1: start, attempt 1"), 0); /* before it */
        assert_int_equal(count_in(text, "b1: start, attempt 2"), 1);
        assert_int_equal(count_in(text, "b1: start, attempt 3"), 1);
        assert_int_equal(count_in(text, "b2: start"), 0);
        assert_int_equal(count_in(text, "b6: alert SERVICE_RECOVERED"), 1);
        unlink(world.path);
    }
    fleet_end();
}

/* With other settings, too: one attempt was all, and it was used before the journal begins. */
static void a_budget_used_before_its_beginning_counts(void **state)
{
    (void)state;
    begin(7, true);
    live(70000);
    die(&world.boxes[1]);
    live(60000);
    fflush(world.journal);
    long middle = ftell(world.journal);
    begin_anew();
    live(30000);
    die(&world.boxes[1]);
    live(90000);
    fclose(world.journal);
    cut_beginning(middle, 1);
    const char *pair[] = {"MAX_RESTART_ATTEMPTS", "1"};
    cleanup_free char *text = NULL;
    size_t len;
    replay(look_up_pair, pair, &text, &len);
    char *difference = strstr(text, "\nDifference");
    assert_non_null(difference);
    assert_int_equal(count_in(difference, "\n+ "), 2); /* COOLDOWN, and the alert of it */
    assert_int_equal(count_in(difference, "b1: start, attempt 2"), 1);
    assert_non_null(strstr(difference, "b1: alert SERVICE_RESTART_FAILED max_attempts_exhausted"));
    unlink(world.path);
    fleet_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_history_decides_the_same_again),
        cmocka_unit_test(a_forgotten_host_decides_the_same_again),
        cmocka_unit_test(other_settings_decide_otherwise),
        cmocka_unit_test(a_longer_backoff_moves_what_follows),
        cmocka_unit_test(names_the_line_and_what_is_wrong),
        cmocka_unit_test(leaves_out_what_has_no_beginning),
        cmocka_unit_test(a_run_is_taken_up_in_its_middle),
        cmocka_unit_test(a_budget_used_before_its_beginning_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
