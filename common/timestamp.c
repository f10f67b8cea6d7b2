#include "common/timestamp.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

/* gmtime_r reads TZ and the zone files, so the calendar is worked out here (proleptic Gregorian). */

enum { DAY_SECS = 86400, DAYS_TO_1970 = 719468, ERA_DAYS = 146097 };

static const int64_t LAST_MS = INT64_C(253402300799999); /* 9999-12-31T23:59:59.999Z */

struct civil {
    int year, month, day;
};

/* Years are counted from 1 March, so that the leap day is the last of its year. */
static int64_t days_from_civil(struct civil date)
{
    int year = date.month <= 2 ? date.year - 1 : date.year;
    int era = (year >= 0 ? year : year - 399) / 400;
    int year_of_era = year - era * 400;
    int day_of_year = (153 * (date.month + (date.month > 2 ? -3 : 9)) + 2) / 5 + date.day - 1;
    int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return (int64_t)era * ERA_DAYS + day_of_era - DAYS_TO_1970;
}

/* Days from 1970 on. */
static struct civil civil_from_days(int days)
{
    int shifted = days + DAYS_TO_1970;
    int era = shifted / ERA_DAYS;
    int day_of_era = shifted % ERA_DAYS;
    int year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int shifted_month = (5 * day_of_year + 2) / 153;
    int month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
    return (struct civil){year_of_era + era * 400 + (month <= 2), month,
                          day_of_year - (153 * shifted_month + 2) / 5 + 1};
}

enum precision { WHOLE_SECONDS, MILLISECONDS };

/* Every heartbeat has some: snprintf takes four times as long. */
static char *put_digits(char *at, int value, int count)
{
    for (int i = count - 1; i >= 0; i--) {
        at[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return at + count;
}

static char *put_three(char *at, const int values[3], int first_digits, char between)
{
    at = put_digits(at, values[0], first_digits);
    *at++ = between;
    at = put_digits(at, values[1], 2);
    *at++ = between;
    return put_digits(at, values[2], 2);
}

static void format(struct wall when, enum precision precision, char out[TIMESTAMP_SIZE])
{
    if (when.ms <= 0) {
        out[0] = '\0';
        return;
    }
    int64_t ms = when.ms < LAST_MS ? when.ms : LAST_MS;
    int seconds = (int)(ms / 1000 % DAY_SECS);
    struct civil date = civil_from_days((int)(ms / 1000 / DAY_SECS));
    char *at = put_three(out, (int[3]){date.year, date.month, date.day}, 4, '-');
    *at++ = 'T';
    at = put_three(at, (int[3]){seconds / 3600, seconds / 60 % 60, seconds % 60}, 2, ':');
    if (precision == MILLISECONDS) {
        *at++ = '.';
        at = put_digits(at, (int)(ms % 1000), 3);
    }
    *at++ = 'Z';
    *at = '\0';
}

void timestamp_format(struct wall when, char out[TIMESTAMP_SIZE])
{
    format(when, WHOLE_SECONDS, out);
}

void timestamp_format_ms(struct wall when, char out[TIMESTAMP_SIZE])
{
    format(when, MILLISECONDS, out);
}

struct reader {
    const char *at, *end;
};

static bool take_digits(struct reader *reader, int count, int *out)
{
    int value = 0;
    for (int i = 0; i < count; i++) {
        if (reader->at == reader->end || *reader->at < '0' || *reader->at > '9') {
            return false;
        }
        value = value * 10 + (*reader->at++ - '0');
    }
    *out = value;
    return true;
}

static bool take(struct reader *reader, char wanted)
{
    if (reader->at == reader->end || *reader->at != wanted) {
        return false;
    }
    reader->at++;
    return true;
}

static bool take_date(struct reader *reader, struct civil *out)
{
    static const int MONTH_DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (!take_digits(reader, 4, &out->year) || !take(reader, '-') || !take_digits(reader, 2, &out->month) ||
        !take(reader, '-') || !take_digits(reader, 2, &out->day)) {
        return false;
    }
    if (out->month < 1 || out->month > 12 || out->day < 1) {
        return false;
    }
    bool is_leap = (out->year % 4 == 0 && out->year % 100 != 0) || out->year % 400 == 0;
    return out->day <= MONTH_DAYS[out->month - 1] + (out->month == 2 && is_leap);
}

/* Also a leap second, :60, which counts as the first second of the next minute. */
static bool take_clock(struct reader *reader, int *seconds)
{
    int hour, minute, second;
    if (!take_digits(reader, 2, &hour) || !take(reader, ':') || !take_digits(reader, 2, &minute) ||
        !take(reader, ':') || !take_digits(reader, 2, &second)) {
        return false;
    }
    *seconds = hour * 3600 + minute * 60 + second;
    return hour < 24 && minute < 60 && second <= 60;
}

static bool take_fraction(struct reader *reader, int *ms)
{
    *ms = 0;
    if (!take(reader, '.')) {
        return true;
    }
    int digit, weight = 100;
    if (!take_digits(reader, 1, &digit)) {
        return false;
    }
    do {
        *ms += digit * weight;
        weight /= 10;
    } while (take_digits(reader, 1, &digit));
    return true;
}

/* Seconds east of UTC. */
static bool take_zone(struct reader *reader, int *offset)
{
    *offset = 0;
    if (reader->at == reader->end || take(reader, 'Z') || take(reader, 'z')) {
        return true;
    }
    int sign = take(reader, '+') ? 1 : take(reader, '-') ? -1 : 0;
    int hour, minute;
    if (sign == 0 || !take_digits(reader, 2, &hour)) {
        return false;
    }
    (void)take(reader, ':');
    if (!take_digits(reader, 2, &minute) || hour > 23 || minute > 59) {
        return false;
    }
    *offset = sign * (hour * 3600 + minute * 60);
    return true;
}

int timestamp_parse(const char *text, size_t len, struct wall *out)
{
    struct reader reader = {text, text + len};
    struct civil date;
    int seconds, ms, offset;
    if (!take_date(&reader, &date) || (!take(&reader, 'T') && !take(&reader, 't') && !take(&reader, ' ')) ||
        !take_clock(&reader, &seconds) || !take_fraction(&reader, &ms) || !take_zone(&reader, &offset) ||
        reader.at != reader.end) {
        return -EINVAL;
    }
    int64_t total = (days_from_civil(date) * DAY_SECS + seconds - offset) * 1000 + ms;
    *out = (struct wall){total > 0 ? total : 0};
    return 0;
}
