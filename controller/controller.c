#include "controller/controller.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/fault.h"
#include "common/key_file.h"
#include "common/log.h"
#include "common/memory.h"
#include "controller/agent_link.h"
#include "controller/alert_outbox.h"
#include "controller/core/decider.h"
#include "controller/decider_port.h"
#include "controller/disk_file.h"
#include "controller/fleet_loader.h"
#include "controller/heartbeat_consumer.h"
#include "controller/hold_watch.h"
#include "controller/input_journal.h"
#include "controller/leader_lease.h"
#include "controller/policy_settings.h"
#include "controller/redis_session.h"
#include "controller/restart_store.h"
#include "controller/warning_limiter.h"
#include "controller/webhook.h"
#include "proto/keys.h"

#define LOST_FILE "redis.lost"
#define LOCK_FILE "lock"

enum { PING_MAX_MS = 15000, ASK_MAX_MS = 1000, WATCH_MAX_MS = 1000, PERIOD_MIN_MS = 50 };
enum { STOP_LOOK_MS = 20, STOP_PATIENCE_MS = 1000 };

struct controller {
    struct loop *loop;
    const struct settings *settings;
    struct policy_config config;
    struct decider *decider;
    struct decider_port port;
    struct key_ring keys;
    struct warning_limiter *warnings;
    struct redis_session *session;
    struct leader_lease *lease;
    struct agent_link *agents;
    struct hold_watch *holds;
    struct heartbeat_consumer *consumer;
    struct restart_store *store;
    struct alert_outbox *outbox;
    struct webhook *webhook; /* NULL: none */
    struct input_journal *journal;
    struct fleet_loader *loader;
    struct loop_timer *tick;
    struct loop_timer *stop;
    struct mono tick_at; /* what the timer is set to */
    struct mono due_at;  /* the same, never before it was set; MONO_NEVER: none */
    struct mono stop_by;
    struct mono leads_until;
    int lock;            /* of the state folder */
    bool is_performing;  /* also while it is opened and closed: nothing is performed then */
    bool is_watching;    /* the first load is complete, or Redis is away: the decider may tick */
    bool is_amnesic;     /* the load under way follows a loss of data */
    bool is_redis_lost;  /* REDIS_LOST was told */
    bool is_taking_over; /* the load under way is a new leader's: it commands once it is complete */
    bool is_stopping;
    int64_t late_max_ms; /* of the tick */
    uint64_t heartbeats;
    void (*on_action)(void *arg, const struct action *action); /* NULL: nobody looks on */
    void *on_action_arg;
};

static int64_t clamp(int64_t value, int64_t min, int64_t max)
{
    return value < min ? min : value > max ? max : value;
}

static int64_t larger(int64_t left, int64_t right)
{
    return left > right ? left : right;
}

static int64_t late_ms(const struct controller *controller)
{
    bool is_due = controller->due_at.ms != MONO_NEVER.ms;
    return is_due ? larger(mono_diff(clock_mono_now(), controller->due_at), 0) : 0;
}

/* ---- what the decider wants done ---- */

static void perform_log(const struct action *action)
{
    static const enum log_level levels[] = {[ACTION_INFO] = LOG_LEVEL_INFO,
                                            [ACTION_WARNING] = LOG_LEVEL_WARNING,
                                            [ACTION_ERROR] = LOG_LEVEL_ERROR};
    log_line(levels[action->level], "%s", action->text);
}

static void send_alert(struct controller *controller, const struct alert *alert)
{
    alert_outbox_alert(controller->outbox, alert);
    webhook_alert(controller->webhook, alert);
}

static void perform(struct controller *controller, const struct action *action)
{
    switch (action->kind) {
    case ACTION_READ_KEY:
        heartbeat_consumer_want_key(controller->consumer, action->container, action->service,
                                    action->instance, action->host);
        break;
    case ACTION_LOG:
        perform_log(action);
        break;
    case ACTION_STORE:
        /* Redis answers in order: a hold that was set meanwhile is known before the attempt counts as stored.
         */
        hold_watch_want(controller->holds, action->container, action->service, action->host);
        hold_watch_flush(controller->holds);
        FAULT_POINT("controller_storing");
        restart_store_save(controller->store, action->container, action->token, action->state);
        FAULT_POINT("controller_store_sent");
        break;
    case ACTION_FORGET:
        restart_store_forget(controller->store, action->container);
        break;
    case ACTION_SEND:
    case ACTION_ASK:
        agent_link_send(controller->agents, action->host, action->command, action->timeout_ms);
        break;
    case ACTION_ALERT:
        send_alert(controller, action->alert);
        break;
    case ACTION_RECORD:
        alert_outbox_record(controller->outbox, action->record);
        break;
    case ACTION_INPUT:
        input_journal_add(controller->journal, action->text);
        break;
    }
}

