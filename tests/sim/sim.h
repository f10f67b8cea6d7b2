/*
 * The simulated world: a virtual clock, processes that can die at any effect, Docker hosts, one Redis, links
 * between them, and the truth that the agents and controllers only hear of.
 *
 * What runs is defib's own code: both cores as they are, and of the shells redis_session, restart_store,
 * hold_watch, leader_lease, command_runner, command_desk and event_stream, on faked libraries (loop, redis
 * link, Engine client, disk). Only the paths of ordinary beats are played here (agent_node, controller_node),
 * so that a container-hour costs microseconds.
 */
#ifndef DEFIB_TESTS_SIM_SIM_H
#define DEFIB_TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/core/engine_json.h"
#include "common/clock.h"
#include "common/loop.h"
#include "common/name_patterns.h"
#include "controller/core/policy_config.h"
#include "proto/alert.h"
#include "proto/command.h"
#include "proto/keys.h"
#include "proto/registration.h"
#include "tests/sim/peers/peer.h"

enum { HOSTS_MAX = 32, BOXES_MAX = 16384, NODES_MAX = 2, NAME_BYTES = 64 };

/* ---- chance ---- */

struct dice {
    uint64_t state;
};
struct dice dice_of(uint64_t seed, uint64_t what); /* streams that have nothing to do with each other */
uint64_t dice_next(struct dice *dice);
int64_t dice_below(struct dice *dice, int64_t n); /* 0 for n <= 0 */
int64_t dice_range(struct dice *dice, int64_t low, int64_t high);
bool dice_hits(struct dice *dice, int per_mille);

/* ---- processes and events ---- */

/* An agent or a controller. Dead: what its code still does on its way out has no effect. */
struct process {
    const char *name;
    bool is_dead;
    uint64_t life;
    int64_t stalled_until;
    int64_t effects_left; /* it dies at that effect; 0: not planned */
    int64_t *wall_offset_ms;
    void (*on_death)(void *arg);
    void *arg;
};

/* True where the effect (a write, a message) takes place. */
bool process_effect(struct process *process);

struct event;
typedef void (*event_fn)(void *arg);
/* owner NULL: nobody's; else it does not happen after its death, and waits while it is stalled. `drop`, where
 * given, is called instead of fn for one that does not happen. */
struct event *sim_at(int64_t at, struct process *owner, event_fn fn, event_fn drop, void *arg);
void sim_cancel(struct event *event); /* before it happened; NULL is allowed */

struct loop *fake_loop_new(struct process *process);
void fake_loop_free(struct loop *loop); /* its timers too */
struct process *fake_loop_process(const struct loop *loop);

/* ---- Docker ---- */

enum engine_version { ENGINE_20, ENGINE_26 };

