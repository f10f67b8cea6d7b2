#include "agent/state_files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/memory.h"
#include "common/thread.h"

enum { CLOSE_WAIT_MS = 2000 };

/* ---- one file ---- */

static int make_path(const char *dir, const char *name, const char *suffix, char out[PATH_MAX],
                     struct err *err)
{
    int wanted = snprintf(out, PATH_MAX, "%s/%s%s", dir, name, suffix);
    return wanted < PATH_MAX ? 0 : err_set(err, ENAMETOOLONG, "%s/%s: the path is too long", dir, name);
}

static int write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t written = write(fd, bytes, len);
        if (written < 0 && errno != EINTR) {
            return errno;
        }
        if (written > 0) {
            bytes += written;
            len -= (size_t)written;
        }
    }
    return 0;
}

static int sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    int code = fsync(fd) == 0 ? 0 : errno;
    close(fd);
    return code;
}

static int write_beside(const char *path, const void *bytes, size_t len, enum state_files_safety safety)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return errno;
    }
    int code = write_all(fd, bytes, len);
    if (code == 0 && safety == STATE_FILES_SYNCED && fsync(fd) != 0) {
        code = errno;
    }
    if (close(fd) != 0 && code == 0) {
        code = errno;
    }
    return code;
}

int state_files_write(const char *dir, const char *name, const void *bytes, size_t len,
                      enum state_files_safety safety, struct err *err)
{
    char path[PATH_MAX], beside[PATH_MAX];
    int status = make_path(dir, name, "", path, err);
    if (status == 0) {
        status = make_path(dir, name, ".new", beside, err);
    }
    if (status != 0) {
        return status;
    }
    int code = write_beside(beside, bytes, len, safety);
    if (code == 0 && rename(beside, path) != 0) {
        code = errno;
    }
    if (code == 0 && safety == STATE_FILES_SYNCED) {
        code = sync_dir(dir);
    }
    if (code != 0) {
        unlink(beside);
    }
    return code == 0 ? 0 : err_set(err, code, "%s: cannot be written: %s", path, strerror(code));
}

static int read_all(int fd, char **out, size_t *len)
{
    struct stat stat;
    if (fstat(fd, &stat) != 0) {
        return errno;
    }
    if (stat.st_size > STATE_FILES_MAX_BYTES) {
        return EFBIG;
    }
    size_t used = 0, size = (size_t)stat.st_size;
    char *bytes = memory_alloc(size + 1);
    while (used < size) {
        ssize_t got = read(fd, bytes + used, size - used);
        if (got == 0) {
            break;
        }
        if (got < 0 && errno != EINTR) {
            free(bytes);
            return errno;
        }
        used += got > 0 ? (size_t)got : 0;
    }
    bytes[used] = '\0';
    *out = bytes;
    *len = used;
    return 0;
}

