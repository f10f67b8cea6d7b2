#include "proto/event_facts.h"

#include "proto/json_reader.h"

static const double LONGEST_SECS = 1e9;

static void write_secs(struct json_writer *writer, const char *key, int64_t ms)
{
    if (ms >= 0) {
        json_writer_real(writer, key, (double)ms / 1000.0);
    }
}

static void write_count(struct json_writer *writer, const char *key, int64_t count, const char *of_key,
                        int64_t of)
{
    if (count > 0) {
        json_writer_signed(writer, key, count);
        json_writer_signed(writer, of_key, of);
    }
}

void event_facts_write(struct json_writer *writer, const char *key, const struct event_facts *facts)
{
    if (facts->state[0] == '\0') {
        return;
    }
    json_writer_open(writer, key, '{');
    json_writer_text(writer, "state", facts->state);
    json_writer_text_if_any(writer, "cause", facts->cause);
    json_writer_text_if_any(writer, "closed", facts->closed);
    json_writer_text_if_any(writer, "docker", facts->docker);
    json_writer_text_if_any(writer, "health", facts->health);
    json_writer_text_if_any(writer, "stop_class", facts->stop_class);
    if (facts->has_exit_code) {
        json_writer_signed(writer, "exit_code", facts->exit_code);
    }
    json_writer_text_if_any(writer, "status", facts->status);
    json_writer_text_if_any(writer, "parent", facts->parent);
    json_writer_text_if_any(writer, "parent_state", facts->parent_state);
    write_count(writer, "misses", facts->misses, "miss_threshold", facts->miss_threshold);
    write_count(writer, "unhealthy_beats", facts->bad, "unhealthy_threshold", facts->unhealthy_threshold);
    write_secs(writer, "agent_heard_secs", facts->agent_heard_ms);
    write_secs(writer, "service_heard_secs", facts->service_heard_ms);
    write_secs(writer, "broken_secs", facts->broken_ms);
    write_secs(writer, "next_secs", facts->next_ms);
    json_writer_close(writer, '}');
}

static void read_text(const struct cJSON *item, const char *name, char *out, size_t size)
{
    json_reader_text(json_reader_member(item, name), out, size);
}

static int64_t read_ms(const struct cJSON *item, const char *name)
{
    double secs = -1;
    bool is_there = json_reader_real(json_reader_member(item, name), &secs);
    return is_there && secs >= 0 && secs < LONGEST_SECS ? (int64_t)(secs * 1000.0 + 0.5) : -1;
}

static int64_t read_count(const struct cJSON *item, const char *name)
{
    int64_t count = 0;
    json_reader_signed(json_reader_member(item, name), 0, INT32_MAX, &count);
    return count;
}

bool event_facts_read(const struct cJSON *item, struct event_facts *out)
{
    int64_t exit_code = 0;
    *out = (struct event_facts){.has_exit_code = json_reader_signed(json_reader_member(item, "exit_code"),
                                                                    INT32_MIN, INT32_MAX, &exit_code)};
    read_text(item, "state", out->state, sizeof out->state);
    read_text(item, "cause", out->cause, sizeof out->cause);
    read_text(item, "closed", out->closed, sizeof out->closed);
    read_text(item, "docker", out->docker, sizeof out->docker);
    read_text(item, "health", out->health, sizeof out->health);
    read_text(item, "stop_class", out->stop_class, sizeof out->stop_class);
    read_text(item, "status", out->status, sizeof out->status);
    read_text(item, "parent", out->parent, sizeof out->parent);
    read_text(item, "parent_state", out->parent_state, sizeof out->parent_state);
    out->exit_code = (int)exit_code;
    out->misses = read_count(item, "misses");
    out->miss_threshold = read_count(item, "miss_threshold");
    out->bad = read_count(item, "unhealthy_beats");
    out->unhealthy_threshold = read_count(item, "unhealthy_threshold");
    out->agent_heard_ms = read_ms(item, "agent_heard_secs");
    out->service_heard_ms = read_ms(item, "service_heard_secs");
    out->broken_ms = read_ms(item, "broken_secs");
    out->next_ms = read_ms(item, "next_secs");
    return out->state[0] != '\0';
}
