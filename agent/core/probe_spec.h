/*
 * Probes as labels ask for them, taken apart. Pure.
 *
 *   defib.check.<name>=http://[host][:port][/path]     https://…     tcp://[host]:port
 *                      redis://[[user]:pass@][host][:port]           postgres://[user@][host][:port][/db]
 *                      exec:command with 'quoted words'
 *   defib.check.<name>.interval, .timeout, .retries, .start_period, .required, .status, .body, .ca
 *
 * An empty host is the container's own address. <name> has 1 to 63 letters, digits, `_` and `-`. A target
 * that cannot be used is reported and its check is not there; an option that cannot be used is reported and
 * has its default.
 */
#ifndef DEFIB_AGENT_CORE_PROBE_SPEC_H
#define DEFIB_AGENT_CORE_PROBE_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/core/label_reader.h"
#include "proto/limits.h"

enum {
    PROBE_NAME_SIZE = 64,
    PROBE_TEXT_SIZE = 512,
    PROBE_RANGES_MAX = 8,
    PROBE_WORDS_MAX = 64,
    PROBES_MAX = 16 /* of one container */
};

enum probe_kind { PROBE_HTTP, PROBE_HTTPS, PROBE_TCP, PROBE_REDIS, PROBE_POSTGRES, PROBE_EXEC, PROBE_KIND_N };

struct probe_range {
    int low, high;
};

/* A plain value. */
struct probe_spec {
    char name[PROBE_NAME_SIZE];
    enum probe_kind kind;
    char host[LIMIT_NAME_SIZE]; /* without brackets; "": the container's own address */
    int port;
    char path[PROBE_TEXT_SIZE];                                /* HTTP: with its query */
    char user[PROBE_NAME_SIZE * 2], password[LIMIT_NAME_SIZE]; /* Redis; Postgres: the user alone */
    char database[PROBE_NAME_SIZE * 2];                        /* Postgres */
    char command[LABEL_VALUE_SIZE]; /* exec: its words, each behind the other with a NUL */
    size_t word_count;
    struct probe_range statuses[PROBE_RANGES_MAX]; /* HTTP: what counts as well */
    size_t status_count;
    char body[LIMIT_NAME_SIZE];    /* HTTP: must stand in the body; "": anything */
    char ca_file[LIMIT_NAME_SIZE]; /* HTTPS; "": the system's */
    bool is_unverified;            /* HTTPS: ca=none */
    bool is_required;              /* failing, it makes the container unhealthy; else degraded */
    int64_t interval_ms, timeout_ms, start_period_ms;
    int retries; /* failures in a row that make it fail */
};

struct probe_list {
    struct probe_spec *items; /* owned */
    size_t count;
};

/* In the order of the labels; a fresh list (probe_spec_free). `on_complaint` may be NULL. */
void probe_spec_read(const struct label_list *labels, struct probe_list *out, label_complaint on_complaint,
                     void *arg);
void probe_spec_free(struct probe_list *list);

const char *probe_spec_kind_name(enum probe_kind kind); /* "http", "exec", … */

#endif
