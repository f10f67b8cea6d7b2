#include "common/beat/defib_beat.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/beat/beat_document.h"
#include "common/beat/beat_link.h"

enum {
    INTERVAL_MIN_MS = 50,
    INTERVAL_MAX_MS = 3600 * 1000,
    INTERVAL_MS = 10 * 1000,
    TTL_MAX_MS = 86400 * 1000,
    CHANGE_SPACING_MS = 50, /* between beats that tell of a change */
    PRECISE_BELOW_MS = 2000,
    STEP_MAX_MS = 1000
};

struct defib_beat {
    struct beat_document document;
    struct beat_link link;
    char ttl_text[24];
    int64_t interval_ms;
    int64_t due_ms;    /* the next one by the clock */
    int64_t sent_ms;   /* the last one that left; 0: none */
    bool is_due;       /* one is to leave as soon as the link is ready */
    bool is_changed;   /* the status or a check differs from what was sent */
    bool is_confirmed; /* what was sent last is in Redis */
    struct defib_beat_counters counters;
};

static int64_t mono_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static struct wall wall_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (struct wall){(int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000};
}

/* ---- options ---- */

/* "0.5", whatever the locale's decimal point is; 0 where it is no such number. */
static int64_t seconds_as_ms(const char *text)
{
    int64_t ms = 0;
    size_t digits = strspn(text, "0123456789");
    bool has_point = text[digits] == '.';
    const char *fraction = text + digits + has_point;
    if (digits == 0 || digits > 6 || fraction[strspn(fraction, "0123456789")] != '\0') {
        return 0;
    }
    for (size_t i = 0; i < digits; i++) {
        ms = ms * 10 + (text[i] - '0');
    }
    for (int i = 0; i < 3; i++) {
        ms = ms * 10 + (*fraction != '\0' ? *fraction++ - '0' : 0);
    }
    return ms;
}

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static bool read_times(struct defib_beat *beat, const struct defib_beat_options *options, char *why)
{
    const char *interval = variable("HEARTBEAT_INTERVAL_SECS"), *ttl = variable("HEARTBEAT_TTL_SECS");
    int64_t ttl_ms = options->ttl_ms;
    beat->interval_ms = options->interval_ms;
    if (beat->interval_ms == 0) {
        beat->interval_ms = interval != NULL ? seconds_as_ms(interval) : INTERVAL_MS;
    }
    if (beat->interval_ms < INTERVAL_MIN_MS || beat->interval_ms > INTERVAL_MAX_MS) {
        snprintf(why, DEFIB_BEAT_WHY, "the interval is %" PRId64 " ms%s%s: allowed are 0.05 to 3600 s",
                 beat->interval_ms, options->interval_ms == 0 ? ", HEARTBEAT_INTERVAL_SECS=" : "",
                 options->interval_ms == 0 ? interval : "");
        return false;
    }
    bool is_variable = ttl_ms == 0 && ttl != NULL;
    if (ttl_ms == 0) {
        ttl_ms = ttl != NULL ? seconds_as_ms(ttl) : beat->interval_ms * 7 / 2;
    }
    if (ttl_ms <= beat->interval_ms || ttl_ms > TTL_MAX_MS) {
        snprintf(why, DEFIB_BEAT_WHY,
                 "the TTL is %" PRId64 " ms%s%s: allowed is more than the interval, at most 86400 s", ttl_ms,
                 is_variable ? ", HEARTBEAT_TTL_SECS=" : "", is_variable ? ttl : "");
        return false;
    }
    snprintf(beat->ttl_text, sizeof beat->ttl_text, "%" PRId64, ttl_ms);
    beat->document.is_precise = beat->interval_ms < PRECISE_BELOW_MS;
    return true;
}

static bool read_name(const char *what, const char *text, char *out, size_t size, char *why)
{
    if (text == NULL || !beat_document_is_name(text, size)) {
        snprintf(why, DEFIB_BEAT_WHY,
                 "%s %.64s: allowed are 1 to %zu bytes of UTF-8 without control characters", what,
                 text == NULL ? "is missing" : text, size - 1);
        return false;
    }
    snprintf(out, size, "%s", text);
    return true;
}

