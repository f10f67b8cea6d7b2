#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "controller/core/leadership.h"

enum { LEASE = 15000, WORD = 5000, SEND = 10000 };

static struct leadership leadership;
static int64_t clock_ms;

static struct mono now(void)
{
    return (struct mono){clock_ms};
}

static void begin(uint64_t granted)
{
    clock_ms = 1000000;
    leadership_init(&leadership, LEASE, WORD, granted);
}

static enum leader_role look(void)
{
    return leadership_look(&leadership, now());
}

/* As the shell does: looks all the time. */
static enum leader_role after(int64_t ms)
{
    enum leader_role role = look();
    for (int64_t end = clock_ms + ms; clock_ms < end;) {
        clock_ms += 250;
        role = look();
    }
    return role;
}

static enum lease_grant grant(uint64_t epoch, int64_t others, struct mono asked_at)
{
    return leadership_granted(&leadership,
                              &(struct lease_terms){.epoch = epoch, .others = others, .asked_at = asked_at});
}

static void lead(uint64_t epoch, int64_t others)
{
    leadership_redis(&leadership, true, now());
    assert_true(leadership_may_take(&leadership, now()));
    grant(epoch, others, now());
    assert_int_equal(ROLE_LEADER, look());
}

/* All agents say so, at every quarter of a second. */
static enum leader_role after_words(int64_t ms, uint64_t epoch, enum redis_word word)
{
    enum leader_role role = look();
    for (int64_t end = clock_ms + ms; clock_ms < end;) {
        clock_ms += 250;
        leadership_heard(&leadership, epoch, word, now());
        role = look();
    }
    return role;
}

static void a_lease_is_good_for_two_thirds(void **state)
{
    (void)state;
    begin(0);
    assert_int_equal(ROLE_STANDBY, look());
    assert_int_equal(0, leadership_until(&leadership).ms);
    lead(7, 1);
    int64_t asked_ms = clock_ms;
    assert_int_equal(asked_ms + SEND, leadership_until(&leadership).ms);
    assert_int_equal(ROLE_LEADER, after(SEND - 250));
    assert_int_equal(ROLE_FROZEN, after(250));
    assert_int_equal(0, leadership_until(&leadership).ms);
    /* The request counts from when it left, not from when it was answered. */
    assert_int_equal(GRANT_RENEWED, grant(7, 1, (struct mono){clock_ms - 3000}));
    assert_int_equal(ROLE_LEADER, look());
    assert_int_equal(clock_ms - 3000 + SEND, leadership_until(&leadership).ms);
}

static void one_who_cannot_renew_ends(void **state)
{
    (void)state;
    begin(0);
    lead(7, 1);
    leadership_redis(&leadership, false, now());
    /* An agent has Redis: somebody else leads once the lease is over. */
    assert_int_equal(ROLE_FROZEN, after_words(LEASE - 250, 7, REDIS_WORD_UP));
    assert_int_equal(ROLE_STANDBY, after_words(250, 7, REDIS_WORD_UP));
    /* It was another's turn: back, it is a new life. */
    leadership_redis(&leadership, true, now());
    assert_int_equal(GRANT_TAKEN, grant(9, 1, now()));
}

static void redis_is_gone_for_all(void **state)
{
    (void)state;
    begin(0);
    lead(7, 1);
    leadership_redis(&leadership, false, now());
    assert_int_equal(ROLE_ALONE, after_words(120000, 7, REDIS_WORD_DOWN));
    assert_int_equal(clock_ms + WORD, leadership_until(&leadership).ms);
    /* One of them has Redis again: others may have it too. */
    leadership_heard(&leadership, 7, REDIS_WORD_UP, now());
    assert_int_not_equal(ROLE_ALONE, look());
    assert_int_equal(0, leadership_until(&leadership).ms);
    begin(0);
    lead(7, 1);
    leadership_redis(&leadership, false, now());
    after_words(60000, 7, REDIS_WORD_DOWN);
    /* Nobody answers any more: nothing proves it. */
    assert_int_equal(ROLE_ALONE, after(WORD - 250));
    assert_int_equal(ROLE_FROZEN, after(250));
    /* They answer again: it was not yet given up. */
    assert_int_equal(ROLE_ALONE, after_words(500, 7, REDIS_WORD_DOWN));
    assert_int_equal(ROLE_STANDBY, after(60000));
    /* And once Redis is back and nobody led, it goes on where it was. */
    leadership_redis(&leadership, true, now());
    assert_int_equal(GRANT_RESUMED, grant(8, 1, now()));
}

static void the_only_one_goes_on(void **state)
{
    (void)state;
    begin(0);
    lead(7, 0);
    leadership_redis(&leadership, false, now());
    assert_int_equal(ROLE_ALONE, after_words(600000, 7, REDIS_WORD_UP));
    assert_int_equal(MONO_NEVER.ms, leadership_until(&leadership).ms);
    leadership_redis(&leadership, true, now());
    assert_int_equal(7, leadership_claim(&leadership));
    assert_int_equal(GRANT_CONTINUED, grant(8, 0, now()));
    assert_int_equal(ROLE_LEADER, look());
    /* But not against one who came later. */
    leadership_redis(&leadership, false, now());
    assert_int_equal(ROLE_ALONE, after(60000));
    leadership_heard(&leadership, 9, REDIS_WORD_UP, now());
    assert_int_equal(ROLE_STANDBY, look());
}

