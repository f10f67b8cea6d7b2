#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/memory.h"
#include "controller/agent_book.h"
#include "controller/agent_link.h"
#include "controller/disk_file.h"
#include "proto/registration.h"

enum { PATIENCE_MS = 10000, PING_MS = 50, ASK_MS = 50 };

/* The decider is played here. */
struct told {
    int unchanged, registrations, answered;
    int status;
    enum answer_code code;
    uint64_t epoch;
    enum redis_word redis;
    struct command_id id;
    uint64_t known_change; /* what the played decider has seen last */
    char known_agent[LIMIT_COMMAND_ID_SIZE];
};

static struct told told;

bool decider_observe_unchanged(struct decider *decider, const char *host, const char *agent, uint64_t change,
                               enum path path, struct mono now)
{
    (void)decider, (void)now;
    assert_string_equal("h1", host);
    assert_int_equal(PATH_RPC, path);
    bool is_known = told.known_change == change && strcmp(told.known_agent, agent) == 0;
    told.unchanged += is_known;
    return is_known;
}

void decider_observe_registration(struct decider *decider, const struct registration *registration,
                                  enum path path, struct mono now, struct wall wall)
{
    (void)decider, (void)now, (void)wall;
    assert_int_equal(PATH_RPC, path);
    told.registrations++;
    told.known_change = registration->change;
    memory_set_text(told.known_agent, sizeof told.known_agent, registration->agent);
}

void decider_answered(struct decider *decider, const struct command_id *id, int status,
                      const struct answer *answer, struct mono now, struct wall wall)
{
    (void)decider, (void)now, (void)wall;
    assert_true((status == 0) == (answer != NULL));
    told.answered++;
    told.status = status;
    told.id = *id;
    told.code = answer == NULL ? ANSWER_UNKNOWN : answer->code;
}

void leader_lease_heard(struct leader_lease *lease, uint64_t epoch, enum redis_word redis)
{
    (void)lease;
    told.epoch = epoch;
    told.redis = redis;
}

uint64_t leader_lease_epoch(const struct leader_lease *lease)
{
    (void)lease;
    return 4;
}

/* The agent is played too, with the faults that a test asks for. */
enum fault { FAULT_NONE, FAULT_KEY, FAULT_ID, FAULT_HOST, FAULT_BYTES, FAULT_DOCUMENT };

