#include "agent/heartbeat_publisher.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/beat_maker.h"
#include "agent/beat_restorer.h"
#include "agent/core/container_beat.h"
#include "agent/inventory.h"
#include "common/fingerprint.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/redis_link.h"
#include "proto/intent.h"
#include "proto/keys.h"

struct heartbeat_publisher {
    struct agent *agent;
    struct redis_link *link;
    struct beat_maker *maker;
    struct beat_restorer *restorer;
    struct loop_timer *timer;
    char ttl_ms[24]; /* as the command wants it */
    uint64_t seq;
    uint64_t registration_seq;
    bool has_set_get; /* until this server says otherwise */
    bool is_error_told;
    bool is_size_told;
    bool is_registered;         /* since this connection came up … */
    uint64_t registered_change; /* … with this */
    int64_t beats, intervals, redis_losses;
};

enum beat_occasion { BEAT_INTERVAL, BEAT_CHANGE };

static void publish(struct heartbeat_publisher *publisher, const struct container *container,
                    struct beat_memory *memory, enum beat_occasion occasion);
static void publish_all(struct heartbeat_publisher *publisher);

static struct mono now_of(const struct heartbeat_publisher *publisher)
{
    return loop_now(publisher->agent->loop);
}

/* ---- commands ---- */

/* What stood in a heartbeat's key comes back whole, whoever wrote it. */
enum { REPLY_MAX_BYTES = 1 << 20 };

/* Who a command was about; lives until its answer. */
struct pending {
    struct heartbeat_publisher *publisher;
    char id[LIMIT_ID_SIZE];
    uint64_t expected; /* fingerprint of what we wrote there last, which should be the answer; 0: nothing */
};

static struct pending *pending_new(struct heartbeat_publisher *publisher, const char *id, uint64_t expected)
{
    struct pending *pending = memory_alloc(sizeof *pending);
    pending->publisher = publisher;
    memory_set_text(pending->id, sizeof pending->id, id);
    pending->expected = expected;
    return pending;
}

/* A refusal is told once, until a write works again. */
static void note_failure(struct heartbeat_publisher *publisher, const struct redis_reply *reply)
{
    const char *text = reply == NULL ? NULL : redis_reply_text(reply, NULL);
    if (text == NULL) {
        return; /* the link went down: it tells by itself */
    }
    if (!publisher->is_error_told) {
        publisher->is_error_told = true;
        log_warning("Redis refuses heartbeats: %s", text);
    }
    if (strncmp(text, "READONLY", 8) == 0) {
        redis_link_fail(publisher->link, text);
    }
}

static void on_plain_reply(void *arg, const struct redis_reply *reply)
{
    if (redis_reply_type(reply) == REDIS_REPLY_FAILURE) {
        note_failure(arg, reply);
    }
}

static void command(struct heartbeat_publisher *publisher, int argc, const char *const *argv,
                    const size_t *lens)
{
    redis_link_command(publisher->link, on_plain_reply, publisher, argc, argv, lens);
}

/* True where the command is on its way, and the callback will free the pending one. */
static bool ask(struct heartbeat_publisher *publisher, redis_link_callback on_reply, const char *id,
                uint64_t expected, int argc, const char *const *argv, const size_t *lens)
{
    struct pending *pending = pending_new(publisher, id, expected);
    if (redis_link_command(publisher->link, on_reply, pending, argc, argv, lens) == 0) {
        return true;
    }
    free(pending);
    return false;
}

static void delete_key(struct heartbeat_publisher *publisher, const char *key)
{
    const char *argv[] = {"DEL", key};
    command(publisher, 2, argv, NULL);
}

void heartbeat_publisher_send(struct heartbeat_publisher *publisher, int argc, const char *const *argv)
{
    command(publisher, argc, argv, NULL);
}

/* ---- whose key is it? ---- */

enum writer { WRITER_NONE, WRITER_US, WRITER_OTHER_AGENT, WRITER_APP };

