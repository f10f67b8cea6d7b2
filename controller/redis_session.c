#include "controller/redis_session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/log.h"
#include "common/memory.h"
#include "controller/disk_file.h"
#include "proto/keys.h"

#define MEMORY_FILE "redis.marker"

enum { MARKER_SIZE = 65, RUN_ID_SIZE = 65, COUNT_SIZE = 24, MEMORY_MAX_BYTES = 256 };

enum {
    COMMAND_TIMEOUT_MS = 3000,
    PING_INTERVAL_MS = 2000,
    PROBE_RETRY_MS = 1000,
    MESSAGE_MAX_BYTES = 16 << 20
};

enum session_state { SESSION_AWAY, SESSION_PROBING, SESSION_WRITABLE, SESSION_READY };

struct redis_session {
    struct redis_session_options options;
    char *state_dir;
    struct redis_link *listener;
    struct redis_link *commander;
    struct loop_timer *retry;
    enum session_state state;
    bool is_closing;
    bool has_told;    /* that it is away; once for each loss */
    bool was_missing; /* our SET NX made the marker */
    char marker[MARKER_SIZE];
    char known_marker[MARKER_SIZE]; /* under which our data lies; "": none yet */
    char known_run_id[RUN_ID_SIZE];
    uint64_t known_evicted; /* by that run */
    uint64_t generation;    /* answers to an older probe are dropped */
    struct latency latency;
    struct wall wall;    /* what its clock read at … */
    struct mono wall_at; /* … this moment; 0: never heard of */
};

struct probe {
    struct redis_session *session;
    uint64_t generation;
};

static void go_away(struct redis_session *session, const char *reason)
{
    session->state = SESSION_AWAY;
    session->generation++;
    loop_timer_stop(session->retry);
    if (!session->has_told && !session->is_closing) {
        session->has_told = true;
        session->options.on_away(session->options.arg, reason);
    }
}

static void remember(struct redis_session *session)
{
    char text[MARKER_SIZE + RUN_ID_SIZE + COUNT_SIZE], count[COUNT_SIZE] = "";
    if (session->known_evicted != REDIS_EVICTED_UNKNOWN) {
        snprintf(count, sizeof count, " %" PRIu64, session->known_evicted);
    }
    int len = snprintf(text, sizeof text, "%s %s%s\n", session->known_marker, session->known_run_id, count);
    struct err err;
    if (disk_file_replace(session->state_dir, MEMORY_FILE, text, (size_t)len, &err) != 0) {
        log_warning("Cannot remember the Redis marker: %s", err.text);
    }
}

static uint64_t read_count(const char *text)
{
    errno = 0;
    uint64_t count = strtoull(text, NULL, 10);
    return *text >= '0' && *text <= '9' && errno == 0 ? count : REDIS_EVICTED_UNKNOWN;
}

static void recall(struct redis_session *session)
{
    cleanup_free char *text = NULL;
    size_t len;
    if (disk_file_read(session->state_dir, MEMORY_FILE, MEMORY_MAX_BYTES, &text, &len, NULL) != 0) {
        return;
    }
    char marker[MARKER_SIZE], run_id[RUN_ID_SIZE] = "", evicted[COUNT_SIZE] = "";
    if (sscanf(text, "%64s %64s %23s", marker, run_id, evicted) >= 1) {
        memory_set_text(session->known_marker, sizeof session->known_marker, marker);
        memory_set_text(session->known_run_id, sizeof session->known_run_id, run_id);
        session->known_evicted = read_count(evicted);
    }
}

static void become_writable(struct redis_session *session)
{
    const char *run_id = redis_link_run_id(session->commander);
    bool knows = session->known_marker[0] != '\0';
    bool is_other = session->was_missing || strcmp(session->marker, session->known_marker) != 0 ||
                    strcmp(run_id, session->known_run_id) != 0;
    session->state = SESSION_WRITABLE;
    session->has_told = false;
    session->options.on_writable(session->options.arg, knows && is_other);
}

