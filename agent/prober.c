#include "agent/prober.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "agent/agent.h"
#include "agent/core/docker_stream.h"
#include "agent/core/metric_rules.h"
#include "agent/core/probe_state.h"
#include "agent/probe_exec.h"
#include "agent/probe_http.h"
#include "agent/probe_socket.h"
#include "common/log.h"
#include "common/memory.h"
#include "proto/heartbeat.h"
#include "proto/json_writer.h"

/* An exec costs the Engine 40 ms of CPU, another probe 0.05: both queue behind these. */
enum { PROBES_AT_ONCE = 64, EXECS_AT_ONCE = 2, ADDRESS_SIZE = 64 };

struct watched;

struct probe {
    struct watched *watched;
    const struct probe_spec *spec;
    struct probe_state state;
    uint64_t phase;
    struct loop_timer *timer;
    struct mono began;
    bool is_running, is_waiting;
    struct probe_http_call *http;
    struct probe_socket *socket;
    struct probe_exec *exec;
    struct probe_exec_memory *memory; /* owned; exec alone */
    struct probe *next_waiting;
};

/* One container; those without probes are here for their address alone. */
struct watched {
    struct prober *prober;
    char id[LIMIT_ID_SIZE];
    char address[ADDRESS_SIZE];         /* "": none of its own */
    char network_parent[LIMIT_ID_SIZE]; /* whose network it lives in; "": nobody's */
    int64_t started_ns;                 /* the incarnation that the states are of */
    bool is_up;
    char *health_output; /* owned: what its HEALTHCHECK said last; NULL: nothing */
    struct metric_rules rules;
    struct probe_list specs;
    struct probe *probes; /* owned, one for each spec */
    UT_hash_handle hh;
};

struct queue {
    struct probe *first, *last;
    size_t running, limit;
};

struct prober {
    struct agent *agent;
    struct probe_http *http;
    struct watched *all;
    struct queue plain, execs;
    struct prober_counters counters;
};

static void begin(struct probe *probe);

static struct watched *find(const struct prober *prober, const char *id)
{
    struct watched *watched;
    HASH_FIND_STR(prober->all, id, watched);
    return watched;
}

static const struct container *container_of(const struct watched *watched)
{
    return container_table_by_id(watched->prober->agent->table, watched->id);
}

static int64_t age_ms(const struct watched *watched)
{
    int64_t age = clock_wall_now().ms - watched->started_ns / 1000000;
    return age > 0 ? age : 0;
}

/* ---- what they say together ---- */

static enum beat_status worse(enum beat_status worst, enum beat_status said)
{
    return said == BEAT_UNKNOWN ? worst : worst == BEAT_UNKNOWN ? said : heartbeat_worse(worst, said);
}

static enum beat_status status_of(const struct watched *watched)
{
    enum beat_status worst = BEAT_UNKNOWN;
    int64_t age = age_ms(watched);
    for (size_t i = 0; watched->is_up && i < watched->specs.count; i++) {
        worst = worse(worst, probe_state_status(&watched->probes[i].state, watched->probes[i].spec, age));
    }
    for (size_t i = 0; watched->is_up && i < watched->rules.count; i++) {
        worst = worse(worst, metric_rules_status(&watched->rules.items[i]));
    }
    return worst;
}

static void tell_table(const struct watched *watched)
{
    struct agent *agent = watched->prober->agent;
    if (container_table_set_probe_status(agent->table, watched->id, status_of(watched))) {
        agent_facts_changed(agent);
    }
}

/* The last line that says something; a check's output may be long. */
static void fill_health(const struct watched *watched, struct heartbeat *beat)
{
    char line[LIMIT_DETAIL_SIZE];
    if (beat->health == HEALTH_UNHEALTHY && watched->health_output != NULL &&
        docker_stream_last_line(watched->health_output, line, sizeof line) > 0) {
        heartbeat_set_check_detail(beat, "docker_health", line);
    }
}

void prober_fill(const struct prober *prober, const char *container_id, struct heartbeat *beat)
{
    const struct watched *watched = prober == NULL ? NULL : find(prober, container_id);
    for (size_t i = 0; watched != NULL && watched->is_up && i < watched->specs.count; i++) {
        const struct probe *probe = &watched->probes[i];
        if (probe->state.verdict != PROBE_PENDING) {
            heartbeat_set_check(beat, probe->spec->name, probe->state.verdict == PROBE_PASSING);
        }
        if (probe->state.detail[0] != '\0') {
            heartbeat_set_check_detail(beat, probe->spec->name, probe->state.detail);
        }
    }
    if (watched != NULL) {
        fill_health(watched, beat);
    }
    for (size_t i = 0; watched != NULL && watched->is_up && i < watched->rules.count; i++) {
        const struct metric_rule *rule = &watched->rules.items[i];
        if (rule->verdict != METRIC_UNSAID) {
            heartbeat_set_check(beat, rule->check, rule->verdict == METRIC_WELL);
        }
        if (rule->verdict == METRIC_BAD) {
            heartbeat_set_check_detail(beat, rule->check, rule->detail);
        }
    }
}

