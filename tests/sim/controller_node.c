/*
 * A controller: its own decider, redis_session, restart_store, hold_watch and leader_lease; played are what
 * controller.c wires, and agent_link, heartbeat_consumer and fleet_loader, step by step as they do it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/redis_link.h"
#include "common/redis_url.h"
#include "tests/sim/controller_node.h"

static struct controller_node nodes[NODES_MAX];

struct controller_node *controller_node_of(int controller)
{
    return &nodes[controller];
}

struct wall controller_node_wall(const struct controller_node *node)
{
    return sim_wall(*node->process.wall_offset_ms);
}

/* ---- what the decider wants done ---- */

static void mix(uint64_t value)
{
    sim->trace = (sim->trace ^ value) * 0x100000001b3u;
}

static void mix_text(const char *text)
{
    for (; *text; text++) {
        mix((unsigned char)*text);
    }
}

static void want_key(struct controller_node *node, const struct action *action)
{
    if (node->wanted_count < WANTED_MAX) {
        struct wanted *wanted = &node->wanted[node->wanted_count++];
        memory_set_text(wanted->container, sizeof wanted->container, action->container);
        key_heartbeat(wanted->key, action->service, action->instance);
    }
    controller_reads_want_host(node, action->host);
    hold_watch_want(node->holds, action->container, action->service, action->host);
}

static void perform(struct controller_node *node, const struct action *action)
{
    sim->decisions++;
    mix(action->kind);
    mix((uint64_t)sim->now);
    if (node->process.is_dead) {
        return; /* of the action before */
    }
    switch (action->kind) {
    case ACTION_READ_KEY:
        want_key(node, action);
        break;
    case ACTION_LOG:
        mix_text(action->text);
        sim_say("%s: %s", node->name, action->text);
        break;
    case ACTION_STORE:
        check_count(node->index, action->container, action->state->attempt_count, false);
        hold_watch_want(node->holds, action->container, action->service, action->host);
        hold_watch_flush(node->holds);
        restart_store_save(node->store, action->container, action->token, action->state);
        break;
    case ACTION_FORGET:
        check_count(node->index, action->container, 0, true);
        restart_store_forget(node->store, action->container);
        break;
    case ACTION_SEND:
        check_send(node->index, action->command);
        controller_links_send(node, action);
        break;
    case ACTION_ASK:
        controller_links_send(node, action);
        break;
    case ACTION_ALERT:
        check_alert(node->index, action->alert);
        break;
    case ACTION_INPUT:
        break;
    case ACTION_RECORD:
        mix_text(action->record->reason);
        if (strcmp(action->record->kind, "transition") == 0) {
            sim_say("%s: %s %s -> %s on %s (%s)", node->name, action->container, action->record->from,
                    action->record->to, action->record->event, action->record->reason);
        } else {
            sim_say("%s: %s decision %s: %s %s %s", node->name, action->container, action->record->action,
                    action->record->reason, action->record->gate, action->record->detail);
        }
        break;
    }
}

static void on_tick(void *arg)
{
    struct controller_node *node = arg;
    node->tick_at = INT64_MAX;
    leader_lease_look(node->lease);
    decider_tick(node->decider, (struct mono){sim->now}, controller_node_wall(node));
    controller_node_perform(node);
}

static void arm_tick(struct controller_node *node)
{
    if (!node->is_watching) {
        return;
    }
    int64_t wake = decider_wake_at(node->decider).ms;
    if (wake == node->tick_at) {
        return;
    }
    node->tick_at = wake;
    if (wake == INT64_MAX) {
        loop_timer_stop(node->tick);
    } else {
        loop_timer_start(node->tick, wake - sim->now < 1 ? 1 : wake - sim->now, 0);
    }
}

void controller_node_perform(void *arg)
{
    struct controller_node *node = arg;
    if (node->is_performing) {
        return;
    }
    node->is_performing = true;
    do {
        const struct action *action;
        while ((action = decider_next_action(node->decider)) != NULL) {
            perform(node, action);
        }
    } while (controller_reads_flush(node));
    node->is_performing = false;
    arm_tick(node);
}

