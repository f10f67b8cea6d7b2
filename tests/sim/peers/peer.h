/*
 * Other policies, as small pure functions, for the same faults: what a container looks like and when, to
 * whether it is restarted. None of them is asked about anything that it would not look at.
 */
#ifndef DEFIB_TESTS_SIM_PEERS_PEER_H
#define DEFIB_TESTS_SIM_PEERS_PEER_H

#include <stdbool.h>
#include <stdint.h>

/* What can be seen of a container from outside. */
struct peer_view {
    bool is_running;
    bool is_unhealthy; /* Docker's HEALTHCHECK */
    bool has_beat;     /* its key is in Redis, and Redis answers */
    bool is_beat_good; /* and says healthy */
};

/* Zeroed at first. */
struct peer_memory {
    int misses, attempts;
    int64_t next_at_ms;
};

struct peer {
    const char *name;
    int64_t interval_ms;    /* between two looks; 0: it never looks */
    bool has_docker_policy; /* all containers have `--restart unless-stopped` */
    bool (*step)(struct peer_memory *memory, const struct peer_view *view, int64_t now_ms);
};

/* The original of the runbook: any status but healthy is a miss, three of them a restart, three attempts with
 * backoff, and an attempt that helped is never given back. */
extern const struct peer peer_runbook;
/* Looks every 5 s and restarts what Docker calls unhealthy, without limit; as it is, and together with
 * Docker's own restart policy for what exits. */
extern const struct peer peer_polling, peer_polling_and_docker;
/* Docker's own restart policy alone. */
extern const struct peer peer_docker;

#endif
