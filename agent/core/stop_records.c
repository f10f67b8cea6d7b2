#include "agent/core/stop_records.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"

#define HEAD "defib-agent-state 2"

#define MAX_AGE_MS (86400LL * 1000)

enum { LINE_SIZE = 512, SEEN_PER_LINE = 16 };

void stop_records_fini(struct stop_records *records)
{
    free(records->dead);
    free(records->app_beating);
    free(records->redis_names);
    *records = (struct stop_records){0};
}

void stop_records_add_dead(struct stop_records *records, const char *id, const char *incarnation,
                           const struct stop_evidence *evidence)
{
    records->dead = memory_add(records->dead, records->dead_count, sizeof *records->dead);
    struct stop_record *record = &records->dead[records->dead_count++];
    *record = (struct stop_record){.evidence = *evidence};
    memory_set_text(record->id, sizeof record->id, id);
    memory_set_text(record->incarnation, sizeof record->incarnation, incarnation);
}

void stop_records_add_app(struct stop_records *records, const char *id)
{
    records->app_beating = memory_add(records->app_beating, records->app_count, sizeof *records->app_beating);
    memory_set_text(records->app_beating[records->app_count++], LIMIT_ID_SIZE, id);
}

void stop_records_add_redis(struct stop_records *records, const char *docker_name)
{
    records->redis_names =
        memory_add(records->redis_names, records->redis_count, sizeof *records->redis_names);
    memory_set_text(records->redis_names[records->redis_count++], LIMIT_NAME_SIZE, docker_name);
}

/* ---- flags ---- */

static const struct {
    char letter;
    size_t offset;
} flags[] = {
    {'d', offsetof(struct stop_evidence, has_died)},       {'s', offsetof(struct stop_evidence, has_stopped)},
    {'m', offsetof(struct stop_evidence, has_oom)},        {'o', offsetof(struct stop_evidence, is_own)},
    {'b', offsetof(struct stop_evidence, is_blind)},       {'i', offsetof(struct stop_evidence, is_intended)},
    {'g', offsetof(struct stop_evidence, is_daemon_gone)}, {'u', offsetof(struct stop_evidence, is_doubtful)},
};

enum { FLAG_COUNT = sizeof flags / sizeof flags[0] };

static void write_flags(const struct stop_evidence *evidence, char out[FLAG_COUNT + 2])
{
    size_t used = 0;
    out[used++] = '-';
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        bool is_set;
        memcpy(&is_set, (const char *)evidence + flags[i].offset, sizeof is_set);
        if (is_set) {
            out[used++] = flags[i].letter;
        }
    }
    out[used] = '\0';
}

static void read_flags(const char *text, struct stop_evidence *evidence)
{
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        bool is_set = strchr(text, flags[i].letter) != NULL;
        memcpy((char *)evidence + flags[i].offset, &is_set, sizeof is_set);
    }
}

/* ---- writing ---- */

struct text {
    char *bytes;
    size_t len, size;
};

__attribute__((format(printf, 2, 3))) static void add_line(struct text *text, const char *format, ...)
{
    if (text->size - text->len < LINE_SIZE) {
        text->size = text->size * 2 + LINE_SIZE * 4;
        text->bytes = memory_grow(text->bytes, text->size, 1);
    }
    va_list args;
    va_start(args, format);
    int wanted = vsnprintf(text->bytes + text->len, LINE_SIZE, format, args);
    va_end(args);
    /* A line that was cut would read as something else. */
    if (wanted > 0 && wanted < LINE_SIZE) {
        text->len += (size_t)wanted;
    }
}

static void add_dead(struct text *text, const struct stop_record *record)
{
    const struct stop_evidence *evidence = &record->evidence;
    char letters[FLAG_COUNT + 2];
    write_flags(evidence, letters);
    add_line(text, "dead %s %s %" PRId64 " %" PRId64 " %d %d %s\n", record->id,
             record->incarnation[0] == '\0' ? "-" : record->incarnation,
             mono_diff(evidence->died_at, evidence->killed_at),
             mono_diff(evidence->died_at, evidence->oomed_at), evidence->first_signal, evidence->last_signal,
             letters);
}

/* At least one line, also where nothing was seen: that is news too. */
static void add_seen(struct text *text, const struct event_window *seen)
{
    size_t count = event_window_count(seen), i = 0;
    do {
        char line[SEEN_PER_LINE * 17 + 1] = "";
        for (size_t used = 0; i < count && used + 17 < sizeof line; i++, used += 17) {
            snprintf(line + used, sizeof line - used, " %016" PRIx64, event_window_at(seen, i));
        }
        add_line(text, "seen -%s\n", line);
    } while (i < count);
}