static enum writer writer_of(const struct heartbeat_publisher *publisher, const struct container *container,
                             const struct redis_reply *reply)
{
    size_t len = 0;
    const char *text = redis_reply_text(reply, &len);
    struct heartbeat beat;
    if (text == NULL) {
        return WRITER_NONE;
    }
    /* Rubbish proves no service that beats: taken for one, the container would soon be missed for good. */
    if (heartbeat_decode(text, len, &beat, NULL) != 0) {
        return WRITER_NONE;
    }
    enum writer writer = WRITER_APP;
    if (strcmp(beat.source, "agent") == 0) {
        bool is_us = strcmp(beat.host, publisher->agent->settings->host) == 0 &&
                     strcmp(beat.container, container->name) == 0;
        writer = is_us ? WRITER_US : WRITER_OTHER_AGENT;
    }
    heartbeat_fini(&beat);
    return writer;
}

static void found_app(struct heartbeat_publisher *publisher, const struct container *container)
{
    log_info("Container %s beats for itself on health:hb:%s:%s; the agent keeps off that key",
             container->name, container->service, container->instance);
    container_table_set_app_beating(publisher->agent->table, container->id);
    agent_facts_changed(publisher->agent);
}

static void found_other_agent(const struct container *container, struct beat_memory *memory)
{
    if (!memory->is_collision_told) {
        memory->is_collision_told = true;
        log_warning("Container %s: the agent of another container or host beats on health:hb:%s:%s too",
                    container->name, container->service, container->instance);
    }
}

/* The answer of SET … GET, or of the GET before a plain SET: what stood there. */
static void on_old_value(void *arg, const struct redis_reply *reply)
{
    cleanup_free struct pending *pending = arg;
    struct heartbeat_publisher *publisher = pending->publisher;
    if (redis_reply_type(reply) == REDIS_REPLY_FAILURE) {
        const char *text = reply == NULL ? NULL : redis_reply_text(reply, NULL);
        if (publisher->has_set_get && text != NULL && strstr(text, "syntax") != NULL) {
            publisher->has_set_get = false;
            publish_all(publisher);
        } else {
            note_failure(publisher, reply);
        }
        return;
    }
    publisher->is_error_told = false;
    size_t len = 0;
    const char *text = redis_reply_text(reply, &len);
    if (text == NULL || fingerprint_of(text, len) == pending->expected) {
        return;
    }
    const struct container *container = container_table_by_id(publisher->agent->table, pending->id);
    struct beat_memory *memory = beat_maker_find(publisher->maker, pending->id);
    if (container == NULL || memory == NULL) {
        return;
    }
    enum writer writer = writer_of(publisher, container, reply);
    if (writer == WRITER_OTHER_AGENT) {
        found_other_agent(container, memory);
    } else if (writer == WRITER_APP && container->spec.beat_mode == BEAT_MODE_AUTO &&
               !container->spec.is_app_beating) {
        beat_restorer_put_back(publisher->restorer, memory->key, memory->written, text, len,
                               publisher->ttl_ms);
        found_app(publisher, container);
    }
}

/* Before the first write: who has been beating there? */
static void on_first_look(void *arg, const struct redis_reply *reply)
{
    cleanup_free struct pending *pending = arg;
    struct heartbeat_publisher *publisher = pending->publisher;
    const struct container *container = container_table_by_id(publisher->agent->table, pending->id);
    struct beat_memory *memory = beat_maker_find(publisher->maker, pending->id);
    if (container == NULL || memory == NULL) {
        return;
    }
    if (redis_reply_type(reply) == REDIS_REPLY_FAILURE) {
        memory->owner = BEAT_KEY_UNKNOWN;
        note_failure(publisher, reply);
        return;
    }
    enum writer writer = writer_of(publisher, container, reply);
    memory->owner = BEAT_KEY_OURS;
    if (writer == WRITER_OTHER_AGENT) {
        found_other_agent(container, memory);
    }
    if (container_beat_is_up(container)) {
        if (writer == WRITER_APP) {
            found_app(publisher, container);
        } else {
            publish(publisher, container, memory, BEAT_INTERVAL);
        }
    } else if (writer == WRITER_US) {
        delete_key(publisher, memory->key);
    } else {
        memory->owner = BEAT_KEY_UNKNOWN;
    }
}

static void look_first(struct heartbeat_publisher *publisher, const struct container *container,
                       struct beat_memory *memory)
{
    const char *argv[] = {"GET", memory->key};
    if (memory->owner == BEAT_KEY_UNKNOWN && ask(publisher, on_first_look, container->id, 0, 2, argv, NULL)) {
        memory->owner = BEAT_KEY_ASKED;
    }
}

