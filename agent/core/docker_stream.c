#include "agent/core/docker_stream.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "proto/text.h"

enum { HEAD_BYTES = 8 };

/* A window over the end: the oldest bytes fall out. */
struct tail {
    char *out;
    size_t size, len; /* size without the NUL */
};

static void add(struct tail *tail, const char *bytes, size_t len)
{
    if (len >= tail->size) {
        memcpy(tail->out, bytes + len - tail->size, tail->size);
        tail->len = tail->size;
        return;
    }
    if (tail->len + len > tail->size) {
        size_t drop = tail->len + len - tail->size;
        memmove(tail->out, tail->out + drop, tail->len - drop);
        tail->len -= drop;
    }
    memcpy(tail->out + tail->len, bytes, len);
    tail->len += len;
}

static bool is_head(const unsigned char *head)
{
    return head[0] <= 2 && head[1] == 0 && head[2] == 0 && head[3] == 0;
}

static void clean(struct tail *tail)
{
    size_t start = 0;
    while (start < tail->len && start < 4 && ((unsigned char)tail->out[start] & 0xc0) == 0x80) {
        start++;
    }
    memmove(tail->out, tail->out + start, tail->len - start);
    tail->len -= start;
    for (size_t i = 0; i < tail->len; i++) {
        unsigned char byte = (unsigned char)tail->out[i];
        bool is_control = (byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f;
        tail->out[i] = (char)(is_control ? ' ' : byte);
    }
    tail->out[tail->len] = '\0';
}

size_t docker_stream_tail(const char *bytes, size_t len, char *out, size_t size)
{
    struct tail tail = {out, size - 1, 0};
    size_t at = 0;
    while (len - at >= HEAD_BYTES && is_head((const unsigned char *)bytes + at)) {
        const unsigned char *head = (const unsigned char *)bytes + at;
        size_t body = (size_t)head[4] << 24 | (size_t)head[5] << 16 | (size_t)head[6] << 8 | head[7];
        at += HEAD_BYTES;
        body = body < len - at ? body : len - at;
        add(&tail, bytes + at, body);
        at += body;
    }
    add(&tail, bytes + at, len - at);
    clean(&tail);
    return tail.len;
}

size_t docker_stream_last_line(const char *text, char *out, size_t size)
{
    size_t end = strlen(text);
    while (end > 0 && (text[end - 1] == '\n' || text[end - 1] == '\r' || text[end - 1] == ' ')) {
        end--;
    }
    size_t start = end;
    while (start > 0 && text[start - 1] != '\n') {
        start--;
    }
    return text_cut(out, size, text + start, end - start);
}
