#include "controller/controller.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/key_file.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/redis_link.h"
#include "controller/agent_link.h"
#include "controller/alert_outbox.h"
#include "controller/core/decider.h"
#include "controller/decider_port.h"
#include "controller/disk_file.h"
#include "controller/fleet_loader.h"
#include "controller/heartbeat_consumer.h"
#include "controller/hold_watch.h"
#include "controller/leader_epoch.h"
#include "controller/redis_session.h"
#include "controller/restart_store.h"
#include "controller/warning_limiter.h"
#include "proto/keys.h"

#define LOST_FILE "redis.lost"

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
    struct leader_epoch *epoch;
    struct agent_link *agents;
    struct hold_watch *holds;
    struct heartbeat_consumer *consumer;
    struct restart_store *store;
    struct alert_outbox *outbox;
    struct fleet_loader *loader;
    struct loop_timer *tick;
    struct loop_timer *stop;
    struct mono tick_at; /* what the timer is set to */
    struct mono stop_by;
    bool is_performing; /* also while it is opened and closed: nothing is performed then */
    bool is_watching;   /* the first load is complete, or Redis is away: the decider may tick */
    bool is_amnesic;    /* the load under way follows a loss of data */
    bool is_redis_lost; /* REDIS_LOST was told */
    bool is_stopping;
};

static int64_t clamp(int64_t value, int64_t min, int64_t max)
{
    return value < min ? min : value > max ? max : value;
}

/* ---- what the decider wants done ---- */

static void perform_log(const struct action *action)
{
    static const enum log_level levels[] = {[ACTION_INFO] = LOG_LEVEL_INFO,
                                            [ACTION_WARNING] = LOG_LEVEL_WARNING,
                                            [ACTION_ERROR] = LOG_LEVEL_ERROR};
    log_line(levels[action->level], "%s", action->text);
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
        restart_store_save(controller->store, action->container, action->token, action->state);
        break;
    case ACTION_FORGET:
        restart_store_forget(controller->store, action->container);
        break;
    case ACTION_SEND:
    case ACTION_ASK:
        agent_link_send(controller->agents, action->host, action->command, action->timeout_ms);
        break;
    case ACTION_ALERT:
        alert_outbox_alert(controller->outbox, action->alert);
        break;
    case ACTION_RECORD:
        alert_outbox_record(controller->outbox, action->record);
        break;
    }
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
            perform(controller, action);
        }
    } while (heartbeat_consumer_flush(controller->consumer));
    controller->is_performing = false;
    arm_tick(controller);
}

