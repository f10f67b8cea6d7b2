#include "proto/hold.h"

#include <cjson/cJSON.h>

#include "proto/json_reader.h"
#include "proto/json_writer.h"

enum { MAX_BYTES = 4096, MAX_VALUES = 64, FIRST_SIZE = 128 };

int hold_decode(const char *bytes, size_t len, struct hold *out, struct err *err)
{
    static const struct json_bounds bounds = {"hold", MAX_BYTES, MAX_VALUES};
    *out = (struct hold){0};
    cleanup_json cJSON *tree = NULL;
    int result = json_reader_parse(bytes, len, &bounds, &tree, err);
    if (result != 0) {
        return result;
    }
    json_reader_text(cJSON_GetObjectItemCaseSensitive(tree, "reason"), out->reason, sizeof out->reason);
    json_reader_text(cJSON_GetObjectItemCaseSensitive(tree, "by"), out->by, sizeof out->by);
    json_reader_time(cJSON_GetObjectItemCaseSensitive(tree, "since"), &out->since);
    const cJSON *until = cJSON_GetObjectItemCaseSensitive(tree, "until");
    if (until != NULL && !json_reader_time(until, &out->until)) {
        return json_reader_refuse(until, "until", "a time or null", err);
    }
    return 0;
}

char *hold_encode(const struct hold *hold, size_t *len)
{
    struct json_writer writer;
    json_writer_init(&writer, JSON_SPACED, FIRST_SIZE);
    json_writer_open(&writer, NULL, '{');
    json_writer_text(&writer, "reason", hold->reason);
    json_writer_text(&writer, "by", hold->by);
    json_writer_time(&writer, "until", hold->until, JSON_ROUND_UP);
    if (hold->since.ms != 0) {
        json_writer_time(&writer, "since", hold->since, JSON_ROUND_DOWN);
    }
    json_writer_close(&writer, '}');
    return json_writer_take(&writer, len);
}
