/* What the parts of a simulated agent share. */
#ifndef DEFIB_TESTS_SIM_AGENT_NODE_H
#define DEFIB_TESTS_SIM_AGENT_NODE_H

#include <uthash.h>

#include "agent/agent.h"
#include "agent/command_desk.h"
#include "agent/event_stream.h"
#include "common/redis_link.h"
#include "tests/sim/sim.h"

#define STATE_FILE "agent.state"
#define LOG_FILE   "commands.log"

enum owner { OWNER_UNKNOWN, OWNER_OURS };
enum intent_known { INTENT_UNKNOWN, INTENT_WRITTEN, INTENT_ABSENT };
enum writer { WRITER_NONE, WRITER_US, WRITER_OTHER_AGENT, WRITER_APP };

struct memory {
    char id[LIMIT_ID_SIZE];
    char key[KEY_SIZE];
    enum owner owner;
    uint64_t written; /* serial of our document; 0: nothing */
    uint64_t change;  /* the container's, that it tells of */
    enum intent_known intent;
    UT_hash_handle hh;
};

struct agent_node {
    struct agent agent; /* first */
    int host;
    struct docker *docker;
    struct process process;
    struct disk *disk;
    char dir[32], name[24];
    bool runs, is_restarting;
    struct redis_link *link;
    bool has_lost_redis; /* or has not found it */
    struct command_runner *runner;
    struct command_desk *desk;
    struct loop_timer *interval, *command_tick;
    bool is_ticking, is_recovered;
    struct memory *memories;
    uint64_t seq, registration_seq;
    struct redis_lease lease;            /* of the keys of those that beat on unchanged */
    uint64_t writes;                     /* and anything else that was done about a key */
    uint64_t quiet_change, quiet_broken; /* at the last look at all, which found nothing to do */
    bool is_quiet;
    struct redis_doc *registration; /* the last one; ours is one reference */
    uint64_t registration_change;
    size_t unsynced; /* of the outcome file */
    int64_t interval_due;
};

struct agent_node *agent_node_of(int host);

/* agent_beats.c: as heartbeat_publisher.c */
void agent_beats_all(struct agent_node *node);
void agent_beats_flush(struct agent_node *node); /* what changed */
void agent_beats_interval(void *node);
struct redis_doc *agent_beats_registration(struct agent_node *node); /* borrowed */

/* agent_doors.c: as command_server.c */
void agent_doors_open(struct agent_node *node);
void agent_doors_tick(void *node);

#endif
