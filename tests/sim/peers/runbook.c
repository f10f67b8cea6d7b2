#include <stddef.h>

#include "tests/sim/peers/peer.h"

enum { MISSES = 3, ATTEMPTS = 3 };

static const int64_t backoff_ms[ATTEMPTS] = {5000, 15000, 45000};

static bool step(struct peer_memory *memory, const struct peer_view *view, int64_t now_ms)
{
    if (view->has_beat && view->is_beat_good) {
        memory->misses = 0;
        return false;
    }
    memory->misses++;
    if (memory->misses < MISSES || memory->attempts == ATTEMPTS || now_ms < memory->next_at_ms) {
        return false;
    }
    memory->next_at_ms = now_ms + backoff_ms[memory->attempts];
    memory->attempts++;
    return true;
}

const struct peer peer_runbook = {.name = "the runbook's original", .interval_ms = 15000, .step = step};
