#include "controller/ctl/watch_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/memory.h"
#include "common/timestamp.h"
#include "controller/ctl/option_reader.h"
#include "controller/ctl/phrase.h"
#include "controller/ctl/status_command.h"
#include "controller/ctl/table.h"
#include "controller/ctl/terminal.h"

enum { EVERY_DEFAULT_MS = 2000, EVERY_MIN_MS = 200, ROWS_LEAST = 3, WIDTH_LEAST = 20 };

static const int64_t EVERY_MAX_MS = 3600000;

#define KEYS_LINE "q quit  s sort  r reverse  t troubled  h host  / name  o hosts  space pause  ? help"

static const char help_text[] =
    "q, Ctrl-C      quit\n"
    "s, r           sort by the next column; reversed\n"
    "t              only what is neither up nor simply running, or all again\n"
    "h              only the next host, in the end all again\n"
    "/              only names that hold what you type; Enter keeps it, Escape drops it\n"
    "o              all hosts, or only those that are not well\n"
    "space          pause, and go on\n"
    "arrows, j, k, Page Up, Page Down, Home, End   move\n"
    "\nAny key goes back.\n";

/* ---- keys ---- */

static void type(struct watch_view *view, int key)
{
    size_t len = strlen(view->part);
    if (key == TERMINAL_ENTER || key == TERMINAL_ESCAPE) {
        view->is_typing = false;
        view->part[key == TERMINAL_ENTER ? len : 0] = '\0';
    } else if (key == TERMINAL_ERASE && len > 0) {
        view->part[len - 1] = '\0';
    } else if (key > ' ' && key < TERMINAL_ERASE && len + 1 < sizeof view->part) {
        view->part[len] = (char)key;
        view->part[len + 1] = '\0';
    }
    view->filter.part = view->part[0] == '\0' ? NULL : view->part;
    view->top = 0;
}

/* In the fleet's order; behind the last one all. */
static void choose_next_host(struct watch_view *view, const struct fleet *fleet)
{
    size_t next = 0;
    for (size_t i = 0; view->filter.host != NULL && i < fleet->host_count; i++) {
        if (strcmp(fleet->hosts[i].name, view->filter.host) == 0) {
            next = i + 1;
        }
    }
    bool is_all = next >= fleet->host_count;
    memory_set_text(view->host, sizeof view->host, is_all ? "" : fleet->hosts[next].name);
    view->filter.host = is_all ? NULL : view->host;
    view->top = 0;
}

static void move(struct watch_view *view, size_t count, int key, size_t page)
{
    size_t last = count > page ? count - page : 0, top = view->top;
    if (key == TERMINAL_UP || key == 'k') {
        top -= top > 0;
    } else if (key == TERMINAL_DOWN || key == 'j') {
        top++;
    } else if (key == TERMINAL_PAGE_UP) {
        top -= top < page ? top : page;
    } else if (key == TERMINAL_PAGE_DOWN) {
        top += page;
    } else if (key == TERMINAL_HOME) {
        top = 0;
    } else if (key == TERMINAL_END) {
        top = last;
    }
    view->top = top < last ? top : last;
}

static size_t count_wanted(const struct watch_view *view, const struct fleet *fleet)
{
    size_t count = 0;
    for (size_t i = 0; i < fleet->row_count; i++) {
        count += fleet_view_is_wanted(&view->filter, &fleet->rows[i]);
    }
    return count;
}

bool watch_command_take_key(struct watch_view *view, const struct fleet *fleet, int key, size_t page)
{
    if (view->is_help) {
        view->is_help = false;
        return true;
    }
    if (view->is_typing) {
        type(view, key);
        return true;
    }
    switch (key) {
    case 'q':
        return false;
    case 's':
        view->order = (enum fleet_view_order)(((int)view->order + 1) % FLEET_VIEW_ORDERS);
        break;
    case 'r':
        view->is_reversed = !view->is_reversed;
        break;
    case 't':
        view->filter.is_troubled_only = !view->filter.is_troubled_only;
        view->top = 0;
        break;
    case 'h':
        choose_next_host(view, fleet);
        break;
    case 'o':
        view->shows_hosts = !view->shows_hosts;
        break;
    case '/':
        view->is_typing = true;
        break;
    case ' ':
        view->is_paused = !view->is_paused;
        break;
    case '?':
        view->is_help = true;
        break;
    default:
        move(view, count_wanted(view, fleet), key, page);
    }
    return true;
}

