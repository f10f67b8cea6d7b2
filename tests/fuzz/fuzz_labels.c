/* Labels of a container: name=value, one a line. */
#include "agent/core/label_reader.h"
#include "common/memory.h"
#include "tests/fuzz/fuzz.h"

static void on_complaint(void *arg, const char *text)
{
    (void)arg;
    fuzz_must(text[0] != '\0', "an empty complaint");
}

static void read_list(const struct label_list *labels)
{
    struct label_identity identity;
    struct container_spec spec;
    label_reader_identity(labels, "h1/web-1", "h1/", &identity);
    fuzz_must(identity.service[0] != '\0' && identity.instance[0] != '\0', "no identity");
    (void)label_reader_watch(labels);
    container_spec_init(&spec);
    label_reader_spec(labels, &spec, on_complaint, NULL);
    fuzz_must(spec.backoff_count <= LIMIT_BACKOFF_STEPS, "too many steps of backoff");
    fuzz_must(spec.stop_timeout_ms >= -1 && spec.start_grace_ms >= -1 && spec.max_attempts >= -1,
              "below what a label may say");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    cleanup_free char *text = fuzz_text(bytes, len);
    struct label_list labels = {.count = 0};
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        char *value = strchr(line, '=');
        if (value != NULL) {
            *value++ = '\0';
            label_list_add(&labels, line, value);
        }
    }
    fuzz_must(labels.count <= LABEL_LIST_MAX, "more labels than the bound");
    read_list(&labels);
    label_list_fini(&labels);
    return 0;
}
