#include "agent/outcome_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/fault.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/thread.h"

enum { FILE_MAX_BYTES = 64 * 1024 * 1024, QUEUE_MAX = 1024, CLOSE_MS = 2000, RESERVE_BYTES = 64 * 1024 };

enum write_kind { WRITE_LAZY, WRITE_SYNCED, WRITE_REPLACE };

struct write {
    struct write *next;
    enum write_kind kind;
    uint8_t *bytes;
    size_t len;
    outcome_file_callback on_done;
    void *arg;
    struct err err;
};

struct queue {
    struct write *first;
    struct write **end;
};

struct outcome_file {
    char path[PATH_MAX];
    char dir[PATH_MAX];
    struct loop_wake *wake;
    pthread_t thread;
    pthread_mutex_t mutex; /* over todo, done, queued, is_closing */
    pthread_cond_t cond;
    struct queue todo, done;
    size_t queued;
    bool is_closing, has_ended;
    /* the thread's own */
    int fd;
    off_t good_bytes;     /* what lies behind them is a write that failed */
    off_t reserved_bytes; /* space on the disk that is ours */
};

static void queue_init(struct queue *queue)
{
    queue->first = NULL;
    queue->end = &queue->first;
}

static void queue_push(struct queue *queue, struct write *write)
{
    write->next = NULL;
    *queue->end = write;
    queue->end = &write->next;
}

static struct write *queue_pop(struct queue *queue)
{
    struct write *write = queue->first;
    if (write != NULL) {
        queue->first = write->next;
        if (queue->first == NULL) {
            queue->end = &queue->first;
        }
    }
    return write;
}

static void write_free(struct write *write)
{
    free(write->bytes);
    free(write);
}

/* ---- on the writing thread ---- */

static int write_at(int fd, const uint8_t *bytes, size_t len, off_t at)
{
    while (len > 0) {
        ssize_t written = pwrite(fd, bytes, len, at);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return written < 0 ? errno : ENOSPC;
        }
        bytes += written;
        at += written;
        len -= (size_t)written;
    }
    return 0;
}

/* Restarts go on while the disk is full: the next records have their place. Where there is none to be had, or
 * the file system knows no such thing, it goes on without. */
static void reserve(struct outcome_file *file)
{
    if (file->reserved_bytes - file->good_bytes < RESERVE_BYTES / 2 &&
        fallocate(file->fd, FALLOC_FL_KEEP_SIZE, file->good_bytes, RESERVE_BYTES) == 0) {
        file->reserved_bytes = file->good_bytes + RESERVE_BYTES;
    }
}

/* A build for faults leaves half a record behind. */
static void tear(const struct outcome_file *file, const struct write *write)
{
#ifdef DEFIB_FAULTS
    (void)write_at(file->fd, write->bytes, write->len / 2, file->good_bytes);
#endif
    (void)file;
    (void)write;
    FAULT_POINT("agent_record_torn");
}

static void do_append(struct outcome_file *file, struct write *write)
{
    tear(file, write);
    int code = write_at(file->fd, write->bytes, write->len, file->good_bytes);
    if (code == 0 && write->kind == WRITE_SYNCED && fdatasync(file->fd) != 0) {
        code = errno;
    }
    if (code == 0) {
        file->good_bytes += (off_t)write->len;
        reserve(file);
        return;
    }
    err_set(&write->err, code, "cannot write %s: %s", file->path, strerror(code));
    file->reserved_bytes = 0;
    if (ftruncate(file->fd, file->good_bytes) != 0) {
        return; /* the next write goes over it, and a reader passes over what is left */
    }
}

static void sync_directory(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

static void do_replace(struct outcome_file *file, struct write *write)
{
    char path[PATH_MAX + 8];
    snprintf(path, sizeof path, "%s.new", file->path);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    int code = fd < 0 ? errno : 0;
    if (code == 0) {
        code = write_at(fd, write->bytes, write->len, 0);
    }
    if (code == 0 &&
        (flock(fd, LOCK_EX | LOCK_NB) != 0 || fdatasync(fd) != 0 || rename(path, file->path) != 0)) {
        code = errno;
    }
    if (code != 0) {
        err_set(&write->err, code, "cannot replace %s: %s", file->path, strerror(code));
        log_warning("%s", write->err.text);
        if (fd >= 0) {
            close(fd);
            unlink(path);
        }
        return;
    }
    sync_directory(file->dir);
    close(file->fd);
    file->fd = fd;
    file->good_bytes = (off_t)write->len;
    file->reserved_bytes = 0;
    reserve(file);
}

static void *run_thread(void *arg)
{
    struct outcome_file *file = arg;
    reserve(file);
    pthread_mutex_lock(&file->mutex);
    for (;;) {
        struct write *write = queue_pop(&file->todo);
        if (write == NULL && file->is_closing) {
            break;
        }
        if (write == NULL) {
            pthread_cond_wait(&file->cond, &file->mutex);
            continue;
        }
        pthread_mutex_unlock(&file->mutex);
        if (write->kind == WRITE_REPLACE) {
            do_replace(file, write);
        } else {
            do_append(file, write);
        }
        pthread_mutex_lock(&file->mutex);
        file->queued--;
        queue_push(&file->done, write);
        if (!file->is_closing) {
            loop_wake_send(file->wake);
        }
    }
    file->has_ended = true;
    pthread_cond_signal(&file->cond);
    pthread_mutex_unlock(&file->mutex);
    return NULL;
}

/* ---- on the loop's thread ---- */

static void on_wake(void *arg)
{
    struct outcome_file *file = arg;
    pthread_mutex_lock(&file->mutex);
    struct write *write = file->done.first;
    queue_init(&file->done);
    pthread_mutex_unlock(&file->mutex);
    while (write != NULL) {
        struct write *next = write->next;
        if (write->on_done != NULL) {
            write->on_done(write->arg, -write->err.code, write->err.text);
        }
        write_free(write);
        write = next;
    }
}

static int read_all(struct outcome_file *file, uint8_t **bytes, size_t *len, struct err *err)
{
    struct stat stat;
    if (fstat(file->fd, &stat) != 0) {
        return err_set(err, errno, "cannot read %s: %s", file->path, strerror(errno));
    }
    if (!S_ISREG(stat.st_mode) || stat.st_size > FILE_MAX_BYTES) {
        return err_set(err, EFBIG, "%s is no file of a defib-agent", file->path);
    }
    size_t size = (size_t)stat.st_size;
    cleanup_free uint8_t *buffer = memory_alloc(size);
    size_t at = 0;
    while (at < size) {
        ssize_t got = pread(file->fd, buffer + at, size - at, (off_t)at);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return err_set(err, errno, "cannot read %s: %s", file->path, strerror(errno));
        }
        if (got == 0) {
            break;
        }
        at += (size_t)got;
    }
    file->good_bytes = (off_t)at;
    *len = at;
    *bytes = memory_steal(buffer);
    return 0;
}

