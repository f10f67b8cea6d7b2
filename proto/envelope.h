/*
 * The frame round a command or an answer, with its MAC. Pure but for libcrypto. Layout in WIRE.md.
 *
 * msgpack array [version, direction, key id, mac, body]. The MAC is HMAC-SHA256 over version, direction,
 * key id, host and the body's exact bytes, each with its length; epoch and command id stand in the body.
 * Answers are bound to their request by the id in the body, which the caller compares. With no key on
 * either side key id and MAC are empty; a side that has keys refuses such a frame.
 */
#ifndef DEFIB_PROTO_ENVELOPE_H
#define DEFIB_PROTO_ENVELOPE_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "proto/limits.h"

enum envelope_direction { ENVELOPE_REQUEST = 1, ENVELOPE_ANSWER = 2 };

enum { KEY_RING_KEYS = 8, KEY_RING_SECRET_BYTES = 32, KEY_RING_ID_SIZE = 33 };

struct key_ring_key {
    char id[KEY_RING_ID_SIZE]; /* 1..32 of [A-Za-z0-9._-] */
    uint8_t secret[KEY_RING_SECRET_BYTES];
};

/* A plain value; the first key signs, all verify. count 0: unsigned. Wipe it with key_ring_wipe. */
struct key_ring {
    struct key_ring_key keys[KEY_RING_KEYS];
    size_t count;
};

/* One key a line: `id:64 hex digits`; blank lines and `#` comments are skipped. 0, or -EINVAL naming the
 * line (never the secret): also for no key at all, one id twice, more than KEY_RING_KEYS. */
int key_ring_parse(const char *text, size_t len, struct key_ring *out, struct err *err);
void key_ring_wipe(struct key_ring *ring);

/* Borrow all; fresh bytes, given. */
uint8_t *envelope_seal(const struct key_ring *ring, enum envelope_direction direction, const char *host,
                       const uint8_t *body, size_t body_len, size_t *len);

/* *body points into `bytes`. 0; -EINVAL: no frame; -EPROTONOSUPPORT: another version; -EACCES: wrong
 * direction, unknown key id, bad or missing MAC. Constant-time compare. */
int envelope_open(const struct key_ring *ring, enum envelope_direction direction, const char *host,
                  const uint8_t *bytes, size_t len, const uint8_t **body, size_t *body_len, struct err *err);

#endif
