#include "controller/ctl/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "controller/ctl/phrase.h"
#include "controller/ctl/table.h"

enum { TEXT_SIZE = 640 };

static const int64_t CLOCK_LIMIT_MS = 5000;

void doctor_say(struct doctor *doctor, enum doctor_level level, const char *check, const char *remedy,
                const char *format, ...)
{
    static const char *const words[] = {"ok", "note", "WARNING", "BAD"};
    static const enum table_color colors[] = {TABLE_GOOD, TABLE_DIM, TABLE_WARNING, TABLE_BAD};
    char text[TEXT_SIZE], first[32];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    doctor->findings += level >= DOCTOR_WARNING;
    if (doctor->ctl->is_json) {
        struct json_writer *writer = &doctor->writer;
        json_writer_open(writer, NULL, '{');
        json_writer_text(writer, "level", words[level]);
        json_writer_text(writer, "check", check);
        json_writer_text(writer, "finding", text);
        json_writer_text(writer, "remedy", remedy);
        json_writer_close(writer, '}');
        return;
    }
    const struct ctl *ctl = doctor->ctl;
    snprintf(first, sizeof first, "%-8s", words[level]);
    fputs(table_paint(colors[level], ctl->has_color), stdout);
    phrase_print(stdout, first, "        ", text, ctl->width);
    fputs(table_unpaint(ctl->has_color), stdout);
    if (remedy[0] != '\0') {
        phrase_print(stdout, "        -> ", "           ", remedy, ctl->width);
    }
}

void doctor_check_clock(struct doctor *doctor, const char *whose, int64_t theirs_ms)
{
    int64_t apart_ms = theirs_ms - clock_wall_now().ms;
    if (apart_ms > CLOCK_LIMIT_MS || apart_ms < -CLOCK_LIMIT_MS) {
        doctor_say(doctor, DOCTOR_WARNING, "clock",
                   "run an NTP client on both: times in logs and on the stream cannot be compared",
                   "The clock of %s is %lld s %s ours.", whose, (long long)llabs(apart_ms) / 1000,
                   apart_ms > 0 ? "ahead of" : "behind");
    }
}
