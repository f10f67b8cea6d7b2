#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <stdbool.h>

#include "common/memory.h"
#include "common/redis_url.h"
#include "controller/disk_file.h"
#include "controller/leader_lease.h"
#include "tests/unit/redis_server.h"

enum { PATIENCE_MS = 10000, LEASE_MS = 800, CONTROLLERS = 2 };

struct player {
    struct fixture *fixture;
    char dir[64], id[16];
    struct redis_session *session;
    struct leader_lease *lease;
    int leads, stands_by, taken;
    struct mono until;
};

struct fixture {
    struct redis_server server;
    struct redis_url url;
    struct loop *loop;
    struct loop_timer *watch;
    struct mono give_up;
    bool (*is_reached)(struct fixture *fixture);
    struct player players[CONTROLLERS];
    struct redis_link *hand; /* the test's own */
    char answer[512];
};

static void check_goal(void *arg)
{
    struct fixture *fixture = arg;
    if ((fixture->is_reached != NULL && fixture->is_reached(fixture)) ||
        mono_reached(loop_now(fixture->loop), fixture->give_up)) {
        loop_stop(fixture->loop);
    }
}

static void run_for(struct fixture *fixture, bool (*is_reached)(struct fixture *fixture), int64_t ms)
{
    fixture->is_reached = is_reached;
    fixture->give_up = mono_add(clock_mono_now(), ms);
    loop_timer_start(fixture->watch, 0, 2);
    loop_run(fixture->loop);
    loop_timer_stop(fixture->watch);
}

static void run_until(struct fixture *fixture, bool (*is_reached)(struct fixture *fixture))
{
    run_for(fixture, is_reached, PATIENCE_MS);
    assert_true(is_reached(fixture));
}

/* ---- a controller's two ends ---- */

static void on_writable(void *arg, bool is_amnesic)
{
    (void)is_amnesic;
    leader_lease_redis_there(((struct player *)arg)->lease);
}

static void on_away(void *arg, const char *reason)
{
    (void)reason;
    leader_lease_redis_away(((struct player *)arg)->lease);
}

static void on_message(void *arg, const char *payload, size_t len)
{
    (void)arg, (void)payload, (void)len;
}

static void on_leading(void *arg, enum lease_grant grant)
{
    struct player *player = arg;
    player->leads++;
    player->taken += grant == GRANT_TAKEN;
}

static void on_until(void *arg, struct mono until)
{
    ((struct player *)arg)->until = until;
}

static void on_standby(void *arg)
{
    ((struct player *)arg)->stands_by++;
}

static const char *state_word(void *arg)
{
    return leader_lease_leads(((struct player *)arg)->lease) ? "leader" : "standby";
}

static void start(struct fixture *fixture, int number)
{
    struct player *player = &fixture->players[number];
    struct redis_session_options session = {.url = &fixture->url,
                                            .client_name = player->id,
                                            .state_dir = player->dir,
                                            .on_writable = on_writable,
                                            .on_away = on_away,
                                            .on_message = on_message,
                                            .arg = player};
    player->session = redis_session_open(fixture->loop, &session);
    struct leader_lease_options lease = {.loop = fixture->loop,
                                         .session = player->session,
                                         .state_dir = player->dir,
                                         .id = player->id,
                                         .lease_ms = LEASE_MS,
                                         .word_ms = LEASE_MS,
                                         .on_leading = on_leading,
                                         .on_until = on_until,
                                         .on_standby = on_standby,
                                         .state = state_word,
                                         .arg = player};
    player->leads = player->taken = player->stands_by = 0;
    player->until = (struct mono){0};
    player->lease = leader_lease_open(&lease);
}

/* As SIGKILL would: nothing is given back. */
static void end(struct fixture *fixture, int number)
{
    struct player *player = &fixture->players[number];
    redis_session_close(player->session);
    leader_lease_close(player->lease);
    player->session = NULL;
    player->lease = NULL;
}

static bool leads(const struct player *player)
{
    return player->lease != NULL && leader_lease_leads(player->lease);
}

static bool first_leads(struct fixture *fixture)
{
    return leads(&fixture->players[0]);
}

static bool second_leads(struct fixture *fixture)
{
    return leads(&fixture->players[1]);
}

static bool one_leads(struct fixture *fixture)
{
    return first_leads(fixture) || second_leads(fixture);
}

static bool first_stands_by(struct fixture *fixture)
{
    return !leads(&fixture->players[0]);
}