static bool read_names(struct beat_document *document, const struct defib_beat_options *options, char *why)
{
    char host[sizeof document->hostname] = "";
    gethostname(host, sizeof host - 1);
    if (beat_document_is_name(host, sizeof host)) {
        snprintf(document->hostname, sizeof document->hostname, "%s", host);
    }
    const char *instance = options->instance != NULL ? options->instance : host;
    return read_name("service", options->service, document->service, sizeof document->service, why) &&
           read_name("instance", instance, document->instance, sizeof document->instance, why) &&
           (options->version == NULL ||
            read_name("version", options->version, document->version, sizeof document->version, why));
}

static bool read_url(const struct defib_beat_options *options, struct redis_url *out, char *why)
{
    const char *text = options->redis_url != NULL ? options->redis_url : variable("REDIS_URL");
    struct err err = {0};
    if (redis_url_parse(text != NULL ? text : "redis://127.0.0.1:6379", out, &err) != 0) {
        snprintf(why, DEFIB_BEAT_WHY, "REDIS_URL: %.300s", err.text);
        return false;
    }
    if (out->is_tls) {
        snprintf(why, DEFIB_BEAT_WHY,
                 "REDIS_URL: rediss:// is not supported here: allowed are redis:// and unix://");
        return false;
    }
    return true;
}

static bool read_options(struct defib_beat *beat, const struct defib_beat_options *options, char *why)
{
    struct redis_url url;
    beat->document.status = options->status;
    if (beat_document_status_word(options->status) == NULL) {
        snprintf(why, DEFIB_BEAT_WHY, "status %d: allowed is a member of enum defib_beat_status",
                 (int)options->status);
        return false;
    }
    if (!read_names(&beat->document, options, why) || !read_times(beat, options, why) ||
        !read_url(options, &url, why)) {
        return false;
    }
    beat_link_init(&beat->link, &url);
    beat->document.started_at = wall_now();
    beat->due_ms = mono_ms();
    return true;
}

struct defib_beat *defib_beat_new(const struct defib_beat_options *options, char *why)
{
    struct defib_beat *beat = calloc(1, sizeof *beat);
    why[0] = '\0';
    if (beat == NULL) {
        snprintf(why, DEFIB_BEAT_WHY, "out of memory");
        errno = ENOMEM;
        return NULL;
    }
    if (!read_options(beat, options, why)) {
        free(beat);
        errno = EINVAL;
        return NULL;
    }
    return beat;
}

void defib_beat_free(struct defib_beat *beat)
{
    if (beat != NULL) {
        beat_link_fini(&beat->link);
        beat_document_fini(&beat->document);
        free(beat);
    }
}

/* ---- what the next beat says ---- */

int defib_beat_set_status(struct defib_beat *beat, enum defib_beat_status status)
{
    if (beat_document_status_word(status) == NULL) {
        return -EINVAL;
    }
    beat->is_changed |= beat->document.status != status;
    beat->document.status = status;
    return 0;
}

int defib_beat_check(struct defib_beat *beat, const char *name, bool is_ok)
{
    return beat_document_set(&beat->document.checks, name, is_ok ? "true" : "false", &beat->is_changed);
}

int defib_beat_metric(struct defib_beat *beat, const char *name, double value)
{
    char text[BEAT_NUMBER_SIZE];
    bool is_changed = false; /* numbers change all the time: they ride along */
    int status = beat_document_spell(value, text);
    return status != 0 ? status : beat_document_set(&beat->document.metrics, name, text, &is_changed);
}

int defib_beat_count(struct defib_beat *beat, const char *name, int64_t value)
{
    char text[BEAT_NUMBER_SIZE];
    bool is_changed = false;
    snprintf(text, sizeof text, "%" PRId64, value);
    return beat_document_set(&beat->document.metrics, name, text, &is_changed);
}

/* ---- time passes ---- */