/* A container and the truth about it. */
struct box {
    struct docker *docker;
    int index, successor; /* 0: none */
    char id[LIMIT_ID_SIZE], name[NAME_BYTES], service[NAME_BYTES], instance[NAME_BYTES];
    /* what it is */
    enum docker_policy policy;
    int64_t policy_max;
    bool has_healthcheck, is_app, is_defib, is_redis, is_denied_label, is_allowed, is_denied, is_oneshot;
    bool is_agent_beating;       /* label defib.heartbeat=agent */
    int parent;                  /* index of the box whose network it lives in; -1 */
    char depends_on[NAME_BYTES]; /* label defib.depends_on */
    int64_t grace_label_ms;
    /* how it behaves */
    int64_t boot_ms, term_ms; /* term_ms -1: ignores TERM */
    int64_t crash_after_ms;   /* this long after each start, as long as crashes_left; 0: never */
    int64_t crashes_left;
    int crash_code;
    bool is_start_failing;
    bool is_boot_silent; /* its service says nothing before it is up */
    bool is_sick_sticky; /* a restart does not cure it */
    /* as Docker has it */
    enum container_state state;
    enum container_health health;
    char started_at[LIMIT_TIME_SIZE];
    int64_t started_ns, finished_ns, started_ms;
    int exit_code;
    bool oom_killed, is_api_stopped, is_removed, is_acting;
    struct stopping *stopping; /* what waits for its end; NULL: nothing */
    char error[128];
    int64_t restart_count, policy_delay_ms;
    uint64_t life; /* of this run; events of an older one do not count */
    /* the truth */
    bool is_hung, is_degraded;
    bool is_operator_stopped; /* by an operator who has not started or reset it since */
    bool is_excused;          /* its agent died while a daemon went: it cannot know why it stopped */
    bool is_stop_told;        /* that stop can be told from one of a daemon that goes: it stayed */
    bool is_stop_seen;        /* its agent saw that stop, and dockerd stayed */
    bool is_held;             /* an operator's hold covers it */
    int64_t held_at, released_at;
    int64_t bad_at;       /* the last moment at which it was bad; now, while it is */
    int64_t good_since;   /* 0: it is not good */
    int64_t steady_since; /* as far as anybody could see */
    uint64_t bad_life;    /* in which it turned bad */
    int64_t created_at, removed_at, started_by_operator_at, reset_at, killed_at, stopped_at, renamed_at;
    struct event *app_beat;
    char beat_key[KEY_SIZE]; /* of its own beats; empty: as its name says */
    uint64_t beat_serial;    /* of the last of them */
    struct box *next;        /* on the same host */
    /* of invariants 3, 4, 22 */
    int64_t sends[64];
    int send_count;
    int64_t completed_at;
    int completed_attempt;
    int64_t cooldown_until;
    int64_t in_flight_until;
    char in_flight_id[LIMIT_COMMAND_ID_SIZE], last_id[LIMIT_COMMAND_ID_SIZE];
    int in_flight_controller;
    int64_t acted_at, last_attempt;
    bool is_given_back;
    int64_t due_at; /* invariant 11: by then an attempt must have left */
    int64_t due_since;
    int last_count;
    struct peer_memory peer;
    int64_t followed_ns, followed_attempt; /* the start of its parent that it was last restarted after */
};

struct docker {
    int index;
    char host[NAME_BYTES], boot_id[40];
    enum engine_version version;
    bool is_up, is_listening, is_live_restore, is_hanging, is_off, is_starting;
    struct dice dice;
    int64_t wall_offset_ms;
    int64_t last_ns;
    uint64_t runs;                /* of its daemon, but for those that found their containers alive */
    struct box *boxes, *last_box; /* the removed too */
    size_t box_count;
    uint64_t change;                   /* grows with all that a list would show */
    struct docker_rows *rows;          /* the last list, or NULL */
    struct docker_event *events;       /* those it remembers */
    size_t event_count, events_missed; /* missed: while it hung */
    struct engine_client *client;      /* of the agent's process, or NULL */
    int64_t disturbed_at;              /* its daemon or its event stream was not steady then */
};

struct docker *docker_new(int index, enum engine_version version);
void docker_free(struct docker *docker);
struct box *docker_add(struct docker *docker, const char *name, int64_t boot_ms);
void docker_start(struct box *box, const char *who); /* "operator", "docker", "defib" */
void docker_stop(struct box *box, int64_t timeout_ms);
void docker_kill(struct box *box, int signal);
void docker_restart(struct box *box, int64_t timeout_ms);
void docker_remove(struct box *box); /* rm -f */
void docker_rename(struct box *box, const char *name);
void docker_pause(struct box *box, bool is_paused);
void docker_die(struct box *box, int code, bool is_oom); /* of itself */
void docker_set_health(struct box *box, enum container_health health);
void docker_daemon(struct docker *docker, bool is_up, bool is_clean);
void docker_hang(struct docker *docker, bool is_hanging);
void docker_unsettle_stops(const struct docker *docker); /* nobody can say whether it outlived them */
bool docker_takes_calls(const struct docker *docker);
void docker_host_off(struct docker *docker); /* power; on with docker_daemon(true) */
bool docker_is_stale(const struct box *box); /* what it depends on was started after it */
void docker_truth(struct box *box);          /* look again whether it is good */
int64_t docker_next_ns(struct docker *docker);
struct engine_client *docker_client_new(struct docker *docker, struct process *process);
void docker_client_free(struct engine_client *client);

