#include "agent/beat_restorer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <string.h>

#include "common/fingerprint.h"
#include "common/memory.h"
#include "tests/unit/redis_server.h"

/* The agent's link and a service's, on a real server; both write to the same keys, and race. */
enum { PATIENCE_MS = 20000, KEYS = 8 };

struct fixture {
    struct redis_server server;
    struct redis_url url;
    struct loop *loop;
    struct loop_timer *watch;
    struct mono give_up;
    struct redis_link *link, *service;
    struct beat_restorer *restorer;
    int answers, wanted;
    int64_t number;                        /* from the last answer that was one */
    char standing[64];                     /* from the last answer that was a text */
    char ours[KEYS][32], theirs[KEYS][32]; /* written last to each key */
    int serial;
};

static struct fixture *the;

static void check_goal(void *arg)
{
    (void)arg;
    bool is_late = mono_reached(loop_now(the->loop), the->give_up);
    bool is_up = redis_link_is_up(the->link) && redis_link_is_up(the->service);
    if (is_late || (is_up && the->answers >= the->wanted)) {
        loop_stop(the->loop);
    }
}

static void run(int wanted)
{
    the->wanted = wanted;
    the->give_up = mono_add(clock_mono_now(), PATIENCE_MS);
    loop_timer_start(the->watch, 0, 1);
    loop_run(the->loop);
    loop_timer_stop(the->watch);
    assert_true(the->answers >= wanted);
    the->answers = 0;
}

static void count_answer(void)
{
    if (++the->answers == the->wanted) {
        loop_stop(the->loop);
    }
}

static void on_answer(void *arg, const struct redis_reply *reply)
{
    (void)arg;
    count_answer();
    the->number = redis_reply_number(reply);
    const char *text = redis_reply_text(reply, NULL);
    memory_set_text(the->standing, sizeof the->standing, text == NULL ? "" : text);
}

static void ask(struct redis_link *link, int argc, const char *const *argv)
{
    assert_int_equal(0, redis_link_command(link, on_answer, NULL, argc, argv, NULL));
}

static const char *key_of(int number)
{
    static const char *const names[KEYS] = {"k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7"};
    return names[number];
}

static int setup(void **state)
{
    (void)state;
    the = memory_alloc(sizeof *the);
    redis_server_prepare(&the->server);
    redis_server_start(&the->server, NULL);
    strcpy(the->url.path, the->server.path);
    the->loop = loop_new();
    the->watch = loop_timer_new(the->loop, check_goal, NULL);
    const struct redis_link_options options = {.url = &the->url};
    the->link = redis_link_open(the->loop, &options);
    the->service = redis_link_open(the->loop, &options);
    the->restorer = beat_restorer_new(the->link);
    run(0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    redis_link_close(the->link);
    redis_link_close(the->service);
    beat_restorer_free(the->restorer);
    loop_timer_free(the->watch);
    loop_free(the->loop);
    redis_server_remove(&the->server);
    free(the);
    return 0;
}

static void write_theirs(int key)
{
    snprintf(the->theirs[key], sizeof the->theirs[key], "theirs %d", ++the->serial);
    const char *argv[] = {"SET", key_of(key), the->theirs[key]};
    ask(the->service, 3, argv);
}

/* As the publisher does: what stood there is put back where it is a service's. */
struct displacing {
    int key;
    uint64_t ours;
};

static void on_displaced(void *arg, const struct redis_reply *reply)
{
    struct displacing *displacing = arg;
    size_t len;
    const char *text = redis_reply_text(reply, &len);
    if (text != NULL && strncmp(text, "theirs", 6) == 0) {
        beat_restorer_put_back(the->restorer, key_of(displacing->key), displacing->ours, text, len, "5000");
    }
    free(displacing);
    count_answer();
}

static void write_ours(int key)
{
    struct displacing *displacing = memory_alloc(sizeof *displacing);
    snprintf(the->ours[key], sizeof the->ours[key], "ours %d", ++the->serial);
    displacing->key = key;
    displacing->ours = fingerprint_of(the->ours[key], strlen(the->ours[key]));
    const char *argv[] = {"SET", key_of(key), the->ours[key], "PX", "9000", "GET"};
    assert_int_equal(0, redis_link_command(the->link, on_displaced, displacing, 6, argv, NULL));
}

/* Answers on the agent's link come behind those of a restoring, each of which takes one more round. */
static void settle(void)
{
    const char *ping[] = {"PING"};
    for (int i = 0; i < 2 * KEYS; i++) {
        ask(the->link, 1, ping);
        run(1);
    }
}

static const char *standing(int key)
{
    const char *get[] = {"GET", key_of(key)};
    ask(the->link, 2, get);
    run(1);
    return the->standing;
}

static void what_was_displaced_stands_again(void **state)
{
    (void)state;
    write_theirs(0);
    run(1);
    write_ours(0);
    run(1);
    settle();
    assert_string_equal(the->theirs[0], standing(0));
    const char *ttl[] = {"PTTL", key_of(0)};
    ask(the->link, 2, ttl);
    run(1);
    assert_true(the->number > 1000 && the->number <= 5000);
}

static void what_came_meanwhile_is_not_overwritten(void **state)
{
    (void)state;
    static const char OLD[] = "theirs of old";
    write_theirs(1);
    run(1);
    beat_restorer_put_back(the->restorer, key_of(1), fingerprint_of("ours", 4), OLD, strlen(OLD), "5000");
    settle();
    assert_string_equal(the->theirs[1], standing(1));
    /* nor is what is gone */
    beat_restorer_put_back(the->restorer, key_of(2), fingerprint_of("ours", 4), OLD, strlen(OLD), "5000");
    settle();
    assert_string_equal("", standing(2));
}

/* Whoever comes first, in the end the service's last beat stands: nothing older, nothing of ours. */
static void no_beat_is_lost_in_any_race(void **state)
{
    (void)state;
    srandom(3);
    for (int round = 0; round < 400; round++) {
        int asked = 0;
        for (int key = 0; key < KEYS; key++) {
            write_theirs(key);
        }
        run(KEYS);
        for (int key = 0; key < KEYS; key++) {
            write_ours(key);
            asked++;
            for (int i = 0; i < (int)(random() % 4); i++, asked++) {
                write_theirs(key);
            }
        }
        for (int i = 0; i < (int)(random() % 40); i++, asked++) {
            if (random() % 3 == 0) {
                run(asked);
                asked = 0;
            }
            write_theirs((int)(random() % KEYS));
        }
        run(asked);
        settle();
        for (int key = 0; key < KEYS; key++) {
            assert_string_equal(the->theirs[key], standing(key));
        }
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_was_displaced_stands_again),
        TEST(what_came_meanwhile_is_not_overwritten),
        TEST(no_beat_is_lost_in_any_race),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