/* ---- Redis comes and goes ---- */

static void tell_lease(struct controller_node *node)
{
    struct mono until = node->is_taking_over ? (struct mono){0} : node->leads_until;
    decider_lead(node->decider, leader_lease_epoch(node->lease), until, (struct mono){sim->now});
    controller_node_perform(node);
}

static void lead_without_load(struct controller_node *node)
{
    node->is_taking_over = false;
    restart_store_recall(node->store);
    tell_lease(node);
}

static void on_away(void *arg, const char *reason)
{
    struct controller_node *node = arg;
    sim_say("%s: Redis is away: %s", node->name, reason);
    loop_timer_stop(node->load);
    leader_lease_redis_away(node->lease);
    decider_redis(node->decider, REDIS_AWAY, (struct mono){sim->now}, controller_node_wall(node));
    node->is_redis_away = true;
    controller_links_soon(node);
    if (node->is_taking_over) {
        lead_without_load(node);
    }
    node->is_watching = true;
    node->tick_at = INT64_MAX;
    controller_node_perform(node);
}

static void start_load(struct controller_node *node)
{
    restart_store_load_begin(node->store, node->is_amnesic);
    loop_timer_start(node->load, LOAD_MS, 0);
}

static void on_writable(void *arg, bool is_amnesic)
{
    struct controller_node *node = arg;
    node->is_amnesic = is_amnesic;
    leader_lease_redis_there(node->lease);
    start_load(node);
}

static void on_leading(void *arg, enum lease_grant grant)
{
    struct controller_node *node = arg;
    sim_say("%s leads under epoch %llu", node->name, (unsigned long long)leader_lease_epoch(node->lease));
    sim->led_at = sim->now;
    if (sim->leader != node->index) {
        check_lost_budgets();
    }
    if (sim->leader != node->index || grant == GRANT_TAKEN) {
        sim->leader = node->index;
        sim->controller_started_at = sim->now;
    }
    decider_take_over(node->decider, grant == GRANT_TAKEN ? LED_BY_OTHERS : LED_BY_NOBODY,
                      (struct mono){sim->now}, controller_node_wall(node));
    restart_store_lead(node->store, leader_lease_epoch(node->lease), grant == GRANT_TAKEN);
    node->is_taking_over = true;
    for (int host = 0; host < sim->plan->hosts; host++) {
        node->agents[host].document = 0;
        node->agents[host].wants_inventory = true;
        node->agents[host].ping_at = sim->now;
    }
    if (redis_session_is_writable(node->session)) {
        node->is_watching = false;
        loop_timer_stop(node->tick);
        start_load(node);
    } else {
        lead_without_load(node);
    }
    controller_links_soon(node);
}

static void on_until(void *arg, struct mono until)
{
    struct controller_node *node = arg;
    node->leads_until = until;
    if (leader_lease_leads(node->lease)) {
        tell_lease(node);
    }
}

static void on_standby(void *arg)
{
    struct controller_node *node = arg;
    sim_say("%s stands by", node->name);
    node->is_taking_over = false;
    decider_follow(node->decider);
    restart_store_follow(node->store);
    node->is_watching = true;
    node->tick_at = INT64_MAX;
    controller_node_perform(node);
}

static const char *condition(void *arg)
{
    return decider_condition(((struct controller_node *)arg)->decider, (struct mono){sim->now});
}

static void load_beats(struct controller_node *node, const char **keys, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct redis_doc *doc = redis_get(keys[i]);
        if (doc && doc->kind == DOC_BEAT) {
            doc->refs++;
            controller_reads_observe(node, &doc->beat);
            redis_doc_drop(doc);
        }
    }
}

static void load_texts(struct controller_node *node, const char *prefix, const char **keys, size_t count,
                       bool is_hold)
{
    for (size_t i = 0; i < count; i++) {
        struct redis_doc *doc = redis_get(keys[i]);
        if (doc && doc->kind == DOC_TEXT && is_hold) {
            hold_watch_take(node->holds, keys[i], strlen(keys[i]), doc->text, doc->len);
        } else if (doc && doc->kind == DOC_TEXT) {
            restart_store_load_value(node->store, keys[i] + strlen(prefix), doc->text, doc->len);
        }
    }
}

