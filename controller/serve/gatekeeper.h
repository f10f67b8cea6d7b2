/*
 * Who may ask for what over HTTP.
 *
 * On loopback reading is open, but only to requests that name a loopback host: a web page elsewhere that has
 * its name resolve to 127.0.0.1 reads nothing. Changing needs the token, always. Where the controller listens
 * beyond loopback everything needs it.
 *
 * The token comes as `Authorization: Bearer TOKEN`. For reading, a browser's own question (Basic, any name,
 * the token as the password) counts too; for changing it does not, since a browser sends it unasked.
 */
#ifndef DEFIB_CONTROLLER_SERVE_GATEKEEPER_H
#define DEFIB_CONTROLLER_SERVE_GATEKEEPER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

enum { GATEKEEPER_TOKEN_MIN = 16, GATEKEEPER_TOKEN_MAX = 512 };

struct gatekeeper {
    bool is_loopback;                     /* the listening address is */
    char token[GATEKEEPER_TOKEN_MAX + 1]; /* "": none, nothing may be changed */
};

/* token_file "": none. -errno with one line: not readable, readable by others, too short, too long, not
 * printable. The old token stays where it fails. */
int gatekeeper_load(struct gatekeeper *gatekeeper, const char *listen, const char *token_file,
                    struct err *err);

enum gatekeeper_verdict {
    GATEKEEPER_OPEN,
    GATEKEEPER_NEEDS_TOKEN, /* 401 */
    GATEKEEPER_BAD_TOKEN,   /* 401 */
    GATEKEEPER_BAD_HOST,    /* 421 */
    GATEKEEPER_NO_TOKEN_SET /* 403: changes are off */
};

/* The headers Authorization and Host; NULL where missing. Pure. */
enum gatekeeper_verdict gatekeeper_judge(const struct gatekeeper *gatekeeper, bool is_change,
                                         const char *authorization, const char *host);

#endif