static int open_file(struct outcome_file *file, uint8_t **bytes, size_t *len, struct err *err)
{
    file->fd = open(file->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file->fd < 0) {
        return err_set(err, errno, "cannot open %s: %s", file->path, strerror(errno));
    }
    if (flock(file->fd, LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK
                   ? err_set(err, EBUSY, "another agent uses %s: give each its own DEFIB_STATE_DIR",
                             file->path)
                   : err_set(err, errno, "cannot lock %s: %s", file->path, strerror(errno));
    }
    sync_directory(file->dir);
    return read_all(file, bytes, len, err);
}

static int start_thread(struct outcome_file *file, struct err *err)
{
    int code = thread_start(&file->thread, run_thread, file);
    return code == 0 ? 0 : err_set(err, code, "cannot start a thread: %s", strerror(code));
}

static void file_free(struct outcome_file *file)
{
    loop_wake_free(file->wake);
    for (struct write *write; (write = queue_pop(&file->done)) != NULL;) {
        write_free(write);
    }
    if (file->fd >= 0) {
        close(file->fd);
    }
    pthread_cond_destroy(&file->cond);
    pthread_mutex_destroy(&file->mutex);
    free(file);
}

int outcome_file_open(struct loop *loop, const char *dir, struct outcome_file **out, uint8_t **bytes,
                      size_t *len, struct err *err)
{
    struct outcome_file *file = memory_alloc(sizeof *file);
    file->fd = -1;
    queue_init(&file->todo);
    queue_init(&file->done);
    pthread_mutex_init(&file->mutex, NULL);
    pthread_cond_init(&file->cond, NULL);
    int code = 0;
    if (!memory_set_text(file->dir, sizeof file->dir, dir) ||
        snprintf(file->path, sizeof file->path, "%s/commands.log", dir) >= (int)sizeof file->path) {
        code = err_set(err, ENAMETOOLONG, "the path of the state directory is too long");
    }
    cleanup_free uint8_t *content = NULL;
    if (code == 0) {
        code = open_file(file, &content, len, err);
    }
    if (code == 0) {
        file->wake = loop_wake_new(loop, on_wake, file);
        code = start_thread(file, err);
    }
    if (code != 0) {
        file_free(file);
        return code;
    }
    *bytes = memory_steal(content);
    *out = file;
    return 0;
}

static void push(struct outcome_file *file, struct write *write)
{
    pthread_mutex_lock(&file->mutex);
    if (file->queued >= QUEUE_MAX) {
        err_set(&write->err, EAGAIN, "cannot write %s: the disk is too slow", file->path);
        queue_push(&file->done, write);
        loop_wake_send(file->wake);
    } else {
        file->queued++;
        queue_push(&file->todo, write);
        pthread_cond_signal(&file->cond);
    }
    pthread_mutex_unlock(&file->mutex);
}

void outcome_file_append(struct outcome_file *file, const uint8_t *bytes, size_t len,
                         enum outcome_file_safety safety, outcome_file_callback on_done, void *arg)
{
    struct write *write = memory_alloc(sizeof *write);
    write->kind = safety == OUTCOME_FILE_SYNCED ? WRITE_SYNCED : WRITE_LAZY;
    write->bytes = memory_alloc(len);
    memcpy(write->bytes, bytes, len);
    write->len = len;
    write->on_done = on_done;
    write->arg = arg;
    push(file, write);
}

void outcome_file_replace(struct outcome_file *file, uint8_t *bytes, size_t len)
{
    struct write *write = memory_alloc(sizeof *write);
    write->kind = WRITE_REPLACE;
    write->bytes = bytes;
    write->len = len;
    push(file, write);
}

void outcome_file_close(struct outcome_file *file)
{
    if (file == NULL) {
        return;
    }
    pthread_mutex_lock(&file->mutex);
    file->is_closing = true;
    pthread_cond_signal(&file->cond);
    struct mono until = mono_add(clock_mono_now(), CLOSE_MS);
    while (!file->has_ended && thread_wait(&file->cond, &file->mutex, until)) {
    }
    bool has_ended = file->has_ended;
    pthread_mutex_unlock(&file->mutex);
    if (!has_ended) {
        /* A disk that hangs: the process is about to end, and the thread still uses what would be freed. */
        log_warning("%s: the disk does not answer, the last records may be lost", file->path);
        loop_wake_free(file->wake);
        pthread_detach(file->thread);
        return;
    }
    pthread_join(file->thread, NULL);
    file_free(file);
}
