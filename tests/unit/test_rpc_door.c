#include "common/rpc_door.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <unistd.h>

enum { VISITORS_MAX = 64 };

struct house {
    struct rpc_door *door;
    int listener;
    struct sockaddr_in own;
    size_t count;
    int outside[VISITORS_MAX]; /* the visitors' ends */
    int inside[VISITORS_MAX];  /* ours */
};

static int set_up(void **state)
{
    struct house *house = calloc(1, sizeof *house);
    socklen_t len = sizeof house->own;
    house->own = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    house->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(house->listener, (struct sockaddr *)&house->own, len), 0);
    assert_int_equal(getsockname(house->listener, (struct sockaddr *)&house->own, &len), 0);
    assert_int_equal(listen(house->listener, VISITORS_MAX), 0);
    house->door = rpc_door_new();
    rpc_door_set_address(house->door, (const struct sockaddr *)&house->own);
    *state = house;
    return 0;
}

static int tear_down(void **state)
{
    struct house *house = *state;
    for (size_t i = 0; i < house->count; i++) {
        close(house->outside[i]);
        close(house->inside[i]);
    }
    close(house->listener);
    rpc_door_free(house->door);
    free(house);
    return 0;
}

static size_t visit(struct house *house)
{
    size_t number = house->count++;
    house->outside[number] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(house->outside[number], (struct sockaddr *)&house->own, sizeof house->own), 0);
    house->inside[number] = accept(house->listener, NULL, NULL);
    assert_true(house->inside[number] >= 0);
    return number;
}

static void let_in(struct house *house, size_t number)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    assert_int_equal(getpeername(house->inside[number], (struct sockaddr *)&peer, &len), 0);
    rpc_door_let_in(house->door, (uint32_t)number, (const struct sockaddr *)&peer);
}

static bool is_cut(const struct house *house, size_t number)
{
    char byte;
    return recv(house->outside[number], &byte, 1, MSG_DONTWAIT) == 0;
}

static struct rpc_door_view look(struct house *house, int64_t ms)
{
    return rpc_door_look(house->door, (struct mono){ms});
}

static void who_says_nothing_is_cut_in_time(void **state)
{
    struct house *house = *state;
    size_t guest = visit(house);
    size_t silent = visit(house);
    let_in(house, guest);
    assert_int_equal(look(house, 0).strangers, 1);
    assert_int_equal(look(house, RPC_DOOR_PATIENCE_MS - 1).cut, 0);
    size_t late = visit(house);
    assert_int_equal(look(house, RPC_DOOR_PATIENCE_MS - 1).strangers, 2);
    struct rpc_door_view view = look(house, RPC_DOOR_PATIENCE_MS);
    assert_int_equal(view.cut, 1);
    assert_non_null(strstr(view.last, "127.0.0.1:"));
    assert_true(is_cut(house, silent));
    assert_false(is_cut(house, guest));
    assert_false(is_cut(house, late));
}

static void a_crowd_is_cut_sooner(void **state)
{
    struct house *house = *state;
    size_t guest = visit(house);
    let_in(house, guest);
    for (size_t i = 0; i < RPC_DOOR_CROWD; i++) {
        visit(house);
    }
    assert_int_equal(look(house, 0).strangers, RPC_DOOR_CROWD);
    assert_int_equal(look(house, RPC_DOOR_CROWDED_MS - 1).cut, 0);
    assert_int_equal(look(house, RPC_DOOR_CROWDED_MS).cut, RPC_DOOR_CROWD);
    assert_false(is_cut(house, guest));
    assert_true(is_cut(house, 1) && is_cut(house, RPC_DOOR_CROWD));
}

static void who_left_is_no_guest_any_more(void **state)
{
    struct house *house = *state;
    size_t visitor = visit(house);
    let_in(house, visitor);
    assert_int_equal(look(house, 0).strangers, 0);
    rpc_door_left(house->door, (uint32_t)visitor);
    assert_int_equal(look(house, 0).strangers, 1);
}

/* Redis, say: another address of ours, but by chance the port that we listen at. */
static void what_leaves_by_another_address_is_not_ours(void **state)
{
    struct house *house = *state;
    struct sockaddr_in elsewhere = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_port = house->own.sin_port,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1)};
    socklen_t len = sizeof elsewhere;
    int server = socket(AF_INET, SOCK_STREAM, 0);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(server, (struct sockaddr *)&elsewhere, len), 0);
    assert_int_equal(getsockname(server, (struct sockaddr *)&elsewhere, &len), 0);
    assert_int_equal(listen(server, 1), 0);
    assert_int_equal(bind(client, (struct sockaddr *)&from, sizeof from), 0);
    assert_int_equal(connect(client, (struct sockaddr *)&elsewhere, sizeof elsewhere), 0);
    assert_int_equal(look(house, 0).strangers, 0);
    close(client);
    close(server);
}

/* When strangers have taken every descriptor is when it counts. */
static void it_looks_without_a_free_descriptor(void **state)
{
    struct house *house = *state;
    struct rlimit limit, full;
    visit(house);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    full = limit;
    full.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &full), 0);
    assert_int_equal(dup(0), -1);
    assert_int_equal(look(house, 0).strangers, 1);
    assert_int_equal(look(house, RPC_DOOR_PATIENCE_MS).cut, 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void it_sees_nobody_before_it_knows_where(void **state)
{
    struct house *house = *state;
    struct rpc_door *door = rpc_door_new();
    visit(house);
    assert_int_equal(rpc_door_look(door, (struct mono){0}).strangers, 0);
    rpc_door_free(door);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_says_nothing_is_cut_in_time),    TEST(a_crowd_is_cut_sooner),
        TEST(who_left_is_no_guest_any_more),      TEST(what_leaves_by_another_address_is_not_ours),
        TEST(it_looks_without_a_free_descriptor), TEST(it_sees_nobody_before_it_knows_where),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
