/* What a simulated controller asks agents and sends to them, as agent_link.c does it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "proto/envelope.h"
#include "tests/sim/controller_node.h"

/* ---- agents ---- */

static struct call *call_of(struct controller_node *node, uint64_t token)
{
    for (size_t i = 0; i < CALLS_MAX; i++) {
        if (node->calls[i].token == token) {
            return &node->calls[i];
        }
    }
    return NULL;
}

struct arriving {
    int host;
    struct rpc_query query;
};

static void arriving_drop(void *arg)
{
    free(((struct arriving *)arg)->query.bytes);
    free(arg);
}

static void *arriving_copy(const void *arg)
{
    const struct arriving *arriving = arg;
    struct arriving *copy = memory_alloc(sizeof *copy);
    *copy = *arriving;
    if (arriving->query.bytes) {
        copy->query.bytes = memory_alloc(arriving->query.len + 1);
        memcpy(copy->query.bytes, arriving->query.bytes, arriving->query.len);
    }
    return copy;
}

static void on_arrived(void *arg)
{
    struct arriving *arriving = arg;
    agent_node_query(arriving->host, &arriving->query);
    arriving_drop(arg);
}

static void on_call_timeout(void *arg)
{
    struct call *call = arg;
    struct controller_node *node = call->node;
    call->timeout = NULL;
    struct call copy = *call;
    call->token = 0;
    struct node_agent *agent = &node->agents[copy.host];
    if (copy.op == OP_PING) {
        agent->pinging = 0;
    } else if (copy.op == OP_INVENTORY) {
        agent->asking = 0;
    } else {
        decider_answered(node->decider, &copy.id, -ETIMEDOUT, NULL, (struct mono){sim->now},
                         controller_node_wall(node));
        controller_node_perform(node);
    }
}

/* The token, or 0: nobody can be asked. */
static uint64_t send_query(struct controller_node *node, int host, struct rpc_query *query,
                           int64_t timeout_ms)
{
    struct call *call = call_of(node, 0);
    if (!call || !process_effect(&node->process)) {
        free(query->bytes);
        return 0;
    }
    query->controller = node->index;
    query->token = ((uint64_t)node->index << 56) | (++node->next_token & 0xffffffffffff) |
                   ((node->process.life & 0xff) << 48);
    *call = (struct call){query->token, host, query->id, query->op, NULL, node};
    call->timeout = sim_at(sim->now + timeout_ms, &node->process, on_call_timeout, NULL, call);
    struct arriving *arriving = memory_alloc(sizeof *arriving);
    *arriving = (struct arriving){host, *query};
    uint64_t token = query->token;
    net_send(node->index, host, agent_node_process(host), on_arrived, arriving_drop, arriving_copy, arriving);
    return token;
}

static bool is_only_path(const struct controller_node *node, const struct node_agent *agent)
{
    int64_t silence_ms = 2 * sim->plan->beat_interval_ms + node->config.check_interval_ms;
    return node->is_redis_away || agent->registered_at == 0 || sim->now - agent->registered_at > silence_ms;
}

static int64_t ping_ms(const struct controller_node *node)
{
    int64_t most =
        node->config.check_interval_ms < PING_MAX_MS ? node->config.check_interval_ms : PING_MAX_MS;
    return node->config.agent_lost_ms / 3 < most ? node->config.agent_lost_ms / 3 : most;
}

static void send_due(struct controller_node *node, int host)
{
    struct node_agent *agent = &node->agents[host];
    int64_t ask_ms = node->config.fast_check_ms > 0 ? node->config.fast_check_ms : ASK_MAX_MS;
    bool is_ask_due = agent->wants_inventory || (is_only_path(node, agent) && sim->now >= agent->ask_at);
    if (is_ask_due && !agent->asking) {
        agent->ask_at = sim->now + ask_ms;
        struct rpc_query query = {.op = OP_INVENTORY,
                                  .epoch = leader_lease_epoch(node->lease),
                                  .if_change = agent->wants_inventory ? 0 : agent->change};
        agent->asking = send_query(node, host, &query, INVENTORY_TIMEOUT_MS);
        if (agent->asking) {
            agent->ping_at = sim->now + ping_ms(node);
        }
    }
    if (sim->now >= agent->ping_at && !agent->pinging && !agent->asking) {
        agent->ping_at = sim->now + ping_ms(node);
        struct rpc_query query = {.op = OP_PING, .epoch = leader_lease_epoch(node->lease)};
        agent->pinging = send_query(node, host, &query, QUERY_TIMEOUT_MS);
    }
}