static uint64_t epoch_of(const struct fixture *fixture, int number)
{
    return leader_lease_epoch(fixture->players[number].lease);
}

/* ---- the test's own hand ---- */

static void on_hand_up(void *arg)
{
    (void)arg;
}

static void on_hand_down(void *arg, const char *reason)
{
    (void)arg, (void)reason;
}

static bool is_hand_up(struct fixture *fixture)
{
    return redis_link_is_up(fixture->hand);
}

static void on_hand_reply(void *arg, const struct redis_reply *reply)
{
    struct fixture *fixture = arg;
    const char *text = redis_reply_text(reply, NULL);
    if (redis_reply_type(reply) == REDIS_REPLY_NUMBER) {
        snprintf(fixture->answer, sizeof fixture->answer, "%lld", (long long)redis_reply_number(reply));
    } else {
        memory_set_text(fixture->answer, sizeof fixture->answer, text == NULL ? "(nil)" : text);
    }
}

static bool has_answer(struct fixture *fixture)
{
    return fixture->answer[0] != '\0';
}

static const char *say(struct fixture *fixture, const char *word, const char *key, const char *value)
{
    const char *argv[] = {word, key, value};
    run_until(fixture, is_hand_up);
    fixture->answer[0] = '\0';
    assert_int_equal(
        0, redis_link_command(fixture->hand, on_hand_reply, fixture, value == NULL ? 2 : 3, argv, NULL));
    run_until(fixture, has_answer);
    return fixture->answer;
}

static int set_up(void **state)
{
    struct fixture *fixture = memory_alloc(sizeof *fixture);
    struct err err;
    char url[128];
    redis_server_prepare(&fixture->server);
    redis_server_start(&fixture->server, NULL);
    snprintf(url, sizeof url, "unix://%s", fixture->server.path);
    assert_int_equal(0, redis_url_parse(url, &fixture->url, &err));
    fixture->loop = loop_new();
    fixture->watch = loop_timer_new(fixture->loop, check_goal, fixture);
    struct redis_link_options hand = {
        .url = &fixture->url, .on_up = on_hand_up, .on_down = on_hand_down, .arg = fixture};
    fixture->hand = redis_link_open(fixture->loop, &hand);
    for (int i = 0; i < CONTROLLERS; i++) {
        struct player *player = &fixture->players[i];
        player->fixture = fixture;
        snprintf(player->id, sizeof player->id, "c%d", i);
        strcpy(player->dir, "/tmp/defib-test-lease-XXXXXX");
        assert_non_null(mkdtemp(player->dir));
    }
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < CONTROLLERS; i++) {
        end(fixture, i);
        disk_file_remove(fixture->players[i].dir, "leader.epoch", NULL);
        disk_file_remove(fixture->players[i].dir, "redis.marker", NULL);
        assert_int_equal(0, rmdir(fixture->players[i].dir));
    }
    redis_link_close(fixture->hand);
    loop_timer_free(fixture->watch);
    loop_free(fixture->loop);
    redis_server_remove(&fixture->server);
    free(fixture);
    return 0;
}

/* ---- tests ---- */

static void one_leads_and_renews(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, 0);
    run_until(fixture, first_leads);
    struct mono until = fixture->players[0].until;
    start(fixture, 1);
    run_for(fixture, second_leads, 3 * LEASE_MS);
    assert_true(first_leads(fixture));
    assert_false(second_leads(fixture));
    assert_int_equal(1, fixture->players[0].leads);
    assert_int_equal(0, fixture->players[0].stands_by);
    assert_true(fixture->players[0].until.ms > until.ms + LEASE_MS);
    assert_true(fixture->players[0].until.ms <= clock_mono_now().ms + LEASE_MS * 2 / 3);
    assert_int_equal(0, fixture->players[1].until.ms);
    assert_int_equal(1, epoch_of(fixture, 0));
    assert_string_equal("1", say(fixture, "GET", "health:leader:epoch", NULL));
    assert_non_null(strstr(say(fixture, "GET", "health:leader", NULL), "{\"id\": \"c0\", "));
    assert_non_null(strstr(fixture->answer, "\"epoch\": 1, \"token\": \""));
    assert_non_null(strstr(say(fixture, "GET", "health:controller:c0", NULL), "\"state\": \"leader\""));
    assert_non_null(strstr(say(fixture, "GET", "health:controller:c1", NULL), "\"state\": \"standby\""));
    assert_string_equal("2", say(fixture, "ZCARD", "health:controllers", NULL));
}