static void on_marker_read(void *arg, const struct redis_reply *reply)
{
    struct probe *probe = arg;
    struct redis_session *session = probe->session;
    bool is_current = probe->generation == session->generation && !session->is_closing;
    free(probe);
    if (!is_current || reply == NULL) {
        return;
    }
    size_t len;
    const char *text = redis_reply_text(reply, &len);
    if (redis_reply_type(reply) != REDIS_REPLY_TEXT || len == 0 || len >= MARKER_SIZE ||
        memchr(text, ' ', len) != NULL) {
        /* Somebody else's bytes, or evicted between the two commands: ask again. */
        log_warning("%s holds no marker of ours: it is written anew", KEY_MARKER);
        const char *argv[] = {"DEL", KEY_MARKER};
        redis_link_command(session->commander, NULL, NULL, 2, argv, NULL);
        loop_timer_start(session->retry, PROBE_RETRY_MS, 0);
        return;
    }
    memcpy(session->marker, text, len);
    session->marker[len] = '\0';
    become_writable(session);
}

static void on_marker_set(void *arg, const struct redis_reply *reply)
{
    struct probe *probe = arg;
    struct redis_session *session = probe->session;
    bool is_current = probe->generation == session->generation && !session->is_closing;
    free(probe);
    if (!is_current || reply == NULL) {
        return;
    }
    if (redis_reply_type(reply) == REDIS_REPLY_FAILURE) {
        cleanup_free char *reason = memory_copy_text(redis_reply_text(reply, NULL));
        redis_link_fail(session->commander, reason);
        return;
    }
    session->was_missing = session->was_missing || redis_reply_type(reply) == REDIS_REPLY_TEXT;
}

static bool ask(struct redis_session *session, redis_link_callback on_reply, int argc,
                const char *const *argv)
{
    struct probe *probe = memory_alloc(sizeof *probe);
    *probe = (struct probe){session, session->generation};
    if (redis_link_command(session->commander, on_reply, probe, argc, argv, NULL) != 0) {
        free(probe);
        return false;
    }
    return true;
}

/* SET NX is a write also where the key stands: a read-only replica and a full server refuse it. */
static void probe_marker(void *arg)
{
    struct redis_session *session = arg;
    uint8_t random[16];
    char value[MARKER_SIZE];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        abort();
    }
    for (size_t i = 0; i < sizeof random; i++) {
        snprintf(value + 2 * i, 3, "%02x", random[i]);
    }
    const char *set[] = {"SET", KEY_MARKER, value, "NX"};
    const char *get[] = {"GET", KEY_MARKER};
    session->state = SESSION_PROBING;
    session->generation++;
    if (!ask(session, on_marker_set, 4, set) || !ask(session, on_marker_read, 2, get)) {
        loop_timer_start(session->retry, PROBE_RETRY_MS, 0);
    }
}

static void on_link_up(void *arg)
{
    struct redis_session *session = arg;
    if (redis_link_is_up(session->listener) && redis_link_is_up(session->commander)) {
        session->was_missing = false;
        probe_marker(session);
    }
}

static void on_link_down(void *arg, const char *reason)
{
    go_away(arg, reason);
}

static void on_link_message(void *arg, const char *payload, size_t len)
{
    struct redis_session *session = arg;
    if (!session->is_closing) {
        session->options.on_message(session->options.arg, payload, len);
    }
}

struct redis_session *redis_session_open(struct loop *loop, const struct redis_session_options *options)
{
    struct redis_session *session = memory_alloc(sizeof *session);
    session->options = *options;
    session->state_dir = memory_copy_text(options->state_dir);
    session->retry = loop_timer_new(loop, probe_marker, session);
    session->known_evicted = REDIS_EVICTED_UNKNOWN;
    recall(session);
    struct redis_link_options link = {.url = options->url,
                                      .client_name = options->client_name,
                                      .command_timeout_ms = COMMAND_TIMEOUT_MS,
                                      .ping_interval_ms = PING_INTERVAL_MS,
                                      .on_up = on_link_up,
                                      .on_down = on_link_down,
                                      .on_message = on_link_message,
                                      .latency = &session->latency,
                                      .arg = session};
    session->commander = redis_link_open(loop, &link);
    link.latency = NULL;
    link.subscribe = KEY_CHANNEL_HEARTBEATS;
    link.max_reply_bytes = MESSAGE_MAX_BYTES;
    session->listener = redis_link_open(loop, &link);
    return session;
}

const struct latency *redis_session_latency(const struct redis_session *session)
{
    return &session->latency;
}

