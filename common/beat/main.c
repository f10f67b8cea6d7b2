/* defib-beat: heartbeats for shell scripts and sidecars, by libdefib-beat alone. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "common/beat/defib_beat.h"
#include "common/version.h"

enum { EXIT_FINE = 0, EXIT_UNDELIVERED = 1, EXIT_BAD_USAGE = 2 };
enum { LINE_SIZE = 512, END_WAIT_MS = 1000, ONCE_WAIT_MS = 3000, LOOK_MS = 1000 };

struct command {
    struct defib_beat *beat;
    bool is_once, is_strict, is_stdin;
    pid_t parent; /* --pid; 0: none */
    char line[LINE_SIZE];
    size_t line_len;
    bool is_line_long;
    char told[DEFIB_BEAT_WHY]; /* the trouble that was told last */
};

static const char usage[] =
    "usage: defib-beat --service NAME [OPTION]...\n"
    "Publishes heartbeats to Redis until it is ended. Redis away never makes it fail or wait.\n"
    "\n"
    "  --service NAME        as in health:hb:{service}:{instance}\n"
    "  --instance NAME       default: the host's name\n"
    "  --status WORD         starting, healthy (default), degraded, unhealthy or stopping\n"
    "  --check NAME=BOOL     a check that is well (true) or not (false); repeat for more\n"
    "  --metric NAME=NUMBER  whole or not; repeat for more\n"
    "  --every SECS          0.05 to 3600; default: $HEARTBEAT_INTERVAL_SECS, else 10\n"
    "  --ttl SECS            life of the key; default: $HEARTBEAT_TTL_SECS, else 3.5 times --every\n"
    "  --redis URL           redis://[user:pass@]host:port/db or unix:///path; default: $REDIS_URL,\n"
    "                        else redis://127.0.0.1:6379\n"
    "  --program-version V   version of the program that is spoken for\n"
    "  --stdin               read changes, one a line: `status WORD`, `check NAME=BOOL`,\n"
    "                        `metric NAME=NUMBER`; at the end of input: stopping, and exit\n"
    "  --pid PID             when this process is gone, beat no more: it may have died badly\n"
    "  --once                one beat, then exit; waits 3 s for Redis at most\n"
    "  --strict              with --once: exit 1 where Redis did not take it\n"
    "  --help, --version\n"
    "\n"
    "SIGTERM and SIGINT: says `stopping`, waits 1 s for Redis at most, exits 0.\n";

/* ---- values ---- */

static int complain(const char *what, const char *value, const char *allowed)
{
    fprintf(stderr, "defib-beat: %s %s: allowed are %s\n", what, value, allowed);
    return -EINVAL;
}

static int take_status(struct defib_beat *beat, const char *word)
{
    static const char *const words[] = {"starting", "healthy", "degraded", "unhealthy", "stopping"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(word, words[i]) == 0) {
            return defib_beat_set_status(beat, (enum defib_beat_status)i);
        }
    }
    return complain("status", word, "starting, healthy, degraded, unhealthy and stopping");
}

/* NAME=VALUE in two; the value, or NULL. */
static const char *split(const char *pair, char *name, size_t size)
{
    const char *equal = strchr(pair, '=');
    if (equal == NULL || (size_t)(equal - pair) >= size) {
        return NULL;
    }
    memcpy(name, pair, (size_t)(equal - pair));
    name[equal - pair] = '\0';
    return equal + 1;
}

static int take_check(struct defib_beat *beat, const char *pair)
{
    static const char allowed[] = "NAME=true and NAME=false, up to 128 names of 1 to 63 printable characters";
    char name[64];
    const char *value = split(pair, name, sizeof name);
    bool is_true = value != NULL && strcmp(value, "true") == 0;
    if (!is_true && (value == NULL || strcmp(value, "false") != 0)) {
        return complain("check", pair, allowed);
    }
    return defib_beat_check(beat, name, is_true) == 0 ? 0 : complain("check", pair, allowed);
}

static int take_metric(struct defib_beat *beat, const char *pair)
{
    static const char allowed[] = "NAME=NUMBER, up to 128 names of 1 to 63 printable characters";
    char name[64], *end;
    const char *value = split(pair, name, sizeof name);
    if (value == NULL || value[0] == '\0' || strspn(value, "+-.0123456789eE") < strlen(value)) {
        return complain("metric", pair, allowed);
    }
    errno = 0;
    int64_t whole = strtoll(value, &end, 10);
    int status;
    if (*end == '\0' && errno == 0) {
        status = defib_beat_count(beat, name, whole);
    } else {
        double real = strtod(value, &end);
        status = *end == '\0' ? defib_beat_metric(beat, name, real) : -EINVAL;
    }
    return status == 0 ? 0 : complain("metric", pair, allowed);
}