static void a_higher_epoch_ends_it(void **state)
{
    (void)state;
    begin(0);
    lead(7, 3);
    leadership_redis(&leadership, false, now());
    assert_int_equal(ROLE_ALONE, after_words(60000, 7, REDIS_WORD_DOWN));
    leadership_heard(&leadership, 8, REDIS_WORD_DOWN, now());
    assert_int_equal(ROLE_STANDBY, look());
    assert_int_equal(ROLE_STANDBY, after_words(60000, 7, REDIS_WORD_DOWN));
    /* A number that is no epoch says nothing. */
    begin(0);
    lead(7, 0);
    leadership_redis(&leadership, false, now());
    leadership_heard(&leadership, ((uint64_t)1 << 40) + 1, REDIS_WORD_UNKNOWN, now());
    leadership_heard(&leadership, ((uint64_t)1 << 52) + 1, REDIS_WORD_UP, now());
    assert_int_equal(ROLE_ALONE, after(60000));
}

/* Started while Redis is away. */
static void a_new_process_without_redis(void **state)
{
    (void)state;
    static const struct {
        uint64_t granted, heard;
        enum redis_word word;
        enum leader_role role;
    } cases[] = {
        {7, 7, REDIS_WORD_DOWN, ROLE_ALONE},      /* the last leader, as far as anybody knows */
        {7, 6, REDIS_WORD_DOWN, ROLE_STANDBY},    /* no agent ever heard of our last epoch */
        {7, 8, REDIS_WORD_DOWN, ROLE_STANDBY},    /* another one led after us */
        {7, 7, REDIS_WORD_UP, ROLE_STANDBY},      /* Redis is away for us alone */
        {7, 7, REDIS_WORD_UNKNOWN, ROLE_STANDBY}, /* an agent that does not say */
        {0, 0, REDIS_WORD_DOWN, ROLE_STANDBY},    /* nobody ever led: the first lease comes from Redis */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        begin(cases[i].granted);
        leadership_redis(&leadership, false, now());
        assert_int_equal(ROLE_STANDBY, after(3000));
        assert_int_equal(cases[i].role, after_words(60000, cases[i].heard, cases[i].word));
    }
    /* Redis comes back to the agents first: it waits for its own, and goes on as it was. */
    begin(7);
    assert_int_equal(ROLE_ALONE, after_words(60000, 7, REDIS_WORD_DOWN));
    assert_int_equal(ROLE_FROZEN, after_words(LEASE - 1000, 7, REDIS_WORD_UP));
    assert_int_equal(0, leadership_until(&leadership).ms);
    leadership_redis(&leadership, true, now());
    assert_int_equal(GRANT_CONTINUED, grant(8, 1, now()));
    /* One agent with Redis is enough to wait for Redis. */
    begin(7);
    for (int i = 0; i < 100; i++) {
        clock_ms += 250;
        leadership_heard(&leadership, 7, REDIS_WORD_DOWN, now());
        leadership_heard(&leadership, 3, REDIS_WORD_UP, now());
        assert_int_equal(ROLE_STANDBY, look());
    }
}

static void the_last_leader_goes_first(void **state)
{
    (void)state;
    begin(0);
    leadership_redis(&leadership, true, now());
    assert_true(leadership_may_take(&leadership, now())); /* a fleet that starts does not wait */
    leadership_refused(&leadership);
    assert_true(leadership_may_take(&leadership, now())); /* a lease that ran out is free */
    leadership_redis(&leadership, false, now());
    clock_ms += 60000;
    leadership_redis(&leadership, true, now());
    assert_false(leadership_may_take(&leadership, now()));
    clock_ms += LEASE;
    assert_true(leadership_may_take(&leadership, now()));
    /* Who leads alone does not wait. */
    grant(8, 0, now());
    leadership_redis(&leadership, false, now());
    assert_int_equal(ROLE_ALONE, after(60000));
    leadership_redis(&leadership, true, now());
    assert_true(leadership_may_take(&leadership, now()));
}

/* It led behind another one, and stood by in an outage. */
static void nor_does_the_last_leader_wait_for_one_that_led_before_it(void **state)
{
    (void)state;
    begin(0);
    leadership_redis(&leadership, true, now());
    leadership_refused(&leadership);
    grant(8, 1, now());
    assert_int_equal(ROLE_LEADER, look());
    leadership_redis(&leadership, false, now());
    assert_int_equal(ROLE_STANDBY, after(60000));
    leadership_redis(&leadership, true, now());
    assert_true(leadership_may_take(&leadership, now()));
}

