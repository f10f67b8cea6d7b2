#include "controller/webhook.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/http_client.h"
#include "common/log.h"
#include "common/memory.h"
#include "controller/disk_file.h"
#include "controller/warning_limiter.h"
#include "controller/webhook_text.h"

enum { POST_TIMEOUT_MS = 15000, BODY_MAX = 64 * 1024, TEMPLATE_MAX = 64 * 1024, BAD_TRIES = 3 };

static const size_t FILE_MAX_BYTES = 8 * 1024 * 1024;

struct webhook {
    struct loop *loop;
    char *dir;
    enum webhook_form form;
    char *template; /* of WEBHOOK_TEMPLATE */
    struct http_client *http;
    struct http_call *call;
    struct loop_timer *timer;
    struct warning_limiter *warnings;
    char *waiting[WEBHOOK_ENTRIES]; /* documents, oldest first */
    struct webhook_counts counts;
    size_t under_way;
    int64_t retry_ms;
    int bad_tries;
    struct mono free_at; /* no message before */
};

/* ---- the queue and its file ---- */

static void tell_disk_trouble(const struct err *err)
{
    log_warning("Cannot keep alerts for the webhook on disk: %s", err->text);
}

static void rewrite_file(const struct webhook *webhook)
{
    struct err err;
    if (webhook->counts.waiting == 0) {
        if (disk_file_remove(webhook->dir, WEBHOOK_FILE, &err) != 0) {
            tell_disk_trouble(&err);
        }
        return;
    }
    cleanup_free char *bytes = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&bytes, &size);
    if (out == NULL) {
        abort();
    }
    for (size_t i = 0; i < webhook->counts.waiting; i++) {
        fprintf(out, "%s\n", webhook->waiting[i]);
    }
    if (fclose(out) != 0) {
        abort();
    }
    if (disk_file_replace(webhook->dir, WEBHOOK_FILE, bytes, size, &err) != 0) {
        tell_disk_trouble(&err);
    }
}

static void remove_oldest(struct webhook *webhook, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(webhook->waiting[i]);
    }
    webhook->counts.waiting -= count;
    memmove(webhook->waiting, webhook->waiting + count, webhook->counts.waiting * sizeof *webhook->waiting);
}

static void add(struct webhook *webhook, char *document)
{
    if (webhook->counts.waiting == WEBHOOK_ENTRIES) {
        /* Those under way stay: their answer removes them. */
        size_t victim = webhook->under_way;
        free(webhook->waiting[victim]);
        webhook->counts.waiting--;
        memmove(webhook->waiting + victim, webhook->waiting + victim + 1,
                (webhook->counts.waiting - victim) * sizeof *webhook->waiting);
        if (webhook->counts.dropped++ == 0) {
            log_error("The queue for the webhook is full: the oldest alerts are dropped");
        }
    }
    webhook->waiting[webhook->counts.waiting++] = document;
}

