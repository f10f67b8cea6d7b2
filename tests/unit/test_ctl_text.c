/* What defibctl reads and writes: options, durations, times, tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/ctl/ctl.h"
#include "controller/ctl/event_command.h"
#include "controller/ctl/option_reader.h"
#include "controller/ctl/phrase.h"
#include "controller/ctl/table.h"

static char complaint[512];

void ctl_complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(complaint, sizeof complaint, format, args);
    va_end(args);
}

/* 2026-11-24T12:00:00Z */
static const struct wall NOON = {1795521600000};

static void durations_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms; /* 0: refused */
    } rows[] = {
        {"30s", 30000}, {"15m", 900000}, {"2h", 7200000}, {"1d", 86400000}, {"1h30m", 5400000},
        {"90", 90000},  {"", 0},         {"0", 0},        {"-5m", 0},       {"5 m", 0},
        {"5w", 0},      {"m", 0},        {"400d", 0},     {"366d1s", 0},    {"99999999999999999999s", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t ms = 0;
        bool is_read = phrase_parse_duration(rows[i].text, &ms);
        assert_int_equal(is_read, rows[i].ms != 0);
        if (is_read) {
            assert_int_equal(ms, rows[i].ms);
        }
    }
}

static void times_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t before_noon_ms; /* -1: refused */
    } rows[] = {
        {"10m", 600000},
        {"11:59", 60000},
        {"11:59:30", 30000},
        {"12:01", 86340000}, /* yesterday */
        {"12:00", 0},
        {"2026-11-24T11:00:00Z", 3600000},
        {"24:00", -1},
        {"11:60", -1},
        {"11:59x", -1},
        {"yesterday", -1},
        {"2026-11-24 nonsense", -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct wall when = {0};
        bool is_read = phrase_parse_time(rows[i].text, NOON, &when);
        assert_int_equal(is_read, rows[i].before_noon_ms >= 0);
        if (is_read) {
            assert_int_equal(NOON.ms - when.ms, rows[i].before_noon_ms);
        }
    }
}

static void ages_and_countdowns(void **state)
{
    (void)state;
    char text[PHRASE_SIZE];
    phrase_age((struct wall){0}, NOON, text);
    assert_string_equal(text, "");
    phrase_age((struct wall){NOON.ms - 119999}, NOON, text);
    assert_string_equal(text, "119s");
    phrase_age((struct wall){NOON.ms - 120000}, NOON, text);
    assert_string_equal(text, "2m");
    phrase_age((struct wall){NOON.ms + 5000}, NOON, text); /* another machine's clock */
    assert_string_equal(text, "0s");
    phrase_in((struct wall){NOON.ms + 1}, NOON, text); /* never 0 before it is over */
    assert_string_equal(text, "1s");
    phrase_in(NOON, NOON, text);
    assert_string_equal(text, "now");
}

static const char *host;
static bool is_json;
static const struct option_row options[] = {
    {"--host", &host, NULL}, {"--json", NULL, &is_json}, {NULL, NULL, NULL}};

static bool read_words(struct option_reader *reader, size_t min, size_t max, const char *words)
{
    static char text[256];
    char *argv[16];
    int argc = 0;
    char *save;
    host = NULL;
    is_json = false;
    complaint[0] = '\0';
    snprintf(text, sizeof text, "%s", words);
    for (char *word = strtok_r(text, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save)) {
        argv[argc++] = word;
    }
    return option_reader_read(reader, options, argc, argv, min, max, "status [--host HOST]");
}

static void options_are_read(void **state)
{
    (void)state;
    struct option_reader reader;
    assert_true(read_words(&reader, 0, 2, "a --host h1 --json b"));
    assert_string_equal(host, "h1");
    assert_true(is_json);
    assert_int_equal(reader.count, 2);
    assert_string_equal(reader.names[1], "b");
    assert_true(read_words(&reader, 0, 2, "--host=h1"));
    assert_string_equal(host, "h1");
    assert_true(read_words(&reader, 0, 2, "-- --json -"));
    assert_false(is_json);
    assert_string_equal(reader.names[0], "--json");
    assert_string_equal(reader.names[1], "-");
}

static void bad_options_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *words, *complaint;
    } rows[] = {
        {"--hots h1", "did you mean --host?"},
        {"--xyzzy", "\"--xyzzy\" is not known; usage: defibctl status"},
        {"--host", "--host needs a value"},
        {"--json=yes", "--json takes no value"},
        {"a b c", "\"c\" is one word too many"},
        {"", "a name is missing"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct option_reader reader;
        assert_false(read_words(&reader, 1, 2, rows[i].words));
        assert_non_null(strstr(complaint, rows[i].complaint));
    }
}

