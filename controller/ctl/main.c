/* defibctl: finds the command, and gives it what it works with. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/log.h"
#include "common/nearest.h"
#include "common/version.h"
#include "controller/ctl/change_command.h"
#include "controller/ctl/ctl.h"
#include "controller/ctl/doctor_command.h"
#include "controller/ctl/drill_command.h"
#include "controller/ctl/event_command.h"
#include "controller/ctl/explain_command.h"
#include "controller/ctl/export_command.h"
#include "controller/ctl/status_command.h"
#include "controller/ctl/watch_command.h"

struct command {
    const char *name, *usage, *summary;
    int (*run)(struct ctl *ctl, int argc, char **argv);
};

/* clang-format off */
static const struct command commands[] = {
    {"status", STATUS_COMMAND_USAGE, "the fleet at a glance, worst first", status_command_run},
    {"watch", WATCH_COMMAND_USAGE, "the same, live", watch_command_run},
    {"show", STATUS_COMMAND_SHOW_USAGE, "all that is known of one container", status_command_show},
    {"explain", EXPLAIN_COMMAND_USAGE, "why it is, or is not, being restarted", explain_command_run},
    {"events", EVENT_COMMAND_EVENTS_USAGE, "what happened, and what operators did", event_command_events},
    {"alerts", EVENT_COMMAND_ALERTS_USAGE, "what people were told", event_command_alerts},
    {"export", EXPORT_COMMAND_USAGE, "the journal on stdout, for defib-controller --replay", export_command_run},
    {"doctor", DOCTOR_COMMAND_USAGE, "what is wrong, and what to do; exit 1 where something is", doctor_command_run},
    {"drill", DRILL_COMMAND_USAGE, "the runbook's tests, on a container of their own", drill_command_run},
    {"hold", CHANGE_COMMAND_HOLD_USAGE, "restart nothing of it, for a time", change_command_hold},
    {"release", CHANGE_COMMAND_RELEASE_USAGE, "end a hold", change_command_release},
    {"reset", CHANGE_COMMAND_RESET_USAGE, "a fresh budget of attempts", change_command_reset},
    {"decommission", CHANGE_COMMAND_DECOMMISSION_USAGE, "forget a host that is gone for good", change_command_decommission},
    {"restart", CHANGE_COMMAND_RESTART_USAGE, "restart it now; this is no attempt", change_command_restart},
};
/* clang-format on */

enum { COMMANDS = sizeof commands / sizeof commands[0], WIDTH_DEFAULT = 80, WIDTH_MIN = 40 };

void ctl_complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("defibctl: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

static int finish(void)
{
    return fflush(stdout) == 0 ? CTL_FINE : CTL_FAILED;
}

static int print_help(void)
{
    printf("defibctl: what defib sees and does, and what you tell it\n\n"
           "usage: defibctl COMMAND [OPTION...]   defibctl [--help | --version | --check-config]\n\n");
    for (size_t i = 0; i < COMMANDS; i++) {
        printf("  %s\n      %s\n", commands[i].usage, commands[i].summary);
    }
    printf(
        "\nIt asks the controller, and Redis where the controller does not answer. Exit: 0 fine, 1 failed,\n"
        "2 bad usage. Settings are environment variables:\n");
    settings_print_help(SETTINGS_CTL, stdout);
    return finish();
}

static const struct command *find_command(const char *name)
{
    struct nearest nearest;
    nearest_init(&nearest, name);
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
        nearest_offer(&nearest, commands[i].name);
    }
    const char *meant = nearest_name(&nearest);
    ctl_complain("command \"%.80s\" is not known%s%s; defibctl --help lists all", name,
                 meant == NULL ? "" : "; did you mean ", meant == NULL ? "" : meant);
    return NULL;
}

static int width_of_terminal(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= WIDTH_MIN) {
        return size.ws_col;
    }
    return WIDTH_DEFAULT;
}

static bool is_colorful(void)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && (no_color == NULL || no_color[0] == '\0') &&
           (term == NULL || strcmp(term, "dumb") != 0);
}

static const char *look_in_environment(void *arg, const char *name)
{
    (void)arg;
    return getenv(name);
}

static int print_usage(const struct command *command)
{
    printf("usage: defibctl %s\n\n%s. man defibctl tells more.\n", command->usage, command->summary);
    return finish();
}

static int run(const struct command *command, const struct settings *settings, int argc, char **argv)
{
    struct ctl ctl = {
        .settings = settings, .loop = loop_new(), .has_color = is_colorful(), .width = width_of_terminal()};
    ctl.api = api_client_new(ctl.loop, settings);
    ctl.redis = redis_desk_new(ctl.loop, settings);
    int code = command->run(&ctl, argc, argv);
    redis_desk_free(ctl.redis);
    api_client_free(ctl.api);
    loop_free(ctl.loop);
    return code != CTL_FINE ? code : finish();
}

int main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "--help";
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
        return print_help();
    }
    if (strcmp(word, "--version") == 0) {
        printf("defibctl %s\n", DEFIB_VERSION);
        return finish();
    }
    bool is_check = strcmp(word, "--check-config") == 0;
    const struct command *command = is_check ? NULL : find_command(word);
    if (!is_check && command == NULL) {
        return CTL_USAGE;
    }
    if (!is_check && argc > 2 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0)) {
        return print_usage(command);
    }
    struct settings settings;
    struct err err;
    if (settings_load(SETTINGS_CTL, look_in_environment, NULL, &settings, &err) != 0) {
        ctl_complain("%s", err.text);
        return CTL_USAGE;
    }
    log_init(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    int code;
    if (is_check) {
        settings_print(SETTINGS_CTL, &settings, stdout);
        code = finish();
    } else {
        code = run(command, &settings, argc - 2, argv + 2);
    }
    settings_free(&settings);
    return code;
}
