#include "common/fingerprint.h"

#include <string.h>

static uint64_t mix(uint64_t sum, uint64_t word)
{
    sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
    return sum ^ sum >> 32;
}

uint64_t fingerprint_of(const char *bytes, size_t len)
{
    uint64_t sum = len;
    uint64_t word;
    size_t at = 0;
    for (; len - at >= sizeof word; at += sizeof word) {
        memcpy(&word, bytes + at, sizeof word);
        sum = mix(sum, word);
    }
    word = 0;
    memcpy(&word, bytes + at, len - at);
    sum = mix(sum, word);
    return sum == 0 ? 1 : sum;
}
