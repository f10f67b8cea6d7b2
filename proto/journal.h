/*
 * What the decider was told, as it stands in `health:events` beside what it decided: entries of kind
 * `inputs`, each a list of these. Enough of them to decide everything once more (defib-controller --replay).
 * Pure.
 *
 * Only what the policy moved for is written. What goes on as before is not: an agent that is heard and has
 * nothing new, a service that says the same again. Where such a row ends, `heard` says when it was last
 * heard.
 */
#ifndef DEFIB_PROTO_JOURNAL_H
#define DEFIB_PROTO_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/err.h"
#include "proto/heartbeat.h"
#include "proto/registration.h"
#include "proto/restart_state.h"

#define JOURNAL_KIND_WORDS(X)                                                                             \
    X(START, "start")         /* a controller begins, or writes down anew what it knows */                \
    X(BEAT, "beat")           /* of an agent or a service */                                              \
    X(AGAIN, "again")         /* a beat that says what the last one of this container said */             \
    X(INVENTORY, "inventory") /* a registration: the entries that changed, the names that are gone */     \
    X(UNCHANGED, "unchanged") /* an agent's word that nothing changed */                                  \
    X(HEARD, "heard")         /* a silence: the last word of this host and path, or service, came then */ \
    X(REDIS, "redis")                                                                                     \
    X(KEY, "key")                                                                                         \
    X(STATE, "state")                                                                                     \
    X(RESET, "reset")                                                                                     \
    X(STORED, "stored")                                                                                   \
    X(SENT, "sent") /* no input: the command that left, and cuts in two what came */                      \
    X(ANSWER, "answer")                                                                                   \
    X(HOLD, "hold")                                                                                       \
    X(LEADER, "leader")                                                                                   \
    X(FORGET, "forget") /* an operator took this host away */                                             \
    X(TILT, "tilt")     /* the clocks parted, or the loop stood still since `since` */                    \
    X(TICK, "tick")     /* that did something; due at `since` */                                          \
    X(TICKS, "ticks")   /* earlier ones that did nothing but look */

#define JOURNAL_MEMBER(member, word) JOURNAL_##member,
enum journal_kind { JOURNAL_KIND_WORDS(JOURNAL_MEMBER) JOURNAL_KIND_N };
#undef JOURNAL_MEMBER

/* Where a row of words ends: by Redis, over nng, or its host's word that its inventory stands. */
enum { JOURNAL_PATHS = 3 };

/* … and of one container. */
enum { JOURNAL_SERVICE, JOURNAL_AGENT };

struct journal_tick {
    struct mono at, due;
};

/* Texts are borrowed: by the caller's data when writing, from `tree` when read; "" where not said. What the
 * pointers point to is borrowed when writing and owned when read. */
struct journal_input {
    enum journal_kind kind;
    struct mono at;
    struct wall wall; /* 0: that call takes none */
    const char *container, *host, *agent;
    const char *hold, *name; /* HOLD: "container", its name; HEARD: the service's key */
    const char *id, *detail; /* ANSWER: the command; the answer's detail */
    uint64_t change, seq;    /* INVENTORY, UNCHANGED; AGAIN: seq */
    uint64_t word_seq;       /* INVENTORY: the highest of its entries, the unwritten ones included */
    uint64_t token;          /* STORED; START: the last one given */
    uint64_t epoch;          /* LEADER, START */
    uint64_t seed[2];        /* START */
    int64_t path;            /* INVENTORY, UNCHANGED, HEARD */
    int64_t value;           /* REDIS, KEY: the enum's; else a truth */
    int64_t status, code;    /* ANSWER: code -1 where no answer came */
    struct mono since;       /* HEARD, TILT */
    struct mono check_at, hosts_at, settled_at, redis_since; /* START */
    bool have_others_led;                                    /* START: before it leads now */
    bool is_redis_up, is_leader;                             /* START */
    struct wall until, stamp;          /* HOLD; BEAT, AGAIN: its timestamp with milliseconds */
    const char *settings;              /* START, writing: a JSON object */
    const struct cJSON *set;           /* START, read: the same */
    struct heartbeat *beat;            /* BEAT */
    struct registration *registration; /* INVENTORY: head and entries … */
    const bool *is_changed;            /* … writing: of these only the marked ones */
    const char **gone;                 /* INVENTORY: names that it leaves out for the first time */
    size_t gone_count;
    struct journal_tick *ticks; /* TICKS, oldest first */
    size_t tick_count;
    struct restart_state *state; /* STATE */
    struct cJSON *tree;          /* read: owns the texts */
};

void journal_input_init(struct journal_input *input, enum journal_kind kind, struct mono at,
                        struct wall wall);
void journal_input_fini(struct journal_input *input); /* of one that was read */

const char *journal_kind_name(enum journal_kind kind);

/* Fresh JSON text, given. */
char *journal_input_encode(const struct journal_input *input, size_t *len);

/* Takes the tree, in any case. 0, or -EINVAL naming the field; *out is then empty. */
int journal_input_from_json(struct cJSON *tree, struct journal_input *out, struct err *err);

/* The head of a document of kind `inputs`, whose list is there then: 0, or -EINVAL naming the field. */
enum { JOURNAL_RUN_SIZE = 32 };
int journal_document_head(const struct cJSON *document, char run[JOURNAL_RUN_SIZE], uint64_t *part,
                          struct err *err);

/* Unlinks the first of its list, given; NULL: it is empty. */
struct cJSON *journal_document_next(struct cJSON *document);

/* What an export put round a document, as {"data": document}; else the same. Borrowed. */
struct cJSON *journal_document_within(struct cJSON *document);

/* A text member, borrowed; NULL: none. */
const char *journal_text(const struct cJSON *object, const char *name);

bool journal_is_same(const struct cJSON *left, const struct cJSON *right);

#endif
