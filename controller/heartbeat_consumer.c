#include "controller/heartbeat_consumer.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "common/fingerprint.h"
#include "common/log.h"
#include "common/memory.h"
#include "proto/heartbeat_facts.h"
#include "proto/keys.h"
#include "proto/registration.h"

/* Registrations are large: few in one answer. */
enum { BEATS_CHUNK = 512, HOSTS_CHUNK = 8, HOSTS_MAX = 4096, FORGET_MS = 24 * 3600 * 1000 };

struct host {
    char *name;
    bool is_wanted;
    bool is_reading;
    char agent[LIMIT_COMMAND_ID_SIZE]; /* the process that wrote the last registration */
    uint64_t document; /* fingerprint of the last one: the same bytes again are no sign of life */
    struct mono seen_at;
    struct registration_counter counters[REGISTRATION_COUNTERS]; /* its agent's own */
    size_t counter_count;
    UT_hash_handle hh;
};

struct wanted_key {
    char *container, *service, *instance;
};

struct heartbeat_consumer {
    struct heartbeat_consumer_options options;
    struct loop_timer *check;
    struct host *hosts;
    size_t wanted_hosts;
    struct wanted_key *wanted;
    size_t wanted_count, wanted_size;
};

struct beat_read {
    struct heartbeat_consumer *consumer;
    size_t count;
    struct wanted_key *keys;
};

struct host_read {
    struct heartbeat_consumer *consumer;
    size_t count;
    char *names[HOSTS_CHUNK];
};

static struct mono consumer_now(const struct heartbeat_consumer *consumer)
{
    return decider_port_now(&consumer->options.port);
}

static struct host *find_host(const struct heartbeat_consumer *consumer, const char *name)
{
    struct host *host;
    HASH_FIND_STR(consumer->hosts, name, host);
    return host;
}

static struct host *find_or_add_host(struct heartbeat_consumer *consumer, const char *name)
{
    struct host *host = find_host(consumer, name);
    if (host == NULL && HASH_COUNT(consumer->hosts) < HOSTS_MAX) {
        host = memory_alloc(sizeof *host);
        host->name = memory_copy_text(name);
        host->seen_at = consumer_now(consumer);
        HASH_ADD_KEYPTR(hh, consumer->hosts, host->name, strlen(host->name), host);
    }
    return host;
}

static void drop_host(struct heartbeat_consumer *consumer, struct host *host)
{
    HASH_DEL(consumer->hosts, host);
    consumer->wanted_hosts -= host->is_wanted;
    free(host->name);
    free(host);
}

static void want_host(struct heartbeat_consumer *consumer, const char *name)
{
    struct host *host = *name == '\0' ? NULL : find_or_add_host(consumer, name);
    if (host != NULL && !host->is_wanted) {
        host->is_wanted = true;
        consumer->wanted_hosts++;
    }
}

/* ---- beats ---- */

/* The registration tells more of an unknown agent and of a death. */
static bool is_news(const struct heartbeat_consumer *consumer, const struct heartbeat *beat)
{
    const struct host *host = find_host(consumer, beat->host);
    bool is_unknown = host == NULL || (beat->agent[0] != '\0' && strcmp(host->agent, beat->agent) != 0);
    return is_unknown || (beat->container[0] != '\0' && beat->state != CONTAINER_RUNNING &&
                          beat->state != CONTAINER_UNKNOWN);
}

static void observe(struct heartbeat_consumer *consumer, const struct heartbeat *beat)
{
    bool is_strange =
        decider_observe_beat(consumer->options.port.decider, beat, consumer_now(consumer), clock_wall_now());
    if (beat->host[0] != '\0' && (is_strange || is_news(consumer, beat))) {
        want_host(consumer, beat->host);
    }
}

void heartbeat_consumer_message(struct heartbeat_consumer *consumer, const char *payload, size_t len)
{
    struct heartbeat beat;
    struct err err;
    if (heartbeat_facts_decode(payload, len, &beat, &err) != 0) {
        warning_limiter_warn(consumer->options.warnings, KEY_CHANNEL_HEARTBEATS, consumer_now(consumer),
                             "A message on %s is no heartbeat: %s", KEY_CHANNEL_HEARTBEATS, err.text);
        return;
    }
    observe(consumer, &beat);
    heartbeat_fini(&beat);
    decider_port_told(&consumer->options.port);
}

