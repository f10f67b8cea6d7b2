/*
 * What every command of defibctl works with. A plain value, made by main.c.
 */
#ifndef DEFIB_CONTROLLER_CTL_CTL_H
#define DEFIB_CONTROLLER_CTL_CTL_H

#include <stdbool.h>

#include "common/loop.h"
#include "common/settings.h"
#include "controller/ctl/api_client.h"
#include "controller/ctl/redis_desk.h"

enum ctl_exit { CTL_FINE = 0, CTL_FAILED = 1, CTL_USAGE = 2 };

struct ctl {
    const struct settings *settings;
    struct loop *loop;
    struct api_client *api;
    struct redis_desk *redis; /* connects when it is first asked */
    bool is_json;
    bool has_color;
    int width; /* columns of a table */
};

/* One line on stderr: "defibctl: …". */
void ctl_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
