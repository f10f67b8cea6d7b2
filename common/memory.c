#include "common/memory.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *block)
{
    if (block == NULL) {
        fputs("out of memory\n", stderr);
        abort();
    }
    return block;
}

void *memory_alloc(size_t size)
{
    return must(calloc(1, size == 0 ? 1 : size));
}

void *memory_grow(void *block, size_t count, size_t item_size)
{
    if (item_size != 0 && count > SIZE_MAX / item_size) {
        must(NULL);
    }
    size_t size = count * item_size;
    return must(realloc(block, size == 0 ? 1 : size));
}

void *memory_add(void *block, size_t count, size_t item_size)
{
    bool is_full = (count & (count - 1)) == 0; /* zero or a power of two: as many as there is room for */
    return is_full ? memory_grow(block, count == 0 ? 1 : 2 * count, item_size) : must(block);
}

char *memory_copy_text(const char *text)
{
    return text == NULL ? NULL : must(strdup(text));
}

_Bool memory_set_text(char *out, size_t size, const char *text)
{
    size_t len = strnlen(text, size);
    size_t kept = len < size ? len : size - 1;
    memmove(out, text, kept);
    out[kept] = '\0';
    return len < size;
}

void memory_cleanup_free(void *pointer_to_pointer)
{
    void *block;
    memcpy(&block, pointer_to_pointer, sizeof block);
    free(block);
}
