#include <stddef.h>

#include "tests/sim/peers/peer.h"

static bool step(struct peer_memory *memory, const struct peer_view *view, int64_t now_ms)
{
    (void)memory;
    (void)now_ms;
    return view->is_running && view->is_unhealthy;
}

const struct peer peer_polling = {.name = "unhealthy-polling every 5 s", .interval_ms = 5000, .step = step};

const struct peer peer_polling_and_docker = {.name = "unhealthy-polling with Docker's policy",
                                             .interval_ms = 5000,
                                             .has_docker_policy = true,
                                             .step = step};