static void read_file(struct webhook *webhook)
{
    cleanup_free char *bytes = NULL;
    size_t len;
    struct err err;
    int result = disk_file_read(webhook->dir, WEBHOOK_FILE, FILE_MAX_BYTES, &bytes, &len, &err);
    if (result != 0) {
        if (result != -ENOENT) {
            log_warning("Cannot read the alerts kept for the webhook: %s", err.text);
        }
        return;
    }
    char *save;
    for (char *line = strtok_r(bytes, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
        size_t line_len = strlen(line);
        if (line[0] == '{' && line[line_len - 1] == '}') { /* a torn one costs only itself */
            add(webhook, memory_copy_text(line));
        }
    }
}

/* ---- the way out ---- */

static void arm(struct webhook *webhook, int64_t least_ms)
{
    if (webhook->counts.waiting > 0 && webhook->call == NULL) {
        int64_t wait_ms = mono_diff(webhook->free_at, loop_now(webhook->loop));
        loop_timer_start(webhook->timer, wait_ms > least_ms ? wait_ms : least_ms, 0);
    }
}

static void wait_longer(struct webhook *webhook)
{
    /* No jitter from a random source is needed: one controller, one URL. */
    webhook->counts.failed++;
    webhook->free_at = mono_add(loop_now(webhook->loop), webhook->retry_ms);
    webhook->retry_ms =
        2 * webhook->retry_ms < WEBHOOK_RETRY_MAX_MS ? 2 * webhook->retry_ms : WEBHOOK_RETRY_MAX_MS;
}

static bool is_called_bad(int status)
{
    return status == 400 || status == 413 || status == 422;
}

static void finish(struct webhook *webhook)
{
    remove_oldest(webhook, webhook->under_way);
    rewrite_file(webhook);
    webhook->retry_ms = WEBHOOK_RETRY_MIN_MS;
    webhook->bad_tries = 0;
    webhook->free_at = mono_add(loop_now(webhook->loop), WEBHOOK_GAP_MS);
}

/* The address is a secret: neither it nor libcurl's words about it are logged. */
static void tell_failure(struct webhook *webhook, const struct http_response *response)
{
    struct mono now = loop_now(webhook->loop);
    if (response->err.code != 0) {
        warning_limiter_warn(webhook->warnings, "DEFIB_WEBHOOK_URL", now,
                             "DEFIB_WEBHOOK_URL does not answer; %zu alerts wait", webhook->counts.waiting);
    } else {
        warning_limiter_warn(webhook->warnings, "DEFIB_WEBHOOK_URL", now,
                             "DEFIB_WEBHOOK_URL answers with status %d; %zu alerts wait", response->status,
                             webhook->counts.waiting);
    }
}

static void on_done(void *arg, const struct http_response *response)
{
    struct webhook *webhook = arg;
    webhook->call = NULL;
    bool is_taken = response->err.code == 0 && response->status >= 200 && response->status < 300;
    webhook->bad_tries += response->err.code == 0 && is_called_bad(response->status);
    if (is_taken) {
        webhook->counts.sent += webhook->under_way;
        finish(webhook);
    } else if (webhook->bad_tries >= BAD_TRIES) {
        log_error("DEFIB_WEBHOOK_URL refuses a message with status %d: %zu alerts are given up",
                  response->status, webhook->under_way);
        webhook->counts.dropped += webhook->under_way;
        finish(webhook);
    } else {
        tell_failure(webhook, response);
        wait_longer(webhook);
    }
    webhook->under_way = 0;
    arm(webhook, 0);
}

static void on_timer(void *arg)
{
    struct webhook *webhook = arg;
    if (webhook->call != NULL || webhook->counts.waiting == 0) {
        return;
    }
    webhook->under_way = webhook->counts.waiting < WEBHOOK_BATCH ? webhook->counts.waiting : WEBHOOK_BATCH;
    cleanup_free char *message = webhook_text_message(
        webhook->form, webhook->template, (const char *const *)webhook->waiting, webhook->under_way);
    struct http_request request = {.method = "POST",
                                   .path = "",
                                   .body = message,
                                   .timeout_ms = POST_TIMEOUT_MS,
                                   .max_bytes = BODY_MAX,
                                   .on_done = on_done,
                                   .arg = webhook};
    webhook->call = http_client_send(webhook->http, &request);
}

void webhook_alert(struct webhook *webhook, const struct alert *alert)
{
    if (webhook == NULL || alert->type == ALERT_HEALTH_SUMMARY) {
        return;
    }
    add(webhook, webhook_text_alert(alert));
    const char *line = webhook->waiting[webhook->counts.waiting - 1];
    cleanup_free char *bytes = NULL;
    struct err err;
    int len = asprintf(&bytes, "%s\n", line);
    if (len < 0) {
        abort();
    }
    if (disk_file_append(webhook->dir, WEBHOOK_FILE, bytes, (size_t)len, DISK_FILE_LATER, &err) != 0) {
        tell_disk_trouble(&err);
    }
    if (webhook->counts.waiting == 1) {
        arm(webhook, WEBHOOK_GATHER_MS); /* later ones join it */
    }
}

/* ---- opening and closing ---- */

static int load_template(const char *word, struct webhook *webhook, struct err *err)
{
    webhook->form = webhook_text_form(word);
    if (webhook->form != WEBHOOK_TEMPLATE) {
        return 0;
    }
    if (word[0] != '/') {
        return err_set(
            err, EINVAL,
            "DEFIB_WEBHOOK_TEMPLATE=\"%.80s\": allowed are json, slack, alertmanager, apprise, or the path "
            "of a file",
            word);
    }
    int result = config_read_file(word, TEMPLATE_MAX, &webhook->template, err);
    result = result != 0 ? result : webhook_text_check(webhook->template, err);
    return result == 0 ? 0 : err_wrap(err, "DEFIB_WEBHOOK_TEMPLATE=\"%.80s\"", word);
}

int webhook_open(struct loop *loop, const struct settings *settings, struct webhook **out, struct err *err)
{
    *out = NULL;
    struct webhook *webhook = memory_alloc(sizeof *webhook);
    int result = load_template(settings->webhook_template, webhook, err);
    if (result != 0 || settings->webhook_url[0] == '\0') {
        free(webhook->template);
        free(webhook);
        return result;
    }
    struct http_client_options options = {.base_url = settings->webhook_url, .verify_peer = true};
    webhook->loop = loop;
    webhook->dir = memory_copy_text(settings->state_dir);
    webhook->http = http_client_new(loop, &options);
    webhook->timer = loop_timer_new(loop, on_timer, webhook);
    webhook->warnings = warning_limiter_new(settings->alert_repeat_ms);
    webhook->retry_ms = WEBHOOK_RETRY_MIN_MS;
    read_file(webhook);
    arm(webhook, WEBHOOK_GATHER_MS);
    *out = webhook;
    return 0;
}

void webhook_close(struct webhook *webhook)
{
    if (webhook == NULL) {
        return;
    }
    rewrite_file(webhook);
    loop_timer_free(webhook->timer);
    http_client_free(webhook->http);
    warning_limiter_free(webhook->warnings);
    webhook->under_way = 0;
    remove_oldest(webhook, webhook->counts.waiting);
    free(webhook->template);
    free(webhook->dir);
    free(webhook);
}

struct webhook_counts webhook_counts(const struct webhook *webhook)
{
    return webhook == NULL ? (struct webhook_counts){.waiting = 0} : webhook->counts;
}
