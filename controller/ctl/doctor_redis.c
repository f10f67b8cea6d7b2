#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/ctl/doctor.h"
#include "proto/keys.h"
#include "proto/registration.h"

#define PROBE_KEY "health:doctor"

enum { NAMED_MAX = 5 };

static const int64_t CLOCK_LIMIT_MS = 5000;

/* ---- Redis itself ---- */

static void info_value(const char *info, const char *name, char *out, size_t size)
{
    char key[64];
    snprintf(key, sizeof key, "\n%.50s:", name);
    const char *at = strstr(info, key);
    out[0] = '\0';
    if (at != NULL) {
        at += strlen(key);
        size_t len = strcspn(at, "\r\n");
        snprintf(out, size, "%.*s", (int)(len < size ? len : size - 1), at);
    }
}

static void check_info(struct doctor *doctor, const char *info)
{
    char role[32], policy[32], evicted[32], loading[32], aof[32], saved[32], appended[32];
    info_value(info, "role", role, sizeof role);
    info_value(info, "maxmemory_policy", policy, sizeof policy);
    info_value(info, "evicted_keys", evicted, sizeof evicted);
    info_value(info, "loading", loading, sizeof loading);
    info_value(info, "aof_enabled", aof, sizeof aof);
    if (strcmp(role, "slave") == 0) {
        doctor_say(doctor, DOCTOR_BAD, "redis_role", "point REDIS_URL at the primary",
                   "This Redis is a replica.");
    }
    if (strcmp(evicted, "0") != 0 && evicted[0] != '\0') {
        doctor_say(doctor, DOCTOR_BAD, "redis_eviction",
                   "give it more memory, and maxmemory-policy noeviction",
                   "This Redis evicted %s keys: heartbeats and attempts may be among them.", evicted);
    } else if (strncmp(policy, "allkeys", 7) == 0 || strncmp(policy, "volatile", 8) == 0) {
        doctor_say(doctor, DOCTOR_WARNING, "redis_eviction", "CONFIG SET maxmemory-policy noeviction",
                   "This Redis may evict keys (%s): heartbeats and attempts would vanish.", policy);
    }
    info_value(info, "rdb_last_bgsave_status", saved, sizeof saved);
    info_value(info, "aof_last_write_status", appended, sizeof appended);
    if (strcmp(saved, "err") == 0 || strcmp(appended, "err") == 0) {
        doctor_say(doctor, DOCTOR_BAD, "redis_persistence", "look at its log, and at the space on its disk",
                   "This Redis failed to write itself to disk the last time.");
    }
    if (strcmp(aof, "0") == 0) {
        doctor_say(
            doctor, DOCTOR_NOTE, "redis_persistence", "CONFIG SET appendonly yes",
            "This Redis keeps no append-only file: after its restart attempts come from the controller's "
            "journal.");
    }
}

static bool check_write(struct doctor *doctor)
{
    const char *set[] = {"SET", PROBE_KEY, "1", "EX", "5"}, *del[] = {"DEL", PROBE_KEY};
    struct err err;
    cleanup_desk_reply struct desk_reply written, deleted;
    deleted = (struct desk_reply){.type = REDIS_REPLY_NONE};
    if (redis_desk_call(doctor->ctl->redis, 5, set, &written, &err) != 0) {
        doctor_say(doctor, DOCTOR_BAD, "redis_write", "look at its disk, its memory limit and its role",
                   "%s.", err.text);
        return false;
    }
    redis_desk_call(doctor->ctl->redis, 2, del, &deleted, &err);
    return true;
}

/* ---- what agents left there ---- */

static int64_t counter_of(const struct registration *registration, const char *name)
{
    for (size_t i = 0; i < registration->counter_count; i++) {
        if (strcmp(registration->counters[i].name, name) == 0) {
            return registration->counters[i].value;
        }
    }
    return 0;
}