/* ---- beats ---- */

static void write_key(struct heartbeat_publisher *publisher, const struct container *container,
                      struct beat_memory *memory, const char *text, size_t len)
{
    const char *argv[] = {"SET", memory->key, text, "PX", publisher->ttl_ms, "GET"};
    const size_t lens[] = {3, strlen(memory->key), len, 2, strlen(publisher->ttl_ms), 3};
    if (publisher->has_set_get) {
        ask(publisher, on_old_value, container->id, memory->written, 6, argv, lens);
    } else {
        const char *get[] = {"GET", memory->key};
        ask(publisher, on_old_value, container->id, memory->written, 2, get, NULL);
        command(publisher, 5, argv, lens);
    }
    memory->written = fingerprint_of(text, len);
}

/* Another container of this host that beats on the same key would lose it. */
static bool is_key_shared(const struct heartbeat_publisher *publisher, const struct container *container)
{
    const struct container *other = NULL;
    while ((other = container_table_next(publisher->agent->table, other)) != NULL) {
        if (other != container && container_beat_is_up(other) &&
            strcmp(other->service, container->service) == 0 &&
            strcmp(other->instance, container->instance) == 0) {
            return true;
        }
    }
    return false;
}

static void drop_key(struct heartbeat_publisher *publisher, const struct container *container,
                     struct beat_memory *memory)
{
    memory->written = 0;
    if (memory->owner == BEAT_KEY_OURS) {
        if (!is_key_shared(publisher, container)) {
            delete_key(publisher, memory->key);
        }
        memory->owner = BEAT_KEY_UNKNOWN;
    } else if (container->state != CONTAINER_CREATED) {
        look_first(publisher, container, memory);
    }
}

/* A renamed container, or one with another identity, leaves its old key. */
static void follow_key(struct heartbeat_publisher *publisher, const struct container *container,
                       struct beat_memory *memory)
{
    char key[KEY_SIZE];
    key_heartbeat(key, container->service, container->instance);
    if (strcmp(key, memory->key) != 0) {
        if (memory->owner == BEAT_KEY_OURS) {
            delete_key(publisher, memory->key);
            memory->owner = BEAT_KEY_UNKNOWN;
        }
        memory_set_text(memory->key, sizeof memory->key, key);
        memory->written = 0;
    }
}

static void publish(struct heartbeat_publisher *publisher, const struct container *container,
                    struct beat_memory *memory, enum beat_occasion occasion)
{
    struct agent *agent = publisher->agent;
    follow_key(publisher, container, memory);
    bool is_up = container_beat_is_up(container);
    bool is_ours = container_beat_is_by_agent(container);
    if (is_up && is_ours && container->spec.beat_mode == BEAT_MODE_AGENT) {
        memory->owner = BEAT_KEY_OURS;
    }
    bool is_written = is_up && is_ours && memory->owner == BEAT_KEY_OURS;
    if (!is_written && occasion == BEAT_INTERVAL) {
        if (is_up && is_ours) {
            look_first(publisher, container, memory);
        }
        return;
    }
    size_t len;
    cleanup_free char *text =
        beat_maker_encode(publisher->maker, memory, container, agent->settings->host, agent->id,
                          ++publisher->seq, now_of(publisher), clock_wall_now(), &len);
    if (is_written) {
        write_key(publisher, container, memory, text, len);
    } else if (is_up && is_ours) {
        look_first(publisher, container, memory);
    } else if (!is_up && is_ours) {
        drop_key(publisher, container, memory);
    }
    const char *argv[] = {"PUBLISH", KEY_CHANNEL_HEARTBEATS, text};
    const size_t lens[] = {7, sizeof KEY_CHANNEL_HEARTBEATS - 1, len};
    command(publisher, 3, argv, lens);
    publisher->beats++;
}

/* ---- intents ---- */

