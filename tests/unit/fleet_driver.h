/*
 * A decider with a played shell round it, under virtual time: for the decider's tests. One fleet at a time.
 */
#ifndef DEFIB_TESTS_FLEET_DRIVER_H
#define DEFIB_TESTS_FLEET_DRIVER_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/core/decider.h"

enum { FLEET_LINES = 4096, FLEET_ALERTS = 512 };

struct fleet {
    struct policy_config config;
    struct name_patterns allow, deny;
    struct decider *decider;
    int64_t ms;
    uint64_t seq, change;
    /* how the played world answers */
    bool is_store_failing, is_silent; /* no answer to SEND and ASK */
    enum stored_in stored_in;
    bool is_key_silent;                   /* nor to READ_KEY */
    int send_status;                      /* else of a SEND: -ECONNREFUSED … */
    enum answer_code send_code, ask_code; /* ANSWER_ACCEPTED, ANSWER_OK by default */
    enum key_finding key;                 /* of every ACTION_READ_KEY */
    /* what was seen */
    int sends, asks, forgets, stores;
    struct command last;
    struct restart_state stored; /* of the last ACTION_STORE, without extras */
    char stored_name[LIMIT_NAME_SIZE];
    bool was_stored_before_send;
    char *lines[FLEET_LINES];
    size_t line_count;
    struct alert alerts[FLEET_ALERTS];
    size_t alert_count;
    int transitions;            /* told on the stream */
    struct event_record record; /* the last of any kind */
};

static struct fleet fleet;

static inline struct mono fleet_now(void)
{
    return (struct mono){fleet.ms};
}

static inline struct wall fleet_wall(void)
{
    return (struct wall){1790000000000LL + fleet.ms};
}

static inline void fleet_answer(const struct command *command, int status, enum answer_code code)
{
    struct answer answer;
    answer_init(&answer);
    answer.id = command->id;
    answer.code = code;
    decider_answered(fleet.decider, &command->id, status, status == 0 ? &answer : NULL, fleet_now(),
                     fleet_wall());
}

static inline void fleet_perform(const struct action *action)
{
    char name[LIMIT_NAME_SIZE];
    snprintf(name, sizeof name, "%s", action->container);
    uint64_t token = action->token;
    struct command command = {.op = OP_UNKNOWN};
    if (action->command != NULL) {
        command = *action->command;
    }
    switch (action->kind) {
    case ACTION_READ_KEY:
        if (!fleet.is_key_silent) {
            decider_key_read(fleet.decider, name, fleet.key, fleet_now(), fleet_wall());
        }
        break;
    case ACTION_LOG:
        if (fleet.line_count < FLEET_LINES) {
            fleet.lines[fleet.line_count++] = strdup(action->text);
        }
        break;
    case ACTION_STORE:
        fleet.stores++;
        fleet.stored = *action->state;
        fleet.stored.extra = NULL;
        snprintf(fleet.stored_name, sizeof fleet.stored_name, "%s", name);
        enum stored_in where = fleet.is_store_failing ? STORED_NOWHERE : fleet.stored_in;
        decider_stored(fleet.decider, name, token, where, fleet_now(), fleet_wall());
        break;
    case ACTION_FORGET:
        fleet.forgets++;
        if (strcmp(name, fleet.stored_name) == 0) {
            restart_state_init(&fleet.stored);
        }
        break;
    case ACTION_SEND: {
        char id[LIMIT_COMMAND_ID_SIZE];
        command_id_format(&command.id, id);
        fleet.was_stored_before_send = fleet.stored.is_in_flight &&
                                       strcmp(fleet.stored.command_id, id) == 0 &&
                                       fleet.stored.attempt_count == command.attempt;
        fleet.sends++;
        fleet.last = command;
        if (!fleet.is_silent) {
            fleet_answer(&command, fleet.send_status, fleet.send_code);
        }
        break;
    }
    case ACTION_ASK:
        fleet.asks++;
        if (!fleet.is_silent) {
            fleet_answer(&command, 0, fleet.ask_code);
        }
        break;
    case ACTION_ALERT:
        if (action->alert->type != ALERT_HEALTH_SUMMARY && fleet.alert_count < FLEET_ALERTS) {
            fleet.alerts[fleet.alert_count++] = *action->alert;
        }
        break;
    case ACTION_RECORD:
        fleet.transitions += strcmp(action->record->kind, "transition") == 0;
        fleet.record = *action->record;
        break;
    case ACTION_INPUT:
        break;
    }
}

