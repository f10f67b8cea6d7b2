/*
 * The floor under every healer: reads the `die` events of one container on a raw socket and, the moment a
 * line is there, POSTs `start`. No policy, no memory, no second thought. Runs until killed.
 *
 *   raw_floor ENGINE_SOCKET CONTAINER
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        perror(path);
        _exit(1);
    }
    return fd;
}

static void send_text(int fd, const char *text)
{
    size_t len = strlen(text);
    if (write(fd, text, len) != (ssize_t)len) {
        perror("write");
        _exit(1);
    }
}

static void start_container(const char *path, const char *id)
{
    char request[256], answer[4096];
    snprintf(request, sizeof request,
             "POST /v1.41/containers/%.64s/start HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Length: "
             "0\r\n\r\n",
             id);
    int fd = connect_to(path);
    send_text(fd, request);
    while (read(fd, answer, sizeof answer) > 0) {
    }
    close(fd);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        return 2;
    }
    int fd = connect_to(argv[1]);
    char request[512];
    snprintf(request, sizeof request,
             "GET "
             "/v1.41/"
             "events?filters=%%7B%%22container%%22%%3A%%5B%%22%.128s%%22%%5D%%2C%%22event%%22%%3A%%5B%%22die"
             "%%22%%5D%%7D HTTP/1.1\r\nHost: d\r\n\r\n",
             argv[2]);
    send_text(fd, request);
    puts("ready");
    fflush(stdout);
    static char buffer[65536];
    size_t used = 0;
    for (;;) {
        ssize_t got = read(fd, buffer + used, sizeof buffer - 1 - used);
        if (got <= 0) {
            return 1;
        }
        used += (size_t)got;
        buffer[used] = '\0';
        char *line;
        while ((line = strstr(buffer, "\"status\":\"die\"")) != NULL) {
            char *id = strstr(line, "\"id\":\"");
            char *end = strchr(line, '\n');
            if (id == NULL || end == NULL) {
                break; /* the rest of the line is still to come */
            }
            start_container(argv[1], id + strlen("\"id\":\""));
            used -= (size_t)(end + 1 - buffer);
            memmove(buffer, end + 1, used + 1);
        }
        if (used >= sizeof buffer - 1) {
            used = 0;
        }
    }
}
