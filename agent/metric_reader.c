#include "agent/metric_reader.h"

#include <stdio.h>
#include <stdlib.h>

#include "agent/agent.h"
#include "agent/beat_maker.h"
#include "agent/prober.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/redis_link.h"
#include "proto/heartbeat.h"
#include "proto/keys.h"

struct metric_reader {
    struct agent *agent;
    struct loop_timer *timer;
    struct redis_link *link; /* NULL: no rule needed it so far */
};

struct pending {
    struct metric_reader *reader;
    char id[LIMIT_ID_SIZE];
};

static void judge(struct metric_reader *reader, const struct container *container,
                  const struct heartbeat *apps)
{
    struct agent *agent = reader->agent;
    struct heartbeat agents;
    heartbeat_init(&agents);
    beat_maker_measure(agent->maker, container, loop_now(agent->loop), clock_wall_now(), &agents);
    prober_take_metrics(agent->prober, container->id, &agents, apps);
    heartbeat_fini(&agents);
}

/* A beat that is not there, or is none, tells no metrics; a Redis that is away tells nothing at all. */
static void on_beat(void *arg, const struct redis_reply *reply)
{
    cleanup_free struct pending *pending = arg;
    struct metric_reader *reader = pending->reader;
    const struct container *container = container_table_by_id(reader->agent->table, pending->id);
    if (container == NULL || redis_reply_type(reply) == REDIS_REPLY_FAILURE) {
        return;
    }
    size_t len;
    const char *text = redis_reply_text(reply, &len);
    struct heartbeat beat;
    bool is_beat = text != NULL && heartbeat_decode(text, len, &beat, NULL) == 0;
    judge(reader, container, is_beat ? &beat : NULL);
    if (is_beat) {
        heartbeat_fini(&beat);
    }
}

static void open_link(struct metric_reader *reader)
{
    const struct settings *settings = reader->agent->settings;
    char name[LIMIT_NAME_SIZE];
    snprintf(name, sizeof name, "defib-agent-metrics-%.128s", settings->host);
    const struct redis_link_options options = {
        .url = &settings->redis_url, .client_name = name, .arg = reader};
    reader->link = redis_link_open(reader->agent->loop, &options);
}

static void ask(struct metric_reader *reader, const struct container *container)
{
    char key[KEY_SIZE];
    const char *argv[] = {"GET", key};
    if (reader->link == NULL) {
        open_link(reader);
    }
    key_heartbeat(key, container->service, container->instance);
    struct pending *pending = memory_alloc(sizeof *pending);
    pending->reader = reader;
    memory_set_text(pending->id, sizeof pending->id, container->id);
    if (redis_link_command(reader->link, on_beat, pending, 2, argv, NULL) != 0) {
        free(pending);
    }
}

static void on_timer(void *arg)
{
    struct metric_reader *reader = arg;
    const struct container *container = NULL;
    while ((container = container_table_next(reader->agent->table, container)) != NULL) {
        if (container->state != CONTAINER_RUNNING ||
            !prober_has_rules(reader->agent->prober, container->id)) {
            continue;
        }
        bool is_apps = container->spec.is_app_beating || container->spec.beat_mode == BEAT_MODE_APP;
        if (is_apps && container->spec.beat_mode != BEAT_MODE_AGENT) {
            ask(reader, container);
        } else {
            judge(reader, container, NULL);
        }
    }
}

struct metric_reader *metric_reader_new(struct agent *agent)
{
    struct metric_reader *reader = memory_alloc(sizeof *reader);
    int64_t every_ms = agent->settings->heartbeat_interval_ms;
    reader->agent = agent;
    reader->timer = loop_timer_new(agent->loop, on_timer, reader);
    loop_timer_start(reader->timer, every_ms, every_ms);
    return reader;
}

void metric_reader_free(struct metric_reader *reader)
{
    if (reader != NULL) {
        redis_link_close(reader->link);
        loop_timer_free(reader->timer);
        free(reader);
    }
}
