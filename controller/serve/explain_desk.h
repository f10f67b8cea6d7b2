/*
 * GET /api/v1/explain/{container}: where a container is not well, what its checks say is looked up in Redis
 * first (check_report.h); without Redis the answer goes without it. The other answers come at once.
 */
#ifndef DEFIB_CONTROLLER_SERVE_EXPLAIN_DESK_H
#define DEFIB_CONTROLLER_SERVE_EXPLAIN_DESK_H

#include "controller/redis_session.h"
#include "controller/serve/http_server.h"
#include "controller/serve/scene.h"

struct explain_desk;

/* Borrows the session. `look` makes the scene of the moment. */
struct explain_desk *explain_desk_new(struct redis_session *session, struct scene (*look)(void *arg),
                                      void *arg);

/* Before the server is closed: who still waits is answered 503. */
void explain_desk_free(struct explain_desk *desk);

/* Answers the exchange, at once or when Redis has answered. */
void explain_desk_answer(struct explain_desk *desk, struct http_exchange *exchange, const char *container);

#endif
