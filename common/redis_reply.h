/*
 * What Redis answered: hiredis' redisReply under a name of ours, so that its header is needed by nobody else.
 * Pure; every text and item is the reply's own.
 */
#ifndef DEFIB_COMMON_REDIS_REPLY_H
#define DEFIB_COMMON_REDIS_REPLY_H

#include <stddef.h>
#include <stdint.h>

struct redis_reply;

enum redis_reply_type {
    REDIS_REPLY_NONE, /* nil */
    REDIS_REPLY_TEXT, /* bulk or status */
    REDIS_REPLY_NUMBER,
    REDIS_REPLY_LIST,
    REDIS_REPLY_FAILURE /* an error that the server sent; its text is redis_reply_text */
};

enum redis_reply_type redis_reply_type(const struct redis_reply *reply); /* NULL is REDIS_REPLY_FAILURE */
/* TEXT and FAILURE, with a NUL behind it; else NULL and 0. len may be NULL. */
const char *redis_reply_text(const struct redis_reply *reply, size_t *len);
int64_t redis_reply_number(const struct redis_reply *reply);
size_t redis_reply_count(const struct redis_reply *reply); /* of a LIST, else 0 */
const struct redis_reply *redis_reply_at(const struct redis_reply *reply, size_t index);

#endif
