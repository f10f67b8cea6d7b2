#include "proto/container_spec.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "common/memory.h"
#include "proto/json_reader.h"
#include "proto/json_writer.h"

/* Ten years: sums with a clock stay far from overflow. */
#define MAX_MS (INT64_C(10) * 366 * 24 * 3600 * 1000)

enum { FIRST_SIZE = 512, MAX_COUNT = 1000000 };

enum field_kind {
    FIELD_RESTART,
    FIELD_BEAT_MODE,
    FIELD_FLAG,
    FIELD_MS,    /* int64_t from 0; its "no label" is in `absent` */
    FIELD_COUNT, /* the same */
    FIELD_BACKOFF,
    FIELD_POLICY,
    FIELD_NAME
};

struct field {
    const char *name;
    enum field_kind kind;
    int absent;
    size_t offset, size;
};

#define FIELD(text, what, absent, member)                            \
    {                                                                \
        text, what, absent, offsetof(struct container_spec, member), \
            sizeof((struct container_spec *)0)->member               \
    }

static const struct field fields[] = {
    FIELD("restart", FIELD_RESTART, 0, restart),
    FIELD("heartbeat", FIELD_BEAT_MODE, 0, beat_mode),
    FIELD("app_beating", FIELD_FLAG, 0, is_app_beating),
    FIELD("own", FIELD_FLAG, 0, is_own),
    FIELD("redis_in_use", FIELD_FLAG, 0, is_redis_in_use),
    FIELD("denied", FIELD_FLAG, 0, is_denied_by_agent),
    FIELD("oneshot", FIELD_FLAG, 0, is_oneshot),
    FIELD("healthcheck", FIELD_FLAG, 0, has_healthcheck),
    FIELD("checks", FIELD_FLAG, 0, has_checks),
    FIELD("stop_timeout_ms", FIELD_MS, -1, stop_timeout_ms),
    FIELD("start_grace_ms", FIELD_MS, -1, start_grace_ms),
    FIELD("healthcheck_grace_ms", FIELD_MS, 0, healthcheck_grace_ms),
    FIELD("unhealthy_grace_ms", FIELD_MS, -1, unhealthy_grace_ms),
    FIELD("max_attempts", FIELD_COUNT, -1, max_attempts),
    FIELD("backoff_ms", FIELD_BACKOFF, 0, backoff_ms),
    FIELD("docker_policy", FIELD_POLICY, 0, docker_policy),
    FIELD("docker_policy_max", FIELD_COUNT, 0, docker_policy_max),
    FIELD("network_parent", FIELD_NAME, 0, network_parent),
    FIELD("compose_project", FIELD_NAME, 0, compose_project),
    FIELD("compose_service", FIELD_NAME, 0, compose_service),
    FIELD("depends_on", FIELD_NAME, 0, depends_on),
    FIELD("complaint", FIELD_NAME, 0, complaint),
    FIELD("complaints", FIELD_COUNT, 0, complaint_count),
};
enum { FIELDS = sizeof fields / sizeof fields[0] };

void container_spec_init(struct container_spec *spec)
{
    spec->restart = RESTART_LABEL_NONE;
    spec->beat_mode = BEAT_MODE_AUTO;
    spec->is_app_beating = spec->is_own = spec->is_redis_in_use = spec->is_denied_by_agent = false;
    spec->is_oneshot = spec->has_healthcheck = spec->has_checks = false;
    spec->stop_timeout_ms = spec->start_grace_ms = spec->unhealthy_grace_ms = spec->max_attempts = -1;
    spec->healthcheck_grace_ms = spec->complaint_count = 0;
    spec->backoff_count = 0;
    spec->docker_policy = DOCKER_POLICY_UNKNOWN;
    spec->docker_policy_max = 0;
    spec->network_parent[0] = spec->compose_project[0] = spec->compose_service[0] = '\0';
    spec->depends_on[0] = spec->complaint[0] = '\0';
}

/* ---- writing ---- */

static void write_word(struct json_writer *writer, const char *name, bool is_said, const char *word)
{
    if (is_said) {
        json_writer_text(writer, name, word);
    }
}

static void write_backoff(struct json_writer *writer, const char *name, const struct container_spec *spec)
{
    if (spec->backoff_count == 0) {
        return;
    }
    json_writer_open(writer, name, '[');
    for (size_t each = 0; each < spec->backoff_count; each++) {
        json_writer_signed(writer, NULL, spec->backoff_ms[each]);
    }
    json_writer_close(writer, ']');
}

