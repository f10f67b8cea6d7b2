#include "controller/leader_epoch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/memory.h"
#include "controller/disk_file.h"
#include "proto/keys.h"

#define EPOCH_FILE "leader.epoch"

/* Doubles and JSON readers hold whole numbers up to here: a wild value from outside stays without effect. */
static const uint64_t EPOCH_MAX = (uint64_t)1 << 52;

enum { TEXT_SIZE = 32, FILE_MAX_BYTES = 64 };

struct leader_epoch {
    char *dir;
    struct decider_port port;
    struct redis_session *session;
    uint64_t value;
    bool is_counted; /* in Redis, since our start */
    bool has_healed;
};

static void adopt(struct leader_epoch *epoch, uint64_t value)
{
    if (value <= epoch->value || value > EPOCH_MAX) {
        return;
    }
    epoch->value = value;
    char text[TEXT_SIZE];
    int len = snprintf(text, sizeof text, "%" PRIu64 "\n", value);
    struct err err;
    if (disk_file_replace(epoch->dir, EPOCH_FILE, text, (size_t)len, &err) != 0) {
        log_warning("Cannot remember the epoch: %s", err.text);
    }
    decider_set_leader(epoch->port.decider, true, value, decider_port_now(&epoch->port));
    decider_port_told(&epoch->port);
}

static uint64_t read_disk(const char *dir)
{
    cleanup_free char *text = NULL;
    size_t len;
    struct err err;
    int result = disk_file_read(dir, EPOCH_FILE, FILE_MAX_BYTES, &text, &len, &err);
    if (result != 0) {
        if (result != -ENOENT) {
            log_warning("Cannot read the epoch: %s", err.text);
        }
        return 0;
    }
    char *end;
    uint64_t value = strtoull(text, &end, 10);
    return end == text || (*end != '\n' && *end != '\0') ? 0 : value;
}

struct leader_epoch *leader_epoch_open(const char *state_dir, const struct decider_port *port,
                                       struct redis_session *session)
{
    struct leader_epoch *epoch = memory_alloc(sizeof *epoch);
    epoch->dir = memory_copy_text(state_dir);
    epoch->port = *port;
    epoch->session = session;
    adopt(epoch, read_disk(state_dir) + 1);
    return epoch;
}

void leader_epoch_close(struct leader_epoch *epoch)
{
    if (epoch != NULL) {
        free(epoch->dir);
        free(epoch);
    }
}

uint64_t leader_epoch_now(const struct leader_epoch *epoch)
{
    return epoch->value;
}

void leader_epoch_heard(struct leader_epoch *epoch, uint64_t heard)
{
    adopt(epoch, heard);
}

static void on_counted(void *arg, const struct redis_reply *reply);

static void count_in(struct leader_epoch *epoch, uint64_t by)
{
    char text[TEXT_SIZE];
    snprintf(text, sizeof text, "%" PRIu64, by);
    const char *argv[] = {"INCRBY", KEY_LEADER_EPOCH, text};
    redis_session_command(epoch->session, on_counted, epoch, 3, argv, NULL);
}

/* Rubbish in the key: ours is as good as any that was there. Once for each return of Redis. */
static void heal(struct leader_epoch *epoch, const char *cause)
{
    log_warning("%s cannot be counted up: %s%s", KEY_LEADER_EPOCH, cause,
                epoch->has_healed ? "" : "; it is written anew");
    if (!epoch->has_healed) {
        epoch->has_healed = true;
        const char *argv[] = {"DEL", KEY_LEADER_EPOCH};
        redis_session_command(epoch->session, NULL, NULL, 2, argv, NULL);
        count_in(epoch, epoch->value);
    }
}

static void on_counted(void *arg, const struct redis_reply *reply)
{
    struct leader_epoch *epoch = arg;
    if (!redis_session_took_write(epoch->session, reply)) {
        if (reply != NULL && redis_session_is_writable(epoch->session)) {
            heal(epoch, redis_reply_text(reply, NULL));
        }
        return;
    }
    int64_t there = redis_reply_number(reply);
    if (redis_reply_type(reply) != REDIS_REPLY_NUMBER || there < 0 || (uint64_t)there > EPOCH_MAX) {
        heal(epoch, "its value is no epoch");
        return;
    }
    epoch->is_counted = true;
    if ((uint64_t)there < epoch->value) {
        count_in(epoch, epoch->value - (uint64_t)there);
    } else {
        adopt(epoch, (uint64_t)there);
    }
}

void leader_epoch_redis_back(struct leader_epoch *epoch)
{
    epoch->has_healed = false;
    count_in(epoch, epoch->is_counted ? 0 : 1);
}
