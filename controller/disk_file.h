/*
 * Small files in DEFIB_STATE_DIR that survive a kill at any instruction, and a power cut.
 *
 * A file is replaced as a whole (written beside, synced, renamed, the folder synced), or lines are appended
 * to it. Blocks for the milliseconds of an fsync; the files are tiny. Errors: 0 or -errno with the path.
 */
#ifndef DEFIB_CONTROLLER_DISK_FILE_H
#define DEFIB_CONTROLLER_DISK_FILE_H

#include <stddef.h>

#include "common/err.h"

enum disk_file_sync { DISK_FILE_LATER, DISK_FILE_NOW };

/* Makes the folder (0700) where it is missing, and proves that it can be written. */
int disk_file_make_dir(const char *dir, struct err *err);

int disk_file_replace(const char *dir, const char *name, const char *bytes, size_t len, struct err *err);

/* After a failure part of the bytes may stand in the file. */
int disk_file_append(const char *dir, const char *name, const char *bytes, size_t len,
                     enum disk_file_sync sync, struct err *err);

/* *out is given, NUL-terminated behind *len. -ENOENT where there is none; -EFBIG over max_bytes. */
int disk_file_read(const char *dir, const char *name, size_t max_bytes, char **out, size_t *len,
                   struct err *err);

/* Makes the file where it is missing and locks it for this process, until *fd is closed or the process ends.
 * -EBUSY where another process holds it. */
int disk_file_lock(const char *dir, const char *name, int *fd, struct err *err);

/* No such file is no error. */
int disk_file_remove(const char *dir, const char *name, struct err *err);

#endif