/* From now on what the decider is told stands in the journal. */
static void record(struct controller *controller)
{
    cleanup_free char *settings = policy_settings_to_json(controller->settings);
    decider_record(controller->decider, settings, loop_now(controller->loop), clock_wall_now());
}

static void arm_tick(struct controller *controller)
{
    if (!controller->is_watching || controller->is_stopping) {
        return;
    }
    struct mono wake_at = decider_wake_at(controller->decider);
    if (wake_at.ms == controller->tick_at.ms) {
        return;
    }
    controller->tick_at = wake_at;
    controller->due_at = (struct mono){larger(wake_at.ms, loop_now(controller->loop).ms)};
    if (wake_at.ms == MONO_NEVER.ms) {
        loop_timer_stop(controller->tick);
    } else {
        /* Never 0: a decider that wants to be woken at once must not starve the sockets. */
        loop_timer_start(controller->tick,
                         clamp(mono_diff(wake_at, loop_now(controller->loop)), 1, INT32_MAX), 0);
    }
}

static void perform_all(void *arg)
{
    struct controller *controller = arg;
    if (controller->is_performing) {
        return;
    }
    controller->is_performing = true;
    do {
        const struct action *action;
        while ((action = decider_next_action(controller->decider)) != NULL) {
            if (controller->on_action != NULL) {
                controller->on_action(controller->on_action_arg, action);
            }
            perform(controller, action);
        }
    } while (heartbeat_consumer_flush(controller->consumer));
    controller->is_performing = false;
    if (input_journal_wants_start(controller->journal)) {
        record(controller);
    }
    arm_tick(controller);
}

static void on_tick(void *arg)
{
    struct controller *controller = arg;
    controller->late_max_ms = larger(controller->late_max_ms, late_ms(controller));
    controller->tick_at = MONO_NEVER;
    controller->due_at = MONO_NEVER;
    leader_lease_look(controller->lease);
    decider_tick(controller->decider, loop_now(controller->loop), clock_wall_now());
    perform_all(controller);
}

/* ---- Redis comes and goes ---- */

static void alert_redis(struct controller *controller, enum alert_type type, const char *reason,
                        const char *detail)
{
    struct alert alert;
    alert_init(&alert);
    alert.type = type;
    memory_set_text(alert.reason, sizeof alert.reason, reason);
    memory_set_text(alert.detail, sizeof alert.detail, detail);
    alert.timestamp = clock_wall_now();
    send_alert(controller, &alert);
}

/* On disk as well: a loss that outlives this process is told once, and its end is told by whoever sees it. */
static void set_redis_lost(struct controller *controller, bool is_lost)
{
    const char *dir = controller->settings->state_dir;
    struct err err;
    controller->is_redis_lost = is_lost;
    int result =
        is_lost ? disk_file_replace(dir, LOST_FILE, "", 0, &err) : disk_file_remove(dir, LOST_FILE, &err);
    if (result != 0) {
        log_warning("Cannot note that Redis is %s: %s", is_lost ? "away" : "back", err.text);
    }
}

static bool was_redis_lost(const struct controller *controller)
{
    cleanup_free char *text = NULL;
    size_t len;
    return disk_file_read(controller->settings->state_dir, LOST_FILE, 0, &text, &len, NULL) == 0;
}

static void start_watching(struct controller *controller)
{
    controller->is_watching = true;
    controller->tick_at = MONO_NEVER;
    perform_all(controller);
}

/* The leader tells it; as long as we saw none, that may be us. */
static void tell_redis_lost(struct controller *controller, const char *reason)
{
    bool may_tell = leader_lease_leads(controller->lease) || !leader_lease_has_seen_other(controller->lease);
    if (!controller->is_redis_lost && may_tell) {
        set_redis_lost(controller, true);
        alert_redis(controller, ALERT_REDIS_LOST, "redis_away", reason);
    }
}

