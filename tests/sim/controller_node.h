/* What the parts of a simulated controller share. */
#ifndef DEFIB_TESTS_SIM_CONTROLLER_NODE_H
#define DEFIB_TESTS_SIM_CONTROLLER_NODE_H

#include "controller/core/decider.h"
#include "controller/decider_port.h"
#include "controller/hold_watch.h"
#include "controller/leader_lease.h"
#include "controller/redis_session.h"
#include "controller/restart_store.h"
#include "controller/warning_limiter.h"
#include "proto/keys.h"
#include "tests/sim/sim.h"

enum { PING_MAX_MS = 15000, ASK_MAX_MS = 1000, WATCH_MAX_MS = 1000, STEP_MS = 250 };
enum { LEASE_MS = 15000, QUERY_TIMEOUT_MS = 5000, INVENTORY_TIMEOUT_MS = 10000, LOAD_MS = 20 };
enum { CALLS_MAX = 256, WANTED_MAX = 1024, KEYS_MAX = 8192 };

struct node_agent {
    bool is_known, wants_inventory;
    uint64_t pinging, asking; /* tokens; 0: none */
    int64_t ping_at, ask_at, registered_at, ping_until, ask_until;
    uint64_t change;
    /* the consumer's */
    bool is_wanted;
    uint64_t document;
};

struct call {
    uint64_t token;
    int host;
    struct command_id id;
    enum command_op op;
    struct event *timeout;
    struct controller_node *node;
};

struct wanted {
    char container[NAME_BYTES], key[KEY_SIZE];
};

struct controller_node {
    int index;
    struct process process;
    struct disk *disk;
    char dir[32], name[24];
    bool runs, is_performing, is_watching, is_amnesic, has_told;
    struct loop *loop;
    struct policy_config config;
    struct decider *decider, *shadow;
    struct decider_port port;
    struct warning_limiter *warnings;
    struct redis_session *session;
    struct leader_lease *lease;
    struct mono leads_until;
    bool is_taking_over;
    struct hold_watch *holds;
    struct restart_store *store;
    struct loop_timer *tick, *step, *check, *load;
    int64_t tick_at;
    struct node_agent agents[HOSTS_MAX];
    struct call calls[CALLS_MAX];
    uint64_t next_token;
    struct wanted wanted[WANTED_MAX];
    size_t wanted_count;
    bool is_redis_away;
};

struct controller_node *controller_node_of(int controller);
struct wall controller_node_wall(const struct controller_node *node);
void controller_reads_want_host(struct controller_node *node, const char *host);
bool controller_reads_flush(struct controller_node *node);
void controller_reads_check(void *arg);
void controller_reads_observe(struct controller_node *node, const struct heartbeat *beat);
void controller_reads_registration(struct controller_node *node, struct redis_doc *doc, enum path path);
void controller_reads_host(struct controller_node *node, int host);
void controller_links_send(struct controller_node *node, const struct action *action);
void controller_links_step(void *arg);
void controller_links_soon(struct controller_node *node);
void controller_node_perform(void *arg);

#endif
