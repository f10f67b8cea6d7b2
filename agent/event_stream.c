#include "agent/event_stream.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "agent/agent.h"
#include "agent/engine_client.h"
#include "common/log.h"
#include "common/memory.h"

enum {
    CALL_TIMEOUT_MS = 10 * 1000,
    LIST_TIMEOUT_MS = 30 * 1000,
    PING_INTERVAL_MS = 15 * 1000,
    RESYNC_INTERVAL_MS = 300 * 1000,
    PROOF_WAIT_MS = 2 * 1000,
    RETRY_FIRST_MS = 100,
    RETRY_MAX_MS = 5 * 1000,
    INSPECT_RETRY_MS = 2 * 1000,
    INSPECTS_MAX = 4,
    EVERYTHING_NS = 1,    /* `since`: the oldest that it remembers, by any clock */
    REPLAY_MS = 1000,     /* what it remembers it tells at once: by so long after the list only news comes */
    CLOCK_SLACK_MS = 1000 /* between its clock and the answer that told it */
};

struct inspect {
    struct event_stream *stream;
    struct engine_call *call; /* NULL: free */
    char id[LIMIT_ID_SIZE];
};

struct event_stream {
    struct agent *agent;
    struct engine_call *info, *run, *events, *list, *ping;
    struct inspect inspects[INSPECTS_MAX];
    struct loop_timer *retry, *pinger, *resync, *proof, *inspect_retry;
    int64_t retry_ms;
    bool is_up;
    uint64_t turns;             /* of is_up */
    bool is_told_down;          /* the line about an Engine that is away was written, once an episode */
    bool was_refused;           /* since the loss nobody listened: that daemon is gone */
    bool has_stream;            /* the table was told that the stream is there */
    bool is_proof_pending;      /* what daemon this is has not been told to the table yet */
    enum container_sweep sweep; /* of the list that is under way */
    struct engine_info engine;
    char run_id[LIMIT_ID_SIZE]; /* of the daemon behind this connection, "": not known */
    bool is_going;              /* nobody listens any more, the stream is still there */
    struct mono asked_at;       /* the ping that is under way */
    struct mono told_at;        /* when `engine` came */
    struct event_window seen;
    struct mono replay_until; /* till then what comes may be of the past */
    bool has_past; /* there was a stream before, in this life or an earlier one: the unseen is news */
    struct event_stream_counters counters;
};

static void connect_engine(struct event_stream *stream);
static void start_list(struct event_stream *stream, enum container_sweep sweep);

static struct mono now_of(const struct event_stream *stream)
{
    return loop_now(stream->agent->loop);
}

/* ---- inspects ---- */

static void pump_inspects(struct event_stream *stream);

static void on_inspect(void *arg, const struct engine_answer *answer,
                       const struct engine_container *container)
{
    struct inspect *inspect = arg;
    struct event_stream *stream = inspect->stream;
    struct container_table *table = stream->agent->table;
    inspect->call = NULL;
    if (container != NULL) {
        container_table_inspected(table, container, now_of(stream));
        if (stream->agent->on_inspected != NULL) {
            stream->agent->on_inspected(stream->agent, container);
        }
    } else if (answer->result == ENGINE_NOT_FOUND) {
        container_table_inspect_gone(table, inspect->id, now_of(stream));
    } else {
        log_debug("Container %.12s cannot be inspected: %s", inspect->id, answer->message);
        container_table_inspect_failed(table, inspect->id);
        loop_timer_start(stream->inspect_retry, INSPECT_RETRY_MS, 0);
    }
    agent_facts_changed(stream->agent);
    pump_inspects(stream);
}

static void pump_inspects(struct event_stream *stream)
{
    for (size_t i = 0; i < INSPECTS_MAX; i++) {
        struct inspect *inspect = &stream->inspects[i];
        const char *id = inspect->call == NULL ? container_table_next_inspect(stream->agent->table) : NULL;
        if (id != NULL) {
            memory_set_text(inspect->id, sizeof inspect->id, id);
            inspect->call = engine_client_inspect(stream->agent->engine, inspect->id, CALL_TIMEOUT_MS,
                                                  on_inspect, inspect);
        }
    }
}

static void on_inspect_retry(void *arg)
{
    struct event_stream *stream = arg;
    if (stream->is_up) { /* else the next connect inspects everything */
        container_table_retry_inspects(stream->agent->table);
        pump_inspects(stream);
    }
}

