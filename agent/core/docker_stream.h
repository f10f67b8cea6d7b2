/*
 * Docker's stream of stdout and stderr (frames of an 8-byte head and a body), as exec and logs without a TTY
 * answer it: taken apart, its end kept. Pure. Format: Engine API, "Attach to a container", stream format.
 */
#ifndef DEFIB_AGENT_CORE_DOCKER_STREAM_H
#define DEFIB_AGENT_CORE_DOCKER_STREAM_H

#include <stddef.h>

/* The last bytes of the bodies of both, at most size - 1, never beginning within a UTF-8 character; control
 * characters but newline and tab come out as blanks. NUL-terminated; returns its length. A stream that is
 * none (a TTY's, or broken off within a frame) is taken as plain text from there on. */
size_t docker_stream_tail(const char *bytes, size_t len, char *out, size_t size);

/* The last line of text that is not empty, cut to size; returns its length, 0: there is none. */
size_t docker_stream_last_line(const char *text, char *out, size_t size);

#endif
