#include "controller/agent_link.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <uthash.h>

#include "common/fault.h"
#include "common/log.h"
#include "common/memory.h"
#include "controller/agent_book.h"
#include "proto/command.h"
#include "proto/registration.h"

enum {
    STEP_MIN_MS = 50,
    STEP_MAX_MS = 500,
    QUERY_TIMEOUT_MIN_MS = 1000,
    QUERY_TIMEOUT_MAX_MS = 5000,
    INVENTORY_TIMEOUT_MS = 10000,
    MOVE_MS = 5000, /* from one move of an agent to the next: what is left is not closed at once */
    FORGET_MS = 24 * 3600 * 1000
};

struct agent {
    struct agent_link *link;
    char *host;
    char *url;      /* NULL: not known */
    char *next_url; /* learned: the client is closed at a later step, not under its own feet; may be NULL */
    struct mono move_at; /* not before */
    bool is_static;      /* DEFIB_AGENTS said so: what the agent itself advertises does not matter */
    struct rpc_client *client;
    bool is_pinging, is_asking;
    bool wants_inventory;
    struct mono ping_at, ask_at;
    struct mono registered_at; /* the last fresh registration by Redis; MONO_NEVER: none */
    struct mono heard_at;      /* by either path, or made known */
    uint64_t change;           /* of the last inventory that came this way; 0: none */
    UT_hash_handle hh;
};

struct agent_link {
    struct agent_link_options options; /* its tls points at ours */
    struct rpc_tls tls;
    char *state_dir;
    struct key_ring keys;
    struct loop_timer *timer;
    struct agent *agents;
    struct latency latency;
    bool is_redis_away;
    bool is_book_stale;
    bool is_closing;
};

struct call {
    struct agent_link *link;
    char *host;
    struct command_id id;
    enum command_op op;
    struct mono sent_at;
    agent_link_callback on_answer; /* an operator's; NULL: ours */
    void *arg;
};

static struct mono link_now(const struct agent_link *link)
{
    return decider_port_now(&link->options.port);
}

static int64_t smaller(int64_t left, int64_t right)
{
    return left < right ? left : right;
}

static int64_t larger(int64_t left, int64_t right)
{
    return left > right ? left : right;
}

static struct agent *find(const struct agent_link *link, const char *host)
{
    struct agent *agent;
    HASH_FIND_STR(link->agents, host, agent);
    return agent;
}

/* ---- the agents and where they are ---- */

/* The host part of scheme://host:port, brackets dropped; the certificate must name it. */
static void server_name(const char *url, char *out, size_t size)
{
    const char *start = strstr(url, "://");
    start = start == NULL ? url : start + 3;
    bool is_bracketed = *start == '[';
    start += is_bracketed;
    size_t len = strcspn(start, is_bracketed ? "]" : ":/");
    len = len < size ? len : size - 1;
    memcpy(out, start, len);
    out[len] = '\0';
}

static void on_trouble(void *arg, const char *text)
{
    struct agent *agent = arg;
    warning_limiter_warn(agent->link->options.warnings, agent->host, link_now(agent->link),
                         "Agent %s cannot be reached at %s: %s", agent->host, agent->url, text);
}

static void open_client(struct agent *agent)
{
    const struct agent_link_options *options = &agent->link->options;
    char name[LIMIT_URL_SIZE];
    server_name(agent->url, name, sizeof name);
    struct rpc_tls tls = {0};
    if (options->tls != NULL) {
        tls = *options->tls;
        tls.server_name = name;
    }
    struct rpc_client_options client = {.url = agent->url,
                                        .tls = options->tls == NULL ? NULL : &tls,
                                        .max_bytes = LIMIT_ANSWER_BYTES,
                                        .on_trouble = on_trouble,
                                        .arg = agent};
    struct err err;
    if (rpc_client_open(options->port.loop, &client, &agent->client, &err) != 0) {
        agent->client = NULL;
        warning_limiter_warn(options->warnings, agent->host, link_now(agent->link),
                             "Agent %s cannot be dialled: %s", agent->host, err.text);
    }
}

static void close_client(struct agent *agent)
{
    struct rpc_client *client = agent->client;
    agent->client = NULL; /* the cancelled calls' callbacks may want to send again */
    rpc_client_close(client);
}