static void log_verdict(const struct container *container, const struct probe *probe)
{
    const struct probe_spec *spec = probe->spec;
    if (probe->state.verdict == PROBE_FAILING) {
        log_warning("Container %s: check %s (%s%s) fails: %s", container->name, spec->name,
                    probe_spec_kind_name(spec->kind), spec->is_required ? ", required" : "",
                    probe->state.detail);
    } else if (probe->state.runs > 1) {
        log_info("Container %s: check %s is well again", container->name, spec->name);
    }
}

/* ---- metrics ---- */

bool prober_has_rules(const struct prober *prober, const char *container_id)
{
    const struct watched *watched = find(prober, container_id);
    return watched != NULL && watched->is_up && watched->rules.count > 0;
}

static void log_rule(const struct container *container, const struct metric_rule *rule)
{
    if (rule->verdict == METRIC_BAD) {
        log_warning("Container %s: check %s%s fails: %s", container->name, rule->check,
                    rule->is_required ? " (required)" : "", rule->detail);
    } else if (rule->verdict == METRIC_WELL && rule->has_value) {
        log_debug("Container %s: check %s is well", container->name, rule->check);
    }
}

void prober_take_metrics(struct prober *prober, const char *container_id, const struct heartbeat *agents,
                         const struct heartbeat *apps)
{
    struct watched *watched = find(prober, container_id);
    const struct container *container = container_table_by_id(prober->agent->table, container_id);
    if (watched == NULL || container == NULL || !watched->is_up) {
        return;
    }
    struct mono now = loop_now(prober->agent->loop);
    int64_t gap_ms = 3 * prober->agent->settings->heartbeat_interval_ms;
    bool is_claimed = apps == NULL || apps->status == BEAT_HEALTHY || apps->status == BEAT_DEGRADED;
    for (size_t i = 0; i < watched->rules.count; i++) {
        struct metric_rule *rule = &watched->rules.items[i];
        double value;
        bool is_told = (apps != NULL && heartbeat_metric(apps, rule->metric, &value)) ||
                       heartbeat_metric(agents, rule->metric, &value);
        if (metric_rules_take(rule, is_told ? &value : NULL, is_claimed, gap_ms, now)) {
            log_rule(container, rule);
        }
    }
    tell_table(watched);
}

/* ---- evidence ---- */

static void write_probe(struct json_writer *writer, const struct probe *probe)
{
    static const char *const words[] = {"pending", "passing", "failing"};
    json_writer_open(writer, probe->spec->name, '{');
    json_writer_text(writer, "verdict", words[probe->state.verdict]);
    json_writer_bool(writer, "required", probe->spec->is_required);
    json_writer_signed(writer, "took_ms", probe->state.took_ms);
    if (probe->state.detail[0] != '\0') {
        json_writer_text(writer, "detail", probe->state.detail);
    }
    if (probe->memory != NULL && probe->memory->output[0] != '\0') {
        json_writer_text(writer, "output", probe->memory->output);
    }
    json_writer_close(writer, '}');
}

void prober_write(const struct prober *prober, const char *container_id, struct json_writer *writer)
{
    const struct watched *watched = find(prober, container_id);
    json_writer_open(writer, "probes", '{');
    for (size_t i = 0; watched != NULL && i < watched->specs.count; i++) {
        write_probe(writer, &watched->probes[i]);
    }
    for (size_t i = 0; watched != NULL && i < watched->rules.count; i++) {
        const struct metric_rule *rule = &watched->rules.items[i];
        json_writer_text(writer, rule->check, rule->verdict == METRIC_BAD ? rule->detail : "well");
    }
    json_writer_close(writer, '}');
}

/* ---- one run ---- */

static struct queue *queue_of(const struct probe *probe)
{
    struct prober *prober = probe->watched->prober;
    return probe->spec->kind == PROBE_EXEC ? &prober->execs : &prober->plain;
}

static void let_next_run(struct queue *queue)
{
    while (queue->first != NULL && queue->running < queue->limit) {
        struct probe *next = queue->first;
        queue->first = next->next_waiting;
        next->is_waiting = false;
        begin(next);
    }
}

