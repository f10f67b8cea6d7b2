#include "controller/ctl/status_command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/timestamp.h"
#include "controller/ctl/fleet_json.h"
#include "controller/ctl/fleet_view.h"
#include "controller/ctl/option_reader.h"
#include "controller/ctl/phrase.h"
#include "controller/ctl/table.h"
#include "proto/json_reader.h"

/* ---- status ---- */

/* A filter that names what is not there is a mistake, not an empty fleet. */
static bool is_filter_known(const struct fleet *fleet, const char *kind, const char *name)
{
    bool is_known = name == NULL;
    for (size_t i = 0; !is_known && i < fleet->row_count; i++) {
        const struct fleet_row *row = &fleet->rows[i];
        is_known = strcmp(strcmp(kind, "host") == 0 ? row->host : row->service, name) == 0;
    }
    for (size_t i = 0; !is_known && strcmp(kind, "host") == 0 && i < fleet->host_count; i++) {
        is_known = strcmp(fleet->hosts[i].name, name) == 0;
    }
    if (!is_known) {
        const char *nearest = fleet_nearest(fleet, name);
        ctl_complain("%s \"%.100s\" is not known%s%s", kind, name,
                     nearest == NULL ? "" : "; the nearest name is ", nearest == NULL ? "" : nearest);
    }
    return is_known;
}

bool status_command_is_state(const char *state)
{
    if (state == NULL || fleet_view_is_state(state)) {
        return true;
    }
    ctl_complain(
        "state \"%.40s\": allowed are STARTING, UP, SUSPECT, DOWN, FAILED, RESTARTING, COOLDOWN and HELD",
        state);
    return false;
}

int status_command_check_filter(const struct fleet *fleet, const struct fleet_view_filter *filter)
{
    return is_filter_known(fleet, "host", filter->host) && is_filter_known(fleet, "service", filter->service)
               ? CTL_FINE
               : CTL_FAILED;
}

void status_command_print(const struct ctl *ctl, const struct fleet *fleet,
                          const struct fleet_view_filter *filter)
{
    fleet_view_head(ctl, fleet, stdout);
    if (filter->service == NULL && filter->state == NULL && fleet->host_count > 0) {
        putchar('\n');
        fleet_view_hosts(ctl, fleet, FLEET_VIEW_ALL_HOSTS, filter, stdout);
    }
    if (fleet->row_count > 0) {
        putchar('\n');
        fleet_view_rows(ctl, fleet, filter, stdout);
    }
}

int status_command_run(struct ctl *ctl, int argc, char **argv)
{
    struct fleet_view_filter filter = {.host = NULL};
    const struct option_row rows[] = {{"--host", &filter.host, NULL},
                                      {"--service", &filter.service, NULL},
                                      {"--state", &filter.state, NULL},
                                      {"--json", NULL, &ctl->is_json},
                                      {NULL, NULL, NULL}};
    struct option_reader reader;
    if (!option_reader_read(&reader, rows, argc, argv, 0, 0, STATUS_COMMAND_USAGE) ||
        !status_command_is_state(filter.state)) {
        return CTL_USAGE;
    }
    cleanup_fleet struct fleet fleet;
    struct err err;
    if (fleet_load(ctl, &fleet, &err) != 0) {
        ctl_complain("%s", err.text);
        return CTL_FAILED;
    }
    if (status_command_check_filter(&fleet, &filter) != CTL_FINE) {
        return CTL_FAILED;
    }
    if (ctl->is_json) {
        cleanup_free char *text = fleet_json_all(&fleet, &filter);
        puts(text);
        return CTL_FINE;
    }
    fleet_view_sort(&fleet, FLEET_VIEW_WORST, false);
    status_command_print(ctl, &fleet, &filter);
    return CTL_FINE;
}

/* ---- one container ---- */

int status_command_ask(struct ctl *ctl, const char *prefix, const char *name, struct api_reply *out)
{
    struct err err;
    cleanup_free char *path = api_client_path(prefix, name);
    if (api_client_call(ctl->api, "GET", path, NULL, out, &err) != 0) {
        return -1;
    }
    if (out->status != 200 || out->tree == NULL) {
        ctl_complain("%s", out->message);
        return CTL_FAILED;
    }
    return CTL_FINE;
}