static void set_url(struct agent *agent, const char *url)
{
    if (agent->url != NULL && strcmp(agent->url, url) == 0) {
        return;
    }
    if (agent->url != NULL) {
        log_info("Agent %s is reached at %s now, no longer at %s", agent->host, url, agent->url);
        agent->move_at = mono_add(link_now(agent->link), MOVE_MS);
    }
    close_client(agent);
    free(agent->url);
    agent->url = memory_copy_text(url);
    agent->link->is_book_stale = true;
    agent->ping_at = link_now(agent->link);
    open_client(agent);
}

/* A new one is asked at once: it may be the only news of its host. */
static struct agent *find_or_add(struct agent_link *link, const char *host)
{
    struct agent *agent = find(link, host);
    if (agent == NULL && HASH_COUNT(link->agents) < AGENT_BOOK_HOSTS) {
        agent = memory_alloc(sizeof *agent);
        agent->link = link;
        agent->host = memory_copy_text(host);
        agent->registered_at = MONO_NEVER;
        agent->heard_at = agent->ping_at = agent->ask_at = agent->move_at = link_now(link);
        HASH_ADD_KEYPTR(hh, link->agents, agent->host, strlen(agent->host), agent);
    }
    return agent;
}

static void drop_agent(struct agent *agent)
{
    HASH_DEL(agent->link->agents, agent);
    close_client(agent);
    free(agent->host);
    free(agent->url);
    free(agent->next_url);
    free(agent);
}

static void add_static(void *arg, const char *host, const char *url)
{
    struct agent *agent = find_or_add(arg, host);
    if (agent != NULL) {
        set_url(agent, url);
        agent->is_static = true;
    }
}

static void add_known(void *arg, const char *host, const char *url)
{
    struct agent *agent = find_or_add(arg, host);
    if (agent != NULL && !agent->is_static) {
        set_url(agent, url);
    }
}

static void learn_url(struct agent *agent, const char *url)
{
    if (agent->is_static || *url == '\0') {
        return;
    }
    if (!agent_book_is_entry(agent->host, url)) {
        warning_limiter_warn(agent->link->options.warnings, agent->host, link_now(agent->link),
                             "Agent %s advertises a URL that cannot be dialled: %.64s", agent->host, url);
        return;
    }
    if (agent->client == NULL) {
        set_url(agent, url);
        return;
    }
    free(agent->next_url);
    agent->next_url = strcmp(agent->url, url) == 0 ? NULL : memory_copy_text(url);
}

void agent_link_learn(struct agent_link *link, const char *host, const char *url, uint64_t epoch)
{
    struct agent *agent = find_or_add(link, host);
    if (agent == NULL) {
        warning_limiter_warn(link->options.warnings, AGENT_BOOK_FILE, link_now(link),
                             "More than %d agents: %s is left out", AGENT_BOOK_HOSTS, host);
        return;
    }
    agent->heard_at = agent->registered_at = link_now(link);
    leader_lease_heard(link->options.lease, epoch, REDIS_WORD_UNKNOWN);
    learn_url(agent, url);
}

void agent_link_each(const struct agent_link *link, void (*visit)(void *arg, const char *host), void *arg)
{
    struct agent *agent, *next;
    HASH_ITER (hh, link->agents, agent, next) {
        visit(arg, agent->host);
    }
}

static void put_each(void *arg, void (*put)(void *book, const char *host, const char *url), void *book)
{
    struct agent_link *link = arg;
    struct agent *agent, *next;
    HASH_ITER (hh, link->agents, agent, next) {
        if (agent->url != NULL && agent_book_is_entry(agent->host, agent->url)) {
            put(book, agent->host, agent->url);
        }
    }
}

static void write_book(struct agent_link *link)
{
    struct err err;
    link->is_book_stale = false;
    if (agent_book_write(link->state_dir, put_each, link, &err) != 0) {
        warning_limiter_warn(link->options.warnings, AGENT_BOOK_FILE, link_now(link),
                             "Cannot remember the agents: %s", err.text);
    }
}

/* ---- answers ---- */

