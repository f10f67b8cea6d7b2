/*
 * The golden vectors under proto/vectors: loaded, cut short and mutated for the decoders' tests.
 *
 * good_*: decodes, and what comes of it encodes to something that decodes to the same. hostile_*: refused.
 */
#ifndef DEFIB_TESTS_UNIT_VECTORS_H
#define DEFIB_TESTS_UNIT_VECTORS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <time.h>

#include "common/memory.h"

/* Decodes, checks whatever must hold of a success, frees, returns the decoder's status. */
typedef int (*vector_decode)(const uint8_t *bytes, size_t len);

struct vector {
    char name[256];
    uint8_t *bytes;
    size_t len;
};

struct vectors {
    struct vector items[128];
    size_t count;
};

/* xorshift64*: the same steps on every machine. */
static inline uint64_t vector_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

static inline size_t vector_below(uint64_t *state, size_t bound)
{
    return (size_t)(vector_random(state) >> 11) % bound;
}

static inline void vector_read(const char *kind, const char *name, struct vector *out)
{
    char path[512];
    snprintf(path, sizeof path, "proto/vectors/%s/%s", kind, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fail_msg("%s is not there: run in the top folder", path);
        return;
    }
    memory_set_text(out->name, sizeof out->name, name);
    out->bytes = memory_alloc(1 << 20);
    out->len = fread(out->bytes, 1, 1 << 20, file);
    fclose(file);
    out->bytes = memory_grow(out->bytes, out->len, 1);
}

static inline struct vectors *vectors_load(const char *kind, const char *beginning)
{
    struct vectors *vectors = memory_alloc(sizeof *vectors);
    char path[512];
    snprintf(path, sizeof path, "proto/vectors/%s", kind);
    DIR *folder = opendir(path);
    assert_non_null(folder);
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (strncmp(entry->d_name, beginning, strlen(beginning)) == 0) {
            assert_true(vectors->count < 128);
            vector_read(kind, entry->d_name, &vectors->items[vectors->count++]);
        }
    }
    closedir(folder);
    assert_true(vectors->count > 0);
    return vectors;
}

static inline void vectors_free(struct vectors *vectors)
{
    for (size_t each = 0; each < vectors->count; each++) {
        free(vectors->items[each].bytes);
    }
    free(vectors);
}

/* In a block of exactly that size, so that AddressSanitizer sees any step past it. */
static inline int vector_try(vector_decode decode, const uint8_t *bytes, size_t len)
{
    uint8_t *exact = memory_grow(NULL, len, 1);
    if (len > 0) {
        memcpy(exact, bytes, len);
    }
    int status = decode(exact, len);
    free(exact);
    return status;
}

static inline void vectors_check(const char *kind, vector_decode decode)
{
    struct vectors *good = vectors_load(kind, "good_");
    for (size_t each = 0; each < good->count; each++) {
        int status = vector_try(decode, good->items[each].bytes, good->items[each].len);
        if (status != 0) {
            fail_msg("%s/%s: %d", kind, good->items[each].name, status);
        }
    }
    vectors_free(good);
    struct vectors *hostile = vectors_load(kind, "hostile_");
    for (size_t each = 0; each < hostile->count; each++) {
        if (vector_try(decode, hostile->items[each].bytes, hostile->items[each].len) >= 0) {
            fail_msg("%s/%s was taken", kind, hostile->items[each].name);
        }
    }
    vectors_free(hostile);
}

/* Every beginning of every vector; of a good one (blanks at its end aside) each must be refused. */
static inline void vectors_truncate(const char *kind, vector_decode decode)
{
    struct vectors *all = vectors_load(kind, "");
    for (size_t each = 0; each < all->count; each++) {
        const struct vector *vector = &all->items[each];
        size_t whole = vector->len;
        while (whole > 0 && vector->bytes[whole - 1] == '\n') {
            whole--;
        }
        bool is_good = strncmp(vector->name, "good_", 5) == 0;
        for (size_t len = 0; len < whole; len++) {
            if (vector_try(decode, vector->bytes, len) >= 0 && is_good) {
                fail_msg("%s/%s was taken after %zu bytes", kind, vector->name, len);
            }
        }
    }
    vectors_free(all);
}

/* One to four random changes: flip, replace, drop, repeat a piece, splice a piece of another vector. */
static inline size_t vector_mutate(const struct vectors *all, uint64_t *seed, uint8_t *out, size_t size)
{
    const struct vector *base = &all->items[vector_below(seed, all->count)];
    size_t len = base->len < size ? base->len : size;
    memcpy(out, base->bytes, len);
    for (size_t changes = 1 + vector_below(seed, 4); changes > 0 && len > 0; changes--) {
        size_t at = vector_below(seed, len);
        const struct vector *other = &all->items[vector_below(seed, all->count)];
        size_t piece = 1 + vector_below(seed, 16);
        switch (vector_below(seed, 5)) {
        case 0:
            out[at] ^= (uint8_t)(1u << vector_below(seed, 8));
            break;
        case 1:
            out[at] = (uint8_t)vector_below(seed, 256);
            break;
        case 2:
            piece = piece < len - at ? piece : len - at;
            memmove(out + at, out + at + piece, len - at - piece);
            len -= piece;
            break;
        case 3:
            piece = piece < len - at ? piece : len - at;
            if (len + piece <= size) {
                memmove(out + at + piece, out + at, len - at);
                len += piece;
            }
            break;
        default:
            piece = piece < other->len ? piece : other->len;
            piece = piece < len - at ? piece : len - at;
            memcpy(out + at, other->bytes + (other->len - piece), piece);
            break;
        }
    }
    return len;
}

static inline void vectors_mutate(const char *kind, vector_decode decode, size_t rounds)
{
    enum { MUTANT_BYTES = 32 * 1024, SECONDS = 120 };
    struct vectors *all = vectors_load(kind, "");
    uint8_t *mutant = memory_alloc(MUTANT_BYTES);
    uint64_t seed = 0x9e3779b97f4a7c15;
    size_t taken = 0;
    time_t start = time(NULL);
    for (size_t round = 0; round < rounds; round++) {
        size_t len = vector_mutate(all, &seed, mutant, MUTANT_BYTES);
        taken += vector_try(decode, mutant, len) == 0;
    }
    assert_true(time(NULL) - start < SECONDS);
    /* Both ways must have been taken, or the mutations test nothing. */
    assert_in_range(taken, 1, rounds - 1);
    free(mutant);
    vectors_free(all);
}

/* Random text for properties: letters, odd ASCII, other planes; cut to fit; at least one character. */
static inline void vector_random_text(uint64_t *seed, char *out, size_t size)
{
    static const char *const pieces[] = {
        "a", "Z", "7", "-", ":", "\"", "\\", "/", " ", "\xc3\xa9", "{", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
        ",", "'"};
    size_t len = 0;
    for (size_t count = 1 + vector_below(seed, size); count > 0; count--) {
        const char *piece = pieces[vector_below(seed, sizeof pieces / sizeof pieces[0])];
        if (len + strlen(piece) >= size) {
            break;
        }
        memcpy(out + len, piece, strlen(piece));
        len += strlen(piece);
    }
    out[len] = '\0';
}

#endif
