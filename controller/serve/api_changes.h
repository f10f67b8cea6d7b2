/*
 * What an operator changes over HTTP: holds, resets, restarts. Each is done the way it is done by hand, by a
 * key in Redis or a command to the agent, and leaves who, when and why on health:events.
 */
#ifndef DEFIB_CONTROLLER_SERVE_API_CHANGES_H
#define DEFIB_CONTROLLER_SERVE_API_CHANGES_H

#include "controller/serve/event_feed.h"
#include "controller/serve/http_server.h"
#include "controller/serve/scene.h"

struct api_changes;

/* Borrows all. */
struct api_changes *api_changes_new(struct controller *controller, const struct controller_parts *parts,
                                    struct event_feed *feed);

/* What is still open is answered to nobody. */
void api_changes_free(struct api_changes *changes);

/* Each answers the exchange, at once or later. */
void api_changes_hold(struct api_changes *changes, const struct scene *scene, struct http_exchange *exchange);
void api_changes_release(struct api_changes *changes, const struct scene *scene,
                         struct http_exchange *exchange);
void api_changes_reset(struct api_changes *changes, const struct scene *scene,
                       struct http_exchange *exchange);
void api_changes_decommission(struct api_changes *changes, const struct scene *scene,
                              struct http_exchange *exchange);
void api_changes_test_alert(struct api_changes *changes, const struct scene *scene,
                            struct http_exchange *exchange);
void api_changes_restart(struct api_changes *changes, const struct scene *scene,
                         struct http_exchange *exchange);

#endif
