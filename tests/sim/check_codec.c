/* 24: random documents through the codecs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "proto/heartbeat.h"
#include "proto/restart_state.h"
#include "tests/sim/check.h"
#include "tests/sim/sim.h"

/* The same moment, written by somebody two and a half hours to the east. */
static void check_offset(struct heartbeat *beat)
{
    struct heartbeat again;
    int64_t ms = beat->timestamp.ms;
    size_t len;
    beat->timestamp.ms = ms + 9000000;
    cleanup_free char *text = heartbeat_encode(beat, &len);
    beat->timestamp.ms = ms;
    const char *at = strstr(text, "\"timestamp\""), *end = at ? strchr(at, 'Z') : NULL;
    char other[2048];
    snprintf(other, sizeof other, "%.*s+02:30%s", end ? (int)(end - text) : 0, text, end ? end + 1 : "");
    bool is_read = end && heartbeat_decode(other, strlen(other), &again, NULL) == 0;
    INV(24, is_read && again.timestamp.ms == ms, "%s is not read as it is meant", other);
    if (is_read) {
        heartbeat_fini(&again);
    }
}

static void check_times(struct dice *dice)
{
    int64_t ms = 1700000000000 + dice_below(dice, 100000000) * 1000;
    struct wall wall = {ms};
    struct heartbeat beat, again;
    static const char *const suffixes[] = {"Z", "+00:00", "", ".000Z", ".000000000+00:00"};
    heartbeat_init(&beat);
    memory_set_text(beat.service, sizeof beat.service, "s");
    memory_set_text(beat.instance_id, sizeof beat.instance_id, "i");
    beat.status = BEAT_HEALTHY;
    beat.timestamp = wall;
    size_t len;
    cleanup_free char *text = heartbeat_encode(&beat, &len);
    char *at = strstr(text, "\"timestamp\"");
    char *end = at ? strchr(at, 'Z') : NULL;
    if (!INV(24, end != NULL, "no timestamp in %s", text)) {
        return;
    }
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        char other[2048];
        snprintf(other, sizeof other, "%.*s%s%.*s", (int)(end - text), text, suffixes[i],
                 (int)strlen(end) - 2, end + 1);
        size_t other_len = strlen(other);
        memory_set_text(other + other_len, sizeof other - other_len, ",\"zebra\":{\"x\":[1,2]}}");
        bool is_read = heartbeat_decode(other, strlen(other), &again, NULL) == 0;
        if (!INV(24, is_read && again.timestamp.ms == ms, "%s is not read", other) || !is_read) {
            return;
        }
        cleanup_free char *back = heartbeat_encode(&again, &len);
        INV(24, strstr(back, "zebra") != NULL, "an unknown field was lost: %s", back);
        heartbeat_fini(&again);
    }
    check_offset(&beat);
    heartbeat_fini(&beat);
}

static void check_state(struct dice *dice)
{
    struct restart_state state, again;
    restart_state_init(&state);
    state.attempt_count = dice_below(dice, 9);
    state.cooldown_until.ms = 1700000000000 + dice_below(dice, 100000) * 1000;
    state.is_in_flight = dice_hits(dice, 500);
    memory_set_text(state.last_failure_reason, sizeof state.last_failure_reason, "missing_heartbeat");
    size_t len;
    cleanup_free char *text = restart_state_encode(&state, &len);
    bool is_read = restart_state_decode(text, len, &again, NULL) == 0;
    INV(24,
        is_read && again.attempt_count == state.attempt_count &&
            again.cooldown_until.ms == state.cooldown_until.ms && again.is_in_flight == state.is_in_flight,
        "a restart state changed on its way: %s", text);
    if (is_read) {
        restart_state_fini(&again);
    }
    restart_state_fini(&state);
}

void check_codecs(struct dice *dice)
{
    check_times(dice);
    check_state(dice);
}
