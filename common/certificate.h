/*
 * When certificates end: libcrypto, its headers in certificate.c alone.
 */
#ifndef DEFIB_COMMON_CERTIFICATE_H
#define DEFIB_COMMON_CERTIFICATE_H

#include "common/clock.h"
#include "common/err.h"

/* Of a PEM file the one that ends first: a chain, or several CAs, count together. Blocks for the file. 0, or
 * -errno with one line that names the file. */
int certificate_read_end(const char *path, struct wall *out, struct err *err);

#endif
