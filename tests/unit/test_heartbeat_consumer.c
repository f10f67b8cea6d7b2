#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <stdbool.h>

#include "common/memory.h"
#include "controller/disk_file.h"
#include "controller/heartbeat_consumer.h"
#include "proto/registration.h"
#include "tests/unit/redis_server.h"

enum { PATIENCE_MS = 20000, CHECK_MS = 150, FINDINGS = 700 };

/* The decider and the agents' link are played here. */
struct told {
    int beats, registrations, unchanged, learned, holds, releases;
    char last_beat[LIMIT_NAME_SIZE];
    int findings[4];
    int found;
    uint64_t known_change;
    bool is_strange; /* what the decider says of every beat */
    char held[LIMIT_NAME_SIZE];
};

static struct told told;

bool decider_observe_beat(struct decider *decider, const struct heartbeat *beat, struct mono now,
                          struct wall wall)
{
    (void)decider, (void)now, (void)wall;
    told.beats++;
    memory_set_text(told.last_beat, sizeof told.last_beat, beat->instance_id);
    return told.is_strange;
}

void decider_observe_registration(struct decider *decider, const struct registration *registration,
                                  enum path path, struct mono now, struct wall wall)
{
    (void)decider, (void)now, (void)wall;
    assert_int_equal(PATH_REDIS, path);
    told.registrations++;
    told.known_change = registration->change;
}

bool decider_observe_unchanged(struct decider *decider, const char *host, const char *agent, uint64_t change,
                               enum path path, struct mono now)
{
    (void)decider, (void)host, (void)agent, (void)path, (void)now;
    told.unchanged += told.known_change == change;
    return told.known_change == change;
}

void decider_key_read(struct decider *decider, const char *container, enum key_finding finding,
                      struct mono now, struct wall wall)
{
    (void)decider, (void)container, (void)now, (void)wall;
    told.findings[finding]++;
    told.found++;
}

void decider_hold(struct decider *decider, const char *kind, const char *name, bool is_held,
                  struct wall until, struct mono now, struct wall wall)
{
    (void)decider, (void)until, (void)now, (void)wall;
    told.holds += is_held;
    told.releases += !is_held;
    snprintf(told.held, sizeof told.held, "%.20s:%.200s", kind, name);
}

void decider_each(const struct decider *decider, bool (*visit)(void *arg, const struct decider_view *view),
                  void *arg)
{
    (void)decider, (void)visit, (void)arg;
}

void agent_link_learn(struct agent_link *link, const char *host, const char *url, uint64_t epoch)
{
    (void)link, (void)host, (void)url, (void)epoch;
    told.learned++;
}

void agent_link_each(const struct agent_link *link, void (*visit)(void *arg, const char *host), void *arg)
{
    (void)link, (void)visit, (void)arg;
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
    struct warning_limiter *warnings;
    struct hold_watch *holds;
    struct heartbeat_consumer *consumer;
    int aways;
    int found_wanted;
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
    return redis_session_is_ready(fixture->session);
}

static bool has_found(struct fixture *fixture)
{
    return told.found >= fixture->found_wanted;
}

static bool has_registration(struct fixture *fixture)
{
    (void)fixture;
    return told.registrations > 0;
}

static bool has_beat(struct fixture *fixture)
{
    (void)fixture;
    return told.beats > 0;
}

static bool has_hold(struct fixture *fixture)
{
    (void)fixture;
    return told.holds > 0;
}

static bool has_release(struct fixture *fixture)
{
    (void)fixture;
    return told.releases > 0;
}

static bool is_never(struct fixture *fixture)
{
    (void)fixture;
    return false;
}

static void on_writable(void *arg, bool is_amnesic)
{
    struct fixture *fixture = arg;
    (void)is_amnesic;
    redis_session_commit(fixture->session);
}

static void on_away(void *arg, const char *reason)
{
    struct fixture *fixture = arg;
    (void)reason;
    fixture->aways++;
}

static void on_message(void *arg, const char *payload, size_t len)
{
    struct fixture *fixture = arg;
    heartbeat_consumer_message(fixture->consumer, payload, len);
}

/* As the controller does it: what a fact made wanted leaves at once. */
static void on_told(void *arg)
{
    struct fixture *fixture = arg;
    heartbeat_consumer_flush(fixture->consumer);
}

