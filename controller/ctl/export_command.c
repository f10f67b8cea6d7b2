#include "controller/ctl/export_command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/timestamp.h"
#include "controller/ctl/option_reader.h"
#include "controller/ctl/phrase.h"
#include "proto/keys.h"

enum { ID_SIZE = 64 };

#define PAGE "100"

struct export
{
    char from[ID_SIZE], to[ID_SIZE]; /* as XRANGE takes them */
    size_t count;
    struct wall first, last;
};

/* A line is a line: white space within JSON may be any. */
static void print_text(const struct desk_reply *text)
{
    for (size_t i = 0; i < text->len; i++) {
        bool is_break = text->text[i] == '\n' || text->text[i] == '\r';
        putchar(is_break ? ' ' : text->text[i]);
    }
    putchar('\n');
}

static bool print_entry(struct export *export, const struct desk_reply *entry)
{
    if (entry->count != 2 || entry->items[0].text == NULL) {
        return false;
    }
    print_text(&entry->items[0]);
    for (size_t i = 0; i < entry->items[1].count; i++) {
        if (entry->items[1].items[i].text != NULL) {
            print_text(&entry->items[1].items[i]);
        }
    }
    export->last.ms = strtoll(entry->items[0].text, NULL, 10);
    export->first = export->count++ == 0 ? export->last : export->first;
    snprintf(export->from, sizeof export->from, "(%.60s", entry->items[0].text);
    return true;
}

/* What is written while we read is not waited for: up to what was the newest. */
static int find_end(struct ctl *ctl, struct export *export, struct err *err)
{
    const char *argv[] = {"XREVRANGE", KEY_STREAM_EVENTS, export->to, export->from, "COUNT", "1"};
    cleanup_desk_reply struct desk_reply newest;
    int result = redis_desk_call(ctl->redis, 6, argv, &newest, err);
    if (result == 0 && newest.count == 1 && newest.items[0].count == 2 &&
        newest.items[0].items[0].text != NULL) {
        memory_set_text(export->to, sizeof export->to, newest.items[0].items[0].text);
    }
    return result;
}

static int write_all(struct ctl *ctl, struct export *export, struct err *err)
{
    int result = find_end(ctl, export, err);
    size_t got = result == 0 ? SIZE_MAX : 0;
    while (got > 0) {
        const char *argv[] = {"XRANGE", KEY_STREAM_EVENTS, export->from, export->to, "COUNT", PAGE};
        cleanup_desk_reply struct desk_reply page;
        result = redis_desk_call(ctl->redis, 6, argv, &page, err);
        if (result != 0) {
            return result;
        }
        for (got = 0; got < page.count; got++) {
            if (!print_entry(export, &page.items[got])) {
                return err_set(err, EIO, "Redis answers XRANGE with something else");
            }
        }
        if (fflush(stdout) != 0) {
            return err_set(err, errno, "stdout: %s", strerrordesc_np(errno));
        }
    }
    return result;
}

static void tell_what(const struct export *export)
{
    char first[TIMESTAMP_SIZE], last[TIMESTAMP_SIZE];
    timestamp_format(export->first, first);
    timestamp_format(export->last, last);
    if (export->count == 0) {
        fprintf(stderr, "defibctl: nothing stands on the stream for that time\n");
    } else {
        fprintf(stderr, "defibctl: %zu entries, from %s to %s\n", export->count, first, last);
    }
}

static bool read_time(const char *option, const char *text, char out[ID_SIZE])
{
    struct wall when;
    if (text == NULL) {
        return true;
    }
    if (!phrase_parse_time(text, clock_wall_now(), &when)) {
        ctl_complain("%s \"%.40s\": allowed are " PHRASE_TIMES, option, text);
        return false;
    }
    snprintf(out, ID_SIZE, "%" PRId64, when.ms);
    return true;
}

int export_command_run(struct ctl *ctl, int argc, char **argv)
{
    struct export export = {.from = "-", .to = "+"};
    const char *since = NULL, *until = NULL;
    const struct option_row rows[] = {
        {"--since", &since, NULL}, {"--until", &until, NULL}, {NULL, NULL, NULL}};
    struct option_reader words;
    struct err err;
    if (!option_reader_read(&words, rows, argc, argv, 0, 0, EXPORT_COMMAND_USAGE) ||
        !read_time("--since", since, export.from) || !read_time("--until", until, export.to)) {
        return CTL_USAGE;
    }
    if (write_all(ctl, &export, &err) != 0) {
        ctl_complain("export, after %zu entries: %s", export.count, err.text);
        return CTL_FAILED;
    }
    tell_what(&export);
    return CTL_FINE;
}
