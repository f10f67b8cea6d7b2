/*
 * CPU and memory of a container from its cgroup: two small files, kept open, against a second of dockerd's
 * time for its stats call. cgroup v1 (also hybrid) and v2.
 *
 * Blocking, but only on files that the kernel makes up. Nothing here fails loudly: what cannot be read is
 * told as not known, for instance where the agent runs in a container that does not see the host's cgroups.
 */
#ifndef DEFIB_AGENT_CGROUP_READER_H
#define DEFIB_AGENT_CGROUP_READER_H

#include <stdbool.h>
#include <stdint.h>

struct cgroup_reader; /* where the hierarchies are mounted */
struct cgroup_files;  /* of one container's incarnation */

/* `proc` is "/proc", but for tests. */
struct cgroup_reader *cgroup_reader_new(const char *proc);
void cgroup_reader_free(struct cgroup_reader *reader); /* after its files; NULL is allowed */

/* NULL where neither the process nor Docker's usual places lead to this container's cgroup. `id` is its full
 * id. */
struct cgroup_files *cgroup_reader_open(struct cgroup_reader *reader, const char *id, int64_t pid);
void cgroup_files_close(struct cgroup_files *files); /* NULL is allowed */

struct cgroup_usage {
    int64_t cpu_ns;       /* since the cgroup was made; -1: not known */
    int64_t memory_bytes; /* as the kernel charges it, page cache included; -1: not known */
};

/* NULL is allowed: nothing is known. Who used no CPU since the last reading took no memory either: for such a
 * one the memory is read at every sixth call alone, so that what the kernel reclaimed from it may be told a
 * minute late. */
struct cgroup_usage cgroup_files_read(struct cgroup_files *files);

#endif
