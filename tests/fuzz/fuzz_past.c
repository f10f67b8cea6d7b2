/* Records on the stream, where anybody writes: what defibctl tells the past from. */
#include "common/memory.h"
#include "controller/ctl/past.h"
#include "proto/event_facts.h"
#include "proto/json_reader.h"
#include "tests/fuzz/fuzz.h"

static char *encode(const struct event_facts *facts, size_t *len)
{
    struct json_writer writer;
    json_writer_init(&writer, JSON_COMPACT, 64);
    json_writer_open(&writer, NULL, '{');
    event_facts_write(&writer, "facts", facts);
    json_writer_close(&writer, '}');
    return json_writer_take(&writer, len);
}

static bool decode(const char *text, size_t len, struct event_facts *out)
{
    static const struct json_bounds bounds = {"entry", 64 * 1024, 256};
    cleanup_json struct cJSON *tree = NULL;
    return json_reader_parse(text, len, &bounds, &tree, NULL) == 0 &&
           event_facts_read(json_reader_member(tree, "facts"), out);
}

static void try_facts(const char *text)
{
    struct event_facts facts, again;
    if (!decode(text, strlen(text), &facts)) {
        return;
    }
    size_t first_len, second_len;
    cleanup_free char *first = encode(&facts, &first_len);
    fuzz_must(decode(first, first_len, &again), "what was encoded does not decode");
    cleanup_free char *second = encode(&again, &second_len);
    fuzz_must_equal(first, first_len, second, second_len, "decoded again they are other facts");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    cleanup_free char *text = fuzz_text(bytes, len);
    const char *const documents[] = {text, text};
    char words[PAST_TEXT_SIZE];
    struct explanation told;
    struct wall known_at = {0};
    past_describe(documents, 2, "c", (struct wall){1795521600000}, words);
    fuzz_must(strlen(words) < PAST_TEXT_SIZE, "words without an end");
    if (past_explain(documents, 2, "c", &told, &known_at)) {
        fuzz_must(told.verdict[0] != '\0' && told.evidence.count > 0, "facts of which nothing is told");
    }
    try_facts(text);
    return 0;
}