/* ---- up and down ---- */

static void cancel(struct engine_call **call)
{
    engine_call_cancel(*call);
    *call = NULL;
}

static int64_t with_jitter(int64_t ms)
{
    uint32_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) < 0) {
        random = (uint32_t)clock_mono_now().ms;
    }
    return ms / 2 + (int64_t)(random % (uint32_t)(ms / 2 + 1));
}

static void retry_later(struct event_stream *stream)
{
    loop_timer_start(stream->retry, with_jitter(stream->retry_ms), 0);
    stream->retry_ms = stream->retry_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : stream->retry_ms * 2;
}

static void set_up(struct event_stream *stream, bool is_up)
{
    if (stream->is_up != is_up) {
        stream->is_up = is_up;
        stream->turns++;
        agent_facts_changed(stream->agent);
    }
}

static void tell_down(struct event_stream *stream, const struct engine_answer *answer)
{
    if (!stream->is_told_down) {
        stream->is_told_down = true;
        log_error("Docker Engine %s is away: %s; trying again", engine_client_describe(stream->agent->engine),
                  answer->message);
    }
    set_up(stream, false);
}

/* Whatever was under way belongs to a connection that is no more. */
static void drop_connection(struct event_stream *stream)
{
    cancel(&stream->info);
    cancel(&stream->run);
    cancel(&stream->events);
    cancel(&stream->list);
    cancel(&stream->ping);
    loop_timer_stop(stream->pinger);
    loop_timer_stop(stream->resync);
    loop_timer_stop(stream->proof);
    stream->is_proof_pending = false;
    if (stream->has_stream) {
        stream->has_stream = false;
        stream->has_past = true;
        stream->was_refused = stream->is_going;
        stream->is_going = false;
        container_table_stream_lost(stream->agent->table, now_of(stream));
        agent_facts_changed(stream->agent);
    }
}

/* ---- what daemon is this? ---- */

static const char *daemon_word(enum container_daemon daemon)
{
    return daemon == CONTAINER_DAEMON_SAME  ? "the same daemon"
           : daemon == CONTAINER_DAEMON_NEW ? "a new daemon"
                                            : "unknown daemon";
}

/* A daemon remembers its events in memory: one that tells what we saw before has not been restarted. */
enum proof { PROOF_NONE, PROOF_SAME };

static enum container_daemon daemon_of(const struct event_stream *stream, enum proof proof)
{
    const char *before = stream->seen.run_id;
    if (proof == PROOF_NONE && stream->run_id[0] != '\0' && before[0] != '\0') {
        return strcmp(stream->run_id, before) == 0 ? CONTAINER_DAEMON_SAME : CONTAINER_DAEMON_NEW;
    }
    return proof == PROOF_SAME   ? CONTAINER_DAEMON_SAME
           : stream->was_refused ? CONTAINER_DAEMON_NEW
                                 : CONTAINER_DAEMON_UNKNOWN;
}

static void settle_proof(struct event_stream *stream, enum proof proof)
{
    if (!stream->is_proof_pending) {
        return;
    }
    stream->is_proof_pending = false;
    stream->has_stream = true;
    loop_timer_stop(stream->proof);
    enum container_daemon daemon = daemon_of(stream, proof);
    memory_set_text(stream->seen.run_id, sizeof stream->seen.run_id, stream->run_id);
    log_debug("Docker Engine: %s", daemon_word(daemon));
    container_table_stream_back(stream->agent->table, daemon, stream->engine.is_live_restore, now_of(stream));
    agent_facts_changed(stream->agent);
    start_list(stream, CONTAINER_SWEEP_ALL);
}

static void on_proof_timer(void *arg)
{
    settle_proof(arg, PROOF_NONE);
}

/* ---- the stream ---- */

/* Of the past is what happened before the Engine's clock was asked; and what claims to be of the future was
 * written by a clock that has been set back since. A live event of that moment is neither. */
static bool is_history(const struct event_stream *stream, const struct engine_event *event)
{
    int64_t passed_ms = mono_diff(now_of(stream), stream->told_at);
    int64_t since_ms = (event->time_ns - stream->engine.system_time_ns) / 1000000;
    return !mono_reached(now_of(stream), stream->replay_until) &&
           (since_ms < 0 || since_ms > passed_ms + CLOCK_SLACK_MS);
}