static int open_answer(struct call *call, const uint8_t *bytes, size_t len, struct answer *answer,
                       struct err *err)
{
    const uint8_t *body;
    size_t body_len;
    int result =
        envelope_open(&call->link->keys, ENVELOPE_ANSWER, call->host, bytes, len, &body, &body_len, err);
    if (result == 0) {
        result = answer_decode(body, body_len, answer, err);
    }
    if (result == 0 && memcmp(&answer->id, &call->id, sizeof call->id) != 0) {
        result = err_set(err, EBADMSG, "it answers another request");
    }
    if (result == 0 && strcmp(answer->host, call->host) != 0) {
        result = err_set(err, EBADMSG, "it says that it is host %s", answer->host);
    }
    return result;
}

static void take_inventory(struct agent *agent, const struct answer *answer)
{
    struct agent_link *link = agent->link;
    const struct decider_port *port = &link->options.port;
    if (answer->payload == NULL) {
        /* A change counts within one process of the agent: the same number of another process is news. */
        agent->wants_inventory = !decider_observe_unchanged(port->decider, agent->host, answer->agent,
                                                            answer->change, PATH_RPC, link_now(link));
        return;
    }
    agent->wants_inventory = false;
    struct registration registration;
    struct err err = {0};
    size_t bad = 0;
    int result = registration_decode(answer->payload, answer->payload_len, &registration, &bad, &err);
    if (result == 0 && strcmp(registration.host, agent->host) != 0) {
        registration_fini(&registration);
        result = err_set(&err, EBADMSG, "it is that of host %s", registration.host);
    }
    if (result != 0 || bad > 0) {
        warning_limiter_warn(link->options.warnings, agent->host, link_now(link),
                             "The inventory of agent %s cannot be read%s: %s", agent->host,
                             result == 0 ? " completely" : "", err.text);
    }
    if (result != 0) {
        return;
    }
    agent->change = registration.change;
    decider_observe_registration(port->decider, &registration, PATH_RPC, link_now(link), clock_wall_now());
    learn_url(agent, registration.url);
    registration_fini(&registration);
}

static void take_ping(struct agent *agent, const struct answer *answer)
{
    const struct decider_port *port = &agent->link->options.port;
    if (!decider_observe_unchanged(port->decider, agent->host, answer->agent, answer->change, PATH_RPC,
                                   link_now(agent->link))) {
        agent->wants_inventory = true;
    }
}

static void send_due(struct agent *agent);

static void take_query(struct call *call, int status, const struct answer *answer)
{
    struct agent *agent = find(call->link, call->host);
    if (agent == NULL) {
        return;
    }
    *(call->op == OP_PING ? &agent->is_pinging : &agent->is_asking) = false;
    if (status != 0) {
        return;
    }
    agent->heard_at = link_now(call->link);
    leader_lease_heard(call->link->options.lease, answer->epoch, answer->redis);
    if (answer->code != ANSWER_OK) {
        warning_limiter_warn(call->link->options.warnings, call->host, link_now(call->link),
                             "Agent %s answers %s to %s: %s", call->host, answer_code_name(answer->code),
                             command_op_name(call->op), answer->detail);
    } else if (call->op == OP_PING) {
        take_ping(agent, answer);
    } else {
        take_inventory(agent, answer);
    }
    send_due(agent);
    decider_port_told(&call->link->options.port);
}

static void take_command(struct call *call, int status, const struct answer *answer)
{
    const struct decider_port *port = &call->link->options.port;
    FAULT_POINT("controller_answered");
    if (status == 0) {
        leader_lease_heard(call->link->options.lease, answer->epoch, answer->redis);
    }
    if (call->on_answer != NULL) {
        call->on_answer(call->arg, status, status == 0 ? answer : NULL);
        return;
    }
    decider_answered(port->decider, &call->id, status, status == 0 ? answer : NULL, link_now(call->link),
                     clock_wall_now());
    decider_port_told(port);
}

static void free_call(struct call *call)
{
    free(call->host);
    free(call);
}