static void release(struct probe *probe)
{
    probe->is_running = false;
    probe->http = NULL;
    probe->socket = NULL;
    probe->exec = NULL;
    queue_of(probe)->running--;
}

static void schedule(struct probe *probe)
{
    struct mono now = loop_now(probe->watched->prober->agent->loop);
    struct mono at = probe_state_next(probe->spec, probe->phase, now);
    loop_timer_start(probe->timer, mono_diff(at, now), 0);
}

static void take_result(struct probe *probe, const char *failure)
{
    struct watched *watched = probe->watched;
    struct prober *prober = watched->prober;
    const struct container *container = container_of(watched);
    prober->counters.probes++;
    prober->counters.failures += failure != NULL;
    schedule(probe);
    /* What was asked of a container that went down meanwhile says nothing. */
    if (container != NULL && container->state == CONTAINER_RUNNING &&
        container->started_ns == watched->started_ns) {
        int64_t took_ms = mono_diff(loop_now(prober->agent->loop), probe->began);
        if (probe_state_take(&probe->state, probe->spec, failure, took_ms, age_ms(watched))) {
            log_verdict(container, probe);
        }
        tell_table(watched);
    }
}

static void on_done(void *arg, const char *failure)
{
    struct probe *probe = arg;
    struct prober *prober = probe->watched->prober;
    release(probe);
    take_result(probe, failure);
    let_next_run(&prober->plain);
    let_next_run(&prober->execs);
}

static const char *address_of(const struct watched *watched)
{
    /* A network may be borrowed by one that borrows it. */
    for (int depth = 0; depth < 8 && watched != NULL; depth++) {
        if (watched->address[0] != '\0' || watched->network_parent[0] == '\0') {
            return watched->address;
        }
        watched = find(watched->prober, watched->network_parent);
    }
    return "";
}

static const char *host_of(const struct probe *probe)
{
    return probe->spec->host[0] != '\0' ? probe->spec->host : address_of(probe->watched);
}

static void begin(struct probe *probe)
{
    struct watched *watched = probe->watched;
    struct agent *agent = watched->prober->agent;
    const struct probe_spec *spec = probe->spec;
    const char *host = host_of(probe);
    probe->is_running = true;
    probe->began = loop_now(agent->loop);
    queue_of(probe)->running++;
    switch (spec->kind) {
    case PROBE_EXEC:
        probe->exec =
            probe_exec_start(agent->loop, agent->engine, spec, watched->id, probe->memory, on_done, probe);
        return;
    case PROBE_HTTP:
    case PROBE_HTTPS:
    case PROBE_TCP:
    case PROBE_REDIS:
    case PROBE_POSTGRES:
    case PROBE_KIND_N:
        break;
    }
    bool is_by_curl = spec->kind == PROBE_HTTPS || (spec->kind == PROBE_HTTP && spec->body[0] != '\0');
    if (is_by_curl) {
        probe->http = probe_http_start(watched->prober->http, spec, host, on_done, probe);
    } else {
        probe->socket = probe_socket_start(agent->loop, spec, host, on_done, probe);
    }
}

static void on_due(void *arg)
{
    struct probe *probe = arg;
    struct queue *queue = queue_of(probe);
    if (probe->spec->kind != PROBE_EXEC && host_of(probe)[0] == '\0') {
        probe->began = loop_now(probe->watched->prober->agent->loop);
        take_result(probe, "the container has no address of its own: name a host");
        return;
    }
    if (queue->running < queue->limit) {
        begin(probe);
        return;
    }
    probe->is_waiting = true;
    probe->next_waiting = NULL;
    if (queue->first == NULL) {
        queue->first = probe;
    } else {
        queue->last->next_waiting = probe;
    }
    queue->last = probe;
}

static void leave_queue(struct probe *probe)
{
    struct queue *queue = queue_of(probe);
    struct probe *before = NULL;
    for (struct probe *each = queue->first; each != probe; each = each->next_waiting) {
        before = each;
    }
    if (before == NULL) {
        queue->first = probe->next_waiting;
    } else {
        before->next_waiting = probe->next_waiting;
    }
    queue->last = queue->last == probe ? before : queue->last;
    probe->is_waiting = false;
}

static void halt(struct probe *probe)
{
    loop_timer_stop(probe->timer);
    if (probe->is_waiting) {
        leave_queue(probe);
    }
    if (probe->is_running) {
        probe_http_cancel(probe->http);
        probe_socket_cancel(probe->socket);
        probe_exec_cancel(probe->exec);
        release(probe);
    }
}

