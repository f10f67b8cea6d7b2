/*
 * A fleet's worth of agents in one process: registers HOSTS hosts with PER_HOST containers each, then sends
 * ROUNDS rounds of healthy heartbeats for all of them, each as an agent does (SET … EX, PUBLISH; one write a
 * host), and prints the number of heartbeats sent. Only ROUNDS = 0 registers.
 *
 *   beat_load SOCKET HOSTS PER_HOST ROUNDS FIRST_SEQ
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "common/clock.h"
#include "common/memory.h"
#include "proto/heartbeat.h"
#include "proto/keys.h"
#include "proto/registration.h"

static void fill_beat(struct heartbeat *beat, long host, long container, uint64_t seq)
{
    heartbeat_init(beat);
    snprintf(beat->service, sizeof beat->service, "service-%ld", container);
    snprintf(beat->instance_id, sizeof beat->instance_id, "host-%ld-%ld", host, container);
    beat->status = BEAT_HEALTHY;
    beat->timestamp = clock_wall_now();
    beat->started_at = (struct wall){beat->timestamp.ms - 3600000};
    memory_set_text(beat->version, sizeof beat->version, "1.0");
    memory_set_text(beat->source, sizeof beat->source, "agent");
    snprintf(beat->host, sizeof beat->host, "host-%ld", host);
    snprintf(beat->container, sizeof beat->container, "host-%ld/service-%ld", host, container);
    snprintf(beat->container_id, sizeof beat->container_id, "%064lx", host * 100000 + container);
    memory_set_text(beat->incarnation, sizeof beat->incarnation, "2026-01-23T19:00:00.123456789Z");
    memory_set_text(beat->agent, sizeof beat->agent, "0123456789abcdef0123456789abcdef");
    beat->seq = seq;
    beat->state = CONTAINER_RUNNING;
    beat->health = HEALTH_NONE;
    beat->stop_class = STOP_NONE;
    beat->restart_count = 0;
}

static void drain(redisContext *redis, long replies)
{
    for (long i = 0; i < replies; i++) {
        void *reply = NULL;
        if (redisGetReply(redis, &reply) != REDIS_OK) {
            fprintf(stderr, "beat_load: %s\n", redis->errstr);
            exit(1);
        }
        freeReplyObject(reply);
    }
}

static void register_host(redisContext *redis, long host, long per_host)
{
    struct registration registration;
    registration_init(&registration);
    snprintf(registration.host, sizeof registration.host, "host-%ld", host);
    snprintf(registration.url, sizeof registration.url, "ipc:///nonexistent/host-%ld", host);
    memory_set_text(registration.agent, sizeof registration.agent, "0123456789abcdef0123456789abcdef");
    registration.change = 1;
    registration.seq = 1;
    registration.is_engine_up = true;
    registration.timestamp = clock_wall_now();
    registration.count = (size_t)per_host;
    registration.entries = memory_alloc((size_t)per_host * sizeof *registration.entries);
    for (long i = 0; i < per_host; i++) {
        fill_beat(&registration.entries[i].beat, host, i, 1);
        container_spec_init(&registration.entries[i].spec);
    }
    size_t len = 0;
    char *text = registration_encode(&registration, &len);
    char key[KEY_SIZE];
    key_agent(key, registration.host);
    redisAppendCommand(redis, "SET %s %b", key, text, len);
    free(text);
    registration_fini(&registration);
}

static void beat_host(redisContext *redis, long host, long per_host, uint64_t seq)
{
    for (long i = 0; i < per_host; i++) {
        struct heartbeat beat;
        fill_beat(&beat, host, i, seq);
        heartbeat_set_check(&beat, "running", true);
        heartbeat_set_metric(&beat, "uptime_secs", 3600);
        heartbeat_set_metric(&beat, "memory_bytes", 123456789);
        heartbeat_set_metric(&beat, "cpu_pct", 1.5);
        size_t len = 0;
        char *text = heartbeat_encode(&beat, &len);
        char key[KEY_SIZE];
        key_heartbeat(key, beat.service, beat.instance_id);
        redisAppendCommand(redis, "SET %s %b EX 3600", key, text, len);
        redisAppendCommand(redis, "PUBLISH %s %b", KEY_CHANNEL_HEARTBEATS, text, len);
        free(text);
        heartbeat_fini(&beat);
    }
    drain(redis, 2 * per_host);
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        return 2;
    }
    long hosts = strtol(argv[2], NULL, 10), per_host = strtol(argv[3], NULL, 10);
    long rounds = strtol(argv[4], NULL, 10);
    uint64_t seq = strtoull(argv[5], NULL, 10);
    redisContext *redis = redisConnectUnix(argv[1]);
    if (redis == NULL || redis->err != 0) {
        return 1;
    }
    for (long host = 0; rounds == 0 && host < hosts; host++) {
        register_host(redis, host, per_host);
        drain(redis, 1);
    }
    for (long round = 0; round < rounds; round++) {
        for (long host = 0; host < hosts; host++) {
            beat_host(redis, host, per_host, seq + (uint64_t)round);
        }
    }
    printf("%ld\n", hosts * per_host * rounds);
    redisFree(redis);
    return 0;
}