char *stop_records_encode(const struct stop_records *records, size_t *len)
{
    struct text text = {0};
    add_line(&text, HEAD "\n");
    add_seen(&text, &records->seen);
    if (records->boot_id[0] != '\0') {
        add_line(&text, "boot %s\n", records->boot_id);
    }
    if (records->seen.run_id[0] != '\0') {
        add_line(&text, "run %s\n", records->seen.run_id);
    }
    if (records->redis[0] != '\0') {
        add_line(&text, "redis-url %s\n", records->redis);
    }
    for (size_t i = 0; i < records->redis_count; i++) {
        add_line(&text, "redis %s\n", records->redis_names[i]);
    }
    for (size_t i = 0; i < records->app_count; i++) {
        add_line(&text, "app %s\n", records->app_beating[i]);
    }
    for (size_t i = 0; i < records->dead_count; i++) {
        add_dead(&text, &records->dead[i]);
    }
    *len = text.len;
    return text.bytes;
}

/* ---- reading ---- */

/* The death is at 0 of a clock that nobody has. */
static struct mono time_before_death(int64_t age_ms)
{
    return (struct mono){age_ms > MAX_AGE_MS || age_ms < -MAX_AGE_MS ? -MAX_AGE_MS : -age_ms};
}

static void read_seen(const char *line, struct stop_records *out)
{
    out->has_seen = true;
    char *end;
    for (const char *at = line + 1; *at == ' '; at = end) {
        unsigned long long mark = strtoull(at, &end, 16);
        if (mark == 0) {
            return;
        }
        event_window_add(&out->seen, mark);
    }
}

static void read_dead(const char *line, struct stop_records *out)
{
    struct stop_record record = {0};
    struct stop_evidence *evidence = &record.evidence;
    char letters[FLAG_COUNT + 2];
    int64_t kill_age_ms, oom_age_ms;
    _Static_assert(FLAG_COUNT + 1 == 9 && LIMIT_ID_SIZE == 72 && LIMIT_TIME_SIZE == 40, "widths below");
    /* NOLINTNEXTLINE(cert-err34-c): our own file; a number out of range is a wrong time, no more */
    int read = sscanf(line, "%71s %39s %" SCNd64 " %" SCNd64 " %d %d %9s", record.id, record.incarnation,
                      &kill_age_ms, &oom_age_ms, &evidence->first_signal, &evidence->last_signal, letters);
    if (read != 7 || letters[0] != '-' || out->dead_count == LIMIT_REGISTRATION_CONTAINERS) {
        return;
    }
    evidence->killed_at = evidence->first_killed_at = time_before_death(kill_age_ms);
    evidence->oomed_at = time_before_death(oom_age_ms);
    read_flags(letters, evidence);
    bool has_incarnation = strcmp(record.incarnation, "-") != 0;
    stop_records_add_dead(out, record.id, has_incarnation ? record.incarnation : "", evidence);
}

static void read_line(const char *line, struct stop_records *out)
{
    size_t word = strcspn(line, " ");
    const char *rest = line[word] == '\0' ? line + word : line + word + 1;
    if (rest[0] == '\0') {
        return;
    }
    if (strncmp(line, "dead ", 5) == 0) {
        read_dead(rest, out);
    } else if (strncmp(line, "app ", 4) == 0 && out->app_count < LIMIT_REGISTRATION_CONTAINERS) {
        stop_records_add_app(out, rest);
    } else if (strncmp(line, "redis ", 6) == 0 && out->redis_count < LIMIT_REGISTRATION_CONTAINERS) {
        stop_records_add_redis(out, rest);
    } else if (strncmp(line, "redis-url ", 10) == 0) {
        memory_set_text(out->redis, sizeof out->redis, rest);
    } else if (strncmp(line, "boot ", 5) == 0) {
        memory_set_text(out->boot_id, sizeof out->boot_id, rest);
    } else if (strncmp(line, "run ", 4) == 0) {
        memory_set_text(out->seen.run_id, sizeof out->seen.run_id, rest);
    } else if (strncmp(line, "seen -", 6) == 0) {
        read_seen(rest, out);
    }
}

void stop_records_decode(const char *text, size_t len, struct stop_records *out)
{
    *out = (struct stop_records){0};
    const char *end = text + len;
    bool has_head = false;
    for (const char *at = text; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t line_len = newline == NULL ? (size_t)(end - at) : (size_t)(newline - at);
        char line[LINE_SIZE];
        if (line_len < sizeof line) {
            memcpy(line, at, line_len);
            line[line_len] = '\0';
            if (has_head) {
                read_line(line, out);
            }
            has_head = has_head || strcmp(line, HEAD) == 0;
        }
        at += line_len + 1;
    }
}
