/*
 * The reader for those who want a heartbeat's facts alone, at a tenth of the cost. Pure.
 *
 * It knows one shape, which heartbeat_encode gives to what an agent says: plain ASCII, no blank anywhere,
 * known fields in their order, each with a value of the plainest spelling. Whatever differs from that by a
 * byte is left to heartbeat_decode, so that both always say the same; tests/fuzz/fuzz_heartbeat_facts.c looks
 * for a document of which they do not.
 */
#ifndef DEFIB_PROTO_HEARTBEAT_FACTS_H
#define DEFIB_PROTO_HEARTBEAT_FACTS_H

#include <stddef.h>

#include "common/err.h"
#include "proto/heartbeat.h"

/* As heartbeat_decode, but the trees (checks, metrics, extra) may be NULL although the document has them:
 * do not encode what comes of it. */
int heartbeat_facts_decode(const char *bytes, size_t len, struct heartbeat *out, struct err *err);

#endif
