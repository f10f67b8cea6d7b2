/*
 * The registration document: who this agent is, what it counted, and all of its containers, as the agent's
 * modules know them now. Does not block.
 */
#ifndef DEFIB_AGENT_INVENTORY_H
#define DEFIB_AGENT_INVENTORY_H

#include <stddef.h>
#include <stdint.h>

struct agent;

/* What the one who publishes has counted. */
struct inventory_counts {
    uint64_t registration_seq; /* of this document */
    uint64_t beat_seq;         /* of the last beat */
    int64_t beats;
    int64_t redis_losses;
};

/* Fresh text, given; NULL where it would be over LIMIT_REGISTRATION_BYTES. */
char *inventory_make(const struct agent *agent, const struct inventory_counts *counts, size_t *len);

#endif