/* Whose key it is, the beat must be: one service must not speak under another's name. */
static int decode_at(const char *key, size_t key_len, const char *value, size_t len, struct heartbeat *beat,
                     struct err *err)
{
    int result = heartbeat_facts_decode(value, len, beat, err);
    if (result != 0) {
        return result;
    }
    char own[KEY_SIZE];
    size_t own_len = key_heartbeat(own, beat->service, beat->instance_id);
    if (own_len != key_len || memcmp(own, key, key_len) != 0) {
        result = err_set(err, EINVAL, "it is the heartbeat of %.64s:%.64s", beat->service, beat->instance_id);
        heartbeat_fini(beat);
    }
    return result;
}

static enum key_finding take_beat(struct heartbeat_consumer *consumer, const char *key, size_t key_len,
                                  const char *value, size_t len)
{
    struct heartbeat beat;
    struct err err;
    if (decode_at(key, key_len, value, len, &beat, &err) != 0) {
        warning_limiter_warn(consumer->options.warnings, key, consumer_now(consumer),
                             "Key %s holds no heartbeat: %s", key, err.text);
        return KEY_INVALID;
    }
    observe(consumer, &beat);
    heartbeat_fini(&beat);
    return KEY_PRESENT;
}

void heartbeat_consumer_take_beat(struct heartbeat_consumer *consumer, const char *key, size_t key_len,
                                  const char *value, size_t len)
{
    char text[KEY_SIZE];
    if (key_len >= sizeof text) {
        return;
    }
    memcpy(text, key, key_len);
    text[key_len] = '\0';
    take_beat(consumer, text, key_len, value, len);
}

/* ---- registrations ---- */

static void take_whole(struct heartbeat_consumer *consumer, const char *name, const char *value, size_t len)
{
    struct registration registration;
    struct err err = {0};
    size_t bad = 0;
    char key[KEY_SIZE];
    key_agent(key, name);
    int result = registration_decode(value, len, &registration, &bad, &err);
    if (result == 0 && strcmp(registration.host, name) != 0) {
        result = err_set(&err, EINVAL, "it is that of host %.64s", registration.host);
        registration_fini(&registration);
    }
    if (result != 0 || bad > 0) {
        warning_limiter_warn(consumer->options.warnings, key, consumer_now(consumer), "Key %s %s: %s", key,
                             result != 0 ? "holds no registration" : "has entries that cannot be read",
                             err.text);
    }
    if (result != 0) {
        return;
    }
    decider_observe_registration(consumer->options.port.decider, &registration, PATH_REDIS,
                                 consumer_now(consumer), clock_wall_now());
    struct host *host = find_host(consumer, name);
    if (host != NULL) {
        memory_set_text(host->agent, sizeof host->agent, registration.agent);
    }
    agent_link_learn(consumer->options.agents, name, registration.url, registration.epoch);
    registration_fini(&registration);
}

static void take_registration(struct heartbeat_consumer *consumer, const char *name, const char *value,
                              size_t len)
{
    struct host *host = find_or_add_host(consumer, name);
    uint64_t document = fingerprint_of(value, len);
    if (host == NULL || host->document == document) {
        return;
    }
    host->document = document;
    host->seen_at = consumer_now(consumer);
    host->counter_count = registration_peek_counters(value, len, host->counters);
    char told[LIMIT_NAME_SIZE], agent[LIMIT_COMMAND_ID_SIZE];
    uint64_t change;
    if (registration_peek(value, len, told, agent, &change) == 0 && strcmp(told, name) == 0 &&
        decider_observe_unchanged(consumer->options.port.decider, name, agent, change, PATH_REDIS,
                                  consumer_now(consumer))) {
        agent_link_learn(consumer->options.agents, name, "", 0);
        return;
    }
    take_whole(consumer, name, value, len);
}

void heartbeat_consumer_take_registration(struct heartbeat_consumer *consumer, const char *key,
                                          size_t key_len, const char *value, size_t len)
{
    char name[LIMIT_NAME_SIZE];
    if (key_strip_prefix(key, key_len, KEY_AGENT_PREFIX, name)) {
        take_registration(consumer, name, value, len);
    }
}

void heartbeat_consumer_forget(struct heartbeat_consumer *consumer)
{
    struct host *host, *next;
    HASH_ITER (hh, consumer->hosts, host, next) {
        host->document = 0;
        host->agent[0] = '\0';
    }
}

void heartbeat_consumer_each_agent(const struct heartbeat_consumer *consumer, heartbeat_consumer_visit visit,
                                   void *arg)
{
    for (const struct host *host = consumer->hosts; host != NULL; host = host->hh.next) {
        if (!visit(arg, host->name, host->counters, host->counter_count)) {
            return;
        }
    }
}

/* ---- reading back ---- */

static void free_wanted(struct wanted_key *wanted)
{
    free(wanted->container);
    free(wanted->service);
    free(wanted->instance);
}

