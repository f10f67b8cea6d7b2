/*
 * Asks Redis and waits for the answer, turning the loop meanwhile: for what defibctl does while the
 * controller does not answer, and for what stands in Redis alone.
 */
#ifndef DEFIB_CONTROLLER_CTL_REDIS_DESK_H
#define DEFIB_CONTROLLER_CTL_REDIS_DESK_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/loop.h"
#include "common/redis_link.h"
#include "common/settings.h"

struct redis_desk;

struct redis_desk *redis_desk_new(struct loop *loop, const struct settings *settings);
void redis_desk_free(struct redis_desk *desk);

/* An answer, kept. items: count of them, of a list. */
struct desk_reply {
    enum redis_reply_type type;
    char *text;
    size_t len;
    int64_t number;
    struct desk_reply *items;
    size_t count;
};
void redis_desk_reply_fini(struct desk_reply *reply);
#define cleanup_desk_reply __attribute__((cleanup(redis_desk_reply_fini)))

/* Connects first where it has not. 0, or -errno with the cause; an error that Redis sends is -EIO. *out is to
 * be finished either way. */
int redis_desk_call(struct redis_desk *desk, int argc, const char *const *argv, struct desk_reply *out,
                    struct err *err);

/* All keys that match, given as a list of texts. */
int redis_desk_scan(struct redis_desk *desk, const char *pattern, struct desk_reply *out, struct err *err);

#endif
