#include "agent/cgroup_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/memory.h"

/* Descriptors that stay open; containers beyond that are opened for each reading. */
enum { KEPT_MAX = 512, TEXT_SIZE = 64 * 1024, IDLE_READINGS = 5 };

struct cgroup_reader {
    char *proc;
    char cpu_mount[PATH_MAX / 2];    /* v1 cpuacct, "" where there is none */
    char memory_mount[PATH_MAX / 2]; /* v1 memory */
    char unified_mount[PATH_MAX / 2];
    size_t kept;
};

enum counter { COUNTER_CPU, COUNTER_MEMORY, COUNTER_N };

struct file {
    char *path; /* NULL: not there */
    int fd;     /* -1: opened for each reading */
};

struct cgroup_files {
    struct cgroup_reader *reader;
    struct file files[COUNTER_N];
    bool is_cpu_stat; /* v2: cpu.stat in microseconds, not one number in nanoseconds */
    struct cgroup_usage last;
    int idle_readings; /* since the memory was read */
};

/* ---- where it is mounted ---- */

static char *read_text(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return NULL;
    }
    char *text = memory_alloc(TEXT_SIZE);
    size_t used = 0;
    ssize_t got;
    while (used < TEXT_SIZE - 1 && (got = read(fd, text + used, TEXT_SIZE - 1 - used)) > 0) {
        used += (size_t)got;
    }
    close(fd);
    return text;
}

/* True where `word` is one of the comma-separated words of `list`. */
static bool has_word(const char *list, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = list; *at != '\0';) {
        size_t part = strcspn(at, ",");
        if (part == len && memcmp(at, word, len) == 0) {
            return true;
        }
        at += part + (at[part] == ',');
    }
    return false;
}

/* One line: "id parent major:minor root mountpoint options [fields] - type source superoptions". A root that
 * is not "/" is a part of a hierarchy, as seen in a container. */
static void read_mount(struct cgroup_reader *reader, char *line)
{
    char root[512], point[512], type[64], options[512];
    char *dash = strstr(line, " - ");
    if (dash == NULL || sscanf(line, "%*s %*s %*s %511s %511s", root, point) != 2 ||
        sscanf(dash + 3, "%63s %*s %511s", type, options) != 2) {
        return;
    }
    if (strcmp(type, "cgroup2") == 0 && reader->unified_mount[0] == '\0') {
        memory_set_text(reader->unified_mount, sizeof reader->unified_mount, point);
    } else if (strcmp(type, "cgroup") == 0) {
        if (has_word(options, "cpuacct")) {
            memory_set_text(reader->cpu_mount, sizeof reader->cpu_mount, point);
        }
        if (has_word(options, "memory")) {
            memory_set_text(reader->memory_mount, sizeof reader->memory_mount, point);
        }
    }
}

struct cgroup_reader *cgroup_reader_new(const char *proc)
{
    struct cgroup_reader *reader = memory_alloc(sizeof *reader);
    reader->proc = memory_copy_text(proc);
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/self/mountinfo", proc);
    cleanup_free char *text = read_text(path);
    char *rest = text;
    for (char *line; rest != NULL && (line = strsep(&rest, "\n")) != NULL;) {
        read_mount(reader, line);
    }
    return reader;
}

void cgroup_reader_free(struct cgroup_reader *reader)
{
    if (reader != NULL) {
        free(reader->proc);
        free(reader);
    }
}

/* ---- one container ---- */

/* The path of one hierarchy in a process's cgroup file; "" names the unified one ("0::/path"). False where
 * the path does not name the container: then this is some other process (another PID namespace). */
static bool find_path(const char *text, const char *controller, const char *id, char *out, size_t size)
{
    for (const char *line = text; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        const char *first = memchr(line, ':', len);
        const char *second = first == NULL ? NULL : memchr(first + 1, ':', len - (size_t)(first + 1 - line));
        if (second != NULL) {
            char list[128], path[PATH_MAX / 4];
            snprintf(list, sizeof list, "%.*s", (int)(second - first - 1), first + 1);
            snprintf(path, sizeof path, "%.*s", (int)(line + len - second - 1), second + 1);
            bool is_it = controller[0] == '\0' ? list[0] == '\0' : has_word(list, controller);
            if (is_it && strstr(path, id) != NULL && strstr(path, "/..") == NULL) {
                return memory_set_text(out, size, path);
            }
        }
        line += len + (line[len] == '\n');
    }
    return false;
}