/* As often as agent_link looks, but asleep while nothing can be due. */
void controller_links_step(void *arg)
{
    struct controller_node *node = arg;
    int64_t next = INT64_MAX;
    for (int host = 0; host < sim->plan->hosts; host++) {
        struct node_agent *agent = &node->agents[host];
        if (!agent->is_known) {
            continue;
        }
        send_due(node, host);
        int64_t at = agent->ping_at;
        if (is_only_path(node, agent) || agent->wants_inventory) {
            at = agent->ask_at < at ? agent->ask_at : at;
        } else {
            int64_t silent =
                agent->registered_at + 2 * sim->plan->beat_interval_ms + node->config.check_interval_ms;
            at = silent < at ? silent + 1 : at;
        }
        next = at < next ? at : next;
    }
    int64_t wait = next == INT64_MAX ? STEP_MS : next - sim->now;
    loop_timer_start(node->step, wait < STEP_MS ? STEP_MS : wait, 0);
}

void controller_links_soon(struct controller_node *node)
{
    loop_timer_start(node->step, 1, 0);
}

static void take_inventory(struct controller_node *node, int host, const struct rpc_answer *answer)
{
    struct node_agent *agent = &node->agents[host];
    if (!answer->doc) {
        agent->wants_inventory =
            !decider_observe_unchanged(node->decider, sim->dockers[host]->host, answer->agent, answer->change,
                                       PATH_RPC, (struct mono){sim->now});
        return;
    }
    agent->wants_inventory = false;
    struct registration *registration = &answer->doc->registration;
    agent->change = registration->change;
    controller_reads_registration(node, answer->doc, PATH_RPC);
}

static void take_command(struct controller_node *node, const struct call *call,
                         const struct rpc_answer *answer)
{
    const uint8_t *body;
    size_t len;
    struct answer decoded;
    answer_init(&decoded);
    int status = envelope_open(sim_keys(), ENVELOPE_ANSWER, sim->dockers[call->host]->host, answer->bytes,
                               answer->len, &body, &len, NULL);
    if (status == 0) {
        status = answer_decode(body, len, &decoded, NULL);
    }
    if (status == 0 && memcmp(&decoded.id, &call->id, sizeof call->id) != 0) {
        status = -EBADMSG;
    }
    if (status == 0) {
        leader_lease_heard(node->lease, decoded.epoch, decoded.redis);
        sim_say("answer %s of %s: %s", answer_code_name(decoded.code), sim->dockers[call->host]->host,
                decoded.detail);
        bool is_over = decoded.code != ANSWER_ACCEPTED;
        bool is_nothing = answer_code_changed_nothing(decoded.code) || decoded.code == ANSWER_UNKNOWN_ID;
        if (is_over) {
            check_completed(node->index, &call->id, is_nothing);
        }
    }
    decider_answered(node->decider, &call->id, status, status == 0 ? &decoded : NULL, (struct mono){sim->now},
                     controller_node_wall(node));
    answer_fini(&decoded);
}

void controller_node_take(int controller, struct rpc_answer *answer)
{
    struct controller_node *node = controller_node_of(controller);
    struct call *found = node->runs ? call_of(node, answer->token) : NULL;
    if (found && answer->token) {
        struct call call = *found;
        sim_cancel(found->timeout);
        *found = (struct call){0};
        struct node_agent *agent = &node->agents[call.host];
        if (call.op == OP_PING || call.op == OP_INVENTORY) {
            *(call.op == OP_PING ? &agent->pinging : &agent->asking) = 0;
            leader_lease_heard(node->lease, answer->epoch, answer->redis);
            if (answer->is_ok && call.op == OP_PING) {
                agent->wants_inventory |=
                    !decider_observe_unchanged(node->decider, sim->dockers[call.host]->host, answer->agent,
                                               answer->change, PATH_RPC, (struct mono){sim->now});
            } else if (answer->is_ok) {
                take_inventory(node, call.host, answer);
            }
            send_due(node, call.host);
            if (agent->wants_inventory || is_only_path(node, agent)) {
                controller_links_soon(node);
            }
        } else {
            take_command(node, &call, answer);
        }
        controller_node_perform(node);
    }
    redis_doc_drop(answer->doc);
    free(answer->bytes);
    free(answer);
}

static int host_index(const char *host)
{
    int index = -1;
    return sscanf(host, "host-%d", &index) == 1 && index >= 0 && index < sim->plan->hosts ? index : -1;
}

void controller_links_send(struct controller_node *node, const struct action *action)
{
    struct command command = *action->command;
    int host = host_index(action->host);
    int status = -ENOTCONN;
    if (host >= 0 && node->agents[host].is_known) {
        size_t len;
        cleanup_free uint8_t *body = command_encode(&command, &len);
        struct rpc_query query = {.op = command.op, .id = command.id, .command = command};
        query.bytes = envelope_seal(sim_keys(), ENVELOPE_REQUEST, action->host, body, len, &query.len);
        status = send_query(node, host, &query, action->timeout_ms) ? 0 : -ENOBUFS;
    }
    if (status != 0) {
        decider_answered(node->decider, &command.id, status, NULL, (struct mono){sim->now},
                         controller_node_wall(node));
    }
}
