#include "controller/ctl/alert_test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "common/memory.h"
#include "controller/ctl/operator_note.h"
#include "controller/ctl/option_reader.h"
#include "controller/ctl/table.h"
#include "proto/json_reader.h"
#include "proto/json_writer.h"
#include "proto/keys.h"

enum { REASON_SIZE = 160, REDIS_MS = 5000, WEBHOOK_MS = 20000 };

static const struct timespec PAUSE = {.tv_nsec = 250 * 1000 * 1000};

/* What the controller counted of its webhook. */
struct webhook_state {
    bool is_set;
    int64_t waiting, sent, failed;
};

static bool read_webhook(struct ctl *ctl, struct webhook_state *out)
{
    struct err err;
    cleanup_reply struct api_reply reply;
    *out = (struct webhook_state){.is_set = false};
    if (api_client_call(ctl->api, "GET", "/api/v1/status", NULL, &reply, &err) != 0 || reply.status != 200) {
        return false;
    }
    const struct cJSON *webhook = json_reader_member(reply.tree, "webhook");
    json_reader_bool(json_reader_member(webhook, "set"), &out->is_set);
    json_reader_signed(json_reader_member(webhook, "waiting"), 0, INT64_MAX, &out->waiting);
    json_reader_signed(json_reader_member(webhook, "sent"), 0, INT64_MAX, &out->sent);
    json_reader_signed(json_reader_member(webhook, "failed"), 0, INT64_MAX, &out->failed);
    return true;
}

static bool send_alert(struct ctl *ctl, const char *reason)
{
    char who[LIMIT_NAME_SIZE];
    struct json_writer writer;
    struct err err;
    cleanup_reply struct api_reply reply;
    operator_note_who(who);
    json_writer_init(&writer, JSON_COMPACT, 256);
    json_writer_open(&writer, NULL, '{');
    json_writer_text(&writer, "by", who);
    json_writer_text(&writer, "reason", reason);
    json_writer_close(&writer, '}');
    cleanup_free char *body = json_writer_take(&writer, NULL);
    if (api_client_call(ctl->api, "POST", "/api/v1/alerts/test", body, &reply, &err) != 0) {
        ctl_complain("a test alert needs the controller, and %s does not answer (%s)", ctl->settings->url,
                     err.text);
        return false;
    }
    if (reply.status != 202) {
        ctl_complain("%s", reply.message);
        return false;
    }
    return true;
}

static void say(const struct ctl *ctl, bool is_well, const char *text)
{
    printf("%s%-5s%s%s\n", table_paint(is_well ? TABLE_GOOD : TABLE_BAD, ctl->has_color),
           is_well ? "ok" : "FAIL", table_unpaint(ctl->has_color), text);
    fflush(stdout);
}

/* ---- whether it arrived ---- */

static bool is_on_stream(struct ctl *ctl, const char *mark, struct err *err)
{
    const char *argv[] = {"XREVRANGE", KEY_STREAM_EVENTS, "+", "-", "COUNT", "100"};
    cleanup_desk_reply struct desk_reply page;
    bool is_there = false;
    if (redis_desk_call(ctl->redis, 6, argv, &page, err) != 0) {
        return false;
    }
    for (size_t i = 0; !is_there && i < page.count; i++) {
        const struct desk_reply *fields = page.items[i].count == 2 ? &page.items[i].items[1] : NULL;
        const char *data = fields != NULL && fields->count >= 2 ? fields->items[1].text : NULL;
        is_there = data != NULL && strstr(data, "\"TEST\"") != NULL && strstr(data, mark) != NULL;
    }
    return is_there;
}

static bool judge_redis(struct ctl *ctl, const char *mark)
{
    struct err err = {.code = 0};
    struct mono until = mono_add(clock_mono_now(), REDIS_MS);
    while (!is_on_stream(ctl, mark, &err)) {
        if (err.code != 0 || mono_reached(clock_mono_now(), until)) {
            char text[sizeof err.text + 16];
            snprintf(text, sizeof text, "Redis: %s",
                     err.code != 0 ? err.text
                                   : "it did not arrive; the controller keeps it until Redis takes it");
            say(ctl, false, text);
            return false;
        }
        nanosleep(&PAUSE, NULL);
    }
    say(ctl, true, "Redis: published on " KEY_CHANNEL_ALERTS ", and kept on " KEY_STREAM_EVENTS);
    return true;
}

static bool judge_webhook(struct ctl *ctl, const struct webhook_state *before)
{
    struct webhook_state now = *before;
    struct mono until = mono_add(clock_mono_now(), WEBHOOK_MS);
    if (!before->is_set) {
        printf("-    webhook: none is set (DEFIB_WEBHOOK_URL)\n");
        return true;
    }
    while (now.sent <= before->sent && now.failed <= before->failed &&
           !mono_reached(clock_mono_now(), until)) {
        nanosleep(&PAUSE, NULL);
        if (!read_webhook(ctl, &now)) {
            say(ctl, false, "webhook: the controller was lost");
            return false;
        }
    }
    bool is_taken = now.sent > before->sent && now.waiting == 0;
    char text[256];
    snprintf(text, sizeof text,
             is_taken ? "webhook: taken"
                      : "webhook: not taken, %" PRId64 " alerts wait; the controller's log tells why",
             now.waiting);
    say(ctl, is_taken, text);
    return is_taken;
}

int alert_test_run(struct ctl *ctl, int argc, char **argv)
{
    bool is_test = false;
    const char *why = "";
    const struct option_row rows[] = {
        {"--test", NULL, &is_test}, {"--reason", &why, NULL}, {NULL, NULL, NULL}};
    struct option_reader words;
    unsigned char random[4];
    if (!option_reader_read(&words, rows, argc, argv, 0, 0, ALERT_TEST_USAGE)) {
        return CTL_USAGE;
    }
    char mark[16], reason[REASON_SIZE];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        abort();
    }
    snprintf(mark, sizeof mark, "test %02x%02x%02x%02x", random[0], random[1], random[2], random[3]);
    snprintf(reason, sizeof reason, "%s%s%.100s", mark, why[0] == '\0' ? "" : ", ", why);
    struct webhook_state before;
    if (!read_webhook(ctl, &before)) {
        ctl_complain("a test alert needs the controller, and %s does not answer", ctl->settings->url);
        return CTL_FAILED;
    }
    if (!send_alert(ctl, reason)) {
        return CTL_FAILED;
    }
    bool is_in_redis = judge_redis(ctl, mark);
    bool is_taken = judge_webhook(ctl, &before);
    return is_in_redis && is_taken ? CTL_FINE : CTL_FAILED;
}
