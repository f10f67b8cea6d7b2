#include "agent/core/container_labels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "agent/core/metric_rules.h"
#include "agent/core/probe_spec.h"
#include "common/memory.h"

/* One that is not watched, whose labels were found odd. */
struct odd_labels {
    char id[LIMIT_ID_SIZE];
    UT_hash_handle hh;
};

struct container_labels {
    const struct container_table_config *config;
    struct odd_labels *odd; /* by id: told already */
};

struct container_labels *container_labels_new(const struct container_table_config *config)
{
    struct container_labels *reader = memory_alloc(sizeof *reader);
    reader->config = config;
    return reader;
}

static void drop(struct container_labels *reader, struct odd_labels *odd)
{
    HASH_DEL(reader->odd, odd);
    free(odd);
}

void container_labels_free(struct container_labels *reader)
{
    struct odd_labels *odd, *next;
    HASH_ITER (hh, reader->odd, odd, next) {
        drop(reader, odd);
    }
    free(reader);
}

static struct odd_labels *find(const struct container_labels *reader, const char *id)
{
    struct odd_labels *odd;
    HASH_FIND_STR(reader->odd, id, odd);
    return odd;
}

void container_labels_forget(struct container_labels *reader, const char *id)
{
    struct odd_labels *odd = find(reader, id);
    if (odd != NULL) {
        drop(reader, odd);
    }
}

/* ---- names ---- */

static bool make_name(const struct container_labels *reader, const char *docker_name,
                      char out[LIMIT_NAME_SIZE])
{
    int wanted = snprintf(out, LIMIT_NAME_SIZE, "%s%s", reader->config->name_prefix, docker_name);
    return wanted > 0 && wanted < LIMIT_NAME_SIZE;
}

bool container_labels_is_watched(const struct container_labels *reader, const char *docker_name,
                                 const struct label_list *labels)
{
    char name[LIMIT_NAME_SIZE];
    enum label_watch said = label_reader_watch(labels);
    if (docker_name[0] == '\0' || !make_name(reader, docker_name, name) || said == LABEL_WATCH_NO) {
        return false;
    }
    switch (reader->config->watch) {
    case CONTAINER_WATCH_LABEL:
        return said == LABEL_WATCH_YES;
    case CONTAINER_WATCH_GLOBS:
        return name_patterns_match(reader->config->watch_globs, name) ||
               name_patterns_match(reader->config->watch_globs, docker_name);
    case CONTAINER_WATCH_ALL:
        break;
    }
    return true;
}

void container_labels_name(const struct container_labels *reader, const char *docker_name,
                           const struct label_list *labels, struct container *out)
{
    char name[LIMIT_NAME_SIZE];
    (void)make_name(reader, docker_name, name); /* it is watched: it fits */
    memory_set_text(out->name, sizeof out->name, name);
    memory_set_text(out->docker_name, sizeof out->docker_name, docker_name);
    struct label_identity identity;
    label_reader_identity(labels, name, reader->config->name_prefix, &identity);
    memory_set_text(out->service, sizeof out->service, identity.service);
    memory_set_text(out->instance, sizeof out->instance, identity.instance);
}

/* ---- what labels say ---- */

struct complaint {
    const struct container_table_config *config;
    const char *name;
    bool is_made;
};

static void on_complaint(void *arg, const char *text)
{
    struct complaint *complaint = arg;
    char line[512];
    complaint->is_made = true;
    snprintf(line, sizeof line, "Container %s: %s", complaint->name, text);
    complaint->config->complain(complaint->config->complain_arg, line);
}

void container_labels_report_unwatched(struct container_labels *reader, const char *id,
                                       const char *docker_name, const struct label_list *labels)
{
    const struct container_table_config *config = reader->config;
    if (find(reader, id) != NULL || config->watch != CONTAINER_WATCH_LABEL || config->complain == NULL ||
        label_reader_watch(labels) == LABEL_WATCH_NO) {
        return;
    }
    struct complaint complaint = {config, docker_name, false};
    struct container_spec unused;
    container_spec_init(&unused);
    label_reader_spec(labels, &unused, on_complaint, &complaint);
    if (complaint.is_made) {
        struct odd_labels *odd = memory_alloc(sizeof *odd);
        memory_set_text(odd->id, sizeof odd->id, id);
        HASH_ADD_STR(reader->odd, id, odd);
    }
}

static void keep_complaint(void *arg, const char *text)
{
    label_reader_keep_complaint(arg, text);
}

/* Those of checks and metrics are logged where they are used (prober.c); here the first is kept for people.
 */
static void read_check_labels(const struct label_list *labels, struct container_spec *spec)
{
    struct probe_list probes;
    struct metric_rules rules;
    probe_spec_read(labels, &probes, keep_complaint, spec);
    metric_rules_read(labels, &rules, keep_complaint, spec);
    spec->has_checks = probes.count + rules.count > 0;
    probe_spec_free(&probes);
    metric_rules_free(&rules);
}

void container_labels_spec(const struct container_labels *reader, const char *name, bool is_first,
                           const struct label_list *labels, struct container_spec *out)
{
    struct complaint complaint = {reader->config, name, false};
    bool is_told = is_first && reader->config->complain != NULL;
    label_reader_spec(labels, out, is_told ? on_complaint : NULL, &complaint);
    read_check_labels(labels, out);
}
