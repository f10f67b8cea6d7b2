/* Holds and intents: the keys in Redis by which people say no. */
#include "common/memory.h"
#include "proto/hold.h"
#include "proto/intent.h"
#include "tests/fuzz/fuzz.h"

static void try_hold(const char *text, size_t len)
{
    struct hold hold, again;
    struct err err;
    if (hold_decode(text, len, &hold, &err) != 0) {
        fuzz_must(hold.until.ms == 0, "a hold that cannot be read has an end");
        return;
    }
    size_t first_len, second_len;
    cleanup_free char *first = hold_encode(&hold, &first_len);
    fuzz_must(hold_decode(first, first_len, &again, &err) == 0, "what was encoded does not decode");
    cleanup_free char *second = hold_encode(&again, &second_len);
    fuzz_must_equal(first, first_len, second, second_len, "decoded again it is another hold");
}

static void try_intent(const char *text, size_t len)
{
    struct intent intent, again;
    struct err err;
    if (intent_decode(text, len, &intent, &err) != 0) {
        return;
    }
    size_t first_len, second_len;
    cleanup_free char *first = intent_encode(&intent, &first_len);
    fuzz_must(intent_decode(first, first_len, &again, &err) == 0, "what was encoded does not decode");
    cleanup_free char *second = intent_encode(&again, &second_len);
    fuzz_must_equal(first, first_len, second, second_len, "decoded again it is another intent");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    try_hold((const char *)bytes, len);
    try_intent((const char *)bytes, len);
    return 0;
}
