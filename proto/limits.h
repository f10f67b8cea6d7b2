/*
 * Upper bounds of everything that comes from outside, checked before anything is allocated. Pure.
 *
 * Sizes of text include the NUL. Text that is longer than its field is refused where it names a thing
 * (container, service, id) and cut where it only tells (reason, detail).
 */
#ifndef DEFIB_PROTO_LIMITS_H
#define DEFIB_PROTO_LIMITS_H

enum {
    LIMIT_NAME_SIZE = 256, /* container with prefix, service, instance, host */
    LIMIT_ID_SIZE = 72,    /* Docker's 64 hex digits */
    LIMIT_TIME_SIZE = 40,  /* Docker's StartedAt with nanoseconds, as it came */
    LIMIT_WORD_SIZE = 32,  /* status words, states, versions of engines */
    LIMIT_VERSION_SIZE = 64,
    LIMIT_REASON_SIZE = 64,
    LIMIT_DETAIL_SIZE = 256,
    LIMIT_URL_SIZE = 512,
    LIMIT_COMMAND_ID_BYTES = 16,
    LIMIT_COMMAND_ID_SIZE = 33, /* as hex */

    LIMIT_HEARTBEAT_BYTES = 64 * 1024,
    LIMIT_RESTART_STATE_BYTES = 16 * 1024,
    LIMIT_REGISTRATION_BYTES = 8 * 1024 * 1024,
    LIMIT_REGISTRATION_CONTAINERS = 10000,
    LIMIT_COMMAND_BYTES = 8 * 1024,
    LIMIT_ANSWER_BYTES = LIMIT_REGISTRATION_BYTES + 8 * 1024,
    LIMIT_ENGINE_BODY_BYTES = 32 * 1024 * 1024,
    LIMIT_EVENT_LINE_BYTES = 256 * 1024,
    LIMIT_JSON_DEPTH = 32,
    LIMIT_MSGPACK_DEPTH = 4,
    LIMIT_MSGPACK_ITEMS = 64, /* keys of a command or answer map */
    LIMIT_BACKOFF_STEPS = 16,
    LIMIT_ATTEMPTS = 1000000,
    LIMIT_DEPENDS_ON_SIZE = 1024
};

#endif