static char *print_table(const struct table *table, int width, bool has_color)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    table_print(table, width, has_color, out);
    fclose(out);
    return text;
}

static size_t widest_line(const char *text)
{
    size_t widest = 0, width = 0;
    for (; *text != '\0'; text++) {
        width = *text == '\n' ? 0 : width + (((unsigned char)*text & 0xc0) != 0x80);
        widest = width > widest ? width : widest;
    }
    return widest;
}

static void tables_fit(void **state)
{
    (void)state;
    static const char *const heads[] = {"NAME", "STATE", "WHY", NULL};
    struct table *table = table_new(heads);
    table_add(table, TABLE_PLAIN, (const char *[]){"web-1", "UP", ""});
    table_add(table, TABLE_BAD, (const char *[]){"größe-1", "FAILED", "it is in the deny list"});
    char *text = print_table(table, 80, false);
    assert_string_equal(text, "NAME     STATE   WHY\n"
                              "web-1    UP\n"
                              "größe-1  FAILED  it is in the deny list\n");
    free(text);
    text = print_table(table, 34, false);
    assert_non_null(strstr(text, "größe-1  FAILED  it is in the den…"));
    free(text);
    table_add(table, TABLE_PLAIN,
              (const char *[]){"a-name-that-goes-on-and-on-and-on-for-ever-and-ever-and-a-day", "UP",
                               "a\nb\033[31m"});
    for (int width = 40; width < 90; width += 7) {
        text = print_table(table, width, false);
        assert_true(widest_line(text) <= (size_t)width);
        assert_null(strchr(text, '\033')); /* nothing from outside moves the cursor */
        free(text);
    }
    text = print_table(table, 80, true);
    assert_non_null(strstr(text, "\033[1;31mgröße-1"));
    free(text);
    table_free(table);
}

static void text_is_wrapped(void **state)
{
    (void)state;
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    phrase_print(out, "- ", "  ", "one two three four", 12);
    fclose(out);
    assert_string_equal(text, "- one two\n  three four\n");
    free(text);
    out = open_memstream(&text, &len);
    phrase_print(out, "", "  ", "1 two three four", 9); /* a short first word, and a deep rest */
    fclose(out);
    assert_string_equal(text, "1 two\n  three\n  four\n");
    free(text);
}

static void events_become_lines(void **state)
{
    (void)state;
    static const struct {
        const char *json, *line; /* NULL: no entry */
    } rows[] = {
        {"{\"kind\":\"transition\",\"timestamp\":\"T\",\"container\":\"a\",\"from\":\"UP\",\"to\":\"DOWN\","
         "\"reason\":\"settling\",\"detail\":\"oom\"}",
         "T  a  UP -> DOWN: settling (oom)"},
        {"{\"kind\":\"decision\",\"timestamp\":\"T\",\"container\":\"a\",\"action\":\"none\",\"reason\":"
         "\"deny_list\","
         "\"gate\":\"deny\"}",
         "T  a  not restarted: deny_list, gate deny"},
        {"{\"kind\":\"decision\",\"timestamp\":\"T\",\"container\":\"a\",\"action\":\"start\",\"reason\":"
         "\"missing_heartbeat\",\"attempt\":2}",
         "T  a  start: attempt 2, missing_heartbeat"},
        {"{\"kind\":\"operator\",\"timestamp\":\"T\",\"host\":\"h1\",\"action\":\"hold\",\"reason\":\"host "
         "h1\","
         "\"detail\":\"by x\"}",
         "T  h1  operator: hold host h1, by x"},
        {"{\"type\": \"REDIS_LOST\", \"timestamp\": \"T\", \"reason\": \"redis_away\", \"action\": null}",
         "T  -  ALERT REDIS_LOST redis_away"},
        {"{\"kind\":\"controller\",\"timestamp\":\"T\",\"event\":\"e\\u001b[31m\"}",
         "T  -  controller e?[31m"},
        {"[]", NULL},
        {"junk", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char line[4096] = "";
        bool is_entry = event_command_line(rows[i].json, strlen(rows[i].json), line, sizeof line);
        assert_int_equal(is_entry, rows[i].line != NULL);
        assert_string_equal(line, rows[i].line == NULL ? "" : rows[i].line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_read),      cmocka_unit_test(times_are_read),
        cmocka_unit_test(ages_and_countdowns),     cmocka_unit_test(options_are_read),
        cmocka_unit_test(bad_options_are_refused), cmocka_unit_test(tables_fit),
        cmocka_unit_test(text_is_wrapped),         cmocka_unit_test(events_become_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
