/*
 * A private redis-server for unit tests: a child on a Unix socket and a TCP port of its own, in a directory
 * of its own. Everything fails the test that cannot be had. Include after cmocka.h.
 */
#ifndef DEFIB_TESTS_UNIT_REDIS_SERVER_H
#define DEFIB_TESTS_UNIT_REDIS_SERVER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct redis_server {
    char dir[64];
    char path[96]; /* of the Unix socket */
    int port;      /* on 127.0.0.1 */
    pid_t pid;     /* 0: not running */
};

static inline int redis_server_free_port(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    assert_int_equal(0, bind(fd, (struct sockaddr *)&address, sizeof address));
    assert_int_equal(0, getsockname(fd, (struct sockaddr *)&address, &len));
    close(fd);
    return ntohs(address.sin_port);
}

static inline void redis_server_prepare(struct redis_server *server)
{
    *server = (struct redis_server){0};
    strcpy(server->dir, "/tmp/defib-test-redis-XXXXXX");
    assert_non_null(mkdtemp(server->dir));
    snprintf(server->path, sizeof server->path, "%s/redis.sock", server->dir);
    server->port = redis_server_free_port();
}

static inline int redis_server_answers(const struct redis_server *server)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", server->path);
    char answer[64] = "";
    int is_up = connect(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
                write(fd, "PING\r\n", 6) == 6 && read(fd, answer, sizeof answer - 1) > 0;
    close(fd);
    return is_up;
}

/* extra: pairs of words for the command line, NULL-terminated, or NULL. Returns once it answers. */
static inline void redis_server_start(struct redis_server *server, const char *const *extra)
{
    char port[16];
    snprintf(port, sizeof port, "%d", server->port);
    const char *argv[40] = {"redis-server", "--port",       port, "--bind", "127.0.0.1", "--unixsocket",
                            server->path,   "--save",       "",   "--dir",  server->dir, "--logfile",
                            "redis.log",    "--appendonly", "no"};
    size_t count = 15;
    for (; extra != NULL && *extra != NULL; extra++) {
        argv[count++] = *extra;
    }
    server->pid = fork();
    assert_true(server->pid >= 0);
    if (server->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execvp("redis-server", (char *const *)argv);
        _exit(127);
    }
    for (int i = 0; !redis_server_answers(server); i++) {
        assert_true(i < 2000);
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
}

static inline void redis_server_kill(struct redis_server *server)
{
    if (server->pid > 0) {
        kill(server->pid, SIGKILL);
        waitpid(server->pid, NULL, 0);
        server->pid = 0;
    }
}

static inline void redis_server_remove(struct redis_server *server)
{
    redis_server_kill(server);
    char path[128];
    snprintf(path, sizeof path, "%s/redis.log", server->dir);
    unlink(path);
    unlink(server->path);
    assert_int_equal(0, rmdir(server->dir));
}

#endif
