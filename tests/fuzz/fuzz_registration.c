#include "common/memory.h"
#include "proto/registration.h"
#include "tests/fuzz/fuzz.h"

static void peek(const char *bytes, size_t len, const struct registration *whole)
{
    char host[LIMIT_NAME_SIZE], agent[LIMIT_COMMAND_ID_SIZE];
    uint64_t change;
    struct registration_counter counters[REGISTRATION_COUNTERS];
    fuzz_must(registration_peek_counters(bytes, len, counters) <= REGISTRATION_COUNTERS, "too many counters");
    if (registration_peek(bytes, len, host, agent, &change) == 0 && whole != NULL) {
        fuzz_must(strcmp(host, whole->host) == 0 && strcmp(agent, whole->agent) == 0 &&
                      change == whole->change,
                  "a peek sees something else than the decoder");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct registration registration, again;
    struct err err;
    size_t bad = 0, bad_again = 0;
    if (registration_decode((const char *)bytes, len, &registration, &bad, &err) != 0) {
        peek((const char *)bytes, len, NULL);
        return 0;
    }
    size_t first_len, second_len;
    cleanup_free char *first = registration_encode(&registration, &first_len);
    if (first != NULL) {
        peek(first, first_len, &registration);
        fuzz_must(registration_decode(first, first_len, &again, &bad_again, &err) == 0 && bad_again == 0,
                  "what was encoded does not decode");
        cleanup_free char *second = registration_encode(&again, &second_len);
        fuzz_must(second != NULL, "it does not encode twice");
        fuzz_must_equal(first, first_len, second, second_len, "decoded again it is another registration");
        registration_fini(&again);
    }
    registration_fini(&registration);
    return 0;
}