/* A new process of one that led before another: agents tell it. */
static void who_starts_hears_who_led_last(void **state)
{
    (void)state;
    static const struct {
        uint64_t granted, known;
        bool may_take;
    } CASES[] = {{3, 3, true}, {3, 4, false}, {0, 4, true}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        begin(CASES[i].granted);
        leadership_heard(&leadership, CASES[i].known, REDIS_WORD_DOWN, now());
        clock_ms += 60000;
        leadership_redis(&leadership, true, now());
        assert_int_equal(CASES[i].may_take, leadership_may_take(&leadership, now()));
        clock_ms += LEASE;
        assert_true(leadership_may_take(&leadership, now()));
    }
}

static void grants_tell_who_led(void **state)
{
    (void)state;
    static const struct {
        uint64_t before, epoch;
        bool leads;
        enum lease_grant grant;
    } cases[] = {{0, 1, false, GRANT_TAKEN}, {4, 5, false, GRANT_RESUMED}, {4, 6, false, GRANT_TAKEN},
                 {4, 4, false, GRANT_TAKEN}, {4, 4, true, GRANT_RENEWED},  {4, 5, true, GRANT_CONTINUED},
                 {4, 6, true, GRANT_TAKEN}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        begin(cases[i].before);
        if (cases[i].leads) {
            lead(cases[i].before, 1);
        }
        assert_int_equal(cases[i].grant, grant(cases[i].epoch, 1, now()));
        assert_int_equal(cases[i].epoch, leadership.granted);
        assert_true(leadership.known >= cases[i].epoch);
    }
}

/* The answer to a request was lost, and the next one finds our own newer lease. */
static void our_own_lost_grant_is_no_other_leader(void **state)
{
    (void)state;
    begin(4);
    struct lease_terms terms = {.epoch = 9, .was_ours = true, .asked_at = now()};
    assert_int_equal(GRANT_RESUMED, leadership_granted(&leadership, &terms));
    assert_int_equal(ROLE_LEADER, look());
    terms.epoch = 12;
    assert_int_equal(GRANT_CONTINUED, leadership_granted(&leadership, &terms));
}

static uint32_t below(uint32_t n)
{
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % n;
}

/* What may be told, to both. */
static void tell(struct leadership *watched, struct leadership *woken)
{
    static const enum redis_word WORDS[] = {REDIS_WORD_UP, REDIS_WORD_DOWN, REDIS_WORD_DOWN,
                                            REDIS_WORD_UNKNOWN};
    struct leadership *both[] = {watched, woken};
    uint32_t what = below(10);
    enum redis_word word = WORDS[below(4)];
    uint64_t epoch = watched->granted + (below(20) == 0);
    bool has_redis = below(2) == 0;
    struct lease_terms terms = {.epoch = watched->known + below(2), .others = below(2), .asked_at = now()};
    for (int i = 0; i < 2; i++) {
        if (what < 6) {
            leadership_heard(both[i], epoch, word, now());
        } else if (what == 6) {
            leadership_refused(both[i]);
        } else if (what == 7) {
            leadership_redis(both[i], has_redis, now());
        } else {
            leadership_granted(both[i], &terms);
        }
    }
}

/* One is looked at every millisecond, the other one when it was told something, and when it said. */
static void nothing_is_missed_between_two_looks(void **state)
{
    (void)state;
    int changes = 0, looks = 0;
    for (int history = 0; history < 300; history++) {
        begin(below(2));
        struct leadership watched = leadership, woken = leadership;
        int64_t tell_at = clock_ms;
        struct mono look_at = now();
        for (int64_t end = clock_ms + 60000; clock_ms < end; clock_ms++) {
            enum leader_role before = watched.role;
            bool is_told = clock_ms == tell_at;
            if (is_told) {
                tell(&watched, &woken);
                tell_at += 1 + below(below(5) == 0 ? 20000 : 2500);
            }
            leadership_look(&watched, now());
            if (is_told || mono_reached(now(), look_at)) {
                leadership_look(&woken, now());
                look_at = leadership_changes_at(&woken, now());
                assert_true(look_at.ms > clock_ms);
                looks++;
            }
            assert_int_equal(watched.role, woken.role);
            changes += watched.role != before;
        }
    }
    assert_true(changes > 1000);
    assert_true(looks < 300 * 600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_is_good_for_two_thirds),
        cmocka_unit_test(one_who_cannot_renew_ends),
        cmocka_unit_test(redis_is_gone_for_all),
        cmocka_unit_test(the_only_one_goes_on),
        cmocka_unit_test(a_higher_epoch_ends_it),
        cmocka_unit_test(a_new_process_without_redis),
        cmocka_unit_test(the_last_leader_goes_first),
        cmocka_unit_test(nor_does_the_last_leader_wait_for_one_that_led_before_it),
        cmocka_unit_test(who_starts_hears_who_led_last),
        cmocka_unit_test(grants_tell_who_led),
        cmocka_unit_test(our_own_lost_grant_is_no_other_leader),
        cmocka_unit_test(nothing_is_missed_between_two_looks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
