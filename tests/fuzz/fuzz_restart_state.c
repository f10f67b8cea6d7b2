#include "common/memory.h"
#include "proto/restart_state.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct restart_state state, again;
    struct err err;
    if (restart_state_decode((const char *)bytes, len, &state, &err) != 0) {
        return 0;
    }
    size_t first_len, second_len;
    cleanup_free char *first = restart_state_encode(&state, &first_len);
    fuzz_must(restart_state_decode(first, first_len, &again, &err) == 0, "what was encoded does not decode");
    cleanup_free char *second = restart_state_encode(&again, &second_len);
    fuzz_must_equal(first, first_len, second, second_len, "decoded again it is another state");
    int64_t count = state.attempt_count;
    restart_state_merge(&state, &again);
    fuzz_must(state.attempt_count == count, "merging a state with itself changes the count");
    restart_state_fini(&state);
    restart_state_fini(&again);
    return 0;
}
