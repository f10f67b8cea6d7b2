/* What the parts of a simulated Docker host share: its containers, its daemon, the agent's client of it. */
#ifndef DEFIB_TESTS_SIM_DOCKER_H
#define DEFIB_TESTS_SIM_DOCKER_H

#include "agent/engine_client.h"
#include "tests/sim/sim.h"

enum { EVENTS_KEPT = 256, EVENT_BYTES = 1024 };

struct docker_event {
    int64_t time_ns;
    char line[EVENT_BYTES];
};

/* An answer to list; shared by all calls between two changes. */
struct docker_rows {
    int refs;
    uint64_t change;
    size_t count;
    struct engine_summary *rows;
};
void docker_rows_drop(struct docker_rows *rows);

/* An event of the stream; signal 0, code -1: none. */
void docker_emit(struct box *box, const char *action, int signal, int code);
void docker_set_state(struct box *box, enum container_state state);
bool docker_has_process(const struct box *box);
int docker_start_now(struct box *box); /* 0, or the status of the Engine's refusal */
void docker_begin_stop(struct box *box, int64_t timeout_ms, bool is_restart, bool is_shutdown,
                       void (*on_done)(void *arg, bool is_done), void *arg);

void docker_client_event(struct docker *docker, const struct docker_event *event);
void docker_client_end(struct docker *docker); /* streams end, calls are lost */

#endif
