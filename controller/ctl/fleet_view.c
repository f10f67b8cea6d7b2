#include "controller/ctl/fleet_view.h"

#include <stdlib.h>
#include <string.h>

#include "controller/ctl/phrase.h"
#include "controller/ctl/table.h"

/* ---- states ---- */

static const struct {
    const char *word;
    enum table_color color;
} state_ranks[] = {
    {"FAILED", TABLE_BAD},     {"COOLDOWN", TABLE_BAD},       {"RESTARTING", TABLE_WARNING},
    {"DOWN", TABLE_WARNING},   {"SUSPECT", TABLE_WARNING},    {"dead", TABLE_BAD},
    {"exited", TABLE_WARNING}, {"restarting", TABLE_WARNING}, {"STARTING", TABLE_WARNING},
    {"HELD", TABLE_DIM},       {"paused", TABLE_DIM},         {"created", TABLE_DIM},
    {"NONE", TABLE_DIM},       {"UP", TABLE_PLAIN},           {"running", TABLE_PLAIN},
};

enum { RANKS = sizeof state_ranks / sizeof state_ranks[0] };

static size_t rank_of(const char *state)
{
    size_t rank = 0;
    while (rank < RANKS && strcmp(state_ranks[rank].word, state) != 0) {
        rank++;
    }
    return rank;
}

static bool is_dull(const struct fleet_row *row)
{
    return !row->is_host_lost && (strcmp(row->state, "UP") == 0 || strcmp(row->state, "running") == 0);
}

/* Of a lost host's nobody knows how they are: before those that are well. */
static size_t rank_of_row(const struct fleet_row *row)
{
    size_t rank = rank_of(row->state), starting = rank_of("STARTING");
    return row->is_host_lost && rank > starting ? starting : rank;
}

