#include "agent/outcome_file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/memory.h"

struct fixture {
    char dir[64];
    char path[128];
    struct loop *loop;
    struct outcome_file *file;
    int wanted; /* callbacks until the loop stops */
    int status[64];
    int done;
    char detail[512];
};

static int setup(void **state)
{
    struct fixture *fixture = memory_alloc(sizeof *fixture);
    strcpy(fixture->dir, "/tmp/defib-outcome-file.XXXXXX");
    assert_non_null(mkdtemp(fixture->dir));
    snprintf(fixture->path, sizeof fixture->path, "%s/commands.log", fixture->dir);
    fixture->loop = loop_new();
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    outcome_file_close(fixture->file);
    loop_free(fixture->loop);
    char command[160];
    unlink(fixture->path);
    snprintf(command, sizeof command, "%s.new", fixture->path);
    unlink(command);
    assert_int_equal(rmdir(fixture->dir), 0);
    free(fixture);
    return 0;
}

static void open_it(struct fixture *fixture, const char *content)
{
    uint8_t *bytes;
    size_t len;
    struct err err = {0};
    assert_int_equal(outcome_file_open(fixture->loop, fixture->dir, &fixture->file, &bytes, &len, &err), 0);
    assert_int_equal(len, strlen(content));
    assert_memory_equal(bytes, content, len);
    free(bytes);
}

static void close_it(struct fixture *fixture)
{
    outcome_file_close(fixture->file);
    fixture->file = NULL;
}

static void on_done(void *arg, int status, const char *detail)
{
    struct fixture *fixture = arg;
    fixture->status[fixture->done++] = status;
    memory_set_text(fixture->detail, sizeof fixture->detail, detail);
    if (fixture->done == fixture->wanted) {
        loop_stop(fixture->loop);
    }
}

static void append(struct fixture *fixture, const char *text, enum outcome_file_safety safety)
{
    fixture->wanted++;
    outcome_file_append(fixture->file, (const uint8_t *)text, strlen(text), safety, on_done, fixture);
}

static void wait_done(struct fixture *fixture)
{
    while (fixture->done < fixture->wanted) {
        loop_run(fixture->loop);
    }
}

static void replace(struct fixture *fixture, const char *text)
{
    outcome_file_replace(fixture->file, (uint8_t *)memory_copy_text(text), strlen(text));
}

static void writes_in_order_and_reads_back(void **state)
{
    struct fixture *fixture = *state;
    open_it(fixture, "");
    append(fixture, "one ", OUTCOME_FILE_SYNCED);
    append(fixture, "two ", OUTCOME_FILE_LAZY);
    outcome_file_append(fixture->file, (const uint8_t *)"three", 5, OUTCOME_FILE_LAZY, NULL, NULL);
    assert_int_equal(fixture->done, 0); /* never from within */
    wait_done(fixture);
    assert_int_equal(fixture->status[0], 0);
    assert_int_equal(fixture->status[1], 0);
    close_it(fixture);
    struct stat stat_now;
    assert_int_equal(stat(fixture->path, &stat_now), 0);
    assert_int_equal(stat_now.st_mode & 0777, 0600);
    open_it(fixture, "one two three");
    append(fixture, " four", OUTCOME_FILE_SYNCED);
    close_it(fixture); /* what is queued is written */
    open_it(fixture, "one two three four");
}

static void replaces_and_goes_on(void **state)
{
    struct fixture *fixture = *state;
    open_it(fixture, "");
    append(fixture, "a long old text that goes away", OUTCOME_FILE_LAZY);
    replace(fixture, "new");
    append(fixture, "+", OUTCOME_FILE_SYNCED);
    wait_done(fixture);
    close_it(fixture);
    open_it(fixture, "new+");
}