static inline void fleet_drain(void)
{
    const struct action *action;
    while ((action = decider_next_action(fleet.decider)) != NULL) {
        fleet_perform(action);
    }
}

static inline void fleet_run(int64_t ms)
{
    int64_t end = fleet.ms + ms;
    for (;;) {
        int64_t wake = decider_wake_at(fleet.decider).ms;
        if (wake > end) {
            break;
        }
        fleet.ms = wake > fleet.ms ? wake : fleet.ms;
        decider_tick(fleet.decider, fleet_now(), fleet_wall());
        fleet_drain();
        if (decider_wake_at(fleet.decider).ms <= fleet.ms) {
            fleet.ms++;
        }
    }
    fleet.ms = end;
    decider_tick(fleet.decider, fleet_now(), fleet_wall());
    fleet_drain();
}

static inline void fleet_end(void)
{
    decider_free(fleet.decider);
    name_patterns_free(&fleet.allow);
    name_patterns_free(&fleet.deny);
    for (size_t i = 0; i < fleet.line_count; i++) {
        free(fleet.lines[i]);
    }
    memset(&fleet, 0, sizeof fleet);
}

/* The runbook's settings; Redis is up. Change fleet.config before fleet_begin_decider for others. */
static inline void fleet_settings(const char *allow, const char *deny)
{
    fleet_end();
    struct err err;
    if (name_patterns_parse(allow, &fleet.allow, &err) != 0 ||
        name_patterns_parse(deny, &fleet.deny, &err) != 0) {
        abort();
    }
    fleet.config = (struct policy_config){
        .is_enabled = true,
        .max_attempts = 3,
        .backoff_ms = {5000, 15000, 45000},
        .backoff_count = 3,
        .cooldown_ms = 600000,
        .heartbeat_ttl_ms = 35000,
        .miss_threshold = 3,
        .unhealthy_threshold = 3,
        .check_interval_ms = 15000,
        .fast_check_ms = 2000,
        .start_grace_ms = 60000,
        .start_deadline_ms = 300000,
        .stop_settle_ms = 2000,
        .intent_settle_ms = 15000,
        .stable_ms = 600000,
        .jitter_pct = 20,
        .docker_policy_grace_ms = 90000,
        .stop_timeout_ms = 10000,
        .max_per_host = 1,
        .max_fleet = 3,
        .breaker_fraction = 0.4,
        .breaker_min = 3,
        .agent_lost_ms = 35000,
        .settle_ms = 45000,
        .alert_repeat_ms = 600000,
        .allow = &fleet.allow,
        .deny = &fleet.deny,
    };
    fleet.ms = 1000;
    fleet.send_code = ANSWER_ACCEPTED;
    fleet.ask_code = ANSWER_OK;
    fleet.key = KEY_ABSENT;
    fleet.stored_in = STORED_IN_REDIS;
}

static inline void fleet_begin_decider(void)
{
    static const uint64_t SEED[2] = {1, 2};
    fleet.decider = decider_new(&fleet.config, SEED, fleet_now());
    decider_redis(fleet.decider, REDIS_BACK, fleet_now(), fleet_wall());
    fleet_drain();
}

static inline void fleet_begin(const char *allow, const char *deny)
{
    fleet_settings(allow, deny);
    fleet_begin_decider();
}