static void tell_lease(struct controller *controller)
{
    struct mono until = controller->is_taking_over ? (struct mono){0} : controller->leads_until;
    decider_lead(controller->decider, leader_lease_epoch(controller->lease), until,
                 loop_now(controller->loop));
    perform_all(controller);
}

static void lead_without_load(struct controller *controller)
{
    controller->is_taking_over = false;
    restart_store_recall(controller->store);
    tell_lease(controller);
}

static void on_away(void *arg, const char *reason)
{
    struct controller *controller = arg;
    log_warning("Redis is away: %s; deaths are told by the agents now, alerts are kept", reason);
    fleet_loader_stop(controller->loader);
    alert_outbox_redis_away(controller->outbox);
    leader_lease_redis_away(controller->lease);
    tell_redis_lost(controller, reason);
    decider_redis(controller->decider, REDIS_AWAY, loop_now(controller->loop), clock_wall_now());
    agent_link_redis_away(controller->agents, true);
    if (controller->is_taking_over) {
        lead_without_load(controller);
    }
    start_watching(controller);
}

static void start_load(struct controller *controller)
{
    restart_store_load_begin(controller->store, controller->is_amnesic);
    fleet_loader_start(controller->loader);
}

static void on_writable(void *arg, bool is_amnesic)
{
    struct controller *controller = arg;
    controller->is_amnesic = is_amnesic;
    leader_lease_redis_there(controller->lease);
    start_load(controller);
}

static bool is_kind(const char *key, size_t len, const char *prefix)
{
    return len > strlen(prefix) && memcmp(key, prefix, strlen(prefix)) == 0;
}

static void on_value(void *arg, const char *key, size_t key_len, const char *value, size_t len)
{
    struct controller *controller = arg;
    char name[LIMIT_NAME_SIZE];
    if (is_kind(key, key_len, KEY_HEARTBEAT_PREFIX)) {
        heartbeat_consumer_take_beat(controller->consumer, key, key_len, value, len);
    } else if (is_kind(key, key_len, KEY_AGENT_PREFIX)) {
        heartbeat_consumer_take_registration(controller->consumer, key, key_len, value, len);
    } else if (is_kind(key, key_len, KEY_HOLD_PREFIX)) {
        hold_watch_take(controller->holds, key, key_len, value, len);
    } else if (key_strip_prefix(key, key_len, KEY_RESTART_PREFIX, name)) {
        restart_store_load_value(controller->store, name, value, len);
    }
}

static void on_loaded(void *arg)
{
    struct controller *controller = arg;
    log_info("Redis is %s, %zu containers known%s", controller->is_redis_lost ? "back" : "there",
             decider_count(controller->decider),
             controller->is_amnesic
                 ? "; it had lost its data or was restarted: restart states are written back"
                 : "");
    restart_store_load_end(controller->store);
    redis_session_commit(controller->session);
    decider_redis(controller->decider, controller->is_amnesic ? REDIS_BACK_AMNESIC : REDIS_BACK,
                  loop_now(controller->loop), clock_wall_now());
    agent_link_redis_away(controller->agents, false);
    alert_outbox_redis_back(controller->outbox);
    if (controller->is_redis_lost) {
        set_redis_lost(controller, false);
        alert_redis(controller, ALERT_REDIS_RECOVERED, controller->is_amnesic ? "amnesic" : "back", "");
    }
    if (controller->is_amnesic) {
        record(controller); /* what the stream held may be lost with the rest */
    }
    hold_watch_want_all(controller->holds);
    if (controller->is_taking_over) {
        controller->is_taking_over = false;
        tell_lease(controller);
    }
    start_watching(controller);
}

static void on_message(void *arg, const char *payload, size_t len)
{
    struct controller *controller = arg;
    controller->heartbeats++;
    heartbeat_consumer_message(controller->consumer, payload, len);
}

/* ---- who leads ---- */

