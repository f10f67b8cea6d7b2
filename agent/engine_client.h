/*
 * Docker Engine calls over common/http_client: list, inspect, info, events, start, restart.
 *
 * API version 1.41 is asked for in every path: 20.10 to 28 take it; a newer Engine refuses it once, names the
 * oldest that it speaks, and gets that from then on. What is read here is the same in all of them.
 * DOCKER_HOST as Docker's own tools read it: unix:///path, tcp://host:port (https where DOCKER_TLS_VERIFY is
 * set and not empty, with ca.pem, cert.pem, key.pem from DOCKER_CERT_PATH). All on the loop's thread, nothing
 * blocks, every call but the event stream has a deadline.
 */
#ifndef DEFIB_AGENT_ENGINE_CLIENT_H
#define DEFIB_AGENT_ENGINE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/core/engine_json.h"
#include "common/err.h"
#include "common/loop.h"
#include "common/settings.h"

struct engine_client;
struct engine_call; /* borrowed from the client; ends with its callback or engine_call_cancel */

enum engine_result {
    ENGINE_OK,          /* 2xx; for start also 304: it already ran (engine_answer.status tells) */
    ENGINE_NOT_FOUND,   /* 404: no such container */
    ENGINE_CONFLICT,    /* 409 */
    ENGINE_FAILED,      /* any other answer, or one that cannot be read: Docker's message is in err */
    ENGINE_UNREACHABLE, /* the request reached nobody: nothing was changed */
    ENGINE_LOST         /* deadline, or broken off: it may have been carried out, or still be */
};

struct engine_answer {
    enum engine_result result;
    int status;          /* HTTP, 0 without an answer */
    const char *message; /* borrowed: Docker's own words or what went wrong; "" where result is ENGINE_OK */
    int64_t took_ms;
};

/* Reads DOCKER_* out of the settings (borrowed for the call). 0, or -EINVAL with one line that names the
 * setting. */
int engine_client_new(struct loop *loop, const struct settings *settings, struct engine_client **out,
                      struct err *err);
void engine_client_free(
    struct engine_client *client); /* open calls end without a callback; NULL is allowed */

/* "unix:///var/run/docker.sock", "tcp://10.0.0.5:2376": for log lines. Borrowed. */
const char *engine_client_describe(const struct engine_client *client);

/* `container` is NULL unless the result is ENGINE_OK; both are borrowed for the callback. Callbacks come
 * exactly once, never from within the call, unless the call is cancelled. */
typedef void (*engine_inspect_callback)(void *arg, const struct engine_answer *answer,
                                        const struct engine_container *container);
typedef void (*engine_list_callback)(void *arg, const struct engine_answer *answer,
                                     const struct engine_summary *containers, size_t count);
typedef void (*engine_info_callback)(void *arg, const struct engine_answer *answer,
                                     const struct engine_info *info);
typedef void (*engine_run_callback)(void *arg, const struct engine_answer *answer, const char *run_id);
typedef void (*engine_callback)(void *arg, const struct engine_answer *answer);

struct engine_call *engine_client_inspect(struct engine_client *client, const char *id, int64_t timeout_ms,
                                          engine_inspect_callback on_done, void *arg);
struct engine_call *engine_client_list(struct engine_client *client, int64_t timeout_ms,
                                       engine_list_callback on_done, void *arg);
struct engine_call *engine_client_info(struct engine_client *client, int64_t timeout_ms,
                                       engine_info_callback on_done, void *arg);

/* What names this run of the daemon: the id of its network `bridge`, which dockerd makes anew at each start,
 * unless it finds containers that live on (live-restore). "" where there is none (--bridge none, no dockerd)
 * or it cannot be read. */
struct engine_call *engine_client_run(struct engine_client *client, int64_t timeout_ms,
                                      engine_run_callback on_done, void *arg);

/* Whether it takes a new connection and answers. A dockerd that shuts down does not, while it still serves
 * the connections that it has. */
struct engine_call *engine_client_ping(struct engine_client *client, int64_t timeout_ms,
                                       engine_callback on_done, void *arg);

/* Any other call: `path` begins behind the version ("/exec/…/json"), `body` is JSON or NULL, at most
 * max_bytes of an answer are taken (more is ENGINE_FAILED). A POST is never repeated. The bytes are the body
 * of a 2xx answer, borrowed for the callback, "" where there is none. */
typedef void (*engine_bytes_callback)(void *arg, const struct engine_answer *answer, const char *bytes,
                                      size_t len);
struct engine_ask {
    const char *method, *path, *body;
    int64_t timeout_ms;
    size_t max_bytes;
};
struct engine_call *engine_client_ask(struct engine_client *client, const struct engine_ask *ask,
                                      engine_bytes_callback on_done, void *arg);

/* Always on fresh connections and never repeated. timeout_ms is the whole deadline: for a restart it must
 * leave room for the stop (stop_timeout_secs, whole seconds, is what Docker waits before it kills).
 * Cancelling or running out of time does not stop Docker from going on. */
struct engine_call *engine_client_start(struct engine_client *client, const char *id, int64_t timeout_ms,
                                        engine_callback on_done, void *arg);
struct engine_call *engine_client_restart(struct engine_client *client, const char *id,
                                          int64_t stop_timeout_secs, int64_t timeout_ms,
                                          engine_callback on_done, void *arg);

/* The event stream: container events of the actions the table needs, from `since_ns` on (nanoseconds since
 * 1970 on the Engine's clock, inclusive; 0: from now). Lines are borrowed and come whole. on_end comes once,
 * when the stream ends for any reason. */
struct engine_events_handlers {
    void (*on_open)(void *arg);
    void (*on_line)(void *arg, const char *line, size_t len);
    void (*on_end)(void *arg, const struct engine_answer *answer);
    void *arg;
};
struct engine_call *engine_client_events(struct engine_client *client, int64_t since_ns,
                                         const struct engine_events_handlers *handlers);

void engine_call_cancel(struct engine_call *call); /* NULL is allowed */

/* For the registration's counters. */
struct engine_counters {
    int64_t calls;
    int64_t errors; /* results that are neither OK nor NOT_FOUND */
};
struct engine_counters engine_client_counters(const struct engine_client *client);

#endif