static void one_agent_at_a_time(void **state)
{
    struct fixture *fixture = *state;
    open_it(fixture, "");
    for (int round = 0; round < 2; round++) {
        struct outcome_file *other;
        uint8_t *bytes;
        size_t len;
        struct err err = {0};
        assert_int_equal(outcome_file_open(fixture->loop, fixture->dir, &other, &bytes, &len, &err), -EBUSY);
        assert_non_null(strstr(err.text, "DEFIB_STATE_DIR"));
        replace(fixture, "x"); /* the lock goes over to the new file */
        append(fixture, "y", OUTCOME_FILE_SYNCED);
        wait_done(fixture);
    }
}

/* A disk that is full in the middle of a record: told, and the next record stands where the failed one began.
 */
static void a_full_disk_is_told_and_leaves_no_gap(void **state)
{
    struct fixture *fixture = *state;
    struct rlimit before, tight;
    signal(SIGXFSZ, SIG_IGN);
    open_it(fixture, "");
    append(fixture, "0123456789", OUTCOME_FILE_SYNCED);
    wait_done(fixture);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tight = before;
    tight.rlim_cur = 15;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    append(fixture, "abcdefghij", OUTCOME_FILE_SYNCED);
    wait_done(fixture);
    assert_int_equal(fixture->status[1], -EFBIG);
    assert_non_null(strstr(fixture->detail, "cannot write"));
    assert_non_null(strstr(fixture->detail, fixture->path));
    append(fixture, "klm", OUTCOME_FILE_SYNCED);
    wait_done(fixture);
    assert_int_equal(fixture->status[2], 0);
    log_init(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    replace(fixture, "this does not fit either"); /* the old one stays */
    append(fixture, "n", OUTCOME_FILE_SYNCED);
    wait_done(fixture);
    assert_int_equal(fixture->status[3], 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    close_it(fixture);
    open_it(fixture, "0123456789klmn");
}

/* The next records have their place on the disk, also after it became full. */
static void space_is_reserved(void **state)
{
    struct fixture *fixture = *state;
    struct stat stat_of;
    open_it(fixture, "");
    append(fixture, "0123456789", OUTCOME_FILE_SYNCED);
    replace(fixture, "0123456789");
    append(fixture, "abc", OUTCOME_FILE_SYNCED);
    wait_done(fixture);
    assert_int_equal(stat(fixture->path, &stat_of), 0);
    assert_int_equal(13, stat_of.st_size);
    assert_true(stat_of.st_blocks * 512 >= 32 * 1024);
    close_it(fixture);
    open_it(fixture, "0123456789abc");
}

static void a_directory_that_is_not_there(void **state)
{
    struct fixture *fixture = *state;
    struct outcome_file *file;
    uint8_t *bytes;
    size_t len;
    struct err err = {0};
    assert_int_equal(outcome_file_open(fixture->loop, "/nonexistent/defib", &file, &bytes, &len, &err),
                     -ENOENT);
    assert_non_null(strstr(err.text, "/nonexistent/defib/commands.log"));
    assert_int_equal(symlink("/etc/passwd", fixture->path), 0);
    assert_int_equal(outcome_file_open(fixture->loop, fixture->dir, &file, &bytes, &len, &err), -ELOOP);
}

static void many_writes_at_once(void **state)
{
    struct fixture *fixture = *state;
    open_it(fixture, "");
    for (int i = 0; i < 5000; i++) {
        outcome_file_append(fixture->file, (const uint8_t *)"x", 1, OUTCOME_FILE_LAZY, NULL, NULL);
    }
    append(fixture, "y", OUTCOME_FILE_SYNCED);
    wait_done(fixture);
    close_it(fixture);
    struct stat stat_now;
    assert_int_equal(stat(fixture->path, &stat_now), 0);
    assert_in_range(stat_now.st_size, 1024,
                    5001); /* more than the queue holds may be dropped, never reordered */
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(writes_in_order_and_reads_back),
        CASE(replaces_and_goes_on),
        CASE(one_agent_at_a_time),
        CASE(a_full_disk_is_told_and_leaves_no_gap),
        CASE(space_is_reserved),
        CASE(a_directory_that_is_not_there),
        CASE(many_writes_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