static void on_leading(void *arg, enum lease_grant grant)
{
    struct controller *controller = arg;
    bool has_redis = redis_session_is_writable(controller->session);
    decider_take_over(controller->decider, grant == GRANT_TAKEN ? LED_BY_OTHERS : LED_BY_NOBODY,
                      loop_now(controller->loop), clock_wall_now());
    record(controller);
    restart_store_lead(controller->store, leader_lease_epoch(controller->lease), grant == GRANT_TAKEN);
    heartbeat_consumer_forget(controller->consumer);
    controller->is_taking_over = true;
    if (has_redis) {
        controller->is_watching = false;
        loop_timer_stop(controller->tick);
        start_load(controller);
    } else {
        tell_redis_lost(controller, "it was away when we began to lead");
        lead_without_load(controller);
    }
    agent_link_ask_all(controller->agents);
}

static void on_until(void *arg, struct mono until)
{
    struct controller *controller = arg;
    controller->leads_until = until;
    if (leader_lease_leads(controller->lease)) {
        tell_lease(controller);
    }
}

static void on_standby(void *arg)
{
    struct controller *controller = arg;
    controller->is_taking_over = false;
    decider_follow(controller->decider);
    restart_store_follow(controller->store);
    start_watching(controller);
}

static const char *condition(void *arg)
{
    struct controller *controller = arg;
    return decider_condition(controller->decider, loop_now(controller->loop));
}

void controller_describe(struct controller *controller)
{
    char lease[512];
    leader_lease_describe(controller->lease, lease, sizeof lease);
    log_info("State: %s; %s; Redis %s; %zu containers; %zu alerts waiting", condition(controller), lease,
             redis_session_is_ready(controller->session)      ? "ready"
             : redis_session_is_writable(controller->session) ? "loading"
                                                              : "away",
             decider_count(controller->decider), alert_outbox_count(controller->outbox));
}

/* ---- opening ---- */

static void tell_started(const struct settings *settings)
{
    if (!settings->supervisor_enabled) {
        log_info("Supervisor started (auto-restart disabled)");
        log_info("SUPERVISOR_ENABLED=false: it watches and commands nothing");
    } else if (settings->max_restart_attempts == 0) {
        log_info("Supervisor started (auto-restart disabled)");
        log_info("MAX_RESTART_ATTEMPTS=0: it alerts and commands nothing");
    } else {
        log_info("Supervisor started (auto-restart enabled)");
    }
}

static int check_settings(struct controller *controller, struct err *err)
{
    const struct settings *settings = controller->settings;
    if (disk_file_make_dir(settings->state_dir, err) != 0) {
        return err_wrap(err, "DEFIB_STATE_DIR");
    }
    if (disk_file_lock(settings->state_dir, LOCK_FILE, &controller->lock, err) != 0) {
        return err_wrap(err, "DEFIB_STATE_DIR");
    }
    return key_file_load(settings->key_file, &controller->keys, err);
}

static void make_decider(struct controller *controller)
{
    uint64_t seed[2];
    if (getrandom(seed, sizeof seed, 0) != (ssize_t)sizeof seed) {
        abort();
    }
    policy_settings_fill(controller->settings, &controller->config);
    controller->decider = decider_new(&controller->config, seed, loop_now(controller->loop));
    decider_follow(controller->decider); /* until the lease is ours */
    controller->port = (struct decider_port){controller->decider, controller->loop, perform_all, controller};
}

static int open_store(struct controller *controller, struct err *err)
{
    struct restart_store_options store = {
        .port = controller->port,
        .session = controller->session,
        .warnings = controller->warnings,
        .state_dir = controller->settings->state_dir,
        .cooldown_ms = controller->settings->restart_cooldown_ms,
        .watch_ms = clamp(controller->settings->check_interval_ms, PERIOD_MIN_MS, WATCH_MAX_MS)};
    return restart_store_open(&store, &controller->store, err) == 0 ? 0 : err_wrap(err, "DEFIB_STATE_DIR");
}

/* So often that a death is known by the second path about as soon as by the first; most answers say that
 * nothing is new. */
static int64_t ask_ms(const struct settings *settings)
{
    int64_t most_ms = clamp(settings->check_interval_ms, PERIOD_MIN_MS, ASK_MAX_MS);
    return clamp(settings->fast_check_ms > 0 ? settings->fast_check_ms / 4 : ASK_MAX_MS, PERIOD_MIN_MS,
                 most_ms);
}

