/* Answers of the Engine: list, inspect, info, error messages. The same bytes go to all four. */
#include "agent/core/engine_json.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    const char *text = (const char *)bytes;
    struct err err;
    struct engine_summary *rows;
    size_t count;
    if (engine_json_list(text, len, &rows, &count, &err) == 0) {
        for (size_t i = 0; i < count; i++) {
            fuzz_must(rows[i].id[0] != '\0' && rows[i].name[0] != '\0', "a row that names no container");
        }
        engine_summaries_free(rows, count);
    }
    struct engine_container container = {.pid = 0};
    if (engine_json_container(text, len, &container, &err) == 0) {
        fuzz_must(container.id[0] != '\0' && container.name[0] != '\0', "a container without a name");
        fuzz_must(container.labels.count <= ENGINE_LABELS && container.mount_count <= ENGINE_MOUNTS &&
                      container.address_count <= ENGINE_ADDRESSES &&
                      container.alias_count <= ENGINE_ALIASES && container.host_port_count <= ENGINE_PORTS,
                  "more than its lists hold");
    }
    engine_container_fini(&container);
    struct engine_info info;
    (void)engine_json_info(text, len, &info, &err);
    char message[320];
    engine_json_message(text, len, message, sizeof message);
    fuzz_must(memchr(message, '\0', sizeof message) != NULL, "a message without end");
    for (const char *at = message; *at != '\0'; at++) {
        fuzz_must((unsigned char)*at >= 0x20 && *at != 0x7f, "a control character in a message");
    }
    return 0;
}
