/*
 * A fleet's worth of agents in one process: HOSTS hosts with PER_HOST containers each send ROUNDS rounds of
 * heartbeats of one STATUS (healthy, degraded …), each host as an agent does: SET … PX … GET and PUBLISH for
 * every container, then its registration, in one write. The hosts are spread evenly over INTERVAL_MS, as the
 * agents of a fleet are. Prints the number of heartbeats sent.
 *
 *   beat_load SOCKET AGENT_URL HOSTS PER_HOST ROUNDS INTERVAL_MS FIRST_SEQ STATUS
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "common/clock.h"
#include "common/memory.h"
#include "proto/heartbeat.h"
#include "proto/keys.h"
#include "proto/registration.h"

#define AGENT_ID "0123456789abcdef0123456789abcdef"

struct fleet {
    const char *agent_url;
    long hosts, per_host;
    enum beat_status status;
};

static void fill_beat(const struct fleet *fleet, struct heartbeat *beat, long host, long container,
                      uint64_t seq)
{
    heartbeat_init(beat);
    snprintf(beat->service, sizeof beat->service, "service-%ld", container);
    snprintf(beat->instance_id, sizeof beat->instance_id, "host-%ld-%ld", host, container);
    beat->status = fleet->status;
    beat->timestamp = clock_wall_now();
    beat->started_at = (struct wall){beat->timestamp.ms - 3600000};
    memory_set_text(beat->version, sizeof beat->version, "1.0");
    snprintf(beat->hostname, sizeof beat->hostname, "host-%ld", host);
    memory_set_text(beat->source, sizeof beat->source, "agent");
    snprintf(beat->host, sizeof beat->host, "host-%ld", host);
    snprintf(beat->container, sizeof beat->container, "host-%ld/service-%ld", host, container);
    snprintf(beat->container_id, sizeof beat->container_id, "%064lx", host * 100000 + container);
    memory_set_text(beat->incarnation, sizeof beat->incarnation, "2026-01-23T19:00:00.123456789Z");
    memory_set_text(beat->agent, sizeof beat->agent, AGENT_ID);
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

static void register_host(const struct fleet *fleet, redisContext *redis, long host, uint64_t seq)
{
    struct registration registration;
    registration_init(&registration);
    snprintf(registration.host, sizeof registration.host, "host-%ld", host);
    memory_set_text(registration.url, sizeof registration.url, fleet->agent_url);
    memory_set_text(registration.agent, sizeof registration.agent, AGENT_ID);
    registration.change = 1;
    registration.seq = seq;
    registration.is_engine_up = true;
    registration.timestamp = clock_wall_now();
    registration.count = (size_t)fleet->per_host;
    registration.entries = memory_alloc((size_t)fleet->per_host * sizeof *registration.entries);
    for (long i = 0; i < fleet->per_host; i++) {
        fill_beat(fleet, &registration.entries[i].beat, host, i, seq);
        container_spec_init(&registration.entries[i].spec);
    }
    size_t len = 0;
    char *text = registration_encode(&registration, &len);
    char key[KEY_SIZE];
    key_agent(key, registration.host);
    redisAppendCommand(redis, "SET %s %b PX 35000", key, text, len);
    free(text);
    registration_fini(&registration);
}

static void beat_host(const struct fleet *fleet, redisContext *redis, long host, uint64_t seq)
{
    for (long i = 0; i < fleet->per_host; i++) {
        struct heartbeat beat;
        fill_beat(fleet, &beat, host, i, seq);
        heartbeat_set_check(&beat, "running", true);
        heartbeat_set_metric(&beat, "restart_count", 0);
        heartbeat_set_metric(&beat, "uptime_secs", 3600);
        heartbeat_set_metric(&beat, "memory_bytes", 123456789);
        heartbeat_set_metric(&beat, "cpu_pct", 1.5);
        size_t len = 0;
        char *text = heartbeat_encode(&beat, &len);
        char key[KEY_SIZE];
        key_heartbeat(key, beat.service, beat.instance_id);
        redisAppendCommand(redis, "SET %s %b PX 35000 GET", key, text, len);
        redisAppendCommand(redis, "PUBLISH %s %b", KEY_CHANNEL_HEARTBEATS, text, len);
        free(text);
        heartbeat_fini(&beat);
    }
    register_host(fleet, redis, host, seq);
    drain(redis, 2 * fleet->per_host + 1);
}

static void sleep_until(struct mono at)
{
    int64_t left_ms = mono_diff(at, clock_mono_now());
    if (left_ms > 0) {
        usleep((useconds_t)left_ms * 1000);
    }
}

int main(int argc, char **argv)
{
    if (argc != 9) {
        return 2;
    }
    struct fleet fleet = {argv[2], strtol(argv[3], NULL, 10), strtol(argv[4], NULL, 10),
                          beat_status_parse(argv[8])};
    long rounds = strtol(argv[5], NULL, 10);
    int64_t interval_ms = strtol(argv[6], NULL, 10);
    uint64_t seq = strtoull(argv[7], NULL, 10);
    redisContext *redis = redisConnectUnix(argv[1]);
    if (fleet.status == BEAT_UNKNOWN || redis == NULL || redis->err != 0) {
        return 1;
    }
    struct mono start = clock_mono_now();
    for (long round = 0; round < rounds; round++) {
        for (long host = 0; host < fleet.hosts; host++) {
            sleep_until(mono_add(start, round * interval_ms + host * interval_ms / fleet.hosts));
            beat_host(&fleet, redis, host, seq + (uint64_t)round);
        }
    }
    sleep_until(mono_add(start, rounds * interval_ms));
    printf("%ld\n", fleet.hosts * fleet.per_host * rounds);
    redisFree(redis);
    return 0;
}
