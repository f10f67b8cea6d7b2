/* defib-controller: wires the loop, the signals and the controller, and ends them in order. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "common/err.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/service_notify.h"
#include "common/settings.h"
#include "controller/controller.h"
#include "controller/life_sign.h"
#include "controller/replay/replay.h"
#include "controller/serve/serve.h"
#include "proto/envelope.h"

enum { EXIT_USAGE = 2 };

static void print_hex(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        printf("%02x", bytes[i]);
    }
}

/* One line for DEFIB_KEY_FILE: an id that tells the day, and the secret. */
static int print_new_key(void)
{
    uint8_t tag[2], secret[KEY_RING_SECRET_BYTES];
    char day[16];
    struct tm parts;
    time_t now = time(NULL);
    if (getrandom(tag, sizeof tag, 0) != (ssize_t)sizeof tag ||
        getrandom(secret, sizeof secret, 0) != (ssize_t)sizeof secret || gmtime_r(&now, &parts) == NULL ||
        strftime(day, sizeof day, "%Y%m%d", &parts) == 0) {
        fputs("defib-controller: no random bytes to be had\n", stderr);
        return 1;
    }
    printf("k%s", day);
    print_hex(tag, sizeof tag);
    putchar(':');
    print_hex(secret, sizeof secret);
    putchar('\n');
    return fflush(stdout) == 0 ? 0 : 1;
}

struct parts {
    struct controller *controller;
    struct serve *serve;
};

static const char *look_in_environment(void *arg, const char *name)
{
    (void)arg;
    return getenv(name);
}

static int replay(const char *path)
{
    struct err err;
    if (replay_run(path, look_in_environment, NULL, stdout, &err) != 0) {
        fprintf(stderr, "defib-controller: --replay: %s\n", err.text);
        return EXIT_USAGE;
    }
    return fflush(stdout) == 0 ? 0 : 1;
}

static void on_stop_signal(void *arg)
{
    const struct parts *parts = arg;
    service_notify_send("STOPPING=1");
    controller_stop(parts->controller);
}

static void on_describe_signal(void *arg)
{
    const struct parts *parts = arg;
    controller_describe(parts->controller);
}

static void on_reload_signal(void *arg)
{
    const struct parts *parts = arg;
    controller_reload(parts->controller);
    serve_reload(parts->serve);
}

static void run_parts(struct loop *loop, const struct settings *settings, struct parts *parts)
{
    struct life_sign *sign = life_sign_new(loop, settings, parts->controller);
    struct loop_signal *term = loop_signal_new(loop, SIGTERM, on_stop_signal, parts);
    struct loop_signal *interrupt = loop_signal_new(loop, SIGINT, on_stop_signal, parts);
    struct loop_signal *hangup = loop_signal_new(loop, SIGHUP, on_reload_signal, parts);
    struct loop_signal *user = loop_signal_new(loop, SIGUSR1, on_describe_signal, parts);
    loop_run(loop);
    loop_signal_free(user);
    loop_signal_free(hangup);
    loop_signal_free(interrupt);
    loop_signal_free(term);
    life_sign_free(sign);
}

static int run(const struct settings *settings)
{
    struct loop *loop = loop_new();
    struct parts parts = {NULL, NULL};
    struct err err;
    int exit_code = 0;
    signal(SIGPIPE, SIG_IGN);
    if (controller_open(loop, settings, &parts.controller, &err) != 0 ||
        serve_open(loop, settings, parts.controller, &parts.serve, &err) != 0) {
        fprintf(stderr, "defib-controller: %s\n", err.text);
        exit_code = EXIT_USAGE;
    } else {
        run_parts(loop, settings, &parts);
    }
    serve_close(parts.serve);
    controller_close(parts.controller);
    if (exit_code == 0) {
        log_info("Supervisor stopped");
    }
    loop_free(loop);
    return exit_code;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--gen-key") == 0) {
        return print_new_key();
    }
    if (argc == 3 && strcmp(argv[1], "--replay") == 0) {
        return replay(argv[2]);
    }
    struct settings settings;
    int exit_code = settings_from_command_line(
        SETTINGS_CONTROLLER, "defib-controller",
        "watches heartbeats and has what failed restarted; --gen-key prints a fresh line for DEFIB_KEY_FILE; "
        "--replay FILE tells what would have been done with other settings",
        argc, argv, &settings);
    if (exit_code >= 0) {
        return exit_code;
    }
    log_init((enum log_level)settings.log_level, (enum log_format)settings.log_format);
    exit_code = run(&settings);
    settings_free(&settings);
    return exit_code;
}
