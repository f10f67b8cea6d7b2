#include "controller/warning_limiter.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "common/log.h"
#include "common/memory.h"

struct source {
    char *name;
    struct mono last;
    uint64_t suppressed;
    UT_hash_handle hh;
};

struct warning_limiter {
    struct source *sources;
    int64_t repeat_ms;
};

struct warning_limiter *warning_limiter_new(int64_t repeat_ms)
{
    struct warning_limiter *limiter = memory_alloc(sizeof *limiter);
    limiter->repeat_ms = repeat_ms;
    return limiter;
}

static void drop(struct warning_limiter *limiter, struct source *source)
{
    HASH_DEL(limiter->sources, source);
    free(source->name);
    free(source);
}

void warning_limiter_free(struct warning_limiter *limiter)
{
    if (limiter == NULL) {
        return;
    }
    struct source *source, *next;
    HASH_ITER (hh, limiter->sources, source, next) {
        drop(limiter, source);
    }
    free(limiter);
}

static void drop_aged(struct warning_limiter *limiter, struct mono now)
{
    struct source *source, *next;
    HASH_ITER (hh, limiter->sources, source, next) {
        if (mono_diff(now, source->last) >= limiter->repeat_ms) {
            drop(limiter, source);
        }
    }
}

static struct source *add(struct warning_limiter *limiter, const char *name)
{
    struct source *source = memory_alloc(sizeof *source);
    source->name = memory_copy_text(name);
    HASH_ADD_KEYPTR(hh, limiter->sources, source->name, strlen(source->name), source);
    return source;
}

static struct source *find(struct warning_limiter *limiter, const char *name)
{
    struct source *source;
    HASH_FIND_STR(limiter->sources, name, source);
    return source;
}

bool warning_limiter_allows(struct warning_limiter *limiter, const char *name, struct mono now,
                            uint64_t *suppressed)
{
    struct source *source = find(limiter, name);
    if (source == NULL && HASH_COUNT(limiter->sources) >= WARNING_LIMITER_SOURCES) {
        drop_aged(limiter, now);
        if (HASH_COUNT(limiter->sources) >= WARNING_LIMITER_SOURCES) {
            name = "";
            source = find(limiter, name);
        }
    }
    if (source == NULL) {
        source = add(limiter, name);
    } else if (mono_diff(now, source->last) < limiter->repeat_ms) {
        source->suppressed++;
        return false;
    }
    *suppressed = source->suppressed;
    source->suppressed = 0;
    source->last = now;
    return true;
}

void warning_limiter_warn(struct warning_limiter *limiter, const char *source, struct mono now,
                          const char *format, ...)
{
    uint64_t suppressed;
    if (!warning_limiter_allows(limiter, source, now, &suppressed)) {
        return;
    }
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (suppressed == 0) {
        log_warning("%s", text);
    } else {
        log_warning("%s (and %" PRIu64 " more like it before)", text, suppressed);
    }
}