static bool open_counter(struct cgroup_files *files, enum counter counter, const char *mount,
                         const char *path, const char *name)
{
    char whole[PATH_MAX];
    snprintf(whole, sizeof whole, "%s%s/%s", mount, path, name);
    int fd = open(whole, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    struct file *file = &files->files[counter];
    file->path = memory_copy_text(whole);
    file->fd = -1;
    if (files->reader->kept < KEPT_MAX) {
        files->reader->kept++;
        file->fd = fd;
    } else {
        close(fd);
    }
    return true;
}

/* By what the process says, else by where Docker's two cgroup drivers put a container. */
static bool open_hierarchy(struct cgroup_files *files, enum counter counter, const char *mount,
                           const char *text, const char *controller, const char *id, const char *name)
{
    char path[PATH_MAX / 4];
    if (mount[0] == '\0') {
        return false;
    }
    if (text != NULL && find_path(text, controller, id, path, sizeof path) &&
        open_counter(files, counter, mount, path, name)) {
        return true;
    }
    static const char *const places[] = {"/docker/%s", "/system.slice/docker-%s.scope"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        const char *at = strstr(places[i], "%s");
        snprintf(path, sizeof path, "%.*s%s%s", (int)(at - places[i]), places[i], id, at + 2);
        if (open_counter(files, counter, mount, path, name)) {
            return true;
        }
    }
    return false;
}

struct cgroup_files *cgroup_reader_open(struct cgroup_reader *reader, const char *id, int64_t pid)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%" PRId64 "/cgroup", reader->proc, pid);
    cleanup_free char *text = pid > 0 ? read_text(path) : NULL;
    struct cgroup_files *files = memory_alloc(sizeof *files);
    files->reader = reader;
    files->files[COUNTER_CPU].fd = files->files[COUNTER_MEMORY].fd = -1;
    files->last = (struct cgroup_usage){-1, -1};
    if (!open_hierarchy(files, COUNTER_CPU, reader->cpu_mount, text, "cpuacct", id, "cpuacct.usage")) {
        files->is_cpu_stat = true;
        open_hierarchy(files, COUNTER_CPU, reader->unified_mount, text, "", id, "cpu.stat");
    }
    if (!open_hierarchy(files, COUNTER_MEMORY, reader->memory_mount, text, "memory", id,
                        "memory.usage_in_bytes")) {
        open_hierarchy(files, COUNTER_MEMORY, reader->unified_mount, text, "", id, "memory.current");
    }
    if (files->files[COUNTER_CPU].path == NULL && files->files[COUNTER_MEMORY].path == NULL) {
        cgroup_files_close(files);
        return NULL;
    }
    return files;
}

void cgroup_files_close(struct cgroup_files *files)
{
    if (files == NULL) {
        return;
    }
    for (size_t i = 0; i < COUNTER_N; i++) {
        if (files->files[i].fd >= 0) {
            close(files->files[i].fd);
            files->reader->kept--;
        }
        free(files->files[i].path);
    }
    free(files);
}

/* ---- reading ---- */

static bool read_small(const struct file *file, char *out, size_t size)
{
    if (file->path == NULL) {
        return false;
    }
    int fd = file->fd >= 0 ? file->fd : open(file->path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : pread(fd, out, size - 1, 0);
    if (fd >= 0 && file->fd < 0) {
        close(fd);
    }
    out[got > 0 ? got : 0] = '\0';
    return got > 0;
}

static int64_t parse_number(const char *text)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    return end == text || errno != 0 || value < 0 ? -1 : value;
}

static int64_t read_cpu(const struct cgroup_files *files)
{
    static const char key[] = "usage_usec ";
    char text[512];
    if (!read_small(&files->files[COUNTER_CPU], text, sizeof text)) {
        return -1;
    }
    if (!files->is_cpu_stat) {
        return parse_number(text);
    }
    const char *at = strstr(text, key);
    int64_t micros = at == NULL ? -1 : parse_number(at + sizeof key - 1);
    return micros >= 0 && micros < INT64_MAX / 1000 ? micros * 1000 : -1;
}

static int64_t read_memory(const struct cgroup_files *files)
{
    char text[64];
    return read_small(&files->files[COUNTER_MEMORY], text, sizeof text) ? parse_number(text) : -1;
}

struct cgroup_usage cgroup_files_read(struct cgroup_files *files)
{
    if (files == NULL) {
        return (struct cgroup_usage){-1, -1};
    }
    int64_t cpu_ns = read_cpu(files);
    bool is_idle = cpu_ns >= 0 && cpu_ns == files->last.cpu_ns && files->idle_readings < IDLE_READINGS;
    files->idle_readings = is_idle ? files->idle_readings + 1 : 0;
    files->last.cpu_ns = cpu_ns;
    if (!is_idle) {
        files->last.memory_bytes = read_memory(files);
    }
    return files->last;
}
