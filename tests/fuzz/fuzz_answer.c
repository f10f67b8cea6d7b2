#include "common/memory.h"
#include "proto/command.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct answer answer, again;
    struct err err;
    answer_init(&answer);
    answer_init(&again);
    if (answer_decode(bytes, len, &answer, &err) != 0) {
        return 0;
    }
    size_t first_len, second_len;
    cleanup_free uint8_t *first = answer_encode(&answer, &first_len);
    fuzz_must(answer_decode(first, first_len, &again, &err) == 0, "what was encoded does not decode");
    cleanup_free uint8_t *second = answer_encode(&again, &second_len);
    fuzz_must_equal(first, first_len, second, second_len, "decoded again it is another answer");
    answer_fini(&answer);
    answer_fini(&again);
    return 0;
}