void heartbeat_consumer_want_key(struct heartbeat_consumer *consumer, const char *container,
                                 const char *service, const char *instance, const char *host)
{
    if (consumer->wanted_count == consumer->wanted_size) {
        consumer->wanted_size = consumer->wanted_size == 0 ? 64 : 2 * consumer->wanted_size;
        consumer->wanted = memory_grow(consumer->wanted, consumer->wanted_size, sizeof *consumer->wanted);
    }
    consumer->wanted[consumer->wanted_count++] = (struct wanted_key){
        memory_copy_text(container), memory_copy_text(service), memory_copy_text(instance)};
    want_host(consumer, host);
    hold_watch_want(consumer->options.holds, container, service, host);
}

static void tell_finding(struct heartbeat_consumer *consumer, const struct wanted_key *wanted,
                         enum key_finding finding)
{
    decider_key_read(consumer->options.port.decider, wanted->container, finding, consumer_now(consumer),
                     clock_wall_now());
}

static enum key_finding find_out(struct heartbeat_consumer *consumer, const struct wanted_key *wanted,
                                 const struct redis_reply *value)
{
    char key[KEY_SIZE];
    size_t len;
    size_t key_len = key_heartbeat(key, wanted->service, wanted->instance);
    const char *text = redis_reply_text(value, &len);
    return redis_reply_type(value) == REDIS_REPLY_TEXT   ? take_beat(consumer, key, key_len, text, len)
           : redis_reply_type(value) == REDIS_REPLY_NONE ? KEY_ABSENT
                                                         : KEY_UNREADABLE;
}

static void on_beats(void *arg, const struct redis_reply *reply)
{
    struct beat_read *read = arg;
    struct heartbeat_consumer *consumer = read->consumer;
    bool is_whole = redis_reply_type(reply) == REDIS_REPLY_LIST &&
                    redis_reply_count(reply) == read->count + 1 &&
                    redis_session_has_marker(consumer->options.session, redis_reply_at(reply, 0));
    for (size_t i = 0; i < read->count; i++) {
        enum key_finding finding =
            is_whole ? find_out(consumer, &read->keys[i], redis_reply_at(reply, i + 1)) : KEY_UNREADABLE;
        tell_finding(consumer, &read->keys[i], finding);
        free_wanted(&read->keys[i]);
    }
    decider_port_told(&consumer->options.port);
    free(read->keys);
    free(read);
}

static bool send_beats(struct heartbeat_consumer *consumer, const struct wanted_key *keys, size_t count)
{
    cleanup_free const char **argv = memory_grow(NULL, count + 2, sizeof *argv);
    cleanup_free char(*names)[KEY_SIZE] = memory_grow(NULL, count, KEY_SIZE);
    argv[0] = "MGET";
    argv[1] = KEY_MARKER;
    for (size_t i = 0; i < count; i++) {
        key_heartbeat(names[i], keys[i].service, keys[i].instance);
        argv[i + 2] = names[i];
    }
    struct beat_read *read = memory_alloc(sizeof *read);
    *read = (struct beat_read){consumer, count, memory_grow(NULL, count, sizeof *keys)};
    memcpy(read->keys, keys, count * sizeof *keys);
    if (redis_session_is_ready(consumer->options.session) &&
        redis_session_command(consumer->options.session, on_beats, read, (int)count + 2, argv, NULL) == 0) {
        return true;
    }
    free(read->keys);
    free(read);
    return false;
}

static void on_registrations(void *arg, const struct redis_reply *reply)
{
    struct host_read *read = arg;
    struct heartbeat_consumer *consumer = read->consumer;
    bool is_whole = redis_reply_type(reply) == REDIS_REPLY_LIST &&
                    redis_reply_count(reply) == read->count + 1 &&
                    redis_session_has_marker(consumer->options.session, redis_reply_at(reply, 0));
    for (size_t i = 0; i < read->count; i++) {
        struct host *host = find_host(consumer, read->names[i]);
        if (host != NULL) {
            host->is_reading = false;
        }
        const struct redis_reply *value = is_whole ? redis_reply_at(reply, i + 1) : NULL;
        size_t len;
        const char *text = redis_reply_text(value, &len);
        if (value != NULL && redis_reply_type(value) == REDIS_REPLY_TEXT) {
            take_registration(consumer, read->names[i], text, len);
        }
        free(read->names[i]);
    }
    free(read);
    decider_port_told(&consumer->options.port);
}

