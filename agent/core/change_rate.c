#include "agent/core/change_rate.h"

#include <stdlib.h>
#include <string.h>

#define uthash_malloc(size) memory_alloc(size)
#define uthash_fatal(text)  abort()
#include <uthash.h>

#include "agent/core/command_gate.h"
#include "common/memory.h"

struct changes {
    char container[LIMIT_NAME_SIZE];
    struct mono times[COMMAND_GATE_LONG_MAX]; /* a ring */
    size_t count, next;
    UT_hash_handle hh;
};

struct change_rate {
    struct changes *names;
};

struct change_rate *change_rate_new(void)
{
    return memory_alloc(sizeof(struct change_rate));
}

static void drop(struct change_rate *rate, struct changes *changes)
{
    HASH_DEL(rate->names, changes);
    free(changes);
}

void change_rate_free(struct change_rate *rate)
{
    struct changes *changes, *next;
    if (rate == NULL) {
        return;
    }
    HASH_ITER (hh, rate->names, changes, next) {
        drop(rate, changes);
    }
    free(rate);
}

static void forget_old(struct change_rate *rate, struct mono now)
{
    struct changes *changes, *next;
    HASH_ITER (hh, rate->names, changes, next) {
        size_t newest = (changes->next + COMMAND_GATE_LONG_MAX - 1) % COMMAND_GATE_LONG_MAX;
        if (mono_diff(now, changes->times[newest]) >= COMMAND_GATE_LONG_MS) {
            drop(rate, changes);
        }
    }
}

void change_rate_note(struct change_rate *rate, const char *container, struct mono now)
{
    forget_old(rate, now);
    struct changes *changes;
    HASH_FIND_STR(rate->names, container, changes);
    if (changes == NULL) {
        changes = memory_alloc(sizeof *changes);
        memory_set_text(changes->container, sizeof changes->container, container);
        HASH_ADD_STR(rate->names, container, changes);
    }
    changes->times[changes->next] = now;
    changes->next = (changes->next + 1) % COMMAND_GATE_LONG_MAX;
    changes->count += changes->count < COMMAND_GATE_LONG_MAX;
}

size_t change_rate_count(const struct change_rate *rate, const char *container, int64_t within_ms,
                         struct mono now)
{
    struct changes *changes;
    HASH_FIND_STR(rate->names, container, changes);
    size_t found = 0;
    for (size_t i = 0; changes != NULL && i < changes->count; i++) {
        found += mono_diff(now, changes->times[i]) < within_ms;
    }
    return found;
}

size_t change_rate_names(const struct change_rate *rate)
{
    return HASH_COUNT(rate->names);
}
