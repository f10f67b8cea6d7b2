/*
 * What systemd wants to hear: READY=1, STOPPING=1, WATCHDOG=1, over the socket in NOTIFY_SOCKET. Its protocol
 * is one datagram (sd_notify(3)), so no library is needed. Without that variable nothing is done.
 *
 * Nothing blocks: a datagram that is not taken is lost, and the next one comes in time.
 */
#ifndef DEFIB_COMMON_SERVICE_NOTIFY_H
#define DEFIB_COMMON_SERVICE_NOTIFY_H

#include <stdint.h>

/* state: "READY=1", "STOPPING=1", "WATCHDOG=1", "STATUS=…". */
void service_notify_send(const char *state);

/* How often WATCHDOG=1 is due: half of what systemd gives us; 0 where it does not watch this process. */
int64_t service_notify_watchdog_ms(void);

#endif
