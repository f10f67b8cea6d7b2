/*
 * What the checks of `defibctl doctor` share: how a finding is told. Each check is a function of its part
 * (doctor_command: the controller and its fleet; doctor_redis: Redis, and what agents left there;
 * doctor_files: keys and certificates).
 */
#ifndef DEFIB_CONTROLLER_CTL_DOCTOR_H
#define DEFIB_CONTROLLER_CTL_DOCTOR_H

#include <stdint.h>

#include "controller/ctl/ctl.h"
#include "proto/json_writer.h"

enum doctor_level { DOCTOR_FINE, DOCTOR_NOTE, DOCTOR_WARNING, DOCTOR_BAD };

struct doctor {
    struct ctl *ctl;
    struct json_writer writer; /* --json */
    size_t findings;           /* WARNING and BAD */
    int64_t ttl_ms;            /* HEARTBEAT_TTL_SECS of the controller; 0: not known */
};

/* check: a word of ours for scripts; remedy: what to do, "" where nothing is to be done. */
void doctor_say(struct doctor *doctor, enum doctor_level level, const char *check, const char *remedy,
                const char *format, ...) __attribute__((format(printf, 5, 6)));

/* The other one's clock, read just now, against ours. */
void doctor_check_clock(struct doctor *doctor, const char *whose, int64_t theirs_ms);

void doctor_redis_check(struct doctor *doctor);
void doctor_files_check(struct doctor *doctor);

#endif