int state_files_read(const char *dir, const char *name, char **out, size_t *len, struct err *err)
{
    char path[PATH_MAX];
    int status = make_path(dir, name, "", path, err);
    if (status != 0) {
        return status;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int code = fd < 0 ? errno : read_all(fd, out, len);
    if (fd >= 0) {
        close(fd);
    }
    return code == 0 ? 0 : err_set(err, code, "%s: cannot be read: %s", path, strerror(code));
}

/* ---- the directory ---- */

static int make_parents(const char *dir)
{
    char path[PATH_MAX];
    if (!memory_set_text(path, sizeof path, dir)) {
        return ENAMETOOLONG;
    }
    for (char *slash = path + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        if (mkdir(path, 0755) != 0 && errno != EEXIST) {
            return errno;
        }
        *slash = '/';
    }
    return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : errno;
}

int state_files_prepare(const char *dir, struct err *err)
{
    int code = make_parents(dir);
    struct err cause = {0};
    if (code == 0 && state_files_write(dir, "probe", "", 0, STATE_FILES_LAZY, &cause) != 0) {
        code = cause.code;
    }
    if (code != 0) {
        return err_set(
            err, code,
            "DEFIB_STATE_DIR=%s cannot be written: %s; allowed is a folder that the agent may write to", dir,
            strerror(code));
    }
    char path[PATH_MAX];
    if (make_path(dir, "probe", "", path, NULL) == 0) {
        unlink(path);
    }
    return 0;
}

/* ---- the writer ---- */

struct state_files_writer {
    char *dir, *name;
    void (*on_result)(void *arg, const char *failure);
    void *arg;
    struct loop_wake *wake;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    /* under the mutex */
    char *waiting; /* the newest text, not yet taken by the thread */
    size_t waiting_len;
    bool is_writing, is_closing, has_failed, has_ended;
    struct err failure;
    bool is_orphan; /* nobody waits any more: the thread frees it */
};

static void free_writer(struct state_files_writer *writer)
{
    pthread_mutex_destroy(&writer->mutex);
    pthread_cond_destroy(&writer->changed);
    free(writer->waiting);
    free(writer->dir);
    free(writer->name);
    free(writer);
}

/* Called with the mutex held, released during the write. */
static void write_waiting(struct state_files_writer *writer)
{
    cleanup_free char *bytes = memory_steal(writer->waiting);
    size_t len = writer->waiting_len;
    struct err err = {0};
    writer->is_writing = true;
    pthread_mutex_unlock(&writer->mutex);
    int status = state_files_write(writer->dir, writer->name, bytes, len, STATE_FILES_SYNCED, &err);
    pthread_mutex_lock(&writer->mutex);
    writer->is_writing = false;
    writer->has_failed = status != 0;
    writer->failure = err;
    if (!writer->is_closing) {
        loop_wake_send(writer->wake);
    }
}

static void *run_thread(void *arg)
{
    struct state_files_writer *writer = arg;
    pthread_mutex_lock(&writer->mutex);
    while (writer->waiting != NULL || !writer->is_closing) {
        if (writer->waiting != NULL) {
            write_waiting(writer);
        } else {
            pthread_cond_wait(&writer->changed, &writer->mutex);
        }
    }
    writer->has_ended = true;
    pthread_cond_broadcast(&writer->changed);
    bool is_orphan = writer->is_orphan;
    pthread_mutex_unlock(&writer->mutex);
    if (is_orphan) {
        free_writer(writer);
    }
    return NULL;
}

static void on_wake(void *arg)
{
    struct state_files_writer *writer = arg;
    pthread_mutex_lock(&writer->mutex);
    bool has_failed = writer->has_failed;
    struct err failure = writer->failure;
    pthread_mutex_unlock(&writer->mutex);
    if (writer->on_result != NULL) {
        writer->on_result(writer->arg, has_failed ? failure.text : NULL);
    }
}

struct state_files_writer *state_files_writer_new(struct loop *loop, const char *dir, const char *name,
                                                  void (*on_result)(void *arg, const char *failure),
                                                  void *arg)
{
    struct state_files_writer *writer = memory_alloc(sizeof *writer);
    writer->dir = memory_copy_text(dir);
    writer->name = memory_copy_text(name);
    writer->on_result = on_result;
    writer->arg = arg;
    writer->wake = loop_wake_new(loop, on_wake, writer);
    pthread_mutex_init(&writer->mutex, NULL);
    pthread_cond_init(&writer->changed, NULL);
    int code = thread_start(&writer->thread, run_thread, writer);
    if (code != 0) {
        fprintf(stderr, "no thread can be started: %s\n", strerror(code));
        abort();
    }
    return writer;
}

void state_files_writer_put(struct state_files_writer *writer, char *bytes, size_t len)
{
    pthread_mutex_lock(&writer->mutex);
    free(writer->waiting);
    writer->waiting = bytes;
    writer->waiting_len = len;
    pthread_cond_broadcast(&writer->changed);
    pthread_mutex_unlock(&writer->mutex);
}

static bool wait_for_end(struct state_files_writer *writer)
{
    struct mono until = mono_add(clock_mono_now(), CLOSE_WAIT_MS);
    while (!writer->has_ended && thread_wait(&writer->changed, &writer->mutex, until)) {
    }
    return writer->has_ended;
}

void state_files_writer_free(struct state_files_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    pthread_mutex_lock(&writer->mutex);
    writer->is_closing = true;
    pthread_cond_broadcast(&writer->changed);
    bool has_ended = wait_for_end(writer);
    writer->is_orphan = !has_ended;
    loop_wake_free(writer->wake);
    pthread_t thread = writer->thread;
    pthread_mutex_unlock(&writer->mutex);
    if (has_ended) {
        pthread_join(thread, NULL);
        free_writer(writer);
    } else {
        pthread_detach(thread);
    }
}
