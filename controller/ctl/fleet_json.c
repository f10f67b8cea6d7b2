#include "controller/ctl/fleet_json.h"

#include <string.h>

#include "common/memory.h"
#include "proto/json_reader.h"
#include "proto/json_writer.h"

/* ---- as the controller tells it ---- */

static void get(const struct cJSON *object, const char *name, char *out, size_t size)
{
    if (!json_reader_text(json_reader_member(object, name), out, size)) {
        out[0] = '\0';
    }
}

static bool is_wanted(const struct fleet_view_filter *filter, const struct cJSON *container)
{
    struct fleet_row row = {.max_attempts = -1};
    get(container, "container", row.name, sizeof row.name);
    get(container, "host", row.host, sizeof row.host);
    get(container, "service", row.service, sizeof row.service);
    get(container, "state", row.state, sizeof row.state);
    return fleet_view_is_wanted(filter, &row);
}

static char *choose(const char *json, const struct fleet_view_filter *filter)
{
    struct json_writer writer;
    cleanup_json struct cJSON *tree = json_reader_parse_own(json, strlen(json));
    json_writer_init(&writer, JSON_COMPACT, 4096);
    json_writer_open(&writer, NULL, '{');
    for (const struct cJSON *item = json_reader_first(tree); item != NULL; item = json_reader_next(item)) {
        if (strcmp(json_reader_label(item), "containers") != 0) {
            json_writer_tree(&writer, json_reader_label(item), item);
            continue;
        }
        json_writer_open(&writer, "containers", '[');
        for (const struct cJSON *each = json_reader_first(item); each != NULL;
             each = json_reader_next(each)) {
            if (is_wanted(filter, each)) {
                json_writer_tree(&writer, NULL, each);
            }
        }
        json_writer_close(&writer, ']');
    }
    json_writer_close(&writer, '}');
    return json_writer_take(&writer, NULL);
}

/* ---- as others tell it ---- */

void fleet_json_attempts(struct json_writer *writer, const struct fleet_row *row)
{
    if (row->attempts < 0) {
        json_writer_null(writer, "attempts");
    } else {
        json_writer_signed(writer, "attempts", row->attempts);
    }
}

static void write_row(struct json_writer *writer, const char *key, const struct fleet_row *row)
{
    json_writer_open(writer, key, '{');
    json_writer_text(writer, "container", row->name);
    json_writer_text_or_null(writer, "host", row->host);
    json_writer_text_or_null(writer, "service", row->service);
    json_writer_text_or_null(writer, "docker_state", row->state);
    json_writer_text_or_null(writer, "status", row->status);
    json_writer_text_or_null(writer, "reason", row->reason);
    fleet_json_attempts(writer, row);
    json_writer_time(writer, "since", row->since, JSON_ROUND_DOWN);
    json_writer_time(writer, "cooldown_until", row->next_at, JSON_ROUND_UP);
    json_writer_close(writer, '}');
}

static void write_host(struct json_writer *writer, const struct fleet_host *host)
{
    json_writer_open(writer, NULL, '{');
    json_writer_text(writer, "host", host->name);
    json_writer_text(writer, "state", host->state);
    json_writer_bool(writer, "engine_up", host->is_engine_up);
    json_writer_signed(writer, "containers", host->containers);
    json_writer_time(writer, "heard_at", host->heard_at, JSON_ROUND_DOWN);
    json_writer_close(writer, '}');
}

static void write_hold(struct json_writer *writer, const struct fleet_hold *hold)
{
    json_writer_open(writer, NULL, '{');
    json_writer_text(writer, "kind", hold->kind);
    json_writer_text(writer, "name", hold->name);
    json_writer_text_or_null(writer, "reason", hold->reason);
    json_writer_text_or_null(writer, "by", hold->by);
    json_writer_time(writer, "until", hold->until, JSON_ROUND_UP);
    json_writer_time(writer, "since", hold->since, JSON_ROUND_DOWN);
    json_writer_close(writer, '}');
}

static void open_document(struct json_writer *writer, const struct fleet *fleet)
{
    json_writer_init(writer, JSON_COMPACT, 4096);
    json_writer_open(writer, NULL, '{');
    json_writer_time(writer, "timestamp", clock_wall_now(), JSON_ROUND_DOWN);
    json_writer_text(writer, "source", fleet->source);
    json_writer_text(writer, "note", fleet->note);
}

char *fleet_json_all(const struct fleet *fleet, const struct fleet_view_filter *filter)
{
    if (fleet->json != NULL) {
        return choose(fleet->json, filter);
    }
    struct json_writer writer;
    open_document(&writer, fleet);
    json_writer_open(&writer, "holds", '[');
    for (size_t i = 0; i < fleet->hold_count; i++) {
        write_hold(&writer, &fleet->holds[i]);
    }
    json_writer_close(&writer, ']');
    json_writer_open(&writer, "hosts", '[');
    for (size_t i = 0; i < fleet->host_count; i++) {
        write_host(&writer, &fleet->hosts[i]);
    }
    json_writer_close(&writer, ']');
    json_writer_open(&writer, "containers", '[');
    for (size_t i = 0; i < fleet->row_count; i++) {
        if (fleet_view_is_wanted(filter, &fleet->rows[i])) {
            write_row(&writer, NULL, &fleet->rows[i]);
        }
    }
    json_writer_close(&writer, ']');
    json_writer_close(&writer, '}');
    return json_writer_take(&writer, NULL);
}

char *fleet_json_row(const struct fleet *fleet, const struct fleet_row *row)
{
    struct json_writer writer;
    open_document(&writer, fleet);
    write_row(&writer, "container", row);
    json_writer_close(&writer, '}');
    return json_writer_take(&writer, NULL);
}
