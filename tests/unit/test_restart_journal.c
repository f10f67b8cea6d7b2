#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/memory.h"
#include "controller/disk_file.h"
#include "controller/restart_journal.h"

enum { NAMES = 12, STEPS = 1500, TEXT_SIZE = 64 };

/* The model: what the journal must hold. */
struct fact {
    char mark; /* 0: absent */
    char text[TEXT_SIZE];
};

struct world {
    char dir[64];
    struct restart_journal *journal;
    struct fact facts[NAMES];
    struct fact seen[NAMES];
    size_t strangers;
    unsigned seed;
};

static const char *const names[NAMES] = {"a",
                                         "web-1",
                                         "arbees-game-shard-1",
                                         "h1/web",
                                         "x y",
                                         "100%",
                                         "%20",
                                         "tab\tname",
                                         "\xc3\xbc"
                                         "mlaut",
                                         "D",
                                         "R P",
                                         "z.z_z"};

static unsigned next_random(struct world *world)
{
    world->seed = world->seed * 1103515245u + 12345u;
    return (world->seed >> 16) & 0x7fff;
}

static int set_up(void **state)
{
    struct world *world = memory_alloc(sizeof *world);
    strcpy(world->dir, "/tmp/defib-test-journal-XXXXXX");
    assert_non_null(mkdtemp(world->dir));
    world->seed = 7;
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    restart_journal_close(world->journal);
    assert_int_equal(0, disk_file_remove(world->dir, RESTART_JOURNAL_FILE, NULL));
    disk_file_remove(world->dir, RESTART_JOURNAL_FILE ".new", NULL);
    assert_int_equal(0, rmdir(world->dir));
    free(world);
    return 0;
}

static size_t reopen(struct world *world)
{
    size_t damaged = 0;
    struct err err;
    restart_journal_close(world->journal);
    world->journal = NULL;
    assert_int_equal(0, restart_journal_open(world->dir, &world->journal, &damaged, &err));
    return damaged;
}

static void see(void *arg, const char *container, enum journal_mark mark, const char *text)
{
    struct world *world = arg;
    for (size_t i = 0; i < NAMES; i++) {
        if (strcmp(names[i], container) == 0) {
            world->seen[i].mark = (char)mark;
            strcpy(world->seen[i].text, text);
            return;
        }
    }
    world->strangers++;
}

static void look(struct world *world)
{
    memset(world->seen, 0, sizeof world->seen);
    world->strangers = 0;
    restart_journal_each(world->journal, see, world);
}

static void check_model(struct world *world)
{
    look(world);
    assert_int_equal(0, world->strangers);
    for (size_t i = 0; i < NAMES; i++) {
        assert_int_equal(world->facts[i].mark, world->seen[i].mark);
        assert_string_equal(world->facts[i].text, world->seen[i].text);
    }
}

static void change_one(struct world *world)
{
    static const enum journal_mark marks[] = {JOURNAL_STORED, JOURNAL_PENDING, JOURNAL_DELETE};
    size_t which = next_random(world) % NAMES;
    struct fact *fact = &world->facts[which];
    unsigned kind = next_random(world) % 4;
    struct err err;
    if (kind == 3) {
        memset(fact, 0, sizeof *fact);
        assert_int_equal(0, restart_journal_drop(world->journal, names[which], &err));
        return;
    }
    memset(fact, 0, sizeof *fact);
    fact->mark = (char)marks[kind];
    if (marks[kind] != JOURNAL_DELETE) {
        snprintf(fact->text, sizeof fact->text, "{\"attempt_count\": %u}", next_random(world));
    }
    assert_int_equal(0, restart_journal_put(world->journal, names[which], marks[kind],
                                            marks[kind] == JOURNAL_DELETE ? NULL : fact->text, &err));
}

static void holds_what_a_model_holds(void **state)
{
    struct world *world = *state;
    assert_int_equal(0, reopen(world));
    for (int i = 0; i < STEPS; i++) {
        change_one(world);
        if (next_random(world) % 50 == 0) {
            assert_int_equal(0, reopen(world));
            check_model(world);
        }
    }
    check_model(world);
}

static void is_rewritten_when_it_has_grown(void **state)
{
    struct world *world = *state;
    reopen(world);
    for (int i = 0; i < 3 * STEPS; i++) {
        change_one(world);
    }
    struct stat facts;
    char path[128];
    snprintf(path, sizeof path, "%s/%s", world->dir, RESTART_JOURNAL_FILE);
    assert_int_equal(0, stat(path, &facts));
    assert_true(facts.st_size < 80 * 1024);
    assert_int_equal(0, reopen(world));
    check_model(world);
}

