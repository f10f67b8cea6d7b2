#include "agent/agent.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "agent/beat_maker.h"
#include "agent/command_server.h"
#include "agent/core/self_finder.h"
#include "agent/engine_client.h"
#include "agent/event_stream.h"
#include "agent/evidence.h"
#include "agent/heartbeat_publisher.h"
#include "agent/metric_reader.h"
#include "agent/prober.h"
#include "agent/state_files.h"
#include "common/key_file.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/version.h"

#define STATE_FILE "agent.state"

enum {
    FLUSH_SPACING_MS = 10,    /* a storm of events rewrites the registration 100 times a second at most */
    SAVE_SEEN_MS = 30 * 1000, /* how old what is saved of the seen events may be */
    PROC_TEXT_SIZE = 256 * 1024
};

/* ---- who and where we are ---- */

static void read_proc(const char *path, char *out, size_t size)
{
    out[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    ssize_t got;
    while (fd >= 0 && used < size - 1 && (got = read(fd, out + used, size - 1 - used)) > 0) {
        used += (size_t)got;
    }
    out[used] = '\0';
    if (fd >= 0) {
        close(fd);
    }
}

static void make_id(char out[LIMIT_COMMAND_ID_SIZE])
{
    uint8_t bytes[LIMIT_COMMAND_ID_BYTES];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes) {
        fputs("no random bytes from the kernel\n", stderr);
        abort();
    }
    for (size_t i = 0; i < sizeof bytes; i++) {
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    }
}

static void read_identity(struct agent *agent)
{
    make_id(agent->id);
    agent->started_at = clock_wall_now();
    read_proc("/proc/sys/kernel/random/boot_id", agent->boot_id, sizeof agent->boot_id);
    agent->boot_id[strcspn(agent->boot_id, "\n")] = '\0';
    cleanup_free char *cgroup = memory_alloc(PROC_TEXT_SIZE);
    cleanup_free char *mounts = memory_alloc(PROC_TEXT_SIZE);
    read_proc("/proc/self/cgroup", cgroup, PROC_TEXT_SIZE);
    read_proc("/proc/self/mountinfo", mounts, PROC_TEXT_SIZE);
    self_finder_container_id(cgroup, mounts, agent->self_id);
}

/* ---- state on disk ---- */

static void redis_text(const struct agent *agent, char out[LIMIT_NAME_SIZE])
{
    redis_url_describe(&agent->settings->redis_url, out, LIMIT_NAME_SIZE);
    for (char *at = out; *at != '\0'; at++) {
        *at = isgraph((unsigned char)*at) ? *at : '_';
    }
}

static void on_saved(void *arg, const char *failure)
{
    struct agent *agent = arg;
    if ((failure != NULL) != agent->is_save_failing) {
        agent->is_save_failing = failure != NULL;
        if (failure != NULL) {
            log_error("What stopped and why will not survive a restart of the agent: %s", failure);
        } else {
            log_info("The state directory can be written again");
        }
    }
}

/* *has_seen: `seen` holds the events that an earlier life saw. */
static int load_state(struct agent *agent, struct event_window *seen, bool *has_seen, struct err *err)
{
    cleanup_free char *text = NULL;
    size_t len = 0;
    struct err cause = {0};
    *has_seen = false;
    int status = state_files_prepare(agent->settings->state_dir, err);
    if (status != 0) {
        return status;
    }
    status = state_files_read(agent->settings->state_dir, STATE_FILE, &text, &len, &cause);
    if (status == -ENOENT) {
        return 0;
    }
    if (status != 0) {
        log_warning("Starting without what an earlier agent knew: %s", cause.text);
        return 0;
    }
    char redis[LIMIT_NAME_SIZE], boot_id[LIMIT_ID_SIZE];
    redis_text(agent, redis);
    *has_seen = container_table_load(agent->table, text, len, redis, boot_id, seen);
    if (boot_id[0] != '\0' && strcmp(boot_id, agent->boot_id) != 0) {
        container_table_host_booted(agent->table);
    }
    return 0;
}