bool fleet_view_is_state(const char *state)
{
    for (size_t i = 0; i < RANKS; i++) {
        if (strcasecmp(state_ranks[i].word, state) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- order and choice ---- */

static const char *const order_names[FLEET_VIEW_ORDERS] = {
    [FLEET_VIEW_WORST] = "worst", [FLEET_VIEW_NAME] = "name", [FLEET_VIEW_HOST] = "host",
    [FLEET_VIEW_TRIES] = "tries", [FLEET_VIEW_AGE] = "age",
};

const char *fleet_view_order_name(enum fleet_view_order order)
{
    return (size_t)order < FLEET_VIEW_ORDERS ? order_names[order] : "";
}

enum fleet_view_order fleet_view_order_of(const char *name)
{
    int order = 0;
    while (order < FLEET_VIEW_ORDERS && strcmp(order_names[order], name) != 0) {
        order++;
    }
    return (enum fleet_view_order)order;
}

struct order {
    enum fleet_view_order by;
    bool is_reversed;
};

static int compare_numbers(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_by(enum fleet_view_order by, const struct fleet_row *a, const struct fleet_row *b)
{
    switch (by) {
    case FLEET_VIEW_WORST:
        return compare_numbers((int64_t)rank_of_row(a), (int64_t)rank_of_row(b));
    case FLEET_VIEW_HOST:
        return strcmp(a->host, b->host);
    case FLEET_VIEW_TRIES:
        return compare_numbers(b->attempts, a->attempts);
    case FLEET_VIEW_AGE:
        return compare_numbers(b->since.ms, a->since.ms);
    case FLEET_VIEW_NAME:
    case FLEET_VIEW_ORDERS:
        break;
    }
    return 0;
}

static int compare_rows(const void *left, const void *right, void *arg)
{
    const struct order *order = arg;
    const struct fleet_row *a = left, *b = right;
    int result = compare_by(order->by, a, b);
    result = result != 0 ? result : strcmp(a->name, b->name);
    return order->is_reversed ? -result : result;
}

static bool is_host_well(const struct fleet_host *host)
{
    return strcmp(host->state, "LIVE") == 0 && host->is_engine_up;
}

static int compare_hosts(const void *left, const void *right)
{
    const struct fleet_host *a = left, *b = right;
    int result = compare_numbers(is_host_well(a), is_host_well(b));
    return result != 0 ? result : strcmp(a->name, b->name);
}

void fleet_view_sort(struct fleet *fleet, enum fleet_view_order order, bool is_reversed)
{
    struct order how = {order, is_reversed};
    if (fleet->host_count > 0) {
        qsort(fleet->hosts, fleet->host_count, sizeof *fleet->hosts, compare_hosts);
    }
    if (fleet->row_count > 0) {
        qsort_r(fleet->rows, fleet->row_count, sizeof *fleet->rows, compare_rows, &how);
    }
}

bool fleet_view_is_wanted(const struct fleet_view_filter *filter, const struct fleet_row *row)
{
    return (filter->host == NULL || strcmp(filter->host, row->host) == 0) &&
           (filter->service == NULL || strcmp(filter->service, row->service) == 0) &&
           (filter->state == NULL || strcasecmp(filter->state, row->state) == 0) &&
           (filter->part == NULL || strcasestr(row->name, filter->part) != NULL) &&
           (!filter->is_troubled_only || !is_dull(row));
}

/* ---- the head ---- */

static void print_painted(const struct ctl *ctl, enum table_color color, const char *text, FILE *out)
{
    fputs(table_paint(color, ctl->has_color), out);
    phrase_print(out, "", "  ", text, ctl->width);
    fputs(table_unpaint(ctl->has_color), out);
}

static void print_hold(const struct ctl *ctl, const struct fleet_hold *hold, FILE *out)
{
    bool is_all = strcmp(hold->kind, "all") == 0;
    char left[PHRASE_SIZE], age[PHRASE_SIZE], end[PHRASE_SIZE + 32], text[1200];
    struct wall now = clock_wall_now();
    phrase_in(hold->until, now, left);
    phrase_age(hold->since, now, age);
    bool is_ending = strcmp(left, "now") == 0;
    snprintf(end, sizeof end, "%s%s%s", left[0] == '\0' ? ", until it is released" : ", ends ",
             left[0] == '\0' || is_ending ? "" : "in ", left);
    snprintf(text, sizeof text, "HELD: %s%s%s%s%s%s%s%s%s%s", is_all ? "everything" : hold->kind,
             is_all ? "" : " ", is_all ? "" : hold->name, hold->by[0] == '\0' ? "" : ", by ", hold->by,
             age[0] == '\0' ? "" : ", for ", age, end, hold->reason[0] == '\0' ? "" : ": ", hold->reason);
    print_painted(ctl, TABLE_WARNING, text, out);
}

static void print_breaker(const struct ctl *ctl, const struct fleet_host *host, FILE *out)
{
    char text[LIMIT_NAME_SIZE + 96];
    snprintf(text, sizeof text,
             "The breaker of host %s is open: too much fails there at once; restarts go one by one.",
             host->name);
    print_painted(ctl, TABLE_WARNING, text, out);
}

void fleet_view_head(const struct ctl *ctl, const struct fleet *fleet, FILE *out)
{
    char text[640];
    if (fleet->note[0] != '\0') {
        print_painted(ctl, TABLE_WARNING, fleet->note, out);
    }
    snprintf(text, sizeof text, "%zu container%s on %zu host%s; %s", fleet->row_count,
             fleet->row_count == 1 ? "" : "s", fleet->host_count, fleet->host_count == 1 ? "" : "s",
             fleet->leader);
    phrase_print(out, "", "  ", text, ctl->width);
    if (fleet->warning[0] != '\0') {
        print_painted(ctl, TABLE_WARNING, fleet->warning, out);
    }
    for (size_t i = 0; i < fleet->host_count; i++) {
        if (fleet->hosts[i].is_breaker_open) {
            print_breaker(ctl, &fleet->hosts[i], out);
        }
    }
    for (size_t i = 0; i < fleet->hold_count; i++) {
        print_hold(ctl, &fleet->holds[i], out);
    }
}

/* ---- hosts ---- */

static void add_host(struct table *table, const struct fleet_host *host, bool is_well, struct wall now)
{
    char containers[24], in_flight[24], heard[PHRASE_SIZE];
    snprintf(containers, sizeof containers, "%lld", (long long)host->containers);
    snprintf(in_flight, sizeof in_flight, "%lld", (long long)host->in_flight);
    phrase_age(host->heard_at, now, heard);
    table_add(table, is_well ? TABLE_PLAIN : TABLE_BAD,
              (const char *[]){host->name, host->state, host->is_engine_up ? "up" : "DOWN", containers,
                               in_flight, heard});
}

void fleet_view_hosts(const struct ctl *ctl, const struct fleet *fleet, enum fleet_view_hosts which,
                      const struct fleet_view_filter *filter, FILE *out)
{
    static const char *const heads[] = {"HOST", "AGENT", "ENGINE", "CONTAINERS", "RESTARTING", "HEARD", NULL};
    struct table *table = table_new(heads);
    struct wall now = clock_wall_now();
    for (size_t i = 0; i < fleet->host_count; i++) {
        const struct fleet_host *host = &fleet->hosts[i];
        bool is_well = is_host_well(host);
        bool is_wanted = filter == NULL || filter->host == NULL || strcmp(filter->host, host->name) == 0;
        if (is_wanted && (which == FLEET_VIEW_ALL_HOSTS || !is_well)) {
            add_host(table, host, is_well, now);
        }
    }
    if (table_count(table) > 0) {
        table_print(table, ctl->width, ctl->has_color, out);
    }
    table_free(table);
}

/* ---- containers ---- */

static const char *why_of(const struct fleet_row *row)
{
    if (row->is_host_lost && (strcmp(row->state, "UP") == 0 || row->reason[0] == '\0')) {
        return "host_lost";
    }
    if (!is_dull(row)) {
        return row->reason;
    }
    if (row->has_collision) {
        return "name_collision";
    }
    return strcmp(row->status, "healthy") == 0 || strcmp(row->status, "unknown") == 0 ? "" : row->status;
}

static void add_row(struct table *table, const struct fleet_row *row, struct wall now)
{
    char tries[48] = "", since[PHRASE_SIZE], next[PHRASE_SIZE];
    if (row->max_attempts >= 0) {
        snprintf(tries, sizeof tries, "%lld/%lld", (long long)row->attempts, (long long)row->max_attempts);
    } else if (row->attempts > 0) {
        snprintf(tries, sizeof tries, "%lld", (long long)row->attempts);
    }
    phrase_age(row->since, now, since);
    phrase_in(row->next_at, now, next);
    size_t rank = rank_of_row(row);
    table_add(table, rank < RANKS ? state_ranks[rank].color : TABLE_PLAIN,
              (const char *[]){row->name, row->host, row->state, tries, since, next, why_of(row)});
}

size_t fleet_view_rows(const struct ctl *ctl, const struct fleet *fleet,
                       const struct fleet_view_filter *filter, FILE *out)
{
    static const char *const heads[] = {"CONTAINER", "HOST", "STATE", "TRIES", "FOR", "NEXT", "WHY", NULL};
    struct table *table = table_new(heads);
    struct wall now = clock_wall_now();
    for (size_t i = 0; i < fleet->row_count; i++) {
        if (fleet_view_is_wanted(filter, &fleet->rows[i])) {
            add_row(table, &fleet->rows[i], now);
        }
    }
    size_t count = table_count(table);
    if (count > 0 || fleet->row_count == 0) {
        table_print(table, ctl->width, ctl->has_color, out);
    } else {
        fprintf(out, "No container is like that.\n");
    }
    table_free(table);
    return count;
}
