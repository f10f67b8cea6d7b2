/*
 * Probes over HTTPS, and over HTTP where a body is wanted, by common/http_client. Each run has a connection
 * of its own and closes it: one that is kept open would take a place from the service's clients, and would
 * not notice that it takes no new ones.
 */
#ifndef DEFIB_AGENT_PROBE_HTTP_H
#define DEFIB_AGENT_PROBE_HTTP_H

#include "agent/core/probe_spec.h"
#include "common/loop.h"

struct probe_http;
struct probe_http_call;

struct probe_http *probe_http_new(struct loop *loop);
void probe_http_free(struct probe_http *http); /* the calls were cancelled or have ended */

/* As probe_socket_start. Redirects are not followed: they are statuses like any other. */
struct probe_http_call *probe_http_start(struct probe_http *http, const struct probe_spec *spec,
                                         const char *host, void (*on_done)(void *arg, const char *failure),
                                         void *arg);
void probe_http_cancel(struct probe_http_call *call); /* NULL is allowed */

#endif
