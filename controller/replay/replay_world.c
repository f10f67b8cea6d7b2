#include "controller/replay/replay_world.h"

#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "controller/replay/replay_inputs.h"
#include "controller/replay/replay_model.h"

enum { ANY_INTERVAL_MS = 10000 };

/* ---- time ---- */

static void set_time(struct replay_world *world, struct mono now)
{
    world->wall.ms += mono_diff(now, world->now);
    world->now = now;
}

static size_t next_of(const struct replay_world *world, size_t from, enum journal_kind kind)
{
    while (from < world->script.count && world->script.inputs[from]->kind != kind) {
        from++;
    }
    return from;
}

/* While the recorded loop stood still, nothing happens here either. */
static bool is_standing_still(struct replay_world *world, struct mono when)
{
    if (world->tilt < world->at) {
        world->tilt = next_of(world, world->at, JOURNAL_TILT);
    }
    return world->tilt < world->script.count && when.ms > world->script.inputs[world->tilt]->since.ms;
}

/* That tick is recorded, as late as it came. */
static bool is_tick_recorded(struct replay_world *world, struct mono due)
{
    if (world->tick < world->at) {
        world->tick = next_of(world, world->at, JOURNAL_TICK);
    }
    return world->tick < world->script.count && due.ms >= world->script.inputs[world->tick]->since.ms;
}

static struct mono tick_due(struct replay_world *world)
{
    struct mono due = world->is_ticking ? decider_wake_at(world->decider) : MONO_NEVER;
    due = due.ms < world->now.ms ? world->now : due;
    return is_tick_recorded(world, due) ? MONO_NEVER : due;
}

static void tick(struct replay_world *world, struct mono due)
{
    set_time(world, due);
    decider_tick(world->decider, world->now, world->wall);
    replay_model_drain(world);
    if (decider_wake_at(world->decider).ms <= due.ms) {
        set_time(world, mono_add(due, 1)); /* it wants to be woken at once, and is, as by the loop */
    }
}

/* All that comes of itself up to that moment. */
static void run_until(struct replay_world *world, struct mono until)
{
    for (;;) {
        struct mono due = tick_due(world);
        struct mono event = replay_events_next(&world->events);
        struct mono first = mono_min(due, event);
        if (first.ms >= until.ms || is_standing_still(world, first)) {
            return;
        }
        if (event.ms <= due.ms) {
            struct replay_event next = replay_events_take(&world->events);
            set_time(world, next.when.ms > world->now.ms ? next.when : world->now);
            replay_model_happen(world, &next);
            replay_model_drain(world);
        } else {
            tick(world, due);
        }
    }
}

static void play_all(struct replay_world *world)
{
    for (; world->at < world->script.count; world->at++) {
        const struct journal_input *input = world->script.inputs[world->at];
        struct mono when = world->script.when[world->at];
        run_until(world, when);
        set_time(world, when.ms > world->now.ms ? when : world->now);
        if (input->kind != JOURNAL_HEARD && input->wall.ms != 0) {
            world->wall = input->wall; /* may have been set meanwhile */
        }
        replay_inputs_play(world);
        replay_model_drain(world);
    }
}

/* ---- the whole ---- */

static int64_t recorded_interval_ms(const struct journal_input *start)
{
    const char *text = journal_text(start->set, "HEARTBEAT_INTERVAL_SECS");
    double secs = text != NULL ? strtod(text, NULL) : 0;
    return secs > 0 && secs < 1e6 ? (int64_t)(secs * 1000) : ANY_INTERVAL_MS;
}

static void begin(struct replay_world *world, const struct policy_config *config,
                  const struct journal_input *start)
{
    struct journal_input resumed = *start;
    if (start->settled_at.ms > start->at.ms) {
        resumed.settled_at = mono_add(start->at, config->settle_ms);
    }
    world->now = start->at;
    world->wall = start->wall;
    world->interval_ms = recorded_interval_ms(start);
    world->is_redis_up = start->is_redis_up;
    world->decider = decider_new(config, start->seed, start->at);
    decider_resume(world->decider, &resumed);
    world->is_claimed = memory_alloc(world->script.count * sizeof *world->is_claimed);
    world->tick = next_of(world, 0, JOURNAL_TICK);
    world->tilt = next_of(world, 0, JOURNAL_TILT);
}

static void end(struct replay_world *world)
{
    struct replay_host *host, *next;
    HASH_ITER (hh, world->hosts, host, next) {
        HASH_DEL(world->hosts, host);
        free(host->tracks);
        free(host->name);
        free(host);
    }
    decider_free(world->decider);
    replay_script_fini(&world->script);
    replay_events_fini(&world->events);
    free(world->is_claimed);
}

void replay_world_run(struct replay_stretch *stretch, const struct policy_config *config, bool is_same,
                      struct wall until, struct replay_deeds *deeds, struct replay_told *told)
{
    struct replay_world world = {.deeds = deeds, .told = told, .is_same = is_same};
    replay_script_init(&world.script, stretch);
    begin(&world, config, &stretch->inputs[0]);
    play_all(&world);
    if (until.ms > world.wall.ms) {
        run_until(&world, mono_add(world.now, until.ms - world.wall.ms + 1));
    }
    end(&world);
}
