/* connect_times SECONDS PORT: prints, in ms, when somebody in this network namespace asked for a connection
 * to PORT (SYN without ACK, IPv4, Ethernet or loopback). Root. What leaves by a bridge is seen on each of its
 * ports: a SYN counts once. */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { SEEN = 256, HEAD = 20, SYN = 0x02, ACK = 0x10, ROUGHLY_MS = 1000 };

/* Source port and sequence number: the same connection. */
struct seen {
    uint64_t key;
    double at;
};

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static bool is_new(struct seen *seen, uint64_t key, double at)
{
    static size_t next;
    for (size_t i = 0; i < SEEN; i++) {
        if (seen[i].key == key && at - seen[i].at < ROUGHLY_MS) {
            return false;
        }
    }
    seen[next++ % SEEN] = (struct seen){key, at};
    return true;
}

static void take(const unsigned char *packet, size_t len, uint16_t port, struct seen *seen)
{
    size_t head = len < HEAD ? 0 : (size_t)(packet[0] & 15) * 4;
    if (head < HEAD || len < head + HEAD || packet[0] >> 4 != 4 || packet[9] != IPPROTO_TCP) {
        return;
    }
    const unsigned char *tcp = packet + head;
    uint32_t sequence;
    memcpy(&sequence, tcp + 4, sizeof sequence);
    bool is_syn = (tcp[13] & (SYN | ACK)) == SYN, is_there = (tcp[2] << 8 | tcp[3]) == port;
    uint64_t key = (uint64_t)sequence << 16 | (uint64_t)(tcp[0] << 8 | tcp[1]);
    double at = now_ms();
    if (is_syn && is_there && is_new(seen, key, at)) {
        printf("%.1f\n", at);
    }
}

int main(int argc, char **argv)
{
    int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC,
                    htons(ETH_P_ALL)); /* IP alone: what leaves is not seen */
    if (argc != 3 || fd < 0) {
        fprintf(stderr, "usage: connect_times SECONDS PORT (as root)\n");
        return 2;
    }
    struct seen seen[SEEN] = {{0, 0}};
    uint16_t port = (uint16_t)strtol(argv[2], NULL, 10);
    double end = now_ms() + 1e3 * strtod(argv[1], NULL);
    for (double left; (left = end - now_ms()) > 0;) {
        unsigned char packet[128];
        struct pollfd watched = {.fd = fd, .events = POLLIN};
        if (poll(&watched, 1, (int)left + 1) <= 0) {
            continue;
        }
        struct sockaddr_ll from;
        socklen_t from_len = sizeof from;
        ssize_t got = recvfrom(fd, packet, sizeof packet, 0, (struct sockaddr *)&from, &from_len);
        if (got > 0 && ntohs(from.sll_protocol) == ETH_P_IP) {
            take(packet, (size_t)got, port, seen);
        }
    }
    return 0;
}
