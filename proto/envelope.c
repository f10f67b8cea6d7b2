#include "proto/envelope.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <msgpack.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "proto/msgpack_walk.h"
#include "proto/text.h"

enum { FRAME_VERSION = 1, FRAME_PARTS = 5, MAC_BYTES = 32 };

/* ---- keys ---- */

static bool is_key_id(const char *id, size_t len)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    return len > 0 && len < KEY_RING_ID_SIZE && strspn(id, allowed) >= len;
}

static unsigned hex_value(char digit)
{
    return digit <= '9' ? (unsigned)(digit - '0') : (unsigned)((digit | 0x20) - 'a') + 10;
}

static void read_secret(const char *hex, uint8_t secret[KEY_RING_SECRET_BYTES])
{
    for (size_t each = 0; each < KEY_RING_SECRET_BYTES; each++) {
        secret[each] = (uint8_t)(hex_value(hex[2 * each]) << 4 | hex_value(hex[2 * each + 1]));
    }
}

static const struct key_ring_key *find_key(const struct key_ring *ring, const char *id, size_t len)
{
    for (size_t each = 0; each < ring->count; each++) {
        const struct key_ring_key *key = &ring->keys[each];
        if (strlen(key->id) == len && memcmp(key->id, id, len) == 0) {
            return key;
        }
    }
    return NULL;
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r';
}

/* Blanks at both ends do not count. */
static int parse_line(const char *line, size_t len, size_t number, struct key_ring *ring, struct err *err)
{
    while (len > 0 && is_blank(line[0])) {
        line++;
        len--;
    }
    while (len > 0 && is_blank(line[len - 1])) {
        len--;
    }
    if (len == 0 || line[0] == '#') {
        return 0;
    }
    const char *colon = memchr(line, ':', len);
    size_t id_len = colon == NULL ? 0 : (size_t)(colon - line);
    if (colon == NULL || !is_key_id(line, id_len)) {
        return err_set(err, EINVAL, "line %zu: wanted id:secret, the id 1 to 32 of A-Z a-z 0-9 . _ -",
                       number);
    }
    size_t secret_len = len - id_len - 1;
    if (secret_len != 2 * KEY_RING_SECRET_BYTES || !text_is_hex(colon + 1, secret_len)) {
        return err_set(err, EINVAL, "line %zu: the secret is not 64 hex digits", number);
    }
    if (find_key(ring, line, id_len) != NULL) {
        return err_set(err, EINVAL, "line %zu: an id that stood before", number);
    }
    if (ring->count == KEY_RING_KEYS) {
        return err_set(err, EINVAL, "line %zu: more than %d keys", number, KEY_RING_KEYS);
    }
    struct key_ring_key *key = &ring->keys[ring->count++];
    memcpy(key->id, line, id_len);
    key->id[id_len] = '\0';
    read_secret(colon + 1, key->secret);
    return 0;
}

int key_ring_parse(const char *text, size_t len, struct key_ring *out, struct err *err)
{
    memset(out, 0, sizeof *out);
    int status = 0;
    size_t number = 0;
    for (size_t at = 0; at < len && status == 0;) {
        const char *newline = memchr(text + at, '\n', len - at);
        size_t line_len = newline == NULL ? len - at : (size_t)(newline - text) - at;
        status = parse_line(text + at, line_len, ++number, out, err);
        at += line_len + 1;
    }
    if (status == 0 && out->count == 0) {
        status = err_set(err, EINVAL, "no key in it");
    }
    if (status != 0) {
        key_ring_wipe(out);
    }
    return status;
}

/* ---- the MAC ---- */

/* libcrypto fails in these only without memory or without its default provider. */
static void must(bool is_well)
{
    if (!is_well) {
        abort();
    }
}

/* One for each thread: to look up the algorithms, and to set the same key, anew each time costs more than the
 * MAC itself. A tool, no state: what it holds changes no result, and wiping a ring wipes the key in it. */
struct mac_tool {
    EVP_MAC_CTX *context;
    uint8_t secret[KEY_RING_SECRET_BYTES]; /* that the context is set to */
};