static bool take_seconds(const char *what, const char *text, int64_t *out_ms)
{
    char *end;
    double seconds = strtod(text, &end);
    bool is_plain = text[0] != '\0' && strspn(text, ".0123456789") == strlen(text) && *end == '\0';
    if (!is_plain || seconds <= 0 || seconds > 86400) {
        complain(what, text, "seconds over 0, at most 86400");
        return false;
    }
    *out_ms = llround(seconds * 1000);
    return true;
}

/* ---- the command line ---- */

enum option_code {
    OPT_SERVICE = 256,
    OPT_INSTANCE,
    OPT_STATUS,
    OPT_CHECK,
    OPT_METRIC,
    OPT_EVERY,
    OPT_TTL,
    OPT_REDIS,
    OPT_PROGRAM_VERSION,
    OPT_STDIN,
    OPT_PID,
    OPT_ONCE,
    OPT_STRICT,
    OPT_HELP,
    OPT_VERSION
};

static const struct option long_options[] = {
    {"service", required_argument, NULL, OPT_SERVICE},
    {"instance", required_argument, NULL, OPT_INSTANCE},
    {"status", required_argument, NULL, OPT_STATUS},
    {"check", required_argument, NULL, OPT_CHECK},
    {"metric", required_argument, NULL, OPT_METRIC},
    {"every", required_argument, NULL, OPT_EVERY},
    {"ttl", required_argument, NULL, OPT_TTL},
    {"redis", required_argument, NULL, OPT_REDIS},
    {"program-version", required_argument, NULL, OPT_PROGRAM_VERSION},
    {"stdin", no_argument, NULL, OPT_STDIN},
    {"pid", required_argument, NULL, OPT_PID},
    {"once", no_argument, NULL, OPT_ONCE},
    {"strict", no_argument, NULL, OPT_STRICT},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

static bool take_pid(struct command *command, const char *text)
{
    char *end;
    long pid = strtol(text, &end, 10);
    if (text[0] < '1' || text[0] > '9' || *end != '\0' || pid > 1 << 22) {
        complain("--pid", text, "a process id from 1 to 4194304");
        return false;
    }
    command->parent = (pid_t)pid;
    return true;
}

/* First round: what the beat is made with. -1: go on; else how to exit. */
static int read_option(struct command *command, struct defib_beat_options *options, int code)
{
    switch (code) {
    case OPT_SERVICE:
        options->service = optarg;
        break;
    case OPT_INSTANCE:
        options->instance = optarg;
        break;
    case OPT_EVERY:
        return take_seconds("--every", optarg, &options->interval_ms) ? -1 : EXIT_BAD_USAGE;
    case OPT_TTL:
        return take_seconds("--ttl", optarg, &options->ttl_ms) ? -1 : EXIT_BAD_USAGE;
    case OPT_REDIS:
        options->redis_url = optarg;
        break;
    case OPT_PROGRAM_VERSION:
        options->version = optarg;
        break;
    case OPT_STDIN:
        command->is_stdin = true;
        break;
    case OPT_PID:
        return take_pid(command, optarg) ? -1 : EXIT_BAD_USAGE;
    case OPT_ONCE:
        command->is_once = true;
        break;
    case OPT_STRICT:
        command->is_strict = true;
        break;
    case OPT_HELP:
        fputs(usage, stdout);
        return EXIT_FINE;
    case OPT_VERSION:
        puts("defib-beat " DEFIB_VERSION);
        return EXIT_FINE;
    case '?':
        fputs("defib-beat: --help lists the options\n", stderr);
        return EXIT_BAD_USAGE;
    default: /* of the second round */
        break;
    }
    return -1;
}

/* Second round: what the beat says. */
static int read_values(struct command *command, int argc, char **argv)
{
    int code, status = 0;
    optind = 1;
    while ((code = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        status = code == OPT_STATUS   ? take_status(command->beat, optarg)
                 : code == OPT_CHECK  ? take_check(command->beat, optarg)
                 : code == OPT_METRIC ? take_metric(command->beat, optarg)
                                      : 0;
        if (status != 0) {
            return EXIT_BAD_USAGE;
        }
    }
    return -1;
}

static int read_command_line(struct command *command, int argc, char **argv)
{
    struct defib_beat_options options = {.status = DEFIB_BEAT_HEALTHY};
    char why[DEFIB_BEAT_WHY];
    int code;
    while ((code = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        int exit_code = read_option(command, &options, code);
        if (exit_code >= 0) {
            return exit_code;
        }
    }
    if (optind < argc) {
        complain("argument", argv[optind], "options alone; --help lists them");
        return EXIT_BAD_USAGE;
    }
    command->beat = defib_beat_new(&options, why);
    if (command->beat == NULL) {
        fprintf(stderr, "defib-beat: %s\n", why);
        return EXIT_BAD_USAGE;
    }
    return read_values(command, argc, argv);
}

/* ---- changes from stdin ---- */

static void take_line(struct command *command)
{
    char *line = command->line;
    if (command->is_line_long) {
        fprintf(stderr, "defib-beat: a line of input is not used: it has more than %d bytes\n",
                LINE_SIZE - 1);
    } else if (strncmp(line, "status ", 7) == 0) {
        take_status(command->beat, line + 7);
    } else if (strncmp(line, "check ", 6) == 0) {
        take_check(command->beat, line + 6);
    } else if (strncmp(line, "metric ", 7) == 0) {
        take_metric(command->beat, line + 7);
    } else if (line[0] != '\0') {
        complain("line", line, "status WORD, check NAME=BOOL and metric NAME=NUMBER");
    }
}

static void take_byte(struct command *command, char byte)
{
    if (byte == '\n') {
        command->line[command->line_len] = '\0';
        take_line(command);
        command->line_len = 0;
        command->is_line_long = false;
    } else if (command->line_len < LINE_SIZE - 1) {
        command->line[command->line_len++] = byte;
    } else {
        command->is_line_long = true;
    }
}

/* False at the end of input. */
static bool read_stdin(struct command *command)
{
    char bytes[4096];
    ssize_t got = read(STDIN_FILENO, bytes, sizeof bytes);
    for (ssize_t i = 0; i < got; i++) {
        take_byte(command, bytes[i]);
    }
    return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

/* ---- running ---- */

static void tell_trouble(struct command *command)
{
    const char *trouble = defib_beat_trouble(command->beat);
    if (strcmp(trouble, command->told) == 0) {
        return;
    }
    if (trouble[0] != '\0') {
        fprintf(stderr, "defib-beat: no beat gets through: %s; trying again\n", trouble);
    } else {
        fputs("defib-beat: beats get through again\n", stderr);
    }
    snprintf(command->told, sizeof command->told, "%s", trouble);
}

static int64_t mono_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int run_once(struct command *command)
{
    int64_t until = mono_ms() + ONCE_WAIT_MS;
    while (defib_beat_counters(command->beat).confirmed == 0) {
        struct pollfd watched = {.events = 0};
        int wait_ms = defib_beat_step(command->beat);
        watched.fd = defib_beat_fd(command->beat, &watched.events);
        int64_t left_ms = until - mono_ms();
        if (left_ms <= 0) {
            const char *trouble = defib_beat_trouble(command->beat);
            fprintf(stderr, "defib-beat: not delivered: %s\n",
                    trouble[0] != '\0' ? trouble : "no answer from Redis");
            return command->is_strict ? EXIT_UNDELIVERED : EXIT_FINE;
        }
        if (defib_beat_counters(command->beat).confirmed == 0) {
            poll(&watched, 1, wait_ms < left_ms ? wait_ms : (int)left_ms);
        }
    }
    return EXIT_FINE;
}

static int open_signals(void)
{
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGINT);
    sigprocmask(SIG_BLOCK, &wanted, NULL);
    return signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
}

static bool is_parent_gone(const struct command *command)
{
    return command->parent != 0 && kill(command->parent, 0) != 0 && errno == ESRCH;
}

/* One that died is missed; one that is told to end says so. */
static int run(struct command *command)
{
    struct pollfd watched[3] = {
        {.fd = open_signals(), .events = POLLIN},
        {.fd = command->is_stdin ? STDIN_FILENO : -1, .events = POLLIN},
    };
    while (!is_parent_gone(command)) {
        int wait_ms = defib_beat_step(command->beat);
        tell_trouble(command);
        watched[2].fd = defib_beat_fd(command->beat, &watched[2].events);
        poll(watched, 3, wait_ms < LOOK_MS ? wait_ms : LOOK_MS);
        bool is_told_to_end = (watched[0].revents & POLLIN) != 0;
        bool has_input = (watched[1].revents & (POLLIN | POLLHUP | POLLERR)) != 0;
        if (is_told_to_end || (has_input && !read_stdin(command))) {
            defib_beat_end(command->beat, END_WAIT_MS);
            break;
        }
    }
    close(watched[0].fd);
    return EXIT_FINE;
}

int main(int argc, char **argv)
{
    struct command command = {.beat = NULL};
    int code = read_command_line(&command, argc, argv);
    if (code < 0) {
        code = command.is_once ? run_once(&command) : run(&command);
    }
    defib_beat_free(command.beat);
    return code;
}