/* ---- a frame ---- */

struct watch {
    struct ctl *ctl;
    int64_t every_ms;
    struct watch_view view;
    struct fleet fleet;
    char trouble[512]; /* why the last look failed; "" where it did not */
    struct wall looked_at;
    size_t page; /* rows of containers on the screen */
};

static void look(struct watch *watch)
{
    struct fleet fresh;
    struct err err;
    if (fleet_load(watch->ctl, &fresh, &err) == 0) {
        fleet_fini(&watch->fleet);
        watch->fleet = fresh;
        watch->looked_at = clock_wall_now();
        watch->trouble[0] = '\0';
        return;
    }
    fleet_fini(&fresh);
    memory_set_text(watch->trouble, sizeof watch->trouble, err.text);
}

static void print_title(const struct watch *watch, FILE *out)
{
    const struct watch_view *view = &watch->view;
    char time[TIMESTAMP_SIZE], age[PHRASE_SIZE];
    timestamp_format(watch->looked_at, time);
    phrase_age(watch->looked_at, clock_wall_now(), age);
    fprintf(out, "defib  %s  by %s%s", watch->looked_at.ms == 0 ? "" : time,
            fleet_view_order_name(view->order), view->is_reversed ? ", reversed" : "");
    if (view->filter.host != NULL) {
        fprintf(out, "  host %s", view->filter.host);
    }
    if (view->filter.is_troubled_only) {
        fputs("  troubled", out);
    }
    if (view->is_typing || view->filter.part != NULL) {
        fprintf(out, "  /%s%s", view->part, view->is_typing ? "_" : "");
    }
    if (view->is_paused) {
        fprintf(out, "  PAUSED, %s old", age);
    }
    fputc('\n', out);
    if (watch->trouble[0] != '\0') {
        fputs(table_paint(TABLE_BAD, watch->ctl->has_color), out);
        fprintf(out, "This is %s old: %s%s\n", age[0] == '\0' ? "0s" : age, watch->trouble,
                table_unpaint(watch->ctl->has_color));
    }
}

static size_t count_lines(const char *text)
{
    size_t count = 0;
    for (; (text = strchr(text, '\n')) != NULL; text++) {
        count++;
    }
    return count;
}

static FILE *open_text(char **text, size_t *len)
{
    FILE *out = open_memstream(text, len);
    if (out == NULL) {
        abort();
    }
    return out;
}

static void close_text(FILE *out)
{
    if (fclose(out) != 0) {
        abort();
    }
}

static const char *line_at(const char *text, size_t number)
{
    for (; number > 0; number--) {
        const char *end = strchr(text, '\n');
        text = end == NULL ? text + strlen(text) : end + 1;
    }
    return text;
}

/* The table's head, then the rows that fit from `top` on. */
static void print_page(struct watch *watch, const char *table, size_t count, FILE *out)
{
    struct watch_view *view = &watch->view;
    size_t last = count > watch->page ? count - watch->page : 0;
    view->top = view->top < last ? view->top : last;
    const char *rows = line_at(table, 1), *from = line_at(rows, view->top), *to = line_at(from, watch->page);
    fwrite(table, 1, (size_t)(rows - table), out);
    fwrite(from, 1, (size_t)(to - from), out);
    if (count > watch->page) {
        fprintf(out, "%zu-%zu of %zu  ", view->top + 1, view->top + watch->page, count);
    } else if (count == 0) {
        fputs("none of them  ", out);
    }
    fputs(KEYS_LINE, out);
}

static bool draw(struct watch *watch)
{
    struct watch_view *view = &watch->view;
    cleanup_free char *frame = NULL, *table = NULL;
    size_t len, table_len;
    int rows;
    terminal_size(&rows, &watch->ctl->width);
    watch->ctl->width = watch->ctl->width < WIDTH_LEAST ? WIDTH_LEAST : watch->ctl->width;
    fleet_view_sort(&watch->fleet, view->order, view->is_reversed);
    FILE *out = open_text(&frame, &len);
    if (view->is_help) {
        fputs(help_text, out);
    } else {
        print_title(watch, out);
        fleet_view_head(watch->ctl, &watch->fleet, out);
        fleet_view_hosts(watch->ctl, &watch->fleet,
                         view->shows_hosts ? FLEET_VIEW_ALL_HOSTS : FLEET_VIEW_BAD_HOSTS, NULL, out);
        fflush(out);
        size_t above = count_lines(frame) + 2; /* the table's head, and the keys */
        watch->page = (size_t)rows > above + ROWS_LEAST ? (size_t)rows - above : ROWS_LEAST;
        FILE *part = open_text(&table, &table_len);
        size_t count = fleet_view_rows(watch->ctl, &watch->fleet, &view->filter, part);
        close_text(part);
        print_page(watch, table, count, out);
    }
    close_text(out);
    return terminal_draw(frame, len);
}

