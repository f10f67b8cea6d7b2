#include "proto/text.h"

#include <endian.h>
#include <stdint.h>
#include <string.h>

static bool is_continuation(unsigned char byte)
{
    return (byte & 0xc0) == 0x80;
}

size_t text_character_bytes(const char *text, size_t left)
{
    const unsigned char *at = (const unsigned char *)text;
    if (at[0] < 0x80) {
        return 1;
    }
    if (at[0] < 0xc2 || left < 2 || !is_continuation(at[1])) {
        return 0;
    }
    if (at[0] < 0xe0) {
        return 2;
    }
    if (left < 3 || !is_continuation(at[2])) {
        return 0;
    }
    if (at[0] < 0xf0) {
        bool is_overlong = at[0] == 0xe0 && at[1] < 0xa0;
        bool is_surrogate = at[0] == 0xed && at[1] > 0x9f;
        return is_overlong || is_surrogate ? 0 : 3;
    }
    bool is_out_of_range = (at[0] == 0xf0 && at[1] < 0x90) || at[0] > 0xf4 || (at[0] == 0xf4 && at[1] > 0x8f);
    return left < 4 || !is_continuation(at[3]) || is_out_of_range ? 0 : 4;
}

static bool is_plain(char byte)
{
    return byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
}

/* Of eight bytes. Each subtraction sets the top bit of a byte that is meant; a borrow only spoils bytes
 * behind one that is set. */
static size_t plain_of_eight(const char *bytes)
{
    const uint64_t each = 0x0101010101010101;
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    word = le64toh(word);
    uint64_t odd = ((word ^ each * '"') - each) | ((word ^ each * '\\') - each) |
                   ((word ^ each * 0x7f) - each) | (word - each * 0x20) | word;
    odd &= each * 0x80;
    return odd == 0 ? 8 : (size_t)__builtin_ctzll(odd) / 8;
}

size_t text_plain_bytes(const char *text, size_t len)
{
    size_t at = 0;
    while (len - at >= 8) {
        size_t plain = plain_of_eight(text + at);
        at += plain;
        if (plain < 8) {
            return at;
        }
    }
    while (at < len && is_plain(text[at])) {
        at++;
    }
    return at;
}

bool text_is_utf8(const char *text, size_t len)
{
    for (size_t at = 0; at < len;) {
        size_t bytes = text_character_bytes(text + at, len - at);
        if (bytes == 0) {
            return false;
        }
        at += bytes;
    }
    return true;
}

bool text_is_name(const char *text, size_t len)
{
    for (size_t at = 0; (at += text_plain_bytes(text + at, len - at)) < len;) {
        unsigned char first = (unsigned char)text[at];
        if (first < 0x80) {
            if (first < 0x20 || first == 0x7f) {
                return false;
            }
            at++;
            continue;
        }
        size_t bytes = text_character_bytes(text + at, len - at);
        bool is_c1_control = first == 0xc2 && bytes == 2 && (unsigned char)text[at + 1] < 0xa0;
        if (bytes == 0 || is_c1_control) {
            return false;
        }
        at += bytes;
    }
    return len > 0;
}

bool text_is_hex(const char *text, size_t len)
{
    for (size_t at = 0; at < len; at++) {
        char digit = text[at];
        bool is_hex = (digit >= '0' && digit <= '9') || (digit >= 'a' && digit <= 'f') ||
                      (digit >= 'A' && digit <= 'F');
        if (!is_hex) {
            return false;
        }
    }
    return true;
}

size_t text_cut(char *out, size_t size, const char *text, size_t len)
{
    size_t kept = len;
    if (kept > size - 1) {
        kept = size - 1;
        while (kept > 0 && is_continuation((unsigned char)text[kept])) {
            kept--;
        }
    }
    memcpy(out, text, kept);
    out[kept] = '\0';
    return kept;
}

void text_replace_controls(char *text, char with)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f) {
            *text = with;
        }
    }
}

void text_excerpt(char out[TEXT_EXCERPT_SIZE], const char *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    size_t room = TEXT_EXCERPT_SIZE - 1;
    size_t used = 0;
    size_t end_with_dots = 0;
    for (size_t at = 0; at < len; at++) {
        unsigned char byte = (unsigned char)bytes[at];
        bool is_plain = byte >= 0x20 && byte < 0x7f && byte != '\\';
        size_t wanted = is_plain ? 1 : 4;
        if (used + 3 <= room) {
            end_with_dots = used;
        }
        if (used + wanted > room) {
            memcpy(out + end_with_dots, "...", 3);
            used = end_with_dots + 3;
            break;
        }
        if (is_plain) {
            out[used] = (char)byte;
        } else {
            memcpy(out + used, "\\x", 2);
            out[used + 2] = digits[byte >> 4];
            out[used + 3] = digits[byte & 15];
        }
        used += wanted;
    }
    out[used] = '\0';
}
