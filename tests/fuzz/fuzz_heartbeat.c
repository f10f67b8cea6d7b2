#include "common/memory.h"
#include "proto/heartbeat.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct heartbeat beat, again;
    struct err err;
    if (heartbeat_decode((const char *)bytes, len, &beat, &err) != 0) {
        return 0;
    }
    size_t first_len, second_len;
    cleanup_free char *first = heartbeat_encode(&beat, &first_len);
    if (first_len >
        LIMIT_HEARTBEAT_BYTES) { /* foreign fields grew as they were escaped anew; nobody sends them on */
        heartbeat_fini(&beat);
        return 0;
    }
    fuzz_must(heartbeat_decode(first, first_len, &again, &err) == 0, "what was encoded does not decode");
    cleanup_free char *second = heartbeat_encode(&again, &second_len);
    fuzz_must_equal(first, first_len, second, second_len, "decoded again it is another beat");
    heartbeat_fini(&beat);
    heartbeat_fini(&again);
    return 0;
}
