#include "controller/restart_journal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "common/memory.h"
#include "controller/disk_file.h"
#include "proto/limits.h"

enum { SUM_DIGITS = 16, MARK_DROP = 'X', SLACK_BYTES = 64 * 1024 };

static const size_t FILE_MAX_BYTES = 64u * 1024 * 1024;

struct entry {
    char *container;
    enum journal_mark mark;
    char *text;
    UT_hash_handle hh;
};

struct restart_journal {
    char *dir;
    struct entry *entries;
    size_t live_bytes; /* what a rewrite would take */
    size_t file_bytes;
    _Bool must_rewrite;
};

static uint64_t sum_of(const char *bytes, size_t len)
{
    uint64_t sum = 0xcbf29ce484222325u;
    for (size_t i = 0; i < len; i++) {
        sum = (sum ^ (uint8_t)bytes[i]) * 0x100000001b3u;
    }
    return sum;
}

/* Blanks and control characters would break the line; Docker's names hold none. */
static void escape_name(const char *name, char *out)
{
    for (; *name != '\0'; name++) {
        unsigned char byte = (unsigned char)*name;
        if (byte <= ' ' || byte == '%' || byte == 0x7f) {
            out += sprintf(out, "%%%02x", byte);
        } else {
            *out++ = *name;
        }
    }
    *out = '\0';
}

static _Bool unescape_name(const char *text, size_t len, char out[LIMIT_NAME_SIZE])
{
    size_t used = 0;
    for (size_t i = 0; i < len; i++) {
        char byte = text[i];
        unsigned value = 0;
        if (byte == '%') {
            /* NOLINTNEXTLINE(cert-err34-c): two digits fit */
            if (i + 2 >= len || sscanf(text + i + 1, "%2x", &value) != 1 || value == 0) {
                return 0;
            }
            byte = (char)value;
            i += 2;
        }
        if (used + 1 >= LIMIT_NAME_SIZE) {
            return 0;
        }
        out[used++] = byte;
    }
    out[used] = '\0';
    return used > 0;
}

static char *format_line(const char *container, int mark, const char *text, size_t *len)
{
    char name[3 * LIMIT_NAME_SIZE];
    escape_name(container, name);
    size_t size = SUM_DIGITS + strlen(name) + strlen(text) + 8;
    char *line = memory_alloc(size);
    char *rest = line + SUM_DIGITS + 1;
    int rest_len = snprintf(rest, size - SUM_DIGITS - 1, "%c %s %s", mark, name, text);
    snprintf(line, SUM_DIGITS + 1, "%016" PRIx64, sum_of(rest, (size_t)rest_len));
    line[SUM_DIGITS] = ' ';
    rest[rest_len] = '\n';
    *len = SUM_DIGITS + 1 + (size_t)rest_len + 1;
    return line;
}

static struct entry *find(const struct restart_journal *journal, const char *container)
{
    struct entry *entry;
    HASH_FIND_STR(journal->entries, container, entry);
    return entry;
}

static size_t entry_bytes(const struct entry *entry)
{
    return SUM_DIGITS + 5 + strlen(entry->container) + strlen(entry->text);
}

static void drop_entry(struct restart_journal *journal, struct entry *entry)
{
    journal->live_bytes -= entry_bytes(entry);
    HASH_DEL(journal->entries, entry);
    free(entry->container);
    free(entry->text);
    free(entry);
}

static void set_entry(struct restart_journal *journal, const char *container, enum journal_mark mark,
                      const char *text)
{
    struct entry *entry = find(journal, container);
    if (entry == NULL) {
        entry = memory_alloc(sizeof *entry);
        entry->container = memory_copy_text(container);
        HASH_ADD_KEYPTR(hh, journal->entries, entry->container, strlen(entry->container), entry);
    } else {
        journal->live_bytes -= entry_bytes(entry);
        free(entry->text);
    }
    entry->mark = mark;
    entry->text = memory_copy_text(text);
    journal->live_bytes += entry_bytes(entry);
}

static _Bool take_line(struct restart_journal *journal, const char *line, size_t len)
{
    char digits[SUM_DIGITS + 1], name[LIMIT_NAME_SIZE];
    if (len < SUM_DIGITS + 5 || line[SUM_DIGITS] != ' ' || memchr(line, '\0', len) != NULL) {
        return 0;
    }
    memcpy(digits, line, SUM_DIGITS);
    digits[SUM_DIGITS] = '\0';
    char *end;
    uint64_t sum = strtoull(digits, &end, 16);
    const char *rest = line + SUM_DIGITS + 1;
    size_t rest_len = len - SUM_DIGITS - 1;
    if (*end != '\0' || sum != sum_of(rest, rest_len) || rest[1] != ' ') {
        return 0;
    }
    const char *blank = memchr(rest + 2, ' ', rest_len - 2);
    if (blank == NULL || !unescape_name(rest + 2, (size_t)(blank - rest - 2), name)) {
        return 0;
    }
    int mark = (unsigned char)rest[0];
    if (mark == MARK_DROP) {
        struct entry *entry = find(journal, name);
        if (entry != NULL) {
            drop_entry(journal, entry);
        }
        return 1;
    }
    if (mark != JOURNAL_STORED && mark != JOURNAL_PENDING && mark != JOURNAL_DELETE) {
        return 0;
    }
    cleanup_free char *text = strndup(blank + 1, (size_t)(rest + rest_len - blank - 1));
    set_entry(journal, name, (enum journal_mark)mark, text);
    return 1;
}

