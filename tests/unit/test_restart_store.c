#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <stdbool.h>

#include "common/memory.h"
#include "controller/disk_file.h"
#include "controller/redis_session.h"
#include "controller/restart_journal.h"
#include "controller/restart_store.h"
#include "controller/warning_limiter.h"
#include "tests/unit/redis_server.h"

enum { PATIENCE_MS = 20000, WATCH_MS = 20, TEXT_SIZE = 4096 };

/* The decider is played here: it writes down what it was told. */
struct told {
    int stored, loaded, reset;
    enum stored_in where;
    uint64_t token;
    int64_t loaded_count;
    struct wall loaded_cooldown;
    char container[LIMIT_NAME_SIZE];
};

static struct told told;

void decider_stored(struct decider *decider, const char *container, uint64_t token, enum stored_in where,
                    struct mono now, struct wall wall)
{
    (void)decider, (void)now, (void)wall;
    told.stored++;
    told.where = where;
    told.token = token;
    memory_set_text(told.container, sizeof told.container, container);
}

void decider_state_loaded(struct decider *decider, const char *container, const struct restart_state *state,
                          struct mono now, struct wall wall)
{
    (void)decider, (void)now, (void)wall;
    told.loaded++;
    told.loaded_count = state->attempt_count;
    told.loaded_cooldown = state->cooldown_until;
    memory_set_text(told.container, sizeof told.container, container);
}

void decider_state_reset(struct decider *decider, const char *container, struct mono now, struct wall wall)
{
    (void)decider, (void)now, (void)wall;
    told.reset++;
    memory_set_text(told.container, sizeof told.container, container);
}

static uint64_t epoch; /* ours */

uint64_t decider_epoch(const struct decider *decider)
{
    (void)decider;
    return epoch;
}

bool decider_look(const struct decider *decider, const char *container, struct decider_view *out)
{
    (void)decider, (void)container, (void)out;
    return true;
}

struct fixture {
    struct redis_server server;
    struct redis_url url;
    char state_dir[64];
    struct loop *loop;
    struct loop_timer *watch;
    struct mono give_up;
    bool (*is_reached)(struct fixture *fixture);
    struct redis_session *session;
    struct restart_store *store;
    struct warning_limiter *warnings;
    bool was_amnesic;
    int64_t clock_ahead_ms; /* of ours, as Redis tells it from now on; 0: nothing is told */
};

