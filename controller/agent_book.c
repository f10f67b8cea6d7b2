#include "controller/agent_book.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/memory.h"
#include "controller/disk_file.h"
#include "proto/limits.h"

static const size_t FILE_MAX_BYTES = (size_t)AGENT_BOOK_HOSTS * (LIMIT_NAME_SIZE + LIMIT_URL_SIZE);

static bool is_plain(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text <= ' ' || *text == 0x7f) {
            return false;
        }
    }
    return true;
}

bool agent_book_is_entry(const char *host, const char *url)
{
    return *host != '\0' && strlen(host) < LIMIT_NAME_SIZE && strlen(url) < LIMIT_URL_SIZE &&
           is_plain(host) && is_plain(url) && strchr(host, '=') == NULL && strstr(url, "://") != NULL;
}

/* Splits in place; false where it is no entry. */
static bool visit_entry(char *part, void (*visit)(void *arg, const char *host, const char *url), void *arg)
{
    char *equals = strchr(part, '=');
    if (equals == NULL) {
        return false;
    }
    *equals = '\0';
    bool is_entry = agent_book_is_entry(part, equals + 1);
    if (is_entry) {
        visit(arg, part, equals + 1);
    } else {
        *equals = '=';
    }
    return is_entry;
}

static char *trim(char *text)
{
    text += strspn(text, " \t");
    size_t len = strlen(text);
    while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t')) {
        text[--len] = '\0';
    }
    return text;
}

int agent_book_parse(const char *text, void (*visit)(void *arg, const char *host, const char *url), void *arg,
                     struct err *err)
{
    cleanup_free char *copy = memory_copy_text(text);
    char *save;
    for (char *part = strtok_r(copy, ",", &save); part != NULL; part = strtok_r(NULL, ",", &save)) {
        part = trim(part);
        if (*part != '\0' && !visit_entry(part, visit, arg)) {
            return err_set(err, EINVAL, "DEFIB_AGENTS: \"%.64s\" is not of the form host=url", part);
        }
    }
    return 0;
}

void agent_book_read(const char *dir, void (*visit)(void *arg, const char *host, const char *url), void *arg)
{
    cleanup_free char *bytes = NULL;
    size_t len, damaged = 0, count = 0;
    struct err err;
    int result = disk_file_read(dir, AGENT_BOOK_FILE, FILE_MAX_BYTES, &bytes, &len, &err);
    if (result != 0) {
        if (result != -ENOENT) {
            log_warning("Cannot read the known agents: %s", err.text);
        }
        return;
    }
    char *save;
    for (char *line = strtok_r(bytes, "\n", &save); line != NULL && count < AGENT_BOOK_HOSTS;
         line = strtok_r(NULL, "\n", &save), count++) {
        damaged += !visit_entry(line, visit, arg);
    }
    if (damaged > 0) {
        log_warning("%s: %zu damaged lines were skipped", AGENT_BOOK_FILE, damaged);
    }
}

static void put_line(void *book, const char *host, const char *url)
{
    fprintf(book, "%s=%s\n", host, url);
}

int agent_book_write(const char *dir,
                     void (*each)(void *arg, void (*put)(void *book, const char *host, const char *url),
                                  void *book),
                     void *arg, struct err *err)
{
    cleanup_free char *bytes = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&bytes, &size);
    if (out == NULL) {
        abort();
    }
    each(arg, put_line, out);
    if (fclose(out) != 0) {
        abort();
    }
    return disk_file_replace(dir, AGENT_BOOK_FILE, bytes, size, err);
}
