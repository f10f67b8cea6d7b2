#include <signal.h>
#include <stdio.h>

#include "agent/agent.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/settings.h"

enum { EXIT_FINE = 0, EXIT_BAD_SETTINGS = 2 };

static void on_end_signal(void *arg)
{
    struct agent *agent = arg;
    loop_stop(agent->loop);
}

static void on_hangup(void *arg)
{
    agent_reload(arg);
}

static int run(const struct settings *settings)
{
    struct agent agent = {.settings = NULL};
    struct err err = {0};
    if (agent_init(&agent, settings, &err) != 0) {
        fprintf(stderr, "defib-agent: %s\n", err.text);
        agent_fini(&agent);
        return EXIT_BAD_SETTINGS;
    }
    struct loop_signal *term = loop_signal_new(agent.loop, SIGTERM, on_end_signal, &agent);
    struct loop_signal *interrupt = loop_signal_new(agent.loop, SIGINT, on_end_signal, &agent);
    struct loop_signal *hangup = loop_signal_new(agent.loop, SIGHUP, on_hangup, &agent);
    agent_run(&agent);
    loop_signal_free(term);
    loop_signal_free(interrupt);
    loop_signal_free(hangup);
    agent_fini(&agent);
    return EXIT_FINE;
}

int main(int argc, char **argv)
{
    struct settings settings;
    int code = settings_from_command_line(
        SETTINGS_AGENT, "defib-agent",
        "watches the containers of one Docker host, beats for them, restarts them on command", argc, argv,
        &settings);
    if (code >= 0) {
        return code;
    }
    log_init((enum log_level)settings.log_level, (enum log_format)settings.log_format);
    signal(SIGPIPE, SIG_IGN);
    code = run(&settings);
    settings_free(&settings);
    return code;
}
