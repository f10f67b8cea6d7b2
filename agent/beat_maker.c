#include "agent/beat_maker.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "agent/cgroup_reader.h"
#include "agent/core/container_beat.h"
#include "agent/prober.h"
#include "common/memory.h"

/* A rate over less time than that is noise: a beat right after another one tells the last rate again. */
enum { RATE_MIN_MS = 500 };

struct beat_meter {
    int64_t pid; /* the files are of this process's cgroup */
    struct cgroup_files *files;
    int64_t cpu_ns; /* at `at`; -1: no reading yet */
    struct mono at;
    double cpu_pct;       /* over the last interval; negative: not known yet */
    int64_t memory_bytes; /* as read last, also of a process that is gone; -1: never */
};

struct entry {
    char id[LIMIT_ID_SIZE];
    struct beat_memory memory;
    struct beat_meter meter;
    UT_hash_handle hh;
};

struct beat_maker {
    struct prober *prober;
    struct cgroup_reader *reader;
    struct entry *entries;
};

struct beat_maker *beat_maker_new(struct prober *prober)
{
    struct beat_maker *maker = memory_alloc(sizeof *maker);
    maker->prober = prober;
    maker->reader = cgroup_reader_new("/proc");
    return maker;
}

static void remove_entry(struct beat_maker *maker, struct entry *entry)
{
    HASH_DEL(maker->entries, entry);
    cgroup_files_close(entry->meter.files);
    free(entry);
}

void beat_maker_free(struct beat_maker *maker)
{
    if (maker == NULL) {
        return;
    }
    struct entry *entry, *next;
    HASH_ITER (hh, maker->entries, entry, next) {
        remove_entry(maker, entry);
    }
    cgroup_reader_free(maker->reader);
    free(maker);
}

static struct entry *find(struct beat_maker *maker, const char *id)
{
    struct entry *entry;
    HASH_FIND_STR(maker->entries, id, entry);
    return entry;
}

struct beat_memory *beat_maker_find(struct beat_maker *maker, const char *id)
{
    struct entry *entry = find(maker, id);
    return entry == NULL ? NULL : &entry->memory;
}

struct beat_memory *beat_maker_memory(struct beat_maker *maker, const char *id)
{
    struct entry *entry = find(maker, id);
    if (entry == NULL) {
        entry = memory_alloc(sizeof *entry);
        memory_set_text(entry->id, sizeof entry->id, id);
        entry->memory.meter = &entry->meter;
        entry->meter.cpu_ns = -1;
        entry->meter.cpu_pct = -1;
        entry->meter.memory_bytes = -1;
        HASH_ADD_STR(maker->entries, id, entry);
    }
    return &entry->memory;
}

void beat_maker_forget(struct beat_maker *maker, const char *id)
{
    prober_forget(maker->prober, id);
    struct entry *entry = find(maker, id);
    if (entry != NULL) {
        remove_entry(maker, entry);
    }
}

void beat_maker_each(struct beat_maker *maker, void (*visit)(void *arg, struct beat_memory *memory),
                     void *arg)
{
    for (struct entry *entry = maker->entries; entry != NULL; entry = entry->hh.next) {
        visit(arg, &entry->memory);
    }
}

/* ---- metrics ---- */

static void follow_process(struct beat_maker *maker, struct beat_meter *meter,
                           const struct container *container)
{
    if (meter->pid != container->pid) {
        cgroup_files_close(meter->files);
        int64_t memory_bytes = container->pid > 0 ? -1 : meter->memory_bytes;
        *meter = (struct beat_meter){
            .pid = container->pid, .cpu_ns = -1, .cpu_pct = -1, .memory_bytes = memory_bytes};
        if (container->pid > 0) {
            meter->files = cgroup_reader_open(maker->reader, container->id, container->pid);
        }
    }
}

static void update_rate(struct beat_meter *meter, int64_t cpu_ns, struct mono now)
{
    int64_t passed_ms = mono_diff(now, meter->at);
    if (cpu_ns < 0 || (meter->cpu_ns >= 0 && passed_ms < RATE_MIN_MS)) {
        return;
    }
    if (meter->cpu_ns >= 0 && cpu_ns >= meter->cpu_ns) {
        double share = (double)(cpu_ns - meter->cpu_ns) / ((double)passed_ms * 1e6);
        meter->cpu_pct = round(share * 10000) / 100;
    }
    meter->cpu_ns = cpu_ns;
    meter->at = now;
}

static void add_metrics(struct beat_maker *maker, struct beat_meter *meter, const struct container *container,
                        struct mono now, struct wall wall, struct heartbeat *beat)
{
    heartbeat_set_metric(beat, "restart_count", (double)container->restart_count);
    follow_process(maker, meter, container);
    if (!container_beat_is_up(container)) {
        return;
    }
    int64_t uptime_ms = wall.ms - container->started_ns / 1000000;
    heartbeat_set_metric(beat, "uptime_secs", (double)(uptime_ms > 0 ? uptime_ms / 1000 : 0));
    struct cgroup_usage usage = cgroup_files_read(meter->files);
    update_rate(meter, usage.cpu_ns, now);
    if (meter->cpu_pct >= 0) {
        heartbeat_set_metric(beat, "cpu_pct", meter->cpu_pct);
    }
    if (usage.memory_bytes >= 0) {
        meter->memory_bytes = usage.memory_bytes;
        heartbeat_set_metric(beat, "memory_bytes", (double)usage.memory_bytes);
    }
    if (container->memory_limit_bytes > 0) {
        heartbeat_set_metric(beat, "memory_limit_bytes", (double)container->memory_limit_bytes);
    }
    if (container->memory_limit_bytes > 0 && usage.memory_bytes >= 0) {
        double share = (double)usage.memory_bytes / (double)container->memory_limit_bytes;
        heartbeat_set_metric(beat, "memory_pct", round(share * 10000) / 100);
    }
}

int64_t beat_maker_memory_bytes(struct beat_maker *maker, const char *id)
{
    const struct entry *entry = find(maker, id);
    return entry == NULL ? -1 : entry->meter.memory_bytes;
}

void beat_maker_measure(struct beat_maker *maker, const struct container *container, struct mono now,
                        struct wall wall, struct heartbeat *beat)
{
    add_metrics(maker, beat_maker_memory(maker, container->id)->meter, container, now, wall, beat);
}

char *beat_maker_encode(struct beat_maker *maker, struct beat_memory *memory,
                        const struct container *container, const char *host, const char *agent, uint64_t seq,
                        struct mono now, struct wall wall, size_t *len)
{
    struct heartbeat beat;
    heartbeat_init(&beat);
    container_beat_fill(container, host, agent, seq, wall, &beat);
    heartbeat_set_check(&beat, "running", container->state == CONTAINER_RUNNING);
    if (container->spec.has_healthcheck && container->state == CONTAINER_RUNNING) {
        heartbeat_set_check(&beat, "docker_health", container->health != HEALTH_UNHEALTHY);
    }
    prober_fill(maker->prober, container->id, &beat);
    add_metrics(maker, memory->meter, container, now, wall, &beat);
    char *text = heartbeat_encode(&beat, len);
    heartbeat_fini(&beat);
    return text;
}
