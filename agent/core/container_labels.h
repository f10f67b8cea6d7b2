/*
 * What a container's name and labels mean to this agent: whether it is watched (DEFIB_WATCH, defib.enable),
 * what it is called in the fleet, and its spec. Labels that cannot be right are complained of once for each
 * container, those of containers that are not watched as well: `autoheal=ture` would else be ignored without
 * a word.
 */
#ifndef DEFIB_AGENT_CORE_CONTAINER_LABELS_H
#define DEFIB_AGENT_CORE_CONTAINER_LABELS_H

#include <stdbool.h>

#include "agent/core/container_table.h"
#include "proto/container_spec.h"

struct container_labels;

/* config must outlive it. */
struct container_labels *container_labels_new(const struct container_table_config *config);
void container_labels_free(struct container_labels *reader);

bool container_labels_is_watched(const struct container_labels *reader, const char *docker_name,
                                 const struct label_list *labels);

/* Of one that is not watched. */
void container_labels_report_unwatched(struct container_labels *reader, const char *id,
                                       const char *docker_name, const struct label_list *labels);

/* The container is gone: its id is not remembered any more. */
void container_labels_forget(struct container_labels *reader, const char *id);

/* Fills the names of one that is watched. */
void container_labels_name(const struct container_labels *reader, const char *docker_name,
                           const struct label_list *labels, struct container *out);

/* Fills what labels say; *out was initialised. is_first: nothing was complained of yet. */
void container_labels_spec(const struct container_labels *reader, const char *name, bool is_first,
                           const struct label_list *labels, struct container_spec *out);

#endif
