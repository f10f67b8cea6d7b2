#include "proto/intent.h"

#include <cjson/cJSON.h>

#include "proto/json_reader.h"
#include "proto/json_writer.h"

static const struct json_bounds bounds = {"intent", LIMIT_RESTART_STATE_BYTES, 64};

char *intent_encode(const struct intent *intent, size_t *len)
{
    struct json_writer writer;
    json_writer_init(&writer, JSON_COMPACT, 256);
    json_writer_open(&writer, NULL, '{');
    json_writer_text(&writer, "container_id", intent->container_id);
    json_writer_text(&writer, "reason", intent->reason);
    json_writer_time(&writer, "at", intent->at, JSON_ROUND_DOWN);
    json_writer_close(&writer, '}');
    return json_writer_take(&writer, len);
}

int intent_decode(const char *bytes, size_t len, struct intent *out, struct err *err)
{
    *out = (struct intent){.at = {0}};
    cleanup_json cJSON *tree = NULL;
    int status = json_reader_parse(bytes, len, &bounds, &tree, err);
    if (status != 0) {
        return status;
    }
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(tree, "container_id");
    status = json_reader_name(id, "container_id", out->container_id, sizeof out->container_id, err);
    if (status == 0) {
        json_reader_text(cJSON_GetObjectItemCaseSensitive(tree, "reason"), out->reason, sizeof out->reason);
        json_reader_time(cJSON_GetObjectItemCaseSensitive(tree, "at"), &out->at);
    }
    return status;
}
