#include "controller/ctl/docker_tool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"

extern char **environ;

/* What goes to stdout and stderr comes back by one pipe. */
static int spawn(const char *const *argv, int output, pid_t *pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigemptyset(&none);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, output, STDERR_FILENO);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    int result = posix_spawnp(pid, argv[0], &files, &attributes, (char *const *)argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return result;
}

/* Until it closes its output; false where it takes too long. What does not fit is dropped. */
static bool read_output(int fd, int64_t timeout_ms, char out[DOCKER_TOOL_OUTPUT])
{
    struct mono until = mono_add(clock_mono_now(), timeout_ms);
    size_t len = 0;
    for (;;) {
        char bytes[1024];
        struct pollfd input = {.fd = fd, .events = POLLIN};
        int64_t left_ms = mono_diff(until, clock_mono_now());
        int ready = left_ms <= 0 ? 0 : poll(&input, 1, (int)left_ms);
        ssize_t got = ready > 0 ? read(fd, bytes, sizeof bytes) : -1;
        if (ready == 0) {
            return false;
        }
        if (got == 0 || (got < 0 && errno != EINTR)) {
            out[len] = '\0';
            return true;
        }
        size_t kept = got < 0 ? 0 : (size_t)got;
        kept = kept < DOCKER_TOOL_OUTPUT - 1 - len ? kept : DOCKER_TOOL_OUTPUT - 1 - len;
        memcpy(out + len, bytes, kept);
        len += kept;
    }
}

static int wait_for(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

static int run(const char *const *argv, int64_t timeout_ms, char out[DOCKER_TOOL_OUTPUT], struct err *err)
{
    int ends[2];
    pid_t pid;
    out[0] = '\0';
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return err_set(err, errno, "pipe: %s", strerrordesc_np(errno));
    }
    int result = spawn(argv, ends[1], &pid);
    close(ends[1]);
    if (result != 0) {
        close(ends[0]);
        return err_set(err, result, "the docker command cannot be run here: %s", strerrordesc_np(result));
    }
    bool is_in_time = read_output(ends[0], timeout_ms, out);
    close(ends[0]);
    if (!is_in_time) {
        kill(-pid, SIGKILL);
    }
    int status = wait_for(pid);
    out[strcspn(out, "\r\n")] = '\0';
    if (!is_in_time) {
        return err_set(err, ETIMEDOUT, "docker does not come to an end");
    }
    return status == 0 ? 0 : err_set(err, EIO, "%.300s", out[0] == '\0' ? "docker fails" : out);
}

int docker_tool_run(const char *engine, const char *const *argv, int64_t timeout_ms,
                    char out[DOCKER_TOOL_OUTPUT], struct err *err)
{
    const char *words[DOCKER_TOOL_WORDS + 4] = {"docker"};
    size_t count = 1;
    if (engine != NULL) {
        words[count++] = "-H";
        words[count++] = engine;
    }
    for (size_t i = 0; argv[i] != NULL; i++) {
        if (i == DOCKER_TOOL_WORDS) {
            return err_set(err, E2BIG, "docker: too many words");
        }
        words[count++] = argv[i];
    }
    words[count] = NULL;
    return run(words, timeout_ms, out, err);
}