/* ---- Redis ---- */

struct redis_doc {
    int refs;
    enum doc_kind { DOC_TEXT, DOC_BEAT, DOC_REGISTRATION } kind;
    char *text;
    size_t len;
    uint64_t serial;   /* no two documents have the same */
    uint64_t beat_seq; /* REGISTRATION: of its entries */
    union {            /* a TEXT has no room for it */
        struct heartbeat beat;
        struct registration registration;
    };
};
struct redis_link;
struct redis_doc *redis_doc_new(enum doc_kind kind);
struct redis_doc *redis_doc_text(const char *bytes, size_t len);
void redis_doc_drop(struct redis_doc *doc);

void redis_reset(uint64_t seed);
void redis_fini(void);
bool redis_is_there(void);
void redis_set_up(bool is_up, bool keeps_data); /* down is a kill; up with or without its data */
void redis_flush(void);
void redis_evict(const char *key);
void redis_set_slow(int64_t latency_ms);
void redis_set_hanging(bool is_hanging);
void redis_set_readonly(bool is_readonly);
void redis_failover(void); /* to the replica, which is a little old */
void redis_snapshot(void); /* what the replica has */
void redis_put(const char *key, struct redis_doc *doc, int64_t ttl_ms); /* takes the reference */
struct redis_doc *redis_get(const char *key);                           /* borrowed, or NULL */
bool redis_is_written(const char *key);
void redis_delete(const char *key);
void redis_touch(const char *key, int64_t ttl_ms);

/* Many keys that one process writes again and again, unchanged but for time and number: they live as long as
 * it says, and it hears of each that was written, deleted or evicted by anybody. */
struct redis_lease {
    int64_t expire_at;
    uint64_t broken;
    struct wall timestamp;
};
void redis_lease(const char *key, struct redis_lease *lease);
void redis_lease_end(const struct redis_lease *lease);
size_t redis_hold_count(void);
size_t redis_keys(const char *prefix, const char **out, size_t max);
void redis_publish(struct redis_doc *doc); /* a beat; borrowed */
bool redis_is_linked(const struct process *process);
void redis_set_linked(const struct process *process, bool is_linked); /* false: silently cut */
/* Really connected at this moment, and writes are taken. */
bool redis_link_passes(const struct redis_link *link);
extern int64_t redis_lost_at;      /* when it last lost data */
extern int64_t redis_disturbed_at; /* when it last was anything but there, steady and full of its data */

/* ---- disks ---- */

struct disk; /* of one process: survives it */
struct disk *disk_new(const char *dir);
void disk_free(struct disk *disk);
void disk_use(struct disk *disk, struct process *process);
const char *disk_read(const struct disk *disk, const char *name, size_t *len);
void disk_write(struct disk *disk, const char *name, const void *bytes, size_t len);
void disk_append(struct disk *disk, const char *name, const void *bytes, size_t len);
void disk_tear(struct disk *disk, const char *name, size_t bytes); /* the end of it was never written */

/* ---- the network between controllers and agents ---- */

struct link_state {
    bool is_cut;     /* what is sent is lost */
    bool is_frozen;  /* what is sent waits, and comes late when it thaws */
    int loss, twice; /* per mille */
    int64_t delay_ms, spread_ms;
};
/* Hands `arg` to fn at the other end, once, twice or never; what never arrives is dropped. */
void net_send(int controller, int host, struct process *to, event_fn fn, event_fn drop,
              void *(*copy)(const void *arg), void *arg);
void net_thaw(int controller, int host);
void net_clear(void);

