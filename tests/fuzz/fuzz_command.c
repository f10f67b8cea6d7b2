#include "common/memory.h"
#include "proto/command.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct command command, again;
    struct err err;
    if (command_decode(bytes, len, &command, &err) != 0) {
        return 0;
    }
    size_t first_len, second_len;
    cleanup_free uint8_t *first = command_encode(&command, &first_len);
    fuzz_must(command_decode(first, first_len, &again, &err) == 0, "what was encoded does not decode");
    cleanup_free uint8_t *second = command_encode(&again, &second_len);
    fuzz_must_equal(first, first_len, second, second_len, "decoded again it is another command");
    return 0;
}
