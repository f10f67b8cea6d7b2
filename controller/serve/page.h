/*
 * The page at `/`: one document with its style and script inside, made at build time from the files in
 * controller/serve/page/. It fetches nothing but the API of the server that it came from.
 */
#ifndef DEFIB_CONTROLLER_SERVE_PAGE_H
#define DEFIB_CONTROLLER_SERVE_PAGE_H

#include <stddef.h>

const char *page_document(size_t *len); /* static */

/* "Name: value\n…" for its answer, given. The Content-Security-Policy names the style and the script by their
 * SHA-256: a browser runs exactly these, whatever else may have found its way into the page. */
char *page_headers(void);

#endif
