/*
 * What the fuzz targets share. One file for each decoder, fuzz_NAME.c, with LLVMFuzzerTestOneInput and no
 * main.
 *
 * `make fuzz` links them with libFuzzer (clang). The unit tests link each with replay.c instead, which needs
 * no clang, and run it over the golden vectors (proto/vectors/NAME), its own seeds (tests/fuzz/seeds/NAME)
 * and what was found before (tests/fuzz/regressions/NAME).
 */
#ifndef DEFIB_TESTS_FUZZ_FUZZ_H
#define DEFIB_TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* Holds in every build, so no assert. */
static inline void fuzz_must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "fuzz: %s\n", what);
        abort();
    }
}

static inline void fuzz_must_equal(const void *left, size_t left_len, const void *right, size_t right_len,
                                   const char *what)
{
    fuzz_must(left_len == right_len && memcmp(left, right, left_len) == 0, what);
}

/* A NUL-terminated copy, given, for decoders of C strings: what stands behind a NUL is not seen. */
static inline char *fuzz_text(const uint8_t *bytes, size_t len)
{
    char *text = malloc(len + 1);
    fuzz_must(text != NULL, "no memory");
    if (len > 0) {
        memcpy(text, bytes, len);
    }
    text[len] = '\0';
    return text;
}

#endif