static void on_answer(void *arg, int status, const uint8_t *bytes, size_t len)
{
    struct call *call = arg;
    struct answer answer;
    struct err err;
    answer_init(&answer);
    if (!call->link->is_closing) {
        if (status == 0 && (status = open_answer(call, bytes, len, &answer, &err)) != 0) {
            warning_limiter_warn(call->link->options.warnings, call->host, link_now(call->link),
                                 "An answer of agent %s does not count: %s", call->host, err.text);
        }
        if (status == 0 && call->op != OP_INVENTORY) {
            latency_observe(&call->link->latency, mono_diff(link_now(call->link), call->sent_at));
        }
        if (call->op == OP_PING || call->op == OP_INVENTORY) {
            take_query(call, status, &answer);
        } else {
            take_command(call, status, &answer);
        }
    }
    answer_fini(&answer);
    free_call(call);
}

/* ---- requests ---- */

static int send_for(struct agent *agent, const struct command *command, int64_t timeout_ms,
                    agent_link_callback callback, void *arg)
{
    if (agent->client == NULL) {
        return -ENOTCONN;
    }
    size_t body_len, len;
    cleanup_free uint8_t *body = command_encode(command, &body_len);
    cleanup_free uint8_t *bytes =
        envelope_seal(&agent->link->keys, ENVELOPE_REQUEST, agent->host, body, body_len, &len);
    struct call *call = memory_alloc(sizeof *call);
    *call = (struct call){agent->link, memory_copy_text(agent->host), command->id,
                          command->op, link_now(agent->link),         callback,
                          arg};
    int result = rpc_client_call(agent->client, bytes, len, timeout_ms, on_answer, call);
    if (result != 0) {
        free_call(call);
    }
    return result;
}

static int send_command(struct agent *agent, const struct command *command, int64_t timeout_ms)
{
    return send_for(agent, command, timeout_ms, NULL, NULL);
}

static bool send_query(struct agent *agent, enum command_op op, uint64_t if_change, int64_t timeout_ms)
{
    struct command command = {.op = op,
                              .epoch = leader_lease_epoch(agent->link->options.lease),
                              .ttl_ms = timeout_ms,
                              .sent_at_ms = (uint64_t)clock_wall_now().ms,
                              .if_change = if_change};
    memory_set_text(command.host, sizeof command.host, agent->host);
    if (getrandom(command.id.bytes, sizeof command.id.bytes, 0) != (ssize_t)sizeof command.id.bytes) {
        abort();
    }
    return send_command(agent, &command, timeout_ms) == 0;
}

static bool is_only_path(const struct agent *agent)
{
    const struct agent_link *link = agent->link;
    return link->is_redis_away || agent->registered_at.ms == MONO_NEVER.ms ||
           mono_diff(link_now(link), agent->registered_at) > link->options.silence_ms;
}

static void send_due(struct agent *agent)
{
    const struct agent_link_options *options = &agent->link->options;
    struct mono now = link_now(agent->link);
    int64_t timeout_ms = smaller(larger(options->ping_ms, QUERY_TIMEOUT_MIN_MS), QUERY_TIMEOUT_MAX_MS);
    bool is_ask_due = agent->wants_inventory || (is_only_path(agent) && mono_reached(now, agent->ask_at));
    if (is_ask_due && !agent->is_asking) {
        agent->ask_at = mono_add(now, options->ask_ms);
        agent->is_asking = send_query(agent, OP_INVENTORY, agent->wants_inventory ? 0 : agent->change,
                                      agent->wants_inventory ? INVENTORY_TIMEOUT_MS : timeout_ms);
        if (agent->is_asking) {
            agent->ping_at = mono_add(now, options->ping_ms); /* its answer proves the path as well */
        }
    }
    if (mono_reached(now, agent->ping_at) && !agent->is_pinging && !agent->is_asking) {
        agent->ping_at = mono_add(now, options->ping_ms);
        agent->is_pinging = send_query(agent, OP_PING, 0, timeout_ms);
    }
}

/* A walk over all agents has its price: only where one is asked for its inventory all the time are they many.
 */
static void arm(struct agent_link *link, bool is_asking)
{
    const struct agent_link_options *options = &link->options;
    int64_t step_ms = (is_asking ? smaller(options->ping_ms, options->ask_ms) : options->ping_ms) / 4;
    loop_timer_start(link->timer, smaller(larger(step_ms, STEP_MIN_MS), STEP_MAX_MS), 0);
}

