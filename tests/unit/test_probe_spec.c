#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "agent/core/probe_spec.h"
#include "common/memory.h"

struct told {
    int count;
    char last[512];
};

static void on_complaint(void *arg, const char *text)
{
    struct told *told = arg;
    told->count++;
    snprintf(told->last, sizeof told->last, "%s", text);
}

/* One check named web with up to two options; NULL ends. */
static void read(const char *target, const char *const options[][2], struct probe_list *out,
                 struct told *told)
{
    struct label_list labels = {0};
    *told = (struct told){0};
    for (size_t i = 0; options != NULL && options[i][0] != NULL; i++) {
        label_list_add(&labels, options[i][0], options[i][1]);
    }
    if (target != NULL) {
        label_list_add(&labels, "defib.check.web", target);
    }
    probe_spec_read(&labels, out, on_complaint, told);
    label_list_fini(&labels);
}

static void takes_good_targets_apart(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        struct probe_spec spec;
    } cases[] = {
        {"http://:8080/healthz", {.kind = PROBE_HTTP, .port = 8080, .path = "/healthz"}},
        {"http://:8080", {.kind = PROBE_HTTP, .port = 8080, .path = "/"}},
        {"http:///x?y=1", {.kind = PROBE_HTTP, .port = 80, .path = "/x?y=1"}},
        {"https://api.example.com/",
         {.kind = PROBE_HTTPS, .host = "api.example.com", .port = 443, .path = "/"}},
        {"https://[::1]:8443/a", {.kind = PROBE_HTTPS, .host = "::1", .port = 8443, .path = "/a"}},
        {"tcp://:5432", {.kind = PROBE_TCP, .port = 5432, .path = "/"}},
        {"tcp://10.0.0.1:1", {.kind = PROBE_TCP, .host = "10.0.0.1", .port = 1, .path = "/"}},
        {"redis://", {.kind = PROBE_REDIS, .port = 6379, .path = "/"}},
        {"redis://:6380", {.kind = PROBE_REDIS, .port = 6380, .path = "/"}},
        {"redis://:se:cret@:6380", {.kind = PROBE_REDIS, .port = 6380, .path = "/", .password = "se:cret"}},
        {"redis://me:pw@cache/",
         {.kind = PROBE_REDIS, .host = "cache", .port = 6379, .path = "/", .user = "me", .password = "pw"}},
        {"postgres://", {.kind = PROBE_POSTGRES, .port = 5432, .path = "/"}},
        {"postgres://app@:5433/orders",
         {.kind = PROBE_POSTGRES, .port = 5433, .path = "/", .user = "app", .database = "orders"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct probe_list list;
        struct told told;
        read(cases[i].target, NULL, &list, &told);
        if (told.count != 0 || list.count != 1) {
            fail_msg("%s: %zu checks, %s", cases[i].target, list.count, told.last);
        }
        const struct probe_spec *spec = &list.items[0], *wanted = &cases[i].spec;
        assert_string_equal("web", spec->name);
        assert_int_equal(wanted->kind, spec->kind);
        assert_int_equal(wanted->port, spec->port);
        assert_string_equal(wanted->host, spec->host);
        assert_string_equal(wanted->path, spec->path);
        assert_string_equal(wanted->user, spec->user);
        assert_string_equal(wanted->password, spec->password);
        assert_string_equal(wanted->database, spec->database);
        assert_int_equal(10000, spec->interval_ms);
        assert_int_equal(3000, spec->timeout_ms);
        assert_int_equal(3, spec->retries);
        assert_false(spec->is_required);
        probe_spec_free(&list);
    }
}

static void splits_the_words_of_a_command(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        const char *words[4];
    } cases[] = {
        {"exec:pg_isready -q", {"pg_isready", "-q"}},
        {"exec: \ta  b ", {"a", "b"}},
        {"exec:sh -c 'a && b \"c\"'", {"sh", "-c", "a && b \"c\""}},
        {"exec:echo \"a \\\" b\" c\\ d", {"echo", "a \" b", "c d"}},
        {"exec:test '' x", {"test", "", "x"}},
        {"exec:a'b'\"c\"", {"abc"}},
        {"exec:a\tb", {"a", "b"}},
        {"exec:a\\", {"a\\"}}, /* nothing behind it to take as it is */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct probe_list list;
        struct told told;
        read(cases[i].target, NULL, &list, &told);
        assert_int_equal(1, list.count);
        const char *word = list.items[0].command;
        size_t count = 0;
        for (; count < 4 && cases[i].words[count] != NULL; count++) {
            assert_string_equal(cases[i].words[count], word);
            word += strlen(word) + 1;
        }
        assert_int_equal(count, list.items[0].word_count);
        probe_spec_free(&list);
    }
}

