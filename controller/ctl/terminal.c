/*
 * Signal handlers restore the terminal and die of the same signal again, so that whoever started us learns
 * what it was. write() and tcsetattr() may be called there. SIGWINCH and SIGCONT only interrupt ppoll(): they
 * are blocked everywhere else.
 */
#include "controller/ctl/terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "common/memory.h"

#define ENTER   "\033[?1049h\033[?25l"
#define LEAVE   "\033[?25h\033[?1049l"
#define UNPAINT "\033[0m"

enum { KEYS_SIZE = 32 };

/* What a signal handler has to know. */
static struct {
    struct termios before;
    volatile sig_atomic_t is_open, is_changed;
    bool is_registered;
    char keys[KEYS_SIZE]; /* read and not taken yet */
    size_t key_count;
} screen;

static const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGABRT};

bool terminal_is_able(void)
{
    const char *term = getenv("TERM");
    return term != NULL && term[0] != '\0' && strcmp(term, "dumb") != 0 && isatty(STDIN_FILENO) &&
           isatty(STDOUT_FILENO);
}

/* ---- taking it and giving it back ---- */

static void say(const char *text)
{
    ssize_t written = write(STDOUT_FILENO, text, strlen(text));
    (void)written; /* a terminal that is gone needs no mending */
}

static void give_back(void)
{
    tcsetattr(STDIN_FILENO, TCSADRAIN, &screen.before);
    say(UNPAINT LEAVE);
}

static void take(void)
{
    struct termios raw = screen.before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_iflag |= ICRNL;
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
    say(ENTER);
}

static void die_of(int number)
{
    signal(number, SIG_DFL);
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, number);
    raise(number);
    sigprocmask(SIG_UNBLOCK, &only, NULL);
}

static void on_end(int number)
{
    if (screen.is_open) {
        screen.is_open = 0;
        give_back();
    }
    die_of(number);
}

static void on_stop(int number)
{
    int error = errno;
    (void)number;
    give_back();
    raise(SIGSTOP);
    take(); /* SIGCONT */
    screen.is_changed = 1;
    errno = error;
}

static void on_change(int number)
{
    (void)number;
    screen.is_changed = 1;
}

