#include "controller/serve/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/own_process.h"
#include "common/version.h"
#include "controller/core/decider_view.h"

static void head(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void gauge(FILE *out, const char *name, const char *help, double value)
{
    head(out, name, "gauge", help);
    fprintf(out, "%s %.17g\n", name, value);
}

static void counter(FILE *out, const char *name, const char *help, uint64_t value)
{
    head(out, name, "counter", help);
    fprintf(out, "%s %" PRIu64 "\n", name, value);
}

/* Host names come from outside. */
static void label_text(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\\' || *text == '"') {
            fputc('\\', out);
        }
        if (*text == '\n') {
            fputs("\\n", out);
        } else {
            fputc(*text, out);
        }
    }
}

/* ---- the fleet ---- */

static void totals(FILE *out, const struct alert_totals *totals)
{
    const struct {
        const char *word;
        int64_t value;
    } rows[] = {{"healthy", totals->healthy},     {"degraded", totals->degraded},
                {"unhealthy", totals->unhealthy}, {"missing", totals->missing},
                {"starting", totals->starting},   {"held", totals->held}};
    head(out, "defib_containers", "gauge", "Containers as the health summary counts them.");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fprintf(out, "defib_containers{health=\"%s\"} %" PRId64 "\n", rows[i].word, rows[i].value);
    }
}

static void states(FILE *out, const struct decider_view_fleet *fleet)
{
    head(out, "defib_container_states", "gauge", "Containers by the policy's state.");
    for (int state = STATE_NONE + 1; state < STATE_REMOVED; state++) {
        fprintf(out, "defib_container_states{state=\"%s\"} %zu\n",
                policy_state_name((enum policy_state)state), fleet->states[state]);
    }
}

static void supervisor(FILE *out, const struct scene *scene, const struct decider_view_fleet *fleet)
{
    head(out, "defib_build_info", "gauge", "1, with the version.");
    fprintf(out, "defib_build_info{version=\"%s\"} 1\n", DEFIB_VERSION);
    gauge(out, "defib_start_time_seconds", "When this controller started.",
          (double)scene->started_at.ms / 1000.0);
    gauge(out, "defib_enabled", "1 where restarts are enabled.",
          fleet->is_enabled && scene->settings->max_restart_attempts > 0);
    gauge(out, "defib_leader", "1 where this controller leads.", fleet->is_leader);
    gauge(out, "defib_epoch", "The epoch of its commands.", (double)fleet->epoch);
    gauge(out, "defib_watching", "1 once the first load is complete.", scene->health.is_watching);
    gauge(out, "defib_settled", "0 while silence is not acted on after the start.", fleet->is_settled);
    gauge(out, "defib_tilted", "1 while it does not act, after a stall or a jump of the clock.",
          fleet->is_tilted);
    gauge(out, "defib_breaker_open", "1 while the fleet's breaker is open.", fleet->is_breaker_open);
    gauge(out, "defib_redis_up", "1 while Redis takes reads and writes.", fleet->is_redis_up);
    gauge(out, "defib_tick_late_seconds_max", "The most that a decision had to wait for its turn.",
          (double)scene->health.late_max_ms / 1000.0);
    gauge(out, "defib_restarts_in_flight", "Restarts that are under way.", (double)fleet->in_flight);
    gauge(out, "defib_outbox_waiting", "Alerts and records that wait for Redis.",
          (double)alert_outbox_count(scene->parts.outbox));
    counter(out, "defib_outbox_dropped_total", "Alerts and records dropped from a full queue.",
            alert_outbox_dropped(scene->parts.outbox));
    struct webhook_counts webhook = webhook_counts(scene->parts.webhook);
    gauge(out, "defib_webhook_waiting", "Alerts that wait for the webhook.", (double)webhook.waiting);
    counter(out, "defib_webhook_sent_total", "Alerts that the webhook took.", webhook.sent);
    counter(out, "defib_webhook_failures_total", "Tries to reach the webhook that failed.", webhook.failed);
    counter(out, "defib_webhook_dropped_total", "Alerts that were given up for the webhook.",
            webhook.dropped);
    counter(out, "defib_heartbeats_total", "Heartbeats received on the channel.", scene->health.heartbeats);
    counter(out, "defib_misses_total", "Heartbeats that were counted as missing.",
            fleet->verdicts[POLICY_COUNT_MISS]);
    counter(out, "defib_exhausted_total", "Containers whose attempts were used up.", scene->tally->exhausted);
}

static void count_hold(void *arg, const struct hold_watch_hold *hold)
{
    (void)hold;
    ++*(size_t *)arg;
}

static void holds(FILE *out, const struct scene *scene)
{
    size_t count = 0;
    hold_watch_each(scene->parts.holds, count_hold, &count);
    gauge(out, "defib_holds", "Operators' holds in force.", (double)count);
}

/* ---- what was done ---- */