static void a_target_that_is_none_is_reported_and_not_there(void **state)
{
    (void)state;
    static const char *const targets[] = {
        "",
        "http",
        "http:/:80",
        "htp://:80",
        "http://:0",
        "http://:65536",
        "http://:8o",
        "http://a:80:90",
        "http://[::1",
        "http://[]:80",
        "http://user@h:80/",
        "http://:80/a b",
        "http://:80/a\x7f",
        "http://:123456",
        "http://:",
        "executable",
        "tcp://",
        "tcp://h",
        "tcp://:80/x",
        "tcp://u:p@h:1",
        "redis://me@h",
        "redis://:@h",
        "redis://h/1",
        "postgres://u:p@h",
        "postgres://@h",
        "postgres://h/a/b",
        "postgres://h?x=1",
        "exec:",
        "exec:  ",
        "exec:'open",
        "exec:a \"b",
        "exec://x\001",
        "ftp://h:21",
        "HTTP://:80",
    };
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        struct probe_list list;
        struct told told;
        char start[128];
        read(targets[i], NULL, &list, &told);
        if (list.count != 0 && strcmp(targets[i], "exec://x\001") != 0) {
            fail_msg("%s was taken", targets[i]);
        }
        if (list.count == 0) {
            assert_int_equal(1, told.count);
            snprintf(start, sizeof start, "label defib.check.web=%s is not used: allowed are http://[host]",
                     targets[i]);
            assert_memory_equal(start, told.last, strlen(start));
        }
        probe_spec_free(&list);
    }
}

