/*
 * Commands and answers: msgpack maps over nng (policy.md, section 6). Pure. Layout in WIRE.md.
 *
 * Decoding first walks the claimed counts, sizes and depths against the bytes that are there: msgpack-c
 * alone would allocate 256 GiB for a 17-byte message. Unknown keys are skipped; a missing or ill-typed
 * required one is -EINVAL naming it.
 */
#ifndef DEFIB_PROTO_COMMAND_H
#define DEFIB_PROTO_COMMAND_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "proto/limits.h"
#include "proto/vocabulary.h"

enum { COMMAND_VERSION = 1 };

struct command_id {
    uint8_t bytes[LIMIT_COMMAND_ID_BYTES];
};

void command_id_format(const struct command_id *id, char out[LIMIT_COMMAND_ID_SIZE]);
int command_id_parse(const char *hex, struct command_id *out); /* 0 or -EINVAL */

/* A plain value. */
struct command {
    struct command_id id; /* for `outcome`: the id that is asked about */
    enum command_op op;
    uint64_t epoch;
    char host[LIMIT_NAME_SIZE]; /* the agent refuses one that is not its own */
    char container[LIMIT_NAME_SIZE];
    char container_id[LIMIT_ID_SIZE];
    char expect_started_at[LIMIT_TIME_SIZE]; /* Docker's State.StartedAt, byte for byte */
    int64_t attempt, max_attempts;
    int64_t unstored_attempt; /* `attempt`, where only the controller's own disk has it; 0: Redis has it */
    char reason[LIMIT_REASON_SIZE];
    int64_t stop_timeout_ms;
    int64_t ttl_ms;      /* counted from receipt */
    uint64_t sent_at_ms; /* sender's wall clock: for people only */
    uint64_t if_change;  /* inventory: nothing newer than this change: no payload; 0: send */
};

/* UNKNOWN: an agent that has only just started, or does not say, or a word of a later version. */
enum redis_word { REDIS_WORD_UNKNOWN, REDIS_WORD_UP, REDIS_WORD_DOWN };

/* Owns its payload. */
struct answer {
    struct command_id id;
    enum answer_code code;
    char detail[LIMIT_DETAIL_SIZE];
    char container_id[LIMIT_ID_SIZE];
    char started_at[LIMIT_TIME_SIZE]; /* of the incarnation that runs now */
    int64_t took_ms;
    uint64_t epoch; /* the highest that the agent knows */
    char host[LIMIT_NAME_SIZE];
    char agent[LIMIT_COMMAND_ID_SIZE]; /* random id of the agent's process */
    uint64_t change;                   /* the inventory's, see registration.h */
    enum redis_word redis;             /* whether Redis takes this agent's writes */
    char *payload;                     /* inventory: a registration document; else NULL */
    size_t payload_len;
};

void answer_init(struct answer *answer);
void answer_fini(struct answer *answer);

/* Fresh bytes, given. */
uint8_t *command_encode(const struct command *command, size_t *len);
uint8_t *answer_encode(const struct answer *answer, size_t *len);

/* Borrow the bytes. 0, or -EINVAL / -EMSGSIZE / -EPROTONOSUPPORT (another version) with one line. */
int command_decode(const uint8_t *bytes, size_t len, struct command *out, struct err *err);
int answer_decode(const uint8_t *bytes, size_t len, struct answer *out, struct err *err);

#endif