static void a_dead_leader_is_replaced_within_its_lease(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, 0);
    run_until(fixture, first_leads);
    start(fixture, 1);
    run_for(fixture, NULL, LEASE_MS);
    end(fixture, 0);
    struct mono died = clock_mono_now();
    run_until(fixture, second_leads);
    assert_true(mono_diff(clock_mono_now(), died) < LEASE_MS + 700);
    assert_int_equal(2, epoch_of(fixture, 1));
    assert_int_equal(1, fixture->players[1].taken);
    /* It comes back and waits for its turn. */
    start(fixture, 0);
    run_for(fixture, first_leads, 2 * LEASE_MS);
    assert_false(first_leads(fixture));
}

static void a_killed_one_takes_its_own_lease_up_at_once(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, 0);
    run_until(fixture, first_leads);
    end(fixture, 0);
    start(fixture, 0);
    struct mono started = clock_mono_now();
    run_until(fixture, first_leads);
    assert_true(mono_diff(clock_mono_now(), started) < LEASE_MS / 2);
    assert_int_equal(2, epoch_of(fixture, 0));
    assert_int_equal(0, fixture->players[0].taken); /* resumed: nobody led between */
}

/* Rubbish in the folder is a fresh start, with a token that nobody has; an older version's file has none. */
static void a_damaged_file_is_no_hindrance(void **state)
{
    struct fixture *fixture = *state;
    static const char *const files[] = {"",
                                        "x",
                                        "7\n",
                                        "7 short\n",
                                        "7 0123456789abcdef0123456789abcdeX\n",
                                        "18446744073709551615 0123456789abcdef0123456789abcdef\n",
                                        "-1 0123456789abcdef0123456789abcdef\n"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        assert_int_equal(
            0, disk_file_replace(fixture->players[0].dir, "leader.epoch", files[i], strlen(files[i]), NULL));
        start(fixture, 0);
        run_until(fixture, first_leads);
        uint64_t epoch = epoch_of(fixture, 0);
        assert_true(epoch >= i + 1 && epoch < 100);
        leader_lease_release(fixture->players[0].lease);
        say(fixture, "GET", "health:leader", NULL);
        end(fixture, 0);
    }
}

static void what_is_given_back_is_taken_at_once(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, 0);
    run_until(fixture, first_leads);
    start(fixture, 1);
    run_for(fixture, NULL, LEASE_MS / 2);
    leader_lease_release(fixture->players[0].lease);
    struct mono released = clock_mono_now();
    run_until(fixture, second_leads);
    assert_true(mono_diff(clock_mono_now(), released) < LEASE_MS * 3 / 4);
    assert_string_equal("(nil)", say(fixture, "GET", "health:controller:c0", NULL));
    assert_string_equal("1", say(fixture, "ZCARD", "health:controllers", NULL));
    /* Not its own any more: that of another is not touched. */
    leader_lease_release(fixture->players[0].lease);
    assert_non_null(strstr(say(fixture, "GET", "health:leader", NULL), "\"c1\""));
}

static void an_agents_higher_epoch_is_exceeded(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, 0);
    run_until(fixture, first_leads);
    leader_lease_heard(fixture->players[0].lease, 41, REDIS_WORD_UP);
    run_for(fixture, NULL, LEASE_MS / 2);
    assert_int_equal(42, epoch_of(fixture, 0));
    assert_int_equal(1, fixture->players[0].leads); /* the lease was ours all the time */
    assert_string_equal("42", say(fixture, "GET", "health:leader:epoch", NULL));
}

/* Flushed, evicted, of another type, never running out, not a number: what stands there does no harm. */
static void rubbish_in_the_keys_is_written_over(void **state)
{
    struct fixture *fixture = *state;
    static const char *const rubbish[][3] = {
        {"DEL", "health:leader", NULL},       {"SET", "health:leader", "mine"},
        {"SADD", "health:leader", "x"},       {"SET", "health:leader:epoch", "not a number"},
        {"SET", "health:leader:epoch", "-3"}, {"SET", "health:leader:epoch", "1e300"},
        {"SADD", "health:leader:epoch", "x"}, {"SET", "health:controllers", "x"}};
    start(fixture, 0);
    run_until(fixture, first_leads);
    for (size_t i = 0; i < sizeof rubbish / sizeof rubbish[0]; i++) {
        uint64_t before = epoch_of(fixture, 0);
        /* in an order in which a request between them changes nothing */
        if (i < 3) {
            say(fixture, "DEL", "health:leader:epoch", NULL);
        }
        say(fixture, "DEL", rubbish[i][1], NULL);
        say(fixture, rubbish[i][0], rubbish[i][1], rubbish[i][2]);
        if (i >= 3) {
            say(fixture, "DEL", "health:leader", NULL);
        }
        run_for(fixture, NULL, LEASE_MS);
        assert_true(first_leads(fixture));
        assert_true(epoch_of(fixture, 0) > before);
        assert_non_null(strstr(say(fixture, "GET", "health:leader", NULL), "\"c0\""));
        assert_int_equal(epoch_of(fixture, 0),
                         strtoull(say(fixture, "GET", "health:leader:epoch", NULL), NULL, 10));
    }
    assert_int_equal(1, fixture->players[0].leads); /* nobody else led: nothing was read anew */
}

