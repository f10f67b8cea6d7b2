/*
 * defibctl watch: what `status` shows, live, with keys to sort and choose. Where there is no screen to draw
 * on (TERM=dumb, a file, a pipe): the plain status again and again.
 */
#ifndef DEFIB_CONTROLLER_CTL_WATCH_COMMAND_H
#define DEFIB_CONTROLLER_CTL_WATCH_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "controller/ctl/ctl.h"
#include "controller/ctl/fleet_view.h"

#define WATCH_COMMAND_USAGE \
    "watch [--every 2s] [--sort ORDER] [--host HOST] [--service SERVICE] [--state STATE]"

int watch_command_run(struct ctl *ctl, int argc, char **argv);

/* What the keys set. */
struct watch_view {
    struct fleet_view_filter filter; /* its `host` is borrowed from the options, or `host` below */
    char part[LIMIT_NAME_SIZE];      /* of names, as it is typed */
    char host[LIMIT_NAME_SIZE];      /* chosen among those of the fleet */
    enum fleet_view_order order;
    bool is_reversed, is_typing, is_paused, is_help, shows_hosts;
    size_t top; /* the first row that is shown */
};

/* False: it ends. page: rows that fit. Pure. */
bool watch_command_take_key(struct watch_view *view, const struct fleet *fleet, int key, size_t page);

#endif