/* ---- nodes ---- */

struct agent_node;
void agent_node_start(int host);
void agent_node_stop(int host, bool is_torn); /* a crash: now */
bool agent_node_runs(int host);
struct process *agent_node_process(int host);
void agent_node_app_beats(int host, struct box *box);
/* Its key is there; *status is NULL where it says healthy. */
bool agent_node_app_status(const struct box *box, const char **status);
size_t agent_node_count(int host);
bool agent_node_is_acting(int host); /* a command of ours is under way */
bool agent_node_holds_running(int host, const char *id);
void agent_node_check(int host);
bool agent_node_sees(int host); /* it runs and its event stream is there */
void agent_node_free(int host);
/* Bytes at its door; returns whether a command came of them. */
bool agent_node_take_bytes(int host, const uint8_t *bytes, size_t len);

struct rpc_query {
    int controller;
    uint64_t controller_life, token;
    enum command_op op;
    uint64_t if_change, epoch;
    struct command_id id;
    uint8_t *bytes; /* commands travel as they are; */
    size_t len;
    struct command command; /* what stands in them, for the checks */
};
struct rpc_answer {
    int host;
    uint64_t token;
    bool has_registration;
    char agent[LIMIT_COMMAND_ID_SIZE];
    uint64_t change, epoch;
    enum redis_word redis;
    bool is_ok;
    struct redis_doc *doc; /* of an inventory: owned */
    uint8_t *bytes;
    size_t len;
};
struct key_ring;
const struct key_ring *sim_keys(void);
void agent_node_query(int host, const struct rpc_query *query);

void controller_node_start(int controller);
void controller_node_stop(int controller);
bool controller_node_runs(int controller);
struct process *controller_node_process(int controller);
void controller_node_take(int controller, struct rpc_answer *answer); /* takes it */
void controller_node_message(struct process *process, struct redis_doc *doc);
void controller_node_check(int controller);
void controller_node_free(int controller);
struct decider *controller_node_decider(int controller);
struct disk *controller_node_disk(int controller);

/* ---- the run ---- */

static const int64_t START_MS = 1000000; /* so that no time of a run is 0 */

#define FAULT_WORDS(X)                                                                                     \
    X(KILL, "kill")   /* docker kill */                                                                    \
    X(CRASH, "crash") /* exits of itself */                                                                \
    X(OOM, "oom")                                                                                          \
    X(HANG, "hang") /* service silent; with a HEALTHCHECK: unhealthy */                                    \
    X(HEAL, "heal") /* it gets well of itself */                                                           \
    X(DEGRADE, "degrade")                                                                                  \
    X(CRASH_LOOP, "crash_loop") /* a: how often; b: exit code */                                           \
    X(SLOW_START, "slow_start") /* a: boot ms */                                                           \
    X(FAIL_START, "fail_start") /* a: for so long */                                                       \
    X(STOP, "stop")                                                                                        \
    X(START, "start")                                                                                      \
    X(RESTART, "restart")                                                                                  \
    X(REMOVE, "remove")                                                                                    \
    X(RECREATE, "recreate")                                                                                \
    X(RENAME, "rename")                                                                                    \
    X(PAUSE, "pause")                                                                                      \
    X(UNPAUSE, "unpause")                                                                                  \
    X(RESET, "reset") /* DEL of its restart key */                                                         \
    X(HOLD, "hold")                                                                                        \
    X(RELEASE, "release")                                                                                  \
    X(DAEMON_STOP, "daemon_stop") /* a: back after */                                                      \
    X(DAEMON_KILL, "daemon_kill")                                                                          \
    X(DAEMON_HANG, "daemon_hang")                                                                          \
    X(HOST_OFF, "host_off")                                                                                \
    X(AGENT_CRASH, "agent_crash") /* a: back after; b: at that effect from now */                          \
    X(CONTROLLER_CRASH, "controller_crash")                                                                \
    X(STALL, "stall")           /* a: ms; b: 0 controller, 1 agent */                                      \
    X(CLOCK_JUMP, "clock_jump") /* a: ms, b: 0 controller, 1 host */                                       \
    X(REDIS_KILL, "redis_kill") /* a: back after, b: 1 without its data */                                 \
    X(REDIS_FLUSH, "redis_flush")                                                                          \
    X(REDIS_EVICT, "redis_evict")                                                                          \
    X(REDIS_HANG, "redis_hang")                                                                            \
    X(REDIS_SLOW, "redis_slow")                                                                            \
    X(REDIS_READONLY, "redis_readonly")                                                                    \
    X(REDIS_FAILOVER, "redis_failover")                                                                    \
    X(CUT_RPC, "cut_rpc") /* a: for ms, b: 1: late delivery instead of loss; 2: so for the leader alone */ \
    X(CUT_REDIS, "cut_redis") /* of a host's agent; b: 1 of the controller */                              \
    X(NOISY_RPC, "noisy_rpc")                                                                              \
    X(GARBAGE, "garbage")     /* rubbish in a key; a: which */                                             \
    X(FORGED, "forged")       /* unauthenticated bytes at the agent's door */                              \
    X(MASS, "mass")           /* a boxes at once */                                                        \
    X(HOST_LOSS, "host_loss") /* agent and both paths away */

