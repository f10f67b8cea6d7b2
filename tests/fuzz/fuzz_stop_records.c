/* What an agent wrote down for the next one about containers that stopped, damaged at will. */
#include "agent/core/stop_records.h"
#include "common/memory.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct stop_records records, again;
    size_t first_len, second_len;
    stop_records_decode((const char *)bytes, len, &records);
    fuzz_must(records.dead_count <= LIMIT_REGISTRATION_CONTAINERS &&
                  records.app_count <= LIMIT_REGISTRATION_CONTAINERS &&
                  records.redis_count <= LIMIT_REGISTRATION_CONTAINERS,
              "more than the bound");
    cleanup_free char *first = stop_records_encode(&records, &first_len);
    stop_records_decode(first, first_len, &again);
    cleanup_free char *second = stop_records_encode(&again, &second_len);
    fuzz_must_equal(first, first_len, second, second_len, "written again it is another text");
    stop_records_fini(&records);
    stop_records_fini(&again);
    return 0;
}
