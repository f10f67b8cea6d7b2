#include "controller/ctl/phrase.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/timestamp.h"

static const int64_t DAY_MS = 86400000;

static void format_span(int64_t ms, char out[PHRASE_SIZE])
{
    int64_t secs = ms / 1000;
    if (secs < 120) {
        snprintf(out, PHRASE_SIZE, "%llds", (long long)secs);
    } else if (secs < 7200) {
        snprintf(out, PHRASE_SIZE, "%lldm", (long long)(secs / 60));
    } else if (secs < 172800) {
        snprintf(out, PHRASE_SIZE, "%lldh", (long long)(secs / 3600));
    } else {
        snprintf(out, PHRASE_SIZE, "%lldd", (long long)(secs / 86400));
    }
}

void phrase_age(struct wall when, struct wall now, char out[PHRASE_SIZE])
{
    out[0] = '\0';
    if (when.ms != 0) {
        format_span(now.ms > when.ms ? now.ms - when.ms : 0, out);
    }
}

void phrase_in(struct wall when, struct wall now, char out[PHRASE_SIZE])
{
    out[0] = '\0';
    if (when.ms == 0) {
        return;
    }
    if (when.ms <= now.ms) {
        snprintf(out, PHRASE_SIZE, "now");
        return;
    }
    format_span(when.ms - now.ms + 999, out);
}

static int64_t unit_ms(char unit)
{
    switch (unit) {
    case 's':
    case '\0':
        return 1000;
    case 'm':
        return 60000;
    case 'h':
        return 3600000;
    case 'd':
        return DAY_MS;
    default:
        return 0;
    }
}

bool phrase_parse_duration(const char *text, int64_t *ms)
{
    int64_t total = 0;
    if (*text == '\0') {
        return false;
    }
    while (*text != '\0') {
        char *end;
        if (!isdigit((unsigned char)*text)) {
            return false;
        }
        long long number = strtoll(text, &end, 10);
        int64_t unit = unit_ms(*end);
        if (unit == 0 || number > 366 * 86400) {
            return false;
        }
        total += number * unit;
        text = *end == '\0' ? end : end + 1;
    }
    *ms = total;
    return total > 0 && total <= 366 * DAY_MS;
}

static bool parse_clock(const char *text, struct wall now, struct wall *out)
{
    unsigned hour, minute, second = 0;
    int used = 0;
    /* NOLINTNEXTLINE(cert-err34-c): ranges are checked below */
    int fields = sscanf(text, "%2u:%2u%n:%2u%n", &hour, &minute, &used, &second, &used);
    if (fields < 2 || text[used] != '\0' || hour > 23 || minute > 59 || second > 59) {
        return false;
    }
    int64_t of_day = ((int64_t)hour * 3600 + minute * 60 + second) * 1000;
    out->ms = now.ms - now.ms % DAY_MS + of_day;
    out->ms -= out->ms > now.ms ? DAY_MS : 0;
    return true;
}

bool phrase_parse_time(const char *text, struct wall now, struct wall *out)
{
    int64_t ms;
    if (phrase_parse_duration(text, &ms)) {
        out->ms = now.ms - ms;
        return true;
    }
    return parse_clock(text, now, out) || (timestamp_parse(text, strlen(text), out) == 0 && out->ms > 0);
}

void phrase_print(FILE *out, const char *first, const char *rest, const char *text, int width)
{
    int used = fprintf(out, "%s", first);
    bool has_word = false; /* on this line */
    while (*text != '\0') {
        int len = (int)strcspn(text, " ");
        if (has_word && used + 1 + len > width) {
            used = fprintf(out, "\n%s", rest) - 1;
            has_word = false;
        }
        used += fprintf(out, "%s%.*s", has_word ? " " : "", len, text);
        has_word = true;
        text += len + (text[len] == ' ');
    }
    fputc('\n', out);
}