/* A kill in the middle of an append: every prefix of the file holds all lines but the torn one. */
static void survives_a_kill_at_every_byte(void **state)
{
    struct world *world = *state;
    struct err err;
    reopen(world);
    assert_int_equal(0, restart_journal_put(world->journal, names[0], JOURNAL_PENDING, "{\"n\": 1}", &err));
    cleanup_free char *before = NULL;
    size_t before_len;
    assert_int_equal(0, disk_file_read(world->dir, RESTART_JOURNAL_FILE, 4096, &before, &before_len, &err));
    assert_int_equal(0, restart_journal_put(world->journal, names[0], JOURNAL_STORED, "{\"n\": 2}", &err));
    assert_int_equal(0, restart_journal_put(world->journal, names[1], JOURNAL_PENDING, "{\"n\": 3}", &err));
    cleanup_free char *whole = NULL;
    size_t len;
    assert_int_equal(0, disk_file_read(world->dir, RESTART_JOURNAL_FILE, 4096, &whole, &len, &err));
    const char *second_end = memchr(whole + before_len, '\n', len - before_len);
    size_t second = (size_t)(second_end - whole);
    for (size_t cut = before_len; cut <= len; cut++) {
        assert_int_equal(0, disk_file_replace(world->dir, RESTART_JOURNAL_FILE, whole, cut, &err));
        reopen(world);
        look(world);
        assert_int_equal(cut >= second ? JOURNAL_STORED : JOURNAL_PENDING, world->seen[0].mark);
        assert_string_equal(cut >= second ? "{\"n\": 2}" : "{\"n\": 1}", world->seen[0].text);
        assert_int_equal(cut >= len - 1 ? JOURNAL_PENDING : 0, world->seen[1].mark);
        /* And the next change is not spoilt by the torn tail. */
        assert_int_equal(0,
                         restart_journal_put(world->journal, names[2], JOURNAL_PENDING, "{\"n\": 4}", &err));
        assert_int_equal(0, reopen(world));
        look(world);
        assert_string_equal("{\"n\": 4}", world->seen[2].text);
    }
}

static void a_damaged_line_costs_only_itself(void **state)
{
    struct world *world = *state;
    struct err err;
    reopen(world);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(0,
                         restart_journal_put(world->journal, names[i], JOURNAL_PENDING, "{\"n\": 1}", &err));
    }
    cleanup_free char *whole = NULL;
    size_t len;
    assert_int_equal(0, disk_file_read(world->dir, RESTART_JOURNAL_FILE, 4096, &whole, &len, &err));
    size_t first = (size_t)((char *)memchr(whole, '\n', len) - whole) + 1;
    size_t second = (size_t)((char *)memchr(whole + first, '\n', len - first) - whole) + 1;
    for (size_t at = first; at + 1 < second; at++) {
        cleanup_free char *bent = memory_alloc(len);
        memcpy(bent, whole, len);
        bent[at] = (char)(bent[at] ^ 1);
        assert_int_equal(0, disk_file_replace(world->dir, RESTART_JOURNAL_FILE, bent, len, &err));
        assert_true(reopen(world) >= 1);
        look(world);
        assert_int_equal(0, world->strangers);
        assert_int_equal(JOURNAL_PENDING, world->seen[0].mark);
        assert_int_equal(0, world->seen[1].mark);
        assert_int_equal(JOURNAL_PENDING, world->seen[2].mark);
    }
}

static void takes_any_bytes(void **state)
{
    struct world *world = *state;
    struct err err;
    for (int round = 0; round < 200; round++) {
        char bytes[512];
        size_t len = next_random(world) % sizeof bytes;
        for (size_t i = 0; i < len; i++) {
            bytes[i] = (char)next_random(world);
        }
        assert_int_equal(0, disk_file_replace(world->dir, RESTART_JOURNAL_FILE, bytes, len, &err));
        reopen(world);
        assert_int_equal(0, restart_journal_count(world->journal));
    }
}

static void refuses_what_breaks_the_line(void **state)
{
    struct world *world = *state;
    struct err err;
    reopen(world);
    assert_int_equal(-EINVAL, restart_journal_put(world->journal, "a", JOURNAL_PENDING, "{\n}", &err));
    assert_int_equal(-EINVAL, restart_journal_put(world->journal, "", JOURNAL_PENDING, "{}", &err));
    assert_int_equal(0, restart_journal_count(world->journal));
}

static void a_disk_that_fails_is_told_and_mended(void **state)
{
    struct world *world = *state;
    struct err err;
    char path[160];
    reopen(world);
    assert_int_equal(0, restart_journal_put(world->journal, "a", JOURNAL_PENDING, "{\"n\": 1}", &err));
    snprintf(path, sizeof path, "%s/%s", world->dir, RESTART_JOURNAL_FILE);
    assert_int_equal(0, unlink(path));
    assert_int_equal(0, mkdir(path, 0700)); /* no write can succeed now, root or not */
    assert_true(restart_journal_put(world->journal, "web-1", JOURNAL_PENDING, "{\"n\": 2}", &err) < 0);
    assert_non_null(strstr(err.text, RESTART_JOURNAL_FILE));
    assert_int_equal(0, rmdir(path));
    assert_int_equal(0, restart_journal_put(world->journal, "D", JOURNAL_PENDING, "{\"n\": 3}", &err));
    assert_int_equal(0, reopen(world));
    look(world);
    assert_string_equal("{\"n\": 1}", world->seen[0].text);
    assert_string_equal("{\"n\": 2}", world->seen[1].text);
    assert_string_equal("{\"n\": 3}", world->seen[9].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(holds_what_a_model_holds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(is_rewritten_when_it_has_grown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(survives_a_kill_at_every_byte, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_line_costs_only_itself, set_up, tear_down),
        cmocka_unit_test_setup_teardown(takes_any_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_what_breaks_the_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_disk_that_fails_is_told_and_mended, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
