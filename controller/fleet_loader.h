/*
 * Reads every `health:` key once, in pages: SCAN COUNT 1000, then MGET of the page's keys. KEYS is never
 * used. One page is under way at a time. Keys of kinds that the controller does not need are skipped.
 */
#ifndef DEFIB_CONTROLLER_FLEET_LOADER_H
#define DEFIB_CONTROLLER_FLEET_LOADER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/loop.h"
#include "controller/redis_session.h"

struct fleet_loader;

struct fleet_loader_options {
    struct redis_session *session;
    /* One key with its value, borrowed; keys may come twice (SCAN's nature). */
    void (*on_value)(void *arg, const char *key, size_t key_len, const char *value, size_t len);
    /* The end of a page: a good moment to perform what came of it. */
    void (*on_page)(void *arg);
    void (*on_done)(void *arg);
    void *arg;
};

struct fleet_loader *fleet_loader_new(struct loop *loop, const struct fleet_loader_options *options);
void fleet_loader_free(struct fleet_loader *loader); /* after the session was closed */

/* Starts from the beginning; a load under way is dropped. A load that the server refuses is tried again
 * every second. */
void fleet_loader_start(struct fleet_loader *loader);
void fleet_loader_stop(struct fleet_loader *loader);

#endif
