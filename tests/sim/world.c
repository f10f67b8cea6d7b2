/*
 * The clock, the events, the loops; and what else the shells ask of the system.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/log.h"
#include "common/memory.h"
#include "tests/sim/sim.h"
#include "tests/sim/world.h"

struct sim *sim;

static const int64_t WALL_BASE_MS = 1770000000000;

/* ---- chance ---- */

struct dice dice_of(uint64_t seed, uint64_t what)
{
    struct dice first = {seed ^ (what << 32)};
    return (struct dice){dice_next(&first) * 0xd1342543de82ef95u + what};
}

uint64_t dice_next(struct dice *dice)
{
    uint64_t z = dice->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

int64_t dice_below(struct dice *dice, int64_t n)
{
    return n <= 0 ? 0 : (int64_t)(dice_next(dice) % (uint64_t)n);
}

int64_t dice_range(struct dice *dice, int64_t low, int64_t high)
{
    return low + dice_below(dice, high - low + 1);
}

bool dice_hits(struct dice *dice, int per_mille)
{
    return dice_below(dice, 1000) < per_mille;
}

/* ---- events ---- */

struct event {
    int64_t at;
    uint64_t order;
    struct process *owner;
    uint64_t life;
    event_fn fn, drop;
    void *arg;
    size_t place;
};

/* A heap of four children each, with what is compared beside it. */
struct slot {
    int64_t at;
    uint64_t order;
    struct event *event;
};

static struct slot *heap;
static size_t heap_count, heap_room;
static struct event *spare;

static bool is_earlier(const struct slot *left, const struct slot *right)
{
    return left->at != right->at ? left->at < right->at : left->order < right->order;
}

static void put(size_t place, struct slot slot)
{
    heap[place] = slot;
    slot.event->place = place;
}

static void sift_up(size_t place)
{
    struct slot slot = heap[place];
    while (place > 0 && is_earlier(&slot, &heap[(place - 1) / 4])) {
        put(place, heap[(place - 1) / 4]);
        place = (place - 1) / 4;
    }
    put(place, slot);
}

static void sift_down(size_t place)
{
    struct slot slot = heap[place];
    for (size_t first = 4 * place + 1; first < heap_count; first = 4 * place + 1) {
        size_t end = first + 4 < heap_count ? first + 4 : heap_count, least = first;
        for (size_t child = first + 1; child < end; child++) {
            least = is_earlier(&heap[child], &heap[least]) ? child : least;
        }
        if (!is_earlier(&heap[least], &slot)) {
            break;
        }
        put(place, heap[least]);
        place = least;
    }
    put(place, slot);
}

static void push(struct event *event)
{
    if (heap_count == heap_room) {
        heap_room = heap_room ? 2 * heap_room : 1024;
        heap = memory_grow(heap, heap_room, sizeof *heap);
    }
    put(heap_count, (struct slot){event->at, event->order, event});
    sift_up(heap_count++);
}

static void take_out(size_t place)
{
    struct event *last = heap[--heap_count].event;
    if (place < heap_count) {
        put(place, heap[heap_count]);
        sift_up(place);
        sift_down(last->place);
    }
}

struct event *sim_at(int64_t at, struct process *owner, event_fn fn, event_fn drop, void *arg)
{
    struct event *event = spare;
    if (event) {
        spare = event->arg;
    } else {
        event = memory_alloc(sizeof *event);
    }
    *event = (struct event){.at = at < sim->now ? sim->now : at,
                            .order = ++sim->order,
                            .owner = owner,
                            .life = owner ? owner->life : 0,
                            .fn = fn,
                            .drop = drop,
                            .arg = arg};
    push(event);
    return event;
}

static void recycle(struct event *event)
{
    event->arg = spare;
    spare = event;
}

void sim_cancel(struct event *event)
{
    if (event) {
        take_out(event->place);
        recycle(event);
    }
}

static void reap(struct process *process)
{
    if (process->is_dead && process->on_death) {
        process->on_death(process->arg);
    }
}

bool world_step(int64_t until)
{
    if (heap_count == 0 || heap[0].at > until) {
        return false;
    }
    struct event *event = heap[0].event;
    struct process *owner = event->owner;
    bool is_void = owner && (owner->is_dead || owner->life != event->life);
    if (!is_void && owner && owner->stalled_until > event->at) {
        event->at = heap[0].at = owner->stalled_until;
        sift_down(0);
        return true;
    }
    sim->now = event->at;
    take_out(0);
    event_fn fn = is_void ? event->drop : event->fn;
    void *arg = event->arg;
    recycle(event);
    sim->current = owner;
    if (fn) {
        fn(arg);
    }
    sim->current = NULL;
    if (owner && !is_void) {
        reap(owner);
    }
    return true;
}

void world_clear(void)
{
    while (heap_count > 0) {
        struct event *event = heap[heap_count - 1].event;
        heap_count--;
        if (event->drop) {
            event->drop(event->arg);
        }
        free(event);
    }
    while (spare) {
        struct event *next = spare->arg;
        free(spare);
        spare = next;
    }
    free(heap);
    heap = NULL;
    heap_room = 0;
}

bool process_effect(struct process *process)
{
    if (!process) {
        return true;
    }
    if (process->is_dead) {
        return false;
    }
    if (process->effects_left > 0 && --process->effects_left == 0) {
        process->is_dead = true; /* the last one still took place, or did not */
        return dice_hits(&sim->dice, 500);
    }
    return true;
}

/* ---- clocks ---- */

struct wall sim_wall(int64_t offset_ms)
{
    return (struct wall){WALL_BASE_MS + sim->now + offset_ms};
}

struct wall clock_wall_now(void)
{
    return sim_wall(sim->current && sim->current->wall_offset_ms ? *sim->current->wall_offset_ms : 0);
}

struct mono clock_mono_now(void)
{
    return (struct mono){sim->now};
}

ssize_t getrandom(void *buffer, size_t length, unsigned int flags)
{
    (void)flags;
    static struct dice before; /* libraries ask before anything runs */
    for (size_t i = 0; i < length; i++) {
        ((uint8_t *)buffer)[i] = (uint8_t)(dice_next(sim ? &sim->dice : &before) >> 13);
    }
    return (ssize_t)length;
}

/* ---- the log ---- */

void sim_say(const char *format, ...)
{
    if (!sim->is_verbose) {
        return;
    }
    va_list args;
    va_start(args, format);
    printf("%10.3f  ", (double)sim->now / 1000.0);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
}

void log_init(enum log_level level, enum log_format format)
{
    (void)level;
    (void)format;
}

void log_line(enum log_level level, const char *format, ...)
{
    if (!sim || !sim->is_verbose || level == LOG_LEVEL_DEBUG) {
        return;
    }
    va_list args;
    va_start(args, format);
    printf("%10.3f  %-12s| ", (double)sim->now / 1000.0, sim->current ? sim->current->name : "");
    vprintf(format, args);
    putchar('\n');
    va_end(args);
}

/* ---- loops ---- */

struct loop {
    struct process *process;
    struct loop_timer *timers;
};

struct loop_timer {
    struct loop *loop;
    void (*on_timer)(void *arg);
    void *arg;
    int64_t at, repeat_ms;
    struct event *event;
    struct loop_timer *next, *previous;
};

struct loop *fake_loop_new(struct process *process)
{
    struct loop *loop = memory_alloc(sizeof *loop);
    loop->process = process;
    return loop;
}

void fake_loop_free(struct loop *loop)
{
    while (loop->timers) {
        loop_timer_free(loop->timers);
    }
    free(loop);
}

struct process *fake_loop_process(const struct loop *loop)
{
    return loop->process;
}

struct mono loop_now(const struct loop *loop)
{
    (void)loop;
    return (struct mono){sim->now};
}

struct loop_timer *loop_timer_new(struct loop *loop, void (*on_timer)(void *arg), void *arg)
{
    struct loop_timer *timer = memory_alloc(sizeof *timer);
    *timer = (struct loop_timer){.loop = loop, .on_timer = on_timer, .arg = arg, .next = loop->timers};
    if (loop->timers) {
        loop->timers->previous = timer;
    }
    loop->timers = timer;
    return timer;
}

static void on_timer(void *arg)
{
    struct loop_timer *timer = arg;
    timer->event = NULL;
    if (timer->repeat_ms > 0) {
        /* As libuv: the next is counted from now. */
        timer->event = sim_at(sim->now + timer->repeat_ms, timer->loop->process, on_timer, NULL, timer);
    }
    timer->on_timer(timer->arg);
}

static void timer_dropped(void *arg)
{
    ((struct loop_timer *)arg)->event = NULL;
}

void loop_timer_start(struct loop_timer *timer, int64_t delay_ms, int64_t repeat_ms)
{
    loop_timer_stop(timer);
    timer->repeat_ms = repeat_ms;
    timer->event = sim_at(sim->now + (delay_ms > 0 ? delay_ms : 0), timer->loop->process, on_timer,
                          timer_dropped, timer);
}

void loop_timer_stop(struct loop_timer *timer)
{
    sim_cancel(timer->event);
    timer->event = NULL;
}

void loop_timer_free(struct loop_timer *timer)
{
    if (!timer) {
        return;
    }
    loop_timer_stop(timer);
    if (timer->next) {
        timer->next->previous = timer->previous;
    }
    if (timer->previous) {
        timer->previous->next = timer->next;
    } else {
        timer->loop->timers = timer->next;
    }
    free(timer);
}
