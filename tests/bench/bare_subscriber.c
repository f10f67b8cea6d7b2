/*
 * The least that reading heartbeats can cost: hiredis, one SUBSCRIBE, every message read and dropped.
 * Says "ready", reads COUNT messages, prints the CPU they took in nanoseconds, and ends.
 *
 *   bare_subscriber SOCKET CHANNEL COUNT
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <hiredis/hiredis.h>

static long long cpu_ns(void)
{
    struct timespec spec;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spec);
    return spec.tv_sec * 1000000000LL + spec.tv_nsec;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        return 2;
    }
    long count = strtol(argv[3], NULL, 10);
    redisContext *redis = redisConnectUnix(argv[1]);
    if (redis == NULL || redis->err != 0) {
        return 1;
    }
    freeReplyObject(redisCommand(redis, "SUBSCRIBE %s", argv[2]));
    puts("ready");
    fflush(stdout);
    long long before = cpu_ns();
    for (long i = 0; i < count; i++) {
        void *reply = NULL;
        if (redisGetReply(redis, &reply) != REDIS_OK) {
            return 1;
        }
        freeReplyObject(reply);
    }
    printf("%lld\n", cpu_ns() - before);
    redisFree(redis);
    return 0;
}