void redis_session_close(struct redis_session *session)
{
    if (session == NULL) {
        return;
    }
    session->is_closing = true;
    session->state = SESSION_AWAY;
    redis_link_close(session->listener);
    redis_link_close(session->commander);
    loop_timer_free(session->retry);
    free(session->state_dir);
    free(session);
}

void redis_session_commit(struct redis_session *session)
{
    if (session->state != SESSION_WRITABLE) {
        return;
    }
    session->state = SESSION_READY;
    session->was_missing = false;
    const char *run_id = redis_link_run_id(session->commander);
    if (strcmp(session->marker, session->known_marker) != 0 || strcmp(run_id, session->known_run_id) != 0) {
        memory_set_text(session->known_marker, sizeof session->known_marker, session->marker);
        memory_set_text(session->known_run_id, sizeof session->known_run_id, run_id);
        session->known_evicted = REDIS_EVICTED_UNKNOWN;
        remember(session);
    }
}

bool redis_session_is_writable(const struct redis_session *session)
{
    return session->state >= SESSION_WRITABLE;
}

bool redis_session_is_ready(const struct redis_session *session)
{
    return session->state == SESSION_READY;
}

int redis_session_command(struct redis_session *session, redis_link_callback on_reply, void *arg, int argc,
                          const char *const *argv, const size_t *argv_len)
{
    if (!redis_session_is_writable(session)) {
        return -ENOTCONN;
    }
    return redis_link_command(session->commander, on_reply, arg, argc, argv, argv_len);
}

/* Refusals of the server as a whole, not of this one command. */
static bool is_fault(const char *text)
{
    static const char *const words[] = {"READONLY",   "OOM",      "LOADING",     "MISCONF", "MASTERDOWN",
                                        "NOREPLICAS", "TRYAGAIN", "CLUSTERDOWN", "NOAUTH",  "BUSY"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strncmp(text, words[i], strlen(words[i])) == 0) {
            return true;
        }
    }
    return false;
}

bool redis_session_took_write(struct redis_session *session, const struct redis_reply *reply)
{
    if (reply == NULL) {
        return false;
    }
    if (redis_reply_type(reply) != REDIS_REPLY_FAILURE) {
        return true;
    }
    const char *text = redis_reply_text(reply, NULL);
    if (text != NULL && is_fault(text) && redis_session_is_writable(session)) {
        cleanup_free char *reason = memory_copy_text(text); /* the reply may end with the connection */
        go_away(session, reason);
        redis_link_fail(session->commander, reason);
    }
    return false;
}

void redis_session_set_wall(struct redis_session *session, struct wall wall, struct mono at)
{
    session->wall = wall;
    session->wall_at = at;
}

bool redis_session_wall(const struct redis_session *session, struct mono now, struct wall *out)
{
    if (session->wall_at.ms == 0) {
        return false;
    }
    out->ms = session->wall.ms + mono_diff(now, session->wall_at);
    return true;
}

const char *redis_session_marker(const struct redis_session *session)
{
    return session->marker;
}

bool redis_session_has_marker(struct redis_session *session, const struct redis_reply *marker)
{
    if (!redis_session_is_writable(session) || marker == NULL ||
        redis_reply_type(marker) == REDIS_REPLY_FAILURE) {
        return false;
    }
    size_t len;
    const char *text = redis_reply_text(marker, &len);
    if (text != NULL && len == strlen(session->marker) && memcmp(text, session->marker, len) == 0) {
        return true;
    }
    go_away(session, text == NULL ? "its data is gone (no marker key)" : "its data is another (marker key)");
    if (!session->is_closing) {
        session->was_missing = true; /* also if another controller writes it before us */
        probe_marker(session);
    }
    return false;
}

uint64_t redis_session_read_evicted(const struct redis_reply *reply)
{
    static const char field[] = "\nevicted_keys:";
    const char *text = redis_reply_type(reply) == REDIS_REPLY_TEXT ? redis_reply_text(reply, NULL) : NULL;
    const char *at = text == NULL ? NULL : strstr(text, field);
    return at != NULL ? read_count(at + sizeof field - 1) : REDIS_EVICTED_UNKNOWN;
}

uint64_t redis_session_known_evicted(const struct redis_session *session)
{
    return session->known_evicted;
}

void redis_session_remember_evicted(struct redis_session *session, uint64_t count)
{
    if (redis_session_is_ready(session) && count != session->known_evicted) {
        session->known_evicted = count;
        remember(session);
    }
}
