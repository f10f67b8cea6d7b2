/* The agent's memory of commands, as it stands on disk: damaged at will. */
#include "agent/core/outcome_log.h"
#include "common/memory.h"
#include "tests/fuzz/fuzz.h"

enum { CAPACITY = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct outcome_log *log = outcome_log_new(CAPACITY);
    fuzz_must(outcome_log_load(log, bytes, len) <= len, "more strange bytes than there are");
    size_t image_len, again_len;
    cleanup_free uint8_t *image = outcome_log_image(log, &image_len);
    fuzz_must(image_len == outcome_log_image_bytes(log), "the image has another size than was said");

    struct outcome_log *again = outcome_log_new(CAPACITY);
    fuzz_must(outcome_log_load(again, image, image_len) == 0, "an image with strange bytes");
    fuzz_must(outcome_log_count(again) == outcome_log_count(log) &&
                  outcome_log_epoch(again) == outcome_log_epoch(log),
              "an image that forgets");
    cleanup_free uint8_t *second = outcome_log_image(again, &again_len);
    fuzz_must_equal(image, image_len, second, again_len, "the image of an image differs");
    outcome_log_free(again);
    outcome_log_free(log);
    return 0;
}
