#include "controller/serve/check_report.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/memory.h"
#include "proto/heartbeat.h"
#include "proto/json_reader.h"
#include "proto/registration.h"
#include "proto/text.h"

static bool is_told(const struct check_report *report, const char *check)
{
    for (size_t i = 0; i < report->count; i++) {
        if (strcmp(report->lines[i].check, check) == 0) {
            return true;
        }
    }
    return false;
}

static void tell(struct check_report *report, const char *check, const char *detail, bool is_by_service)
{
    if (is_told(report, check)) {
        return;
    }
    if (report->count == CHECK_REPORT_LINES) {
        report->more++;
        return;
    }
    size_t at = report->count++;
    char *text = report->lines[at].text;
    memory_set_text(report->lines[at].check, sizeof report->lines[at].check, check);
    if (strcmp(check, "docker_health") == 0) {
        snprintf(text, sizeof report->lines[at].text, "Its HEALTHCHECK fails%s%s",
                 detail[0] == '\0' ? "" : ", and said last: ", detail);
    } else {
        snprintf(text, sizeof report->lines[at].text, "Check %.64s fails%s%s", check,
                 detail[0] != '\0' ? ": "
                 : is_by_service   ? ", says the service itself"
                                   : "",
                 detail);
    }
    text_replace_controls(text, ' '); /* words of the container may be anything */
}

static void tell_details(struct check_report *report, const struct heartbeat *beat)
{
    char detail[LIMIT_DETAIL_SIZE];
    const struct cJSON *item = json_reader_first(heartbeat_check_details(beat));
    for (; item != NULL; item = json_reader_next(item)) {
        bool is_well = false;
        json_reader_bool(json_reader_member(beat->checks, json_reader_label(item)), &is_well);
        if (!is_well && json_reader_text(item, detail, sizeof detail)) {
            tell(report, json_reader_label(item), detail, false);
        }
    }
}

/* "running" is Docker's state over again. */
static void tell_checks(struct check_report *report, const struct heartbeat *beat)
{
    const struct cJSON *item = json_reader_first(beat->checks);
    for (; item != NULL; item = json_reader_next(item)) {
        bool is_well = true;
        if (json_reader_bool(item, &is_well) && !is_well && strcmp(json_reader_label(item), "running") != 0) {
            tell(report, json_reader_label(item), "", strcmp(beat->source, "agent") != 0);
        }
    }
}

void check_report_beat(struct check_report *report, const char *bytes, size_t len)
{
    struct heartbeat beat;
    if (bytes != NULL && heartbeat_decode(bytes, len, &beat, NULL) == 0) {
        tell_details(report, &beat);
        tell_checks(report, &beat);
        heartbeat_fini(&beat);
    }
}

void check_report_registration(struct check_report *report, const char *bytes, size_t len,
                               const char *container)
{
    struct registration registration;
    if (bytes == NULL || registration_decode(bytes, len, &registration, NULL, NULL) != 0) {
        return;
    }
    for (size_t i = 0; i < registration.count; i++) {
        if (strcmp(registration.entries[i].beat.container, container) == 0) {
            tell_details(report, &registration.entries[i].beat);
        }
    }
    registration_fini(&registration);
}
