#include "common/redis_reply.h"

#include <stdbool.h>

#include <hiredis/hiredis.h>

static const redisReply *raw(const struct redis_reply *reply)
{
    return (const redisReply *)reply;
}

enum redis_reply_type redis_reply_type(const struct redis_reply *reply)
{
    if (reply == NULL) {
        return REDIS_REPLY_FAILURE;
    }
    switch (raw(reply)->type) {
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
        return REDIS_REPLY_TEXT;
    case REDIS_REPLY_INTEGER:
        return REDIS_REPLY_NUMBER;
    case REDIS_REPLY_ARRAY:
        return REDIS_REPLY_LIST;
    case REDIS_REPLY_NIL:
        return REDIS_REPLY_NONE;
    default:
        return REDIS_REPLY_FAILURE;
    }
}

const char *redis_reply_text(const struct redis_reply *reply, size_t *len)
{
    enum redis_reply_type type = redis_reply_type(reply);
    bool has_text = reply != NULL && (type == REDIS_REPLY_TEXT || type == REDIS_REPLY_FAILURE);
    if (len != NULL) {
        *len = has_text ? (size_t)raw(reply)->len : 0;
    }
    return has_text ? raw(reply)->str : NULL;
}

int64_t redis_reply_number(const struct redis_reply *reply)
{
    return redis_reply_type(reply) == REDIS_REPLY_NUMBER ? raw(reply)->integer : 0;
}

size_t redis_reply_count(const struct redis_reply *reply)
{
    return redis_reply_type(reply) == REDIS_REPLY_LIST ? raw(reply)->elements : 0;
}

const struct redis_reply *redis_reply_at(const struct redis_reply *reply, size_t index)
{
    return index < redis_reply_count(reply) ? (const struct redis_reply *)raw(reply)->element[index] : NULL;
}
