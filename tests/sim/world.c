/*
 * The clock, the events, the loops, the disks; and what else the shells ask of the system.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <uthash.h>

#include "common/log.h"
#include "common/memory.h"
#include "controller/disk_file.h"
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

static struct event **heap;
static size_t heap_count, heap_room;
static struct event *spare;

static bool is_earlier(const struct event *left, const struct event *right)
{
    return left->at != right->at ? left->at < right->at : left->order < right->order;
}

static void put(size_t place, struct event *event)
{
    heap[place] = event;
    event->place = place;
}

static void sift_up(size_t place)
{
    struct event *event = heap[place];
    while (place > 0 && is_earlier(event, heap[(place - 1) / 2])) {
        put(place, heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    put(place, event);
}

static void sift_down(size_t place)
{
    struct event *event = heap[place];
    for (;;) {
        size_t child = 2 * place + 1;
        if (child >= heap_count) {
            break;
        }
        child += child + 1 < heap_count && is_earlier(heap[child + 1], heap[child]);
        if (!is_earlier(heap[child], event)) {
            break;
        }
        put(place, heap[child]);
        place = child;
    }
    put(place, event);
}

static void push(struct event *event)
{
    if (heap_count == heap_room) {
        heap_room = heap_room ? 2 * heap_room : 1024;
        heap = memory_grow(heap, heap_room, sizeof *heap);
    }
    put(heap_count, event);
    sift_up(heap_count++);
}

static void take_out(size_t place)
{
    struct event *last = heap[--heap_count];
    if (place < heap_count) {
        put(place, last);
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
    if (heap_count == 0 || heap[0]->at > until) {
        return false;
    }
    struct event *event = heap[0];
    struct process *owner = event->owner;
    bool is_void = owner && (owner->is_dead || owner->life != event->life);
    if (!is_void && owner && owner->stalled_until > event->at) {
        event->at = owner->stalled_until;
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
        struct event *event = heap[heap_count - 1];
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

/* ---- disks ---- */

struct file {
    char *name;
    char *bytes;
    size_t len;
    UT_hash_handle hh;
};

struct disk {
    char *dir;
    struct process *process;
    struct file *files;
    UT_hash_handle hh;
};

static struct disk *disks;

struct disk *disk_new(const char *dir)
{
    struct disk *disk = memory_alloc(sizeof *disk);
    disk->dir = memory_copy_text(dir);
    HASH_ADD_KEYPTR(hh, disks, disk->dir, strlen(disk->dir), disk);
    return disk;
}

void disk_free(struct disk *disk)
{
    struct file *file, *next_file;
    HASH_ITER (hh, disk->files, file, next_file) {
        HASH_DEL(disk->files, file);
        free(file->name);
        free(file->bytes);
        free(file);
    }
    HASH_DEL(disks, disk);
    free(disk->dir);
    free(disk);
}

void disk_use(struct disk *disk, struct process *process)
{
    disk->process = process;
}

static struct file *find_file(const struct disk *disk, const char *name)
{
    struct file *file = NULL;
    HASH_FIND_STR(disk->files, name, file);
    return file;
}

static struct file *need_file(struct disk *disk, const char *name)
{
    struct file *file = find_file(disk, name);
    if (!file) {
        file = memory_alloc(sizeof *file);
        file->name = memory_copy_text(name);
        HASH_ADD_KEYPTR(hh, disk->files, file->name, strlen(file->name), file);
    }
    return file;
}

const char *disk_read(const struct disk *disk, const char *name, size_t *len)
{
    const struct file *file = find_file(disk, name);
    *len = file ? file->len : 0;
    return file ? file->bytes : NULL;
}

void disk_append(struct disk *disk, const char *name, const void *bytes, size_t len)
{
    struct file *file = need_file(disk, name);
    file->bytes = memory_grow(file->bytes, file->len + len + 1, 1);
    memcpy(file->bytes + file->len, bytes, len);
    file->len += len;
    file->bytes[file->len] = '\0';
}

void disk_write(struct disk *disk, const char *name, const void *bytes, size_t len)
{
    need_file(disk, name)->len = 0;
    disk_append(disk, name, bytes, len);
}

void disk_tear(struct disk *disk, const char *name, size_t bytes)
{
    struct file *file = find_file(disk, name);
    if (file) {
        file->len = bytes < file->len ? file->len - bytes : 0;
    }
}

static struct disk *find_disk(const char *dir)
{
    struct disk *disk = NULL;
    HASH_FIND_STR(disks, dir, disk);
    if (!disk) {
        abort();
    }
    return disk;
}

int disk_file_read(const char *dir, const char *name, size_t max_bytes, char **out, size_t *len,
                   struct err *err)
{
    (void)max_bytes;
    const char *bytes = disk_read(find_disk(dir), name, len);
    if (!bytes) {
        return err_set(err, ENOENT, "%s: no such file", name);
    }
    *out = memory_alloc(*len + 1);
    memcpy(*out, bytes, *len);
    return 0;
}

int disk_file_replace(const char *dir, const char *name, const char *bytes, size_t len, struct err *err)
{
    (void)err;
    struct disk *disk = find_disk(dir);
    if (process_effect(disk->process)) {
        disk_write(disk, name, bytes, len);
    }
    return 0;
}

int disk_file_remove(const char *dir, const char *name, struct err *err)
{
    (void)err;
    struct disk *disk = find_disk(dir);
    struct file *file = find_file(disk, name);
    if (file && process_effect(disk->process)) {
        HASH_DEL(disk->files, file);
        free(file->name);
        free(file->bytes);
        free(file);
    }
    return 0;
}

int disk_file_append(const char *dir, const char *name, const char *bytes, size_t len,
                     enum disk_file_sync sync, struct err *err)
{
    (void)err;
    (void)sync;
    struct disk *disk = find_disk(dir);
    bool was_dead = disk->process && disk->process->is_dead;
    if (process_effect(disk->process)) {
        disk_append(disk, name, bytes, len);
    } else if (!was_dead) {
        disk_append(disk, name, bytes, (size_t)dice_below(&sim->dice, (int64_t)len)); /* torn */
    }
    return 0;
}

int disk_file_make_dir(const char *dir, struct err *err)
{
    (void)dir;
    (void)err;
    return 0;
}
