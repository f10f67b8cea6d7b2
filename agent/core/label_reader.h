/*
 * Labels on containers (contract.md) turned into identity and container_spec. Pure.
 *
 * A label whose value cannot be used is reported and treated as absent; one that begins with `defib.` and
 * that nobody knows is reported with the nearest known name.
 */
#ifndef DEFIB_AGENT_CORE_LABEL_READER_H
#define DEFIB_AGENT_CORE_LABEL_READER_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/container_spec.h"
#include "proto/limits.h"

enum { LABEL_NAME_SIZE = 128, LABEL_VALUE_SIZE = 1024, LABEL_LIST_MAX = 64 };

struct label {
    char *name;  /* owned */
    char *value; /* owned, cut to LABEL_VALUE_SIZE - 1 */
};

/* Those labels of a container that defib reads, at most LABEL_LIST_MAX. Zeroed is empty. */
struct label_list {
    struct label *items; /* owned */
    size_t count;
};

/* Keeps a copy where the label is one that defib reads or that begins with `defib.`; else does nothing. */
void label_list_add(struct label_list *list, const char *name, const char *value);
const char *label_list_get(const struct label_list *list, const char *name); /* NULL: not there */
void label_list_fini(struct label_list *list);

struct label_identity {
    char service[LIMIT_NAME_SIZE];
    char instance[LIMIT_NAME_SIZE];
};

/* Labels, else compose service and container number, else (name, name). `name` is the fleet-wide name. The
 * prefix of fleet-wide names stands before a compose number too: one project may run on many hosts. */
void label_reader_identity(const struct label_list *labels, const char *name, const char *prefix,
                           struct label_identity *out);

/* defib.enable: whether the labels ask to be watched, ask not to be, or say nothing. */
enum label_watch { LABEL_WATCH_UNSAID, LABEL_WATCH_YES, LABEL_WATCH_NO };
enum label_watch label_reader_watch(const struct label_list *labels);

/* One complaint, one line: names the label, its value and what is allowed. Borrowed for the call. */
typedef void (*label_complaint)(void *arg, const char *text);

/* Keeps a complaint of those who read other labels (probe_spec, metric_rules) in the spec, where it is the
 * first. */
void label_reader_keep_complaint(struct container_spec *spec, const char *text);

/* Fills what labels say in; other fields of *spec stay. `complain` may be NULL. */
void label_reader_spec(const struct label_list *labels, struct container_spec *spec,
                       label_complaint on_complaint, void *arg);

#endif
