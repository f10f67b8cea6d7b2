/*
 * Beats of containers with what only reading the host tells: CPU, memory, uptime; and what the publisher has
 * to remember about each container between two beats.
 */
#ifndef DEFIB_AGENT_BEAT_MAKER_H
#define DEFIB_AGENT_BEAT_MAKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/core/container_table.h"
#include "common/clock.h"
#include "proto/heartbeat.h"
#include "proto/keys.h"

struct beat_maker;
struct prober;
struct beat_meter; /* CPU and memory of one container */

/* Who writes the key, as far as Redis told. */
enum beat_key_owner {
    BEAT_KEY_UNKNOWN, /* not looked yet: nothing is written before */
    BEAT_KEY_ASKED,
    BEAT_KEY_OURS
};

/* What is in Redis under health:intent:{container}, as far as we wrote or looked. */
enum beat_intent { BEAT_INTENT_UNKNOWN, BEAT_INTENT_ASKED, BEAT_INTENT_WRITTEN, BEAT_INTENT_ABSENT };

/* A plain value but for the meter. */
struct beat_memory {
    char key[KEY_SIZE]; /* of its heartbeat, as last used; "": none */
    enum beat_key_owner owner;
    uint64_t written; /* hash of what we wrote there last; 0: nothing */
    enum beat_intent intent;
    bool is_collision_told;
    /* as the log told last */
    bool is_told;
    enum container_state told_state;
    enum container_health told_health;
    enum stop_class told_class;
    char told_incarnation[LIMIT_TIME_SIZE];
    struct beat_meter *meter;
};

/* The prober is borrowed, and may be NULL: no checks but Docker's. */
struct beat_maker *beat_maker_new(struct prober *prober);
void beat_maker_free(struct beat_maker *maker); /* NULL is allowed */

/* Made where it is not there yet. Borrowed until beat_maker_forget. */
struct beat_memory *beat_maker_memory(struct beat_maker *maker, const char *id);
struct beat_memory *beat_maker_find(struct beat_maker *maker, const char *id); /* NULL: not there */
void beat_maker_forget(struct beat_maker *maker, const char *id);
void beat_maker_each(struct beat_maker *maker, void (*visit)(void *arg, struct beat_memory *memory),
                     void *arg);

/* As it was read last, also of one that has died since; -1: never. */
int64_t beat_maker_memory_bytes(struct beat_maker *maker, const char *id);

/* Adds the metrics alone. */
void beat_maker_measure(struct beat_maker *maker, const struct container *container, struct mono now,
                        struct wall wall, struct heartbeat *beat);

/* The whole document as text, fresh, given. `memory` is that of the container; host and agent are borrowed.
 */
char *beat_maker_encode(struct beat_maker *maker, struct beat_memory *memory,
                        const struct container *container, const char *host, const char *agent, uint64_t seq,
                        struct mono now, struct wall wall, size_t *len);

#endif
