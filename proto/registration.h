/*
 * An agent's registration and inventory: JSON under `health:agent:{host}`, and the payload of the answer to
 * `inventory` over nng. One document, both paths. Pure.
 *
 * Each entry is a heartbeat document without checks, metrics and extras (but for `check_details`: why a check
 * of the agent's is not well, also where the service beats for itself), with a `spec` beside it. Stopped
 * containers stand in it too, with their stop_class: this is how the controller learns of a death that no
 * beat tells any more. A container that is gone is not in it.
 */
#ifndef DEFIB_PROTO_REGISTRATION_H
#define DEFIB_PROTO_REGISTRATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/err.h"
#include "proto/container_spec.h"
#include "proto/heartbeat.h"
#include "proto/limits.h"

struct registration_entry {
    struct heartbeat beat;
    struct container_spec spec;
};

struct registration_counter {
    char name[LIMIT_WORD_SIZE]; /* "beats_published", "events_seen", … */
    int64_t value;
};

enum { REGISTRATION_COUNTERS = 32 };

struct registration {
    char host[LIMIT_NAME_SIZE];
    char url[LIMIT_URL_SIZE]; /* what a controller dials */
    char version[LIMIT_VERSION_SIZE];
    char agent[LIMIT_COMMAND_ID_SIZE]; /* random id of this agent's process */
    uint64_t change;                   /* grows whenever an entry's facts change; counts within `agent` */
    uint64_t seq;                      /* grows with every registration written */
    struct wall started_at;
    struct wall timestamp;
    char boot_id[LIMIT_ID_SIZE]; /* the host's */
    bool is_engine_up;           /* false: the entries are what it last knew */
    char engine_version[LIMIT_VERSION_SIZE];
    uint64_t epoch; /* the highest that this agent has accepted */
    struct registration_counter counters[REGISTRATION_COUNTERS];
    size_t counter_count;
    struct registration_entry *entries; /* owned */
    size_t count;
};

void registration_init(struct registration *registration);
void registration_fini(struct registration *registration);

/* As heartbeat_decode. An entry that does not decode is left out and counted in *bad (may be NULL), the
 * first one's cause in err although 0 is returned; only a document that is none fails. */
int registration_decode(const char *bytes, size_t len, struct registration *out, size_t *bad,
                        struct err *err);

/* Reads only host, agent and change, at a fraction of the cost: enough to know that nothing is new. The
 * encoder writes these three first. 0, or -EINVAL where they do not stand there: decode the whole. */
int registration_peek(const char *bytes, size_t len, char host[LIMIT_NAME_SIZE],
                      char agent[LIMIT_COMMAND_ID_SIZE], uint64_t *change);

/* Reads only the counters, wherever they stand before the entries; at most REGISTRATION_COUNTERS. Returns how
 * many: 0 where there are none, or what stands there is none. */
size_t registration_peek_counters(const char *bytes, size_t len,
                                  struct registration_counter out[REGISTRATION_COUNTERS]);

/* Fresh text, given. NULL where it would be over LIMIT_REGISTRATION_BYTES or _CONTAINERS. */
char *registration_encode(const struct registration *registration, size_t *len);

/* The same without holding all entries at once: those of `registration` are not looked at, `next` lends one
 * after the other, and is false behind the last. `expected` is their number, as a guess. */
struct registration_lent {
    const struct heartbeat *beat;
    const struct container_spec *spec;
};
typedef bool (*registration_next)(void *arg, struct registration_lent *out);
char *registration_encode_each(const struct registration *registration, registration_next next, void *arg,
                               size_t expected, size_t *len);

#endif
