#include "agent/evidence_file.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/evidence.h"
#include "agent/state_files.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/thread.h"

enum { AT_ONCE = 8, END_WAIT_MS = 1000 };

/* Shared with the threads; whoever lets go of it last frees it. */
struct evidence_file {
    pthread_mutex_t mutex;
    pthread_cond_t is_idle;
    char *dir;
    int under_way;
    bool is_abandoned;
};

struct job {
    struct evidence_file *files;
    char name[EVIDENCE_FILE_NAME_SIZE];
    char *bytes;
    size_t len;
};

static void destroy(struct evidence_file *files)
{
    pthread_cond_destroy(&files->is_idle);
    pthread_mutex_destroy(&files->mutex);
    free(files->dir);
    free(files);
}

struct evidence_file *evidence_file_new(const char *state_dir)
{
    struct evidence_file *files = memory_alloc(sizeof *files);
    size_t size = strlen(state_dir) + sizeof EVIDENCE_FOLDER + 1;
    pthread_mutex_init(&files->mutex, NULL);
    pthread_cond_init(&files->is_idle, NULL);
    files->dir = memory_alloc(size);
    snprintf(files->dir, size, "%s/%s", state_dir, EVIDENCE_FOLDER);
    return files;
}

void evidence_file_free(struct evidence_file *files)
{
    struct mono until = mono_add(clock_mono_now(), END_WAIT_MS);
    pthread_mutex_lock(&files->mutex);
    while (files->under_way > 0 && thread_wait(&files->is_idle, &files->mutex, until)) {
    }
    files->is_abandoned = true;
    bool is_ours = files->under_way == 0;
    pthread_mutex_unlock(&files->mutex);
    if (is_ours) {
        destroy(files);
    }
}

/* ---- on the thread ---- */

static int is_evidence(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    return entry->d_name[0] != '.' && len > 5 && strcmp(entry->d_name + len - 5, ".json") == 0;
}

static void remove_oldest(const char *dir)
{
    struct dirent **entries;
    int count = scandir(dir, &entries, is_evidence, alphasort);
    for (int i = 0; i < count; i++) {
        char path[1024];
        if (i < count - EVIDENCE_FILES) {
            snprintf(path, sizeof path, "%s/%s", dir, entries[i]->d_name);
            unlink(path);
        }
        free(entries[i]);
    }
    if (count >= 0) {
        free(entries);
    }
}

static void write_one(const struct job *job)
{
    const char *dir = job->files->dir;
    struct err err = {0};
    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        log_warning("%s cannot be made: %s", dir, strerror(errno));
    } else if (state_files_write(dir, job->name, job->bytes, job->len, STATE_FILES_LAZY, &err) != 0) {
        log_warning("%s", err.text);
    } else {
        remove_oldest(dir);
    }
}

static void *run_thread(void *arg)
{
    struct job *job = arg;
    struct evidence_file *files = job->files;
    write_one(job);
    free(job->bytes);
    free(job);
    pthread_mutex_lock(&files->mutex);
    files->under_way--;
    bool is_last = files->is_abandoned && files->under_way == 0;
    pthread_cond_signal(&files->is_idle);
    pthread_mutex_unlock(&files->mutex);
    if (is_last) {
        destroy(files);
    }
    return NULL;
}

void evidence_file_put(struct evidence_file *files, const char *name, char *bytes, size_t len)
{
    pthread_mutex_lock(&files->mutex);
    bool has_place = files->under_way < AT_ONCE;
    files->under_way += has_place;
    pthread_mutex_unlock(&files->mutex);
    struct job *job = memory_alloc(sizeof *job);
    *job = (struct job){files, "", bytes, len};
    memory_set_text(job->name, sizeof job->name, name);
    if (has_place && thread_start_detached(0, run_thread, job) == 0) {
        return;
    }
    log_warning("%s/%s is not written: the disk does not keep up", files->dir, name);
    free(bytes);
    free(job);
    pthread_mutex_lock(&files->mutex);
    files->under_way -= has_place;
    pthread_mutex_unlock(&files->mutex);
}
