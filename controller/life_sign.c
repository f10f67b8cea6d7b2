#include "controller/life_sign.h"

#include <stdbool.h>
#include <stdlib.h>

#include "common/http_client.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/service_notify.h"
#include "controller/warning_limiter.h"

enum {
    LOOK_MS = 1000,
    LATE_MAX_MS = 10000,
    FETCH_MIN_MS = 1000,
    FETCH_MAX_MS = 60000,
    FETCH_TIMEOUT_MS = 10000,
    BODY_MAX = 64 * 1024
};

struct life_sign {
    struct loop *loop;
    const struct controller *controller;
    struct loop_timer *timer;
    struct warning_limiter *warnings;
    struct http_client *http; /* NULL: no DEFIB_HEARTBEAT_URL */
    struct http_call *call;   /* under way */
    int64_t watchdog_ms, fetch_ms;
    struct mono watchdog_at, fetch_at;
    bool is_ready_told;
};

static bool is_well(const struct life_sign *sign, struct controller_health *health)
{
    controller_health(sign->controller, health);
    return health->is_watching && health->late_ms < LATE_MAX_MS;
}

static void on_fetched(void *arg, const struct http_response *response)
{
    struct life_sign *sign = arg;
    sign->call = NULL;
    /* The address is a secret: neither it nor libcurl's words about it are logged. */
    if (response->err.code != 0) {
        warning_limiter_warn(sign->warnings, "DEFIB_HEARTBEAT_URL", loop_now(sign->loop),
                             "DEFIB_HEARTBEAT_URL does not answer");
    } else if (response->status < 200 || response->status > 299) {
        warning_limiter_warn(sign->warnings, "DEFIB_HEARTBEAT_URL", loop_now(sign->loop),
                             "DEFIB_HEARTBEAT_URL answers with status %d", response->status);
    }
}

static void fetch(struct life_sign *sign)
{
    struct http_request request = {.method = "GET",
                                   .path = "",
                                   .timeout_ms = FETCH_TIMEOUT_MS,
                                   .max_bytes = BODY_MAX,
                                   .on_done = on_fetched,
                                   .arg = sign};
    sign->call = http_client_send(sign->http, &request);
}

static void tell_systemd(struct life_sign *sign, const struct controller_health *health, bool is_fine)
{
    struct mono now = loop_now(sign->loop);
    if (health->is_watching && !sign->is_ready_told) {
        sign->is_ready_told = true;
        service_notify_send("READY=1\nSTATUS=watching the fleet");
    }
    bool is_due = sign->watchdog_ms > 0 && mono_reached(now, sign->watchdog_at);
    /* Before the first load there is nothing to be late for. */
    if (is_due && (is_fine || !health->is_watching)) {
        sign->watchdog_at = mono_add(now, sign->watchdog_ms);
        service_notify_send("WATCHDOG=1");
    }
}

static void on_look(void *arg)
{
    struct life_sign *sign = arg;
    struct controller_health health;
    bool is_fine = is_well(sign, &health);
    tell_systemd(sign, &health, is_fine);
    struct mono now = loop_now(sign->loop);
    if (sign->http != NULL && is_fine && sign->call == NULL && mono_reached(now, sign->fetch_at)) {
        sign->fetch_at = mono_add(now, sign->fetch_ms);
        fetch(sign);
    }
}

static int64_t clamp(int64_t value, int64_t min, int64_t max)
{
    return value < min ? min : value > max ? max : value;
}

struct life_sign *life_sign_new(struct loop *loop, const struct settings *settings,
                                const struct controller *controller)
{
    struct life_sign *sign = memory_alloc(sizeof *sign);
    sign->loop = loop;
    sign->controller = controller;
    sign->warnings = warning_limiter_new(settings->alert_repeat_ms);
    sign->watchdog_ms = service_notify_watchdog_ms();
    sign->fetch_ms = clamp(4 * settings->check_interval_ms, FETCH_MIN_MS, FETCH_MAX_MS);
    if (settings->heartbeat_url[0] != '\0') {
        struct http_client_options options = {.base_url = settings->heartbeat_url, .verify_peer = true};
        sign->http = http_client_new(loop, &options);
    }
    sign->timer = loop_timer_new(loop, on_look, sign);
    int64_t look_ms = sign->watchdog_ms > 0 ? clamp(sign->watchdog_ms / 2, 10, LOOK_MS) : LOOK_MS;
    loop_timer_start(sign->timer, 0, look_ms);
    return sign;
}

void life_sign_free(struct life_sign *sign)
{
    if (sign == NULL) {
        return;
    }
    loop_timer_free(sign->timer);
    http_client_free(sign->http);
    warning_limiter_free(sign->warnings);
    free(sign);
}