#define FAULT_MEMBER(name, word) FAULT_##name,
enum fault_kind { FAULT_WORDS(FAULT_MEMBER) FAULT_N };
#undef FAULT_MEMBER

struct fault {
    int64_t at;
    enum fault_kind kind;
    int host, box; /* -1: none */
    int64_t a, b;
};

const char *fault_name(enum fault_kind kind);
void fault_apply(const struct fault *fault);

/* Expectations of a scenario. */
struct expectation {
    bool is_never;
    char what[24]; /* send, alert, act */
    char name[NAME_BYTES], word[40];
    int64_t from, to;
    int min, max, seen;
};

struct plan {
    uint64_t seed;
    int hosts, boxes, controllers;
    int64_t duration_ms;
    bool is_json, is_shadowed, is_all_beats, is_calm;
    bool is_scenario, is_replay; /* from a file; and that names a seed */
    bool is_compared;            /* with peers: what counts is counted */
    const struct peer *peer;     /* instead of defib; NULL: none */
    struct policy_config policy;
    char allow[512], deny[512];
    int64_t beat_interval_ms;
    enum engine_version version;
    bool is_live_restore;
    struct fault *faults;
    size_t fault_count;
    struct expectation expectations[64];
    size_t expectation_count;
    struct box_plan {
        char name[NAME_BYTES];
        int host;
        int64_t boot_ms, term_ms, grace_ms;
        char depends_on[NAME_BYTES];
        bool is_boot_silent;
        bool is_app, has_healthcheck, is_denied_label, is_redis, is_defib;
        enum docker_policy policy;
        char service[NAME_BYTES];
        int parent;
    } named[64];
    size_t named_count;
    char title[128];
};

/* A few containers and much trouble; a large fleet and little (0: a usual number of hosts and containers). */
void plan_storm(struct plan *plan, uint64_t seed, int64_t hours);
/* To a storm: a second controller, and what makes them take turns. */
void plan_add_controller(struct plan *plan, int64_t hours);
/* Much trouble for containers that anybody may touch. */
void plan_compared(struct plan *plan, uint64_t seed, int64_t hours, const struct peer *peer);
void plan_calm(struct plan *plan, uint64_t seed, int64_t hours, int hosts, int boxes);
void plan_defaults(struct plan *plan);
/* As a scenario into that folder, where one is given. */
void plan_keep(const struct plan *plan, const char *dir);
int plan_from_file(struct plan *plan, const char *path);
void plan_print(const struct plan *plan);
void plan_fini(struct plan *plan);

