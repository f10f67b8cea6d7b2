/* The frame round every message, with the vectors' keys and without, and the key file's text. */
#include "common/memory.h"
#include "proto/envelope.h"
#include "tests/fuzz/fuzz.h"

/* As in proto/vectors/envelope/keys.txt. */
static const char KEYS[] = "new:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
                           "old:6465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f80818283\n";

static void open_frame(const struct key_ring *ring, const uint8_t *bytes, size_t len)
{
    const uint8_t *body;
    size_t body_len;
    struct err err;
    if (envelope_open(ring, ENVELOPE_REQUEST, "host-1", bytes, len, &body, &body_len, &err) == 0) {
        fuzz_must(body >= bytes && body_len <= len && body + body_len <= bytes + len,
                  "the body lies outside of the message");
    }
}

/* Any body comes back from its frame, and from no other host's, nor the other way round. */
static void seal_and_open(const struct key_ring *ring, const uint8_t *bytes, size_t len)
{
    const uint8_t *body;
    size_t body_len, frame_len;
    struct err err;
    if (len > LIMIT_COMMAND_BYTES) {
        return;
    }
    cleanup_free uint8_t *frame = envelope_seal(ring, ENVELOPE_REQUEST, "host-1", bytes, len, &frame_len);
    fuzz_must(envelope_open(ring, ENVELOPE_REQUEST, "host-1", frame, frame_len, &body, &body_len, &err) == 0,
              "what was sealed does not open");
    fuzz_must_equal(body, body_len, bytes, len, "what was sealed opens as something else");
    fuzz_must(
        envelope_open(ring, ENVELOPE_REQUEST, "host-2", frame, frame_len, &body, &body_len, &err) != 0 &&
            envelope_open(ring, ENVELOPE_ANSWER, "host-1", frame, frame_len, &body, &body_len, &err) != 0,
        "a frame opens for another host or direction");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const struct key_ring NONE;
    struct key_ring ring, parsed;
    struct err err;
    fuzz_must(key_ring_parse(KEYS, sizeof KEYS - 1, &ring, &err) == 0, "the keys do not parse");
    open_frame(&ring, bytes, len);
    open_frame(&NONE, bytes, len);
    seal_and_open(&ring, bytes, len);
    if (key_ring_parse((const char *)bytes, len, &parsed, &err) == 0) {
        fuzz_must(parsed.count >= 1 && parsed.count <= KEY_RING_KEYS, "an empty or overfull ring");
        seal_and_open(&parsed, bytes, len);
    }
    return 0;
}