static void set_handler(int number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

static void hide_changes(int how, sigset_t *before)
{
    sigset_t changes;
    sigemptyset(&changes);
    sigaddset(&changes, SIGWINCH);
    sigaddset(&changes, SIGCONT);
    sigprocmask(how, &changes, before);
}

int terminal_open(struct err *err)
{
    if (tcgetattr(STDIN_FILENO, &screen.before) != 0) {
        return err_set(err, errno, "the terminal: %s", strerrordesc_np(errno));
    }
    if (!screen.is_registered) {
        screen.is_registered = true;
        atexit(terminal_close);
    }
    for (size_t i = 0; i < sizeof ending / sizeof ending[0]; i++) {
        set_handler(ending[i], on_end);
    }
    set_handler(SIGTSTP, on_stop);
    set_handler(SIGWINCH, on_change);
    set_handler(SIGCONT, on_change);
    hide_changes(SIG_BLOCK, NULL);
    screen.key_count = 0;
    screen.is_open = 1;
    take();
    return 0;
}

void terminal_close(void)
{
    if (!screen.is_open) {
        return;
    }
    screen.is_open = 0;
    give_back();
    for (size_t i = 0; i < sizeof ending / sizeof ending[0]; i++) {
        signal(ending[i], SIG_DFL);
    }
    signal(SIGTSTP, SIG_DFL);
    signal(SIGWINCH, SIG_DFL);
    signal(SIGCONT, SIG_DFL);
    hide_changes(SIG_UNBLOCK, NULL);
}

void terminal_size(int *rows, int *columns)
{
    struct winsize size;
    bool is_told = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0;
    *rows = is_told ? size.ws_row : 24;
    *columns = is_told ? size.ws_col : 80;
}

/* ---- keys ---- */

static int letter_key(char letter)
{
    static const char letters[] = "ABHF";
    static const int keys[] = {TERMINAL_UP, TERMINAL_DOWN, TERMINAL_HOME, TERMINAL_END};
    const char *at = strchr(letters, letter);
    return at == NULL || letter == '\0' ? TERMINAL_UNKNOWN : keys[at - letters];
}

static int number_key(long number)
{
    switch (number) {
    case 1:
    case 7:
        return TERMINAL_HOME;
    case 4:
    case 8:
        return TERMINAL_END;
    case 5:
        return TERMINAL_PAGE_UP;
    case 6:
        return TERMINAL_PAGE_DOWN;
    default:
        return TERMINAL_UNKNOWN;
    }
}

/* "\033[A", "\033OA", "\033[5~", "\033[1;5A": to the first letter or tilde. */
int terminal_decode(const char *bytes, size_t len, size_t *used)
{
    *used = 1;
    if (bytes[0] != TERMINAL_ESCAPE) {
        return bytes[0] == '\b' ? TERMINAL_ERASE : (unsigned char)bytes[0];
    }
    if (len < 3 || (bytes[1] != '[' && bytes[1] != 'O')) {
        return TERMINAL_ESCAPE;
    }
    size_t end = 2;
    while (end < len && (bytes[end] < '@' || bytes[end] > '~')) {
        end++;
    }
    *used = end < len ? end + 1 : len;
    if (end == len) {
        return TERMINAL_UNKNOWN;
    }
    return bytes[end] == '~' ? number_key(strtol(bytes + 2, NULL, 10)) : letter_key(bytes[end]);
}

static int take_key(void)
{
    size_t used;
    char text[KEYS_SIZE + 1] = "";
    memcpy(text, screen.keys, screen.key_count);
    int key = terminal_decode(text, screen.key_count, &used);
    screen.key_count -= used;
    memmove(screen.keys, screen.keys + used, screen.key_count);
    return key;
}

int terminal_wait(int64_t timeout_ms)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    sigset_t open;
    if (screen.key_count > 0) {
        return take_key();
    }
    timeout_ms = timeout_ms < 0 ? 0 : timeout_ms;
    struct timespec timeout = {.tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000};
    hide_changes(SIG_BLOCK, &open);
    sigdelset(&open, SIGWINCH);
    sigdelset(&open, SIGCONT);
    int ready = ppoll(&input, 1, &timeout, &open);
    if (screen.is_changed) {
        screen.is_changed = 0;
        return TERMINAL_RESIZED;
    }
    if (ready <= 0) {
        return TERMINAL_NOTHING;
    }
    ssize_t got = read(STDIN_FILENO, screen.keys, sizeof screen.keys);
    if (got <= 0) {
        return TERMINAL_GONE;
    }
    screen.key_count = (size_t)got;
    return take_key();
}

/* ---- drawing ---- */

/* How many bytes of this line fit; colors take no room. */
static size_t fitting(const char *line, size_t len, int columns)
{
    int shown = 0;
    size_t at = 0;
    while (at < len) {
        if (line[at] == TERMINAL_ESCAPE) {
            while (at < len && line[at] != 'm') {
                at++;
            }
        } else if (((unsigned char)line[at] & 0xc0) != 0x80 && shown++ == columns) {
            return at;
        }
        at += at < len;
    }
    return len;
}

bool terminal_draw(const char *text, size_t len)
{
    int rows, columns;
    char *frame = NULL;
    size_t size;
    terminal_size(&rows, &columns);
    FILE *out = open_memstream(&frame, &size);
    if (out == NULL) {
        abort();
    }
    fputs("\033[H", out);
    int row = 0;
    for (; row < rows && len > 0; row++) {
        const char *end = memchr(text, '\n', len);
        size_t line = end == NULL ? len : (size_t)(end - text);
        fprintf(out, "%s\033[2K%.*s" UNPAINT, row == 0 ? "" : "\r\n", (int)fitting(text, line, columns),
                text);
        line += end != NULL;
        text += line;
        len -= line;
    }
    fputs(row < rows ? "\r\n\033[J" : "", out); /* in the last column it would take the last letter */
    if (fclose(out) != 0) {
        abort();
    }
    bool is_there = true;
    for (size_t at = 0; is_there && at < size;) {
        ssize_t written = write(STDOUT_FILENO, frame + at, size - at);
        is_there = written > 0 || (written < 0 && errno == EINTR);
        at += written > 0 ? (size_t)written : 0;
    }
    free(frame);
    return is_there;
}
