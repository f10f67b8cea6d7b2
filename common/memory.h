/*
 * Allocation that does not fail: running out of memory ends the process with a message, and its supervisor
 * starts it again. Also the cleanup attribute for plain heap memory.
 */
#ifndef DEFIB_COMMON_MEMORY_H
#define DEFIB_COMMON_MEMORY_H

#include <stddef.h>

void *memory_alloc(size_t size) __attribute__((returns_nonnull)); /* zeroed */
void *memory_grow(void *block, size_t count, size_t item_size) __attribute__((returns_nonnull));
/* Room for one item more than `count`, in a block that has only ever grown this way: it doubles. */
void *memory_add(void *block, size_t count, size_t item_size) __attribute__((returns_nonnull));
char *memory_copy_text(const char *text); /* NULL stays NULL */

/* Copies at most size - 1 bytes and ends with NUL. True where all of it fitted. */
_Bool memory_set_text(char *out, size_t size, const char *text);

void memory_cleanup_free(void *pointer_to_pointer);
#define cleanup_free __attribute__((cleanup(memory_cleanup_free)))

/* Takes the pointer out of a cleanup variable. */
#define memory_steal(pointer)                  \
    __extension__({                            \
        __auto_type memory_stolen = (pointer); \
        (pointer) = NULL;                      \
        memory_stolen;                         \
    })

#endif