static void take_event(struct event_stream *stream, const struct engine_event *event)
{
    bool is_past = is_history(stream, event);
    if (is_past && !stream->has_past) {
        return; /* of before our time */
    }
    stream->counters.events++;
    container_table_event(stream->agent->table, event, is_past, now_of(stream));
    if (event->action == ENGINE_ACTION_STOP || event->action == ENGINE_ACTION_DIE) {
        event_stream_prove(stream); /* whichever of the two comes last */
    }
    agent_facts_changed(stream->agent);
    pump_inspects(stream);
}

static void on_line(void *arg, const char *line, size_t len)
{
    struct event_stream *stream = arg;
    struct engine_event event;
    struct err err = {0};
    if (engine_json_event(line, len, &event, &err) != 0) {
        stream->counters.bad_events++;
        log_debug("Docker event is not used: %s", err.text);
        return;
    }
    bool is_new = event_window_add(&stream->seen, event_window_mark(&event));
    settle_proof(stream, is_new ? PROOF_NONE : PROOF_SAME);
    if (is_new) {
        take_event(stream, &event);
    }
    engine_event_fini(&event);
}

static void on_end(void *arg, const struct engine_answer *answer)
{
    struct event_stream *stream = arg;
    stream->events = NULL;
    log_debug("Docker's event stream ended: %s", answer->message);
    drop_connection(stream);
    retry_later(stream);
}

static void start_stream(struct event_stream *stream)
{
    const struct engine_events_handlers handlers = {.on_line = on_line, .on_end = on_end, .arg = stream};
    stream->is_proof_pending = true;
    stream->replay_until = MONO_NEVER;
    stream->events = engine_client_events(stream->agent->engine, EVERYTHING_NS, &handlers);
    if (event_window_count(&stream->seen) == 0) {
        settle_proof(stream, PROOF_NONE);
    } else {
        loop_timer_start(stream->proof, PROOF_WAIT_MS, 0);
    }
}

/* ---- list ---- */

static void on_list(void *arg, const struct engine_answer *answer, const struct engine_summary *rows,
                    size_t count)
{
    struct event_stream *stream = arg;
    stream->list = NULL;
    if (answer->result != ENGINE_OK) {
        tell_down(stream, answer);
        drop_connection(stream);
        retry_later(stream);
        return;
    }
    struct agent *agent = stream->agent;
    bool is_first = !container_table_has_swept(agent->table);
    container_table_sweep(agent->table, rows, count, stream->sweep, now_of(stream));
    stream->replay_until = mono_min(stream->replay_until, mono_add(now_of(stream), REPLAY_MS));
    stream->counters.resyncs++;
    stream->retry_ms = RETRY_FIRST_MS;
    if (!stream->is_up || is_first) {
        log_info("Docker Engine %s %s: watching %zu of %zu containers", engine_client_describe(agent->engine),
                 stream->engine.version, container_table_count(agent->table), count);
    }
    stream->is_told_down = false;
    set_up(stream, true);
    agent_facts_changed(agent);
    pump_inspects(stream);
}

static void start_list(struct event_stream *stream, enum container_sweep sweep)
{
    if (stream->list != NULL) {
        return;
    }
    stream->sweep = sweep;
    container_table_sweep_begin(stream->agent->table);
    stream->list = engine_client_list(stream->agent->engine, LIST_TIMEOUT_MS, on_list, stream);
}

static void on_resync(void *arg)
{
    struct event_stream *stream = arg;
    if (stream->is_up) {
        start_list(stream, CONTAINER_SWEEP_DIFFERENCES);
    }
}

/* ---- ping ---- */

/* A daemon that nobody can connect to is going down; the stream tells its last events until it ends. One that
 * does not answer in time hangs, or the way to it is cut: the stream is worth nothing then. */
static void on_ping(void *arg, const struct engine_answer *answer)
{
    struct event_stream *stream = arg;
    struct container_table *table = stream->agent->table;
    stream->ping = NULL;
    if (answer->result == ENGINE_UNREACHABLE) {
        container_table_daemon_going(table, now_of(stream));
        stream->is_going = true;
        tell_down(stream, answer);
    } else if (answer->result == ENGINE_LOST) {
        tell_down(stream, answer);
        drop_connection(stream);
        retry_later(stream);
        return;
    } else {
        container_table_daemon_answered(table, stream->asked_at, now_of(stream));
        stream->is_going = false;
        stream->is_told_down = false;
        set_up(stream, container_table_has_swept(table));
    }
    agent_facts_changed(stream->agent);
}