struct fixture {
    struct loop *loop;
    struct loop_timer *watch;
    struct mono give_up;
    bool (*is_reached)(struct fixture *fixture);
    char state_dir[64];
    struct key_ring keys, other_keys;
    struct warning_limiter *warnings;
    struct agent_link *link;
    struct rpc_server *server;
    enum fault fault;
    uint64_t change;
    uint64_t agent_epoch;
    char agent[LIMIT_COMMAND_ID_SIZE];
    int pings, inventories, commands;
    uint64_t last_if_change;
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

static void fill_answer(struct fixture *fixture, const struct command *command, struct answer *answer)
{
    answer_init(answer);
    answer->id = command->id;
    answer->code = command->op == OP_RESTART ? ANSWER_ACCEPTED : ANSWER_OK;
    answer->epoch = fixture->agent_epoch;
    answer->redis = REDIS_WORD_DOWN;
    answer->change = fixture->change;
    memory_set_text(answer->host, sizeof answer->host, fixture->fault == FAULT_HOST ? "h2" : "h1");
    memory_set_text(answer->agent, sizeof answer->agent, fixture->agent);
    answer->id.bytes[0] ^= fixture->fault == FAULT_ID;
    if (command->op != OP_INVENTORY || command->if_change == fixture->change) {
        return;
    }
    struct registration registration;
    registration_init(&registration);
    registration.change = fixture->change;
    memory_set_text(registration.host, sizeof registration.host,
                    fixture->fault == FAULT_DOCUMENT ? "h2" : "h1");
    memory_set_text(registration.agent, sizeof registration.agent, fixture->agent);
    answer->payload = registration_encode(&registration, &answer->payload_len);
    registration_fini(&registration);
}

static void on_request(void *arg, struct rpc_request *request, const uint8_t *bytes, size_t len)
{
    struct fixture *fixture = arg;
    const uint8_t *body;
    size_t body_len, sealed_len, answer_len;
    struct command command;
    struct err err;
    assert_int_equal(
        0, envelope_open(&fixture->keys, ENVELOPE_REQUEST, "h1", bytes, len, &body, &body_len, &err));
    assert_int_equal(0, command_decode(body, body_len, &command, &err));
    assert_string_equal("h1", command.host);
    fixture->pings += command.op == OP_PING;
    fixture->inventories += command.op == OP_INVENTORY;
    fixture->commands += command.op == OP_RESTART;
    fixture->last_if_change = command.op == OP_INVENTORY ? command.if_change : fixture->last_if_change;
    struct answer answer;
    fill_answer(fixture, &command, &answer);
    cleanup_free uint8_t *encoded = answer_encode(&answer, &answer_len);
    const struct key_ring *ring = fixture->fault == FAULT_KEY ? &fixture->other_keys : &fixture->keys;
    cleanup_free uint8_t *sealed =
        envelope_seal(ring, ENVELOPE_ANSWER, "h1", encoded, answer_len, &sealed_len);
    rpc_request_reply(request, sealed, fixture->fault == FAULT_BYTES ? sealed_len / 2 : sealed_len);
    answer_fini(&answer);
}

static void on_told(void *arg)
{
    (void)arg;
}

static void start_agent(struct fixture *fixture, const char *url)
{
    struct rpc_server_options options = {
        .url = url, .max_bytes = LIMIT_COMMAND_BYTES, .on_request = on_request, .arg = fixture};
    struct err err;
    assert_int_equal(0, rpc_server_open(fixture->loop, &options, &fixture->server, &err));
}

static void open_link(struct fixture *fixture, const char *agents)
{
    struct agent_link_options options = {.port = {NULL, fixture->loop, on_told, NULL},
                                         .warnings = fixture->warnings,
                                         .state_dir = fixture->state_dir,
                                         .agents_text = agents,
                                         .keys = &fixture->keys,
                                         .ping_ms = PING_MS,
                                         .ask_ms = ASK_MS,
                                         .silence_ms = 60000};
    struct err err;
    assert_int_equal(0, agent_link_open(&options, &fixture->link, &err));
}

static void parse_key(const char *text, struct key_ring *out)
{
    struct err err;
    assert_int_equal(0, key_ring_parse(text, strlen(text), out, &err));
}

static int set_up(void **state)
{
    struct fixture *fixture = memory_alloc(sizeof *fixture);
    strcpy(fixture->state_dir, "/tmp/defib-test-link-XXXXXX");
    assert_non_null(mkdtemp(fixture->state_dir));
    parse_key("k1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", &fixture->keys);
    parse_key("k1:ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", &fixture->other_keys);
    fixture->loop = loop_new();
    fixture->watch = loop_timer_new(fixture->loop, check_goal, fixture);
    fixture->warnings = warning_limiter_new(600000);
    fixture->change = 5;
    memory_set_text(fixture->agent, sizeof fixture->agent, "00112233445566778899aabbccddeeff");
    told = (struct told){0};
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    agent_link_close(fixture->link);
    rpc_server_close(fixture->server);
    warning_limiter_free(fixture->warnings);
    loop_timer_free(fixture->watch);
    loop_free(fixture->loop);
    disk_file_remove(fixture->state_dir, AGENT_BOOK_FILE, NULL);
    disk_file_remove(fixture->state_dir, "sock", NULL);
    disk_file_remove(fixture->state_dir, "sock2", NULL);
    assert_int_equal(0, rmdir(fixture->state_dir));
    free(fixture);
    return 0;
}

static void socket_url(struct fixture *fixture, const char *name, char url[128])
{
    snprintf(url, 128, "ipc://%s/%s", fixture->state_dir, name);
}

static void open_both(struct fixture *fixture)
{
    char url[128], agents[160];
    socket_url(fixture, "sock", url);
    snprintf(agents, sizeof agents, " h1=%s , ", url);
    start_agent(fixture, url);
    open_link(fixture, agents);
}

static bool has_inventory(struct fixture *fixture)
{
    (void)fixture;
    return told.registrations > 0;
}

static bool has_unchanged(struct fixture *fixture)
{
    (void)fixture;
    return told.unchanged >= 3;
}

static bool has_answer(struct fixture *fixture)
{
    (void)fixture;
    return told.answered > 0;
}

static bool has_asked_thrice(struct fixture *fixture)
{
    return fixture->inventories >= 3;
}

static void send_restart(struct fixture *fixture, const char *host)
{
    struct command command = {.op = OP_RESTART, .ttl_ms = 1000, .epoch = 1};
    command.id.bytes[3] = 77;
    memory_set_text(command.host, sizeof command.host, host);
    memory_set_text(command.container, sizeof command.container, "web");
    memory_set_text(command.container_id, sizeof command.container_id, "abc");
    memory_set_text(command.expect_started_at, sizeof command.expect_started_at, "2026-01-23T19:00:00Z");
    agent_link_send(fixture->link, host, &command, 2000);
}

static void asks_for_what_is_new_only(void **state)
{
    struct fixture *fixture = *state;
    open_both(fixture);
    run_until(fixture, has_inventory);
    run_until(fixture, has_unchanged);
    assert_int_equal(1, told.registrations);
    assert_int_equal(5, fixture->last_if_change); /* Redis is away: asked often, but for news only */
    fixture->change = 6;
    told.registrations = 0;
    run_until(fixture, has_inventory);
    assert_int_equal(6, told.known_change);
}

/* A change counts within one process: the same number from another one is news all the same. */
static void an_agent_that_restarted_is_asked_anew(void **state)
{
    struct fixture *fixture = *state;
    open_both(fixture);
    run_until(fixture, has_inventory);
    told.registrations = 0;
    memory_set_text(fixture->agent, sizeof fixture->agent, "ffeeddccbbaa99887766554433221100");
    run_until(fixture, has_inventory);
    assert_string_equal(fixture->agent, told.known_agent);
}

static bool has_pinged_thrice(struct fixture *fixture)
{
    return fixture->pings >= 3;
}

static void only_pings_while_redis_tells(void **state)
{
    struct fixture *fixture = *state;
    open_both(fixture);
    run_until(fixture, has_inventory);
    agent_link_redis_away(fixture->link, false);
    agent_link_learn(fixture->link, "h1", "tcp://192.0.2.1:7411", 3); /* DEFIB_AGENTS knows better */
    run_until(fixture, has_unchanged);
    fixture->inventories = fixture->pings = 0;
    run_until(fixture, has_pinged_thrice);
    assert_int_equal(0, fixture->inventories);
    agent_link_redis_away(fixture->link, true);
    run_until(fixture, has_asked_thrice);
}

static void an_answer_counts_only_with_mac_id_and_host(void **state)
{
    struct fixture *fixture = *state;
    static const enum fault faults[] = {FAULT_KEY, FAULT_ID, FAULT_HOST, FAULT_BYTES};
    open_both(fixture);
    run_until(fixture, has_inventory);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        fixture->fault = faults[i];
        run_for(fixture, has_answer, 2 * PING_MS); /* what is under way comes in */
        told = (struct told){0};
        fixture->change++;
        send_restart(fixture, "h1");
        run_until(fixture, has_answer);
        run_for(fixture, has_inventory, 4 * PING_MS);
        assert_true(told.status < 0);
        assert_int_equal(0, told.registrations + told.unchanged);
    }
    assert_int_equal(4, fixture->commands);
    fixture->fault = FAULT_DOCUMENT;
    told = (struct told){0};
    run_for(fixture, has_inventory, 4 * PING_MS);
    assert_int_equal(0, told.registrations);
}

