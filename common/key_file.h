/*
 * DEFIB_KEY_FILE: the fleet keys, read once and again at SIGHUP. What is in it: proto/envelope.h.
 *
 * The file must belong to root or to the user we run as, and must not be readable or writable by anybody
 * else: whoever reads it can restart every container of the fleet. The check is made on the open file.
 */
#ifndef DEFIB_COMMON_KEY_FILE_H
#define DEFIB_COMMON_KEY_FILE_H

#include "common/err.h"
#include "proto/envelope.h"

enum { KEY_FILE_MAX_BYTES = 16 * 1024 };

/* Blocks for the read. No path, or an empty one, is an empty ring: unsigned. 0, or -errno with one line that
 * names DEFIB_KEY_FILE, the path and what to do, never a secret; *out is untouched then. */
int key_file_load(const char *path, struct key_ring *out, struct err *err);

#endif
