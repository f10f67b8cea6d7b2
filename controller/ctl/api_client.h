/*
 * Asks the controller's API and waits for the answer, turning the loop meanwhile.
 */
#ifndef DEFIB_CONTROLLER_CTL_API_CLIENT_H
#define DEFIB_CONTROLLER_CTL_API_CLIENT_H

#include <stddef.h>

#include "common/err.h"
#include "common/loop.h"
#include "common/settings.h"

struct cJSON;
struct api_client;

/* Takes DEFIB_URL and the token of DEFIB_HTTP_TOKEN_FILE, where it can be read. */
struct api_client *api_client_new(struct loop *loop, const struct settings *settings);
void api_client_free(struct api_client *client);

/* Whether a token is there to change something with. */
bool api_client_has_token(const struct api_client *client);

struct api_reply {
    int status; /* of HTTP */
    char *text; /* NUL-terminated */
    size_t len;
    struct cJSON *tree; /* NULL where the answer is no JSON object */
    char message[384];  /* what it says where the status is no 2xx */
};
void api_client_reply_fini(struct api_reply *reply);
#define cleanup_reply __attribute__((cleanup(api_client_reply_fini)))

/* 0 where any HTTP answer came: look at the status. Else -errno: nobody answers there. body: JSON, or NULL.
 * *out is to be finished either way. */
int api_client_call(struct api_client *client, const char *method, const char *path, const char *body,
                    struct api_reply *out, struct err *err);

/* A stream of server-sent events: on_event for each, until it returns false or the stream ends. Returns 0, or
 * -errno with the cause where it could not be opened or broke off. */
int api_client_listen(struct api_client *client, const char *path,
                      bool (*on_event)(void *arg, const char *kind, const char *data), void *arg,
                      struct err *err);

/* prefix + name, percent-encoded; given. */
char *api_client_path(const char *prefix, const char *name);

#endif
