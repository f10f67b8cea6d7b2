#include "agent/beat_restorer.h"

#include <stdlib.h>
#include <string.h>

#include "common/fingerprint.h"
#include "common/memory.h"
#include "proto/keys.h"

enum { TTL_SIZE = 24 };

struct task {
    struct task *next;
    char key[KEY_SIZE];
    char ttl_ms[TTL_SIZE];
    uint64_t ours;
    char *beat;
    size_t len;
};

struct beat_restorer {
    struct redis_link *link;
    struct task *tasks, **end; /* the first is under way */
};

struct beat_restorer *beat_restorer_new(struct redis_link *link)
{
    struct beat_restorer *restorer = memory_alloc(sizeof *restorer);
    restorer->link = link;
    restorer->end = &restorer->tasks;
    return restorer;
}

static void drop_first(struct beat_restorer *restorer)
{
    struct task *task = restorer->tasks;
    restorer->tasks = task->next;
    if (restorer->tasks == NULL) {
        restorer->end = &restorer->tasks;
    }
    free(task->beat);
    free(task);
}

void beat_restorer_free(struct beat_restorer *restorer)
{
    while (restorer != NULL && restorer->tasks != NULL) {
        drop_first(restorer);
    }
    free(restorer);
}

static void send(struct beat_restorer *restorer, const char *word)
{
    redis_link_command(restorer->link, NULL, NULL, 1, &word, NULL);
}

static void put_back(struct beat_restorer *restorer, const struct task *task)
{
    const char *argv[] = {"SET", task->key, task->beat, "PX", task->ttl_ms};
    const size_t lens[] = {3, strlen(task->key), task->len, 2, strlen(task->ttl_ms)};
    send(restorer, "MULTI");
    redis_link_command(restorer->link, NULL, NULL, 5, argv, lens);
    send(restorer, "EXEC");
}

static void begin(struct beat_restorer *restorer);

static void on_standing(void *arg, const struct redis_reply *reply)
{
    struct beat_restorer *restorer = arg;
    const struct task *task = restorer->tasks;
    size_t len = 0;
    const char *text = redis_reply_type(reply) == REDIS_REPLY_TEXT ? redis_reply_text(reply, &len) : NULL;
    if (text != NULL && fingerprint_of(text, len) == task->ours) {
        put_back(restorer, task);
    } else {
        send(restorer, "UNWATCH");
    }
    drop_first(restorer);
    begin(restorer);
}

static void begin(struct beat_restorer *restorer)
{
    while (restorer->tasks != NULL) {
        const char *watch[] = {"WATCH", restorer->tasks->key}, *get[] = {"GET", restorer->tasks->key};
        if (redis_link_command(restorer->link, NULL, NULL, 2, watch, NULL) == 0 &&
            redis_link_command(restorer->link, on_standing, restorer, 2, get, NULL) == 0) {
            return;
        }
        drop_first(restorer);
    }
}

void beat_restorer_put_back(struct beat_restorer *restorer, const char *key, uint64_t ours, const char *beat,
                            size_t len, const char *ttl_ms)
{
    struct task *task = memory_alloc(sizeof *task);
    bool is_first = restorer->tasks == NULL;
    memory_set_text(task->key, sizeof task->key, key);
    memory_set_text(task->ttl_ms, sizeof task->ttl_ms, ttl_ms);
    task->ours = ours;
    task->beat = memory_alloc(len + 1);
    memcpy(task->beat, beat, len);
    task->len = len;
    *restorer->end = task;
    restorer->end = &task->next;
    if (is_first) {
        begin(restorer);
    }
}