static void check_goal(void *arg)
{
    struct fixture *fixture = arg;
    if (fixture->is_reached(fixture) || mono_reached(loop_now(fixture->loop), fixture->give_up)) {
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

static bool is_ready(struct fixture *fixture)
{
    return redis_session_is_ready(fixture->session) && restart_store_pending(fixture->store) == 0;
}

static bool is_away(struct fixture *fixture)
{
    return !redis_session_is_writable(fixture->session);
}

static bool is_stored(struct fixture *fixture)
{
    (void)fixture;
    return told.stored > 0;
}

static bool is_reset(struct fixture *fixture)
{
    (void)fixture;
    return told.reset > 0;
}

static bool is_taken(struct fixture *fixture)
{
    (void)fixture;
    return told.reset > 0 && told.loaded > 0;
}

static bool is_loaded(struct fixture *fixture)
{
    (void)fixture;
    return told.loaded > 0;
}

static bool is_never(struct fixture *fixture)
{
    (void)fixture;
    return false;
}

/* The value as Redis has it; "" for none. */
static char *value_of(struct fixture *fixture, const char *container)
{
    char line[512];
    snprintf(line, sizeof line, "redis-cli -s %s GET health:restart:%s", fixture->server.path, container);
    FILE *in = popen(line, "re");
    assert_non_null(in);
    char *text = memory_alloc(TEXT_SIZE);
    size_t len = fread(text, 1, TEXT_SIZE - 1, in);
    text[len] = '\0';
    assert_int_equal(0, pclose(in));
    text[strcspn(text, "\n")] = '\0';
    return text;
}

static void cli(struct fixture *fixture, const char *words)
{
    char line[1024];
    snprintf(line, sizeof line, "redis-cli -s %s %s > /dev/null", fixture->server.path, words);
    assert_int_equal(0, system(line));
}

static int64_t count_in_redis(struct fixture *fixture, const char *container)
{
    cleanup_free char *text = value_of(fixture, container);
    struct restart_state state;
    struct err err;
    if (text[0] == '\0') {
        return -1;
    }
    assert_int_equal(0, restart_state_decode(text, strlen(text), &state, &err));
    int64_t count = state.attempt_count;
    restart_state_fini(&state);
    return count;
}

/* The load as fleet_loader would do it, of the one container that these tests use. */
static void on_writable(void *arg, bool is_amnesic)
{
    struct fixture *fixture = arg;
    fixture->was_amnesic = is_amnesic;
    if (fixture->clock_ahead_ms != 0) {
        redis_session_set_wall(fixture->session, (struct wall){clock_wall_now().ms - fixture->clock_ahead_ms},
                               loop_now(fixture->loop));
    }
    restart_store_load_begin(fixture->store, is_amnesic);
    cleanup_free char *text = value_of(fixture, "web");
    if (text[0] != '\0') {
        restart_store_load_value(fixture->store, "web", text, strlen(text));
    }
    restart_store_load_end(fixture->store);
    redis_session_commit(fixture->session);
}

static void on_away(void *arg, const char *reason)
{
    (void)arg, (void)reason;
}

static void on_message(void *arg, const char *payload, size_t len)
{
    (void)arg, (void)payload, (void)len;
}

static void on_told(void *arg)
{
    (void)arg;
}

static void open_store(struct fixture *fixture)
{
    struct redis_session_options session = {.url = &fixture->url,
                                            .client_name = "test",
                                            .state_dir = fixture->state_dir,
                                            .on_writable = on_writable,
                                            .on_away = on_away,
                                            .on_message = on_message,
                                            .arg = fixture};
    fixture->session = redis_session_open(fixture->loop, &session);
    struct restart_store_options store = {.port = {NULL, fixture->loop, on_told, NULL},
                                          .session = fixture->session,
                                          .warnings = fixture->warnings,
                                          .state_dir = fixture->state_dir,
                                          .cooldown_ms = 600000,
                                          .watch_ms = WATCH_MS};
    struct err err;
    assert_int_equal(0, restart_store_open(&store, &fixture->store, &err));
}

static void close_store(struct fixture *fixture)
{
    redis_session_close(fixture->session);
    restart_store_close(fixture->store);
    fixture->session = NULL;
    fixture->store = NULL;
}

static int set_up(void **state)
{
    struct fixture *fixture = memory_alloc(sizeof *fixture);
    redis_server_prepare(&fixture->server);
    redis_server_start(&fixture->server, NULL);
    snprintf(fixture->url.path, sizeof fixture->url.path, "%s", fixture->server.path);
    strcpy(fixture->state_dir, "/tmp/defib-test-store-XXXXXX");
    assert_non_null(mkdtemp(fixture->state_dir));
    fixture->loop = loop_new();
    fixture->watch = loop_timer_new(fixture->loop, check_goal, fixture);
    fixture->warnings = warning_limiter_new(600000);
    told = (struct told){0};
    open_store(fixture);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    close_store(fixture);
    warning_limiter_free(fixture->warnings);
    loop_timer_free(fixture->watch);
    loop_free(fixture->loop);
    redis_server_remove(&fixture->server);
    disk_file_remove(fixture->state_dir, RESTART_JOURNAL_FILE, NULL);
    disk_file_remove(fixture->state_dir, "redis.marker", NULL);
    assert_int_equal(0, rmdir(fixture->state_dir));
    free(fixture);
    return 0;
}

static void save(struct fixture *fixture, int64_t count, uint64_t token)
{
    struct restart_state state;
    restart_state_init(&state);
    state.attempt_count = count;
    state.last_attempt_at = clock_wall_now();
    memory_set_text(state.last_failure_reason, sizeof state.last_failure_reason, "missing_heartbeat");
    restart_store_save(fixture->store, "web", token, &state);
    restart_state_fini(&state);
}

static void save_and_wait(struct fixture *fixture, int64_t count)
{
    told = (struct told){0};
    save(fixture, count, (uint64_t)count + 100);
    run_until(fixture, is_stored);
    run_until(fixture, is_ready);
    assert_int_equal(STORED_IN_REDIS, told.where);
}

static void is_in_redis_before_it_counts_as_stored(void **state)
{
    struct fixture *fixture = *state;
    run_until(fixture, is_ready);
    save(fixture, 1, 42);
    assert_int_equal(0, told.stored); /* not before Redis has answered */
    run_until(fixture, is_stored);
    assert_int_equal(1, count_in_redis(fixture, "web"));
    assert_int_equal(42, told.token);
    assert_string_equal("web", told.container);
    assert_int_equal(STORED_IN_REDIS, told.where);
    run_for(fixture, is_never, 5 * WATCH_MS);
    assert_int_equal(0, told.reset); /* the watch takes our own value for nobody else's */
    assert_int_equal(0, told.loaded);
}

static void is_on_disk_while_redis_is_away_and_merged_later(void **state)
{
    struct fixture *fixture = *state;
    run_until(fixture, is_ready);
    save_and_wait(fixture, 1);
    redis_server_kill(&fixture->server);
    run_until(fixture, is_away);
    told = (struct told){0};
    save(fixture, 2, 7);
    assert_int_equal(1, told.stored); /* at once, and safe */
    assert_int_equal(STORED_ON_DISK, told.where);
    close_store(fixture); /* and the controller dies as well */
    told = (struct told){0};
    open_store(fixture);
    restart_store_recall(fixture->store);
    assert_int_equal(2, told.loaded_count);
    redis_server_start(&fixture->server, NULL);
    run_until(fixture, is_ready);
    assert_true(fixture->was_amnesic);
    assert_int_equal(2, count_in_redis(fixture, "web"));
    assert_int_equal(0, told.reset);
}

static void a_deleted_key_is_a_fresh_budget(void **state)
{
    struct fixture *fixture = *state;
    run_until(fixture, is_ready);
    save_and_wait(fixture, 3);
    cli(fixture, "DEL health:restart:web");
    run_until(fixture, is_reset);
    assert_string_equal("web", told.container);
    run_for(fixture, is_never, 5 * WATCH_MS);
    assert_int_equal(1, told.reset);
    assert_int_equal(-1, count_in_redis(fixture, "web"));
}

static void a_key_deleted_while_we_were_down_is_one_too(void **state)
{
    struct fixture *fixture = *state;
    run_until(fixture, is_ready);
    save_and_wait(fixture, 3);
    close_store(fixture);
    cli(fixture, "DEL health:restart:web");
    told = (struct told){0};
    open_store(fixture);
    run_until(fixture, is_ready);
    assert_false(fixture->was_amnesic);
    run_until(fixture, is_reset);
    run_for(fixture, is_never, 5 * WATCH_MS);
    assert_int_equal(1, told.reset);
    assert_int_equal(-1, count_in_redis(fixture, "web"));
}

/* All that have a TTL, and so not the marker. */
static void evict(struct fixture *fixture)
{
    char line[256];
    snprintf(line, sizeof line,
             "printf '%%s\\n' 'CONFIG SET maxmemory-policy volatile-ttl' 'CONFIG SET maxmemory 1' "
             "'CONFIG SET maxmemory 0' | redis-cli -s %s > /dev/null",
             fixture->server.path);
    assert_int_equal(0, system(line));
}

static bool is_three_in_redis(struct fixture *fixture)
{
    return count_in_redis(fixture, "web") == 3;
}

/* Nobody deleted it: Redis was short of memory. */
static void an_evicted_key_is_written_anew(void **state)
{
    struct fixture *fixture = *state;
    run_until(fixture, is_ready);
    save_and_wait(fixture, 3);
    run_for(fixture, is_never, 5 * WATCH_MS);
    for (int i = 0; i < 3; i++) {
        told = (struct told){0};
        evict(fixture);
        assert_int_equal(-1, count_in_redis(fixture, "web"));
        run_until(fixture, is_three_in_redis);
        run_for(fixture, is_never, 5 * WATCH_MS);
        assert_int_equal(0, told.reset);
        assert_true(told.loaded == 0 || told.loaded_count == 3); /* a full Redis may have been a lost one */
        if (i == 1) {                                            /* the next comes while we are down */
            close_store(fixture);
            evict(fixture);
            open_store(fixture);
        }
    }
    cli(fixture, "DEL health:restart:web"); /* that was long ago: it is an operator's again */
    run_until(fixture, is_reset);
    assert_int_equal(-1, count_in_redis(fixture, "web"));
    /* And while we are down: how many were evicted before is remembered. */
    save_and_wait(fixture, 3);
    run_for(fixture, is_never, 5 * WATCH_MS);
    close_store(fixture);
    cli(fixture, "DEL health:restart:web");
    told = (struct told){0};
    open_store(fixture);
    run_until(fixture, is_reset);
    assert_int_equal(-1, count_in_redis(fixture, "web"));
}

/* Writes a cooldown of 300 s and ends. */
static void leave_cooldown(struct fixture *fixture, int64_t clock_ahead_ms)
{
    run_until(fixture, is_ready);
    redis_session_set_wall(fixture->session, (struct wall){clock_wall_now().ms - clock_ahead_ms},
                           loop_now(fixture->loop));
    struct restart_state state;
    restart_state_init(&state);
    state.attempt_count = 3;
    state.last_attempt_at = clock_wall_now();
    state.cooldown_until = (struct wall){clock_wall_now().ms + 300000};
    restart_store_save(fixture->store, "web", 1, &state);
    restart_state_fini(&state);
    run_until(fixture, is_stored);
    close_store(fixture);
    told = (struct told){0};
}

static void assert_cooldown_left(int64_t wanted_ms)
{
    int64_t left_ms = told.loaded_cooldown.ms - clock_wall_now().ms;
    assert_in_range(left_ms - wanted_ms + 30000, 0, 35000);
}

/* That one was 13 hours ahead of us: by its own clock the cooldown would be long over for it. */
static void a_cooldown_by_another_clock_lasts_as_long(void **state)
{
    struct fixture *fixture = *state;
    leave_cooldown(fixture, 60000);
    disk_file_remove(fixture->state_dir, RESTART_JOURNAL_FILE, NULL); /* it was another controller's */
    fixture->clock_ahead_ms = 60000 + 13 * 3600 * 1000;
    open_store(fixture);
    run_until(fixture, is_loaded);
    assert_int_equal(1, told.loaded);
    assert_int_equal(0, told.reset);
    assert_cooldown_left(300000 + 13 * 3600 * 1000); /* our clock reads as before, and is said to be ahead */
    run_until(fixture, is_ready);
    close_store(fixture);
    told = (struct told){0};
    open_store(fixture); /* what we made of it was written, by our clock */
    run_until(fixture, is_loaded);
    assert_int_equal(1, told.loaded);
    assert_int_equal(0, told.reset);
    assert_cooldown_left(300000 + 13 * 3600 * 1000);
}

/* Our own clock was set back by five hours while we were down. */
static void a_cooldown_of_ours_outlives_a_clock_that_is_set(void **state)
{
    struct fixture *fixture = *state;
    leave_cooldown(fixture, 60000);
    fixture->clock_ahead_ms = 60000 - 5 * 3600 * 1000;
    open_store(fixture);
    run_until(fixture, is_loaded);
    assert_int_equal(1, told.loaded);
    assert_int_equal(0, told.reset);
    assert_cooldown_left(300000 - 5 * 3600 * 1000);
}

/* A difference that answers and rounding make is none, nor is one that nobody told. */
static void a_cooldown_stays_as_it_is_where_clocks_agree(void **state)
{
    static const int64_t ahead[] = {60500, 0};
    struct fixture *fixture = *state;
    leave_cooldown(fixture, 60000);
    for (size_t i = 0; i < sizeof ahead / sizeof ahead[0]; i++) {
        fixture->clock_ahead_ms = ahead[i];
        open_store(fixture);
        run_until(fixture, is_loaded);
        assert_int_equal(1, told.loaded);
        assert_cooldown_left(300000);
        close_store(fixture);
        told = (struct told){0};
    }
    open_store(fixture);
}

static void a_flush_is_no_reset(void **state)
{
    struct fixture *fixture = *state;
    run_until(fixture, is_ready);
    save_and_wait(fixture, 3);
    cli(fixture, "FLUSHALL");
    while (count_in_redis(fixture, "web") != 3) {
        run_for(fixture, is_never, WATCH_MS);
    }
    assert_true(fixture->was_amnesic);
    assert_int_equal(0, told.reset);
    /* Nor is one that happened while we were down. */
    close_store(fixture);
    cli(fixture, "FLUSHALL");
    open_store(fixture);
    run_until(fixture, is_ready);
    assert_true(fixture->was_amnesic);
    assert_int_equal(3, count_in_redis(fixture, "web"));
    assert_int_equal(0, told.reset);
}

static void an_edited_key_is_taken(void **state)
{
    struct fixture *fixture = *state;
    run_until(fixture, is_ready);
    save_and_wait(fixture, 3);
    told = (struct told){0};
    cli(fixture, "SET health:restart:web '{ \"attempt_count\": 1,\n\"note\": \"by hand\" }'");
    run_until(fixture, is_taken);
    assert_int_equal(1, told.loaded_count);
    run_for(fixture, is_never, 5 * WATCH_MS);
    assert_int_equal(1, told.loaded); /* once */
    /* And while we were down, though it is lower than what we knew. */
    close_store(fixture);
    cli(fixture, "SET health:restart:web '{\"attempt_count\": 0}'");
    told = (struct told){0};
    open_store(fixture);
    run_until(fixture, is_ready);
    assert_int_equal(0, told.loaded_count);
    assert_int_equal(1, told.loaded);
}

/* One that leads no more and does not know it yet wrote it; or one that leads since. Neither is an operator.
 */
static void another_leaders_word_is_no_edit(void **state)
{
    struct fixture *fixture = *state;
    run_until(fixture, is_ready);
    epoch = 5;
    save_and_wait(fixture, 2);
    cli(fixture, "SET health:restart:web '{\"attempt_count\": 1, \"epoch\": 4}'");
    run_for(fixture, is_never, 5 * WATCH_MS);
    assert_int_equal(2, count_in_redis(fixture, "web")); /* written again */
    cli(fixture, "SET health:restart:web '{\"attempt_count\": 1, \"epoch\": 6}'");
    run_for(fixture, is_never, 5 * WATCH_MS);
    assert_int_equal(1, count_in_redis(fixture, "web")); /* left */
    assert_int_equal(0, told.reset + told.loaded);
    cli(fixture, "SET health:restart:web '{\"attempt_count\": 1, \"epoch\": 5}'");
    run_until(fixture, is_taken);
    assert_int_equal(1, told.loaded_count);
    epoch = 6; /* nobody led between, and nothing was read anew */
    told = (struct told){0};
    cli(fixture, "SET health:restart:web '{\"attempt_count\": 3, \"epoch\": 5}'");
    run_until(fixture, is_taken);
    assert_int_equal(3, told.loaded_count);
    epoch = 0;
}

static void rubbish_changes_nothing_and_is_written_over(void **state)
{
    struct fixture *fixture = *state;
    run_until(fixture, is_ready);
    save_and_wait(fixture, 2);
    told = (struct told){0};
    static const char *const values[] = {"SET health:restart:web '{\"attempt_count\": \"many\"}'",
                                         "SET health:restart:web rubbish", "SET health:restart:web ''"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        cli(fixture, values[i]);
        run_for(fixture, is_never, 4 * WATCH_MS);
    }
    cli(fixture,
        "EVAL \"redis.call('DEL', KEYS[1]); redis.call('LPUSH', KEYS[1], 'x')\" 1 health:restart:web");
    run_for(fixture, is_never, 4 * WATCH_MS);
    assert_int_equal(0, told.loaded);
    assert_int_equal(0, told.reset);
    save_and_wait(fixture, 3);
    assert_int_equal(3, count_in_redis(fixture, "web"));
}

static void what_is_forgotten_is_deleted_also_later(void **state)
{
    struct fixture *fixture = *state;
    run_until(fixture, is_ready);
    save_and_wait(fixture, 2);
    restart_store_forget(fixture->store, "web");
    run_until(fixture, is_ready);
    assert_int_equal(-1, count_in_redis(fixture, "web"));
    save_and_wait(fixture, 1);
    /* Redis hangs, the state is dropped meanwhile, and the controller restarts. */
    kill(fixture->server.pid, SIGSTOP);
    run_until(fixture, is_away);
    restart_store_forget(fixture->store, "web");
    close_store(fixture);
    kill(fixture->server.pid, SIGCONT);
    told = (struct told){0};
    open_store(fixture);
    run_until(fixture, is_ready);
    assert_int_equal(-1, count_in_redis(fixture, "web"));
    assert_int_equal(0, told.loaded);
    run_for(fixture, is_never, 4 * WATCH_MS);
    assert_int_equal(0, told.reset);
}

static void a_hanging_redis_is_answered_by_the_disk(void **state)
{
    struct fixture *fixture = *state;
    run_until(fixture, is_ready);
    kill(fixture->server.pid, SIGSTOP);
    save(fixture, 1, 5);
    run_until(fixture, is_stored);
    assert_int_equal(STORED_ON_DISK, told.where);
    kill(fixture->server.pid, SIGCONT);
    run_until(fixture, is_away);
    run_until(fixture, is_ready);
    assert_false(fixture->was_amnesic);
    assert_int_equal(1, count_in_redis(fixture, "web"));
    assert_int_equal(0, told.reset);
}

/* Stored and forgotten without Redis by one that leads no more: it has nothing to hand on. */
/* Read, merged and written back, it could undo what the leader wrote in between. */
static void a_follower_writes_nothing(void **state)
{
    struct fixture *fixture = *state;
    run_until(fixture, is_ready);
    save_and_wait(fixture, 1);
    kill(fixture->server.pid, SIGSTOP);
    run_until(fixture, is_away);
    save(fixture, 2, 7);
    restart_store_follow(fixture->store);
    kill(fixture->server.pid, SIGCONT);
    run_until(fixture, is_ready);
    run_for(fixture, is_never, 5 * WATCH_MS);
    assert_int_equal(1, count_in_redis(fixture, "web"));
    restart_store_lead(fixture->store, 2, true); /* and what it owes it has kept */
    told = (struct told){0};
    restart_store_recall(fixture->store);
    assert_int_equal(1, told.loaded);
    assert_int_equal(2, told.loaded_count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(is_in_redis_before_it_counts_as_stored, set_up, tear_down),
        cmocka_unit_test_setup_teardown(is_on_disk_while_redis_is_away_and_merged_later, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_deleted_key_is_a_fresh_budget, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_key_deleted_while_we_were_down_is_one_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cooldown_by_another_clock_lasts_as_long, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cooldown_of_ours_outlives_a_clock_that_is_set, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cooldown_stays_as_it_is_where_clocks_agree, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_evicted_key_is_written_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_flush_is_no_reset, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_edited_key_is_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_leaders_word_is_no_edit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rubbish_changes_nothing_and_is_written_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_forgotten_is_deleted_also_later, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_follower_writes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_hanging_redis_is_answered_by_the_disk, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
