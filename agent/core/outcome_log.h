/*
 * What this agent did with each command id, and the highest epoch it has seen: a bounded memory, and its
 * bytes on disk. Pure; agent/outcome_file.[ch] does the writing.
 *
 * The disk holds a sequence of checksummed records; the memory is nothing but the fold of them, so what a
 * restarted agent knows is what the dead one had written. One record tells all about one id and replaces the
 * one before: first the intent (code `accepted`), written and synced before Docker is asked, then the end.
 * An id that has only its intent when an agent starts is one whose end nobody saw.
 *
 * Record: 'D' 0xF1, kind (1 byte), payload length (2), payload, CRC-32 of all before (4). Numbers are little
 * endian; texts are a length (2) and bytes. Whatever is no whole record is passed over: a torn write loses
 * itself alone.
 */
#ifndef DEFIB_AGENT_CORE_OUTCOME_LOG_H
#define DEFIB_AGENT_CORE_OUTCOME_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "proto/command.h"
#include "proto/limits.h"
#include "proto/vocabulary.h"

enum { OUTCOME_LOG_CAPACITY = 4096, OUTCOME_RECORD_MAX = 1152 };

/* A plain value. */
struct outcome {
    struct command_id id;
    enum command_op op;
    enum answer_code code; /* ANSWER_ACCEPTED: only the intent is known */
    uint64_t epoch;
    int64_t unstored_attempt; /* as in command.h */
    struct wall at;
    int64_t took_ms;
    int64_t stop_timeout_ms;
    char container[LIMIT_NAME_SIZE];
    char container_id[LIMIT_ID_SIZE];
    char before[LIMIT_TIME_SIZE];     /* the incarnation that was there at the intent */
    char started_at[LIMIT_TIME_SIZE]; /* the one that runs afterwards; empty: not known */
    char detail[LIMIT_DETAIL_SIZE];
};

struct outcome_log;

/* Remembers `capacity` ids; the oldest that is over goes first, an open intent never: they may exceed it. */
struct outcome_log *outcome_log_new(size_t capacity);
void outcome_log_free(struct outcome_log *log);

/* Applies the records in the bytes in their order. Returns how many bytes belonged to no whole record; then
 * the file is to be written anew from outcome_log_image. */
size_t outcome_log_load(struct outcome_log *log, const uint8_t *bytes, size_t len);

/* Both remember, and give the record that is to be appended: its length, 0 where there is nothing new. */
size_t outcome_log_put(struct outcome_log *log, const struct outcome *outcome,
                       uint8_t out[OUTCOME_RECORD_MAX]);
size_t outcome_log_raise_epoch(struct outcome_log *log, uint64_t epoch, uint8_t out[OUTCOME_RECORD_MAX]);

bool outcome_log_find(const struct outcome_log *log, const struct command_id *id, struct outcome *out);
uint64_t outcome_log_epoch(const struct outcome_log *log);
size_t outcome_log_count(const struct outcome_log *log);

/* Calls visit for each id that has only its intent, oldest first. visit must not change the log. */
void outcome_log_each_open(const struct outcome_log *log,
                           void (*visit)(void *arg, const struct outcome *outcome), void *arg);

/* All that is remembered, as the shortest file. Fresh bytes, given. */
uint8_t *outcome_log_image(const struct outcome_log *log, size_t *len);
size_t outcome_log_image_bytes(const struct outcome_log *log);

#endif