static void on_tick(void *arg)
{
    struct controller *controller = arg;
    controller->tick_at = MONO_NEVER;
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
    alert_outbox_alert(controller->outbox, &alert);
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

static void on_away(void *arg, const char *reason)
{
    struct controller *controller = arg;
    log_warning("Redis is away: %s; deaths are told by the agents now, alerts are kept", reason);
    fleet_loader_stop(controller->loader);
    alert_outbox_redis_away(controller->outbox);
    if (!controller->is_redis_lost) {
        set_redis_lost(controller, true);
        alert_redis(controller, ALERT_REDIS_LOST, "redis_away", reason);
    }
    decider_redis(controller->decider, REDIS_AWAY, loop_now(controller->loop), clock_wall_now());
    agent_link_redis_away(controller->agents, true);
    start_watching(controller);
}

static void on_writable(void *arg, bool is_amnesic)
{
    struct controller *controller = arg;
    controller->is_amnesic = is_amnesic;
    restart_store_load_begin(controller->store, is_amnesic);
    fleet_loader_start(controller->loader);
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
    leader_epoch_redis_back(controller->epoch);
    alert_outbox_redis_back(controller->outbox);
    if (controller->is_redis_lost) {
        set_redis_lost(controller, false);
        alert_redis(controller, ALERT_REDIS_RECOVERED, controller->is_amnesic ? "amnesic" : "back", "");
    }
    hold_watch_want_all(controller->holds);
    start_watching(controller);
}

static void on_message(void *arg, const char *payload, size_t len)
{
    struct controller *controller = arg;
    heartbeat_consumer_message(controller->consumer, payload, len);
}

/* ---- opening ---- */

static void fill_config(const struct settings *settings, struct policy_config *out)
{
    *out = (struct policy_config){.is_enabled = settings->supervisor_enabled,
                                  .max_attempts = settings->max_restart_attempts,
                                  .cooldown_ms = settings->restart_cooldown_ms,
                                  .heartbeat_ttl_ms = settings->heartbeat_ttl_ms,
                                  .miss_threshold = settings->heartbeat_miss_threshold,
                                  .unhealthy_threshold = settings->unhealthy_threshold,
                                  .check_interval_ms = settings->check_interval_ms,
                                  .fast_check_ms = settings->fast_check_ms,
                                  .start_grace_ms = settings->start_grace_ms,
                                  .start_deadline_ms = settings->start_deadline_ms,
                                  .stop_settle_ms = settings->stop_settle_ms,
                                  .intent_settle_ms = settings->intent_settle_ms,
                                  .stable_ms = settings->restart_stable_ms,
                                  .jitter_pct = settings->restart_jitter_pct,
                                  .docker_policy_grace_ms = settings->docker_policy_grace_ms,
                                  .stop_timeout_ms = settings->restart_stop_timeout_ms,
                                  .max_per_host = settings->restart_max_per_host,
                                  .max_fleet = settings->restart_max_fleet,
                                  .breaker_fraction = settings->breaker_fraction,
                                  .breaker_min = settings->breaker_min,
                                  .agent_lost_ms = settings->agent_lost_ms,
                                  .settle_ms = settings->settle_ms,
                                  .alert_repeat_ms = settings->alert_repeat_ms,
                                  .allow = &settings->restart_allow,
                                  .deny = &settings->restart_deny};
    for (size_t i = 0; i < settings->restart_backoff.count && i < LIMIT_BACKOFF_STEPS; i++) {
        out->backoff_ms[out->backoff_count++] = settings->restart_backoff.ms[i];
    }
}

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
    if (settings->redis_url.is_tls && !redis_link_has_tls()) {
        return err_set(err, EINVAL,
                       "REDIS_URL: this build's hiredis has no TLS: rediss:// cannot be used; "
                       "redis:// and unix:// can");
    }
    if (disk_file_make_dir(settings->state_dir, err) != 0) {
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
    fill_config(controller->settings, &controller->config);
    controller->decider = decider_new(&controller->config, seed, loop_now(controller->loop));
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

static int open_agents(struct controller *controller, struct err *err)
{
    const struct settings *settings = controller->settings;
    struct rpc_tls tls = {.ca_file = settings->tls_ca_file,
                          .cert_file = settings->tls_cert_file,
                          .key_file = settings->tls_key_file};
    int64_t ping_ms = clamp(settings->check_interval_ms, PERIOD_MIN_MS, PING_MAX_MS);
    int64_t ask_ms = settings->fast_check_ms > 0 ? settings->fast_check_ms : ASK_MAX_MS;
    struct agent_link_options agents = {
        .port = controller->port,
        .epoch = controller->epoch,
        .warnings = controller->warnings,
        .state_dir = settings->state_dir,
        .agents_text = settings->agents_text,
        .tls = settings->tls_ca_file[0] == '\0' ? NULL : &tls,
        .keys = &controller->keys,
        .ping_ms = clamp(settings->agent_lost_ms / 3, PERIOD_MIN_MS, ping_ms),
        .ask_ms = clamp(ask_ms, PERIOD_MIN_MS, clamp(settings->check_interval_ms, PERIOD_MIN_MS, INT32_MAX)),
        .silence_ms = 2 * settings->heartbeat_interval_ms + settings->check_interval_ms};
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
    make_decider(controller);
    controller->is_redis_lost = was_redis_lost(controller);
    controller->warnings = warning_limiter_new(settings->alert_repeat_ms);
    open_redis(controller); /* connects in the background: nothing comes before the loop runs */
    result = open_store(controller, err);
    if (result != 0) {
        return result;
    }
    controller->epoch = leader_epoch_open(settings->state_dir, &controller->port, controller->session);
    result = open_agents(controller, err);
    if (result != 0) {
        return result;
    }
    controller->holds = hold_watch_new(&controller->port, controller->session, controller->warnings);
    controller->outbox = alert_outbox_open(settings->state_dir, controller->session);
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
    controller->is_performing = true;
    controller->tick = loop_timer_new(loop, on_tick, controller);
    controller->stop = loop_timer_new(loop, on_stop_look, controller);
    int result = open_parts(controller, err);
    if (result != 0) {
        controller_close(controller);
        return result;
    }
    tell_started(settings);
    restart_store_recall(controller->store);
    controller->is_performing = false;
    perform_all(controller);
    *out = controller;
    return 0;
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
    alert_outbox_close(controller->outbox);
    hold_watch_free(controller->holds);
    agent_link_close(controller->agents);
    leader_epoch_close(controller->epoch);
    restart_store_close(controller->store);
    warning_limiter_free(controller->warnings);
    decider_free(controller->decider);
    loop_timer_free(controller->stop);
    loop_timer_free(controller->tick);
    key_ring_wipe(&controller->keys);
    free(controller);
}