static void on_step(void *arg)
{
    struct agent_link *link = arg;
    struct mono now = link_now(link);
    bool is_asking = false;
    struct agent *agent, *next;
    HASH_ITER (hh, link->agents, agent, next) {
        if (!agent->is_static && mono_diff(now, agent->heard_at) > FORGET_MS) {
            log_info("Agent %s was not heard of for a day: no longer asked", agent->host);
            link->is_book_stale = true;
            drop_agent(agent);
            continue;
        }
        if (agent->next_url != NULL && mono_reached(now, agent->move_at)) {
            cleanup_free char *url = memory_steal(agent->next_url);
            set_url(agent, url);
        }
        send_due(agent);
        is_asking = is_asking || is_only_path(agent);
    }
    if (link->is_book_stale) {
        write_book(link);
    }
    arm(link, is_asking);
}

const struct latency *agent_link_latency(const struct agent_link *link)
{
    return &link->latency;
}

void agent_link_forget(struct agent_link *link, const char *host)
{
    struct agent *agent = find(link, host);
    if (agent != NULL && !agent->is_static) {
        drop_agent(agent);
        write_book(link);
    }
}

void agent_link_send(struct agent_link *link, const char *host, const struct command *command,
                     int64_t timeout_ms)
{
    struct agent *agent = find(link, host);
    struct command_id id = command->id; /* the command itself may go away with the next word to the decider */
    FAULT_POINT("controller_sending");
    int result = agent == NULL ? -ENOTCONN : send_command(agent, command, timeout_ms);
    FAULT_POINT("controller_sent");
    if (result != 0) {
        decider_answered(link->options.port.decider, &id, result, NULL, link_now(link), clock_wall_now());
    }
}

int agent_link_ask(struct agent_link *link, const char *host, const struct command *command,
                   int64_t timeout_ms, agent_link_callback callback, void *arg)
{
    struct agent *agent = find(link, host);
    struct command asked = *command;
    asked.epoch = leader_lease_epoch(link->options.lease);
    return agent == NULL ? -ENOTCONN : send_for(agent, &asked, timeout_ms, callback, arg);
}

void agent_link_ask_all(struct agent_link *link)
{
    struct agent *agent, *next;
    HASH_ITER (hh, link->agents, agent, next) {
        agent->wants_inventory = true;
        agent->ping_at = link_now(link);
        send_due(agent);
    }
}

void agent_link_redis_away(struct agent_link *link, bool is_away)
{
    link->is_redis_away = is_away;
    struct agent *agent, *next;
    HASH_ITER (hh, link->agents, agent, next) {
        agent->ask_at = link_now(link);
        send_due(agent);
    }
    arm(link, is_away);
}

void agent_link_set_keys(struct agent_link *link, const struct key_ring *keys)
{
    link->keys = *keys;
}

/* What is under way ends without an answer: its outcome is asked for. */
void agent_link_renew(struct agent_link *link)
{
    struct agent *agent, *next;
    HASH_ITER (hh, link->agents, agent, next) {
        if (agent->url != NULL && strncmp(agent->url, "tls+tcp://", 10) == 0) {
            close_client(agent);
            open_client(agent);
            agent->ping_at = link_now(link);
        }
    }
}

int agent_link_open(const struct agent_link_options *options, struct agent_link **out, struct err *err)
{
    struct agent_link *link = memory_alloc(sizeof *link);
    link->options = *options;
    if (options->tls != NULL) {
        link->tls = *options->tls;
        link->options.tls = &link->tls;
    }
    link->state_dir = memory_copy_text(options->state_dir);
    link->keys = *options->keys;
    link->is_redis_away = true;
    link->timer = loop_timer_new(options->port.loop, on_step, link);
    int result = agent_book_parse(options->agents_text, add_static, link, err);
    if (result != 0) {
        agent_link_close(link);
        return result;
    }
    agent_book_read(options->state_dir, add_known, link);
    link->is_book_stale = false;
    loop_timer_start(link->timer, 0, 0);
    *out = link;
    return 0;
}

void agent_link_close(struct agent_link *link)
{
    if (link == NULL) {
        return;
    }
    link->is_closing = true;
    if (link->is_book_stale) {
        write_book(link);
    }
    struct agent *agent, *next;
    HASH_ITER (hh, link->agents, agent, next) {
        drop_agent(agent);
    }
    loop_timer_free(link->timer);
    key_ring_wipe(&link->keys);
    free(link->state_dir);
    free(link);
}
