/* Lines of the event stream, one after the other into a table, as they would come. */
#include "agent/core/container_table.h"
#include "agent/core/engine_json.h"
#include "tests/fuzz/fuzz.h"

static struct container_table *table_new(void)
{
    static const struct name_patterns NOBODY;
    static const struct container_table_config CONFIG = {
        .name_prefix = "h1/",
        .watch_globs = &NOBODY,
        .deny = &NOBODY,
        .stop = {.stop_settle_ms = 2000, .intent_settle_ms = 15000},
        .self_id = ""};
    return container_table_new(&CONFIG);
}

static void take_line(struct container_table *table, const char *line, size_t len, struct mono now)
{
    struct engine_event event;
    struct err err;
    if (engine_json_event(line, len, &event, &err) != 0) {
        return;
    }
    fuzz_must(event.id[0] != '\0', "an event of no container");
    container_table_event(table, &event, now.ms % 2 != 0, now);
    container_table_tick(table, now);
    engine_event_fini(&event);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    const char *at = (const char *)bytes;
    const char *end = at + len;
    struct container_table *table = table_new();
    struct mono now = {1000};
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t part = (size_t)((newline != NULL ? newline : end) - at);
        now.ms += 700;
        take_line(table, at, part, now);
        at += part + (newline != NULL);
    }
    container_table_free(table);
    return 0;
}