static void open_lease(struct controller *controller)
{
    const struct settings *settings = controller->settings;
    struct leader_lease_options lease = {
        .loop = controller->loop,
        .session = controller->session,
        .state_dir = settings->state_dir,
        .id = settings->id,
        .lease_ms = settings->leader_lease_ms,
        .word_ms = clamp(settings->leader_lease_ms / 3, 3 * ask_ms(settings), INT64_MAX),
        .on_leading = on_leading,
        .on_until = on_until,
        .on_standby = on_standby,
        .state = condition,
        .arg = controller};
    controller->lease = leader_lease_open(&lease);
}

static int open_agents(struct controller *controller, struct err *err)
{
    const struct settings *settings = controller->settings;
    struct rpc_tls tls = {.ca_file = settings->tls_ca_file,
                          .cert_file = settings->tls_cert_file,
                          .key_file = settings->tls_key_file};
    int64_t ping_ms = clamp(settings->check_interval_ms, PERIOD_MIN_MS, PING_MAX_MS);
    struct agent_link_options agents = {.port = controller->port,
                                        .lease = controller->lease,
                                        .warnings = controller->warnings,
                                        .state_dir = settings->state_dir,
                                        .agents_text = settings->agents_text,
                                        .tls = settings->tls_ca_file[0] == '\0' ? NULL : &tls,
                                        .keys = &controller->keys,
                                        .ping_ms = clamp(settings->agent_lost_ms / 3, PERIOD_MIN_MS, ping_ms),
                                        .ask_ms = ask_ms(settings),
                                        .silence_ms = 2 * settings->heartbeat_interval_ms +
                                                      settings->check_interval_ms};
    return agent_link_open(&agents, &controller->agents, err);
}

static void open_redis(struct controller *controller)
{
    const struct settings *settings = controller->settings;
    char name[LIMIT_NAME_SIZE];
    snprintf(name, sizeof name, "defib-controller-%.200s", settings->id);
    for (char *byte = name; *byte != '\0'; byte++) {
        *byte = (char)(*byte <= ' ' || *byte == 0x7f ? '-' : *byte); /* CLIENT SETNAME takes no blanks */
    }
    struct redis_session_options session = {.url = &settings->redis_url,
                                            .client_name = name,
                                            .state_dir = settings->state_dir,
                                            .on_writable = on_writable,
                                            .on_away = on_away,
                                            .on_message = on_message,
                                            .arg = controller};
    controller->session = redis_session_open(controller->loop, &session);
}

static void open_readers(struct controller *controller)
{
    struct heartbeat_consumer_options consumer = {.port = controller->port,
                                                  .session = controller->session,
                                                  .agents = controller->agents,
                                                  .holds = controller->holds,
                                                  .warnings = controller->warnings,
                                                  .check_interval_ms =
                                                      controller->settings->check_interval_ms};
    controller->consumer = heartbeat_consumer_new(&consumer);
    struct fleet_loader_options loader = {.session = controller->session,
                                          .on_value = on_value,
                                          .on_page = perform_all,
                                          .on_done = on_loaded,
                                          .arg = controller};
    controller->loader = fleet_loader_new(controller->loop, &loader);
}

static int open_parts(struct controller *controller, struct err *err)
{
    const struct settings *settings = controller->settings;
    int result = check_settings(controller, err);
    if (result != 0) {
        return result;
    }
    result = webhook_open(controller->loop, settings, &controller->webhook, err);
    if (result != 0) {
        return result;
    }
    make_decider(controller);
    controller->is_redis_lost = was_redis_lost(controller);
    controller->warnings = warning_limiter_new(settings->alert_repeat_ms);
    open_redis(controller); /* connects in the background: nothing comes before the loop runs */
    result = open_store(controller, err);
    if (result != 0) {
        return result;
    }
    restart_store_follow(controller->store);
    open_lease(controller);
    result = open_agents(controller, err);
    if (result != 0) {
        return result;
    }
    controller->holds = hold_watch_new(&controller->port, controller->session, controller->warnings);
    controller->outbox = alert_outbox_open(settings->state_dir, controller->session);
    controller->journal = input_journal_new(controller->loop, controller->outbox);
    open_readers(controller);
    return 0;
}

static void on_stop_look(void *arg);