struct sim {
    int64_t now;
    uint64_t order;
    struct process *current;
    const struct plan *plan;
    struct policy_config policy;
    struct name_patterns allow, deny;
    struct dice dice;
    struct docker *dockers[HOSTS_MAX];
    struct box *boxes[BOXES_MAX];
    int box_count;
    struct link_state links[NODES_MAX][HOSTS_MAX];
    int64_t controller_wall_offset[NODES_MAX];
    int64_t link_disturbed_at[HOSTS_MAX];
    int64_t agent_down_at[HOSTS_MAX];
    int64_t agent_back_at[HOSTS_MAX];
    int64_t controller_started_at, stall_until, clock_jumped_at; /* started: or began to lead */
    int64_t led_at; /* when one last began to lead, or led on after a pause */
    int leader;     /* the controller that last began to lead */
    int tilted;
    int64_t tilting_at; /* when that stall began, or its clock jumped */
    int64_t tilted_at;  /* when controller `tilted` could know that it had stalled, or its clock had jumped */
    uint64_t trace;     /* a hash of everything that was done */
    bool is_verbose, is_ending;
    int64_t released_any_at, last_fault_at;
    int64_t cascades_since;
    int cascades;
    int want;   /* only this invariant is looked for; 0: all */
    int failed; /* the first invariant that did not hold; 0: all held; -1: an expectation */
    char failure[512];
    double box_hours;
    uint64_t sends, acts, wrong_restarts, decisions;
    uint64_t peer_acts, peer_wrong; /* as peer_world.c counts them, for all policies alike */
    int64_t downtime_ms;
};
extern struct sim *sim;

void sim_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
struct wall sim_wall(int64_t offset_ms);
struct box *sim_box(const char *name); /* that is not removed; NULL */
struct box *sim_box_by_id(const char *id);
struct box *sim_box_of(int index); /* the living one that began as that */
int64_t sim_calm_since(int host);  /* the last disturbance of what leads to this host */

/* Runs it; what it found is in *out. */
void sim_run(const struct plan *plan, bool is_verbose, int want, struct sim *out);

/* ---- peers ---- */

/* Prints a table of restarts, wrong ones and downtime. */
void compare_peers(uint64_t first_seed, uint64_t seeds, int64_t hours, bool is_verbose);
void peer_begin(void);
void peer_count_act(const struct box *box); /* Docker was asked to touch it */

/* ---- what must hold ---- */

enum { INVARIANTS = 30 };
struct invariant {
    int number;
    const char *text;
    const char *how;
    uint64_t exercised;
};
extern struct invariant invariants[INVARIANTS + 1];

/* A check of invariant `number`: what it found wrong ends the run. */
#define INV(number, holds, ...) inv((number), (holds), __VA_ARGS__)
bool inv(int number, bool holds, const char *format, ...) __attribute__((format(printf, 3, 4)));
void inv_met(int number); /* a situation that the invariant is about: it was survived, if nothing follows */

struct command;
void check_send(int controller, const struct command *command);
void check_completed(int controller, const struct command_id *id, bool is_given_back);
void check_told(const char *command_hex, enum answer_code code);
void check_act(struct box *box, const char *started_at, enum command_op act);
void check_alert(int controller, const struct alert *alert);
void check_class(int host, const char *id, enum stop_class class);
void check_count(int controller, const char *container, int64_t count, bool is_forgotten);
void check_kill(struct box *box);
void check_crash(struct box *box);
void check_death(struct box *box);
void check_note_epoch(int host, uint64_t epoch);    /* a message under it was heard */
void check_forget_epochs(int host, uint64_t epoch); /* but for that one, which its agent's disk tells */
void check_lost_budgets(void); /* another one begins to lead: what Redis lost just now nobody knows */
void check_note_command(int host, const struct command *command, bool is_job);
void check_note_reset(struct box *box);
void check_periodic(void);
void check_end(void);
void check_begin(void);
void check_codecs(struct dice *dice);

#endif