static struct mac_tool *mac_tool(void)
{
    static _Thread_local struct mac_tool tool;
    if (tool.context == NULL) {
        char digest[] = "SHA256";
        const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("digest", digest, 0),
                                     OSSL_PARAM_construct_end()};
        EVP_MAC *algorithm = EVP_MAC_fetch(NULL, "HMAC", NULL);
        tool.context = algorithm == NULL ? NULL : EVP_MAC_CTX_new(algorithm);
        must(tool.context != NULL &&
             EVP_MAC_init(tool.context, tool.secret, sizeof tool.secret, params) == 1);
        EVP_MAC_free(algorithm);
    }
    return &tool;
}

static EVP_MAC_CTX *start_mac(const uint8_t secret[KEY_RING_SECRET_BYTES])
{
    struct mac_tool *tool = mac_tool();
    bool is_set = CRYPTO_memcmp(tool->secret, secret, sizeof tool->secret) == 0;
    memcpy(tool->secret, secret, sizeof tool->secret);
    must(EVP_MAC_init(tool->context, is_set ? NULL : secret, is_set ? 0 : sizeof tool->secret, NULL) == 1);
    return tool->context;
}

void key_ring_wipe(struct key_ring *ring)
{
    static const uint8_t NOTHING[KEY_RING_SECRET_BYTES];
    OPENSSL_cleanse(ring, sizeof *ring);
    start_mac(NOTHING);
}

static size_t put_length(uint8_t *out, size_t len)
{
    for (unsigned each = 0; each < 4; each++) {
        out[each] = (uint8_t)(len >> (24 - 8 * each));
    }
    return 4;
}

static size_t put_part(uint8_t *out, const void *bytes, size_t len)
{
    size_t at = put_length(out, len);
    memcpy(out + at, bytes, len);
    return at + len;
}

/* Over version, direction, key id, host and body, each behind its length. */
static void sign(const struct key_ring_key *key, enum envelope_direction direction, const char *host,
                 const uint8_t *body, size_t body_len, uint8_t mac[MAC_BYTES])
{
    uint8_t head[3 * 4 + 2 + KEY_RING_ID_SIZE + 4], length[4];
    uint8_t version = FRAME_VERSION;
    uint8_t way = (uint8_t)direction;
    size_t at = put_part(head, &version, 1);
    at += put_part(head + at, &way, 1);
    at += put_part(head + at, key->id, strlen(key->id));
    at += put_length(head + at, strlen(host));
    put_length(length, body_len);
    EVP_MAC_CTX *context = start_mac(key->secret);
    must(EVP_MAC_update(context, head, at) == 1);
    must(EVP_MAC_update(context, (const uint8_t *)host, strlen(host)) == 1);
    must(EVP_MAC_update(context, length, sizeof length) == 1);
    must(EVP_MAC_update(context, body, body_len) == 1);
    size_t len = 0;
    must(EVP_MAC_final(context, mac, &len, MAC_BYTES) == 1 && len == MAC_BYTES);
}

/* ---- sealing ---- */

static const struct key_ring_key *signing_key(const struct key_ring *ring)
{
    return ring == NULL || ring->count == 0 ? NULL : &ring->keys[0];
}

uint8_t *envelope_seal(const struct key_ring *ring, enum envelope_direction direction, const char *host,
                       const uint8_t *body, size_t body_len, size_t *len)
{
    const struct key_ring_key *key = signing_key(ring);
    const char *key_id = key == NULL ? "" : key->id;
    uint8_t mac[MAC_BYTES];
    if (key != NULL) {
        sign(key, direction, host, body, body_len, mac);
    }
    msgpack_sbuffer buffer;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer packer;
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, FRAME_PARTS);
    msgpack_pack_uint8(&packer, FRAME_VERSION);
    msgpack_pack_uint8(&packer, (uint8_t)direction);
    msgpack_pack_str(&packer, strlen(key_id));
    msgpack_pack_str_body(&packer, key_id, strlen(key_id));
    msgpack_pack_bin(&packer, key == NULL ? 0 : MAC_BYTES);
    msgpack_pack_bin_body(&packer, mac, key == NULL ? 0 : MAC_BYTES);
    msgpack_pack_bin(&packer, body_len);
    msgpack_pack_bin_body(&packer, body, body_len);
    *len = buffer.size;
    return (uint8_t *)msgpack_sbuffer_release(&buffer);
}

