#include "proto/msgpack_walk.h"

#include <errno.h>
#include <stdbool.h>

#include "proto/limits.h"

enum { MAX_VALUES = 8 * LIMIT_MSGPACK_ITEMS };

struct walk {
    const uint8_t *bytes;
    size_t len, at, values;
};

/* What a first byte announces: `fixed` bytes follow it; before the content stand `length_bytes` with its size
 * or count; a map's count is of pairs. */
enum shape { SHAPE_SCALAR, SHAPE_BYTES, SHAPE_ARRAY, SHAPE_MAP, SHAPE_INVALID };

struct lead {
    enum shape shape;
    unsigned length_bytes;
    uint64_t size; /* bytes after the length for BYTES and SCALAR; the count of a container without length */
};

static struct lead lead_of_fixed(uint8_t first)
{
    if (first < 0x80 || first >= 0xe0) {
        return (struct lead){SHAPE_SCALAR, 0, 0};
    }
    if (first < 0x90) {
        return (struct lead){SHAPE_MAP, 0, first & 0x0f};
    }
    if (first < 0xa0) {
        return (struct lead){SHAPE_ARRAY, 0, first & 0x0f};
    }
    return (struct lead){SHAPE_BYTES, 0, first & 0x1f};
}

static struct lead lead_of(uint8_t first)
{
    switch (first) {
    case 0xc0: /* nil */
    case 0xc2: /* false */
    case 0xc3: /* true */
        return (struct lead){SHAPE_SCALAR, 0, 0};
    case 0xc4: /* bin */
    case 0xc5:
    case 0xc6:
        return (struct lead){SHAPE_BYTES, 1u << (first - 0xc4), 0};
    case 0xc7: /* ext: its type is one byte more */
    case 0xc8:
    case 0xc9:
        return (struct lead){SHAPE_BYTES, 1u << (first - 0xc7), 1};
    case 0xca: /* float */
        return (struct lead){SHAPE_SCALAR, 0, 4};
    case 0xcb:
        return (struct lead){SHAPE_SCALAR, 0, 8};
    case 0xcc: /* uint */
    case 0xcd:
    case 0xce:
    case 0xcf:
        return (struct lead){SHAPE_SCALAR, 0, 1u << (first - 0xcc)};
    case 0xd0: /* int */
    case 0xd1:
    case 0xd2:
    case 0xd3:
        return (struct lead){SHAPE_SCALAR, 0, 1u << (first - 0xd0)};
    case 0xd4: /* fixext */
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
        return (struct lead){SHAPE_BYTES, 0, 1 + (1u << (first - 0xd4))};
    case 0xd9: /* str */
    case 0xda:
    case 0xdb:
        return (struct lead){SHAPE_BYTES, 1u << (first - 0xd9), 0};
    case 0xdc: /* array */
    case 0xdd:
        return (struct lead){SHAPE_ARRAY, 2u << (first - 0xdc), 0};
    case 0xde: /* map */
    case 0xdf:
        return (struct lead){SHAPE_MAP, 2u << (first - 0xde), 0};
    case 0xc1:
        return (struct lead){SHAPE_INVALID, 0, 0};
    default:
        return lead_of_fixed(first);
    }
}

static bool read_length(struct walk *walk, unsigned bytes, uint64_t *size)
{
    if (walk->len - walk->at < bytes) {
        return false;
    }
    uint64_t length = 0;
    for (unsigned each = 0; each < bytes; each++) {
        length = length << 8 | walk->bytes[walk->at++];
    }
    *size += length;
    return true;
}

static const char *walk_value(struct walk *walk, unsigned depth)
{
    if (walk->at == walk->len) {
        return "it ends early";
    }
    if (++walk->values > MAX_VALUES) {
        return "too many values";
    }
    struct lead lead = lead_of(walk->bytes[walk->at++]);
    if (lead.shape == SHAPE_INVALID) {
        return "no such type";
    }
    if (!read_length(walk, lead.length_bytes, &lead.size)) {
        return "it ends early";
    }
    if (lead.shape == SHAPE_SCALAR || lead.shape == SHAPE_BYTES) {
        if (lead.size > walk->len - walk->at) {
            return "it ends early";
        }
        walk->at += (size_t)lead.size;
        return NULL;
    }
    if (lead.size > LIMIT_MSGPACK_ITEMS) {
        return "too many elements";
    }
    if (depth == LIMIT_MSGPACK_DEPTH) {
        return "too deeply nested";
    }
    uint64_t count = lead.shape == SHAPE_MAP ? 2 * lead.size : lead.size;
    const char *problem = NULL;
    for (uint64_t each = 0; each < count && problem == NULL; each++) {
        problem = walk_value(walk, depth + 1);
    }
    return problem;
}

int msgpack_walk_check(const uint8_t *bytes, size_t len, struct err *err)
{
    struct walk walk = {.bytes = bytes, .len = len};
    const char *problem = walk_value(&walk, 0);
    if (problem == NULL && walk.at != len) {
        problem = "bytes follow it";
    }
    return problem == NULL ? 0 : err_set(err, EINVAL, "no msgpack at byte %zu: %s", walk.at, problem);
}