static void save_state(struct agent *agent)
{
    struct mono now = loop_now(agent->loop);
    uint64_t change = container_table_save_change(agent->table);
    const struct event_window *seen = event_stream_seen(agent->stream);
    bool is_seen_old = seen->total != agent->saved_events && mono_diff(now, agent->saved_at) >= SAVE_SEEN_MS;
    if (!container_table_has_swept(agent->table) || (change == agent->saved_change && !is_seen_old)) {
        return;
    }
    char redis[LIMIT_NAME_SIZE];
    redis_text(agent, redis);
    size_t len;
    char *text = container_table_save(agent->table, agent->boot_id, redis, seen, &len);
    state_files_writer_put(agent->writer, text, len);
    agent->saved_change = change;
    agent->saved_events = seen->total;
    agent->saved_at = now;
}

/* ---- the turn of the loop ---- */

static void wake_when_due(struct agent *agent)
{
    struct mono at = container_table_wake_at(agent->table);
    if (at.ms == MONO_NEVER.ms) {
        loop_timer_stop(agent->tick_timer);
    } else {
        loop_timer_start(agent->tick_timer, mono_diff(at, loop_now(agent->loop)), 0);
    }
}

static void on_flush(void *arg)
{
    struct agent *agent = arg;
    agent->is_flush_due = false;
    agent->flushed_at = loop_now(agent->loop);
    heartbeat_publisher_flush(agent->publisher);
    event_stream_facts_wanted(agent->stream);
    save_state(agent);
    wake_when_due(agent);
}

static void on_tick(void *arg)
{
    struct agent *agent = arg;
    container_table_tick(agent->table, loop_now(agent->loop));
    event_stream_prove(agent->stream);
    agent_facts_changed(agent);
}

void agent_facts_changed(struct agent *agent)
{
    if (!agent->is_flush_due && agent->publisher != NULL) {
        int64_t since_ms = mono_diff(loop_now(agent->loop), agent->flushed_at);
        agent->is_flush_due = true;
        loop_timer_start(agent->flush_timer, since_ms >= FLUSH_SPACING_MS ? 0 : FLUSH_SPACING_MS - since_ms,
                         0);
    }
}

void agent_command_ended(struct agent *agent, const struct outcome *outcome)
{
    container_table_set_last_command(agent->table, outcome);
    agent_facts_changed(agent);
}

char *agent_inventory(struct agent *agent, size_t *len)
{
    /* As with the registration: before the first list it would say that all containers are gone. */
    return container_table_is_whole(agent->table) ? heartbeat_publisher_registration(agent->publisher, len)
                                                  : NULL;
}

enum redis_word agent_redis(const struct agent *agent)
{
    return heartbeat_publisher_redis(agent->publisher);
}

uint64_t agent_change(const struct agent *agent)
{
    /* The Engine's coming and going is a change too, although no container's. */
    return container_table_change(agent->table) + event_stream_turns(agent->stream);
}

static void on_complaint(void *arg, const char *text)
{
    (void)arg;
    log_warning("%s", text);
}

static void on_inspected(struct agent *agent, const struct engine_container *facts)
{
    prober_inspected(agent->prober, facts);
}

/* ---- putting it together ---- */

static void make_table(struct agent *agent)
{
    const struct settings *settings = agent->settings;
    bool is_label = strcmp(settings->watch_text, "label") == 0;
    bool is_globs = settings->watch.count > 0;
    agent->table_config = (struct container_table_config){
        .name_prefix = settings->name_prefix,
        .watch = is_label   ? CONTAINER_WATCH_LABEL
                 : is_globs ? CONTAINER_WATCH_GLOBS
                            : CONTAINER_WATCH_ALL,
        .watch_globs = &settings->watch,
        .deny = &settings->restart_deny,
        .stop = {.stop_settle_ms = settings->stop_settle_ms, .intent_settle_ms = settings->intent_settle_ms},
        .self_id = agent->self_id,
        .complain = on_complaint,
    };
    agent->table = container_table_new(&agent->table_config);
}

