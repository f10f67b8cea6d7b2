/*
 * The nearest of many names to one that is not among them, for "did you mean". Pure.
 *
 * Distance is counted in inserted, removed, changed and swapped bytes; a name that begins with or holds the
 * wanted one counts as near. Names over 128 bytes are compared by their beginnings.
 */
#ifndef DEFIB_COMMON_NEAREST_H
#define DEFIB_COMMON_NEAREST_H

#include <stddef.h>

/* A plain value; `wanted` and the offered names are borrowed. */
struct nearest {
    const char *wanted;
    const char *best;
    size_t distance;
};

void nearest_init(struct nearest *nearest, const char *wanted);
void nearest_offer(struct nearest *nearest, const char *name);

/* NULL where none is near enough to be meant (more than half of its bytes differ). */
const char *nearest_name(const struct nearest *nearest);

#endif