/* ---- opening ---- */

struct part {
    const void *bytes;
    size_t len;
};

struct frame {
    uint64_t version, direction;
    struct part key_id, mac, body; /* borrowed from the bytes */
};

static int read_frame(const msgpack_object *root, struct frame *out, struct err *err)
{
    if (root->type != MSGPACK_OBJECT_ARRAY || root->via.array.size < 1 ||
        root->via.array.ptr[0].type != MSGPACK_OBJECT_POSITIVE_INTEGER) {
        return err_set(err, EINVAL, "no frame");
    }
    const msgpack_object *parts = root->via.array.ptr;
    out->version = parts[0].via.u64;
    if (out->version != FRAME_VERSION) {
        return err_set(err, EPROTONOSUPPORT, "frame version %llu, not %d", (unsigned long long)out->version,
                       FRAME_VERSION);
    }
    if (root->via.array.size != FRAME_PARTS || parts[1].type != MSGPACK_OBJECT_POSITIVE_INTEGER ||
        parts[2].type != MSGPACK_OBJECT_STR || parts[3].type != MSGPACK_OBJECT_BIN ||
        parts[4].type != MSGPACK_OBJECT_BIN) {
        return err_set(err, EINVAL, "no frame");
    }
    out->direction = parts[1].via.u64;
    out->key_id = (struct part){parts[2].via.str.ptr, parts[2].via.str.size};
    out->mac = (struct part){parts[3].via.bin.ptr, parts[3].via.bin.size};
    out->body = (struct part){parts[4].via.bin.ptr, parts[4].via.bin.size};
    return 0;
}

/* msgpack-c leaves texts and binaries where they are in the bytes: the frame outlives what it unpacked. */
static int unpack_frame(const uint8_t *bytes, size_t len, struct frame *out, struct err *err)
{
    int status = msgpack_walk_check(bytes, len, err);
    if (status != 0) {
        return status;
    }
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    size_t offset = 0;
    if (msgpack_unpack_next(&unpacked, (const char *)bytes, len, &offset) == MSGPACK_UNPACK_SUCCESS) {
        status = read_frame(&unpacked.data, out, err);
    } else {
        status = err_set(err, EINVAL, "no msgpack");
    }
    msgpack_unpacked_destroy(&unpacked);
    return status;
}

static int check_mac(const struct key_ring *ring, enum envelope_direction direction, const char *host,
                     const struct frame *frame, struct err *err)
{
    bool has_keys = signing_key(ring) != NULL;
    bool is_signed = frame->key_id.len > 0 || frame->mac.len > 0;
    if (!has_keys && !is_signed) {
        return 0;
    }
    if (!is_signed) {
        return err_set(err, EACCES, "not signed");
    }
    const struct key_ring_key *key = has_keys ? find_key(ring, frame->key_id.bytes, frame->key_id.len) : NULL;
    if (key == NULL) {
        char excerpt[TEXT_EXCERPT_SIZE];
        text_excerpt(excerpt, frame->key_id.bytes, frame->key_id.len);
        return err_set(err, EACCES, "signed with a key that is not here: %s", excerpt);
    }
    uint8_t mac[MAC_BYTES];
    sign(key, direction, host, frame->body.bytes, frame->body.len, mac);
    if (frame->mac.len != MAC_BYTES || CRYPTO_memcmp(mac, frame->mac.bytes, MAC_BYTES) != 0) {
        return err_set(err, EACCES, "the signature is not that of key %s for host %s", key->id, host);
    }
    return 0;
}

int envelope_open(const struct key_ring *ring, enum envelope_direction direction, const char *host,
                  const uint8_t *bytes, size_t len, const uint8_t **body, size_t *body_len, struct err *err)
{
    struct frame frame = {.direction = 0};
    int status = unpack_frame(bytes, len, &frame, err);
    if (status == 0 && frame.direction != (uint64_t)direction) {
        status =
            err_set(err, EACCES, "direction %llu, not %d", (unsigned long long)frame.direction, direction);
    }
    if (status == 0) {
        status = check_mac(ring, direction, host, &frame, err);
    }
    if (status != 0) {
        err_wrap(err, "frame");
        return status;
    }
    *body = frame.body.bytes;
    *body_len = frame.body.len;
    return 0;
}