static void on_intent(void *arg, const struct redis_reply *reply)
{
    cleanup_free struct pending *pending = arg;
    struct heartbeat_publisher *publisher = pending->publisher;
    struct beat_memory *memory = beat_maker_find(publisher->maker, pending->id);
    struct intent intent;
    size_t len = 0;
    const char *text = redis_reply_text(reply, &len);
    if (memory == NULL || memory->intent != BEAT_INTENT_ASKED) {
        return;
    }
    bool is_failed = redis_reply_type(reply) == REDIS_REPLY_FAILURE;
    memory->intent = is_failed ? BEAT_INTENT_UNKNOWN : BEAT_INTENT_ABSENT;
    if (!is_failed && text != NULL && intent_decode(text, len, &intent, NULL) == 0 &&
        strcmp(intent.container_id, pending->id) == 0) {
        memory->intent = BEAT_INTENT_WRITTEN;
        container_table_intended(publisher->agent->table, pending->id, now_of(publisher));
        agent_facts_changed(publisher->agent);
    }
}

static void write_intent(struct heartbeat_publisher *publisher, const struct container *container,
                         const char *key)
{
    struct intent intent = {.at = {container->finished_ns / 1000000}};
    memory_set_text(intent.container_id, sizeof intent.container_id, container->id);
    memory_set_text(intent.reason, sizeof intent.reason, stop_class_name(STOP_OPERATOR));
    size_t len;
    cleanup_free char *text = intent_encode(&intent, &len);
    const char *argv[] = {"SET", key, text};
    const size_t lens[] = {3, strlen(key), len};
    command(publisher, 3, argv, lens);
}

static void follow_intent(struct heartbeat_publisher *publisher, const struct container *container,
                          struct beat_memory *memory)
{
    char key[KEY_SIZE];
    key_intent(key, container->name);
    if (container->stop_class == STOP_OPERATOR) {
        if (memory->intent != BEAT_INTENT_WRITTEN) {
            write_intent(publisher, container, key);
            memory->intent = BEAT_INTENT_WRITTEN;
        }
    } else if (container_beat_is_up(container)) {
        if (memory->intent != BEAT_INTENT_ABSENT) {
            delete_key(publisher, key);
            memory->intent = BEAT_INTENT_ABSENT;
        }
    } else if (memory->intent == BEAT_INTENT_UNKNOWN && container->stop_class != STOP_NONE) {
        const char *argv[] = {"GET", key};
        if (ask(publisher, on_intent, container->id, 0, 2, argv, NULL)) {
            memory->intent = BEAT_INTENT_ASKED;
        }
    }
}

/* ---- the registration ---- */

char *heartbeat_publisher_registration(struct heartbeat_publisher *publisher, size_t *len)
{
    const struct inventory_counts counts = {
        .registration_seq = ++publisher->registration_seq,
        .beat_seq = publisher->seq,
        .beats = publisher->beats,
        .redis_losses = publisher->redis_losses,
    };
    return inventory_make(publisher->agent, &counts, len);
}

static void on_registered(void *arg, const struct redis_reply *reply)
{
    struct heartbeat_publisher *publisher = arg;
    if (redis_reply_type(reply) == REDIS_REPLY_FAILURE) {
        note_failure(publisher, reply);
    } else {
        publisher->is_error_told = false;
    }
}

enum redis_word heartbeat_publisher_redis(const struct heartbeat_publisher *publisher)
{
    if (redis_link_is_up(publisher->link)) {
        return publisher->is_error_told ? REDIS_WORD_DOWN : REDIS_WORD_UP;
    }
    return publisher->redis_losses == 0 ? REDIS_WORD_UNKNOWN : REDIS_WORD_DOWN;
}

static void publish_registration(struct heartbeat_publisher *publisher)
{
    /* Before the first list it would say that all containers are gone. */
    if (!redis_link_is_up(publisher->link) || !container_table_is_whole(publisher->agent->table)) {
        return;
    }
    size_t len = 0;
    cleanup_free char *text = heartbeat_publisher_registration(publisher, &len);
    if (text == NULL) {
        if (!publisher->is_size_told) {
            publisher->is_size_told = true;
            log_error("The registration is over %d bytes: too many containers for one agent; see DEFIB_WATCH",
                      LIMIT_REGISTRATION_BYTES);
        }
        return;
    }
    publisher->is_registered = true;
    publisher->registered_change = agent_change(publisher->agent);
    char key[KEY_SIZE];
    size_t key_len = key_agent(key, publisher->agent->settings->host);
    const char *argv[] = {"SET", key, text, "PX", publisher->ttl_ms};
    const size_t lens[] = {3, key_len, len, 2, strlen(publisher->ttl_ms)};
    redis_link_command(publisher->link, on_registered, publisher, 5, argv, lens);
}