/* A listener on every address cannot be dialled by that name; our own name in the fleet may be. */
static void make_url(struct agent *agent)
{
    const char *given = agent->settings->advertise_url;
    const char *url = given[0] != '\0' ? given : command_server_url(agent->commands);
    static const char *const wildcards[] = {"://0.0.0.0:", "://*:", "://[::]:"};
    memory_set_text(agent->url, sizeof agent->url, url);
    for (size_t i = 0; given[0] == '\0' && i < sizeof wildcards / sizeof wildcards[0]; i++) {
        const char *at = strstr(url, wildcards[i]);
        if (at != NULL) {
            snprintf(agent->url, sizeof agent->url, "%.*s://%.128s:%s", (int)(at - url), url,
                     agent->settings->host, at + strlen(wildcards[i]));
        }
    }
}

int agent_init(struct agent *agent, const struct settings *settings, struct err *err)
{
    agent->settings = settings;
    int status = key_file_load(settings->key_file, &agent->keys, err);
    if (status != 0) {
        return status;
    }
    read_identity(agent);
    agent->loop = loop_new();
    agent->flush_timer = loop_timer_new(agent->loop, on_flush, agent);
    agent->tick_timer = loop_timer_new(agent->loop, on_tick, agent);
    make_table(agent);
    struct event_window seen = {.total = 0};
    bool has_seen = false;
    status = load_state(agent, &seen, &has_seen, err);
    if (status == 0) {
        status = engine_client_new(agent->loop, settings, &agent->engine, err);
    }
    if (status != 0) {
        return status;
    }
    agent->writer = state_files_writer_new(agent->loop, settings->state_dir, STATE_FILE, on_saved, agent);
    agent->saved_events = seen.total;
    agent->stream = event_stream_new(agent, has_seen ? &seen : NULL);
    agent->prober = prober_new(agent);
    agent->on_inspected = on_inspected;
    agent->maker = beat_maker_new(agent->prober);
    agent->metrics = metric_reader_new(agent);
    agent->publisher = heartbeat_publisher_new(agent);
    agent->evidence = evidence_new(agent);
    agent->begin_evidence = evidence_begin;
    agent->cancel_evidence = evidence_cancel;
    status = command_server_open(agent, &agent->commands, err);
    if (status == 0) {
        make_url(agent);
    }
    return status;
}

void agent_run(struct agent *agent)
{
    log_info("defib-agent " DEFIB_VERSION " started: host %s, Engine %s, commands at %s%s",
             agent->settings->host, engine_client_describe(agent->engine),
             command_server_url(agent->commands), agent->keys.count == 0 ? " (unsigned)" : "");
    loop_run(agent->loop);
    log_info("defib-agent ends");
}

void agent_reload(struct agent *agent)
{
    struct key_ring keys = {.count = 0};
    struct err err = {0};
    if (command_server_renew(agent->commands, &err) != 0) {
        log_error("The certificate stays as it is: %s", err.text);
    }
    if (key_file_load(agent->settings->key_file, &keys, &err) != 0) {
        log_error("The keys stay as they are: %s", err.text);
        return;
    }
    key_ring_wipe(&agent->keys);
    agent->keys = keys;
    key_ring_wipe(&keys);
    command_server_set_keys(agent->commands, &agent->keys);
    log_info("Settings files were read again: %zu keys", agent->keys.count);
}

void agent_fini(struct agent *agent)
{
    if (agent->publisher != NULL && agent->stream != NULL) {
        agent->saved_at = (struct mono){INT64_MIN / 2};
        save_state(agent);
    }
    command_server_close(agent->commands);
    evidence_free(agent->evidence);
    heartbeat_publisher_free(agent->publisher);
    metric_reader_free(agent->metrics);
    beat_maker_free(agent->maker);
    event_stream_free(agent->stream);
    prober_free(agent->prober);
    engine_client_free(agent->engine);
    state_files_writer_free(agent->writer);
    container_table_free(agent->table);
    if (agent->loop != NULL) {
        loop_timer_free(agent->flush_timer);
        loop_timer_free(agent->tick_timer);
        loop_free(agent->loop);
    }
    key_ring_wipe(&agent->keys);
}