static int set_up(void **state)
{
    struct fixture *fixture = memory_alloc(sizeof *fixture);
    redis_server_prepare(&fixture->server);
    redis_server_start(&fixture->server, NULL);
    snprintf(fixture->url.path, sizeof fixture->url.path, "%s", fixture->server.path);
    strcpy(fixture->state_dir, "/tmp/defib-test-consumer-XXXXXX");
    assert_non_null(mkdtemp(fixture->state_dir));
    fixture->loop = loop_new();
    fixture->watch = loop_timer_new(fixture->loop, check_goal, fixture);
    fixture->warnings = warning_limiter_new(600000);
    struct redis_session_options session = {.url = &fixture->url,
                                            .client_name = "test",
                                            .state_dir = fixture->state_dir,
                                            .on_writable = on_writable,
                                            .on_away = on_away,
                                            .on_message = on_message,
                                            .arg = fixture};
    fixture->session = redis_session_open(fixture->loop, &session);
    struct decider_port port = {NULL, fixture->loop, on_told, fixture};
    fixture->holds = hold_watch_new(&port, fixture->session, fixture->warnings);
    struct heartbeat_consumer_options consumer = {.port = port,
                                                  .session = fixture->session,
                                                  .holds = fixture->holds,
                                                  .warnings = fixture->warnings,
                                                  .check_interval_ms = CHECK_MS};
    fixture->consumer = heartbeat_consumer_new(&consumer);
    told = (struct told){0};
    run_until(fixture, is_ready);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    redis_session_close(fixture->session);
    heartbeat_consumer_free(fixture->consumer);
    hold_watch_free(fixture->holds);
    warning_limiter_free(fixture->warnings);
    loop_timer_free(fixture->watch);
    loop_free(fixture->loop);
    redis_server_remove(&fixture->server);
    disk_file_remove(fixture->state_dir, "redis.marker", NULL);
    assert_int_equal(0, rmdir(fixture->state_dir));
    free(fixture);
    return 0;
}

static void cli(struct fixture *fixture, const char *words)
{
    char line[2048];
    snprintf(line, sizeof line, "redis-cli -s %s %s > /dev/null", fixture->server.path, words);
    assert_int_equal(0, system(line));
}

static void want(struct fixture *fixture, const char *instance)
{
    heartbeat_consumer_want_key(fixture->consumer, instance, "web", instance, "h1");
}

static void wait_found(struct fixture *fixture, int count)
{
    fixture->found_wanted = count;
    run_until(fixture, has_found);
}

static void put_registration(struct fixture *fixture, uint64_t change, uint64_t seq, const char *host)
{
    struct registration registration;
    registration_init(&registration);
    memory_set_text(registration.host, sizeof registration.host, host);
    memory_set_text(registration.agent, sizeof registration.agent, "00112233445566778899aabbccddeeff");
    registration.change = change;
    registration.seq = seq;
    size_t len;
    cleanup_free char *text = registration_encode(&registration, &len);
    char words[1024];
    snprintf(words, sizeof words, "SET health:agent:h1 '%s'", text);
    cli(fixture, words);
    registration_fini(&registration);
}

static void finds_what_is_there(void **state)
{
    struct fixture *fixture = *state;
    cli(fixture,
        "SET health:hb:web:1 '{\"service\": \"web\", \"instance_id\": \"1\", \"status\": \"healthy\"}'");
    cli(fixture, "SET health:hb:web:2 rubbish");
    cli(fixture,
        "SET health:hb:web:3 '{\"service\": \"db\", \"instance_id\": \"1\", \"status\": \"healthy\"}'");
    cli(fixture, "LPUSH health:hb:web:4 x");
    want(fixture, "1");
    want(fixture, "2");
    want(fixture, "3");
    want(fixture, "4");
    want(fixture, "5");
    assert_false(heartbeat_consumer_flush(fixture->consumer));
    wait_found(fixture, 5);
    assert_int_equal(1, told.findings[KEY_PRESENT]);
    assert_int_equal(2, told.findings[KEY_INVALID]); /* one is no beat, one speaks under another's name */
    assert_int_equal(2, told.findings[KEY_ABSENT]);
    assert_int_equal(1, told.beats);
    assert_string_equal("1", told.last_beat);
}

static void many_keys_are_read_in_one_go(void **state)
{
    struct fixture *fixture = *state;
    char name[16];
    for (int i = 0; i < FINDINGS; i++) {
        snprintf(name, sizeof name, "%d", i);
        want(fixture, name);
    }
    heartbeat_consumer_flush(fixture->consumer);
    wait_found(fixture, FINDINGS);
    assert_int_equal(FINDINGS, told.findings[KEY_ABSENT]);
    cli(fixture, "INFO commandstats | grep -q 'cmdstat_mget:calls=[1-9],'");
}

/* An emptied Redis is no silence of the services. */
static void without_the_marker_nothing_is_absent(void **state)
{
    struct fixture *fixture = *state;
    cli(fixture, "FLUSHALL");
    want(fixture, "1");
    heartbeat_consumer_flush(fixture->consumer);
    wait_found(fixture, 1);
    assert_int_equal(1, told.findings[KEY_UNREADABLE]);
    assert_int_equal(1, fixture->aways);
    run_until(fixture, is_ready);
    want(fixture, "1");
    heartbeat_consumer_flush(fixture->consumer);
    wait_found(fixture, 2);
    assert_int_equal(1, told.findings[KEY_ABSENT]);
}

