/*
 * Are these the bytes that were seen before? A quick hash, no defence against somebody who wants two texts to
 * have the same. Pure.
 */
#ifndef DEFIB_COMMON_FINGERPRINT_H
#define DEFIB_COMMON_FINGERPRINT_H

#include <stddef.h>
#include <stdint.h>

/* Never 0. Differs between processes of different byte order: not for storing. */
uint64_t fingerprint_of(const char *bytes, size_t len);

#endif
