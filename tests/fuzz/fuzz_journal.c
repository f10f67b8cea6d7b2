#include <cjson/cJSON.h>

#include "common/memory.h"
#include "proto/journal.h"
#include "proto/json_reader.h"
#include "tests/fuzz/fuzz.h"

static char *encode(struct journal_input *input, size_t *len)
{
    char *settings = input->set == NULL ? NULL : cJSON_PrintUnformatted(input->set);
    input->settings = settings;
    char *text = journal_input_encode(input, len);
    input->settings = NULL;
    cJSON_free(settings);
    return text;
}

static void check_input(struct cJSON *tree)
{
    struct journal_input input, again;
    struct err err = {0};
    if (journal_input_from_json(tree, &input, &err) != 0) {
        fuzz_must(err.text[0] != '\0', "refused without a word");
        return;
    }
    size_t first_len, second_len;
    cleanup_free char *first = encode(&input, &first_len);
    fuzz_must(journal_input_from_json(json_reader_parse_own(first, first_len), &again, &err) == 0,
              "what was encoded does not decode");
    cleanup_free char *second = encode(&again, &second_len);
    fuzz_must_equal(first, first_len, second, second_len, "decoded again it is another input");
    journal_input_fini(&input);
    journal_input_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const struct json_bounds BOUNDS = {.what = "entry", .max_bytes = 1 << 16, .max_values = 10000};
    struct cJSON *document;
    struct err err = {0};
    if (json_reader_parse((const char *)bytes, len, &BOUNDS, &document, &err) != 0) {
        return 0;
    }
    struct cJSON *inner = journal_document_within(document);
    char run[JOURNAL_RUN_SIZE];
    uint64_t part;
    if (journal_document_head(inner, run, &part, &err) == 0) {
        struct cJSON *tree;
        while ((tree = journal_document_next(inner)) != NULL) {
            check_input(tree);
        }
    }
    cJSON_Delete(document);
    return 0;
}