static void a_flush_is_noticed_without_anybody_asking(void **state)
{
    struct fixture *fixture = *state;
    cli(fixture, "FLUSHALL");
    run_for(fixture, is_never, 4 * CHECK_MS);
    assert_int_equal(1, fixture->aways);
}

static void while_redis_is_away_nothing_is_readable(void **state)
{
    struct fixture *fixture = *state;
    want(fixture, "0");
    redis_server_kill(&fixture->server);
    heartbeat_consumer_flush(fixture->consumer); /* under way when it dies */
    wait_found(fixture, 1);
    want(fixture, "1");
    assert_true(heartbeat_consumer_flush(fixture->consumer));
    assert_int_equal(2, told.findings[KEY_UNREADABLE]);
}

/* The same bytes again prove nothing; a new document with an old change does, at little cost. */
static void a_document_counts_once(void **state)
{
    struct fixture *fixture = *state;
    put_registration(fixture, 7, 1, "h1");
    want(fixture, "1");
    heartbeat_consumer_flush(fixture->consumer);
    run_until(fixture, has_registration);
    run_for(fixture, is_never, 4 * CHECK_MS);
    assert_int_equal(1, told.registrations);
    assert_int_equal(0, told.unchanged);
    put_registration(fixture, 7, 2, "h1");
    run_for(fixture, is_never, 4 * CHECK_MS);
    assert_int_equal(1, told.registrations);
    assert_int_equal(1, told.unchanged);
    assert_int_equal(2, told.learned);
    put_registration(fixture, 8, 3, "h1");
    run_for(fixture, is_never, 4 * CHECK_MS);
    assert_int_equal(2, told.registrations);
    put_registration(fixture, 9, 4, "h2"); /* not under its own key */
    run_for(fixture, is_never, 4 * CHECK_MS);
    assert_int_equal(2, told.registrations);
}

static void a_death_or_a_stranger_asks_for_the_registration_at_once(void **state)
{
    struct fixture *fixture = *state;
    static const char *const beats[] = {
        "{\"service\": \"web\", \"instance_id\": \"1\", \"host\": \"h1\", \"container\": \"c\", \"state\": "
        "\"running\"}",
        "{\"service\": \"web\", \"instance_id\": \"1\", \"host\": \"h1\", \"container\": \"c\", \"state\": "
        "\"exited\"}"};
    heartbeat_consumer_message(fixture->consumer, beats[0], strlen(beats[0])); /* the host is new */
    run_for(fixture, is_never, CHECK_MS / 3);
    put_registration(fixture, 7, 1, "h1");
    told.registrations = 0;
    heartbeat_consumer_message(fixture->consumer, beats[1], strlen(beats[1]));
    run_for(fixture, has_registration, CHECK_MS);
    assert_int_equal(1, told.registrations);
    put_registration(fixture, 8, 2, "h1");
    told.registrations = 0;
    told.is_strange = true; /* the decider has not heard of the container */
    heartbeat_consumer_message(fixture->consumer, beats[0], strlen(beats[0]));
    run_for(fixture, has_registration, CHECK_MS);
    assert_int_equal(1, told.registrations);
}

static void bad_messages_harm_nothing(void **state)
{
    struct fixture *fixture = *state;
    cli(fixture, "PUBLISH health:heartbeats rubbish");
    cli(fixture, "PUBLISH health:heartbeats ''");
    cli(fixture, "PUBLISH health:heartbeats '{\"service\": 1}'");
    cli(fixture, "PUBLISH health:heartbeats '{\"service\": \"web\", \"instance_id\": \"good\"}'");
    run_until(fixture, has_beat);
    assert_int_equal(1, told.beats);
    assert_string_equal("good", told.last_beat);
}

static void holds_are_read_with_the_keys_they_cover(void **state)
{
    struct fixture *fixture = *state;
    cli(fixture, "SET health:hold:service:web '{\"reason\": \"migration\", \"by\": \"anna\"}'");
    want(fixture, "1");
    heartbeat_consumer_flush(fixture->consumer);
    wait_found(fixture, 1);
    assert_int_equal(1, told.holds); /* known before the key's finding */
    assert_string_equal("service:web", told.held);
    cli(fixture, "DEL health:hold:service:web");
    run_until(fixture, has_release);
    cli(fixture, "SET health:hold:all:all yes"); /* rubbish, but somebody meant it */
    run_until(fixture, has_hold);
    run_for(fixture, is_never, 4 * CHECK_MS);
    assert_int_equal(2, told.holds);
    assert_int_equal(1, told.releases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(finds_what_is_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_keys_are_read_in_one_go, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_the_marker_nothing_is_absent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_flush_is_noticed_without_anybody_asking, set_up, tear_down),
        cmocka_unit_test_setup_teardown(while_redis_is_away_nothing_is_readable, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_document_counts_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_death_or_a_stranger_asks_for_the_registration_at_once, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(bad_messages_harm_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(holds_are_read_with_the_keys_they_cover, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