/* It wrote the document within its interval: what is older, or not yet, is another clock's. */
static void check_agent_clock(struct doctor *doctor, const struct registration *registration, int64_t ttl_ms)
{
    int64_t age_ms = clock_wall_now().ms - registration->timestamp.ms;
    if (registration->timestamp.ms != 0 && (age_ms < -CLOCK_LIMIT_MS || age_ms > ttl_ms + CLOCK_LIMIT_MS)) {
        doctor_say(doctor, DOCTOR_WARNING, "clock",
                   "run an NTP client on both: times in logs and on the stream cannot be compared",
                   "The clock of host %s is about %lld s %s ours.", registration->host,
                   (long long)llabs(age_ms) / 1000, age_ms < 0 ? "ahead of" : "behind");
    }
}

static void check_pace(struct doctor *doctor, const struct registration *registration)
{
    int64_t interval_ms = counter_of(registration, "heartbeat_interval_ms");
    int64_t ttl_ms = counter_of(registration, "heartbeat_ttl_ms");
    double interval = (double)interval_ms / 1000.0, ttl = (double)ttl_ms / 1000.0;
    if (interval_ms > 0 && ttl_ms < 2 * interval_ms) {
        doctor_say(doctor, DOCTOR_WARNING, "ttl",
                   "HEARTBEAT_TTL_SECS: three times the interval, and some more",
                   "The agent of %s beats every %g s for keys that live %g s: one late beat is a miss.",
                   registration->host, interval, ttl);
    }
    if (doctor->ttl_ms > 0 && interval_ms >= doctor->ttl_ms) {
        doctor_say(doctor, DOCTOR_BAD, "ttl", "the same HEARTBEAT_ settings for agents and controllers",
                   "The agent of %s beats every %g s, and the controller misses it after %g s.",
                   registration->host, interval, (double)doctor->ttl_ms / 1000.0);
    } else if (doctor->ttl_ms > 0 && ttl_ms > 0 && ttl_ms != doctor->ttl_ms) {
        doctor_say(doctor, DOCTOR_NOTE, "ttl", "the same HEARTBEAT_ settings for agents and controllers",
                   "HEARTBEAT_TTL_SECS is %g at the agent of %s, and %g at the controller.", ttl,
                   registration->host, (double)doctor->ttl_ms / 1000.0);
    }
}

static void check_requests(struct doctor *doctor, const struct registration *registration)
{
    int64_t unauthorized = counter_of(registration, "requests_unauthorized");
    if (unauthorized > 0) {
        doctor_say(doctor, DOCTOR_WARNING, "keys",
                   "the same DEFIB_KEY_FILE there and at the controllers; or somebody "
                   "else sends commands: see the agent's log",
                   "The agent of %s refused %lld requests, whose MAC was none of its keys'.",
                   registration->host, (long long)unauthorized);
    }
}

static void check_labels(struct doctor *doctor, const struct registration *registration)
{
    for (size_t i = 0; i < registration->count; i++) {
        const struct registration_entry *entry = &registration->entries[i];
        char more[64] = "";
        if (entry->spec.complaint_count > 1) {
            snprintf(more, sizeof more, "; %lld more are in its agent's log",
                     (long long)entry->spec.complaint_count - 1);
        }
        size_t len = strlen(entry->spec.complaint);
        if (len > 0) {
            bool is_asking = more[0] == '\0' && entry->spec.complaint[len - 1] == '?';
            doctor_say(doctor, DOCTOR_WARNING, "label",
                       "mend it where the container is made, and make it anew", "%s on %s: %s%s%s",
                       entry->beat.container, registration->host, entry->spec.complaint, more,
                       is_asking ? "" : ".");
        }
    }
}

/* Those that run with nothing but Docker's word for it. */
struct unchecked {
    size_t count;
    char names[640];
};

