#include "common/fault.h"

#ifdef DEFIB_FAULTS

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static void die_after(long ms)
{
    if (ms == 0) {
        kill(getpid(), SIGKILL);
    }
    const struct itimerval wait = {.it_value = {ms / 1000, ms % 1000 * 1000}};
    signal(SIGALRM, SIG_DFL);
    setitimer(ITIMER_REAL, &wait, NULL);
}

void fault_point(const char *name)
{
    static _Atomic long passed;
    const char *wanted = getenv("DEFIB_FAULT");
    name = strchr(name, ':') + 1;
    size_t len = strlen(name);
    if (wanted == NULL || strncmp(wanted, name, len) != 0) {
        return;
    }
    const char *rest = wanted + len;
    long turn = 1, delay_ms = 0;
    if (rest[0] == ':') {
        turn = strtol(rest + 1, (char **)&rest, 10);
    }
    if (rest[0] == '+') {
        delay_ms = strtol(rest + 1, (char **)&rest, 10);
    }
    if (rest[0] == '\0' && atomic_fetch_add(&passed, 1) + 1 == turn) {
        fprintf(stderr, "fault: %s\n", wanted);
        die_after(delay_ms);
    }
}

#else

typedef int fault_is_not_compiled_in;

#endif
