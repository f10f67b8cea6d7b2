#include "controller/serve/listen_socket.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 128 };

static int split_address(const char *listen, char host[256], const char **port, struct err *err)
{
    const char *colon = strrchr(listen, ':');
    size_t len = colon == NULL ? 0 : (size_t)(colon - listen);
    if (colon == NULL || len >= 256) {
        return err_set(err, EINVAL, "%s is no host:port", listen);
    }
    bool is_bracketed = len >= 2 && listen[0] == '[' && listen[len - 1] == ']';
    memcpy(host, listen + is_bracketed, len - 2 * (size_t)is_bracketed);
    host[len - 2 * (size_t)is_bracketed] = '\0';
    *port = colon + 1;
    return 0;
}

static int listen_on(const struct addrinfo *address, struct err *err)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) {
            return fd;
        }
    }
    int cause = errno;
    if (fd >= 0) {
        close(fd);
    }
    return err_set(err, cause, "%s", strerror(cause));
}

int listen_socket_open(const char *listen, struct err *err)
{
    char host[256] = "";
    const char *port = NULL;
    int result = split_address(listen, host, &port, err);
    if (result != 0) {
        return result;
    }
    struct addrinfo *found = NULL;
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    bool is_any = host[0] == '\0' || strcmp(host, "*") == 0;
    int status = getaddrinfo(is_any ? "0.0.0.0" : host, port, &hints, &found);
    if (status != 0) {
        return err_set(err, EINVAL, "%s: %s", listen, gai_strerror(status));
    }
    int fd = listen_on(found, err);
    freeaddrinfo(found);
    return fd < 0 ? err_wrap(err, "%s", listen) : fd;
}
