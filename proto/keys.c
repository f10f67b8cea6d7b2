#include "proto/keys.h"

#include <assert.h>
#include <string.h>

#include "proto/text.h"

static size_t append(char out[KEY_SIZE], size_t len, const char *part)
{
    size_t part_len = strlen(part);
    assert(len + part_len < KEY_SIZE);
    memcpy(out + len, part, part_len + 1);
    return len + part_len;
}

static size_t append_name(char out[KEY_SIZE], size_t len, const char *name)
{
    assert(strnlen(name, LIMIT_NAME_SIZE) < LIMIT_NAME_SIZE);
    return append(out, len, name);
}

size_t key_heartbeat(char out[KEY_SIZE], const char *service, const char *instance)
{
    size_t len = append_name(out, append(out, 0, KEY_HEARTBEAT_PREFIX), service);
    return append_name(out, append(out, len, ":"), instance);
}

size_t key_restart(char out[KEY_SIZE], const char *container)
{
    return append_name(out, append(out, 0, KEY_RESTART_PREFIX), container);
}

size_t key_agent(char out[KEY_SIZE], const char *host)
{
    return append_name(out, append(out, 0, KEY_AGENT_PREFIX), host);
}

size_t key_intent(char out[KEY_SIZE], const char *container)
{
    return append_name(out, append(out, 0, KEY_INTENT_PREFIX), container);
}

size_t key_controller(char out[KEY_SIZE], const char *id)
{
    return append_name(out, append(out, 0, KEY_CONTROLLER_PREFIX), id);
}

size_t key_hold(char out[KEY_SIZE], const char *kind, const char *name)
{
    size_t len = append_name(out, append(out, 0, KEY_HOLD_PREFIX), kind);
    return append_name(out, append(out, len, ":"), name);
}

static bool copy_name(char out[LIMIT_NAME_SIZE], const char *name, size_t len)
{
    if (len >= LIMIT_NAME_SIZE || !text_is_name(name, len)) {
        return false;
    }
    memcpy(out, name, len);
    out[len] = '\0';
    return true;
}

bool key_split_heartbeat(const char *key, size_t len, char service[LIMIT_NAME_SIZE],
                         char instance[LIMIT_NAME_SIZE])
{
    size_t start = strlen(KEY_HEARTBEAT_PREFIX);
    if (len < start || memcmp(key, KEY_HEARTBEAT_PREFIX, start) != 0) {
        return false;
    }
    const char *colon = memrchr(key + start, ':', len - start);
    if (colon == NULL) {
        return false;
    }
    return copy_name(service, key + start, (size_t)(colon - key) - start) &&
           copy_name(instance, colon + 1, (size_t)(key + len - colon) - 1);
}

bool key_strip_prefix(const char *key, size_t len, const char *prefix, char name[LIMIT_NAME_SIZE])
{
    size_t start = strlen(prefix);
    return len >= start && memcmp(key, prefix, start) == 0 && copy_name(name, key + start, len - start);
}