static void on_marker_for_load(void *arg, const struct redis_reply *reply)
{
    struct controller_node *node = arg;
    if (redis_reply_type(reply) != REDIS_REPLY_LIST || !redis_session_is_writable(node->session)) {
        return;
    }
    static const char *keys[KEYS_MAX];
    for (int host = 0; host < sim->plan->hosts; host++) {
        controller_reads_host(node, host);
    }
    load_beats(node, keys, redis_keys(KEY_HEARTBEAT_PREFIX, keys, KEYS_MAX));
    load_texts(node, KEY_HOLD_PREFIX, keys, redis_keys(KEY_HOLD_PREFIX, keys, KEYS_MAX), true);
    load_texts(node, KEY_RESTART_PREFIX, keys, redis_keys(KEY_RESTART_PREFIX, keys, KEYS_MAX), false);
    restart_store_load_end(node->store);
    redis_session_commit(node->session);
    decider_redis(node->decider, node->is_amnesic ? REDIS_BACK_AMNESIC : REDIS_BACK, (struct mono){sim->now},
                  controller_node_wall(node));
    sim_say("%s: Redis is there%s", node->name, node->is_amnesic ? ", amnesic" : "");
    node->is_redis_away = false;
    controller_links_soon(node);
    hold_watch_want_all(node->holds);
    if (node->is_taking_over) {
        node->is_taking_over = false;
        tell_lease(node);
    }
    node->is_watching = true;
    node->tick_at = INT64_MAX;
    controller_node_perform(node);
}

static void on_load(void *arg)
{
    struct controller_node *node = arg;
    const char *argv[] = {"MGET", KEY_MARKER};
    redis_session_command(node->session, on_marker_for_load, node, 2, argv, NULL);
}

static void on_session_message(void *arg, const char *payload, size_t len)
{
    (void)arg;
    (void)payload;
    (void)len;
}

/* ---- life ---- */

static void again(void *arg)
{
    controller_node_start(((struct controller_node *)arg)->index);
}

/* systemd starts it again. */
static void node_end(void *arg)
{
    struct controller_node *node = arg;
    controller_node_stop(node->index);
    sim_at(sim->now + 3000, NULL, again, NULL, node);
}

static void open_parts(struct controller_node *node)
{
    static const struct redis_url url;
    struct redis_session_options session = {.url = &url,
                                            .client_name = node->name,
                                            .state_dir = node->dir,
                                            .on_writable = on_writable,
                                            .on_away = on_away,
                                            .on_message = on_session_message,
                                            .arg = node};
    node->session = redis_session_open(node->loop, &session);
    int64_t watch_ms =
        node->config.check_interval_ms < WATCH_MAX_MS ? node->config.check_interval_ms : WATCH_MAX_MS;
    struct restart_store_options store = {.port = node->port,
                                          .session = node->session,
                                          .warnings = node->warnings,
                                          .state_dir = node->dir,
                                          .cooldown_ms = node->config.cooldown_ms,
                                          .watch_ms = watch_ms};
    struct err err;
    if (restart_store_open(&store, &node->store, &err) != 0) {
        abort();
    }
    restart_store_follow(node->store);
    decider_follow(node->decider);
    int64_t ask_ms = node->config.fast_check_ms > 0 ? node->config.fast_check_ms : ASK_MAX_MS;
    struct leader_lease_options lease = {.loop = node->loop,
                                         .session = node->session,
                                         .state_dir = node->dir,
                                         .id = node->dir,
                                         .lease_ms = LEASE_MS,
                                         .word_ms = LEASE_MS / 3 > 3 * ask_ms ? LEASE_MS / 3 : 3 * ask_ms,
                                         .on_leading = on_leading,
                                         .on_until = on_until,
                                         .on_standby = on_standby,
                                         .state = condition,
                                         .arg = node};
    node->lease = leader_lease_open(&lease);
    node->holds = hold_watch_new(&node->port, node->session, node->warnings);
}