static void send_hosts(struct heartbeat_consumer *consumer, struct host **hosts, size_t count)
{
    const char *argv[HOSTS_CHUNK + 2] = {"MGET", KEY_MARKER};
    char names[HOSTS_CHUNK][KEY_SIZE];
    struct host_read *read = memory_alloc(sizeof *read);
    *read = (struct host_read){.consumer = consumer, .count = count};
    for (size_t i = 0; i < count; i++) {
        key_agent(names[i], hosts[i]->name);
        argv[i + 2] = names[i];
        read->names[i] = memory_copy_text(hosts[i]->name);
        hosts[i]->is_wanted = false;
        consumer->wanted_hosts--;
    }
    bool is_sent = redis_session_is_ready(consumer->options.session) &&
                   redis_session_command(consumer->options.session, on_registrations, read, (int)count + 2,
                                         argv, NULL) == 0;
    for (size_t i = 0; i < count; i++) {
        hosts[i]->is_reading = is_sent;
        if (!is_sent) {
            free(read->names[i]);
        }
    }
    if (!is_sent) {
        free(read);
    }
}

static void flush_hosts(struct heartbeat_consumer *consumer)
{
    struct host *chunk[HOSTS_CHUNK];
    size_t count = 0;
    if (consumer->wanted_hosts == 0) {
        return;
    }
    struct host *host, *next;
    HASH_ITER (hh, consumer->hosts, host, next) {
        if (!host->is_wanted || host->is_reading) {
            continue;
        }
        chunk[count++] = host;
        if (count == HOSTS_CHUNK) {
            send_hosts(consumer, chunk, count);
            count = 0;
        }
    }
    if (count > 0) {
        send_hosts(consumer, chunk, count);
    }
}

/* Holds and registrations leave first: what they say is known when the beats are judged. */
bool heartbeat_consumer_flush(struct heartbeat_consumer *consumer)
{
    hold_watch_flush(consumer->options.holds);
    flush_hosts(consumer);
    size_t count = consumer->wanted_count;
    if (count == 0) {
        return false;
    }
    cleanup_free struct wanted_key *wanted = memory_steal(consumer->wanted);
    consumer->wanted_count = consumer->wanted_size = 0;
    bool has_told = false;
    for (size_t start = 0; start < count; start += BEATS_CHUNK) {
        size_t part = count - start < BEATS_CHUNK ? count - start : BEATS_CHUNK;
        if (send_beats(consumer, wanted + start, part)) {
            continue;
        }
        for (size_t i = start; i < start + part; i++) {
            tell_finding(consumer, &wanted[i], KEY_UNREADABLE);
            free_wanted(&wanted[i]);
        }
        has_told = true;
    }
    return has_told;
}

static void want_known(void *arg, const char *host)
{
    want_host(arg, host);
}

static void on_marker(void *arg, const struct redis_reply *reply)
{
    struct heartbeat_consumer *consumer = arg;
    if (reply != NULL) {
        redis_session_has_marker(consumer->options.session, reply);
    }
}

static void on_check(void *arg)
{
    struct heartbeat_consumer *consumer = arg;
    if (!redis_session_is_ready(consumer->options.session)) {
        return;
    }
    const char *argv[] = {"GET", KEY_MARKER};
    redis_session_command(consumer->options.session, on_marker, consumer, 2, argv, NULL);
    struct mono now = consumer_now(consumer);
    struct host *host, *next;
    HASH_ITER (hh, consumer->hosts, host, next) {
        if (mono_diff(now, host->seen_at) > FORGET_MS && !host->is_reading) {
            drop_host(consumer, host);
        } else {
            want_host(consumer, host->name);
        }
    }
    agent_link_each(consumer->options.agents, want_known, consumer);
    hold_watch_want_all(consumer->options.holds);
    heartbeat_consumer_flush(consumer);
}

struct heartbeat_consumer *heartbeat_consumer_new(const struct heartbeat_consumer_options *options)
{
    struct heartbeat_consumer *consumer = memory_alloc(sizeof *consumer);
    consumer->options = *options;
    consumer->check = loop_timer_new(options->port.loop, on_check, consumer);
    loop_timer_start(consumer->check, options->check_interval_ms, options->check_interval_ms);
    return consumer;
}

void heartbeat_consumer_free(struct heartbeat_consumer *consumer)
{
    if (consumer == NULL) {
        return;
    }
    loop_timer_free(consumer->check);
    for (size_t i = 0; i < consumer->wanted_count; i++) {
        free_wanted(&consumer->wanted[i]);
    }
    free(consumer->wanted);
    struct host *host, *next;
    HASH_ITER (hh, consumer->hosts, host, next) {
        drop_host(consumer, host);
    }
    free(consumer);
}