/* ---- the log ---- */

static void tell_stop(const struct container *container)
{
    bool is_settling = container->stop_class == STOP_SETTLING;
    log_info("Container %s %s, exit code %d: %s%s%s%s", container->name,
             container_state_name(container->state), container->exit_code,
             is_settling ? "waiting for the reason" : stop_class_name(container->stop_class),
             container->is_docker_restarting ? ", Docker restarts it" : "",
             container->error[0] == '\0' ? "" : ": ", container->error);
}

/* First sights at start-up would only repeat what `docker ps -a` says. */
static void tell_change(const struct container *container, struct beat_memory *memory)
{
    bool is_state_new = memory->told_state != container->state || memory->told_class != container->stop_class;
    bool is_start = container->state == CONTAINER_RUNNING &&
                    strcmp(memory->told_incarnation, container->incarnation) != 0;
    if (!memory->is_told || container->state == CONTAINER_REMOVING) {
        log_debug("Container %s is %s (%.12s)", container->name, container_state_name(container->state),
                  container->id);
    } else if (container->stop_class != STOP_NONE && is_state_new) {
        tell_stop(container);
    } else if (is_state_new || is_start) {
        log_info("Container %s is %s (%.12s)", container->name, container_state_name(container->state),
                 container->id);
    } else if (memory->told_health != container->health && container->health != HEALTH_NONE) {
        log_info("Container %s: Docker's health check says %s", container->name,
                 container_health_name(container->health));
    }
    memory->is_told = true;
    memory->told_state = container->state;
    memory->told_class = container->stop_class;
    memory->told_health = container->health;
    memory_set_text(memory->told_incarnation, sizeof memory->told_incarnation, container->incarnation);
}

/* ---- when ---- */

static void publish_removed(struct heartbeat_publisher *publisher, const struct container *container)
{
    struct beat_memory *memory = beat_maker_memory(publisher->maker, container->id);
    log_info("Container %s is removed (%.12s)", container->name, container->id);
    if (redis_link_is_up(publisher->link)) {
        publish(publisher, container, memory, BEAT_CHANGE);
        if (memory->intent == BEAT_INTENT_WRITTEN) {
            char key[KEY_SIZE];
            key_intent(key, container->name);
            delete_key(publisher, key);
        }
    }
    beat_maker_forget(publisher->maker, container->id);
}

void heartbeat_publisher_flush(struct heartbeat_publisher *publisher)
{
    const struct container *container;
    bool is_removed;
    bool is_news =
        !publisher->is_registered || publisher->registered_change != agent_change(publisher->agent);
    while ((container = container_table_next_changed(publisher->agent->table, &is_removed)) != NULL) {
        is_news = true;
        if (is_removed) {
            publish_removed(publisher, container);
            continue;
        }
        struct beat_memory *memory = beat_maker_memory(publisher->maker, container->id);
        tell_change(container, memory);
        if (redis_link_is_up(publisher->link)) {
            publish(publisher, container, memory, BEAT_CHANGE);
            follow_intent(publisher, container, memory);
        }
    }
    if (is_news) {
        publish_registration(publisher);
    }
}

static void publish_all(struct heartbeat_publisher *publisher)
{
    if (!redis_link_is_up(publisher->link)) {
        return;
    }
    const struct container *container = NULL;
    while ((container = container_table_next(publisher->agent->table, container)) != NULL) {
        if (container->is_inspected) {
            struct beat_memory *memory = beat_maker_memory(publisher->maker, container->id);
            publish(publisher, container, memory, BEAT_INTERVAL);
            follow_intent(publisher, container, memory);
        }
    }
    publish_registration(publisher);
}

static void on_interval(void *arg)
{
    struct heartbeat_publisher *publisher = arg;
    publisher->intervals++;
    publish_all(publisher);
}

/* ---- Redis ---- */

