/*
 * Files that are part of the program: the bytes of controller/serve/openapi.json.
 */
#ifndef DEFIB_CONTROLLER_SERVE_DOCUMENTS_H
#define DEFIB_CONTROLLER_SERVE_DOCUMENTS_H

#include <stddef.h>

const char *documents_openapi(size_t *len); /* static */

#endif
