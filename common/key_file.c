#include "common/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int check_file(int fd, const char *path, struct err *err)
{
    struct stat stat;
    if (fstat(fd, &stat) != 0) {
        return err_set(err, errno, "DEFIB_KEY_FILE %s: %s", path, strerror(errno));
    }
    if (!S_ISREG(stat.st_mode)) {
        return err_set(err, EINVAL, "DEFIB_KEY_FILE %s: not a plain file", path);
    }
    if ((stat.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        return err_set(err, EACCES,
                       "DEFIB_KEY_FILE %s: open to others (mode %04o), allowed is 0600 or 0400: chmod 600",
                       path, (unsigned)(stat.st_mode & 07777));
    }
    if (stat.st_uid != 0 && stat.st_uid != geteuid()) {
        return err_set(err, EACCES, "DEFIB_KEY_FILE %s: belongs to user %u, allowed are root and user %u",
                       path, (unsigned)stat.st_uid, (unsigned)geteuid());
    }
    if (stat.st_size > KEY_FILE_MAX_BYTES) {
        return err_set(err, EFBIG, "DEFIB_KEY_FILE %s: over %d bytes", path, KEY_FILE_MAX_BYTES);
    }
    return 0;
}

static int read_keys(int fd, const char *path, struct key_ring *out, struct err *err)
{
    char text[KEY_FILE_MAX_BYTES + 1];
    size_t len = 0;
    for (;;) {
        ssize_t got = read(fd, text + len, sizeof text - len);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            explicit_bzero(text, sizeof text);
            return err_set(err, errno, "DEFIB_KEY_FILE %s: %s", path, strerror(errno));
        }
        len += (size_t)got;
        if (got == 0 || len == sizeof text) {
            break;
        }
    }
    struct key_ring ring;
    int code = len > KEY_FILE_MAX_BYTES ? err_set(err, EFBIG, "over %d bytes", KEY_FILE_MAX_BYTES)
                                        : key_ring_parse(text, len, &ring, err);
    explicit_bzero(text, sizeof text);
    if (code != 0) {
        err_wrap(err, "DEFIB_KEY_FILE %s", path);
        return code;
    }
    *out = ring;
    key_ring_wipe(&ring);
    return 0;
}

int key_file_load(const char *path, struct key_ring *out, struct err *err)
{
    if (path == NULL || path[0] == '\0') {
        key_ring_wipe(out);
        return 0;
    }
    /* Not blocking: a FIFO put there would hold up the start for ever. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return err_set(err, errno, "DEFIB_KEY_FILE %s: %s", path, strerror(errno));
    }
    int code = check_file(fd, path, err);
    if (code == 0) {
        code = read_keys(fd, path, out, err);
    }
    close(fd);
    return code;
}
