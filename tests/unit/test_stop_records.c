#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/stop_records.h"
#include "common/memory.h"

#define HEAD "defib-agent-state 2\n"

static void decode(const char *text, struct stop_records *out)
{
    stop_records_decode(text, strlen(text), out);
}

/* decode(encode(x)) is x, a death of an unknown incarnation included; of times only those before the death.
 */
static void what_is_written_is_read(void **state)
{
    (void)state;
    struct stop_records records = {.boot_id = "boot-1", .redis = "redis-1"};
    const struct stop_evidence stopped = {.has_died = true,
                                          .has_stopped = true,
                                          .is_own = true,
                                          .is_intended = true,
                                          .is_doubtful = true,
                                          .first_signal = 15,
                                          .last_signal = 9,
                                          .died_at = {90000},
                                          .killed_at = {80000},
                                          .oomed_at = {89500}};
    const struct stop_evidence blind = {
        .has_died = true, .is_blind = true, .has_oom = true, .is_daemon_gone = true, .died_at = {5}};
    stop_records_add_dead(&records, "aaaa", "T1", &stopped);
    stop_records_add_dead(&records, "bbbb", "", &blind);
    stop_records_add_app(&records, "cccc");
    stop_records_add_redis(&records, "cache");
    size_t len;
    cleanup_free char *text = stop_records_encode(&records, &len);
    struct stop_records read;
    stop_records_decode(text, len, &read);
    assert_true(read.has_seen);
    assert_string_equal("boot-1", read.boot_id);
    assert_string_equal("redis-1", read.redis);
    assert_int_equal(1, read.app_count);
    assert_string_equal("cccc", read.app_beating[0]);
    assert_int_equal(1, read.redis_count);
    assert_string_equal("cache", read.redis_names[0]);
    assert_int_equal(2, read.dead_count);
    const struct stop_evidence *first = &read.dead[0].evidence, *second = &read.dead[1].evidence;
    assert_string_equal("T1", read.dead[0].incarnation);
    assert_string_equal("", read.dead[1].incarnation);
    assert_true(first->has_died && first->has_stopped && first->is_own && first->is_intended);
    assert_true(first->is_doubtful && !first->is_blind && !first->has_oom && !first->is_daemon_gone);
    assert_int_equal(15, first->first_signal);
    assert_int_equal(9, first->last_signal);
    assert_int_equal(-10000, first->killed_at.ms);
    assert_int_equal(-500, first->oomed_at.ms);
    assert_true(second->is_blind && second->has_oom && second->is_daemon_gone && !second->has_stopped);
    stop_records_fini(&records);
    stop_records_fini(&read);
}

/* A clock that nobody has: what is out of any reason is long ago, and nothing of a stop's own. */
static void times_out_of_reason_are_long_ago(void **state)
{
    (void)state;
    static const struct {
        const char *age;
        int64_t wanted_ms;
    } CASES[] = {{"86400000", -86400000}, {"86400001", -86400000}, {"-86400001", -86400000}, {"-5", 5}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        char text[256];
        snprintf(text, sizeof text, HEAD "dead aaaa T1 %s 0 15 9 -d\n", CASES[i].age);
        struct stop_records read;
        decode(text, &read);
        assert_int_equal(1, read.dead_count);
        assert_int_equal(CASES[i].wanted_ms, read.dead[0].evidence.killed_at.ms);
        stop_records_fini(&read);
    }
}

/* Cut it would name another container; a line too long is passed over, whoever wrote it. */
static void lines_that_do_not_fit_are_passed_over(void **state)
{
    (void)state;
    struct stop_records records = {.boot_id = "b"};
    char name[LIMIT_NAME_SIZE];
    memset(name, 'r', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    stop_records_add_redis(&records, name);
    size_t len;
    cleanup_free char *text = stop_records_encode(&records, &len);
    struct stop_records read;
    stop_records_decode(text, len, &read);
    assert_int_equal(1, read.redis_count);
    assert_string_equal(name, read.redis_names[0]);
    stop_records_fini(&read);
    stop_records_fini(&records);
    char file[2048] = HEAD "app aaaa\nredis ";
    memset(file + strlen(file), 'x', 600);
    snprintf(file + strlen(file), sizeof file - strlen(file),
             "\napp bbbb\ndead aaaa T1 1 2 15 9 d\napp cccc");
    decode(file, &read);
    assert_int_equal(0, read.redis_count);
    assert_int_equal(0, read.dead_count); /* its letters have no dash in front */
    assert_int_equal(3, read.app_count);  /* the last line may lack its end */
    assert_string_equal("cccc", read.app_beating[2]);
    stop_records_fini(&read);
}

static void each_list_is_bounded(void **state)
{
    (void)state;
    enum { MANY = LIMIT_REGISTRATION_CONTAINERS + 3, LINE = 40 };
    static const char *const LINES[] = {"app aaaa\n", "redis r\n", "dead aaaa T1 1 2 15 9 -d\n"};
    for (size_t i = 0; i < sizeof LINES / sizeof LINES[0]; i++) {
        char *text = memory_alloc(sizeof HEAD + (size_t)MANY * LINE);
        size_t used = (size_t)snprintf(text, sizeof HEAD, HEAD);
        for (int line = 0; line < MANY; line++) {
            used += (size_t)snprintf(text + used, LINE, "%s", LINES[i]);
        }
        struct stop_records read;
        stop_records_decode(text, used, &read);
        assert_int_equal(LIMIT_REGISTRATION_CONTAINERS, read.app_count + read.redis_count + read.dead_count);
        stop_records_fini(&read);
        free(text);
    }
}

static void a_file_of_another_version_is_none(void **state)
{
    (void)state;
    struct stop_records read;
    decode("defib-agent-state 1\napp aaaa\nseen -\n", &read);
    assert_int_equal(0, read.app_count);
    assert_false(read.has_seen);
    stop_records_fini(&read);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(times_out_of_reason_are_long_ago),
        cmocka_unit_test(lines_that_do_not_fit_are_passed_over),
        cmocka_unit_test(each_list_is_bounded),
        cmocka_unit_test(a_file_of_another_version_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