static size_t take_lines(struct restart_journal *journal, const char *bytes, size_t len)
{
    size_t damaged = 0;
    for (size_t start = 0; start < len;) {
        const char *newline = memchr(bytes + start, '\n', len - start);
        size_t line_len = newline == NULL ? len - start : (size_t)(newline - bytes) - start;
        /* A last line without its newline was being written when we died: its sum decides as well. */
        damaged += line_len > 0 && !take_line(journal, bytes + start, line_len);
        start += line_len + 1;
    }
    return damaged;
}

static int rewrite(struct restart_journal *journal, struct err *err)
{
    cleanup_free char *bytes = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&bytes, &size);
    if (out == NULL) {
        abort();
    }
    struct entry *entry, *next;
    HASH_ITER (hh, journal->entries, entry, next) {
        size_t len;
        cleanup_free char *line = format_line(entry->container, (int)entry->mark, entry->text, &len);
        fwrite(line, 1, len, out);
    }
    if (fclose(out) != 0) {
        abort();
    }
    int result = disk_file_replace(journal->dir, RESTART_JOURNAL_FILE, bytes, size, err);
    journal->must_rewrite = result != 0;
    journal->file_bytes = result == 0 ? size : journal->file_bytes;
    return result;
}

int restart_journal_open(const char *dir, struct restart_journal **out, size_t *damaged, struct err *err)
{
    struct restart_journal *journal = memory_alloc(sizeof *journal);
    journal->dir = memory_copy_text(dir);
    cleanup_free char *bytes = NULL;
    size_t len = 0;
    size_t bad = 0;
    struct err cause;
    int result = disk_file_read(dir, RESTART_JOURNAL_FILE, FILE_MAX_BYTES, &bytes, &len, &cause);
    if (result == 0) {
        bad = take_lines(journal, bytes, len);
    } else if (result != -ENOENT) {
        bad = 1;
    }
    /* What was read goes back at once, so that no torn tail spoils the first line we append. */
    result = rewrite(journal, err);
    if (result != 0) {
        restart_journal_close(journal);
        return result;
    }
    if (damaged != NULL) {
        *damaged = bad;
    }
    *out = journal;
    return 0;
}

void restart_journal_close(struct restart_journal *journal)
{
    if (journal == NULL) {
        return;
    }
    struct entry *entry, *next;
    HASH_ITER (hh, journal->entries, entry, next) {
        drop_entry(journal, entry);
    }
    free(journal->dir);
    free(journal);
}

/* The table already holds the change. */
static int write_change(struct restart_journal *journal, const char *container, int mark, const char *text,
                        struct err *err)
{
    size_t len;
    cleanup_free char *line = format_line(container, mark, text, &len);
    if (journal->must_rewrite || journal->file_bytes + len > 2 * journal->live_bytes + SLACK_BYTES) {
        return rewrite(journal, err);
    }
    int result = disk_file_append(journal->dir, RESTART_JOURNAL_FILE, line, len, DISK_FILE_NOW, err);
    journal->file_bytes += len;
    journal->must_rewrite = result != 0;
    return result;
}

int restart_journal_put(struct restart_journal *journal, const char *container, enum journal_mark mark,
                        const char *text, struct err *err)
{
    const char *kept = text == NULL ? "" : text;
    if (strchr(kept, '\n') != NULL || strlen(container) >= LIMIT_NAME_SIZE || *container == '\0') {
        return err_set(err, EINVAL, "a restart state of %s that is no single line", container);
    }
    if (find(journal, container) == NULL && HASH_COUNT(journal->entries) >= RESTART_JOURNAL_ENTRIES) {
        return err_set(err, ENOSPC, "the restart journal holds %d containers already",
                       RESTART_JOURNAL_ENTRIES);
    }
    set_entry(journal, container, mark, kept);
    return write_change(journal, container, (int)mark, kept, err);
}

int restart_journal_drop(struct restart_journal *journal, const char *container, struct err *err)
{
    struct entry *entry = find(journal, container);
    if (entry == NULL) {
        return 0;
    }
    cleanup_free char *name = memory_copy_text(container); /* it may be the entry's own */
    drop_entry(journal, entry);
    return write_change(journal, name, MARK_DROP, "", err);
}

void restart_journal_each(const struct restart_journal *journal,
                          void (*visit)(void *arg, const char *container, enum journal_mark mark,
                                        const char *text),
                          void *arg)
{
    struct entry *entry, *next;
    HASH_ITER (hh, journal->entries, entry, next) {
        visit(arg, entry->container, entry->mark, entry->text);
    }
}

size_t restart_journal_count(const struct restart_journal *journal)
{
    return HASH_COUNT(journal->entries);
}