/* What an agent says of a container. */
static inline struct heartbeat fleet_word(const char *host, const char *name, enum container_state state,
                                          const char *incarnation)
{
    struct heartbeat beat;
    heartbeat_init(&beat);
    bool is_running = state == CONTAINER_RUNNING;
    snprintf(beat.service, sizeof beat.service, "%.255s", name);
    snprintf(beat.instance_id, sizeof beat.instance_id, "1");
    snprintf(beat.source, sizeof beat.source, "agent");
    snprintf(beat.host, sizeof beat.host, "%.255s", host);
    snprintf(beat.container, sizeof beat.container, "%.255s", name);
    snprintf(beat.container_id, sizeof beat.container_id, "id-of-%.40s", name);
    snprintf(beat.incarnation, sizeof beat.incarnation, "%s", incarnation);
    snprintf(beat.agent, sizeof beat.agent, "agent-of-%.16s", host);
    beat.seq = ++fleet.seq;
    beat.state = state;
    beat.health = HEALTH_NONE;
    beat.status = is_running ? BEAT_HEALTHY : BEAT_UNHEALTHY;
    beat.stop_class = is_running ? STOP_NONE : STOP_KILLED;
    beat.restart_count = 0;
    beat.timestamp = fleet_wall();
    beat.has_exit_code = !is_running;
    beat.exit_code = is_running ? 0 : 137;
    return beat;
}

static inline void fleet_beat(const struct heartbeat *beat)
{
    decider_observe_beat(fleet.decider, beat, fleet_now(), fleet_wall());
    fleet_drain();
}

static inline void fleet_say(const char *name, enum container_state state, const char *incarnation)
{
    struct heartbeat beat = fleet_word("h1", name, state, incarnation);
    fleet_beat(&beat);
}

static inline void fleet_die(const char *name, const char *incarnation, enum stop_class class, int exit_code)
{
    struct heartbeat beat = fleet_word("h1", name, CONTAINER_EXITED, incarnation);
    beat.stop_class = class;
    beat.exit_code = exit_code;
    fleet_beat(&beat);
}

/* A whole inventory of one host; `edit` may change each entry's spec. */
static inline void fleet_inventory(const char *host, const struct heartbeat *beats, size_t count,
                                   void (*edit)(struct container_spec *spec))
{
    struct registration registration;
    registration_init(&registration);
    snprintf(registration.host, sizeof registration.host, "%s", host);
    snprintf(registration.agent, sizeof registration.agent, "agent-of-%.16s", host);
    registration.change = ++fleet.change;
    registration.seq = ++fleet.seq;
    registration.is_engine_up = true;
    registration.entries = calloc(count + 1, sizeof *registration.entries);
    registration.count = count;
    for (size_t i = 0; i < count; i++) {
        registration.entries[i].beat = beats[i];
        registration.entries[i].beat.seq = ++fleet.seq;
        container_spec_init(&registration.entries[i].spec);
        if (edit != NULL) {
            edit(&registration.entries[i].spec);
        }
    }
    decider_observe_registration(fleet.decider, &registration, PATH_REDIS, fleet_now(), fleet_wall());
    free(registration.entries);
    fleet_drain();
}

static inline void fleet_list(const char *name, enum container_state state, const char *incarnation,
                              void (*edit)(struct container_spec *spec))
{
    struct heartbeat beat = fleet_word("h1", name, state, incarnation);
    fleet_inventory("h1", &beat, 1, edit);
}

/* The agent goes on saying so every 10 s. */
static inline void fleet_go_on(int64_t ms, const char *name, enum container_state state,
                               const char *incarnation, void (*edit)(struct container_spec *spec))
{
    for (int64_t passed = 0; passed < ms; passed += 10000) {
        fleet_list(name, state, incarnation, edit);
        fleet_run(ms - passed < 10000 ? ms - passed : 10000);
    }
}

static inline struct decider_view fleet_look(const char *name)
{
    struct decider_view view = {.state = "gone", .reason = "", .gate = ""};
    decider_look(fleet.decider, name, &view);
    return view;
}

static inline int fleet_count_lines(const char *part)
{
    int count = 0;
    for (size_t i = 0; i < fleet.line_count; i++) {
        count += strstr(fleet.lines[i], part) != NULL;
    }
    return count;
}

static inline int fleet_count_alerts(enum alert_type type, const char *action)
{
    int count = 0;
    for (size_t i = 0; i < fleet.alert_count; i++) {
        count +=
            fleet.alerts[i].type == type && (action == NULL || strcmp(fleet.alerts[i].action, action) == 0);
    }
    return count;
}

#endif