static void write_field(struct json_writer *writer, const struct field *field,
                        const struct container_spec *spec)
{
    const void *member = (const char *)spec + field->offset;
    switch (field->kind) {
    case FIELD_RESTART:
        write_word(writer, field->name, spec->restart != RESTART_LABEL_NONE,
                   restart_label_name(spec->restart));
        break;
    case FIELD_BEAT_MODE:
        write_word(writer, field->name, spec->beat_mode != BEAT_MODE_AUTO, beat_mode_name(spec->beat_mode));
        break;
    case FIELD_FLAG:
        if (*(const bool *)member) {
            json_writer_bool(writer, field->name, true);
        }
        break;
    case FIELD_MS:
    case FIELD_COUNT:
        if (*(const int64_t *)member != field->absent) {
            json_writer_signed(writer, field->name, *(const int64_t *)member);
        }
        break;
    case FIELD_BACKOFF:
        write_backoff(writer, field->name, spec);
        break;
    case FIELD_POLICY:
        write_word(writer, field->name, spec->docker_policy != DOCKER_POLICY_UNKNOWN,
                   docker_policy_name(spec->docker_policy));
        break;
    case FIELD_NAME:
        write_word(writer, field->name, *(const char *)member != '\0', member);
        break;
    }
}

void container_spec_write(struct json_writer *writer, const char *key, const struct container_spec *spec)
{
    json_writer_open(writer, key, '{');
    for (size_t each = 0; each < FIELDS; each++) {
        write_field(writer, &fields[each], spec);
    }
    json_writer_close(writer, '}');
}

cJSON *container_spec_to_json(const struct container_spec *spec)
{
    struct json_writer writer;
    json_writer_init(&writer, JSON_COMPACT, FIRST_SIZE);
    container_spec_write(&writer, NULL, spec);
    size_t len = 0;
    cleanup_free char *text = json_writer_take(&writer, &len);
    return json_reader_parse_own(text, len);
}

/* ---- reading ---- */

static int read_number(const cJSON *item, int64_t max, int64_t *out, struct err *err)
{
    return json_reader_signed(item, 0, max, out)
               ? 0
               : json_reader_refuse(item, item->string, "a whole number in range", err);
}

static int read_backoff(const cJSON *item, struct container_spec *out, struct err *err)
{
    if (!cJSON_IsArray(item)) {
        return json_reader_refuse(item, item->string, "an array", err);
    }
    out->backoff_count = 0;
    for (const cJSON *step = item->child; step != NULL; step = step->next) {
        if (out->backoff_count == LIMIT_BACKOFF_STEPS ||
            !json_reader_signed(step, 0, MAX_MS, &out->backoff_ms[out->backoff_count])) {
            return err_set(err, EINVAL, "%s is not at most %d numbers of milliseconds", item->string,
                           LIMIT_BACKOFF_STEPS);
        }
        out->backoff_count++;
    }
    return 0;
}

/* A word nobody knows could mean "deny": the whole entry is refused rather than half understood. */
static int read_known_word(const cJSON *item, struct container_spec *out, enum field_kind kind,
                           struct err *err)
{
    char word[LIMIT_WORD_SIZE] = "";
    json_reader_text(item, word, sizeof word);
    bool is_known = false;
    if (kind == FIELD_RESTART) {
        out->restart = restart_label_parse(word);
        is_known = strcmp(word, restart_label_name(out->restart)) == 0;
    } else {
        out->beat_mode = beat_mode_parse(word);
        is_known = strcmp(word, beat_mode_name(out->beat_mode)) == 0;
    }
    return is_known ? 0 : json_reader_refuse(item, item->string, "a word known here", err);
}

static int read_policy(const cJSON *item, struct container_spec *out, struct err *err)
{
    char word[LIMIT_WORD_SIZE];
    if (!json_reader_text(item, word, sizeof word)) {
        return json_reader_refuse(item, item->string, "text", err);
    }
    out->docker_policy = docker_policy_parse(word);
    return 0;
}

static int read_field(const cJSON *item, const struct field *field, struct container_spec *out,
                      struct err *err)
{
    void *member = (char *)out + field->offset;
    switch (field->kind) {
    case FIELD_RESTART:
    case FIELD_BEAT_MODE:
        return read_known_word(item, out, field->kind, err);
    case FIELD_FLAG:
        return json_reader_bool(item, member) ? 0
                                              : json_reader_refuse(item, field->name, "true or false", err);
    case FIELD_MS:
        return read_number(item, MAX_MS, member, err);
    case FIELD_COUNT:
        return read_number(item, MAX_COUNT, member, err);
    case FIELD_BACKOFF:
        return read_backoff(item, out, err);
    case FIELD_POLICY:
        return read_policy(item, out, err);
    case FIELD_NAME:
        return json_reader_name(item, field->name, member, field->size, err);
    }
    return 0;
}

static const struct field *find_field(const char *name)
{
    for (size_t each = 0; each < FIELDS; each++) {
        if (strcmp(fields[each].name, name) == 0) {
            return &fields[each];
        }
    }
    return NULL;
}

int container_spec_from_json(const cJSON *tree, struct container_spec *out, struct err *err)
{
    container_spec_init(out);
    if (!cJSON_IsObject(tree)) {
        return err_set(err, EINVAL, "spec is no object");
    }
    for (const cJSON *item = tree->child; item != NULL; item = item->next) {
        const struct field *field = find_field(item->string);
        int status = field == NULL ? 0 : read_field(item, field, out, err);
        if (status != 0) {
            container_spec_init(out);
            err_wrap(err, "spec");
            return status;
        }
    }
    return 0;
}
