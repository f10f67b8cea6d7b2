/*
 * A listening TCP socket from "host:port". A name is looked up at once: meant for start-up.
 */
#ifndef DEFIB_CONTROLLER_SERVE_LISTEN_SOCKET_H
#define DEFIB_CONTROLLER_SERVE_LISTEN_SOCKET_H

#include "common/err.h"

/* "127.0.0.1:7410", "[::1]:7410", "localhost:7410", ":7410" and "*:7410" (all IPv4 addresses). The
 * descriptor, non-blocking, given; or -errno with one line. */
int listen_socket_open(const char *listen, struct err *err);

#endif
