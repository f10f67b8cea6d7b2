#include "agent/inventory.h"

#include "agent/agent.h"
#include "agent/command_server.h"
#include "agent/core/container_beat.h"
#include "agent/engine_client.h"
#include "agent/event_stream.h"
#include "agent/prober.h"
#include "common/memory.h"
#include "common/own_process.h"
#include "common/version.h"
#include "proto/registration.h"

static void add_counter(struct registration *registration, const char *name, int64_t value)
{
    struct registration_counter *counter = &registration->counters[registration->counter_count++];
    memory_set_text(counter->name, sizeof counter->name, name);
    counter->value = value;
}

static void add_counters(const struct agent *agent, const struct inventory_counts *counts,
                         struct registration *registration)
{
    struct event_stream_counters stream = event_stream_counters(agent->stream);
    struct engine_counters engine = engine_client_counters(agent->engine);
    add_counter(registration, "beats_published", counts->beats);
    add_counter(registration, "events_seen", stream.events);
    add_counter(registration, "events_bad", stream.bad_events);
    add_counter(registration, "engine_calls", engine.calls);
    add_counter(registration, "engine_errors", engine.errors);
    add_counter(registration, "engine_connects", stream.connects);
    add_counter(registration, "engine_resyncs", stream.resyncs);
    add_counter(registration, "redis_losses", counts->redis_losses);
    struct prober_counters probes = prober_counters(agent->prober);
    add_counter(registration, "probes", probes.probes);
    add_counter(registration, "probe_failures", probes.failures);
    add_counter(registration, "heartbeat_interval_ms", agent->settings->heartbeat_interval_ms);
    add_counter(registration, "heartbeat_ttl_ms", agent->settings->heartbeat_ttl_ms);
    add_counter(registration, "rss_bytes", own_process_resident_bytes());
    add_counter(registration, "cpu_ms", own_process_cpu_us() / 1000);
    if (agent->commands != NULL) {
        struct command_desk_counters desk = command_server_counters(agent->commands);
        add_counter(registration, "commands_accepted", desk.accepted);
        add_counter(registration, "commands_refused", desk.refused);
        add_counter(registration, "requests", desk.requests);
        add_counter(registration, "requests_garbage", desk.garbage);
        add_counter(registration, "requests_unauthorized", desk.unauthorized);
        add_counter(registration, "commands_in_flight", (int64_t)command_server_in_flight(agent->commands));
    }
}

/* Goes over the table, one container at a time: all of them would be 4 KB each. */
struct entry_source {
    const struct agent *agent;
    uint64_t beat_seq;
    const struct container *container; /* the last that was given */
    struct wall now;
    size_t count;
    struct heartbeat beat;
};

static bool next_entry(void *arg, struct registration_lent *out)
{
    struct entry_source *source = arg;
    const struct agent *agent = source->agent;
    do {
        source->container = container_table_next(agent->table, source->container);
    } while (source->container != NULL && !source->container->is_inspected);
    if (source->container == NULL || source->count == LIMIT_REGISTRATION_CONTAINERS) {
        return false;
    }
    source->count++;
    heartbeat_fini(&source->beat);
    heartbeat_init(&source->beat);
    container_beat_fill(source->container, agent->settings->host, agent->id, source->beat_seq, source->now,
                        &source->beat);
    if (source->beat.status == BEAT_UNHEALTHY || source->beat.status == BEAT_DEGRADED) {
        prober_fill(agent->prober, source->container->id, &source->beat); /* why */
    }
    *out = (struct registration_lent){&source->beat, &source->container->spec};
    return true;
}

char *inventory_make(const struct agent *agent, const struct inventory_counts *counts, size_t *len)
{
    struct registration registration;
    registration_init(&registration);
    struct wall now = clock_wall_now();
    memory_set_text(registration.host, sizeof registration.host, agent->settings->host);
    memory_set_text(registration.url, sizeof registration.url, agent->url);
    memory_set_text(registration.version, sizeof registration.version, DEFIB_VERSION);
    memory_set_text(registration.agent, sizeof registration.agent, agent->id);
    memory_set_text(registration.boot_id, sizeof registration.boot_id, agent->boot_id);
    memory_set_text(registration.engine_version, sizeof registration.engine_version,
                    event_stream_engine_version(agent->stream));
    registration.change = agent_change(agent);
    registration.seq = counts->registration_seq;
    registration.started_at = agent->started_at;
    registration.timestamp = now;
    registration.is_engine_up = event_stream_is_up(agent->stream);
    registration.epoch = agent->commands == NULL ? 0 : command_server_epoch(agent->commands);
    add_counters(agent, counts, &registration);
    struct entry_source source = {.agent = agent, .beat_seq = counts->beat_seq, .now = now};
    char *text = registration_encode_each(&registration, next_entry, &source,
                                          container_table_count(agent->table), len);
    heartbeat_fini(&source.beat);
    return text;
}
