#include "common/fingerprint.h"

#include "tests/unit/vectors.h"

/* Any single change, at any length around a word's bounds, shows. */
static void every_change_shows(void **state)
{
    (void)state;
    enum { LONGEST = 40 };
    uint64_t seed = 1;
    for (size_t len = 0; len <= LONGEST; len++) {
        char *bytes = memory_grow(NULL, len, 1);
        for (size_t at = 0; at < len; at++) {
            bytes[at] = (char)vector_below(&seed, 256);
        }
        uint64_t before = fingerprint_of(bytes, len);
        assert_true(before != 0);
        assert_true(fingerprint_of(bytes, len) == before);
        for (size_t bit = 0; bit < 8 * len; bit++) {
            bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << bit % 8));
            assert_true(fingerprint_of(bytes, len) != before);
            bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << bit % 8));
        }
        free(bytes);
    }
}

static void length_shows(void **state)
{
    (void)state;
    static const char zeros[24];
    for (size_t len = 1; len < sizeof zeros; len++) {
        assert_true(fingerprint_of(zeros, len) != fingerprint_of(zeros, len - 1));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_change_shows),
        cmocka_unit_test(length_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
