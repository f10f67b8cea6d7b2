/* raw_probe COUNT GAP_MS ADDRESS PORT: a GET over a new connection, blocking, and nothing else; prints CPU a
 * request in µs. The least that a check over HTTP can cost. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double cpu_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int ask(const struct sockaddr_in *address)
{
    static const char request[] = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    char answer[1024];
    ssize_t got, total = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 ||
        send(fd, request, sizeof request - 1, MSG_NOSIGNAL) < 0) {
        return -1;
    }
    while ((got = recv(fd, answer, sizeof answer, 0)) > 0) {
        total += got;
    }
    close(fd);
    return total > 12 ? 0 : -1;
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    if (argc != 5 || inet_pton(AF_INET, argv[3], &address.sin_addr) != 1) {
        fprintf(stderr, "usage: raw_probe COUNT GAP_MS ADDRESS PORT\n");
        return 2;
    }
    int count = (int)strtol(argv[1], NULL, 10), gap_ms = (int)strtol(argv[2], NULL, 10);
    address.sin_port = htons((uint16_t)strtol(argv[4], NULL, 10));
    double before = cpu_us();
    for (int i = 0; i < count; i++) {
        if (ask(&address) != 0) {
            fprintf(stderr, "raw_probe: no answer\n");
            return 1;
        }
        poll(NULL, 0, gap_ms);
    }
    printf("%.1f\n", (cpu_us() - before) / count);
    return 0;
}