static int watch_screen(struct watch *watch)
{
    struct err err;
    struct mono due = {0};
    if (terminal_open(&err) != 0) {
        ctl_complain("%s", err.text);
        return CTL_FAILED;
    }
    bool goes_on = true;
    while (goes_on) {
        struct mono now = clock_mono_now();
        if (!watch->view.is_paused && mono_reached(now, due)) {
            look(watch);
            due = mono_add(clock_mono_now(), watch->every_ms);
        }
        goes_on = draw(watch);
        int key = goes_on ? terminal_wait(watch->view.is_paused ? 1000 : mono_diff(due, clock_mono_now()))
                          : TERMINAL_GONE;
        if (key == TERMINAL_GONE) {
            goes_on = false;
        } else if (key != TERMINAL_NOTHING && key != TERMINAL_RESIZED) {
            goes_on = watch_command_take_key(&watch->view, &watch->fleet, key, watch->page);
        }
    }
    terminal_close();
    return CTL_FINE;
}

/* ---- without a screen ---- */

static int watch_plainly(struct watch *watch)
{
    struct timespec pause = {.tv_sec = watch->every_ms / 1000, .tv_nsec = watch->every_ms % 1000 * 1000000};
    for (;;) {
        char time[TIMESTAMP_SIZE];
        look(watch);
        if (watch->trouble[0] != '\0') {
            ctl_complain("%s", watch->trouble);
        } else {
            timestamp_format(watch->looked_at, time);
            printf("-- %s\n", time);
            fleet_view_sort(&watch->fleet, watch->view.order, watch->view.is_reversed);
            status_command_print(watch->ctl, &watch->fleet, &watch->view.filter);
        }
        if (fflush(stdout) != 0) {
            return CTL_FINE; /* nobody reads any more */
        }
        nanosleep(&pause, NULL);
    }
}

/* ---- the command ---- */

static bool read_every(const char *text, int64_t *out)
{
    *out = EVERY_DEFAULT_MS;
    if (text == NULL) {
        return true;
    }
    if (!phrase_parse_duration(text, out) || *out < EVERY_MIN_MS || *out > EVERY_MAX_MS) {
        ctl_complain("--every \"%.40s\": allowed are durations such as 1s, 30s, 5m, up to 1h", text);
        return false;
    }
    return true;
}

static bool read_order(const char *text, enum fleet_view_order *out)
{
    *out = text == NULL ? FLEET_VIEW_WORST : fleet_view_order_of(text);
    if (*out == FLEET_VIEW_ORDERS) {
        ctl_complain("--sort \"%.40s\": allowed are worst, name, host, tries and age", text);
        return false;
    }
    return true;
}

int watch_command_run(struct ctl *ctl, int argc, char **argv)
{
    struct watch watch = {.ctl = ctl};
    struct fleet_view_filter *filter = &watch.view.filter;
    const char *every = NULL, *order = NULL;
    const struct option_row rows[] = {
        {"--every", &every, NULL},         {"--sort", &order, NULL},
        {"--host", &filter->host, NULL},   {"--service", &filter->service, NULL},
        {"--state", &filter->state, NULL}, {NULL, NULL, NULL}};
    struct option_reader words;
    if (!option_reader_read(&words, rows, argc, argv, 0, 0, WATCH_COMMAND_USAGE) ||
        !read_every(every, &watch.every_ms) || !read_order(order, &watch.view.order) ||
        !status_command_is_state(filter->state)) {
        return CTL_USAGE;
    }
    look(&watch);
    if (watch.trouble[0] != '\0') {
        ctl_complain("%s", watch.trouble);
        return CTL_FAILED;
    }
    int code = status_command_check_filter(&watch.fleet, filter);
    if (code == CTL_FINE) {
        code = terminal_is_able() ? watch_screen(&watch) : watch_plainly(&watch);
    }
    fleet_fini(&watch.fleet);
    return code;
}