static void find_unchecked(struct unchecked *unchecked, const struct registration *registration)
{
    for (size_t i = 0; i < registration->count; i++) {
        const struct registration_entry *entry = &registration->entries[i];
        const struct container_spec *spec = &entry->spec;
        bool is_checked = spec->has_healthcheck || spec->has_checks || spec->is_app_beating ||
                          spec->beat_mode == BEAT_MODE_APP || entry->beat.health == HEALTH_HEALTHY;
        bool is_ours = spec->is_own || spec->is_redis_in_use;
        if (entry->beat.state == CONTAINER_RUNNING && !is_checked && !is_ours &&
            unchecked->count++ < NAMED_MAX) {
            size_t used = strlen(unchecked->names);
            snprintf(unchecked->names + used, sizeof unchecked->names - used, "%s%.80s",
                     used == 0 ? "" : ", ", entry->beat.container);
        }
    }
}

static void say_unchecked(struct doctor *doctor, const struct unchecked *unchecked)
{
    if (unchecked->count > 0) {
        doctor_say(doctor, DOCTOR_NOTE, "unchecked",
                   "give them a HEALTHCHECK or a defib.check label, or let them beat (man defib-beat)",
                   "%zu run without any check of their own: a hang is not noticed. %s%s", unchecked->count,
                   unchecked->names, unchecked->count > NAMED_MAX ? ", ..." : ".");
    }
}

static void check_agent(struct doctor *doctor, const char *text, size_t len, struct unchecked *unchecked)
{
    struct registration registration;
    if (registration_decode(text, len, &registration, NULL, NULL) != 0) {
        return;
    }
    int64_t ttl_ms = counter_of(&registration, "heartbeat_ttl_ms");
    check_agent_clock(doctor, &registration, ttl_ms == 0 ? doctor->ttl_ms : ttl_ms);
    check_pace(doctor, &registration);
    check_requests(doctor, &registration);
    check_labels(doctor, &registration);
    find_unchecked(unchecked, &registration);
    registration_fini(&registration);
}

static void check_agents(struct doctor *doctor)
{
    struct unchecked unchecked = {.count = 0};
    struct err err;
    cleanup_desk_reply struct desk_reply keys;
    if (redis_desk_scan(doctor->ctl->redis, KEY_AGENT_PREFIX "*", &keys, &err) != 0) {
        return;
    }
    for (size_t i = 0; i < keys.count; i++) {
        const char *argv[] = {"GET", keys.items[i].text};
        cleanup_desk_reply struct desk_reply value;
        if (redis_desk_call(doctor->ctl->redis, 2, argv, &value, &err) == 0 &&
            value.type == REDIS_REPLY_TEXT) {
            check_agent(doctor, value.text, value.len, &unchecked);
        }
    }
    say_unchecked(doctor, &unchecked);
}

/* ---- all of that ---- */

void doctor_redis_check(struct doctor *doctor)
{
    const char *ask_info[] = {"INFO"}, *ask_time[] = {"TIME"};
    size_t before = doctor->findings;
    struct err err;
    cleanup_desk_reply struct desk_reply info, now;
    now = (struct desk_reply){.type = REDIS_REPLY_NONE};
    if (redis_desk_call(doctor->ctl->redis, 1, ask_info, &info, &err) != 0) {
        doctor_say(doctor, DOCTOR_BAD, "redis", "is Redis up, and REDIS_URL of defibctl right?", "%s.",
                   err.text);
        return;
    }
    check_info(doctor, info.text == NULL ? "" : info.text);
    bool is_written = check_write(doctor);
    if (redis_desk_call(doctor->ctl->redis, 1, ask_time, &now, &err) == 0 && now.count == 2 &&
        now.items[0].text != NULL) {
        doctor_check_clock(doctor, "Redis", strtoll(now.items[0].text, NULL, 10) * 1000);
    }
    check_agents(doctor);
    if (is_written && doctor->findings == before) {
        doctor_say(doctor, DOCTOR_FINE, "redis", "", "Redis is reached, takes writes and evicts nothing.");
    }
}
