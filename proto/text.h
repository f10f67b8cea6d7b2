/*
 * Checks of text that came from outside, and a safe way to show it. Pure; nothing allocates.
 */
#ifndef DEFIB_PROTO_TEXT_H
#define DEFIB_PROTO_TEXT_H

#include <stdbool.h>
#include <stddef.h>

enum { TEXT_EXCERPT_SIZE = 65 };

/* Bytes of the UTF-8 character that starts at `text`, 1..4; 0 where none does (cut off, overlong, surrogate,
 * past U+10FFFF). left is at least 1. */
size_t text_character_bytes(const char *text, size_t left);

bool text_is_utf8(const char *text, size_t len);

/* How many bytes at the beginning are plain in every JSON string and every name: printable ASCII without
 * quote and backslash. */
size_t text_plain_bytes(const char *text, size_t len);

/* What may name a service, instance, container, host or id: not empty, valid UTF-8, no control characters. */
bool text_is_name(const char *text, size_t len);

/* `len` hex digits, either case. */
bool text_is_hex(const char *text, size_t len);

/* Copies at most size - 1 bytes, never a part of a UTF-8 character, and ends with NUL. Returns what it
 * copied. */
size_t text_cut(char *out, size_t size, const char *text, size_t len);

/* Puts `with` in the place of each ASCII control character: what came from outside stays one line, and moves
 * no cursor. */
void text_replace_controls(char *text, char with);

/* The beginning of `len` bytes for an error message: printable ASCII as it is, the rest as \xNN, at most 64
 * bytes, the last three of them dots where more came. */
void text_excerpt(char out[TEXT_EXCERPT_SIZE], const char *bytes, size_t len);

#endif
