#include "controller/disk_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/memory.h"

static int join(char out[PATH_MAX], const char *dir, const char *name, const char *suffix, struct err *err)
{
    int len = snprintf(out, PATH_MAX, "%s/%s%s", dir, name, suffix);
    return len < 0 || len >= PATH_MAX ? err_set(err, ENAMETOOLONG, "%s/%s: path is too long", dir, name) : 0;
}

static int fail(struct err *err, const char *path, const char *what)
{
    int code = errno;
    return err_set(err, code, "%s: %s: %s", path, what, strerror(code));
}

static int write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t count = write(fd, bytes, len);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            errno = count == 0 ? EIO : errno;
            return -1;
        }
        bytes += count;
        len -= (size_t)count;
    }
    return 0;
}

static int sync_dir(const char *dir, struct err *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return fail(err, dir, "open");
    }
    int result = fsync(fd) == 0 ? 0 : fail(err, dir, "fsync");
    close(fd);
    return result;
}

int disk_file_make_dir(const char *dir, struct err *err)
{
    char path[PATH_MAX];
    if (!memory_set_text(path, sizeof path, dir)) {
        return err_set(err, ENAMETOOLONG, "%s: path is too long", dir);
    }
    for (char *slash = path + 1; *path != '\0' && (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        if (mkdir(path, 0755) != 0 && errno != EEXIST) {
            return fail(err, path, "mkdir");
        }
        *slash = '/';
    }
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return fail(err, path, "mkdir");
    }
    struct stat facts;
    if (stat(path, &facts) != 0) {
        return fail(err, path, "stat");
    }
    if (!S_ISDIR(facts.st_mode)) {
        return err_set(err, ENOTDIR, "%s: not a directory", path);
    }
    return access(path, R_OK | W_OK | X_OK) == 0 ? 0 : fail(err, path, "access");
}

static int write_file(const char *path, int flags, const char *bytes, size_t len, enum disk_file_sync sync,
                      struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
    if (fd < 0) {
        return fail(err, path, "open");
    }
    int result = 0;
    if (write_all(fd, bytes, len) != 0) {
        result = fail(err, path, "write");
    } else if (sync == DISK_FILE_NOW && fdatasync(fd) != 0) {
        result = fail(err, path, "fdatasync");
    }
    if (close(fd) != 0 && result == 0) {
        result = fail(err, path, "close");
    }
    return result;
}

int disk_file_replace(const char *dir, const char *name, const char *bytes, size_t len, struct err *err)
{
    char path[PATH_MAX], beside[PATH_MAX];
    int result = join(path, dir, name, "", err);
    if (result == 0) {
        result = join(beside, dir, name, ".new", err);
    }
    if (result == 0) {
        result = write_file(beside, O_TRUNC, bytes, len, DISK_FILE_NOW, err);
    }
    if (result == 0 && rename(beside, path) != 0) {
        result = fail(err, path, "rename");
    }
    return result == 0 ? sync_dir(dir, err) : result;
}

int disk_file_append(const char *dir, const char *name, const char *bytes, size_t len,
                     enum disk_file_sync sync, struct err *err)
{
    char path[PATH_MAX];
    int result = join(path, dir, name, "", err);
    if (result != 0) {
        return result;
    }
    /* A file that this very call makes is only there after a crash if its folder is synced too. */
    _Bool is_new = access(path, F_OK) != 0;
    result = write_file(path, O_APPEND, bytes, len, sync, err);
    return result == 0 && is_new && sync == DISK_FILE_NOW ? sync_dir(dir, err) : result;
}

static int read_open(int fd, const char *path, size_t max_bytes, char **out, size_t *len, struct err *err)
{
    struct stat facts;
    if (fstat(fd, &facts) != 0) {
        return fail(err, path, "stat");
    }
    if (!S_ISREG(facts.st_mode)) {
        return err_set(err, EINVAL, "%s: not a plain file", path);
    }
    if ((size_t)facts.st_size > max_bytes) {
        return err_set(err, EFBIG, "%s: %lld bytes, at most %zu are read", path, (long long)facts.st_size,
                       max_bytes);
    }
    cleanup_free char *text = memory_alloc((size_t)facts.st_size + 1);
    size_t have = 0;
    while (have < (size_t)facts.st_size) {
        ssize_t count = read(fd, text + have, (size_t)facts.st_size - have);
        if (count < 0 && errno != EINTR) {
            return fail(err, path, "read");
        }
        if (count == 0) {
            break;
        }
        have += count < 0 ? 0 : (size_t)count;
    }
    *out = memory_steal(text);
    *len = have;
    return 0;
}

int disk_file_read(const char *dir, const char *name, size_t max_bytes, char **out, size_t *len,
                   struct err *err)
{
    char path[PATH_MAX];
    int result = join(path, dir, name, "", err);
    if (result != 0) {
        return result;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        return fail(err, path, "open");
    }
    result = read_open(fd, path, max_bytes, out, len, err);
    close(fd);
    return result;
}

int disk_file_lock(const char *dir, const char *name, int *fd, struct err *err)
{
    char path[PATH_MAX];
    int result = join(path, dir, name, "", err);
    if (result != 0) {
        return result;
    }
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0) {
        return fail(err, path, "cannot be opened");
    }
    if (flock(file, LOCK_EX | LOCK_NB) != 0) {
        close(file);
        return err_set(err, EBUSY, "%s is in use by another process", dir);
    }
    *fd = file;
    return 0;
}

int disk_file_remove(const char *dir, const char *name, struct err *err)
{
    char path[PATH_MAX];
    int result = join(path, dir, name, "", err);
    if (result == 0 && unlink(path) != 0 && errno != ENOENT) {
        result = fail(err, path, "unlink");
    }
    return result;
}
