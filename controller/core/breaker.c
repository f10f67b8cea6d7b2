#include "controller/core/breaker.h"

/* Fractions are not exact in binary: 0.07 x 100 must be 7. */
static const double ROUNDING = 1e-9;

bool breaker_is_too_many(const struct breaker_limits *limits, int64_t managed, int64_t failures)
{
    return failures >= limits->min && (double)failures + ROUNDING >= limits->fraction * (double)managed;
}

static void open(struct breaker *breaker, struct mono now)
{
    breaker->is_open = true;
    breaker->has_canary = false;
    breaker->opened_at = now;
    breaker->below_since = (struct mono){0};
    breaker->start_at = now;
    breaker->wait_ms = BREAKER_WAIT_MS;
    breaker->canary_at = mono_add(now, BREAKER_WAIT_MS);
}

enum breaker_change breaker_look(struct breaker *breaker, const struct breaker_limits *limits,
                                 int64_t managed, struct mono now)
{
    if (!breaker->is_open) {
        if (!breaker_is_too_many(limits, managed, breaker->recent)) {
            return BREAKER_AS_IT_WAS;
        }
        open(breaker, now);
        return BREAKER_OPENED;
    }
    if (breaker_is_too_many(limits, managed, breaker->recent + breaker->lasting)) {
        breaker->below_since = (struct mono){0};
        return BREAKER_AS_IT_WAS;
    }
    if (breaker->below_since.ms == 0) {
        breaker->below_since = now;
    }
    if (mono_diff(now, breaker->below_since) < BREAKER_CALM_MS) {
        return BREAKER_AS_IT_WAS;
    }
    breaker->is_open = false;
    breaker->has_canary = false;
    return BREAKER_CLOSED;
}

struct mono breaker_turn_at(const struct breaker *breaker, enum breaker_turn turn)
{
    if (!breaker->is_open) {
        return (struct mono){0};
    }
    if (turn == BREAKER_START) {
        return breaker->start_at;
    }
    return breaker->has_canary ? MONO_NEVER : breaker->canary_at;
}

void breaker_take_turn(struct breaker *breaker, enum breaker_turn turn, struct mono now)
{
    if (!breaker->is_open) {
        return;
    }
    if (turn == BREAKER_START) {
        breaker->start_at = mono_add(now, BREAKER_START_MS);
    } else {
        breaker->has_canary = true;
    }
}

void breaker_end_canary(struct breaker *breaker, enum canary_fate fate, struct mono now)
{
    if (!breaker->has_canary) {
        return;
    }
    breaker->has_canary = false;
    switch (fate) {
    case CANARY_HEALTHY:
        breaker->wait_ms = BREAKER_WAIT_MS;
        breaker->canary_at = now;
        break;
    case CANARY_FAILED:
        breaker->wait_ms =
            breaker->wait_ms * 2 < BREAKER_WAIT_MAX_MS ? breaker->wait_ms * 2 : BREAKER_WAIT_MAX_MS;
        breaker->canary_at = mono_add(now, breaker->wait_ms);
        break;
    case CANARY_VOID:
        breaker->canary_at = now;
        break;
    }
}