static void no_redis_no_renewal_no_commands(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, 0);
    run_until(fixture, first_leads);
    start(fixture, 1);
    run_for(fixture, NULL, LEASE_MS);
    kill(fixture->server.pid, SIGSTOP);
    run_for(fixture, NULL, LEASE_MS);
    assert_int_equal(0, fixture->players[0].until.ms);
    for (int i = 0; i < 20; i++) {
        leader_lease_heard(fixture->players[0].lease, 1, REDIS_WORD_UP);
        run_for(fixture, NULL, LEASE_MS / 10);
    }
    assert_true(first_stands_by(fixture));
    assert_int_equal(1, fixture->players[0].stands_by);
    kill(fixture->server.pid, SIGCONT);
    run_until(fixture, one_leads);
    run_for(fixture, NULL, LEASE_MS);
    assert_true(first_leads(fixture) != second_leads(fixture));
}

static void limit_memory(struct fixture *fixture, const char *bytes)
{
    const char *argv[] = {"CONFIG", "SET", "maxmemory", bytes};
    fixture->answer[0] = '\0';
    run_until(fixture, is_hand_up);
    assert_int_equal(0, redis_link_command(fixture->hand, on_hand_reply, fixture, 4, argv, NULL));
    run_until(fixture, has_answer);
    assert_string_equal("OK", fixture->answer);
}

static bool nobody_writes(struct fixture *fixture)
{
    return !redis_session_is_writable(fixture->players[0].session) &&
           !redis_session_is_writable(fixture->players[1].session);
}

static bool first_is_renewed(struct fixture *fixture)
{
    return redis_session_is_writable(fixture->players[0].session) && epoch_of(fixture, 0) == 2;
}

/* It takes the attempts of nobody, so it gives the lease to nobody: who led leads on. */
static void a_full_redis_is_away_for_all(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, 0);
    run_until(fixture, first_leads);
    start(fixture, 1);
    run_for(fixture, NULL, LEASE_MS);
    limit_memory(fixture, "1");
    for (int i = 0; i < 40; i++) {
        leader_lease_heard(fixture->players[0].lease, 1, REDIS_WORD_DOWN);
        leader_lease_heard(fixture->players[1].lease, 1, REDIS_WORD_DOWN);
        run_for(fixture, NULL, LEASE_MS / 10);
        assert_true(first_leads(fixture));
        assert_false(second_leads(fixture));
    }
    assert_true(nobody_writes(fixture));
    assert_string_equal("(nil)", say(fixture, "GET", "health:leader", NULL));
    limit_memory(fixture, "0");
    run_until(fixture, first_is_renewed);
    assert_false(second_leads(fixture));
    assert_int_equal(1, fixture->players[0].leads);
}

/* Nothing there says who leads: the one that did goes first, whoever asks first. */
static void an_emptied_redis_is_taken_by_no_standby(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, 0);
    run_until(fixture, first_leads);
    start(fixture, 1);
    run_for(fixture, NULL, LEASE_MS);
    for (int i = 0; i < 6; i++) {
        run_for(fixture, NULL, 37 * i);
        assert_string_equal("OK", say(fixture, "FLUSHALL", "SYNC", NULL));
        run_for(fixture, second_leads, LEASE_MS);
        assert_true(first_leads(fixture));
        assert_false(second_leads(fixture));
    }
    assert_int_equal(1, fixture->players[0].leads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_leads_and_renews, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_dead_leader_is_replaced_within_its_lease, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_killed_one_takes_its_own_lease_up_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_file_is_no_hindrance, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_given_back_is_taken_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_agents_higher_epoch_is_exceeded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rubbish_in_the_keys_is_written_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_redis_is_away_for_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_emptied_redis_is_taken_by_no_standby, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_redis_no_renewal_no_commands, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
