#include "common/rpc_door.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/memory.h"

/* Comparable as bytes. */
struct peer {
    uint8_t address[16];
    uint16_t port; /* network order */
    uint16_t family;
};

struct guest {
    uint32_t id;
    struct peer peer;
};

struct stranger {
    int fd;
    struct peer peer;
    struct mono since;
    bool is_seen; /* by the look under way */
};

struct rpc_door {
    struct peer own; /* the listener; port 0: not known yet */
    /* /proc/self/status, kept open: it must still be read when no descriptor is left. */
    int status;
    pthread_mutex_t mutex;
    struct guest *guests; /* under the mutex */
    size_t guest_count;
    struct stranger *strangers;
    size_t stranger_count;
};

struct rpc_door *rpc_door_new(void)
{
    struct rpc_door *door = memory_alloc(sizeof *door);
    door->status = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    pthread_mutex_init(&door->mutex, NULL);
    return door;
}

void rpc_door_free(struct rpc_door *door)
{
    if (door == NULL) {
        return;
    }
    if (door->status >= 0) {
        close(door->status);
    }
    pthread_mutex_destroy(&door->mutex);
    free(door->guests);
    free(door->strangers);
    free(door);
}

/* ---- who is who ---- */

static bool read_address(const struct sockaddr *from, struct peer *out)
{
    memset(out, 0, sizeof *out);
    out->family = from->sa_family;
    if (from->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)from;
        out->port = v4->sin_port;
        memcpy(out->address, &v4->sin_addr, sizeof v4->sin_addr);
        return true;
    }
    if (from->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)from;
        out->port = v6->sin6_port;
        memcpy(out->address, &v6->sin6_addr, sizeof v6->sin6_addr);
        return true;
    }
    return false;
}

static void write_peer(const struct peer *peer, char out[RPC_DOOR_PEER_SIZE])
{
    char address[INET6_ADDRSTRLEN];
    bool is_v6 = peer->family == AF_INET6;
    inet_ntop(peer->family, peer->address, address, sizeof address);
    snprintf(out, RPC_DOOR_PEER_SIZE, is_v6 ? "[%s]:%u" : "%s:%u", address, (unsigned)ntohs(peer->port));
}

static bool is_same(const struct peer *left, const struct peer *right)
{
    return memcmp(left, right, sizeof *left) == 0;
}

void rpc_door_let_in(struct rpc_door *door, uint32_t id, const struct sockaddr *peer)
{
    struct guest guest = {.id = id};
    if (!read_address(peer, &guest.peer)) {
        return;
    }
    pthread_mutex_lock(&door->mutex);
    door->guests = memory_grow(door->guests, door->guest_count + 1, sizeof *door->guests);
    door->guests[door->guest_count++] = guest;
    pthread_mutex_unlock(&door->mutex);
}

void rpc_door_left(struct rpc_door *door, uint32_t id)
{
    pthread_mutex_lock(&door->mutex);
    for (size_t i = 0; i < door->guest_count; i++) {
        if (door->guests[i].id == id) {
            door->guests[i] = door->guests[--door->guest_count];
            break;
        }
    }
    pthread_mutex_unlock(&door->mutex);
}

static bool is_guest(struct rpc_door *door, const struct peer *peer)
{
    bool is_known = false;
    pthread_mutex_lock(&door->mutex);
    for (size_t i = 0; i < door->guest_count && !is_known; i++) {
        is_known = is_same(&door->guests[i].peer, peer);
    }
    pthread_mutex_unlock(&door->mutex);
    return is_known;
}

/* ---- looking ---- */

void rpc_door_set_address(struct rpc_door *door, const struct sockaddr *listening)
{
    read_address(listening, &door->own);
}

/* The address too: where we listen at one alone, an outgoing connection may leave by another from this port.
 */