static void attempts(FILE *out, const struct tally *tally)
{
    head(out, "defib_restart_attempts_total", "counter", "Commands sent, by what was wrong.");
    for (int cause = CAUSE_NONE + 1; cause < TALLY_CAUSES; cause++) {
        fprintf(out, "defib_restart_attempts_total{reason=\"%s\"} %" PRIu64 "\n",
                tally_cause_name((enum failure_cause)cause), tally->attempts[cause]);
    }
    head(out, "defib_restarts_total", "counter", "Restarts by outcome and by what was wrong.");
    for (int outcome = 0; outcome < TALLY_OUTCOMES; outcome++) {
        for (int cause = CAUSE_NONE; cause < TALLY_CAUSES; cause++) {
            fprintf(out, "defib_restarts_total{outcome=\"%s\",reason=\"%s\"} %" PRIu64 "\n",
                    tally_outcome_name((enum tally_outcome)outcome),
                    tally_cause_name((enum failure_cause)cause), tally->restarts[outcome][cause]);
        }
    }
}

static void refusals(FILE *out, const struct tally *tally)
{
    head(out, "defib_gate_refusals_total", "counter", "Restarts that a gate refused, each refusal once.");
    for (int gate = 0; gate < GATE_N; gate++) {
        fprintf(out, "defib_gate_refusals_total{gate=\"%s\"} %" PRIu64 "\n", gates_name((enum gate)gate),
                tally->refusals[gate]);
    }
    fprintf(out, "defib_gate_refusals_total{gate=\"agent\"} %" PRIu64 "\n", tally->refusals_by_agent);
}

static void alerts(FILE *out, const struct tally *tally)
{
    head(out, "defib_alerts_total", "counter", "Alerts by type.");
    for (int type = 0; type < ALERT_TYPE_N; type++) {
        fprintf(out, "defib_alerts_total{type=\"%s\"} %" PRIu64 "\n", alert_type_name((enum alert_type)type),
                tally->alerts[type]);
    }
}

static void histogram(FILE *out, const char *name, const char *help, const struct tally_histogram *values)
{
    uint64_t below = 0;
    head(out, name, "histogram", help);
    for (size_t i = 0; i < TALLY_BUCKETS; i++) {
        below += values->buckets[i];
        fprintf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, tally_bounds[i], below);
    }
    fprintf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.17g\n%s_count %" PRIu64 "\n", name,
            values->count, name, values->sum, name, values->count);
}

/* ---- hosts ---- */

struct host_rows {
    FILE *out;
    struct mono now;
    const char *name;
    double (*value)(const struct decider_view_host *host, struct mono now);
    size_t count;
};

static double host_up(const struct decider_view_host *host, struct mono now)
{
    (void)now;
    return host->is_live;
}

static double host_engine(const struct decider_view_host *host, struct mono now)
{
    (void)now;
    return host->is_engine_up;
}

static double host_breaker(const struct decider_view_host *host, struct mono now)
{
    (void)now;
    return host->is_breaker_open;
}

static double host_containers(const struct decider_view_host *host, struct mono now)
{
    (void)now;
    return (double)host->containers;
}

static double age_secs(struct mono when, struct mono now)
{
    return when.ms == 0 ? -1 : (double)mono_diff(now, when) / 1000.0;
}

static double host_heard_by_redis(const struct decider_view_host *host, struct mono now)
{
    return age_secs(host->heard[PATH_REDIS], now);
}

static double host_heard_by_rpc(const struct decider_view_host *host, struct mono now)
{
    return age_secs(host->heard[PATH_RPC], now);
}

static bool host_row(void *arg, const struct decider_view_host *host)
{
    struct host_rows *rows = arg;
    double value = rows->value(host, rows->now);
    if (value >= 0) {
        fprintf(rows->out, "%s{host=\"", rows->name);
        label_text(rows->out, host->name);
        fprintf(rows->out, "\"} %.17g\n", value);
    }
    return ++rows->count < METRICS_HOSTS;
}

static void hosts(FILE *out, const struct scene *scene, const struct decider_view_fleet *fleet)
{
    static const struct {
        const char *name, *help;
        double (*value)(const struct decider_view_host *host, struct mono now);
    } families[] = {
        {"defib_host_up", "1 while commands can go to the host.", host_up},
        {"defib_host_engine_up", "1 while its agent reaches the Docker Engine.", host_engine},
        {"defib_host_breaker_open", "1 while the host's own breaker is open.", host_breaker},
        {"defib_host_containers", "Containers known there.", host_containers},
        {"defib_host_heard_by_redis_seconds", "Since the agent was last heard by Redis.",
         host_heard_by_redis},
        {"defib_host_heard_by_rpc_seconds", "Since the agent last answered.", host_heard_by_rpc},
    };
    gauge(out, "defib_hosts", "Hosts known.", (double)fleet->hosts);
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        struct host_rows rows = {
            .out = out, .now = scene->now, .name = families[i].name, .value = families[i].value};
        head(out, families[i].name, "gauge", families[i].help);
        decider_view_each_host(scene->parts.decider, scene->now, host_row, &rows);
    }
}

/* ---- agents ---- */