static bool is_local_address(const char *host)
{
    struct ifaddrs *list;
    if (strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0) {
        return true;
    }
    if (getifaddrs(&list) != 0) {
        return false;
    }
    bool is_local = false;
    for (const struct ifaddrs *item = list; item != NULL && !is_local; item = item->ifa_next) {
        char text[INET6_ADDRSTRLEN] = "";
        int family = item->ifa_addr == NULL ? AF_UNSPEC : item->ifa_addr->sa_family;
        if (family == AF_INET) {
            inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)item->ifa_addr)->sin_addr, text,
                      sizeof text);
        } else if (family == AF_INET6) {
            inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)item->ifa_addr)->sin6_addr, text,
                      sizeof text);
        }
        is_local = text[0] != '\0' && strcmp(text, host) == 0;
    }
    freeifaddrs(list);
    return is_local;
}

/* Where Redis is decides which container is never touched. */
static void tell_place(struct heartbeat_publisher *publisher)
{
    const struct redis_url *url = &publisher->agent->settings->redis_url;
    struct self_finder_redis place = {.port = url->port};
    memory_set_text(place.host, sizeof place.host, url->host);
    memory_set_text(place.socket, sizeof place.socket, url->path);
    /* Without a connection the URL alone has to tell: Redis may be down when the agent starts. */
    memory_set_text(place.peer, sizeof place.peer, strlen(url->host) < sizeof place.peer ? url->host : "");
    place.is_peer_local = strcmp(url->host, "localhost") == 0 || is_local_address(url->host);
    int port;
    if (redis_link_peer(publisher->link, place.peer, sizeof place.peer, &port)) {
        place.is_peer_local = is_local_address(place.peer);
        place.port = port;
    }
    container_table_redis_place(publisher->agent->table, &place);
}

static void forget_intent(void *arg, struct beat_memory *memory)
{
    (void)arg;
    memory->intent = BEAT_INTENT_UNKNOWN;
}

static void on_up(void *arg)
{
    struct heartbeat_publisher *publisher = arg;
    char name[LIMIT_URL_SIZE];
    redis_url_describe(&publisher->agent->settings->redis_url, name, sizeof name);
    log_info("Redis %s is up", name);
    publisher->has_set_get = true;
    publisher->is_registered = false;
    publisher->is_error_told = false;
    beat_maker_each(publisher->maker, forget_intent, NULL);
    tell_place(publisher);
    publish_all(publisher);
    agent_facts_changed(publisher->agent);
}

static void on_down(void *arg, const char *reason)
{
    struct heartbeat_publisher *publisher = arg;
    char name[LIMIT_URL_SIZE];
    redis_url_describe(&publisher->agent->settings->redis_url, name, sizeof name);
    publisher->redis_losses++;
    log_error("Redis %s is away: %s; trying again", name, reason);
}

struct heartbeat_publisher *heartbeat_publisher_new(struct agent *agent)
{
    struct heartbeat_publisher *publisher = memory_alloc(sizeof *publisher);
    const struct settings *settings = agent->settings;
    publisher->agent = agent;
    publisher->has_set_get = true;
    publisher->maker = agent->maker;
    snprintf(publisher->ttl_ms, sizeof publisher->ttl_ms, "%" PRId64, settings->heartbeat_ttl_ms);
    publisher->timer = loop_timer_new(agent->loop, on_interval, publisher);
    loop_timer_start(publisher->timer, settings->heartbeat_interval_ms, settings->heartbeat_interval_ms);
    char name[LIMIT_NAME_SIZE];
    snprintf(name, sizeof name, "defib-agent-%.128s", settings->host);
    const struct redis_link_options options = {
        .url = &settings->redis_url,
        .client_name = name,
        .max_reply_bytes = REPLY_MAX_BYTES,
        .on_up = on_up,
        .on_down = on_down,
        .arg = publisher,
    };
    publisher->link = redis_link_open(agent->loop, &options);
    publisher->restorer = beat_restorer_new(publisher->link);
    tell_place(publisher);
    return publisher;
}

void heartbeat_publisher_free(struct heartbeat_publisher *publisher)
{
    if (publisher == NULL) {
        return;
    }
    redis_link_close(publisher->link);
    beat_restorer_free(publisher->restorer);
    loop_timer_free(publisher->timer);
    free(publisher);
}