static char *make_commands(const struct defib_beat *beat, size_t *len)
{
    const struct beat_document *document = &beat->document;
    size_t text_len;
    char key[544], *text = beat_document_encode(document, wall_now(), &text_len), *out = NULL;
    snprintf(key, sizeof key, "health:hb:%s:%s", document->service, document->instance);
    if (text != NULL) {
        int used = asprintf(&out,
                            "*5\r\n$3\r\nSET\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n$2\r\nPX\r\n$%zu\r\n%s\r\n"
                            "*3\r\n$7\r\nPUBLISH\r\n$17\r\nhealth:heartbeats\r\n$%zu\r\n%s\r\n",
                            strlen(key), key, text_len, text, strlen(beat->ttl_text), beat->ttl_text,
                            text_len, text);
        out = used < 0 ? NULL : out;
        *len = used < 0 ? 0 : (size_t)used;
    }
    free(text);
    return out;
}

static void send_beat(struct defib_beat *beat, int64_t now)
{
    size_t len = 0;
    char *bytes = make_commands(beat, &len);
    beat->is_due = false;
    if (bytes == NULL) {
        beat->counters.lost++;
        return;
    }
    beat->is_changed = beat->is_confirmed = false;
    beat->sent_ms = now;
    beat_link_send(&beat->link, bytes, len, 2, now);
}

static void note_time(struct defib_beat *beat, int64_t now)
{
    if (now >= beat->due_ms) {
        beat->counters.lost += beat->is_due; /* the one before never left */
        beat->is_due = true;
        beat->due_ms = now + beat->interval_ms;
    }
    if (beat->is_changed && now - beat->sent_ms >= CHANGE_SPACING_MS) {
        beat->is_due = true;
    }
}

static void talk(struct defib_beat *beat, int64_t now)
{
    bool was_busy = beat->link.state == BEAT_LINK_BUSY;
    bool is_confirmed = beat_link_step(&beat->link, now);
    beat->counters.confirmed += is_confirmed;
    beat->is_confirmed |= is_confirmed;
    if (was_busy && !is_confirmed && beat->link.state != BEAT_LINK_BUSY) {
        beat->is_due = true; /* it may not have arrived: once more, as it is by then */
    }
}

static int64_t smaller(int64_t left, int64_t right)
{
    return left < right ? left : right;
}

static int wait_of(const struct defib_beat *beat, int64_t now)
{
    int64_t at = smaller(beat->due_ms, beat_link_wake_ms(&beat->link, now));
    if (beat->is_changed) {
        at = smaller(at, beat->sent_ms + CHANGE_SPACING_MS);
    }
    int64_t wait_ms = smaller(at - now, STEP_MAX_MS);
    return wait_ms < 0 ? 0 : (int)wait_ms;
}

int defib_beat_step(struct defib_beat *beat)
{
    int64_t now = mono_ms();
    note_time(beat, now);
    talk(beat, now);
    if (beat->is_due && beat->link.state == BEAT_LINK_READY) {
        send_beat(beat, now);
        talk(beat, now);
    }
    beat->counters.connects = beat->link.connects;
    return wait_of(beat, now);
}

int defib_beat_fd(const struct defib_beat *beat, short *events)
{
    *events = beat_link_events(&beat->link);
    return beat->link.fd;
}

int defib_beat_end(struct defib_beat *beat, int timeout_ms)
{
    int64_t until = mono_ms() + timeout_ms;
    defib_beat_set_status(beat, DEFIB_BEAT_STOPPING);
    beat->is_changed = true;
    beat->sent_ms = 0;
    for (;;) {
        int wait_ms = defib_beat_step(beat);
        int64_t left_ms = until - mono_ms();
        if (!beat->is_changed && beat->is_confirmed) {
            return 0;
        }
        if (left_ms <= 0) {
            return -ETIMEDOUT;
        }
        struct pollfd watched = {.events = 0};
        watched.fd = defib_beat_fd(beat, &watched.events);
        poll(&watched, 1, (int)smaller(wait_ms == 0 ? 1 : wait_ms, left_ms));
    }
}

/* ---- how it goes ---- */

struct defib_beat_counters defib_beat_counters(const struct defib_beat *beat)
{
    return beat->counters;
}

const char *defib_beat_trouble(const struct defib_beat *beat)
{
    return beat->link.trouble;
}