static void a_receipt_reaches_the_decider(void **state)
{
    struct fixture *fixture = *state;
    fixture->agent_epoch = 9;
    open_both(fixture);
    send_restart(fixture, "h1");
    run_until(fixture, has_answer);
    assert_int_equal(0, told.status);
    assert_int_equal(ANSWER_ACCEPTED, told.code);
    assert_int_equal(77, told.id.bytes[3]);
    assert_int_equal(1, fixture->commands);
    assert_int_equal(9, told.epoch);
    assert_int_equal(REDIS_WORD_DOWN, told.redis);
}

static void a_host_that_nobody_knows_is_told_at_once(void **state)
{
    struct fixture *fixture = *state;
    open_link(fixture, "");
    send_restart(fixture, "elsewhere");
    assert_int_equal(1, told.answered);
    assert_int_equal(-ENOTCONN, told.status);
}

static bool has_book(struct fixture *fixture)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", fixture->state_dir, AGENT_BOOK_FILE);
    return access(path, F_OK) == 0;
}

static void what_was_learned_outlives_the_process(void **state)
{
    struct fixture *fixture = *state;
    char url[128], other[128];
    socket_url(fixture, "sock", url);
    socket_url(fixture, "sock2", other);
    open_link(fixture, "");
    agent_link_learn(fixture->link, "h1", other, 0);
    run_until(fixture, has_book);
    start_agent(fixture, url);
    agent_link_learn(fixture->link, "h1", url, 0); /* it moved */
    run_until(fixture, has_inventory);
    agent_link_close(fixture->link);
    told = (struct told){0};
    open_link(fixture, "");
    run_until(fixture, has_inventory);
}