static void takes_options_and_reports_bad_ones(void **state)
{
    (void)state;
    struct probe_list list;
    struct told told;
    static const char *const good[][2] = {{"defib.check.web.interval", "0.5"},
                                          {"defib.check.web.timeout", "1"},
                                          {"defib.check.web.retries", "1"},
                                          {"defib.check.web.start_period", "90"},
                                          {"defib.check.web.required", "true"},
                                          {"defib.check.web.status", "204,300-302,5xx"},
                                          {"defib.check.web.body", "all is well"},
                                          {"defib.check.web.ca", "/etc/ca.pem"},
                                          {NULL, NULL}};
    read("https://:1", good, &list, &told);
    assert_int_equal(0, told.count);
    const struct probe_spec *spec = &list.items[0];
    assert_int_equal(500, spec->interval_ms);
    assert_int_equal(1000, spec->timeout_ms);
    assert_int_equal(1, spec->retries);
    assert_int_equal(90000, spec->start_period_ms);
    assert_true(spec->is_required);
    assert_int_equal(3, spec->status_count);
    assert_true(spec->statuses[0].low == 204 && spec->statuses[0].high == 204);
    assert_true(spec->statuses[1].low == 300 && spec->statuses[1].high == 302);
    assert_true(spec->statuses[2].low == 500 && spec->statuses[2].high == 599);
    assert_string_equal("all is well", spec->body);
    assert_string_equal("/etc/ca.pem", spec->ca_file);
    probe_spec_free(&list);
    static const char *const bad[][3] = {
        {"defib.check.web.interval", "0", "seconds from 0.1 to 86400"},
        {"defib.check.web.interval", "1e3", "seconds from 0.1 to 86400"},
        {"defib.check.web.timeout", "61", "seconds from 0.1 to 60"},
        {"defib.check.web.retries", "0", "whole numbers from 1 to 100"},
        {"defib.check.web.required", "yes", "true and false"},
        {"defib.check.web.status", "20", "up to 8 comma-separated statuses"},
        {"defib.check.web.status", "300-200", "up to 8 comma-separated statuses"},
        {"defib.check.web.status", "200,", "up to 8 comma-separated statuses"},
        {"defib.check.web.status", "6xx", "up to 8 comma-separated statuses"},
        {"defib.check.web.body", "", "1 to 255 bytes"},
        {"defib.check.web.interval", "", "seconds from 0.1 to 86400"},
        {"defib.check.web.interval", ".", "seconds from 0.1 to 86400"},
        {"defib.check.web.interval", "1.2.3", "seconds from 0.1 to 86400"},
        {"defib.check.web.interval", "00000000000000001", "seconds from 0.1 to 86400"},
        {"defib.check.web.interval", "86401", "seconds from 0.1 to 86400"},
        {"defib.check.web.start_period", "86401", "seconds from 0 to 86400"},
        {"defib.check.web.retries", "", "whole numbers from 1 to 100"},
        {"defib.check.web.retries", "101", "whole numbers from 1 to 100"},
        {"defib.check.web.retries", "1000", "whole numbers from 1 to 100"},
        {"defib.check.web.retries", "3x", "whole numbers from 1 to 100"},
        {"defib.check.web.status", "2yx", "up to 8 comma-separated statuses"},
        {"defib.check.web.status", "2xy", "up to 8 comma-separated statuses"},
        {"defib.check.web.status", "0xx", "up to 8 comma-separated statuses"},
        {"defib.check.web.status", "099", "up to 8 comma-separated statuses"},
        {"defib.check.web.status", "600", "up to 8 comma-separated statuses"},
        {"defib.check.web.status", "200+299", "up to 8 comma-separated statuses"},
        {"defib.check.web.status", "20x-299", "up to 8 comma-separated statuses"},
        {"defib.check.web.status", "200-29x", "up to 8 comma-separated statuses"},
        {"defib.check.web.status", "1xx,2xx,3xx,4xx,5xx,200,201,202,203", "up to 8 comma-separated"},
        {"defib.check.wobble.interval", "5", "options of a check that is there"},
        {"defib.check.web.ca", "ca.pem", "an absolute path, system and none"},
        {"defib.check.web.intervall", "5", ".interval, .timeout"},
        {"defib.check.wob.interval", "5", "options of a check that is there"},
        {"defib.check.", "tcp://:1", "defib.check.<name> with"},
        {"defib.check.a b", "tcp://:1", "defib.check.<name> with"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *const options[][2] = {{bad[i][0], bad[i][1]}, {NULL, NULL}};
        read("http://:1", options, &list, &told);
        assert_int_equal(1, told.count);
        assert_int_equal(1, list.count);
        if (strstr(told.last, bad[i][2]) == NULL || strstr(told.last, bad[i][0]) == NULL) {
            fail_msg("%s=%s says: %s", bad[i][0], bad[i][1], told.last);
        }
        assert_int_equal(10000, list.items[0].interval_ms);
        assert_int_equal(3, list.items[0].retries);
        assert_int_equal(1, list.items[0].status_count);
        assert_int_equal(200, list.items[0].statuses[0].low);
        probe_spec_free(&list);
    }
}

/* `text` with `len` x in the place of its *. */
static const char *stretch(const char *text, size_t len, char out[LABEL_VALUE_SIZE])
{
    size_t before = strcspn(text, "*");
    assert_true(strlen(text) + len <= LABEL_VALUE_SIZE);
    memcpy(out, text, before);
    memset(out + before, 'x', len);
    snprintf(out + before + len, LABEL_VALUE_SIZE - before - len, "%s", text + before + 1);
    return out;
}

/* Cut, it would be another place: a part is taken as long as there is room for it, and not at all past that.
 */
static void a_part_that_is_too_long_is_not_cut(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        size_t most;
    } cases[] = {
        {"http://*:80", LIMIT_NAME_SIZE - 1},        {"http://:80/*", PROBE_TEXT_SIZE - 2},
        {"redis://*:pw@h", PROBE_NAME_SIZE * 2 - 1}, {"redis://u:*@h", LIMIT_NAME_SIZE - 1},
        {"postgres://*@h", PROBE_NAME_SIZE * 2 - 1}, {"postgres://h/*", PROBE_NAME_SIZE * 2 - 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t more = 0; more < 2; more++) {
            char target[LABEL_VALUE_SIZE];
            struct probe_list list;
            struct told told;
            read(stretch(cases[i].target, cases[i].most + more, target), NULL, &list, &told);
            if (list.count != 1 - more || told.count != (int)more) {
                fail_msg("%s: %zu checks, %d complaints", cases[i].target, list.count, told.count);
            }
            probe_spec_free(&list);
        }
    }
    static const char *const options[][2] = {{"body", "*"}, {"ca", "/*"}};
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        char name[64], value[LABEL_VALUE_SIZE];
        snprintf(name, sizeof name, "defib.check.web.%s", options[i][0]);
        const char *const pair[][2] = {{name, stretch(options[i][1], LIMIT_NAME_SIZE, value)}, {NULL, NULL}};
        struct probe_list list;
        struct told told;
        read("https://:1", pair, &list, &told);
        assert_int_equal(1, told.count);
        assert_string_equal("", list.items[0].body);
        assert_string_equal("", list.items[0].ca_file);
        probe_spec_free(&list);
    }
    char name[LABEL_VALUE_SIZE];
    const char *const long_name[][2] = {{stretch("defib.check.*", PROBE_NAME_SIZE, name), "tcp://:1"},
                                        {NULL, NULL}};
    struct probe_list list;
    struct told told;
    read("tcp://:1", long_name, &list, &told);
    assert_int_equal(1, list.count);
    assert_non_null(strstr(told.last, "with 1 to 63 letters"));
    probe_spec_free(&list);
}

