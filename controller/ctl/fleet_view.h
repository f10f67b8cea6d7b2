/*
 * The fleet as tables for people: what `status` prints once and `watch` again and again. Pure, but for the
 * file it prints to.
 */
#ifndef DEFIB_CONTROLLER_CTL_FLEET_VIEW_H
#define DEFIB_CONTROLLER_CTL_FLEET_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "controller/ctl/ctl.h"
#include "controller/ctl/fleet.h"

enum fleet_view_order {
    FLEET_VIEW_WORST, /* then by name */
    FLEET_VIEW_NAME,
    FLEET_VIEW_HOST,
    FLEET_VIEW_TRIES, /* most first */
    FLEET_VIEW_AGE,   /* what changed last first */
    FLEET_VIEW_ORDERS
};

const char *fleet_view_order_name(enum fleet_view_order order);

/* FLEET_VIEW_ORDERS where no order is called so. */
enum fleet_view_order fleet_view_order_of(const char *name);
void fleet_view_sort(struct fleet *fleet, enum fleet_view_order order, bool is_reversed);

/* NULL and false ask for all. */
struct fleet_view_filter {
    const char *host, *service, *state;
    const char *part;      /* of its name */
    bool is_troubled_only; /* neither up nor simply running */
};
bool fleet_view_is_wanted(const struct fleet_view_filter *filter, const struct fleet_row *row);

/* The policy's words and Docker's, in any case. */
bool fleet_view_is_state(const char *state);

/* What holds for all: how many, who leads, what stops restarts, the holds. */
void fleet_view_head(const struct ctl *ctl, const struct fleet *fleet, FILE *out);

/* Nothing where there are none to show. Of `filter` (NULL: none) the host counts. */
enum fleet_view_hosts { FLEET_VIEW_ALL_HOSTS, FLEET_VIEW_BAD_HOSTS };
void fleet_view_hosts(const struct ctl *ctl, const struct fleet *fleet, enum fleet_view_hosts which,
                      const struct fleet_view_filter *filter, FILE *out);

/* Returns how many there were; their heads alone where there was none. */
size_t fleet_view_rows(const struct ctl *ctl, const struct fleet *fleet,
                       const struct fleet_view_filter *filter, FILE *out);

#endif