static void ping(struct event_stream *stream)
{
    if (stream->ping == NULL && stream->has_stream) {
        stream->asked_at = now_of(stream);
        stream->ping = engine_client_ping(stream->agent->engine, CALL_TIMEOUT_MS, on_ping, stream);
    }
}

static void on_pinger(void *arg)
{
    ping(arg);
}

void event_stream_doubt(struct event_stream *stream)
{
    ping(stream);
}

void event_stream_prove(struct event_stream *stream)
{
    if (container_table_wants_proof(stream->agent->table)) {
        ping(stream);
    }
}

/* ---- connect ---- */

static void on_run(void *arg, const struct engine_answer *answer, const char *run_id)
{
    struct event_stream *stream = arg;
    stream->run = NULL;
    if (answer->result == ENGINE_UNREACHABLE || answer->result == ENGINE_LOST) {
        stream->was_refused |= answer->result == ENGINE_UNREACHABLE;
        tell_down(stream, answer);
        retry_later(stream);
        return;
    }
    memory_set_text(stream->run_id, sizeof stream->run_id, run_id);
    loop_timer_start(stream->pinger, PING_INTERVAL_MS, PING_INTERVAL_MS);
    loop_timer_start(stream->resync, RESYNC_INTERVAL_MS, RESYNC_INTERVAL_MS);
    start_stream(stream);
}

static void on_info(void *arg, const struct engine_answer *answer, const struct engine_info *info)
{
    struct event_stream *stream = arg;
    stream->info = NULL;
    if (info == NULL) {
        stream->was_refused |= answer->result == ENGINE_UNREACHABLE;
        tell_down(stream, answer);
        retry_later(stream);
        return;
    }
    stream->engine = *info;
    stream->told_at = now_of(stream);
    stream->counters.connects++;
    stream->run = engine_client_run(stream->agent->engine, CALL_TIMEOUT_MS, on_run, stream);
}

static void connect_engine(struct event_stream *stream)
{
    if (stream->info == NULL && stream->run == NULL && stream->events == NULL) {
        stream->info = engine_client_info(stream->agent->engine, CALL_TIMEOUT_MS, on_info, stream);
    }
}

static void on_retry(void *arg)
{
    connect_engine(arg);
}

struct event_stream *event_stream_new(struct agent *agent, const struct event_window *seen)
{
    struct event_stream *stream = memory_alloc(sizeof *stream);
    stream->agent = agent;
    stream->retry_ms = RETRY_FIRST_MS;
    if (seen != NULL) {
        stream->seen = *seen;
        stream->has_past = true;
    }
    for (size_t i = 0; i < INSPECTS_MAX; i++) {
        stream->inspects[i].stream = stream;
    }
    stream->retry = loop_timer_new(agent->loop, on_retry, stream);
    stream->pinger = loop_timer_new(agent->loop, on_pinger, stream);
    stream->resync = loop_timer_new(agent->loop, on_resync, stream);
    stream->proof = loop_timer_new(agent->loop, on_proof_timer, stream);
    stream->inspect_retry = loop_timer_new(agent->loop, on_inspect_retry, stream);
    connect_engine(stream);
    return stream;
}

void event_stream_free(struct event_stream *stream)
{
    if (stream == NULL) {
        return;
    }
    cancel(&stream->info);
    cancel(&stream->run);
    cancel(&stream->events);
    cancel(&stream->list);
    cancel(&stream->ping);
    for (size_t i = 0; i < INSPECTS_MAX; i++) {
        cancel(&stream->inspects[i].call);
    }
    loop_timer_free(stream->retry);
    loop_timer_free(stream->pinger);
    loop_timer_free(stream->resync);
    loop_timer_free(stream->proof);
    loop_timer_free(stream->inspect_retry);
    free(stream);
}

bool event_stream_is_up(const struct event_stream *stream)
{
    return stream->is_up;
}

uint64_t event_stream_turns(const struct event_stream *stream)
{
    return stream->turns;
}

void event_stream_facts_wanted(struct event_stream *stream)
{
    if (stream->is_up) {
        pump_inspects(stream);
    }
}

const char *event_stream_engine_version(const struct event_stream *stream)
{
    return stream->engine.version;
}

const struct event_window *event_stream_seen(const struct event_stream *stream)
{
    return &stream->seen;
}

struct event_stream_counters event_stream_counters(const struct event_stream *stream)
{
    return stream->counters;
}
