/*
 * For tests: a bad network between a controller and an agent, message by message.
 *
 *   nng_proxy PORT TARGET_PORT [name=value...]          on 127.0.0.1; prints "ready" when it listens
 *
 * copies (1): every request is delivered so many times at once    late_ms (0): and once more, so much later
 * swap (0): 1: of two requests within swap_ms (200) the second goes first
 * delay_ms (0): every request and answer waits a random time up to this    hold_ms (0): every request waits
 * so long SIGUSR1: nothing is delivered for hang_ms (7000), neither way; then everything, in order.
 *
 * Takes nng's stream apart: 8 bytes of greeting each way, then messages of an 8-byte length and bytes.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/memory.h"

enum { LINKS_MAX = 32, READ_BYTES = 64 * 1024, GREETING_BYTES = 8, HEAD_BYTES = 8 };

struct parcel {
    struct parcel *next;
    int64_t due_ms;
    size_t len;
    uint8_t bytes[];
};

/* One way of a connection. */
struct way {
    int from, to;
    bool is_request;
    uint8_t *bytes; /* read, not yet taken apart */
    size_t len;
    size_t greeting;        /* bytes of it that passed */
    struct parcel *parcels; /* by due time */
    struct parcel *held;    /* waits to be overtaken */
};

struct link {
    struct way ways[2];
    bool is_open;
    bool is_ending; /* one end left; what is on its way still arrives */
};

struct options {
    int64_t copies, late_ms, swap, swap_ms, delay_ms, hold_ms, hang_ms;
};

static struct options options = {.copies = 1, .swap_ms = 200, .hang_ms = 7000};
static struct link links[LINKS_MAX];
static int64_t hangs_until_ms;
static volatile sig_atomic_t is_hang_wanted;

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static void on_usr1(int signal_number)
{
    (void)signal_number;
    is_hang_wanted = 1;
}

static struct parcel *parcel_new(const uint8_t *bytes, size_t len, int64_t due_ms)
{
    struct parcel *parcel = memory_alloc(sizeof *parcel + len);
    parcel->due_ms = due_ms;
    parcel->len = len;
    memcpy(parcel->bytes, bytes, len);
    return parcel;
}

static void put(struct way *way, struct parcel *parcel)
{
    struct parcel **at = &way->parcels;
    while (*at != NULL && (*at)->due_ms <= parcel->due_ms) {
        at = &(*at)->next;
    }
    parcel->next = *at;
    *at = parcel;
}

static void take_message(struct way *way, const uint8_t *bytes, size_t len)
{
    int64_t now = now_ms();
    int64_t due = now + (options.delay_ms > 0 ? rand() % (options.delay_ms + 1) : 0);
    if (!way->is_request) {
        put(way, parcel_new(bytes, len, due));
        return;
    }
    due += options.hold_ms;
    for (int64_t i = 0; i < options.copies; i++) {
        put(way, parcel_new(bytes, len, due));
    }
    if (options.late_ms > 0) {
        put(way, parcel_new(bytes, len, due + options.late_ms));
    }
    if (options.swap != 0 && way->held == NULL && way->parcels != NULL) {
        way->held = way->parcels;
        way->parcels = way->held->next;
        way->held->due_ms = now + options.swap_ms;
    } else if (way->held != NULL) {
        way->held->due_ms = due + 1;
        put(way, memory_steal(way->held));
    }
}

static void take_apart(struct way *way)
{
    size_t at = 0;
    while (way->greeting == GREETING_BYTES && way->len - at >= HEAD_BYTES) {
        uint64_t size = 0;
        for (int i = 0; i < HEAD_BYTES; i++) {
            size = size << 8 | way->bytes[at + (size_t)i];
        }
        if (way->len - at - HEAD_BYTES < size) {
            break;
        }
        take_message(way, way->bytes + at, HEAD_BYTES + (size_t)size);
        at += HEAD_BYTES + (size_t)size;
    }
    memmove(way->bytes, way->bytes + at, way->len - at);
    way->len -= at;
}

/* False where the peer left. */
static bool read_way(struct way *way)
{
    way->bytes = memory_grow(way->bytes, way->len + READ_BYTES, 1);
    ssize_t got = recv(way->from, way->bytes + way->len, READ_BYTES, MSG_DONTWAIT);
    if (got <= 0) {
        return got < 0 && (errno == EAGAIN || errno == EINTR);
    }
    way->len += (size_t)got;
    if (way->greeting < GREETING_BYTES && way->len >= GREETING_BYTES) {
        put(way, parcel_new(way->bytes, GREETING_BYTES, 0));
        way->greeting = GREETING_BYTES;
        memmove(way->bytes, way->bytes + GREETING_BYTES, way->len -= GREETING_BYTES);
    }
    take_apart(way);
    return true;
}