/* ---- containers ---- */

static void on_complaint(void *arg, const char *text)
{
    log_warning("Container %s: %s", (const char *)arg, text);
}

static struct watched *add(struct prober *prober, const struct engine_container *facts)
{
    struct watched *watched = memory_alloc(sizeof *watched);
    char name[LIMIT_NAME_SIZE * 2];
    watched->prober = prober;
    memory_set_text(watched->id, sizeof watched->id, facts->id);
    snprintf(name, sizeof name, "%s%s", prober->agent->table_config.name_prefix, facts->name);
    probe_spec_read(&facts->labels, &watched->specs, on_complaint, name);
    metric_rules_read(&facts->labels, &watched->rules, on_complaint, name);
    watched->probes = memory_alloc((watched->specs.count + 1) * sizeof *watched->probes);
    for (size_t i = 0; i < watched->specs.count; i++) {
        struct probe *probe = &watched->probes[i];
        probe->watched = watched;
        probe->spec = &watched->specs.items[i];
        probe->phase = probe_state_phase(watched->id, probe->spec->name);
        probe->timer = loop_timer_new(prober->agent->loop, on_due, probe);
        if (probe->spec->kind == PROBE_EXEC) {
            probe->memory = memory_alloc(sizeof *probe->memory);
        }
    }
    HASH_ADD_STR(prober->all, id, watched);
    return watched;
}

static void drop(struct prober *prober, struct watched *watched)
{
    for (size_t i = 0; i < watched->specs.count; i++) {
        halt(&watched->probes[i]);
        loop_timer_free(watched->probes[i].timer);
        free(watched->probes[i].memory);
    }
    HASH_DEL(prober->all, watched);
    probe_spec_free(&watched->specs);
    free(watched->health_output);
    metric_rules_free(&watched->rules);
    free(watched->probes);
    free(watched);
}

void prober_forget(struct prober *prober, const char *container_id)
{
    struct watched *watched = prober == NULL ? NULL : find(prober, container_id);
    if (watched != NULL) {
        drop(prober, watched);
    }
}

static void begin_anew(struct watched *watched)
{
    struct mono now = loop_now(watched->prober->agent->loop);
    metric_rules_reset(&watched->rules);
    for (size_t i = 0; i < watched->specs.count; i++) {
        struct probe *probe = &watched->probes[i];
        halt(probe);
        probe->state = (struct probe_state){.verdict = PROBE_PENDING};
        if (probe->memory != NULL) {
            *probe->memory = (struct probe_exec_memory){.lingering = ""};
        }
        if (watched->is_up) {
            struct mono at = probe_state_first(probe->spec, probe->phase, now);
            loop_timer_start(probe->timer, mono_diff(at, now), 0);
        }
    }
}

void prober_inspected(struct prober *prober, const struct engine_container *facts)
{
    if (prober == NULL || container_table_by_id(prober->agent->table, facts->id) == NULL) {
        return;
    }
    struct watched *watched = find(prober, facts->id);
    bool is_up = facts->state == CONTAINER_RUNNING;
    if (watched == NULL) {
        watched = add(prober, facts);
    }
    const char *address = facts->address_count > 0 ? facts->addresses[0]
                          : facts->is_host_network ? "127.0.0.1"
                                                   : "";
    memory_set_text(watched->address, sizeof watched->address, address);
    memory_set_text(watched->network_parent, sizeof watched->network_parent, facts->network_parent);
    free(watched->health_output);
    watched->health_output = memory_copy_text(facts->health_output);
    if (watched->is_up != is_up || watched->started_ns != facts->started_ns) {
        watched->is_up = is_up;
        watched->started_ns = facts->started_ns;
        begin_anew(watched);
        tell_table(watched);
    }
}

struct prober *prober_new(struct agent *agent)
{
    struct prober *prober = memory_alloc(sizeof *prober);
    prober->agent = agent;
    prober->http = probe_http_new(agent->loop);
    prober->plain.limit = PROBES_AT_ONCE;
    prober->execs.limit = EXECS_AT_ONCE;
    return prober;
}

void prober_free(struct prober *prober)
{
    if (prober == NULL) {
        return;
    }
    struct watched *watched, *next;
    HASH_ITER (hh, prober->all, watched, next) {
        drop(prober, watched);
    }
    probe_http_free(prober->http);
    free(prober);
}

struct prober_counters prober_counters(const struct prober *prober)
{
    return prober == NULL ? (struct prober_counters){0} : prober->counters;
}
