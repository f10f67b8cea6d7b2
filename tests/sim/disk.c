/* Disks, and controller/disk_file played over them: a process may die at any write. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "common/memory.h"
#include "controller/disk_file.h"
#include "tests/sim/sim.h"

struct file {
    char *name;
    char *bytes;
    size_t len;
    UT_hash_handle hh;
};

struct disk {
    char *dir;
    struct process *process;
    struct file *files;
    UT_hash_handle hh;
};

static struct disk *disks;

struct disk *disk_new(const char *dir)
{
    struct disk *disk = memory_alloc(sizeof *disk);
    disk->dir = memory_copy_text(dir);
    HASH_ADD_KEYPTR(hh, disks, disk->dir, strlen(disk->dir), disk);
    return disk;
}

void disk_free(struct disk *disk)
{
    struct file *file, *next_file;
    HASH_ITER (hh, disk->files, file, next_file) {
        HASH_DEL(disk->files, file);
        free(file->name);
        free(file->bytes);
        free(file);
    }
    HASH_DEL(disks, disk);
    free(disk->dir);
    free(disk);
}

void disk_use(struct disk *disk, struct process *process)
{
    disk->process = process;
}

static struct file *find_file(const struct disk *disk, const char *name)
{
    struct file *file = NULL;
    HASH_FIND_STR(disk->files, name, file);
    return file;
}

static struct file *need_file(struct disk *disk, const char *name)
{
    struct file *file = find_file(disk, name);
    if (!file) {
        file = memory_alloc(sizeof *file);
        file->name = memory_copy_text(name);
        HASH_ADD_KEYPTR(hh, disk->files, file->name, strlen(file->name), file);
    }
    return file;
}

const char *disk_read(const struct disk *disk, const char *name, size_t *len)
{
    const struct file *file = find_file(disk, name);
    *len = file ? file->len : 0;
    return file ? file->bytes : NULL;
}

void disk_append(struct disk *disk, const char *name, const void *bytes, size_t len)
{
    struct file *file = need_file(disk, name);
    file->bytes = memory_grow(file->bytes, file->len + len + 1, 1);
    memcpy(file->bytes + file->len, bytes, len);
    file->len += len;
    file->bytes[file->len] = '\0';
}

void disk_write(struct disk *disk, const char *name, const void *bytes, size_t len)
{
    need_file(disk, name)->len = 0;
    disk_append(disk, name, bytes, len);
}

void disk_tear(struct disk *disk, const char *name, size_t bytes)
{
    struct file *file = find_file(disk, name);
    if (file) {
        file->len = bytes < file->len ? file->len - bytes : 0;
    }
}

static struct disk *find_disk(const char *dir)
{
    struct disk *disk = NULL;
    HASH_FIND_STR(disks, dir, disk);
    if (!disk) {
        abort();
    }
    return disk;
}

int disk_file_read(const char *dir, const char *name, size_t max_bytes, char **out, size_t *len,
                   struct err *err)
{
    (void)max_bytes;
    const char *bytes = disk_read(find_disk(dir), name, len);
    if (!bytes) {
        return err_set(err, ENOENT, "%s: no such file", name);
    }
    *out = memory_alloc(*len + 1);
    memcpy(*out, bytes, *len);
    return 0;
}

int disk_file_replace(const char *dir, const char *name, const char *bytes, size_t len, struct err *err)
{
    (void)err;
    struct disk *disk = find_disk(dir);
    if (process_effect(disk->process)) {
        disk_write(disk, name, bytes, len);
    }
    return 0;
}

int disk_file_remove(const char *dir, const char *name, struct err *err)
{
    (void)err;
    struct disk *disk = find_disk(dir);
    struct file *file = find_file(disk, name);
    if (file && process_effect(disk->process)) {
        HASH_DEL(disk->files, file);
        free(file->name);
        free(file->bytes);
        free(file);
    }
    return 0;
}

int disk_file_append(const char *dir, const char *name, const char *bytes, size_t len,
                     enum disk_file_sync sync, struct err *err)
{
    (void)err;
    (void)sync;
    struct disk *disk = find_disk(dir);
    bool was_dead = disk->process && disk->process->is_dead;
    if (process_effect(disk->process)) {
        disk_append(disk, name, bytes, len);
    } else if (!was_dead) {
        disk_append(disk, name, bytes, (size_t)dice_below(&sim->dice, (int64_t)len)); /* torn */
    }
    return 0;
}

int disk_file_make_dir(const char *dir, struct err *err)
{
    (void)dir;
    (void)err;
    return 0;
}