/* What agents count of themselves, as their registrations tell it; a name that is not here is not shown. */
static const struct agent_counter {
    const char *name, *family, *type, *help;
    double unit;
} agent_counters[] = {
    {"beats_published", "beats_published_total", "counter", "Heartbeats that it published.", 1},
    {"events_seen", "engine_events_total", "counter", "Events of its Engine that it saw.", 1},
    {"events_bad", "engine_events_bad_total", "counter", "Events that it could not read.", 1},
    {"engine_calls", "engine_calls_total", "counter", "Its calls to the Engine.", 1},
    {"engine_errors", "engine_errors_total", "counter", "Calls to the Engine that failed.", 1},
    {"engine_connects", "engine_connects_total", "counter", "How often it opened the stream of events.", 1},
    {"engine_resyncs", "engine_resyncs_total", "counter", "How often it listed all containers anew.", 1},
    {"redis_losses", "redis_losses_total", "counter", "How often it lost Redis.", 1},
    {"probes", "probes_total", "counter", "Checks by label that it made.", 1},
    {"probe_failures", "probe_failures_total", "counter", "Checks by label that failed.", 1},
    {"rss_bytes", "resident_memory_bytes", "gauge", "Memory that it uses.", 1},
    {"cpu_ms", "cpu_seconds_total", "counter", "CPU that it used.", 0.001},
    {"commands_accepted", "commands_accepted_total", "counter", "Commands that it took.", 1},
    {"commands_refused", "commands_refused_total", "counter", "Commands that it refused.", 1},
    {"commands_in_flight", "commands_in_flight", "gauge", "Commands that it carries out.", 1},
    {"requests", "requests_total", "counter", "Requests that came in.", 1},
    {"requests_garbage", "requests_garbage_total", "counter", "Requests that could not be read.", 1},
    {"requests_unauthorized", "requests_unauthorized_total", "counter", "Requests without a good MAC.", 1},
};

struct agent_rows {
    FILE *out;
    const struct agent_counter *counter;
    size_t count;
};

static bool agent_row(void *arg, const char *host, const struct registration_counter *counters, size_t count)
{
    struct agent_rows *rows = arg;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(counters[i].name, rows->counter->name) == 0) {
            fprintf(rows->out, "defib_agent_%s{host=\"", rows->counter->family);
            label_text(rows->out, host);
            fprintf(rows->out, "\"} %.17g\n", (double)counters[i].value * rows->counter->unit);
            break;
        }
    }
    return ++rows->count < METRICS_HOSTS;
}

static void agents(FILE *out, const struct scene *scene)
{
    for (size_t i = 0; i < sizeof agent_counters / sizeof agent_counters[0]; i++) {
        struct agent_rows rows = {.out = out, .counter = &agent_counters[i]};
        char name[64];
        snprintf(name, sizeof name, "defib_agent_%s", agent_counters[i].family);
        head(out, name, agent_counters[i].type, agent_counters[i].help);
        heartbeat_consumer_each_agent(scene->parts.consumer, agent_row, &rows);
    }
}

static void latencies(FILE *out, const char *name, const char *help, const struct latency *values)
{
    uint64_t below = 0;
    head(out, name, "histogram", help);
    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        below += values->buckets[i];
        fprintf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, (double)latency_bounds_ms[i] / 1000.0,
                below);
    }
    fprintf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.17g\n%s_count %" PRIu64 "\n", name,
            values->count, name, (double)values->sum_ms / 1000.0, name, values->count);
}

/* ---- this process ---- */

static void process(FILE *out, const struct scene *scene)
{
    head(out, "process_cpu_seconds_total", "counter", "CPU used.");
    fprintf(out, "process_cpu_seconds_total %.6f\n", (double)own_process_cpu_us() / 1e6);
    gauge(out, "process_resident_memory_bytes", "Memory in use.", (double)own_process_resident_bytes());
    gauge(out, "defib_http_connections", "Open connections of the API.", (double)scene->connections);
    counter(out, "defib_http_requests_total", "Requests to the API.", scene->requests);
}

char *metrics_render(const struct scene *scene, size_t *len)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, len);
    if (out == NULL) {
        abort();
    }
    struct decider_view_fleet fleet;
    decider_view_fleet(scene->parts.decider, scene->now, &fleet);
    totals(out, &fleet.totals);
    states(out, &fleet);
    supervisor(out, scene, &fleet);
    holds(out, scene);
    attempts(out, scene->tally);
    refusals(out, scene->tally);
    alerts(out, scene->tally);
    histogram(out, "defib_detect_seconds", "From the first sign of trouble to failed.",
              &scene->tally->detect_secs);
    histogram(out, "defib_recovery_seconds", "From the first sign of trouble to healthy again.",
              &scene->tally->recovery_secs);
    latencies(out, "defib_redis_answer_seconds", "How long Redis takes to answer the controller.",
              redis_session_latency(scene->parts.session));
    latencies(out, "defib_agent_answer_seconds", "How long agents take to answer pings and commands.",
              agent_link_latency(scene->parts.agents));
    hosts(out, scene, &fleet);
    agents(out, scene);
    process(out, scene);
    if (fclose(out) != 0) {
        abort();
    }
    return text;
}