static bool is_ours(const struct rpc_door *door, const struct peer *own)
{
    static const uint8_t ANY[sizeof own->address];
    return own->port == door->own.port && (memcmp(door->own.address, ANY, sizeof ANY) == 0 ||
                                           memcmp(door->own.address, own->address, sizeof ANY) == 0);
}

static bool read_visitor(const struct rpc_door *door, int fd, struct peer *out)
{
    struct sockaddr_storage name = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof name;
    struct peer own;
    if (getsockname(fd, (struct sockaddr *)&name, &len) != 0 ||
        !read_address((const struct sockaddr *)&name, &own) || !is_ours(door, &own)) {
        return false;
    }
    len = sizeof name;
    return getpeername(fd, (struct sockaddr *)&name, &len) == 0 &&
           read_address((const struct sockaddr *)&name, out);
}

static void note_stranger(struct rpc_door *door, int fd, const struct peer *peer, struct mono now)
{
    for (size_t i = 0; i < door->stranger_count; i++) {
        if (door->strangers[i].fd == fd && is_same(&door->strangers[i].peer, peer)) {
            door->strangers[i].is_seen = true;
            return;
        }
    }
    door->strangers = memory_grow(door->strangers, door->stranger_count + 1, sizeof *door->strangers);
    door->strangers[door->stranger_count++] = (struct stranger){fd, *peer, now, true};
}

/* All descriptors are below. To ask each number for its address costs a tenth of listing /proc/self/fd. */
static int descriptor_bound(const struct rpc_door *door)
{
    static const char KEY[] = "\nFDSize:";
    char text[2048];
    ssize_t len = pread(door->status, text, sizeof text - 1, 0);
    text[len > 0 ? len : 0] = '\0';
    const char *at = strstr(text, KEY);
    return at == NULL ? 0 : (int)strtol(at + sizeof KEY - 1, NULL, 10);
}

static void read_sockets(struct rpc_door *door, struct mono now)
{
    int bound = descriptor_bound(door);
    for (int fd = 0; fd < bound; fd++) {
        struct peer peer;
        if (read_visitor(door, fd, &peer) && !is_guest(door, &peer)) {
            note_stranger(door, fd, &peer, now);
        }
    }
}

static void forget_unseen(struct rpc_door *door)
{
    size_t kept = 0;
    for (size_t i = 0; i < door->stranger_count; i++) {
        if (door->strangers[i].is_seen) {
            door->strangers[kept] = door->strangers[i];
            door->strangers[kept++].is_seen = false;
        }
    }
    door->stranger_count = kept;
}

/* By the descriptor, after one more look at who is behind it: nng may have closed it and given it away. */
static void cut_old(struct rpc_door *door, struct mono now, struct rpc_door_view *view)
{
    int64_t patience_ms = door->stranger_count >= RPC_DOOR_CROWD ? RPC_DOOR_CROWDED_MS : RPC_DOOR_PATIENCE_MS;
    for (size_t i = 0; i < door->stranger_count; i++) {
        struct stranger *stranger = &door->strangers[i];
        struct peer peer;
        if (mono_diff(now, stranger->since) >= patience_ms && read_visitor(door, stranger->fd, &peer) &&
            is_same(&peer, &stranger->peer) && !is_guest(door, &peer)) {
            shutdown(stranger->fd, SHUT_RDWR);
            write_peer(&peer, view->last);
            view->cut++;
        }
    }
}

struct rpc_door_view rpc_door_look(struct rpc_door *door, struct mono now)
{
    struct rpc_door_view view = {.cut = 0};
    if (door->status < 0 || door->own.port == 0) {
        return view;
    }
    size_t before = door->stranger_count;
    read_sockets(door, now);
    forget_unseen(door);
    cut_old(door, now, &view);
    view.strangers = door->stranger_count;
    if (before >= RPC_DOOR_CROWD && view.strangers < RPC_DOOR_CROWD) {
        malloc_trim(0); /* what a crowd took would stay with us for ever */
    }
    return view;
}