static void deliver(struct way *way, int64_t now)
{
    if (way->held != NULL && way->held->due_ms <= now) {
        put(way, memory_steal(way->held));
    }
    while (way->parcels != NULL && way->parcels->due_ms <= now && now >= hangs_until_ms) {
        struct parcel *parcel = way->parcels;
        way->parcels = parcel->next;
        (void)send(way->to, parcel->bytes, parcel->len, MSG_NOSIGNAL);
        free(parcel);
    }
}

static void end_link(struct link *link)
{
    for (int i = 0; i < 2; i++) {
        struct way *way = &link->ways[i];
        for (struct parcel *next; way->parcels != NULL; way->parcels = next) {
            next = way->parcels->next;
            free(way->parcels);
        }
        free(way->held);
        free(way->bytes);
    }
    close(link->ways[0].from);
    close(link->ways[0].to);
    *link = (struct link){.is_open = false};
}

static int open_socket(uint16_t port, bool is_server)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    int code = is_server ? bind(fd, (struct sockaddr *)&address, sizeof address)
                         : connect(fd, (struct sockaddr *)&address, sizeof address);
    if (code != 0 || (is_server && listen(fd, LINKS_MAX) != 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

static void accept_link(int listener, uint16_t target)
{
    int near = accept(listener, NULL, NULL);
    int far = near < 0 ? -1 : open_socket(target, false);
    for (size_t i = 0; far >= 0 && i < LINKS_MAX; i++) {
        if (!links[i].is_open) {
            links[i] = (struct link){
                .is_open = true,
                .ways = {{.from = near, .to = far, .is_request = true}, {.from = far, .to = near}}};
            return;
        }
    }
    if (far >= 0) {
        close(far);
    }
    if (near >= 0) {
        close(near);
    }
}

static void turn(int listener, uint16_t target)
{
    struct pollfd polls[1 + 2 * LINKS_MAX];
    polls[0] = (struct pollfd){.fd = listener, .events = POLLIN};
    for (size_t i = 0; i < LINKS_MAX; i++) {
        for (size_t k = 0; k < 2; k++) {
            polls[1 + 2 * i + k] = (struct pollfd){
                .fd = links[i].is_open && !links[i].is_ending ? links[i].ways[k].from : -1, .events = POLLIN};
        }
    }
    (void)poll(polls, sizeof polls / sizeof polls[0], 5);
    if (is_hang_wanted) {
        is_hang_wanted = 0;
        hangs_until_ms = now_ms() + options.hang_ms;
    }
    for (size_t i = 0; i < LINKS_MAX; i++) {
        for (size_t k = 0; k < 2 && links[i].is_open; k++) {
            bool is_readable = (polls[1 + 2 * i + k].revents & (POLLIN | POLLHUP | POLLERR)) != 0;
            if (is_readable && !read_way(&links[i].ways[k])) {
                links[i].is_ending = true;
            }
            deliver(&links[i].ways[k], now_ms());
        }
        const struct way *requests = &links[i].ways[0];
        if (links[i].is_ending && requests->parcels == NULL && requests->held == NULL) {
            end_link(&links[i]);
        }
    }
    if ((polls[0].revents & POLLIN) != 0) {
        accept_link(listener, target);
    }
}

static bool take_option(const char *text)
{
    const struct {
        const char *name;
        int64_t *value;
    } NAMES[] = {{"copies=", &options.copies},     {"late_ms=", &options.late_ms},
                 {"swap=", &options.swap},         {"swap_ms=", &options.swap_ms},
                 {"delay_ms=", &options.delay_ms}, {"hold_ms=", &options.hold_ms},
                 {"hang_ms=", &options.hang_ms}};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        if (strncmp(text, NAMES[i].name, strlen(NAMES[i].name)) == 0) {
            *NAMES[i].value = strtoll(text + strlen(NAMES[i].name), NULL, 10);
            return true;
        }
    }
    return false;
}

int main(int argc, char **argv)
{
    for (int i = 3; i < argc; i++) {
        if (!take_option(argv[i])) {
            fprintf(stderr, "nng_proxy: what is %s?\n", argv[i]);
            return 2;
        }
    }
    if (argc < 3) {
        fputs("usage: nng_proxy PORT TARGET_PORT [name=value...]\n", stderr);
        return 2;
    }
    int listener = open_socket((uint16_t)strtoul(argv[1], NULL, 10), true);
    if (listener < 0) {
        perror("nng_proxy: listen");
        return 1;
    }
    signal(SIGUSR1, on_usr1);
    puts("ready");
    fflush(stdout);
    for (;;) {
        turn(listener, (uint16_t)strtoul(argv[2], NULL, 10));
    }
}
