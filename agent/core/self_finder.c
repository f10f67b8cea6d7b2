#include "agent/core/self_finder.h"

#include <string.h>

#include "common/memory.h"
#include "proto/text.h"

enum { ID_DIGITS = 64 };

bool self_finder_is_own(const struct engine_container *container, const char *self_id)
{
    return container->program == ENGINE_PROGRAM_DEFIB ||
           (self_id[0] != '\0' && strcmp(container->id, self_id) == 0);
}

static bool has_address(const struct engine_container *container, const char *address)
{
    for (size_t i = 0; i < container->address_count; i++) {
        if (strcmp(container->addresses[i], address) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_host_port(const struct engine_container *container, int port)
{
    for (size_t i = 0; i < container->host_port_count; i++) {
        if (container->host_ports[i] == port) {
            return true;
        }
    }
    return false;
}

/* By what REDIS_URL calls it: the agent may itself run in a network where that name means this container. */
static bool has_name(const struct engine_container *container, const char *host)
{
    if (strcmp(container->name, host) == 0 || strcmp(container->hostname, host) == 0) {
        return true;
    }
    for (size_t i = 0; i < container->alias_count; i++) {
        if (strcmp(container->aliases[i], host) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_socket(const struct engine_container *container, const char *socket)
{
    for (size_t i = 0; i < container->mount_count; i++) {
        size_t len = strlen(container->mounts[i]);
        if (strncmp(container->mounts[i], socket, len) == 0 && (socket[len] == '/' || socket[len] == '\0')) {
            return true;
        }
    }
    return false;
}

bool self_finder_is_redis(const struct engine_container *container, const struct self_finder_redis *redis)
{
    bool is_redis = container->program == ENGINE_PROGRAM_REDIS;
    if (redis->socket[0] != '\0') {
        return is_redis && (container->is_host_network || has_socket(container, redis->socket));
    }
    if (redis->peer[0] != '\0' && has_address(container, redis->peer)) {
        return true;
    }
    if (redis->is_peer_local &&
        (has_host_port(container, redis->port) || (is_redis && container->is_host_network))) {
        return true;
    }
    return redis->host[0] != '\0' && has_name(container, redis->host);
}

/* ---- our own container ---- */

static bool find_id_behind(const char *text, size_t len, const char *marker, char out[LIMIT_ID_SIZE])
{
    size_t marker_len = strlen(marker);
    const char *end = text + len;
    for (const char *at = text; (at = memmem(at, (size_t)(end - at), marker, marker_len)) != NULL;) {
        at += marker_len;
        bool is_id = end - at >= ID_DIGITS && text_is_hex(at, ID_DIGITS) &&
                     (end - at == ID_DIGITS || !text_is_hex(at + ID_DIGITS, 1));
        if (is_id) {
            memcpy(out, at, ID_DIGITS);
            out[ID_DIGITS] = '\0';
            return true;
        }
    }
    return false;
}

/* A host's own mount table names every container's directory; only these mount points are a container's. */
static bool is_own_mount(const char *line, size_t len)
{
    static const char *const points[] = {" /etc/hostname ", " /etc/hosts ", " /etc/resolv.conf "};
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        if (memmem(line, len, points[i], strlen(points[i])) != NULL) {
            return true;
        }
    }
    return false;
}

bool self_finder_container_id(const char *cgroup, const char *mountinfo, char out[LIMIT_ID_SIZE])
{
    static const char *const markers[] = {"/docker/", "/docker-", "/kubepods/", "/"};
    out[0] = '\0';
    for (size_t i = 0; cgroup != NULL && i < sizeof markers / sizeof markers[0]; i++) {
        if (find_id_behind(cgroup, strlen(cgroup), markers[i], out)) {
            return true;
        }
    }
    for (const char *line = mountinfo; line != NULL && *line != '\0';) {
        size_t len = strcspn(line, "\n");
        if (is_own_mount(line, len) && find_id_behind(line, len, "/containers/", out)) {
            return true;
        }
        line += len + (line[len] == '\n');
    }
    return false;
}