void controller_node_start(int controller)
{
    struct controller_node *node = &nodes[controller];
    if (node->runs || sim->plan->peer) {
        return;
    }
    uint64_t life = node->process.life + 1;
    struct disk *disk = node->disk;
    uint64_t token = node->next_token;
    bool was_known[HOSTS_MAX];
    for (int i = 0; i < HOSTS_MAX; i++) {
        was_known[i] = node->agents[i].is_known; /* agent_book */
    }
    memset(node, 0, sizeof *node);
    node->index = controller;
    node->next_token = token;
    snprintf(node->dir, sizeof node->dir, "controller-%d", controller);
    snprintf(node->name, sizeof node->name, "controller %d", controller);
    node->disk = disk ? disk : disk_new(node->dir);
    node->process = (struct process){.name = node->name,
                                     .life = life,
                                     .wall_offset_ms = &sim->controller_wall_offset[controller],
                                     .on_death = node_end,
                                     .arg = node};
    disk_use(node->disk, &node->process);
    sim->current = &node->process;
    node->loop = fake_loop_new(&node->process);
    node->config = sim->policy;
    node->tick_at = INT64_MAX;
    node->is_redis_away = true;
    uint64_t seed[2] = {dice_next(&sim->dice), dice_next(&sim->dice)};
    node->decider = decider_new(&node->config, seed, (struct mono){sim->now});
    node->port = (struct decider_port){node->decider, node->loop, controller_node_perform, node};
    node->is_performing = true;
    node->warnings = warning_limiter_new(node->config.alert_repeat_ms);
    node->tick = loop_timer_new(node->loop, on_tick, node);
    node->step = loop_timer_new(node->loop, controller_links_step, node);
    node->check = loop_timer_new(node->loop, controller_reads_check, node);
    node->load = loop_timer_new(node->loop, on_load, node);
    open_parts(node);
    for (int i = 0; i < HOSTS_MAX; i++) {
        node->agents[i].is_known = was_known[i] || i < sim->plan->hosts; /* DEFIB_AGENTS names them */
        node->agents[i].ping_at = node->agents[i].ask_at = sim->now;
    }
    loop_timer_start(node->step, 1, 0);
    loop_timer_start(node->check, node->config.check_interval_ms, node->config.check_interval_ms);
    node->runs = true;
    node->is_performing = false;
    controller_node_perform(node);
    sim->current = NULL;
    if (controller == sim->leader || !nodes[sim->leader].runs) {
        sim->controller_started_at = sim->now; /* a standby disturbs nobody */
    }
    sim_say("%s starts", node->name);
}

void controller_node_stop(int controller)
{
    struct controller_node *node = &nodes[controller];
    if (!node->runs) {
        return;
    }
    sim_say("%s is gone", node->name);
    node->runs = false;
    node->process.is_dead = true;
    node->process.life++;
    node->is_performing = true;
    for (size_t i = 0; i < CALLS_MAX; i++) {
        sim_cancel(node->calls[i].timeout);
        node->calls[i] = (struct call){0};
    }
    redis_session_close(node->session);
    hold_watch_free(node->holds);
    leader_lease_close(node->lease);
    restart_store_close(node->store);
    warning_limiter_free(node->warnings);
    decider_free(node->decider);
    fake_loop_free(node->loop);
    node->decider = NULL;
    disk_use(node->disk, NULL);
}

void controller_node_free(int controller)
{
    controller_node_stop(controller);
    if (nodes[controller].disk) {
        disk_free(nodes[controller].disk);
    }
    uint64_t life = nodes[controller].process.life;
    memset(&nodes[controller], 0, sizeof nodes[controller]);
    nodes[controller].process.life = life;
}

bool controller_node_runs(int controller)
{
    return nodes[controller].runs;
}

struct process *controller_node_process(int controller)
{
    return &nodes[controller].process;
}

struct decider *controller_node_decider(int controller)
{
    return nodes[controller].runs ? nodes[controller].decider : NULL;
}

struct disk *controller_node_disk(int controller)
{
    return nodes[controller].disk;
}