int controller_open(struct loop *loop, const struct settings *settings, struct controller **out,
                    struct err *err)
{
    struct controller *controller = memory_alloc(sizeof *controller);
    controller->loop = loop;
    controller->settings = settings;
    controller->tick_at = MONO_NEVER;
    controller->due_at = MONO_NEVER;
    controller->lock = -1;
    controller->is_performing = true;
    controller->tick = loop_timer_new(loop, on_tick, controller);
    controller->stop = loop_timer_new(loop, on_stop_look, controller);
    int result = open_parts(controller, err);
    if (result != 0) {
        controller_close(controller);
        return result;
    }
    tell_started(settings);
    controller->is_performing = false;
    perform_all(controller);
    *out = controller;
    return 0;
}

/* ---- looking on ---- */

void controller_watch(struct controller *controller,
                      void (*on_action)(void *arg, const struct action *action), void *arg)
{
    controller->on_action = on_action;
    controller->on_action_arg = arg;
}

void controller_parts(const struct controller *controller, struct controller_parts *out)
{
    *out = (struct controller_parts){.decider = controller->decider,
                                     .session = controller->session,
                                     .holds = controller->holds,
                                     .agents = controller->agents,
                                     .outbox = controller->outbox,
                                     .consumer = controller->consumer,
                                     .webhook = controller->webhook};
}

bool controller_forget_host(struct controller *controller, const char *host)
{
    bool is_forgotten =
        decider_forget_host(controller->decider, host, loop_now(controller->loop), clock_wall_now());
    if (is_forgotten) {
        agent_link_forget(controller->agents, host);
    }
    perform_all(controller);
    return is_forgotten;
}

void controller_health(const struct controller *controller, struct controller_health *out)
{
    *out = (struct controller_health){.is_watching = controller->is_watching,
                                      .is_stopping = controller->is_stopping,
                                      .late_ms = late_ms(controller),
                                      .late_max_ms = controller->late_max_ms,
                                      .heartbeats = controller->heartbeats,
                                      .leader = leader_lease_holder(controller->lease)};
}

/* ---- the end ---- */

void controller_reload(struct controller *controller)
{
    struct key_ring keys;
    struct err err;
    if (key_file_load(controller->settings->key_file, &keys, &err) != 0) {
        log_error("SIGHUP: the keys stay as they were: %s", err.text);
        return;
    }
    agent_link_set_keys(controller->agents, &keys);
    agent_link_renew(controller->agents);
    log_info("SIGHUP: %zu keys read", keys.count);
    key_ring_wipe(&keys);
}

static void on_stop_look(void *arg)
{
    struct controller *controller = arg;
    bool is_quiet =
        restart_store_pending(controller->store) == 0 &&
        (alert_outbox_count(controller->outbox) == 0 || !redis_session_is_ready(controller->session));
    if (is_quiet || mono_reached(loop_now(controller->loop), controller->stop_by)) {
        loop_stop(controller->loop);
    }
}

void controller_stop(struct controller *controller)
{
    if (controller->is_stopping) {
        loop_stop(controller->loop);
        return;
    }
    log_info("Supervisor stopping");
    controller->is_stopping = true;
    controller->stop_by = mono_add(loop_now(controller->loop), STOP_PATIENCE_MS);
    loop_timer_stop(controller->tick);
    input_journal_flush(controller->journal);
    leader_lease_release(controller->lease);
    loop_timer_start(controller->stop, 0, STOP_LOOK_MS);
}

void controller_close(struct controller *controller)
{
    if (controller == NULL) {
        return;
    }
    controller->is_performing = true;
    redis_session_close(controller->session);
    fleet_loader_free(controller->loader);
    heartbeat_consumer_free(controller->consumer);
    input_journal_free(controller->journal);
    alert_outbox_close(controller->outbox);
    webhook_close(controller->webhook);
    hold_watch_free(controller->holds);
    agent_link_close(controller->agents);
    leader_lease_close(controller->lease);
    restart_store_close(controller->store);
    warning_limiter_free(controller->warnings);
    decider_free(controller->decider);
    loop_timer_free(controller->stop);
    loop_timer_free(controller->tick);
    key_ring_wipe(&controller->keys);
    if (controller->lock >= 0) {
        close(controller->lock);
    }
    free(controller);
}