static int read_name(struct ctl *ctl, int argc, char **argv, const char *usage, const char **out)
{
    const struct option_row rows[] = {{"--json", NULL, &ctl->is_json}, {NULL, NULL, NULL}};
    struct option_reader reader;
    if (!option_reader_read(&reader, rows, argc, argv, 1, 1, usage)) {
        return CTL_USAGE;
    }
    *out = reader.names[0];
    return CTL_FINE;
}

static void print_member(const struct cJSON *item, const char *prefix)
{
    char text[512];
    double number;
    bool flag;
    struct wall when;
    char label[96];
    snprintf(label, sizeof label, "%s%s", prefix, json_reader_label(item));
    if (json_reader_first(item) != NULL) {
        for (const struct cJSON *each = json_reader_first(item); each != NULL;
             each = json_reader_next(each)) {
            print_member(each, "docker ");
        }
    } else if (json_reader_text(item, text, sizeof text)) {
        char age[PHRASE_SIZE] = "";
        size_t len = strlen(label);
        bool is_time = len > 3 && (strcmp(label + len - 3, "_at") == 0 || strstr(label, "since") ||
                                   strstr(label, "until"));
        struct wall now = clock_wall_now();
        if (is_time && timestamp_parse(text, strlen(text), &when) == 0) {
            bool is_past = when.ms <= now.ms;
            char span[PHRASE_SIZE];
            (is_past ? phrase_age : phrase_in)(when, now, span);
            snprintf(age, sizeof age, is_past ? "  (%.20s ago)" : "  (in %.20s)", span);
        }
        printf("%-22s %s%s\n", label, text, age);
    } else if (json_reader_bool(item, &flag)) {
        printf("%-22s %s\n", label, flag ? "yes" : "no");
    } else if (json_reader_real(item, &number)) {
        printf("%-22s %.17g\n", label, number);
    }
}

int status_command_find(struct ctl *ctl, const char *name, struct fleet *fleet, const struct fleet_row **out)
{
    struct err err;
    if (fleet_load(ctl, fleet, &err) != 0) {
        ctl_complain("%s", err.text);
        return CTL_FAILED;
    }
    for (size_t i = 0; i < fleet->row_count; i++) {
        if (strcmp(fleet->rows[i].name, name) == 0) {
            *out = &fleet->rows[i];
            return CTL_FINE;
        }
    }
    const char *nearest = fleet_nearest(fleet, name);
    ctl_complain("container \"%.100s\" is not known%s%s", name,
                 nearest == NULL ? "" : "; the nearest name is ", nearest == NULL ? "" : nearest);
    return CTL_FAILED;
}

static int show_without_controller(struct ctl *ctl, const char *name)
{
    cleanup_fleet struct fleet fleet;
    const struct fleet_row *row;
    int code = status_command_find(ctl, name, &fleet, &row);
    if (code != CTL_FINE) {
        return code;
    }
    cleanup_free char *text = fleet_json_row(&fleet, row);
    cleanup_json struct cJSON *tree = json_reader_parse_own(text, strlen(text));
    if (ctl->is_json) {
        puts(text);
        return CTL_FINE;
    }
    phrase_print(stdout, "", "  ", fleet.note, ctl->width);
    const struct cJSON *item = json_reader_first(json_reader_member(tree, "container"));
    for (; item != NULL; item = json_reader_next(item)) {
        print_member(item, "");
    }
    return CTL_FINE;
}

int status_command_show(struct ctl *ctl, int argc, char **argv)
{
    const char *name;
    int code = read_name(ctl, argc, argv, STATUS_COMMAND_SHOW_USAGE, &name);
    if (code != CTL_FINE) {
        return code;
    }
    cleanup_reply struct api_reply reply = {.status = 0};
    code = status_command_ask(ctl, "/api/v1/containers/", name, &reply);
    if (code < 0) {
        return show_without_controller(ctl, name);
    }
    if (code != CTL_FINE) {
        return code;
    }
    if (ctl->is_json) {
        puts(reply.text);
        return CTL_FINE;
    }
    const struct cJSON *item = json_reader_first(json_reader_member(reply.tree, "container"));
    for (; item != NULL; item = json_reader_next(item)) {
        print_member(item, "");
    }
    return CTL_FINE;
}