struct sighting {
    const char *name;
    int count;
};

static void look_for_entry(void *arg, const char *host, const char *url)
{
    (void)host;
    struct sighting *sighting = arg;
    sighting->count += strcmp(strrchr(url, '/') + 1, sighting->name) == 0;
}

static bool is_in_book(const struct fixture *fixture, const char *name)
{
    struct sighting sighting = {name, 0};
    agent_book_read(fixture->state_dir, look_for_entry, &sighting);
    return sighting.count > 0;
}

static bool is_at_sock2(struct fixture *fixture)
{
    return is_in_book(fixture, "sock2");
}

static bool is_at_sock3(struct fixture *fixture)
{
    return is_in_book(fixture, "sock3");
}

static void a_url_that_changes_all_the_time_is_followed_slowly(void **state)
{
    struct fixture *fixture = *state;
    char urls[3][128];
    socket_url(fixture, "sock", urls[0]);
    socket_url(fixture, "sock2", urls[1]);
    socket_url(fixture, "sock3", urls[2]);
    open_link(fixture, "");
    agent_link_learn(fixture->link, "h1", urls[0], 0);
    run_until(fixture, has_book);
    agent_link_learn(fixture->link, "h1", urls[1], 0);
    run_until(fixture, is_at_sock2); /* the first move is made at once */
    agent_link_learn(fixture->link, "h1", urls[0], 0);
    agent_link_learn(fixture->link, "h1", urls[1], 0); /* back, before anybody went */
    run_for(fixture, is_at_sock3, 6000);
    assert_true(is_at_sock2(fixture));
    struct mono before = clock_mono_now(); /* the first of the two moves is not earlier */
    agent_link_learn(fixture->link, "h1", urls[2], 0);
    run_until(fixture, is_at_sock3);
    agent_link_learn(fixture->link, "h1", urls[0], 0);
    agent_link_learn(fixture->link, "h1", urls[1], 0);
    run_until(fixture, is_at_sock2);
    assert_true(mono_diff(clock_mono_now(), before) > 4000);
}

static void count_entry(void *arg, const char *host, const char *url)
{
    (void)host, (void)url;
    ++*(int *)arg;
}

static void reads_lists_of_agents(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int result, count;
    } cases[] = {{"", 0, 0},
                 {" , ,", 0, 0},
                 {"h1=tcp://10.0.0.1:7411", 0, 1},
                 {"h1=tcp://10.0.0.1:7411, h2=ipc:///run/x,", 0, 2},
                 {"h1", -EINVAL, 0},
                 {"=tcp://x:1", -EINVAL, 0},
                 {"h1=", -EINVAL, 0},
                 {"h1=10.0.0.1:7411", -EINVAL, 0},
                 {"a b=tcp://x:1", -EINVAL, 0},
                 {"h1=tcp://x:1,rubbish", -EINVAL, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int count = 0;
        struct err err;
        assert_int_equal(cases[i].result, agent_book_parse(cases[i].text, count_entry, &count, &err));
        assert_int_equal(cases[i].count, count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(asks_for_what_is_new_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_agent_that_restarted_is_asked_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_pings_while_redis_tells, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_answer_counts_only_with_mac_id_and_host, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_receipt_reaches_the_decider, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_host_that_nobody_knows_is_told_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_learned_outlives_the_process, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_url_that_changes_all_the_time_is_followed_slowly, set_up,
                                        tear_down),
        cmocka_unit_test(reads_lists_of_agents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