static void a_command_has_up_to_64_words(void **state)
{
    (void)state;
    for (size_t more = 0; more < 2; more++) {
        char target[LABEL_VALUE_SIZE] = "exec:";
        for (size_t i = 0; i < PROBE_WORDS_MAX + more; i++) {
            memcpy(target + strlen(target), "w ", 3);
        }
        struct probe_list list;
        struct told told;
        read(target, NULL, &list, &told);
        assert_int_equal(1 - more, list.count);
        assert_true(more == 1 || list.items[0].word_count == PROBE_WORDS_MAX);
        probe_spec_free(&list);
    }
}

static void ca_is_a_file_the_systems_or_none(void **state)
{
    (void)state;
    static const struct {
        const char *value, *file;
        bool is_unverified;
    } cases[] = {{"system", "", false}, {"none", "", true}, {"/ca.pem", "/ca.pem", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *const options[][2] = {{"defib.check.web.ca", cases[i].value},
                                          {"defib.check.web.required", "false"},
                                          {"autoheal", "true"}, /* somebody else's */
                                          {NULL, NULL}};
        struct probe_list list;
        struct told told;
        read("https://:1", options, &list, &told);
        assert_int_equal(0, told.count);
        assert_int_equal(1, list.count);
        assert_string_equal(cases[i].file, list.items[0].ca_file);
        assert_int_equal(cases[i].is_unverified, list.items[0].is_unverified);
        assert_false(list.items[0].is_required);
        probe_spec_free(&list);
    }
}

/* A table of containers without anybody to tell: what is wrong is left out all the same. */
static void nobody_need_listen(void **state)
{
    (void)state;
    struct label_list labels = {0};
    struct probe_list list;
    label_list_add(&labels, "defib.check.good", "tcp://:1");
    label_list_add(&labels, "defib.check.bad", "tcp://");
    probe_spec_read(&labels, &list, NULL, NULL);
    assert_int_equal(1, list.count);
    assert_string_equal("good", list.items[0].name);
    probe_spec_free(&list);
    label_list_fini(&labels);
}

static void sixteen_checks_are_enough(void **state)
{
    (void)state;
    struct label_list labels = {0};
    struct told told = {0};
    struct probe_list list;
    for (int i = 0; i < 20; i++) {
        char name[64];
        snprintf(name, sizeof name, "defib.check.c%d", i);
        label_list_add(&labels, name, "tcp://:1");
    }
    probe_spec_read(&labels, &list, on_complaint, &told);
    assert_int_equal(16, list.count);
    assert_int_equal(4, told.count);
    probe_spec_free(&list);
    label_list_fini(&labels);
}

/* Whatever bytes come in: no crash (asan), and what is taken is whole. */
static void random_targets_do_no_harm(void **state)
{
    (void)state;
    static const char alphabet[] = "abhtpxecrdisogq:/@[].0123456789'\"\\ -?";
    uint32_t random = 1;
    for (int round = 0; round < 20000; round++) {
        static const char *const starts[] = {"http://",     "https://", "tcp://", "redis://",
                                             "postgres://", "exec:",    ""};
        char target[1200];
        size_t used = (size_t)snprintf(target, sizeof target, "%s", starts[round % 7]);
        random = random * 1664525 + 1013904223;
        size_t len = round % 500 == 0 ? 1023 - used : (random >> 16) % 40;
        for (size_t i = 0; i < len; i++) {
            random = random * 1664525 + 1013904223;
            target[used++] = alphabet[(random >> 16) % (sizeof alphabet - 1)];
        }
        target[used] = '\0';
        struct probe_list list;
        struct told told;
        read(target, NULL, &list, &told);
        assert_int_equal(1, (int)list.count + told.count);
        if (list.count == 1) {
            const struct probe_spec *spec = &list.items[0];
            assert_true(spec->kind == PROBE_EXEC ? spec->word_count > 0
                                                 : spec->port > 0 && spec->port <= 65535);
        }
        probe_spec_free(&list);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_good_targets_apart),
        cmocka_unit_test(splits_the_words_of_a_command),
        cmocka_unit_test(a_target_that_is_none_is_reported_and_not_there),
        cmocka_unit_test(takes_options_and_reports_bad_ones),
        cmocka_unit_test(a_part_that_is_too_long_is_not_cut),
        cmocka_unit_test(a_command_has_up_to_64_words),
        cmocka_unit_test(ca_is_a_file_the_systems_or_none),
        cmocka_unit_test(nobody_need_listen),
        cmocka_unit_test(sixteen_checks_are_enough),
        cmocka_unit_test(random_targets_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
